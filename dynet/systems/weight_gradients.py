"""Derivatives of networks with respect to their weights, exact, as operators."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from dynet.kernels.namespace import device_of, namespace
from dynet.systems.cells import GRU, LSTM, Cell, Elman, GammaElman, Kept
from dynet.systems.gamma import gamma_parts, gamma_slope_n, gamma_slope_s
from dynet.systems.operators import Operator, transpose
from dynet.systems.recurrent import Recurrence, RecurrentStep
from dynet.typing import Array

__all__ = ["RecurrentParameterJacobian", "WeightGradients"]


class RecurrentParameterJacobian(RecurrentStep):
    """``jac_params(t, x, u, p)`` of stacked cells, for a single state (n,).

    The parameters count in the order of `dynet.systems.parameters.flattened`.
    """

    kind = "analytic"

    def __call__(self, t: float, x: Array, u: Array, p: tuple[Any, ...]) -> WeightGradients:
        """Return the derivative (n, n_params) as an operator."""
        return WeightGradients(self.recurrence, x, self.recurrence.evaluated(x, u, p))


class Evaluated(NamedTuple):
    """A layer at one state."""

    cell: Cell
    read: Array | None
    old: tuple[Array, ...]
    weights: Any
    kept: Kept


class WeightGradients(Operator):
    """The derivative (n, n_params) of a step with respect to all weights.

    Products with the transpose go back through the layers of the step once a column.

    Parameters
    ----------
    recurrence : Recurrence
        The layout of the cells.
    x : array (n,)
        The state.
    layers : sequence
        Cell, what it read, its old state, its weights and what it kept for derivatives, of each layer.
    """

    def __init__(self, recurrence: Recurrence, x: Array, layers: Sequence[tuple[Any, ...]]) -> None:
        self.recurrence, self.x = recurrence, x
        self.layers = [Evaluated(*layer) for layer in layers]
        sizes = [field for layer in self.layers for field in layer.weights if field is not None]
        self.shape = (recurrence.n, sum(_count(field) for field in sizes))

    @property
    def prototype(self) -> Array:
        """The state."""
        return self.x

    def pull(self, W: Array) -> Array:
        """Return the product of the transpose with ``W`` (n, k)."""
        xp = namespace(W)
        return xp.stack([self._pulled(W[:, i]) for i in range(W.shape[1])], axis=1)

    @cached_property
    def _matrix(self) -> Array:
        xp = namespace(self.x)
        return self.pull(xp.eye(self.shape[0], dtype=self.x.dtype, **device_of(self.x))).T

    def __matmul__(self, V: Array) -> Array:
        return self._matrix @ V

    def assemble(self) -> Array:
        """Return the matrix (n, n_params)."""
        return self._matrix

    def transpose(self) -> Operator:
        """Return the transpose, one pass back a column."""
        return _Transposed(self)

    def _pulled(self, g: Array) -> Array:
        recurrence, xp = self.recurrence, namespace(g)
        from_above: Array | None = None
        pieces: list[list[Array]] = []
        for layer, rows in zip(reversed(self.layers), reversed(recurrence.rows), strict=True):
            parts = [g[part] for part in rows]
            if from_above is not None:
                parts[0] = parts[0] + from_above
            parts = [recurrence.rate * part for part in parts]
            gradients = _weight_gradients(layer, parts)
            pieces.append([value.reshape(-1) for value in gradients if value is not None])
            if not recurrence.flow and layer is not self.layers[0]:
                whole = parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)
                through = transpose(layer.cell.input_jacobian(layer.weights, layer.kept))
                from_above = (through @ whole[:, None])[:, 0]
        return xp.concat([piece for layer_pieces in reversed(pieces) for piece in layer_pieces], axis=0)


class _Transposed(Operator):
    def __init__(self, operator: WeightGradients) -> None:
        self.operator = operator
        self.shape = operator.shape[::-1]

    @property
    def prototype(self) -> Array:
        """The state."""
        return self.operator.prototype

    def __matmul__(self, W: Array) -> Array:
        return self.operator.pull(W)

    def transpose(self) -> WeightGradients:
        """Return the derivative itself."""
        return self.operator


def _count(field: Array) -> int:
    count = 1
    for size in field.shape:
        count *= int(size)
    return count


def _weight_gradients(layer: Evaluated, g: list[Array]) -> list[Array | None]:
    """Return the gradients with respect to W_hh, W_xh, b_hh, b_xh (and n, s), None for those that are not there.

    ``g`` is the gradient with respect to the parts of the next state.
    """
    cell, w = layer.cell, layer.weights
    h = layer.old[0]
    if isinstance(cell, GRU):
        W_hh, by_recurrence, by_input = _gru(cell, layer, g[0])
    elif isinstance(cell, LSTM):
        rows = _lstm(cell, layer, g)
        W_hh, by_recurrence, by_input = _outer(rows, h), rows, rows
    else:
        assert isinstance(cell, Elman)
        inside = cell.form == "inside"
        rows = g[0] if inside else cell.slope(layer.kept[0], w) * g[0]
        W_hh, by_recurrence, by_input = _outer(rows, cell.value(h, w) if inside else h), rows, rows
    out = [
        W_hh,
        None if w.W_xh is None else _outer(by_input, layer.read),
        None if w.b_hh is None else by_recurrence,
        None if w.b_xh is None else by_input,
    ]
    if isinstance(cell, GammaElman):
        parts = gamma_parts(layer.kept[0], w.n)
        for shape, slope in ((w.n, gamma_slope_n), (w.s, gamma_slope_s)):
            each = slope(parts, w.n, w.s) * g[0]
            out.append(each if len(shape.shape) else namespace(each).sum(each)[None])
    return out


def _gru(cell: GRU, layer: Evaluated, g: Array) -> tuple[Array, Array, Array]:
    """Return the gradient of W_hh, and the gradients of what is added to the gates by recurrence and by the input."""
    w, h, xp = layer.weights, layer.old[0], namespace(g)
    r, slope_r, slope_z, slope_n, _ = cell.slopes(layer.kept)
    H = h.shape[-1]
    n, z = slope_n * g, slope_z * g
    if cell.form == "paper":
        U = w.W_hh[2 * H :, :]
        rows = xp.concat((slope_r * (U.T @ n), z, n), axis=0)
        W_hh = xp.concat((_outer(rows[: 2 * H], h), _outer(n, r * h)), axis=0)
        return W_hh, rows, rows
    by_input = xp.concat((slope_r * n, z, n), axis=0)
    scaled = xp.concat((slope_r * n, z, r * n), axis=0)
    return _outer(scaled, h), scaled if cell.form == "torch" else by_input, by_input


def _lstm(cell: LSTM, layer: Evaluated, g: list[Array]) -> Array:
    """Return the gradients of what goes into the gates i, f, g, o."""
    slope_i, slope_f, slope_g, slope_o, memory_to_output, _ = cell.slopes(layer.kept)
    memory = g[1] + memory_to_output * g[0]
    return namespace(memory).concat(
        (slope_i * memory, slope_f * memory, slope_g * memory, slope_o * g[0]), axis=0
    )  # fmt: skip


def _outer(a: Array, b: Any) -> Array:
    return a[:, None] * b[None, :]
