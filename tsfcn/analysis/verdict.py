"""Verdicts: whether our accuracies reproduce the published ones.

Each dataset gets a verdict of one word, and so does the typical difference over all datasets; the mean difference has
an interval and no word. docs/verdict.md explains the rules and reports how often each word is wrong in simulations
(benchmarks/verdict.py).

A mean of several published runs gives `equivalent`, `different`, `undecided` or `undecidable`. A single published run
gives `inside` or `outside`: whether it lies in the prediction interval of our seeds. It can show a difference, but
never equivalence.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsfcn.analysis import stats
from tsfcn.data.catalogue import CATALOGUE

MARGIN = 0.02  # largest difference of two accuracies that does not matter; at least one test case
TYPICAL_MARGIN = 0.005  # the same for the typical difference over datasets
FLOOR = 0.5  # smallest standard deviation over runs, in test cases
ALPHA = 0.05
LEVEL = 0.9  # confidence level of the intervals: two one-sided tests at 5 %
TAIL_DF = 5  # most degrees of freedom for predicting one published run, since trainings fail now and then
MORE_SEEDS = 100  # the number of further seeds is not reported beyond this
ENDLESS = 10**9  # so many seeds of ours leave the uncertainty of the published runs alone

EQUIVALENT, DIFFERENT, UNDECIDED, UNDECIDABLE = "equivalent", "different", "undecided", "undecidable"
INSIDE, OUTSIDE = "inside", "outside"
LEAST_DATASETS = 5  # signed ranks of fewer are never significant
WORDS = (EQUIVALENT, DIFFERENT, UNDECIDED, UNDECIDABLE, INSIDE, OUTSIDE)

Array = np.ndarray


@dataclass(frozen=True)
class PairedAccuracy:
    """Our accuracy on one dataset and the published one: means over runs, as fractions."""

    dataset: str
    n_test: int
    accuracy: float
    std: float | None  # over our seeds, ddof 1; None for a single seed
    n_seeds: int
    published: float
    published_std: float | None  # None for a single run, or where the source does not give it
    published_runs: int


@dataclass(frozen=True)
class Verdict:
    """The verdict on one dataset and the figures behind it; differences are ours minus published."""

    dataset: str
    word: str
    difference: float
    low: float  # lower end of the 90 % interval of the difference; NaN for a single seed of ours
    high: float
    margin: float
    p: float  # of the hypothesis of no difference; NaN for a single seed of ours
    p_holm: float  # adjusted over all datasets
    p_bh: float  # adjusted for the false discovery rate
    more_seeds: int | None  # further seeds that would decide it; None: decided, or more than MORE_SEEDS

    @property
    def text(self) -> str:
        """The verdict in words."""
        if self.word == UNDECIDABLE:
            return "undecidable: the published runs are too few"
        if self.word == UNDECIDED:
            if self.more_seeds is None and math.isnan(self.p):
                return "undecided: a single seed"
            if self.more_seeds is None:
                return f"undecided, more than {MORE_SEEDS} more seeds"
            return f"undecided, {self.more_seeds} more seed{'' if self.more_seeds == 1 else 's'}"
        return self.word


@dataclass(frozen=True)
class TypicalDifference:
    """The verdict on the typical difference over datasets: the shift at which signed ranks balance (`typical`)."""

    n_datasets: int
    difference: float  # ours minus published
    low: float  # lower end of its 90 % interval; NaN for fewer than five datasets
    high: float
    p: float  # of the hypothesis that it is 0
    word: str  # EQUIVALENT, DIFFERENT or UNDECIDED

    @property
    def text(self) -> str:
        """The verdict in words."""
        return f"{self.word}: fewer than {LEAST_DATASETS} datasets" if math.isnan(self.low) else self.word


@dataclass(frozen=True)
class MeanDifference:
    """The mean difference over datasets, with its interval over seeds. It gets no word: a few datasets decide it."""

    n_datasets: int
    difference: float  # ours minus published
    low: float  # lower end of its 90 % interval; NaN while a dataset has a single seed of ours
    high: float


@dataclass(frozen=True)
class Judgement:
    """The verdicts on all datasets, the verdict on their typical difference, and their mean difference."""

    verdicts: tuple[Verdict, ...]
    typical: TypicalDifference
    mean: MeanDifference

    def named(self, *words: str) -> list[str]:
        """Return the datasets that got one of some words."""
        return [verdict.dataset for verdict in self.verdicts if verdict.word in words]

    @property
    def counts(self) -> dict[str, int]:
        """The number of datasets with each word, for the words that occur."""
        counted = Counter(verdict.word for verdict in self.verdicts)
        return {word: counted[word] for word in WORDS if counted[word]}

    @property
    def n_different_bh(self) -> int:
        """The number of datasets that are different (or outside) if the false discovery rate is controlled instead."""
        return sum(v.p_bh < ALPHA and abs(v.difference) > v.margin for v in self.verdicts)


def paired_accuracies(rows: Iterable[Mapping[Any, Any]]) -> list[PairedAccuracy]:
    """Return the rows of an accuracy table (tables.accuracy) that have a published figure.

    rows: of one model and protocol, since corrections and the mean are over all of them. Raises KeyError for a dataset
    with a published figure that is not in the catalogue, whose number of test cases is unknown.
    """
    pairs = []
    for row in rows:
        if math.isnan(row["published"]):
            continue
        std, published_std = row["std"], row["published_std"]
        pairs.append(
            PairedAccuracy(
                dataset=row["dataset"],
                n_test=CATALOGUE[row["dataset"]].n_test_on(row["split"]),
                accuracy=float(row["mean"]),
                std=None if math.isnan(std) else float(std),
                n_seeds=int(row["n_seeds"]),
                published=float(row["published"]),
                published_std=None if math.isnan(published_std) else float(published_std),
                published_runs=int(row["published_runs"]),
            )
        )
    return pairs


# ---------------------------------------------------------------------------------------------------------------------
# The rules, on arrays


def margins(n_test: Array) -> Array:
    """Return the margin of each dataset: MARGIN, or one test case if that is more."""
    return np.asarray(np.maximum(MARGIN, 1 / np.asarray(n_test)))


def floored(std: Array, n_test: Array) -> Array:
    """Return standard deviations over runs, raised to at least half a test case.

    Runs with equal counts of right cases need not classify the same cases correctly.
    """
    return np.asarray(np.maximum(std, FLOOR / np.asarray(n_test)))


def interval(
    difference: Array, sd_1: Array, n_1: Array | int, sd_2: Array, n_2: Array | int
) -> tuple[Array, Array, Array]:
    """Return (low, high, p) of differences of means, each the more conservative one of Welch's and Student's test.

    Welch's test alone trusts the tiny deviation of two or three seeds that happen to agree. Student's test alone is
    wrong if one side varies more than the other. See docs/verdict.md.

    Args:
        difference: first means minus second, one for each dataset.
        sd_1: standard deviations over the first's runs, ddof 1.
        n_1: numbers of the first's runs, 2 or more.
        sd_2: as sd_1, of the second.
        n_2: as n_1, of the second.
    """
    low, high, p = stats.welch(difference, sd_1, n_1, sd_2, n_2, level=LEVEL)
    low_2, high_2, p_2 = stats.pooled(difference, sd_1, n_1, sd_2, n_2, level=LEVEL)
    return np.minimum(low, low_2), np.maximum(high, high_2), np.maximum(p, p_2)


def prediction_interval(
    difference: Array | float, sd: Array | float, n_seeds: Array | int, n_runs: Array | int
) -> tuple[Array, Array, Array]:
    """Return (low, high, p) of our mean minus a published one of unknown deviation, from our deviation alone.

    Args:
        difference: our mean minus the published one.
        sd: standard deviation over our seeds, ddof 1.
        n_seeds: number of our seeds, 2 or more.
        n_runs: number of published runs.
    """
    return stats.prediction(difference, sd, n_seeds, n_runs, level=LEVEL, most_df=TAIL_DF)


def undecidable(sd: Array, n: Array | int, margin: Array) -> Array:
    """Return whether the interval of the published mean alone, from n runs of deviation sd, exceeds the margin."""
    n = np.asarray(n, dtype=np.float64)
    return np.asarray(stats.student(LEVEL, n - 1) * sd / np.sqrt(n) > margin)


def is_equivalent(low: Array, high: Array, margin: Array | float) -> Array:
    """Return whether the interval of the difference lies inside the margin."""
    return np.asarray((low >= -margin) & (high <= margin))


def is_different(difference: Array, p: Array, margin: Array | float) -> Array:
    """Return whether the difference is both significant (p: adjusted) and beyond the margin."""
    return np.asarray((p < ALPHA) & (np.abs(difference) > margin))


def mean_interval(difference: Array, variance: Array, df: Array) -> tuple[float, float]:
    """Return (low, high) of the mean over datasets; variance and df: of each difference (Satterthwaite's rule)."""
    total = float(variance.sum())
    joint = total**2 / float((variance**2 / df).sum())
    mean, half = float(difference.mean()), float(stats.student(LEVEL, joint)) * math.sqrt(total) / len(difference)
    return mean - half, mean + half


def typical(difference: Array, error: Array) -> TypicalDifference:
    """Return the verdict on the typical difference over datasets.

    It is the shift that, subtracted from all differences, makes the ranks of the standardised ones balance (Hodges and
    Lehmann 1963, with weights). `equivalent`: its 90 % interval, which two one-sided signed-rank tests at 5 % give,
    lies inside TYPICAL_MARGIN. `different`: signed ranks of the standardised differences are significant, and it
    exceeds that margin.

    Args:
        difference: ours minus published, one for each dataset (n,), 1 or more.
        error: the standard error of each, above 0; it has no influence on the word but through its ratios.
    """
    estimate, low, high = stats.signed_rank_interval(difference, error, level=LEVEL)
    if math.isinf(low):
        low = high = math.nan
    p = stats.wilcoxon(difference / error).p
    word = UNDECIDED
    if is_equivalent(np.asarray(low), np.asarray(high), TYPICAL_MARGIN):
        word = EQUIVALENT
    elif is_different(np.asarray(estimate), np.asarray(p), TYPICAL_MARGIN):
        word = DIFFERENT
    return TypicalDifference(len(difference), estimate, low, high, p, word)


# ---------------------------------------------------------------------------------------------------------------------
# The verdicts


def judge(rows: Sequence[PairedAccuracy]) -> Judgement:
    """Return the verdict on each dataset and on their typical difference. Raises ValueError for no rows."""
    if not rows:
        raise ValueError("no row has a published figure: there is nothing to judge")
    several = [row.published_std is not None and row.published_runs > 1 for row in rows]
    intervals = [_interval(row, many) for row, many in zip(rows, several, strict=True)]
    known = [not math.isnan(p) for _, _, p in intervals]
    p_holm, p_bh = np.full(len(rows), math.nan), np.full(len(rows), math.nan)
    p = [p for _, _, p in intervals if not math.isnan(p)]
    p_holm[known], p_bh[known] = stats.holm(p), stats.benjamini_hochberg(p)
    n_tests = len(p)
    verdicts = tuple(
        _verdict(row, many, interval_and_p, float(holm), float(bh), n_tests)
        for row, many, interval_and_p, holm, bh in zip(rows, several, intervals, p_holm, p_bh, strict=True)
    )
    return Judgement(verdicts, typical_of(rows), _mean(rows, several))


def typical_of(rows: Sequence[PairedAccuracy]) -> TypicalDifference:
    """Return the verdict on the typical difference; a deviation that is not known is taken from the other side."""
    deviations, published_deviations = zip(*map(_deviations, rows), strict=True)
    n_seeds, n_runs = zip(*((row.n_seeds, row.published_runs) for row in rows), strict=True)
    difference = np.array([row.accuracy - row.published for row in rows])
    return typical(
        difference,
        stats.standard_error(np.array(deviations), np.array(n_seeds), np.array(published_deviations), np.array(n_runs)),
    )


def _deviations(row: PairedAccuracy) -> tuple[float, float]:
    """Return our floored deviation and the published one; an unknown one is replaced with the other."""
    our_std = row.std if row.std is not None else row.published_std
    published_std = row.published_std if row.published_std is not None else row.std
    least = FLOOR / row.n_test
    return max(our_std or 0.0, least), max(published_std or 0.0, least)


def _interval(row: PairedAccuracy, several: bool) -> tuple[float, float, float]:
    """Return (low, high, p) of the difference; NaN for a single seed of ours."""
    if row.std is None or row.n_seeds < 2:
        return math.nan, math.nan, math.nan
    return _interval_with(row, several, row.n_seeds)


def _interval_with(row: PairedAccuracy, several: bool, n_seeds: int) -> tuple[float, float, float]:
    """Return (low, high, p) of the difference for n_seeds seeds with our mean and deviation."""
    our_std, published_std = _deviations(row)
    d = np.asarray(row.accuracy - row.published)
    if several:
        low, high, p = interval(d, np.asarray(our_std), n_seeds, np.asarray(published_std), row.published_runs)
    else:
        low, high, p = prediction_interval(d, our_std, n_seeds, row.published_runs)
    return float(low), float(high), float(p)


def _verdict(
    row: PairedAccuracy,
    several: bool,
    interval_and_p: tuple[float, float, float],
    p_holm: float,
    p_bh: float,
    n_tests: int,
) -> Verdict:
    """Return the verdict on one dataset.

    Args:
        row: the two accuracies.
        several: whether the published figure is a mean of several runs with a known deviation.
        interval_and_p: (low, high, p) of the difference, NaN for a single seed of ours.
        p_holm: p adjusted by Holm over all datasets.
        p_bh: p adjusted for the false discovery rate.
        n_tests: datasets that are tested at once.
    """
    difference, margin = row.accuracy - row.published, float(margins(np.asarray(row.n_test)))
    low, high, p = interval_and_p
    more = None
    if math.isnan(p) and not several:
        word, more = UNDECIDED, 2  # single seed against single run: a prediction interval needs three seeds
    elif not math.isnan(p) and bool(is_different(np.asarray(difference), np.asarray(p_holm), margin)):
        word = DIFFERENT if several else OUTSIDE
    elif not several:
        word = INSIDE
    elif not math.isnan(p) and bool(is_equivalent(np.asarray(low), np.asarray(high), margin)):
        word = EQUIVALENT
    elif bool(undecidable(np.asarray(_deviations(row)[1]), row.published_runs, np.asarray(margin))):
        word = UNDECIDABLE
    else:
        tested = max(n_tests, 1)
        more = _more_seeds(row, margin, tested)
        is_open = more is not None or math.isnan(p) or _would_decide(row, margin, tested, ENDLESS)
        word = UNDECIDED if is_open else UNDECIDABLE
    return Verdict(row.dataset, word, difference, low, high, margin, p, p_holm, p_bh, more)


def _more_seeds(row: PairedAccuracy, margin: float, n_tests: int) -> int | None:
    """Return how many further seeds decide if means and deviations stay the same; None beyond MORE_SEEDS.

    A difference must be significant after Bonferroni's correction for n_tests, the first step of Holm's.
    """
    least = max(2, row.n_seeds + 1)
    numbers = range(least, row.n_seeds + MORE_SEEDS + 1)
    return next((n - row.n_seeds for n in numbers if _would_decide(row, margin, n_tests, n)), None)


def _would_decide(row: PairedAccuracy, margin: float, n_tests: int, n_seeds: int) -> bool:
    """Return whether n_seeds seeds with our mean and deviation would give `equivalent` or `different`."""
    low, high, p = _interval_with(row, True, n_seeds)
    difference = row.accuracy - row.published
    return (low >= -margin and high <= margin) or (p * n_tests < ALPHA and abs(difference) > margin)


def _mean(rows: Sequence[PairedAccuracy], several: Sequence[bool]) -> MeanDifference:
    """Return the mean difference over datasets; without interval while a dataset has a single seed of ours."""
    differences = np.array([row.accuracy - row.published for row in rows])
    low = high = math.nan
    if all(row.n_seeds > 1 and row.std is not None for row in rows):
        variance, df = zip(*(_variance(row, many) for row, many in zip(rows, several, strict=True)), strict=True)
        low, high = mean_interval(differences, np.array(variance), np.array(df))
    return MeanDifference(len(rows), float(differences.mean()), low, high)


def _variance(row: PairedAccuracy, several: bool) -> tuple[float, float]:
    """Return the variance of a difference and its degrees of freedom."""
    our_std, published_std = _deviations(row)
    n, m = row.n_seeds, row.published_runs
    if several:
        return our_std**2 / n + published_std**2 / m, float(stats.welch_df(our_std, n, published_std, m))
    return our_std**2 * (1 / n + 1 / m), float(min(n - 1, TAIL_DF))
