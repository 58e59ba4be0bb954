"""Progress bars of long work."""

from __future__ import annotations

import warnings
from typing import Any


def progress_bar(total: int, title: str, shown: bool, unit: str = "step") -> Any:
    """Return a progress bar: a widget in notebooks that have them, text elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without widgets is no reason to warn: text will do
        from tqdm.auto import tqdm
    return tqdm(total=total, disable=not shown, desc=title, unit=unit, leave=False)
