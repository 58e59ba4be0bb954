"""from_state_dict: the same map as from_module, from names and shapes alone."""

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, prune

import dynet
from dynet.errors import InputError
from dynet.systems.operators import assemble
from dynet.torch import from_module, from_state_dict

M, H = 3, 4


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(2)
        yield


def network(kind, **options):
    if kind in ("tanh", "relu"):
        return nn.RNN(M, H, nonlinearity=kind, **options)
    return {"gru": nn.GRU, "lstm": nn.LSTM}[kind](M, H, **options)


def cell(kind):
    if kind in ("tanh", "relu"):
        return nn.RNNCell(M, H, nonlinearity=kind)
    return {"gru": nn.GRUCell, "lstm": nn.LSTMCell}[kind](M, H)


def assert_same(a, b):
    """Assert that two maps are the same, bit by bit."""
    x, u = torch.randn(a.like.shape, dtype=a.like.dtype), torch.randn(M, dtype=a.like.dtype)
    (y_a, J_a), (y_b, J_b) = (system.linearize(0.0, x, u, system.params) for system in (a, b))
    assert torch.equal(y_a, y_b)
    assert torch.equal(assemble(J_a), assemble(J_b))
    assert a.units == b.units
    assert a.like.dtype == b.like.dtype


def nonlinearity_of(kind):
    return kind if kind in ("tanh", "relu") else None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("kind", ["tanh", "relu", "gru", "lstm"])
def test_networks(kind, num_layers, bias, dtype):
    module = network(kind, num_layers=num_layers, bias=bias, dtype=dtype)
    assert_same(from_state_dict(module.state_dict(), nonlinearity=nonlinearity_of(kind)), from_module(module))


@pytest.mark.parametrize("kind", ["tanh", "relu", "gru", "lstm"])
def test_cells(kind):
    module = cell(kind)
    assert_same(from_state_dict(module.state_dict(), nonlinearity=nonlinearity_of(kind)), from_module(module))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, M)
        self.net = nn.ModuleDict({"rnn": nn.GRU(M, H, num_layers=2)})
        self.head = nn.Linear(H, 2)


