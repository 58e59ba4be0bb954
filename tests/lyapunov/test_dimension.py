"""Dimension, entropy, zeros and memory from spectra made by hand."""

import numpy as np
import pytest

import dynet


@pytest.mark.parametrize(
    ("exponents", "dimension"),
    [
        ([0.9056, 0.0, -14.5723], 2 + 0.9056 / 14.5723),
        ([0.4192, -1.6232], 1 + 0.4192 / 1.6232),
        ([-0.1, -0.5], 0.0),
        ([0.0, -0.5], 1.0),
        ([0.2, 0.1, -0.1], 3.0),
        ([0.5, -0.5], 2.0),
        ([0.3, 0.1, -0.2, -0.1, -0.5], 4 + 0.1 / 0.5),
        ([1.0, -np.inf], 1.0),
        ([-np.inf, -np.inf], 0.0),
    ],
)
def test_the_dimension_interpolates_where_the_partial_sums_turn_negative(exponents, dimension, made):
    # exponents may stand in any order: the dimension is that of the sorted ones
    order = np.argsort(exponents)
    for shuffled in (exponents, np.array(exponents)[order]):
        result = dynet.kaplan_yorke_dimension(made(shuffled))
        np.testing.assert_allclose(result.dimension, dimension, rtol=0, atol=1e-12)
        assert not np.isnan(result.standard_error)


def test_the_error_of_the_dimension_is_that_of_its_derivative(made):
    random = np.random.default_rng(0)
    scatter = random.standard_normal((400, 3)) * [0.3, 0.1, 0.5]
    exponents = np.array([0.9, 0.0, -14.5])
    scatter -= scatter.mean(axis=0)
    ds = made(exponents, blocks=exponents + scatter)
    # D = 2 + (l1 + l2) / |l3|: the same derivative of every block
    combination = (scatter[:, 0] + scatter[:, 1]) / 14.5 + scatter[:, 2] * 0.9 / 14.5**2
    error = float(dynet.kaplan_yorke_dimension(ds).standard_error)
    assert error == pytest.approx(combination.std() / np.sqrt(400), rel=0.4)


def test_correlated_exponents_may_have_a_certain_sum(made):
    # the sum of all exponents is exact here, so its error is not the sum of theirs
    noise = np.random.default_rng(1).standard_normal(300)
    blocks = np.stack([0.5 + noise - noise.mean(), 0.1 - noise + noise.mean(), np.full(300, -3.0)], axis=1)
    ds = made([0.5, 0.1, -3.0], blocks=blocks)
    assert float(dynet.entropy_rate(ds).standard_error) < 1e-12
    assert float(dynet.kaplan_yorke_dimension(ds).standard_error) < 1e-12
    np.testing.assert_allclose(dynet.entropy_rate(ds).entropy_rate, 0.6)


def test_the_entropy_rate_is_the_sum_of_the_positive_exponents(made):
    ds = made([0.5, 0.0, 0.25, -1.0, -np.inf], time_unit="second")
    result = dynet.entropy_rate(ds)
    np.testing.assert_allclose(result.entropy_rate, 0.75)
    assert result.entropy_rate.attrs["units"] == "nat / second"
    np.testing.assert_allclose(dynet.entropy_rate(made([-1.0, -2.0])).entropy_rate, 0.0)
    np.testing.assert_allclose(dynet.entropy_rate(made([-1.0, -2.0])).standard_error, 0.0, atol=1e-100)


def test_too_few_exponents_are_refused_where_the_rest_matters(made):
    with pytest.raises(dynet.InputError, match=r"3 exponents.*10.*n_exponents"):
        dynet.kaplan_yorke_dimension(made([1.0, 0.5, -0.2], n=10))
    with pytest.raises(dynet.InputError, match="n_exponents"):
        dynet.entropy_rate(made([1.0, 0.5], n=10))
    # enough of them: the rest does not matter
    np.testing.assert_allclose(dynet.kaplan_yorke_dimension(made([1.0, -2.0], n=10)).dimension, 1.5)
    np.testing.assert_allclose(dynet.entropy_rate(made([1.0, -0.1], n=10)).entropy_rate, 1.0)


