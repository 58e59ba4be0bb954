"""Systems made of cells: any number of layers, as a map, a leaky map or a flow. They pickle."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet.errors import InputError
from dynet.kernels.namespace import namespace
from dynet.systems.cells import Cell, Elman, HiddenLSTM, Kept, Weights
from dynet.systems.layer_operators import InputPath, Layers
from dynet.systems.operators import Affine, Operator
from dynet.typing import Array

#: entries of a matrix from which on a pass over it is a matter of memory, not of arithmetic
_LARGE = 512**2


class Recurrence:
    """The layout of stacked cells and their evaluation.

    Parameters
    ----------
    cells : tuple of Cell
        One a layer.
    sizes : tuple of int
        Units of each layer.
    rate : float
        A map is ``x + rate (F(x) - x)`` (1: the cells themselves), a flow ``rate (F(x) - x)``.
    flow : bool
        Whether this is the vector field of a flow.

    Notes
    -----
    The state holds part "h" of all layers, then part "c" of all layers. In a map a layer reads the new
    output of the layer below, in a flow its present output.
    """

    def __init__(self, cells: tuple[Cell, ...], sizes: tuple[int, ...], *, rate: float = 1.0, flow: bool = False):
        self.cells, self.sizes, self.rate, self.flow = cells, sizes, float(rate), flow
        starts: list[list[slice]] = [[] for _ in cells]
        position = 0
        for part in range(max(len(cell.parts) for cell in cells)):
            for layer, (cell, size) in enumerate(zip(cells, sizes, strict=True)):
                if part < len(cell.parts):
                    end = position + cell.part_size(part, size)
                    starts[layer].append(slice(position, end))
                    position = end
        self.rows = tuple(tuple(parts) for parts in starts)
        self.n = position
        self._whole = len(cells) == 1 and len(cells[0].parts) == 1 and not isinstance(cells[0], HiddenLSTM)

    def labels(self) -> dict[str, list[Any]]:
        """Return names of the units with their layer and part."""
        own = self.cells[0].unit_labels(self.sizes[0])
        if own is not None:
            return own
        labels: list[tuple[int, str, int, str]] = []
        for layer, (cell, parts) in enumerate(zip(self.cells, self.rows, strict=True)):
            for part, rows in zip(cell.parts, parts, strict=True):
                size = rows.stop - rows.start
                labels += [(rows.start + i, f"{part}[{layer}][{i}]", layer, part) for i in range(size)]
        labels.sort()
        return {
            "unit": [name for _, name, _, _ in labels],
            "layer": [layer for _, _, layer, _ in labels],
            "part": [part for _, _, _, part in labels],
        }

    def forward(self, x: Array, u: Array, p: tuple[Weights, ...]) -> tuple[Array, tuple[Kept, ...]]:
        """Return the next state (or the rate of change) and what the Jacobian is made of, layer by layer."""
        if self._whole:  # nothing to take apart and to put together
            (new,), kept = self.cells[0].forward(u, (x,), p[0])
            return self._moved(x, new), (kept,)
        pieces: list[tuple[int, Array]] = []
        keeps = []
        below, memories = self._split_input(u)
        for layer, (cell, parts, w) in enumerate(zip(self.cells, self.rows, p, strict=True)):
            old = tuple(x[..., part] for part in parts)
            read = below if memories is None else _join(below, memories[layer])
            new, kept = cell.forward(read, old, w)
            keeps.append(kept)
            new = tuple(map(self._moved, old, new))
            below = old[0] if self.flow else new[0]
            pieces += [(part.start, piece) for part, piece in zip(parts, new, strict=True)]
        pieces.sort(key=_start)
        y = pieces[0][1] if len(pieces) == 1 else namespace(x).concat([piece for _, piece in pieces], axis=-1)
        return y, tuple(keeps)

    def evaluated(self, x: Array, u: Array, p: tuple[Weights, ...]) -> list[tuple[Any, ...]]:
        """Return, layer by layer, the cell, what it reads, its old state, its weights and what it keeps."""
        out = []
        below = u
        for cell, parts, w in zip(self.cells, self.rows, p, strict=True):
            old = tuple(x[..., part] for part in parts)
            new, kept = cell.forward(below, old, w)
            out.append((cell, below, old, w, kept))
            below = old[0] if self.flow else self._moved(old[0], new[0])
        return out

    def _moved(self, old: Array, new: Array) -> Array:
        """Return what the rate makes of a part of the state and of what the cell turned it into."""
        if self.flow:
            return self.rate * (new - old)
        return new if self.rate == 1 else (1 - self.rate) * old + self.rate * new

    def jacobian(self, keeps: tuple[Kept, ...], p: tuple[Weights, ...]) -> Operator:
        """Return the Jacobian operator of a step that kept ``keeps``."""
        layers = list(zip(self.cells, p, keeps, strict=True))
        states = tuple(self._scaled(cell.state_jacobian(w, kept), square=True) for cell, w, kept in layers)
        if len(states) == 1:
            return states[0]
        inputs = tuple(self._scaled(cell.input_jacobian(w, kept), square=False) for cell, w, kept in layers[1:])
        return Layers(states, inputs, self.rows, cascade=not self.flow)

    def input_jacobian(self, x: Array, u: Array, p: tuple[Weights, ...]) -> Operator:
        """Return the derivative of the next state of a map with respect to the input."""
        _, keeps = self.forward(x, u, p)
        layers = zip(self.cells, p, keeps, strict=True)
        return InputPath(
            tuple(self._scaled(cell.input_jacobian(w, kept), square=False) for cell, w, kept in layers), self.rows
        )

    def _scaled(self, J: Operator, *, square: bool) -> Operator:
        if self.flow:
            return Affine(-self.rate if square else 0.0, self.rate, J)
        return J if self.rate == 1 else Affine(1 - self.rate if square else 0.0, self.rate, J)

    def _split_input(self, u: Array) -> tuple[Array, list[Array] | None]:
        if not isinstance(self.cells[0], HiddenLSTM):
            return u, None
        width = u.shape[-1] - sum(self.sizes)
        if width < 0:
            raise InputError(
                f"u has {u.shape[-1]} channels: a hidden-state LSTM takes (input, c_t), with {sum(self.sizes)} for c_t"
            )
        ends = width + np.cumsum(self.sizes)
        memories = [u[..., end - size : end] for end, size in zip(ends.tolist(), self.sizes, strict=True)]
        return u[..., :width], memories


def _start(piece: tuple[int, Array]) -> int:
    return piece[0]


def _stacked(arrays: tuple[Array, ...]) -> Array:
    """Return arrays of one shape stacked along a new first axis: at once, there are many of them."""
    first = arrays[0]
    return namespace(first).concat(arrays, axis=0).reshape(len(arrays), *first.shape)


def _join(a: Array, b: Array) -> Array:
    xp = namespace(b)
    return xp.concat((xp.broadcast_to(a, (*b.shape[:-1], a.shape[-1])), b), axis=-1)


class RecurrentStep:
    """``step(t, x, u, p)`` (or ``rhs``) of stacked cells; ``p`` is a tuple of `Weights`."""

    def __init__(self, recurrence: Recurrence) -> None:
        self.recurrence = recurrence

    def __call__(self, t: float, x: Array, u: Array, p: tuple[Weights, ...]) -> Array:
        return self.recurrence.forward(x, u, p)[0]

    def input_jacobian(self, t: float, x: Array, u: Array, p: tuple[Weights, ...]) -> Operator:
        """Return the derivative with respect to the input."""
        return self.recurrence.input_jacobian(x, u, p)

    def n_channels(self, p: tuple[Weights, ...]) -> int:
        """Return the width of the input that the first layer reads."""
        return 0 if p[0].W_xh is None else int(p[0].W_xh.shape[-1])


class RecurrentLinearization(RecurrentStep):
    """``linearize(t, x, u, p)`` of stacked cells."""

    def __call__(self, t: float, x: Array, u: Array, p: tuple[Weights, ...]) -> tuple[Array, Operator]:
        y, keeps = self.forward(t, x, u, p)
        return y, self.recurrence.jacobian(keeps, p)

    def forward(self, t: float, x: Array, u: Array, p: tuple[Weights, ...]) -> tuple[Array, tuple[Kept, ...]]:
        """Return the next state and what the Jacobian is made of."""
        return self.recurrence.forward(x, u, p)

    def jacobians(self, steps: list[tuple[Kept, ...]], p: tuple[Weights, ...]) -> Operator:
        """Return the Jacobians (step, ..., n, n) of steps that kept ``steps``, as one operator."""
        layers = (zip(*layer, strict=True) for layer in zip(*steps, strict=True))
        return self.recurrence.jacobian(tuple(tuple(map(_stacked, layer)) for layer in layers), p)

    def reads_weights_once(self, n_columns: int) -> bool:
        """Return whether `tangent` saves a pass over weights that do not fit a core's cache."""
        recurrence = self.recurrence
        cell = recurrence.cells[0]
        return (
            len(recurrence.cells) == 1
            and not recurrence.flow
            and isinstance(cell, Elman)
            and cell.form == "outside"
            and n_columns < recurrence.n
            and recurrence.n**2 >= _LARGE
        )

    def tangent(self, t: float, x: Array, u: Array, p: tuple[Weights, ...], V: Array) -> tuple[Array, Array]:
        """Return the next state and ``J V`` of a single layer."""
        recurrence = self.recurrence
        cell: Any = recurrence.cells[0]
        y, product = cell.tangent(u, x, p[0], V)
        a = recurrence.rate
        return (y, product) if a == 1 else ((1 - a) * x + a * y, (1 - a) * V + a * product)


