"""Blocks of steps whose states are taken first: the same numbers as step by step, with every cell and every shape."""

from dataclasses import replace

import numpy as np
import pytest

import dynet
from dynet import DivergenceError, networks
from dynet.lyapunov.array_engine import ArrayEngine
from dynet.lyapunov.walk import make_walk
from dynet.systems.cells import LSTM
from dynet.systems.operators import assemble

N, CHANNELS = 40, 2


def weights(gates, units, gain=1.0, dtype=np.float64):
    random = np.random.default_rng(gates * units)
    W_hh = random.normal(0, gain / np.sqrt(units), (gates * units, units))
    W_xh, b = random.normal(0, 0.5, (gates * units, CHANNELS)), random.normal(0, 0.1, gates * units)
    return W_hh.astype(dtype), W_xh.astype(dtype), b.astype(dtype)


#: by name: the system of n units and whether its Jacobians are taken together
CASES = {
    "tanh": (lambda n, d=float: networks.tanh_rnn(*weights(1, n, 1.5, d)), True),
    # biases that keep every unit alive
    "relu": (lambda n, d=float: networks.relu_rnn(0.9 * np.eye(n), 0.1 * weights(1, n)[1], np.full(n, 3.0)), True),
    "leaky, nonlinearity inside": (lambda n, d=float: networks.random_tanh(n, 2.0, 0.3), True),
    "GRU": (lambda n, d=float: networks.gru(*weights(3, n, 1.0, d)), True),
    "GRU, gated product": (lambda n, d=float: networks.gru(*weights(3, n, 1.0, d), form="gated-product"), True),
    "GRU, paper": (lambda n, d=float: networks.gru(*weights(3, n, 1.0, d), form="paper"), False),
    "LSTM": (lambda n, d=float: networks.lstm(*weights(4, n // 2, 1.0, d)), True),
    "LSTM, hidden state": (lambda n, d=float: networks.lstm(*weights(4, n, 1.0, d), state="hidden"), True),
    "rate network": (lambda n, d=float: networks.rate_network(*weights(1, n, 1.5, d)).to_map(0.1, "euler"), False),
    "two layers": (
        lambda n, d=float: networks.tanh_rnn(
            [weights(1, n // 2, 1.5, d)[0]] * 2, [weights(1, n // 2)[1].astype(d), 0.1 * np.eye(n // 2, dtype=d)]
        ),
        False,
    ),
}


def one_by_one(system):
    """Return the same system without a way to take Jacobians together."""
    linearize = system.linearize
    return replace(system, linearize=lambda t, x, u, p: linearize(t, x, u, p))


def engine_of(system, *, n=N, k=None, batch=None, n_steps=300, dtype=np.float64):
    random = np.random.default_rng(1)
    inputs = None
    if getattr(system.step, "n_channels", lambda p: 0)(system.params):
        inputs = random.standard_normal((*((batch,) if batch else ()), n_steps, CHANNELS)).astype(dtype)
    x0 = 0.5 * random.standard_normal((batch, n) if batch else n).astype(dtype)
    problem = make_walk(system, x0, n_steps, inputs=inputs, n_exponents=k)
    return ArrayEngine(replace(problem, frame_method="lu"), slice(None))


@pytest.fixture
def taken(monkeypatch):
    """Numbers of the steps that were taken with their own Jacobian."""
    numbers = []
    step = ArrayEngine._step

    def counted(self, number):
        numbers.append(number)
        step(self, number)

    monkeypatch.setattr(ArrayEngine, "_step", counted)
    return numbers


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("name", CASES)
def test_blocks_grow_as_step_by_step(name, batch, taken):
    make, together = CASES[name]
    system = make(N)
    n_steps = 300
    engine = engine_of(system, batch=batch)
    found = engine.advance(0, n_steps)
    # the first frame is not packed yet; all others go along without a Jacobian of their own
    assert len(taken) == (1 if together else n_steps)
    reference = engine_of(one_by_one(system), batch=batch)
    expected = reference.advance(0, n_steps)
    np.testing.assert_allclose(found / n_steps, expected / n_steps, rtol=0, atol=1e-12)
    np.testing.assert_allclose(engine.state(), reference.state(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("signal", [np.array([0.3, -0.2]), lambda t: np.array([np.sin(t), 0.1])])
def test_bound_inputs_go_along(signal, taken):
    system = CASES["tanh"][0](N).with_input(signal)
    found = engine_of(system).advance(0, 100)
    assert len(taken) == 1
    np.testing.assert_allclose(found, engine_of(one_by_one(system)).advance(0, 100), rtol=0, atol=1e-10)


@pytest.mark.parametrize("k", [1, 7, 33, 39])
def test_leading_exponents_are_those_of_the_full_spectrum(k):
    system = CASES["tanh"][0](N)
    full, leading = engine_of(system), engine_of(system, k=k)
    # frames are drawn for their k columns: give the leading one the first columns of the full one
    problem = replace(full._problem, frame=full._problem.frame[:, :k])
    leading = ArrayEngine(problem, slice(None))
    np.testing.assert_allclose(leading.advance(0, 200), full.advance(0, 200)[:, :k], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["tanh", "GRU"])
def test_single_precision_stays_so_and_sums_to_the_volume(name):
    make, _ = CASES[name]
    system, n_steps = make(N, np.float32), 60
    engine = engine_of(system, dtype=np.float32, n_steps=n_steps)
    x, inputs = engine._x, engine._inputs
    growth = engine.advance(0, n_steps)
    assert engine.state().dtype == np.float32
    volume = 0.0
    for step in range(n_steps):
        x, J = system.linearize(0.0, x, inputs[step], system.params)
        volume += np.linalg.slogdet(assemble(J).astype(float))[1]
    assert growth.sum() == pytest.approx(volume, rel=1e-4)


@pytest.mark.parametrize("name", ["tanh", "GRU", "LSTM", "LSTM, hidden state"])
def test_engines_resumed_at_the_end_of_a_block_go_on_to_the_last_bit(name):
    system = CASES[name][0](N)
    engine = engine_of(system)
    for first in (0, 100):
        engine.advance(first, 100)
    saved = {key: np.copy(value) for key, value in engine.saved().items()}
    expected = engine.advance(200, 100)
    other = engine_of(system)
    other.resume(saved)
    np.testing.assert_array_equal(other.advance(200, 100), expected)
    np.testing.assert_array_equal(other.state(), engine.state())


def test_a_divergence_is_found_at_its_step_and_unit():
    W = np.eye(N)
    W[3, 3] = 1e20
    x0 = np.full(N, 0.5)
    system = networks.relu_rnn(W)
    with pytest.raises(DivergenceError) as caught:
        dynet.lyapunov_spectrum(system, x0, 100, check=False)
    # 0.5e20 (15 steps) is 0.5e300; the next is beyond the largest number
    assert caught.value.step == 15
    assert caught.value.unit == "h[0][3]"


def test_units_that_die_are_below_resolution():
    W = 0.9 * np.eye(N)
    b = np.zeros(N)
    b[5] = -10.0
    system = networks.relu_rnn(W, b=b)
    ds, reference = (dynet.lyapunov_spectrum(system, np.ones(N), 100, frame=frame) for frame in ("lu", "qr"))
    assert int(ds.below_resolution.sum()) == 1
    np.testing.assert_allclose(ds.lyapunov_exponent, reference.lyapunov_exponent, rtol=0, atol=1e-9)


def test_the_trajectory_of_a_hidden_state_is_run_once(monkeypatch):
    system = CASES["LSTM, hidden state"][0](N)
    inputs = np.random.default_rng(2).standard_normal((100, CHANNELS))
    steps = []
    forward = LSTM.forward

    def watched(self, x, state, w):
        steps.append(state[0].size // N)
        return forward(self, x, state, w)

    monkeypatch.setattr(LSTM, "forward", watched)
    dynet.lyapunov_spectrum(system, None, 100, inputs=inputs, check=False)
    along = [count for count in steps if count > 1]
    # the first step and the call that finds the dtype stand alone; the ten blocks go along states that are known
    assert len(steps) - len(along) <= 102
    assert len(along) == 10
    assert sum(along) == 99


@pytest.mark.parametrize("name", CASES)
def test_jacobians_of_many_steps_are_those_of_each(name):
    system = CASES[name][0](6)
    if not hasattr(system.linearize, "jacobians"):
        pytest.skip("a Runge-Kutta step")
    random = np.random.default_rng(3)
    n = engine_of(system, n=6, n_steps=1)._x.shape[-1]
    channels = CHANNELS + (6 if "hidden" in name else 0)
    kept, expected = [], []
    for _ in range(4):
        x, u = random.standard_normal(n), random.standard_normal(channels)
        y, one = system.linearize.forward(0.0, x, u, system.params)
        np.testing.assert_array_equal(y, system.step(0.0, x, u, system.params))
        kept.append(one)
        expected.append(assemble(system.jac(0.0, x, u, system.params)))
    found = assemble(system.linearize.jacobians(kept, system.params))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
