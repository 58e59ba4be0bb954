"""Gradient norms by parameter: equal to autograd through the module, at every position where accumulation starts."""

import numpy as np
import pytest
import torch
from torch import nn

import dynet
from dynet.torch import from_cell, from_module, gradient_norms

T, S, H = 14, 4, 5
MODULES = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
#: Names of the parameters in torch's modules.
NAMES = {"W_hh": "weight_hh", "W_xh": "weight_ih", "b_hh": "bias_hh", "b_xh": "bias_ih"}


def setting(kind, layers=1, dtype=torch.float64):
    torch.manual_seed(0)
    module = MODULES[kind](2, H, num_layers=layers, batch_first=True).to(dtype)
    head = nn.Linear(H, 3).to(dtype)
    inputs, labels = torch.randn(S, T, 2, dtype=dtype), torch.arange(S) % 3
    return module, inputs, lambda h: nn.functional.cross_entropy(head(h), labels)


def gradients_from(module, inputs, loss, start):
    """Autograd's own: the state before ``start`` is cut off, the loss is taken of the last output."""
    with torch.no_grad():
        state = module(inputs[:, :start])[1] if start else None
    output = module(inputs[:, start:], state)[0]
    named = dict(module.named_parameters())
    gradients = torch.autograd.grad(loss(output[:, -1]), list(named.values()))
    return {name: float(g.norm().log()) for name, g in zip(named, gradients, strict=True)}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", MODULES)
def test_parameters_against_autograd_at_every_position(kind, layers):
    module, inputs, loss = setting(kind, layers)
    last = slice((layers - 1) * H, layers * H)
    ds = gradient_norms(from_module(module), None, T, loss=lambda x: loss(x[:, last]), inputs=inputs)
    np.testing.assert_array_equal(ds.position, T - np.arange(T + 1))
    assert np.isneginf(ds.log_parameter_gradient_norm.sel(lag=0)).all()
    for start in (0, 3, T - 1):
        expected = gradients_from(module, inputs, loss, start)
        found = ds.log_parameter_gradient_norm.sel(lag=T - start)
        for layer in range(layers):
            for name, torch_name in NAMES.items():
                here = float(found.sel(parameter=f"{name}[{layer}]"))
                np.testing.assert_allclose(here, expected[f"{torch_name}_l{layer}"], rtol=1e-10, atol=1e-10)


def test_states_against_autograd_and_against_the_adjoint():
    module, inputs, loss = setting("LSTM")
    system = from_module(module)
    ds = gradient_norms(system, None, T, loss=lambda x: loss(x[:, :H]), inputs=inputs)
    start = torch.zeros(2, 1, S, H, dtype=torch.float64, requires_grad=True)
    output = module(inputs, (start[0], start[1]))[0]
    (g,) = torch.autograd.grad(loss(output[:, -1]), [start])
    np.testing.assert_allclose(ds.log_gradient_norm[:, -1], g.pow(2).sum(dim=(0, 1, 3)).log() / 2, rtol=1e-10)
    x = torch.as_tensor(dynet.simulate(system, np.zeros((S, 2 * H)), T, inputs=inputs).state.values[:, -1])
    x.requires_grad_()
    (at_loss,) = torch.autograd.grad(loss(x[:, :H]), [x])
    adjoint = dynet.gradient_norms(system, None, T, loss=at_loss.numpy(), inputs=inputs)
    np.testing.assert_allclose(ds.log_gradient_norm, adjoint.log_gradient_norm, rtol=1e-9)
    np.testing.assert_allclose(ds.mean_log_gradient_norm, adjoint.mean_log_gradient_norm, rtol=1e-9)


def test_contributions_of_single_steps_sum_to_the_gradient():
    # one unit without bias, all numbers positive: norms of the contributions add
    rnn = nn.RNN(1, 1, bias=False).double()
    with torch.no_grad():
        rnn.weight_hh_l0.fill_(0.5)
        rnn.weight_ih_l0.fill_(0.3)
    ds = gradient_norms(from_module(rnn), None, 9, loss=lambda x: x.sum(), inputs=np.ones((9, 1)))
    shares = np.exp(ds.log_contribution_norm)
    np.testing.assert_allclose(np.exp(ds.log_parameter_gradient_norm), shares.cumsum("lag"), rtol=1e-12)
    assert ds.log_gradient_norm.dims == ("lag",)


@pytest.mark.parametrize("a", [0.01, 50.0])
def test_nothing_vanishes_or_overflows(a):
    # x' = a x + u: the gradient by a sums to a known series, far outside the range of float32
    cell = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        cell.weight.fill_(a)
    system = from_cell(cell, {"h": 1}, call=lambda cell, u, state: cell(state["h"]))
    n_steps = 12 if a > 1 else 60
    ds = gradient_norms(system, [1.0], n_steps, loss=lambda x: x.sum() / x.detach().sum() if a > 1 else x.sum())
    assert ds.attrs["dtype"] == "float32"
    top = -n_steps * np.log(a) if a > 1 else 0.0
    np.testing.assert_allclose(ds.log_gradient_norm, top + np.arange(n_steps + 1) * np.log(a), rtol=1e-5, atol=1e-5)
    assert np.isfinite(ds.log_contribution_norm[:, 1:]).all() or a < 1


