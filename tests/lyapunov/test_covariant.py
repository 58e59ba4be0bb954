"""Covariant vectors: eigenvectors of linear maps, covariance by hand, singular Jacobians, every engine."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from scipy.sparse import csr_array
from scipy.sparse.linalg import aslinearoperator

import dynet
from dynet.lyapunov import ginelli
from dynet.systems.operators import ScaledSum, Term

covariant = dynet.covariant_vectors
zoo, networks = dynet.zoo, dynet.networks
LORENZ = zoo.lorenz63().to_map(0.02)
NUMBERS = (
    "covariant_vector",
    "state",
    "local_exponent",
    "duration",
    "angle",
    "lyapunov_exponent",
    "standard_error",
    "frame_exponent",
    "invariance_residual",
    "forward_error",
    "backward_error",
)


def parallel(V, W):
    """Sine of the angle between columns of equal number."""
    V, W = V / np.linalg.norm(V, axis=-2, keepdims=True), W / np.linalg.norm(W, axis=-2, keepdims=True)
    dots = (V * W).sum(axis=-2, keepdims=True)
    return np.linalg.norm(W - dots * V, axis=-2)


def mapped(system, ds):
    """J v of every stored vector but the last, by the system's own Jacobians, and the next vectors."""
    V, x, images = ds.covariant_vector.values, ds.state.values, []
    for number, (one, vectors) in enumerate(zip(x[:-1], V[:-1], strict=True)):
        t = (ds.attrs["n_transient"] + number) * system.dt
        J = system.linearize(t, one, np.empty(0), system.params)[1]
        images.append(np.asarray(J) @ vectors if isinstance(J, tuple) else J @ vectors)
    return np.array(images), V[1:]


def has_no_nan(ds):
    return not any(np.isnan(ds[name].values).any() for name in ds.data_vars if ds[name].dtype.kind == "f")


# --- linear maps: the vectors are the eigenvectors -----------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 6), seed=st.integers(0, 10**6), which=st.sampled_from(["1", "2", "n-1", "n"]))
def test_vectors_of_a_linear_map_are_its_eigenvectors(n, seed, which):
    random = np.random.default_rng(seed)
    k = {"1": 1, "2": 2, "n-1": max(n - 1, 1), "n": n}[which]
    rates = 2.0 - np.arange(n) * 0.6 - random.uniform(0, 0.2, n)
    signs = random.choice([-1.0, 1.0], n)
    U, S, Vt = np.linalg.svd(random.standard_normal((n, n)))
    P = U @ np.diag(np.clip(S, 0.2, None)) @ Vt
    A = P @ np.diag(signs * np.exp(rates)) @ np.linalg.inv(P)
    ds = covariant(zoo.linear_map(A), np.full(n, 1e-200), 5, n_exponents=k, n_transient=90)
    assert parallel(ds.covariant_vector.values, P[:, :k]).max() < 1e-9
    np.testing.assert_allclose(ds.local_exponent, np.tile(rates[:k], (5, 1)), rtol=0, atol=1e-9)
    np.testing.assert_allclose(ds.lyapunov_exponent, rates[:k], rtol=0, atol=1e-9)
    assert max(ds[name].values.max() for name in NUMBERS[-3:]) < 1e-9


def test_a_complex_pair_has_its_plane_and_says_that_its_vectors_are_arbitrary():
    random = np.random.default_rng(3)
    P = random.standard_normal((4, 4))
    B = np.diag([2.0, 0.0, 0.0, 0.3])
    B[1:3, 1:3] = 0.9 * np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    ds = covariant(zoo.linear_map(P @ B @ np.linalg.inv(P)), np.full(4, 1e-30), 20, n_transient=80)
    V = ds.covariant_vector.values
    assert parallel(V[..., [0, 3]], P[:, [0, 3]]).max() < 1e-12
    plane = np.linalg.qr(P[:, 1:3])[0]
    inside = np.linalg.norm(plane.T @ V[..., 1:3], axis=1)
    np.testing.assert_allclose(inside, 1.0, rtol=0, atol=1e-12)
    assert (ds.backward_error.values[[0, 1, 3]] < 1e-12).all()
    assert ds.backward_error.values[2] > 0.01
    np.testing.assert_allclose(ds.frame_exponent[1:3].sum(), 2 * np.log(0.9), rtol=0, atol=1e-12)


