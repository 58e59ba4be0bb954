"""Where two tanh units coupled by alpha times a rotation by theta oscillate: exact boundaries and the strong limit.

The flow is ``dx/dt = -x + tanh(alpha R(theta) x)``, the maps ``x' = (1 - delta) x + delta tanh(alpha R(theta) x)``. All
of them have the same fixed points.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults
from dynet.systems.theory_arguments import check_leak, numbers_argument
from dynet.typing import ArrayLike

__all__ = ["cycle_window", "hopf_angle", "neimark_sacker_angle", "saddle_node_angle", "strong_gain_cycle"]

REFERENCES = "Jordan, Sokół & Park (2021) doi:10.3389/fncom.2021.678158; Kuznetsov (2004) doi:10.1007/978-1-4757-3978-7"
#: Bisections after which an interval is at the rounding of its ends.
_BISECTIONS = 60
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
#: The largest angle is flat about its place: a bracket this narrow gives it to rounding.
_SECTIONS = 45


def saddle_node_angle(alpha: ArrayLike) -> Any:
    r"""Return the angle below which four pairs of fixed points stand on the circle, for the flow and for the maps.

    At :math:`\theta_{SN}(\alpha)` they annihilate each other at once, and a cycle of infinite period is left: a
    saddle-node bifurcation on an invariant circle.

    Parameters
    ----------
    alpha : float or array
        Gain, above 0.

    Returns
    -------
    float or array
        The angle in radians, of the shape of ``alpha``: 0 at alpha = 1, towards pi / 4 for alpha -> inf; NaN below 1,
        where the origin is the only fixed point.

    Raises
    ------
    InputError
        If a gain is not a positive number.

    Notes
    -----
    A fixed point has ``x = tanh(y)``, ``y = alpha R(theta) x``: theta is the angle from x to y. It is largest, over all
    points with ``|y| = alpha |x|``, where two fixed points meet.

    References
    ----------
    Kuznetsov (2004), doi:10.1007/978-1-4757-3978-7, section 7.1.

    Examples
    --------
    >>> import dynet
    >>> round(dynet.theory.saddle_node_angle(1.5), 12)
    0.147822070679
    """
    gains = _gains(alpha)
    angles = np.full(gains.shape, np.nan)
    angles[gains == 1] = 0.0
    above = gains > 1
    if above.any():
        angles[above] = _largest_turn(gains[above])
    return angles if angles.ndim else float(angles)


def _largest_turn(gains: np.ndarray) -> np.ndarray:
    """Return the largest angle between x and y over the directions of y, by golden section."""
    low, high = np.zeros_like(gains), np.full_like(gains, np.pi / 4)
    for _ in range(_SECTIONS):
        width = _GOLDEN * (high - low)
        left, right = high - width, low + width
        is_left = _turn(gains, left) > _turn(gains, right)
        low, high = np.where(is_left, low, left), np.where(is_left, right, high)
    return _turn(gains, (low + high) / 2)


def _turn(gains: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return the angle from ``x = tanh(y)`` to y, where ``|y| = alpha |x|`` and y points in the given direction."""
    c, s = np.cos(direction), np.sin(direction)
    low, high = np.zeros_like(gains), np.sqrt(2.0) * gains
    for _ in range(_BISECTIONS):
        r = (low + high) / 2
        is_small = r < gains * np.hypot(np.tanh(r * c), np.tanh(r * s))
        low, high = np.where(is_small, r, low), np.where(is_small, high, r)
    x0, x1 = np.tanh(r * c), np.tanh(r * s)
    return np.abs(np.arctan2(x0 * s - x1 * c, x0 * c + x1 * s))


def hopf_angle(alpha: ArrayLike) -> Any:
    r"""Return the angle at which the origin of the flow loses its stability, :math:`\arccos(1 / \alpha)`.

    The bifurcation is supercritical: for smaller angles there is a stable cycle, of frequency :math:`\tan(\theta) / 2
    \pi` and second exponent :math:`-2 (\alpha \cos\theta - 1)` near it.

    Parameters
    ----------
    alpha : float or array
        Gain, above 0.

    Returns
    -------
    float or array
        The angle in radians, of the shape of ``alpha``; NaN below 1, where the origin is always stable.

    Raises
    ------
    InputError
        If a gain is not a positive number.

    References
    ----------
    Kuznetsov (2004), doi:10.1007/978-1-4757-3978-7, section 3.4.

    Examples
    --------
    >>> import dynet
    >>> round(dynet.theory.hopf_angle(1.5), 6)
    0.841069
    """
    gains = _gains(alpha)
    angles = np.where(gains < 1, np.nan, np.arccos(np.minimum(1 / gains, 1.0)))
    return angles if angles.ndim else float(angles)


def neimark_sacker_angle(alpha: ArrayLike, delta: float = 1.0) -> Any:
    r"""Return the angle at which the origin of the map loses its stability.

    The multipliers of the origin are :math:`1 - \delta + \delta \alpha e^{\pm i\theta}`; their modulus is 1 at
    :math:`\cos\theta = (2 - \delta - \delta \alpha^2) / (2 (1 - \delta) \alpha)`. For smaller angles the origin is
    unstable.

    Parameters
    ----------
    alpha : float or array
        Gain, above 0.
    delta : float, default 1.0
        Leak, in (0, 1]; 1/2 for a GRU whose gates have no weights.

    Returns
    -------
    float or array
        The angle in radians, of the shape of ``alpha``: pi where the origin is unstable at every angle, NaN where it is
        stable at every angle. For delta = 1 it is one or the other: the boundary is ``alpha = 1``.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    Kuznetsov (2004), doi:10.1007/978-1-4757-3978-7, section 4.7.

    Examples
    --------
    >>> import dynet
    >>> round(dynet.theory.neimark_sacker_angle(1.5, 0.5), 6)
    1.318116
    """
    faults = Faults()
    gains = numbers_argument(faults, "alpha", alpha, above=True)
    check_leak(faults, delta)
    faults.raise_if_any()
    if delta == 1:
        angles = np.where(gains > 1, np.pi, np.nan)
    else:
        cosine = (2 - delta - delta * gains**2) / (2 * (1 - delta) * gains)
        angles = np.where(cosine > 1, np.nan, np.arccos(np.clip(cosine, -1.0, 1.0)))
    return angles if angles.ndim else float(angles)


