"""Trajectory and orthonormal frame of one sequence, advanced with the triangular factor of every step recorded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import get_lapack_funcs

from dynet.kernels.namespace import is_numpy, machine_epsilon, move_like, namespace, to_numpy
from dynet.kernels.rounding import doubtful, is_rounding
from dynet.lyapunov.problem import Problem, raise_if_diverged
from dynet.lyapunov.tangent import sequence_inputs
from dynet.lyapunov.walk import walk
from dynet.systems.compiled import TUPLES_UP_TO, for_loops


class Store(NamedTuple):
    """Where frames (row, n, k) and states (row, n) are kept."""

    frames: np.ndarray
    states: np.ndarray


class Recorder(ABC):
    """State and frame of one sequence; ``J Q = Q' R`` in every step.

    A column that is lost to rounding, and all columns after it, become zero and stay so, with their rows and columns
    of R: see `dynet.kernels.covariant`.
    """

    @abstractmethod
    def record(self, first: int, R: np.ndarray, rows: np.ndarray, store: Store) -> None:
        """Take a step for each row of ``R`` (step, k, k), which receives the factors; the first is number ``first``.

        Before step ``s`` frame and state go into row ``rows[s]`` of the store, unless that is negative.
        """

    @abstractmethod
    def save(self) -> Any:
        """Return what `restore` needs to come back here."""

    @abstractmethod
    def restore(self, saved: Any) -> None:
        """Come back to what was saved."""

    @abstractmethod
    def frame(self) -> np.ndarray:
        """Return the present frame (n, k)."""

    @abstractmethod
    def image(self, number: int, x: np.ndarray, V: np.ndarray) -> np.ndarray:
        """Return J V (n, k) for vectors ``V`` at the state ``x``; the recorder is elsewhere afterwards."""


def make_recorder(problem: Problem, sequence: int, frame: np.ndarray) -> Recorder:
    """Return a recorder at the start of a sequence with an orthonormal frame (n, k)."""
    if problem.parts is None:
        return _ArrayRecorder(problem, sequence, frame)
    small = problem.x0.shape[-1] <= TUPLES_UP_TO
    return (_SmallRecorder if small else _CompiledRecorder)(problem, sequence, frame)


class _CompiledRecorder(Recorder):
    """One compiled loop; the frame is an array."""

    def __init__(self, problem: Problem, sequence: int, frame: np.ndarray) -> None:
        assert problem.parts is not None
        self._problem, self._sequence = problem, sequence
        self._parts = for_loops(problem.parts)
        self._dtype = problem.frame.dtype
        self._inputs = sequence_inputs(problem, sequence)
        self._start(problem.x0[sequence], frame)

    def _start(self, x: np.ndarray, V: np.ndarray) -> None:
        x = np.array(x, dtype=self._problem.x0.dtype)
        self._x: Any = tuple(x) if self._problem.tuples else x
        self._V: Any = np.array(V, dtype=self._dtype, order="C")

    def _run(self, *arguments: Any) -> int:
        from dynet.kernels.covariant import RECORDED_BLOCKS

        scratch = tuple(np.empty_like(self._V) for _ in range(3))
        self._x, fine = self._call(RECORDED_BLOCKS, self._x, self._V, scratch, *arguments)
        return int(fine)

    def _call(self, blocks: dict[str, Any], *arguments: Any) -> Any:
        from numba import typeof

        arguments = (self._parts.f, self._parts.df, *arguments)
        return self._problem.loop(blocks[self._parts.kind], lambda: tuple(map(typeof, arguments)))(*arguments)

    def record(self, first: int, R: np.ndarray, rows: np.ndarray, store: Store) -> None:
        problem = self._problem
        fine = self._run(self._inputs, problem.system.params, first, problem.system.dt, R, rows, *store)
        if fine < len(R):
            growth = R[fine].diagonal()
            raise_if_diverged(np.asarray(self._x), self.frame(), first + fine, self._sequence, problem, growth)
            raise_if_diverged(np.asarray(self._x), R[fine], first + fine, self._sequence, problem)

    def save(self) -> Any:
        return np.array(self._x), self.frame().copy()

    def restore(self, saved: Any) -> None:
        self._start(*saved)

    def frame(self) -> np.ndarray:
        frame: np.ndarray = self._V
        return frame

    def image(self, number: int, x: np.ndarray, V: np.ndarray) -> np.ndarray:
        # the loop wants an orthonormal frame: vectors that are nearly parallel would be lost to rounding
        Q, C = np.linalg.qr(V)
        self._start(x, Q)
        none = Store(np.empty((0, *V.shape), self._dtype), np.empty((0, x.size), self._problem.x0.dtype))
        R = np.empty((1, V.shape[1], V.shape[1]))
        self.record(number, R, np.array([-1]), none)
        image: np.ndarray = self.frame() @ R[0] @ C
        return image


class _SmallRecorder(_CompiledRecorder):
    """The same for few units: the frame is a tuple of columns."""

    def _start(self, x: np.ndarray, V: np.ndarray) -> None:
        super()._start(x, V)
        self._columns = np.ascontiguousarray(self._V.T)
        self._V = tuple(map(tuple, self._columns))

    def _run(self, *arguments: Any) -> int:
        from dynet.kernels.covariant import RECORDED_TUPLE_BLOCKS

        self._x, self._V, fine = self._call(RECORDED_TUPLE_BLOCKS, self._x, self._V, self._columns, *arguments)
        return int(fine)

    def frame(self) -> np.ndarray:
        return np.array(self._V, dtype=self._dtype).T


class _ArrayRecorder(Recorder):
    """Anything else, on the array namespace of the state."""

    def __init__(self, problem: Problem, sequence: int, frame: np.ndarray) -> None:
        self._problem, self._sequence = problem, sequence
        self._x = problem.x0[sequence, :]
        self._k = frame.shape[1]
        #: the columns that are not lost
        self._Q = move_like(frame, problem.frame)

    def record(self, first: int, R: np.ndarray, rows: np.ndarray, store: Store) -> None:
        for s, step in enumerate(walk(self._problem, self._sequence, first, len(R), self._x)):
            if rows[s] >= 0:
                store.frames[rows[s]] = self.frame()
                store.states[rows[s]] = to_numpy(step.before)
            with np.errstate(over="ignore", invalid="ignore"):
                product = step.J @ self._Q
            self._triangulate(product, R[s], step.number, step.after)
            self._x = step.after

    def _triangulate(self, V: Any, R: np.ndarray, number: int, x: Any) -> None:
        """Replace the frame by the orthonormal factor of ``V`` and write the other one into ``R`` (k, k)."""
        R[...] = 0.0
        if not V.shape[1]:
            return
        in_use = (V != 0).any(axis=1)
        Q, T = _factored(V)
        count = V.shape[1]
        R[:count, :count] = T
        epsilon, largest = machine_epsilon(V), max(T.max(), -T.min())
        in_doubt = np.flatnonzero(~(T.diagonal() > doubtful(epsilon) * largest))
        if in_doubt.size:
            raise_if_diverged(to_numpy(x), to_numpy(V), number, self._sequence, self._problem)
        for j in in_doubt:
            if is_rounding(R, j, largest, epsilon):
                R[:, j:] = 0.0
                R[j:, :] = 0.0
                Q = Q[:, :j]
                break
        # rows that are zero stay so to the last bit: reflections leave rounding there, which would count as directions
        self._Q = Q if bool(in_use.all()) else Q * in_use[:, None]

    def save(self) -> Any:
        return self._x, self._Q

    def restore(self, saved: Any) -> None:
        self._x, self._Q = saved

    def frame(self) -> np.ndarray:
        Q = to_numpy(self._Q)
        whole = np.zeros((Q.shape[0], self._k), dtype=Q.dtype, order="F")
        whole[:, : Q.shape[1]] = Q
        return whole

    def image(self, number: int, x: np.ndarray, V: np.ndarray) -> np.ndarray:
        start = move_like(x, self._problem.x0)
        (step,) = walk(self._problem, self._sequence, number, 1, start)
        return to_numpy(step.J @ move_like(V, self._problem.frame))


@cache
def _upper(k: int, dtype: Any) -> np.ndarray:
    """Return ones on and above the diagonal (k, k)."""
    return np.triu(np.ones((k, k), dtype))


def _factored(V: Any) -> tuple[Any, np.ndarray]:
    """Return the orthonormal factor of ``V``, where it lives, and the triangular one with diag R >= 0."""
    if not is_numpy(V):
        xp = namespace(V)
        Q, R = xp.linalg.qr(V)
        signs = xp.where(xp.linalg.diagonal(R) < 0, -1.0, 1.0)
        signs = xp.asarray(signs, dtype=V.dtype)
        return Q * signs, to_numpy(R * signs[:, None])
    k = V.shape[1]
    geqrf, orgqr, geqrf_lwork = get_lapack_funcs(("geqrf", "orgqr", "geqrf_lwork"), (V,))
    lwork = int(geqrf_lwork(*V.shape)[0].real)  # the default workspace is unblocked and twice as slow
    packed, tau, _, _ = geqrf(V, lwork=lwork)
    signs = np.where(packed.diagonal()[:k] < 0, -1, 1).astype(V.dtype)
    R = packed[:k] * (signs[:, None] * _upper(k, V.dtype))
    Q, _, _ = orgqr(packed, tau, lwork=lwork, overwrite_a=1)
    Q *= signs
    return Q, R
