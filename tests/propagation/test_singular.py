"""Singular values of finite products: against many digits, determinants, exponents and invariances."""

import mpmath
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st

import dynet
from dynet.systems.operators import ScaledSum, Term

RANDOM = np.random.default_rng(0)


def orthogonal(n, random=RANDOM):
    return np.linalg.qr(random.standard_normal((n, n)))[0]


def exact(jacobians, digits):
    """Log singular values of J_T ... J_1 in many digits."""
    with mpmath.workdps(digits):
        product = mpmath.eye(len(jacobians[0]))
        for J in jacobians:
            product = mpmath.matrix(np.asarray(J, float).tolist()) * product
        values = mpmath.svd_r(product, compute_uv=False)
        return np.array([float(mpmath.log(value)) for value in values])


def of_jacobians(jacobians, **options):
    J = np.stack([np.asarray(J) for J in jacobians])
    return dynet.singular_values(dynet.Map.from_jacobians(J), None, len(J), **options)


def iterated(*arguments):
    return dynet.jacobian_norms(*arguments, method="lanczos")


def tanh_net(n=12, g=1.5, seed=1):
    random = np.random.default_rng(seed)
    W = random.standard_normal((n, n)) * g / np.sqrt(n)
    return dynet.networks.tanh_rnn(W, random.standard_normal((n, 2)) * 0.3)


