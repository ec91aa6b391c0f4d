"""How often a verdict is wrong, in simulated archives with the spreads of the published runs.

    python benchmarks/verdict.py            # prints the tables
    python benchmarks/verdict.py --write    # puts them into docs/verdict.md

A simulated run of a dataset is its published mean plus the deviation of one of its published runs: of the 5 runs on UCR
2018 and, if there are any, the 10 on the 85 datasets, each group relative to its own mean and scaled by
sqrt(n / (n - 1)). Normal noise of half a standard deviation is added, and the sum is scaled so that the variance stays
the same (a smoothed bootstrap), then rounded to whole test cases. So datasets whose runs all agree have no spread, and
those with failed runs (Meat, EthanolLevel) keep their tails. Our runs and the published runs are drawn in the same way;
then our runs are shifted, or spread. The rules are those of tsfcn.analysis.verdict.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsfcn.analysis import stats, verdict
from tsfcn.data import published
from tsfcn.data.catalogue import CATALOGUE, SETS

DOCS = Path(__file__).resolve().parents[1] / "docs" / "verdict.md"
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
    mean_equivalent: float  # of the verdict on the mean of the archive
    mean_different: float


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
    equivalent, different, any_welch, means = [], [], [], []
    for _ in range(n):
        sample, reference = draw(rng, of, n_ours, shift=shift, spread=spread), draw(rng, of, n_theirs)
        difference = sample.mean(axis=1) - reference.mean(axis=1)
        sd_1, sd_2 = (verdict.floored(x.std(axis=1, ddof=1), of.n_test) for x in (sample, reference))
        low, high, p = verdict.interval(difference, sd_1, n_ours, sd_2, n_theirs)
        equivalent.append(verdict.is_equivalent(low, high, margin))
        different.append(verdict.is_different(difference, stats.holm(p), margin))
        welch = stats.holm(stats.welch(difference, sd_1, n_ours, sd_2, n_theirs)[2])
        any_welch.append(verdict.is_different(difference, welch, margin).any())
        variance, df = sd_1**2 / n_ours + sd_2**2 / n_theirs, stats.welch_df(sd_1, n_ours, sd_2, n_theirs)
        means.append((*verdict.mean_interval(difference, variance, df), difference.mean()))
    low, high, p, mean = np.array(means).T
    return Shares(
        np.mean(equivalent, axis=0),
        np.mean(different, axis=0),
        float(np.any(different, axis=1).mean()),
        float(np.mean(any_welch)),
        float(verdict.is_equivalent(low, high, verdict.ARCHIVE_MARGIN).mean()),
        float(verdict.is_different(mean, p, verdict.ARCHIVE_MARGIN).mean()),
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


def _row(*cells: object) -> str:
    return "| " + " | ".join(f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells) + " |"


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
    archive: list[tuple[object, ...]] = [
        (
            *("model", "our seeds", "their runs", "equivalent, rightly", "different, wrongly"),
            *("equivalent, wrongly", "different by 0.01, rightly"),
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
        # Shifts of single datasets are whole cases; the mean over many can be exactly at the margin of the archive.
        small = _mean_shift(where, verdict.ARCHIVE_MARGIN)
        shifted, twice = run(small, 10 * i + 3), run(_mean_shift(where, 0.01), 10 * i + 4)
        archive.append(
            (
                *(model, n_seeds, n_runs, same.mean_equivalent, same.mean_different),
                *(shifted.mean_equivalent, twice.mean_different),
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
            "### The mean over 128 datasets\n\n" + _table(*archive),
        ]
    )


def _mean_shift(of: Spreads, size: float) -> Array:
    """Return shifts down, in whole cases, whose mean is `size` within 1 %, over large and small datasets."""
    shift = np.zeros(len(of.names))
    for i in np.argsort(-of.n_test, kind="stable"):  # the large ones first: they can be shifted by `size` itself
        missing = size * len(shift) - np.abs(shift).sum()
        step = min(max(missing, 0.0), 2 * size)
        shift[i] = np.round(step * of.n_test[i]) / of.n_test[i]
    return -shift


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
    begin, end = "<!-- benchmarks/verdict.py begins -->", "<!-- benchmarks/verdict.py ends -->"
    page = DOCS.read_text(encoding="utf-8")
    block = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    DOCS.write_text(block.sub(lambda _: f"{begin}\n{text}\n{end}", page), encoding="utf-8")


if __name__ == "__main__":
    main()
