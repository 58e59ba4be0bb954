"""Flows: what a fixed-step method makes of a linear field, of time and of inputs, in both engines."""

import pickle

import numpy as np
import pytest
from numba import njit

import dynet

EMPTY = np.empty(0)


def linear(t, x, u, p):
    return p @ x


def linear_jacobian(t, x, u, p):
    return p


@njit
def integrator(t, x, u, p):
    return (u[0],)


@njit
def integrator_jacobian(t, x, u, p):
    return ((0.0,),)


@njit
def cubic(t):
    return np.array([4.0 * t * t * t])


def rotation(t, x, u, p):
    return np.array([-p * x[1], p * x[0]])


def rotation_jacobian(t, x, u, p):
    return np.array([[0.0, -p], [p, 0.0]])


@njit
def jitted_oscillator(t, y, k, c):
    return np.array([y[1], -k * y[0] - c * y[1]])


@njit
def jitted_oscillator_jacobian(t, y, k, c):
    return np.array([[0.0, 1.0], [-k, -c]])


@pytest.mark.parametrize("eigenvalue", [-0.7, 0.4, -3.0])
@pytest.mark.parametrize("dt", [0.01, 0.3])
def test_runge_kutta_multiplies_an_eigenvector_by_its_polynomial(eigenvalue, dt):
    z = eigenvalue * dt
    flow = dynet.Flow(linear, linear_jacobian, params=np.array([[eigenvalue]]))
    ds = dynet.lyapunov_spectrum(flow.to_map(dt), [1.0], 30)
    np.testing.assert_allclose(
        ds.lyapunov_exponent, np.log(abs(1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24)) / dt, rtol=1e-12
    )
    np.testing.assert_allclose(ds.final_state[0, 0], (1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24) ** 30, rtol=1e-12)
    euler = dynet.lyapunov_spectrum(flow.to_map(dt, "euler"), [1.0], 30)
    np.testing.assert_allclose(euler.lyapunov_exponent, np.log(abs(1 + z)) / dt, rtol=1e-12)


def test_a_rotation_grows_by_the_modulus_of_the_polynomial():
    dt, omega = 0.2, 1.3
    z = 1j * omega * dt
    flow = dynet.Flow(rotation, rotation_jacobian, params=omega)
    ds = dynet.lyapunov_spectrum(flow.to_map(dt), [1.0, 0.0], 50)
    expected = np.log(abs(1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24)) / dt
    np.testing.assert_allclose(ds.lyapunov_exponent, [expected] * 2, rtol=1e-10)
    euler = dynet.lyapunov_spectrum(flow.to_map(dt, "euler"), [1.0, 0.0], 50)
    np.testing.assert_allclose(euler.lyapunov_exponent, [np.log(abs(1 + z)) / dt] * 2, rtol=1e-12)


def test_runge_kutta_is_of_fourth_order_and_euler_of_first():
    flow = dynet.zoo.van_der_pol(1.0)
    errors = {"rk4": [], "euler": []}
    fine = flow.to_map(0.0005)
    x = np.array([1.0, 0.5])
    for k in range(2000):
        x = fine.step(k * fine.dt, x, EMPTY, flow.params)
    for method, found in errors.items():
        for n in (20, 40):
            coarse = flow.to_map(1.0 / n, method)
            y = np.array([1.0, 0.5])
            for k in range(n):
                y = coarse.step(k / n, y, EMPTY, flow.params)
            found.append(np.abs(y - x).max())
    assert 14 < errors["rk4"][0] / errors["rk4"][1] < 18
    assert 1.8 < errors["euler"][0] / errors["euler"][1] < 2.2


