"""Multipliers against values known on paper or to many digits, modes against their defining equations."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import dynet
from dynet import InputError

from .conftest import FLOWS


def multipliers(cycles, name):
    flow, _, _, cycle = cycles(name)
    return dynet.floquet_multipliers(flow, cycle)


@pytest.mark.parametrize("name", list(FLOWS))
def test_log_modulus_at_any_magnitude(cycles, name):
    ds = multipliers(cycles, name)
    expected = cycles(name)[2]
    assert float(ds.log_modulus.sel(index=2)) == pytest.approx(expected, abs=1e-8)
    assert float(ds.trivial_error) < 1e-9
    assert abs(float(ds.liouville_error)) < 1e-9
    assert ds.stability.item() == "stable"
    assert ds.attrs["trivial_index"] == 1


def test_growth_rate_of_the_tanh_network(cycles):
    ds = multipliers(cycles, "tanh network")
    assert float(ds.growth_rate.sel(index=2)) == pytest.approx(-0.434963685946, abs=1e-11)
    assert complex(ds.multiplier.sel(index=2)).real == pytest.approx(0.005807117928, abs=1e-12)


@pytest.mark.parametrize("name", ["Stuart-Landau", "van der Pol 5"])
def test_modes_and_adjoint_modes_are_biorthogonal(cycles, name):
    ds = dynet.floquet_modes(cycles(name)[0], cycles(name)[3])
    modes, adjoints = ds.mode.values, ds.adjoint_mode.values
    assert float(ds.biorthogonality_error) < 1e-12
    products = np.einsum("pui,puj->pij", adjoints, modes)
    lengths = np.linalg.norm(adjoints, axis=1)[:, :, None] * np.linalg.norm(modes, axis=1)[:, None, :]
    assert np.abs((products - np.eye(2)) / np.maximum(lengths, 1)).max() < 1e-12


def test_modes_are_carried_by_the_flow(cycles):
    flow, period, _, cycle = cycles("tanh network")
    ds = dynet.floquet_modes(flow, cycle)

    def variational(t, z):
        J = flow.jac(t, z[:2], z[:0], flow.params)
        return np.concatenate([flow.rhs(t, z[:2], z[:0], flow.params), (J @ z[2:, None])[:, 0]])

    for index in (1, 2):
        v = ds.mode.sel(index=index).isel(phase=0).values.real
        z0 = np.concatenate([cycle.orbit.values[0], v])
        end = solve_ivp(variational, (0, 0.3 * period), z0, method="DOP853", rtol=1e-11, atol=1e-13).y[2:, -1]
        expected = ds.mode.sel(index=index).isel(phase=72).values.real
        growth = np.exp(0.3 * period * float(ds.growth_rate.sel(index=index)))
        np.testing.assert_allclose(end, growth * expected, rtol=1e-8)


def test_adjoint_of_the_trivial_mode_is_the_phase_response_of_stuart_landau(cycles):
    # phase angle - c ln r: its gradient over the frequency, at radius sqrt(l)
    flow, period, _, cycle = cycles("Stuart-Landau")
    ds = dynet.floquet_modes(flow, cycle)
    z = cycle.orbit.values @ [1, 1j]
    r, angle, c, omega = np.abs(z), np.angle(z), 0.4, 2 * np.pi / period
    expected = np.stack([-np.sin(angle) - c * np.cos(angle), np.cos(angle) - c * np.sin(angle)], axis=1)
    np.testing.assert_allclose(
        ds.adjoint_mode.sel(index=1).values, expected / (r * omega)[:, None], atol=1e-8
    )  # fmt: skip


def test_complex_multipliers_and_their_modes():
    # a planar cycle, and beside it z' = (-0.1 + 0.7 i) z
    def rhs(t, x, u, p):
        planar = (1 - x[:2] @ x[:2]) * x[:2] + np.array([-x[1], x[0]])
        return np.concatenate([planar, p @ x[2:]])

    A = np.array([[-0.1, -0.7], [0.7, -0.1]])
    flow = dynet.Flow(rhs, "finite_difference", params=A)
    cycle = dynet.find_limit_cycle(flow, [1.0, 0.1, 0.3, 0.0])
    ds = dynet.floquet_multipliers(flow, cycle)
    expected = np.exp(2 * np.pi * np.array([0.0, -0.1 + 0.7j, -0.1 - 0.7j, -2.0]))
    np.testing.assert_allclose(np.sort_complex(ds.multiplier.values), np.sort_complex(expected), atol=1e-8)
    v, mu = ds.mode.values, ds.multiplier.values
    for i in range(4):
        if abs(mu[i].imag) > 0.1:  # of this block the monodromy is exp(2 pi A)
            W, X = np.linalg.eig(A)
            M = (X * np.exp(2 * np.pi * W) @ np.linalg.inv(X)).real
            np.testing.assert_allclose(M @ v[2:, i], mu[i] * v[2:, i], atol=1e-8)


def test_two_equal_oscillators_are_undecided():
    flow = dynet.networks.rotation_rnn([1.5, 1.5], [0.5, 0.5], form="flow")
    ds = dynet.floquet_multipliers(flow, dynet.find_limit_cycle(flow, [0.3, 0.1, -0.2, 0.5]))
    np.testing.assert_allclose(ds.log_modulus[:2], 0, atol=1e-9)
    np.testing.assert_allclose(ds.multiplier[2:].values.real, 0.005807117928, atol=1e-11)
    assert ds.stability.item() == "undecided"


def test_the_family_of_cycles_of_a_hamiltonian_system_is_undecided():
    flow = dynet.Flow(
        lambda t, x, u, p: np.array([x[1], -np.sin(x[0])]),
        lambda t, x, u, p: np.array([[0.0, 1.0], [-np.cos(x[0]), 0.0]]),
    )
    ds = dynet.floquet_multipliers(flow, dynet.find_limit_cycle(flow, [1.0, 0.0]))
    assert ds.stability.item() == "undecided"


def test_an_unstable_cycle():
    flow = dynet.Flow(
        lambda t, x, u, p: np.array([-x[0] - 3 * x[1], 3 * x[0] - x[1]]) + x * (x @ x), "finite_difference"
    )
    ds = dynet.floquet_multipliers(flow, dynet.find_limit_cycle(flow, [1.005, 0.0], period_guess=2.0))
    assert float(ds.log_modulus[0]) == pytest.approx(4 * np.pi / 3, abs=1e-7)
    assert ds.stability.item() == "unstable"
    assert ds.attrs["trivial_index"] == 2


def test_check_sums_that_fail_refuse_a_label(cycles):
    flow, _, _, cycle = cycles("Stuart-Landau")
    wrong = cycle.assign(period=1.01 * cycle.period)
    assert dynet.floquet_multipliers(flow, wrong).stability.item() == "unknown"
    other = dynet.zoo.stuart_landau(0.4, 1.5, 0.4)
    assert dynet.floquet_multipliers(other, cycle).stability.item() == "unknown"


def test_a_point_is_a_fixed_point():
    flow = dynet.zoo.stuart_landau(-0.5)
    with pytest.raises(dynet.ConvergenceError) as caught:
        dynet.find_limit_cycle(flow, [0.5, 0.0])
    ds = dynet.floquet_multipliers(flow, caught.value.result)
    assert ds.stability.item() == "fixed_point"
    np.testing.assert_allclose(ds.growth_rate, -0.5, atol=1e-12)


@pytest.mark.parametrize("m", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_ring_of_oscillators_against_its_transverse_blocks(m):
    # m van der Pol oscillators, coupled to their neighbours in both variables: Fourier modes decouple
    strength = 0.03
    base = dynet.zoo.van_der_pol(1.0)
    L = 2 * np.eye(m) - np.roll(np.eye(m), 1, 0) - np.roll(np.eye(m), -1, 0)

    def rhs(t, x, u, p):
        y = x.reshape(2, m)
        return np.concatenate([y[1] - p * L @ y[0], (1 - y[0] ** 2) * y[1] - y[0] - p * L @ y[1]])

    def jac(t, x, u, p):
        y = x.reshape(2, m)
        return np.block([
            [-p * L, np.eye(m)],
            [np.diag(-2 * y[0] * y[1] - 1), np.diag(1 - y[0] ** 2) - p * L],
        ])  # fmt: skip

    flow = dynet.Flow(rhs, jac, params=strength)
    single = dynet.find_limit_cycle(base, [2.0, 0.0])
    start = np.repeat(single.orbit.values[0], m)
    ds = dynet.floquet_multipliers(flow, dynet.find_limit_cycle(flow, start, period_guess=6.66))
    T = float(single.period)
    own = dynet.floquet_multipliers(base, single).log_modulus.values
    # coupling by the identity shifts every exponent of a mode by - strength * eigenvalue of L
    expected = np.sort((own[None, :] - strength * T * np.linalg.eigvalsh(L)[:, None]).ravel())
    np.testing.assert_allclose(np.sort(ds.log_modulus.values), expected, atol=1e-8)
    assert abs(float(ds.liouville_error)) < 1e-9
    assert ds.stability.item() == "stable"


def test_bad_input(cycles):
    flow, _, _, cycle = cycles("Stuart-Landau")
    for bad in (None, cycle.isel(unit=0), cycle.drop_vars("period"), cycle.isel(unit=[0])):
        with pytest.raises(InputError):
            dynet.floquet_multipliers(flow, bad)
    with pytest.raises(InputError, match="not a periodic orbit of this map"):
        dynet.floquet_multipliers(dynet.zoo.henon(), cycle)


def test_results_are_kept_in_files(cycles, tmp_path):
    flow, _, _, cycle = cycles("Stuart-Landau")
    for result in (cycle, dynet.floquet_multipliers(flow, cycle)):
        assert dynet.load(dynet.save(result, tmp_path / "result.nc")).identical(result)


def test_a_cycle_of_another_system_is_told_by_its_size():
    with pytest.raises(InputError, match="cycle has 2 units, the system 3"):
        dynet.floquet_multipliers(dynet.zoo.lorenz63(), dynet.find_limit_cycle(dynet.zoo.stuart_landau(), [1.0, 0.0]))
