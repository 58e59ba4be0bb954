"""Gradients of losses against torch's own; fixed points and cycles of torch modules."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import dynet  # noqa: E402
from dynet.torch import from_module, from_vector_field  # noqa: E402


def test_gradient_of_a_map_is_that_of_autograd():
    rng = np.random.default_rng(0)
    n, steps = 6, 30
    W, target = rng.normal(size=(n, n)) / np.sqrt(n) * 1.4, rng.normal(size=n)
    system = dynet.Map(
        lambda t, x, u, p: np.tanh(p @ x),
        lambda t, x, u, p: (1 - np.tanh(p @ x) ** 2)[:, None] * p,
        params=W,
        jac_params=lambda t, x, u, p: np.kron(np.diag(1 - np.tanh(p @ x) ** 2), x[None, :]),
    )
    x0 = rng.normal(size=n)
    ds = dynet.gradient(
        system,
        x0,
        steps,
        terminal=lambda x: (0.5 * float((x - target) @ (x - target)), x - target),
        running=lambda t, x: (float(np.cos(t) * x[0] ** 3), np.cos(t) * 3 * x[0] ** 2 * np.eye(n)[0]),
    )
    weights, start = (torch.tensor(a, requires_grad=True) for a in (W, x0))
    x, loss = start, torch.zeros((), dtype=torch.float64)
    for t in range(1, steps + 1):
        x = torch.tanh(weights @ x)
        loss = loss + np.cos(t) * x[0] ** 3
    loss = loss + 0.5 * ((x - torch.tensor(target)) ** 2).sum()
    loss.backward()
    assert float(ds.loss) == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(ds.gradient_x0, start.grad, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(ds.gradient_params, weights.grad.ravel(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_fixed_points_of_a_module_under_constant_input(kind):
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(2, 8, batch_first=True).double()
    system = from_module(module)
    row = np.array([0.3, -0.2])
    n = system.like.shape[-1]
    ds = dynet.find_fixed_points(system, np.random.default_rng(0).normal(size=(10, n)), inputs=row)
    assert int(ds.n_failed) == 0
    x = torch.tensor(ds.fixed_point.values[0])
    u = torch.tensor(row)[None, None]
    state = (x[None, None, :8], x[None, None, 8:]) if kind == "LSTM" else x[None, None]
    _, after = module(u, state)
    after = torch.cat([part.ravel() for part in after]) if kind == "LSTM" else after.ravel()
    np.testing.assert_allclose(after.detach(), x, atol=1e-12)
    # an independent Jacobian at the point
    J = system.jac(0.0, x, torch.tensor(row), system.params).assemble().detach().numpy()
    expected = np.linalg.eigvals(J)
    np.testing.assert_allclose(
        np.sort(np.abs(ds.eigenvalue.values[0])), np.sort(np.abs(expected)), atol=1e-10
    )  # fmt: skip


@pytest.mark.slow
def test_limit_cycle_of_a_vector_field_in_torch():
    def field(x):
        square = (x**2).sum(dim=1, keepdim=True)
        return (1 - square) * x + torch.stack([-x[:, 1], x[:, 0]], dim=1)

    flow = from_vector_field(field, n=2, dtype=torch.float64)
    cycle = dynet.find_limit_cycle(flow, [1.0, 0.3])
    assert float(cycle.period) == pytest.approx(2 * np.pi, rel=1e-10)


def test_a_field_in_single_precision_gives_what_its_rounding_allows():
    def field(x):
        square = (x**2).sum(dim=1, keepdim=True)
        return (1 - square) * x + torch.stack([-x[:, 1], x[:, 0]], dim=1)

    flow = from_vector_field(field, n=2, dtype=torch.float32)
    cycle = dynet.find_limit_cycle(flow, [1.0, 0.3])
    assert cycle.attrs["tolerance"] > 1e-6
    assert float(cycle.period) == pytest.approx(2 * np.pi, rel=1e-4)
