"""Mean field against reference numbers, direct quadrature and simulated networks; random matrices against samples."""

import pickle

import mpmath
import numpy as np
import pytest

import dynet
from dynet.systems import gaussian
from dynet.systems.fingerprint import fingerprint

theory = dynet.theory


def mean_field_by_hand(g, sigma):
    """Return variance and largest exponent for delta = 1, in many digits."""
    with mpmath.workdps(20):
        nodes = [-14, -7, -3, -1, 0, 1, 3, 7, 14]

        def average(f, variance):
            root = mpmath.sqrt(variance)
            return mpmath.quad(lambda z: f(root * z) * mpmath.npdf(z), nodes)

        variance = mpmath.findroot(lambda v: g**2 * average(lambda x: mpmath.tanh(x) ** 2, v) + sigma**2 - v, g**2)
        exponent = mpmath.log(g) + mpmath.log(average(lambda x: mpmath.sech(x) ** 4, variance)) / 2
        mean = mpmath.log(g) - 0.5 + average(lambda x: 2 * mpmath.log(mpmath.sech(x)), variance)
        return float(variance), float(exponent), float(mean)


@pytest.mark.parametrize(("g", "sigma"), [(2.0, 0.0), (1.2, 0.1), (8.0, 3.0)])
def test_the_mean_field_without_leak_is_that_of_direct_integration(g, sigma):
    ds = theory.mean_field(g, sigma)
    found = [float(ds[name]) for name in ("variance", "lyapunov_exponent", "mean_exponent")]
    np.testing.assert_allclose(found, mean_field_by_hand(g, sigma), rtol=0, atol=1e-10)
    assert ds.residual < 1e-12


def test_reference_numbers():
    ds = theory.mean_field(2.0, [0.0, 0.5, 1.2790454424557699])
    np.testing.assert_allclose(ds.lyapunov_exponent, [0.154724, 0.120385, 0.0], atol=5e-7)
    assert abs(ds.lyapunov_exponent[2]) < 1e-10
    critical = theory.transition(2.0)
    np.testing.assert_allclose(critical.critical_sigma, 1.2790454424557699, atol=1e-9)
    assert abs(critical.residual) < 1e-10


def test_extremes():
    # far from saturation, and far into it: signs of a Gaussian
    np.testing.assert_allclose(theory.mean_field(1e-3, 1e-3).lyapunov_exponent, np.log(1e-3), atol=1e-5)
    g = 2000.0
    ds = theory.mean_field(g)
    np.testing.assert_allclose(ds.variance, g**2 * (1 - np.sqrt(2 / np.pi) / g), rtol=1e-5)
    np.testing.assert_allclose(ds.lyapunov_exponent, np.log(g * np.sqrt(4 / 3 / np.sqrt(2 * np.pi) / g)), atol=1e-3)
    # E ln tanh' = -2 E |x| + 2 ln 2 + small
    np.testing.assert_allclose(ds.mean_exponent, np.log(g) - 0.5 - 2 * g * np.sqrt(2 / np.pi) + 2 * np.log(2), atol=1.0)
    assert theory.mean_field(1 + 1e-15).variance < 1e-14
    with pytest.raises(dynet.ConvergenceError, match=r"g=1\.001"):
        theory.mean_field(1.001, 0.0, 0.5)


def test_at_rest_the_exponent_is_that_of_the_circular_law():
    for g, delta in ((0.7, 1.0), (0.7, 0.3), (1.0, 0.5)):
        np.testing.assert_allclose(theory.mean_field(g, 0.0, delta).lyapunov_exponent, np.log(1 - delta + delta * g))
    # potential of the uniform disc of radius delta g about 1 - delta, at zero
    np.testing.assert_allclose(theory.mean_field(0.7, 0.0, 0.3).mean_exponent, np.log(0.7))
    np.testing.assert_allclose(theory.mean_field(0.9999, 0.0, 0.5).mean_exponent, np.log(0.5), atol=1e-12)
    a, r = 0.1, 0.9 * 0.8
    np.testing.assert_allclose(
        theory.mean_field(0.8, 0.0, 0.9).mean_exponent, np.log(r) - 0.5 + a**2 / (2 * r**2), atol=1e-9
    )