def cycle_window(alpha: ArrayLike, *, form: Literal["map", "flow"] = "map", delta: float = 1.0) -> np.ndarray:
    r"""Return the angles between which two units oscillate.

    The lower end is `saddle_node_angle`; the upper one is `hopf_angle` for flows and `neimark_sacker_angle` for maps
    with delta < 1. The map with delta = 1 is the same, up to a quarter turn a step, at theta + pi / 2, and mirrored at
    pi / 2 - theta: its window is (theta_SN, pi / 2 - theta_SN), modulo pi / 2. Negative angles turn the other way.

    Parameters
    ----------
    alpha : float or array
        Gain, above 0.
    form : {"map", "flow"}
        Discrete or continuous time.
    delta : float, default 1.0
        Leak of the map, in (0, 1]: 1 for a tanh network, 1/2 for a GRU whose gates have no weights.

    Returns
    -------
    array (..., 2)
        Lower and upper end in radians; NaN where there is no oscillation at any angle.

    Raises
    ------
    InputError
        If an argument is out of range.

    Notes
    -----
    For flows the window is exact: a stable cycle exists inside, none outside. In the window of a map there is an
    invariant circle near the bifurcation of the origin; on it the rotation may lock to a fraction p / q, where the
    largest exponent is negative. These tongues are thin at small gains (0.2 % of the angles at alpha = 1.5 and delta =
    1, all of them at theta = pi / 4) and wide at large ones (12 % at alpha = 2.9). With delta < 1 and gains above sqrt
    5 the window reaches beyond pi / 2, where wide tongues of thirds and halves are.

    References
    ----------
    Jordan, Sokół & Park (2021), doi:10.3389/fncom.2021.678158; Kuznetsov (2004), doi:10.1007/978-1-4757-3978-7.

    Examples
    --------
    >>> import dynet
    >>> dynet.theory.cycle_window(1.5, form="flow").round(4)
    array([0.1478, 0.8411])
    >>> dynet.theory.cycle_window(1.5).round(4)
    array([0.1478, 1.423 ])
    """
    faults = Faults()
    gains = numbers_argument(faults, "alpha", alpha, above=True)
    check_leak(faults, delta)
    faults.choice("form", form, ("map", "flow"))
    if form == "flow" and delta != 1:
        faults.add("delta", delta, 'it belongs to maps: leave it out with form="flow"')
    faults.raise_if_any()
    lower = np.asarray(saddle_node_angle(gains))
    if form == "flow":
        upper = np.asarray(hopf_angle(gains))
    elif delta == 1:
        upper = np.pi / 2 - lower
    else:
        upper = np.asarray(neimark_sacker_angle(gains, delta))
    is_empty = ~((gains > 1) & (lower < upper))
    return np.where(is_empty[..., None], np.nan, np.stack([lower, upper], axis=-1))


def strong_gain_cycle(theta: ArrayLike) -> xr.Dataset:
    r"""Return the cycle of the flow in the limit of large gains, where tanh is a sign.

    :math:`T = -4 \ln\tan(\theta - \pi/4)`, :math:`\mu_2 = \tan^4(\theta - \pi/4)`, so that :math:`\lambda_2 = -1`.

    Parameters
    ----------
    theta : float or array
        Angle in radians, in (pi / 4, pi / 2): all of the window that is left for alpha -> inf.

    Returns
    -------
    Dataset
        ``period``, ``frequency``, ``multiplier`` (the second one), ``second_exponent``, with dim ``theta`` if theta is
        an array. Exact in the limit.

    Raises
    ------
    InputError
        If an angle is outside.

    Examples
    --------
    >>> import dynet
    >>> round(float(dynet.theory.strong_gain_cycle(1.0).period), 6)
    6.09381
    """
    faults = Faults()
    angles = numbers_argument(faults, "theta", theta, above=True)
    if not faults and not ((angles > np.pi / 4) & (angles < np.pi / 2)).all():
        faults.add("theta", theta, f"give angles in (pi / 4, pi / 2) = ({np.pi / 4:.6g}, {np.pi / 2:.6g})")
    faults.raise_if_any()
    tangent = np.tan(angles - np.pi / 4)
    period = -4 * np.log(tangent)
    dims = ("theta",) * angles.ndim
    variables = {
        "period": (dims, period, "period", "time"),
        "frequency": (dims, 1 / period, "frequency", "1 / time"),
        "multiplier": (dims, tangent**4, "second Floquet multiplier", "1"),
        "second_exponent": (dims, np.full(angles.shape, -1.0), "second Lyapunov exponent", "nat / time"),
    }
    return dataset(variables, {"theta": angles}, {
        "title": "Cycle of two tanh units at large gain",
        "limit": "gain to infinity",
        "references": REFERENCES,
        "time_unit": "time",
    })  # fmt: skip


def _gains(alpha: ArrayLike) -> np.ndarray:
    faults = Faults()
    gains = numbers_argument(faults, "alpha", alpha, above=True)
    faults.raise_if_any()
    return gains
