"""The factorisation: P A = L U to rounding, pivots as large as partial pivoting makes them, zeros where they belong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynet.kernels.lu import largest_of, settle, workspace
from dynet.kernels.packed import apart, factor, keys_of


def by_columns(A):
    n, k = A.shape
    packed = np.zeros((k, apart(n, A.dtype)), A.dtype)
    packed[:, :n] = A.T
    return packed


def factored(A):
    """Return L, U and the order of rows of ``A`` (n, k)."""
    n, k = A.shape
    packed = by_columns(A)
    rows, pivots = np.zeros(n, np.int64), np.empty(k, A.dtype)
    work = workspace(n, k, A.dtype)
    factor(packed, keys_of(packed), rows, pivots, work)
    told = np.take_along_axis(packed, np.repeat(work.order, work.panel.shape[1], axis=0)[:k], axis=1)
    settle(packed, work)
    packed = packed[:, :n]
    np.testing.assert_array_equal(packed, told)
    L, U = np.tril(packed.T, -1) + np.eye(n, k, dtype=A.dtype), np.triu(packed.T[:k])
    np.testing.assert_array_equal(pivots, np.diag(U))
    return L, U, rows


def assert_factored(A, digits=30.0):
    L, U, rows = factored(A)
    n = len(A)
    assert sorted(rows) == list(range(n))
    scale = n * np.finfo(A.dtype).eps * np.abs(U).max()
    assert np.abs(L @ U - A[rows]).max() <= digits * scale
    # pivots are compared by their leading bits: an entry of L may pass 1 by what was cut off
    assert np.abs(L).max() <= 1 + (2**-9 if A.dtype == np.float32 else 2**-38)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(0, 60),
    st.sampled_from([np.float64, np.float32]),
    st.integers(-30, 30),
    st.integers(0, 2**32 - 1),
)
def test_any_tall_matrix_is_the_product_of_its_factors(k, extra, dtype, exponent, seed):
    random = np.random.default_rng(seed)
    A = random.standard_normal((k + extra, k)) * 2.0**exponent * 10.0 ** random.uniform(-3, 3, (k + extra, 1))
    assert_factored(A.astype(dtype))


@pytest.mark.parametrize("n", [7, 8, 9, 31, 32, 33, 64, 65, 129, 200, 450])
@pytest.mark.parametrize("kind", ["random", "rank deficient", "dead rows", "ordered backwards", "integers", "zero"])
def test_sizes_round_the_blocks_and_matrices_that_tempt_pivoting(n, kind):
    random = np.random.default_rng(n)
    A = random.standard_normal((n, n))
    if kind == "rank deficient":
        A = A[:, : n // 2] @ random.standard_normal((n // 2, n))
    elif kind == "dead rows":
        A[random.random(n) < 0.5] = 0
    elif kind == "ordered backwards":
        A = np.triu(A)[::-1] + 0.0
    elif kind == "integers":
        A = np.round(A)  # ties everywhere
    elif kind == "zero":
        A = np.zeros((n, n))
    assert_factored(A)


def test_dead_units_leave_exact_zero_pivots():
    random = np.random.default_rng(0)
    A = random.standard_normal((40, 40))
    A[random.permutation(40)[:13]] = 0
    _, U, _ = factored(A)
    assert (np.diag(U) == 0).sum() == 13


def test_the_determinant_is_the_product_of_the_pivots():
    random = np.random.default_rng(1)
    A = random.standard_normal((150, 150))
    _, U, _ = factored(A)
    np.testing.assert_allclose(np.log(np.abs(np.diag(U))).sum(), np.linalg.slogdet(A)[1], rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_shows_in_the_factors(bad):
    A = np.random.default_rng(2).standard_normal((20, 20))
    A[11, 3] = bad
    packed, pivots = by_columns(A), np.empty(20)
    factor(packed, keys_of(packed), np.zeros(20, np.int64), pivots, workspace(20, 20, A.dtype))
    assert not np.isfinite(pivots).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 7), (40, 9), (130, 130), (450, 450), (450, 433)])
def test_the_largest_entry_of_U_is_known_wherever_it_stands(n, k, dtype):
    random = np.random.default_rng(n)
    for _ in range(20 if n < 450 else 3):
        A = random.standard_normal((n, k)).astype(dtype)
        A[:, random.integers(k)] *= -100  # in a column of any block
        packed, work, pivots = by_columns(A), workspace(n, k, A.dtype), np.empty(k, dtype)
        factor(packed, keys_of(packed), np.zeros(n, np.int64), pivots, work)
        assert largest_of(packed, work) == np.abs(np.triu(packed[:, :k].T)).max()
