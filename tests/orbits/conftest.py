"""Flows whose cycles are known, and their cycles, found once."""

import numpy as np
import pytest

import dynet


def brusselator(t, x, u, p):
    return np.array([1 + x[0] ** 2 * x[1] - 4 * x[0], 3 * x[0] - x[0] ** 2 * x[1]])


def brusselator_jacobian(t, x, u, p):
    return np.array([[2 * x[0] * x[1] - 4, x[0] ** 2], [3 - 2 * x[0] * x[1], -(x[0] ** 2)]])


def neuron(t, x, u, p):
    return np.array([x[0] - x[0] ** 3 / 3 - x[1] + 0.5, 0.08 * (x[0] + 0.7 - 0.8 * x[1])])


def neuron_jacobian(t, x, u, p):
    return np.array([[1 - x[0] ** 2, -1], [0.08, -0.064]])


def gru_weights():
    c, s = 3 * np.cos(0.5), 3 * np.sin(0.5)
    return np.concatenate([np.zeros((4, 2)), [[c, -s], [s, c]]])


FLOWS = {
    # name: flow, start, period, ln mu_2
    "van der Pol 1": (dynet.zoo.van_der_pol(1.0), [2.0, 0.0], 6.6632868593231, np.log(0.0008596950636)),
    "van der Pol 5": (dynet.zoo.van_der_pol(5.0), [2.0, 0.0], 11.6122306677196, -85.4520185449),
    "van der Pol 10": (dynet.zoo.van_der_pol(10.0), [2.0, 0.0], 19.078369566939, -311.8442192862),
    "Brusselator": (
        dynet.Flow(brusselator, brusselator_jacobian),
        [1.0, 1.0],
        7.1569199211799,
        np.log(0.00025163757999),
    ),
    "FitzHugh-Nagumo": (dynet.Flow(neuron, neuron_jacobian), [0.0, 0.0], 39.4744149802417, -38.3112639968),
    "Stuart-Landau": (
        dynet.zoo.stuart_landau(0.3, 1.5, 0.4),
        [0.5, 0.0],
        2 * np.pi / (1.5 - 0.4 * 0.3),
        -2 * 0.3 * 2 * np.pi / (1.5 - 0.4 * 0.3),
    ),
    "tanh network": (
        dynet.networks.rotation_rnn(1.5, 0.5, form="flow"),
        [0.3, 0.1],
        11.837013183489,
        np.log(0.005807117928),
    ),
    "GRU": (
        dynet.networks.gru_flow(gru_weights(), form="paper"),
        [0.3, 0.1],
        23.674026366978,
        np.log(0.005807117928),
    ),
}


@pytest.fixture(scope="session")
def cycles():
    """Return flow, period, ln mu_2 and cycle by name, each cycle found on first use."""
    known = {}

    def find(name):
        if name not in known:
            flow, x0, period, log_modulus = FLOWS[name]
            known[name] = flow, period, log_modulus, dynet.find_limit_cycle(flow, x0)
        return known[name]

    return find
