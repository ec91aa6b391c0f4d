"""Records on disk, and where everything else of a results folder lies (artifacts.py).

    results/records/*.jsonl       one JSON object a line, one new file a writer, appended and synced record by record
    results/predictions/KEY.npz   class probabilities and true labels of a job
    results/weights/KEY.safetensors
    results/checkpoints/KEY.pt    a training in progress (checkpoint.py)
    results/plans/ID.json         the jobs of a run that is not finished

A reader leaves out what is not a record, such as a line that a crash left torn, and says so on standard error.
Everything else is written to a temporary file and moved into place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import tempfile
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from tsfcn.common.errors import UserError
from tsfcn.common.files import replace, sync_folder
from tsfcn.common.streams import notice
from tsfcn.jobs import selection
from tsfcn.jobs.artifacts import predictions_path, weights_path
from tsfcn.jobs.index import TRIES, Index, RecordsFile, record_files
from tsfcn.jobs.plan import Job, digest
from tsfcn.jobs.record import KEY, Record, job_from_json


class Writer:
    """Appends records to a file of its own, which it creates with the first record."""

    def __init__(self, results: Path) -> None:
        self.folder = results / "records"
        self.file: BinaryIO | None = None
        self.lock = threading.Lock()  # threads may share a writer

    def write(self, *records: Record) -> None:
        """Append records and wait until the disk has them. Raises OSError when it cannot; then none is there."""
        with self.lock:
            self._write(b"".join(record.line() for record in records))

    def _write(self, lines: bytes) -> None:
        if self.file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}-{secrets.token_hex(3)}.jsonl"
            self.file = (self.folder / name).open("xb", buffering=0)
            sync_folder(self.folder)
        data = memoryview(lines)
        start = self.file.tell()
        try:
            while data:
                data = data[self.file.write(data) :]
            os.fsync(self.file.fileno())
        except OSError:
            self.file.truncate(start)  # a torn line would swallow the next record
            self.file.seek(start)
            raise
        if os.fstat(self.file.fileno()).st_nlink == 0:  # somebody has removed the file: what is new goes into another
            self.file.close()
            self.file = None
            self._write(lines)


class Reader:
    """Follows the records of a results folder: each call of `new` returns what was not there before.

    files: what was read before by another reader, None for nothing.
    """

    def __init__(self, results: Path, files: dict[str, RecordsFile] | None = None) -> None:
        self.results = results
        self.files = files

    def new(self) -> list[Record]:
        """Return the records that were written since the last call: at first by time, then file by file.

        A line that is not a record is left out and named on standard error, unless it is the last one of its file:
        somebody may still be writing it, and the next call looks at it again. Raises UserError for a record of a newer
        version.
        """
        if self.files is None:
            with Index(self.results) as index:
                self.files = index.files
                return list(index.records())
        records: list[Record] = []
        for _ in range(TRIES):
            try:
                for path in record_files(self.results / "records"):
                    file = self.files.setdefault(path.name, RecordsFile(path.name))
                    file.n_bad, file.bad = 0, ""
                    records += file.rest(path)
                    file.complain(path)
                return records
            except FileNotFoundError:  # `compact` removed it, and what it held stands in a new file
                continue
        raise UserError(f"{self.results / 'records'} changes all the time: try again when it is at rest")


def read(results: Path) -> list[Record]:
    """Return the current record of each key under each name, in the order of their finishing.

    Names on standard error the keys whose `ok` records contradict each other.
    """
    with Index(results) as index:
        for line in selection.contradictions(index.unsettled()):
            notice(line)
        return index.current()


def check_writable(results: Path) -> None:
    """Raise UserError where a folder of the results cannot be written to, before anything is trained for it."""
    for name in ("", "records", "predictions", "weights", "checkpoints", "plans", "runners", "leases"):
        folder = results / name
        try:
            if not name:
                folder.mkdir(parents=True, exist_ok=True)
            if folder.exists():
                tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            reason = error.strerror or error
            raise UserError(
                f"folder '{folder}' is not writable ({reason}): check its permissions and the disk, "
                "or use another results folder"
            ) from error


def write_plan(results: Path, command: str, jobs: list[Job]) -> Path:
    """Store the jobs of a run under a name that follows from their keys, and return where."""
    groups: dict[str, dict[str, Any]] = {}
    for job in jobs:
        entry = groups.setdefault(f"{job.group} {job.model} {job.protocol}", {**job.to_json(), "keys": {}})
        entry["keys"][str(job.seed)] = job.key
    path = results / "plans" / f"{plan_name(jobs)}.json"
    data = json.dumps({"command": command, "groups": list(groups.values())}, separators=(",", ":")).encode()
    if not path.is_file():
        replace(path, lambda file: file.write(data))
    return path


def plan_name(jobs: Iterable[Job]) -> str:
    """Return the name of a plan, which follows from the keys of its jobs."""
    return digest(sorted(job.key for job in jobs))


def remove_plan(path: Path) -> None:
    """Remove the plan of a run that is finished."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # others are in it
        path.parent.rmdir()


def planned(results: Path) -> dict[str, Job]:
    """Return the jobs of unfinished runs by key. A plan that is damaged is left out and named on standard error."""
    jobs: dict[str, Job] = {}
    for path in sorted((results / "plans").glob("*.json")):
        try:
            jobs |= plan_jobs(path)
        except (OSError, ValueError) as error:
            notice(f"{path} is not a plan and is left out: {error}")
    return jobs


def plan_jobs(path: Path) -> dict[str, Job]:
    """Return the jobs of a plan by key. Raises ValueError if the file is not a plan, OSError if it is not readable."""
    if not path.is_file():
        raise ValueError("it is not a regular file")
    try:
        groups = json.loads(path.read_bytes())["groups"]
        keys = [{str(key): int(seed) for seed, key in group["keys"].items()} for group in groups]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("it has no groups of jobs") from None
    jobs: dict[str, Job] = {}
    for group, seeds in zip(groups, keys, strict=True):
        job = job_from_json({**group, "seed": 0})
        jobs |= {key: dataclasses.replace(job, seed=seed) for key, seed in seeds.items() if KEY.fullmatch(key)}
    return jobs


def remember(results: Path, *commands: str) -> None:
    """Add commands to results/commands.txt, those that are not in it."""
    path, lines = results / "commands.txt", read_commands(results)
    new = [command for command in dict.fromkeys(commands) if command and command not in lines]
    if new:
        text = "".join(f"{line}\n" for line in [*lines, *new])
        replace(path, lambda file: file.write(text.encode()))


def read_commands(results: Path) -> list[str]:
    """Return the lines of commands.txt, [] without the file. What is not UTF-8 becomes replacement characters."""
    path = results / "commands.txt"
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def done(record: Record, results: Path, weights: bool, predictions: bool) -> bool:
    """Return whether a job with this record needs no training: it is ok and every file asked for is there."""
    return (
        record.is_ok
        and (not weights or weights_path(results, record.key).is_file())
        and (not predictions or predictions_path(results, record.key).is_file())
    )
