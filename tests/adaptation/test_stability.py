"""Variances of noise through one unit against other quadratures and limits; the boundary on its condition."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

import dynet


def hermite(n, s, mu, sigma, count=160):
    z, w = np.polynomial.hermite_e.hermegauss(count)
    w = w / w.sum()
    y = dynet.gamma_activation(mu + sigma * z, n, s)
    return np.sum(w * (y - np.sum(w * y)) ** 2)


@pytest.mark.parametrize(("n", "s", "mu", "sigma"), [(1.0, 0.5, 0.3, 0.5), (5.0, 0.2, -0.4, 0.1), (0.5, 1.0, 2.0, 1.0)])
def test_quadrature_agrees_with_gauss_hermite_where_that_converges(n, s, mu, sigma):
    ds = dynet.noise_gain(n, s, mu=mu, sigma=sigma)
    assert float(ds.variance_out.sel(estimate="quadrature")) == pytest.approx(hermite(n, s, mu, sigma), rel=1e-10)
    assert ds.quadrature_error < 1e-10 * ds.variance_out.sel(estimate="quadrature")


def test_steep_units_tend_to_a_step_and_a_relu():
    mu, sigma = 0.3, 1.0
    steep = dynet.noise_gain(1e7, [1.0, 0.0], mu=mu, sigma=sigma)
    p, density = ndtr(mu / sigma), np.exp(-((mu / sigma) ** 2) / 2) / np.sqrt(2 * np.pi)
    mean = mu * p + sigma * density
    relu = (mu**2 + sigma**2) * p + mu * sigma * density - mean**2
    np.testing.assert_allclose(steep.variance_out.sel(estimate="quadrature"), [p * (1 - p), relu], rtol=1e-6)


def test_linear_theory_fails_early():
    ds = dynet.noise_gain(10.0, 0.5, mu=0.1, sigma=[1.0, 0.1])
    assert ds.variance_ratio.dims == ("unit", "estimate")
    np.testing.assert_allclose(ds.variance_ratio[0], [1.82, 0.25], atol=0.005)
    np.testing.assert_allclose(ds.variance_ratio[1].sel(estimate="quadrature"), 1.557, atol=5e-4)
    # the paper's condition holds although the noise is amplified
    np.testing.assert_array_equal(ds.paper_condition, [False, True])
    slope = dynet.gamma_activation(0.1, 10.0, 0.5, derivative="x")
    np.testing.assert_allclose(ds.paper_value, [slope, 0.1 * slope], rtol=1e-14)


@settings(max_examples=40)
@given(n=st.floats(0.05, 50), s=st.floats(0, 1), mu=st.floats(-3, 3))
def test_weak_noise_is_linear_and_any_noise_is_bounded_by_the_steepest_slope(n, s, mu):
    weak, strong = (dynet.noise_gain(n, s, mu=mu, sigma=sigma) for sigma in (1e-4 / n, 1.0))
    ratio = weak.variance_ratio
    slope = dynet.gamma_activation(mu, n, s, derivative="x")
    if slope > 1e-3:
        np.testing.assert_allclose(ratio.sel(estimate="quadrature"), ratio.sel(estimate="linear"), rtol=1e-4)
    # Lipschitz: Var f(X) <= sup |f'|^2 Var X
    assert strong.variance_ratio.sel(estimate="quadrature") <= dynet.gamma_slope_bound(n, s) ** 2 * (1 + 1e-12)


@given(n=st.floats(0.05, 60), xi=st.floats(-2, 10), sigma=st.floats(0.1, 3), margin=st.sampled_from([0.0, 0.013, 0.5]))
def test_units_on_the_boundary_meet_its_condition(n, xi, sigma, margin):
    s = dynet.stability_boundary(n, xi=xi, sigma=sigma, margin=margin)
    p, q = dynet.gamma_activation(xi, n, 1.0), dynet.gamma_activation(-xi, n, 1.0)
    if abs(n * q - 1) < 1e-6 or p < 1e-280:
        return
    # the terms of the slope, not their sum, set the rounding; s itself may be anywhere
    met = sigma * ((1 - s) * p + s * n * p * q)
    assert abs(met - (1 - margin)) <= 1e-12 * sigma * p * (1 + abs(s) + abs(s) * (1 + n * q) / abs(n * q - 1))
    if 0 <= s <= 1:
        assert sigma * dynet.gamma_activation(xi, n, s, derivative="x") == pytest.approx(1 - margin, rel=1e-8)


def test_boundary_keeps_types_and_is_singular_where_s_does_not_count():
    n = xr.DataArray([3.0, 5.0, 10.0], dims="n", coords={"n": [3.0, 5.0, 10.0]})
    s = dynet.stability_boundary(n, xi=0.1)
    assert isinstance(s, xr.DataArray)
    assert "n" in s.coords
    np.testing.assert_array_equal(s, dynet.stability_boundary(n.values, xi=0.1))
    assert isinstance(dynet.stability_boundary(5.0, xi=0.1), float)
    assert np.isnan(dynet.stability_boundary(2.0, xi=0.0))  # n (1 - p) = 1
    assert np.isnan(dynet.stability_boundary(1000.0, xi=-5.0))
    # far to the right the slope of a softplus is 1: margin 0 asks for s = 0
    assert dynet.stability_boundary(50.0, xi=20.0) == pytest.approx(0, abs=1e-12)
    assert dynet.stability_boundary(50.0, xi=20.0, margin=0.013) == pytest.approx(0.013, rel=1e-12)


def test_dimensions_are_broadcast_by_name():
    n = xr.DataArray([1.0, 5.0], dims="n", coords={"n": [1.0, 5.0]})
    mu = xr.DataArray([0.0, 0.1, 2.0], dims="xi", coords={"xi": [0.0, 0.1, 2.0]})
    ds = dynet.noise_gain(n, 0.3, mu=mu)
    assert ds.variance_out.dims == ("n", "xi", "estimate")
    one = dynet.noise_gain(5.0, 0.3, mu=0.1)
    xr.testing.assert_allclose(ds.sel(n=5.0, xi=0.1, drop=True), one)
    assert dynet.noise_gain(np.full((2, 3), 5.0), 0.3).variance_out.dims == ("row", "unit", "estimate")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dynet.noise_gain(-1.0, 0.5), r"n=-1\.0"),
        (lambda: dynet.noise_gain(1.0, 0.5, sigma=0.0), r"sigma=0\.0"),
        (lambda: dynet.noise_gain([1.0, 2.0], [0.1, 0.2, 0.3]), "fit together"),
        (lambda: dynet.noise_gain(1.0, 0.5, mu=np.nan), "mu=nan"),
        (lambda: dynet.stability_boundary(0.0, xi=1.0), r"n=0\.0"),
        (lambda: dynet.stability_boundary(5.0, xi=1.0, margin=1.0), r"margin=1\.0"),
        (lambda: dynet.stability_boundary(5.0, xi=1.0, sigma=-1.0), r"sigma=-1\.0"),
        (lambda: dynet.gain_scaling_stimulus([-1.0]), "levels"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(dynet.InputError, match=message):
        call()


def test_parameters_that_are_learned_are_taken_as_they_are():
    n, s = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([5.0, 10.0], [0.3, 0.5]))
    by_hand = dynet.noise_gain([5.0, 10.0], [0.3, 0.5], mu=0.1)
    np.testing.assert_array_equal(dynet.noise_gain(n, s, mu=0.1).variance_out, by_hand.variance_out)
    np.testing.assert_array_equal(dynet.stability_boundary(n, xi=0.1), dynet.stability_boundary([5.0, 10.0], xi=0.1))
    far = dynet.boundary_distance(n, s, xi=torch.tensor(0.1, dtype=torch.float64))
    np.testing.assert_array_equal(far.distance, dynet.boundary_distance([5.0, 10.0], [0.3, 0.5], xi=0.1).distance)
    np.testing.assert_array_equal(dynet.gamma_slope_bound(n, s), dynet.gamma_slope_bound([5.0, 10.0], [0.3, 0.5]))
