"""Tables: the numbers of the result, and verdicts in exact words."""

import numpy as np
import pandas as pd
import pytest

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


def test_a_drift_between_the_halves_is_seen(made):
    blocks = np.concatenate([np.full((25, 2), -1.0), np.full((25, 2), -1.2)])
    blocks[:, 1] -= 2
    ds = made([-1.1, -3.1], [0.01, 0.01], blocks=blocks)
    assert by_quantity(ds).verdict["memory time"].endswith("], drifting: give a longer transient")


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (0.4, 0.01, "chaotic: perturbations grow"),
        (-0.4, 0.01, "stable: perturbations fade"),
        (0.01, 0.01, "marginal: zero lies in the interval"),
        (-0.01, 0.01, "marginal: zero lies in the interval"),
        (0.4, np.inf, "marginal: zero lies in the interval"),
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
        dynet.summary(dynet.simulate(dynet.zoo.henon(), [0.1, 0.1], 3))
