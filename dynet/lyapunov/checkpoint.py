"""Checkpoints: how far a spectrum has come, kept in a file from which the same call goes on exactly."""

from __future__ import annotations

import os
import platform
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dynet._labels import dynet_version
from dynet.errors import InputError
from dynet.kernels.namespace import device_of, is_numpy, namespace
from dynet.lyapunov import checkpoint_file
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.run import Progress, Run
from dynet.systems.fingerprint import Part, fingerprint, part_of

#: Seconds from one write to the next, at least.
SECONDS_BETWEEN = 5.0
#: Writes take at most this part of the time.
_SHARE = 0.05


class Identity:
    """What a checkpoint belongs to: a call, with all that its numbers depend on.

    Parameters
    ----------
    problem : Problem
        The checked call.
    n_steps, n_transient : int
    lengths : array of int (sequence,)
        Steps of each sequence, transient included.
    tolerance : float or None
    """

    def __init__(
        self, problem: Problem, *, n_steps: int, n_transient: int, lengths: np.ndarray, tolerance: float | None
    ) -> None:
        system = fingerprint(problem.system)
        values = {
            "dynet": dynet_version(),
            "python": ".".join(platform.python_version_tuple()[:2]),
            "n_steps": int(n_steps),
            "n_transient": int(n_transient),
            "lengths": None if (lengths == n_steps + n_transient).all() else lengths.astype(np.int64),
            "tolerance": None if tolerance is None else float(tolerance),
            "n_exponents": int(problem.frame.shape[1]),
            "qr_interval": problem.qr_interval or "auto",
            "frame": problem.frame_method,
            "engine": problem.engine,
            "device": str(device_of(problem.x0).get("device", "cpu")),
            "x0": problem.x0,
            "inputs": problem.inputs,
            "parameter sets": None if problem.sets is None else problem.sets.stacked,
            "initial frame": problem.frame,
        }
        self.parts = {**{name: part_of(value) for name, value in values.items()}, **system.parts}
        self.not_compared = system.unknown
        self.libraries = _libraries(problem)

    def header(self) -> dict[str, Any]:
        """Return what a file says of the call."""
        call = {name: part._asdict() for name, part in self.parts.items()}
        return {"call": call, "not_compared": self.not_compared, "libraries": self.libraries}

    def differences(self, header: dict[str, Any]) -> list[str]:
        """Return, in words, in what the call of a file differs from this one."""
        then = {name: Part(**part) for name, part in header["call"].items()}
        differences = []
        for name in sorted(then.keys() | self.parts, key=[*self.parts, *then].index):
            old, new = then.get(name), self.parts.get(name)
            if old is None or new is None:
                differences.append(f"written {'without' if old is None else 'with'} {name}")
            elif old.digest != new.digest:
                values = f"written with {name}={old.text}, called with {new.text}"
                differences.append(values if old.text != new.text else f"written with another {name} ({old.text})")
        return differences


class Checkpoint:
    """The file of one call's runs; a context: however it is left, the end of the last block is written.

    Parameters
    ----------
    path : str or path
        The file. If it is there the runs are brought to where it left them.
    identity : Identity
        The call.
    runs : list of Run
        Their block ends are kept from now on.

    Raises
    ------
    InputError
        If the file is no checkpoint, is damaged, or belongs to another call.
    """

    def __init__(self, path: str | os.PathLike[str], identity: Identity, runs: list[Run]) -> None:
        self.path, self._identity = Path(path), identity
        self._kept: list[Progress | None] = [None for _ in runs]
        self._has_advanced = self._is_unwritten = False
        self._due = time.monotonic() + SECONDS_BETWEEN
        self._found = self.path.exists()
        if self._found:
            self._resume(runs)
        self._start = sum(run.position for run in runs)
        for number, run in enumerate(runs):
            run.block_done = partial(self._keep, number, run)

    def _resume(self, runs: list[Run]) -> None:
        header, arrays = checkpoint_file.read(self.path)
        differences = self._identity.differences(header)
        if differences:
            raise InputError(
                f"checkpoint='{self.path}' belongs to another run: {'; '.join(differences)}. To continue that run "
                "make the same call again; to start a new one give another name, or delete the file"
            )
        now = self._identity.libraries
        changed = [
            f"{name} {then} (now {now[name]})" for name, then in header["libraries"].items() if then != now[name]
        ]
        if changed:
            warnings.warn(
                f"dynet: checkpoint='{self.path}' was written with {', '.join(changed)}: the last digits may differ "
                "from those of a run in one piece",
                UserWarning,
                stacklevel=4,
            )
        for number, (run, told) in enumerate(zip(runs, header["runs"], strict=True)):
            if told is not None:
                run.resume(_from_file(told, arrays, f"{number}/"))
                self._kept[number] = run.snapshot()

    def _keep(self, number: int, run: Run) -> None:
        """Keep the end of a block, and write it if the last write was long enough ago."""
        self._kept[number] = run.snapshot()
        self._has_advanced = self._is_unwritten = True
        if time.monotonic() >= self._due:
            self._write()

    def _write(self) -> None:
        start = time.monotonic()
        arrays: dict[str, np.ndarray] = {}
        told = []
        for number, progress in enumerate(self._kept):
            told.append(None if progress is None else _for_file(progress, arrays, f"{number}/"))
        try:
            checkpoint_file.write(self.path, {**self._identity.header(), "runs": told}, arrays)
        except OSError as error:  # a full disk must not cost a run of hours
            warnings.warn(
                f"dynet: checkpoint='{self.path}' cannot be written ({error.strerror or error}): the run goes on, and "
                "the file stays what it was",
                UserWarning,
                stacklevel=2,
            )
        self._is_unwritten = False
        now = time.monotonic()
        self._due = now + max(SECONDS_BETWEEN, (now - start) / _SHARE)

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_unwritten:
            self._write()

    def attrs(self) -> dict[str, str]:
        """Return what the attributes of a result say of its checkpoint."""
        said = f"continued at step {self._start}" if self._found else "written from the start"
        if self._found and not self._has_advanced:
            said = "complete: read, nothing was computed again"
        attrs = {"checkpoint": said}
        if self._identity.not_compared:
            attrs["checkpoint_not_compared"] = "; ".join(self._identity.not_compared)
        return attrs


def _libraries(problem: Problem) -> dict[str, str]:
    """Return the libraries that a run's rounding depends on, with their versions; all of them are loaded."""
    used = ["numpy", "scipy"]
    if problem.parts is not None:
        used.append("numba")
    if not is_numpy(problem.x0):
        used.append(namespace(problem.x0).__name__.rpartition(".")[2])
    return {name: str(sys.modules[name].__version__) for name in used}


def _for_file(progress: Progress, arrays: dict[str, np.ndarray], prefix: str) -> dict[str, Any]:
    """Put the arrays of a run's progress under their names and return the rest."""
    if progress.growth:
        arrays[f"{prefix}growth"] = np.stack(progress.growth, axis=1)
    arrays |= {f"{prefix}engine/{name}": array for name, array in progress.engine.items()}
    return {"position": int(progress.position), "reached": bool(progress.reached), "steps": [*map(int, progress.steps)]}


def _from_file(told: dict[str, Any], arrays: dict[str, np.ndarray], prefix: str) -> Progress:
    engine = f"{prefix}engine/"
    return Progress(
        told["position"],
        told["reached"],
        told["steps"],
        [arrays[f"{prefix}growth"][:, block] for block in range(len(told["steps"]))],
        {name[len(engine) :]: array for name, array in arrays.items() if name.startswith(engine)},
    )
