"""Gradients of losses against torch's own; fixed points and cycles of torch modules."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import dynet  # noqa: E402
from dynet.torch import from_cell, from_module, from_vector_field  # noqa: E402


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


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_gradient_with_respect_to_the_weights_of_a_module_is_that_of_autograd(kind):
    torch.manual_seed(1)
    module = getattr(torch.nn, kind)(2, 5, num_layers=2, batch_first=True).double()
    system = from_module(module)
    n, rng = system.like.shape[-1], np.random.default_rng(0)
    u, x0, target = rng.normal(size=(12, 2)), rng.normal(size=n), rng.normal(size=n)
    ds = dynet.gradient(
        system, x0, 12, inputs=u, terminal=lambda x: (0.5 * float((x - target) @ (x - target)), x - target)
    )  # fmt: skip
    start = torch.tensor(x0, requires_grad=True)
    parts = start.reshape(-1, 2, 1, 5)
    _, after = module(torch.tensor(u)[None], (parts[0], parts[1]) if kind == "LSTM" else parts[0])
    after = torch.cat([part.ravel() for part in after]) if kind == "LSTM" else after.ravel()
    (0.5 * ((after - torch.tensor(target)) ** 2).sum()).backward()
    by_name = {name.split(".", 1)[1].split("[")[0] + name[0]: [] for name in ds.param.values}
    for name, value in zip(ds.param.values, ds.gradient_params.values, strict=True):
        by_name[name.split(".", 1)[1].split("[")[0] + name[0]].append(value)
    theirs = {"W_hh": "weight_hh_l", "W_xh": "weight_ih_l", "b_hh": "bias_hh_l", "b_xh": "bias_ih_l"}
    assert len(by_name) == 8
    for name, values in by_name.items():
        expected = getattr(module, theirs[name[:-1]] + name[-1]).grad.ravel()
        np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(ds.gradient_x0, start.grad, rtol=1e-10, atol=1e-14)
    assert float(ds.invariant_drift) < 1e-13


def test_parameters_of_a_cell_and_of_a_vector_field_forwards_and_backwards():
    torch.manual_seed(0)
    cell, field = torch.nn.RNNCell(1, 3).double(), torch.nn.Linear(3, 3).double()
    x0, psi = np.array([0.1, 0.2, -0.3]), np.array([1.0, -1.0, 0.5])
    for system, duration, inputs in (
        (from_cell(cell, {"h": 3}), 6, np.ones((6, 1))),
        (from_vector_field(field), 0.3, None),
    ):
        forward = dynet.sensitivity(system, x0, duration, inputs=inputs)
        ds = dynet.gradient(system, x0, duration, inputs=inputs, terminal=lambda x: (psi @ x, psi))
        assert ds.sizes["param"] == sum(p.numel() for p in system.params.values())
        np.testing.assert_allclose(psi @ forward.parameter_sensitivity.values[-1], ds.gradient_params, atol=1e-9)


def test_a_function_without_parameters_has_none():
    flow = from_vector_field(lambda x: -x, n=2, dtype=torch.float64)
    assert dynet.sensitivity(flow, [1.0, 2.0], 1.0).sizes["param"] == 0


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_gradient_of_the_networks_without_torch_is_that_of_autograd(kind):
    torch.manual_seed(2)
    module = getattr(torch.nn, kind)(2, 4, num_layers=2, batch_first=True).double()
    make = {"RNN": dynet.networks.tanh_rnn, "GRU": dynet.networks.gru, "LSTM": dynet.networks.lstm}[kind]
    names = ("weight_hh_l", "weight_ih_l", "bias_hh_l", "bias_ih_l")
    arrays = {name: [getattr(module, f"{name}{i}").detach().numpy() for i in range(2)] for name in names}
    biases = [arrays["bias_hh_l"], arrays["bias_ih_l"]]
    if kind == "RNN":
        biases = [[a + b for a, b in zip(*biases, strict=True)]]
    system = make(arrays["weight_hh_l"], arrays["weight_ih_l"], *biases)
    n, rng = system.like.shape[-1], np.random.default_rng(0)
    u, x0, target = rng.normal(size=(25, 2)), rng.normal(size=n), rng.normal(size=n)
    ds = dynet.gradient(
        system, x0, 25, inputs=u, terminal=lambda x: (0.5 * float((x - target) @ (x - target)), x - target)
    )  # fmt: skip
    start = torch.tensor(x0, requires_grad=True)
    parts = start.reshape(-1, 2, 1, 4)
    _, after = module(torch.tensor(u)[None], (parts[0], parts[1]) if kind == "LSTM" else parts[0])
    after = torch.cat([part.ravel() for part in after]) if kind == "LSTM" else after.ravel()
    (0.5 * ((after - torch.tensor(target)) ** 2).sum()).backward()
    own = names[:3] if kind == "RNN" else names
    expected = [getattr(module, f"{name}{i}").grad.ravel() for i in range(2) for name in own]
    np.testing.assert_allclose(ds.gradient_params, torch.cat(expected), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(ds.gradient_x0, start.grad, rtol=1e-10, atol=1e-15)
