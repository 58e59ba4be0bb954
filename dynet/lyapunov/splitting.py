"""How far apart Oseledets subspaces are: angles between the span of the leading vectors and that of the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults
from dynet.lyapunov.covariant import require_vectors

__all__ = ["splitting_angles"]


def splitting_angles(result: xr.Dataset, dimensions: int | Sequence[int] | None = None) -> xr.Dataset:
    """Return the smallest angle between the span of the leading covariant vectors and that of the others.

    Parameters
    ----------
    result : Dataset
        From `covariant_vectors`.
    dimensions : int or sequence of int, optional
        How many leading vectors span the first subspace; every number from 1 to one less than there are vectors, if
        not given.

    Returns
    -------
    Dataset
        ``splitting_angle(time, dimension)`` in [0, pi/2], and ``smallest(dimension)``, its minimum over time and
        sequences. Several sequences put a dimension ``sequence`` in front.

    Raises
    ------
    InputError
        If something else is given, or a dimension leaves one of the subspaces empty.

    Notes
    -----
    The angle is the smallest principal angle of the two subspaces. A splitting into expanding and contracting
    directions whose angle stays away from zero is hyperbolic; angles that come close to zero are tangencies. Vectors
    below resolution are left out, so that ``dimension`` counts those that are left. With fewer vectors than units it
    is the splitting of their span.

    References
    ----------
    Kuptsov & Kuznetsov (2009), doi:10.1103/PhysRevE.80.016205.

    Examples
    --------
    Stable and unstable directions of the cat map are at right angles everywhere:

    >>> import dynet
    >>> ds = dynet.covariant_vectors(dynet.zoo.cat_map(), [0.1, 0.3], 100, n_transient=50)
    >>> float(dynet.splitting_angles(ds).smallest.sel(dimension=1).round(6))
    1.570796
    """
    require_vectors(result)
    several = "sequence" in result.dims
    below = result["below_resolution"]
    defined = ~(below.any("sequence") if several else below).values
    V = result["covariant_vector"].values[..., defined].astype(np.float64)
    k = V.shape[-1]
    faults = Faults()
    if k < 2:
        faults.say(f"result has {k} covariant vectors: a splitting needs at least 2")
    faults.raise_if_any()
    wanted = list(range(1, k)) if dimensions is None else dimensions
    for dimension in wanted if isinstance(wanted, Sequence | np.ndarray) else [wanted]:
        faults.integer("dimensions", dimension, 1, k - 1, f" ({k} vectors are split)")
    faults.raise_if_any()
    chosen = np.atleast_1d(np.asarray(wanted, dtype=int))

    # in the orthonormal basis of the vectors the leading subspaces are those of the axes
    R = np.asarray(np.linalg.qr(V, mode="r"))
    angles = np.stack([_angle(R, int(j)) for j in chosen], axis=-1)
    lead: tuple[str, ...] = ("sequence",) if several else ()
    smallest = angles.min(axis=tuple(range(angles.ndim - 1)))
    variables = {
        "splitting_angle": (
            (*lead, "time", "dimension"),
            angles,
            "smallest angle between leading vectors and the others",
            "radian",
        ),
        "smallest": (("dimension",), smallest, "smallest of these angles", "radian"),
    }
    coords = {
        "time": ("time", result["time"].values, result["time"].attrs),
        "dimension": ("dimension", chosen, {"long_name": "number of leading vectors"}),
        **({"sequence": result["sequence"].values} if several else {}),
    }
    attrs = {
        "title": "Angles between Oseledets subspaces",
        "n_vectors": k,
        "n_below_resolution": int((~defined).sum()),
        "time_unit": result.attrs["time_unit"],
    }
    return dataset(variables, coords, attrs)


def _angle(R: np.ndarray, j: int) -> np.ndarray:
    """Return the smallest angle (...) of the span of the first ``j`` columns of ``R`` (..., k, k) and the rest.

    The rest is the graph of ``A B^-1`` over the complement of the first: its norm is the cotangent of the angle.
    """
    A, B = R[..., :j, j:], R[..., j:, j:]
    parallel = (B.diagonal(axis1=-2, axis2=-1) == 0).any(axis=-1)
    B = np.where(parallel[..., None, None], np.eye(B.shape[-1]), B)
    slopes = np.linalg.solve(B.mT, A.mT)
    cotangent = np.linalg.norm(slopes, 2, axis=(-2, -1))
    return np.where(parallel, 0.0, np.arctan2(1.0, cotangent))
