"""The activation gamma(x; n, s) and its slope for functions that numba compiles, of numbers and of arrays."""

from __future__ import annotations

import math

from numba import vectorize

__all__ = ["compiled_gamma", "compiled_gamma_slope"]


@vectorize(nopython=True)
def compiled_gamma(x, n, s):  # type: ignore[no-untyped-def]
    """Return `dynet.gamma_activation` inside functions compiled by numba.

    Parameters
    ----------
    x, n, s : float or array
        Argument, gain (positive) and saturation, broadcast; nothing is checked.

    Returns
    -------
    float or array

    Examples
    --------
    >>> import dynet, numba
    >>> @numba.njit
    ... def step(t, x, u, p):
    ...     return dynet_gamma(p * x, 5.0, 0.3)
    >>> dynet_gamma = dynet.compiled_gamma
    >>> round(float(step(0.0, 0.7994169560, 0.0, 0.9)), 10)
    0.799416956
    """
    E = math.exp(-abs(n * x))
    p = (1.0 if x >= 0 else E) / (1.0 + E)
    soft = max(x, 0.0) + math.log1p(E) / n
    return (1.0 - s) * soft + s * p


@vectorize(nopython=True)
def compiled_gamma_slope(x, n, s):  # type: ignore[no-untyped-def]
    """Return the derivative of `compiled_gamma` with respect to x inside functions compiled by numba.

    Parameters and result are those of `compiled_gamma`.

    Examples
    --------
    >>> import dynet
    >>> float(dynet.compiled_gamma_slope(0.0, 5.0, 0.5))
    0.875
    """
    E = math.exp(-abs(n * x))
    p = (1.0 if x >= 0 else E) / (1.0 + E)
    return (1.0 - s) * p + s * n * (E / (1.0 + E) ** 2)
