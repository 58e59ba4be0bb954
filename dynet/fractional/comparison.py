"""Whether two groups of orders differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from dynet._labels import dataset
from dynet._validate import Faults, is_number
from dynet.typing import ArrayLike

__all__ = ["compare_orders"]


def compare_orders(
    first: xr.Dataset | ArrayLike, second: xr.Dataset | ArrayLike, *, paired: bool = False, level: float = 0.95
) -> xr.Dataset:
    """Compare the orders of two groups of units, networks or conditions.

    Parameters
    ----------
    first, second : Dataset or array
        From `fractional_order`, or orders themselves. Each order counts as one independent observation: give means over
        units where networks, not units, are independent.
    paired : bool, default False
        Whether orders at the same place belong together, such as those of one unit under two drives.
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    xarray.Dataset
        ``difference``, the mean of the first less that of the second, and its ``interval(bound)`` by Student's
        distribution; ``statistic(test)`` and ``p_value(test)`` of the tests "t" (Welch's, or the paired one) and "rank"
        (Mann-Whitney, or Wilcoxon's); ``n_orders(group)``, those that are not NaN (pairs without any).

    Raises
    ------
    InputError
        If a group has fewer than two orders, or pairs do not match.

    References
    ----------
    Welch (1947), doi:10.1093/biomet/34.1-2.28; Mann & Whitney (1947), doi:10.1214/aoms/1177730491; Wilcoxon (1945),
    doi:10.2307/3001968.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.compare_orders([0.1, 0.2, 0.15], [0.4, 0.5, 0.42])
    >>> round(float(ds.difference), 2), bool(ds.p_value.sel(test="t") < 0.01)
    (-0.29, True)
    """
    faults = Faults()
    a, b = _orders(faults, "first", first), _orders(faults, "second", second)
    if not (is_number(level) and 0 < level < 1):
        faults.add("level", level, "give a level in (0, 1), such as 0.95")
    if not isinstance(paired, bool):
        faults.add("paired", paired, "give True or False")
    elif paired and a.shape != b.shape:
        faults.say(f"paired orders need equal shapes, but first has {a.shape} and second {b.shape}")
    elif paired:
        _matching_labels(faults, first, second)
        both = ~(np.isnan(a) | np.isnan(b))
        a, b = a[both], b[both]
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    for name, values in (("first", a), ("second", b)):
        if values.size < 2:
            faults.say(f"{name} has {values.size} orders that are not NaN: give at least two")
        elif np.isinf(values).any():
            faults.add(name, values, "orders are finite or NaN")
    faults.raise_if_any()
    if not paired and np.ptp(a) == 0 == np.ptp(b):
        faults.say("the orders of both groups do not vary at all, so no test can weigh their difference")
    if paired and np.ptp(a - b) == 0:
        faults.say("the differences of all pairs are the same, so no test can weigh them")
    faults.raise_if_any()
    t = stats.ttest_rel(a, b) if paired else stats.ttest_ind(a, b, equal_var=False)
    rank = stats.wilcoxon(a, b) if paired else stats.mannwhitneyu(a, b)
    ends = t.confidence_interval(level)
    variables = {
        "difference": ((), a.mean() - b.mean(), "mean order of the first group less that of the second", "1"),
        "interval": (("bound",), [ends.low, ends.high], f"{100 * level:g} % interval of the difference", "1"),
        "statistic": (("test",), [t.statistic, rank.statistic], "statistic of the test", "1"),
        "p_value": (("test",), [t.pvalue, rank.pvalue], "two-sided p value", "1"),
        "n_orders": (("group",), [a.size, b.size], "number of orders", "1"),
    }
    coords = {"bound": ["lower", "upper"], "test": ["t", "rank"], "group": ["first", "second"]}
    names = "paired t; Wilcoxon signed rank" if paired else "Welch t; Mann-Whitney U"
    return dataset(variables, coords, {
        "title": "Comparison of fractional orders",
        "method": names,
        "references": "Welch (1947) doi:10.1093/biomet/34.1-2.28; Wilcoxon (1945) doi:10.2307/3001968",
        "paired": paired,
        "level": level,
    })  # fmt: skip


def _orders(faults: Faults, name: str, value: Any) -> np.ndarray:
    if isinstance(value, xr.Dataset):
        if "order" not in value:
            faults.add(name, "Dataset", "it has no order: give a result of fractional_order")
            return np.zeros(2)
        value = value["order"]
    return faults.real_array(name, value.values if isinstance(value, xr.DataArray) else value).astype(float)


def _matching_labels(faults: Faults, first: Any, second: Any) -> None:
    """Note a fault if labelled pairs stand in different dimensions, or orders of their labels."""
    a, b = (x["order"] if isinstance(x, xr.Dataset) else x for x in (first, second))
    if not (isinstance(a, xr.DataArray) and isinstance(b, xr.DataArray)):
        return
    if a.dims != b.dims:
        faults.say(f"paired orders need the same dimensions, but first has {a.dims} and second {b.dims}")
        return
    for d in a.dims:
        if d in a.coords and d in b.coords and not np.array_equal(a[d].values, b[d].values):
            faults.say(f"paired orders need the same labels along {d}")
