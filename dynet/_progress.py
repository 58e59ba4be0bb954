"""Progress bars of long work."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

Item = TypeVar("Item")


def progress_bar(total: int, title: str, shown: bool, unit: str = "step") -> Any:
    """Return a progress bar: a widget in notebooks that have them, text elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without widgets is no reason to warn: text will do
        from tqdm.auto import tqdm
    return tqdm(total=total, disable=not shown, desc=title, unit=unit, leave=False)


def progress_over(items: Iterable[Item], title: str, shown: bool, total: int | None = None) -> Iterator[Item]:
    """Yield ``items`` under a progress bar; ``total`` is their number where they do not tell it."""
    if total is None:
        total = len(items) if isinstance(items, Sized) else 0
    with progress_bar(total, title, shown, unit="it") as bar:
        for item in items:
            yield item
            bar.update(1)
