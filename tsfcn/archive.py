"""Find, read and check one dataset: from a name to a `Dataset` with its passport.

A dataset is looked for, in this order, in `root`/NAME/NAME_TRAIN.tsv (the layout of the 2018 archive),
`root`/NAME/NAME_TRAIN.ts, `root`/NAME_TRAIN.tsv, `root`/NAME_TRAIN.ts and in sktime's wheel, which brings a few along.
What is read is checked against the catalogue: two revisions of the 2018 archive, its "adjusted" files and the 2015
archive with train and test swapped all circulate under the same names, and their accuracies do not compare.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsfcn import catalogue
from tsfcn.arrays import Labels, case_lengths
from tsfcn.errors import UserError

Float64 = npt.NDArray[np.float64]

READER = 1  # raise it when the same files would be read differently: it voids the cache

# The 2018 archive was corrected after its first release; (n_train, n_test) of the files that still circulate.
# PLAID's early revision has the official sizes and differs by its rounding to 5 digits: only the content hash shows it.
EARLY_REVISION = {"Chinatown": (20, 345), "MelbournePedestrian": (1200, 2450)}

SITE = "https://www.timeseriesclassification.com/aeon-toolkit"  # one zip a dataset, SITE/NAME.zip

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
NAN = re.compile(r"[+-]?nan", re.IGNORECASE)
GAP = re.compile(r"(?<![^,\s])\?(?![^,\s])")  # a '?' that is all of a value


class NotAvailable(UserError):
    """The dataset cannot be had on this machine; the message says how to get it."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """One dataset with its official split.

    x_train, x_test: float64 (n_cases, n_channels, n_timepoints), both of the same n_timepoints, that of the longest
    case; NaN where a value is missing and after the end of a shorter case. y_train, y_test: labels as text (n_cases,),
    numbers in one spelling ('1', never '1.0'). unequal: NaN at the end of a case means that it has ended.
    passport: what identifies the content; see `passport`.
    """

    name: str
    x_train: Float64
    y_train: Labels
    x_test: Float64
    y_test: Labels
    unequal: bool
    passport: dict[str, object]

    def __repr__(self) -> str:
        """Return one line: name, shapes and classes."""
        classes = f"{self.passport['n_classes']} classes"
        return f"<Dataset {self.name}: train {self.x_train.shape}, test {self.x_test.shape}, {classes}>"


@dataclass(frozen=True)
class _Files:
    train: Path
    test: Path
    source: str  # 'sktime' | 'tsv' | 'ts'

    def stamp(self) -> list[list[object]]:
        """Return path, bytes and modification time of both files: unchanged means not to be read again."""
        stats = [(path, path.stat()) for path in (self.train, self.test)]
        return [[os.path.realpath(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]


def load(name: str, root: str | Path | None = None) -> Dataset:
    """Read one dataset from a local archive or from sktime's wheel, and check it against the catalogue.

    name: as in the catalogue ('Coffee'), or any other name whose files lie under root: then there is nothing to check
    it against and its passport says archive 'user'. root: the folder of the archive; without it $TSFCN_ARCHIVE, and
    without that only the bundled datasets are found. In a .tsv of the user's own, NaN only at the ends of cases means
    unequal length, and NaN anywhere else too means that all of them are missing values.
    Parsed files are kept in $TSFCN_CACHE or ~/.cache/tsfcn.
    Raises NotAvailable where the files are not here; UserError for an unknown name, a root that is not a folder, a
    file that cannot be read (with its line), and content that is not the official one.
    """
    files, facts = _find(name, root)
    stamp = _stamp(files, facts)
    dataset = _from_cache(name, stamp)
    if dataset is None:
        dataset = _read(name, files, facts)
        if stamp == _stamp(files, facts):  # else the files changed while they were read
            _to_cache(dataset, stamp)
    _check(dataset.passport, facts, files)
    return dataset


def passport(name: str, root: str | Path | None = None) -> dict[str, object]:
    """Return the passport of a dataset without its arrays: what identifies the content, and its sizes.

    name, root and errors as for `load`. Keys: name; archive ('UCR2018' or 'user'); source ('sktime', 'tsv' or 'ts');
    split ('ucr2018', or 'user'); n_train, n_test (cases); n_channels; n_classes; length and shortest (timepoints of the
    longest and the shortest case); unequal; n_missing (values missing within cases); content (`content_hash`).
    Milliseconds when the dataset was read before, else as slow as `load`.
    """
    files, facts = _find(name, root)
    stamp = _stamp(files, facts)
    kept = _from_cache(name, stamp, only_passport=True)
    if kept is None:
        return load(name, root).passport
    _check(kept.passport, facts, files)
    return kept.passport


def holds(folder: Path, name: str) -> bool:
    """Say whether the files of a dataset lie under `folder`, right or wrong. Raises UserError for half of them."""
    return _under(folder, name) is not None


def checked(name: str, folder: Path) -> dict[str, object]:
    """Read the files of a dataset under `folder` alone, past the cache, and return its passport.

    For files that are on their way into the archive. Raises UserError as `load` does, and where there are none.
    """
    files, facts = _under(folder, name), catalogue.CATALOGUE.get(name)
    if files is None:
        raise UserError(f"dataset '{name}' in '{folder / name}' is of a format that is not read: write .tsv or .ts")
    found = _read(name, files, facts).passport
    _check(found, facts, files)
    return found


def content_hash(x_train: Float64, y_train: Labels, x_test: Float64, y_test: Labels, unequal: bool) -> str:
    """Return the SHA-256 of what both splits hold, in hex, whatever file it came from.

    x_*: float64 (n_cases, n_channels, n_timepoints); y_*: text (n_cases,). Hashed are the shapes, the lengths of the
    cases, the labels and the values up to those lengths (little endian): padding does not count, all NaN are one NaN,
    and -0.0 is 0.0.
    """
    digest = hashlib.sha256()
    for split, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        lengths = case_lengths(x, unequal)
        head = {"split": split, "n_cases": len(x), "n_channels": x.shape[1], "labels": [str(label) for label in y]}
        digest.update(json.dumps(head, sort_keys=True).encode("ascii"))
        digest.update(lengths.astype("<i8").tobytes())
        values = (x + 0.0).astype("<f8", copy=False)
        values[np.isnan(values)] = np.nan
        for case, length in zip(values, lengths, strict=True):
            digest.update(case[:, :length].tobytes())
    return digest.hexdigest()


def canonical_label(text: str) -> str:
    """Return the one spelling of a label: integral numbers as integers, other numbers as Python's repr, else as is.

    >>> [canonical_label(label) for label in ("1.0000000e+00", "-1", "03", "1.50", "walk", "1_0", "nan")]
    ['1', '-1', '3', '1.5', 'walk', '1_0', 'nan']
    """
    if not NUMBER.fullmatch(text):
        return text
    number = float(text)
    if abs(number) >= 2**53:  # neighbouring integers are one float from here on
        return text
    return str(int(number)) if number.is_integer() else repr(number)


# ---------------------------------------------------------------- where it is


def _find(name: str, root: str | Path | None) -> tuple[_Files, catalogue.Facts | None]:
    if not name or name != name.strip() or re.search(r"[/\\\0]|\.\.|^\.", name):
        raise UserError(f"dataset {name!r} is not a name: write one like 'Coffee', and the folder in archive.root")
    facts = catalogue.CATALOGUE.get(name)
    folder = root_folder(root)
    if folder is not None:
        files = _under(folder, name)
        if files is not None:
            return files, facts
    if facts is None:
        names = catalogue.select(name)  # raises for an unknown name, with the near miss
        raise UserError(f"dataset '{name}' is a selection of {len(names)} datasets: give the name of one")
    if facts.bundled:
        bundled = _bundled(name)
        if bundled is not None:
            return bundled, facts
    looked = "there is no archive.root" if folder is None else f"it is not under '{folder}'"
    also = "; or pip install sktime, which bundles it" if facts.bundled else ""
    raise NotAvailable(
        f"dataset '{name}' is not available, {looked}: `tsfcn data fetch {name}` downloads {SITE}/{name}.zip "
        "(archive.download=auto does so in a run), or set archive.root or TSFCN_ARCHIVE to the folder that holds "
        f"{name}/{name}_TRAIN.tsv{also}"
    )


def root_folder(root: str | Path | None) -> Path | None:
    """Return the archive's folder: `root`, else $TSFCN_ARCHIVE, else the default folder if it is there, else None.

    Raises UserError for a `root` or $TSFCN_ARCHIVE that is not a folder.
    """
    given, origin = root, "archive.root"
    if given is None:
        given, origin = os.environ.get("TSFCN_ARCHIVE") or None, "TSFCN_ARCHIVE"
    if given is None:
        with contextlib.suppress(RuntimeError):  # no home folder
            if default_folder().is_dir():
                return default_folder()
        return None
    folder = Path(given).expanduser()
    if not str(given) or not folder.is_dir():
        raise UserError(f"{origin} '{given}' is not a folder: give the one that holds Coffee/Coffee_TRAIN.tsv")
    return folder


def default_folder() -> Path:
    """Return the folder that datasets are downloaded to where neither archive.root nor TSFCN_ARCHIVE names another.

    Raises RuntimeError where the user has no home folder.
    """
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share") / "tsfcn" / "ucr2018"


def _under(folder: Path, name: str) -> _Files | None:
    for stem in (folder / name / name, folder / name):
        for source in ("tsv", "ts"):
            train, test = Path(f"{stem}_TRAIN.{source}"), Path(f"{stem}_TEST.{source}")
            try:
                there = [path for path in (train, test) if path.is_file()]
            except OSError as error:  # a name too long for the file system, a folder without rights
                raise UserError(f"dataset '{name[:40]}' is not readable under '{folder}': {error.strerror}") from error
            if len(there) == 2:
                return _Files(train, test, source)
            if there:
                other = test if there == [train] else train
                raise UserError(f"dataset '{name}' is half there, '{there[0]}': put '{other.name}' beside it")
    return None


def _bundled(name: str) -> _Files | None:
    """Return sktime's files of a dataset without importing sktime, which takes seconds."""
    spec = importlib.util.find_spec("sktime")
    if spec is None or spec.submodule_search_locations is None:
        return None
    for package in spec.submodule_search_locations:
        stem = Path(package) / "datasets" / "data" / name / name
        train, test = Path(f"{stem}_TRAIN.ts"), Path(f"{stem}_TEST.ts")
        if train.is_file() and test.is_file():
            return _Files(train, test, "sktime")
    return None


