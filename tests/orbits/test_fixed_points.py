"""Fixed and slow points known on paper, their modes, and what is told of starts that led nowhere."""

import numpy as np
import pytest

import dynet
from dynet import InputError

RNG = np.random.default_rng(0)


def test_fixed_points_of_henon():
    ds = dynet.find_fixed_points(dynet.zoo.henon(), RNG.normal(size=(60, 2)))
    x = np.sort(ds.fixed_point.sel(unit="x").values)
    np.testing.assert_allclose(x, (-0.7 + np.array([-1, 1]) * np.sqrt(0.49 + 5.6)) / 2.8, rtol=1e-13)
    np.testing.assert_allclose(ds.eigenvalue.prod("index"), -0.3, rtol=1e-12)
    np.testing.assert_allclose(ds.eigenvalue.sum("index"), -2.8 * ds.fixed_point.sel(unit="x"), rtol=1e-12)
    assert ds.stability.values.tolist() == ["saddle", "saddle"]
    assert int(ds.n_starts.sum()) + int(ds.n_failed) == 60
    assert (ds.speed < 1e-13).all()


def test_fixed_points_of_lorenz():
    ds = dynet.find_fixed_points(dynet.zoo.lorenz63(), 10 * RNG.normal(size=(60, 3)))
    assert ds.sizes["point"] == 3
    expected = np.array([[-1, -1], [0, 0], [1, 1]]) * np.sqrt(72)
    found = ds.fixed_point.values[np.argsort(ds.fixed_point.values[:, 0])]
    np.testing.assert_allclose(found[:, :2], expected, atol=1e-12)
    np.testing.assert_allclose(found[:, 2], [27, 0, 27], atol=1e-12)
    origin = int(np.argmin(np.abs(ds.fixed_point.values).sum(axis=1)))
    rates = np.sort([-8 / 3, *((-11 + np.array([-1, 1]) * np.sqrt(81 + 4 * 280)) / 2)])[::-1]
    np.testing.assert_allclose(ds.eigenvalue.values[origin], rates, atol=1e-10)
    assert float(ds.time_constant[origin]) == pytest.approx(-1 / rates[0])


def test_modes_are_eigenvectors():
    W = 3 * np.random.default_rng(1).normal(size=(7, 7))
    flow = dynet.networks.rate_network(W, b=np.random.default_rng(2).normal(size=7))
    ds = dynet.find_fixed_points(flow, np.random.default_rng(3).normal(size=(40, 7)))
    assert ds.sizes["point"] > 1
    for x, values, V in zip(ds.fixed_point.values, ds.eigenvalue.values, ds.mode.values, strict=True):
        J = flow.jac(0.0, x, x[:0], flow.params).assemble()
        np.testing.assert_allclose(J @ V, V * values, atol=1e-10)
        assert (np.diff(values.real) <= 1e-12).all()


def test_a_constant_input_moves_the_point():
    flow = dynet.networks.rate_network(np.zeros((2, 2)), np.eye(2))
    ds = dynet.find_fixed_points(flow, np.zeros((1, 2)), inputs=[0.5, -1.0])
    np.testing.assert_allclose(ds.fixed_point.values, [np.tanh([0.5, -1.0])], atol=1e-14)
    assert ds.stability.item() == "stable"
    assert float(ds.time_constant[0]) == pytest.approx(1.0)


def test_slow_points_are_the_ghosts_of_saddle_nodes():
    flow = dynet.networks.rotation_rnn(1.5, 0.1488, form="flow")
    starts = np.random.default_rng(0).normal(size=(60, 2))
    ds = dynet.find_fixed_points(flow, starts, slow_tolerance=1e-2)
    assert sorted(ds.kind.values.tolist()) == ["fixed", "slow", "slow", "slow", "slow"]
    slow = ds.fixed_point.values[ds.kind.values == "slow"]
    np.testing.assert_allclose(np.linalg.norm(slow, axis=1), np.linalg.norm(slow[0]), rtol=1e-6)
    for x in slow:  # no lower speed nearby
        for d in 1e-3 * np.random.default_rng(1).normal(size=(20, 2)):
            f, g = (flow.rhs(0.0, at, at[:0], flow.params) for at in (x, x + d))
            assert np.linalg.norm(g) > np.linalg.norm(f) * (1 - 1e-9)
    assert dynet.find_fixed_points(flow, starts).sizes["point"] == 1