def test_sequences_that_part_by_more_than_the_range_of_numbers():
    # one sequence explodes, the other vanishes
    rates = torch.tensor([[30.0], [1 / 30.0]], dtype=torch.float64)
    system = dynet.Map(
        lambda t, x, u, p: p * u * x,
        lambda t, x, u, p: torch.diag_embed(p * u * torch.ones_like(x)),
        params=torch.ones(1, dtype=torch.float64),
        vectorized=True,
        like=torch.zeros(1, dtype=torch.float64),
    )
    n_steps = 150
    inputs = rates[:, None, :].expand(2, n_steps, 1)
    ds = gradient_norms(system, np.ones((2, 1)), n_steps, loss=lambda x: (x / x.detach()).sum(), inputs=inputs)
    top = -n_steps * rates.log()
    expected = top + torch.arange(n_steps + 1) * rates.log()
    np.testing.assert_allclose(ds.log_gradient_norm, expected, rtol=1e-9, atol=1e-9)
    # both contribute one a step, dx_T / dp = T x_T
    np.testing.assert_allclose(ds.log_parameter_gradient_norm[0, 1:], np.log(2 * np.arange(1, n_steps + 1)), rtol=1e-9)


def test_cells_of_ones_own_name_their_parameters():
    torch.manual_seed(1)
    cell = nn.GRUCell(2, H).double()
    inputs = torch.randn(S, T, 2, dtype=torch.float64)
    ds = gradient_norms(from_cell(cell, {"h": H}), None, T, loss=lambda x: x.pow(2).sum(), inputs=inputs)
    h = torch.zeros(S, H, dtype=torch.float64)
    for t in range(T):
        h = cell(inputs[:, t], h)
    h.pow(2).sum().backward()
    for name, parameter in cell.named_parameters():
        found = float(ds.log_parameter_gradient_norm.sel(parameter=name, lag=T))
        np.testing.assert_allclose(found, float(parameter.grad.norm().log()), rtol=1e-10)


def test_the_module_and_its_gradients_stay_as_they_were():
    module, inputs, loss = setting("GRU")
    before = [p.detach().clone() for p in module.parameters()]
    gradient_norms(from_module(module), None, T, loss=loss, inputs=inputs)
    for old, new in zip(before, module.parameters(), strict=True):
        assert torch.equal(old, new)
        assert new.grad is None
        assert new.requires_grad


def test_horizon_of_a_module():
    rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False).double()
    with torch.no_grad():
        rnn.weight_hh_l0.fill_(0.5)
        rnn.weight_ih_l0.fill_(1.0)
    ds = gradient_norms(from_module(rnn), None, 40, loss=lambda x: x.sum(), inputs=np.ones((40, 1)))
    assert float(dynet.gradient_horizon(ds).horizon.sel(fate="vanishing")) == pytest.approx(23)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s, u: gradient_norms(s, None, T, loss=3, inputs=u), ["loss=int"]),
        (lambda s, u: gradient_norms(s, None, T, loss=lambda x: x, inputs=u), ["loss returned shape (4, 5)"]),
        (lambda s, u: gradient_norms(s, None, T, loss=lambda x: 1.0, inputs=u), ["loss returned float"]),
        (lambda s, u: gradient_norms(s, None, T, loss=lambda x: x.sum().detach(), inputs=u), ["no gradient"]),
        (lambda s, u: gradient_norms(s, None, T, loss=lambda x: x @ x, inputs=u), ["loss failed", "(4, 5)"]),
        (lambda s, u: gradient_norms(s, None, T + 1, loss=lambda x: x.sum(), inputs=u), ["14 rows"]),
        (lambda s, u: gradient_norms(nn.LSTM(2, 3), None, T, loss=lambda x: x.sum(), inputs=u), ["from_module"]),
        (lambda s, u: gradient_norms(dynet.zoo.henon(), [0.1, 0.1], T, loss=lambda x: x.sum()), ["dynet.torch"]),
        (
            lambda s, u: gradient_norms(
                from_cell(lambda x: 0.5 * x, {"h": 2}, call=lambda f, u, state: f(state["h"])),
                torch.ones(2),
                T,
                loss=lambda x: x.sum(),
            ),
            ["no parameters"],
        ),
    ],
)
def test_bad_input(call, words):
    module, inputs, _ = setting("RNN")
    with pytest.raises(dynet.InputError) as error:
        call(from_module(module), inputs)
    for word in words:
        assert word in str(error.value)
