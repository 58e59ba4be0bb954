"""Eigenvalues of products of matrices, far below what the product itself can hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynet.kernels.periodic_schur import split_product


def hidden_product(values, n_factors, rng):
    """Return factors of a product that is similar to a diagonal matrix of the given logarithms."""
    n = len(values)
    frames = [np.linalg.qr(rng.normal(size=(n, n)))[0] + 0.3 * rng.normal(size=(n, n)) for _ in range(n_factors)]
    step = np.diag(np.exp(np.array(values) / n_factors))
    return np.array([frames[(k + 1) % n_factors] @ step @ np.linalg.inv(frames[k]) for k in range(n_factors)]), frames


@pytest.mark.parametrize("values", [[0.0, -85.0], [3.0, 0.0, -800.0], [0.0, -1e-3, -400.0, -1500.0], [0.0, 0.0, -40.0]])
def test_logarithms_at_any_magnitude(values):
    factors, frames = hidden_product(values, 200, np.random.default_rng(0))
    split = split_product(factors)
    np.testing.assert_allclose(np.sort(split.log_modulus)[::-1], values, atol=1e-9)
    if len(set(values)) < len(values):
        return  # of equal ones every direction is an eigenvector
    # each invariant subspace is that of the frame's columns
    for block, basis in zip(split.blocks, split.bases, strict=True):
        angle = np.linalg.svd(
            np.linalg.qr(basis[0])[0].T @ np.linalg.qr(frames[0][:, block])[0], compute_uv=False
        )  # fmt: skip
        np.testing.assert_allclose(angle, 1, atol=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 4))
def test_small_products_against_a_dense_solver(seed, n, n_factors):
    factors = np.random.default_rng(seed).normal(size=(n_factors, n, n))
    product = np.linalg.multi_dot([np.eye(n), *factors[::-1]])
    split = split_product(factors)
    found = np.exp(split.log_modulus + 1j * split.phase)
    # sensitivity of single eigenvalues aside, all coefficients of the characteristic polynomial agree
    scale = np.abs(product).max() ** np.arange(n + 1)
    np.testing.assert_allclose(np.poly(found).real / scale, np.poly(product) / scale, atol=1e-9)
    for block, basis, W in zip(split.blocks, split.bases, split.vectors, strict=True):
        V = basis[0] @ W
        np.testing.assert_allclose(product @ V, V * found[block], atol=1e-7 * np.abs(product).max())


def test_a_lost_rank_is_minus_infinity():
    factors = np.array([[[1.0, 2.0], [2.0, 4.0]], [[0.5, 0.0], [0.0, 3.0]]])
    split = split_product(factors)
    assert split.log_modulus[1] == -np.inf
    assert np.exp(split.log_modulus[0]) == pytest.approx(np.trace(factors[1] @ factors[0]))
