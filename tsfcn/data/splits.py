"""Draw resampled splits, test sets and held-out cases."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tsfcn.common.errors import UserError
from tsfcn.data.preprocess import FloatsT, Int64, Labels


def resample(
    x_train: npt.NDArray[FloatsT],
    y_train: npt.ArrayLike,
    x_test: npt.NDArray[FloatsT],
    y_test: npt.ArrayLike,
    k: int,
) -> tuple[npt.NDArray[FloatsT], Labels, npt.NDArray[FloatsT], Labels]:
    """Draw the k-th split of the pooled cases, with as many training cases of each class as the official split has.

    Training cases are pooled before test cases. The cases of each class, classes in text order, are permuted with one
    `np.random.RandomState(k)`: the same cases in the same order as aeon's
    `stratified_resample_data(..., random_state=k)` gives for text labels.

    Args:
        x_train: Float (n_cases, n_channels, n_timepoints).
        y_train: Labels (n_cases,).
        x_test: As x_train, with as many channels and timepoints.
        y_test: As y_train.
        k: The number of the resample; 0 is the official split and returns the arrays unchanged.

    Returns:
        The new x_train, y_train, x_test and y_test.

    Raises:
        UserError: For a negative k, and for a label that occurs in one split only.
        ValueError: For arrays that differ in channels or timepoints.
    """
    train, test = np.asarray(y_train).astype(np.str_), np.asarray(y_test).astype(np.str_)
    if k < 0:
        raise UserError(f"resample {k} is negative: 0 is the official split, 1, 2, ... are the resamples")
    if k == 0:
        return x_train, train, x_test, test
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(f"x_test is of shape {x_test.shape}: x_train has {x_train.shape}, pad the shorter with NaN")
    one_sided = sorted(set(train.tolist()) ^ set(test.tolist()))
    if one_sided:
        raise UserError(f"label '{one_sided[0]}' is in one split only: a stratified resample needs it in both")
    x, y = np.concatenate([x_train, x_test]), np.concatenate([train, test])
    random = np.random.RandomState(k)
    to_train, to_test = [], []
    for label, n_train in zip(*np.unique(train, return_counts=True), strict=True):
        members = random.permutation(np.flatnonzero(y == label))
        to_train.append(members[:n_train])
        to_test.append(members[n_train:])
    chosen, rest = np.concatenate(to_train), np.concatenate(to_test)
    return x[chosen], y[chosen], x[rest], y[rest]


def stratified_holdout(y: npt.ArrayLike, fraction: float, seed: int) -> tuple[Int64, Int64]:
    """Hold out a fraction of every class, and keep at least one case of each class.

    y: class of each case (n_cases,). fraction: 0 < fraction < 1. seed: of the draw. Of a class of n cases,
    round(fraction * n) are held out (halves up), but at least 1 if n >= 2, and none if n = 1. Returns the positions
    that are kept and those that are held out: int64, sorted, disjoint, together all of y.
    Raises UserError for a fraction that is not between 0 and 1.

    >>> fit, held = stratified_holdout([0, 0, 0, 0, 0, 1, 1, 2], fraction=0.2, seed=0)
    >>> len(fit), [[0, 0, 0, 0, 0, 1, 1, 2][i] for i in held]
    (6, [0, 1])
    """
    if not 0 < fraction < 1:
        raise UserError(f"validation {fraction} is not a fraction between 0 and 1: write 0.2 to hold out a fifth")
    classes, codes = np.unique(np.asarray(y), return_inverse=True)
    random = np.random.RandomState(seed)
    held = np.zeros(len(codes), dtype=np.bool_)
    for code in range(len(classes)):
        members = random.permutation(np.flatnonzero(codes == code))
        n_held = min(max(1, int(np.floor(fraction * len(members) + 0.5))), len(members) - 1)
        held[members[:n_held]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
