"""coRNN: its step against the equations by hand, its Jacobian, exponents known on paper."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import dynet
from dynet.errors import InputError
from dynet.systems.operators import assemble, transpose

DT, GAMMA, EPSILON = 0.1, 1.3, 0.7


def weights(n, m, seed, xp=np.asarray):
    rng = np.random.default_rng(seed)
    return [xp(rng.normal(size=shape)) for shape in ((n, n), (n, n), (n, m), (n,))]


def some_network(n=3, m=2, seed=0, xp=np.asarray):
    return dynet.networks.cornn(*weights(n, m, seed, xp), dt=DT, gamma=GAMMA, epsilon=EPSILON)


@given(n=st.integers(1, 5), m=st.integers(1, 3), seed=st.integers(0, 2**20))
@settings(max_examples=20, deadline=None)
def test_a_step_is_the_equations(n, m, seed):
    W_hh, W_zh, W_xh, b = weights(n, m, seed)
    rng = np.random.default_rng(seed + 1)
    y, z, u = rng.normal(size=n), rng.normal(size=n), rng.normal(size=m)
    system = some_network(n, m, seed)
    z_next = z + DT * (np.tanh(W_hh @ y + W_zh @ z + W_xh @ u + b) - GAMMA * y - EPSILON * z)
    expected = np.concatenate([y + DT * z_next, z_next])
    np.testing.assert_allclose(system.step(0.0, np.concatenate([y, z]), u, system.params), expected, atol=1e-14)


@given(n=st.integers(1, 4), seed=st.integers(0, 2**20))
@settings(max_examples=15, deadline=None)
def test_the_jacobians_are_the_derivatives_and_their_transposes(n, seed):
    system = some_network(n, 2, seed)
    tensors = some_network(n, 2, seed, torch.as_tensor)
    rng = np.random.default_rng(seed)
    x, u = rng.normal(size=2 * n), rng.normal(size=2)
    J_x, J_u = torch.autograd.functional.jacobian(
        lambda x, u: tensors.step(0.0, x, u, tensors.params), (torch.as_tensor(x), torch.as_tensor(u))
    )
    for operator, expected in (
        (system.jac(0.0, x, u, system.params), J_x.numpy()),
        (system.step.input_jacobian(0.0, x, u, system.params), J_u.numpy()),
    ):
        np.testing.assert_allclose(assemble(operator), expected, atol=1e-13)
        np.testing.assert_allclose(assemble(transpose(operator)), expected.T, atol=1e-13)


def test_layers_read_the_positions_of_the_layer_below():
    first, second = weights(3, 2, 0), weights(4, 3, 1)
    system = dynet.networks.cornn(*([a, b] for a, b in zip(first, second, strict=True)), dt=DT)
    below, above = (dynet.networks.cornn(*w, dt=DT) for w in (first, second))
    rng = np.random.default_rng(2)
    y, z, u = rng.normal(size=7), rng.normal(size=7), rng.normal(size=2)
    new = below.step(0.0, np.concatenate([y[:3], z[:3]]), u, below.params)
    top = above.step(0.0, np.concatenate([y[3:], z[3:]]), new[:3], above.params)
    expected = np.concatenate([new[:3], top[:4], new[3:], top[4:]])
    np.testing.assert_allclose(system.step(0.0, np.concatenate([y, z]), u, system.params), expected, atol=1e-14)
    assert system.units["part"] == ["y"] * 7 + ["z"] * 7


def test_uncoupled_units_have_the_exponents_of_a_damped_oscillator():
    n, zero = 3, np.zeros((3, 3))
    system = dynet.networks.cornn(zero, zero, dt=DT, gamma=GAMMA, epsilon=EPSILON)
    matrix = [[1 - DT**2 * GAMMA, DT * (1 - DT * EPSILON)], [-DT * GAMMA, 1 - DT * EPSILON]]
    pair = np.linalg.eigvals(matrix)  # complex: one modulus, and frames that come back after half turns
    steps = np.arange(500, 2_000)
    turns = steps * np.angle(pair[0]) / np.pi
    n_steps = int(steps[np.argmin(np.abs(turns - np.round(turns)))])
    ds = dynet.lyapunov_spectrum(system, np.ones(2 * n), n_steps)
    np.testing.assert_allclose(ds.lyapunov_exponent, np.repeat(np.log(np.abs(pair)), n), atol=1e-6)
    np.testing.assert_allclose(ds.lyapunov_exponent.sum(), n * np.log(1 - DT * EPSILON), atol=1e-12)


@pytest.mark.parametrize("n_exponents", [1, 3, 7, 8])
def test_numpy_and_torch_agree(n_exponents):
    kwargs = {"n_exponents": n_exponents, "inputs": np.random.default_rng(3).normal(size=(2, 60, 2))}
    results = [
        dynet.lyapunov_spectrum(some_network(4, 2, 5, xp), None, 60, **kwargs) for xp in (np.asarray, torch.as_tensor)
    ]
    np.testing.assert_allclose(results[0].lyapunov_exponent, results[1].lyapunov_exponent, atol=1e-11)


def test_faults_are_named():
    W = np.zeros((2, 2))
    with pytest.raises(InputError, match="dt=0") as error:
        dynet.networks.cornn(W, W, dt=0, epsilon=-1.0)
    assert "epsilon=" in str(error.value)
    with pytest.raises(InputError, match="W_zh"):
        dynet.networks.cornn(W, np.zeros((3, 3)))
    with pytest.raises(InputError, match="one entry for each of the 2 layers"):
        dynet.networks.cornn([W, W], [W], [None, W])
