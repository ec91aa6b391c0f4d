"""Statistics of accuracy tables: paired tests over datasets, ranks, corrections, intervals.

Pure numpy, with scipy.special for three distribution functions. Accuracies are fractions. Two accuracies tie if they
agree to DIGITS decimals, so that rounding in the last bits does not break ties.

Sources: Wilcoxon 1945 and Pratt 1959 (signed ranks), Holm 1979, Benjamini and Hochberg 1995, Friedman 1937, Welch 1947,
Hodges and Lehmann 1963 and Moses 1965 (shift by signed ranks), Benavoli et al. 2014 and 2017 (Bayesian signed ranks),
Wang et al. 2017 (MPCE).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

DIGITS = 10
LEAST_FOR_INTERVAL = 5  # datasets; fewer say next to nothing about others
EXACT_UP_TO = 500  # pairs for which the exact distribution of signed ranks takes a fraction of a second

Array = np.ndarray


def rounded(values: Array) -> Array:
    """Return values rounded to DIGITS decimals, so that values equal up to float noise become equal."""
    return np.round(np.asarray(values, dtype=np.float64), DIGITS) + 0.0  # + 0.0: no -0.0


# ---------------------------------------------------------------------------------------------------------------------
# Two columns


@dataclass(frozen=True)
class Wilcoxon:
    """A two-sided signed-rank test of paired values."""

    p: float
    n: int  # pairs
    n_zeros: int  # pairs without a difference
    positive: float  # sum of the ranks of the positive differences
    negative: float
    zeros: str  # treatment of the zeros: 'pratt' or 'wilcox'
    method: str  # 'exact' or 'normal'


def midranks(values: Array) -> Array:
    """Return ranks of (n,) values from 1 for the smallest; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse.reshape(np.shape(values))])


def wilcoxon(differences: Array, *, zeros: str = "pratt", method: str = "auto") -> Wilcoxon:
    """Return the two-sided signed-rank test of the hypothesis that differences (n,) are symmetric about 0.

    zeros: 'pratt' ranks the zeros with the other differences, then drops their ranks; 'wilcox' drops the zeros first.
    Zeros alone give p = 1 (scipy: NaN).
    method: 'exact' is the distribution over all 2^m signs of the m nonzero differences given their ties: doubled ranks
    are integers, so dynamic programming counts their subset sums. 'normal' is its normal approximation without
    continuity correction. 'auto' is exact up to EXACT_UP_TO differences. Raises ValueError for another word and for
    values that are not finite.
    """
    if zeros not in ("pratt", "wilcox") or method not in ("auto", "exact", "normal"):
        raise ValueError(f"zeros={zeros!r}, method={method!r} is not pratt|wilcox, auto|exact|normal")
    d = rounded(differences)
    if d.ndim != 1 or not np.isfinite(d).all():
        raise ValueError("differences must be one-dimensional and finite")
    n, n_zeros = len(d), int(np.sum(d == 0))
    if zeros == "wilcox":
        d = d[d != 0]
    ranks = midranks(np.abs(d))
    ranks, signs = ranks[d != 0], np.sign(d[d != 0])
    positive, negative = float(ranks[signs > 0].sum()), float(ranks[signs < 0].sum())
    exact = method == "exact" or (method == "auto" and len(ranks) <= EXACT_UP_TO)
    if len(ranks) == 0:
        p, exact = 1.0, True
    elif exact:
        p = _exact_signed_ranks(ranks, min(positive, negative))
    else:
        # Mean and variance of the rank sum under random signs, given the ranks, which include ties and zeros.
        z = (positive - ranks.sum() / 2) / math.sqrt(float((ranks**2).sum()) / 4)
        p = float(2 * special.ndtr(-abs(z)))
    return Wilcoxon(min(p, 1.0), n, n_zeros, positive, negative, zeros, "exact" if exact else "normal")


