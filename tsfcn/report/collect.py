"""The material of a report: rows and verdicts, the columns that can be ranked together, learning curves.

This module chooses what is shown; every number is computed by tsfcn.analysis.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tsfcn.analysis import choice, compare, score_columns, tables, verdict
from tsfcn.analysis.choice import ALPHA
from tsfcn.analysis.columns import Column
from tsfcn.analysis.diagnosis import StoredPredictions
from tsfcn.analysis.marks import TEST_SELECTED
from tsfcn.common.errors import UserError
from tsfcn.data import locate, published
from tsfcn.jobs import artifacts
from tsfcn.jobs.record import Record
from tsfcn.report import streams
from tsfcn.report.streams import LabelledStream

CURVE_POINTS = 90_000  # of all learning curves together, which limits the size of a page
_LEAST_POINTS, _MOST_POINTS = 12, 60  # of one curve

Row = Mapping[Any, Any]  # of an accuracy table
Name = tuple[str, str, str]  # model, protocol, split: what a series of a chart stands for


def full_name(name: Name) -> str:
    """Return the name of a series as charts and texts show it."""
    model, protocol, split = name
    return f"{model} ({protocol})" + ("" if split == "official" else f", {split}")


# ---------------------------------------------------------------------------------------------------------------------
# Columns


@dataclass(frozen=True)
class Choice:
    """The columns that are ranked, and the name and reason of each that is left out."""

    ranked: tuple[Column, ...]
    left_out: tuple[tuple[str, str], ...]


def choose(columns: Sequence[Column], others: Sequence[Column]) -> Choice:
    """Return the columns to rank: those of the results folder come before others, those with many datasets first.

    Columns that were selected on the test set are never ranked, nor those that share too few datasets (choice.choose).
    """
    by_name = {column.name: column for column in (*columns, *others)}
    first = [c for group in (columns, others) for c in sorted(group, key=lambda c: (-len(c.cells), c.name))]
    chosen = choice.choose(
        ((c.name, c.cells.keys()) for c in first if TEST_SELECTED not in c.marks),
        size=lambda places: len({place.dataset for place in places}),
    )
    selected = [c.name for c in first if TEST_SELECTED in c.marks]
    reasons = {**chosen.left_out, **dict.fromkeys(selected, f"{TEST_SELECTED}: its accuracy is an upper bound")}
    return Choice(
        tuple(column for name, column in by_name.items() if name in chosen.ranked),
        tuple((c.name, reasons[c.name]) for c in first if c.name in reasons),
    )


def published_columns(rows: Iterable[Row]) -> list[Column]:
    """Return the published column beside each of ours in an accuracy table.

    If figures of several sources are beside one of ours, the source with the most datasets is taken. The pools of
    published runs that have runs of ours follow.
    """
    rows, sources_of = list(rows), defaultdict[tuple[str, str], set[str]](set)
    for row in rows:
        if row["published_source"]:
            sources_of[row["model"], row["protocol"]].add(row["published_source"])
    known = published.sources()
    pairs = {
        (max(sorted(sources), key=lambda source: known[source].n_datasets), model)
        for (model, _), sources in sources_of.items()
    }
    pooled = {(pool, row["model"]) for pool in published.pools() for row in tables.beside_pool(rows, pool)}
    named = [*sorted(pairs), *sorted(pooled)]
    return score_columns.read(f"{score_columns.PUBLISHED}{source}/{model}" for source, model in named)


def with_unique_names(columns: Sequence[Column], others: Sequence[Column]) -> list[Column]:
    """Return the other columns, with the name of their file in front if a column has the same name; no paths.

    Raises:
        UserError: two columns have the same name nevertheless.
    """
    names = {column.name for column in columns}
    renamed = []
    for column in others:
        name = column.name.removeprefix(f"{column.origin}:")
        if name in names:
            name = f"{Path(column.origin).name or 'other'}: {name}"
        if name in names:
            raise UserError(f"column '{name}' is named twice: name each column once")
        names.add(name)
        renamed.append(replace(column, name=name))
    return renamed


# ---------------------------------------------------------------------------------------------------------------------
# Learning curves


@dataclass(frozen=True)
class LearningCurve:
    """The training losses of one job by epoch, and the epoch and loss of the weights that were kept."""

    dataset: str
    name: Name
    seed: int
    epochs: tuple[int, ...]
    losses: tuple[float, ...]
    best: tuple[int, float] | None


def learning_curves(records: Sequence[Record]) -> list[LearningCurve]:
    """Return the learning curves of records, thinned so that together they have at most CURVE_POINTS points.

    The first and the last epoch are kept, the others are evenly spaced among those of the record. The epoch whose
    weights were kept is in `best`.
    """
    trained = [record for record in records if record.best_epoch is not None]
    n_points = min(max(CURVE_POINTS // max(len(trained), 1), _LEAST_POINTS), _MOST_POINTS)
    curves = ((record, record.curve) for record in trained)  # a curve is read from its line each time
    return [_learning_curve(record, curve, n_points) for record, curve in curves if curve and curve["epoch"]]


def _learning_curve(record: Record, curve: Mapping[str, Any], n_points: int) -> LearningCurve:
    """Return the curve of a record, thinned to n_points epochs. curve: as in the record, not empty."""
    points = [(int(epoch), float(loss)) for epoch, loss in zip(curve["epoch"], curve["loss"], strict=True)]
    kept = next(((epoch, loss) for epoch, loss in points if epoch == record.best_epoch), None)
    # Without the kept epoch most jobs have the same epochs, and the page can share one list of them.
    is_inside = len(points) > 2 and kept not in (points[0], points[-1])
    spaced = [point for point in points if point != kept] if is_inside else points
    indices = sorted({round(i) for i in np.linspace(0, len(spaced) - 1, min(n_points, len(spaced)))})
    epochs, losses = zip(*(spaced[i] for i in indices), strict=True)
    dataset, model, protocol, split = tables.row_of(record)
    return LearningCurve(
        dataset,
        (model, protocol, split),
        record.seed,
        epochs,
        tuple(_rounded(loss) for loss in losses),
        None if kept is None else (kept[0], _rounded(kept[1])),
    )


def _rounded(loss: float) -> float:
    """Return a loss with three significant digits."""
    return float(f"{loss:.3g}")


# ---------------------------------------------------------------------------------------------------------------------
# Predictions


@dataclass(frozen=True)
class Predictions:
    """The stored predictions of records.

    rows: those of each job, by series and dataset. left_out: the jobs and files of those that are damaged, or not those
    of their record.
    """

    rows: Mapping[tuple[Name, str], Sequence[StoredPredictions]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def predictions_by_row(records: Iterable[Record], results: Path) -> Predictions:
    """Return the stored predictions of records; those that cannot be used are named."""
    rows: dict[tuple[Name, str], list[StoredPredictions]] = defaultdict(list)
    left_out = []
    for record in records:
        dataset, model, protocol, split = tables.row_of(record)
        name = model, protocol, split
        try:
            stored = tables.stored_predictions(record, results)
        except UserError:
            file = artifacts.predictions_path(results, record.key).name
            left_out.append(f"{file} ({dataset}, {full_name(name)}, seed {record.seed})")
        else:
            if stored is not None:
                rows[name, dataset].append(stored)
    return Predictions(rows, tuple(left_out))


# ---------------------------------------------------------------------------------------------------------------------
# Material


@dataclass(frozen=True)
class Material:
    """The records of a results folder, and everything made of them that the sections of a page share."""

    records: tuple[Record, ...]  # ok, on official splits (on resamples if there are no others), by name and seed
    rows: tuple[Row, ...]  # their accuracy table
    n_resampled: int  # rows of resampled splits, which are among the columns only
    summary: tuple[Row, ...]
    failures: tuple[Row, ...]
    judgements: Mapping[tuple[str, str], verdict.Judgement]  # by model and protocol
    by_pools: Mapping[tuple[str, str], Mapping[str, verdict.Judgement]]  # the same by pools of published runs
    columns: tuple[Column, ...]  # those of the results folder, then others
    n_own_columns: int
    choice: Choice
    comparison: compare.Comparison | None
    curves: tuple[LearningCurve, ...]
    predictions: Predictions
    commands: tuple[str, ...]
    streams: tuple[LabelledStream, ...] = ()  # of dense labelling: a test stream of each dataset
    streams_left_out: tuple[str, ...] = ()  # and why others have none

    @property
    def labels_timepoints(self) -> bool:
        """Whether the records are of dense labelling, which a results folder holds alone."""
        return any(record.task is not None for record in self.records)

    @property
    def names(self) -> list[Name]:
        """The series of the charts, in the order of the tables."""
        return sorted(
            {(r["model"], r["protocol"], r["split"]) for r in self.rows}, key=lambda n: (n[2] != "official", n)
        )

    def rows_of(self, name: Name) -> list[Row]:
        """Return the rows of one series."""
        return [row for row in self.rows if (row["model"], row["protocol"], row["split"]) == name]

    def verdicts(self) -> dict[tuple[str, str, str], verdict.Verdict]:
        """Return the verdict of each (model, protocol, dataset) that has a published figure."""
        return {(*pair, v.dataset): v for pair, judgement in self.judgements.items() for v in judgement.verdicts}


def gather(
    records: Sequence[Record],
    columns: Sequence[Column],
    others: Sequence[Column] | None,
    commands: Sequence[str] = (),
    results: Path | None = None,
) -> Material:
    """Return the material of a page.

    Args:
        records: of a results folder (`store.read`).
        columns: those of the folder.
        others: the columns to compare with; None takes the published columns beside them.
        commands: those that wrote the records.
        results: the folder with their predictions; None: the page is made without them.
    """
    table = tables.accuracy(records).to_dict("records")
    rows = [row for row in table if "resample" not in row["split"]] or table
    shown = {(row["dataset"], row["model"], row["protocol"], row["split"]) for row in rows}
    ok = [r for r in tables.in_order(records) if r.is_ok and tables.row_of(r) in shown]
    others = with_unique_names(columns, published_columns(rows) if others is None else others)
    choice = choose(columns, others)
    drawn, left_out = ((), ()) if results is None else labelled_streams(ok, results)
    splits = {row["split"] for row in rows}
    return Material(
        records=tuple(ok),
        rows=tuple(rows),
        n_resampled=len(table) - len(rows),
        summary=tuple(row for row in tables.summary(records).to_dict("records") if row["split"] in splits),
        failures=tuple(tables.status(records).to_dict("records")),
        judgements=_judgements(rows),
        by_pools=_by_pools(rows),
        columns=(*columns, *others),
        n_own_columns=len(columns),
        choice=choice,
        comparison=compare.compare(choice.ranked, alpha=ALPHA) if len(choice.ranked) > 1 else None,
        curves=tuple(learning_curves(ok)),
        predictions=Predictions() if results is None else predictions_by_row(ok, results),
        commands=tuple(commands),
        streams=drawn,
        streams_left_out=left_out,
    )


def labelled_streams(records: Iterable[Record], results: Path) -> tuple[tuple[LabelledStream, ...], tuple[str, ...]]:
    """Return the first test stream of each dataset of dense labelling, and why others cannot be drawn."""
    drawn, left_out = [], []
    for group in streams.of_one_stream(records, results):
        try:
            drawn.append(streams.labelled(group, results, locate.root_folder(None)))
        except UserError as error:
            left_out.append(f"{group[0].dataset}: {error}")
    return tuple(drawn), tuple(left_out)


def _by_pools(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, verdict.Judgement]]:
    """Return the judgements on each model and protocol by pools of published runs, by the name of the pool."""
    judgements: dict[tuple[str, str], dict[str, verdict.Judgement]] = defaultdict(dict)
    for pool in published.pools():
        for pair, judgement in _judgements(tables.beside_pool(rows, pool)).items():
            judgements[pair][pool] = judgement
    return dict(judgements)


def _judgements(rows: Sequence[Row]) -> dict[tuple[str, str], verdict.Judgement]:
    """Return the judgement on each model and protocol that has published figures."""
    judgements = {}
    for pair in sorted({(row["model"], row["protocol"]) for row in rows}):
        figures = verdict.paired_accuracies(row for row in rows if (row["model"], row["protocol"]) == pair)
        if figures:
            judgements[pair] = verdict.judge(figures)
    return judgements
