"""The picture of gain scaling shows the data and its models."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

import dynet

XI = np.array([1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0])
VALUES = 4 * XI**-0.8 + 1 + 0.05 * np.array([1, -1, 0, 1, -1, 1, -1])


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def fitted(values=VALUES, **extra):
    return dynet.fit_gain_scaling(xr.DataArray(values, dims="level", coords={"level": XI, **extra}), dim="level")


def test_points_are_the_gains_and_curves_pass_them_by_the_residuals():
    ds = fitted()
    ax = dynet.plot.gain_scaling(ds)
    points, *curves = ax.lines
    np.testing.assert_allclose(points.get_ydata(), VALUES, rtol=1e-12)
    for curve, model in zip(curves, ds.model.values, strict=True):
        at_levels = np.interp(np.log(XI), np.log(curve.get_xdata()), curve.get_ydata())
        np.testing.assert_allclose(VALUES - at_levels, ds.residual.sel(model=model), atol=2e-3)
    assert [text.get_text() for text in ax.get_legend().texts][1] == "power (least AICc)"


def test_several_results_show_their_best_model():
    ax = dynet.plot.gain_scaling({"n": fitted(), "s": fitted(np.exp(-0.1 * XI))})
    assert len(ax.lines) == 4
    assert [text.get_text() for text in ax.get_legend().texts] == ["n", "s"]


def test_other_results_are_refused():
    with pytest.raises(dynet.InputError, match="fit_gain_scaling"):
        dynet.plot.gain_scaling(xr.Dataset())
    many = xr.DataArray([VALUES, VALUES], dims=("unit", "level"), coords={"level": XI})
    with pytest.raises(dynet.InputError, match=r"results\['a'\] holds several gains, along unit"):
        dynet.plot.gain_scaling({"a": dynet.fit_gain_scaling(many, dim="level")})
