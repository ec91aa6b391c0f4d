"""What a report is made of: rows and verdicts, the columns that can be ranked together, learning curves.

Nothing is computed here that tsfcn.analysis does not compute: this is the choice of what to
show.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tsfcn.analysis import compare, score_columns, tables, verdict
from tsfcn.analysis.columns import Column, Place
from tsfcn.analysis.marks import TEST_SELECTED
from tsfcn.common.errors import UserError
from tsfcn.data import published
from tsfcn.jobs.record import Record

CURVE_POINTS = 90_000  # of all learning curves together: what a page can hold
ALPHA = 0.05

Row = Mapping[Any, Any]  # of an accuracy table
Name = tuple[str, str, str]  # model, protocol, split: what one line of a chart stands for


def called(name: Name) -> str:
    """Return the name of a line as charts and texts have it."""
    model, protocol, split = name
    return f"{model} ({protocol})" + ("" if split == "official" else f", {split}")


def count(n: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count(1, "dataset"), count(3, "dataset")
    ('1 dataset', '3 datasets')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


# ---------------------------------------------------------------------------------------------------------------------
# What is compared


@dataclass(frozen=True)
class Choice:
    """Which columns are ranked, and why the others are not."""

    ranked: tuple[Column, ...]
    left_out: tuple[tuple[str, str], ...]  # name, why


def needed(n_columns: int, alpha: float = ALPHA) -> int:
    """Return the fewest datasets with which two of so many columns could be shown to differ (signed ranks, Holm).

    The least p of m datasets is 2^(1 - m), and the first step of Holm multiplies it by the number of pairs.

    >>> needed(2), needed(3), needed(6)
    (6, 7, 10)
    """
    m = 1
    while 2.0 ** (1 - m) * n_columns * (n_columns - 1) / 2 >= alpha:
        m += 1
    return m


def choose(ours: Sequence[Column], others: Sequence[Column]) -> Choice:
    """Return the columns that are ranked together: ours before others, those with many datasets before those with few.

    A column is taken if the datasets that all have in common do not become fewer, or stay enough to show a difference
    (`needed`). Columns that were selected on the test set are never ranked.
    """
    taken: list[Column] = []
    common: set[Place] = set()
    left_out = []
    for column in [c for group in (ours, others) for c in sorted(group, key=lambda c: (-len(c.cells), c.name))]:
        if TEST_SELECTED in column.marks:
            left_out.append((column.name, f"{TEST_SELECTED}: it would win by that"))
            continue
        shared = common & set(column.cells) if taken else set(column.cells)
        enough = needed(len(taken) + 1) if taken else 1
        left = len({place.dataset for place in shared})
        if taken and left < min(enough, len({place.dataset for place in common})):
            remaining = count(left, "dataset") if left else "no dataset"
            left_out.append(
                (column.name, f"it would leave {remaining} in common, {enough} are needed to show a difference")
            )
            continue
        if shared:
            taken.append(column)
            common = shared
    order = {column.name: i for i, column in enumerate([*ours, *others])}
    return Choice(tuple(sorted(taken, key=lambda c: order[c.name])), tuple(left_out))


def beside(rows: Iterable[Row]) -> list[Column]:
    """Return the published column beside each of ours in an accuracy table: that of its source with most datasets."""
    sources_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row["published_source"]:
            sources_of[row["model"], row["protocol"]].add(row["published_source"])
    known = published.sources()
    pairs = {
        (max(sorted(sources), key=lambda source: known[source].n_datasets), model)
        for (model, _), sources in sources_of.items()
    }
    return score_columns.read(f"{score_columns.PUBLISHED}{source}/{model}" for source, model in sorted(pairs))


def named_apart(ours: Sequence[Column], others: Sequence[Column]) -> list[Column]:
    """Return the other columns, with the name of their file before their own where ours has the same; no paths."""
    known = {column.name for column in ours}
    renamed = []
    for column in others:
        name = column.name.removeprefix(f"{column.origin}:")
        if name in known:
            name = f"{Path(column.origin).name or 'other'}: {name}"
        if name in known:
            raise UserError(f"column '{name}' is named twice: name each once")
        known.add(name)
        renamed.append(replace(column, name=name))
    return renamed


# ---------------------------------------------------------------------------------------------------------------------
# Learning curves


@dataclass(frozen=True)
class Trained:
    """One job's learning curve as the page holds it."""

    dataset: str
    name: Name
    seed: int
    epochs: tuple[int, ...]
    losses: tuple[float, ...]
    best: tuple[int, float] | None


