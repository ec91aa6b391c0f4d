"""Learning curves: those of one model on one dataset; page.js draws any other."""

from __future__ import annotations

from collections.abc import Sequence

from tsfcn.common.text import counted
from tsfcn.report.charts.curves import FLOOR, Curve, Limits, curves
from tsfcn.report.collect import LearningCurve, Material, full_name
from tsfcn.report.html import Chart, Content, csv_text
from tsfcn.report.svg import Label


def content(material: Material) -> Content:
    """Return the content of the section: the chart of the first model and dataset."""
    every = material.curves
    if not every:
        return {"chart": None}
    first = every[0]
    shown = [curve for curve in every if (curve.dataset, curve.name) == (first.dataset, first.name)]
    title = f"Training loss of {full_name(first.name)} on {first.dataset}"
    limits = Limits(
        n_epochs=max(curve.epochs[-1] for curve in every),
        least=min(min(curve.losses) for curve in every),
        most=max(max(curve.losses) for curve in every),
    )
    lines = [Curve(f"seed {curve.seed}", curve.epochs, curve.losses, curve.best) for curve in shown]
    svg = curves(Label("c-curves", title, _description(shown)), lines, limits)
    rows = [(c.seed, e, loss) for c in shown for e, loss in zip(c.epochs, c.losses, strict=True)]
    data = csv_text(["seed", "epoch", "loss"], rows)
    return {"title": title, "chart": Chart(svg, data), "floor": f"{FLOOR:g}"}


def _description(shown: Sequence[LearningCurve]) -> str:
    return " ".join(
        f"Seed {curve.seed}: from {curve.losses[0]:g} to {curve.losses[-1]:g} in {counted(curve.epochs[-1], 'epoch')}"
        + (f", kept from epoch {curve.best[0]}." if curve.best else ".")
        for curve in shown
    )
