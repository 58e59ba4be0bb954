"""Where the cells of a sweep run: one after another, in threads, or on a dask.distributed cluster."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from numbers import Integral
from typing import Any

from threadpoolctl import threadpool_limits

from dynet._optional import import_optional
from dynet._validate import Faults
from dynet.errors import InputError
from dynet.kernels.blas_threads import libraries_with_threads
from dynet.lyapunov.workers import available_processors
from dynet.sweeps.cells import Job, Outcome, failure
from dynet.sweeps.grid import Grid

__all__ = ["Cluster", "Serial", "Threads", "workers_of"]

#: Cell, repeat.
Place = tuple[int, int]
#: Cells handed to a scheduler at a time: enough for it to keep many workers busy.
_IN_FLIGHT = 1000
#: How often a cell is handed in again after its worker died under it as often as the scheduler allows.
_SECOND_CHANCES = 1
_SECONDS_BETWEEN_LOOKS = 30.0
_LOST = RuntimeError("the worker died whenever it ran this cell (out of memory?), or the scheduler gave the cell up")


class Serial:
    """One cell after another, in the calling thread."""

    name = "serial"
    count = 1

    def run(self, job: Job, grid: Grid, places: list[Place]) -> Iterator[tuple[Place, Outcome]]:
        """Yield every outcome as it comes."""
        for cell, repeat in places:
            yield (cell, repeat), job.run(cell, repeat, grid.points[cell])


class Threads:
    """Several cells at once in this process: for functions that spend their time in compiled code."""

    name = "threads"

    def __init__(self, count: int) -> None:
        self.count = count

    def run(self, job: Job, grid: Grid, places: list[Place]) -> Iterator[tuple[Place, Outcome]]:
        """Yield every outcome as it comes."""
        remaining = iter(places)
        # the limit on BLAS holds for the process, that on OpenMP for each thread
        with (
            threadpool_limits(1, user_api="blas"),
            ThreadPoolExecutor(self.count, "dynet-sweep", _one_openmp_thread) as pool,
        ):
            running: dict[Future[Outcome], Place] = {}
            try:
                while True:
                    for cell, repeat in islice(remaining, 2 * self.count - len(running)):
                        running[pool.submit(job.run, cell, repeat, grid.points[cell])] = (cell, repeat)
                    if not running:
                        return
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        yield running.pop(future), future.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _one_openmp_thread() -> None:
    threadpool_limits(1, user_api="openmp")


class Cluster:
    """Cells on the workers of a dask.distributed client, wherever they are."""

    name = "dask.distributed"

    def __init__(self, client: Any) -> None:
        self.client = client
        self.count = max(1, sum(client.nthreads().values()))

    def run(self, job: Job, grid: Grid, places: list[Place]) -> Iterator[tuple[Place, Outcome]]:
        """Yield every outcome as it comes; cells whose worker is gone are run again by another one."""
        distributed = import_optional("distributed", extra="dask", purpose="client")
        pickle = import_optional("cloudpickle", extra="dask", purpose="client")
        # made of bytes by a task of its own: sent once, and made again if the worker that held it is gone
        try:
            packed = pickle.dumps(job)
        except Exception as error:  # whatever the function holds
            raise InputError(
                f"function: it cannot be sent to the workers ({error}): let it make what it holds itself, or run it in "
                "threads"
            ) from error
        shared = self.client.submit(_unpacked, packed, pure=False)
        remaining = iter(places)
        running: dict[Any, Place] = {}
        chances: dict[Place, int] = {}
        finished = distributed.as_completed()

        def submit(place: Place) -> None:
            cell, repeat = place
            future = self.client.submit(_run_limited, shared, cell, repeat, grid.points[cell], pure=False)
            running[future] = place
            finished.add(future)

        watch = ExitStack()
        try:
            watch.enter_context(_watched(self.client))
            for place in islice(remaining, _IN_FLIGHT):
                submit(place)
            for future in finished:
                if future.status == "pending":  # its worker died before the result was fetched: it runs once more
                    finished.add(future)
                    continue
                place = running.pop(future)
                outcome = self._outcome(future, distributed)
                if outcome is None and chances.get(place, 0) < _SECOND_CHANCES:
                    chances[place] = chances.get(place, 0) + 1
                    submit(place)
                    continue
                yield place, outcome or failure(_LOST)
                for following in islice(remaining, 1):
                    submit(following)
        finally:
            watch.close()
            if self.client.status == "running":
                self.client.cancel([*running, shared])

    def _outcome(self, future: Any, distributed: Any) -> Outcome | None:
        """Return what came of a cell; None if the cluster gave it up."""
        try:
            outcome: Outcome = future.result()
        except (distributed.scheduler.KilledWorker, distributed.CancelledError) as error:
            if self.client.status != "running":
                raise ConnectionError(
                    "client: the scheduler is gone. Connect a new client and make the same call again: with store= it "
                    "goes on with what is missing"
                ) from error
            return None
        except Exception as error:  # what the cluster itself may have met, such as a module that workers do not have
            return failure(error)
        return outcome


@contextmanager
def _watched(client: Any) -> Iterator[None]:
    """Tell when a cluster has no workers, as after all of them have died: its calls wait for some, however long."""
    over = threading.Event()

    def watch() -> None:
        told = False
        while not over.wait(_SECONDS_BETWEEN_LOOKS):
            try:
                empty = not client.nthreads()
            except Exception:  # the client is about to say so itself
                return
            if empty and not told:
                warnings.warn(
                    "sweep: the cluster has no workers; the calls wait until there are some. With store= you can stop, "
                    "start workers, and make the same call again",
                    UserWarning,
                    stacklevel=1,
                )
            told = empty

    threading.Thread(target=watch, name="dynet-sweep-watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _unpacked(pickled: bytes) -> Job:
    import pickle

    job: Job = pickle.loads(pickled)  # bytes that the client of this cluster made
    return job


def _run_limited(job: Job, cell: int, repeat: int, point: dict[str, Any]) -> Outcome:
    """Run a cell on a worker, with one thread of BLAS and OpenMP."""
    with _ONE_THREAD.held(), libraries_with_threads().limit(limits=1, user_api="openmp"):
        outcome = job.run(cell, repeat, point)
    return outcome if _travels(outcome.error) else replace(outcome, error=None)


def _travels(error: BaseException | None) -> bool:
    """Tell whether an exception comes back as it was; its message does in any case."""
    pickle = import_optional("cloudpickle", extra="dask", purpose="client")
    try:
        return error is None or isinstance(pickle.loads(pickle.dumps(error)), type(error))
    except Exception:  # whatever exceptions of others hold
        return False


class _OneBlasThread:
    """A limit that several threads of a process hold at once: what it was is put back by the last of them.

    One thread of its own sets and lifts it, because threadpoolctl lets only the thread that set a limit lift it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keeper: ThreadPoolExecutor | None = None
        self._holders = 0
        self._limits = ExitStack()
        self._n_modules = 0

    def _limit(self) -> None:
        self._limits.enter_context(libraries_with_threads().limit(limits=1, user_api="blas"))
        self._n_modules = len(sys.modules)

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._lock:
            # libraries that were loaded since are not limited yet
            if self._holders == 0 or len(sys.modules) != self._n_modules:
                self._keeper = self._keeper or ThreadPoolExecutor(1, "dynet-blas")
                self._keeper.submit(self._limit).result()
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if self._holders == 0 and self._keeper is not None:
                    self._keeper.submit(self._limits.close).result()


_ONE_THREAD = _OneBlasThread()


def workers_of(client: Any, faults: Faults) -> Serial | Threads | Cluster:
    """Return where cells are to run, or note what is wrong with ``client``."""
    if client is None:
        return Serial()
    if isinstance(client, str) and client == "threads":
        return Threads(available_processors())
    if isinstance(client, Integral) and not isinstance(client, bool):
        if int(client) >= 1:
            return Threads(int(client))
        faults.add("client", client, "give a number of threads of at least 1")
        return Serial()
    if type(client).__module__.partition(".")[0] == "distributed" and hasattr(client, "submit"):
        if getattr(client, "asynchronous", False):
            raise InputError("client: this one is asynchronous: give distributed.Client(..., asynchronous=False)")
        if client.status != "running":
            raise InputError(f"client: it is {client.status}: connect a new one to the scheduler")
        return Cluster(client)
    faults.add(
        "client",
        client,
        'give None (one after another), "threads" or their number, or a distributed.Client of a cluster or the address '
        "of its scheduler",
    )
    return Serial()
