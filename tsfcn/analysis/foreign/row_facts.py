"""Facts of a row of a result table besides its accuracies: metric, split, archive, run, deviation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tsfcn.analysis.columns import count_of, finite, vocabulary
from tsfcn.analysis.foreign.cells import NOT_RUN, CellReader, Reading
from tsfcn.analysis.foreign.headers import Role, role_of
from tsfcn.analysis.marks import EARLY, OFF_PAPER, TEST_SELECTED, UNKNOWN
from tsfcn.common.errors import UserError, first_line
from tsfcn.common.text import loose

_USED = (
    *(Role.DATASET, Role.METRIC, Role.PROTOCOL, Role.SPLIT, Role.ARCHIVE, Role.MARKS, Role.DEVIATION, Role.N_RUNS),
    *(Role.RUN, Role.RESAMPLE),
)
KEPT_MARKS = (OFF_PAPER, TEST_SELECTED, UNKNOWN)
_DEVIATIONS_OF_ACCURACY = vocabulary(
    "std sd stddev stdev deviation standarddeviation accuracystd stdaccuracy accstd stdacc accuracyscorestd "
    "accuracystandarddeviation teststd accuracysd accuracystddev"
)


@dataclass(frozen=True)
class RowFacts:
    """Facts of the scores in one row."""

    files: str  # see Score.files
    resample: int = 0
    run: str = ""
    std: float | None = None  # over n_runs runs
    n_runs: int = 1
    protocol: str = ""
    marks: tuple[str, ...] = ()


def split_named(text: str) -> tuple[str, int]:
    """Return the files and resample that a cell of a split column names; an unknown word is a split of its own.

    >>> split_named("UCR 2018 (mean of 30 resamples)"), split_named("UCR2015-default"), split_named("resample 3")
    (('30 resamples', 0), ('ucr2015', 0), ('ucr2018', 3))
    """
    if mean := re.search(r"(\d+)[\s_-]*(resamples|folds)\b", text.lower()):
        return f"{mean[1]} {mean[2]}", 0
    if text in ("mixed", "early", "adjusted", "uea2018", "mts"):
        return text, 0
    number = re.search(r"resample\D*(\d+)", text.lower())
    resample = int(number[1]) if number else 0
    if "2015" in text:
        return "ucr2015", resample
    known = number or re.search(r"2018|official|default|original|standard", text.lower())
    return ("ucr2018", resample) if known else (text, 0)


class RowReader:
    """The columns of a table that say more about a row: metric, split, archive, run, deviation."""

    def __init__(self, reading: Reading, titles: Sequence[str], roles: Sequence[Role]) -> None:
        self.path, self.split, self.states_split = reading.path, reading.split, reading.states_split
        self.where = {role: [i for i, r in enumerate(roles) if r == role] for role in Role}
        titled = [i for i in self.where[Role.DEVIATION] if loose(titles[i]) in _DEVIATIONS_OF_ACCURACY]
        self.where[Role.DEVIATION] = titled if len(titled) == 1 else []
        self.used = {i for columns in self.where.values() for i in columns if roles[i] in _USED}
        self.names_split = bool(self.where[Role.SPLIT] or self.where[Role.ARCHIVE])

    def _text(self, row: Sequence[str], role: Role) -> str:
        return next((row[i] for i in self.where[role] if row[i]), "")

    def facts(self, line: int, row: Sequence[str], *, has_deviation: bool) -> RowFacts | None:
        """Return the facts of a row; None if it is not of accuracies of test cases. UserError for unreadable numbers.

        Args:
            line: its line in the file.
            row: its cells.
            has_deviation: whether a column of deviations belongs to the only accuracy of the row.
        """
        metric, split = self._text(row, Role.METRIC), self._text(row, Role.SPLIT)
        is_accuracy = not metric or role_of(metric) in (Role.ACCURACY, Role.SUMMARY)
        if not is_accuracy or split.lower() in ("train", "training", "val", "valid", "validation"):
            return None
        files, resample = self._files(row, split)
        marks = self._text(row, Role.MARKS)
        try:
            fold, n_runs = self._text(row, Role.RESAMPLE), self._text(row, Role.N_RUNS)
            return RowFacts(
                files="early" if EARLY in marks else files,
                resample=count_of(fold) if fold else resample,
                run="/".join(row[i] for i in self.where[Role.RUN]),
                std=self._std(row) if has_deviation else None,
                n_runs=count_of(n_runs, 1) if n_runs else 1,
                protocol=self._text(row, Role.PROTOCOL),
                marks=tuple(m for m in marks.split(", ") if m in KEPT_MARKS),
            )
        except ValueError as error:
            raise UserError(
                f"line {line} of '{self.path}' is unreadable ({first_line(error)}): write numbers"
            ) from error

    def _files(self, row: Sequence[str], split: str) -> tuple[str, int]:
        archive = self._text(row, Role.ARCHIVE).lower()
        is_uea = re.search(r"uea|multivariate", archive)
        if "mts" in archive and not is_uea:  # as in mts_archive of dl-4-tsc
            return "mts", 0
        year = re.search(r"2015|2018", archive)
        if split and split.lower() != "test":
            return split_named(split)
        return ("uea2018" if is_uea else f"ucr{year[0]}" if year else self.split), 0

    def _std(self, row: Sequence[str]) -> float | None:
        text = self._text(row, Role.DEVIATION)
        if not text or text.lower() in NOT_RUN | {"nan"}:
            return None
        value = finite(text)
        if value < 0:
            raise ValueError(f"'{text}' is a negative deviation")
        return value

    def description(self, cells: CellReader) -> str:
        """Return what was assumed of all rows."""
        assumed = f"files {self.split} assumed, since the CSV has no column 'split'"
        stated = f"files {self.split} as stated"
        lines = [
            "" if self.names_split else stated if self.states_split else assumed,
            "means of percent(deviation) cells" if cells.has_percent_pairs else "",
            "deviations in its cells are left out, the number of runs is not known" if cells.has_deviations else "",
        ]
        return "; ".join(filter(None, lines))
