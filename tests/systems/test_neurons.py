"""The Hodgkin-Huxley neuron against the equations of 1952 and the bifurcations that are known of it."""

import pickle

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import dynet
from dynet import InputError

REST = [-65.0, 0.05, 0.6, 0.32]


def as_in_1952(v, m, h, n, current):
    """Return the rates of change of the paper, where depolarisation and inward currents are negative."""
    alpha_n = 0.01 * (v + 10) / (np.exp((v + 10) / 10) - 1)
    alpha_m = 0.1 * (v + 25) / (np.exp((v + 25) / 10) - 1)
    alpha_h, beta_n = 0.07 * np.exp(v / 20), 0.125 * np.exp(v / 80)
    beta_m, beta_h = 4 * np.exp(v / 18), 1 / (np.exp((v + 30) / 10) + 1)
    ionic = 120 * m**3 * h * (v + 115) + 36 * n**4 * (v - 12) + 0.3 * (v + 10.613)
    return np.array([
        current - ionic,
        alpha_m * (1 - m) - beta_m * m,
        alpha_h * (1 - h) - beta_h * h,
        alpha_n * (1 - n) - beta_n * n,
    ])  # fmt: skip


def test_the_equations_are_those_of_1952_turned_over():
    random = np.random.default_rng(0)
    flow = dynet.zoo.hodgkin_huxley(7.0)
    for _ in range(5):
        V, gates = random.uniform(-90, 40), random.random(3)
        ours = flow.rhs(0.0, np.array([V, *gates]), np.empty(0), flow.params)
        theirs = as_in_1952(-65 - V, *gates, -7.0) * [-1, 1, 1, 1]
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("V", [-80.0, -55.0, -54.6, -40.0, -39.4, 10.0])
def test_its_jacobian_also_where_rates_are_quotients_of_zeros(V):
    flow = dynet.zoo.hodgkin_huxley(7.0, temperature=16.0, capacitance=1.5)
    assert dynet.check_jacobian(flow, [V, 0.3, 0.5, 0.4]) < 1e-8
    beside = (flow.rhs(0.0, np.array([V + d, 0.3, 0.5, 0.4]), np.empty(0), flow.params) for d in (-1e-7, 0, 1e-7))
    left, at, right = map(np.array, beside)
    np.testing.assert_allclose(at, (left + right) / 2, rtol=1e-10)


def test_it_survives_pickling_and_says_what_is_wrong():
    flow = dynet.zoo.hodgkin_huxley(3.0)
    assert pickle.loads(pickle.dumps(flow)).params == flow.params
    with pytest.raises(InputError, match=r"(?s)current='a'.*capacitance=0"):
        dynet.zoo.hodgkin_huxley("a", capacitance=0)


@pytest.fixture(scope="module")
def rest():
    start = dynet.find_fixed_points(dynet.zoo.hodgkin_huxley(0.0), REST).fixed_point[0]
    return dynet.continue_orbit(dynet.zoo.hodgkin_huxley(0.0), start, "current", (0.0, 200.0))


def growth_by_differences(current):
    """Return the largest real part at rest, by the equations of 1952 and a difference of them alone."""

    def gates(v):
        rates = as_in_1952(v, 0.0, 0.0, 0.0, 0.0)[1:]  # alpha
        sums = rates - as_in_1952(v, 1.0, 1.0, 1.0, 0.0)[1:]
        return rates / sums

    v = brentq(lambda v: as_in_1952(v, *gates(v), -current)[0], -60.0, 10.0, xtol=1e-13)
    x = np.array([v, *gates(v)])
    h = 1e-5
    J = np.stack(
        [(as_in_1952(*(x + h * e), -current) - as_in_1952(*(x - h * e), -current)) / (2 * h) for e in np.eye(4)], 1
    )
    return np.linalg.eigvals(J).real.max()


def test_rest_is_lost_and_won_at_two_hopf_points(rest):
    assert rest.bifurcation_kind.values.tolist() == ["Hopf", "Hopf"]
    assert rest.criticality.values.tolist() == ["subcritical", "supercritical"]
    # literature: 9.78 and 154.5
    independent = [brentq(growth_by_differences, *bracket, xtol=1e-9) for bracket in ((9.5, 10.0), (150.0, 160.0))]
    np.testing.assert_allclose(rest.bifurcation_parameter, independent, atol=2e-5)
    np.testing.assert_allclose(rest.bifurcation_parameter, [9.78, 154.5], atol=0.03)
    assert (rest.bifurcation_error < 1e-7).all()


@pytest.mark.slow
def test_firing_between_its_fold_and_its_hopf_point(rest):
    flow = dynet.zoo.hodgkin_huxley(0.0)
    branch = dynet.continue_orbit(flow, dynet.cycle_from_hopf(flow, rest, 2), "current", (0.0, 200.0), n_points=300)
    assert branch.attrs["first_end"] == branch.attrs["last_end"] == "the cycle shrinks to a fixed point"
    kinds, values = branch.bifurcation_kind.values.tolist(), branch.bifurcation_parameter.values
    assert sorted(kinds) == ["Hopf", "Hopf", "flip", "flip", "fold", "fold", "fold"]
    np.testing.assert_allclose(values[[0, -1]][np.argsort(values[[0, -1]])], rest.bifurcation_parameter, atol=1e-8)
    fold = values.min()
    assert fold == pytest.approx(6.26, abs=0.01)
    # the last stable cycle before the fold lasts in a run of its own; below the fold firing dies out
    stable = branch.isel(point=np.flatnonzero(branch.stability.values == "stable"))
    near = stable.isel(point=int(np.argmin(stable.parameter.values)))

    def spikes(current):
        run = solve_ivp(
            lambda t, x: as_in_1952(*x, -current), (0, 400), near.state.values * [-1, 1, 1, 1] - [65, 0, 0, 0],
            rtol=1e-8, atol=1e-8, max_step=1.0,
        )  # fmt: skip
        late = run.y[0][run.t > 300]
        return int(((late[1:] < -50) & (late[:-1] >= -50)).sum())

    assert float(near.parameter) - fold < 0.3
    assert spikes(float(near.parameter)) >= 4
    assert spikes(fold - 0.1) == 0
    # the f-I curve rises from the fold to the Hopf point
    order = np.argsort(stable.parameter.values)
    assert (np.diff(1 / stable.period.values[order]) > 0).all()
