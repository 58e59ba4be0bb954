"""Pictures over parameters: which values stand where, boundaries, and how they are told."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

mpl.use("Agg")

from dynet import plot, theory
from dynet.errors import InputError


@pytest.fixture(autouse=True)
def closed():
    yield
    mpl.pyplot.close("all")


@pytest.fixture
def result():
    alpha, theta = np.array([1.0, 1.5, 2.0]), np.array([0.1, 0.5])
    exponents = np.arange(12.0).reshape(3, 2, 2) - 11
    dims = ("alpha", "theta")
    ds = xr.Dataset(
        {
            "lyapunov_exponent": ((*dims, "exponent"), exponents, {"units": "nat / time"}),
            "frequency": (dims, exponents[..., 0] + 12, {"units": "1 / time", "long_name": "frequency"}),
            "label": (dims, np.array([["fixed point", "chaos"], ["fixed point", "limit cycle"], ["chaos", "chaos"]])),
            "evidence": (dims, np.full((3, 2), "Newton")),
        },
        {"alpha": alpha, "theta": theta, "exponent": [1, 2]},
    )
    ds["frequency"][0, 0] = np.nan
    return ds


def test_values_stand_at_their_parameters(result):
    ax = plot.exponent_map(result, exponent=2, boundaries={"window": theory.cycle_window, "Hopf": theory.hopf_angle})
    (mesh,) = ax.collections
    np.testing.assert_array_equal(mesh.get_array(), result.lyapunov_exponent.sel(exponent=2).values.T)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("alpha", "theta")
    assert mesh.norm.vmin == -10
    assert mesh.norm.vmax == 2  # no negative value uses the colours of positive ones
    lines = {line.get_label(): line for line in ax.lines}
    assert len(ax.lines) == 3
    np.testing.assert_allclose(lines["Hopf"].get_ydata(), np.arccos(1 / lines["Hopf"].get_xdata()))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["window", "Hopf"]


def test_labels_and_frequencies(result):
    ax = plot.exponent_map(result, quantity="label")
    codes = ax.collections[0].get_array()
    names = [text.get_text() for text in ax.figure.axes[1].get_yticklabels()]
    assert names[0] == "chaos"
    assert [[names[int(code)] for code in row] for row in codes] == result.label.values.T.tolist()
    values = plot.exponent_map(result, quantity="frequency").collections[0].get_array()
    assert np.ma.getmaskarray(values)[0, 0]


def test_zero_exponents_against_size():
    sizes = np.array([0.0, 0.01, 0.1])
    one = xr.Dataset({"n_zero": ("size", [2.0, 1.5, 1.0]), "standard_error": ("size", [0, 0.5, 0.1])}, {"size": sizes})
    ax = plot.robustness({"torus": one, "cycle": one.assign(n_zero=one.n_zero - 1)})
    drawn = ax.containers[0]
    np.testing.assert_array_equal(drawn[0].get_ydata(), one.n_zero)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "0.01", "0.1"]


def test_bad_input(result):
    for options, message in (
        ({"exponent": 3}, "exponent=3: choose one from 1 to 2"),
        ({"quantity": "color"}, "quantity='color'"),
        ({"boundaries": {"Hopf": 1.0}}, r"boundaries\['Hopf'\]=1.0: give a function"),
    ):
        with pytest.raises(InputError, match=message):
            plot.exponent_map(result, **options)
    with pytest.raises(InputError, match="result has the parameters alpha: select two"):
        plot.exponent_map(result.isel(theta=0))
    with pytest.raises(InputError, match=r"give a Dataset from dynet.exponent_map"):
        plot.exponent_map(3)
    with pytest.raises(InputError, match=r"dynet.zero_exponent_robustness"):
        plot.robustness(result)
