"""Eigenvalues, departure from normality and transient growth of a matrix, or of the Jacobians along a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._progress import progress_over
from dynet._validate import Faults
from dynet.kernels.namespace import to_numpy
from dynet.lyapunov.walk import make_walk, settled, walk
from dynet.propagation.matrix_measures import (
    complex_schur,
    henrici_departure,
    kreiss_bound,
    log_power_norms,
    numerical_abscissa,
    numerical_radius,
)
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.systems.operators import assemble
from dynet.typing import ArrayLike

__all__ = ["non_normality"]

REFERENCES = (
    "Henrici (1962) doi:10.1007/BF01386294; Trefethen & Embree (2005) Spectra and Pseudospectra; "
    "Kreiss (1962) doi:10.1007/BF01957330"
)
_IN_UNITS_OF_A = (
    "eigenvalue",
    "spectral_radius",
    "spectral_norm",
    "henrici_departure",
    "numerical_abscissa",
    "numerical_radius",
)


def non_normality(
    system: Any,
    x0: ArrayLike | None = None,
    n_steps: int | None = None,
    *,
    inputs: ArrayLike | None = None,
    n_transient: int = 0,
    n_samples: int = 10,
    n_powers: int = 50,
    progress: bool = False,
    check: bool = True,
) -> xr.Dataset:
    r"""Return eigenvalues and departure from normality of a matrix, or of the Jacobians along a run.

    Eigenvalues tell what the powers of a normal matrix do; of any other they tell only the end. Compare the weights W
    of a network with its Jacobians to see how far activity damps it.

    Parameters
    ----------
    system : array (n, n) or Map
        A matrix A, such as weights; or a system, whose Jacobians are looked at.
    x0 : array (n,), optional
        Start of the run (systems).
    n_steps : int, optional
        Length of the run (systems).
    inputs : array (time, channel), optional
        Input of every step, ``n_transient + n_steps`` rows.
    n_transient : int, default 0
        Steps before.
    n_samples : int, default 10
        Jacobians to look at, evenly spaced over the run.
    n_powers : int, default 50
        Largest power of which the norm is taken.
    progress : bool, default False
        Show a progress bar.
    check : bool, default True
        Compare the Jacobian with a difference of the step before the run.

    Returns
    -------
    Dataset
        Over ``time``, of length 1 for a matrix: ``eigenvalue(time, index)``, by falling modulus; ``spectral_radius``;
        ``spectral_norm``; ``henrici_departure``, :math:`\sqrt{\|A\|_F^2 - \sum |\lambda_i|^2}`, and
        ``relative_departure``, the same over :math:`\|A\|_F`, from 0 (normal) to 1 (nilpotent);
        ``numerical_abscissa``, the largest eigenvalue of :math:`(A + A^T) / 2`; ``numerical_radius``;
        ``log_power_norm(time, power)``; ``log_transient_growth``, the largest of them, and ``transient_step``, where;
        ``kreiss_bound``, a lower bound of :math:`\sup_k \|A^k\|` over all powers, infinite when eigenvalues lie outside
        the unit circle; ``schur_residual``, the relative error of the Schur form that the numbers come from.

    Raises
    ------
    InputError
        If an argument cannot be used.
    DivergenceError
        If the state stops being finite.

    References
    ----------
    Henrici (1962), doi:10.1007/BF01386294; Kreiss (1962), doi:10.1007/BF01957330; Trefethen & Embree (2005), Spectra
    and Pseudospectra, Princeton University Press.

    Examples
    --------
    A chain that hands a signal on: all eigenvalues are 0, yet the signal grows for three steps.

    >>> import dynet, numpy as np
    >>> chain = dynet.non_normality(np.diag([2.0, 2.0, 2.0], -1))
    >>> float(chain.spectral_radius[0]), float(chain.relative_departure[0])
    (0.0, 1.0)
    >>> float(np.exp(chain.log_transient_growth[0]).round(6)), int(chain.transient_step[0])
    (8.0, 3)
    """
    faults = Faults()
    faults.integer("n_samples", n_samples, 1)
    faults.integer("n_powers", n_powers, 1)
    faults.raise_if_any()
    if isinstance(system, Map | Flow) or callable(system):
        if n_steps is None:
            faults.add("n_steps", n_steps, "give the length of the run along which Jacobians are looked at")
            faults.raise_if_any()
        matrices, times, dt, time_unit = _sampled(system, x0, n_steps, inputs, n_transient, int(n_samples), check)
        title = "Departure from normality along a run"
    else:
        given = {"x0": x0, "n_steps": n_steps, "inputs": inputs}
        for name, value in given.items():
            if value is not None:
                faults.add(name, value, "a matrix has no run: leave it out, or give a dynet.Map")
        matrices, times, dt, time_unit = [square_matrix(faults, "system", system)], np.zeros(1), 1.0, "step"
        title = "Departure from normality of a matrix"
    rows = [_measures(A, int(n_powers)) for A in progress_over(matrices, "Departure from normality", progress)]
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    n = matrices[0].shape[0]
    variables: dict[str, tuple[tuple[str, ...], Any, str, str]] = {
        name: (dims, columns[name], long_name, units)
        for name, dims, long_name, units in (
            ("eigenvalue", ("time", "index"), "eigenvalue, by falling modulus", "1"),
            ("spectral_radius", ("time",), "largest modulus of an eigenvalue", "1"),
            ("spectral_norm", ("time",), "largest singular value", "1"),
            ("henrici_departure", ("time",), "Henrici's departure from normality", "1"),
            ("relative_departure", ("time",), "departure from normality over the Frobenius norm", "1"),
            ("numerical_abscissa", ("time",), "largest eigenvalue of the symmetric part", "1"),
            ("numerical_radius", ("time",), "largest modulus in the field of values", "1"),
            ("log_power_norm", ("time", "power"), "log of the spectral norm of a power", "nat"),
            ("log_transient_growth", ("time",), "largest log norm of a power", "nat"),
            ("transient_step", ("time",), "power with the largest norm", "1"),
            ("kreiss_bound", ("time",), "lower bound of the largest norm over all powers", "1"),
            ("schur_residual", ("time",), "relative error of the Schur form", "1"),
        )
    }
    coords = {
        "time": ("time", times, {"units": time_unit}),
        "index": np.arange(1, n + 1),
        "power": np.arange(int(n_powers) + 1),
    }
    return dataset(variables, coords, {
        "title": title,
        "method": "complex Schur form, norms of powers",
        "references": REFERENCES,
        "n_samples": len(matrices),
        "n_powers": int(n_powers),
        "n_steps": n_steps,
        "n_transient": n_transient,
        "dt": dt,
        "time_unit": time_unit,
    })  # fmt: skip


def square_matrix(faults: Faults, name: str, value: Any) -> np.ndarray:
    """Return a real, finite square matrix in float64, or raise every fault."""
    known = len(faults)
    A = faults.real_array(name, to_numpy(value) if hasattr(value, "detach") else value, finite=True)
    if len(faults) == known and (A.ndim != 2 or A.shape[0] != A.shape[1] or A.size == 0):
        faults.add(name, A if A.ndim else value, "give a square matrix (n, n)")
    faults.raise_if_any()
    return A.astype(np.float64)


def _sampled(
    system: Any, x0: Any, n_steps: Any, inputs: Any, n_transient: int, n_samples: int, check: bool
) -> tuple[list[np.ndarray], np.ndarray, float, str]:
    """Return Jacobians evenly spaced over the run, and the times of their steps."""
    problem = make_walk(system, x0, n_steps, inputs=inputs, n_exponents=1, n_transient=n_transient, check=check)
    if problem.x0.shape[0] != 1:
        faults = Faults()
        faults.say(f"there are {problem.x0.shape[0]} sequences: give one start (n,) and one series of inputs")
        faults.raise_if_any()
    batched = problem.system.vectorized
    sequences: int | slice = slice(0, 1) if batched else 0
    wanted = set(np.linspace(0, n_steps - 1, n_samples).round().astype(int).tolist())
    matrices, times = [], []
    start = settled(problem, sequences, n_transient)
    for step in walk(problem, sequences, n_transient, n_steps, start):
        if step.number - n_transient in wanted:
            A = to_numpy(assemble(step.J)).astype(np.float64)
            matrices.append(A.reshape(A.shape[-2:]))
            times.append(step.number * problem.system.dt)
    return matrices, np.array(times), problem.system.dt, problem.system.time_unit


def _measures(A: np.ndarray, n_powers: int) -> dict[str, Any]:
    # by a power of two, which rounds nothing: squares of the entries stay within the range of numbers
    exponent = int(np.frexp(np.abs(A).max())[1])
    measures = _scaled_measures(np.ldexp(A, -exponent), n_powers, exponent)
    with np.errstate(over="ignore"):
        for name in _IN_UNITS_OF_A:
            measures[name] = measures[name] * 2.0 ** (exponent // 2) * 2.0 ** (exponent - exponent // 2)
    return measures


def _scaled_measures(A: np.ndarray, n_powers: int, exponent: int) -> dict[str, Any]:
    """Return the measures of ``2**exponent A``, those that have the units of A for A itself."""
    T, residual = complex_schur(A)
    eigenvalues = np.diagonal(T)
    eigenvalues = eigenvalues[np.argsort(-np.abs(eigenvalues), kind="stable")]
    departure, size = henrici_departure(T), np.linalg.norm(A)
    logs = log_power_norms(A, n_powers) + exponent * np.log(2) * np.arange(n_powers + 1)
    return {
        "eigenvalue": eigenvalues,
        "spectral_radius": np.abs(eigenvalues[0]),
        "spectral_norm": np.linalg.norm(A, 2),
        "henrici_departure": departure,
        "relative_departure": departure / size if size else 0.0,
        "numerical_abscissa": numerical_abscissa(A),
        "numerical_radius": numerical_radius(A),
        "log_power_norm": logs,
        "log_transient_growth": logs.max(),
        "transient_step": int(logs.argmax()),
        "kreiss_bound": kreiss_bound(T, exponent),
        "schur_residual": residual,
    }
