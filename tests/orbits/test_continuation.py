"""Branches of points against bifurcations that are known on paper."""

import numpy as np
import pytest

import dynet
from dynet import ConvergenceError, InputError


def flow_of(f, derivative, **params):
    """Return a flow of one unit whose parameters are a dict."""
    return dynet.Flow(
        lambda t, x, u, p: f(x, **p), lambda t, x, u, p: np.array([[derivative(x[0], **p)]]), params=params
    )


SADDLE_NODE = flow_of(lambda x, mu: mu - x**2, lambda x, mu: -2 * x, mu=1.0)
PITCHFORK = flow_of(lambda x, mu: mu * x - x**3, lambda x, mu: mu - 3 * x**2, mu=-0.5)
LOGISTIC = dynet.zoo.logistic(2.5)
CUSP = flow_of(lambda x, drive: drive + x - x**3, lambda x, drive: 1 - 3 * x**2, drive=0.0)


def found(branch):
    """Return kinds and places of the bifurcations, after a check that their errors are small."""
    assert (branch.bifurcation_error < 1e-8).all()
    return branch.bifurcation_kind.values.tolist(), branch.bifurcation_parameter.values


def within_errors(branch, exact):
    assert (abs(branch.bifurcation_parameter - np.array(exact)) <= branch.bifurcation_error).all()


def test_a_saddle_node_is_passed_by_arclength():
    branch = dynet.continue_orbit(SADDLE_NODE, [1.0], "mu", (-1.0, 2.0))
    assert found(branch)[0] == ["fold"]
    within_errors(branch, [0.0])
    x, mu = branch.state.values[:, 0], branch.parameter.values
    np.testing.assert_allclose(x**2, mu, atol=1e-9)
    assert mu[0] == mu[-1] == 2
    assert (x[0], x[-1]) == pytest.approx((-np.sqrt(2), np.sqrt(2)))
    np.testing.assert_array_equal(branch.stability, np.where(x > 0, "stable", "unstable"))
    np.testing.assert_allclose(branch.eigenvalue.values[:, 0], -2 * x, atol=1e-9)


def test_natural_continuation_ends_at_a_fold_and_says_so():
    branch = dynet.continue_orbit(SADDLE_NODE, [1.0], "mu", (-1.0, 2.0), method="natural")
    assert "arclength" in branch.attrs["first_end"]
    assert branch.attrs["last_end"] == "bound 2 reached"
    assert 0 <= branch.parameter.values[0] < 1e-3
    assert (np.diff(branch.parameter) > 0).all()


def test_two_folds_of_a_cubic():
    branch = dynet.continue_orbit(CUSP, [-1.0], "drive", (-1.0, 1.0))
    assert found(branch)[0] == ["fold", "fold"]
    within_errors(branch, [2 / np.sqrt(27), -2 / np.sqrt(27)])
    x = branch.bifurcation_state.values[:, 0]
    np.testing.assert_allclose(x, [-1 / np.sqrt(3), 1 / np.sqrt(3)], atol=1e-8)
    # the table tells between which points they are
    before = branch.isel(point=branch.bifurcation_point.values - 1).state.values[:, 0]
    after = branch.isel(point=branch.bifurcation_point.values).state.values[:, 0]
    assert ((before < x) & (x < after)).all()


@pytest.mark.parametrize(("start", "value", "direction"), [(0.0, -0.5, "up"), (1.0, 1.0, "down")])
def test_a_pitchfork_is_a_branch_point_on_both_of_its_branches(start, value, direction):
    branch = dynet.continue_orbit(PITCHFORK, [start], "mu", (-1.0, 1.2), value=value, direction=direction)
    assert branch.bifurcation_kind.values.tolist() == ["branch point"]
    within_errors(branch, [0.0])


def test_a_closed_branch_is_run_through_once():
    ring = flow_of(lambda x, p: x**2 + p**2 - 1, lambda x, p: 2 * x, p=0.0)
    branch = dynet.continue_orbit(ring, [-1.0], "p", (-2.0, 2.0))
    assert "closed" in branch.attrs["first_end"]
    assert sorted(found(branch)[0]) == ["fold", "fold"]
    np.testing.assert_allclose(np.sort(branch.bifurcation_parameter), [-1, 1], atol=1e-12)


