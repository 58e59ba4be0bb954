"""The activation gamma(x; n, s) between softplus and sigmoid, its derivatives, bound and mean slope."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from dynet._validate import Faults
from dynet.errors import InputError
from dynet.kernels.namespace import is_numpy, move_like, namespace
from dynet.systems.activations import magnitude
from dynet.typing import Array, ArrayLike

__all__ = ["gamma_activation", "gamma_mean_slope", "gamma_slope_bound"]


class Parts(NamedTuple):
    """What the formulas are made of, for z = n x: none of it overflows or cancels."""

    is_positive: Array  # z >= 0
    distance: Array  # |x|
    E: Array  # exp(-|z|)


def gamma_parts(x: Array, n: Array) -> Parts:
    """Return the parts; rounding n x costs exp(-|z|) a relative error of |z| times that of one operation."""
    distance = magnitude(x)
    return Parts(x >= 0, distance, namespace(x).exp(-(n * distance)))


def exact_parts(x: Array, n: Array) -> Parts:
    """Return the parts with the rounding of the product n x made good: every digit of exp(-|z|) counts."""
    xp = namespace(x)
    distance, n = xp.broadcast_arrays(magnitude(x), n)
    product = n * distance
    a, b = _halves(xp, n), _halves(xp, distance)
    rounding = ((a[0] * b[0] - product) + a[0] * b[1] + a[1] * b[0]) + a[1] * b[1]
    # halves of numbers near the largest ones overflow; exp(-z) is 0 there
    rounding = xp.where(xp.isfinite(rounding), rounding, xp.zeros_like(rounding))
    return Parts(x >= 0, distance, xp.exp(-product) * (1 - rounding))


def _halves(xp: Any, a: Array) -> tuple[Array, Array]:
    """Split numbers into two of half the digits, whose products are exact (Veltkamp)."""
    digits = 1 - round(math.log2(float(xp.finfo(a.dtype).eps)))
    large = (2.0 ** ((digits + 1) // 2) + 1) * a
    high = large - (large - a)
    return high, a - high


def _sigmoid(parts: Parts) -> Array:
    return namespace(parts.E).where(parts.is_positive, 1.0, parts.E) / (1 + parts.E)


def _soft(parts: Parts, n: Array) -> Array:
    """Return softplus(n x) / n, as the larger of x and 0 and what lies above it."""
    xp = namespace(parts.E)
    above = xp.log1p(parts.E) / n
    return xp.where(parts.is_positive, parts.distance, xp.zeros_like(parts.distance)) + above


def gamma_value(parts: Parts, n: Array, s: Array) -> Array:
    """Return gamma(x; n, s)."""
    return (1 - s) * _soft(parts, n) + s * _sigmoid(parts)


def gamma_slope(parts: Parts, n: Array, s: Array) -> Array:
    """Return the derivative with respect to x."""
    return (1 - s) * _sigmoid(parts) + s * n * (parts.E / (1 + parts.E) ** 2)


def _curvature(parts: Parts, n: Array, s: Array) -> Array:
    xp = namespace(parts.E)
    _, distance, E = parts
    # 1 - 2 p = -tanh(z / 2)
    tangent = xp.tanh(n * distance / 2)
    return n * E / (1 + E) ** 2 * ((1 - s) - s * n * xp.where(parts.is_positive, tangent, -tangent))


def gamma_slope_n(parts: Parts, n: Array, s: Array) -> Array:
    """Return the derivative with respect to n."""
    xp = namespace(parts.E)
    is_positive, distance, E = parts
    steepening = xp.where(is_positive, distance, -distance) * E / (1 + E) ** 2
    return s * steepening - (1 - s) * (xp.log1p(E) / n + distance * E / (1 + E)) / n


def gamma_slope_s(parts: Parts, n: Array, s: Array) -> Array:
    """Return the derivative with respect to s."""
    return _sigmoid(parts) - _soft(parts, n) + 0 * s


_FORMULAS = {None: gamma_value, "x": gamma_slope, "n": gamma_slope_n, "s": gamma_slope_s, "xx": _curvature}


def gamma_activation(
    x: ArrayLike, n: ArrayLike, s: ArrayLike, *, derivative: Literal["x", "n", "s", "xx"] | None = None
) -> Any:
    r"""Return the activation :math:`\gamma(x; n, s)`, or one of its derivatives.

    .. math:: \gamma(x; n, s) = (1 - s) \frac{\log(1 + e^{n x})}{n} + \frac{s}{1 + e^{-n x}}

    The gain n sets how sharp it turns, the saturation s how much it saturates: s = 0 is a softplus (n = 1 the usual
    one, n to infinity a ReLU), s = 1 a sigmoid.

    Parameters
    ----------
    x : array, DataArray or float
        Argument.
    n : array, DataArray or float
        Gain, positive.
    s : array, DataArray or float
        Saturation, in [0, 1]. Values outside are computed, with a warning: the function is then not monotone.
    derivative : {"x", "n", "s", "xx"}, optional
        Return the derivative with respect to that argument; "xx" is the second one with respect to x.

    Returns
    -------
    array, DataArray or float
        Of the type of ``x`` (a DataArray if one of the three is), broadcast; dtype and device of ``x`` are kept.

    Raises
    ------
    InputError
        If n is not positive, something is not numeric, or shapes do not fit.

    Warns
    -----
    UserWarning
        If s leaves [0, 1].

    Notes
    -----
    Errors stay within a few units of the last digit of the sum of the terms, however large n x is, in float32 as in
    float64: the rounding of the product n x is made good.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> dynet.gamma_activation(np.array([-1.0, 0.0, 1.0]), 5.0, 0.5)
    array([0.00401796, 0.31931472, 0.99732511])
    >>> float(dynet.gamma_activation(0.0, 5.0, 0.5, derivative="x"))
    0.875
    """
    if derivative not in _FORMULAS:
        raise InputError(f'derivative={derivative!r}: give "x", "n", "s", "xx" or None')
    check_gamma(n, s, s_outside="warn")
    if any(isinstance(value, xr.DataArray) for value in (x, n, s)):
        label = {"long_name": "activation" if derivative is None else f"derivative of the activation ({derivative})"}
        result = xr.apply_ufunc(_evaluate, x, n, s, kwargs={"derivative": derivative})
        return result.rename(None).assign_attrs(label)
    return _evaluate(x, n, s, derivative)


def _evaluate(x: Any, n: Any, s: Any, derivative: str | None) -> Any:
    if not hasattr(x, "detach"):
        faults = Faults()
        x = faults.real_array("x", x)
        faults.raise_if_any()
    n, s = move_like(n, x), move_like(s, x)
    try:
        np.broadcast_shapes(x.shape, n.shape, s.shape)
    except ValueError as error:
        raise InputError(f"x, n and s do not fit together: {error}") from error
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):
        result = _FORMULAS[derivative](exact_parts(x, n), n, s)
    return result[()] if is_numpy(result) else result


def gamma_slope_bound(n: ArrayLike, s: ArrayLike) -> Any:
    r"""Return the least upper bound of the slope of `gamma_activation` over all x.

    It is :math:`(1 + s (n - 1))^2 / (4 n s)`, taken on a hump, if s > 1 / (n + 1), and otherwise 1 - s, the slope far
    to the right.

    Parameters
    ----------
    n : array, DataArray or float
        Gain, positive.
    s : array, DataArray or float
        Saturation, in [0, 1].

    Returns
    -------
    array, DataArray or float
        A number that the norm of the weights times it must stay below for a network to contract.

    Raises
    ------
    InputError
        If n is not positive or s not in [0, 1].

    Examples
    --------
    >>> import dynet
    >>> float(dynet.gamma_slope_bound(4.0, 1.0)), float(dynet.gamma_slope_bound(4.0, 0.1))
    (1.0, 0.9)
    """
    check_gamma(n, s, s_outside="error")
    return xr.apply_ufunc(_bound, plain(n), plain(s))


def _bound(n: Any, s: Any) -> Any:
    n, s = np.asarray(n, dtype=float), np.asarray(s, dtype=float)
    hump = (n + 1) * s > 1
    return np.where(hump, (1 + s * (n - 1)) ** 2 / (4 * n * np.where(hump, s, 1.0)), 1 - s)[()]


def gamma_mean_slope(n: ArrayLike, s: ArrayLike, half_width: ArrayLike) -> Any:
    r"""Return the mean slope of `gamma_activation` over x uniform in (-L, L), L being ``half_width``.

    It is :math:`(1 - s) / 2 + s \tanh(n L / 2) / (2 L)`.

    Parameters
    ----------
    n : array, DataArray or float
        Gain, positive.
    s : array, DataArray or float
        Saturation, in [0, 1].
    half_width : array, DataArray or float
        L, positive.

    Returns
    -------
    array, DataArray or float

    Raises
    ------
    InputError
        If n or L is not positive or s not in [0, 1].

    Examples
    --------
    >>> import dynet
    >>> float(dynet.gamma_mean_slope(4.0, 0.5, 5.0))
    0.3
    """
    faults = Faults()
    _positive(faults, "half_width", half_width, "give positive numbers")
    faults.raise_if_any()
    check_gamma(n, s, s_outside="error")
    return xr.apply_ufunc(_mean_slope, *map(plain, (n, s, half_width)))


def _mean_slope(n: Any, s: Any, L: Any) -> Any:
    n, s, L = (np.asarray(value, dtype=float) for value in (n, s, L))
    return ((1 - s) / 2 + s * np.tanh(n * L / 2) / (2 * L))[()]


def check_gamma(n: Any, s: Any, *, s_outside: Literal["warn", "error"]) -> None:
    """Check gains and saturations: raise for what has no meaning, warn where the activation is not monotone."""
    faults = Faults()
    _positive(faults, "n", n)
    values = faults.real_array("s", plain(s), finite=True)
    outside = values[(values < 0) | (values > 1)]
    if outside.size and s_outside == "error":
        faults.add("s", float(outside[0]), "give saturations in [0, 1]")
    faults.raise_if_any()
    if outside.size:
        warnings.warn(
            f"s={outside[0]:g} is outside [0, 1]: the activation is not monotone there", UserWarning, stacklevel=3
        )


def _positive(
    faults: Faults, name: str, value: Any, way_out: str = "give positive numbers: the activation has a pole at n = 0"
) -> None:
    values = faults.real_array(name, plain(value), finite=True)
    if not (values > 0).all():
        faults.add(name, float(values[~(values > 0)][0]), way_out)


def plain(value: Any) -> Any:
    """Return a tensor as an array, without its gradient, and anything else as it is."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value
