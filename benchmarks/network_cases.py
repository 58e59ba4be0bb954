"""Networks: tanh RNNs beside their matrix products, LSTMs, and torch tensors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from threadpoolctl import threadpool_limits

import dynet
import loops
from timing import CORES, Alternated, Row, Side, agree, figure, ratio_words

MS, US = ("ms / step", 1e3), ("us / step", 1e6)
GAIN = 1.5
#: Steps of a run: so many that blocks are as long as they are in a run of thousands.
STEPS = 250
#: Steps of the hand-written loops, which spend nothing before them.
LOOP_STEPS = 5


def _run(system: dynet.Map, x0: object, n_steps: int, **options: object) -> Side:
    """Return dynet's side; the first frame and the probe are spent once in a call and not counted."""
    inputs = options.pop("inputs", None)
    given = (lambda n: {"inputs": inputs[:n], **options}) if inputs is not None else (lambda n: options)
    return Side(
        lambda: dynet.lyapunov_spectrum(system, x0, n_steps, **given(n_steps)),
        n_steps - 1,
        lambda: dynet.lyapunov_spectrum(system, x0, 1, **given(1)),
    )


def _gemm(n: int, k: int, repetitions: int = 10) -> Side:
    """Return the product of a step alone: (n, n) by (n, k) in float64, into memory that is there."""
    rng = np.random.default_rng(3)
    W, Q, out = rng.standard_normal((n, n)), rng.standard_normal((n, k)), np.empty((n, k))

    def run() -> None:
        for _ in range(repetitions):
            np.matmul(W, Q, out=out)

    return Side(run, repetitions)


def _network(n: int, dtype: type = np.float64) -> tuple[dynet.Map, np.ndarray, np.ndarray]:
    W = np.random.default_rng(1).normal(0, GAIN / np.sqrt(n), (n, n)).astype(dtype)
    x0 = np.random.default_rng(2).standard_normal(n).astype(dtype)
    return dynet.networks.tanh_rnn(W), W, x0


def _check_network(n: int, k: int, n_steps: int = 5) -> None:
    """From the same first frame, every exponent equals those of the loops."""
    system, W, x0 = _network(n)
    first = np.eye(n)[:, :k]
    ds = dynet.lyapunov_spectrum(system, x0, n_steps, initial_frame=first)
    agree(f"tanh RNN {n}, numpy loop", ds.lyapunov_exponent, loops.numpy_loop(W, x0, first, n_steps), 1e-8)
    if loops.HAVE_LYAPYNOV and k == n:
        agree(f"tanh RNN {n}, lyapynov", ds.lyapunov_exponent, loops.lyapynov_rnn(W, x0, n_steps), 1e-8)


def rnn() -> Iterator[Row]:
    """Full spectra of tanh RNNs of 512 and 1024 units, in float64 and float32."""
    for n, limit, repetitions in ((512, 1.3, 5), (1024, 1.2, 3)):
        _check_network(n, n)
        system, W, x0 = _network(n)
        single, _, x0_single = _network(n, np.float32)
        Q = np.linalg.qr(np.random.default_rng(4).standard_normal((n, n)))[0]
        sides = {
            "float64": _run(system, x0, STEPS),
            "float32": _run(single, x0_single, STEPS),
            "one GEMM, float64": _gemm(n, n),
            "numpy loop": Side(lambda W=W, x0=x0, Q=Q: loops.numpy_loop(W, x0, Q, LOOP_STEPS), LOOP_STEPS),
        }
        if loops.HAVE_LYAPYNOV:
            sides["lyapynov"] = Side(lambda W=W, x0=x0: loops.lyapynov_rnn(W, x0, LOOP_STEPS), LOOP_STEPS)
        times = Alternated(sides, repetitions)
        name = f"tanh RNN, N = {n}, full, "
        yield times.row("rnn", name + "float64", "one GEMM, float64", MS, ours="float64", limit=limit)
        yield times.row("rnn", name + "float64", "numpy loop", MS, ours="float64", limit=0.2)
        yield times.row("rnn", name + "float64", "lyapynov", MS, ours="float64", limit=0.2)
        yield times.row("rnn", name + "float32", "one GEMM, float64", MS, ours="float32", limit=0.8)


def rnn_threads(n: int = 1024) -> Iterator[Row]:
    """The full spectrum of one large network on all cores, in wall time."""
    system, W, x0 = _network(n)
    Q = np.linalg.qr(np.random.default_rng(4).standard_normal((n, n)))[0]
    sides = {
        "dynet": _run(system, x0, STEPS),
        "dynet, one thread": _run(system, x0, STEPS),
        "numpy loop": Side(lambda: loops.numpy_loop(W, x0, Q, LOOP_STEPS), LOOP_STEPS),
    }
    threads = {name: 1 if name.endswith("one thread") else CORES for name in sides}
    times = Alternated({name: _on_threads(side, threads[name]) for name, side in sides.items()}, 3)
    for peer in ("dynet, one thread", "numpy loop"):
        yield times.row("rnn-threads", f"tanh RNN, N = {n}, full, float64, {CORES} cores, wall time", peer, MS)


