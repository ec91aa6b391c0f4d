"""Strips: the accuracies of the seeds of each dataset around their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsfcn.report import svg
from tsfcn.report.svg import Label

_LEFT, _RIGHT, _TOP, _STEP = 158.0, svg.WIDTH - 20.0, 26.0, 14.0


@dataclass(frozen=True)
class Strip:
    """The seeds of a dataset, each minus their mean; the published mean minus the same, and its deviation, if known."""

    label: str
    values: Sequence[float]
    published: float | None = None
    published_std: float | None = None


def strips(label: Label, rows: Sequence[Strip]) -> str:
    """Return one row of dots for each dataset, around the mean of its seeds; a diamond is the published mean.

    Args:
        label: id, title and description of the chart.
        rows: the datasets, from top to bottom.
    """
    ends = [abs(v) for row in rows for v in row.values]
    ends += [abs(row.published) + (row.published_std or 0) for row in rows if row.published is not None]
    reach = max([*ends, 0.005]) * 1.04
    axis = svg.Axis(-reach, reach, _LEFT, _RIGHT)
    bottom = _TOP + _STEP * len(rows)
    parts = []
    for tick in svg.ticks(-reach, reach, 4):
        x, text = axis.position(tick), svg.signed_tick(tick)
        parts.append(svg.line((x, _TOP), (x, bottom), "axis" if tick == 0 else "grid"))
        parts += [svg.text(x, y, text, anchor="middle", kind="small") for y in (_TOP - 8, bottom + 14)]
    for i, row in enumerate(rows):
        parts += _strip(row, axis, _TOP + _STEP * (i + 0.5))
    parts += _legend(bottom + 34)
    return svg.chart(label, (svg.WIDTH, bottom + 42), parts)


def _strip(row: Strip, axis: svg.Axis, y: float) -> list[str]:
    parts = [svg.text(_LEFT - 6, y + 4, svg.shorter(row.label, 23), anchor="end", kind="small")]
    if row.published is not None:
        if row.published_std:
            low, high = row.published - row.published_std, row.published + row.published_std
            parts.append(svg.line((axis.position(low), y), (axis.position(high), y), "span"))
        parts.append(svg.mark(3, axis.position(row.published), y, kind="theirs"))
    # A line of zero length with round caps is a dot.
    dots = "".join(f"M{svg.number(axis.position(v))} {svg.number(y)}h0" for v in row.values)
    return [*parts, f'<path class="dots" d="{dots}"/>']


def _legend(y: float) -> list[str]:
    return [
        f'<path class="dots" d="M10 {svg.number(y - 4)}h0"/>',
        svg.text(20, y, "one seed"),
        svg.mark(3, 90, y - 4, kind="theirs"),
        svg.line((82, y - 4), (98, y - 4), "span"),
        svg.text(104, y, "published mean, and one deviation to either side"),
    ]
