"""Systems given as recorded Jacobians: ``x_{t+1} = J_t x_t``."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet._validate import Faults
from dynet.kernels.namespace import is_numpy, namespace
from dynet.typing import Array, ArrayLike


def jacobian_array(J: ArrayLike) -> Array:
    """Return ``J`` as a floating array of shape (time, n, n) or (sequence, time, n, n), or say what is wrong."""
    faults = Faults()
    if not hasattr(J, "device") or isinstance(J, np.ndarray):
        J = faults.real_array("J", J)
        faults.raise_if_any()
    shape = tuple(J.shape)
    if len(shape) not in (3, 4) or shape[-1] != shape[-2] or 0 in shape:
        way_out = "give (time, n, n) or (sequence, time, n, n)"
        if len(shape) == 2:
            way_out += "; for one constant matrix use dynet.zoo.linear_map(J)"
        faults.add("J", f"array of shape {shape}", way_out)
    elif not bool(namespace(J).all(namespace(J).isfinite(J))):
        bad = np.argwhere(~np.isfinite(J))[0] if is_numpy(J) else "some entry"
        faults.add("J", f"not finite at {bad}", "remove or repair that Jacobian")
    faults.raise_if_any()
    return J


class _Sequence:
    def __init__(self, dt: float, batched: bool) -> None:
        self.dt, self.batched = dt, batched

    def at(self, t: float, J: Array) -> Array:
        step = round(t / self.dt)
        return J[:, step, :, :] if self.batched else J[step, :, :]

    def limits(self, J: Array) -> tuple[int, int | None]:
        """Return the number of steps and, if there is a sequence axis, of sequences."""
        return J.shape[-3], J.shape[0] if self.batched else None


class JacobianSequence(_Sequence):
    """``jac`` of recorded Jacobians."""

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> Array:
        return self.at(t, p)


class JacobianSequenceStep(_Sequence):
    """``step`` of recorded Jacobians."""

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> Array:
        return (self.at(t, p) @ x[..., None])[..., 0]