def test_arrays_give_dims_and_scalars_none():
    ds = theory.mean_field([1.5, 2.0], [0.0, 0.5, 1.0])
    assert ds.lyapunov_exponent.dims == ("g", "sigma")
    assert theory.mean_field(2.0, [0.5]).lyapunov_exponent.dims == ("sigma",)
    assert float(ds.lyapunov_exponent.sel(g=2.0, sigma=0.5)) == float(theory.mean_field(2.0, 0.5).lyapunov_exponent)
    assert (np.diff(ds.lyapunov_exponent, axis=1) < 0).all()  # inputs reduce chaos


@pytest.mark.parametrize("variance", [0.01, 0.7, 5.0, 60.0])
def test_series_of_correlations_have_their_known_ends_and_slopes(variance):
    series = gaussian.HermiteTable(1.3 * variance).correlations(variance)
    np.testing.assert_allclose(series.of_rates(np.ones(1)), gaussian.mean_square(variance), rtol=1e-11)
    np.testing.assert_allclose(series.of_slopes(np.ones(1)), gaussian.mean_square_slope(variance), rtol=1e-9)
    np.testing.assert_allclose(series.of_slopes(np.zeros(1)), gaussian.mean_slope(variance) ** 2, rtol=1e-11)
    c, h = np.array([0.3]), 1e-6
    slope = (series.of_rates(c + h) - series.of_rates(c - h)) / (2 * h * variance)
    np.testing.assert_allclose(series.of_slopes(c), slope, rtol=1e-8)


@pytest.mark.slow
def test_a_small_leak_is_the_rate_network_in_continuous_time():
    # the exponent per unit of its time, delta, has a limit to which it converges in first order
    scaled = [float(theory.mean_field(2.0, 0.0, d).lyapunov_exponent) / d for d in (0.2, 0.1, 0.05)]
    np.testing.assert_allclose((scaled[0] - scaled[1]) / (scaled[1] - scaled[2]), 2.0, rtol=0.15)


def test_the_leaky_equations_end_in_those_without_leak():
    near, at = theory.mean_field(2.0, 0.5, 1 - 1e-7), theory.mean_field(2.0, 0.5, 1.0)
    for name in ("variance", "lyapunov_exponent", "mean_exponent"):
        np.testing.assert_allclose(near[name], at[name], atol=2e-6)


def simulated(n, g, sigma, delta, n_steps, *, n_exponents=1, n_seeds=3, untied=False):
    """Return exponents (seed, exponent) of networks with an input of their own for every unit."""
    rows = []
    for seed in range(n_seeds):
        random = np.random.default_rng(100 + seed)
        net = dynet.networks.random_tanh(
            n, g, delta, W_xh=sigma * np.eye(n) if sigma else None, untied=untied, rng=seed
        )
        steps = n_steps + n_steps // 4
        inputs = random.standard_normal((steps, n)) if sigma else None
        ds = dynet.lyapunov_spectrum(
            net, random.standard_normal(n), n_steps, inputs=inputs, n_transient=n_steps // 4, n_exponents=n_exponents,
            check=False,
        )  # fmt: skip
        rows.append(ds.lyapunov_exponent.values)
    return np.array(rows)


def agrees(rates, expected, allowance):
    """Return whether the mean over seeds agrees within 3 standard errors and a finite-size allowance."""
    error = rates.std(ddof=1) / np.sqrt(rates.size)
    return abs(rates.mean() - expected) < 3 * error + allowance


@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.3])
def test_small_networks_come_near_the_mean_field(sigma):
    rates = simulated(200, 2.0, sigma, 1.0, 300, n_seeds=4)[:, 0]
    expected = float(theory.mean_field(2.0, sigma).lyapunov_exponent)
    assert agrees(rates, expected, 3 / 200)
    assert rates.std(ddof=1) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.3])
def test_networks_of_1500_units_are_those_of_the_mean_field(sigma):
    rates = simulated(1500, 2.0, sigma, 1.0, 300, n_seeds=6)[:, 0]
    assert agrees(rates, float(theory.mean_field(2.0, sigma).lyapunov_exponent), 3 / 1500)


