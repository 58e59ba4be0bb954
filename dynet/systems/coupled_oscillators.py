"""The coRNN: units that are coupled, damped, driven oscillators, its cell and its Jacobian."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from dynet._validate import Faults
from dynet.kernels.namespace import move_like, namespace
from dynet.systems.activations import tanh
from dynet.systems.cells import Cell, Kept, drive, recurrence
from dynet.systems.layer_weights import is_list_of_layers, real_weights, stacked_weights
from dynet.systems.layered_systems import recurrent_map
from dynet.systems.map import Map
from dynet.systems.operators import Operator, ScaledSum, Term
from dynet.typing import Array, ArrayLike

__all__ = ["CoupledOscillators", "OscillatorWeights", "cornn"]


class OscillatorWeights(NamedTuple):
    """`Weights` of a layer with ``W_zh`` (H, H), what velocities do to accelerations, and its three constants, ()."""

    W_hh: Array
    W_xh: Array | None
    b_hh: Array | None
    b_xh: Array | None
    W_zh: Array
    dt: Array
    gamma: Array
    epsilon: Array


class CoupledOscillators(Cell):
    """``z' = z + dt (tanh(W_hh y + W_zh z + W_xh x + b) - gamma y - epsilon z)``, ``y' = y + dt z'``."""

    parts: ClassVar[tuple[str, ...]] = ("y", "z")
    name = "coRNN"

    def forward(self, x: Array | None, state: tuple[Array, ...], w: Any) -> tuple[tuple[Array, ...], Kept]:
        """Return the next positions and velocities, and the argument of tanh."""
        y, z = state
        a = recurrence(y, w) + z @ w.W_zh.mT
        driven = drive(x, w)
        a = a if driven is None else a + driven
        velocity = z + w.dt * (tanh.value(a) - w.gamma * y - w.epsilon * z)
        return (y + w.dt * velocity, velocity), (a,)

    def state_jacobian(self, w: Any, kept: Kept) -> Operator:
        """Return the derivative with respect to (y, z)."""
        slope = w.dt * tanh.slope(kept[0])
        ones = namespace(slope).ones_like(slope)
        from_position = ScaledSum(Term(slope, w.W_hh), diagonal=-w.dt * w.gamma * ones, fixed=True)
        from_velocity = ScaledSum(Term(slope, w.W_zh), diagonal=(1 - w.dt * w.epsilon) * ones, fixed=True)
        return VelocityThenPosition(w.dt, from_position, from_velocity)

    def input_jacobian(self, w: Any, kept: Kept) -> Operator:
        """Return the derivative with respect to the input."""
        return VelocityThenPosition(w.dt, ScaledSum(Term(w.dt * tanh.slope(kept[0]), w.W_xh), fixed=True))


class VelocityThenPosition(Operator):
    """The Jacobian of a symplectic Euler step: ``dz' = A du + B dz``, ``dy' = dy + dt dz'``.

    Parameters
    ----------
    dt : array ()
        Time step.
    A : Operator (H, columns)
        What moves the velocity: the position, or the input.
    B : Operator (H, H), optional
        What the velocity does to itself. Given: the operator acts on (y, z), and A on y. Missing: it acts on the input
        alone.
    """

    def __init__(self, dt: Array, A: Operator, B: Operator | None = None) -> None:
        self.dt, self.A, self.B = dt, A, B
        H, columns = A.shape[-2:]
        self.shape = (*A.shape[:-2], 2 * H, columns + (0 if B is None else H))

    @property
    def prototype(self) -> Array:
        return self.A.prototype

    def __matmul__(self, V: Array) -> Array:
        H = self.shape[-2] // 2
        if self.B is None:
            dz = self.A @ V
            dy = self.dt * dz
        else:
            dz = self.A @ V[..., :H, :] + self.B @ V[..., H:, :]
            dy = V[..., :H, :] + self.dt * dz
        return namespace(V).concat((dy, dz), axis=-2)

    def transpose(self) -> Operator:
        return _Transposed(self)


