"""Columns of accuracies: a model on many datasets, and the names of datasets as other people write them.

Two cells are comparable if dataset and split are the same, so the split is part of a cell's place (`Place`).
"""

from __future__ import annotations

import difflib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from tsfcn.common.errors import UserError
from tsfcn.common.text import loose
from tsfcn.data import published
from tsfcn.data.catalogue import CATALOGUE, OFFICIAL_SPLITS, OLD_NAMES, UEA

LEAST_DECIMALS = 2  # accuracies are never taken to be rounded more coarsely than to whole percents


class Place(NamedTuple):
    """The dataset and split of a cell.

    split: 'ucr2018' (the official one, and the 2015 files of the datasets for which they hold the same), 'uea2018',
    'ucr2015', 'early' (another revision of the files), 'adjusted' (gaps filled, short cases lengthened), '30 resamples'
    (a mean over so many, the official one first), 'mixed' (one of two, not known which), '5 folds', 'mts' (a dataset
    of the multivariate archive before UEA, whose splits are others), or 'streams' (accuracies of timepoints, which are
    compared with their like only).
    """

    dataset: str
    split: str


@dataclass(frozen=True)
class Cell:
    """The accuracy of a model on a dataset, a mean over runs."""

    accuracy: float  # fraction
    std: float | None = None  # over runs, ddof 1; None if not known
    n_runs: int = 1
    note: str = ""  # reason to read it with care, or ''


@dataclass(frozen=True)
class Column:
    """The accuracies of a model."""

    name: str
    origin: str  # the folder, file or source that holds it, as the user wrote it
    cells: Mapping[Place, Cell]
    marks: str = ""  # as in tables: 'off-paper, TEST-SELECTED'
    description: str = ""  # runs, files, selection, assumptions
    note: str = ""  # reason to read the whole column with care, or ''
    remarks: tuple[str, ...] = ()  # what was left out or assumed when its file was read, a sentence each
    is_named: bool = field(default=True, compare=False)  # False for one of several that a folder, file or source holds
    half_unit: float = 0.0  # half a unit of the last decimal that the accuracies are written with; 0: not rounded


def half_unit(cells: Iterable[Cell]) -> float:
    """Return half a unit of the last decimal that the accuracies of cells are written with.

    Trailing zeros of a single cell do not show in its value, so the cell with most decimals counts.
    """
    exponents = (Decimal(repr(cell.accuracy)).normalize().as_tuple().exponent for cell in cells)
    decimals = max((-exponent for exponent in exponents if isinstance(exponent, int)), default=LEAST_DECIMALS)
    return 0.5 * 10.0 ** -max(decimals, LEAST_DECIMALS)


def n_test(place: Place) -> int | None:
    """Return the number of test cases of a dataset on an official split, or None if it is not known."""
    facts = CATALOGUE.get(place.dataset)
    if facts is None or place.split not in (*OFFICIAL_SPLITS, "ucr2015"):
        return None
    return facts.n_test_on(place.split)


def whole_cases(accuracy: float, n: int, half: float) -> int | None:
    """Return the number of right cases that an accuracy of n test cases stands for, or None if no single one fits.

    half: half a unit of the last decimal. A truncated accuracy is off by up to a whole unit.
    """
    right = round(accuracy * n)
    fits = abs(accuracy - right / n) <= 2 * half + 1e-9
    return right if fits and 4 * half * n < 1 else None


# ---------------------------------------------------------------------------------------------------------------------
# Names


def vocabulary(words: str) -> frozenset[str]:
    """Return words separated by blanks as a set."""
    return frozenset(words.split())


@cache
def _dataset_names() -> dict[str, str]:
    known = published.short_names() | OLD_NAMES | {name: name for name in CATALOGUE}
    return {loose(written): name for written, name in known.items()}


def dataset_name(written: str) -> str:
    """Return the name of a dataset in the catalogue in any usual spelling, or the text itself for an unknown name.

    >>> dataset_name("50words"), dataset_name("Cricket_X"), dataset_name("DistPhxTW"), dataset_name(" My own ")
    ('FiftyWords', 'CricketX', 'DistalPhalanxTW', 'My own')
    """
    return _dataset_names().get(loose(written), written.strip())


def is_dataset(written: str) -> bool:
    """Return whether a text is the name of a dataset of UCR or UEA in any usual spelling."""
    return loose(written) in _dataset_names()


def is_multivariate(written: str) -> bool:
    """Return whether a text is the name of a dataset of UEA in any usual spelling."""
    facts = CATALOGUE.get(dataset_name(written))
    return facts is not None and facts.archive == UEA


def mostly_datasets(texts: Iterable[str]) -> bool:
    """Return whether more than half of the texts are names of datasets."""
    known = list(map(is_dataset, texts))
    return 2 * sum(known) > len(known)


def chosen(names: Sequence[str], wanted: str) -> list[str]:
    """Return the names that a name or glob means; case and punctuation count only if several would match.

    >>> chosen(["HC2", "hc-2", "fcn (fawaz2019)"], "HC2"), chosen(["fcn (fawaz2019)"], "FCN"), chosen(["A1"], "A*")
    (['HC2'], ['fcn (fawaz2019)'], ['A1'])
    """
    same = [name for name in names if name == wanted or fnmatchcase(name, wanted)]
    return same or [name for name in names if loose(wanted) in (loose(name), loose(name.partition(" (")[0])) and wanted]