def signed_rank_interval(
    differences: Array, scales: Array | float = 1.0, *, level: float = 0.9
) -> tuple[float, float, float]:
    """Return (estimate, low, high) of the shift of differences (n,), n 1 or more, by signed ranks.

    Signed ranks of (differences - shift) / scales do not reject a shift inside the interval, at 1 - level two-sided.
    Their rank sum counts the pairs of differences, each with itself too, whose weighted mean exceeds the shift, weights
    1 / scale; so the estimate is the median of these means (Hodges and Lehmann 1963 for equal scales), and the ends are
    two of them (Moses 1965). The interval is exact where no two pairs have the same mean, and infinite if n is too
    small for the level, below 5 for 0.9.

    Args:
        differences: one for each dataset.
        scales: what each is divided by before its rank is taken, above 0.
        level: confidence level.
    """
    d = np.asarray(differences, dtype=np.float64)
    weights = 1 / np.broadcast_to(np.asarray(scales, dtype=np.float64), d.shape)
    i, j = np.triu_indices(len(d))
    means = np.sort((d[i] * weights[i] + d[j] * weights[j]) / (weights[i] + weights[j]))
    # The largest k for which a rank sum of at most k - 1 has a probability of at most half of 1 - level.
    k = int(np.searchsorted(_rank_sum_distribution(len(d)), (1 - level) / 2 + 1e-12, side="right"))
    low, high = (float(means[k - 1]), float(means[-k])) if k else (-math.inf, math.inf)
    return float(np.median(means)), low, high


@lru_cache(maxsize=256)
def _rank_sum_distribution(n: int) -> Array:
    """Return P(T <= t), T the sum of a random subset of the ranks 1 to n, for t from 0 to n (n + 1) / 2."""
    return np.cumsum(_rank_sum_probabilities(np.arange(1, n + 1)))


def _exact_signed_ranks(ranks: Array, least: float) -> float:
    """Return P(T <= least or T >= sum - least), T the sum of ranks that are each included with probability 1/2."""
    if np.array_equal(np.sort(ranks), np.arange(1, len(ranks) + 1)):
        return float(2 * _rank_sum_distribution(len(ranks))[round(least)])
    probability = _rank_sum_probabilities(np.rint(2 * ranks).astype(np.int64))  # midranks are multiples of 1/2
    return float(2 * probability[: round(2 * least) + 1].sum())  # symmetric about half the total


def _rank_sum_probabilities(ranks: Array) -> Array:
    """Return the probability of each sum, from 0 to that of all, of ranks included with probability 1/2 each."""
    probability = np.zeros(int(ranks.sum()) + 1)
    probability[0] = 1.0
    largest = 0
    for rank in map(int, ranks):  # probability[s]: of the sum s so far; halving at each step avoids overflow
        largest += rank
        shifted = probability[: largest + 1 - rank] / 2
        probability[: largest + 1] /= 2
        probability[rank : largest + 1] += shifted
    return probability


def wins(first: Array, second: Array) -> tuple[int, int, int]:
    """Return on how many datasets the first (n,) is greater, the two tie, and the second is greater."""
    d = rounded(np.asarray(first) - np.asarray(second))
    return int(np.sum(d > 0)), int(np.sum(d == 0)), int(np.sum(d < 0))


