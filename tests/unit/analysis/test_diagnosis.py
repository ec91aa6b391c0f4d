"""Confusions, recall and precision by class, and calibration, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tsfcn.analysis.diagnosis import StoredPredictions, diagnose, reliability

Y_TRUE = np.array([0, 0, 0, 1, 1, 2], dtype=np.int16)
Y_PRED = np.array([0, 0, 1, 1, 1, 1], dtype=np.int16)


def test_errors_by_class() -> None:
    probabilities = np.full((6, 4), 0.25, dtype=np.float16)
    result = diagnose(StoredPredictions(["a", "b", "c", "d"], probabilities, Y_TRUE, Y_PRED))
    assert result.confusion.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert result.recall == pytest.approx([2 / 3, 1, 0, np.nan], nan_ok=True)
    assert result.precision == pytest.approx([1, 0.5, np.nan, np.nan], nan_ok=True)


def test_calibration_error_is_the_mean_gap_weighted_by_cases() -> None:
    confidence = np.array([0.92, 0.94, 0.96, 0.92, 0.55, 0.55])
    y_true = np.array([0, 0, 0, 1, 0, 1])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    result = reliability(probabilities, y_true, np.zeros(6, dtype=np.int64))
    assert result.n_cases.tolist() == [2, 2, 2]  # bins end at 14/15 = 0.933
    assert result.confidence == pytest.approx([0.55, 0.92, 0.95])
    assert result.accuracy == pytest.approx([0.5, 0.5, 1.0])
    gaps = [2 * abs(0.5 - 0.55), 2 * abs(0.5 - 0.92), 2 * abs(1 - 0.95)]
    assert result.calibration_error == pytest.approx(sum(gaps) / 6)


@pytest.mark.parametrize(("n_right", "expected"), [(10, 0.0), (0, 1.0)])
def test_calibration_of_certain_predictions(n_right: int, expected: float) -> None:
    probabilities = np.tile(np.array([[1.0, 0.0]], dtype=np.float16), (10, 1))
    y_true = np.where(np.arange(10) < n_right, 0, 1)
    assert reliability(probabilities, y_true, np.zeros(10, dtype=np.int64)).calibration_error == expected


def test_well_calibrated_predictions_have_a_small_error() -> None:
    numbers = np.random.default_rng(0)
    p = numbers.uniform(0.5, 1, 20_000)
    y_true = (numbers.uniform(size=20_000) > p).astype(int)
    probabilities = np.stack([p, 1 - p], axis=1)
    predicted = np.zeros(20_000, dtype=np.int64)
    assert reliability(probabilities, y_true, predicted).calibration_error < 0.02
    assert reliability(probabilities**3, y_true, predicted).calibration_error > 0.2
