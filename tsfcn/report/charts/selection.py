"""A forest plot: estimates with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tsfcn.report import svg
from tsfcn.report.svg import Label

_LEFT, _RIGHT, _TOP, _STEP = 20.0, svg.WIDTH - 20.0, 8.0, 36.0


@dataclass(frozen=True)
class Range:
    """An estimate with its interval, whose ends are NaN where there is none."""

    label: str
    value: float
    low: float
    high: float
    text: str  # at the right end of the label's line
    series: int = 0


def forest(label: Label, rows: Sequence[Range], *, axis_title: str) -> str:
    """Return a forest plot: each estimate and its interval below its label; the line at 0 means no difference.

    Args:
        label: id, title and description of the chart.
        rows: the estimates, from top to bottom.
        axis_title: what the axis measures.
    """
    ends = [abs(v) for row in rows for v in (row.value, row.low, row.high) if not math.isnan(v)]
    reach = max([*ends, 0.005]) * 1.05
    axis = svg.Axis(-reach, reach, _LEFT, _RIGHT)
    bottom = _TOP + _STEP * len(rows)
    parts = []
    for tick in svg.ticks(-reach, reach, 4):
        x = axis.position(tick)
        parts.append(svg.line((x, _TOP), (x, bottom), "axis" if tick == 0 else "grid"))
        parts.append(svg.text(x, bottom + 15, svg.signed_tick(tick), anchor="middle", kind="small"))
    for i, row in enumerate(rows):
        parts += _range(row, axis, _TOP + _STEP * i)
    parts.append(svg.text((_LEFT + _RIGHT) / 2, bottom + 32, axis_title, anchor="middle", kind="soft"))
    return svg.chart(label, (svg.WIDTH, bottom + 40), parts)


def _range(row: Range, axis: svg.Axis, y: float) -> list[str]:
    parts = [svg.text(4, y + 13, svg.shorter(row.label, 44), kind="name")]
    parts.append(svg.text(svg.WIDTH - 4, y + 13, row.text, anchor="end", kind="name small"))
    if not math.isnan(row.low):
        parts.append(svg.line((axis.position(row.low), y + 25), (axis.position(row.high), y + 25), "span"))
    return [*parts, svg.mark(row.series, axis.position(row.value), y + 25, size=1.3)]
