"""Numbers become charts: SVG as text, with a title and a description in words.

Pure functions of what they are given: the same numbers give the same bytes. Nothing is told by colour alone: series
differ in shape too, and what is significant has a sign. Colours and fonts come from the page's style sheet
(page.css), so that a chart follows it from light to dark; the classes `s0` to `s5` are its series. Lengths are in
pixels of the view box.
"""

from __future__ import annotations

import html
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

WIDTH = 440  # of most charts: wide enough to read, narrow enough for a phone
N_SERIES = 6  # colours and shapes; a seventh series gets another pair of them
DOT = 3.0  # radius of a mark
LETTER = 6.7  # width of a letter of the labels, a little more than most have
CURVE_FLOOR = 1e-6  # a loss below it is drawn at it, since the axis is logarithmic

# What XML cannot hold, and what would turn around the direction of the text after it.
_NOT_TEXT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_SHAPES = (
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",  # circle
    "M-2.8-2.8h5.6v5.6h-5.6z",  # square
    "M0-3.6L3.5 2.6h-7z",  # triangle
    "M0-4L4 0L0 4L-4 0z",  # diamond
    "M-1.2-3.8h2.4v2.6h2.6v2.4h-2.6v2.6h-2.4v-2.6h-2.6v-2.4h2.6z",  # plus
    "M0 3.6L3.5-2.6h-7z",  # triangle that stands on its tip
)


def cleaned(text: object) -> str:
    """Return a text without signs that a page cannot hold; each becomes U+FFFD."""
    return _NOT_TEXT.sub("\ufffd", str(text))


def escaped(text: object) -> str:
    """Return a text as it may stand in HTML and SVG, between tags and in quoted attributes."""
    return html.escape(cleaned(text), quote=True)


def number(value: float, digits: int = 1) -> str:
    """Return a number with at most so many digits after the point, without trailing zeros.

    >>> number(12.0), number(-0.04), number(3.25, 2)
    ('12', '0', '3.25')
    """
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def shorter(text: str, n: int) -> str:
    """Return a text of at most n signs; one that is longer ends in an ellipsis."""
    return text if len(text) <= n else text[: n - 1].rstrip() + "…"


# ---------------------------------------------------------------------------------------------------------------------
# Parts


def _chart(
    ident: str, size: tuple[float, float], title: str, said: str, parts: Iterable[str], facts: Mapping[str, str]
) -> str:
    width, height = (number(length) for length in size)
    data = "".join(f' data-{name}="{escaped(value)}"' for name, value in facts.items())
    return (
        f'<svg id="{escaped(ident)}" class="chart" role="img" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" aria-labelledby="{escaped(ident)}-title {escaped(ident)}-desc"{data}>\n'
        f'<title id="{escaped(ident)}-title">{escaped(title)}</title>\n'
        f'<desc id="{escaped(ident)}-desc">{escaped(said)}</desc>\n' + "\n".join(parts) + "\n</svg>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    ends = " ".join(f'{n}="{number(v)}"' for n, v in (("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2)))
    return f'<line class="{kind}" {ends}/>'


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    look = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor != "start" else "")
    return f'<text x="{number(x)}" y="{number(y)}"{look}>{escaped(text)}</text>'


