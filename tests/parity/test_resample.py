"""Resamples compared with those of aeon, which the literature uses for its 30 resamples of UCR datasets."""

from __future__ import annotations

import numpy as np
import pytest

from tsfcn.data import archive, preprocess, splits

Y_TRAIN = np.array(["2", "1", "10", "2", "1", "2"])
Y_TEST = np.array(["1", "10", "2", "10", "1", "2", "2", "1"])

# From aeon 1.6.0, aeon.benchmarking.resampling.stratified_resample_data_indices(Y_TRAIN, Y_TEST, random_state=k).
GOLDEN = {
    1: ([6, 4, 2, 5, 8, 3], [13, 1, 10, 9, 7, 11, 0, 12]),
    2: ([6, 13, 2, 11, 3, 12], [4, 10, 1, 7, 9, 0, 8, 5]),
    30: ([10, 4, 9, 0, 5, 11], [6, 1, 13, 2, 7, 12, 3, 8]),
}

# The same of ItalyPowerDemand: first 8 and last 4 training cases, first and last 4 test cases.
ITALY = {
    1: ([935, 197, 524, 644, 952, 362, 545, 97], [1084, 440, 585, 893], [822, 486, 375, 275], [60, 74, 1021, 296]),
    29: ([863, 705, 356, 30, 281, 141, 594, 183], [743, 828, 981, 612], [905, 921, 689, 511], [60, 973, 3, 592]),
}


def indices(y_train: preprocess.Labels, y_test: preprocess.Labels, k: int) -> tuple[list[int], list[int]]:
    """Return which pooled cases our resample puts into training and testing, by cases that hold their own number."""
    pooled = np.arange(len(y_train) + len(y_test), dtype=np.float64)[:, None, None]
    x_train, labels_train, x_test, labels_test = splits.resample(
        pooled[: len(y_train)], y_train, pooled[len(y_train) :], y_test, k
    )
    train, test = x_train[:, 0, 0].astype(int).tolist(), x_test[:, 0, 0].astype(int).tolist()
    labels = np.concatenate([y_train, y_test])
    assert labels_train.tolist() == labels[train].tolist()  # labels move with their cases
    assert labels_test.tolist() == labels[test].tolist()
    return train, test


@pytest.mark.parametrize("k", sorted(GOLDEN))
def test_the_indices_are_aeons(k: int) -> None:
    assert indices(Y_TRAIN, Y_TEST, k) == GOLDEN[k]


@pytest.mark.parametrize("k", sorted(ITALY))
def test_the_indices_of_a_real_dataset_are_aeons(k: int) -> None:
    dataset = archive.load("ItalyPowerDemand")
    train, test = indices(dataset.y_train, dataset.y_test, k)
    assert (train[:8], train[-4:], test[:4], test[-4:]) == ITALY[k]


@pytest.mark.parametrize("k", [1, 2, 17])
def test_the_arrays_are_those_of_the_installed_aeon(k: int) -> None:
    aeon = pytest.importorskip("aeon.benchmarking.resampling", reason="aeon is not installed: nothing to compare with")
    dataset = archive.load("ArrowHead")
    actual = splits.resample(dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test, k)
    expected = aeon.stratified_resample_data(
        dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test, random_state=k
    )
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)
