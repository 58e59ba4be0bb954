"""Adaptive units: the equation of each, the Jacobian as an operator, and what is made of such networks."""

import pickle

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import dynet
from dynet.systems.fingerprint import fingerprint

networks = dynet.networks


def weights(H, G, M=2, seed=0, *, per_unit=False, readout=1.0):
    random = np.random.default_rng(seed)
    return {
        "W_hh": random.standard_normal((H, H)) / np.sqrt(H),
        "W_xh": random.standard_normal((H, M)) if M else None,
        "b": random.standard_normal(H),
        "W_ag": 0.5 * random.standard_normal(G),
        "W_gg": 0.8 * random.standard_normal((G, G)) / np.sqrt(G),
        "b_g": 0.3 * random.standard_normal(G),
        "W_gn": readout * 0.5 * random.standard_normal(G) / np.sqrt(G),
        "b_n": random.uniform(4, 6, H) if per_unit else 5.0,
        "W_gs": readout * 0.1 * random.standard_normal(G) / np.sqrt(G),
        "b_s": random.uniform(0.3, 0.7, H) if per_unit else 0.5,
    }


def states(w, random, *batch):
    H, G = len(w["W_hh"]), len(w["W_ag"])
    return np.concatenate([random.standard_normal((*batch, H)), random.uniform(-0.9, 0.9, (*batch, H * G))], axis=-1)


def by_neuron(w, h, g, u):
    """Take one step of each neuron by itself, in numbers."""
    new_h, new_g = [], []
    for i in range(len(h)):
        a = w["W_hh"][i] @ h + w["W_xh"][i] @ u + w["b"][i]
        controller = np.tanh(w["W_ag"] * a + w["W_gg"] @ g[i] + w["b_g"])
        n = w["W_gn"] @ controller + np.broadcast_to(w["b_n"], len(h))[i]
        s = w["W_gs"] @ controller + np.broadcast_to(w["b_s"], len(h))[i]
        new_h.append((1 - s) * np.log1p(np.exp(n * a)) / n + s / (1 + np.exp(-n * a)))
        new_g.append(controller)
    return np.array(new_h), np.array(new_g)


@pytest.mark.parametrize("per_unit", [False, True])
def test_a_step_is_the_equation_of_each_neuron(per_unit):
    w = weights(4, 3, per_unit=per_unit)
    system, random = networks.adaptive_rnn(**w), np.random.default_rng(1)
    x, u = states(w, random, 5), random.standard_normal((5, 2))
    found = system.step(0.0, x, u, system.params)
    for row, state, given_u in zip(found, x, u, strict=True):
        h, g = by_neuron(w, state[:4], state[4:].reshape(4, 3), given_u)
        np.testing.assert_allclose(row, np.concatenate([h, g.ravel()]), rtol=1e-13)


def test_units_tell_part_and_neuron():
    system = networks.adaptive_rnn(**weights(3, 2))
    ds = dynet.simulate(system, np.zeros(9), 2, inputs=np.ones((2, 2)))
    assert ds.unit.values.tolist() == [
        *("h[0]", "h[1]", "h[2]"), *("g[0][0]", "g[0][1]", "g[1][0]", "g[1][1]", "g[2][0]", "g[2][1]")
    ]  # fmt: skip
    assert ds.part.values.tolist() == ["h"] * 3 + ["g"] * 6
    assert ds.neuron.values.tolist() == [0, 1, 2, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("kind", ["state", "input"])
def test_jacobian_is_the_derivative_of_the_step(kind):
    w = weights(4, 3)
    system, random = networks.adaptive_rnn(**w), np.random.default_rng(2)
    x, u = states(w, random), random.standard_normal(2)
    y, J = system.linearize(0.0, x, u, system.params)
    np.testing.assert_array_equal(y, system.step(0.0, x, u, system.params))
    shifts = 1e-6 * np.eye(x.size if kind == "state" else 2)
    if kind == "state":
        pairs = [(system.step(0.0, x + d, u, system.params), system.step(0.0, x - d, u, system.params)) for d in shifts]
    else:
        J = system.step.input_jacobian(0.0, x, u, system.params)
        pairs = [(system.step(0.0, x, u + d, system.params), system.step(0.0, x, u - d, system.params)) for d in shifts]
    true = np.stack([(more - less) / 2e-6 for more, less in pairs], axis=-1)
    np.testing.assert_allclose(J.assemble(), true, rtol=0, atol=2e-9)
    np.testing.assert_allclose(J.transpose().assemble(), true.T, rtol=0, atol=2e-9)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2), st.integers(1, 5), st.integers(0, 2**20))
