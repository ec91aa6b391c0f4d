"""Accuracy and time: the accuracy of each dataset against the training time of a job."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tsfcn.common.text import counted, duration
from tsfcn.report.charts.time import Cloud, against_seconds
from tsfcn.report.collect import Material, Name, full_name
from tsfcn.report.html import Chart, Content, csv_text
from tsfcn.report.provenance import NOT_RECORDED
from tsfcn.report.render import PROCESSOR_TIME
from tsfcn.report.svg import Label

_MOST_MACHINES = 6  # that are named

PerDataset = Mapping[str, tuple[float, float]]  # seconds of a job and mean accuracy, by dataset


def content(material: Material) -> Content | None:
    """Return the content of the section: means over the common datasets, what the seconds are, and the chart."""
    if not material.rows:
        return None
    values = {
        name: {r["dataset"]: (r["train_seconds"] / r["n_seeds"], r["mean"]) for r in material.rows_of(name)}
        for name in material.names
    }
    common = sorted(set.intersection(*(set(per_dataset) for per_dataset in values.values())))
    clouds = [_cloud(name, per_dataset, common) for name, per_dataset in values.items()]
    summary = _summary(clouds, len(common))
    svg = against_seconds(Label("c-time", "Accuracy against seconds of training", summary), clouds)
    rows = [
        (r["dataset"], r["model"], r["protocol"], r["split"], r["train_seconds"] / r["n_seeds"], float(r["mean"]))
        for r in material.rows
    ]
    data = csv_text(["dataset", "model", "protocol", "split", "seconds_a_job", "accuracy"], rows)
    return {"summary": summary, "devices": _devices(material), "chart": Chart(svg, data)}


def _cloud(name: Name, per_dataset: PerDataset, common: list[str]) -> Cloud:
    """Return the series of one model, with its mean over the common datasets."""
    points = [
        (seconds, mean, f"{name[0]} on {dataset}: {mean:.4f}, {seconds:.1f} s")
        for dataset, (seconds, mean) in per_dataset.items()
    ]
    seconds, accuracy = (float(np.mean([per_dataset[d][i] for d in common])) if common else 0.0 for i in (0, 1))
    return Cloud(full_name(name), points, (seconds, accuracy) if common else None)


def _summary(clouds: list[Cloud], n_common: int) -> str:
    if not n_common:
        return "No dataset is common to all, so that there are no means to compare."
    means = [
        f"{cloud.name}: {duration(cloud.centre[0])} a job, mean accuracy {cloud.centre[1]:.4f}"
        for cloud in clouds
        if cloud.centre is not None
    ]
    return f"Means over the {counted(n_common, 'dataset')} that all have: {'; '.join(means)}."


def _devices(material: Material) -> str:
    """Return which time the seconds are, and on which machines."""
    machines = sorted({record.hardware or NOT_RECORDED for record in material.records})
    named = f"on {'; '.join(machines[:_MOST_MACHINES])}"
    if any(record.has_processor_seconds() for record in material.records):
        return f"Seconds, {named}, are {PROCESSOR_TIME}."
    return f"Seconds are wall-clock time {named}. A job may have shared its processor with others."
