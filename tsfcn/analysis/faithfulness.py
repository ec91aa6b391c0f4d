"""Whether a map shows what the prediction depends on: deletion and insertion against random order.

Petsiuk et al. 2018 (RISE), section 4.1: the parts of an input are deleted, the most important first, and the
probability of the predicted class is averaged over the steps. A faithful map makes it fall soon. Insertion adds the
parts in the same order, and a faithful map makes the probability rise soon.

A series is divided into 16 windows of about equal width, because a single missing timepoint hides nothing: its
neighbours give it away. A series of fewer timepoints has a window for each. A straight line between the remaining
neighbours replaces a window that is deleted, so that no jump is added. Before the first and after the last remaining
timepoint the series is constant. Where none remains, the whole series is its mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsfcn.data.preprocess import Floats, Int64

N_WINDOWS = 16
N_RANDOM = 3  # random orders

Bools = npt.NDArray[np.bool_]
Predict = Callable[[Floats, Int64], Floats]


@dataclass(frozen=True)
class Faithfulness:
    """The mean probability of the predicted class while windows are deleted or inserted; fractions from 0 to 1.

    A faithful map has deletion < random < insertion. `random` is that of both in random order, since the deletion of
    windows is the insertion of the others. All cases have the same weight.
    """

    deletion: float
    random: float
    insertion: float
    n_cases: int


def faithfulness(
    predict: Predict,
    x: Floats,
    lengths: Int64,
    importance: Floats,
    positions: Int64,
    seed: int = 0,
) -> Faithfulness:
    """Return the deletion and insertion scores of maps, and those of random orders.

    Args:
        predict: Returns the probability of each class, (n_cases, n_classes), for x and lengths.
        x: (n_cases, n_channels, n_timepoints), prepared.
        lengths: int64 (n_cases,), the timepoints of each case.
        importance: (n_cases, n_timepoints), the maps.
        positions: int64 (n_cases,), the predicted class of each case.
        seed: Of the random orders.
    """
    generator = np.random.default_rng(seed)
    n_windows = np.minimum(N_WINDOWS, lengths)
    groups = [np.flatnonzero(n_windows == n) for n in np.unique(n_windows)]
    parts = [_Cases(x[g], lengths[g], importance[g], positions[g]) for g in groups]
    scores = [_scores(predict, part, generator) for part in parts]
    deletion, random, insertion = np.average(scores, axis=0, weights=[len(group) for group in groups]).tolist()
    return Faithfulness(deletion, random, insertion, n_cases=len(x))


@dataclass(frozen=True, eq=False)
class _Cases:
    """Cases that have the same number of windows; the arrays are as for `faithfulness`."""

    x: Floats
    lengths: Int64
    importance: Floats
    positions: Int64


def _scores(predict: Predict, cases: _Cases, generator: np.random.Generator) -> tuple[float, float, float]:
    """Return the mean probability for deletion, random orders and insertion. predict: as for `faithfulness`."""
    windows = window_numbers(cases.lengths, cases.x.shape[2])
    means = [_mean_within(cases.importance, windows == w) for w in range(int(windows.max()) + 1)]
    order = np.argsort(-np.stack(means, axis=1), axis=1, kind="stable")  # the most important first
    deletion = _mean_probability(predict, cases, windows, order[:, ::-1])  # the least important is kept to the end
    insertion = _mean_probability(predict, cases, windows, order)
    random = [_mean_probability(predict, cases, windows, generator.permuted(order, axis=1)) for _ in range(N_RANDOM)]
    return deletion, float(np.mean(random)), insertion


def window_numbers(lengths: Int64, n_timepoints: int) -> Int64:
    """Return the window of each timepoint, int64 (n_cases, n_timepoints), -1 after the end of a case.

    A case has N_WINDOWS windows, or one for each timepoint if it is shorter.

    >>> window_numbers(np.array([4, 2]), 4).tolist()
    [[0, 1, 2, 3], [0, 1, -1, -1]]
    """
    n_windows = np.minimum(N_WINDOWS, lengths)[:, None]
    times = np.arange(n_timepoints)
    return np.where(times < lengths[:, None], times * n_windows // lengths[:, None], -1)


def _mean_within(values: Floats, inside: Bools) -> Floats:
    """Return the mean of each row over the timepoints inside, (n_cases,)."""
    return np.asarray(np.where(inside, values, 0.0).sum(axis=1) / inside.sum(axis=1))


def _mean_probability(predict: Predict, cases: _Cases, windows: Int64, order: Int64) -> float:
    """Return the mean probability of one class of each case over all steps from no window to all of them.

    Args:
        predict: As for `faithfulness`.
        cases: The cases.
        windows: The window of each timepoint.
        order: (n_cases, n_windows), in which windows are inserted.
    """
    from sklearn.metrics import auc

    n_windows = order.shape[1]
    rank = np.argsort(order, axis=1)  # at which step a window is inserted
    steps = np.take_along_axis(rank, windows.clip(0), axis=1)
    step = np.where(windows >= 0, steps, n_windows)  # (n_cases, n_timepoints)
    rows = np.arange(len(order)), cases.positions
    curve = [predict(masked(cases.x, cases.lengths, step < n), cases.lengths)[rows] for n in range(n_windows + 1)]
    return float(auc(np.linspace(0, 1, n_windows + 1), np.mean(curve, axis=1)))


def masked(x: Floats, lengths: Int64, kept: Bools) -> Floats:
    """Return the series with straight lines for the timepoints that are not kept; the mean where none is.

    kept: bool (n_cases, n_timepoints). x is not changed.

    >>> masked(np.array([[[1.0, 9.0, 3.0, 7.0]]]), np.array([4]), np.array([[True, False, True, False]])).tolist()
    [[[1.0, 2.0, 3.0, 3.0]]]
    """
    result = x.copy()
    for case, length, there in zip(result, lengths.tolist(), kept, strict=True):
        known = np.flatnonzero(there[:length])
        for channel in case:
            values = channel[:length]
            channel[:length] = np.interp(np.arange(length), known, values[known]) if len(known) else values.mean()
    return result
