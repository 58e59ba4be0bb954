"""Error bars hold the truth as often as they say, on growth and on systems whose exponents are known on paper."""

import numpy as np
import pytest
from scipy import special
from scipy.signal import lfilter

import dynet
from dynet.lyapunov.convergence import error_bars, interval_factor

SERIES = 1_500  # the share that holds the truth scatters by 1.2 % at 68 % then, 0.6 % at 95 %


def correlated(random, B, time, size):
    """Return AR(1) series (B, size) of unit variance whose correlation falls by e in that time."""
    rho = np.exp(-1 / time) if time else 0.0
    noise = random.standard_normal((B, size)) * np.sqrt(1 - rho**2)
    noise[0] /= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise, axis=0)


def sigma_of_mean(B, time):
    """Return the exact standard deviation of the mean of such a series."""
    lags = np.arange(1, B)
    return np.sqrt((1 + 2 * np.sum((1 - lags / B) * np.exp(-lags / time))) / B) if time else 1 / np.sqrt(B)


def coverage(deviations, errors, degrees):
    """Return the percentage of intervals of 68 and 95 % that hold the truth."""
    wide = errors * interval_factor(0.95, degrees)
    return 100 * np.mean(np.abs(deviations) <= errors), 100 * np.mean(np.abs(deviations) <= wide)


def of_series(growth, **options):
    """Coverage of runs (sequence, block, run) of zero mean, and the median error bar."""
    errors, degrees = error_bars(growth, np.ones(growth.shape[:2]), **options)
    return *coverage(growth.mean(axis=(0, 1)), errors, degrees), np.median(errors)


# --- growth whose scatter is known, a thousand runs at once -------------------------------------------------------


@pytest.mark.parametrize(
    ("B", "time"),
    [(10, 0), (20, 0), (50, 0), (100, 0), (200, 0), (50, 1), (100, 2), (200, 2), (200, 5), (100, 5)],
)
def test_one_sequence(B, time):
    inside, wide, median = of_series(correlated(np.random.default_rng(B), B, time, SERIES)[None])
    assert abs(inside - 68.3) < 5
    assert abs(wide - 95) < 5
    assert 1 / 1.5 < median / sigma_of_mean(B, time) < 1.5


@pytest.mark.parametrize(("B", "time"), [(100, 10), (200, 10), (200, 20)])
def test_slow_growth_has_long_bars_rather_than_short_ones(B, time):
    # only 5 to 10 independent parts: too few to know the time of correlation well
    inside, wide, median = of_series(correlated(np.random.default_rng(1), B, time, SERIES)[None])
    assert 68.3 - 5 < inside < 68.3 + 12
    assert wide > 95 - 5
    assert 1 / 1.5 < median / sigma_of_mean(B, time) < 1.7


def test_slow_growth_under_fast_growth_is_felt():
    # a quarter of the variance varies slowly, and makes four fifths of that of the mean
    random = np.random.default_rng(2)
    growth = correlated(random, 200, 0, SERIES) + 0.6 * correlated(random, 200, 8, SERIES)
    exact = np.hypot(sigma_of_mean(200, 0), 0.6 * sigma_of_mean(200, 8))
    inside, wide, median = of_series(growth[None])
    assert inside > 68.3 - 8
    assert wide > 95 - 5
    assert median > exact / 1.5
    blind = np.std(growth, axis=0) / np.sqrt(200)  # the error if the blocks were independent
    assert np.mean(np.abs(growth.mean(axis=0)) < blind) < 0.45


def test_skewed_growth():
    growth = np.random.default_rng(3).exponential(size=(1, 60, SERIES)) - 1
    inside, wide, _ = of_series(growth)
    assert abs(inside - 68.3) < 5
    assert abs(wide - 95) < 5


@pytest.mark.parametrize("B", [20, 100, 200])
def test_growth_that_cancels_itself_has_bars_that_are_not_too_short(B):
    # as that of a zero exponent, or of the logistic map at r = 4: the difference of two bounded numbers
    z = np.random.default_rng(4).standard_normal((B + 1, SERIES))
    inside, wide, median = of_series(np.diff(z, axis=0)[None])
    assert inside > 63
    assert wide > 90
    assert 1 < median / (np.sqrt(2) / B) < 3
    assert median < 0.7 * np.sqrt(2 / B)  # less than if the blocks were independent


@pytest.mark.parametrize("S", [2, 3, 4, 5, 8, 40])
@pytest.mark.parametrize(("B", "time"), [(10, 0), (100, 0), (100, 3)])
def test_several_sequences(S, B, time):
    random = np.random.default_rng(S)
    growth = np.stack([correlated(random, B, time, SERIES) for _ in range(S)])
    inside, wide, median = of_series(growth)
    assert abs(inside - 68.3) < 5
    assert abs(wide - 95) < 5
    assert 1 / 1.5 < median / (sigma_of_mean(B, time) / np.sqrt(S)) < 1.5


