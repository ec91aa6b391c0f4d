"""Streams: the values of a stream, and below them a band of classes for each row of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsfcn.report import svg
from tsfcn.report.svg import Axis, Label

_LEFT, _TOP, _TITLE, _VALUES = 40.0, 8.0, 20.0, 90.0  # pixels; the first has the scale, the last is the values' height
_STEP, _LEAST, _BAND = 34.0, 4.0, 16.0  # of a row, of the lowest class, of the highest
_MOST_CLASSES = 12  # in the legend


@dataclass(frozen=True)
class Band:
    """The labels of a row as runs of one class: position of the class, first timepoint and the one after the last."""

    name: str
    runs: Sequence[tuple[int, int, int]]


def bands(
    label: Label,
    x: Sequence[Sequence[float]],
    rows: Sequence[Band],
    classes: Sequence[str],
    width: float,
    *,
    is_titled: bool = False,
) -> str:
    """Return the values of a stream and a band for each row, in which a class has a colour and a height of its own.

    Args:
        label: id, title and description of the chart.
        x: the values of each channel.
        rows: the bands, from the top; timepoints without a run are blank.
        classes: the labels.
        width: of the chart, pixels.
        is_titled: whether the title is drawn too, for a picture that stands alone.
    """
    n_timepoints, right = len(x[0]), width - 16
    top = _TITLE + _TOP if is_titled else _TOP
    time = Axis(0, n_timepoints, _LEFT, right)
    low, high = min(map(min, x)), max(map(max, x))
    value = Axis(low, high if high > low else low + 1, top + _VALUES, top)
    bottom = top + _VALUES + _STEP * len(rows) + 6
    parts = [
        part
        for tick in svg.ticks(0, n_timepoints, 8 if width > svg.WIDTH else 4)
        for part in (
            svg.line((time.position(tick), top), (time.position(tick), bottom), "grid"),
            svg.text(time.position(tick), bottom + 14, svg.number(tick, 0), anchor="middle", kind="small"),
        )
    ]
    for tick in svg.ticks(value.low, value.high, 3):
        y = value.position(tick)
        parts += [
            svg.line((_LEFT, y), (right, y), "grid"),
            svg.text(_LEFT - 4, y + 4, f"{tick:.3g}", anchor="end", kind="small"),
        ]
    if is_titled:
        parts.append(svg.text(_LEFT, 14, svg.shorter(label.title, int((right - _LEFT) / svg.LETTER_WIDTH))))
    parts += [_values(channel, time, value) for channel in x]
    for number, row in enumerate(rows):
        base = top + _VALUES + _STEP * (number + 1)
        parts.append(svg.text(_LEFT, base - _BAND - 4, svg.shorter(row.name, int(width / 7)), kind="small name"))
        parts += [_band(row, position, name, len(classes), base, time) for position, name in enumerate(classes)]
    parts.append(svg.text(right, bottom + 30, "timepoint →", anchor="end", kind="soft"))
    legend, height = _legend(classes, bottom + 50, right)
    return svg.chart(label, (width, height), [part for part in [*parts, *legend] if part])


def _values(channel: Sequence[float], time: Axis, value: Axis) -> str:
    """Return the line of a channel; of a long one the least and the greatest value of each pixel."""
    n_bins = int(time.end - time.start)
    points = list(enumerate(channel))
    if len(points) > 2 * n_bins:
        parts = [points[len(points) * i // n_bins : len(points) * (i + 1) // n_bins] for i in range(n_bins)]
        extremes = ((min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])) for part in parts)
        points = [point for pair in extremes for point in sorted(pair)]
    path = " ".join(f"{svg.number(time.position(i + 0.5))},{svg.number(value.position(v))}" for i, v in points)
    return f'<polyline class="span" points="{path}"/>'


def _height(position: int, n_classes: int) -> float:
    """Return the height of a class in a band, so that classes differ without colours too."""
    return _LEAST + (_BAND - _LEAST) * (position + 1) / n_classes


def _band(row: Band, position: int, name: str, n_classes: int, base: float, time: Axis) -> str:
    """Return the runs of one class in a band, '' where there is none.

    Args:
        row: the band.
        position: of the class.
        name: of the class, shown under the pointer.
        n_classes: of the stream.
        base: the lower edge of the band.
        time: the axis.
    """
    height = svg.number(_height(position, n_classes))
    path = "".join(
        f"M{svg.number(time.position(start))} {svg.number(base)}v-{height}H{svg.number(time.position(stop))}v{height}z"
        for label, start, stop in row.runs
        if label == position
    )
    return (
        f'<path class="s{position % svg.N_SERIES}" d="{path}"><title>{svg.escaped(name)}</title></path>' if path else ""
    )


def _legend(classes: Sequence[str], y: float, right: float) -> tuple[list[str], float]:
    """Return the classes as they are drawn, in lines from y on, and the end of the last line."""
    parts, x = [], _LEFT
    names = [svg.shorter(name, 30) for name in classes[:_MOST_CLASSES]]
    for position, name in enumerate(names):
        length = 24 + svg.LETTER_WIDTH * len(name)
        if x + length > right and x > _LEFT:
            x, y = _LEFT, y + 20
        height = svg.number(_height(position, len(classes)))
        swatch = f"M{svg.number(x)} {svg.number(y)}v-{height}h14v{height}z"
        parts += [f'<path class="s{position % svg.N_SERIES}" d="{swatch}"/>', svg.text(x + 18, y, name)]
        x += length + 10
    if len(classes) > _MOST_CLASSES:
        y += 20
        parts.append(svg.text(_LEFT, y, f"and {len(classes) - _MOST_CLASSES} more classes", kind="soft"))
    return parts, y + 10
