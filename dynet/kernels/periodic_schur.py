"""The eigenvalues and invariant subspaces of a product of matrices, at any magnitude.

``factors`` are M_0 ... M_{K-1}; the product is M_{K-1} ... M_0. The product is never formed as a whole: orthogonal
iteration around the period makes every factor block triangular, and the logarithms of diagonal blocks add up.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

#: Couplings below it are zero to rounding.
_DECOUPLED = 1e-13
#: Inside a block eigenvalues are found by a dense solver, which resolves them up to about this ratio.
_LARGEST_SPREAD = np.log(1e5)
_LEAST_SWEEPS, _MOST_SWEEPS = 5, 400


class Splitting(NamedTuple):
    """The product, decomposed; K factors, n dimensions, m blocks of indices."""

    blocks: list[slice]
    bases: list[np.ndarray]  # of each block: (K, n, size), spanning its invariant subspace at each factor's start
    maps: list[np.ndarray]  # of each block: (K, size, size), the factors in these bases; the last one closes the period
    log_modulus: np.ndarray  # (n,), of the eigenvalues, block by block
    phase: np.ndarray  # (n,), their arguments
    vectors: list[np.ndarray]  # of each block: (size, size) complex, eigenvectors in its basis at the start


def split_product(factors: np.ndarray) -> Splitting:
    """Decompose the product of ``factors`` (K, n, n) into blocks whose eigenvalues differ in modulus."""
    n = factors.shape[-1]
    Q0 = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]
    for sweep in range(_MOST_SWEEPS):
        Q, R, closing = _sweep(factors, Q0)
        logs = _log_diagonals(R)
        S = Q0.T @ closing
        blocks = _blocks(S, logs)
        if sweep >= _LEAST_SWEEPS and all(_spread(logs[b]) < _LARGEST_SPREAD for b in blocks):
            break
        Q0 = closing
    triangular = R.copy()
    triangular[-1] = S @ R[-1]
    bases = _bases(Q, triangular, blocks)
    maps = [triangular[:, b, b] for b in blocks]
    log_modulus, phase, vectors = np.empty(n), np.empty(n), []
    for b, maps_b in zip(blocks, maps, strict=True):
        log_modulus[b], phase[b], W = _block_eigen(maps_b)
        vectors.append(W)
    return Splitting(blocks, bases, maps, log_modulus, phase, vectors)


def _sweep(factors: np.ndarray, Q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the frames at the start of each factor, the triangular factors, and the frame at the end."""
    frames, triangles = [], []
    for M in factors:
        frames.append(Q)
        Q, R = np.linalg.qr(M @ Q)
        signs = np.where(R.diagonal() < 0, -1.0, 1.0)
        Q, R = Q * signs, signs[:, None] * R
        # a pivot below rounding is a direction that is lost
        diagonal = R.diagonal().copy()
        diagonal[np.abs(diagonal) <= len(R) * np.finfo(float).eps * np.abs(R).max()] = 0.0
        np.fill_diagonal(R, diagonal)
        triangles.append(R)
    return np.array(frames), np.array(triangles), Q


def _log_diagonals(R: np.ndarray) -> np.ndarray:
    """Return the sum of the logarithms of the diagonals, (n,)."""
    with np.errstate(divide="ignore"):
        return np.log(np.diagonal(R, axis1=1, axis2=2)).sum(axis=0)


def _spread(logs: np.ndarray) -> float:
    finite = logs[np.isfinite(logs)]
    return float(finite.max() - finite.min()) if finite.size else 0.0


def _blocks(S: np.ndarray, logs: np.ndarray) -> list[slice]:
    """Return the finest blocks below which the closing rotation ``S`` couples nothing."""
    n = len(S)
    edges = [0]
    for i in range(1, n):
        if np.abs(S[i:, :i]).max() <= _DECOUPLED * n and (logs[i] > -np.inf or logs[i - 1] > -np.inf):
            edges.append(i)
    edges.append(n)
    return [slice(a, b) for a, b in pairwise(edges)]


def _bases(Q: np.ndarray, T: np.ndarray, blocks: list[slice]) -> list[np.ndarray]:
    """Return bases of the invariant subspaces, by the stable recursion backwards in time."""
    K = len(Q)
    out = []
    for b in blocks:
        size, before = b.stop - b.start, slice(0, b.start)
        if b.start == 0:
            out.append(Q[:, :, b])
            continue
        Y = np.zeros((K + 1, b.start, size))
        for _ in range(_MOST_SWEEPS):
            Y[K] = Y[0]
            for j in range(K - 1, -1, -1):
                Y[j] = np.linalg.solve(T[j][before, before], Y[j + 1] @ T[j][b, b] - T[j][before, b])
            if np.abs(Y[K] - Y[0]).max() <= 1e-14 * max(1.0, np.abs(Y[0]).max()):
                break
        out.append(Q[:, :, b] + Q[:, :, before] @ Y[:K])
    return out


def _block_eigen(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return logarithms of moduli, arguments and eigenvectors of a product of small matrices of like growth."""
    size = maps.shape[-1]
    P, log_scale = np.eye(size), 0.0
    for M in maps:
        P = M @ P
        scale = np.abs(P).max()
        if scale == 0:
            return np.full(size, -np.inf), np.zeros(size), np.eye(size, dtype=complex)
        P, log_scale = P / scale, log_scale + np.log(scale)
    values, W = np.linalg.eig(P)
    order = np.lexsort((-values.imag, -np.abs(values)))
    values, W = values[order].astype(complex), W[:, order].astype(complex)
    with np.errstate(divide="ignore"):
        return np.log(np.abs(values)) + log_scale, np.angle(values), W
