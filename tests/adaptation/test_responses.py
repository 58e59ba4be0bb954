"""f-I curves of known functions, and Wasserstein distances that are known on paper."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import dynet

RANDOM = np.random.default_rng(0)
CURRENT = xr.DataArray(RANDOM.normal(0, 2, (3, 4000)), dims=("unit", "time"), coords={"unit": ["a", "b", "c"]})


def test_curve_of_a_line_is_the_line():
    curve = dynet.response_curve(3 * CURRENT - 1, CURRENT, n_bins=16)
    np.testing.assert_allclose(curve.rate, 3 * curve.current - 1, atol=1e-12)
    np.testing.assert_allclose(curve.slope, 3, rtol=1e-10)
    assert curve.rate.dims == ("unit", "bin")
    assert int(curve.n_samples.sum()) == 4000


def test_curve_of_a_noisy_unit_has_errors_that_hold():
    n = xr.DataArray([2.0, 5.0, 9.0], dims="unit", coords={"unit": ["a", "b", "c"]})
    response = dynet.gamma_activation(CURRENT, n, 0.4) + RANDOM.normal(0, 0.5, CURRENT.shape)
    curve = dynet.response_curve(response.T, CURRENT, n_bins=80)
    z = (curve.rate - dynet.gamma_activation(curve.current, n, 0.4)) / curve.standard_error
    assert np.mean(np.abs(z) < 1.96) == pytest.approx(0.95, abs=0.04)


def test_one_stimulus_for_all_units():
    shared = CURRENT[0].drop_vars("unit")
    curve = dynet.response_curve(CURRENT * 0 + 2 * shared, shared, n_bins=4)
    np.testing.assert_allclose(curve.slope, 2, rtol=1e-10)
    assert curve.slope.dims == ("unit", "bin")


def test_bins_of_equal_stimuli_have_a_mean_and_no_slope():
    steps = xr.DataArray(np.repeat([0.1, 0.3, 0.7], 50), dims="time")
    curve = dynet.response_curve(steps**2, steps, n_bins=3)
    np.testing.assert_allclose(curve.rate, [0.01, 0.09, 0.49], rtol=1e-12)
    assert np.isnan(curve.slope).all()


def test_distances_of_shifted_and_scaled_samples():
    """A shift moves a distribution by itself; a scale c moves it by |c - 1| E|x| if it is symmetric."""
    x = RANDOM.standard_normal(500)
    levels = xr.DataArray([x, x + 3, 2 * x], dims=("level", "time"), coords={"level": [1.0, 2.0, 4.0]})
    ds = dynet.response_distribution(levels, share=0.8)
    assert float(ds.distance[0, 1]) == pytest.approx(3, rel=1e-12)
    assert float(ds.distance[0, 2]) == pytest.approx(np.mean(np.abs(x)), rel=1e-12)
    np.testing.assert_array_equal(ds.distance, ds.distance.T)
    low, high = np.quantile(x, [0.1, 0.9])
    np.testing.assert_allclose(ds.effective_range, np.array([1, 1, 2]) * (high - low))
    assert float(ds.noise_floor[0]) == pytest.approx(stats.wasserstein_distance(x[::2], x[1::2]))
    assert ds.level_2.values.tolist() == [1.0, 2.0, 4.0]


def test_scaled_gains_make_alike_responses():
    xi = np.array([1.0, 5.0, 30.0])
    stimulus = dynet.gain_scaling_stimulus(xi, n_steps=3000).isel(time=slice(3000, 6000))
    gain = 3.0 / stimulus.level
    ds = dynet.response_distribution(xr.concat(
        [dynet.gamma_activation(stimulus, 3.0, 1.0), dynet.gamma_activation(stimulus, gain, 1.0)], "unit"
    ))  # fmt: skip
    assert ds.distance.dims == ("unit", "level", "level_2")
    fixed, scaled = ds.distance.values
    assert fixed.max() > 0.1
    assert scaled.max() < 3 * ds.noise_floor[1].max()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dynet.response_curve(CURRENT.values, CURRENT), "response=array"),
        (lambda: dynet.response_curve(CURRENT, CURRENT, dim="t"), "dim='t'"),
        (lambda: dynet.response_curve(CURRENT, CURRENT[:, :50]), "stimulus has 50 along time, response 4000"),
        (lambda: dynet.response_curve(CURRENT, CURRENT.rename(unit="cell")), "dimension cell"),
        (lambda: dynet.response_curve(CURRENT, CURRENT[::-1]), "different labels along unit"),
        (lambda: dynet.response_curve(CURRENT, CURRENT, n_bins=1), "n_bins=1"),
        (lambda: dynet.response_curve(CURRENT[:, :30], CURRENT[:, :30]), "at most 15"),
        (lambda: dynet.response_curve(CURRENT.where(CURRENT < 3), CURRENT), "not finite"),
        (lambda: dynet.response_curve(CURRENT, CURRENT[0].drop_vars("unit") * 0 + 0.1), r"is 0\.1 throughout"),
        (lambda: dynet.response_curve(CURRENT, CURRENT.where(CURRENT.unit != "b", 0.1)), r"1 of 3 .* \{'unit': 1\}"),
        (lambda: dynet.response_distribution(CURRENT), "level='level'"),
        (lambda: dynet.response_distribution(CURRENT[:, :4], level="unit"), "4 samples"),
        (lambda: dynet.response_distribution(CURRENT, level="unit", share=1), "share=1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(dynet.InputError, match=message):
        call()


def test_results_survive_files(tmp_path):
    for result in (dynet.response_curve(CURRENT, CURRENT), dynet.response_distribution(CURRENT, level="unit")):
        xr.testing.assert_identical(dynet.load(dynet.save(result, tmp_path / "result.nc")), result)
