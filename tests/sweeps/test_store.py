"""Stores: what is finished stays, whatever happens to the process."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import dynet

zarr = pytest.importorskip("zarr")

SCRIPT = """
import os, signal, sys
import numpy as np
import dynet
from dynet.sweeps import store

store.SECONDS_BETWEEN = 0.0  # every cell is written at once, as those are that take longer than this
folder, client = sys.argv[1], None if sys.argv[2] == "serial" else 2

def spectrum(g, n, rng):
    with open(f"{folder}/calls", "a") as calls:
        print(g, n, file=calls)
    if g == 3.0 and n == 4 and not os.path.exists(f"{folder}/killed"):
        open(f"{folder}/killed", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    if g == 2.0 and n == 3:
        raise dynet.DivergenceError("as agreed")
    return {"radius": g * n + rng.standard_normal(), "word": f"{g:.1f}"}

grid = {"g": [1.0, 2.0, 3.0, 4.0], "n": [3, 4]}
result = dynet.sweep(spectrum, grid, n_repeats=2, rng=7, client=client, store=f"{folder}/store", progress=False)
whole = dynet.sweep(spectrum, grid, n_repeats=2, rng=7, progress=False)
assert result.drop_attrs().identical(whole.drop_attrs()), (result, whole)
assert (result.status == 0).sum() == 14
"""


@pytest.mark.parametrize("client", ["serial", pytest.param("threads", marks=pytest.mark.slow)])
def test_a_killed_sweep_goes_on_from_its_store(tmp_path, client):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), client]
    killed = subprocess.run(command, check=False)
    assert killed.returncode == -9
    first = len((tmp_path / "calls").read_text().splitlines())
    status = zarr.open_group(tmp_path / "store", mode="r")["status"][...]
    finished = (status >= 0).sum()
    if client == "serial":
        assert (first, finished) == (11, 10)
        assert (status == 1).sum() == 2
    subprocess.run(command, check=True)
    # 16 calls of the whole, and those that the killed process had not finished
    second = len((tmp_path / "calls").read_text().splitlines()) - first
    assert second == 16 + 16 - finished


def test_finished_cells_are_not_run_again_but_errors_are(tmp_path):
    def sometimes(a, calls_file, rng):
        with open(calls_file, "a") as file:
            print(a, file=file)
        if a == 2:
            raise OSError("the disk is away")
        return xr.Dataset({"x": ("unit", np.arange(a + 1.0))}, {"unit": ("unit", [f"u{i}" for i in range(a + 1)])})

    grid = {"a": [0, 1, 2, 3], "calls_file": [str(tmp_path / "calls")]}
    first = dynet.sweep(sometimes, grid, store=tmp_path / "s", progress=False)
    again = dynet.sweep(sometimes, grid, store=tmp_path / "s", progress=False)
    xr.testing.assert_identical(first, again)
    calls = (tmp_path / "calls").read_text().split()
    assert calls == ["0", "1", "2", "3", "2"]


def test_a_thousand_cells_of_which_every_twentieth_fails(tmp_path):
    def cell(a, b, rng):
        if (7 * a + b) % 20 == 0:
            raise dynet.DivergenceError("every twentieth")
        return a * 1000 + b

    grid = {"a": range(40), "b": range(25)}
    result = dynet.sweep(cell, grid, client=2, progress=False)
    a, b = xr.DataArray(range(40), dims="a"), xr.DataArray(range(25), dims="b")
    fails = (7 * a + b) % 20 == 0
    assert int(fails.sum()) == 50
    np.testing.assert_array_equal(result.status[..., 0], fails)
    np.testing.assert_array_equal(result.value[..., 0], (a * 1000 + b).where(~fails))


def test_xarray_reads_a_store(tmp_path):
    def cell(a, rng):
        return xr.Dataset({"x": ("unit", [1.0 * a, 2.0])}, {"unit": ["u", "v"], "layer": ("unit", [0, 1])})

    result = dynet.sweep(cell, {"a": [1, 2]}, store=tmp_path / "s", progress=False)
    with xr.open_zarr(tmp_path / "s", consolidated=False, chunks=None) as opened:
        np.testing.assert_array_equal(opened.x, result.x)
        np.testing.assert_array_equal(opened.a, result.a)
        assert opened.unit.values.tolist() == ["u", "v"]
        assert opened.status.dims == ("a", "repeat")


def one(a, b=1, *, rng):
    return float(a)


def other(a, b=1, *, rng):
    return float(a) + 1


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (other, {}, r"written with function=.*\.one, called with .*\.other"),
        (one, {"grid": {"a": [1, 3], "b": [1]}}, r"written with grid\['a'\]=\[1, 2\], called with \[1, 3\]"),
        (one, {"rng": 1}, r"written with rng='0', called with '1'"),
        (one, {"n_repeats": 2}, "written with n_repeats=1, called with 2"),
        (one, {"keep": "x"}, "written with keep="),
        # places in the store, and generators, follow the order of the dimensions
        (one, {"grid": {"b": [1], "a": [1, 2]}}, "written with dimensions='a, b', called with 'b, a'"),
    ],
)
def test_the_store_of_another_sweep_is_refused(tmp_path, function, arguments, message):
    dynet.sweep(one, {"a": [1, 2], "b": [1]}, store=tmp_path / "s", progress=False)
    arguments = {"grid": {"a": [1, 2], "b": [1]}, **arguments}
    with pytest.raises(dynet.InputError, match=rf"(?s)store='.*s' belongs to another sweep: {message}"):
        dynet.sweep(function, arguments.pop("grid"), store=tmp_path / "s", progress=False, **arguments)


@pytest.mark.parametrize("fails", ["the layout", "the first group"])
def test_a_process_killed_while_it_makes_room_leaves_a_good_store(tmp_path, monkeypatch, fails):
    def longer(a, rng):
        return xr.Dataset({"x": ("unit", np.full(a, rng.standard_normal()))}, {"unit": np.arange(a)})

    def killed(self, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("dynet.sweeps.store.SECONDS_BETWEEN", 0.0)
    if fails == "the layout":  # an array has grown, but nothing says so yet
        plain = zarr.core.attributes.Attributes.__setitem__

        def second(self, key, value):
            return killed(self) if '"unit": 2' in value else plain(self, key, value)

        with monkeypatch.context() as patch:
            patch.setattr(zarr.core.attributes.Attributes, "__setitem__", second)
            with pytest.raises(KeyboardInterrupt):
                dynet.sweep(longer, {"a": [1, 2]}, store=tmp_path / "s", progress=False)
        assert zarr.open_group(tmp_path / "s", mode="r")["x"].shape == (2, 1, 2)
    else:
        (tmp_path / "s").mkdir()
        (tmp_path / "s" / "zarr.0.partial").touch()
    again = dynet.sweep(longer, {"a": [1, 2]}, store=tmp_path / "s", progress=False)
    xr.testing.assert_identical(again.drop_attrs(), dynet.sweep(longer, {"a": [1, 2]}, progress=False).drop_attrs())


def test_a_full_disk_is_named_and_what_was_written_stays(tmp_path, monkeypatch):
    plain, left = zarr.storage._local._put, [40]

    def put(*arguments, **settings):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return plain(*arguments, **settings)

    def cell(a, rng):
        return rng.standard_normal()

    monkeypatch.setattr("dynet.sweeps.store.SECONDS_BETWEEN", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr("zarr.storage._local._put", put)
        with pytest.raises(dynet.InputError, match=r"store='.*s': cannot be written \(No space left on device\)"):
            dynet.sweep(cell, {"a": range(20)}, store=tmp_path / "s", progress=False)
    assert 0 < (zarr.open_group(tmp_path / "s", mode="r")["status"][...] == 0).sum() < 20
    again = dynet.sweep(cell, {"a": range(20)}, store=tmp_path / "s", progress=False)
    xr.testing.assert_identical(again.drop_attrs(), dynet.sweep(cell, {"a": range(20)}, progress=False).drop_attrs())


def test_what_is_no_store_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis").write_text("mine")
    zarr.create_group(tmp_path / "group", attributes={"of": "another program"})
    for name, message in (("file", "is a file"), ("folder", "holds no zarr group"), ("group", "no store that")):
        with pytest.raises(dynet.InputError, match=rf"store='.*{name}'.*{message}"):
            dynet.sweep(one, {"a": [1]}, store=tmp_path / name, progress=False)
    assert (tmp_path / "folder" / "thesis").read_text() == "mine"


def test_a_damaged_store_is_named(tmp_path):
    dynet.sweep(one, {"a": [1, 2]}, store=tmp_path / "s", progress=False)
    (tmp_path / "s" / "value" / "zarr.json").write_text("{")
    with pytest.raises(dynet.InputError, match=r"store='.*s': damaged"):
        dynet.sweep(one, {"a": [1, 2]}, store=tmp_path / "s", progress=False)
