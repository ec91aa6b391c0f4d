"""Ours against theirs: whether it is the paper's number.

A verdict is a word for a dataset, and one for all of them. docs/verdict.md gives the rules, why they are these, and how
often each word is wrong, by simulation (benchmarks/verdict.py).

Against a mean of several published runs: `equivalent`, `different`, `undecided`, `undecidable`. Against a single one:
`inside` or `outside` what our seeds predict; a single run can show a difference, but never that there is none.
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

MARGIN = 0.02  # a difference of two accuracies that does not matter; at least one test case
ARCHIVE_MARGIN = 0.005  # the same for a mean over datasets
FLOOR = 0.5  # test cases: the least standard deviation over runs
ALPHA = 0.05
LEVEL = 0.9  # of the intervals: two one-sided tests at 5 %
TAIL_DF = 5  # degrees of freedom at most where one published run is predicted: now and then a training fails
MORE_SEEDS = 100  # beyond this many it is not said how many more

EQUIVALENT, DIFFERENT, UNDECIDED, UNDECIDABLE = "equivalent", "different", "undecided", "undecidable"
INSIDE, OUTSIDE = "inside", "outside"
WORDS = (EQUIVALENT, DIFFERENT, UNDECIDED, UNDECIDABLE, INSIDE, OUTSIDE)

Array = np.ndarray


@dataclass(frozen=True)
class Given:
    """One dataset: our accuracy and the published one, both means over runs, as fractions."""

    dataset: str
    n_test: int
    accuracy: float
    std: float | None  # over our seeds, ddof 1; None for a single one
    n_seeds: int
    published: float
    published_std: float | None  # None for a single run, or where the source does not give it
    published_runs: int


@dataclass(frozen=True)
class Verdict:
    """The word for one dataset and what it rests on; differences are ours minus theirs."""

    dataset: str
    word: str
    difference: float
    low: float  # the 90 % interval of the difference; NaN where ours is a single seed
    high: float
    margin: float
    p: float  # of no difference; NaN where ours is a single seed
    p_holm: float  # adjusted over all datasets
    p_bh: float  # adjusted for the false discovery rate
    more_seeds: int | None  # how many would decide it if means and deviations stayed; None: decided, or too many to say

    @property
    def said(self) -> str:
        """The verdict in words."""
        if self.word == UNDECIDABLE:
            return "undecidable: the published runs are too few"
        if self.word == UNDECIDED:
            if self.more_seeds is None:
                return f"undecided, more than {MORE_SEEDS} more seeds"
            return f"undecided, {self.more_seeds} more seed{'' if self.more_seeds == 1 else 's'}"
        return self.word


@dataclass(frozen=True)
class Judgement:
    """The verdicts of all datasets, and the one of the archive: of the mean difference over them."""

    verdicts: tuple[Verdict, ...]
    archive: Verdict  # its dataset is 'mean of N datasets', its p is not adjusted

    @property
    def counts(self) -> dict[str, int]:
        """How many datasets have each word, those that occur."""
        counted = Counter(verdict.word for verdict in self.verdicts)
        return {word: counted[word] for word in WORDS if counted[word]}

    @property
    def n_different_bh(self) -> int:
        """How many would be different (or outside) if false discoveries were controlled instead: more, less surely."""
        return sum(v.p_bh < ALPHA and abs(v.difference) > v.margin for v in self.verdicts)


def given(rows: Iterable[Mapping[Any, Any]]) -> list[Given]:
    """Return what can be judged of the rows of an accuracy table (tables.accuracy): those with a published figure.

    rows: of one model and protocol, since corrections and the mean are over all of them. A dataset that
    is not in the catalogue has no number of test cases and raises KeyError: it has no figure either.
    """
    found = []
    for row in rows:
        if math.isnan(row["published"]):
            continue
        facts = CATALOGUE[row["dataset"]]
        swapped = row["split"] == "ucr2015" and facts.split_swapped_in_2015
        std, published_std = row["std"], row["published_std"]
        found.append(
            Given(
                dataset=row["dataset"],
                n_test=facts.n_train if swapped else facts.n_test,
                accuracy=float(row["mean"]),
                std=None if math.isnan(std) else float(std),
                n_seeds=int(row["n_seeds"]),
                published=float(row["published"]),
                published_std=None if math.isnan(published_std) else float(published_std),
                published_runs=int(row["published_runs"]),
            )
        )
    return found


# ---------------------------------------------------------------------------------------------------------------------
# The rules, on arrays


def margins(n_test: Array) -> Array:
    """Return the margin of each dataset: MARGIN, or one test case where that is more."""
    return np.asarray(np.maximum(MARGIN, 1 / np.asarray(n_test)))


def floored(std: Array, n_test: Array) -> Array:
    """Return standard deviations over runs, at least half a test case: equal counts need not be equal networks."""
    return np.asarray(np.maximum(std, FLOOR / np.asarray(n_test)))


def interval(
    difference: Array, sd_1: Array, n_1: Array | int, sd_2: Array, n_2: Array | int
) -> tuple[Array, Array, Array]:
    """Return (low, high, p) of differences of means, each the more careful one of Welch's and Student's test.

    Welch's alone, with two or three seeds, now and then meets seeds that happen to agree, and takes their tiny
    deviation for the truth. Student's alone is wrong where one side spreads more than the other. See docs/verdict.md.
    """
    low, high, p = stats.welch(difference, sd_1, n_1, sd_2, n_2, level=LEVEL)
    low_2, high_2, p_2 = stats.pooled(difference, sd_1, n_1, sd_2, n_2, level=LEVEL)
    return np.minimum(low, low_2), np.maximum(high, high_2), np.maximum(p, p_2)


def predicted(
    difference: Array | float, sd: Array | float, n_seeds: Array | int, n_runs: Array | int
) -> tuple[Array, Array, Array]:
    """Return (low, high, p) of our mean minus a published one whose own deviation is not known, from ours alone."""
    return stats.prediction(difference, sd, n_seeds, n_runs, level=LEVEL, most_df=TAIL_DF)


def undecidable(sd: Array, n: Array | int, margin: Array) -> Array:
    """Return whether the published runs alone, n of deviation sd, leave the mean open by more than the margin."""
    n = np.asarray(n, dtype=np.float64)
    return np.asarray(stats.student(LEVEL, n - 1) * sd / np.sqrt(n) > margin)


def is_equivalent(low: Array, high: Array, margin: Array | float) -> Array:
    """Return whether the interval of the difference lies inside the margin."""
    return np.asarray((low >= -margin) & (high <= margin))


def is_different(difference: Array, p: Array, margin: Array | float) -> Array:
    """Return whether the difference is both significant (p: adjusted) and beyond the margin."""
    return np.asarray((p < ALPHA) & (np.abs(difference) > margin))


def mean_interval(difference: Array, variance: Array, df: Array) -> tuple[float, float, float]:
    """Return (low, high, p) of the mean over datasets; variance and df: of each difference (Satterthwaite's rule)."""
    n, total = len(difference), float(variance.sum())
    mean, error = float(difference.mean()), math.sqrt(total) / n
    joint = total**2 / float((variance**2 / df).sum())
    half = float(stats.student(LEVEL, joint)) * error
    return mean - half, mean + half, float(stats.student_p(mean / error, joint))


# ---------------------------------------------------------------------------------------------------------------------
# The verdicts


def judge(rows: Sequence[Given]) -> Judgement:
    """Return the verdict of each dataset and that of their mean, from `given`; ValueError where there is none."""
    if not rows:
        raise ValueError("there is nothing to judge: no row has a published figure")
    several = [row.published_std is not None and row.published_runs > 1 for row in rows]
    tested = [_tested(row, many) for row, many in zip(rows, several, strict=True)]
    known = [not math.isnan(p) for _, _, p in tested]
    p_holm, p_bh = np.full(len(rows), math.nan), np.full(len(rows), math.nan)
    p = [p for _, _, p in tested if not math.isnan(p)]
    p_holm[known], p_bh[known] = stats.holm(p), stats.benjamini_hochberg(p)
    n_tests = len(p)
    verdicts = tuple(
        _verdict(row, many, found, float(holm), float(bh), n_tests)
        for row, many, found, holm, bh in zip(rows, several, tested, p_holm, p_bh, strict=True)
    )
    return Judgement(verdicts, _archive(rows, several))


def _deviations(row: Given) -> tuple[float, float]:
    """Return the floored deviation of ours and theirs; where one is not known, that of the other stands for it."""
    ours = row.std if row.std is not None else row.published_std
    theirs = row.published_std if row.published_std is not None else row.std
    least = FLOOR / row.n_test
    return max(ours or 0.0, least), max(theirs or 0.0, least)


def _tested(row: Given, several: bool) -> tuple[float, float, float]:
    """Return (low, high, p) of the difference; NaN where ours is a single seed."""
    if row.std is None or row.n_seeds < 2:
        return math.nan, math.nan, math.nan
    return _at(row, several, row.n_seeds)


def _at(row: Given, several: bool, n_seeds: int) -> tuple[float, float, float]:
    """Return (low, high, p) as they would be with that many seeds of the same mean and deviation."""
    ours, theirs = _deviations(row)
    d = np.asarray(row.accuracy - row.published)
    if several:
        low, high, p = interval(d, np.asarray(ours), n_seeds, np.asarray(theirs), row.published_runs)
    else:
        low, high, p = predicted(d, ours, n_seeds, row.published_runs)
    return float(low), float(high), float(p)


def _verdict(
    row: Given, several: bool, tested: tuple[float, float, float], p_holm: float, p_bh: float, n_tests: int
) -> Verdict:
    difference, margin = row.accuracy - row.published, float(margins(np.asarray(row.n_test)))
    low, high, p = tested
    more = None
    if math.isnan(p) and not several:
        word, more = UNDECIDED, 2  # a single seed beside a single run: three are the fewest that predict anything
    elif not math.isnan(p) and bool(is_different(np.asarray(difference), np.asarray(p_holm), margin)):
        word = DIFFERENT if several else OUTSIDE
    elif not several:
        word = INSIDE
    elif not math.isnan(p) and bool(is_equivalent(np.asarray(low), np.asarray(high), margin)):
        word = EQUIVALENT
    elif bool(undecidable(np.asarray(_deviations(row)[1]), row.published_runs, np.asarray(margin))):
        word = UNDECIDABLE
    else:
        word, more = UNDECIDED, _more_seeds(row, margin, max(n_tests, 1))
    return Verdict(row.dataset, word, difference, low, high, margin, p, p_holm, p_bh, more)


def _more_seeds(row: Given, margin: float, n_tests: int) -> int | None:
    """Return how many more seeds decide, if means and deviations stay as they are; None beyond MORE_SEEDS.

    A difference is then asked to hold against n_tests at once (Bonferroni: Holm's first step).
    """
    difference = row.accuracy - row.published
    for more in range(1, MORE_SEEDS + 1):
        n_seeds = row.n_seeds + more
        if n_seeds < 2:
            continue
        low, high, p = _at(row, True, n_seeds)
        if (low >= -margin and high <= margin) or (p * n_tests < ALPHA and abs(difference) > margin):
            return more
    return None


def _archive(rows: Sequence[Given], several: Sequence[bool]) -> Verdict:
    """Return the verdict of the mean over datasets; `undecided` as long as a dataset has a single seed of ours."""
    name = f"mean of {len(rows)} dataset{'' if len(rows) == 1 else 's'}"
    differences = np.array([row.accuracy - row.published for row in rows])
    mean, nan = float(differences.mean()), math.nan
    least = min(row.n_seeds for row in rows)
    if least < 2 or any(row.std is None for row in rows):
        return Verdict(name, UNDECIDED, mean, nan, nan, ARCHIVE_MARGIN, nan, nan, nan, 3 - least)

    def at(more: int) -> tuple[float, float, float]:
        variance, df = zip(*(_variance(row, many, more) for row, many in zip(rows, several, strict=True)), strict=True)
        return mean_interval(differences, np.array(variance), np.array(df))

    def word_of(low: float, high: float, p: float) -> str:
        if p < ALPHA and abs(mean) > ARCHIVE_MARGIN:
            return DIFFERENT if all(several) else OUTSIDE
        if not all(several):
            return INSIDE
        return EQUIVALENT if bool(is_equivalent(np.asarray(low), np.asarray(high), ARCHIVE_MARGIN)) else UNDECIDED

    low, high, p = at(0)
    word, more = word_of(low, high, p), None
    if word == UNDECIDED:
        theirs = np.array([_deviations(row)[1] ** 2 / row.published_runs for row in rows])
        df = np.array([row.published_runs - 1 for row in rows])
        open_low, open_high, _ = mean_interval(np.zeros(len(rows)), theirs, df)
        if open_high - open_low > 2 * ARCHIVE_MARGIN:
            word = UNDECIDABLE
        else:
            more = next((k for k in range(1, MORE_SEEDS + 1) if word_of(*at(k)) != UNDECIDED), None)
    return Verdict(name, word, mean, low, high, ARCHIVE_MARGIN, p, p, p, more)


def _variance(row: Given, several: bool, more: int) -> tuple[float, float]:
    """Return the variance of a dataset's difference and its degrees of freedom, with some more seeds alike."""
    ours, theirs = _deviations(row)
    n, m = row.n_seeds + more, row.published_runs
    if several:
        return ours**2 / n + theirs**2 / m, float(stats.welch_df(ours, n, theirs, m))
    return ours**2 * (1 / n + 1 / m), float(min(n - 1, TAIL_DF))
