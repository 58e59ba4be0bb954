"""Orthogonal weights: rotations in planes, or drawn evenly from all orthogonal matrices."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from dynet._validate import Faults

__all__ = ["orthogonal_"]


def orthogonal_(
    tensor: torch.Tensor,
    method: Literal["henaff", "haar"] = "henaff",
    *,
    rng: np.random.Generator | int | None = None,
) -> torch.Tensor:
    r"""Fill a square matrix with orthogonal weights, in place, and return it.

    Parameters
    ----------
    tensor : Tensor (n, n)
        What to fill.
    method : {"henaff", "haar"}
        "henaff": :math:`e^A` of a matrix A of skew-symmetric blocks of two with entries s uniform in
        :math:`(-\pi, 0)`: units are rotated in pairs, and the last one of an odd number stays. "haar": all orthogonal
        matrices are equally probable.
    rng : numpy.random.Generator or int, optional
        Source of the numbers; if not given, torch's own (`torch.manual_seed`), as for `torch.nn.init`.

    Returns
    -------
    Tensor (n, n)
        The same tensor.

    Raises
    ------
    InputError
        If it is no square matrix of real floating point numbers, or the method has another name.

    References
    ----------
    Henaff, Szlam & LeCun (2016), arXiv:1602.06662; Mezzadri (2007), arXiv:math-ph/0609050.

    Examples
    --------
    >>> import torch
    >>> from dynet.torch import orthogonal_
    >>> W = orthogonal_(torch.empty(4, 4, dtype=torch.float64), rng=0)
    >>> bool(torch.allclose(W @ W.mT, torch.eye(4, dtype=torch.float64))), int(torch.count_nonzero(W))
    (True, 8)
    """
    faults = Faults()
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
        faults.add("tensor", getattr(tensor, "dtype", type(tensor).__name__), "give a real floating point tensor")
    elif tensor.ndim != 2 or tensor.shape[0] != tensor.shape[1] or tensor.shape[0] == 0:
        faults.add("tensor", tensor, "give a square matrix (n, n)")
    faults.choice("method", method, ("henaff", "haar"))
    if rng is not None and not isinstance(rng, int | np.integer | np.random.Generator):
        faults.add("rng", rng, "give a whole number, a numpy.random.Generator or None")
    faults.raise_if_any()
    n = tensor.shape[0]
    random = None if rng is None else np.random.default_rng(rng)
    weights = _rotations(n, random) if method == "henaff" else _any_orthogonal(n, random)
    with torch.no_grad():
        return tensor.copy_(weights)


def _rotations(n: int, random: np.random.Generator | None) -> torch.Tensor:
    """Return the exponential of skew-symmetric blocks of two."""
    if random is None:
        s = -math.pi * torch.rand(n // 2, dtype=torch.float64)
    else:
        s = torch.from_numpy(random.uniform(-math.pi, 0.0, n // 2))
    W = torch.eye(n, dtype=torch.float64)
    even = torch.arange(0, n - 1, 2)
    W[even, even] = W[even + 1, even + 1] = torch.cos(s)
    W[even, even + 1], W[even + 1, even] = torch.sin(s), -torch.sin(s)
    return W


def _any_orthogonal(n: int, random: np.random.Generator | None) -> torch.Tensor:
    if random is None:
        normal = torch.randn(n, n, dtype=torch.float64)
    else:
        normal = torch.from_numpy(random.standard_normal((n, n)))
    Q, R = torch.linalg.qr(normal)
    # with a positive diagonal the factorisation is unique, and so Q as even as the normal matrix is
    return Q * torch.where(R.diagonal() < 0, -1.0, 1.0)
