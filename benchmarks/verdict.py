"""How often a verdict is wrong, in simulated archives with the spreads of the published runs.

    python benchmarks/verdict.py            # prints the tables
    python benchmarks/verdict.py --write    # puts them into docs/verdict.md

A simulated run of a dataset is its published mean plus the deviation of one of its published runs: of the 5 runs on UCR
2018 and, if there are any, the 10 on the 85 datasets, each group relative to its own mean and scaled by
sqrt(n / (n - 1)). Normal noise of half a standard deviation is added, and the sum is scaled so that the variance stays
the same (a smoothed bootstrap), then rounded to whole test cases. So datasets whose runs all agree have no spread, and
those with failed runs (Meat, EthanolLevel) keep their tails. Our runs and the published runs are drawn in the same way;
then our runs are shifted, or spread. The rules are those of tsfcn.analysis.verdict.

The last tables are of intervals of a mean over datasets (tsfcn.analysis.stats): datasets are drawn from the 128 with
the published differences of two models, and the share of intervals that contain the mean over all 128 is counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import generated
from tsfcn.analysis import stats, verdict
from tsfcn.data import published
from tsfcn.data.catalogue import CATALOGUE, SETS

N_ARCHIVES = 2000
Array = np.ndarray


@dataclass(frozen=True)
class Spreads:
    """The distributions to draw from: means, sizes, and deviations of single runs (n_datasets, most runs)."""

    names: list[str]
    mean: Array
    n_test: Array
    deviations: Array
    n_runs: Array

    @property
    def std(self) -> Array:
        """The standard deviation of the runs of each dataset, before rounding."""
        return np.array([row[:n].std() for row, n in zip(self.deviations, self.n_runs, strict=True)])


def spreads(model: str) -> Spreads:
    """Return the spreads of one model's published runs."""
    new, old = published.runs("fawaz2019_ucr128"), published.runs("fawaz2019_ucr85")
    means, pools = [], []
    for name in SETS["all"]:
        groups = [np.array(runs[name, model].accuracies) for runs in (new, old) if (name, model) in runs]
        means.append(groups[0].mean())
        pools.append(np.concatenate([(g - g.mean()) * np.sqrt(len(g) / (len(g) - 1)) for g in groups]))
    most = max(map(len, pools))
    deviations = np.array([np.pad(pool, (0, most - len(pool))) for pool in pools])
    n_test = np.array([CATALOGUE[name].n_test for name in SETS["all"]])
    return Spreads(list(SETS["all"]), np.array(means), n_test, deviations, np.array([len(pool) for pool in pools]))


def draw(rng: np.random.Generator, of: Spreads, n: int, *, shift: Array | float = 0.0, spread: float = 1.0) -> Array:
    """Return accuracies of n runs of every dataset, (n_datasets, n).

    Args:
        rng: The source of the random numbers.
        of: The distributions.
        n: The number of runs.
        shift: Added to the accuracies, before rounding.
        spread: What deviations are multiplied by.
    """
    d = len(of.names)
    picked = of.deviations[np.arange(d)[:, None], rng.integers(0, of.n_runs[:, None], size=(d, n))]
    blurred = (picked + 0.5 * of.std[:, None] * rng.normal(size=(d, n))) / np.sqrt(1.25)
    shifted = of.mean[:, None] + np.broadcast_to(shift, d)[:, None] + spread * blurred
    cases = np.clip(np.round(shifted * of.n_test[:, None]), 0, of.n_test[:, None])
    return np.asarray(cases / of.n_test[:, None])


def toward_middle(of: Spreads, size: Array | float) -> Array:
    """Return shifts of the given size, rounded up to whole test cases, away from the nearer of 0 and 1."""
    cases = np.ceil(np.broadcast_to(size, of.n_test.shape) * of.n_test - 1e-9) / of.n_test
    return np.asarray(np.where(of.mean < 0.5, cases, -cases))


@dataclass(frozen=True)
class Shares:
    """The results, over the simulated archives."""

    equivalent: Array  # (n_datasets,): fraction of archives with this verdict on the dataset
    different: Array
    any_different: float  # fraction of archives with one or more datasets that are called different
    any_welch: float  # the same by Welch's test alone


