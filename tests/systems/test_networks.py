"""Cells against their equations written out, and their Jacobians against exact (complex-step) derivatives."""

import pickle

import numpy as np
import pytest

import dynet
from dynet.systems.operators import assemble

networks = dynet.networks
EMPTY = np.empty(0)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def complex_step(function, t, x, u, p):
    """Return the exact Jacobian of an analytic function: no differences are taken."""
    shifts = 1e-30j * np.eye(x.size)
    return np.stack([function(t, x + shift, u, p).imag * 1e30 for shift in shifts], axis=-1)


def layers(random, cell_gates, sizes, channels):
    """Weights of stacked layers: lists of W_hh, W_xh, b_hh, b_xh."""
    G = cell_gates
    below = [channels, *sizes[:-1]]
    return (
        [random.standard_normal((G * n, n)) for n in sizes],
        [random.standard_normal((G * n, m)) for n, m in zip(sizes, below, strict=True)],
        [random.standard_normal(G * n) for n in sizes],
        [random.standard_normal(G * n) for n in sizes],
    )


def some_network(name, random):
    if name == "tanh":
        W, X, b, _ = layers(random, 1, [4], 2)
        return networks.tanh_rnn(W[0], X[0], b[0])
    if name == "tanh, 3 layers":
        W, X, b, _ = layers(random, 1, [3, 4, 2], 2)
        return networks.tanh_rnn(W, X, b)
    if name == "lstm":
        W, X, b, c = layers(random, 4, [3], 2)
        return networks.lstm(W[0], X[0], b[0], c[0])
    if name == "lstm, 2 layers":
        return networks.lstm(*layers(random, 4, [3, 2], 2))
    if name == "lstm, hidden, 2 layers":
        return networks.lstm(*layers(random, 4, [3, 2], 2), state="hidden")
    if name.startswith("gru"):
        _, form, sizes = name.split(", ")
        return networks.gru(*layers(random, 3, [int(n) for n in sizes.split()], 2), form=form)
    if name.startswith("flow of gru"):
        _, form, sizes = name.split(", ")
        return networks.gru_flow(*layers(random, 3, [int(n) for n in sizes.split()], 2), form=form, tau=0.7)
    if name.startswith("rate"):
        _, activation, form = name.split(", ")
        W, X, b, _ = layers(random, 1, [3, 2], 2)
        return networks.rate_network(W, X, b, tau=1.7, activation=activation, form=form)
    if name == "random":
        return networks.random_tanh(5, 1.8, 0.4, rng=random)
    if name == "rotation":
        return networks.rotation_rnn([1.5, 1.1], [0.5, 0.2])
    assert name == "feedforward"
    return networks.feedforward(random.standard_normal((3, 4, 4)), random.standard_normal((3, 4)))


NAMES = [
    "tanh",
    "tanh, 3 layers",
    "lstm",
    "lstm, 2 layers",
    "lstm, hidden, 2 layers",
    *(f"gru, {form}, {sizes}" for form in ("torch", "gated-product", "paper") for sizes in ("4", "3 2")),
    *(f"flow of gru, {form}, 3 2" for form in ("torch", "gated-product", "paper")),
    *(f"rate, {a}, {form}" for a in ("tanh", "sigmoid", "identity") for form in ("outside", "inside")),
    "random",
    "rotation",
    "feedforward",
]


@pytest.mark.parametrize("name", NAMES)
def test_jacobians_are_the_derivatives_of_the_steps(name):
    random = np.random.default_rng(5)
    system = some_network(name, random)
    function = system.step if isinstance(system, dynet.Map) else system.rhs
    n = system.like.size
    channels = 0 if name in ("random", "rotation", "feedforward") else 7 if "hidden" in name else 2
    for _ in range(3):
        x, u = random.standard_normal(n), random.standard_normal(channels)
        J = system.jac(1.0, x, u, system.params)
        exact = complex_step(function, 1.0, x, u, system.params)
        np.testing.assert_allclose(assemble(J), exact, rtol=0, atol=1e-13 * (1 + np.abs(exact).max()))
        few = random.standard_normal((n, 1))
        np.testing.assert_allclose(J @ few, exact @ few, rtol=0, atol=1e-12 * (1 + np.abs(exact).max()))
        np.testing.assert_allclose(J.transpose() @ few, exact.T @ few, rtol=0, atol=1e-12 * (1 + np.abs(exact).max()))
        if isinstance(system, dynet.Map):
            y, again = system.linearize(1.0, x, u, system.params)
            np.testing.assert_array_equal(y, system.step(1.0, x, u, system.params))
            np.testing.assert_allclose(assemble(again), exact, rtol=0, atol=1e-13 * (1 + np.abs(exact).max()))


