"""Records become tables: accuracy, verdicts, ranks and failures.

Every number is computed from the records alone, so a table can be made again anywhere, and the same records give the
same bytes. Two different experiments under one name are refused, never averaged; what failed is listed, never averaged.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from tsfcn.analysis import choice, diagnosis, verdict
from tsfcn.analysis.marks import EARLY, LOW_PRECISION, MEANINGS, OFF_PAPER, TEST_SELECTED, UNKNOWN
from tsfcn.common.errors import UserError
from tsfcn.config.schema import FAST_PRECISIONS
from tsfcn.data import catalogue, published
from tsfcn.jobs import artifacts, store
from tsfcn.jobs.record import Record

Split = tuple[str, int]  # '' or 'ucr2015', whose files hold another split; resample
Name = tuple[str, str, str, Split]  # dataset, model, protocol, split: what one row of a table stands for
Rows = dict[Name, list[Record]]  # the records of each row

METRICS = ("accuracy", "balanced_accuracy", "f1", "auroc", "nll", "ece")
COLUMNS = {
    "dataset": "str",
    "model": "str",
    "protocol": "str",
    "split": "str",  # 'official', 'resample 3', 'ucr2015' or 'ucr2015 resample 3'
    "n_seeds": "int64",
    "mean": "float64",  # fraction, over seeds (nll: nats)
    "std": "float64",  # over seeds, ddof 1; NaN for one seed
    "min": "float64",
    "max": "float64",
    "last": "float64",  # mean over seeds of the accuracy of the last weights
    "selected": "float64",  # the same for weights selected on held-out cases; NaN where none were held out
    "train_seconds": "float64",  # sum over seeds; processor time on a CPU where recorded, else wall time
    "marks": "str",
    "published": "float64",
    "published_std": "float64",
    "published_runs": "Int64",
    "published_source": "str",
    "published_note": "str",  # why that figure is to be read with care, or ''
    "difference": "float64",  # mean - published
}
VERDICT_COLUMNS = {
    "model": "str",
    "protocol": "str",
    "sources": "str",  # of the published figures of all datasets of this model and protocol
    "of": "str",  # 'dataset', 'typical difference' or 'mean difference': the latter two over all datasets
    "dataset": "str",
    "n_seeds": "int64",
    "mean": "float64",
    "std": "float64",
    "published": "float64",
    "published_std": "float64",
    "published_runs": "Int64",
    "published_source": "str",
    "difference": "float64",
    "low": "float64",
    "high": "float64",
    "margin": "float64",
    "p": "float64",
    "p_holm": "float64",
    "p_bh": "float64",
    "word": "str",
    "verdict": "str",
}

DATASET, TYPICAL, MEAN = "dataset", "typical difference", "mean difference"  # what a row of `verdicts` is of

# The smallest positive float16: a probability that is stored as zero was below half of it.
FLOAT16_FLOOR = 2.0**-24


# ---------------------------------------------------------------------------------------------------------------------
# From records to rows


def _name(record: Record) -> Name:
    files = "ucr2015" if record.passport.get("split") == "ucr2015" else ""
    return record.dataset, record.model, record.protocol, (files, record.resample)


def _split(split: Split) -> str:
    files, resample = split
    return f"{files} resample {resample}".strip() if resample != 0 else files or "official"


def _order(split: str) -> Split:
    """Return what a split's name in a table stands for; sorts as the rows of a table do."""
    resample = split.partition("resample ")[2]
    return "ucr2015" if split.startswith("ucr2015") else "", int(resample or 0)


def _describe(name: Name) -> str:
    dataset, model, protocol, split = name
    return f"'{dataset} x {model} x {protocol}' ({_split(split)})"


def row_of(record: Record) -> tuple[str, str, str, str]:
    """Return what names the row of an accuracy table that a record belongs to: dataset, model, protocol, split."""
    dataset, model, protocol, split = _name(record)
    return dataset, model, protocol, _split(split)


def in_order(records: Iterable[Record]) -> list[Record]:
    """Return records in the order of the tables: dataset, model, protocol, split, then seed."""
    return sorted(records, key=lambda r: (*_name(r), r.seed, r.key))


