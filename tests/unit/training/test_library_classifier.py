"""Classifiers of sktime by name: found, refused with one line, seeded, fitted to a real dataset."""

from __future__ import annotations

import random
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from tests.factories import ITALY
from tsfcn.common.errors import UserError
from tsfcn.config.libraries import LibraryConfig
from tsfcn.data import archive, preprocess
from tsfcn.data.catalogue import CATALOGUE
from tsfcn.training.library_classifier import LibraryClassifier, find

SUMMARY = "SummaryClassifier"  # needs no package besides sktime


def arrays(name: str = ITALY, normalisation: str = "none") -> preprocess.Arrays:
    """Return a bundled dataset as a classifier gets it."""
    dataset = archive.load(name, None)
    policies: dict[str, Any] = {"normalisation": normalisation, "missing": "zero", "length": "pad"}
    splits = dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test
    return preprocess.prepare(*splits, **policies, unequal=dataset.unequal, fixed_length=True)


def fitted(seed: int, name: str = SUMMARY, **params: Any) -> LibraryClassifier:
    """Return a classifier that is fitted to ITALY."""
    classifier = LibraryClassifier("sktime", LibraryConfig(name, params), seed)
    data = arrays()
    classifier.fit(data.x_train, data.y_train)
    return classifier


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LibraryConfig(), r"model\.sktime\.estimator is not set: name a classifier of sktime"),
        (LibraryConfig("summry"), r"model\.sktime\.estimator=summry is not a classifier of sktime: did you mean Su"),
        (LibraryConfig("os.system"), r"model\.sktime\.estimator=os\.system is not a classifier of sktime: it has "),
        (LibraryConfig("NaiveForecaster"), "model.sktime.estimator=NaiveForecaster is not a classifier of sktime"),
        (LibraryConfig("MrSQM"), r"MrSQM of sktime needs mrsqm( and numba)?: pip install mrsqm"),
        (LibraryConfig(SUMMARY, {"quantiles": 1}), r"model\.sktime\.params\.quantiles is not a parameter of Summary"),
        (LibraryConfig(SUMMARY, {"random_state": 1}), r"model\.sktime\.params\.random_state is the seed of the job"),
    ],
)
def test_what_cannot_be_had_is_one_line(config: LibraryConfig, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}") as refused:
        find("sktime", config)
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(find_spec("aeon") is not None, reason="aeon is installed")
def test_a_library_that_is_not_installed_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^model=aeon needs aeon, which cannot be imported, .*: pip install 'tsfcn\["):
        find("aeon", LibraryConfig("QUANTClassifier"))


def test_parameters_are_plain_values() -> None:
    with pytest.raises(UserError, match=r"^params are not plain values"):
        LibraryConfig(SUMMARY, {"estimator": object()})


def test_a_seed_decides_everything_and_the_global_generators_are_left_alone() -> None:
    data = arrays()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    expected = random.random(), np.random.random(), torch.rand(1).item()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    first, again, other = (fitted(seed).predict_proba(data.x_test, 2) for seed in (5, 5, 6))
    assert (random.random(), np.random.random(), torch.rand(1).item()) == expected
    assert (first == again).all() and (first != other).any()


def test_a_class_without_training_cases_has_probability_zero() -> None:
    classifier = LibraryClassifier("sktime", LibraryConfig(SUMMARY), 0)
    data = arrays()
    classifier.fit(data.x_train, 2 * data.y_train)  # of three classes the one in the middle is absent
    probabilities = classifier.predict_proba(data.x_test[:9], 3)
    assert probabilities.shape == (9, 3) and (probabilities[:, 1] == 0).all()
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(9))
    assert set(classifier.predict(data.x_test[:9]).tolist()) <= {0, 2}


def test_several_channels_are_refused_where_the_classifier_takes_one() -> None:
    classifier = LibraryClassifier("sktime", LibraryConfig("TimeSeriesForestClassifier", {"n_estimators": 2}), 0)
    x = np.zeros((4, 2, 20), np.float32)
    with pytest.raises(UserError, match=r"^TimeSeriesForestClassifier of sktime takes one channel, .* has 2: choose"):
        classifier.fit(x, np.array([0, 1, 0, 1]))


@pytest.mark.slow
@pytest.mark.parametrize("window", [None, "learned"])
def test_nearest_neighbour_with_dtw_has_the_official_error(window: str | None) -> None:
    pytest.importorskip("numba", reason="sktime's DTW needs numba")
    facts = CATALOGUE[ITALY]
    params: dict[str, Any] = {"distance": "dtw"}
    if window:
        params["distance_params"] = {"window": facts.dtw_window / 100}
    data = arrays()
    predicted = fitted(0, "KNeighborsTimeSeriesClassifier", **params).predict(data.x_test)
    error = facts.dtw_error if window else facts.dtw_full_error
    assert f"{(predicted != data.y_test).mean():.4f}" == f"{error:.4f}"