PRODUCTS = {
    "strongly graded": [orthogonal(5) @ np.diag([10, 3, 1, 0.1, 0.001]) @ orthogonal(5) for _ in range(60)],
    "random": [RANDOM.standard_normal((4, 4)) for _ in range(250)],
    "one matrix, not normal": [np.array([[1, 1e3, 0], [0, 0.5, 1], [0, 0, 1e-3]])] * 60,
    "diagonal, unsorted": [np.diag([1e-2, 1.0, 1e2])] * 60,
    "half a rotation, half a Jordan block": [np.array([[0, -1, 0], [1, 0, 1], [0, 0, 1e-5]])] * 60,
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_ratios_of_a_hundred_decades_against_many_digits(name):
    jacobians = PRODUCTS[name]
    found = of_jacobians(jacobians, horizons=len(jacobians)).log_singular_value.values[0]
    expected = exact(jacobians, 800)
    assert expected[0] - expected[-1] > 100 * np.log(10)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_growing_then_shrinking_directions_keep_their_ranks():
    # the directions that grow in the first half shrink in the second: the product is close to an isometry
    Q = orthogonal(4)
    up = Q @ np.diag([4.0, 2.0, 0.5, 0.25]) @ Q.T
    found = of_jacobians([up] * 3 + [np.linalg.inv(up)] * 3, horizons=[3, 6])
    np.testing.assert_allclose(found.log_singular_value[0], 3 * np.log([4.0, 2.0, 0.5, 0.25]), rtol=1e-12)
    np.testing.assert_allclose(found.log_singular_value[1], 0.0, atol=1e-9)  # cond(product of three) is 4096
    assert float(found.isometry_distance[1]) < 1e-9


def test_values_beyond_the_range_of_floating_point_numbers():
    found = of_jacobians([np.diag([1e4, 1.0, 1e-4])] * 200, horizons=[100, 200])
    expected = np.log(10) * np.array([[400, 0, -400], [800, 0, -800]])
    np.testing.assert_allclose(found.log_singular_value, expected, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(found.log_condition_number, np.log(10) * np.array([800, 1600]), rtol=1e-12)
    np.testing.assert_allclose(found.log_first_moment, expected[:, 0] * 2 - np.log(3), rtol=1e-12)
    np.testing.assert_allclose(found.log_second_moment, expected[:, 0] * 4 - np.log(3), rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_short_products_are_those_of_a_dense_decomposition(n):
    jacobians = RANDOM.standard_normal((6, n, n))
    found = of_jacobians(jacobians, horizons=range(1, 7))
    product = np.eye(n)
    for row, J in zip(found.log_singular_value.values, jacobians, strict=True):
        product = J @ product
        np.testing.assert_allclose(row, np.log(np.linalg.svd(product, compute_uv=False)), rtol=1e-9, atol=1e-10)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 6), n_steps=st.integers(1, 12))
def test_sum_inverse_transpose_and_scale(seed, n, n_steps):
    random = np.random.default_rng(seed)
    J = random.standard_normal((n_steps, n, n)) + 2 * np.eye(n)
    values = of_jacobians(J, horizons=n_steps).log_singular_value.values[0]
    allowed = 1e-11 * np.linalg.cond(J).sum()
    np.testing.assert_allclose(values.sum(), np.linalg.slogdet(J)[1].sum(), atol=allowed)
    back = of_jacobians(np.linalg.inv(J)[::-1], horizons=n_steps).log_singular_value.values[0]
    np.testing.assert_allclose(-back[::-1], values, atol=allowed)
    turned = of_jacobians(J.transpose(0, 2, 1)[::-1], horizons=n_steps).log_singular_value.values[0]
    np.testing.assert_allclose(turned, values, atol=allowed)
    scaled = of_jacobians(1e3 * J, horizons=n_steps).log_singular_value.values[0]
    np.testing.assert_allclose(scaled, values + n_steps * np.log(1e3), atol=allowed)


def test_isometries_have_distance_zero_and_moments_one():
    ds = of_jacobians([orthogonal(8) for _ in range(50)], horizons=[1, 50])
    for name in ("isometry_distance", "log_condition_number", "log_first_moment", "log_second_moment"):
        np.testing.assert_allclose(ds[name], 0.0, atol=1e-13, err_msg=name)


def test_distance_and_moments_by_hand():
    ds = of_jacobians([np.diag([2.0, 0.5, 1.0])])
    np.testing.assert_allclose(ds.isometry_distance, np.log(2) * np.sqrt(2 / 3))
    np.testing.assert_allclose(np.exp(ds.log_first_moment), (4 + 0.25 + 1) / 3)
    np.testing.assert_allclose(np.exp(ds.log_second_moment), (16 + 1 / 16 + 1) / 3)
    assert np.isposinf(ds.first_moment_error).all()  # one run


def test_moments_are_averaged_over_sequences_and_windows():
    J = np.random.default_rng(5).standard_normal((6, 40, 3, 3))
    ds = dynet.singular_values(dynet.Map.from_jacobians(J), None, 40, horizons=[2, 4], every=4)
    assert ds.log_singular_value.dims == ("sequence", "start", "horizon", "index")
    squares = np.exp(2 * ds.log_singular_value)
    np.testing.assert_allclose(np.exp(ds.log_first_moment), squares.mean(["sequence", "start", "index"]))
    np.testing.assert_allclose(np.exp(ds.log_second_moment), (squares**2).mean(["sequence", "start", "index"]))
    by_sequence = squares.mean(["start", "index"])
    relative = by_sequence.std("sequence", ddof=1) / np.sqrt(6) / by_sequence.mean("sequence")
    # the half width of a 68 % interval: somewhat more than one standard deviation of six
    assert ((ds.first_moment_error / relative > 1.05) & (ds.first_moment_error / relative < 1.2)).all()


def test_moments_of_ginibre_products():
    # E tr(P^T P) / n = 1 for entries of variance 1 / n, at any horizon
    J = np.random.default_rng(3).standard_normal((400, 5, 20, 20)) / np.sqrt(20)
    ds = dynet.singular_values(dynet.Map.from_jacobians(J), None, 5, horizons=[1, 5])
    assert (abs(ds.log_first_moment) < 4 * ds.first_moment_error).all()
    assert float(ds.first_moment_error[1]) < 0.05


def test_windows_are_the_products_that_start_there():
    net, inputs = tanh_net(), np.random.default_rng(2).standard_normal((30, 2))
    ds = dynet.singular_values(net, None, 24, inputs=inputs, n_transient=6, horizons=[3, 8], every=5)
    np.testing.assert_array_equal(ds.start, [6, 11, 16, 21])
    states = dynet.simulate(net, np.zeros(12), 30, inputs=inputs).state.values
    for start in (6, 21):
        product = np.eye(12)
        for t in range(start, start + 8):
            product = net.jac(float(t), states[t], inputs[t], net.params).assemble() @ product
        found = ds.log_singular_value.sel(start=start, horizon=8)
        np.testing.assert_allclose(found, np.log(np.linalg.svd(product, compute_uv=False)), rtol=1e-6)


def test_growth_per_time_tends_to_the_exponents():
    net = tanh_net(8, 1.2)
    inputs = np.random.default_rng(2).standard_normal((1700, 2))
    ds = dynet.singular_values(net, None, 1500, horizons=[40, 300, 1500], inputs=inputs, n_transient=200)
    for h in ds.horizon.values:
        spectrum = dynet.lyapunov_spectrum(net, None, h, inputs=inputs[: 200 + h], n_transient=200)
        rates = ds.log_singular_value.sel(horizon=h) / h
        # frames and singular vectors differ by a factor that does not grow
        np.testing.assert_allclose(rates, spectrum.lyapunov_exponent, atol=4 / h)
        np.testing.assert_allclose(rates.sum(), spectrum.lyapunov_exponent.sum(), rtol=1e-9)


def test_flows_count_time_not_steps():
    ds = dynet.singular_values(dynet.zoo.lorenz63().to_map(0.01), [1.0, 1.0, 20.0], 2000, horizons=[2000])
    np.testing.assert_allclose(ds.duration, [20.0])
    np.testing.assert_allclose(ds.log_singular_value.sum() / 20.0, -41 / 3, atol=1e-3)


def test_depth_as_time():
    weights = [orthogonal(6) * 1.1 for _ in range(10)]
    net = dynet.networks.feedforward(weights)
    x = 0.5 * np.ones(6)
    ds = dynet.singular_values(net, x, 10, horizons=range(1, 11))
    assert ds.duration.attrs["units"] == "layer"

    def network(x):
        for W in weights:
            x = torch.tanh(torch.as_tensor(W) @ x)
        return x

    whole = torch.autograd.functional.jacobian(network, torch.as_tensor(x)).numpy()
    np.testing.assert_allclose(
        ds.log_singular_value[-1], np.log(np.linalg.svd(whole, compute_uv=False)), rtol=1e-10, atol=1e-10
    )


def test_zero_singular_values():
    dead = dynet.networks.relu_rnn(np.array([[2.0, 1, 0], [0, 1, 0], [0, 0, 1]]), b=[0.0, 0.0, -50.0])
    ds = dynet.singular_values(dead, [1.0, 1.0, 1.0], 20)
    assert np.isneginf(ds.log_singular_value.sel(index=3)).all()
    alive = exact([np.array([[2.0, 1], [0, 1]])] * 20, 50)
    np.testing.assert_allclose(ds.log_singular_value[-1, :2], alive, rtol=1e-9, atol=1e-9)
    assert np.isposinf(ds.isometry_distance).all()
    assert np.isposinf(ds.log_condition_number).all()
    assert ds.attrs["n_below_resolution"] == 1
    assert not np.isnan(ds.to_array()).any()


def test_dependent_columns_in_front_hide_no_rank():
    # the first two columns are parallel, the rank is two
    J = np.array([[1.0, 2.0, 0.3], [1.0, 2.0, -0.4], [2.0, 4.0, 0.7]])
    values = of_jacobians([J]).log_singular_value.values[0]
    np.testing.assert_allclose(values[:2], np.log(np.linalg.svd(J, compute_uv=False)[:2]), rtol=1e-12)
    assert np.isneginf(values[2])


def test_rank_deficient_weights_are_zero_not_rounding():
    factor = np.random.default_rng(1).standard_normal((9, 3))
    ds = of_jacobians([factor @ factor.T / 3] * 12)
    assert (np.isneginf(ds.log_singular_value).sum("index") == 6).all()
    nothing = of_jacobians([np.ones((3, 3)), np.zeros((3, 3)), np.eye(3)], horizons=[1, 2, 3])
    np.testing.assert_array_equal(np.isneginf(nothing.log_singular_value).sum("index"), [2, 3, 3])
    assert not np.isnan(nothing.to_array()).any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("n", "rank"), [(6, 4), (20, 7), (60, 59)])