def _number(record: Record, field: str) -> float:
    value = getattr(record, field)
    if value is None or math.isnan(value):
        raise UserError(
            f"record '{record.key}' of {_describe(_name(record))} is ok without {field}: "
            "remove it from records/ and run that job again"
        )
    return float(value)


def _flat(value: object, prefix: str = "") -> dict[str, str]:
    """Return every leaf of nested mappings under its dotted path, as JSON text."""
    if isinstance(value, Mapping):
        return {path: text for k, v in value.items() for path, text in _flat(v, f"{prefix}.{k}").items()}
    return {prefix.removeprefix("."): json.dumps(value, sort_keys=True)}


def _differences(records: Sequence[Record]) -> str:
    """Return in which fields that their key follows from the records differ, as text, at most four of them."""
    flats = []
    for record in records:
        passport = record.passport
        content = {field: getattr(record, field) for field in ("settings", "model_settings", "precision", "meaning")}
        # Only what the key holds of a passport: where the file was read from is no difference in meaning.
        flats.append(_flat(content | {"passport": {k: passport.get(k) for k in ("archive", "split", "content")}}))
    parts = []
    for path in sorted(set().union(*flats)):
        values = list(dict.fromkeys(flat.get(path, "absent") for flat in flats))
        if len(values) > 1:
            parts.append(f"{path}: {' | '.join(v if len(v) <= 24 else v[:21] + '...' for v in values)}")
    if not parts:
        return "their settings read the same, their keys do not"
    return "; ".join(parts[:4]) + (f"; and {len(parts) - 4} more" if len(parts) > 4 else "")


def ok_rows(records: Iterable[Record]) -> Rows:
    """Return the `ok` records by the row that they belong to, in the order of a table, seeds ascending.

    Raises UserError where one name would average two different experiments or one seed twice.
    """
    unordered: dict[Name, list[Record]] = {}
    for record in records:
        if record.is_ok:
            unordered.setdefault(_name(record), []).append(record)
    rows = {name: sorted(unordered[name], key=lambda r: (r.seed, r.key)) for name in sorted(unordered)}
    for name, members in rows.items():
        groups = {record.group: record for record in members}  # one record stands for each
        if len(groups) > 1:
            raise UserError(
                f"{_describe(name)} is {len(groups)} different experiments under one name "
                f"({_differences(list(groups.values()))}): keep the records of one group "
                f"({', '.join(sorted(groups))}) in records/, or use another results folder"
            )
        times = Counter(record.seed for record in members) if len({r.seed for r in members}) < len(members) else {}
        for seed, n in times.items():
            if n > 1:
                raise UserError(
                    f"{_describe(name)} is there {n} times with seed {seed}: keep one of these records in records/"
                )
    return rows


def _marks(records: Iterable[Record]) -> str:
    """Return the marks that any record carries, of MEANINGS and in that order, joined by ', '; '' if none does."""
    records = list(records)
    revisions = {record.passport.get("revision") for record in records}
    carried = {
        OFF_PAPER: any(map(_is_off_paper, records)),
        TEST_SELECTED: any(record.test_selected for record in records),
        EARLY: "early" in revisions,
        UNKNOWN: "unknown" in revisions,
        LOW_PRECISION: any(record.precision in FAST_PRECISIONS for record in records),
    }
    return ", ".join(mark for mark, carries in carried.items() if carries)


def _is_off_paper(record: Record) -> bool:
    """Return whether a record is marked, and not for its precision alone, as records of earlier versions are."""
    protocol = published.in_any_precision(record.protocol)
    if record.protocol == protocol or "[" in protocol:
        return record.off_paper
    return record.off_paper and not published.has_runs(protocol, record.model)


def _figure(name: Name, record: Record, source: str | None) -> published.Figure | None:
    """Return the paper's accuracy for this row, or None unless data, split and every setting are the paper's."""
    dataset, model, protocol, (_, resample) = name
    passport = record.passport
    split = passport.get("split", "")
    is_of_archive = passport.get("archive") in (catalogue.UCR, catalogue.UEA)
    # The label names each changed setting in brackets; `beside` knows the changed models that papers have trained.
    changed = "[" in published.in_any_precision(protocol)
    is_like = is_of_archive and resample == 0 and not changed and record.task is None  # timepoints are no cases
    if not is_like or set(_marks([record]).split(", ")) - {"", LOW_PRECISION}:
        return None
    return published.beside(protocol, model, dataset, split, source)


