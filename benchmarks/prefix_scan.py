"""Exponents of recorded Jacobians, parallel over time by an associative scan: the peer of `gpu.py`.

Written from the description in Heinsen & Kozachkov (2025), "Generalized Orders of Magnitude for Scalable, Parallel,
High-Dynamic-Range Computation", arXiv:2510.03426: the products of all Jacobians up to every step are computed
by a parallel prefix scan; where a product's columns have become nearly parallel, it is exchanged for an
orthonormal basis of theirs ("selective resetting"); one QR of every step, all at once, then gives the exponents.

Two things differ from the paper. Matrices are kept in float64 with the common scale of each taken out (the
exponents do not need it), where the paper keeps every entry as a complex logarithm: cheaper here, with as many
digits. And the scan is the recursion over pairs of neighbours in plain torch calls. It is a fair sketch of the
method, not its authors' code. What both share: a basis that replaces a product forgets what came before, so that
exponents carry an error, and trailing ones are lost where a product's columns differ by more than 1e16 before any
two of them are parallel. `gpu.py` prints how far they are from the exact ones.

An element is a pair (A, B) that stands for the affine map S -> A S + B of a frame; B is zero until a reset
puts A = 0, B = Q(A): what came before is forgotten.
"""

from __future__ import annotations

import torch

#: Cosine between two columns from which on a product is reset, the paper's default.
NEARLY_PARALLEL = 0.99999


def spectrum(J: torch.Tensor) -> torch.Tensor:
    """Return the exponents (n,) a step of Jacobians (time, n, n), from a unit frame."""
    n = J.shape[-1]
    eye = torch.eye(n, dtype=J.dtype, device=J.device).expand(1, n, n)
    # frames at the start of every step: the unit frame, then the products of all but the last Jacobian
    A, B = _scan(J[:-1], torch.zeros_like(J[:-1]))
    frames = torch.cat([eye, A + B])
    Q = torch.linalg.qr(frames / _length(frames))[0]
    R = torch.linalg.qr(J @ Q, mode="r")[1]
    return R.diagonal(dim1=-2, dim2=-1).abs().log().mean(dim=0)


def _scan(A: torch.Tensor, B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all inclusive products of the pairs (time, n, n): pairs of neighbours first, then between them."""
    count = A.shape[0]
    if count == 1:
        return A, B
    even, odd = slice(0, count - count % 2, 2), slice(1, None, 2)
    paired = _scan(*_combined((A[even], B[even]), (A[odd], B[odd])))
    out_A, out_B = torch.empty_like(A), torch.empty_like(B)
    out_A[0], out_B[0] = A[0], B[0]
    out_A[1::2], out_B[1::2] = paired
    if count > 2:
        rest = slice(2, None, 2)
        wanted = A[rest].shape[0]
        before = paired[0][:wanted], paired[1][:wanted]
        out_A[rest], out_B[rest] = _combined(before, (A[rest], B[rest]))
    return out_A, out_B


def _combined(
    earlier: tuple[torch.Tensor, torch.Tensor], later: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pairs of both maps one after the other, the earlier ones reset where their columns are parallel."""
    A, B = _reset(*earlier)
    product, bias = later[0] @ A, later[0] @ B + later[1]
    # one factor for both: they are added in the end
    scale = torch.maximum(_length(product), _length(bias))
    return product / scale, bias / scale


def _reset(A: torch.Tensor, B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Exchange products with nearly parallel columns, that hold no reset yet, for a basis of theirs."""
    columns = A / A.norm(dim=-2, keepdim=True).clamp_min(torch.finfo(A.dtype).tiny)
    cosines = (columns.mT @ columns).abs().triu(diagonal=1)
    due = (cosines.amax(dim=(-2, -1)) > NEARLY_PARALLEL) & (B == 0).all(dim=-1).all(dim=-1)
    if not bool(due.any()):
        return A, B
    A, B = A.clone(), B.clone()
    B[due] = torch.linalg.qr(columns[due])[0]
    A[due] = 0
    return A, B


def _length(A: torch.Tensor) -> torch.Tensor:
    return A.abs().amax(dim=(-2, -1), keepdim=True).clamp_min(torch.finfo(A.dtype).tiny)
