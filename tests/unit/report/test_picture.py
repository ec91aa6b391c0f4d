"""Pictures of series: the dots of a line, and the elements of an SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from tsfcn.report import picture

NAN = float("nan")


def dots(lines: list[str]) -> list[str]:
    """Return the dots as '#' and '.', one text for each row of dots."""
    rows = []
    for line in lines:
        for r in range(4):
            rows.append("".join("#" if ord(ch) - 0x2800 & picture.DOTS[r][c] else "." for ch in line for c in range(2)))
    return rows


def test_a_rising_series_is_a_rising_line_of_dots() -> None:
    assert dots(picture.braille([np.arange(4.0)], 0, 3, 4, width=2, height=1)) == ["...#", "..#.", ".#..", "#..."]


def test_steps_are_joined_and_gaps_are_not() -> None:
    assert dots(picture.braille([np.array([0.0, 3.0])], 0, 3, 2, width=1, height=1)) == [".#", ".#", "#.", "#."]
    lonely = picture.braille([np.array([0.0, NAN, 3.0, NAN])], 0, 3, 4, width=2, height=1)
    assert dots(lonely) == ["..#.", "....", "....", "#..."]


def test_a_shorter_series_ends_earlier() -> None:
    assert dots(picture.braille([np.zeros(2)], 0, 3, 4, width=2, height=1)) == ["....", "....", "....", "##.."]


def test_a_constant_series_and_none_are_drawn() -> None:
    assert sum(row.count("#") for row in dots(picture.braille([np.ones(4)], 1, 1, 4, width=2, height=1))) == 4
    assert picture.braille([], 0, 0, 1, width=2, height=1) == ["⠀⠀"]
    assert picture.span([np.array([NAN])]) == (0.0, 0.0)


def test_svg_has_a_panel_per_class_and_a_line_per_series() -> None:
    panels = [("class <a>", [np.arange(3.0), np.array([1.0, NAN, 2.0])]), ("class b", [np.zeros(2)])]
    root = ET.fromstring(picture.svg("A & B", panels, 3))
    tag = "{http://www.w3.org/2000/svg}"
    assert [element.text for element in root.iter(f"{tag}text")] == ["A & B", "class <a>", "class b"]
    assert root.findtext(f"{tag}title") == "A & B"
    assert len(list(root.iter(f"{tag}polyline"))) == 2
    assert len(list(root.iter(f"{tag}circle"))) == 2  # single values between gaps
    assert "nan" not in picture.svg("x", panels, 3)
