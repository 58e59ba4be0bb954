"""Adjoints and gradients: invariants, differences, backpropagation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import dynet
from dynet import InputError
from dynet.systems.parameters import flattened, replaced


def square(target):
    return lambda x: (0.5 * float((x - target) @ (x - target)), x - target)


def test_invariants_along_a_cycle_where_backward_reconstruction_fails(tanh_flow):
    # 8 periods: a backward trajectory would have left the cycle by a factor of exp(43)
    forward = dynet.sensitivity(tanh_flow, [0.3, 0.1], 100.0)
    ds = dynet.adjoint(tanh_flow, forward, [1.0, -0.5])
    assert float(ds.invariant_drift) < 1e-9
    assert float(ds.velocity_drift) < 1e-9
    assert float(ds.trajectory_gap) < 1e-9
    np.testing.assert_allclose(ds.adjoint[0], forward.sensitivity.values[-1].T @ [1.0, -0.5], atol=1e-8)


def test_along_a_coarse_trajectory_the_gap_is_told(tanh_flow):
    run = dynet.simulate(tanh_flow, [0.3, 0.1], duration=20.0, dt=0.1)
    ds = dynet.adjoint(tanh_flow, run, [1.0, 2.0])
    assert 1e-10 < float(ds.trajectory_gap) < 1e-6
    run = dynet.simulate(tanh_flow, [0.3, 0.1], duration=20.0, dt=1.0)
    assert float(dynet.adjoint(tanh_flow, run, [1.0, 2.0]).trajectory_gap) > 1e-4


def test_adjoint_of_a_driven_map(tanh_map):
    u = np.random.default_rng(0).normal(size=(9, 3))
    run = dynet.simulate(tanh_map, np.zeros(3), 9, inputs=u)
    ds = dynet.adjoint(tanh_map, run, np.ones(3))
    psi = np.ones(3)
    for k in range(8, -1, -1):
        psi = tanh_map.jac(0.0, run.state.values[k], u[k], tanh_map.params).T @ psi
    np.testing.assert_allclose(ds.adjoint[0], psi, rtol=1e-12)
    assert np.isnan(ds.velocity_drift)


@pytest.mark.parametrize("with_running", [False, True])
def test_gradient_of_a_flow_against_differences(tanh_flow, with_running):
    def running(t, x):
        return np.sin(x[0]) * np.cos(t), np.array([np.cos(x[0]) * np.cos(t), 0.0])

    options = {"terminal": square(np.array([0.3, -0.2])), "running": running if with_running else None}
    x0, T, h = np.array([0.3, 0.1]), 10.0, 1e-5

    def loss(p, x):
        def fun(t, y):
            return np.append(tanh_flow.rhs(t, y[:2], None, p), running(t, y[:2])[0])

        y = solve_ivp(fun, (0.0, T), np.append(x, 0.0), method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
        return options["terminal"](y[:2])[0] + with_running * y[2]

    ds = dynet.gradient(tanh_flow, x0, T, **options)
    p = tanh_flow.params
    assert float(ds.loss) == pytest.approx(loss(p, x0), rel=1e-10)
    for i, e in enumerate(np.eye(2)):
        by_params = (loss(p + h * e, x0) - loss(p - h * e, x0)) / (2 * h)
        by_start = (loss(p, x0 + h * e) - loss(p, x0 - h * e)) / (2 * h)
        assert float(ds.gradient_params[i]) == pytest.approx(by_params, rel=1e-6)
        assert float(ds.gradient_x0[i]) == pytest.approx(by_start, rel=1e-6)
    assert float(ds.invariant_drift) < 1e-9


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_gradient_of_random_networks_is_that_of_forward_sensitivity(seed, with_running):
    rng = np.random.default_rng(seed)
    n, m, steps = 3, 2, 7
    system = replace(
        dynet.networks.tanh_rnn(rng.normal(size=(n, n)), rng.normal(size=(n, m)), rng.normal(size=n)),
        jac_params="finite_difference",
    )
    u, target = rng.normal(size=(steps, m)), rng.normal(size=n)
    x0 = rng.normal(size=n)
    ds = dynet.gradient(
        system,
        x0,
        steps,
        inputs=u,
        terminal=square(target),
        running=(lambda t, x: (t * float(x @ x), 2 * t * x)) if with_running else None,
    )
    forward = dynet.sensitivity(system, x0, steps, inputs=u)
    x, t = forward.state.values, forward.time.values
    slopes = np.zeros_like(x)
    slopes[-1] = x[-1] - target
    value = 0.5 * ((x[-1] - target) ** 2).sum()
    if with_running:
        slopes[1:] += 2 * t[1:, None] * x[1:]
        value += (t[1:, None] * x[1:] ** 2).sum()
    assert float(ds.loss) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(ds.gradient_x0, np.einsum("ti,tij->j", slopes, forward.sensitivity.values), atol=1e-12)
    by_forward = np.einsum("ti,tij->j", slopes, forward.parameter_sensitivity.values)
    np.testing.assert_allclose(ds.gradient_params, by_forward, rtol=1e-10, atol=1e-10)
    assert float(ds.invariant_drift) < 1e-13


def test_a_start_that_depends_on_the_parameters(tanh_flow):
    def start(p):
        return np.array([np.sin(p[0]), p[0] * p[1]])

    def slope(p):
        return np.array([[np.cos(p[0]), 0.0], [p[1], p[0]]])

    terminal, h = square(np.zeros(2)), 1e-5

    def loss(p):
        return float(dynet.gradient(tanh_flow.with_params(p), start(p), 3.0, terminal=terminal).loss)

    p = tanh_flow.params
    ds = dynet.gradient(tanh_flow, start(p), 3.0, terminal=terminal)
    total = ds.gradient_params.values + ds.gradient_x0.values @ slope(p)
    differences = [(loss(p + h * e) - loss(p - h * e)) / (2 * h) for e in np.eye(2)]
    np.testing.assert_allclose(total, differences, rtol=1e-6)


@settings(max_examples=5)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from(["map", "flow"]))
def test_gradient_of_random_networks_is_that_of_differences_with_a_start_that_depends_on_them(seed, with_running, form):
    rng = np.random.default_rng(seed)
    W, b, A = rng.normal(size=(2, 2)), rng.normal(size=2), rng.normal(size=(2, 6))
    make = dynet.networks.tanh_rnn if form == "map" else dynet.networks.rate_network
    system, duration = make(W, b=b), 4 if form == "map" else 0.7
    target, base = rng.normal(size=2), flattened(system.params)

    def running(t, x):
        return np.cos(t) * x[0] * x[1], np.cos(t) * x[::-1]

    def result(p):
        options = {"terminal": square(target), "running": running if with_running else None}
        return dynet.gradient(system.with_params(replaced(system.params, p)), A @ p, duration, **options)

    ds = result(base)
    total = ds.gradient_params.values + ds.gradient_x0.values @ A
    direction, h = rng.normal(size=6), 1e-5
    ahead, behind = (float(result(base + sign * h * direction).loss) for sign in (1, -1))
    size = np.linalg.norm(total) * np.linalg.norm(direction)
    assert float(total @ direction) == pytest.approx((ahead - behind) / (2 * h), abs=1e-7 * max(size, 1.0))


def test_norm_of_the_gradient_of_a_decay():
    flow = dynet.Flow(lambda t, x, u, p: -0.5 * x, lambda t, x, u, p: -0.5 * np.eye(1))
    ds = dynet.gradient(flow, [2.0], 4.0, terminal=lambda x: (x[0], [1.0]))
    np.testing.assert_allclose(ds.norm, np.exp(-0.5 * (4.0 - ds.time)), rtol=1e-9)
    assert ds.sizes["param"] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, run: dynet.gradient(f, [0.3, 0.1], 1.0), "give a loss"),
        (lambda f, run: dynet.gradient(f, [0.3, 0.1], 1.0, terminal=lambda x: 1.0), r"pair \(value, derivative\)"),
        (lambda f, run: dynet.gradient(f, [0.3, 0.1], 1.0, terminal=lambda x: (1.0, [1.0])), "shape"),
        (lambda f, run: dynet.gradient(f, [0.3, 0.1], 1.0, running=lambda t, x: (np.nan, x)), "not finite"),
        (lambda f, run: dynet.gradient(f, [0.3, 0.1], 1.0, terminal=3), "terminal=3"),
        (lambda f, run: dynet.adjoint(f, 3, [1.0, 2.0]), "give a Dataset from simulate"),
        (lambda f, run: dynet.adjoint(f, run, [1.0, 2.0, 3.0]), "terminal"),
        (lambda f, run: dynet.adjoint(f, run.isel(time=[0]), [1.0, 2.0]), "at least two times"),
        (lambda f, run: dynet.adjoint(f, run.isel(time=slice(None, None, -1)), [1.0, 2.0]), "in order"),
        (lambda f, run: dynet.adjoint(dynet.zoo.henon(), run, [1.0, 2.0]), "other times"),
    ],
)
def test_bad_input(tanh_flow, call, message):
    run = dynet.simulate(tanh_flow, [0.3, 0.1], duration=1.0, dt=0.1)
    with pytest.raises(InputError, match=message):
        call(tanh_flow, run)


def test_results_are_kept_in_files(tanh_flow, tmp_path):
    forward = dynet.sensitivity(tanh_flow, [0.3, 0.1], 1.0)
    results = (forward, dynet.adjoint(tanh_flow, forward, [1.0, 0.0]),
               dynet.gradient(tanh_flow, [0.3, 0.1], 1.0, terminal=square(np.zeros(2))))  # fmt: skip
    for result in results:
        assert dynet.load(dynet.save(result, tmp_path / "result.nc")).identical(result)


def broken_map():
    """Steps of a tenth, whose Jacobian is not finite from 0.45 on."""

    def jac(t, x, u, p):
        return np.eye(1) if x[0] < 0.45 else np.full((1, 1), np.nan)

    return dynet.Map(lambda t, x, u, p: x + 0.1, jac)


def test_derivatives_that_are_not_finite_are_no_result():
    system = broken_map()
    loss = {"terminal": lambda x: (x[0], [1.0])}
    for call in (lambda: dynet.sensitivity(system, [0.0], 10), lambda: dynet.gradient(system, [0.0], 10, **loss)):
        with pytest.raises(dynet.DivergenceError, match="derivative of the state is not finite at step 5") as caught:
            call()
        np.testing.assert_allclose(caught.value.result.state[:, 0], 0.1 * np.arange(6))
        np.testing.assert_array_equal(caught.value.result.time, np.arange(6))
    with pytest.raises(dynet.DivergenceError, match="adjoint is not finite at step 9"):
        dynet.adjoint(system, dynet.simulate(system, [0.0], 10), [1.0])


def test_a_flow_that_runs_away_leaves_its_states():
    flow = dynet.Flow(lambda t, x, u, p: x**2, lambda t, x, u, p: np.diag(2 * x))  # 1 / (1 - t)
    for call in (
        lambda: dynet.sensitivity(flow, [1.0], 2.0),
        lambda: dynet.gradient(flow, [1.0], 2.0, terminal=lambda x: (x[0], [1.0])),
    ):
        with pytest.raises(dynet.DivergenceError, match="time 1") as caught:
            call()
        run = caught.value.result.sel(time=slice(0.0, 0.95))
        assert run.sizes["time"] == 48
        np.testing.assert_allclose(run.state[:, 0], 1 / (1 - run.time), rtol=1e-8)
