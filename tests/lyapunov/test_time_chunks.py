"""Parallel in time: whatever the chunks, the numbers are those of the run in one piece."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

import dynet
from dynet.lyapunov import time_chunks
from dynet.lyapunov.time_chunks import ChunkedRun
from tests.compiled_systems import driven_jac, driven_step, network_jac, network_step, triangular_jac, triangular_step

spectrum = dynet.lyapunov_spectrum
zoo = dynet.zoo


W = np.random.default_rng(3).normal(0, 1.6 / 3, (9, 9))


@njit
def turning_step(t, x, u, p):
    c, s = np.cos(0.7), np.sin(0.7)
    return c * x[0] - s * x[1], s * x[0] + c * x[1], 0.5 * x[2]


@njit
def turning_jac(t, x, u, p):
    c, s = np.cos(0.7), np.sin(0.7)
    return (c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 0.5)


SYSTEMS = {
    "map of one unit": (zoo.logistic(3.9), [0.4]),
    "map": (zoo.henon(), [0.1, 0.1]),
    "flow": (zoo.lorenz63().to_map(0.02), [1.0, 2.0, 20.0]),
    "driven map": (dynet.Map(driven_step, driven_jac), [0.1, 0.2]),
    "map that returns arrays": (dynet.Map(network_step, network_jac, params=W), 0.3 * np.arange(9)),
    "turning in a plane for ever": (dynet.Map(turning_step, turning_jac), [1.0, 0.0, 1.0]),
}


@pytest.mark.parametrize("name", SYSTEMS)
@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**32 - 1),
    chunks=st.integers(2, 40),
    S=st.integers(1, 3),
    n_transient=st.sampled_from([0, 1, 37, 400]),
    n_steps=st.integers(400, 1_500),
    qr_interval=st.sampled_from([1, 3, "auto"]),
)
def test_chunks_of_time_give_the_numbers_of_one_piece(name, seed, chunks, S, n_transient, n_steps, qr_interval):
    system, x0 = SYSTEMS[name]
    random = np.random.default_rng(seed)
    n = len(x0)
    starts = np.array(x0) + 0.01 * random.uniform(-1, 1, (S, n))
    inputs = random.standard_normal((S, n_transient + n_steps, 1)) if "driven" in name else None
    frame = random.standard_normal((n, min(n, 3)))
    options = {"n_transient": n_transient, "inputs": inputs, "qr_interval": qr_interval, "initial_frame": frame}
    one = spectrum(system, starts, n_steps, check=False, **options)
    many = spectrum(system, starts, n_steps, check=False, time_chunks=chunks, **options)
    assert 1 < many.attrs["time_chunks"] <= chunks
    np.testing.assert_array_equal(many.final_state, one.final_state)
    np.testing.assert_array_equal(many.time, one.time)
    np.testing.assert_array_equal(many.duration, one.duration)
    np.testing.assert_allclose(many.growth, one.growth, rtol=0, atol=1e-7)
    np.testing.assert_allclose(many.lyapunov_exponent, one.lyapunov_exponent, rtol=0, atol=1e-9)
    assert many.attrs["overlap_error"] < 1e-9


def test_frames_that_never_forget_are_run_to_the_end_of_every_chunk():
    system, x0 = SYSTEMS["turning in a plane for ever"]
    ds = spectrum(system, x0, 4_000, time_chunks=8)
    assert ds.attrs["overlap"] >= 4_000 / 8 - 100
    assert ds.attrs["overlap_error"] == 0.0
    np.testing.assert_allclose(ds.lyapunov_exponent, [0.0, 0.0, np.log(0.5)], rtol=0, atol=1e-3)


def test_the_overlap_is_as_long_as_frames_take_to_forget():
    # the gap between the first two exponents is ln 2 a step: 1e-10 is forgotten in 33 steps
    system = dynet.Map(triangular_step, triangular_jac, params=(0.8, 0.4, 0.3))
    ds = spectrum(system, [1.0, 1.0], 20_000, time_chunks=10, qr_interval=1, check=False)
    part = ds.attrs["overlap"]
    assert 33 <= part <= 33 + 200  # looked at at the ends of parts
    assert ds.attrs["overlap_error"] < 1e-13
    np.testing.assert_allclose(ds.lyapunov_exponent, np.log([0.8, 0.4]), rtol=0, atol=1e-3)


def test_the_error_that_is_told_is_that_of_the_exponents():
    system, x0 = SYSTEMS["flow"]
    one = spectrum(system, x0, 40_000, n_transient=500, qr_interval=1)
    for agreement in (0.1, 0.3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time_chunks, "_AGREEMENT", agreement)
            many = spectrum(system, x0, 40_000, n_transient=500, qr_interval=1, time_chunks=40)
        error = float(np.abs(many.lyapunov_exponent - one.lyapunov_exponent).max())
        told = many.attrs["overlap_error"]
        assert told > 1e-9  # the frames were far from agreeing
        assert error < 10 * told


@njit
def breaking_step(t, x, u, p):
    return 0.5 * x[0], 0.5 * x[1] + (1e308 * 10 if t == 1234.0 else 0.0)


@njit
def halving_jac(t, x, u, p):
    return (0.5, 0.0), (0.0, 0.5)


@pytest.mark.parametrize("chunks", [4, 25])
def test_the_step_that_diverges_is_named_as_in_one_piece(chunks):
    system = dynet.Map(breaking_step, halving_jac)
    with pytest.raises(dynet.DivergenceError) as one:
        spectrum(system, [0.1, 0.2], 2_000)
    with pytest.raises(dynet.DivergenceError) as many:
        spectrum(system, [0.1, 0.2], 2_000, time_chunks=chunks)
    assert (many.value.step, many.value.unit, str(many.value)) == (one.value.step, one.value.unit, str(one.value))
    assert many.value.step == 1_234


def test_the_first_sequence_that_diverges_is_named():
    x0 = np.array([[0.1, 0.1], [3.0, 0.0], [0.2, 0.1], [4.0, 0.0]])
    with pytest.raises(dynet.DivergenceError, match="of sequence 1"):
        spectrum(zoo.henon(), x0, 1_000, time_chunks=5)


def test_directions_that_are_lost_are_lost_in_every_chunk():
    system = dynet.Map(triangular_step, triangular_jac, params=(0.9, 0.0, 0.2))
    ds = spectrum(system, [1.0, 1.0], 500, time_chunks=7, check=False, initial_frame=np.eye(2))
    np.testing.assert_allclose(ds.lyapunov_exponent[0], np.log(0.9), rtol=1e-12)
    assert np.isneginf(ds.growth[0, :, 1]).all()


def test_ragged_sequences_are_cut_into_chunks_too():
    random = np.random.default_rng(2)
    system, _ = SYSTEMS["driven map"]
    inputs, lengths = random.standard_normal((3, 2_000, 1)), [2_000, 900, 900]
    one = spectrum(system, [0.1, 0.2], 1_950, n_transient=50, inputs=inputs, lengths=lengths)
    many = spectrum(system, [0.1, 0.2], 1_950, n_transient=50, inputs=inputs, lengths=lengths, time_chunks=6)
    np.testing.assert_allclose(many.growth, one.growth, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(many.final_state, one.final_state)


def test_a_step_that_is_not_the_same_twice_is_refused():
    @njit
    def step(t, x, u, p):
        return (0.5 * x[0] + 0.1 * np.random.random(),)  # noqa: NPY002, the only one that numba has without an argument

    @njit
    def jac(t, x, u, p):
        return ((0.5,),)

    with pytest.raises(dynet.InputError, match="gave other states when the same steps were taken again"):
        spectrum(dynet.Map(step, jac), [0.1], 2_000, time_chunks=4, check=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"time_chunks": 0}, r"time_chunks=0: give a whole number from 1 to 100, or \"auto\""),
        ({"time_chunks": 101}, "time_chunks=101: .*holds at least 10 steps"),
        ({"time_chunks": 2.5}, "time_chunks=2.5"),
        ({"time_chunks": "many"}, "time_chunks='many'"),
        ({"time_chunks": 4, "tolerance": 0.1}, "time_chunks and tolerance"),
        ({"time_chunks": 4, "checkpoint": "run.npz"}, "time_chunks and checkpoint"),
    ],
)
def test_what_chunks_cannot_do_is_said(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(dynet.InputError, match=message):
        spectrum(zoo.henon(), [0.1, 0.1], 1_000, **arguments)


def test_only_compiled_systems_run_parallel_in_time():
    system = dynet.Map(lambda t, x, u, p: 0.5 * x, lambda t, x, u, p: 0.5 * np.eye(2))
    with pytest.raises(dynet.InputError, match="only compiled systems"):
        spectrum(system, [1.0, 1.0], 1_000, time_chunks=4)
    ds = spectrum(system, [1.0, 1.0], 1_000, time_chunks="auto")
    assert ds.attrs["time_chunks"] == 1


def test_the_automatic_number_of_chunks_leaves_short_runs_alone(monkeypatch):
    monkeypatch.setattr(time_chunks, "available_processors", lambda: 2)
    run = spectrum(zoo.henon(), [0.1, 0.1], 9_000, time_chunks="auto")
    assert run.attrs["time_chunks"] == 1
    assert "overlap" not in run.attrs
    run = spectrum(zoo.henon(), [0.1, 0.1], 60_000, time_chunks="auto")
    assert run.attrs["time_chunks"] == 12
    run = spectrum(zoo.henon(), np.full((30, 2), 0.1), 60_000, time_chunks="auto", tolerance=1.0)
    assert run.attrs["time_chunks"] == 1


def test_the_progress_bar_goes_to_the_end(monkeypatch):
    bars = []
    original = ChunkedRun._bar
    monkeypatch.setattr(ChunkedRun, "_bar", lambda self, n: bars.append(original(self, n)) or bars[-1])
    spectrum(zoo.henon(), [0.1, 0.1], 5_000, n_transient=77, time_chunks=20, progress=True)
    assert [bar.n for bar in bars] == [bar.total for bar in bars] == [5_077]


def test_parts_divide_blocks_and_are_short_beside_chunks():
    for size, chunk in ((5_000, 15_625), (1, 100), (617, 4_000), (10, 40), (360, 100_000)):
        part = time_chunks._part_length(size, chunk)
        assert size % part == 0
        assert part <= chunk


def test_chunks_ran_at_once(monkeypatch):
    runs = []
    original = ChunkedRun.finish
    monkeypatch.setattr(ChunkedRun, "finish", lambda self, *arguments: (runs.append(self), original(self, *arguments)))
    spectrum(zoo.henon(), [0.1, 0.1], 5_000, time_chunks=20)
    assert len(runs) == 1
    assert runs[0].alignment.chunks == 20
