"""Steps of LU frames under structured Jacobians, held against the dense product and a Householder frame."""

import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from dynet.kernels import structured_threads
from dynet.kernels.blas_threads import one_thread, threads_of_blas
from dynet.kernels.frames import make_frame
from dynet.kernels.lu import settle, workspace
from dynet.kernels.packed import factor, keys_of, packed_zeros
from dynet.kernels.structure import Layout
from dynet.kernels.structured import memory_for, multiply, run
from dynet.kernels.team import Team
from dynet.systems.layer_operators import GatedCell
from dynet.systems.operators import Affine, ScaledSum, Term, assemble

DTYPES = [np.float64, np.float32]


def make_sum(random, n, gates, *, diagonal, rights, dtype, batch=()):
    terms = [
        Term(
            random.uniform(0.2, 1, (*batch, n)).astype(dtype),
            (random.standard_normal((n, n)) / np.sqrt(n)).astype(dtype),
            random.uniform(0.2, 1, (*batch, n)).astype(dtype) if rights else None,
        )
        for _ in range(gates)
    ]
    return ScaledSum(*terms, diagonal=random.uniform(0, 1, (*batch, n)).astype(dtype) if diagonal else None)


def make_memory(random, n, dtype, batch=()):
    H = n // 2
    E, M = (make_sum(random, H, g, diagonal=False, rights=False, dtype=dtype, batch=batch) for g in (1, 3))
    s, f = random.uniform(0.2, 1, (2, *batch, H)).astype(dtype)
    return GatedCell(E, M, s, forget=f)


KINDS = {
    "one matrix": lambda r, n, d, b: make_sum(r, n, 1, diagonal=False, rights=False, dtype=d, batch=b),
    "between diagonals": lambda r, n, d, b: make_sum(r, n, 1, diagonal=False, rights=True, dtype=d, batch=b),
    "three gates": lambda r, n, d, b: make_sum(r, n, 3, diagonal=True, rights=False, dtype=d, batch=b),
    "leaky": lambda r, n, d, b: Affine(0.3, 0.7, make_sum(r, n, 1, diagonal=False, rights=False, dtype=d, batch=b)),
    "leaky gates": lambda r, n, d, b: Affine(0.3, 0.7, make_sum(r, n, 3, diagonal=True, rights=True, dtype=d, batch=b)),
    "memory": make_memory,
}


def growth(frame, jacobians):
    out = []
    for J in jacobians:
        frame.multiply(J)
        frame.factor()
        out.append(frame.collect())
    return np.array(out)


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("n", [2, 10, 70, 134])
@pytest.mark.parametrize("kind", KINDS)
def test_structured_steps_grow_like_dense_householder_steps(kind, n, batch):
    random = np.random.default_rng(n)
    jacobians = [KINDS[kind](random, n, np.float64, batch) for _ in range(5)]
    V = np.broadcast_to(np.linalg.qr(random.standard_normal((n, n)))[0], (*batch, n, n)).copy()
    found = growth(make_frame("lu", V.copy()), jacobians)
    expected = growth(make_frame("qr", V.copy()), [assemble(J) for J in jacobians])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    parts = Layout(batch, n, np.dtype(np.float64)).parts_of(jacobians[0])
    assert (parts.forget.size > 0) == (kind == "memory")


@pytest.mark.parametrize("kind", KINDS)
def test_float32_steps_stay_float32_and_keep_their_volumes(kind):
    random = np.random.default_rng(3)
    jacobians = [KINDS[kind](random, 40, np.float32, ()) for _ in range(4)]
    frame = make_frame("lu", np.linalg.qr(random.standard_normal((40, 40)))[0].astype(np.float32))
    found = growth(frame, jacobians)
    assert frame.basis().dtype == np.float32
    exact = [np.linalg.slogdet(assemble(J).astype(np.float64))[1] for J in jacobians]
    np.testing.assert_allclose(found.sum(axis=1), exact, rtol=0, atol=40 * 40 * np.finfo(np.float32).eps)