class RecurrentJacobian(RecurrentStep):
    """``jac(t, x, u, p)`` of stacked cells."""

    def __call__(self, t: float, x: Array, u: Array, p: tuple[Weights, ...]) -> Operator:
        return self.recurrence.jacobian(self.recurrence.forward(x, u, p)[1], p)


class HiddenStep(RecurrentStep):
    """The step of the hidden states alone, at the memories of a trajectory run beforehand."""

    def __init__(self, recurrence: Recurrence, full: Recurrence) -> None:
        super().__init__(recurrence)
        self.full = full

    def freeze(self, x0: Array, inputs: Array, p: tuple[Weights, ...]) -> tuple[Array, Array]:
        """Run the whole network once; return the hidden states and the inputs (input, c_t) of every step.

        ``x0`` is the full state (h, c), or h alone with zero memory. The last of the hidden states follows the last
        step: there is one more of them than there are inputs.
        """
        xp = namespace(x0)
        hidden = self.recurrence.n
        if x0.shape[-1] == hidden:
            x0 = xp.concat((x0, xp.zeros_like(x0)), axis=-1)
        x = x0
        states, rows = [x0[..., :hidden]], []
        for step in range(inputs.shape[-2]):
            u = inputs[..., step, :]
            rows.append(_join(u, x[..., hidden:]))
            x = self.full.forward(x, u, p)[0]
            states.append(x[..., :hidden])
        return xp.stack(states, axis=-2), xp.stack(rows, axis=-2)
