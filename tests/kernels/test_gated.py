"""Frames carried over steps of gates: the dense products, whatever the sizes."""

import numpy as np
import pytest

from dynet.kernels.gated import carry_memory, carry_sum, padded

EPSILON = {np.float32: 2e-6, np.float64: 4e-15}


def parts(n, n_gates, dtype, n_steps=4, S=3):
    rng = np.random.default_rng(n)
    W = (rng.standard_normal((n_gates, n, n)) / np.sqrt(n)).astype(dtype)
    lefts = tuple(rng.standard_normal((n_steps, S, n)).astype(dtype) for _ in range(n_gates))
    return rng, W, lefts


def framed(V, n_parts, width):
    """Lay frames (sequence, n, k) out by columns and parts, rows padded."""
    S, n, k = V.shape
    frames = np.zeros((S, k, n_parts, width), V.dtype)
    frames[..., : n // n_parts] = V.swapaxes(1, 2).reshape(S, k, n_parts, -1)
    return frames


def unframed(frames, H):
    S, k = frames.shape[:2]
    return frames[..., :H].reshape(S, k, -1).swapaxes(1, 2)


@pytest.mark.parametrize("dtype", EPSILON)
@pytest.mark.parametrize(("n", "n_gates", "k"), [(5, 1, 5), (17, 3, 1), (64, 3, 3), (70, 3, 16), (16, 1, 11)])
@pytest.mark.parametrize("with_diagonal", [True, False])
def test_sums_of_gates(n, n_gates, k, dtype, with_diagonal):
    rng, W, lefts = parts(n, n_gates, dtype)
    d = rng.standard_normal(lefts[0].shape).astype(dtype) if with_diagonal else lefts[0][:0]
    V = rng.standard_normal((3, n, k)).astype(dtype)
    frames = framed(V, 1, padded(W).shape[-1])
    carry_sum(padded(W), lefts, d, 0, 2, frames)
    carry_sum(padded(W), lefts, d, 2, 3, frames)  # as threads share the sequences
    wanted = V.astype(float)
    for step in range(4):
        J = sum(left[step][..., None] * M for left, M in zip(lefts, W.astype(float), strict=True))
        if with_diagonal:
            J = J + d[step][..., None] * np.eye(n)
        wanted = J @ wanted
    assert np.abs(unframed(frames, n) - wanted).max() < EPSILON[dtype] * np.abs(wanted).max()
    assert not frames[..., n:].any()


@pytest.mark.parametrize("dtype", EPSILON)
@pytest.mark.parametrize(("H", "k"), [(3, 2), (20, 16), (64, 7)])
def test_cells_with_a_memory(H, k, dtype):
    rng, W, lefts = parts(H, 4, dtype)
    s, f = (rng.standard_normal(lefts[0].shape).astype(dtype) for _ in range(2))
    lefts[3][:, 0, 1] = s[:, 0, 1] = 0  # a unit that is dead
    V = rng.standard_normal((3, 2 * H, k)).astype(dtype)
    frames = framed(V, 2, padded(W).shape[-1])
    carry_memory(padded(W), lefts[:3], lefts[3], s, f, 0, 3, frames)
    wanted = V.astype(float)
    for step in range(4):
        h, c = wanted[:, :H], wanted[:, H:]
        c = f[step][..., None] * c + sum(lefts[g][step][..., None] * (W[g] @ h) for g in range(3))
        wanted = np.concatenate([lefts[3][step][..., None] * (W[3] @ h) + s[step][..., None] * c, c], axis=1)
    got = unframed(frames, H)
    assert np.abs(got - wanted).max() < EPSILON[dtype] * np.abs(wanted).max()
    assert not got[0, 1].any()
