"""Checkpoints: a run that was stopped anywhere goes on to exactly the numbers of a run in one piece."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from threadpoolctl import threadpool_limits

import dynet
from dynet.lyapunov import checkpoint, checkpoint_file
from tests.compiled_systems import flat_jac, flat_step

networks, zoo = dynet.networks, dynet.zoo


# --- one call of every engine, frame and kind of run --------------------------------------------------------------


def weights(n, g=1.5):
    return np.random.default_rng(3).normal(0, g / np.sqrt(n), (n, n))


def states(*shape):
    return np.random.default_rng(4).standard_normal(shape)


W5 = weights(5)


def python_step(t, x, u, p):
    return np.tanh(W5 @ x)


def python_jac(t, x, u, p):
    return (1 - np.tanh(W5 @ x) ** 2)[:, None] * W5


W34 = weights(34)


def wide_step(t, x, u, p):
    return np.tanh(W34 @ x)


def wide_jac(t, x, u, p):
    return (1 - np.tanh(W34 @ x) ** 2)[:, None] * W34


def squeezing_step(t, x, u, p):
    return np.array([0.8 * np.cos(x[0] + x[1]), u[0] * x[1] + 0.1 * x[0]])


def squeezing_jac(t, x, u, p):
    slope = -0.8 * np.sin(x[0] + x[1])
    return np.array([[slope, slope], [0.1, u[0]]])


compiled_step, compiled_jac = njit(squeezing_step), njit(squeezing_jac)
# for a while the second direction is nearly lost every step: the interval comes down, and stays down when all is well
SQUEEZED = {"n_transient": 40, "qr_interval": 12}
SQUEEZED["inputs"] = np.where((np.arange(540) > 150) & (np.arange(540) < 260), 0.1002, 0.9)[:, None]
RAGGED = {"inputs": 0.2 * states(4, 90, 5), "lengths": [90, 61, 90, 61], "n_transient": 13}
PYTHON, WIDE = dynet.Map(python_step, python_jac), dynet.Map(wide_step, wide_jac)
DRIVEN = networks.tanh_rnn(weights(5), np.eye(5))
HIDDEN = networks.lstm(states(16, 4), 0.5 * states(16, 2), state="hidden")


@njit
def short_step(t, x, u, p):
    return np.array([1 - 1.4 * x[0] * x[0] + x[1], 0.3 * x[0]], dtype=np.float32)


@njit
def short_jac(t, x, u, p):
    return np.array([[-2.8 * x[0], 1.0], [0.3, 0.0]], dtype=np.float32)


SHORT = dynet.Map(short_step, short_jac, like=np.zeros(2, np.float32))
FLAT = np.column_stack([np.full(21, 0.4), np.ones(21)])
FLAT[[2, 20], 0] = 0.7


def torch_rnn(n, dtype="float64"):
    torch = pytest.importorskip("torch")
    return networks.tanh_rnn(torch.tensor(weights(n), dtype=getattr(torch, dtype)))


#: system (or what makes it), x0, n_steps and the other arguments
CASES = {
    "compiled, tuples": (zoo.henon(), [0.1, 0.2], 3_000, {"n_transient": 700}),
    "compiled, interval halved": (dynet.Map(compiled_step, compiled_jac), [0.4, 0.3], 500, SQUEEZED),
    "compiled, flow, sequences": (zoo.lorenz63().to_map(0.01), 5 + states(3, 3), 700, {"n_transient": 50}),
    # the last one starts where the slope is zero: it leaves the lanes
    "compiled, lanes, one of them alone": (zoo.logistic(), np.linspace(0.1, 0.5, 11)[:, None], 3000, {}),
    "compiled, many": (zoo.henon(), 0.1 * states(9, 2), 900, {"n_transient": 70}),
    "compiled, many, some lose a direction": (dynet.Map(flat_step, flat_jac), FLAT, 300, {"initial_frame": np.eye(2)}),
    "compiled, many, short floats": (SHORT, 0.1 * states(9, 2), 500, {"qr_interval": 3}),
    "compiled, short floats": (SHORT, 0.1 * states(2), 500, {"n_transient": 90}),
    "compiled, until sure": (zoo.henon(), [0.1, 0.2], 200_000, {"tolerance": 0.01}),
    "numpy, Householder": (PYTHON, states(5), 90, {"n_transient": 25}),
    "numpy, Householder, leading ones": (PYTHON, states(5), 90, {"n_exponents": 2, "qr_interval": 3}),
    "numpy, interval halved": (dynet.Map(squeezing_step, squeezing_jac), [0.4, 0.3], 500, SQUEEZED),
    "numpy, Householder, batch": (networks.tanh_rnn(weights(7)), states(3, 7), 80, {"n_transient": 20}),
    "numpy, LU, triangular products": (networks.tanh_rnn(weights(40)), states(40), 70, {"n_transient": 20}),
    "numpy, LU, leading ones": (networks.tanh_rnn(weights(40)), states(40), 70, {"n_exponents": 33}),
    "numpy, LU, batch": (networks.tanh_rnn(weights(34)), states(3, 34), 60, {"n_transient": 20}),
    "numpy, LU, one by one": (WIDE, states(2, 34), 60, {"n_transient": 20}),
    "numpy, LU, leaky network": (networks.random_tanh(33, 2.0, 0.5), states(33), 60, {}),
    "numpy, ragged": (DRIVEN, None, 77, RAGGED),
    "numpy, hidden LSTM": (HIDDEN, None, 60, {"inputs": states(2, 60, 2)}),
    "torch, LU": (lambda: torch_rnn(34), states(34), 60, {"n_transient": 20}),
    "torch, LU, batch": (lambda: torch_rnn(34), states(2, 34), 60, {}),
    "torch, Householder, short floats": (lambda: torch_rnn(6, "float32"), states(2, 6), 80, {"n_transient": 20}),
}


def call(name, **more):
    system, x0, n_steps, arguments = CASES[name]
    system = system if isinstance(system, dynet.Map) else system()
    return dynet.lyapunov_spectrum(system, x0, n_steps, **arguments, **more)


@cache
def whole(name):
    """The call in one piece, without a checkpoint."""
    return call(name)


def assert_exactly_equal(result, expected):
    told = {name: value for name, value in result.attrs.items() if not name.startswith("checkpoint")}
    assert told == expected.attrs
    assert set(result.variables) == set(expected.variables)
    for name in expected.variables:
        assert result[name].values.dtype == expected[name].values.dtype, name
        if result[name].values.dtype.kind == "f":
            assert result[name].values.tobytes() == expected[name].values.tobytes(), name
        else:
            np.testing.assert_array_equal(result[name], expected[name])


def run_until_stopped(stopped_in_block, name, path, block):
    """Return the result, or None if the run was stopped before its end."""
    with stopped_in_block(block):
        try:
            return call(name, checkpoint=path)
        except KeyboardInterrupt:
            return None


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=6)
@given(stops=st.lists(st.integers(0, 12), min_size=1, max_size=4))
def test_a_run_stopped_in_any_blocks_ends_with_exactly_the_numbers_of_one_piece(name, stops, stopped_in_block):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.npz"
        for block in stops:
            if run_until_stopped(stopped_in_block, name, path, block) is not None:
                break
        result = call(name, checkpoint=path)
        assert_exactly_equal(result, whole(name))
        assert os.listdir(folder) == ["run.npz"]


@pytest.mark.parametrize("name", CASES)
def test_a_checkpoint_written_at_every_block_end_changes_no_number(name, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(checkpoint, "_SHARE", np.inf)
    result = call(name, checkpoint=tmp_path / "run")
    assert result.attrs["checkpoint"] == "written from the start"
    assert "checkpoint_not_compared" not in result.attrs
    assert_exactly_equal(result, whole(name))


@pytest.mark.parametrize("name", CASES)
def test_a_finished_run_is_read_and_nothing_is_computed_again(name, tmp_path, stopped_in_block):
    path = tmp_path / "run.npz"
    call(name, checkpoint=path)
    before = path.read_bytes(), path.stat().st_mtime_ns
    result = run_until_stopped(stopped_in_block, name, path, 0)  # stopped as soon as anything is advanced
    assert result.attrs["checkpoint"] == "complete: read, nothing was computed again"
    assert_exactly_equal(result, whole(name))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("name", CASES)
def test_the_cases_are_what_their_names_say(name):
    attrs = whole(name).attrs
    engine = name.partition(",")[0]
    assert attrs["engine"] == (engine if engine == "compiled" else f"array ({engine})")
    assert attrs["frame"] == ("lu" if "LU" in name.split(", ") else "qr")
    assert attrs["dtype"] == ("float32" if "short" in name else "float64")
    if "sure" in name:
        assert (attrs["tolerance_reached"], attrs["n_steps"] < 200_000) == ("True", True)
    if "halved" in name:
        spread = abs(np.diff(whole(name).growth[0]))
        assert attrs["qr_interval"] < 12
        assert spread[1] < spread[4] / 2


# --- killed processes ---------------------------------------------------------------------------------------------

SCRIPT = """
import numpy as np
import dynet

