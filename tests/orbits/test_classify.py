"""Kinds of attractors: systems whose kind is known, and no label where the evidence is short."""

import numpy as np
import pytest

import dynet
from dynet.orbits import classify

zoo, rotation_rnn = dynet.zoo, dynet.networks.rotation_rnn


def only(system, x0, *args, **settings):
    ds = dynet.classify_attractor(system, x0, *args, **settings)
    assert ds.sizes["attractor"] == 1
    return ds.isel(attractor=0)


def linear_flow(A):
    A = np.asarray(A, dtype=float)
    return dynet.Flow(lambda t, x, u, p: A @ x, lambda t, x, u, p: A)


def pendulum():
    return dynet.Flow(
        lambda t, x, u, p: np.array([x[1], -np.sin(x[0])]),
        lambda t, x, u, p: np.array([[0.0, 1.0], [-np.cos(x[0]), 0.0]]),
    )


def saddle_cycle():
    """A planar cycle that attracts in its plane and repels across it."""

    def rhs(t, x, u, p):
        r = 1 - x[0] ** 2 - x[1] ** 2
        return np.array([r * x[0] - x[1], r * x[1] + x[0], 0.3 * x[2]])

    def jac(t, x, u, p):
        r, a, b = 1 - x[0] ** 2 - x[1] ** 2, x[0], x[1]
        return np.array([[r - 2 * a * a, -1 - 2 * a * b, 0], [1 - 2 * a * b, r - 2 * b * b, 0], [0, 0, 0.3]])

    return dynet.Flow(rhs, jac)


@pytest.mark.parametrize(
    ("system", "x0", "n_steps", "label"),
    [
        (zoo.henon(), [0.1, 0.1], 5_000, "chaos"),
        (zoo.logistic(4.0), [0.3], 5_000, "chaos"),
        (zoo.logistic(2.5), [0.3], 2_000, "fixed point"),
        (zoo.logistic(3.2), [0.3], 2_000, "period-2 orbit"),
        (zoo.logistic(3.5), [0.3], 2_000, "period-4 orbit"),
        (zoo.logistic(3.0), [0.3], 5_000, "marginal"),  # flip
        (zoo.linear_map(np.diag([1.1, 0.5])), [0.0, 0.0], 1_000, "unstable fixed point"),
        (zoo.linear_map([[0.0, -1.0], [1.0, 0.0]]), [1.0, 0.5], 1_000, "marginal"),
        (rotation_rnn(1.5, 0.5), [0.5, 0.1], 1_000, "1-torus"),
        (rotation_rnn(1.5, np.pi / 4), [0.5, 0.1], 3_000, "period-8 orbit"),
        (rotation_rnn(1.5, 0.1), [0.5, 0.1], 500, "fixed point"),
        (rotation_rnn(1.5, np.pi / 2 + 0.1), [0.5, 0.1], 500, "period-4 orbit"),
        (rotation_rnn(0.9, 0.5), [0.5, 0.1], 500, "fixed point"),
        (rotation_rnn(1.0, 0.5), [0.5, 0.1], 1_000, "marginal"),  # Neimark-Sacker
        (rotation_rnn([1.5, 1.5], [0.5, 0.7]), [0.5, 0.1, 0.4, 0.2], 1_000, "2-torus"),
    ],
)
def test_maps_are_what_they_are_known_to_be(system, x0, n_steps, label):
    found = only(system, x0, n_steps)
    assert found.label == label, found.reason.item()


@pytest.mark.parametrize(
    ("system", "x0", "n_steps", "label"),
    [
        (zoo.lorenz63(), [1.0, 1.0, 20.0], 20_000, "chaos"),
        (zoo.lorenz63(rho=15.0), [1.0, 1.0, 20.0], 5_000, "fixed point"),
        (zoo.van_der_pol(1.0), [2.0, 0.0], 20_000, "limit cycle"),
        (zoo.van_der_pol(1.0), [0.0, 0.0], 2_000, "unstable fixed point"),
        (zoo.van_der_pol(0.0), [1.0, 0.0], 5_000, "marginal"),  # a centre
        (zoo.stuart_landau(0.3, 1.5, 0.4), [0.5, 0.0], 5_000, "limit cycle"),
        (zoo.stuart_landau(0.0, 1.5, 0.4), [0.5, 0.0], 10_000, "marginal"),  # Hopf
        (zoo.stuart_landau(-0.3, 1.5, 0.4), [0.5, 0.0], 2_000, "fixed point"),
        (pendulum(), [1.0, 0.0], 1_000, "marginal"),
        (linear_flow([[0.0, 1.0], [-1.0, 0.0]]), [1.0, 0.0], 500, "marginal"),  # a centre
        (linear_flow(np.diag([-1.0, -2.0])), [1.0, 1.0], 500, "fixed point"),  # a node
        (linear_flow(np.diag([1.0, -1.0])), [0.0, 0.0], 500, "unstable fixed point"),  # a saddle
        (saddle_cycle(), [1.0, 0.0, 0.0], 2_000, "unstable limit cycle"),
        (linear_flow(np.diag([0.0, -1.0])), [1.0, 1.0], 500, "continuous attractor"),
        (linear_flow(np.diag([0.0, 0.0, -1.0])), [1.0, 1.0, 1.0], 500, "continuous attractor"),
        (rotation_rnn([1.5, 1.5], [0.5, 0.6], form="flow"), [0.5, 0.1, 0.4, 0.2], 2_000, "2-torus"),
        (rotation_rnn([1.5, 1.5], [0.5, 0.5], form="flow"), [0.5, 0.1, 0.4, 0.2], 700, "marginal"),  # a family
    ],
)
def test_flows_are_what_they_are_known_to_be(system, x0, n_steps, label):
    found = only(system, x0, n_steps)
    assert found.label == label, found.reason.item()


