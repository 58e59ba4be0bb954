"""Drives and contrast on arrays, named arrays and tensors."""

import numpy as np
import pytest
import torch
import xarray as xr

import dynet
from dynet.tasks import contrast, noise_drive, step_drive

X = np.random.default_rng(0).standard_normal((2, 50, 3))


def test_step_is_on_for_its_steps():
    driven = step_drive(X, 2.5, start=10, stop=30) - X
    np.testing.assert_allclose(driven[:, 10:30], 2.5)
    np.testing.assert_array_equal(driven[:, :10], 0)
    np.testing.assert_array_equal(driven[:, 30:], 0)
    np.testing.assert_allclose(step_drive(X, -1.0) - X, -1.0)


def test_noise_is_independent_and_within_its_steps():
    big = np.zeros((4, 2000, 5))
    noise = noise_drive(big, 4.0, 0.5, start=100, rng=1)
    np.testing.assert_array_equal(noise[:, :100], 0)
    rows = noise[:, 100:].transpose(0, 2, 1).reshape(20, -1)
    np.testing.assert_allclose(rows.mean(axis=1), 4, atol=0.06)
    np.testing.assert_allclose(rows.std(axis=1), 0.5, atol=0.05)
    assert np.abs(np.corrcoef(rows) - np.eye(20)).max() < 0.12
    assert np.abs(np.mean((rows[:, 1:] - 4) * (rows[:, :-1] - 4))) < 0.01
    np.testing.assert_array_equal(noise, noise_drive(big, 4.0, 0.5, start=100, rng=1))


def test_contrast_is_a_sinusoid_with_mean_one():
    bright = contrast(np.ones((40, 1)), 0.7, period=20, phase=0.4)[:, 0]
    np.testing.assert_allclose(bright, 1 + 0.7 * np.sin(2 * np.pi * np.arange(40) / 20 + 0.4))
    assert bright.mean() == pytest.approx(1)


@pytest.mark.parametrize(
    "perturb",
    [
        lambda x: step_drive(x, 1.0, start=5),
        lambda x: noise_drive(x, 1.0, 0.2, rng=3),
        lambda x: contrast(x, 0.5, period=7.0),
    ],
)
def test_types_are_kept(perturb):
    expected = perturb(X)
    tensor = torch.tensor(X, dtype=torch.float32, requires_grad=True)
    found = perturb(tensor)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    found.sum().backward()
    assert tensor.grad is not None
    named = xr.DataArray(X, dims=("sequence", "time", "unit"), name="a").transpose("time", "unit", "sequence")
    result = perturb(named)
    assert result.dims == named.dims
    np.testing.assert_allclose(result.mean("unit").sum("sequence").size, 50)
    if perturb.__code__.co_names[0] != "noise_drive":  # noise follows the order of the axes
        np.testing.assert_allclose(result.transpose("sequence", "time", "unit"), expected)
    one = perturb(xr.DataArray(X[0, :, 0], dims="time"))
    assert one.dims == ("time",)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: step_drive(X, np.inf), "amplitude=inf"),
        (lambda: step_drive(X, 1.0, start=50), "start=50"),
        (lambda: step_drive(X, 1.0, start=5, stop=5), "stop=5"),
        (lambda: step_drive(X[0, 0], 1.0), "time, channel"),
        (lambda: step_drive(xr.DataArray(X[0], dims=("t", "unit")), 1.0), "dimension time"),
        (lambda: noise_drive(X, 1.0, -1.0), "standard_deviation=-1"),
        (lambda: contrast(X, 1.0, period=0), "period=0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(dynet.InputError, match=message):
        call()
