"""Accuracy against training time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tsfcn.report import svg
from tsfcn.report.svg import Label

_LEFT, _RIGHT, _BOTTOM, _TOP = 46.0, svg.WIDTH - 14.0, 310.0, 28.0
_LEAST_SECONDS = 0.1  # shorter times are drawn at it, since the axis is logarithmic
_FEWEST_TICKS = 3  # with fewer, the fine ticks are added
_COARSE_TICKS = (
    (1, "1 s"),
    (10, "10 s"),
    (60, "1 min"),
    (600, "10 min"),
    (3600, "1 h"),
    (36_000, "10 h"),
    (360_000, "100 h"),
    (3_600_000, "1000 h"),
)
_FINE_TICKS = ((3, "3 s"), (30, "30 s"), (180, "3 min"), (1800, "30 min"), (10_800, "3 h"), (108_000, "30 h"))


@dataclass(frozen=True)
class Cloud:
    """A series of (seconds, accuracy, label), and its mean as (seconds, accuracy), where there is one to show."""

    name: str
    points: Sequence[tuple[float, float, str]]
    centre: tuple[float, float] | None = None


@dataclass(frozen=True)
class _Axes:
    """The axes of log10(seconds) and of accuracy."""

    time: svg.Axis
    accuracy: svg.Axis

    def position(self, seconds: float, accuracy: float) -> tuple[float, float]:
        """Return the pixel of a point."""
        x = self.time.position(math.log10(max(seconds, _LEAST_SECONDS)))
        return x, self.accuracy.position(accuracy)


def against_seconds(label: Label, clouds: Sequence[Cloud]) -> str:
    """Return accuracies against seconds on a logarithmic axis: one small mark for each dataset, a large one for means.

    Args:
        label: id, title and description of the chart.
        clouds: the series.
    """
    axes = _axes(clouds)
    parts = _frame(axes)
    for i, cloud in enumerate(clouds):
        parts += [svg.mark(i, *axes.position(s, a), title=title, kind="faint") for s, a, title in cloud.points]
    for i, cloud in enumerate(clouds):
        if cloud.centre is not None:
            title = f"{cloud.name}: mean {cloud.centre[1]:.4f}, {cloud.centre[0]:.0f} seconds"
            parts.append(svg.mark(i, *axes.position(*cloud.centre), size=2.6, title=title, kind="centre"))
    parts += svg.legend([cloud.name for cloud in clouds], _LEFT, _BOTTOM + 56)
    return svg.chart(label, (svg.WIDTH, _BOTTOM + 56 + 16 * len(clouds)), parts)


def _axes(clouds: Sequence[Cloud]) -> _Axes:
    seconds = [max(s, _LEAST_SECONDS) for cloud in clouds for s, _, _ in cloud.points]
    least = min([0.9, *(a for cloud in clouds for _, a, _ in cloud.points)])
    first, last = math.log10(min(seconds, default=1)) - 0.05, math.log10(max(seconds, default=10)) + 0.05
    low = math.floor(least * 10 + 1e-9) / 10
    return _Axes(svg.Axis(first, last, _LEFT, _RIGHT), svg.Axis(low, 1, _BOTTOM, _TOP))


def _frame(axes: _Axes) -> list[str]:
    parts = []
    for tick in svg.ticks(axes.accuracy.low, 1):
        y = axes.accuracy.position(tick)
        parts.append(svg.line((_LEFT, y), (_RIGHT, y), "grid"))
        parts.append(svg.text(_LEFT - 6, y + 4, svg.number(tick, 2), anchor="end"))
    for seconds, text in _time_ticks(axes.time):
        x = axes.time.position(math.log10(seconds))
        anchor = "end" if x > _RIGHT - 18 else "middle"
        parts.append(svg.line((x, _BOTTOM), (x, _TOP), "grid"))
        at_edge = min(x + 12, _RIGHT + 12) if anchor == "end" else x
        parts.append(svg.text(at_edge, _BOTTOM + 16, text, anchor=anchor))
    parts.append(svg.text(_RIGHT, _BOTTOM + 34, "training, seconds a job →", anchor="end", kind="soft"))
    parts.append(svg.text(4, 14, "↑ accuracy", kind="soft"))
    return parts


def _time_ticks(axis: svg.Axis) -> list[tuple[int, str]]:
    coarse, fine = (
        [(seconds, text) for seconds, text in ticks if axis.low <= math.log10(seconds) <= axis.high]
        for ticks in (_COARSE_TICKS, _FINE_TICKS)
    )
    return coarse if len(coarse) >= _FEWEST_TICKS else sorted({*coarse, *fine})
