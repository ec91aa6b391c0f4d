"""Facts about the 128 datasets of the UCR 2018 archive and the 30 of the UEA 2018 archive, and named sets of them.

The facts are in `ucr2018.csv` and `uea2018.csv` beside this file. Of UCR, sizes, classes, type and 1-NN errors are
those of the archive's summary. Missing values, the longest length and the orientation of 2015 come from the files and
the papers. The files of GesturePebbleZ2 were not available: its length, 455, is that of GesturePebbleZ1, another split
of the same recordings.

UEA is the multivariate archive of Bagnall and others 2018 (arXiv:1811.00075). Its files were corrected in 2019, so
the table of the paper is right neither for the cases of ERing, DuckDuckGeese and InsectWingbeat nor for the length of
Epilepsy and InsectWingbeat. The facts are those of the corrected files: of the 15 datasets whose content is on record
(`contents.csv`) counted by us, of the other 15 as counted in these files by mat-analysis/datasets on GitHub
(mts/Dataset Statistics.txt at f505725534). The published figures confirm every number of test cases, since they are
whole cases of it (tests/unit/data/test_published.py).

This module reads no data: a plan over all datasets needs neither files nor numpy.
"""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tsfcn.common.errors import UserError

_HERE = Path(__file__).parent


UCR, UEA = "UCR2018", "UEA2018"


@dataclass(frozen=True)
class Facts:
    """The facts about one dataset in the official train/test split of its archive (corrected revision).

    Counts are cases, `length` is timepoints, errors are fractions of the test cases (0 to 1).
    """

    name: str
    archive: str  # UCR or UEA
    type: str  # where the series come from, in the archive's words: Image, Sensor, ECG, ...
    n_train: int
    n_test: int
    n_classes: int
    length: int  # timepoints of the longest case of both splits, which may be fewer than the columns of the file
    missing: bool  # there is NaN within series, although the summary of UCR calls these four fixed length
    unequal: bool  # series differ in length, and the official files of UCR pad them with NaN
    bundled: bool  # sktime's wheel has the official values (its PLAID is another revision)
    n_channels: int = 1  # UCR is univariate
    # Of UCR alone:
    in_ucr85: bool = False  # in the 2015 archive
    in_ucr44: bool = False  # one of the 44 datasets of Wang et al. 2017, Table I
    split_swapped_in_2015: bool = False  # train and test are swapped in the 2015 files
    ed_error: float = math.nan  # 1-NN, Euclidean distance
    dtw_error: float = math.nan  # 1-NN, DTW with the window learned on the training set
    dtw_window: int = 0  # the learned window, percent of the length
    dtw_full_error: float = math.nan  # 1-NN, DTW without a window

    @property
    def split(self) -> str:
        """The name of the official split: 'ucr2018' or 'uea2018'."""
        return self.archive.lower()

    def n_test_on(self, split: str) -> int:
        """Return the number of test cases on a split: that of 2015 swaps train and test of some datasets."""
        return self.n_train if split == "ucr2015" and self.split_swapped_in_2015 else self.n_test

    @property
    def n_timepoints(self) -> int:
        """Training timepoints, n_train * length: the cost of a job grows with it."""
        return self.n_train * self.length


OFFICIAL_SPLITS = (UCR.lower(), UEA.lower())
"""The names of the official splits (`Facts.split`)."""

_PARSERS: dict[str, Callable[[str], Any]] = {  # by the type of a field
    "str": str,
    "int": int,
    "float": float,
    "bool": {"true": True, "false": False}.__getitem__,  # since bool('false') is True; another word raises KeyError
}


def _read_facts(archive: str) -> dict[str, Facts]:
    parse = {field.name: _PARSERS[str(field.type)] for field in fields(Facts)}
    with (_HERE / f"{archive.lower()}.csv").open(encoding="utf-8", newline="") as file:
        rows = [{key: parse[key](text) for key, text in row.items()} for row in csv.DictReader(file)]
    return {row["name"]: Facts(archive=archive, **row) for row in rows}


def _read_old_names(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["old_name"]: row["name"] for row in csv.DictReader(file)}


CATALOGUE: dict[str, Facts] = _read_facts(UCR) | _read_facts(UEA)
"""All datasets by their name, those of UCR before those of UEA, each archive in alphabetical order."""

OLD_NAMES: dict[str, str] = _read_old_names(_HERE / "names.csv")
"""UCR 2018 names by the names of the 2015 files, if they differ in more than case."""

BY_FILE: dict[str, str] = {name.lower(): name for name in CATALOGUE} | {
    old.lower(): new for old, new in OLD_NAMES.items()
}
"""Names of datasets by the possible names of files, in lower case."""


