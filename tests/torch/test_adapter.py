"""from_module: what torch's own modules compute, and its exact derivative."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import dynet
from dynet.errors import InputError
from dynet.systems.operators import assemble, transpose
from dynet.torch import from_module

M, H = 3, 4
MODULES = {
    "tanh": lambda **kw: nn.RNN(M, H, **kw),
    "relu": lambda **kw: nn.RNN(M, H, nonlinearity="relu", **kw),
    "gru": lambda **kw: nn.GRU(M, H, **kw),
    "lstm": lambda **kw: nn.LSTM(M, H, **kw),
}
CELLS = {
    "tanh": lambda **kw: nn.RNNCell(M, H, **kw),
    "relu": lambda **kw: nn.RNNCell(M, H, nonlinearity="relu", **kw),
    "gru": lambda **kw: nn.GRUCell(M, H, **kw),
    "lstm": lambda **kw: nn.LSTMCell(M, H, **kw),
}


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        yield


def make(kind, num_layers=1, bias=True, dtype=torch.float64, **options):
    """Return a module with weights large enough for every path to matter."""
    module = MODULES[kind](num_layers=num_layers, bias=bias, dtype=dtype, **options)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0.0, 0.7)
    return module


def size(module):
    return H * getattr(module, "num_layers", 1) * (2 if isinstance(module, nn.LSTM | nn.LSTMCell) else 1)


def torch_step(module):
    """Return torch's own step of one sequence as a function of the flat state (h of all layers, c of all)."""

    def step(x, u):
        if isinstance(module, nn.LSTM):
            _, (h, c) = module(u[None], tuple(x.reshape(2, -1, H)))
            return torch.cat([h.flatten(), c.flatten()])
        if isinstance(module, nn.RNNBase):
            return module(u[None], x.reshape(-1, H))[1].flatten()
        if isinstance(module, nn.LSTMCell):
            return torch.cat(module(u, (x[:H], x[H:])))
        return module(u, x)

    return step


def linearize(system, x, u):
    return system.linearize(0.0, x, u, system.params)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("kind", MODULES)
