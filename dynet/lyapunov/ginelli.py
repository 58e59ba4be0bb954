"""Covariant vectors of one sequence: a frame forwards, upper triangular coefficients backwards."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np

from dynet.kernels.namespace import to_numpy
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.recorder import Recorder, Store, make_recorder

#: Triangular factors are all kept up to this many bytes; longer runs are recorded again, segment by segment.
KEPT_BYTES = 2**28
#: At this many times J v is compared with the next v.
_CHECKED = 50
_STEPS_AT_ONCE, _ENTRIES_AT_ONCE = 1_000, 2**22
#: Frames of so many entries are turned into vectors at once: what is made on the way stays in the cache.
_ENTRIES_IN_CACHE = 2**16


class Plan(NamedTuple):
    """Numbers of steps before, in and after the window, and from one stored vector to the next."""

    n_transient: int
    n_steps: int
    n_backward: int
    every: int

    @property
    def stored(self) -> np.ndarray:
        """Steps of the window, counted from its start, before which vectors are stored."""
        return np.arange(0, self.n_steps, self.every)


class SequenceVectors(NamedTuple):
    """What is known of one sequence; vectors that are not ``defined`` are zero."""

    vectors: np.ndarray  # (time, n, k), of length one
    states: np.ndarray  # (time, n)
    angles: np.ndarray  # (time, k, k)
    growth: np.ndarray  # (step, k), log, along the vectors
    frame_growth: np.ndarray  # (step, k), log, of the frame
    residual: np.ndarray  # (k,)
    forward_error: np.ndarray  # (k,)
    backward_error: np.ndarray  # (k,)
    defined: np.ndarray  # (k,)
    n_segments: int  # of a run that was recorded twice; 1 if all factors were kept


def sequence_vectors(
    problem: Problem, sequence: int, plan: Plan, other_frame: np.ndarray, ends: np.ndarray, bar: Any
) -> SequenceVectors:
    """Return the vectors of one sequence.

    ``other_frame`` (n, k) and the second one of ``ends`` (2, k, k), which are normal random numbers, are started from
    only to see how much of the start is left.
    """
    n, k = problem.frame.shape
    n_transient, n_steps, n_backward, _ = plan
    other = make_recorder(problem, sequence, other_frame)
    _advance(other, n_transient, k, bar)
    recorder = make_recorder(problem, sequence, to_numpy(problem.frame))
    _advance(recorder, n_transient, k, bar)

    stored, total = plan.stored, n_steps + n_backward
    checked = stored[np.unique(np.linspace(0, stored.size - 1, _CHECKED).astype(int))]
    rows = np.full(total + 1, -1)
    rows[stored] = np.arange(stored.size)
    after = checked[rows[checked + 1] < 0] + 1
    rows[after] = stored.size + np.arange(after.size)
    count = stored.size + after.size
    store = Store(
        np.empty((count, n, k), dtype=to_numpy(problem.frame[:1, :1]).dtype),
        np.empty((count, n), dtype=to_numpy(problem.x0[:1, :1]).dtype),
    )

    fits = total * k * k * 8 <= KEPT_BYTES
    length = total if fits else max(int(np.sqrt(total * n / k)), 1)
    segments = [*_cut(0, n_steps, length), *_cut(n_steps, total, length)]
    kept: deque[np.ndarray] = deque(maxlen=len(segments) if fits else 1)
    starts = []
    for first, end in segments:
        starts.append(recorder.save())
        kept.append(_recorded(recorder, n_transient, first, end, rows, store, k, bar))
    if rows[total] >= 0:
        store.frames[rows[total]] = recorder.frame()
    defined: np.ndarray = np.any(recorder.frame() != 0, axis=0)

    back = _Backwards(defined, ends, plan, rows, store)
    for (first, end), start in zip(reversed(segments), reversed(starts), strict=True):
        if not kept:
            recorder.restore(start)
            nowhere = np.full_like(rows, -1)
            kept.append(_recorded(recorder, n_transient, first, end, nowhere, store, k, bar))
        back.follow(kept.pop(), first, end)

    residual = np.zeros(k)
    for step in checked:
        x, V, W = store.states[rows[step]], store.frames[rows[step]], store.frames[rows[step + 1]]
        image = recorder.image(n_transient + int(step), x, V)[:, defined]
        image = image / np.linalg.norm(image, axis=0)
        residual[defined] = np.maximum(residual[defined], np.linalg.norm(image - W[:, defined], axis=0))
    return SequenceVectors(
        vectors=store.frames[: stored.size],
        states=store.states[: stored.size],
        angles=back.angles,
        growth=back.growth,
        frame_growth=back.frame_growth,
        residual=residual,
        forward_error=_outside(store.frames[0], other.frame()),
        backward_error=back.error,
        defined=defined,
        n_segments=1 if fits else len(segments),
    )


class _Backwards:
    """Coefficients on their way back; frames in the store are turned into covariant vectors."""

    def __init__(self, defined: np.ndarray, ends: np.ndarray, plan: Plan, rows: np.ndarray, store: Store) -> None:
        from dynet.kernels import covariant

        self._kernels = covariant
        self._defined, self._plan, self._rows, self._store = defined, plan, rows, store
        self._C, self._other = _coefficients(ends[0], defined), _coefficients(ends[1], defined)
        k = defined.size
        self.growth, self.frame_growth = np.empty((plan.n_steps, k)), np.empty((plan.n_steps, k))
        self.angles = np.empty((plan.stored.size, k, k), dtype=store.frames.dtype)
        self.error = np.zeros(k)

    def follow(self, R: np.ndarray, first: int, end: int) -> None:
        """Go back from step ``end`` to step ``first`` through the factors ``R``, which are overwritten."""
        n_steps = self._plan.n_steps
        if first >= n_steps:
            nowhere = np.empty(R.shape[:2])
            self._kernels.go_back(R.copy(), self._other, self._defined, nowhere)
            self._kernels.go_back(R, self._C, self._defined, nowhere)
            return
        if end == n_steps:
            self.error = _distance(self._C, self._other)
            if (row := self._rows[n_steps]) >= 0:
                self._store.frames[row] = self._store.frames[row] @ self._C
        with np.errstate(divide="ignore"):
            pivots = np.where(self._defined, R.diagonal(axis1=1, axis2=2), 0.0)
            self.frame_growth[first:end] = np.log(pivots)
        self._kernels.go_back(R, self._C, self._defined, self.growth[first:end])
        n, k = self._store.frames.shape[1:]
        at_once = max(_ENTRIES_IN_CACHE // (n * k), 1)
        for start, stop in _cut(first, end, at_once):
            rows = self._rows[start:stop]
            C = R[start - first : stop - first][rows >= 0]
            rows = rows[rows >= 0]
            self._store.frames[rows] = self._store.frames[rows] @ C
            stored = rows < len(self.angles)
            angles = np.empty((int(stored.sum()), k, k))
            self._kernels.angles_between(C[stored], self._defined, angles)
            self.angles[rows[stored]] = np.minimum(angles, _right_angle(self.angles.dtype))


def _right_angle(dtype: np.dtype) -> float:
    """Return the largest number up to pi/2: float32 rounds pi/2 itself upwards."""
    nearest = dtype.type(np.pi / 2)
    return float(nearest if float(nearest) <= np.pi / 2 else np.nextafter(nearest, dtype.type(0)))


def _coefficients(numbers: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """Return upper triangular coefficients with columns of length one and a positive diagonal."""
    C = np.triu(numbers, 1) + np.diag(np.abs(numbers.diagonal()))
    C = np.where(defined[:, None] & defined, C, 0.0)
    return np.asarray(C / np.where(defined, np.linalg.norm(C, axis=0), 1.0))


def _distance(C: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the sine of the angle between columns of equal number."""
    along = (C * other).sum(axis=0)
    return np.asarray(np.linalg.norm(other - along * C, axis=0))


