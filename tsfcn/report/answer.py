"""The answer of a comparison in one sentence, and the datasets that it rests on."""

from __future__ import annotations

import math

import numpy as np

from tsfcn.analysis import stats
from tsfcn.analysis.compare import LEVEL, Comparison, Pair
from tsfcn.common import text as plain_text
from tsfcn.common.text import counted
from tsfcn.report import render


def answer(comparison: Comparison) -> str:
    """Return who beats whom, on how many datasets, by how much, and how certain that is, in one sentence."""
    if len(comparison.columns) == 2:
        return _answer_of_two(comparison)
    best = int(np.argmin(comparison.mean_ranks))
    by_outcome: dict[str, list[str]] = {"it beats": [], "it loses to": [], "no difference is shown from": []}
    for pair in comparison.pairs:
        if best not in (pair.first, pair.second):
            continue
        sign = 1 if pair.first == best else -1
        other = comparison.columns[pair.second if sign == 1 else pair.first].name
        shared = counted(pair.test.n, "dataset")
        facts = f"{render.signed(sign * pair.difference)} on {shared}, p {_p(pair.p_holm)}"
        outcome = "no difference is shown from"
        if pair.p_holm < comparison.alpha:
            outcome = "it beats" if sign * (pair.test.positive - pair.test.negative) > 0 else "it loses to"
        by_outcome[outcome].append(f"{other} ({facts})")
    outcomes = [f"{outcome} {plain_text.listed(others, 4)}" for outcome, others in by_outcome.items() if others]
    datasets = counted(len(comparison.places), "dataset")
    return (
        f"{comparison.columns[best].name} ranks first of {len(comparison.columns)} on {datasets} "
        f"that all share (mean rank {comparison.mean_ranks[best]:.2f}): {'; '.join(outcomes)}."
    )


def _answer_of_two(comparison: Comparison) -> str:
    (pair,) = comparison.pairs
    first, second = (comparison.columns[i].name for i in (pair.first, pair.second))
    if pair.ties == pair.test.n:
        every = "the 1 dataset" if pair.test.n == 1 else f"all {pair.test.n} datasets"
        return f"{first} and {second} are equal on {every} that both share."
    shared = counted(pair.test.n, "dataset")
    if pair.p_holm >= comparison.alpha:
        return f"No difference between {first} and {second} is shown on {shared}: {_facts(pair, first, second)}."
    if pair.test.positive > pair.test.negative:
        return f"{first} beats {second} on {shared}: {_facts(pair, first, second)}."
    return f"{second} beats {first} on {shared}: {_facts(pair.reversed(), second, first)}."


def _facts(pair: Pair, first: str, second: str) -> str:
    """Return by how much two columns differ and how certain that is."""
    interval = f" ({LEVEL:.0%} interval {render.interval(pair.low, pair.high)})" if not math.isnan(pair.low) else ""
    return (
        f"{first} better on {pair.wins}, equal on {pair.ties}, {second} better on {pair.losses}, "
        f"{render.signed(pair.difference)} on average{interval}, p {_p(pair.test.p)}"
    )


def _p(value: float) -> str:
    text = render.p_value(value)
    return text if text.startswith("<") else f"= {text}"


def common_datasets(comparison: Comparison) -> str:
    """Return on how many datasets and which splits the columns are compared."""
    counts: dict[str, int] = {}
    for place in comparison.places:
        counts[place.split] = counts.get(place.split, 0) + 1
    where = ", ".join(f"{n} on {split}" for split, n in counts.items()) if len(counts) > 1 else next(iter(counts))
    line = f"{counted(len(comparison.places), 'dataset')} in common ({where})"
    least, most = (f(pair.test.n for pair in comparison.pairs) for f in (min, max))
    if most == len(comparison.places):
        return f"{line}."
    each = f"{most}" if least == most else f"{least} to {most}"
    return f"{line}, which ranks and sets use; each pair uses all datasets that it shares, {each}."


def friedman_line(friedman: stats.Friedman) -> str:
    """Return the line on the Friedman test of all columns."""
    p = render.p_value(friedman.p)
    return f"Friedman: chi2 = {friedman.chi2:.3f}, {friedman.df} degrees of freedom, p = {p}."


def sets_in_words(comparison: Comparison) -> str:
    """Return the sets of columns no two of which differ, best first."""
    return "; ".join("{" + ", ".join(names) + "}" for names in comparison.equal_sets) or "none, every two differ"


def datasets_by_note(comparison: Comparison, column: int) -> dict[str, list[str]]:
    """Return the datasets of each note on figures of a column, given by its position."""
    datasets: dict[str, list[str]] = {}
    for place, cells in zip(comparison.places, comparison.cells, strict=True):
        if cells[column].note:
            datasets.setdefault(cells[column].note, []).append(place.dataset)
    return datasets
