"""Networks of adaptive units, and what is made of them: controllers held, neurons isolated, drives added."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dynet._validate import Faults, shown
from dynet.errors import InputError
from dynet.kernels.namespace import move_like, to_numpy
from dynet.systems.adaptive import AdaptiveElman, AdaptiveWeights
from dynet.systems.cells import Elman, GammaElman, Weights
from dynet.systems.layer_weights import gamma_weights, is_list_of_layers, real_weights, stacked_weights
from dynet.systems.layered_systems import recurrent_map
from dynet.systems.map import Map
from dynet.systems.recurrent import RecurrentStep
from dynet.typing import ArrayLike

__all__ = ["adaptive_rnn", "adaptive_weights", "frozen_controllers", "isolated", "require_adaptive", "with_drive"]


def adaptive_rnn(
    W_hh: ArrayLike,
    W_xh: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    W_ag: ArrayLike,
    W_gg: ArrayLike,
    b_g: ArrayLike | None = None,
    W_gn: ArrayLike,
    b_n: ArrayLike,
    W_gs: ArrayLike,
    b_s: ArrayLike = 0.0,
) -> Map:
    r"""Return a layer of units whose gains and saturations adapt: each has a controller of its own.

    .. math::
        a &= W_{hh} h + W_{xh} u + b, & g_i' &= \tanh(W_{ag} a_i + W_{gg} g_i + b_g), \\
        n_i &= W_{gn} g_i' + b_n, \quad s_i = W_{gs} g_i' + b_s, & h_i' &= \gamma(a_i; n_i, s_i)

    All units share the weights of the controller and differ in its state.

    Parameters
    ----------
    W_hh : array (units, units)
        Recurrent weights; one layer.
    W_xh : array (units, m), optional
        Input weights.
    b : array (units,), optional
        Bias.
    W_ag : array (states,)
        What a controller reads of the pre-activation of its unit.
    W_gg : array (states, states)
        Recurrent weights of the controller.
    b_g : array (states,), optional
        Bias of the controller.
    W_gn, W_gs : array (states,)
        Readouts of the gain n and of the saturation s.
    b_n : float or array (units,)
        Gain without the controller, shared or of each unit.
    b_s : float or array (units,), default 0.0
        Saturation without the controller.

    Returns
    -------
    Map
        The state is h (units,), then the controllers g of one unit after the other: ``units (1 + states)`` numbers,
        named ``h[i]`` and ``g[i][j]``, with coordinates ``part`` ("h", "g") and ``neuron`` (i). The Jacobian is an
        operator that is never built.

    Raises
    ------
    InputError
        If shapes do not fit.

    Notes
    -----
    A controller may bring a gain to zero, where the activation has a pole: the state is then NaN, which analyses
    report as a `dynet.DivergenceError`. Saturations outside [0, 1] are taken as they come; `adaptation_trace` counts
    them. With s < 1 the activation has no upper bound, and networks can diverge.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    Examples
    --------
    A controller without readouts leaves n and s alone:

    >>> import dynet, numpy as np
    >>> system = dynet.networks.adaptive_rnn(
    ...     [[0.9]], W_ag=[1.0], W_gg=[[0.5]], W_gn=[0.0], b_n=5.0, W_gs=[0.0], b_s=0.3
    ... )
    >>> list(system.units["unit"])
    ['h[0]', 'g[0][0]']
    >>> ds = dynet.lyapunov_spectrum(system, [0.5, 0.0], 200, n_transient=200)
    >>> ds.lyapunov_exponent.values[0].round(8)
    np.float64(-0.43349594)
    """
    faults = Faults()
    if is_list_of_layers(W_hh):
        faults.say("W_hh is a list of matrices: adaptive units come in one layer, give its matrix")
    faults.raise_if_any()
    (layer,) = stacked_weights(AdaptiveElman(1), W_hh, W_xh, None, b)
    given = {"W_ag": W_ag, "W_gg": W_gg, "b_g": b_g, "W_gn": W_gn, "b_n": b_n, "W_gs": W_gs, "b_s": b_s}
    w = adaptive_weights(layer, given)
    return recurrent_map(AdaptiveElman(int(w.W_ag.shape[0])), (w,))


def adaptive_weights(layer: Weights, given: dict[str, Any]) -> AdaptiveWeights:
    """Return the weights of a layer with those of its controller, or one error that names each that does not fit."""
    faults = Faults()
    H = layer.W_hh.shape[-1]
    arrays = {name: real_weights(faults, name, value) for name, value in given.items() if value is not None}
    faults.raise_if_any()
    W_ag = arrays["W_ag"]
    G = W_ag.shape[0] if len(W_ag.shape) == 1 else 0
    if G == 0:
        faults.add("W_ag", W_ag, "give one weight for each state of the controller, (states,)")
    faults.raise_if_any()
    expected = {"W_gg": (G, G), "b_g": (G,), "W_gn": (G,), "W_gs": (G,)}
    for name, shape in expected.items():
        if name in arrays and tuple(arrays[name].shape) != shape:
            faults.add(name, arrays[name], f"the controller has {G} states (W_ag): give shape {shape}")
    for name in ("b_n", "b_s"):
        if tuple(arrays[name].shape) not in ((), (1,), (H,)):
            faults.add(name, arrays[name], f"give one number, or one for each of the {H} units")
    faults.raise_if_any()
    moved = {name: move_like(value, layer.W_hh) for name, value in arrays.items()}
    moved.setdefault("b_g", 0 * moved["W_ag"])
    return AdaptiveWeights(*layer, **moved)


def require_adaptive(system: Any) -> tuple[AdaptiveElman, AdaptiveWeights]:
    """Return cell and weights of a map of adaptive units, or say that it is none."""
    step = getattr(system, "step", None)
    cells = step.recurrence.cells if isinstance(step, RecurrentStep) else ()
    if not (isinstance(system, Map) and len(cells) == 1 and isinstance(cells[0], AdaptiveElman)):
        name = type(system).__name__ if step is None else cells[0].name if cells else type(step).__name__
        raise InputError(
            f"system={shown(name)}: give a map of adaptive units, from dynet.networks.adaptive_rnn or "
            "dynet.torch.from_module, without an input bound to it"
        )
    (w,) = system.params
    return cells[0], w


def frozen_controllers(system: Map, n: ArrayLike, s: ArrayLike) -> Map:
    """Return the network of adaptive units with gains and saturations held: a `gamma_rnn` of the same weights.

    Parameters
    ----------
    system : Map
        Adaptive units.
    n, s : float or array (units,)
        What to hold, such as ``gain`` and ``saturation`` of an `adaptation_trace` at one time.

    Returns
    -------
    Map
        Its state is h alone.

    Raises
    ------
    InputError
        If the system has no adaptive units, shapes do not fit, or a gain is not positive.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> system = dynet.networks.adaptive_rnn(
    ...     0.9 * np.eye(2), W_ag=[1.0], W_gg=[[0.5]], W_gn=[0.2], b_n=5.0, W_gs=[0.1]
    ... )
    >>> dynet.networks.frozen_controllers(system, 5.0, [0.3, 0.4]).like.shape
    (2,)
    """
    _, w = require_adaptive(system)
    if getattr(system.step, "encode", None) is not None:
        raise InputError("system encodes raw inputs, its frozen network does not: make it without encode=")
    layers = gamma_weights((Weights(w.W_hh, w.W_xh, w.b_hh, w.b_xh),), n, s, stacked=False)
    return recurrent_map(GammaElman(), layers)


def isolated(system: Map) -> Map:
    """Return a recurrent network whose units do not hear each other: recurrent weights cut to their diagonal.

    Parameters
    ----------
    system : Map
        Made by a constructor of `dynet.networks` or by `dynet.torch.from_module`. Of gated units each gate keeps its
        diagonal; layers above the first still read those below.

    Returns
    -------
    Map
        With the same units.

    Raises
    ------
    InputError
        If the system has no recurrent weights.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> net = dynet.networks.tanh_rnn([[0.5, 3.0], [-3.0, 0.25]])
    >>> ds = dynet.lyapunov_spectrum(dynet.networks.isolated(net), [0.0, 0.0], 50, n_transient=50)
    >>> np.sort(np.exp(ds.lyapunov_exponent.values)).round(6)
    array([0.25, 0.5 ])
    """
    if not isinstance(system, Map) or getattr(system.step, "recurrence", None) is None:
        raise InputError(
            f"system={shown(type(system).__name__)}: give a map made by dynet.networks or dynet.torch.from_module"
        )
    return replace(system, params=tuple(w._replace(W_hh=_diagonals(w.W_hh)) for w in system.params))


def _diagonals(W: Any) -> Any:
    """Return a matrix (gates n, n) with all but the diagonal of each gate zero."""
    n = W.shape[-1]
    mask = np.tile(np.eye(n), (W.shape[0] // n, 1))
    return W * move_like(mask, W)


def with_drive(system: Map, drive: ArrayLike) -> Map:
    """Return a network with a constant drive added to the pre-activations of its units.

    Parameters
    ----------
    system : Map
        One layer of tanh, relu, gamma or adaptive units.
    drive : float or array (units,)
        Drive of all units, or of each.

    Returns
    -------
    Map

    Raises
    ------
    InputError
        If the system is another one, or shapes do not fit.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> net = dynet.networks.with_drive(dynet.networks.tanh_rnn(np.zeros((2, 2))), 1.0)
    >>> net.step(0.0, np.zeros(2), np.empty(0), net.params).round(6)
    array([0.761594, 0.761594])
    """
    recurrence = getattr(getattr(system, "step", None), "recurrence", None)
    cells: tuple[Any, ...] = () if recurrence is None else recurrence.cells
    if len(cells) != 1 or not isinstance(cells[0], Elman | AdaptiveElman) or getattr(cells[0], "form", "") == "inside":
        raise InputError(
            f"system={shown(cells[0].name if cells else type(system).__name__)}: give one layer of tanh, relu, gamma "
            "or adaptive units, whose pre-activations a drive can be added to"
        )
    (w,) = system.params
    return replace(system, params=(driven(w, drive),))


def driven(w: Any, drive: Any) -> Any:
    """Return weights whose bias holds a drive."""
    faults = Faults()
    H = w.W_hh.shape[-1]
    xi = faults.real_array("drive", to_numpy(drive) if hasattr(drive, "detach") else drive, finite=True)
    if not faults and xi.shape not in ((), (H,)):
        faults.add("drive", xi, f"give one number, or one for each of the {H} units")
    faults.raise_if_any()
    xi = move_like(np.broadcast_to(xi, (H,)), w.W_hh)
    return w._replace(b_hh=xi if w.b_hh is None else w.b_hh + xi)
