"""Gradients over many periods against backpropagation through steps; running the state backwards loses them."""

import numpy as np
import pytest
from scipy.integrate import DOP853, solve_ivp

import dynet

torch = pytest.importorskip("torch")


def backpropagated(x0, p, duration, target, step=0.25):
    """Return the gradient of half the squared distance from ``target`` through steps of a fixed size, of order 8."""
    A, b = DOP853.A[:12, :12], DOP853.B
    start, p = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x0, p))
    c, s = torch.cos(p[1]), torch.sin(p[1])
    W = p[0] * torch.stack([torch.stack([c, -s]), torch.stack([s, c])])
    rows = [torch.tensor(A[i, :i]) for i in range(12)]
    x = start
    for _ in range(round(duration / step)):
        slopes = [torch.tanh(W @ x) - x]
        for row in rows[1:]:
            y = x + step * (row @ torch.stack(slopes))
            slopes.append(torch.tanh(W @ y) - y)
        x = x + step * (torch.tensor(b) @ torch.stack(slopes))
    (0.5 * ((x - torch.tensor(target)) ** 2).sum()).backward()
    return start.grad.numpy(), p.grad.numpy()


def reconstructed(flow, x, psi, duration):
    """Return the gradient as adjoint methods without memory do, running the state backwards as well.

    Method and tolerances are the default ones of torchdiffeq.
    """

    def backwards(t, z):
        J = flow.jac(t, z[:2], z[:0], flow.params)
        by_params = flow.jac_params(t, z[:2], z[:0], flow.params)
        return np.concatenate([flow.rhs(t, z[:2], z[:0], flow.params), -J.T @ z[2:4], -by_params.T @ z[2:4]])

    z0 = np.concatenate([x, psi, np.zeros(2)])
    z = solve_ivp(backwards, (duration, 0.0), z0, method="RK45", rtol=1e-7, atol=1e-9).y[:, -1]
    return z[2:4], z[4:]


@pytest.mark.parametrize(
    "duration", [50.0, pytest.param(100.0, marks=pytest.mark.slow), pytest.param(200.0, marks=pytest.mark.slow)]
)
def test_gradient_over_many_periods_is_backpropagation_where_reconstruction_fails(tanh_flow, duration):
    x0, target = np.array([0.3, 0.1]), np.array([0.3, -0.2])
    ds = dynet.gradient(
        tanh_flow, x0, duration, terminal=lambda x: (0.5 * float((x - target) @ (x - target)), x - target)
    )  # fmt: skip
    by_start, by_params = backpropagated(x0, tanh_flow.params, duration, target)
    np.testing.assert_allclose(ds.gradient_x0, by_start, rtol=1e-6)
    np.testing.assert_allclose(ds.gradient_params, by_params, rtol=1e-6)

    def field(t, x):
        return tanh_flow.rhs(t, x, x[:0], tanh_flow.params)

    x = solve_ivp(field, (0.0, duration), x0, method="RK45", rtol=1e-7, atol=1e-9).y[:, -1]
    without_memory, _ = reconstructed(tanh_flow, x, x - target, duration)
    error = np.linalg.norm(without_memory - by_start) / np.linalg.norm(by_start)
    # the state leaves the cycle outwards, where gradients vanish (error 1), or inwards, where they explode
    assert error > 0.99
