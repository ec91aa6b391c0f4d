"""Find, read and check one dataset: from a name to a `Dataset` with its passport.

Under `root` a dataset may lie as NAME/NAME_TRAIN.tsv (the layout of the 2018 archive) or NAME_TRAIN.tsv, in any of the
formats of `formats.FORMATS`, a dataset of the archive also in any case and under the name that it had in 2015; else it
is taken from sktime's wheel, which brings a few along. What is read is checked against the catalogue, and against the
known contents in `contents.csv`: two revisions of the 2018 archive, its "adjusted" files and the 2015 archive with
train and test swapped all circulate under the same names, and their accuracies do not compare.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import importlib.util
import json
import os
import re
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tsfcn.common.errors import UserError
from tsfcn.common.files import cache_folder, create_cache_folder, is_trusted
from tsfcn.data import catalogue, formats
from tsfcn.data.formats import Float64
from tsfcn.data.preprocess import Labels, case_lengths

READER = 3  # raise it when the same files would be read differently: it voids the cache

SPLITS = ("ucr2018", "ucr2015")
ABANDONED_SECONDS = 3600  # a temporary file of the cache that nobody can be writing any more
INNER_FOLDERS = ("UCRArchive_2018", "UCR_TS_Archive_2015")  # what the archives' zips unpack to

# The 2018 archive was corrected after its first release; (n_train, n_test) of the files that still circulate.
# PLAID's early revision has the official sizes and differs by its rounding to 5 digits: only the content shows it.
EARLY_REVISION = {"Chinatown": (20, 345), "MelbournePedestrian": (1200, 2450)}

REVISIONS = {
    "corrected": "official 2018, corrected revision",
    "early": "early revision of 2018",
    "rounded": "official 2018 values, rounded",
    "unknown": "unknown content, shape as in the catalogue",
    "unrecorded": "shape as in the catalogue, whose content is not on record",
    "user": "a dataset of your own",
}
"""What is known of a content, and how one says it."""

SITE = "https://www.timeseriesclassification.com/aeon-toolkit"  # one zip a dataset, SITE/NAME.zip


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
    passport: dict[str, Any]

    def __repr__(self) -> str:
        """Return one line: name, shapes and classes."""
        classes = f"{self.passport['n_classes']} classes"
        return f"<Dataset {self.name}: train {self.x_train.shape}, test {self.x_test.shape}, {classes}>"


@dataclass(frozen=True)
class _Files:
    train: Path
    test: Path
    source: str  # 'sktime', or one of SOURCES

    def stamp(self) -> list[list[object]]:
        """Return path, bytes and modification time of both files: unchanged means not to be read again."""
        stats = [(path, path.stat()) for path in (self.train, self.test)]
        return [[os.path.realpath(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]


SOURCES = {".tsv": "tsv", ".ts": "ts", ".arff": "arff", ".txt": "txt", ".csv": "csv", "": "ucr2015"}
"""What a passport calls each format of `readers.FORMATS`."""


def load(name: str, root: str | Path | None = None, split: str = "ucr2018") -> Dataset:
    """Read one dataset from a local archive or from sktime's wheel, and check it against the catalogue.

    name: as in the catalogue ('Coffee'), or any other name whose files lie under root: then there is nothing to check
    it against and its passport says archive 'user'. root: the folder of the archive; without it $TSFCN_ARCHIVE, else
    the default folder (`default_folder`) if it is there; the bundled datasets are found without any. split: 'ucr2018',
    the archive's, or 'ucr2015': train and test as they were in the 2015 archive, which 14 datasets have the other way
    round (inferred from published accuracies) and which has 85 of the 128; whichever way the files lie, what is asked
    for comes back.
    In a table of the user's own (.tsv, .csv and so on), NaN only at the ends of cases means unequal length, and NaN
    anywhere else too means that all of them are missing values.
    Parsed files are kept in $TSFCN_CACHE or ~/.cache/tsfcn.
    Raises NotAvailable where the files are not here, or the dataset is not in the 2015 archive; UserError for an
    unknown name or split, a root that is not a folder, a file that cannot be read (with its line), and content whose
    sizes are not the official ones.
    """
    files, facts = _find(name, root)
    stamp = _stamp(files, facts)
    dataset = _from_cache(name, stamp)
    if dataset is None:
        dataset = _read(name, files, facts)
        if stamp == _stamp(files, facts):  # else the files changed while they were read
            _to_cache(dataset, stamp)
    return _oriented(replace(dataset, passport=_checked(dataset.passport, facts, files)), split)


def passport(name: str, root: str | Path | None = None, split: str = "ucr2018") -> dict[str, Any]:
    """Return the passport of a dataset without its arrays: what identifies the content, and its sizes.

    name, root, split and errors as for `load`. Keys: name; archive ('UCR2018' or 'user'); revision (of REVISIONS);
    source ('sktime' or of SOURCES); split (of what is loaded: 'ucr2018'; 'ucr2015' where that is the reverse; or
    'user'); files_split (of the files, likewise); n_train, n_test (cases); n_channels; n_classes; length and shortest
    (timepoints of the longest and the shortest case); unequal; n_missing (values missing within cases); n_duplicates
    (`duplicates`); content (`content_hash` of what is loaded).
    Milliseconds when the dataset was read before, else as slow as `load`.
    """
    files, facts = _find(name, root)
    kept = _from_cache(name, _stamp(files, facts), only_passport=True)
    if kept is None:
        return load(name, root, split).passport
    return _oriented(replace(kept, passport=_checked(kept.passport, facts, files)), split).passport


def locate(name: str, root: str | Path | None = None) -> tuple[str, Path]:
    """Return where a dataset would be read from, source and training file, without reading it. Errors as for `load`."""
    files, _ = _find(name, root)
    return files.source, files.train


def own(root: str | Path | None = None) -> list[str]:
    """Return the names of the user's own datasets under the archive's root, those that the catalogue does not know.

    Of a dataset that is half there, too: whoever reads it is told so.
    """
    folder = root_folder(root)
    if folder is None:
        return []
    stems = {
        _stem(entry).name
        for pattern in ("*_TRAIN*", "*_TEST*", "*/*_TRAIN*", "*/*_TEST*")
        for entry in folder.glob(pattern)
        if entry.suffix in formats.FORMATS
    }
    found = sorted(stem for stem in stems if stem.lower() not in catalogue.BY_FILE and NAME.fullmatch(stem))
    return [name for name in found if _is_under(folder, name)]


def duplicates(dataset: Dataset) -> dict[str, int]:
    """Return how many test series are training series too, value for value: the official data has some.

    series: distinct series in both splits; cases: test cases that hold one of them; relabelled: those of these cases
    whose class no training case of the same series has.
    """
    labels: dict[bytes, set[str]] = {}
    for case, label in zip(dataset.x_train, dataset.y_train, strict=True):
        labels.setdefault(case.tobytes(), set()).add(str(label))
    found = [
        (series, str(label) in labels[series])
        for case, label in zip(dataset.x_test, dataset.y_test, strict=True)
        if (series := case.tobytes()) in labels
    ]
    return {
        "series": len({series for series, _ in found}),
        "cases": len(found),
        "relabelled": sum(not same for _, same in found),
    }


def holds(folder: Path, name: str) -> bool:
    """Say whether the files of a dataset lie under `folder`, right or wrong. Raises UserError for half of them."""
    return _under(folder, name) is not None


def checked(name: str, folder: Path) -> dict[str, Any]:
    """Read the files of a dataset under `folder` alone, past the cache, and return its passport.

    For files that are on their way into the archive. Raises UserError as `load` does, and where there are none.
    """
    files, facts = _under(folder, name), catalogue.CATALOGUE.get(name)
    if files is None:
        raise UserError(f"dataset '{name}' in '{folder / name}' is of a format that is not read: write .tsv or .ts")
    dataset = _read(name, files, facts)
    return _oriented(replace(dataset, passport=_checked(dataset.passport, facts, files)), "ucr2018").passport


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


# ---------------------------------------------------------------- where it is


# Nothing that leaves the folder, and nothing that a terminal would act on.
NAME = re.compile(
    r"(?!\.|.*\.\.)[^/\\\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*[^/\\\0-\x20\x7f-\x9f\u202a-\u202e\u2066-\u2069\s]"
)


def _find(name: str, root: str | Path | None) -> tuple[_Files, catalogue.Facts | None]:
    if not NAME.fullmatch(name) or name != name.strip():
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
        bundled = sktime_files(name)
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
    """Return the files of a dataset under a root, or None. Raises UserError where only one of the two is there."""
    bases = [folder, *(folder / inner for inner in INNER_FOLDERS)]
    spellings = [name, *(old for old, new in catalogue.OLD_NAMES.items() if new == name)]
    halves: list[Path] = []
    try:
        stems = [stem for base in bases for word in spellings for stem in (base / word / word, base / word)]
        found = _pair(stems, halves)
        if found is None and name in catalogue.CATALOGUE:  # wafer/wafer_TRAIN for Wafer
            words = {word.lower() for word in spellings}
            stems = [
                stem
                for base in bases
                if base.is_dir()
                for entry in sorted(base.iterdir())
                if entry.name.lower().partition("_train")[0] in words
                for stem in ([_stem(f) for f in sorted(entry.iterdir())] if entry.is_dir() else [_stem(entry)])
                if stem.name.lower() in words
            ]
            found = _pair(list(dict.fromkeys(stems)), halves)
    except OSError as error:  # a name too long for the file system, a folder without rights
        raise UserError(f"dataset '{name[:40]}' is not readable under '{folder}': {error.strerror}") from error
    if found is None and halves:
        train = halves[0].name.replace("_TEST", "_TRAIN")
        other = train if "_TEST" in halves[0].name else train.replace("_TRAIN", "_TEST")
        raise UserError(f"dataset '{name}' is half there, '{halves[0]}': put '{other}' beside it")
    return found


def _is_under(folder: Path, name: str) -> bool:
    """Return whether a dataset, or half of it, lies under a root."""
    try:
        return _under(folder, name) is not None
    except UserError:
        return True


def _stem(file: Path) -> Path:
    """Return a file's path without suffix and split: wafer/wafer for wafer/wafer_TRAIN."""
    return file.with_name(file.name.removesuffix(file.suffix).removesuffix("_TRAIN").removesuffix("_TEST"))


