"""Jacobians of recurrent layers: a cell with a memory, stacked layers, the path from the input."""

from __future__ import annotations

import numpy as np

from dynet.kernels.namespace import namespace
from dynet.systems.operators import Operator
from dynet.typing import Array

__all__ = ["GatedCell", "InputPath", "Layers"]


class GatedCell(Operator):
    """The Jacobian of a cell with a memory: ``dc' = f dc + M dy``, ``dh' = E dy + s dc'`` (LSTM).

    Parameters
    ----------
    E, M : Operator (H, columns)
        Direct path to the output, and path through the gates into the memory.
    memory_to_output : array (..., H)
        ``s``, the slope of the output with respect to the new memory.
    forget : array (..., H), optional
        ``f``. Given: the operator acts on (h, c), 2 H columns. Missing: it acts on the cell's input alone.
    """

    def __init__(self, E: Operator, M: Operator, memory_to_output: Array, forget: Array | None = None) -> None:
        self.E, self.M, self.s, self.forget = E, M, memory_to_output, forget
        H, columns = M.shape[-2:]
        self.shape = (*M.shape[:-2], 2 * H, columns + (0 if forget is None else H))

    @property
    def prototype(self) -> Array:
        return self.E.prototype

    def __matmul__(self, V: Array) -> Array:
        xp = namespace(V)
        columns = self.M.shape[-1]
        dy = V[..., :columns, :]
        dc = self.M @ dy
        if self.forget is not None:
            dc = dc + self.forget[..., None] * V[..., columns:, :]
        return xp.concat((self.E @ dy + self.s[..., None] * dc, dc), axis=-2)

    def transpose(self) -> Operator:
        return _TransposedGatedCell(self)


class _TransposedGatedCell(Operator):
    def __init__(self, cell: GatedCell) -> None:
        self.cell = cell
        self.shape = (*cell.shape[:-2], cell.shape[-1], cell.shape[-2])

    @property
    def prototype(self) -> Array:
        return self.cell.prototype

    def __matmul__(self, V: Array) -> Array:
        xp = namespace(V)
        cell = self.cell
        H = cell.s.shape[-1]
        dh, dc = V[..., :H, :], V[..., H:, :]
        dc = dc + cell.s[..., None] * dh
        dy = cell.E.transpose() @ dh + cell.M.transpose() @ dc
        return dy if cell.forget is None else xp.concat((dy, cell.forget[..., None] * dc), axis=-2)

    def transpose(self) -> GatedCell:
        return self.cell


class Layers(Operator):
    """The Jacobian of stacked layers, block lower triangular and never built.

    Parameters
    ----------
    states : sequence of Operator
        ``d(state of layer l)' / d(state of layer l)``.
    inputs : sequence of Operator
        ``d(state of layer l)' / d(input of layer l)`` for l = 1, 2, ... (one fewer than ``states``).
    rows : sequence of tuple of slice
        Where the parts of each layer's state stand in the whole state; the first part is what the next
        layer reads.
    cascade : bool
        True for maps: a layer reads the NEW output of the one below. False for flows: the present one.
    """

    def __init__(
        self,
        states: tuple[Operator, ...],
        inputs: tuple[Operator, ...],
        rows: tuple[tuple[slice, ...], ...],
        *,
        cascade: bool,
    ) -> None:
        self.states, self.inputs, self.rows, self.cascade = states, inputs, rows, cascade
        n = sum(part.stop - part.start for parts in rows for part in parts)
        self.shape = (*np.broadcast_shapes(*(J.shape[:-2] for J in states)), n, n)

    @property
    def prototype(self) -> Array:
        return self.states[0].prototype

    def _gather(self, V: Array, layer: int) -> Array:
        blocks = [V[..., part, :] for part in self.rows[layer]]
        return blocks[0] if len(blocks) == 1 else namespace(V).concat(blocks, axis=-2)

    def _scatter(self, blocks: list[Array]) -> Array:
        xp = namespace(blocks[0])
        batch = np.broadcast_shapes(*(block.shape[:-2] for block in blocks))
        pieces = []
        for parts, block in zip(self.rows, blocks, strict=True):
            block = xp.broadcast_to(block, (*batch, *block.shape[-2:]))
            start = 0
            for part in parts:
                size = part.stop - part.start
                pieces.append((part.start, block[..., start : start + size, :]))
                start += size
        return xp.concat([piece for _, piece in sorted(pieces, key=_first)], axis=-2)

    def __matmul__(self, V: Array) -> Array:
        out: list[Array] = []
        for layer, J in enumerate(self.states):
            block = J @ self._gather(V, layer)
            if layer:
                first = self.rows[layer - 1][0]
                size = first.stop - first.start
                below = out[layer - 1][..., :size, :] if self.cascade else V[..., first, :]
                block = block + self.inputs[layer - 1] @ below
            out.append(block)
        return self._scatter(out)

    def transpose(self) -> Operator:
        return _TransposedLayers(self)


