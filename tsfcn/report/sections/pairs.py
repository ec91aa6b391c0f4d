"""Pairs: every column against every other, and the datasets on which they differ most."""

from __future__ import annotations

from collections.abc import Iterable

from tsfcn.analysis import compare
from tsfcn.analysis.compare import Comparison, Pair
from tsfcn.common.text import listed
from tsfcn.report.charts.pairs import TITLE, Entry, matrix
from tsfcn.report.collect import Material
from tsfcn.report.html import Chart, Content, TableColumn, csv_text
from tsfcn.report.render import fraction, p_value, signed
from tsfcn.report.svg import Label

_CSV_HEADER = (
    *("first", "second", "difference", "low_95", "high_95", "better", "equal", "worse", "p", "p_holm"),
    *("chance_first_better", "chance_equivalent", "chance_second_better"),
)


def content(material: Material) -> Content | None:
    """Return the content of the section: which pairs differ, their matrix, and the datasets that differ most."""
    comparison = material.comparison
    if comparison is None:
        return None
    order = comparison.best_first
    names = [column.name for column in comparison.columns]
    different = [_difference(pair, names) for pair in comparison.pairs if pair.p_holm < comparison.alpha]
    summary = f"Pairs that differ: {len(different)} of {len(comparison.pairs)}"
    summary += f", {listed(different, 6)}." if different else "."
    entries = {
        (order.index(i), order.index(j)): entry
        for pair in comparison.pairs
        for (i, j), entry in _entries(pair, pair.p_holm < comparison.alpha)
    }
    svg = matrix(Label("c-pairs", TITLE, summary), [names[i] for i in order], entries)
    data = csv_text(_CSV_HEADER, [_csv_row(pair, names) for pair in comparison.pairs])
    return {"summary": summary, "chart": Chart(svg, data), "farthest": _farthest(comparison)}


def _difference(pair: Pair, names: list[str]) -> str:
    """Return which column of a pair is better, and its p."""
    first, second = names[pair.first], names[pair.second]
    better, worse = (first, second) if pair.test.positive > pair.test.negative else (second, first)
    return f"{better} over {worse} (p = {p_value(pair.p_holm)})"


def _entries(pair: Pair, significant: bool) -> Iterable[tuple[tuple[int, int], Entry]]:
    """Yield (row and column, entry) for a pair: the first against the second, and the reverse."""
    for at, sign, wins, losses in (
        ((pair.first, pair.second), 1, pair.wins, pair.losses),
        ((pair.second, pair.first), -1, pair.losses, pair.wins),
    ):
        lines = (
            f"{signed(sign * pair.difference)}{' *' if significant else ''}",
            f"{wins} / {pair.ties} / {losses}",
            f"p {p_value(pair.p_holm)}",
        )
        yield at, Entry(sign * pair.difference, lines, significant)


def _csv_row(pair: Pair, names: list[str]) -> tuple[object, ...]:
    return (
        *(names[pair.first], names[pair.second], pair.difference, pair.low, pair.high),
        *(pair.wins, pair.ties, pair.losses, pair.test.p, pair.p_holm),
        *(pair.bayes.first, pair.bayes.equivalent, pair.bayes.second),
    )


def _farthest(comparison: Comparison) -> list[TableColumn]:
    """Return the table of the datasets that differ most, [] where none differs."""
    rows = compare.farthest(comparison)
    if not rows:
        return []
    titles = ("first", "second") if len(comparison.columns) == 2 else ("best", "worst")
    return [
        TableColumn("dataset", [row["dataset"] for row in rows]),
        *(
            TableColumn(
                title,
                [row[column] for row in rows],
                second_title="accuracy",
                second_texts=[fraction(row[f"accuracy_{column}"]) for row in rows],
            )
            for title, column in zip(titles, ("first", "second"), strict=True)
        ),
        TableColumn("difference", [signed(row["difference"]) for row in rows], is_numeric=True),
        TableColumn("seed noise", [row["noise"] for row in rows]),
    ]
