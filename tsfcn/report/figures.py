"""Figures of explanations by matplotlib, an optional package: series coloured by what the network looks at.

Red speaks for the class, blue against it, grey is neutral. Every figure shows the series as the network takes them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tsfcn.analysis.explanation import Array, Explanation
from tsfcn.common import files
from tsfcn.common.errors import UserError
from tsfcn.data.preprocess import Int64
from tsfcn.report.svg import cleaned, shorter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

BLUE, GREY, RED = "#1f5fbf", "#b5b5b5", "#cc2a1f"
MAX_CLASSES = 12  # of a figure
FULL_COLOUR = 0.98  # the quantile of the values at which a colour is full: a few large ones do not hide the others
DPI = 130


def check_available() -> None:
    """Raise UserError where matplotlib is not installed."""
    try:
        available = importlib.util.find_spec("matplotlib") is not None
    except ValueError:  # an import of it has been disabled
        available = False
    if not available:
        raise UserError("matplotlib is not installed, which draws the figures: pip install 'tsfcn[plot]'")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file. Raises UserError where the file cannot be written."""
    try:
        files.replace(path, lambda file: figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None}))
    except OSError as error:
        raise UserError(f"file '{path}' is not writable ({error.strerror}): name another folder with --out") from error


def by_class(explanation: Explanation, labels: Int64, title: str) -> Figure:
    """Return a figure with a row for each class: its cases coloured by the map and by the saliency of the class.

    Args:
        explanation: Of the cases to draw.
        labels: int64 (n_cases,), the position of each case's true class.
        title: The heading.
    """
    shown, title = _shown_classes(labels, title)
    n_columns = 1 if explanation.maps is None else 2
    figure, rows = _panels(len(shown), n_columns, 4.6, 1.75, title)
    importance = np.abs(explanation.saliency[np.arange(len(labels)), labels]).sum(axis=1)
    for row, label in zip(rows, shown.tolist(), strict=True):
        cases = np.flatnonzero(labels == label)
        name = f"class {_text(explanation.classes[label])}"
        if explanation.maps is not None:
            maps = explanation.maps[cases, label]
            heading = f"{name}: class activation map{_recurrent_note(explanation, cases, label)}"
            _overlay(row[0], explanation.x[cases], maps, *_diverging(maps), heading)
        values = importance[cases]
        _overlay(row[-1], explanation.x[cases], values, *_sequential(values), f"{name}: |gradient|")
    for axes in rows[-1]:
        axes.set_xlabel("timepoint", fontsize=8)
    return figure


def gallery(explanation: Explanation, labels: Int64, rows: Sequence[tuple[str, Int64]], title: str) -> Figure:
    """Return a figure with rows of cases, each coloured by the map of the class that is predicted.

    Args:
        explanation: Of the cases to draw.
        labels: int64 (n_cases,), the position of each case's true class.
        rows: The name of each row and the positions of its cases.
        title: The heading.
    """
    rows = [(name, cases) for name, cases in rows if len(cases)]
    figure, panels = _panels(len(rows), max(len(cases) for _, cases in rows), 2.5, 1.8, title)
    importance = explanation.importance(explanation.predicted)
    for (name, cases), row in zip(rows, panels, strict=True):
        for axes, case in zip(row, cases.tolist(), strict=False):
            colours = _diverging if explanation.maps is not None else _sequential
            values = importance[[case]]
            _overlay(axes, explanation.x[[case]], values, *colours(values), _caption(explanation, labels, case), False)
        for axes in row[len(cases) :]:
            axes.set_axis_off()
        row[0].set_ylabel(name, fontsize=8)
    return figure


def attention(explanation: Explanation, labels: Int64, title: str) -> Figure:
    """Return a figure with a row for a case of each class: the series, and the attention of each step over time.

    Args:
        explanation: Of the cases to draw, with attention.
        labels: int64 (n_cases,), the position of each case's true class.
        title: The heading.
    """
    assert explanation.attention is not None
    shown, title = _shown_classes(labels, title)
    figure, rows = _panels(len(shown), 2, 4.0, 2.6, title)
    for row, label in zip(rows, shown.tolist(), strict=True):
        case = int(np.flatnonzero(labels == label)[0])
        length = int(explanation.lengths[case])
        weights = explanation.attention[case, :length, :length]
        relative = weights * length - 1  # 0 where all timepoints get the same attention
        values = relative.mean(axis=0, keepdims=True)
        name = f"class {_text(explanation.classes[label])}: mean attention, relative to uniform"
        _overlay(row[0], explanation.x[[case], :, :length], values, *_diverging(values), name)
        colours, norm = _diverging(relative)
        image = row[1].imshow(relative, aspect="auto", origin="lower", cmap=colours, norm=norm, interpolation="nearest")
        figure.colorbar(image, ax=row[1]).ax.tick_params(labelsize=7)
        row[1].set_title("attention of each step of the LSTM (row)", fontsize=8)
        row[1].tick_params(labelsize=7)
    for axes in rows[-1]:
        axes.set_xlabel("timepoint", fontsize=8)
    return figure