def _outside(V: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """Return how far each vector is from the span of as many columns of an orthonormal frame."""
    V, Q = V.astype(np.float64), Q.astype(np.float64)
    return np.asarray(np.linalg.norm(V - Q @ np.triu(Q.T @ V), axis=0))


def _advance(recorder: Recorder, n_steps: int, k: int, bar: Any) -> None:
    """Take the first ``n_steps`` steps and forget the factors."""
    nothing = Store(np.empty((0, *recorder.frame().shape), recorder.frame().dtype), np.empty((0, 1)))
    for first, end in _cut(0, n_steps, _at_once(k)):
        recorder.record(first, np.empty((end - first, k, k)), np.full(end - first, -1), nothing)
        bar.update(end - first)


def _recorded(
    recorder: Recorder, n_transient: int, first: int, end: int, rows: np.ndarray, store: Store, k: int, bar: Any
) -> np.ndarray:
    """Return the factors of the steps from ``first`` up to ``end``."""
    R = np.empty((end - first, k, k))
    for start, stop in _cut(first, end, _at_once(k)):
        recorder.record(n_transient + start, R[start - first : stop - first], rows[start:stop], store)
        bar.update(stop - start)
    return R


def _at_once(k: int) -> int:
    return min(max(_ENTRIES_AT_ONCE // (k * k), 1), _STEPS_AT_ONCE)


def _cut(first: int, end: int, length: int) -> list[tuple[int, int]]:
    """Return the bounds of pieces of at most ``length``."""
    return [(start, min(start + length, end)) for start in range(first, end, max(length, 1))]
