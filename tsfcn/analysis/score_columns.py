"""Columns of accuracies from any source: a model on many datasets, each cell with the split it was measured on.

    results/                          the models of a results folder
    results:lstm_fcn                  one of them
    mine.csv  mine.csv:MyNet          a table of tsfcn or of other people, wide or long
    mine.csv@percent  mine.csv@error  the same with accuracies in percent, or with error rates
    mine.csv@ucr2015:MyNet            the same, measured on the 2015 files
    tsml_results/                     prediction files of tsml-eval and aeon, or their NAME_accuracy.csv
    published:karim2019/LSTM-FCN      figures of a paper, see `tsfcn published list`

Names of models and datasets are recognised in usual spellings; accuracies are fractions unless stated otherwise.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tsfcn.analysis.columns import Cell, Column, ColumnBuilder, Place, Score, chosen, half_unit, is_dataset
from tsfcn.analysis.foreign import prediction_files, row_facts
from tsfcn.analysis.foreign import tables as foreign_tables
from tsfcn.analysis.foreign.cells import Reading
from tsfcn.analysis.foreign.headers import content_of, summary_model
from tsfcn.analysis.foreign.text_tables import read_table
from tsfcn.analysis.foreign.value_columns import quoted
from tsfcn.common.errors import UserError
from tsfcn.common.text import loose
from tsfcn.data import published

PUBLISHED = "published:"
_STATEMENTS = ("percent", "error", "accuracy", "ucr2018", "ucr2015")
_ALIASES = {  # loose names of one model, of which a table has one
    "hivecote": ("hc1", "hivecote10"),
    "hivecote1": ("hc1", "hivecote10", "hivecotev10"),
    "hivecote2": ("hc2", "hivecote20", "hivecotev2"),
    "hivecote20": ("hc2", "hivecote2", "hivecotev2"),
    "hivecotev2": ("hc2", "hivecote2", "hivecote20"),
    "hc2": ("hivecote2", "hivecote20", "hivecotev2"),
    "hc1": ("hivecote1", "hivecote10", "hivecotev10"),
    "multirocket": ("mr",),
    "dtw": ("1nndtw", "nndtw"),
    "1nndtw": ("dtw", "nndtw"),
    "ed": ("1nned", "nned"),
}


def read(words: Iterable[str], *, split: str = "ucr2018") -> list[Column]:
    """Return the columns that words name, in their order, with different names.

    split: of the cells of a file that does not name it. Raises UserError for a word that names nothing, a file that is
    no table of accuracies, and a value that is no fraction.
    """
    columns_by_word = [_read(word, split) for word in words]
    columns = [replace(column, is_named=len(group) == 1) for group in columns_by_word for column in group]
    times = Counter(column.name for column in columns)
    named = [replace(c, name=f"{c.origin}:{c.name}") if times[c.name] > 1 else c for c in columns]
    for name, n in Counter(column.name for column in named).items():
        if n > 1:
            raise UserError(f"column '{name}' is named twice: name each once")
    return named


def _read(word: str, split: str) -> list[Column]:
    if word.startswith(PUBLISHED):
        return [_published(source, model) for source, model in _find_published(word.removeprefix(PUBLISHED))]
    reading = _reading(word, split)
    if reading is None:
        raise UserError(_nothing(word))
    columns = _folder(reading) if reading.path.is_dir() else _file(reading)
    if reading.wanted:
        columns = _wanted(columns, reading)
    return [replace(column, origin=_without_column(word, reading.wanted)) for column in columns]


def _without_column(word: str, wanted: str) -> str:
    return word.removesuffix(f":{wanted}") if wanted else word


def _reading(word: str, split: str) -> Reading | None:
    """Return the file or folder that a word names, with the statements and the column behind its name; None if none."""
    for end in (len(word), *(i for i in range(len(word) - 1, 0, -1) if word[i] == ":")):
        statements: list[str] = []
        name = word[:end]
        while not Path(name).exists() and (match := re.fullmatch(rf"(.+)@({'|'.join(_STATEMENTS)})", name)):
            name, statements = match[1], [match[2], *statements]
        if Path(name).exists():
            return _stated(Reading(Path(name), split, wanted=word[end + 1 :]), statements, word)
    return None


def _stated(reading: Reading, statements: list[str], word: str) -> Reading:
    splits = [statement for statement in statements if statement.startswith("ucr")]
    if len(splits) > 1 or {"error", "accuracy"} <= set(statements):
        raise UserError(f"'{word}' states two different things: write one split, and either @error or @accuracy")
    if statements and reading.path.is_dir():
        raise UserError(f"'{word}' states @{statements[0]} of a folder: folders say what they hold, leave it out")
    return replace(
        reading,
        split=splits[0] if splits else reading.split,
        states_split=bool(splits),
        is_percent="percent" in statements,
        is_error="error" in statements,
        is_accuracy="accuracy" in statements,
    )


def _nothing(word: str) -> str:
    match = re.search(r"@([^@:/\\]+)(:|$)", word)
    if match and Path(word[: match.start()]).exists() and match[1] not in _STATEMENTS:
        known = ", ".join(f"@{statement}" for statement in _STATEMENTS)
        return f"'@{match[1]}' in '{word}' is not known: write one of {known}"
    try:
        pairs = published.find(word)
    except UserError:
        pairs = []
    if pairs:
        return f"'{word}' is no file or folder here; did you mean '{PUBLISHED}{word}'?"
    return f"'{word}' is no file or folder here: name a results folder, a CSV, or {PUBLISHED}SOURCE/MODEL"


def _wanted(columns: list[Column], reading: Reading) -> list[Column]:
    """Return the columns that a name or glob means; one that was read as a column of the file stays."""
    names = [column.name for column in columns]
    matching = chosen(names, reading.wanted)
    if matching:
        return [column for column in columns if column.name in matching]
    if reading.path.is_file() and reading.wanted in _titles(reading.path):
        return columns
    where = f"column '{reading.wanted}' is not in '{reading.path}'"
    if is_dataset(reading.wanted):
        raise UserError(f"{where}, it is a dataset: name a model, and choose datasets with --dataset")
    if (near := similar_name(reading.wanted, names)) is not None:
        raise UserError(f"{where}; did you mean '{near}'?")
    raise UserError(f"{where}: write one of {quoted(names, 20)}")


def _titles(path: Path) -> list[str]:
    titles = read_table(path).titles
    return [*titles, *(loose(title) for title in titles)]


def similar_name(wanted: str, names: Iterable[str]) -> str | None:
    """Return the name that a misspelt one or another name of the same model most probably means, or None.

    >>> similar_name("HIVE-COTE2", ["ROCKET", "HC2"]), similar_name("ROCKT", ["ROCKET", "HC2"])
    ('HC2', 'ROCKET')
    """
    spelled = {loose(name): name for name in names}
    alias = next((other for other in _ALIASES.get(loose(wanted), ()) if other in spelled), None)
    near = [alias] if alias else difflib.get_close_matches(loose(wanted), spelled, n=1, cutoff=0.7)
    return spelled[near[0]] if near else None


# ---------------------------------------------------------------------------------------------------------------------
# Published figures


def _find_published(words: str) -> list[tuple[str, str]]:
    """Return what `published.find` does; a model under another name is suggested."""
    try:
        return published.find(words)
    except UserError as error:
        source, _, model = words.partition("/")
        if model and source in published.sources() and (near := similar_name(model, published.models(source))):
            raise UserError(f"published model '{model}' is not in {source}; did you mean '{source}/{near}'?") from error
        raise


def _published(source: str, name: str) -> Column:
    figures = [f for f in published.read(source) if f.model == name and f.metric == "accuracy"]
    model, passport = published.models(source)[name], published.sources()[source]
    cells = {
        Place(f.dataset, published.measured_on(f.dataset, f.split)): Cell(f.mean, f.std, f.n_runs, f.note)
        for f in figures
    }
    runs = "single run" if model.n_runs == 1 else f"mean of {model.n_runs} runs"
    if passport.split.endswith("resamples"):
        runs = f"mean of {passport.split}"
    description = f"{runs}; files {passport.split}; selection: {model.selected_by}"
    marks = "TEST-SELECTED" if model.selected_by == "TEST SET" else ""
    half = half_unit(cells.values())
    return Column(f"{source}/{name}", f"{PUBLISHED}{source}", cells, marks, description, model.note, half_unit=half)


# ---------------------------------------------------------------------------------------------------------------------
# Folders and files


def _folder(reading: Reading) -> list[Column]:
    path = reading.path
    if (path / "records").is_dir():
        return _results(path)
    files = prediction_files.prediction_files(path)
    if files:
        return prediction_files.read_predictions(files)
    summaries = [p for p in sorted(path.glob("*.csv")) if _is_summary(p)]
    if summaries:
        return [column for p in summaries for column in _file(replace(reading, path=p))]
    raise UserError(
        f"folder '{path}' is without results: it needs records/ (of `tsfcn run`), MODEL/Predictions/ or *_accuracy.csv"
    )


def _is_summary(path: Path) -> bool:
    return summary_model(path) is not None and content_of(path.stem) is None


def _file(reading: Reading) -> list[Column]:
    if prediction_files.is_prediction_file(reading.path):
        return prediction_files.read_predictions([reading.path])
    table = read_table(reading.path)
    if prediction_files.is_benchmark_file(table.titles):
        return prediction_files.read_benchmark(reading.path, table)
    return foreign_tables.read(reading, table)


def _results(path: Path) -> list[Column]:
    from tsfcn.analysis import tables
    from tsfcn.analysis.marks import EARLY
    from tsfcn.jobs import store

    records = store.read(path)
    rows = tables.accuracy(records).to_dict("records")
    if not rows:
        raise UserError(f"results folder '{path}' is without ok records: run `tsfcn run results={path}` first")
    builder = ColumnBuilder(path)
    labels_timepoints = any(record.task is not None for record in records)
    for row in rows:
        name, marks = f"{row['model']} ({row['protocol']})", [mark for mark in row["marks"].split(", ") if mark]
        files, resample = row_facts.split_named(row["split"])
        files = "streams" if labels_timepoints else "early" if EARLY in marks else files
        std = None if math.isnan(row["std"]) else row["std"]
        builder.add(Score(name, row["dataset"], row["mean"], files, resample, std, row["n_seeds"]))
        builder.marks[name].update(dict.fromkeys(mark for mark in marks if mark != EARLY))
    columns = builder.columns(exact=True)
    return [replace(c, description="; ".join(filter(None, (_seeds(c), c.description)))) for c in columns]


def _seeds(column: Column) -> str:
    counts = sorted({cell.n_runs for place, cell in column.cells.items() if not place.split.endswith("resamples")})
    text = " to ".join(dict.fromkeys(map(str, [counts[0], counts[-1]]))) if counts else "no"
    return f"{text} seed{'' if text == '1' else 's'}"
