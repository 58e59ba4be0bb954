"""AdaptiveRNN and the weights it starts with: its equation, its gradients, and the map that it becomes."""

import numpy as np
import pytest
import torch

import dynet
from dynet.errors import InputError
from dynet.torch import AdaptiveRNN, GammaRNN, from_module, from_state_dict, lyapunov_exponents, orthogonal_
from dynet.torch.gamma import Gamma


def some_rnn(dtype=torch.float64, **settings):
    torch.manual_seed(0)
    rnn = AdaptiveRNN(2, 4, 3, dtype=dtype, **settings)
    with torch.no_grad():
        rnn.W_gn.mul_(5)
        rnn.W_gs.mul_(5)
        rnn.b_g.uniform_(-0.5, 0.5)
        rnn.b_s.fill_(0.5)
        if rnn.b is not None:
            rnn.b.uniform_(-1, 1)
    return rnn


def arrays(rnn):
    named = {name: parameter.detach().numpy() for name, parameter in rnn.named_parameters()}
    return {name: value.astype(np.float64) for name, value in named.items()}


def one_step(rnn, x, u):
    """Take one step of the module from the state (h, g) in one vector."""
    h, g = x[..., :4], x[..., 4:].reshape(*x.shape[:-1], 4, 3)
    _, (h, g) = rnn(u[None], (h[None], g[None]))
    return torch.cat([h[0], g[0].reshape(*x.shape[:-1], 12)], dim=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_module_is_the_network_in_numpy(dtype):
    rnn = some_rnn(dtype)
    network = dynet.networks.adaptive_rnn(**arrays(rnn))
    inputs = torch.randn(15, 3, 2, dtype=dtype)
    output, (h, g) = rnn(inputs)
    run = dynet.simulate(network, np.zeros((3, 16)), 15, inputs=inputs.transpose(0, 1).double().numpy()).state
    tolerance = 1e-12 if dtype is torch.float64 else 1e-4
    of_h = run.sel(unit=run.part == "h").isel(time=slice(1, None)).transpose("time", "sequence", "unit")
    np.testing.assert_allclose(output.detach(), of_h, rtol=0, atol=tolerance)
    last = torch.cat([h[0], g[0].reshape(3, 12)], dim=-1)
    np.testing.assert_allclose(last.detach(), run.isel(time=-1), rtol=0, atol=tolerance)


def test_batches_and_their_order():
    rnn = some_rnn()
    x = torch.randn(6, 3, 2, dtype=torch.float64)
    output, (h, g) = rnn(x)
    torch.testing.assert_close(output[-1], h[0])
    for row in range(3):
        alone, (h_alone, g_alone) = rnn(x[:, row])
        torch.testing.assert_close(alone, output[:, row])
        torch.testing.assert_close(h_alone, h[:, row])
        torch.testing.assert_close(g_alone, g[:, row])
    first, state = rnn(x[:2])
    second, _ = rnn(x[2:], state)
    torch.testing.assert_close(torch.cat([first, second]), output)
    other = some_rnn(batch_first=True)
    other.load_state_dict(rnn.state_dict())
    torch.testing.assert_close(other(x.transpose(0, 1))[0], output.transpose(0, 1))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_operator_is_autograds_jacobian(dtype, tolerance, bias):
    rnn = some_rnn(dtype, bias=bias)
    system = from_module(rnn)
    x, u = torch.randn(5, 16, dtype=dtype) / 2, torch.randn(5, 2, dtype=dtype)
    J = system.jac(0.0, x, u, system.params)
    assert J.shape == (5, 16, 16)
    V = torch.randn(5, 16, 3, dtype=dtype)
    for i in range(5):
        true = torch.func.jacrev(lambda x, u=u[i]: one_step(rnn, x[None], u[None])[0])(x[i]).detach()
        alone = system.jac(0.0, x[i], u[i], system.params)
        torch.testing.assert_close(alone.assemble(), true, rtol=0, atol=tolerance)
        torch.testing.assert_close(alone.transpose().assemble(), true.mT, rtol=0, atol=tolerance)
        torch.testing.assert_close((J @ V)[i], true @ V[i], rtol=0, atol=20 * tolerance)
        torch.testing.assert_close((J.transpose() @ V)[i], true.mT @ V[i], rtol=0, atol=20 * tolerance)
    by_input = torch.func.jacrev(lambda u: one_step(rnn, x[:1], u[None])[0])(u[0]).detach()
    found = system.step.input_jacobian(0.0, x[0], u[0], system.params)
    torch.testing.assert_close(found.assemble(), by_input, rtol=0, atol=tolerance)
    torch.testing.assert_close(found.transpose().assemble(), by_input.mT, rtol=0, atol=tolerance)


def test_exponents_of_the_module_are_those_of_the_network():
    rnn = some_rnn()
    inputs = torch.randn(60, 2, dtype=torch.float64)
    one = dynet.lyapunov_spectrum(from_module(rnn), None, 60, inputs=inputs, n_exponents=6)
    network = dynet.networks.adaptive_rnn(**arrays(rnn))
    two = dynet.lyapunov_spectrum(network, None, 60, inputs=inputs.numpy(), n_exponents=6)
    np.testing.assert_allclose(one.lyapunov_exponent, two.lyapunov_exponent, rtol=1e-9)


def test_gradients_flow_into_all_parameters():
    rnn = some_rnn()
    names, values = zip(*rnn.named_parameters(), strict=True)
    x = torch.randn(3, 2, 2, dtype=torch.float64)

    def output(*values):
        return torch.func.functional_call(rnn, dict(zip(names, values, strict=True)), (x,))[0]

    assert torch.autograd.gradcheck(output, values)
    exponents = lyapunov_exponents(rnn, None, inputs=torch.randn(12, 2, dtype=torch.float64), n_exponents=2)
    exponents.sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in values)


