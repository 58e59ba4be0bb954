"""Norms of single Jacobians, along a run or over given states."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._progress import progress_bar
from dynet._validate import Faults
from dynet.kernels.bidiagonal import largest_singular_value
from dynet.kernels.namespace import machine_epsilon, move_like, namespace, to_numpy
from dynet.lyapunov.walk import Step, make_walk, settled, walk
from dynet.propagation.runs import (
    dense,
    groups,
    is_batched,
    mean_and_error,
    members,
    raise_not_finite,
    run_attrs,
)
from dynet.systems.map import Map
from dynet.systems.operators import transpose
from dynet.typing import ArrayLike

__all__ = ["jacobian_norms"]

#: Up to this many units all singular values cost less than iterations.
_EXACT_UP_TO = 128
_COLUMNS_AT_ONCE = 64
_MOST_STEPS = 100


def jacobian_norms(
    system: Map,
    x0: ArrayLike | None,
    n_steps: int = 1,
    *,
    method: Literal["auto", "exact", "lanczos"] = "auto",
    inputs: ArrayLike | None = None,
    n_transient: int = 0,
    progress: bool = False,
    check: bool = True,
) -> xr.Dataset:
    r"""Return norms of the Jacobian along a run, or over given states.

    The mean norm over a distribution of states tells whether gradients of a network tend to grow or to fade in one
    step; along a run, over the distribution that the network visits. A mean log spectral norm is an upper bound of
    the largest exponent.

    Parameters
    ----------
    system : Map
        Any step with its Jacobian; for a flow give ``flow.to_map(dt)``.
    x0 : array (n,) or (sequence, n), or None
        Start of each trajectory; with ``n_steps=1`` a sample of states. None means zeros, for driven networks and
        recorded Jacobians only.
    n_steps : int, default 1
        Length of the run.
    method : {"auto", "exact", "lanczos"}
        How spectral norms are found: from all singular values, or by Lanczos iteration on products with the Jacobian
        and its transpose. "auto": exact up to 128 units.
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
        ``spectral_norm(time)``, the largest gain of any perturbation, and its ``spectral_norm_residual(time)``;
        ``frobenius_norm(time)``; ``rms_gain(time)``, the root mean square gain of perturbations in all directions,
        :math:`\|J\|_F / \sqrt n`. ``time`` is that of the state. They have ``sequence`` in front if ``x0`` or
        ``inputs`` have it. ``mean(norm)`` and ``standard_error(norm)`` of "spectral", "frobenius" and "rms" over times
        and sequences, ``mean_log(norm)`` and ``log_standard_error(norm)`` of their logarithms.

    Raises
    ------
    InputError
        If an argument cannot be used.
    DivergenceError
        If the state or a Jacobian is not finite.

    Notes
    -----
    Error bars count the autocorrelation along a run as those of `lyapunov_spectrum` do; states of a sample
    (``n_steps=1``) count as independent.

    References
    ----------
    Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063; Golub & Kahan (1965), doi:10.1137/0702016.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> net = dynet.networks.tanh_rnn(np.array([[0.0, 3.0], [0.0, 0.0]]))
    >>> ds = dynet.jacobian_norms(net, [0.0, 0.0])
    >>> ds.spectral_norm.values, ds.rms_gain.values.round(6)
    (array([3.]), array([2.12132]))
    """
    faults = Faults()
    faults.choice("method", method, ("auto", "exact", "lanczos"))
    faults.raise_if_any()
    problem = make_walk(system, x0, n_steps, inputs=inputs, n_transient=n_transient, check=check)
    S, n = problem.x0.shape
    exact = method == "exact" or (method == "auto" and n <= _EXACT_UP_TO)
    norms = np.empty((3, S, n_steps))  # spectral, its residual, Frobenius
    start = np.random.default_rng(0).standard_normal((n, 1))
    with progress_bar(len(groups(problem)) * n_steps, "Jacobian norms", progress) as bar:
        for group in groups(problem):
            rows = members(problem, group)
            x = settled(problem, group, n_transient)
            for step in walk(problem, group, n_transient, n_steps, x):
                found = _exact(step, len(rows)) if exact else _iterated(step, len(rows), start)
                norms[:, rows.start : rows.stop, step.number - n_transient] = found
                bar.update(1)
    attrs = {
        "title": "Norms of the Jacobian",
        "method": "all singular values" if exact else "Lanczos bidiagonalisation",
        "references": "Pascanu, Mikolov & Bengio (2013) arXiv:1211.5063; Golub & Kahan (1965) doi:10.1137/0702016",
        **run_attrs(problem, n_steps=n_steps, n_transient=n_transient, check=check),
    }
    times = (n_transient + np.arange(n_steps)) * problem.system.dt
    independent = problem.independent or n_steps == 1
    return _label(norms, times, is_batched(problem, x0, inputs), independent, problem.system.time_unit, attrs)


def _exact(step: Step, count: int) -> np.ndarray:
    matrices, epsilon = dense(step, count)
    largest = np.linalg.norm(matrices, 2, axis=(-2, -1))
    # the residual of a backward stable decomposition
    return np.stack([largest, matrices.shape[-1] * epsilon * largest, np.linalg.norm(matrices, axis=(-2, -1))])


def _iterated(step: Step, count: int, start: np.ndarray) -> np.ndarray:
    x = step.before
    xp = namespace(x)
    n = x.shape[-1]
    batch = (count,) if x.ndim == 2 else ()

    def product(J: Any, v: np.ndarray) -> np.ndarray:
        columns = move_like(v if batch else v[0], x)
        return to_numpy(J @ columns).astype(np.float64).reshape(count, n, 1)

    squares = np.zeros(count)
    for first in range(0, n, _COLUMNS_AT_ONCE):
        columns = move_like(np.eye(n)[:, first : first + _COLUMNS_AT_ONCE], x)
        columns = xp.broadcast_to(columns, (*batch, *columns.shape))
        with np.errstate(over="ignore", invalid="ignore"):
            squares += np.sum(to_numpy(step.J @ columns).astype(np.float64) ** 2, axis=(-2, -1))
    if not np.isfinite(squares).all():
        raise_not_finite(step)
    J_T = transpose(step.J)
    v = np.broadcast_to(start, (count, n, 1))
    largest, residual = largest_singular_value(
        lambda v: product(step.J, v),
        lambda u: product(J_T, u),
        v,
        tolerance=10 * machine_epsilon(x) ** 0.75,
        most_steps=min(n, _MOST_STEPS),
    )
    return np.stack([largest, residual, np.sqrt(squares)])


def _label(
    norms: np.ndarray, times: np.ndarray, batched: bool, independent: bool, time_unit: str, attrs: dict[str, Any]
) -> xr.Dataset:
    n_lead = slice(None) if batched else 0
    lead: tuple[str, ...] = ("sequence", "time") if batched else ("time",)
    spectral, residual, frobenius = norms
    rms = frobenius / np.sqrt(attrs["n_units"])
    together = np.stack([spectral, frobenius, rms], axis=-1)
    mean, error = mean_and_error(together, independent=independent)
    with np.errstate(divide="ignore"):
        logs = np.log(together)
    mean_log, log_error = mean_and_error(logs, independent=independent)
    variables = {
        "spectral_norm": (lead, spectral[n_lead], "spectral norm of the Jacobian", "1"),
        "spectral_norm_residual": (lead, residual[n_lead], "residual of the spectral norm", "1"),
        "frobenius_norm": (lead, frobenius[n_lead], "Frobenius norm of the Jacobian", "1"),
        "rms_gain": (lead, rms[n_lead], "root mean square gain", "1"),
        "mean": (("norm",), mean, "mean over times and sequences", "1"),
        "standard_error": (("norm",), error, "standard error of the mean", "1"),
        "mean_log": (("norm",), mean_log, "mean logarithm", "nat"),
        "log_standard_error": (("norm",), log_error, "standard error of the mean logarithm", "nat"),
    }
    coords: dict[str, Any] = {
        "time": ("time", times, {"units": time_unit}),
        "norm": ["spectral", "frobenius", "rms"],
    }
    if batched:
        coords["sequence"] = np.arange(spectral.shape[0])
    return dataset(variables, coords, attrs)
