"""Columns of accuracies, from wherever they are: a model on many datasets, each cell with what it was measured on.

    results/                          the models of a results folder
    results:lstm_fcn                  one of them
    mine.csv  mine.csv:MyNet          a table of ours or of others, wide or long
    tsml_results/                     prediction files of tsml-eval and aeon, or their NAME_accuracy.csv
    published:karim2019/LSTM-FCN      a paper's figures, see `tsfcn published list`

Names of models and datasets are taken as others write them; accuracies are fractions and nothing else. Two cells
compare if dataset and split are the same, so the split is part of a cell's place (`Place`).
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from tsfcn.common.errors import UserError, first_line
from tsfcn.data import published
from tsfcn.data.catalogue import CATALOGUE, OLD_NAMES

PUBLISHED = "published:"


class Place(NamedTuple):
    """Where a cell stands: a dataset, and which cases were trained and tested on.

    split: 'ucr2018' (the official one, and the 2015 files of the datasets for which they hold the same), 'ucr2015',
    'early' (another revision of the files), '30 resamples' (a mean over so many, the official one first), 'mixed' (one
    of two, not known which) or '5 folds'.
    """

    dataset: str
    split: str


@dataclass(frozen=True)
class Cell:
    """The accuracy of a model on a dataset, a mean over runs."""

    accuracy: float  # fraction
    std: float | None = None  # over runs, ddof 1; None if not known
    n_runs: int = 1
    note: str = ""  # why to read it with care, or ''


@dataclass(frozen=True)
class Column:
    """A model's accuracies."""

    name: str
    origin: str  # the folder, file or source that it is from, as it was written
    cells: Mapping[Place, Cell]
    marks: str = ""  # as in tables: 'off-paper, TEST-SELECTED'
    description: str = ""  # runs, files, selection, what was assumed
    note: str = ""  # why to read all of it with care, or ''


def read(words: Iterable[str], *, split: str = "ucr2018") -> list[Column]:
    """Return the columns that words name, in their order, each under a name of its own.

    split: of the cells of a file that does not say it. Raises UserError for a word that names nothing, a file that is
    no table of accuracies, and a value that is no fraction.
    """
    columns = [column for word in words for column in _read(word, split)]
    times: dict[str, int] = defaultdict(int)
    for column in columns:
        times[column.name] += 1
    named = [replace(c, name=f"{c.origin}:{c.name}") if times[c.name] > 1 else c for c in columns]
    names = [column.name for column in named]
    for column in named:
        if names.count(column.name) > 1:
            raise UserError(f"column '{column.name}' is named twice: name each once")
    return named


def _read(word: str, split: str) -> list[Column]:
    if word.startswith(PUBLISHED):
        return [_published(source, model) for source, model in published.find(word.removeprefix(PUBLISHED))]
    path, wanted = Path(word), ""
    if not path.exists() and ":" in word:
        name, _, wanted = word.rpartition(":")
        path = Path(name)
    if path.is_dir():
        columns = _folder(path)
    elif path.is_file():
        columns = _file(path, split)
    else:
        raise UserError(_nothing(word))
    if wanted:
        columns = _wanted(columns, wanted, word)
    return [replace(column, origin=word.removesuffix(f":{wanted}") if wanted else word) for column in columns]


def _nothing(word: str) -> str:
    try:
        pairs = published.find(word)
    except UserError:
        pairs = []
    if pairs:
        return f"'{word}' is no file or folder here; did you mean '{PUBLISHED}{word}'?"
    return f"'{word}' is no file or folder here: name a results folder, a CSV, or {PUBLISHED}SOURCE/MODEL"


def _wanted(columns: list[Column], wanted: str, word: str) -> list[Column]:
    """Return those columns that a name or glob after the colon means."""
    chosen = [c for c in columns if c.name == wanted or fnmatchcase(c.name, wanted)] or [
        c for c in columns if loose(wanted) in (loose(c.name), loose(c.name.partition(" (")[0]))
    ]
    if not chosen:
        names = ", ".join(f"'{column.name}'" for column in columns)
        raise UserError(f"column '{wanted}' is not in '{word.removesuffix(f':{wanted}')}': write one of {names}")
    return chosen


# ---------------------------------------------------------------------------------------------------------------------
# Names


