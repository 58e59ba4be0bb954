"""Sweeps on worker processes of a real cluster, some of which are killed."""

import threading
import time

import numpy as np
import pytest
import xarray as xr

import dynet
from dynet.lyapunov.workers import available_processors
from dynet.sweeps import workers


def values_of(result):
    return result.drop_vars("message").drop_attrs()


@pytest.mark.slow
def test_no_cell_is_lost_or_wrong_when_a_worker_is_killed(client, tmp_path):
    marker = tmp_path / "killed"

    def draw(a, b, rng):
        import os
        import signal

        if a == 2 and b == 1 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if a == 3 and b == 0:
            raise ZeroDivisionError("as agreed")
        return {"drawn": a + b + rng.standard_normal(), "process": os.getpid()}

    grid = {"a": range(8), "b": [0, 1]}
    result = dynet.sweep(draw, grid, n_repeats=2, rng=5, client=client, store=tmp_path / "store", progress=False)
    assert marker.exists()
    serial = dynet.sweep(draw, grid, n_repeats=2, rng=5, progress=False)
    xr.testing.assert_identical(values_of(result)[["drawn", "status"]], values_of(serial)[["drawn", "status"]])
    assert len(np.unique(result.process.values[result.status == 0])) >= 2
    assert (result.status == 3).sum() == 2
    assert "as agreed" in str(result.message.sel(a=3, b=0, repeat=0).item())


@pytest.mark.skipif(available_processors() < 2, reason="BLAS never has two threads on one processor")
def test_blas_has_one_thread_in_workers_and_gets_its_own_back(client):
    def n_threads(a, rng):
        import numpy as np
        from threadpoolctl import threadpool_info

        np.ones((2, 2)) @ np.ones((2, 2))
        return max(library["num_threads"] for library in threadpool_info())

    def blas_threads():
        from threadpoolctl import threadpool_info

        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    assert {number for numbers in client.run(blas_threads).values() for number in numbers} == {2}
    result = dynet.sweep(n_threads, {"a": range(4)}, client=client, progress=False)
    assert (result.value == 1).all()
    assert {number for numbers in client.run(blas_threads).values() for number in numbers} == {2}


@pytest.mark.slow
def test_a_cell_that_kills_every_worker_becomes_an_error(client):
    def deadly(a, rng):
        import os
        import signal
        import time

        if a == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        return a

    result = dynet.sweep(deadly, {"a": range(6)}, client=client, progress=False)
    assert result.status.values.tolist() == [[0], [0], [3], [0], [0], [0]]
    assert "worker died" in str(result.message.sel(a=2).item())


def test_what_cannot_be_sent_is_named(client):
    class Bad(Exception):
        def __init__(self, a, b):
            super().__init__(f"{a}, {b}")

    def fails(a, rng):
        raise Bad(1, 2)

    with pytest.raises(RuntimeError, match=r"Bad: 1, 2") as error:
        dynet.sweep(fails, {"a": [1]}, client=client, on_error="raise", progress=False)
    assert error.value.__notes__ == ["in the call of sweep with a=1, repeat 0"]
    lock = threading.Lock()
    with pytest.raises(dynet.InputError, match="function: it cannot be sent to the workers"):
        dynet.sweep(lambda a, rng: lock.locked(), {"a": [1]}, client=client, progress=False)


def test_a_cluster_without_workers_is_told(monkeypatch):
    class Empty:
        def nthreads(self):
            return {}

    monkeypatch.setattr(workers, "_SECONDS_BETWEEN_LOOKS", 0.01)
    with pytest.warns(UserWarning, match="the cluster has no workers") as told, workers._watched(Empty()):
        time.sleep(0.3)
    assert len(told) == 1


def test_a_scheduler_that_is_gone_ends_the_sweep():
    # as a client ends up: dask's own way there has races of its own
    distributed = pytest.importorskip("distributed")

    class Gone:
        status = "closed"

        def nthreads(self):
            return {}

        def result(self):
            raise distributed.CancelledError

    with pytest.raises(ConnectionError, match="the scheduler is gone"):
        workers.Cluster(Gone())._outcome(Gone(), distributed)


def test_a_closed_client_is_refused(client):
    with type(client)(client.scheduler.address) as connected:
        pass
    with pytest.raises(dynet.InputError, match="client: it is closed"):
        dynet.sweep(lambda a, rng: a, {"a": [1]}, client=connected)
