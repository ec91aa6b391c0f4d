"""From a zip or a folder of somebody else's to checked datasets under the archive's root.

Nothing that comes from outside is trusted: of a zip only the two files of a dataset are unpacked, under names that we
choose, into a hidden folder of root; they are read and checked against the catalogue there, and only then does the
folder move to root/NAME, at once. Whatever is refused leaves nothing behind and touches nothing that was there.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import stat
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tsfcn.common.errors import UserError
from tsfcn.data import archive, catalogue, locate

# The suffixes of files that hold a dataset, in the order in which we would have them: the official text first, that of
# 2015, which has none, last.
FORMATS = (".tsv", ".ts", ".arff", ".csv", ".txt", "")
FILE = re.compile(
    rf"(?P<name>\w([\w +.()-]*[\w+)])?)_(?P<split>TRAIN|TEST)(?P<format>{'|'.join(map(re.escape, FORMATS))})"
)
# The official zip holds, beside the datasets, fifteen of them with gaps filled and short cases lengthened.
ADJUSTED = re.compile(r"(^|/)[^/]*adjusted[^/]*/", re.IGNORECASE)

VALUE_BYTES = 32  # a number written in full has 24 characters and a separator
HEADER_BYTES = 1_000_000  # what a file may hold besides: comments, labels, '@' lines
N_MEMBERS = 10_000  # entries of a zip: the official one has a few hundred
DIRECTORY_BYTES = 8_000_000  # its list of entries, which is read as a whole
RATIO = 500  # text of numbers shrinks three to ten times; of one value alone, a hundred times
PIECE = 1 << 18  # bytes unpacked at a time


def values(name: str) -> int | None:
    """Return how many values a dataset holds in both splits, or None for a name that the catalogue does not know."""
    facts = catalogue.CATALOGUE.get(name)
    return None if facts is None else (facts.n_train + facts.n_test) * facts.length


def largest(name: str) -> int:
    """Return the bytes that one file of the dataset can have at most."""
    n_values = values(name)
    return 4_000_000_000 if n_values is None else n_values * VALUE_BYTES + HEADER_BYTES


def size(n_bytes: float) -> str:
    """Return a number of bytes as one reads it.

    >>> [size(n) for n in (0, 999, 1_234_567, 98_765_432, 3e9)]
    ['0 bytes', '999 bytes', '1.2 MB', '99 MB', '3.0 GB']
    """
    for unit, word in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.{1 if n_bytes < 10 * unit else 0}f} {word}"
    return f"{n_bytes:.0f} bytes"


# ---------------------------------------------------------------------------------------------------------------------
# Where datasets go


def destination(root: str | Path | None) -> Path:
    """Return the folder that datasets are put in, made if need be: `root`, else $TSFCN_ARCHIVE, else the default one.

    Raises UserError where it is a file or cannot be made.
    """
    given = root or os.environ.get("TSFCN_ARCHIVE")
    try:
        folder = Path(given).expanduser() if given else locate.default_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        said = getattr(error, "strerror", None) or error
        raise UserError(f"archive root '{given or '~'}' cannot be made ({said}): give another folder") from error
    return folder


def there(name: str, root: Path) -> bool:
    """Say whether root holds the dataset, whole and right. Raises UserError where it holds something else of its name.

    A dataset that is not under root is not there, bundled or not.
    """
    remedy = f"move '{root / name}' away and start again"
    try:
        if archive.holds(root, name):
            archive.passport(name, root)
            return True
    except UserError as error:
        raise UserError(f"dataset '{name}' is there but not usable: {remedy} ({error})") from error
    if os.path.lexists(root / name) and not _empty(root / name):
        raise UserError(f"folder '{root / name}' is there but without '{name}_TRAIN' and '{name}_TEST' files: {remedy}")
    return False


def _empty(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


class Incoming:
    """The hidden place under root, root/.incoming/NAME, in which one dataset is made ready by one process.

    As a context it waits until no other process is at the same dataset, and removes the place at its end. Only an
    interruption (Ctrl-C, a kill) leaves `part`, from which a download goes on.
    """

    def __init__(self, name: str, root: Path, tell: Callable[[str], None] = lambda line: None) -> None:
        self.name, self.root, self.tell = name, root, tell
        self.folder = root / ".incoming" / name
        self.unpacked = self.folder / "unpacked"
        self.facts = self.folder / "part.json"  # what `part` is a part of
        self.part: BinaryIO  # open while the context is entered, and locked

    def __enter__(self) -> Incoming:
        """Wait for the place, and clear what a killed process left of unpacked files."""
        told = False
        while True:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                handle = os.open(self.folder / "part", os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
            except FileNotFoundError:
                if self.root.is_dir():
                    continue  # another process removed the place between the two calls
                raise not_writable(self.root, "the folder is gone") from None
            except OSError as error:
                raise not_writable(self.root, error.strerror) from error
            self.part = os.fdopen(handle, "r+b", buffering=0)
            if _lock(self.part) and self._same():
                break
            self.part.close()
            if not told:
                self.tell(f"{self.name}: another process is at it, waiting")
                told = True
            time.sleep(0.1)
        shutil.rmtree(self.unpacked, ignore_errors=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Remove the place, but keep what has arrived if this is an interruption."""
        shutil.rmtree(self.unpacked, ignore_errors=True)
        interrupted = kind is not None and not issubclass(kind, Exception)
        if not interrupted or self.part.seek(0, os.SEEK_END) == 0:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.part.close()
        if sys.platform == "win32" and not interrupted:
            shutil.rmtree(self.folder, ignore_errors=True)  # an open file cannot be removed there
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()

    def _same(self) -> bool:
        """Say whether the locked file is still the one in the place: who held it before may have removed it."""
        try:
            return os.path.samestat(os.fstat(self.part.fileno()), os.stat(self.folder / "part"))
        except OSError:
            return False

    def put(self, files: dict[str, Iterator[bytes]], label: str) -> dict[str, object]:
        """Write the files, by name, check them as the dataset, move them to root/NAME and return the passport.

        label: what messages call the source. Raises UserError for whatever is wrong, and leaves root as it was.
        """
        target = self.root / self.name
        work = self.unpacked / self.name
        try:
            work.mkdir(parents=True)
            for file_name, pieces in files.items():
                with (work / file_name).open("wb") as file:
                    for piece in pieces:
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise not_writable(self.root, error.strerror) from error
        try:
            passport = archive.checked(self.name, self.unpacked)
        except UserError as error:
            raise UserError(str(error).replace(f"{work}{os.sep}", f"{label}/").replace(str(work), label)) from error
        try:
            if _empty(target):
                target.rmdir()
            os.rename(work, target)
        except OSError as error:
            raise not_writable(self.root, f"'{target}': {error.strerror}") from error
        return passport


