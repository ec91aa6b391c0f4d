"""What many records are asked for, as columns: an index of results/records in the cache, made from the lines alone.

The lines stay the truth. The index is a SQLite file that never changes: a reader takes what it holds of files that are
as they were, reads all other lines into a database in memory, and once those are many writes both into a new file,
which it moves into place. So there are no locks, which network file systems may lack, any number of readers and writers
is safe, and an index that is missing, damaged or of another version only costs the time to read the lines again.

A file of records is as it was if its size, time and inode are, or else if the checksum of what was read is. One that
has grown has new lines behind the old ones if its last bytes of then are where they were: writers only append, and
editors write a new file. What is not seen is an edit in the middle of a file, in place, that something is appended to
before anybody looks; whoever reads the curve of such a line is told.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import heapq
import json
import math
import os
import secrets
import sqlite3
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Self

from tsfcn.common import files
from tsfcn.common.errors import UserError
from tsfcn.common.streams import notice
from tsfcn.jobs import selection
from tsfcn.jobs.record import COLUMNS, STATUSES, Record, parse, place, without_curve

VERSION = 1  # of the tables below, and of the rules of `selection.current`
MANY, SHARE = 1000, 0.01  # so many lines, and this share of all, are worth a new index
TRIES = 20  # how often the folder is listed again because a file went away
SHOWN_LINES = 3  # of the bad lines of a file, how many are named
TAIL = 256  # the last bytes that were read of a file, which are compared
SEAL = 4  # bytes of the checksum behind a saved index
CHUNK = 2**20  # bytes read at a time for a checksum
TICK_NS = 2_000_000_000  # a change so soon after another may leave the time of a file as it was
OLD_SECONDS = 90 * 86400.0  # an index that nobody has used for so long is removed
LEFT_SECONDS = 3600.0  # so is one that a killed process was writing

PLAIN = (  # columns that differ from record to record
    *("key", "seed", "resample", "finished", "accuracy", "accuracy_last", "accuracy_selected"),
    *("accuracy_least_train_loss", "balanced_accuracy", "mean_iu", "n_test", "n_classes", "n_filled", "n_padded"),
    *("n_cut", "n_masked", "best_epoch", "train_seconds", "test_seconds"),
    *("train_processor_seconds", "test_processor_seconds"),
)
SHARED = tuple(name for name in COLUMNS if name not in PLAIN)  # the others are the number of a row in `value`
DECISIVE = ("key", "seed", "resample", "finished", "status", "dataset", "passport", "model", "protocol")
ROW = ", ".join(f'"{name}"' for name in ("file", "offset", "counts", "place", *PLAIN, *SHARED))

# counts: 0 superseded, 1 current, 2 current and the last one of its key, which may have several names.
# place: a hash of record.place. value: JSON text; the first ones are STATUSES. summary: of records that count 2.
TABLES = f"""
CREATE TABLE {{0}}.file (name, id, size, lines, checksum, tail, modified, inode, n_bad, bad);
CREATE TABLE {{0}}.value (id INTEGER PRIMARY KEY, text UNIQUE);
CREATE TABLE {{0}}.record (id INTEGER PRIMARY KEY, {ROW});
CREATE TABLE {{0}}.summary (model, protocol, status, n);
"""
INDEXES = """
CREATE INDEX {0}.by_file ON record (file);
CREATE INDEX {0}.by_key ON record (key);
CREATE INDEX {0}.by_place ON record (place);
CREATE INDEX {0}.problems ON record (id) WHERE counts = 2 AND status != 1;
CREATE INDEX {0}.unsettled ON record (key) WHERE counts != 2 OR status != 1;
"""
UNSETTLED = "key IN (SELECT key FROM {0}.record WHERE counts != 2 OR status != 1)"
IN_ORDER = "ORDER BY finished, (SELECT name FROM main.file WHERE main.file.id = record.file), offset"
COUNTED = "SELECT model, protocol, status, count(*) FROM {} WHERE counts = 2 GROUP BY 1, 2, 3"


@dataclass
class RecordsFile:
    """What is known of a file of records: what was read of it, and its state then."""

    name: str
    id: int = 0
    size: int = 0  # bytes read
    lines: int = 0  # that ended
    checksum: int = 0  # CRC-32 of these bytes
    tail: bytes = b""  # the last TAIL of them
    modified: int = -1  # mtime in ns; -1: it may have changed without another one
    inode: int = -1
    n_bad: int = 0  # lines that are no records
    bad: str = ""  # where the first of them are, and why they are none

    def is_start_of(self, path: Path) -> bool:
        """Return whether what was read is still the beginning of the file."""
        with path.open("rb") as file:  # opened, so that a shared file system looks anew
            now = os.fstat(file.fileno())
            if (self.size, self.modified, self.inode) == (now.st_size, now.st_mtime_ns, now.st_ino):
                return True
            if now.st_size > self.size and now.st_ino == self.inode:
                file.seek(self.size - len(self.tail))
                return file.read(len(self.tail)) == self.tail
            return now.st_size >= self.size and checksum(file, self.size) == self.checksum

    def rest(self, path: Path) -> Iterator[Record]:
        """Yield the records behind what was read. A last line that is no record may be half-written, and is left.

        Raises UserError for a record of a newer version.
        """
        with path.open("rb") as file:  # opened, so that a shared file system looks anew
            now = os.fstat(file.fileno())
            self.inode = now.st_ino
            self.modified = now.st_mtime_ns if time.time_ns() - now.st_mtime_ns > TICK_NS else -1
            if now.st_size <= self.size:
                return
            file.seek(self.size)
            for line in file:
                parsed = read_line(line, (str(path), self.size)) if line.strip() else None
                if isinstance(parsed, str):
                    if not line.endswith(b"\n"):
                        break
                    if self.n_bad < SHOWN_LINES:
                        self.bad += f"{'; ' if self.bad else ''}line {self.lines + 1}: {parsed}"
                    self.n_bad += 1
                self.size += len(line)
                self.lines += line.endswith(b"\n")
                self.checksum = zlib.crc32(line, self.checksum)
                self.tail = (self.tail + line)[-TAIL:]
                if isinstance(parsed, Record):
                    yield parsed

    def complain(self, path: Path) -> None:
        """Name the lines that are no records on standard error."""
        if self.n_bad:
            count = "1 line is not a record and is"
            if self.n_bad > 1:
                count = f"{self.n_bad} lines are not records and are"
            more = f"; and {self.n_bad - SHOWN_LINES} more" if self.n_bad > SHOWN_LINES else ""
            notice(f"{path}: {count} left out: {self.bad}{more}")


def checksum(file: BinaryIO, size: int) -> int:
    """Return the CRC-32 of the next `size` bytes of a file."""
    value = 0
    while size > 0 and (data := file.read(min(size, CHUNK))):
        value, size = zlib.crc32(data, value), size - len(data)
    return value


def read_line(line: bytes, location: tuple[str, int]) -> Record | str:
    """Return the record of a line, or why it holds none. Raises UserError for a record of a newer version."""
    try:
        return without_curve(parse(line, curve=False), location)
    except UserError as error:
        raise UserError(f"{location[0]}: {error}") from None
    except ValueError as error:
        return str(error)


def record_files(folder: Path) -> Iterator[Path]:
    """Yield the files of records in a folder by name. What is not a regular file is named on standard error."""
    for path in sorted(folder.glob("*.jsonl")):
        if os.path.lexists(path) and not path.is_file():
            notice(f"{path} is not a regular file and is left out")
        else:
            yield path


class Index:
    """The records of a results folder at one moment. Raises UserError for a record of a newer version."""

    def __init__(self, results: Path) -> None:
        self.folder = results / "records"
        self.files: dict[str, RecordsFile] = {}  # by name
        saved = saved_index(self.folder)
        try:
            self.bring_up_to_date(saved)
        except sqlite3.Error:  # nothing else can be wrong with a database in memory
            self.bring_up_to_date(None)
        if saved is not None and self.n_new >= max(MANY, SHARE * self.n_records()):
            with contextlib.suppress(OSError, sqlite3.Error):
                self.save(saved)
        for path in map(self.folder.joinpath, self.files):
            self.files[path.name].complain(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.base.close()

    # -----------------------------------------------------------------------------------------------------------------
    # Reading lines

    def bring_up_to_date(self, saved: Path | None) -> None:
        """Take what a saved index holds and read the lines that it lacks."""
        for _ in range(TRIES):
            try:
                self.open(saved)
                self.read_files()
                if self.n_new:
                    self.choose()
                self.base.executescript(INDEXES.format("main"))
                return
            except FileNotFoundError:  # `compact` removed a file, and what it held stands in a new one
                continue
        raise UserError(f"{self.folder} changes all the time: try again when it is at rest")

    def open(self, saved: Path | None) -> None:
        """Open a database of new records in memory, `main`, beside the saved one, `old`."""
        self.base = sqlite3.connect(":memory:", uri=True, isolation_level=None)
        name = ":memory:" if saved is None or not is_whole(saved) else f"{saved.resolve().as_uri()}?immutable=1"
        self.base.execute("ATTACH ? AS old", (name,))
        self.base.executescript(TABLES.format("main") + "CREATE TABLE hidden (id INTEGER PRIMARY KEY, moved)")
        if name == ":memory:":
            self.base.executescript(TABLES.format("old") + INDEXES.format("old"))
        self.base.execute("BEGIN")
        self.ids: dict[str, int] = {}
        self.__dict__.pop("values", None)  # those of an earlier try
        (self.first_value,) = self.base.execute("SELECT coalesce(max(id), 0) + 1 FROM old.value").fetchone()
        for status in STATUSES:
            self.value_id(status)

    def value_id(self, value: object) -> int:
        """Return the number of a shared value."""
        known = f'"{value}' if isinstance(value, str) else json.dumps(value)
        if known not in self.ids:
            text = json.dumps(value)
            found = self.base.execute("SELECT id FROM old.value WHERE text = ?", (text,)).fetchone()
            if found is None:
                found = (self.first_value,)
                self.first_value += 1
                self.base.execute("INSERT INTO main.value VALUES (?, ?)", (*found, text))
            self.ids[known] = found[0]
        return self.ids[known]

    def read_files(self) -> None:
        """Read the lines that the saved index lacks into `main`, and hide those that are gone from the files."""
        rows = self.base.execute("SELECT * FROM old.file")
        known = {row[0]: RecordsFile(*row) for row in rows}
        gone = {each.id for each in known.values()}
        next_id = max(gone, default=0) + 1
        (first,) = self.base.execute("SELECT coalesce(max(id), 0) + 1 FROM old.record").fetchone()
        insert = f"INSERT INTO main.record (id, {ROW}) VALUES ({', '.join('?' * (5 + len(COLUMNS)))})"
        self.files = {}
        for path in record_files(self.folder):
            each = known.get(path.name)
            if each is None or not each.is_start_of(path):
                each = RecordsFile(path.name, next_id)
                next_id += 1
            gone.discard(each.id)
            self.files[path.name] = each
            for number, record in enumerate(each.rest(path), first):
                self.base.execute(insert, (number, each.id, record.location[1], *self.row(record)))
                first = number + 1
        (self.n_new,) = self.base.execute("SELECT count(*) FROM main.record").fetchone()
        self.base.executemany("INSERT INTO main.file VALUES (?,?,?,?,?,?,?,?,?,?)", map(astuple, self.files.values()))
        hide = "INSERT INTO hidden SELECT id, 0 FROM old.record WHERE file = ?"
        self.n_new += max(0, self.base.executemany(hide, ((each,) for each in gone)).rowcount)

    def row(self, record: Record) -> tuple[Any, ...]:
        """Return the columns of a record from `counts` on."""
        hashed = hashlib.blake2b(repr(place(record)).encode(), digest_size=8).digest()
        plain = (getattr(record, name) for name in PLAIN)
        shared = (self.value_id(getattr(record, name)) for name in SHARED)
        return (0, int.from_bytes(hashed, signed=True), *plain, *shared)

    def choose(self) -> None:
        """Find out which records count, where new or missing lines may have changed that.

        Old records that share a key or a place with those move to `main`, and with those again, until nothing moves.
        """
        before = -1
        while (now := self.base.execute("SELECT count(*) FROM hidden").fetchone()[0]) != before:
            before = now
            for column in ("key", "place"):
                self.base.execute(f"""
                    INSERT OR IGNORE INTO hidden SELECT id, 1 FROM old.record WHERE {column} IN (
                        SELECT {column} FROM main.record UNION
                        SELECT {column} FROM old.record WHERE id IN (SELECT id FROM hidden)
                    )""")
        moved = "SELECT id FROM hidden WHERE moved"
        self.base.execute(f"INSERT INTO main.record SELECT * FROM old.record WHERE id IN ({moved})")
        ids = [each for (each,) in self.base.execute(f"SELECT id FROM main.record {IN_ORDER}")]
        records = list(self.records_of("main", names=DECISIVE))
        current = selection.current(records)
        last = {record.key: id(record) for record in current}
        counts = {id(record): 1 + (last[record.key] == id(record)) for record in current}
        self.base.executemany(
            "UPDATE main.record SET counts = ? WHERE id = ?",
            ((counts.get(id(record), 0), each) for each, record in zip(ids, records, strict=True)),
        )

    # -----------------------------------------------------------------------------------------------------------------
    # Asking

    def records(self, where: str = "1", names: Iterable[str] = COLUMNS) -> Iterator[Record]:
        """Yield all records, or those of which a condition of SQL holds, in the order of their finishing.

        names: the fields that they have, besides those of record.ON_DISK, which they read from their lines.
        """
        old, new = (self.records_of(base, where, names) for base in ("old", "main"))
        return heapq.merge(old, new, key=lambda record: (record.finished, record.location)) if self.n_new else old

    def current(self) -> list[Record]:
        """Return the current record of each key under each name, in the order of their finishing."""
        was_enabled = gc.isenabled()
        gc.disable()  # it would look through all records again and again, though none of them is garbage
        try:
            return list(self.records("counts > 0"))
        finally:
            if was_enabled:
                gc.enable()

    def problems(self) -> list[Record]:
        """Return the current record of each key that is not `ok`."""
        return list(self.records("counts = 2 AND status != 1"))

    def unsettled(self) -> list[Record]:
        """Return all records of the keys that have others than one that is `ok`."""
        where = " OR ".join(UNSETTLED.format(base) for base in ("old", "main"))
        return list(self.records(where))

    def summary(self) -> Counter[tuple[str, str, str]]:
        """Return how many keys have a current record of each model, protocol and status."""
        counts: Counter[tuple[int, int, int]] = Counter()
        for query, sign in (
            ("SELECT * FROM old.summary", 1),
            (COUNTED.format("(SELECT * FROM old.record WHERE id IN (SELECT id FROM hidden))"), -1),
            (COUNTED.format("main.record"), 1),
        ):
            for *names, n in self.base.execute(query):
                counts[names[0], names[1], names[2]] += sign * n
        value = self.values
        return Counter({(value[a], value[b], value[c]): n for (a, b, c), n in counts.items() if n})

    def without_record(self, keys: Iterable[str]) -> set[str]:
        """Return those of the keys that have no current record."""
        found = "SELECT 1 FROM {}.record WHERE key = ?1 AND counts = 2"
        query = f"{found.format('main')} UNION ALL {found.format('old')} AND id NOT IN (SELECT id FROM hidden)"
        return {key for key in keys if self.base.execute(query, (key,)).fetchone() is None}

    def n_records(self) -> int:
        """Return how many records there are."""
        (n,) = self.base.execute(
            "SELECT (SELECT count(*) FROM old.record) + (SELECT count(*) FROM main.record) - count(*) FROM hidden"
        ).fetchone()
        return int(n)

    @cached_property
    def values(self) -> dict[int, Any]:
        """The shared values by their numbers, once all lines are read."""
        rows = self.base.execute("SELECT * FROM old.value UNION ALL SELECT * FROM main.value")
        return {number: json.loads(text) for number, text in rows}

    def records_of(self, base: str, where: str = "1", names: Iterable[str] = COLUMNS) -> Iterator[Record]:
        """Yield the records of `main`, or what is left of those of `old`, as `records` does."""
        plain, shared = ([name for name in group if name in names] for group in (PLAIN, SHARED))
        order = IN_ORDER if base == "main" else "AND id NOT IN (SELECT id FROM hidden) ORDER BY id"
        columns = ", ".join(["file", "offset", *(f'"{name}"' for name in (*shared, *plain))])
        rows = self.base.execute(f"SELECT {columns} FROM {base}.record WHERE ({where}) {order}")
        values, new, set_location = self.values, Record.__new__, _setter("location")
        set_accuracy = _setter("accuracy")
        set_shared, set_plain = [_setter(name) for name in shared], [_setter(name) for name in plain]
        paths = {each.id: str(self.folder / each.name) for each in self.files.values()}
        for row in rows:
            record, cells = new(Record), iter(row)
            set_location(record, (paths[next(cells)], next(cells)))
            for put, number in zip(set_shared, cells, strict=False):
                put(record, values[number])
            for put, value in zip(set_plain, cells, strict=False):
                put(record, value)
            if not record.is_ok:
                set_accuracy(record, math.nan)  # which SQL has not
            yield record

    # -----------------------------------------------------------------------------------------------------------------
    # Saving

    def save(self, path: Path) -> None:
        """Write all that is known into a new file in the cache, and remove indexes that were not used for long."""
        files.create_cache_folder()
        path.parent.mkdir(mode=0o755, exist_ok=True)
        for other in path.parent.iterdir():
            if time.time() - other.stat().st_mtime > (LEFT_SECONDS if other.name.startswith(".") else OLD_SECONDS):
                other.unlink(missing_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            self.fill(temporary)
            with temporary.open("r+b") as file:
                seal = checksum(file, os.fstat(file.fileno()).st_size)
                file.write(seal.to_bytes(SEAL))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def fill(self, path: Path) -> None:
        """Write both databases into a new one."""
        self.base.execute("ATTACH ? AS new", (str(path),))
        self.base.execute("PRAGMA new.journal_mode = OFF")
        self.base.execute("PRAGMA new.synchronous = OFF")
        self.base.execute("BEGIN")
        for statement in TABLES.format("new").split(";"):
            self.base.execute(statement)
        self.base.execute(f"""
            INSERT INTO new.record ({ROW}) SELECT {ROW} FROM (
                SELECT * FROM main.record UNION ALL
                SELECT * FROM old.record WHERE id NOT IN (SELECT id FROM hidden)
            ) AS record {IN_ORDER}""")
        self.base.execute("INSERT INTO new.file SELECT * FROM main.file")
        self.base.execute("INSERT INTO new.value SELECT * FROM old.value UNION ALL SELECT * FROM main.value")
        for statement in INDEXES.format("new").split(";"):
            self.base.execute(statement)
        self.base.execute(f"INSERT INTO new.summary {COUNTED.format('new.record')}")
        self.base.execute("COMMIT")
        self.base.execute("DETACH new")


def saved_index(folder: Path) -> Path | None:
    """Return where the index of a folder of records is saved; None without a cache that only this user can change."""
    name = json.dumps([VERSION, ROW, SHOWN_LINES, TAIL, os.path.realpath(folder)])
    try:
        return files.cache_folder() / "records" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.sqlite"
    except OSError:
        return None


def is_whole(path: Path) -> bool:
    """Return whether a saved index is there, and as it was written by this user."""
    try:
        with files.open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size - SEAL
            is_sealed = size > 0 and checksum(file, size).to_bytes(SEAL) == file.read()
        with contextlib.suppress(OSError):
            os.utime(path)  # it is in use
        return is_sealed and files.is_trusted(path)
    except OSError:
        return False


def _setter(name: str) -> Any:
    return getattr(Record, name).__set__  # a frozen record has no other way
