"""Comparison of two or more columns of accuracies: who is better, by how much, and how certain that is.

    tsfcn compare A B [C ...]

Each column is from a results folder, a table, or `published:SOURCE/MODEL` (see tsfcn.analysis.score_columns). A
pair is compared on all datasets that both have on the same split; ranks and sets use those that all columns have. The
others are listed with the reason. Tests are paired over datasets, two-sided, and adjusted by Holm over all pairs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tsfcn.analysis import choice, stats, verdict
from tsfcn.analysis.columns import Cell, Column, Place, n_test, whole_cases
from tsfcn.common import text
from tsfcn.common.errors import UserError
from tsfcn.data.catalogue import CATALOGUE, OFFICIAL_SPLITS

LEVEL = 0.95  # confidence level of the intervals
NOISE_FLOOR = 0.5  # smallest standard deviation over runs, in test cases: equal counts need not be equal networks
SAME = 1e-6  # accuracies that differ by no more always tie
SHOWN = 10  # datasets listed with the largest differences


@dataclass(frozen=True)
class Pair:
    """Two columns over all datasets that both share; every figure is of the first minus the second."""

    first: int  # position of the column
    second: int
    difference: float  # mean over datasets
    low: float  # lower end of its interval over datasets, LEVEL; NaN for few
    high: float
    wins: int  # datasets on which the first is better
    ties: int
    losses: int
    test: stats.Wilcoxon  # its n is the number of datasets that both share
    p_holm: float  # adjusted over all pairs
    bayes: stats.Bayesian

    def reversed(self) -> Pair:
        """Return the same figures of the second minus the first."""
        test = replace(self.test, positive=self.test.negative, negative=self.test.positive)
        bayes = replace(self.bayes, first=self.bayes.second, second=self.bayes.first)
        return Pair(
            first=self.second,
            second=self.first,
            difference=-self.difference,
            low=-self.high,
            high=-self.low,
            wins=self.losses,
            ties=self.ties,
            losses=self.wins,
            test=test,
            p_holm=self.p_holm,
            bayes=bayes,
        )


@dataclass(frozen=True)
class Comparison:
    """Columns over the datasets that all have on the same split."""

    columns: tuple[Column, ...]
    places: tuple[Place, ...]
    scores: np.ndarray  # (n_datasets, n_columns), fractions
    cells: tuple[tuple[Cell, ...], ...]  # the same cells with deviation and number of runs
    left_out: dict[str, tuple[str, ...]]  # datasets by reason
    disjoint: tuple[str, ...]  # columns that are not compared, since with them too few datasets would be common
    across: tuple[str, ...]  # datasets compared although their splits differ, on request only
    how_ties: str  # 'average' or 'min'
    alpha: float
    mean_ranks: np.ndarray  # (n_columns,), 1 is best
    best: np.ndarray  # bool, (n_datasets, n_columns): no other column is better
    wins: np.ndarray  # (n_columns,), number of datasets on which each is best
    mpce: np.ndarray  # (n_columns,), NaN where a number of classes is not known
    friedman: stats.Friedman | None  # three columns or more
    pairs: tuple[Pair, ...]
    cliques: tuple[tuple[int, ...], ...]  # maximal sets of columns, by position, without a significant difference

    @property
    def best_first(self) -> list[int]:
        """The positions of the columns by mean rank, the best first."""
        return sorted(range(len(self.columns)), key=lambda i: (self.mean_ranks[i], i))

    @property
    def equal_sets(self) -> list[list[str]]:
        """The names in each set of columns no two of which differ (`cliques`), best first."""
        order = self.best_first
        sets = sorted(sorted(map(order.index, clique)) for clique in self.cliques)  # as places in the order
        return [[self.columns[order[place]].name for place in places] for places in sets]


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

    A column with which no dataset would be common is left out, and so is one of a folder or file of several with which
    too few would be to show a difference (`choice.choose`).

    Raises UserError for a single column and if no two have a dataset in common.

    Args:
        columns: the columns, with different names.
        ties: rank of equal accuracies, 'average', or 'min' of accuracies that are equal as printed.
        zeros: treatment of equal pairs in signed ranks, 'pratt' or 'wilcox'.
        rope: half the width of the region of practical equivalence, a fraction.
        alpha: significance level of `cliques`.
        across_splits: compare a dataset even if its splits differ, and list it.
        datasets: the datasets to compare; None: all.
    """
    if len(columns) < 2:
        raise UserError(_too_few(columns))
    if datasets is not None:
        columns = [replace(c, cells={p: cell for p, cell in c.cells.items() if p.dataset in datasets}) for c in columns]
    columns, disjoint = _with_common_datasets(columns, across_splits=across_splits)
    rows = shared_places(columns, across_splits=across_splits)
    left_out = _left_out(columns, {row[0].dataset for row in rows})
    if not rows:
        raise UserError(_nothing_in_common(columns, left_out))
    common = _paired(columns, rows)
    pairs = _pairs(columns, across_splits=across_splits, zeros=zeros, rope=rope)
    best = stats.ranks(common.scores, ties="min", tied=common.tied) == 1
    n_classes = [CATALOGUE[row[0].dataset].n_classes if row[0].dataset in CATALOGUE else math.nan for row in rows]
    return Comparison(
        columns=tuple(columns),
        places=tuple(row[0] for row in rows),
        scores=common.scores,
        cells=tuple(tuple(c.cells[place] for c, place in zip(columns, row, strict=True)) for row in rows),
        left_out=left_out,
        disjoint=disjoint,
        across=tuple(row[0].dataset for row in rows if len({place.split for place in row}) > 1),
        how_ties=ties,
        alpha=alpha,
        # Papers that give ties their best rank compare accuracies as they print them.
        mean_ranks=stats.ranks(common.scores, ties=ties, tied=None if ties == "min" else common.tied).mean(axis=0),
        best=best,
        wins=best.sum(axis=0),
        mpce=np.array([stats.mpce(common.scores[:, i], np.array(n_classes)) for i in range(len(columns))]),
        friedman=stats.friedman(common.scores, common.tied) if len(columns) > 2 else None,
        pairs=pairs,
        cliques=_cliques(common, pairs, zeros=zeros, alpha=alpha),
    )


