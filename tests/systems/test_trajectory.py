"""Trajectories: every state is the step of the one before, with the input of its row."""

from itertools import pairwise

import numpy as np
import pytest

import dynet


def python_driven(t, x, u, p):
    return 0.5 * x + np.array([u[0], -u[0]]) + 0.01 * t


def test_every_state_is_the_step_of_the_one_before():
    system = dynet.zoo.henon()
    states = dynet.simulate(system, [0.1, 0.2], 50).state.values
    assert states.shape == (51, 2)
    np.testing.assert_array_equal(states[0], [0.1, 0.2])
    for before, after in pairwise(states):
        np.testing.assert_allclose(after, [1 - 1.4 * before[0] ** 2 + before[1], 0.3 * before[0]], rtol=0, atol=1e-14)


def test_compiled_and_python_trajectories_are_the_same():
    compiled = dynet.zoo.henon()
    python = dynet.Map(compiled.step.py_func, params=compiled.params)
    a, b = (dynet.simulate(system, [0.1, 0.2], 12).state.values for system in (compiled, python))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def test_time_and_inputs_are_those_of_the_step():
    rows = np.array([[1.0], [2.0], [-1.0]])
    ds = dynet.simulate(dynet.Map(python_driven, dt=0.5), [0.0, 1.0], 3, inputs=rows)
    x = np.array([0.0, 1.0])
    for k in range(3):
        x = 0.5 * x + np.array([rows[k, 0], -rows[k, 0]]) + 0.01 * 0.5 * k
        np.testing.assert_allclose(ds.state[k + 1], x, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(ds.time, [0.0, 0.5, 1.0, 1.5])
    np.testing.assert_array_equal(ds.input[:3], rows)
    assert np.isnan(ds.input[3]).all()


def test_a_batch_is_its_sequences_one_by_one():
    random = np.random.default_rng(1)
    net = dynet.networks.tanh_rnn(random.standard_normal((3, 3)), random.standard_normal((3, 2)))
    x0, rows = random.standard_normal((4, 3)), random.standard_normal((4, 6, 2))
    together = dynet.simulate(net, x0, 6, inputs=rows)
    assert together.state.dims == ("sequence", "time", "unit")
    for s in range(4):
        alone = dynet.simulate(net, x0[s], 6, inputs=rows[s])
        np.testing.assert_allclose(together.state[s], alone.state, rtol=0, atol=1e-15)
    shared = dynet.simulate(net, x0[0], 6, inputs=rows)
    np.testing.assert_allclose(shared.state[2], dynet.simulate(net, x0[0], 6, inputs=rows[2]).state, atol=1e-15)


def test_sequences_of_a_compiled_map_are_its_single_runs():
    x0 = np.array([[0.1, 0.2], [0.0, 0.0], [-0.3, 0.1]])
    together = dynet.simulate(dynet.zoo.henon(), x0, 10).state.values
    for s in range(3):
        np.testing.assert_array_equal(together[s], dynet.simulate(dynet.zoo.henon(), x0[s], 10).state.values)


def test_a_flow_covers_its_duration():
    flow = dynet.zoo.stuart_landau(0.3, 1.5, 0.4)
    period = 2 * np.pi / (1.5 - 0.4 * 0.3)
    ds = dynet.simulate(flow, [np.sqrt(0.3), 0.0], duration=period, dt=period / 500)
    np.testing.assert_allclose(ds.state[-1], [np.sqrt(0.3), 0.0], rtol=0, atol=1e-8)
    np.testing.assert_allclose(ds.time[-1], period)
    by_steps = dynet.simulate(flow, [np.sqrt(0.3), 0.0], 500, dt=period / 500)
    np.testing.assert_array_equal(by_steps.state, ds.state)


def test_simulated_and_exponent_runs_end_in_the_same_state():
    for system, x0 in (
        (dynet.zoo.henon(), [0.1, 0.1]),
        (dynet.zoo.stuart_landau().to_map(0.05), [0.5, 0.1]),
        (dynet.networks.random_tanh(5, 1.5), 0.1 * np.arange(5)),
    ):
        simulated = dynet.simulate(system, x0, 40).state.values[-1]
        spectrum = dynet.lyapunov_spectrum(system, x0, 30, n_transient=10)
        np.testing.assert_allclose(spectrum.final_state[0], simulated, rtol=0, atol=1e-12)


def test_recorded_jacobians_carry_a_vector_along():
    random = np.random.default_rng(0)
    J = random.standard_normal((3, 5, 2, 2))
    single = dynet.simulate(dynet.Map.from_jacobians(J[0]), [1.0, 2.0], 5).state.values
    np.testing.assert_allclose(single[-1], np.linalg.multi_dot([*J[0][::-1], [1.0, 2.0]]), rtol=1e-12)
    batch = dynet.simulate(dynet.Map.from_jacobians(J), np.tile([1.0, 2.0], (3, 1)), 5).state.values
    for s in range(3):
        np.testing.assert_allclose(batch[s, -1], np.linalg.multi_dot([*J[s][::-1], [1.0, 2.0]]), rtol=1e-12)


def test_one_start_serves_all_recorded_sequences():
    J = np.random.default_rng(0).standard_normal((3, 5, 2, 2))
    states = dynet.simulate(dynet.Map.from_jacobians(J), [1.0, 2.0], 5).state
    assert states.dims == ("sequence", "time", "unit")
    for s in range(3):
        np.testing.assert_allclose(states[s, -1], np.linalg.multi_dot([*J[s][::-1], [1.0, 2.0]]), rtol=1e-12)


def test_more_steps_than_recorded_are_refused():
    with pytest.raises(dynet.InputError, match=r"5 steps.*n_steps = 6"):
        dynet.simulate(dynet.Map.from_jacobians(np.ones((5, 2, 2))), [1.0, 2.0], 6)
    with pytest.raises(dynet.InputError, match=r"3 steps.*n_steps = 4"):
        dynet.simulate(dynet.networks.feedforward([np.eye(2)] * 3), [1.0, 2.0], 4)


@pytest.mark.parametrize("jitted", [True, False])
def test_an_escape_is_reported_with_step_unit_and_sequence(jitted):
    henon = dynet.zoo.henon()
    system = henon if jitted else dynet.Map(henon.step.py_func, params=henon.params, units=("x", "y"))
    x = np.array([5.0, 0.0])
    step = -1
    with np.errstate(over="ignore", invalid="ignore"):
        while np.isfinite(x).all():
            x = np.array([1 - 1.4 * x[0] * x[0] + x[1], 0.3 * x[0]])
            step += 1
    with pytest.raises(dynet.DivergenceError, match=f"step {step}, first in unit x") as caught:
        dynet.simulate(system, [[0.1, 0.1], [5.0, 0.0]], 100)
    assert (caught.value.step, caught.value.unit, caught.value.sequence) == (step, "x", 1)


def test_python_habits_are_understood():
    lists = dynet.Map(lambda t, x, u, p: [x[1], p["a"] * x[0]], params={"a": 2})
    np.testing.assert_array_equal(dynet.simulate(lists, [1, 3], 2).state, [[1, 3], [3, 2], [2, 6]])
    tuples = dynet.Map(lambda t, x, u, p: (x[1], x[0]))
    np.testing.assert_array_equal(dynet.simulate(tuples, (1, 3), 1).state, [[1, 3], [3, 1]])


HENON = dynet.zoo.henon()
NET = dynet.networks.tanh_rnn(np.eye(2), np.ones((2, 3)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dynet.simulate(HENON, [0.1, 0.1]), ["n_steps=None"]),
        (lambda: dynet.simulate(HENON, [0.1, 0.1], 0), ["n_steps=0"]),
        (lambda: dynet.simulate(HENON, [0.1, 0.1], 2.5), ["n_steps=2.5"]),
        (lambda: dynet.simulate(HENON, [0.1, np.nan], 5), ["x0", "finite"]),
        (lambda: dynet.simulate(HENON, "here", 5), ["x0", "numbers"]),
        (lambda: dynet.simulate(HENON, 0.1, 5), ["x0=0.1", "(n,)"]),
        (lambda: dynet.simulate(HENON, [0.1, 0.1], 5, dt=0.1), ["dt", "flows"]),
        (lambda: dynet.simulate(dynet.zoo.lorenz63(), [1, 1, 1], 5), ["dt=None"]),
        (lambda: dynet.simulate(dynet.zoo.lorenz63(), [1, 1, 1], dt=0.1), ["duration=None"]),
        (lambda: dynet.simulate(dynet.zoo.lorenz63(), [1, 1, 1], 5, dt=0.1, duration=1.0), ["n_steps", "duration"]),
        (lambda: dynet.simulate(np.sin, [1.0], 5), ["system"]),
        (lambda: dynet.simulate(NET, [1, 1, 1], 5), ["x0", "2 units"]),
        (lambda: dynet.simulate(NET, [1, 1], 5, inputs=np.ones((4, 3))), ["inputs", "5 rows"]),
        (lambda: dynet.simulate(NET, [1, 1], 5, inputs=np.ones((5, 2))), ["inputs", "2 channels", "3"]),
        (lambda: dynet.simulate(dynet.networks.tanh_rnn(np.eye(2)), [1, 1], 5, inputs=np.ones((5, 2))), ["inputs"]),
        (lambda: dynet.simulate(NET, np.ones((2, 2)), 5, inputs=np.ones((3, 5, 3))), ["2 sequences", "3"]),
        (lambda: dynet.simulate(NET, [1, 1], 5, inputs=np.full((5, 3), np.nan)), ["inputs", "finite"]),
    ],
)
def test_arguments_that_do_not_fit_are_named(call, words):
    with pytest.raises(dynet.InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
