"""Where covariant vectors live: the weight of units, of layers and of parts of the state in each of them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import shown
from dynet.errors import InputError
from dynet.lyapunov.convergence import error_bars
from dynet.lyapunov.covariant import require_vectors
from dynet.lyapunov.dimension import are_independent
from dynet.lyapunov.run import block_size

__all__ = ["vector_participation"]


def vector_participation(result: xr.Dataset, by: str = "unit") -> xr.Dataset:
    r"""Return how much of each covariant vector lies in each unit, layer or part of the state.

    Parameters
    ----------
    result : Dataset
        From `covariant_vectors`.
    by : str, default "unit"
        A coordinate along ``unit``: "unit" itself, "layer", "part" (the hidden state h and the memory c of an LSTM),
        or another one that the system brings.

    Returns
    -------
    Dataset
        ``weight(<by>, exponent)``, the mean over time and sequences of the sum of squares of the components in each
        group, and its ``standard_error``; the weights of a vector sum to 1. ``participation_number(exponent)``, the
        mean of :math:`1 / \sum_i v_i^4`, the number of units that take part, and ``participation_number_error``.
        Vectors below resolution have weight 0.

    Raises
    ------
    InputError
        If something else is given, or the units have no such coordinate.

    Notes
    -----
    Weights depend on the units in which the state is measured: a memory c that is ten times as large as h weighs more.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> random = np.random.default_rng(0)
    >>> net = dynet.networks.lstm(random.standard_normal((16, 4)))
    >>> ds = dynet.covariant_vectors(net, 0.1 * random.standard_normal(8), 50, n_transient=50)
    >>> weight = dynet.vector_participation(ds, "part").weight
    >>> weight.part.values.tolist(), bool(np.allclose(weight.sum("part"), 1))
    (['h', 'c'], True)
    """
    require_vectors(result)
    along = [str(name) for name, values in result.coords.items() if values.dims == ("unit",)]
    if by not in along:
        raise InputError(f"by={shown(by)}: give a coordinate of the units, one of {', '.join(along)}")
    V = result["covariant_vector"].values.astype(np.float64)
    V = V.reshape(-1, *V.shape[-3:])
    labels = result[by].values
    names = labels[np.sort(np.unique(labels, return_index=True)[1])]  # in the order of the units
    squares = V**2
    weights = np.stack([squares[:, :, labels == name].sum(axis=2) for name in names], axis=2)
    fourth = (squares**2).sum(axis=2)
    numbers = np.divide(1.0, fourth, out=np.zeros_like(fourth), where=fourth > 0)
    weight, weight_error = _mean(result, weights)
    number, number_error = _mean(result, numbers)
    variables = {
        "weight": ((by, "exponent"), weight, f"weight of each {by} in the vector", "1"),
        "standard_error": ((by, "exponent"), weight_error, "standard error of the weight", "1"),
        "participation_number": (("exponent",), number, "number of units that take part", "1"),
        "participation_number_error": (("exponent",), number_error, "standard error of it", "1"),
    }
    coords = {by: names, "exponent": result["exponent"].values}
    attrs = {"title": "Participation in covariant Lyapunov vectors", "by": by, "n_units": V.shape[2]}
    return dataset(variables, coords, attrs)


def _mean(result: xr.Dataset, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over sequences and times of values (sequence, time, ...), and its standard error."""
    starts = np.arange(0, values.shape[1], block_size(values.shape[1], 1))
    counts = np.diff(starts, append=values.shape[1]).astype(np.float64)
    sums = np.add.reduceat(values, starts, axis=1)
    error, _ = error_bars(sums, np.tile(counts, (len(values), 1)), independent=are_independent(result))
    return values.mean(axis=(0, 1)), error