@pytest.mark.parametrize("S", [3, 4, 8])
def test_sequences_that_differ_in_kind(S):
    # every sequence has a rate of its own: blocks know nothing of it, the sequences do
    random = np.random.default_rng(S)
    growth = random.standard_normal((S, 50, SERIES)) + 3 * random.standard_normal((S, 1, SERIES))
    inside, wide, median = of_series(growth)
    assert abs(inside - 68.3) < 5
    assert abs(wide - 95) < 5
    assert median > 2 * (3 / np.sqrt(S)) / 3


@pytest.mark.parametrize(("time", "tolerance"), [(0, 0.15), (0, 0.1), (2, 0.3)])
def test_stopping_when_the_error_is_small_shortens_the_bars_little(time, tolerance):
    B, size = 200, 400
    growth = correlated(np.random.default_rng(5), B, time, size)
    running, deviations, errors, degrees = np.ones(size, bool), *np.zeros((3, size))
    for b in range(20, B + 1):  # as Run does
        rows = np.flatnonzero(running)
        e, d = error_bars(growth[None, :b, rows], np.ones((1, b)))
        done = rows[(e < tolerance) | (b == B)]
        deviations[done] = growth[:b, done].mean(axis=0)
        errors[done], degrees[done] = e[np.isin(rows, done)], d[np.isin(rows, done)]
        running[done] = False
    inside, wide = coverage(deviations, errors, degrees)
    assert inside > (63 if time == 0 else 52)  # 68 without stopping, or 62 for correlated blocks as few as these
    assert wide > 90
    assert np.mean(errors < tolerance) > 0.7


# --- systems whose exponents are known on paper -------------------------------------------------------------------


def of_system(spectrum, exact, S=1):
    """Coverage (exponent, level) of a batch whose sequences, S at a time, are taken as runs of their own.

    Sequences advance without knowing of each other: a run of its own gives the same growth.
    """
    growth, durations = spectrum.growth.values, spectrum.duration.values
    runs = growth.reshape(-1, S, *growth.shape[1:]).transpose(1, 2, 3, 0)  # (sequence, block, exponent, run)
    errors, degrees = error_bars(runs, durations[:S])
    values = spectrum.sequence_exponent.values.reshape(-1, S, growth.shape[2]).mean(axis=1).T
    shares = [coverage(value - truth, *bar) for value, truth, *bar in zip(values, exact, errors, degrees, strict=True)]
    return np.array(shares), np.median(errors, axis=1)


def entropy(a):
    return -(a * np.log(a) + (1 - a) * np.log(1 - a))


def bernoulli_sigma(a, n):
    return np.sqrt(a * (1 - a)) * abs(np.log(a / (1 - a))) / np.sqrt(n)


def tent(n_steps, runs):
    x0 = np.random.default_rng(0).uniform(size=(runs, 1))
    ds = dynet.lyapunov_spectrum(dynet.zoo.skew_tent(0.3), x0, n_steps)
    return ds, [entropy(0.3)], bernoulli_sigma(0.3, n_steps)


def baker(n_steps, runs):
    x0 = np.random.default_rng(1).uniform(size=(runs, 2))
    ds = dynet.lyapunov_spectrum(dynet.zoo.baker_map(0.3), x0, n_steps, n_transient=50)
    return ds, [entropy(0.3), -entropy(0.3)], bernoulli_sigma(0.3, n_steps)


def matrices(n_steps, runs, n=4, k=4):
    """Products of independent Gaussian matrices: the squares of diag R are independent chi squares."""
    J = np.random.default_rng(2).standard_normal((runs, n_steps, n, n)) / np.sqrt(n)
    ds = dynet.lyapunov_spectrum(dynet.Map.from_jacobians(J), None, n_steps, n_exponents=k)
    freedom = n - np.arange(k)
    return ds, (np.log(2 / n) + special.digamma(freedom / 2)) / 2, np.sqrt(special.zeta(2, freedom / 2) / 4 / n_steps)


def slow_scalar(n_steps, runs, time):
    """``x' = exp(a_t) x`` with an AR(1) process a_t."""
    a = correlated(np.random.default_rng(3), n_steps, time, runs).T
    J = np.exp(0.1 * a - 0.3)[..., None, None]
    return (
        dynet.lyapunov_spectrum(dynet.Map.from_jacobians(J), None, n_steps),
        [-0.3],
        0.1 * sigma_of_mean(n_steps, time),
    )


def switching(n_steps, runs, stay=0.9):
    """Two triangular matrices, switched by a Markov chain: exponents are the mean logarithms of their diagonals."""
    rates = np.array([[0.4, -0.5], [-0.2, -1.5]])
    random = np.random.default_rng(4)
    change = random.uniform(size=(runs, n_steps)) > stay
    state = (random.integers(2, size=(runs, 1)) + np.cumsum(change, axis=1)) % 2
    J = np.exp(rates[state])[..., None] * np.eye(2)
    J[..., 0, 1] = 0.7
    ds = dynet.lyapunov_spectrum(dynet.Map.from_jacobians(J), None, n_steps, initial_frame=np.eye(2))
    time = -1 / np.log(2 * stay - 1)
    return ds, rates.mean(axis=0), np.abs(rates[0] - rates[1]) / 2 * sigma_of_mean(n_steps, time)


