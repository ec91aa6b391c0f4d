"""The critical difference diagram: methods at their mean ranks, and bars that join those that do not differ."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tsfcn.report import svg
from tsfcn.report.svg import Label

TITLE = "Critical difference diagram: mean ranks, and bars that join methods no two of which differ"
_BAR_STEP = 11  # between the bars of two sets
_ROW_STEP = 20  # between the labels of two methods
_NARROW_BAR_STEP = 12
_NARROW_ROW_STEP = 34.0


@dataclass(frozen=True)
class Bar:
    """The bar of one set of methods: its members from left to right, its pieces, and the position of each member."""

    members: tuple[int, ...]
    pieces: tuple[tuple[float, float], ...]
    stops: tuple[float, ...]


def bars(positions: Sequence[float], sets: Iterable[Sequence[int]], *, gap: float = 6.0) -> list[Bar]:
    """Return the bar of each set of methods, from left to right; a bar is broken at each method that it skips.

    A set is a maximal one no two of which differ. Its members need not be neighbours: between two of them the bar has a
    gap around each method that is not a member. Where there is no room for a gap the piece is left out, because
    membership is shown by the stops and a piece only joins them.

    Args:
        positions: pixel of each method along the bars.
        sets: indices of the members of each set.
        gap: pixels.
    """
    result = []
    for members in sets:
        inside = sorted(members, key=lambda i: (positions[i], i))
        pieces: list[tuple[float, float]] = []
        for a, b in itertools.pairwise(inside):
            others = {p for i, p in enumerate(positions) if i not in members}
            pieces += _pieces(positions[a], positions[b], others, gap)
        result.append(Bar(tuple(inside), tuple(_joined(pieces)), tuple(positions[i] for i in inside)))
    return sorted(result, key=lambda bar: (bar.stops[0], bar.stops[-1], bar.members))


def _pieces(start: float, end: float, others: Iterable[float], gap: float) -> list[tuple[float, float]]:
    """Return the pieces of a bar between two neighbouring members.

    Args:
        start: position of the first member.
        end: position of the second member.
        others: positions of the methods that are not members.
        gap: around each of them, pixels.
    """
    skipped = sorted(p for p in others if start <= p <= end)
    if skipped and end - start < gap + 4:
        return []
    left, right = start + gap / 2 + 2, end - gap / 2 - 2
    pieces = []
    for p in skipped:
        middle = min(max(p, left), right)  # at the stop of a member the gap would be hidden
        pieces.append((start, middle - gap / 2))
        start = middle + gap / 2
    return [*pieces, (start, end)]


def _joined(pieces: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return pieces in which those that touch are one, without empty ones (two skipped methods close together)."""
    joined: list[tuple[float, float]] = []
    for start, end in pieces:
        if start >= end:
            continue
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _rank_ticks(ranks: Sequence[float], length: float) -> range:
    """Return the ticks of an axis of ranks: whole ranks that enclose all mean ranks, as many as fit into `length`."""
    low, high = math.floor(min(ranks)), math.ceil(max(ranks))
    step = max(math.ceil((high - low) * 22 / length), 1)
    n = max(math.ceil((high - low) / step), 1)
    return range(low, low + n * step + 1, step)


def _best_first(ranks: Sequence[float]) -> list[int]:
    return sorted(range(len(ranks)), key=lambda i: (ranks[i], i))


def _stops(points: Iterable[tuple[float, float]]) -> list[str]:
    return [f'<circle class="stop" cx="{svg.number(x)}" cy="{svg.number(y)}" r="2.8"/>' for x, y in points]


# ---------------------------------------------------------------------------------------------------------------------
# Wide: a horizontal axis, and labels on both sides


@dataclass(frozen=True)
class _Axis:
    """The axis of a wide diagram: from pixel `left` to `right` at the height `y`, with whole ranks as ticks."""

    left: float
    right: float
    ticks: range
    y: float = 34.0

    def position(self, rank: float) -> float:
        """Return the pixel of a rank."""
        low, high = self.ticks[0], self.ticks[-1]
        return self.left + (rank - low) * ((self.right - self.left) / (high - low))

    def parts(self) -> list[str]:
        """Return the axis with its title and ticks."""
        parts = [svg.text((self.left + self.right) / 2, 12, "mean rank, 1 is best", anchor="middle", kind="soft")]
        parts.append(svg.line((self.left, self.y), (self.right, self.y), "axis"))
        for rank in self.ticks:
            x = self.position(rank)
            parts.append(svg.line((x, self.y - 5), (x, self.y), "axis"))
            parts.append(svg.text(x, self.y - 9, str(rank), anchor="middle"))
        return parts


