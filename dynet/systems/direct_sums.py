"""Systems side by side that know nothing of each other, as one system."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet._validate import Faults
from dynet.kernels.namespace import as_array, namespace
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.systems.operators import Operator, transpose
from dynet.systems.runge_kutta import as_multiplier
from dynet.systems.unit_names import unit_coords
from dynet.typing import Array

__all__ = ["BlockDiagonal", "direct_sum"]


class BlockDiagonal(Operator):
    """Jacobians along the diagonal, zero elsewhere.

    Parameters
    ----------
    blocks : tuple
        Anything that multiplies, each of shape (..., n_i, n_i).
    prototype : array (..., n)
        The whole state: it carries namespace, dtype, device and batch shape.
    """

    def __init__(self, blocks: tuple[Any, ...], prototype: Array) -> None:
        self.blocks, self._prototype = blocks, prototype
        n = prototype.shape[-1]
        self.shape = (*prototype.shape[:-1], n, n)

    @property
    def prototype(self) -> Array:
        """The whole state."""
        return self._prototype

    def __matmul__(self, V: Array) -> Array:
        """Return the product with a frame (..., n, k)."""
        out, first = [], 0
        for block in self.blocks:
            last = first + int(block.shape[-1])
            out.append(block @ V[..., first:last, :])
            first = last
        return namespace(V).concat(out, axis=-2)

    def transpose(self) -> BlockDiagonal:
        """Return the transpose."""
        return BlockDiagonal(tuple(transpose(block) for block in self.blocks), self._prototype)


class SideBySide:
    """``f(t, x, u, p)`` of all systems, each with its part of the state and its own parameters; all read ``u``."""

    def __init__(self, functions: tuple[Any, ...], sizes: tuple[int, ...]) -> None:
        self.functions, self.sizes = functions, sizes

    def _values(self, t: float, x: Array, u: Array, p: Any) -> list[tuple[Any, Array]]:
        first, out = 0, []
        for function, size, params in zip(self.functions, self.sizes, p, strict=True):
            part = x[..., first : first + size]
            out.append((function(t, part, u, params), part))
            first += size
        return out

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> Array:
        return namespace(x).concat([as_array(value, part) for value, part in self._values(t, x, u, p)], axis=-1)


class SideBySideJacobian(SideBySide):
    """The Jacobian of `SideBySide`, from those of the systems."""

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> BlockDiagonal:
        return BlockDiagonal(tuple(as_multiplier(J, part) for J, part in self._values(t, x, u, p)), x)


def direct_sum(*systems: Map | Flow) -> Map | Flow:
    """Return systems side by side, uncoupled, as one system: the spectrum is all of theirs together.

    Parameters
    ----------
    *systems : Map or Flow
        All of a kind, with Jacobians, the same unit of time and, of maps, the same ``dt``. Inputs go to all of them.

    Returns
    -------
    Map or Flow
        States are theirs, one after the other; units are named ``i.unit`` and carry the coordinate ``system``;
        parameters are a tuple of theirs; the Jacobian is an operator of blocks.

    Raises
    ------
    InputError
        If the systems do not fit each other, or one does not tell its number of units.

    See Also
    --------
    rotation_rnn : Many two-unit networks as one network with block-diagonal weights, which is faster.

    Examples
    --------
    >>> import dynet
    >>> both = dynet.networks.direct_sum(dynet.zoo.henon(), dynet.zoo.logistic())
    >>> ds = dynet.lyapunov_spectrum(both, [0.1, 0.1, 0.3], 2_000, n_transient=100)
    >>> ds.lyapunov_exponent.values.round(1)
    array([ 0.7,  0.4, -1.6])
    """
    faults = Faults()
    first: Any = systems[0] if systems else None
    kind = type(first)
    if kind not in (Map, Flow):
        faults.add("systems", systems, "give dynet.Map or dynet.Flow, one or more of a kind")
        faults.raise_if_any()
    for i, system in enumerate(systems):
        if type(system) is not kind:
            faults.add(f"systems[{i}]", type(system).__name__, "give systems of one kind, all maps or all flows")
        elif system.jac is None:
            faults.say(f"systems[{i}] has no Jacobian: give it one, or jac='finite_difference'")
    faults.raise_if_any()
    sizes = tuple(_size(faults, i, system) for i, system in enumerate(systems))
    for name in ("dt", "time_unit") if kind is Map else ("time_unit",):
        values = {getattr(system, name) for system in systems}
        if len(values) > 1:
            faults.say(f"systems differ in {name} ({', '.join(sorted(map(str, values)))}): give one and the same")
    faults.raise_if_any()
    likes = [np.zeros(n) if system.like is None else system.like for system, n in zip(systems, sizes, strict=True)]
    if len({type(like) for like in likes}) > 1:
        faults.say("systems are of different array libraries: give all of numpy, or all of torch")
    faults.raise_if_any()
    names = [unit_coords(system.units, n)["unit"] for system, n in zip(systems, sizes, strict=True)]
    units = {
        "unit": [f"{i}.{name}" for i, row in enumerate(names) for name in row],
        "system": [i for i, row in enumerate(names) for _ in row],
    }
    settings = {
        "params": tuple(system.params for system in systems),
        "vectorized": all(system.vectorized for system in systems),
        "units": units,
        "like": namespace(likes[0]).concat(likes, axis=-1),
        "time_unit": first.time_unit,
    }
    parts: Any = systems
    jac = SideBySideJacobian(tuple(part.jac for part in parts), sizes)
    if kind is Map:
        return Map(SideBySide(tuple(part.step for part in parts), sizes), jac, dt=first.dt, **settings)
    return Flow(SideBySide(tuple(part.rhs for part in parts), sizes), jac, **settings)


def _size(faults: Faults, i: int, system: Any) -> int:
    if system.like is not None:
        return int(system.like.shape[-1])
    units = system.units
    if units is None:
        faults.say(f"systems[{i}] does not tell how many units it has: make it with like=np.zeros(n), or units=")
        return 0
    return len(next(iter(units.values())) if isinstance(units, dict) else units)
