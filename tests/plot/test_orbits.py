"""What the pictures of cycles and fixed points show."""

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
def found():
    flow = dynet.zoo.stuart_landau(0.3, 1.5, 0.4)
    cycle = dynet.find_limit_cycle(flow, [0.5, 0.0])
    return cycle, dynet.floquet_multipliers(flow, cycle)


@pytest.fixture(scope="module")
def modes(found):
    return dynet.floquet_modes(dynet.zoo.stuart_landau(0.3, 1.5, 0.4), found[0])


@pytest.fixture(scope="module")
def points():
    run = dynet.simulate(dynet.zoo.henon(), [0.1, 0.1], 300)
    return dynet.find_fixed_points(dynet.zoo.henon(), dynet.sample_states(run, 30, noise=0.5)), run


def test_the_portrait_closes(found, modes):
    ax = dynet.plot.phase_portrait(found[0], modes=modes)
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(np.hypot(x, y), np.sqrt(0.3), rtol=1e-9)
    assert (x[0], y[0]) == (x[-1], y[-1])
    arrows = ax.collections[0]
    # the phase response has a part along the velocity: at every place it points onwards
    assert (arrows.U * -arrows.XY[:, 1] + arrows.V * arrows.XY[:, 0] > 0).all()


def test_arrows_are_named_and_lie_inside(found, modes):
    ax = dynet.plot.phase_portrait(found[0], modes=modes, index=[1, 2])
    # the multipliers of the normal form: a shift is kept, the radius decays by exp(-2 l T)
    decay = np.exp(-2 * 0.3 * float(found[0].period))
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["adjoint 1, multiplier 1", f"adjoint 2, multiplier {decay:.3g}"]
    for arrows in ax.collections:
        tips = arrows.XY + np.stack([arrows.U, arrows.V], axis=1)
        assert (np.abs(tips) < max(ax.get_xlim()[1], ax.get_ylim()[1])).all()
    # what is radial in the normal form has a gradient along the radius
    x, y = ax.collections[1].XY.T
    np.testing.assert_allclose(ax.collections[1].U * y, ax.collections[1].V * x, atol=1e-9)


def test_the_cycle_over_its_phase(found):
    ax = dynet.plot.cycle(found[0], units=["y"])
    phase, values = ax.lines[0].get_data()
    assert phase[-1] == 1
    np.testing.assert_array_equal(values[:-1], found[0].orbit.sel(unit="y"))


def test_multipliers_and_the_unit_circle(found):
    ax = dynet.plot.multipliers({"a": found[1], "b": found[1]})
    np.testing.assert_allclose(np.hypot(*ax.lines[0].get_data()), 1)
    np.testing.assert_allclose(ax.lines[3].get_xdata(), found[1].multiplier.values.real)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a: stable", "b: stable"]


def test_points_lie_where_their_principal_components_are(points):
    result, run = points
    ax = dynet.plot.fixed_points(result, run)
    drawn = ax.collections[0].get_offsets()
    centre = run.state.values.mean(axis=0)
    np.testing.assert_allclose(
        np.linalg.norm(drawn, axis=1), np.linalg.norm(result.fixed_point.values - centre, axis=1)
    )  # fmt: skip
    assert ax.get_legend().get_texts()[0].get_text() == "saddle (2)"


def test_axes_are_those_given(found, points):
    for draw, result in (
        (dynet.plot.phase_portrait, found[0]),
        (dynet.plot.cycle, found[0]),
        (dynet.plot.multipliers, found[1]),
        (dynet.plot.fixed_points, points[0]),
    ):
        ax = pyplot.subplots()[1]
        assert draw(result, ax=ax) is ax


@pytest.mark.parametrize(
    "call",
    [
        lambda cycle, m, modes, points: dynet.plot.phase_portrait(m),
        lambda cycle, m, modes, points: dynet.plot.phase_portrait(cycle, units=["x", "q"]),
        lambda cycle, m, modes, points: dynet.plot.phase_portrait(cycle, modes=m),
        lambda cycle, m, modes, points: dynet.plot.phase_portrait(cycle, modes=modes, index=3),
        lambda cycle, m, modes, points: dynet.plot.phase_portrait(cycle, modes=modes, index=[]),
        lambda cycle, m, modes, points: dynet.plot.phase_portrait({"a": cycle, "b": cycle}, modes=modes),
        lambda cycle, m, modes, points: dynet.plot.cycle(cycle, units=["q"]),
        lambda cycle, m, modes, points: dynet.plot.multipliers(cycle),
        lambda cycle, m, modes, points: dynet.plot.fixed_points(cycle),
        lambda cycle, m, modes, points: dynet.plot.fixed_points(points, cycle),
    ],
)
def test_bad_input(found, modes, points, call):
    with pytest.raises(InputError):
        call(*found, modes, points[0])