@pytest.mark.slow
def test_leaky_networks_approach_the_mean_field_as_one_over_their_size():
    expected = float(theory.mean_field(2.0, 0.0, 0.5).lyapunov_exponent)
    small, large = (simulated(n, 2.0, 0.0, 0.5, 1000, n_seeds=8)[:, 0] for n in (200, 400))
    errors = [one.std(ddof=1) / np.sqrt(8) for one in (small, large)]
    # extrapolated to infinite size
    assert abs(2 * large.mean() - small.mean() - expected) < 3 * np.hypot(2 * errors[1], errors[0])
    assert small.mean() < large.mean() < expected


def test_untied_networks_with_a_leak_have_a_mean_field_without_memory():
    for sigma in (0.0, 1.0):
        expected = theory.mean_field(2.5, sigma, 0.6, weights="untied")
        rates = simulated(150, 2.5, sigma, 0.6, 200, untied=True)[:, 0]
        assert agrees(rates, float(expected.lyapunov_exponent), 3 / 150)
    assert abs(float(expected.lyapunov_exponent) - float(theory.mean_field(2.5, 1.0, 0.6).lyapunov_exponent)) > 0.005


@pytest.mark.parametrize(("sigma", "delta"), [(0.0, 1.0), (0.5, 0.7), (0.0, 0.5)])
def test_the_mean_of_all_exponents(sigma, delta):
    rates = simulated(80, 2.0, sigma, delta, 150, n_exponents=80, n_seeds=3).mean(axis=1)
    assert agrees(rates, float(theory.mean_field(2.0, sigma, delta).mean_exponent), 2 / 80)


def test_untied_weights_are_a_function_of_the_step_alone():
    net = dynet.networks.random_tanh(6, 1.5, 0.8, untied=True, rng=3)
    x = np.linspace(-1, 1, 6)
    first = [net.step(t, x, x[:0], net.params) for t in (0.0, 5.0, 0.0)]
    np.testing.assert_array_equal(first[0], first[2])
    assert np.abs(first[0] - first[1]).max() > 0.1
    other = dynet.networks.random_tanh(6, 1.5, 0.8, untied=True, rng=4)
    assert np.abs(other.step(0.0, x, x[:0], other.params) - first[0]).max() > 0.1
    assert dynet.check_jacobian(net, x, t=7.0) < 1e-8
    batch = np.stack([x, -x, x**2])
    np.testing.assert_allclose(net.step(2.0, batch, x[:0], net.params)[1], net.step(2.0, -x, x[:0], net.params))


def test_untied_networks_pickle_and_are_told_apart():
    systems = [
        dynet.networks.random_tanh(4, g, delta, untied=True, rng=rng)
        for g, delta, rng in ((1.0, 0.5, 0), (1.0, 0.6, 0), (1.1, 0.5, 0), (1.0, 0.5, 1))
    ]
    assert len({fingerprint(system).digest for system in systems}) == 4
    again = pickle.loads(pickle.dumps(systems[0]))
    assert fingerprint(again).digest == fingerprint(systems[0]).digest
    x = np.ones(4)
    np.testing.assert_array_equal(again.step(9.0, x, x[:0], again.params), systems[0].step(9.0, x, x[:0], again.params))


def test_untied_weights_give_the_same_exponents_by_every_factorisation():
    net = dynet.networks.random_tanh(40, 2.0, untied=True, rng=3)
    x = np.random.default_rng(0).standard_normal(40)
    by = [dynet.lyapunov_spectrum(net, x, 60, frame=frame, n_exponents=35) for frame in ("qr", "lu")]
    np.testing.assert_allclose(by[0].lyapunov_exponent, by[1].lyapunov_exponent, atol=1e-8)


def test_untied_linear_networks_are_products_of_ginibre_matrices():
    # in the linear regime, without leak: exact for every n
    n, g = 5, 0.9
    exact = theory.ginibre_exponents(n, g).lyapunov_exponent.values
    net = dynet.networks.random_tanh(n, g, untied=True, rng=1)
    ds = dynet.lyapunov_spectrum(net, 1e-3 * np.ones(n), 4000, n_transient=300)
    assert (np.abs(ds.lyapunov_exponent - exact) < 4 * ds.standard_error).all()
    assert (ds.standard_error < 0.02).all()