@pytest.mark.parametrize("kind", [AdaptiveRNN, GammaRNN])
def test_state_dicts_of_own_modules_are_understood(kind, tmp_path):
    rnn = some_rnn() if kind is AdaptiveRNN else GammaRNN(2, 4, dtype=torch.float64)
    holder = torch.nn.ModuleDict({"rnn": rnn, "head": torch.nn.Linear(4, 1)})
    torch.save({"model_state_dict": holder.state_dict(), "n": 3}, tmp_path / "model.pt")
    system, expected = from_state_dict(tmp_path / "model.pt"), from_module(rnn)
    assert system.step.description == f"{expected.step.description} (keys under 'rnn.')"
    x, u = torch.rand(system.like.numel(), dtype=torch.float64), torch.rand(2, dtype=torch.float64)
    found = system.step(0.0, x, u, system.params)
    torch.testing.assert_close(found, expected.step(0.0, x, u, expected.params), rtol=0, atol=1e-14)
    again = some_rnn() if kind is AdaptiveRNN else GammaRNN(2, 4, dtype=torch.float64)
    again.load_state_dict(rnn.state_dict())
    torch.testing.assert_close(again(u[None])[0], rnn(u[None])[0], rtol=0, atol=1e-14)


def test_incomplete_state_dicts_are_named():
    weights = some_rnn().state_dict()
    with pytest.raises(InputError, match="not W_gn"):
        from_state_dict({name: tensor for name, tensor in weights.items() if name != "W_gn"})
    with pytest.raises(InputError, match=r"nonlinearity='tanh'.*adaptive RNN"):
        from_state_dict(weights, nonlinearity="tanh")
    with pytest.raises(InputError, match=r"W_gg=.*shape \(3, 3\)"):
        from_state_dict(weights | {"W_gg": torch.zeros(2, 2, dtype=torch.float64)})
    with pytest.raises(InputError, match=r"b_n.*not finite"):
        from_state_dict(weights | {"b_n": torch.tensor(torch.nan, dtype=torch.float64)})


