"""After how many steps a gradient has vanished, or exploded."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults, is_number

__all__ = ["gradient_horizon"]


#: For each dtype: spacing at one, smallest normal number, largest number.
FLOATS = {
    "float64": (2.0**-52, 2.0**-1022, float(np.finfo(np.float64).max)),
    "float32": (2.0**-23, 2.0**-126, float(np.finfo(np.float32).max)),
    "float16": (2.0**-10, 2.0**-14, float(np.finfo(np.float16).max)),
    "bfloat16": (2.0**-7, 2.0**-126, (2 - 2.0**-7) * 2.0**127),
}


def gradient_horizon(gradients: xr.Dataset, *, level: str | float = "float32 eps") -> xr.Dataset:
    """Return after how many steps back a gradient has vanished, or exploded.

    Parameters
    ----------
    gradients : Dataset
        From `gradient_norms`, or from `dynet.torch.gradient_norms`.
    level : str or float, default "float32 eps"
        When it counts as vanished. ``"float32 eps"``: shorter than the spacing of numbers at one, 2^-23, times its
        length at the loss: it is lost in a sum with the gradients of late steps. ``"float32 tiny"``: shorter than the
        smallest normal number, 2^-126, whatever its length at the loss. The same for float64, float16 and bfloat16
        (eps 2^-7). A number in (0, 1): shorter than that noise level times its length at the loss. It has exploded
        when it is longer than the inverse of a relative level times its length at the loss; for "tiny", longer than
        the largest number of that dtype.

    Returns
    -------
    xarray.Dataset
        ``horizon(fate)``, fate being "vanishing" or "exploding": steps back to the first crossing of the level, between
        two steps by interpolating the logarithm; inf if it is not crossed within the steps at hand,
        ``attrs["n_lags"]``. With the dimensions ``sequence`` and ``end`` of ``gradients`` in front.
        ``median_horizon(fate)`` and ``quartile(fate, bound)`` over all of these; they may be inf.

    Raises
    ------
    InputError
        If ``gradients`` is something else, or the level is not known.

    Notes
    -----
    Quartiles are the inverted empirical distribution function, so that they are values that occur, inf included.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> ds = dynet.gradient_norms(dynet.zoo.linear_map([[0.9]]), [1.0], 200)
    >>> horizon = dynet.gradient_horizon(ds).horizon.sel(fate="vanishing")
    >>> bool(np.isclose(horizon, np.log(2.0**-23) / np.log(0.9)))
    True
    """
    faults = Faults()
    if not isinstance(gradients, xr.Dataset) or "log_gradient_norm" not in gradients:
        faults.add("gradients", type(gradients).__name__, "give a Dataset from dynet.gradient_norms")
    low, high, relative = _levels(faults, level)
    faults.raise_if_any()
    logs = gradients["log_gradient_norm"].transpose(..., "lag")
    lead = [str(name) for name in logs.dims[:-1]]
    values = logs.values
    if relative:
        # a gradient of zero stays zero: it has vanished from the beginning
        start = values[..., :1]
        values = np.where(np.isneginf(values), -np.inf, values - np.where(np.isneginf(start), 0.0, start))
    horizons = np.stack([_crossing(-values, -low), _crossing(values, high)], axis=-1)
    runs = horizons.reshape(-1, 2)
    quartiles = np.quantile(runs, [0.25, 0.75], axis=0, method="inverted_cdf").T
    variables = {
        "horizon": ((*lead, "fate"), horizons, "steps back to the level", "step"),
        "median_horizon": (("fate",), np.quantile(runs, 0.5, axis=0, method="inverted_cdf"), "median horizon", "step"),
        "quartile": (("fate", "bound"), quartiles, "quartiles of the horizon", "step"),
    }
    coords = {
        "fate": ["vanishing", "exploding"],
        "bound": ["lower", "upper"],
        **{name: gradients[name] for name in lead},
    }
    attrs = {
        "title": "Gradient horizon",
        "method": "first crossing of the level, log norm interpolated between steps",
        "level": level,
        "log_vanished": low,
        "log_exploded": high,
        "levels_are": "relative to the norm at the loss" if relative else "absolute",
        "n_lags": int(logs.sizes["lag"]) - 1,
        **{name: gradients.attrs[name] for name in ("dt", "time_unit") if name in gradients.attrs},
    }
    return dataset(variables, coords, attrs)


def _levels(faults: Faults, level: Any) -> tuple[float, float, bool]:
    """Return the logs at which a gradient has vanished and exploded, and whether they are relative."""
    if isinstance(level, str):
        name, _, which = level.partition(" ")
        if name in FLOATS and which == "eps":
            return float(np.log(FLOATS[name][0])), -float(np.log(FLOATS[name][0])), True
        if name in FLOATS and which == "tiny":
            return float(np.log(FLOATS[name][1])), float(np.log(FLOATS[name][2])), False
    elif is_number(level) and 0 < level < 1:
        return float(np.log(level)), -float(np.log(level)), True
    known = ", ".join(f'"{name} eps", "{name} tiny"' for name in FLOATS)
    faults.add("level", level, f"give a number between 0 and 1, or one of {known}")
    return 0.0, 0.0, True


def _crossing(values: np.ndarray, level: float) -> np.ndarray:
    """Return where ``values`` (..., lag) first exceed ``level``, linear between lags; inf if they do not."""
    above = values > level
    first = above.argmax(axis=-1)
    after = np.take_along_axis(values, first[..., None], axis=-1)[..., 0]
    before = np.take_along_axis(values, np.maximum(first - 1, 0)[..., None], axis=-1)[..., 0]
    with np.errstate(invalid="ignore"):
        share = np.where(np.isinf(after), 1.0, (level - before) / np.where(after > before, after - before, 1.0))
    crossed = np.where(first == 0, 0.0, first - 1 + share)
    return np.where(above.any(axis=-1), crossed, np.inf)
