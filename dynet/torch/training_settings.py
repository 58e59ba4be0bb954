"""The settings of a training, checked, and the optimiser and schedule that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from dynet._validate import Faults
from dynet.errors import InputError
from dynet.lyapunov.checkpoint_file import check_path
from dynet.systems.digests import Digests
from dynet.torch.losses import check_task

__all__ = ["Settings", "check_training"]

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "rmsprop": lambda parameters, lr: torch.optim.RMSprop(parameters, lr=lr, alpha=0.99),
    "sgd": torch.optim.SGD,
}
SCHEDULES = ("constant", "one_cycle", "cosine")


@dataclass(frozen=True)
class Settings:
    """What a training is told besides model and task."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str | Callable[..., torch.optim.Optimizer]
    schedule: str | Callable[[torch.optim.Optimizer, int], Any]
    clip: float | None
    patience: int | None

    def plain(self) -> Settings:
        """Return the same with Python's own numbers: a checkpoint holds no others."""
        return replace(
            self,
            n_epochs=int(self.n_epochs),
            batch_size=int(self.batch_size),
            learning_rate=float(self.learning_rate),
            clip=None if self.clip is None else float(self.clip),
            patience=None if self.patience is None else int(self.patience),
        )

    def check(self, faults: Faults) -> None:
        """Note what cannot be used."""
        faults.integer("n_epochs", self.n_epochs, 1)
        faults.integer("batch_size", self.batch_size, 1)
        faults.positive("learning_rate", self.learning_rate)
        if not callable(self.optimizer):
            faults.choice("optimizer", self.optimizer, OPTIMIZERS)
        if not callable(self.schedule):
            faults.choice("schedule", self.schedule, SCHEDULES)
        if self.clip is not None:
            faults.positive("clip", self.clip)
        if self.patience is not None:
            faults.integer("patience", self.patience, 1)

    def identity(self) -> dict[str, Any]:
        """Return what a checkpoint must agree in; a constant rate leaves the number of epochs open."""
        named = {name: getattr(self, name) for name in ("optimizer", "schedule")}
        texts = {name: value if isinstance(value, str) else Digests().of(name, value) for name, value in named.items()}
        kept = {name: getattr(self, name) for name in ("batch_size", "learning_rate", "clip", "patience")}
        return {**kept, **texts, **({} if self.schedule == "constant" else {"n_epochs": self.n_epochs})}

    def make_optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimiser of those parameters that are learned."""
        make = OPTIMIZERS[self.optimizer] if isinstance(self.optimizer, str) else self.optimizer
        made = make([p for p in parameters if p.requires_grad], lr=self.learning_rate)
        if isinstance(made, torch.optim.LBFGS):
            raise InputError(
                "optimizer: LBFGS evaluates the loss several times a step, which this loop does not: give another"
            )
        return made

    def make_scheduler(self, optimizer: torch.optim.Optimizer, n_batches: Callable[[], int]) -> Any:
        """Return the scheduler, None for a constant rate; ``n_batches()`` is the length of the whole training."""
        if self.schedule == "constant":
            return None
        if callable(self.schedule):
            made = self.schedule(optimizer, n_batches())
            if isinstance(made, torch.optim.lr_scheduler.ReduceLROnPlateau):
                raise InputError(
                    "schedule: ReduceLROnPlateau waits for a loss, but rates go by batches here: give another"
                )
            return made
        if self.schedule == "one_cycle":
            return torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=n_batches())
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_batches())


def check_training(
    model: Any,
    task: Any,
    settings: Settings,
    *,
    monitor: Any,
    after_epoch: Any,
    n_threads: Any,
    checkpoint: Any,
    rng: Any,
) -> np.random.Generator:
    """Return the source of the training, or raise one InputError that names everything that cannot be used."""
    faults = Faults()
    if not isinstance(model, nn.Module):
        faults.add("model", model, "give a torch.nn.Module")
    elif not any(p.requires_grad for p in model.parameters()):
        faults.say("model has no parameter that requires a gradient: there is nothing to train")
    check_task(task, faults)
    settings.check(faults)
    if monitor is not None and not callable(getattr(monitor, "step", None)):
        faults.add("monitor", monitor, "give a LyapunovMonitor, or an object with step(epoch, **scalars)")
    faults.callable("after_epoch", after_epoch, "after_epoch(row)", optional=True)
    if n_threads is not None:
        faults.integer("n_threads", n_threads, 1)
    if checkpoint is not None:
        check_path(faults, checkpoint)
    generator = faults.generator("rng", rng)
    faults.raise_if_any()
    return generator
