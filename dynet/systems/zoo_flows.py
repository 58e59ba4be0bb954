"""Flows whose answers are known on paper, or to many digits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dynet._validate import Faults
from dynet.systems.flow import Flow
from dynet.systems.inlined import inlined

__all__ = ["lorenz63", "lorenz96", "rossler", "stuart_landau", "van_der_pol"]


class LorenzParameters(NamedTuple):
    """Parameters of the Lorenz system."""

    sigma: float
    rho: float
    beta: float


@inlined
def _lorenz_rhs(t, x, u, p):  # type: ignore[no-untyped-def]
    return p.sigma * (x[1] - x[0]), x[0] * (p.rho - x[2]) - x[1], x[0] * x[1] - p.beta * x[2]


@inlined
def _lorenz_jac(t, x, u, p):  # type: ignore[no-untyped-def]
    return (-p.sigma, p.sigma, 0.0), (p.rho - x[2], -1.0, -x[0]), (x[1], x[0], -p.beta)


def lorenz63(sigma: float = 10.0, rho: float = 28.0, beta: float = 8 / 3) -> Flow:
    """Return the Lorenz system; the exponents sum to -(sigma + 1 + beta).

    Parameters
    ----------
    sigma, rho, beta : float, default 10, 28, 8/3
        The classical parameters.

    References
    ----------
    Lorenz (1963), doi:10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2.

    Examples
    --------
    >>> import dynet
    >>> flow = dynet.zoo.lorenz63()
    >>> ds = dynet.lyapunov_spectrum(flow.to_map(0.01), [1.0, 1.0, 20.0], 50_000, n_transient=2_000)
    >>> ds.lyapunov_exponent.values.round(1)
    array([  0.9,   0. , -14.6])
    """
    params = LorenzParameters(float(sigma), float(rho), float(beta))
    return Flow(_lorenz_rhs, _lorenz_jac, params=params, units=("x", "y", "z"))


class RosslerParameters(NamedTuple):
    """Parameters of the Rössler system."""

    a: float
    b: float
    c: float


@inlined
def _rossler_rhs(t, x, u, p):  # type: ignore[no-untyped-def]
    return -x[1] - x[2], x[0] + p.a * x[1], p.b + x[2] * (x[0] - p.c)


@inlined
def _rossler_jac(t, x, u, p):  # type: ignore[no-untyped-def]
    return (0.0, -1.0, -1.0), (1.0, p.a, 0.0), (x[2], 0.0, x[0] - p.c)


def rossler(a: float = 0.2, b: float = 0.2, c: float = 5.7) -> Flow:
    """Return the Rössler system; exponents 0.0714, 0, -5.39 at the default parameters.

    Parameters
    ----------
    a, b, c : float, default 0.2, 0.2, 5.7
        The parameters.

    References
    ----------
    Rössler (1976), doi:10.1016/0375-9601(76)90101-8.

    Examples
    --------
    >>> import dynet
    >>> flow = dynet.zoo.rossler()
    >>> ds = dynet.lyapunov_spectrum(flow.to_map(0.02), [1.0, 1.0, 0.0], 100_000, n_transient=5_000)
    >>> ds.lyapunov_exponent.values.round(1)
    array([ 0.1,  0. , -5.4])
    """
    params = RosslerParameters(float(a), float(b), float(c))
    return Flow(_rossler_rhs, _rossler_jac, params=params, units=("x", "y", "z"))


class Lorenz96Parameters(NamedTuple):
    """Parameter of the Lorenz-96 system."""

    forcing: float


@inlined
def _lorenz96_rhs(t, x, u, p):  # type: ignore[no-untyped-def]
    n = x.shape[0]
    out = np.empty_like(x)
    for i in range(n):
        out[i] = (x[(i + 1) % n] - x[i - 2]) * x[i - 1] - x[i] + p.forcing
    return out


@inlined
def _lorenz96_jac(t, x, u, p):  # type: ignore[no-untyped-def]
    n = x.shape[0]
    J = np.zeros((n, n), dtype=x.dtype)
    for i in range(n):
        after, before, before2 = (i + 1) % n, (i - 1) % n, (i - 2) % n
        J[i, after] += x[before]
        J[i, before2] -= x[before]
        J[i, before] += x[after] - x[before2]
        J[i, i] -= 1.0
    return J


def lorenz96(n: int = 40, forcing: float = 8.0) -> Flow:
    """Return the Lorenz-96 system; the exponents sum to -n.

    Parameters
    ----------
    n : int, default 40
        Number of sites on the ring, at least 4.
    forcing : float, default 8.0
        The forcing F. At 8 and 40 sites there are 13 positive exponents.

    References
    ----------
    Lorenz (1996), Predictability: a problem partly solved; Karimi & Paul (2010), doi:10.1063/1.3496397.

    Examples
    --------
    >>> import dynet
    >>> flow = dynet.zoo.lorenz96(6)
    >>> ds = dynet.lyapunov_spectrum(flow.to_map(0.01), [8.0, 8.0, 8.01, 8.0, 8.0, 8.0], 2_000)
    >>> round(float(ds.lyapunov_exponent.sum()), 6)
    -6.0
    """
    faults = Faults()
    faults.integer("n", n, 4)
    faults.raise_if_any()
    names = tuple(f"x{i}" for i in range(n))
    params = Lorenz96Parameters(float(forcing))
    return Flow(_lorenz96_rhs, _lorenz96_jac, params=params, units=names, like=np.zeros(n))


class VanDerPolParameters(NamedTuple):
    """Parameter of the van der Pol oscillator."""

    mu: float


@inlined
def _van_der_pol_rhs(t, x, u, p):  # type: ignore[no-untyped-def]
    return x[1], p.mu * (1.0 - x[0] * x[0]) * x[1] - x[0]


@inlined
def _van_der_pol_jac(t, x, u, p):  # type: ignore[no-untyped-def]
    return (0.0, 1.0), (-2.0 * p.mu * x[0] * x[1] - 1.0, p.mu * (1.0 - x[0] * x[0]))


def van_der_pol(mu: float = 1.0) -> Flow:
    """Return the van der Pol oscillator ``x'' - mu (1 - x^2) x' + x = 0``.

    Parameters
    ----------
    mu : float, default 1.0
        Strength of the damping. At 1 the period is 6.66328686 and the second exponent
        ln(0.00085969506) / 6.66328686.

    References
    ----------
    van der Pol (1926), doi:10.1080/14786442608564127.

    Examples
    --------
    >>> import dynet
    >>> flow = dynet.zoo.van_der_pol(1.0)
    >>> ds = dynet.lyapunov_spectrum(flow.to_map(0.01), [2.0, 0.0], 60_000, n_transient=6_000)
    >>> round(float(ds.lyapunov_exponent.sel(exponent=2)), 2)
    -1.06
    """
    return Flow(_van_der_pol_rhs, _van_der_pol_jac, params=VanDerPolParameters(float(mu)), units=("x", "v"))


class StuartLandauParameters(NamedTuple):
    """Parameters of the Stuart-Landau oscillator."""

    growth: float
    omega: float
    shear: float


@inlined
def _stuart_landau_rhs(t, x, u, p):  # type: ignore[no-untyped-def]
    square = x[0] * x[0] + x[1] * x[1]
    radial = p.growth - square
    angular = p.omega - p.shear * square
    return radial * x[0] - angular * x[1], radial * x[1] + angular * x[0]


@inlined
def _stuart_landau_jac(t, x, u, p):  # type: ignore[no-untyped-def]
    square = x[0] * x[0] + x[1] * x[1]
    radial = p.growth - square
    angular = p.omega - p.shear * square
    return (
        (radial - 2.0 * x[0] * x[0] + 2.0 * p.shear * x[0] * x[1],
         -angular - 2.0 * x[0] * x[1] + 2.0 * p.shear * x[1] * x[1]),
        (angular - 2.0 * x[0] * x[1] - 2.0 * p.shear * x[0] * x[0],
         radial - 2.0 * x[1] * x[1] - 2.0 * p.shear * x[0] * x[1]),
    )  # fmt: skip


def stuart_landau(growth: float = 1.0, omega: float = 1.0, shear: float = 0.0) -> Flow:
    """Return the Stuart-Landau oscillator ``z' = (growth + i omega) z - (1 + i shear) |z|^2 z``.

    Parameters
    ----------
    growth : float, default 1.0
        Distance from the Hopf bifurcation; the cycle has radius sqrt(growth).
    omega : float, default 1.0
        Frequency at the origin; on the cycle it is ``omega - shear * growth``.
    shear : float, default 0.0
        Dependence of the frequency on the amplitude.

    Examples
    --------
    The exponents of the cycle are 0 and -2 growth:

    >>> import dynet
    >>> flow = dynet.zoo.stuart_landau(0.3, 1.5, 0.4)
    >>> ds = dynet.lyapunov_spectrum(flow.to_map(0.01), [0.5, 0.0], 20_000, n_transient=5_000)
    >>> ds.lyapunov_exponent.values.round(3) + 0.0
    array([ 0. , -0.6])
    """
    params = StuartLandauParameters(float(growth), float(omega), float(shear))
    return Flow(_stuart_landau_rhs, _stuart_landau_jac, params=params, units=("x", "y"))