W = np.random.default_rng(1).normal(0, 0.3, (40, 40))


def step(t, x, u, p):
    return np.tanh(W @ x) + p


def jac(t, x, u, p):
    return (1 - np.tanh(W @ x) ** 2)[:, None] * W


def run(path=None):
    system = dynet.Map(step, jac, params=0.1)
    return dynet.lyapunov_spectrum(system, np.ones(40), 1_500, n_transient=200, rng=5, checkpoint=path)
"""
# from its first write on every block end takes a while: time to be killed in the middle
KILLED_FROM_OUTSIDE = """
import sys, time
from dynet.lyapunov import checkpoint, checkpoint_file

checkpoint.SECONDS_BETWEEN, checkpoint._SHARE, write = 0.0, float("inf"), checkpoint_file.write


def slow_write(*arguments):
    time.sleep(0.1)
    write(*arguments)


checkpoint_file.write = slow_write
run(sys.argv[1])
"""
KILLED_WHILE_IT_WRITES = """
import os, signal, sys
from dynet.lyapunov import checkpoint

checkpoint.SECONDS_BETWEEN, checkpoint._SHARE, replace, written = 0.0, float("inf"), os.replace, []


def replace_or_die(*arguments):
    if len(written) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(replace(*arguments))


os.replace = replace_or_die
run(sys.argv[1])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on this system")
@pytest.mark.parametrize("how", ["from outside", "while it writes"])
def test_a_process_killed_by_sigkill_is_continued_exactly(how, tmp_path):
    path = tmp_path / "run.npz"
    code = SCRIPT + (KILLED_FROM_OUTSIDE if how == "from outside" else KILLED_WHILE_IT_WRITES)
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=Path(dynet.__file__).parent.parent)
    try:
        deadline = time.monotonic() + 120
        while not path.exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if how == "from outside":
            time.sleep(0.25)
            child.kill()
        assert child.wait(120) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()
    header, _ = checkpoint_file.read(path)
    assert 0 < header["runs"][0]["position"] < 1_700
    names = {}
    exec(compile(SCRIPT, "script", "exec"), names)  # the same code, in another process
    result = names["run"](path)
    assert result.attrs["checkpoint"] == f"continued at step {header['runs'][0]['position']}"
    assert_exactly_equal(result, names["run"]())
    assert len(list(tmp_path.glob(".run.npz.*.partial"))) == (how == "while it writes")