def test_zeros_are_exponents_whose_interval_holds_zero(made):
    ds = made([0.9, 0.001, -0.03, -5.0, -np.inf], [0.01, 0.002, 0.02, 0.1, 0.0])
    assert dynet.count_zero_exponents(ds) == 2
    assert dynet.count_zero_exponents(ds, level=0.5) == 1
    assert dynet.count_zero_exponents(ds, level=0.38) == 0


def test_an_exact_zero_without_scatter_is_a_zero(made):
    assert dynet.count_zero_exponents(made([1e-15, -0.6])) == 1
    assert dynet.count_zero_exponents(made([1e-6, -0.6])) == 0


def test_the_zero_of_a_limit_cycle_is_found():
    flow = dynet.zoo.stuart_landau(0.3, 1.5, 0.4)
    ds = dynet.lyapunov_spectrum(flow.to_map(0.02), [0.5, 0.0], 20_000, n_transient=5_000)
    assert dynet.count_zero_exponents(ds) == 1


def test_memory_is_the_inverse_of_the_slowest_decay(made):
    result = dynet.memory_time(made([-0.5, -0.02, -3.0], [0.1, 0.0051, 0.1]))
    np.testing.assert_allclose(result.memory_time, 50.0)
    width = 1.959963984540054 * 0.0051
    np.testing.assert_allclose(result.interval, [1 / (0.02 + width), 1 / (0.02 - width)], rtol=1e-12)
    np.testing.assert_allclose(result.standard_error, 0.0051 * 2_500)
    assert result.interval.bound.values.tolist() == ["lower", "upper"]
    narrow = dynet.memory_time(made([-0.5, -0.02, -3.0], [0.1, 0.0051, 0.1]), level=0.5)
    assert narrow.interval[0] > result.interval[0]
    assert narrow.interval[1] < result.interval[1]


@pytest.mark.parametrize(
    ("exponent", "error", "time", "interval"),
    [
        (-0.02, 0.02, 50.0, (1 / (0.02 + 0.02 * 1.959963984540054), np.inf)),
        (0.1, 0.01, np.inf, (np.inf, np.inf)),
        (0.01, 0.02, np.inf, (1 / (0.02 * 1.959963984540054 - 0.01), np.inf)),
        (-np.inf, 0.0, 0.0, (0.0, 0.0)),
        (0.0, 0.0, np.inf, (np.inf, np.inf)),
    ],
)
def test_memory_is_infinite_where_the_exponent_reaches_zero(exponent, error, time, interval, made):
    result = dynet.memory_time(made([exponent], [error]))
    np.testing.assert_allclose(result.memory_time, time)
    np.testing.assert_allclose(result.interval, interval, rtol=1e-12)
    assert not np.isnan(result.standard_error)


@pytest.mark.parametrize("level", [0, 1, 1.5, -0.1, "95", None, np.nan])
def test_a_level_is_a_probability(level, made):
    for function in (dynet.memory_time, dynet.count_zero_exponents):
        with pytest.raises(dynet.InputError, match=r"level=.*\(0, 1\)"):
            function(made([-0.1]), level=level)


@pytest.mark.parametrize(
    "function",
    [dynet.kaplan_yorke_dimension, dynet.entropy_rate, dynet.count_zero_exponents, dynet.memory_time, dynet.summary],
)
def test_a_spectrum_without_its_first_exponents_is_refused(function):
    ds = dynet.lyapunov_spectrum(dynet.zoo.linear_map(np.diag([0.9, 0.5, 0.2])), [0.0, 0.0, 0.0], 100)
    for part in (ds.sel(exponent=[2, 3]), ds.sel(exponent=1), ds.sel(sequence=0), np.ones(3)):
        with pytest.raises(dynet.InputError):
            function(part)
    function(ds.sel(exponent=[1, 2]) if function is dynet.memory_time else ds)


def test_a_rate_of_nothing_but_rounding_is_remembered_for_ever():
    ds = dynet.lyapunov_spectrum(dynet.zoo.linear_map(np.eye(3)), [0.0, 0.0, 0.0], 200)
    assert np.isinf(dynet.memory_time(ds).memory_time)
