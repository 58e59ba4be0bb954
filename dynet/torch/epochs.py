"""What a training keeps of its epochs, and the Dataset that it makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from dynet._labels import dataset

__all__ = ["Epoch", "training_result"]

_VARIABLES = {
    "loss": ("training loss, mean over the sequences of the epoch", "1"),
    "validation_loss": ("loss on the validation split after the epoch", "1"),
    "metric": ("metric of the task on the validation split after the epoch", "1"),
    "learning_rate": ("learning rate at the end of the epoch", "1"),
    "duration": ("time that the epoch took, validation included", "s"),
}


@dataclass
class Epoch:
    """The sums of one epoch, as far as it has come."""

    number: int
    n_batches: int = 0
    n_sequences: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    norms: dict[str, float] = field(default_factory=dict)

    def add(self, loss: float, n_sequences: int, model: nn.Module) -> None:
        """Count one batch, with the norms of the gradients that it left in ``model``."""
        self.n_batches += 1
        self.n_sequences += n_sequences
        self.loss += loss * n_sequences
        named = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
        values = torch.stack([torch.linalg.vector_norm(gradient) for _, gradient in named]).tolist()
        for (name, _), value in zip(named, values, strict=True):
            self.norms[name] = self.norms.get(name, 0.0) + value

    def row(self, **scalars: float) -> dict[str, Any]:
        """Return means over the epoch, and what was measured at its end."""
        norms = {name: total / self.n_batches for name, total in self.norms.items()}
        return {"epoch": self.number, "loss": self.loss / self.n_sequences, "gradient_norm": norms, **scalars}


def training_result(rows: list[dict[str, Any]], names: list[str], attrs: dict[str, Any]) -> xr.Dataset:
    """Label the rows of a training; ``names`` are those of its parameters."""
    variables: dict[str, tuple[tuple[str, ...], Any, str, str]] = {
        name: (("epoch",), np.array([row.get(name, np.nan) for row in rows], dtype=float), text, unit)
        for name, (text, unit) in _VARIABLES.items()
    }
    norms = np.array([[row["gradient_norm"].get(name, np.nan) for name in names] for row in rows], dtype=float)
    variables["gradient_norm"] = (
        ("epoch", "parameter"),
        norms.reshape(len(rows), len(names)),
        "norm of the gradient of the loss before clipping, mean over batches",
        "1",
    )
    coords = {"epoch": [row["epoch"] for row in rows], "parameter": names}
    return dataset(variables, coords, attrs)
