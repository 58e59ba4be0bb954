"""Maps and flows made of checked weights: any number of layers of one cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet._validate import Faults
from dynet.kernels.namespace import is_numpy, namespace
from dynet.systems.cells import Cell, HiddenLSTM
from dynet.systems.flow import Flow
from dynet.systems.layer_weights import stacked_weights
from dynet.systems.map import Map
from dynet.systems.recurrent import (
    HiddenStep,
    Recurrence,
    RecurrentJacobian,
    RecurrentLinearization,
    RecurrentStep,
)
from dynet.systems.weight_gradients import RecurrentParameterJacobian
from dynet.typing import Array

__all__ = ["flow_of", "map_of", "recurrent_map"]


def map_of(
    cell: Cell,
    W_hh: Any,
    W_xh: Any,
    b_hh: Any,
    b_xh: Any,
    *,
    rate: float = 1.0,
    hidden: bool = False,
) -> Map:
    """Return the map of layers of a cell, whose weights are checked."""
    layers = stacked_weights(cell, W_hh, W_xh, b_hh, b_xh)
    return recurrent_map(cell, layers, rate=rate, hidden=hidden)


def flow_of(cell: Cell, tau: float, W_hh: Any, W_xh: Any, b_hh: Any, b_xh: Any) -> Flow:
    """Return the flow of layers of a cell, whose weights are checked."""
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
        jac_params=RecurrentParameterJacobian(recurrence),
        vectorized=True,
        units=recurrence.labels(),
        like=_zeros(recurrence.n, layers[0].W_hh),
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
        jac_params=None if hidden else RecurrentParameterJacobian(recurrence),
        vectorized=True,
        units=recurrence.labels(),
        like=_zeros(recurrence.n, layers[0].W_hh),
    )


def _zeros(n: int, W: Array) -> Array:
    xp = namespace(W)
    return np.zeros(n, dtype=W.dtype) if is_numpy(W) else xp.zeros(n, dtype=W.dtype, device=W.device)
