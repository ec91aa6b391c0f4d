"""The callbacks that log epochs, read back by the libraries themselves. Each test needs the library's extra."""

from __future__ import annotations

import copy
import importlib
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

import tsfcn
from tsfcn import FCNClassifier
from tsfcn.callbacks.mlflow import MLFlowLogger
from tsfcn.callbacks.tensorboard import TensorBoardLogger
from tsfcn.callbacks.wandb import WandbLogger
from tsfcn.common.errors import UserError


def fit(*callbacks: Any) -> FCNClassifier:
    """Return a small classifier of four epochs, fitted on ItalyPowerDemand with the callbacks."""
    data = tsfcn.load("ItalyPowerDemand")
    classifier = FCNClassifier(
        protocol="smoke", epochs=4, filters=(4,), kernels=(3,), random_state=0, callbacks=callbacks
    )
    return classifier.fit(data.x_train, data.y_train)


def tensorboard_losses(folder: Path) -> dict[int, float]:
    """Return the loss of each epoch in a folder of TensorBoard."""
    events = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    accumulator = events.EventAccumulator(str(folder))
    accumulator.Reload()
    return {event.step: event.value for event in accumulator.Scalars("loss")}


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    logger = TensorBoardLogger(tmp_path / "logs")
    classifier = fit(logger)
    losses = tensorboard_losses(tmp_path / "logs" / "training-1")
    assert list(losses) == [1, 2, 3, 4]
    np.testing.assert_allclose(list(losses.values()), classifier.curve_.loss, rtol=1e-6)
    assert classifier.curve_.loss == fit().curve_.loss


def test_each_training_is_a_curve_of_its_own_and_leaves_no_thread(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    data, n_threads = tsfcn.load("ItalyPowerDemand"), threading.active_count()
    classifier = fit(TensorBoardLogger(tmp_path))
    cross_val_score(classifier, data.x_train, data.y_train, cv=3)
    classifier.fit(data.x_train, data.y_train)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"training-{i}" for i in range(1, 6)]
    curves = [tensorboard_losses(tmp_path / f"training-{i}") for i in range(1, 6)]
    assert all(list(curve) == [1, 2, 3, 4] for curve in curves)
    assert curves[0] == curves[4] and len({curve[4] for curve in curves}) == 4
    assert threading.active_count() == n_threads


def test_tensorboard_logger_can_be_copied_after_use(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    classifier = fit(TensorBoardLogger(tmp_path / "logs"))
    for copied in (clone(classifier), copy.deepcopy(classifier), pickle.loads(pickle.dumps(classifier))):
        assert copied.callbacks == (TensorBoardLogger(tmp_path / "logs"),)


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    with mlflow.start_run() as run:
        classifier = fit(MLFlowLogger())
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert {each.step: each.value for each in history} == dict(enumerate(classifier.curve_.loss, start=1))
    assert classifier.curve_.loss == fit().curve_.loss


def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(mode="offline", dir=str(tmp_path)) as run:
        classifier = fit(WandbLogger())
        assert run.summary["loss"] == pytest.approx(classifier.curve_.loss[-1], rel=1e-6)
    assert list(tmp_path.rglob("*.wandb"))
    assert classifier.curve_.loss == fit().curve_.loss


def test_wandb_without_a_run_says_what_to_do() -> None:
    pytest.importorskip("wandb")
    with pytest.raises(UserError, match=r"wandb has no active run: call wandb.init\(\) before fit"):
        fit(WandbLogger())


@pytest.mark.parametrize(
    ("library", "logger"),
    [
        ("tensorboard", lambda: TensorBoardLogger("logs")),
        ("mlflow", MLFlowLogger),
        ("wandb", WandbLogger),
    ],
)
def test_a_missing_library_is_named_with_its_extra(library: str, logger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # Python's way to make an import fail
    with pytest.raises(UserError, match=rf"^{library} is not installed .*: run pip install 'tsfcn\[{library}\]'$"):
        logger()
