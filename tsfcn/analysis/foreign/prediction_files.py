"""Result files of tsml-eval, aeon and sktime: predictions of single test cases, and the scores of sktime's benchmark.

A prediction file holds dataset, classifier, split and resample in its first line, parameters in its second, accuracy
and times in its third, then a line for each case: the true label, the predicted one, probabilities.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tsfcn.analysis.columns import Cell, Column, ColumnBuilder, Place, Score, count_of, dataset_name, half_unit, mean_of
from tsfcn.analysis.foreign.cells import NOT_RUN
from tsfcn.analysis.foreign.text_tables import TextTable
from tsfcn.common import text as plain_text
from tsfcn.common.errors import UserError, first_line
from tsfcn.data.published import measured_on

_FOLD = re.compile(r"folds\.(\d+)\.scores\.accuracy\w*|accuracy\w*_fold_(\d+)_test")


@dataclass(frozen=True)
class Predictions:
    """What a prediction file holds, with the accuracy counted from its cases."""

    dataset: str
    model: str
    split: str  # 'TEST', 'TRAIN'
    resample: int
    n_right: int
    n_cases: int

    def score(self) -> Score:
        """Return the accuracy with its model, dataset and resample."""
        return Score(self.model, self.dataset, self.n_right / self.n_cases, resample=self.resample)


def prediction_files(folder: Path) -> list[Path]:
    """Return the prediction files of test cases below a folder, of one model or several."""
    return sorted(folder.glob("*/Predictions/*/test*.csv")) + sorted(folder.glob("Predictions/*/test*.csv"))


def is_prediction_file(path: Path) -> bool:
    """Return whether the first line of a file is that of a prediction file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            cells = file.readline(100_000).split(",")
    except OSError:
        return False
    return len(cells) > 3 and cells[2].strip().upper() in ("TEST", "TRAIN", "NOSPLIT")


def read_predictions(paths: Sequence[Path]) -> list[Column]:
    """Return the accuracies of prediction files, a column for each model.

    An unreadable file is left out, with a remark. Raises UserError if all are unreadable, and for a file whose stated
    accuracy contradicts its cases.
    """
    builder = ColumnBuilder(paths[0])
    unreadable: dict[str, list[str]] = defaultdict(list)
    n_read = 0
    for path in paths:
        try:
            predictions = read_prediction_file(path)
        except (OSError, ValueError) as error:
            if isinstance(error, UserError):
                raise
            unreadable[_reason(error)].append(str(path))
            continue
        n_read += 1
        builder.path = path
        if predictions.split.upper() != "TRAIN":
            builder.add(predictions.score())
    remarks = [f"files left out ({reason}): {plain_text.listed(names, 3)}" for reason, names in unreadable.items()]
    if not n_read:
        raise UserError(
            f"file '{paths[0]}' is no result file of tsml-eval ({next(iter(unreadable))}): name a folder of such files"
        )
    return builder.columns("resample 0 is the official split", remarks, exact=True)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or first_line(error)) if isinstance(error, OSError) else first_line(error)


def read_prediction_file(path: Path) -> Predictions:
    """Return the content of a prediction file.

    Raises OSError if it cannot be opened, ValueError if it has another form, and UserError if the accuracy in its third
    line is not that of its cases.
    """
    rows = _rows(path)
    if len(rows) < 4 or len(rows[0]) < 4:
        raise ValueError("empty" if not rows else "it ends before its cases")
    dataset, model, split, resample = rows[0][:4]
    cases = [row for row in rows[3:] if len(row) > 1 and row[0]]
    if not cases or not dataset or not model:
        raise ValueError("without cases, dataset or classifier")
    number = 0 if resample in ("None", "") else count_of(resample)
    n_right = sum(_same_label(row[0], row[1]) for row in cases)
    stated = _stated_accuracy(rows[2][0])
    if stated is not None and abs(n_right / len(cases) - stated) > 0.5 / len(cases):
        raise UserError(f"accuracy in '{path}' is {stated}, its cases give {n_right} of {len(cases)}: write it again")
    return Predictions(dataset, model, split, number, n_right, len(cases))


def _rows(path: Path) -> list[list[str]]:
    """Return the rows of a file; a parameter line may hold anything, also an open quote."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    csv.field_size_limit(2**31 - 1)
    rows = [next(csv.reader([line]), []) for line in lines]
    return [[cell.strip() for cell in row] or [""] for row in rows]


def _same_label(first: str, second: str) -> bool:
    try:
        return float(first) == float(second)
    except ValueError:
        return first == second


def _stated_accuracy(text: str) -> float | None:
    """Return the accuracy that a file states; None for a negative number or text, which mean that it is not known."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value >= 0 else None


# ---------------------------------------------------------------------------------------------------------------------
# sktime


def is_benchmark_file(titles: Sequence[str]) -> bool:
    """Return whether a table is one of sktime's ClassificationBenchmark, by its titles."""
    return {"validation_id", "model_id"} <= {title.strip().lower() for title in titles}


def read_benchmark(path: Path, table: TextTable) -> list[Column]:
    """Return what sktime's ClassificationBenchmark writes: a row for each task and model, a column for each fold."""
    folds = [i for i, title in enumerate(table.titles) if _FOLD.fullmatch(title)]
    titles = [title.lower() for title in table.titles]
    task, model = titles.index("validation_id"), titles.index("model_id")
    cells: dict[str, dict[Place, Cell]] = defaultdict(dict)
    for _, row in table.rows:
        place, cell = _benchmark_cell(row[task], row[model], [row[i] for i in folds], path)
        if cell is None:
            continue
        if place in cells[row[model]]:
            raise UserError(f"dataset '{place.dataset}' is there twice for '{row[model]}' in '{path}': keep one")
        cells[row[model]][place] = cell
    if not cells:
        raise UserError(f"file '{path}' is without accuracies of folds: score the benchmark with accuracy_score")
    description = "several folds are a cross-validation of sktime; a single one is taken as the official split"
    return [
        Column(name, str(path), placed, description=description, half_unit=half_unit(placed.values()))
        for name, placed in cells.items()
    ]


def _benchmark_cell(task: str, model: str, texts: Sequence[str], path: Path) -> tuple[Place, Cell | None]:
    """Return the place and the mean over folds of a row; None if no fold was run.

    Args:
        task: name of the validation.
        model: name of the classifier, for messages.
        texts: accuracies of the folds.
        path: of the file, for messages.
    """
    # A task without a name of its own is called '[dataset=load_italy_power_demand]_[cv_splitter=KFold]'.
    named = re.match(r"\[dataset=(?:load_)?(.+?)\]", task)
    dataset = dataset_name(named[1] if named else task)
    values = list(_fractions(texts, f"accuracy of '{model}' on {task} in '{path}'"))
    official = Place(dataset, measured_on(dataset, "ucr2018"))
    if not values:
        return official, None
    if len(values) == 1:
        return official, Cell(values[0])
    return Place(dataset, f"{len(values)} folds"), mean_of(values)


def _fractions(texts: Sequence[str], subject: str) -> Iterator[float]:
    for text in texts:
        if not text or text.lower() in NOT_RUN | {"nan"}:
            continue
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise UserError(f"{subject} is {text}: write fractions, 0 to 1")
        yield value