def trained(records: Sequence[Record]) -> list[Trained]:
    """Return the learning curves of records, each of so few of its epochs that all fit into CURVE_POINTS.

    The first and the last epoch stay, the others are evenly spread over those of the record; where its weights were
    kept is beside them.
    """
    with_curve = [(record, record.curve) for record in records if record.curve and record.curve["epoch"]]
    n_points = min(max(CURVE_POINTS // max(len(with_curve), 1), 12), 60)
    curves = []
    for record, curve in with_curve:
        best = record.best_epoch
        pairs = [(int(epoch), float(loss)) for epoch, loss in zip(curve["epoch"], curve["loss"], strict=True)]
        kept = next(((epoch, loss) for epoch, loss in pairs if epoch == best), None)
        # Without the epoch that was kept the epochs are mostly those of other jobs, which then share one list of them.
        even = (
            [pair for pair in pairs if pair != kept] if len(pairs) > 2 and kept not in (pairs[0], pairs[-1]) else pairs
        )
        places = sorted({round(i) for i in np.linspace(0, len(even) - 1, min(n_points, len(even)))})
        if not places:
            continue
        epochs, losses = zip(*(even[i] for i in places), strict=True)
        dataset, model, protocol, split = tables.row_of(record)
        short = tuple(float(f"{loss:.3g}") for loss in losses)
        mark = None if kept is None else (kept[0], float(f"{kept[1]:.3g}"))
        curves.append(Trained(dataset, (model, protocol, split), record.seed, tuple(epochs), short, mark))
    return curves


# ---------------------------------------------------------------------------------------------------------------------
# What a page shows


@dataclass(frozen=True)
class Material:
    """The records, and everything that was made of them once and is shown in several places."""

    done: tuple[Record, ...]  # the ok records on given splits (all, where there are only resamples), by name and seed
    rows: tuple[Row, ...]  # their accuracy table
    n_resampled: int  # rows of resampled splits, which are in the compared columns only
    summary: tuple[Row, ...]
    failures: tuple[Row, ...]
    judged: Mapping[tuple[str, str], verdict.Judgement]
    columns: tuple[Column, ...]  # ours, then others
    n_ours: int
    choice: Choice
    comparison: compare.Comparison | None
    curves: tuple[Trained, ...]
    commands: tuple[str, ...]

    @property
    def names(self) -> list[Name]:
        """The lines of the charts, in the order of the tables."""
        return sorted(
            {(r["model"], r["protocol"], r["split"]) for r in self.rows}, key=lambda n: (n[2] != "official", n)
        )

    def of(self, name: Name) -> list[Row]:
        """Return the rows of one line."""
        return [row for row in self.rows if (row["model"], row["protocol"], row["split"]) == name]

    def verdicts(self) -> dict[tuple[str, str, str], verdict.Verdict]:
        """Return the verdict of each (model, protocol, dataset) that has a published figure."""
        return {(*pair, v.dataset): v for pair, judged in self.judged.items() for v in judged.verdicts}


def gather(
    records: Sequence[Record], ours: Sequence[Column], others: Sequence[Column] | None, commands: Sequence[str] = ()
) -> Material:
    """Return what a page is made of.

    records: of a results folder (`store.read`); ours: its columns; others: what to compare with, or None for the
    published columns that stand beside ours.
    """
    frame = tables.accuracy(records).to_dict("records")
    rows = [row for row in frame if "resample" not in row["split"]] or frame
    kept = {(row["dataset"], row["model"], row["protocol"], row["split"]) for row in rows}
    done = [r for r in tables.in_order(records) if r.is_ok and tables.row_of(r) in kept]
    pairs = sorted({(row["model"], row["protocol"]) for row in rows})
    judged = {}
    for pair in pairs:
        figures = verdict.paired_accuracies(row for row in rows if (row["model"], row["protocol"]) == pair)
        if figures:
            judged[pair] = verdict.judge(figures)
    others = named_apart(ours, beside(rows) if others is None else others)
    choice = choose(ours, others)
    summary = tables.summary(records).to_dict("records")
    splits = {row["split"] for row in rows}
    return Material(
        done=tuple(done),
        rows=tuple(rows),
        n_resampled=len(frame) - len(rows),
        summary=tuple(row for row in summary if row["split"] in splits),
        failures=tuple(tables.status(records).to_dict("records")),
        judged=judged,
        columns=(*ours, *others),
        n_ours=len(ours),
        choice=choice,
        comparison=compare.compare(choice.ranked, alpha=ALPHA) if len(choice.ranked) > 1 else None,
        curves=tuple(trained(done)),
        commands=tuple(commands),
    )
