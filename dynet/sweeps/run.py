"""A function over a grid of parameters, with its results in one labelled Dataset."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from dynet._progress import progress_bar
from dynet._validate import Faults
from dynet.sweeps.cells import Job, Outcome
from dynet.sweeps.grid import Grid, grid_of
from dynet.sweeps.store import Store, identity
from dynet.sweeps.table import Table
from dynet.sweeps.workers import Cluster, Serial, Threads, workers_of
from dynet.typing import Rng

__all__ = ["sweep"]

#: Time after which the length of the whole is told, if as many cells as there are workers have ended.
_FIRST_SECONDS = 1.0


def sweep(
    function: Callable[..., Any],
    grid: Mapping[str, Sequence[Any]] | xr.Dataset,
    *,
    n_repeats: int = 1,
    rng: Rng = None,
    keep: str | Sequence[str] | None = None,
    client: Any = None,
    store: Any = None,
    on_error: str = "store",
    progress: bool = True,
) -> xr.Dataset:
    """Call a function at every point of a grid, and return all results as one Dataset.

    Parameters
    ----------
    function : callable
        ``function(**point, rng=child)`` with the values of one point by name and a random generator of its own. It
        returns a Dataset (any result of dynet), a DataArray, a number or a mapping of names to numbers.
    grid : mapping or Dataset
        Names of arguments and their values: every combination is a point, every name a dimension of the result. Or the
        points of `sample_points`, along the dimension ``point``.
    n_repeats : int, default 1
        Calls at every point, each with a generator of its own.
    rng : Generator or int, optional
        Root of the generators; None means ``default_rng(0)``. A call gets the child of its place in the grid and its
        repeat: the numbers depend neither on the order of the calls nor on where they run.
    keep : str or sequence of str, optional
        Variables to keep although they have a dimension ``time``; the others that have one are dropped.
    client : None, int, "threads" or distributed.Client, optional
        None: one call after another. A number, or "threads" for one a processor: threads of this process, for functions
        that spend their time in compiled code. A client of dask.distributed: workers of a ``LocalCluster`` or of a
        scheduler elsewhere. In threads and workers BLAS and OpenMP run on one thread.
    store : str, path or zarr store, optional
        Every finished call is written there. The same call of `sweep` goes on from it if it was stopped, and runs
        calls again that ended in status 3; the store of another sweep is refused.
    on_error : {"store", "raise"}, default "store"
        Whether a failed call becomes NaN with a status and a message, or ends the sweep.
    progress : bool, default True
        Show a progress bar, and after the first calls how long the rest will take and the size of the result.

    Returns
    -------
    Dataset
        The variables of the function's results with the dimensions of the grid and ``repeat`` in front,
        ``status(<grid>, repeat)`` (0 ok, 1 diverged, 2 not converged, 3 error) and ``message(<grid>, repeat)``.
        Numbers are float64 or complex128, also where they were whole numbers or flags: NaN stands for a failed call.
        Results shorter than others along a dimension are filled up with NaN if their coordinates agree as far as they
        go. Attributes of the results are kept where all agree.

    Raises
    ------
    InputError
        If an argument cannot be used, names of grid and result collide, or the store belongs to another sweep.
    ImportError
        If zarr or distributed is needed and missing (extra ``dask``).

    See Also
    --------
    sample_points : Points drawn at random.

    Examples
    --------
    >>> import dynet
    >>> def largest(a, rng):
    ...     system = dynet.zoo.henon(a=a)
    ...     return dynet.lyapunov_spectrum(system, rng.uniform(-0.1, 0.1, 2), 2_000, n_transient=100)
    >>> ds = dynet.sweep(largest, {"a": [1.2, 1.3, 1.4, 3.0]}, n_repeats=2, progress=False)
    >>> ds.lyapunov_exponent.dims, ds.status.sel(repeat=0).values.tolist()
    (('a', 'repeat', 'exponent'), [0, 0, 0, 1])
    >>> float(ds.lyapunov_exponent.sel(a=1.4, exponent=1).mean().round(1))
    0.4
    """
    points, kept, workers = _checked(function, grid, n_repeats, rng, keep, client, on_error)
    job = Job(function, kept, _entropy(rng), raises=on_error == "raise")
    table = Table(points, n_repeats, kept)
    attrs: dict[str, Any] = {
        "sweep_function": getattr(function, "__qualname__", type(function).__name__),
        "sweep_rng": " ".join(map(str, job.entropy)) if isinstance(rng, np.random.Generator) else int(rng or 0),
        "sweep_workers": f"{workers.name}, {workers.count} at once",
    }
    stored = None
    if store is not None:
        parts, unknown = identity(job, points, n_repeats)
        stored = Store(store, parts, table)
        attrs |= {"sweep_store": str(store), "sweep_store_not_compared": ", ".join(unknown) or "nothing"}
    _run(workers, job, table, stored, progress)
    failed = int((table.status > 0).sum())
    attrs |= {"sweep_n_failed": failed, "sweep_n_calls": table.status.size}
    return table.dataset(attrs)


def _run(workers: Serial | Threads | Cluster, job: Job, table: Table, store: Store | None, progress: bool) -> None:
    """Run all that is pending, and tell how it goes."""
    pending = table.pending()
    begun, told, seconds = time.perf_counter(), False, []
    outcomes = workers.run(job, table.grid, pending)
    failed = int((table.status > 0).sum())
    with progress_bar(table.status.size, "sweep", progress, unit="call") as bar:
        bar.update(table.status.size - len(pending))
        try:
            for place, outcome in outcomes:
                taken = table.add(*place, outcome)
                if taken.status and job.raises:
                    raise _named(taken, table, place)
                if store is not None:
                    store.write(*place, outcome.seconds)
                failed += taken.status > 0
                seconds.append(outcome.seconds)
                enough = len(seconds) >= 2 * workers.count and time.perf_counter() - begun > _FIRST_SECONDS
                if progress and enough and not told:
                    told = True
                    bar.write(_forecast(seconds, len(pending), workers, table))
                bar.update(1)
                if failed:
                    bar.set_postfix(failed=failed, refresh=False)
        finally:
            outcomes.close()  # type: ignore[attr-defined]  # a generator: what still runs is called off
            if store is not None:
                store.flush()


def _named(outcome: Outcome, table: Table, place: tuple[int, int]) -> BaseException:
    """Return the exception of a call, with a note that says where in the grid it was."""
    error = outcome.error or RuntimeError(outcome.message)
    point = ", ".join(f"{name}={value!r}" for name, value in table.grid.points[place[0]].items())
    error.add_note(f"in the call of sweep with {point}, repeat {place[1]}")
    return error


def _forecast(seconds: list[float], n_calls: int, workers: Serial | Threads | Cluster, table: Table) -> str:
    each = float(np.mean(seconds[-workers.count :]))  # the first ones import and compile
    rest = each * (n_calls - len(seconds)) / workers.count
    share = f", {workers.count} at once" if workers.count > 1 else ""
    return (
        f"sweep: {n_calls} calls of about {_duration(each)}{share}: about {_duration(rest)} to go; the result takes "
        f"{table.n_bytes / 1e6:.3g} MB"
    )


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.2g} s"


def _checked(
    function: Any, grid: Any, n_repeats: Any, rng: Any, keep: Any, client: Any, on_error: Any
) -> tuple[Grid, tuple[str, ...], Serial | Threads | Cluster]:
    """Return points, names to keep and workers, or raise one error that names every fault."""
    faults = Faults()
    faults.callable("function", function, "function(**point, rng=generator)")
    points = grid_of(grid, faults)
    faults.integer("n_repeats", n_repeats, 1)
    faults.choice("on_error", on_error, ("store", "raise"))
    if not (rng is None or isinstance(rng, np.random.Generator)):
        faults.integer("rng", rng, 0, why=", or a Generator")
    kept = (keep,) if isinstance(keep, str) else tuple(keep) if isinstance(keep, Iterable) else ()
    if not (keep is None or isinstance(keep, Iterable)) or not all(isinstance(name, str) for name in kept):
        faults.add("keep", keep, "give names of variables")
    workers = workers_of(client, faults)
    faults.raise_if_any()
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # functions written in C may not tell
        return points, kept, workers
    try:
        signature.bind(**points.points[0], rng=None)
    except TypeError as error:
        faults.say(
            f"function: cannot be called as function({', '.join(points.points[0])}, rng=...) ({error}): its arguments "
            f"are {signature}; a function that draws nothing takes rng too"
        )
    faults.raise_if_any()
    return points, kept, workers


def _entropy(rng: Any) -> tuple[int, ...]:
    """Return the root of all generators: a seed, or numbers drawn from a generator."""
    if isinstance(rng, np.random.Generator):
        return tuple(int(number) for number in rng.integers(2**63, size=4))
    return (int(rng or 0),)
