"""Differentiable exponents: those of the spectrum, and derivatives known on paper or by differences."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import dynet
from dynet.errors import DivergenceError, InputError
from dynet.torch import flossing_loss, from_cell, from_module, lyapunov_exponents

KINDS = {
    "tanh": lambda **kw: nn.RNN(2, 4, dtype=torch.float64, **kw),
    "gru": lambda **kw: nn.GRU(2, 4, dtype=torch.float64, **kw),
    "lstm": lambda **kw: nn.LSTM(2, 4, dtype=torch.float64, **kw),
}


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        yield


def make(kind, **options):
    module = KINDS[kind](**options)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0.0, 0.6)
    return module


def linear(W):
    """The map x' = W x with a live matrix."""
    return dynet.Map(
        lambda t, x, u, p: p @ x, lambda t, x, u, p: p, params=W, like=torch.zeros(len(W), dtype=torch.float64)
    )


class Exponents(nn.Module):
    """A module whose forward pass is the exponents of another: its parameters can be exchanged."""

    def __init__(self, inner, **settings):
        super().__init__()
        self.inner, self.settings = inner, settings

    def forward(self):
        return lyapunov_exponents(self.inner, None, check=False, **self.settings)


def differences_agree(module, **settings):
    host = Exponents(module, **settings)
    names = [name for name, _ in host.named_parameters()]

    def exponents(*weights):
        return torch.func.functional_call(host, dict(zip(names, weights, strict=True)), ())

    weights = tuple(p.detach().clone().requires_grad_() for p in host.parameters())
    return torch.autograd.gradcheck(exponents, weights, atol=1e-6, fast_mode=True)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 3, None])
def test_they_are_those_of_the_spectrum(kind, num_layers, k):
    module, inputs = make(kind, num_layers=num_layers), torch.randn(3, 12, 2, dtype=torch.float64)
    settings = {"inputs": inputs, "n_exponents": k, "n_transient": 2}
    exponents = lyapunov_exponents(module, None, **settings)
    spectrum = dynet.lyapunov_spectrum(from_module(module), None, 10, frame="qr", **settings)
    np.testing.assert_allclose(exponents.detach(), spectrum.lyapunov_exponent, rtol=0, atol=1e-10)
    assert exponents.requires_grad


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("tanh", {"n_exponents": 1}),
        ("tanh", {}),
        ("gru", {"n_exponents": 2}),
        ("lstm", {"n_exponents": 3, "n_transient": 2}),
        ("lstm", {"n_exponents": 2, "qr_interval": 2}),
        ("tanh", {"n_exponents": 3, "num_layers": 2}),
    ],
)
def test_gradients_are_those_of_differences(kind, settings):
    module = make(kind, num_layers=settings.pop("num_layers", 1))
    assert differences_agree(module, inputs=torch.randn(2, 5, 2, dtype=torch.float64), **settings)


class Leaky(nn.Module):
    """A cell of one's own."""

    hidden_size = 3

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3, dtype=torch.float64))

    def forward(self, u, h):
        return 0.5 * h + torch.tanh(h @ self.weight.T + u)


def test_gradients_of_a_cell_of_ones_own_are_those_of_differences():
    assert differences_agree(Leaky(), inputs=torch.randn(2, 4, 3, dtype=torch.float64), n_exponents=2)


def test_exponents_of_a_symmetric_map_move_with_its_eigenvalues():
    # d log|mu_i| / dW = v_i v_i^T / mu_i, exactly at every time when the frame starts as the eigenvectors
    Q, _ = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))
    mu = torch.tensor([1.7, -0.9, 0.5, 0.2], dtype=torch.float64)
    W = ((Q * mu) @ Q.T).requires_grad_()
    exponents = lyapunov_exponents(linear(W), torch.zeros(4, dtype=torch.float64), 7, initial_frame=Q.numpy())
    np.testing.assert_allclose(exponents.detach(), torch.log(mu.abs()), atol=1e-13)
    for i in range(4):
        (gradient,) = torch.autograd.grad(exponents[i], W, retain_graph=True)
        np.testing.assert_allclose(gradient, torch.outer(Q[:, i], Q[:, i]) / mu[i], rtol=0, atol=1e-11)


def test_the_sum_of_all_moves_with_the_determinant():
    W = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    lyapunov_exponents(linear(W), torch.zeros(4, dtype=torch.float64), 6).sum().backward()
    np.testing.assert_allclose(W.grad, torch.linalg.inv(W.detach()).T, rtol=1e-9)