class _Transposed(Operator):
    def __init__(self, step: VelocityThenPosition) -> None:
        self.step = step
        self.shape = (*step.shape[:-2], step.shape[-1], step.shape[-2])

    @property
    def prototype(self) -> Array:
        return self.step.prototype

    def __matmul__(self, V: Array) -> Array:
        A, B, H = self.step.A, self.step.B, V.shape[-2] // 2
        dy, dz = V[..., :H, :], V[..., H:, :]
        dz = dz + self.step.dt * dy
        through = A.transpose() @ dz
        return through if B is None else namespace(V).concat((dy + through, B.transpose() @ dz), axis=-2)

    def transpose(self) -> VelocityThenPosition:
        return self.step


def cornn(
    W_hh: ArrayLike,
    W_zh: ArrayLike,
    W_xh: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    dt: float = 0.042,
    gamma: float = 2.7,
    epsilon: float = 4.7,
) -> Map:
    """Return a coRNN, whose units are coupled, damped oscillators with positions y and velocities z.

    ``z' = z + dt (tanh(W_hh y + W_zh z + W_xh u + b) - gamma y - epsilon z)`` and ``y' = y + dt z'``.

    Parameters
    ----------
    W_hh : array (n, n), or list of them
        What positions do; a list stacks layers, each of which reads the positions of the one below.
    W_zh : array (n, n), or list
        What velocities do.
    W_xh : array (n, m), optional, or list
        Input weights.
    b : array (n,), optional, or list
        Bias.
    dt, gamma, epsilon : float
        Time step, frequency squared and damping of a unit by itself; positive. The defaults are those of the authors'
        sequential images.

    Returns
    -------
    Map
        Its state is y of all layers, then z of all layers. Its time is counted in steps.

    Raises
    ------
    InputError
        If shapes do not fit or a constant is not positive.

    References
    ----------
    Rusch & Mishra (2021), arXiv:2010.00951.

    Examples
    --------
    A unit by itself is a damped oscillator; its exponents are those of a matrix.

    >>> import dynet, numpy as np
    >>> system = dynet.networks.cornn([[0.0]], [[0.0]], dt=0.1, gamma=1.0, epsilon=0.5)
    >>> ds = dynet.lyapunov_spectrum(system, [1.0, 0.0], 2000)
    >>> bool(np.isclose(ds.lyapunov_exponent.sum(), np.log(1 - 0.1 * 0.5)))
    True
    """
    constants = checked_constants(dt, gamma, epsilon)
    layers = stacked_weights(CoupledOscillators(), W_hh, W_xh, None, b)
    faults = Faults()
    entries = list(W_zh) if is_list_of_layers(W_hh) and isinstance(W_zh, list | tuple) else [W_zh]
    if len(entries) != len(layers):
        faults.add("W_zh", W_zh, f"give a list with one entry for each of the {len(layers)} layers of W_hh")
    entries = [real_weights(faults, "W_zh", entry) for entry in entries]
    for entry, w in zip(entries, layers, strict=False):
        if tuple(entry.shape) != tuple(w.W_hh.shape):
            faults.add("W_zh", entry, f"give the shape {tuple(w.W_hh.shape)} of W_hh")
    faults.raise_if_any()
    weights = tuple(
        OscillatorWeights(*w, entry, *(move_like(constant, w.W_hh) for constant in constants))
        for w, entry in zip(layers, entries, strict=True)
    )
    return recurrent_map(CoupledOscillators(), weights)


def checked_constants(dt: float, gamma: float, epsilon: float) -> tuple[np.ndarray, ...]:
    """Return the three constants as arrays, or raise one error that names those that cannot be used."""
    faults = Faults()
    named = {"dt": dt, "gamma": gamma, "epsilon": epsilon}
    for name, value in named.items():
        faults.positive(name, value)
    faults.raise_if_any()
    return tuple(np.array(float(value)) for value in named.values())
