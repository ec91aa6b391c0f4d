"""Records, predictions and weights on disk.

    results/records/*.jsonl       one JSON object a line, one new file a writer, appended and synced record by record
    results/predictions/KEY.npz   class probabilities and true labels of a job
    results/weights/KEY.safetensors

A reader skips a line that a crash left torn. Everything else is written to a temporary file and moved into place.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tsfcn.errors import UserError

SCHEMA = 1

Record = dict[str, Any]


class Writer:
    """Appends records to a file of its own, which it makes with the first record."""

    def __init__(self, results: Path) -> None:
        self.folder = results / "records"
        self.file: BinaryIO | None = None

    def write(self, record: Record) -> None:
        """Append one record and wait until the disk has it. Raises OSError when it cannot."""
        if self.file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}-{secrets.token_hex(3)}.jsonl"
            self.file = (self.folder / name).open("xb", buffering=0)
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


def lines(path: Path) -> list[Record]:
    """Return the records of one file. A line that is no record is skipped, with a word on stderr unless it is the last.

    Raises UserError for a record of a newer schema.
    """
    records = []
    rows = path.read_bytes().split(b"\n")
    for number, row in enumerate(rows, start=1):
        if not row.strip():
            continue
        try:
            record = json.loads(row)
            whole = isinstance(record, dict) and "key" in record and "status" in record
        except ValueError:
            whole = False
        if not whole:
            if number < len(rows):
                print(f"{path}: line {number} is no record and is left out", file=sys.stderr)
            continue
        if int(record.get("schema", 0)) > SCHEMA:
            raise UserError(f"{path} is of schema {record['schema']}: this tsfcn reads up to {SCHEMA}, install a newer")
        records.append(record)
    return records


def read(results: Path) -> list[Record]:
    """Return the record that counts for each key under each name, in the order of their finishing.

    That is the last `ok` one, else the last one. A failed or skipped one is dropped where the same row and seed has
    become `ok` later under another key, as when a dataset was mended.
    """
    records = [record for path in sorted((results / "records").glob("*.jsonl")) for record in lines(path)]
    records.sort(key=lambda record: str(record.get("finished", "")))
    counting: dict[tuple[Any, ...], Record] = {}
    for record in records:
        job = identity(record)
        if record["status"] == "ok" or counting.get(job, {}).get("status") != "ok":
            counting[job] = record
    done = {place(record): str(record.get("finished", "")) for record in counting.values() if record["status"] == "ok"}
    return [r for r in counting.values() if r["status"] == "ok" or done.get(place(r), "") < str(r.get("finished", ""))]


def identity(record: Record) -> tuple[Any, ...]:
    """Return the key of a record, and the names that it goes under: equal settings may be asked for by two names."""
    return tuple(record.get(name) for name in ("key", "model", "protocol"))


def place(record: Record) -> tuple[Any, ...]:
    """Return what names a record in tables: dataset, split, model, protocol, resample, seed.

    The split of a dataset that could not be had is not known, and counts as that of 2018.
    """
    reversed_ = (record.get("passport") or {}).get("split") == "ucr2015"
    return (record.get("dataset"), reversed_, *(record.get(name) for name in ("model", "protocol", "resample", "seed")))


def replace(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it and move it into place; leaves nothing when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def predictions_path(results: Path, key: str) -> Path:
    """Return where the predictions of a job lie."""
    return results / "predictions" / f"{key}.npz"


def weights_path(results: Path, key: str) -> Path:
    """Return where the weights of a job lie."""
    return results / "weights" / f"{key}.safetensors"


def write_predictions(
    results: Path, key: str, probabilities: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, classes: np.ndarray
) -> None:
    """Store class probabilities (n_test, n_classes) as float16 beside the true and the predicted class (n_test,).

    Predicted classes are stored because two probabilities may become equal in float16.
    """
    arrays = {
        "probabilities": probabilities.astype(np.float16),
        "y_true": y_true.astype(np.int16),
        "y_pred": y_pred.astype(np.int16),
        "classes": classes,
    }
    replace(predictions_path(results, key), lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def write_weights(results: Path, key: str, data: bytes) -> None:
    """Store the bytes of a safetensors file."""
    replace(weights_path(results, key), lambda file: file.write(data))


def done(record: Record, results: Path, weights: bool, predictions: bool) -> bool:
    """Return whether a job with this record needs no training: it is ok and every file asked for is there."""
    return (
        record["status"] == "ok"
        and (not weights or weights_path(results, record["key"]).is_file())
        and (not predictions or predictions_path(results, record["key"]).is_file())
    )