@pytest.mark.parametrize("name", [n for n in NAMES if "hidden" not in n])
def test_a_batch_of_states_is_stepped_state_by_state(name):
    random = np.random.default_rng(6)
    system = some_network(name, random)
    function = system.step if isinstance(system, dynet.Map) else system.rhs
    channels = 0 if name in ("random", "rotation", "feedforward") else 2
    n = system.like.size
    x, u, V = random.standard_normal((3, n)), random.standard_normal((3, channels)), random.standard_normal((3, n, 9))
    together = function(0.0, x, u, system.params)
    J = system.jac(0.0, x, u, system.params)
    for s in range(3):
        np.testing.assert_allclose(together[s], function(0.0, x[s], u[s], system.params), rtol=0, atol=1e-14)
        alone = system.jac(0.0, x[s], u[s], system.params)
        np.testing.assert_allclose((J @ V)[s], alone @ V[s], rtol=0, atol=1e-12)


def test_a_batch_of_jacobians_assembles_to_a_batch_of_matrices():
    random = np.random.default_rng(6)
    for name in ("lstm, 2 layers", "rate, tanh, outside", "gru, paper, 3 2"):
        system = some_network(name, random)
        x, u = random.standard_normal((3, system.like.size)), random.standard_normal((3, 2))
        J = system.jac(0.0, x, u, system.params)
        single = np.stack([assemble(system.jac(0.0, x[s], u[s], system.params)) for s in range(3)])
        np.testing.assert_allclose(J.assemble(), single, rtol=0, atol=1e-13)
        np.testing.assert_allclose(assemble(J.transpose()), single.transpose(0, 2, 1), rtol=0, atol=1e-13)


def test_an_lstm_is_its_textbook_equations():
    random = np.random.default_rng(1)
    H, m = 3, 2
    W, X, b, c = (part[0] for part in layers(random, 4, [H], m))
    h0, c0, u = random.standard_normal(H), random.standard_normal(H), random.standard_normal(m)
    a = W @ h0 + X @ u + b + c
    i, f, o = sigmoid(a[:H]), sigmoid(a[H : 2 * H]), sigmoid(a[3 * H :])
    g = np.tanh(a[2 * H : 3 * H])
    c1 = f * c0 + i * g
    system = networks.lstm(W, X, b, c)
    step = system.step(0.0, np.concatenate([h0, c0]), u, system.params)
    np.testing.assert_allclose(step, np.concatenate([o * np.tanh(c1), c1]), rtol=0, atol=1e-14)


@pytest.mark.parametrize("form", ["torch", "gated-product", "paper"])
def test_a_gru_is_its_equations_in_each_form(form):
    random = np.random.default_rng(2)
    H, m = 3, 2
    W, X, b, c = (part[0] for part in layers(random, 3, [H], m))
    h, u = random.standard_normal(H), random.standard_normal(m)
    U_r, U_z, U_n = W[:H], W[H : 2 * H], W[2 * H :]
    x_r, x_z, x_n = (X @ u + c)[:H], (X @ u + c)[H : 2 * H], (X @ u + c)[2 * H :]
    b_r, b_z, b_n = b[:H], b[H : 2 * H], b[2 * H :]
    r, z = sigmoid(U_r @ h + x_r + b_r), sigmoid(U_z @ h + x_z + b_z)
    n = {
        "torch": np.tanh(x_n + r * (U_n @ h + b_n)),
        "gated-product": np.tanh(x_n + r * (U_n @ h) + b_n),
        "paper": np.tanh(x_n + U_n @ (r * h) + b_n),
    }[form]
    system = networks.gru(W, X, b, c, form=form)
    np.testing.assert_allclose(system.step(0.0, h, u, system.params), (1 - z) * n + z * h, rtol=0, atol=1e-14)
    flow = networks.gru_flow(W, X, b, c, form=form, tau=2.0)
    np.testing.assert_allclose(flow.rhs(0.0, h, u, flow.params), (1 - z) * (n - h) / 2, rtol=0, atol=1e-14)


