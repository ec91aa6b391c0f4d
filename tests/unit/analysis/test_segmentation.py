"""Tables of dense labelling, from records made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.records import record as record_of_cases
from tests.records import save
from tsfcn.analysis import score_columns, segmentation, tables
from tsfcn.analysis.stats import mean_interval
from tsfcn.jobs.record import Record
from tsfcn.report import results_folder
from tsfcn.report import segmentation as segmentation_text

DATASETS = ("BME", "CBF", "Coffee", "GunPoint", "Plane")


def record(
    dataset: str, model: str, mean_iu: float, seed: int = 0, protocol: str = "segmentation", **more: Any
) -> Record:
    number = abs(hash((dataset, model, protocol))) % 10**8
    values = {"accuracy": 0.9, "balanced_accuracy": 0.8, "frequency_weighted_iu": 0.7, "n_classes": 3}
    return Record(
        key=f"{number:08x}{seed:08x}",
        group=f"{number:016x}",
        status="ok",
        dataset=dataset,
        model=model,
        architecture=model,
        protocol=protocol,
        seed=seed,
        task={"name": "segmentation"},
        mean_iu=mean_iu,
        median_segment=128.0,
        train_seconds=2.0,
        test_seconds=0.5,
        **(values | more),
    )


PLAIN = Record(
    key="0" * 16,
    group="0" * 16,
    status="ok",
    dataset="BME",
    model="fcn",
    protocol="p",
    seed=0,
    accuracy=1.0,
    n_classes=2,
)
"""The record of a classifier."""


def test_a_row_is_the_mean_over_seeds() -> None:
    (row,) = segmentation.table([record("BME", "fcn_8s", 0.5), record("BME", "fcn_8s", 0.7, seed=1)]).to_dict("records")
    assert (row["n_seeds"], row["mean_iu"], row["mean_accuracy"]) == (2, pytest.approx(0.6), pytest.approx(0.8))
    assert row["mean_iu_std"] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert (row["median_segment"], row["train_seconds"], row["test_seconds"]) == (128, 2, 0.5)


def test_records_of_classification_are_left_out() -> None:
    frame = segmentation.table([PLAIN])
    assert frame.empty and segmentation.comparisons([PLAIN]).empty


def test_neighbours_of_the_order_are_compared_over_datasets() -> None:
    gains = [0.01, 0.02, 0.03, 0.02, 0.04]
    records = [record(name, "fcn_32s", 0.5) for name in DATASETS]
    records += [record(name, "fcn_16s", 0.5 + gain) for name, gain in zip(DATASETS, gains, strict=True)]
    rows = segmentation.comparisons(records).to_dict("records")
    assert {(row["model"], row["other_model"]) for row in rows} == {("fcn_16s", "fcn_32s")}
    by_metric = {row["metric"]: row for row in rows}
    row = by_metric["mean_iu"]
    assert (row["low"], row["high"]) == pytest.approx(mean_interval(np.array(gains)))
    assert (row["n_better"], row["n_worse"], row["n_datasets"], row["verdict"]) == (5, 0, 5, "better")
    assert by_metric["accuracy"]["difference"] == 0 and by_metric["accuracy"]["verdict"] == "open"


def test_rows_are_compared_on_the_seeds_that_both_have() -> None:
    records = [record("BME", "fcn_32s", iu, seed) for seed, iu in enumerate((0.1, 0.5, 0.9))]
    rows = segmentation.comparisons([*records, record("BME", "fcn_16s", 0.6, seed=1)]).to_dict("records")
    (row,) = [row for row in rows if row["metric"] == "mean_iu"]
    assert (row["difference"], row["n_datasets"], row["n_pairs"]) == (pytest.approx(0.1), 1, 1)


def test_the_papers_difference_stands_beside_its_own_rows_only() -> None:
    records = [record("BME", model, 0.5) for model in segmentation.ORDER]
    records.append(record("BME", "fcn_32s", 0.5, protocol="segmentation[sampling=0.25]"))
    frame = segmentation.comparisons(records)
    found = frame[frame["metric"] == "mean_iu"].set_index(["model", "protocol"])["paper"].to_dict()
    assert found["fcn_32s", "segmentation"] == 0.14 and found["fcn_8s", "segmentation"] == 0.003
    assert math.isnan(found["fcn_32s", "segmentation[sampling=0.25]"])
    assert "+0.140" in segmentation_text.comparisons(frame)
    without = segmentation.comparisons(records[1::3])  # FCN-32s with and without sampling
    assert len(without) == 4 and "Paper" not in segmentation_text.comparisons(without)


def test_the_papers_order_is_counted_on_datasets_with_all_of_its_rows() -> None:
    ius = {"BME": (0.1, 0.2, 0.3, 0.4), "CBF": (0.1, 0.3, 0.2, 0.4)}
    records = [
        record(name, m, iu) for name, each in ius.items() for m, iu in zip(segmentation.ORDER, each, strict=True)
    ]
    records.append(record("Coffee", "fcn_8s", 0.9))
    frame = segmentation.table(records)
    assert segmentation.ordered(frame)["mean_iu"] == (1, 2) and segmentation.ordered(frame)["accuracy"] == (0, 2)
    assert "mean IU on 1, f.w. IU on 0 of 2 datasets." in segmentation_text.order_sentence(frame)
    assert segmentation_text.order_sentence(segmentation.table(records[-1:])) == ""


def test_accuracies_of_timepoints_are_not_set_beside_those_of_cases(tmp_path: Path) -> None:
    of_cases = record_of_cases("GunPoint")
    assert tables.published_figure(of_cases) is not None
    of_timepoints = replace(of_cases, task={"name": "segmentation"})
    assert tables.published_figure(of_timepoints) is None
    for name, each, split in (("cases", of_cases, "ucr2018"), ("dense", of_timepoints, "streams")):
        (column,) = score_columns.read([str(save(tmp_path / name, each))])
        assert [place.split for place in column.cells] == [split]


def test_few_datasets_decide_nothing() -> None:
    records = [record(name, model, iu) for name in DATASETS[:2] for model, iu in (("fcn_16s", 0.5), ("fcn_8s", 0.9))]
    for row in segmentation.comparisons(records).to_dict("records"):
        assert math.isnan(row["low"]) and row["verdict"] == "open"


def test_variants_and_baselines_are_compared() -> None:
    protocol = "segmentation"
    rows = [
        *((model, protocol) for model in segmentation.ORDER),
        ("pooled_fcn", f"{protocol}[labelling=sliding]"),
        ("fcn_32s", f"{protocol}[epochs=120]"),
    ]
    pairs = segmentation.pairs(rows)
    assert (("fcn_32s", f"{protocol}[epochs=120]"), ("fcn_32s", protocol)) in pairs
    assert (("fcn_8s", protocol), ("pooled_fcn", f"{protocol}[labelling=sliding]")) in pairs
    assert (("fcn_8s", protocol), ("fcn_32s", f"{protocol}[epochs=120]")) in pairs
    assert len(pairs) == len(set(pairs)) == 6


def test_a_results_folder_has_the_tables(tmp_path: Path) -> None:
    records = [record(name, model, 0.5) for name in DATASETS for model in segmentation.ORDER]
    results_folder.write(tmp_path, records)
    page = (tmp_path / "README.md").read_text()
    assert "## Dense labelling" in page and "| mean IU" in page and "tables/segmentation.csv" in page
    assert len((tmp_path / "tables" / "segmentation.csv").read_text().splitlines()) == 1 + len(records)
    assert len((tmp_path / "tables" / "segmentation_comparisons.csv").read_text().splitlines()) == 1 + 3 * 4


def test_a_results_folder_without_dense_labelling_has_no_such_table(tmp_path: Path) -> None:
    results_folder.write(tmp_path, [PLAIN])
    assert "segmentation" not in (tmp_path / "README.md").read_text()
    assert not list((tmp_path / "tables").glob("segmentation*"))


def test_text_has_a_row_for_each_model() -> None:
    frame = segmentation.table([record("BME", model, 0.5) for model in segmentation.ORDER])
    text = segmentation_text.table(frame)
    assert text.count("0.5000") == 4 and "128" in text and "0.50 s" in text
    summary = segmentation_text.summary(segmentation.summary(frame))
    assert [line.split()[0] for line in summary.splitlines()[2:6]] == list(segmentation.ORDER)
