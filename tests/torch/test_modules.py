"""GammaRNN: its equation, its gradients, and the map that it becomes."""

import itertools

import mpmath
import numpy as np
import pytest
import torch

import dynet
from dynet.errors import InputError
from dynet.systems.operators import assemble
from dynet.torch import GammaRNN, from_module, from_state_dict
from dynet.torch.gamma import Gamma


def some_rnn(dtype=torch.float64, **settings):
    torch.manual_seed(0)
    rnn = GammaRNN(2, 4, dtype=dtype, **settings)
    with torch.no_grad():
        rnn.s.uniform_(0.1, 0.9)
        if rnn.b is not None:
            rnn.b.uniform_(-1, 1)
    return rnn


@pytest.mark.parametrize("settings", [{}, {"per_unit": False}, {"bias": False}, {"trainable": False}])
def test_module_and_map_take_the_same_steps(settings):
    rnn = some_rnn(**settings)
    x, h = torch.randn(7, 3, 2, dtype=torch.float64), torch.randn(1, 3, 4, dtype=torch.float64)
    output, last = rnn(x, h)
    system = from_module(rnn)
    state = h[0]
    for step in range(7):
        a = state @ rnn.W_hh.T + x[step] @ rnn.W_xh.T + (0 if rnn.b is None else rnn.b)
        by_hand = dynet.gamma_activation(a.detach(), rnn.n.detach(), rnn.s.detach())
        state = system.step(0.0, state, x[step], system.params)
        torch.testing.assert_close(state, by_hand, rtol=1e-12, atol=0)
        torch.testing.assert_close(output[step].detach(), state, rtol=1e-13, atol=0)
    torch.testing.assert_close(last[0], output[-1])
    first = torch.autograd.functional.jacobian(lambda h: rnn(x[:1, 0], h[None])[1][0], h[0, 0])
    J = assemble(system.jac(0.0, h[0, 0], x[0, 0], system.params))
    torch.testing.assert_close(torch.as_tensor(J), first, rtol=1e-12, atol=1e-14)
    assert {name for name, _ in rnn.named_parameters()} >= (
        {"W_hh", "W_xh"} if not settings.get("trainable", True) else {"n", "s"}
    )
    assert {"n", "s"} <= set(rnn.state_dict())


def test_batches_come_first_if_asked_and_single_sequences_are_understood():
    rnn = some_rnn()
    other = some_rnn(batch_first=True)
    other.load_state_dict(rnn.state_dict())
    x = torch.randn(7, 3, 2, dtype=torch.float64)
    torch.testing.assert_close(other(x.transpose(0, 1))[0].transpose(0, 1), rnn(x)[0])
    torch.testing.assert_close(rnn(x[:, 1])[0], rnn(x)[0][:, 1])


def test_gradients():
    rnn = some_rnn()
    x = torch.randn(4, 2, 2, dtype=torch.float64)
    names = [name for name, _ in rnn.named_parameters()]

    def loss(*values):
        return torch.func.functional_call(rnn, dict(zip(names, values, strict=True)), (x,))[0]

    assert torch.autograd.gradcheck(loss, tuple(rnn.parameters()))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own, in forward mode
