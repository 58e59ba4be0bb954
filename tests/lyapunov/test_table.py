"""Tables: the numbers of the result, and verdicts in exact words."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import dynet

COLUMNS = ["quantity", "value", "standard_error", "lower", "upper", "unit", "verdict"]


def by_quantity(ds, **options):
    table = dynet.summary(ds, **options)
    assert isinstance(table, pd.DataFrame)
    assert table.columns.tolist() == COLUMNS
    return table.set_index("quantity")


def test_memory_is_told_with_its_interval_and_whether_it_has_converged(made):
    ds = made([-0.02, -0.9], [0.0051, 0.01])
    assert by_quantity(ds).verdict["memory time"] == "memory 50 steps [33, 100], converged"
    row = by_quantity(ds).loc["memory time"]
    np.testing.assert_allclose([row["value"], row["lower"], row["upper"]], [50, 33.338, 99.96], rtol=1e-4)
    assert row["unit"] == "step"


@pytest.mark.parametrize(
    ("exponents", "errors", "words"),
    [
        # the scale that an error is judged by is the exponent's, or a tenth of the spread of the spectrum
        ([-0.02, -0.9], [0.0051, 0.01], "converged"),
        ([-0.02, -0.03], [0.0051, 0.001], "roughly converged"),
        ([-0.02, -0.03], [0.02, 0.001], "not converged: run longer or with more sequences"),
        ([-0.02, -0.03], [np.inf, 0.001], "not converged: run longer or with more sequences"),
        ([-np.inf, -np.inf], [0.0, 0.0], "below resolution"),
    ],
)
def test_convergence_is_judged_by_the_error_of_the_leading_exponent(made, exponents, errors, words):
    assert by_quantity(made(exponents, errors)).verdict["memory time"].endswith(f"], {words}")


def noisy(seed=0, S=1, B=100):
    return 0.1 * np.random.default_rng(seed).standard_normal((S, B, 2)) + [-0.5, -1.0]


def verdict_of(growth, independent=True):
    """The verdict on a spectrum made of this growth (sequence, block, exponent), a block a step."""
    J = np.zeros((*growth.shape, 2))
    J[..., [0, 1], [0, 1]] = np.exp(growth)
    system = dynet.Map.from_jacobians(J if independent else J[0])
    ds = dynet.lyapunov_spectrum(system, None, growth.shape[1], initial_frame=np.eye(2))
    return by_quantity(ds).verdict["memory time"].split("], ")[1]


@pytest.mark.parametrize("S", [1, 3, 8])
def test_a_transient_that_is_left_is_seen(S):
    growth = noisy(S=S, B=1_000)
    assert verdict_of(growth) == "converged"
    late = growth + 0.2 * np.exp(-np.arange(1_000) / 60)[:, None]
    assert verdict_of(late) == "drifting: give a longer transient, or run longer"


def test_a_drift_between_the_halves_is_seen(made):
    blocks = np.concatenate([np.full((25, 2), -1.0), np.full((25, 2), -1.2)])
    blocks[:, 1] -= 2
    ds = made([-1.1, -3.1], [0.01, 0.01], blocks=blocks)
    assert by_quantity(ds).verdict["memory time"].endswith("], drifting: give a longer transient, or run longer")


@pytest.mark.parametrize("seed", range(5))
def test_stationary_growth_does_not_drift(seed):
    assert verdict_of(noisy(seed, B=500)) == "converged"


def test_a_run_that_is_short_for_its_correlation_says_so():
    t = np.arange(1_000)
    slow = np.cos(2 * np.pi * t / 1_000)[:, None]  # one wave in the run
    words = verdict_of(noisy(B=1_000) + 0.3 * slow)
    assert words.startswith("not converged: growth is correlated over about ")
    assert words.endswith(" steps, run longer or with more sequences")
    assert 100 < float(words.split("about ")[1].split()[0]) < 1_000
    # the same wave where it hardly matters
    assert verdict_of(noisy(B=1_000) + 0.003 * slow) == "converged"


def test_a_run_says_what_ended_it():
    x0 = [0.1, 0.1]
    for tolerance, words in (
        (0.05, "ended by tolerance: every standard error is below 0.05"),
        (1e-5, "ended by n_steps: the largest standard error is "),
    ):
        ds = dynet.lyapunov_spectrum(dynet.zoo.henon(), x0, 5_000, tolerance=tolerance)
        row = by_quantity(ds).loc["steps"]
        assert row["verdict"].startswith(words)
        assert row["value"] == ds.attrs["n_steps"] == ds.duration.sum()
        assert (row["value"] < 5_000) == (tolerance == 0.05)
    assert row["verdict"].endswith("the tolerance was 1e-05")
    assert "steps" not in by_quantity(dynet.lyapunov_spectrum(dynet.zoo.henon(), x0, 500)).index


def test_few_degrees_of_freedom_make_long_intervals(made):
    ds = made([-0.5, -1.0], [0.1, 0.1], degrees=4)
    row = by_quantity(ds).loc["largest exponent"]
    width = 0.1 * stats.t.ppf(0.975, 4) / stats.t.ppf(stats.norm.cdf(1.0), 4)
    np.testing.assert_allclose([row["lower"], row["upper"]], [-0.5 - width, -0.5 + width], rtol=1e-12)
    assert width > 1.2 * 0.196


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (0.4, 0.01, "chaotic: perturbations grow"),
        (-0.4, 0.01, "stable: perturbations fade"),
        (0.01, 0.01, "marginal: zero lies in the interval"),
        (-0.01, 0.01, "marginal: zero lies in the interval"),
        (0.4, np.inf, "unknown: too few steps for an error bar"),
        (-np.inf, 0.0, "every perturbation dies at once"),
    ],
)
def test_the_sign_of_the_largest_exponent_is_told_in_words(made, value, error, words):
    row = by_quantity(made([value, -np.inf], [error, 0.0])).loc["largest exponent"]
    assert row["verdict"] == words
    assert row["value"] == value
    if np.isfinite(value) and np.isfinite(error):
        np.testing.assert_allclose(
            [row["lower"], row["upper"]], [value - 1.95996 * error, value + 1.95996 * error], rtol=1e-4
        )


def test_the_rows_of_a_spectrum_hold_the_numbers_of_its_functions():
    ds = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 20_000, n_transient=100)
    table = by_quantity(ds)
    assert table.index.tolist() == [
        "largest exponent",
        "mean exponent",
        "zero exponents",
        "Kaplan-Yorke dimension",
        "entropy rate",
        "memory time",
    ]
    np.testing.assert_allclose(table.value["largest exponent"], ds.lyapunov_exponent[0])
    np.testing.assert_allclose(table.value["mean exponent"], np.log(0.3) / 2, rtol=1e-10)
    assert table.standard_error["mean exponent"] < 1e-10  # the sum is exact
    dimension = dynet.kaplan_yorke_dimension(ds)
    np.testing.assert_allclose(table.value["Kaplan-Yorke dimension"], dimension.dimension)
    np.testing.assert_allclose(table.standard_error["Kaplan-Yorke dimension"], dimension.standard_error)
    np.testing.assert_allclose(table.value["entropy rate"], dynet.entropy_rate(ds).entropy_rate)
    assert table.value["zero exponents"] == 0
    assert table.verdict["zero exponents"] == "0 of 2 exponents hold zero in their 95 % interval"
    assert table.verdict["largest exponent"] == "chaotic: perturbations grow"
    assert table.verdict["memory time"].startswith("does not forget")


def test_a_level_widens_the_intervals(made):
    ds = made([-0.4, -1.0], [0.1, 0.1])
    narrow, wide = (by_quantity(ds, level=level).loc["largest exponent"] for level in (0.5, 0.99))
    assert wide["upper"] - wide["lower"] > 3 * (narrow["upper"] - narrow["lower"])


def test_what_too_few_exponents_cannot_tell_is_said(made):
    table = by_quantity(made([0.4, 0.2], n=9))
    for quantity in ("Kaplan-Yorke dimension", "entropy rate"):
        assert np.isnan(table.value[quantity])
        assert table.verdict[quantity] == "unknown from 2 of 9 exponents: ask for more (n_exponents)"
    assert "mean of 2 exponents" in table.index
    assert table.verdict["mean of 2 exponents"] == "of the 2 leading of 9"


def test_lost_exponents_are_counted(made):
    table = by_quantity(made([0.4, -np.inf, -np.inf]))
    assert table.value["below resolution"] == 2
    assert (
        table.verdict["below resolution"]
        == "2 of 3 exponents are -inf: singular Jacobian, or contraction beyond rounding"
    )


def test_units_of_time_are_put_into_words(made):
    words = {"step": "50 steps", "layer": "50 layers", "time": "50 time units", "ms": "50 [ms]"}
    for unit, told in words.items():
        verdict = by_quantity(made([-0.02, -0.9], [0.0001, 0.01], time_unit=unit)).verdict["memory time"]
        assert f"memory {told} [" in verdict


def test_comparisons_and_single_numbers_have_tables_too(made):
    a, b = made([0.4, -1.0], [0.01, 0.01]), made([0.5, -1.0], [0.01, 0.01])
    table = by_quantity(dynet.compare({"a": a, "b": b}))
    np.testing.assert_allclose(table.value["first exponent, b - a"], 0.1)
    np.testing.assert_allclose(table.value["spectrum distance, b - a"], 0.1 / np.sqrt(2))
    assert table.verdict["first exponent, b - a"] == "1 of 2 exponents differ clearly"
    for function in (dynet.kaplan_yorke_dimension, dynet.entropy_rate, dynet.memory_time):
        row = dynet.summary(function(a)).iloc[0]
        name = next(n for n in ("dimension", "entropy_rate", "memory_time") if n in function(a))
        np.testing.assert_allclose(row["value"], float(function(a)[name]))


@pytest.mark.parametrize("thing", [None, 3, {}, np.zeros(3), "spectrum"])
def test_things_that_are_no_results_are_refused(thing):
    with pytest.raises(dynet.InputError, match="result="):
        dynet.summary(thing)
    with pytest.raises(dynet.InputError, match="Dataset that an analysis of dynet returned"):
        dynet.summary(xr.Dataset({"x": ("t", [1.0, 2.0])}))


def test_results_without_single_numbers_are_told_by_their_title():
    with pytest.raises(dynet.InputError, match=r"'Trajectory'.* no table.*lyapunov_spectrum.*LyapunovMonitor"):
        dynet.summary(dynet.simulate(dynet.zoo.henon(), [0.1, 0.1], 3))


def test_two_trajectories_have_a_table():
    ds = dynet.two_trajectory_exponent(dynet.zoo.henon(), [0.1, 0.1], 2_000)
    (row,) = dynet.summary(ds).itertuples()
    assert (row.value, row.standard_error) == (float(ds.lyapunov_exponent), float(ds.standard_error))
    assert row.lower < 0.4192 < row.upper
    assert row.verdict == "chaotic: perturbations grow"
    assert row.unit == "nat / step"


def test_other_results_have_a_table_of_their_numbers():
    ds = dynet.find_periodic_orbit(dynet.zoo.henon(), [0.6, 0.2], 1)
    table = dynet.summary(ds).set_index("quantity")
    assert table.value["period"] == 1
    assert table.value["largest distance from closing"] == float(ds.residual)
    assert table.standard_error.isna().all()
    # an error belongs to the first number alone
    ds = xr.Dataset({"a": 1.0, "standard_error": 0.1, "b": 2.0, "kind": "slow"}, attrs={"dynet_version": "0"})
    table = dynet.summary(ds).set_index("quantity")
    assert table.standard_error["a"] == 0.1
    assert np.isnan(table.standard_error["b"])
    assert table.verdict["kind"] == "slow"


def test_a_sliced_spectrum_is_still_refused():
    with pytest.raises(dynet.InputError, match="give it whole"):
        dynet.summary(dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 50).sel(exponent=1))


def test_parameters_and_orders_come_with_their_intervals():
    stimulus = np.repeat([0.0, 1.0], [40, 160])
    responses = np.stack([dynet.fractional_derivative(stimulus, 0.3), np.ones(200)])
    orders = dynet.fractional_order(responses + [[0.01], [0.0]] * np.sin(np.arange(200.0) ** 2), stimulus, axis=-1)
    table = dynet.summary(orders)
    assert table.quantity.tolist() == ["fractional order, unit 0", "fractional order, unit 1"]
    np.testing.assert_array_equal(table[["lower", "upper"]], orders.order_interval)
    assert table.verdict.tolist() == orders.message.values.tolist()
    assert dynet.summary(orders.isel(unit=0)).quantity.tolist()[:2] == ["fractional order", "gain"]

    xi = np.array([1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0])
    law = dynet.fit_gain_scaling(xr.DataArray(4 / xi + 1, dims="level", coords={"level": xi}), dim="level")
    table = dynet.summary(law).set_index("quantity")
    assert table.verdict["power, b"] == "least AICc"
    assert table.value["power, b"] == pytest.approx(1.0)
    assert "constant, a" not in table.index
    t = np.arange(60.0)
    trace = xr.DataArray(2 + np.exp(-t / 9), dims="time", coords={"time": t}, attrs={"units": "Hz"})
    table = dynet.summary(dynet.fit_adaptation(trace)).set_index("quantity")
    assert table.value["time_constant"] == pytest.approx(9.0)
    assert table.unit["onset"] == "Hz"


def test_exponents_of_several_networks():
    units = dynet.networks.adaptive_rnn([[0.9]], W_ag=[0.0], W_gg=[[0.95]], W_gn=[0.0], b_n=5.0, W_gs=[0.0], b_s=0.3)
    ds = dynet.adaptive_exponents(units, n_steps=60, n_transient=20)
    table = dynet.summary(ds).set_index("quantity")
    assert table.value["Lyapunov exponent, drive 0, full, exponent 1"] == float(ds.lyapunov_exponent[0, 2, 0])
