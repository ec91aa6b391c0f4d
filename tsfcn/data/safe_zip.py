"""Zips of unknown origin: the list of entries is checked before anything is unpacked, and each entry meanwhile."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tsfcn.common.errors import UserError
from tsfcn.common.text import size

MAX_ENTRIES = 10_000  # the official zip has a few hundred
MAX_DIRECTORY_BYTES = 2_000_000  # of the list of entries: 10,000 of them with paths of 150 characters
MAX_RATIO = 200  # text of numbers shrinks to a third or a tenth; text that repeats one value, to a hundredth
SMALL_BYTES = 1_000_000  # entries up to this size may have any ratio
CHUNK_BYTES = 1 << 18  # unpacked at a time

_AES = 99  # the compression method of entries that are encrypted with AES
_OFFICIAL = "use the official files"
_AGAIN = "download it again, or from elsewhere"


@dataclass(frozen=True)
class Zip:
    """An open zip whose list of entries is checked; see `open_zip`."""

    file: BinaryIO
    label: str
    entries: dict[str, zipfile.ZipInfo]  # by path

    @property
    def is_encrypted(self) -> bool:
        """Whether a password is needed."""
        return any(entry.flag_bits & 1 for entry in self.entries.values())

    def n_bytes(self, path: str) -> int:
        """Return the size of an entry that the zip states."""
        return self.entries[path].file_size

    def read(self, path: str, max_bytes: int, password: bytes | None = None) -> Iterator[bytes]:
        """Return the content of an entry in chunks.

        Raises UserError, also while the chunks are read, for an entry of more than `max_bytes`, a damaged one, one
        that grows beyond the size that the zip states, and one that cannot be decrypted or decompressed here.
        """
        entry = self.entries[path]
        self._check_entry(entry, max_bytes, password)
        n_packed = self._seek(entry)
        decrypt: Callable[[bytes], bytes] = bytes
        if entry.flag_bits & 1 and password is not None:
            decrypt = self._decrypter(entry, password, n_packed)
            n_packed -= 12
        n_bytes, checksum = 0, 0
        for chunk in self._unpacked(entry, n_packed, decrypt):
            n_bytes += len(chunk)
            if n_bytes > entry.file_size:
                raise self._bomb(entry)
            checksum = zlib.crc32(chunk, checksum)
            yield chunk
        if n_bytes != entry.file_size or checksum != entry.CRC:
            raise self._damaged(entry, "does not match its checksum")

    def check_password(self, password: bytes) -> None:
        """Raise UserError for a wrong password: each entry has a check byte, which 1 wrong password in 256 matches."""
        locked = [e for e in self.entries.values() if e.flag_bits & 1 and e.compress_type != _AES]
        for entry in locked[:16]:
            self._decrypter(entry, password, self._seek(entry))

    def _check_entry(self, entry: zipfile.ZipInfo, max_bytes: int, password: bytes | None) -> None:
        """Raise UserError for an entry that cannot be unpacked or should not be."""
        if entry.compress_type == _AES:
            raise UserError(
                f"'{self.label}' is encrypted with AES, which is not supported: unpack it (7z x FILE) and import the "
                "folder"
            )
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(
                f"'{self.label}' is compressed by method {entry.compress_type}, which is not supported: unpack it with "
                "another program and import the folder"
            )
        if entry.file_size > max_bytes:
            raise UserError(
                f"'{self.label}' is too large, '{entry.filename}' has {size(entry.file_size)}, the limit is "
                f"{size(max_bytes)}: {_OFFICIAL}"
            )
        if entry.file_size > SMALL_BYTES and entry.file_size > MAX_RATIO * entry.compress_size:
            raise self._bomb(entry)
        if entry.flag_bits & 1 and password is None:
            raise UserError(f"'{self.label}' is encrypted: use `tsfcn data import`, which asks for the password")

    def _seek(self, entry: zipfile.ZipInfo) -> int:
        """Move to the first byte of an entry and return the number of its packed bytes."""
        try:
            self.file.seek(entry.header_offset)
            signature, n_name, n_extra = struct.unpack("<4s22xHH", self.file.read(30))
        except (struct.error, OSError, ValueError):
            signature, n_name, n_extra = b"", 0, 0
        if signature != b"PK\3\4":
            raise self._damaged(entry, "has no header")
        self.file.seek(n_name + n_extra, os.SEEK_CUR)
        return entry.compress_size

    def _decrypter(self, entry: zipfile.ZipInfo, password: bytes, n_packed: int) -> Callable[[bytes], bytes]:
        """Read the twelve bytes before an encrypted entry and return the function that decrypts the rest."""
        decrypt = decrypter(password)
        header = decrypt(self.file.read(min(12, n_packed)))
        hour, minute = entry.date_time[3:5]
        # Programs that write to a pipe do not know the checksum yet and take the time.
        expected = hour << 3 | minute >> 3 if entry.flag_bits & 8 else entry.CRC >> 24
        if len(header) < 12 or header[11] != expected & 0xFF:
            raise UserError(
                f"password of '{self.label}' is wrong: the archive's web page states it beside the download"
            )
        return decrypt

    def _unpacked(self, entry: zipfile.ZipInfo, n_packed: int, decrypt: Callable[[bytes], bytes]) -> Iterator[bytes]:
        """Read the next `n_packed` bytes of the file and yield them decrypted and decompressed."""
        inflate = zlib.decompressobj(-zlib.MAX_WBITS) if entry.compress_type == zipfile.ZIP_DEFLATED else None
        while n_packed > 0:
            packed = self.file.read(min(CHUNK_BYTES, n_packed))
            if not packed:
                raise self._damaged(entry, "ends early")
            n_packed -= len(packed)
            if inflate is None:
                yield decrypt(packed)
            else:
                yield from self._inflated(entry, inflate, decrypt(packed))

    def _inflated(self, entry: zipfile.ZipInfo, inflate: zlib._Decompress, pending: bytes) -> Iterator[bytes]:
        chunk = b" " * CHUNK_BYTES
        while pending or len(chunk) == CHUNK_BYTES:  # after a full chunk zlib may hold more
            try:
                chunk = inflate.decompress(pending, CHUNK_BYTES)
            except zlib.error:
                raise self._damaged(entry, "cannot be decompressed") from None
            pending = b"" if inflate.eof else inflate.unconsumed_tail
            yield chunk

    def _damaged(self, entry: zipfile.ZipInfo, problem: str) -> UserError:
        return UserError(f"'{self.label}' is damaged, '{entry.filename}' {problem}: {_AGAIN}")

    def _bomb(self, entry: zipfile.ZipInfo) -> UserError:
        return UserError(
            f"'{self.label}' is a zip bomb, '{entry.filename}' unpacks to far more than it takes up: {_OFFICIAL}"
        )


@contextlib.contextmanager
def open_zip(file: BinaryIO, label: str) -> Generator[Zip]:
    """Open a zip and check its list of entries.

    Args:
        file: The zip, which can seek.
        label: The name of the zip in messages.

    Raises:
        UserError: It is no complete zip, has too many entries, or has entries that would leave the folder that they
            are unpacked to, that are not regular files, or that have the same name.
    """
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    beginning = file.read(512).lstrip().lower()
    if not n_bytes:
        raise UserError(f"'{label}' is empty: {_AGAIN}")
    if beginning.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise UserError(f"'{label}' is a web page, not a zip: {_AGAIN}")
    try:
        zipped = zipfile.ZipFile(_BoundedReads(file, label))
    except UserError:
        raise
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        problem = "cut short or damaged" if beginning.startswith(b"pk") else "not a zip"
        raise UserError(f"'{label}' is {problem}: {_AGAIN}") from error
    with zipped:
        yield Zip(file, label, _checked_entries(zipped, label))


def _checked_entries(zipped: zipfile.ZipFile, label: str) -> dict[str, zipfile.ZipInfo]:
    """Return the files of a zip by path, with '/' between folders. Raises UserError as `open_zip` does."""
    n_entries = len(zipped.infolist())
    if n_entries > MAX_ENTRIES:
        raise UserError(f"'{label}' has {n_entries} entries, the limit is {MAX_ENTRIES}: {_OFFICIAL}")
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in zipped.infolist():
        path = entry.orig_filename.replace("\\", "/")
        problem = _problem(path, entry)
        if problem is None and path in entries:
            problem = f"it contains '{path[:80]}' twice"
        if problem is not None:
            raise UserError(f"'{label}' is unsafe, {problem}: {_OFFICIAL}")
        entries[path] = entry
    return {path: entry for path, entry in entries.items() if not path.endswith("/")}


def _problem(path: str, entry: zipfile.ZipInfo) -> str | None:
    """Return why an entry is unsafe; None if it is not."""
    if path.startswith("/") or ".." in path.split("/") or re.match("[A-Za-z]:", path) or "\0" in path:
        return f"it contains {path[:80]!r}, a path that leaves the folder"
    if not path.isprintable():
        return f"it contains {path[:80]!r}, a name with control characters"
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return f"it contains '{path[:80]}', a link or a device"
    return None


class _BoundedReads:
    """A file whose reads are bounded: zipfile reads the list of entries, whose size the zip states, as a whole."""

    def __init__(self, file: BinaryIO, label: str) -> None:
        self.file, self.label = file, label
        self.seek, self.tell = file.seek, file.tell

    def read(self, n_bytes: int = -1) -> bytes:
        """Return the next `n_bytes`; all that is left without a number. Raises UserError for too many."""
        data = self.file.read(MAX_DIRECTORY_BYTES + 1 if n_bytes < 0 else min(n_bytes, MAX_DIRECTORY_BYTES + 1))
        if len(data) > MAX_DIRECTORY_BYTES:
            raise UserError(
                f"'{self.label}' has a list of entries of more than {size(MAX_DIRECTORY_BYTES)}: {_OFFICIAL}"
            )
        return data


# ---------------------------------------------------------------------------------------------------------------------
# The traditional encryption


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


class _Decrypter:
    """Decrypts the traditional encryption of zips, chunk after chunk; the three keys follow the text."""

    def __init__(self, password: bytes) -> None:
        self.keys = 0x12345678, 0x23456789, 0x34567890
        crc = _crc_table()
        key0, key1, key2 = self.keys
        for byte in password:
            key0 = (key0 >> 8) ^ crc[(key0 ^ byte) & 0xFF]
            key1 = ((key1 + (key0 & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
            key2 = (key2 >> 8) ^ crc[(key2 ^ (key1 >> 24)) & 0xFF]
        self.keys = key0, key1, key2

    def __call__(self, data: bytes) -> bytes:
        """Return the text of the next bytes."""
        crc, pad = _crc_table(), _pad_table()
        key0, key1, key2 = self.keys  # local names are faster, and this loop takes nearly all the time of an import
        text = bytearray(data)
        for i, byte in enumerate(data):
            byte ^= pad[key2 & 0xFFFF]  # noqa: PLW2901
            text[i] = byte
            key0 = (key0 >> 8) ^ crc[(key0 ^ byte) & 0xFF]
            key1 = ((key1 + (key0 & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
            key2 = (key2 >> 8) ^ crc[(key2 ^ (key1 >> 24)) & 0xFF]
        self.keys = key0, key1, key2
        return bytes(text)


def decrypter(password: bytes) -> Callable[[bytes], bytes]:
    """Return a function that decrypts the traditional encryption of zips, chunk after chunk.

    PKWARE's APPNOTE, section 6.1. Python's zipfile has the same, at two thirds of the speed.
    """
    return _Decrypter(password)
