"""Activation functions with their slopes, on the array namespace."""

from __future__ import annotations

from collections.abc import Callable

from dynet.kernels.namespace import namespace
from dynet.typing import Array

__all__ = ["ACTIVATIONS", "identity", "relu", "sigmoid", "tanh"]


def tanh(a: Array) -> tuple[Array, Array]:
    """Return tanh(a) and its slope."""
    y = namespace(a).tanh(a)
    return y, 1 - y * y


def sigmoid(a: Array) -> tuple[Array, Array]:
    """Return 1 / (1 + exp(-a)) and its slope; written with tanh, which cannot overflow."""
    y = 0.5 * (1 + namespace(a).tanh(0.5 * a))
    return y, y * (1 - y)


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