def _pair(stems: list[Path], halves: list[Path]) -> _Files | None:
    """Return the first pair of files that exists; note in `halves` what is there without its other half."""
    for stem in stems:
        for suffix, source in SOURCES.items():
            train, test = Path(f"{stem}_TRAIN{suffix}"), Path(f"{stem}_TEST{suffix}")
            there = [path for path in (train, test) if path.is_file()]
            if len(there) == 2:
                return _Files(train, test, source)
            halves += there
    return None


def sktime_files(name: str) -> _Files | None:
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


def _read(name: str, files: _Files, facts: catalogue.Facts | None) -> Dataset:
    """Return what the files hold, in the orientation of 2018, with all of its passport that is not looked up."""
    train, test = formats.read(files.train), formats.read(files.test)
    n_channels = train.cases[0].shape[0]
    if test.cases[0].shape[0] != n_channels:
        raise UserError(
            f"file '{files.test}' is of {test.cases[0].shape[0]} channels: '{files.train.name}' has {n_channels}"
        )
    sizes = len(train.cases), len(test.cases)
    swapped = facts is not None and facts.split_swapped_in_2015 and sizes == (facts.n_test, facts.n_train)
    if swapped:
        train, test = test, train
    width = max(case.shape[1] for split in (train, test) for case in split.cases)
    x_train, x_test = _padded(train.cases, width), _padded(test.cases, width)
    y_train, y_test = np.array(train.labels, dtype=np.str_), np.array(test.labels, dtype=np.str_)
    if facts is None:
        known = set(train.labels)
        unseen = [label for label in test.labels if label not in known]
        if 2 * len(unseen) > len(test.labels):
            raise UserError(
                f"dataset '{name}' in '{files.train.parent}' has {len(unseen)} of {len(test.labels)} test cases of "
                f"classes that training lacks, as {unseen[0][:40]!r}: mend the labels, which come first in a row"
            )
    unequal = facts.unequal if facts is not None else _ends_differ(x_train, x_test, train, test)
    if unequal:
        # AllGestureWiimote* have 500 columns, but no case is longer than 385 timepoints.
        width = max(1, int(max(case_lengths(x_train, True).max(), case_lengths(x_test, True).max())))
        x_train, x_test = x_train[:, :, :width].copy(), x_test[:, :, :width].copy()
    lengths = np.concatenate([case_lengths(x_train, unequal), case_lengths(x_test, unequal)])
    content = content_hash(x_train, y_train, x_test, y_test, unequal)
    found: dict[str, Any] = {
        "name": name,
        "archive": "user" if facts is None else "UCR2018",
        "revision": "user",
        "source": files.source,
        "split": "user" if facts is None else "ucr2018",
        "files_split": "user" if facts is None else "ucr2015" if swapped else "ucr2018",
        "n_train": len(x_train),
        "n_test": len(x_test),
        "n_channels": n_channels,
        "n_classes": len(set(train.labels) | set(test.labels)),
        "length": int(lengths.max()),
        "shortest": int(lengths.min()),
        "unequal": unequal,
        "n_missing": _n_missing(x_train, unequal) + _n_missing(x_test, unequal),
        "content": content,
    }
    dataset = Dataset(name, x_train, y_train, x_test, y_test, unequal, found)
    found["n_duplicates"] = duplicates(dataset)["series"]
    if facts is not None and facts.split_swapped_in_2015:
        found["content_reversed"] = content_hash(x_test, y_test, x_train, y_train, unequal)
    if facts is not None and content not in {known.content for known in contents().get(name, [])}:
        found["sketch"] = sketch(dataset)
    return dataset