def test_what_a_killed_write_left_is_removed_when_it_is_old(tmp_path):
    old, young, other = (tmp_path / f".{name}.partial" for name in ("run.npz.a", "run.npz.b", "ran.npz.a"))
    for left in (old, young, other):
        left.write_bytes(b"half")
    for left in (old, other):
        os.utime(left, (1e9, 1e9))
    call("numpy, Householder", checkpoint=tmp_path / "run.npz")
    assert set(tmp_path.iterdir()) == {young, other, tmp_path / "run.npz"}


# --- when it is written -------------------------------------------------------------------------------------------


def test_ctrl_c_leaves_the_end_of_the_last_block(tmp_path, stopped_in_block):
    path = tmp_path / "run.npz"
    assert run_until_stopped(stopped_in_block, "numpy, Householder", path, 5) is None
    header, arrays = checkpoint_file.read(path)
    # blocks of 9 steps: transient 9 + 9 + 7, then two blocks that count
    assert header["runs"] == [{"position": 43, "reached": False, "steps": [9, 9]}]
    np.testing.assert_array_equal(arrays["0/growth"], whole("numpy, Householder").growth[:, :2])


def test_a_run_that_diverges_leaves_its_last_block_and_diverges_again(tmp_path):
    system = dynet.Map(lambda t, x, u, p: x * 1.5, lambda t, x, u, p: np.eye(1) * 1.5)
    errors = []
    for _ in range(2):
        with pytest.raises(dynet.DivergenceError) as caught:
            dynet.lyapunov_spectrum(system, [1.0], 3_000, checkpoint=tmp_path / "run.npz")
        errors.append(str(caught.value))
    assert checkpoint_file.read(tmp_path / "run.npz")[0]["runs"][0]["position"] > 1_000
    assert errors[0] == errors[1]


