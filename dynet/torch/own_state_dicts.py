"""State dicts of dynet's own modules: a GammaRNN or an AdaptiveRNN is told by the names of its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from dynet.errors import InputError
from dynet.systems.adaptive import AdaptiveWeights
from dynet.systems.adaptive_networks import adaptive_weights
from dynet.systems.cells import Elman, GammaWeights
from dynet.systems.layer_weights import gamma_weights, stacked_weights
from dynet.torch.adaptive import CONTROLLER

__all__ = ["RECURRENT_KEY", "own_kind", "own_layers", "own_networks"]

RECURRENT_KEY = re.compile(r"(?P<prefix>(?:.*\.)?)W_hh")
NAMES = {"GAMMA": ("W_hh", "W_xh", "n", "s"), "ADAPTIVE": ("W_hh", "W_xh", *CONTROLLER)}


def own_networks(tensors: Mapping[str, torch.Tensor]) -> dict[str, dict[tuple[str, int], torch.Tensor]]:
    """Return the tensors of each network that has a ``W_hh``, by prefix, and by name and layer 0."""
    prefixes = [match["prefix"] for key in tensors if (match := RECURRENT_KEY.fullmatch(key))]
    known = {name for names in NAMES.values() for name in names} | {"b"}
    return {
        prefix: {
            (key.removeprefix(prefix), 0): tensor
            for key, tensor in tensors.items()
            if key.startswith(prefix) and key.removeprefix(prefix) in known
        }
        for prefix in prefixes
    }


def own_kind(network: Mapping[tuple[str, int], torch.Tensor]) -> str | None:
    """Return "GAMMA" or "ADAPTIVE", or None if it is a network of torch's; raise if weights are missing."""
    names = {name for name, _ in network}
    if "W_hh" not in names:
        return None
    kind = "GAMMA" if {"n", "s"} & names else "ADAPTIVE"
    missing = [name for name in NAMES[kind] if name not in names]
    if missing:
        raise InputError(
            f"source has W_hh, but not {', '.join(missing)}: a GammaRNN has {', '.join(NAMES['GAMMA'])}, an "
            f"AdaptiveRNN {', '.join(NAMES['ADAPTIVE'])}"
        )
    return kind


def own_layers(
    kind: str, network: Mapping[tuple[str, int], torch.Tensor]
) -> tuple[GammaWeights | AdaptiveWeights, ...]:
    """Return copies of the weights, checked."""
    w = {name: tensor.detach().clone() for (name, _), tensor in network.items()}
    layers = stacked_weights(Elman(), w["W_hh"], w["W_xh"], None, w.get("b"))
    if kind == "GAMMA":
        return gamma_weights(layers, w["n"], w["s"], stacked=False)
    return (adaptive_weights(layers[0], {name: w[name] for name in CONTROLLER}),)