def _oriented(dataset: Dataset, split: str) -> Dataset:
    """Return the dataset with the train and test that `split` means."""
    if split not in SPLITS:
        raise UserError(f"archive.split={split} is not known: use one of {', '.join(SPLITS)}")
    passport = dict(dataset.passport)
    reverse = passport.pop("content_reversed", None)
    facts = catalogue.CATALOGUE.get(dataset.name)
    if split == "ucr2018" or facts is None or not facts.split_swapped_in_2015:
        if split == "ucr2015" and facts is not None and not facts.in_ucr85:
            raise NotAvailable(
                f"dataset '{dataset.name}' is not in the 2015 archive: leave archive.split=ucr2015 away, or use "
                "dataset=ucr85"
            )
        return replace(dataset, passport=passport)
    passport |= {"split": "ucr2015", "content": reverse}
    passport |= {"n_train": passport["n_test"], "n_test": passport["n_train"]}
    x_train, y_train, x_test, y_test = dataset.x_test, dataset.y_test, dataset.x_train, dataset.y_train
    return Dataset(dataset.name, x_train, y_train, x_test, y_test, dataset.unequal, passport)


def _padded(cases: list[Float64], width: int) -> Float64:
    x = np.full((len(cases), cases[0].shape[0], width), np.nan)
    for i, case in enumerate(cases):
        x[i, :, : case.shape[1]] = case
    x += 0.0  # makes -0.0 0.0, so that equal content hashes mean equal arrays
    x[np.isnan(x)] = np.nan  # there are many NaN, and series are compared by their bytes
    return x


