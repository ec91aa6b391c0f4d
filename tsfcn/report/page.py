"""The page of a results folder: tables, tests, charts and their data in one HTML file that loads nothing.

    tsfcn report [RESULTS] [COLUMN ...] [--out FILE]

Every number comes from the records, the stored predictions and tsfcn.analysis, which the other commands print as well.
COLUMN adds columns of other people's results and of papers to ranks, pairs and scatter, as `tsfcn compare` names them;
without any, the published column beside each of ours is added. The same records and predictions give the same bytes:
the page contains neither the time of its creation nor a path. docs/report.md explains how to read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tsfcn.analysis import score_columns, tables
from tsfcn.analysis.columns import Cell, Column
from tsfcn.common.errors import UserError
from tsfcn.jobs import store
from tsfcn.jobs.record import Record
from tsfcn.report.collect import Material, full_name, gather
from tsfcn.report.html import FIRST_LINE, Section, document
from tsfcn.report.provenance import outline
from tsfcn.report.sections import (
    curves,
    datasets,
    diagnosis,
    failures,
    headline,
    pairs,
    provenance,
    ranks,
    scatter,
    seeds,
    segmentation,
    selection,
    streams,
    time,
)
from tsfcn.report.sections.texts import marked_name
from tsfcn.report.svg import cleaned

SECTIONS = (  # anchor, title and content, in the order of the page
    ("headline", "Headline", headline.content),
    ("datasets", "Datasets", datasets.content),
    ("ranks", "Critical differences", ranks.content),
    ("pairs", "Pairs", pairs.content),
    ("scatter", "Two columns", scatter.content),
    ("time", "Accuracy and time", time.content),
    ("selection", "Selection", selection.content),
    ("seeds", "Seed noise", seeds.content),
    ("curves", "Learning curves", curves.content),
    ("diagnosis", "Classes and calibration", diagnosis.content),
    ("failures", "Failures", failures.content),
    ("provenance", "Provenance", provenance.content),
)
SHARED = ("time", "seeds", "curves", "diagnosis", "failures", "provenance")
STREAM_SECTIONS = (  # of dense labelling
    ("segmentation", "Dense labelling", segmentation.content),
    ("streams", "Test streams", streams.content),
    *(section for section in SECTIONS if section[0] in SHARED),
)


def page(material: Material) -> str:
    """Return the page as HTML; a section whose content is None is omitted."""
    n_datasets = len({row["dataset"] for row in material.rows})
    summary = outline(material.records, (row["status"] for row in material.failures), n_datasets)
    chosen = STREAM_SECTIONS if material.labels_timepoints else SECTIONS
    contents = [(ident, title, content(material)) for ident, title, content in chosen]
    sections = [Section(ident, title, content) for ident, title, content in contents if content is not None]
    return document(summary, sections, _script_data(material))


def _script_data(material: Material) -> dict[str, Any]:
    """Return what page.js draws from when another pair of columns or another curve is chosen."""
    return {**_columns_data(material.columns), **_curves_data(material)}


def _columns_data(columns: Sequence[Column]) -> dict[str, Any]:
    """Return the accuracies of each column, and the sentence on each pair (x, y) of columns."""
    places = sorted({place for column in columns for place in column.cells})
    index = {place: i for i, place in enumerate(places)}
    return {
        "places": [[cleaned(place.dataset), cleaned(place.split)] for place in places],
        "columns": [
            {
                "name": cleaned(marked_name(column)),
                "cells": {str(index[place]): _cell_data(column.cells[place]) for place in sorted(column.cells)},
            }
            for column in columns
        ],
        "summaries": {
            f"{i},{j}": cleaned(scatter.side_by_side(x, y))
            for i, x in enumerate(columns)
            for j, y in enumerate(columns)
            if i != j
        },
    }


def _cell_data(cell: Cell) -> list[float]:
    """Return the accuracy and, where it is known, the deviation."""
    return [round(cell.accuracy, 6), *([round(cell.std, 6)] if cell.std else [])]


def _curves_data(material: Material) -> dict[str, Any]:
    """Return the learning curves; jobs with the same epochs share one list of them."""
    curves = material.curves
    epochs = list(dict.fromkeys(curve.epochs for curve in curves))
    index = {each: i for i, each in enumerate(epochs)}
    names, datasets = list(dict.fromkeys(c.name for c in curves)), sorted({c.dataset for c in curves})
    return {
        "datasets": [cleaned(dataset) for dataset in datasets],
        "names": [cleaned(full_name(name)) for name in names],
        "epochs": epochs,
        "curves": [
            [datasets.index(c.dataset), names.index(c.name), c.seed, index[c.epochs], c.losses, c.best] for c in curves
        ],
    }


def report(results: Path, columns: Sequence[str] = (), records: Sequence[Record] | None = None) -> str:
    """Return the page of a results folder as HTML.

    Args:
        results: the folder.
        records: those of the folder with their curves, where they have been read already.
        columns: what to compare with (see `score_columns.read`); without any, the published columns beside ours.

    Raises:
        UserError: there are no records, they mix experiments under one name, a column is not known, or predictions are
            not those of their record.
    """
    records = tables.read(results) if records is None else records
    labels_timepoints = any(record.task is not None for record in records)
    if columns and labels_timepoints:
        raise UserError(f"column '{columns[0]}' is of classified cases, and '{results}' of timepoints: leave it out")
    is_ranked = any(r.is_ok for r in records) and not labels_timepoints
    own_columns = score_columns.read([str(results)]) if is_ranked else []
    others = score_columns.read(columns) if columns else None
    commands = [line.strip() for line in store.read_commands(results) if line.strip()]
    return page(gather(records, own_columns, others, commands, results))


def check(path: Path) -> None:
    """Raise UserError if `path` is a folder, or a file that `tsfcn report` did not write and would replace."""
    if path.is_dir():
        raise UserError(f"'{path}' is a folder: name a file to write, as {path / 'report.html'}")
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(FIRST_LINE.encode())) != FIRST_LINE.encode():
                raise UserError(f"'{path}' is not a report of tsfcn's and would be replaced: write to another --out")
