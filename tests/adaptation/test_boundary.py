"""Distances to the boundary against a brute-force search, and where they are known on paper."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import dynet


@settings(max_examples=25)
@given(n=st.floats(0.3, 30), s=st.floats(0, 1), xi=st.floats(0, 5), margin=st.sampled_from([0.0, 0.013, 0.3]))
def test_no_point_of_the_boundary_is_nearer(n, s, xi, margin):
    ds = dynet.boundary_distance(n, s, xi=xi, margin=margin)
    gains = np.concatenate([np.linspace(max(1e-3, n - 2), n + 2, 40_001), np.geomspace(1e-3, 1e3, 4001)])
    curve = dynet.stability_boundary(gains, xi=xi, margin=margin)
    nearest = np.sqrt(np.nanmin((gains - n) ** 2 + (curve - s) ** 2))
    assert abs(float(ds.distance)) <= nearest * (1 + 1e-9) + 1e-12
    assert abs(float(ds.distance)) == pytest.approx(nearest, abs=2e-3)
    # the point that is given is one of the boundary, at that distance, and the sign is that of the condition
    assert float(ds.residual) < 1e-8 * (1 + abs(float(ds.nearest_saturation)) * (1 + float(ds.nearest_gain)))
    there = np.hypot(float(ds.nearest_gain) - n, float(ds.nearest_saturation) - s)
    assert abs(float(ds.distance)) == pytest.approx(there, rel=1e-12)
    slope = dynet.gamma_activation(xi, n, s, derivative="x")
    assert float(ds.slack) == pytest.approx(1 - margin - slope, abs=1e-12)
    assert np.sign(ds.distance) == np.sign(ds.slack)


def test_far_to_the_right_the_boundary_is_a_saturation_of_the_margin():
    """At large n xi the slope is 1 - s, so the distance is the saturation less the margin."""
    ds = dynet.boundary_distance([50.0, 40.0], [0.25, 0.005], xi=20.0, margin=0.013)
    np.testing.assert_allclose(ds.distance, [0.25 - 0.013, 0.005 - 0.013], rtol=1e-9)


def test_points_of_the_boundary_have_no_distance_and_paths_keep_their_dimensions():
    gains = xr.DataArray(np.linspace(4.5, 9, 40), dims="time")
    on = dynet.boundary_distance(gains, dynet.stability_boundary(gains, xi=0.1), xi=0.1)
    assert on.distance.dims == ("time",)
    np.testing.assert_allclose(on.distance, 0, atol=1e-9)
    many = dynet.boundary_distance(gains, 0.4, xi=xr.DataArray([0.1, 1.0], dims="xi", coords={"xi": [0.1, 1.0]}))
    assert many.distance.dims == ("time", "xi")
    one = dynet.boundary_distance(float(gains[7]), 0.4, xi=1.0)
    assert float(many.distance.sel(xi=1.0)[7]) == pytest.approx(float(one.distance), rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": -1.0}, r"n=-1\.0"),
        ({"xi": np.nan}, "xi=nan"),
        ({"sigma": 0.0}, r"sigma=0\.0"),
        ({"margin": 1.0}, r"margin=1\.0"),
        ({"n": [1.0, 2.0], "s": [0.1, 0.2, 0.3]}, "n, s, xi and sigma do not fit"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(dynet.InputError, match=message):
        dynet.boundary_distance(**{"n": 1.0, "s": 0.5, "xi": 1.0, **arguments})


def test_saturations_outside_are_computed_with_a_warning():
    with pytest.warns(UserWarning, match=r"s=1\.2 is outside"):
        assert np.isfinite(dynet.boundary_distance(5.0, 1.2, xi=0.5).distance)
