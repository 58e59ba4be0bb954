"""Error bars against series whose scatter is known."""

import numpy as np
import pytest
from scipy import stats

import dynet
from dynet.lyapunov.convergence import (
    SEQUENCES_FOR_SCATTER,
    error_bars,
    interval_factor,
    sequence_rates,
    standard_error,
)


def ones(growth):
    return np.ones(growth.shape[:2])


def autoregressive(random, n, rho, series):
    """Stationary AR(1) with unit variance."""
    noise = random.standard_normal((series, n)) * np.sqrt(1 - rho**2)
    x = np.empty((series, n))
    x[:, 0] = random.standard_normal(series)
    for t in range(1, n):
        x[:, t] = rho * x[:, t - 1] + noise[:, t]
    return x


def errors_of(series):
    """Standard error of each row taken as a run of its own."""
    return standard_error(series.T[None], np.ones((1, series.shape[1])))


def test_independent_blocks_have_the_error_of_a_mean():
    x = np.random.default_rng(0).standard_normal((200, 200))
    errors = errors_of(x)
    assert np.median(errors) == pytest.approx(1 / np.sqrt(200), rel=0.25)


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.8])
def test_correlated_blocks_have_the_error_of_fewer_independent_ones(rho):
    n = 200
    x = autoregressive(np.random.default_rng(1), n, rho, 200)
    lags = np.arange(1, n)
    exact = np.sqrt((1 + 2 * np.sum((1 - lags / n) * rho**lags)) / n)
    assert np.median(errors_of(x)) == pytest.approx(exact, rel=0.25)
    # without the correlation the bar would be far too short
    assert exact > 1.3 / np.sqrt(n)


def test_anticorrelated_blocks_have_a_smaller_error_than_independent_ones():
    # growth along a flow is the difference of two bounded numbers: it telescopes
    z = np.random.default_rng(2).standard_normal((200, 201))
    errors = errors_of(np.diff(z, axis=1))
    exact = np.sqrt(2) / 200
    assert np.median(errors) < 3 * exact
    assert np.median(errors) > exact / 3


@pytest.mark.parametrize(("rho", "n"), [(0.0, 20), (0.0, 200), (0.5, 200)])
def test_two_thirds_of_the_intervals_hold_the_truth(rho, n):
    x = autoregressive(np.random.default_rng(3), n, rho, 500)
    inside = np.abs(x.mean(axis=1)) < errors_of(x)
    # 500 trials scatter by 2 %; short correlated series may be off by some per cent more
    assert 0.62 < inside.mean() < 0.80


@pytest.mark.parametrize("S", [5, 8, 40])
def test_two_thirds_of_the_intervals_from_sequences_hold_the_truth(S):
    random = np.random.default_rng(4)
    x = random.standard_normal((600, S, 10)) + random.standard_normal((600, S, 1))
    inside = [abs(run.mean()) < standard_error(run[..., None], ones(run[..., None]))[0] for run in x]
    assert 0.62 < np.mean(inside) < 0.745


@pytest.mark.parametrize("S", [1, 2, 4])
def test_few_sequences_pool_the_scatter_of_their_blocks(S):
    x = np.random.default_rng(5).standard_normal((150, S, 100))
    errors = [standard_error(run[..., None], ones(run[..., None]))[0] for run in x]
    assert np.median(errors) == pytest.approx(1 / np.sqrt(100 * S), rel=0.25)


def test_from_five_sequences_on_the_scatter_between_them_counts():
    # sequences that differ much more than their blocks: the blocks know nothing of it
    random = np.random.default_rng(6)
    x = 10 * random.standard_normal((SEQUENCES_FOR_SCATTER, 1, 1)) + 1e-3 * random.standard_normal((5, 50, 1))
    rates = x.mean(axis=(1, 2))
    width = stats.t.ppf(stats.norm.cdf(1.0), 4)
    np.testing.assert_allclose(standard_error(x, ones(x)), rates.std(ddof=1) / np.sqrt(5) * width, rtol=1e-12)
    assert error_bars(x, ones(x))[1][0] == 4


