"""Seed noise: how much the accuracy of a dataset varies over seeds."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from tsfcn.analysis import tables
from tsfcn.common.text import counted
from tsfcn.jobs.record import Record
from tsfcn.report.charts.seeds import Strip, strips
from tsfcn.report.collect import Material, Name, Row, full_name
from tsfcn.report.html import Chart, Content, csv_text
from tsfcn.report.svg import Label


def content(material: Material) -> Content | None:
    """Return the content of the section: a chart for each model with several seeds, and which have a single one."""
    records: dict[Name, dict[str, list[Record]]] = {name: defaultdict(list) for name in material.names}
    for record in material.records:
        dataset, model, protocol, split = tables.row_of(record)
        records[model, protocol, split][dataset].append(record)
    charts: list[tuple[str, Chart]] = []
    single_seed = []
    for n, (name, by_dataset) in enumerate(records.items()):
        rows = {row["dataset"]: row for row in material.rows_of(name)}
        several = sorted(
            (d for d in by_dataset if len(by_dataset[d]) > 1), key=lambda d: (-round(rows[d]["std"], 10), d)
        )
        if several:
            noisiest_first = {d: (rows[d], by_dataset[d]) for d in several}
            charts.append(_chart(f"c-seeds-{n}", name, noisiest_first, len(by_dataset) - len(several)))
        else:
            single_seed.append(full_name(name))
    return {"charts": charts, "single_seed": single_seed} if material.names else None


def _chart(ident: str, name: Name, datasets: dict[str, tuple[Row, list[Record]]], n_single: int) -> tuple[str, Chart]:
    """Return the summary and the chart of one model.

    Args:
        ident: id of the chart.
        name: of the model.
        datasets: row and records of each dataset with several seeds, the noisiest first.
        n_single: the number of datasets with a single seed.
    """
    stds = np.array([row["std"] for row, _ in datasets.values()])
    n_datasets, noisiest = counted(len(datasets), "dataset"), next(iter(datasets))
    summary = (
        f"{full_name(name)}: the standard deviation over seeds is {np.median(stds):.4f} at the median of {n_datasets} "
        f"with several seeds, and {stds.max():.4f} at most ({noisiest})."
    )
    if n_single:
        summary += f" {counted(n_single, 'dataset')} with a single seed: their noise is not known."
    label = Label(ident, f"Seed noise of {full_name(name)}", summary)
    svg = strips(label, [_strip(dataset, *values) for dataset, values in datasets.items()])
    rows = [(d, r.seed, r.accuracy) for d, (_, records) in datasets.items() for r in records]
    return summary, Chart(svg, csv_text(["dataset", "seed", "accuracy"], rows))


def _strip(dataset: str, row: Row, records: list[Record]) -> Strip:
    published = None if math.isnan(row["published"]) else row["published"] - row["mean"]
    std = None if math.isnan(row["published_std"]) else row["published_std"]
    return Strip(dataset, [record.accuracy - row["mean"] for record in records], published, std)
