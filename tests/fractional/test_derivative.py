"""Fractional derivatives against what is known on paper: steps, sinusoids, powers of one operator."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

import dynet
from dynet import fractional_derivative

ORDERS = [-1.5, -1.0, -0.4, 0.0, 0.15, 0.5, 1.0, 1.7]
RANDOM = np.random.default_rng(0)
order_values = st.floats(-1.5, 1.5)
seeds = st.integers(0, 1000)


def signal(seed, T=64):
    return np.random.default_rng(seed).standard_normal(T)


def band_limited(seed, T=64):
    """Return a periodic signal without mean and without the Nyquist frequency."""
    spectrum = np.fft.rfft(signal(seed, T))
    spectrum[[0, -1]] = 0
    return np.fft.irfft(spectrum, T)


@pytest.mark.parametrize("a", [-0.7, -0.15, 0.15, 0.3, 0.9])
def test_step_response(a):
    """D^a of a step is Gamma(k + 1 - a) / (Gamma(1 - a) k!), also when it is still on at the end."""
    onset, k = 37, np.arange(400.0)
    expected = special.gamma(1 - a) ** -1 * np.exp(special.gammaln(k + 1 - a) - special.gammaln(k + 1))
    x = np.concatenate([np.zeros(onset), np.ones(k.size)])
    found = fractional_derivative(x, a)
    np.testing.assert_allclose(found[:onset], 0, atol=1e-12 * np.abs(expected).max())
    np.testing.assert_allclose(found[onset:], expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_whole_orders_are_differences_and_sums():
    x = signal(0)
    np.testing.assert_allclose(fractional_derivative(x, 0.0), x, atol=1e-14)
    np.testing.assert_allclose(fractional_derivative(x, 1, dt=0.1), np.diff(x, prepend=0) / 0.1, atol=1e-12)
    np.testing.assert_allclose(fractional_derivative(x, 2), np.diff(x, 2, prepend=[0, 0]), atol=1e-12)
    np.testing.assert_allclose(fractional_derivative(x, -1, dt=0.1), np.cumsum(x) * 0.1, atol=1e-12)


@pytest.mark.parametrize("a", ORDERS)
def test_causal_transfer_function(a):
    """The impulse response has the z transform (1 - 1/z)^a, here on a circle on which it has faded."""
    T, radius = 512, 1.2
    weights = fractional_derivative(np.eye(1, T)[0], a)
    z = radius * np.exp(2j * np.pi * np.arange(T) / T)
    np.testing.assert_allclose(np.fft.fft(weights * radius ** -np.arange(T)), (1 - 1 / z) ** a, atol=1e-9)


@pytest.mark.parametrize("a", ORDERS)
def test_sinusoids_change_gain_and_phase(a):
    f, t = 3.0, np.arange(200) / 100
    w = 2 * np.pi * f
    found = fractional_derivative(np.sin(w * t), a, method="fourier", dt=0.01)
    np.testing.assert_allclose(found, w**a * np.sin(w * t + a * np.pi / 2), atol=1e-10 * max(1, w**a))


def test_fourier_derivative_of_a_smooth_function():
    t = np.arange(64) / 64
    x = np.exp(np.sin(2 * np.pi * t))
    slope = 2 * np.pi * np.cos(2 * np.pi * t) * x
    np.testing.assert_allclose(fractional_derivative(x, 1, method="fourier", dt=1 / 64), slope, atol=1e-10)


def test_mean_of_the_fourier_form():
    x = signal(1) + 3
    np.testing.assert_allclose(fractional_derivative(x, 0, method="fourier"), x, atol=1e-13)
    for a in (-0.5, -1e-9, 1e-9, 0.5):
        assert abs(fractional_derivative(x, a, method="fourier").mean()) < 1e-12


@pytest.mark.parametrize(("T", "nyquist", "factor"), [(8, "real", np.pi**0.5 * np.cos(np.pi / 4)), (8, "zero", 0.0)])
def test_nyquist(T, nyquist, factor):
    x = (-1.0) ** np.arange(T)
    found = fractional_derivative(x, 0.5, method="fourier", nyquist=nyquist)
    np.testing.assert_allclose(found, factor * x, atol=1e-14)
    np.testing.assert_allclose(fractional_derivative(x, 0, method="fourier", nyquist=nyquist), x, atol=1e-14)


@given(order_values, order_values, seeds)
def test_semigroup(a, b, seed):
    for method, x in (("causal", signal(seed)), ("fourier", band_limited(seed))):
        both = fractional_derivative(fractional_derivative(x, a, method=method), b, method=method)
        once = fractional_derivative(x, a + b, method=method)
        scale = max(np.abs(once).max(), np.abs(fractional_derivative(x, a, method=method)).max(), 1)
        np.testing.assert_allclose(both, once, rtol=0, atol=1e-10 * scale)


@given(order_values, seeds, st.floats(-3, 3), st.sampled_from(["causal", "fourier"]))
def test_linear(a, seed, c, method):
    x, y = signal(seed), signal(seed + 1)
    found = fractional_derivative(c * x + y, a, method=method)
    expected = c * fractional_derivative(x, a, method=method) + fractional_derivative(y, a, method=method)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(order_values, seeds, st.floats(0.01, 100), st.sampled_from(["causal", "fourier"]))
def test_unit_of_time(a, seed, dt, method):
    x = signal(seed)
    found = fractional_derivative(x, a, method=method, dt=dt)
    np.testing.assert_allclose(
        found, dt**-a * fractional_derivative(x, a, method=method), rtol=1e-8, atol=1e-9 * dt**-a
    )


@given(order_values, seeds)
def test_identity_and_derivative(a, seed):
    """D^a is the identity at 0, and one more order is one more difference or derivative."""
    x = signal(seed)
    np.testing.assert_allclose(fractional_derivative(x, 0.0), x, atol=1e-13)
    np.testing.assert_allclose(fractional_derivative(x, 0.0, method="fourier"), x, atol=1e-13)
    one = fractional_derivative(x, a)
    np.testing.assert_allclose(fractional_derivative(x, a + 1), np.diff(one, prepend=0), atol=1e-11 * np.abs(one).max())
    smooth = band_limited(seed)
    spectrum = 1j * np.arange(33) * 2 * np.pi / 64 * np.fft.rfft(fractional_derivative(smooth, a, method="fourier"))
    slope = fractional_derivative(smooth, a + 1, method="fourier")
    np.testing.assert_allclose(slope, np.fft.irfft(spectrum, 64), atol=1e-11 * np.abs(slope).max())


@given(order_values, st.integers(1, 20), st.floats(0, 6))
def test_gain_and_phase_of_sinusoids(a, cycles, phase):
    w, t = 2 * np.pi * cycles / 64, np.arange(64)
    found = fractional_derivative(np.sin(w * t + phase), a, method="fourier")
    np.testing.assert_allclose(found, w**a * np.sin(w * t + phase + a * np.pi / 2), atol=1e-12 * max(1, w**a) * 10)


@given(st.floats(-1.5, 0.95), st.integers(0, 40), st.floats(0.1, 10))
def test_step_response_of_any_order(a, onset, height):
    k = np.arange(100.0 - onset)
    expected = height * special.rgamma(1 - a) * np.exp(special.gammaln(k + 1 - a) - special.gammaln(k + 1))
    found = fractional_derivative(height * (np.arange(100) >= onset), a)
    np.testing.assert_allclose(found[onset:], expected, atol=1e-12 * np.abs(expected).max())


@given(st.lists(order_values, min_size=2, max_size=4), seeds, st.sampled_from(["causal", "fourier"]), st.integers(0, 2))
def test_batch_is_a_loop_on_any_axis(orders, seed, method, axis):
    x = np.random.default_rng(seed).standard_normal((len(orders), 3, 32))
    expected = np.array([[fractional_derivative(row, a, method=method) for row in x[i]] for i, a in enumerate(orders)])
    each = np.array(orders)[:, None]
    found = fractional_derivative(np.moveaxis(x, -1, axis), each, axis=axis, method=method)
    np.testing.assert_allclose(np.moveaxis(found, axis, -1), expected, atol=1e-12 * np.abs(expected).max())


@given(order_values, seeds)
def test_adjoint_is_time_reversed_and_parseval(a, seed):
    x, y = band_limited(seed), band_limited(seed + 1)
    Dx = fractional_derivative(x, a, method="fourier")
    back = fractional_derivative(y[::-1], a, method="fourier")[::-1]
    assert Dx @ y == pytest.approx(x @ back, abs=1e-8)
    w = 2 * np.pi * np.fft.fftfreq(x.size)
    w[0] = 1
    energy = np.sum(np.abs(w) ** (2 * a) * np.abs(np.fft.fft(x)) ** 2) / x.size
    assert Dx @ Dx == pytest.approx(energy, rel=1e-10)


def test_causal_sees_no_future_and_fourier_wraps():
    """A step that is on at the end leaks to the time before it in the periodic form alone."""
    x = np.repeat([0.0, 1.0], [50, 150])
    causal, periodic = (fractional_derivative(x, 0.15, method=m) for m in ("causal", "fourier"))
    assert np.abs(causal[:50]).max() < 1e-14
    assert np.abs(periodic[5:45]).max() > 0.1
    changed = x.copy()
    changed[120:] = RANDOM.standard_normal(80)
    np.testing.assert_allclose(fractional_derivative(changed, 0.15)[:120], causal[:120], atol=1e-13)


def test_constant_history():
    x = signal(2) + 5
    held = np.concatenate([np.full(200_000, x[0]), x])
    for a in (0.4, 1.0):
        found = fractional_derivative(x, a, history="constant")
        # a finite history leaves k^-a / Gamma(1 - a) of the constant
        left = abs(x[0]) * 200_000.0**-a * special.rgamma(1 - a)
        np.testing.assert_allclose(found, fractional_derivative(held, a)[-x.size :], atol=left + 1e-9)
    np.testing.assert_allclose(fractional_derivative(x, 0, history="constant"), x, atol=1e-13)
    np.testing.assert_allclose(fractional_derivative(x, -1, history="constant"), np.cumsum(x - x[0]), atol=1e-11)


@pytest.mark.parametrize("method", ["causal", "fourier"])
def test_axes_orders_and_types(method):
    x = RANDOM.standard_normal((3, 20, 4)).astype(np.float32)
    found = fractional_derivative(x, 0.3, axis=1, method=method)
    assert found.dtype == np.float32
    assert found.shape == x.shape
    one = fractional_derivative(x[2, :, 1].astype(float), 0.3, method=method)
    np.testing.assert_allclose(found[2, :, 1], one, atol=1e-5)
    orders = RANDOM.uniform(-1, 1, (3, 4))
    each = fractional_derivative(x, orders, axis=1, method=method)
    one = fractional_derivative(x[1, :, 3].astype(float), orders[1, 3], method=method)
    np.testing.assert_allclose(each[1, :, 3], one, atol=1e-4)
    assert fractional_derivative(np.arange(5), 1, method=method).dtype == np.float64


def test_named_signals():
    x = xr.DataArray(RANDOM.standard_normal((20, 3)), dims=["time", "unit"], name="rate", attrs={"units": "Hz"})
    x = x.assign_coords(time=np.arange(20) * 0.5, unit=["a", "b", "c"])
    order = xr.DataArray([0.1, 0.2, 0.3], dims="unit", coords={"unit": ["a", "b", "c"]})
    found = fractional_derivative(x, order)
    assert found.dims == x.dims
    assert found.name == "rate"
    assert "units" not in found.attrs
    np.testing.assert_allclose(found.sel(unit="b"), fractional_derivative(x.values[:, 1], 0.2, dt=0.5))
    several = fractional_derivative(x, xr.DataArray([0.1, 0.9], dims="order"))
    assert several.dims == ("order", "time", "unit")
    with pytest.raises(dynet.InputError, match="order"):
        fractional_derivative(x, order.assign_coords(unit=["a", "b", "d"]))


@pytest.mark.parametrize("method", ["causal", "fourier"])
def test_tensors_with_gradients(method):
    x = torch.tensor(RANDOM.standard_normal((2, 12)), requires_grad=True)
    a = torch.tensor([0.3, -0.6], dtype=torch.float64, requires_grad=True)

    def derive(x, a):
        return fractional_derivative(x, a, axis=-1, method=method, dt=0.5)

    expected = derive(x.detach().numpy(), a.detach().numpy())
    np.testing.assert_allclose(derive(x, a).detach().numpy(), expected, atol=1e-13)
    assert torch.autograd.gradcheck(derive, (x, a))
    if method == "causal":  # continuous at order 0, where all weights but one are zero
        zero = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda a: derive(x.detach(), a), (zero,))
    assert derive(x.float(), 0.5).dtype == torch.float32


@pytest.mark.parametrize(
    ("x", "order", "options", "words"),
    [
        (np.ones((2, 5)), 0.1, {}, "axis: say which axis"),
        (np.ones(5), "half", {}, "order='half'"),
        (np.ones(5), np.nan, {}, "order"),
        ([1.0, np.nan, 2.0], 0.1, {}, r"entry \(1,\) is not finite"),
        (np.ones(5) * 1j, 0.1, {}, "complex"),
        (np.ones(5), 0.1, {"method": "wavelet"}, "causal"),
        (np.ones(5), 0.1, {"dt": 0}, "dt=0"),
        (np.ones(5), 0.1, {"method": "fourier", "history": "constant"}, "periodic"),
        (np.ones(5), 0.1, {"nyquist": "zero"}, "fourier"),
        (np.ones(5), 0.1, {"axis": 1}, "axis=1"),
        (np.ones((2, 5)), [0.1, 0.2, 0.3], {"axis": 1}, "does not broadcast"),
        (np.float64(1), 0.1, {}, "axis of time"),
        (np.ones(0), 0.1, {}, "no samples"),
        (xr.Dataset(), 0.1, {}, "x=<xarray.Dataset>"),
        (np.ones(500), 3000.0, {}, "beyond the range of float64"),
        (np.ones(5), torch.tensor(0.1), {}, "tensor"),
        (torch.tensor([1.0, torch.inf]), 0.1, {}, "not finite"),
        (xr.DataArray(np.ones(5), dims="t"), 0.1, {}, "dimensions t"),
        (xr.DataArray([1.0, np.nan], dims="time"), 0.1, {}, r"^x=nan: entry \(1,\) is not finite$"),
        (np.array([[1.0, 2.0], [np.inf, 1.0]]), 0.1, {"axis": 1, "method": "fourier"}, r"^x=inf: entry \(1, 0\)"),
        (xr.DataArray(np.ones(3), dims="time", coords={"time": [0, 1, 3]}), 0.1, {}, "equally far apart"),
        (xr.DataArray(np.ones(3), dims="time", coords={"time": [0, 1, 2]}), 0.1, {"dt": 0.5}, "steps of 1"),
        (xr.DataArray(np.ones(3), dims="time"), [0.1, 0.2], {}, "DataArray"),
    ],
)  # fmt: skip
def test_bad_input(x, order, options, words):
    with pytest.raises(dynet.InputError, match=words):
        fractional_derivative(x, order, **options)