def mean_interval(values: Array, *, level: float = 0.95) -> tuple[float, float]:
    """Return Student's interval of the mean of values (n,), one for each dataset.

    Fewer than LEAST_FOR_INTERVAL give NaN. It shows how the mean varies over similar datasets, not over training seeds.
    On the published differences of models it covers the mean more often than a percentile bootstrap does if datasets
    are few (docs/verdict.md).

    Args:
        values: accuracies or their differences.
        level: confidence level.
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) < LEAST_FOR_INTERVAL:
        return math.nan, math.nan
    half = float(student(level, len(x) - 1)) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return float(x.mean()) - half, float(x.mean()) + half


@lru_cache(maxsize=16)
def _weights(n: int, prior: float, n_samples: int, seed: int) -> Array:
    """Return Dirichlet weights of the prior's difference and n others, (1 + n, n_samples).

    Args:
        n: number of differences besides that of the prior.
        prior: weight of the prior's difference.
        n_samples: number of draws.
        seed: of the random numbers.
    """
    drawn = np.random.default_rng(seed).dirichlet(np.r_[prior, np.ones(n)], size=n_samples)
    return np.ascontiguousarray(drawn.T)


@dataclass(frozen=True)
class Bayesian:
    """Posterior probabilities on a new dataset: first better beyond the region, equivalent, second better."""

    first: float
    equivalent: float
    second: float
    rope: float
    n_samples: int


def bayesian_signed_rank(
    differences: Array, *, rope: float = 0.01, prior: float = 0.5, n_samples: int = 20_000, seed: int = 0
) -> Bayesian:
    """Return the Bayesian signed-rank test of differences (n,), first minus second (Benavoli et al. 2014, 2017).

    The prior is a Dirichlet process with weight `prior` (baycomp's default) on one additional difference of 0. In each
    posterior draw the mass of the means of two differences is divided into below, within and above the region of
    practical equivalence [-rope, rope] (its edges count half to either side); a probability is the share of draws in
    which that part is the largest. The same seed gives the same figures; their sampling error is at most
    0.5 / sqrt(n_samples), 0.0035.

    Args:
        differences: one for each dataset.
        rope: half the width of the region, 0 or more.
        prior: weight of the prior, above 0.
        n_samples: number of posterior draws.
        seed: of the random numbers.
    """
    if rope < 0 or prior <= 0:
        raise ValueError(f"rope={rope}, prior={prior}: rope is 0 or more, prior greater than 0")
    d = rounded(np.concatenate([[0.0], np.asarray(differences, dtype=np.float64)]))
    order = np.argsort(d, kind="stable")
    d, weights = d[order], _weights(len(d) - 1, prior, n_samples, seed)[order]  # (1 + n, n_samples)
    below = np.concatenate([np.zeros((1, n_samples)), np.cumsum(weights, axis=0)])  # [k]: the mass of the k smallest
    edge = round(2 * rope, DIGITS)  # for the sum of two differences

    def mass(edge: float) -> Array:
        """Return the mass of pairs whose sum is less than edge, those that equal it by half: (n_samples,)."""
        partner = rounded(edge - d)
        sides = (below[np.searchsorted(d, partner, side=side)] for side in ("left", "right"))
        return np.asarray((weights * sum(sides)).sum(axis=0) / 2)

    over, under = 1 - mass(edge), mass(-edge)
    shares = np.stack([over, 1 - over - under, under])
    if edge == 0:
        shares[1] = -1.0  # a region of width 0 has no equivalence
    largest = shares >= shares.max(axis=0) - 1e-12
    counts = (largest / largest.sum(axis=0)).sum(axis=1)  # ties share a draw
    first, equivalent, second = (counts / n_samples).tolist()
    return Bayesian(first, equivalent, second, rope, n_samples)


# ---------------------------------------------------------------------------------------------------------------------
# Many tests


def holm(p: Sequence[float] | Array) -> Array:
    """Return p-values (n,) adjusted by Holm's step-down rule, which controls the family-wise error."""
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def benjamini_hochberg(p: Sequence[float] | Array) -> Array:
    """Return p-values (n,) adjusted for the false discovery rate (step-up rule)."""
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")[::-1]
    adjusted = np.empty_like(p)
    stepped = p[order] * len(p) / np.arange(len(p), 0, -1)
    adjusted[order] = np.minimum(np.minimum.accumulate(stepped), 1.0) if len(p) else stepped
    return adjusted


# ---------------------------------------------------------------------------------------------------------------------
# Many columns


def ranks(scores: Array, *, ties: str = "average", tied: Array | None = None) -> Array:
    """Return the ranks in each row of scores (n_datasets, n_columns); 1 is the largest score.

    ties: 'average' gives equal scores the mean of their ranks, as tests need; 'min' gives each the best of them, as in
    the tables of Wang et al. 2017 and Karim et al. 2019. tied: bool (n_datasets, n_columns, n_columns), which scores of
    a row are equal; None: those that agree to DIGITS decimals. Raises ValueError for another word or NaN.
    """
    scores = rounded(scores)
    if ties not in ("average", "min") or not np.isfinite(scores).all():
        raise ValueError(f"ties={ties!r} is not average or min, or a score is not finite")
    if scores.size == 0:
        return np.empty(scores.shape)
    tied = scores[:, None, :] == scores[:, :, None] if tied is None else tied
    greater = ((scores[:, None, :] > scores[:, :, None]) & ~tied).sum(axis=2)  # (n_datasets, n_columns)
    equal = tied.sum(axis=2)  # including itself
    return np.asarray(greater + (1.0 if ties == "min" else (equal + 1) / 2), dtype=np.float64)


@dataclass(frozen=True)
class Friedman:
    """Friedman's test of whether any of several columns differs, from their ranks in each row."""

    chi2: float
    df: int
    p: float


def friedman(scores: Array, tied: Array | None = None) -> Friedman:
    """Return Friedman's test of scores (n_datasets, n_columns), corrected for ties; p = 1 if all scores are equal.

    For three columns or more; use signed ranks for two. tied: as in `ranks`.
    """
    ranked = ranks(scores, tied=tied)
    n, k = ranked.shape
    # Variation between columns over variation within rows; ties reduce the latter, which is the correction.
    within = float(((ranked - (k + 1) / 2) ** 2).sum())
    if n == 0 or within == 0:
        return Friedman(0.0, k - 1, 1.0)
    between = n * n * float(((ranked.mean(axis=0) - (k + 1) / 2) ** 2).sum())
    chi2 = (k - 1) * between / within
    return Friedman(chi2, k - 1, float(special.chdtrc(k - 1, chi2)))


def cliques(differs: Array) -> list[tuple[int, ...]]:
    """Return the maximal sets of two or more columns no two of which differ, each ascending, in ascending order.

    differs: symmetric bool (n_columns, n_columns), as from Holm-adjusted tests of all pairs. These are the maximal
    cliques of the graph that joins columns without a difference (Bron and Kerbosch 1973, with pivots). Each is a bar in
    a critical difference diagram; its members need not be consecutive in mean rank.
    """
    n = len(differs)
    joined = [{j for j in range(n) if j != i and not differs[i][j]} for i in range(n)]
    found: list[tuple[int, ...]] = []

    def grow(clique: set[int], candidates: set[int], done: set[int]) -> None:
        if not candidates and not done:
            found.append(tuple(sorted(clique)))
            return
        pivot = max(candidates | done, key=lambda v: len(joined[v] & candidates))
        for v in sorted(candidates - joined[pivot]):
            grow(clique | {v}, candidates & joined[v], done & joined[v])
            candidates = candidates - {v}
            done = done | {v}

    grow(set(), set(range(n)), set())
    return sorted(clique for clique in found if len(clique) > 1)


def mpce(accuracies: Array, n_classes: Array) -> float:
    """Return the mean per-class error of Wang et al. 2017: the mean over datasets of error / number of classes."""
    return float(np.mean((1 - np.asarray(accuracies)) / np.asarray(n_classes)))


# ---------------------------------------------------------------------------------------------------------------------
# Means of runs. These functions take and return numbers, or arrays of one shape with one entry for each dataset.


def student(level: float, df: Array | float) -> Array:
    """Return the t that the absolute value of a Student variable of df degrees exceeds with probability 1 - level."""
    return np.asarray(special.stdtrit(df, (1 + level) / 2))


def student_p(t: Array | float, df: Array | float) -> Array:
    """Return the two-sided probability that a Student variable of df degrees exceeds |t|."""
    return np.asarray(2 * special.stdtr(df, -np.abs(t)))


def welch_df(sd_1: Array | float, n_1: Array | float, sd_2: Array | float, n_2: Array | float) -> Array:
    """Return Satterthwaite's degrees of freedom of the difference of two means; each n is 2 or more, one sd above 0."""
    v_1, v_2 = np.square(sd_1) / n_1, np.square(sd_2) / n_2
    return np.asarray((v_1 + v_2) ** 2 / (v_1**2 / (np.asarray(n_1) - 1) + v_2**2 / (np.asarray(n_2) - 1)))


def standard_error(sd_1: Array | float, n_1: Array | float, sd_2: Array | float, n_2: Array | float) -> Array:
    """Return the standard error of the difference of means of n_1 and n_2 runs with the deviations sd_1 and sd_2."""
    return np.asarray(np.sqrt(np.square(sd_1) / n_1 + np.square(sd_2) / n_2))


def welch(
    difference: Array | float,
    sd_1: Array | float,
    n_1: Array | float,
    sd_2: Array | float,
    n_2: Array | float,
    *,
    level: float = 0.9,
) -> tuple[Array, Array, Array]:
    """Return the Welch interval (low, high) of a difference of two means of runs, and the p of no difference.

    Args:
        difference: first mean minus second.
        sd_1: standard deviation over the first's runs, ddof 1.
        n_1: number of the first's runs, 2 or more.
        sd_2: as sd_1, of the second.
        n_2: as n_1, of the second.
        level: confidence level of the interval; 0.9 is that of two one-sided 5 % tests.
    """
    error = standard_error(sd_1, n_1, sd_2, n_2)
    df = welch_df(sd_1, n_1, sd_2, n_2)
    half = student(level, df) * error
    return np.asarray(difference - half), np.asarray(difference + half), student_p(np.asarray(difference) / error, df)


def pooled(
    difference: Array | float,
    sd_1: Array | float,
    n_1: Array | float,
    sd_2: Array | float,
    n_2: Array | float,
    *,
    level: float = 0.9,
) -> tuple[Array, Array, Array]:
    """Return what `welch` returns, by Student's test, which assumes that both sides have the same deviation.

    Args:
        difference: first mean minus second.
        sd_1: standard deviation over the first's runs, ddof 1.
        n_1: number of the first's runs, 2 or more.
        sd_2: as sd_1, of the second.
        n_2: as n_1, of the second.
        level: confidence level of the interval; 0.9 is that of two one-sided 5 % tests.
    """
    df = np.asarray(n_1, dtype=np.float64) + n_2 - 2
    sd = np.sqrt(((np.asarray(n_1) - 1) * np.square(sd_1) + (np.asarray(n_2) - 1) * np.square(sd_2)) / df)
    error = sd * np.sqrt(1 / np.asarray(n_1, dtype=np.float64) + 1 / np.asarray(n_2, dtype=np.float64))
    half = student(level, df) * error
    return np.asarray(difference - half), np.asarray(difference + half), student_p(np.asarray(difference) / error, df)


def prediction(
    difference: Array | float,
    sd: Array | float,
    n: Array | float,
    m: Array | float = 1,
    *,
    level: float = 0.95,
    most_df: float = math.inf,
) -> tuple[Array, Array, Array]:
    """Return (low, high, p) of the mean of n runs minus the mean of m further runs of the same distribution.

    The interval contains 0 if the mean of the m runs lies in the prediction interval of the n runs; p is that of a
    difference this large.

    Args:
        difference: mean of the n runs minus mean of the m runs.
        sd: standard deviation of the n runs, ddof 1.
        n: runs with a known deviation, 2 or more.
        m: further runs.
        level: confidence level of the interval.
        most_df: largest number of degrees of freedom, smaller for runs with long tails.
    """
    n = np.asarray(n, dtype=np.float64)
    error = np.asarray(sd) * np.sqrt(1 / n + 1 / np.asarray(m, dtype=np.float64))
    df = np.minimum(n - 1, most_df)
    half = student(level, df) * error
    return np.asarray(difference - half), np.asarray(difference + half), student_p(np.asarray(difference) / error, df)
