"""Bad input: one clear error that names the argument, its value and the way out."""

import pickle

import numpy as np
import pytest
from numba import njit

import dynet

spectrum, Map = dynet.lyapunov_spectrum, dynet.Map
zoo, networks = dynet.zoo, dynet.networks
HENON = zoo.henon()
PYTHON = dynet.Map(HENON.step.py_func, HENON.jac.py_func, params=HENON.params, units=("x", "y"))
X0 = [0.1, 0.1]
NET = networks.tanh_rnn(np.diag([0.5, 0.4, 0.3]), np.ones((3, 2)))
FREE = networks.tanh_rnn(np.diag([0.5, 0.4, 0.3]))
GOOD = np.zeros((10, 2))


def run(*functions, **options):
    return spectrum(Map(*functions, **options), X0, 10)


def fault(call):
    with pytest.raises(dynet.InputError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        # the system
        (lambda: spectrum(zoo.lorenz63(), [1, 1, 1], 10), ["Flow", "to_map(dt)", "dt=0.01"]),
        (lambda: spectrum(lambda t, x: x, X0, 10), ["system=", "dynet.Map(step, jac)", "step(t, x, u, p)"]),
        (lambda: spectrum(np.eye(2), X0, 10), ["system=array of shape (2, 2)", "dynet.Map"]),
        (lambda: spectrum(None, X0, 10), ["system=None", "dynet.Map"]),
        (lambda: spectrum(Map(lambda t, x, u, p: x), X0, 10), ["jac is missing", '"finite_difference"']),
        # numbers of steps and exponents
        (lambda: spectrum(HENON, X0, 0), ["n_steps=0", "at least 1"]),
        (lambda: spectrum(HENON, X0, -5), ["n_steps=-5"]),
        (lambda: spectrum(HENON, X0, 10.0), ["n_steps=10.0", "whole number"]),
        (lambda: spectrum(HENON, X0, True), ["n_steps=True"]),
        (lambda: spectrum(HENON, X0, "many"), ["n_steps='many'"]),
        (lambda: spectrum(HENON, X0, None), ["n_steps=None"]),
        (lambda: spectrum(HENON, X0, 10, n_transient=-1), ["n_transient=-1"]),
        (lambda: spectrum(HENON, X0, 10, n_exponents=3), ["n_exponents=3", "from 1 to 2", "2 units"]),
        (lambda: spectrum(HENON, X0, 10, n_exponents=0), ["n_exponents=0"]),
        (lambda: spectrum(HENON, X0, 10, n_exponents=1.0), ["n_exponents=1.0"]),
        (lambda: spectrum(HENON, X0, 10, qr_interval=0), ["qr_interval=0", '"auto"']),
        (lambda: spectrum(HENON, X0, 10, qr_interval="often"), ["qr_interval='often'"]),
        (lambda: spectrum(HENON, X0, 10, frame="svd"), ["frame='svd'", "qr", "lu"]),
        (lambda: spectrum(HENON, X0, 10, tolerance=0), ["tolerance=0", "positive"]),
        (lambda: spectrum(HENON, X0, 10, tolerance=np.nan), ["tolerance"]),
        # the start
        (lambda: spectrum(HENON, None, 10), ["x0 is None", "(n,)"]),
        (lambda: spectrum(HENON, 0.1, 10), ["x0=0.1", "(n,)"]),
        (lambda: spectrum(HENON, [], 10), ["x0"]),
        (lambda: spectrum(HENON, np.zeros((2, 2, 2)), 10), ["x0=array of shape (2, 2, 2)", "(sequence, n)"]),
        (lambda: spectrum(HENON, [0.1, 0.2, 0.3], 10), ["3", "2"]),
        (lambda: spectrum(FREE, [0.1, 0.2], 10), ["x0=array of shape (2,)", "3 units"]),
        (lambda: spectrum(HENON, ["a", "b"], 10), ["x0", "numbers"]),
        (lambda: spectrum(HENON, [0.1 + 1j, 0.2], 10), ["x0", "complex"]),
        (lambda: spectrum(HENON, [[0.1, 0.2], [0.1]], 10), ["x0", "rectangular"]),
        (lambda: spectrum(HENON, {"x": 0.1}, 10), ["x0", "numbers"]),
        # inputs
        (lambda: spectrum(NET, None, 10, inputs=np.zeros((9, 2))), ["inputs has 9 rows", "10"]),
        (lambda: spectrum(NET, None, 8, n_transient=3, inputs=GOOD), ["inputs has 10 rows", "11"]),
        (lambda: spectrum(NET, None, 10, inputs=np.zeros((10, 3))), ["inputs has 3 channels", "reads 2"]),
        (lambda: spectrum(FREE, [0.1] * 3, 10, inputs=GOOD), ["inputs has 2 channels", "no input weights"]),
        (lambda: spectrum(NET, None, 10, inputs=np.zeros(10)), ["inputs", "inputs[:, None]"]),
        (lambda: spectrum(NET, None, 10, inputs=np.zeros((1, 1, 10, 2))), ["inputs", "(sequence, time, channel)"]),
        (lambda: spectrum(NET, None, 10, inputs=np.sin), ["inputs", "with_input"]),
        (lambda: spectrum(NET, None, 10, inputs="noise"), ["inputs", "numbers"]),
        (lambda: spectrum(NET, None, 10, inputs=GOOD * 1j), ["inputs", "complex"]),
        (lambda: spectrum(NET, None, 10, inputs=np.where(np.eye(10, 2, -3), np.nan, 0.0)), ["inputs", "[3, 0]"]),
        (lambda: spectrum(NET, np.zeros((2, 3)), 10, inputs=np.zeros((3, 10, 2))), ["x0 has 2", "inputs has 3"]),
        (lambda: spectrum(NET.with_input([1.0, 2.0, 3.0]), [0.1] * 3, 10), ["3 channels", "reads 2"]),
        # lengths
        (lambda: spectrum(NET, None, 10, inputs=np.zeros((2, 10, 2)), lengths=[10]), ["lengths", "2 sequences"]),
        (lambda: spectrum(NET, None, 10, inputs=np.zeros((2, 10, 2)), lengths=[10, 11]), ["lengths", "10"]),
        (lambda: spectrum(NET, None, 10, inputs=np.zeros((2, 10, 2)), lengths=[10, 0]), ["lengths"]),
        (lambda: spectrum(NET, None, 10, inputs=np.zeros((2, 10, 2)), lengths=[9.5, 10]), ["lengths", "whole number"]),
        (lambda: spectrum(NET, None, 5, n_transient=5, inputs=np.zeros((2, 10, 2)), lengths=[10, 5]), ["lengths", "6"]),
        # the frame
        (lambda: spectrum(HENON, X0, 10, initial_frame=np.eye(3)), ["initial_frame", "(2, k)"]),
        (lambda: spectrum(HENON, X0, 10, n_exponents=1, initial_frame=np.eye(2)), ["initial_frame", "(2, 1)"]),
        (lambda: spectrum(HENON, X0, 10, initial_frame=[1.0, 0.0]), ["initial_frame"]),
        (lambda: spectrum(HENON, X0, 10, initial_frame=np.ones((2, 3))), ["initial_frame"]),
        (lambda: spectrum(HENON, X0, 10, initial_frame=np.ones((2, 2))), ["initial_frame", "independent"]),
        (lambda: spectrum(HENON, X0, 10, initial_frame=[[1, np.nan], [0, 1]]), ["initial_frame", "finite"]),
        (lambda: spectrum(HENON, X0, 10, initial_frame="random"), ["initial_frame", "numbers"]),
        (lambda: spectrum(HENON, X0, 10, initial_frame=np.eye(2) * 1j), ["initial_frame", "complex"]),
        # what the functions return
        (lambda: run(lambda t, x, u, p: x[:1], lambda t, x, u, p: np.eye(2)), ["step", "(1,)", "(2,)"]),
        (lambda: run(lambda t, x, u, p: x @ x, lambda t, x, u, p: np.eye(2)), ["step", "()"]),
        (lambda: run(lambda t, x, u, p: x, lambda t, x, u, p: np.eye(3)), ["jac", "(3, 3)", "(2, 2)"]),
        (lambda: run(lambda t, x, u, p: x, lambda t, x, u, p: x), ["jac", "(2, 2)"]),
        (lambda: run(lambda t, x, u, p: x, lambda t, x, u, p: None), ["jac", "(2, 2)"]),
        (lambda: run(lambda t, x, u, p: None, lambda t, x, u, p: np.eye(2)), ["step"]),
        (lambda: run(lambda t, x, u, p: x * 1j, lambda t, x, u, p: np.eye(2)), ["step", "complex"]),
        (lambda: run(lambda t, x, u, p: x, lambda t, x, u, p: 1j * np.eye(2)), ["jac", "complex"]),
        (lambda: run(lambda t, x, u, p: x, linearize=lambda t, x, u, p: x), ["linearize", "pair"]),
        (lambda: spectrum(PYTHON_TRANSPOSED, X0, 10), ["jac disagrees", "transposed", "check=False"]),
        (lambda: spectrum(JITTED_TRANSPOSED, X0, 10), ["jac disagrees", "transposed", "check=False"]),
        # labels
        (lambda: run(HENON.step, HENON.jac, params=HENON.params, units=("x",)), ["units", "1 entries", "2"]),
        (lambda: run(HENON.step, HENON.jac, params=HENON.params, units=("x", "x")), ["units", "repeat"]),
    ],
)  # fmt: skip
def test_an_argument_that_cannot_be_used_is_named_with_the_way_out(call, words):
    message = fault(call)
    for word in words:
        assert word in message


