"""Algebra that every Jacobian operator must obey, for any sizes and weights."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

import dynet
from dynet.systems.layer_operators import GatedCell, Layers
from dynet.systems.operators import Affine, Product, ScaledSum, Term, assemble, transpose
from dynet.systems.runge_kutta import RungeKutta

RK4 = (((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6))
seeds = st.integers(0, 2**32 - 1)


def scaled_sum(random, rows, columns, batch=()):
    terms = []
    for _ in range(random.integers(1, 5)):
        left = random.standard_normal((*batch, rows)) if random.random() < 0.7 else None
        right = random.standard_normal((*batch, columns)) if random.random() < 0.5 else None
        terms.append(Term(left, random.standard_normal((rows, columns)), right))
    diagonal = random.standard_normal((*batch, rows)) if rows == columns and random.random() < 0.5 else None
    return ScaledSum(*terms, diagonal=diagonal)


def gated(random, H, columns, batch, forget=True):
    E, M = (scaled_sum(random, H, columns, batch) for _ in range(2))
    s = random.standard_normal((*batch, H))
    return GatedCell(E, M, s, random.standard_normal((*batch, H)) if forget else None)


def build(kind, random, n, batch):
    if kind == "sum":
        return scaled_sum(random, n, n, batch)
    if kind == "product":
        m = int(random.integers(1, 5))
        return Product(scaled_sum(random, n, m, batch), scaled_sum(random, m, n, batch))
    if kind == "affine":
        return Affine(*random.standard_normal(2), *(scaled_sum(random, n, n, batch) for _ in range(2)))
    if kind == "gated":
        return gated(random, n, n, batch)
    if kind in ("layers", "flow layers"):
        sizes = [int(m) for m in random.integers(1, 4, size=random.integers(2, 4))]
        ends = np.cumsum([0, *sizes])
        rows = tuple((slice(int(a), int(b)),) for a, b in pairwise(ends))
        states = tuple(scaled_sum(random, m, m, batch) for m in sizes)
        inputs = tuple(scaled_sum(random, a, b, batch) for b, a in pairwise(sizes))
        return Layers(states, inputs, rows, cascade=kind == "layers")
    if kind == "lstm layers":
        sizes = [int(m) for m in random.integers(1, 4, size=random.integers(2, 4))]
        ends = np.cumsum([0, *sizes, *sizes])
        slices = [slice(int(a), int(b)) for a, b in pairwise(ends)]
        rows = tuple((slices[i], slices[i + len(sizes)]) for i in range(len(sizes)))
        states = tuple(gated(random, m, m, batch) for m in sizes)
        inputs = tuple(gated(random, a, b, batch, forget=False) for b, a in pairwise(sizes))
        return Layers(states, inputs, rows, cascade=True)
    if kind == "runge-kutta of sums":
        parts = tuple(scaled_sum(random, n, n, batch) for _ in range(4))
        return RungeKutta(parts, *RK4, 0.3, np.zeros((*batch, n)))
    if kind == "runge-kutta of arrays":
        parts = tuple(random.standard_normal((*batch, n, n)) for _ in range(4))
        return RungeKutta(parts, *RK4, 0.3, np.zeros((*batch, n)))
    assert kind == "runge-kutta of sparse"
    parts = tuple(csr_array(random.standard_normal((n, n))) for _ in range(4))
    return RungeKutta(parts, *RK4, 0.3, np.zeros(n))


KINDS = [
    "sum",
    "product",
    "affine",
    "gated",
    "layers",
    "flow layers",
    "lstm layers",
    "runge-kutta of sums",
    "runge-kutta of arrays",
    "runge-kutta of sparse",
]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12)
@given(seed=seeds, n=st.integers(1, 5), columns=st.sampled_from([1, 2, 9]), batched=st.booleans())
def test_products_transposes_and_the_matrix_agree(kind, seed, n, columns, batched):
    random = np.random.default_rng(seed)
    batch = (3,) if batched and "sparse" not in kind else ()
    J = build(kind, random, n, batch)
    rows, n_columns = J.shape[-2:]
    assert J.shape[:-2] == batch or "sum" in kind or kind in ("product", "affine", "layers", "flow layers")
    V = random.standard_normal((*batch, n_columns, columns))
    W = random.standard_normal((*batch, rows, columns))
    dense = assemble(J)
    scale = 1 + np.abs(dense).max() * np.abs(V).max() * n_columns
    # a Jacobian is what it does, however many columns it does it to
    np.testing.assert_allclose(J @ V, dense @ V, rtol=0, atol=1e-12 * scale)
    one_by_one = np.concatenate([J @ V[..., j : j + 1] for j in range(columns)], axis=-1)
    np.testing.assert_allclose(J @ V, one_by_one, rtol=0, atol=1e-12 * scale)
    # <J v, w> = <v, J^T w>
    adjoint = transpose(J)
    forward = ((J @ V) * W).sum(axis=-2)
    backward = (V * (adjoint @ W)).sum(axis=-2)
    np.testing.assert_allclose(forward, backward, rtol=0, atol=1e-11 * scale * rows)
    np.testing.assert_allclose(assemble(adjoint), np.swapaxes(dense, -1, -2), rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(transpose(adjoint) @ V, J @ V, rtol=0, atol=1e-12 * scale)


@settings(max_examples=15)
@given(seed=seeds, a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_operators_are_linear(seed, a, b):
    random = np.random.default_rng(seed)
    for kind in ("lstm layers", "runge-kutta of sums", "product"):
        J = build(kind, random, 3, ())
        V, W = random.standard_normal((2, J.shape[-1], 4))
        scale = 1 + np.abs(assemble(J)).sum()
        np.testing.assert_allclose(J @ (a * V + b * W), a * (J @ V) + b * (J @ W), rtol=0, atol=1e-12 * scale)


def vector_field(t, x, u, p):
    return np.sin(p @ x) + t * x * x[..., ::-1]


def field_jacobian(t, x, u, p):
    n = x.shape[-1]
    return np.cos(p @ x)[:, None] * p + t * (np.diag(x[::-1]) + np.diag(x) @ np.eye(n)[::-1])


@pytest.mark.parametrize("method", ["rk4", "euler"])
@settings(max_examples=20)
@given(seed=seeds, n=st.integers(1, 5), dt=st.floats(1e-3, 0.7), t=st.floats(-2, 2))
def test_the_derivative_of_a_runge_kutta_step_is_the_operator(method, seed, n, dt, t):
    # a complex step differentiates the numerical step exactly: nothing is subtracted
    random = np.random.default_rng(seed)
    A, x, v = random.standard_normal((n, n)), random.standard_normal(n), random.standard_normal(n)
    system = dynet.Flow(vector_field, field_jacobian, params=A).to_map(dt, method)
    y, J = system.linearize(t, x, np.empty(0), A)
    moved = system.step(t, x + 1e-30j * v, np.empty(0), A)
    np.testing.assert_allclose(y, moved.real, rtol=1e-13, atol=1e-13)
    size = np.abs(moved.imag).max() * 1e30
    np.testing.assert_allclose((J @ v[:, None])[:, 0], moved.imag * 1e30, rtol=0, atol=1e-12 * (1 + size))


@settings(max_examples=15)
@given(seed=seeds, n=st.integers(1, 4), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_finite_differences_multiply_like_the_jacobian_they_stand_for(seed, n, scale):
    random = np.random.default_rng(seed)
    A, x = random.standard_normal((n, n)), scale * random.standard_normal(n)
    J = dynet.finite_difference(lambda t, x, u, p: scale * np.tanh(p @ x / scale), scale=scale)
    exact = (1 - np.tanh(A @ x / scale) ** 2)[:, None] * A
    V = random.standard_normal((n, 3))
    product = J(0.0, x, np.empty(0), A) @ V
    np.testing.assert_allclose(product, exact @ V, rtol=0, atol=1e-7 * (1 + np.abs(A).sum()))
    backward = transpose(J(0.0, x, np.empty(0), A)) @ V
    np.testing.assert_allclose(backward, exact.T @ V, rtol=0, atol=1e-7 * (1 + np.abs(A).sum()))
