"""Files that are whole or not there at all, and the folder of what can be made again."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def cache_folder() -> Path:
    """Return the folder of what can be made again, $TSFCN_CACHE or ~/.cache/tsfcn. Raises OSError without a home."""
    folder = os.environ.get("TSFCN_CACHE")
    try:
        return Path(folder).expanduser() if folder else Path.home() / ".cache" / "tsfcn"
    except RuntimeError as error:
        raise OSError("no folder for the cache") from error


def replace(path: Path, write: Callable[[BinaryIO], object], sync: bool = True) -> None:
    """Let `write` fill a temporary file beside `path`, sync it and move it into place; leaves nothing when it fails.

    sync=False: after a power cut the file may be empty, after anything else it is whole.
    """
    handle, name = _temporary(path)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
        if sync:
            sync_folder(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _temporary(path: Path) -> tuple[int, str]:
    """Create a temporary file beside `path` and its folder, which others may remove meanwhile because it is empty."""
    for last in (False, False, False, True):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        except (FileNotFoundError, FileExistsError):
            if last or (path.parent.exists() and not path.parent.is_dir()):
                raise
    raise AssertionError


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names of the files in a folder, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
