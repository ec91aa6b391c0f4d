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
from tsfcn.analysis.columns import Place
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


# ---------------------------------------------------------------------------------------------------------------------
# Single arrangements


def file(folder: Path, text: str, name: str = "mine.csv") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def remarks(word: str) -> str:
    return "; ".join(score_columns.read([word])[0].remarks)


def test_columns_left_out_are_named_with_the_reason(tmp_path: Path) -> None:
    text = "dataset,Net-mean,Net-std,seconds,NetEnsemble,avg_rank\nCoffee,1.0,0.0,3,1.0,1\nBeef,.80,.02,4,.83,2\n"
    word = file(tmp_path, text)
    assert [column.name for column in score_columns.read([word])] == ["Net", "NetEnsemble"]
    assert remarks(word) == (
        f"{word}: columns left out: 'Net-std' (deviation), 'seconds' (time), 'avg_rank' (rank or a count of wins)"
    )
    with pytest.raises(UserError, match=r"column 'seconds' in .* is a time by its title: name a column of accuracies"):
        score_columns.read([f"{word}:seconds"])


def test_a_named_column_is_read_whatever_the_others_hold(tmp_path: Path) -> None:
    word = file(tmp_path, ",Z-Normalized,Ours (1),,ResNet\nCoffee,Y,1.0,,1.0\nGunPoint,Y,.95,,.99\nBeef,Y,.7,,bad\n")
    (column,) = score_columns.read([f"{word}:Ours (1)"])
    assert [cell.accuracy for cell in column.cells.values()] == [1.0, 0.95, 0.7]
    with pytest.raises(UserError, match="accuracy of 'ResNet' on Beef"):
        score_columns.read([word])


def test_columns_that_count_rows_are_no_models(tmp_path: Path) -> None:
    text = "level_0,dataset,multi_sensor,A\n0,Coffee,1,1.0\n1,Beef,0,.8\n2,Car,0,.9\n"
    word = file(tmp_path, text)
    assert [column.name for column in score_columns.read([word])] == ["A"]
    assert "'level_0', 'multi_sensor' (a count of rows, or only 0 and 1)" in remarks(word)


def test_rows_that_are_no_datasets_are_named(tmp_path: Path) -> None:
    word = file(tmp_path, "dataset,model,accuracy\nCoffee,A,1.0\nBeef,A,.8\nAverage,A,.9\nMean rank,A,1.4\n")
    assert remarks(word) == f"{word}: rows left out: 'Average', 'Mean rank' (no dataset)"


def test_only_resample_0_is_on_the_official_split(tmp_path: Path) -> None:
    for text in ("dataset,0,1,2\nCoffee,1.0,.96,.98\n", ",folds:,0,1,2\n0,Coffee,1.0,.96,.98\n"):
        (column,) = score_columns.read([file(tmp_path, text)])
        assert column.name == "mine" and "only resample 0 is on the official split" in column.description
        means = {place.split: cell.accuracy for place, cell in column.cells.items()}
        assert means == {"ucr2018": 1.0, "3 resamples": pytest.approx(0.98)}
    with pytest.raises(UserError, match="is of resamples alone"):
        score_columns.read([file(tmp_path, "dataset,1,2\nCoffee,1.0,.96\n")])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("results_error.csv", "dataset,A\nAdiac,.2\n", "file FILE holds error rates by its name: write PATH@error"),
        (
            "mine.csv",
            "model,dataset,classification_err\nA,Coffee,.1\n",
            "'classification_err' in FILE is an error rate",
        ),
        ("mine.csv", "dataset,A\nAdiac,.21\nBeef,.2\nCoffee,0\nGunPoint,.01\n", "looks like error rates"),
        ("X_auroc.csv", "Resamples:,0\nCoffee,.9\n", "file FILE holds a metric by its name (auroc)"),
        ("train_times.csv", "dataset,A\nCoffee,.9\n", "file FILE holds a time by its name (times)"),
        ("X_balacc.csv", "Resamples:,0\nCoffee,.9\n", "file FILE holds a metric by its name (balacc)"),
        (
            "mine.csv",
            "dataset,f1\nCoffee,.9\n",
            "is without accuracies, it has 'f1' (metric): name its column 'accuracy'",
        ),
        (
            "mine.csv",
            "dataset,accuracy,test_accuracy\nCoffee,.9,.8\n",
            "all are accuracies: choose one, as PATH:test_acc",
        ),
        ("mine.csv", "dataset,model,accuracy,accuracy\nCoffee,A,.9,.8\n", "column 'accuracy' is there twice in FILE"),
        ("mine.csv", "dataset,model,accuracy,n_runs\nCoffee,A,.9,inf\n", "line 2 of FILE is unreadable"),
        ("mine.csv", "dataset,model,accuracy,n_runs\nCoffee,A,.9,0\n", "line 2 of FILE is unreadable"),
        ("mine.csv", "dataset,model,accuracy,fold\nCoffee,A,.9,inf\n", "line 2 of FILE is unreadable"),
        ("mine.csv", "dataset,model,accuracy,fold\nCoffee,A,.9,.5\n", "line 2 of FILE is unreadable"),
        ("mine.csv", "dataset,model,accuracy,std\nCoffee,A,.9,-1\n", "line 2 of FILE is unreadable"),
        ("mine.csv", "model,dataset,accuracy\nCoffee,A,.9\nBeef,A,.8\n", "column 'model' in FILE holds datasets"),
        ("mine.csv", "dataset,A\nCoffee,0,96\n", "line 2 of FILE has 3 cells and the header 2: write decimal points"),
        ("mine.csv", "dataset,A,0,1\nCoffee,.9,.8,.7\n", "are numbered like resamples beside 'A': choose columns"),
        (
            "mine.csv",
            "dataset,model,accuracy\nCoffee,,.9\n",
            "line 2 of FILE is without a model: fill in column 'model'",
        ),
        (
            "mine.csv",
            "dataset,model,A\nCoffee,x,.9\n",
            "has models in rows and no column 'accuracy': choose its column",
        ),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    word = file(tmp_path, text, name)
    expected = message.replace("FILE", f"'{word}'").replace("PATH", word)
    with pytest.raises(UserError, match=re.escape(expected)) as raised:
        score_columns.read([word])
    assert "\n" not in str(raised.value)