def _ends_differ(x_train: Float64, x_test: Float64, train: formats.Split, test: formats.Split) -> bool:
    """Say whether the NaN at the ends of a user's cases are absent timepoints rather than missing values."""
    if len({case.shape[1] for split in (train, test) for case in split.cases}) > 1:
        return True
    shorter = any(bool((case_lengths(x, True) < x.shape[2]).any()) for x in (x_train, x_test))
    return shorter and _n_missing(x_train, True) + _n_missing(x_test, True) == 0


def _n_missing(x: Float64, unequal: bool) -> int:
    within = np.arange(x.shape[2]) < case_lengths(x, unequal)[:, None, None]
    return int((np.isnan(x) & within).sum())


def _checked(found: dict[str, Any], facts: catalogue.Facts | None, files: _Files) -> dict[str, Any]:
    """Return the passport with its revision. Raises UserError where the content cannot be the official one."""
    found = dict(found)
    drawn = found.pop("sketch", None)
    what = f"dataset '{found['name']}' in '{files.train.parent}'"
    if facts is None:
        if found["n_classes"] == 1:
            raise UserError(f"{what} is of one class: a classifier needs two or more")
        return found
    remedy = "take the official files of the UCR 2018 archive, or give yours another name"
    other = _names_by_content().get(found["content"], facts.name)
    if other != facts.name:
        raise UserError(f"{what} is of the content of '{other}': {remedy}")
    sizes, official = (found["n_train"], found["n_test"]), (facts.n_train, facts.n_test)
    early = sizes == EARLY_REVISION.get(facts.name)
    if sizes != official and not early:
        is_ = f"{sizes[0]} training and {sizes[1]} test cases, not the official {official[0]} and {official[1]}"
        raise UserError(f"{what} is of {is_}{_resemblance(found, facts)}: {remedy}")
    for key, unit, expected in (
        ("n_channels", "channels", 1),
        ("n_classes", "classes", facts.n_classes),
        ("length", "timepoints", facts.length),
    ):
        if found[key] != expected:
            raise UserError(f"{what} is of {found[key]} {unit}, not the official {expected}: {remedy}")
    if facts.unequal and found["shortest"] == found["length"]:
        raise UserError(f"{what} is of equal length, adjusted, while the official cases differ in length: {remedy}")
    if facts.missing and found["n_missing"] == 0 and not early:
        raise UserError(f"{what} is without missing values, adjusted, while the official files have some: {remedy}")
    if not facts.missing and found["n_missing"] != 0:
        raise UserError(f"{what} is short of {found['n_missing']} values, the official files miss none: {remedy}")
    return found | {"revision": "early" if early else _revision(found["name"], found["content"], drawn)}