def published_figure(record: Record) -> published.Figure | None:
    """Return the paper's accuracy for a record's row, or None unless data, split and every setting are the paper's."""
    return _figure(_name(record), record, None)


def _mean_of(records: Sequence[Record], field: str) -> float:
    values = [value for record in records if (value := getattr(record, field)) is not None]
    return _mean(values) if len(values) == len(records) else math.nan


def _mean(values: Sequence[float]) -> float:
    """Return what np.mean does, which takes three times as long for a few values."""
    return float(np.add.reduce(values)) / len(values)


def _rows(
    records: Iterable[Record] | Rows, value: Callable[[Record], float], *, is_accuracy: bool, source: str | None = None
) -> pd.DataFrame:
    rows = []
    for name, members in (records if isinstance(records, dict) else ok_rows(records)).items():
        dataset, model, protocol, split = name
        values = [value(record) for record in members]
        mean = _mean(values)
        figure = _figure(name, members[0], source) if is_accuracy else None
        rows.append(
            {
                "dataset": dataset,
                "model": model,
                "protocol": protocol,
                "split": _split(split),
                "n_seeds": len(values),
                "mean": mean,
                "std": float(np.std(values, ddof=1)) if len(values) > 1 else math.nan,
                "min": min(values),
                "max": max(values),
                "last": _mean_of(members, "accuracy_last") if is_accuracy else math.nan,
                "selected": _mean_of(members, "accuracy_selected") if is_accuracy else math.nan,
                "train_seconds": math.fsum(record.seconds("train") or 0.0 for record in members),
                "marks": _marks(members),
                **_published(figure, mean),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _published(figure: published.Figure | None, mean: float) -> dict[str, Any]:
    """Return the columns of an accuracy table on a published figure, and the difference of our mean to it."""
    if figure is None:
        empty = dict.fromkeys(("published", "published_std", "difference"), math.nan)
        return empty | {"published_runs": None, "published_source": "", "published_note": ""}
    return {
        "published": figure.mean,
        "published_std": math.nan if figure.std is None else figure.std,
        "published_runs": figure.n_runs,
        "published_source": figure.source,
        "published_note": figure.note,
        "difference": mean - figure.mean,
    }


def accuracy(records: Iterable[Record] | Rows, source: str | None = None) -> pd.DataFrame:
    """Return the accuracy table: a row for each dataset x model x protocol x split, columns as in COLUMNS.

    records: as `store.read` returns them, one a key, in any order; those not `ok` are left out (`status` lists them).
    Or `ok_rows` of them.
    All accuracies are fractions; `mean` is over seeds, `std` has ddof 1. `split` is 'official' (of UCR 2018), 'ucr2015'
    for the datasets whose 2015 files hold another one, or a resample of either. `marks` is '' or holds 'off-paper' (the
    paper did not run this pair), 'TEST-SELECTED' (the test set chose the weights), 'early-files' (an early revision of
    the archive) and 'unknown-files' (not the content on record). The published figure stands beside ours only where the
    row has no mark, no setting was changed, and the paper's split is the same; source: only those of this source of
    published figures. Raises UserError if one row would average records of different meaning, naming where they differ.
    """
    return _rows(records, lambda record: _number(record, "accuracy"), is_accuracy=True, source=source)


def with_resample_means(table: pd.DataFrame) -> pd.DataFrame:
    """Return an accuracy or metric table with a row for the mean over resamples after those that it is the mean of.

    Its split is 'n resamples' (or 'ucr2015 n resamples'), as published means over resamples are called, and its std is
    over the resamples. As in the bake-offs, the resamples are 0, the official split, to n - 1: where one of them is
    missing there is no mean.
    """
    rows: list[dict[str, Any]] = []
    records = cast("list[dict[str, Any]]", table.to_dict("records"))
    for _, group in groupby(records, key=lambda r: (r["dataset"], r["model"], r["protocol"], _order(r["split"])[0])):
        members = list(group)
        numbers = [_order(row["split"])[1] for row in members]
        rows += members
        if len(members) > 1 and sorted(numbers) == list(range(len(members))):
            rows.append(_resample_mean(members))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _resample_mean(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the row of the mean over the rows of resamples."""
    means = [row["mean"] for row in members]
    files = _order(members[0]["split"])[0]
    marks = {mark for row in members for mark in row["marks"].split(", ")}
    return {
        **members[0],
        "split": f"{files} {len(members)} resamples".strip(),
        "n_seeds": min(row["n_seeds"] for row in members),
        "mean": float(np.mean(means)),
        "std": float(np.std(means, ddof=1)),
        "min": min(row["min"] for row in members),
        "max": max(row["max"] for row in members),
        "last": float(np.mean([row["last"] for row in members])),
        "selected": float(np.mean([row["selected"] for row in members])),
        "train_seconds": math.fsum(row["train_seconds"] for row in members),
        "marks": ", ".join(mark for mark in MEANINGS if mark in marks),
        **_published(None, math.nan),
    }


def metric(records: Iterable[Record], results: Path, metric: str) -> pd.DataFrame:
    """Return the same table for another metric, from the stored predictions in results/predictions.

    metric: one of METRICS. balanced_accuracy (mean recall), f1 (macro) and auroc (each class against the rest, macro;
    of the second class if there are two) are fractions; nll is the mean negative log-likelihood in nats and ece the
    expected calibration error, both better if lower. See `score`. No published figure stands beside these: `last`,
    `selected`, `published*` and `difference` are NaN, and so is the metric of a job whose predictions are not there.
    Raises UserError for another word, and for predictions that are unreadable or not of this record.
    """
    if metric not in METRICS:
        raise UserError(f"metric '{metric}' is not known: use one of {', '.join(METRICS)}")
    if metric == "accuracy":
        return accuracy(records)
    if metric == "balanced_accuracy":  # every record holds it
        return _rows(records, lambda record: _number(record, metric), is_accuracy=False)

    def value(record: Record) -> float:
        stored = predictions(record, results)
        return math.nan if stored is None else score(metric, *stored)

    return _rows(records, value, is_accuracy=False)


def verdicts(table: pd.DataFrame, pools: Iterable[str] = ()) -> pd.DataFrame:
    """Return the verdict of each row of an accuracy table beside which a published figure stands; see verdict.

    Columns: model, protocol, sources, of, dataset, n_seeds, mean, std, published, published_std, published_runs,
    published_source, difference (ours minus theirs), low and high (its 90 % interval), margin, p, p_holm, p_bh
    (adjusted over the datasets of a model and protocol), word, and verdict, the word with its reason. After the
    datasets of a model and protocol (`of` is DATASET) follow a row of their typical difference (TYPICAL), whose p is
    not adjusted, and one of their mean difference (MEAN), which has an interval and no word.

    Args:
        table: from `accuracy`.
        pools: sources of `published.pools`; the rows are judged again by each that has the runs of their protocol.
    """
    rows: list[dict[str, Any]] = []
    for (model, protocol), part in table.groupby(["model", "protocol"], sort=True):
        beside = part[part["published_source"] != ""].to_dict("records")
        for judged in (beside, *(beside_pool(beside, pool) for pool in pools)):
            rows += [row | {"model": model, "protocol": protocol} for row in (_judged(judged) if judged else [])]
    return pd.DataFrame(rows, columns=list(VERDICT_COLUMNS)).astype(VERDICT_COLUMNS)


def beside_pool(rows: Iterable[Mapping[Any, Any]], pool: str) -> list[dict[Any, Any]]:
    """Return the rows of an accuracy table for which a pool has a figure as the paper has, with that of the pool."""
    pooled_rows = []
    for row in rows:
        if not row["published_source"]:
            continue
        split = "ucr2018" if row["split"] == "official" else row["split"]
        figure = published.beside(row["protocol"], row["model"], row["dataset"], split, pool)
        if figure is not None:
            pooled_rows.append({**row, **_published(figure, row["mean"])})
    return pooled_rows


def _judged(beside: Sequence[Mapping[Any, Any]]) -> list[dict[str, Any]]:
    """Return the rows of `verdicts` for the rows of one model and protocol, all with a published figure."""
    judgement = verdict.judge(verdict.paired_accuracies(beside))
    sources = {"sources": ", ".join(dict.fromkeys(row["published_source"] for row in beside))}
    over_all = sources | {
        "dataset": f"{len(beside)} dataset{'' if len(beside) == 1 else 's'}",
        "n_seeds": sum(row["n_seeds"] for row in beside),
        "published_source": sources["sources"],
    }
    means = {name: float(np.mean([row[name] for row in beside])) for name in ("mean", "published")}
    rows = [
        {name: row[name] for name in VERDICT_COLUMNS if name in row} | sources | {"of": DATASET} | _fields(judged)
        for row, judged in zip(beside, judgement.verdicts, strict=True)
    ]
    typical = _fields(judgement.typical) | {"of": TYPICAL, "margin": verdict.TYPICAL_MARGIN}
    return [
        *rows,
        over_all | typical,
        over_all | means | _fields(judgement.mean) | {"of": MEAN, "word": "", "verdict": ""},
    ]


def _fields(judged: verdict.Verdict | verdict.TypicalDifference | verdict.MeanDifference) -> dict[str, Any]:
    """Return the columns of `verdicts` that a verdict has."""
    columns = {name: getattr(judged, name) for name in VERDICT_COLUMNS if hasattr(judged, name)}
    return columns if isinstance(judged, verdict.MeanDifference) else columns | {"verdict": judged.text}


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """Return the means of an accuracy table with a row for each dataset and split, and a column for each model.

    Columns: dataset, split, then 'model (protocol)', sorted, followed by its marks if it has any; NaN where a model was
    not run. A mark of any row is a mark of its column.
    """
    marks: dict[tuple[str, str], set[str]] = defaultdict(set)
    cells: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    columns = ("model", "protocol", "marks", "dataset", "split", "mean")
    for model, protocol, carried, dataset, split, mean in zip(*(table[name] for name in columns), strict=True):
        marks[model, protocol].update(mark for mark in carried.split(", ") if mark)
        cells.setdefault((dataset, split), {})[model, protocol] = mean
    titles = {}
    for model, protocol in sorted(marks):
        column_marks = ", ".join(mark for mark in MEANINGS if mark in marks[model, protocol])
        titles[model, protocol] = f"{model} ({protocol}) {column_marks}".rstrip()
    order = sorted(cells, key=lambda row: (row[0], _order(row[1])))
    rows = [
        {"dataset": dataset, "split": split}
        | {title: cells[dataset, split].get(column, math.nan) for column, title in titles.items()}
        for dataset, split in order
    ]
    return pd.DataFrame(rows, columns=["dataset", "split", *titles.values()])


def summary(records: Iterable[Record] | Rows) -> pd.DataFrame:
    """Return a row for each split x model x protocol over all its datasets, of records or of `ok_rows` of them.

    n_datasets, n_jobs (datasets x seeds), mean_accuracy (fraction) and mpce are over the row's own datasets. MPCE, the
    mean per-class error of Wang et al. 2017, is the mean over datasets of error / number of classes. Then, over the
    n_common datasets that the ranked rows of the same split share: mean_accuracy_common, mean_rank (1 is best, ties get
    their average rank) and wins (a tie at the top counts for each). Rows selected on the test set stand aside of all
    that, and so do rows that would leave less than half of the common datasets, and too few to show a difference
    (`choice.choose`, those with most datasets first). Ranks and wins are missing where nothing is to be ranked: a
    single row, or no dataset in common. total_seconds: training and testing, summed; processor time on a CPU where
    recorded, else wall time. marks as in `accuracy`.
    """
    cells: dict[tuple[Split, str, str], dict[str, list[Record]]] = {}
    rows_of = records if isinstance(records, dict) else ok_rows(records)
    for (dataset, model, protocol, split), members in rows_of.items():
        cells.setdefault((split, model, protocol), {})[dataset] = members
    rows = []
    for split, columns in groupby(sorted(cells), key=lambda column: column[0]):
        names = list(columns)
        means = {
            name: {d: _mean([_number(r, "accuracy") for r in rs]) for d, rs in cells[name].items()} for name in names
        }
        # What was selected on the test set is not ranked: it would win by that.
        honest = [name for name in names if not any(r.test_selected for rs in cells[name].values() for r in rs)]
        most_first = sorted(honest, key=lambda name: -len(means[name]))
        ranked_names = choice.choose(((name, means[name].keys()) for name in most_first), share=0.5).ranked
        honest = list(ranked_names) if len(ranked_names) > 1 or len(honest) == 1 else []
        common = sorted(set.intersection(*(set(means[name]) for name in honest))) if honest else []
        # Rounded, so that the same share of right cases ties however the mean over seeds was summed.
        board = pd.DataFrame(
            [[round(means[name][d], 10) for name in honest] for d in common], columns=range(len(honest))
        )
        ranks = board.rank(axis="columns", ascending=False, method="average").mean()
        wins = board.eq(board.max(axis="columns"), axis="index").sum()
        for name in names:
            aside = name not in honest
            i = 0 if aside else honest.index(name)
            ranked = not aside and len(honest) > 1 and len(common) > 0
            jobs = [record for members in cells[name].values() for record in members]
            n_classes = {d: _number(members[0], "n_classes") for d, members in cells[name].items()}
            rows.append(
                {
                    "model": name[1],
                    "protocol": name[2],
                    "split": _split(split),
                    "n_datasets": len(n_classes),
                    "n_jobs": len(jobs),
                    "mean_accuracy": float(np.mean(list(means[name].values()))),
                    "mpce": float(np.mean([(1 - means[name][d]) / n for d, n in n_classes.items()])),
                    "n_common": 0 if aside else len(common),
                    "mean_accuracy_common": math.nan if aside else float(board[i].mean()),
                    "mean_rank": float(ranks[i]) if ranked else math.nan,
                    "wins": int(wins[i]) if ranked else None,
                    "total_seconds": math.fsum(_seconds(record) for record in jobs),
                    "marks": _marks(jobs),
                }
            )
    types = {"model": "str", "protocol": "str", "split": "str", "n_datasets": "int64", "n_jobs": "int64"}
    types |= {"mean_accuracy": "float64", "mpce": "float64", "n_common": "int64", "mean_accuracy_common": "float64"}
    types |= {"mean_rank": "float64", "wins": "Int64", "total_seconds": "float64", "marks": "str"}
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def status(records: Iterable[Record]) -> pd.DataFrame:
    """Return the failed and skipped jobs: status, dataset, model, protocol, split, seed, reason, key.

    A job that has succeeded since under the same name and seed is left out, also if its key changed in between (as
    when a dataset could not be had at first and its content was not known).
    """
    records = list(records)
    seeds = {(record.dataset, record.seed) for record in records if not record.is_ok}
    done: dict[tuple[Name, int], str] = {}
    for record in records:
        if record.is_ok and (record.dataset, record.seed) in seeds:
            job = (_name(record), record.seed)
            done[job] = max(done.get(job, ""), record.finished)
    rows = []
    for record in sorted(in_order(record for record in records if not record.is_ok), key=lambda r: r.status):
        job = (_name(record), record.seed)
        if job in done and done[job] >= record.finished:
            continue
        dataset, model, protocol, split = job[0]
        rows.append(
            {
                "status": record.status,
                "dataset": dataset,
                "model": model,
                "protocol": protocol,
                "split": _split(split),
                "seed": record.seed,
                "reason": " ".join(record.reason.split()),
                "key": record.key,
            }
        )
    types = {"status": "str", "dataset": "str", "model": "str", "protocol": "str", "split": "str"}
    types |= {"seed": "Int64", "reason": "str", "key": "str"}
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _seconds(record: Record) -> float:
    return float((record.seconds("train") or 0.0) + (record.seconds("test") or 0.0))


# ---------------------------------------------------------------------------------------------------------------------
# Metrics from stored probabilities


def score(metric: str, probabilities: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Return one metric of one job's predictions.

    probabilities: float (n_cases, n_classes), as stored in float16; y_true, y_pred: int (n_cases,), indices of classes.
    balanced_accuracy: mean recall over the classes that occur in y_true. f1: mean over the classes that occur in y_true
    or y_pred, 0 for a class never right. auroc: the chance that a case of a class scores above one of the rest, ties
    count half; mean over the classes of y_true, or for two classes that of the second; NaN if y_true holds one class.
    nll: mean negative log-likelihood, nats; rows are scaled to sum to one, since float16 rounds them, and a stored zero
    counts as 2^-24, so that one case adds at most about 16.6 (the record's cross_entropy is exact). accuracy: fraction.
    ece: expected calibration error, the mean gap between confidence and accuracy (diagnosis.Reliability).
    The same definitions as scikit-learn's balanced_accuracy_score, f1_score, roc_auc_score and log_loss.
    """
    if metric == "accuracy":
        return float(np.mean(y_true == y_pred))
    if metric == "balanced_accuracy":
        return float(np.mean([np.mean(y_pred[y_true == c] == c) for c in np.unique(y_true)]))
    if metric == "f1":
        # 2 tp / (2 tp + fp + fn); the denominator is the cases of c plus the predictions of c, never 0 here.
        shares = [
            2 * np.sum((y_true == c) & (y_pred == c)) / (np.sum(y_true == c) + np.sum(y_pred == c))
            for c in np.union1d(y_true, y_pred)
        ]
        return float(np.mean(shares))
    wide_probabilities = probabilities.astype(np.float64)  # float16 sums and logarithms would lose digits
    if metric == "auroc":
        present = np.unique(y_true)
        if len(present) < 2:
            return math.nan
        classes = [1] if probabilities.shape[1] == 2 else present
        return float(np.mean([_auroc(y_true == c, wide_probabilities[:, c]) for c in classes]))
    if metric == "nll":
        floored = np.maximum(wide_probabilities, FLOAT16_FLOOR)
        scaled = floored / floored.sum(axis=1, keepdims=True)  # (n_cases, n_classes)
        return float(-np.mean(np.log(scaled[np.arange(len(y_true)), y_true])))
    if metric == "ece":
        return diagnosis.reliability(probabilities, y_true, y_pred).calibration_error
    raise UserError(f"metric '{metric}' is not known: use one of {', '.join(METRICS)}")


def _auroc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve: positive bool (n_cases,), at least one of each; scores (n_cases,)."""
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    ranks = pd.Series(scores).rank(method="average").to_numpy()  # Mann-Whitney: the rank sum counts the pairs won
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def predictions(record: Record, results: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return probabilities, y_true and y_pred of a record, None if they are not there. UserError if not its own."""
    path = artifacts.predictions_path(results, record.key)
    job = f"predictions of {_describe(_name(record))}, seed {record.seed}, key {record.key},"
    again = "repeat the run that made the record, with require_predictions=true"
    if not path.is_file():
        return None
    try:
        sizes = record.n_predicted, record.n_classes
        probabilities, y_true, y_pred = artifacts.read_predictions(results, record.key, *sizes)
    except Exception as error:  # numpy and zipfile raise six kinds for a damaged file
        raise UserError(f"{job} is unreadable ({type(error).__name__}): delete {path} and {again}") from error
    fits = (
        probabilities.shape == (record.n_test or len(y_true), record.n_classes or probabilities.shape[-1])
        and y_true.shape == y_pred.shape == probabilities.shape[:1]
        and bool(np.isfinite(probabilities).all())
        # Half a case of tolerance: the record's accuracy is of these very predictions or it is not.
        and abs(np.mean(y_true == y_pred) - _number(record, "accuracy")) < 0.5 / len(y_true)
    )
    if not fits:
        raise UserError(f"{job} is not what its record says (size or accuracy differ): delete {path} and {again}")
    return probabilities, y_true, y_pred


def stored_predictions(record: Record, results: Path) -> diagnosis.StoredPredictions | None:
    """Return the predictions of a record with its classes; None and errors as for `predictions`."""
    arrays = predictions(record, results)
    if arrays is None:
        return None
    try:
        classes = artifacts.read_classes(results, record.key, record.n_predicted, record.n_classes)
    except Exception as error:  # as for the arrays, numpy and zipfile raise errors of many kinds
        raise UserError(f"predictions of key {record.key} are without classes: repeat the run") from error
    return diagnosis.StoredPredictions(classes, *arrays)


def read(results: Path) -> list[Record]:
    """Return the current records of a results folder (`store.read`). Raises UserError if there are none."""
    if not results.is_dir():
        raise UserError(f"results folder '{results}' is not a folder: name the one that `tsfcn run` wrote to")
    records = store.read(results)
    if not records:
        raise UserError(f"results folder '{results}' is without records: run `tsfcn run results={results}` first")
    return records