def loose(text: str) -> str:
    """Return a name without case and signs, as others may write it.

    >>> loose("Non-Invasive Fetal_ECG Thorax1") == loose("NonInvasiveFetalECGThorax1")
    True
    """
    return "".join(sign for sign in text.lower() if sign.isalnum())


@cache
def _names() -> dict[str, str]:
    known = published.short_names() | OLD_NAMES | {name: name for name in CATALOGUE}
    return {loose(written): name for written, name in known.items()}


def dataset_name(written: str) -> str:
    """Return the UCR 2018 name of a dataset however it is written, or the text itself if it is none of theirs.

    >>> dataset_name("50words"), dataset_name("Cricket_X"), dataset_name("DistPhxTW"), dataset_name(" My own ")
    ('FiftyWords', 'CricketX', 'DistalPhalanxTW', 'My own')
    """
    return _names().get(loose(written), written.strip())


def _is_dataset(written: str) -> bool:
    return loose(written) in _names()


# ---------------------------------------------------------------------------------------------------------------------
# Published figures and results folders


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
    said = f"{runs}; files {passport.split}; selection: {model.selected_by}"
    marks = "TEST-SELECTED" if model.selected_by == "TEST SET" else ""
    return Column(f"{source}/{name}", f"{PUBLISHED}{source}", cells, marks, said, model.note)


def _folder(path: Path) -> list[Column]:
    if (path / "records").is_dir():
        return _results(path)
    predictions = sorted(path.glob("*/Predictions/*/test*.csv")) + sorted(path.glob("Predictions/*/test*.csv"))
    summaries = [p for p in sorted(path.glob("*.csv")) if _tsml_name(p) is not None]
    if predictions:
        return _predictions(predictions)
    if summaries:
        return [column for p in summaries for column in _file(p, "ucr2018")]
    raise UserError(
        f"folder '{path}' is without results: it needs records/ (of `tsfcn run`), MODEL/Predictions/ or *_accuracy.csv"
    )


def _results(path: Path) -> list[Column]:
    from tsfcn.analysis import tables
    from tsfcn.analysis.marks import EARLY
    from tsfcn.jobs import store

    rows = tables.accuracy(store.read(path)).to_dict("records")
    if not rows:
        raise UserError(f"results folder '{path}' is without ok records: run `tsfcn run results={path}` first")
    gathered = _Gathered(path)
    for row in rows:
        name, marks = f"{row['model']} ({row['protocol']})", [mark for mark in row["marks"].split(", ") if mark]
        files, resample = _split_named(row["split"])
        files = "early" if EARLY in marks else files
        std = None if math.isnan(row["std"]) else row["std"]
        gathered.add(name, row["dataset"], row["mean"], files, resample, std=std, n_runs=row["n_seeds"])
        gathered.marks[name].update(dict.fromkeys(mark for mark in marks if mark != EARLY))
    columns = gathered.columns("")
    return [replace(column, description=_seeds(column) + column.description) for column in columns]


def _seeds(column: Column) -> str:
    counts = sorted({cell.n_runs for place, cell in column.cells.items() if not place.split.endswith("resamples")})
    said = " to ".join(dict.fromkeys(map(str, [counts[0], counts[-1]]))) if counts else "no"
    return f"{said} seed{'' if said == '1' else 's'}"


# ---------------------------------------------------------------------------------------------------------------------
# Files of others


