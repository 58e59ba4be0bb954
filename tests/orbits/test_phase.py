"""Phase: exact for the Stuart-Landau oscillator, against finite kicks elsewhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dynet

GROWTH, OMEGA, SHEAR = 0.3, 1.5, 0.4
SPEED = OMEGA - SHEAR * GROWTH


@pytest.fixture(scope="module")
def oscillator():
    flow = dynet.zoo.stuart_landau(GROWTH, OMEGA, SHEAR)
    return flow, dynet.find_limit_cycle(flow, [0.5, 0.0])


def exact_phase(states):
    """Return the phase in radians: the angle, less the shear on the way to the cycle."""
    radius = np.hypot(states[..., 0], states[..., 1])
    return np.arctan2(states[..., 1], states[..., 0]) - SHEAR * np.log(radius / np.sqrt(GROWTH))


def turns(radians):
    return (radians / (2 * np.pi) + 0.5) % 1.0 - 0.5


def test_the_response_of_stuart_landau_is_exact(oscillator):
    ds = dynet.phase_response(*oscillator)
    x, y = oscillator[1].orbit.values.T
    exact = np.stack([-y - SHEAR * x, x - SHEAR * y], axis=1) / GROWTH / SPEED
    np.testing.assert_allclose(ds.phase_response, exact, rtol=0, atol=1e-9)
    assert float(ds.normalisation_error) < 1e-10
    assert ds.phase_response.dims == ("phase", "unit")


def test_the_amplitude_of_stuart_landau_is_its_radius(oscillator):
    # of r' = (l - r^2) r the amplitude is proportional to 1 - l / r^2: it sees the radius alone
    flow, cycle = oscillator
    ds = dynet.amplitude_response(flow, cycle)
    x, y = cycle.orbit.values.T
    radial = np.stack([x, y], axis=1) / np.sqrt(GROWTH)
    cosines = (ds.amplitude_response.values * radial).sum(axis=1)
    np.testing.assert_allclose(np.linalg.norm(ds.amplitude_response, axis=1), np.abs(cosines), rtol=1e-9)
    np.testing.assert_allclose(np.abs(cosines), np.sqrt(1 + SHEAR**2), rtol=1e-9)  # of a mode of length one
    assert float(ds.growth_rate) == pytest.approx(-2 * GROWTH, abs=1e-9)
    assert float(ds.normalisation_error) < 1e-9


def test_a_kick_changes_the_amplitude_by_its_response_and_decays_with_the_rate(oscillator):
    flow, cycle = oscillator
    I = dynet.amplitude_response(flow, cycle)
    mode = dynet.floquet_modes(flow, cycle).mode.sel(index=2).values.real
    kick = 1e-6 * np.array([0.3, -0.8])
    T = float(cycle.period)
    run = dynet.simulate(flow, cycle.orbit.values[30] + kick, duration=T, dt=T / 4800)
    away = run.state.values[2400] - cycle.orbit.values[150]
    left = I.amplitude_response.values[30] @ kick * np.exp(float(I.growth_rate) * T / 2)
    Z = dynet.phase_response(flow, cycle).phase_response.values[150]
    velocity = flow.rhs(0.0, cycle.orbit.values[150], None, flow.params)
    across = away - (Z @ away) * np.array(velocity)
    np.testing.assert_allclose(across, left * mode[150], atol=1e-11)


def test_what_has_no_amplitude_says_so(oscillator):
    flow, cycle = oscillator
    with pytest.raises(dynet.InputError, match="phase_response"):
        dynet.amplitude_response(flow, cycle, index=1)
    with pytest.raises(dynet.InputError, match="index=3"):
        dynet.amplitude_response(flow, cycle, index=3)
    pair = dynet.networks.rotation_rnn([1.5, 1.5], [0.5, 0.5], form="flow")
    family = dynet.find_limit_cycle(pair, [0.3, 0.1, -0.2, 0.5])
    with pytest.raises(dynet.ConvergenceError, match="not simple"):
        dynet.amplitude_response(pair, family)


@given(radius=st.floats(0.05, 3.0), angle=st.floats(-np.pi, np.pi))
@settings(max_examples=8, deadline=None)
def test_isochrons_of_stuart_landau_are_exact(oscillator, radius, angle):
    flow, cycle = oscillator
    state = radius * np.array([np.cos(angle), np.sin(angle)])
    ds = dynet.asymptotic_phase(flow, cycle, state)
    exact = exact_phase(state) - exact_phase(cycle.orbit.values[0])
    assert abs(turns(2 * np.pi * float(ds.asymptotic_phase.item()) - exact)) < 1e-8
    assert float(ds.uncertainty.item()) < 1e-8


def test_states_of_the_cycle_have_its_own_phases(oscillator):
    flow, cycle = oscillator
    chosen = cycle.isel(phase=[0, 17, 120, 239])
    ds = dynet.asymptotic_phase(flow, cycle, chosen.orbit.values)
    np.testing.assert_allclose(turns(2 * np.pi * (ds.asymptotic_phase - chosen.phase.values)), 0, atol=1e-9)


def test_a_large_kick_leaves_the_shift_of_its_isochron(oscillator):
    flow, cycle = oscillator
    kick = np.array([0.4, -0.2])  # most of the radius
    ds = dynet.phase_shift(flow, cycle, kick, n_phases=12)
    x = cycle.orbit.values[::20]
    np.testing.assert_allclose(ds.phase_shift, turns(exact_phase(x + kick) - exact_phase(x)), rtol=0, atol=1e-8)
    # it is far from linear
    assert np.abs(ds.phase_shift - ds.linear_response).max() > 0.05


@pytest.mark.parametrize(("mu", "tolerance"), [(1.0, 1e-7), (5.0, 1e-6)])
def test_small_kicks_agree_with_the_response(mu, tolerance):
    flow = dynet.zoo.van_der_pol(mu)
    cycle = dynet.find_limit_cycle(flow, [2.0, 0.0])
    size = 1e-4
    for kick in np.eye(2) * size:
        ahead = dynet.phase_shift(flow, cycle, kick, n_phases=3)
        back = dynet.phase_shift(flow, cycle, -kick, n_phases=3)
        central = (ahead.phase_shift - back.phase_shift) / (2 * size)
        linear = ahead.linear_response / size
        np.testing.assert_allclose(central, linear, rtol=0, atol=tolerance * float(np.abs(linear).max()) + 1e-8)


def test_a_network_responds_as_its_half_speed_twin():
    # U_z = U_r = 0: the GRU flow is the tanh network at half speed, so responses in time are twice as long
    theta, alpha = 0.5, 1.5
    tanh = dynet.networks.rotation_rnn(alpha, theta, form="flow")
    slow = dynet.Flow(
        lambda t, x, u, p: 0.5 * tanh.rhs(t, x, u, p),
        lambda t, x, u, p: 0.5 * np.asarray(tanh.jac(t, x, u, p) @ np.eye(2)),
        params=tanh.params,
    )
    cycle = dynet.find_limit_cycle(tanh, [0.5, 0.1])
    Z = dynet.phase_response(tanh, cycle).phase_response
    twice = cycle.assign(period=2 * cycle.period)
    np.testing.assert_allclose(dynet.phase_response(slow, twice).phase_response, 2 * Z.values, rtol=0, atol=1e-7)


def test_a_family_of_cycles_has_no_phase():
    centre = dynet.zoo.van_der_pol(0.0)
    cycle = dynet.find_limit_cycle(centre, [1.0, 0.0])
    with pytest.raises(dynet.ConvergenceError, match="not simple"):
        dynet.phase_response(centre, cycle)


def test_states_that_stay_away_have_no_phase(oscillator):
    with pytest.raises(dynet.ConvergenceError, match="state 0 has no phase"):
        dynet.asymptotic_phase(*oscillator, [0.0, 0.0])


def test_faults_are_named(oscillator):
    flow, cycle = oscillator
    with pytest.raises(dynet.InputError, match="3"):
        dynet.asymptotic_phase(flow, cycle, [1.0, 2.0, 3.0])
    with pytest.raises(dynet.InputError, match="not finite"):
        dynet.asymptotic_phase(flow, cycle, [np.nan, 0.0])
    with pytest.raises(dynet.InputError, match="n_phases=7"):
        dynet.phase_shift(flow, cycle, [0.1, 0.0], n_phases=7)
    with pytest.raises(dynet.InputError, match="kick"):
        dynet.phase_shift(flow, cycle, [0.1])
    with pytest.raises(dynet.InputError, match="is a Map"):
        dynet.phase_response(dynet.zoo.henon(), cycle)
    with pytest.raises(dynet.InputError, match="cycle="):
        dynet.phase_response(flow, None)
