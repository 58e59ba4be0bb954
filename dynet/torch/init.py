"""Weights that hold a gradient from the start: recurrent layers made of two-unit oscillators on stable limit cycles."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from dynet._validate import Faults, is_number
from dynet.errors import InputError
from dynet.systems.oscillation_windows import cycle_window
from dynet.typing import ArrayLike, Rng

__all__ = ["limit_cycle_"]

#: What the authors draw angles from, at a gain of 1.5.
AUTHORS_WINDOW = (np.pi / 21, np.pi / 3.8)
#: Circles whose exponent, over so many steps, is more negative than so many nats in the whole run are locked.
_STEPS, _SETTLING, _LOCKED = 3_000, 1_000, 10.0
_MOST_DRAWS = 100


def limit_cycle_(
    module: nn.RNN | nn.GRU,
    *,
    alpha: ArrayLike = 1.5,
    theta: ArrayLike | None = None,
    alpha_range: tuple[float, float] | None = None,
    window: Literal["map", "flow"] = "map",
    layers: int | Iterable[int] | None = None,
    rng: Rng = None,
) -> nn.RNN | nn.GRU:
    r"""Make the recurrent weights of a module a sum of two-unit oscillators, each on a stable limit cycle; in place.

    ``W_hh`` becomes block-diagonal with blocks :math:`\alpha_i R(\theta_i)`, R a rotation; of a GRU the candidate's
    weights become :math:`2 \alpha_i R(\theta_i)` and those of the gates 0, so that it takes the steps
    :math:`h' = h / 2 + \tanh(\alpha R h) / 2`. The recurrent and input biases become 0; input weights stay. Every
    block has one zero Lyapunov exponent: a gradient with respect to its phase neither vanishes nor explodes.

    Parameters
    ----------
    module : torch.nn.RNN (tanh) or torch.nn.GRU
        With any number of layers and directions. It is changed.
    alpha : float or array (block,), default 1.5
        Gain of each block, in the module's own map (of a GRU half of that of its weights).
    theta : float or array (block,), optional
        Angle of each block in radians, about its turn in a step; drawn evenly from the window if not given.
    alpha_range : (float, float), optional
        Draw the gains evenly between these instead.
    window : {"map", "flow"}
        From where angles are drawn, and where they must lie: the window of the module's own map
        (`theory.cycle_window` with delta = 1, or 1/2 for a GRU), or the one of the flow; from it angles are drawn as
        the authors do, between pi / 21 and pi / 3.8.
    layers : int or sequence of int, optional
        Which layers, from 0; all if not given.
    rng : Generator or int, optional
        Source of gains and angles; None means ``default_rng(0)``.

    Returns
    -------
    module
        The same object.

    Raises
    ------
    InputError
        If the module is another one, or a gain or an angle is outside of the window, which the message tells.

    Warns
    -----
    UserWarning
        If a given angle is inside of the window but its rotation is locked (as pi / 4 in a tanh network, to an eighth):
        such a block has no zero exponent. Drawn angles are drawn again where that is so.

    Notes
    -----
    The last unit of a layer of odd size belongs to no block: it gets no recurrent weights, and forgets. Layers above
    the first, and all layers while there is input, are driven oscillators: input may lock or silence them.

    Two things help training. From a state of zeros the first input sets the phases; a start signal, or a first state
    on the cycles, does that better. And what a recurrent weight does to a phase goes on growing with time, so that its
    gradient outgrows those of input and readout on long sequences: give recurrent weights and biases a lower rate.

    References
    ----------
    Sokół, Jordan, Kadile & Park (2019), doi:10.1109/IEEECONF44664.2019.9049080; Jordan, Sokół & Park (2021),
    doi:10.3389/fncom.2021.678158.

    Examples
    --------
    >>> import dynet, numpy as np, torch
    >>> rnn = dynet.torch.limit_cycle_(torch.nn.RNN(3, 8), rng=1)
    >>> ds = dynet.lyapunov_spectrum(dynet.torch.from_module(rnn, dtype="float64"), [0.1] * 8, 2_000,
    ...     inputs=np.zeros((3_000, 3)), n_transient=1_000)
    >>> int((abs(ds.lyapunov_exponent) < 0.005).sum())
    4
    """
    faults = Faults()
    gates = _gates(module)
    chosen = _chosen_layers(faults, module, layers)
    faults.choice("window", window, ("map", "flow"))
    n_blocks = module.hidden_size // 2
    gains = _per_block(faults, "alpha", alpha, n_blocks)
    angles = None if theta is None else _per_block(faults, "theta", theta, n_blocks)
    if alpha_range is not None:
        _check_range(faults, alpha_range)
    if n_blocks == 0:
        faults.add("module.hidden_size", module.hidden_size, "an oscillator takes two units")
    faults.raise_if_any()
    random = np.random.default_rng(0 if rng is None else rng)
    suffixes = [f"l{layer}{end}" for layer in chosen for end in (("", "_reverse") if module.bidirectional else ("",))]
    drawn = []
    for _ in suffixes:  # nothing is written before all of it is known to fit
        a = gains if alpha_range is None else random.uniform(*alpha_range, n_blocks)
        ends = _window(a, window, gates)
        if angles is None:
            drawn.append((a, _draw(random, a, ends, window, gates)))
        else:
            _check_angles(a, angles, ends, window, gates)
            drawn.append((a, angles))
    with torch.no_grad():
        for suffix, (a, t) in zip(suffixes, drawn, strict=True):
            _write(module, suffix, _blocks(module.hidden_size, a, t), gates)
    return module


def _gates(module: Any) -> int:
    """Return how many gates the module's cell has, or say what to give."""
    if isinstance(module, nn.Module) and parametrize.is_parametrized(module):
        raise InputError(
            f"module={type(module).__name__}: its weights are computed by a parametrization, and what is written "
            "to them is lost: initialise it before it is parametrized"
        )
    if isinstance(module, nn.RNN) and module.nonlinearity == "tanh":
        return 1
    if isinstance(module, nn.GRU):
        return 3
    kind = type(module).__name__ + ('(nonlinearity="relu")' if isinstance(module, nn.RNN) else "")
    raise InputError(f"module={kind}: give a torch.nn.RNN with tanh, or a torch.nn.GRU")


