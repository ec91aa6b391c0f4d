"""Result tables in any arrangement are read right or refused in one line, never read wrong."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsfcn.analysis import score_columns
from tsfcn.common.errors import UserError
from tsfcn.data.catalogue import CATALOGUE, OLD_NAMES

SHARED = settings(max_examples=150, deadline=None, derandomize=True)
EASY = [name for name, facts in CATALOGUE.items() if 0.03 < facts.dtw_error < 0.25 and name.isalpha()]
MODELS = (
    "FCN",
    "Time-CNN",
    "H-InceptionTime",
    "Ours (1)",
    "MeanNet",
    "1NN-DTW",
    "MR-Hydra",
    "ALL",
    "RankNet",
    "TimesNet",
)
FOOTERS = (
    *(
        "Mean accuracy",
        "Average",
        "AVG",
        "Std",
        "Median",
        "Min",
        "Max",
        "Avg. rank",
        "Mean rank",
        "Average_Rank",
        "Wins",
    ),
    *(
        "Win/Tie/Loss",
        "W/T/L",
        "Total",
        "Arithmetic mean",
        "Number of best",
        "MPCE",
        "Standard deviation",
        "mean",
        "50%",
    ),
)
ABOUT = ("Type", "Train size", "n_classes", "Length", "Class", "Notes", "index")
LEFT_OUT = (
    *("accuracy_std", "time_training_seconds", "fit_time", "Train (s)", "F1", "macro F1", "balanced_accuracy", "AUROC"),
    *(
        "params",
        "FLOPs (M)",
        "avg_rank",
        "Rank",
        "p-value",
        "train_acc",
        "val accuracy",
        "error",
        "log loss",
        "runtime",
    ),
)
SUFFIXES = ("_std", "-std", " std", " (std)", "_stddev", " rank", "_time", "_f1", " time (s)")
NOT_RUN = ("", "-", "NA", "N/A", "n/a", "X", "--")
SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Written:
    """A table as text, and the accuracies that it holds, by model and dataset."""

    text: str
    accuracies: dict[str, dict[str, float]]
    statements: str = ""  # behind the file's name


def near_dtw(dataset: str, shift: int) -> float:
    """Return an accuracy of three decimals that is plausible for a dataset: that of 1-NN with DTW, shifted."""
    return round(min(0.999, max(0.011, 1 - CATALOGUE[dataset].dtw_error + shift / 1000)), 3)


@st.composite
def accuracies(draw: st.DrawFn, n_models: int = 3) -> dict[str, dict[str, float]]:
    models = draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=n_models, unique=True))
    datasets = draw(st.lists(st.sampled_from(EASY), min_size=3, max_size=8, unique=True))
    shifts = st.integers(-90, 90)
    return {model: {dataset: near_dtw(dataset, draw(shifts)) for dataset in datasets} for model in models}


def joined(rows: list[list[str]], separator: str) -> str:
    if separator != "|":
        return "".join(separator.join(row) + "\n" for row in rows)
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]) + "\n"


def old_name(dataset: str) -> str:
    return next((old for old, new in OLD_NAMES.items() if new == dataset and "," not in old), dataset)


@st.composite
def wide_tables(draw: st.DrawFn) -> Written:
    """A row for each dataset and a column for each model, among columns and rows that are no accuracies."""
    held = draw(accuracies())
    separator, percent, error = draw(st.sampled_from(SEPARATORS)), draw(st.booleans()), draw(st.booleans())
    decimal_comma = separator in ";\t" and draw(st.booleans())
    deviation = draw(st.sampled_from(("", " ± {:.2f}", " ({:.2f})", " +/- {:.1f}")))
    missing = draw(st.sampled_from(NOT_RUN))

    def number(value: float) -> str:
        value = 1 - value if error else value
        text = (f"{100 * value:.1f}" if percent else f"{value:.3f}") + deviation.format(0.01)
        return text.replace(".", ",") if decimal_comma else text

    columns: list[tuple[str, list[str]]] = []
    datasets = list(next(iter(held.values())))
    for model, cells in held.items():
        if len(datasets) > 3 and draw(st.booleans()):
            del cells[draw(st.sampled_from(datasets))]
        mean = draw(st.sampled_from(("", "-mean", "_avg", " (mean)"))) if model.isalpha() else ""
        columns.append((model + mean, [number(cells[d]) if d in cells else missing for d in datasets]))
        if draw(st.booleans()):
            columns.append((model + draw(st.sampled_from(SUFFIXES)), ["0.5"] * len(datasets)))
    others = [title for title in ABOUT + LEFT_OUT if title != "error" or not error]
    for title in draw(st.lists(st.sampled_from(others), max_size=3, unique=True)):
        columns.append((title, [draw(st.sampled_from(("0.4", "3", "1250", "0"))) for _ in datasets]))
    columns = draw(st.permutations(columns))
    first = draw(st.sampled_from(("dataset", "Dataset", "problem", "dataset_name", "", "UCR name")))
    spellings: tuple[Callable[[str], str], ...] = (str, str.lower, old_name)
    spelled = draw(st.sampled_from(spellings))
    rows = [[first, *(title for title, _ in columns)]]
    rows += [[spelled(d), *(cells[i] for _, cells in columns)] for i, d in enumerate(datasets)]
    for footer in draw(st.lists(st.sampled_from(FOOTERS), max_size=3, unique=True)):
        rows.append([footer, *(draw(st.sampled_from(("0.5", "1.4", "12", ""))) for _ in columns)])
    if draw(st.booleans()):
        rows = [[*("" if i == 0 else str(i - 1) for _ in (0,)), *row] for i, row in enumerate(rows)]
    statements = ("@percent" if percent else "") + ("@error" if error else "")
    if draw(st.booleans()) and separator != "|" and not error:
        statements += "@accuracy"
    return Written(joined(rows, separator), held, statements)


@st.composite
def long_tables(draw: st.DrawFn) -> Written:
    """A row for each model, dataset and run."""
    held = draw(accuracies())
    titles = draw(st.sampled_from((("dataset", "model", "accuracy"), ("Problem", "Classifier", "Acc"))))
    titles = draw(st.sampled_from((titles, ("validation", "estimator", "score"), ("dataset_name", "method", "mean"))))
    runs = draw(st.sampled_from(("", "seed", "iteration", "run")))
    extras = draw(st.lists(st.sampled_from((*LEFT_OUT, "n_runs", "lr", "comment")), max_size=3, unique=True))
    n_runs = 3 if runs else 1
    rows = [[*titles, *([runs] if runs else []), *extras]]
    for model, cells in held.items():
        for dataset, value in cells.items():
            for run in range(n_runs):
                shifted = value + (run - n_runs // 2) * 0.001
                rest = ["4" if title == "n_runs" else "0.25" for title in extras]
                rows.append([dataset, model, f"{shifted:.3f}", *([str(run)] if runs else []), *rest])
        if draw(st.booleans()):
            rows.append([draw(st.sampled_from(FOOTERS)), model, "0.5", *([""] if runs else []), *[""] * len(extras)])
    body = draw(st.permutations(rows[1:]))
    order = draw(st.permutations(range(len(rows[0]))))
    return Written(
        joined([[row[i] for i in order] for row in [rows[0], *body]], draw(st.sampled_from(SEPARATORS))), held
    )


@st.composite
def resamples(draw: st.DrawFn) -> Written:
    """A row for each dataset and a column for each resample; resample 0 is the official split."""
    held = {"mine": next(iter(draw(accuracies(1)).values()))}
    n = draw(st.integers(2, 5))
    title, prefix = draw(st.sampled_from((("Resamples:", ""), ("folds:", ""), ("dataset", ""), ("dataset", "fold_"))))
    rows = [[title, *(f"{prefix}{i}" for i in range(n)), *(["mean", "std"] if title == "dataset" else [])]]
    for dataset, value in held["mine"].items():
        cells = [f"{value:.3f}", *(draw(st.sampled_from(("0.41", "0.52"))) for _ in range(n - 1))]
        rows.append([dataset, *cells, *(["0.47", "0.1"] if title == "dataset" else [])])
    return Written(joined(rows, ","), held)


@st.composite
def transposed(draw: st.DrawFn) -> Written:
    """A row for each model and a column for each dataset."""
    held = draw(accuracies())
    datasets = list(next(iter(held.values())))
    rows = [[draw(st.sampled_from(("model", "", "Method"))), *datasets]]
    rows += [[model, *(f"{cells[d]:.3f}" for d in datasets)] for model, cells in held.items()]
    return Written(joined(rows, draw(st.sampled_from(SEPARATORS))), held)


def read(text: str, statements: str = "", column: str = "") -> dict[str, dict[str, float]]:
    """Return the accuracies on the official split that are read from a text, by model and dataset."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.csv"
        path.write_text(text, encoding="utf-8")
        columns = score_columns.read([f"{path}{statements}" + (f":{column}" if column else "")])
    return {
        column.name: {place.dataset: cell.accuracy for place, cell in column.cells.items() if place.split == "ucr2018"}
        for column in columns
    }


