"""Conversion of results between the formats of other tools and those of tsfcn.

    tsfcn convert IN OUT --to wide|long|aeon|tsml|dl4tsc|sktime

`wide` and `long` take whatever `tsfcn compare` reads. The others are written from a results folder, so that the tools
of others read our runs:

    aeon    OUT/MODEL_accuracy.csv: a row a dataset, a column a resample (aeon's and tsml-eval's results loaders)
    tsml    OUT/MODEL/Predictions/DATASET/testResampleN.csv: a line a case (tsml-eval's load_classifier_results)
    dl4tsc  OUT: a row a model, dataset and run, as dl-4-tsc's results/*.csv
    sktime  OUT: a row a dataset and model, a fold a seed, as sktime's ClassificationBenchmark stores it

What a form cannot say is left out and counted: none of them knows the files of 2015 or an early revision, and the last
two no resamples.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from tsfcn.analysis import score_columns, tables
from tsfcn.analysis.columns import Column, Place
from tsfcn.common.errors import UserError
from tsfcn.common.files import write_output
from tsfcn.common.text import spreadsheet_text
from tsfcn.jobs import store
from tsfcn.jobs.record import Record

FORMS = ("wide", "long", "aeon", "tsml", "dl4tsc", "sktime")


def _csv(rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        [spreadsheet_text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    )
    return out.getvalue()


def _digits(value: float) -> str:
    return f"{value:.6f}"


def _places(columns: Sequence[Column]) -> list[Place]:
    return sorted({place for column in columns for place in column.cells})


def wide(columns: Sequence[Column]) -> str:
    """Return a row a dataset and split and a column a model, empty where a model was not run."""
    rows: list[list[str]] = [["dataset", "split", *(column.name for column in columns)]]
    for place in _places(columns):
        cells = [column.cells.get(place) for column in columns]
        rows.append([*place, *("" if cell is None else _digits(cell.accuracy) for cell in cells)])
    return _csv(rows)


def long(columns: Sequence[Column]) -> str:
    """Return a row a model and dataset: accuracy, standard deviation over runs, runs, marks and note."""
    rows: list[list[str]] = [["dataset", "model", "split", "accuracy", "std", "n_runs", "marks", "note"]]
    for column in columns:
        for place, cell in sorted(column.cells.items()):
            std = "" if cell.std is None else _digits(cell.std)
            numbers = [_digits(cell.accuracy), std, str(cell.n_runs)]
            rows.append([place.dataset, column.name, place.split, *numbers, column.marks, cell.note])
    return _csv(rows)


# ---------------------------------------------------------------------------------------------------------------------
# From records


def _model(record: Record) -> str:
    """Return the name of a record's column as a file's name: letters, digits and - _ + . only."""
    name = re.sub(r"[^A-Za-z0-9_+.-]+", "-", f"{record.model}_{record.protocol}").strip("-.")
    return name or "model"


def _official(records: Iterable[Record]) -> tuple[list[Record], int]:
    """Return the ok records of UCR 2018 and its resamples, in the order of tables, and how many were left out."""
    ok = [record for record in records if record.is_ok]
    tables.accuracy(ok)  # raises UserError where two experiments have one name
    passports = [record.passport for record in ok]
    kept = [
        record
        for record, passport in zip(ok, passports, strict=True)
        if passport.get("split") != "ucr2015" and passport.get("revision") != "early"
    ]
    order = sorted(kept, key=lambda r: (_model(r), r.dataset, r.resample, r.seed))
    return order, len(ok) - len(kept)


def aeon(records: Sequence[Record]) -> dict[str, str]:
    """Return files by name: `MODEL_accuracy.csv`, the mean over seeds of each resample; 0 is the official split."""
    means: dict[str, dict[str, dict[int, list[float]]]] = {}
    for record in records:
        dataset = means.setdefault(_model(record), {}).setdefault(record.dataset, {})
        dataset.setdefault(record.resample, []).append(record.accuracy)
    files = {}
    for model, datasets in means.items():
        resamples = sorted({number for accuracies in datasets.values() for number in accuracies})
        rows: list[list[object]] = [["Resamples:", *resamples]]
        rows += [[d, *(repr(fmean(f[n])) if n in f else "" for n in resamples)] for d, f in datasets.items()]
        files[f"{model}_accuracy.csv"] = _csv(rows)
    return files


def tsml(records: Sequence[Record], results: Path) -> dict[str, str]:
    """Return files by name: `MODEL/Predictions/DATASET/testResampleN.csv`, of each record that has predictions.

    The format has no seeds: those after the first of a row have models of their own, `MODEL_seed1`. Labels are
    positions in the classes that the first line names; probabilities are scaled to sum to one, as they are stored in
    float16.
    """
    files: dict[str, str] = {}
    first: dict[tuple[str, str, int], int] = {}  # the first seed of each row
    for record in records:
        stored = tables.predictions(record, results)
        if stored is None:
            continue
        probabilities, y_true, y_pred = stored
        name, resample = _model(record), record.resample
        where = (name, record.dataset, resample)
        seed = first.setdefault(where, record.seed)
        name = name if seed == record.seed else f"{name}_seed{record.seed}"
        dataset = re.sub(r"[^\w+-]+", "-", record.dataset)
        scaled = probabilities.astype(np.float64)
        scaled /= scaled.sum(axis=1, keepdims=True)
        origin = f"tsfcn {record.key} seed {record.seed}"
        right, n_classes = float(np.mean(y_true == y_pred)), probabilities.shape[1]
        times = (record.train_seconds or -1.0, record.test_seconds or -1.0)
        memory = record.peak_memory_bytes or -1
        lines = [
            f"{dataset},{name},TEST,{resample},SECONDS,{origin}",
            f"{record.model} {record.protocol}".replace(",", ";"),
            f"{right!r},{times[0]},{times[1]},-1,{memory},{n_classes},,-1,-1",
        ]
        for true, predicted, row in zip(y_true.tolist(), y_pred.tolist(), scaled.tolist(), strict=True):
            lines.append(f"{true},{predicted},," + ",".join(map(repr, row)))
        path = f"{name}/Predictions/{dataset}/testResample{resample}.csv"
        if path in files:
            raise UserError(f"'{record.dataset}' and another dataset would both be '{path}': convert them apart")
        files[path] = "\n".join(lines) + "\n"
    return files


def dl4tsc(records: Sequence[Record], results: Path) -> str:
    """Return a row a model, dataset and seed of the official split; precision where predictions are stored."""
    header = ["classifier_name", "archive_name", "dataset_name", "iteration"]
    rows: list[list[object]] = [[*header, "precision", "accuracy", "recall", "duration"]]
    iterations: dict[tuple[str, str], int] = {}
    for record in records:
        names = (_model(record), record.dataset)
        iteration = iterations[names] = iterations.get(names, -1) + 1
        stored = tables.predictions(record, results)
        precision = "" if stored is None else repr(_precision(*stored[1:]))
        numbers = [
            precision,
            repr(record.accuracy),
            "" if record.balanced_accuracy is None else record.balanced_accuracy,
            record.train_seconds,
        ]
        rows.append([names[0], "UCRArchive_2018", names[1], float(iteration), *numbers])
    return _csv(rows)


def _precision(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Return the mean precision over the classes that occur, 0 for one never predicted (scikit-learn's macro)."""
    classes = np.union1d(y_true, y_pred)
    return float(np.mean([np.mean(y_true[y_pred == c] == c) if np.any(y_pred == c) else 0.0 for c in classes]))