class _Gathered:
    """Values as they are read, until all are there and become columns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.marks: dict[str, dict[str, None]] = defaultdict(dict)
        # by model and dataset, then by files and resample: the runs
        self.runs: dict[tuple[str, str], dict[tuple[str, int], list[Cell]]] = defaultdict(lambda: defaultdict(list))
        self.seen: dict[tuple[tuple[str, str, str, int], str], tuple[int, str]] = {}

    def add(
        self,
        model: str,
        written: str,
        accuracy: float,
        files: str,
        resample: int = 0,
        *,
        std: float | None = None,
        n_runs: int = 1,
        line: int = 0,
        run: str = "",
    ) -> None:
        """Take one value of a dataset as it is written; UserError for a second one of the same place and run."""
        dataset = dataset_name(written)
        key = (model, dataset, published.measured_on(dataset, files), resample)
        if (key, run) in self.seen:
            first, before = self.seen[key, run]
            alias = f" as '{before}' and '{written}'" if before != written else ""
            lines = f" (lines {first} and {line})" if line else ""
            raise UserError(
                f"dataset '{dataset}' is there twice for '{model}' in '{self.path}'{alias}{lines}: "
                "keep one, or number the runs in a column 'seed'"
            )
        self.seen[key, run] = (line, written)
        self.runs[model, dataset][key[2:]].append(Cell(accuracy, std if n_runs > 1 else None, n_runs))

    def columns(self, said: str) -> list[Column]:
        """Return the columns, in the order of their first values. UserError if there is none."""
        if not self.runs:
            raise UserError(
                f"file '{self.path}' is without accuracies: it needs a column a model, or 'model' and 'accuracy'"
            )
        cells: dict[str, dict[Place, Cell]] = defaultdict(dict)
        gaps: dict[str, int] = defaultdict(int)  # datasets whose resamples are not all there
        for (model, dataset), places in self.runs.items():
            drawn: dict[str, dict[int, float]] = defaultdict(dict)
            for (files, resample), runs in places.items():
                mean = _mean([run.accuracy for run in runs]) if len(runs) > 1 else runs[0]
                if resample == 0:
                    cells[model][Place(dataset, files)] = mean
                drawn[files][resample] = mean.accuracy
            means = drawn["ucr2018"]
            # The bake-offs' mean is over resamples 0, the official split, to 29; with a gap it is no such mean.
            if set(means) == set(range(len(means))):
                if len(means) > 1:
                    cells[model][Place(dataset, f"{len(means)} resamples")] = _mean(list(means.values()))
            else:
                gaps[model] += 1
        if not cells:
            raise UserError(
                f"'{self.path}' is of resamples alone: a mean needs all from 0, the official split, to the last"
            )
        return [
            Column(
                model,
                str(self.path),
                found,
                ", ".join(self.marks[model]),
                said + (f"; resamples with a gap left out on {gaps[model]} datasets" if gaps[model] else ""),
            )
            for model, found in cells.items()
        ]


def _mean(values: Sequence[float]) -> Cell:
    return Cell(fmean(values), stdev(values), len(values))


_DATASET = {"dataset", "datasets", "datasetname", "datasetid", "problem", "problemname", "validationid", "estimators"}
_MODEL = {"model", "modelname", "modelid", "classifier", "classifiername", "estimator", "method", "algorithm"}
_ACCURACY = {"accuracy", "acc", "mean", "testaccuracy", "testacc", "accuracymean", "meanaccuracy", "accuracyscoremean"}
_SCORE = {"score", "value", "result", "testscore"}  # only beside a column of models
_STD = {"std", "accuracystd", "stdaccuracy", "stddev", "sd", "accuracyscorestd"}
_N_RUNS = {"nruns", "nseeds", "runs", "seeds"}
_RUN = {"run", "seed", "iteration", "iter", "itr", "repeat", "repetition"}
_FOLD = {"fold", "resample", "resampleid"}
_ABOUT = {  # columns of a wide table that are about the dataset and no model
    *("split", "type", "id", "index", "no", "length", "classes", "class", "ntrain", "ntest", "nclasses", "train"),
    *("trainsize", "testsize", "ntimepoints", "serieslength", "numberofclasses", "datadonoreditor", "test", "archive"),
    *("archivename", "marks", "unnamed0", "", "metric", "note", "sourcenote"),
}
_MARKS = ("off-paper", "TEST-SELECTED")
_WITH_STD = re.compile(r"\s*([0-9.]+)\s*(?:\(\s*[0-9.]+\s*\)|(?:±|\+/?-)\s*[0-9.]+)\s*")  # 0.84 ± 0.01, 0.84 (0.01)
_PERCENT_STD = re.compile(r"\s*([0-9.]+)\([0-9.]+\)\s*")  # 84.4(0.7), as in tables of dl-4-tsc
_FOOTER = {"averagerank", "wins", "average", "mean", "avgrank", "rank", "count", "mpce", "total", "averageaccuracy"}


def _tsml_name(path: Path) -> str | None:
    """Return the model that a tsml-eval file of one classifier is of, by the end of its name; None for other names."""
    found = re.fullmatch(r"(.+)_(accuracy|acc|testfolds)", path.stem, flags=re.IGNORECASE)
    return found[1] if found else None


def _file(path: Path, split: str) -> list[Column]:
    rows = _lines(path)
    header = [cell.strip() for cell in rows[0]]
    keys = [loose(cell) for cell in header]
    if keys[0] in ("resamples", "folds") and len(keys) > 1:
        return _resamples(path, header, rows[1:])
    if len(rows) > 3 and len(keys) > 3 and keys[2] in ("test", "train", "nosplit"):
        return _predictions([path])
    if {"validationid", "modelid"} <= set(keys):
        return _sktime(path, header, rows[1:])
    where = [i for i, key in enumerate(keys) if key in _DATASET]
    where = where or [i for i in range(len(keys)) if _mostly_datasets([row[i] for row in rows[1:] if i < len(row)])]
    if not where:
        raise UserError(f"file '{path}' is without a dataset column: name one 'dataset' (it has {_listed(header)})")
    dataset, body = where[0], rows[1:]
    accuracy = [i for i, key in enumerate(keys) if key in _ACCURACY and i != dataset]
    model = [i for i, key in enumerate(keys) if key in _MODEL]
    if model and not accuracy:
        accuracy = [i for i, key in enumerate(keys) if key in _SCORE]
    others = [i for i, key in enumerate(keys) if i != dataset and key not in _ABOUT | _MODEL]
    if len(accuracy) > 0 and (model or set(others) <= {*accuracy, *_of(keys, _STD | _N_RUNS | _RUN | _FOLD)}):
        # Our tables have 'mean'; where a file has 'accuracy' as well, that is the word.
        best = min(accuracy, key=lambda i: ("accuracy", "acc").index(keys[i]) if keys[i] in ("accuracy", "acc") else 9)
        return _long(path, keys, body, dataset, model[0] if model else None, best, split)
    return _wide(path, header, keys, body, dataset, others, split)


def _of(keys: Sequence[str], words: set[str]) -> list[int]:
    return [i for i, key in enumerate(keys) if key in words]


def _listed(header: Sequence[str]) -> str:
    shown = [f"'{cell}'" for cell in header[:6]]
    return ", ".join(shown) + (f" and {len(header) - 6} more" if len(header) > 6 else "")


def _mostly_datasets(cells: Sequence[str]) -> bool:
    named = [cell for cell in cells if loose(cell) not in _FOOTER]
    return 2 * sum(map(_is_dataset, named)) > len(named)


def _lines(path: Path) -> list[list[str]]:
    """Return the rows of a CSV file that are not empty; ',', ';' or tab between cells."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"file '{path}' is unreadable ({first_line(error)}): name a CSV file in UTF-8") from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UserError(f"file '{path}' is no CSV ({first_line(error)}): name a table of accuracies") from error
    if len(rows) < 2 or len(rows[0]) < 2:
        raise UserError(f"file '{path}' is without rows or columns: name a CSV with a header, datasets and accuracies")
    return rows


