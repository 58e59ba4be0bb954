"""gamma(x; n, s) against many digits, its limits, bound and mean; networks of it against a scalar known on paper."""

import pickle

import mpmath
import numpy as np
import pytest
import scipy.integrate
import xarray as xr

import dynet
from dynet.systems.operators import assemble

mpmath.mp.dps = 60
DERIVATIVES = [None, "x", "n", "s", "xx"]


def exact(x, n, s, derivative):
    """Return the value and the sum of the magnitudes of its terms, with sixty digits."""
    x, n, s = (mpmath.mpf(float(value)) for value in (x, n, s))
    z = n * x
    p, q = 1 / (1 + mpmath.exp(-z)), 1 / (1 + mpmath.exp(z))
    soft = max(z, mpmath.mpf(0)) + mpmath.log1p(mpmath.exp(-abs(z)))
    terms = {
        None: [(1 - s) * soft / n, s * p],
        "x": [(1 - s) * p, s * n * p * q],
        "n": [-(1 - s) * (mpmath.log1p(mpmath.exp(-abs(z))) + abs(z) * min(p, q)) / n**2, s * x * p * q],
        "s": [p, -soft / n],
        "xx": [n * p * q * (1 - s), n * p * q * s * n * (1 - 2 * p)],
    }[derivative]
    return sum(terms), sum(abs(term) for term in terms)


def sample(dtype, count=400):
    random = np.random.default_rng(5)
    n = 10 ** random.uniform(-3, 3, count)
    # half of the arguments n x are neither tiny nor so large that all is 0 or 1
    x = np.where(np.arange(count) % 2, random.uniform(-1e3, 1e3, count), random.uniform(-700, 700, count) / n)
    x = np.clip(x, -1e3, 1e3)
    s = random.choice([0.0, 0.1, 0.5, 0.9, 1.0], count)
    return x.astype(dtype), n.astype(dtype), s.astype(dtype)


@pytest.mark.parametrize("derivative", DERIVATIVES)
@pytest.mark.parametrize(("dtype", "tolerance", "least"), [(np.float64, 1e-14, 1e-300), (np.float32, 5e-6, 1e-36)])
def test_values_and_derivatives_have_all_their_digits(derivative, dtype, tolerance, least):
    x, n, s = sample(dtype)
    found = dynet.gamma_activation(x, n, s, derivative=derivative)
    assert found.dtype == dtype
    for i in range(len(x)):
        true, scale = exact(x[i], n[i], s[i], derivative)
        assert abs(mpmath.mpf(float(found[i])) - true) <= tolerance * scale + least, (x[i], n[i], s[i])


@pytest.mark.parametrize(("derivative", "argument"), [("x", 0), ("n", 1), ("s", 2)])
def test_derivatives_agree_with_mpmath_differences_of_the_value(derivative, argument):
    point = [0.7, 3.0, 0.4]

    def value(v):
        x, n, s = (mpmath.mpf(v) if i == argument else mpmath.mpf(p) for i, p in enumerate(point))
        return (1 - s) * mpmath.log1p(mpmath.exp(n * x)) / n + s / (1 + mpmath.exp(-n * x))

    true = float(mpmath.diff(value, point[argument]))
    assert dynet.gamma_activation(*point, derivative=derivative) == pytest.approx(true, rel=1e-14)
    if derivative == "x":
        true = float(mpmath.diff(value, point[0], 2))
        assert dynet.gamma_activation(*point, derivative="xx") == pytest.approx(true, rel=1e-13)


def test_slope_in_float32_keeps_its_digits_beyond_ten():
    x = np.linspace(10, 80, 50, dtype=np.float32)
    one = np.float32(1)
    found = dynet.gamma_activation(x, one, np.float32(0), derivative="n")
    true = [float(exact(value, 1, 0, "n")[0]) for value in x]
    np.testing.assert_allclose(found, true, rtol=1e-6)
    textbook = np.log1p(np.exp(x)) - x / (1 + np.exp(-x))
    assert np.all(np.abs(textbook[x > 20] + found[x > 20]) > 0.5 * np.abs(found[x > 20]))


