"""Zero exponents under perturbation: of a line attractor none stay, of a cycle one, of a torus some."""

import numpy as np
import pytest

import dynet
from dynet.errors import DivergenceError, InputError
from dynet.orbits.robustness import added_noise


def test_a_line_attractor_is_not_robust():
    # x1 + x2 = 1 is a line of fixed points
    line = dynet.networks.relu_rnn([[0.5, -0.5], [-0.5, 0.5]], b=[0.5, 0.5])
    ds = dynet.zero_exponent_robustness(line, [0.6, 0.3], [0.0, 0.3], 200, n_draws=3, n_exponents=1)
    np.testing.assert_array_equal(ds.n_zero, [1, 0])
    np.testing.assert_array_equal(ds.standard_error, 0)
    assert not ds.is_unbounded.any()


def test_a_cycle_is_robust_and_a_torus_partly():
    cycle = dynet.networks.rotation_rnn(1.5, 0.5)
    options = {"n_draws": 3, "qr_interval": 5}
    ds = dynet.zero_exponent_robustness(cycle, [0.5, 0.1], [0.0, 0.1], 600, **options)
    np.testing.assert_array_equal(ds.n_zero, [1, 1])
    torus = dynet.networks.rotation_rnn(1.5, [0.4, 0.55, 0.7])
    x0 = np.random.default_rng(0).uniform(-0.5, 0.5, 6)
    ds = dynet.zero_exponent_robustness(torus, x0, [0.0, 0.4], 1_000, n_exponents=4, **options)
    assert ds.n_zero[0] == 3
    assert ds.n_zero[1] < 2.5
    np.testing.assert_allclose(ds.n_zero, ds.n_zero_draw.mean("draw"))
    np.testing.assert_allclose(ds.standard_error, ds.n_zero_draw.std("draw", ddof=1) / np.sqrt(3))


def test_runs_that_escape_are_counted():
    system = dynet.zoo.linear_map(np.eye(2))
    ds = dynet.zero_exponent_robustness(system, [1.0, 0.0], [0.0, 1.0], 1_000, n_draws=4, qr_interval=5)
    np.testing.assert_array_equal(ds.n_zero_draw[0], 2)
    unbounded = ds.is_unbounded[1].values
    assert unbounded.any()
    np.testing.assert_array_equal(np.isnan(ds.lyapunov_exponent[1, :, 0]), unbounded)
    assert (ds.n_zero_draw.values[ds.is_unbounded.values] == 0).all()
    with pytest.raises(DivergenceError, match="no run stays bounded"):
        dynet.zero_exponent_robustness(dynet.zoo.linear_map(3.0 * np.eye(2)), [1.0, 0.0], [0.0], 800, n_draws=2)


def test_noise():
    rng = np.random.default_rng(1)
    params = {"W": np.zeros((400, 400)), "b": np.zeros(4_000), "gain": 1.0, "name": "tanh", "count": 3}
    changed = added_noise(params, 0.2, rng)
    np.testing.assert_allclose(np.abs(np.linalg.eigvals(changed["W"])).max(), 0.2, rtol=0.1)
    np.testing.assert_allclose(changed["b"].std(), 0.2, rtol=0.05)
    assert changed["gain"] != 1.0
    assert (changed["name"], changed["count"]) == ("tanh", 3)
    # a perturbation of one's own, along the same directions at every size
    seen = []

    def perturbation(params, size, rng):
        seen.append((size, rng.standard_normal()))
        return params._replace(alpha=params.alpha + size)

    flow = dynet.zoo.tanh_oscillator(0.5, 0.5, form="map")
    ds = dynet.zero_exponent_robustness(flow, [0.5, 0.1], [0.0, 0.1], 500, n_draws=2, perturbation=perturbation)
    assert [draw for _, draw in seen[:2]] == [draw for _, draw in seen[2:]]
    np.testing.assert_allclose(ds.lyapunov_exponent[:, 0], np.log([[0.5, 0.5], [0.6, 0.6]]), atol=1e-3)


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ([-0.1], {}, "give a row of numbers of at least 0"),
        ([0.1], {"n_draws": 1}, "n_draws=1: give a whole number of at least 2: one draw has no error bar"),
        ([0.1], {"dt": 0.1}, "dt=0.1: it belongs to flows"),
        ([0.1], {"perturbation": 0.1}, "perturbation=0.1: give a function"),
    ],
)
def test_bad_input(sizes, options, message):
    with pytest.raises(InputError, match=message):
        dynet.zero_exponent_robustness(dynet.zoo.henon(), [0.1, 0.1], sizes, **options)
    with pytest.raises(InputError, match="nothing to perturb"):
        dynet.zero_exponent_robustness(dynet.zoo.cat_map(), [0.1, 0.1], [0.1])