def assert_equal(columns: dict[str, dict[str, float]], held: dict[str, dict[str, float]]) -> None:
    assert set(columns) == set(held)
    for model, cells in held.items():
        assert columns[model] == pytest.approx(cells, abs=1e-9), model


@SHARED
@given(wide_tables())
def test_wide_tables_are_read_right(written: Written) -> None:
    assert_equal(read(written.text, written.statements), written.accuracies)


@SHARED
@given(long_tables())
def test_long_tables_are_read_right(written: Written) -> None:
    assert_equal(read(written.text), written.accuracies)


@SHARED
@given(st.one_of(resamples(), transposed()))
def test_resamples_and_transposed_tables_are_read_right(written: Written) -> None:
    assert_equal(read(written.text), written.accuracies)


@SHARED
@given(wide_tables(), st.data())
def test_a_column_is_chosen_before_others_are_judged(written: Written, data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(sorted(written.accuracies)))
    assert_equal(read(written.text, written.statements, model), {model: written.accuracies[model]})


@SHARED
@given(accuracies(), st.booleans())
def test_error_rates_and_percent_that_are_not_stated_are_refused(
    held: dict[str, dict[str, float]], error: bool
) -> None:
    datasets = list(next(iter(held.values())))
    rows = [["dataset", *held]]
    for dataset in datasets:
        values = [1 - cells[dataset] if error else 100 * cells[dataset] for cells in held.values()]
        rows.append([dataset, *(f"{value:.3f}" for value in values)])
    with pytest.raises(UserError, match="@error" if error else "@percent") as raised:
        read(joined(rows, ","))
    assert "\n" not in str(raised.value)


