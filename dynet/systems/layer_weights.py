"""The weights of stacked layers, checked: what fits is taken, and one error names whatever does not."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet._validate import Faults
from dynet.kernels.namespace import move_like
from dynet.systems.cells import Cell, GammaWeights, Weights
from dynet.systems.gamma import check_gamma
from dynet.typing import Array

__all__ = ["gamma_weights", "is_list_of_layers", "real_weights", "stacked_weights"]


def stacked_weights(cell: Cell, W_hh: Any, W_xh: Any, b_hh: Any, b_xh: Any) -> tuple[Weights, ...]:
    """Return the weights of every layer, or one error that names each that does not fit."""
    faults = Faults()
    columns = {}
    n_layers = len(W_hh) if is_list_of_layers(W_hh) else None
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
            None if entry is None else real_weights(faults, label if n_layers is None else f"{label}[{i}]", entry)
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
        entries = [real_weights(faults, name, entry) for entry in entries]
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


def is_list_of_layers(W: Any) -> bool:
    """Tell a list of matrices from one matrix, which may be written as nested lists."""
    return isinstance(W, list | tuple) and len(W) > 0 and np.ndim(W[0]) == 2


def real_weights(faults: Faults, name: str, value: Any) -> Array:
    """Return real weights, as a tensor if they are one, and note a fault otherwise."""
    if hasattr(value, "detach"):
        if not value.dtype.is_floating_point:
            faults.add(name, value.dtype, "give real floating point weights")
        return value
    return faults.real_array(name, value, finite=True)
