"""Adaptive recurrent units: a layer whose units have gains and saturations moved by controllers of their own.

All units share the weights of one small recurrent network, the controller; each has a private state of it.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from dynet.kernels.namespace import is_numpy, namespace
from dynet.systems.activations import tanh
from dynet.systems.cells import Cell, Kept, drive, recurrence
from dynet.systems.gamma import gamma_parts, gamma_slope, gamma_slope_n, gamma_slope_s, gamma_value
from dynet.systems.operators import Operator
from dynet.typing import Array

__all__ = ["AdaptiveElman", "AdaptiveJacobian", "AdaptiveSlopes", "AdaptiveWeights"]


class AdaptiveWeights(NamedTuple):
    """Weights of H units with M inputs, and of the controller with G states that all of them share.

    ``b_n`` and ``b_s``, what n and s are without the controller, are () or (H,).
    """

    W_hh: Array  # (H, H)
    W_xh: Array | None  # (H, M)
    b_hh: Array | None  # (H,)
    b_xh: Array | None  # (H,)
    W_ag: Array  # (G,)
    W_gg: Array  # (G, G)
    b_g: Array  # (G,)
    W_gn: Array  # (G,)
    b_n: Array
    W_gs: Array  # (G,)
    b_s: Array


class AdaptiveElman(Cell):
    """``a = W_hh h + W_xh x + b``, ``g_i' = tanh(W_ag a_i + W_gg g_i + b_g)``, ``h' = gamma(a; n, s)``.

    The gains are ``n_i = W_gn g_i' + b_n``, the saturations ``s_i = W_gs g_i' + b_s``. A gain that is not positive,
    where the activation has no meaning, makes its unit NaN.
    """

    parts: ClassVar[tuple[str, ...]] = ("h", "g")
    name = "adaptive RNN"

    def __init__(self, n_controller: int) -> None:
        self.n_controller = n_controller

    def part_size(self, part: int, n_units: int) -> int:
        return n_units * self.n_controller if part else n_units

    def unit_labels(self, n_units: int) -> dict[str, list[Any]]:
        """Return the coordinates of the units: the names of a single layer, and the neuron that each belongs to."""
        H, G = n_units, self.n_controller
        return {
            "unit": [f"h[{i}]" for i in range(H)] + [f"g[{i}][{j}]" for i in range(H) for j in range(G)],
            "layer": [0] * (H + H * G),
            "part": ["h"] * H + ["g"] * (H * G),
            "neuron": [*range(H), *(i for i in range(H) for _ in range(G))],
        }

    def forward(self, x: Array | None, state: tuple[Array, ...], w: Any) -> tuple[tuple[Array, ...], Kept]:
        h, g = state
        a = recurrence(h, w)
        driven = drive(x, w)
        if driven is not None:
            a = a + driven
        z = a[..., None] * w.W_ag + (g.reshape(*g.shape[:-1], -1, self.n_controller) @ w.W_gg.mT + w.b_g)
        new_g = tanh.value(z)
        n, s = self.gain_and_saturation(new_g, w)
        new_h = gamma_value(gamma_parts(a, n), n, s)
        return (new_h, new_g.reshape(*new_h.shape[:-1], -1)), (a, z, new_g)

    @staticmethod
    def gain_and_saturation(g: Array, w: Any) -> tuple[Array, Array]:
        """Return n and s (..., H) that controllers (..., H, G) give; NaN where n is not positive."""
        n, s = g @ w.W_gn + w.b_n, g @ w.W_gs + w.b_s
        return namespace(n).where(n > 0, n, np.nan), s

    def slopes(self, kept: Kept, w: Any) -> AdaptiveSlopes:
        """Return what the Jacobians are made of."""
        a, z, g = kept
        n, s = self.gain_and_saturation(g, w)
        parts = gamma_parts(a, n)
        return AdaptiveSlopes(
            gamma_slope(parts, n, s), gamma_slope_n(parts, n, s), gamma_slope_s(parts, n, s), tanh.slope(z)
        )

    def state_jacobian(self, w: Any, kept: Kept) -> Operator:
        return AdaptiveJacobian(w, w.W_hh, self.slopes(kept, w), with_controllers=True)

    def input_jacobian(self, w: Any, kept: Kept) -> Operator:
        return AdaptiveJacobian(w, w.W_xh, self.slopes(kept, w), with_controllers=False)


class AdaptiveSlopes(NamedTuple):
    """Derivatives of a step of H units whose controllers have G states."""

    by_a: Array  # of h' with respect to a, at fixed n and s, (..., H)
    by_n: Array  # of h' with respect to n, (..., H)
    by_s: Array  # of h' with respect to s, (..., H)
    of_g: Array  # of tanh in the controllers, (..., H, G)


class AdaptiveJacobian(Operator):
    """The Jacobian of adaptive units, never built: ``H (1 + G)`` rows.

    ``da = W dy``, ``dg' = D (W_ag da + W_gg dg)``, ``dh' = A da + N W_gn dg' + S W_gs dg'``, where D, A, N and S are
    diagonal. All controllers of all columns of a frame are multiplied by one matrix: frames are worked on by columns,
    as factorisations leave them.

    Parameters
    ----------
    w : AdaptiveWeights
        The controller is taken from them.
    W : array (H, columns)
        What makes the pre-activations: recurrent weights, or input weights.
    slopes : AdaptiveSlopes
        The diagonals, with the batch in front.
    with_controllers : bool
        Whether it acts on the state (h, g), or on what W multiplies alone.
    """

    def __init__(self, w: AdaptiveWeights, W: Array, slopes: AdaptiveSlopes, *, with_controllers: bool) -> None:
        self.w, self.W, self.slopes, self.with_controllers = w, W, slopes, with_controllers
        *batch, H, G = slopes.of_g.shape
        self.shape = (*batch, H * (1 + G), W.shape[-1] + (H * G if with_controllers else 0))

    @property
    def prototype(self) -> Array:
        return self.W

    def _into_controllers(self) -> Array:
        """Return the weights (G + 1, G) of a controller's states and of a in its new states."""
        w = self.w
        return namespace(w.W_gg).concat((w.W_gg.mT, w.W_ag[None, :]), axis=0)

    def _out_of_controllers(self) -> Array:
        """Return the derivatives (..., H, G) of h' with respect to the new states of its controller."""
        w, slopes = self.w, self.slopes
        return slopes.by_n[..., None] * w.W_gn + slopes.by_s[..., None] * w.W_gs

    def __matmul__(self, V: Array) -> Array:
        xp = namespace(V)
        H, G = self.slopes.of_g.shape[-2:]
        if self.with_controllers and is_numpy(V) and V.ndim == self.slopes.of_g.ndim == 2:
            return self._column_by_column(V)
        columns = V.mT  # (..., k, n)
        width = self.W.shape[-1]
        da = columns[..., :width] @ self.W.mT
        if self.with_controllers:
            dg = columns[..., width:].reshape(*columns.shape[:-1], H, G)
            dz = xp.concat((dg, da[..., None]), axis=-1) @ self._into_controllers()
        else:
            dz = da[..., None] * self.w.W_ag
        dg = dz * self.slopes.of_g[..., None, :, :]
        out = self._out_of_controllers()[..., None, :, :]
        dh = self.slopes.by_a[..., None, :] * da + xp.sum(out * dg, axis=-1)
        return xp.concat((dh, dg.reshape(*dg.shape[:-2], H * G)), axis=-1).mT

    def _column_by_column(self, V: np.ndarray) -> np.ndarray:
        """Return the product with a frame (n, k): arrays of one column keep to the cache."""
        H, G = self.slopes.of_g.shape
        into, out_of = self._into_controllers(), self._out_of_controllers()
        da = V[:H].T @ self.W.T
        dtype = np.result_type(V, self.W)
        columns = np.empty((V.shape[1], H * (1 + G)), dtype)
        both = np.empty((H, G + 1), dtype)
        for column, given, da_one in zip(columns, V.T, da, strict=True):
            both[:, :G] = given[H:].reshape(H, G)
            both[:, G] = da_one
            dg = column[H:].reshape(H, G)
            np.matmul(both, into, out=dg)
            dg *= self.slopes.of_g
            np.einsum("ij,ij->i", dg, out_of, out=column[:H])
        columns[:, :H] += self.slopes.by_a * da
        return columns.T

    def transpose(self) -> Operator:
        return _TransposedAdaptiveJacobian(self)


class _TransposedAdaptiveJacobian(Operator):
    def __init__(self, jacobian: AdaptiveJacobian) -> None:
        self.jacobian = jacobian
        *batch, rows, columns = jacobian.shape
        self.shape = (*batch, columns, rows)

    @property
    def prototype(self) -> Array:
        return self.jacobian.prototype

    def __matmul__(self, V: Array) -> Array:
        J, slopes = self.jacobian, self.jacobian.slopes
        xp = namespace(V)
        H, G = slopes.of_g.shape[-2:]
        columns = V.mT
        dh = columns[..., :H]
        dg = columns[..., H:].reshape(*columns.shape[:-1], H, G)
        dz = (dg + J._out_of_controllers()[..., None, :, :] * dh[..., None]) * slopes.of_g[..., None, :, :]
        back = dz @ J._into_controllers().mT
        dy = (slopes.by_a[..., None, :] * dh + back[..., G]) @ J.W
        if not J.with_controllers:
            return dy.mT
        return xp.concat((dy, back[..., :G].reshape(*back.shape[:-2], H * G)), axis=-1).mT

    def transpose(self) -> AdaptiveJacobian:
        return self.jacobian
