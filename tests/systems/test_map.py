"""Maps: construction, inputs and parameters made part of a system, copies that change nothing else."""

import pickle
from collections import namedtuple

import numpy as np
import pytest
from numba import njit

import dynet

EMPTY = np.empty(0)
Parameters = namedtuple("Parameters", "a b")


def tinkerbell(t, x, u, p):
    return np.array([p.a * x[0] + x[1], p.b * x[0]])


def tinkerbell_jacobian(t, x, u, p):
    return np.array([[p.a, 1.0], [p.b, 0.0]])


def driven(t, x, u, p):
    return p * x + u


def driven_jacobian(t, x, u, p):
    return p * np.eye(2)


@njit
def jitted_driven(t, x, u, p):
    return p * x[0] + u[0], p * x[1] + u[-1]


@njit
def jitted_driven_jacobian(t, x, u, p):
    return (p, 0.0), (0.0, p)


@njit
def wave(t):
    return np.array([np.cos(t), np.sin(t)])


def test_linearize_is_step_and_jacobian_in_one_call():
    p = Parameters(0.5, 0.25)
    system = dynet.Map(tinkerbell, tinkerbell_jacobian, params=p)
    y, J = system.linearize(0.0, np.array([1.0, 2.0]), EMPTY, p)
    np.testing.assert_array_equal(y, [2.5, 0.25])
    np.testing.assert_array_equal(J, [[0.5, 1.0], [0.25, 0.0]])


def test_a_jacobian_comes_out_of_linearize_when_only_that_is_given():
    p = Parameters(0.5, 0.25)
    system = dynet.Map(
        tinkerbell, linearize=lambda t, x, u, p: (tinkerbell(t, x, u, p), tinkerbell_jacobian(t, x, u, p)), params=p
    )
    np.testing.assert_array_equal(system.jac(0.0, np.ones(2), EMPTY, p), tinkerbell_jacobian(0.0, None, None, p))


def test_a_changed_parameter_leaves_the_original_alone():
    system = dynet.Map(tinkerbell, tinkerbell_jacobian, params=Parameters(1.0, 2.0))
    changed = system.with_params(b=3)
    assert changed.params == Parameters(1.0, 3.0)
    assert isinstance(changed.params.b, float)
    assert system.params == Parameters(1.0, 2.0)
    assert system.with_params(Parameters(7.0, 8.0)).params == Parameters(7.0, 8.0)


def test_parameters_of_python_functions_may_be_a_dict():
    system = dynet.Map(
        lambda t, x, u, p: p["a"] * x, lambda t, x, u, p: [[p["a"]]], params={"a": 0.5, "b": 1}
    ).with_params(a=0.25)
    assert system.params == {"a": 0.25, "b": 1}
    spectrum = dynet.lyapunov_spectrum(system, [1], 10)
    np.testing.assert_allclose(spectrum.lyapunov_exponent, np.log(0.25), rtol=1e-14)


def test_no_change_keeps_the_parameters():
    system = dynet.Map(tinkerbell, tinkerbell_jacobian, params=Parameters(1.0, 2.0))
    assert system.with_params().params == Parameters(1.0, 2.0)


@pytest.mark.parametrize("params", [Parameters(1.0, 2.0), {"a": 1.0}, np.ones(3), None])
def test_an_unknown_parameter_is_named(params):
    system = dynet.Map(tinkerbell, tinkerbell_jacobian, params=params)
    with pytest.raises(dynet.InputError, match="gamma=2"):
        system.with_params(gamma=2)


def test_new_parameters_and_changes_exclude_each_other():
    system = dynet.Map(tinkerbell, tinkerbell_jacobian, params=Parameters(1.0, 2.0))
    with pytest.raises(dynet.InputError, match="not both"):
        system.with_params(Parameters(0.0, 0.0), a=1.0)


