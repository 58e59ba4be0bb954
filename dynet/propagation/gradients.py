"""Norms of the gradient of a loss against the steps that it has gone back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._progress import progress_bar
from dynet._validate import Faults, shown
from dynet.errors import InputError
from dynet.kernels.namespace import device_of, move_like, namespace, to_numpy
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.walk import make_walk, settled
from dynet.propagation.backward import Gradient, backward, forward, normalised, pulled_back
from dynet.propagation.runs import groups, is_batched, mean_and_error, members, run_attrs, window_starts
from dynet.systems.map import Map
from dynet.typing import Array, ArrayLike

__all__ = ["gradient_norms"]

REFERENCES = "Pascanu, Mikolov & Bengio (2013) arXiv:1211.5063; Vogt et al. (2022) doi:10.3389/fams.2022.818799"


def gradient_norms(
    system: Map,
    x0: ArrayLike | None,
    n_steps: int,
    *,
    loss: Callable[[Array], tuple[Any, ArrayLike]] | ArrayLike | None = None,
    n_lags: int | None = None,
    every: int | None = None,
    inputs: ArrayLike | None = None,
    n_transient: int = 0,
    progress: bool = False,
    check: bool = True,
) -> xr.Dataset:
    r"""Return the norm of the gradient of a loss at the last time with respect to earlier states.

    :math:`g_{t} = J_{t+1}^T g_{t+1}`, with the logarithm of its length kept beside it, so that nothing vanishes or
    overflows.

    Parameters
    ----------
    system : Map
        Any step with its Jacobian; for a flow give ``flow.to_map(dt)``.
    x0 : array (n,) or (sequence, n), or None
        Start of each trajectory; None means zeros, for driven networks and recorded Jacobians only.
    n_steps : int
        Length of the run.
    loss : callable or array (n,) or (sequence, n), optional
        ``loss(x) -> (value, derivative)`` of a state (n,), or the derivative itself. If not given, the root mean
        square over all losses with a gradient of length one: :math:`\|J_{t+1}^T \cdots J_T^T\|_F / \sqrt n`.
    n_lags : int, optional
        How many steps to go back; the whole run if not given.
    every : int, optional
        Put losses at several times, one every so many steps, as many as have ``n_lags`` steps before them. Without it
        there is one loss, ``n_lags`` steps after the beginning: at the end of the run unless ``n_lags`` is given.
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
        ``log_gradient_norm(lag)``, natural logarithms, with respect to the state ``lag`` steps before the loss; -inf
        where it is zero. It has ``sequence`` in front if ``x0`` or ``inputs`` have it, then ``end`` (time of the loss)
        if ``every`` is given. ``mean_log_gradient_norm(lag)`` and ``standard_error(lag)`` over all of these; sequences
        count as independent, times of the loss as correlated; inf for a single one.

    Raises
    ------
    InputError
        If an argument cannot be used: more lags than steps, a gradient of another shape, sequences that do not fit.
    DivergenceError
        If state or gradient stop being finite.

    See Also
    --------
    gradient_horizon : After how many steps it has vanished, or exploded.
    dynet.torch.gradient_norms : The same with respect to the parameters of a torch module.

    References
    ----------
    Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063; Vogt et al. (2022), doi:10.3389/fams.2022.818799.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> system = dynet.zoo.linear_map(np.diag([0.5, 2.0]))
    >>> ds = dynet.gradient_norms(system, [1.0, 1.0], 3, loss=np.array([1.0, 0.0]))
    >>> (ds.log_gradient_norm / np.log(2)).values.round(6)
    array([ 0., -1., -2., -3.])
    """
    problem = make_walk(system, x0, n_steps, inputs=inputs, n_transient=n_transient, check=check)
    S, n = problem.x0.shape
    faults = Faults()
    length = n_steps if n_lags is None else n_lags
    faults.integer("n_lags", length, 1, n_steps, f", the length of the run (n_steps = {n_steps})")
    faults.raise_if_any()
    starts = window_starts(faults, n_steps, length, every, n_transient)
    if loss is not None and not callable(loss):
        shape = tuple(getattr(loss, "shape", np.shape(loss)))
        if shape not in ((n,), (S, n)):
            faults.add("loss", loss, f"give its derivative as ({n},) or ({S}, {n}), or a function")
        elif not hasattr(loss, "detach"):
            loss = faults.real_array("loss", loss, finite=True)
    faults.raise_if_any()
    logs = np.empty((S, starts.size, length + 1))
    total = len(groups(problem)) * (int(starts[-1]) + length - n_transient)
    with progress_bar(total, "gradient norms", progress) as bar:
        for group in groups(problem):
            rows = members(problem, group)
            _run(problem, group, n_transient, starts, length, loss, logs[rows.start : rows.stop], bar)
    attrs = {
        "title": "Gradient norms",
        "method": "transposed Jacobians, lengths in logarithms",
        "references": REFERENCES,
        **run_attrs(problem, n_steps=n_steps, n_transient=n_transient, n_lags=length, every=every, check=check),
        "loss": "root mean square over unit gradients" if loss is None else "function" if callable(loss) else "given",
    }
    lead = (["sequence"] if is_batched(problem, x0, inputs) else []) + (["end"] if every is not None else [])
    return gradient_dataset(logs, (starts + length) * system.dt, lead, system.dt, system.time_unit, attrs)


def gradient_dataset(
    logs: np.ndarray, ends: np.ndarray, lead: list[str], dt: float, time_unit: str, attrs: dict[str, Any]
) -> xr.Dataset:
    """Label log gradient norms (sequence, end, lag)."""
    keep = tuple(slice(None) if name in lead else 0 for name in ("sequence", "end"))
    # sequences that are copies of each other do not scatter, and their mean is no surer for it
    differ = len({one.tobytes() for one in logs}) == len(logs)
    mean, error = mean_and_error(logs, independent=differ)
    lags = np.arange(logs.shape[-1])
    variables = {
        "log_gradient_norm": ((*lead, "lag"), logs[keep], "log norm of the gradient", "nat"),
        "mean_log_gradient_norm": (("lag",), mean, "mean log norm of the gradient", "nat"),
        "standard_error": (("lag",), error, "standard error of the mean", "nat"),
    }
    coords: dict[str, Any] = {
        "lag": ("lag", lags, {"units": "step", "long_name": "steps before the loss"}),
        "duration": ("lag", lags * dt, {"units": time_unit}),
        "end": ("end", ends, {"units": time_unit}) if "end" in lead else ends[0],
    }
    if "sequence" in lead:
        coords["sequence"] = np.arange(logs.shape[0])
    return dataset(variables, coords, attrs)


def _run(
    problem: Problem,
    group: int | slice,
    n_transient: int,
    starts: np.ndarray,
    length: int,
    loss: Any,
    logs: np.ndarray,
    bar: Any,
) -> None:
    """Fill log norms (sequence, end, lag) of the sequences of one group."""
    n_steps = int(starts[-1]) + length - n_transient
    states = forward(problem, group, n_transient, n_steps, settled(problem, group, n_transient))
    ends = {int(start) + length: number for number, start in enumerate(starts)}
    alive: dict[int, Gradient] = {}
    for step in backward(problem, group, n_transient, states, range(n_transient + n_steps - 1, n_transient - 1, -1)):
        bar.update(1)
        end = step.number + 1
        if end in ends:
            gradient = _at_loss(problem, group, loss, states[end - n_transient])
            alive[end], logs[:, ends[end], 0] = gradient, gradient.log
        for end, gradient in list(alive.items()):
            gradient = alive[end] = pulled_back(gradient, step)
            lag = end - step.number
            logs[:, ends[end], lag] = gradient.log
            if lag == length:
                del alive[end]


def _at_loss(problem: Problem, group: int | slice, loss: Any, x: Array) -> Gradient:
    """Return the gradient at the loss; isotropic losses are all the columns of the identity at once."""
    n = x.shape[-1]
    xp = namespace(x)
    if loss is None:
        identity = xp.eye(n, dtype=x.dtype, **device_of(x)) / n**0.5
        return normalised(xp.broadcast_to(identity, (*x.shape[:-1], n, n)))
    if not callable(loss):
        rows = np.broadcast_to(to_numpy(loss), problem.x0.shape)[group]
        return normalised(move_like(rows, x)[..., None])
    derivatives = [_derivative(loss, x[s, :]) for s in range(x.shape[0])] if x.ndim == 2 else [_derivative(loss, x)]
    rows = np.stack(derivatives)
    return normalised(move_like(rows if x.ndim == 2 else rows[0], x)[..., None])


def _derivative(loss: Callable[[Array], Any], x: Array) -> np.ndarray:
    """Return the derivative that a loss gives, or say what is wrong with it."""
    returned = loss(x)
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise InputError(f"loss returned {shown(type(returned).__name__)}: return the pair (value, derivative)")
    derivative = to_numpy(returned[1])
    if derivative.shape != tuple(x.shape) or derivative.dtype.kind not in "fiu" or not np.isfinite(derivative).all():
        raise InputError(
            f"loss returned a derivative {shown(derivative)}: return finite numbers of shape {tuple(x.shape)}"
        )
    return derivative