def test_runs_go_on_while_the_evidence_is_short():
    # a stiff cycle: 20,000 of the short steps that its fast parts need are less than four periods
    ds = dynet.classify_attractor(zoo.van_der_pol(5.0), [2.0, 0.0])
    assert ds.label.values.tolist() == ["limit cycle"]
    assert ds.attrs["n_steps"] == 80_000
    assert ds.attrs["n_transient"] == 40_000
    assert dynet.classify_attractor(zoo.logistic(3.2), [0.3]).attrs["n_steps"] == 20_000
    assert only(zoo.van_der_pol(5.0), [2.0, 0.0], 20_000).label == "unknown"


def test_functions_of_python_are_not_run_for_minutes(monkeypatch):
    monkeypatch.setattr(classify, "_ATTEMPTS", (10, 40))
    monkeypatch.setattr(classify, "_COMPILED_ATTEMPTS", (10, 40, 160))
    step = zoo.linear_map([[1.0, 1.0], [0.0, 1.0]])
    assert dynet.classify_attractor(step, [1.0, 1.0]).attrs["n_steps"] == 40
    assert dynet.classify_attractor(zoo.logistic(3.0), [0.3]).attrs["n_steps"] == 160


def test_a_limit_cycle_brings_its_evidence():
    found = only(zoo.stuart_landau(0.3, 1.5, 0.4), [0.5, 0.0], 5_000)
    assert (int(found.n_zero), int(found.n_positive), int(found.n_undecided)) == (1, 0, 0)
    assert float(found.period) == pytest.approx(4.553032831289555, rel=1e-5)
    np.testing.assert_allclose(found.lyapunov_exponent, [0.0, -0.6], atol=1e-3)
    assert float(found.recurrence) < 1e-4
    assert float(found.drift) < 0.05


def test_eigenvalue_one_is_a_line_of_fixed_points():
    found = only(zoo.linear_map(np.diag([1.0, 0.5])), [1.0, 1.0], 1_000)
    assert found.label == "continuous attractor"
    assert int(found.n_zero) == 1


def test_slow_decay_is_no_continuous_attractor():
    # a time constant of 100 steps: short runs cannot tell, long ones can
    slow = zoo.linear_map(np.diag([0.99, 0.5]))
    assert only(slow, [1.0, 1.0], 40).label == "unknown"
    assert only(slow, [1.0, 1.0], 3_000).label == "fixed point"


@pytest.mark.parametrize(
    ("system", "x0", "n_steps"),
    [
        (zoo.van_der_pol(1.0), [2.0, 0.0], 100),
        (zoo.henon(), [0.1, 0.1], 12),
        (rotation_rnn(1.5, 0.5), [0.5, 0.1], 10),
        (zoo.linear_map(np.diag([1.001, 0.5])), [1.0, 1.0], 1_000),  # grows without bound, slowly
        (zoo.linear_map([[1.0, 1.0], [0.0, 1.0]]), [1.0, 1.0], 1_000),
    ],
)
def test_short_evidence_gives_no_label(system, x0, n_steps):
    found = only(system, x0, n_steps)
    assert found.label == "unknown", found.reason.item()


def test_too_few_exponents_give_no_torus():
    torus = rotation_rnn([1.5, 1.5], [0.5, 0.7])
    found = only(torus, [0.5, 0.1, 0.4, 0.2], 1_000, n_exponents=1)
    assert found.label == "unknown"
    assert "n_exponents" in found.reason.item()


