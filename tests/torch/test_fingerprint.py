"""Fingerprints of torch modules and of the systems made of them."""

import pickle

import numpy as np
import pytest
import torch

import dynet
from dynet.systems.digests import Digests
from dynet.systems.fingerprint import fingerprint

W = np.random.default_rng(0).standard_normal((3, 3))


def digest_of(value):
    """The digest of any value, as a part of a system."""
    digests = Digests()
    digest = digests.of("value", value)
    assert digests.unknown == []
    return digest


class Net(torch.nn.Module):
    def __init__(self, gain=0.5, activation=None, buffer=1.0):
        super().__init__()
        self.input_size, self.hidden_size, self._gain = 2, 3, gain
        self.layer = torch.nn.Linear(5, 3)
        self.activation = torch.nn.Tanh() if activation is None else activation
        self.register_buffer("shift", torch.full((3,), buffer), persistent=False)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(0.1)

    def forward(self, u, h):
        return self.activation(self.layer(torch.cat([u, h], -1)) * self._gain + self.shift)


def net(**changes):
    module = Net(**changes).eval()
    return module


def hooked():
    module = net()
    module.layer.register_forward_hook(lambda module, inputs, output: 2 * output)
    return module


def _scaled(module):
    with torch.no_grad():
        module.layer.weight.mul_(1.5)
    return module


def _seeded(kind, seed, **options):
    torch.manual_seed(seed)
    return kind(2, 3, **options)


# pairs of makers: each made twice is equal, the two differ
DIFFERENT = {
    "tensors": (lambda: torch.tensor(W), lambda: torch.tensor(-W)),
    "tensors and arrays": (lambda: torch.tensor(W), lambda: W),
    "short tensors": (lambda: torch.ones(2).bfloat16(), lambda: torch.ones(2).bfloat16() * 2),
    "sparse tensors": (lambda: torch.eye(2).to_sparse(), lambda: 2 * torch.eye(2).to_sparse()),
    "weights of modules": (net, lambda: _scaled(net())),
    "hidden settings of modules": (net, lambda: net(gain=0.6)),
    "buffers that are not saved": (net, lambda: net(buffer=2.0)),
    "parts of modules": (net, lambda: net(activation=torch.nn.ReLU())),
    "settings of parts": (
        lambda: net(activation=torch.nn.Softplus(1.0)),
        lambda: net(activation=torch.nn.Softplus(2.0)),
    ),
    "modes of modules": (net, lambda: net().train()),
    "hooks of modules": (net, hooked),
    "recurrent modules": (lambda: _seeded(torch.nn.RNN, 0), lambda: _seeded(torch.nn.RNN, 1)),
    "kinds of recurrent modules": (
        lambda: _seeded(torch.nn.RNN, 0),
        lambda: _seeded(torch.nn.RNN, 0, nonlinearity="relu"),
    ),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_digests_tell_what_differs_and_only_that(what):
    one, other = DIFFERENT[what]
    assert digest_of(one()) == digest_of(one())
    assert digest_of(other()) == digest_of(other())
    assert digest_of(one()) != digest_of(other())


def systems():
    """Systems of every kind, made anew."""
    gru = _seeded(torch.nn.GRU, 0)
    return {
        "GRU, torch form, from torch": dynet.torch.from_module(gru),
        "GRU, torch form, encoded": dynet.torch.from_module(gru, encode=torch.nn.Linear(4, 2)),
        "cell Net, state h (3)": dynet.torch.from_module(net()),
        "vector field Linear": dynet.torch.from_vector_field(torch.nn.Linear(3, 3)),
    }


def test_systems_have_names_and_one_fingerprint_each():
    found = {name: fingerprint(system) for name, system in systems().items()}
    again = {name: fingerprint(system) for name, system in systems().items()}
    for name, print_ in found.items():
        assert name.startswith(print_.name)
        assert print_ == again[name]
        assert print_.unknown == ()
    assert len({print_.digest for print_ in found.values()}) == len(found)


@pytest.mark.parametrize("name", [name for name in systems() if name != "<lambda>"])
def test_systems_that_were_pickled_keep_their_fingerprint(name):
    system = systems()[name]
    assert fingerprint(pickle.loads(pickle.dumps(system))) == fingerprint(system)


def test_an_analysis_leaves_the_fingerprint_as_it_was():
    cell = dynet.torch.from_cell(lambda u, h: torch.tanh(h), 3)
    assert not cell.step.is_probed
    before = fingerprint(cell)
    dynet.lyapunov_spectrum(cell, np.full(3, 0.1), 20)
    assert cell.step.is_probed
    assert fingerprint(cell) == before
