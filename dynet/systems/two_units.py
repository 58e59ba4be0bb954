"""Two tanh units coupled by alpha times a rotation by theta, compiled: the oscillator of block-diagonal networks."""

from __future__ import annotations

from math import cos, sin, tanh
from typing import Literal, NamedTuple

from dynet._validate import Faults, is_number
from dynet.systems.flow import Flow
from dynet.systems.inlined import inlined
from dynet.systems.map import Map
from dynet.systems.theory_arguments import check_leak

__all__ = ["TanhFlowParameters", "TanhMapParameters", "tanh_oscillator"]


class TanhFlowParameters(NamedTuple):
    """Parameters of two tanh units in continuous time."""

    alpha: float
    theta: float


class TanhMapParameters(NamedTuple):
    """Parameters of two tanh units in discrete time."""

    alpha: float
    theta: float
    delta: float


@inlined
def _rhs(t, x, u, p):  # type: ignore[no-untyped-def]
    c, s = p.alpha * cos(p.theta), p.alpha * sin(p.theta)
    return tanh(c * x[0] - s * x[1]) - x[0], tanh(s * x[0] + c * x[1]) - x[1]


@inlined
def _rhs_jac(t, x, u, p):  # type: ignore[no-untyped-def]
    c, s = p.alpha * cos(p.theta), p.alpha * sin(p.theta)
    y, z = tanh(c * x[0] - s * x[1]), tanh(s * x[0] + c * x[1])
    d, e = 1.0 - y * y, 1.0 - z * z
    return (c * d - 1.0, -s * d), (s * e, c * e - 1.0)


@inlined
def _step(t, x, u, p):  # type: ignore[no-untyped-def]
    c, s, keep = p.alpha * cos(p.theta), p.alpha * sin(p.theta), 1.0 - p.delta
    return keep * x[0] + p.delta * tanh(c * x[0] - s * x[1]), keep * x[1] + p.delta * tanh(s * x[0] + c * x[1])


@inlined
def _step_jac(t, x, u, p):  # type: ignore[no-untyped-def]
    c, s, keep = p.alpha * cos(p.theta), p.alpha * sin(p.theta), 1.0 - p.delta
    y, z = tanh(c * x[0] - s * x[1]), tanh(s * x[0] + c * x[1])
    d, e = p.delta * (1.0 - y * y), p.delta * (1.0 - z * z)
    return (keep + c * d, -s * d), (s * e, keep + c * e)


def tanh_oscillator(
    alpha: float = 1.5, theta: float = 0.5, *, form: Literal["map", "flow"] = "flow", delta: float = 1.0
) -> Map | Flow:
    """Return two tanh units whose weights are alpha times a rotation by theta.

    ``dx/dt = -x + tanh(alpha R(theta) x)`` or ``x' = (1 - delta) x + delta tanh(alpha R(theta) x)``. They oscillate
    inside of `theory.cycle_window`. `networks.rotation_rnn` makes networks of many such pairs.

    Parameters
    ----------
    alpha : float, default 1.5
        Gain.
    theta : float, default 0.5
        Angle in radians. At the defaults the period of the flow is 11.837013183489, its second exponent
        -0.434963685946.
    form : {"flow", "map"}
        Continuous or discrete time.
    delta : float, default 1.0
        Leak of the map, in (0, 1]: 1 for a tanh network, 1/2 for a GRU whose gates have no weights.

    Returns
    -------
    Flow or Map

    Raises
    ------
    InputError
        If an argument cannot be used.

    References
    ----------
    Jordan, Sokół & Park (2021), doi:10.3389/fncom.2021.678158.

    Examples
    --------
    >>> import dynet
    >>> cycle = dynet.find_limit_cycle(dynet.zoo.tanh_oscillator(), [0.5, 0.1])
    >>> round(float(cycle.period), 9)
    11.837013183
    """
    faults = Faults()
    for name, value in (("alpha", alpha), ("theta", theta)):
        if not (is_number(value) and abs(value) < float("inf")):
            faults.add(name, value, "give a number")
    faults.choice("form", form, ("flow", "map"))
    check_leak(faults, delta)
    if form == "flow" and delta != 1:
        faults.add("delta", delta, 'it belongs to maps: give form="map"')
    faults.raise_if_any()
    if form == "flow":
        return Flow(_rhs, _rhs_jac, params=TanhFlowParameters(float(alpha), float(theta)), units=("x", "y"))
    params = TanhMapParameters(float(alpha), float(theta), float(delta))
    return Map(_step, _step_jac, params=params, units=("x", "y"))
