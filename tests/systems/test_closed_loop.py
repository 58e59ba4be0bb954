"""Closed loops: the step is the driven one at its own readout, the Jacobian its exact derivative."""

import pickle

import numpy as np
import pytest

import dynet
from dynet.systems.operators import assemble, transpose

EMPTY = np.empty(0)


def network(name, random):
    def weights(gates, sizes, channels):
        below = [channels, *sizes[:-1]]
        W = [random.standard_normal((gates * n, n)) for n in sizes]
        X = [random.standard_normal((gates * n, m)) for n, m in zip(sizes, below, strict=True)]
        return W, X

    kind, gates, sizes = {
        "tanh": (dynet.networks.tanh_rnn, 1, [4]),
        "tanh, 3 layers": (dynet.networks.tanh_rnn, 1, [3, 4, 2]),
        "gru": (dynet.networks.gru, 3, [3]),
        "gru, 2 layers": (dynet.networks.gru, 3, [3, 2]),
        "lstm": (dynet.networks.lstm, 4, [3]),
        "lstm, 2 layers": (dynet.networks.lstm, 4, [3, 2]),
    }[name]
    W, X = weights(gates, sizes, 2)
    if name == "gru":
        return kind(W, X, form="paper")
    return kind(W, X)


NAMES = ["tanh", "tanh, 3 layers", "gru", "gru, 2 layers", "lstm", "lstm, 2 layers"]


def differences(step, x, p):
    h = 1e-6
    shifts = h * np.eye(x.size)
    columns = [(step(0.0, x + s, EMPTY, p) - step(0.0, x - s, EMPTY, p)) / (2 * h) for s in shifts]
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("name", NAMES)
def test_the_jacobian_of_a_closed_loop_is_that_of_its_step(name):
    random = np.random.default_rng(1)
    net = network(name, random)
    n = net.like.size
    D, offset = random.standard_normal((2, n)), random.standard_normal(2)
    loop = dynet.close_loop(net, D, offset=offset)
    x = 0.5 * random.standard_normal(n)
    y, J = loop.linearize(0.0, x, EMPTY, loop.params)
    np.testing.assert_allclose(y, net.step(0.0, x, D @ x + offset, net.params), atol=1e-14)
    np.testing.assert_array_equal(y, loop.step(0.0, x, EMPTY, loop.params))
    np.testing.assert_allclose(assemble(J), differences(loop.step, x, loop.params), atol=1e-8)
    np.testing.assert_allclose(assemble(transpose(J)), assemble(J).T, atol=1e-13)
    assert dynet.check_jacobian(loop, x) < 1e-8
    # the input matters: the loop is not the system without it
    assert np.abs(assemble(J) - assemble(net.linearize(0.0, x, D @ x + offset, net.params)[1])).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_batches_of_states_are_each_state_by_itself(name):
    random = np.random.default_rng(2)
    net = network(name, random)
    n = net.like.size
    loop = dynet.close_loop(net, random.standard_normal((2, n)))
    X = 0.5 * random.standard_normal((3, n))
    Y, J = loop.linearize(0.0, X, X[:, :0], loop.params)
    for x, y, A in zip(X, Y, assemble(J), strict=True):
        one, B = loop.linearize(0.0, x, EMPTY, loop.params)
        np.testing.assert_allclose(y, one, atol=1e-14)
        np.testing.assert_allclose(A, assemble(B), atol=1e-13)


def test_readouts_and_inputs_may_be_differenced_or_given():
    random = np.random.default_rng(3)
    W, X, D = random.standard_normal((3, 3)), random.standard_normal((3, 2)), random.standard_normal((2, 3))
    net = dynet.networks.tanh_rnn(W, X)
    own = dynet.Map(lambda t, x, u, p: np.tanh(W @ x + X @ u), lambda t, x, u, p: _slope(W, X, x, u) @ W)
    by_hand = {
        "jac_input": lambda t, x, u, p: _slope(W, X, x, u) @ X,
        "jac_readout": lambda x: (1 - np.tanh(x @ D.T) ** 2)[..., None] * D,
    }
    x = random.standard_normal(3)

    def readout(x):
        return np.tanh(x @ D.T)

    exact = assemble(dynet.close_loop(own, readout, **by_hand).linearize(0.0, x, EMPTY, None)[1])
    for system, options in (
        (net, {"jac_readout": by_hand["jac_readout"]}),
        (net, {"jac_readout": "finite_difference", "jac_input": "finite_difference"}),
        (own, {"jac_readout": "finite_difference", "jac_input": "finite_difference"}),
    ):
        loop = dynet.close_loop(system, readout, **options)
        J = loop.linearize(0.0, x, EMPTY, loop.params)[1]
        np.testing.assert_allclose(assemble(J), exact, atol=1e-8)
        np.testing.assert_allclose(J.transpose() @ np.eye(3), exact.T, atol=1e-8)
        kind = "finite_difference" if "finite_difference" in options.values() else "analytic"
        assert dynet.lyapunov_spectrum(loop, x, 20).attrs["jacobian"] == kind


