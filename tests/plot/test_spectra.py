"""Pictures: what stands on the axes are the numbers of the result."""

import numpy as np
import pytest
from matplotlib import pyplot
from scipy import stats

import dynet

ONE_SIGMA = stats.norm.cdf(1) - stats.norm.cdf(-1)
HENON = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 2_000)
BATCH = dynet.lyapunov_spectrum(dynet.zoo.henon(), [[0.1, 0.1], [0.2, 0.1], [0.0, 0.0]], 2_000)
LOST = dynet.lyapunov_spectrum(
    dynet.networks.relu_rnn(np.diag([0.5, 0.5, 0.5]), b=[1.0, -1.0, -1.0]), [1.0, 1.0, 1.0], 20
)


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def bars(container):
    """Return (x, y, lower, upper) of an errorbar."""
    line, _, (segments,) = container.lines
    ends = np.array(segments.get_segments())
    return line.get_xdata(), line.get_ydata(), ends[:, 0, 1], ends[:, 1, 1]


def test_exponents_stand_at_their_index_with_their_error_bars():
    ax = dynet.plot.spectrum(HENON, level=ONE_SIGMA)
    x, y, lower, upper = bars(ax.containers[0])
    np.testing.assert_array_equal(x, [1, 2])
    np.testing.assert_array_equal(y, HENON.lyapunov_exponent)
    np.testing.assert_allclose(lower, HENON.lyapunov_exponent - HENON.standard_error)
    np.testing.assert_allclose(upper, HENON.lyapunov_exponent + HENON.standard_error)
    assert any(np.allclose(line.get_ydata(), 0.0) for line in ax.lines)  # the zero line
    assert ax.get_xlabel() == "exponent"
    assert "nat / step" in ax.get_ylabel()
    assert ax.get_legend() is None


def test_error_bars_are_95_percent_intervals_unless_told_otherwise():
    _, _, lower, upper = bars(dynet.plot.spectrum(HENON).containers[0])
    degrees = HENON.degrees_of_freedom.values
    factor = stats.t.ppf(0.975, degrees) / stats.t.ppf(0.5 + ONE_SIGMA / 2, degrees)
    np.testing.assert_allclose((upper - lower) / 2, factor * HENON.standard_error)


def test_a_dict_gives_a_legend_in_its_order_and_colours_of_its_own():
    ax = dynet.plot.spectrum({"before": HENON, "after": BATCH})
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["before", "after"]
    np.testing.assert_array_equal(bars(ax.containers[1])[1], BATCH.lyapunov_exponent)
    assert ax.containers[0].lines[0].get_color() != ax.containers[1].lines[0].get_color()


def test_a_given_axes_is_drawn_on_and_returned():
    figure, (left, right) = pyplot.subplots(1, 2)
    assert dynet.plot.spectrum(HENON, ax=right) is right
    assert dynet.plot.convergence(HENON, ax=left) is left
    assert right.containers
    assert len(pyplot.get_fignums()) == 1
    assert figure.axes == [left, right]


def test_lost_exponents_are_counted_and_not_drawn():
    ax = dynet.plot.spectrum(LOST)
    np.testing.assert_array_equal(bars(ax.containers[0])[0], [1])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["(2 of 3 are -inf)"]
    assert np.isfinite(ax.get_ylim()).all()


def test_exponents_known_on_paper_have_no_bars():
    theory = dynet.theory.ginibre_exponents(10)
    container = dynet.plot.spectrum(theory).containers[0]
    np.testing.assert_array_equal(container.lines[0].get_ydata(), theory.lyapunov_exponent)
    assert not container.has_yerr
    ax = dynet.plot.spectrum(dynet.theory.ginibre_exponents(60))
    assert not ax.collections
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(1, 61))


@pytest.mark.parametrize("plot", [dynet.plot.spectrum, dynet.plot.convergence])
def test_a_single_exponent_is_no_spectrum(plot):
    with pytest.raises(dynet.InputError, match=r"dimensions none: give a result of dynet.lyapunov_spectrum"):
        plot(dynet.two_trajectory_exponent(dynet.zoo.henon(), [0.1, 0.1], 100))
    assert not pyplot.get_fignums()


def test_many_exponents_are_a_line_with_a_band():
    n = 60
    ds = dynet.lyapunov_spectrum(dynet.networks.random_tanh(n, 1.5), np.linspace(-1, 1, n), 30)
    ax = dynet.plot.spectrum(ds, level=ONE_SIGMA)
    assert not ax.containers
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), ds.lyapunov_exponent)
    band = ax.collections[0].get_paths()[0].vertices
    for k in (0, n // 2, n - 1):
        edges = band[np.isclose(band[:, 0], k + 1), 1]
        np.testing.assert_allclose(edges.max(), ds.lyapunov_exponent[k] + ds.standard_error[k], rtol=1e-12)
        np.testing.assert_allclose(edges.min(), ds.lyapunov_exponent[k] - ds.standard_error[k], rtol=1e-12)


@pytest.mark.parametrize("plot", [dynet.plot.spectrum, dynet.plot.convergence])
@pytest.mark.parametrize("thing", [None, 3, {}, {"a": HENON, "b": np.zeros(3)}, np.zeros(3)])
def test_things_that_are_no_spectra_are_refused(plot, thing):
    with pytest.raises(dynet.InputError) as caught:
        plot(thing)
    assert "result" in str(caught.value)
    assert not pyplot.get_fignums()  # nothing was begun


@pytest.mark.parametrize("plot", [dynet.plot.spectrum, dynet.plot.convergence])
def test_results_of_another_kind_are_refused(plot):
    with pytest.raises(dynet.InputError, match=r"dynet.lyapunov_spectrum"):
        plot(dynet.kaplan_yorke_dimension(HENON))


def test_numbers_that_cannot_be_drawn_are_refused():
    for plot in (dynet.plot.spectrum, dynet.plot.convergence):
        for level in (-1, 95, "0.95"):
            with pytest.raises(dynet.InputError, match=f"level='?{level}"):
                plot(HENON, level=level)
    for exponents in (0, [], [3], [1, 0], "1", 1.5):
        with pytest.raises(dynet.InputError, match="exponents="):
            dynet.plot.convergence(HENON, exponents=exponents)
    assert not pyplot.get_fignums()