def test_the_three_forms_of_a_gru_differ():
    random = np.random.default_rng(2)
    weights = layers(random, 3, [3], 2)
    h, u = random.standard_normal(3), random.standard_normal(2)
    steps = []
    for form in ("torch", "gated-product", "paper"):
        system = networks.gru(*weights, form=form)
        steps.append(system.step(0.0, h, u, system.params))
    assert min(np.abs(a - b).max() for i, a in enumerate(steps) for b in steps[:i]) > 1e-3


def test_layers_are_cells_that_read_the_new_output_below():
    random = np.random.default_rng(3)
    W, X, b, _ = layers(random, 1, [3, 2], 2)
    stacked = networks.tanh_rnn(W, X, b)
    h, u = random.standard_normal(5), random.standard_normal(2)
    lower = np.tanh(W[0] @ h[:3] + X[0] @ u + b[0])
    upper = np.tanh(W[1] @ h[3:] + X[1] @ lower + b[1])
    step = stacked.step(0.0, h, u, stacked.params)
    np.testing.assert_allclose(step, np.concatenate([lower, upper]), rtol=0, atol=1e-14)


def test_layers_of_a_flow_read_the_present_output_below():
    random = np.random.default_rng(3)
    W, X, b, _ = layers(random, 1, [3, 2], 2)
    flow = networks.rate_network(W, X, b)
    h, u = random.standard_normal(5), random.standard_normal(2)
    lower = -h[:3] + np.tanh(W[0] @ h[:3] + X[0] @ u + b[0])
    upper = -h[3:] + np.tanh(W[1] @ h[3:] + X[1] @ h[:3] + b[1])
    np.testing.assert_allclose(flow.rhs(0.0, h, u, flow.params), np.concatenate([lower, upper]), atol=1e-14)


def test_stacked_lstms_hold_all_outputs_before_all_memories():
    random = np.random.default_rng(4)
    W, X, b, c = layers(random, 4, [2, 3], 1)
    stacked = networks.lstm(W, X, b, c)
    assert stacked.units["part"] == ["h"] * 5 + ["c"] * 5
    assert stacked.units["layer"] == [0, 0, 1, 1, 1] * 2
    assert stacked.units["unit"][2] == "h[1][0]"
    assert stacked.units["unit"][-1] == "c[1][2]"
    x, u = random.standard_normal(10), random.standard_normal(1)
    first, second = networks.lstm(W[0], X[0], b[0], c[0]), networks.lstm(W[1], X[1], b[1], c[1])
    lower = first.step(0.0, np.r_[x[:2], x[5:7]], u, first.params)
    upper = second.step(0.0, np.r_[x[2:5], x[7:]], lower[:2], second.params)
    expected = np.r_[lower[:2], upper[:3], lower[2:], upper[3:]]
    np.testing.assert_allclose(stacked.step(0.0, x, u, stacked.params), expected, rtol=0, atol=1e-14)


def test_the_hidden_state_alone_follows_the_trajectory_of_the_whole_lstm():
    random = np.random.default_rng(9)
    weights = layers(random, 4, [3, 2], 2)
    full, hidden = networks.lstm(*weights), networks.lstm(*weights, state="hidden")
    x0, inputs = random.standard_normal(10), random.standard_normal((12, 2))
    whole = dynet.lyapunov_spectrum(full, x0, 12, inputs=inputs)
    part = dynet.lyapunov_spectrum(hidden, x0, 12, inputs=inputs)
    np.testing.assert_allclose(part.final_state[0], whole.final_state[0, :5], rtol=0, atol=1e-13)
    assert (part.attrs["state"], whole.attrs["state"]) == ("hidden", "full")


def test_the_hidden_jacobian_leaves_out_every_path_through_the_memory():
    random = np.random.default_rng(9)
    weights = layers(random, 4, [3], 2)
    full, hidden = networks.lstm(*weights), networks.lstm(*weights, state="hidden")
    x, u = random.standard_normal(6), random.standard_normal(2)
    of_full = complex_step(full.step, 0.0, x, u, full.params)[:3, :3]
    of_hidden = hidden.jac(0.0, x[:3], np.r_[u, x[3:]], hidden.params).assemble()
    np.testing.assert_allclose(of_hidden, of_full, rtol=0, atol=1e-13)


