"""Classes and calibration: confusions, recall and precision by class, and how far probabilities can be trusted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tsfcn.analysis import tables
from tsfcn.analysis.diagnosis import Diagnosis, Reliability, StoredPredictions, diagnose, joined, reliability
from tsfcn.common.text import listed
from tsfcn.report.charts.reliability import ReliabilityCurve, reliability_chart
from tsfcn.report.collect import Material, Name, full_name
from tsfcn.report.html import Chart, Content, TableColumn, csv_text
from tsfcn.report.render import fraction
from tsfcn.report.svg import Label

N_HARDEST = 25  # classes in the table
N_MATRICES = 12  # confusion matrices
MAX_CLASSES = 12  # of a confusion matrix
N_LEFT_OUT = 3  # files that are named


@dataclass(frozen=True, eq=False)
class RowDiagnosis:
    """The diagnosis of one dataset and series over the cases of all seeds, and the mean calibration error of a job."""

    name: Name
    dataset: str
    diagnosis: Diagnosis
    calibration_error: float

    @property
    def accuracy(self) -> float:
        """The share of cases that is predicted right."""
        confusion = self.diagnosis.confusion
        return float(np.trace(confusion) / confusion.sum())


def content(material: Material) -> Content:
    """Return the content of the section, which says so if no predictions are stored."""
    left_out = material.predictions.left_out
    unit = "timepoints" if material.labels_timepoints else "cases"
    basics = {"unit": unit, "n_left_out": len(left_out), "left_out": listed(left_out, N_LEFT_OUT)}
    if not material.predictions.rows:
        return {"n_rows": 0, **basics}
    rows = [row_diagnosis(name, dataset, jobs) for (name, dataset), jobs in material.predictions.rows.items()]
    pooled = pooled_reliability(material)
    worst = sorted((row for row in rows if row.accuracy < 1), key=lambda row: (row.accuracy, row.dataset, row.name))
    small = [row for row in worst if len(row.diagnosis.classes) <= MAX_CLASSES]
    return {
        **basics,
        "n_rows": len(rows),
        "n_without": len(material.rows) - len(rows),
        "calibration": calibration_table(rows, pooled, unit),
        "chart": chart(pooled, unit),
        "hardest": hardest_classes(rows, unit),
        "matrices": [matrix(i, row) for i, row in enumerate(small[:N_MATRICES])],
    }


def row_diagnosis(name: Name, dataset: str, jobs: Sequence[StoredPredictions]) -> RowDiagnosis:
    """Return the diagnosis of the jobs of one dataset and series."""
    errors = [tables.score("ece", job.probabilities, job.y_true, job.y_pred) for job in jobs]
    return RowDiagnosis(name, dataset, diagnose(joined(jobs)), float(np.mean(errors)))


def pooled_reliability(material: Material) -> dict[Name, Reliability]:
    """Return the reliability of each series over the cases of all its datasets and seeds."""
    parts = defaultdict(list)
    for (name, _), jobs in material.predictions.rows.items():
        stored = joined(jobs)
        confidence = stored.probabilities[np.arange(len(stored.y_pred)), stored.y_pred]
        parts[name].append((confidence, stored.y_true == stored.y_pred))
    pooled = {}
    for name, each in parts.items():
        confidence, is_right = (np.concatenate(columns) for columns in zip(*each, strict=True))
        predicted = np.zeros(len(is_right), dtype=np.int64)
        pooled[name] = reliability(confidence[:, None], np.where(is_right, 0, 1), predicted)
    return pooled


def calibration_table(
    rows: Sequence[RowDiagnosis], pooled: Mapping[Name, Reliability], unit: str = "cases"
) -> list[TableColumn]:
    """Return a row for each series: datasets, cases, accuracy, confidence, and the mean of their calibration errors.

    unit: what is classified.
    """
    errors = {name: [row.calibration_error for row in rows if row.name == name] for name in pooled}
    curves = list(pooled.values())
    accuracies = [float(np.average(curve.accuracy, weights=curve.n_cases)) for curve in curves]
    confidences = [float(np.average(curve.confidence, weights=curve.n_cases)) for curve in curves]
    return [
        TableColumn("model", list(map(full_name, pooled))),
        TableColumn("datasets", [str(len(each)) for each in errors.values()], is_numeric=True),
        TableColumn(unit, [str(int(curve.n_cases.sum())) for curve in curves], is_numeric=True),
        TableColumn(f"accuracy of {unit}", list(map(fraction, accuracies)), is_numeric=True),
        TableColumn("mean confidence", list(map(fraction, confidences)), is_numeric=True),
        TableColumn("mean calibration error", [fraction(np.mean(each)) for each in errors.values()], is_numeric=True),
    ]


def chart(pooled: Mapping[Name, Reliability], unit: str = "cases") -> Chart:
    """Return the reliability curves of all series. unit: what is classified."""
    curves = [
        ReliabilityCurve(full_name(name), each.confidence.tolist(), each.accuracy.tolist(), each.n_cases.tolist())
        for name, each in pooled.items()
    ]
    description = f"Accuracy against confidence in bins of equal width, for each model over all {unit}."
    svg = reliability_chart(Label("c-reliability", "Reliability", description), curves, unit)
    data = [
        (curve.name, *values)
        for curve in curves
        for values in zip(curve.confidence, curve.accuracy, curve.n_cases, strict=True)
    ]
    return Chart(svg, csv_text(["model", "confidence", "accuracy", unit], data))


def hardest_classes(rows: Sequence[RowDiagnosis], unit: str = "cases") -> list[TableColumn]:
    """Return the classes of least recall, with the class that most of their cases are taken for. unit: as for chart."""
    classes = [(row, i) for row in rows for i in range(len(row.diagnosis.classes)) if row.diagnosis.recall[i] < 1]
    classes.sort(key=lambda each: (each[0].diagnosis.recall[each[1]], each[0].dataset, each[0].name, each[1]))
    shown = classes[:N_HARDEST]
    return [
        TableColumn("dataset", [row.dataset for row, _ in shown]),
        TableColumn("model", [full_name(row.name) for row, _ in shown]),
        TableColumn("class", [row.diagnosis.classes[i] for row, i in shown]),
        TableColumn(unit, [str(int(row.diagnosis.confusion[i].sum())) for row, i in shown], is_numeric=True),
        TableColumn("recall", [fraction(row.diagnosis.recall[i]) for row, i in shown], is_numeric=True),
        TableColumn("precision", [fraction(row.diagnosis.precision[i]) for row, i in shown], is_numeric=True),
        TableColumn("mostly taken for", [_taken_for(row.diagnosis, i) for row, i in shown]),
    ]


def _taken_for(diagnosis: Diagnosis, label: int) -> str:
    """Return the class that most wrong predictions of a class name, with their number."""
    wrong = diagnosis.confusion[label].copy()
    wrong[label] = 0
    return f"{diagnosis.classes[int(wrong.argmax())]} ({int(wrong.max())})"


def matrix(number: int, row: RowDiagnosis) -> tuple[str, str, list[TableColumn]]:
    """Return the id, the caption and the columns of a confusion matrix, with recall and precision."""
    diagnosis = row.diagnosis
    columns = [
        TableColumn(f"as {label}", [str(int(n)) for n in diagnosis.confusion[:, i]], is_numeric=True)
        for i, label in enumerate(diagnosis.classes)
    ]
    return (
        f"t-confusion-{number}",
        f"{row.dataset}, {full_name(row.name)}: accuracy {fraction(row.accuracy)}",
        [
            TableColumn("true class", list(diagnosis.classes)),
            *columns,
            TableColumn("recall", list(map(fraction, diagnosis.recall)), is_numeric=True),
            TableColumn("precision", list(map(fraction, diagnosis.precision)), is_numeric=True),
        ],
    )
