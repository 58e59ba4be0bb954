"""The cell equations, each in one place, each with its Jacobian operators.

A cell maps ``(input, state)`` to the next state, on the array namespace, for states (..., n). `forward` returns
the next state and the arrays that the Jacobians are made of; `state_jacobian` and `input_jacobian` make operators of
them, of one step or, stacked along a leading axis, of many.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from dynet.kernels.namespace import namespace
from dynet.systems.activations import ACTIVATIONS, sigmoid, tanh
from dynet.systems.gamma import gamma_parts, gamma_slope, gamma_value
from dynet.systems.layer_operators import GatedCell
from dynet.systems.operators import Affine, Operator, Product, ScaledSum, Term
from dynet.typing import Array

__all__ = ["GRU", "LSTM", "Cell", "Elman", "GammaElman", "GammaWeights", "HiddenLSTM", "Weights"]


class Weights(NamedTuple):
    """Weights of one recurrent layer with G gates, H units and M inputs, in torch's layout.

    ``W_hh`` (G H, H), ``W_xh`` (G H, M) or None, ``b_hh`` (G H,) or None, ``b_xh`` (G H,) or None.
    """

    W_hh: Array
    W_xh: Array | None = None
    b_hh: Array | None = None
    b_xh: Array | None = None


class GammaWeights(NamedTuple):
    """The same of a layer whose units have gains n and saturations s, (H,) or () if all units share them."""

    W_hh: Array
    W_xh: Array | None
    b_hh: Array | None
    b_xh: Array | None
    n: Array
    s: Array


#: what a step keeps for its Jacobians: arrays (..., n), no slopes yet
Kept = tuple[Array, ...]


class Cell(ABC):
    """One recurrent layer."""

    #: names of the parts of the state, in order; the first is what the next layer reads
    parts: ClassVar[tuple[str, ...]] = ("h",)
    n_gates: ClassVar[int] = 1
    name: str

    def part_size(self, part: int, n_units: int) -> int:
        """Return the size of a part of the state of ``n_units`` units."""
        return n_units

    def unit_labels(self, n_units: int) -> dict[str, list[Any]] | None:
        """Return coordinates of the units of a single layer, where names by layer and part do not tell enough."""
        return None

    @abstractmethod
    def forward(self, x: Array | None, state: tuple[Array, ...], w: Weights) -> tuple[tuple[Array, ...], Kept]:
        """Return the next state (a tuple of parts) and what the Jacobians are made of."""

    @abstractmethod
    def state_jacobian(self, w: Weights, kept: Kept) -> Operator:
        """Return the derivative of the next state with respect to the state."""

    @abstractmethod
    def input_jacobian(self, w: Weights, kept: Kept) -> Operator:
        """Return the derivative of the next state with respect to the input."""


def drive(x: Array | None, w: Weights) -> Array | None:
    """Return ``W_xh x + b_xh``; None when neither is there."""
    if w.W_xh is None or x is None or x.shape[-1] == 0:
        return w.b_xh
    driven = _rows_times(x, w.W_xh)
    return driven if w.b_xh is None else driven + w.b_xh


def _rows_times(x: Array, W: Array) -> Array:
    """Return ``x W^T``; stacked rows of many steps and sequences as one product, where numpy makes one of each."""
    if x.ndim < 3 or W.ndim > 2:
        return x @ W.mT
    return (x.reshape(-1, x.shape[-1]) @ W.mT).reshape(*x.shape[:-1], W.shape[-2])


def recurrence(h: Array, w: Weights) -> Array:
    """Return ``W_hh h + b_hh``."""
    out = _rows_times(h, w.W_hh)
    return out if w.b_hh is None else out + w.b_hh


def _plus(a: Array, b: Array | None) -> Array:
    return a if b is None else a + b


def _halves(a: Array) -> tuple[Array, Array]:
    H = a.shape[-1] // 2
    return a[..., :H], a[..., H:]


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

    def forward(self, x: Array | None, state: tuple[Array, ...], w: Weights) -> tuple[tuple[Array, ...], Kept]:
        (h,) = state
        if self.form == "inside":
            return (_plus(recurrence(self.value(h, w), w), drive(x, w)),), (h,)
        a = _plus(recurrence(h, w), drive(x, w))
        return (self.value(a, w),), (a,)

    def state_jacobian(self, w: Weights, kept: Kept) -> Operator:
        slope = self.slope(kept[0], w)
        return _gates(Term(None, w.W_hh, slope) if self.form == "inside" else Term(slope, w.W_hh))

    def input_jacobian(self, w: Weights, kept: Kept) -> Operator:
        return _gates(Term(None if self.form == "inside" else self.slope(kept[0], w), w.W_xh))

    def value(self, a: Array, w: Weights) -> Array:
        """Return the activation."""
        return ACTIVATIONS[self.activation].value(a)

    def slope(self, a: Array, w: Weights) -> Array:
        """Return its slope."""
        return ACTIVATIONS[self.activation].slope(a)

    def tangent(self, x: Array | None, h: Array, w: Weights, V: Array) -> tuple[Array, Array]:
        """Return the next state and the frame ``J V``, with one pass over the weights: h is one more column.

        For ``form="outside"`` alone: there the matrix acts on state and frame alike.
        """
        product = w.W_hh @ namespace(h).concat((V, h[..., None]), axis=-1)
        recurrent = product[..., -1] if w.b_hh is None else product[..., -1] + w.b_hh
        a = _plus(recurrent, drive(x, w))
        return self.value(a, w), self.slope(a, w)[..., None] * product[..., :-1]


class GammaElman(Elman):
    """``h' = gamma(W_hh h + W_xh x + b; n, s)``, the gains n and saturations s among the weights."""

    def __init__(self) -> None:
        super().__init__("gamma")

    def value(self, a: Array, w: Any) -> Array:
        return gamma_value(gamma_parts(a, w.n), w.n, w.s)

    def slope(self, a: Array, w: Any) -> Array:
        return gamma_slope(gamma_parts(a, w.n), w.n, w.s)


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

    def forward(self, x: Array | None, state: tuple[Array, ...], w: Weights) -> tuple[tuple[Array, ...], Kept]:
        (h,) = state
        H = h.shape[-1]
        driven = drive(x, w)
        if self.form == "torch":
            recurrent = recurrence(h, w)
            gates = _plus(recurrent[..., : 2 * H], None if driven is None else driven[..., : 2 * H])
            r, z = _halves(sigmoid.value(gates))
            inner = recurrent[..., 2 * H :]
            product = r * inner
        else:
            driven = w.b_hh if driven is None else _plus(driven, w.b_hh)
            gates = _plus(h @ w.W_hh[: 2 * H, :].mT, None if driven is None else driven[..., : 2 * H])
            r, z = _halves(sigmoid.value(gates))
            U = _rows(w.W_hh, 2, H).mT
            inner = h if self.form == "paper" else h @ U
            product = (r * h) @ U if self.form == "paper" else r * inner
        a = _plus(product, None if driven is None else driven[..., 2 * H :])
        n = tanh.value(a)
        # inner is what r multiplies
        return ((1 - z) * n + z * h,), (gates, a, inner, h)

    def state_jacobian(self, w: Weights, kept: Kept) -> Operator:
        r, slope_r, slope_z, slope_n, z = self.slopes(kept)
        H = z.shape[-1]
        U_r, U_z, U_n = (_rows(w.W_hh, g, H) for g in range(3))
        if self.form == "paper":
            gates = _gates(Term(slope_z, U_z), diagonal=z)
            candidate = Product(_gates(Term(slope_n, U_n)), _gates(Term(slope_r, U_r), diagonal=r))
            return Affine(0.0, 1.0, gates, candidate)
        return _gates(Term(slope_n * slope_r, U_r), Term(slope_z, U_z), Term(slope_n * r, U_n), diagonal=z)

    def input_jacobian(self, w: Weights, kept: Kept) -> Operator:
        _, slope_r, slope_z, slope_n, z = self.slopes(kept)
        H = z.shape[-1]
        W_r, W_z, W_n = (_rows(w.W_xh, g, H) for g in range(3))
        if self.form == "paper":
            through_r = Product(_gates(Term(slope_n, _rows(w.W_hh, 2, H))), _gates(Term(slope_r, W_r)))
            return Affine(0.0, 1.0, _gates(Term(slope_z, W_z), Term(slope_n, W_n)), through_r)
        return _gates(Term(slope_n * slope_r, W_r), Term(slope_z, W_z), Term(slope_n, W_n))

    @staticmethod
    def slopes(kept: Kept) -> tuple[Array, Array, Array, Array, Array]:
        """Return r, the slopes of h' with respect to what goes into n, into r (times that of n), into z, and z."""
        gates, a, inner, h = kept
        r, z = _halves(sigmoid.value(gates))
        dr, dz = _halves(sigmoid.slope(gates))
        return r, dr * inner, (h - tanh.value(a)) * dz, (1 - z) * tanh.slope(a), z


