"""Statistics against full enumeration, brute force, and scipy, statsmodels, scikit-posthocs and baycomp."""

from __future__ import annotations

import itertools
import math

import baycomp
import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
import scipy.stats
from packaging.version import Version
from statsmodels.stats.multitest import multipletests

from tsfcn.analysis import stats
from tsfcn.data import published

SEEDS = range(8)
compares_with_newer_scipy = pytest.mark.skipif(
    Version(scipy.__version__) < Version("1.15"), reason="scipy 1.15 or newer has the functions to compare with"
)


def table(seed: int, n: int = 30, k: int = 5, step: float = 0.02) -> np.ndarray:
    """Accuracies (n, k) in whole steps, so that there are many ties and equal pairs."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.8, 0.06, size=(n, 1)) + rng.normal(0, 0.03, size=(n, k)) + np.linspace(0, 0.03, k)
    return np.round(np.clip(scores, 0, 1) / step) * step


def enumerated(differences: np.ndarray, zeros: str) -> float:
    """P of the two-sided signed-rank test over all signs of the nonzero differences, in whole numbers."""
    d = stats.rounded(differences)
    d = d if zeros == "pratt" else d[d != 0]
    ranks = scipy.stats.rankdata(np.abs(d))[d != 0]
    positive = ranks[d[d != 0] > 0].sum()
    far = abs(2 * positive - ranks.sum())
    sums = [sum(r if up else -r for r, up in zip(ranks, signs, strict=True)) for signs in
            itertools.product((False, True), repeat=len(ranks))]  # fmt: skip
    return sum(bool(abs(s) >= far - 1e-9) for s in sums) / len(sums)


@pytest.mark.parametrize("zeros", ["pratt", "wilcox"])
@pytest.mark.parametrize("n", range(1, 13))
def test_exact_p_is_that_of_full_enumeration(n: int, zeros: str) -> None:
    for seed in range(3 if n > 9 else 12):
        rng = np.random.default_rng([n, seed])
        d = rng.integers(-4, 5, size=n) * 0.01  # ties and zeros in most
        got = stats.wilcoxon(d, zeros=zeros)
        assert got.method == "exact"
        assert got.p == pytest.approx(enumerated(d, zeros), abs=1e-12), d
        assert (got.n, got.n_zeros) == (n, int(np.sum(d == 0)))


@pytest.mark.parametrize("zeros", ["pratt", "wilcox"])
@pytest.mark.parametrize("seed", SEEDS)
def test_normal_approximation_is_scipys(seed: int, zeros: str) -> None:
    scores = table(seed)
    for i, j in itertools.combinations(range(scores.shape[1]), 2):
        d = stats.rounded(scores[:, i] - scores[:, j])
        theirs = scipy.stats.wilcoxon(d, zero_method=zeros, method="approx")
        got = stats.wilcoxon(d, zeros=zeros, method="normal")
        assert got.p == pytest.approx(theirs.pvalue, abs=1e-12)
        assert min(got.positive, got.negative) == theirs.statistic


@pytest.mark.parametrize("seed", SEEDS)
def test_exact_p_without_ties_is_scipys(seed: int) -> None:
    d = np.random.default_rng(seed).normal(0.3, 1, size=40)
    assert stats.wilcoxon(d).p == pytest.approx(scipy.stats.wilcoxon(d, method="exact").pvalue, rel=1e-10)


def test_identical_columns_do_not_differ() -> None:
    for zeros in ("pratt", "wilcox"):
        got = stats.wilcoxon(np.zeros(20), zeros=zeros)
        assert (got.p, got.n_zeros, got.positive, got.negative) == (1.0, 20, 0.0, 0.0)
    assert stats.wilcoxon(np.array([])).p == 1.0
    noise = (np.array([0.1] * 9) + 0.2) - 0.3  # 5e-17 each: float noise is no difference
    assert noise.any() and stats.wilcoxon(noise).p == 1.0


def test_exact_and_normal_agree_where_the_one_gives_way_to_the_other() -> None:
    rng = np.random.default_rng(1)
    for n in (stats.EXACT_UP_TO, stats.EXACT_UP_TO + 1):
        d = np.round(rng.normal(0.06, 1, size=n), 1)
        d[d == 0] = 0.1
        exact, normal = (stats.wilcoxon(d, method=method).p for method in ("exact", "normal"))
        assert exact == pytest.approx(normal, abs=5e-4)
        assert stats.wilcoxon(d).method == ("exact" if n == stats.EXACT_UP_TO else "normal")


def test_lstm_fcn_of_2019_beside_wangs_fcn() -> None:
    theirs = {f.dataset: f.mean for f in published.read("wang2017_readme85") if f.model == "fcn"}
    ours = {f.dataset: f.mean for f in published.read("karim2019") if f.model == "lstm_fcn"}
    first, second = (np.array([column[d] for d in sorted(ours)]) for column in (ours, theirs))
    assert stats.wins(first, second) == (40, 4, 41)
    assert round(stats.wilcoxon(first - second).p, 3) == 0.609
    assert round(stats.wilcoxon(first - second, zeros="wilcox", method="normal").p, 3) == 0.574


def p_values(seed: int) -> np.ndarray:
    """Return up to 29 p-values, with ties."""
    rng = np.random.default_rng(seed)
    return np.round(rng.beta(0.4, 2, size=rng.integers(1, 30)), 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_corrections_are_statsmodels(seed: int) -> None:
    p = p_values(seed)
    assert stats.holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert stats.benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1])
    assert stats.holm([]).size == stats.benjamini_hochberg([]).size == 0


@compares_with_newer_scipy
@pytest.mark.parametrize("seed", SEEDS)
def test_benjamini_hochberg_is_scipys(seed: int) -> None:
    p = p_values(seed)
    assert stats.benjamini_hochberg(p) == pytest.approx(scipy.stats.false_discovery_control(p))


@pytest.mark.parametrize("seed", SEEDS)
def test_ranks_and_friedman_are_scipys(seed: int) -> None:
    scores = table(seed)
    for ties in ("average", "min"):
        assert stats.ranks(scores, ties=ties) == pytest.approx(
            scipy.stats.rankdata(-stats.rounded(scores), ties, axis=1)
        )
    theirs = scipy.stats.friedmanchisquare(*stats.rounded(scores).T)
    got = stats.friedman(scores)
    assert [got.chi2, got.p, got.df] == pytest.approx([theirs.statistic, theirs.pvalue, 4])
    assert stats.friedman(np.ones((6, 3))) == stats.Friedman(0.0, 2, 1.0)


@compares_with_newer_scipy
@pytest.mark.parametrize("seed", SEEDS)
def test_pairwise_p_with_holm_is_scikit_posthocs(seed: int) -> None:
    scores = np.rint(50 * table(seed))  # whole steps: they subtract without rounding, and float noise is no tie to them
    k = scores.shape[1]
    frame = pd.DataFrame(scores).melt(var_name="column", value_name="score")
    theirs = scikit_posthocs.posthoc_wilcoxon(
        frame, val_col="score", group_col="column", zero_method="pratt", p_adjust="holm", sort=False
    ).to_numpy()
    # scipy, which it calls, takes the normal approximation where there are ties or zeros.
    pairs = list(itertools.combinations(range(k), 2))
    got = stats.holm([stats.wilcoxon(scores[:, i] - scores[:, j], method="normal").p for i, j in pairs])
    assert all(len(set(np.abs(scores[:, i] - scores[:, j]))) < len(scores) for i, j in pairs)
    assert got == pytest.approx([theirs[i, j] for i, j in pairs], abs=1e-12)


def brute_force(differs: np.ndarray) -> list[tuple[int, ...]]:
    """All sets of two or more, no two of which differ, that no other such set contains."""
    sets = [
        set(s)
        for size in range(2, len(differs) + 1)
        for s in itertools.combinations(range(len(differs)), size)
        if not any(differs[i, j] for i, j in itertools.combinations(s, 2))
    ]
    return sorted(tuple(sorted(s)) for s in sets if not any(s < other for other in sets))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_cliques_are_maximal_sets_that_do_not_differ(share: float) -> None:
    for seed in range(6):
        rng = np.random.default_rng([int(share * 10), seed])
        n = int(rng.integers(1, 10))
        upper = np.triu(rng.random((n, n)) < share, 1)
        assert stats.cliques(upper | upper.T) == brute_force(upper | upper.T)


def test_a_clique_may_skip_a_column() -> None:
    differs = np.zeros((3, 3), dtype=bool)
    differs[0, 1] = differs[1, 0] = differs[1, 2] = differs[2, 1] = True
    assert stats.cliques(differs) == [(0, 2)]


def test_cliques_of_many_columns_come_at_once() -> None:
    k = 60
    differs = np.abs(np.subtract.outer(np.arange(k), np.arange(k))) > 12
    assert stats.cliques(differs) == [tuple(range(i, i + 13)) for i in range(k - 12)]
    assert stats.cliques(np.ones((k, k), dtype=bool)) == []


@pytest.mark.parametrize("rope", [0.0, 0.01, 0.02])
@pytest.mark.parametrize("seed", range(3))
def test_bayesian_signed_ranks_are_baycomps(seed: int, rope: float) -> None:
    scores = table(seed, n=20)
    x, y = scores[:, 0], scores[:, 3]
    got = stats.bayesian_signed_rank(stats.rounded(x - y), rope=rope)
    # Theirs takes second minus first. In whole hundredths, since their float sums miss the edges of the region.
    hundredths = np.rint(100 * (x - y))
    sample = baycomp.SignedRankTest.sample(np.zeros(20), hundredths, 100 * rope, nsamples=4000, random_state=1)
    theirs = baycomp.multiple.Posterior(sample).probs(with_rope=True)
    for mine, other in zip((got.second, got.equivalent, got.first), theirs, strict=True):
        assert mine == pytest.approx(other, abs=0.03)  # 4000 draws: one standard error is 0.008
    assert got.first + got.equivalent + got.second == pytest.approx(1)


def test_bayesian_signed_ranks_turn_with_the_sign_and_need_no_difference() -> None:
    d = np.array([0.03, 0.02, -0.01, 0.05, 0.04, 0.02, 0.0])
    there, back = stats.bayesian_signed_rank(d), stats.bayesian_signed_rank(-d)
    assert there.first == pytest.approx(back.second, abs=0.01)
    same = stats.bayesian_signed_rank(np.zeros(10))
    assert (same.first, same.equivalent, same.second) == (0.0, 1.0, 0.0)
    none = stats.bayesian_signed_rank(np.zeros(10), rope=0.0)
    assert (none.first, none.equivalent, none.second) == (0.5, 0.0, 0.5)
    assert stats.bayesian_signed_rank(d) == there, "the same seed, the same figures"


@compares_with_newer_scipy
def test_interval_of_a_mean_is_that_of_scipy() -> None:
    d = np.random.default_rng(2).normal(0.01, 0.03, size=30)
    theirs = scipy.stats.ttest_1samp(d, 0.0).confidence_interval(0.9)
    assert stats.mean_interval(d, level=0.9) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    assert all(math.isnan(v) for v in stats.mean_interval(np.array([0.1, 0.2, 0.3, 0.4])))
    assert stats.mean_interval(np.full(9, 0.25)) == (0.25, 0.25)


def test_shift_by_signed_ranks_holds_what_one_sided_tests_do_not_reject() -> None:
    rng = np.random.default_rng(3)
    for n in (5, 8, 30):
        d, scales = rng.normal(0.3, 1.0, size=n), rng.uniform(0.5, 3.0, size=n)
        estimate, low, high = stats.signed_rank_interval(d, scales)
        assert low <= estimate <= high

        def p(shift: float, side: str, d: np.ndarray = d, scales: np.ndarray = scales) -> float:
            return float(scipy.stats.wilcoxon((d - shift) / scales, alternative=side, method="exact").pvalue)

        step = 1e-9
        assert p(low + step, "greater") >= 0.05 > p(low - step, "greater")
        assert p(high - step, "less") >= 0.05 > p(high + step, "less")
        assert abs(p(estimate - step, "two-sided") - 1.0) < 0.2


def test_shift_by_signed_ranks_with_equal_scales_is_the_estimate_of_hodges_and_lehmann() -> None:
    d = np.array([1.0, 2.0, 4.0, 8.0])
    estimate, low, high = stats.signed_rank_interval(d, 2.0)
    means = [(a + b) / 2 for i, a in enumerate(d) for b in d[i:]]
    assert estimate == np.median(means) and (low, high) == (-math.inf, math.inf)
    assert stats.signed_rank_interval(d, level=0.5)[1:] == (2.0, 5.0)


@compares_with_newer_scipy
def test_welch_is_scipys() -> None:
    rng = np.random.default_rng(5)
    for n, m in ((2, 2), (3, 5), (5, 10), (12, 3)):
        x, y = rng.normal(0.8, 0.03, n), rng.normal(0.82, 0.01, m)
        theirs = scipy.stats.ttest_ind(x, y, equal_var=False)
        between = theirs.confidence_interval(0.9)
        got = stats.welch(x.mean() - y.mean(), x.std(ddof=1), n, y.std(ddof=1), m)
        assert [float(v) for v in got] == pytest.approx([between.low, between.high, theirs.pvalue])


def test_prediction_interval_covers_a_further_run() -> None:
    rng = np.random.default_rng(7)
    for n in (3, 5):
        draws = rng.normal(0.8, 0.02, size=(20_000, n + 1))
        mean, sd = draws[:, :n].mean(axis=1), draws[:, :n].std(axis=1, ddof=1)
        low, high, p = stats.prediction(mean - draws[:, n], sd, n)
        covered = (low <= 0) & (high >= 0)
        assert covered.mean() == pytest.approx(0.95, abs=0.005)
        assert np.array_equal(covered, p >= 0.05)


def test_mean_per_class_error() -> None:
    assert stats.mpce(np.array([0.9, 0.6]), np.array([2, 4])) == pytest.approx((0.05 + 0.1) / 2)


def test_words_that_are_not_known() -> None:
    with pytest.raises(ValueError, match="pratt"):
        stats.wilcoxon(np.array([1.0]), zeros="zsplit")
    with pytest.raises(ValueError, match="finite"):
        stats.wilcoxon(np.array([np.nan]))
    with pytest.raises(ValueError, match="average or min"):
        stats.ranks(np.ones((2, 2)), ties="dense")
    with pytest.raises(ValueError, match="not finite"):
        stats.ranks(np.array([[1.0, np.nan]]))
    with pytest.raises(ValueError, match="rope"):
        stats.bayesian_signed_rank(np.zeros(3), rope=-1)
