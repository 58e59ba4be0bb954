"""Exponents of adaptive units by name: where they coincide, and whose copies the largest ones are."""

import numpy as np
import pytest
import xarray as xr

import dynet


def network(H=3, G=2, *, W_ag=0.5, W_gg=0.3, W_gn=0.4, W_gs=0.05, M=0):
    random = np.random.default_rng(0)
    W = np.linalg.qr(random.standard_normal((H, H)))[0]
    controller = np.diag([W_gg, W_gg / 2])
    return dynet.networks.adaptive_rnn(
        1.2 * W, random.standard_normal((H, M)) if M else None, random.standard_normal(H),
        W_ag=W_ag * np.ones(G), W_gg=controller, W_gn=W_gn * np.ones(G), b_n=5.0, W_gs=W_gs * np.ones(G), b_s=0.4,
    )  # fmt: skip


def exponents(ds):
    return ds.lyapunov_exponent.isel(exponent=0)


def largest(ds, name, drive=0):
    return float(exponents(ds).sel(network=name)[drive])


def test_all_are_one_where_controllers_are_constant_and_there_is_no_drive():
    system = network(W_gg=0.1, W_gn=0.0, W_gs=0.0)
    ds = dynet.adaptive_exponents(system, n_steps=200, n_transient=150)
    plain = dynet.networks.gamma_rnn(system.params[0].W_hh, b=system.params[0].b_xh, n=5.0, s=0.4)
    own = float(dynet.lyapunov_spectrum(plain, np.zeros(3), 200, n_transient=300).lyapunov_exponent[0])
    np.testing.assert_allclose(exponents(ds), np.full((1, 4), own), rtol=0, atol=5e-3)
    np.testing.assert_allclose(ds.gain, 5.0)
    np.testing.assert_allclose(ds.saturation, 0.4)


def test_with_constant_controllers_the_drive_alone_tells_networks_apart():
    system = network(W_gg=0.1, W_gn=0.0, W_gs=0.0)
    ds = dynet.adaptive_exponents(system, drive=[0.0, 2.0], n_steps=200, n_transient=150)
    np.testing.assert_allclose(exponents(ds).sel(network="frozen"), [largest(ds, "frozen")] * 2, rtol=0, atol=5e-3)
    expected = largest(ds, "frozen with drive", 1)
    for name in ("full", "not adapted"):
        assert largest(ds, name, 1) == pytest.approx(expected, abs=5e-3)
    assert abs(expected - largest(ds, "frozen")) > 0.02


def test_slow_controllers_hold_the_leading_exponents_in_copies():
    """One controller mode of spectral radius 0.95 in each of three units, at rest at g = 0 without an input."""
    system = network(W_ag=0.0, W_gg=0.95, W_gn=0.0, W_gs=0.0)
    ds = dynet.adaptive_exponents(system, n_steps=400, n_transient=100, n_exponents=4)
    full = ds.sel(network="full").isel(drive=0)
    np.testing.assert_allclose(full.lyapunov_exponent[:3], np.log(0.95), rtol=0, atol=1e-3)
    assert full.lyapunov_exponent[3] < np.log(0.95) - 0.1
    np.testing.assert_allclose(full.weight.sel(part="g")[:3], 1.0, atol=1e-6)
    np.testing.assert_allclose(ds.controller_exponent, np.log(0.95), atol=1e-10)
    np.testing.assert_allclose(ds.weight.sum("part").sel(network=["frozen", "full"])[..., :3], 1.0)
    assert np.isnan(ds.lyapunov_exponent.sel(network="frozen")[0, 3])  # three units have three exponents


def test_adaptation_in_the_loop_is_the_jacobian_at_the_fixed_point():
    system = dynet.networks.with_drive(network(), 1.5)
    ds = dynet.adaptive_exponents(network(), drive=1.5, n_steps=300, n_transient=300)
    x = dynet.simulate(system, np.zeros(9), 1000).state[-1].values
    J = system.jac(0.0, x, np.empty(0), system.params).assemble()
    radius = np.abs(np.linalg.eigvals(J)).max()
    assert largest(ds, "full") == pytest.approx(np.log(radius), abs=5e-3)
    frozen = dynet.networks.frozen_controllers(system, ds.gain[0], ds.saturation[0])
    J = frozen.jac(0.0, x[:3], np.empty(0), frozen.params).assemble()
    radius = np.abs(np.linalg.eigvals(J)).max()
    assert largest(ds, "frozen with drive") == pytest.approx(np.log(radius), abs=5e-3)