# ---------------------------------------------------------------- what it holds


@dataclass(frozen=True)
class _Split:
    cases: list[Float64]  # one (n_channels, n_timepoints) a case
    labels: list[str]


def _read(name: str, files: _Files, facts: catalogue.Facts | None) -> Dataset:
    reader = _read_tsv if files.source == "tsv" else _read_ts
    train, test = reader(files.train), reader(files.test)
    n_channels = train.cases[0].shape[0]
    if test.cases[0].shape[0] != n_channels:
        raise UserError(
            f"file '{files.test}' is of {test.cases[0].shape[0]} channels: '{files.train.name}' has {n_channels}"
        )
    width = max(case.shape[1] for split in (train, test) for case in split.cases)
    x_train, x_test = _padded(train.cases, width), _padded(test.cases, width)
    y_train, y_test = np.array(train.labels, dtype=np.str_), np.array(test.labels, dtype=np.str_)
    unequal = facts.unequal if facts is not None else _ends_differ(x_train, x_test, train, test)
    if unequal:
        # AllGestureWiimote* have 500 columns, but no case is longer than 385 timepoints.
        width = max(1, int(max(case_lengths(x_train, True).max(), case_lengths(x_test, True).max())))
        x_train, x_test = x_train[:, :, :width].copy(), x_test[:, :, :width].copy()
    lengths = np.concatenate([case_lengths(x_train, unequal), case_lengths(x_test, unequal)])
    return Dataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        unequal=unequal,
        passport={
            "name": name,
            "archive": "user" if facts is None else "UCR2018",
            "source": files.source,
            "split": "user" if facts is None else "ucr2018",
            "n_train": len(x_train),
            "n_test": len(x_test),
            "n_channels": n_channels,
            "n_classes": len(set(train.labels) | set(test.labels)),
            "length": int(lengths.max()),
            "shortest": int(lengths.min()),
            "unequal": unequal,
            "n_missing": _n_missing(x_train, unequal) + _n_missing(x_test, unequal),
            "content": content_hash(x_train, y_train, x_test, y_test, unequal),
        },
    )


