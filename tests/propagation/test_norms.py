"""Norms of Jacobians: exact, by iteration, over runs and samples of states."""

import numpy as np
import pytest
import torch

import dynet
from dynet.kernels.bidiagonal import largest_singular_value

RANDOM = np.random.default_rng(0)


def network(n=12, g=1.5, seed=1):
    random = np.random.default_rng(seed)
    W = random.standard_normal((n, n)) * g / np.sqrt(n)
    return dynet.networks.tanh_rnn(W, random.standard_normal((n, 2)) * 0.3)


def gru(n, seed=1):
    random = np.random.default_rng(seed)
    return dynet.networks.gru(random.standard_normal((3 * n, n)) / np.sqrt(n), random.standard_normal((3 * n, 2)))


def test_norms_of_a_known_jacobian():
    ds = dynet.jacobian_norms(dynet.zoo.linear_map([[3.0, 0.0], [4.0, 0.0]]), [1.0, 1.0], 5)
    np.testing.assert_allclose(ds.spectral_norm, 5.0)
    np.testing.assert_allclose(ds.frobenius_norm, 5.0)
    np.testing.assert_allclose(ds.rms_gain, 5 / np.sqrt(2))
    np.testing.assert_allclose(ds["mean"].sel(norm="rms"), 5 / np.sqrt(2))
    np.testing.assert_allclose(ds.standard_error, 0.0, atol=1e-12)
    assert ds.spectral_norm.dims == ("time",)


@pytest.mark.parametrize("method", ["exact", "lanczos"])
@pytest.mark.parametrize("make", [network, gru])
def test_norms_along_a_run(make, method):
    net, inputs = make(9), RANDOM.standard_normal((3, 8, 2))
    ds = dynet.jacobian_norms(net, None, 6, inputs=inputs, n_transient=2, method=method)
    np.testing.assert_array_equal(ds.time, np.arange(2, 8))
    states = dynet.simulate(net, np.zeros((3, 9)), 8, inputs=inputs).state.values
    for s in range(3):
        for t in range(2, 8):
            J = net.jac(float(t), states[s, t], inputs[s, t], net.params).assemble()
            np.testing.assert_allclose(ds.spectral_norm.sel(sequence=s, time=t), np.linalg.norm(J, 2), rtol=1e-10)
            np.testing.assert_allclose(ds.frobenius_norm.sel(sequence=s, time=t), np.linalg.norm(J), rtol=1e-12)
    assert (ds.spectral_norm_residual < 1e-9).all()


def test_mean_over_a_distribution_of_states():
    # x' = tanh(w x): the norm is w (1 - tanh^2), over U(-a, a) on average tanh(w a) / a
    w, a = 1.7, 2.0
    net = dynet.networks.tanh_rnn(np.array([[w]]))
    states = np.random.default_rng(0).uniform(-a, a, (4000, 1))
    ds = dynet.jacobian_norms(net, states)
    assert ds.spectral_norm.dims == ("sequence", "time")
    error = float(ds.standard_error.sel(norm="spectral"))
    assert 0 < error < 0.02
    assert abs(float(ds["mean"].sel(norm="spectral")) - np.tanh(w * a) / a) < 3 * error


def test_the_mean_log_norm_bounds_the_largest_exponent():
    net, inputs = network(), RANDOM.standard_normal((500, 2))
    ds = dynet.jacobian_norms(net, None, 500, inputs=inputs)
    spectrum = dynet.lyapunov_spectrum(net, None, 500, inputs=inputs)
    assert float(ds.mean_log.sel(norm="spectral")) > float(spectrum.lyapunov_exponent[0])
    assert (ds.log_standard_error > 0).all()


def test_large_networks_are_iterated_and_agree():
    net = network(150)
    x0 = RANDOM.standard_normal((3, 150))
    options = {"inputs": np.zeros((2, 2))}
    auto = dynet.jacobian_norms(net, x0, 2, **options)
    exact = dynet.jacobian_norms(net, x0, 2, method="exact", **options)
    assert "Lanczos" in auto.attrs["method"]
    distance = abs(auto.spectral_norm - exact.spectral_norm)
    assert (distance <= auto.spectral_norm_residual + 1e-12 * exact.spectral_norm).all()
    assert (distance < 1e-8).all()
    np.testing.assert_allclose(auto.frobenius_norm, exact.frobenius_norm, rtol=1e-12)


def test_iterations_of_singular_and_zero_operators():
    for A in (np.zeros((4, 4)), np.eye(4), np.diag([2.0, 0, 0, 0]), np.ones((4, 4))):
        found, residual = largest_singular_value(
            lambda v, A=A: A @ v, lambda v, A=A: A.T @ v, RANDOM.standard_normal((1, 4, 1)), 1e-12, 4
        )
        np.testing.assert_allclose(found, np.linalg.norm(A, 2), rtol=1e-12)
        assert residual[0] < 1e-12


@pytest.mark.parametrize("method", ["exact", "lanczos"])
def test_float32_tensors(method):
    w = network().params[0]
    net = dynet.networks.tanh_rnn(torch.as_tensor(w.W_hh).float(), torch.as_tensor(w.W_xh).float())
    inputs = RANDOM.standard_normal((4, 2))
    ds = dynet.jacobian_norms(net, None, 4, inputs=inputs, method=method)
    expected = dynet.jacobian_norms(network(), None, 4, inputs=inputs)
    assert ds.attrs["dtype"] == "float32"
    np.testing.assert_allclose(ds.spectral_norm, expected.spectral_norm, rtol=1e-5)


def test_a_zero_jacobian():
    dead = dynet.networks.relu_rnn(np.eye(3), b=[-5.0, -5.0, -5.0])
    ds = dynet.jacobian_norms(dead, [1.0, 1.0, 1.0], 4)
    np.testing.assert_array_equal(ds.spectral_norm, 0.0)
    assert np.isneginf(ds.mean_log).all()
    assert not np.isnan(ds.to_array()).any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dynet.jacobian_norms(network(), np.zeros(12), 5, method="power"), ["method", "lanczos"]),
        (lambda: dynet.jacobian_norms(network(), np.zeros(11), 5), ["x0", "12"]),
        (lambda: dynet.jacobian_norms(network(), np.zeros(12), 0), ["n_steps=0"]),
        (lambda: dynet.jacobian_norms(network(), None, 5, inputs=np.zeros((4, 2))), ["4 rows", "5"]),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(dynet.InputError) as error:
        call()
    for word in words:
        assert word in str(error.value)
