"""The loops in C, compiled when they are asked for: `gcc -O3 -march=native`, called through ctypes."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")
_SOURCES = Path(__file__).parent / "c"
_Numbers = np.ctypeslib.ndpointer(dtype=np.float64, flags="C_CONTIGUOUS")


def compiler() -> str | None:
    """Return the compiler, or None with which the C rows are left out."""
    return shutil.which("gcc")


@cache
def _library(name: str) -> ctypes.CDLL:
    gcc = compiler()
    assert gcc is not None
    folder = tempfile.mkdtemp(prefix="dynet-benchmarks-")
    target = Path(folder) / f"{name}.so"
    try:
        subprocess.run([gcc, *FLAGS, str(_SOURCES / f"{name}.c"), "-o", str(target), "-lm"], check=True)
        return ctypes.CDLL(str(target))
    finally:
        shutil.rmtree(folder)  # what is loaded stays loaded


def henon(variant: str, x0: tuple[float, float], a: float, b: float, n_steps: int) -> np.ndarray:
    """Return the two exponents by ``henon_qr`` or ``henon_lazy``."""
    function = getattr(_library("henon"), variant)
    function.argtypes = [ctypes.c_double] * 4 + [ctypes.c_long, _Numbers]
    function.restype = None
    exponents = np.empty(2)
    function(*x0, a, b, n_steps, exponents)
    return exponents


def lorenz(variant: str, x0: np.ndarray, params: tuple[float, float, float], dt: float, n_steps: int) -> np.ndarray:
    """Return the three exponents by ``lorenz_qr`` or ``lorenz_lazy``."""
    function = getattr(_library("lorenz"), variant)
    function.argtypes = [_Numbers] + [ctypes.c_double] * 4 + [ctypes.c_long, _Numbers]
    function.restype = None
    exponents = np.empty(3)
    function(np.ascontiguousarray(x0, dtype=np.float64), *params, dt, n_steps, exponents)
    return exponents