def test_the_errors_fade_as_the_gap_between_the_exponents_says():
    system = zoo.linear_map(np.diag([1.0, 0.7]))
    errors = {}
    for length in (10, 20):
        ds = covariant(system, [1e-3, 1e-3], 5, n_transient=length)
        errors[length] = ds.forward_error.values[0], ds.backward_error.values[1]
    np.testing.assert_allclose(np.divide(errors[20], errors[10]), 0.7**10, rtol=0.05)
    one_sided = covariant(system, [1e-3, 1e-3], 5, n_transient=200, n_backward=0)
    assert one_sided.backward_error[1] > 0.01
    assert one_sided.forward_error[0] < 1e-14


# --- chaos ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("system", "x0"), [(zoo.henon(), [0.1, 0.1]), (LORENZ, [1.0, 1.0, 20.0])])
def test_vectors_are_covariant_and_grow_by_their_local_exponents(system, x0):
    ds = covariant(system, x0, 600, n_transient=1_500)
    image, after = mapped(system, ds)
    assert parallel(image, after).max() < 1e-8
    assert (ds.invariance_residual < 1e-8).all()
    lengths = np.log(np.linalg.norm(image, axis=1)) / system.dt
    np.testing.assert_allclose(ds.local_exponent[:-1], lengths, rtol=0, atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(ds.covariant_vector, axis=1), 1.0, rtol=0, atol=1e-14)
    assert max(float(ds.forward_error.max()), float(ds.backward_error.max())) < 1e-8
    # signs are carried on: J v points along the next v, not against it
    assert (np.einsum("tui,tui->ti", image, after) > 0).all()


@pytest.mark.parametrize(
    ("system", "x0", "n_steps", "published"),
    [
        (zoo.henon(), [0.1, 0.1], 100_000, [0.4192, -1.6232]),
        (LORENZ, [1.0, 1.0, 20.0], 40_000, [0.9056, 0.0, -14.5723]),
    ],
)
def test_growth_along_the_vectors_averages_to_the_exponents(system, x0, n_steps, published):
    ds = covariant(system, x0, n_steps, n_transient=1_000, every=100)
    assert (np.abs(ds.lyapunov_exponent - published) < 4 * ds.standard_error + 2e-3).all()
    spectrum = dynet.lyapunov_spectrum(system, x0, n_steps, n_transient=1_000)
    np.testing.assert_allclose(ds.frame_exponent, spectrum.lyapunov_exponent, rtol=0, atol=1e-8)
    # the two differ by what the angles at both ends say, over the duration
    np.testing.assert_allclose(ds.lyapunov_exponent, ds.frame_exponent, rtol=0, atol=20 / (n_steps * system.dt))
    means = np.average(ds.local_exponent, axis=0, weights=ds.duration)
    np.testing.assert_allclose(means, ds.lyapunov_exponent, rtol=1e-10)


def test_growth_of_vectors_and_of_the_frame_differ_by_the_angles_at_both_ends():
    short = covariant(LORENZ, [1.0, 1.0, 20.0], 300, n_transient=500, n_backward=401)
    long = covariant(LORENZ, [1.0, 1.0, 20.0], 301, n_transient=500, n_backward=400)
    V = long.covariant_vector.values
    np.testing.assert_array_equal(short.covariant_vector, V[:-1])
    heights = np.log(np.abs(np.linalg.qr(V[[0, -1]])[1].diagonal(axis1=1, axis2=2)))
    difference = (short.lyapunov_exponent - short.frame_exponent) * 300 * LORENZ.dt
    np.testing.assert_allclose(difference, heights[0] - heights[1], rtol=0, atol=1e-9)


def test_the_neutral_vector_of_a_flow_is_its_velocity():
    flow = zoo.lorenz63()
    ds = covariant(flow.to_map(0.002), [1.0, 1.0, 20.0], 300, n_transient=10_000, every=30)
    velocity = np.array([flow.rhs(0.0, x, np.empty(0), flow.params) for x in ds.state.values])
    assert parallel(ds.covariant_vector.values[..., [1]], velocity[..., None]).max() < 1e-6


