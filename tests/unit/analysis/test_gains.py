"""Gains of transfer and refinement: which runs are compared, and the intervals by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from tests.records import record, save
from tsfcn.analysis import gains
from tsfcn.cli.gains import main
from tsfcn.jobs.record import Record

SETTINGS = {"epochs": 9, "select": "least_train_loss"}


def runs(dataset: str, accuracies: list[float], source: str = "", seed: int = 0, **settings: Any) -> list[Record]:
    """Return ok records of one row, a seed for each accuracy, from the weights of a source if one is named."""
    protocol = f"fawaz2019[init_from=dataset:{source}]" if source else "fawaz2019"
    own: dict[str, Any] = {**SETTINGS, **settings, **({"init_from": f"dataset:{source}"} if source else {})}
    weights: dict[str, Any] = {"source": {"key": "0" * 16, "group": "1" * 16}} if source else {}
    return [
        record(dataset, seed=seed + n, accuracy=accuracy, protocol=protocol, settings=own, **weights)
        for n, accuracy in enumerate(accuracies)
    ]


def test_pairs_of_a_seed_with_students_interval_over_seeds() -> None:
    plain, other = [0.8, 0.7, 0.9], [0.85, 0.8, 0.9]
    records = runs("Coffee", plain) + runs("Coffee", [*other, 0.1], "CBF")  # the last seed has no plain run
    (row,) = gains.rows(records).to_dict("records")
    differences = np.subtract(other, plain)
    half = t.ppf(0.975, 2) * differences.std(ddof=1) / math.sqrt(3)
    assert (row["dataset"], row["n_seeds"]) == ("Coffee", 3)
    assert row["gain"] == pytest.approx(0.05)
    assert (row["low"], row["high"]) == pytest.approx((0.05 - half, 0.05 + half))


@pytest.mark.parametrize("change", [{"epochs": 8}, {"validation": 0.2}])
def test_runs_that_differ_in_anything_else_are_not_compared(change: dict[str, Any]) -> None:
    assert gains.rows(runs("Coffee", [0.8], **change) + runs("Coffee", [0.9], "CBF")).empty


def test_refinement_is_compared_with_the_same_training_without_rounds() -> None:
    refined = [record("Coffee", accuracy=0.9, protocol="p[refine_rounds=5]", settings={**SETTINGS, "refine_rounds": 5})]
    (row,) = gains.rows(runs("Coffee", [0.8]) + refined).to_dict("records")
    assert row["gain"] == pytest.approx(0.1) and math.isnan(row["low"])


def test_the_mean_is_over_datasets_and_takes_named_sources_together() -> None:
    records = []
    for number, dataset in enumerate(("Coffee", "Beef", "Wine", "Plane", "Car")):
        records += runs(dataset, [0.5]) + runs(dataset, [0.5 + 0.01 * number], "CBF")
        records += runs(dataset, [0.5 + 0.03 * number], "BME")
    (row,) = gains.summary(gains.rows(records)).to_dict("records")
    by_dataset = 0.02 * np.arange(5)
    half = t.ppf(0.975, 4) * by_dataset.std(ddof=1) / math.sqrt(5)
    assert (row["protocol"], row["n_rows"], row["n_datasets"]) == ("fawaz2019[init_from=dataset:*]", 10, 5)
    assert (row["better"], row["equal"], row["worse"]) == (8, 2, 0)
    assert (row["gain"], row["high"]) == pytest.approx((0.04, 0.04 + half))


def test_the_command_writes_the_table_or_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, *runs("Coffee", [0.8]))
    assert main([str(tmp_path)]) == 2
    assert "has no pair of runs to compare" in capsys.readouterr().err
    save(tmp_path, *runs("Coffee", [0.9], "CBF"))
    assert main([str(tmp_path)]) == 0
    assert "+0.1000" in capsys.readouterr().out
    assert (tmp_path / "tables" / "gains.csv").read_text().splitlines()[0] == ",".join(gains.COLUMNS)
