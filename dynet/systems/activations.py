"""Activation functions and their slopes, on the array namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dynet.kernels.namespace import namespace
from dynet.typing import Array

__all__ = ["ACTIVATIONS", "Activation", "identity", "magnitude", "relu", "sigmoid", "tanh"]


class Activation(NamedTuple):
    """A function and its derivative, both of the same argument: steps without a Jacobian need no slopes."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def magnitude(a: Array) -> Array:
    """Return |a|, by a sign instead of abs: complex steps through the networks stay exact."""
    return namespace(a).where(a >= 0, a, -a)


def _tanh(a: Array) -> Array:
    return namespace(a).tanh(a)


def _tanh_slope(a: Array) -> Array:
    return 4 * _sigmoid_slope(2 * a)


def _sigmoid(a: Array) -> Array:
    xp = namespace(a)
    if hasattr(xp, "sigmoid"):  # torch's own, in one pass
        return xp.sigmoid(a)
    E = xp.exp(-magnitude(a))
    return xp.where(a >= 0, 1.0, E) / (1 + E)


def _sigmoid_slope(a: Array) -> Array:
    xp = namespace(a)
    if hasattr(xp, "sigmoid"):
        return xp.sigmoid(a) * xp.sigmoid(-a)
    E = xp.exp(-magnitude(a))
    return E / (1 + E) ** 2


def _is_positive(a: Array) -> Array:
    return namespace(a).astype(a > 0, a.dtype)


def _relu(a: Array) -> Array:
    return a * _is_positive(a)


def _same(a: Array) -> Array:
    return a


def _ones(a: Array) -> Array:
    return namespace(a).ones_like(a)


#: tanh(a), with the slope 4 E / (1 + E)^2, E = exp(-2 |a|): 1 - y^2 has no digits left where y is near 1.
tanh = Activation(_tanh, _tanh_slope)
#: 1 / (1 + exp(-a)), with the slope E / (1 + E)^2, E = exp(-|a|), which cannot overflow or cancel.
sigmoid = Activation(_sigmoid, _sigmoid_slope)
#: max(a, 0), with the slope 0 at the kink.
relu = Activation(_relu, _is_positive)
identity = Activation(_same, _ones)

#: Activations by the name that constructors take.
ACTIVATIONS: dict[str, Activation] = {
    "tanh": tanh,
    "relu": relu,
    "sigmoid": sigmoid,
    "identity": identity,
}
