"""How the functions of the systems that come with dynet are compiled."""

from numba import njit

__all__ = ["inlined"]

# user-like functions are inlined into the loops: that is what lets the compiler keep states in registers
inlined = njit(error_model="numpy", forceinline=True)
