"""The tanh network with gain and angle as its two parameters."""

import numpy as np
import pytest

import dynet


def _rotation(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def rhs(t, x, u, p):
    return -x + np.tanh(p[0] * _rotation(p[1]) @ x)


def jac(t, x, u, p):
    W = p[0] * _rotation(p[1])
    return -np.eye(2) + (1 - np.tanh(W @ x) ** 2)[:, None] * W


def jac_params(t, x, u, p):
    R = _rotation(p[1])
    slope = 1 - np.tanh(p[0] * R @ x) ** 2
    turned = _rotation(p[1] + np.pi / 2)
    return np.stack([slope * (R @ x), slope * (p[0] * turned @ x)], axis=1)


@pytest.fixture(scope="session")
def tanh_flow():
    return dynet.Flow(rhs, jac, params=np.array([1.5, 0.5]), jac_params=jac_params)


@pytest.fixture(scope="session")
def tanh_map():
    return dynet.Map(
        lambda t, x, u, p: np.tanh(p @ x + u),
        lambda t, x, u, p: (1 - np.tanh(p @ x + u) ** 2)[:, None] * p,
        params=np.random.default_rng(3).normal(size=(3, 3)),
        jac_params=lambda t, x, u, p: np.kron(np.diag(1 - np.tanh(p @ x + u) ** 2), x[None, :]),
    )
