"""Feedforward networks of constant width, whose time is depth."""

from __future__ import annotations

from collections.abc import Sequence

from dynet._validate import Faults
from dynet.kernels.namespace import namespace
from dynet.systems.activations import ACTIVATIONS
from dynet.systems.cells import Weights
from dynet.systems.feedforward import FeedforwardJacobian, FeedforwardStep
from dynet.systems.layer_weights import real_weights
from dynet.systems.map import Map
from dynet.typing import ArrayLike

__all__ = ["feedforward"]


def feedforward(W: Sequence[ArrayLike], b: Sequence[ArrayLike] | None = None, *, activation: str = "tanh") -> Map:
    """Return a feedforward network of constant width as a map whose time is depth.

    ``x_{t+1} = phi(W_t x_t + b_t)`` for t = 0 .. depth - 1.

    Parameters
    ----------
    W : sequence of array (n, n), or array (depth, n, n)
        Weights of the layers.
    b : sequence of array (n,), or array (depth, n), optional
        Biases.
    activation : {"tanh", "relu", "sigmoid", "identity"}
        The function phi.

    Returns
    -------
    Map
        It holds ``depth`` steps.

    Raises
    ------
    InputError
        If a layer has another width.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> net = dynet.networks.feedforward([2.0 * np.eye(3)] * 8, activation="identity")
    >>> dynet.lyapunov_spectrum(net, [1.0, 1.0, 1.0], 8, n_exponents=1).lyapunov_exponent.values.round(6)
    array([0.693147])
    """
    faults = Faults()
    faults.choice("activation", activation, ACTIVATIONS)
    layers = [real_weights(faults, f"W[{i}]", layer) for i, layer in enumerate(W)]
    if not layers:
        faults.add("W", W, "give at least one layer")
    faults.raise_if_any()
    n = layers[0].shape[-1]
    for i, layer in enumerate(layers):
        if tuple(layer.shape) != (n, n):
            faults.add(f"W[{i}]", layer, f"every layer must be square and of the same width, here {(n, n)}")
    biases = [real_weights(faults, f"b[{i}]", row) for i, row in enumerate(b)] if b is not None else None
    if biases is not None and (len(biases) != len(layers) or any(tuple(r.shape) != (n,) for r in biases)):
        faults.add("b", b, f"give one bias of shape ({n},) for each of the {len(layers)} layers")
    faults.raise_if_any()
    params = tuple(Weights(layer, None, None if biases is None else biases[i]) for i, layer in enumerate(layers))
    return Map(
        FeedforwardStep(activation),
        linearize=FeedforwardJacobian(activation),
        params=params,
        time_unit="layer",
        vectorized=True,
        like=namespace(layers[0]).zeros_like(layers[0][0, :]),
    )