class LSTM(Cell):
    """``c' = f c + i g``, ``h' = o tanh(c')`` with gates in torch's order i, f, g, o."""

    parts: ClassVar[tuple[str, ...]] = ("h", "c")
    n_gates = 4
    name = "LSTM"

    def forward(self, x: Array | None, state: tuple[Array, ...], w: Weights) -> tuple[tuple[Array, ...], Kept]:
        h, c = state
        a = _plus(recurrence(h, w), drive(x, w))
        i, f, g, o = gates = self.gates(a)
        c_next = f * c + i * g
        return (o * tanh.value(c_next), c_next), (a, *gates, c, c_next)

    @staticmethod
    def gates(a: Array) -> tuple[Array, Array, Array, Array]:
        """Return i, f, g, o from what goes into them."""
        H = a.shape[-1] // 4
        i, f = _halves(sigmoid.value(a[..., : 2 * H]))
        return i, f, tanh.value(a[..., 2 * H : 3 * H]), sigmoid.value(a[..., 3 * H :])

    def slopes(self, kept: Kept) -> tuple[Array, Array, Array, Array, Array, Array]:
        """Return the slopes of c' with respect to what goes into i, f, g; of h' into o, and to c'; and f."""
        a, i, f, g, o, c, c_next = kept
        H = c.shape[-1]
        di, df = _halves(sigmoid.slope(a[..., : 2 * H]))
        dg, do = tanh.slope(a[..., 2 * H : 3 * H]), sigmoid.slope(a[..., 3 * H :])
        return di * g, df * c, dg * i, do * tanh.value(c_next), o * tanh.slope(c_next), f

    def state_jacobian(self, w: Weights, kept: Kept) -> Operator:
        slopes = self.slopes(kept)
        return GatedCell(*self._paths(w.W_hh, slopes), forget=slopes[5])

    def input_jacobian(self, w: Weights, kept: Kept) -> Operator:
        return GatedCell(*self._paths(w.W_xh, self.slopes(kept)))

    @staticmethod
    def _paths(W: Array, slopes: tuple[Array, ...]) -> tuple[Operator, Operator, Array]:
        slope_i, slope_f, slope_g, slope_o, memory_to_output, f = slopes
        H = f.shape[-1]
        M = _gates(Term(slope_i, _rows(W, 0, H)), Term(slope_f, _rows(W, 1, H)), Term(slope_g, _rows(W, 2, H)))
        return _gates(Term(slope_o, _rows(W, 3, H))), M, memory_to_output