def _chosen_layers(faults: Faults, module: Any, layers: Any) -> list[int]:
    wanted = range(module.num_layers) if layers is None else list(layers) if isinstance(layers, Iterable) else [layers]
    if not wanted:
        faults.add("layers", layers, "name at least one layer, or leave it out for all")
    for layer in wanted:
        faults.integer("layers", layer, 0, module.num_layers - 1, ", a layer of the module")
    return [] if len(faults) else sorted({int(layer) for layer in wanted})


def _per_block(faults: Faults, name: str, value: Any, n_blocks: int) -> np.ndarray:
    array = faults.real_array(name, value, finite=True)
    if array.shape not in ((), (n_blocks,)):
        faults.add(name, array, f"give one number, or one for each of the {n_blocks} blocks of two units")
        return np.zeros(n_blocks)
    return np.broadcast_to(array, (n_blocks,)).astype(np.float64)


def _check_range(faults: Faults, value: Any) -> None:
    fine = isinstance(value, tuple | list) and len(value) == 2 and all(is_number(end) for end in value)
    if not (fine and 1 < value[0] <= value[1] < np.inf):
        faults.add("alpha_range", value, "give two gains above 1, the smaller one first")


def _window(alpha: np.ndarray, window: str, gates: int) -> np.ndarray:
    """Return the ends (block, 2) between which angles must lie."""
    own = (
        cycle_window(alpha, delta=1.0 if gates == 1 else 0.5) if (alpha > 0).all() else np.full((alpha.size, 2), np.nan)
    )
    if np.isnan(own).any():
        bad = int(np.argmax(np.isnan(own[:, 0])))
        raise InputError(f"alpha={alpha[bad]:g}: two units oscillate at no angle: give a gain above 1")
    if window == "flow":
        flow = cycle_window(alpha, form="flow")
        own = np.stack([own[:, 0], np.minimum(own[:, 1], flow[:, 1])], axis=1)
    return own