def _fraction(text: str, model: str, dataset: str, path: Path) -> float:
    """Return a cell as an accuracy. Raises UserError for what is none, with the way to write it."""
    of = f"accuracy of '{model}' on {dataset} in '{path}'"
    try:
        value = float(text)
    except ValueError:
        hint = "divide by 100" if text.strip().endswith("%") else "write a fraction, 0 to 1"
        raise UserError(f"{of} is '{text.strip()}': {hint}") from None
    if math.isnan(value):
        raise UserError(f"{of} is nan: leave the cell empty or the row out where there is none")
    if not 0 <= value <= 1:
        percent = 1 < value <= 100
        raise UserError(f"{of} is {text.strip()}: write fractions, 0 to 1" + (" (percent / 100)" if percent else ""))
    return value


def _assumed(split: str) -> str:
    return f"files {split} assumed, since the CSV has no column 'split'"


def _split_named(text: str) -> tuple[str, int]:
    """Return files and resample that a cell of a split column means; a word that is not known is a split of its own."""
    if kept := re.match(r"\d+ (resamples|folds)\b|mixed$|early$", text):
        return kept[0], 0
    number = re.search(r"resample\D*(\d+)", text.lower())
    if "2015" in text:
        return "ucr2015", int(number[1]) if number else 0
    known = number or re.search(r"2018|official|default|original|standard", text.lower())
    return ("ucr2018", int(number[1]) if number else 0) if known else (text, 0)


