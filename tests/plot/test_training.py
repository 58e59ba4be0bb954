"""Pictures of trainings: what stands on the axes are the recorded numbers."""

import numpy as np
import pytest
from matplotlib import pyplot

import dynet
from dynet.lyapunov.convergence import interval_factor

torch = pytest.importorskip("torch")


def recorded_training(seed=0):
    torch.manual_seed(seed)
    model = torch.nn.RNN(1, 4, batch_first=True)
    monitor = dynet.torch.LyapunovMonitor(model, torch.randn(6, 30, 1), n_exponents=3, on_error="ignore")
    for epoch in (1, 2, 3, 5):
        with torch.no_grad():
            model.weight_hh_l0.mul_(1.2)
            kept = model.bias_hh_l0.clone()
            if epoch == 3:
                model.bias_hh_l0[0] = torch.nan
        monitor.step(epoch)
        with torch.no_grad():
            model.bias_hh_l0.copy_(kept)
    return monitor.dataset


@pytest.fixture(scope="module")
def run():
    return recorded_training()


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def test_every_exponent_is_a_line_over_the_epochs_with_a_gap_where_one_failed(run):
    ax = dynet.plot.training_spectra(run)
    lines = [line for line in ax.lines if len(line.get_xdata()) == 4]
    assert len(lines) == 3
    for i, line in enumerate(lines):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 5])
        np.testing.assert_array_equal(line.get_ydata(), run.lyapunov_exponent[:, i])
        assert np.isnan(line.get_ydata()[2])
    assert len({line.get_color() for line in lines}) == 3
    assert ax.get_xlabel() == "epoch"
    assert "nat / step" in ax.get_ylabel()


def test_the_band_is_the_interval_of_the_largest(run):
    band = dynet.plot.training_spectra(run, level=0.9).collections[0].get_paths()[0].vertices
    at_one = band[band[:, 0] == 1, 1]
    half = interval_factor(0.9, run.degrees_of_freedom.values[0, 0]) * float(run.largest_error[0])
    np.testing.assert_allclose(at_one.max(), float(run.largest[0]) + half)
    np.testing.assert_allclose(at_one.min(), float(run.largest[0]) - half)


def test_several_trainings_are_their_largest_exponents(run):
    runs = {"a": run, "b": recorded_training(1)}
    ax = dynet.plot.training_spectra(runs)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    for line, result in zip(ax.lines, runs.values(), strict=False):
        np.testing.assert_array_equal(line.get_ydata(), result.largest)


def test_a_map_holds_all_numbers_and_is_white_at_zero(run):
    figure, axes = pyplot.subplots()
    assert dynet.plot.training_spectra(run, kind="map", ax=axes) is axes
    mesh = axes.collections[0]
    np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), np.nan), run.lyapunov_exponent.values.T)
    low, high = mesh.get_clim()
    assert low == -high
    assert len(figure.axes) == 2


@pytest.mark.parametrize("thing", [None, {}, np.zeros(3), {"a": 3}])
def test_things_that_are_no_trainings_are_refused(thing):
    with pytest.raises(dynet.InputError, match="result"):
        dynet.plot.training_spectra(thing)
    assert not pyplot.get_fignums()


def test_bad_options_are_named(run):
    with pytest.raises(dynet.InputError, match="kind='bars'"):
        dynet.plot.training_spectra(run, kind="bars")
    with pytest.raises(dynet.InputError, match="a map shows one result, not 2"):
        dynet.plot.training_spectra({"a": run, "b": run}, kind="map")
    with pytest.raises(dynet.InputError, match="level=2"):
        dynet.plot.training_spectra(run, level=2)
    with pytest.raises(dynet.InputError, match="LyapunovMonitor"):
        dynet.plot.training_spectra(dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 100))
    assert not pyplot.get_fignums()
