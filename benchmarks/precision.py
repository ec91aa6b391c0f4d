"""Whether bfloat16 trains to float32's accuracies: `python benchmarks/precision.py [RESULTS]`, from records.

Those of float32 lie in RESULTS, those of bfloat16 in RESULTS/bfloat16.

For every dataset with jobs of FCN under fawaz2019 in both precisions, the verdict of docs/verdict.md on their mean
accuracies over seeds, and the one of the mean over datasets. A difference is bfloat16 minus float32. Prints Markdown.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from tsfcn import store, verdict

PROTOCOLS = {"float32": "fawaz2019", "bfloat16": "fawaz2019[precision=bfloat16]"}


def records(results: Path) -> list[store.Record]:
    """Return the records of both precisions."""
    return [*store.read(results), *store.read(results / "bfloat16")]


def accuracies(results: Path) -> dict[str, dict[str, dict[int, float]]]:
    """Return the accuracy of each seed, by dataset and precision."""
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for record in records(results):
        if record["status"] != "ok" or record["model"] != "fcn" or record["resample"] != 0:
            continue
        for precision, protocol in PROTOCOLS.items():
            if record["protocol"] == protocol:
                found[record["dataset"]][precision][record["seed"]] = record["accuracy"]
    return {name: each for name, each in sorted(found.items()) if len(each) == len(PROTOCOLS)}


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"))
    options = parser.parse_args()
    sizes = {record["dataset"]: record["n_test"] for record in records(options.results) if record["status"] == "ok"}
    rows = []
    for name, each in accuracies(options.results).items():
        half, whole = (list(each[precision].values()) for precision in ("bfloat16", "float32"))
        if min(len(half), len(whole)) > 1:
            rows.append(
                verdict.Given(
                    dataset=name,
                    n_test=sizes[name],
                    accuracy=float(np.mean(half)),
                    std=float(np.std(half, ddof=1)),
                    n_seeds=len(half),
                    published=float(np.mean(whole)),
                    published_std=float(np.std(whole, ddof=1)),
                    published_runs=len(whole),
                )
            )
    judged = verdict.judge(rows)
    print("| dataset | bfloat16 | seeds | float32 | seeds | difference | 90 % | verdict |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row, found in zip(rows, judged.verdicts, strict=True):
        said = found.word if found.word != verdict.UNDECIDABLE else "undecidable: too few in float32"
        cells = [
            *(row.dataset, f"{row.accuracy:.4f}", str(row.n_seeds), f"{row.published:.4f}", str(row.published_runs)),
            *(f"{found.difference:+.4f}", f"{found.low:+.4f} to {found.high:+.4f}", said),
        ]
        print(f"| {' | '.join(cells)} |")
    mean = judged.archive
    counts = ", ".join(f"{number} {word}" for word, number in judged.counts.items())
    print(f"\n{counts}; {mean.dataset}: {mean.difference:+.4f}, 90 % {mean.low:+.4f} to {mean.high:+.4f}: {mean.said}.")


if __name__ == "__main__":
    main()