CASES = {
    "tent, 60 steps": (tent, 60, {}),
    "tent, 1000 steps": (tent, 1_000, {}),
    "tent, 20 000 steps": (tent, 20_000, {}),
    "baker, 300 steps": (baker, 300, {}),
    "baker, 5000 steps": (baker, 5_000, {}),
    "random matrices, k = n": (matrices, 200, {}),
    "random matrices, k < n": (matrices, 100, {"k": 2}),
    "scalar, correlated over 2 of 1000 steps": (slow_scalar, 1_000, {"time": 2}),
    "scalar, correlated over 20 of 1000 steps": (slow_scalar, 1_000, {"time": 20}),
    "Markov switching": (switching, 1_000, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_systems_known_on_paper(case):
    system, n_steps, options = CASES[case]
    ds, exact, sigma = system(n_steps, 1_200, **options)
    for S in (1, 3, 8):
        shares, medians = of_system(ds, exact, S)
        # 150 runs of 8 sequences scatter by 4 %
        assert (np.abs(shares - [68.3, 95]) < (5 if S < 8 else [9, 5])).all(), (S, shares)
        ratio = medians / (sigma / np.sqrt(S))
        assert (ratio > 1 / 1.5).all(), (S, ratio)
        assert (ratio < 1.5).all(), (S, ratio)


@pytest.mark.slow
@pytest.mark.parametrize("n_steps", [100, 1_000, 10_000])
def test_the_logistic_map_is_better_known_than_its_bars_say(n_steps):
    # its growth is ln 2 and the difference of two bounded numbers: the error falls as 1 / n
    x0 = np.sin(np.pi * np.random.default_rng(5).uniform(size=(1_200, 1)) / 2) ** 2
    ds = dynet.lyapunov_spectrum(dynet.zoo.logistic(), x0, n_steps)
    ((inside, wide),), (median,) = of_system(ds, [np.log(2)])
    assert inside > 63
    assert wide > 90
    assert median < 3 * ds.sequence_exponent.values.std()


@pytest.mark.slow
def test_runs_that_end_by_their_tolerance():
    starts = np.random.default_rng(6).uniform(size=300)
    runs = [dynet.lyapunov_spectrum(dynet.zoo.skew_tent(0.3), [x], 40_000, tolerance=0.01, check=False) for x in starts]
    assert all(ds.attrs["tolerance_reached"] == "True" for ds in runs)
    values, errors, degrees = (
        np.array([float(ds[name][0]) for ds in runs])
        for name in ("lyapunov_exponent", "standard_error", "degrees_of_freedom")
    )
    assert (errors < 0.01).all()
    inside, wide = coverage(values - entropy(0.3), errors, degrees)
    assert inside > 68.3 - 8  # 300 runs scatter by 3 %
    assert wide > 90


def test_a_batch_holds_the_runs_of_its_sequences():
    # what the tests above rest on
    ds, _, _ = tent(500, 4)
    x0 = np.random.default_rng(0).uniform(size=(4, 1))
    one = dynet.lyapunov_spectrum(dynet.zoo.skew_tent(0.3), x0[2], 500)
    np.testing.assert_allclose(one.growth[0], ds.growth[2], rtol=1e-12)
    alone, _ = error_bars(ds.growth.values[2:3], ds.duration.values[2:3])
    np.testing.assert_allclose(one.standard_error, alone, rtol=1e-9)


# --- regular systems ----------------------------------------------------------------------------------------------


def test_a_stable_fixed_point_is_certain():
    W = 0.4 * np.eye(2) + [[0, 0.2], [0, 0]]
    ds = dynet.lyapunov_spectrum(dynet.networks.tanh_rnn(W), [0.5, 0.2], 2_000, n_transient=500)
    np.testing.assert_allclose(ds.lyapunov_exponent, np.log(0.4), rtol=1e-2)
    assert (ds.standard_error < 1e-2 * np.log(2)).all()


def test_constant_jacobians_are_certain():
    J = np.tile(np.diag([0.9, 0.5]), (400, 1, 1))
    ds = dynet.lyapunov_spectrum(dynet.Map.from_jacobians(J), None, 300, n_transient=100)
    np.testing.assert_allclose(ds.lyapunov_exponent, np.log([0.9, 0.5]), rtol=1e-10)
    assert (ds.standard_error < 1e-12).all()
    assert dynet.summary(ds).set_index("quantity").verdict["memory time"].endswith("converged")


@pytest.mark.parametrize("n_steps", [1_300, 5_000, 33_000])
def test_a_limit_cycle_has_an_error_that_falls_as_one_over_time(n_steps):
    # growth along a cycle is that of a bounded, periodic function: its sum never exceeds a few nats
    system = dynet.zoo.van_der_pol().to_map(0.02)
    ds = dynet.lyapunov_spectrum(system, [1.0, 0.0], n_steps, n_transient=5_000)
    duration = 0.02 * n_steps
    assert abs(float(ds.lyapunov_exponent[0])) < float(ds.standard_error[0]) + 1e-3  # the method's own zero
    assert (ds.standard_error * duration < 6).all()
    assert dynet.count_zero_exponents(ds) == 1