def _on_threads(side: Side, count: int) -> Side:
    """Return a side that runs on so many threads and is measured in wall time."""

    def limited(call: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            with threadpool_limits(count):
                call()

        return run

    setup = None if side.setup is None else limited(side.setup)
    return Side(limited(side.run), side.steps, setup, time.perf_counter)


def rnn_leading(n: int = 2048, k: int = 64) -> Iterator[Row]:
    """Leading exponents of a large network."""
    _check_network(n, k)
    system, _, x0 = _network(n)
    times = Alternated({"dynet": _run(system, x0, STEPS, n_exponents=k), "its GEMM": _gemm(n, k)}, 5)
    yield times.row("rnn-leading", f"tanh RNN, N = {n}, k = {k}, float64", "its GEMM", MS, limit=1.2)


def rnn_small() -> Iterator[Row]:
    """Full spectra of smaller networks, in microseconds."""
    for n, limit, n_steps in ((64, 40.0, 16_000), (128, 180.0, 4_000), (256, 1_300.0, 600)):
        _check_network(n, n)
        system, _, x0 = _network(n)
        times = Alternated({"dynet": _run(system, x0, n_steps), "one GEMM, float64": _gemm(n, n, n_steps // 20)}, 5)
        name = f"tanh RNN, N = {n}, full, float64"
        yield figure("rnn-small", name, times.median("dynet") * US[1], limit, US[0])
        yield times.row("rnn-small", name, "one GEMM, float64", US)


def lstm(n_inputs: int = 16) -> Iterator[Row]:
    """One driven sequence: the full state (h, c) and the hidden state at the memories of the trajectory."""
    for n, full, hidden in ((256, 7.5, 1.5), (512, 55.0, 8.0)):
        rng = np.random.default_rng(5)
        W_hh = rng.normal(0, 1 / np.sqrt(n), (4 * n, n))
        W_xh = rng.normal(0, 1 / np.sqrt(n_inputs), (4 * n, n_inputs))
        inputs = rng.standard_normal((STEPS, n_inputs))
        sides = {
            state: _run(dynet.networks.lstm(W_hh, W_xh, state=state), None, STEPS, inputs=inputs)
            for state in ("full", "hidden")
        }
        if n == 256:
            sides["torch: vmap of jvp, qr"] = _torch_lstm(W_hh, W_xh, inputs)
        times = Alternated(sides, 3)
        for state, limit in (("full", full), ("hidden", hidden)):
            size = 2 * n if state == "full" else n
            case = f"LSTM-{n}, {state} state ({size} exponents)"
            yield figure("lstm", case, times.median(state) * MS[1], limit, MS[0])
            if state == "full" and n == 256:
                yield times.row("lstm", case, "torch: vmap of jvp, qr", MS, ours=state)


def _torch_lstm(W_hh: np.ndarray, W_xh: np.ndarray, inputs: np.ndarray, n_steps: int = 5) -> Side:
    import torch

    n = W_hh.shape[1]
    weights = torch.as_tensor(W_hh), torch.as_tensor(W_xh)
    Q = torch.eye(2 * n, dtype=torch.float64)
    rows = torch.as_tensor(inputs[:n_steps])
    ds = dynet.lyapunov_spectrum(
        dynet.networks.lstm(W_hh, W_xh), None, n_steps, inputs=inputs[:n_steps], initial_frame=np.eye(2 * n)
    )
    with torch.no_grad():
        theirs = loops.torch_lstm(*weights, rows, Q)
    agree("LSTM, torch", ds.lyapunov_exponent, theirs.numpy(), 1e-8)

    def run() -> None:
        with torch.no_grad():
            loops.torch_lstm(*weights, rows, Q)

    return Side(run, n_steps)


def torch_tensors(n_sequences: int = 10, n: int = 512, n_steps: int = STEPS) -> Iterator[Row]:
    """A batch of torch CPU tensors: what a step costs beyond its product, which is the factorisation."""
    import torch

    generator = torch.Generator().manual_seed(0)
    J = torch.randn(n_sequences, n, n, generator=generator, dtype=torch.float64) / np.sqrt(n)
    x0 = torch.ones(n_sequences, n, dtype=torch.float64)
    system = dynet.Map(lambda t, x, u, p: x, lambda t, x, u, p: p, params=J, vectorized=True)
    V, out = torch.randn(J.shape, generator=generator, dtype=torch.float64), torch.empty_like(J)
    exponents = {
        frame: dynet.lyapunov_spectrum(system, x0, LOOP_STEPS, frame=frame, check=False).sequence_exponent
        for frame in ("lu", "qr")
    }
    agree("torch tensors, LU and QR frames", exponents["lu"], exponents["qr"], 1e-8)
    sides = {
        "LU": _run(system, x0, n_steps, frame="lu", check=False),
        "torch.matmul": Side(lambda: torch.matmul(J, V, out=out), 1),
        "torch.linalg.qr": Side(lambda: torch.linalg.qr(V), 1),
    }
    times = Alternated(sides, 3)
    factorisation = times.seconds("LU") - times.seconds("torch.matmul")
    case = f"torch CPU tensors, batch {n_sequences}, N = {n}, LU factorisation"
    for name, limit in (("torch.matmul", 0.8), ("torch.linalg.qr", 0.25)):
        ratio = float(np.median(factorisation / times.seconds(name)))
        ours, peer = float(np.median(factorisation)) * MS[1], times.median(name) * MS[1]
        words, note = ratio_words(limit), "a step less one torch.matmul"
        yield Row("torch", case, ours, peer, name, MS[0], ratio, limit, words, note)
