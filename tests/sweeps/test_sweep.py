"""Sweeps of functions whose values are known, serial and in threads."""

import numpy as np
import pytest
import xarray as xr
from threadpoolctl import threadpool_info

import dynet


def polynomial(a, b, rng):
    return 100 * a + b


def noisy(a, rng):
    return a + rng.standard_normal()


def kinds(a, rng):
    if a == 1:
        raise dynet.DivergenceError("it left at step 3")
    if a == 2:
        raise dynet.ConvergenceError("it went round in circles")
    if a == 3:
        return {}["missing"]
    return xr.Dataset(
        {
            "count": ("exponent", np.arange(3)),
            "flag": ((), True),
            "mode": ("exponent", [1j, 2j, 3j]),
            "kind": ((), "fixed"),
            "path": (("time", "exponent"), np.ones((50, 3))),
        },
        {"exponent": [1, 2, 3], "time": np.arange(50.0)},
        {"method": "by hand", "a": a},
    )


@pytest.mark.parametrize("client", [None, 2, "threads"])
def test_every_value_stands_at_its_point(client):
    a, b = np.array([1.0, 5.0, 2.0]), [3, -7]
    result = dynet.sweep(polynomial, {"a": a, "b": b}, n_repeats=2, client=client, progress=False)
    assert result.value.dims == ("a", "b", "repeat")
    expected = 100 * xr.DataArray(a, {"a": a}) + xr.DataArray(b, {"b": b})
    xr.testing.assert_equal(result.value.sel(repeat=1, drop=True), expected)
    assert not result.status.any()


def test_generators_depend_on_place_and_repeat_alone():
    grid = {"a": np.arange(20.0)}
    first = dynet.sweep(noisy, grid, n_repeats=3, rng=4, progress=False)
    threads = dynet.sweep(noisy, grid, n_repeats=3, rng=4, client=3, progress=False)
    xr.testing.assert_equal(first, threads)
    fewer = dynet.sweep(noisy, {"a": np.arange(7.0)}, n_repeats=2, rng=4, progress=False)
    xr.testing.assert_equal(first.sel(a=fewer.a, repeat=fewer.repeat), fewer)
    noise = (first.value - first.a).values
    assert len(np.unique(noise)) == 60
    child = np.random.default_rng(np.random.SeedSequence(4).spawn(6)[5].spawn(2)[1])
    assert noise[5, 1] == pytest.approx(child.standard_normal(), abs=1e-12)


def test_a_generator_is_used_up_and_the_same_one_gives_the_same_numbers():
    generator = np.random.default_rng(1)
    first, second = (dynet.sweep(noisy, {"a": [0.0]}, rng=generator, progress=False) for _ in range(2))
    again = dynet.sweep(noisy, {"a": [0.0]}, rng=np.random.default_rng(1), progress=False)
    assert first.value.item() == again.value.item() != second.value.item()


def test_failures_are_missing_and_told_apart():
    result = dynet.sweep(kinds, {"a": [0, 1, 2, 3]}, progress=False)
    assert result.status.values[:, 0].tolist() == [0, 1, 2, 3]
    assert result.status.dtype == np.int8
    messages = result.message.values[:, 0].tolist()
    assert messages[0] == ""
    assert messages[1:3] == ["DivergenceError: it left at step 3", "ConvergenceError: it went round in circles"]
    assert messages[3].startswith("KeyError: 'missing'")
    assert "test_sweep.py, line" in messages[3]
    for name in ("count", "flag", "mode"):
        assert np.isnan(result[name].values[1:]).all()
    assert result["count"].values[0, 0].tolist() == [0, 1, 2]
    assert result.flag.values[0, 0] == 1
    assert result.mode.values[0, 0].tolist() == [1j, 2j, 3j]
    assert result.kind.values[:, 0].tolist() == ["fixed", "", "", ""]
    assert result.exponent.values.tolist() == [1, 2, 3]
    assert result.attrs["sweep_n_failed"] == 3
    assert result.attrs["method"] == "by hand"


def test_no_failure_ends_a_sweep(tmp_path):
    class Speechless(Exception):
        def __str__(self):
            raise ValueError

    def fails(a, rng):
        if a == 1:
            raise SystemExit(3)
        if a == 2:
            raise Speechless
        raise OSError("\udcff")  # a name of a file in no encoding

    result = dynet.sweep(fails, {"a": [1, 2, 3]}, store=tmp_path / "s", progress=False)
    starts = [str(text).partition(" (")[0] for text in result.message.values[:, 0]]
    assert starts == ["SystemExit: 3", "Speechless: no message", r"OSError: \udcff"]


