"""Gradient norms by parameter, against the position at which their accumulation starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import xarray as xr

from dynet._labels import dataset
from dynet._progress import progress_bar
from dynet.errors import InputError
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.walk import make_walk, settled
from dynet.propagation.backward import forward, normalised
from dynet.propagation.gradients import gradient_dataset
from dynet.propagation.runs import groups, is_batched, log_length, run_attrs
from dynet.systems.map import Map
from dynet.torch.copies import first_line
from dynet.typing import ArrayLike

__all__ = ["gradient_norms"]

REFERENCES = "Pascanu, Mikolov & Bengio (2013) arXiv:1211.5063; Geadah et al. (2024) doi:10.1371/journal.pcbi.1012567"


def gradient_norms(
    system: Map,
    x0: ArrayLike | None,
    n_steps: int,
    *,
    loss: Callable[[torch.Tensor], torch.Tensor],
    inputs: ArrayLike | None = None,
    n_transient: int = 0,
    progress: bool = False,
    check: bool = True,
) -> xr.Dataset:
    """Return norms of the gradient of a loss by state and by parameter, against the steps they reach back.

    Parameters
    ----------
    system : Map
        From `from_module`, `from_cell` or `from_state_dict`, or any other map whose parameters are tensors.
    x0 : array (n,) or (sequence, n), or None
        Start of each sequence; None means zeros.
    n_steps : int
        Length of the run.
    loss : callable
        ``loss(x)`` of the states (sequence, n) after the last step: a tensor with one number, for instance
        ``lambda x: cross_entropy(head(x[:, :n_hidden]), labels)``.
    inputs : array (time, channel) or (sequence, time, channel), optional
        Input of every step, ``n_transient + n_steps`` rows.
    n_transient : int, default 0
        Steps before, in which the state settles.
    progress : bool, default False
        Show a progress bar.
    check : bool, default True
        Compare the Jacobian with a difference of the step before the run.

    Returns
    -------
    xarray.Dataset
        ``log_gradient_norm(lag)``, ``mean_log_gradient_norm(lag)`` and ``standard_error(lag)`` as in
        `dynet.gradient_norms`, ``sequence`` in front if ``x0`` or ``inputs`` have it: each sequence's share of the
        gradient. ``log_parameter_gradient_norm(parameter, lag)`` of the gradient of each parameter, accumulated over
        the last ``lag`` steps alone (-inf for none; the largest lag has the gradient that training sees), and
        ``log_contribution_norm(parameter, lag)`` of what the step ``lag`` before the end adds to it. ``position(lag)``
        is the step at which accumulation starts. Natural logarithms.

    Raises
    ------
    InputError
        If the system has no parameters that are tensors, the loss does not depend on the state, or an argument cannot
        be used.
    DivergenceError
        If the state stops being finite.

    Notes
    -----
    Reverse mode goes back step by step, with the lengths of the gradients taken out, so nothing vanishes or overflows
    and the memory is that of the states.

    References
    ----------
    Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063; Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    See Also
    --------
    dynet.gradient_norms : States of any system, many losses.
    dynet.gradient_horizon : After how many steps the gradient has vanished.

    Examples
    --------
    >>> import torch
    >>> from dynet.torch import from_module, gradient_norms
    >>> rnn = torch.nn.RNN(1, 4, batch_first=True).double()
    >>> ds = gradient_norms(from_module(rnn), None, 20, loss=lambda x: x.sum(), inputs=torch.ones(3, 20, 1))
    >>> ds.log_parameter_gradient_norm.sel(parameter="W_hh[0]").sizes
    Frozen({'lag': 21})
    """
    if not callable(loss):
        raise InputError(f"loss={type(loss).__name__}: give a function of the last states (sequence, n)")
    problem = make_walk(system, x0, n_steps, inputs=inputs, n_transient=n_transient, check=check)
    params, leaves = trainable(problem)
    states = run_states(problem, n_transient, n_steps)
    value, g = _of_loss(loss, states[-1])
    S, names = problem.x0.shape[0], list(leaves)
    logs = np.empty((S, 1, n_steps + 1))
    totals = np.full((len(names), n_steps + 1), -np.inf)
    shares = np.full((len(names), n_steps + 1), -np.inf)
    accumulated = _Accumulated(leaves)
    g, log = _split(g)
    logs[:, 0, 0] = log
    with progress_bar(n_steps, "gradient norms", progress) as bar:
        for lag in range(1, n_steps + 1):
            number = n_transient + n_steps - lag
            x = states[n_steps - lag].detach().requires_grad_()
            with torch.enable_grad():
                y = next_states(problem, number, x, params)
            pulled, here = _pulled_back(x, y, g, log, leaves)
            shares[:, lag] = here.logs()
            accumulated.add(tuple(here.sums), here.log)
            totals[:, lag] = accumulated.logs()
            g, grown = _split(pulled)
            log = log + grown
            logs[:, 0, lag] = log
            bar.update(1)
    attrs = {
        "title": "Gradient norms by parameter",
        "method": "reverse mode step by step, lengths in logarithms",
        "references": REFERENCES,
        **run_attrs(problem, n_steps=n_steps, n_transient=n_transient, n_lags=n_steps, check=check),
        "loss": value,
    }
    dt, time_unit = problem.system.dt, problem.system.time_unit
    lead = ["sequence"] if is_batched(problem, x0, inputs) else []
    end = np.array([(n_transient + n_steps) * dt])
    of_states = gradient_dataset(logs, end, lead, dt, time_unit, attrs)
    where: tuple[str, ...] = ("parameter", "lag")
    variables = {
        "log_parameter_gradient_norm": (where, totals, "log norm of the gradient over the last steps", "nat"),
        "log_contribution_norm": (where, shares, "log norm of what one step adds", "nat"),
    }
    position = n_transient + n_steps - np.arange(n_steps + 1)
    coords = {"parameter": names, "position": ("lag", position, {"long_name": "step at which accumulation starts"})}
    return of_states.merge(dataset(variables, coords, {})).assign_attrs(of_states.attrs)


def trainable(problem: Problem) -> tuple[Any, dict[str, torch.Tensor]]:
    """Return the parameters of a problem as copies that take gradients, and these by name."""
    if not isinstance(problem.x0, torch.Tensor):
        raise InputError("system has no tensors: give one from dynet.torch, such as from_module(model)")
    leaves: dict[str, torch.Tensor] = {}
    params = _with_gradients(problem.system.params, (), leaves)
    if not leaves:
        raise InputError("system has no parameters to take gradients of: give a module with weights")
    return params, leaves


def _with_gradients(params: Any, path: tuple[str, ...], leaves: dict[str, torch.Tensor]) -> Any:
    """Return a copy of the parameters whose floating tensors take gradients, and gather them by name."""
    if isinstance(params, torch.Tensor):
        if not params.is_floating_point():
            return params
        leaf = params.detach().clone().requires_grad_()
        leaves[_name(path)] = leaf
        return leaf
    if isinstance(params, dict):
        return {key: _with_gradients(value, (*path, str(key)), leaves) for key, value in params.items()}
    if isinstance(params, tuple) and hasattr(params, "_fields"):
        named = zip(params._fields, params, strict=True)
        return type(params)(*(_with_gradients(value, (*path, name), leaves) for name, value in named))
    if isinstance(params, tuple | list):
        return type(params)(_with_gradients(value, (*path, f"[{i}]"), leaves) for i, value in enumerate(params))
    return params


def _name(path: tuple[str, ...]) -> str:
    """Return the name of a parameter: its names, then the numbers of its layers."""
    words = [part for part in path if not part.startswith("[")]
    return ".".join(words) + "".join(part for part in path if part.startswith("[")) or "params"


def run_states(problem: Problem, n_transient: int, n_steps: int) -> list[torch.Tensor]:
    """Return the states (sequence, n) before each step and after the last."""
    with torch.no_grad():
        runs = [
            forward(problem, group, n_transient, n_steps, settled(problem, group, n_transient))
            for group in groups(problem)
        ]
    return runs[0] if problem.system.vectorized else [torch.stack(rows) for rows in zip(*runs, strict=True)]


def next_states(
    problem: Problem, number: int, x: torch.Tensor, params: Any, sequence: int | None = None
) -> torch.Tensor:
    """Return the states (sequence, n) after a step; of one sequence alone if its number is given."""
    system, rows = problem.system, problem.inputs
    u = x[:, :0] if rows is None else rows[:, number, :]
    if rows is not None and sequence is not None:
        u = u[sequence : sequence + 1]
    t = number * system.dt
    if system.vectorized:
        return torch.as_tensor(system.step(t, x, u, params))
    return torch.stack([system.step(t, one, row, params) for one, row in zip(x, u, strict=True)])


def _of_loss(loss: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Return value and gradient of the loss."""
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        try:
            value = loss(x)
        except Exception as error:  # whatever a user's function may raise
            raise InputError(
                f"loss failed on states of shape {tuple(x.shape)} ({x.dtype}) with {type(error).__name__}: "
                f"{first_line(error)}"
            ) from error
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        found = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise InputError(f"loss returned {found}: return a tensor with one number")
    if not value.requires_grad:
        raise InputError("loss does not depend on the state by differentiable operations: there is no gradient")
    (g,) = torch.autograd.grad(value.sum(), [x], allow_unused=True)
    if g is None or not bool(g.isfinite().all()):
        what = "does not depend on the state" if g is None else "has a gradient that is not finite"
        raise InputError(f"loss {what}: there is nothing to carry back")
    return float(value.detach()), g