def test_inputs_are_the_same_for_all():
    system = network(M=1)
    inputs = np.random.default_rng(1).standard_normal((150, 1))
    ds = dynet.adaptive_exponents(system, n_steps=100, n_transient=50, inputs=inputs)
    direct = dynet.lyapunov_spectrum(system, np.zeros(9), 100, inputs=inputs, n_transient=50, n_exponents=1)
    assert largest(ds, "full") == pytest.approx(float(direct.lyapunov_exponent[0]), abs=1e-10)
    trace = dynet.adaptation_trace(system, inputs=inputs[:50])
    np.testing.assert_allclose(ds.gain[0], trace.gain[-1])
    frozen = dynet.networks.frozen_controllers(system, trace.gain[-1], trace.saturation[-1])
    h = trace.activity[-1]
    direct = dynet.lyapunov_spectrum(frozen, h, 100, inputs=inputs, n_transient=50, n_exponents=1)
    assert largest(ds, "frozen") == pytest.approx(float(direct.lyapunov_exponent[0]), abs=1e-10)


def test_a_network_that_diverges_when_held_says_so():
    """The controller saturates the units under a drive; with what it has without it they grow without end."""
    system = dynet.networks.adaptive_rnn(
        3 * np.eye(2), b=[-1.0, -1.0], W_ag=[20.0], W_gg=[[0.0]], W_gn=[0.0], b_n=5.0, W_gs=[0.5], b_s=0.5
    )
    ds = dynet.adaptive_exponents(system, drive=5.0, n_steps=750, n_transient=50)
    status = ds.status.isel(drive=0)
    assert status.sel(network=["frozen", "frozen with drive", "full"]).values.tolist() == [0, 0, 0]
    assert status.sel(network="not adapted") == 1
    assert "not finite" in str(ds.message.sel(network="not adapted")[0].values)
    assert np.isnan(largest(ds, "not adapted"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"drive": np.zeros((2, 2))}, "drive"),
        ({"drive": np.nan}, "not finite"),
        ({"n_exponents": 10}, "9 units"),
        ({"n_transient": 0, "n_steps": 1}, "n_transient=0"),
        ({"x0": np.zeros((2, 9))}, "one state"),
        ({"inputs": np.zeros((10, 1))}, "rows"),
    ],
)
def test_bad_input_is_named(arguments, words):
    with pytest.raises(dynet.InputError, match=words):
        dynet.adaptive_exponents(network(M=1 if "inputs" in arguments else 0), **arguments)
    with pytest.raises(dynet.InputError, match="adaptive units"):
        dynet.adaptive_exponents(dynet.networks.tanh_rnn(np.eye(2)))


def test_saturations_outside_are_told_once():
    system = network(W_gn=0.0, W_gs=0.5)  # s = 0.4 + g_0 / 2 + g_1 / 2 reaches -0.6
    with pytest.warns(UserWarning, match=r"saturations that were held are outside \[0, 1\]") as told:
        dynet.adaptive_exponents(system, drive=-9.0, n_steps=20, n_transient=20)
    assert len(told) == 1


def test_results_come_back_from_files(tmp_path):
    system = network()
    for ds in (
        dynet.adaptive_exponents(system, n_steps=20, n_transient=10),
        dynet.adaptation_trace(system, n_steps=5),
        dynet.recurrent_eigenvalues(system, np.zeros(9), 3),
        dynet.jacobian_map(np.eye(2), n=[2.0], s=[0.5], n_steps=5, n_transient=0, n_samples=2),
    ):
        xr.testing.assert_identical(dynet.load(dynet.save(ds, tmp_path / "result.nc")), ds)
