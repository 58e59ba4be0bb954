"""Singular values by the input: against many digits, automatic differentiation, and matrices known on paper."""

import mpmath
import numpy as np
import pytest
import torch
from torch import nn

import dynet
from dynet.torch import from_module

RANDOM = np.random.default_rng(0)


def linear(W, B, **options):
    return dynet.Map(lambda t, x, u, p: W @ x + B @ u, lambda t, x, u, p: W, **options)


def of_linear(W, B, n_steps, **options):
    inputs = np.zeros((n_steps, B.shape[1]))
    given = {"inputs": inputs, "jac_input": lambda t, x, u, p: B, **options}
    return dynet.input_singular_values(linear(W, B), np.zeros(len(W)), n_steps, **given)


def exact(factors, digits=400):
    """Log singular values of a product, first factor first, in many digits."""
    with mpmath.workdps(digits):
        product = mpmath.eye(factors[0].shape[1])
        for factor in factors:
            product = mpmath.matrix(factor.tolist()) * product
        tall = product if product.rows >= product.cols else product.T
        return np.array([float(mpmath.log(value)) for value in mpmath.svd_r(tall, compute_uv=False)])


@pytest.mark.parametrize(("channels", "outputs"), [(3, None), (5, None), (7, None), (3, 2), (2, 4), (7, 1)])
def test_ratios_of_a_hundred_decades_against_many_digits(channels, outputs):
    W = np.linalg.qr(RANDOM.standard_normal((5, 5)))[0] @ np.diag([10, 3, 1, 0.1, 1e-3])
    B = RANDOM.standard_normal((5, channels))
    D = None if outputs is None else RANDOM.standard_normal((outputs, 5))
    ds = of_linear(W, B, 61, lags=[0, 60], readout=D)
    for lag, row in zip((0, 60), ds.log_singular_value.values, strict=True):
        expected = exact([B, *[W] * lag, *([] if D is None else [D])])
        assert row.size == expected.size == min(channels, 5, outputs or 5)
        np.testing.assert_allclose(row, expected, rtol=1e-10, atol=1e-10)
    if min(channels, outputs or 5) >= 3:
        assert ds.log_condition_number[-1] > 80
    assert 0 <= float(ds.norm_error.max()) < 1e-10


def test_a_stacked_lstm_and_its_readout_against_autograd():
    torch.manual_seed(0)
    rnn, head = nn.LSTM(3, 4, num_layers=2, batch_first=True).double(), nn.Linear(4, 2).double()
    inputs = torch.randn(2, 12, 3, dtype=torch.float64)
    D = np.zeros((2, 16))
    D[:, 4:8] = head.weight.detach().numpy()  # h of the upper layer
    system = from_module(rnn)
    ds = dynet.input_singular_values(system, None, 9, inputs=inputs, n_transient=3, lags=[0, 4, 8], readout=D)
    assert ds.log_singular_value.dims == ("sequence", "lag", "index")
    for s in range(2):
        whole = torch.autograd.functional.jacobian(lambda u: head(rnn(u)[0])[0], inputs[s : s + 1])
        for lag in (0, 4, 8):
            expected = torch.linalg.svdvals(whole[3 + lag, :, 0, 3])
            found = ds.log_singular_value.sel(sequence=s, lag=lag)
            np.testing.assert_allclose(found, np.log(expected.numpy()), rtol=1e-9)


def test_windows_are_the_inputs_that_start_there():
    W, B = RANDOM.standard_normal((4, 4)) / 2, RANDOM.standard_normal((4, 2))
    net = dynet.networks.tanh_rnn(W, B)
    inputs = RANDOM.standard_normal((14, 2))
    ds = dynet.input_singular_values(net, None, 12, inputs=inputs, n_transient=2, lags=[1, 5], every=3)
    np.testing.assert_array_equal(ds.start, [2, 5, 8])
    states = dynet.simulate(net, np.zeros(4), 14, inputs=inputs).state.values
    for start in (2, 8):
        product = net.step.input_jacobian(0.0, states[start], inputs[start], net.params).assemble()
        for t in range(start + 1, start + 6):
            product = net.jac(0.0, states[t], inputs[t], net.params).assemble() @ product
        found = ds.log_singular_value.sel(start=start, lag=5)
        np.testing.assert_allclose(found, np.log(np.linalg.svd(product, compute_uv=False)), rtol=1e-9)
    squares = np.exp(2 * ds.log_singular_value)
    np.testing.assert_allclose(np.exp(ds.log_first_moment), squares.mean(["start", "index"]))
    default = dynet.input_singular_values(net, None, 12, inputs=inputs[2:]).lag.values
    assert (default[0], default[-1]) == (0, 11)