def not_writable(root: Path, reason: str | None) -> UserError:
    """Return the error for a root that nothing can be written to."""
    return UserError(f"archive root '{root}' is not writable ({reason}): make room or mend its rights, or give another")


def room(root: Path, needed: int) -> None:
    """Raise UserError unless the disk under root has `needed` bytes, and ten megabytes more, to spare."""
    free = shutil.disk_usage(root).free
    needed += 10_000_000
    if needed > free:
        raise UserError(
            f"archive root '{root}' has {size(free)} free, {size(needed)} are needed: make room, or give another folder"
        )


def _lock(file: BinaryIO) -> bool:
    """Lock a file until it is closed. False: another process has it. Where a file system knows no locks: True.

    Without locks two processes can spoil one download between them; it is then refused, as any damaged one.
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


# ---------------------------------------------------------------------------------------------------------------------
# What a source holds


Pair = tuple[str, str] | UserError  # the training and the test file of a dataset, or what is wrong with them


def datasets(paths: Iterable[str], label: str) -> dict[str, Pair]:
    """Return the two files of every dataset among `paths` (with '/'), by the dataset's name, that of 2018.

    Of several formats the first of FORMATS is taken, of several folders the least deep; files of the archive's
    "adjusted" folder never. Where that leaves a choice, or one split of a dataset without the other, the error stands
    in the place of the files: another dataset's mistake is no reason to refuse this one.

    >>> datasets(["U/Coffee/Coffee_TRAIN.tsv", "U/Coffee/Coffee_TEST.tsv", "U/read me.txt"], "U.zip")
    {'Coffee': ('U/Coffee/Coffee_TRAIN.tsv', 'U/Coffee/Coffee_TEST.tsv')}
    >>> list(datasets(["50words/50words_TRAIN", "50words/50words_TEST"], "UCR_TS_Archive_2015"))
    ['FiftyWords']
    """
    found: dict[str, dict[tuple[int, int, str], dict[str, str]]] = {}
    for path in paths:
        folder, _, base = path.rpartition("/")
        match = FILE.fullmatch(base)
        if match is None or base.startswith(".") or path.startswith("__MACOSX/") or ADJUSTED.search(path):
            continue
        place = (path.count("/"), FORMATS.index(match["format"]), folder)
        name = catalogue.BY_FILE.get(match["name"].lower(), match["name"])
        splits = found.setdefault(name, {}).setdefault(place, {})
        splits[match["split"]] = path
    pairs: dict[str, Pair] = {}
    for name, places in found.items():
        whole = sorted(place for place, splits in places.items() if len(splits) == 2)
        if not whole:
            (path,) = next(iter(places.values())).values()
            pairs[name] = UserError(f"'{label}' holds half of dataset '{name}', '{path}': it needs _TRAIN and _TEST")
        elif len(whole) > 1 and whole[0][:2] == whole[1][:2]:
            both = f"in '{whole[0][2]}' and '{whole[1][2]}'"
            pairs[name] = UserError(f"'{label}' holds dataset '{name}' {both}: import one of them")
        else:
            splits = places[whole[0]]
            pairs[name] = (splits["TRAIN"], splits["TEST"])
    return pairs


def file_name(name: str, path: str) -> str:
    """Return what a file of `datasets` is called in the archive of dataset `name`."""
    match = FILE.fullmatch(path.rpartition("/")[2])
    assert match is not None
    return f"{name}_{match['split']}{match['format']}"


# ---------------------------------------------------------------------------------------------------------------------
# Importing


class Folder:
    """An unpacked archive, or a single dataset's folder, anywhere on this machine."""

    def __init__(self, path: Path) -> None:
        self.path, self.label = path, str(path)

    def paths(self) -> list[str]:
        """Return the files under the folder, with '/', without hidden ones. Raises UserError where it is unreadable."""
        found = []

        def failed(error: OSError) -> None:
            raise UserError(f"folder '{error.filename}' is not readable ({error.strerror}): mend its rights") from error

        for folder, inner, files in os.walk(self.path, onerror=failed):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            found += [(Path(folder) / name).relative_to(self.path).as_posix() for name in files]
        return found

    def files(self, name: str, paths: tuple[str, str], password: bytes | None = None) -> dict[str, Iterator[bytes]]:
        """Return the content of two files in pieces, by file name. Raises UserError for files that are too large."""
        return {file_name(name, path): self._pieces(self.path / path, largest(name)) for path in paths}

    def _pieces(self, path: Path, limit: int) -> Iterator[bytes]:
        try:
            with path.open("rb") as file:
                if (n_bytes := os.fstat(file.fileno()).st_size) > limit:
                    raise UserError(f"file '{path}' is oversized, {size(n_bytes)}: {size(limit)} are the most")
                while piece := file.read(PIECE):
                    yield piece
        except OSError as error:
            raise UserError(f"file '{path}' is not readable ({error.strerror}): mend its rights or its disk") from error