def test_a_wanted_column_is_one_column(tmp_path: Path) -> None:
    path = file(tmp_path, "dataset,Abc,ABC\nCoffee,1.0,.9\n")
    with pytest.raises(UserError) as raised:
        score_columns.read([f"{path}:abc"])
    assert str(raised.value) == f"column 'abc' in '{path}' can be 'Abc', 'ABC': write one of them as it stands"
    (column,) = score_columns.read([f"{path}:ABC"])
    assert [cell.accuracy for cell in column.cells.values()] == [0.9]


def test_marks_in_our_own_wide_tables_are_no_part_of_the_name(tmp_path: Path) -> None:
    titles = (
        "fcn (fawaz2019) unknown-files",
        "mlp (fawaz2019) off-paper, TEST-SELECTED",
        "lstm_fcn (karim2019) early-files",
    )
    columns = score_columns.read([file(tmp_path, f'dataset,{titles[0]},"{titles[1]}",{titles[2]}\nCoffee,1.0,.9,.8\n')])
    assert [(column.name, column.marks) for column in columns] == [
        ("fcn (fawaz2019)", "unknown-files"),
        ("mlp (fawaz2019)", "off-paper, TEST-SELECTED"),
        ("lstm_fcn (karim2019)", ""),
    ]


def test_a_file_named_after_times_may_hold_accuracies(tmp_path: Path) -> None:
    for name, text in (
        ("seconds.csv", "dataset,accuracy,time_test_seconds\nCoffee,1.0,.25\n"),
        ("rank.csv", "dataset,C\nCoffee,1.0\nMean rank,1.4\n"),
        ("train_times.csv", "dataset,accuracy,seconds\nCoffee,1.0,2.5\n"),
    ):
        assert read_file(Path(file(tmp_path, text, name))) == {"Coffee": 1.0}


def test_statements_behind_the_name_say_how_to_read(tmp_path: Path) -> None:
    percent = file(tmp_path, "dataset,A,B\nCoffee,96.4 ± 1.2,93.0 ± 0.5\nFordA,57%,99.0\n", "percent.csv")
    (column,) = score_columns.read([f"{percent}@percent@ucr2015:A"])
    assert {tuple(p): cell.accuracy for p, cell in column.cells.items()} == {
        ("Coffee", "ucr2018"): 0.964,
        ("FordA", "ucr2015"): 0.57,
    }
    errors = file(tmp_path, "dataset,A\nAdiac,.21\nBeef,.2\nCoffee,0\n", "results_error.csv")
    (column,) = score_columns.read([f"{errors}@error"])
    assert [cell.accuracy for cell in column.cells.values()] == [0.79, 0.8, 1.0]
    (column,) = score_columns.read([f"{errors}@accuracy"])
    assert [cell.accuracy for cell in column.cells.values()] == [0.21, 0.2, 0.0]
    for word, message in (
        (f"{errors}@errors", "'@errors' in .* is not known: write one of @percent, @error"),
        (f"{errors}@ucr2015@ucr2018", "states two different things"),
        (f"{errors}@error@percent", "are not percent, none is above 1: leave out @percent"),
        (f"{tmp_path}@percent", "of a folder"),
    ):
        with pytest.raises(UserError, match=message):
            score_columns.read([word])


