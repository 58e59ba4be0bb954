"""Frames of the array engine: factorisations that span the same flag, and snapshots that bring it back."""

import numpy as np
import pytest

from dynet.kernels.frames import make_frame
from dynet.systems.operators import ScaledSum, Term


def orthonormal(random, *shape):
    return np.linalg.qr(random.standard_normal(shape))[0]


def advance(frame, matrices):
    for J in matrices:
        frame.multiply(J)
        frame.factor()
    return frame.collect()


@pytest.mark.parametrize("name", ["qr", "lu"])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (4, 2), (5, 5)])
def test_collected_growth_is_the_volume_of_the_product(name, n, k):
    random = np.random.default_rng(n)
    V, J = orthonormal(random, n, k), random.standard_normal((5, n, n))
    found = advance(make_frame(name, V.copy()), J)
    product = V
    for step in J:
        product = step @ product
    np.testing.assert_allclose(found, np.log(np.abs(np.diag(np.linalg.qr(product)[1]))), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["qr", "lu"])
def test_growth_is_collected_block_by_block(name):
    random = np.random.default_rng(1)
    V, J = orthonormal(random, 6, 4), random.standard_normal((9, 6, 6))
    whole = advance(make_frame(name, V.copy()), J)
    frame = make_frame(name, V.copy())
    parts = advance(frame, J[:2]) + advance(frame, J[2:7]) + advance(frame, J[7:])
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["qr", "lu"])
def test_the_basis_spans_the_flag_of_the_product(name):
    random = np.random.default_rng(2)
    V, J = orthonormal(random, 6, 3), random.standard_normal((3, 6, 6))
    frame = make_frame(name, V.copy())
    advance(frame, J)
    product = J[2] @ J[1] @ J[0] @ V
    for k in (1, 2, 3):
        Q = np.linalg.qr(product[:, :k])[0]
        B = frame.basis()[:, :k]
        np.testing.assert_allclose(Q @ (Q.T @ B), B, rtol=0, atol=1e-10 * np.abs(B).max())


def test_householder_frames_are_orthonormal_with_positive_pivots():
    random = np.random.default_rng(3)
    frame = make_frame("qr", orthonormal(random, 7, 4))
    J = random.standard_normal((7, 7))
    before = frame.basis()
    frame.multiply(J)
    frame.factor()
    Q = frame.basis()
    np.testing.assert_allclose(Q.T @ Q, np.eye(4), atol=1e-14)
    assert (np.diag(Q.T @ J @ before) > 0).all()


@pytest.mark.parametrize("name", ["qr", "lu"])
def test_a_snapshot_brings_the_frame_back(name):
    random = np.random.default_rng(4)
    frame = make_frame(name, orthonormal(random, 5, 5))
    J = random.standard_normal((6, 5, 5))
    operators = [ScaledSum(Term(None, step)) for step in J]
    advance(frame, operators[:2])
    saved = frame.snapshot()
    first = advance(frame, operators[2:])
    frame.restore(saved)
    np.testing.assert_allclose(advance(frame, operators[2:]), first, rtol=0, atol=1e-12)
    frame.restore(saved)
    frame.multiply(J[0])
    frame.factor()
    frame.restore(saved)  # pivots noted since are forgotten
    np.testing.assert_allclose(advance(frame, operators[2:]), first, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["qr", "lu"])
def test_pivots_at_rounding_level_count_as_zero(name):
    random = np.random.default_rng(5)
    n, rank = 12, 4
    J = random.standard_normal((n, rank)) @ random.standard_normal((rank, n))
    found = advance(make_frame(name, orthonormal(random, n, n)), [J, J, J])
    assert np.isfinite(found[:rank]).all()
    assert np.isneginf(found[rank:]).all()


@pytest.mark.parametrize("name", ["qr", "lu"])
def test_small_pivots_above_rounding_are_kept(name):
    d = np.array([1.0, 1e-6, 1e-12])
    found = advance(make_frame(name, np.eye(3)), [np.diag(d)] * 4)
    np.testing.assert_allclose(found, 4 * np.log(d), rtol=1e-12)


@pytest.mark.parametrize("name", ["qr", "lu"])
def test_an_exact_zero_matrix_is_survived_and_told(name):
    random = np.random.default_rng(6)
    frame = make_frame(name, orthonormal(random, 4, 4))
    assert np.isneginf(advance(frame, [np.zeros((4, 4))])).all()
    after = advance(frame, [3 * np.eye(4)])
    assert np.isneginf(after).all()


@pytest.mark.parametrize("lost", [0, 2, 4])
def test_what_is_lost_takes_nothing_from_later_columns(lost):
    random = np.random.default_rng(lost)
    Q = orthonormal(random, 5, 5)
    J = Q @ np.diag(np.where(np.arange(5) == lost, 0.0, 2.0)) @ Q.T  # loses exactly that column of the frame Q
    frame = make_frame("qr", Q.copy())
    after = random.standard_normal((5, 5))
    growth, B = advance(frame, [J, after]), frame.basis()
    kept = np.arange(5) != lost
    without = advance(make_frame("qr", Q[:, kept].copy()), [J, after])
    np.testing.assert_allclose(growth[kept], without, rtol=0, atol=1e-12)
    assert np.isneginf(growth[lost])
    np.testing.assert_array_equal(B[:, lost], 0.0)
    np.testing.assert_allclose(B[:, kept].T @ B[:, kept], np.eye(4), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["qr", "lu"])
def test_batches_are_factored_one_by_one(name):
    random = np.random.default_rng(7)
    V, J = orthonormal(random, 5, 3), random.standard_normal((4, 2, 5, 5))
    together = advance(make_frame(name, np.stack([V, V])), J)
    for s in range(2):
        np.testing.assert_allclose(together[s], advance(make_frame(name, V.copy()), J[:, s]), rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["qr", "lu"])
def test_torch_frames_grow_like_numpy_frames(name):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(8)
    V, J = orthonormal(random, 5, 3), random.standard_normal((4, 5, 5))
    J[2] = J[2] @ np.diag([1, 1, 0, 0, 0.0])
    found = advance(make_frame(name, torch.asarray(V)), torch.asarray(J))
    np.testing.assert_allclose(found, advance(make_frame(name, V.copy()), J), rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["qr", "lu"])
@pytest.mark.parametrize(("dtype", "scale"), [(np.float64, 2.0**-700), (np.float64, 2.0**600), (np.float32, 2.0**-100)])
def test_dead_units_count_alike_at_every_scale(name, dtype, scale):
    random = np.random.default_rng(0)
    J = random.standard_normal((6, 6)).astype(dtype)
    J[[2, 4]] = 0
    growth = []
    for factor in (1, scale):
        frame, total = make_frame(name, np.eye(6, dtype=dtype)), np.zeros(6)
        for _ in range(3):
            frame.multiply((J * factor).astype(dtype))
            frame.factor()
            total += frame.collect() - np.log(factor)
        growth.append(total)
    assert np.isneginf(growth[0]).sum() == 2
    np.testing.assert_allclose(growth[1], growth[0], rtol=0, atol=1e-12 if dtype == np.float64 else 1e-4)