@contextlib.contextmanager
def source(path: Path) -> Generator[Zip | Folder]:
    """Open what is to be imported, a zip or a folder. Raises UserError where it is neither, or unsafe."""
    if path.is_dir():
        yield Folder(path)
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"file '{path}' is not readable ({error.strerror}): give a zip or a folder") from error
    with file, opened(file, str(path)) as zipped:
        yield zipped


def chosen(origin: Zip | Folder, label: str) -> dict[str, Pair]:
    """Return the files of every dataset of a source, by name (see `datasets`). Raises UserError where there is none."""
    found = datasets(origin.members if isinstance(origin, Zip) else origin.paths(), label)
    if not found:
        wanted = f"NAME_TRAIN and NAME_TEST files ({', '.join(filter(None, FORMATS))} or no suffix)"
        inner = [path for path in (origin.members if isinstance(origin, Zip) else ()) if path.lower().endswith(".zip")]
        if inner:
            raise UserError(f"'{label}' holds another zip, '{inner[0]}', and no {wanted}: unpack that first")
        raise UserError(f"'{label}' holds no dataset: give the archive's zip or a folder with {wanted}")
    return dict(sorted(found.items()))


def bring(
    origin: Zip | Folder, name: str, paths: Pair, root: Path, password: bytes | None = None
) -> dict[str, object] | None:
    """Bring one dataset of a source to root. Returns its passport, or None if it was there before.

    Raises UserError for whatever is wrong with it; nothing is left of it then.
    """
    if isinstance(paths, UserError):
        raise paths
    if there(name, root):
        return None
    with Incoming(name, root) as place:
        if there(name, root):  # by another process, while this one waited
            return None
        return place.put(origin.files(name, paths, password), origin.label)