def test_first_weights():
    torch.manual_seed(3)
    rnn = AdaptiveRNN(3, 40, dtype=torch.float64)
    G = rnn.controller_size
    assert G == 50
    W = rnn.W_hh.detach()
    torch.testing.assert_close(W @ W.mT, torch.eye(40, dtype=torch.float64))
    assert 5 <= float(rnn.b_n.detach()) <= 7
    for parameter, gain in ((rnn.W_gn, 0.1), (rnn.W_gs, 0.01), (rnn.W_ag, 1.0)):
        bound = gain * (6 / (G + 1)) ** 0.5
        assert 0.8 * bound < float(parameter.detach().abs().max()) <= bound
    assert not any(float(b.detach().abs().max()) for b in (rnn.b, rnn.b_g, rnn.b_s))
    torch.manual_seed(3)
    assert torch.equal(AdaptiveRNN(3, 40, dtype=torch.float64).W_hh, rnn.W_hh)


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_henaff_weights_are_exponentials_of_skew_blocks(n):
    W = orthogonal_(torch.empty(n, n, dtype=torch.float64), rng=4)
    s = np.random.default_rng(4).uniform(-np.pi, 0, n // 2)
    A = torch.zeros(n, n, dtype=torch.float64)
    for block, value in enumerate(s):
        A[2 * block, 2 * block + 1], A[2 * block + 1, 2 * block] = value, -value
    torch.testing.assert_close(W, torch.linalg.matrix_exp(A), rtol=0, atol=1e-14)


@pytest.mark.parametrize("method", ["henaff", "haar"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_orthogonal_weights_are_orthogonal_and_repeatable(method, dtype):
    W = torch.nn.Parameter(torch.empty(9, 9, dtype=dtype))
    assert orthogonal_(W, method, rng=1) is W
    torch.testing.assert_close((W @ W.mT).detach(), torch.eye(9, dtype=dtype))
    assert torch.equal(W, orthogonal_(torch.empty(9, 9, dtype=dtype), method, rng=np.random.default_rng(1)))
    torch.manual_seed(5)
    one = orthogonal_(torch.empty(9, 9), method)
    torch.manual_seed(5)
    assert torch.equal(one, orthogonal_(torch.empty(9, 9), method))
    assert not torch.equal(one, orthogonal_(torch.empty(9, 9), method))


def test_haar_matrices_have_no_preferred_direction():
    random = np.random.default_rng(0)
    traces = [
        float(orthogonal_(torch.empty(3, 3, dtype=torch.float64), "haar", rng=random).trace()) for _ in range(600)
    ]
    # of Haar matrices the trace has mean 0 and variance 1
    assert abs(np.mean(traces)) < 4 / 600**0.5
    assert np.mean(np.square(traces)) == pytest.approx(1, abs=0.2)


def test_bad_input_is_named():
    rnn = some_rnn()
    x = torch.zeros(5, 3, 2, dtype=torch.float64)
    with pytest.raises(InputError, match="controller_size=0"):
        AdaptiveRNN(2, 4, 0)
    with pytest.raises(InputError, match=r"x has shape \(5, 3, 1\)"):
        rnn(x[..., :1])
    with pytest.raises(InputError, match=r"g has shape \(1, 3, 4\): give \(1, 3, 4, 3\)"):
        rnn(x, (torch.zeros(1, 3, 4), torch.zeros(1, 3, 4)))
    with pytest.raises(InputError, match=r"tuple \(h, g\)"):
        rnn(x, torch.zeros(1, 3, 4))
    with pytest.raises(InputError, match="no time steps"):
        rnn(x[:0])
    with pytest.raises(InputError, match="memory"):
        from_module(rnn, state="hidden")
    with torch.no_grad():
        rnn.b_n.fill_(-0.5)
    with pytest.raises(InputError, match="a gain n fell to"):
        rnn(x)
    with pytest.raises(InputError, match="square"):
        orthogonal_(torch.empty(2, 3))
    with pytest.raises(InputError, match="floating point"):
        orthogonal_(torch.empty(2, 2, dtype=torch.int64))
    with pytest.raises(InputError, match="method='qr'"):
        orthogonal_(torch.empty(2, 2), "qr")


def test_a_diverging_gamma_network_is_told():
    rnn = GammaRNN(1, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        rnn.W_hh.copy_(1e3 * torch.eye(2))
    with pytest.raises(dynet.DivergenceError) as caught:
        dynet.lyapunov_spectrum(from_module(rnn), [1.0, 1.0], 150)
    assert caught.value.unit == "h[0][0]"


def test_second_derivatives_of_gamma_at_zero():
    """With respect to s and x it is n p (1 - p) - p, at x = 0 there is a kink in |x| that must not show."""
    x, n, s = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.0, 5.0, 0.3))
    by_s, by_n = torch.autograd.grad(Gamma.apply(x, n, s), (s, n), create_graph=True)
    assert torch.autograd.grad(by_s, x, retain_graph=True)[0].item() == pytest.approx(5 / 4 - 1 / 2, rel=1e-12)
    assert torch.autograd.grad(by_n, x)[0].item() == pytest.approx(0.3 / 4, rel=1e-12)


def test_empty_batches_pass_and_inputs_that_are_not_finite_are_told():
    rnn = some_rnn()
    assert rnn(torch.zeros(5, 0, 2, dtype=torch.float64))[0].shape == (5, 0, 4)
    with pytest.raises(InputError, match="x is not finite"):
        rnn(torch.full((5, 2), torch.nan, dtype=torch.float64))
    for module in (rnn, GammaRNN(2, 3)):
        with pytest.raises(InputError, match="x=list: give a tensor"):
            module([[1.0, 2.0]])
    with pytest.raises(InputError, match="square"):
        orthogonal_(torch.empty(0, 0))
