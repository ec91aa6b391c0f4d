"""Reliability: accuracy against confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsfcn.report import svg
from tsfcn.report.svg import Label

_LEFT, _RIGHT, _BOTTOM, _TOP = 46.0, svg.WIDTH - 12.0, 306.0, 28.0


@dataclass(frozen=True)
class ReliabilityCurve:
    """The confidence, accuracy and number of cases of each bin of a series."""

    name: str
    confidence: Sequence[float]
    accuracy: Sequence[float]
    n_cases: Sequence[int]


def reliability_chart(label: Label, curves: Sequence[ReliabilityCurve], unit: str = "cases") -> str:
    """Return reliability curves; on the diagonal confidence and accuracy are equal.

    Args:
        label: id, title and description of the chart.
        curves: one for each series.
        unit: what is classified.
    """
    x, y = svg.Axis(0, 1, _LEFT, _RIGHT), svg.Axis(0, 1, _BOTTOM, _TOP)
    parts = []
    for tick in svg.ticks(0, 1):
        parts.append(svg.line((x.position(tick), _TOP), (x.position(tick), _BOTTOM), "grid"))
        parts.append(svg.line((_LEFT, y.position(tick)), (_RIGHT, y.position(tick)), "grid"))
        parts.append(svg.text(x.position(tick), _BOTTOM + 14, svg.number(tick, 1), anchor="middle", kind="small"))
        parts.append(svg.text(_LEFT - 6, y.position(tick) + 4, svg.number(tick, 1), anchor="end", kind="small"))
    parts.append(svg.line((_LEFT, _BOTTOM), (_RIGHT, _TOP), "diagonal"))
    parts.append(svg.text(4, 14, "↑ accuracy", kind="soft"))
    parts.append(svg.text(_RIGHT, _BOTTOM + 34, "confidence →", anchor="end", kind="soft"))
    for i, curve in enumerate(curves):
        points = zip(curve.confidence, curve.accuracy, curve.n_cases, strict=True)
        parts += [
            svg.mark(i, x.position(p), y.position(a), size=1.3, title=f"{curve.name}: {n} {unit}, {p:.3f}, {a:.3f}")
            for p, a, n in points
        ]
    parts += svg.legend([curve.name for curve in curves], 10, _BOTTOM + 56)
    return svg.chart(label, (svg.WIDTH, _BOTTOM + 60 + 16 * (len(curves) - 1)), parts)
