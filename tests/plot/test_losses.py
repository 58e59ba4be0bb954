"""Pictures of losses: what stands on the axes are the recorded numbers."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

import dynet
from dynet.errors import InputError


def training(seed=0, repeats=None):
    rng = np.random.default_rng(seed)
    dims, shape = (("epoch",), (4,)) if repeats is None else (("repeat", "epoch"), (repeats, 4))
    names = ("loss", "validation_loss", "metric")
    return xr.Dataset(
        {name: (dims, np.geomspace(2, 0.1, 4) * rng.uniform(0.9, 1, size=shape)) for name in names},
        {"epoch": [1, 2, 3, 4]},
    )


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def test_one_training_shows_both_losses():
    ds = training()
    ax = dynet.plot.loss_curves(ds)
    for line, name in zip(ax.lines, ("loss", "validation_loss"), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), ds.epoch)
        np.testing.assert_array_equal(line.get_ydata(), ds[name])
    assert ax.get_yscale() == "log"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["loss", "validation loss"]


def test_several_trainings_have_their_names_and_a_metric_is_linear():
    named = {"plain": training(0), "cycles": training(1)}
    ax = dynet.plot.loss_curves(named, quantity="metric")
    for line, (name, ds) in zip(ax.lines, named.items(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), ds.metric)
        assert line.get_label() == name
    assert ax.get_yscale() == "linear"


def test_repeats_are_lines_about_their_median_and_failed_ones_are_left_out():
    ds = training(0, repeats=5)
    ds.loss[2] = np.nan
    ax = dynet.plot.loss_curves({"cycles": ds})
    drawn = np.array(
        [line.get_ydata() for line in ax.lines if line.get_linewidth() < 1 and line.get_linestyle() == "-"]
    )
    kept = ds.loss.values[[0, 1, 3, 4]]
    np.testing.assert_array_equal(drawn, kept)
    thick = next(line for line in ax.lines if line.get_linewidth() > 1)
    np.testing.assert_array_equal(thick.get_ydata(), np.median(kept, axis=0))


def test_what_is_no_training_is_refused():
    with pytest.raises(InputError, match=r"dynet\.torch\.train"):
        dynet.plot.loss_curves(xr.Dataset())
    with pytest.raises(InputError, match="select along all but epoch and repeat"):
        dynet.plot.loss_curves(training().expand_dims(rate=[1.0]))
    with pytest.raises(InputError, match="quantity"):
        dynet.plot.loss_curves(training(), quantity="accuracy")
