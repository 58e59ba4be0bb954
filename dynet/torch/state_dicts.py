"""Recurrent networks from checkpoints: the architecture is read off the names and shapes of the weights."""

from __future__ import annotations

import os
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from dynet._optional import import_optional
from dynet._validate import Faults, shown
from dynet.errors import InputError
from dynet.systems.cells import Weights
from dynet.systems.map import Map
from dynet.torch.adapter import CELLS, recurrent_system
from dynet.torch.copies import first_line
from dynet.torch.found_modules import BIDIRECTIONAL, PROJECTED
from dynet.torch.own_state_dicts import RECURRENT_KEY, own_kind, own_layers, own_networks

__all__ = ["from_state_dict"]

KEY = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?P<name>weight_hh|weight_ih|weight_hr|bias_hh|bias_ih)"
    r"(?:_l(?P<layer>\d+))?(?P<reverse>_reverse)?"
)
#: Weights that are computed from other tensors: by parametrisations, weight_norm or pruning.
COMPUTED = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?:parametrizations\.weight_hh\w*\..+|weight_hh(?:_l\d+)?_(?:g|v|orig|mask))"
)
#: Where checkpoints keep the state dict.
NESTED = ("state_dict", "model_state_dict", "model")
GATES = {3: "GRU", 4: "LSTM"}
HOW_TO_SAVE = "save the weights alone with torch.save(model.state_dict(), path)"

#: The tensors of one network by (name, layer).
Network: TypeAlias = dict[tuple[str, int], torch.Tensor]


def from_state_dict(
    source: Mapping[str, Any] | str | os.PathLike[str],
    *,
    prefix: str | None = None,
    nonlinearity: Literal["tanh", "relu"] | None = None,
) -> Map:
    """Return the map of a recurrent network from its weights alone.

    Names and shapes tell the architecture: ``weight_hh_l0`` of one, three or four times as many rows as
    columns is an RNN, a GRU or an LSTM as torch computes them; ``W_hh`` with ``n`` and ``s``, or with ``W_ag``, is a
    `GammaRNN` or an `AdaptiveRNN`. Cells with the same names and other equations
    cannot be told from them: give these to `from_cell`.

    Parameters
    ----------
    source : mapping of str to Tensor, or path
        A state dict; or a file ``.pt`` / ``.pth`` (read without unpickling objects) or ``.safetensors``.
        Checkpoints that keep the state dict under "state_dict", "model_state_dict" or "model" are understood.
    prefix : str, optional
        What the keys of the network begin with, such as ``"net.rnn."``; needed when there are several.
    nonlinearity : {"tanh", "relu"}, optional
        Needed for RNNs, whose weights do not tell it.

    Returns
    -------
    Map
        The same as `from_module` of the module, on the device of the tensors (files: on the CPU).
        ``step.description`` says what was found.

    Raises
    ------
    InputError
        If a file cannot be read, if no recurrent network or several are found, or if it is bidirectional,
        has a projection, or lacks weights.

    See Also
    --------
    from_module : The same for a live module.

    Examples
    --------
    >>> import torch
    >>> from dynet.torch import from_state_dict
    >>> weights = torch.nn.ModuleDict({"rnn": torch.nn.GRU(3, 8, num_layers=2)}).state_dict()
    >>> from_state_dict(weights).step.description
    "GRU, 2 layers of 8 units, 3 inputs (keys under 'rnn.')"
    """
    faults = Faults()
    if nonlinearity is not None:
        faults.choice("nonlinearity", nonlinearity, ("tanh", "relu"))
    given: Any = prefix
    if not (given is None or isinstance(given, str)):
        faults.add("prefix", prefix, 'give what the keys begin with, such as "net.rnn."')
    faults.raise_if_any()
    tensors = _tensors(source)
    networks = _networks(tensors) | own_networks(tensors)
    found = _chosen(networks, tensors, prefix)
    network, where = networks[found], f"keys under '{found}'" if found else ""
    kind = _kind(faults, found, network, nonlinearity)
    layers = own_layers(kind, network) if own_kind(network) else _layers(faults, found, network)
    faults.raise_if_any()
    return recurrent_system(kind, layers, where)


