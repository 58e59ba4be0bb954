"""Branches of cycles against periods, multipliers and bifurcations that are known on paper."""

import numpy as np
import pytest

import dynet
from dynet import ConvergenceError, InputError
from dynet.orbits.cycle_ends import diverging_period
from dynet.orbits.meshes import C_GAUSS, equal_shares, evaluated

#: Where four saddle-nodes appear on the cycle of the tanh network at gain 1.5.
SADDLE_NODE = 0.147822070679


def tanh_flow(theta):
    return dynet.networks.rotation_rnn(1.5, theta, form="flow")


def found(branch):
    return branch.bifurcation_kind.values.tolist(), branch.bifurcation_parameter.values


@pytest.fixture(scope="module")
def hopf():
    flow = dynet.zoo.stuart_landau(-0.2, 1.5, 0.4)
    rest = dynet.continue_orbit(flow, [0.0, 0.0], "growth", (-1.0, 1.0), max_step=0.3)
    return flow, rest, dynet.cycle_from_hopf(flow, rest)


@pytest.fixture(scope="module")
def tanh_branch():
    cycle = dynet.find_limit_cycle(tanh_flow(0.5), [0.3, 0.1])
    return dynet.continue_orbit(tanh_flow, cycle, "theta", (0.05, 1.2), value=0.5, max_step=0.1)


def test_the_cycle_that_starts_at_a_hopf_point(hopf):
    _, _, cycle = hopf
    growth = float(cycle.parameter)
    np.testing.assert_allclose(np.linalg.norm(cycle.orbit.values, axis=1), np.sqrt(growth), rtol=1e-9)
    assert float(cycle.period) == pytest.approx(2 * np.pi / (1.5 - 0.4 * growth), rel=1e-11)


def test_stuart_landau_from_its_hopf_point_on(hopf):
    flow, _, cycle = hopf
    branch = dynet.continue_orbit(flow, cycle, "growth", (-1.0, 1.0), max_step=0.2)
    growth, period = branch.parameter.values, branch.period.values
    assert growth[-1] == 1
    np.testing.assert_allclose(period, 2 * np.pi / (1.5 - 0.4 * growth), rtol=1e-9)
    np.testing.assert_allclose(branch.log_modulus.values[:, 0], -2 * growth * period, atol=1e-9)
    np.testing.assert_allclose(branch.growth_rate.values[:, 0], -2 * growth, atol=1e-9)
    np.testing.assert_allclose(branch.amplitude.values, 2 * np.sqrt(growth)[:, None] * [1, 1], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(branch.state.values, axis=1), np.sqrt(growth), rtol=1e-9)
    assert abs(branch.liouville_error).max() < 1e-9
    assert (branch.stability == "stable").all()
    # back at the Hopf point it shrinks to nothing, and says where
    assert branch.attrs["first_end"] == "the cycle shrinks to a fixed point"
    assert found(branch)[0] == ["Hopf"]
    assert abs(float(branch.bifurcation_parameter[0])) <= float(branch.bifurcation_error[0]) < 1e-12
    assert branch.bifurcation_point.values.tolist() == [0]


def test_the_tanh_network_between_its_hopf_point_and_its_saddle_nodes(tanh_branch):
    kinds, values = found(tanh_branch)
    assert kinds == ["SNIC", "Hopf"]
    assert values[0] == pytest.approx(SADDLE_NODE, abs=1e-12)
    assert values[1] == pytest.approx(np.arccos(1 / 1.5), abs=1e-12)
    assert (tanh_branch.bifurcation_error < 1e-11).all()
    assert float(tanh_branch.fit_quality[0]) > 0.9999
    assert tanh_branch.attrs["first_end"] == "max_period exceeded"
    assert float(tanh_branch.period[0]) > 50 * 11.8
    assert (tanh_branch.stability == "stable").all()


@pytest.mark.slow
def test_points_on_the_branch_are_cycles_as_they_are_found_alone(tanh_branch):
    point = tanh_branch.isel(point=int(np.argmin(abs(tanh_branch.parameter.values - 0.3))))
    flow = tanh_flow(float(point.parameter))
    cycle = dynet.find_limit_cycle(flow, point.state.values)
    assert float(point.period) == pytest.approx(float(cycle.period), rel=1e-8)
    multipliers = dynet.floquet_multipliers(flow, cycle)
    assert float(point.log_modulus[0]) == pytest.approx(float(multipliers.log_modulus[1]), rel=1e-6)
    np.testing.assert_allclose(point.maximum, cycle.orbit.max("phase"), rtol=1e-4)