def _padded(cases: list[Float64], width: int) -> Float64:
    x = np.full((len(cases), cases[0].shape[0], width), np.nan)
    for i, case in enumerate(cases):
        x[i, :, : case.shape[1]] = case
    x += 0.0  # makes -0.0 0.0, so that equal content hashes mean equal arrays
    return x


def _ends_differ(x_train: Float64, x_test: Float64, train: _Split, test: _Split) -> bool:
    """Say whether the NaN at the ends of a user's cases are absent timepoints rather than missing values."""
    if len({case.shape[1] for split in (train, test) for case in split.cases}) > 1:
        return True
    shorter = any(bool((case_lengths(x, True) < x.shape[2]).any()) for x in (x_train, x_test))
    return shorter and _n_missing(x_train, True) + _n_missing(x_test, True) == 0


def _n_missing(x: Float64, unequal: bool) -> int:
    within = np.arange(x.shape[2]) < case_lengths(x, unequal)[:, None, None]
    return int((np.isnan(x) & within).sum())


def _check(found: dict[str, object], facts: catalogue.Facts | None, files: _Files) -> None:
    """Raise UserError where the content cannot be the official one; sizes tell the known revisions apart."""
    what = f"dataset '{found['name']}' in '{files.train.parent}'"
    if facts is None:
        if found["n_classes"] == 1:
            raise UserError(f"{what} is of one class: a classifier needs two or more")
        return
    remedy = "take the official files of the UCR 2018 archive, or give yours another name"
    sizes, official = (found["n_train"], found["n_test"]), (facts.n_train, facts.n_test)
    if sizes != official:
        is_ = f"{sizes[0]} training and {sizes[1]} test cases, not the official {official[0]} and {official[1]}"
        if sizes == EARLY_REVISION.get(facts.name):
            is_ += ", the early revision of the 2018 archive"
        elif sizes == official[::-1]:
            is_ += ", train and test swapped as in the 2015 archive"
        raise UserError(f"{what} is of {is_}: {remedy}")
    for key, unit, expected in (
        ("n_channels", "channels", 1),
        ("n_classes", "classes", facts.n_classes),
        ("length", "timepoints", facts.length),
    ):
        if found[key] != expected:
            raise UserError(f"{what} is of {found[key]} {unit}, not the official {expected}: {remedy}")
    if facts.unequal and found["shortest"] == found["length"]:
        raise UserError(f"{what} is of equal length, adjusted, while the official cases differ in length: {remedy}")
    if facts.missing and found["n_missing"] == 0:
        raise UserError(f"{what} is without missing values, adjusted, while the official files have some: {remedy}")
    if not facts.missing and found["n_missing"] != 0:
        raise UserError(f"{what} is short of {found['n_missing']} values, the official files miss none: {remedy}")


