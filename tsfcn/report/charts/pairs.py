"""The matrix of pairs: every method against every other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tsfcn.report import svg
from tsfcn.report.svg import Label

TITLE = "Every method against every other"
_CELL_WIDTH, _CELL_HEIGHT = 72.0, 50.0


@dataclass(frozen=True)
class Entry:
    """One cell of a matrix: the method of the row against the method of the column."""

    value: float  # decides the tint; positive is better
    lines: tuple[str, ...]
    significant: bool  # has a border; the star is part of the first line


def matrix(label: Label, names: Sequence[str], entries: Mapping[tuple[int, int], Entry]) -> str:
    """Return a matrix of pairs, row against column. The tint grows with the difference and is full at 0.05.

    Args:
        label: id, title and description of the chart.
        names: of the methods.
        entries: cells by (row, column); the others are empty.
    """
    k = len(names)
    labels = [f"{i + 1}  {svg.shorter(name, 36)}" for i, name in enumerate(names)]
    left, top = max(map(len, labels)) * svg.LETTER_WIDTH + 10, 24.0
    parts = [svg.text(left + _CELL_WIDTH * (j + 0.5), 16, str(j + 1), anchor="middle") for j in range(k)]
    for i in range(k):
        y = top + _CELL_HEIGHT * i
        parts.append(svg.text(4, y + _CELL_HEIGHT / 2 + 4, labels[i]))
        for j in range(k):
            parts += _cell(left + _CELL_WIDTH * j, y, entries.get((i, j)))
    return svg.chart(label, (left + _CELL_WIDTH * k + 2, top + _CELL_HEIGHT * k + 2), parts)


def _cell(x: float, y: float, entry: Entry | None) -> list[str]:
    if entry is None:
        return [_rectangle(x, y, 1, "none")]
    kind = "up" if entry.value > 0 else "down" if entry.value < 0 else "none"
    opacity = svg.number(0.05 + 0.25 * min(abs(entry.value) / 0.05, 1), 2)
    parts = [_rectangle(x, y, 1, kind, f' fill-opacity="{opacity}"')]
    if entry.significant:
        parts.append(_rectangle(x, y, 3, "strong"))
    for row, line in enumerate(entry.lines):
        kind = "" if row == 0 else "small"
        parts.append(svg.text(x + _CELL_WIDTH / 2, y + 17 + 14 * row, line, anchor="middle", kind=kind))
    return parts


def _rectangle(x: float, y: float, inset: float, kind: str, attributes: str = "") -> str:
    """Return a rectangle `inset` pixels inside the cell at (x, y).

    Args:
        x: left edge of the cell.
        y: upper edge of the cell.
        inset: pixels on each side.
        kind: its class.
        attributes: further ones, with a space before each.
    """
    lengths = (x + inset, y + inset, _CELL_WIDTH - 2 * inset, _CELL_HEIGHT - 2 * inset)
    place = " ".join(f'{n}="{svg.number(v)}"' for n, v in zip(("x", "y", "width", "height"), lengths, strict=True))
    return f'<rect class="{kind}" {place}{attributes}/>'