# ---------------------------------------------------------------------------------------------------------------------
# Zips


@dataclass(frozen=True)
class Zip:
    """An open zip whose list of entries was looked through; see `opened`."""

    file: BinaryIO
    label: str
    members: dict[str, zipfile.ZipInfo]  # by path

    @property
    def encrypted(self) -> bool:
        """Whether a password is needed."""
        return any(info.flag_bits & 1 for info in self.members.values())

    def files(self, name: str, paths: tuple[str, str], password: bytes | None = None) -> dict[str, Iterator[bytes]]:
        """Return the content of two members in pieces, under the file names of dataset `name`.

        Raises UserError, also while the pieces are read, for members that are too large for the dataset or damaged.
        """
        return {file_name(name, path): self._pieces(self.members[path], largest(name), password) for path in paths}

    def check_password(self, password: bytes) -> None:
        """Raise UserError where the password is wrong: each member has a byte that tells, with 1 in 256 by chance."""
        locked = [info for info in self.members.values() if info.flag_bits & 1 and info.compress_type != 99]
        for info in locked[:16]:
            self._decrypter(info, password, self._seek(info))

    def _seek(self, info: zipfile.ZipInfo) -> int:
        """Move to the first byte of a member and return how many there are."""
        try:
            self.file.seek(info.header_offset)
            head = struct.unpack("<4s22xHH", self.file.read(30))
        except (struct.error, OSError, ValueError):
            head = (b"", 0, 0)
        if head[0] != b"PK\3\4":
            raise self._damaged(info, "has no beginning")
        self.file.seek(head[1] + head[2], os.SEEK_CUR)
        return info.compress_size

    def _decrypter(self, info: zipfile.ZipInfo, password: bytes, left: int) -> Callable[[bytes], bytes]:
        """Read the twelve bytes before an encrypted member and return what decrypts the rest."""
        decrypt = decrypter(password)
        head = decrypt(self.file.read(min(12, left)))
        hour, minute = info.date_time[3:5]
        expected = hour << 3 | minute >> 3 if info.flag_bits & 8 else info.CRC >> 24  # of writers that stream: the time
        if len(head) < 12 or head[11] != expected & 0xFF:
            raise UserError(f"password of '{self.label}' is wrong: its makers tell it where they offer the file")
        return decrypt

    def _pieces(self, info: zipfile.ZipInfo, limit: int, password: bytes | None) -> Iterator[bytes]:
        path = info.filename
        if info.compress_type == 99:
            raise UserError(
                f"'{self.label}' is encrypted with AES, which only other programs undo: unpack it "
                f"(7z x FILE) and import the folder"
            )
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(
                f"'{self.label}' is packed by method {info.compress_type}, which is not read: unpack it with another "
                "program and import the folder"
            )
        if info.file_size > limit:
            raise UserError(
                f"'{self.label}' is oversized, '{path}' has {size(info.file_size)} where {size(limit)} "
                "are the most: take the official files"
            )
        if info.file_size > HEADER_BYTES and info.file_size > RATIO * info.compress_size:
            raise self._bomb(info)
        left = self._seek(info)
        decrypt: Callable[[bytes], bytes] = bytes
        if info.flag_bits & 1:
            if password is None:
                raise UserError(f"'{self.label}' is encrypted: use `tsfcn data import`, which asks for the password")
            decrypt = self._decrypter(info, password, left)
            left -= 12
        inflate = zlib.decompressobj(-zlib.MAX_WBITS) if info.compress_type == zipfile.ZIP_DEFLATED else None
        n_bytes, checksum = 0, 0
        while left > 0:
            raw = self.file.read(min(PIECE, left))
            if not raw:
                raise self._damaged(info, "ends early")
            left -= len(raw)
            for piece in [decrypt(raw)] if inflate is None else self._inflated(info, inflate, decrypt(raw)):
                n_bytes += len(piece)
                if n_bytes > info.file_size:
                    raise self._bomb(info)
                checksum = zlib.crc32(piece, checksum)
                yield piece
        if n_bytes != info.file_size or checksum != info.CRC:
            raise self._damaged(info, "does not fit its checksum")

    def _inflated(self, info: zipfile.ZipInfo, inflate: zlib._Decompress, pending: bytes) -> Iterator[bytes]:
        piece = b" " * PIECE
        while pending or len(piece) == PIECE:  # a full piece may leave more behind, inside zlib
            try:
                piece = inflate.decompress(pending, PIECE)
            except zlib.error:
                raise self._damaged(info, "cannot be unpacked") from None
            pending = inflate.unconsumed_tail
            if inflate.eof:
                pending = b""
            yield piece

    def _damaged(self, info: zipfile.ZipInfo, what: str) -> UserError:
        return UserError(f"'{self.label}' is damaged, '{info.filename}' {what}: download it again, or from elsewhere")

    def _bomb(self, info: zipfile.ZipInfo) -> UserError:
        return UserError(
            f"'{self.label}' is a zip bomb, '{info.filename}' grows beyond what it may: take the official files"
        )


