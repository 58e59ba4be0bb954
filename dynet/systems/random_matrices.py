"""Random matrices: the circular law of one, the exponents of products of many."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy.special import digamma

from dynet._labels import dataset
from dynet._validate import Faults
from dynet.systems.theory_arguments import PER_STEP, check_leak, numbers_argument
from dynet.typing import ArrayLike

__all__ = ["circular_law", "ginibre_exponents"]


def circular_law(radius: ArrayLike, g: float, delta: float = 1.0) -> Any:
    """Return the fraction of eigenvalues of ``(1 - delta) I + delta J`` within a distance of their centre 1 - delta.

    For ``J_ij ~ N(0, g^2 / n)`` and n -> inf they fill the disc of radius ``delta g`` evenly.

    Parameters
    ----------
    radius : float or array
        Distance from the centre, at least 0.
    g : float
        Gain, above 0.
    delta : float, default 1.0
        Leak, in (0, 1].

    Returns
    -------
    float or array
        The fraction, of the shape of ``radius``.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    Ginibre (1965), doi:10.1063/1.1704292; Tao & Vu (2010), doi:10.1214/10-AOP534.

    Examples
    --------
    >>> import dynet
    >>> dynet.theory.circular_law([1.0, 2.0, 3.0], 2.0).tolist()
    [0.25, 1.0, 1.0]
    """
    faults = Faults()
    distances = numbers_argument(faults, "radius", radius)
    numbers_argument(faults, "g", g, above=True, scalar=True)
    check_leak(faults, delta)
    faults.raise_if_any()
    fraction = np.minimum(distances / (delta * g), 1.0) ** 2
    return fraction if distances.ndim else float(fraction)


def ginibre_exponents(n: int, g: float = 1.0) -> xr.Dataset:
    r"""Return all exponents of products of independent Gaussian matrices, exactly.

    For real n x n matrices of entries ``N(0, g^2 / n)``:
    :math:`\lambda_k = \frac12 (\ln \frac{2 g^2}{n} + \psi(\frac{n - k + 1}{2}))`.

    Parameters
    ----------
    n : int
        Size of the matrices.
    g : float, default 1.0
        Gain, above 0.

    Returns
    -------
    Dataset
        ``lyapunov_exponent(exponent)``, exact for every n.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    Newman (1986), Communications in Mathematical Physics 103, 121.

    Examples
    --------
    >>> import dynet
    >>> dynet.theory.ginibre_exponents(2).lyapunov_exponent.values.round(6)
    array([-0.288608, -0.981755])
    """
    faults = Faults()
    faults.integer("n", n, 1)
    numbers_argument(faults, "g", g, above=True, scalar=True)
    faults.raise_if_any()
    exponent = np.arange(1, n + 1)
    values = (np.log(2 * g**2 / n) + digamma((n - exponent + 1) / 2)) / 2
    return dataset(
        {"lyapunov_exponent": (("exponent",), values, "Lyapunov exponent, exact", PER_STEP)},
        {"exponent": exponent},
        {
            "title": "Exponents of products of Ginibre matrices",
            "references": "Newman (1986) Communications in Mathematical Physics 103, 121",
            "n_units": int(n),
            "g": float(g),
            "time_unit": "step",
        },
    )
