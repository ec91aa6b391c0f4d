"""Datasets: the accuracy table with published figures and verdicts."""

from __future__ import annotations

import math

from tsfcn.analysis import verdict
from tsfcn.analysis.marks import CHANGED, MEANINGS
from tsfcn.common.text import duration, listed
from tsfcn.data import published
from tsfcn.report.collect import Material, Row
from tsfcn.report.html import Content, TableColumn
from tsfcn.report.render import PROCESSOR_TIME, datasets_by_note, fraction, interval, signed, split_texts


def content(material: Material) -> Content | None:
    """Return the content of the section: the table and the notes below it. None without rows."""
    if not material.rows:
        return None
    verdicts = material.verdicts()
    row_verdicts = [
        verdicts.get((row["model"], row["protocol"], row["dataset"])) if row["published_source"] else None
        for row in material.rows
    ]
    notes = [*_source_notes(material), *mark_notes(material)]
    if any(record.has_processor_seconds() for record in material.records):
        notes.append(f"training: {PROCESSOR_TIME}.")
    if material.judgements:
        notes.append(
            "Verdicts: equivalent (the means differ by less than 0.02 or one test case, and there are enough runs to "
            "say so), different, undecided (the stated number of further seeds would decide), undecidable (there are "
            "too few published runs). Against a single published run: inside or outside of what our seeds predict."
        )
    return {"rows": _table(list(material.rows), row_verdicts), "notes": notes}


def _table(rows: list[Row], verdicts: list[verdict.Verdict | None]) -> list[TableColumn]:
    return [
        TableColumn("dataset", [row["dataset"] for row in rows]),
        TableColumn(
            "model",
            [row["model"] for row in rows],
            second_title="protocol",
            second_texts=[row["protocol"] for row in rows],
            is_filter=True,
        ),
        TableColumn("split", split_texts(row["split"] for row in rows)),
        TableColumn(
            "accuracy",
            [fraction(row["mean"]) for row in rows],
            is_numeric=True,
            second_title="over seeds",
            second_texts=["" if math.isnan(row["std"]) else f"± {row['std']:.4f}" for row in rows],
        ),
        TableColumn("seeds", [str(row["n_seeds"]) for row in rows], is_numeric=True),
        *_published_columns(rows, verdicts),
        TableColumn("last weights", [fraction(row["last"]) for row in rows], is_numeric=True),
        TableColumn("held-out", [fraction(row["selected"]) for row in rows], is_numeric=True),
        TableColumn(
            "training",
            [duration(row["train_seconds"]) for row in rows],
            is_numeric=True,
            values=[row["train_seconds"] for row in rows],
        ),
        TableColumn("marks", [row["marks"] for row in rows]),
    ]


def _published_columns(rows: list[Row], verdicts: list[verdict.Verdict | None]) -> list[TableColumn]:
    return [
        TableColumn(
            "published",
            [fraction(row["published"]) + (" *" if row["published_note"] else "") for row in rows],
            is_numeric=True,
            second_title="over runs",
            second_texts=[_published_runs(row) for row in rows],
        ),
        TableColumn(
            "difference",
            [signed(row["difference"]) for row in rows],
            is_numeric=True,
            second_title="90 % over seeds",
            second_texts=["" if v is None else interval(v.low, v.high) for v in verdicts],
        ),
        TableColumn(
            "verdict",
            ["" if v is None else v.word for v in verdicts],
            second_title="what is missing",
            second_texts=["" if v is None else v.text.removeprefix(v.word).lstrip(",: ") for v in verdicts],
            is_filter=True,
        ),
    ]


def _published_runs(row: Row) -> str:
    """Return the deviation of the published figure over its runs, or how many there are."""
    if not row["published_source"]:
        return ""
    if int(row["published_runs"]) == 1:
        return "single run"
    std = row["published_std"]
    return "several runs" if math.isnan(std) else f"± {std:.4f}"


def _source_notes(material: Material) -> list[str]:
    """Return the notes on the published figures: their sources, and what is special about single figures."""
    sources = published.sources()
    used = sorted({(r["published_source"], int(r["published_runs"])) for r in material.rows if r["published_source"]})
    notes = [
        f"published: {source}, {'a single run' if n == 1 else f'mean of {n} runs'} on the same split "
        f"({sources[source].paper}). Difference: ours minus published."
        for source, n in used
    ]
    return notes + [
        f"*: published figure of {listed(names)} ({note})."
        for note, names in sorted(datasets_by_note(material.rows).items())
    ]


def mark_notes(material: Material) -> list[str]:
    """Return the meaning of each mark that occurs."""
    rows = material.rows
    notes = [f"{mark}: {text}." for mark, text in MEANINGS.items() if any(mark in row["marks"] for row in rows)]
    return notes + ([f"[...]: {CHANGED}."] if any("[" in row["model"] + row["protocol"] for row in rows) else [])
