"""Two columns: their accuracies on the datasets that both have; page.js draws any other two."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from tsfcn.analysis import stats
from tsfcn.analysis.columns import Column, Place
from tsfcn.common.text import counted
from tsfcn.data.catalogue import OFFICIAL_SPLITS
from tsfcn.report.charts.scatter import Point, scatter
from tsfcn.report.collect import Material
from tsfcn.report.html import Chart, Content, csv_text
from tsfcn.report.render import fraction
from tsfcn.report.sections.texts import marked_name
from tsfcn.report.svg import Label


def content(material: Material) -> Content:
    """Return the content of the section: the chart of the two columns that are shown first, and its sentence."""
    pair = _first_pair(material)
    if pair is None:
        return {"chart": None}
    x, y = (material.columns[i] for i in pair)
    places = _shared_places(x, y)
    points = [_point(place, x, y) for place in places]
    sentence = side_by_side(x, y)
    label = Label("c-scatter", f"{marked_name(y)} against {marked_name(x)}", sentence)
    svg = scatter(label, points, marked_name(x), marked_name(y), low=_least(material.columns))
    data = csv_text(
        ["dataset", "split", "x", "y", "x_std", "y_std"],
        [(p.dataset, p.split, q.x, q.y, q.x_std, q.y_std) for p, q in zip(places, points, strict=True)],
    )
    return {"x": pair[0], "y": pair[1], "summary": sentence, "chart": Chart(svg, data)}


def _first_pair(material: Material) -> tuple[int, int] | None:
    """Return the indices (x, y) of the columns to show first, None if no two have a dataset in common.

    One of ours beside the same model in a paper is preferred, then one of ours beside any other column, then the pair
    with the most datasets in common.
    """
    columns, n_own = material.columns, material.n_own_columns
    options = []
    for i, j in itertools.combinations(range(len(columns)), 2):
        n_shared = len(set(columns[i].cells) & set(columns[j].cells))
        is_own_beside_other = i < n_own <= j
        is_same_model = columns[j].name.rpartition("/")[2] == columns[i].name.partition(" (")[0]
        if n_shared:
            options.append((is_own_beside_other and is_same_model, is_own_beside_other, n_shared, -i, -j))
    if not options:
        return None
    *_, y, x = max(options)
    return -x, -y


def _point(place: Place, x: Column, y: Column) -> Point:
    label = place.dataset if place.split in OFFICIAL_SPLITS else f"{place.dataset} ({place.split})"
    accuracies = (round(column.cells[place].accuracy, 6) for column in (x, y))
    stds = (column.cells[place].std for column in (x, y))
    return Point(label, *accuracies, *(None if std is None else round(std, 6) for std in stds))


def _least(columns: Sequence[Column]) -> float:
    """Return the lower end of both axes, below every accuracy that can be drawn, so that no choice moves the axes."""
    n_columns = Counter(place for column in columns for place in column.cells)
    least = min(cell.accuracy for column in columns for place, cell in column.cells.items() if n_columns[place] > 1)
    return max(0.0, math.floor(least * 10 - 1e-9) / 10)


def _shared_places(x: Column, y: Column) -> list[Place]:
    return sorted(set(x.cells) & set(y.cells))


def side_by_side(x: Column, y: Column) -> str:
    """Return the sentence above the scatter: on how many common datasets y is better than x, and both means."""
    places = _shared_places(x, y)
    if not places:
        return f"{marked_name(y)} and {marked_name(x)} have no dataset on the same split in common."
    upper, lower = (np.array([column.cells[p].accuracy for p in places]) for column in (y, x))
    wins, ties, losses = stats.wins(upper, lower)
    return (
        f"{marked_name(y)} is better than {marked_name(x)} on {wins}, equal on {ties}, worse on {losses} of "
        f"{counted(len(places), 'dataset')}; mean accuracy {fraction(upper.mean())} beside {fraction(lower.mean())}."
    )
