"""Dense labelling: the four metrics of each row, and which row is better than which."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

from tsfcn.analysis import segmentation
from tsfcn.analysis.segmentation import METRICS, row_name
from tsfcn.common.text import counted, duration
from tsfcn.report.collect import Material
from tsfcn.report.html import Content, TableColumn
from tsfcn.report.render import fraction, interval, signed, split_texts
from tsfcn.report.sections.datasets import mark_notes
from tsfcn.report.segmentation import LEGEND, SUMMARY_LEGEND, TITLES, order_sentence, paper

Rows = list[dict[Any, Any]]


def content(material: Material) -> Content:
    """Return the content of the section: means over datasets, paired comparisons, and the rows of each dataset."""
    table = segmentation.table(material.records)
    if table.empty:
        return {"rows": []}
    comparisons = segmentation.comparisons(material.records).to_dict("records")
    return {
        "means": _means(segmentation.summary(table).to_dict("records")),
        "means_legend": SUMMARY_LEGEND,
        "order": order_sentence(table),
        "comparisons": _comparisons(comparisons) if comparisons else [],
        "rows": _rows(table.to_dict("records"), material),
        "legend": LEGEND,
        "notes": mark_notes(material),
    }


def _means(rows: Rows) -> list[TableColumn]:
    return [
        _model(rows),
        TableColumn("datasets", [str(row["n_datasets"]) for row in rows], is_numeric=True),
        *(TableColumn(TITLES[name], [fraction(row[name]) for row in rows], is_numeric=True) for name in METRICS),
        *_seconds(rows),
    ]


def _rows(rows: Rows, material: Material) -> list[TableColumn]:
    """Return the table of the datasets, with the marks that the accuracy table has."""
    names = ("dataset", "model", "protocol", "split")
    marks = {tuple(row[name] for name in names): row["marks"] for row in material.rows}
    return [
        TableColumn("dataset", [row["dataset"] for row in rows]),
        _model(rows),
        TableColumn("split", split_texts(row["split"] for row in rows)),
        *(
            TableColumn(
                TITLES[name],
                [fraction(row[name]) for row in rows],
                is_numeric=True,
                second_title="over seeds",
                second_texts=["" if math.isnan(row[f"{name}_std"]) else f"± {row[f'{name}_std']:.4f}" for row in rows],
            )
            for name in METRICS
        ),
        TableColumn("seeds", [str(row["n_seeds"]) for row in rows], is_numeric=True),
        TableColumn("median segment", [f"{row['median_segment']:.0f}" for row in rows], is_numeric=True),
        *_seconds(rows),
        TableColumn("marks", [marks[tuple(row[name] for name in names)] for row in rows]),
    ]


def _model(rows: Rows) -> TableColumn:
    protocols = [row["protocol"] for row in rows]
    models = [row["model"] for row in rows]
    return TableColumn("model", models, second_title="protocol", second_texts=protocols, is_filter=True)


def _seconds(rows: Rows) -> list[TableColumn]:
    training = [row["train_seconds"] for row in rows]
    return [
        TableColumn("training", [duration(value) for value in training], is_numeric=True, values=training),
        TableColumn("testing", [f"{row['test_seconds']:.2f} s" for row in rows], is_numeric=True),
    ]


def _comparisons(rows: Rows) -> list[TableColumn]:
    """Return a row for each pair, whose differences in the four metrics follow each other in the table."""
    pairs = [
        list(members)
        for _, members in groupby(
            rows, key=lambda row: (row["model"], row["protocol"], row["other_model"], row["other_protocol"])
        )
    ]
    first = [members[0] for members in pairs]
    return [
        TableColumn(
            "row",
            [row_name(row["model"], row["protocol"]) for row in first],
            second_title="minus",
            second_texts=[row_name(row["other_model"], row["other_protocol"]) for row in first],
        ),
        *(
            TableColumn(
                TITLES[members[0]["metric"]],
                [f"{signed(row['difference'])} {row['verdict']}" for row in members],
                is_numeric=True,
                second_title="95 % (paper)",
                second_texts=[_second_line(row) for row in members],
            )
            for members in map(list, zip(*pairs, strict=True))
        ),
        TableColumn(
            "datasets",
            [str(row["n_datasets"]) for row in first],
            is_numeric=True,
            second_title="runs",
            second_texts=[counted(row["n_pairs"], "pair") for row in first],
        ),
    ]


def _second_line(row: dict[Any, Any]) -> str:
    """Return the interval of a difference, and in brackets the difference in the paper, as far as there are any."""
    return " ".join(filter(None, (interval(row["low"], row["high"]), f"({paper(row)})" if paper(row) else "")))
