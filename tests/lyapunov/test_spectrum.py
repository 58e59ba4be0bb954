"""Exponents of systems whose spectrum is known on paper or published."""

import numpy as np
import pytest
from scipy.special import digamma, expit

import dynet

spectrum = dynet.lyapunov_spectrum
zoo, networks = dynet.zoo, dynet.networks


def values(ds):
    return ds.lyapunov_exponent.values


# --- published and exact values -----------------------------------------------------------------------------


def test_the_cat_map_stretches_by_the_square_of_the_golden_mean():
    ds = spectrum(zoo.cat_map(), [0.1, 0.3], 2_000, n_transient=100)
    np.testing.assert_allclose(values(ds), [0.9624236501192069, -0.9624236501192069], rtol=0, atol=1e-12)


def test_the_fair_baker_map_doubles_and_halves():
    ds = spectrum(zoo.baker_map(), [0.1, 0.3], 500, n_transient=100)
    np.testing.assert_allclose(values(ds), [0.6931471805599453, -0.6931471805599453], rtol=0, atol=1e-13)


def test_a_skew_tent_grows_by_its_entropy():
    ds = spectrum(zoo.skew_tent(0.3), [0.4], 2_000_000, n_transient=100)
    error = float(ds.standard_error[0])
    assert abs(values(ds)[0] - 0.6108643020548935) < min(4 * error, 2e-3)
    # the steps are independent: the error bar must be that of a mean of independent numbers; 200 blocks and
    # their estimated autocorrelation leave it uncertain by some tens of percent, more upwards than downwards
    p = np.array([0.3, 0.7])
    sd = np.sqrt(np.sum(p * np.log(p) ** 2) - np.sum(p * np.log(p)) ** 2)
    assert 0.75 < error / (sd / np.sqrt(2_000_000)) < 2


def test_a_skew_baker_map_grows_by_its_entropy():
    ds = spectrum(zoo.baker_map(0.3), [0.1234, 0.3], 500_000, n_transient=100)
    assert abs(values(ds)[0] - 0.6108643020548935) < min(4 * float(ds.standard_error[0]), 3e-3)
    np.testing.assert_allclose(values(ds).sum(), 0.0, rtol=0, atol=1e-12)


def test_the_logistic_map_at_four_doubles():
    ds = spectrum(zoo.logistic(), [0.3], 1_000_000, n_transient=1_000)
    assert abs(values(ds)[0] - np.log(2)) < max(4 * float(ds.standard_error[0]), 1e-5)
    assert abs(values(ds)[0] - np.log(2)) < 1e-3


def test_the_henon_map_has_its_published_exponents_and_its_exact_sum():
    ds = spectrum(zoo.henon(), [0.1, 0.1], 2_000_000, n_transient=1_000)
    error = ds.standard_error.values
    assert (error < 1e-3).all()
    # published to four digits
    assert (np.abs(values(ds) - [0.4192, -1.6232]) < 4 * error + 5e-5).all()
    np.testing.assert_allclose(values(ds).sum(), np.log(0.3), rtol=0, atol=1e-12)


def test_the_sum_of_henon_exponents_is_exact_in_every_block_of_time():
    ds = spectrum(zoo.henon(1.4, 0.3), [0.1, 0.1], 4_000, n_transient=100)
    by_block = ds.growth.sum("exponent") / ds.duration
    np.testing.assert_allclose(by_block, np.log(0.3), rtol=0, atol=1e-11)
    other = spectrum(zoo.henon(1.2, -0.2), [0.1, 0.1], 4_000, n_transient=100)
    np.testing.assert_allclose(values(other).sum(), np.log(0.2), rtol=0, atol=1e-12)


def test_the_lorenz_system_has_its_published_exponents():
    ds = spectrum(zoo.lorenz63().to_map(0.005), [1.0, 1.0, 20.0], 2_000_000, n_transient=10_000)
    error = ds.standard_error.values
    assert (error[[0, 2]] < 3e-3).all()
    assert (np.abs(values(ds) - [0.9056, 0.0, -14.5723]) < 4 * error + 2e-4).all()
    np.testing.assert_allclose(values(ds).sum(), -41 / 3, rtol=0, atol=1e-5)


def test_the_sum_of_lorenz_exponents_approaches_the_divergence_at_fourth_order():
    flow = zoo.lorenz63()
    gaps = []
    for dt in (0.005, 0.0025):
        ds = spectrum(flow.to_map(dt), [1.0, 1.0, 20.0], int(200 / dt), n_transient=int(20 / dt))
        gaps.append(abs(values(ds).sum() + 41 / 3))
    assert gaps[0] < 1e-5
    assert gaps[1] < 1e-6
    assert 10 < gaps[0] / gaps[1] < 22


def test_every_block_of_lorenz_grows_by_the_determinants_of_its_steps():
    flow = zoo.lorenz63()
    system = flow.to_map(0.02)
    ds = spectrum(system, [1.0, 1.0, 20.0], 230, n_transient=13, qr_interval=4)
    x, empty = np.array([1.0, 1.0, 20.0]), np.empty(0)
    logs = []
    for k in range(243):
        x, J = system.linearize(k * 0.02, x, empty, system.params)
        logs.append(np.log(abs(np.linalg.det(J.assemble()))))
    ends = np.round(ds.time.values / 0.02).astype(int)
    assert ends[-1] == 243
    starts = np.r_[13, ends[:-1]]
    windows = [np.sum(logs[a:b]) for a, b in zip(starts, ends, strict=True)]
    np.testing.assert_allclose(ds.growth[0].sum("exponent"), windows, rtol=0, atol=1e-10)


