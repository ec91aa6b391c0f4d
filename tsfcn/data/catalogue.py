"""Facts about the 128 datasets of the UCR 2018 archive, and named sets of them.

The facts are in `ucr2018.csv` beside this file. Sizes, classes, type and 1-NN errors are those of the archive's
summary. Missing values, the longest length and the orientation of 2015 come from the files and the papers. The files
of GesturePebbleZ2 were not available: its length, 455, is that of GesturePebbleZ1, another split of the same
recordings. This module reads no data: a plan over all 128 datasets needs neither files nor numpy.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tsfcn.common.errors import UserError

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Facts:
    """The facts about one dataset in the official train/test split of UCR 2018 (corrected revision).

    Counts are cases, `length` is timepoints, errors are fractions of the test cases (0 to 1).
    """

    name: str
    type: str  # where the series come from, in the archive's words: Image, Sensor, ECG, ...
    n_train: int
    n_test: int
    n_classes: int
    length: int  # timepoints of the longest case of both splits, which may be fewer than the columns of the file
    missing: bool  # there is NaN within series, although the archive's summary calls these four fixed length
    unequal: bool  # series differ in length, and the official files pad them with NaN
    in_ucr85: bool  # in the 2015 archive
    in_ucr44: bool  # one of the 44 datasets of Wang et al. 2017, Table I
    split_swapped_in_2015: bool  # train and test are swapped in the 2015 files
    bundled: bool  # sktime's wheel has the official values (its PLAID is another revision)
    ed_error: float  # 1-NN, Euclidean distance
    dtw_error: float  # 1-NN, DTW with the window learned on the training set
    dtw_window: int  # the learned window, percent of the length
    dtw_full_error: float  # 1-NN, DTW without a window

    def n_test_on(self, split: str) -> int:
        """Return the number of test cases on a split: that of 2015 swaps train and test of some datasets."""
        return self.n_train if split == "ucr2015" and self.split_swapped_in_2015 else self.n_test

    @property
    def n_timepoints(self) -> int:
        """Training timepoints, n_train * length: the cost of a job grows with it."""
        return self.n_train * self.length


def _flag(text: str) -> bool:
    # bool('false') is True, so the words are looked up. Any other word raises KeyError.
    return {"true": True, "false": False}[text]


def _read_facts(path: Path) -> dict[str, Facts]:
    with path.open(encoding="utf-8", newline="") as file:
        return {
            row["name"]: Facts(
                name=row["name"],
                type=row["type"],
                n_train=int(row["n_train"]),
                n_test=int(row["n_test"]),
                n_classes=int(row["n_classes"]),
                length=int(row["length"]),
                missing=_flag(row["missing"]),
                unequal=_flag(row["unequal"]),
                in_ucr85=_flag(row["in_ucr85"]),
                in_ucr44=_flag(row["in_ucr44"]),
                split_swapped_in_2015=_flag(row["split_swapped_in_2015"]),
                bundled=_flag(row["bundled"]),
                ed_error=float(row["ed_error"]),
                dtw_error=float(row["dtw_error"]),
                dtw_window=int(row["dtw_window"]),
                dtw_full_error=float(row["dtw_full_error"]),
            )
            for row in csv.DictReader(file)
        }


def _read_old_names(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["old_name"]: row["name"] for row in csv.DictReader(file)}


CATALOGUE: dict[str, Facts] = _read_facts(_HERE / "ucr2018.csv")
"""All datasets by their UCR 2018 name, in alphabetical order."""

OLD_NAMES: dict[str, str] = _read_old_names(_HERE / "names.csv")
"""UCR 2018 names by the names of the 2015 files, if they differ in more than case."""

BY_FILE: dict[str, str] = {name.lower(): name for name in CATALOGUE} | {
    old.lower(): new for old, new in OLD_NAMES.items()
}
"""UCR 2018 names by the possible names of files, in lower case."""


def _named_sets() -> dict[str, tuple[str, ...]]:
    facts = CATALOGUE.values()
    complete = [f for f in facts if not f.missing and not f.unequal]
    smallest = {f.name for f in sorted(complete, key=lambda f: (f.n_timepoints, f.name))[:30]}
    return {
        "all": tuple(CATALOGUE),
        "ucr85": tuple(f.name for f in facts if f.in_ucr85),
        "ucr44": tuple(f.name for f in facts if f.in_ucr44),
        # Figures of papers on the 2015 archive are comparable with ours on these.
        "same_split": tuple(f.name for f in facts if f.in_ucr85 and not f.split_swapped_in_2015),
        "bundled": tuple(f.name for f in facts if f.bundled),
        # The three quickest of `bundled`, quickest first: a first run needs no download and little time.
        "default": ("ItalyPowerDemand", "GunPoint", "ArrowHead"),
        "small": tuple(name for name in CATALOGUE if name in smallest),
        "equal_length": tuple(f.name for f in facts if not f.unequal),
        "missing": tuple(f.name for f in facts if f.missing),
        "unequal": tuple(f.name for f in facts if f.unequal),
    }


SETS: dict[str, tuple[str, ...]] = _named_sets()
"""Named sets of datasets, each in catalogue order (`default` from quick to slow)."""


def select(dataset: object, exclude: object = (), user: Sequence[str] = ()) -> list[str]:
    """Return the names of the datasets that `dataset` selects, without those that `exclude` selects.

    dataset, exclude: 'all', another set of `SETS`, a name, a glob over names (`Ins*`, case-sensitive), or a list of
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
        f"{argument} '{word}' is not in the archive: write a UCR 2018 name, a glob or a set ({', '.join(SETS)}); "
        "a dataset of yours is a path, or NAME_TRAIN.tsv and NAME_TEST.tsv (or another format) under archive.root"
    )


def _kind(value: object) -> str:
    return "nothing" if value is None else f"of type {type(value).__name__}"


def _shown(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)