def _split(g: torch.Tensor) -> tuple[torch.Tensor, np.ndarray]:
    """Return gradients (sequence, n) of unit length, and the logs of their lengths."""
    unit = normalised(g[..., None])
    return unit.direction[..., 0], unit.log


def _pulled_back(
    x: torch.Tensor, y: torch.Tensor, g: torch.Tensor, log: np.ndarray, leaves: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, _Accumulated]:
    """Return the gradients by the state before a step, in the scales of those after it, and by the parameters."""
    by_parameter, by_state = _Accumulated(leaves), torch.zeros_like(x)
    for members, top in _alike(log, g):
        weighted = g * _column(members, log - top, g)
        parts = torch.autograd.grad(y, [x, *leaves.values()], weighted, allow_unused=True, retain_graph=True)
        by_parameter.add(parts[1:], top)
        if parts[0] is not None:
            by_state += parts[0] * _column(members, top - log, g)
    return by_state, by_parameter


def _alike(logs: np.ndarray, g: torch.Tensor) -> list[tuple[np.ndarray, float]]:
    """Return groups of sequences, by masks, whose gradients can be weighted by their lengths in one dtype."""
    width = np.log(torch.finfo(g.dtype).max) / 4
    finite = np.isfinite(logs)
    top = logs[finite].max(initial=-np.inf)
    number = np.where(finite, np.floor((top - np.where(finite, logs, top)) / width), -1)
    masks = [number == one for one in np.unique(number[finite])]
    return [(mask, float(logs[mask].max())) for mask in masks]


