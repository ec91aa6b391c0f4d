"""Critical differences: the mean ranks of the columns, and the sets of columns no two of which differ."""

from __future__ import annotations

from collections import Counter, defaultdict

from tsfcn.analysis.choice import datasets_needed
from tsfcn.analysis.compare import Comparison
from tsfcn.common.text import counted, listed
from tsfcn.report.answer import datasets_by_note, friedman_line, sets_in_words
from tsfcn.report.charts.ranks import TITLE, critical_difference, rank_rows
from tsfcn.report.collect import Material
from tsfcn.report.html import Chart, Content, csv_text
from tsfcn.report.svg import Label


def content(material: Material) -> Content:
    """Return the content of the section: what the comparison is based on, and the critical difference diagram."""
    names_by_reason: dict[str, list[str]] = defaultdict(list)
    for name, reason in material.choice.left_out:
        names_by_reason[reason].append(name)
    left_out = [f"Left out: {listed(names)} ({reason})." for reason, names in names_by_reason.items()]
    comparison = material.comparison
    if comparison is None:
        return {"chart": None, "has_columns": bool(material.columns), "left_out": left_out}
    sets = comparison.equal_sets
    sentence = f"Sets of which no two differ, best first: {sets_in_words(comparison)}."
    return {
        "basis": [*_basis(comparison), *_notes(comparison)],
        "left_out": left_out,
        "chart": _chart(comparison, sets, sentence),
        "sets": sentence,
    }


def _chart(comparison: Comparison, sets: list[list[str]], sentence: str) -> Chart:
    """Return the diagram in its wide and its narrow form. sentence: names the sets."""
    names, order = [column.name for column in comparison.columns], comparison.best_first
    ranked = ", ".join(f"{names[i]} {comparison.mean_ranks[i]:.3f}" for i in order)
    description = f"Mean ranks over {counted(len(comparison.places), 'dataset')}, best first: {ranked}. {sentence}"
    arguments = (names, comparison.mean_ranks.tolist(), comparison.cliques)
    rows = [
        (
            names[i],
            float(comparison.mean_ranks[i]),
            float(comparison.scores[:, i].mean()),
            int(comparison.wins[i]),
            " ".join(str(n + 1) for n, members in enumerate(sets) if names[i] in members),
        )
        for i in order
    ]
    return Chart(
        critical_difference(Label("c-ranks", TITLE, description), *arguments),
        csv_text(["column", "mean_rank", "mean_accuracy", "wins", "sets"], rows),
        rank_rows(Label("c-ranks-narrow", TITLE, description), *arguments),
    )


def _basis(comparison: Comparison) -> list[str]:
    """Return what the comparison is based on: datasets, tests, and whether they can show a difference."""
    splits, n_datasets = Counter(place.split for place in comparison.places), len(comparison.places)
    where = (
        ", ".join(f"{n} on {split}" for split, n in sorted(splits.items())) if len(splits) > 1 else next(iter(splits))
    )
    lines = [f"{counted(n_datasets, 'dataset')} that all columns have on the same split ({where})."]
    most = max(pair.test.n for pair in comparison.pairs)
    if most > n_datasets:
        lines.append(f"Ranks and sets use these; each pair uses all datasets that it shares, at most {most}.")
    friedman = comparison.friedman
    if friedman is not None:
        lines.append(friedman_line(friedman))
    lines.append(
        f"Two columns differ if the p of the signed-rank test (two-sided, zeros by Pratt) is below "
        f"{comparison.alpha:g} after Holm's correction over all pairs."
    )
    needed = datasets_needed(len(comparison.columns), comparison.alpha)
    if n_datasets < needed:
        lines.append(
            f"{counted(n_datasets, 'dataset')} cannot show a difference between {len(comparison.columns)} columns: "
            f"{needed} are needed. That no two differ is not informative here."
        )
    return lines


def _notes(comparison: Comparison) -> list[str]:
    """Return the notes on columns, then those on single figures of columns."""
    lines = [f"{column.name}: {column.note}." for column in comparison.columns if column.note]
    columns_by_note: dict[tuple[str, str], list[str]] = defaultdict(list)
    for i, column in enumerate(comparison.columns):
        for note, datasets in datasets_by_note(comparison, i).items():
            columns_by_note[note, listed(datasets)].append(column.name)
    return lines + [
        f"To be read with care: {listed(names)} on {datasets} ({note})."
        for (note, datasets), names in sorted(columns_by_note.items())
    ]
