"""A folder as a client of a slow network file system sees it: `python slow_folder.py FOLDER MOUNT`, until unmounted.

Each operation on MOUNT takes DELAY_SECONDS longer than on FOLDER; names that were seen are believed for CACHE_SECONDS;
and while FOLDER.away exists, nothing answers. NFS keeps attributes as well, but not those of a file that is opened.
FUSE of Linux, for root.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mfusepy

DELAY_SECONDS = 0.003
CACHE_SECONDS = 3


def away(folder: Path) -> Path:
    """Return the file that lets a folder not answer while it exists."""
    return folder.with_name(f"{folder.name}.away")


def late(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Let an operation wait before it is done."""

    @functools.wraps(operation)
    def wait(folder: SlowFolder, *arguments: Any) -> Any:
        time.sleep(DELAY_SECONDS)
        while folder.away.exists():
            time.sleep(0.1)
        return operation(folder, *arguments)

    return wait


class SlowFolder(mfusepy.Operations):  # type: ignore[misc]
    """Hands each operation on to the folder, late."""

    use_ns = True

    def __init__(self, folder: str) -> None:
        self.folder, self.away = folder, away(Path(folder))

    def path(self, path: str) -> str:
        """Return where a path under the mount lies."""
        return self.folder + path

    @late
    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        status = os.lstat(self.path(path)) if fh is None else os.fstat(fh)
        times = {f"st_{each}": getattr(status, f"st_{each}_ns") for each in ("atime", "mtime", "ctime")}
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino")
        return {**times, **{name: getattr(status, name) for name in names}}

    @late
    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self.path(path))]

    @late
    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return os.open(self.path(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    @late
    def open(self, path: str, flags: int) -> int:
        return os.open(self.path(path), flags & ~os.O_APPEND)

    @late
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    @late
    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    @late
    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self.path(path) if fh is None else fh, length)
        return 0

    @late
    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    @late
    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    @late
    def unlink(self, path: str) -> int:
        os.unlink(self.path(path))
        return 0

    @late
    def rename(self, old: str, new: str) -> int:
        os.replace(self.path(old), self.path(new))
        return 0

    @late
    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self.path(path), mode)
        return 0

    @late
    def rmdir(self, path: str) -> int:
        os.rmdir(self.path(path))
        return 0

    @late
    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self.path(path), mode)
        return 0

    @late
    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        os.utime(self.path(path), ns=times or (time.time_ns(), time.time_ns()))
        return 0

    @late
    def statfs(self, path: str) -> dict[str, int]:
        status = os.statvfs(self.path(path))
        return {name: getattr(status, name) for name in dir(status) if name.startswith("f_")}


@contextlib.contextmanager
def mounted(folder: Path, mount: Path) -> Iterator[None]:
    """Mount a folder by a process of its own while the block lasts."""
    mount.mkdir()
    server = subprocess.Popen([sys.executable, __file__, str(folder), str(mount)])
    try:
        end = time.monotonic() + 60
        while not os.path.ismount(mount):
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{mount} cannot be mounted")
            time.sleep(0.05)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=False)
        server.terminate()
        server.wait(30)


if __name__ == "__main__":
    caches = {"entry_timeout": CACHE_SECONDS, "attr_timeout": 0}  # attributes are fresh in a file that was opened
    mfusepy.FUSE(SlowFolder(sys.argv[1]), sys.argv[2], foreground=True, allow_other=True, **caches)
