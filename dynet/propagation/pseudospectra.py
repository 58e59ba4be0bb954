"""Pseudospectra: where a matrix would have eigenvalues if it were perturbed a little."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._progress import progress_over
from dynet._validate import Faults, is_number
from dynet.kernels.resolvent import smallest_singular_values
from dynet.propagation.matrix_measures import complex_schur
from dynet.propagation.normality import square_matrix
from dynet.typing import ArrayLike

__all__ = ["pseudospectrum"]

#: Larger matrices take minutes.
LARGEST = 500
_MARGIN = 0.3
_POINTS_AT_ONCE = 2048


def pseudospectrum(
    A: ArrayLike,
    *,
    region: tuple[float, float, float, float] | None = None,
    n_points: int = 60,
    tolerance: float = 1e-6,
    progress: bool = False,
) -> xr.Dataset:
    r"""Return the smallest singular value of ``z I - A`` over a grid of the complex plane.

    Where it is below :math:`\varepsilon`, z is an eigenvalue of A plus some matrix of norm :math:`\varepsilon`. A is
    brought to Schur form once; then every point takes some steps of inverse Lanczos iteration, all points together.

    Parameters
    ----------
    A : array (n, n)
        A real matrix of at most 500 rows.
    region : tuple of float, optional
        Left, right, lower and upper edge; if not given, all eigenvalues and the unit circle with a margin.
    n_points : int, default 60
        Points along each side.
    tolerance : float, default 1e-6
        Relative change at which an iteration stops.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    Dataset
        ``smallest_singular_value(imaginary_part, real_part)`` and ``eigenvalue(index)``. Values below
        ``attrs["resolution"]``, what rounding leaves of A, are set to it.

    Raises
    ------
    InputError
        If an argument cannot be used.

    References
    ----------
    Trefethen (1999), doi:10.1017/S0962492900002932.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> ds = dynet.pseudospectrum(np.diag([1.0, -1.0]), region=(0, 3, 0, 1), n_points=4)
    >>> float(ds.smallest_singular_value.sel(imaginary_part=0, real_part=3).round(6))
    2.0
    """
    faults = Faults()
    matrix = square_matrix(faults, "A", A)
    n = matrix.shape[0]
    if n > LARGEST:
        faults.add("A", matrix, f"give at most {LARGEST} rows: a grid of larger ones takes minutes")
    faults.integer("n_points", n_points, 2)
    if not (is_number(tolerance) and 0 < tolerance < 1):
        faults.add("tolerance", tolerance, "give a relative change in (0, 1)")
    if region is not None and not _is_region(region):
        faults.add("region", region, "give four numbers (left, right, lower, upper) with left < right, lower < upper")
    faults.raise_if_any()
    T, residual = complex_schur(matrix)
    eigenvalues = np.diagonal(T)
    left, right, lower, upper = _around(eigenvalues) if region is None else map(float, region)
    real, imaginary = np.linspace(left, right, int(n_points)), np.linspace(lower, upper, int(n_points))
    z = (real + 1j * imaginary[:, None]).ravel()
    values = np.empty(z.size)
    # a real matrix is symmetric about the real axis: half of a symmetric region is enough
    half = np.isclose(lower, -upper)
    todo = np.flatnonzero(z.imag <= 0) if half else np.arange(z.size)
    for part in _parts(todo, progress):
        values[part] = smallest_singular_values(T, z[part], tolerance=tolerance)
    grid = values.reshape(imaginary.size, real.size)
    if half:
        above = imaginary.size // 2
        grid[-above:] = grid[:above][::-1]
    resolution = float(max(residual, np.finfo(float).eps) * np.linalg.norm(matrix, 2))
    order = np.argsort(-np.abs(eigenvalues), kind="stable")
    variables = {
        "smallest_singular_value": (
            ("imaginary_part", "real_part"),
            np.maximum(grid, resolution),
            "smallest singular value of z I - A",
            "1",
        ),
        "eigenvalue": (("index",), eigenvalues[order], "eigenvalue, by falling modulus", "1"),
    }
    return dataset(variables, {"imaginary_part": imaginary, "real_part": real, "index": np.arange(1, n + 1)}, {
        "title": "Pseudospectrum",
        "method": "Schur form, inverse Lanczos iteration",
        "references": "Trefethen (1999) doi:10.1017/S0962492900002932",
        "n_points": int(n_points),
        "tolerance": float(tolerance),
        "resolution": resolution,
        "schur_residual": residual,
    })  # fmt: skip


def _is_region(region: Any) -> bool:
    if not isinstance(region, tuple | list | np.ndarray) or len(region) != 4:
        return False
    if not all(is_number(edge) and np.isfinite(edge) for edge in region):
        return False
    return bool(region[0] < region[1] and region[2] < region[3])


def _around(eigenvalues: np.ndarray) -> tuple[float, float, float, float]:
    """Return a region that holds all eigenvalues and the unit circle, symmetric about the real axis."""
    left, right = min(eigenvalues.real.min(), -1.0), max(eigenvalues.real.max(), 1.0)
    top = max(np.abs(eigenvalues.imag).max(), 1.0)
    margin = _MARGIN * max(right - left, 2 * top) / 2
    return left - margin, right + margin, -top - margin, top + margin


def _parts(points: np.ndarray, progress: bool) -> Any:
    starts = range(0, points.size, _POINTS_AT_ONCE)
    parts = [points[start : start + _POINTS_AT_ONCE] for start in starts]
    return progress_over(parts, "Pseudospectrum", progress)
