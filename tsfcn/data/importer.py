"""Datasets from a zip or a folder of any origin, checked before they appear in the archive.

Nothing that comes from outside is trusted. Only the two files of a dataset are unpacked or copied, under names chosen
here, into a hidden folder of the archive; they are read and checked against the catalogue there, and only then the
folder is moved to ROOT/NAME in one step. A refused dataset leaves nothing behind and changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from tsfcn.common.errors import UserError
from tsfcn.common.files import is_behind_link, open_regular, remove_tree
from tsfcn.common.text import size
from tsfcn.data import archive, catalogue, locate
from tsfcn.data.safe_zip import CHUNK_BYTES, Zip, open_zip

# The suffixes of files that hold a dataset, the preferred ones first: the text of the official archive, ..., that of
# the 2015 archive, which has no suffix.
FORMATS = (".tsv", ".ts", ".arff", ".csv", ".txt", "")
FILE = re.compile(
    rf"(?P<name>\w([\w +.()-]*[\w+)])?)_(?P<split>TRAIN|TEST)(?P<format>{'|'.join(map(re.escape, FORMATS))})"
)
# The official zip of UCR also contains fifteen datasets with missing values filled in and short cases lengthened, the
# zips of single datasets the same as NAME_eq and NAME_nmv; UEA's have each channel as a dataset of its own.
ADJUSTED = re.compile(r"(^|/)[^/]*adjusted[^/]*/", re.IGNORECASE)
VARIANT = re.compile(r"(?P<name>.+?)(_eq|_nmv|Dimension\d+)")

VALUE_BYTES = 32  # a number written in full has 24 characters and a separator
HEADER_BYTES = 1_000_000  # for all else in a file: comments, labels, '@' lines
MAX_FILE_BYTES = 4_000_000_000  # of a dataset that is not in the catalogue
SPARE_BYTES = 10_000_000  # that stay free on the disk
WAIT_SECONDS = 0.1  # between two looks at a dataset that another process is importing

Pair = tuple[str, str] | UserError  # the training and the test file of a dataset, or what is wrong with them


def n_values(name: str) -> int | None:
    """Return the number of values in both splits of a dataset; None for a name that is not in the catalogue."""
    facts = catalogue.CATALOGUE.get(name)
    return None if facts is None else (facts.n_train + facts.n_test) * facts.n_channels * facts.length


def max_file_bytes(name: str) -> int:
    """Return the limit on the bytes of one file of a dataset."""
    n = n_values(name)
    return MAX_FILE_BYTES if n is None else n * VALUE_BYTES + HEADER_BYTES


# ---------------------------------------------------------------------------------------------------------------------
# The archive


def destination(root: str | Path | None) -> Path:
    """Return the folder for new datasets, created where it is missing: `root`, else $TSFCN_ARCHIVE, else the default.

    Raises UserError where it is a file or cannot be created.
    """
    written = root or os.environ.get("TSFCN_ARCHIVE")
    try:
        folder = Path(written).expanduser() if written else locate.default_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"archive root '{written or '~'}' cannot be created ({reason}): use another folder") from error
    return folder


def is_present(name: str, root: Path) -> bool:
    """Return whether the archive at `root` has a dataset, complete and correct.

    A dataset outside `root` does not count, bundled or not. Raises UserError where something else has its name.
    """
    remedy = f"move '{root / name}' away and start again"
    try:
        files = locate.under(root, name)
        if files is not None:
            archive.passport_of_files(name, files)
            return True
    except UserError as error:
        raise UserError(f"dataset '{name}' is present but not usable: {remedy} ({error})") from error
    if os.path.lexists(root / name) and not _is_empty_folder(root / name):
        raise UserError(f"folder '{root / name}' exists without '{name}_TRAIN' and '{name}_TEST' files: {remedy}")
    return False


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def check_free_space(root: Path, n_bytes: int) -> None:
    """Raise UserError unless the disk of `root` has `n_bytes` free, and ten megabytes more."""
    n_free, n_needed = shutil.disk_usage(root).free, n_bytes + SPARE_BYTES
    if n_needed > n_free:
        raise UserError(
            f"archive root '{root}' has {size(n_free)} free, {size(n_needed)} are needed: "
            "free some space, or use another folder"
        )


def not_writable(root: Path, reason: str | None) -> UserError:
    """Return the error for an archive that cannot be written to."""
    return UserError(
        f"archive root '{root}' is not writable ({reason}): "
        "free some space, correct its permissions, or use another folder"
    )


# ---------------------------------------------------------------------------------------------------------------------
# The place where a dataset is prepared


class Incoming:
    """The hidden folder ROOT/.incoming/NAME in which one process prepares one dataset.

    As a context it waits until no other process prepares the same dataset, and removes the folder at the end. Only an
    interruption (Ctrl-C, a kill) leaves `part`, from which a download continues. No link is followed: neither folder
    may be one.

    Args:
        name: The dataset.
        root: The archive.
        notify: Receives a line when the context has to wait.
    """

    def __init__(self, name: str, root: Path, notify: Callable[[str], None] = lambda line: None) -> None:
        self.name, self.root, self.notify = name, root, notify
        self.folder = root / ".incoming" / name
        self.unpacked = self.folder / "unpacked"
        self.state_file = self.folder / "part.json"  # which file `part` is a part of
        self.part: BinaryIO  # open and locked inside the context

    def __enter__(self) -> Incoming:
        """Wait for the folder, and clear what a killed process left of unpacked files. Raises UserError."""
        has_waited = False
        while not self._take():
            if not has_waited:
                self.notify(f"{self.name}: waiting for another process that imports it")
            has_waited = True
            time.sleep(WAIT_SECONDS)
        remove_tree(self.unpacked, self.root)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Remove the folder, but keep what has arrived if this is an interruption."""
        remove_tree(self.unpacked, self.root)
        is_interrupted = kind is not None and not issubclass(kind, Exception)
        is_obsolete = not is_interrupted or self.part.seek(0, os.SEEK_END) == 0
        if is_obsolete:
            remove_tree(self.folder, self.root)
        self.part.close()
        if is_obsolete and os.name == "nt":  # an open file cannot be removed there
            remove_tree(self.folder, self.root)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()

    def _take(self) -> bool:
        """Open and lock `part`. Returns False where another process has it, or has removed it meanwhile."""
        try:
            if is_behind_link(self.folder, self.root):
                raise not_writable(self.root, f"'{self.folder}' is or is behind a symbolic link, which is not followed")
            self.folder.mkdir(parents=True, exist_ok=True)
            self.part = open_regular(self.folder / "part", "r+b", follow=False)
        except (FileNotFoundError, FileExistsError):
            if self.root.is_dir() and not self.folder.is_file():
                return False  # another process removed the folder between the two calls
            raise not_writable(self.root, "the folder is gone, or a file is in its place") from None
        except OSError as error:
            raise not_writable(self.root, error.strerror) from error
        if _lock(self.part) and self._is_current():
            return True
        self.part.close()
        return False

    def _is_current(self) -> bool:
        """Return whether the locked file is still in the folder: the previous process may have removed it."""
        try:
            return os.path.samestat(os.fstat(self.part.fileno()), os.lstat(self.folder / "part"))
        except OSError:
            return False

    def install(self, files: dict[str, Iterator[bytes]], label: str) -> dict[str, object]:
        """Write the files, check them as the dataset, move them to ROOT/NAME and return the passport.

        Args:
            files: The content of each file in chunks, by file name.
            label: The name of the source in messages.

        Raises:
            UserError: The files are not the dataset, or cannot be written. The archive is as it was.
        """
        target, work = self.root / self.name, self.unpacked / self.name
        try:
            self._write(work, files)
        except OSError as error:
            raise not_writable(self.root, error.strerror) from error
        try:
            passport = archive.checked(self.name, self.unpacked)
        except UserError as error:
            raise UserError(str(error).replace(f"{work}{os.sep}", f"{label}/").replace(str(work), label)) from error
        try:
            if _is_empty_folder(target):
                target.rmdir()
            os.rename(work, target)
        except OSError as error:
            raise not_writable(self.root, f"'{target}': {error.strerror}") from error
        return passport

    def _write(self, work: Path, files: dict[str, Iterator[bytes]]) -> None:
        work.mkdir(parents=True)
        for file_name, chunks in files.items():
            with (work / file_name).open("xb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())


def _lock(file: BinaryIO) -> bool:
    """Lock a file until it is closed. Returns False where another process has locked it.

    Some file systems have no locks: two processes may then spoil one download, which is refused like any damaged one.
    """
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _lock_on_windows(file: BinaryIO) -> bool:
    """Lock the first byte of a file; True also on a system without this kind of lock."""
    try:
        import msvcrt
    except ImportError:
        return True
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True


# ---------------------------------------------------------------------------------------------------------------------
# The datasets of a source


def find_datasets(paths: Iterable[str], label: str) -> dict[str, Pair]:
    """Return the two files of every dataset among `paths` (with '/'), by the dataset's name in the catalogue.

    Of several formats the first of FORMATS counts, of several folders the outermost; files of the archive's "adjusted"
    folder and variants of its datasets never do. Where that leaves a choice, one split is missing, or the name cannot
    be used, an error takes the place of the files: a mistake in one dataset is no reason to refuse another.

    >>> find_datasets(["U/Coffee/Coffee_TRAIN.tsv", "U/Coffee/Coffee_TEST.tsv", "U/read me.txt"], "U.zip")
    {'Coffee': ('U/Coffee/Coffee_TRAIN.tsv', 'U/Coffee/Coffee_TEST.tsv')}
    >>> list(find_datasets(["50words/50words_TRAIN", "50words/50words_TEST"], "UCR_TS_Archive_2015"))
    ['FiftyWords']
    """
    places: dict[str, dict[tuple[int, int, str], dict[str, str]]] = {}
    for path in paths:
        folder, _, base = path.rpartition("/")
        match = FILE.fullmatch(base)
        if match is None or base.startswith(".") or path.startswith("__MACOSX/") or ADJUSTED.search(path):
            continue
        variant = VARIANT.fullmatch(match["name"])
        if variant is not None and variant["name"].lower() in catalogue.BY_FILE:
            continue
        place = (path.count("/"), FORMATS.index(match["format"]), folder)
        name = catalogue.BY_FILE.get(match["name"].lower(), match["name"])
        places.setdefault(name, {}).setdefault(place, {})[match["split"]] = path
    return {name: _pair(name, candidates, label) for name, candidates in places.items()}


def _pair(name: str, candidates: dict[tuple[int, int, str], dict[str, str]], label: str) -> Pair:
    """Return the two files of a dataset, from its files by depth, format and folder."""
    complete = sorted(place for place, splits in candidates.items() if len(splits) == 2)
    if not locate.NAME.fullmatch(name):
        return UserError(f"'{label}' contains dataset {name!r}, which cannot be used as a name: rename its files")
    if not complete:
        (path,) = next(iter(candidates.values())).values()
        return UserError(f"'{label}' contains half of dataset '{name}', '{path}': both _TRAIN and _TEST are needed")
    if len(complete) > 1 and complete[0][:2] == complete[1][:2]:
        both = f"in '{complete[0][2]}' and '{complete[1][2]}'"
        return UserError(f"'{label}' contains dataset '{name}' {both}: import one of them")
    splits = candidates[complete[0]]
    return splits["TRAIN"], splits["TEST"]


def file_name(name: str, path: str) -> str:
    """Return the name that a file of `find_datasets` gets in the archive as a file of dataset `name`."""
    match = FILE.fullmatch(path.rpartition("/")[2])
    assert match is not None
    return f"{name}_{match['split']}{match['format']}"


class Folder:
    """A folder with the files of datasets: an unpacked archive, or the folder of one dataset."""

    def __init__(self, path: Path) -> None:
        self.path, self.label = path, str(path)

    def paths(self) -> list[str]:
        """Return the files under the folder, with '/', without hidden ones. Raises UserError if it is unreadable."""
        paths = []
        for folder, inner, files in os.walk(self.path, onerror=_refuse_unreadable):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            paths += [(Path(folder) / name).relative_to(self.path).as_posix() for name in files]
        return paths

    def n_bytes(self, path: str) -> int:
        """Return the size of a file; 0 where it cannot be seen, which reading it will tell."""
        with contextlib.suppress(OSError):
            return (self.path / path).stat().st_size
        return 0

    def read(self, path: str, max_bytes: int, password: bytes | None = None) -> Iterator[bytes]:
        """Return the content of a file in chunks. Raises UserError for one that is too large or not a regular file."""
        file_path = self.path / path
        n_bytes = 0
        try:
            with open_regular(file_path) as file:
                n_stated = os.fstat(file.fileno()).st_size
                while n_bytes <= max_bytes and n_stated <= max_bytes and (chunk := file.read(CHUNK_BYTES)):
                    n_bytes += len(chunk)
                    yield chunk
        except OSError as error:
            remedy = "correct its permissions, or leave it out"
            raise UserError(f"file '{file_path}' is not readable ({error.strerror}): {remedy}") from error
        if max(n_bytes, n_stated) > max_bytes:
            raise UserError(
                f"file '{file_path}' is too large, {size(max(n_bytes, n_stated))}: the limit is {size(max_bytes)}"
            )


def _refuse_unreadable(error: OSError) -> None:
    raise UserError(f"folder '{error.filename}' is not readable ({error.strerror}): correct its permissions") from error


@contextlib.contextmanager
def open_source(path: Path) -> Generator[Zip | Folder]:
    """Open a zip or a folder to import from. Raises UserError where it is neither, or unsafe."""
    if path.is_dir():
        yield Folder(path)
        return
    try:
        file = open_regular(path)
    except OSError as error:
        raise UserError(f"file '{path}' is not readable ({error.strerror}): use a zip or a folder") from error
    with file, open_zip(file, str(path)) as zipped:
        yield zipped


def datasets_of(source: Zip | Folder) -> dict[str, Pair]:
    """Return the files of every dataset of a source, by name (see `find_datasets`). Raises UserError without any."""
    paths = list(source.entries) if isinstance(source, Zip) else source.paths()
    pairs = find_datasets(paths, source.label)
    if pairs:
        return dict(sorted(pairs.items()))
    wanted = f"NAME_TRAIN and NAME_TEST files ({', '.join(filter(None, FORMATS))} or no suffix)"
    inner = [path for path in paths if path.lower().endswith(".zip")] if isinstance(source, Zip) else []
    if inner:
        raise UserError(f"'{source.label}' contains another zip, '{inner[0]}', and no {wanted}: unpack it first")
    raise UserError(f"'{source.label}' contains no dataset: use the archive's zip or a folder with {wanted}")


def read_files(
    source: Zip | Folder, name: str, paths: tuple[str, str], password: bytes | None = None
) -> dict[str, Iterator[bytes]]:
    """Return the content of the two files of a dataset in chunks, by the names that they get in the archive.

    Args:
        source: The open zip or folder.
        name: The dataset, whose size in the catalogue limits that of the files.
        paths: The two files in the source.
        password: That of an encrypted zip.

    Raises:
        UserError: Also while the chunks are read, for files that are too large or cannot be read.
    """
    return {file_name(name, path): source.read(path, max_file_bytes(name), password) for path in paths}


def import_dataset(
    source: Zip | Folder, name: str, paths: Pair, root: Path, password: bytes | None = None
) -> dict[str, object] | None:
    """Import one dataset and return its passport; None if it was present already.

    Args:
        source: The open zip or folder.
        name: The dataset.
        paths: Its two files, as `datasets_of` returns them.
        root: The archive.
        password: That of an encrypted zip.

    Raises:
        UserError: Something is wrong with the dataset. The archive is as it was.
    """
    if isinstance(paths, UserError):
        raise paths
    if is_present(name, root):
        return None
    with Incoming(name, root) as place:
        if is_present(name, root):  # imported by another process while this one waited
            return None
        check_free_space(root, sum(map(source.n_bytes, paths)))
        return place.install(read_files(source, name, paths, password), source.label)