def test_ranks_of_integers(n, rank, seed):
    # whole numbers: the product has exactly this rank, and no rounding in it
    random = np.random.default_rng(seed)
    J = random.integers(-3, 4, (n, rank)) @ random.integers(-3, 4, (rank, n))
    assert np.linalg.matrix_rank(J) == rank
    ds = of_jacobians([J.astype(float)] * 3, horizons=[1, 2, 3])
    np.testing.assert_array_equal(np.isneginf(ds.log_singular_value).sum("index"), n - rank)


def test_small_values_of_large_systems_are_no_rounding():
    # n eps would be 2.7e-14; each column is told from the others to eps alone
    least = 5e-15
    ds = of_jacobians([np.diag([*np.ones(119), least])] * 2, horizons=[1, 2])
    np.testing.assert_allclose(ds.log_singular_value.isel(index=-1), np.log(least) * np.array([1, 2]), rtol=1e-12)


@given(seed=st.integers(0, 10_000), n=st.integers(2, 8))
def test_whole_numbers_of_determinant_one_lose_no_rank(seed, n):
    random = np.random.default_rng(seed)
    L, U = (np.tril(random.integers(-2, 3, (n, n)), -1) + np.eye(n) for _ in range(2))
    ds = of_jacobians([L @ U.T], horizons=1)
    if np.linalg.cond(L @ U.T) < 1e12:
        np.testing.assert_allclose(ds.log_singular_value.sum(), 0.0, atol=1e-3)