@pytest.mark.parametrize(("omega", "shear"), [(0.2, 2.0), (1.5, 0.4), (5.0, -1.0)])
def test_hopf_normal_form(omega, shear):
    flow = dynet.zoo.stuart_landau(-0.3, omega, shear)
    branch = dynet.continue_orbit(flow, [0.0, 0.0], "growth", (-0.5, 0.4), max_step=0.2)
    assert found(branch)[0] == ["Hopf"]
    within_errors(branch, [0.0])
    one = branch.isel(bifurcation=0)
    assert complex(one.bifurcation_eigenvalue) == pytest.approx(1j * omega, abs=1e-10)
    assert float(one.bifurcation_frequency) == pytest.approx(omega / (2 * np.pi))
    # with eigenvectors of length one |x|^2 = 2 |z|^2, and Kuznetsov's coefficient is Re(c) / omega
    assert float(one.normal_form) == pytest.approx(-2 / omega, rel=1e-6)
    assert one.criticality.item() == "supercritical"


def test_a_subcritical_hopf_point():
    def rhs(t, x, u, p):
        return np.array([p * x[0] - x[1], x[0] + p * x[1]]) + x * (x @ x)

    flow = dynet.Flow(rhs, "finite_difference", params=-0.2)
    branch = dynet.continue_orbit(flow, [0.0, 0.0], 0, (-0.5, 0.5))
    assert branch.criticality.values.tolist() == ["subcritical"]
    assert float(branch.normal_form[0]) == pytest.approx(2.0, rel=1e-3)


def test_van_der_pol_at_zero_is_degenerate():
    # at mu = 0 it is a centre: the cubic coefficient vanishes
    branch = dynet.continue_orbit(dynet.zoo.van_der_pol(-0.5), [0.0, 0.0], "mu", (-1.0, 1.0))
    assert found(branch)[0] == ["Hopf"]
    within_errors(branch, [0.0])
    assert branch.criticality.values.tolist() == ["unknown"]
    assert float(branch.bifurcation_frequency[0]) == pytest.approx(1 / (2 * np.pi))


@pytest.mark.parametrize("theta", [0.4, 1.1])
def test_the_tanh_flow_oscillates_from_where_its_eigenvalues_say(theta):
    branch = dynet.continue_orbit(
        lambda alpha: dynet.networks.rotation_rnn(alpha, theta, form="flow"),
        [0.0, 0.0],
        "alpha",
        (0.3, 2.6),
        value=0.5,
    )
    assert found(branch)[0] == ["Hopf"]
    within_errors(branch, [1 / np.cos(theta)])
    assert complex(branch.bifurcation_eigenvalue[0]).imag == pytest.approx(np.tan(theta))
    assert branch.criticality.values.tolist() == ["supercritical"]


def test_equal_oscillators_start_at_once_and_are_counted():
    branch = dynet.continue_orbit(
        lambda alpha: dynet.networks.rotation_rnn([alpha, alpha], [0.7, 0.7], form="flow"),
        np.zeros(4),
        "alpha",
        (0.3, 1.5),
        value=0.5,
    )
    assert found(branch)[0] == ["Hopf"]
    assert branch.n_critical.values.tolist() == [4]
    assert branch.criticality.values.tolist() == ["unknown"]


def test_a_large_network_bifurcates_where_its_eigenvalues_reach_one():
    n = 200
    W = np.random.default_rng(0).standard_normal((n, n)) / np.sqrt(n)
    branch = dynet.continue_orbit(
        lambda g: dynet.networks.rate_network(g * W), np.zeros(n), "g", (0.5, 1.3), value=0.8, direction="up"
    )
    values = np.linalg.eigvals(W)
    values = values[(values.imag >= 0) & (values.real > 1 / 1.3)]
    values = values[np.argsort(-values.real)]
    assert len(values) > 4
    assert found(branch)[0] == ["Hopf" if value.imag else "branch point" for value in values]
    np.testing.assert_allclose(branch.bifurcation_parameter, 1 / values.real, rtol=1e-11)
    turns = branch.bifurcation_frequency.values
    np.testing.assert_allclose(turns, values.imag / values.real / (2 * np.pi), atol=1e-11)


