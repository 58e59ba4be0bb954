"""The Oseledets matrix of a finite run, from the product of its Jacobians: a check for few units."""

from __future__ import annotations

import numpy as np
import xarray as xr

from dynet._labels import EXPONENT_UNITS, dataset, unit_coordinates
from dynet.kernels.namespace import machine_epsilon, move_like, namespace, to_numpy
from dynet.lyapunov.covariant import has_sequences
from dynet.lyapunov.problem import Problem, raise_if_diverged
from dynet.lyapunov.run import blas_threads
from dynet.lyapunov.walk import make_walk, settled, walk
from dynet.systems.map import Map
from dynet.systems.unit_names import unit_coords
from dynet.typing import ArrayLike

__all__ = ["oseledets_matrix"]


def oseledets_matrix(
    system: Map,
    x0: ArrayLike | None,
    n_steps: int,
    *,
    inputs: ArrayLike | None = None,
    n_transient: int = 0,
    check: bool = True,
) -> xr.Dataset:
    r"""Return :math:`(P^T P)^{1/2t}` of the product :math:`P = J_T \cdots J_1`, its exponents and its directions.

    Parameters
    ----------
    system : Map
        Any step with its Jacobian; for a flow give ``flow.to_map(dt)``.
    x0 : array (n,) or (sequence, n), or None
        Start of each trajectory; None means zeros, for driven networks and recorded Jacobians only.
    n_steps : int
        Number of Jacobians in the product; t is ``n_steps`` times ``Map.dt``.
    inputs : array (time, channel) or (sequence, time, channel), optional
        Input of every step, ``n_transient + n_steps`` rows.
    n_transient : int, default 0
        Steps before, in which the state settles.
    check : bool, default True
        Compare the Jacobian with a difference of the step before the loop.

    Returns
    -------
    xarray.Dataset
        ``matrix(unit, unit_2)``; ``lyapunov_exponent(exponent)``, the logarithms of its eigenvalues in falling order,
        per unit of time, with ``rounding_error(exponent)``; ``direction(unit, exponent)``, its eigenvectors;
        ``below_resolution(exponent)``. Several sequences put a dimension ``sequence`` in front.

    Raises
    ------
    InputError
        If an argument cannot be used, or the Jacobian disagrees with the step.
    DivergenceError
        If state or product stop being finite; it names step and unit.

    Notes
    -----
    Directions i, i + 1, ... span what grows no faster than exponent i in the future: the covariant vectors i, i + 1,
    ... at the same time lie in it, at right angles to the directions before.

    The product is formed as it stands. A singular value that is smaller than ``n eps n_steps`` of the largest is
    rounding: its exponent is -inf and marked, its eigenvalue 0. For all exponents of long runs use
    `lyapunov_spectrum`. ``rounding_error`` is that bound relative to the singular value.

    References
    ----------
    Oseledets (1968), Trudy Moskov. Mat. Obshch. 19; Eckmann & Ruelle (1985), doi:10.1103/RevModPhys.57.617.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.oseledets_matrix(dynet.zoo.cat_map(), [0.1, 0.3], 10)
    >>> ds.lyapunov_exponent.values.round(6)
    array([ 0.962424, -0.962424])
    """
    problem = make_walk(system, x0, n_steps, inputs=inputs, n_transient=n_transient, check=check)
    S, n = problem.x0.shape
    with blas_threads(problem):
        products = [_product(problem, s, n_transient, n_steps) for s in range(S)]
    P, log_scale = np.stack([P for P, _ in products]), np.array([scale for _, scale in products])
    _, values, directions = np.linalg.svd(P)
    rounding = n * n_steps * machine_epsilon(problem.frame)
    duration = n_steps * system.dt
    lost = values <= rounding * values[:, :1]
    with np.errstate(divide="ignore"):
        exponents = (np.log(np.where(lost, 0.0, values)) + log_scale[:, None]) / duration
    errors = rounding * values[:, :1] / np.where(lost, 1.0, values) / duration
    matrix = directions.mT @ (np.exp(exponents)[..., None] * directions)

    several = has_sequences(problem, x0, inputs)
    lead: tuple[str, ...] = ("sequence",) if several else ()
    time_unit = system.time_unit
    per_time = EXPONENT_UNITS.format(time_unit=time_unit)

    def each(values: np.ndarray) -> np.ndarray:
        return values if several else values[0]

    variables = {
        "matrix": ((*lead, "unit", "unit_2"), each(matrix), "Oseledets matrix", "1"),
        "lyapunov_exponent": (
            (*lead, "exponent"),
            each(exponents),
            "logarithm of the eigenvalue, exponent of this finite run",
            per_time,
        ),
        "rounding_error": ((*lead, "exponent"), each(np.where(lost, 0.0, errors)), "error by rounding", per_time),
        "direction": ((*lead, "unit", "exponent"), each(directions.mT), "eigenvector, of length one", "1"),
        "below_resolution": ((*lead, "exponent"), each(lost), "exponent is -inf: rounding is larger", "1"),
    }
    units = unit_coords(system.units, n)
    coords = {
        "exponent": np.arange(1, n + 1),
        **unit_coordinates(units),
        "unit_2": np.asarray(units["unit"]),
        **({"sequence": np.arange(S)} if several else {}),
    }
    attrs = {
        "title": "Oseledets matrix",
        "n_steps": n_steps,
        "n_transient": n_transient,
        "dt": system.dt,
        "time_unit": time_unit,
        "dtype": str(problem.frame.dtype).removeprefix("torch."),
        "n_below_resolution": int(lost.sum()),
    }
    return dataset(variables, coords, attrs)


def _product(problem: Problem, s: int, n_transient: int, n_steps: int) -> tuple[np.ndarray, float]:
    """Return the product of the Jacobians over its largest entries, and the logarithm of what it was divided by."""
    xp = namespace(problem.frame)
    P = move_like(np.eye(problem.frame.shape[0]), problem.frame)
    log_scale = 0.0
    for step in walk(problem, s, n_transient, n_steps, settled(problem, s, n_transient)):
        P = step.J @ P
        largest = float(xp.max(xp.abs(P)))
        if not largest < np.inf:
            raise_if_diverged(to_numpy(step.after), to_numpy(P), step.number, s, problem)
        if largest > 0:
            P, log_scale = P / largest, log_scale + float(np.log(largest))
    return to_numpy(P).astype(np.float64), log_scale