def test_products_agree_in_every_order_and_batch(H, G, n_batch, k, seed):
    w = weights(H, G, 1, seed, per_unit=True)
    system, random = networks.adaptive_rnn(**w), np.random.default_rng(seed)
    batch = (2, 3)[:n_batch]
    x, u = states(w, random, *batch), random.standard_normal((*batch, 1))
    J = system.jac(0.0, x, u, system.params)
    n = x.shape[-1]
    V, U = random.standard_normal((*batch, n, k)), random.standard_normal((*batch, n, k))
    dense = np.stack([
        system.jac(0.0, one, row, system.params).assemble()
        for one, row in zip(x.reshape(-1, n), u.reshape(-1, 1), strict=True)
    ]).reshape(*batch, n, n)  # fmt: skip
    by_columns = np.swapaxes(np.ascontiguousarray(np.swapaxes(V, -2, -1)), -2, -1)
    for frame in (V, by_columns):
        np.testing.assert_allclose(J @ frame, dense @ V, rtol=0, atol=1e-12)
    np.testing.assert_allclose(J.transpose() @ U, np.swapaxes(dense, -2, -1) @ U, rtol=0, atol=1e-12)
    assert J.transpose().transpose() is J
    assert J.shape == (*batch, n, n)


def test_exponents_agree_with_dense_qr():
    w = weights(6, 4, 1)
    system, random = networks.adaptive_rnn(**w), np.random.default_rng(3)
    inputs = random.standard_normal((60, 1))
    x0 = states(w, random)
    found = dynet.lyapunov_spectrum(system, x0, 40, inputs=inputs, n_transient=20, n_exponents=5)
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((30, 5)))[0]
    x, growth = x0, np.zeros(5)
    for t, u in enumerate(inputs):
        J = system.jac(0.0, x, u, system.params).assemble()
        x = system.step(0.0, x, u, system.params)
        Q, R = np.linalg.qr(J @ Q)
        growth += (t >= 20) * np.log(np.abs(R.diagonal()))
    np.testing.assert_allclose(found.lyapunov_exponent, growth / 40, rtol=0, atol=1e-11)


def test_constant_controllers_leave_a_gamma_network():
    """Where nothing is read from the controllers, the spectrum is that of the units and that of the controllers."""
    H, G = 3, 2
    w = weights(H, G, 0, readout=0.0, per_unit=True)
    system = networks.adaptive_rnn(**w)
    plain = networks.gamma_rnn(w["W_hh"], b=w["b"], n=w["b_n"], s=w["b_s"])
    x0 = states(w, np.random.default_rng(4))
    full = dynet.lyapunov_spectrum(system, x0, 600, n_transient=200)
    h = dynet.simulate(system, x0, 800).state
    np.testing.assert_allclose(h.sel(unit=h.part == "h"), dynet.simulate(plain, x0[:H], 800).state, rtol=1e-12)
    own = dynet.lyapunov_spectrum(plain, x0[:H], 600, n_transient=200).lyapunov_exponent.values
    final = h[-1].values
    J = system.jac(0.0, final, np.empty(0), system.params).assemble()
    blocks = [J[H + G * i : H + G * (i + 1), H + G * i : H + G * (i + 1)] for i in range(H)]
    of_controllers = np.log(np.abs(np.concatenate([np.linalg.eigvals(block) for block in blocks])))
    expected = np.sort(np.concatenate([own, of_controllers]))
    np.testing.assert_allclose(np.sort(full.lyapunov_exponent), expected, rtol=0, atol=5e-3)


def test_isolated_neurons_are_scalar_systems():
    H, G = 3, 2
    w = weights(H, G, 0, per_unit=True)
    system = networks.isolated(networks.adaptive_rnn(**w))
    x0 = states(w, np.random.default_rng(5))
    together = dynet.lyapunov_spectrum(system, x0, 200, n_transient=200)
    alone = []
    for i in range(H):
        one = w | {"W_hh": w["W_hh"][i : i + 1, i : i + 1], "W_xh": None}
        one |= {name: w[name][i : i + 1] for name in ("b", "b_n", "b_s")}
        start = np.concatenate([x0[i : i + 1], x0[H + G * i : H + G * (i + 1)]])
        found = dynet.lyapunov_spectrum(networks.adaptive_rnn(**one), start, 200, n_transient=200)
        alone.append(found.lyapunov_exponent.values)
        final = together.final_state[0]
        np.testing.assert_allclose(final.sel(unit=final.neuron == i), found.final_state[0], rtol=1e-12)
    np.testing.assert_allclose(np.sort(together.lyapunov_exponent), np.sort(np.concatenate(alone)), rtol=0, atol=1e-2)


