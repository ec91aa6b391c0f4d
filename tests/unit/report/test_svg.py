"""Elements of charts: numbers, ticks and axes."""

from __future__ import annotations

import pytest

from tsfcn.report.svg import Axis, number, shorter, signed_tick, ticks


def test_number_has_no_trailing_and_no_negative_zero() -> None:
    assert [number(v, 2) for v in (1, -0.001, 0.1 + 0.2, 100, 99.999)] == ["1", "0", "0.3", "100", "100"]


def test_ticks_are_round_and_inside() -> None:
    assert ticks(-0.013, 0.021, 4) == [-0.01, 0.0, 0.01, 0.02]
    assert ticks(0.3, 0.3) == [0.3]
    assert [signed_tick(v) for v in ticks(-0.05, 0.05, 2)] == ["-0.05", "0", "+0.05"]


def test_axis_maps_its_ends_to_its_pixels() -> None:
    axis = Axis(0.4, 1, 46, 430)
    assert [axis.position(v) for v in (0.4, 0.7, 1)] == pytest.approx([46, 238, 430])


def test_long_text_ends_in_an_ellipsis() -> None:
    assert shorter("abcdef", 6) == "abcdef"
    assert shorter("abcdefg", 6) == "abcde…"
