"""Fractional orders: recovered from what they made, with intervals that hold; what biases other procedures."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import dynet
from dynet import fractional_derivative, fractional_order

STEP = np.repeat([0.0, 1.0], [60, 240])
RANDOM = np.random.default_rng(0)


def response(order, gain=1.0, offset=0.0, stimulus=STEP):
    return gain * fractional_derivative(stimulus, order) + offset


def noisy(count, order, sd=0.05, seed=1, **options):
    return response(order, **options) + np.random.default_rng(seed).normal(0, sd, (count, STEP.size))


def squares(y, regressors):
    """Return the least sum of squares of y by a solver of its own."""
    A = np.stack(regressors, axis=1)
    return np.sum((y - A @ np.linalg.lstsq(A, y)[0]) ** 2)


@pytest.mark.parametrize("order", [-0.6, -0.15, 0.15, 0.3, 0.8])
@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0.0), (2.0, 3.0), (5.0, -1.0), (-1.0, 0.2)])
def test_exact_responses(order, gain, offset):
    fit = fractional_order(response(order, gain, offset), STEP)
    np.testing.assert_allclose([fit.order, fit.gain, fit.offset], [order, gain, offset], atol=1e-5)
    np.testing.assert_allclose(fit.order_interval, [order, order], atol=1e-5)
    assert fit.mse < 1e-9
    assert fit.delta_aic.min() > 1000


def test_exact_response_of_order_zero():
    fit = fractional_order(response(0.0, 2.0, 0.1), STEP)
    assert abs(fit.order) < 1e-6
    np.testing.assert_allclose(fit.delta_aic, [2, -2])  # only the numbers of parameters differ


@pytest.mark.parametrize("order", [0.15, 0.3, -0.3])
def test_a_stimulus_that_is_on_from_the_first_sample(order):
    fit = fractional_order(response(order, 5.0, 1.0, np.ones(784)), np.ones(784))
    np.testing.assert_allclose([fit.order, fit.gain, fit.offset], [order, 5.0, 1.0], rtol=1e-3)


def test_intervals_cover_and_nothing_is_biased():
    fit = fractional_order(noisy(400, 0.15, gain=2.0, offset=0.3), STEP, axis=-1)
    lower, upper = fit.order_interval.values.T
    covered = np.mean((lower <= 0.15) & (upper >= 0.15))
    assert 0.92 <= covered <= 0.98
    for values, true in ((fit.order, 0.15), (fit.gain, 2.0), (fit.offset, 0.3)):
        assert abs(values.mean() - true) < 4 * values.std() / 20
    assert np.mean(fit.mse) == pytest.approx(0.05**2, rel=0.02)
    assert abs(fit.residual_autocorrelation.mean()) < 0.02


def test_interval_is_where_the_likelihood_says():
    y = noisy(1, 0.2, sd=0.3)[0]
    fit = fractional_order(y, STEP, level=0.9)

    def at(order):
        return squares(y, [fractional_derivative(STEP, order), np.ones(STEP.size)])

    ratio = 1 + stats.f.ppf(0.9, 1, STEP.size - 3) / (STEP.size - 3)
    best = float(fit.order)
    assert float(fit.mse) * STEP.size == pytest.approx(at(best), rel=1e-10)
    assert at(best) <= min(at(best - 1e-3), at(best + 1e-3))
    for end in fit.order_interval.values:
        assert at(end) == pytest.approx(ratio * at(best), rel=1e-6)


def test_criteria_are_those_of_least_squares():
    y = noisy(1, 0.2, sd=0.3)[0]
    fit = fractional_order(y, STEP)
    n, ones, k = STEP.size, np.ones(STEP.size), np.arange(240)
    own = n * np.log(float(fit.mse)) + 2 * 4
    constant = n * np.log(squares(y, [STEP, ones]) / n) + 2 * 3
    assert float(fit.delta_aic.sel(model="constant")) == pytest.approx(constant - own, abs=1e-6)
    decays = [np.append(np.zeros(60), np.exp(-(k + 1) / tau)) for tau in np.geomspace(1, n, 2000)]
    exponential = n * np.log(min(squares(y, [STEP, ones, decay]) for decay in decays) / n) + 2 * 5
    assert float(fit.delta_aic.sel(model="exponential")) == pytest.approx(exponential - own, abs=1e-3)


def test_criteria_do_not_depend_on_the_offset():
    y = noisy(1, 0.2)[0]
    near, far = fractional_order(y, STEP), fractional_order(y + 1e8, STEP)
    np.testing.assert_allclose(far.delta_aic, near.delta_aic, rtol=1e-3)
    np.testing.assert_allclose(far.order_interval, near.order_interval, rtol=1e-4)


def test_criteria_tell_exponential_adaptation():
    k = np.arange(240)
    y = np.append(np.zeros(60), 1 + 0.8 * np.exp(-k / 25)) + RANDOM.normal(0, 0.02, (20, 300))
    fit = fractional_order(y, STEP, axis=-1)
    assert (fit.delta_aic.sel(model="exponential") < -20).all()
    assert (fit.residual_autocorrelation > 0.3).all()
    fit = fractional_order(noisy(20, 0.2), STEP, axis=-1)
    assert (fit.delta_aic > 20).all()
    fit = fractional_order(noisy(200, 0.0), STEP, axis=-1)
    assert (fit.delta_aic.sel(model="constant") >= -2 - 1e-6).all()  # the constant is an order of 0
    assert np.mean(fit.delta_aic.sel(model="constant") < 0) > 0.75


def paper_procedure(r, s, orders):
    """Return the best order of Geadah et al. on a grid, written as they describe it; means left out."""
    f = np.fft.fftfreq(r.size)
    f[0] = np.inf  # no mean
    errors = []
    for a in orders:
        with np.errstate(invalid="ignore"):
            H = np.where(np.isinf(f), 0, (2j * np.pi * f) ** a)
        errors.append(np.mean((np.fft.ifft(np.fft.fft(r) * H).real - s + s.mean()) ** 2))
    return orders[np.argmin(errors)]


@pytest.mark.parametrize("n", [300, 299])
def test_paper_procedure_is_theirs(n):
    orders = np.linspace(-0.5, 0.5, 501)
    for order, gain in ((0.15, 0.5), (0.3, 1.0), (-0.2, 2.0)):
        r = response(order, gain)[:n]
        fit = fractional_order(r, STEP[:n], method="paper")
        # theirs is the order of the filter that undoes the response
        assert float(fit.paper_order) == pytest.approx(paper_procedure(r, STEP[:n], orders), abs=2e-3)
        assert float(fit.order) == -float(fit.paper_order)


def test_bias_of_the_paper_procedure():
    """A gain reads as an order, and so does a step that is still on at the end; the forward fit sees neither."""
    pulse = np.repeat([0.0, 1.0, 0.0], [200, 600, 200])
    read = {
        g: float(fractional_order(response(0.15, g, stimulus=pulse), pulse, method="paper").order)
        for g in (1, 0.5, 2, 5)
    }
    assert read[1] == pytest.approx(0.15, abs=0.01)  # no gain and back at zero: its own case
    assert read[0.5] == pytest.approx(0.28, abs=0.01)
    assert read[2] == pytest.approx(0.02, abs=0.01)
    assert read[5] == pytest.approx(-0.20, abs=0.01)
    on = np.repeat([0.0, 1.0], [200, 800])
    assert float(fractional_order(response(0.15, stimulus=on), on, method="paper").order) == pytest.approx(
        0.20, abs=0.01
    )
    assert float(fractional_order(response(-0.4, stimulus=on), on, method="paper").order) == pytest.approx(
        -0.61, abs=0.01
    )
    for stimulus, gain in ((pulse, 5.0), (on, 0.5)):
        assert float(fractional_order(response(0.15, gain, stimulus=stimulus), stimulus).order) == pytest.approx(
            0.15, abs=1e-5
        )


def test_paper_procedure_recovers_what_is_periodic():
    x = np.cumsum(RANDOM.standard_normal(400))
    x -= np.linspace(x[0], x[-1], 400)
    r = fractional_derivative(x, 0.3, method="fourier")
    assert float(fractional_order(r, x, method="paper").order) == pytest.approx(0.3, abs=1e-5)


def test_inverse_fit_is_exact_without_noise_and_biased_with_it():
    fit = fractional_order(response(0.2, 2.0, 0.5), STEP, method="inverse")
    np.testing.assert_allclose([fit.order, fit.gain, fit.offset], [0.2, 2.0, 0.5], atol=1e-5)
    r = noisy(100, 0.2, sd=0.3)
    forward, inverse = (fractional_order(r, STEP, axis=-1, method=m).order for m in ("forward", "inverse"))
    assert abs(forward.mean() - 0.2) < 4 * forward.std() / 10
    assert abs(inverse.mean() - 0.2) > 4 * inverse.std() / 10
    assert np.isnan(fractional_order(r[0], STEP, method="inverse").delta_aic).all()


@pytest.mark.parametrize("method", ["forward", "inverse", "paper"])
def test_units_together_are_units_one_by_one(method):
    orders = RANDOM.uniform(-0.5, 0.5, 6)
    r = np.stack([response(a, 2.0, 0.1) for a in orders]) + RANDOM.normal(0, 0.05, (6, 300))
    own = np.broadcast_to(STEP, r.shape)
    together, each = (fractional_order(r, s, axis=-1, method=method) for s in (STEP, own))
    for i in range(6):
        one = fractional_order(r[i], STEP, method=method)
        for fit in (together, each):
            for name in ("order", "order_interval", "gain", "offset", "mse", "delta_aic"):
                np.testing.assert_allclose(fit[name].isel(unit=i), one[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_any_stimulus_and_any_unit_of_time():
    t = np.arange(400) * 0.01
    s = xr.DataArray(np.cumsum(RANDOM.standard_normal((3, 400)), axis=1), dims=["unit", "time"], coords={"time": t})
    r = 2.0 * fractional_derivative(s, 0.35).expand_dims(trial=2).transpose("time", "trial", "unit") + 1.0
    fit = fractional_order(r, s)
    assert fit.order.dims == ("trial", "unit")
    assert fit.order_interval.dims == ("trial", "unit", "bound")
    assert fit.delta_aic.dims == ("trial", "unit", "model")
    np.testing.assert_allclose(fit.order, 0.35, atol=1e-5)
    np.testing.assert_allclose(fit.gain, 2.0, rtol=1e-4)
    assert fit.attrs["dt"] == pytest.approx(0.01)


def test_history_of_the_stimulus():
    s = 2 + np.repeat([0.0, 1.0], [60, 240])
    r = fractional_derivative(s, 0.3, history="constant")
    assert float(fractional_order(r, s, history="constant").order) == pytest.approx(0.3, abs=1e-5)
    assert abs(float(fractional_order(r, s).order) - 0.3) > 0.05


def test_rectified_units_are_read_until_the_step_ends():
    pulse = np.repeat([0.0, 1.0, 0.0], [50, 200, 150])
    whole = response(0.3, stimulus=pulse)
    cut = np.maximum(whole, 0)
    r = np.stack([whole, cut])
    fit = fractional_order(r, pulse, axis=-1)
    assert fit.n_samples.values.tolist() == [400, 250]
    np.testing.assert_allclose(fit.order, 0.3, atol=1e-5)
    assert abs(float(fractional_order(cut, pulse, window="all").order) - 0.3) > 0.01
    np.testing.assert_allclose(fractional_order(r, pulse, axis=-1, window="onset").n_samples, 250)
    given = fractional_order(cut, pulse, window=(20, 219))
    assert int(given.n_samples) == 200
    assert float(given.order) == pytest.approx(0.3, abs=1e-5)


def test_held_parameters():
    y = noisy(1, 0.2, sd=0.3, gain=2.0, offset=0.5)[0]

    def best(gain, offset):
        def left(order):
            t = fractional_derivative(STEP, order)
            if gain is None:
                return squares(y - offset, [t])
            if offset is None:
                return squares(y - gain * t, [np.ones(t.size)])
            return np.sum((y - gain * t - offset) ** 2)

        orders = np.linspace(0, 0.5, 1001)
        return orders[np.argmin([left(a) for a in orders])]

    for gain, offset in ((2.0, None), (None, 0.5), (2.0, 0.5)):
        fit = fractional_order(y, STEP, gain=gain, offset=offset)
        assert float(fit.order) == pytest.approx(best(gain, offset), abs=5e-4)
        assert gain is None or float(fit.gain) == gain
        assert offset is None or float(fit.offset) == offset


def test_what_has_no_order_says_so():
    rounding = 0.7 * (1 + np.finfo(float).eps * RANDOM.integers(0, 2, 300))
    r = np.stack([rounding, response(0.2), response(0.9)])
    fit = fractional_order(r, STEP, axis=-1, orders=(-0.5, 0.5))
    assert np.isnan([fit.order[0], fit.gain[0], *fit.order_interval[0].values]).all()
    assert "constant response" in fit.message.values[0]
    assert fit.message.values[1] == ""
    assert fit.order.values[2] == 0.5
    assert np.isinf(fit.order_interval.values[2, 1])
    assert "end of orders" in fit.message.values[2]


def test_orders_far_from_zero():
    for order, span in ((1.4, (0, 2)), (2.3, (1, 3)), (-1.4, (-2, 0)), (-2.3, (-3, -1))):
        fit = fractional_order(response(order, 3.0, 0.1), STEP, orders=span)
        np.testing.assert_allclose([fit.order, fit.gain], [order, 3.0], rtol=1e-4)
        held = fractional_order(response(order, 3.0, 0.1), STEP, orders=span, gain=3.0)
        assert float(held.order) == pytest.approx(order, abs=1e-4)


def test_results_are_saved_and_loaded(tmp_path):
    r = xr.DataArray(noisy(3, 0.2), dims=["unit", "time"], coords={"unit": ["a", "b", "c"]})
    fit = fractional_order(r, STEP)
    xr.testing.assert_identical(dynet.load(dynet.save(fit, tmp_path / "fit.nc")), fit)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"response": np.ones(0), "stimulus": np.ones(0)}, "no samples"),
        ({"response": np.ones(9)}, "stimulus has 300 samples, response 9"),
        ({"response": np.where(np.arange(300) == 7, np.nan, 1.0)}, r"response=nan: entry \(7,\)"),
        ({"response": np.ones((2, 300))}, "axis: say which"),
        ({"stimulus": np.zeros(300)}, "nothing to filter"),
        ({"method": "backward"}, "method='backward'"),
        ({"orders": (1, -1)}, "range"),
        ({"orders": (-5, -4)}, "within -3 to 3"),
        ({"orders": (-2, 1)}, "at most 2 wide"),
        ({"window": "late"}, "window='late'"),
        ({"window": (500, 600)}, "no sample lies there"),
        ({"window": (10, 12)}, "too few"),
        ({"window": "onset", "stimulus": np.sin(np.arange(300.0))}, "no step"),
        ({"level": 95}, "level=95"),
        ({"gain": 0}, "gain=0"),
        ({"gain": 1.0, "method": "paper"}, "forward"),
        ({"dt": -1}, "dt=-1"),
        ({"stimulus": np.ones(300), "method": "inverse"}, "it is constant"),
        ({"stimulus": np.ones(300), "method": "paper"}, "it is constant"),
        ({"dim": "t", "response": xr.DataArray(STEP, dims="time")}, "dim='t'"),
        ({"response": xr.DataArray(STEP, dims="time", coords={"time": np.arange(300.0) ** 2})}, "equally far apart"),
    ],
)  # fmt: skip
def test_bad_input(options, words):
    arguments = {"response": response(0.2), "stimulus": STEP, **options}
    with pytest.raises(dynet.InputError, match=words):
        fractional_order(**arguments)


def test_labels_must_match():
    r = xr.DataArray(noisy(2, 0.2), dims=["unit", "time"], coords={"unit": ["a", "b"], "time": np.arange(300.0)})
    with pytest.raises(dynet.InputError, match="different times"):
        fractional_order(r, xr.DataArray(STEP, dims="time", coords={"time": np.arange(300.0) + 1}))
    swapped = xr.DataArray(np.stack([STEP, STEP]), dims=["unit", "time"], coords={"unit": ["b", "a"]})
    with pytest.raises(dynet.InputError, match="different labels along unit"):
        fractional_order(r, swapped)
    with pytest.raises(dynet.InputError, match="dimension neuron"):
        fractional_order(r, swapped.rename(unit="neuron"))


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_sizes_whose_squares_leave_the_range_of_numbers_are_refused(scale):
    with pytest.raises(dynet.InputError, match="response: its largest sample"):
        fractional_order(scale * response(0.3), STEP)
    with pytest.raises(dynet.InputError, match="stimulus: its largest sample"):
        fractional_order(response(0.3), scale * STEP)
    inside = fractional_order(scale**0.25 * response(0.3), STEP)
    assert float(inside.order) == pytest.approx(0.3, abs=1e-6)
