"""Files of checkpoints: those of other calls, of others and damaged ones are refused, and never touched."""

import io
import json
import os
import pickle
import tempfile
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import dynet
from dynet.lyapunov import checkpoint, checkpoint_file

spectrum = dynet.lyapunov_spectrum
networks, zoo = dynet.networks, dynet.zoo


def states(*shape):
    return np.random.default_rng(4).standard_normal(shape)


W = np.random.default_rng(3).normal(0, 0.7, (5, 5))


def step(t, x, u, p):
    return np.tanh(W @ x)


def jac(t, x, u, p):
    return (1 - np.tanh(W @ x) ** 2)[:, None] * W


def changed_step(t, x, u, p):
    return np.tanh(W @ x) + 1e-12


def simple(path=None):
    return spectrum(dynet.Map(step, jac), np.ones(5), 90, n_exponents=2, checkpoint=path)


# --- what belongs to another run is refused -----------------------------------------------------------------------

INPUTS = 0.1 * states(2, 40, 5)
BASE = {
    "system": networks.tanh_rnn(W, np.eye(5)),
    "x0": states(2, 5),
    "n_steps": 30,
    "n_transient": 10,
    "inputs": INPUTS,
    "lengths": [40, 35],
}
SHORT = networks.tanh_rnn(W.astype(np.float32), np.eye(5, dtype=np.float32))
CHANGES = [
    ({"n_steps": 25, "inputs": INPUTS[:, :35], "lengths": [35, 30]}, "written with n_steps=30, called with 25"),
    ({"n_transient": 5, "n_steps": 35}, "written with n_transient=10, called with 5"),
    ({"n_exponents": 2}, "written with n_exponents=5, called with 2"),
    ({"qr_interval": 2}, "written with qr_interval='auto', called with 2"),
    ({"frame": "lu"}, "written with frame='qr', called with 'lu'"),
    ({"tolerance": 0.1}, "written with tolerance=None, called with 0.1"),
    ({"lengths": [40, 36]}, r"another lengths \(int64 of shape \(2,\)\)"),
    ({"x0": states(2, 5) * (1 + 1e-16) + 1e-15}, r"another x0 \(float64 of shape \(2, 5\)\)"),
    ({"inputs": INPUTS + 1e-15}, r"another inputs \(float64 of shape \(2, 40, 5\)\)"),
    ({"rng": 1}, r"another initial frame \(float64 of shape \(5, 5\)\)"),
    ({"initial_frame": np.eye(5)}, "another initial frame"),
    ({"system": networks.tanh_rnn(W + 1e-15, np.eye(5))}, r"another params \(tuple\)"),
    ({"system": networks.relu_rnn(W, np.eye(5))}, "written with step=tanh RNN, called with relu RNN"),
    ({"system": networks.gru(states(15, 5), states(15, 5))}, "step=tanh RNN, called with GRU, torch form"),
    ({"system": SHORT}, "x0=float64 of shape .* called with float32"),
    ({"system": dynet.Map(step, jac), "lengths": None}, "step=tanh RNN, called with step"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_checkpoint_of_another_call_is_refused_and_left_alone(change, message, tmp_path):
    path = tmp_path / "run.npz"
    spectrum(**BASE, checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(dynet.InputError, match=message) as caught:
        spectrum(**{**BASE, **change}, checkpoint=path)
    assert f"checkpoint='{path}' belongs to another run: written with" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "give another name, or delete the file" in str(caught.value)
    assert path.read_bytes() == before


def test_only_what_differs_is_named(tmp_path):
    path = tmp_path / "run.npz"
    call = {"x0": [0.1, 0.2], "n_steps": 500, "checkpoint": path}
    spectrum(zoo.henon(), **call)
    with pytest.raises(dynet.InputError) as caught:
        spectrum(zoo.henon(a=1.2), **call)
    old, new = (f"HenonParameters(a={a}, b=0.3)" for a in (1.4, 1.2))
    assert f"another run: written with params={old}, called with {new}. To" in str(caught.value)


def test_another_namespace_is_named(tmp_path):
    torch = pytest.importorskip("torch")
    spectrum(**BASE, checkpoint=tmp_path / "run.npz")
    system = networks.tanh_rnn(torch.tensor(W), torch.eye(5, dtype=torch.float64))
    with pytest.raises(dynet.InputError, match=r"engine='array \(numpy\)', called with 'array \(torch\)'"):
        spectrum(**{**BASE, "system": system}, checkpoint=tmp_path / "run.npz")


def test_another_step_or_time_step_is_named(tmp_path):
    system = dynet.Map(step, jac)
    spectrum(system, np.ones(5), 40, checkpoint=tmp_path / "a")
    with pytest.raises(dynet.InputError, match=r"written with step=step, called with changed_step\. "):
        spectrum(dynet.Map(changed_step, jac), np.ones(5), 40, checkpoint=tmp_path / "a")
    flow = zoo.lorenz63()
    spectrum(flow.to_map(0.01), np.ones(3), 40, checkpoint=tmp_path / "b")
    with pytest.raises(dynet.InputError, match=r"run: written with dt=0.01, called with 0.02\. "):
        spectrum(flow.to_map(0.02), np.ones(3), 40, checkpoint=tmp_path / "b")
    with pytest.raises(dynet.InputError, match=r"run: written with method=rk4, called with euler\. "):
        spectrum(flow.to_map(0.01, "euler"), np.ones(3), 40, checkpoint=tmp_path / "b")


def test_what_changes_no_number_is_not_refused(tmp_path):
    system = BASE["system"]
    whole_run = spectrum(**BASE, checkpoint=tmp_path / "run.npz")
    padded = INPUTS.copy()
    padded[1, 35:] = np.nan
    same = {
        **BASE,
        "system": dynet.Map(
            system.step, system.jac, linearize=system.linearize, params=system.params, vectorized=True,
            units=list("abcde"), time_unit="ms", like=system.like,
        ),
        "inputs": padded, "frame": "qr", "n_exponents": 5, "rng": np.random.default_rng(0), "check": False,
    }  # fmt: skip
    result = spectrum(**same, checkpoint=tmp_path / "run.npz")
    assert result.attrs["checkpoint"].startswith("complete")
    np.testing.assert_array_equal(result.growth, whole_run.growth)
    assert list(result.unit.values) == list("abcde")


@pytest.mark.parametrize(
    ("where", "name", "value", "message"),
    [
        (checkpoint, "dynet_version", lambda: "9.9", "dynet=.* called with '9.9'"),
        (checkpoint_file, "FORMAT", 99, "written in format 1 by dynet .* reads format 99"),
    ],
)
def test_a_checkpoint_of_another_version_is_refused(where, name, value, message, tmp_path, monkeypatch):
    simple(tmp_path / "run.npz")
    monkeypatch.setattr(where, name, value)
    with pytest.raises(dynet.InputError, match=message):
        simple(tmp_path / "run.npz")


def test_other_versions_of_the_libraries_are_told_and_accepted(tmp_path, monkeypatch, stopped_in_block):
    path = tmp_path / "run.npz"
    with stopped_in_block(5), pytest.raises(KeyboardInterrupt):
        simple(path)
    monkeypatch.setattr(scipy, "__version__", "0.1")
    with pytest.warns(UserWarning, match=r"written with scipy .* \(now 0\.1\): the last digits") as caught:
        result = simple(path)
    assert caught[0].filename == __file__
    xr.testing.assert_equal(result, simple())


def test_what_cannot_be_compared_is_told(tmp_path):
    lock = threading.Lock()

    def locked_step(t, x, u, p):
        with lock:
            return step(t, x, u, p)

    result = spectrum(dynet.Map(locked_step, jac), np.ones(5), 40, checkpoint=tmp_path / "run.npz")
    assert result.attrs["checkpoint_not_compared"] == "step > lock: an object of type lock (TypeError)"
    header, _ = checkpoint_file.read(tmp_path / "run.npz")
    assert header["not_compared"] == ["step > lock: an object of type lock (TypeError)"]


# --- files that cannot be used ------------------------------------------------------------------------------------


def never(t, x, u, p):
    raise AssertionError("nothing may be called before the checkpoint is looked at")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/run.npz", r"missing' cannot be written to \(No such file or directory\): give a file in a folder"),
        ("file/run.npz", r"file' cannot be written to \(Not a directory\)"),
        ("folder", "this is a folder: give the name of a file in it"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_called(name, message, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(dynet.InputError, match=message) as caught:
        spectrum(dynet.Map(never, never), [1.0], 10, checkpoint=tmp_path / name, tolerance=-1.0)
    assert "tolerance=-1.0" in str(caught.value)  # with the other faults of the call


@pytest.mark.parametrize("value", [3, True, b"run", ["run"]])
def test_things_that_are_no_file_names_are_refused(value):
    with pytest.raises(dynet.InputError, match=r"checkpoint=.*give the name of a file"):
        spectrum(dynet.Map(never, never), [1.0], 10, checkpoint=value)


def _npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _npy():
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


class Trap:
    """Pickled data that would be noticed if it were ever loaded."""

    def __reduce__(self):
        return os._exit, (99,)


FILES = {
    "empty": b"",
    "text": b"not a checkpoint",
    "pickle": pickle.dumps(Trap()),
    "array": _npy(),
    "archive of others": _npz(a=np.ones(3)),
    "archive with a header of others": _npz(header=np.frombuffer(json.dumps({"a": 1}).encode(), np.uint8)),
    "archive with pickles": _npz(header=np.array([Trap()], dtype=object)),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_of_others_are_refused_and_left_alone(kind, tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(FILES[kind])
    with pytest.raises(dynet.InputError, match=r"run.npz': this is no checkpoint that dynet wrote, or it is damaged"):
        simple(path)
    assert path.read_bytes() == FILES[kind]


@cache
def whole():
    return simple()


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_has_lost_nothing(data, stopped_in_block):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.npz"
        with stopped_in_block(5), pytest.raises(KeyboardInterrupt):
            simple(path)
        content = bytearray(path.read_bytes())
        if data.draw(st.booleans(), "cut"):
            content = content[: data.draw(st.integers(0, len(content) - 1), "length")]
        else:
            for _ in range(data.draw(st.integers(1, 3), "damages")):
                place = data.draw(st.integers(0, len(content) - 1), "place")
                content[place] ^= data.draw(st.integers(1, 255), "bits")
        path.write_bytes(content)
        try:
            result = simple(path)
        except dynet.InputError as error:
            message = str(error)
        else:  # bytes that mean nothing, such as the dates in the archive
            xr.testing.assert_equal(result, whole())
            return
    assert f"checkpoint='{path}': this is no checkpoint that dynet wrote, or it is damaged" in message


def test_counts_may_be_numpys_own(tmp_path):
    counts = {
        "n_steps": np.int64(50),
        "n_transient": np.int32(5),
        "n_exponents": np.int64(2),
        "tolerance": np.float64(9),
    }
    system = dynet.Map(step, jac)
    spectrum(system, np.ones(5), **counts, checkpoint=tmp_path / "run.npz")
    same = {name: count.item() for name, count in counts.items()}
    assert (
        spectrum(system, np.ones(5), **same, checkpoint=tmp_path / "run.npz").attrs["checkpoint"].startswith("complete")
    )
    with pytest.raises(dynet.InputError, match=r"run: written with n_transient=5, called with 6\. "):
        spectrum(system, np.ones(5), **{**counts, "n_transient": 6}, checkpoint=tmp_path / "run.npz")


def test_thousands_of_sequences_are_a_handful_of_arrays(tmp_path):
    path = tmp_path / "run.npz"
    expected = spectrum(zoo.henon(), 0.1 * np.random.default_rng(0).random((500, 2)), 200)
    again = spectrum(zoo.henon(), 0.1 * np.random.default_rng(0).random((500, 2)), 200, checkpoint=path)
    with np.load(path, allow_pickle=False) as archive:
        assert len(archive.files) < 12  # as many as for one sequence
    read = spectrum(zoo.henon(), 0.1 * np.random.default_rng(0).random((500, 2)), 200, checkpoint=path)
    for result in (again, read):
        xr.testing.assert_equal(result, expected)