def _resemblance(found: dict[str, Any], facts: catalogue.Facts) -> str:
    """Say what sizes that are not the official ones look like."""
    sizes = found["n_train"], found["n_test"]
    if sizes == (facts.n_test, facts.n_train):
        return ", train and test swapped"
    if sizes[0] == sizes[1] and sizes[0] in (facts.n_train, facts.n_test):
        return f", the {'training' if sizes[0] == facts.n_train else 'test'} file twice"
    if facts.n_train + facts.n_test in sizes:
        return ", both splits in one file"
    if sum(sizes) == facts.n_train + facts.n_test:
        return ", as many in all: split in another way"
    shape = (*sizes, found["n_classes"], found["length"])
    same = [f.name for f in catalogue.CATALOGUE.values() if shape == (f.n_train, f.n_test, f.n_classes, f.length)]
    return f", those of '{same[0]}'" if same else ""


# ---------------------------------------------------------------- known contents


@dataclass(frozen=True)
class Content:
    """A content on record: its revision, hash, the hash of its labels, its Euclidean norm and its projections."""

    revision: str
    content: str
    labels: str
    norm: float
    projections: tuple[float, ...]


N_PROJECTIONS = 4
ROUNDING = 2e-4  # of the norm: values of 5 significant digits stay below a fifth of it


