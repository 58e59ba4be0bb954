"""Networks whose weights are drawn at random or are rotations."""

from __future__ import annotations

from typing import Literal

import numpy as np

from dynet._validate import Faults
from dynet.systems.cells import Elman
from dynet.systems.elman_networks import rate_network, tanh_rnn
from dynet.systems.flow import Flow
from dynet.systems.layered_systems import map_of
from dynet.systems.map import Map
from dynet.systems.untied import UntiedLinearization, UntiedStep, UntiedWeights
from dynet.typing import ArrayLike, Rng

__all__ = ["random_tanh", "rotation_rnn"]


def random_tanh(
    n: int,
    g: float,
    delta: float = 1.0,
    *,
    W_xh: ArrayLike | None = None,
    untied: bool = False,
    rng: Rng = None,
) -> Map:
    """Return the random network ``x' = (1 - delta) x + delta (J tanh(x) + W_xh u)``, J_ij ~ N(0, g^2 / n).

    Parameters
    ----------
    n : int
        Number of units.
    g : float
        Gain; for delta = 1 and n -> inf the network without input is chaotic when g > 1.
    delta : float, default 1.0
        Leak, in (0, 1].
    W_xh : array (n, m), optional
        Input weights. ``np.eye(n)`` gives every unit an input of its own, the case of `theory.mean_field`.
    untied : bool, default False
        Draw a new J for every step (untied weights): mean-field equations without memory, products of independent
        matrices. J is a function of the number of the step and of ``rng``, drawn when it is needed and not kept.
    rng : Generator or int, optional
        Source of the weights; None means ``default_rng(0)``.

    Returns
    -------
    Map

    Raises
    ------
    InputError
        If an argument is out of range or does not fit.

    References
    ----------
    Engelken, Wolf & Abbott (2023), doi:10.1103/PhysRevResearch.5.043044; Molgedey, Schuchhardt & Schuster (1992),
    doi:10.1103/PhysRevLett.69.3717 (weights drawn anew in every step).

    Examples
    --------
    >>> import dynet
    >>> dynet.networks.random_tanh(50, 2.0, rng=1).like.shape
    (50,)
    """
    faults = Faults()
    if faults.integer("n", n, 1):
        faults.positive("g", g)
    if not (isinstance(delta, int | float) and 0 < delta <= 1):
        faults.add("delta", delta, "give a leak in (0, 1]")
    if not isinstance(untied, bool | np.bool_):
        faults.add("untied", untied, "give True or False")
    X = None if W_xh is None else faults.real_array("W_xh", W_xh, finite=True)
    if not faults and X is not None and (X.ndim != 2 or X.shape[0] != n or X.shape[1] == 0):
        faults.add("W_xh", X, f"give shape ({n}, channels)")
    faults.raise_if_any()
    random = np.random.default_rng(0 if rng is None else rng)
    if untied:
        params = UntiedWeights(int(random.integers(2**63)), int(n), float(g), X)
        step, linearize = UntiedStep(float(delta)), UntiedLinearization(float(delta))
        return Map(step, linearize=linearize, params=params, vectorized=True, like=np.zeros(n))
    J = random.normal(0.0, g / np.sqrt(n), (n, n))
    return map_of(Elman("tanh", "inside"), J, X, None, None, rate=float(delta))


def rotation_rnn(alpha: ArrayLike, theta: ArrayLike, *, form: Literal["map", "flow"] = "map") -> Map | Flow:
    """Return the tanh network whose weights are alpha times a rotation by theta.

    ``x' = tanh(alpha R(theta) x)`` or ``dx/dt = -x + tanh(alpha R(theta) x)``; arrays give a direct sum of
    two-unit networks.

    Parameters
    ----------
    alpha, theta : float or array (blocks,)
        Gain and angle (radians).
    form : {"map", "flow"}
        Discrete or continuous time.

    Returns
    -------
    Map or Flow

    Examples
    --------
    >>> import dynet, numpy as np
    >>> dynet.networks.rotation_rnn(1.0, np.pi / 2).params[0].W_hh.round(12)
    array([[ 0., -1.],
           [ 1.,  0.]])
    """
    faults = Faults()
    alpha = faults.real_array("alpha", alpha, finite=True)
    theta = faults.real_array("theta", theta, finite=True)
    faults.choice("form", form, ("map", "flow"))
    faults.raise_if_any()
    alphas, thetas = np.broadcast_arrays(np.atleast_1d(alpha), np.atleast_1d(theta))
    W = np.zeros((2 * alphas.size, 2 * alphas.size))
    for block, (a, angle) in enumerate(zip(alphas, thetas, strict=True)):
        c, s = a * np.cos(angle), a * np.sin(angle)
        W[2 * block : 2 * block + 2, 2 * block : 2 * block + 2] = [[c, -s], [s, c]]
    return tanh_rnn(W) if form == "map" else rate_network(W)
