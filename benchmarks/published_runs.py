"""Do two sets of published runs of the same experiment agree? Their pool, where they do.

    python benchmarks/published_runs.py            # prints the comparison as Markdown, and what the runs took
    python benchmarks/published_runs.py --write    # puts it into docs/verdict.md, and writes the pooled source

Fawaz et al. 2019 published 5 runs of FCN on each dataset, Meyer et al. 2025 (poolparty2025) 11 with the same settings.
The two are compared by the rules of docs/verdict.md on the datasets of which both used the same files. The pooled
source fawaz2019+poolparty2025 has the mean and the deviation of all runs of each dataset on which they do not differ.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks import generated
from tsfcn.analysis import verdict
from tsfcn.data import published
from tsfcn.data.catalogue import CATALOGUE, SETS

ROOT = Path(__file__).resolve().parents[1]
FIRST, SECOND, MODEL = "fawaz2019_ucr128", "poolparty2025", "fcn"
POOL = ROOT / "tsfcn" / "data" / "published" / "fawaz2019+poolparty2025.csv"

Accuracies = dict[str, np.ndarray]  # of the single runs, by dataset


def runs(model: str = MODEL) -> tuple[Accuracies, Accuracies]:
    """Return the runs of both sources on the datasets of which both used the official files."""
    sources = (FIRST, SECOND)
    files = {source: {f.dataset: f for f in published.read(source) if f.model == model} for source in sources}
    names = [name for name in SETS["all"] if all(published.same_split(files[source][name]) for source in sources)]
    first, second = (
        {name: np.array(published.runs(source)[name, model].accuracies) for name in names} for source in sources
    )
    return first, second


def judge(first: Accuracies, second: Accuracies) -> verdict.Judgement:
    """Return the verdicts on the second source by the first."""
    rows = [
        verdict.PairedAccuracy(
            dataset=name,
            n_test=CATALOGUE[name].n_test,
            accuracy=float(second[name].mean()),
            std=float(second[name].std(ddof=1)),
            n_seeds=len(second[name]),
            published=float(first[name].mean()),
            published_std=float(first[name].std(ddof=1)),
            published_runs=len(first[name]),
        )
        for name in first
    ]
    return verdict.judge(rows)


def pooled(first: Accuracies, second: Accuracies) -> Accuracies:
    """Return all runs of each dataset on which the two sources do not differ."""
    differing = judge(first, second).named(verdict.DIFFERENT)
    return {name: np.concatenate([first[name], second[name]]) for name in first if name not in differing}


def pool_csv(pool: Accuracies) -> str:
    """Return the file of the pooled source."""
    cells = (f"{name},{each.mean():.6f} {each.std(ddof=1):.6f}\n" for name, each in pool.items())
    return f"dataset,{MODEL}\n" + "".join(cells)


def _undecidable(accuracies: Accuracies) -> int:
    """Return on how many datasets the runs are too few for any verdict of `equivalent`."""
    n_test = np.array([CATALOGUE[name].n_test for name in accuracies])
    sd = verdict.floored(np.array([each.std(ddof=1) for each in accuracies.values()]), n_test)
    n_runs = np.array(list(map(len, accuracies.values())))
    return int(verdict.undecidable(sd, n_runs, verdict.margins(n_test)).sum())


def text() -> str:
    """Return the comparison as Markdown."""
    first, second = runs()
    judged, pool = judge(first, second), pooled(first, second)
    typical, mean = judged.typical, judged.mean
    n_first, n_pooled = (len(next(iter(each.values()))) for each in (first, pool))
    median = np.median([each.difference for each in judged.verdicts])
    words = ", ".join(f"{n} {word}" for word, n in judged.counts.items())
    within, mean_within = (f"(90 % {each.low:+.4f} to {each.high:+.4f})" for each in (typical, mean))
    few, few_pooled = (
        f"{_undecidable(first)} datasets with the {n_first} runs",
        f"{_undecidable(pool)} with the {n_pooled}",
    )
    points = (
        f"typical difference {typical.difference:+.4f} {within}: {typical.word};",
        f"mean difference {mean.difference:+.4f} {mean_within}, median {median:+.4f};",
        f"{words}; datasets that differ: {', '.join(judged.named(verdict.DIFFERENT)) or 'none'};",
        f"too few runs for `equivalent` on {few} of {FIRST}, on {few_pooled} of both.",
    )
    others = f"the {len(SETS['all']) - len(first)} others are the adjusted files there"
    lines = [f"On {len(first)} datasets ({others}), {SECOND} minus {FIRST}, {MODEL}:", ""]
    lines += [f"- {point}" for point in points]
    lines += [
        "",
        f"| least p | {FIRST} | {SECOND} | difference | p | p, Holm |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {each.dataset} | {first[each.dataset].mean():.4f} | {second[each.dataset].mean():.4f} | "
        f"{each.difference:+.4f} | {each.p:.3f} | {each.p_holm:.3f} |"
        for each in sorted(judged.verdicts, key=lambda each: each.p)[:5]
    ]
    return "\n".join(lines)


def hours() -> str:
    """Return the hours that one pass over the 128 datasets took, training alone, as Markdown."""
    lines = ["| source | model | passes | hours of training a pass |", "| --- | --- | ---: | ---: |"]
    for source in published.sources():
        single = published.runs(source)
        for model in dict.fromkeys(model for _, model in single):
            seconds = [single[name, model].train_seconds for name in SETS["all"] if (name, model) in single]
            if len(seconds) < len(SETS["all"]) or not all(seconds):
                continue
            n_passes = min(map(len, seconds))
            passes = sorted(sum(each[i] for each in seconds) / 3600 for i in range(n_passes))
            lines.append(f"| {source} | {model} | {n_passes} | {passes[0]:.1f} to {passes[-1]:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the comparison and the hours, or write the comparison and the pooled source."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/verdict.md and the pooled source")
    if not parser.parse_args().write:
        print(f"{text()}\n\n{hours()}")
        return
    generated.write("verdict.md", "published_runs.py", text())
    POOL.write_text(pool_csv(pooled(*runs())), encoding="utf-8")


if __name__ == "__main__":
    main()
