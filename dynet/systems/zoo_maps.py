"""Maps whose answers are known on paper."""

from __future__ import annotations

from typing import Any, NamedTuple

from dynet._validate import Faults
from dynet.systems.inlined import inlined
from dynet.systems.map import Map
from dynet.typing import Array, ArrayLike

__all__ = ["baker_map", "cat_map", "henon", "linear_map", "logistic", "skew_tent"]


class LinearStep:
    """``x -> A x``."""

    def __call__(self, t: float, x: Array, u: Array, A: Array) -> Array:
        return (A @ x[..., None])[..., 0]


class LinearJacobian:
    """The matrix itself."""

    def __call__(self, t: float, x: Array, u: Array, A: Array) -> Array:
        return A


def linear_map(A: ArrayLike) -> Map:
    """Return the linear map ``x' = A x``; its exponents are ``log|eig A|``.

    Parameters
    ----------
    A : array (n, n)
        The matrix.

    Raises
    ------
    InputError
        If ``A`` is not a square matrix of finite numbers.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.linear_map([[2.0, 1.0], [0.0, 0.5]]), [1, 1], 400, n_transient=50)
    >>> ds.lyapunov_exponent.values.round(6)
    array([ 0.693147, -0.693147])
    """
    faults = Faults()
    matrix = faults.real_array("A", A, finite=True)
    if not faults and (matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0):
        faults.add("A", matrix, "give a square matrix (n, n)")
    faults.raise_if_any()
    return Map(LinearStep(), LinearJacobian(), params=matrix, vectorized=True, like=matrix[0] * 0)


@inlined
def _cat_step(t, x, u, p):  # type: ignore[no-untyped-def]
    return (2.0 * x[0] + x[1]) % 1.0, (x[0] + x[1]) % 1.0


@inlined
def _cat_jac(t, x, u, p):  # type: ignore[no-untyped-def]
    return (2.0, 1.0), (1.0, 1.0)


def cat_map() -> Map:
    """Return Arnold's cat map ``[[2, 1], [1, 1]] mod 1``; exponents ±log((3 + sqrt 5) / 2).

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.cat_map(), [0.1, 0.3], 1_000, n_transient=50)
    >>> ds.lyapunov_exponent.values.round(9)
    array([ 0.96242365, -0.96242365])
    """
    return Map(_cat_step, _cat_jac, units=("x", "y"))


class BakerParameters(NamedTuple):
    """Parameter of the baker map."""

    a: float


@inlined
def _baker_step(t, x, u, p):  # type: ignore[no-untyped-def]
    if x[0] < p.a:
        return x[0] / p.a, p.a * x[1]
    return (x[0] - p.a) / (1.0 - p.a), p.a + (1.0 - p.a) * x[1]


@inlined
def _baker_jac(t, x, u, p):  # type: ignore[no-untyped-def]
    width = p.a if x[0] < p.a else 1.0 - p.a
    return (1.0 / width, 0.0), (0.0, width)


def baker_map(a: float = 0.5) -> Map:
    """Return the area-preserving baker map with strips a and 1 - a; exponents ±(-a ln a - (1-a) ln(1-a)).

    Parameters
    ----------
    a : float, default 0.5
        Width of the left strip, in (0, 1). At 1/2 (the fair map) orbits in floating point end on x = 0
        after about 50 steps; the exponents ±ln 2 do not depend on the orbit.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.baker_map(), [0.1, 0.3], 1_000, n_transient=50)
    >>> ds.lyapunov_exponent.values.round(3)
    array([ 0.693, -0.693])
    """
    _in_unit_interval("a", a)
    return Map(_baker_step, _baker_jac, params=BakerParameters(float(a)), units=("x", "y"))


class SkewTentParameters(NamedTuple):
    """Parameter of the skew tent map."""

    a: float


@inlined
def _tent_step(t, x, u, p):  # type: ignore[no-untyped-def]
    return (x[0] / p.a if x[0] < p.a else (1.0 - x[0]) / (1.0 - p.a),)


@inlined
def _tent_jac(t, x, u, p):  # type: ignore[no-untyped-def]
    return ((1.0 / p.a if x[0] < p.a else -1.0 / (1.0 - p.a),),)


def skew_tent(a: float = 0.3) -> Map:
    """Return the skew tent map with its tip at a; exponent -a ln a - (1-a) ln(1-a).

    Parameters
    ----------
    a : float, default 0.3
        Place of the tip, in (0, 1).

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.skew_tent(0.3), [0.4], 100_000)
    >>> abs(float(ds.lyapunov_exponent[0]) - 0.6109) < 0.01
    True
    """
    _in_unit_interval("a", a)
    return Map(_tent_step, _tent_jac, params=SkewTentParameters(float(a)), units=("x",))


class LogisticParameters(NamedTuple):
    """Parameter of the logistic map."""

    r: float


@inlined
def _logistic_step(t, x, u, p):  # type: ignore[no-untyped-def]
    return (p.r * x[0] * (1.0 - x[0]),)


@inlined
def _logistic_jac(t, x, u, p):  # type: ignore[no-untyped-def]
    return ((p.r * (1.0 - 2.0 * x[0]),),)


def logistic(r: float = 4.0) -> Map:
    """Return the logistic map ``r x (1 - x)``; exponent ln 2 at r = 4.

    Parameters
    ----------
    r : float, default 4.0
        Growth rate.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.logistic(), [0.3], 100_000)
    >>> round(float(ds.lyapunov_exponent[0]), 2)
    0.69
    """
    return Map(_logistic_step, _logistic_jac, params=LogisticParameters(float(r)), units=("x",))


class HenonParameters(NamedTuple):
    """Parameters of the Hénon map."""

    a: float
    b: float


@inlined
def _henon_step(t, x, u, p):  # type: ignore[no-untyped-def]
    return 1.0 - p.a * x[0] * x[0] + x[1], p.b * x[0]


@inlined
def _henon_jac(t, x, u, p):  # type: ignore[no-untyped-def]
    return (-2.0 * p.a * x[0], 1.0), (p.b, 0.0)


def henon(a: float = 1.4, b: float = 0.3) -> Map:
    """Return the Hénon map ``(1 - a x^2 + y, b x)``; the exponents sum to ln|b|.

    Parameters
    ----------
    a, b : float, default 1.4, 0.3
        The classical parameters.

    References
    ----------
    Hénon (1976), doi:10.1007/BF01608556.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 100_000, n_transient=100)
    >>> ds.lyapunov_exponent.values.round(2), float(ds.lyapunov_exponent.sum().round(9))
    (array([ 0.42, -1.62]), -1.203972804)
    """
    return Map(_henon_step, _henon_jac, params=HenonParameters(float(a), float(b)), units=("x", "y"))


def _in_unit_interval(name: str, value: Any) -> None:
    if not (isinstance(value, int | float) and 0 < value < 1):
        faults = Faults()
        faults.add(name, value, "give a number in (0, 1)")
        faults.raise_if_any()