PYTHON_TRANSPOSED = dynet.Map(
    HENON.step.py_func, lambda t, x, u, p: np.array(HENON.jac.py_func(t, x, u, p)).T, params=HENON.params
)


@njit
def transposed(t, x, u, p):
    return (-2.0 * p.a * x[0], p.b), (1.0, 0.0)


JITTED_TRANSPOSED = dynet.Map(HENON.step, transposed, params=HENON.params)


def test_an_error_is_told_without_the_machinery_behind_it():
    message = fault(lambda: spectrum(HENON, X0, 0))
    assert message == "n_steps=0: give a whole number of at least 1"
    assert issubclass(dynet.InputError, ValueError)
    assert issubclass(dynet.InputError, dynet.DynetError)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (
            lambda: spectrum(HENON, X0, 0, n_transient=-1, qr_interval=0, frame="svd"),
            ["n_steps=0", "n_transient=-1", "qr_interval=0", "frame='svd'"],
        ),
        (lambda: spectrum(HENON, X0, 0, tolerance=-1), ["n_steps=0", "tolerance=-1"]),
        (lambda: spectrum(NET, [0.1], 10, inputs=np.zeros((3, 2))), ["x0", "inputs has 3 rows"]),
        (lambda: spectrum(NET, "x", 10, inputs="u"), ["x0", "inputs"]),
        (
            lambda: spectrum(FREE, [0.1] * 3, 10, n_exponents=7, initial_frame=np.ones((2, 2))),
            ["n_exponents=7", "initial_frame"],
        ),
    ],
)
def test_several_faults_are_all_named_in_one_error(call, names):
    message = fault(call)
    for name in names:
        assert name in message


