"""Read the lines, numbers and labels of text files, whatever their encoding and compression."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tsfcn.common import files
from tsfcn.common.errors import UserError

Float64 = npt.NDArray[np.float64]

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
NAN = re.compile(r"[+-]?nan", re.IGNORECASE)
# Python reads '1_0' as 10, and takes some control characters for blanks. A broken disk or copy leaves NUL in a file.
MISREAD = re.compile(r"[_\0\x0b\x0c\x1c-\x1f]")

LARGEST_UNPACKED = 4_000_000_000  # bytes of a packed file
SMALLEST_BOMB = 50_000_000  # fewer unpacked bytes are always read
RATIO = 100  # text of numbers shrinks three to ten times

ENCODINGS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""Encodings by their byte order mark; UTF-8 has one of its own that the codec removes."""

OTHER_CONTENT = (
    (b"PK\x03\x04", "a zip or an Excel workbook", "unpack it, or save the sheet as .csv"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", "save the sheet as .csv"),
    (b"PAR1", "a parquet file", "call it .parquet"),
    (b"\x93NUMPY", "a numpy array", "call it .npy"),
    (b"\x89HDF", "an HDF5 file", "save it as .csv or .npz"),
    (b"MATLAB", "a MATLAB file", "save it as .csv or .npz"),
    (b"version https://git-lfs", "a pointer of Git LFS", "run `git lfs pull`"),
    (b"BZh", "a bzip2 archive", "unpack it"),
    (b"\xfd7zXZ", "an xz archive", "unpack it"),
    (b"<!doctype", "a web page", "download the data itself"),
    (b"<html", "a web page", "download the data itself"),
)
"""First bytes of files that are not text of ours, what they are, and what to do."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading. Raises UserError for anything else, as a device, a pipe or a folder."""
    try:
        return files.open_regular(path)
    except OSError as error:
        if path.exists() and not path.is_file():
            raise UserError(f"file '{path}' is a pipe, a device or a folder: give a regular file") from error
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> UserError:
    """Return the error for a file or folder that the system does not let us read."""
    return UserError(f"file '{path}' is not readable ({error.strerror}): correct its permissions, or copy it again")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not blank.

    The file may be packed with gzip, and be UTF-8, UTF-16 or UTF-32. Bytes that are not UTF-8 become surrogates, which
    `parse_label` refuses: they are common in the comments of .ts files. Raises UserError for a file that is not
    readable, not a regular file, damaged, or not text.
    """
    with open_regular(path) as file, contextlib.ExitStack() as stack:
        try:
            data: BinaryIO | gzip.GzipFile = file
            if _head(file)[:2] == b"\x1f\x8b":
                data = stack.enter_context(_unpacked(path, file))
            encoding = _encoding(path, _head(data))
            errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
            for number, line in enumerate(io.TextIOWrapper(data, encoding=encoding, errors=errors), start=1):
                if not line.isspace():
                    yield number, line.rstrip("\r\n")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(f"file '{path}' is damaged ({error}): copy it again") from error
        except OSError as error:
            raise unreadable(path, error) from error


def _head(data: BinaryIO | gzip.GzipFile) -> bytes:
    """Return the first bytes of a file, which is at its start before and after."""
    head = data.read(64)
    data.seek(0)
    return head


def _encoding(path: Path, head: bytes) -> str:
    """Return the encoding of a file that starts with `head`. Raises UserError for a file that is not text of ours."""
    for mark, encoding in ENCODINGS:
        if head.startswith(mark):
            return encoding
    if len(head) >= 8 and head[1::2] == bytes(len(head) // 2) and 0 not in head[::2]:
        return "utf-16-le"
    if len(head) >= 8 and head[::2] == bytes((len(head) + 1) // 2) and 0 not in head[1::2]:
        return "utf-16-be"
    for start, kind, remedy in OTHER_CONTENT:
        if head.lstrip().lower().startswith(start.lower()):
            raise UserError(f"file '{path}' is {kind}: {remedy}")
    return "utf-8-sig"


def unpacked_limit(file: BinaryIO) -> int:
    """Return to how many bytes an open packed file may unpack."""
    return min(LARGEST_UNPACKED, max(SMALLEST_BOMB, RATIO * os.fstat(file.fileno()).st_size))


def _unpacked(path: Path, file: BinaryIO) -> gzip.GzipFile:
    """Return the content of a gzip file. Raises UserError if it unpacks to far more bytes than it has."""
    unpacked = gzip.GzipFile(fileobj=file, mode="rb")
    limit = unpacked_limit(file)
    while unpacked.read(1 << 20):
        if unpacked.tell() > limit:
            raise UserError(f"file '{path}' is a zip bomb: it unpacks to more than {limit // 10**6} MB")
    unpacked.seek(0)
    return unpacked


def canonical_label(text: str) -> str:
    """Return the one spelling of a label: whole numbers as integers, other numbers as Python's repr, text unchanged.

    >>> [canonical_label(label) for label in ("1.0000000e+00", "-1", "03", "1.50", "walk", "1_0", "nan")]
    ['1', '-1', '3', '1.5', 'walk', '1_0', 'nan']
    """
    if not NUMBER.fullmatch(text):
        return text
    number = float(text)
    if abs(number) >= 2**53:  # from here on, neighbouring integers are one float
        return text
    return str(int(number)) if number.is_integer() else repr(number)


def parse_label(text: str, where: str, remedy: str) -> str:
    """Return a label in its one spelling.

    text: without blanks around it. where: file and line, for errors. remedy: where a label is written in this format.
    Raises UserError for a missing label, one with a NUL and one that is not UTF-8.
    """
    if not text or text == "?" or NAN.fullmatch(text):
        raise UserError(f"{where} has no label: {remedy}")
    if "\0" in text:
        raise UserError(f"{where} has a label with a NUL byte, {text[:40]!r}: correct it, or copy the file again")
    if not text.isascii() and any("\udc80" <= sign <= "\udcff" for sign in text):
        raise UserError(f"{where} has a label that is not UTF-8, {text[:40]!r}: save the file as UTF-8")
    return canonical_label(text)


def parse_numbers(
    fields: Sequence[str],
    line: str,
    where: str,
    columns: Iterable[int],
    remedy: str = "write a number, or NaN for a missing value",
) -> Float64:
    """Return the numbers of a case, the nearest float64 of each.

    Args:
        fields: The text of each number.
        line: The text that the fields are from.
        where: File and line, for errors.
        columns: The number of each field's column, for errors.
        remedy: What to do about a field that is no number.

    Raises:
        UserError: For a field that is neither a finite number nor NaN, with its column.
    """
    if line.isascii() and not MISREAD.search(line):
        with contextlib.suppress(ValueError):
            values = np.array(list(map(float, fields)), dtype=np.float64)
            if not np.isinf(values).any():  # the word, or a number too large
                return values
    for column, field in zip(columns, fields, strict=False):
        word = field.strip(" ")
        if not NUMBER.fullmatch(word) and not NAN.fullmatch(word):
            raise UserError(f"{where} column {column} is {field[:40]!r}: {remedy}")
        if np.isinf(float(word)):
            raise UserError(f"{where} column {column} is {field[:40]!r}: too large for float64, write a smaller number")
    return np.array(fields, dtype=np.float64)


def quoted_fields(line: str, where: str, **dialect: Any) -> list[str]:
    """Return the fields of a line with quotation marks.

    Args:
        line: The line.
        where: What errors call it.
        dialect: As for `csv.reader`.

    Raises:
        UserError: A quotation mark has no end.
    """
    try:
        return next(csv.reader([line], skipinitialspace=True, **dialect))
    except csv.Error as error:
        raise UserError(f"{where} cannot be divided into fields ({error}): correct its quotation marks") from error


def steps_between(values: npt.ArrayLike) -> Float64:
    """Return the differences of neighbouring numbers, (n - 1,); infinite where they are too large for float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.diff(np.asarray(values, dtype=np.float64))