@pytest.mark.parametrize("S", [2, 3, 4])
def test_fewer_sequences_that_differ_more_than_their_blocks_are_not_taken_for_sure(S):
    random = np.random.default_rng(6)
    x = 10 * random.standard_normal((S, 1, 1)) + 0.1 * random.standard_normal((S, 50, 1))
    error, degrees = error_bars(x, ones(x))
    scatter = x.mean(axis=(1, 2)).std(ddof=1) / np.sqrt(S)
    assert 0.8 < error[0] / (scatter * stats.t.ppf(stats.norm.cdf(1.0), S - 1)) < 1.2
    assert degrees[0] < S
    # while sequences that are alike are one long run
    alike = random.standard_normal((S, 50, 40))
    assert np.median(standard_error(alike, ones(alike))) == pytest.approx(1 / np.sqrt(50 * S), rel=0.15)


def test_the_error_of_a_constant_growth_is_zero():
    x = np.full((1, 30, 2), 0.7)
    np.testing.assert_allclose(standard_error(x, ones(x)), 0.0, atol=1e-15)


def test_the_error_scales_with_the_growth_and_the_unit_of_time():
    x = np.random.default_rng(7).standard_normal((1, 60, 3))
    base = standard_error(x, ones(x))
    np.testing.assert_allclose(standard_error(3 * x, ones(x)), 3 * base, rtol=1e-12)
    np.testing.assert_allclose(standard_error(x, 0.1 * ones(x)), 10 * base, rtol=1e-12)
    np.testing.assert_allclose(standard_error(x + 5.0, ones(x)), base, rtol=1e-9)


def test_one_block_leaves_the_error_unknown():
    x = np.ones((1, 1, 2))
    assert np.isposinf(standard_error(x, ones(x))).all()


def test_minus_infinity_has_no_error_where_it_is_certain_and_an_unknown_one_where_it_is_not():
    x = np.random.default_rng(8).standard_normal((2, 20, 3))
    x[..., 1] = -np.inf
    x[0, 4, 2] = -np.inf
    for growth in (x, np.concatenate([x, x, x])):
        error = standard_error(growth, ones(growth))
        assert np.isfinite(error[0])
        assert error[0] > 0
        assert error[1] == 0.0
        assert np.isposinf(error[2])


def test_sequences_that_ended_do_not_count():
    random = np.random.default_rng(9)
    x, w = random.standard_normal((2, 40, 1)), np.ones((2, 40))
    short, weights = x.copy(), w.copy()
    short[1, 25:] = np.nan
    weights[1, 25:] = 0.0
    rates = sequence_rates(short, weights)
    np.testing.assert_allclose(rates[:, 0], [x[0].mean(), x[1, :25].mean()], rtol=1e-14)
    garbage = np.where(weights[..., None] > 0, short, 1e6)
    np.testing.assert_array_equal(error_bars(short, weights), error_bars(garbage, weights))
    many = random.standard_normal((2, 40, 200))
    exact = np.hypot(1 / np.sqrt(40), 1 / np.sqrt(25)) / 2
    assert np.median(standard_error(many, weights)) == pytest.approx(exact, rel=0.15)
    # and minus infinity stays certain where the padding says nothing
    short[1, :25] = -np.inf
    short[0] = -np.inf
    assert standard_error(short, weights)[0] == 0.0


def test_rates_weigh_blocks_by_their_duration():
    growth = np.array([[[1.0], [2.0], [6.0]]])
    weights = np.array([[1.0, 1.0, 4.0]])
    np.testing.assert_allclose(sequence_rates(growth, weights), [[1.5]])


def test_a_short_last_block_does_not_spoil_the_error():
    random = np.random.default_rng(10)
    steps = random.standard_normal((150, 1005))
    errors = []
    for run in steps:
        blocks = np.append(run[:1000].reshape(100, 10).sum(axis=1), run[1000:].sum())
        errors.append(standard_error(blocks[None, :, None], np.append(np.full(100, 10.0), 5.0)[None])[0])
    assert np.median(errors) == pytest.approx(1 / np.sqrt(1005), rel=0.25)


def test_intervals_are_those_of_student():
    np.testing.assert_allclose(interval_factor(0.95, np.inf), 1.959963984540054, rtol=1e-10)
    np.testing.assert_allclose(interval_factor(0.95, 4.0), 2.776445 / 1.141627, rtol=1e-5)
    np.testing.assert_allclose(interval_factor(2 * stats.norm.cdf(1.0) - 1, np.array([1.0, 2.5, 80.0])), 1.0, rtol=1e-9)


def test_slower_growth_leaves_fewer_degrees_of_freedom():
    random = np.random.default_rng(11)
    medians = []
    for rho in (0.0, 0.9):
        x = autoregressive(random, 150, rho, 300).T[None]
        medians.append(np.median(error_bars(x, ones(x))[1]))
    assert medians[0] > 2 * medians[1]
    many = random.standard_normal((3, 150, 300))
    assert np.median(error_bars(many, ones(many))[1]) > medians[0]


