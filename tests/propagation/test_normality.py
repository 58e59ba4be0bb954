"""Normal matrices, Jordan blocks and triangles, whose numbers are known on paper; runs against their Jacobians."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot

import dynet
from dynet.kernels.resolvent import smallest_singular_values
from dynet.propagation import matrix_measures as measures


def jordan(n, value=0.0):
    return np.diag(np.full(n, value)) + np.diag(np.ones(n - 1), 1)


def rotation(angle, size=1.0):
    return size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def at(ds, name):
    return ds[name].values[0]


NORMAL = {
    "symmetric": np.array([[0.5, 0.2, 0.0], [0.2, -0.3, 0.4], [0.0, 0.4, 0.1]]),
    "skew": np.array([[0.0, 2.0], [-2.0, 0.0]]),
    "orthogonal": np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0],
    "circulant": np.array([np.roll([0.3, 0.5, 0.0, 0.1], k) for k in range(4)]),
}


@pytest.mark.parametrize("name", NORMAL)
def test_normal_matrices_do_not_depart_from_normality(name):
    A = NORMAL[name]
    ds = dynet.non_normality(A)
    assert at(ds, "henrici_departure") < 1e-13
    radius = np.abs(np.linalg.eigvals(A)).max()
    for same in ("spectral_radius", "spectral_norm", "numerical_radius"):
        np.testing.assert_allclose(at(ds, same), radius, rtol=1e-9, err_msg=same)
    np.testing.assert_allclose(at(ds, "numerical_abscissa"), np.linalg.eigvals(A).real.max(), atol=1e-12)
    np.testing.assert_allclose(at(ds, "log_power_norm"), np.arange(51) * np.log(radius), atol=1e-11)
    np.testing.assert_allclose(np.exp(at(ds, "log_transient_growth")), max(1.0, radius**50), rtol=1e-9)


@pytest.mark.parametrize("n", [2, 5, 12])
def test_a_jordan_block(n):
    ds = dynet.non_normality(jordan(n), n_powers=n + 3)
    assert at(ds, "spectral_radius") == 0
    np.testing.assert_allclose(at(ds, "henrici_departure"), np.sqrt(n - 1))
    assert at(ds, "relative_departure") == 1.0
    # the field of values of a shift is a disc (Haagerup & de la Harpe 1992)
    for name in ("numerical_radius", "numerical_abscissa"):
        np.testing.assert_allclose(at(ds, name), np.cos(np.pi / (n + 1)), rtol=1e-12)
    np.testing.assert_array_equal(at(ds, "log_power_norm"), [0.0] * n + [-np.inf] * 4)
    assert at(ds, "kreiss_bound") <= 1 + 1e-9


def test_the_kreiss_bound_lies_between_one_and_the_largest_power():
    A = np.array([[0.9, 30.0], [0.0, 0.8]])
    ds = dynet.non_normality(A, n_powers=100)
    growth = max(np.linalg.norm(np.linalg.matrix_power(A, k), 2) for k in range(101))
    np.testing.assert_allclose(np.exp(at(ds, "log_transient_growth")), growth, rtol=1e-10)
    assert int(at(ds, "transient_step")) == np.argmax(
        [np.linalg.norm(np.linalg.matrix_power(A, k)) for k in range(101)]
    )
    assert 0.5 * growth / (np.e * 2) < at(ds, "kreiss_bound") <= growth  # Kreiss: sup <= e n K
    assert at(ds, "kreiss_bound") > 20
    assert at(dynet.non_normality(1.2 * A), "kreiss_bound") == np.inf


@given(st.integers(0, 2**31))
def test_measures_of_random_matrices_are_ordered_and_turn_with_the_basis(seed):
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 8))
    A = random.standard_normal((n, n)) * 10.0 ** random.integers(-3, 4)
    ds = dynet.non_normality(A, n_powers=5)
    rho, w, norm = (float(at(ds, name)) for name in ("spectral_radius", "numerical_radius", "spectral_norm"))
    slack = 1 + 1e-9
    assert rho <= 1.003 * w
    assert w <= norm * slack
    assert norm <= 2 * 1.003 * w
    assert at(ds, "numerical_abscissa") <= 1.003 * w
    assert at(ds, "numerical_abscissa") >= np.linalg.eigvals(A).real.max() - 1e-9 * norm
    departure = np.sqrt(max(np.linalg.norm(A) ** 2 - (np.abs(np.linalg.eigvals(A)) ** 2).sum(), 0.0))
    np.testing.assert_allclose(at(ds, "henrici_departure"), departure, atol=1e-6 * norm)
    assert at(ds, "schur_residual") < 1e-13
    Q = np.linalg.qr(random.standard_normal((n, n)))[0]
    turned = dynet.non_normality(Q.T @ A @ Q, n_powers=5)
    for name in ("henrici_departure", "numerical_abscissa", "numerical_radius", "log_power_norm"):
        np.testing.assert_allclose(at(turned, name), at(ds, name), rtol=1e-6, atol=1e-9 * norm)


def test_powers_beyond_the_range_of_numbers_keep_their_logarithm():
    ds = dynet.non_normality(1e30 * rotation(0.3), n_powers=40)
    np.testing.assert_allclose(at(ds, "log_transient_growth"), 40 * np.log(1e30))


def test_along_a_run_the_jacobians_are_those_of_the_states():
    net = dynet.networks.random_tanh(6, 2.0, W_xh=np.ones((6, 1)), rng=1)
    inputs = np.random.default_rng(0).standard_normal((30, 1))
    x0 = np.linspace(-1, 1, 6)
    ds = dynet.non_normality(net, x0, 20, inputs=inputs, n_transient=10, n_samples=3, n_powers=4)
    np.testing.assert_array_equal(ds.time, [10, 20, 29])
    states = dynet.simulate(net, x0, 30, inputs=inputs).state.values
    W = net.params[0].W_hh
    for k, time in enumerate((10, 20, 29)):
        J = W * (1 - np.tanh(states[time]) ** 2)
        np.testing.assert_allclose(np.sort(np.abs(ds.eigenvalue[k])), np.sort(np.abs(np.linalg.eigvals(J))), rtol=1e-9)
        np.testing.assert_allclose(ds.spectral_norm[k], np.linalg.norm(J, 2))
    # activity damps the weights
    assert (ds.spectral_norm < dynet.non_normality(W).spectral_norm.values[0]).all()


def test_systems_that_are_not_vectorized_and_compiled_ones_go_too():
    ds = dynet.non_normality(dynet.zoo.henon(), [0.1, 0.1], 5, n_samples=5)
    np.testing.assert_allclose(np.prod(ds.eigenvalue.values, axis=1).real, -0.3, rtol=1e-12)
    plain = dynet.Map(lambda t, x, u, p: p @ x, lambda t, x, u, p: p, params=jordan(3, 0.5))
    np.testing.assert_allclose(dynet.non_normality(plain, np.ones(3), 4).henrici_departure, np.sqrt(2))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.ones((2, 3)),), {}, "square"),
        (("W",), {}, "system='W'"),
        ((np.full((2, 2), np.nan),), {}, "not finite"),
        ((np.eye(2), [0.0, 0.0], 5), {}, "x0=.*\n.*n_steps=5"),
        ((dynet.zoo.henon(), [0.1, 0.1]), {}, "n_steps=None"),
        ((dynet.zoo.lorenz63(), [1.0, 1.0, 1.0], 5), {}, "to_map"),
        ((dynet.zoo.henon(), [[0.1, 0.1], [0.2, 0.1]], 5), {}, "2 sequences"),
        ((np.eye(2),), {"n_samples": 0, "n_powers": 0}, "n_samples=0.*\n.*n_powers=0"),
    ],
)
def test_bad_input(arguments, options, message):
    with pytest.raises(dynet.InputError, match=message):
        dynet.non_normality(*arguments, **options)


@pytest.mark.parametrize("n", [1, 2, 3, 49, 97])
def test_smallest_singular_values_are_those_of_the_matrix(n):
    random = np.random.default_rng(n)
    A = random.standard_normal((n, n)) / np.sqrt(n)
    T = measures.complex_schur(A).T
    z = random.standard_normal(30) + 1j * random.standard_normal(30)
    exact = [np.linalg.svd(point * np.eye(n) - A, compute_uv=False)[-1] for point in z]
    np.testing.assert_allclose(smallest_singular_values(T, z), exact, rtol=1e-7)


def test_the_pseudospectrum_of_a_normal_matrix_is_the_distance_to_its_eigenvalues():
    A = rotation(0.7, 0.9)
    ds = dynet.pseudospectrum(A, n_points=21)
    z = ds.real_part.values + 1j * ds.imaginary_part.values[:, None]
    distance = np.abs(z[..., None] - np.linalg.eigvals(A)).min(axis=-1)
    np.testing.assert_allclose(ds.smallest_singular_value, distance, rtol=1e-9, atol=1e-15)


def test_the_pseudospectrum_of_a_jordan_block():
    n = 12
    ds = dynet.pseudospectrum(jordan(n), region=(-1.3, 1.3, -1.3, 1.3), n_points=27)
    for real in (0.1, 0.5, 0.9, 1.2):
        exact = np.linalg.svd(real * np.eye(n) - jordan(n), compute_uv=False)[-1]
        found = ds.smallest_singular_value.sel(real_part=real, imaginary_part=0.0, method="nearest")
        np.testing.assert_allclose(found, max(exact, ds.attrs["resolution"]), rtol=1e-6)
    # a shift looks the same from all directions
    z = np.abs(ds.real_part.values + 1j * ds.imaginary_part.values[:, None])
    same = np.isclose(z, 0.5)
    assert same.sum() >= 4
    assert np.ptp(ds.smallest_singular_value.values[same]) < 1e-8
    # at an eigenvalue nothing is left but rounding
    assert ds.smallest_singular_value.values.min() == ds.attrs["resolution"]
    assert ds.attrs["resolution"] < 1e-14


def test_symmetric_regions_are_those_computed_whole():
    A = np.random.default_rng(3).standard_normal((7, 7))
    for n_points in (6, 7):
        half = dynet.pseudospectrum(A, region=(-3, 3, -2, 2), n_points=n_points).smallest_singular_value.values
        z = np.linspace(-3, 3, n_points) + 1j * np.linspace(-2, 2, n_points)[:, None]
        exact = [np.linalg.svd(point * np.eye(7) - A, compute_uv=False)[-1] for point in z.ravel()]
        np.testing.assert_allclose(half.ravel(), exact, rtol=1e-6)


@pytest.mark.parametrize(
    ("A", "options", "message"),
    [
        (np.eye(501), {}, "500 rows"),
        (np.ones(3), {}, "square"),
        (np.eye(2), {"n_points": 1, "tolerance": 0.0, "region": (1, 0, 0, 1)}, "n_points=1.*\n.*tolerance.*\n.*region"),
        (np.eye(2), {"region": (0, 1, 0)}, "region"),
        (np.eye(2), {"region": (0, np.inf, 0, 1)}, "region"),
    ],
)
def test_bad_input_of_pseudospectra(A, options, message):
    with pytest.raises(dynet.InputError, match=message):
        dynet.pseudospectrum(A, **options)


def test_pictures_show_the_numbers():
    A = jordan(4, 0.5)
    ds, ps = dynet.non_normality(A), dynet.pseudospectrum(A, n_points=20)
    ax = dynet.plot.eigenvalues({"a": ds, "b": ps})
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), ds.eigenvalue.values.ravel().real)
    circle = ax.lines[-1]
    np.testing.assert_allclose(np.hypot(*circle.get_data()), 1.0)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    axis = dynet.plot.eigenvalues(ds, boundary="axis").lines[-1]
    np.testing.assert_array_equal(axis.get_xdata(), 0.0)
    ax = dynet.plot.pseudospectrum(ps)
    assert any(np.array_equal(line.get_xdata(), ps.eigenvalue.values.real) for line in ax.lines)
    assert ax.collections
    np.testing.assert_allclose(ax.figure.axes[1].get_yticks(), ax.collections[0].levels)  # the colour bar
    other = dynet.pseudospectrum(jordan(4, 0.2), n_points=20)
    ax = dynet.plot.pseudospectrum({"a": ps, "b": other})
    first, second = ax.collections
    assert set(first.levels) & set(second.levels)
    written = {float(text.get_text().replace("\N{MINUS SIGN}", "-")) for text in ax.texts}
    assert written
    assert written <= {*first.levels, *second.levels}
    key = ax.get_legend().legend_handles
    assert [one.get_label() for one in key] == ["a", "b"]
    assert len({one.get_color() for one in key}) == len({one.get_linestyle() for one in key}) == 2
    for plot, thing in ((dynet.plot.eigenvalues, 3), (dynet.plot.pseudospectrum, ds)):
        with pytest.raises(dynet.InputError):
            plot(thing)
    with pytest.raises(dynet.InputError, match="boundary"):
        dynet.plot.eigenvalues(ds, boundary="square")
    pyplot.close("all")


def test_results_come_back_from_files(tmp_path):
    for ds in (dynet.non_normality(jordan(3)), dynet.pseudospectrum(jordan(3), n_points=5)):
        assert dynet.load(dynet.save(ds, tmp_path / "a.nc")).identical(ds)


@pytest.mark.parametrize("exponent", [-990, -30, 7, 990])
def test_entries_of_any_size(exponent):
    A = np.random.default_rng(3).standard_normal((5, 5))
    one, scaled = (dynet.non_normality(M, n_powers=3) for M in (A, np.ldexp(A, exponent)))
    for name in ("eigenvalue", "spectral_radius", "spectral_norm", "henrici_departure", "numerical_abscissa",
                 "numerical_radius"):  # fmt: skip
        np.testing.assert_allclose(scaled[name] * 2.0**-exponent, one[name], rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(scaled.relative_departure, one.relative_departure, rtol=1e-12)
    assert at(one, "relative_departure") > 0.1
    shift = exponent * np.log(2) * np.arange(4)
    np.testing.assert_allclose(scaled.log_power_norm - shift, one.log_power_norm, rtol=1e-12, atol=1e-11)
    assert np.isposinf(at(scaled, "kreiss_bound")) == (exponent > 0)


def test_a_huge_shift_grows_once():
    ds = dynet.non_normality(1e300 * jordan(2))
    np.testing.assert_allclose(ds.log_transient_growth, 300 * np.log(10))
    np.testing.assert_allclose(ds.relative_departure, 1.0)
    assert 1 <= at(ds, "kreiss_bound") < np.inf
    assert not any(np.isnan(ds[name]).any() for name in ds)