def test_an_orthogonal_network_is_where_flossing_rests():
    module = nn.RNN(1, 6, bias=False, dtype=torch.float64)
    nn.init.orthogonal_(module.weight_hh_l0)
    zeros = torch.zeros(12, 1, dtype=torch.float64)
    exponents = lyapunov_exponents(module, None, inputs=zeros)
    np.testing.assert_allclose(exponents.detach(), 0.0, atol=1e-13)
    flossing_loss(exponents).backward()
    np.testing.assert_allclose(module.weight_hh_l0.grad, 0.0, atol=1e-12)
    module.weight_hh_l0.grad = None
    flossing_loss(lyapunov_exponents(module, None, inputs=zeros), target=0.1).backward()
    # all exponents 0.1 too low: the gradient is -0.2 / n d(sum) / dW = -0.2 / n W
    np.testing.assert_allclose(module.weight_hh_l0.grad, -0.2 / 6 * module.weight_hh_l0.detach(), atol=1e-12)


def test_flossing_reaches_its_target():
    module = make("tanh")
    inputs = torch.randn(2, 20, 2, dtype=torch.float64)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        loss = flossing_loss(lyapunov_exponents(module, None, inputs=inputs, n_exponents=2, check=False), -0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 1e-3 * losses[0]


def test_truncation_cuts_the_graph_and_not_the_value():
    module, inputs = make("lstm"), torch.randn(2, 9, 2, dtype=torch.float64)
    gradients = []
    for truncate in (None, 9, 3):
        exponents = lyapunov_exponents(module, None, inputs=inputs, n_exponents=2, truncate=truncate)
        gradients.append(torch.autograd.grad(exponents.sum(), module.weight_hh_l0)[0])
        assert torch.equal(exponents, lyapunov_exponents(module, None, inputs=inputs, n_exponents=2))
    assert torch.equal(gradients[0], gradients[1])
    assert not torch.allclose(gradients[0], gradients[2])


def test_volume_needs_no_gradient_through_the_frame():
    # log|det J| does not depend on the frame, and in a linear map not on the state: cut graphs lose nothing
    W = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    lyapunov_exponents(linear(W), torch.zeros(3, dtype=torch.float64), 6, truncate=1).sum().backward()
    np.testing.assert_allclose(W.grad, torch.linalg.inv(W.detach()).T, rtol=1e-9)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.drop = nn.Dropout(0.5)
        self.core = nn.GRU(3, 4, batch_first=True)
        self.head = nn.Linear(4, 2)


def test_a_model_in_training_mode_with_tokens_and_another_dtype():
    model = Model().train()
    tokens = torch.randint(0, 5, (3, 10))
    settings = {"inputs": tokens, "n_exponents": 2, "submodule": "core", "encode": model.embedding}
    exponents = lyapunov_exponents(model, None, dtype="float64", **settings)
    assert exponents.dtype == torch.float64
    exponents.sum().backward()
    assert model.core.weight_hh_l0.grad.dtype == torch.float32
    assert model.core.weight_hh_l0.grad.norm() > 0
    assert model.embedding.weight.grad is None
    assert model.training
    assert model.drop.training
    expected = dynet.lyapunov_spectrum(
        from_module(model.eval(), submodule="core", encode=model.embedding, dtype="float64"),
        None,
        10,
        inputs=tokens,
        n_exponents=2,
    )
    np.testing.assert_allclose(exponents.detach(), expected.lyapunov_exponent, atol=1e-10)


def test_an_encoder_of_a_map_is_used_and_left_in_place():
    model = Model().eval()
    system = from_module(model, submodule="core", encode=model.embedding)
    live = tuple(type(w)(*(t.requires_grad_() for t in w)) for w in system.params)
    exponents = lyapunov_exponents(system.with_params(live), None, inputs=torch.randint(0, 5, (2, 8)), n_exponents=1)
    assert exponents.requires_grad
    assert system.step.encode is not None


def test_parametrised_weights_receive_gradients():
    module = parametrizations.orthogonal(make("tanh"), "weight_hh_l0")
    lyapunov_exponents(module, None, inputs=torch.randn(2, 6, 2, dtype=torch.float64)).sum().backward()
    assert module.parametrizations.weight_hh_l0.original.grad is not None


def test_lost_exponents_are_minus_infinity_and_leave_the_others_their_gradient():
    W = torch.diag(torch.tensor([2.0, 0.5, 0.0], dtype=torch.float64)).requires_grad_()
    exponents = lyapunov_exponents(linear(W), torch.zeros(3, dtype=torch.float64), 5, initial_frame=np.eye(3))
    np.testing.assert_allclose(exponents.detach(), [np.log(2), np.log(0.5), -np.inf])
    exponents[:2].sum().backward()
    np.testing.assert_allclose(W.grad, np.diag([0.5, 2.0, 0.0]), atol=1e-14)
    with pytest.raises(InputError, match=r"number 3 is -inf.*n_exponents=2"):
        flossing_loss(exponents)
    none = lyapunov_exponents(linear(0 * W), torch.zeros(3, dtype=torch.float64), 5)
    assert torch.isneginf(none).all()


@pytest.mark.parametrize("least", [1e-13, 2e-14, 1e-15])
def test_ranks_are_those_of_the_spectrum(least):
    """Pivots near ``n eps`` of a large system: one rule tells in both what is rounding."""
    W = torch.diag(torch.tensor([*np.ones(98), least, 1e-18], dtype=torch.float64))
    start = torch.zeros(100, dtype=torch.float64)
    ours = lyapunov_exponents(linear(W.clone().requires_grad_()), start, n_steps=4, qr_interval=1, check=False)
    ours = ours.detach().numpy()
    theirs = dynet.lyapunov_spectrum(linear(W), start, 4, qr_interval=1, frame="qr", check=False).lyapunov_exponent
    assert np.isneginf(theirs[-1])
    np.testing.assert_array_equal(np.isneginf(ours), np.isneginf(theirs))
    np.testing.assert_allclose(ours[:98], theirs[:98], atol=1e-12)


def test_dead_units_cost_no_nan():
    module = nn.RNN(2, 6, nonlinearity="relu", dtype=torch.float64)
    inputs = torch.randn(3, 20, 2, dtype=torch.float64)
    exponents = lyapunov_exponents(module, None, inputs=inputs)
    finite = torch.isfinite(exponents)
    assert not finite.all()
    assert finite[0]
    exponents[0].backward()
    assert module.weight_hh_l0.grad.isfinite().all()


class TestBadInput:
    def test_a_module_without_gradient(self):
        module = make("gru").requires_grad_(False)
        with pytest.raises(InputError, match=r"nothing in it carries a gradient.*lyapunov_spectrum"):
            lyapunov_exponents(module, None, inputs=torch.randn(5, 2, dtype=torch.float64))
        with torch.no_grad():
            assert not lyapunov_exponents(module, None, inputs=torch.randn(5, 2, dtype=torch.float64)).requires_grad

    def test_numpy_systems(self):
        with pytest.raises(InputError, match="numpy arrays"):
            lyapunov_exponents(dynet.zoo.henon(), [0.1, 0.1], 10)

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"n_exponents": 5}, "n_exponents=5.*from 1 to 4"),
            ({"truncate": 0}, "truncate=0"),
            ({"qr_interval": 0}, "qr_interval=0"),
            ({"n_transient": 6}, "n_steps=0"),
            ({"n_steps": 9}, "n_transient"),
            ({"dtype": "int8"}, "dtype='int8'"),
            ({"submodule": "rnn"}, "submodule='rnn'"),
            ({"inputs": None}, "n_steps=None"),
            ({"inputs": np.full((6, 2), np.nan)}, "not finite"),
        ],
    )
    def test_arguments_are_named(self, settings, words):
        settings = {"inputs": torch.randn(6, 2, dtype=torch.float64), **settings}
        with pytest.raises(InputError, match=words):
            lyapunov_exponents(make("tanh"), None, **settings)

    def test_options_of_modules_with_a_map(self):
        with pytest.raises(InputError, match=r"submodule='rnn'.*\n.*dtype"):
            lyapunov_exponents(linear(torch.eye(2)), [0.0, 0.0], 5, submodule="rnn", dtype="float64")

    def test_flows_and_strangers(self):
        with pytest.raises(InputError, match="to_map"):
            lyapunov_exponents(dynet.zoo.lorenz63(), [1.0, 1.0, 1.0], 5)
        with pytest.raises(InputError, match="Map"):
            lyapunov_exponents(3, None, 5)
        hidden = from_module(make("lstm"), state="hidden")
        with pytest.raises(InputError, match="frozen memories"):
            lyapunov_exponents(hidden, None, inputs=torch.randn(5, 2, dtype=torch.float64))

    def test_divergence_names_step_and_unit(self):
        square = from_cell(lambda h: h * h, 2, n_inputs=0, dtype=torch.float64)
        with pytest.raises(DivergenceError, match=r"after step \d+.*h\[0\]"), torch.no_grad():
            lyapunov_exponents(square, [10.0, 0.1], 30)

    @pytest.mark.parametrize("target", ["0", np.nan, torch.zeros(3)])
    def test_targets_that_do_not_fit(self, target):
        with pytest.raises(InputError, match="target="):
            flossing_loss(torch.zeros(2), target)

    def test_things_that_are_no_exponents(self):
        with pytest.raises(InputError, match="lyapunov_exponents"):
            flossing_loss([0.1, 0.2])


def test_targets_may_differ():
    loss = flossing_loss(torch.tensor([0.5, -0.5]), torch.tensor([0.5, -0.1]))
    assert float(loss) == pytest.approx(0.08)
