"""Files that appear complete or not at all."""

from __future__ import annotations

import glob
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LONG_AGO = 3600.0  # seconds


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield an empty file beside ``target`` that takes its place when the block ends.

    It is on the disk before it has the name, so that not even a power cut leaves half of it. If the block fails,
    ``target`` stays what it was.

    Raises
    ------
    OSError
        If the folder cannot be written to, or the file cannot be finished.
    """
    _remove_leftovers(target)
    handle, name = tempfile.mkstemp(suffix=".partial", prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o666 & ~_umask())
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(partial, target)
        _flush_folder(target.parent)
    finally:
        partial.unlink(missing_ok=True)


def _remove_leftovers(target: Path) -> None:
    """Remove what processes that were killed while they wrote ``target`` have left behind, long ago."""
    pattern = f".{glob.escape(target.name)}.*.partial"
    with suppress(OSError):  # another process may be doing the same
        for leftover in target.parent.glob(pattern):
            if time.time() - leftover.stat().st_mtime > _LONG_AGO:
                leftover.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Bring the new name itself to the disk, where the system can do that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems refuse; the file itself is safe
            os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
