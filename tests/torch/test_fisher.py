"""The Fisher information's largest eigenvalue against a dense one, and the bound by Jacobians."""

import numpy as np
import pytest
import torch
from torch import nn

import dynet
from dynet.torch import fisher_bound, from_cell, from_module


def dense(last, values):
    """Largest eigenvalue of the mean of G^T G, G by autograd; ``last`` returns (sequence, n)."""
    G = torch.autograd.functional.jacobian(last, tuple(values))
    S = G[0].shape[0]
    G = torch.cat([g.reshape(S, g.shape[1], -1) for g in G], dim=-1)
    return float(torch.linalg.eigvalsh(torch.einsum("sip,siq->pq", G, G) / S)[-1])


@pytest.mark.parametrize("kind", ["RNN", "GRU"])
def test_eigenvalue_of_a_module_and_its_bound(kind):
    torch.manual_seed(0)
    module = getattr(nn, kind)(2, 3, batch_first=True).double()
    inputs = torch.randn(4, 6, 2, dtype=torch.float64)
    names, values = zip(*module.named_parameters(), strict=True)
    cell = getattr(nn, f"{kind}Cell")(2, 3).double()

    def last(*values):
        named = {name.removesuffix("_l0"): value for name, value in zip(names, values, strict=True)}
        h = torch.zeros(4, 3, dtype=torch.float64)
        for t in range(6):
            h = torch.func.functional_call(cell, named, (inputs[:, t], h))
        return h

    ds = fisher_bound(from_module(module), None, 6, inputs=inputs)
    np.testing.assert_allclose(np.exp(ds.log_largest_eigenvalue), dense(last, values), rtol=1e-9)
    assert ds.log_bound > ds.log_largest_eigenvalue
    assert ds.eigenvalue_residual < 1e-9
    assert ds.attrs["parameters"] == "shared by the steps"
    np.testing.assert_allclose(ds.log_jacobian_norm.sel(lag=1), 0.0, atol=1e-12)
    # the Jacobian from the state after step 0 to the last one is the product of the steps from 1 on
    later = dynet.singular_values(from_module(module), None, 5, inputs=inputs, n_transient=1, horizons=[5])
    largest = later.log_singular_value.sel(index=1, horizon=5)
    np.testing.assert_allclose(ds.log_jacobian_norm.sel(lag=6), largest, rtol=1e-9)


def test_the_bound_is_reached_by_a_linear_chain():
    # x' = a x with a = 1 and x0 = c: x_T = a^T c, one parameter, G = T c; every part points the same way
    cell = nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        cell.weight.fill_(1.0)
    system = from_cell(cell, {"h": 1}, call=lambda cell, u, state: cell(state["h"]))
    ds = fisher_bound(system, [3.0], 5)
    np.testing.assert_allclose(ds.log_largest_eigenvalue, 2 * np.log(15.0), rtol=1e-12)
    np.testing.assert_allclose(ds.log_bound, 2 * np.log(15.0), rtol=1e-12)


def test_layers_with_weights_of_their_own():
    torch.manual_seed(0)
    weights = [torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))[0] for _ in range(5)]
    net = dynet.networks.feedforward(weights)
    x0 = torch.randn(3, 4, dtype=torch.float64)

    def last(*weights):
        x = x0
        for W in weights:
            x = torch.tanh(x @ W.T)
        return x

    ds = fisher_bound(net, x0, 5)
    np.testing.assert_allclose(np.exp(ds.log_largest_eigenvalue), dense(last, weights), rtol=1e-9)
    assert ds.attrs["parameters"] == "of each step its own"
    assert ds.log_bound >= ds.log_largest_eigenvalue
    # by hand: the norm of a layer by its weights is that of its input times the steepest slope
    x, parts = x0, []
    for number, W in enumerate(weights):
        y = torch.tanh(x @ W.T)
        parts.append((1 - y**2).abs().max(dim=1).values * x.norm(dim=1))
        np.testing.assert_allclose(ds.log_parameter_norm.sel(lag=5 - number), parts[-1].log(), rtol=1e-9)
        x = y
    total = (torch.stack(parts[::-1], dim=1).numpy() * np.exp(ds.log_jacobian_norm.values)) ** 2
    np.testing.assert_allclose(np.exp(ds.log_bound), total.sum(axis=1).mean(), rtol=1e-9)


def test_more_isometric_networks_have_smaller_bounds():
    random = np.random.default_rng(0)
    Q = np.linalg.qr(random.standard_normal((8, 8)))[0]
    x0 = 0.1 * random.standard_normal((3, 8))
    bounds = []
    for spread in (0.0, 0.5, 1.0):
        W = Q @ np.diag(np.exp(spread * np.linspace(-1, 1, 8)))
        net = dynet.networks.feedforward([torch.as_tensor(W)] * 6, activation="identity")
        bounds.append(float(fisher_bound(net, x0, 6).log_bound))
    assert bounds == sorted(bounds)


def test_frozen_parameters_count_as_well():
    rnn = nn.RNN(1, 3).double()
    free = fisher_bound(from_module(rnn), None, 4, inputs=torch.ones(4, 1))
    frozen = fisher_bound(from_module(rnn.requires_grad_(False)), None, 4, inputs=torch.ones(4, 1))
    assert float(free.log_largest_eigenvalue) > -10
    assert free.equals(frozen)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: fisher_bound(dynet.zoo.henon(), [0.1, 0.1], 5), "dynet.torch"),
        (lambda: fisher_bound(nn.RNN(1, 2), None, 5), "from_module"),
        (lambda: fisher_bound(from_module(nn.RNN(1, 2)), None, 5, inputs=np.ones((4, 1))), "4 rows"),
    ],
)
def test_bad_input(call, word):
    with pytest.raises(dynet.InputError, match=word):
        call()
