"""The Oseledets matrix: singular values of exact products, and the filtration that covariant vectors lie in."""

import mpmath
import numpy as np
import pytest

import dynet

oseledets = dynet.oseledets_matrix


def test_exponents_are_those_of_the_exact_product():
    J = np.random.default_rng(0).standard_normal((12, 4, 4))
    ds = oseledets(dynet.Map.from_jacobians(J, dt=0.5), None, 12)
    with mpmath.workdps(60):
        P = mpmath.eye(4)
        for one in J:
            P = mpmath.matrix(one.tolist()) * P
        values = sorted((mpmath.log(s) / 6 for s in mpmath.svd_r(P, compute_uv=False)), reverse=True)
        squared = P.T * P
    assert (ds.rounding_error < 1e-6).all()
    assert (np.abs(ds.lyapunov_exponent - [float(v) for v in values]) <= ds.rounding_error + 1e-14).all()
    # its power 2 t is P^T P
    eigenvalues, vectors = np.linalg.eigh(ds.matrix.values)
    power = vectors @ np.diag(eigenvalues**12) @ vectors.T
    np.testing.assert_allclose(power, np.array(squared.tolist(), dtype=float), rtol=1e-8, atol=1e-12 * power.max())
    np.testing.assert_array_equal(ds.unit, ds.unit_2)


def test_a_symmetric_map_is_its_own_matrix_up_to_signs():
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    A = Q @ np.diag([1.5, -0.8, 0.3]) @ Q.T
    ds = oseledets(dynet.zoo.linear_map(A), [1e-9] * 3, 15)
    np.testing.assert_allclose(ds.matrix, Q @ np.diag([1.5, 0.8, 0.3]) @ Q.T, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.abs(Q.T @ ds.direction.values), np.eye(3), rtol=0, atol=1e-6)
    np.testing.assert_allclose(ds.lyapunov_exponent, np.log([1.5, 0.8, 0.3]), rtol=0, atol=1e-5)


def test_covariant_vectors_lie_in_what_grows_no_faster():
    system = dynet.zoo.lorenz63().to_map(0.01)
    vectors = dynet.covariant_vectors(system, [1.0, 1.0, 20.0], 100, n_transient=1_000, n_backward=2_000)
    ds = oseledets(system, [1.0, 1.0, 20.0], 100, n_transient=1_000)
    overlap = np.abs(ds.direction.values.T @ vectors.covariant_vector.values[0])
    # |P v_j| = e^(lambda_j t) is at least its part along direction i times singular value i
    bounds = np.exp(1.0 * (vectors.lyapunov_exponent.values - ds.lyapunov_exponent.values[:, None]))
    assert (overlap <= bounds * (1 + 1e-6) + 1e-11).all()
    assert bounds[0, 1] < 0.5
    assert (bounds[:2, 2] < 1e-5).all()
    np.testing.assert_allclose(ds.lyapunov_exponent.sum(), vectors.frame_exponent.sum(), rtol=1e-5)


def test_long_products_lose_what_rounding_covers_and_say_so():
    system = dynet.zoo.linear_map(np.array([[2.0, 1.0], [0.0, 0.5]]))
    ds = oseledets(system, [1e-30, 1e-30], 60)
    np.testing.assert_array_equal(ds.below_resolution, [False, True])
    assert ds.lyapunov_exponent[1] == -np.inf
    assert ds.attrs["n_below_resolution"] == 1
    assert not any(np.isnan(ds[name]).any() for name in ds.data_vars)
    short = oseledets(system, [1e-30, 1e-30], 10)
    np.testing.assert_allclose(short.lyapunov_exponent.sum(), 0.0, rtol=0, atol=1e-9)
    assert not short.below_resolution.any()


def test_products_neither_overflow_nor_vanish():
    for factor in (1e200, 1e-200):
        ds = oseledets(dynet.Map.from_jacobians(np.tile(factor * np.diag([1.0, 0.5]), (9, 1, 1))), None, 9)
        np.testing.assert_allclose(ds.lyapunov_exponent, np.log(factor) + np.log([1.0, 0.5]), rtol=1e-12)
    nothing = oseledets(dynet.Map.from_jacobians(np.zeros((3, 2, 2))), None, 3)
    assert np.isneginf(nothing.lyapunov_exponent).all()
    np.testing.assert_array_equal(nothing.matrix, 0.0)


def test_sequences_inputs_and_transients():
    random = np.random.default_rng(0)
    net = dynet.networks.lstm(random.standard_normal((8, 2)), random.standard_normal((8, 3)))
    inputs = random.standard_normal((2, 20, 3))
    ds = oseledets(net, None, 5, inputs=inputs[:, :13], n_transient=8)
    assert ds.matrix.dims == ("sequence", "unit", "unit_2")
    for s in range(2):
        x = dynet.simulate(net, np.zeros(4), 20, inputs=inputs[s]).state.values
        P = np.eye(4)
        for step in range(8, 13):
            P = net.linearize(float(step), x[step], inputs[s, step], net.params)[1].assemble() @ P
        expected = np.log(np.linalg.svd(P, compute_uv=False)) / 5
        assert (np.abs(ds.lyapunov_exponent[s] - expected) < 2 * ds.rounding_error[s]).all()
        assert (ds.rounding_error[s] < 1e-4).all()


def test_what_cannot_be_used_is_named():
    with pytest.raises(dynet.InputError, match="to_map"):
        oseledets(dynet.zoo.lorenz63(), [1, 1, 1], 10)
    with pytest.raises(dynet.InputError, match="n_steps=0"):
        oseledets(dynet.zoo.henon(), [0.1, 0.1], 0)
    with pytest.raises(dynet.DivergenceError):
        oseledets(dynet.zoo.henon(), [2.0, 2.0], 50)
