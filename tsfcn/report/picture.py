"""Series as pictures: lines of braille dots for a terminal, SVG for a page. numpy alone, no drawing library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.floating]  # (n_timepoints,), NaN where there is no value

# The dots of a braille character, rows from the top, left and right column: bits of U+2800.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
STYLE = (
    'font-family="sans-serif" font-size="12" fill="currentColor" style="color-scheme: light dark; color: CanvasText"'
)
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#8a5a9e", "#b08900")


def span(series: Sequence[Series]) -> tuple[float, float]:
    """Return the least and the greatest value of all series; (0, 0) where there is none."""
    values = np.concatenate([s[~np.isnan(s)] for s in series]) if len(series) else np.empty(0)
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)


def braille(
    series: Sequence[Series], low: float, high: float, n_timepoints: int, width: int = 60, height: int = 6
) -> list[str]:
    """Return `height` lines of `width` characters in which all series are drawn over each other.

    low, high: the values at the lower and the upper edge; n_timepoints: the timepoints that fill the width.
    """
    columns, rows = 2 * width, 4 * height
    dots = np.zeros((rows, columns), dtype=np.bool_)
    for s in series:
        x = np.arange(len(s)) * (columns - 1) / max(1, n_timepoints - 1)
        y = (rows - 1) * (1 - (s - low) / (high - low)) if high > low else np.where(np.isnan(s), np.nan, rows // 2)
        for i in range(len(s)):
            j = i + 1 if i + 1 < len(s) and not np.isnan(y[i + 1]) else i
            if np.isnan(y[i]):
                continue
            n = 1 + math.ceil(max(abs(x[j] - x[i]), abs(y[j] - y[i])))
            steps = np.linspace(0, 1, n)
            dots[
                np.rint(y[i] + steps * (y[j] - y[i])).astype(int), np.rint(x[i] + steps * (x[j] - x[i])).astype(int)
            ] = True
    lines = []
    for top in range(0, rows, 4):
        cells = [
            sum(DOTS[r][c] for r in range(4) for c in range(2) if dots[top + r, left + c])
            for left in range(0, columns, 2)
        ]
        lines.append("".join(chr(0x2800 + cell) for cell in cells))
    return lines


def svg(title: str, panels: Sequence[tuple[str, Sequence[Series]]], n_timepoints: int) -> str:
    """Return a page of small pictures as SVG text: a panel a class, its series over each other, all on one scale.

    panels: (caption, series). Colours hold on light and dark ground; the text is in the reader's own colour.
    """
    width, height, gap, text = 300, 120, 24, 18
    n_columns = min(3, max(1, len(panels)))
    n_rows = -(-len(panels) // n_columns)
    low, high = span([s for _, series in panels for s in series])
    total = (n_columns * (width + gap) + gap, n_rows * (height + text + gap) + gap + text)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total[0]} {total[1]}" role="img" {STYLE}>',
        f"<title>{escape(title)}</title>",
        f'<text x="{gap}" y="{text}" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (caption, series) in enumerate(panels):
        left = gap + (number % n_columns) * (width + gap)
        top = gap + text + (number // n_columns) * (height + text + gap)
        parts.append(f'<text x="{left}" y="{top + text - 6}">{escape(caption)}</text>')
        parts.append(
            f'<rect x="{left}" y="{top + text}" width="{width}" height="{height}" fill="none" stroke="currentColor" '
            'stroke-opacity="0.3"/>'
        )
        for colour, s in zip(COLOURS, series, strict=False):
            x = left + np.arange(len(s)) * width / max(1, n_timepoints - 1)
            y = top + text + height * (1 - (s - low) / (high - low) if high > low else np.full(len(s), 0.5))
            for piece in _pieces(s):
                points = " ".join(f"{x[i]:.1f},{y[i]:.1f}" for i in piece)
                if len(piece) == 1:
                    parts.append(f'<circle cx="{x[piece[0]]:.1f}" cy="{y[piece[0]]:.1f}" r="1.5" fill="{colour}"/>')
                else:
                    parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
    return "\n".join([*parts, "</svg>", ""])


def _pieces(s: Series) -> list[npt.NDArray[np.int64]]:
    """Return the positions of each run of values without a gap."""
    there = np.flatnonzero(~np.isnan(s))
    return [run for run in np.split(there, np.flatnonzero(np.diff(there) > 1) + 1) if len(run)]
