"""A classifier predicts what a run stores: the same seed and protocol, raw series in both.

Runs store probabilities as float16, so the classifier's are rounded before they are compared bit by bit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tsfcn
from tsfcn import estimators
from tsfcn.data.dataset import Dataset
from tsfcn.estimators import FCNClassifier, LSTMFCNClassifier, MLPClassifier, NetworkClassifier, ResNetClassifier
from tsfcn.jobs import artifacts
from tsfcn.training.fused import build

CLASSIFIERS: dict[str, tuple[type[NetworkClassifier], dict[str, Any]]] = {
    "fcn": (FCNClassifier, {"filters": [6, 5, 4]}),
    "lstm_fcn": (LSTMFCNClassifier, {"filters": [6, 5, 4]}),
    "alstm_fcn": (estimators.ALSTMFCNClassifier, {"filters": [6, 5, 4]}),
    "resnet": (ResNetClassifier, {"filters": [4, 5, 5]}),
    "mlp": (MLPClassifier, {"units": [6, 5, 4]}),
    "inception": (estimators.InceptionClassifier, {"filters": 4, "kernels": [8, 4], "depth": 3}),
    "h_inception": (estimators.HInceptionClassifier, {"filters": 4, "kernels": [8, 4], "depth": 2}),
    "lite": (estimators.LITEClassifier, {"filters": 6}),
    "encoder": (estimators.EncoderClassifier, {"filters": [6, 8], "kernels": [5, 3], "units": 5}),
    "mlstm_fcn": (estimators.MLSTMFCNClassifier, {"filters": [6, 5, 4]}),
    "malstm_fcn": (estimators.MALSTMFCNClassifier, {"filters": [6, 5, 4]}),
}
SEED = 7
QUICK: dict[str, Any] = {"epochs": 5, "batch_size": 16, "lr": 0.01}
BUNDLED = ("ItalyPowerDemand", "GunPoint", "ArrowHead")


def stored_predictions(results: Path, dataset: object, model: str, engine: str, **protocol: Any) -> dict[str, Any]:
    """Run a small network for a few epochs and return the arrays of its file of predictions."""
    settings = CLASSIFIERS[model][1]
    protocol = {"name": "smoke", **QUICK} | protocol
    words: dict[str, Any] = {
        "engine": {"name": engine},
        "executor": "inline",
        "results": results,
        "archive": {"download": "never"},
    }
    table = tsfcn.run(dataset, {model: settings}, protocol, seeds=[SEED], **words)
    assert len(table) == 1
    (path,) = artifacts.predictions_path(results, "KEY").parent.iterdir()
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def series(data: Dataset, x: np.ndarray) -> Any:
    """Return raw series as a user has them: a table, or a list if they differ in length."""
    if not data.unequal:
        return x[:, 0]
    return [case[:, : 1 + int(np.flatnonzero(~np.isnan(case).all(axis=0)).max())] for case in x]


def compare(results: Path, data: Dataset, dataset: object, model: str, engine: str, **protocol: Any) -> str:
    """Assert that a classifier and a run agree in every bit that the run stores; return the classifier's engine."""
    stored = stored_predictions(results, dataset, model, engine, **protocol)
    kind, settings = CLASSIFIERS[model]
    parameters: dict[str, Any] = {"protocol": "smoke", **QUICK, "engine": engine, "random_state": SEED} | protocol
    classifier = kind(**parameters, **settings).fit(series(data, data.x_train), data.y_train)
    order = [list(classifier.classes_).index(label) for label in stored["classes"]]
    probabilities = classifier.predict_proba(series(data, data.x_test))[:, order]
    assert len(np.unique(stored["probabilities"])) > 20  # the networks distinguish cases
    np.testing.assert_array_equal(probabilities.astype(np.float16), stored["probabilities"])
    np.testing.assert_array_equal(classifier.predict(series(data, data.x_test)), stored["classes"][stored["y_pred"]])
    return classifier.engine_


@pytest.mark.parametrize("dataset", BUNDLED)
@pytest.mark.parametrize("model", ["fcn", "lstm_fcn"])
def test_the_fast_engine(dataset: str, model: str, tmp_path: Path) -> None:
    engine = compare(tmp_path, tsfcn.load(dataset), dataset, model, "auto")
    assert engine == ("fast" if build.library() is not None else "reference")


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_the_reference_loop(model: str, tmp_path: Path) -> None:
    data = tsfcn.load("ItalyPowerDemand")
    assert compare(tmp_path, data, "ItalyPowerDemand", model, "reference") == "reference"


