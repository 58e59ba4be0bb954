"""Periodic orbits of maps known on paper."""

import numpy as np
import pytest

import dynet
from dynet import ConvergenceError, DivergenceError, InputError


@pytest.mark.parametrize("r", [3.2, 3.4])
def test_period_two_of_the_logistic_map(r):
    system = dynet.zoo.logistic(r)
    orbit = dynet.find_periodic_orbit(system, [0.3], 2)
    root = np.sqrt((r - 3) * (r + 1))
    np.testing.assert_allclose(
        np.sort(orbit.orbit.values[:, 0]), (r + 1 + np.array([-root, root])) / (2 * r), rtol=1e-12
    )
    ds = dynet.floquet_multipliers(system, orbit)
    assert complex(ds.multiplier[0]) == pytest.approx(4 + 2 * r - r**2, abs=1e-11)
    assert ds.stability.item() == "stable"
    assert np.isnan(ds.trivial_error)


def test_unstable_orbits_of_henon():
    system = dynet.zoo.henon()
    for p in (1, 2, 4):
        orbit = dynet.find_periodic_orbit(system, [0.6, 0.2], p)
        ds = dynet.floquet_multipliers(system, orbit)
        assert float(orbit.residual) < 1e-14
        assert float(ds.log_modulus.sum()) == pytest.approx(p * np.log(0.3), abs=1e-12)
        assert ds.stability.item() == "unstable"
    x = (-0.7 + np.sqrt(0.49 + 5.6)) / 2.8
    assert dynet.find_periodic_orbit(system, [0.6, 0.2], 1).orbit.values[0, 0] == pytest.approx(x, abs=1e-14)


def test_period_eight_of_the_tanh_map():
    system = dynet.networks.rotation_rnn(1.5, np.pi / 4)
    orbit = dynet.find_periodic_orbit(system, [0.6, 0.2], 8)
    # the map commutes with a quarter turn
    np.testing.assert_allclose(
        np.roll(orbit.orbit.values, -2, axis=0) @ [1, 1j], 1j * (orbit.orbit.values @ [1, 1j]), atol=1e-12
    )
    assert dynet.floquet_multipliers(system, orbit).stability.item() == "stable"


def test_singular_jacobians_give_minus_infinity():
    system = dynet.networks.relu_rnn(np.array([[0.5, -1.0], [0.0, 0.2]]), None, np.array([-1.0, 1.0]))
    ds = dynet.floquet_multipliers(system, dynet.find_periodic_orbit(system, [0.6, 0.2], 1))
    assert ds.log_modulus.values.tolist() == [pytest.approx(np.log(0.2)), -np.inf]
    assert ds.multiplier.values[1] == 0
    assert float(ds.liouville_error) == 0
    assert not np.isnan(ds.mode.values).any()


def test_a_rotation_is_undecided():
    c, s = np.cos(2 * np.pi / 5), np.sin(2 * np.pi / 5)
    system = dynet.zoo.linear_map(np.array([[c, -s], [s, c]]))
    orbit = dynet.find_periodic_orbit(system, [1.0, 0.0], 5)
    assert dynet.floquet_multipliers(system, orbit).stability.item() == "undecided"


def test_a_shorter_orbit_is_not_taken_for_the_one_asked_for():
    with pytest.raises(ConvergenceError, match="leads to a fixed point") as caught:
        dynet.find_periodic_orbit(dynet.zoo.logistic(2.5), [0.3], 3)
    assert caught.value.result.orbit.values[0, 0] == pytest.approx(0.6)


def test_faults():
    with pytest.raises(DivergenceError) as caught:
        dynet.find_periodic_orbit(dynet.zoo.henon(), [50.0, 50.0], 40)
    assert np.isfinite(caught.value.result.orbit).all()
    assert np.isnan(caught.value.result.residual)
    with pytest.raises(InputError, match="map is a Flow"):
        dynet.find_periodic_orbit(dynet.zoo.lorenz63(), [1.0, 1.0, 1.0], 2)
    with pytest.raises(InputError, match="period=0"):
        dynet.find_periodic_orbit(dynet.zoo.henon(), [0.1, 0.1], 0)
