"""Data files, packed by gzip or not: read whole, checked, never unpickled."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dynet._validate import shown
from dynet.errors import InputError

__all__ = ["existing", "folder_of", "matching", "read_bytes", "read_idx", "read_text"]

#: Entries of an idx file that are single bytes.
_UNSIGNED_BYTE = 0x08


def folder_of(folder: Any, name: str, needs: str) -> Path:
    """Return the folder of the data set ``name``, or say what it must hold.

    ``folder`` is that folder or the one that it is in; None or the name itself stand for the folder that the
    environment variable DYNET_DATA tells.
    """
    is_named = folder is None or folder == name
    found = os.environ.get("DYNET_DATA") if is_named else folder
    if found is None or not isinstance(found, str | os.PathLike):
        way_out = f"give the folder that holds {needs}, or set DYNET_DATA to the one in which '{name}' is"
        raise InputError(f"folder={shown(folder)}: {way_out}")
    path = Path(found) / name if is_named or (Path(found) / name).is_dir() else Path(found)
    if not path.is_dir():
        raise InputError(f"folder='{path}': there is no such folder: give the one that holds {needs}")
    return path


def existing(folder: Path, names: Sequence[str]) -> Path:
    """Return the first of ``names`` that is in a folder, as it is or with the ending .gz."""
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise InputError(f"'{folder / names[0]}': there is no such file, nor with the ending .gz")


def matching(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a pattern in order; where one is there packed and unpacked, the unpacked one."""
    packed = {path.name.removesuffix(".gz"): path for path in folder.glob(f"{pattern}.gz")}
    return [path for _, path in sorted({**packed, **{path.name: path for path in folder.glob(pattern)}}.items())]


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, unpacked if its name ends in .gz."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content: bytes = file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"'{path}': truncated or damaged gzip file ({error}): fetch it again") from error
    except OSError as error:
        raise InputError(f"'{path}': cannot be read ({error.strerror or error})") from error
    return content


def read_idx(path: Path, n_dims: int) -> np.ndarray:
    """Return the unsigned bytes of an idx file with so many dimensions."""
    content = read_bytes(path)
    expected = (_UNSIGNED_BYTE << 8) | n_dims
    magic = int.from_bytes(content[:4], "big")
    if len(content) < 4:
        raise InputError(f"'{path}': {len(content)} bytes, expected at least {4 + 4 * n_dims}: the file is truncated")
    if magic != expected:
        raise InputError(
            f"'{path}': magic number {magic}, expected {expected} (unsigned bytes in {n_dims} dimensions): this is not "
            "the idx file that its name says"
        )
    start = 4 + 4 * n_dims
    shape = tuple(int(size) for size in np.frombuffer(content[4:start].ljust(4 * n_dims, b"\0"), dtype=">u4"))
    n_expected = start + math.prod(shape)
    if len(content) != n_expected:
        raise InputError(
            f"'{path}': {len(content)} bytes, expected {n_expected} for {shape}: the file is "
            + ("truncated" if len(content) < n_expected else "longer than it should be")
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def read_text(path: Path) -> str:
    """Return a text in UTF-8, without byte order mark and with line ends as one character."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}': no text in UTF-8 (byte {error.start} cannot be read)") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
