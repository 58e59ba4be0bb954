"""What a monitor writes into a row: what follows from a spectrum, norms of gradients, numbers of the user's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from dynet.errors import InputError
from dynet.lyapunov.convergence import error_bars, interval_factor, sequence_rates
from dynet.lyapunov.dimension import number_of_zeros
from dynet.torch.journal import SPECTRA, SUMMARIES

__all__ = ["empty_row", "gradient_norms", "number", "spectrum_row"]

RESERVED = {*SPECTRA, *SUMMARIES, "gradient_norm", "message", "epoch", "exponent", "parameter"}


def empty_row(k: int) -> dict[str, Any]:
    """Return the row of an epoch of which nothing is known."""
    nothing: dict[str, Any] = {name: [float("nan")] * k for name in SPECTRA}
    nothing |= {name: float("nan") for name in SUMMARIES}
    return {**nothing, "gradient_norm": {}, "scalars": {}, "message": ""}


def spectrum_row(growth: np.ndarray, durations: np.ndarray, *, independent: bool, dt: float) -> dict[str, Any]:
    """Return exponents and what follows from them, each with its error; mean and variance are over finite ones.

    ``growth`` (sequence, block, exponent) and ``durations`` (sequence, block) are those of a run; ``independent`` says
    whether the sequences have inputs of their own.
    """
    exponents = sequence_rates(growth, durations).mean(axis=0)
    leading, finite = int(np.argmax(exponents)), np.isfinite(exponents)
    values, m = exponents[finite], max(int(finite.sum()), 1)
    deviations = values - values.sum() / m
    # to first order the variance changes as this sum of growths does
    sums = growth[..., finite] @ np.stack((np.full(values.size, 1 / m), 2 * deviations / m), axis=-1)
    columns = np.concatenate((growth, sums), axis=-1)
    errors, degrees = error_bars(columns, durations, independent=independent)
    k = len(exponents)
    widths = interval_factor(0.95, degrees[:k]) * errors[:k]
    row: dict[str, Any] = {
        "lyapunov_exponent": exponents.tolist(),
        "standard_error": errors[:k].tolist(),
        "degrees_of_freedom": degrees[:k].tolist(),
        "largest": float(exponents[leading]),
        "largest_error": float(errors[leading]),
        "n_zero": float(number_of_zeros(exponents, widths, dt=dt)),
    }
    if values.size:
        row["mean"], row["variance"] = float(values.sum() / m), float((deviations**2).sum() / m)
        row["mean_error"], row["variance_error"] = errors[k:].tolist()
    return row


def gradient_norms(model: nn.Module) -> dict[str, float]:
    """Return the norm of every parameter's gradient, NaN where there is none; one transfer from a device."""
    names, norms = [], []
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        names.append(name)
        if gradient is None:
            norms.append(torch.full((), torch.nan, device=parameter.device))
            continue
        gradient = gradient.detach()
        entries = gradient.coalesce().values() if gradient.is_sparse else gradient
        wide = torch.float64 if entries.dtype == torch.float64 else torch.float32
        norms.append(torch.linalg.vector_norm(entries, dtype=wide))
    if not norms:
        return {}
    device = norms[0].device
    return dict(zip(names, torch.stack([norm.to(device, torch.float64) for norm in norms]).tolist(), strict=True))


def number(name: str, value: Any) -> float:
    """Return a scalar of the user's as a float."""
    if name in RESERVED:
        raise InputError(f"{name}: the Dataset has a variable of that name: choose another")
    return float(value.detach() if isinstance(value, torch.Tensor) else value)