@pytest.mark.parametrize("engine", ["python", "compiled"])
def test_a_bound_function_of_time_is_asked_at_every_stage(engine):
    # Runge-Kutta of dx/dt = u(t) is Simpson's rule, exact for cubics: the integral of 4 t^3 is t^4
    compiled = engine == "compiled"
    rhs = integrator if compiled else lambda t, x, u, p: u
    jac = integrator_jacobian if compiled else lambda t, x, u, p: np.zeros((1, 1))
    flow = dynet.Flow(rhs, jac).with_input(cubic if compiled else cubic.py_func)
    states = dynet.simulate(flow, [0.0], duration=2.0, dt=0.25).state[:, 0]
    np.testing.assert_allclose(states, states.time**4, rtol=0, atol=1e-13)
    ds = dynet.lyapunov_spectrum(flow.to_map(0.25), [0.0], 8)
    assert ds.attrs["engine"] == ("compiled" if compiled else "array (numpy)")
    np.testing.assert_allclose(ds.final_state, 16.0, rtol=0, atol=1e-13)


@pytest.mark.parametrize("order", ["flow first", "map first"])
def test_both_engines_see_the_same_bound_function_of_time(order):
    def final(rhs, jac, signal):
        flow = dynet.Flow(rhs, jac)
        bound = flow.with_input(signal).to_map(0.25) if order == "flow first" else flow.to_map(0.25).with_input(signal)
        simulated = dynet.simulate(bound, [0.0], 8).state.values[-1]
        np.testing.assert_allclose(
            dynet.lyapunov_spectrum(bound, [0.0], 8).final_state.values[0], simulated, rtol=0, atol=1e-14
        )
        return simulated

    compiled = final(integrator, integrator_jacobian, cubic)
    python = final(lambda t, x, u, p: u, lambda t, x, u, p: np.zeros((1, 1)), cubic.py_func)
    np.testing.assert_allclose(compiled, python, rtol=0, atol=1e-13)


@pytest.mark.parametrize("engine", ["python", "compiled"])
def test_given_inputs_are_held_over_each_step(engine):
    compiled = engine == "compiled"
    rhs = integrator if compiled else lambda t, x, u, p: u
    jac = integrator_jacobian if compiled else lambda t, x, u, p: np.zeros((1, 1))
    rows = np.array([[1.0], [-2.0], [4.0]])
    states = dynet.simulate(dynet.Flow(rhs, jac), [0.0], 3, dt=0.5, inputs=rows).state[:, 0]
    np.testing.assert_allclose(states, [0.0, 0.5, -0.5, 1.5], rtol=0, atol=1e-15)


@pytest.mark.parametrize("engine", ["python", "compiled"])
def test_a_bound_row_drives_the_flow(engine):
    compiled = engine == "compiled"
    rhs = integrator if compiled else lambda t, x, u, p: u
    jac = integrator_jacobian if compiled else lambda t, x, u, p: np.zeros((1, 1))
    system = dynet.Flow(rhs, jac).with_input([3.0]).to_map(0.5)
    ds = dynet.lyapunov_spectrum(system, [1.0], 4)
    np.testing.assert_allclose(ds.final_state, 7.0, rtol=0, atol=1e-14)
    np.testing.assert_allclose(ds.lyapunov_exponent, 0.0, rtol=0, atol=1e-15)


def test_the_compiled_euler_step_is_the_python_one():
    results = []
    for flow in (
        dynet.Flow(integrator, integrator_jacobian),
        dynet.Flow(lambda t, x, u, p: u, lambda *a: np.zeros((1, 1))),
    ):
        results.append(dynet.lyapunov_spectrum(flow.to_map(0.5, "euler"), [1.0], 3, inputs=[[1.0], [-2.0], [4.0]]))
    assert [ds.attrs["engine"] for ds in results] == ["compiled", "array (numpy)"]
    for ds in results:
        np.testing.assert_allclose(ds.final_state, 2.5, rtol=0, atol=1e-15)
        np.testing.assert_allclose(ds.growth, 0.0, rtol=0, atol=1e-15)