@pytest.mark.parametrize(("seconds", "n_writes"), [(0.0, 13), (1e6, 1)])
def test_it_is_written_when_its_time_has_come_and_at_the_end(seconds, n_writes, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", seconds)
    monkeypatch.setattr(checkpoint, "_SHARE", np.inf)
    monkeypatch.setattr(checkpoint_file, "write", lambda path, header, arrays: written.append(header["runs"]))
    call("numpy, Householder", checkpoint=tmp_path / "run.npz")
    assert len(written) == n_writes  # 3 blocks of the transient and 10 that count
    assert written[-1][0]["position"] == 115


def test_writes_take_only_a_small_part_of_the_time(tmp_path, monkeypatch):
    def slow(path, header, arrays):
        time.sleep(0.05)

    started = time.monotonic()
    calls = []
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(checkpoint_file, "write", lambda *a: (calls.append(1), slow(*a)))
    call("numpy, Householder", checkpoint=tmp_path / "run.npz")
    # after 0.05 s of writing one second is kept free, but the end is always written
    assert len(calls) <= 2 + (time.monotonic() - started) / 1.0


def test_a_disk_that_fills_up_does_not_cost_the_run(tmp_path, monkeypatch, stopped_in_block):
    path = tmp_path / "run.npz"
    assert run_until_stopped(stopped_in_block, "numpy, Householder", path, 5) is None
    before = path.read_bytes()

    def full(*arguments, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.warns(UserWarning, match=r"run.npz' cannot be written \(No space left on device\).*goes on"):
            result = call("numpy, Householder", checkpoint=path)
    assert_exactly_equal(result, whole("numpy, Householder"))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.npz"]


def test_a_run_goes_on_with_another_number_of_threads(tmp_path):
    n = 130  # the least at which OpenBLAS has been seen to factor differently with two threads
    system, path = networks.tanh_rnn(weights(n)), tmp_path / "run"
    with threadpool_limits(2):
        whole = dynet.lyapunov_spectrum(system, np.full(n, 0.1), 40)
        dynet.lyapunov_spectrum(system, np.full(n, 0.1), 20, checkpoint=path)
    with threadpool_limits(1):
        longer = dynet.lyapunov_spectrum(system, np.full(n, 0.1), 20, checkpoint=path)
        np.testing.assert_array_equal(dynet.lyapunov_spectrum(system, np.full(n, 0.1), 40).growth, whole.growth)
    assert longer.sizes["time"] == 10
