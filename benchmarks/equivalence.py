"""Compare the accuracies of precisions and engines: `python benchmarks/equivalence.py [RESULTS] [ENGINES]`.

It reads records of FCN under fawaz2019 from RESULTS (float32 and bfloat16), and from ENGINES those that the fast engine
has of the same jobs in float32. For every dataset with two or more jobs of both kinds it prints the verdict of
docs/verdict.md on their mean accuracies over seeds, and the verdict on the typical difference over datasets, as
Markdown. It compares bfloat16 with float32, and in float32 the fast engine with the reference loop. If a job has two
records of one kind, the first counts.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tsfcn.analysis import verdict
from tsfcn.jobs import store
from tsfcn.jobs.record import Record

PROTOCOLS = {"fawaz2019": "float32", "fawaz2019[precision=bfloat16]": "bfloat16"}
PAIRS: dict[tuple[str, str], Callable[[Record], str]] = {  # what is compared, and of which of the two kinds a record is
    ("bfloat16", "float32"): lambda record: PROTOCOLS[record.protocol],
    ("fast", "reference"): lambda record: record.engine if record.protocol == "fawaz2019" else "",
}


def table(records: list[Record], one: str, other: str, kind: Callable[[Record], str]) -> str:
    """Return the verdicts on one kind of records against the other, as Markdown.

    Args:
        records: Records of both kinds; others are not used.
        one: The first kind.
        other: The second kind.
        kind: Returns the kind of a record.
    """
    accuracies: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in {(kind(record), record.key): record for record in reversed(records)}.values():
        accuracies[record.dataset][kind(record)].append(record.accuracy)
    sizes = {record.dataset: record.n_test or 0 for record in records}
    rows = [
        verdict.PairedAccuracy(
            dataset=name,
            n_test=sizes[name],
            accuracy=float(np.mean(each[one])),
            std=float(np.std(each[one], ddof=1)),
            n_seeds=len(each[one]),
            published=float(np.mean(each[other])),
            published_std=float(np.std(each[other], ddof=1)),
            published_runs=len(each[other]),
        )
        for name, each in sorted(accuracies.items())
        if min(len(each[one]), len(each[other])) > 1
    ]
    if not rows:
        return f"No dataset has two records of {one} and two of {other}."
    judged = verdict.judge(rows)
    lines = [
        f"| dataset | {one} | seeds | {other} | seeds | difference | 90 % | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row, result in zip(rows, judged.verdicts, strict=True):
        cells = [
            *(row.dataset, f"{row.accuracy:.4f}", str(row.n_seeds), f"{row.published:.4f}", str(row.published_runs)),
            *(f"{result.difference:+.4f}", f"{result.low:+.4f} to {result.high:+.4f}"),
            result.word if result.word != verdict.UNDECIDABLE else f"undecidable: too few in {other}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    typical, mean = judged.typical, judged.mean
    counts = ", ".join(f"{number} {word}" for word, number in judged.counts.items())
    over_all = (
        f"{counts}. Typical difference over {typical.n_datasets} datasets: {typical.difference:+.4f}, 90 % "
        f"{typical.low:+.4f} to {typical.high:+.4f}: {typical.text}. Mean difference: {mean.difference:+.4f}, 90 % "
        f"{mean.low:+.4f} to {mean.high:+.4f}."
    )
    return "\n".join([*lines, "", over_all])


def main() -> None:
    """Compare the records and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"))
    parser.add_argument("engines", type=Path, nargs="?", default=Path("benchmarks/engines"))
    options = parser.parse_args()
    records = [
        record
        for folder in (options.results, options.engines)
        for record in store.read(folder)
        if record.is_ok and record.model == "fcn" and record.resample == 0 and record.protocol in PROTOCOLS
    ]
    for (one, other), kind in PAIRS.items():
        print(f"{one} against {other}\n\n{table(records, one, other, kind)}\n")


if __name__ == "__main__":
    main()