@pytest.mark.parametrize("kind", ["gru", "lstm", "tanh"])
def test_isolation_keeps_the_diagonal_of_every_gate(kind):
    random = np.random.default_rng(6)
    gates = {"gru": 3, "lstm": 4, "tanh": 1}[kind]
    make = {"gru": networks.gru, "lstm": networks.lstm, "tanh": networks.tanh_rnn}[kind]
    system = networks.isolated(make(random.standard_normal((gates * 3, 3))))
    J = system.jac(0.0, random.standard_normal(system.like.size), np.empty(0), system.params).assemble()
    units = np.arange(J.shape[0]) % 3
    assert not J[units[:, None] != units[None, :]].any()
    assert np.diag(J).all()


def test_frozen_controllers_are_the_step_at_that_time():
    w = weights(4, 3)
    system, random = networks.adaptive_rnn(**w), np.random.default_rng(7)
    x, u = states(w, random), random.standard_normal((1, 2))
    trace = dynet.adaptation_trace(system, x, inputs=u)
    frozen = networks.frozen_controllers(system, trace.gain[0], trace.saturation[0])
    full = system.step(0.0, x, u[0], system.params)
    np.testing.assert_allclose(frozen.step(0.0, x[:4], u[0], frozen.params), full[:4], rtol=1e-13)
    J = system.jac(0.0, x, u[0], system.params)
    slopes = J.slopes.by_a[:, None] * w["W_hh"]
    np.testing.assert_allclose(frozen.jac(0.0, x[:4], u[0], frozen.params).assemble(), slopes, rtol=1e-12)


def test_a_drive_is_a_bias():
    w = weights(4, 3)
    more = networks.adaptive_rnn(**(w | {"b": w["b"] + [1.0, 2.0, 3.0, 4.0]}))
    driven = networks.with_drive(networks.adaptive_rnn(**w), [1.0, 2.0, 3.0, 4.0])
    x, u = states(w, np.random.default_rng(8)), np.ones(2)
    found, expected = (system.step(0.0, x, u, system.params) for system in (driven, more))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    bare = networks.with_drive(networks.tanh_rnn(np.zeros((1, 1))), 0.5)
    assert bare.step(0.0, np.zeros(1), np.empty(0), bare.params) == np.tanh(0.5)


def test_a_gain_that_is_not_positive_is_a_divergence():
    w = weights(2, 1, 0) | {"W_gn": [-30.0], "W_ag": [1.0], "b_g": None}
    system = networks.adaptive_rnn(**w)
    for call in (
        lambda: dynet.lyapunov_spectrum(system, np.ones(4), 50),
        lambda: dynet.simulate(system, np.ones(4), 50),
    ):
        with pytest.raises(dynet.DivergenceError, match=r"h\[\d\]"):
            call()
    with pytest.raises(dynet.DivergenceError, match=r"gain of neuron \d is not positive in step"):
        dynet.adaptation_trace(system, np.ones(4), 50)


def test_a_network_without_saturation_can_diverge():
    system = networks.gamma_rnn(1e3 * np.eye(2), n=5.0, s=0.0)
    with pytest.raises(dynet.DivergenceError):
        dynet.lyapunov_spectrum(system, [1.0, 1.0], 150)


def test_systems_pickle_and_have_a_fingerprint():
    w = weights(3, 2)
    system = networks.adaptive_rnn(**w)
    again = pickle.loads(pickle.dumps(system))
    assert fingerprint(again).digest == fingerprint(system).digest
    assert fingerprint(system).name == "adaptive RNN"
    assert fingerprint(networks.adaptive_rnn(**(w | {"b_s": 0.4}))).digest != fingerprint(system).digest


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"W_ag": np.ones((2, 1))}, ["W_ag", "(states,)"]),
        ({"W_gg": np.ones((3, 3))}, ["W_gg", "(2, 2)"]),
        ({"W_gn": np.ones(3), "b_g": np.ones(4)}, ["W_gn", "b_g"]),
        ({"b_n": np.ones(7)}, ["b_n", "3 units"]),
        ({"W_gs": [1.0, np.nan]}, ["W_gs", "not finite"]),
        ({"W_hh": np.ones((3, 2))}, ["W_hh", "(n, n)"]),
        ({"W_hh": [np.eye(3)] * 2}, ["one layer"]),
    ],
)
def test_weights_that_do_not_fit_are_named(change, words):
    with pytest.raises(dynet.InputError) as caught:
        networks.adaptive_rnn(**(weights(3, 2) | change))
    assert all(word in str(caught.value) for word in words)


