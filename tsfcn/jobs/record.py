"""A record: what a job left, and the line of JSON that it is on disk (`store` reads and writes files of such lines).

A line is checked when it is read, so that everything behind it can rely on its types: `parse` raises ValueError, with
the reason, for a line that is damaged, incomplete, or of other types than the fields of `Record`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from tsfcn.common.device import kind
from tsfcn.common.errors import UserError
from tsfcn.common.json_types import is_float, is_int, short, type_checks
from tsfcn.jobs.plan import MEANING, Job

SCHEMA = 1
STATUSES = ("ok", "failed", "skipped")
KEY = re.compile("[0-9a-f]{16}")

DIGEST = re.compile(rb',"(.{6})":"([0-9a-f]{16})"\}\s*$')  # the last field of a line, over all bytes before it
LONE = re.compile("[\ud800-\udfff]")  # in a text of Python every surrogate is without its other half
# Perhaps half of a character, which no file can hold, or a number beyond those of a computer.
SUSPICIOUS = re.compile(rb"\\ud[89a-f]|\de\+?\d{3,}[\s,}\]]|\d{300}", re.IGNORECASE)


class InFile:
    """What may leave fields in a file until they are asked for."""

    __slots__ = ("location",)
    location: tuple[str, int]  # the file, and the offset of the line


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(InFile):
    """What a job left: which job it was, what came of it, and where.

    A value that was not recorded is None, or the default: a job that is not `ok` has no results, and versions before
    0.2 recorded less. Accuracies and their like are fractions, times are seconds, `best_epoch` counts from 1.
    """

    # The job, see plan.Job
    key: str  # 16 hexadecimal digits
    group: str  # the key without the seed
    status: str  # of STATUSES
    reason: str = ""
    dataset: str
    passport: dict[str, Any] = field(default_factory=dict)
    architecture: str = ""
    model: str
    model_settings: dict[str, Any] = field(default_factory=dict)
    protocol: str
    settings: dict[str, Any] = field(default_factory=dict)
    off_paper: bool = False
    seed: int
    resample: int = 0
    precision: str = "float32"
    code: dict[str, str] | None = None  # package, version and source of a model of another package
    source: dict[str, str] | None = None  # key and group of the weights that the training started from
    task: dict[str, Any] | None = None  # of dense labelling: its settings and the stages before
    test_selected: bool = False  # the test set chose the weights
    meaning: int = MEANING

    # Where and when
    device: str = "cpu"  # torch's name
    gpu: str | None = None
    driver: str | None = None
    cuda: str | None = None
    cudnn: int | str | None = None
    deterministic: bool | None = None
    engine: str = ""
    hardware: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    commit: str = ""
    finished: str = ""  # UTC, text that sorts by time

    # Results
    accuracy: float = math.nan  # with the weights that the protocol selects; NaN unless `ok`
    accuracy_least_train_loss: float | None = None
    accuracy_last: float | None = None
    accuracy_selected: float | None = None
    accuracy_test_oracle: float | None = None
    balanced_accuracy: float | None = None
    mean_iu: float | None = None  # of dense labelling, over its timepoints, as are the accuracies
    frequency_weighted_iu: float | None = None
    median_segment: float | None = None  # timepoints of the segments of one class in the test streams
    cross_entropy: float | None = None
    train_cross_entropy: float | None = None
    n_train: int | None = None
    n_test: int | None = None
    n_held_out: int | None = None  # training cases that were held out
    n_classes: int | None = None
    n_timepoints: int | None = None
    n_filled: int | None = None
    n_padded: int | None = None
    n_cut: int | None = None
    n_masked: int | None = None
    batch: int | None = None
    chosen_cells: int | None = None
    cells: list[Any] | None = None  # a row for each size of the LSTM that was tried
    n_parameters: int | None = None
    members: list[str] | None = None  # of an ensemble: the keys of the runs that it averages
    member_weights: list[float] | None = None  # how much each counts; None: all the same
    least_train_loss: float | None = None
    best_epoch: int | None = None
    curve: dict[str, Any] | None = None  # epoch, loss, lr: lists of one length
    train_seconds: float | None = None
    test_seconds: float | None = None
    train_processor_seconds: float | None = None
    test_processor_seconds: float | None = None
    resumed_epochs: list[Any] | None = None
    peak_memory_bytes: int | None = None
    job_seconds: float | None = None

    other: dict[str, Any] = field(default_factory=dict)  # fields that this version does not know

    if not TYPE_CHECKING:  # where any name would do

        def __getattr__(self, name: str) -> Any:
            """Return a field that is not in memory, as the line has it."""
            if name not in ON_DISK:
                raise AttributeError(f"a record has no {name}")
            return getattr(self.whole(), name)

    @property
    def is_ok(self) -> bool:
        """Whether the job was trained and tested."""
        return self.status == "ok"

    @property
    def is_ensemble(self) -> bool:
        """Whether the record is of an ensemble of other runs, and nothing was trained for it."""
        return self.members is not None

    @property
    def n_predicted(self) -> int | None:
        """The number of cases in its predictions: the test cases, and the training cases that were held out."""
        return None if self.n_test is None else self.n_test + (self.n_held_out or 0)

    @property
    def identity(self) -> tuple[str, str, str]:
        """That of its job."""
        return self.key, self.model, self.protocol

    @property
    def job(self) -> Job:
        """The job."""
        return Job(**{name: getattr(self, name) for name in Job.__dataclass_fields__})

    def seconds(self, part: Literal["train", "test"]) -> float | None:
        """Return the seconds that a part of the job took: processor time where it counts, else wall time."""
        if part == "train":
            processor, wall = self.train_processor_seconds, self.train_seconds
        else:
            processor, wall = self.test_processor_seconds, self.test_seconds
        return wall if processor is None or kind(self.device) != "cpu" else processor

    def has_processor_seconds(self, part: Literal["train", "test"] = "train") -> bool:
        """Return whether the processor time counts for a part of the job: on a CPU, where it was recorded.

        Jobs that share a machine slow each other down, which their wall times show and their processor times do not.
        On a GPU the processor only launches the work.
        """
        return kind(self.device) == "cpu" and getattr(self, f"{part}_processor_seconds") is not None

    def whole(self) -> Record:
        """Return the record with all fields in memory. Raises UserError if its line is not there any more."""
        return _read(self) if hasattr(self, "location") else self

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, not copied, without those that were not recorded."""
        whole, left_out = self.whole(), "accuracy" if math.isnan(self.accuracy) and not self.is_ok else ""
        values = {name: getattr(whole, name) for name in NAMES if name != left_out}
        return {name: value for name, value in values.items() if value is not None} | whole.other

    def line(self) -> bytes:
        """Return the record as a line of JSON, ending in a digest of itself and a newline.

        Raises ValueError for a number that JSON has not: NaN or infinity.
        """
        row = {"schema": SCHEMA, **self.to_json()}
        text = _dump(row).encode().removesuffix(b"}")
        return text + b',"digest":"%s"}\n' % _digest(text).encode()