def several(
    of: Spreads, n_ours: int, n_theirs: int, *, shift: Array | float = 0.0, spread: float = 1.0, n: int, seed: int
) -> Shares:
    """Return how often each verdict is given if several runs are published.

    Args:
        of: The distributions.
        n_ours: The number of our runs.
        n_theirs: The number of published runs.
        shift: Added to the accuracies of our runs.
        spread: What the deviations of our runs are multiplied by.
        n: The number of archives.
        seed: The seed of the random numbers.
    """
    rng, margin = np.random.default_rng(seed), verdict.margins(of.n_test)
    equivalent, different, any_welch = [], [], []
    for _ in range(n):
        sample, reference = draw(rng, of, n_ours, shift=shift, spread=spread), draw(rng, of, n_theirs)
        difference = sample.mean(axis=1) - reference.mean(axis=1)
        sd_1, sd_2 = (verdict.floored(x.std(axis=1, ddof=1), of.n_test) for x in (sample, reference))
        low, high, p = verdict.interval(difference, sd_1, n_ours, sd_2, n_theirs)
        equivalent.append(verdict.is_equivalent(low, high, margin))
        different.append(verdict.is_different(difference, stats.holm(p), margin))
        welch = stats.holm(stats.welch(difference, sd_1, n_ours, sd_2, n_theirs)[2])
        any_welch.append(verdict.is_different(difference, welch, margin).any())
    return Shares(
        np.mean(equivalent, axis=0),
        np.mean(different, axis=0),
        float(np.any(different, axis=1).mean()),
        float(np.mean(any_welch)),
    )


def single(of: Spreads, n_ours: int, *, shift: Array | float = 0.0, n: int, seed: int) -> tuple[Array, float, float]:
    """Return the fractions of `outside`: by dataset, of archives with any, and of archives with any without the margin.

    Args:
        of: The distributions.
        n_ours: The number of our runs; one run is published.
        shift: Added to the accuracies of our runs.
        n: The number of archives.
        seed: The seed of the random numbers.
    """
    rng, margin = np.random.default_rng(seed), verdict.margins(of.n_test)
    outside, bare = [], []
    for _ in range(n):
        sample, reference = draw(rng, of, n_ours, shift=shift), draw(rng, of, 1)
        difference = sample.mean(axis=1) - reference[:, 0]
        sd = verdict.floored(sample.std(axis=1, ddof=1), of.n_test)
        p = stats.holm(verdict.prediction_interval(difference, sd, n_ours, 1)[2])
        outside.append(verdict.is_different(difference, p, margin))
        bare.append((p < verdict.ALPHA).any())
    return np.mean(outside, axis=0), float(np.any(outside, axis=1).mean()), float(np.mean(bare))


# ---------------------------------------------------------------------------------------------------------------------
# The typical difference over datasets


def subset(of: Spreads, names: Sequence[str]) -> Spreads:
    """Return the distributions of some datasets."""
    which = [i for i, name in enumerate(of.names) if name in set(names)]
    return Spreads(
        [of.names[i] for i in which], of.mean[which], of.n_test[which], of.deviations[which], of.n_runs[which]
    )


def worsened(rng: np.random.Generator, of: Spreads, accuracies: Array, size: float, share: float = 1.0) -> Array:
    """Return accuracies (n_datasets, n) lowered by `size` on a random share of the datasets.

    Each run loses whole test cases, rounded up or down at random so that the expected loss is `size`.
    """
    lost = np.floor(size * of.n_test[:, None] + rng.random(accuracies.shape)) / of.n_test[:, None]
    chosen = rng.random(len(of.names)) < share
    return np.asarray(np.maximum(accuracies - lost * chosen[:, None], 0.0))


@dataclass(frozen=True)
class ArchiveShares:
    """The fractions of simulated archives with each word on the typical difference, and by rules that were rejected."""

    equivalent: float
    different: float
    mean_equivalent: float  # by the mean over datasets and its interval; NaN for single runs
    mean_different: float