class HiddenLSTM(LSTM):
    """The hidden state of an LSTM at a frozen memory: ``h' = o tanh(f c_t + i g)`` with ``c_t`` in the input.

    This is the object of Vogt et al. (2022); its Jacobian leaves out every path through the memory.
    """

    parts = ("h",)
    name = "LSTM, hidden state at frozen memory"

    def forward(self, x: Array | None, state: tuple[Array, ...], w: Weights) -> tuple[tuple[Array, ...], Kept]:
        assert x is not None
        (h,) = state
        H = h.shape[-1]
        split = x.shape[-1] - H
        (h_next, _), kept = super().forward(x[..., :split], (h, x[..., split:]), w)
        return (h_next,), kept

    def state_jacobian(self, w: Weights, kept: Kept) -> Operator:
        return self._direct(w.W_hh, kept)

    def input_jacobian(self, w: Weights, kept: Kept) -> Operator:
        return self._direct(w.W_xh, kept)

    def _direct(self, W: Array, kept: Kept) -> Operator:
        slope_i, slope_f, slope_g, slope_o, s, f = self.slopes(kept)
        H = f.shape[-1]
        slopes = (s * slope_i, s * slope_f, s * slope_g, slope_o)
        return _gates(*(Term(slope, _rows(W, g, H)) for g, slope in enumerate(slopes)))