@pytest.mark.parametrize("model", ["fcn", "lstm_fcn"])
def test_the_fast_engine_in_pytorch(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "library", lambda: None)
    monkeypatch.setattr(build, "compiler", lambda: None)
    assert compare(tmp_path, tsfcn.load("ItalyPowerDemand"), "ItalyPowerDemand", model, "fast") == "fast_torch"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu(tmp_path: Path) -> None:
    stored = tmp_path / "cuda"
    data = tsfcn.load("ItalyPowerDemand")
    tsfcn.run("ItalyPowerDemand", "fcn", "smoke", seeds=[SEED], device="cuda", results=stored)
    (path,) = (stored / "predictions").iterdir()
    classifier = FCNClassifier(protocol="smoke", random_state=SEED, device="cuda").fit(data.x_train, data.y_train)
    with np.load(path, allow_pickle=False) as arrays:
        np.testing.assert_allclose(classifier.predict_proba(data.x_test), arrays["probabilities"], atol=2e-3)


@pytest.mark.parametrize(
    "protocol",
    [
        {"normalisation": "train"},
        {"normalisation": "none", "class_weights": "balanced"},
        {"validation": 0.3, "select": "validation"},
        {"select": "last", "optimiser": "adadelta", "lr": 0.5},
        {"truncate": 0.4},
        {"permute_time": 3, "normalisation": "train"},
    ],
    ids=str,
)
def test_values_of_the_protocol(protocol: dict[str, Any], tmp_path: Path) -> None:
    data = tsfcn.load("ItalyPowerDemand")
    stored = stored_predictions(tmp_path, "ItalyPowerDemand", "fcn", "auto", **protocol)
    weights = {"class_weight": protocol["class_weights"]} if "class_weights" in protocol else {}
    values = {name: value for name, value in protocol.items() if name != "class_weights"} | weights
    parameters: dict[str, Any] = {"protocol": "smoke", "random_state": SEED, "filters": (6, 5, 4)} | QUICK | values
    classifier = FCNClassifier(**parameters)
    probabilities = classifier.fit(data.x_train[:, 0], data.y_train).predict_proba(data.x_test[:, 0])
    np.testing.assert_array_equal(probabilities.astype(np.float16), stored["probabilities"])


@pytest.mark.parametrize("model", ["fcn", "lstm_fcn"])
@pytest.mark.parametrize(
    ("dataset", "property_"),
    [("Fungi", "labels 10 and 9"), ("DodgerLoopDay", "missing"), ("PickupGestureWiimoteZ", "unequal")],
)
def test_datasets_of_the_archive(
    dataset: str, property_: str, model: str, tmp_path: Path, archive_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels of two digits are ordered as numbers by a run, and as text by scikit-learn."""
    monkeypatch.setenv("TSFCN_ARCHIVE", str(archive_root))
    data = tsfcn.load(dataset)
    missing = bool(np.isnan(data.x_train).any())
    assert {"10", "9"} <= set(data.y_train) if property_ == "labels 10 and 9" else missing
    assert data.unequal == (property_ == "unequal")
    compare(tmp_path, data, dataset, model, "auto")


@pytest.mark.parametrize(
    ("model", "length"), [("fcn", "pad"), ("fcn", "cut"), ("fcn", "mask"), ("lstm_fcn", "pad"), ("lstm_fcn", "mask")]
)
def test_series_of_unequal_length(model: str, length: str, tmp_path: Path) -> None:
    """Series of ItalyPowerDemand, cut to lengths from 9 to 24 timepoints, with labels 10 and 9."""
    data = tsfcn.load("ItalyPowerDemand")
    names = dict(zip(np.unique(data.y_train), ("10", "9"), strict=True))
    cases = {
        split: [case[:, : 24 - number % 16] for number, case in enumerate(x)]
        for split, x in (("train", data.x_train), ("test", data.x_test))
    }
    labels = {
        "train": np.array([names[label] for label in data.y_train]),
        "test": np.array([names[label] for label in data.y_test]),
    }
    own = (cases["train"], labels["train"], cases["test"], labels["test"])
    stored = stored_predictions(tmp_path, {"own": own}, model, "auto", length=length)
    kind, settings = CLASSIFIERS[model]
    classifier = kind(protocol="smoke", **QUICK, random_state=SEED, length=length, **settings)
    classifier.fit(cases["train"], labels["train"])
    assert list(classifier.classes_) == ["10", "9"] and list(stored["classes"]) == ["9", "10"]
    probabilities = classifier.predict_proba(cases["test"])[:, ::-1]
    np.testing.assert_array_equal(probabilities.astype(np.float16), stored["probabilities"])


def test_seeds_differ() -> None:
    data = tsfcn.load("ItalyPowerDemand")
    one, other = (
        FCNClassifier(protocol="smoke", random_state=seed, filters=(6, 5, 4)).fit(data.x_train, data.y_train)
        for seed in (0, 1)
    )
    assert not np.allclose(one.predict_proba(data.x_test), other.predict_proba(data.x_test), atol=1e-3)