def test_other_systems_are_refused():
    tanh = networks.tanh_rnn(np.eye(2))
    with pytest.raises(dynet.InputError, match=r"tanh RNN.*adaptive_rnn"):
        networks.frozen_controllers(tanh, 5.0, 0.3)
    with pytest.raises(dynet.InputError, match="adaptive units"):
        dynet.adaptation_trace(dynet.zoo.henon(), [0.0, 0.0], 3)
    with pytest.raises(dynet.InputError, match="networks"):
        networks.isolated(dynet.zoo.henon())
    with pytest.raises(dynet.InputError, match="GRU"):
        networks.with_drive(networks.gru(np.zeros((3, 1))), 1.0)
    with pytest.raises(dynet.InputError, match=r"drive=.*2 units"):
        networks.with_drive(tanh, [1.0, 2.0, 3.0])
    adaptive = networks.adaptive_rnn(**weights(2, 1))
    with pytest.raises(dynet.InputError, match="without an input bound"):
        dynet.adaptation_trace(adaptive.with_input(np.zeros(2)), n_steps=3)
    with pytest.raises(dynet.InputError, match="n=-1"):
        networks.frozen_controllers(adaptive, -1.0, 0.5)


def test_trace_goes_along_the_run_with_its_drive():
    w = weights(3, 2)
    system, random = networks.adaptive_rnn(**w), np.random.default_rng(9)
    x, u = states(w, random), random.standard_normal((20, 2))
    plain = dynet.adaptation_trace(system, x, inputs=u)
    run = dynet.simulate(system, x, 20, inputs=u).state
    np.testing.assert_allclose(plain.activity, run[1:, :3], rtol=1e-13)
    np.testing.assert_allclose(plain.final_state, run[-1], rtol=1e-13)
    np.testing.assert_allclose(
        plain.activity, dynet.gamma_activation(plain.pre_activation, plain.gain, plain.saturation), rtol=1e-12
    )
    driven = dynet.adaptation_trace(system, x, drive=2.0, inputs=u)
    same = dynet.adaptation_trace(networks.with_drive(system, 2.0), x, inputs=u)
    xr.testing.assert_allclose(driven, same, rtol=1e-13)
    for drive in (np.full(20, 2.0), np.full((20, 1), 2.0), np.full((20, 3), 2.0)):
        xr.testing.assert_allclose(dynet.adaptation_trace(system, x, drive=drive, inputs=u), driven, rtol=1e-13)
    levels = np.arange(2.0)[:, None, None] * np.ones((2, 20, 1))
    several = dynet.adaptation_trace(system, x, drive=2 * levels, inputs=u)
    xr.testing.assert_allclose(several.gain.isel(sequence=1, drop=True), driven.gain, rtol=1e-13)
    xr.testing.assert_allclose(several.gain.isel(sequence=0, drop=True), plain.gain, rtol=1e-13)


def test_traces_go_into_the_fits():
    system = networks.adaptive_rnn(
        np.zeros((1, 1)), W_ag=[0.1], W_gg=[[0.9]], W_gn=[-2.0], b_n=5.0, W_gs=[0.1], b_s=0.3
    )
    trace = dynet.adaptation_trace(system, n_steps=80, drive=1.0)
    fit = dynet.fit_adaptation(trace.gain.isel(neuron=0))
    assert fit.r_squared > 0.98
    stimulus = dynet.gain_scaling_stimulus([1.0, 5.0], n_steps=10, rng=0)
    assert dynet.adaptation_trace(system, drive=stimulus.values[..., None]).gain.shape == (2, 30, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "n_steps is missing"),
        ({"n_steps": 3, "drive": np.zeros(4)}, "row for each of the 3 steps"),
        ({"drive": np.zeros((4, 5))}, r"\(time, 3\)"),
        ({"n_steps": 2, "drive": np.nan}, "not finite"),
        ({"drive": np.zeros((2, 4, 3)), "x0": np.zeros((3, 9))}, "2 sequences"),
        ({"inputs": np.zeros((4, 1))}, "channels"),
    ],
)
def test_bad_traces_are_named(arguments, words):
    system = networks.adaptive_rnn(**weights(3, 2))
    with pytest.raises(dynet.InputError, match=words):
        dynet.adaptation_trace(system, **arguments)