def test_the_cat_map_splits_at_a_right_angle():
    ds = covariant(zoo.cat_map(), [0.1, 0.3], 50, n_transient=50)
    golden = (1 + np.sqrt(5)) / 2
    assert parallel(ds.covariant_vector.values, np.array([[golden, 1.0], [1.0, -golden]])).max() < 1e-14
    np.testing.assert_allclose(ds.angle[:, 0, 1], np.pi / 2, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(ds.angle, ds.angle.values.swapaxes(1, 2))
    np.testing.assert_array_equal(ds.angle.values.diagonal(axis1=1, axis2=2), 0.0)


@pytest.fixture(scope="module")
def leading():
    """Return the leading vectors of a chaotic network, as many as asked for."""
    net = networks.random_tanh(6, 3.0, rng=1)
    return cache(lambda k: covariant(net, np.linspace(-1, 1, 6), 50, n_exponents=k, n_transient=1_500, every=10))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_fewer_vectors_are_the_leading_ones(k, leading):
    few, all_of_them = leading(k), leading(6)
    sure = all_of_them.backward_error.values[:k] < 1e-9
    assert sure.any()
    V, W = few.covariant_vector.values, all_of_them.covariant_vector.values[..., :k]
    assert parallel(V, W)[:, sure].max() < 1e-7


def test_angles_are_those_of_the_vectors():
    ds = covariant(networks.random_tanh(8, 2.0), np.linspace(-1, 1, 8), 20, n_transient=100)
    V = ds.covariant_vector.values
    cosines = np.abs(np.einsum("tui,tuj->tij", V, V))
    np.testing.assert_allclose(np.cos(ds.angle), cosines, rtol=0, atol=1e-14)


# --- singular Jacobians --------------------------------------------------------------------------------------

RANDOM = np.random.default_rng(5)
FACTORS = RANDOM.standard_normal((8, 3)) @ RANDOM.standard_normal((3, 8)) / 2


@pytest.mark.parametrize(
    ("system", "n", "rank"),
    [
        (networks.relu_rnn(RANDOM.standard_normal((12, 12)) / 2, b=RANDOM.standard_normal(12)), 12, None),
        (networks.tanh_rnn(FACTORS), 8, 3),
        (networks.relu_rnn(np.diag([0.5, 0.4]), b=[-1.0, -1.0]), 2, 0),
    ],
    ids=["dead units", "weights of rank 3", "all dead"],
)
def test_lost_vectors_are_marked_and_the_others_are_covariant(system, n, rank):
    ds = covariant(system, np.ones(n), 60, n_transient=60)
    below = ds.below_resolution.values
    assert below.sum() == (n - rank if rank is not None else below.sum())
    assert 0 < below.sum() == ds.attrs["n_below_resolution"]
    assert has_no_nan(ds)
    spectrum = dynet.lyapunov_spectrum(system, np.ones(n), 60, n_transient=60, frame="qr")
    np.testing.assert_allclose(ds.frame_exponent[~below], spectrum.lyapunov_exponent[~below], rtol=0, atol=1e-9)
    for name in ("lyapunov_exponent", "frame_exponent"):
        np.testing.assert_array_equal(np.isneginf(ds[name]), below)
    np.testing.assert_array_equal(np.isneginf(ds.local_exponent), np.tile(below, (60, 1)))
    V = ds.covariant_vector.values
    np.testing.assert_array_equal((V == 0).all(axis=1), np.tile(below, (60, 1)))
    if not below.all():
        image, after = mapped(system, ds)
        assert parallel(image[..., ~below], after[..., ~below]).max() < 1e-8
        assert (ds.invariance_residual < 1e-8).all()


@pytest.mark.parametrize(("n", "engine"), [(4, "array"), (20, "array"), (4, "compiled")])
def test_a_step_that_loses_a_direction_inside_the_window(n, engine):
    random = np.random.default_rng(7)
    P = np.linalg.qr(random.standard_normal((n, n)))[0] + 0.1 * random.standard_normal((n, n)) / np.sqrt(n)
    A = P @ np.diag(np.exp(3 - 0.5 * np.arange(n))) @ np.linalg.inv(P)
    singular = np.diag(np.r_[np.zeros(2), np.ones(n - 2)]) @ A  # two dead units

    def step(t, x, u, p):
        return x * 0.5

    def jac(t, x, u, p):
        return p[1] if t == 70.0 else p[0]

    functions = (njit(step), njit(jac)) if engine == "compiled" else (step, jac)
    system = dynet.Map(*functions, params=(A, singular))
    ds = covariant(system, np.ones(n), 40, n_transient=50, check=False)
    assert ds.attrs["engine"].startswith(engine)
    np.testing.assert_array_equal(ds.below_resolution, np.r_[np.zeros(n - 2, bool), np.ones(2, bool)])
    V = ds.covariant_vector.values[..., : n - 2]
    J = np.array([singular if t == 70 else A for t in ds.time.values[:-1]])
    assert parallel(J @ V[:-1], V[1:]).max() < 1e-8
    assert has_no_nan(ds)
    # what is lost has no part in the others
    fewer = covariant(system, np.ones(n), 40, n_transient=50, check=False, n_exponents=n - 2)
    sure = (ds.backward_error.values + ds.forward_error.values)[: n - 2] < 1e-8
    assert sure.all()
    assert parallel(V, fewer.covariant_vector.values)[:, sure].max() < 1e-6


# --- engines, types and kinds of Jacobians -------------------------------------------------------------------

W = np.random.default_rng(2).standard_normal((5, 5))


def net_step(t, x, u, p):
    return np.tanh(W @ x)


def net_jac(t, x, u, p):
    return (1 - np.tanh(W @ x) ** 2)[:, None] * W


class Multiplier:
    """A user's own object: a shape and a product, nothing else."""

    def __init__(self, J):
        self.J, self.shape = J, J.shape

    def __matmul__(self, V):
        return self.J @ V


@pytest.mark.parametrize("k", [1, 2, 4, 5])
@pytest.mark.parametrize("kind", [csr_array, aslinearoperator, lambda J: ScaledSum(Term(None, J)), Multiplier])
def test_every_kind_of_jacobian_gives_the_same_vectors(kind, k):
    x0 = np.linspace(-1, 1, 5)
    reference = covariant(dynet.Map(net_step, net_jac), x0, 20, n_exponents=k, n_transient=10)
    ds = covariant(dynet.Map(net_step, lambda *a: kind(net_jac(*a))), x0, 20, n_exponents=k, n_transient=10)
    for name in NUMBERS:
        np.testing.assert_allclose(ds[name], reference[name], rtol=0, atol=1e-8, err_msg=name)


@pytest.mark.parametrize(
    ("step", "jac", "n"),
    [
        pytest.param(zoo.henon().step, zoo.henon().jac, 2, id="tuples"),
        pytest.param(
            njit(lambda t, x, u, p: np.tanh(p @ x)),
            njit(lambda t, x, u, p: (1 - np.tanh(p @ x) ** 2)[:, None] * p),
            20,
            id="LAPACK",
            marks=pytest.mark.slow,  # to compile
        ),
    ],
)
def test_compiled_and_array_loops_give_the_same_vectors(step, jac, n):
    params = zoo.henon().params if n == 2 else np.random.default_rng(0).standard_normal((n, n)) / 3
    x0 = np.linspace(0.1, 0.2, n)
    compiled = covariant(dynet.Map(step, jac, params=params), x0, 15, n_transient=10)
    array = covariant(dynet.Map(step.py_func, jac.py_func, params=params), x0, 15, n_transient=10)
    assert (compiled.attrs["engine"], array.attrs["engine"]) == ("compiled", "array (numpy)")
    for name in NUMBERS:
        np.testing.assert_allclose(compiled[name], array[name], rtol=0, atol=1e-7, err_msg=name)


def test_single_precision_stays_single():
    random = np.random.default_rng(1)
    A = (random.standard_normal((6, 6)) * 0.8).astype(np.float32)
    ds = covariant(networks.tanh_rnn(A), np.linspace(-1, 1, 6, dtype=np.float32), 50, n_transient=50)
    assert ds.covariant_vector.dtype == ds.state.dtype == ds.angle.dtype == np.float32
    assert ds.attrs["dtype"] == "float32"
    assert ds.lyapunov_exponent.dtype == np.float64
    V, x = ds.covariant_vector.values.astype(float), ds.state.values.astype(float)
    J = (1 - np.tanh(x @ A.T.astype(float)) ** 2)[..., None] * A
    assert parallel(J[:-1] @ V[:-1], V[1:]).max() < 1e-4
    assert (ds.invariance_residual < 1e-4).all()


def test_torch_tensors_give_the_same_vectors():
    torch = pytest.importorskip("torch")
    A = np.random.default_rng(1).standard_normal((6, 6))
    A[:, 0] = A[:, 1]  # and lose a vector on the way
    x0 = np.linspace(-1, 1, 6)
    reference = covariant(networks.tanh_rnn(A), x0, 20, n_transient=10)
    ds = covariant(networks.tanh_rnn(torch.as_tensor(A)), torch.as_tensor(x0), 20, n_transient=10)
    assert ds.attrs["engine"] == "array (torch)"
    assert reference.below_resolution.values.tolist() == [False] * 5 + [True]
    np.testing.assert_array_equal(ds.below_resolution, reference.below_resolution)
    np.testing.assert_allclose(ds.covariant_vector, reference.covariant_vector, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ds.lyapunov_exponent, reference.lyapunov_exponent, rtol=0, atol=1e-8)


# --- sequences, segments, stored steps -----------------------------------------------------------------------


def lstm_with_inputs(n_sequences, n_rows):
    random = np.random.default_rng(0)
    net = networks.lstm(random.standard_normal((12, 3)), random.standard_normal((12, 2)))
    return net, random.standard_normal((n_sequences, n_rows, 2))


def test_sequences_are_the_runs_of_each_and_the_exponents_their_means():
    net, inputs = lstm_with_inputs(3, 60)
    ds = covariant(net, None, 40, inputs=inputs, n_transient=10)
    singles = [covariant(net, None, 40, inputs=one, n_transient=10) for one in inputs]
    for name in ("covariant_vector", "state", "local_exponent", "angle", "invariance_residual", "backward_error"):
        assert ds[name].dims == ("sequence", *singles[0][name].dims)
        np.testing.assert_array_equal(ds[name], np.stack([one[name] for one in singles]))
    means = np.mean([one.lyapunov_exponent for one in singles], axis=0)
    np.testing.assert_allclose(ds.lyapunov_exponent, means, rtol=1e-12)
    assert ds.attrs["conditional_on"] == "the given inputs"
    alone = covariant(net, None, 40, inputs=inputs[:1], n_transient=10)
    assert alone.sizes["sequence"] == 1
    assert covariant(zoo.henon(), [[0.1, 0.1]], 5).sizes["sequence"] == 1


def test_recorded_jacobians_of_several_sequences():
    J = np.random.default_rng(0).standard_normal((2, 60, 4, 4))
    ds = covariant(dynet.Map.from_jacobians(J), None, 20, n_transient=20)
    for s in range(2):
        alone = covariant(dynet.Map.from_jacobians(J[s]), None, 20, n_transient=20)
        np.testing.assert_allclose(ds.covariant_vector[s], alone.covariant_vector, rtol=0, atol=1e-12)
        np.testing.assert_allclose(ds.local_exponent[s], alone.local_exponent, rtol=0, atol=1e-12)
    matrix = dynet.oseledets_matrix(dynet.Map.from_jacobians(J), None, 3, n_transient=2)
    product = J[1, 4] @ J[1, 3] @ J[1, 2]
    np.testing.assert_allclose(np.exp(3 * matrix.lyapunov_exponent[1]), np.linalg.svd(product)[1], rtol=1e-9)


@pytest.mark.parametrize("every", [1, 7])
def test_segments_change_nothing(every, monkeypatch):
    net, inputs = lstm_with_inputs(1, 100)
    runs = [
        lambda: covariant(net, None, 70, inputs=inputs[0], n_transient=10, n_backward=20, every=every),
        lambda: covariant(zoo.henon(), [0.1, 0.1], 70, n_transient=10, n_backward=20, every=every),
    ]
    whole = [run() for run in runs]
    monkeypatch.setattr(ginelli, "KEPT_BYTES", 100)
    for reference, run in zip(whole, runs, strict=True):
        ds = run()
        assert ds.attrs["segments"] > 5
        assert reference.attrs["segments"] == 1
        for name in NUMBERS:
            np.testing.assert_array_equal(ds[name], reference[name], err_msg=name)


def test_every_so_manyth_step_is_a_part_of_all_of_them():
    options = {"n_transient": 300, "n_backward": 50}
    ds = covariant(LORENZ, [1.0, 1.0, 20.0], 25, **options)
    part = covariant(LORENZ, [1.0, 1.0, 20.0], 25, every=10, **options)
    np.testing.assert_allclose(part.time / LORENZ.dt, [300, 310, 320])
    np.testing.assert_allclose(part.duration / LORENZ.dt, [10, 10, 5])
    for name in ("covariant_vector", "state", "angle"):
        np.testing.assert_array_equal(part[name], ds[name][::10])
    for i, steps in enumerate((slice(0, 10), slice(10, 20), slice(20, 25))):
        np.testing.assert_allclose(part.local_exponent[i], ds.local_exponent[steps].mean("time"), rtol=1e-11)
    for name in ("lyapunov_exponent", "standard_error", "frame_exponent", "backward_error"):
        np.testing.assert_array_equal(part[name], ds[name])
    assert (part.invariance_residual < 1e-12).all()


def test_the_last_vector_is_checked_too_without_a_backward_transient():
    ds = covariant(zoo.henon(), [0.1, 0.1], 5, n_transient=30, n_backward=0)
    assert (ds.invariance_residual < 1e-12).all()
    assert ds.attrs["n_backward"] == 0


def test_the_same_call_gives_the_same_numbers():
    a, b = (covariant(zoo.henon(), [0.1, 0.1], 30, n_transient=5, rng=3) for _ in range(2))
    for name in NUMBERS:
        np.testing.assert_array_equal(a[name], b[name])
    other = covariant(zoo.henon(), [0.1, 0.1], 30, n_transient=5, rng=np.random.default_rng(4))
    assert (other.backward_error != a.backward_error).any()


# --- bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: covariant(zoo.lorenz63(), [1, 1, 1], 10), ["Flow", "to_map(dt)"]),
        (lambda: covariant(zoo.henon(), [0.1, 0.1], 0), ["n_steps=0"]),
        (lambda: covariant(zoo.henon(), [0.1, 0.1], 10, every=0), ["every=0"]),
        (lambda: covariant(zoo.henon(), [0.1, 0.1], 10, n_backward=-1, n_transient="x"), ["n_backward=-1", "'x'"]),
        (lambda: covariant(zoo.henon(), [0.1, 0.1], 10, n_exponents=3), ["n_exponents=3", "from 1 to 2"]),
        (lambda: covariant(zoo.henon(), [0.1, np.nan], 10), ["x0", "finite"]),
        (lambda: covariant(zoo.henon(), None, 10), ["x0 is None"]),
        (lambda: covariant(zoo.henon(), [0.1, 0.1], 10, rng="dice"), ["rng='dice'"]),
        (lambda: covariant(dynet.Map(net_step), np.ones(5), 10), ["jac is missing"]),
        (
            lambda: covariant(dynet.Map.from_jacobians(np.ones((30, 2, 2))), None, 20, n_transient=6),
            ["holds 30 steps", "n_transient + n_steps + n_backward = 32"],
        ),
        (
            lambda: covariant(lstm_with_inputs(1, 1)[0], None, 20, inputs=np.zeros((30, 2)), n_transient=6),
            ["inputs has 30 rows", "n_transient + n_steps + n_backward need 32"],
        ),
    ],
)
def test_what_cannot_be_used_is_named(call, words):
    with pytest.raises(dynet.InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("compiled", [True, False])
def test_divergence_names_step_and_unit(compiled):
    henon = zoo.henon()
    functions = (henon.step, henon.jac) if compiled else (henon.step.py_func, henon.jac.py_func)
    system = dynet.Map(*functions, params=henon.params, units=("x", "y"))
    with pytest.raises(dynet.DivergenceError) as caught:
        covariant(system, [2.0, 2.0], 100)
    with pytest.raises(dynet.DivergenceError) as expected:
        dynet.lyapunov_spectrum(system, [2.0, 2.0], 100)
    assert (caught.value.step, caught.value.unit) == (expected.value.step, expected.value.unit)