def _long(
    path: Path,
    keys: Sequence[str],
    rows: Sequence[Sequence[str]],
    dataset: int,
    model: int | None,
    accuracy: int,
    split: str,
) -> list[Column]:
    """A row a model and dataset, or a row a run of them: our accuracy.csv, dl-4-tsc's results, others alike."""
    words = {
        "metric": {"metric"},
        "protocol": {"protocol"},
        "split": {"split"},
        "marks": {"marks"},
        "std": _STD,
        "n_runs": _N_RUNS,
    }
    words |= {"run": _RUN, "fold": _FOLD}
    extra = {what: found[0] for what, spelled in words.items() if (found := _of(keys, spelled))}
    gathered = _Gathered(path)
    for line, row in enumerate(rows, start=2):
        if len(row) <= max(dataset, accuracy) or not row[accuracy].strip():
            continue  # not run
        said = {what: row[i].strip() if i < len(row) else "" for what, i in extra.items()}
        if said.get("metric") and loose(said["metric"]) not in _ACCURACY:
            continue
        name, written = path.stem if model is None else row[model].strip(), row[dataset].strip()
        name = f"{name} ({said['protocol']})" if said.get("protocol") else name
        value = _fraction(row[accuracy], name, written, path)
        files, resample = _split_named(said["split"]) if said.get("split") else (split, 0)
        files = "early" if "early-files" in said.get("marks", "") else files
        try:
            resample = int(float(said["fold"])) if said.get("fold") else resample
            n_runs = max(int(float(said["n_runs"])), 1) if said.get("n_runs") else 1
            std = float(said["std"]) if said.get("std") else None
        except ValueError as error:
            raise UserError(f"line {line} of '{path}' is unreadable ({first_line(error)}): write numbers") from error
        gathered.add(name, written, value, files, resample, std=std, n_runs=n_runs, line=line, run=said.get("run", ""))
        gathered.marks[name].update(dict.fromkeys(m for m in said.get("marks", "").split(", ") if m in _MARKS))
    return gathered.columns("" if "split" in extra else _assumed(split))


def _wide(
    path: Path,
    header: Sequence[str],
    keys: Sequence[str],
    rows: Sequence[Sequence[str]],
    dataset: int,
    others: Sequence[int],
    split: str,
) -> list[Column]:
    """A row a dataset, a column a model: our accuracy_wide.csv, dl-4-tsc's percent(std), others alike."""
    named = next(iter(_of(keys, {"split"})), None)
    models = [i for i in others if any(i < len(row) and _is_number(row[i]) for row in rows)]
    names = {i: header[i] for i in models}
    for i, name in names.items():
        if "error" in keys[i]:
            raise UserError(f"column '{name}' in '{path}' is an error rate: write accuracies (1 - error)")
        if list(names.values()).count(name) > 1:
            raise UserError(f"column '{name}' is there twice in '{path}': give each model a name of its own")
    gathered = _Gathered(path)
    pairs = [found for row in rows for i in models if i < len(row) and (found := _PERCENT_STD.fullmatch(row[i]))]
    percent = any(_is_number(found[1]) and float(found[1]) > 1 for found in pairs)
    deviations = False
    for line, row in enumerate(rows, start=2):
        written = row[dataset].strip() if dataset < len(row) else ""
        if not written or (loose(written) in _FOOTER and not _is_dataset(written)):
            continue
        on = row[named].strip() if named is not None and named < len(row) else ""
        files, resample = _split_named(on) if on else (split, 0)
        for i, title in names.items():
            text = row[i].strip() if i < len(row) else ""
            if not text:
                continue  # not run
            name, marks = _unmarked(title)
            if percent and (found := _PERCENT_STD.fullmatch(text)):  # the one form that is percent and shows it
                text = str(float(found[1]) / 100)
            elif found := _WITH_STD.fullmatch(text):
                deviations, text = True, found[1]
            gathered.add(name, written, _fraction(text, name, written, path), files, resample, line=line)
            gathered.marks[name].update(dict.fromkeys(marks))
    said = ["" if named is not None else _assumed(split), "means of percent(deviation) cells" if percent else ""]
    said.append("deviations are there, but not over how many runs" if deviations else "")
    return gathered.columns("; ".join(part for part in said if part))