@pytest.mark.parametrize("S", [1, 2, 3, 6])
@pytest.mark.parametrize("B", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("independent", [True, False])
def test_the_shortest_runs_have_bars_too(S, B, independent):
    random = np.random.default_rng(10 * S + B)
    growth = random.standard_normal((S, B, 400))
    error, degrees = error_bars(growth, ones(growth), independent=independent)
    if B == 1 and (S == 1 or (not independent and S < SEQUENCES_FOR_SCATTER)):
        assert np.isposinf(error).all()
        return
    assert (error > 0).all()
    assert (degrees > 0.5).all()
    truth = growth.mean(axis=(0, 1))
    assert np.mean(np.abs(truth) < error) > 0.6
    assert np.mean(np.abs(truth) < error * interval_factor(0.95, degrees)) > 0.9


def test_growth_that_is_constant_to_rounding_has_no_doubt():
    x = np.full((1, 30, 2), 0.7)
    np.testing.assert_array_equal(error_bars(x, ones(x))[1], np.inf)


# --- sequences that are not independent ------------------------------------------------------------------------


def test_copies_of_one_sequence_have_the_error_of_one():
    growth = np.random.default_rng(2).standard_normal((1, 100, 2))
    one = standard_error(growth, np.ones((1, 100)))
    many = standard_error(np.tile(growth, (8, 1, 1)), np.ones((8, 100)), independent=False)
    np.testing.assert_allclose(many, one, rtol=1e-12)


def test_sequences_that_share_nothing_but_the_name_keep_their_error():
    # without inputs of their own, sequences may still be independent: then both estimates agree
    growth = np.random.default_rng(3).standard_normal((6, 200, 40))
    shared = standard_error(growth, np.ones((6, 200)), independent=False)
    exact = 1 / np.sqrt(6 * 200)
    assert 0.9 < np.median(shared) / exact < 1.5


def test_starts_under_one_input_forget_where_they_began_and_count_once():
    random = np.random.default_rng(4)
    net = dynet.networks.tanh_rnn(random.standard_normal((5, 5)) / 4, random.standard_normal((5, 2)))
    inputs = random.standard_normal((400, 2))
    one = dynet.lyapunov_spectrum(net, random.standard_normal(5), 250, inputs=inputs, n_transient=150)
    x0 = random.standard_normal((8, 5))
    for given in (inputs, np.tile(inputs, (8, 1, 1))):
        many = dynet.lyapunov_spectrum(net, x0, 250, inputs=given, n_transient=150)
        assert many.attrs["sequences"] == "shared input or none"
        np.testing.assert_allclose(many.standard_error, one.standard_error, rtol=1e-6)
    own = dynet.lyapunov_spectrum(net, x0, 50, inputs=random.standard_normal((8, 60, 2)), n_transient=10)
    assert own.attrs["sequences"] == "independent"
    assert own.attrs["standard_error_from"] == "sequences"
    assert one.attrs["standard_error_from"] == "blocks, autocorrelation counted"
    few = dynet.lyapunov_spectrum(net, x0[:3], 50, inputs=random.standard_normal((3, 60, 2)), n_transient=10)
    assert few.attrs["standard_error_from"] == "blocks and sequences"
    few = dynet.lyapunov_spectrum(net, x0[:3], 50, inputs=inputs[:60], n_transient=10)
    assert few.attrs["standard_error_from"] == "blocks of the mean over sequences"


def test_equal_starts_of_a_chaotic_map_do_not_make_it_certain():
    one = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 2_000)
    same = dynet.lyapunov_spectrum(dynet.zoo.henon(), [[0.1, 0.1]] * 6, 2_000)
    np.testing.assert_allclose(same.standard_error, one.standard_error, rtol=1e-12)


def test_zeros_of_either_sign_are_one_input():
    net = dynet.networks.random_tanh(20, 2.5, W_xh=np.ones((20, 1)), rng=0)
    zeros = np.zeros((6, 60, 1))
    signed = zeros * np.random.default_rng(0).standard_normal(zeros.shape)
    a, b = (dynet.lyapunov_spectrum(net, np.ones(20), 60, inputs=u, n_exponents=1) for u in (zeros, signed))
    np.testing.assert_array_equal(a.standard_error, b.standard_error)
