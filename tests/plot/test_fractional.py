"""Pictures of fractional orders show the numbers of the results."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

import dynet

STEP = np.repeat([0.0, 1.0], [20, 80])
RESPONSES = np.stack([dynet.fractional_derivative(STEP, a) for a in (0.3, -0.2, 0.1)] + [np.ones(100)])
RESPONSES[:3] += np.random.default_rng(0).normal(0, 0.05, (3, 100))
FIT = dynet.fractional_order(RESPONSES, STEP, axis=-1)


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def test_orders_are_sorted_with_their_intervals():
    ax = dynet.plot.fractional_order(FIT)
    line, _, (bars,) = ax.containers[0].lines
    ranks = [1, 2, 0]
    np.testing.assert_allclose(line.get_ydata(), FIT.order.values[ranks])
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, FIT.order_interval.values[ranks], atol=1e-12)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["(1 without an order)"]


def test_groups_and_intervals_without_an_end():
    wide = dynet.fractional_order(RESPONSES[0], STEP, orders=(-1, 0.2))
    assert np.isinf(wide.order_interval).any()
    figure, (left, right) = pyplot.subplots(1, 2)
    ax = dynet.plot.fractional_order({"a": FIT, "b": wide}, ax=right)
    assert ax is right
    assert right.figure is figure
    assert not left.lines
    assert ax.get_ylim()[1] < 1


def test_other_results_are_refused():
    with pytest.raises(dynet.InputError, match=r"give a Dataset from dynet\.fractional_order"):
        dynet.plot.fractional_order(xr.Dataset())
