"""Frames in single precision by sums in double precision: nearer to the truth than reflections, or left to them."""

import numpy as np
import pytest

from dynet.kernels.cholesky import CholeskyFrame
from dynet.kernels.frames import make_frame
from dynet.kernels.gram import GramFrame
from dynet.kernels.householder import HouseholderFrame

N, K, S = 96, 12, 5


def frames(ratio, seed=0):
    """Frames (sequence, n, k) in float32 whose singular values spread over a ratio."""
    random = np.random.default_rng(seed)
    left, right = (np.linalg.qr(random.standard_normal((S, *shape)))[0] for shape in ((N, K), (K, K)))
    return (left * np.geomspace(1.0, ratio, K) @ right).astype(np.float32)


def factored(V, kind=make_frame):
    frame = kind("qr", V) if kind is make_frame else kind(V)
    frame.factor()
    return frame, np.asarray(frame.basis(), float)


def test_only_single_precision_with_few_columns_is_factored_so():
    torch = pytest.importorskip("torch")
    assert type(make_frame("qr", frames(1.0))) is GramFrame
    assert type(make_frame("qr", torch.from_numpy(frames(1.0)))) is GramFrame
    for V in (frames(1.0).astype(float), np.zeros((96, 48), np.float32), np.zeros((8, 4), np.float32)):
        assert type(make_frame("qr", V)) is HouseholderFrame
    assert type(make_frame("qr", np.zeros((8192, 8)))) is CholeskyFrame


@pytest.mark.parametrize("as_torch", [False, True])
@pytest.mark.parametrize("ratio", [1.0, 1e-2, 1e-3])
def test_growth_is_that_of_double_precision(ratio, as_torch):
    V = frames(ratio)
    before = V.astype(float)
    frame, Q = factored(pytest.importorskip("torch").from_numpy(V) if as_torch else V)
    R = np.linalg.qr(before)[1]
    expected = np.log(np.abs(np.diagonal(R, axis1=1, axis2=2)))
    np.testing.assert_allclose(frame.collect(), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(Q.mT @ Q, np.broadcast_to(np.eye(K), (S, K, K)), rtol=0, atol=3e-7 / ratio)
    # the flag is the same, and what was given is left as it was
    np.testing.assert_allclose(np.tril(Q.mT @ before, -1), 0.0, rtol=0, atol=3e-7 / ratio)
    np.testing.assert_array_equal(V, before)


@pytest.mark.parametrize("ratio", [1e-5, 1e-9])
def test_columns_that_may_be_lost_are_left_to_reflections(ratio):
    V = frames(ratio)
    for ours, theirs in zip(factored(V), factored(V, HouseholderFrame), strict=True):
        a, b = (one if isinstance(one, np.ndarray) else one.collect() for one in (ours, theirs))
        np.testing.assert_array_equal(a, b)


def test_a_long_column_hides_no_short_pivots():
    V = frames(1.0)
    V[:, :, 1] = 1e6 * V[:, :, 0] + V[:, :, 1]  # pivots of equal size, but the second one has lost its digits
    np.testing.assert_array_equal(factored(V)[1], factored(V, HouseholderFrame)[1])


def test_rows_of_zeros_stay_so_and_what_is_not_finite_is_no_growth():
    V = frames(1e-2)
    V[1, 7:20] = 0.0
    assert not factored(V)[1][1, 7:20].any()
    V[2, 3, 4] = np.nan
    assert not np.isfinite(factored(V)[0].collect()).all()
