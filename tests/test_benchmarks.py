"""The benchmarks themselves: that they run, and that what they compare with is right."""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import dynet

FOLDER = Path(__file__).parents[1] / "benchmarks"

torch = pytest.importorskip("torch")


def load(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def henon_jacobians(n_steps):
    J = np.zeros((n_steps, 2, 2))
    x, y = 0.1, 0.1
    for step in range(n_steps):
        J[step] = [[-2.8 * x, 1.0], [0.3, 0.0]]
        x, y = 1 - 1.4 * x * x + y, 0.3 * x
    return J


@pytest.mark.parametrize("n_steps", [2, 3, 4, 5])
def test_scan_without_resets_is_exact(n_steps):
    J = np.random.default_rng(n_steps).standard_normal((n_steps, 4, 4))
    exact = dynet.lyapunov_spectrum(dynet.Map.from_jacobians(J), None, n_steps, initial_frame=np.eye(4))
    scanned = load("prefix_scan").spectrum(torch.as_tensor(J))
    np.testing.assert_allclose(scanned.numpy(), exact.lyapunov_exponent, atol=1e-10)


def test_scan_with_resets_keeps_volume_and_rates():
    J = henon_jacobians(2_000)
    exact = dynet.lyapunov_spectrum(dynet.Map.from_jacobians(J), None, len(J), initial_frame=np.eye(2))
    scanned = load("prefix_scan").spectrum(torch.as_tensor(J)).numpy()
    assert scanned.sum() == pytest.approx(np.log(0.3), abs=1e-10)
    np.testing.assert_allclose(scanned, exact.lyapunov_exponent, atol=1e-3)


def test_c_loops_are_right():
    compiled = load("compiled_c")
    if compiled.compiler() is None:
        pytest.skip("gcc is not installed")
    # not a multiple of the eight steps between logarithms, and too short for chaos to amplify rounding
    n_steps = 35
    orthonormal, lazy = (compiled.henon(name, (0.1, 0.1), 1.4, 0.3, n_steps) for name in ("henon_qr", "henon_lazy"))
    np.testing.assert_allclose(orthonormal, lazy, atol=1e-7)
    exact = dynet.lyapunov_spectrum(
        dynet.Map.from_jacobians(henon_jacobians(n_steps)), None, n_steps, initial_frame=np.eye(2)
    )
    np.testing.assert_allclose(orthonormal, exact.lyapunov_exponent, atol=1e-7)
    assert orthonormal.sum() == pytest.approx(np.log(0.3), abs=1e-12)
    start = np.array([1.0, 1.0, 20.0])
    orthonormal, lazy = (
        compiled.lorenz(name, start, (10, 28, 8 / 3), 0.01, 203) for name in ("lorenz_qr", "lorenz_lazy")
    )
    np.testing.assert_allclose(orthonormal, lazy, atol=1e-8)
    system = dynet.zoo.lorenz63().to_map(0.01)
    exact = dynet.lyapunov_spectrum(system, start, 203, initial_frame=np.eye(3), qr_interval=1)
    np.testing.assert_allclose(orthonormal, exact.lyapunov_exponent, atol=1e-8)


@pytest.mark.slow
def test_flossing_lengthens_the_horizon_of_a_delayed_copy():
    flossing = load("flossing")
    options = argparse.Namespace(units=48, floss=40, exponents=24, steps=200)
    torch.set_num_threads(1)
    rows = [{side: flossing.one(seed, 24, side, 0.0, options) for side in ("plain", "before")} for seed in range(5)]
    difference = [row["before"]["loss"] - row["plain"]["loss"] for row in rows]
    # the same sign in every seed, and a paired t test
    assert max(difference) < 0
    assert stats.ttest_1samp(difference, 0).pvalue < 0.02
    assert np.mean([row["before"]["right"] for row in rows]) > np.mean([row["plain"]["right"] for row in rows]) + 0.1
    assert all(row["before"]["last"] > row["before"]["first"] for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "words"),
    [
        (["flossing.py", "--seeds", "2", "--delays", "3", "--steps", "5", "--floss", "2"], "processor seconds a run"),
        (["monitor.py", "--units", "8", "--epochs", "3", "--length", "70"], "0 epochs failed"),
    ],
)
def test_scripts_run(script, words):
    run = subprocess.run(
        [sys.executable, str(FOLDER / script[0]), *script[1:]], capture_output=True, text=True, check=True
    )
    assert words in run.stdout


@pytest.mark.slow
def test_gpu_script_runs_without_one():
    run = subprocess.run(
        [sys.executable, str(FOLDER / "gpu.py"), "--device", "cpu", "--small"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tanh RNN, N = 64, batch 4, full, LU frames" in run.stdout
