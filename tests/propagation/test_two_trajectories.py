"""Exponents without Jacobians against those with them; finite perturbations of systems known on paper."""

import numpy as np
import pytest

import dynet

SYSTEMS = {
    "logistic": (dynet.zoo.logistic(4.0), [0.3], 10_000),
    "henon": (dynet.zoo.henon(), [0.1, 0.1], 20_000),
    "lorenz": (dynet.zoo.lorenz63().to_map(0.01), [1.0, 1.0, 20.0], 10_000),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_two_trajectories_give_the_largest_exponent(name):
    system, x0, n_steps = SYSTEMS[name]
    with_jacobian = dynet.lyapunov_spectrum(system, x0, n_steps, n_transient=500)
    without = dynet.two_trajectory_exponent(system, x0, n_steps, n_transient=500)
    error = np.hypot(without.standard_error, with_jacobian.standard_error[0])
    assert abs(float(without.lyapunov_exponent - with_jacobian.lyapunov_exponent[0])) < 3 * error
    assert float(error) < 0.1 * float(with_jacobian.lyapunov_exponent[0])
    if name == "logistic":
        np.testing.assert_allclose(without.lyapunov_exponent, np.log(2), atol=0.01)


def test_along_the_same_trajectory_both_see_the_same_growth():
    # short enough that rounding has not yet made them two: e-folds of 0.9 over 12 units of time
    system, x0, _ = SYSTEMS["lorenz"]
    with_jacobian = dynet.lyapunov_spectrum(system, x0, 900, n_transient=300, n_exponents=1)
    without = dynet.two_trajectory_exponent(system, x0, 900, n_transient=300, separation=1e-6)
    np.testing.assert_allclose(without.lyapunov_exponent, with_jacobian.lyapunov_exponent[0], atol=1e-5)


def test_batches_inputs_and_intervals():
    net = dynet.networks.random_tanh(30, 1.8, W_xh=np.eye(30), rng=0)
    random = np.random.default_rng(1)
    x0, inputs = random.standard_normal((3, 30)), random.standard_normal((3, 500, 30))
    exact = dynet.lyapunov_spectrum(net, x0, 400, inputs=inputs, n_transient=100, n_exponents=1)
    for interval in (1, 7):
        ds = dynet.two_trajectory_exponent(net, x0, 400, inputs=inputs, n_transient=100, interval=interval)
        np.testing.assert_allclose(ds.sequence_exponent, exact.sequence_exponent[:, 0], atol=1e-5)
        assert ds.time[-1] == 500
        np.testing.assert_allclose(ds.growth.sum("time") / 400, ds.sequence_exponent, rtol=1e-12)


def test_trajectories_that_meet_have_an_infinitely_negative_exponent():
    ds = dynet.two_trajectory_exponent(dynet.zoo.linear_map(np.zeros((2, 2))), [1.0, 1.0], 30)
    assert ds.lyapunov_exponent == -np.inf
    assert ds.standard_error == 0


def test_linear_contraction_is_exact():
    ds = dynet.two_trajectory_exponent(dynet.zoo.linear_map(0.5 * np.eye(2)), [1.0, 1.0], 200, n_transient=60)
    np.testing.assert_allclose(ds.lyapunov_exponent, np.log(0.5), atol=1e-9)


def test_small_perturbations_are_kept_as_linear_ones():
    net = dynet.networks.random_tanh(20, 1.5, W_xh=np.eye(20), rng=0)
    random = np.random.default_rng(1)
    inputs = random.standard_normal((60, 20))
    ds = dynet.perturbation_retention(
        net, np.ones(20), 40, sizes=[1e-7, 100.0], inputs=inputs, n_transient=20, n_directions=8
    )
    small, large = ds.log_retention
    np.testing.assert_allclose(small, ds.linear_log_retention, atol=1e-4)
    np.testing.assert_allclose(ds.standard_error[0], ds.linear_standard_error, atol=1e-4)
    # tanh lies between -1 and 1: no two states are further apart after a step
    assert large[1] < np.log(2 * np.sqrt(20) * np.linalg.norm(net.params[0].W_hh, 2) / 100) < small[1]
    np.testing.assert_array_equal(ds.log_retention[:, 0], 0.0)
    assert ds.time[-1] == 40


def test_perturbations_of_a_linear_map_are_its_powers():
    A = np.diag([0.9, 0.9])
    ds = dynet.perturbation_retention(dynet.zoo.linear_map(A), [0.3, 0.1], 30, sizes=[1e-3, 5.0])
    for line in (*ds.log_retention, ds.linear_log_retention):
        np.testing.assert_allclose(line, np.arange(31) * np.log(0.9), atol=1e-10)


def test_forgotten_perturbations_are_minus_infinity():
    ds = dynet.perturbation_retention(dynet.zoo.linear_map(np.zeros((2, 2))), [1.0, 1.0], 3)
    assert np.isneginf(ds.log_retention[:, 1:]).all()
    assert np.isneginf(ds.linear_log_retention[1:]).all()
    assert not np.isnan(ds.standard_error).any()


def test_a_saturated_unit_is_known_on_paper():
    # x' = tanh(x) from 0, perturbed by s: after one step tanh(s) / s is left
    ds = dynet.perturbation_retention(dynet.networks.tanh_rnn([[1.0]]), [0.0], 1, sizes=[0.5, 3.0])
    np.testing.assert_allclose(ds.log_retention[:, 1], np.log(np.tanh([0.5, 3.0]) / [0.5, 3.0]), rtol=1e-12)
    np.testing.assert_allclose(ds.linear_log_retention[1], 0.0, atol=1e-15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separation": 0.0, "interval": 0}, "separation=0.0.*\n.*interval=0"),
        ({"separation": 1e-15}, "rounding"),
        ({"inputs": np.zeros((3, 1))}, "inputs"),
    ],
)
def test_bad_input_of_two_trajectories(options, message):
    with pytest.raises(dynet.InputError, match=message):
        dynet.two_trajectory_exponent(dynet.zoo.henon(), [0.1, 0.1], 20, **options)


@pytest.mark.parametrize(
    ("x0", "options", "message"),
    [
        ([0.1, 0.1], {"sizes": [0.0], "n_directions": 1}, "sizes=.*\n.*n_directions=1"),
        ([0.1, 0.1], {"sizes": 1.0}, "sizes=1.0"),
        ([[0.1, 0.1], [0.2, 0.1]], {}, "2 sequences"),
    ],
)
def test_bad_input_of_retention(x0, options, message):
    with pytest.raises(dynet.InputError, match=message):
        dynet.perturbation_retention(dynet.zoo.henon(), x0, 20, **options)


def test_divergence_is_told():
    with pytest.raises(dynet.DivergenceError):
        dynet.two_trajectory_exponent(dynet.zoo.henon(), [3.0, 3.0], 50)
    with pytest.raises(dynet.DivergenceError, match="larger one"):
        dynet.two_trajectory_exponent(dynet.zoo.linear_map([[1.5]]), [1.0], 200)


def test_results_come_back_from_files(tmp_path):
    henon = dynet.zoo.henon()
    for ds in (
        dynet.two_trajectory_exponent(henon, [0.1, 0.1], 50),
        dynet.perturbation_retention(henon, [0.1, 0.1], 5, sizes=[1e-3]),
    ):
        assert dynet.load(dynet.save(ds, tmp_path / "a.nc")).identical(ds)