def _slope(W, X, x, u):
    return np.diag(1 - np.tanh(W @ x + X @ u) ** 2)


def test_a_linear_loop_has_the_exponents_of_its_matrix():
    random = np.random.default_rng(4)
    W, X, D = random.standard_normal((4, 4)) / 2, random.standard_normal((4, 1)), random.standard_normal((1, 4))
    net = dynet.Map(lambda t, x, u, p: x @ W.T + u @ X.T, lambda t, x, u, p: W, vectorized=True, like=np.zeros(4))
    loop = dynet.close_loop(net, D, jac_input=lambda t, x, u, p: X)
    ds = dynet.lyapunov_spectrum(loop, np.ones(4), 400, n_transient=200, n_exponents=4)
    exact = np.sort(np.log(np.abs(np.linalg.eigvals(W + X @ D))))[::-1]
    np.testing.assert_allclose(ds.lyapunov_exponent.sum(), exact.sum(), atol=1e-10)
    np.testing.assert_allclose(ds.lyapunov_exponent, exact, atol=0.02)


def test_closed_loops_pickle_and_have_a_fingerprint(tmp_path):
    net = network("lstm", np.random.default_rng(5))
    loop = dynet.close_loop(net, np.ones((2, 6)))
    again = pickle.loads(pickle.dumps(loop))
    x = np.linspace(-1, 1, 6)
    np.testing.assert_array_equal(again.step(0.0, x, EMPTY, again.params), loop.step(0.0, x, EMPTY, loop.params))
    path = tmp_path / "run.npz"
    first = dynet.lyapunov_spectrum(loop, x, 30, checkpoint=path)
    np.testing.assert_array_equal(dynet.lyapunov_spectrum(again, x, 30, checkpoint=path).growth, first.growth)
    with pytest.raises(dynet.InputError):
        dynet.lyapunov_spectrum(dynet.close_loop(net, 2 * np.ones((2, 6))), x, 30, checkpoint=path)


def test_flows_close_through_their_map():
    flow = dynet.networks.rate_network(np.eye(2), np.ones((2, 1)))
    with pytest.raises(dynet.InputError, match="to_map"):
        dynet.close_loop(flow, np.ones((1, 2)))
    step = flow.to_map(0.1)
    with pytest.raises(dynet.InputError, match="jac_input is missing"):
        dynet.close_loop(step, np.ones((1, 2)))
    loop = dynet.close_loop(step, np.ones((1, 2)), jac_input="finite_difference")
    assert dynet.check_jacobian(loop, [0.3, -0.4]) < 1e-8


@pytest.mark.parametrize(
    ("readout", "options", "message"),
    [
        (np.ones((1, 4)), {}, "2 channels"),
        (np.ones((2, 3)), {}, "4 units"),
        (np.ones(4), {}, r"readout=array of shape \(4,\)"),
        (np.full((2, 4), np.nan), {}, "not finite"),
        (np.ones((2, 4)), {"offset": [1.0]}, "offset"),
        (np.ones((2, 4)), {"jac_readout": "finite_difference"}, "jac_readout belongs"),
        (np.ones((2, 4)), {"jac_input": "exact"}, "jac_input='exact'"),
        (lambda x: x[:2], {}, "jac_readout is missing"),
        (lambda x: x[:2], {"jac_readout": "exact"}, "jac_readout='exact'"),
        (lambda x: x[:2], {"jac_readout": "finite_difference", "offset": [0.0, 0.0]}, "offset belongs"),
        ("W", {}, "readout='W'"),
    ],
)
def test_bad_input(readout, options, message):
    net = network("tanh", np.random.default_rng(0))
    with pytest.raises(dynet.InputError, match=message):
        dynet.close_loop(net, readout, **options)


def test_readouts_of_another_width_are_refused():
    net = network("tanh", np.random.default_rng(0))
    loop = dynet.close_loop(net, lambda x: x[..., :3], jac_readout="finite_difference")
    with pytest.raises(dynet.InputError, match="3 channels: the system reads 2"):
        dynet.lyapunov_spectrum(loop, np.ones(4), 20)


def test_systems_that_cannot_be_driven_are_refused():
    net = network("tanh", np.random.default_rng(0))
    with pytest.raises(dynet.InputError, match="bound"):
        dynet.close_loop(net.with_input(np.zeros(2)), np.ones((2, 4)))
    with pytest.raises(dynet.InputError, match=r"dynet\.Map"):
        dynet.close_loop(3, np.ones((2, 4)))
    hidden = dynet.networks.lstm(np.ones((4, 1)), np.ones((4, 1)), state="hidden")
    with pytest.raises(dynet.InputError, match="full state"):
        dynet.close_loop(hidden, np.ones((1, 1)))