# ---------------------------------------------------------------- how it is read


def _read_tsv(path: Path) -> _Split:
    """Read the 2018 layout: a case a line, its label first, then its values, tabs between, NaN for no value.

    By line rather than with numpy.loadtxt: a quarter slower, once, but a mistake is named with its line, and labels
    may be text. Both give the nearest float64 of every number.
    """
    split = _Split([], [])
    n_columns = 0
    for number, line in _lines(path):
        where = f"file '{path}' line {number}"
        label, tab, values = line.partition("\t")
        label = label.strip()
        if not tab:
            raise UserError(f"{where} is of one column: write label and values with tabs between them")
        if not label or label.lower() == "nan":
            raise UserError(f"{where} is without a label: write it in the first column")
        case = _numbers(values, "\t", where, first_column=2)
        if split.cases and len(case) + 1 != n_columns:
            raise UserError(
                f"{where} is of {len(case) + 1} columns: the lines before it have {n_columns}, end short cases with NaN"
            )
        n_columns = len(case) + 1
        split.cases.append(case[None, :])  # (1, n_timepoints)
        split.labels.append(canonical_label(label))
    if not split.cases:
        raise UserError(f"file '{path}' is empty: download it again")
    return split


def _read_ts(path: Path) -> _Split:
    """Read the .ts format of sktime and aeon: '@' header, then a case a line, ':' between channels, the label last.

    Tags and booleans in any case; '#' comments anywhere; '?' or NaN for a missing value; cases may differ in length,
    the channels of one case may not. Time stamps and regression targets are refused.
    """
    split = _Split([], [])
    n_channels, declared, in_data = 0, set[str](), False
    for number, line in _lines(path):
        where = f"file '{path}' line {number}"
        text = line.strip()
        if text.startswith("#"):
            continue
        if text.startswith("@"):
            tag, *words = text.lower().split()
            if tag == "@data":
                in_data = True
            elif tag == "@timestamps" and words[:1] == ["true"]:
                raise UserError(f"{where} is {text!r}: files with time stamps are not read, write plain values")
            elif tag == "@targetlabel" and words[:1] == ["true"]:
                raise UserError(f"{where} is {text!r}: this is regression, take a dataset with classes")
            elif tag == "@classlabel":
                if words[:1] != ["true"]:
                    raise UserError(f"{where} is {text!r}: this dataset has no classes, take one that has")
                declared = {canonical_label(label) for label in text.split()[2:]}
            elif tag in ("@dimensions", "@dimension") and words and words[0].isdecimal():
                n_channels = int(words[0])
            continue
        if not in_data:
            raise UserError(f"{where} is neither '@' header nor '#' comment: put '@data' before the first case")
        *channels, label = (part.strip() for part in text.split(":"))
        if not channels or not label:
            raise UserError(f"{where} is without a label: end it with ':' and the class")
        if channels[0].startswith("("):
            raise UserError(f"{where} is with time stamps: files with time stamps are not read, write plain values")
        label = canonical_label(label)
        if declared and label not in declared:
            raise UserError(f"{where} is of class {label!r}: '@classLabel' does not name it, mend one of the two")
        n_channels = n_channels or len(channels)
        if len(channels) != n_channels:
            raise UserError(f"{where} is of {len(channels)} channels: the file has {n_channels}")
        values = [_numbers(GAP.sub("NaN", channel), ",", where, first_column=1) for channel in channels]
        if len({len(channel) for channel in values}) > 1:
            raise UserError(f"{where} is of channels that differ in length: end the shorter with '?'")
        split.cases.append(np.stack(values))  # (n_channels, n_timepoints)
        split.labels.append(label)
    if not split.cases:
        raise UserError(f"file '{path}' is without cases: download it again")
    return split


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not blank."""
    try:
        # utf-8-sig: some files begin with a byte order mark. Bytes that are not UTF-8 occur in comments of .ts files.
        with path.open(encoding="utf-8-sig", errors="backslashreplace") as file:
            for number, line in enumerate(file, start=1):
                if not line.isspace():
                    yield number, line.rstrip("\r\n")
    except OSError as error:
        raise UserError(f"file '{path}' is not readable ({error.strerror}): mend its rights or its disk") from error


def _numbers(text: str, separator: str, where: str, first_column: int) -> Float64:
    fields = text.split(separator)
    # Python, and numpy through it, reads '1_0' as 10; numpy drops NUL, which a broken disk or copy leaves in a file.
    if "_" not in text and "\0" not in text:
        with contextlib.suppress(ValueError):
            values = np.array(fields, dtype=np.float64)
            if not np.isinf(values).any():
                return values
    for column, field in enumerate(fields, start=first_column):
        word = field.strip(" ")
        if not NUMBER.fullmatch(word) and not NAN.fullmatch(word):
            raise UserError(f"{where} column {column} is {field[:40]!r}: write a number, or NaN for a missing value")
        if np.isinf(float(word)):
            raise UserError(f"{where} column {column} is {field[:40]!r}: too large for float64, write a smaller number")
    raise AssertionError(f"{where}: numpy refuses {text[:40]!r} without a field that is no number")


# ---------------------------------------------------------------- the cache of parsed files


def _stamp(files: _Files, facts: catalogue.Facts | None) -> str:
    unequal = None if facts is None else facts.unequal
    return json.dumps([READER, files.source, unequal, files.stamp()])


def _cache_file(name: str, stamp: str) -> Path:
    """Return the one file that a dataset of these paths is kept in: newer content replaces older."""
    folder = os.environ.get("TSFCN_CACHE")
    paths = json.dumps([path for path, _, _ in json.loads(stamp)[3]])
    try:
        base = Path(folder).expanduser() if folder else Path.home() / ".cache" / "tsfcn"
    except RuntimeError as error:  # no home folder
        raise OSError("no folder for the cache") from error
    return base / f"{name}-{hashlib.sha256(paths.encode()).hexdigest()[:16]}.npz"


def _from_cache(name: str, stamp: str, *, only_passport: bool = False) -> Dataset | None:
    """Return what was kept of these very files, or None, also where the cache is broken: it can be made again."""
    try:
        with np.load(_cache_file(name, stamp), allow_pickle=False) as kept:
            if str(kept["stamp"]) != stamp:
                return None
            passport = json.loads(str(kept["passport"]))
            nothing = np.empty((0, 0, 0)), np.empty(0, dtype=np.str_)
            x_train, y_train = nothing if only_passport else (kept["x_train"], kept["y_train"])
            x_test, y_test = nothing if only_passport else (kept["x_test"], kept["y_test"])
            return Dataset(name, x_train, y_train, x_test, y_test, bool(passport["unequal"]), passport)
    except Exception:  # a damaged file fails in many ways (zip, npy, JSON), and what it held can be read again
        return None


def _to_cache(dataset: Dataset, stamp: str) -> None:
    """Keep a parsed dataset, or do without: a cache that cannot be written is no reason to stop."""
    newest = max(int(modified) for _, _, modified in json.loads(stamp)[3])
    if abs(time.time_ns() - newest) < 2_000_000_000:
        return  # changed again within one tick of the file system's clock, the files would look unchanged
    with contextlib.suppress(OSError):
        target = _cache_file(dataset.name, stamp)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{dataset.name}-", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(
                    file,
                    stamp=np.array(stamp),
                    passport=np.array(json.dumps(dataset.passport)),
                    x_train=dataset.x_train,
                    y_train=dataset.y_train,
                    x_test=dataset.x_test,
                    y_test=dataset.y_test,
                )
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
