"""Eigenvalues of what a step of a recurrent network multiplies its state by, beside those of its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._progress import progress_bar
from dynet._validate import Faults, shown
from dynet.errors import InputError
from dynet.kernels.namespace import to_numpy
from dynet.lyapunov.setup import require_map
from dynet.lyapunov.walk import make_walk, settled, walk
from dynet.propagation.runs import groups, is_batched, members
from dynet.systems.adaptive import AdaptiveElman
from dynet.systems.cells import Elman
from dynet.systems.map import Map
from dynet.typing import ArrayLike

__all__ = ["recurrent_eigenvalues"]


def recurrent_eigenvalues(
    system: Map,
    x0: ArrayLike | None,
    n_steps: int,
    *,
    inputs: ArrayLike | None = None,
    n_transient: int = 0,
    every: int = 1,
    progress: bool = False,
    check: bool = True,
) -> xr.Dataset:
    r"""Return the eigenvalues of :math:`\mathrm{diag}(\gamma') W_{hh}` along a run, beside those of W_hh.

    Weights whose eigenvalues are large make a network grow only if the slopes of its units, which adaptation sets, do
    not damp them.

    Parameters
    ----------
    system : Map
        One layer of tanh, relu, gamma or adaptive units; of adaptive ones the slopes are those at the present n and s.
    x0 : array (n,) or (sequence, n), or None
        Start; None means zeros, for driven networks only.
    n_steps : int
        Length of the run.
    inputs : array (time, channel) or (sequence, time, channel), optional
        Input of every step, ``n_transient + n_steps`` rows.
    n_transient : int, default 0
        Steps before, in which the state settles.
    every : int, default 1
        Take the eigenvalues of every so manyth step.
    progress : bool, default False
        Show a progress bar.
    check : bool, default True
        Compare the Jacobian with a difference of the step before the run.

    Returns
    -------
    xarray.Dataset
        ``eigenvalue(time, index)``, complex, of decreasing modulus, and ``spectral_radius(time)``, with ``sequence``
        in front if ``x0`` or ``inputs`` have it; ``weight_eigenvalue(index)`` and ``weight_spectral_radius`` of W_hh;
        ``backward_error``, relative to the norm: the eigenvalues are those of a matrix that is so near.

    Raises
    ------
    InputError
        If the system is another one, or an argument cannot be used.
    DivergenceError
        If the state stops being finite.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    Examples
    --------
    >>> import dynet
    >>> net = dynet.networks.gamma_rnn([[0.9]], n=5.0, s=0.3)
    >>> ds = dynet.recurrent_eigenvalues(net, [0.5], 1, n_transient=100)
    >>> float(ds.weight_spectral_radius), float(ds.spectral_radius[0].round(6))
    (0.9, 0.648239)
    """
    recurrence = getattr(require_map(system).step, "recurrence", None)
    cells: tuple[Any, ...] = () if recurrence is None else recurrence.cells
    cell = cells[0] if len(cells) == 1 else None
    if not (isinstance(cell, AdaptiveElman) or (isinstance(cell, Elman) and cell.form == "outside")):
        raise InputError(
            f"system={shown(getattr(cell, 'name', type(system.step).__name__))}: give one layer of tanh, relu, gamma "
            "or adaptive units"
        )
    faults = Faults()
    faults.integer("every", every, 1)
    faults.raise_if_any()
    problem = make_walk(system, x0, n_steps, inputs=inputs, n_exponents=1, n_transient=n_transient, check=check)
    W = to_numpy(system.params[0].W_hh).astype(np.float64)
    numbers = range(0, n_steps, every)
    found = np.empty((problem.x0.shape[0], len(numbers), len(W)), complex)
    with progress_bar(len(groups(problem)) * n_steps, "eigenvalues", progress) as bar:
        for group in groups(problem):
            rows = members(problem, group)
            x = settled(problem, group, n_transient)
            for step in walk(problem, group, n_transient, n_steps, x):
                number = step.number - n_transient
                if number % every == 0:
                    slopes = to_numpy(_slopes(step.J, isinstance(cell, AdaptiveElman))).astype(np.float64)
                    values = np.linalg.eigvals(slopes.reshape(-1, len(W), 1) * W)
                    found[rows.start : rows.stop, number // every] = _sorted(values)
                bar.update(1)
    own = _sorted(np.linalg.eigvals(W).astype(complex))
    lead: tuple[str, ...] = ("sequence", "time") if is_batched(problem, x0, inputs) else ("time",)
    found = found if len(lead) == 2 else found[0]
    times = (n_transient + np.array(numbers)) * system.dt
    variables = {
        "eigenvalue": ((*lead, "index"), found, "eigenvalue of the recurrent Jacobian at fixed n and s", "1"),
        "spectral_radius": (lead, np.abs(found[..., 0]), "largest modulus", "1"),
        "weight_eigenvalue": (("index",), own, "eigenvalue of the recurrent weights", "1"),
        "weight_spectral_radius": ((), np.abs(own[0]), "largest modulus of the recurrent weights", "1"),
        "backward_error": ((), len(W) * np.finfo(np.float64).eps, "relative backward error", "1"),
    }
    coords: dict[str, Any] = {
        "time": ("time", times, {"units": system.time_unit}),
        "index": np.arange(1, len(W) + 1),
    }
    if len(lead) == 2:
        coords["sequence"] = np.arange(len(found))
    attrs = {
        "title": "Eigenvalues of the recurrent Jacobian along a run",
        "method": "dense eigenvalues of diag(slope) W_hh",
        "references": "Geadah et al. (2024) doi:10.1371/journal.pcbi.1012567",
        "n_steps": n_steps,
        "n_transient": n_transient,
        "every": every,
        "dt": system.dt,
        "time_unit": system.time_unit,
    }
    return dataset(variables, coords, attrs)


def _slopes(J: Any, adaptive: bool) -> Any:
    """Return the slopes of the units with respect to their pre-activations that a Jacobian holds."""
    return J.slopes.by_a if adaptive else J.terms[0].left


def _sorted(values: np.ndarray) -> np.ndarray:
    order = np.argsort(-np.abs(values), axis=-1, kind="stable")
    return np.take_along_axis(values, order, axis=-1)