def test_the_rossler_system_has_its_published_exponents():
    ds = spectrum(zoo.rossler().to_map(0.02), [1.0, 1.0, 0.0], 1_000_000, n_transient=20_000)
    error = ds.standard_error.values
    assert (error < 5e-3).all()
    assert (np.abs(values(ds) - [0.0714, 0.0, -5.3943]) < 4 * error + 3e-4).all()


def test_lorenz96_contracts_by_one_a_unit_of_time_and_site():
    x0 = 8.0 + np.sin(np.arange(40.0))
    ds = spectrum(zoo.lorenz96(40).to_map(0.01), x0, 400, n_transient=50)
    np.testing.assert_allclose(values(ds).sum(), -40.0, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_lorenz96_has_thirteen_positive_exponents_and_dimension_27():
    x0 = 8.0 + np.sin(np.arange(40.0))
    ds = spectrum(zoo.lorenz96(40).to_map(0.02), x0, 50_000, n_transient=2_000)
    clear = np.abs(values(ds)) > 3 * ds.standard_error.values
    assert int(((values(ds) > 0) & clear).sum()) == 13
    dimension = dynet.kaplan_yorke_dimension(ds)
    assert abs(float(dimension.dimension) - 27.1) < 4 * float(dimension.standard_error) + 0.05
    np.testing.assert_allclose(values(ds).sum(), -40.0, rtol=0, atol=1e-3)


# --- limit cycles: zero along the flow, ln(multiplier) / period across it ------------------------------------


@pytest.mark.parametrize(
    ("mu", "period", "log_multiplier", "steps"),
    [
        (1.0, 6.6632868593231, np.log(0.0008596950636), 4_000),
        (5.0, 11.6122306677196, -85.4520185449, 20_000),
        (10.0, 19.078369566939, -311.8442192862, 80_000),
    ],
)
def test_the_van_der_pol_cycle_contracts_by_its_multiplier(mu, period, log_multiplier, steps):
    system = zoo.van_der_pol(mu).to_map(period / steps)
    ds = spectrum(system, [2.0, 0.0], steps, n_transient=3 * steps)
    assert abs(values(ds)[0]) < 1e-6
    np.testing.assert_allclose(values(ds)[1], log_multiplier / period, rtol=1e-6)


def test_the_stuart_landau_cycle_contracts_by_twice_its_growth():
    period = 2 * np.pi / (1.5 - 0.4 * 0.3)
    system = zoo.stuart_landau(0.3, 1.5, 0.4).to_map(period / 800)
    ds = spectrum(system, [0.5, 0.0], 1_600, n_transient=12_000)
    np.testing.assert_allclose(values(ds), [0.0, -0.6], rtol=0, atol=1e-9)


def brusselator(t, x, u, p):
    a, b = p
    return np.array([a - (b + 1) * x[0] + x[0] ** 2 * x[1], b * x[0] - x[0] ** 2 * x[1]])


def brusselator_jacobian(t, x, u, p):
    _, b = p
    return np.array([[-(b + 1) + 2 * x[0] * x[1], x[0] ** 2], [b - 2 * x[0] * x[1], -(x[0] ** 2)]])


def fitzhugh_nagumo(t, x, u, p):
    a, b, eps, current = p
    return np.array([x[0] - x[0] ** 3 / 3 - x[1] + current, eps * (x[0] + a - b * x[1])])


def fitzhugh_nagumo_jacobian(t, x, u, p):
    _, b, eps, _ = p
    return np.array([[1 - x[0] ** 2, -1.0], [eps, -eps * b]])


@pytest.mark.parametrize(
    ("rhs", "jac", "params", "x0", "period", "log_multiplier", "steps", "transient"),
    [
        (
            brusselator,
            brusselator_jacobian,
            (1.0, 3.0),
            [1.0, 1.0],
            7.1569199211799,
            np.log(0.00025163757999),
            600,
            2400,
        ),
        (
            fitzhugh_nagumo,
            fitzhugh_nagumo_jacobian,
            (0.7, 0.8, 0.08, 0.5),
            [1.0, 0.0],
            39.4744149802417,
            -38.3112639968,
            1600,
            2400,
        ),
    ],
    ids=["Brusselator", "FitzHugh-Nagumo"],
)
def test_a_cycle_of_python_functions_contracts_by_its_multiplier(
    rhs, jac, params, x0, period, log_multiplier, steps, transient
):
    system = dynet.Flow(rhs, jac, params=params).to_map(period / steps)
    ds = spectrum(system, x0, steps, n_transient=transient)
    assert abs(values(ds)[0]) < 1e-4
    np.testing.assert_allclose(values(ds)[1], log_multiplier / period, rtol=1e-4)


def test_the_two_unit_tanh_network_contracts_to_its_cycle():
    period = 11.837013183489
    system = networks.rotation_rnn(1.5, 0.5, form="flow").to_map(period / 300)
    ds = spectrum(system, [0.5, 0.1], 300, n_transient=1_800)
    np.testing.assert_allclose(values(ds), [0.0, -0.434963685946], rtol=0, atol=1e-6)


def test_the_gru_flow_is_the_tanh_network_at_half_gain_and_half_speed():
    period = 23.674026366978
    c, s = 3 * np.cos(0.5), 3 * np.sin(0.5)
    W = np.zeros((6, 2))
    W[4:] = [[c, -s], [s, c]]
    system = networks.gru_flow(W, form="paper").to_map(period / 300)
    ds = spectrum(system, [0.5, 0.1], 300, n_transient=1_800)
    np.testing.assert_allclose(values(ds), [0.0, np.log(5.807117928e-3) / period], rtol=0, atol=1e-6)


# --- linear maps --------------------------------------------------------------------------------------------


def test_a_triangular_map_grows_by_its_diagonal():
    A = np.array([[2.0, 5.0, -1.0], [0.0, -1.1, 3.0], [0.0, 0.0, 0.3]])
    ds = spectrum(zoo.linear_map(A), [1, 1, 1], 400, n_transient=200)
    np.testing.assert_allclose(values(ds), np.log([2.0, 1.1, 0.3]), rtol=0, atol=1e-12)


def test_the_first_axes_of_a_triangular_map_grow_in_frame_order_unsorted():
    # columns of the identity stay put: exponents come in the order of the frame, growing or not
    A = np.diag([0.3, 2.0, 1.1])
    ds = spectrum(zoo.linear_map(A), [1, 1, 1], 20, initial_frame=np.eye(3))
    np.testing.assert_allclose(values(ds), np.log([0.3, 2.0, 1.1]), rtol=0, atol=1e-13)


@pytest.mark.parametrize("frame", ["qr", "lu"])
def test_a_defective_map_has_the_growth_of_its_exact_powers(exact_growth, frame):
    n, T = 4, 60
    J = 0.9 * np.eye(n) + np.eye(n, k=1)
    V = np.linalg.qr(np.random.default_rng(2).standard_normal((n, n)))[0]
    ds = spectrum(zoo.linear_map(J), np.ones(n), T, initial_frame=V, frame=frame)
    np.testing.assert_allclose(ds.growth.sum("time")[0], exact_growth([J] * T, V), rtol=0, atol=1e-10)


def test_a_defective_map_converges_like_the_logarithm_of_time():
    # the n-th power of a Jordan block of size m grows like T^(m-1): the estimate is off by (m-1) log(T) / T
    J = 0.9 * np.eye(3) + np.eye(3, k=1)
    for T in (1_000, 4_000):
        ds = spectrum(zoo.linear_map(J), np.ones(3), T, check=False)
        off = values(ds) - np.log(0.9)
        np.testing.assert_allclose(off[0], 2 * np.log(T) / T, rtol=0.35)
        np.testing.assert_allclose(off[2], -2 * np.log(T) / T, rtol=0.35)
        np.testing.assert_allclose(off.sum(), 0.0, atol=1e-12)


def test_complex_pairs_share_their_modulus(exact_growth):
    r, angle = 1.3, 0.7
    block = r * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    A = np.zeros((3, 3))
    A[:2, :2], A[2, 2] = block, 0.4
    S = np.random.default_rng(0).standard_normal((3, 3))
    A = S @ A @ np.linalg.inv(S)
    V = np.linalg.qr(np.random.default_rng(5).standard_normal((3, 3)))[0]
    short = spectrum(zoo.linear_map(A), [1, 1, 1], 40, initial_frame=V)
    np.testing.assert_allclose(short.growth.sum("time")[0], exact_growth([A] * 40, V), rtol=0, atol=1e-9)
    ds = spectrum(zoo.linear_map(A), [0, 0, 0], 4_000, n_transient=100, check=False)
    # within a pair the growth swings around its mean, by less than the condition of the eigenvectors
    np.testing.assert_allclose(values(ds), np.log([r, r, 0.4]), rtol=0, atol=np.log(np.linalg.cond(S)) / 2_000)
    np.testing.assert_allclose(values(ds)[:2].sum(), 2 * np.log(r), rtol=0, atol=1e-10)


@pytest.mark.parametrize("gain", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("frame", ["qr", "lu"])
def test_every_exponent_of_an_orthogonal_map_is_the_logarithm_of_its_gain(gain, frame):
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    ds = spectrum(zoo.linear_map(gain * Q), np.ones(6), 300, frame=frame)
    np.testing.assert_allclose(ds.growth / ds.duration, np.log(gain), rtol=0, atol=1e-12)


def test_a_tanh_network_at_rest_grows_by_its_eigenvalues():
    random = np.random.default_rng(4)
    W = random.standard_normal((5, 5))
    W = 0.9 * (W + W.T) / np.abs(np.linalg.eigvalsh(W + W.T)).max()
    ds = spectrum(networks.tanh_rnn(W), np.zeros(5), 300, n_transient=1_500)
    expected = np.sort(np.log(np.abs(np.linalg.eigvalsh(W))))[::-1]
    np.testing.assert_allclose(values(ds), expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(ds.final_state, 0.0)


def test_a_general_tanh_network_at_rest_has_the_moduli_of_its_eigenvalues():
    W = 0.3 * np.random.default_rng(7).standard_normal((6, 6))
    assert np.abs(np.linalg.eigvals(W)).max() < 1
    ds = spectrum(networks.tanh_rnn(W), np.zeros(6), 4_000, n_transient=200)
    expected = np.sort(np.log(np.abs(np.linalg.eigvals(W))))[::-1]
    np.testing.assert_allclose(values(ds), expected, rtol=0, atol=5e-3)
    np.testing.assert_allclose(values(ds).sum(), np.log(abs(np.linalg.det(W))), rtol=0, atol=1e-12)


# --- gates without weights ----------------------------------------------------------------------------------


def test_an_lstm_without_weights_forgets_by_its_forget_gates_and_nothing_else():
    H = 3
    b = np.zeros(4 * H)
    b[H : 2 * H] = [2.0, 0.5, -1.0]  # forget biases, from the slowest to the fastest
    ds = spectrum(networks.lstm(np.zeros((4 * H, H)), b_hh=b), 0.1 * np.ones(2 * H), 60, n_transient=60)
    np.testing.assert_allclose(values(ds)[:H], np.log(expit([2.0, 0.5, -1.0])), rtol=0, atol=1e-9)
    assert np.isneginf(values(ds)[H:]).all()
    assert ds.below_resolution.values.tolist() == [False] * H + [True] * H
    np.testing.assert_array_equal(ds.standard_error[H:], 0.0)
    assert ds.attrs["n_below_resolution"] == H


@pytest.mark.parametrize("form", ["torch", "gated-product", "paper"])
def test_a_gru_without_weights_keeps_by_its_update_gates(form):
    H = 3
    b = np.zeros(3 * H)
    b[H : 2 * H] = [2.0, 0.5, -1.0]
    system = networks.gru(np.zeros((3 * H, H)), b_hh=b, form=form)
    ds = spectrum(system, 0.1 * np.ones(H), 60, n_transient=60)
    np.testing.assert_allclose(values(ds), np.log(expit([2.0, 0.5, -1.0])), rtol=0, atol=1e-9)


# --- singular Jacobians -------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", ["qr", "lu"])
def test_dead_units_have_minus_infinite_exponents_of_no_error(frame):
    W = np.diag([1.2, 0.8, 0.5, 0.5])
    b = np.array([1.0, 1.0, -100.0, -100.0])  # the last two never fire
    ds = spectrum(networks.relu_rnn(W, b=b), np.ones(4), 30, n_transient=5, frame=frame)
    np.testing.assert_allclose(values(ds)[:2], np.log([1.2, 0.8]), rtol=0, atol=0.05)
    assert np.isneginf(values(ds)[2:]).all()
    np.testing.assert_array_equal(ds.standard_error[2:], 0.0)
    assert np.isneginf(ds.growth[..., 2:]).all()


@pytest.mark.parametrize("frame", ["qr", "lu"])
@pytest.mark.parametrize(("n", "rank"), [(6, 2), (40, 10)])
def test_a_dense_map_of_low_rank_has_as_many_finite_exponents(frame, n, rank):
    random = np.random.default_rng(n)
    W = random.standard_normal((n, rank)) @ random.standard_normal((rank, n)) / n
    ds = spectrum(zoo.linear_map(W), random.standard_normal(n), 50, n_transient=20, frame=frame)
    assert np.isfinite(values(ds)[:rank]).all()
    assert np.isneginf(values(ds)[rank:]).all()
    assert int(ds.below_resolution.sum()) == n - rank
    # the sum of the finite ones is the pseudo-determinant: the product of the non-zero eigenvalues
    eigenvalues = np.sort(np.abs(np.linalg.eigvals(W)))[::-1][:rank]
    np.testing.assert_allclose(values(ds)[:rank].sum(), np.log(eigenvalues).sum(), rtol=0, atol=0.2)


def test_the_zero_map_loses_everything_at_once():
    ds = spectrum(zoo.linear_map(np.zeros((3, 3))), [1, 1, 1], 12)
    assert np.isneginf(values(ds)).all()
    np.testing.assert_array_equal(ds.standard_error, 0.0)
    assert not np.isnan(ds.running_estimate).any()


def test_one_singular_step_is_enough_and_leaves_an_unknown_error():
    J = np.broadcast_to(np.diag([2.0, 0.5]), (60, 2, 2)).copy()
    J[30] = [[1.0, 0.0], [0.0, 0.0]]
    ds = spectrum(dynet.Map.from_jacobians(J), None, 60, initial_frame=np.eye(2))
    np.testing.assert_allclose(values(ds)[0], np.log(2) * 59 / 60, rtol=0, atol=1e-12)
    assert np.isneginf(values(ds)[1])
    assert np.isposinf(ds.standard_error[1])
    # what is lost is lost: from the block of that step on
    np.testing.assert_array_equal(np.isneginf(ds.growth[0, :, 1]), ds.time > 30)


# --- ensembles ----------------------------------------------------------------------------------------------


def test_products_of_gaussian_matrices_have_newman_s_exponents():
    N, T, g = 8, 6_000, 1.7
    J = np.random.default_rng(12).normal(0.0, g / np.sqrt(N), (T, N, N))
    ds = spectrum(dynet.Map.from_jacobians(J), None, T - 50, n_transient=50)
    k = np.arange(1, N + 1)
    exact = 0.5 * (np.log(2 * g**2 / N) + digamma((N - k + 1) / 2))
    error = ds.standard_error.values
    assert (error < 0.02).all()
    assert (np.abs(values(ds) - exact) < 4 * error).all()
    # a wrong order of the same matrices gives a run that is no worse: the products must be of time
    assert (np.diff(exact) < 0).all()


def test_a_ring_of_bernoulli_maps_has_the_spectrum_of_its_coupling():
    N, s, e = 8, 3.0, 0.4
    shift = np.roll(np.eye(N), 1, axis=0)
    coupling = (1 - e) * np.eye(N) + e / 2 * (shift + shift.T)
    system = dynet.Map(lambda t, x, u, p: (p @ ((s * x) % 1.0)) % 1.0, lambda t, x, u, p: s * p, params=coupling)
    x0 = np.random.default_rng(0).random(N)
    ds = spectrum(system, x0, 200, n_transient=400)
    exact = np.log(s) + np.log(np.abs(1 - e + e * np.cos(2 * np.pi * np.arange(N) / N)))
    np.testing.assert_allclose(values(ds), np.sort(exact)[::-1], rtol=0, atol=1e-9)


def test_exponents_of_symplectic_products_come_in_pairs():
    # two free and two kicked directions: shears of symmetric matrices preserve the symplectic form
    random = np.random.default_rng(8)
    T, m = 3_000, 3
    J = np.empty((T, 2 * m, 2 * m))
    form = np.block([[np.zeros((m, m)), np.eye(m)], [-np.eye(m), np.zeros((m, m))]])
    for t in range(T):
        A, B = (S + S.T for S in random.standard_normal((2, m, m)))
        J[t] = np.block([[np.eye(m), A], [np.zeros((m, m)), np.eye(m)]]) @ np.block(
            [[np.eye(m), np.zeros((m, m))], [B, np.eye(m)]]
        )
    np.testing.assert_allclose(J[5].T @ form @ J[5], form, atol=1e-11)
    ds = spectrum(dynet.Map.from_jacobians(J), None, T - 100, n_transient=100)
    assert values(ds)[:m].min() > 0.1
    np.testing.assert_allclose(values(ds) + values(ds)[::-1], 0.0, rtol=0, atol=20 / T)
    np.testing.assert_allclose(values(ds).sum(), 0.0, rtol=0, atol=1e-10)


def standard_maps(t, x, u, p):
    q, v = x[:2], x[2:]
    v = v + p * np.sin(q) + 0.5 * np.sin(q - q[::-1])
    return np.concatenate([(q + v) % (2 * np.pi), v])


def standard_maps_jacobian(t, x, u, p):
    q = x[:2]
    c = 0.5 * np.cos(q[0] - q[1])
    kick = np.diag(p * np.cos(q)) + c * np.array([[1.0, -1.0], [-1.0, 1.0]])
    return np.block([[np.eye(2) + kick, np.eye(2)], [kick, np.eye(2)]])


def test_coupled_standard_maps_have_exponents_in_pairs():
    system = dynet.Map(standard_maps, standard_maps_jacobian, params=3.0)
    ds = spectrum(system, [1.0, 2.0, 0.5, 0.1], 4_000, n_transient=100)
    assert values(ds)[1] > 0.1
    np.testing.assert_allclose(values(ds) + values(ds)[::-1], 0.0, rtol=0, atol=30 / 4_000)


def test_a_rate_network_without_self_coupling_contracts_by_its_time_constant():
    random = np.random.default_rng(3)
    J = random.normal(0, 2 / np.sqrt(12), (12, 12))
    np.fill_diagonal(J, 0.0)
    system = networks.rate_network(J, tau=2.0, form="inside").to_map(0.1)
    ds = spectrum(system, random.standard_normal(12), 300)
    np.testing.assert_allclose(values(ds).mean(), -1 / 2.0, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_large_random_networks_have_the_mean_field_exponent():
    # networks differ from each other and from the limit by O(1/N): 0.01 is allowed at N = 1000
    found, errors = [], []
    for seed in range(3):
        random = np.random.default_rng(seed)
        net = networks.random_tanh(1_000, 2.0, rng=random)
        ds = spectrum(net, random.standard_normal(1_000), 2_000, n_exponents=1, n_transient=300)
        found.append(values(ds)[0])
        errors.append(float(ds.standard_error[0]))
    assert abs(np.mean(found) - 0.154724) < 3 * np.linalg.norm(errors) / 3 + 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("sigma", "exact"), [(0.5, 0.120385), (1.2790391, 0.0)])
def test_noise_calms_large_random_networks_as_the_mean_field_says(sigma, exact):
    found, errors = [], []
    for seed in range(3):
        random = np.random.default_rng(seed)
        J = random.normal(0, 2 / np.sqrt(1_000), (1_000, 1_000))
        net = dynet.Map(lambda t, x, u, p: p @ np.tanh(x) + u, lambda t, x, u, p: p * (1 - np.tanh(x) ** 2), params=J)
        noise = sigma * random.standard_normal((1_300, 1_000))
        ds = spectrum(net, random.standard_normal(1_000), 1_000, inputs=noise, n_exponents=1, n_transient=300)
        found.append(values(ds)[0])
        errors.append(float(ds.standard_error[0]))
    assert abs(np.mean(found) - exact) < 3 * np.linalg.norm(errors) / 3 + 0.01


# --- products of driven systems, against the dense product ---------------------------------------------------


def period_three(n=4, seed=0):
    return np.random.default_rng(seed).standard_normal((3, n, n))


def check_order(ds, J, V, exact_growth, tolerance=1e-9):
    """Growth is that of J_T ... J_1 V, and neither of the reversed nor of the transposed product."""
    T = len(J)
    grown = ds.growth.sum("time").values[0]
    np.testing.assert_allclose(grown, exact_growth(J, V), rtol=0, atol=tolerance)
    reversed_time = exact_growth(J[::-1], V)
    transposed = exact_growth([M.T for M in J], V)
    both = exact_growth([M.T for M in J[::-1]], V)
    for wrong in (reversed_time, transposed, both):
        assert np.abs(wrong - grown).max() > 1e-3
        # the sum cannot tell: it is the determinant of either
        np.testing.assert_allclose(wrong.sum(), grown.sum(), rtol=0, atol=1e-8)
    assert round(float(ds.duration.sum()) / ds.attrs["dt"]) == T


@pytest.mark.parametrize("frame", ["qr", "lu"])
def test_a_period_three_product_is_taken_in_the_order_of_time(frame, exact_growth):
    J = np.tile(period_three(), (8, 1, 1))
    V = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    ds = spectrum(dynet.Map.from_jacobians(J), None, 24, initial_frame=V, frame=frame)
    check_order(ds, J, V, exact_growth)


@pytest.mark.parametrize("frame", ["qr", "lu"])
def test_a_period_three_product_converges_to_the_eigenvalues_of_one_period(frame):
    # a symmetric middle makes the eigenvalues of the period real and distinct
    random = np.random.default_rng(6)
    D = np.diag([3.0, 1.5, 0.7, 0.2])
    S = random.standard_normal((3, 4, 4)) / 4 + 2 * np.eye(4)
    J1, J2 = S[0], S[1]
    J3 = S[2] @ D @ np.linalg.inv(S[2]) @ np.linalg.inv(J2 @ J1)
    J = np.tile(np.stack([J1, J2, J3]), (100, 1, 1))
    ds = spectrum(dynet.Map.from_jacobians(J), None, 150, n_transient=150, frame=frame)
    np.testing.assert_allclose(values(ds), np.log([3.0, 1.5, 0.7, 0.2]) / 3, rtol=0, atol=1e-9)
    # the other order has other exponents, so this test would see it
    wrong = np.log(np.sort(np.abs(np.linalg.eigvals(J1.T @ J2 @ J3)))[::-1]) / 3
    assert np.abs(wrong - values(ds)).max() > 1e-2


def test_a_driven_map_multiplies_the_jacobians_of_its_inputs_in_order(exact_growth):
    J = period_three()
    system = dynet.Map(lambda t, x, u, p: p[int(u[0])] @ x, lambda t, x, u, p: p[int(u[0])], params=J)
    V = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    which = np.tile([0.0, 1.0, 2.0], 8)[:, None]
    ds = spectrum(system, np.ones(4), 24, inputs=which, initial_frame=V)
    check_order(ds, np.tile(J, (8, 1, 1)), V, exact_growth)
    assert ds.attrs["conditional_on"] == "the given inputs"


def recurrent(kind, n_layers):
    random = np.random.default_rng(21)
    gates = {"tanh": 1, "lstm": 4}.get(kind, 3)
    sizes = [3] if n_layers == 1 else [3, 2]
    below = [2, *sizes[:-1]]
    W = [random.standard_normal((gates * n, n)) for n in sizes]
    X = [0.5 * random.standard_normal((gates * n, m)) for n, m in zip(sizes, below, strict=True)]
    b = [0.3 * random.standard_normal(gates * n) for n in sizes]
    if kind == "tanh":
        return networks.tanh_rnn(W, X, b)
    if kind == "lstm":
        return networks.lstm(W, X, b)
    return networks.gru(W, X, b, form=kind)


@pytest.mark.parametrize("frame", ["qr", "lu"])
@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("kind", ["tanh", "lstm", "torch", "gated-product", "paper"])
def test_a_network_driven_with_period_three_multiplies_its_jacobians_in_order(kind, n_layers, frame, exact_growth):
    system = recurrent(kind, n_layers)
    n = system.like.size
    T = 12
    inputs = np.tile(np.random.default_rng(3).standard_normal((3, 2)), (T // 3, 1))
    V = np.linalg.qr(np.random.default_rng(1).standard_normal((n, n)))[0]
    x0 = 0.3 * np.random.default_rng(2).standard_normal(n)
    ds = spectrum(system, x0, T, inputs=inputs, initial_frame=V, frame=frame)
    # Jacobians by complex steps of the step function: the operators are not asked
    x, J = x0, []
    for u in inputs:
        moved = np.stack([system.step(0.0, x + 1e-30j * e, u, system.params).imag * 1e30 for e in np.eye(n)], axis=-1)
        J.append(moved)
        x = system.step(0.0, x, u, system.params)
    check_order(ds, np.array(J), V, exact_growth)
    np.testing.assert_allclose(ds.final_state[0], x, rtol=0, atol=1e-13)


# --- what is counted ----------------------------------------------------------------------------------------


def tanh_system(n=4, seed=5):
    random = np.random.default_rng(seed)
    return networks.tanh_rnn(1.4 * random.standard_normal((n, n))), random.standard_normal(n)


def test_every_block_grows_by_the_determinants_of_its_steps():
    system, x = tanh_system()
    ds = spectrum(system, x, 137, n_transient=20)
    W = system.params[0].W_hh
    logs = []
    for _ in range(157):
        x = np.tanh(W @ x)
        logs.append(np.log(abs(np.linalg.det((1 - x**2)[:, None] * W))))
    ends = ds.time.values.astype(int)
    windows = [np.sum(logs[a:b]) for a, b in zip(np.r_[20, ends[:-1]], ends, strict=True)]
    np.testing.assert_allclose(ds.growth[0].sum("exponent"), windows, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(ds.duration[0], np.diff(np.r_[20, ends]))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("n_steps", "interval"), [(100, 6), (101, 4), (5, 50), (1, 1), (64, 3)])
def test_the_tail_is_counted_whatever_the_interval(n_steps, interval, compiled):
    Q = np.linalg.qr(np.random.default_rng(5).standard_normal((4, 4)))[0]
    mild = networks.tanh_rnn(Q @ np.diag([1.4, 1.1, 0.9, 0.7]))
    system, x0 = (zoo.henon(), [0.1, 0.1]) if compiled else (mild, [0.3, -0.2, 0.1, 0.4])
    every = spectrum(system, x0, n_steps, n_transient=3, qr_interval=1)
    some = spectrum(system, x0, n_steps, n_transient=3, qr_interval=interval)
    for ds in (every, some):
        assert float(ds.duration.sum()) == n_steps
        np.testing.assert_allclose(ds.time[-1], n_steps + 3)
    np.testing.assert_allclose(every.growth.sum("time"), some.growth.sum("time"), rtol=0, atol=1e-10 * n_steps)
    np.testing.assert_allclose(every.final_state, some.final_state, rtol=0, atol=1e-13)
    np.testing.assert_allclose(some.lyapunov_exponent * n_steps, some.growth.sum("time")[0], rtol=1e-12)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_long_interval_never_turns_a_finite_exponent_into_minus_infinity(compiled):
    # the exponents of this map lie 2.04 apart: after 50 steps the second column is rounding and nothing else
    henon = zoo.henon()
    python = dynet.Map(henon.step.py_func, henon.jac.py_func, params=henon.params)
    ds = spectrum(henon if compiled else python, [0.1, 0.1], 1_000, qr_interval=50)
    assert abs(values(ds).sum() - np.log(0.3)) < 1e-3


def test_the_running_estimate_ends_at_the_exponent():
    random = np.random.default_rng(0)
    system, _ = tanh_system()
    ds = spectrum(system, random.standard_normal((3, 4)), 95)
    np.testing.assert_allclose(ds.running_estimate.isel(time=-1), ds.sequence_exponent, rtol=0, atol=1e-14)
    by_hand = np.cumsum(ds.growth.values, axis=1) / np.cumsum(ds.duration.values, axis=1)[..., None]
    np.testing.assert_allclose(ds.running_estimate, by_hand, rtol=0, atol=1e-14)
    np.testing.assert_allclose(ds.lyapunov_exponent, ds.sequence_exponent.mean("sequence"), rtol=0, atol=1e-15)


@pytest.mark.parametrize("frame", ["qr", "lu"])
def test_state_and_frame_settle_together_before_anything_is_counted(frame, textbook_growth):
    random = np.random.default_rng(9)
    W, X = 1.3 * random.standard_normal((4, 4)), random.standard_normal((4, 2))
    system, inputs = networks.tanh_rnn(W, X), random.standard_normal((50, 2))
    V, x0 = random.standard_normal((4, 3)), random.standard_normal(4)

    def step(t, x, u, p):
        return np.tanh(W @ x + X @ u)

    def jacobian(t, x, u, p):
        # not 1 - tanh^2, which has no digits left where units saturate
        return np.cosh(W @ x + X @ u)[:, None] ** -2 * W

    rows, x, _ = textbook_growth(step, jacobian, x0, V, 50, inputs)
    ds = spectrum(system, x0, 30, inputs=inputs, n_transient=20, initial_frame=V, frame=frame)
    np.testing.assert_allclose(ds.growth.sum("time")[0], rows[20:].sum(axis=0), rtol=0, atol=1e-11)
    np.testing.assert_allclose(ds.final_state[0], x, rtol=0, atol=1e-13)


def test_a_compiled_transient_is_that_of_the_textbook_loop(textbook_growth):
    henon = zoo.henon()
    V = np.array([[1.0, 0.3], [0.2, -1.0]])
    rows, x, _ = textbook_growth(
        henon.step.py_func, henon.jac.py_func, np.array([0.1, 0.2]), V, 40, params=henon.params
    )
    ds = spectrum(henon, [0.1, 0.2], 15, n_transient=25, initial_frame=V)
    np.testing.assert_allclose(ds.growth.sum("time")[0], rows[25:].sum(axis=0), rtol=0, atol=1e-10)
    np.testing.assert_allclose(ds.final_state[0], x, rtol=0, atol=1e-10)


def test_time_counts_from_the_first_step_of_the_transient():
    seen = []

    def step(t, x, u, p):
        seen.append(t)
        return 0.5 * x

    system = dynet.Map(step, lambda t, x, u, p: [[0.5]], dt=0.25)
    spectrum(system, [1.0], 4, n_transient=3, check=False)
    assert seen[-7:] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5]


def test_a_function_of_time_gives_the_growth_of_its_times():
    # x' = a(t) x with a(t) = exp(t): the exponent is the mean time of the counted steps
    system = dynet.Map(lambda t, x, u, p: np.exp(t) * x, lambda t, x, u, p: [[np.exp(t)]], dt=0.1)
    ds = spectrum(system, [1e-30], 20, n_transient=10)
    np.testing.assert_allclose(values(ds)[0] * 0.1, 0.1 * np.mean(np.arange(10, 30)), rtol=0, atol=1e-12)


def test_the_same_call_gives_the_same_numbers_and_another_frame_other_ones():
    system, x0 = tanh_system()
    runs = [spectrum(system, x0, 20, rng=rng) for rng in (None, 0, np.random.default_rng(0), 1)]
    np.testing.assert_array_equal(runs[0].growth, runs[1].growth)
    np.testing.assert_array_equal(runs[0].growth, runs[2].growth)
    assert np.abs(runs[0].growth - runs[3].growth).max() > 1e-6
    np.testing.assert_allclose(runs[0].growth.sum("exponent"), runs[3].growth.sum("exponent"), atol=1e-12)


def test_a_frame_that_is_not_orthonormal_counts_only_its_flag():
    system, x0 = tanh_system()
    V = np.random.default_rng(3).standard_normal((4, 3))
    upper = np.triu(np.random.default_rng(4).standard_normal((3, 3))) + 3 * np.eye(3)
    a = spectrum(system, x0, 20, initial_frame=V)
    b = spectrum(system, x0, 20, initial_frame=V @ upper)
    np.testing.assert_allclose(a.growth, b.growth, rtol=0, atol=1e-11)


def test_a_tolerance_stops_the_run_when_its_error_bars_are_small_enough():
    loose = spectrum(zoo.henon(), [0.1, 0.1], 1_000_000, n_transient=100, tolerance=0.01, qr_interval=4)
    assert loose.attrs["n_steps"] < 1_000_000
    assert (loose.standard_error < 0.01).all()
    assert loose.attrs["tolerance_reached"] == "True"
    assert abs(values(loose)[0] - 0.4192) < 0.05
    never = spectrum(zoo.henon(), [0.1, 0.1], 3_000, tolerance=1e-9)
    assert never.attrs["n_steps"] == 3_000
    assert never.attrs["tolerance_reached"] == "False"


def test_settings_stand_in_the_attributes():
    ds = spectrum(zoo.henon(), np.array([[0.1, 0.1], [0.2, 0.1]]), 500, n_transient=7, qr_interval=5, rng=3)
    wanted = {
        "n_steps": 500,
        "n_transient": 7,
        "qr_interval": 5,
        "rng": "default_rng(3)",
        "engine": "compiled",
        "logarithm": "natural",
        "state": "full",
        "dt": 1.0,
        "time_unit": "step",
        "dtype": "float64",
        "n_exponents": 2,
        "frame": "qr",
    }
    assert {name: ds.attrs[name] for name in wanted} == wanted
    assert all(isinstance(value, str | int | float) for value in ds.attrs.values())
    assert "doi:" in ds.attrs["references"]
    assert ds.unit.values.tolist() == ["x", "y"]
    assert ds.lyapunov_exponent.attrs["units"] == "nat / step"


def test_a_run_has_between_ten_and_two_hundred_blocks():
    system, x0 = tanh_system()
    for n_steps in (10, 99, 150, 2_001, 5_000):
        blocks = spectrum(system, x0, n_steps, n_exponents=1).sizes["time"]
        assert 10 <= blocks <= 200


def test_blocks_of_all_exponents_of_large_networks_are_longer():
    net, x0 = networks.random_tanh(64, 2.0, rng=0), np.full(64, 0.1)
    assert spectrum(net, x0, 300).sizes["time"] == 12
    assert spectrum(net, x0, 300, n_exponents=63).sizes["time"] == 30
    assert spectrum(net, x0, 100).sizes["time"] == 10


def test_progress_can_be_shown(capsys):
    quiet = spectrum(zoo.henon(), [0.1, 0.1], 300)
    shown = spectrum(zoo.henon(), [0.1, 0.1], 300, progress=True)
    assert "Lyapunov spectrum" in capsys.readouterr().err
    np.testing.assert_array_equal(quiet.growth, shown.growth)


def test_zeros_stand_in_for_the_start_of_driven_networks_only():
    random = np.random.default_rng(1)
    net = networks.tanh_rnn(np.eye(2) * 0.5, np.ones((2, 1)))
    inputs = random.standard_normal((30, 1))
    a, b = (spectrum(net, x0, 30, inputs=inputs) for x0 in (None, [0.0, 0.0]))
    np.testing.assert_array_equal(a.growth, b.growth)
    with pytest.raises(dynet.InputError, match="inputs are missing: the network reads 1 channels"):
        spectrum(net, None, 30)
    with pytest.raises(dynet.InputError, match="x0 is None"):
        spectrum(networks.tanh_rnn(np.eye(2)), None, 30)
    bound = spectrum(net.with_input([0.3]), None, 30)
    np.testing.assert_array_equal(bound.growth, spectrum(net.with_input([0.3]), [0.0, 0.0], 30).growth)