def test_inputs_that_turn_states_are_isometries():
    Q = np.linalg.qr(RANDOM.standard_normal((6, 6)))[0]
    ds = of_linear(Q, np.linalg.qr(RANDOM.standard_normal((6, 2)))[0], 30, readout=lambda x: 3.0 * np.eye(6))
    np.testing.assert_allclose(ds.isometry_distance, np.log(3))
    np.testing.assert_allclose(ds.log_condition_number, 0, atol=1e-12)
    np.testing.assert_allclose(ds.log_first_moment, np.log(9))


def test_ranks_are_those_of_integers():
    # a nilpotent shift forgets the second channel after two steps and the first after four
    W, B = np.eye(5, k=-1), np.zeros((5, 2))
    B[1, 0] = B[3, 1] = 1
    ds = of_linear(W, B, 6, lags=range(6))
    np.testing.assert_array_equal((ds.log_singular_value == 0).sum("index"), [2, 2, 1, 1, 0, 0])
    assert np.isneginf(ds.log_singular_value.where(ds.log_singular_value != 0)).sum() == 6
    assert not np.isnan(ds.to_array()).any()
    parallel = of_linear(np.eye(3), np.array([[1.0, 3.0], [2.0, 6.0], [-1.0, -3.0]]), 2)
    np.testing.assert_allclose(parallel.log_singular_value.isel(index=0), np.log(60) / 2)
    assert np.isneginf(parallel.log_singular_value.isel(index=1)).all()


def test_differences_agree_with_the_derivative_given():
    W, B = RANDOM.standard_normal((3, 3)), RANDOM.standard_normal((3, 2))
    system = dynet.Map(
        lambda t, x, u, p: np.tanh(W @ x + B @ u),
        lambda t, x, u, p: (1 - np.tanh(W @ x + B @ u) ** 2)[:, None] * W,
    )
    inputs = RANDOM.standard_normal((8, 2))
    given, by_differences = (
        dynet.input_singular_values(system, np.zeros(3), 8, inputs=inputs, jac_input=jac)
        for jac in (lambda t, x, u, p: (1 - np.tanh(W @ x + B @ u) ** 2)[:, None] * B, "finite_difference")
    )
    np.testing.assert_allclose(given.log_singular_value, by_differences.log_singular_value, atol=1e-7)
    assert by_differences.attrs["jacobian_by_input"] == "finite_difference"
    assert given.attrs["jacobian_by_input"] == "analytic"


NET = dynet.networks.tanh_rnn(np.eye(3) / 2, np.ones((3, 2)))
ROWS = np.zeros((10, 2))


@pytest.mark.parametrize(
    ("system", "options", "words"),
    [
        (NET, {"inputs": None}, ["inputs=None"]),
        (NET, {"lags": 10}, ["lags=10", "n_steps = 10"]),
        (NET, {"lags": -1}, ["lags=-1"]),
        (NET, {"lags": []}, ["lags"]),
        (NET, {"readout": np.ones((2, 4))}, ["readout", "(output, 3)"]),
        (NET, {"readout": lambda x: np.ones(3)}, ["readout returned", "(output, 3)"]),
        (NET, {"inputs": np.zeros((9, 2))}, ["inputs", "10"]),
        (NET, {"inputs": np.zeros((10, 5))}, ["5", "2"]),
        (NET, {"jac_input": lambda t, x, u, p: np.ones((2, 3))}, ["(2, 3)", "(3, 2)"]),
        (NET, {"jac_input": lambda t, x, u, p: np.ones((3, 2)) * 2}, ["disagrees"]),
        (NET, {"jac_input": "exact"}, ["finite_difference"]),
        (NET.with_input(np.zeros(2)), {}, ["input"]),
        (linear(np.eye(3), np.ones((3, 2))), {}, ["jac_input is missing", "finite_difference"]),
        (dynet.zoo.lorenz63(), {}, ["to_map"]),
        (from_module(nn.LSTM(2, 3), state="hidden"), {}, ["full state"]),
    ],
)
def test_bad_input(system, options, words):
    with pytest.raises(dynet.InputError) as error:
        dynet.input_singular_values(system, np.zeros(3), 10, **{"inputs": ROWS, **options})
    for word in words:
        assert word in str(error.value)
