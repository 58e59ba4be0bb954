"""The frames by name: orthonormal ("qr") and pivoted elimination ("lu")."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet.kernels.cholesky import CholeskyFrame, suits
from dynet.kernels.frame import EliminatedFrame, Frame
from dynet.kernels.gram import GramFrame
from dynet.kernels.gram import suits as suits_single
from dynet.kernels.householder import HouseholderFrame
from dynet.kernels.namespace import as_array, is_numpy, namespace, on_host


def make_frame(name: str, V: Any) -> Frame:
    """Return a frame that starts as the orthonormal ``V`` (..., n, k) and lives where ``V`` does."""
    if name == "qr":
        tall = is_numpy(V) and suits(V.shape, V.dtype)
        return CholeskyFrame(V) if tall else GramFrame(V) if suits_single(V) else HouseholderFrame(V)
    if on_host(V):
        from dynet.kernels.lu_frame import LUFrame

        return LUFrame(V)
    from dynet.kernels.lu_batched import BatchedLUFrame

    return BatchedLUFrame(V)


def reference_frame(frame: EliminatedFrame) -> HouseholderFrame:
    """Return an orthonormal frame of the same flag, in which lost columns are zero."""
    V = frame.basis()
    kept = np.array(np.broadcast_to(~frame.lost[..., None, :], V.shape))
    reference = HouseholderFrame(namespace(V).where(as_array(kept, V), V, namespace(V).zeros_like(V)))
    reference.factor()
    reference.restore(reference.snapshot())  # the pivots belong to no step
    return reference
