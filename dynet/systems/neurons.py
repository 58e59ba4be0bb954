"""Conductance-based neurons."""

from __future__ import annotations

import math
from typing import NamedTuple

from dynet._validate import Faults, is_number
from dynet.systems.flow import Flow
from dynet.systems.inlined import inlined

__all__ = ["hodgkin_huxley"]


class HodgkinHuxleyParameters(NamedTuple):
    """Parameters of the Hodgkin-Huxley neuron, a patch of one square centimetre."""

    current: float  # uA / cm^2
    g_sodium: float  # mS / cm^2
    g_potassium: float
    g_leak: float
    e_sodium: float  # mV
    e_potassium: float
    e_leak: float
    capacitance: float  # uF / cm^2
    temperature: float  # degrees Celsius


@inlined
def _quotient(x):  # type: ignore[no-untyped-def]
    """Return ``x / (1 - exp(-x))`` and its derivative, by their series near zero."""
    if abs(x) < 0.05:
        s = x * x
        value = 1.0 + x / 2.0 + s / 12.0 * (1.0 - s / 60.0 * (1.0 - s / 42.0))
        return value, 0.5 + x / 6.0 * (1.0 - s / 30.0 * (1.0 - s / 28.0 * (1.0 - s / 30.0)))
    e = math.exp(-x)
    return x / (1.0 - e), (1.0 - e - x * e) / ((1.0 - e) * (1.0 - e))


@inlined
def _opening(V):  # type: ignore[no-untyped-def]
    """Return the rates at which the gates m, h and n open and close (1 / ms), and their derivatives along V."""
    am, dam = _quotient((V + 40.0) / 10.0)
    an, dan = _quotient((V + 55.0) / 10.0)
    bm = 4.0 * math.exp(-(V + 65.0) / 18.0)
    ah = 0.07 * math.exp(-(V + 65.0) / 20.0)
    bh = 1.0 / (1.0 + math.exp(-(V + 35.0) / 10.0))
    bn = 0.125 * math.exp(-(V + 65.0) / 80.0)
    rates = (am, bm, ah, bh, 0.1 * an, bn)
    slopes = (0.1 * dam, -bm / 18.0, -ah / 20.0, bh * (1.0 - bh) / 10.0, 0.01 * dan, -bn / 80.0)
    return rates, slopes


@inlined
def _hodgkin_huxley_rhs(t, x, u, p):  # type: ignore[no-untyped-def]
    V, m, h, n = x[0], x[1], x[2], x[3]
    (am, bm, ah, bh, an, bn), _ = _opening(V)
    phi = 3.0 ** ((p.temperature - 6.3) / 10.0)
    sodium = p.g_sodium * m**3 * h * (V - p.e_sodium)
    potassium = p.g_potassium * n**4 * (V - p.e_potassium)
    return (
        (p.current - sodium - potassium - p.g_leak * (V - p.e_leak)) / p.capacitance,
        phi * (am * (1.0 - m) - bm * m),
        phi * (ah * (1.0 - h) - bh * h),
        phi * (an * (1.0 - n) - bn * n),
    )


@inlined
def _hodgkin_huxley_jac(t, x, u, p):  # type: ignore[no-untyped-def]
    V, m, h, n = x[0], x[1], x[2], x[3]
    (am, bm, ah, bh, an, bn), (dam, dbm, dah, dbh, dan, dbn) = _opening(V)
    phi = 3.0 ** ((p.temperature - 6.3) / 10.0)
    C, to_sodium, to_potassium = p.capacitance, V - p.e_sodium, V - p.e_potassium
    conductance = p.g_sodium * m**3 * h + p.g_potassium * n**4 + p.g_leak
    return (
        (
            -conductance / C,
            -3.0 * p.g_sodium * m**2 * h * to_sodium / C,
            -p.g_sodium * m**3 * to_sodium / C,
            -4.0 * p.g_potassium * n**3 * to_potassium / C,
        ),
        (phi * (dam * (1.0 - m) - dbm * m), -phi * (am + bm), 0.0, 0.0),
        (phi * (dah * (1.0 - h) - dbh * h), 0.0, -phi * (ah + bh), 0.0),
        (phi * (dan * (1.0 - n) - dbn * n), 0.0, 0.0, -phi * (an + bn)),
    )


def hodgkin_huxley(
    current: float = 10.0,
    *,
    g_sodium: float = 120.0,
    g_potassium: float = 36.0,
    g_leak: float = 0.3,
    e_sodium: float = 50.0,
    e_potassium: float = -77.0,
    e_leak: float = -54.387,
    capacitance: float = 1.0,
    temperature: float = 6.3,
) -> Flow:
    r"""Return the Hodgkin-Huxley neuron under a constant current, with the parameters of 1952.

    :math:`C \dot V = I - g_{Na} m^3 h (V - E_{Na}) - g_K n^4 (V - E_K) - g_L (V - E_L)`, and each gate opens and
    closes at its rates :math:`\alpha(V)` and :math:`\beta(V)`. Voltages are those inside, positive where depolarised,
    with the rest at -65 mV: minus the deviations of the paper, less 65 mV.

    Parameters
    ----------
    current : float, default 10.0
        In uA / cm^2, positive where it depolarises.
    g_sodium, g_potassium, g_leak : float, default 120, 36, 0.3
        Conductances in mS / cm^2.
    e_sodium, e_potassium, e_leak : float, default 50, -77, -54.387
        Reversal potentials in mV.
    capacitance : float, default 1.0
        In uF / cm^2.
    temperature : float, default 6.3
        In degrees Celsius; rates are three times as fast every ten degrees.

    Returns
    -------
    Flow
        Of the units V (mV), m, h and n, in ms.

    Raises
    ------
    InputError
        If a number is not finite, or the capacitance is not positive.

    References
    ----------
    Hodgkin & Huxley (1952), doi:10.1113/jphysiol.1952.sp004764; its bifurcations along the current: Rinzel & Miller
    (1980), Mathematical Biosciences 49, 27; Balti, Lanza & Aziz-Alaoui (2018), doi:10.3934/mbe.2018036.

    Examples
    --------
    At 10 uA / cm^2 it fires 68.3 times a second:

    >>> import dynet
    >>> cycle = dynet.find_limit_cycle(dynet.zoo.hodgkin_huxley(10.0), [0.0, 0.1, 0.4, 0.5])
    >>> round(1000 / float(cycle.period), 1)
    68.3
    """
    params = HodgkinHuxleyParameters(
        current, g_sodium, g_potassium, g_leak, e_sodium, e_potassium, e_leak, capacitance, temperature
    )
    faults = Faults()
    for name, value in params._asdict().items():
        if name == "capacitance":
            faults.positive(name, value)
        elif not (is_number(value) and math.isfinite(value)):
            faults.add(name, value, "give a finite number")
    faults.raise_if_any()
    params = HodgkinHuxleyParameters(*map(float, params))
    return Flow(_hodgkin_huxley_rhs, _hodgkin_huxley_jac, params=params, time_unit="ms", units=("V", "m", "h", "n"))