def _check_angles(alpha: np.ndarray, theta: np.ndarray, ends: np.ndarray, window: str, gates: int) -> None:
    # the tanh network turned by a quarter is the same one, and a mirrored one turns the other way
    folded = np.abs((theta + np.pi) % (2 * np.pi) - np.pi)
    folded = folded % (np.pi / 2) if gates == 1 and window == "map" else folded
    outside = ~((folded > ends[:, 0]) & (folded < ends[:, 1]))
    if outside.any():
        i = int(np.argmax(outside))
        low, high = ends[i]
        repeated = " modulo pi / 2" if gates == 1 and window == "map" else ""
        whose = {"flow": "the flow, as far as this module's map oscillates too", "map": "this module's map"}[window]
        raise InputError(
            f"theta={theta[i]:.6g}: at alpha = {alpha[i]:g} two units oscillate for angles between {low:.6g} and "
            f"{high:.6g}{repeated} (the window of {whose}): give angles inside, or none"
        )
    locked = _locked(alpha, theta, gates)
    if locked.any():
        i = int(np.argmax(locked))
        warnings.warn(
            f"theta={theta[i]:.6g} at alpha = {alpha[i]:g} is inside of the window, but its rotation is locked to a "
            f"fraction: {int(locked.sum())} of {locked.size} blocks have no zero exponent",
            stacklevel=3,
        )


def _draw(random: np.random.Generator, alpha: np.ndarray, ends: np.ndarray, window: str, gates: int) -> np.ndarray:
    """Return angles from the window at which the rotation is not locked."""
    low, high = ends.T if window == "map" else np.broadcast_to(AUTHORS_WINDOW, ends.shape).T
    if (low < ends[:, 0]).any() or (high > ends[:, 1]).any():
        i = int(np.argmax((low < ends[:, 0]) | (high > ends[:, 1])))
        raise InputError(
            f"alpha={alpha[i]:g}: the angles that the authors draw, {low[i]:.6g} to {high[i]:.6g}, are not inside of "
            f'the window {ends[i, 0]:.6g} to {ends[i, 1]:.6g} of the flow there: give 1.5, theta=, or window="map"'
        )
    theta = random.uniform(low, high)
    locked = _locked(alpha, theta, gates)
    for _ in range(_MOST_DRAWS):
        if not locked.any():
            return theta
        theta[locked] = random.uniform(low[locked], high[locked])
        locked[locked] = _locked(alpha[locked], theta[locked], gates)
    i = int(np.argmax(locked))
    raise InputError(f"alpha={alpha[i]:g}: nearly all rotations are locked at this gain: give one closer to 1")


def _locked(alpha: np.ndarray, theta: np.ndarray, gates: int) -> np.ndarray:
    """Return whether the largest exponent of each block (block,) is negative; its two units are a complex number."""
    delta = 1.0 if gates == 1 else 0.5
    weight = alpha * np.exp(1j * theta)
    x, v = np.full(alpha.shape, 0.5 + 0.1j), np.ones(alpha.shape, dtype=complex)
    growth = np.zeros(alpha.shape)
    for step in range(_SETTLING + _STEPS):
        a, b = weight * x, weight * v
        y, z = np.tanh(a.real), np.tanh(a.imag)
        x = (1 - delta) * x + delta * (y + 1j * z)
        v = (1 - delta) * v + delta * ((1 - y * y) * b.real + 1j * (1 - z * z) * b.imag)
        length = np.abs(v)
        growth[length == 0] = -np.inf  # saturated units
        length[length == 0] = 1.0
        v = v / length
        if step >= _SETTLING:
            growth += np.log(length)
    return growth < -_LOCKED


def _blocks(n: int, alpha: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Return the block-diagonal matrix (n, n); of an odd size the last row and column are zero."""
    W = np.zeros((n, n))
    first = np.arange(0, n - 1, 2)
    c, s = alpha * np.cos(theta), alpha * np.sin(theta)
    W[first, first], W[first, first + 1], W[first + 1, first], W[first + 1, first + 1] = c, -s, s, c
    return W


def _write(module: Any, suffix: str, W: np.ndarray, gates: int) -> None:
    H = module.hidden_size
    weight = getattr(module, f"weight_hh_{suffix}")
    weight.zero_()
    weight[(gates - 1) * H :] = torch.as_tensor(W if gates == 1 else 2 * W, dtype=weight.dtype, device=weight.device)
    if module.bias:
        getattr(module, f"bias_hh_{suffix}").zero_()
        getattr(module, f"bias_ih_{suffix}").zero_()
