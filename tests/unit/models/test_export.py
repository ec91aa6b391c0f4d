"""Exported programs predict what the classifier predicts, at other numbers of cases and timepoints."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tsfcn
from tests.factories import ITALY
from tsfcn.common.errors import UserError
from tsfcn.estimators import CLASSES, NetworkClassifier
from tsfcn.models.export import ABOUT

CASES: list[tuple[str, dict[str, Any]]] = [
    ("fcn", {"filters": (6, 5, 4)}),
    ("fcn", {"filters": (6, 5, 4), "normalisation": "series", "precision": "float64", "engine": "reference"}),
    ("lstm_fcn", {"filters": (6, 5, 4), "cells": 3}),
    ("lstm_fcn", {"filters": (6, 5, 4), "cells": 3, "shuffle": False}),
    ("alstm_fcn", {"filters": (6, 5, 4), "cells": 3, "normalisation": "none"}),
    ("resnet", {"filters": (6, 5, 4), "normalisation": "series"}),
    ("fcn", {"filters": (6, 5, 4), "length": "cut", "normalisation": "series"}),
    ("fcn", {"filters": (6, 5, 4), "normalisation": "train"}),
    ("mlp", {"units": (6, 5, 4), "normalisation": "series"}),
    ("inception", {"filters": 4, "depth": 4}),
    ("h_inception", {"filters": 4, "depth": 3}),
    ("lite", {"filters": 4}),
    ("encoder", {"filters": (6, 6), "kernels": (5, 3), "units": 4}),
    ("mlstm_fcn", {"filters": (6, 5, 4), "cells": 3}),
    ("malstm_fcn", {"filters": (6, 5, 4), "cells": 3}),
]
LABELS = np.array(["9", "10"])  # whose order as text is not that of the logits


def fitted(model: str, parameters: dict[str, Any]) -> NetworkClassifier:
    data = tsfcn.load(ITALY)
    classifier = CLASSES[model](epochs=1, random_state=0, **parameters)
    return classifier.fit(data.x_train, LABELS[(data.y_train == "2").astype(int)])


def series(n_cases: int, n_timepoints: int) -> np.ndarray:
    """Return random series, one with a missing value and one constant."""
    x = np.random.RandomState(0).standard_normal((n_cases, 1, n_timepoints)).astype(np.float32)
    x[1, 0, 4], x[3] = np.nan, 0.1
    return x


def inputs(classifier: NetworkClassifier) -> list[np.ndarray]:
    """Return series of several batch sizes, and of several lengths where the program takes them."""
    pooled = ("fcn", "resnet", "inception", "h_inception", "lite")
    any_length = classifier.architecture in pooled and classifier.length != "cut"
    return [series(n, 24) for n in (5, 11)] + ([series(4, 60), series(4, 15)] if any_length else [])


@pytest.mark.parametrize(("model", "parameters"), CASES)
def test_a_program_of_torch_predicts_the_same(model: str, parameters: dict[str, Any], tmp_path: Path) -> None:
    classifier = fitted(model, parameters)
    path = classifier.export(tmp_path / "a.pt2")
    extra = {ABOUT: ""}
    program = torch.export.load(path, extra_files=extra).module()
    for x in inputs(classifier):
        probabilities = program(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(probabilities, classifier.predict_proba(x), atol=1e-5)
    assert json.loads(extra[ABOUT])["classes"] == classifier.classes_.tolist() == ["10", "9"]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "parameters"), CASES)
def test_onnxruntime_predicts_the_same(model: str, parameters: dict[str, Any], tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs tsfcn[onnx]")
    pytest.importorskip("onnxscript", reason="needs tsfcn[onnx]")
    classifier = fitted(model, parameters)
    session = onnxruntime.InferenceSession(classifier.export(tmp_path / "a.onnx"))
    for x in inputs(classifier):
        (probabilities,) = session.run(None, {"series": x})
        np.testing.assert_allclose(probabilities, classifier.predict_proba(x), atol=1e-5)
    about = json.loads(session.get_modelmeta().custom_metadata_map["tsfcn"])
    assert (about["classes"], about["n_timepoints"]) == (["10", "9"], 24)


def test_a_program_runs_without_tsfcn(tmp_path: Path) -> None:
    path = fitted(*CASES[0]).export(tmp_path / "a.pt2")
    code = (
        "import sys, torch; program = torch.export.load(sys.argv[1]).module(); "
        "print(tuple(program(torch.zeros(2, 1, 30)).shape), 'tsfcn' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code, path], check=True, capture_output=True, text=True).stdout
    assert printed == "(2, 2) False\n"


def test_an_export_leaves_the_classifier_as_it_was(tmp_path: Path) -> None:
    classifier = fitted(*CASES[1])
    before = classifier.predict_proba(series(5, 24))
    classifier.export(tmp_path / "a.pt2")
    assert next(classifier.network_.parameters()).dtype == torch.float64
    np.testing.assert_array_equal(classifier.predict_proba(series(5, 24)), before)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not named \.pt2 or \.onnx"):
        fitted(*CASES[0]).export(tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(importlib.util.find_spec("onnxscript") is not None, reason="tsfcn[onnx] is installed")
def test_onnx_without_its_packages_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pip install 'tsfcn\[onnx\]'"):
        fitted(*CASES[0]).export(tmp_path / "a.onnx")
