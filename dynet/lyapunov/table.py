"""A result as a table that reads itself: quantity, value, error, unit and a verdict in words."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from dynet._validate import shown
from dynet.errors import InputError
from dynet.lyapunov.dimension import require_leading
from dynet.lyapunov.estimate_rows import estimate_rows, without_estimates
from dynet.lyapunov.rows import comparison_rows, plain_rows, scalar_rows, training_rows
from dynet.lyapunov.spectrum_rows import spectrum_rows

__all__ = ["summary"]

COLUMNS = ["quantity", "value", "standard_error", "lower", "upper", "unit", "verdict"]
#: Results with tables of their own.
_KINDS = (
    "lyapunov_spectrum",
    "two_trajectory_exponent",
    "compare",
    "spectrum_distance",
    "kaplan_yorke_dimension",
    "entropy_rate",
    "memory_time",
    "fractional_order",
    "fit_gain_scaling",
    "fit_adaptation",
    "adaptive_exponents",
    "torch.LyapunovMonitor",
)


def summary(result: xr.Dataset, *, level: float = 0.95) -> pd.DataFrame:
    """Return what a result says, as a table with a verdict in words.

    Parameters
    ----------
    result : Dataset
        From `lyapunov_spectrum`, `two_trajectory_exponent`, `compare`, `spectrum_distance`, `kaplan_yorke_dimension`,
        `entropy_rate` or `memory_time`, or recorded by a `torch.LyapunovMonitor`. Of other results parameters, orders,
        single numbers and labels are listed, with their standard errors and intervals where they have them.
    level : float, default 0.95
        Level of the intervals; those that a result holds, of parameters and orders, keep their own.

    Returns
    -------
    pandas.DataFrame
        Columns quantity, value, standard_error, lower, upper, unit, verdict.

    Raises
    ------
    InputError
        If ``result`` is not a result of dynet, or holds arrays alone.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> system = dynet.zoo.linear_map(np.diag([0.98, 0.5]))
    >>> ds = dynet.lyapunov_spectrum(system, [0.0, 0.0], 500, initial_frame=np.eye(2))
    >>> print(dynet.summary(ds).set_index("quantity").verdict["memory time"])
    memory 49 steps [49, 49], converged
    """
    if isinstance(result, xr.Dataset):
        if "lyapunov_exponent" in result and "growth" in result and "exponent" in result.coords:
            require_leading(result)
            rows = spectrum_rows(result, level)
        elif "lyapunov_exponent" in result and "epoch" in result.dims:
            rows = training_rows(result, level)
        elif "difference" in result and "comparison" in result.dims:
            rows = comparison_rows(result, level)
        else:
            rows = scalar_rows(result, level) or [*estimate_rows(result), *plain_rows(without_estimates(result), level)]
        if rows:
            return pd.DataFrame(rows, columns=COLUMNS)
        if "dynet_version" in result.attrs:
            raise InputError(
                f"result={shown(result.attrs.get('title', 'Dataset'))}: it has no table yet: it holds arrays alone; "
                f"results of {', '.join(_KINDS)} have one, and those that hold single numbers"
            )
    raise InputError(f"result={shown(type(result).__name__)}: give a Dataset that an analysis of dynet returned")