def test_weights_written_to_between_steps_are_followed_unless_declared_fixed():
    random = np.random.default_rng(4)
    n = 12
    W = random.standard_normal((n, n))
    frame = make_frame("lu", np.eye(n))
    found, expected = [], []
    for _ in range(4):
        found.append(growth(frame, [ScaledSum(Term(None, W))])[0].sum())
        expected.append(np.linalg.slogdet(W)[1])
        W *= random.uniform(0.5, 2, (n, n))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_a_product_that_no_factorisation_followed_is_not_lost():
    random = np.random.default_rng(5)
    jacobians = [KINDS["three gates"](random, 9, np.float64, ()) for _ in range(6)]
    frame, reference = make_frame("lu", np.eye(9)), make_frame("qr", np.eye(9))
    total = np.zeros((2, 9))
    for i, J in enumerate(jacobians):
        for which, one in enumerate((frame, reference)):
            one.multiply(J)
            if i % 2:
                one.factor()
                total[which] += one.collect()
    np.testing.assert_allclose(total[0], total[1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_snapshot_of_a_packed_frame_repeats_the_run_to_the_last_bit(batch):
    random = np.random.default_rng(6)
    jacobians = [KINDS["memory"](random, 20, np.float64, batch) for _ in range(8)]
    frame = make_frame("lu", np.broadcast_to(np.eye(20), (*batch, 20, 20)).copy())
    growth(frame, jacobians[:3])
    saved = frame.snapshot()
    first = growth(frame, jacobians[3:])
    frame.restore(saved)
    np.testing.assert_array_equal(growth(frame, jacobians[3:]), first)


def test_tensors_of_the_host_are_worked_on_where_they_lie():
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(7)
    jacobians = [KINDS["three gates"](random, 16, np.float64, ()) for _ in range(4)]
    tensors = [
        ScaledSum(
            *(Term(torch.asarray(a), torch.asarray(W)) for a, W, _ in J.terms), diagonal=torch.asarray(J.diagonal)
        )
        for J in jacobians
    ]
    frame = make_frame("lu", torch.eye(16, dtype=torch.float64))
    found = growth(frame, tensors)
    assert isinstance(frame.basis(), torch.Tensor)
    np.testing.assert_allclose(found, growth(make_frame("lu", np.eye(16)), jacobians), rtol=0, atol=1e-12)


def shared_weights(kind, random, n, dtype, batch, n_steps):
    """Return Jacobians that differ in their diagonals alone, and the same as one operator of many steps."""
    whole = KINDS[kind](random, n, dtype, (n_steps, *batch))

    def at(J, step):
        if isinstance(J, Affine):
            return Affine(J.a, J.b, at(J.parts[0], step))
        if isinstance(J, GatedCell):
            return GatedCell(at(J.E, step), at(J.M, step), J.s[step], forget=J.forget[step])
        terms = (Term(left[step], W, None if right is None else right[step]) for left, W, right in J.terms)
        return ScaledSum(*terms, diagonal=None if J.diagonal is None else J.diagonal[step])

    return [at(whole, step) for step in range(n_steps)], whole


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("n", [2, 10, 48, 134])
@pytest.mark.parametrize("kind", KINDS)
def test_many_steps_at_once_are_single_steps_to_the_last_bit(kind, n, batch, dtype):
    random = np.random.default_rng(n)
    jacobians, whole = shared_weights(kind, random, n, dtype, batch, 5)
    V = np.broadcast_to(np.linalg.qr(random.standard_normal((n, n)))[0].astype(dtype), (*batch, n, n)).copy()
    alone, together = (make_frame("lu", V.copy()) for _ in range(2))
    assert not together.runs  # the frame is not packed before its first factorisation
    for frame in (alone, together):
        growth(frame, jacobians[:1])
    expected = growth(alone, jacobians).sum(axis=0)
    assert together.runs
    assert together.run(whole, 5)
    np.testing.assert_array_equal(together.basis(), alone.basis())
    np.testing.assert_allclose(together.collect(), expected, rtol=0, atol=1e-12 if dtype == np.float64 else 1e-4)


def test_unknown_jacobians_are_left_alone():
    random = np.random.default_rng(8)
    frame = make_frame("lu", np.eye(6))
    growth(frame, [random.standard_normal((6, 6))])
    before = frame.basis()
    assert not frame.run(random.standard_normal((4, 6, 6)), 4)
    np.testing.assert_array_equal(frame.basis(), before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 8, 12, 16, 17, 31, 64, 100, 192, 193, 391])
def test_products_with_a_triangle_at_all_sizes(n, dtype):
    random = np.random.default_rng(n)
    J = make_sum(random, n, 2, diagonal=True, rights=True, dtype=dtype)
    packed = packed_zeros(n, n, np.dtype(dtype))
    packed[:, :n] = random.standard_normal((n, n))  # the upper triangle is another matrix's
    L, rows = np.tril(packed[:, :n].T, -1) + np.eye(n), random.permutation(n)
    parts = Layout((), n, np.dtype(dtype)).parts_of(J)
    kind = np.dtype(dtype)
    multiply(parts, 0, 0, packed, rows, packed, memory_for(n, n, kind), workspace(n, n, kind))
    expected = assemble(J).astype(float)[:, rows] @ L
    np.testing.assert_allclose(packed[:, :n].T, expected, rtol=0, atol=20 * n * np.finfo(dtype).eps)
    np.testing.assert_array_equal(packed[:, n:], 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("H", [1, 2, 3, 4, 5, 7, 8, 9, 12, 33, 50])
def test_products_of_cells_with_a_memory_at_all_sizes(H, dtype):
    random, n = np.random.default_rng(H), 2 * H
    J = make_memory(random, n, dtype)
    packed, target = (packed_zeros(n, n, np.dtype(dtype)) for _ in range(2))
    packed[:, :n] = random.standard_normal((n, n))
    L, rows = np.tril(packed[:, :n].T, -1) + np.eye(n), random.permutation(n)
    kind = np.dtype(dtype)
    parts = Layout((), n, kind).parts_of(J)
    multiply(parts, 0, 0, packed, rows, target, memory_for(n, H, kind), workspace(n, n, kind))
    expected = assemble(J).astype(float)[:, rows] @ L
    np.testing.assert_allclose(target[:, :n].T, expected, rtol=0, atol=20 * n * np.finfo(dtype).eps)
    np.testing.assert_array_equal(target[:, n:], 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize(("kind", "n"), [("leaky gates", 134), ("one matrix", 401), ("memory", 70)])
def test_threads_that_share_a_frame_give_the_same_numbers_bit_by_bit(kind, n, threads, dtype, monkeypatch):
    monkeypatch.setattr(structured_threads, "_WORTH_IT", 0)
    random, kind_of_numbers = np.random.default_rng(n), np.dtype(dtype)
    _, whole = shared_weights(kind, random, n, dtype, (), 3)
    parts = Layout((), n, kind_of_numbers).parts_of(whole, 3)
    start, results = random.standard_normal((n, n)), []
    for count in (1, threads):
        buffers = tuple(packed_zeros(n, n, kind_of_numbers) for _ in range(2))
        keys, rows = tuple(keys_of(one) for one in buffers), np.arange(n)
        memory = memory_for(n, parts.matrices.shape[2], kind_of_numbers, count)
        work, pivots = workspace(n, n, kind_of_numbers, count), np.empty((4, n), dtype)
        buffers[0][:, :n] = start
        factor(buffers[0], keys[0], rows, pivots[3], work)
        settle(buffers[0], work)
        given = parts, 0, buffers, keys, rows, pivots[:3], memory, work
        run(*given) if count == 1 else structured_threads.run_in_threads(*given, Team(count))
        results.append((buffers[1].copy(), rows, pivots))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_team_waits_for_all_and_hands_on_what_went_wrong():
    done = []

    def part(first, last, thread):
        if thread != 1:
            time.sleep(0.05)
            done.append(range(first, last))
        if thread == 1:
            raise ValueError("of thread 1")

    with pytest.raises(ValueError, match="of thread 1"):
        Team(3).share(part, 4, 11)
    assert sorted(map(len, done)) == [2, 3]


def test_threads_are_those_that_every_blas_is_allowed():
    with threadpool_limits(1):
        assert threads_of_blas() == 1


def test_one_thread_is_one_whatever_was_allowed_before():
    for allowed in (2, 1):
        with threadpool_limits(allowed):
            with one_thread():
                assert threads_of_blas() == 1
            assert threads_of_blas() == allowed


def test_a_team_that_gets_no_threads_does_the_work_alone(monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    done = []
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        alone = Team(3)
    alone.share(lambda first, last, thread: done.append((first, last, thread)), 2, 13)
    assert done == [(2, 13, 0)]
    done.clear()
    team = Team(3)
    monkeypatch.setattr(team._pool, "submit", refuse)
    team.share(lambda first, last, thread: done.extend(range(first, last)), 2, 13)
    assert sorted(done) == list(range(2, 13))


def test_an_interrupted_team_waits_for_all_first():
    done = []

    def part(first, last, thread):
        if thread == 0:
            raise KeyboardInterrupt
        time.sleep(0.05)
        done.append(thread)

    with pytest.raises(KeyboardInterrupt):
        Team(3).share(part, 0, 9)
    assert sorted(done) == [1, 2]
