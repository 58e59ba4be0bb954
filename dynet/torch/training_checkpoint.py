"""Checkpoints of a training: weights, optimiser, schedule and random states, written whole or not at all."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dynet._files import replacing
from dynet._labels import dynet_version
from dynet._validate import shown
from dynet.errors import InputError

__all__ = ["check_identity", "generator_state", "plain_numbers", "read_training", "restore_generator", "write_training"]

_MARK = "dynet_training"
#: Changes whenever a file of before could be misread.
_FORMAT = 1


def generator_state(rng: np.random.Generator) -> str:
    """Return the state of a generator as text: its integers are wider than those of tensors."""
    return json.dumps(
        rng.bit_generator.state, default=lambda value: {"array": value.tolist(), "dtype": str(value.dtype)}
    )


def restore_generator(rng: np.random.Generator, text: str) -> None:
    """Put a generator back into a state that `generator_state` returned."""

    def revive(entry: dict[str, Any]) -> Any:
        return np.array(entry["array"], dtype=entry["dtype"]) if set(entry) == {"array", "dtype"} else entry

    rng.bit_generator.state = json.loads(text, object_hook=revive)


def plain_numbers(value: Any) -> Any:
    """Return a state with Python's numbers instead of numpy's, which reading refuses."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return type(value)({key: plain_numbers(held) for key, held in value.items()})
    if type(value) in (list, tuple):
        return type(value)(map(plain_numbers, value))
    return value


def write_training(path: Path, content: dict[str, Any], *, check: bool) -> None:
    """Write a checkpoint in place of the one before; ``check`` makes sure that it can be read again.

    Raises
    ------
    InputError
        If the file cannot be written, or if a state holds what reading refuses. The one before is left.
    """
    archive = io.BytesIO()  # torch's own writing to a file names no cause where a disk is full
    try:
        torch.save({_MARK: _FORMAT, "dynet": dynet_version(), **content}, archive)
        if check:
            archive.seek(0)
            torch.load(archive, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever objects of the user's may lead to
        raise InputError(
            f"checkpoint='{path}': the state of model, optimizer or schedule holds objects that are not read back "
            "without running code: give ones whose state is numbers and tensors, or no checkpoint"
        ) from error
    try:
        with replacing(path) as partial:
            partial.write_bytes(archive.getbuffer())
    except OSError as error:
        raise InputError(
            f"checkpoint='{path}': cannot be written ({error.strerror or error}); the one before is left. Make room "
            "and make the same call again"
        ) from error


def read_training(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds, on the host, or raise an InputError that says why not."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        written = content[_MARK]
    except Exception as error:  # whatever a damaged archive, or one of something else, may lead to
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"checkpoint='{path}': this is no checkpoint of a training, or it is damaged ({shown(reason)}): give "
            "another name, or delete the file, to start anew"
        ) from error
    if written != _FORMAT:
        raise InputError(
            f"checkpoint='{path}': written in format {written}, this version reads format {_FORMAT}: finish the "
            "training with the version that began it, or delete the file to start anew"
        )
    return dict(content)


def check_identity(path: Path, stored: dict[str, Any], here: dict[str, Any]) -> None:
    """Refuse a checkpoint of another training, and say in what it differs."""
    names = [name for name in here if stored.get(name) != here[name]]
    if names:
        differences = "; ".join(
            f"{name} is {shown(stored.get(name))} there, {shown(here[name])} here" for name in names
        )
        anew = (
            ", and make the model anew: this one may have been trained already," if "initial weights" in names else ""
        )
        raise InputError(
            f"checkpoint='{path}': it belongs to another training: {differences}. Give the same settings{anew} to go "
            "on with it, or another name to start anew"
        )