def _mark(series: int, x: float, y: float, *, size: float = 1, title: str = "", kind: str = "") -> str:
    i = series % N_SERIES
    shape = _SHAPES[(i + series // N_SERIES) % len(_SHAPES)]  # the seventh series has the first colour, another shape
    scale = "" if size == 1 else f" scale({number(size, 2)})"
    told = f"<title>{escaped(title)}</title>" if title else ""
    look = f"s{i}" + (f" {kind}" if kind else "")
    return f'<path class="{look}" transform="translate({number(x)} {number(y)}){scale}" d="{shape}">{told}</path>'


def _legend(names: Sequence[str], x: float, y: float) -> list[str]:
    """Return a line for each series, 16 high."""
    return [
        part
        for i, name in enumerate(names)
        for part in (_mark(i, x + 5, y + 16 * i - 4, size=1.2), _text(x + 16, y + 16 * i, shorter(name, 58)))
    ]


def ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Return round numbers from low to high, about n of them.

    >>> ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / n
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


# ---------------------------------------------------------------------------------------------------------------------
# Critical difference diagram


@dataclass(frozen=True)
class Bar:
    """What joins the members of a set: its pieces from left to right, and where its members stand."""

    members: tuple[int, ...]
    pieces: tuple[tuple[float, float], ...]
    stops: tuple[float, ...]


def bars(positions: Sequence[float], sets: Iterable[Sequence[int]], *, gap: float = 6.0) -> list[Bar]:
    """Return the bar of each set of methods that stand at `positions`; it is broken at each method that it skips.

    A set is a maximal one no two of which differ; it need not be consecutive. Between two of its members a bar has a
    gap around each method that stands there and is none of it. Where there is no room for a gap the piece is left out:
    what belongs to a set is its stops, and a piece only joins them.
    """
    made = []
    for members in sets:
        inside = sorted(members, key=lambda i: (positions[i], i))
        pieces: list[tuple[float, float]] = []
        for a, b in itertools.pairwise(inside):
            start, end = positions[a], positions[b]
            skipped = sorted({p for i, p in enumerate(positions) if i not in members and start <= p <= end})
            if skipped and end - start < gap + 4:
                continue
            left, right = start + gap / 2 + 2, end - gap / 2 - 2
            for p in skipped:
                middle = min(max(p, left), right)  # at a member's stop it would be hidden
                pieces.append((start, middle - gap / 2))
                start = middle + gap / 2
            pieces.append((start, end))
        joined: list[tuple[float, float]] = []
        for start, end in pieces:
            if start >= end:  # two methods that are skipped stand close together, or two members at one place
                continue
            if joined and joined[-1][1] == start:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        made.append(Bar(tuple(inside), tuple(joined), tuple(positions[i] for i in inside)))
    return sorted(made, key=lambda bar: (bar.stops[0], bar.stops[-1], bar.members))


def _rank_axis(ranks: Sequence[float], length: float) -> range:
    """Return the whole ranks on an axis of that length, from below all mean ranks to above, as many as fit."""
    low, high = math.floor(min(ranks)), math.ceil(max(ranks))
    step = max(math.ceil((high - low) * 22 / length), 1)
    n = max(math.ceil((high - low) / step), 1)
    return range(low, low + n * step + 1, step)


def _stops(places: Iterable[tuple[float, float]]) -> list[str]:
    return [f'<circle class="stop" cx="{number(x)}" cy="{number(y)}" r="2.8"/>' for x, y in places]


RANKS = "Critical difference diagram: mean ranks, and bars that join methods no two of which differ"


def critical_difference(
    ident: str, names: Sequence[str], ranks: Sequence[float], sets: Iterable[Sequence[int]], *, said: str
) -> str:
    """Return a critical difference diagram: methods at their mean ranks (1 is best), a bar under each of `sets`.

    names, ranks: of the methods; sets: positions of methods no two of which differ, as `stats.cliques` gives them.
    """
    k = len(names)
    order = sorted(range(k), key=lambda i: (ranks[i], i))
    n_left = (k + 1) // 2
    labels = {i: f"{shorter(names[i], 38)}  {ranks[i]:.3f}" for i in order}
    sides = [max((len(labels[i]) for i in side), default=0) * LETTER + 16 for side in (order[:n_left], order[n_left:])]
    left = sides[0]
    right = left + max(360.0, 900 - sum(sides))
    whole = _rank_axis(ranks, right - left)
    low, scale = whole[0], (right - left) / (whole[-1] - whole[0])
    at = [left + (rank - low) * scale for rank in ranks]
    found = bars(at, sets)
    axis, first = 34.0, 50.0
    below = first + 11 * len(found) + 10
    parts = [_text((left + right) / 2, 12, "mean rank, 1 is best", "middle", "soft")]
    parts.append(_line(left, axis, right, axis, "axis"))
    for rank in whole:
        x = left + (rank - low) * scale
        parts += [_line(x, axis - 5, x, axis, "axis"), _text(x, axis - 9, str(rank), "middle")]
    for side, members in (("end", order[:n_left]), ("start", order[: n_left - 1 : -1])):
        edge = left - 6 if side == "end" else right + 6
        for row, i in enumerate(members):
            y = below + 20 * row + 6
            parts.append(f'<path class="stem" d="M{number(at[i])} {number(axis)}V{number(y)}H{number(edge)}"/>')
            parts.append(_text(edge + (-5 if side == "end" else 5), y + 4, labels[i], side))
            parts.append(_mark(0, at[i], axis, title=f"{names[i]}: mean rank {ranks[i]:.4f}"))
    for level, bar in enumerate(found):
        y = first + 11 * level + 2
        parts += [_line(start, y, end, y, "bar") for start, end in bar.pieces]
        parts += _stops((x, y) for x in bar.stops)
    return _chart(ident, (right + sides[1], below + 20 * n_left + 4), RANKS, said, parts, {})


def rank_rows(
    ident: str, names: Sequence[str], ranks: Sequence[float], sets: Iterable[Sequence[int]], *, said: str
) -> str:
    """Return the same diagram for a narrow screen: a row a method, best first, and the bars upright beside them."""
    k = len(names)
    order = sorted(range(k), key=lambda i: (ranks[i], i))
    high, top = 34.0, 26.0
    height = [0.0] * k
    for row, i in enumerate(order):
        height[i] = top + high * row + 22
    found = bars(height, sets)
    x0, x1 = 12.0, max(WIDTH - 18.0 - 12 * len(found), 200.0)
    whole = _rank_axis(ranks, x1 - x0)
    least, most = whole[0], whole[-1]
    parts = []
    for rank in whole:
        x = x0 + (rank - least) / (most - least) * (x1 - x0)
        parts += [_line(x, top, x, top + high * k, "grid"), _text(x, top - 6, str(rank), "middle", "small")]
    for i in order:
        x = x0 + (ranks[i] - least) / (most - least) * (x1 - x0)
        parts.append(_text(x0, height[i] - 10, f"{shorter(names[i], 44)}  {ranks[i]:.3f}", kind="name"))
        parts += [_line(x0, height[i], x, height[i], "span"), _mark(0, x, height[i], size=1.3)]
    for level, bar in enumerate(found):
        x = x1 + 14 + 12 * level
        parts += [_line(x, start, x, end, "bar") for start, end in bar.pieces]
        parts += _stops((x, y) for y in bar.stops)
    return _chart(ident, (x1 + 20 + 12 * len(found), top + high * k + 4), RANKS, said, parts, {})


# ---------------------------------------------------------------------------------------------------------------------
# Matrix


@dataclass(frozen=True)
class Entry:
    """One cell of a matrix: the row's method against the column's."""

    value: float  # decides on the tint; positive is better
    lines: tuple[str, ...]
    strong: bool  # significant: a border and a star


def matrix(ident: str, names: Sequence[str], entries: Mapping[tuple[int, int], Entry], *, said: str) -> str:
    """Return a matrix of pairs: row against column, three lines a cell. Tints are 0 at no difference, full at 0.05."""
    k = len(names)
    labels = [f"{i + 1}  {shorter(name, 36)}" for i, name in enumerate(names)]
    left, top, wide, high = max(map(len, labels)) * LETTER + 10, 24.0, 72.0, 50.0
    parts = [_text(left + wide * (j + 0.5), 16, str(j + 1), "middle") for j in range(k)]
    for i in range(k):
        y = top + high * i
        parts.append(_text(4, y + high / 2 + 4, labels[i]))
        for j in range(k):
            x = left + wide * j
            place = f'x="{number(x + 1)}" y="{number(y + 1)}" width="{number(wide - 2)}" height="{number(high - 2)}"'
            entry = entries.get((i, j))
            if entry is None:
                parts.append(f'<rect class="none" {place}/>')
                continue
            side = "up" if entry.value > 0 else "down" if entry.value < 0 else "none"
            strength = number(0.05 + 0.25 * min(abs(entry.value) / 0.05, 1), 2)
            parts.append(f'<rect class="{side}" {place} fill-opacity="{strength}"/>')
            if entry.strong:
                inner = (
                    f'x="{number(x + 3)}" y="{number(y + 3)}" width="{number(wide - 6)}" height="{number(high - 6)}"'
                )
                parts.append(f'<rect class="strong" {inner}/>')
            for row, text in enumerate(entry.lines):
                kind = "" if row == 0 else "small"
                parts.append(_text(x + wide / 2, y + 17 + 14 * row, text, "middle", kind))
    return _chart(ident, (left + wide * k + 2, top + high * k + 2), "Every method against every other", said, parts, {})


# ---------------------------------------------------------------------------------------------------------------------
# Scatter


@dataclass(frozen=True)
class Point:
    """A dataset in a scatter: accuracies on both axes, and their deviations over runs where they are known."""

    label: str
    x: float
    y: float
    x_std: float | None = None
    y_std: float | None = None


def farthest(points: Sequence[Point], n: int = 4) -> list[Point]:
    """Return the points farthest from the diagonal, which get their labels."""
    apart = [p for p in points if p.x != p.y]
    return sorted(apart, key=lambda p: (-abs(p.y - p.x), p.label))[:n]


def scatter(ident: str, points: Sequence[Point], x_name: str, y_name: str, *, low: float, title: str, said: str) -> str:
    """Return a scatter of two columns from `low` to 1 on both axes: above the diagonal the one of the y axis is better.

    Bars are one standard deviation over runs to either side. The four points farthest from the diagonal are named.
    page.js draws other points into the same frame, so it takes its geometry from the data attributes.
    """
    x0, x1, y0, y1 = 46.0, WIDTH - 10.0, WIDTH - 36.0, 26.0

    def at(value: float, start: float, end: float) -> float:
        return start + (min(max(value, low), 1) - low) / (1 - low) * (end - start)

    parts = []
    for tick in ticks(low, 1):
        x, y, text = at(tick, x0, x1), at(tick, y0, y1), number(tick, 2)
        parts += [_line(x, y0, x, y1, "grid"), _line(x0, y, x1, y, "grid")]
        parts += [_text(x, y0 + 16, text, "middle"), _text(x0 - 6, y + 4, text, "end")]
    parts.append(_line(x0, y0, x1, y1, "diagonal"))
    across, up = escaped(shorter(x_name, 48)), escaped(shorter(y_name, 48))
    parts.append(f'<text class="x-name" x="{number(x1)}" y="{number(y0 + 36)}" text-anchor="end">{across} →</text>')
    parts.append(f'<text class="y-name" x="4" y="12">↑ {up}</text>')
    parts.append('<g class="marks">')
    for p in points:
        x, y = at(p.x, x0, x1), at(p.y, y0, y1)
        told = f"{p.label}: {p.x:.4f} and {p.y:.4f}"
        spans = []
        if p.x_std:
            spans.append(f"M{number(at(p.x - p.x_std, x0, x1))} {number(y)}H{number(at(p.x + p.x_std, x0, x1))}")
        if p.y_std:
            spans.append(f"M{number(x)} {number(at(p.y - p.y_std, y0, y1))}V{number(at(p.y + p.y_std, y0, y1))}")
        drawn = f'<path class="span" d="{"".join(spans)}"/>' if spans else ""
        dot = f'<circle class="s0 dot" cx="{number(x)}" cy="{number(y)}" r="{number(DOT)}"/>'
        parts.append(f"<g><title>{escaped(told)}</title>{drawn}{dot}</g>")
    taken: list[float] = []
    for p in farthest(points):
        x, y = at(p.x, x0, x1), at(p.y, y0, y1)
        if all(abs(y - other) >= 12 for other in taken):
            taken.append(y)
            end = x > (x0 + x1) / 2
            parts.append(_text(x - 7 if end else x + 7, y + 4, p.label, "end" if end else "start", "name small"))
    parts.append("</g>")
    facts = {"x0": number(x0), "x1": number(x1), "y0": number(y0), "y1": number(y1), "low": number(low, 4)}
    return _chart(ident, (WIDTH, y0 + 46), title, said, parts, facts)


# ---------------------------------------------------------------------------------------------------------------------
# Seconds, strips, forests, curves


@dataclass(frozen=True)
class Cloud:
    """A series of (seconds, accuracy, label), and its centre, where it has one to show."""

    name: str
    points: Sequence[tuple[float, float, str]]
    centre: tuple[float, float] | None = None


_FEW = 3  # ticks, below which there are some between
_TIMES = (
    (1, "1 s"),
    (10, "10 s"),
    (60, "1 min"),
    (600, "10 min"),
    (3600, "1 h"),
    (36_000, "10 h"),
    (360_000, "100 h"),
    (3_600_000, "1000 h"),
)
_FINE = ((3, "3 s"), (30, "30 s"), (180, "3 min"), (1800, "30 min"), (10_800, "3 h"), (108_000, "30 h"))


def against_seconds(ident: str, clouds: Sequence[Cloud], *, title: str, said: str) -> str:
    """Return accuracies against seconds on a logarithmic axis: a small mark a dataset, a large one the centre."""
    seconds = [max(s, 0.1) for cloud in clouds for s, _, _ in cloud.points]
    accuracies = [a for cloud in clouds for _, a, _ in cloud.points]
    first, last = math.log10(min(seconds, default=1)) - 0.05, math.log10(max(seconds, default=10)) + 0.05
    low = min([0.9, *accuracies])
    low = math.floor(low * 10 + 1e-9) / 10
    x0, x1, y0, y1 = 46.0, WIDTH - 14.0, 310.0, 28.0

    def at(s: float, a: float) -> tuple[float, float]:
        x = x0 + (math.log10(max(s, 0.1)) - first) / (last - first) * (x1 - x0)
        return x, y0 + (a - low) / (1 - low) * (y1 - y0)

    parts = []
    for tick in ticks(low, 1):
        y = at(1, tick)[1]
        parts += [_line(x0, y, x1, y, "grid"), _text(x0 - 6, y + 4, number(tick, 2), "end")]
    coarse = [(second, text) for second, text in _TIMES if first <= math.log10(second) <= last]
    fine = [(second, text) for second, text in _FINE if first <= math.log10(second) <= last]
    for second, text in coarse if len(coarse) >= _FEW else sorted({*coarse, *fine}):
        x = at(second, low)[0]
        side = "end" if x > x1 - 18 else "middle"
        parts += [_line(x, y0, x, y1, "grid"), _text(min(x + 12, x1 + 12) if side == "end" else x, y0 + 16, text, side)]
    parts.append(_text(x1, y0 + 34, "training, seconds a job →", "end", "soft"))
    parts.append(_text(4, 14, "↑ accuracy", kind="soft"))
    for i, cloud in enumerate(clouds):
        for s, a, label in cloud.points:
            parts.append(_mark(i, *at(s, a), title=label, kind="faint"))
    for i, cloud in enumerate(clouds):
        if cloud.centre is not None:
            where = f"{cloud.name}: mean {cloud.centre[1]:.4f}, {cloud.centre[0]:.0f} seconds"
            parts.append(_mark(i, *at(*cloud.centre), size=2.6, title=where, kind="centre"))
    parts += _legend([cloud.name for cloud in clouds], x0, y0 + 56)
    return _chart(ident, (WIDTH, y0 + 56 + 16 * len(clouds)), title, said, parts, {})


@dataclass(frozen=True)
class Strip:
    """A dataset's seeds: each minus their mean; and the published mean minus it with its deviation, where known."""

    label: str
    values: Sequence[float]
    published: float | None = None
    published_std: float | None = None


def strips(ident: str, rows: Sequence[Strip], *, title: str, said: str) -> str:
    """Return a row of dots for each dataset around the mean of its seeds; a diamond is the published mean."""
    ends = [abs(v) for row in rows for v in row.values]
    ends += [abs(row.published) + (row.published_std or 0) for row in rows if row.published is not None]
    reach = max([*ends, 0.005]) * 1.04
    x0, x1, top, high = 158.0, WIDTH - 20.0, 26.0, 14.0

    def at(value: float) -> float:
        return x0 + (value / reach + 1) / 2 * (x1 - x0)

    bottom = top + high * len(rows)
    parts = []
    for tick in ticks(-reach, reach, 4):
        x, text = at(tick), f"{tick:+.3f}".rstrip("0") if tick != 0 else "0"
        parts.append(_line(x, top, x, bottom, "axis" if tick == 0 else "grid"))
        parts += [_text(x, top - 8, text, "middle", "small"), _text(x, bottom + 14, text, "middle", "small")]
    for i, row in enumerate(rows):
        y = top + high * (i + 0.5)
        parts.append(_text(x0 - 6, y + 4, shorter(row.label, 23), "end", "small"))
        if row.published is not None:
            if row.published_std:
                start, end = at(row.published - row.published_std), at(row.published + row.published_std)
                parts.append(_line(start, y, end, y, "span"))
            parts.append(_mark(3, at(row.published), y, kind="theirs"))
        dots = "".join(f"M{number(at(v))} {number(y)}h0" for v in row.values)  # a line of no length is a round dot
        parts.append(f'<path class="dots" d="{dots}"/>')
    y = bottom + 34
    parts += [f'<path class="dots" d="M10 {number(y - 4)}h0"/>', _text(20, y, "one seed")]
    parts += [_mark(3, 90, y - 4, kind="theirs"), _line(82, y - 4, 98, y - 4, "span")]
    parts.append(_text(104, y, "published mean, and one deviation to either side"))
    return _chart(ident, (WIDTH, y + 8), title, said, parts, {})


@dataclass(frozen=True)
class Range:
    """An estimate with its interval, NaN where there is none."""

    label: str
    value: float
    low: float
    high: float
    text: str  # at the end of the label's line
    series: int = 0


def forest(ident: str, rows: Sequence[Range], *, axis: str, title: str, said: str) -> str:
    """Return an estimate and its interval on a line each, under its label; the line at 0 is no difference."""
    ends = [abs(v) for row in rows for v in (row.value, row.low, row.high) if not math.isnan(v)]
    reach = max([*ends, 0.005]) * 1.05
    x0, x1, top, high = 20.0, WIDTH - 20.0, 8.0, 36.0

    def at(value: float) -> float:
        return x0 + (value / reach + 1) / 2 * (x1 - x0)

    bottom = top + high * len(rows)
    parts = []
    for tick in ticks(-reach, reach, 4):
        x = at(tick)
        parts.append(_line(x, top, x, bottom, "axis" if tick == 0 else "grid"))
        parts.append(_text(x, bottom + 15, f"{tick:+.3f}".rstrip("0") if tick != 0 else "0", "middle", "small"))
    for i, row in enumerate(rows):
        y = top + high * i
        parts.append(_text(4, y + 13, shorter(row.label, 44), kind="name"))
        parts.append(_text(WIDTH - 4, y + 13, row.text, "end", "name small"))
        if not math.isnan(row.low):
            parts.append(_line(at(row.low), y + 25, at(row.high), y + 25, "span"))
        parts.append(_mark(row.series, at(row.value), y + 25, size=1.3))
    parts.append(_text((x0 + x1) / 2, bottom + 32, axis, "middle", "soft"))
    return _chart(ident, (WIDTH, bottom + 40), title, said, parts, {})


@dataclass(frozen=True)
class Curve:
    """The losses of one training by epoch, and where its weights were kept."""

    name: str
    epochs: Sequence[int]
    losses: Sequence[float]
    best: tuple[int, float] | None = None


def curves(
    ident: str, lines: Sequence[Curve], *, most_epochs: int, least: float, most: float, title: str, said: str
) -> str:
    """Return learning curves, both axes logarithmic; a mark where the weights were kept.

    most_epochs, least, most: the axes' ends, whatever is drawn. page.js draws other curves into the same frame, so it
    takes its geometry from the data attributes.
    """
    x0, x1, y0, y1 = 46.0, WIDTH - 12.0, 286.0, 28.0
    bottom, top = math.floor(math.log10(max(least, CURVE_FLOOR))), math.ceil(math.log10(max(most, 1e-8)) + 1e-9)
    top = max(top, bottom + 1)
    decades = math.log10(max(most_epochs, 2))

    def at(epoch: float, loss: float) -> tuple[float, float]:
        y = (math.log10(max(loss, CURVE_FLOOR)) - bottom) / (top - bottom)
        return x0 + math.log10(max(epoch, 1)) / decades * (x1 - x0), y0 + min(max(y, 0), 1) * (y1 - y0)

    parts = []
    for power in range(bottom, top + 1):
        y = at(1, 10.0**power)[1]
        text = f"{10.0**power:g}" if power >= -3 else f"1e{power}"
        parts += [_line(x0, y, x1, y, "grid"), _text(x0 - 6, y + 4, text, "end", "small")]
    for power in range(math.floor(decades + 1e-9) + 1):
        x = at(10**power, 1)[0]
        parts += [_line(x, y0, x, y1, "grid"), _text(x, y0 + 16, str(10**power), "middle", "small")]
    parts.append(_text(x1, y0 + 34, "epoch →", "end", "soft"))
    parts.append(_text(4, 14, "↑ training loss, nats", kind="soft"))
    parts.append('<g class="marks">')
    for i, line in enumerate(lines):
        track = "L".join(
            f"{number(x)} {number(y)}" for x, y in (at(*p) for p in zip(line.epochs, line.losses, strict=True))
        )
        parts.append(f'<path class="curve t{i % N_SERIES}" d="M{track}"><title>{escaped(line.name)}</title></path>')
        if line.best is not None:
            parts.append(_mark(i, *at(*line.best), size=1.5, title=f"{line.name}: kept from epoch {line.best[0]}"))
    for i, line in enumerate(lines[:10]):
        parts.append(_mark(i, x0 + 5, y0 + 50 + 16 * i, size=1.2))
        parts.append(_text(x0 + 16, y0 + 54 + 16 * i, shorter(line.name, 58)))
    parts.append("</g>")
    facts = {"x0": x0, "x1": x1, "y0": y0, "y1": y1, "bottom": bottom, "top": top, "decades": decades}
    data = {name: number(value, 6) for name, value in facts.items()}
    return _chart(ident, (WIDTH, y0 + 50 + 16 * min(len(lines), 10)), title, said, parts, data)
