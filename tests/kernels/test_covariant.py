"""Triangular factors with lost columns, and the way back through them."""

import numpy as np
import pytest

from dynet.kernels.covariant import angles_between, go_back, triangulate_lapack, triangulate_plain

BOTH = pytest.mark.parametrize("triangulate", [triangulate_plain, triangulate_lapack])


@BOTH
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 2), (6, 6), (30, 20)])
def test_factors_are_orthonormal_and_triangular(triangulate, n, k, dtype):
    V = np.random.default_rng(n).standard_normal((n, k)).astype(dtype)
    Q, R = V.copy(), np.full((k, k), np.nan)
    triangulate(Q, R)
    rounding = 20 * n * np.finfo(dtype).eps
    np.testing.assert_allclose(Q @ R, V, rtol=0, atol=rounding)
    np.testing.assert_allclose(Q.T @ Q, np.eye(k), rtol=0, atol=rounding)
    np.testing.assert_array_equal(R, np.triu(R))
    assert (R.diagonal() > 0).all()


@BOTH
def test_nearly_dependent_columns_stay_orthonormal(triangulate):
    random = np.random.default_rng(0)
    base = random.standard_normal((20, 1))
    V = base + 1e-10 * random.standard_normal((20, 6))
    Q, R = V.copy(), np.empty((6, 6))
    triangulate(Q, R)
    np.testing.assert_allclose(Q.T @ Q, np.eye(6), rtol=0, atol=1e-13)
    np.testing.assert_allclose(Q @ R, V, rtol=0, atol=1e-13)


@BOTH
@pytest.mark.parametrize("rank", [0, 1, 3, 19])
def test_columns_beyond_the_rank_are_zero_and_stay_zero(triangulate, rank):
    random = np.random.default_rng(rank)
    n, k = 20, 20
    V = random.standard_normal((n, rank)) @ random.standard_normal((rank, k))
    Q, R = V.copy(), np.empty((k, k))
    triangulate(Q, R)
    assert (R.diagonal()[:rank] > 0).all()
    np.testing.assert_array_equal(Q[:, rank:], 0.0)
    np.testing.assert_array_equal(R[:, rank:], 0.0)
    np.testing.assert_array_equal(R[rank:], 0.0)
    np.testing.assert_allclose((Q @ R)[:, :rank], V[:, :rank], rtol=0, atol=1e-12)
    again = random.standard_normal((n, n)) @ Q
    triangulate(again, R)
    np.testing.assert_array_equal(again[:, rank:], 0.0)
    assert ((R.diagonal() > 0) == (np.arange(k) < rank)).all()


@BOTH
def test_what_is_not_finite_is_not_hidden(triangulate):
    for bad in (np.nan, np.inf):
        V = np.random.default_rng(0).standard_normal((20, 4))
        V[3, 1] = bad
        R = np.empty((4, 4))
        triangulate(V, R)
        assert not np.isfinite(R).all()


def test_the_way_back_undoes_the_way_there():
    random = np.random.default_rng(0)
    T, k = 7, 5
    R = np.triu(random.standard_normal((T, k, k)), 1) + np.diag([2.0, 1.5, 1.0, 0.5, 0.0])
    R[:, :, 4] = 0.0  # lost
    alive = np.arange(k) < 4
    C = np.triu(random.standard_normal((k, k))) * np.outer(alive, alive) + 2 * np.diag(alive)
    C /= np.where(alive, np.linalg.norm(C, axis=0), 1.0)
    factors, end, growth = R.copy(), C.copy(), np.empty((T, k))
    go_back(factors, C, alive, growth)
    np.testing.assert_array_equal(factors[0], C)
    following = np.concatenate([factors[1:], end[None]])
    np.testing.assert_allclose(np.linalg.norm(factors[..., :4], axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(R @ factors, following * np.exp(growth)[:, None, :], rtol=0, atol=1e-13)
    np.testing.assert_array_equal(factors[..., 4], 0.0)
    np.testing.assert_array_equal(np.isneginf(growth), np.tile(~alive, (T, 1)))


@pytest.mark.parametrize("angle", [1e-12, 1e-5, 0.3, np.pi / 2, 3.0])
def test_small_angles_keep_their_digits(angle):
    # an arc cosine would know nothing of the smallest
    C = np.array([[[1.0, np.cos(angle)], [0.0, np.sin(angle)]]])
    angles = np.empty((1, 2, 2))
    angles_between(C, np.ones(2, dtype=bool), angles)
    np.testing.assert_allclose(angles[0, 0, 1], min(angle, np.pi - angle), rtol=1e-12)
