"""Networks of one nonlinearity a unit: tanh, relu and gamma layers, and rate networks in continuous time."""

from __future__ import annotations

from typing import Literal

from dynet._validate import Faults
from dynet.systems.activations import ACTIVATIONS
from dynet.systems.cells import Elman, GammaElman
from dynet.systems.flow import Flow
from dynet.systems.layer_weights import gamma_weights, is_list_of_layers, stacked_weights
from dynet.systems.layered_systems import flow_of, map_of, recurrent_map
from dynet.systems.map import Map
from dynet.typing import ArrayLike

__all__ = ["gamma_rnn", "rate_network", "relu_rnn", "tanh_rnn"]


def tanh_rnn(W_hh: ArrayLike, W_xh: ArrayLike | None = None, b: ArrayLike | None = None) -> Map:
    """Return the map ``h' = tanh(W_hh h + W_xh u + b)``.

    Parameters
    ----------
    W_hh : array (n, n), or list of them
        Recurrent weights; a list stacks layers.
    W_xh : array (n, m), optional, or list
        Input weights; layers above the first read the new state of the layer below.
    b : array (n,), optional, or list
        Bias.

    Returns
    -------
    Map
        Units are named ``h[layer][i]``.

    Raises
    ------
    InputError
        If shapes do not fit.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> system = dynet.networks.tanh_rnn(np.diag([0.5, 0.25]))
    >>> ds = dynet.lyapunov_spectrum(system, [0.0, 0.0], 200, n_transient=50)
    >>> np.exp(ds.lyapunov_exponent.values).round(6)
    array([0.5 , 0.25])
    """
    return map_of(Elman("tanh"), W_hh, W_xh, None, b)


def relu_rnn(W_hh: ArrayLike, W_xh: ArrayLike | None = None, b: ArrayLike | None = None) -> Map:
    """Return the map ``h' = max(W_hh h + W_xh u + b, 0)``; the slope at the kink is 0.

    Parameters and errors are those of `tanh_rnn`. Dead units make the Jacobian singular: such exponents are
    -inf and marked ``below_resolution``.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> dynet.networks.relu_rnn(np.eye(2)).step(0.0, np.array([1.0, -1.0]), np.empty(0),
    ...     dynet.networks.relu_rnn(np.eye(2)).params)
    array([ 1., -0.])
    """
    return map_of(Elman("relu"), W_hh, W_xh, None, b)


def gamma_rnn(
    W_hh: ArrayLike,
    W_xh: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    n: ArrayLike,
    s: ArrayLike,
) -> Map:
    """Return the map ``h' = gamma(W_hh h + W_xh u + b; n, s)`` of units with gain n and saturation s.

    Parameters
    ----------
    W_hh : array (units, units), or list of them
        Recurrent weights; a list stacks layers.
    W_xh : array (units, m), optional, or list
        Input weights; layers above the first read the new state of the layer below.
    b : array (units,), optional, or list
        Bias.
    n : float or array (units,), or list of them
        Gain of `dynet.gamma_activation`, positive, shared or of each unit; a list gives each stacked layer its own.
    s : float or array (units,), or list of them
        Saturation in [0, 1]. Values outside are taken with a warning: the activation is not monotone there.

    Returns
    -------
    Map
        Units are named ``h[layer][i]``. The parameters are one namedtuple a layer; n and s are among them.

    Raises
    ------
    InputError
        If shapes do not fit or n is not positive.

    Notes
    -----
    With s < 1 the activation has no upper bound: such networks can diverge, which analyses report as a
    `dynet.DivergenceError`.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    Examples
    --------
    >>> import dynet
    >>> system = dynet.networks.gamma_rnn([[0.9]], n=5.0, s=0.3)
    >>> ds = dynet.lyapunov_spectrum(system, [0.5], 200, n_transient=200)
    >>> ds.lyapunov_exponent.values.round(8)
    array([-0.43349594])
    """
    layers = stacked_weights(GammaElman(), W_hh, W_xh, None, b)
    return recurrent_map(GammaElman(), gamma_weights(layers, n, s, stacked=is_list_of_layers(W_hh)))


def rate_network(
    W: ArrayLike,
    W_xh: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    tau: float = 1.0,
    activation: str = "tanh",
    form: Literal["outside", "inside"] = "outside",
) -> Flow:
    """Return a rate network in continuous time.

    ``form="outside"``: ``tau dx/dt = -x + phi(W x + W_xh u + b)``;
    ``form="inside"``: ``tau dx/dt = -x + W phi(x) + W_xh u + b``.

    Parameters
    ----------
    W : array (n, n), or list of them
        Recurrent weights; a list stacks layers.
    W_xh : array (n, m), optional, or list
        Input weights.
    b : array (n,), optional, or list
        Bias.
    tau : float, default 1.0
        Time constant.
    activation : {"tanh", "relu", "sigmoid", "identity"}
        The function phi.
    form : {"outside", "inside"}
        Where phi stands.

    Returns
    -------
    Flow

    References
    ----------
    Sompolinsky, Crisanti & Sommers (1988), doi:10.1103/PhysRevLett.61.259.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> flow = dynet.networks.rate_network(np.zeros((2, 2)), tau=2.0)
    >>> flow.rhs(0.0, np.array([1.0, -1.0]), np.empty(0), flow.params)
    array([-0.5,  0.5])
    """
    faults = Faults()
    faults.choice("activation", activation, ACTIVATIONS)
    faults.choice("form", form, ("outside", "inside"))
    faults.raise_if_any()
    return flow_of(Elman(activation, form), tau, W, W_xh, None, b)