def _unmarked(title: str) -> tuple[str, list[str]]:
    """Return the name in a column of our own wide tables, and the marks that follow it there."""
    found = re.fullmatch(r"(.+?\))((?:,? (?:off-paper|TEST-SELECTED|early-files))+)", title)
    return (found[1], [m for m in found[2].replace(",", " ").split() if m in _MARKS]) if found else (title, [])


def _is_number(text: str) -> bool:
    if _WITH_STD.fullmatch(text):
        return True
    try:
        float(text.strip().removesuffix("%"))
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------------------------------------------------------------
# tsml-eval, aeon and sktime

_OFFICIAL = "resample 0 is the official split"


def _resamples(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Column]:
    """`NAME_accuracy.csv` of tsml-eval and aeon: a row a dataset, a column a resample; 0 is the official one."""
    name, gathered = _tsml_name(path) or path.stem, _Gathered(path)
    for line, row in enumerate(rows, start=2):
        for number, text in zip(header[1:], row[1:], strict=False):
            if text.strip() and number.isdecimal():
                value = _fraction(text, name, row[0].strip(), path)
                gathered.add(name, row[0].strip(), value, "ucr2018", int(number), line=line)
    return gathered.columns(_OFFICIAL)


def _predictions(paths: Sequence[Path]) -> list[Column]:
    """Prediction files: dataset, classifier, split, resample; parameters; accuracy, times; then a line a case.

    The accuracy is counted from the cases, and must be the one that the third line says.
    """
    gathered = _Gathered(paths[0])
    for path in paths:
        gathered.path = path
        rows = [line.split(",") for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
        try:
            dataset, name, split, resample = (cell.strip() for cell in rows[0][:4])
            said, cases = float(rows[2][0]), [row for row in rows[3:] if len(row) > 1]
            right = sum(float(row[0]) == float(row[1]) for row in cases)
            number = 0 if resample == "None" else int(resample)
        except (IndexError, ValueError) as error:
            raise UserError(
                f"file '{path}' is no result file of tsml-eval ({first_line(error)}): name a folder of such files"
            ) from error
        if split.upper() == "TRAIN":
            continue
        if not cases or (said >= 0 and abs(right / len(cases) - said) > 0.5 / len(cases)):
            raise UserError(f"accuracy in '{path}' is {said}, its cases give {right} of {len(cases)}: write it again")
        gathered.add(name, dataset, right / len(cases), "ucr2018", number)
    return gathered.columns(_OFFICIAL)


def _sktime(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Column]:
    """What sktime's ClassificationBenchmark writes or returns: a row a task and model, a column a fold and score."""
    fold = re.compile(r"folds\.(\d+)\.scores\.accuracy\w*|accuracy\w*_fold_(\d+)_test")
    folds = [i for i, cell in enumerate(header) if fold.fullmatch(cell)]
    if not folds:
        raise UserError(f"file '{path}' is without accuracies of folds: score the benchmark with accuracy_score")
    task, model = header.index("validation_id"), header.index("model_id")
    cells: dict[str, dict[Place, Cell]] = defaultdict(dict)
    for row in rows:
        # A task without a name of its own is called '[dataset=load_italy_power_demand]_[cv_splitter=KFold]'.
        named = re.match(r"\[dataset=(?:load_)?(.+?)\]", row[task])
        where, name = dataset_name(named[1] if named else row[task]), row[model].strip()
        values = [_fraction(row[i], name, row[task], path) for i in folds if i < len(row) and row[i].strip()]
        place = Place(where, "ucr2018" if len(values) == 1 else f"{len(values)} folds")
        if place in cells[name]:
            raise UserError(f"dataset '{where}' is there twice for '{name}' in '{path}': keep one")
        if values:
            cells[name][place] = Cell(values[0]) if len(values) == 1 else _mean(values)
    said = "several folds are its own cross-validation; a single one is taken as the official split"
    return [Column(name, str(path), found, "", said) for name, found in cells.items() if found]
