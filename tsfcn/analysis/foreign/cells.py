"""Cells of result tables: fractions and percent, accuracies and error rates, deviations, marks for not run."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from tsfcn.analysis.columns import vocabulary
from tsfcn.analysis.foreign.headers import is_footer
from tsfcn.analysis.foreign.text_tables import TextTable
from tsfcn.common.errors import UserError

_NOISE = Decimal("1e-9")  # a mean of ones may exceed 1 by its rounding
NOT_RUN = vocabulary(
    "- -- --- \u2013 \u2014 na n/a n.a. n.a #n/a x ? none null * / \\ oom timeout dnf failed tle missing"
)
NOT_RUN |= {"not run", "<na>", "...", "\u2026", "\u2717", "\u2718", "\u00d7"}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WITH_DEVIATION = re.compile(
    rf"({_NUMBER})\s*%?\s*(?:(?:±|\+/?-|\\pm)\s*{_NUMBER}\s*%?|[(\[]\s*{_NUMBER}\s*%?\s*[)\]])"
)
_PERCENT_DEVIATION = re.compile(r"([0-9.]+)\([0-9.]+\)")  # 84.4(0.7), as in tables of dl-4-tsc


@dataclass(frozen=True)
class Reading:
    """How a file is to be read, as the user states it after its name: `file.csv@percent@ucr2015:Column`."""

    path: Path
    split: str = "ucr2018"  # of the rows that do not name their split
    states_split: bool = False
    is_percent: bool = False
    is_error: bool = False
    is_accuracy: bool = False  # whatever the names or values look like
    wanted: str = ""  # title of a column, name of a model, or a glob


def is_number(text: str) -> bool:
    """Return whether a cell is a number, with or without percent sign, deviation or decimal comma."""
    number = re.sub(r"(?<=\d),(?=\d)", ".", text).removesuffix("%").strip()
    if _WITH_DEVIATION.fullmatch(number):
        return True
    try:
        float(number)
    except ValueError:
        return False
    return True


def is_count(cells: Sequence[str]) -> bool:
    """Return whether cells count rows (0, 1, 2, ...), or are all 0 or 1 with some 0, as accuracies never are."""
    numbers = [cell for cell in cells if cell and cell.lower() not in NOT_RUN]
    if len(numbers) < 2 or not all(map(str.isdecimal, numbers)):
        return False
    start = int(numbers[0])
    is_sequence = [int(number) for number in numbers] == list(range(start, start + len(numbers)))
    return is_sequence or (set(numbers) <= {"0", "1"} and "0" in numbers)


class CellReader:
    """How a table writes its numbers: fractions or percent, accuracies or error rates, with deviations or without.

    Args:
        reading: how the file is to be read.
        table: its cells.
        columns: positions of the columns of accuracies.
        dataset: position of the column of datasets.
    """

    def __init__(self, reading: Reading, table: TextTable, columns: Sequence[int], dataset: int) -> None:
        self.reading = reading
        self.has_decimal_commas = table.has_decimal_commas
        cells = [row[i] for _, row in table.rows for i in columns if not is_footer(row[dataset])]
        pairs = [match[1] for cell in cells if (match := _PERCENT_DEVIATION.fullmatch(cell))]
        # The one form of percent that shows itself: 84.4(0.7).
        self.has_percent_pairs = any(_exceeds_one(number) for number in pairs)
        self.has_deviations = False
        self.not_run: Counter[str] = Counter()
        if reading.is_percent and not any(_exceeds_one(self._mean_of(cell)) for cell in cells):
            raise UserError(f"accuracies in '{reading.path}' are not percent, none is above 1: leave out @percent")

    def _mean_of(self, cell: str) -> str:
        """Return the mean in a cell that may have a deviation behind it, with a decimal point, without %."""
        if self.has_decimal_commas:
            cell = re.sub(r"(?<=\d),(?=\d)", ".", cell)
        match = _WITH_DEVIATION.fullmatch(cell)
        return (match[1] if match else cell).strip()

    def fraction(self, cell: str, model: str, dataset: str) -> float | None:
        """Return an accuracy as a fraction; None if it was not run. Raises UserError for what is none.

        Args:
            cell: the text.
            model: for the message.
            dataset: for the message.
        """
        if not cell or cell.lower() in NOT_RUN:
            if cell:
                self.not_run[cell] += 1
            return None
        text = self._mean_of(cell)
        is_pair = self.has_percent_pairs and _PERCENT_DEVIATION.fullmatch(cell) is not None
        self.has_deviations |= text != cell and _WITH_DEVIATION.fullmatch(cell) is not None and not is_pair
        percent = is_pair or self.reading.is_percent
        subject = f"accuracy of '{model}' on {dataset} in '{self.reading.path}'"
        value = self._number(text.removesuffix("%").strip() if self.reading.is_percent else text, subject, cell)
        value = value / 100 if percent else value
        if 1 < value < 1 + _NOISE:
            value = Decimal(1)
        if not 0 <= value <= 1:
            raise UserError(f"{subject} is {self._out_of_range(text)}")
        return float(1 - value if self.reading.is_error else value)

    def _number(self, text: str, subject: str, cell: str) -> Decimal:
        try:
            value = Decimal(text)
        except InvalidOperation:
            in_percent = cell.rstrip().endswith("%")
            remedy = f"divide by 100, or write {self._as_percent()}" if in_percent else "write a fraction, 0 to 1"
            raise UserError(f"{subject} is '{cell}': {remedy}") from None
        if value.is_nan():
            raise UserError(f"{subject} is nan: leave the cell empty or the row out where there is none")
        return value

    def _as_percent(self) -> str:
        return f"{self.reading.path}@percent"

    def _out_of_range(self, text: str) -> str:
        if self.reading.is_percent:
            return f"{text}: write percent, 0 to 100, with @percent"
        remedy = f" (percent / 100), or {self._as_percent()}" if _exceeds_one(text) and float(text) <= 100 else ""
        return f"{text}: write fractions, 0 to 1{remedy}"

    def remarks(self) -> list[str]:
        """Return what was understood of the cells."""
        marks = ", ".join(f"'{mark}' in {n}" for mark, n in self.not_run.items())
        lines = [f"cells read as not run: {marks}"] if marks else []
        return [*lines, *(["error rates read as 1 - error"] if self.reading.is_error else [])]


def _exceeds_one(text: str) -> bool:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        return False
    return math.isfinite(value) and value > 1
