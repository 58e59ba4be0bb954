"""Periodic functions as polynomials on the intervals of a mesh, and meshes that suit them."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import Polynomial
from numpy.polynomial.legendre import leggauss

M_STAGES = 4


def _lagrange(nodes: np.ndarray) -> list[Polynomial]:
    out = []
    for k, node in enumerate(nodes):
        others = np.delete(nodes, k)
        out.append(Polynomial.fromroots(others) / np.prod(node - others))
    return out


#: Gauss points of an interval, their weights, and the integrals up to each of them.
C_GAUSS = (leggauss(M_STAGES)[0] + 1) / 2
B_GAUSS = leggauss(M_STAGES)[1] / 2
A_GAUSS = np.array([[ell.integ()(c) - ell.integ()(0.0) for ell in _lagrange(C_GAUSS)] for c in C_GAUSS])
_BASIS = _lagrange(np.append(0.0, C_GAUSS))  # of the polynomials: through the left end and the stages
_LEADING = np.array([ell.coef[-1] for ell in _BASIS])
SLOPES = np.array([[ell.deriv()(c) for ell in _BASIS] for c in (0.0, 1.0)])


def evaluated(mesh: np.ndarray, nodes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the polynomials through ``nodes`` (N, m + 1, n) at phases in [0, 1)."""
    j = np.clip(np.searchsorted(mesh, at, side="right") - 1, 0, len(mesh) - 2)
    inside = (at - mesh[j]) / (mesh[j + 1] - mesh[j])
    basis = np.stack([ell(inside) for ell in _BASIS], axis=1)
    out: np.ndarray = np.einsum("sk,skn->sn", basis, nodes[j])
    return out


def monitor(nodes: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """Return the density (N,) that the mesh should have: a root of the highest derivative that is left out."""
    h = np.diff(mesh)
    m = M_STAGES
    highest = np.einsum("k,jkn->jn", _LEADING, nodes) / h[:, None] ** m
    jumps = np.linalg.norm(highest - np.roll(highest, 1, axis=0), axis=1) / ((h + np.roll(h, 1)) / 2)
    density = (0.5 * (jumps + np.roll(jumps, -1))) ** (1 / (m + 1))
    mean = float((density * h).sum())
    density = density + 0.1 * mean if mean > 0 else np.ones_like(density)
    # neighbours differ little: the estimate is a rough one
    return np.maximum(density, 0.5 * np.maximum(np.roll(density, 1), np.roll(density, -1)))


def equal_shares(edges: np.ndarray, density: np.ndarray, count: int) -> np.ndarray:
    """Return a mesh whose intervals have equal shares of a density that is constant between ``edges``."""
    shares = np.append(0.0, np.cumsum(density * np.diff(edges)))
    mesh = np.interp(np.linspace(0, shares[-1], count + 1), shares, edges)
    mesh[0], mesh[-1] = 0.0, 1.0
    out: np.ndarray = mesh
    return out


def peaks(at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the highest values (n,) of periodic samples (s, n), by a parabola through three of them."""
    k = values.argmax(axis=0)
    units = np.arange(values.shape[1])
    before, after = (k - 1) % len(at), (k + 1) % len(at)
    left, right = (at[k] - at[before]) % 1.0, (at[after] - at[k]) % 1.0
    top = values[k, units]
    a, b = values[before, units] - top, values[after, units] - top
    curvature = (a / left + b / right) / (left + right)
    slope = b / right - curvature * right
    with np.errstate(divide="ignore", invalid="ignore"):
        out: np.ndarray = top + np.where(curvature < 0, -(slope**2) / (4 * curvature), 0.0)
    return out


def weights(mesh: np.ndarray) -> np.ndarray:
    """Return the weights of the trapezoidal rule at the points of a periodic mesh."""
    h = np.diff(mesh)
    out: np.ndarray = (h + np.roll(h, 1)) / 2
    return out