def test_the_summary_of_the_archive_holds_error_rates(tmp_path: Path) -> None:
    head = (
        "ID,Type,Name,Train ,Test ,Class,Length,ED (w=0),DTW (learned_w) ,DTW (w=100),Default rate,Data donor/editor\n"
    )
    rows = "1,Image,Adiac,390,391,37,176,0.3887,0.3913 (3),0.3964,0.9591,x\n"
    columns = score_columns.read([file(tmp_path, head + rows)])
    facts = CATALOGUE["Adiac"]
    assert {column.name: column.cells[Place("Adiac", "ucr2018")].accuracy for column in columns} == {
        "ED (w=0)": pytest.approx(1 - facts.ed_error),
        "DTW (learned_w)": pytest.approx(1 - facts.dtw_error),
        "DTW (w=100)": pytest.approx(1 - facts.dtw_full_error),
    }


def test_rows_that_name_their_archive_or_split_keep_it(tmp_path: Path) -> None:
    head = "classifier_name,archive_name,dataset_name,accuracy\n"
    word = file(tmp_path, f"{head}fcn,UCRArchive_2018,FordA,0.9\nfcn,mts_archive,Phoneme,0.3\n")
    (column,) = score_columns.read([word], split="ucr2015")
    assert set(column.cells) == {Place("FordA", "ucr2018"), Place("Phoneme", "mts")}
    word = file(tmp_path, f"{head}fcn,UEA2018,Phoneme,0.3\nfcn,UEA2018,ERing,0.9\n")
    (column,) = score_columns.read([word])
    assert set(column.cells) == {Place("PhonemeSpectra", "uea2018"), Place("ERing", "uea2018")}
    word = file(tmp_path, "dataset,split,A\nCoffee,UCR 2018 (mean of 30 resamples),0.9\nBeef,TEST,0.8\nCar,TRAIN,1.0\n")
    (column,) = score_columns.read([word])
    assert set(column.cells) == {Place("Coffee", "30 resamples"), Place("Beef", "ucr2018")}


def test_multivariate_namesakes_are_not_taken_for_ucr(tmp_path: Path) -> None:
    (column,) = score_columns.read([file(tmp_path, "dataset,A\nPhoneme,0.287\nCricket,1.0\nLibras,0.9\n")])
    assert [place.dataset for place in column.cells] == ["PhonemeSpectra", "Cricket", "Libras"]
    assert {place.split for place in column.cells} == {"uea2018"}
    (column,) = score_columns.read([file(tmp_path, "dataset,A\nPhoneme,0.287\nCoffee,1.0\nBeef,0.9\n")])
    assert [place.dataset for place in column.cells] == ["Phoneme", "Coffee", "Beef"]


def test_whole_test_cases_show_the_split(tmp_path: Path) -> None:
    """Accuracies of single runs with many digits on the swapped datasets fit one split only."""
    swapped = [name for name, facts in CATALOGUE.items() if facts.split_swapped_in_2015]
    rows = [f"{name},{round(0.83 * CATALOGUE[name].n_train) / CATALOGUE[name].n_train:.8f}" for name in swapped]
    word = file(tmp_path, "dataset,A\n" + "\n".join(rows))
    with pytest.raises(UserError, match=f"is of ucr2015, not ucr2018 .*: write {re.escape(word)}@ucr2015"):
        score_columns.read([word])
    (column,) = score_columns.read([f"{word}@ucr2015"])
    assert {place.split for place in column.cells} == {"ucr2015"}


def test_misspelt_names_are_suggested(tmp_path: Path) -> None:
    word = file(tmp_path, "dataset,HC2,A\nGunPiont,.9,.8\nCoffee,1,.9\n")
    assert f"{word}: dataset 'GunPiont' is not in the archive; did you mean 'GunPoint'?" in remarks(word)
    for wanted, message in (
        ("HIVE-COTE2", "did you mean 'HC2'?"),
        ("Coffee", "it is a dataset: name a model"),
        ("ROCKET", "write one of 'HC2', 'A'"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            score_columns.read([f"{word}:{wanted}"])
    with pytest.raises(UserError, match=re.escape("did you mean 'bakeoff2023/HC2'?")):
        score_columns.read(["published:bakeoff2023/HIVE-COTE2"])


def test_rounding_errors_above_one_are_read_as_one(tmp_path: Path) -> None:
    assert read_file(Path(file(tmp_path, "dataset,A\nCoffee,1.0000000000000002\n"))) == {"Coffee": 1.0}


def test_utf_16_and_unusual_line_ends_are_read(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes("dataset;A\r\nCoffee;0,9\r\n".encode("utf-16"))
    assert read_file(tmp_path / "mine.csv") == {"Coffee": 0.9}
    (tmp_path / "mine.csv").write_bytes(b"dataset,A\rCoffee,0.9\r")
    assert read_file(tmp_path / "mine.csv") == {"Coffee": 0.9}


def read_file(path: Path) -> dict[str, float]:
    (column,) = score_columns.read([str(path)])
    return {place.dataset: cell.accuracy for place, cell in column.cells.items()}
