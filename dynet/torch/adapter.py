"""torch's recurrent modules as maps: taken apart into weights, with analytic Jacobian operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import torch
from torch import nn
from torch.nn.utils import parametrize

from dynet._validate import Faults
from dynet.systems.adaptive import AdaptiveElman, AdaptiveWeights
from dynet.systems.cells import GRU, LSTM, Cell, Elman, GammaElman, GammaWeights, Weights
from dynet.systems.coupled_oscillators import CoupledOscillators, OscillatorWeights
from dynet.systems.gamma import check_gamma
from dynet.systems.layered_systems import recurrent_map
from dynet.systems.map import Map
from dynet.systems.recurrent import HiddenStep, RecurrentStep
from dynet.torch.adaptive import CONTROLLER, AdaptiveRNN
from dynet.torch.cells_adapter import from_cell
from dynet.torch.copies import checked_dtype, evaluation_copy, refuse_training
from dynet.torch.cornn import CoRNN
from dynet.torch.encoding import Encoder
from dynet.torch.modules import GammaRNN
from dynet.torch.parameters import ParameterGradient

__all__ = ["from_module", "recurrent_system", "stacked_layers"]

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
#: dynet's own modules: their key, the weights that their cell takes, and what those hold besides W_hh, W_xh and b.
OWN: dict[type[nn.Module], tuple[str, Any, tuple[str, ...]]] = {
    GammaRNN: ("GAMMA", GammaWeights, ("n", "s")),
    AdaptiveRNN: ("ADAPTIVE", AdaptiveWeights, CONTROLLER),
    CoRNN: ("CORNN", OscillatorWeights, ("W_zh", "dt", "gamma", "epsilon")),
}
RECURRENT: tuple[type[nn.Module], ...] = (nn.RNNBase, nn.RNNCellBase, *OWN)
#: What torch calls the entries of `Weights`; those of other weights have their own names.
TENSORS = {"W_hh": "weight_hh", "W_xh": "weight_ih", "b_hh": "bias_hh", "b_xh": "bias_ih"}
LayerWeights: TypeAlias = Weights | GammaWeights | AdaptiveWeights | OscillatorWeights
BIDIRECTIONAL = (
    "{where} is bidirectional: the backward direction reads the inputs from their end, so no step forwards "
    "in time gives the whole state. Analyse each direction of the first layer by itself (those above read "
    "both): from_state_dict with the keys that end in _reverse left out, or with only those, renamed without "
    "it and given the reversed inputs; or copy the weights into a module with bidirectional=False"
)
PROJECTED = (
    "{where} has proj_size > 0 (weight_hr): its projection is not supported; give from_cell a cell that "
    "computes one step of it"
)


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
    if _is_own_cell(model) and submodule is None and encode is None and state == "full":
        size: Any = model.hidden_size
        return from_cell(model, {"h": size}, dtype=dtype)
    faults = Faults()
    faults.choice("state", state, ("full", "hidden"))
    faults.callable("encode", encode, "of the raw inputs, such as model.embedding", optional=True)
    wanted = checked_dtype(faults, dtype)
    module, where = _find(faults, model, submodule)
    faults.raise_if_any()
    assert module is not None
    refuse_training(faults, "model", model)
    label = f"submodule '{where}'" if where else f"model ({type(module).__name__})"
    kind = _kind(faults, module, label)
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


def recurrent_names(model: nn.Module) -> str:
    """Return the recurrent submodules of ``model``, as an error lists them."""
    found = [
        f"submodule='{name}' ({type(module).__name__})"
        for name, module in model.named_modules()
        if isinstance(module, RECURRENT) and name
    ]
    return ", ".join(found)


def _is_own_cell(model: Any) -> bool:
    """Return whether a module is a cell of one's own that tells the size of its state as torch's cells do."""
    if not isinstance(model, nn.Module) or isinstance(model, RECURRENT) or recurrent_names(model):
        return False
    return isinstance(getattr(model, "hidden_size", None), int)


def _find(faults: Faults, model: Any, submodule: str | None) -> tuple[nn.Module | None, str]:
    """Return the recurrent module and its dotted name ("" for the model itself)."""
    if not isinstance(model, nn.Module):
        way_out = "give a torch.nn.Module"
        if isinstance(model, dict):
            way_out = "a state dict goes to from_state_dict"
        elif callable(model):
            way_out += "; a function of (input, state) goes to from_cell(function, {'h': n_units})"
        faults.add("model", type(model).__name__, way_out)
        return None, ""
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    name = type(model).__name__
    inside = recurrent_names(model)
    if submodule is None:
        module, where = model, ""
    else:
        try:
            module, where = model.get_submodule(submodule), submodule
        except (AttributeError, TypeError):
            faults.add("submodule", submodule, f"{name} has no submodule of that name; " + _offer(inside))
            return None, ""
    if isinstance(module, RECURRENT):
        return module, where
    if where:
        faults.add("submodule", where, f"{type(module).__name__} is not recurrent; " + _offer(inside))
    else:
        faults.say(f"model={name}: it is not itself a recurrent module; " + _offer(inside))
    return None, ""


def _offer(inside: str) -> str:
    own = (
        "a cell of your own goes to from_cell with the sizes of its state, such as from_cell(cell, {'h': "
        "64}), a vector field to from_vector_field"
    )
    return f"give one of {inside}; {own}" if inside else f"it holds no nn.RNN, nn.GRU or nn.LSTM: {own}"


def _kind(faults: Faults, module: nn.Module, label: str) -> str:
    """Return the key of `CELLS`, and note what cannot be taken apart."""
    kinds: list[Any] = [nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, nn.LSTMCell, *OWN]
    base = next((cls for cls in kinds if isinstance(module, cls)), None)
    if base is None or type(module).forward is not base.forward or "forward" in vars(module):
        faults.say(f"{label} computes a forward of its own: give from_cell a cell that computes one step of it")
    if getattr(module, "bidirectional", False):
        faults.say(BIDIRECTIONAL.format(where=label))
    if getattr(module, "proj_size", 0):
        faults.say(PROJECTED.format(where=label))
    for name in _weight_names(module):
        # parametrisations compute weights on access; hooks of the old kind leave them as of the last call
        stored = name in module._parameters or name in module._buffers
        if not stored and not parametrize.is_parametrized(module, name):
            faults.say(
                f"{name} of {label} is computed by a hook: make it permanent first, with "
                "torch.nn.utils.remove_weight_norm or torch.nn.utils.prune.remove"
            )
    if base in OWN:
        return OWN[base][0]
    if base is nn.RNNCell or base is nn.RNN:
        return f"RNN_{module.nonlinearity}".upper()
    return "LSTM" if base in (nn.LSTM, nn.LSTMCell) else "GRU"


def _own(module: nn.Module) -> tuple[str, Any, tuple[str, ...]] | None:
    return next((entry for cls, entry in OWN.items() if isinstance(module, cls)), None)


def _weight_names(module: nn.Module) -> list[str]:
    own = _own(module)
    if own is not None:
        return [name for name in ("W_hh", "W_xh", "b", *own[2]) if getattr(module, name) is not None]
    suffixes = [f"_l{layer}" for layer in range(module.num_layers)] if isinstance(module, nn.RNNBase) else [""]
    names = ("weight_hh", "weight_ih", "bias_hh", "bias_ih") if module.bias else ("weight_hh", "weight_ih")
    return [name + suffix for suffix in suffixes for name in names]


def _layers(module: nn.Module, dtype: torch.dtype | None) -> tuple[LayerWeights, ...]:
    """Return the weights of every layer, read from a copy: parametrisations may change as they are read."""
    copied = evaluation_copy(module)
    with torch.no_grad():
        return stacked_layers(copied, lambda weight: weight.detach().to(dtype=dtype, copy=True))


def stacked_layers(module: Any, of: Callable[[torch.Tensor], torch.Tensor]) -> tuple[LayerWeights, ...]:
    """Return the weights of every layer of a recurrent module, with ``of`` applied to each."""
    own = _own(module)
    if own is not None:
        _, make, names = own
        if make is GammaWeights:
            check_gamma(module.n, module.s, s_outside="warn")
        bias = None if module.b is None else of(module.b)
        further = {name: of(getattr(module, name)) for name in names}
        return (make(of(module.W_hh), of(module.W_xh), bias, None, **further),)
    tensors = [of(getattr(module, name)) for name in _weight_names(module)]
    a_layer = 4 if module.bias else 2
    return tuple(Weights(*tensors[start : start + a_layer]) for start in range(0, len(tensors), a_layer))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