def test_time_is_dropped_unless_kept():
    assert "path" not in dynet.sweep(kinds, {"a": [0]}, progress=False)
    kept = dynet.sweep(kinds, {"a": [0]}, keep="path", progress=False)
    assert kept.path.dims == ("a", "repeat", "time", "exponent")
    assert (kept.path == 1).all()
    assert kept.sizes["time"] == 50
    with pytest.raises(dynet.InputError, match=r"keep='pth': .* no such variable; it has count.*path"):
        dynet.sweep(kinds, {"a": [0]}, keep="pth", progress=False)


def test_an_error_can_end_the_sweep_and_says_where_it_was():
    with pytest.raises(dynet.DivergenceError, match="left at step 3") as caught:
        dynet.sweep(kinds, {"a": [0, 1]}, on_error="raise", client=2, progress=False)
    assert caught.value.__notes__ == ["in the call of sweep with a=1, repeat 0"]


def test_short_results_are_filled_up_and_misfits_are_failures():
    def sizes(n, rng):
        if n == 9:
            return xr.Dataset({"x": ("unit", [1.0])}, {"unit": ["other"]})
        if n == 8:
            return xr.Dataset({"x": ("exponent", [1.0])})
        return xr.Dataset({"x": ("unit", np.full(n, float(n)))}, {"unit": [f"u{i}" for i in range(n)]})

    result = dynet.sweep(sizes, {"n": [2, 4, 3, 9, 8]}, progress=False)
    assert result.unit.values.tolist() == ["u0", "u1", "u2", "u3"]
    counts = np.isfinite(result.x).sum("unit").values[:, 0]
    assert counts.tolist() == [2, 4, 3, 0, 0]
    assert result.status.values[:, 0].tolist() == [0, 0, 0, 3, 3]
    assert "coordinate 'unit'" in str(result.message.values[3, 0])
    assert "dimensions ('exponent',)" in str(result.message.values[4, 0])


def test_spectra_keep_their_labels():
    def spectrum(g, rng):
        return dynet.lyapunov_spectrum(dynet.networks.random_tanh(3, g, rng=1), rng.normal(size=3), 50)

    result = dynet.sweep(spectrum, {"g": [0.5, 0.9]}, progress=False)
    alone = spectrum(0.9, np.random.default_rng(np.random.SeedSequence(0, spawn_key=(1, 0))))
    xr.testing.assert_equal(result.lyapunov_exponent.sel(g=0.9, repeat=0, drop=True), alone.lyapunov_exponent)
    assert result.lyapunov_exponent.attrs == alone.lyapunov_exponent.attrs
    assert "running_estimate" not in result
    assert result.attrs["n_steps"] == 50


def test_threads_run_with_one_thread_of_blas():
    before = threadpool_info()
    result = dynet.sweep(
        lambda a, rng: max(library["num_threads"] for library in threadpool_info()),
        {"a": range(4)},
        client=2,
        progress=False,
    )
    assert (result.value == 1).all()
    assert threadpool_info() == before


def test_time_and_size_are_told(capsys, monkeypatch):
    monkeypatch.setattr("dynet.sweeps.run._FIRST_SECONDS", 0.0)
    dynet.sweep(polynomial, {"a": range(5), "b": range(5)})
    told = capsys.readouterr().out + capsys.readouterr().err
    assert "sweep: 25 calls of about" in told
    assert "to go; the result takes 0.0002 MB" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grid": {}}, "give a mapping"),
        ({"grid": {"a": 3, "b": [1]}}, r"grid\['a'\]=3: give a list"),
        ({"grid": {"a": [1, "x"], "b": [1]}}, "list of numbers, or one of words"),
        ({"grid": {"a": [1, 1], "b": [1]}}, "holds a value twice"),
        ({"grid": {"a": [np.nan], "b": [1]}}, "a value is NaN"),
        ({"grid": {"a": [], "b": [1]}}, "at least one value"),
        ({"grid": {"a": [1], "repeat": [1]}}, "none of repeat, status"),
        ({"grid": {"a": [1]}}, "cannot be called as .*missing a required argument: 'b'"),
        ({"n_repeats": 0}, "n_repeats=0"),
        ({"rng": "seed"}, "rng='seed'"),
        ({"client": "tcp://here:8786"}, "distributed.Client"),
        ({"client": 0}, "number of threads of at least 1"),
        ({"on_error": "ignore"}, "on_error='ignore'"),
        ({"keep": [3]}, "keep="),
        ({"keep": 3}, "keep=3"),
        ({"store": 3}, "store=3"),
        ({"client": np.ones(2)}, "client=array of shape"),
    ],
)
def test_bad_input_is_named(arguments, message):
    grid = arguments.pop("grid", {"a": [1], "b": [2]})
    with pytest.raises(dynet.InputError, match=message):
        dynet.sweep(polynomial, grid, progress=False, **arguments)


def test_names_of_grid_and_result_must_differ():
    with pytest.raises(dynet.InputError, match="'exponent' is a name both"):
        dynet.sweep(lambda exponent, rng: kinds(0, rng), {"exponent": [1]}, progress=False)
