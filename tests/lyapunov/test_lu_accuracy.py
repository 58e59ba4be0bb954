"""LU frames against Householder frames on the same states, and both against exact products."""

import mpmath
import numpy as np
import pytest

import dynet
from dynet import lyapunov_spectrum as spectrum
from dynet import networks
from dynet.kernels.frames import make_frame


def network(kind, n, random):
    gates, units = {"tanh": (1, n), "gru": (3, n), "lstm": (4, n // 2)}[kind]
    W = random.standard_normal((gates * units, units)) * (1.5 if kind == "tanh" else 1.0) / np.sqrt(units)
    if kind == "tanh":
        return networks.tanh_rnn(W)
    return {"gru": networks.gru, "lstm": networks.lstm}[kind](W, random.standard_normal((gates * units, 2)) / 2)


def assert_frames_agree(kind, n, k, n_steps):
    random = np.random.default_rng(n)
    system = network(kind, n, random)
    inputs = None if kind == "tanh" else random.standard_normal((n_steps, 2))
    x0 = 0.5 * random.standard_normal(n)
    a, b = (
        spectrum(system, x0, n_steps, inputs=inputs, n_exponents=k, frame=frame, check=False) for frame in ("qr", "lu")
    )
    np.testing.assert_array_equal(a.final_state, b.final_state)  # the states are the same ones
    np.testing.assert_allclose(b.lyapunov_exponent, a.lyapunov_exponent, rtol=0, atol=1e-9)


@pytest.mark.parametrize("k", [1, 32, 50])
@pytest.mark.parametrize("kind", ["tanh", "gru", "lstm"])
def test_a_thousand_steps_of_fifty_units(kind, k):
    assert_frames_agree(kind, 50, k, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 32, None])
@pytest.mark.parametrize("kind", ["tanh", "gru", "lstm"])
@pytest.mark.parametrize("n", [200, 512])
def test_a_thousand_steps_of_large_networks(kind, n, k):
    assert_frames_agree(kind, n, k or n, 1000)


def jordan_blocks(random, n):
    """Return a defective matrix: one eigenvalue, one eigenvector, in a mildly skewed basis."""
    basis = np.linalg.qr(random.standard_normal((n, n)))[0] @ np.diag(random.uniform(0.5, 2, n))
    return basis @ (0.9 * np.eye(n) + np.eye(n, k=1)) @ np.linalg.inv(basis)


def wide_spread(random, n):
    """Return a matrix whose singular values span ten decades."""
    U, V = (np.linalg.qr(random.standard_normal((n, n)))[0] for _ in range(2))
    return U @ np.diag(10.0 ** np.linspace(1, -9, n)) @ V


def steep_gates(random, n):
    """Return the Jacobian of saturated units: rows that span eight decades."""
    return 10.0 ** random.uniform(-8, 0, (n, 1)) * random.standard_normal((n, n))


def exact_growth(V, jacobians):
    """Return log R_ii of the product in 120 digits."""
    with mpmath.workdps(120):
        product = mpmath.matrix(V.tolist())
        for J in jacobians:
            product = mpmath.matrix(J.tolist()) * product
        columns = [product[:, j] for j in range(product.cols)]
        logs = []
        for j, column in enumerate(columns):
            for q in columns[:j]:
                column = column - q * (q.T * column)[0]
            length = mpmath.sqrt((column.T * column)[0])
            columns[j] = column / length
            logs.append(float(mpmath.log(length)))
    return np.array(logs)


def frame_growth(name, V, jacobians):
    frame = make_frame(name, V.copy())
    for J in jacobians:
        frame.multiply(J)
        frame.factor()
    return frame.collect()


@pytest.mark.parametrize("kind", [jordan_blocks, wide_spread, steep_gates])
@pytest.mark.parametrize("k", [2, 6])
def test_hard_products_are_no_worse_than_three_times_householder(kind, k):
    n, n_steps = 6, 12
    errors = []
    for seed in range(8):
        random = np.random.default_rng(seed)
        jacobians = [kind(random, n) for _ in range(n_steps)]
        V = np.linalg.qr(random.standard_normal((n, k)))[0]
        exact = exact_growth(V, jacobians)
        errors.append([np.abs(frame_growth(name, V, jacobians) - exact).max() for name in ("qr", "lu")])
    householder, lu = np.sqrt(np.mean(np.square(errors), axis=0))
    assert householder < 1e-4  # the products are hard, not hopeless
    assert lu <= 3 * householder + 1e-14 * n_steps


def test_dead_units_and_deficient_weights_are_below_resolution():
    random = np.random.default_rng(0)
    n = 40
    W = random.standard_normal((n, n)) / np.sqrt(n)
    dead = np.full(n, -10.0)
    dead[:15] = 1.0
    relu = networks.relu_rnn(W / 4, b=dead)
    thin = networks.tanh_rnn(random.standard_normal((n, 9)) @ random.standard_normal((9, n)) / n)
    for system, alive in ((relu, 15), (thin, 9)):
        for frame in ("qr", "lu"):
            ds = spectrum(system, np.full(n, 0.1), 30, frame=frame)
            assert np.isfinite(ds.lyapunov_exponent[:alive]).all()
            assert np.isneginf(ds.lyapunov_exponent[alive:]).all()
            assert ds.below_resolution[alive:].all()
            assert ds.attrs["n_below_resolution"] == n - alive
            assert (ds.standard_error[alive:] == 0).all()


def test_weights_given_as_factors_keep_their_exponents_exactly():
    # W = U V^T of rank 3 is not square on its own: as a product of factors no rounding pivot can appear
    random = np.random.default_rng(1)
    U = np.linalg.qr(random.standard_normal((12, 3)))[0]
    V = U * [1.2, 0.7, 0.4] + 0.01 * random.standard_normal((12, 3))  # nearly symmetric: real, distinct eigenvalues
    reduced = dynet.Map(lambda t, x, u, p: V.T @ (U @ x), lambda t, x, u, p: V.T @ U)
    full = dynet.Map(lambda t, x, u, p: U @ (V.T @ x), lambda t, x, u, p: U @ V.T)
    a = spectrum(reduced, np.ones(3), 60, n_transient=100)
    b = spectrum(full, np.ones(12), 60, n_transient=100, frame="lu")
    np.testing.assert_allclose(b.lyapunov_exponent[:3], a.lyapunov_exponent, rtol=0, atol=1e-8)
    assert np.isneginf(b.lyapunov_exponent[3:]).all()
