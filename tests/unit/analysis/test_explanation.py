"""tsfcn.explain: arrays in the order of the classes, for any lengths, and maps that point at what counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError

import tsfcn
import tsfcn.sktime
from tests.factories import ITALY
from tsfcn import estimators
from tsfcn.analysis.explanation import Explanation, explain
from tsfcn.analysis.faithfulness import Faithfulness, faithfulness
from tsfcn.common.errors import UserError
from tsfcn.data import archive
from tsfcn.data.cbf import cbf, share_inside

SMALL: dict[str, Any] = {"filters": (6, 5, 4), "epochs": 3, "random_state": 0, "protocol": "smoke"}
LSTM: dict[str, Any] = {**SMALL, "cells": 3}
CLASSIFIERS: dict[str, tuple[type[estimators.NetworkClassifier], dict[str, Any]]] = {
    "fcn": (estimators.FCNClassifier, SMALL),
    "resnet": (estimators.ResNetClassifier, SMALL),
    "lstm_fcn": (estimators.LSTMFCNClassifier, LSTM),
    "alstm_fcn": (estimators.ALSTMFCNClassifier, {**LSTM, "shuffle": False}),
    "mlp": (
        estimators.MLPClassifier,
        {"units": (6, 5, 4), "epochs": 3, "random_state": 0, "protocol": "smoke"},
    ),
    "inception": (estimators.InceptionClassifier, {**SMALL, "filters": 4, "depth": 3}),
    "h_inception": (estimators.HInceptionClassifier, {**SMALL, "filters": 4, "depth": 3}),
    "lite": (estimators.LITEClassifier, {**SMALL, "filters": 4}),
    "encoder": (estimators.EncoderClassifier, {**SMALL, "filters": (6, 6), "kernels": (5, 3)}),
    "mlstm_fcn": (estimators.MLSTMFCNClassifier, LSTM),
    "malstm_fcn": (estimators.MALSTMFCNClassifier, {**LSTM, "shuffle": False}),
}
RAGGED = [np.random.default_rng(i).normal(size=(2, length)) for i, length in enumerate([9, 14, 9, 11, 14, 12])]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_an_explanation_adds_up_and_agrees_with_the_predictions(name: str) -> None:
    dataset = archive.load(ITALY)
    class_, settings = CLASSIFIERS[name]
    classifier = class_(**settings).fit(dataset.x_train, dataset.y_train)
    x = dataset.x_test[:7]
    result = explain(classifier, x)
    assert result.probabilities == pytest.approx(classifier.predict_proba(x), abs=1e-6)
    assert result.classes[result.predicted].tolist() == classifier.predict(x).tolist()
    assert result.x.shape == (7, 1, 24) and result.saliency.shape == (7, 2, 1, 24)
    assert (result.maps is None, result.recurrent is None) == (name in ("mlp", "encoder"), "lstm" not in name)
    assert (result.attention is None, result.context is None) == ("alstm_fcn" not in name,) * 2
    if result.maps is not None and result.bias is not None:
        recurrent = 0 if result.recurrent is None else result.recurrent
        assert result.maps.mean(axis=2) + result.bias + recurrent == pytest.approx(result.logits, abs=1e-5)


def test_classes_are_in_the_order_of_the_classifier() -> None:
    """Labels 10 and 9 are in numeric order among the logits and in that of text in classes_."""
    x = np.random.default_rng(0).normal(size=(8, 12))
    y = np.array(["10", "9"] * 4)
    x[y == "10"] += np.linspace(0, 5, 12)
    classifier = estimators.FCNClassifier(**{**SMALL, "epochs": 30}).fit(x, y)
    assert classifier.classes_.tolist() == ["10", "9"]
    result = explain(classifier, x)
    assert result.probabilities == pytest.approx(classifier.predict_proba(x), abs=1e-6)
    assert result.maps is not None and result.bias is not None
    assert result.maps.mean(axis=2) + result.bias == pytest.approx(result.logits, abs=1e-5)


def test_cases_of_different_lengths_are_nan_after_their_end() -> None:
    classifier = estimators.FCNClassifier(**SMALL, length="mask").fit(RAGGED, list("ababab"))
    result = explain(classifier, RAGGED)
    assert result.maps is not None and result.bias is not None
    assert result.lengths.tolist() == [9, 14, 9, 11, 14, 12]
    assert np.isnan(result.maps[0, :, 9:]).all() and not np.isnan(result.maps[0, :, :9]).any()
    assert np.nanmean(result.maps, axis=2) + result.bias == pytest.approx(result.logits, abs=1e-5)
    assert result.probabilities == pytest.approx(classifier.predict_proba(RAGGED), abs=1e-6)


@pytest.mark.parametrize(("shuffle", "n_batches"), [(True, 4), (False, 6)])
def test_only_attention_over_time_is_explained_case_by_case(shuffle: bool, n_batches: int) -> None:
    """Cases of one length are a batch otherwise, of which there are four here."""
    classifier = estimators.ALSTMFCNClassifier(**{**LSTM, "shuffle": shuffle}, length="mask")
    classifier.fit(RAGGED, list("ababab"))
    sizes: list[int] = []
    with classifier.network_.register_forward_hook(lambda module, inputs, output: sizes.append(len(output))):
        explain(classifier, RAGGED)
    assert len(sizes) == 2 * n_batches and sum(sizes) == 2 * len(RAGGED)  # for the logits and for their gradients


def test_a_double_precision_classifier_has_maps_exact_to_1e_12() -> None:
    dataset = archive.load(ITALY)
    classifier = estimators.FCNClassifier(**SMALL, precision="float64").fit(dataset.x_train, dataset.y_train)
    result = explain(classifier, dataset.x_test[:20])
    assert result.maps is not None and result.bias is not None and result.maps.dtype == np.float64
    assert np.abs(result.maps.mean(axis=2) + result.bias - result.logits).max() < 1e-12


def test_a_classifier_that_is_not_fitted_is_refused() -> None:
    with pytest.raises(NotFittedError):
        tsfcn.explain(estimators.FCNClassifier(), np.zeros((2, 9)))


def test_explain_is_a_name_of_the_package() -> None:
    assert tsfcn.explain is explain and "explain" in tsfcn.__all__


# --- against truth


def measured(classifier: estimators.NetworkClassifier, explanation: Explanation) -> Faithfulness:
    """Return the faithfulness of the maps of the predicted classes, on cases of one length."""

    def predict(x: Any, lengths: Any) -> Any:
        with torch.no_grad():
            return torch.softmax(classifier.network_(torch.from_numpy(x)), dim=1).numpy()

    positions = explanation.predicted
    return faithfulness(predict, explanation.x, explanation.lengths, explanation.importance(positions), positions)


@pytest.mark.slow
def test_maps_of_cbf_are_inside_the_event() -> None:
    """A map that is the same everywhere has 60 % inside."""
    train, test = cbf(30, seed=1), cbf(60, seed=2)
    classifier = estimators.FCNClassifier(epochs=60, random_state=0).fit(train.x, train.y)
    result = explain(classifier, test.x)
    shares = share_inside(result.importance(result.predicted), test.onset, test.end)
    assert shares.mean() >= 0.7
    assert share_inside(np.ones((60, 128)), test.onset, test.end).mean() < 0.65


@pytest.mark.slow
def test_deletion_on_gunpoint_is_below_random(archive_root: Any) -> None:
    dataset = archive.load("GunPoint", archive_root)
    scores = []
    for seed in range(5):
        classifier = estimators.FCNClassifier(epochs=40, random_state=seed).fit(dataset.x_train, dataset.y_train)
        scores.append(measured(classifier, explain(classifier, dataset.x_test[::10])))
    assert sum(score.deletion < score.random for score in scores) >= 4


def test_a_classifier_for_sktime_is_explained_and_others_are_refused() -> None:
    data = tsfcn.load("ItalyPowerDemand")
    classifier = tsfcn.sktime.FCNClassifier(protocol="smoke", filters=(4, 4, 4), random_state=0)
    classifier.fit(data.x_train, data.y_train)
    maps = tsfcn.explain(classifier, data.x_test[:3]).maps
    np.testing.assert_array_equal(maps, tsfcn.explain(classifier.classifier_, data.x_test[:3]).maps)
    with pytest.raises(UserError, match="explain takes a fitted classifier of tsfcn, not DummyClassifier"):
        tsfcn.explain(DummyClassifier(), data.x_test)
