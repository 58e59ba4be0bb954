"""Running estimates and their bands: every band is that of the run up to there."""

import numpy as np
import pytest
from matplotlib import pyplot
from scipy import stats

import dynet
from dynet.lyapunov.convergence import error_bars, interval_factor

HENON = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 2_000)
BATCH = dynet.lyapunov_spectrum(dynet.zoo.henon(), [[0.1, 0.1], [0.2, 0.1], [0.0, 0.0]], 2_000)


def driven(n_sequences, n=6, **options):
    random = np.random.default_rng(0)
    net = dynet.networks.tanh_rnn(random.standard_normal((n, n)) / np.sqrt(n), random.standard_normal((n, 2)))
    return dynet.lyapunov_spectrum(net, None, 150, inputs=random.standard_normal((n_sequences, 150, 2)), **options)


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def curves(ax, n_times):
    """The lines that go through time: mean first, then single sequences; neither final values nor zero."""
    return [line for line in ax.lines if len(line.get_xdata()) == n_times]


def edges(band, time):
    """Lower and upper edge of a band at a time."""
    vertices = band.get_paths()[0].vertices
    there = vertices[np.isclose(vertices[:, 0], time), 1]
    return there.min(), there.max()


def labels(ax):
    return [text.get_text().split(" = ")[0] for text in ax.get_legend().get_texts()]


def test_estimates_are_drawn_against_time():
    ax = dynet.plot.convergence(BATCH, exponents=1)
    lines = curves(ax, BATCH.sizes["time"])
    assert len(lines) == 4  # the mean of three sequences and each of them
    np.testing.assert_allclose(lines[0].get_ydata(), BATCH.running_estimate[..., 0].mean("sequence"))
    for s in range(3):
        np.testing.assert_array_equal(lines[1 + s].get_ydata(), BATCH.running_estimate[s, :, 0])
    np.testing.assert_array_equal(lines[0].get_xdata(), BATCH.time)
    assert ax.get_xlabel() == "time (step)"
    assert "nat / step" in ax.get_ylabel()


@pytest.mark.parametrize("ds", [HENON, BATCH, driven(8), driven(4)], ids=["one", "shared", "eight", "four"])
def test_bands_are_the_intervals_of_the_run_up_to_there(ds):
    wide, narrow = dynet.plot.convergence(ds, exponents=1).collections
    mean = ds.running_estimate.mean("sequence").values[:, 0]
    drawn = np.unique(narrow.get_paths()[0].vertices[:, 0])
    assert len(drawn) > (30 if ds.sizes["time"] > 50 else 5)
    for time in (drawn[0], drawn[len(drawn) // 2], drawn[-1]):
        b = int(np.flatnonzero(np.isclose(ds.time, time))[0]) + 1
        independent = ds.attrs["sequences"] == "independent"
        error, degrees = error_bars(ds.growth.values[:, :b, 0], ds.duration.values[:, :b], independent=independent)
        np.testing.assert_allclose(edges(narrow, time), mean[b - 1] + np.array([-1, 1]) * error)
        width = interval_factor(0.95, degrees) * error
        np.testing.assert_allclose(edges(wide, time), mean[b - 1] + np.array([-1, 1]) * width)
    # the last one is that of the result
    last = float(ds.lyapunov_exponent[0]) + np.array([-1, 1]) * float(ds.standard_error[0])
    np.testing.assert_allclose(edges(narrow, drawn[-1]), last)


def test_later_growth_changes_nothing_before():
    short = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 1_500, qr_interval=1)
    full = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 2_000, qr_interval=1)
    assert short.duration[0, 0] == full.duration[0, 0]
    time = 1_500.0
    _, narrow = dynet.plot.convergence(short, exponents=1).collections
    width = np.ptp(edges(narrow, time)) / 2
    np.testing.assert_allclose(width, short.standard_error[0])
    _, of_full = dynet.plot.convergence(full, exponents=1).collections
    drawn = np.unique(of_full.get_paths()[0].vertices[:, 0])
    near = drawn[np.abs(drawn - time).argmin()]
    np.testing.assert_allclose(np.ptp(edges(of_full, near)) / 2, width, rtol=0.3)


