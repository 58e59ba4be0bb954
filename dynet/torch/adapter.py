"""torch's recurrent modules as maps: taken apart into weights, with analytic Jacobian operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import nn

from dynet._validate import Faults
from dynet.systems.adaptive import AdaptiveElman
from dynet.systems.cells import GRU, LSTM, Cell, Elman, GammaElman
from dynet.systems.coupled_oscillators import CoupledOscillators
from dynet.systems.layered_systems import recurrent_map
from dynet.systems.map import Map
from dynet.systems.recurrent import HiddenStep, RecurrentStep
from dynet.torch.cells_adapter import from_cell
from dynet.torch.copies import checked_dtype, evaluation_copy, refuse_training
from dynet.torch.encoding import Encoder
from dynet.torch.found_modules import find_recurrent, is_own_cell, kind_of
from dynet.torch.layer_weights import LayerWeights, stacked_layers
from dynet.torch.parameters import ParameterGradient

__all__ = ["from_module", "recurrent_system"]

#: Cells by torch's names of them, with the names that descriptions use; made for the weights of the first layer.
CELLS: dict[str, tuple[str, Callable[[Any], Cell]]] = {
    "RNN_TANH": ("tanh RNN", lambda _: Elman("tanh")),
    "RNN_RELU": ("relu RNN", lambda _: Elman("relu")),
    "GRU": ("GRU", lambda _: GRU()),
    "LSTM": ("LSTM", lambda _: LSTM()),
    "GAMMA": ("gamma RNN", lambda _: GammaElman()),
    "ADAPTIVE": ("adaptive RNN", lambda w: AdaptiveElman(int(w.W_ag.shape[0]))),
    "CORNN": ("coRNN", lambda _: CoupledOscillators()),
}
#: What torch calls the entries of `Weights`; those of other weights have their own names.
TENSORS = {"W_hh": "weight_hh", "W_xh": "weight_ih", "b_hh": "bias_hh", "b_xh": "bias_ih"}


def from_module(
    model: nn.Module,
    *,
    submodule: str | None = None,
    encode: Callable[[torch.Tensor], torch.Tensor] | None = None,
    state: Literal["full", "hidden"] = "full",
    dtype: torch.dtype | str | None = None,
) -> Map:
    """Return the map of a recurrent torch module, with its analytic Jacobian.

    The module is taken apart into copies of its weights and never changed. Any number of layers, with or
    without bias, in float32 or float64, on any device, ``batch_first`` or not; parametrised weights are
    evaluated once.

    Parameters
    ----------
    model : torch.nn.Module
        A ``nn.RNN``, ``nn.GRU``, ``nn.LSTM``, ``nn.RNNCell``, ``nn.GRUCell``, ``nn.LSTMCell``, a `GammaRNN`, an
        `AdaptiveRNN` or a `CoRNN`, or a model that holds one. Any other module that maps (input, state) to state and
        has ``hidden_size`` is given to `from_cell`, which makes its Jacobian matrix-free.
    submodule : str, optional
        Dotted name of the recurrent module inside ``model``, such as ``"net.rnn"``.
    encode : callable, optional
        What ``model`` does to its raw inputs first, such as ``model.embedding``. It is called once for each
        analysis, without gradients, with tokens (sequence, time) or numbers (sequence, time, channel), and
        returns (sequence, time, channel); the analysis then takes raw inputs. Modules and methods of modules
        are copied in evaluation mode; for that copy ``dtype`` holds too.
    state : {"full", "hidden"}, default "full"
        The full state: h of all layers, then c of all layers. "hidden", for LSTMs: h alone, at the memories
        of the trajectory, the object of Vogt et al. (2022).
    dtype : torch.float64 or torch.float32, optional
        Dtype of the analysis; the module's own if not given.

    Returns
    -------
    Map
        On the module's device. Units are named ``h[layer][i]`` and ``c[layer][i]``. Inputs are (time, channel)
        or (sequence, time, channel), whatever ``batch_first`` is. ``step.description`` says what was
        found.

    Raises
    ------
    InputError
        If the module is not recurrent (the message lists the recurrent submodules), is bidirectional, has
        ``proj_size``, overrides ``forward``, or is in training mode with active dropout or batch norm.

    References
    ----------
    Vogt et al. (2022), doi:10.3389/fams.2022.818799.

    See Also
    --------
    from_cell : A cell of one's own.
    from_state_dict : Weights without the module.

    Examples
    --------
    >>> import dynet, torch
    >>> from dynet.torch import from_module
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.LSTM(2, 3, dtype=torch.float64)
    >>> system = from_module(model)
    >>> system.step.description
    'LSTM, 1 layer of 3 units, 2 inputs'
    >>> ds = dynet.lyapunov_spectrum(system, None, 100, inputs=torch.randn(120, 2), n_transient=20)
    >>> bool((ds.lyapunov_exponent < 0).all())
    True
    """
    if is_own_cell(model) and submodule is None and encode is None and state == "full":
        size: Any = model.hidden_size
        return from_cell(model, {"h": size}, dtype=dtype)
    faults = Faults()
    faults.choice("state", state, ("full", "hidden"))
    faults.callable("encode", encode, "of the raw inputs, such as model.embedding", optional=True)
    wanted = checked_dtype(faults, dtype)
    module, where = find_recurrent(faults, model, submodule)
    faults.raise_if_any()
    assert module is not None
    refuse_training(faults, "model", model)
    label = f"submodule '{where}'" if where else f"model ({type(module).__name__})"
    kind = kind_of(faults, module, label)
    if state == "hidden" and kind != "LSTM":
        faults.add("state", state, f"only an LSTM has a memory to freeze, and {label} is no LSTM")
    faults.raise_if_any()
    layers = _layers(module, wanted)
    encoder = None
    if encode is not None:
        W = layers[0].W_xh
        assert W is not None
        encoder = Encoder(encode, W.shape[1], W[:0, 0], next(module.parameters()).dtype)
    found = f"submodule '{where}'" if where else ""
    return recurrent_system(kind, layers, found, hidden=state == "hidden", encode=encoder)


def recurrent_system(
    kind: str,
    layers: tuple[LayerWeights, ...],
    where: str = "",
    *,
    hidden: bool = False,
    encode: Encoder | None = None,
) -> Map:
    """Return the map of weights whose step has a description and, if there is one, an encoder.

    Parameters
    ----------
    kind : str
        A key of `CELLS`.
    layers : tuple of Weights
        Tensors without gradients; all are checked here to be usable.
    where : str
        Where the weights were found, for the description.
    hidden : bool
        Freeze the memories of an LSTM.
    encode : Encoder, optional
        Applied to raw inputs.

    Raises
    ------
    InputError
        If weights are not finite or of a dtype that cannot be analysed.
    """
    faults = Faults()
    for layer, weights in enumerate(layers):
        for field, tensor in weights._asdict().items():
            if tensor is None:
                continue
            name = TENSORS.get(field, field)
            if tensor.dtype not in (torch.float32, torch.float64):
                faults.say(
                    f"{name} of layer {layer} is {tensor.dtype}: give dtype=torch.float32 to from_module, or "
                    "tensor.float() for each tensor of a state dict"
                )
            elif not bool(tensor.isfinite().all()):
                faults.say(f"{name} of layer {layer} is not finite: the training of this model diverged")
    kinds = sorted({f"{w.dtype} on {w.device}" for layer in layers for w in layer if w is not None})
    if len(kinds) > 1 and not faults:
        faults.say(f"the weights are {' and '.join(kinds)}: bring all to one dtype and device")
    faults.raise_if_any()
    name, make_cell = CELLS[kind]
    system = recurrent_map(make_cell(layers[0]), layers, hidden=hidden)
    n_channels = layers[0].W_xh.shape[1]  # type: ignore[union-attr]
    description = (
        f"{name}, {_counted(len(layers), 'layer')} of {_counted(layers[0].W_hh.shape[1], 'unit')}, "
        f"{_counted(n_channels, 'input')}" + (f" ({where})" if where else "")
    )
    plain: Any = system.step
    step = HiddenModuleStep if hidden else ModuleStep
    described = step(plain, description, encode)
    return replace(system, step=described, jac_params=None if hidden else ParameterGradient(described))


class ModuleStep(RecurrentStep):
    """The step of a recurrent module: it knows its description, and how raw inputs are encoded (or None)."""

    def __init__(self, step: RecurrentStep, description: str, encode: Encoder | None) -> None:
        super().__init__(step.recurrence)
        self.description, self.encode = description, encode


class HiddenModuleStep(HiddenStep):
    """The same for the hidden states of an LSTM alone."""

    def __init__(self, step: HiddenStep, description: str, encode: Encoder | None) -> None:
        super().__init__(step.recurrence, step.full)
        self.description, self.encode = description, encode


def _layers(module: nn.Module, dtype: torch.dtype | None) -> tuple[LayerWeights, ...]:
    """Return the weights of every layer, read from a copy: parametrisations may change as they are read."""
    copied = evaluation_copy(module)
    with torch.no_grad():
        return stacked_layers(copied, lambda weight: weight.detach().to(dtype=dtype, copy=True))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
