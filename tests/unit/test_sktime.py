"""The classifiers for sktime: its own checks, and the same predictions as those for scikit-learn."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sktime.datatypes import convert_to
from sktime.utils.estimator_checks import check_estimator

import tsfcn
from tsfcn import estimators
from tsfcn import sktime as coats
from tsfcn.config import models

NAMES = tsfcn.CLASSIFIERS
SMALL: dict[str, Any] = {"protocol": "smoke", "epochs": 2, "random_state": 0}


def small(module: Any, name: str) -> Any:
    """Return a small classifier of tsfcn.sktime or of tsfcn.estimators."""
    return getattr(module, name)(**SMALL, **getattr(coats, name).small)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_checks_of_sktime(name: str) -> None:
    results = check_estimator(getattr(coats, name), raise_exceptions=True, verbose=False)
    assert Counter(results.values()).keys() == {"PASSED"} and len(results) > 200


@pytest.mark.parametrize("name", NAMES)
def test_the_same_names_and_parameters_as_for_scikit_learn(name: str) -> None:
    ours, theirs = getattr(coats, name)(), getattr(estimators, name)()
    assert ours.get_params() == theirs.get_params()
    assert type(ours).estimator is type(theirs)
    assert ours.get_tag("capability:multithreading") == models.spec(ours.architecture).fused(ours.model_config())


@pytest.mark.parametrize("name", NAMES)
def test_any_panel_gives_the_probabilities_of_scikit_learn(name: str) -> None:
    data = tsfcn.load("ItalyPowerDemand")
    expected = small(estimators, name).fit(data.x_train, data.y_train).predict_proba(data.x_test[:50])
    for mtype in ("numpy3D", "df-list", "nested_univ", "pd-multiindex"):
        x, test = (convert_to(part, mtype) for part in (data.x_train, data.x_test[:50]))
        classifier = small(coats, name).fit(x, data.y_train)
        np.testing.assert_array_equal(classifier.predict_proba(test), expected)
        np.testing.assert_array_equal(classifier.predict(test), classifier.classes_[expected.argmax(axis=1)])


def test_series_of_unequal_length_and_several_channels() -> None:
    data = tsfcn.load("ItalyPowerDemand")
    both = np.concatenate([data.x_train, data.x_train[:, :, ::-1]], axis=1)
    cases = [case[:, : 24 - number % 7] for number, case in enumerate(both)]
    panel = [pd.DataFrame(case.T) for case in cases]
    expected = small(estimators, "FCNClassifier").fit(cases, data.y_train).predict_proba(cases)
    classifier = small(coats, "FCNClassifier").fit(panel, data.y_train)
    np.testing.assert_array_equal(classifier.predict_proba(panel), expected)
    assert classifier.classifier_.training_lengths_ == (18, 24)