def test_a_line_attractor_is_undecided():
    ds = dynet.find_fixed_points(dynet.networks.relu_rnn(np.diag([1.0, 0.5])), np.abs(RNG.normal(size=(5, 2))))
    assert ds.sizes["point"] == 5
    np.testing.assert_allclose(ds.fixed_point.values[:, 1], 0, atol=1e-12)
    assert set(ds.stability.values.tolist()) == {"undecided"}
    assert np.isinf(ds.time_constant).all()


def test_failures_are_counted():
    flow = dynet.Flow(lambda t, x, u, p: 1 + x**2, lambda t, x, u, p: np.diag(2 * x))
    ds = dynet.find_fixed_points(flow, np.linspace(-2, 2, 5)[:, None])
    assert int(ds.n_failed) == 5
    assert ds.sizes["point"] == 0


def test_distance_below_which_points_are_one():
    ds = dynet.find_fixed_points(dynet.zoo.lorenz63(), 10 * RNG.normal(size=(40, 3)), unique_distance=100.0)
    assert ds.sizes["point"] == 1
    assert int(ds.n_starts[0]) == 40


def test_sampled_states():
    run = dynet.simulate(dynet.zoo.henon(), [0.1, 0.1], 50)
    drawn = dynet.sample_states(run, 30)
    assert len(np.unique(drawn, axis=0)) == 30
    assert {tuple(row) for row in drawn} <= {tuple(row) for row in run.state.values}
    noisy = dynet.sample_states(np.zeros((3, 4, 2)), 4000, noise=0.5)
    assert noisy.std() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dynet.find_fixed_points(dynet.zoo.henon(), None), "sample_states"),
        (lambda: dynet.find_fixed_points(dynet.zoo.henon(), np.zeros((2, 3))), "2 entries"),
        (lambda: dynet.find_fixed_points(dynet.zoo.henon(), np.zeros(2), tolerance=-1), "tolerance=-1"),
        (lambda: dynet.find_fixed_points(dynet.zoo.henon(), [np.nan, 0.0]), "not finite"),
        (lambda: dynet.find_fixed_points(3, np.zeros(2)), "give a dynet.Map"),
        (
            lambda: dynet.find_fixed_points(dynet.networks.tanh_rnn(np.eye(2), np.eye(2)), np.zeros(2)),
            "inputs are missing",
        ),
        (
            lambda: dynet.find_fixed_points(dynet.networks.tanh_rnn(np.eye(2), np.eye(2)), np.zeros(2), inputs=[1.0]),
            "1 channels",
        ),
        (
            lambda: dynet.find_fixed_points(
                dynet.networks.tanh_rnn(np.eye(2), np.eye(2)), np.zeros(2), inputs=np.zeros((5, 2))
            ),
            "one constant row",
        ),
        (lambda: dynet.sample_states(np.zeros((3, 2)), 0), "n=0"),
        (lambda: dynet.sample_states(np.zeros(3), 1), "give states"),
        (lambda: dynet.sample_states(np.zeros((3, 2)), 1, noise=-1), "noise=-1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_results_are_kept_in_files(tmp_path):
    ds = dynet.find_fixed_points(dynet.zoo.henon(), RNG.normal(size=(20, 2)))
    assert dynet.load(dynet.save(ds, tmp_path / "points.nc")).identical(ds)


def test_what_depends_on_time_has_no_fixed_points():
    flow = dynet.Flow(lambda t, x, u, p: np.sin(t) - x, lambda t, x, u, p: -np.eye(2))
    with pytest.raises(InputError, match="system depends on time"):
        dynet.find_fixed_points(flow, [[0.5, 0.1]])
    map = dynet.Map(lambda t, x, u, p: np.sin(t) - 0.5 * x, lambda t, x, u, p: -0.5 * np.eye(2))
    with pytest.raises(InputError, match="map depends on time"):
        dynet.find_periodic_orbit(map, [0.5, 0.1], 2)
