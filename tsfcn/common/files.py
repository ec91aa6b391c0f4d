"""Files that are complete or absent, files and folders that others cannot change, and the cache folder."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tsfcn.common.errors import UserError
from tsfcn.common.streams import notice

MAX_TRIES = 10  # at a folder that others create and remove meanwhile

# Windows has none of the last three.
_OPEN_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)

# ---------------------------------------------------------------------------------------------------------------------
# Writing


def replace(path: Path, write: Callable[[BinaryIO], object], sync: bool = True) -> None:
    """Let `write` fill a temporary file beside `path` and move it to `path`; a failure leaves `path` as it was.

    The file gets the permissions that the umask allows.

    Args:
        path: The file; its folder is created where it is missing.
        write: Writes the content to an open binary file.
        sync: Wait until the disk has the file. Without it the file may be empty after a power cut.
    """
    handle, temporary = _open_temporary(path)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if sync:
            sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_output(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that the user names, as `replace` does. A link is followed; a device or pipe is written to.

    Raises UserError if the path is a folder or cannot be written.
    """
    if path.is_dir():
        raise UserError(f"'{path}' is a folder: name a file")
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                write(file)
        else:
            replace(path.resolve(), write)
    except OSError as error:
        raise UserError(f"file '{path}' is not writable ({error.strerror}): name another one") from error


def _open_temporary(path: Path) -> tuple[int, Path]:
    """Return the handle and the path of a new file beside `path`. Its folder may vanish meanwhile: try again."""
    for n_left in reversed(range(MAX_TRIES)):
        temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Unlike tempfile, which allows nobody else to read.
            return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN_FLAGS, 0o666), temporary
        except (FileNotFoundError, FileExistsError):
            if not n_left:
                raise
    raise AssertionError("the last try returns or raises")


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names of the files in a folder, where the system supports that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# ---------------------------------------------------------------------------------------------------------------------
# Reading and removing what others may have put there


def open_regular(path: Path, mode: str = "rb", *, follow: bool = True) -> BinaryIO:
    """Open a regular file without waiting: a pipe would block, and a device may have no end.

    Args:
        path: The file.
        mode: 'rb' to read; 'r+b' to read and write a file that is created where it is missing.
        follow: Open what a symbolic link points to.

    Raises:
        OSError: The file cannot be opened, is no regular file, or is a link and `follow` is False.
    """
    access = os.O_RDONLY if mode == "rb" else os.O_RDWR | os.O_CREAT
    handle = os.open(path, access | _OPEN_FLAGS | _NO_WAIT | (0 if follow else _NO_FOLLOW), 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(handle, mode, buffering=0 if mode == "r+b" else -1)  # type: ignore[return-value]


def is_behind_link(path: Path, root: Path) -> bool:
    """Return whether `path`, or a folder between it and `root`, is a symbolic link."""
    below = path.relative_to(root).parts
    return any(root.joinpath(*below[:depth]).is_symlink() for depth in range(1, len(below) + 1))


def remove_tree(folder: Path, root: Path) -> None:
    """Remove a folder below `root` and all that is in it, as far as the permissions allow.

    Links inside are removed and not followed; where the way from `root` to the folder is a link, nothing is removed.
    """
    if not is_behind_link(folder, root):
        shutil.rmtree(folder, ignore_errors=True)


def regular_files(folder: Path) -> list[Path]:
    """Return the regular files in a folder, by name: no links, and no files where the folder is a link or missing."""
    if folder.is_symlink():
        return []
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    except OSError:
        return []


# ---------------------------------------------------------------------------------------------------------------------
# The cache


def cache_folder() -> Path:
    """Return the folder of what can be made again, $TSFCN_CACHE or ~/.cache/tsfcn; it need not exist.

    Raises OSError without a home folder, and for a folder that other users can write to, whose files would run in this
    process; the latter is also printed on stderr, once.
    """
    written = os.environ.get("TSFCN_CACHE")
    try:
        folder = Path(written).expanduser() if written else Path.home() / ".cache" / "tsfcn"
    except RuntimeError as error:
        raise OSError("no folder for the cache") from error
    if folder.exists() and not is_trusted(folder):
        notice(
            f"cache folder '{folder}' is not used, other users can write to it: remove their permission, or set "
            "TSFCN_CACHE to a folder of your own"
        )
        raise PermissionError(errno.EACCES, "other users can write to it", str(folder))
    return folder


def create_cache_folder() -> Path:
    """Return the cache folder, created where it is missing. Raises OSError as `cache_folder` does."""
    cache_folder().mkdir(mode=0o755, parents=True, exist_ok=True)  # with a umask of 0 others could write to it
    return cache_folder()


def is_trusted(path: Path) -> bool:
    """Return whether no user but this one and root can change a file or folder, or put another one in its place.

    This holds where the file, its folder and all folders above belong to this user or root, and neither the group nor
    others can write to them; a folder above may have the sticky bit (/tmp). A group of the user's own name counts as
    the user. True on systems without user ids (Windows).
    """
    if not hasattr(os, "geteuid"):
        return True
    real = Path(os.path.realpath(path))
    try:
        return _is_owned(real.stat()) and _is_protected(real.stat()) and all(map(_is_safe_above, real.parents))
    except OSError:
        return False


def _is_safe_above(folder: Path) -> bool:
    """Return whether a folder above does not let other users replace what is in it."""
    status = folder.stat()
    is_sticky = bool(status.st_mode & stat.S_ISVTX)
    return _is_owned(status, or_unmapped=True) and (is_sticky or _is_protected(status))


def _is_owned(status: os.stat_result, *, or_unmapped: bool = False) -> bool:
    """Return whether a file belongs to this user or root; `or_unmapped`: or to nobody in this user namespace.

    In the containers of an ordinary user, root's folders (`/`, `/home`) seem to belong to nobody.
    """
    return status.st_uid in (0, os.geteuid()) or (or_unmapped and status.st_uid == _overflow_uid())


@functools.cache
def _overflow_uid() -> int:
    try:
        return int(Path("/proc/sys/fs/overflowuid").read_text())
    except (OSError, ValueError):
        return 65534


def _is_protected(status: os.stat_result) -> bool:
    """Return whether neither others nor a group of others can write to a file."""
    if status.st_mode & stat.S_IWOTH:
        return False
    return not status.st_mode & stat.S_IWGRP or _is_private_group(status.st_gid)


@functools.cache
def _is_private_group(gid: int) -> bool:
    """Return whether a group is named after this user, as systems do that give each user a group (umask 002)."""
    import grp
    import pwd

    try:
        return grp.getgrgid(gid).gr_name == pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
