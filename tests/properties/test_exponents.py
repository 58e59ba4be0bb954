"""Laws that exponents obey for any sequence of Jacobians."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import dynet
from tests.compiled_systems import recorded_jac, recorded_step

spectrum = dynet.lyapunov_spectrum
seeds = st.integers(0, 2**32 - 1)


def growth(J, V=None, **options):
    """Return the growth of every column over the whole sequence."""
    ds = spectrum(dynet.Map.from_jacobians(J), None, len(J) - options.get("n_transient", 0), initial_frame=V, **options)
    return ds.growth.sum("time").values[0]


def sequence(seed, n, T, spread=0.5):
    """Jacobians of moderate condition, so that laws hold to rounding."""
    random = np.random.default_rng(seed)
    Q = np.linalg.qr(random.standard_normal((T, n, n)))[0]
    P = np.linalg.qr(random.standard_normal((T, n, n)))[0]
    return Q * np.exp(spread * random.standard_normal((T, 1, n))) @ P


def orthogonal(seed, n):
    return np.linalg.qr(np.random.default_rng(seed + 1).standard_normal((n, n)))[0]


cases = given(seed=seeds, n=st.integers(1, 6), T=st.integers(1, 25))


@settings(max_examples=20)
@cases
def test_all_exponents_sum_to_the_determinants(seed, n, T):
    J = sequence(seed, n, T)
    np.testing.assert_allclose(growth(J).sum(), np.linalg.slogdet(J)[1].sum(), rtol=0, atol=1e-10)


@settings(max_examples=20)
@cases
def test_leading_volumes_are_those_of_the_product(seed, n, T):
    # the volume of the first k columns of the product, from its Gram matrix: no factorisation of dynet's kind
    J = sequence(seed, n, min(T, 4), spread=0.3)
    V = orthogonal(seed, n)
    product = V
    for step in J:
        product = step @ product
    volumes = [0.5 * np.linalg.slogdet(product[:, :k].T @ product[:, :k])[1] for k in range(1, n + 1)]
    np.testing.assert_allclose(np.cumsum(growth(J, V)), volumes, rtol=0, atol=1e-7)


@settings(max_examples=20)
@cases
def test_lu_and_householder_frames_grow_alike(seed, n, T):
    J, V = sequence(seed, n, T), orthogonal(seed, n)
    np.testing.assert_allclose(growth(J, V, frame="lu"), growth(J, V, frame="qr"), rtol=0, atol=1e-10)


@settings(max_examples=20)
@cases
def test_orthogonal_coordinates_change_nothing(seed, n, T):
    J, V, O = sequence(seed, n, T), orthogonal(seed, n), orthogonal(seed + 7, n)
    np.testing.assert_allclose(growth(O @ J @ O.T, O @ V), growth(J, V), rtol=0, atol=1e-10)


@settings(max_examples=20)
@given(seed=seeds, n=st.integers(1, 5), T=st.integers(1, 20), a=st.floats(1e-3, 1e3), sign=st.sampled_from([-1, 1]))
def test_a_factor_shifts_every_exponent_by_its_logarithm(seed, n, T, a, sign):
    J, V = sequence(seed, n, T), orthogonal(seed, n)
    np.testing.assert_allclose(growth(sign * a * J, V), growth(J, V) + T * np.log(a), rtol=0, atol=1e-10)


@settings(max_examples=20)
@given(
    seed=seeds,
    n=st.integers(1, 5),
    first=st.integers(1, 15),
    second=st.integers(1, 15),
    frame=st.sampled_from(["qr", "lu"]),
)
def test_a_run_is_its_first_part_and_then_its_second(seed, n, first, second, frame):
    J, V = sequence(seed, n, first + second), orthogonal(seed, n)
    whole = growth(J, V, frame=frame)
    parts = growth(J[:first], V, frame=frame) + growth(J, V, frame=frame, n_transient=first)
    np.testing.assert_allclose(whole, parts, rtol=0, atol=1e-10)


@settings(max_examples=15)
@given(seed=seeds, n=st.integers(1, 5), T=st.integers(1, 20), dt=st.floats(1e-4, 1e4))
def test_exponents_are_per_unit_of_time(seed, n, T, dt):
    J, V = sequence(seed, n, T), orthogonal(seed, n)
    plain = spectrum(dynet.Map.from_jacobians(J), None, T, initial_frame=V)
    timed = spectrum(dynet.Map.from_jacobians(J, dt=dt), None, T, initial_frame=V)
    np.testing.assert_allclose(timed.lyapunov_exponent * dt, plain.lyapunov_exponent, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(timed.standard_error * dt, plain.standard_error, rtol=1e-7, atol=1e-12)


@settings(max_examples=15)
@given(seed=seeds, n=st.integers(1, 5), T=st.integers(1, 20))
def test_scaling_the_state_changes_nothing(seed, n, T):
    # y = D x with D diagonal: the Jacobians D J D^-1 telescope, whatever the units are measured in
    J = sequence(seed, n, T)
    D = np.exp(np.random.default_rng(seed).standard_normal(n))
    scaled = growth(D[:, None] * J / D)
    np.testing.assert_allclose(scaled.sum(), growth(J).sum(), rtol=0, atol=1e-10)
    assert np.abs(np.cumsum(scaled) - np.cumsum(growth(J))).max() < 2 * n * np.abs(np.log(D)).max() + 20


@settings(max_examples=15)
@given(seed=seeds, n=st.integers(2, 5), T=st.integers(2, 20))
def test_the_inverse_in_reversed_time_has_the_negative_sum(seed, n, T):
    J = sequence(seed, n, T)
    np.testing.assert_allclose(growth(np.linalg.inv(J)[::-1]).sum(), -growth(J).sum(), rtol=0, atol=1e-9)


@settings(max_examples=15)
@given(seed=seeds, n=st.integers(2, 5), T=st.integers(1, 15), interval=st.integers(1, 6))
def test_the_interval_between_factorisations_changes_nothing(seed, n, T, interval):
    J, V = sequence(seed, n, T), orthogonal(seed, n)
    for frame in ("qr", "lu"):
        np.testing.assert_allclose(growth(J, V, frame=frame, qr_interval=interval), growth(J, V), rtol=0, atol=1e-9)


@settings(max_examples=25)
@given(seed=seeds, n=st.sampled_from([7, 8]), spread=st.sampled_from([0.02, 0.3, 1.0, 3.0]), T=st.integers(50, 200))
def test_the_compiled_loop_chooses_intervals_that_change_nothing(seed, n, spread, T):
    # contraction that comes and goes: what the first steps promise need not hold later
    random = np.random.default_rng(seed)
    J = sequence(seed, n, T, spread=spread)
    J *= np.exp(-spread * np.abs(np.cumsum(random.standard_normal(T)) / 3))[:, None, None]
    system = dynet.Map(recorded_step, recorded_jac, params=J)
    V = orthogonal(seed, n)
    x0 = np.full(n, 1e-3)
    assume(np.isfinite(np.linalg.slogdet(J)[1]).all())
    ds = spectrum(system, x0, T, initial_frame=V, check=False)
    assert ds.attrs["engine"] == "compiled"
    np.testing.assert_allclose(ds.growth.sum("time")[0], growth(J, V), rtol=0, atol=1e-6 * T)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@settings(max_examples=5)
@given(seed=seeds)
def test_units_of_measurement_shift_nothing_in_a_nonlinear_map(scale, seed):
    # x -> a x leaves the Jacobians as they are: only the state changes its unit
    W = np.random.default_rng(seed).standard_normal((4, 4))
    plain = dynet.Map(lambda t, x, u, p: np.sin(W @ x), lambda t, x, u, p: np.cos(W @ x)[:, None] * W)
    scaled = dynet.Map(
        lambda t, x, u, p: scale * np.sin(W @ x / scale), lambda t, x, u, p: np.cos(W @ x / scale)[:, None] * W
    )
    x0 = np.array([0.3, -0.2, 0.7, 0.1])
    a, b = spectrum(plain, x0, 12), spectrum(scaled, scale * x0, 12)
    np.testing.assert_allclose(a.growth, b.growth, rtol=0, atol=1e-6)
