"""Operators against the matrices they stand for, written out entry by entry."""

import tracemalloc

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import aslinearoperator

from dynet.kernels.namespace import to_numpy
from dynet.systems.layer_operators import GatedCell, Layers
from dynet.systems.operators import Affine, Product, ScaledSum, Term, assemble, transpose
from dynet.systems.runge_kutta import RungeKutta

RANDOM = np.random.default_rng(11)
RK4 = (((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6))


def normal(*shape):
    return RANDOM.standard_normal(shape)


@pytest.mark.parametrize("columns", [1, 2, 3, 7])
def test_a_scaled_sum_is_the_sum_of_its_diagonals_and_matrices(columns):
    d, l1, r2, l3, r3 = normal(5, 4)
    A, B, C = normal(3, 4, 4)
    J = ScaledSum(Term(l1, A), Term(None, B, r2), Term(l3, C, r3), diagonal=d)
    by_hand = np.diag(d) + np.diag(l1) @ A + B @ np.diag(r2) + np.diag(l3) @ C @ np.diag(r3)
    V = normal(4, columns)
    np.testing.assert_allclose(J @ V, by_hand @ V, rtol=0, atol=1e-13)
    np.testing.assert_allclose(J.assemble(), by_hand, rtol=0, atol=1e-14)
    np.testing.assert_allclose(J.transpose() @ V, by_hand.T @ V, rtol=0, atol=1e-13)


@pytest.mark.parametrize("columns", [1, 6])
def test_a_batch_of_diagonals_is_a_batch_of_matrices(columns):
    d, left = normal(3, 4), normal(3, 4)
    A, B = normal(2, 4, 4)
    J = ScaledSum(Term(left, A), Term(None, B), diagonal=d)
    assert J.shape == (3, 4, 4)
    V = normal(3, 4, columns)
    for s in range(3):
        by_hand = np.diag(d[s]) + np.diag(left[s]) @ A + B
        np.testing.assert_allclose((J @ V)[s], by_hand @ V[s], rtol=0, atol=1e-13)
        np.testing.assert_allclose((J.transpose() @ V)[s], by_hand.T @ V[s], rtol=0, atol=1e-13)
        np.testing.assert_allclose(J.assemble()[s], by_hand, rtol=0, atol=1e-14)


def test_rectangular_sums_know_their_rows_and_columns():
    A, B, left = normal(2, 5), normal(2, 5), normal(2)
    J = ScaledSum(Term(left, A), Term(None, B))
    assert J.shape == (2, 5)
    assert J.transpose().shape == (5, 2)
    np.testing.assert_allclose(J @ np.eye(5), np.diag(left) @ A + B, atol=1e-15)


def test_a_product_applies_its_last_factor_first():
    A, B = normal(2, 3, 3)
    J = Product(ScaledSum(Term(None, A)), ScaledSum(Term(None, B)))
    V = normal(3, 2)
    np.testing.assert_allclose(J @ V, A @ (B @ V), atol=1e-14)
    assert np.abs(J @ V - B @ (A @ V)).max() > 0.1
    np.testing.assert_allclose(J.transpose() @ V, B.T @ (A.T @ V), atol=1e-14)


def test_an_affine_operator_adds_a_multiple_of_the_identity():
    A, B = normal(2, 3, 3)
    J = Affine(0.3, 0.7, ScaledSum(Term(None, A)), ScaledSum(Term(None, B)))
    by_hand = 0.3 * np.eye(3) + 0.7 * (A + B)
    np.testing.assert_allclose(J.assemble(), by_hand, atol=1e-15)
    np.testing.assert_allclose(assemble(J.transpose()), by_hand.T, atol=1e-15)


def test_a_gated_cell_is_the_block_matrix_of_an_lstm():
    E, M, s, f = normal(3, 3), normal(3, 3), normal(3), normal(3)
    J = GatedCell(ScaledSum(Term(None, E)), ScaledSum(Term(None, M)), s, forget=f)
    by_hand = np.block([[E + np.diag(s) @ M, np.diag(s * f)], [M, np.diag(f)]])
    np.testing.assert_allclose(J.assemble(), by_hand, atol=1e-15)
    np.testing.assert_allclose(assemble(J.transpose()), by_hand.T, atol=1e-15)
    inward = GatedCell(ScaledSum(Term(None, E)), ScaledSum(Term(None, M)), s)
    np.testing.assert_allclose(inward.assemble(), by_hand[:, :3], atol=1e-15)
    np.testing.assert_allclose(assemble(inward.transpose()), by_hand[:, :3].T, atol=1e-15)


def test_layers_of_a_map_read_what_the_layer_below_has_just_become():
    A, B, C = normal(2, 2), normal(3, 3), normal(3, 2)
    parts = tuple(ScaledSum(Term(None, W)) for W in (A, B, C))
    rows = ((slice(0, 2),), (slice(2, 5),))
    cascade = Layers(parts[:2], parts[2:], rows, cascade=True)
    flow = Layers(parts[:2], parts[2:], rows, cascade=False)
    np.testing.assert_allclose(cascade.assemble(), np.block([[A, np.zeros((2, 3))], [C @ A, B]]), atol=1e-15)
    np.testing.assert_allclose(flow.assemble(), np.block([[A, np.zeros((2, 3))], [C, B]]), atol=1e-15)
    for J in (cascade, flow):
        np.testing.assert_allclose(assemble(J.transpose()), J.assemble().T, atol=1e-14)


def test_a_runge_kutta_operator_of_one_matrix_is_its_polynomial():
    A, h = normal(4, 4), 0.3
    z = h * A
    J = RungeKutta((A, A, A, A), *RK4, h, np.zeros(4))
    by_hand = np.eye(4) + z + z @ z / 2 + z @ z @ z / 6 + z @ z @ z @ z / 24
    np.testing.assert_allclose(J.assemble(), by_hand, atol=1e-14)
    np.testing.assert_allclose(assemble(J.transpose()), by_hand.T, atol=1e-14)


def test_runge_kutta_stages_stand_in_the_order_of_time():
    # one explicit product of four different matrices; any other order of stages gives another one
    K = normal(4, 3, 3)
    h = 0.4
    identity = np.eye(3)
    k1 = K[0]
    k2 = K[1] @ (identity + h / 2 * k1)
    k3 = K[2] @ (identity + h / 2 * k2)
    k4 = K[3] @ (identity + h * k3)
    by_hand = identity + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    np.testing.assert_allclose(RungeKutta(tuple(K), *RK4, h, np.zeros(3)).assemble(), by_hand, atol=1e-14)
    backwards = RungeKutta(tuple(K[::-1]), *RK4, h, np.zeros(3)).assemble()
    assert np.abs(backwards - by_hand).max() > 1e-2


@pytest.mark.parametrize("kind", [np.asarray, csr_array, aslinearoperator, lambda A: ScaledSum(Term(None, A))])
def test_every_kind_of_jacobian_has_a_transpose_and_a_matrix(kind):
    A, V = normal(4, 4), normal(4, 2)
    J = kind(A)
    np.testing.assert_allclose(transpose(J) @ V, A.T @ V, atol=1e-14)
    np.testing.assert_allclose(assemble(J), A, atol=1e-14)
    np.testing.assert_allclose(transpose(transpose(J)) @ V, A @ V, atol=1e-14)


def test_the_transpose_of_a_batch_of_matrices_flips_each_of_them():
    A = normal(5, 2, 3)
    np.testing.assert_array_equal(transpose(A), A.transpose(0, 2, 1))


def test_numpy_leaves_a_product_from_the_left_to_the_operator_which_has_none():
    J = ScaledSum(Term(None, np.eye(2)))
    with pytest.raises(TypeError):
        np.eye(2) @ J


def test_float32_matrices_give_float32_products():
    J = ScaledSum(Term(np.ones(3, np.float32), np.eye(3, dtype=np.float32)), diagonal=np.ones(3, np.float32))
    assert (J @ np.eye(3, dtype=np.float32)).dtype == np.float32
    assert J.assemble().dtype == np.float32


def gates_of_a_batch(library):
    random = np.random.default_rng(7)
    sequences, n = 3, 128
    W = library.asarray(random.standard_normal((4 * n, n)))
    slopes = library.asarray(random.standard_normal((4, sequences, n)))
    return [Term(slopes[g], W[g * n : (g + 1) * n]) for g in range(4)], (sequences, n, n)


def test_a_sum_of_gates_is_assembled_without_a_matrix_for_each_gate():
    terms, shape = gates_of_a_batch(np)
    tracemalloc.start()
    dense = ScaledSum(*terms).assemble()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert dense.shape == shape
    assert peak < 1.7 * dense.nbytes  # the sum, and some rows of one gate; a matrix a gate would be three times it
    np.testing.assert_allclose(dense, sum(d[..., None] * W for d, W, _ in terms), rtol=0, atol=1e-14)


@pytest.mark.parametrize("kept", ["left", "right", "both", "none"])
@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_assembled_sums_agree_over_libraries_and_kinds_of_terms(kept, name):
    library = pytest.importorskip(name)
    terms, _ = gates_of_a_batch(library)
    chosen = [
        Term(d if kept in ("left", "both") else None, W, d[:1] if kept in ("right", "both") else None)
        for d, W, _ in terms
    ]
    before = [to_numpy(term.matrix).copy() for term in chosen]
    expected = 0.0
    for left, W, right in chosen:
        one = W if left is None else left[..., None] * W
        expected = expected + (one if right is None else one * right[..., None, :])
    np.testing.assert_allclose(to_numpy(ScaledSum(*chosen).assemble()), to_numpy(expected), rtol=0, atol=1e-13)
    for term, matrix in zip(chosen, before, strict=True):
        np.testing.assert_array_equal(to_numpy(term.matrix), matrix)  # weights are never written to
