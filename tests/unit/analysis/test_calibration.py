"""Calibration of ensembles: temperatures, and what the table shows beside the runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from tests.records import record, save
from tsfcn.analysis import calibration, ensemble, tables
from tsfcn.cli.ensemble import main
from tsfcn.jobs import artifacts

CLASSES = np.array(["a", "b", "c"])


def drawn(temperature: float, n_cases: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (n_cases, 3) that are too sure by this factor, and classes drawn from the right ones."""
    random = np.random.RandomState(seed)
    logits = random.randn(n_cases, 3)
    right = softmax(logits, axis=1)
    y = np.array([random.choice(3, p=row) for row in right])
    return softmax(logits * temperature, axis=1), y


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(temperature: float) -> None:
    probabilities, y = drawn(temperature, 20000, seed=1)
    assert calibration.fitted_temperature(probabilities, y) == pytest.approx(temperature, rel=0.05)


def test_tempered_is_a_softmax_of_scaled_logits() -> None:
    logits = np.random.RandomState(0).randn(5, 3)
    assert np.allclose(calibration.tempered(softmax(logits, axis=1), 3.0), softmax(logits / 3.0, axis=1))
    sure = calibration.tempered(np.array([[1.0, 0.0]]), 2.0)  # a zero counts as 2^-24
    assert sure[0, 1] == pytest.approx(2.0**-12 / (1 + 2.0**-12))


def test_cases_that_are_all_right_give_the_least_temperature() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert calibration.fitted_temperature(probabilities, np.array([0, 1])) == pytest.approx(0.05, rel=1e-3)


def write(results: Path, *, held_out: bool, model: str = "fcn") -> None:
    """Write two runs that are twice too sure, with predictions, and with held-out cases if wanted."""
    for seed in range(2):
        probabilities, y = drawn(2.0, 300, seed=0)
        y_pred = probabilities.argmax(axis=1)
        extra: dict[str, Any] = {
            "n_train": 1000,
            "n_test": 300,
            "n_classes": 3,
            "accuracy": float(np.mean(y_pred == y)),
        }
        run = record(model=model, architecture=model, seed=seed, n_held_out=500 if held_out else None, **extra)
        other = drawn(2.0, 500, seed=10 + seed) if held_out else None
        artifacts.write_predictions(results, run.key, probabilities, y, y_pred, CLASSES, held_out=other)
        save(results, run)


def test_a_temperature_from_held_out_cases_mends_runs_that_are_too_sure(tmp_path: Path) -> None:
    write(tmp_path, held_out=True)
    outcome = ensemble.make(tmp_path, "fcn:2")
    frame, problems = calibration.rows(outcome.records, tmp_path)
    (row,) = frame.to_dict("records")
    assert not problems
    assert row["n_held_out"] == 1000 and row["temperature"] == pytest.approx(2.0, rel=0.15)
    assert row["tempered_ece"] < row["ece"] and row["tempered_nll"] < row["nll"]
    (made,) = outcome.ensembles
    stored = tables.stored_predictions(made, tmp_path)
    assert stored is not None
    assert row["accuracy"] == made.accuracy and row["runs_nll"] == pytest.approx(row["nll"], abs=1e-3)  # equal runs
    assert row["ece"] == pytest.approx(
        tables.score("ece", stored.probabilities, stored.y_true, stored.y_pred), abs=1e-3
    )


def test_the_command_shows_the_table_and_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, held_out=True)
    assert main([str(tmp_path), "members=fcn:2"]) == 0
    out = capsys.readouterr().out
    assert "temperature: fitted on the training cases that the runs held out" in out and "15 bins" in out
    table = pd.read_csv(tmp_path / "tables" / "calibration.csv")
    assert list(table.columns) == list(calibration.COLUMNS) and len(table) == 1


def test_without_held_out_cases_there_is_no_temperature_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, held_out=False)
    assert main([str(tmp_path), "members=fcn:2"]) == 0
    out = capsys.readouterr().out
    line = "no ensemble has a temperature, since runs held out no training cases: train with protocol.validation=0.2"
    assert line in out.splitlines() and "tempered" not in out
    assert pd.read_csv(tmp_path / "tables" / "calibration.csv")["temperature"].isna().all()


@pytest.mark.parametrize("damage", ["missing", "empty", "of another run"])
def test_what_cannot_be_computed_is_told_and_the_table_of_before_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    """Predictions of a run that are gone after its ensemble was made: a skip, not an error, and no row is lost."""
    write(tmp_path, held_out=True)
    assert main([str(tmp_path), "members=fcn:2"]) == 0
    table = tmp_path / "tables" / "calibration.csv"
    before, key = table.read_bytes(), next(r.key for r in tables.read(tmp_path) if not r.is_ensemble)
    path = artifacts.predictions_path(tmp_path, key)
    path.unlink()
    if damage != "missing":
        path.write_bytes(b"" if damage == "empty" else np.random.bytes(50))
    capsys.readouterr()
    assert main([str(tmp_path), "members=fcn:2"]) == 3
    out, err = capsys.readouterr()
    assert "fcn:2" in out and err.splitlines()[0].startswith("skipped: ") and "require_predictions=true" in err
    assert "error" not in err and f"{tmp_path}: 0 ensembles written, 1 there before" in err.splitlines()
    line = "tables/calibration.csv: 1 ensemble cannot be computed again, of which 1 has its earlier row"
    assert line in err.splitlines()
    assert table.read_bytes() == before


def test_other_ensembles_keep_their_rows_and_are_no_skips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model in ("resnet", "fcn"):
        write(tmp_path, held_out=True, model=model)
    assert main([str(tmp_path), "members=resnet:2"]) == 0
    table = tmp_path / "tables" / "calibration.csv"
    before = table.read_text().splitlines()
    for each in tables.read(tmp_path):
        if each.model == "resnet":
            artifacts.predictions_path(tmp_path, each.key).unlink()
    capsys.readouterr()
    assert main([str(tmp_path), "members=fcn:2"]) == 0
    err = capsys.readouterr().err
    line = "tables/calibration.csv: 1 ensemble cannot be computed again, of which 1 has its earlier row"
    assert line in err.splitlines() and "skipped" not in err
    after = table.read_text().splitlines()
    assert [line.split(",")[2] for line in after[1:]] == ["fcn:2", "resnet:2"] and after[2] == before[1]