def test_the_tanh_map_turns_at_alpha_one():
    branch = dynet.continue_orbit(
        lambda alpha: dynet.networks.rotation_rnn(alpha, 0.7), [0.0, 0.0], "alpha", (0.2, 1.4), value=0.5
    )
    assert found(branch)[0] == ["Neimark-Sacker"]
    within_errors(branch, [1.0])
    assert complex(branch.bifurcation_eigenvalue[0]) == pytest.approx(np.exp(0.7j))
    assert float(branch.bifurcation_frequency[0]) == pytest.approx(0.7 / (2 * np.pi))
    # with tanh y = y - y^3 / 3 the turned z loses |z|^2 z / 4 a step, and |z|^2 is two squares of the coefficient of q
    assert float(branch.normal_form[0]) == pytest.approx(-0.5, rel=1e-6)


def test_the_logistic_map_doubles_its_period():
    branch = dynet.continue_orbit(dynet.zoo.logistic(2.5), [0.6], "r", (1.5, 4.0))
    assert found(branch)[0] == ["flip"]
    within_errors(branch, [3.0])
    assert branch.criticality.values.tolist() == ["supercritical"]
    # x' = 2 - r: f'' = -2 r, f''' = 0, so that the coefficient is -(f'' / 2)^2 = -9
    assert float(branch.normal_form[0]) == pytest.approx(-9, rel=1e-6)
    two = dynet.find_periodic_orbit(dynet.zoo.logistic(3.2), [0.3], 2)
    branch = dynet.continue_orbit(dynet.zoo.logistic(3.2), two, "r", (2.5, 3.9))
    assert found(branch)[0] == ["flip", "flip"]
    within_errors(branch, [3.0, 1 + np.sqrt(6)])
    assert "half its period" in branch.attrs["first_end"]
    r = branch.parameter.values
    np.testing.assert_allclose(branch.multiplier.values[:, 0], 4 + 2 * r - r**2, atol=1e-9)
    np.testing.assert_allclose(branch.amplitude.values[:, 0], np.sqrt((r - 3) * (r + 1)) / r, atol=1e-9)


def test_the_fold_and_the_flip_of_henon():
    b = 0.3
    branch = dynet.continue_orbit(dynet.zoo.henon(a=0.3, b=b), [0.5, 0.15], "a", (-1.0, 2.0), n_points=60)
    assert found(branch)[0] == ["fold", "flip"]
    within_errors(branch, [-((1 - b) ** 2) / 4, 3 * (1 - b) ** 2 / 4])
    assert branch.attrs["first_end"] == "n_points=60 reached"


@pytest.mark.parametrize("jac_params", [None, "finite_difference", lambda t, x, u, p: np.array([[x[0], 0.0, 1.0]])])
def test_parameters_are_found_by_name_and_number(jac_params):
    flow = dynet.Flow(
        lambda t, x, u, p: p["w"][0] * x - x**3 + p["drive"],
        lambda t, x, u, p: np.array([[p["w"][0] - 3 * x[0] ** 2]]),
        params={"w": np.array([1.0, 7.0]), "drive": 0.1},
        jac_params=jac_params,
    )
    start = dynet.find_fixed_points(flow, [[1.0]]).fixed_point[0]
    results = [dynet.continue_orbit(flow, start, name, (0.5, 1.5)) for name in ("w[0]", 0)]
    assert results[0].attrs["parameter"] == "w[0]"
    assert results[0].identical(results[1])
    x, w = results[0].state.values[:, 0], results[0].parameter.values
    np.testing.assert_allclose(w * x - x**3 + 0.1, 0, atol=1e-9)
    assert (w[0], w[-1]) == (0.5, 1.5)
    assert float(dynet.continue_orbit(flow, start, "drive", (0.0, 0.2)).parameter[0]) == 0


def test_branches_come_back_from_files(tmp_path):
    for high, count in ((3.1, 1), (2.6, 0)):
        branch = dynet.continue_orbit(LOGISTIC, [0.6], "r", (2.4, high))
        assert branch.sizes["bifurcation"] == count
        assert dynet.load(dynet.save(branch, tmp_path / f"{count}.nc")).identical(branch)