class TestAgainstTorch:
    def test_step_is_torchs_forward_pass(self, kind, num_layers, bias):
        module = make(kind, num_layers, bias, batch_first=True)
        system = from_module(module)
        inputs = torch.randn(2, 6, M, dtype=torch.float64)
        outputs = module(inputs)[0].detach()
        x = system.like.expand(2, -1)
        for t in range(6):
            x = system.step(float(t), x, inputs[:, t], system.params)
            top = x[:, (num_layers - 1) * H : num_layers * H]
            torch.testing.assert_close(top, outputs[:, t], rtol=0, atol=1e-12)

    def test_jacobian_is_torchs(self, kind, num_layers, bias):
        module = make(kind, num_layers, bias)
        system = from_module(module)
        n = size(module)
        x, u = torch.randn(2, n, dtype=torch.float64), torch.randn(2, M, dtype=torch.float64)
        y, J = linearize(system, x, u)
        V = torch.randn(n, 2, dtype=torch.float64)
        for s in range(2):
            exact = torch.func.jacrev(torch_step(module))(x[s], u[s]).detach()
            torch.testing.assert_close(assemble(J)[s], exact, rtol=0, atol=1e-12)
            torch.testing.assert_close((J @ V)[s], exact @ V, rtol=0, atol=1e-12)
            torch.testing.assert_close((transpose(J) @ V)[s], exact.mT @ V, rtol=0, atol=1e-12)
            # a batch holds what its sequences give alone
            y_alone, J_alone = linearize(system, x[s], u[s])
            torch.testing.assert_close(y[s], y_alone, rtol=0, atol=1e-14)
            torch.testing.assert_close(assemble(J)[s], assemble(J_alone), rtol=0, atol=1e-14)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_cells_are_their_modules(kind, bias):
    cell = CELLS[kind](bias=bias, dtype=torch.float64)
    system = from_module(cell)
    x, u = torch.randn(size(cell), dtype=torch.float64), torch.randn(M, dtype=torch.float64)
    y, J = linearize(system, x, u)
    torch.testing.assert_close(y, torch_step(cell)(x, u).detach(), rtol=0, atol=1e-12)
    exact = torch.func.jacrev(torch_step(cell))(x, u).detach()
    torch.testing.assert_close(assemble(J), exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_hidden_state_is_dh_dh_at_frozen_memory(num_layers):
    module = make("lstm", num_layers)
    system = from_module(module, state="hidden")
    full = from_module(module)
    inputs = torch.randn(5, M, dtype=torch.float64)
    start = torch.randn(size(module), dtype=torch.float64)
    states, rows = system.step.freeze(start, inputs, system.params)
    h = states[..., 0, :]
    x, half = start, H * num_layers
    for t in range(5):
        torch.testing.assert_close(h, x[:half], rtol=0, atol=1e-12)
        c = x[half:]
        exact = torch.func.jacrev(lambda h, c=c, u=inputs[t]: torch_step(module)(torch.cat([h, c]), u)[:half])(
            h
        ).detach()
        h, J = linearize(system, h, rows[t])
        torch.testing.assert_close(assemble(J), exact, rtol=0, atol=1e-12)
        x = full.step(0.0, x, inputs[t], full.params)


def test_hidden_state_is_named_in_the_result():
    system = from_module(make("lstm"), state="hidden")
    result = dynet.lyapunov_spectrum(system, None, 20, inputs=np.zeros((20, M)))
    assert result.attrs["state"] == "hidden"
    assert result.sizes["exponent"] == H


def test_unit_names_go_by_part_then_layer():
    system = from_module(make("lstm", 2))
    assert system.units["unit"][0] == "h[0][0]"
    assert system.units["unit"][H] == "h[1][0]"
    assert system.units["unit"][2 * H] == "c[0][0]"
    assert system.step.description == "LSTM, 2 layers of 4 units, 3 inputs"


@pytest.mark.parametrize("training", [True, False])
def test_the_module_stays_as_it_is(training):
    module = make("lstm", 2).train(training)
    before = copy.deepcopy(module.state_dict())
    system = from_module(module, dtype=torch.float32)
    dynet.lyapunov_spectrum(system, None, 20, inputs=np.ones((20, M)))
    assert module.training is training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(weight.requires_grad and weight.grad is None for weight in module.parameters())
    assert all(not tensor.requires_grad for w in system.params for tensor in w)
    with torch.no_grad():
        module.weight_hh_l0.zero_()
    assert bool(system.params[0].W_hh.any())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_stays(dtype):
    system = from_module(make("gru", dtype=dtype))
    assert system.like.dtype == dtype
    result = dynet.lyapunov_spectrum(system, np.zeros(H), 20, inputs=np.ones((20, M)))
    assert result.attrs["dtype"] == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("dtype", [torch.float64, "float64"])
def test_dtype_can_be_chosen(dtype):
    module = make("gru", dtype=torch.float32)
    system = from_module(module, dtype=dtype)
    assert system.like.dtype == torch.float64
    assert torch.equal(system.params[0].W_hh, module.weight_hh_l0.detach().double())


def test_half_precision_asks_for_a_dtype():
    module = make("gru").to(torch.float16)
    with pytest.raises(InputError, match=r"weight_hh of layer 0 is torch.float16: give dtype="):
        from_module(module)
    assert from_module(module, dtype=torch.float32).like.dtype == torch.float32
    with pytest.raises(InputError, match=r"dtype=torch.float16: give torch.float64 or torch.float32"):
        from_module(module, dtype=torch.float16)


def test_exponents_of_an_lstm_without_weights_are_known():
    module = nn.LSTM(1, 2, dtype=torch.float64)
    with torch.no_grad():
        for weight in module.parameters():
            weight.zero_()
        module.bias_ih_l0[2:4] = torch.tensor([0.5, -1.0])  # the forget gates
    result = dynet.lyapunov_spectrum(
        from_module(module), np.full(4, 0.1), 30, n_transient=200, inputs=np.zeros((230, 1))
    )
    exponents = result.lyapunov_exponent.values
    np.testing.assert_allclose(exponents[:2], np.log(1 / (1 + np.exp([-0.5, 1.0]))), atol=1e-12)
    assert np.isneginf(exponents[2:]).all()
    assert result.attrs["jacobian"] == "analytic"


def test_numpy_inputs_and_starts_are_moved():
    module = make("gru", 2)
    system = from_module(module)
    inputs = np.random.default_rng(0).standard_normal((3, 40, M))
    a = dynet.lyapunov_spectrum(system, None, 30, n_transient=10, inputs=inputs)
    b = dynet.lyapunov_spectrum(system, torch.zeros(2 * H), 30, n_transient=10, inputs=torch.as_tensor(inputs))
    np.testing.assert_array_equal(a.sequence_exponent.values, b.sequence_exponent.values)


def test_systems_pickle():
    model = nn.ModuleDict({"embedding": nn.Embedding(7, M), "rnn": make("lstm", dtype=torch.float32)})
    system = from_module(model, submodule="rnn", encode=model.embedding, state="hidden")
    again = pickle.loads(pickle.dumps(system))
    tokens = np.arange(7)
    assert torch.equal(again.step.encode(tokens), system.step.encode(tokens))
    assert again.step.description == system.step.description


def test_parametrised_weights_are_evaluated():
    module = make("gru")
    parametrizations.weight_norm(module, "weight_hh_l0")
    # spectral_norm in training mode changes its estimate at every access
    parametrizations.spectral_norm(module, "weight_ih_l0")
    before = copy.deepcopy(module.state_dict())
    system = from_module(module)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    module.eval()
    assert torch.equal(system.params[0].W_hh, module.weight_hh_l0.detach())
    assert torch.equal(system.params[0].W_xh, module.weight_ih_l0.detach())


class Reader(nn.Module):
    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.embedding = nn.Embedding(11, M, dtype=dtype)
        self.rnn = make("gru", dtype=dtype)
        self.drop = nn.Dropout(0.2)

    def embed(self, tokens):
        return self.drop(self.embedding(tokens))


class TestEncode:
    tokens = np.random.default_rng(0).integers(0, 11, (2, 30))

    @pytest.mark.parametrize("chosen", ["module", "method", "function"])
    def test_tokens_give_what_their_vectors_give(self, chosen):
        model = Reader().eval()
        encode = {"module": model.embedding, "method": model.embed, "function": lambda i: model.embedding(i)}
        system = from_module(model, submodule="rnn", encode=encode[chosen])
        plain = from_module(model.rnn)
        assert plain.step.encode is None
        vectors = model.embedding(torch.as_tensor(self.tokens)).detach()
        a = dynet.lyapunov_spectrum(system, None, 20, n_transient=10, inputs=self.tokens)
        b = dynet.lyapunov_spectrum(plain, None, 20, n_transient=10, inputs=vectors)
        np.testing.assert_array_equal(a.sequence_exponent.values, b.sequence_exponent.values)
        single = system.step.encode(self.tokens[1])
        assert torch.equal(single, vectors[1])
        assert torch.equal(system.step.encode(torch.as_tensor(self.tokens, dtype=torch.int32)), vectors)

    def test_the_copy_follows_dtype(self):
        model = Reader().eval()
        system = from_module(model, submodule="rnn", encode=model.embedding, dtype=torch.float64)
        encoded = system.step.encode(self.tokens)
        assert encoded.dtype == torch.float64
        assert torch.equal(encoded, model.embedding(torch.as_tensor(self.tokens)).detach().double())
        assert not encoded.requires_grad

    def test_functions_take_the_models_dtype(self):
        linear = nn.Linear(5, M)
        system = from_module(make("gru", dtype=torch.float32), encode=lambda x: linear(x), dtype=torch.float64)
        raw = np.random.default_rng(0).standard_normal((30, 5))
        encoded = system.step.encode(raw)
        torch.testing.assert_close(encoded, linear(torch.as_tensor(raw).float()).detach().double())
        assert system.step.encode(raw[None]).shape == (1, 30, M)

    def test_large_inputs_are_encoded_in_parts(self, monkeypatch):
        monkeypatch.setattr("dynet.torch.encoding._MOST_ENTRIES", 30 * M)
        model, sizes = Reader().eval(), []

        def encode(tokens):
            sizes.append(len(tokens))
            return model.embedding(tokens)

        encoded = from_module(model, submodule="rnn", encode=encode).step.encode(self.tokens)
        assert sizes == [1, 1]
        assert torch.equal(encoded, model.embedding(torch.as_tensor(self.tokens)).detach())

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            (np.full((2, 5), 11), "encode failed on inputs of shape .2, 5. with IndexError"),
            (np.zeros(5), "give tokens .whole numbers. as .time,."),
            (np.zeros((2, 5), complex), "complex"),
            (np.zeros((2, 0), int), "array of shape .2, 0."),
            (["a"], "numbers"),
            ([[1, 2], [3]], "rectangular"),
        ],
    )
    def test_unusable_inputs_are_named(self, inputs, message):
        model = Reader().eval()
        system = from_module(model, submodule="rnn", encode=model.embedding)
        with pytest.raises(InputError, match=message):
            system.step.encode(inputs)

    @pytest.mark.parametrize("encode", [nn.Embedding(11, 5), lambda x: x[:, ::2, None], lambda x: None])
    def test_other_shapes_are_named(self, encode):
        system = from_module(make("gru"), encode=encode)
        with pytest.raises(InputError, match=r"the network reads .2, 30, 3."):
            system.step.encode(self.tokens)

    def test_training_mode_is_refused(self):
        with pytest.raises(InputError, match="encode is in training mode with active dropout"):
            from_module(make("gru"), encode=Reader().embed)
        with pytest.raises(InputError, match="encode=3: give a function"):
            from_module(make("gru"), encode=3)


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.ModuleDict({"rnn": make("gru"), "head": nn.Linear(H, 2)})
        self.cells = nn.ModuleList([nn.LSTMCell(M, H), nn.LSTMCell(H, H)])


