"""What the pictures of branches show."""

import numpy as np
import pytest
from matplotlib import pyplot

import dynet
from dynet import InputError


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def branches():
    flow = dynet.zoo.stuart_landau(-0.2, 1.5, 0.4)
    rest = dynet.continue_orbit(flow, [0.0, 0.0], "growth", (-0.5, 0.5), max_step=0.2)
    cycle = dynet.cycle_from_hopf(flow, rest)
    return {"rest": rest, "cycle": dynet.continue_orbit(flow, cycle, "growth", (-0.5, 0.5), max_step=0.2)}


def test_stable_parts_are_solid_and_bifurcations_are_named(branches):
    ax = dynet.plot.continuation(branches)
    styles = [line.get_linestyle() for line in ax.lines[:4]]
    # rest is stable, then unstable; the cycle's highest and lowest values are stable
    assert styles == ["-", "--", "-", "-"]
    assert (np.concatenate([ax.lines[0].get_xdata(), ax.lines[1].get_xdata()[1:]]) == branches["rest"].parameter).all()
    growth, highest = ax.lines[2].get_data()
    np.testing.assert_allclose(highest, np.sqrt(growth), rtol=1e-6)
    np.testing.assert_allclose(ax.lines[3].get_ydata(), -highest, rtol=1e-9)
    mark = ax.lines[4]
    assert (mark.get_label(), mark.get_linestyle()) == ("Hopf", "None")
    np.testing.assert_allclose(mark.get_xydata(), 0, atol=1e-10)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["rest", "cycle", "Hopf"]
    assert ax.get_xlabel() == "growth"


def test_frequency_against_the_parameter(branches):
    ax = dynet.plot.continuation(branches["cycle"], quantity="frequency")
    growth, frequency = ax.lines[0].get_data()
    np.testing.assert_allclose(frequency, (1.5 - 0.4 * growth) / (2 * np.pi), rtol=1e-9)
    np.testing.assert_allclose(ax.lines[1].get_xydata(), [[0, 1.5 / (2 * np.pi)]], atol=1e-9)
    ax = dynet.plot.continuation(branches["cycle"], quantity="period", unit="y")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 1 / frequency)
    assert ax.get_ylabel() == "period (time)"


def test_bad_input(branches):
    for options, message in (({"unit": "z"}, "unit='z'"), ({"quantity": "rate"}, "quantity='rate'")):
        with pytest.raises(InputError, match=message):
            dynet.plot.continuation(branches, **options)
    other = dynet.continue_orbit(dynet.zoo.logistic(2.5), [0.6], "r", (2.4, 2.6))
    with pytest.raises(InputError, match="along different parameters"):
        dynet.plot.continuation({"a": branches["rest"], "b": other})
    with pytest.raises(InputError, match=r"dynet\.continue_orbit"):
        dynet.plot.continuation(dynet.simulate(dynet.zoo.henon(), [0.1, 0.1], 10))