NAMES = tuple(each.name for each in fields(Record) if each.name != "other")
COLUMNS = (  # what many records at a time are asked for: these are in the index
    *("key", "group", "status", "reason", "dataset", "passport", "architecture", "model", "model_settings", "protocol"),
    *("settings", "off_paper", "seed", "resample", "precision", "code", "source", "task", "test_selected", "meaning"),
    *("device", "engine", "hardware", "versions", "commit", "finished", "accuracy", "accuracy_last"),
    *("accuracy_selected", "accuracy_least_train_loss", "balanced_accuracy", "mean_iu", "n_test", "n_classes"),
    *("n_filled", "n_padded", "n_cut", "n_masked", "members", "best_epoch"),
    *("train_seconds", "test_seconds", "train_processor_seconds", "test_processor_seconds"),
)
ON_DISK = tuple(name for name in (*NAMES, "other") if name not in COLUMNS)  # what a record may leave in its line
COUNTS = tuple(name for name in NAMES if name.startswith("n_") or name.endswith("_seconds"))
FRACTIONS = (
    *("accuracy", "accuracy_last", "accuracy_selected", "accuracy_least_train_loss", "balanced_accuracy"),
    *("mean_iu", "frequency_weighted_iu"),
)
REQUIRED = ("key", "group", "status", "dataset", "model", "protocol", "seed")