@functools.cache
def contents() -> dict[str, list[Content]]:
    """Return the contents on record (`contents.csv`), by dataset."""
    known: dict[str, list[Content]] = {}
    with (Path(__file__).parent / "contents.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            projections = tuple(float(row[f"projection{i}"]) for i in range(N_PROJECTIONS))
            entry = Content(row["revision"], row["content"], row["labels"], float(row["norm"]), projections)
            known.setdefault(row["name"], []).append(entry)
    return known


@functools.cache
def _names_by_content() -> dict[str, str]:
    return {entry.content: name for name, entries in contents().items() for entry in entries}


def sketch(dataset: Dataset) -> dict[str, Any]:
    """Return what tells whether values are those on record but for rounding, which no hash can.

    labels: a hash of all labels; norm: the Euclidean norm of all values; projections: their inner products with
    N_PROJECTIONS random vectors. Rounding each value by a relative error e moves a projection by about e times the
    norm; other values move it by about the norm. Missing values count as 0.
    """
    random = np.random.RandomState(0)  # its stream is frozen
    labels = json.dumps([[str(label) for label in y] for y in (dataset.y_train, dataset.y_test)])
    square, projections = 0.0, np.zeros(N_PROJECTIONS)
    for x in (dataset.x_train, dataset.x_test):
        for case, length in zip(x, case_lengths(x, dataset.unequal), strict=True):
            values = np.nan_to_num(case[:, :length]).ravel()
            square += float(values @ values)
            projections += random.standard_normal((N_PROJECTIONS, len(values))) @ values
    return {
        "labels": hashlib.sha256(labels.encode()).hexdigest()[:16],
        "norm": float(f"{np.sqrt(square):.8g}"),
        "projections": [float(f"{value:.8g}") for value in projections],
    }


def _revision(name: str, content: str, drawn: dict[str, Any] | None) -> str:
    """Return the revision (a key of REVISIONS) of a content whose sizes are the official ones."""
    known = contents().get(name, [])
    for entry in known:
        if entry.content == content:
            return entry.revision
    for entry in known:
        if entry.revision == "corrected" and drawn is not None and drawn["labels"] == entry.labels:
            pairs = zip(drawn["projections"], entry.projections, strict=True)
            if max(abs(ours - theirs) for ours, theirs in pairs) <= ROUNDING * entry.norm:
                return "rounded"
    return "unknown" if known else "unrecorded"


# ---------------------------------------------------------------- the cache of parsed files


def _stamp(files: _Files, facts: catalogue.Facts | None) -> str:
    unequal = None if facts is None else facts.unequal
    return json.dumps([READER, files.source, unequal, files.stamp()])


def _cache_file(name: str, stamp: str) -> Path:
    """Return the one file that a dataset of these paths is kept in: newer content replaces older."""
    paths = json.dumps([path for path, _, _ in json.loads(stamp)[3]])
    return cache_folder() / f"{name}-{hashlib.sha256(paths.encode()).hexdigest()[:16]}.npz"


def _from_cache(name: str, stamp: str, *, only_passport: bool = False) -> Dataset | None:
    """Return what was kept of these very files; None where the cache is damaged, or others could have written it."""
    try:
        path = _cache_file(name, stamp)
        if not is_trusted(path):
            return None
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["stamp"]) != stamp:
                return None
            passport = json.loads(str(kept["passport"]))
            nothing = np.empty((0, 0, 0)), np.empty(0, dtype=np.str_)
            x_train, y_train = nothing if only_passport else (kept["x_train"], kept["y_train"])
            x_test, y_test = nothing if only_passport else (kept["x_test"], kept["y_test"])
            unequal = bool(passport["unequal"])
            if not only_passport and content_hash(x_train, y_train, x_test, y_test, unequal) != passport["content"]:
                return None
            return Dataset(name, x_train, y_train, x_test, y_test, unequal, passport)
    except Exception:  # a damaged file fails in many ways (zip, npy, JSON), and what it held can be read again
        return None


def _to_cache(dataset: Dataset, stamp: str) -> None:
    """Keep a parsed dataset, or do without: a cache that cannot be written is no reason to stop."""
    newest = max(int(modified) for _, _, modified in json.loads(stamp)[3])
    if abs(time.time_ns() - newest) < 2_000_000_000:
        return  # changed again within one tick of the file system's clock, the files would look unchanged
    with contextlib.suppress(OSError):
        target = _cache_file(dataset.name, stamp)
        create_cache_folder()
        for left in target.parent.glob(f".{dataset.name}-*.tmp"):  # by a process that was killed
            if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                left.unlink(missing_ok=True)
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
