"""The cell equations, each in one place, each with its Jacobian operators.

A cell maps ``(input, state)`` to the next state, on the array namespace, for states (..., n). `forward` returns
the next state and what the Jacobians need; `state_jacobian` and `input_jacobian` make operators of that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from dynet.kernels.namespace import namespace
from dynet.systems.activations import ACTIVATIONS, sigmoid, tanh
from dynet.systems.operators import Affine, GatedCell, Operator, Product, ScaledSum, Term
from dynet.typing import Array

__all__ = ["GRU", "LSTM", "Cell", "Elman", "HiddenLSTM", "Weights"]


class Weights(NamedTuple):
    """Weights of one recurrent layer with G gates, H units and M inputs, in torch's layout.

    ``W_hh`` (G H, H), ``W_xh`` (G H, M) or None, ``b_hh`` (G H,) or None, ``b_xh`` (G H,) or None.
    """

    W_hh: Array
    W_xh: Array | None = None
    b_hh: Array | None = None
    b_xh: Array | None = None


class Cell(ABC):
    """One recurrent layer."""

    #: names of the parts of the state, in order; the first is what the next layer reads
    parts: ClassVar[tuple[str, ...]] = ("h",)
    n_gates: ClassVar[int] = 1
    name: str

    @abstractmethod
    def forward(self, x: Array | None, state: tuple[Array, ...], w: Weights) -> tuple[tuple[Array, ...], Any]:
        """Return the next state (a tuple of parts) and what the Jacobians need."""

    @abstractmethod
    def state_jacobian(self, w: Weights, kept: Any) -> Operator:
        """Return the derivative of the next state with respect to the state."""

    @abstractmethod
    def input_jacobian(self, w: Weights, kept: Any) -> Operator:
        """Return the derivative of the next state with respect to the input."""


def drive(x: Array | None, w: Weights) -> Array | None:
    """Return ``W_xh x + b_xh``; None when neither is there."""
    if x is None or w.W_xh is None or x.shape[-1] == 0:
        return w.b_xh
    driven = x @ w.W_xh.mT
    return driven if w.b_xh is None else driven + w.b_xh


def recurrence(h: Array, w: Weights) -> Array:
    """Return ``W_hh h + b_hh``."""
    out = h @ w.W_hh.mT
    return out if w.b_hh is None else out + w.b_hh


def _plus(a: Array, b: Array | None) -> Array:
    return a if b is None else a + b


def _gate(a: Array | None, g: int, H: int) -> Array | None:
    return None if a is None else a[..., g * H : (g + 1) * H]


def _rows(W: Array, g: int, H: int) -> Array:
    return W[g * H : (g + 1) * H, :]


def _gates(*terms: Term, diagonal: Array | None = None) -> ScaledSum:
    """Return a sum over weights, which no step writes to."""
    return ScaledSum(*terms, diagonal=diagonal, fixed=True)


class Elman(Cell):
    """``h' = phi(W_hh h + W_xh x + b)``, or ``h' = W_hh phi(h) + W_xh x + b`` (``form="inside"``)."""

    def __init__(self, activation: str = "tanh", form: str = "outside") -> None:
        self.activation, self.form = activation, form
        self.name = f"{activation} RNN" if form == "outside" else f"{activation} RNN, nonlinearity inside"

    def forward(self, x: Array | None, state: tuple[Array, ...], w: Weights) -> tuple[tuple[Array, ...], Any]:
        phi = ACTIVATIONS[self.activation]
        (h,) = state
        if self.form == "inside":
            rate, slope = phi(h)
            return (_plus(recurrence(rate, w), drive(x, w)),), slope
        y, slope = phi(_plus(recurrence(h, w), drive(x, w)))
        return (y,), slope

    def state_jacobian(self, w: Weights, kept: Any) -> Operator:
        if self.form == "inside":
            return _gates(Term(None, w.W_hh, kept))
        return _gates(Term(kept, w.W_hh))

    def tangent(self, x: Array | None, h: Array, w: Weights, V: Array) -> tuple[Array, Array]:
        """Return the next state and the frame ``J V``, with one pass over the weights: h is one more column.

        For ``form="outside"`` alone: there the matrix acts on state and frame alike.
        """
        product = w.W_hh @ namespace(h).concat((V, h[..., None]), axis=-1)
        recurrent = product[..., -1] if w.b_hh is None else product[..., -1] + w.b_hh
        y, slope = ACTIVATIONS[self.activation](_plus(recurrent, drive(x, w)))
        return y, slope[..., None] * product[..., :-1]

    def input_jacobian(self, w: Weights, kept: Any) -> Operator:
        return _gates(Term(None if self.form == "inside" else kept, w.W_xh))


class GRU(Cell):
    """``h' = (1 - z) n + z h`` with gates r, z and candidate n, in one of three forms.

    ``"torch"``: n = tanh(W_n x + b_xn + r (U_n h + b_hn)), what torch.nn.GRU computes.
    ``"gated-product"``: n = tanh(W_n x + b_xn + r (U_n h) + b_hn).
    ``"paper"``: n = tanh(W_n x + b_xn + U_n (r h) + b_hn) (Cho et al. 2014).
    """

    n_gates = 3

    def __init__(self, form: str = "torch") -> None:
        self.form = form
        self.name = f"GRU, {form} form"

    def forward(self, x: Array | None, state: tuple[Array, ...], w: Weights) -> tuple[tuple[Array, ...], Any]:
        (h,) = state
        H = h.shape[-1]
        driven = drive(x, w)
        if self.form == "torch":
            recurrent = recurrence(h, w)
            r, dr = sigmoid(_plus(_gate(recurrent, 0, H), _gate(driven, 0, H)))
            z, dz = sigmoid(_plus(_gate(recurrent, 1, H), _gate(driven, 1, H)))
            inner = _gate(recurrent, 2, H)
            n, dn = tanh(_plus(r * inner, _gate(driven, 2, H)))
        else:
            gates = h @ w.W_hh[: 2 * H, :].mT
            offset = w.b_hh if driven is None else _plus(driven, w.b_hh)
            r, dr = sigmoid(_plus(_gate(gates, 0, H), _gate(offset, 0, H)))
            z, dz = sigmoid(_plus(_gate(gates, 1, H), _gate(offset, 1, H)))
            U = _rows(w.W_hh, 2, H).mT
            inner = h if self.form == "paper" else h @ U
            product = (r * h) @ U if self.form == "paper" else r * inner
            n, dn = tanh(_plus(product, _gate(offset, 2, H)))
        # the slopes with respect to the three pre-activations r, z, n; inner is what r multiplies
        return ((1 - z) * n + z * h,), (r, dr * inner, (h - n) * dz, (1 - z) * dn, z)

    def state_jacobian(self, w: Weights, kept: Any) -> Operator:
        r, slope_r, slope_z, slope_n, z = kept
        H = z.shape[-1]
        U_r, U_z, U_n = (_rows(w.W_hh, g, H) for g in range(3))
        if self.form == "paper":
            gates = _gates(Term(slope_z, U_z), diagonal=z)
            candidate = Product(_gates(Term(slope_n, U_n)), _gates(Term(slope_r, U_r), diagonal=r))
            return Affine(0.0, 1.0, gates, candidate)
        return _gates(Term(slope_n * slope_r, U_r), Term(slope_z, U_z), Term(slope_n * r, U_n), diagonal=z)

    def input_jacobian(self, w: Weights, kept: Any) -> Operator:
        _, slope_r, slope_z, slope_n, z = kept
        H = z.shape[-1]
        W_r, W_z, W_n = (_rows(w.W_xh, g, H) for g in range(3))
        if self.form == "paper":
            through_r = Product(_gates(Term(slope_n, _rows(w.W_hh, 2, H))), _gates(Term(slope_r, W_r)))
            return Affine(0.0, 1.0, _gates(Term(slope_z, W_z), Term(slope_n, W_n)), through_r)
        return _gates(Term(slope_n * slope_r, W_r), Term(slope_z, W_z), Term(slope_n, W_n))


class LSTM(Cell):
    """``c' = f c + i g``, ``h' = o tanh(c')`` with gates in torch's order i, f, g, o."""

    parts: ClassVar[tuple[str, ...]] = ("h", "c")
    n_gates = 4
    name = "LSTM"

    def forward(self, x: Array | None, state: tuple[Array, ...], w: Weights) -> tuple[tuple[Array, ...], Any]:
        h, c = state
        H = c.shape[-1]
        a = _plus(recurrence(h, w), drive(x, w))
        i, di = sigmoid(a[..., :H])
        f, df = sigmoid(a[..., H : 2 * H])
        g, dg = tanh(a[..., 2 * H : 3 * H])
        o, do = sigmoid(a[..., 3 * H :])
        c_next = f * c + i * g
        y, dy = tanh(c_next)
        return (o * y, c_next), (di * g, df * c, dg * i, do * y, o * dy, f)

    def state_jacobian(self, w: Weights, kept: Any) -> Operator:
        E, M, memory_to_output = self._paths(w.W_hh, kept)
        return GatedCell(E, M, memory_to_output, forget=kept[5])

    def input_jacobian(self, w: Weights, kept: Any) -> Operator:
        return GatedCell(*self._paths(w.W_xh, kept))

    @staticmethod
    def _paths(W: Array, kept: Any) -> tuple[Operator, Operator, Array]:
        slope_i, slope_f, slope_g, slope_o, memory_to_output, f = kept
        H = f.shape[-1]
        M = _gates(Term(slope_i, _rows(W, 0, H)), Term(slope_f, _rows(W, 1, H)), Term(slope_g, _rows(W, 2, H)))
        return _gates(Term(slope_o, _rows(W, 3, H))), M, memory_to_output


class HiddenLSTM(LSTM):
    """The hidden state of an LSTM at a frozen memory: ``h' = o tanh(f c_t + i g)`` with ``c_t`` in the input.

    This is the object of Vogt et al. (2022); its Jacobian leaves out every path through the memory.
    """

    parts = ("h",)
    name = "LSTM, hidden state at frozen memory"

    def forward(self, x: Array | None, state: tuple[Array, ...], w: Weights) -> tuple[tuple[Array, ...], Any]:
        assert x is not None
        (h,) = state
        H = h.shape[-1]
        split = x.shape[-1] - H
        (h_next, _), kept = super().forward(x[..., :split], (h, x[..., split:]), w)
        return (h_next,), kept

    def state_jacobian(self, w: Weights, kept: Any) -> Operator:
        return self._direct(w.W_hh, kept)

    def input_jacobian(self, w: Weights, kept: Any) -> Operator:
        return self._direct(w.W_xh, kept)

    @staticmethod
    def _direct(W: Array, kept: Any) -> Operator:
        slope_i, slope_f, slope_g, slope_o, s, f = kept
        H = f.shape[-1]
        slopes = (s * slope_i, s * slope_f, s * slope_g, slope_o)
        return _gates(*(Term(slope, _rows(W, g, H)) for g, slope in enumerate(slopes)))
