"""Frames for tensors on a device, here on the host's: the same growth as compiled ones, no waiting inside a block."""

import numpy as np
import pytest

import dynet
from dynet import networks
from dynet.kernels import frames
from dynet.kernels.lu_batched import BatchedLUFrame

torch = pytest.importorskip("torch")


def advance(frame, matrices):
    for J in matrices:
        frame.multiply(J)
        frame.factor()
    return frame.collect()


@pytest.mark.parametrize("batch", [(), (1,), (4,)])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (6, 2), (7, 7)])
def test_growth_is_that_of_householder_frames(n, k, batch):
    random = np.random.default_rng(n)
    V = np.linalg.qr(random.standard_normal((*batch, n, k)))[0]
    J = random.standard_normal((6, *batch, n, n))
    frame = BatchedLUFrame(torch.asarray(V))
    found = advance(frame, torch.asarray(J[:2])) + advance(frame, torch.asarray(J[2:]))
    np.testing.assert_allclose(found, advance(frames.make_frame("qr", V.copy()), J), rtol=0, atol=1e-10)


def test_dead_units_are_below_resolution_and_raise_nothing():
    J = torch.asarray(np.random.default_rng(0).standard_normal((5, 5)))
    J[3] = 0
    found = advance(BatchedLUFrame(torch.eye(5, dtype=torch.float64)), [J, J])
    assert np.isneginf(found[4])
    assert np.isfinite(found[:4]).all()


@pytest.mark.parametrize("kind", ["tanh", "lstm"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_spectrum_as_on_a_device(kind, dtype, monkeypatch):
    random = np.random.default_rng(3)
    gates, units = (1, 34) if kind == "tanh" else (4, 17)
    W = torch.asarray(random.standard_normal((gates * units, units)) / np.sqrt(units), dtype=getattr(torch, dtype))
    make = networks.tanh_rnn if kind == "tanh" else networks.lstm
    system, x0 = make(W), random.standard_normal((3, 34))
    host = dynet.lyapunov_spectrum(system, x0, 30, frame="lu")
    monkeypatch.setattr(frames, "on_host", lambda x: False)
    device = dynet.lyapunov_spectrum(system, x0, 30, frame="lu")
    np.testing.assert_array_equal(device.final_state, host.final_state)
    # the last directions of a contracting network are lost to rounding in any frame
    leading, tolerance = {"exponent": slice(None, 8)}, 1e-9 if dtype == "float64" else 1e-2
    np.testing.assert_allclose(device.growth.isel(leading), host.growth.isel(leading), rtol=0, atol=tolerance)


def test_nothing_is_brought_to_the_host_before_the_end_of_a_block(monkeypatch):
    from dynet.lyapunov import array_engine

    system = networks.tanh_rnn(torch.asarray(np.random.default_rng(4).standard_normal((8, 8)) / 3))
    monkeypatch.setattr(frames, "on_host", lambda x: False)
    moved, steps = [], []
    grown = array_engine.ArrayEngine._grown
    monkeypatch.setattr(
        array_engine.ArrayEngine, "_grown", lambda self, *a: (steps.append(len(moved)), grown(self, *a))[1]
    )
    for name in ("numpy", "cpu", "item", "tolist", "__bool__", "__float__"):
        original = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda *a, f=original, n=name, **k: (moved.append(n), f(*a, **k))[1])
    dynet.lyapunov_spectrum(system, np.ones(8), 1000, frame="lu", check=False)
    per_block = np.diff(steps)
    assert len(per_block) > 50
    # five arrays at the end of each block of ten steps: pivots, largest entries, the triangle, the state, a copy of it
    assert per_block.max() <= 12
