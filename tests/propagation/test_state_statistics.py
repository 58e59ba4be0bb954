"""Dimension and memory of states whose covariance is known on paper."""

import numpy as np
import pytest

import dynet
from dynet._labels import trajectory_dataset


def states(values, dt=1.0):
    values = np.asarray(values, float)
    batched = values.ndim == 3
    values = values if batched else values[None]
    units = {"unit": [str(i) for i in range(values.shape[-1])]}
    return trajectory_dataset(dt * np.arange(values.shape[1]), values, None, units, "step", batched, {})


def autoregressive(a, n_steps, n, seed=0):
    random = np.random.default_rng(seed)
    x = np.zeros((n_steps, n))
    for t in range(1, n_steps):
        x[t] = a * x[t - 1] + random.standard_normal(n)
    return x[200:]


def test_the_participation_ratio_of_independent_components():
    variances = np.array([4.0, 2.0, 1.0, 0.0])
    x = np.random.default_rng(0).standard_normal((20_000, 4)) * np.sqrt(variances)
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    for cloud in (x, x @ Q, x @ Q + 1e6):
        ds = dynet.participation_ratio(states(cloud))
        exact = variances.sum() ** 2 / (variances**2).sum()
        assert abs(float(ds.participation_ratio) - exact) < 4 * ds.standard_error
        assert ds.standard_error < 0.02
        np.testing.assert_allclose(ds.variance_fraction, variances / variances.sum(), atol=0.01)


def test_the_error_of_the_participation_ratio_is_its_scatter():
    found = [dynet.participation_ratio(states(np.random.default_rng(k).standard_normal((400, 6)))) for k in range(60)]
    scatter = np.std([float(ds.participation_ratio) for ds in found])
    np.testing.assert_allclose(np.mean([float(ds.standard_error) for ds in found]), scatter, rtol=0.35)


def test_states_that_rest_fill_no_dimension():
    ds = dynet.participation_ratio(states(np.full((50, 3), 0.1)))
    assert ds.participation_ratio == 0
    assert ds.standard_error == 0
    assert not np.isnan(ds.variance_fraction).any()


def test_a_line_is_one_dimension_and_the_cloud_of_an_attractor_more_than_its_own():
    line = np.linspace(0, 1, 100)[:, None] * np.array([1.0, 2.0, -1.0])
    np.testing.assert_allclose(dynet.participation_ratio(states(line)).participation_ratio, 1.0, rtol=1e-12)


@pytest.mark.parametrize("a", [0.5, 0.9])
def test_the_autocorrelation_time_of_a_linear_system_is_its_memory_time(a):
    ds = dynet.autocorrelation_time(states(autoregressive(a, 20_000, 3), dt=0.5))
    exact = -0.5 / np.log(a)
    assert abs(float(ds.autocorrelation_time) - exact) < 4 * ds.standard_error
    assert ds.standard_error < 0.1 * exact
    np.testing.assert_allclose(ds.autocorrelation[:5], a ** np.arange(5), atol=0.05)
    memory = dynet.memory_time(dynet.lyapunov_spectrum(dynet.zoo.linear_map([[a]]), [0.0], 50)).memory_time
    np.testing.assert_allclose(memory * 0.5, exact)


def test_white_states_forget_within_a_step_and_slow_ones_not_at_all():
    white = dynet.autocorrelation_time(states(np.random.default_rng(0).standard_normal((5000, 4))))
    assert 0.6 < white.autocorrelation_time < 0.7  # from 1 to 0 in one step: 1 - 1/e
    slow = dynet.autocorrelation_time(states(np.linspace(0, 1, 200)[:, None]))
    assert slow.autocorrelation_time == np.inf
    resting = dynet.autocorrelation_time(states(np.ones((100, 2))))
    assert resting.autocorrelation_time == np.inf


def test_sequences_are_pooled():
    whole = autoregressive(0.8, 12_200, 2).reshape(12, 1000, 2)
    ds = dynet.autocorrelation_time(states(whole))
    assert ds.attrs["n_pieces"] == 12
    assert abs(float(ds.autocorrelation_time) + 1 / np.log(0.8)) < 4 * ds.standard_error
    assert dynet.participation_ratio(states(whole)).participation_ratio > 1.9


@pytest.mark.parametrize("function", [dynet.participation_ratio, dynet.autocorrelation_time])
@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (3, "trajectory='?int"),
        (dynet.theory.ginibre_exponents(3), "dynet.simulate"),
        (states(np.zeros((20, 2))), "at least 40"),
        (states(np.full((100, 2), np.nan)), "not finite"),
    ],
)
def test_bad_input(function, thing, message):
    with pytest.raises(dynet.InputError, match=message):
        function(thing)


def test_results_come_back_from_files(tmp_path):
    trajectory = dynet.simulate(dynet.zoo.henon(), [0.1, 0.1], 100)
    for function in (dynet.participation_ratio, dynet.autocorrelation_time):
        ds = function(trajectory)
        assert dynet.load(dynet.save(ds, tmp_path / "a.nc")).identical(ds)
