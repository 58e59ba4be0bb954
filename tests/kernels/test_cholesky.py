"""Tall frames by Cholesky factors: the growth is that of Householder's, and where it is not safe his takes over."""

import numpy as np
import pytest

from dynet.kernels.cholesky import CholeskyFrame, suits
from dynet.kernels.frames import make_frame
from dynet.kernels.householder import HouseholderFrame

N, K = 8192, 8


def grown(kind, V, steps):
    frame = kind(np.asfortranarray(V))
    for J in steps:
        frame.replace(np.asfortranarray(J(frame.basis())))
        frame.factor()
    return frame.collect(), frame.basis()


def mixer(random):
    """Return a well-conditioned linear map of frames that is cheap for many rows."""
    diagonal, shift = random.uniform(0.5, 2.0, N), int(random.integers(1, N))
    return lambda V: diagonal[:, None] * (V + 0.3 * np.roll(V, shift, axis=0))


def test_only_tall_frames_in_double_precision_are_factored_so():
    V = np.zeros((N, K))
    assert suits((N, K), V.dtype)
    assert type(make_frame("qr", V)) is CholeskyFrame
    assert type(make_frame("qr", V.astype(np.float32))) is not CholeskyFrame
    assert type(make_frame("qr", np.zeros((100, K)))) is HouseholderFrame


def test_growth_and_flag_are_householders():
    random = np.random.default_rng(0)
    V = np.linalg.qr(random.standard_normal((N, K)))[0]
    steps = [mixer(random) for _ in range(30)]
    growth, Q = grown(CholeskyFrame, V, steps)
    expected, reference = grown(HouseholderFrame, V, steps)
    np.testing.assert_allclose(growth, expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(Q, reference, rtol=0, atol=1e-10)
    np.testing.assert_allclose(Q.T @ Q, np.eye(K), rtol=0, atol=1e-13)


@pytest.mark.parametrize("spread", [1e-2, 1e-7, 1e-13])
def test_columns_that_are_nearly_dependent_are_told_apart(spread):
    random = np.random.default_rng(1)
    V = np.linalg.qr(random.standard_normal((N, K)))[0]
    bent = V @ (np.ones((K, K)) + spread * np.diag(np.arange(1.0, K + 1)))
    growth, Q = grown(CholeskyFrame, V, [lambda _: bent])
    expected, _ = grown(HouseholderFrame, V, [lambda _: bent])
    np.testing.assert_allclose(growth, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(Q.T @ Q, np.eye(K), rtol=0, atol=1e-10)


def test_what_is_lost_and_rows_of_zeros_are_kept_as_they_are():
    random = np.random.default_rng(2)
    V = np.linalg.qr(random.standard_normal((N, K)))[0]
    singular = np.diag([1.0] * (K - 1) + [0.0])
    growth, Q = grown(CholeskyFrame, V, [lambda V: V @ singular])
    assert np.isneginf(growth[-1])
    assert np.isfinite(growth[:-1]).all()
    assert not Q[:, -1].any()
    dead = (np.arange(N) % 3 > 0)[:, None]
    _, Q = grown(CholeskyFrame, V, [lambda V: dead * V])
    assert not Q[::3].any()