def kinds(W):
    """The same linear map with Jacobians of every kind."""
    n = len(W)
    made = {
        "dense": W,
        "sparse": scipy.sparse.csr_array(W),
        "LinearOperator": scipy.sparse.linalg.aslinearoperator(W),
        "operator": ScaledSum(Term(np.ones(n), W)),
        "nested lists": W.tolist(),
    }
    return {name: dynet.Map(lambda t, x, u, p: W @ x, lambda t, x, u, p, J=J: J) for name, J in made.items()}


def test_every_kind_of_jacobian():
    W = RANDOM.standard_normal((5, 5))
    expected = dynet.singular_values(dynet.zoo.linear_map(W), np.ones(5), 8).log_singular_value
    for name, system in kinds(W).items():
        found = dynet.singular_values(system, np.ones(5), 8).log_singular_value
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12, err_msg=name)


def test_batches_and_torch_and_float32():
    net, inputs = tanh_net(), np.random.default_rng(2).standard_normal((3, 20, 2))
    batch = dynet.singular_values(net, None, 20, inputs=inputs)
    for s in range(3):
        alone = dynet.singular_values(net, None, 20, inputs=inputs[s])
        assert alone.log_singular_value.dims == ("horizon", "index")
        np.testing.assert_allclose(batch.log_singular_value.sel(sequence=s), alone.log_singular_value, rtol=1e-9)
    w = net.params[0]
    tensors = [torch.as_tensor(w.W_hh, dtype=torch.float32), torch.as_tensor(w.W_xh, dtype=torch.float32)]
    single = dynet.singular_values(dynet.networks.tanh_rnn(*tensors), None, 20, inputs=inputs)
    assert single.attrs["dtype"] == "float32"
    leading = batch.log_singular_value.sel(index=slice(1, 6))
    np.testing.assert_allclose(single.log_singular_value.sel(index=slice(1, 6)), leading, atol=1e-3)