def test_scipy_functions_become_flows_with_their_arguments_as_parameters():
    k, c = 4.0, 0.2
    exact = -0.1  # underdamped: both exponents are half of the damping
    jitted = dynet.Flow.from_ode(jitted_oscillator, (k, c), jac=jitted_oscillator_jacobian)
    python = dynet.Flow.from_ode(
        jitted_oscillator.py_func, (k, c), jac=jitted_oscillator_jacobian.py_func, units=("q", "v")
    )
    differences = dynet.Flow.from_ode(lambda t, y, k, c: [y[1], -k * y[0] - c * y[1]], (k, c), jac="finite_difference")
    results = {}
    for name, flow in (("jitted", jitted), ("python", python), ("differences", differences)):
        assert flow.params == (k, c)
        results[name] = dynet.lyapunov_spectrum(flow.to_map(0.05), [1.0, 0.0], 400)
        np.testing.assert_allclose(results[name].lyapunov_exponent.sum(), 2 * exact, rtol=0, atol=1e-6)
        np.testing.assert_allclose(results[name].final_state, results["jitted"].final_state, rtol=0, atol=1e-12)
    assert results["jitted"].attrs["engine"] == "compiled"
    assert results["python"].attrs["engine"] == "array (numpy)"
    assert results["python"].unit.values.tolist() == ["q", "v"]
    assert results["differences"].attrs["jacobian"] == "finite_difference"


def test_a_single_argument_needs_no_tuple():
    flow = dynet.Flow.from_ode(lambda t, y, k: -k * y, 2.0, jac=lambda t, y, k: [[-k]])
    assert flow.params == (2.0,)
    assert dynet.check_jacobian(flow, [1.0]) < 1e-9


def test_a_flow_keeps_its_labels_when_it_becomes_a_map():
    flow = dynet.Flow(rotation, rotation_jacobian, params=1.0, time_unit="second", units=("x", "y"))
    system = flow.to_map(0.1)
    assert (system.dt, system.time_unit, system.units, system.params) == (0.1, "second", ("x", "y"), 1.0)
    ds = dynet.lyapunov_spectrum(system, [1.0, 0.0], 10)
    assert ds.lyapunov_exponent.attrs["units"] == "nat / second"
    np.testing.assert_allclose(ds.time[-1], 1.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.0,), ["dt=0.0", "positive"]),
        ((-0.1,), ["dt=-0.1"]),
        (("0.1",), ["dt="]),
        ((np.nan,), ["dt="]),
        ((0.1, "rk45"), ["method", "rk45", "rk4", "euler"]),
        ((-1.0, "heun"), ["dt=-1.0", "method", "heun"]),
    ],
)
def test_a_step_that_cannot_be_is_refused(arguments, words):
    with pytest.raises(dynet.InputError) as caught:
        dynet.zoo.lorenz63().to_map(*arguments)
    for word in words:
        assert word in str(caught.value)


def test_a_field_that_is_no_function_is_refused():
    with pytest.raises(dynet.InputError) as caught:
        dynet.Flow(np.eye(2), 7)
    assert "rhs=" in str(caught.value)
    assert "jac=7" in str(caught.value)
    with pytest.raises(dynet.InputError, match="finite_difference"):
        dynet.Flow(rotation, "autodiff")


def test_a_flow_without_jacobian_can_be_simulated_and_says_what_exponents_need():
    flow = dynet.Flow(rotation, params=1.0)
    np.testing.assert_allclose(
        dynet.simulate(flow, [1.0, 0.0], duration=np.pi / 2, dt=np.pi / 200).state[-1], [0.0, 1.0], atol=1e-7
    )
    with pytest.raises(dynet.InputError, match="finite_difference"):
        dynet.lyapunov_spectrum(flow.to_map(0.1), [1.0, 0.0], 10)


def test_flows_and_their_maps_survive_pickling():
    flow = dynet.Flow(rotation, rotation_jacobian, params=1.0)
    system = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(flow)).to_map(0.1)))
    ds = dynet.lyapunov_spectrum(system, [1.0, 0.0], 20)
    np.testing.assert_array_equal(ds.growth, dynet.lyapunov_spectrum(flow.to_map(0.1), [1.0, 0.0], 20).growth)


def test_parameters_of_a_flow_can_be_changed_by_name():
    flow = dynet.zoo.lorenz63().with_params(rho=14)
    assert flow.params.rho == 14.0
    assert flow.to_map(0.01).params.rho == 14.0
    assert dynet.zoo.lorenz63().params.rho == 28.0