@pytest.mark.parametrize(
    ("step", "jac"), [(driven, driven_jacobian), (jitted_driven, jitted_driven_jacobian)], ids=["python", "jitted"]
)
class TestWithInput:
    def test_a_constant_row_is_the_input_of_every_step(self, step, jac):
        system = dynet.Map(step, jac, params=0.5)
        bound = dynet.simulate(system.with_input([1.0, -2.0]), [0.3, 0.1], 20)
        given = dynet.simulate(system, [0.3, 0.1], 20, inputs=np.tile([1.0, -2.0], (20, 1)))
        np.testing.assert_array_equal(bound.state, given.state)

    def test_a_function_of_time_is_asked_at_the_time_of_each_step(self, step, jac):
        signal = wave if step is jitted_driven else wave.py_func
        system = dynet.Map(step, jac, params=0.5, dt=0.25)
        bound = dynet.simulate(system.with_input(signal), [0.3, 0.1], 20)
        rows = np.stack([wave.py_func(0.25 * k) for k in range(20)])
        given = dynet.simulate(system, [0.3, 0.1], 20, inputs=rows)
        np.testing.assert_allclose(bound.state, given.state, rtol=0, atol=1e-15)

    def test_exponents_of_a_bound_and_a_given_input_are_the_same(self, step, jac):
        system = dynet.Map(step, jac, params=0.5)
        bound = dynet.lyapunov_spectrum(system.with_input([1.0, -2.0]), [0.3, 0.1], 40, qr_interval=1)
        given = dynet.lyapunov_spectrum(system, [0.3, 0.1], 40, inputs=np.tile([1.0, -2.0], (40, 1)), qr_interval=1)
        np.testing.assert_allclose(bound.growth, given.growth, rtol=0, atol=1e-14)
        np.testing.assert_allclose(bound.final_state, given.final_state, rtol=0, atol=1e-14)
        assert bound.attrs["engine"] == ("compiled" if step is jitted_driven else "array (numpy)")


def test_another_bound_row_compiles_nothing():
    from dynet.kernels.qr import TUPLE_BLOCKS

    system = dynet.Map(jitted_driven, jitted_driven_jacobian, params=0.5)
    dynet.lyapunov_spectrum(system.with_input([0.1]), [0.1, 0.2], 20)
    before = len(TUPLE_BLOCKS["map"].signatures)
    assert before > 0
    for row, p in (([0.7], 0.25), (np.array([-0.2, 0.4]), 0.5), (0.3, 0.75)):
        bound = dynet.lyapunov_spectrum(system.with_params(p).with_input(row), [0.1, 0.2], 20, n_transient=4)
        np.testing.assert_allclose(bound.lyapunov_exponent, np.log(p), rtol=1e-13)
    assert len(TUPLE_BLOCKS["map"].signatures) == before


@pytest.mark.parametrize("row", [0.7, [0.7], np.array([0.7]), np.float32(0.7), np.array(0.7)])
def test_a_single_channel_may_be_bound_as_a_number(row):
    system = dynet.Map(lambda t, x, u, p: 0.5 * x + u[0], lambda t, x, u, p: [[0.5]]).with_input(row)
    np.testing.assert_allclose(dynet.simulate(system, [0.0], 2).state[:, 0], [0.0, 0.7, 1.05], rtol=1e-7)


@pytest.mark.parametrize("u", [np.zeros((3, 2)), "noise", [np.nan], [1j]])
def test_an_unusable_bound_input_is_named(u):
    with pytest.raises(dynet.InputError, match="u="):
        dynet.Map(driven, driven_jacobian).with_input(u)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"step": 3}, "step=3"),
        ({"step": driven, "jac": np.eye(2)}, "jac="),
        ({"step": driven, "jac": "autodiff"}, "finite_difference"),
        ({"step": driven, "dt": 0}, "dt=0"),
        ({"step": driven, "dt": np.inf}, "dt="),
        ({"step": driven, "dt": "fast"}, "dt="),
        ({"step": driven, "linearize": 5}, "linearize=5"),
    ],
)
def test_a_map_that_cannot_be_is_refused_when_it_is_made(arguments, word):
    with pytest.raises(dynet.InputError, match=word):
        dynet.Map(**arguments)


def test_all_faults_of_a_map_stand_in_one_error():
    with pytest.raises(dynet.InputError) as caught:
        dynet.Map(1, 2, dt=-1.0)
    assert all(word in str(caught.value) for word in ("step=1", "jac=2", "dt=-1.0"))


def test_maps_of_module_level_functions_survive_pickling():
    system = dynet.Map(tinkerbell, tinkerbell_jacobian, params=Parameters(0.5, 0.25), dt=0.5, units=("a", "b"))
    again = pickle.loads(pickle.dumps(system.with_params(a=0.75)))
    assert again.params == Parameters(0.75, 0.25)
    assert again.dt == 0.5
    np.testing.assert_array_equal(
        dynet.lyapunov_spectrum(again, [1.0, 0.0], 20).growth,
        dynet.lyapunov_spectrum(system.with_params(a=0.75), [1.0, 0.0], 20).growth,
    )
    bound = pickle.loads(pickle.dumps(dynet.Map(driven, driven_jacobian, params=0.5).with_input([1.0, 2.0])))
    np.testing.assert_array_equal(bound.step(0.0, np.zeros(2), EMPTY, 0.5), [1.0, 2.0])


def test_a_map_cannot_be_changed_in_place():
    system = dynet.zoo.henon()
    with pytest.raises(AttributeError):
        system.dt = 2.0
