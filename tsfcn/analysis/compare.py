"""Comparison of two or more columns of accuracies: who is better, by how much, and how certain that is.

    tsfcn compare A B [C ...]

Each column is from a results folder, a table, or `published:SOURCE/MODEL` (see tsfcn.analysis.score_columns). Datasets
are compared that all columns have on the same split; the others are listed with the reason. Tests are paired over
datasets, two-sided, and adjusted by Holm over all pairs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tsfcn.analysis import stats
from tsfcn.analysis.columns import Cell, Column, Place
from tsfcn.common import text
from tsfcn.common.errors import UserError
from tsfcn.data.catalogue import CATALOGUE

LEVEL = 0.95  # confidence level of the intervals
NOISE_FLOOR = 0.5  # smallest standard deviation over runs, in test cases: equal counts need not be equal networks
SHOWN = 10  # datasets listed with the largest differences


@dataclass(frozen=True)
class Pair:
    """Two columns over the common datasets; every figure is of the first minus the second."""

    first: int  # position of the column
    second: int
    difference: float  # mean over datasets
    low: float  # lower end of its bootstrap interval over datasets, LEVEL
    high: float
    wins: int  # datasets on which the first is better
    ties: int
    losses: int
    test: stats.Wilcoxon
    p_holm: float  # adjusted over all pairs
    bayes: stats.Bayesian


@dataclass(frozen=True)
class Comparison:
    """Columns over the datasets that all have on the same split."""

    columns: tuple[Column, ...]
    places: tuple[Place, ...]
    scores: np.ndarray  # (n_datasets, n_columns), fractions
    cells: tuple[tuple[Cell, ...], ...]  # the same cells with deviation and number of runs
    left_out: dict[str, tuple[str, ...]]  # datasets by reason
    across_splits: tuple[str, ...]  # datasets compared although their splits differ, on request only
    tie_method: str  # 'average' or 'min'
    alpha: float
    mean_ranks: np.ndarray  # (n_columns,), 1 is best
    wins: np.ndarray  # (n_columns,), ties at the top count for each
    mpce: np.ndarray  # (n_columns,), NaN where a number of classes is not known
    friedman: stats.Friedman | None  # three columns or more
    pairs: tuple[Pair, ...]
    cliques: tuple[tuple[int, ...], ...]  # maximal sets of columns, by position, without a significant difference


# ---------------------------------------------------------------------------------------------------------------------
# Selection of datasets


def compare(
    columns: Sequence[Column],
    *,
    ties: str = "average",
    zeros: str = "pratt",
    rope: float = 0.01,
    alpha: float = 0.05,
    across_splits: bool = False,
    datasets: Container[str] | None = None,
) -> Comparison:
    """Return the comparison of two or more columns (`score_columns.read`).

    Raises UserError for a single column and if no dataset is common.

    Args:
        columns: the columns, with different names.
        ties: rank of equal accuracies, 'average' or 'min'.
        zeros: treatment of equal pairs in signed ranks, 'pratt' or 'wilcox'.
        rope: half the width of the region of practical equivalence, a fraction.
        alpha: significance level of `cliques`.
        across_splits: compare a dataset even if its splits differ, and list it.
        datasets: the datasets to compare; None: all.
    """
    if len(columns) < 2:
        raise UserError(
            f"comparison of {len(columns)} column{'' if columns else 's'} is not possible: name two or more"
        )
    if datasets is not None:
        columns = [replace(c, cells={p: cell for p, cell in c.cells.items() if p.dataset in datasets}) for c in columns]
    if across_splits:
        chosen = [{place.dataset: place for place in sorted(c.cells, key=_preference, reverse=True)} for c in columns]
        common = sorted(set.intersection(*(set(places) for places in chosen)), key=_catalogue_order)
        rows = [[places[dataset] for places in chosen] for dataset in common]
    else:
        shared = set.intersection(*(set(column.cells) for column in columns))
        one = {place.dataset: place for place in sorted(shared, key=_preference, reverse=True)}
        rows = [[one[dataset]] * len(columns) for dataset in sorted(one, key=_catalogue_order)]
    left_out = _left_out(columns, {row[0].dataset for row in rows})
    if not rows:
        names = " and ".join(f"'{column.name}'" for column in columns[:2]) + (" and others" if len(columns) > 2 else "")
        why = "; ".join(f"{len(datasets)} {reason}" for reason, datasets in left_out.items())
        origins = [column.origin for column in columns]
        several = next((each for each in origins if 1 < origins.count(each) < len(origins)), None)
        hint = (
            "compare what ran on the same data" if several is None else f"choose from '{several}', as {several}:MODEL"
        )
        raise UserError(f"common datasets of {names} are none ({why}): {hint}")
    cells = tuple(tuple(c.cells[place] for c, place in zip(columns, row, strict=True)) for row in rows)
    scores = stats.rounded(np.array([[cell.accuracy for cell in row] for row in cells]))
    n_classes = [CATALOGUE[row[0].dataset].n_classes if row[0].dataset in CATALOGUE else math.nan for row in rows]
    pairs = _pairs(scores, zeros=zeros, rope=rope)
    differs = np.zeros((len(columns), len(columns)), dtype=bool)
    for pair in pairs:
        differs[pair.first, pair.second] = differs[pair.second, pair.first] = pair.p_holm < alpha
    return Comparison(
        columns=tuple(columns),
        places=tuple(row[0] for row in rows),
        scores=scores,
        cells=cells,
        left_out=left_out,
        across_splits=tuple(row[0].dataset for row in rows if len({place.split for place in row}) > 1),
        tie_method=ties,
        alpha=alpha,
        mean_ranks=stats.ranks(scores, ties=ties).mean(axis=0),
        wins=(scores == scores.max(axis=1, keepdims=True)).sum(axis=0),
        mpce=np.array([stats.mpce(scores[:, i], np.array(n_classes)) for i in range(len(columns))]),
        friedman=stats.friedman(scores) if len(columns) > 2 else None,
        pairs=pairs,
        cliques=tuple(stats.cliques(differs)),
    )


def _preference(place: Place) -> tuple[int, str]:
    """Return a sort key that puts the split to compare first if several are common: the official one."""
    order = ("ucr2018", "ucr2015", "mixed", "early")
    return (order.index(place.split) if place.split in order else len(order), place.split)


def _catalogue_order(dataset: str) -> tuple[int, str]:
    return (_POSITIONS.get(dataset, len(_POSITIONS)), dataset)


_POSITIONS = {name: i for i, name in enumerate(CATALOGUE)}


def _left_out(columns: Sequence[Column], compared: set[str]) -> dict[str, tuple[str, ...]]:
    """Return the datasets that only some columns have, or have on different splits, by reason."""
    splits: dict[str, list[set[str]]] = {}
    for i, column in enumerate(columns):
        for place in column.cells:
            splits.setdefault(place.dataset, [set() for _ in columns])[i].add(place.split)
    reasons: dict[str, list[str]] = {}
    for dataset in sorted(set(splits) - compared, key=_catalogue_order):
        absent = [column.name for column, has in zip(columns, splits[dataset], strict=True) if not has]
        if absent:
            reason = f"not in {text.listed(absent, 3)}"
        else:
            on: dict[str, list[str]] = {}
            for column, has in zip(columns, splits[dataset], strict=True):
                on.setdefault(" and ".join(sorted(has)), []).append(column.name)
            reason = f"on another split ({'; '.join(f'{split}: {text.listed(on[split], 3)}' for split in sorted(on))})"
        reasons.setdefault(reason, []).append(dataset)
    return {reason: tuple(datasets) for reason, datasets in reasons.items()}


def _pairs(scores: np.ndarray, *, zeros: str, rope: float) -> tuple[Pair, ...]:
    positions = list(itertools.combinations(range(scores.shape[1]), 2))
    # Sampling takes most of the time, so many pairs get fewer draws, which makes probabilities less precise.
    n_samples = 20_000 if len(positions) <= 10 else 2_000
    tests = [stats.wilcoxon(scores[:, i] - scores[:, j], zeros=zeros) for i, j in positions]
    adjusted = stats.holm([test.p for test in tests])
    pairs = []
    for (i, j), test, p in zip(positions, tests, adjusted, strict=True):
        d = scores[:, i] - scores[:, j]
        low, high = stats.bootstrap(d, level=LEVEL, n_samples=10_000 if len(positions) <= 10 else 2_000)
        bayes = stats.bayesian_signed_rank(d, rope=rope, n_samples=n_samples)
        pairs.append(
            Pair(i, j, float(d.mean()), low, high, *stats.wins(scores[:, i], scores[:, j]), test, float(p), bayes)
        )
    return tuple(pairs)


def noise(first: Cell, second: Cell, place: Place) -> str:
    """Return whether seed noise explains the difference of two cells: 'within', 'beyond', or 'not known: REASON'.

    If both have several runs, 'within' means that the Welch interval (LEVEL) of the difference contains 0. If one is a
    single run, it means that this run lies in the prediction interval of the other's runs. Standard deviations are at
    least half a test case. Not known for two single runs, a missing deviation, and deviations over resamples. Datasets
    are judged one by one: of twenty that differ by chance alone, about one is 'beyond'.
    """
    if place.split.endswith(("resamples", "folds")):
        return "not known: deviations are over splits"
    facts = CATALOGUE.get(place.dataset)
    n_test = math.inf if facts is None else facts.n_train if place.split == "ucr2015" else facts.n_test
    difference = round(first.accuracy - second.accuracy, stats.DIGITS)
    known = [(max(c.std, NOISE_FLOOR / n_test), c.n_runs) for c in (first, second) if c.std is not None]
    if len(known) == 2:
        (sd_1, n_1), (sd_2, n_2) = known
        low, high, _ = stats.welch(difference, sd_1, n_1, sd_2, n_2, level=LEVEL) if sd_1 + sd_2 > 0 else (0, 0, 0)
    elif len(known) == 1 and 1 in (first.n_runs, second.n_runs):
        low, high, _ = stats.prediction(difference, *known[0], level=LEVEL)
    else:
        return "not known: single runs" if first.n_runs == second.n_runs == 1 else "not known: no deviation given"
    return "within" if low <= 0 <= high else "beyond"


# ---------------------------------------------------------------------------------------------------------------------
# Text


def count(n: int) -> str:
    """Return the number of datasets in words."""
    return "1 dataset" if n == 1 else f"{n} datasets"


def largest_differences(comparison: Comparison, n: int = SHOWN) -> list[dict[str, Any]]:
    """Return the n datasets with the largest differences: both columns, their accuracies, the difference, the noise.

    With two columns the difference is the first minus the second; with more, the best minus the worst.
    """
    rows: list[dict[str, Any]] = []
    for place, scores, cells in zip(comparison.places, comparison.scores, comparison.cells, strict=True):
        i, j = (0, 1) if len(scores) == 2 else (int(np.argmax(scores)), int(np.argmin(scores)))
        difference = float(stats.rounded(scores[i] - scores[j]))
        rows.append(
            {
                "dataset": place.dataset,
                "split": place.split,
                "first": comparison.columns[i].name,
                "accuracy_first": float(scores[i]),
                "second": comparison.columns[j].name,
                "accuracy_second": float(scores[j]),
                "difference": difference,
                "noise": noise(cells[i], cells[j], place),
            }
        )
    rows.sort(key=lambda row: -abs(row["difference"]))
    return [row for row in rows[:n] if row["difference"] != 0]