def test_an_input_is_a_parameter_too():
    net = dynet.networks.tanh_rnn([[0.5]], [[1.0]])
    branch = dynet.continue_orbit(lambda u: net.with_input([u]), [0.0], "u", (-1.0, 1.0), value=0.0)
    x, u = branch.state.values[:, 0], branch.parameter.values
    np.testing.assert_allclose(x, np.tanh(0.5 * x + u), atol=1e-9)
    assert (u[0], u[-1]) == (-1, 1)
    assert (branch.stability == "stable").all()


def test_what_stops_a_branch_is_told_and_what_was_found_is_kept():
    calls = []

    def rhs(t, x, u, p):
        calls.append(0)
        if len(calls) > 300:
            raise KeyboardInterrupt
        return p + x - x**3

    flow = dynet.Flow(rhs, lambda t, x, u, p: np.diag(1 - 3 * x**2), params=0.0)
    branch = dynet.continue_orbit(flow, [-1.0], 0, (-1.0, 1.0))
    assert branch.attrs["first_end"] == "interrupted"
    assert branch.attrs["last_end"] == "not followed (interrupted)"
    assert branch.sizes["point"] > 5

    def make(value):
        if value > 0.2:
            raise ValueError("no weights there")
        return dynet.zoo.logistic(2.5 + value)

    branch = dynet.continue_orbit(make, [0.6], "v", (-1.0, 1.0), value=0.0)
    assert "no weights there" in branch.attrs["last_end"]
    assert branch.attrs["first_end"] == "bound -1 reached"
    assert 0.15 < float(branch.parameter[-1]) <= 0.2


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((LOGISTIC, [0.6], "q", (1, 3)), {}, "the parameters are r"),
        ((LOGISTIC, [0.6], 1, (1, 3)), {}, "parameter=1"),
        ((LOGISTIC, [0.6], True, (1, 3)), {}, "parameter=True"),
        ((LOGISTIC, [0.6], "r", (3, 1)), {}, "lower bound first"),
        ((LOGISTIC, [0.6], "r", (3, 4)), {}, "must contain the parameter's value at the start, r=2.5"),
        ((LOGISTIC, [0.6], "r", 3), {}, "two finite numbers"),
        ((LOGISTIC, [0.6], "r", (1, np.inf)), {}, "two finite numbers"),
        ((LOGISTIC, [0.6, 0.1], "r", (1, 3)), {}, r"^start=array of shape \(2,\)"),
        ((LOGISTIC, [[0.6]], "r", (1, 3)), {}, "give a state"),
        ((LOGISTIC, [np.nan], "r", (1, 3)), {}, "not finite"),
        ((LOGISTIC, [0.6], "r", (1, 3)), {"n_points": 0}, "n_points=0"),
        ((LOGISTIC, [0.6], "r", (1, 3)), {"method": "secant"}, "method='secant'"),
        ((LOGISTIC, [0.6], "r", (1, 3)), {"direction": "left"}, "direction='left'"),
        ((LOGISTIC, [0.6], "r", (1, 3)), {"max_step": -1.0}, "max_step=-1"),
        ((LOGISTIC, [0.6], "r", (1, 3)), {"value": np.nan}, "value=nan"),
        ((3, [0.6], "r", (1, 3)), {}, "give a dynet.Map or dynet.Flow"),
        ((dynet.zoo.logistic, [0.6], "r", (1, 3)), {}, "value: give the parameter's value at start"),
        ((lambda r: r, [0.6], "r", (1, 3)), {"value": 2.0}, "returned 'float'"),
        ((lambda r: 1 / 0, [0.6], "r", (1, 3)), {"value": 2.0}, "ZeroDivisionError"),
        ((dynet.Map(lambda t, x, u, p: x, params=(1.0,)), [0.6], 0, (0, 3)), {}, "jac is missing"),
    ],
)
def test_bad_input(arguments, options, message):
    with pytest.raises(InputError, match=message):
        dynet.continue_orbit(*arguments, **options)


def test_a_start_that_leads_nowhere_gives_its_best_iterate():
    nowhere = flow_of(lambda x, mu: mu + x**2, lambda x, mu: 2 * x, mu=1.0)
    with pytest.raises(ConvergenceError, match="no fixed point near start at mu=1") as caught:
        dynet.continue_orbit(nowhere, [0.6], "mu", (0.0, 3.0))
    assert caught.value.result.shape == (1,)
    assert caught.value.residual == pytest.approx(1 + caught.value.result[0] ** 2)