def _named_sets() -> dict[str, tuple[str, ...]]:
    facts = [f for f in CATALOGUE.values() if f.archive == UCR]
    uea = [f for f in CATALOGUE.values() if f.archive == UEA]
    complete = [f for f in facts if not f.missing and not f.unequal]
    smallest = {f.name for f in sorted(complete, key=lambda f: (f.n_timepoints, f.name))[:30]}
    return {
        "all": tuple(f.name for f in facts),
        "ucr85": tuple(f.name for f in facts if f.in_ucr85),
        "ucr44": tuple(f.name for f in facts if f.in_ucr44),
        # Figures of papers on the 2015 archive are comparable with ours on these.
        "same_split": tuple(f.name for f in facts if f.in_ucr85 and not f.split_swapped_in_2015),
        "bundled": tuple(f.name for f in CATALOGUE.values() if f.bundled),
        # The three quickest of `bundled`, quickest first: a first run needs no download and little time.
        "default": ("ItalyPowerDemand", "GunPoint", "ArrowHead"),
        "small": tuple(name for name in CATALOGUE if name in smallest),
        "equal_length": tuple(f.name for f in facts if not f.unequal),
        "missing": tuple(f.name for f in facts if f.missing),
        "unequal": tuple(f.name for f in facts if f.unequal),
        "uea": tuple(f.name for f in uea),
        "uea_equal": tuple(f.name for f in uea if not f.unequal),  # the 26 of Ruiz et al. 2021
        "uea_unequal": tuple(f.name for f in uea if f.unequal),
    }


SETS: dict[str, tuple[str, ...]] = _named_sets()
"""Named sets of datasets, each in catalogue order (`default` from quick to slow); `uea*` and `bundled` alone have
multivariate ones."""


def select(dataset: object, exclude: object = (), user: Sequence[str] = ()) -> list[str]:
    """Return the names of the datasets that `dataset` selects, without those that `exclude` selects.

    dataset, exclude: a set of `SETS` ('all' is UCR), a name, a glob over names (`Ins*`, case-sensitive), or a list of
    these. user: names of the user's datasets, which names and globs select but sets do not. The result has no name
    twice; a set or a glob gives catalogue order, a list its order. Raises UserError for an unknown name, a glob without
    match, a value that is not text and an empty selection.

    >>> select("GunPoint*", exclude="GunPointO*")
    ['GunPoint', 'GunPointAgeSpan', 'GunPointMaleVersusFemale']
    """
    wanted = _expand(dataset, "dataset", user)
    unwanted = set(_expand(exclude, "exclude", user))
    chosen = [name for name in wanted if name not in unwanted]
    if not wanted:
        raise UserError(f"dataset {_shown(dataset)} selects nothing: name a dataset or a set ({', '.join(SETS)})")
    if not chosen:
        raise UserError(f"exclude {_shown(exclude)} leaves nothing of dataset {_shown(dataset)}: exclude less")
    return chosen


def _expand(written: object, argument: str, user: Sequence[str]) -> list[str]:
    """Return the names of a selection in order, without duplicates. argument: the setting that errors name."""
    words: Iterable[object]
    if isinstance(written, str):
        words = [written]
    # Any sequence, since OmegaConf has a list type of its own.
    elif isinstance(written, Sequence) and not isinstance(written, bytes):
        words = written
    else:
        raise UserError(
            f"{argument} {_shown(written)} is {_kind(written)}: write a name, a set, a glob or a list of these"
        )
    names: dict[str, None] = {}
    for word in words:
        if not isinstance(word, str):
            raise UserError(f"{argument} {_shown(word)} in a list is {_kind(word)}: write a name, a set or a glob")
        names.update(dict.fromkeys(_one(word, argument, user)))
    return list(names)


def _one(word: str, argument: str, user: Sequence[str]) -> Sequence[str]:
    """Return the names that one word selects: those of a set, the word itself, or the matches of a glob."""
    if word in SETS:
        return SETS[word]
    if word in CATALOGUE or word in user:
        return [word]
    if any(sign in word for sign in "*?["):
        matching = [name for name in (*CATALOGUE, *user) if fnmatchcase(name, word)]
        if not matching:
            raise UserError(f"{argument} '{word}' matches no dataset: a glob is compared with names as in 'GunPoint*'")
        return matching
    raise UserError(_unknown(word, argument, user))


def _unknown(word: str, argument: str, user: Sequence[str]) -> str:
    """Return the message for a word that is neither a dataset nor a set, with the most likely correction."""
    if "," in word:
        return f"{argument} '{word}' is one text with a comma: write a list, [{word}]"
    known = {name.lower(): name for name in (*CATALOGUE, *SETS, *user)}
    same_letters = known.get(word.lower())
    if same_letters is not None:
        return f"{argument} '{word}' is not in the archive; did you mean '{same_letters}'?"
    for old, new in OLD_NAMES.items():
        if old.lower() == word.lower():
            return f"{argument} '{word}' is the old name of '{new}': write that"
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    if near:
        return f"{argument} '{word}' is not in the archive; did you mean '{known[near[0]]}'?"
    return (
        f"{argument} '{word}' is not in the archive: write a name of UCR or UEA 2018, a glob or a set "
        f"({', '.join(SETS)}); a dataset of yours is a path, or NAME_TRAIN.tsv and NAME_TEST.tsv (or another format) "
        "under archive.root"
    )


def _kind(value: object) -> str:
    return "nothing" if value is None else f"of type {type(value).__name__}"


def _shown(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)
