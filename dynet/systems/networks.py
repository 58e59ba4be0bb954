"""Network systems: recurrent layers, rate networks and their flows, random and feedforward networks.

Weights may be numpy arrays or torch tensors; a list of weights stacks layers. All of them take batches of
states, and their Jacobians are operators.
"""

from dynet.systems.adaptive_networks import adaptive_rnn, frozen_controllers, isolated, with_drive
from dynet.systems.coupled_oscillators import cornn
from dynet.systems.deep_networks import feedforward
from dynet.systems.direct_sums import direct_sum
from dynet.systems.elman_networks import gamma_rnn, rate_network, relu_rnn, tanh_rnn
from dynet.systems.gated_networks import gru, gru_flow, lstm
from dynet.systems.random_networks import random_tanh, rotation_rnn

__all__ = [
    "adaptive_rnn",
    "cornn",
    "direct_sum",
    "feedforward",
    "frozen_controllers",
    "gamma_rnn",
    "gru",
    "gru_flow",
    "isolated",
    "lstm",
    "random_tanh",
    "rate_network",
    "relu_rnn",
    "rotation_rnn",
    "tanh_rnn",
    "with_drive",
]