@pytest.mark.slow
def test_the_period_of_a_phase_that_slows_down_diverges_as_on_paper():
    # r' = r - r^3, phi' = 1 + mu - cos(phi) on the circle: T = 2 pi / sqrt(mu^2 + 2 mu)
    def rhs(t, x, u, p):
        w = 1 + p - x[0]
        return x * (1 - x @ x) + w * np.array([-x[1], x[0]])

    def jac(t, x, u, p):
        w = 1 + p - x[0]
        turn = np.array([[0.0, -w], [w, 0.0]])
        return (1 - x @ x) * np.eye(2) - 2 * np.outer(x, x) + turn + np.outer([x[1], -x[0]], [1.0, 0.0])

    flow = dynet.Flow(rhs, jac, params=0.5)
    cycle = dynet.find_limit_cycle(flow, [0.6, 0.0])
    branch = dynet.continue_orbit(flow, cycle, 0, (-0.5, 1.0), direction="down", max_step=0.2, max_period=60)
    mu = branch.parameter.values
    np.testing.assert_allclose(branch.period, 2 * np.pi / np.sqrt(mu**2 + 2 * mu), rtol=1e-8)
    assert found(branch)[0] == ["SNIC"]
    assert abs(float(branch.bifurcation_parameter[0])) <= float(branch.bifurcation_error[0]) < 1e-12
    np.testing.assert_allclose(branch.bifurcation_state[0], [1, 0], atol=1e-6)


@pytest.mark.slow
def test_a_homoclinic_orbit_is_told_from_a_saddle_node():
    # dH/dt = (mu - H) y^2: the cycle is the level mu of H = y^2 / 2 - x^2 / 2 + x^3 / 3, homoclinic at 0
    def rhs(t, x, u, p):
        H = x[1] ** 2 / 2 - x[0] ** 2 / 2 + x[0] ** 3 / 3
        return np.array([x[1], x[0] - x[0] ** 2 - (H - p) * x[1]])

    def jac(t, x, u, p):
        H = x[1] ** 2 / 2 - x[0] ** 2 / 2 + x[0] ** 3 / 3
        slope = x[0] ** 2 - x[0]
        return np.array([[0, 1], [1 - 2 * x[0] - slope * x[1], p - H - x[1] ** 2]])

    flow = dynet.Flow(rhs, jac, params=-0.1)
    cycle = dynet.find_limit_cycle(flow, [1.3, 0.0])
    branch = dynet.continue_orbit(flow, cycle, 0, (-0.3, 0.1), max_step=0.05, max_period=40)
    assert found(branch)[0] == ["Hopf", "homoclinic"]
    errors = abs(branch.bifurcation_parameter - [-1 / 6, 0])
    assert (errors <= branch.bifurcation_error).all()
    assert (branch.bifurcation_error < 1e-5).all()


def test_laws_of_periods_on_exact_data():
    T = np.geomspace(10, 100, 12)
    root = diverging_period(0.3 + 2 / (T - 3) ** 2, T)
    assert (root.kind, root.value) == ("SNIC", pytest.approx(0.3, abs=1e-9))
    T = np.linspace(10, 25, 12)
    log = diverging_period(0.3 - np.exp(-0.4 * T), T)
    assert (log.kind, log.value) == ("homoclinic", pytest.approx(0.3, abs=1e-7))
    assert diverging_period(np.array([1.0, 0.5]), np.array([3.0, 9.0])) is None
    # a law that is neither is not named
    assert diverging_period(0.3 + 0.2 / T**0.2 * (-1) ** np.arange(12), T).kind == "unknown"


def test_a_cycle_turns_into_a_torus():
    # the second of two oscillators starts at mu = 0
    def rhs(t, x, u, p):
        z, w = x[0] + 1j * x[1], x[2] + 1j * x[3]
        a = (1 + 1j) * z - abs(z) ** 2 * z
        b = (p + 1j * np.sqrt(2)) * w - abs(w) ** 2 * w
        return np.array([a.real, a.imag, b.real, b.imag])

    def block(x, growth, omega):
        square = x @ x
        return (growth - square) * np.eye(2) - 2 * np.outer(x, x) + omega * np.array([[0, -1], [1, 0]])

    def jac(t, x, u, p):
        J = np.zeros((4, 4))
        J[:2, :2], J[2:, 2:] = block(x[:2], 1.0, 1.0), block(x[2:], p, np.sqrt(2))
        return J

    flow = dynet.Flow(rhs, jac, params=-0.1)
    cycle = dynet.find_limit_cycle(flow, [1.0, 0.0, 0.0, 0.0], period_guess=2 * np.pi)
    branch = dynet.continue_orbit(flow, cycle, 0, (-0.1, 0.1), max_step=0.1, value=-0.1)
    assert found(branch)[0] == ["Neimark-Sacker"]
    assert abs(float(branch.bifurcation_parameter[0])) <= float(branch.bifurcation_error[0]) < 1e-10
    # the angle of the multiplier, in (0, pi], is that of sqrt(2) turns
    assert float(branch.bifurcation_frequency[0]) == pytest.approx((np.sqrt(2) - 1) / (2 * np.pi), abs=1e-9)
    assert branch.n_critical.values.tolist() == [2]
    np.testing.assert_array_equal(branch.stability, np.where(branch.parameter < 0, "stable", "unstable"))


