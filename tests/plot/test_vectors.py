"""Pictures of covariant vectors: what is drawn are the numbers of the result."""

import numpy as np
import pytest
from matplotlib import pyplot

import dynet
from dynet.lyapunov.ginelli import _right_angle

LORENZ = dynet.covariant_vectors(dynet.zoo.lorenz63().to_map(0.02), [1.0, 1.0, 20.0], 500, n_transient=200)
HENON = dynet.covariant_vectors(dynet.zoo.henon(), [[0.1, 0.1], [0.2, 0.1]], 300, n_transient=50)
RELU = dynet.covariant_vectors(
    dynet.networks.relu_rnn(np.diag([0.5, 0.4, 0.3]), b=[1.0, 1.0, -1.0]), [1.0, 1.0, 1.0], 20, n_transient=60
)
NET = dynet.networks.lstm(np.random.default_rng(0).standard_normal((16, 4)))
VECTORS = dynet.covariant_vectors(NET, np.linspace(-1, 1, 8), 30, n_transient=20)


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def steps(ax):
    """Densities and edges of the outlines."""
    return [patch.get_data() for patch in ax.patches if not patch.get_fill()]


def test_histograms_are_densities_of_the_angles():
    ax = dynet.plot.covariant_angles(LORENZ, bins=20)
    assert labels(ax) == ["1 and 2", "2 and 3"]
    for (values, edges, _), (i, j) in zip(steps(ax), [(0, 1), (1, 2)], strict=True):
        expected, _ = np.histogram(LORENZ.angle[:, i, j], 20, (0, np.pi / 2), density=True)
        np.testing.assert_allclose(values, expected)
        np.testing.assert_allclose([edges[0], edges[-1]], [0, np.pi / 2])
    assert ax.get_xlabel() == "angle (rad)"


def test_pairs_are_chosen_and_several_results_have_one_each():
    ax = dynet.plot.covariant_angles(LORENZ, pairs=[(1, 3), (3, 2)])
    assert labels(ax) == ["1 and 3", "3 and 2"]
    ax = dynet.plot.covariant_angles({"Lorenz": LORENZ, "Hénon": HENON})
    assert labels(ax) == ["Lorenz 1 and 2", "Hénon 1 and 2"]
    bins = round(np.sqrt(min(HENON.angle[..., 0, 1].size, LORENZ.angle[..., 0, 1].size)))
    expected, _ = np.histogram(HENON.angle[..., 0, 1], bins, (0, np.pi / 2), density=True)  # of both sequences
    np.testing.assert_allclose(steps(ax)[1][0], expected)


def test_right_angles_are_within_the_picture():
    # the vectors of a symmetric matrix are orthogonal
    cat = dynet.Map.from_jacobians(np.tile([[2.0, 1.0], [1.0, 1.0]], (140, 1, 1)))
    for system, x0 in ((cat, None), (dynet.zoo.linear_map(np.diag([2.0, 0.5])), [0.1, 0.2])):
        ds = dynet.covariant_vectors(system, x0, 40, n_transient=50)
        np.testing.assert_allclose(ds.angle[:, 0, 1], np.pi / 2, rtol=1e-14)
        assert float(ds.angle.max()) <= np.pi / 2
        above = ds.assign(angle=ds.angle + np.spacing(np.pi / 2) * (ds.angle > 1))
        for result in (ds, above):
            (values, edges, _), *_ = steps(dynet.plot.covariant_angles(result))
            np.testing.assert_allclose((values * np.diff(edges))[-1], 1.0)


def test_right_angles_of_float32_are_no_larger_than_a_right_angle():
    right = _right_angle(np.dtype(np.float32))
    assert right <= np.pi / 2 < float(np.nextafter(np.float32(right), np.float32(2)))
    assert _right_angle(np.dtype(np.float64)) == np.pi / 2


def test_few_angles_have_few_bins():
    few = LORENZ.isel(time=slice(50))
    assert [len(values) for values, _, _ in steps(dynet.plot.covariant_angles(few))] == [7, 7]
    assert len(steps(dynet.plot.covariant_angles(LORENZ.isel(time=slice(4))))[0][0]) == 5


def test_lost_vectors_have_no_angles():
    assert labels(dynet.plot.covariant_angles(RELU)) == ["1 and 2"]
    with pytest.raises(dynet.InputError, match=r"pairs=\(1, 3\).*\[1, 2\]"):
        dynet.plot.covariant_angles(RELU, pairs=[(1, 3)])


def test_few_groups_are_lines_and_many_a_picture():
    parts = dynet.vector_participation(VECTORS, "part")
    ax = dynet.plot.participation({"a": parts, "b": dynet.vector_participation(VECTORS, "layer")})
    assert labels(ax) == ["a h", "a c", "b layer 0"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), parts.weight.sel(part="h"))
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(1, 9))
    units = dynet.vector_participation(VECTORS)
    ax = dynet.plot.participation(units)
    np.testing.assert_array_equal(ax.images[0].get_array(), units.weight)
    assert [text.get_text() for text in ax.get_yticklabels()][:2] == ["h[0][0]", "h[0][1]"]
    assert ax.get_xlabel() == "exponent"


def test_a_given_axes_is_drawn_on_and_returned():
    _, axes = pyplot.subplots(1, 2)
    assert dynet.plot.covariant_angles(LORENZ, ax=axes[0]) is axes[0]
    assert dynet.plot.participation(dynet.vector_participation(VECTORS, "part"), ax=axes[1]) is axes[1]
    assert len(pyplot.get_fignums()) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dynet.plot.covariant_angles(3), "dynet.covariant_vectors"),
        (lambda: dynet.plot.covariant_angles(LORENZ, bins=0), "bins=0"),
        (lambda: dynet.plot.covariant_angles(LORENZ, pairs=[]), "pairs="),
        (lambda: dynet.plot.covariant_angles(LORENZ, pairs=[(1, 1)]), "pairs="),
        (lambda: dynet.plot.covariant_angles(LORENZ, pairs=[(1, 9)]), "pairs="),
        (lambda: dynet.plot.covariant_angles(LORENZ, pairs=[1, 2]), "pairs="),
        (lambda: dynet.plot.covariant_angles(LORENZ, pairs=3), "pairs=3"),
        (lambda: dynet.plot.covariant_angles(LORENZ.sel(exponent=[1], exponent_2=[1])), "an angle needs two"),
        (lambda: dynet.plot.participation(LORENZ), "dynet.vector_participation"),
        (
            lambda: dynet.plot.participation(dict.fromkeys("ab", dynet.vector_participation(VECTORS))),
            "more than 6 groups",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, words):
    with pytest.raises(dynet.InputError, match=words):
        call()
    assert not pyplot.get_fignums()
