"""Headline: one row for each model and protocol, and the verdict on its typical difference to the published figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tsfcn.analysis import stats, verdict
from tsfcn.analysis.marks import MEANINGS, TEST_SELECTED
from tsfcn.common.text import counted, duration
from tsfcn.report import render
from tsfcn.report.collect import Material, Name, Row, full_name
from tsfcn.report.html import Content, TableColumn
from tsfcn.report.render import fraction, signed, split_texts
from tsfcn.report.sections.texts import interval

_NAN = float("nan")


@dataclass(frozen=True)
class _Line:
    """A row of the summary beside the published figures of its datasets; NaN where there are none."""

    name: Name
    row: Row
    interval: str  # 95 %, of the mean accuracy over datasets
    judgement: verdict.Judgement | None = None
    by_pools: Mapping[str, verdict.Judgement] = field(default_factory=dict)
    published: float = _NAN  # mean over the datasets that have a published figure
    difference: float = _NAN  # its mean, ours minus published
    difference_interval: str = ""  # 95 %, over datasets

    @property
    def n_published(self) -> int:
        """The number of datasets with a published figure."""
        return 0 if self.judgement is None else len(self.judgement.verdicts)

    @property
    def verdict(self) -> str:
        """The verdict on the typical difference, in words."""
        return "" if self.judgement is None else self.judgement.typical.text

    @property
    def pool_verdicts(self) -> str:
        """The same by each pool of published runs."""
        return ", ".join(judgement.typical.text for judgement in self.by_pools.values())

    @property
    def typical_difference(self) -> str:
        """The typical difference, ours minus published."""
        return "" if self.judgement is None else signed(self.judgement.typical.difference)

    @property
    def typical_interval(self) -> str:
        """The 90 % interval of the typical difference."""
        typical = None if self.judgement is None else self.judgement.typical
        return "" if typical is None else render.interval(typical.low, typical.high)

    @property
    def verdict_counts(self) -> str:
        """How many datasets have each verdict."""
        counts = {} if self.judgement is None else self.judgement.counts
        return ", ".join(f"{n} {word}" for word, n in counts.items())


def content(material: Material) -> Content:
    """Return the content of the section: the results as sentences and as a table."""
    if not material.rows:
        return {"rows": []}
    lines = _lines(material)
    return {
        "results": [_sentence(line) for line in lines],
        "rows": _table(lines),
        "pools": ", ".join(dict.fromkeys(pool for line in lines for pool in line.by_pools)),
        "has_ranks": any(not math.isnan(line.row["mean_rank"]) for line in lines),
        "resampled": counted(material.n_resampled, "row") if material.n_resampled else "",
    }


def _lines(material: Material) -> list[_Line]:
    """Return the lines, those of the official split first; a model and protocol is judged once."""
    order = sorted(material.summary, key=lambda r: (r["split"] != "official", r["split"], r["model"], r["protocol"]))
    lines: list[_Line] = []
    for row in order:
        name = (row["model"], row["protocol"], row["split"])
        is_first = name[:2] not in {line.name[:2] for line in lines}
        lines.append(_line(material, row, name, material.judgements.get(name[:2]) if is_first else None))
    return lines


def _line(material: Material, row: Row, name: Name, judgement: verdict.Judgement | None) -> _Line:
    """Return one line.

    Args:
        material: of the page.
        row: of the summary.
        name: of the row.
        judgement: on its model and protocol, if there is one.
    """
    mean_interval = interval(*stats.mean_interval(np.array([r["mean"] for r in material.rows_of(name)])))
    if judgement is None:
        return _Line(name, row, mean_interval)
    rows = [r for r in material.rows if (r["model"], r["protocol"]) == name[:2] and r["published_source"]]
    differences = np.array([r["difference"] for r in rows])
    return _Line(
        name,
        row,
        mean_interval,
        judgement,
        material.by_pools.get(name[:2], {}),
        published=float(np.mean([r["published"] for r in rows])),
        difference=float(differences.mean()),
        difference_interval=render.interval(*stats.mean_interval(differences)),
    )


def _sentence(line: _Line) -> str:
    row = line.row
    text = f"{full_name(line.name)}: mean accuracy {fraction(row['mean_accuracy'])} on "
    text += counted(row["n_datasets"], "dataset")
    text += f", 95 % interval over datasets {line.interval}" if line.interval else ""
    if line.judgement is not None:
        text += (
            f". Published: {fraction(line.published)} on {line.n_published} of them, ours minus published "
            f"{signed(line.difference)} on average, typically {line.typical_difference}: {line.verdict}"
        )
        far = line.judgement.named(verdict.DIFFERENT, verdict.OUTSIDE)
        text += f"; these differ by themselves: {', '.join(far)}" if far else ""
    if TEST_SELECTED in row["marks"]:
        text += f". {TEST_SELECTED}: {MEANINGS[TEST_SELECTED]}"
    return f"{text}."


def _table(lines: list[_Line]) -> list[TableColumn]:
    rows = [line.row for line in lines]
    return [
        TableColumn(
            "model",
            [row["model"] for row in rows],
            second_title="protocol",
            second_texts=[row["protocol"] for row in rows],
        ),
        TableColumn("split", split_texts(row["split"] for row in rows)),
        TableColumn(
            "datasets",
            [str(row["n_datasets"]) for row in rows],
            is_numeric=True,
            second_title="jobs",
            second_texts=[counted(row["n_jobs"], "job") for row in rows],
        ),
        TableColumn(
            "mean accuracy",
            [fraction(row["mean_accuracy"]) for row in rows],
            is_numeric=True,
            second_title="95 % over datasets",
            second_texts=[line.interval for line in lines],
        ),
        *_published_columns(lines),
        *_common_columns(rows),
        TableColumn("MPCE", [fraction(row["mpce"]) for row in rows], is_numeric=True),
        TableColumn(
            "time",
            [duration(row["total_seconds"]) for row in rows],
            is_numeric=True,
            values=[row["total_seconds"] for row in rows],
        ),
        TableColumn("marks", [row["marks"] for row in rows]),
    ]


def _published_columns(lines: list[_Line]) -> list[TableColumn]:
    return [
        TableColumn(
            "published",
            [fraction(line.published) for line in lines],
            is_numeric=True,
            second_title="on",
            second_texts=[counted(line.n_published, "dataset") if line.n_published else "" for line in lines],
        ),
        TableColumn(
            "mean difference",
            [signed(line.difference) for line in lines],
            is_numeric=True,
            second_title="95 % over datasets",
            second_texts=[line.difference_interval for line in lines],
        ),
        TableColumn(
            "typical difference",
            [line.typical_difference for line in lines],
            is_numeric=True,
            second_title="90 %",
            second_texts=[line.typical_interval for line in lines],
        ),
        TableColumn(
            "verdict",
            [line.verdict for line in lines],
            second_title="by pooled runs",
            second_texts=[line.pool_verdicts for line in lines],
        ),
        TableColumn("datasets by verdict", [line.verdict_counts for line in lines]),
    ]


def _common_columns(rows: list[Row]) -> list[TableColumn]:
    """Return the columns over the datasets that all rows have; the mean is omitted if these are all datasets."""
    same = all(row["n_common"] == row["n_datasets"] for row in rows)
    return [
        TableColumn(
            "on common",
            ["" if same else fraction(row["mean_accuracy_common"]) for row in rows],
            is_numeric=True,
            second_title="on",
            second_texts=["" if same or not row["n_common"] else counted(row["n_common"], "dataset") for row in rows],
        ),
        TableColumn(
            "mean rank",
            [fraction(row["mean_rank"]) for row in rows],
            is_numeric=True,
            second_title="wins",
            second_texts=[_wins(row["wins"]) for row in rows],
        ),
    ]


def _wins(value: Any) -> str:
    return "" if pd.isna(value) else counted(int(value), "win")