def test_limits():
    x = np.linspace(-5, 5, 101)
    np.testing.assert_allclose(dynet.gamma_activation(x, 1.0, 0.0), np.logaddexp(0, x), rtol=1e-14)
    np.testing.assert_allclose(dynet.gamma_activation(x, 1.0, 1.0), 1 / (1 + np.exp(-x)), rtol=1e-14)
    relu = np.maximum(x, 0)
    gaps = [np.abs(dynet.gamma_activation(x, n, 0.0) - relu).max() for n in (10.0, 100.0, 1000.0)]
    np.testing.assert_allclose(gaps, np.log(2) / np.array([10.0, 100.0, 1000.0]), rtol=1e-12)
    huge = dynet.gamma_activation(np.array([-1e308, 1e308]), 1e3, 0.0)
    np.testing.assert_array_equal(huge, [0.0, 1e308])


@pytest.mark.parametrize(("n", "s"), [(4.0, 0.8), (4.0, 0.2001), (4.0, 0.1), (0.3, 0.9), (50.0, 1.0), (2.0, 0.0)])
def test_bound_of_the_slope_is_reached_and_never_passed(n, s):
    z = np.concatenate((np.linspace(-30, 60, 200001), [700.0]))
    slopes = dynet.gamma_activation(z / n, n, s, derivative="x")
    bound = dynet.gamma_slope_bound(n, s)
    assert slopes.max() <= bound * (1 + 1e-14)
    assert slopes.max() == pytest.approx(bound, rel=1e-7)


@pytest.mark.parametrize(("n", "s", "L"), [(5.0, 0.3, 5.0), (0.2, 1.0, 0.1), (40.0, 0.5, 2.0)])
def test_mean_slope_is_the_integral(n, s, L):
    integral, _ = scipy.integrate.quad(
        lambda x: dynet.gamma_activation(x, n, s, derivative="x"), -L, L, points=[0], epsabs=1e-13
    )
    assert dynet.gamma_mean_slope(n, s, L) == pytest.approx(integral / (2 * L), rel=1e-11)


def test_types_are_kept():
    x = xr.DataArray(np.linspace(-1, 1, 3), dims="time")
    n = xr.DataArray([1.0, 5.0], dims="unit", coords={"unit": ["a", "b"]})
    found = dynet.gamma_activation(x, n, 0.5)
    assert found.dims == ("time", "unit")
    assert float(found.sel(unit="b")[2]) == dynet.gamma_activation(1.0, 5.0, 0.5)
    assert isinstance(dynet.gamma_activation(1, 2, 1), float)
    torch = pytest.importorskip("torch")
    tensor = dynet.gamma_activation(torch.linspace(-1, 1, 3), 5.0, 0.5)
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor, dynet.gamma_activation(np.linspace(-1, 1, 3), 5.0, 0.5), rtol=1e-6)


@pytest.mark.parametrize("n", [0.0, -5.0, np.nan, [3.0, -1.0], "five"])
def test_gains_that_are_not_positive_are_refused(n):
    for call in (
        lambda: dynet.gamma_activation(1.0, n, 0.5),
        lambda: dynet.gamma_slope_bound(n, 0.5),
        lambda: dynet.networks.gamma_rnn(np.eye(2), n=n, s=0.5),
    ):
        with pytest.raises(dynet.InputError, match="n="):
            call()


def test_other_bad_input():
    with pytest.raises(dynet.InputError, match="derivative='nn'"):
        dynet.gamma_activation(1.0, 1.0, 0.5, derivative="nn")
    with pytest.raises(dynet.InputError, match=r"s=1\.5"):
        dynet.gamma_slope_bound(1.0, 1.5)
    with pytest.raises(dynet.InputError, match="half_width=0"):
        dynet.gamma_mean_slope(1.0, 0.5, 0.0)
    with pytest.raises(dynet.InputError, match="each of the 2 units"):
        dynet.networks.gamma_rnn(np.eye(2), n=[1.0, 2.0, 3.0], s=0.5)
    with pytest.raises(dynet.InputError, match="each of the 2 layers"):
        dynet.networks.gamma_rnn([np.eye(2)] * 2, [np.eye(2)] * 2, n=[1.0], s=0.5)
    with pytest.warns(UserWarning, match="not monotone"):
        assert dynet.gamma_activation(0.0, 1.0, 1.2) == pytest.approx(0.6 - 0.2 * np.log(2))