CORRUPTIONS = ("drop a cell", "double a cell", "double a row", "word", "nan", "large", "no header", "empty header")


@SHARED
@given(st.one_of(wide_tables(), long_tables(), transposed()), st.data())
def test_damaged_tables_are_read_right_or_refused_in_one_line(written: Written, data: st.DataObject) -> None:
    lines = written.text.rstrip("\n").split("\n")
    separator = "|" if lines[0].startswith("|") else max(",;\t", key=lines[0].count)
    corruption = data.draw(st.sampled_from(CORRUPTIONS))
    line = data.draw(st.integers(1, len(lines) - 1))
    cells = lines[line].split(separator)
    place = data.draw(st.integers(0, len(cells) - 1))
    if corruption == "drop a cell":
        del cells[place]
    elif corruption == "double a cell":
        cells.insert(place, cells[place])
    elif corruption in ("word", "nan", "large"):
        cells[place] = {"word": "good", "nan": "nan", "large": "964"}[corruption]
    lines[line] = separator.join(cells)
    if corruption == "double a row":
        lines.insert(line, lines[line])
    elif corruption == "no header":
        del lines[0]
    elif corruption == "empty header":
        lines[0] = re.sub(r"[^,;\t|]", "", lines[0])
    columns: dict[str, dict[str, float]] = {}
    try:
        columns = read("\n".join(lines) + "\n", written.statements)
    except UserError as error:
        refusal = str(error)
    else:
        refusal = ""
    assert "\n" not in refusal
    known = {(model, dataset) for model, cells in written.accuracies.items() for dataset in cells}
    for model, accuracies_read in columns.items():
        for dataset, value in accuracies_read.items():
            if (model, dataset) in known:
                assert value == pytest.approx(written.accuracies[model][dataset], abs=2e-3), (model, dataset)