def sktime(records: Sequence[Record]) -> str:
    """Return a row a model and dataset with a fold for each seed of the official split, their mean and deviation."""
    runs: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        runs.setdefault((_model(record), record.dataset), []).append(record)
    most = max((len(folds) for folds in runs.values()), default=0)
    scores = {"accuracy_score": "accuracy", "fit_time": "train_seconds", "pred_time": "test_seconds"}
    header = ["model_id", "validation_id"]
    for fold in range(most):
        header += [f"folds.{fold}.scores.{score}" for score in scores]
        header += [f"folds.{fold}.{data}" for data in ("ground_truth", "predictions", "train_data")]
    header += [f"{kind}.{score}" for kind in ("means", "stds") for score in scores]
    rows: list[list[object]] = [list(header)]
    for (model, dataset), folds in runs.items():
        row: list[object] = [model, dataset]
        for fold in range(most):
            row += [repr(getattr(folds[fold], field)) if fold < len(folds) else "" for field in scores.values()]
            row += ["", "", ""]
        values = [[v for record in folds if (v := getattr(record, field)) is not None] for field in scores.values()]
        row += [repr(fmean(v)) if v else "" for v in values]
        row += [repr(float(np.std(v, ddof=1))) if len(v) > 1 else "" for v in values]
        rows.append(row)
    return _csv(rows)


# ---------------------------------------------------------------------------------------------------------------------


def convert(source: str, out: Path, form: str) -> str:
    """Write `source` in another form (FORMS) and return a line that says what was written. UserError as in `main`."""
    left_out = ""
    if form in ("wide", "long"):
        columns = score_columns.read([source])
        files, kind = {"": wide(columns) if form == "wide" else long(columns)}, f"{len(columns)} columns"
    else:
        results = Path(source)
        if not (results / "records").is_dir():
            raise UserError(f"'{source}' is no results folder: --to {form} needs the records of `tsfcn run`")
        records, n_left = _official(store.read(results))
        if not records:
            raise UserError(f"results folder '{source}' is without ok records of UCR 2018: nothing to convert")
        left_out = f"; {n_left} records on other files left out" if n_left else ""
        if form in ("dl4tsc", "sktime"):
            official = [record for record in records if record.resample == 0]
            if not official:
                raise UserError(f"results folder '{source}' is of resamples alone: write them --to aeon or tsml")
            if len(official) < len(records):
                left_out += f"; {len(records) - len(official)} records of resamples left out"
            records = official
        if form == "aeon":
            files = aeon(records)
        elif form == "tsml":
            files = tsml(records, results)
            left_out += (
                f"; {len(records) - len(files)} records without predictions left out"
                if len(files) < len(records)
                else ""
            )
        else:
            files = {"": dl4tsc(records, results) if form == "dl4tsc" else sktime(records)}
        kind = f"{len(files)} files" if "" not in files else f"{len(records)} records"
        if not files:
            raise UserError(
                f"results folder '{source}' is without predictions: repeat the run with require_predictions=true"
            )
    if "" in files and out.is_dir():
        raise UserError(f"'{out}' is a folder: --to {form} writes one file, name it")
    if "" not in files and out.is_file():
        raise UserError(f"'{out}' is a file: --to {form} writes a folder, name one")
    for name, text in files.items():
        data = text.encode()
        write_output(out / name if name else out, lambda file, data=data: file.write(data))  # type: ignore[misc]
    return f"{kind} written to {out}{left_out}"
