"""Network systems: recurrent layers, rate networks and their flows, random and feedforward networks.

Weights may be numpy arrays or torch tensors; a list of weights stacks layers. All of them take batches of
states, and their Jacobians are operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from dynet._validate import Faults
from dynet.kernels.namespace import is_numpy, move_like, namespace
from dynet.systems.activations import ACTIVATIONS
from dynet.systems.cells import GRU, LSTM, Cell, Elman, GammaElman, GammaWeights, HiddenLSTM, Weights
from dynet.systems.feedforward import FeedforwardJacobian, FeedforwardStep
from dynet.systems.flow import Flow
from dynet.systems.gamma import check_gamma
from dynet.systems.map import Map
from dynet.systems.recurrent import (
    HiddenStep,
    Recurrence,
    RecurrentJacobian,
    RecurrentLinearization,
    RecurrentStep,
)
from dynet.systems.untied import UntiedLinearization, UntiedStep, UntiedWeights
from dynet.typing import Array, ArrayLike, Rng

__all__ = [
    "feedforward",
    "gamma_rnn",
    "gru",
    "gru_flow",
    "lstm",
    "random_tanh",
    "rate_network",
    "relu_rnn",
    "rotation_rnn",
    "tanh_rnn",
]

GRUForm = Literal["torch", "gated-product", "paper"]


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
    return _map_of(Elman("tanh"), W_hh, W_xh, None, b)


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
    return _map_of(Elman("relu"), W_hh, W_xh, None, b)


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
    return recurrent_map(GammaElman(), gamma_weights(layers, n, s, stacked=_is_list_of_layers(W_hh)))


def lstm(
    W_hh: ArrayLike,
    W_xh: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    b_xh: ArrayLike | None = None,
    *,
    state: Literal["full", "hidden"] = "full",
) -> Map:
    """Return an LSTM in torch's layout and gate order (i, f, g, o); W_hh comes first.

    Parameters
    ----------
    W_hh : array (4 n, n), or list of them
        Recurrent weights; a list stacks layers.
    W_xh : array (4 n, m), optional, or list
        Input weights.
    b_hh, b_xh : array (4 n,), optional, or list
        Biases.
    state : {"full", "hidden"}, default "full"
        The full state (h of all layers, then c of all layers), or the hidden states alone at the memories
        of the trajectory, the object of Vogt et al. (2022).

    Returns
    -------
    Map

    References
    ----------
    Hochreiter & Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735; Vogt et al. (2022),
    doi:10.3389/fams.2022.818799.

    Examples
    --------
    Without weights every memory decays by the forget gate alone:

    >>> import dynet, numpy as np
    >>> system = dynet.networks.lstm(np.zeros((4, 1)), b_hh=np.zeros(4))
    >>> ds = dynet.lyapunov_spectrum(system, [0.1, 0.1], 50, n_transient=5)
    >>> ds.lyapunov_exponent.values.round(6)
    array([-0.693147,      -inf])
    """
    faults = Faults()
    faults.choice("state", state, ("full", "hidden"))
    faults.raise_if_any()
    return _map_of(LSTM(), W_hh, W_xh, b_hh, b_xh, hidden=state == "hidden")


def gru(
    W_hh: ArrayLike,
    W_xh: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    b_xh: ArrayLike | None = None,
    *,
    form: GRUForm = "torch",
) -> Map:
    """Return a GRU ``h' = (1 - z) n + z h`` in torch's layout and gate order (r, z, n).

    Parameters
    ----------
    W_hh : array (3 n, n), or list of them
        Recurrent weights; a list stacks layers.
    W_xh : array (3 n, m), optional, or list
        Input weights.
    b_hh, b_xh : array (3 n,), optional, or list
        Biases.
    form : {"torch", "gated-product", "paper"}
        Where the reset gate stands: tanh(W x + b_x + r (U h + b_h)), tanh(W x + b_x + r (U h) + b_h), or
        tanh(W x + b_x + U (r h) + b_h).

    Returns
    -------
    Map

    References
    ----------
    Cho et al. (2014), doi:10.3115/v1/D14-1179.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> system = dynet.networks.gru(np.zeros((3, 1)))
    >>> ds = dynet.lyapunov_spectrum(system, [0.3], 50)
    >>> round(float(np.exp(ds.lyapunov_exponent[0])), 6)
    0.5
    """
    return _map_of(_gru_cell(form), W_hh, W_xh, b_hh, b_xh)


def gru_flow(
    W_hh: ArrayLike,
    W_xh: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    b_xh: ArrayLike | None = None,
    *,
    tau: float = 1.0,
    form: GRUForm = "torch",
) -> Flow:
    """Return the continuous GRU ``tau dh/dt = (1 - z) (n - h)``; its Euler map at dt = tau is `gru`.

    Parameters other than ``tau`` (time constant) are those of `gru`.

    References
    ----------
    Jordan, Sokół & Park (2021), doi:10.3389/fncom.2021.678158.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> flow = dynet.networks.gru_flow(np.zeros((3, 1)), form="paper")
    >>> float(flow.rhs(0.0, np.array([1.0]), np.empty(0), flow.params)[0])
    -0.5
    """
    return _flow_of(_gru_cell(form), tau, W_hh, W_xh, b_hh, b_xh)


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
    return _flow_of(Elman(activation, form), tau, W, W_xh, None, b)


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
    return _map_of(Elman("tanh", "inside"), J, X, None, None, rate=float(delta))


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
    layers = [_real(faults, f"W[{i}]", layer) for i, layer in enumerate(W)]
    if not layers:
        faults.add("W", W, "give at least one layer")
    faults.raise_if_any()
    n = layers[0].shape[-1]
    for i, layer in enumerate(layers):
        if tuple(layer.shape) != (n, n):
            faults.add(f"W[{i}]", layer, f"every layer must be square and of the same width, here {(n, n)}")
    biases = [_real(faults, f"b[{i}]", row) for i, row in enumerate(b)] if b is not None else None
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


def _gru_cell(form: str) -> GRU:
    faults = Faults()
    faults.choice("form", form, ("torch", "gated-product", "paper"))
    faults.raise_if_any()
    return GRU(form)


def _map_of(
    cell: Cell,
    W_hh: Any,
    W_xh: Any,
    b_hh: Any,
    b_xh: Any,
    *,
    rate: float = 1.0,
    hidden: bool = False,
) -> Map:
    layers = stacked_weights(cell, W_hh, W_xh, b_hh, b_xh)
    return recurrent_map(cell, layers, rate=rate, hidden=hidden)


def gamma_weights(layers: tuple[Weights, ...], n: Any, s: Any, *, stacked: bool) -> tuple[GammaWeights, ...]:
    """Return the weights of layers with the gains and saturations of their units; ``stacked``: lists are of layers."""
    faults = Faults()
    columns = []
    for name, value in (("n", n), ("s", s)):
        if not (stacked and isinstance(value, list | tuple)):
            entries = [value] * len(layers)
        elif len(value) == len(layers):
            entries = list(value)
        else:
            faults.add(name, value, f"give a list with one entry for each of the {len(layers)} layers of W_hh")
            continue
        entries = [_real(faults, name, entry) for entry in entries]
        for entry, w in zip(entries, layers, strict=True):
            if tuple(entry.shape) not in ((), (H := w.W_hh.shape[-1],)):
                faults.add(name, entry, f"give one number, or one for each of the {H} units")
        columns.append(entries)
    faults.raise_if_any()
    for gains, saturations in zip(*columns, strict=True):
        check_gamma(gains, saturations, s_outside="warn")
    return tuple(
        GammaWeights(w.W_hh, w.W_xh, w.b_hh, w.b_xh, move_like(gains, w.W_hh), move_like(saturations, w.W_hh))
        for w, gains, saturations in zip(layers, *columns, strict=True)
    )


def recurrent_map(cell: Cell, layers: tuple[Any, ...], *, rate: float = 1.0, hidden: bool = False) -> Map:
    """Return the map of stacked layers of one cell; ``hidden`` freezes the memories of an LSTM."""
    sizes = tuple(int(w.W_hh.shape[-1]) for w in layers)
    full = Recurrence((cell,) * len(layers), sizes, rate=rate)
    recurrence = Recurrence((HiddenLSTM(),) * len(layers), sizes) if hidden else full
    return Map(
        HiddenStep(recurrence, full) if hidden else RecurrentStep(recurrence),
        RecurrentJacobian(recurrence),
        linearize=RecurrentLinearization(recurrence),
        params=layers,
        vectorized=True,
        units=recurrence.labels(),
        like=_zeros(recurrence.n, layers[0].W_hh),
    )


def _flow_of(cell: Cell, tau: float, W_hh: Any, W_xh: Any, b_hh: Any, b_xh: Any) -> Flow:
    faults = Faults()
    faults.positive("tau", tau)
    faults.raise_if_any()
    layers = stacked_weights(cell, W_hh, W_xh, b_hh, b_xh)
    sizes = tuple(int(w.W_hh.shape[-1]) for w in layers)
    recurrence = Recurrence((cell,) * len(layers), sizes, rate=1 / float(tau), flow=True)
    return Flow(
        RecurrentStep(recurrence),
        RecurrentJacobian(recurrence),
        params=layers,
        vectorized=True,
        units=recurrence.labels(),
        like=_zeros(recurrence.n, layers[0].W_hh),
    )


def _zeros(n: int, W: Array) -> Array:
    xp = namespace(W)
    return np.zeros(n, dtype=W.dtype) if is_numpy(W) else xp.zeros(n, dtype=W.dtype, device=W.device)


def stacked_weights(cell: Cell, W_hh: Any, W_xh: Any, b_hh: Any, b_xh: Any) -> tuple[Weights, ...]:
    """Return the weights of every layer, or one error that names each that does not fit."""
    faults = Faults()
    columns = {}
    n_layers = len(W_hh) if _is_list_of_layers(W_hh) else None
    for name, value in (("W_hh", W_hh), ("W_xh", W_xh), ("b_hh", b_hh), ("b_xh", b_xh)):
        if n_layers is None:
            entries: list[Any] = [value]
        elif value is None:
            entries = [None] * n_layers
        elif isinstance(value, list | tuple) and len(value) == n_layers:
            entries = list(value)
        else:
            faults.add(name, value, f"give a list with one entry for each of the {n_layers} layers of W_hh")
            continue
        label = name if cell.n_gates > 1 or name.startswith("W") else "b"
        columns[name] = [
            None if entry is None else _real(faults, label if n_layers is None else f"{label}[{i}]", entry)
            for i, entry in enumerate(entries)
        ]
    faults.raise_if_any()
    layers = tuple(Weights(*row) for row in zip(*columns.values(), strict=True))
    G = cell.n_gates
    for i, w in enumerate(layers):
        where = "" if n_layers is None else f"[{i}]"
        H = w.W_hh.shape[-1]
        expected = f"({G} n, n)" if G > 1 else "(n, n)"
        if len(w.W_hh.shape) != 2 or w.W_hh.shape[0] != G * H or H == 0:
            faults.add(f"W_hh{where}", w.W_hh, f"a {cell.name} has recurrent weights of shape {expected}")
            continue
        below = layers[i - 1].W_hh.shape[-1] if i else None
        if w.W_xh is None:
            if i:
                faults.say(f"W_xh{where} is missing: layer {i} reads the {below} units of the layer below")
        elif len(w.W_xh.shape) != 2 or w.W_xh.shape[0] != G * H or (i and w.W_xh.shape[1] != below):
            faults.add(f"W_xh{where}", w.W_xh, f"give shape ({G * H}, {below if i else 'channels'})")
        for name, bias in (("b_hh" if G > 1 else "b", w.b_hh), ("b_xh" if G > 1 else "b", w.b_xh)):
            if bias is not None and tuple(bias.shape) != (G * H,):
                faults.add(f"{name}{where}", bias, f"give shape ({G * H},)")
    faults.raise_if_any()
    return layers


def _is_list_of_layers(W: Any) -> bool:
    """Tell a list of matrices from one matrix, which may be written as nested lists."""
    return isinstance(W, list | tuple) and len(W) > 0 and np.ndim(W[0]) == 2


def _real(faults: Faults, name: str, value: Any) -> Array:
    if hasattr(value, "detach"):
        if not value.dtype.is_floating_point:
            faults.add(name, value.dtype, "give real floating point weights")
        return value
    return faults.real_array(name, value, finite=True)
