"""Known laws are found again, with intervals that hold the truth as often as they say."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import dynet
from dynet.adaptation.exponential import fit_exponential

XI = np.array([1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0])


def gain(values, **coords):
    dims = (*coords, "level")
    return xr.DataArray(values, dims=dims, coords={**coords, "level": XI})


@settings(max_examples=30)
@given(
    a=st.floats(0.1, 20) | st.floats(-20, -0.1), b=st.floats(0.1, 3), c=st.floats(-5, 5), model=st.sampled_from([0, 1])
)
def test_laws_without_noise_are_found(a, b, c, model):
    b = b if model == 0 else b / 5
    values = a * XI**-b + c if model == 0 else a * np.exp(-b * XI) + c
    ds = dynet.fit_gain_scaling(gain(values), dim="level")  # no warning: the other law has no support
    name = ("power", "exponential")[model]
    assert ds.best_model == name
    found = ds.sel(model=name)
    np.testing.assert_allclose(found.parameter, [a, b, c], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.residual, 0, atol=1e-10)
    assert (found.interval.sel(bound="lower") <= found.parameter + 1e-12).all()
    assert (found.interval.sel(bound="upper") >= found.parameter - 1e-12).all()


@pytest.mark.parametrize("deviation", [0.02, 0.1])
def test_intervals_hold_the_truth_in_95_of_100_draws(deviation):
    random = np.random.default_rng(0)
    draws = 400
    v = np.log(XI)
    held = np.zeros(4)
    for _ in range(draws):
        fit = fit_exponential(v, 4 * XI**-0.8 + 1 + deviation * random.standard_normal(XI.size))
        ends = (fit.rate_interval, fit.amplitude_interval, fit.offset_interval, fit.start_interval)
        held += [low <= true <= high for true, (low, high) in zip((0.8, 4.0, 1.0, 5.0), ends, strict=True)]
    # three standard errors of a binomial share are 0.033
    assert np.all(np.abs(held / draws - 0.95) < 0.035), held / draws


def test_constant_is_preferred_for_noise_alone_and_its_interval_is_that_of_a_mean():
    random = np.random.default_rng(1)
    values = 2 + 0.1 * random.standard_normal((40, XI.size))
    with pytest.warns(UserWarning, match="spans 0 for"):
        ds = dynet.fit_gain_scaling(gain(values, unit=np.arange(40)), dim="level")
    assert (ds.best_model == "constant").mean() > 0.8
    assert ds.parameter.dims == ("unit", "model", "name")
    ends = ds.interval.sel(model="constant", name="c")
    half = 2.4469118511 * values.std(axis=1, ddof=1) / np.sqrt(7)  # t of 6 degrees of freedom
    np.testing.assert_allclose((ends.sel(bound="upper") - ends.sel(bound="lower")) / 2, half, rtol=1e-9)
    held = (ends.sel(bound="lower") < 2) & (ends.sel(bound="upper") > 2)
    assert held.mean() > 0.85


def test_aicc_by_hand():
    values = 4 * XI**-0.8 + 1 + 0.1 * np.array([1, -1, 0, 1, -1, 1, -1])
    ds = dynet.fit_gain_scaling(gain(values), dim="level")
    squares = (ds.residual**2).sum("level")
    expected = 7 * np.log(squares / 7) + np.array([8 + 2 * 4 * 5 / 2, 8 + 2 * 4 * 5 / 2, 4 + 2 * 2 * 3 / 4])
    np.testing.assert_allclose(ds.aicc, expected, rtol=1e-12)


def test_a_straight_line_has_no_amplitude_and_says_so():
    random = np.random.default_rng(0)
    with pytest.warns(UserWarning, match="b of the exponential model spans 0"):
        ds = dynet.fit_gain_scaling(gain(5 - 0.1 * XI + 0.05 * random.standard_normal(7)), dim="level")
    line = ds.interval.sel(model="exponential")
    assert line.sel(name="b", bound="lower") < 0 < line.sel(name="b", bound="upper")
    assert np.isneginf(line.sel(name="a", bound="lower"))
    assert np.isposinf(line.sel(name="c", bound="upper"))


def test_a_gain_that_never_changes_has_no_rate():
    ds = dynet.fit_gain_scaling(gain(np.full(7, 3.0)), dim="level")
    assert ds.best_model == "constant"
    assert np.isnan(ds.parameter.sel(name=["a", "b"])).all()
    np.testing.assert_array_equal(ds.parameter.sel(name="c"), 3.0)


def test_levels_in_other_units_change_a_alone():
    values = 4 * XI**-0.8 + 1 + 0.05 * np.array([1, -1, 0, 1, -1, 1, -1])
    one = dynet.fit_gain_scaling(gain(values), dim="level").sel(model="power")
    other = gain(values).assign_coords(level=XI * 1e-3)
    two = dynet.fit_gain_scaling(other, dim="level").sel(model="power")
    np.testing.assert_allclose(two.parameter[1:], one.parameter[1:], rtol=1e-6)
    np.testing.assert_allclose(two.interval[1:], one.interval[1:], rtol=1e-6)
    np.testing.assert_allclose(two.parameter[0], one.parameter[0] * 1e-3 ** one.parameter[1], rtol=1e-6)


@pytest.mark.parametrize("power", [-1000, -600, 664, 1020])  # 1e-301, 1e-181, 1e200, 1e307
@pytest.mark.parametrize("curve", [4 * XI**-0.8 + 1, np.full(XI.size, 3.0)], ids=["power law", "constant"])
def test_gains_in_any_units_have_one_law(curve, power):
    values = curve + 0.05 * np.array([1, -1, 0, 1, -1, 1, -1]) * np.ptp(curve)
    one, other = (dynet.fit_gain_scaling(gain(y), dim="level") for y in (values, np.ldexp(values, power)))
    assert one.best_model == other.best_model
    for variable in ("parameter", "interval"):
        two = other[variable].copy()
        two.loc[{"name": ["a", "c"]}] = np.ldexp(two.sel(name=["a", "c"]), -power)
        # an interval that leaves the numbers is infinite
        np.testing.assert_allclose(two.where(np.isfinite(two)), one[variable].where(np.isfinite(two)), rtol=1e-12)
    np.testing.assert_array_equal(np.ldexp(other.residual, -power), one.residual)
    np.testing.assert_allclose(other.aicc, one.aicc + 2 * XI.size * power * np.log(2), rtol=1e-12, atol=1e-9)


def test_levels_of_any_size_change_the_rate_of_the_exponential_alone():
    values = 4 * np.exp(-0.3 * XI) + 1 + 0.02 * np.array([1, -1, 0, 1, -1, 1, -1])
    one = dynet.fit_gain_scaling(gain(values), dim="level").sel(model="exponential")
    large = gain(values).assign_coords(level=np.ldexp(XI, 664))
    two = dynet.fit_gain_scaling(large, dim="level").sel(model="exponential")
    np.testing.assert_allclose(two.parameter * [1, 2.0**664, 1], one.parameter, rtol=1e-12)
    np.testing.assert_allclose(two.aicc, one.aicc, rtol=1e-12)


def test_stimulus_has_its_levels_in_the_middle():
    stimulus = dynet.gain_scaling_stimulus(n_steps=4000)
    assert stimulus.sizes == {"level": 7, "time": 12000}
    deviations = stimulus.groupby("part").std("time")
    np.testing.assert_allclose(deviations.sel(part="during"), XI, rtol=0.05)
    np.testing.assert_allclose(deviations.sel(part=["before", "after"]), 0.01, rtol=0.05)
    rows = (stimulus / stimulus.std("time")).values
    assert np.abs(np.corrcoef(rows) - np.eye(7)).max() < 0.06
    xr.testing.assert_identical(stimulus, dynet.gain_scaling_stimulus(n_steps=4000, rng=0))


@pytest.mark.parametrize(
    ("values", "dim", "message"),
    [
        (np.ones(7), "level", "gain=array of shape"),
        (gain(XI)[:5], "level", "at least 6"),
        (gain(XI), "xi", "dim='xi'"),
        (gain(np.where(XI > 10, np.nan, XI)), "level", "not finite"),
        (xr.DataArray(XI, dims="level"), "level", "no coordinate"),
        (gain(XI).assign_coords(level=XI - 1), "level", "positive levels"),
    ],
)
def test_bad_input_is_named(values, dim, message):
    with pytest.raises(dynet.InputError, match=message):
        dynet.fit_gain_scaling(values, dim=dim)


def test_results_survive_files(tmp_path):
    ds = dynet.fit_gain_scaling(gain(4 * XI**-0.8 + 1), dim="level")
    xr.testing.assert_identical(dynet.load(dynet.save(ds, tmp_path / "gain.nc")), ds)
