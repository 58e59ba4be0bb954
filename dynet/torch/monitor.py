"""The spectrum of a network while it trains, recorded epoch by epoch."""

from __future__ import annotations

import hashlib
import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from torch import nn

from dynet._labels import dynet_version
from dynet._validate import Faults, shown
from dynet.errors import InputError
from dynet.lyapunov.convergence import SEQUENCES_FOR_SCATTER
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.run import Run, blas_threads, block_size
from dynet.lyapunov.setup import make_problem
from dynet.systems.map import Map
from dynet.torch.adapter import from_module
from dynet.torch.copies import checked_dtype, evaluation_mode, first_line
from dynet.torch.journal import SUMMARIES, Journal, read_journal, training_dataset
from dynet.torch.recorded import recorded
from dynet.torch.rows import empty_row, gradient_norms, number, spectrum_row

__all__ = ["LyapunovMonitor"]

#: Steps between factorisations; the spectrum shortens them itself where the frame would be lost to rounding.
_LONGEST_INTERVAL, _FEWEST_BLOCKS = 10, 10


class LyapunovMonitor:
    """Records exponents, gradient norms and scalars after every epoch of a training, whatever happens.

    It never stops a training: what fails becomes a warning, a row of NaN and a message. It never changes one: weights,
    gradients, modes and random states of torch, numpy and Python stay as they are, bit by bit.

    Parameters
    ----------
    model : torch.nn.Module
        What is trained, in any mode; its recurrent part is read anew, in evaluation mode, at every step.
    inputs : array (sequence, time, channel) or (time, channel), or tokens
        What drives the network, the same at every epoch; raw inputs if there is an ``encode``. Five or more different
        sequences give the best error bars.
    submodule : str, optional
        Dotted name of the recurrent module, as in `from_module`.
    encode : callable, optional
        What the model does to raw inputs first, such as ``model.embedding``; called at every step, as it is then.
    n_exponents : int, default 16
        How many exponents, the leading ones; all, if the network has fewer.
    n_transient : int, default 0
        Steps of the inputs in which state and frame settle and nothing is counted.
    every : int, default 1
        Record the epochs that are multiples of it; calls of other epochs return at once.
    path : str or path, optional
        A file (``.jsonl``) to which every row is appended as soon as it is known, one JSON line each. A file that is
        there already is continued if it belongs to the same settings: a row of an epoch takes back those of the
        same and of later epochs, unless it repeats the one that is there to the last bit. `load` reads it.
    on_error : {"warn", "raise", "ignore"}, default "warn"
        What becomes of an error in `step` besides its row: "raise" is for finding its cause.
    dtype : torch.float64 or torch.float32, optional
        Dtype of the analysis; the module's own if not given. In float32 leading exponents are good to about 1e-5.

    Raises
    ------
    InputError
        Here, before the training, if an argument cannot be used or the file belongs to something else.

    Notes
    -----
    ``dynet.save(monitor.dataset, "training.nc")`` keeps the result as all others are kept. Where several processes
    train one model, let one of them alone have a monitor. A single layer is linearised at all times at once, which
    makes a step about twice as fast as a spectrum by itself.

    References
    ----------
    Vogt et al. (2022), doi:10.3389/fams.2022.818799.

    See Also
    --------
    dynet.lyapunov_spectrum : One spectrum, with everything it knows.
    dynet.plot.training_spectra : The picture.

    Examples
    --------
    >>> import torch
    >>> from dynet.torch import LyapunovMonitor
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.LSTM(2, 8, batch_first=True)
    >>> monitor = LyapunovMonitor(model, torch.randn(6, 40, 2), n_exponents=4, n_transient=10)
    >>> for epoch in range(3):
    ...     loss = model(torch.randn(5, 20, 2))[0].square().mean()
    ...     loss.backward()
    ...     monitor.step(epoch, loss=loss)
    >>> dict(monitor.dataset.lyapunov_exponent.sizes)
    {'epoch': 3, 'exponent': 4}
    >>> monitor.latest["largest"] == monitor.latest["lyapunov_exponent_1"]
    True
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        *,
        submodule: str | None = None,
        encode: Callable[[torch.Tensor], torch.Tensor] | None = None,
        n_exponents: int = 16,
        n_transient: int = 0,
        every: int = 1,
        path: str | os.PathLike[str] | None = None,
        on_error: Literal["warn", "raise", "ignore"] = "warn",
        dtype: torch.dtype | str | None = None,
    ) -> None:
        faults = Faults()
        faults.integer("every", every, 1)
        faults.integer("n_exponents", n_exponents, 1)
        faults.integer("n_transient", n_transient, 0)
        faults.choice("on_error", on_error, ("warn", "raise", "ignore"))
        checked_dtype(faults, dtype)
        faults.raise_if_any()
        if not isinstance(model, nn.Module):
            from_module(model)  # says what to give instead
        self._model, self._submodule, self._encode, self._dtype = model, submodule, encode, dtype
        self._inputs = _kept(inputs)
        self._n_transient, self._every, self._on_error = n_transient, every, on_error
        with self._undisturbed():
            system, rows = self._driven()
            T = rows.shape[-2] if rows.ndim in (2, 3) else n_transient + 1
            if n_transient >= T:
                raise InputError(f"n_transient={n_transient}: inputs has {T} rows, so nothing is left to be counted")
            self._n_steps = T - n_transient
            assert system.like is not None
            self._n_exponents = min(int(n_exponents), int(system.like.shape[-1]))
            self._interval = 1
            problem = self._problem(system, rows, check=True)
        # the scatter of sequences needs no blocks; a long one is run again as a whole where the frame was nearly lost
        scattered = problem.independent and len(problem.x0) >= SEQUENCES_FOR_SCATTER
        self._interval = max(1, min(_LONGEST_INTERVAL, self._n_steps // (1 if scattered else _FEWEST_BLOCKS)))
        self._block = 3 * self._interval if scattered else block_size(self._n_steps, self._interval)
        header = {
            "method": "growth of a tangent frame, QR",
            "system": getattr(system.step, "description", type(model).__name__),
            "n_exponents": self._n_exponents,
            "n_units": int(problem.x0.shape[-1]),
            "n_transient": n_transient,
            "n_steps": self._n_steps,
            "n_sequences": int(problem.x0.shape[0]),
            "every": every,
            "qr_interval": self._interval,
            "dt": system.dt,
            "time_unit": system.time_unit,
            "dtype": str(problem.x0.dtype).removeprefix("torch."),
            "inputs_sha256": _digest(self._inputs),
            "dynet_version": dynet_version(),
        }
        self._journal = Journal(header, None if path is None else Path(path))

    def step(self, epoch: int, **scalars: Any) -> None:
        """Record an epoch: the spectrum of the model as it is, the norms of its gradients, and numbers of one's own.

        Parameters
        ----------
        epoch : int
            Its number.
        **scalars
            Numbers, or tensors of one: ``loss=loss, accuracy=0.9``.
        """
        faults: list[str] = []
        row: dict[str, Any] = {"epoch": -1}
        try:
            row["epoch"] = _whole(epoch)
            if row["epoch"] % self._every:
                return
            row |= empty_row(self._n_exponents)
            self._attempt(faults, "the spectrum", lambda: row.update(self._measured()))
            self._attempt(faults, "gradient norms", lambda: row.update(gradient_norm=gradient_norms(self._model)))
            for name, value in scalars.items():
                self._attempt(faults, f"the scalar {name}", lambda: row["scalars"].update({name: number(name, value)}))  # noqa: B023
            row["message"] = "; ".join(faults)
            self._journal.add(row)
        except Exception as error:  # an epoch that is no number, a disk that is full: the training goes on
            if self._on_error == "raise":
                raise
            faults.append(_told("the row", error))
        if faults and self._on_error == "warn":
            warnings.warn(f"LyapunovMonitor, epoch {epoch}: {'; '.join(faults)}", UserWarning, stacklevel=2)

    @property
    def latest(self) -> dict[str, float]:
        """The last row as a flat dict of floats, as loggers take them; empty before the first."""
        row = self._journal.latest
        if row is None:
            return {}
        flat = {"epoch": float(row["epoch"]), **{name: float(row[name]) for name in SUMMARIES}}
        for name in ("lyapunov_exponent", "standard_error"):
            flat |= {f"{name}_{i}": float(value) for i, value in enumerate(row[name], 1)}
        flat |= {f"gradient_norm/{name}": float(value) for name, value in row["gradient_norm"].items()}
        return flat | row["scalars"]

    @property
    def dataset(self) -> xr.Dataset:
        """All rows as a Dataset.

        ``lyapunov_exponent(epoch, exponent)`` with ``standard_error`` and ``degrees_of_freedom``; ``largest(epoch)``,
        ``mean`` and ``variance`` with their errors (``largest_error``, ...), the last two over finite exponents;
        ``n_zero(epoch)``; ``gradient_norm(epoch, parameter)``, NaN where there is no gradient; every scalar; and
        ``message(epoch)``, empty where all went well.
        """
        return training_dataset(self._journal.header, self._journal.rows)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> xr.Dataset:
        """Return the Dataset of a file that a monitor has written, or is still writing."""
        return training_dataset(*read_journal(path))

    def _attempt(self, faults: list[str], what: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # whatever it is, the training goes on
            if self._on_error == "raise":
                raise
            faults.append(_told(what, error))

    def _problem(self, system: Map, rows: Any, *, check: bool) -> Problem:
        return make_problem(
            system,
            None,
            self._n_steps,
            inputs=rows,
            n_exponents=self._n_exponents,
            n_transient=self._n_transient,
            qr_interval=self._interval,
            frame="qr",
            check=check,
        )

    def _driven(self) -> tuple[Map, Any]:
        """Return the model as a system and the rows that drive it, encoded as the model encodes them now."""
        system = from_module(self._model, submodule=self._submodule, encode=self._encode, dtype=self._dtype)
        step: Any = system.step
        encoder = getattr(step, "encode", None)
        if encoder is None:
            return system, self._inputs
        step.encode = None
        return system, encoder(self._inputs)

    def _measured(self) -> dict[str, Any]:
        with self._undisturbed():
            system, rows = self._driven()
            problem = self._problem(recorded(system, torch.as_tensor(rows)), rows, check=False)
            run = Run(problem, self._n_transient, None, progress=False)
            with blas_threads(problem):
                run.finish(self._n_steps, self._block)
        return spectrum_row(run.blocks(), run.durations(), independent=problem.independent, dt=system.dt)

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Compute without gradients, in evaluation mode, with random states of one's own."""
        encoder = self._encode if isinstance(self._encode, nn.Module) else getattr(self._encode, "__self__", None)
        devices = sorted({p.device.index for p in self._model.parameters() if p.device.type == "cuda"})
        kinds = {p.device.type for p in self._model.parameters()}
        python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
        with ExitStack() as stack:
            stack.callback(random.setstate, python)
            stack.callback(np.random.set_state, legacy)
            stack.enter_context(torch.random.fork_rng(devices=devices))
            stack.enter_context(torch.no_grad())
            for kind in kinds:
                stack.enter_context(torch.autocast(kind, enabled=False))
            for module in (self._model, encoder):
                if isinstance(module, nn.Module):
                    stack.enter_context(evaluation_mode(module))
            yield


def _told(what: str, error: Exception) -> str:
    return f"{what} failed with {type(error).__name__}: {first_line(error)}"


def _kept(inputs: Any) -> Any:
    """Return a copy of the inputs that later changes do not reach."""
    if isinstance(inputs, torch.Tensor):
        return inputs.detach().clone()
    try:
        return np.array(inputs)
    except ValueError as error:
        raise InputError(f"inputs={shown(inputs)}: give a rectangular array of numbers or tokens") from error


def _digest(inputs: Any) -> str:
    array = inputs.cpu().numpy() if isinstance(inputs, torch.Tensor) else inputs
    return hashlib.sha256(repr((array.shape, str(array.dtype))).encode() + array.tobytes()).hexdigest()[:16]


def _whole(epoch: Any) -> int:
    """Return the number of an epoch; rows from it on are taken back, so that a slip must not pass for one."""
    number = int(epoch)
    if number != epoch or number < 0:
        raise InputError(f"epoch={epoch}: give a whole number from 0 on")
    return number
