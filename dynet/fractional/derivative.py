"""Derivatives of any real order, periodic or causal."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr
from array_api_compat import device, to_device

from dynet._validate import Faults, is_number
from dynet.errors import InputError
from dynet.fractional.series import spacing, time_axis
from dynet.kernels.fractional import causal_derivative, fourier_derivative
from dynet.kernels.namespace import as_array, namespace, to_numpy
from dynet.typing import Array, ArrayLike

__all__ = ["fractional_derivative"]


def fractional_derivative(
    x: ArrayLike | xr.DataArray,
    order: Any,
    *,
    dim: str = "time",
    axis: int | None = None,
    method: Literal["causal", "fourier"] = "causal",
    dt: float | None = None,
    history: Literal["zero", "constant"] = "zero",
    nyquist: Literal["real", "zero"] = "real",
) -> Any:
    r"""Return the derivative of any real order along time: :math:`D^a x`, an integral for negative a.

    Parameters
    ----------
    x : DataArray, array or tensor
        Signal, real, in equal steps of time.
    order : float, array, tensor or DataArray
        Order a of the derivative, or one for each signal: it broadcasts against ``x`` without its axis of time.
    dim : str, default "time"
        Dimension of time of a DataArray.
    axis : int, optional
        Axis of time of an array; needed if it has several.
    method : {"causal", "fourier"}
        "causal": Grünwald-Letnikov, :math:`dt^{-a} \sum_k (-1)^k \binom{a}{k} x_{t-k}`, exact on steps, whose
        transfer function is :math:`((1 - e^{-i \omega\,dt}) / dt)^a`. "fourier": the factor
        :math:`(i \omega)^a` on every frequency; the signal counts as periodic, so that a step which is still on at the
        end wraps around.
    dt : float, optional
        Time between samples; that of the coordinate of a DataArray, otherwise 1.
    history : {"zero", "constant"}
        What was before the first sample in the causal form: nothing, so that the signal starts with a step, or the
        first sample for ever. The integral of a constant from the infinite past is infinite and left out: orders of
        zero and below see deviations from the first sample, except order 0, the identity.
    nyquist : {"real", "zero"}
        What the Fourier form of an even number of samples does with the highest frequency, where only a real factor
        makes a real signal: keep the real part of the factor, or drop the frequency (but for order 0).

    Returns
    -------
    DataArray, array or tensor
        What ``x`` is, of its dtype (integers become floats) and with its axes. Tensors carry gradients with respect
        to ``x`` and, if it is a tensor, ``order``.

    Raises
    ------
    InputError
        If an argument cannot be used, samples are not finite, or not equally far apart.

    Notes
    -----
    Positive orders differentiate (adapting responses), negative ones integrate. In the Fourier form the mean passes
    at order 0 alone: orders below remove it, as its integral is not periodic. Results are exact to rounding relative
    to the largest values of signal and weights.

    References
    ----------
    Podlubny (1999), Fractional Differential Equations, ISBN 978-0125588409; Lundstrom et al. (2008),
    doi:10.1038/nn.2212.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> dynet.fractional_derivative(np.ones(4), 0.5)
    array([1.    , 0.5   , 0.375 , 0.3125])
    >>> t = np.arange(100) / 100
    >>> slope = dynet.fractional_derivative(np.sin(2 * np.pi * t), 1.0, method="fourier", dt=0.01)
    >>> bool(np.allclose(slope, 2 * np.pi * np.cos(2 * np.pi * t)))
    True
    """
    faults = Faults()
    faults.choice("method", method, ("causal", "fourier"))
    faults.choice("history", history, ("zero", "constant"))
    faults.choice("nyquist", nyquist, ("real", "zero"))
    if method == "fourier" and history == "constant":
        faults.add("history", history, 'the Fourier form is periodic: give method="causal" or leave history out')
    if method == "causal" and nyquist == "zero":
        faults.add("nyquist", nyquist, 'the causal form has no such case: give method="fourier" or leave nyquist out')

    def derive(values: Array, orders: Array, step: float) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            result = _derive(values, orders, step)
        xp = namespace(result)
        if not bool(xp.all(xp.isfinite(result))):
            # what is not finite in a signal spreads over all of its derivative: one pass checks both
            if isinstance(values, np.ndarray):
                faults.real_array("x", values, finite=True)
            if not len(faults):
                faults.add("order", order, f"the derivative is beyond the range of {result.dtype}")
            faults.raise_if_any()
        return result

    def _derive(values: Array, orders: Array, step: float) -> Array:
        if method == "fourier":
            return fourier_derivative(values, orders, step, nyquist == "real")
        if history == "zero":
            return causal_derivative(values, orders, step)
        first = values[..., :1]
        xp = namespace(values)
        return causal_derivative(values - first, orders, step) + first * xp.astype(orders == 0, values.dtype)[..., None]

    if isinstance(x, xr.DataArray):
        return _of_named(faults, x, order, dim, axis, dt, derive, method)
    if isinstance(order, xr.DataArray):
        faults.say("order is a DataArray but x is not: give both as DataArrays")
        faults.raise_if_any()
    if not hasattr(x, "shape") or isinstance(x, np.generic):
        x = faults.real_array("x", x)
    axis = time_axis(faults, "x", x, axis)
    if dt is not None:
        faults.positive("dt", dt)
    x = _real_signal(faults, x)
    orders = _real_orders(faults, order, x)
    faults.raise_if_any()
    xp = namespace(x)
    try:
        np.broadcast_shapes(tuple(orders.shape), (*x.shape[:axis], *x.shape[axis:][1:]))
    except ValueError:
        faults.say(
            f"order of shape {tuple(orders.shape)} does not broadcast against x of shape {tuple(x.shape)} without its "
            f"axis of time, {axis}"
        )
    faults.raise_if_any()
    return xp.moveaxis(derive(xp.moveaxis(x, axis, -1), orders, 1.0 if dt is None else float(dt)), -1, axis)


def _of_named(
    faults: Faults,
    x: xr.DataArray,
    order: Any,
    dim: str,
    axis: int | None,
    dt: float | None,
    derive: Any,
    method: str,
) -> xr.DataArray:
    if axis is not None:
        faults.add("axis", axis, "x is a DataArray: name its dimension of time by dim")
    if not isinstance(dim, str) or dim not in x.dims:
        faults.add("dim", dim, f"x has the dimensions {', '.join(map(str, x.dims))}")
        faults.raise_if_any()
    step = spacing(faults, "x", x, dim, dt)
    values = _real_signal(faults, x.values)
    named = order if isinstance(order, xr.DataArray) else xr.DataArray(to_numpy(order))
    orders = _real_orders(faults, named.values, values)
    if named.ndim and not isinstance(order, xr.DataArray):
        faults.add("order", order, "x is a DataArray: give a number, or a DataArray with dimensions of x")
    if dim in named.dims:
        faults.add("order", order, f"one order for a whole signal: it cannot have the dimension {dim}")
    faults.raise_if_any()
    try:
        result = xr.apply_ufunc(
            lambda signal, a: derive(signal, a, step),
            x.copy(data=values),
            named.copy(data=orders).reset_coords(drop=True),
            input_core_dims=[[dim], []],
            output_core_dims=[[dim]],
        )
    except InputError:
        raise
    except ValueError as error:  # labels or sizes that do not fit
        faults.add("order", order, f"it does not fit x: {error}")
        faults.raise_if_any()
    result = result.transpose(*(d for d in named.dims if d not in x.dims), *x.dims).rename(x.name)
    # the units are others now: those of x times a power of time
    result.attrs = {key: value for key, value in x.attrs.items() if key != "units"}
    result.attrs["fractional_derivative"] = f"order {float(orders):g}, {method}" if named.ndim == 0 else method
    return result


def _real_signal(faults: Faults, x: Array) -> Array:
    """Return a signal as floats; note a fault if it is not real and long enough, or a tensor not finite."""
    if isinstance(x, np.ndarray):
        x = faults.real_array("x", x)
    else:
        xp = namespace(x)
        if xp.isdtype(x.dtype, "complex floating"):
            faults.add("x", x, "the entries are complex numbers: give real ones")
            return x
        if not xp.isdtype(x.dtype, "real floating"):
            x = xp.astype(x, xp.float64)
        if not bool(xp.all(xp.isfinite(x))):
            faults.add("x", x, "some entries are not finite")
    if 0 in x.shape:
        faults.add("x", x, "there are no samples")
    return x


def _real_orders(faults: Faults, order: Any, x: Array) -> Array:
    """Return orders as float64 where ``x`` lives; note a fault if they are not real and finite."""
    if not hasattr(order, "shape") and not is_number(order) and not isinstance(order, list | tuple):
        faults.add("order", order, "give a real number, or one for each signal")
        return np.zeros(())
    if isinstance(x, np.ndarray) and hasattr(order, "detach"):
        faults.say("order is a tensor but x is not: give both as tensors")
        return np.zeros(())
    checked = faults.real_array("order", to_numpy(order) if hasattr(order, "shape") else order, finite=True)
    if isinstance(x, np.ndarray):
        return checked.astype(np.float64)
    # tensors keep their gradient on the way to another device
    placed = to_device(order, device(x)) if isinstance(order, type(x)) else as_array(checked, x)
    return namespace(x).astype(placed, namespace(x).float64)