def _too_few(columns: Sequence[Column]) -> str:
    only = f" ('{columns[0].name}': {columns[0].description})" if columns and columns[0].description else ""
    return f"comparison of {len(columns)} column{'' if columns else 's'} is not possible: name two or more{only}"


def _with_common_datasets(
    columns: Sequence[Column], *, across_splits: bool
) -> tuple[Sequence[Column], tuple[str, ...]]:
    """Return the columns to compare, and the names of those that leave too few common datasets.

    Columns that were named come first, then those with most datasets. All are returned if fewer than two would be left.
    """
    places = {c.name: {p.dataset if across_splits else p for p in c.cells} for c in columns}
    named = {c.name for c in columns if c.is_named}
    order = sorted(places, key=lambda name: (name not in named, -len(places[name])))
    ranked = choice.choose(((name, places[name]) for name in order), asked_for=named).ranked
    if len(ranked) < 2:
        return columns, ()
    return [c for c in columns if c.name in ranked], tuple(c.name for c in columns if c.name not in ranked)


def _nothing_in_common(columns: Sequence[Column], left_out: Mapping[str, Sequence[str]]) -> str:
    names = " and ".join(f"'{column.name}'" for column in columns[:2]) + (" and others" if len(columns) > 2 else "")
    why = "; ".join(f"{len(datasets)} {reason}" for reason, datasets in left_out.items())
    origins = [column.origin for column in columns]
    several = next((each for each in origins if 1 < origins.count(each) < len(origins)), None)
    hint = "compare what ran on the same data" if several is None else f"choose from '{several}', as {several}:MODEL"
    return f"common datasets of {names} are none ({why}): {hint}"


def shared_places(columns: Sequence[Column], *, across_splits: bool) -> list[tuple[Place, ...]]:
    """Return the datasets that all columns have, in catalogue order: the place of each column's cell.

    Without across_splits the places of a dataset are equal, the official split before others.
    """
    if across_splits:
        chosen = [{place.dataset: place for place in sorted(c.cells, key=_preference, reverse=True)} for c in columns]
        common = sorted(set.intersection(*(set(places) for places in chosen)), key=_catalogue_order)
        return [tuple(places[dataset] for places in chosen) for dataset in common]
    shared = set.intersection(*(set(column.cells) for column in columns))
    one = {place.dataset: place for place in sorted(shared, key=_preference, reverse=True)}
    return [(one[dataset],) * len(columns) for dataset in sorted(one, key=_catalogue_order)]


@dataclass(frozen=True)
class _Paired:
    """Accuracies of columns on the same datasets, and which of them are equal."""

    scores: np.ndarray  # (n_datasets, n_columns), fractions
    tied: np.ndarray  # bool, (n_datasets, n_columns, n_columns)

    def differences(self, i: int, j: int) -> np.ndarray:
        """Return column i minus column j on each dataset, 0 where they tie."""
        return np.where(self.tied[:, i, j], 0.0, stats.rounded(self.scores[:, i] - self.scores[:, j]))


def _paired(columns: Sequence[Column], rows: Sequence[Sequence[Place]]) -> _Paired:
    """Return the scores of columns at places, and which tie.

    Two single runs tie if as many test cases are right, where the decimals show how many. Others tie if they differ by
    at most half a unit of the last decimal of the coarser column, and always below SAME.
    """
    scores = np.array([[c.cells[place].accuracy for c, place in zip(columns, row, strict=True)] for row in rows])
    right = np.array([[_right_cases(c, place) for c, place in zip(columns, row, strict=True)] for row in rows])
    half = np.array([max(column.half_unit, SAME) for column in columns])
    tolerance = np.maximum(half[:, None], half[None, :]) + 1e-12
    close = np.abs(scores[:, :, None] - scores[:, None, :]) <= tolerance
    counted = (right[:, :, None, 0] > 0) & (right[:, :, None, 0] == right[:, None, :, 0])  # the same number of cases
    return _Paired(stats.rounded(scores), np.where(counted, right[:, :, None, 1] == right[:, None, :, 1], close))


