"""Choice of the columns of a result table that hold accuracies."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tsfcn.analysis.columns import chosen, mostly_datasets
from tsfcn.analysis.foreign.cells import Reading, is_count, is_number
from tsfcn.analysis.foreign.headers import NEVER_COMPARED, Role, is_footer, model_of, numbered, role_of
from tsfcn.analysis.foreign.row_facts import KEPT_MARKS, RowReader
from tsfcn.analysis.foreign.text_tables import TextTable
from tsfcn.analysis.marks import MEANINGS
from tsfcn.common.errors import UserError
from tsfcn.common.text import loose


@dataclass(frozen=True)
class ValueColumn:
    """A column of a table that holds accuracies."""

    index: int
    title: str
    model: str = ""  # '': named in the row, or the file's name
    resample: int = 0
    run: str = ""
    marks: tuple[str, ...] = ()


def quoted(titles: Sequence[str], n: int = 6) -> str:
    """Return the first n titles in quotes, and how many more there are."""
    more = f" and {len(titles) - n} more" if len(titles) > n else ""
    return ", ".join(f"'{title}'" for title in titles[:n]) + more


class TableColumns:
    """The columns of a table: which holds the datasets, which the models, and which the accuracies."""

    def __init__(self, reading: Reading, table: TextTable) -> None:
        self.reading = reading
        self.path = reading.path
        self.table = table
        self.titles = table.titles
        self.roles = [role_of(title, table.titles) for title in table.titles]
        self.remarks: list[str] = []
        self.dataset = self._dataset_column()
        self.roles[self.dataset] = Role.DATASET
        self.model = next((i for i, role in enumerate(self.roles) if role == Role.MODEL), None)
        self.row_reader = RowReader(reading, self.titles, self.roles)
        self._refuse_swapped_titles()

    def _dataset_column(self) -> int:
        named = [i for i, role in enumerate(self.roles) if role == Role.DATASET]
        holding = [i for i in range(len(self.titles)) if mostly_datasets(self._dataset_cells(i))]
        best = [i for i in named if i in holding] or named or holding
        if not best:
            raise UserError(
                f"file '{self.path}' is without a dataset column: name one 'dataset' (it has {quoted(self.titles)})"
            )
        return best[0]

    def _dataset_cells(self, index: int) -> list[str]:
        return [cell for cell in self.table.cells(index) if cell and not is_footer(cell)]

    def _refuse_swapped_titles(self) -> None:
        if self.model is None or mostly_datasets(self._dataset_cells(self.dataset)):
            return
        if mostly_datasets(self._dataset_cells(self.model)):
            of_datasets, of_models = self.titles[self.model], self.titles[self.dataset]
            raise UserError(
                f"column '{of_datasets}' in '{self.path}' holds datasets and '{of_models}' models: swap their titles"
            )

    def _with_role(self, *roles: Role) -> list[int]:
        return [i for i, role in enumerate(self.roles) if role in roles]

    def value_columns(self) -> list[ValueColumn]:
        """Return the columns that hold the accuracies. Raises UserError if there are none or it is not clear which."""
        if (wanted := self._wanted_column()) is not None:
            return [self._value_column(wanted)]
        if self.reading.is_error and (errors := self._with_role(Role.ERROR)):
            columns = self._matching(errors)
            self._refuse_methods_beside(columns)
        else:
            columns = self._accuracies() or self._resamples() or self._matching(self._methods())
        self._remark_columns_left_out(columns)
        self._refuse_repeated(columns)
        return [self._value_column(i) for i in columns]

    def _wanted_column(self) -> int | None:
        """Return the column whose title is the wanted one. Raises UserError if it cannot hold accuracies."""
        wanted = self.reading.wanted
        same = [i for i, title in enumerate(self.titles) if title == wanted and i != self.dataset]
        same = same or [i for i, title in enumerate(self.titles) if wanted and loose(title) == loose(wanted) != ""]
        if not same or not wanted:
            return None
        self._refuse_repeated(same)
        if len(same) > 1:
            titles = quoted([self.titles[i] for i in same])
            raise UserError(f"column '{wanted}' in '{self.path}' can be {titles}: write one of them as it stands")
        (index,) = same
        usable = (
            Role.ACCURACY,
            Role.SCORE,
            Role.METHOD,
            Role.SUMMARY,
            *([Role.ERROR] if self.reading.is_error else []),
        )
        if numbered(wanted) is None and not self.reading.is_accuracy and self.roles[index] not in usable:
            raise UserError(self._unusable(index))
        return index

    def _unusable(self, index: int) -> str:
        column, role = f"column '{self.titles[index]}' in '{self.path}'", self.roles[index]
        if role == Role.ERROR:
            return f"{column} is an error rate: write accuracies (1 - error), or {self.path}@error"
        return f"{column} is {role.value} by its title: name a column of accuracies"

    def _accuracies(self) -> list[int]:
        """Return the column titled as an accuracy, which makes a table long. UserError if there are several."""
        columns = self._with_role(Role.ACCURACY)
        if not columns and self.model is not None:
            columns = self._with_role(Role.SCORE) or self._means()
        if not columns and not self._numeric(self._with_role(Role.METHOD)):
            columns = self._means()
        if len(columns) > 1:
            self._refuse_repeated(columns)
            titles, last = quoted([self.titles[i] for i in columns]), self.titles[columns[-1]]
            raise UserError(f"columns {titles} in '{self.path}' all are accuracies: choose one, as {self.path}:{last}")
        return columns

    def _refuse_methods_beside(self, errors: Sequence[int]) -> None:
        methods = [] if self.model is not None else self._numeric(self._with_role(Role.METHOD))
        if methods and not self.reading.wanted:
            first, other = self.titles[errors[0]], self.titles[methods[0]]
            raise UserError(
                f"columns '{first}' and '{other}' in '{self.path}' cannot both be error rates: choose one, "
                f"as {self.path}@error:{first}"
            )

    def _means(self) -> list[int]:
        return [i for i in self._with_role(Role.SUMMARY) if loose(self.titles[i]) in ("mean", "average", "avg")]

    def _resamples(self) -> list[int]:
        """Return columns named 0, 1, ... or seed_0, seed_1, ..., if the other columns hold no accuracies."""
        candidates = self._with_role(Role.METHOD)
        columns = [i for i in candidates if numbered(self.titles[i]) is not None]
        others = self._numeric([i for i in candidates if i not in columns])
        if columns and others and len(columns) > 1:
            named = quoted([self.titles[i] for i in others])
            raise UserError(
                f"columns {quoted([self.titles[i] for i in columns], 3)} in '{self.path}' are numbered like resamples "
                f"beside {named}: choose columns, as {self.path}:{self.titles[others[0]]}"
            )
        return [] if others else columns

    def _methods(self) -> list[int]:
        methods = self._with_role(Role.METHOD, *([] if self.model is not None else [Role.SCORE]))
        if self.model is not None and methods:
            raise UserError(
                f"file '{self.path}' has models in rows and no column 'accuracy': choose its column, "
                f"as {self.path}:{self.titles[methods[0]]}"
            )
        return self._numeric(methods)

    def _matching(self, columns: Sequence[int]) -> list[int]:
        """Return the columns that the wanted name or glob means; all of them if it means none."""
        names = [model_of(self.titles[i]) for i in columns]
        wanted = {*chosen(names, self.reading.wanted), *chosen([self.titles[i] for i in columns], self.reading.wanted)}
        matching = [i for i, name in zip(columns, names, strict=True) if name in wanted or self.titles[i] in wanted]
        return matching or list(columns)

    def _numeric(self, columns: Sequence[int]) -> list[int]:
        """Return the columns that hold numbers, without those that count rows or only hold 0 and 1."""
        return [i for i in columns if any(map(is_number, self.table.cells(i))) and not is_count(self.table.cells(i))]

    def _refuse_repeated(self, columns: Sequence[int]) -> None:
        for title, times in Counter(self.titles[i] for i in columns).items():
            if times > 1:
                remedy = "keep one" if role_of(title) == Role.ACCURACY else "give each model a name of its own"
                raise UserError(f"column '{title}' is there twice in '{self.path}': {remedy}")

    def _remark_columns_left_out(self, columns: Sequence[int]) -> None:
        by_reason: dict[str, list[str]] = defaultdict(list)
        for i, role in enumerate(self.roles):
            if i in columns or i in self.row_reader.used:
                continue
            if role in NEVER_COMPARED:
                by_reason[role.value.partition(" ")[2]].append(self.titles[i])
            elif role == Role.METHOD and self.model is None:
                by_reason[self._why_no_method(i, columns)].append(self.titles[i])
        lines = [f"{quoted(titles)} ({reason})" for reason, titles in by_reason.items()]
        if lines and columns:
            self.remarks.append(f"columns left out: {', '.join(lines)}")
        if not columns and by_reason:
            self._refuse_without_accuracies()

    def _why_no_method(self, index: int, columns: Sequence[int]) -> str:
        cells = self.table.cells(index)
        if not any(map(is_number, cells)):
            return "no numbers"
        if is_count(cells):
            return "a count of rows, or only 0 and 1"
        return f"beside '{self.titles[columns[0]]}'" if columns else "no accuracy"

    def _refuse_without_accuracies(self) -> None:
        errors = self._with_role(Role.ERROR)
        if errors:
            raise UserError(self._unusable(errors[0]))
        others = [i for i, role in enumerate(self.roles) if role in NEVER_COMPARED]
        if others:
            found = ", ".join(f"'{self.titles[i]}' ({self.roles[i].value.partition(' ')[2]})" for i in others[:6])
            raise UserError(f"file '{self.path}' is without accuracies, it has {found}: name its column 'accuracy'")

    def _value_column(self, index: int) -> ValueColumn:
        title, number = self.titles[index], numbered(self.titles[index])
        is_named = self.roles[index] not in (Role.ACCURACY, Role.SCORE, Role.SUMMARY) and self.model is None
        if number is None:
            model, marks = _unmarked(model_of(title)) if is_named else ("", ())
            return ValueColumn(index, title, model, marks=marks)
        role, position = number
        if role == Role.RUN:
            return ValueColumn(index, title, run=str(position))
        return ValueColumn(index, title, resample=position)


def _unmarked(title: str) -> tuple[str, tuple[str, ...]]:
    """Return the name in a column of our own wide tables, and the marks that follow it there."""
    match = re.fullmatch(rf"(.+?\))((?:,? (?:{'|'.join(map(re.escape, MEANINGS))}))+)", title)
    return (match[1], tuple(m for m in match[2].replace(",", " ").split() if m in KEPT_MARKS)) if match else (title, ())
