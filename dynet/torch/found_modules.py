"""The recurrent module inside a model: where it is, of which kind, and whether it can be taken apart."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from dynet._validate import Faults
from dynet.torch.layer_weights import OWN, weight_names

__all__ = ["BIDIRECTIONAL", "PROJECTED", "find_recurrent", "is_own_cell", "kind_of", "recurrent_names"]

RECURRENT: tuple[type[nn.Module], ...] = (nn.RNNBase, nn.RNNCellBase, *OWN)
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


def recurrent_names(model: nn.Module) -> str:
    """Return the recurrent submodules of ``model``, as an error lists them."""
    found = [
        f"submodule='{name}' ({type(module).__name__})"
        for name, module in model.named_modules()
        if isinstance(module, RECURRENT) and name
    ]
    return ", ".join(found)


def is_own_cell(model: Any) -> bool:
    """Return whether a module is a cell of one's own that tells the size of its state as torch's cells do."""
    if not isinstance(model, nn.Module) or isinstance(model, RECURRENT) or recurrent_names(model):
        return False
    return isinstance(getattr(model, "hidden_size", None), int)


def find_recurrent(faults: Faults, model: Any, submodule: str | None) -> tuple[nn.Module | None, str]:
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


def kind_of(faults: Faults, module: nn.Module, label: str) -> str:
    """Return the key of `CELLS`, and note what cannot be taken apart."""
    kinds: list[Any] = [nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, nn.LSTMCell, *OWN]
    base = next((cls for cls in kinds if isinstance(module, cls)), None)
    if base is None or type(module).forward is not base.forward or "forward" in vars(module):
        faults.say(f"{label} computes a forward of its own: give from_cell a cell that computes one step of it")
    if getattr(module, "bidirectional", False):
        faults.say(BIDIRECTIONAL.format(where=label))
    if getattr(module, "proj_size", 0):
        faults.say(PROJECTED.format(where=label))
    for name in weight_names(module):
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
