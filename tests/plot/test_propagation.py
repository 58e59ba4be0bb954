"""Pictures of singular values and gradient norms show the numbers of the results."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

import dynet

RANDOM = np.random.default_rng(0)
JACOBIANS = RANDOM.standard_normal((3, 40, 6, 6)) / 2
VALUES = dynet.singular_values(dynet.Map.from_jacobians(JACOBIANS), None, 40, horizons=[1, 5, 20], every=20)
NORMS = dynet.gradient_norms(dynet.Map.from_jacobians(JACOBIANS / 2), None, 40)


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def line(ax, label):
    return next(one for one in ax.lines if one.get_label() == label)


def median(values, dims):
    return values.quantile(0.5, dims, method="inverted_cdf").values


def test_values_by_the_input_are_drawn_against_the_lag():
    net = dynet.networks.tanh_rnn(np.eye(3) / 2, np.ones((3, 2)) / np.sqrt(3))
    ds = dynet.input_singular_values(net, None, 12, inputs=np.zeros((12, 2)), lags=[0, 1, 5])
    ax = dynet.plot.singular_values(ds)
    assert ax.get_xlabel() == "lag (step)"
    largest = next(drawn for drawn in ax.get_lines() if drawn.get_label() == "largest")
    np.testing.assert_array_equal(largest.get_xdata(), [0, 1, 5])
    np.testing.assert_allclose(largest.get_ydata(), np.log(2) * (0.5 - np.array([0, 1, 5])), atol=1e-12)
    rates = dynet.plot.singular_values({"a": ds}, per_time=True).get_lines()[0]
    np.testing.assert_array_equal(rates.get_xdata(), [1, 5])
    with pytest.raises(dynet.InputError, match="pictures of their own"):
        dynet.plot.singular_values({"a": ds, "b": VALUES})
    pyplot.close("all")


def test_singular_values_are_medians_with_bands():
    ax = dynet.plot.singular_values(VALUES)
    runs = ["sequence", "start"]
    for label, index in (("largest", 1), ("smallest", 6)):
        expected = median(VALUES.log_singular_value.sel(index=index), runs)
        np.testing.assert_allclose(line(ax, label).get_ydata(), expected)
        np.testing.assert_array_equal(line(ax, label).get_xdata(), [1, 5, 20])
    assert len([one for one in ax.lines if len(one.get_xdata()) == 3]) == 6
    assert len(ax.collections) == 2
    assert ax.get_xscale() == "log"


def test_per_time_and_several_results():
    ax = dynet.plot.singular_values({"a": VALUES, "b": VALUES}, per_time=True)
    assert labels(ax) == ["a", "b"]
    rates = VALUES.log_singular_value.sel(index=1) / VALUES.horizon
    np.testing.assert_allclose(line(ax, "a").get_ydata(), median(rates, ["sequence", "start"]))
    assert "nat / step" in ax.get_ylabel()


def test_zero_values_end_their_lines():
    J = np.stack([np.eye(2), np.diag([1.0, 0.0]), np.eye(2)])
    ax = dynet.plot.singular_values(dynet.singular_values(dynet.Map.from_jacobians(J), None, 3))
    np.testing.assert_array_equal(np.isnan(line(ax, "smallest").get_ydata()), [False, True, True])
    one = dynet.singular_values(dynet.zoo.linear_map([[0.5]]), [1.0], 10)
    assert labels(dynet.plot.singular_values(one)) == ["largest"]


def test_one_horizon_is_markers_with_bars():
    one = VALUES.isel(horizon=[1])
    ax = dynet.plot.singular_values(one)
    drawn = line(ax, "largest")
    assert drawn.get_marker() == "o"
    np.testing.assert_allclose(drawn.get_ydata(), median(one.log_singular_value.sel(index=1), ["sequence", "start"]))
    runs = one.log_singular_value.sel(index=1).values.ravel()
    expected = np.quantile(runs, (0.1, 0.9), method="inverted_cdf")
    np.testing.assert_allclose(ax.collections[0].get_segments()[0][:, 1], expected)
    many = dynet.singular_values(dynet.zoo.henon(), [0.1, 0.1], 60, horizons=list(range(1, 21)))
    assert line(dynet.plot.singular_values(many), "largest").get_marker() == "None"


def test_what_is_zero_at_all_horizons_is_not_named():
    J = np.tile(np.diag([2.0, 0.0]), (5, 1, 1))
    assert labels(dynet.plot.singular_values(dynet.singular_values(dynet.Map.from_jacobians(J), None, 5))) == [
        "largest"
    ]
    nothing = dynet.singular_values(dynet.Map.from_jacobians(0 * J), None, 5)
    assert dynet.plot.singular_values(nothing).get_legend() is None


def test_gradient_norms_in_powers_of_ten():
    ax = dynet.plot.gradient_norms(NORMS)
    expected = median(NORMS.log_gradient_norm, "sequence") / np.log(10)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), expected)
    assert len(ax.collections) == 1
    assert labels(dynet.plot.gradient_norms({"a": NORMS, "b": NORMS})) == ["a", "b"]


def test_the_level_of_a_horizon_is_drawn():
    horizon = dynet.gradient_horizon(NORMS)
    ax = dynet.plot.gradient_norms(NORMS, horizon=horizon)
    assert ax.lines[1].get_ydata()[0] == pytest.approx(np.log10(2.0**-23))
    assert ax.lines[2].get_xdata()[0] == pytest.approx(float(horizon.median_horizon.sel(fate="vanishing")))
    assert ax.texts[0].get_text() == "float32 eps"


def test_parameters_of_torch_results():
    torch = pytest.importorskip("torch")
    system = dynet.torch.from_module(torch.nn.RNN(1, 3))
    ds = dynet.torch.gradient_norms(system, None, 9, loss=lambda x: x.sum(), inputs=np.ones((9, 1)))
    ax = dynet.plot.gradient_norms(ds, parameters="W_hh[0]")
    drawn = ax.lines[0].get_ydata()
    expected = ds.log_parameter_gradient_norm.sel(parameter="W_hh[0]") / np.log(10)
    np.testing.assert_allclose(drawn, expected.where(np.isfinite(expected)))
    with pytest.raises(dynet.InputError, match="W_hh"):
        dynet.plot.gradient_norms(ds, parameters="weight")


def test_results_have_colours_and_parameters_line_styles():
    names = ["W", "V", "b", "c"]
    logs = np.arange(20.0).reshape(4, 5)
    ds = xr.Dataset(
        {"log_gradient_norm": ("lag", logs[0]), "log_parameter_gradient_norm": (("parameter", "lag"), logs)},
        {"parameter": names, "lag": np.arange(5)},
    )
    ax = dynet.plot.gradient_norms({"a": ds, "b": ds}, parameters=names)
    looks = {one.get_label(): (one.get_color(), one.get_linestyle()) for one in ax.lines}
    assert len(set(looks.values())) == 8
    assert {looks[f"a {name}"][0] for name in names}.isdisjoint(looks[f"b {name}"][0] for name in names)
    for name in names:
        assert looks[f"a {name}"][1] == looks[f"b {name}"][1]
    ax.figure.canvas.draw()
    assert not ax.get_legend().get_window_extent().overlaps(ax.get_window_extent())
    ax = dynet.plot.gradient_norms(ds, parameters=names)
    assert len({one.get_color() for one in ax.lines}) == 4


@pytest.mark.parametrize("draw", [dynet.plot.singular_values, dynet.plot.gradient_norms])
def test_other_results_are_refused(draw):
    with pytest.raises(dynet.InputError, match="give a Dataset from dynet"):
        draw(xr.Dataset())
    figure, (left, right) = pyplot.subplots(1, 2)
    result = VALUES if draw is dynet.plot.singular_values else NORMS
    assert draw(result, ax=right) is right
    assert not left.lines
    assert figure is right.figure
