"""Distances of spectra: known on paper, with errors that hold, also between networks of different size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dynet

spectrum = dynet.lyapunov_spectrum


def of_rates(rates, n_steps=40, **settings):
    """The spectrum of a diagonal map with these exponents."""
    J = np.broadcast_to(np.diag(np.exp(rates)), (n_steps, len(rates), len(rates)))
    k = settings.get("n_exponents", len(rates))
    return spectrum(dynet.Map.from_jacobians(J), None, n_steps, initial_frame=np.eye(len(rates), k), **settings)


def distance(a, b):
    return float(dynet.spectrum_distance(a, b).spectrum_distance)


rates = st.lists(st.floats(-3, 1), min_size=3, max_size=3)


@settings(max_examples=25)
@given(rates, rates)
def test_it_is_the_root_mean_square_difference_and_a_metric(a, b):
    a, b = np.array(a), np.array(b)
    A, B, C = of_rates(a), of_rates(b), of_rates((a + b) / 3)
    assert distance(A, B) == pytest.approx(np.sqrt(np.mean((a - b) ** 2)), abs=1e-12)
    assert distance(A, B) == pytest.approx(distance(B, A), abs=1e-12)
    assert distance(A, A) == 0.0
    assert distance(A, B) <= distance(A, C) + distance(C, B) + 1e-12


@pytest.mark.parametrize(("n", "m"), [(4, 9), (9, 4), (3, 14)])
def test_straight_spectra_of_different_size_lie_on_each_other(n, m):
    # lambda(i / N) = 0.1 - 2 i / N at the middle of each step: linear interpolation is exact
    lines = [of_rates(0.1 - 2 * (np.arange(size) + 0.5) / size) for size in (n, m)]
    assert distance(*lines) < 1e-12
    moved = of_rates(0.3 - 2 * (np.arange(m) + 0.5) / m)
    assert distance(lines[0], moved) == pytest.approx(0.2, abs=1e-12)
    assert distance(moved, lines[0]) == pytest.approx(0.2, abs=1e-12)


def test_only_the_part_that_both_have_is_compared():
    whole, half = of_rates(np.linspace(0, -3, 8)), of_rates(np.linspace(0, -3, 8), n_exponents=4)
    result = dynet.spectrum_distance(whole, half)
    assert int(result.n_compared) == 4
    assert float(result.spectrum_distance) < 1e-12
    small = of_rates([0.0, -5.0])
    with pytest.raises(dynet.InputError, match=r"share no part of i/N.*n_exponents"):
        dynet.spectrum_distance(of_rates(np.linspace(0, -3, 40), n_exponents=2), small)


def noisy(n, seed, n_sequences=1, n_steps=200, shift=0.0):
    """Diagonal maps whose growth is white noise of standard deviation 0.3 about a straight spectrum."""
    growth = np.random.default_rng(seed).normal(0.0, 0.3, (n_sequences, n_steps, n))
    growth += shift - (np.arange(n) + 0.5) / n
    J = np.exp(growth)[..., None] * np.eye(n)
    return spectrum(dynet.Map.from_jacobians(J), None, n_steps, initial_frame=np.eye(n))


@pytest.mark.parametrize(("n", "m"), [(6, 6), (4, 6)])
def test_errors_hold_and_noise_is_what_equal_spectra_show(n, m):
    some, others = ([noisy(size, 2 * s + i) for s in range(20)] for i, size in enumerate((n, m)))
    moved = [noisy(m, 2 * s + 1, shift=0.5) for s in range(20)]
    far = [dynet.spectrum_distance(a, b) for a, b in zip(some, moved, strict=True)]
    values = np.array([float(one.spectrum_distance) for one in far])
    errors = np.array([float(one.standard_error) for one in far])
    assert values.mean() == pytest.approx(0.5, abs=0.01)
    assert np.median(errors) == pytest.approx(values.std(), rel=0.4)
    near = [dynet.spectrum_distance(a, b) for a, b in zip(some, others, strict=True)]
    values = np.array([float(one.spectrum_distance) for one in near])
    noise = np.array([float(one.noise) for one in near])
    assert np.sqrt(np.mean(values**2)) == pytest.approx(np.median(noise), rel=0.25)


def test_noise_that_runs_share_cancels():
    random = np.random.default_rng(0)
    W, X = random.standard_normal((6, 6)) / 2, random.standard_normal((6, 1))
    inputs = random.standard_normal((8, 60, 1))
    a, b = (spectrum(dynet.networks.tanh_rnn(g * W, X), None, 60, inputs=inputs) for g in (1.0, 0.97))
    paired = dynet.spectrum_distance(a, b)
    assert paired.attrs["paired"] == "True"
    apart = dynet.spectrum_distance(a, spectrum(dynet.networks.tanh_rnn(0.97 * W, X), None, 59, inputs=inputs[:, 1:]))
    assert apart.attrs["paired"] == "False"
    assert float(paired.noise) < 0.5 * float(apart.noise)
    compared = dynet.compare({"a": a, "b": b})
    np.testing.assert_allclose(compared.spectrum_distance[0], paired.spectrum_distance)
    np.testing.assert_allclose(compared.distance_error[0], paired.standard_error)
    np.testing.assert_allclose(compared.distance_noise[0], paired.noise)


def test_lost_exponents_are_counted_and_left_out():
    lost = [of_rates([0.5, -0.5, rate, -np.inf]) for rate in (-1.0, -np.inf)]
    result = dynet.spectrum_distance(*lost)
    assert float(result.spectrum_distance) == 0.0
    assert int(result.n_lost) == 1
    assert int(result.n_compared) == 3
    smaller = dynet.spectrum_distance(lost[0], of_rates([0.5, -np.inf]))
    assert not np.isnan(float(smaller.spectrum_distance))
    none = dynet.spectrum_distance(of_rates([-np.inf, -np.inf]), of_rates([0.0, 0.0]))
    assert float(none.spectrum_distance) == np.inf
    assert int(none.n_lost) == 2


def test_spectra_of_different_things_are_refused():
    a = of_rates([0.0, -1.0])
    with pytest.raises(dynet.InputError, match=r"time unit.*'step' against 'ms'"):
        dynet.spectrum_distance(a, a.assign_attrs(time_unit="ms"))
    with pytest.raises(dynet.InputError, match="state"):
        dynet.spectrum_distance(a, a.assign_attrs(state="hidden"))
    for thing in (None, 3, dynet.kaplan_yorke_dimension(a)):
        with pytest.raises(dynet.InputError, match="lyapunov_spectrum"):
            dynet.spectrum_distance(a, thing)


def test_tables_and_files(tmp_path):
    result = dynet.spectrum_distance(noisy(4, 0), noisy(6, 1))
    (row,) = dynet.summary(result).to_dict("records")
    assert row["value"] == float(result.spectrum_distance)
    assert row["standard_error"] == float(result.standard_error)
    assert "equal spectra would show" in row["verdict"]
    assert dynet.load(dynet.save(result, tmp_path / "distance.nc")).identical(result)
