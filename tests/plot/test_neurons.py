"""Pictures of f-I curves, distributions, boundaries and controllers show the numbers of the results."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

import dynet

TIME = xr.DataArray(np.arange(60.0), dims="time")
LEVELS = xr.DataArray([1.0, 2.0, 4.0], dims="level", coords={"level": [1.0, 2.0, 4.0]})
CURRENT = xr.DataArray(np.random.default_rng(0).normal(0, 1, (2, 400)), dims=("unit", "time"))


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def test_curves_of_all_units():
    curve = dynet.response_curve(np.tanh(CURRENT), CURRENT)
    ax = dynet.plot.response_curve({"a": curve, "b": curve.isel(unit=[0])})
    assert len(ax.containers) == 3
    np.testing.assert_allclose(ax.containers[1].lines[0].get_ydata(), curve.rate[1])
    assert [text.get_text() for text in ax.get_legend().texts] == ["a", "b"]


def test_distribution_functions():
    ds = dynet.response_distribution(LEVELS * CURRENT)
    ax = dynet.plot.response_distribution(ds.isel(unit=0))
    np.testing.assert_allclose(ax.lines[2].get_xdata(), ds["quantile"][0, 2])
    with pytest.raises(dynet.InputError, match=r"result holds several units, along unit: .* \.isel\(unit=0\)"):
        dynet.plot.response_distribution(ds)
    with pytest.raises(dynet.InputError, match="result=Dataset 'Distributions of responses': give a Dataset from"):
        dynet.plot.response_curve(ds)


def test_paths_and_their_boundaries():
    fall = np.exp(-TIME / 10)
    results = {f"{xi:g}": dynet.boundary_distance(2 + 4 * fall, 0.3 + 0.4 * fall, xi=xi) for xi in (0.3, 1.0)}
    ax = dynet.plot.stability_boundary(results)
    curve, path, onset, end = ax.lines[:4]
    x, y = curve.get_data()
    shown = np.isfinite(y)
    np.testing.assert_allclose(y[shown], dynet.stability_boundary(x, xi=0.3)[shown])
    np.testing.assert_allclose(path.get_data(), [2 + 4 * fall, 0.3 + 0.4 * fall])
    np.testing.assert_allclose(
        [*onset.get_data(), *end.get_data()], [[6], [0.7], path.get_xdata()[-1:], path.get_ydata()[-1:]]
    )
    many = dynet.boundary_distance(2 + 4 * fall, 0.3, xi=LEVELS)
    with pytest.raises(dynet.InputError, match="result holds several values of drive"):
        dynet.plot.stability_boundary(many)
    assert len(dynet.plot.stability_boundary(dynet.boundary_distance([3.0, 4.0], 0.5, xi=1.0)).lines) == 4


def test_paths_of_a_controller_and_their_ends():
    g = xr.concat([np.tanh(LEVELS) * (1 - np.exp(-TIME / 5)), LEVELS * np.exp(-TIME / 5)], dim="controller")
    ds = dynet.controller_manifold(g)
    ax = dynet.plot.controller(ds)
    np.testing.assert_allclose(ax.lines[0].get_xydata(), ds.steady_state)
    np.testing.assert_allclose(ax.lines[1].get_xydata(), ds.score[0])
    with pytest.raises(dynet.InputError, match="along unit"):
        dynet.plot.controller(dynet.controller_manifold(xr.concat([g, g], "unit")))
    with pytest.raises(dynet.InputError, match="one component"):
        dynet.plot.controller(dynet.controller_manifold(g, n_components=1))


@pytest.mark.parametrize("name", ["response_curve", "response_distribution", "stability_boundary", "controller"])
def test_other_results_are_refused(name):
    with pytest.raises(dynet.InputError, match=r"give a Dataset from dynet\."):
        getattr(dynet.plot, name)(xr.Dataset())


def test_pictures_without_room_for_several_say_so():
    ds = dynet.response_distribution(LEVELS * CURRENT[0])
    assert len(dynet.plot.response_distribution({"one": ds}).lines) == 3
    with pytest.raises(dynet.InputError, match="results=a, b: draw one at a time"):
        dynet.plot.response_distribution({"a": ds, "b": ds})
    states = LEVELS * TIME * xr.DataArray([1.0, 2.0], dims="controller") + TIME**2
    one = dynet.controller_manifold(states)
    with pytest.raises(dynet.InputError, match="draw one at a time"):
        dynet.plot.controller({"a": one, "b": one})