def _shown_classes(labels: Int64, title: str) -> tuple[Int64, str]:
    """Return the positions of the first classes, and the heading, which says so where there are more."""
    present = np.unique(labels)
    if len(present) <= MAX_CLASSES:
        return present, title
    return present[:MAX_CLASSES], f"{title} (first {MAX_CLASSES} of {len(present)} classes)"


def _panels(n_rows: int, n_columns: int, width: float, height: float, title: str) -> tuple[Figure, Any]:
    """Return a figure and its axes, (n_rows, n_columns). width, height: of one of them, inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * n_columns, height * n_rows + 0.5), layout="constrained")
    figure.suptitle(_text(title), fontsize=10)
    return figure, figure.subplots(n_rows, n_columns, squeeze=False)


def _overlay(
    axes: Axes,
    x: Array,
    values: Array,
    colours: Colormap,
    norm: Normalize,
    title: str,
    with_scale: bool = True,
) -> None:
    """Draw series over one another, coloured by a value at each timepoint.

    Args:
        axes: Where.
        x: (n_cases, n_channels, n_timepoints).
        values: (n_cases, n_timepoints).
        colours: The colours.
        norm: From values to colours.
        title: The heading.
        with_scale: Whether a colour scale stands beside.
    """
    lines = _coloured_lines(x, values)
    for line in lines:
        line.set(cmap=colours, norm=norm)
        axes.add_collection(line)
    axes.autoscale_view()
    axes.set_title(title, fontsize=8)
    axes.tick_params(labelsize=7)
    figure = axes.get_figure()
    if with_scale and figure is not None:
        figure.colorbar(lines[-1], ax=axes).ax.tick_params(labelsize=7)


def _coloured_lines(x: Array, values: Array) -> list[LineCollection]:
    """Return a line for each channel of each case, with a value for each of its segments; x, values: as `_overlay`."""
    from matplotlib.collections import LineCollection

    lines = []
    for case, value in zip(x, values, strict=True):
        for channel in case:
            points = np.stack([np.arange(len(channel)), channel], axis=1)
            segments = np.stack([points[:-1], points[1:]], axis=1)  # (n_timepoints - 1, 2, 2)
            lines.append(LineCollection(list(segments), linewidth=1.7, capstyle="round"))
            lines[-1].set_array((value[:-1] + value[1:]) / 2)
    return lines


def _diverging(values: Array) -> tuple[Colormap, Normalize]:
    """Return colours for values around 0, from blue over grey to red."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    reach = max(float(np.nanquantile(np.abs(values), FULL_COLOUR)), 1e-12)
    return LinearSegmentedColormap.from_list("evidence", [BLUE, GREY, RED]), Normalize(-reach, reach)


def _sequential(values: Array) -> tuple[Colormap, Normalize]:
    """Return colours for values from 0, from grey to red."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    reach = max(float(np.nanquantile(values, FULL_COLOUR)), 1e-12)
    return LinearSegmentedColormap.from_list("amount", [GREY, RED]), Normalize(0, reach)


def _recurrent_note(explanation: Explanation, cases: Int64, label: int) -> str:
    """Return the mean term of the recurrent branch beside that of the map; '' for a network without one."""
    if explanation.recurrent is None or explanation.maps is None:
        return ""
    map_term = np.nanmean(explanation.maps[cases, label])
    return f" (mean {map_term:+.2f}, recurrent {explanation.recurrent[cases, label].mean():+.2f})"


def _caption(explanation: Explanation, labels: Int64, case: int) -> str:
    """Return the classes of a case, and the probability of the predicted one."""
    predicted = int(explanation.predicted[case])
    probability = explanation.probabilities[case, predicted]
    label = int(labels[case])
    guess = "right" if predicted == label else f"predicted {_text(explanation.classes[predicted])}"
    return f"{_text(explanation.classes[label])}, {guess} ({probability:.3f})"


def _text(text: object) -> str:
    """Return a text that matplotlib draws as it is: no formula between dollar signs."""
    return shorter(cleaned(text), 120).replace("$", r"\$")
