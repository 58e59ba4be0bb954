"""The weights of torch's and dynet's own recurrent modules, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn

from dynet.systems.adaptive import AdaptiveWeights
from dynet.systems.cells import GammaWeights, Weights
from dynet.systems.coupled_oscillators import OscillatorWeights
from dynet.systems.gamma import check_gamma
from dynet.torch.adaptive import CONTROLLER, AdaptiveRNN
from dynet.torch.cornn import CoRNN
from dynet.torch.modules import GammaRNN

__all__ = ["OWN", "LayerWeights", "own_module", "stacked_layers", "weight_names"]

LayerWeights: TypeAlias = Weights | GammaWeights | AdaptiveWeights | OscillatorWeights
#: dynet's own modules: their key, the weights that their cell takes, and what those hold besides W_hh, W_xh and b.
OWN: dict[type[nn.Module], tuple[str, Any, tuple[str, ...]]] = {
    GammaRNN: ("GAMMA", GammaWeights, ("n", "s")),
    AdaptiveRNN: ("ADAPTIVE", AdaptiveWeights, CONTROLLER),
    CoRNN: ("CORNN", OscillatorWeights, ("W_zh", "dt", "gamma", "epsilon")),
}


def own_module(module: nn.Module) -> tuple[str, Any, tuple[str, ...]] | None:
    """Return the entry of `OWN` of a module, None if it is torch's."""
    return next((entry for cls, entry in OWN.items() if isinstance(module, cls)), None)


def weight_names(module: nn.Module) -> list[str]:
    """Return the names of all weights that a module has, layer by layer."""
    own = own_module(module)
    if own is not None:
        return [name for name in ("W_hh", "W_xh", "b", *own[2]) if getattr(module, name) is not None]
    suffixes = [f"_l{layer}" for layer in range(module.num_layers)] if isinstance(module, nn.RNNBase) else [""]
    names = ("weight_hh", "weight_ih", "bias_hh", "bias_ih") if module.bias else ("weight_hh", "weight_ih")
    return [name + suffix for suffix in suffixes for name in names]


def stacked_layers(module: Any, of: Callable[[torch.Tensor], torch.Tensor]) -> tuple[LayerWeights, ...]:
    """Return the weights of every layer of a recurrent module, with ``of`` applied to each."""
    own = own_module(module)
    if own is not None:
        _, make, names = own
        if make is GammaWeights:
            check_gamma(module.n, module.s, s_outside="warn")
        bias = None if module.b is None else of(module.b)
        further = {name: of(getattr(module, name)) for name in names}
        return (make(of(module.W_hh), of(module.W_xh), bias, None, **further),)
    tensors = [of(getattr(module, name)) for name in weight_names(module)]
    a_layer = 4 if module.bias else 2
    return tuple(Weights(*tensors[start : start + a_layer]) for start in range(0, len(tensors), a_layer))
