"""The frames by name: Householder ("qr") and pivoted elimination ("lu")."""

from __future__ import annotations

from typing import Any

from dynet.kernels.frame import Frame
from dynet.kernels.householder import HouseholderFrame
from dynet.kernels.namespace import on_host


def make_frame(name: str, V: Any) -> Frame:
    """Return a frame that starts as the orthonormal ``V`` (..., n, k) and lives where ``V`` does."""
    if name == "qr":
        return HouseholderFrame(V)
    if on_host(V):
        from dynet.kernels.lu_frame import LUFrame

        return LUFrame(V)
    from dynet.kernels.lu_batched import BatchedLUFrame

    return BatchedLUFrame(V)


def reference_frame(frame: Frame) -> HouseholderFrame:
    """Return an orthonormal frame of the same flag."""
    reference = HouseholderFrame(frame.basis())
    reference.factor()
    reference.restore(reference.snapshot())  # the pivots belong to no step
    return reference