def test_ginibre_exponents_sum_to_the_mean_log_determinant():
    # E ln |det| of a Gaussian matrix: half the sum of E ln of chi-squared variables
    n, g = 7, 1.3
    random = np.random.default_rng(0)
    sampled = np.linalg.slogdet(random.normal(0, g / np.sqrt(n), (200_000, n, n)))[1]
    error = sampled.std() / np.sqrt(sampled.size)
    assert abs(theory.ginibre_exponents(n, g).lyapunov_exponent.sum() - sampled.mean()) < 4 * error
    # the largest: growth of one vector
    np.testing.assert_allclose(theory.ginibre_exponents(2).lyapunov_exponent[0], -np.euler_gamma / 2, atol=1e-14)
    # large n: the logarithm of the circular law
    large = theory.ginibre_exponents(2000, 2.0).lyapunov_exponent.values
    np.testing.assert_allclose(large[[0, 1000]], np.log(2) + 0.5 * np.log([1, 0.5]), atol=1e-3)


def test_the_circular_law_counts_eigenvalues():
    n, g, delta = 400, 1.7, 0.6
    net = dynet.networks.random_tanh(n, g, delta, rng=0)
    J = net.linearize(0.0, np.zeros(n), np.zeros(0), net.params)[1].assemble()
    distance = np.abs(np.linalg.eigvals(J) - (1 - delta))
    radii = np.linspace(0.1, 1.3, 9)
    counted = [(distance < r).mean() for r in radii]
    np.testing.assert_allclose(theory.circular_law(radii, g, delta), counted, atol=0.03)


def test_spectra_of_different_sizes_collapse():
    spectra = {str(n): theory.ginibre_exponents(n) for n in (50, 100, 800)}
    ds = theory.collapse(spectra)
    assert float(ds.distance.sel(spectrum="800")) == 0.0
    # the last exponents, of the logarithm's pole, decide: between 1 / sqrt(n) and 1 / n
    assert 0.45 < float(ds.distance.sel(spectrum="100") / ds.distance.sel(spectrum="50")) < 0.75
    exact = 0.5 * np.log(1 - ds.fraction)
    inner = ds.fraction < 0.9
    np.testing.assert_allclose(ds.lyapunov_exponent.sel(spectrum="800")[inner], exact[inner], atol=5e-3)


def test_collapse_keeps_exponents_below_resolution():
    relu = dynet.networks.relu_rnn(np.diag([0.5, 0.5, 0.5, 0.5]), b=[1.0, 1.0, -1.0, -1.0])
    lost = dynet.lyapunov_spectrum(relu, np.ones(4), 20)
    whole = dynet.lyapunov_spectrum(dynet.zoo.linear_map(0.5 * np.eye(4)), np.zeros(4), 20)
    ds = theory.collapse({"lost": lost, "whole": whole})
    assert not np.isnan(ds.lyapunov_exponent).any()
    assert np.isneginf(ds.lyapunov_exponent.sel(spectrum="lost")).any()
    assert float(ds.distance.max()) == np.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.mean_field(-1.0), "g=-1.0"),
        (lambda: theory.mean_field(2.0, -0.1, 1.5, weights="new"), "sigma=-0.1.*\n.*delta=1.5.*\n.*weights='new'"),
        (lambda: theory.mean_field([[1.0]]), "one dimension"),
        (lambda: theory.mean_field(np.nan), "not finite"),
        (lambda: theory.transition(2.0, 0.0), "delta"),
        (lambda: theory.mean_field(40.0, 0.0, 0.5), "variance above 100"),
        (lambda: theory.circular_law(-1.0, 1.0), "radius"),
        (lambda: theory.circular_law(1.0, [1.0]), "g="),
        (lambda: theory.ginibre_exponents(0), "n=0"),
        (lambda: theory.collapse({}), "spectra"),
        (lambda: theory.collapse({"a": 3}), r"spectra\['a'\]"),
        (lambda: dynet.networks.random_tanh(3, 1.0, W_xh=np.eye(2)), "W_xh"),
        (lambda: dynet.networks.random_tanh(3, 1.0, untied=1), "untied=1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(dynet.InputError, match=message):
        call()


def test_results_come_back_from_files(tmp_path):
    for ds in (theory.mean_field([2.0], [0.0, 0.5]), theory.transition(2.0), theory.ginibre_exponents(3)):
        assert dynet.load(dynet.save(ds, tmp_path / "a.nc")).identical(ds)
