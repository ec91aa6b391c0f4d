"""Deletion and insertion on a classifier whose only relevant window is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tsfcn.analysis.faithfulness import N_WINDOWS, faithfulness, masked, window_numbers

Array = npt.NDArray[np.floating]
LENGTHS = np.full(6, 64)


def bumps() -> Array:
    """Return noise with a bump at timepoints 20 to 27, which are two of the windows of four timepoints."""
    x = np.random.default_rng(0).normal(0, 0.1, (6, 1, 64))
    x[:, :, 20:28] += 3
    return x


def sees_the_bump(x: Array, lengths: npt.NDArray[np.int64]) -> Array:
    """Return the probabilities of a classifier that looks at timepoints 20 to 27 only."""
    p = 1 / (1 + np.exp(-4 * (x[:, 0, 20:28].mean(axis=1) - 1.5)))
    return np.stack([1 - p, p], axis=1)


def scores(importance: Array) -> tuple[float, float, float]:
    result = faithfulness(sees_the_bump, bumps(), LENGTHS, importance, np.ones(6, dtype=np.int64))
    assert result.n_cases == 6
    return result.deletion, result.random, result.insertion


def test_a_map_of_what_counts_is_better_than_random_and_its_opposite_is_worse() -> None:
    importance = np.zeros((6, 64))
    importance[:, 20:28] = 1
    deletion, random, insertion = scores(importance)
    assert deletion < 0.3 < random < 0.7 < insertion
    deletion, random, insertion = scores(-importance)
    assert insertion < 0.3 < random < 0.8 < deletion


def test_scores_are_the_area_under_the_curve_of_probabilities() -> None:
    """The same in single steps for one case, with a map that falls from left to right."""
    x = bumps()[:1]
    importance = np.linspace(1, 0, 64)[None]
    steps = []
    for n in range(N_WINDOWS + 1):
        kept = np.arange(64)[None] < 4 * n
        steps.append(sees_the_bump(masked(x, LENGTHS[:1], kept), LENGTHS[:1])[0, 1])
    expected = (sum(steps) - (steps[0] + steps[-1]) / 2) / N_WINDOWS
    result = faithfulness(sees_the_bump, x, LENGTHS[:1], importance, np.ones(1, dtype=np.int64))
    assert result.insertion == pytest.approx(expected)


def test_windows_divide_each_case_up_to_its_own_end() -> None:
    windows = window_numbers(np.array([64, 33]), 64)
    assert windows.max(axis=1).tolist() == [15, 15]
    assert (windows[1, 33:] == -1).all() and (np.diff(windows[1, :33]) >= 0).all()
    assert window_numbers(np.array([5, 9]), 9).max(axis=1).tolist() == [4, 8]  # one timepoint a window


def test_a_short_case_does_not_change_the_windows_of_the_others() -> None:
    """A case of one timepoint has one window, and the same probability whatever the order."""
    x, positions = bumps(), np.ones(6, dtype=np.int64)
    importance = np.zeros((6, 64))
    importance[:, 20:28] = 1
    long = faithfulness(sees_the_bump, x[:5], LENGTHS[:5], importance[:5], positions[:5])
    mixed = faithfulness(sees_the_bump, x, np.array([64] * 5 + [1]), importance, positions)
    short = sees_the_bump(x[5:], LENGTHS[5:])[0, 1]
    assert mixed.n_cases == 6
    assert mixed.deletion == pytest.approx((5 * long.deletion + short) / 6)
    assert mixed.insertion == pytest.approx((5 * long.insertion + short) / 6)


def test_masked_draws_straight_lines_and_leaves_the_padding() -> None:
    x = np.array([[[0.0, 5.0, 5.0, 3.0, 9.0], [1.0, 1.0, 1.0, 1.0, 1.0]]])
    kept = np.array([[True, False, False, True, False]])
    assert masked(x, np.array([4]), kept)[0, 0].tolist() == [0, 1, 2, 3, 9]
    nothing = masked(x, np.array([4]), np.zeros((1, 5), dtype=bool))
    assert nothing[0, 0].tolist() == [3.25, 3.25, 3.25, 3.25, 9]
    assert x[0, 0, 1] == 5