@pytest.mark.parametrize("nested", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_files_of_torch(tmp_path, suffix, nested):
    model = Model()
    weights = model.state_dict()
    path = tmp_path / f"model{suffix}"
    torch.save(weights if nested is None else {"epoch": 3, nested: weights, "optimizer": {"lr": 0.1}}, path)
    for source in (path, str(path)):
        system = from_state_dict(source)
        assert_same(system, from_module(model, submodule="net.rnn"))
    assert system.step.description == "GRU, 2 layers of 4 units, 3 inputs (keys under 'net.rnn.')"


def test_safetensors(tmp_path):
    model = Model()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    assert_same(from_state_dict(tmp_path / "model.safetensors"), from_module(model, submodule="net.rnn"))


def test_weights_are_copies():
    weights = nn.GRU(M, H).state_dict()
    system = from_state_dict(weights)
    weights["weight_hh_l0"].zero_()
    assert bool(system.params[0].W_hh.any())


def test_a_spectrum_of_a_file(tmp_path):
    module = nn.LSTM(M, H)
    torch.save(module.state_dict(), tmp_path / "lstm.pt")
    inputs = np.random.default_rng(0).standard_normal((2, 25, M))
    runs = [
        dynet.lyapunov_spectrum(system, None, 20, n_transient=5, inputs=inputs)
        for system in (from_state_dict(tmp_path / "lstm.pt"), from_module(module))
    ]
    np.testing.assert_array_equal(*(run.lyapunov_exponent.values for run in runs))


class TestSeveral:
    weights = nn.ModuleDict({"net": nn.ModuleDict({"rnn": nn.GRU(M, H)}), "enc": nn.LSTM(M, H)}).state_dict()

    def test_a_prefix_is_asked_for(self):
        message = r"found GRU keys under 'net.rnn.' and LSTM keys under 'enc.'; pass prefix="
        with pytest.raises(InputError, match=message):
            from_state_dict(self.weights)

    @pytest.mark.parametrize("prefix", ["net.rnn.", "net.rnn", "net"])
    def test_a_prefix_picks(self, prefix):
        description = from_state_dict(self.weights, prefix=prefix).step.description
        assert description == "GRU, 1 layer of 4 units, 3 inputs (keys under 'net.rnn.')"

    @pytest.mark.parametrize("prefix", ["rnn", "", "n"])
    def test_a_prefix_without_network(self, prefix):
        with pytest.raises(InputError, match=f"prefix='{prefix}': no recurrent network there; found GRU"):
            from_state_dict(self.weights, prefix=prefix)

    def test_a_prefix_of_several(self):
        weights = nn.ModuleDict({"cells": nn.ModuleList([cell("gru"), cell("gru")])}).state_dict()
        with pytest.raises(InputError, match=r"found GRU keys under 'cells.0.' and GRU keys under 'cells.1.'"):
            from_state_dict(weights, prefix="cells")
        from_state_dict(weights, prefix="cells.1")

    def test_the_top(self):
        weights = {**nn.GRU(M, H).state_dict(), "decoder.weight_hh_l0": torch.zeros(H, H)}
        assert from_state_dict(weights, prefix="").step.description == "GRU, 1 layer of 4 units, 3 inputs"


class TestRefusals:
    def test_nonlinearity(self):
        weights = nn.RNN(M, H).state_dict()
        with pytest.raises(InputError, match="is an RNN, whose weights do not tell: give nonlinearity="):
            from_state_dict(weights)
        with pytest.raises(InputError, match=r'nonlinearity=.sin.: give one of "tanh", "relu"'):
            from_state_dict(weights, nonlinearity="sin")
        with pytest.raises(InputError, match="the network is a GRU, which has none to choose"):
            from_state_dict(nn.GRU(M, H).state_dict(), nonlinearity="tanh")

    def test_bidirectional(self):
        with pytest.raises(InputError, match=r"bidirectional.*_reverse"):
            from_state_dict(nn.GRU(M, H, bidirectional=True).state_dict())

    def test_the_ways_out_of_bidirectional(self):
        weights = nn.GRU(M, H, bidirectional=True).state_dict()
        backward = {name.removesuffix("_reverse"): w for name, w in weights.items() if name.endswith("_reverse")}
        forward = {name: w for name, w in weights.items() if not name.endswith("_reverse")}
        assert torch.equal(from_state_dict(forward).params[0].W_hh, weights["weight_hh_l0"])
        assert torch.equal(from_state_dict(backward).params[0].W_hh, weights["weight_hh_l0_reverse"])

    def test_projection(self):
        with pytest.raises(InputError, match="weight_hr"):
            from_state_dict(nn.LSTM(M, H, proj_size=2).state_dict())

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ({}, "its keys are none with a tensor"),
            ({"a": 1}, "none with a tensor"),
            (nn.Linear(2, 2).state_dict(), "none of the known networks: its keys are weight, bias; expected"),
            (nn.TransformerEncoderLayer(4, 2).state_dict(), "its keys are .*, \\.\\.\\.; expected weight_hh_l0"),
            (3, "source=3: give a state dict"),
            ([1], "give a state dict"),
            (nn.GRU(M, H), "a module goes to from_module"),
        ],
    )
    def test_what_is_no_network(self, source, message):
        with pytest.raises(InputError, match=message):
            from_state_dict(source)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"weight_hh_l0": torch.zeros(5, 3)}, r"weight_hh of layer 0 .* has shape \(5, 3\)"),
            ({"weight_hh_l0": torch.zeros(5)}, r"has shape \(5,\)"),
            ({"weight_hh_l1": torch.zeros(4, 4)}, r"weight_hh of layer 1 .* shape \(4, 4\): expected \(12, 4\)"),
            ({"weight_ih_l1": torch.zeros(12, 5)}, r"weight_ih of layer 1 .* shape \(12, 5\): expected \(12, 4\)"),
            ({"bias_hh_l0": torch.zeros(4)}, r"bias_hh of layer 0 .* expected \(12,\)"),
            ({"weight_ih_l0": None}, "weight_ih of layer 0 under '' is missing"),
            ({"weight_hh_l0": None, "weight_ih_l0": None}, "weight_hh and weight_ih of layer 0"),
            ({"bias_ih_l1": torch.full((12,), torch.inf)}, "bias_ih of layer 1 is not finite"),
            ({"weight_hh_l0": torch.zeros(12, 4, dtype=torch.float16)}, "torch.float16: .*tensor.float"),
            ({"weight_hh_l0": torch.zeros(12, 4, dtype=torch.int8)}, "torch.int8"),
            ({"weight_hh_l0": torch.zeros(12, 4, dtype=torch.float64)}, "torch.float32 on cpu and torch.float64"),
        ],
    )
    def test_weights_that_do_not_fit(self, changes, message):
        weights = {**nn.GRU(M, H, num_layers=2).state_dict(), **changes}
        with pytest.raises(InputError, match=message):
            from_state_dict({name: w for name, w in weights.items() if w is not None})

    def test_computed_weights(self):
        for change in (
            lambda module: parametrizations.weight_norm(module, "weight_hh_l0"),
            lambda module: prune.random_unstructured(module, "weight_hh_l0", 0.5),
        ):
            module = nn.GRU(M, H)
            change(module)
            with pytest.raises(InputError, match=r"parametrised or pruned.*from_module"):
                from_state_dict({f"rnn.{name}": tensor for name, tensor in module.state_dict().items()})

    def test_prefix_that_is_no_text(self):
        with pytest.raises(InputError, match="prefix=3"):
            from_state_dict(nn.GRU(M, H).state_dict(), prefix=3)


class TestFiles:
    @pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
    def test_missing(self, tmp_path, suffix):
        with pytest.raises(InputError, match="the file does not exist"):
            from_state_dict(tmp_path / f"model{suffix}")

    def test_folder(self, tmp_path):
        with pytest.raises(InputError, match="is a folder"):
            from_state_dict(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"hello this is text", b"\x80\x02garbage", b"PK\x03\x04"])
    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_damaged(self, tmp_path, suffix, content):
        path = tmp_path / f"model{suffix}"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"source='.*model\..*(damaged|no checkpoint|not a readable)"):
            from_state_dict(path)

    def test_truncated(self, tmp_path):
        path = tmp_path / "model.pt"
        torch.save(nn.GRU(M, H).state_dict(), path)
        path.write_bytes(path.read_bytes()[:-500])
        with pytest.raises(InputError, match="is damaged or no checkpoint"):
            from_state_dict(path)

    def test_pickled_modules_are_refused(self, tmp_path):
        path = tmp_path / "model.pt"
        torch.save(nn.GRU(M, H), path)
        message = r"holds pickled objects.*for safety only tensors are loaded.*torch.save\(model.state_dict\(\), path\)"
        with pytest.raises(InputError, match=message):
            from_state_dict(path)

    def test_nothing_is_run(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return (tmp_path / "trapped").mkdir, ()

        for name, write in (("plain.pt", pickle.dump), ("zip.pt", torch.save)):
            with (tmp_path / name).open("wb") as file:
                write({"weight_hh_l0": Trap()}, file)
            with pytest.raises(InputError):
                from_state_dict(tmp_path / name)
        assert not (tmp_path / "trapped").exists()
