"""Exponents without Jacobians against those with them."""

import numpy as np
import pytest

import dynet

SYSTEMS = {
    "logistic": (dynet.zoo.logistic(4.0), [0.3], 10_000),
    "henon": (dynet.zoo.henon(), [0.1, 0.1], 10_000),
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
