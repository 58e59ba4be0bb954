"""Differences between spectra: paired, and refused where they would mean nothing."""

import numpy as np
import pytest
from scipy import stats

import dynet

spectrum = dynet.lyapunov_spectrum


def networks_that_share_noise(n_sequences):
    random = np.random.default_rng(0)
    W = random.standard_normal((6, 6)) / np.sqrt(6) * 1.3
    X = random.standard_normal((6, 1))
    inputs = random.standard_normal((n_sequences, 80, 1))
    runs = [
        spectrum(dynet.networks.tanh_rnn(gain * W, X), None, 70, inputs=inputs, n_transient=10) for gain in (1.0, 0.97)
    ]
    return {"before": runs[0], "after": runs[1]}


def test_differences_are_later_less_first_exponent_by_exponent():
    runs = networks_that_share_noise(6)
    result = dynet.compare(runs)
    assert result.comparison.values.tolist() == ["after - before"]
    by_hand = runs["after"].lyapunov_exponent - runs["before"].lyapunov_exponent
    np.testing.assert_allclose(result.difference[0], by_hand, rtol=0, atol=1e-15)
    np.testing.assert_allclose(result.spectrum_distance[0], np.sqrt(np.mean(by_hand**2)), rtol=1e-12)
    # six sequences: Student's distribution with five degrees of freedom
    np.testing.assert_array_equal(result.degrees_of_freedom, 5)
    width = stats.t.ppf(0.975, 5) / stats.t.ppf(stats.norm.cdf(1.0), 5) * result.standard_error
    np.testing.assert_allclose(result.interval.sel(bound="upper"), result.difference + width)
    np.testing.assert_allclose(result.interval.sel(bound="lower"), result.difference - width)


def test_the_error_between_sequences_is_the_scatter_of_their_differences():
    runs = networks_that_share_noise(8)
    result = dynet.compare(runs)
    rates = (runs["after"].sequence_exponent - runs["before"].sequence_exponent).values
    width = stats.t.ppf(stats.norm.cdf(1.0), 7)
    np.testing.assert_allclose(result.standard_error[0], rates.std(axis=0, ddof=1) / np.sqrt(8) * width, rtol=1e-10)
    assert result.attrs["paired"] == "by sequence"


@pytest.mark.parametrize("n_sequences", [1, 8])
def test_shared_noise_cancels_in_the_difference(n_sequences):
    runs = networks_that_share_noise(n_sequences)
    paired = dynet.compare(runs).standard_error.values[0]
    unpaired = np.hypot(runs["before"].standard_error, runs["after"].standard_error).values
    assert (paired[:2] < 0.7 * unpaired[:2]).all()


def test_a_spectrum_does_not_differ_from_itself():
    runs = networks_that_share_noise(1)
    result = dynet.compare({"a": runs["after"], "b": runs["after"]})
    np.testing.assert_array_equal(result.difference, 0.0)
    np.testing.assert_allclose(result.standard_error, 0.0, atol=1e-100)
    assert float(result.spectrum_distance[0]) == 0.0


def test_lost_exponents_differ_infinitely_from_kept_ones_and_not_from_each_other():
    J = np.broadcast_to(np.diag([2.0, 0.5, 0.0]), (40, 3, 3)).copy()
    K = np.broadcast_to(np.diag([2.0, 0.0, 0.0]), (40, 3, 3)).copy()
    a, b = (spectrum(dynet.Map.from_jacobians(M), None, 40, initial_frame=np.eye(3)) for M in (J, K))
    result = dynet.compare({"a": a, "b": b})
    np.testing.assert_array_equal(result.difference[0], [0.0, -np.inf, 0.0])
    assert not np.isnan(result.standard_error).any()
    assert float(result.standard_error[0, 2]) < 1e-100
    assert np.isposinf(result.standard_error[0, 1])
    np.testing.assert_allclose(result.spectrum_distance, 0.0, atol=1e-15)


def test_several_runs_are_compared_with_the_first():
    runs = {f"a = {a}": spectrum(dynet.zoo.henon(a), [0.1, 0.1], 3_000, qr_interval=3) for a in (1.4, 1.3, 1.2)}
    result = dynet.compare(runs)
    assert result.comparison.values.tolist() == ["a = 1.3 - a = 1.4", "a = 1.2 - a = 1.4"]
    assert result.attrs["paired"] == "by block"


def test_runs_of_the_same_call_with_other_parameters_can_be_compared():
    # the loop picks its interval by the growth it meets; that must not keep results apart
    runs = {str(b): spectrum(dynet.zoo.henon(1.2, b), [0.1, 0.1], 5_000) for b in (0.3, 0.05)}
    result = dynet.compare(runs)
    np.testing.assert_allclose(result.difference.sum(), np.log(0.05 / 0.3), rtol=0, atol=1e-10)


BASE = spectrum(dynet.zoo.linear_map(np.diag([2.0, 0.5])), [1.0, 1.0], 50)


def other(**changes):
    arguments = {"n_steps": 50, "J": np.diag([2.0, 0.5]), "dt": 1.0, "time_unit": "step", "sequences": None, **changes}
    J = np.broadcast_to(arguments["J"], (arguments["n_steps"], 2, 2))
    if arguments["sequences"]:
        J = np.broadcast_to(J, (arguments["sequences"], *J.shape))
    system = dynet.Map.from_jacobians(J, dt=arguments["dt"], time_unit=arguments["time_unit"])
    options = {k: v for k, v in changes.items() if k in ("n_exponents", "rng", "initial_frame", "n_transient")}
    return spectrum(system, None, arguments["n_steps"] - options.get("n_transient", 0), **options)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (other(time_unit="ms"), ["time unit", "'step'", "'ms'"]),
        (other(dt=0.5), ["dt"]),
        (other(rng=1), ["initial frame"]),
        (other(n_exponents=1), ["exponent", "2 and 1"]),
        (other(sequences=3), ["sequence", "1 and 3"]),
        (other(n_steps=40), ["blocks of time", "n_steps"]),
        (other(time_unit="ms", rng=1, n_exponents=1), ["time unit", "initial frame", "exponent"]),
    ],
)
def test_runs_that_measure_different_things_are_refused(run, words):
    with pytest.raises(dynet.InputError) as caught:
        dynet.compare({"one": BASE, "two": run})
    for word in [*words, "'one' and 'two'"]:
        assert word in str(caught.value)


def test_hidden_and_full_states_are_refused():
    random = np.random.default_rng(0)
    weights = random.standard_normal((8, 2)), random.standard_normal((8, 1))
    inputs = random.standard_normal((20, 1))
    full = spectrum(dynet.networks.lstm(*weights), None, 20, inputs=inputs, n_exponents=2)
    hidden = spectrum(dynet.networks.lstm(*weights, state="hidden"), None, 20, inputs=inputs, n_exponents=2)
    with pytest.raises(dynet.InputError, match=r"state.*full.*hidden"):
        dynet.compare({"a": full, "b": hidden})


@pytest.mark.parametrize("spectra", [{"one": BASE}, {}, [BASE, BASE], BASE, None])
def test_fewer_than_two_named_spectra_are_refused(spectra):
    with pytest.raises(dynet.InputError, match="at least two by name"):
        dynet.compare(spectra)


def test_things_that_are_no_spectra_are_refused():
    with pytest.raises(dynet.InputError, match="'b'"):
        dynet.compare({"a": BASE, "b": dynet.simulate(dynet.zoo.henon(), [0.1, 0.1], 5)})
    with pytest.raises(dynet.InputError, match="'b'"):
        dynet.compare({"a": BASE, "b": 3})