def test_a_relu_has_slope_one_where_it_is_active_and_zero_elsewhere():
    W = np.array([[1.0, 2.0], [-3.0, 1.0]])
    system = networks.relu_rnn(W, b=[0.5, 0.0])
    x = np.array([1.0, 1.0])
    np.testing.assert_array_equal(system.step(0.0, x, EMPTY, system.params), [3.5, 0.0])
    J = system.jac(0.0, x, EMPTY, system.params).assemble()
    np.testing.assert_array_equal(J, [[1.0, 2.0], [0.0, 0.0]])


def test_a_tanh_network_is_its_flow_s_euler_map_of_unit_step():
    random = np.random.default_rng(7)
    W, X, b = random.standard_normal((4, 4)), random.standard_normal((4, 2)), random.standard_normal(4)
    discrete = networks.tanh_rnn(W, X, b)
    euler = networks.rate_network(W, X, b).to_map(1.0, "euler")
    x, u, V = random.standard_normal(4), random.standard_normal(2), random.standard_normal((4, 3))
    y, J = discrete.linearize(0.0, x, u, discrete.params)
    z, K = euler.linearize(0.0, x, u, euler.params)
    np.testing.assert_allclose(y, z, rtol=0, atol=1e-15)
    np.testing.assert_allclose(J @ V, K @ V, rtol=0, atol=1e-14)


@pytest.mark.parametrize("form", ["torch", "gated-product", "paper"])
def test_a_gru_is_its_flow_s_euler_map_of_one_time_constant(form):
    random = np.random.default_rng(8)
    weights = layers(random, 3, [4], 2)
    discrete = networks.gru(*weights, form=form)
    euler = networks.gru_flow(*weights, tau=2.5, form=form).to_map(2.5, "euler")
    x, u, V = random.standard_normal(4), random.standard_normal(2), random.standard_normal((4, 3))
    y, J = discrete.linearize(0.0, x, u, discrete.params)
    z, K = euler.linearize(0.0, x, u, euler.params)
    np.testing.assert_allclose(y, z, rtol=0, atol=1e-15)
    np.testing.assert_allclose(J @ V, K @ V, rtol=0, atol=1e-14)


def test_a_leaky_random_network_is_a_mixture_of_staying_and_stepping():
    net = networks.random_tanh(6, 2.0, 0.25, rng=3)
    J, x = net.params[0].W_hh, np.linspace(-1, 1, 6)
    expected = 0.75 * x + 0.25 * J @ np.tanh(x)
    np.testing.assert_allclose(net.step(0.0, x, EMPTY, net.params), expected, rtol=0, atol=1e-15)


def test_random_weights_have_the_variance_of_the_gain_and_come_from_the_generator():
    net = networks.random_tanh(300, 2.0, rng=5)
    J = net.params[0].W_hh
    # the variance of a sample variance of 90 000 normal numbers is 2 s^4 / 90 000
    assert abs(J.var() - 4 / 300) < 4 * np.sqrt(2 / 90_000) * 4 / 300
    np.testing.assert_array_equal(J, networks.random_tanh(300, 2.0, rng=np.random.default_rng(5)).params[0].W_hh)
    assert np.abs(J - networks.random_tanh(300, 2.0, rng=6).params[0].W_hh).max() > 0.1
    default = networks.random_tanh(3, 2.0).params[0].W_hh
    np.testing.assert_array_equal(default, networks.random_tanh(3, 2.0, rng=0).params[0].W_hh)


def test_rotation_networks_are_blocks_of_rotations():
    net = networks.rotation_rnn([2.0, 0.5], [0.3, -1.0])
    eigenvalues = np.linalg.eigvals(net.params[0].W_hh)
    expected = [2 * np.exp(0.3j), 2 * np.exp(-0.3j), 0.5 * np.exp(1j), 0.5 * np.exp(-1j)]
    np.testing.assert_allclose(np.sort_complex(eigenvalues), np.sort_complex(expected), atol=1e-15)
    flow = networks.rotation_rnn(2.0, 0.3, form="flow")
    at_origin = flow.jac(0.0, np.zeros(2), EMPTY, flow.params).assemble()
    a, b = 2 * np.cos(0.3), 2 * np.sin(0.3)
    np.testing.assert_allclose(at_origin, [[a - 1, -b], [b, a - 1]], atol=1e-15)