@pytest.fixture(scope="module")
def rossler_flip():
    flow = dynet.zoo.rossler(c=2.8)
    cycle = dynet.find_limit_cycle(flow, [1.0, 1.0, 0.0])
    return dynet.continue_orbit(flow, cycle, "c", (2.78, 2.86), direction="up", max_step=0.2)


@pytest.mark.slow
def test_rossler_doubles_its_period(rossler_flip):
    assert found(rossler_flip)[0] == ["flip"]
    # a cycle shortly before is stable, one after is not, by their multipliers
    value, flow = float(rossler_flip.bifurcation_parameter[0]), dynet.zoo.rossler()
    cycle = dynet.find_limit_cycle(
        flow.with_params(c=value),
        rossler_flip.bifurcation_state[0],
        period_guess=float(rossler_flip.bifurcation_period[0]),
    )
    multipliers = dynet.floquet_multipliers(flow.with_params(c=value), cycle).multiplier.values
    assert min(abs(multipliers + 1)) < 1e-7
    assert rossler_flip.stability.values[[0, -1]].tolist() == ["stable", "unstable"]


@pytest.mark.slow
def test_the_doubled_cycle_ends_where_the_single_one_flips(rossler_flip):
    flow = dynet.zoo.rossler(c=2.9)
    cycle = dynet.find_limit_cycle(flow, [1.0, 1.0, 0.0])
    branch = dynet.continue_orbit(flow, cycle, "c", (2.75, 2.95), direction="down", max_step=0.03)
    assert branch.attrs["first_end"] == "the cycle becomes one of half its period"
    assert found(branch)[0] == ["flip"]
    errors = branch.bifurcation_error[0] + rossler_flip.bifurcation_error[0]
    assert abs(branch.bifurcation_parameter[0] - rossler_flip.bifurcation_parameter[0]) <= errors < 1e-4


def test_the_value_of_a_start_is_that_of_its_own_parameter(hopf):
    flow, _, cycle = hopf
    growth = float(cycle.parameter)
    branch = dynet.continue_orbit(flow.with_params(growth=growth), cycle, "shear", (0.3, 0.5), max_step=0.2)
    assert branch.attrs["start_value"] == 0.4
    np.testing.assert_allclose(branch.period, 2 * np.pi / (1.5 - branch.parameter * growth), rtol=1e-9)


def test_bad_input(hopf):
    flow, rest, cycle = hopf
    at = float(cycle.parameter)
    with pytest.raises(InputError, match=r"start has 240 points.*no periodic orbit of this map"):
        dynet.continue_orbit(dynet.zoo.henon(), cycle, "a", (0, 3), value=1.0)
    with pytest.raises(InputError, match="give what find_limit_cycle"):
        dynet.continue_orbit(flow, rest, "growth", (-1, 1))
    with pytest.raises(InputError, match="at the start, growth="):
        dynet.continue_orbit(flow, cycle, "growth", (at + 0.1, 1))
    with pytest.raises(ConvergenceError, match="no periodic orbit near start at mu=3") as caught:
        dynet.continue_orbit(dynet.zoo.van_der_pol(3.0), cycle, "mu", (1, 4), value=3.0)
    assert caught.value.result.shape[1] == 2
    with pytest.raises(InputError, match="Dataset from continue_orbit"):
        dynet.cycle_from_hopf(flow, cycle)
    with pytest.raises(InputError, match="Hopf points of this branch are number 1"):
        dynet.cycle_from_hopf(flow, rest, 2)
    with pytest.raises(InputError, match="size=0"):
        dynet.cycle_from_hopf(flow, rest, size=0)
    logistic = dynet.continue_orbit(dynet.zoo.logistic(2.5), [0.6], "r", (1.5, 4.0), max_step=0.5)
    with pytest.raises(InputError, match=r"no Hopf point \(it has: flip\)"):
        dynet.cycle_from_hopf(dynet.zoo.logistic(2.5), logistic)


def test_meshes_share_out_evenly_and_polynomials_are_exact():
    mesh = equal_shares(np.linspace(0, 1, 5), np.array([1.0, 3.0, 3.0, 1.0]), 8)
    np.testing.assert_allclose(mesh, [0, 0.25, 1 / 3, 5 / 12, 0.5, 7 / 12, 2 / 3, 0.75, 1])
    places = mesh[:-1, None] + np.diff(mesh)[:, None] * np.append(0.0, C_GAUSS)
    at = np.random.default_rng(0).random(50)
    np.testing.assert_allclose(evaluated(mesh, (places**4)[..., None], at)[:, 0], at**4, atol=1e-14)
