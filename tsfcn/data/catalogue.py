"""The 128 datasets of the UCR 2018 archive as one table of facts, and the named sets over them.

The facts stand in `ucr2018.csv` beside this file: sizes, classes, type and 1-NN errors as the archive's own summary
gives them, and what the summary does not say (missing values, true longest length, 2015 orientation), which was read
off the files and the papers. GesturePebbleZ2's files were not at hand: its length, 455, is taken over from
GesturePebbleZ1, which splits as many recordings otherwise. Nothing here touches data: a plan over all 128 datasets
needs neither files nor numpy.
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
    """What is known of one dataset in the official train/test split of UCR 2018 (corrected revision).

    Counts are cases, `length` is timepoints, errors are fractions of the test cases (0 to 1).
    """

    name: str
    type: str  # the archive's word for where the series come from: Image, Sensor, ECG, ...
    n_train: int
    n_test: int
    n_classes: int
    length: int  # of the longest case; of unequal length: over both splits, not the columns of the file
    missing: bool  # NaN within series, although the archive's summary calls these four fixed length
    unequal: bool  # series of different lengths, NaN-padded at the tail in the official files
    in_ucr85: bool  # was in the 2015 archive
    in_ucr44: bool  # is one of the 44 datasets of Wang et al. 2017, Table I
    split_swapped_in_2015: bool  # the 2015 files have train and test the other way round
    bundled: bool  # sktime's wheel holds exactly the official values (its PLAID is another revision)
    ed_error: float  # 1-NN, Euclidean distance
    dtw_error: float  # 1-NN, DTW with the window learned on the training set
    dtw_window: int  # that window, percent of the length
    dtw_full_error: float  # 1-NN, DTW without a window

    @property
    def n_timepoints(self) -> int:
        """Training timepoints, n_train * length: the size that a job's cost grows with."""
        return self.n_train * self.length


def _flag(text: str) -> bool:
    # bool('false') is True, so the words are looked up, and any third word is a KeyError.
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
"""Every dataset by its UCR 2018 name, alphabetical."""

OLD_NAMES: dict[str, str] = _read_old_names(_HERE / "names.csv")
"""Names that the 2015 archive's files had, and the UCR 2018 name of the same dataset (other than by case alone)."""

BY_FILE: dict[str, str] = {name.lower(): name for name in CATALOGUE} | {
    old.lower(): new for old, new in OLD_NAMES.items()
}
"""The UCR 2018 name by what files of a dataset may be called, in lower case."""


def _named_sets() -> dict[str, tuple[str, ...]]:
    facts = CATALOGUE.values()
    complete = [f for f in facts if not f.missing and not f.unequal]
    smallest = {f.name for f in sorted(complete, key=lambda f: (f.n_timepoints, f.name))[:30]}
    return {
        "all": tuple(CATALOGUE),
        "ucr85": tuple(f.name for f in facts if f.in_ucr85),
        "ucr44": tuple(f.name for f in facts if f.in_ucr44),
        # Where figures of papers on the 2015 archive compare with ours.
        "same_split": tuple(f.name for f in facts if f.in_ucr85 and not f.split_swapped_in_2015),
        "bundled": tuple(f.name for f in facts if f.bundled),
        # The three quickest of `bundled`, cheapest first: something to see soon, and no download.
        "default": ("ItalyPowerDemand", "GunPoint", "ArrowHead"),
        "small": tuple(name for name in CATALOGUE if name in smallest),
        "equal_length": tuple(f.name for f in facts if not f.unequal),
        "missing": tuple(f.name for f in facts if f.missing),
        "unequal": tuple(f.name for f in facts if f.unequal),
    }


SETS: dict[str, tuple[str, ...]] = _named_sets()
"""Named sets of datasets, each in catalogue order (`default` from quick to slow)."""


def select(dataset: object, exclude: object = (), own: Sequence[str] = ()) -> list[str]:
    """Names of the datasets that `dataset` means, without those that `exclude` means.

    Either is 'all', another set of `SETS`, a name, a glob over names (`Ins*`; case counts), or a list of these. A set
    or a glob comes in catalogue order, a list in its own order, nothing twice. own: names of the user's own datasets,
    which a name or a glob can mean, but no set. Raises UserError for a name or set that
    does not exist, a glob that matches nothing, anything that is not text, and a selection that is empty.

    >>> select("GunPoint*", exclude="GunPointO*")
    ['GunPoint', 'GunPointAgeSpan', 'GunPointMaleVersusFemale']
    """
    wanted = _expand(dataset, "dataset", own)
    unwanted = set(_expand(exclude, "exclude", own))
    chosen = [name for name in wanted if name not in unwanted]
    if not wanted:
        raise UserError(f"dataset {_shown(dataset)} selects nothing: name a dataset or a set ({', '.join(SETS)})")
    if not chosen:
        raise UserError(f"exclude {_shown(exclude)} leaves nothing of dataset {_shown(dataset)}: exclude less")
    return chosen


def _expand(written: object, argument: str, own: Sequence[str]) -> list[str]:
    """Names that a selection means, in order, without doubles; `argument` is what the user calls the selection."""
    words: Iterable[object]
    if isinstance(written, str):
        words = [written]
    # Not only list and tuple: a list that comes out of a YAML file is its reader's own kind of sequence.
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
        names.update(dict.fromkeys(_one(word, argument, own)))
    return list(names)


def _one(word: str, argument: str, own: Sequence[str]) -> Sequence[str]:
    """Names that one word means: a set's, a dataset's own, or those that match a glob."""
    if word in SETS:
        return SETS[word]
    if word in CATALOGUE or word in own:
        return [word]
    if any(sign in word for sign in "*?["):
        matching = [name for name in (*CATALOGUE, *own) if fnmatchcase(name, word)]
        if not matching:
            raise UserError(f"{argument} '{word}' matches no dataset: a glob is compared with names as in 'GunPoint*'")
        return matching
    raise UserError(_unknown(word, argument, own))


def _unknown(word: str, argument: str, own: Sequence[str]) -> str:
    """Return the one line that says what the user most likely meant by a word that is neither a dataset nor a set."""
    if "," in word:
        return f"{argument} '{word}' is one text with a comma: write a list, [{word}]"
    known = {name.lower(): name for name in (*CATALOGUE, *SETS, *own)}
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
        "data of your own is NAME_TRAIN.tsv and NAME_TEST.tsv, or of another format, under archive.root"
    )


def _kind(value: object) -> str:
    return "nothing" if value is None else f"of type {type(value).__name__}"


def _shown(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)
