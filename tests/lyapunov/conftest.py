"""Exact answers to compare with: products in many digits, and the textbook loop."""

from contextlib import contextmanager

import mpmath
import numpy as np
import pytest

from dynet._labels import spectrum_dataset
from dynet.lyapunov import run as run_module


def _exact_growth(jacobians, frame, digits=120):
    """Return log diag R of J_T ... J_1 V in many digits: no step is factored, nothing is rounded away."""
    with mpmath.workdps(digits):
        product = mpmath.matrix(np.asarray(frame, float).tolist())
        for J in jacobians:
            product = mpmath.matrix(np.asarray(J, float).tolist()) * product
        n, k = product.rows, product.cols
        columns = [[product[i, j] for i in range(n)] for j in range(k)]
        growth = []
        for j in range(k):
            for earlier in columns[:j]:
                overlap = mpmath.fdot(earlier, columns[j])
                columns[j] = [a - overlap * b for a, b in zip(columns[j], earlier, strict=True)]
            length = mpmath.sqrt(mpmath.fdot(columns[j], columns[j]))
            growth.append(float(mpmath.log(length)) if length else -np.inf)
            columns[j] = [a / length for a in columns[j]] if length else columns[j]
        return np.array(growth)


def _textbook_growth(step, jacobian, x, frame, n_steps, inputs=None, dt=1.0, params=None):
    """Return the growth of every step, the last state and the last frame: one QR a step, by hand."""
    V, _ = np.linalg.qr(frame)
    V = V * np.sign(np.sum(V * frame, axis=0))
    rows = []
    for k in range(n_steps):
        u = np.empty(0) if inputs is None else inputs[k]
        J = np.asarray(jacobian(k * dt, x, u, params))
        x = np.asarray(step(k * dt, x, u, params))
        Q, R = np.linalg.qr(J @ V)
        signs = np.where(np.diag(R) < 0, -1.0, 1.0)
        V = Q * signs
        with np.errstate(divide="ignore"):
            rows.append(np.log(np.abs(np.diag(R))))
    return np.array(rows), x, V


def _made(exponents, errors=None, *, degrees=np.inf, n=None, blocks=None, time_unit="step", dt=1.0, attrs=None):
    """A spectrum with these exponents and error bars; blocks (block, exponent) may be given instead.

    Otherwise growth swings around the exponent, so that it neither drifts nor is correlated.
    """
    exponents = np.asarray(exponents, float)
    k = exponents.size
    errors = np.zeros(k) if errors is None else np.asarray(errors, float)
    swing = np.sqrt(50) * np.where(np.isfinite(errors), errors, 0.0)
    growth = np.tile([exponents - swing, exponents + swing], (25, 1)) if blocks is None else np.asarray(blocks, float)
    growth = growth[None]
    durations = np.ones(growth.shape[:2])
    n = k if n is None else n
    return spectrum_dataset(
        growth=growth,
        durations=durations,
        times=np.arange(1.0, growth.shape[1] + 1),
        exponents=exponents,
        standard_error=errors,
        degrees_of_freedom=np.full(k, float(degrees)),
        sequence_exponents=exponents[None],
        running=np.cumsum(growth, axis=1) / np.arange(1, growth.shape[1] + 1)[:, None],
        final_state=np.zeros((1, n)),
        units={"unit": [str(i) for i in range(n)]},
        time_unit=time_unit,
        attrs={"dt": dt, "time_unit": time_unit, "state": "full", "initial_frame": "given", **(attrs or {})},
    )


@contextmanager
def _stopped_in_block(number):
    """Ctrl-C in block ``number`` of all that the engines advance, when much of the block is already computed."""
    made = run_module.make_engine
    left = [number]

    def make(problem):
        engine = made(problem)
        advance = engine.advance

        def watched(first, n_steps):
            if left[0] == 0:
                advance(first, n_steps - n_steps // 3)
                raise KeyboardInterrupt
            left[0] -= 1
            return advance(first, n_steps)

        engine.advance = watched
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "make_engine", make)
        yield


@pytest.fixture(scope="session")
def stopped_in_block():
    return _stopped_in_block


@pytest.fixture(scope="session")
def made():
    return _made


@pytest.fixture(scope="session")
def exact_growth():
    return _exact_growth


@pytest.fixture(scope="session")
def textbook_growth():
    return _textbook_growth
