"""Files of checkpoints: numbered arrays in an .npz archive, never pickled, and a header in JSON that names them.

Written whole or not at all; an archive that was cut or changed is told by its check sums.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from dynet._files import replacing
from dynet._labels import dynet_version
from dynet._validate import Faults
from dynet.errors import InputError
from dynet.kernels.memory_order import ordered

#: Changes whenever a file of before could be misread.
FORMAT = 1
_MARK = "dynet_checkpoint"


def check_path(faults: Faults, path: Any) -> None:
    """Note a fault if a checkpoint cannot be written to ``path``."""
    if not isinstance(path, str | os.PathLike):
        faults.add("checkpoint", path, "give the name of a file")
        return
    if not os.fspath(path):
        faults.add("checkpoint", path, "this is no name: give that of a file")
        return
    target = Path(path)
    if target.is_dir():
        faults.say(f"checkpoint='{target}': this is a folder: give the name of a file in it")
        return
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        faults.say(
            f"checkpoint='{target}': the folder '{target.parent}' cannot be written to ({error.strerror}): give a file "
            "in a folder that exists and may be written to"
        )


def write(path: Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a checkpoint in place of the one before; raise OSError if it cannot be done."""
    # thousands of sequences have as many small arrays: those of one kind are stored as one
    kinds: dict[Any, list[str]] = {}
    for name, array in arrays.items():
        kinds.setdefault((array.dtype.str, array.shape, array.strides), []).append(name)
    members: dict[str, Any] = {}
    for number, names in enumerate(kinds.values()):
        group = [np.asarray(arrays[name], order="C") for name in names]
        members[f"array_{number}"] = group[0][None] if len(group) == 1 else np.stack(group)
    index = [{"names": names, "strides": kind[2]} for kind, names in kinds.items()]
    text = json.dumps({_MARK: FORMAT, "dynet": dynet_version(), **header, "arrays": index}, indent=1)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, header=np.frombuffer(text.encode(), dtype=np.uint8), **members)


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return header and arrays of a checkpoint, or raise an InputError that says why not."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"checkpoint='{path}': cannot be read ({error.strerror})") from error
    with file:
        try:
            if not zipfile.is_zipfile(file):
                raise ValueError("not an archive")
            with np.load(file, allow_pickle=False) as stored:
                header = json.loads(stored["header"].tobytes())
                written = header[_MARK]
                arrays = _arrays(header, stored) if written == FORMAT else {}
        except Exception as error:  # whatever a damaged archive, array or text may lead to
            reason = str(error).strip("'\"").split("\n")[0]
            raise InputError(
                f"checkpoint='{path}': this is no checkpoint that dynet wrote, or it is damaged ({reason}): give "
                "another name, or delete the file, to start anew"
            ) from error
    if written != FORMAT:
        raise InputError(
            f"checkpoint='{path}': written in format {written} by dynet {header.get('dynet')}; this version reads "
            f"format {FORMAT}: finish the run with that version, or delete the file to start anew"
        )
    return header, arrays


def _arrays(header: dict[str, Any], stored: Any) -> dict[str, np.ndarray]:
    arrays = {}
    for number, kind in enumerate(header["arrays"]):
        for name, array in zip(kind["names"], stored[f"array_{number}"], strict=True):
            arrays[name] = ordered(np.asarray(array), tuple(kind["strides"]))
    return arrays
