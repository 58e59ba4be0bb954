"""The number of finite exponents is the rank of the product, however it falls, in every engine and frame."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

import dynet
from tests.compiled_systems import recorded_jac, recorded_step


def exact_rank(matrix):
    """Return the rank of a matrix of integers, by elimination in integers."""
    rows = [[int(entry) for entry in row] for row in matrix]
    rank = 0
    for column in range(len(rows[0])):
        pivot = next((i for i in range(rank, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        for i in range(rank + 1, len(rows)):
            a, b = rows[rank][column], rows[i][column]
            rows[i] = [a * p - b * q for p, q in zip(rows[i], rows[rank], strict=True)]
        rank += 1
    return rank


SIZES = st.integers(2, 6)


@st.composite
def products(draw, sizes=SIZES):
    """Draw Jacobians (time, n, n) of units that die, of weights that may be of low rank, or only feed forward.

    The entries are large whole numbers: ranks can be known exactly, and none falls by coincidence.
    """
    n, T = draw(sizes), draw(st.integers(1, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    J = random.integers(-1000, 1001, (T, n, n))
    if draw(st.booleans()):
        rank = draw(st.integers(1, n))
        J = random.integers(-1000, 1001, (T, n, rank)) @ random.integers(-1000, 1001, (T, rank, n))
    if draw(st.booleans()):
        J = np.tril(J, draw(st.sampled_from([-1, 0])))
    J[random.random((T, n)) < draw(st.sampled_from([0.0, 0.2, 0.5]))] = 0
    return J


def rank_of_product(J):
    product = np.eye(J.shape[1], dtype=object)
    for step in J:
        product = step.astype(object) @ product
    return exact_rank(product)


def n_finite(J, k, **keywords):
    ds = dynet.lyapunov_spectrum(dynet.Map.from_jacobians(J), None, len(J), n_exponents=k, **keywords)
    return int(np.isfinite(ds.lyapunov_exponent).sum())


@given(products(), st.data())
def test_finite_exponents_count_the_rank(J, data):
    n = J.shape[1]
    k = data.draw(st.integers(1, n))
    expected = min(k, rank_of_product(J))
    for frame in ("qr", "lu"):
        assert n_finite(J.astype(float), k, frame=frame) == expected, frame


@given(products(st.sampled_from([3, 7])))
def test_compiled_loops_count_the_rank(J):
    # three units keep their frame in a tuple, seven in an array
    system = dynet.Map(recorded_step, recorded_jac, params=J.astype(float))
    ds = dynet.lyapunov_spectrum(system, np.zeros(J.shape[1]), len(J), check=False)
    assert ds.attrs["engine"] == "compiled"
    assert int(np.isfinite(ds.lyapunov_exponent).sum()) == rank_of_product(J)


@given(
    st.integers(2, 4).flatmap(
        lambda n: st.lists(
            st.lists(st.lists(st.integers(-2, 2), min_size=n, max_size=n), min_size=n, max_size=n),
            min_size=1,
            max_size=8,
        )
    )
)
def test_small_whole_numbers_lose_exactly_their_rank(J):
    # here ranks also fall by coincidence
    J = np.array(J)
    rank = rank_of_product(J)
    for frame in ("qr", "lu"):
        ds = dynet.lyapunov_spectrum(dynet.Map.from_jacobians(J.astype(float)), None, len(J), frame=frame)
        assert np.isfinite(ds.lyapunov_exponent[:rank]).all()
        assert np.isneginf(ds.lyapunov_exponent[rank:]).all()


@pytest.mark.parametrize("frame", ["qr", "lu"])
@pytest.mark.parametrize(("n", "T"), [(30, 10), (60, 20)])
def test_a_long_fall_is_counted_to_the_last_column(frame, n, T):
    J = np.tril(np.random.default_rng(n).standard_normal((T, n, n)), -1)
    for k in (n, n - T + 3):
        assert n_finite(J, k, frame=frame) == n - T


@pytest.mark.parametrize("frame", ["qr", "lu"])
def test_torch_tensors_count_the_same(frame):
    torch = pytest.importorskip("torch")
    W = np.diag(np.ones(4), -1)
    module = torch.nn.RNN(1, 5, bias=False, dtype=torch.float64)
    module.weight_hh_l0.data = torch.as_tensor(W)
    inputs = np.zeros((8, 1))
    system = dynet.torch.from_module(module)
    for T in range(1, 7):
        ds = dynet.lyapunov_spectrum(system, np.full(5, 0.3), T, inputs=inputs[:T], frame=frame)
        assert int(np.isfinite(ds.lyapunov_exponent).sum()) == max(5 - T, 0)


@pytest.mark.parametrize("n_sequences", [1, 20])
def test_lanes_and_tuples_count_the_same(n_sequences):
    @njit
    def shift(t, x, u, p):
        return 0.0 * x[0], 2.0 * x[0], 3.0 * x[1]

    @njit
    def shift_jacobian(t, x, u, p):
        return (0.0, 0.0, 0.0), (2.0, 0.0, 0.0), (0.0, 3.0, 0.0)

    system = dynet.Map(shift, shift_jacobian)
    for T in range(1, 5):
        ds = dynet.lyapunov_spectrum(system, np.ones((n_sequences, 3)), T)
        assert int(np.isfinite(ds.lyapunov_exponent).sum()) == max(3 - T, 0)
