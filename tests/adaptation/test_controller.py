"""Components and steady states of controllers whose paths are made by hand."""

import numpy as np
import pytest
import xarray as xr

import dynet

XI = xr.DataArray([1.0, 2.0, 4.0, 8.0], dims="level", coords={"level": [1.0, 2.0, 4.0, 8.0]})
TIME = xr.DataArray(np.arange(200.0), dims="time")
BASIS = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
LINE, ACROSS = (xr.DataArray(b, dims="controller") for b in BASIS.T[:2])


def states():
    """Return paths that start off a curve, across it, and settle on a half circle."""
    angle = np.log(XI) / np.log(8) * np.pi
    fall = np.exp(-TIME / 10)
    return np.cos(angle) * LINE + (np.sin(angle) + 0.3 * fall) * ACROSS + 2.0


def test_plane_and_curve_are_found():
    ds = dynet.controller_manifold(states())
    assert float(ds.explained.sum()) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(ds.unexplained, 0, atol=1e-10)
    plane = ds.direction.values
    np.testing.assert_allclose(plane @ plane.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(plane.T @ plane, BASIS[:, :2] @ BASIS[:, :2].T, atol=1e-10)
    chord = 2 * np.sin(np.pi / 6)  # three equal steps on a half circle
    np.testing.assert_allclose(ds.arc_length, chord * np.arange(4), atol=1e-6)
    assert (ds.drift < 1e-6).all()
    back = ds.score @ ds.direction + ds.center
    xr.testing.assert_allclose(
        back.transpose("level", "time", "controller"), states().transpose("level", "time", "controller")
    )


def test_states_that_still_move_say_so():
    ds = dynet.controller_manifold(states().isel(time=slice(0, 20)), window=0.5)
    np.testing.assert_allclose(ds.drift, 0.3 * (np.exp(-1) - np.exp(-1.9)), rtol=1e-9)


def test_levels_are_passed_in_order_and_units_stay_apart():
    one = dynet.controller_manifold(states())
    mixed = dynet.controller_manifold(states().isel(level=[2, 0, 3, 1]))
    np.testing.assert_allclose(mixed.arc_length, one.arc_length, atol=1e-12)
    two = dynet.controller_manifold(xr.concat([states(), 3 * states()], "unit").transpose("time", "unit", ...))
    assert two.score.dims == ("unit", "level", "time", "component")
    np.testing.assert_allclose(two.arc_length[1], 3 * two.arc_length[0])


def test_fewer_samples_than_states():
    g = xr.DataArray(np.random.default_rng(1).standard_normal((2, 2, 9)), dims=("level", "time", "controller"))
    ds = dynet.controller_manifold(g, n_components=9, window=1.0)
    assert float(ds.explained.sum()) == pytest.approx(1)
    np.testing.assert_allclose(ds.explained[4:], 0, atol=1e-12)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (np.zeros((2, 3, 4)), {}, "states=array"),
        (states(), {"controller": "g"}, "controller='g'"),
        (states(), {"level": "xi"}, "level='xi'"),
        (states(), {"n_components": 6}, "from 1 to 5"),
        (states(), {"window": 0}, "window=0"),
        (states() * np.nan, {}, "not finite"),
        (states() * 0, {}, "all the same"),
    ],
)
def test_bad_input_is_named(given, options, message):
    with pytest.raises(dynet.InputError, match=message):
        dynet.controller_manifold(given, **options)


def test_result_survives_files(tmp_path):
    ds = dynet.controller_manifold(states())
    xr.testing.assert_identical(dynet.load(dynet.save(ds, tmp_path / "controller.nc")), ds)