def test_the_final_value_and_zero_have_lines():
    ax = dynet.plot.convergence(HENON, exponents=2)
    flat = [line.get_ydata()[0] for line in ax.lines if len(line.get_xdata()) == 2]
    np.testing.assert_allclose(sorted(flat), sorted([0.0, *HENON.lyapunov_exponent.values]))
    low, high = ax.get_ylim()
    assert low < -1.6 < 0.4 < high
    text = ax.get_legend().get_texts()[0].get_text()
    value, error = (float(x) for x in text.split(" = ")[1].split(" ± "))
    assert abs(value - float(HENON.lyapunov_exponent[0])) <= 0.5e-3
    assert abs(error - float(HENON.standard_error[0])) <= 0.5e-3


def test_the_wide_beginning_does_not_set_the_limits():
    ax = dynet.plot.convergence(dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 50_000), exponents=1)
    low, high = ax.get_ylim()
    assert high - low < 0.2
    assert low < 0.419 < high


def test_exponents_are_chosen_so_that_bands_are_seen():
    assert labels(dynet.plot.convergence(HENON)) == ["λ1"]  # the second lies two nats away
    larger = driven(8, n=32)
    assert labels(dynet.plot.convergence(larger)) == ["λ1", "λ2", "λ3"]
    assert labels(dynet.plot.convergence(larger, exponents=[1, 16, 32])) == ["λ1", "λ16", "λ32"]
    assert labels(dynet.plot.convergence(HENON, exponents=5)) == ["λ1", "λ2"]


def test_several_results_are_named():
    assert labels(dynet.plot.convergence({"a": HENON, "b": BATCH})) == ["a λ1", "b λ1"]
    assert labels(dynet.plot.convergence({"a": HENON, "b": BATCH}, exponents=2)) == ["a λ1", "a λ2", "b λ1", "b λ2"]


def test_many_sequences_are_not_drawn_one_by_one():
    ds = driven(20)
    assert len(curves(dynet.plot.convergence(ds, exponents=2), ds.sizes["time"])) == 2


def test_sequences_of_unequal_length():
    ds = driven(4, lengths=[150, 150, 90, 60])
    ax = dynet.plot.convergence(ds, exponents=1)
    mean = curves(ax, ds.sizes["time"])[0].get_ydata()
    np.testing.assert_allclose(mean[-1], ds.lyapunov_exponent[0])
    assert np.isfinite(mean).all()
    _, narrow = ax.collections
    np.testing.assert_allclose(np.ptp(edges(narrow, float(ds.time[-1]))) / 2, ds.standard_error[0])


def test_lost_exponents_are_left_out():
    relu = dynet.networks.relu_rnn(np.diag([0.5, 0.5, 0.5]), b=[1.0, -1.0, -1.0])
    lost = dynet.lyapunov_spectrum(relu, [1.0, 1.0, 1.0], 40)
    assert labels(dynet.plot.convergence(lost, exponents=3)) == ["λ1"]
    assert labels(dynet.plot.convergence(lost)) == ["λ1"]
    none = dynet.lyapunov_spectrum(dynet.networks.relu_rnn(-np.eye(2), b=[-1.0, -1.0]), [1.0, 1.0], 20)
    assert np.isneginf(none.lyapunov_exponent).all()
    ax = dynet.plot.convergence(none)
    assert ax.get_legend() is None
    assert not ax.collections


def test_one_block_is_a_marker_without_a_band():
    ds = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 1)
    ax = dynet.plot.convergence(ds)
    assert ax.lines[0].get_marker() == "o"
    assert np.isfinite(ax.get_ylim()).all()


def test_the_level_is_that_of_the_light_band():
    widths = []
    for level in (0.8, 0.99):
        wide, _ = dynet.plot.convergence(HENON, exponents=1, level=level).collections
        widths.append(np.ptp(edges(wide, float(HENON.time[-1]))) / 2)
        degrees = float(HENON.degrees_of_freedom[0])
        factor = stats.t.ppf(0.5 + level / 2, degrees) / stats.t.ppf(stats.norm.cdf(1), degrees)
        np.testing.assert_allclose(widths[-1], factor * HENON.standard_error[0])
    assert widths[1] > 1.5 * widths[0]


def test_a_given_axes_is_drawn_on():
    _figure, (left, right) = pyplot.subplots(1, 2)
    assert dynet.plot.convergence(HENON, ax=right) is right
    assert right.lines
    assert not left.lines
    assert len(pyplot.get_fignums()) == 1
