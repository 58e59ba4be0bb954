"""Many sequences are lanes of one loop: each must do what it does alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

import dynet
from dynet.lyapunov.lane_engine import LANES_FROM, LaneEngine
from tests.compiled_systems import flat_jac, flat_step, henon_pair, henon_step, late_jac, late_step

spectrum = dynet.lyapunov_spectrum
zoo = dynet.zoo


@pytest.fixture(scope="module", autouse=True)
def engines():
    """Engines that ran in lanes, so that no test passes by running sequences one by one."""
    made = []
    original = LaneEngine.__init__

    def noted(self, problem):
        original(self, problem)
        made.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LaneEngine, "__init__", noted)
        patch.setattr("dynet.lyapunov.workers._WORTH_IT", 0)  # threads, however short the run
        yield made


@njit
def driven_step(t, x, u, p):
    return np.tanh(1.5 * x[0] - x[1] + u[0] + p[0]), np.tanh(x[0] + 0.5 * x[1] - u[1] * np.cos(t))


@njit
def driven_jac(t, x, u, p):
    a = np.tanh(1.5 * x[0] - x[1] + u[0] + p[0])
    b = np.tanh(x[0] + 0.5 * x[1] - u[1] * np.cos(t))
    return np.array([[1.5 * (1 - a * a), -(1 - a * a)], [1 - b * b, 0.5 * (1 - b * b)]])


@njit
def rotor_step(t, x, u, p):
    return x[0] + 0.3, 0.9 * x[1] + 0.1 * np.sin(x[0]), x[2] + 0.5 * np.sin(x[1]), 0.5 * x[3] * np.cos(x[2])


@njit
def rotor_jac(t, x, u, p):
    return (
        (1.0, 0.0, 0.0, 0.0),
        (0.1 * np.cos(x[0]), 0.9, 0.0, 0.0),
        (0.0, 0.5 * np.cos(x[1]), 1.0, 0.0),
        (0.0, 0.0, -0.5 * x[3] * np.sin(x[2]), 0.5 * np.cos(x[2])),
    )


SYSTEMS = {
    "map of one unit": (zoo.logistic(3.9), [0.4], 0.1),
    "map": (zoo.henon(), [0.1, 0.1], 0.05),
    "step and derivative in one": (dynet.Map(henon_step, linearize=henon_pair), [0.1, 0.1], 0.05),
    "by differences": (dynet.Map(henon_step, "finite_difference"), [0.1, 0.1], 0.05),
    "flow": (zoo.lorenz63().to_map(0.01), [1.0, 2.0, 20.0], 2.0),
    "flow by Euler": (zoo.rossler().to_map(0.01, "euler"), [1.0, 2.0, 1.0], 0.5),
    "map of four units": (dynet.Map(rotor_step, rotor_jac), [0.1, 0.2, 0.3, 0.4], 0.3),
    "map with a constant input": (
        dynet.Map(driven_step, driven_jac, params=(0.2,)).with_input([0.3, 0.1]),
        [0.1, 0.2],
        0.5,
    ),
}


def starts(name, seed, S):
    _, x0, width = SYSTEMS[name]
    return np.array(x0) + width * np.random.default_rng(seed).uniform(-1, 1, (S, len(x0)))


@pytest.mark.parametrize("name", SYSTEMS)
@settings(max_examples=6)
@given(
    seed=st.integers(0, 2**32 - 1),
    S=st.integers(LANES_FROM, 40),
    interval=st.sampled_from([1, 3]),
    n_transient=st.integers(0, 7),
    n_steps=st.integers(1, 60),
)
def test_every_lane_is_its_sequence_alone(engines, name, seed, S, interval, n_transient, n_steps):
    system, x0 = SYSTEMS[name][0], starts(name, seed, S)
    V = np.random.default_rng(seed).standard_normal((x0.shape[1], x0.shape[1]))
    options = {"n_transient": n_transient, "qr_interval": interval, "initial_frame": V, "check": False}
    before = len(engines)
    ds = spectrum(system, x0, n_steps, **options)
    assert len(engines) == before + 1
    for s in range(0, S, 3):
        alone = spectrum(system, x0[s], n_steps, **options)
        np.testing.assert_array_equal(ds.final_state[s], alone.final_state[0])
        np.testing.assert_allclose(ds.growth[s], alone.growth[0], rtol=0, atol=1e-12 * n_steps)


@pytest.mark.parametrize(("name", "k"), [("map", 1), ("flow", 2), ("map of four units", 1)])
def test_lanes_carry_the_leading_columns(name, k):
    system, x0 = SYSTEMS[name][0], starts(name, 0, 9)
    frame = np.linalg.qr(np.random.default_rng(1).standard_normal((x0.shape[1], x0.shape[1])))[0]
    full = spectrum(system, x0, 40, n_transient=5, initial_frame=frame, qr_interval=1)
    ds = spectrum(system, x0, 40, n_transient=5, initial_frame=frame[:, :k], qr_interval=1)
    assert ds.sizes["exponent"] == k
    np.testing.assert_allclose(ds.growth, full.growth[..., :k], rtol=0, atol=1e-11)


@pytest.mark.parametrize("shared", [True, False])
def test_lanes_read_each_its_own_input_or_all_the_same(shared):
    random = np.random.default_rng(1)
    system = dynet.Map(driven_step, driven_jac, params=(0.2,))
    x0, inputs = random.standard_normal((19, 2)), random.standard_normal((50, 2) if shared else (19, 50, 2))
    ds = spectrum(system, x0, 40, n_transient=10, inputs=inputs, qr_interval=2)
    for s in range(19):
        own = inputs if shared else inputs[s]
        alone = spectrum(system, x0[s], 40, n_transient=10, inputs=own, qr_interval=2)
        np.testing.assert_array_equal(ds.final_state[s], alone.final_state[0])
        np.testing.assert_allclose(ds.growth[s], alone.growth[0], rtol=0, atol=1e-12)


def test_lanes_of_unequal_length_are_separate_runs():
    random = np.random.default_rng(1)
    system = dynet.Map(driven_step, driven_jac, params=(0.2,))
    x0, inputs = random.standard_normal((20, 2)), random.standard_normal((20, 50, 2))
    lengths = [50] * 11 + [33] * 9
    ds = spectrum(system, x0, 40, n_transient=10, inputs=inputs, lengths=lengths)
    for s in range(20):
        alone = spectrum(system, x0[s], lengths[s] - 10, n_transient=10, inputs=inputs[s, : lengths[s]])
        np.testing.assert_allclose(ds.sequence_exponent[s], alone.lyapunov_exponent, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(ds.final_state[s], alone.final_state[0])


@pytest.mark.parametrize("bad", [0, 7, 17])
def test_the_lane_that_diverges_is_named_with_its_step_and_unit(bad):
    x0 = starts("map", 3, 18)
    x0[bad] = [3.0, 0.0]
    with pytest.raises(dynet.DivergenceError) as alone:
        spectrum(zoo.henon(), x0[bad], 200, qr_interval=1)
    with pytest.raises(dynet.DivergenceError, match=f"of sequence {bad}") as together:
        spectrum(zoo.henon(), x0, 200, qr_interval=1)
    assert (together.value.step, together.value.unit) == (alone.value.step, alone.value.unit)
    assert together.value.sequence == bad
    # with the automatic interval it is found in the end as well
    with pytest.raises(dynet.DivergenceError, match=f"of sequence {bad}"):
        spectrum(zoo.henon(), x0, 200)


def test_lanes_that_lose_a_direction_go_on_as_they_would_alone():
    system = dynet.Map(flat_step, flat_jac)
    x0 = np.column_stack([np.full(21, 0.4), np.ones(21)])
    x0[[2, 20], 0] = 0.7  # these stay where the map is flat
    for qr_interval in (1, "auto"):
        ds = spectrum(system, x0, 300, initial_frame=np.eye(2), qr_interval=qr_interval)
        lost = np.isneginf(ds.sequence_exponent.values)
        np.testing.assert_array_equal(np.flatnonzero(lost.any(axis=1)), [2, 20])
        for s in range(21):
            alone = spectrum(system, x0[s], 300, initial_frame=np.eye(2), qr_interval=1)
            np.testing.assert_allclose(ds.growth[s].sum("time"), alone.growth[0].sum("time"), rtol=0, atol=1e-9)


def test_a_lane_of_one_unit_that_loses_all_is_below_resolution_alone():
    x0 = np.linspace(0.1, 0.5, 11)[:, None]  # the slope is zero at 0.5
    ds = dynet.lyapunov_spectrum(dynet.zoo.logistic(), x0, 300, qr_interval=1)
    alone = dynet.lyapunov_spectrum(dynet.zoo.logistic(), x0[3], 300, qr_interval=1)
    assert np.isneginf(ds.sequence_exponent[10, 0])
    assert np.isfinite(ds.sequence_exponent[:10]).all()
    np.testing.assert_allclose(ds.growth[3], alone.growth[0], rtol=0, atol=1e-10)


def test_an_interval_chosen_on_a_slow_start_is_given_up_by_all_lanes():
    ds = spectrum(dynet.Map(late_step, late_jac, params=1e-3), np.ones((9, 2)), 1_000, initial_frame=np.eye(2))
    exact = [np.log(0.5), (200 * np.log(0.99) + 800 * np.log(1e-3)) / 1_000]
    np.testing.assert_allclose(ds.sequence_exponent, np.broadcast_to(exact, (9, 2)), rtol=1e-9)
    assert 1 < ds.attrs["qr_interval"] < 20


def test_more_sequences_or_other_numbers_compile_nothing():
    from dynet.kernels.lanes import LANE_BLOCKS

    def compiled():
        return sum(len(loop.signatures) for loop in LANE_BLOCKS.values())

    flow = zoo.lorenz63()
    spectrum(flow.to_map(0.01), starts("flow", 0, 9), 10)
    before = compiled()
    spectrum(flow.with_params(rho=40).to_map(0.02), starts("flow", 1, 50), 30, n_transient=3, qr_interval=4)
    assert compiled() == before > 0
    # inputs of any layout: strided, shared, in threads
    system = dynet.Map(driven_step, driven_jac, params=(0.2,))
    inputs = np.random.default_rng(0).standard_normal((20, 30, 4))
    spectrum(system, np.zeros((20, 2)), 30, inputs=inputs[..., :2])
    before = compiled()
    spectrum(system, np.zeros((20, 2)), 30, inputs=inputs[0, :, :2])
    spectrum(system, np.zeros((20, 2)), 30, inputs=inputs[..., ::2])
    spectrum(system, np.zeros((20, 2)), 30, inputs=np.asfortranarray(inputs[..., 2:]))
    assert compiled() == before