def test_depth_is_time_in_a_feedforward_network():
    random = np.random.default_rng(0)
    W, b, x = random.standard_normal((4, 3, 3)), random.standard_normal((4, 3)), random.standard_normal(3)
    net = networks.feedforward(list(W), list(b))
    states = dynet.simulate(net, x, 4).state.values
    for layer in range(4):
        np.testing.assert_allclose(states[layer + 1], np.tanh(W[layer] @ states[layer] + b[layer]), atol=1e-15)


def test_weights_may_be_nested_lists_of_integers():
    net = networks.tanh_rnn([[0, 1], [-1, 0]])
    np.testing.assert_allclose(net.step(0.0, np.array([1.0, 2.0]), EMPTY, net.params), np.tanh([2.0, -1.0]))


@pytest.mark.parametrize("name", NAMES)
def test_networks_survive_pickling(name):
    system = some_network(name, np.random.default_rng(5))
    again = pickle.loads(pickle.dumps(system))
    kind = "step" if isinstance(system, dynet.Map) else "rhs"
    x, u = 0.1 * np.arange(system.like.size), np.array([0.3, -0.2] + [0.1] * 5 * ("hidden" in name))
    if name in ("random", "rotation", "feedforward"):
        u = EMPTY
    np.testing.assert_array_equal(
        getattr(system, kind)(0.0, x, u, system.params), getattr(again, kind)(0.0, x, u, again.params)
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: networks.tanh_rnn(np.zeros((3, 2))), ["W_hh", "(3, 2)", "(n, n)"]),
        (lambda: networks.lstm(np.zeros((3, 3))), ["W_hh", "(4 n, n)"]),
        (lambda: networks.gru(np.zeros((9, 3)), np.zeros((8, 2))), ["W_xh", "(8, 2)", "(9, channels)"]),
        (lambda: networks.gru(np.zeros((9, 3)), None, np.zeros(3)), ["b_hh", "(9,)"]),
        (lambda: networks.tanh_rnn(np.eye(2), b=np.zeros(3)), ["b=", "(2,)"]),
        (lambda: networks.tanh_rnn([np.eye(2), np.eye(2)]), ["W_xh[1]", "missing"]),
        (lambda: networks.tanh_rnn([np.eye(2), np.eye(2)], np.eye(2)), ["W_xh", "2 layers"]),
        (lambda: networks.tanh_rnn([[1.0, np.nan], [0.0, 1.0]]), ["W_hh", "(0, 1)", "not finite"]),
        (lambda: networks.tanh_rnn([["a", "b"], ["c", "d"]]), ["W_hh", "numbers"]),
        (lambda: networks.tanh_rnn(np.eye(2) * 1j), ["W_hh", "complex"]),
        (lambda: networks.gru(np.zeros((3, 1)), form="cho"), ["form", "cho", "gated-product"]),
        (lambda: networks.lstm(np.zeros((4, 1)), state="half"), ["state", "half", "hidden"]),
        (lambda: networks.rate_network(np.eye(2), activation="softplus"), ["activation", "softplus", "sigmoid"]),
        (lambda: networks.rate_network(np.eye(2), tau=0.0), ["tau", "positive"]),
        (lambda: networks.gru_flow(np.zeros((3, 1)), tau=-1.0), ["tau", "positive"]),
        (lambda: networks.random_tanh(0, 1.0), ["n=0", "whole number"]),
        (lambda: networks.random_tanh(3, -1.0), ["g=", "positive"]),
        (lambda: networks.random_tanh(3, 1.0, 1.5), ["delta", "(0, 1]"]),
        (lambda: networks.rotation_rnn(np.nan, 0.1), ["alpha", "finite"]),
        (lambda: networks.feedforward([]), ["W=", "at least one layer"]),
        (lambda: networks.feedforward([np.eye(2), np.eye(3)]), ["W[1]", "same width"]),
        (lambda: networks.feedforward([np.eye(2)], [np.zeros(3)]), ["b=", "(2,)"]),
    ],
)
def test_unusable_weights_are_named_with_the_way_out(make, words):
    with pytest.raises(dynet.InputError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


def test_every_faulty_layer_is_named_in_one_error():
    with pytest.raises(dynet.InputError) as caught:
        networks.tanh_rnn([np.eye(2), np.zeros((3, 2))], [np.zeros((3, 1)), np.zeros((3, 2))], [np.zeros(5), None])
    for word in ("W_hh[1]", "W_xh[0]", "b[0]"):
        assert word in str(caught.value)