def renamed(record: Record, job: Job) -> Record:
    """Return the record under the names of a job of the same key."""
    return replace(record.whole(), model=job.model, protocol=job.protocol, off_paper=job.off_paper)


def place(job: Job | Record) -> tuple[str, bool, str, str, int, int]:
    """Return what names a job in tables: dataset, whether its split is that of 2015, model, protocol, resample, seed.

    The split of a dataset that is not available is not known, and counts as that of 2018.
    """
    reversed_split = job.passport.get("split") == "ucr2015"
    return job.dataset, reversed_split, job.model, job.protocol, job.resample, job.seed


def without_curve(record: Record, location: tuple[str, int]) -> Record:
    """Return a record that was parsed without its learning curve, which it reads from its line when it is asked for."""
    object.__setattr__(record, "location", location)
    if record.curve is None:
        object.__delattr__(record, "curve")
    return record


def _read(record: Record) -> Record:
    """Return the record of the line of a record."""
    path, offset = record.location
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            whole = parse(file.readline())
    except (OSError, ValueError):
        whole = None
    if whole is None or (whole.identity, whole.finished) != (record.identity, record.finished):
        raise UserError(f"{path} was changed while its records were in use: try again")
    return whole


def in_rows_of_others(jobs: Iterable[Job], records: Iterable[Record]) -> Iterator[Job]:
    """Yield the jobs whose row in the tables has ok records of another group, with which they cannot be averaged."""
    groups = {place(record)[:-1]: record.group for record in records if record.is_ok}
    return (job for job in jobs if groups.get(place(job)[:-1], job.group) != job.group)


def parse(line: bytes, *, curve: bool = True) -> Record:
    """Return the record that a line holds.

    Args:
        line: The line, with or without its newline.
        curve: Whether to read the learning curve, which is most of a record; one without a digest is read in any case.

    Raises:
        ValueError: The line is no record. Its text is the reason.
        UserError: The record was written by a newer version.
    """
    signature = DIGEST.search(line, max(0, len(line) - 60))
    if signature and signature[1].decode(errors="replace") in CHECKS:
        signature = None  # a field of a record without a digest
    if signature and signature.groups() != (b"digest", _digest(line[: signature.start()]).encode()):
        raise ValueError("its digest does not match: it was changed after it was written")
    data = _load(line if curve or not signature else _without_curve(line))
    record = from_json({name: value for name, value in data.items() if name != "digest"})
    if not signature and record.meaning == MEANING and record.job.key != record.key:
        raise ValueError("its key is not that of its settings")
    return record


def from_json(data: Mapping[str, Any]) -> Record:
    """Return the record of JSON values. Raises ValueError and UserError as `parse` does."""
    schema = data.get("schema", SCHEMA)
    if not is_int(schema):
        raise ValueError(f"schema is {short(schema)}, not a number")
    if schema > SCHEMA:
        raise UserError(f"it is of schema {schema}: this tsfcn reads up to {SCHEMA}, install a newer one")
    known: dict[str, Any] = {}
    other: dict[str, Any] = {}
    for name, value in data.items():
        check = CHECKS.get(name)
        if check is None:
            other[name] = value
        elif value is not None:
            if not check(value):
                raise ValueError(f"{name} is {short(value)}")
            known[name] = value
    missing = [name for name in REQUIRED if name not in known]
    if missing:
        raise ValueError(f"it has no {missing[0]}")
    other.pop("schema", None)
    record = Record(**known, other=other)
    _check_values(record)
    return record