def archive(
    of: Spreads,
    n_ours: int,
    n_theirs: int,
    *,
    worse: float = 0.0,
    share: float = 1.0,
    spread: float = 1.0,
    n: int,
    seed: int,
) -> ArchiveShares:
    """Return how often each verdict on the typical difference is given.

    Args:
        of: The distributions.
        n_ours: The number of our runs, 1 or more.
        n_theirs: The number of published runs, 1 or more.
        worse: What our runs lose.
        share: On which share of the datasets they lose it.
        spread: What the deviations of our runs are multiplied by.
        n: The number of archives.
        seed: The seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    words, means = [], []
    for _ in range(n):
        ours = worsened(rng, of, draw(rng, of, n_ours, spread=spread), worse, share)
        theirs = draw(rng, of, n_theirs)
        difference = ours.mean(axis=1) - theirs.mean(axis=1)
        known = [verdict.floored(x.std(axis=1, ddof=1), of.n_test) for x in (ours, theirs) if x.shape[1] > 1]
        sd_1, sd_2 = (known * 2)[:2] if known else [verdict.floored(np.zeros(len(of.names)), of.n_test)] * 2
        words.append(verdict.typical(difference, stats.standard_error(sd_1, n_ours, sd_2, n_theirs)).word)
        if len(known) == 2:
            variance, df = sd_1**2 / n_ours + sd_2**2 / n_theirs, stats.welch_df(sd_1, n_ours, sd_2, n_theirs)
            means.append((*verdict.mean_interval(difference, variance, df), difference.mean()))
    low, high, mean = np.array(means).T if means else np.full((3, 1), np.nan)
    margin = verdict.TYPICAL_MARGIN
    is_far = (np.abs(mean) > margin) & ((low > 0) | (high < 0))  # an interval of 90 %, so at 10 %
    return ArchiveShares(
        float(np.mean([word == verdict.EQUIVALENT for word in words])),
        float(np.mean([word == verdict.DIFFERENT for word in words])),
        float(verdict.is_equivalent(low, high, margin).mean()) if means else float("nan"),
        float(is_far.mean()) if means else float("nan"),
    )


def _archive_table(of: Mapping[str, Spreads], n: int, report: Callable[[str], object]) -> str:
    rows: list[tuple[object, ...]] = [
        (
            *("model", "datasets", "our seeds", "their runs", "equivalent, rightly", "different, wrongly"),
            *("0.005 off: equivalent", "0.01 off: different", "a tenth 0.05 off: equivalent"),
            *("by the mean: equivalent, rightly", "by the mean: 0.01 off, different"),
        )
    ]
    pairs = {"fcn": ((1, 5), (3, 5), (5, 5), (10, 5), (3, 16), (5, 16), (1, 1), (3, 1), (5, 1))}
    settings = [
        (model, names, pair)
        for model in of
        for names in ("all", "small")
        for pair in pairs.get(model, ((3, 5), (3, 1)))
    ]
    for i, (model, names, (n_ours, n_theirs)) in enumerate(settings):
        where = subset(of[model], SETS[names])
        report(f"typical difference: {model}, {len(where.names)} datasets, {n_ours} seeds, {n_theirs} runs")
        same, edge, far, tenth = (
            archive(where, n_ours, n_theirs, worse=worse, share=share, n=n, seed=2000 + 10 * i + j)
            for j, (worse, share) in enumerate(((0.0, 1.0), (verdict.TYPICAL_MARGIN, 1.0), (0.01, 1.0), (0.05, 0.1)))
        )
        rows.append(
            (
                *(model, len(where.names), n_ours, n_theirs, same.equivalent, same.different),
                *(edge.equivalent, far.different, tenth.equivalent, same.mean_equivalent, far.mean_different),
            )
        )
    return _table(*rows)


def _archive_spread_table(of: Spreads, n: int, report: Callable[[str], object]) -> str:
    rows: list[tuple[object, ...]] = [
        (
            *("our spread", "datasets", "our seeds", "their runs", "equivalent, rightly", "different, wrongly"),
            "0.005 off: equivalent",
        )
    ]
    settings = [
        (factor, names, pair) for factor in (0.5, 2.0) for names in ("all", "small") for pair in ((3, 5), (3, 1))
    ]
    for i, (factor, names, (n_ours, n_theirs)) in enumerate(settings):
        where = subset(of, SETS[names])
        report(f"typical difference, spread x {factor:g}: {len(where.names)} datasets, {n_ours} seeds, {n_theirs} runs")
        same, edge = (
            archive(where, n_ours, n_theirs, worse=worse, spread=factor, n=n, seed=3000 + 10 * i + j)
            for j, worse in enumerate((0.0, verdict.TYPICAL_MARGIN))
        )
        row = (f"x {factor:g}", len(where.names), n_ours, n_theirs, same.equivalent, same.different, edge.equivalent)
        rows.append(row)
    return _table(*rows)


# ---------------------------------------------------------------------------------------------------------------------
# Intervals of a mean over datasets


def coverage(differences: Array, n_datasets: int, *, n: int, seed: int) -> tuple[float, float]:
    """Return how often 95 % intervals of the mean of n_datasets differences, drawn at random, contain that of all.

    The first is that of tsfcn.analysis.stats.mean_interval, the second a percentile bootstrap of 1,000 samples.
    """
    rng, mean = np.random.default_rng(seed), differences.mean()
    inside = []
    for _ in range(n):
        drawn = rng.choice(differences, n_datasets)
        means = rng.choice(drawn, (1000, n_datasets)).mean(axis=1)
        intervals = stats.mean_interval(drawn), np.quantile(means, (0.025, 0.975))
        inside.append([low <= mean <= high for low, high in intervals])
    student, bootstrap = np.mean(inside, axis=0).tolist()
    return student, bootstrap


def _coverage_table(n: int, report: Callable[[str], object]) -> str:
    pairs = (("fcn", "resnet"), ("fcn", "mlp"), ("fcn", "encoder"), ("resnet", "TWIESN"))
    figures = {(f.model, f.dataset): f.mean for f in published.read("fawaz2019_ucr128") if f.metric == "accuracy"}
    rows: list[tuple[object, ...]] = [("models", "datasets", "Student's t", "bootstrap")]
    for i, (one, other) in enumerate(pairs):
        report(f"intervals of the mean: {one}, {other}")
        differences = np.array([figures[one, name] - figures[other, name] for name in SETS["all"]])
        for j, n_datasets in enumerate((5, 10, 20, 30, 60, 128)):
            shares = coverage(differences, n_datasets, n=n, seed=4000 + 10 * i + j)
            rows.append((f"{one}, {other}", n_datasets, *shares))
    return _table(*rows)


# ---------------------------------------------------------------------------------------------------------------------


def _row(*cells: object) -> str:
    texts = ("" if c != c else f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells)  # NaN: not defined
    return f"| {' | '.join(texts)} |"


def _table(*rows: tuple[object, ...]) -> str:
    header, *body = rows
    rule = ["---:" if all(isinstance(r[i], (int, float)) for r in body) else "---" for i in range(len(header))]
    return "\n".join([_row(*header), _row(*rule), *(_row(*row) for row in body)])


def tables(n: int = N_ARCHIVES, report: Callable[[str], object] = print) -> str:
    """Return the tables of docs/verdict.md from n archives per line; the same n gives the same tables."""
    of = {model: spreads(model) for model in ("fcn", "resnet", "mlp")}
    settings = [("fcn", *pair) for pair in ((3, 5), (5, 5), (10, 5), (3, 10), (5, 10), (10, 10))]
    settings += [(model, *pair) for model in ("resnet", "mlp") for pair in ((3, 5), (5, 5), (3, 10))]
    rows: list[tuple[object, ...]] = [
        (
            *("model", "our seeds", "their runs", "equivalent, rightly", "any different, wrongly", "(Welch alone)"),
            *("equivalent, wrongly", "in the worst dataset", "different, rightly"),
        )
    ]
    for i, (model, n_seeds, n_runs) in enumerate(settings):
        report(f"{model}, {n_seeds} seeds, {n_runs} runs")
        where = of[model]

        def run(
            shift: Array | float, seed: int, where: Spreads = where, n_seeds: int = n_seeds, n_runs: int = n_runs
        ) -> Shares:
            return several(where, n_seeds, n_runs, shift=shift, n=n, seed=seed)

        same, edge = run(0.0, 10 * i), run(toward_middle(where, verdict.margins(where.n_test)), 10 * i + 1)
        far = run(toward_middle(where, 0.05), 10 * i + 2)
        rows.append(
            (
                *(model, n_seeds, n_runs, float(same.equivalent.mean()), same.any_different, same.any_welch),
                *(float(edge.equivalent.mean()), float(edge.equivalent.max()), float(far.different.mean())),
            )
        )
    spread: list[tuple[object, ...]] = [
        ("our spread", "our seeds", "their runs", "any different, wrongly", "(Welch alone)", "equivalent, wrongly")
    ]
    for i, factor in enumerate((0.5, 2.0)):
        for j, (n_seeds, n_runs) in enumerate(((3, 5), (5, 5), (3, 10), (5, 10))):
            report(f"spread x {factor:g}, {n_seeds} seeds, {n_runs} runs")
            seed = 500 + 10 * i + 2 * j
            same = several(of["fcn"], n_seeds, n_runs, spread=factor, n=n, seed=seed)
            shift = toward_middle(of["fcn"], verdict.margins(of["fcn"].n_test))
            edge = several(of["fcn"], n_seeds, n_runs, spread=factor, shift=shift, n=n, seed=seed + 1)
            spread.append(
                (f"x {factor:g}", n_seeds, n_runs, same.any_different, same.any_welch, float(edge.equivalent.mean()))
            )
    alone: list[tuple[object, ...]] = [
        ("model", "our seeds", "any outside, wrongly", "(without the margin)", "0.05 off: outside", "0.20 off: outside")
    ]
    for i, (model, n_seeds) in enumerate([("fcn", k) for k in (3, 5, 10)] + [("resnet", 5), ("mlp", 5)]):
        report(f"{model}, {n_seeds} seeds, a single run")
        _, any_outside, bare = single(of[model], n_seeds, n=n, seed=700 + 10 * i)
        off = [
            float(single(of[model], n_seeds, shift=toward_middle(of[model], s), n=n, seed=701 + 10 * i + j)[0].mean())
            for j, s in enumerate((0.05, 0.2))
        ]
        alone.append((model, n_seeds, any_outside, bare, *off))
    tails: list[tuple[object, ...]] = [
        (
            "dataset",
            "std of runs",
            "equivalent, rightly",
            "different, wrongly",
            "equivalent, wrongly",
            "0.05 off: different",
        )
    ]
    fcn = of["fcn"]
    same = several(fcn, 5, 5, n=n, seed=900)
    edge = several(fcn, 5, 5, shift=toward_middle(fcn, verdict.margins(fcn.n_test)), n=n, seed=901)
    far = several(fcn, 5, 5, shift=toward_middle(fcn, 0.05), n=n, seed=902)
    constant = fcn.std == 0
    groups = {name: np.array([other == name for other in fcn.names]) for name in ("Meat", "EthanolLevel", "OliveOil")}
    groups = {f"the {int(constant.sum())} whose runs all agree": constant} | groups
    for name, which in groups.items():
        shares = (same.equivalent, same.different, edge.equivalent, far.different)
        tails.append((name, float(fcn.std[which].mean()), *(float(share[which].mean()) for share in shares)))
    return "\n\n".join(
        [
            f"{n} archives of 128 datasets a line.",
            "### A dataset, several published runs\n\n" + _table(*rows),
            "### Where ours spread more, or less, than theirs (fcn)\n\n" + _table(*spread),
            "### A dataset, a single published run\n\n" + _table(*alone),
            "### Datasets with no spread, and with failed runs (fcn, 5 seeds, 5 runs)\n\n" + _table(*tails),
            "### The typical difference over datasets\n\n" + _archive_table(of, n, report),
            "### The same where ours spread more, or less, than theirs (fcn)\n\n"
            + _archive_spread_table(of["fcn"], n, report),
            "### 95 % intervals of a mean over datasets: how many contain it\n\n" + _coverage_table(n, report),
        ]
    )


def main() -> None:
    """Print the tables, or write them into docs/verdict.md."""
    parser = argparse.ArgumentParser(description="Simulate archives and count wrong verdicts.")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/verdict.md")
    parser.add_argument(
        "--archives", type=int, default=N_ARCHIVES, metavar="N", help="archives per line (default 2000)"
    )
    options = parser.parse_args()
    text = tables(options.archives)
    if not options.write:
        print(text)
        return
    generated.write("verdict.md", "verdict.py", text)


if __name__ == "__main__":
    main()