class TestSubmodules:
    def test_one_is_picked_by_name(self):
        model = Nested()
        system = from_module(model, submodule="net.rnn")
        assert torch.equal(system.params[0].W_hh, model.net["rnn"].weight_hh_l0)
        assert system.step.description.endswith("(submodule 'net.rnn')")

    @pytest.mark.parametrize("submodule", [None, "net", "net.head", "rnn", 3])
    def test_otherwise_they_are_listed(self, submodule):
        listed = r"submodule='net.rnn' \(GRU\), submodule='cells.0' \(LSTMCell\), submodule='cells.1'"
        with pytest.raises(InputError, match=listed):
            from_module(Nested(), submodule=submodule)

    def test_one_alone_is_not_taken_silently(self):
        with pytest.raises(InputError, match="not itself a recurrent module; give one of submodule='rnn'"):
            from_module(Reader().eval())

    def test_none_leads_to_from_cell(self):
        with pytest.raises(InputError, match=r"it holds no nn.RNN.*from_cell"):
            from_module(nn.Linear(3, 3))

    @pytest.mark.parametrize(
        ("model", "message"),
        [({}, "from_state_dict"), (lambda x: x, "from_cell"), (None, "give a torch.nn.Module")],
    )
    def test_what_is_no_module_is_named(self, model, message):
        with pytest.raises(InputError, match=message):
            from_module(model)


