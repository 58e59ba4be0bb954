"""One system, every way to give it: the numbers must not depend on the way."""

import dataclasses

import numpy as np
import pytest
from numba import njit
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import dynet
from dynet.systems.operators import ScaledSum, Term
from tests.compiled_systems import (
    driven_jac,
    driven_step,
    henon_pair,
    henon_step,
    late_jac,
    late_step,
    recorded_jac,
    recorded_step,
)

spectrum = dynet.lyapunov_spectrum
networks, zoo = dynet.networks, dynet.zoo
EYE = np.eye(2)

# --- the Hénon map in every form -----------------------------------------------------------------------------


def py_step(t, x, u, p):
    return np.array([1.0 - 1.4 * x[0] * x[0] + x[1], 0.3 * x[0]])


def py_jac(t, x, u, p):
    return np.array([[-2.8 * x[0], 1.0], [0.3, 0.0]])


def py_linearize(t, x, u, p):
    return py_step(t, x, u, p), py_jac(t, x, u, p)


def list_step(t, x, u, p):
    return [1.0 - 1.4 * x[0] * x[0] + x[1], 0.3 * x[0]]


def tuple_jac(t, x, u, p):
    return (-2.8 * x[0], 1.0), (0.3, 0.0)


def unpacking_step(t, x, u, p):
    a, b = x
    return 1.0 - 1.4 * a * a + b, 0.3 * a


def mixed_jac(t, x, u, p):
    return (-2.8 * x[0], 1), (0.3, 0)


def filled_step(t, x, u, p):
    out = np.empty(2)
    out[0], out[1] = 1.0 - 1.4 * x[0] * x[0] + x[1], 0.3 * x[0]
    return out


def slicing_step(t, x, u, p):
    y = x[::-1]  # no tuple has this
    return np.array([1.0 - 1.4 * y[1] * y[1] + y[0], 0.3 * y[1]])


jit_step, jit_jac = njit(py_step), njit(py_jac)
jit_unpacking, jit_mixed = njit(unpacking_step), njit(mixed_jac)

FORMS = {
    "array literals, jitted": (dynet.Map(jit_step, jit_jac), "compiled"),
    "filled arrays, jitted": (dynet.Map(njit(filled_step), jit_jac), "compiled"),
    "array literals of array expressions, jitted": (dynet.Map(njit(slicing_step), jit_jac), "compiled"),
    "tuples, jitted": (zoo.henon(), "compiled"),
    "tuples that unpack the state, floats and integers, jitted": (dynet.Map(jit_unpacking, jit_mixed), "compiled"),
    "linearize, jitted": (dynet.Map(henon_step, linearize=henon_pair), "compiled"),
    "python arrays": (dynet.Map(py_step, py_jac), "array (numpy)"),
    "python lists": (dynet.Map(list_step, lambda *a: py_jac(*a).tolist()), "array (numpy)"),
    "python tuples": (dynet.Map(henon_step.py_func, tuple_jac), "array (numpy)"),
    "python linearize": (dynet.Map(py_step, linearize=py_linearize), "array (numpy)"),
    "jitted step, python jacobian": (dynet.Map(jit_step, py_jac), "array (numpy)"),
    "python step, jitted jacobian": (dynet.Map(py_step, jit_jac), "array (numpy)"),
}


@pytest.fixture(scope="module")
def henon_steps(textbook_growth):
    rows, x, _ = textbook_growth(py_step, py_jac, np.array([0.1, 0.2]), EYE, 12)
    return rows, x


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_henon_map_grows_step_by_step_like_the_textbook_loop(form, henon_steps):
    system, engine = FORMS[form]
    ds = spectrum(system, [0.1, 0.2], 12, initial_frame=EYE, qr_interval=1)
    assert ds.attrs["engine"] == engine
    rows, x = henon_steps
    np.testing.assert_allclose(ds.growth[0], rows, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ds.final_state[0], x, rtol=0, atol=1e-13)