def test_exponent_of_one_unit():
    system = dynet.networks.gamma_rnn([[0.9]], n=5.0, s=0.3)
    ds = dynet.lyapunov_spectrum(system, [0.5], 100, n_transient=200)
    assert float(ds.final_state[0, 0]) == pytest.approx(0.7994169560, abs=1e-10)
    assert float(ds.lyapunov_exponent[0]) == pytest.approx(-0.4334959424, abs=1e-10)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_jacobian_is_the_derivative_of_the_step(n_layers):
    random = np.random.default_rng(3)
    W = [random.standard_normal((3, 3)) for _ in range(n_layers)]
    X = [random.standard_normal((3, 3)) for _ in range(n_layers)]
    n, s = [random.uniform(1, 8, 3) for _ in W], [random.uniform(0, 1, 3) for _ in W]
    system = dynet.networks.gamma_rnn(W, X, n=n, s=s)
    x, u = random.standard_normal(3 * n_layers), random.standard_normal(3)
    shifts = 1e-30j * np.eye(x.size)
    true = np.stack([system.step(0.0, x + shift, u, system.params).imag * 1e30 for shift in shifts], axis=-1)
    y, J = system.linearize(0.0, x, u, system.params)
    np.testing.assert_allclose(assemble(J), true, rtol=1e-12, atol=1e-14)
    h = dynet.gamma_activation(W[0] @ x[:3] + X[0] @ u, n[0], s[0])
    np.testing.assert_allclose(y[:3], h, rtol=1e-13)
    again = pickle.loads(pickle.dumps(system))
    np.testing.assert_array_equal(again.step(0.0, x, u, again.params), y)


def test_products_with_large_weights_agree_with_the_operator():
    random = np.random.default_rng(0)
    size = 520  # state and frame go through the weights together
    W = np.linalg.qr(random.standard_normal((size, size)))[0]
    system = dynet.networks.gamma_rnn(W, n=random.uniform(5, 7, size), s=0.2)
    x, Q = np.full(size, 0.1), np.linalg.qr(random.standard_normal((size, 2)))[0]
    ds = dynet.lyapunov_spectrum(system, x, 12, n_exponents=2, qr_interval=1, initial_frame=Q)
    logs = np.zeros(2)
    for _ in range(12):
        J = dynet.gamma_activation(W @ x, system.params[0].n, 0.2, derivative="x")[:, None] * W
        x = dynet.gamma_activation(W @ x, system.params[0].n, 0.2)
        Q, R = np.linalg.qr(J @ Q)
        logs += np.log(np.abs(np.diag(R)))
    np.testing.assert_allclose(ds.lyapunov_exponent, logs / 12, atol=1e-10)


def test_a_network_without_saturation_diverges_by_name():
    system = dynet.networks.gamma_rnn(4 * np.eye(2), n=5.0, s=0.0)
    with pytest.raises(dynet.DivergenceError):
        dynet.lyapunov_spectrum(system, [1.0, 1.0], 2000)


def test_lists_infinite_arguments_and_gradients():
    np.testing.assert_allclose(dynet.gamma_mean_slope([5.0, 1.0], 0.5, 2.0)[1], dynet.gamma_mean_slope(1.0, 0.5, 2.0))
    np.testing.assert_array_equal(dynet.gamma_activation([np.inf, -np.inf], 5.0, 0.5), [np.inf, 0.0])
    with pytest.raises(dynet.InputError, match=r"half_width=0\.0: give positive numbers$"):
        dynet.gamma_mean_slope(1.0, 0.5, 0.0)
