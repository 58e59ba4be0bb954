"""Finite perturbations of systems known on paper."""

import numpy as np
import pytest

import dynet


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
