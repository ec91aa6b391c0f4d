"""The scatter of two columns of accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsfcn.report import svg
from tsfcn.report.svg import Label

_DOT_RADIUS = 3.0
_LEFT, _RIGHT, _BOTTOM, _TOP = 46.0, svg.WIDTH - 10.0, svg.WIDTH - 36.0, 26.0


@dataclass(frozen=True)
class Point:
    """A dataset in a scatter: its accuracy on both axes, and the deviations over runs where they are known."""

    label: str
    x: float
    y: float
    x_std: float | None = None
    y_std: float | None = None


def farthest(points: Sequence[Point], n: int = 4) -> list[Point]:
    """Return the n points farthest from the diagonal, without those on it."""
    apart = [p for p in points if p.x != p.y]
    return sorted(apart, key=lambda p: (-abs(p.y - p.x), p.label))[:n]


@dataclass(frozen=True)
class _Axes:
    """Both axes, from `low` to 1; values outside are drawn at the edge."""

    low: float

    def x(self, value: float) -> float:
        """Return the pixel of a value on the horizontal axis."""
        return svg.Axis(self.low, 1, _LEFT, _RIGHT).position(min(max(value, self.low), 1))

    def y(self, value: float) -> float:
        """Return the pixel of a value on the vertical axis."""
        return svg.Axis(self.low, 1, _BOTTOM, _TOP).position(min(max(value, self.low), 1))


def scatter(label: Label, points: Sequence[Point], x_name: str, y_name: str, *, low: float) -> str:
    """Return a scatter of two columns: above the diagonal the column of the vertical axis is better.

    Bars extend one standard deviation over runs to either side. The four points farthest from the diagonal are named.
    page.js draws other points into the same frame and reads its geometry from the data attributes.

    Args:
        label: id, title and description of the chart.
        points: one for each dataset.
        x_name: the column of the horizontal axis.
        y_name: the column of the vertical axis.
        low: where both axes begin; they end at 1.
    """
    axes = _Axes(low)
    parts = _frame(axes, x_name, y_name)
    parts.append('<g class="marks">')
    parts += [_point(point, axes) for point in points]
    parts += _names(points, axes)
    parts.append("</g>")
    lengths = {"x0": _LEFT, "x1": _RIGHT, "y0": _BOTTOM, "y1": _TOP}
    data = {name: svg.number(length) for name, length in lengths.items()} | {"low": svg.number(low, 4)}
    return svg.chart(label, (svg.WIDTH, _BOTTOM + 46), parts, data)


def _frame(axes: _Axes, x_name: str, y_name: str) -> list[str]:
    parts = []
    for tick in svg.ticks(axes.low, 1):
        x, y, text = axes.x(tick), axes.y(tick), svg.number(tick, 2)
        parts += [svg.line((x, _BOTTOM), (x, _TOP), "grid"), svg.line((_LEFT, y), (_RIGHT, y), "grid")]
        parts.append(svg.text(x, _BOTTOM + 16, text, anchor="middle"))
        parts.append(svg.text(_LEFT - 6, y + 4, text, anchor="end"))
    parts.append(svg.line((_LEFT, _BOTTOM), (_RIGHT, _TOP), "diagonal"))
    across, up = (svg.escaped(svg.shorter(name, 48)) for name in (x_name, y_name))
    x_place = f'x="{svg.number(_RIGHT)}" y="{svg.number(_BOTTOM + 36)}" text-anchor="end"'
    parts.append(f'<text class="x-name" {x_place}>{across} →</text>')
    parts.append(f'<text class="y-name" x="4" y="12">↑ {up}</text>')
    return parts


def _point(point: Point, axes: _Axes) -> str:
    x, y = axes.x(point.x), axes.y(point.y)
    bars = ""
    if point.x_std:
        ends = (axes.x(point.x - point.x_std), axes.x(point.x + point.x_std))
        bars += f"M{svg.number(ends[0])} {svg.number(y)}H{svg.number(ends[1])}"
    if point.y_std:
        ends = (axes.y(point.y - point.y_std), axes.y(point.y + point.y_std))
        bars += f"M{svg.number(x)} {svg.number(ends[0])}V{svg.number(ends[1])}"
    path = f'<path class="span" d="{bars}"/>' if bars else ""
    circle = f'<circle class="s0 dot" cx="{svg.number(x)}" cy="{svg.number(y)}" r="{svg.number(_DOT_RADIUS)}"/>'
    title = svg.escaped(f"{point.label}: {point.x:.4f} and {point.y:.4f}")
    return f"<g><title>{title}</title>{path}{circle}</g>"


def _names(points: Sequence[Point], axes: _Axes) -> list[str]:
    """Return the labels of the points farthest from the diagonal, without those that would overlap."""
    parts = []
    heights: list[float] = []
    for point in farthest(points):
        x, y = axes.x(point.x), axes.y(point.y)
        if any(abs(y - other) < 12 for other in heights):
            continue
        heights.append(y)
        is_right = x > (_LEFT + _RIGHT) / 2
        anchor = "end" if is_right else "start"
        parts.append(svg.text(x - 7 if is_right else x + 7, y + 4, point.label, anchor=anchor, kind="name small"))
    return parts