@pytest.mark.parametrize("shared", [False, True])
def test_activation_has_all_kinds_of_derivatives(shared):
    torch.manual_seed(1)
    x = torch.linspace(-3, 3, 8, dtype=torch.float64).reshape(2, 4).requires_grad_()
    n = (torch.rand(() if shared else 4, dtype=torch.float64) * 4 + 1).requires_grad_()
    s = torch.rand(() if shared else 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(Gamma.apply, (x, n, s), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(Gamma.apply, (x, n, s))
    J = torch.func.jacfwd(lambda x: Gamma.apply(x, n, s).sum(0))(x)
    torch.testing.assert_close(J, torch.func.jacrev(lambda x: Gamma.apply(x, n, s).sum(0))(x))


@pytest.mark.parametrize("x", [0.0, -0.7])
@pytest.mark.parametrize(("n", "s"), [(2.5, 0.3), (1.0, 1.0)])
def test_third_derivatives_hold_at_the_bend_too(x, n, s):
    with mpmath.workdps(40):
        for order in itertools.combinations_with_replacement(range(3), 3):
            values = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (x, n, s)]
            found = Gamma.apply(*values)
            for i in order:
                (found,) = torch.autograd.grad(found, values[i], create_graph=True, materialize_grads=True)
            true = mpmath.diff(_gamma, (x, n, s), tuple(map(order.count, range(3))))
            assert found.item() == pytest.approx(float(true), abs=1e-12), order


def _gamma(x, n, s):
    return (1 - s) * mpmath.log(1 + mpmath.exp(n * x)) / n + s / (1 + mpmath.exp(-n * x))


@pytest.mark.parametrize("batched", range(3))
def test_one_argument_can_have_a_batch_of_its_own(batched):
    torch.manual_seed(0)
    values = [v.double() for v in (torch.randn(3, 4), torch.rand(4) + 1, torch.rand(4))]
    values[batched] = torch.stack([values[batched] * k for k in (1.0, 0.5)])
    one = torch.func.grad(lambda *v: Gamma.apply(*v).square().sum(), argnums=(0, 1, 2))
    together = torch.func.vmap(one, tuple(0 if i == batched else None for i in range(3)))(*values)
    for k in range(2):
        each = one(*(v[k] if i == batched else v for i, v in enumerate(values)))
        for found, true in zip(together, each, strict=True):
            torch.testing.assert_close(found[k], true)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_activation_is_that_of_the_networks(dtype):
    x = torch.linspace(-60, 60, 241, dtype=dtype, requires_grad=True)
    n, s = torch.tensor(3.0, dtype=dtype), torch.tensor(0.3, dtype=dtype)
    value = Gamma.apply(x, n, s)
    (slope,) = torch.autograd.grad(value.sum(), x)
    tolerance = 200 * torch.finfo(dtype).eps  # |z| times the rounding of z
    tiny = 1e-37 if dtype is torch.float32 else 0
    for found, derivative in ((value.detach(), None), (slope, "x")):
        true = dynet.gamma_activation(x.detach(), n, s, derivative=derivative)
        torch.testing.assert_close(found, true, rtol=tolerance, atol=tiny)


@pytest.mark.parametrize("z", [-80.0, -20.0, 0.0, 15.0, 30.0, 80.0])
def test_gradients_in_float32_have_their_digits(z):
    """One unit at n = 2, x = z / 2, against the closed forms in float64."""
    rnn = GammaRNN(1, 1, bias=False)
    with torch.no_grad():
        for parameter, value in ((rnn.W_hh, 0.0), (rnn.W_xh, 1.0), (rnn.n, 2.0), (rnn.s, 0.0)):
            parameter.fill_(value)
    x = torch.full((1, 1), z / 2, requires_grad=True)
    rnn(x)[0].sum().backward()
    for found, derivative in ((x.grad, "x"), (rnn.n.grad, "n"), (rnn.s.grad, "s")):
        true = dynet.gamma_activation(z / 2, 2.0, 0.0, derivative=derivative)
        np.testing.assert_allclose(found.item(), true, rtol=2e-6, atol=1e-37)


def test_exponents_of_the_module_are_those_of_the_network():
    rnn = some_rnn(bias=False)
    inputs = torch.randn(60, 2, dtype=torch.float64)
    one = dynet.lyapunov_spectrum(from_module(rnn), None, 60, inputs=inputs)
    W_hh, W_xh, n, s = (getattr(rnn, name).detach().numpy() for name in ("W_hh", "W_xh", "n", "s"))
    network = dynet.networks.gamma_rnn(W_hh, W_xh, n=n, s=s)
    two = dynet.lyapunov_spectrum(network, None, 60, inputs=inputs.numpy())
    np.testing.assert_allclose(one.lyapunov_exponent, two.lyapunov_exponent, rtol=1e-9)
    holder = torch.nn.ModuleDict({"rnn": rnn})
    assert from_module(holder, submodule="rnn").step.description == (
        "gamma RNN, 1 layer of 4 units, 2 inputs (submodule 'rnn')"
    )


def test_training_moves_gains_and_saturations():
    rnn = some_rnn(dtype=torch.float32)
    before = rnn.n.detach().clone(), rnn.s.detach().clone()
    optimiser = torch.optim.SGD(rnn.parameters(), lr=0.1)
    rnn(torch.randn(5, 8, 2))[0].square().mean().backward()
    optimiser.step()
    assert (rnn.n != before[0]).all()
    assert (rnn.s != before[1]).all()


def test_bad_input_is_named():
    rnn = some_rnn()
    x = torch.zeros(5, 3, 2, dtype=torch.float64)
    with pytest.raises(InputError, match="hidden_size=0"):
        GammaRNN(2, 0)
    with pytest.raises(InputError, match=r"x has shape \(5, 3, 1\)"):
        rnn(x[..., :1])
    with pytest.raises(InputError, match=r"h has shape \(1, 2, 4\)"):
        rnn(x, torch.zeros(1, 2, 4, dtype=torch.float64))
    with pytest.raises(InputError, match="no time steps"):
        rnn(x[:0])
    with pytest.raises(InputError, match="no"):  # never taken for a tanh network
        from_state_dict(rnn.state_dict(), nonlinearity="tanh")
    with torch.no_grad():
        rnn.n[1] = -0.5
    with pytest.raises(InputError, match="n is not positive"):
        rnn(x)
    with pytest.raises(InputError, match=r"n=-0\.5"):
        from_module(rnn)