def test_a_jitted_ode_that_returns_literals_runs_in_tuples(counted_arrays):
    @njit
    def decay(t, y, rate):
        return np.array([-rate * y[0], -2 * rate * y[1]])

    @njit
    def slope(t, x, u, p):
        return np.array([[-p[0], 0.0], [0.0, -2 * p[0]]])

    flow = dataclasses.replace(dynet.Flow.from_ode(decay, args=(0.5,)), jac=slope)
    system = flow.to_map(0.1, method="euler")
    ds = spectrum(system, [1.0, 1.0], 40, initial_frame=EYE)
    np.testing.assert_allclose(ds.lyapunov_exponent, np.log([0.95, 0.9]) / 0.1, rtol=1e-12)
    before = counted_arrays()
    spectrum(system, [1.0, 1.0], 20_000, initial_frame=EYE, check=False)
    assert counted_arrays() - before < 5_000  # an array a step would be 20,000 and more


@pytest.fixture
def counted_arrays():
    """Return a function that counts the arrays which compiled code has made so far."""
    from numba.core.runtime import nrt

    nrt._nrt.memsys_enable_stats()
    yield lambda: nrt._nrt.memsys_get_stats_alloc()
    nrt._nrt.memsys_disable_stats()


@pytest.mark.parametrize("form", [py_step, list_step, slicing_step, filled_step])
def test_differences_of_a_jitted_step_grow_like_its_jacobian(form, henon_steps):
    system = dynet.Map(njit(form), "finite_difference")
    for x0 in ([0.1, 0.2], [[0.1, 0.2], [0.3, 0.1]]):
        ds = spectrum(system, x0, 12, initial_frame=EYE, qr_interval=1)
        np.testing.assert_allclose(ds.growth[0], henon_steps[0], rtol=0, atol=1e-8)


def test_a_jitted_flow_of_literals_takes_differences():
    flow = dynet.Flow(njit(lambda t, x, u, p: np.array([x[1], -x[0] - 0.2 * x[1]])), "finite_difference")
    ds = spectrum(flow.to_map(0.01), [1.0, 0.0], 400, initial_frame=EYE)
    np.testing.assert_allclose(ds.lyapunov_exponent.sum(), -0.2, rtol=0, atol=1e-8)


def test_differences_grow_like_the_jacobian(henon_steps):
    ds = spectrum(dynet.Map(py_step, "finite_difference"), [0.1, 0.2], 12, initial_frame=EYE, qr_interval=1)
    np.testing.assert_allclose(ds.growth[0], henon_steps[0], rtol=0, atol=1e-8)
    assert ds.attrs["jacobian"] == "finite_difference"


def test_compiled_and_array_exponents_agree_within_their_error_bars():
    compiled = spectrum(zoo.henon(), [0.1, 0.1], 200_000, n_transient=100)
    python = spectrum(dynet.Map(py_step, py_jac), [0.3, 0.1], 5_000, n_transient=100)
    gap = np.abs(compiled.lyapunov_exponent - python.lyapunov_exponent)
    assert (gap < 4 * np.hypot(compiled.standard_error, python.standard_error)).all()


# --- the Lorenz system ---------------------------------------------------------------------------------------

LORENZ = zoo.lorenz63()


