"""Recurrent layers that start on limit cycles: every block has its zero exponent, and the module stays what it was."""

import numpy as np
import pytest
import torch

import dynet
from dynet.errors import InputError
from dynet.torch import from_module, limit_cycle_


def exponents(module, n_steps=1_500):
    """Return the exponents of the first layer without input."""
    W = module.weight_hh_l0.detach().double().numpy()
    system = dynet.networks.gru(W) if isinstance(module, torch.nn.GRU) else dynet.networks.tanh_rnn(W)
    x0 = np.random.default_rng(0).uniform(-0.5, 0.5, module.hidden_size)
    return dynet.lyapunov_spectrum(system, x0, n_steps, n_transient=500, qr_interval=5).lyapunov_exponent.values


@pytest.mark.parametrize("kind", [torch.nn.RNN, torch.nn.GRU])
@pytest.mark.parametrize("options", [{}, {"window": "flow"}, {"alpha_range": (1.1, 2.2)}])
def test_every_block_has_a_zero_exponent(kind, options):
    found = exponents(limit_cycle_(kind(2, 8), rng=5, **options))
    assert (abs(found) < 6e-3).sum() == 4
    assert (found < -0.02).sum() == 4


@pytest.mark.parametrize(("kind", "delta"), [(torch.nn.RNN, 1.0), (torch.nn.GRU, 0.5)])
def test_angles_outside_are_refused_with_the_window(kind, delta):
    low, high = dynet.theory.cycle_window(1.5, delta=delta)
    for theta in (low - 1e-3, high + 1e-3):
        module = kind(2, 4)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        with pytest.raises(InputError, match=f"theta={theta:.6g}.*between {low:.6g} and {high:.6g}"):
            limit_cycle_(module, theta=theta)
        assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    for theta in (low + 1e-3, high - 1e-3, -low - 1e-3):
        limit_cycle_(kind(2, 4), theta=theta)


def test_the_blocks_are_rotations():
    theta = np.array([0.3, 0.9, 1.2])
    rnn = limit_cycle_(torch.nn.RNN(2, 7, bias=False), alpha=1.2, theta=theta)
    expected = torch.zeros(7, 7)
    expected[:6, :6] = torch.as_tensor(dynet.networks.rotation_rnn(1.2, theta).params[0].W_hh)
    torch.testing.assert_close(rnn.weight_hh_l0.detach(), expected)
    gru = limit_cycle_(torch.nn.GRU(2, 6), alpha=1.2, theta=0.5 * theta)
    assert not gru.weight_hh_l0[:12].any()
    R = torch.as_tensor(dynet.networks.rotation_rnn(2.4, 0.5 * theta).params[0].W_hh, dtype=torch.float32)
    torch.testing.assert_close(gru.weight_hh_l0[12:].detach(), R)
    # an odd unit has no recurrent weights: nothing of it comes back
    odd = limit_cycle_(torch.nn.GRU(2, 3), theta=0.5).weight_hh_l0
    assert not odd[8].any()
    assert not odd[:, 2].any()


def test_the_module_stays_usable():
    module = torch.nn.GRU(3, 8, num_layers=2, bidirectional=True, batch_first=True)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert limit_cycle_(module, layers=1) is module
    after = module.state_dict()
    assert list(after) == list(before)
    for name, value in after.items():
        assert value.shape == before[name].shape
        assert value.dtype == before[name].dtype
        is_changed = "l1" in name and not name.startswith("weight_ih")
        assert torch.equal(value, before[name]) != is_changed
    assert all(p.requires_grad for p in module.parameters())
    y, _ = module(torch.randn(2, 5, 3))
    y.square().sum().backward()
    assert module.weight_hh_l1.grad.abs().sum() > 0
    torch.nn.GRU(3, 8, num_layers=2, bidirectional=True).load_state_dict(after)


def test_draws():
    pair = [limit_cycle_(torch.nn.RNN(2, 6), rng=3).weight_hh_l0 for _ in range(2)]
    assert torch.equal(*pair)
    assert not torch.equal(pair[0], limit_cycle_(torch.nn.RNN(2, 6), rng=4).weight_hh_l0)
    W = limit_cycle_(torch.nn.RNN(2, 80), window="flow", rng=0).weight_hh_l0.detach().double().numpy()
    theta = np.arctan2(W[1::2, ::2].diagonal(), W[::2, ::2].diagonal())
    assert theta.min() > np.pi / 21
    assert theta.max() < np.pi / 3.8
    assert theta.max() - theta.min() > 0.5
    with pytest.warns(UserWarning, match="locked to a fraction: 3 of 3"):
        limit_cycle_(torch.nn.RNN(2, 6), theta=np.pi / 4)


def test_a_gradient_comes_through():
    rnn = limit_cycle_(torch.nn.RNN(2, 8, dtype=torch.float64), rng=0)
    system = from_module(rnn)
    ds = dynet.singular_values(system, [0.3] * 8, 300, inputs=np.zeros((300, 2)), horizons=[300])
    logs = ds.log_singular_value.isel(horizon=-1).values.ravel()
    assert (logs[:4] > -3).all()
    assert (logs[:4] < 4).all()
    assert logs[4] < -20


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (torch.nn.LSTM(2, 4), {}, "module=LSTM"),
        (torch.nn.RNN(2, 4, nonlinearity="relu"), {}, "give a torch.nn.RNN with tanh"),
        (torch.nn.RNN(2, 4), {"layers": []}, "name at least one layer"),
        (torch.nn.RNN(2, 1), {}, "an oscillator takes two units"),
        (torch.nn.RNN(2, 4), {"alpha": 0.9}, "alpha=0.9: two units oscillate at no angle"),
        (torch.nn.RNN(2, 4), {"alpha": [1.2, 1.3, 1.4]}, "one for each of the 2 blocks"),
        (torch.nn.RNN(2, 4), {"alpha": np.nan}, "is not finite"),
        (torch.nn.RNN(2, 4), {"alpha_range": (2, 1.5)}, "give two gains above 1"),
        (torch.nn.RNN(2, 4), {"window": "flow", "alpha": 3.0}, "not inside of the window"),
        (torch.nn.RNN(2, 4), {"window": "own", "layers": 2}, "layers=2: .*\nwindow"),
    ],
)
def test_bad_input(module, options, message):
    with pytest.raises(InputError, match=message):
        limit_cycle_(module, **options)


def test_saturated_blocks_count_as_locked():
    with pytest.warns(UserWarning, match="its rotation is locked"):
        limit_cycle_(torch.nn.RNN(1, 2), alpha=50.0, theta=0.8)


def test_a_parametrized_module_is_refused():
    module = torch.nn.utils.parametrizations.weight_norm(torch.nn.RNN(1, 4), "weight_hh_l0")
    with pytest.raises(InputError, match="before it is parametrized"):
        limit_cycle_(module)
