"""The run of a training: its epochs, its state, and how a checkpoint brings it back."""

from __future__ import annotations

import math
import time
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
import xarray as xr
from torch import nn

from dynet.errors import DivergenceError, InputError
from dynet.systems.digests import Digests
from dynet.torch.epochs import Epoch, training_result
from dynet.torch.evaluation import evaluate
from dynet.torch.losses import batch_loss, loss_function, to_tensors
from dynet.torch.training_checkpoint import (
    check_identity,
    generator_state,
    plain_numbers,
    read_training,
    restore_generator,
    write_training,
)
from dynet.torch.training_settings import Settings

__all__ = ["TrainingRun"]

#: Seconds between checkpoints within an epoch.
_CHECKPOINT_SECONDS = 30.0


class TrainingRun:
    """One training, from its settings to its result."""

    def __init__(
        self, model: nn.Module, task: Any, settings: Settings, rng: np.random.Generator, path: Path | None
    ) -> None:
        self.model, self.task, self.settings, self.rng, self.path = model, task, settings, rng, path
        self.loss = loss_function(task.loss)
        first = next(model.parameters())
        self.device, self.dtype = first.device, first.dtype
        self.optimizer = settings.make_optimizer(model.parameters())
        self.scheduler = settings.make_scheduler(self.optimizer, self._n_batches)
        self.identity = {
            **settings.identity(),
            "parameters": ", ".join(f"{name} {tuple(p.shape)} {p.dtype}" for name, p in model.named_parameters()),
            "initial weights": Digests().of("weights", list(model.state_dict().values())),
            "task": f"{type(task).__name__} {Digests().of('task', task)}",
            "rng": Digests().of("rng", generator_state(rng)),
        }
        self.rows: list[dict[str, Any]] = []
        self.current: Epoch | None = None
        self.epoch_start = ""
        self.best: dict[str, Any] = {"loss": math.inf, "epoch": 0, "weights": {}}
        self.saved, self.written = time.monotonic(), False
        if path is not None and path.exists():
            self._resume(read_training(path))

    def _n_batches(self) -> int:
        batches = self.task.batches("train", self.settings.batch_size, np.random.default_rng(0))
        return self.settings.n_epochs * sum(1 for _ in batches)

    def goes_on(self) -> bool:
        """Return whether there is another epoch to come."""
        waited = len(self.rows) - self.best["epoch"]
        return len(self.rows) < self.settings.n_epochs and (
            self.settings.patience is None or waited < self.settings.patience or not self.rows
        )

    def epoch(self) -> dict[str, Any]:
        """Run one epoch, or the rest of it, and return its row."""
        begun = time.perf_counter()
        if self.current is None:
            self.current, self.epoch_start = Epoch(len(self.rows) + 1), generator_state(self.rng)
        epoch, before = self.current, self.current.seconds
        self.model.train()
        # a continued epoch draws its batches anew and passes over those that were done
        batches = islice(self.task.batches("train", self.settings.batch_size, self.rng), epoch.n_batches, None)
        for batch in batches:
            self._step(batch, epoch)
            epoch.seconds = before + time.perf_counter() - begun
            if time.monotonic() - self.saved > _CHECKPOINT_SECONDS:
                self._check_weights(epoch)
                self.save()
        if not epoch.n_batches:
            raise InputError("task: batches('train', ...) yields nothing: give a task with sequences to train on")
        self._check_weights(epoch)
        scalars = {}
        if "validation" in getattr(self.task, "splits", ("validation",)):
            reached = evaluate(self.model, self.task)
            scalars = {"validation_loss": reached["loss"]} | {k: v for k, v in reached.items() if k == "metric"}
            if not math.isfinite(reached["loss"]):
                self._stop_after(epoch, f"the validation loss is {reached['loss']}")
            if scalars["validation_loss"] < self.best["loss"]:
                self.best = {"loss": reached["loss"], "epoch": epoch.number, "weights": _copied(self.model)}
        scalars["learning_rate"] = float(self.optimizer.param_groups[0]["lr"])
        scalars["duration"] = before + time.perf_counter() - begun
        self.rows.append(epoch.row(**scalars))
        self.current = None
        return self.rows[-1]

    def _step(self, batch: Any, epoch: Epoch) -> None:
        """Take one step of the optimiser, or raise before it where loss or gradient are not finite."""
        inputs, targets, weights = to_tensors(batch, self.device, self.dtype)
        loss = batch_loss(self.loss, self.model(inputs), targets, weights)
        self.optimizer.zero_grad()
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), math.inf))
        value = float(loss.detach())
        for name, number in (("the loss", value), ("the norm of the gradient", norm)):
            if not math.isfinite(number):
                raise DivergenceError(self._diverged(name, number, epoch), step=epoch.n_batches)
        epoch.add(value, len(targets), self.model)
        if self.settings.clip is not None and norm > self.settings.clip:
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    parameter.grad *= self.settings.clip / norm
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()

    def _check_weights(self, epoch: Epoch) -> None:
        """Raise unless all weights are finite: a step may overflow although loss and gradient did not."""
        for name, parameter in self.model.named_parameters():
            if not torch.isfinite(parameter).all():
                self._stop_after(epoch, f"the weights {name} are not finite")

    def _stop_after(self, epoch: Epoch, what: str) -> NoReturn:
        kept = "" if self.path is None or not self.path.exists() else f"; '{self.path}' is the last good checkpoint"
        message = f"{what} in epoch {epoch.number}, after batch {epoch.n_batches - 1}{kept}"
        raise DivergenceError(f"{message}: lower learning_rate, or give a smaller clip", step=epoch.n_batches)

    def _diverged(self, name: str, value: float, epoch: Epoch) -> str:
        kept = "" if self.path is None else f", and '{self.path}' is the last good checkpoint"
        return (
            f"{name} is {value} in epoch {epoch.number}, batch {epoch.n_batches}: the model keeps the weights of "
            f"before that batch{kept}; lower learning_rate, or give a smaller clip"
        )

    def save(self) -> None:
        """Write the checkpoint, if there is to be one."""
        self.saved = time.monotonic()
        if self.path is None:
            return
        devices = [] if self.device.type != "cuda" else [torch.cuda.get_rng_state(self.device)]
        content = {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "optimizer": plain_numbers(self.optimizer.state_dict()),
            "scheduler": None if self.scheduler is None else plain_numbers(_plain(self.scheduler.state_dict())),
            "rows": self.rows,
            "current": None if self.current is None else vars(self.current),
            "best": self.best,
            "epoch_start": self.epoch_start,
            "rng": generator_state(self.rng),
            "torch_rng": [torch.get_rng_state(), *devices],
        }
        write_training(self.path, content, check=not self.written)
        self.written = True

    def _resume(self, content: dict[str, Any]) -> None:
        """Go back to where a checkpoint stands."""
        assert self.path is not None
        check_identity(self.path, content["identity"], self.identity)
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(content["scheduler"])
        self.rows, self.best, self.epoch_start = content["rows"], content["best"], content["epoch_start"]
        if content["current"] is not None:
            self.current = Epoch(**content["current"])
        restore_generator(self.rng, content["rng"] if self.current is None else self.epoch_start)
        torch.set_rng_state(content["torch_rng"][0])
        if self.device.type == "cuda" and len(content["torch_rng"]) > 1:
            torch.cuda.set_rng_state(content["torch_rng"][1], self.device)

    def finish(self) -> xr.Dataset:
        """Return the result, with the best weights in the model if they were to be kept."""
        if self.settings.patience is not None and self.best["weights"]:
            self.model.load_state_dict(self.best["weights"])
        self.model.eval()
        stopped = "n_epochs" if len(self.rows) >= self.settings.n_epochs else "patience"
        attrs = {
            "title": "training",
            "method": "backpropagation through time",
            **self.settings.identity(),
            "n_epochs": self.settings.n_epochs,
            "task": type(self.task).__name__,
            "stopped": stopped,
            "best_epoch": self.best["epoch"],
        }
        return training_result(self.rows, [name for name, _ in self.model.named_parameters()], attrs)


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a scheduler's state that is data: functions come back with the scheduler itself."""
    return {name: value for name, value in state.items() if not callable(value)}


def _copied(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
