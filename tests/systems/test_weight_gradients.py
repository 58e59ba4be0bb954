"""Derivatives of networks with respect to their weights against differences of the step itself."""

import numpy as np
import pytest

import dynet
from dynet.systems.parameters import flattened, parameter_names, replaced

networks, RNG = dynet.networks, np.random.default_rng(0)
N, M = 3, 2


def weights(gates, *, inputs=M, biases=True):
    G = gates * N
    return (
        RNG.normal(size=(G, N)),
        RNG.normal(size=(G, inputs)),
        *((RNG.normal(size=G), RNG.normal(size=G)) if biases else ()),
    )


def two_layers(gates):
    return [list(pair) for pair in zip(weights(gates), weights(gates, inputs=N), strict=True)]


def gamma():
    W_hh, W_xh, b, _ = weights(1)
    return networks.gamma_rnn(W_hh, W_xh, b, n=np.array([1.0, 2.0, 5.0]), s=0.3)


SYSTEMS = {
    "tanh": lambda: networks.tanh_rnn(*weights(1)[:3]),
    "tanh without bias": lambda: networks.tanh_rnn(*weights(1, biases=False)),
    "two layers": lambda: networks.tanh_rnn(*two_layers(1)[:3]),
    "inside": lambda: networks.rate_network(*weights(1)[:3], tau=0.7, form="inside"),
    "outside": lambda: networks.rate_network(*weights(1)[:3], tau=2.0, form="outside"),
    "gamma": gamma,
    "GRU, torch": lambda: networks.gru(*weights(3), form="torch"),
    "GRU, gated-product": lambda: networks.gru(*weights(3), form="gated-product"),
    "GRU, paper": lambda: networks.gru(*weights(3), form="paper"),
    "GRU flow": lambda: networks.gru_flow(*weights(3), form="paper"),
    "two GRU": lambda: networks.gru(*two_layers(3)),
    "LSTM": lambda: networks.lstm(*weights(4)),
    "two LSTM": lambda: networks.lstm(*two_layers(4)),
    "rotation": lambda: networks.rotation_rnn(1.5, 0.5, form="flow"),
    "slow random": lambda: networks.random_tanh(N, 1.5, delta=0.3, rng=0),
}


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_against_differences_of_the_step(name):
    system = SYSTEMS[name]()
    function = system.step if isinstance(system, dynet.Map) else system.rhs
    n = system.like.shape[0]
    x, u = RNG.normal(size=n), RNG.normal(size=M)
    u = u if getattr(function, "n_channels", lambda p: 0)(system.params) else u[:0]
    J = system.jac_params(0.0, x, u, system.params)
    base = flattened(system.params)
    assert J.shape == (n, len(base)) == (n, len(parameter_names(system.params)))
    h = 1e-6
    columns = []
    for e in h * np.eye(len(base)):
        above, below = (function(0.0, x, u, replaced(system.params, base + step)) for step in (e, -e))
        columns.append((above - below) / (2 * h))
    np.testing.assert_allclose(J.assemble(), np.stack(columns, axis=1), atol=3e-9)
    W, V = RNG.normal(size=(n, 2)), RNG.normal(size=(len(base), 2))
    np.testing.assert_allclose(J.transpose() @ W, J.assemble().T @ W, atol=1e-13)
    np.testing.assert_allclose(J @ V, J.assemble() @ V, atol=1e-13)


def test_a_large_network_has_no_room_for_all_sensitivities():
    system = networks.random_tanh(80, 1.5, rng=0)
    with pytest.raises(dynet.InputError, match="take gradient"):
        dynet.sensitivity(system, np.zeros(80) + 0.1, 400)
    ds = dynet.gradient(system, np.zeros(80) + 0.1, 5, terminal=lambda x: (x[0], np.eye(80)[0]))
    assert ds.sizes["param"] == 6400