def _tensors(source: Any) -> dict[str, torch.Tensor]:
    """Return the tensors of a state dict or file by name."""
    if isinstance(source, str | os.PathLike):
        source = _loaded(Path(source))
    elif hasattr(source, "state_dict"):
        raise InputError(f"source={type(source).__name__}: a module goes to from_module")
    for _ in NESTED:
        if isinstance(source, Mapping) and not any(_is_recurrent(str(key)) for key in source):
            inner = (source[key] for key in NESTED if isinstance(source.get(key), Mapping))
            source = next(inner, source)
    if not isinstance(source, Mapping):
        raise InputError(
            f"source={shown(source)}: give a state dict (names and tensors), or the path of a file; {HOW_TO_SAVE}"
        )
    return {str(name): value for name, value in source.items() if isinstance(value, torch.Tensor)}


def _is_recurrent(key: str) -> bool:
    return KEY.fullmatch(key) is not None or RECURRENT_KEY.fullmatch(key) is not None


def _loaded(path: Path) -> Any:
    """Return what a file holds; objects are never unpickled."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"source='{path}': the file {what}")
    if path.suffix == ".safetensors":
        safetensors = import_optional("safetensors.torch", extra="torch", purpose="reading .safetensors files")
        try:
            return safetensors.load_file(path)
        except Exception as error:  # safetensors has an exception of its own, and files can be anything
            raise InputError(f"source='{path}' is not a readable .safetensors file: {first_line(error)}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about formats that the errors below name
            return torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise InputError(
            f"source='{path}' holds pickled objects or is no checkpoint; for safety only tensors are loaded: "
            f"{HOW_TO_SAVE}"
        ) from error
    except Exception as error:  # a damaged file can fail in any way
        raise InputError(
            f"source='{path}' is damaged or no checkpoint ({type(error).__name__}: {first_line(error)}): {HOW_TO_SAVE}"
        ) from error


def _networks(tensors: dict[str, torch.Tensor]) -> dict[str, Network]:
    """Return the recurrent networks by prefix."""
    networks: dict[str, Network] = {}
    for key, tensor in tensors.items():
        if match := KEY.fullmatch(key):
            name = match["name"] + (match["reverse"] or "")
            networks.setdefault(match["prefix"], {})[name, int(match["layer"] or 0)] = tensor
    return {
        prefix: network
        for prefix, network in networks.items()
        if any(name.startswith("weight_hh") for name, _ in network)
    }


def _chosen(networks: dict[str, Network], tensors: dict[str, torch.Tensor], prefix: str | None) -> str:
    """Return the prefix of the only network, or of the one asked for."""
    candidates = list(networks)
    if prefix is not None:
        whole = prefix if prefix.endswith(".") or not prefix else prefix + "."
        candidates = [whole] if whole in networks else [name for name in networks if whole and name.startswith(whole)]
    if len(candidates) == 1:
        return candidates[0]
    listed = " and ".join(f"{_name(networks[name])} keys under '{name}'" for name in candidates or networks)
    if candidates:
        raise InputError(f"source: found {listed}; pass prefix=")
    if networks:
        raise InputError(f"prefix={prefix!r}: no recurrent network there; found {listed}")
    computed = sorted({match["prefix"] for key in tensors if (match := COMPUTED.fullmatch(key))})
    if computed:
        raise InputError(
            f"source: the weights under '{computed[0]}' are parametrised or pruned, stored as what they are "
            "computed from: load the module and give it to from_module"
        )
    keys = ", ".join(list(tensors)[:5]) + (", ..." if len(tensors) > 5 else "") if tensors else "none with a tensor"
    raise InputError(
        f"source is none of the known networks: its keys are {keys}; expected weight_hh_l0 and weight_ih_l0 "
        "(nn.RNN, nn.GRU, nn.LSTM) or weight_hh and weight_ih (their cells)"
    )


def _gates(network: Network) -> float:
    shape = next(tensor.shape for (name, _), tensor in sorted(network.items()) if name.startswith("weight_hh"))
    return shape[0] / shape[1] if len(shape) == 2 and shape[1] else 0.0


def _name(network: Network) -> str:
    if ("W_hh", 0) in network:
        return CELLS[own_kind(network) or ""][0]
    return "RNN" if _gates(network) == 1 else GATES.get(_gates(network), "unknown")  # type: ignore[call-overload]


def _kind(faults: Faults, prefix: str, network: Network, nonlinearity: str | None) -> str:
    """Return the name of the cell, and note what cannot be analysed."""
    where = f"the network under '{prefix}'" if prefix else "the network"
    own = own_kind(network)
    if own is not None:
        if nonlinearity is not None:
            faults.add("nonlinearity", nonlinearity, f"{where} is a {_name(network)}, which has none to choose")
        faults.raise_if_any()
        return own
    kind = _name(network)
    if any(name.endswith("_reverse") for name, _ in network):
        faults.say(BIDIRECTIONAL.format(where=where))
    if any(name.startswith("weight_hr") for name, _ in network):
        faults.say(PROJECTED.format(where=where))
    elif kind == "unknown":
        (_, layer), tensor = next(item for item in sorted(network.items()) if item[0][0].startswith("weight_hh"))
        faults.say(
            f"weight_hh of layer {layer} of {where} has shape {tuple(tensor.shape)}: an RNN, GRU or LSTM has "
            "1, 3 or 4 times as many rows as columns"
        )
    if kind == "RNN":
        if nonlinearity is None:
            faults.say(f'{where} is an RNN, whose weights do not tell: give nonlinearity="tanh" or "relu"')
        return f"RNN_{nonlinearity}".upper()
    if nonlinearity is not None and kind in GATES.values():
        faults.add("nonlinearity", nonlinearity, f"{where} is a {kind}, which has none to choose: leave it out")
    return kind


def _layers(faults: Faults, prefix: str, network: Network) -> tuple[Weights, ...]:
    """Return the weights of every layer, and note what is missing or does not fit."""
    if faults:
        return ()
    layers: list[Weights] = []
    gates = int(_gates(network))
    for layer in range(1 + max(layer for _, layer in network)):
        W_hh, W_ih, b_hh, b_ih = (
            network.get((name, layer)) for name in ("weight_hh", "weight_ih", "bias_hh", "bias_ih")
        )
        missing = [name for name, tensor in (("weight_hh", W_hh), ("weight_ih", W_ih)) if tensor is None]
        if W_hh is None or W_ih is None:
            faults.say(f"{' and '.join(missing)} of layer {layer} under '{prefix}' is missing")
            continue
        H = W_hh.shape[-1] if W_hh.ndim == 2 else 0
        below = layers[-1].W_hh.shape[1] if layers else W_ih.shape[-1] if W_ih.ndim == 2 else 0
        expected = {
            "weight_hh": (W_hh, (gates * H, H)),
            "weight_ih": (W_ih, (gates * H, below)),
            "bias_hh": (b_hh, (gates * H,)),
            "bias_ih": (b_ih, (gates * H,)),
        }
        for name, (tensor, shape) in expected.items():
            if tensor is not None and tuple(tensor.shape) != shape:
                faults.say(
                    f"{name} of layer {layer} under '{prefix}' has shape {tuple(tensor.shape)}: expected {shape}"
                )
        kept = (tensor if tensor is None else tensor.detach().clone() for tensor in (W_hh, W_ih, b_hh, b_ih))
        layers.append(Weights(*kept))
    return tuple(layers)