def test_many_starts_find_every_attractor_and_keep_them_apart():
    # in the tongue there are four fixed points, quarter turns apart, with one and the same spectrum
    starts = np.random.default_rng(0).standard_normal((12, 2))
    ds = dynet.classify_attractor(rotation_rnn(1.5, 0.1), starts, 300)
    assert ds.label.values.tolist() == ["fixed point"] * 4
    assert float(ds.share.sum()) == pytest.approx(1.0)
    assert (np.diff(ds.share) <= 0).all()
    first = ds.state.values[0]
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    turned = np.array([np.linalg.matrix_power(quarter, k) @ first for k in range(4)])
    distances = np.linalg.norm(turned[:, None] - ds.state.values, axis=2)
    np.testing.assert_allclose(distances.min(axis=1), 0.0, atol=1e-9)
    counts = np.bincount(ds.attractor_of_start)
    np.testing.assert_allclose(counts / 12, ds.share)


def test_different_spectra_are_reported_not_averaged():
    # a bistable cubic map: x = 0 attracts with slope 0.5, x = +-2 with slope 0.2
    def step(t, x, u, p):
        return np.where(np.abs(x) < 1, 0.5 * x, np.sign(x) * (2 + 0.2 * (np.abs(x) - 2)))

    def jac(t, x, u, p):
        return np.diag(np.where(np.abs(x) < 1, 0.5, 0.2))

    ds = dynet.classify_attractor(dynet.Map(step, jac), [[0.3], [3.0], [-0.2], [-2.5], [0.1]], 200)
    np.testing.assert_allclose(ds.lyapunov_exponent[:, 0], np.log([0.5, 0.2, 0.2]), atol=1e-12)
    np.testing.assert_allclose(ds.share, [0.6, 0.2, 0.2])
    np.testing.assert_array_equal(ds.attractor_of_start, [0, 1, 0, 2, 0])


def test_starts_that_run_away_are_counted():
    ds = dynet.classify_attractor(zoo.henon(), [[0.1, 0.1], [5.0, 5.0], [0.2, 0.1]], 3_000)
    assert ds.label.values.tolist() == ["chaos", "unbounded"]
    np.testing.assert_allclose(ds.share, [2 / 3, 1 / 3])
    assert np.isnan(ds.lyapunov_exponent[1]).all()


def test_the_result_comes_back_from_a_file(tmp_path):
    ds = dynet.classify_attractor(zoo.logistic(3.2), [0.3], 500)
    assert dynet.load(dynet.save(ds, tmp_path / "attractors.nc")).identical(ds)


def test_faults_are_named():
    with pytest.raises(dynet.InputError) as caught:
        dynet.classify_attractor(zoo.henon(), [0.1, 0.1], 0, dt=0.1, max_period=0)
    assert all(name in str(caught.value) for name in ("n_steps=0", "dt=0.1", "max_period=0"))
    with pytest.raises(dynet.InputError, match="n_exponents=3"):
        dynet.classify_attractor(zoo.henon(), [0.1, 0.1], n_exponents=3)
    with pytest.raises(dynet.InputError, match="not finite"):
        dynet.classify_attractor(zoo.henon(), [np.nan, 0.1])
    with pytest.raises(dynet.InputError, match="system=3"):
        dynet.classify_attractor(3, [0.1])
    driven = dynet.Flow(lambda t, x, u, p: -x + np.sin(t), lambda t, x, u, p: -np.eye(1))
    with pytest.raises(dynet.InputError, match="depends on time"):
        dynet.classify_attractor(driven, [1.0])


def test_a_torus_that_keeps_volumes_is_no_attractor():
    def rate(t, x, u, p):
        return np.array([x[2], x[3], -x[0] - 2 * x[0] * x[1], -x[1] - x[0] ** 2 + x[1] ** 2])

    def jac(t, x, u, p):
        a, b = 1 + 2 * x[1], 2 * x[0]
        return np.array([[0, 0, 1.0, 0], [0, 0, 0, 1.0], [-a, -b, 0, 0], [-b, a - 2, 0, 0]])

    flow = dynet.Flow(rate, jac)  # of Henon and Heiles, at low energy
    ds = dynet.classify_attractor(flow, [0.0, 0.1, 0.3, 0.0], 3_000, n_transient=500)
    assert ds.label.values.tolist() == ["marginal"]
    assert abs(float(ds.lyapunov_exponent.sum())) < float(ds.resolution[0])


def test_oscillators_in_a_ratio_of_whole_numbers_are_no_torus():
    def rate(t, x, u, p):
        z = x[::2] + 1j * x[1::2]
        dz = (1 - abs(z) ** 2 + 1j * np.array([2.0, 3.0])) * z
        return np.stack([dz.real, dz.imag], axis=1).ravel()

    flow = dynet.Flow(rate, "finite_difference")
    ds = dynet.classify_attractor(flow, [1.0, 0.0, 0.6, 0.8], 1_500, n_transient=200)
    assert ds.label.values.tolist() == ["marginal"]
    assert float(ds.period[0]) == pytest.approx(2 * np.pi, rel=1e-4)
