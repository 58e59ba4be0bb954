"""Activation functions with their slopes, on the array namespace."""

from __future__ import annotations

from collections.abc import Callable

from dynet.kernels.namespace import namespace
from dynet.typing import Array

__all__ = ["ACTIVATIONS", "identity", "relu", "sigmoid", "tanh"]


def _magnitude(a: Array) -> Array:
    """Return |a|, by a sign instead of abs: complex steps through the networks stay exact."""
    return namespace(a).where(a >= 0, a, -a)


def tanh(a: Array) -> tuple[Array, Array]:
    """Return tanh(a) and its slope 4 E / (1 + E)^2, E = exp(-2 |a|): 1 - y^2 has no digits left where y is near 1."""
    xp = namespace(a)
    E = xp.exp(-2 * _magnitude(a))
    return xp.tanh(a), 4 * E / (1 + E) ** 2


def sigmoid(a: Array) -> tuple[Array, Array]:
    """Return 1 / (1 + exp(-a)) and its slope E / (1 + E)^2, E = exp(-|a|), which cannot overflow or cancel."""
    xp = namespace(a)
    if hasattr(xp, "sigmoid"):  # torch's own, in one pass
        y = xp.sigmoid(a)
        return y, y * xp.sigmoid(-a)
    E = xp.exp(-_magnitude(a))
    total = 1 + E
    return xp.where(a >= 0, 1 / total, E / total), E / total**2


def relu(a: Array) -> tuple[Array, Array]:
    """Return max(a, 0) and its slope, 0 at the kink."""
    xp = namespace(a)
    active = xp.astype(a > 0, a.dtype)
    return a * active, active


def identity(a: Array) -> tuple[Array, Array]:
    """Return a and the slope 1."""
    return a, namespace(a).ones_like(a)


#: Activations by the name that constructors take.
ACTIVATIONS: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "tanh": tanh,
    "relu": relu,
    "sigmoid": sigmoid,
    "identity": identity,
}
