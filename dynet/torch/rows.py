"""What a monitor writes into a row: what follows from a spectrum, norms of gradients, numbers of the user's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from dynet.errors import InputError
from dynet.lyapunov.dimension import count_zero_exponents, error_of_sum
from dynet.torch.journal import SPECTRA, SUMMARIES

__all__ = ["empty_row", "gradient_norms", "number", "spectrum_row"]

RESERVED = {*SPECTRA, *SUMMARIES, "gradient_norm", "message", "epoch", "exponent", "parameter"}


def empty_row(k: int) -> dict[str, Any]:
    """Return the row of an epoch of which nothing is known."""
    nothing: dict[str, Any] = {name: [float("nan")] * k for name in SPECTRA}
    nothing |= {name: float("nan") for name in SUMMARIES}
    return {**nothing, "gradient_norm": {}, "scalars": {}, "message": ""}


def spectrum_row(spectrum: xr.Dataset) -> dict[str, Any]:
    """Return exponents and what follows from them, each with its error; mean and variance are over finite ones."""
    exponents = spectrum["lyapunov_exponent"].values
    row: dict[str, Any] = {name: spectrum[name].values.tolist() for name in SPECTRA}
    leading = int(np.argmax(exponents))
    row["largest"], row["largest_error"] = float(exponents[leading]), row["standard_error"][leading]
    row["n_zero"] = float(count_zero_exponents(spectrum))
    finite = np.isfinite(exponents)
    if finite.any():
        m, values = finite.sum(), np.where(finite, exponents, 0.0)
        mean = values.sum() / m
        deviations = np.where(finite, values - mean, 0.0)
        row["mean"], row["variance"] = float(mean), float((deviations**2).sum() / m)
        row["mean_error"] = error_of_sum(spectrum, finite / m)[0]
        row["variance_error"] = error_of_sum(spectrum, 2 * deviations / m)[0]
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