def _right_cases(column: Column, place: Place) -> tuple[int, int]:
    """Return the number of test cases and of right ones behind a cell; (0, 0) if it does not show."""
    cell, n = column.cells[place], n_test(place)
    right = whole_cases(cell.accuracy, n, column.half_unit) if n is not None and cell.n_runs == 1 else None
    return (0, 0) if n is None or right is None else (n, right)


def _preference(place: Place) -> tuple[int, str]:
    """Return a sort key that puts the split to compare first if several are common: the official one."""
    order = (*OFFICIAL_SPLITS, "ucr2015", "mixed", "early")
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


def _pairs(columns: Sequence[Column], *, across_splits: bool, zeros: str, rope: float) -> tuple[Pair, ...]:
    """Return all pairs, each over all datasets that it shares; there is a dataset that all columns share.

    Args:
        columns: as in `compare`.
        across_splits: as in `compare`.
        zeros: as in `compare`.
        rope: as in `compare`.
    """
    combinations = list(itertools.combinations(range(len(columns)), 2))
    is_many = len(combinations) > 10
    pairs = []
    for i, j in combinations:
        both = [columns[i], columns[j]]
        paired = _paired(both, shared_places(both, across_splits=across_splits))
        pairs.append(_pair(i, j, paired, zeros=zeros, rope=rope, is_many=is_many))
    adjusted = stats.holm([pair.test.p for pair in pairs])
    return tuple(replace(pair, p_holm=float(p)) for pair, p in zip(pairs, adjusted, strict=True))


def _pair(first: int, second: int, paired: _Paired, *, zeros: str, rope: float, is_many: bool) -> Pair:
    """Return the figures of a pair, its p not adjusted yet.

    Args:
        first: position of the first column.
        second: position of the second column.
        paired: both on the datasets that they share.
        zeros: see `compare`.
        rope: see `compare`.
        is_many: whether there are many pairs. Sampling takes most of the time, so these get fewer draws, which makes
            probabilities less precise.
    """
    raw, d = paired.scores[:, 0] - paired.scores[:, 1], paired.differences(0, 1)
    low, high = stats.mean_interval(raw, level=LEVEL)
    test = stats.wilcoxon(d, zeros=zeros)
    bayes = stats.bayesian_signed_rank(d, rope=rope, n_samples=2_000 if is_many else 20_000)
    return Pair(first, second, float(raw.mean()), low, high, *stats.wins(d, np.zeros_like(d)), test, test.p, bayes)


def _cliques(common: _Paired, pairs: Sequence[Pair], *, zeros: str, alpha: float) -> tuple[tuple[int, ...], ...]:
    """Return the maximal sets of columns without a significant difference on the datasets that all share.

    Args:
        common: the columns on these datasets.
        pairs: all pairs, each on the datasets that it shares; its p counts if these are the same.
        zeros: as in `compare`.
        alpha: as in `compare`.
    """
    n, k = common.scores.shape
    p = [
        pair.test.p if pair.test.n == n else stats.wilcoxon(common.differences(pair.first, pair.second), zeros=zeros).p
        for pair in pairs
    ]
    differs = np.zeros((k, k), dtype=bool)
    for pair, adjusted in zip(pairs, stats.holm(p), strict=True):
        differs[pair.first, pair.second] = differs[pair.second, pair.first] = adjusted < alpha
    return tuple(stats.cliques(differs))


def typical_difference(comparison: Comparison) -> verdict.TypicalDifference | None:
    """Return the verdict on the typical difference of two columns, first minus second (verdict.typical).

    None where the number of test cases of a dataset is not known, or its accuracy is a mean over resamples: deviations
    over those are of splits. The deviation of a single run is taken from the other column.
    """
    sizes = [n_test(place) for place in comparison.places]
    if len(comparison.columns) != 2 or comparison.across or any(size is None for size in sizes):
        return None
    return verdict.typical_of(
        [
            verdict.PairedAccuracy(
                dataset=place.dataset,
                n_test=size or 0,
                accuracy=float(scores[0]),
                std=first.std if first.n_runs > 1 else None,
                n_seeds=first.n_runs,
                published=float(scores[1]),
                published_std=second.std if second.n_runs > 1 else None,
                published_runs=second.n_runs,
            )
            for place, size, scores, (first, second) in zip(
                comparison.places, sizes, comparison.scores, comparison.cells, strict=True
            )
        ]
    )


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
    n_cases = math.inf if facts is None else facts.n_test_on(place.split)
    difference = round(first.accuracy - second.accuracy, stats.DIGITS)
    known = [(max(c.std, NOISE_FLOOR / n_cases), c.n_runs) for c in (first, second) if c.std is not None]
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


def farthest(comparison: Comparison, n: int = SHOWN) -> list[dict[str, Any]]:
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
