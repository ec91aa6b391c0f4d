"""Cylinder, bell and funnel: events are where the cases say, in the shape of the class."""

from __future__ import annotations

import numpy as np
import pytest

from tsfcn.data.cbf import cbf, share_inside


def test_events_have_the_shape_of_their_class() -> None:
    x, y, onset, end = cbf(600, seed=0)
    assert (onset >= 16).all() and (onset <= 32).all() and (end - onset >= 32).all() and (end <= 127).all()
    halves = {name: np.zeros(2) for name in ("cylinder", "bell", "funnel")}
    for case, label, a, b in zip(x[:, 0], y, onset, end, strict=True):
        middle = (a + b) // 2
        halves[label] += [case[a:middle].mean() / 200, case[middle : b + 1].mean() / 200]
    assert halves["cylinder"] == pytest.approx([6, 6], abs=0.3)
    assert halves["bell"] == pytest.approx([1.5, 4.5], abs=0.3)
    assert halves["funnel"] == pytest.approx([4.5, 1.5], abs=0.3)


def test_outside_of_the_events_is_standard_noise() -> None:
    x, _, onset, end = cbf(300, seed=1)
    times = np.arange(128)
    noise = x[:, 0][(times < onset[:, None]) | (times > end[:, None])]
    assert noise.mean() == pytest.approx(0, abs=0.05) and noise.std() == pytest.approx(1, abs=0.05)


def test_the_same_seed_gives_the_same_cases() -> None:
    assert np.array_equal(cbf(5, 3).x, cbf(5, 3).x) and not np.array_equal(cbf(5, 3).x, cbf(5, 4).x)


def test_share_inside_counts_positive_mass_within_the_margin() -> None:
    maps = np.zeros((1, 30))
    maps[0, [2, 3, 10, 27]] = [1, 2, 4, -9]
    onset, end = np.array([10]), np.array([12])
    assert share_inside(maps, onset, end) == pytest.approx([6 / 7])  # 3 to 19
    assert share_inside(maps, onset, end, margin=0) == pytest.approx([4 / 7])
