"""Compiled functions that several tests take: the loops around a function are compiled anew for every other one."""

import numpy as np
from numba import njit


@njit
def henon_step(t, x, u, p):
    return 1.0 - 1.4 * x[0] * x[0] + x[1], 0.3 * x[0]


@njit
def henon_pair(t, x, u, p):
    return (1.0 - 1.4 * x[0] * x[0] + x[1], 0.3 * x[0]), ((-2.8 * x[0], 1), (0.3, 0))


@njit
def recorded_step(t, x, u, p):
    """Step linearly by the Jacobians (time, n, n) that are the parameters."""
    J = p[round(t) % p.shape[0]]
    y = np.zeros_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[0]):
            y[i] += J[i, j] * x[j]
    return y


@njit
def recorded_jac(t, x, u, p):
    return p[round(t) % p.shape[0]]


@njit
def network_step(t, x, u, p):
    return np.tanh(p @ x)


@njit
def network_jac(t, x, u, p):
    y = np.tanh(p @ x)
    return (1 - y * y).reshape(-1, 1) * p


@njit
def driven_step(t, x, u, p):
    return np.tanh(1.5 * x[0] - x[1] + u[0]), np.tanh(x[0] + 0.5 * x[1] + 0.1 * np.cos(t))


@njit
def driven_jac(t, x, u, p):
    a, b = np.tanh(1.5 * x[0] - x[1] + u[0]), np.tanh(x[0] + 0.5 * x[1] + 0.1 * np.cos(t))
    return (1.5 * (1 - a * a), -(1 - a * a)), (1 - b * b, 0.5 * (1 - b * b))


@njit
def flat_step(t, x, u, p):
    """Stay where the first unit is above a half: the map is flat there."""
    return (0.5 * x[0] if x[0] < 0.5 else 0.6), 0.5 * x[1]


@njit
def flat_jac(t, x, u, p):
    return ((0.5 if x[0] < 0.5 else 0.0), 0.0), (0.0, 0.5)


@njit
def late_step(t, x, u, p):
    """Contract slowly for 200 steps, then by ``p``."""
    return 0.5 * x[0], (0.99 if t < 200 else p) * x[1]


@njit
def late_jac(t, x, u, p):
    return (0.5, 0.0), (0.0, 0.99 if t < 200 else p)


@njit
def triangular_step(t, x, u, p):
    return p[0] * x[0], p[1] * x[1]


@njit
def triangular_jac(t, x, u, p):
    return (p[0], p[2]), (0.0, p[1])
