"""Finite-time exponents: windows of known growth, independent growth, lost exponents."""

import numpy as np
import pytest

import dynet

finite_time = dynet.finite_time_exponents
TENT = dynet.lyapunov_spectrum(dynet.zoo.skew_tent(0.3), [0.4], 200_000, n_transient=10, qr_interval=1)
HENON_SPECTRUM = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 100)
HENON = dynet.covariant_vectors(dynet.zoo.henon(), [0.1, 0.1], 5_000, n_transient=200)


def test_windows_are_means_of_their_blocks():
    ds = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 1_010, qr_interval=1)
    block = float(ds.duration[0, 0])
    windows = finite_time(ds, 3 * block + 0.1)
    assert windows.attrs["duration"] == 3 * block
    growth = ds.growth.values[0]
    W = windows.sizes["window"]
    assert int((ds.duration.values[0] == block).sum() // 3) == W
    expected = growth[: 3 * W].reshape(W, 3, 2).sum(axis=1) / (3 * block)
    np.testing.assert_allclose(windows.finite_time_exponent[0], expected, rtol=1e-13)
    np.testing.assert_allclose(windows["mean"], expected.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(windows.variance, expected.var(axis=0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(windows.scaled_variance, windows.variance * 3 * block, rtol=1e-14)


@pytest.mark.parametrize("duration", [1_000, 2_000, 8_000])
def test_independent_growth_has_a_constant_scaled_variance(duration):
    windows = finite_time(TENT, duration)
    exact = 0.3 * 0.7 * np.log(0.7 / 0.3) ** 2
    error = float(windows.scaled_variance_error[0])
    assert abs(float(windows.scaled_variance[0]) - exact) < 3.5 * error
    # the error of a variance of W normal numbers is sqrt(2 / W) of it
    assert 0.5 < error / (exact * np.sqrt(2 / windows.attrs["n_windows"])) < 2
    assert abs(float(windows["mean"][0]) - 0.6108643020548935) < 4 * float(windows.standard_error[0])


def test_growth_along_vectors_and_of_the_frame_vary_alike_over_long_windows():
    spectrum = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 5_000, n_transient=200, qr_interval=1)
    along, frame = finite_time(HENON, 250), finite_time(spectrum, 250)
    assert along.attrs["growth"] != frame.attrs["growth"]
    np.testing.assert_allclose(along.finite_time_exponent[..., 0], frame.finite_time_exponent[..., 0], atol=1e-9)
    # they differ by the angles at the ends of the windows
    np.testing.assert_allclose(along.finite_time_exponent, frame.finite_time_exponent, atol=12 / 250)
    # a single step tells more about the local growth than a block of the spectrum
    assert finite_time(HENON, 1).sizes["window"] == 5_000


def test_constant_growth_has_no_variance_and_lost_exponents_none_either():
    linear = dynet.zoo.linear_map(np.diag([0.5, 0.25, 0.0]))
    ds = dynet.lyapunov_spectrum(linear, [1.0, 1.0, 1.0], 400, initial_frame=np.eye(3))
    windows = finite_time(ds, 40)
    np.testing.assert_allclose(windows["mean"], [np.log(0.5), np.log(0.25), -np.inf])
    np.testing.assert_allclose(windows.variance, 0.0, rtol=0, atol=1e-28)
    assert np.isneginf(windows.finite_time_exponent[..., 2]).all()
    assert not any(np.isnan(windows[name]).any() for name in windows.data_vars)


def test_sequences_of_unequal_length_end_in_nothing():
    random = np.random.default_rng(0)
    net = dynet.networks.tanh_rnn(random.standard_normal((3, 3)), random.standard_normal((3, 1)))
    ds = dynet.lyapunov_spectrum(net, None, 100, inputs=random.standard_normal((6, 100, 1)), lengths=[100] * 5 + [50])
    windows = finite_time(ds, 20)
    present = ~np.isnan(windows.finite_time_exponent[..., 0])
    np.testing.assert_array_equal(present.sum("window"), [5] * 5 + [2])
    values = windows.finite_time_exponent.values[present.values]
    np.testing.assert_allclose(windows["mean"], values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(windows.variance, values.var(axis=0, ddof=1), rtol=1e-12)
    assert np.isfinite(windows.variance_error).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: finite_time(3, 10), ["result='int'", "lyapunov_spectrum", "covariant_vectors"]),
        (lambda: finite_time(dynet.kaplan_yorke_dimension(HENON_SPECTRUM), 10), ["lyapunov_spectrum"]),
        (lambda: finite_time(TENT, 0), ["duration=0", "positive"]),
        (lambda: finite_time(TENT, "long"), ["duration='long'"]),
        (lambda: finite_time(TENT, 1), ["duration=1", "blocks of the run last 1000"]),
        (lambda: finite_time(TENT, 150_000), ["duration=150000", "the run lasts 200000", "two windows"]),
    ],
)
def test_what_cannot_be_used_is_named(call, words):
    with pytest.raises(dynet.InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