def _column(members: np.ndarray, logs: np.ndarray, g: torch.Tensor) -> torch.Tensor:
    """Return ``exp(logs)`` of some sequences as a column, zero for the others."""
    values = np.where(members, np.exp(np.where(members, logs, 0.0)), 0.0)
    return torch.as_tensor(values, dtype=g.dtype, device=g.device)[:, None]


class _Accumulated:
    """Sums of gradients, kept as ``exp(log) sum`` with sums of order one."""

    def __init__(self, leaves: dict[str, torch.Tensor]) -> None:
        self.sums = [torch.zeros_like(leaf) for leaf in leaves.values()]
        self.log = -np.inf

    def add(self, parts: tuple[torch.Tensor | None, ...], log: float) -> None:
        """Add ``exp(log) parts``."""
        size = max((_log_norm(part) for part in parts if part is not None), default=-np.inf)
        if np.isneginf(size) or np.isneginf(log):
            return
        if log + size > self.log:
            for total in self.sums:
                total *= float(np.exp(self.log - log - size))
            self.log = log + size
        factor = float(np.exp(log + size - self.log))
        for total, part in zip(self.sums, parts, strict=True):
            if part is not None:
                total += factor * (part * float(np.exp(-size)))

    def logs(self) -> np.ndarray:
        """Return the log norms of the sums."""
        return self.log + np.array([_log_norm(total) for total in self.sums])


def _log_norm(tensor: torch.Tensor) -> float:
    return float(log_length(tensor.reshape(-1, 1)))