class InputPath(Operator):
    """The derivative of stacked layers with respect to the input of the lowest one.

    Parameters
    ----------
    blocks : sequence of Operator
        ``d(state of layer l)' / d(input of layer l)``; a layer reads the new output of the one below.
    rows : sequence of tuple of slice
        Where the parts of each layer's state stand in the whole state.
    """

    def __init__(self, blocks: tuple[Operator, ...], rows: tuple[tuple[slice, ...], ...]) -> None:
        self.blocks, self.rows = blocks, rows
        n = sum(part.stop - part.start for parts in rows for part in parts)
        batch = np.broadcast_shapes(*(block.shape[:-2] for block in blocks))
        self.shape = (*batch, n, blocks[0].shape[-1])

    @property
    def prototype(self) -> Array:
        return self.blocks[0].prototype

    def __matmul__(self, V: Array) -> Array:
        xp = namespace(V)
        pieces: list[tuple[int, Array]] = []
        below = V
        for J, parts in zip(self.blocks, self.rows, strict=True):
            block = J @ below
            below = block[..., : parts[0].stop - parts[0].start, :]
            start = 0
            for part in parts:
                size = part.stop - part.start
                pieces.append((part.start, block[..., start : start + size, :]))
                start += size
        batch = np.broadcast_shapes(*(tuple(piece.shape[:-2]) for _, piece in pieces))
        ordered = [piece for _, piece in sorted(pieces, key=_first)]
        return xp.concat([xp.broadcast_to(piece, (*batch, *piece.shape[-2:])) for piece in ordered], axis=-2)

    def transpose(self) -> Operator:
        return _TransposedInputPath(self)


class _TransposedInputPath(Operator):
    def __init__(self, path: InputPath) -> None:
        self.path = path
        self.shape = (*path.shape[:-2], path.shape[-1], path.shape[-2])

    @property
    def prototype(self) -> Array:
        return self.path.prototype

    def __matmul__(self, V: Array) -> Array:
        path = self.path
        received: Array | None = None
        for layer in range(len(path.blocks) - 1, -1, -1):
            blocks = [V[..., part, :] for part in path.rows[layer]]
            cotangent = blocks[0] if len(blocks) == 1 else namespace(V).concat(blocks, axis=-2)
            if received is not None:
                cotangent = _add_to_head(cotangent, received)
            received = path.blocks[layer].transpose() @ cotangent
        return received

    def transpose(self) -> InputPath:
        return self.path


def _first(pair: tuple[int, Array]) -> int:
    return pair[0]


class _TransposedLayers(Operator):
    def __init__(self, layers: Layers) -> None:
        self.layers = layers
        self.shape = layers.shape

    @property
    def prototype(self) -> Array:
        return self.layers.prototype

    def __matmul__(self, V: Array) -> Array:
        layers = self.layers
        last = len(layers.states) - 1
        cotangents = [layers._gather(V, layer) for layer in range(last + 1)]
        out: list[Array] = [None] * (last + 1)
        received: Array | None = None
        for layer in range(last, -1, -1):
            cotangent = cotangents[layer]
            if received is not None and layers.cascade:
                cotangent = _add_to_head(cotangent, received)
            out[layer] = layers.states[layer].transpose() @ cotangent
            if received is not None and not layers.cascade:
                out[layer] = _add_to_head(out[layer], received)
            if layer:
                received = layers.inputs[layer - 1].transpose() @ cotangent
        return layers._scatter(out)

    def transpose(self) -> Layers:
        return self.layers


def _add_to_head(block: Array, addition: Array) -> Array:
    size = addition.shape[-2]
    if size == block.shape[-2]:
        return block + addition
    xp = namespace(block)
    head, tail = block[..., :size, :] + addition, block[..., size:, :]
    return xp.concat((head, xp.broadcast_to(tail, (*head.shape[:-2], *tail.shape[-2:]))), axis=-2)
