"""Does the Jacobian belong to the step? A directional difference tells, transposed ones included."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet.errors import InputError
from dynet.kernels.namespace import as_array, machine_epsilon, move_like, namespace, to_numpy
from dynet.systems.map import Map
from dynet.systems.runge_kutta import as_multiplier
from dynet.typing import Array, ArrayLike, Rng

__all__ = ["check_jacobian"]

#: Largest relative disagreement that is put down to differencing.
TOLERANCES = {8: 1e-4, 4: 5e-2}


def check_jacobian(system: Any, x0: ArrayLike, *, u: ArrayLike | None = None, t: float = 0.0, rng: Rng = None) -> float:
    """Compare ``J @ v`` with a central difference of the step along a random direction ``v``.

    Parameters
    ----------
    system : Map or Flow
        For a flow the vector field and its Jacobian are compared.
    x0 : array (n,) or (sequence, n)
        Where to compare.
    u : array (channel,), optional
        Input of that step.
    t : float, default 0.0
        Time of that step.
    rng : Generator or int, optional
        Source of the direction; None means ``default_rng(0)``.

    Returns
    -------
    float
        Smallest relative error over ``x0`` and three states near it (a kink may spoil some of them).

    Raises
    ------
    InputError
        If they disagree at every state, if the result of the step does not have the state's shape, or if
        the Jacobian does not have shape (n, n).
    DivergenceError
        If the step or the Jacobian is not finite at ``x0``.

    Examples
    --------
    >>> import dynet
    >>> dynet.check_jacobian(dynet.zoo.henon(), [0.1, 0.2]) < 1e-9
    True
    """
    if not isinstance(system, Map):
        system = Map(system.rhs, system.jac, params=system.params, vectorized=system.vectorized, like=system.like)
    x = np.asarray(x0, dtype=np.float64) if not hasattr(x0, "dtype") else x0
    if system.like is not None:
        x = move_like(x, system.like)
    elif to_numpy(x).dtype.kind != "f":
        x = np.asarray(x, dtype=np.float64)
    row = np.empty(0) if u is None else np.asarray(u, dtype=np.float64)
    return compare_jacobian(system.linearize, x, move_like(row, x), t, system.params, rng)


def compare_jacobian(linearize: Any, x: Array, u: Array, t: float, p: Any, rng: Rng, *, way_out: str = "") -> float:
    """Return the relative disagreement of ``J @ v`` and a difference at ``x``; raise if it is too large."""
    random = np.random.default_rng(0 if rng is None else rng)
    epsilon = machine_epsilon(x)
    tolerance = TOLERANCES[4 if epsilon > 1e-10 else 8]
    host = to_numpy(x).astype(np.float64)
    largest = np.abs(host).max() or 1.0
    own = np.where(host == 0, 1e-3 * largest, np.abs(host))  # every unit in its own size
    common = np.maximum(own, 1e-3)  # a state near zero may move on the scale of one all the same
    best, is_told = np.inf, False
    # kinks and jumps of the step sit at single places: look nearby before it is called wrong
    for distance, sizes in ((0.0, own), (1e-2, own), (1e-1, own), (1.0, own), (0.0, common), (1.0, common)):
        at = move_like(host + distance * sizes * random.standard_normal(x.shape), x)
        direction = move_like(sizes * random.uniform(-1, 1, x.shape), x)
        error, tells = _disagreement(linearize, at, direction, sizes, u, t, p, epsilon)
        if np.isfinite(error) and tells:
            is_told, best = True, min(best, error)
        if best <= tolerance:
            return best
    if not is_told:
        return 0.0  # differences drown in rounding everywhere: nothing speaks against the Jacobian
    raise InputError(
        f"jac disagrees with step along a random direction (relative error {best:.2g}); is it transposed? "
        f"Row i of J holds the derivatives of x_next[i]{way_out}"
    )


def _disagreement(
    linearize: Any, x: Array, direction: Array, sizes: np.ndarray, u: Array, t: float, p: Any, epsilon: float
) -> tuple[float, bool]:
    """Return the relative error of ``J @ direction`` against a difference, and whether rounding lets it tell."""
    h = epsilon ** (1 / 3)
    y, J = linearize(t, x, u, p)
    product = to_numpy((as_multiplier(J, x) @ direction[..., None])[..., 0]).astype(np.float64)
    upper = to_numpy(as_array(linearize(t, x + h * direction, u, p)[0], x)).astype(np.float64)
    lower = to_numpy(as_array(linearize(t, x - h * direction, u, p)[0], x)).astype(np.float64)
    # each unit of the result in its own size, so that a small one is not hidden behind a large one
    product, difference = product / sizes, (upper - lower) / (2 * h * sizes)
    scale = max(np.linalg.norm(product), np.linalg.norm(difference))
    rounding = 100 * epsilon * np.linalg.norm(to_numpy(as_array(y, x)).astype(np.float64) / sizes) / h
    if not scale > rounding:
        return 0.0, False
    return float(np.linalg.norm(product - difference) / scale), True


def is_float_array(x: Any) -> bool:
    """Return whether ``x`` is an array of real floating point numbers in its namespace."""
    xp = namespace(x)
    return bool(xp.isdtype(x.dtype, "real floating"))
