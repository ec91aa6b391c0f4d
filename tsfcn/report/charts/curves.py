"""Learning curves: training loss by epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tsfcn.report import svg
from tsfcn.report.svg import Label

FLOOR = 1e-6  # a smaller loss is drawn at it, since the axis is logarithmic
_LEFT, _RIGHT, _BOTTOM, _TOP = 46.0, svg.WIDTH - 12.0, 286.0, 28.0
_MOST_NAMES = 10  # in the legend


@dataclass(frozen=True)
class Curve:
    """The losses of one training by epoch, and the epoch and loss of the weights that were kept."""

    name: str
    epochs: Sequence[int]
    losses: Sequence[float]
    best: tuple[int, float] | None = None


@dataclass(frozen=True)
class Limits:
    """The ends of the axes, which are the same for every curve of a page: the last epoch, least and greatest loss."""

    n_epochs: int
    least: float
    most: float


@dataclass(frozen=True)
class _Axes:
    """Both axes in powers of ten: losses from 10^bottom to 10^top, epochs from 1 to 10^decades."""

    bottom: int
    top: int
    decades: float

    def position(self, epoch: float, loss: float) -> tuple[float, float]:
        """Return the pixel of a point; losses outside the axis are drawn at its end."""
        share = (math.log10(max(loss, FLOOR)) - self.bottom) / (self.top - self.bottom)
        x = _LEFT + math.log10(max(epoch, 1)) / self.decades * (_RIGHT - _LEFT)
        return x, _BOTTOM + min(max(share, 0), 1) * (_TOP - _BOTTOM)


def curves(label: Label, lines: Sequence[Curve], limits: Limits) -> str:
    """Return learning curves on two logarithmic axes, with a mark at the epoch whose weights were kept.

    page.js draws other curves into the same frame and reads its geometry from the data attributes.

    Args:
        label: id, title and description of the chart.
        lines: the curves.
        limits: the ends of the axes.
    """
    axes = _axes(limits)
    parts = [*_frame(axes), '<g class="marks">']
    for i, line in enumerate(lines):
        parts += _curve(i, line, axes)
    parts += svg.legend([line.name for line in lines[:_MOST_NAMES]], _LEFT, _BOTTOM + 54)
    parts.append("</g>")
    geometry = {"x0": _LEFT, "x1": _RIGHT, "y0": _BOTTOM, "y1": _TOP, **vars(axes)}
    data = {name: svg.number(value, 6) for name, value in geometry.items()}
    return svg.chart(label, (svg.WIDTH, _BOTTOM + 50 + 16 * min(len(lines), _MOST_NAMES)), parts, data)


def _axes(limits: Limits) -> _Axes:
    bottom = math.floor(math.log10(max(limits.least, FLOOR)))
    top = math.ceil(math.log10(max(limits.most, 1e-8)) + 1e-9)
    return _Axes(bottom, max(top, bottom + 1), math.log10(max(limits.n_epochs, 2)))


def _frame(axes: _Axes) -> list[str]:
    parts = []
    for power in range(axes.bottom, axes.top + 1):
        y = axes.position(1, 10.0**power)[1]
        text = f"{10.0**power:g}" if power >= -3 else f"1e{power}"
        parts.append(svg.line((_LEFT, y), (_RIGHT, y), "grid"))
        parts.append(svg.text(_LEFT - 6, y + 4, text, anchor="end", kind="small"))
    for power in range(math.floor(axes.decades + 1e-9) + 1):
        x = axes.position(10**power, 1)[0]
        parts.append(svg.line((x, _BOTTOM), (x, _TOP), "grid"))
        parts.append(svg.text(x, _BOTTOM + 16, str(10**power), anchor="middle", kind="small"))
    parts.append(svg.text(_RIGHT, _BOTTOM + 34, "epoch →", anchor="end", kind="soft"))
    parts.append(svg.text(4, 14, "↑ training loss, nats", kind="soft"))
    return parts


def _curve(i: int, line: Curve, axes: _Axes) -> list[str]:
    points = (axes.position(*point) for point in zip(line.epochs, line.losses, strict=True))
    track = "L".join(f"{svg.number(x)} {svg.number(y)}" for x, y in points)
    title = f"<title>{svg.escaped(line.name)}</title>"
    parts = [f'<path class="curve t{i % svg.N_SERIES}" d="M{track}">{title}</path>']
    if line.best is not None:
        title = f"{line.name}: kept from epoch {line.best[0]}"
        parts.append(svg.mark(i, *axes.position(*line.best), size=1.5, title=title))
    return parts
