"""Gradients of long runs: the same to the bit, in little memory."""

import tracemalloc

import numpy as np
import pytest
from scipy.sparse import csr_array

import dynet
from dynet.variational import checkpointing


def losses():
    def running(t, x):
        return float(np.cos(t) * x.sum()), np.full(x.size, np.cos(t))

    return {"terminal": lambda x: (0.5 * float(x @ x), x), "running": running}


@pytest.mark.parametrize("n_steps", [3, 16, 23])
def test_checkpoints_of_a_map_change_no_bit(tanh_map, monkeypatch, n_steps):
    u = np.random.default_rng(0).normal(size=(n_steps, 3))
    whole = dynet.gradient(tanh_map, np.full(3, 0.1), n_steps, inputs=u, **losses())
    monkeypatch.setattr(checkpointing, "_MOST_NUMBERS", 0)
    parts = dynet.gradient(tanh_map, np.full(3, 0.1), n_steps, inputs=u, **losses())
    assert whole.attrs.pop("n_checkpoints") == 1
    assert parts.attrs.pop("n_checkpoints") > 1
    assert parts.identical(whole)


def test_checkpoints_of_a_flow_change_no_bit(tanh_flow, monkeypatch):
    whole = dynet.gradient(tanh_flow, [0.3, 0.1], 10.0, **losses())  # its largest state comes late in the run
    monkeypatch.setattr(checkpointing, "_MOST_NUMBERS", 0)
    parts = dynet.gradient(tanh_flow, [0.3, 0.1], 10.0, **losses())
    assert whole.attrs.pop("n_checkpoints") == 1
    assert parts.attrs.pop("n_checkpoints") == 10
    assert parts.identical(whole)


def test_memory_of_long_runs_grows_as_the_root_of_their_length(monkeypatch):
    monkeypatch.setattr(checkpointing, "_MOST_NUMBERS", 2**16)
    n = 300
    swap = np.random.default_rng(0).permutation(n)

    def step(t, x, u, p):
        return 0.999 * x[swap]

    J = csr_array(0.999 * np.eye(n)[swap])
    system = dynet.Map(step, lambda t, x, u, p: J)
    x0 = np.ones(n)
    dynet.gradient(system, x0, 2, terminal=lambda x: (x.sum(), np.ones(n)))
    peaks = []
    for n_steps in (400, 1600):
        tracemalloc.start()
        ds = dynet.gradient(system, x0, n_steps, terminal=lambda x: (x.sum(), np.ones(n)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        np.testing.assert_allclose(ds.gradient_x0, 0.999**n_steps, rtol=1e-12)
    states = 8 * n * 1600
    assert peaks[1] < states  # the states alone, without tangents and adjoints
    assert peaks[1] < 2.5 * peaks[0]
