"""What several properties are tried on."""

import numpy as np
import pytest
from numba import njit


@njit
def recorded_step(t, x, u, p):
    J = p[round(t) % p.shape[0]]
    y = np.zeros_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[0]):
            y[i] += J[i, j] * x[j]
    return y


@njit
def recorded_jacobian(t, x, u, p):
    return p[round(t) % p.shape[0]]


@pytest.fixture(scope="session")
def recorded():
    """Return step and Jacobian of a compiled linear map whose parameters are its Jacobians (time, n, n)."""
    return recorded_step, recorded_jacobian
