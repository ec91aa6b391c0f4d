"""Series as pictures: braille dots for a terminal, SVG for a browser. Needs numpy only, no plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.floating]  # (n_timepoints,), NaN where there is no value

# The bits of U+2800 for the dots of a braille character: rows from the top, left and right column.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
STYLE = (
    'font-family="sans-serif" font-size="12" fill="currentColor" style="color-scheme: light dark; color: CanvasText"'
)
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#8a5a9e", "#b08900")
_WIDTH, _HEIGHT, _GAP, _TEXT_HEIGHT = 300, 120, 24, 18  # pixels of a panel
_MOST_PER_ROW = 3


def span(series: Sequence[Series]) -> tuple[float, float]:
    """Return the least and the greatest value of all series; (0, 0) if there is none."""
    values = np.concatenate([s[~np.isnan(s)] for s in series]) if len(series) else np.empty(0)
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)


# ---------------------------------------------------------------------------------------------------------------------
# Braille


def braille(
    series: Sequence[Series],
    low: float,
    high: float,
    n_timepoints: int,
    width: int = 60,
    height: int = 6,
) -> list[str]:
    """Return all series drawn over each other, as `height` lines of `width` braille characters.

    Args:
        series: what is drawn.
        low: the value at the lower edge.
        high: the value at the upper edge.
        n_timepoints: the timepoints that fill the width.
        width: in characters of two dots.
        height: in characters of four dots.
    """
    dots = np.zeros((4 * height, 2 * width), dtype=np.bool_)
    for s in series:
        x = np.arange(len(s)) * (2 * width - 1) / max(1, n_timepoints - 1)
        middle = np.where(np.isnan(s), np.nan, 2 * height)
        y = (4 * height - 1) * (1 - (s - low) / (high - low)) if high > low else middle
        _draw(dots, x, y)
    return ["".join(_character(dots[r : r + 4, c : c + 2]) for c in range(0, 2 * width, 2)) for r in _rows(height)]


def _rows(height: int) -> range:
    return range(0, 4 * height, 4)


def _draw(dots: npt.NDArray[np.bool_], x: Series, y: Series) -> None:
    """Set the dots of a series, joining neighbours by straight lines; NaN in y is a gap."""
    for i in range(len(x)):
        if np.isnan(y[i]):
            continue
        j = i + 1 if i + 1 < len(x) and not np.isnan(y[i + 1]) else i
        steps = np.linspace(0, 1, 1 + math.ceil(max(abs(x[j] - x[i]), abs(y[j] - y[i]))))
        rows, columns = y[i] + steps * (y[j] - y[i]), x[i] + steps * (x[j] - x[i])
        dots[np.rint(rows).astype(int), np.rint(columns).astype(int)] = True


def _character(dots: npt.NDArray[np.bool_]) -> str:
    """Return the braille character of dots (4, 2)."""
    return chr(0x2800 + sum(DOTS[r][c] for r in range(4) for c in range(2) if dots[r, c]))


# ---------------------------------------------------------------------------------------------------------------------
# SVG


@dataclass(frozen=True)
class _Scale:
    """The scale that all panels share: values from low to high, and the timepoints that fill the width."""

    low: float
    high: float
    n_timepoints: int

    def points(self, s: Series, left: int, top: int) -> tuple[Series, Series]:
        """Return the pixels (x, y) of a series in the panel whose frame begins at (left, top)."""
        x = left + np.arange(len(s)) * _WIDTH / max(1, self.n_timepoints - 1)
        share = (s - self.low) / (self.high - self.low) if self.high > self.low else np.full(len(s), 0.5)
        return x, top + _HEIGHT * (1 - share)


def svg(title: str, panels: Sequence[tuple[str, Sequence[Series]]], n_timepoints: int) -> str:
    """Return small pictures as SVG: a panel for each class, its series over each other, all on one scale.

    The colours are readable on a light and on a dark background; the text has the colour of the reader's scheme.

    Args:
        title: above the panels.
        panels: (caption, series) each.
        n_timepoints: the timepoints that fill the width of a panel.
    """
    n_columns = min(_MOST_PER_ROW, max(1, len(panels)))
    n_rows = -(-len(panels) // n_columns)
    scale = _Scale(*span([s for _, series in panels for s in series]), n_timepoints)
    step = (_WIDTH + _GAP, _HEIGHT + _TEXT_HEIGHT + _GAP)
    size = (n_columns * step[0] + _GAP, n_rows * step[1] + _GAP + _TEXT_HEIGHT)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" role="img" {STYLE}>',
        f"<title>{escape(title)}</title>",
        f'<text x="{_GAP}" y="{_TEXT_HEIGHT}" font-weight="bold">{escape(title)}</text>',
    ]
    for i, (caption, series) in enumerate(panels):
        left, top = _GAP + (i % n_columns) * step[0], _GAP + _TEXT_HEIGHT + (i // n_columns) * step[1]
        parts.append(f'<text x="{left}" y="{top + _TEXT_HEIGHT - 6}">{escape(caption)}</text>')
        parts += _panel(series, left, top + _TEXT_HEIGHT, scale)
    return "\n".join([*parts, "</svg>", ""])


def _panel(series: Sequence[Series], left: int, top: int, scale: _Scale) -> list[str]:
    """Return the frame and the lines of a panel.

    Args:
        series: what is drawn.
        left: edge of the frame.
        top: edge of the frame.
        scale: of all panels.
    """
    frame = f'x="{left}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}"'
    parts = [f'<rect {frame} fill="none" stroke="currentColor" stroke-opacity="0.3"/>']
    for colour, s in zip(COLOURS, series, strict=False):
        x, y = scale.points(s, left, top)
        parts += [_stroke(x[run], y[run], colour) for run in _runs(s)]
    return parts


def _stroke(x: Series, y: Series, colour: str) -> str:
    """Return a line through points, or a dot if there is one point only."""
    if len(x) == 1:
        return f'<circle cx="{x[0]:.1f}" cy="{y[0]:.1f}" r="1.5" fill="{colour}"/>'
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>'


def _runs(s: Series) -> list[npt.NDArray[np.int64]]:
    """Return the positions of each run of values without a gap."""
    present = np.flatnonzero(~np.isnan(s))
    return [run for run in np.split(present, np.flatnonzero(np.diff(present) > 1) + 1) if len(run)]