def lorenz_rhs(t, x, u, p):
    return np.array([10.0 * (x[1] - x[0]), x[0] * (28.0 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])


def lorenz_jac(t, x, u, p):
    return np.array([[-10.0, 10.0, 0.0], [28.0 - x[2], -1.0, -x[0]], [x[1], x[0], -8 / 3]])


def test_the_compiled_and_the_array_flow_take_the_same_steps():
    method = "rk4"
    frame = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    x0 = [1.0, 2.0, 20.0]
    reference = spectrum(LORENZ.to_map(0.01, method), x0, 20, initial_frame=frame, qr_interval=1)
    assert reference.attrs["engine"] == "compiled"
    for jac in (lorenz_jac, lambda *a: csr_array(lorenz_jac(*a)), lambda *a: aslinearoperator(lorenz_jac(*a))):
        ds = spectrum(dynet.Flow(lorenz_rhs, jac).to_map(0.01, method), x0, 20, initial_frame=frame, qr_interval=1)
        assert ds.attrs["engine"] == "array (numpy)"
        np.testing.assert_allclose(ds.growth, reference.growth, rtol=0, atol=1e-12)
        np.testing.assert_allclose(ds.final_state, reference.final_state, rtol=0, atol=1e-11)
    differenced = dynet.Flow(lorenz_rhs, "finite_difference").to_map(0.01, method)
    ds = spectrum(differenced, x0, 20, initial_frame=frame, qr_interval=1)
    np.testing.assert_allclose(ds.growth, reference.growth, rtol=0, atol=1e-8)


# --- kinds of Jacobians --------------------------------------------------------------------------------------

W = np.random.default_rng(2).standard_normal((5, 5))


def net_step(t, x, u, p):
    return np.tanh(W @ x)


def dense(t, x, u, p):
    return (1 - np.tanh(W @ x) ** 2)[:, None] * W


class Multiplier:
    """A user's own object: a shape and a product, nothing else."""

    def __init__(self, J):
        self.J, self.shape = J, J.shape

    def __matmul__(self, V):
        return self.J @ V


KINDS = {
    "array": lambda J: J,
    "column-major array": np.asfortranarray,
    "list of lists": lambda J: J.tolist(),
    "tuple of tuples": lambda J: tuple(map(tuple, J)),
    "csr array": csr_array,
    "csc array": csc_array,
    "coo array": coo_array,
    "csr matrix": csr_matrix,
    "LinearOperator": aslinearoperator,
    "matrix-free LinearOperator": lambda J: LinearOperator(J.shape, matvec=lambda v: J @ v, dtype=J.dtype),
    "operator": lambda J: ScaledSum(Term(None, J)),
    "own object": Multiplier,
}


@pytest.mark.parametrize("k", [1, 2, 4, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_jacobian_and_every_number_of_exponents_gives_the_leading_columns(kind, k):
    frame = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    x0 = 0.3 * np.arange(5.0)
    full = spectrum(dynet.Map(net_step, dense), x0, 25, initial_frame=frame)
    system = dynet.Map(net_step, lambda *a: KINDS[kind](dense(*a)))
    ds = spectrum(system, x0, 25, n_exponents=k, initial_frame=frame[:, :k])
    assert ds.sizes["exponent"] == k
    np.testing.assert_allclose(ds.growth, full.growth[..., :k], rtol=0, atol=1e-11)


@pytest.mark.parametrize("n", [9, 20])
def test_compiled_products_of_any_size_are_those_of_numpy(n, textbook_growth):
    # sizes on both sides of the switch to LAPACK
    J = np.random.default_rng(n).standard_normal((40, n, n)) / np.sqrt(n)
    V = np.random.default_rng(0).standard_normal((n, n))
    system = dynet.Map(recorded_step, recorded_jac, params=J)
    ds = spectrum(system, np.ones(n), 30, n_transient=10, initial_frame=V, qr_interval=1)
    assert ds.attrs["engine"] == "compiled"
    rows, _, _ = textbook_growth(lambda t, x, u, p: J[int(t)] @ x, lambda t, x, u, p: J[int(t)], np.ones(n), V, 40)
    np.testing.assert_allclose(ds.growth.sum("time")[0], rows[10:].sum(axis=0), rtol=0, atol=1e-9)


@pytest.mark.parametrize("k", [1, 2, 8])
def test_leading_exponents_of_the_compiled_loop_are_those_of_its_full_run(k):
    frame = np.linalg.qr(np.random.default_rng(1).standard_normal((9, 9)))[0]
    J = np.random.default_rng(9).standard_normal((40, 9, 9)) / 3
    system = dynet.Map(recorded_step, recorded_jac, params=J)
    full = spectrum(system, np.ones(9), 30, n_transient=10, initial_frame=frame, qr_interval=1)
    ds = spectrum(system, np.ones(9), 30, n_transient=10, initial_frame=frame[:, :k], qr_interval=1)
    np.testing.assert_allclose(ds.growth, full.growth[..., :k], rtol=0, atol=1e-10)


def test_one_exponent_of_a_small_compiled_map_is_the_first_of_two():
    # small systems have a loop of their own for each number of exponents
    frame = np.linalg.qr(np.random.default_rng(1).standard_normal((2, 2)))[0]
    full = spectrum(zoo.henon(), [0.1, 0.2], 60, n_transient=20, initial_frame=frame, qr_interval=1)
    ds = spectrum(zoo.henon(), [0.1, 0.2], 60, n_transient=20, initial_frame=frame[:, :1], qr_interval=1)
    np.testing.assert_allclose(ds.growth, full.growth[..., :1], rtol=0, atol=1e-11)


# --- LU and Householder frames -------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 10, 50])
def test_lu_and_householder_frames_grow_alike(k):
    random = np.random.default_rng(50)
    J = random.standard_normal((40, 50, 50)) / np.sqrt(50)
    V = random.standard_normal((50, k))
    a, b = (
        spectrum(dynet.Map.from_jacobians(J), None, 35, n_transient=5, initial_frame=V, frame=frame)
        for frame in ("qr", "lu")
    )
    assert (a.attrs["frame"], b.attrs["frame"]) == ("qr", "lu")
    np.testing.assert_allclose(a.growth, b.growth, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("left", "right"), [(True, False), (False, True), (True, True), (False, False)])
def test_triangular_products_of_one_matrix_between_diagonals_are_exact(left, right):
    random = np.random.default_rng(7)
    n = 36
    M = random.standard_normal((n, n)) / np.sqrt(n)
    L, R = np.exp(0.3 * random.standard_normal((2, 30, n)))

    def jacobian(t, x, u, p):
        i = int(t)
        return ScaledSum(Term(L[i] if left else None, M, R[i] if right else None))

    system = dynet.Map(lambda t, x, u, p: jacobian(t, x, u, p).assemble() @ x, jacobian)
    V = random.standard_normal((n, n))
    a, b = (spectrum(system, np.ones(n), 25, n_transient=5, initial_frame=V, frame=f) for f in ("qr", "lu"))
    np.testing.assert_allclose(a.growth, b.growth, rtol=0, atol=1e-9)


def test_triangular_products_follow_a_matrix_that_changes():
    random = np.random.default_rng(7)
    W = [random.standard_normal((34, 34)) / np.sqrt(34) for _ in range(20)]
    net = networks.feedforward(W)
    a, b = (spectrum(net, 0.1 * np.ones(34), 20, frame=f) for f in ("qr", "lu"))
    assert b.attrs["frame"] == "lu"
    np.testing.assert_allclose(a.growth, b.growth, rtol=0, atol=1e-9)


def test_lu_frames_are_chosen_for_many_exponents_and_agree():
    net = networks.random_tanh(40, 1.5, rng=1)
    x0 = np.random.default_rng(0).standard_normal(40)
    auto = spectrum(net, x0, 60, n_transient=10)
    few = spectrum(net, x0, 60, n_transient=10, n_exponents=5)
    assert (auto.attrs["frame"], few.attrs["frame"]) == ("lu", "qr")
    qr = spectrum(net, x0, 60, n_transient=10, frame="qr")
    np.testing.assert_allclose(auto.growth, qr.growth, rtol=0, atol=1e-9)


@pytest.mark.parametrize("interval", [1, 2, 5])
def test_lu_frames_may_wait_between_factorisations(interval):
    net = networks.random_tanh(12, 1.5, rng=1)
    x0 = np.random.default_rng(0).standard_normal(12)
    qr = spectrum(net, x0, 47, qr_interval=1, frame="qr")
    lu = spectrum(net, x0, 47, qr_interval=interval, frame="lu")
    np.testing.assert_allclose(lu.growth.sum("time"), qr.growth.sum("time"), rtol=0, atol=1e-7)


def test_a_batch_of_lu_frames_is_its_single_frames():
    random = np.random.default_rng(3)
    net = networks.random_tanh(6, 1.5, rng=1)
    x0 = random.standard_normal((3, 6))
    batch = spectrum(net, x0, 40, frame="lu")
    for s in range(3):
        alone = spectrum(net, x0[s], 40, frame="qr")
        np.testing.assert_allclose(batch.sequence_exponent[s], alone.lyapunov_exponent, rtol=0, atol=1e-10)


# --- torch ---------------------------------------------------------------------------------------------------


def weights_of(kind, random):
    gates = {"tanh": 1, "relu": 1, "lstm": 4, "gru": 3}[kind]
    sizes, below = [4, 3], [2, 4]
    W = [0.7 * random.standard_normal((gates * n, n)) for n in sizes]
    X = [0.5 * random.standard_normal((gates * n, m)) for n, m in zip(sizes, below, strict=True)]
    b = [0.3 * random.standard_normal(gates * n) for n in sizes]
    return W, X, b


def network_of(kind, weights):
    return {
        "tanh": networks.tanh_rnn,
        "relu": networks.relu_rnn,
        "lstm": networks.lstm,
        "gru": networks.gru,
    }[kind](*weights)


@pytest.mark.parametrize("frame", ["qr", "lu"])
@pytest.mark.parametrize("kind", ["tanh", "lstm", "gru"])
def test_torch_tensors_and_numpy_arrays_give_the_same_growth(kind, frame):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(4)
    weights = weights_of(kind, random)
    tensors = [[torch.asarray(w) for w in part] for part in weights]
    a, b = network_of(kind, weights), network_of(kind, tensors)
    x0, inputs = 0.3 * random.standard_normal((2, a.like.size)), random.standard_normal((2, 20, 2))
    V = random.standard_normal((a.like.size, 5))
    numpy_run = spectrum(a, x0, 15, n_transient=5, inputs=inputs, initial_frame=V, frame=frame)
    torch_run = spectrum(b, x0, 15, n_transient=5, inputs=inputs, initial_frame=V, frame=frame)
    assert torch_run.attrs["engine"] == "array (torch)"
    np.testing.assert_allclose(torch_run.growth, numpy_run.growth, rtol=0, atol=1e-10)
    np.testing.assert_allclose(torch_run.final_state, numpy_run.final_state, rtol=0, atol=1e-13)
    alone = spectrum(b, x0[1], 15, n_transient=5, inputs=inputs[1], initial_frame=V, frame=frame)
    np.testing.assert_allclose(alone.growth[0], numpy_run.growth[1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("frame", ["qr", "lu"])
def test_dead_units_of_torch_networks_are_below_resolution_too(frame):
    torch = pytest.importorskip("torch")
    W, b = np.diag([1.2, 0.8, 0.5, 0.5]), np.array([1.0, 1.0, -100.0, -100.0])
    net = networks.relu_rnn(torch.asarray(W), b=torch.asarray(b))
    ds = spectrum(net, np.ones(4), 20, frame=frame)
    assert np.isfinite(ds.lyapunov_exponent[:2]).all()
    assert np.isneginf(ds.lyapunov_exponent[2:]).all()
    np.testing.assert_array_equal(ds.standard_error[2:], 0.0)


def test_a_flow_of_torch_tensors_is_its_numpy_flow():
    torch = pytest.importorskip("torch")
    W = np.random.default_rng(0).standard_normal((4, 4))
    x0 = np.linspace(-1, 1, 4)
    a = spectrum(networks.rate_network(W).to_map(0.1), x0, 20)
    b = spectrum(networks.rate_network(torch.asarray(W)).to_map(0.1), x0, 20)
    c = spectrum(networks.rate_network(torch.asarray(W)).to_map(0.1), torch.asarray(x0), 20)
    np.testing.assert_allclose(a.growth, b.growth, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(b.growth, c.growth)


def test_float32_tensors_stay_float32():
    torch = pytest.importorskip("torch")
    W = np.random.default_rng(0).standard_normal((4, 4))
    a = spectrum(networks.tanh_rnn(torch.asarray(W, dtype=torch.float32)), np.ones(4), 50)
    assert a.attrs["dtype"] == "float32"
    assert a.final_state.dtype == np.float32


# --- batches, threads, lengths -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tanh", "relu", "lstm", "gru"])
def test_a_batch_is_its_sequences_one_by_one(kind):
    random = np.random.default_rng(8)
    net = network_of(kind, weights_of(kind, random))
    n = net.like.size
    x0, inputs = 0.3 * random.standard_normal((3, n)), random.standard_normal((3, 30, 2))
    batch = spectrum(net, x0, 25, n_transient=5, inputs=inputs)
    assert batch.sizes["sequence"] == 3
    for s in range(3):
        alone = spectrum(net, x0[s], 25, n_transient=5, inputs=inputs[s])
        # products of a batch are rounded in another order
        np.testing.assert_allclose(batch.growth[s], alone.growth[0], rtol=0, atol=1e-9)
        np.testing.assert_allclose(batch.final_state[s], alone.final_state[0], rtol=0, atol=1e-13)


def test_one_start_serves_many_inputs_and_one_input_many_starts():
    random = np.random.default_rng(8)
    net = network_of("tanh", weights_of("tanh", random))
    x0, inputs = random.standard_normal((3, 7)), random.standard_normal((3, 12, 2))
    many_inputs = spectrum(net, x0[0], 12, inputs=inputs)
    many_starts = spectrum(net, x0, 12, inputs=inputs[0])
    for s in range(3):
        np.testing.assert_allclose(
            many_inputs.growth[s], spectrum(net, x0[0], 12, inputs=inputs[s]).growth[0], rtol=0, atol=1e-9
        )
        np.testing.assert_allclose(
            many_starts.growth[s], spectrum(net, x0[s], 12, inputs=inputs[0]).growth[0], rtol=0, atol=1e-9
        )


@pytest.mark.parametrize("form", ["tuples, jitted", "python arrays"])
def test_sequences_of_functions_for_one_state_are_single_runs(form):
    system = FORMS[form][0]
    x0 = np.array([[0.1, 0.1], [0.3, -0.1], [0.0, 0.2]])
    batch = spectrum(system, x0, 300, n_transient=10, qr_interval=3)
    for s in range(3):
        alone = spectrum(system, x0[s], 300, n_transient=10, qr_interval=3)
        np.testing.assert_array_equal(batch.growth[s], alone.growth[0])
        np.testing.assert_array_equal(batch.final_state[s], alone.final_state[0])


def test_sequences_of_a_driven_compiled_map_get_each_its_own_input():
    random = np.random.default_rng(1)
    inputs = random.standard_normal((3, 40, 1))
    system = dynet.Map(driven_step, driven_jac)
    batch = spectrum(system, [0.1, 0.2], 30, n_transient=10, inputs=inputs, qr_interval=2)
    for s in range(3):
        alone = spectrum(system, [0.1, 0.2], 30, n_transient=10, inputs=inputs[s], qr_interval=2)
        np.testing.assert_array_equal(batch.growth[s], alone.growth[0])
        python = dynet.Map(driven_step.py_func, driven_jac.py_func)
        by_hand = spectrum(python, [0.1, 0.2], 30, n_transient=10, inputs=inputs[s], qr_interval=2)
        np.testing.assert_allclose(batch.growth[s], by_hand.growth[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["compiled", "vectorized", "python"])
@pytest.mark.parametrize("lengths", [[40, 25, 33], [40, 40, 12], [2_011, 2_010, 2_010]])
def test_ragged_sequences_are_separate_runs(kind, lengths):
    random = np.random.default_rng(2)
    T = max(lengths)
    inputs = random.standard_normal((3, T, 1))
    python = dynet.Map(driven_step.py_func, driven_jac.py_func)
    system = {
        "compiled": dynet.Map(driven_step, driven_jac),
        "vectorized": networks.tanh_rnn([[1.5, -1.0], [1.0, 0.5]], [[1.0], [0.0]]),
        "python": python,
    }[kind]
    if kind == "python" and T > 100:
        pytest.skip("the same path as below, slowly")
    x0 = random.standard_normal((3, 2))
    padded = inputs.copy()
    for s, length in enumerate(lengths):
        padded[s, length:] = 1e6  # what counts must not depend on the padding
    ragged = spectrum(system, x0, T - 10, n_transient=10, inputs=padded, lengths=lengths)
    for s, length in enumerate(lengths):
        alone = spectrum(system, x0[s], length - 10, n_transient=10, inputs=inputs[s, :length])
        np.testing.assert_allclose(ragged.sequence_exponent[s], alone.lyapunov_exponent, rtol=0, atol=1e-9)
        np.testing.assert_allclose(ragged.final_state[s], alone.final_state[0], rtol=0, atol=1e-12)
        assert float(ragged.duration[s].sum()) == length - 10
    np.testing.assert_allclose(ragged.lyapunov_exponent, ragged.sequence_exponent.mean("sequence"), atol=1e-14)
    # the label `time` must be the time of every sequence that is still running
    ends = 10 + np.cumsum(ragged.duration.values, axis=1)
    running = ragged.duration.values > 0
    full = np.broadcast_to(ragged.time.values, ends.shape)
    last = np.array(lengths)[:, None]
    np.testing.assert_allclose(ends[running], np.minimum(full, last)[running], rtol=0, atol=1e-9)


# --- dtype ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", ["qr", "lu"])
def test_float32_networks_stay_float32_and_near_float64(frame):
    random = np.random.default_rng(5)
    W, x0 = random.standard_normal((6, 6)) * 0.6, random.standard_normal(6)
    double = spectrum(networks.tanh_rnn(W), x0, 400, n_transient=50, frame=frame)
    single = spectrum(networks.tanh_rnn(W.astype(np.float32)), x0, 400, n_transient=50, frame=frame)
    assert single.attrs["dtype"] == "float32"
    assert single.final_state.dtype == np.float32
    assert double.attrs["dtype"] == "float64"
    assert single.growth.dtype == np.float64  # logarithms are summed in double precision
    np.testing.assert_allclose(single.lyapunov_exponent[:4], double.lyapunov_exponent[:4], rtol=0, atol=5e-3)


def test_a_float32_compiled_map_stays_float32():
    J = np.random.default_rng(5).standard_normal((3, 1, 1)).astype(np.float32)
    ds = spectrum(dynet.Map(recorded_step, recorded_jac, params=J), np.full(1, 1e-3, np.float32), 60)
    assert (ds.attrs["engine"], ds.attrs["dtype"]) == ("compiled", "float32")
    assert ds.final_state.dtype == np.float32
    exact = np.log(np.abs(J.astype(float))).mean()
    assert 0 < abs(float(ds.lyapunov_exponent[0]) - exact) < 1e-6  # rounded as float32 is, and no worse


def test_a_step_that_computes_in_float32_makes_a_float32_run():
    system = dynet.Map(
        lambda t, x, u, p: np.sin(2 * x).astype(np.float32),
        lambda t, x, u, p: np.diag(2 * np.cos(2 * x)).astype(np.float32),
    )
    ds = spectrum(system, [0.3, 0.4], 40)
    assert ds.attrs["dtype"] == "float32"
    assert ds.final_state.dtype == np.float32


# --- the automatic interval ----------------------------------------------------------------------------------


@njit
def slow_start_step(t, x, u, p):
    return (x[0] * (0.99 if t < 200 else p),)


@njit
def slow_start_jac(t, x, u, p):
    return ((0.99 if t < 200 else p,),)


def test_an_interval_chosen_on_a_slow_start_is_given_up_when_contraction_sets_in():
    # one exponent: nothing to compare a pivot with, but (1e-3)^100 squared is below the smallest number
    ds = spectrum(dynet.Map(slow_start_step, slow_start_jac, params=1e-3), [1.0], 1_000)
    np.testing.assert_allclose(ds.lyapunov_exponent[0], (200 * np.log(0.99) + 800 * np.log(1e-3)) / 1_000, rtol=1e-9)
    # two exponents: the second pivot falls below the resolution of the first
    ds = spectrum(dynet.Map(late_step, late_jac, params=1e-3), [1.0, 1.0], 1_000, initial_frame=EYE)
    exact = [np.log(0.5), (200 * np.log(0.99) + 800 * np.log(1e-3)) / 1_000]
    np.testing.assert_allclose(ds.lyapunov_exponent, exact, rtol=1e-9)
    assert not ds.below_resolution.any()


def test_the_automatic_interval_changes_no_exponent():
    for system, x0 in ((zoo.henon(), [0.1, 0.1]), (LORENZ.to_map(0.01), [1.0, 1.0, 20.0])):
        n = 3_000
        auto = spectrum(system, x0, n, n_transient=100)
        every = spectrum(system, x0, n, n_transient=100, qr_interval=1)
        assert auto.attrs["qr_interval"] > 1
        np.testing.assert_allclose(auto.lyapunov_exponent, every.lyapunov_exponent, rtol=0, atol=1e-7)


@njit
def counting_step(t, x, u, p):
    p[int(t)] += 1.0
    return (0.5 * x[0],)


@njit
def half(t, x, u, p):
    return ((0.5,),)


def test_no_step_is_ever_taken_beyond_the_last():
    # a jitted function may read a table that ends there, and compiled code does not check bounds
    visits = np.zeros(64)
    spectrum(dynet.Map(counting_step, half, params=visits), [1.0], 4, n_transient=3)
    assert visits[6] > 0
    np.testing.assert_array_equal(visits[7:], 0.0)


# --- compiling -----------------------------------------------------------------------------------------------


def compiled_loops():
    """Return how many versions of the loops have been compiled so far."""
    from dynet.kernels.qr import SPECTRUM_BLOCKS, TRAJECTORY_BLOCKS, TUPLE_BLOCKS

    loops = [*SPECTRUM_BLOCKS.values(), *TUPLE_BLOCKS.values(), *TRAJECTORY_BLOCKS.values()]
    return sum(len(loop.signatures) for loop in loops)


def test_another_map_step_or_parameter_of_the_same_functions_compiles_nothing():
    x0 = [1.0, 1.0, 20.0]
    spectrum(LORENZ.to_map(0.01), x0, 20)
    dynet.simulate(LORENZ, x0, 5, dt=0.01)
    before = compiled_loops()
    spectrum(LORENZ.to_map(0.01), x0, 20)
    spectrum(LORENZ.to_map(0.02), x0, 30, n_transient=5, qr_interval=3)
    spectrum(zoo.lorenz63(rho=40.0).to_map(0.01), x0, 20)
    spectrum(LORENZ.with_params(rho=30).to_map(0.01), [1, 1, 20], 20)
    spectrum(LORENZ.to_map(0.01), [x0, x0], 20)
    dynet.simulate(LORENZ.with_params(sigma=9), x0, 7, dt=0.005)
    assert before > 0
    assert compiled_loops() == before
