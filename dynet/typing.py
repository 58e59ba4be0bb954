"""Types that appear in public signatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

__all__ = ["Array", "ArrayLike", "Input", "Jacobian", "JacobianFunction", "Rng", "StepFunction", "Units"]

#: An array of any namespace that the array API describes (numpy array, torch tensor).
Array: TypeAlias = Any
#: Whatever ``np.asarray`` or a tensor constructor takes.
ArrayLike: TypeAlias = Any
#: ``f(t, x, u, p) -> x_next`` (maps) or ``dx/dt`` (flows).
StepFunction: TypeAlias = Callable[[float, Any, Any, Any], Any]
#: ``jac(t, x, u, p) -> J``.
JacobianFunction: TypeAlias = Callable[[float, Any, Any, Any], Any]
#: An input made part of a system: one row (channel,), or a function of time that returns one.
Input: TypeAlias = Any
#: Names of the units, or coordinates along ``unit``.
Units: TypeAlias = Sequence[str] | Mapping[str, Sequence[Any]] | None
#: What ``rng=`` takes (SPEC 7).
Rng: TypeAlias = np.random.Generator | int | None


@runtime_checkable
class Jacobian(Protocol):
    """Anything that has a shape and multiplies a frame from the left."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, n)``, or ``(..., n, n)`` for a batch of states."""

    def __matmul__(self, V: Any) -> Any:
        """Return ``J @ V`` for ``V`` of shape ``(..., n, k)``."""