class OwnForward(nn.GRU):
    def forward(self, *arguments):
        return super().forward(*arguments)


class TestRefusals:
    def test_bidirectional(self):
        with pytest.raises(InputError, match=r"bidirectional: the backward direction.*bidirectional=False"):
            from_module(nn.GRU(2, 3, bidirectional=True))

    def test_projection(self):
        with pytest.raises(InputError, match="proj_size > 0"):
            from_module(nn.LSTM(2, 3, proj_size=2))

    def test_all_faults_at_once(self):
        with pytest.raises(InputError, match=r"(?s)state='all'.*encode=3.*no submodule"):
            from_module(Nested(), submodule="nets", encode=3, state="all")

    @pytest.mark.parametrize("kind", ["gru", "tanh"])
    def test_only_an_lstm_has_a_hidden_state_apart(self, kind):
        with pytest.raises(InputError, match="only an LSTM has a memory to freeze"):
            from_module(make(kind), state="hidden")

    def test_own_forward(self):
        with pytest.raises(InputError, match="computes a forward of its own"):
            from_module(OwnForward(2, 3))

    def test_active_dropout(self):
        module = make("lstm", 2, dropout=0.1)
        with pytest.raises(InputError, match=r"training mode with active dropout in model \(LSTM\).*eval\(\)"):
            from_module(module)
        from_module(module.eval())
        with pytest.raises(InputError, match=r"dropout in drop \(Dropout\)"):
            from_module(Reader(), submodule="rnn")

    def test_batch_norm_in_training_mode(self):
        model = nn.ModuleDict({"norm": nn.BatchNorm1d(3), "rnn": make("gru")})
        with pytest.raises(InputError, match=r"batch norm in norm \(BatchNorm1d\)"):
            from_module(model, submodule="rnn")
        from_module(model.eval(), submodule="rnn")

    def test_weights_that_hooks_compute(self):
        module = make("gru")
        prune.random_unstructured(module, "weight_hh_l0", 0.5)
        with pytest.raises(InputError, match=r"weight_hh_l0 of .* is computed by a hook: .*prune.remove"):
            from_module(module)
        prune.remove(module, "weight_hh_l0")
        from_module(module)

    def test_weights_that_are_not_finite(self):
        module = make("gru")
        with torch.no_grad():
            module.bias_ih_l0[0] = torch.nan
        with pytest.raises(InputError, match="bias_ih of layer 0 is not finite"):
            from_module(module)


def test_no_warning_leaks():
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        from_module(make("lstm", 3))
    assert leaked == []


def test_a_cell_of_ones_own_that_tells_its_hidden_size_is_taken_as_it_is():
    class LayerNormCell(torch.nn.Module):
        def __init__(self, n_inputs, hidden_size):
            super().__init__()
            self.input_size, self.hidden_size = n_inputs, hidden_size
            self.W, self.U = torch.nn.Linear(n_inputs, hidden_size), torch.nn.Linear(hidden_size, hidden_size)
            self.norm = torch.nn.LayerNorm(hidden_size)

        def forward(self, x, h):
            return torch.tanh(self.norm(self.W(x) + self.U(h)))

    torch.manual_seed(0)
    cell = LayerNormCell(2, 4).double()
    system = from_module(cell)
    h, x = torch.randn(4, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    y, J = system.linearize(0.0, h, x, system.params)
    torch.testing.assert_close(y, cell(x[None], h[None])[0].detach(), rtol=0, atol=1e-14)
    exact = torch.func.jacrev(lambda state: cell(x[None], state[None])[0])(h)
    torch.testing.assert_close(J.assemble(), exact.detach(), rtol=0, atol=1e-12)