def test_a_torch_module_is_sent_to_the_adapter():
    torch = pytest.importorskip("torch")
    message = fault(lambda: spectrum(torch.nn.RNN(2, 3), None, 10))
    assert "RNN" in message
    assert "dynet.torch.from_module(model)" in message


def test_a_jitted_function_that_does_not_compile_is_named():
    @njit
    def step(t, x, u, p):
        return x.nonsense

    message = fault(lambda: spectrum(dynet.Map(step, HENON.jac), X0, 10))
    assert "step" in message
    assert "numba" in message


def test_a_dict_of_parameters_for_a_jitted_function_is_refused():
    message = fault(lambda: spectrum(dynet.Map(HENON.step, HENON.jac, params={"a": 1.4}), X0, 10))
    assert "numba" in message


# --- what stops being finite ---------------------------------------------------------------------------------


@pytest.mark.parametrize("system", [HENON, PYTHON], ids=["compiled", "python"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_start_that_is_not_finite_is_named_by_its_unit(system, bad):
    with pytest.raises(dynet.DivergenceError, match="x0") as caught:
        spectrum(system, [0.1, bad], 10)
    assert caught.value.unit == "y"
    with pytest.raises(dynet.DivergenceError, match="x0") as caught:
        spectrum(system, [[0.1, 0.1], [bad, 0.1]], 10)
    assert (caught.value.unit, caught.value.sequence) == ("x", 1)


def escape(x):
    """Return the number of the step of the Hénon map whose result is not finite."""
    x, step = np.asarray(x, float), -1
    with np.errstate(over="ignore", invalid="ignore"):
        while np.isfinite(x).all():
            x, step = np.array([1 - 1.4 * x[0] * x[0] + x[1], 0.3 * x[0]]), step + 1
    return step


@pytest.mark.parametrize("system", [HENON, PYTHON], ids=["compiled", "python"])
@pytest.mark.parametrize("interval", ["auto", 1, 3])
@pytest.mark.parametrize("x0", [[1.5, 0.5], [3.0, -1.0], [1.025, 0.55]])
def test_an_escape_to_infinity_is_reported_at_its_step(system, interval, x0):
    step = escape(x0)
    with pytest.raises(dynet.DivergenceError, match=f"after step {step}, first in unit x") as caught:
        spectrum(system, x0, 400, qr_interval=interval)
    assert (caught.value.step, caught.value.unit, caught.value.sequence) == (step, "x", 0)


@pytest.mark.parametrize("n_transient", [0, 3, 50])
def test_steps_are_counted_from_the_start_of_the_transient(n_transient):
    step = escape([1.5, 0.5])
    for system in (HENON, PYTHON):
        with pytest.raises(dynet.DivergenceError) as caught:
            spectrum(system, [1.5, 0.5], 100, n_transient=n_transient)
        assert caught.value.step == step


@pytest.mark.parametrize("system", [HENON, PYTHON], ids=["compiled", "python"])
def test_the_sequence_that_escapes_is_named(system):
    x0 = [[0.1, 0.1], [0.2, 0.1], [1.5, 0.5]]
    with pytest.raises(dynet.DivergenceError, match="sequence 2") as caught:
        spectrum(system, x0, 100)
    assert (caught.value.sequence, caught.value.step, caught.value.unit) == (2, escape([1.5, 0.5]), "x")
    with pytest.raises(dynet.DivergenceError) as caught:
        spectrum(system, x0, 100, lengths=[100, 90, 80])
    assert caught.value.sequence == 2


def test_the_sequence_and_step_of_a_vectorized_escape_are_named():
    system = dynet.Map(
        lambda t, x, u, p: x * x, lambda t, x, u, p: 2 * x[..., None] * np.eye(2), vectorized=True, units=("a", "b")
    )
    with pytest.raises(dynet.DivergenceError) as caught:
        spectrum(system, [[0.5, 0.5], [0.5, 2.0], [0.5, 0.5]], 100)
    # 2^(2^k) overflows at k = 10, the result of step 9
    assert (caught.value.step, caught.value.unit, caught.value.sequence) == (9, "b", 1)


@pytest.mark.parametrize("frame", ["qr", "lu"])
def test_a_jacobian_that_turns_to_nan_is_reported_at_its_step(frame):
    def jacobian(t, x, u, p):
        return np.diag([0.5, np.nan if t == 17 else 0.5])

    system = dynet.Map(lambda t, x, u, p: 0.5 * x, jacobian)
    with pytest.raises(dynet.DivergenceError, match="Jacobian") as caught:
        spectrum(system, [1.0, 1.0], 60, frame=frame, check=False)
    assert caught.value.step == 17


def test_a_first_step_that_is_not_finite_is_named_by_its_unit():
    system = dynet.Map(lambda t, x, u, p: np.array([x[0], np.inf]), lambda t, x, u, p: np.eye(2), units=("v", "w"))
    with pytest.raises(dynet.DivergenceError) as caught:
        spectrum(system, [1.0, 1.0], 10)
    assert (caught.value.step, caught.value.unit) == (0, "w")
    system = dynet.Map(lambda t, x, u, p: x, lambda t, x, u, p: np.diag([1.0, np.nan]), units=("v", "w"))
    with pytest.raises(dynet.DivergenceError, match="jac") as caught:
        spectrum(system, [1.0, 1.0], 10)
    assert (caught.value.step, caught.value.unit) == (0, "w")


def test_a_flow_that_blows_up_is_reported():
    flow = dynet.Flow(lambda t, x, u, p: x * x, lambda t, x, u, p: 2 * x[:, None])
    with pytest.raises(dynet.DivergenceError) as caught:
        spectrum(flow.to_map(0.01), [1.0], 1_000)
    # dx/dt = x^2 from 1 is infinite at t = 1
    assert 95 < caught.value.step < 125


def test_divergence_is_an_arithmetic_error_of_dynet():
    assert issubclass(dynet.DivergenceError, ArithmeticError)
    assert issubclass(dynet.DivergenceError, dynet.DynetError)
    assert issubclass(dynet.ConvergenceError, dynet.DynetError)


def test_errors_survive_pickling():
    with pytest.raises(dynet.DivergenceError) as caught:
        spectrum(HENON, [[0.1, 0.1], [1.5, 0.5]], 100)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is dynet.DivergenceError
    assert str(again) == str(caught.value)
    assert (again.step, again.unit, again.sequence) == (caught.value.step, "x", 1)
    stuck = pickle.loads(pickle.dumps(dynet.ConvergenceError("stuck", residual=0.5, result={"x": 1})))
    assert (str(stuck), stuck.residual, stuck.result) == ("stuck", 0.5, {"x": 1})
    assert str(pickle.loads(pickle.dumps(dynet.InputError("n=0: no")))) == "n=0: no"


# --- habits that are no faults -------------------------------------------------------------------------------


def test_habits_of_writing_are_understood():
    reference = spectrum(dynet.Map(lambda t, x, u, p: 0.5 * x, lambda t, x, u, p: 0.5 * np.eye(2)), [1.0, 2.0], 20)
    steps = [lambda t, x, u, p: [0.5 * x[0], 0.5 * x[1]], lambda t, x, u, p: (0.5 * x[0], p["a"] * x[1])]
    jacs = [lambda t, x, u, p: [[0.5, 0], [0, 0.5]], lambda t, x, u, p: ((0.5, 0.0), (0.0, p["a"]))]
    for step in steps:
        for jac in jacs:
            for x0 in ([1, 2], (1.0, 2.0), np.array([1, 2]), np.array([1, 2], np.float32).astype(float)):
                ds = spectrum(dynet.Map(step, jac, params={"a": 0.5}), x0, 20)
                np.testing.assert_allclose(ds.growth, reference.growth, rtol=0, atol=1e-14)
                np.testing.assert_allclose(ds.final_state, reference.final_state, rtol=0, atol=1e-20)


def test_a_scalar_state_is_an_array_of_one():
    for jac in ([[0.5]], ((0.5,),), np.array([[0.5]])):
        ds = spectrum(dynet.Map(lambda t, x, u, p: 0.5 * x, lambda t, x, u, p, J=jac: J), [1], 30)
        np.testing.assert_allclose(ds.lyapunov_exponent, [np.log(0.5)], rtol=1e-14)


def test_numpy_integers_count_like_python_ones():
    ds = spectrum(HENON, X0, np.int64(50), n_transient=np.int32(5), n_exponents=np.int8(2), qr_interval=np.int64(2))
    assert ds.attrs["n_steps"] == 50


def test_the_arguments_of_a_call_are_left_alone():
    x0, frame = np.array([[0.1, 0.1], [0.2, 0.1]]), np.array([[2.0, 1.0], [0.0, 3.0]])
    copies = x0.copy(), frame.copy()
    for system in (HENON, PYTHON):
        spectrum(system, x0, 50, initial_frame=frame)
        dynet.simulate(system, x0, 50)
    inputs, weights = np.random.default_rng(0).standard_normal((2, 10, 2)), NET.params[0].W_hh.copy()
    kept = inputs.copy()
    for method in ("qr", "lu"):
        spectrum(NET, None, 10, inputs=inputs, frame=method)
    np.testing.assert_array_equal(x0, copies[0])
    np.testing.assert_array_equal(frame, copies[1])
    np.testing.assert_array_equal(inputs, kept)
    np.testing.assert_array_equal(NET.params[0].W_hh, weights)


@pytest.mark.parametrize("jitted", [True, False])
def test_a_step_that_writes_into_its_argument_is_refused(jitted):
    def step(t, x, u, p):
        x[0], x[1] = 1.0 - 1.4 * x[0] * x[0] + x[1], 0.3 * x[0]
        return x

    def jac(t, x, u, p):
        return np.array([[-2.8 * x[0], 1.0], [0.3, 0.0]])

    x0 = np.array([[0.1, 0.1], [0.2, 0.1]])
    system = dynet.Map(njit(step), njit(jac)) if jitted else dynet.Map(step, jac)
    assert "writes into its argument x" in fault(lambda: spectrum(system, x0, 30))
    np.testing.assert_array_equal(x0, [[0.1, 0.1], [0.2, 0.1]])


def test_faults_of_the_users_functions_are_told_with_what_they_were_given():
    W = np.ones((5, 5))
    system = dynet.Map(lambda t, x, u, p: np.tanh(W @ x), lambda t, x, u, p: W)
    message = fault(lambda: spectrum(system, np.ones(4), 10))
    assert "shape (4,)" in message
    assert "x0" in message
    three = dynet.Map(lambda t, x, u: x, lambda t, x, u: np.eye(2))
    assert "f(t, x, u, p)" in fault(lambda: spectrum(three, np.ones(2), 10))


def test_padding_may_hold_anything():
    inputs = np.random.default_rng(0).standard_normal((2, 20, 2))
    padded = inputs.copy()
    padded[1, 12:] = np.nan
    a, b = (spectrum(NET, None, 15, inputs=given, n_transient=5, lengths=[20, 12]) for given in (inputs, padded))
    np.testing.assert_array_equal(a.sequence_exponent, b.sequence_exponent)
    assert np.isnan(padded[1, 12:]).all()


def test_empty_inputs_and_unknown_random_sources_are_named():
    assert "at least one sequence" in fault(lambda: spectrum(NET, None, 10, inputs=np.zeros((0, 10, 2))))
    assert "rng='x'" in fault(lambda: spectrum(HENON, X0, 10, rng="x"))
    tokens = np.zeros((6, 10), dtype=int)
    assert "encode=" in fault(lambda: spectrum(NET, None, 10, inputs=tokens))
