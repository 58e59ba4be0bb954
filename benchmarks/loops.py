"""Loops that people write by hand, against which dynet is measured, and the packages that do the same work."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numba import njit

HAVE_PYNAMICALSYS = find_spec("pynamicalsys") is not None
HAVE_LYAPYNOV = find_spec("lyapynov") is not None


@njit(error_model="numpy")
def henon_in_numba(x: float, y: float, a: float, b: float, n_steps: int) -> tuple[float, float]:
    """Hénon with Gram-Schmidt in every step, written out."""
    q00, q10, q01, q11 = 1.0, 0.0, 0.0, 1.0
    first, second = 0.0, 0.0
    for _ in range(n_steps):
        slope = -2 * a * x
        x, y = 1 - a * x * x + y, b * x
        v00, v10 = slope * q00 + q10, b * q00
        v01, v11 = slope * q01 + q11, b * q01
        length = np.sqrt(v00 * v00 + v10 * v10)
        q00, q10 = v00 / length, v10 / length
        overlap = q00 * v01 + q10 * v11
        v01, v11 = v01 - overlap * q00, v11 - overlap * q10
        width = np.sqrt(v01 * v01 + v11 * v11)
        q01, q11 = v01 / width, v11 / width
        first += np.log(length)
        second += np.log(width)
    return first / n_steps, second / n_steps


def pynamicalsys_henon(x0: list[float], a: float, b: float, n_steps: int, method: str) -> np.ndarray:
    """pynamicalsys' own Hénon map; its default method "QR" is Gram-Schmidt in every step."""
    from pynamicalsys import DiscreteDynamicalSystem

    system = DiscreteDynamicalSystem(model="henon map")
    return np.asarray(system.lyapunov(x0, n_steps, parameters=[a, b], method=method))


def pynamicalsys_lorenz(x0: list[float], params: list[float], dt: float, n_steps: int) -> np.ndarray:
    """pynamicalsys' own Lorenz system: Runge-Kutta of order four with its tangent, Gram-Schmidt in every step."""
    from pynamicalsys import ContinuousDynamicalSystem

    system = ContinuousDynamicalSystem(model="lorenz system")
    system.integrator("rk4", time_step=dt)
    return np.asarray(system.lyapunov(x0, n_steps * dt, parameters=params, endpoint=False))


def numpy_loop(W: np.ndarray, x: np.ndarray, Q: np.ndarray, n_steps: int) -> np.ndarray:
    """The loop that everybody writes first for a tanh network: dense Jacobian, np.linalg.qr in every step."""
    total = np.zeros(Q.shape[1])
    for _ in range(n_steps):
        x = np.tanh(W @ x)
        Q, R = np.linalg.qr(((1 - x**2)[:, None] * W) @ Q)
        total += np.log(np.abs(R.diagonal()))
    return total / n_steps


def lyapynov_rnn(W: np.ndarray, x: np.ndarray, n_steps: int) -> np.ndarray:
    """The same network in lyapynov, which starts with the unit matrix as its frame."""
    import lyapynov

    def step(x: np.ndarray, t: float) -> np.ndarray:
        return np.tanh(W @ x)

    def jac(x: np.ndarray, t: float) -> np.ndarray:
        return (1 - np.tanh(W @ x) ** 2)[:, None] * W

    system = lyapynov.DiscreteDS(x, 0, step, jac)
    return np.asarray(lyapynov.LCE(system, len(x), 0, n_steps, False))


def torch_lstm(W_hh: Any, W_xh: Any, inputs: Any, Q: Any) -> Any:
    """An LSTM's full state by torch alone: every column by forward differentiation, torch.linalg.qr in every step."""
    import torch

    n = W_hh.shape[1]

    def step(state: Any, u: Any) -> Any:
        i, f, g, o = (W_hh @ state[:n] + W_xh @ u).chunk(4)
        c = f.sigmoid() * state[n:] + i.sigmoid() * g.tanh()
        return torch.cat([o.sigmoid() * c.tanh(), c])

    state = torch.zeros(2 * n, dtype=W_hh.dtype)
    total = torch.zeros(Q.shape[1], dtype=W_hh.dtype)
    for u in inputs:
        here = state

        def tangent(v: Any, here: Any = here, u: Any = u) -> Any:
            return torch.func.jvp(lambda s: step(s, u), (here,), (v,))[1]

        V = torch.func.vmap(tangent, in_dims=1, out_dims=1)(Q)
        state = step(state, u)
        Q, R = torch.linalg.qr(V)
        total += R.diagonal().abs().log()
    return total / len(inputs)
