"""Pictures of activations and of maps over gain and saturation hold the numbers of their results."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

import dynet


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def trace(drive=2.0):
    system = dynet.networks.adaptive_rnn(
        np.zeros((3, 3)), W_ag=[0.3], W_gg=[[0.6]], W_gn=[-2.0], b_n=[4.0, 5.0, 6.0], W_gs=[0.1], b_s=0.4
    )
    return dynet.adaptation_trace(system, n_steps=30, drive=drive)


def grid(values, **coords):
    coords = {"gain": [1.0, 5.0, 9.0], "saturation": [0.0, 1.0]} | coords
    return xr.Dataset({"jacobian_norm": (("gain", "saturation"), np.asarray(values, dtype=float))}, coords)


def test_lines_are_medians_over_neurons_at_times():
    ds = trace()
    ax = dynet.plot.activation(ds, x=[-1.0, 0.0, 1.0])
    assert len(ax.lines) == 9
    for line, time in ((ax.lines[0], 0), (ax.lines[-1], -1)):
        for x, y in zip(*line.get_data(), strict=True):
            each = dynet.gamma_activation(x, ds.gain[time].values, ds.saturation[time].values)
            assert y == pytest.approx(np.median(each), rel=1e-12)
    assert ax.figure.axes[1].get_ylabel() == "time"


def test_several_results_show_their_last_time_with_a_band():
    ax = dynet.plot.activation({"weak": trace(1.0), "strong": trace(8.0)})
    assert [text.get_text() for text in ax.get_legend().texts] == ["weak", "strong"]
    assert len(ax.lines) == len(ax.collections) == 2
    assert np.abs(ax.lines[0].get_xdata()).max() == pytest.approx(8.0)  # as far as pre-activations went


def test_gains_of_a_single_time_are_one_line():
    ax = dynet.plot.activation(trace().isel(time=-1))
    assert len(ax.lines) == 1


def test_cells_hold_the_map_and_the_line_is_at_one():
    ax = dynet.plot.jacobian_map(grid([[0.5, 0.5], [1.5, 1.5], [np.nan, 2.0]]))
    mesh = next(c for c in ax.collections if hasattr(c, "get_coordinates"))
    np.testing.assert_allclose(np.ma.filled(mesh.get_array(), np.nan), [[0.5, 1.5, np.nan], [0.5, 1.5, 2.0]])
    line = next(c for c in ax.collections if c is not mesh)
    (path,) = line.get_paths()
    np.testing.assert_allclose(path.vertices[:, 0], 3.0)  # half way from 1 to 5
    assert mesh.norm.vmin * mesh.norm.vmax == pytest.approx(1.0)


def test_several_maps_show_their_lines():
    ax = dynet.plot.jacobian_map({"a": grid([[0.5, 0.5], [1.5, 1.5], [2, 2]]), "b": grid(np.full((3, 2), 2.0))})
    assert [text.get_text() for text in ax.get_legend().texts] == ["a", "b"]
    assert "= 1" in ax.get_title()


def test_other_results_are_refused():
    with pytest.raises(dynet.InputError, match="adaptation_trace"):
        dynet.plot.activation(xr.Dataset())
    with pytest.raises(dynet.InputError, match="gains over gain"):
        dynet.plot.activation(grid(np.ones((3, 2))))
    with pytest.raises(dynet.InputError, match="x="):
        dynet.plot.activation(trace(), x=[[1.0]])
    with pytest.raises(dynet.InputError, match="jacobian_map"):
        dynet.plot.jacobian_map(trace())
    with pytest.raises(dynet.InputError, match="variable='norm'"):
        dynet.plot.jacobian_map(grid(np.ones((3, 2))), variable="norm")
    with pytest.raises(dynet.InputError, match="no map over gain"):
        dynet.plot.jacobian_map(grid(np.ones((3, 2))).isel(gain=0))