@contextlib.contextmanager
def opened(file: BinaryIO, label: str) -> Generator[Zip]:
    """Open a zip and look through its entries.

    label: what messages call it. Raises UserError for what is no whole zip, and for entries that would leave the
    folder they are unpacked to, that are no plain files, that stand there twice, or that are too many.
    """
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(512).lstrip().lower()
    again = "download it again, or from elsewhere"
    if not n_bytes:
        raise UserError(f"'{label}' is empty: {again}")
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise UserError(f"'{label}' is a web page, not a zip: {again}")
    _check_directory(file, n_bytes, label)
    try:
        zipped = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        what = "cut short or damaged" if head.startswith(b"pk") else "not a zip"
        raise UserError(f"'{label}' is {what}: {again}") from error
    with zipped:
        members: dict[str, zipfile.ZipInfo] = {}
        for info in zipped.infolist():
            path = info.orig_filename.replace("\\", "/")
            unsafe = "take the official files"
            if path.startswith("/") or ".." in path.split("/") or re.match("[A-Za-z]:", path) or "\0" in path:
                raise UserError(f"'{label}' is unsafe, it holds {path[:80]!r}, a path out of the folder: {unsafe}")
            if not path.isprintable():
                problem = f"it holds {path[:80]!r}, a name with control characters"
                raise UserError(f"'{label}' is unsafe, {problem}: {unsafe}")
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UserError(f"'{label}' is unsafe, '{path[:80]}' in it is a link or a device: {unsafe}")
            if path in members:
                raise UserError(f"'{label}' is unsafe, it holds '{path[:80]}' twice: {unsafe}")
            members[path] = info
        yield Zip(file, label, {path: info for path, info in members.items() if not path.endswith("/")})


def _check_directory(file: BinaryIO, n_bytes: int, label: str) -> None:
    """Raise UserError for a list of entries so long that reading it would take the memory."""
    file.seek(max(0, n_bytes - 65557))  # the end record and the longest comment after it
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at >= 0 and len(tail) >= at + 22:
        n_members, directory_bytes = struct.unpack("<10xHI", tail[at : at + 16])
        if n_members > N_MEMBERS or directory_bytes > DIRECTORY_BYTES:
            raise UserError(f"'{label}' holds {n_members} entries or more: take the official files")
    file.seek(0)


@functools.cache
def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ 0xEDB88320 if value & 1 else value >> 1  # noqa: PLW2901
        table.append(value)
    return table


@functools.cache
def _pad_table() -> bytes:
    """Return the byte that is mixed into the text, by the 16 low bits of the third key."""
    return bytes(((key | 2) * ((key | 2) ^ 1) >> 8) & 0xFF for key in range(65536))


def decrypter(password: bytes) -> Callable[[bytes], bytes]:
    """Return a function that decrypts the traditional encryption of zips, piece after piece.

    PKWARE's APPNOTE, section 6.1. Python's zipfile has the same, at two thirds of the speed.
    """
    crc, pad = _crc_table(), _pad_table()
    key0, key1, key2 = 0x12345678, 0x23456789, 0x34567890

    for byte in password:
        key0 = (key0 >> 8) ^ crc[(key0 ^ byte) & 0xFF]
        key1 = ((key1 + (key0 & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        key2 = (key2 >> 8) ^ crc[(key2 ^ (key1 >> 24)) & 0xFF]

    def decrypt(data: bytes) -> bytes:
        nonlocal key0, key1, key2
        a, b, c = key0, key1, key2  # local names are faster, and this loop is all that takes time
        out = bytearray(data)
        for i, byte in enumerate(data):
            byte ^= pad[c & 0xFFFF]  # noqa: PLW2901
            out[i] = byte
            a = (a >> 8) ^ crc[(a ^ byte) & 0xFF]
            b = ((b + (a & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
            c = (c >> 8) ^ crc[(c ^ (b >> 24)) & 0xFF]
        key0, key1, key2 = a, b, c
        return bytes(out)

    return decrypt
