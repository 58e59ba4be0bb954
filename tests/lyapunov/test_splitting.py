"""Angles between Oseledets subspaces, against principal angles."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles

import dynet

splitting = dynet.splitting_angles


def with_eigenvectors(P, **options):
    rates = np.exp(1.0 - 0.8 * np.arange(P.shape[1]))
    system = dynet.zoo.linear_map(P @ np.diag(rates) @ np.linalg.inv(P))
    return dynet.covariant_vectors(system, np.full(len(P), 1e-60), 4, n_transient=60, **options)


@pytest.mark.parametrize("n", [2, 3, 6])
def test_they_are_the_smallest_principal_angles_of_the_eigenspaces(n):
    P = np.random.default_rng(n).standard_normal((n, n))
    result = splitting(with_eigenvectors(P))
    expected = [subspace_angles(P[:, :j], P[:, j:]).min() for j in range(1, n)]
    np.testing.assert_allclose(result.splitting_angle, np.tile(expected, (4, 1)), rtol=1e-8)
    np.testing.assert_allclose(result.smallest, expected, rtol=1e-8)
    np.testing.assert_array_equal(result.dimension, np.arange(1, n))


def test_two_vectors_split_by_their_angle():
    ds = dynet.covariant_vectors(dynet.zoo.henon(), [0.1, 0.1], 2_000, n_transient=100)
    result = splitting(ds)
    np.testing.assert_allclose(result.splitting_angle[:, 0], ds.angle[:, 0, 1], rtol=1e-9, atol=1e-14)
    # the attractor has tangencies: its smallest angle comes near zero
    assert float(result.smallest[0]) < 0.02


def test_parts_of_the_dimensions_and_fewer_vectors():
    P = np.random.default_rng(0).standard_normal((5, 5))
    every = splitting(with_eigenvectors(P))
    np.testing.assert_array_equal(splitting(with_eigenvectors(P), 3).splitting_angle[:, 0], every.splitting_angle[:, 2])
    np.testing.assert_array_equal(splitting(with_eigenvectors(P), [1, 4]).dimension, [1, 4])
    few = splitting(with_eigenvectors(P, n_exponents=3))
    np.testing.assert_allclose(few.smallest[1], subspace_angles(P[:, :2], P[:, 2:3]).min(), rtol=1e-8)


def test_lost_vectors_are_left_out():
    A = np.zeros((4, 4))
    A[:3, :3] = np.random.default_rng(2).standard_normal((3, 3))
    A[:3, :3] = A[:3, :3] @ np.diag([2.0, 1.0, 0.4]) @ np.linalg.inv(A[:3, :3])
    ds = dynet.covariant_vectors(dynet.zoo.linear_map(A), np.full(4, 1e-30), 4, n_transient=60)
    result = splitting(ds)
    np.testing.assert_array_equal(result.dimension, [1, 2])
    assert result.attrs["n_below_resolution"] == 1
    assert (result.smallest > 0).all()


def test_sequences_keep_their_dimension():
    ds = dynet.covariant_vectors(dynet.zoo.henon(), [[0.1, 0.1], [0.2, 0.1]], 50, n_transient=100)
    result = splitting(ds)
    assert result.splitting_angle.dims == ("sequence", "time", "dimension")
    np.testing.assert_allclose(result.splitting_angle[..., 0], ds.angle[..., 0, 1], rtol=1e-9)
    np.testing.assert_array_equal(result.smallest, result.splitting_angle.min(("sequence", "time")))


def test_parallel_subspaces_have_no_angle():
    ds = dynet.covariant_vectors(dynet.zoo.henon(), [0.1, 0.1], 2, n_transient=10)
    ds["covariant_vector"][...] = np.array([[1.0, 1.0], [0.0, 0.0]])
    np.testing.assert_array_equal(splitting(ds).splitting_angle, 0.0)


HENON = dynet.covariant_vectors(dynet.zoo.henon(), [0.1, 0.1], 5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: splitting(np.eye(2)), ["result='ndarray'", "dynet.covariant_vectors"]),
        (lambda: splitting(HENON.isel(time=0)), ["whole"]),
        (lambda: splitting(HENON, 2), ["dimensions=2", "from 1 to 1"]),
        (lambda: splitting(HENON, [0]), ["dimensions=0"]),
        (lambda: splitting(HENON, "half"), ["dimensions='h"]),
        (lambda: splitting(HENON.sel(exponent=[1])), ["1 covariant vectors", "at least 2"]),
    ],
)
def test_what_cannot_be_used_is_named(call, words):
    with pytest.raises(dynet.InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