def critical_difference(
    label: Label, names: Sequence[str], ranks: Sequence[float], sets: Iterable[Sequence[int]]
) -> str:
    """Return a critical difference diagram with one bar for each set of methods no two of which differ.

    Args:
        label: id, title and description of the chart.
        names: of the methods.
        ranks: their mean ranks; 1 is best.
        sets: indices of the methods of each set, as `stats.cliques` returns them.
    """
    order = _best_first(ranks)
    n_left = (len(names) + 1) // 2
    sides = (order[:n_left], order[n_left:])
    labels = {i: f"{svg.shorter(names[i], 38)}  {ranks[i]:.3f}" for i in order}
    margins = [max((len(labels[i]) for i in side), default=0) * svg.LETTER_WIDTH + 16 for side in sides]
    left, right = margins[0], margins[0] + max(360.0, 900 - sum(margins))
    axis = _Axis(left, right, _rank_ticks(ranks, right - left))
    x = [axis.position(rank) for rank in ranks]
    all_bars = bars(x, sets)
    below = 60.0 + _BAR_STEP * len(all_bars)
    titles = [f"{name}: mean rank {rank:.4f}" for name, rank in zip(names, ranks, strict=True)]
    parts = axis.parts()
    for side, edge, members in (("end", left - 6, sides[0]), ("start", right + 6, sides[1][::-1])):
        for row, i in enumerate(members):
            y = below + _ROW_STEP * row + 6
            parts.append(_stem(x[i], axis.y, y, edge))
            parts.append(svg.text(edge + (-5 if side == "end" else 5), y + 4, labels[i], anchor=side))
            parts.append(svg.mark(0, x[i], axis.y, title=titles[i]))
    for level, bar in enumerate(all_bars):
        y = 52.0 + _BAR_STEP * level
        parts += [svg.line((start, y), (end, y), "bar") for start, end in bar.pieces]
        parts += _stops((stop, y) for stop in bar.stops)
    return svg.chart(label, (right + margins[1], below + _ROW_STEP * n_left + 4), parts)


def _stem(x: float, top: float, y: float, edge: float) -> str:
    """Return the line from a mark to its label.

    Args:
        x: of the mark.
        top: height of the mark.
        y: height of the label.
        edge: where the line ends horizontally.
    """
    return f'<path class="stem" d="M{svg.number(x)} {svg.number(top)}V{svg.number(y)}H{svg.number(edge)}"/>'


# ---------------------------------------------------------------------------------------------------------------------
# Narrow: one row for each method


def rank_rows(label: Label, names: Sequence[str], ranks: Sequence[float], sets: Iterable[Sequence[int]]) -> str:
    """Return the same diagram for a narrow screen: one row for each method, best first, with vertical bars beside them.

    Args:
        label: id, title and description of the chart.
        names: of the methods.
        ranks: their mean ranks; 1 is best.
        sets: indices of the methods of each set, as `stats.cliques` returns them.
    """
    order, top = _best_first(ranks), 26.0
    bottom = top + _NARROW_ROW_STEP * len(names)
    heights = [top + _NARROW_ROW_STEP * order.index(i) + 22 for i in range(len(names))]
    all_bars = bars(heights, sets)
    left, right = 12.0, max(svg.WIDTH - 18.0 - _NARROW_BAR_STEP * len(all_bars), 200.0)
    ticks = _rank_ticks(ranks, right - left)
    axis = svg.Axis(ticks[0], ticks[-1], left, right)
    parts = []
    for rank in ticks:
        x = axis.position(rank)
        parts.append(svg.line((x, top), (x, bottom), "grid"))
        parts.append(svg.text(x, top - 6, str(rank), anchor="middle", kind="small"))
    for i in order:
        x, y = axis.position(ranks[i]), heights[i]
        parts.append(svg.text(left, y - 10, f"{svg.shorter(names[i], 44)}  {ranks[i]:.3f}", kind="name"))
        parts += [svg.line((left, y), (x, y), "span"), svg.mark(0, x, y, size=1.3)]
    for level, bar in enumerate(all_bars):
        x = right + 14 + _NARROW_BAR_STEP * level
        parts += [svg.line((x, start), (x, end), "bar") for start, end in bar.pieces]
        parts += _stops((x, y) for y in bar.stops)
    return svg.chart(label, (right + 20 + _NARROW_BAR_STEP * len(all_bars), bottom + 4), parts)
