"""Where a classifier errs and how far its probabilities can be trusted, from stored predictions.

Confusion matrix, recall, precision and the reliability curve are those of scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

N_BINS = 15  # of equal width, as in Guo et al. 2017

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Reliability:
    """The reliability curve: how often predictions of about the same confidence are right. Without empty bins.

    confidence: (n_bins,), the mean probability of the predicted class. accuracy: (n_bins,), the share that is right.
    n_cases: int64 (n_bins,).
    """

    confidence: Array
    accuracy: Array
    n_cases: Array

    @property
    def calibration_error(self) -> float:
        """The expected calibration error, 0 to 1: Guo et al. 2017, equation 3."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float((gaps * self.n_cases).sum() / self.n_cases.sum())


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The errors of predictions by class.

    Args:
        classes: (n_classes,), the labels.
        confusion: int64 (n_classes, n_classes), the cases of each true class (row) by predicted class (column).
        recall: (n_classes,), the share of the cases of a class that is predicted right; NaN for a class without cases.
        precision: (n_classes,), the share of the predictions of a class that is right; NaN for one never predicted.
    """

    classes: Sequence[str]
    confusion: Array
    recall: Array
    precision: Array


@dataclass(frozen=True, eq=False)
class StoredPredictions:
    """The predictions of a job, or of several on the same dataset one after another.

    probabilities: (n_cases, n_classes). y_true, y_pred: int (n_cases,), positions in `classes`.
    """

    classes: Sequence[str]
    probabilities: Array
    y_true: Array
    y_pred: Array


def joined(jobs: Sequence[StoredPredictions]) -> StoredPredictions:
    """Return the predictions of several jobs on the same dataset one after another."""
    return StoredPredictions(
        jobs[0].classes,
        np.concatenate([job.probabilities for job in jobs]),
        np.concatenate([job.y_true for job in jobs]),
        np.concatenate([job.y_pred for job in jobs]),
    )


def diagnose(predictions: StoredPredictions) -> Diagnosis:
    """Return the confusion matrix, and recall and precision by class, of predictions."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    y_true, y_pred = predictions.y_true, predictions.y_pred
    labels = np.arange(len(predictions.classes))
    precision, recall, _, _ = precision_recall_fscore_support(y_true, y_pred, labels=labels, zero_division=np.nan)
    return Diagnosis(
        predictions.classes,
        confusion_matrix(y_true, y_pred, labels=labels),
        recall,
        precision,
    )


def reliability(probabilities: Array, y_true: Array, y_pred: Array) -> Reliability:
    """Return the reliability curve of the predicted classes, in N_BINS bins of equal width.

    Args:
        probabilities: (n_cases, n_classes), as stored in float16.
        y_true: int (n_cases,).
        y_pred: int (n_cases,).
    """
    from sklearn.calibration import calibration_curve

    confidence = np.clip(probabilities[np.arange(len(y_pred)), y_pred].astype(np.float64), 0, 1)
    accuracy, mean = calibration_curve(y_true == y_pred, confidence, n_bins=N_BINS, pos_label=True)
    bins = np.searchsorted(np.linspace(0, 1, N_BINS + 1)[1:-1], confidence)  # those of calibration_curve
    counts = np.bincount(bins, minlength=N_BINS)
    return Reliability(mean, accuracy, counts[counts > 0])