def test_determinant_error_is_that_of_rounding():
    ds = dynet.singular_values(tanh_net(), np.ones(12) * 0.1, 200)
    assert 0 < float(ds.determinant_error.max()) < 1e-9


def test_default_horizons_are_spread_over_the_run():
    ds = dynet.singular_values(dynet.zoo.henon(), [0.1, 0.1], 1000)
    assert ds.horizon.values[0] == 1
    assert ds.horizon.values[-1] == 1000
    steps = np.diff(np.log(ds.horizon.values))
    assert steps.max() < 0.75
    np.testing.assert_allclose(ds.log_singular_value.sum("index"), ds.horizon * np.log(0.3), rtol=1e-10)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dynet.singular_values(dynet.zoo.henon(), [0.1, 0.1], 10, horizons=[5, 11]), ["horizons=11", "10"]),
        (lambda: dynet.singular_values(dynet.zoo.henon(), [0.1, 0.1], 10, horizons=[]), ["horizons"]),
        (lambda: dynet.singular_values(dynet.zoo.henon(), [0.1, 0.1], 10, horizons=2.5), ["horizons=2.5"]),
        (lambda: dynet.singular_values(dynet.zoo.henon(), [0.1, 0.1], 10, every=0), ["every=0"]),
        (lambda: dynet.singular_values(dynet.zoo.henon(), [0.1, 0.1], 0), ["n_steps=0"]),
        (lambda: dynet.singular_values(dynet.zoo.lorenz63(), [1.0, 1, 1], 10), ["Flow", "to_map"]),
        (lambda: dynet.singular_values(torch.nn.LSTM(1, 2), None, 10), ["from_module"]),
        (lambda: of_jacobians(np.ones((4, 3, 2))), ["(time, n, n)"]),
        (
            lambda: dynet.singular_values(
                dynet.Map(lambda t, x, u, p: x[:2], lambda t, x, u, p: np.eye(3)[:2]), [1.0, 1, 1], 5
            ),
            ["(2,)", "(3,)"],
        ),
        (
            lambda: dynet.singular_values(
                dynet.Map(lambda t, x, u, p: x, lambda t, x, u, p: np.eye(3)[:2]), [1.0, 1, 1], 5
            ),
            ["jac", "(2, 3)", "(3, 3)"],
        ),
        (
            lambda: dynet.singular_values(tanh_net(), np.zeros((2, 12)), 5, inputs=np.zeros((3, 5, 2))),
            ["x0 has 2 sequences", "inputs has 3"],
        ),
        (
            lambda: dynet.networks.feedforward([np.eye(3), np.ones((2, 3))]),
            ["W[1]", "square"],
        ),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(dynet.InputError) as error:
        call()
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("call", [dynet.singular_values, dynet.gradient_norms, dynet.jacobian_norms, iterated])
def test_a_jacobian_that_is_not_finite(call):
    system = dynet.Map(lambda t, x, u, p: x, lambda t, x, u, p: np.eye(2) if t != 4 else np.full((2, 2), np.inf))
    with pytest.raises(dynet.DivergenceError, match="Jacobian of step 4"):
        call(system, [1.0, 1.0], 8)


def test_a_state_that_blows_up():
    with pytest.raises(dynet.DivergenceError):
        dynet.singular_values(dynet.zoo.henon(), [10.0, 10.0], 50)


def test_a_value_below_resolution_is_told_from_a_zero():
    below, zero = (
        dynet.singular_values(dynet.zoo.linear_map(np.diag([1.0, s])), [1.0, 1.0], 2, horizons=[2])
        for s in (1e-17, 0.0)
    )
    for ds, error in ((below, np.inf), (zero, 0.0)):
        np.testing.assert_array_equal(ds.log_singular_value, [[0.0, -np.inf]])
        assert ds.determinant_error[0] == error
