"""What makes fits fast agrees with what is slow: templates, products without the slow stimulus, windows."""

import numpy as np
import pytest
from scipy import signal

from dynet.fractional.alternatives import _slow_products, centred
from dynet.fractional.forward import Held
from dynet.fractional.profile import chebyshev, nodes, series
from dynet.fractional.records import Records
from dynet.fractional.templates import Templates
from dynet.fractional.windows import end_of_step
from dynet.kernels.fractional import causal_derivative

RANDOM = np.random.default_rng(0)
WALKS = np.cumsum(RANDOM.standard_normal((3, 300)), axis=1)
Y = RANDOM.standard_normal((3, 250))
Y -= Y.mean(axis=1, keepdims=True)
WINDOW = slice(20, 270)


def relative(found, expected):
    return np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)


@pytest.mark.parametrize(("lower", "upper"), [(-1.0, 1.0), (1.0, 3.0), (-3.0, -1.0), (-0.2, 0.1)])
@pytest.mark.parametrize(("stimuli", "accuracy"), [(WALKS, 1e-7), (WALKS[:1], 1e-9)])
def test_templates_and_their_products(lower, upper, stimuli, accuracy):
    templates = Templates(Records(WALKS, stimuli, 1.0, WINDOW), lower, upper, centred=True)
    yt, tt = (series(x) for x in templates.products(Y))
    for a in np.linspace(lower, upper, 7):
        exact = causal_derivative(stimuli, np.asarray(a), templates.unit)[:, WINDOW]
        mean = exact.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(
            templates.means_at(np.full(3, a)), np.broadcast_to(mean[:, 0], 3), rtol=10 * accuracy
        )
        exact = exact - mean
        gain = np.array([1.0, -2.0, 0.5])
        found = templates.at(np.full(3, a), gain) / gain[:, None]
        assert relative(found, np.broadcast_to(exact, Y.shape)).max() < accuracy
        basis = chebyshev(np.array([a]), lower, upper, yt.shape[-1])
        squares = np.sum(exact**2, axis=1)
        np.testing.assert_allclose((tt @ basis)[:, 0], squares, rtol=10 * accuracy)
        expected = np.sum(Y * exact, axis=1)
        scale = np.linalg.norm(Y, axis=1) * np.sqrt(squares)
        assert np.abs((yt @ basis)[:, 0] - expected).max() < 10 * accuracy * scale.max()


def test_stimuli_far_from_zero_lose_no_digits():
    far = WALKS + 1e6
    templates = Templates(Records(WALKS, far, 1.0, WINDOW), -1.0, 1.0, centred=True)
    _, tt = (series(x) for x in templates.products(Y))
    for a in (-0.5, 0.0, 0.4):
        exact = causal_derivative(far, np.asarray(a), templates.unit)[:, WINDOW]
        squares = np.sum((exact - exact.mean(axis=1, keepdims=True)) ** 2, axis=1)
        found = (tt @ chebyshev(np.array([a]), -1.0, 1.0, tt.shape[-1]))[:, 0]
        # interpolation is exact relative to the whole of a template
        error = 1e-7 * np.linalg.norm(exact, axis=1) * np.sqrt(squares) + 1e-14 * np.sum(exact**2, axis=1)
        assert (np.abs(found - squares) < error).all()


@pytest.mark.parametrize("offset", [None, 0.3])
def test_products_with_a_slow_stimulus(offset):
    records = Records(np.pad(Y, ((0, 0), (20, 30))), WALKS, 1.0, WINDOW)
    held = Held(offset=offset)
    given = centred(records, held)
    y, s = given.y, given.s
    kept = np.exp(-np.exp(-nodes(0, np.log(300), 9)))
    found = _slow_products(given, kept)
    for j, keep in enumerate(kept):
        q = signal.lfilter([1 - keep], [1, -keep], WALKS)[:, WINDOW]
        q = q - q.mean(axis=1, keepdims=True) if offset is None else q
        for products, a, b in zip(found, (y, q, s), (q, q, q), strict=True):
            scale = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
            assert np.abs(products[:, j] - np.sum(a * b, axis=1)).max() < 1e-10 * scale.max()


def test_ends_of_steps():
    rows = np.array([
        [0, 0, 1, 1, 0, 0],  # there and back
        [0, 0, 1, 1, 1, 1],  # stays
        [1, 1, 1, 0, 0, 0],  # on from the first sample
        [0, 0, 1, 1, 2, 2],  # elsewhere
        [2, 2, 2, 2, 2, 2],
        [0, 1, 0, 1, 0, 0],
        [2, 2, 1, 1, 1, 1],  # down, but not to zero
    ], dtype=float)  # fmt: skip
    assert end_of_step(rows).tolist() == [4, 6, 3, -1, 6, -1, 6]