def similar_dataset(written: str) -> str | None:
    """Return the dataset whose name nearly equals an unknown one, or None.

    >>> similar_dataset("GunPiont"), similar_dataset("GunPoint"), similar_dataset("MyData")
    ('GunPoint', None, None)
    """
    if is_dataset(written):
        return None
    near = difflib.get_close_matches(loose(written), _dataset_names(), n=1, cutoff=0.85)
    return _dataset_names()[near[0]] if near else None


# ---------------------------------------------------------------------------------------------------------------------
# Building columns from single values


@dataclass(frozen=True)
class Score:
    """One accuracy as it stands in a file."""

    model: str
    dataset: str  # as written
    accuracy: float  # fraction
    files: str = "ucr2018"  # the official split behind it, or another split by name
    resample: int = 0  # 0 is the split of `files`
    std: float | None = None
    n_runs: int = 1
    line: int = 0  # in the file, 0 if not known
    run: str = ""  # which of several runs of the same split


class ColumnBuilder:
    """Collects the scores of one file or folder and returns them as columns."""

    def __init__(self, path: Path) -> None:
        self.path = path  # for messages
        self.marks: dict[str, dict[str, None]] = defaultdict(dict)  # by model, in order
        self._runs: dict[tuple[str, str], dict[tuple[str, int], list[Cell]]] = defaultdict(lambda: defaultdict(list))
        self._first: dict[tuple[str, str, str, int, str], Score] = {}

    def add(self, score: Score) -> None:
        """Add a score. Raises UserError for a second one of the same model, dataset, split and run."""
        dataset = score.dataset.strip() if score.files == "mts" else dataset_name(score.dataset)
        split = published.measured_on(dataset, score.files)
        key = (score.model, dataset, split, score.resample, score.run)
        if key in self._first:
            raise UserError(self._repetition(dataset, self._first[key], score))
        self._first[key] = score
        std = score.std if score.n_runs > 1 else None
        self._runs[score.model, dataset][split, score.resample].append(Cell(score.accuracy, std, score.n_runs))

    def _repetition(self, dataset: str, first: Score, second: Score) -> str:
        alias = f" as '{first.dataset}' and '{second.dataset}'" if first.dataset != second.dataset else ""
        lines = f" (lines {first.line} and {second.line})" if second.line else ""
        return (
            f"dataset '{dataset}' is there twice for '{second.model}' in '{self.path}'{alias}{lines}: "
            "keep one, or number the runs in a column 'seed'"
        )

    def columns(self, description: str = "", remarks: Sequence[str] = (), *, exact: bool = False) -> list[Column]:
        """Return the columns in the order of their first scores. Raises UserError if there is none.

        Args:
            description: of all columns.
            remarks: of all columns.
            exact: whether the accuracies were counted or computed rather than read from decimals.
        """
        if not self._runs:
            raise UserError(
                f"file '{self.path}' is without accuracies: it needs a column a model, or 'model' and 'accuracy'"
            )
        cells: dict[str, dict[Place, Cell]] = defaultdict(dict)
        n_gaps: dict[str, int] = defaultdict(int)
        resamples: dict[str, set[int]] = defaultdict(set)
        for (model, dataset), splits in self._runs.items():
            means = {place: mean_cell(runs) for place, runs in splits.items()}
            resamples[model] |= {number for _, number in means}
            official = {Place(dataset, split): cell for (split, number), cell in means.items() if number == 0}
            if official:
                cells[model] |= official
            mean = resampled_mean(
                {number: c.accuracy for (split, number), c in means.items() if split in OFFICIAL_SPLITS}
            )
            if mean is not None and mean.n_runs > 1:
                cells[model][Place(dataset, f"{mean.n_runs} resamples")] = mean
            n_gaps[model] += mean is None and any(number for _, number in means)
        if not cells:
            raise UserError(
                f"'{self.path}' is of resamples alone: a mean needs all from 0, the official split, to the last"
            )
        return [
            Column(
                model,
                str(self.path),
                placed,
                ", ".join(self.marks[model]),
                "; ".join(filter(None, (description, _resamples_in_words(resamples[model], n_gaps[model])))),
                remarks=tuple(remarks),
                half_unit=0.0 if exact else half_unit(placed.values()),
            )
            for model, placed in cells.items()
        ]


def _resamples_in_words(numbers: set[int], n_gaps: int) -> str:
    if max(numbers) == 0:
        return ""
    gaps = f"; resamples with a gap left out on {n_gaps} datasets" if n_gaps else ""
    return f"{len(numbers)} resamples, of which only resample 0 is on the official split{gaps}"


def mean_cell(runs: Sequence[Cell]) -> Cell:
    """Return the mean of several runs as a cell; a single one as it is."""
    return runs[0] if len(runs) == 1 else mean_of([run.accuracy for run in runs])


def mean_of(accuracies: Sequence[float]) -> Cell:
    """Return the mean of two or more accuracies with their standard deviation, ddof 1."""
    return Cell(fmean(accuracies), stdev(accuracies), len(accuracies))


def resampled_mean(accuracies: Mapping[int, float]) -> Cell | None:
    """Return the mean over resamples 0 to the last, as the bake-offs report it; None if one of them is missing."""
    if not accuracies or set(accuracies) != set(range(len(accuracies))):
        return None
    values = list(accuracies.values())
    return Cell(values[0]) if len(values) == 1 else mean_of(values)


def finite(text: str) -> float:
    """Return a number as a float. Raises ValueError for text that is not a number, NaN and infinity."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"'{text}' is not a finite number")
    return value


def count_of(text: str, least: int = 0) -> int:
    """Return a whole number, also one written as '3.0'. Raises ValueError for another one or less than `least`."""
    value = finite(text)
    if value != int(value) or value < least:
        raise ValueError(f"'{text}' is not a whole number from {least}")
    return int(value)
