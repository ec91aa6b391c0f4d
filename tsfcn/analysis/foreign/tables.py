"""Tables of accuracies that other people publish, wide and long, read right or refused in one line.

A wide table has a row for each dataset and a column for each model, a long one a row for each model and dataset (and
run). Columns named 0, 1, ... are resamples of one model. Only columns of accuracies are read; deviations, times, sizes,
other metrics, error rates, ranks and rows of averages are left out, with a remark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tsfcn.analysis.columns import Column, ColumnBuilder, Score, chosen, similar_dataset
from tsfcn.analysis.foreign.cells import CellReader, Reading
from tsfcn.analysis.foreign.headers import Role, content_of, is_footer, role_of, summary_model
from tsfcn.analysis.foreign.plausibility import fits_as_error, fits_only
from tsfcn.analysis.foreign.row_facts import RowFacts
from tsfcn.analysis.foreign.text_tables import TextTable, lists_multivariate
from tsfcn.analysis.foreign.value_columns import TableColumns, ValueColumn, quoted
from tsfcn.common import text as plain_text
from tsfcn.common.errors import UserError
from tsfcn.common.text import loose

_ARCHIVE_SUMMARY = {"edw0", "dtww100"}  # titles of the UCR archive's own table of error rates


def read(reading: Reading, table: TextTable) -> list[Column]:
    """Return the columns of a table. Raises UserError if it is no table of accuracies, or one that is ambiguous."""
    if set(map(loose, table.titles)) >= _ARCHIVE_SUMMARY:
        reading = replace(reading, is_error=True)
    _refuse_by_name(reading, table)
    columns = _RowsReader(reading, table).columns()
    _refuse_error_rates(columns, reading)
    return columns


def _refuse_by_name(reading: Reading, table: TextTable) -> None:
    """Raise UserError for a file whose name says that it holds no accuracies, if the user does not state it either."""
    content, path = content_of(reading.path.stem), reading.path
    if content is None or reading.is_accuracy:
        return
    role, word = content
    has_accuracies = any(role_of(title) == Role.ACCURACY for title in table.titles)
    if has_accuracies and role not in (Role.ERROR, Role.OTHER_METRIC):
        return
    if role != Role.ERROR:
        kind = role.value.partition(" ")[2]
        raise UserError(f"file '{path}' holds a {kind} by its name ({word}): name a table of accuracies{_or(path)}")
    if not reading.is_error:
        raise UserError(f"file '{path}' holds error rates by its name: write {path}@error to read 1 - error{_or(path)}")


def _or(path: Path) -> str:
    return f", or {path}@accuracy if it holds accuracies"


class _RowsReader:
    """Reads the scores in the rows of a table."""

    def __init__(self, reading: Reading, table: TextTable) -> None:
        self.reading, self.path, self.table = reading, reading.path, table
        self.layout = TableColumns(reading, table)
        self.values = self.layout.value_columns()
        self.row_reader = self.layout.row_reader
        self.cell_reader = CellReader(reading, table, [value.index for value in self.values], self.layout.dataset)
        self.builder = ColumnBuilder(self.path)
        self.wanted_models = self._models_wanted()
        self.names = table.cells(self.layout.dataset)
        self.is_multivariate = lists_multivariate(self.names)
        self.n_other_rows = 0

    def _models_wanted(self) -> set[str]:
        """Return the names of models in rows that the wanted name or glob means; empty for all."""
        model = self.layout.model
        if model is None or not self.reading.wanted:
            return set()
        protocols = [i for i, role in enumerate(self.layout.roles) if role == Role.PROTOCOL]
        names = {_with_protocol(row[model], row[protocols[0]] if protocols else "") for _, row in self.table.rows}
        return set(chosen(sorted(names), self.reading.wanted))

    def columns(self) -> list[Column]:
        """Return the columns of the table."""
        for line, row in self.table.rows:
            if self._is_dataset_row(row):
                self._add_row(line, row)
        remarks = [f"{self.path}: {remark}" for remark in [*self.layout.remarks, *self._remarks()]]
        columns = self.builder.columns(self.row_reader.description(self.cell_reader), remarks)
        if not (self.reading.states_split or self.row_reader.names_split):
            _refuse_other_split(columns, self.reading)
        return columns

    def _is_dataset_row(self, row: Sequence[str]) -> bool:
        return bool(row[self.layout.dataset]) and not is_footer(row[self.layout.dataset])

    def _add_row(self, line: int, row: Sequence[str]) -> None:
        about = self.row_reader.facts(line, row, has_deviation=len(self.values) == 1)
        if about is None:
            self.n_other_rows += 1
            return
        for value in self.values:
            score = self._score(line, row, value, about)
            if score is not None:
                self.builder.add(score)
                self.builder.marks[score.model].update(dict.fromkeys([*value.marks, *about.marks]))

    def _score(self, line: int, row: Sequence[str], value: ValueColumn, about: RowFacts) -> Score | None:
        """Return the score in a cell, or None if the model was not run or is not wanted.

        Args:
            line: its line in the file.
            row: all cells of its row.
            value: its column.
            about: run, split and protocol of the row.
        """
        model = _with_protocol(self._model(row, value), about.protocol)
        if self.wanted_models and model not in self.wanted_models:
            return None
        dataset = self._dataset(row, about)
        accuracy = self.cell_reader.fraction(row[value.index], model or value.title, dataset)
        if accuracy is None:
            return None
        if not model:
            title = self.layout.titles[self.layout.model or 0]
            raise UserError(f"line {line} of '{self.path}' is without a model: fill in column '{title}'")
        resample, run = about.resample or value.resample, "/".join(filter(None, (about.run, value.run)))
        return Score(model, dataset, accuracy, about.files, resample, about.std, about.n_runs, line, run)

    def _model(self, row: Sequence[str], value: ValueColumn) -> str:
        if value.model or self.layout.model is not None:
            return value.model or row[self.layout.model or 0]
        return summary_model(self.path) or self.path.stem

    def _dataset(self, row: Sequence[str], about: RowFacts) -> str:
        written = row[self.layout.dataset]
        is_multivariate = self.is_multivariate or about.files == "uea2018"
        return "PhonemeSpectra" if is_multivariate and loose(written) == "phoneme" else written

    def _remarks(self) -> list[str]:
        """Return which rows were left out, which names are doubtful, and how cells were understood."""
        names = list(dict.fromkeys(self.names))
        footers = [name or "without a name" for name in names if not name or is_footer(name)]
        remarks = [f"rows left out: {quoted(footers)} (no dataset)"] if footers else []
        if self.n_other_rows:
            remarks.append(f"{self.n_other_rows} rows of another metric or of training cases left out")
        for name in names:
            near = None if is_footer(name) else similar_dataset(name)
            if near is not None:
                remarks.append(f"dataset '{name}' is not in the archive; did you mean '{near}'?")
        if self.is_multivariate and "phoneme" in map(loose, names):
            remarks.append("'Phoneme' is taken for PhonemeSpectra, since the other datasets are multivariate")
        if self.table.is_transposed:
            remarks.append("its columns are datasets and its rows models")
        return [*remarks, *self.cell_reader.remarks()]


def _refuse_error_rates(columns: Sequence[Column], reading: Reading) -> None:
    if reading.is_accuracy or reading.is_error:
        return
    errors = [column.name for column in columns if fits_as_error(column)]
    if errors:
        raise UserError(
            f"column {quoted(errors, 3)} in '{reading.path}' looks like error rates (1 - x is close to published "
            f"accuracies): write {reading.path}@error{_or(reading.path)}"
        )


def _refuse_other_split(columns: Sequence[Column], reading: Reading) -> None:
    other = "ucr2015" if reading.split == "ucr2018" else "ucr2018"
    for column in columns:
        datasets = fits_only(column, reading.split, other)
        if datasets:
            raise UserError(
                f"column '{column.name}' in '{reading.path}' is of {other}, not {reading.split} (accuracies on "
                f"{plain_text.listed(datasets, 3)} are whole test cases only there): write {reading.path}@{other}"
            )


def _with_protocol(model: str, protocol: str) -> str:
    return f"{model} ({protocol})" if protocol else model
