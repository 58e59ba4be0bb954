"""The fractional order of responses to a stimulus, with its interval."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults, is_number
from dynet.fractional.alternatives import centred, constant_squares, exponential_squares, information
from dynet.fractional.forward import Held, fit_forward
from dynet.fractional.inverse import fit_inverse
from dynet.fractional.paper import fit_paper
from dynet.fractional.records import Fit, Records
from dynet.fractional.series import broadcast_values, matched_spacing, named_series, unnamed_stimulus
from dynet.fractional.windows import windows
from dynet.typing import ArrayLike

__all__ = ["fractional_order"]

REFERENCES = "Geadah et al. (2024) doi:10.1371/journal.pcbi.1012567; Lundstrom et al. (2008) doi:10.1038/nn.2212"
#: Fewer samples than this leave no degrees of freedom worth a fit.
_FEWEST = 8
#: What varies by less, relative to its size, is constant.
_ROUNDING = 8 * np.finfo(np.float64).eps
#: Squares of larger samples, and of the inverse, leave the range of numbers.
_LARGE = 1e100
_DESCRIPTIONS = {
    "forward": "least squares of gain * D^order stimulus + offset, causal; interval by profile likelihood",
    "inverse": "least squares of the response filtered back against the stimulus, causal; interval by profile",
    "paper": "least squares of the response filtered back against the stimulus, Fourier, no gain, means left out",
}


def fractional_order(
    response: ArrayLike | xr.DataArray,
    stimulus: ArrayLike | xr.DataArray,
    *,
    dim: str = "time",
    axis: int | None = None,
    method: Literal["forward", "inverse", "paper"] = "forward",
    orders: tuple[float, float] = (-1.0, 1.0),
    window: Literal["auto", "onset", "all"] | tuple[float, float] = "auto",
    history: Literal["zero", "constant"] = "zero",
    gain: float | None = None,
    offset: float | None = None,
    dt: float | None = None,
    level: float = 0.95,
) -> xr.Dataset:
    r"""Return the order a of responses that are fractional derivatives of their stimulus, :math:`r = g D^a s + b`.

    Positive orders differentiate: the response to a step adapts. Negative ones integrate: it builds up.

    Parameters
    ----------
    response : DataArray or array
        Responses of any number of units, in equal steps of time. The activation parameters of an adaptive unit are
        responses too.
    stimulus : DataArray or array
        What they respond to: one for all, (time,), or with dimensions of ``response``.
    dim : str, default "time"
        Dimension of time of DataArrays.
    axis : int, optional
        Axis of time of an array; needed if it has several.
    method : {"forward", "inverse", "paper"}
        "forward": the stimulus is filtered and compared with the response; noise of the response does not bias it.
        "inverse": the response is filtered back and compared with the stimulus, with gain and offset; noise biases
        it. "paper": the procedure of Geadah et al., in the Fourier domain and without a gain, so that a gain, and a
        step that is still on at the end, read as an order; ``orders`` in their sign are ``paper_order``.
    orders : (float, float), default (-1, 1)
        Range in which the order is sought, at most 2 wide, within -3 to 3.
    window : {"auto", "onset", "all"} or (start, stop)
        Samples that the fit counts; filters see the whole record. "onset": until the step goes back. "auto": that for
        units that are cut off at their lowest value afterwards, as rectifying ones are, all samples for
        others. "paper" takes all samples unless it is given times.
    history : {"zero", "constant"}
        What the stimulus was before its first sample: nothing, or the first sample.
    gain, offset : float, optional
        Values at which the forward fit holds them; fitted if not given.
    dt : float, optional
        Time between samples; that of the coordinate of DataArrays, otherwise 1.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    xarray.Dataset
        With the dimensions of ``response`` but time: ``order``; ``order_interval(..., bound)``, by profile likelihood,
        infinite beyond the range of ``orders``; ``paper_order``, the order with the sign of Geadah et al.; ``gain``,
        ``offset``; ``mse``, the mean square of what the method leaves; ``delta_aic(..., model)``, the Akaike criterion
        of "exponential" adaptation and of a "constant" response, gain times stimulus plus offset, less that of the
        fractional one (positive favours the order; NaN for the other two methods, whose residuals are not of the
        response); ``residual_autocorrelation`` at lag one; ``n_samples``; ``message``, empty or why an order is
        NaN or at the end of its range.

    Raises
    ------
    InputError
        If an argument cannot be used, or a sample is not finite.

    Notes
    -----
    Intervals hold for independent normal noise on what the method compares (for "inverse" and "paper" this is the
    stimulus, so theirs are nominal); a ``residual_autocorrelation`` far from zero says that they are too
    short, or that the response is no fractional derivative. Where a response fits in several ranges of order, the
    interval reaches from the first to the last. A constant stimulus from the first sample on is a step at that
    sample; orders near zero then differ from an offset by little, which the interval tells.

    References
    ----------
    Geadah, Horoi, Kerg, Wolf & Lajoie (2024), doi:10.1371/journal.pcbi.1012567; Lundstrom, Higgs, Spain & Fairhall
    (2008), doi:10.1038/nn.2212.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> stimulus = np.repeat([0.0, 1.0], [50, 250])
    >>> response = 2.0 * dynet.fractional_derivative(stimulus, 0.15) + 0.3
    >>> fit = dynet.fractional_order(response, stimulus)
    >>> round(float(fit.order), 4), round(float(fit.gain), 4), round(float(fit.offset), 4)
    (0.15, 2.0, 0.3)
    """
    faults = Faults()
    r = named_series(faults, "response", response, dim, axis)
    if not isinstance(stimulus, xr.DataArray) and isinstance(response, xr.DataArray):
        s = unnamed_stimulus(faults, stimulus, r, dim)
    else:
        s = named_series(faults, "stimulus", stimulus, dim, None if np.ndim(stimulus) == 1 else axis)
    faults.choice("method", method, tuple(_DESCRIPTIONS))
    faults.choice("history", history, ("zero", "constant"))
    span = _checked_range(faults, orders)
    if not (is_number(level) and 0 < level < 1):
        faults.add("level", level, "give a level in (0, 1), such as 0.95")
    for name, value in (("gain", gain), ("offset", offset)):
        if value is not None and not (is_number(value) and np.isfinite(value)):
            faults.add(name, value, "give a number, or None to fit it")
        if value is not None and method != "forward":
            faults.add(name, value, 'only method="forward" can hold it')
    if gain == 0:
        faults.add("gain", gain, "no order can be seen in a response without gain")
    faults.raise_if_any()
    lead = [str(d) for d in r.dims if d != dim]
    step = matched_spacing(faults, r, s, dim, dt)
    faults.raise_if_any()
    T = r.sizes[dim]
    values = r.values.reshape(-1, T)
    drive = s.values[None] if s.ndim == 1 else broadcast_values(s, r).reshape(-1, T)
    if history == "constant":
        drive = drive - drive[:, :1]
    for name, given in (("response", values), ("stimulus", drive)):
        _refuse_extremes(faults, name, given)
    faults.raise_if_any()
    times = r.coords[dim].values if dim in r.coords else np.arange(T) * step
    parts = windows(faults, "all" if method == "paper" and window == "auto" else window, values, drive, times)
    for part, _ in parts:
        if part.stop - part.start < _FEWEST:
            faults.add("window", window, f"{part.stop - part.start} samples are too few for a fit; give {_FEWEST}")
        if not (drive[:, : part.stop] != 0).any(axis=-1).all():
            faults.say("stimulus: it is zero up to the end of the window, so there is nothing to filter")
        if method != "forward" and not (np.ptp(drive[:, part], axis=-1) > 0).all():
            way_out = 'filtering back needs one that varies within the window; give method="forward"'
            faults.say(f"stimulus: it is constant, but {way_out}")
    faults.raise_if_any()
    result = _Estimates(values.shape[0])
    for part, members in parts:
        kept = values[:, part] if members.size == len(values) else values[members, part]
        highest, lowest = kept.max(axis=-1), kept.min(axis=-1)
        varies = highest - lowest > _ROUNDING * np.maximum(np.abs(highest), np.abs(lowest))
        result.message[members[~varies]] = "constant response: its order is not defined"
        members = members[varies]
        if members.size == 0:
            continue
        chosen = slice(None) if members.size == len(values) else members
        records = Records(values[chosen], drive if len(drive) == 1 else drive[chosen], step, part)
        held = Held(gain, offset)
        if method == "forward":
            fit = fit_forward(records, *span, held, level)
            result.store(members, fit, span, _delta_aic(records, fit, held))
        else:
            fit = (fit_inverse if method == "inverse" else fit_paper)(records, *span, level)
            result.store(members, fit, span, np.full((members.size, 2), np.nan))
    coords = {name: c for name, c in r.coords.items() if dim not in c.dims}
    return _label(result, tuple(lead), tuple(r.sizes[d] for d in lead), coords, {
        "title": "Fractional order",
        "method": method,
        "fit": _DESCRIPTIONS[method],
        "references": REFERENCES,
        "orders": f"{span[0]:g} to {span[1]:g}",
        "window": window if isinstance(window, str) else f"{window[0]:g} to {window[1]:g}",
        "history": history,
        "gain_is": "fitted" if gain is None else f"held at {gain:g}",
        "offset_is": "fitted" if offset is None else f"held at {offset:g}",
        "level": level,
        "dt": step,
        "sign": "positive orders differentiate",
    })  # fmt: skip


class _Estimates:
    """The numbers of all units, NaN until a fit has given them."""

    def __init__(self, count: int) -> None:
        self.numbers = {
            name: np.full(count, np.nan) for name in ("order", "gain", "offset", "mse", "residual_autocorrelation")
        }
        self.ends = np.full((count, 2), np.nan)
        self.delta_aic = np.full((count, 2), np.nan)
        self.n_samples = np.zeros(count, dtype=np.int64)
        self.message = np.full(count, "", dtype="<U64")

    def store(self, members: np.ndarray, fit: Fit, span: tuple[float, float], delta_aic: np.ndarray) -> None:
        """Keep what a fit of some units gave."""
        squares = fit.squares
        products = np.einsum("ut,ut->u", fit.residual[:, 1:], fit.residual[:, :-1])
        found = {
            "order": fit.order,
            "gain": fit.gain,
            "offset": fit.offset,
            "mse": squares / fit.residual.shape[-1],
            "residual_autocorrelation": np.divide(products, squares, out=np.zeros_like(squares), where=squares > 0),
        }
        for name, values in found.items():
            self.numbers[name][members] = values
        self.ends[members], self.delta_aic[members] = fit.ends, delta_aic
        self.n_samples[members] = fit.residual.shape[-1]
        self.message[members[fit.at_end]] = f"best at the end of orders ({span[0]:g} to {span[1]:g}): try others"


def _delta_aic(records: Records, fit: Fit, held: Held) -> np.ndarray:
    """Return the criterion of the alternatives (unit, model) less that of the fractional model."""
    given = centred(records, held)
    n = given.y.shape[-1]
    # what rounding leaves of sums of products of the part that varies, and of samples far from zero
    raw = np.einsum("ut,ut->u", records.deviations, records.deviations) if held != Held() else given.yy[:, 0]
    raw = raw + n * records.means[:, 0] ** 2
    scale = given.yy[:, 0] + np.finfo(np.float64).eps * raw
    own = information(fit.squares, n, fit.n_free, scale)
    others = [
        information(squares, n, n_free, scale)
        for squares, n_free in (exponential_squares(given), constant_squares(given))
    ]
    return np.stack([other - own for other in others], axis=-1)


def _refuse_extremes(faults: Faults, name: str, values: np.ndarray) -> None:
    """Note a fault if sums of squares of signals (unit, time) would leave the range of numbers."""
    largest = np.maximum(values.max(axis=-1, initial=0.0), -values.min(axis=-1, initial=0.0))
    extreme = (largest > 0) & ((largest < 1 / _LARGE) | (largest > _LARGE))
    if extreme.any():
        faults.say(
            f"{name}: its largest sample is {largest[extreme][0]:.3g}: give it in units in which that lies between "
            f"{1 / _LARGE:g} and {_LARGE:g}"
        )


def _checked_range(faults: Faults, orders: Any) -> tuple[float, float]:
    fine = (
        isinstance(orders, list | tuple)
        and len(orders) == 2
        and all(is_number(a) and -3 <= a <= 3 for a in orders)
        and 0 < orders[1] - orders[0] <= 2
    )
    if not fine:
        faults.add("orders", orders, "give the range (lower, upper) of the order, at most 2 wide, within -3 to 3")
        return -1.0, 1.0
    return float(orders[0]), float(orders[1])


def _label(
    result: _Estimates, lead: tuple[str, ...], shape: tuple[int, ...], coords: dict[Any, Any], attrs: dict[str, Any]
) -> xr.Dataset:
    def shaped(values: np.ndarray) -> np.ndarray:
        return values.reshape((*shape, *values.shape[1:]))

    numbers = {name: shaped(values) for name, values in result.numbers.items()}
    level = f"{100 * attrs['level']:g} % interval of the order"
    compared = "response" if attrs["method"] == "forward" else "stimulus"
    variables = {
        "order": (lead, numbers["order"], "fractional order", "1"),
        "order_interval": ((*lead, "bound"), shaped(result.ends), level, "1"),
        "paper_order": (lead, -numbers["order"], "fractional order, positive for integration", "1"),
        "gain": (lead, numbers["gain"], "gain", "1"),
        "offset": (lead, numbers["offset"], "offset", "1"),
        "mse": (lead, numbers["mse"], f"mean square residual of the {compared}", "1"),
        "delta_aic": (
            (*lead, "model"),
            shaped(result.delta_aic),
            "Akaike criterion of the model less that of the fractional one",
            "1",
        ),
        "residual_autocorrelation": (
            lead,
            numbers["residual_autocorrelation"],
            "autocorrelation of the residual at lag one",
            "1",
        ),
        "n_samples": (lead, shaped(result.n_samples), "samples that the fit counts", "1"),
        "message": (
            lead,
            shaped(np.array(result.message.tolist(), dtype=str)),
            "why there is no order, or none inside the range",
            "",
        ),
    }
    return dataset(variables, {"bound": ["lower", "upper"], "model": ["exponential", "constant"], **coords}, attrs)