def job_from_json(data: Mapping[str, Any]) -> Job:
    """Return the job of JSON values (Job.to_json). Raises ValueError if one is missing or of another type."""
    data = {"code": None, "source": None, "task": None, **data}  # plans of earlier versions have none
    for name in Job.__dataclass_fields__:
        is_left_out = name in ("code", "source", "task") and data[name] is None
        if name not in data or not (is_left_out or CHECKS[name](data[name])):
            raise ValueError(f"{name} of a job is {short(data.get(name))}")
    return Job(**{name: data[name] for name in Job.__dataclass_fields__})


def _without_curve(line: bytes) -> bytes:
    """Return a line with null for its learning curve, which is a flat object; in a string its quotes are escaped."""
    start = line.find(b'"curve":{')
    end = line.find(b"}", start)
    return line if start < 0 or end < 0 else b'%b"curve":null%b' % (line[:start], line[end + 1 :])


def _load(line: bytes) -> dict[str, Any]:
    """Return the object that a line holds. Raises ValueError for any other line."""
    try:
        data = json.loads(line.decode("utf-8-sig"), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(str(error) if "is not a number" in str(error) else "it is not JSON") from None
    if not isinstance(data, dict):
        raise ValueError("it is not a JSON object")
    if SUSPICIOUS.search(line):
        try:
            json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
        except ValueError:
            raise ValueError("it holds half of a surrogate pair, or a number that is too large") from None
    return data


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a number of JSON")


def _check_values(record: Record) -> None:
    """Raise ValueError where values of the right types cannot be those of a record."""
    if not KEY.fullmatch(record.key):
        raise ValueError(f"key is {short(record.key)}, not 16 hexadecimal digits")
    if record.status not in STATUSES:
        raise ValueError(f"status is {short(record.status)}, not one of {', '.join(STATUSES)}")
    for name in FRACTIONS:
        value = getattr(record, name)
        if value is not None and not (0 <= value <= 1 or math.isnan(value)):
            raise ValueError(f"{name} is {value}, not a fraction")
    for name in COUNTS:
        value = getattr(record, name)
        if value is not None and value < (name == "n_classes"):
            raise ValueError(f"{name} is {value}")
    if record.source is not None and not all(KEY.fullmatch(record.source.get(n, "")) for n in ("key", "group")):
        raise ValueError(f"source is {short(record.source)}, not a key and a group")
    if record.is_ok and math.isnan(record.accuracy):
        raise ValueError("it is ok and has no accuracy")
    if record.curve is not None and not _is_curve(record.curve):
        raise ValueError("its learning curve is not three lists of numbers of one length")


def _is_curve(curve: Mapping[str, Any]) -> bool:
    lists = [curve.get(name) for name in ("epoch", "loss", "lr")]
    return (
        all(isinstance(each, list) for each in lists)
        and len({len(each) for each in lists if each is not None}) == 1
        and all(is_float(number) for each in lists if each is not None for number in each)
    )


def _is_passport(value: object) -> bool:
    """Return whether a value is an object of single values whose sizes are integers.

    Of the user's own data it also has the counts of classes and a list of warnings.
    """
    if type(value) is not dict:
        return False
    counts, warnings = value.get("class_counts", {}), value.get("warnings", [])
    single = (each for name, each in value.items() if name not in ("class_counts", "warnings"))
    return (
        all(each is None or type(each) in (str, int, float, bool) for each in single)
        and all(is_int(value.get(name, 1)) for name in ("n_channels", "length"))
        and (type(counts) is dict and all(map(is_int, counts.values())))
        and (type(warnings) is list and all(type(each) is str for each in warnings))
    )


CHECKS = {name: check for name, check in type_checks(Record).items() if name != "other"} | {"passport": _is_passport}


def _dump(row: Mapping[str, Any]) -> str:
    """Return an object as JSON text of ASCII characters, with a replacement character for each lone surrogate."""
    text = json.dumps(row, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    if not text.isascii():
        text = json.dumps(json.loads(LONE.sub("\ufffd", text)), separators=(",", ":"))
    return text


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]
