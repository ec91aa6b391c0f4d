"""Records on disk, and where everything else of a results folder lies (artifacts.py).

    results/records/*.jsonl       one JSON object a line, one new file a writer, appended and synced record by record
    results/predictions/KEY.npz   class probabilities and true labels of a job
    results/weights/KEY.safetensors
    results/checkpoints/KEY.pt    a training in progress (checkpoint.py)
    results/plans/ID.json         the jobs of a run that is not finished

A reader skips a line that a crash left torn. Everything else is written to a temporary file and moved into place.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

from tsfcn.common.device import kind
from tsfcn.common.errors import UserError
from tsfcn.common.files import replace, sync_folder
from tsfcn.jobs.artifacts import predictions_path, weights_path
from tsfcn.jobs.plan import Job, digest

SCHEMA = 1

Record = dict[str, Any]


class Writer:
    """Appends records to a file of its own, which it makes with the first record."""

    def __init__(self, results: Path) -> None:
        self.folder = results / "records"
        self.file: BinaryIO | None = None
        self.lock = threading.Lock()  # threads may share a writer

    def write(self, record: Record) -> None:
        """Append one record and wait until the disk has it. Raises OSError when it cannot."""
        with self.lock:
            self._write(record)

    def _write(self, record: Record) -> None:
        if self.file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}-{secrets.token_hex(3)}.jsonl"
            self.file = (self.folder / name).open("xb", buffering=0)
            sync_folder(self.folder)
        line = json.dumps({"schema": SCHEMA, **record}, allow_nan=False, separators=(",", ":"))
        data = memoryview(line.encode() + b"\n")
        start = self.file.tell()
        try:
            while data:
                data = data[self.file.write(data) :]
            os.fsync(self.file.fileno())
        except OSError:
            self.file.truncate(start)  # a torn line would swallow the next record
            self.file.seek(start)
            raise


class Reader:
    """Follows the records of a results folder: each call of `news` returns what was not there before."""

    def __init__(self, results: Path) -> None:
        self.folder = results / "records"
        self.read: dict[str, tuple[int, int]] = {}  # of each file: the bytes and the lines that were taken

    def news(self) -> list[Record]:
        """Return the records that have come since the last call, file by file.

        A line that is no record is left out, with a word on stderr unless it is the last: somebody may still be
        writing it, and it is looked at again. Raises UserError for a record of a newer schema.
        """
        found: list[Record] = []
        while True:
            try:
                for path in sorted(self.folder.glob("*.jsonl")):
                    found += self.rest(path)
                return found
            except FileNotFoundError:  # `compact` took it away, and what it held stands in a new file
                continue

    def rest(self, path: Path) -> list[Record]:
        """Return the records of one file behind those that were taken before."""
        start, number = self.read.get(path.name, (0, 0))
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size <= start:
                return []
            file.seek(start)
            *rows, last = file.read().split(b"\n")
        found = []
        for row in rows:
            number += 1
            start += len(row) + 1
            if row.strip():
                record = parsed(row)
                if record is None:
                    print(f"{path}: line {number} is no record and is left out", file=sys.stderr)
                else:
                    found.append(checked(record, path))
        if (record := parsed(last)) is not None:  # whole but for its newline
            found.append(checked(record, path))
            start += len(last)
        self.read[path.name] = start, number
        return found


def parsed(row: bytes) -> Record | None:
    """Return the record that a line holds, or None."""
    try:
        record = json.loads(row)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "key" in record and "status" in record else None


def checked(record: Record, path: Path) -> Record:
    """Return the record. Raises UserError if its schema is newer than this reader."""
    if int(record.get("schema", 0)) > SCHEMA:
        raise UserError(f"{path} is of schema {record['schema']}: this tsfcn reads up to {SCHEMA}, install a newer")
    return record


def has_processor_seconds(record: Mapping[str, Any], part: Literal["train", "test"] = "train") -> bool:
    """Return whether the processor time counts for a part of a job: on a CPU, where the record holds it.

    Jobs that share a machine slow each other down, which their wall times show and their processor times do not. On a
    GPU the processor only launches the work.
    """
    on_cpu = kind(str(record.get("device") or "cpu")) == "cpu"
    return on_cpu and record.get(f"{part}_processor_seconds") is not None


def seconds(record: Mapping[str, Any], part: Literal["train", "test"]) -> Any:
    """Return the seconds that a part of a job took: processor time where it counts, else wall time; None without."""
    return record.get(f"{part}_processor_seconds" if has_processor_seconds(record, part) else f"{part}_seconds")


def read(results: Path) -> list[Record]:
    """Return the record that counts for each key under each name, in the order of their finishing."""
    return counting(Reader(results).news())


def counting(records: Iterable[Record]) -> list[Record]:
    """Return, of all records, the one that counts for each key under each name, in the order of their finishing.

    That is the last `ok` one, else the last one. A failed or skipped one is dropped where the same row and seed has
    become `ok` later under another key, as when a dataset was mended.
    """
    counted: dict[tuple[Any, ...], Record] = {}
    for record in by_time(records):
        job = identity(record)
        if record["status"] == "ok" or counted.get(job, {}).get("status") != "ok":
            counted[job] = record
    done = {place(record): finished(record) for record in counted.values() if record["status"] == "ok"}
    return [r for r in counted.values() if r["status"] == "ok" or done.get(place(r), "") < finished(r)]


def finished(record: Record) -> str:
    """Return when a record was made, as text that sorts by time."""
    return str(record.get("finished", ""))


def by_time(records: Iterable[Record]) -> list[Record]:
    """Return the records in the order of their finishing."""
    return sorted(records, key=finished)


def attempt(record: Record) -> tuple[str, str]:
    """Return which attempt at which job a record is of, wherever it was copied to."""
    return str(record["key"]), finished(record)


def attempts(records: Iterable[Record]) -> dict[str, int]:
    """Return how often each key has failed, as counted by its records; a record that was copied counts once."""
    return dict(Counter(key for key, _ in {attempt(r) for r in records if r["status"] == "failed"}))


def identity(record: Record) -> tuple[Any, ...]:
    """Return the key of a record, and the names that it goes under: equal settings may be asked for by two names."""
    return tuple(record.get(name) for name in ("key", "model", "protocol"))


def place(record: Record) -> tuple[Any, ...]:
    """Return what names a record in tables: dataset, split, model, protocol, resample, seed.

    The split of a dataset that could not be had is not known, and counts as that of 2018.
    """
    reversed_ = (record.get("passport") or {}).get("split") == "ucr2015"
    return (record.get("dataset"), reversed_, *(record.get(name) for name in ("model", "protocol", "resample", "seed")))


def write_plan(results: Path, command: str, jobs: list[Job]) -> Path:
    """Store the jobs of a run under a name that follows from their keys, and return where."""
    groups: dict[str, dict[str, Any]] = {}
    for job in jobs:
        entry = groups.setdefault(f"{job.group} {job.model} {job.protocol}", {**job.to_json(), "keys": {}})
        entry["keys"][str(job.seed)] = job.key
    path = results / "plans" / f"{digest(sorted(job.key for job in jobs))}.json"
    data = json.dumps({"command": command, "groups": list(groups.values())}, separators=(",", ":")).encode()
    if not path.is_file():
        replace(path, lambda file: file.write(data))
    return path


def remove_plan(path: Path) -> None:
    """Remove the plan of a run that is finished."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # others are in it
        path.parent.rmdir()


def planned(results: Path) -> dict[str, dict[str, Any]]:
    """Return the jobs of unfinished runs by key, as Job.to_json gives them. A plan that is broken is left out."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((results / "plans").glob("*.json")):
        try:
            groups = json.loads(path.read_bytes())["groups"]
            for group in groups:
                keys = group.pop("keys")
                found |= {key: {**group, "seed": int(seed)} for seed, key in keys.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            print(f"{path} is no plan and is left out", file=sys.stderr)
    return found


def remember(results: Path, *commands: str) -> None:
    """Add commands to results/commands.txt, those that do not stand there."""
    path = results / "commands.txt"
    said = path.read_text().splitlines() if path.is_file() else []
    new = [command for command in dict.fromkeys(commands) if command and command not in said]
    if new:
        replace(path, lambda file: file.write("".join(f"{line}\n" for line in [*said, *new]).encode()))


def done(record: Record, results: Path, weights: bool, predictions: bool) -> bool:
    """Return whether a job with this record needs no training: it is ok and every file asked for is there."""
    return (
        record["status"] == "ok"
        and (not weights or weights_path(results, record["key"]).is_file())
        and (not predictions or predictions_path(results, record["key"]).is_file())
    )
