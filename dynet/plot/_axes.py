"""What all pictures share: axes, named results, colours, the zero line."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr

from dynet._validate import Faults, shown
from dynet.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Okabe-Ito: told apart by every kind of eye.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
FAINT = "0.55"
#: Matplotlib's name of a style, or offset and lengths of dashes and gaps.
LineStyle = str | tuple[int, tuple[float, ...]]
_LINE_STYLES: tuple[LineStyle, ...] = (
    "-",
    "--",
    ":",
    "-.",
    (0, (8, 2)),
    (0, (5, 1, 1, 1, 1, 1)),
    (0, (1, 4)),
    (0, (3, 1, 3, 1, 1, 1)),
)


def axes_of(ax: Axes | None, *, width: float = 6.0, height: float = 3.7) -> Axes:
    """Return ``ax``, or the axes of a new figure."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def named_results(results: Any, variable: str, maker: str) -> dict[str, xr.Dataset]:
    """Return results by name; a single one has the name ""."""
    named = dict(results) if isinstance(results, Mapping) and not isinstance(results, xr.Dataset) else {"": results}
    if not named:
        raise InputError("results={}: give at least one result")
    for name, result in named.items():
        if not isinstance(result, xr.Dataset) or variable not in result:
            raise InputError(f"{label_of(name)}={_kind(result)}: give a Dataset from {maker}, or a dict of them")
        if "exponent" in result.coords and "exponent" not in result.dims:
            raise InputError(
                f"a single exponent was selected: keep the axis with .sel(exponent=[{result.exponent.item()}])"
            )
    return named


def label_of(name: str) -> str:
    """Return how errors call the result of that name."""
    return f"results['{name}']" if name else "result"


def require_one(name: str, dims: Iterable[Hashable], what: str) -> None:
    """Raise if a result has ``dims`` besides those that a picture shows: it holds several of ``what``."""
    further = [str(dim) for dim in dims]
    if further:
        chosen = ", ".join(f"{dim}=0" for dim in further)
        raise InputError(
            f"{label_of(name)} holds several {what}, along {', '.join(further)}: draw one, such as .isel({chosen})"
        )


def _kind(result: Any) -> str:
    """Return what was given instead of a result: a Dataset is told by its title."""
    title = result.attrs.get("title") if isinstance(result, xr.Dataset) else None
    return f"Dataset {title!r}" if title else shown(type(result).__name__)


def only_result(result: Any, variable: str, maker: str) -> xr.Dataset:
    """Return the result of a picture that has no room for several."""
    named = named_results(result, variable, maker)
    if len(named) > 1:
        raise InputError(f"results={', '.join(map(str, named))}: draw one at a time, each into axes of its own by ax=")
    return next(iter(named.values()))


def require_exponents(named: dict[str, xr.Dataset]) -> None:
    """Check that the exponents of each result are along an axis."""
    faults = Faults()
    for name, result in named.items():
        found = result.get("lyapunov_exponent", xr.DataArray()).dims
        if found != ("exponent",):
            dims = ", ".join(map(str, found)) or "none"
            faults.say(
                f"{label_of(name)} has exponents with dimensions {dims}: give a result of dynet.lyapunov_spectrum"
            )
    faults.raise_if_any()


def colour(number: int) -> str:
    """Return the colour of a series."""
    return COLOURS[number % len(COLOURS)]


def line_style(number: int) -> LineStyle:
    """Return the line style of a series within a colour."""
    return _LINE_STYLES[number % len(_LINE_STYLES)]


def tidy(ax: Axes) -> None:
    """Remove what carries no information."""
    ax.spines[["top", "right"]].set_visible(False)
