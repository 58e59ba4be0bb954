"""The largest eigenvalue of the Fisher information, and its bound by the Jacobians of the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import xarray as xr
from scipy.special import logsumexp
from torch.utils import _pytree as pytree

from dynet._labels import dataset
from dynet._progress import progress_bar
from dynet.errors import DivergenceError
from dynet.kernels.bidiagonal import largest_singular_value
from dynet.kernels.namespace import machine_epsilon, to_numpy
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.walk import make_walk
from dynet.propagation.backward import backward, normalised, pulled_back
from dynet.propagation.runs import groups, is_batched, members, run_attrs
from dynet.systems.map import Map
from dynet.torch.gradients import next_states, run_states, trainable
from dynet.typing import ArrayLike

__all__ = ["fisher_bound"]

REFERENCES = "Sokół & Park (2020) arXiv:1810.03785"
_MOST_STEPS = 60


def fisher_bound(
    system: Map,
    x0: ArrayLike | None,
    n_steps: int,
    *,
    inputs: ArrayLike | None = None,
    n_transient: int = 0,
    progress: bool = False,
    check: bool = True,
) -> xr.Dataset:
    r"""Return the largest eigenvalue of the Fisher information of the parameters, and its bound by Jacobians.

    For outputs that are the last state with Gaussian noise of variance one, the Fisher information is
    :math:`F = E[G^T G]`, with :math:`G = \partial x_T / \partial \theta = \sum_t P_t B_t`: what step t does with the
    parameters, :math:`B_t`, times the Jacobian of the last state by the state after that step, :math:`P_t`. Its largest
    eigenvalue tells how fast gradients turn in gradient descent. It cannot be larger than
    :math:`E[(\sum_t \|P_t\| \|B_t\|)^2]`, and where every step has parameters of its own (layers of a feedforward
    network) than :math:`E[\sum_t \|P_t\|^2 \|B_t\|^2]`: isometric Jacobians keep it small.

    Parameters
    ----------
    system : Map
        From `from_module`, `from_cell` or `from_state_dict`, or any other map whose parameters are tensors. All of them
        count, frozen (``requires_grad=False``) or not: the information is that of the model, not of its training.
    x0 : array (n,) or (sequence, n), or None
        Start of each sequence; None means zeros.
    n_steps : int
        Length of the run.
    inputs : array (time, channel) or (sequence, time, channel), optional
        Input of every step, ``n_transient + n_steps`` rows.
    n_transient : int, default 0
        Steps before, whose parameters do not count.
    progress : bool, default False
        Show a progress bar.
    check : bool, default True
        Compare the Jacobian with a difference of the step before the run.

    Returns
    -------
    xarray.Dataset
        ``log_largest_eigenvalue`` and ``eigenvalue_residual``, relative, of the Lanczos iteration that found it;
        ``log_bound``. ``log_jacobian_norm(lag)``, the largest log singular value of the Jacobian from the state after
        the step ``lag`` before the end to the last one, and ``log_parameter_norm(lag)`` of that step by its
        parameters, with ``sequence`` in front if ``x0`` or ``inputs`` have it. The expectation is the mean over
        sequences.

    Raises
    ------
    InputError
        If the system has no parameters that are tensors, or an argument cannot be used.
    DivergenceError
        If state or derivatives stop being finite.

    References
    ----------
    Sokół & Park (2020), Information geometry of orthogonal initializations and training, arXiv:1810.03785.

    See Also
    --------
    dynet.singular_values : All singular values of the Jacobian over any number of steps or layers.

    Examples
    --------
    >>> import torch
    >>> from dynet.torch import fisher_bound, from_module
    >>> rnn = torch.nn.RNN(1, 4, batch_first=True).double()
    >>> ds = fisher_bound(from_module(rnn), None, 10, inputs=torch.ones(3, 10, 1))
    >>> bool(ds.log_largest_eigenvalue <= ds.log_bound)
    True
    """
    problem = make_walk(system, x0, n_steps, inputs=inputs, n_transient=n_transient, check=check)
    params, leaves = trainable(problem)
    states = run_states(problem, n_transient, n_steps)
    S = problem.x0.shape[0]
    jacobians = np.empty((S, n_steps))
    by_parameters = np.empty((S, n_steps))
    used: list[set[int]] = []
    with progress_bar(2 * n_steps, "Fisher information", progress) as bar:
        for group in groups(problem):
            rows = members(problem, group)
            jacobians[rows.start : rows.stop] = _jacobian_norms(problem, group, states, n_transient, n_steps)
        bar.update(n_steps)
        for lag in range(1, n_steps + 1):
            number = n_transient + n_steps - lag
            by_parameters[:, lag - 1] = _parameter_norms(problem, number, states[n_steps - lag], params)
            used.append(_used(problem, number, states[n_steps - lag], params, leaves))
            bar.update(1)
    shared = len(set().union(*used)) < sum(map(len, used))
    parts = jacobians + by_parameters
    of_runs = 2 * logsumexp(parts, axis=1) if shared else logsumexp(2 * parts, axis=1)
    largest, residual = _largest(problem, states[0], params, n_transient, n_steps)
    lead = ("sequence",) if is_batched(problem, x0, inputs) else ()
    keep = slice(None) if lead else 0
    variables: dict[str, tuple[tuple[str, ...], Any, str, str]] = {
        "log_largest_eigenvalue": ((), largest, "log largest eigenvalue of the Fisher information", "nat"),
        "eigenvalue_residual": ((), residual, "relative residual of the eigenvalue", "1"),
        "log_bound": ((), logsumexp(of_runs) - np.log(S), "log of its bound by Jacobians", "nat"),
        "log_jacobian_norm": ((*lead, "lag"), jacobians[keep], "log norm of the Jacobian to the last state", "nat"),
        "log_parameter_norm": ((*lead, "lag"), by_parameters[keep], "log norm of a step by its parameters", "nat"),
    }
    coords: dict[str, Any] = {"lag": ("lag", np.arange(1, n_steps + 1), {"units": "step"})}
    if lead:
        coords["sequence"] = np.arange(S)
    attrs = {
        "title": "Fisher information and its bound",
        "method": "Lanczos iteration by forward and reverse mode; triangle inequality over steps",
        "references": REFERENCES,
        **run_attrs(problem, n_steps=n_steps, n_transient=n_transient, check=check),
        "parameters": "shared by the steps" if shared else "of each step its own",
    }
    return dataset(variables, coords, attrs)


def _jacobian_norms(
    problem: Problem, group: int | slice, states: list[torch.Tensor], first: int, n_steps: int
) -> np.ndarray:
    """Return log norms (sequence, lag) of the Jacobians from the state after each step to the last state."""
    of_group = [x if isinstance(group, slice) else x[group] for x in states]
    x = of_group[-1]
    identity = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device).expand(*x.shape[:-1], -1, -1)
    gradient = normalised(identity)
    logs = []
    for step in backward(problem, group, first, of_group, range(first + n_steps - 1, first - 1, -1)):
        with np.errstate(divide="ignore"):
            logs.append(gradient.log + np.log(to_numpy(torch.linalg.matrix_norm(gradient.direction, 2))))
        gradient = pulled_back(gradient, step)
    return np.stack([np.atleast_1d(log) for log in logs], axis=-1)


def _parameter_norms(problem: Problem, number: int, x: torch.Tensor, params: Any) -> np.ndarray:
    """Return log norms (sequence,) of the derivatives of one step by the parameters."""
    found = []
    for s, row in enumerate(x.detach()):

        def one_step(p: Any, row: torch.Tensor = row, s: int = s) -> torch.Tensor:
            return next_states(problem, number, row[None], p, s)

        found.append(_derivative_norm(one_step, params, row.numel())[0])
    with np.errstate(divide="ignore"):
        return np.log(found)


def _largest(problem: Problem, x: torch.Tensor, params: Any, first: int, n_steps: int) -> tuple[float, float]:
    """Return the log of the largest eigenvalue of the Fisher information, and its relative residual."""

    def last(p: Any) -> torch.Tensor:
        y = x.detach()
        for number in range(first, first + n_steps):
            y = next_states(problem, number, y, p)
        return y

    norm, residual = _derivative_norm(last, params, x.numel())
    if not np.isfinite(norm):
        raise DivergenceError("the derivatives of the last state by the parameters are not finite: take fewer steps")
    with np.errstate(divide="ignore"):
        # the eigenvalue is the square of the norm
        return float(2 * np.log(norm) - np.log(x.shape[0])), 2 * residual / norm if norm else 0.0


def _derivative_norm(function: Callable[[Any], torch.Tensor], params: Any, n: int) -> tuple[float, float]:
    """Return the spectral norm of the derivative of ``n`` numbers by all parameters, and its residual."""
    tensors, spec = pytree.tree_flatten(params)
    moving = [i for i, one in enumerate(tensors) if isinstance(one, torch.Tensor) and one.is_floating_point()]
    values = tuple(tensors[i].detach() for i in moving)

    def of_values(*values: torch.Tensor) -> torch.Tensor:
        given = list(tensors)
        for i, value in zip(moving, values, strict=True):
            given[i] = value
        return function(pytree.tree_unflatten(given, spec)).reshape(-1)

    y, pull = torch.func.vjp(of_values, *values)[:2]
    # the transpose is linear: its own transpose is the derivative, without forward-mode rules that torch may lack
    push = torch.func.vjp(pull, torch.zeros_like(y))[1]

    def transposed(u: np.ndarray) -> np.ndarray:
        return _column(pull(torch.as_tensor(u[0, :, 0], dtype=y.dtype, device=y.device)))

    def plain(v: np.ndarray) -> np.ndarray:
        pieces = np.split(v[0, :, 0], np.cumsum([value.numel() for value in values])[:-1])
        tangents = tuple(
            torch.as_tensor(piece.reshape(tuple(value.shape)), dtype=value.dtype, device=value.device)
            for piece, value in zip(pieces, values, strict=True)
        )
        return _column(push(tangents))

    start = np.random.default_rng(0).standard_normal((1, n, 1))
    tolerance = 10 * machine_epsilon(y) ** 0.75
    norm, residual = largest_singular_value(transposed, plain, start, tolerance, min(n, _MOST_STEPS))
    return float(norm[0]), float(residual[0])


def _column(parts: tuple[torch.Tensor, ...]) -> np.ndarray:
    """Return tensors as one column (1, entries, 1) in float64."""
    return np.concatenate([to_numpy(part).reshape(-1) for part in parts]).astype(np.float64)[None, :, None]


def _used(problem: Problem, number: int, x: torch.Tensor, params: Any, leaves: dict[str, torch.Tensor]) -> set[int]:
    """Return which parameters a step reads."""
    with torch.enable_grad():
        y = next_states(problem, number, x.detach(), params)
    if not y.requires_grad:
        return set()
    parts = torch.autograd.grad(y.sum(), list(leaves.values()), allow_unused=True)
    return {i for i, part in enumerate(parts) if part is not None}
