"""The README.md of a results folder, as Markdown."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tsfcn.analysis.marks import CHANGED, MEANINGS
from tsfcn.common.escapes import printable
from tsfcn.common.text import escaped, grid
from tsfcn.data import published
from tsfcn.jobs import store
from tsfcn.jobs.record import Record
from tsfcn.report import provenance, render
from tsfcn.report.render import counted, fraction, interval, signed

TITLE = "# Results\n\nWritten by `tsfcn table`"  # the beginning of every README.md that this module writes
_SUMMARY_NOTE = """\
Mean accuracy and MPCE (mean over datasets of error / number of classes) are over each row's own datasets: compare two
rows only if their datasets are the same. Ranks (1 is best, ties get their average) and wins (ties count for each) are
over the datasets that all rows of a split have in common. Time is training and testing."""
_ACCURACY_NOTE = """\
Accuracy is that of the weights that the protocol selects, by default those with the least training loss. Unless a row
is marked, the test set is used only once, after training. `tables/accuracy.csv` also contains the least and the
greatest accuracy over seeds, and the accuracy of the last weights."""
_PUBLISHED_NOTE = """\
Means are over the datasets for which the paper reports a figure on the same split. A figure with a note (\\*) counts as
it was published. The rules and error rates of the verdicts are in `docs/verdict.md` of tsfcn, the intervals and p of
each dataset in `tables/verdicts.csv`."""


def readme(results: Path, records: Sequence[Record], tables: Mapping[str, pd.DataFrame]) -> str:
    """Return the README.md of a results folder.

    Args:
        results: the folder.
        records: its ok records, in the order of the tables.
        tables: its tables by name: accuracy, verdicts, summary and status.
    """
    parts = [
        f"{TITLE}; do not edit. Every number comes from the records in this folder.",
        _first_sentence(records, tables),
        *_summary(records, tables["summary"]),
        *_accuracy(records, tables["accuracy"]),
        *_published(tables["accuracy"], tables["verdicts"]),
        "## Marks",
        "\n".join(_marks()),
        "## Failed and skipped",
        render.status(tables["status"], markdown=True),
        *_commands(results),
        "## Provenance",
        _provenance(records),
        "## Files",
        "\n".join(_files(results)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _first_sentence(records: Sequence[Record], tables: Mapping[str, pd.DataFrame]) -> str:
    counts = Counter(tables["status"]["status"])
    jobs = f"{counted(len(records), 'job')} ok, {counts['failed']} failed, {counts['skipped']} skipped"
    n_datasets = tables["accuracy"]["dataset"].nunique()
    return f"{jobs}; {counted(n_datasets, 'dataset')}; {provenance.training_hours(records)} of training."


def _summary(records: Sequence[Record], summary: pd.DataFrame) -> list[str]:
    parts = ["## Summary", render.summary(summary, markdown=True)]
    if summary.empty:
        return parts
    is_timed = any(record.has_processor_seconds() for record in records)
    return [*parts, _SUMMARY_NOTE + (f"\nIt is {render.PROCESSOR_TIME}." if is_timed else "")]


def _accuracy(records: Sequence[Record], rows: pd.DataFrame) -> list[str]:
    """Return the accuracy table, without resampled splits where there are official ones."""
    official = rows[~rows["split"].str.contains("resample")]
    shown = rows if official.empty else official
    is_timed = any(record.has_processor_seconds() for record in records)
    parts = ["## Accuracy", render.table(shown, markdown=True, processor_time=is_timed)]
    if len(shown) < len(rows):
        parts.append(f"{counted(len(rows) - len(shown), 'row')} of resampled splits: see `tables/accuracy.csv`.")
    return parts if rows.empty else [*parts, _ACCURACY_NOTE]


def _published(rows: pd.DataFrame, verdicts: pd.DataFrame) -> list[str]:
    """Return the section on published figures: table, datasets by verdict, sources; [] without figures."""
    if verdicts.empty:
        return []
    parts = {
        (str(model), str(protocol)): part.to_dict("records")
        for (model, protocol), part in verdicts.groupby(["model", "protocol"], sort=True)
    }
    totals = {names: part.pop() for names, part in parts.items()}  # the last row is the mean
    lines = [
        f"- {escaped(model)} ({escaped(protocol)}): {escaped(_by_verdict(part))}."
        for (model, protocol), part in parts.items()
    ]
    sources = _sources(sorted(set(rows["published_source"]) - {""}))
    table = _published_table(parts, totals)
    return ["## Compared with the papers", table, _PUBLISHED_NOTE, "\n".join(lines), "\n".join(sources)]


def _published_table(
    parts: Mapping[tuple[str, str], Sequence[Mapping[Any, Any]]],
    totals: Mapping[tuple[str, str], Mapping[Any, Any]],
) -> str:
    """Return the table of means. parts: verdicts of the datasets by (model, protocol); totals: of their means."""
    largest = [max(part, key=lambda row: abs(row["difference"])) for part in parts.values()]
    means = [totals[names] for names in parts]
    return grid(
        [
            ("model", "<", [model for model, _ in parts]),
            ("protocol", "<", [protocol for _, protocol in parts]),
            ("source", "<", [mean["published_source"] for mean in means]),
            ("datasets", ">", [str(len(part)) for part in parts.values()]),
            ("our mean", ">", [fraction(mean["mean"]) for mean in means]),
            ("published mean", ">", [fraction(mean["published"]) for mean in means]),
            ("mean difference", ">", [signed(mean["difference"]) for mean in means]),
            ("90 % interval", ">", [interval(mean["low"], mean["high"]) for mean in means]),
            ("verdict", "<", [mean["verdict"] for mean in means]),
            ("largest difference", "<", [f"{signed(row['difference'])} ({row['dataset']})" for row in largest]),
        ],
        markdown=True,
    )


def _by_verdict(rows: Iterable[Mapping[Any, Any]]) -> str:
    """Return how many datasets have each verdict, and which."""
    datasets: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        datasets[row["word"]].append(row["dataset"])
    return "; ".join(f"{len(names)} {word} ({', '.join(names)})" for word, names in sorted(datasets.items()))


def _sources(names: Iterable[str]) -> list[str]:
    sources = published.sources()
    lines = []
    for name in names:
        source = sources[name]
        note = f" {escaped(source.note)}" if source.note else ""
        lines.append(
            f"- `{name}`: {escaped(source.paper)}, {escaped(source.where)}; split {source.split}, "
            f"weights selected by {source.selected_by}.{note}"
        )
    return lines


def _marks() -> list[str]:
    lines = [f"- `{mark}`: {text}." for mark, text in MEANINGS.items()]
    lines.append(f"- `[...]`: {escaped(CHANGED)}.")
    lines.append(
        "- no published figure: the paper reports none, its split or its files may differ, the row is marked, or a "
        "setting was changed."
    )
    return lines


def _commands(results: Path) -> list[str]:
    lines = [printable(line.strip()) for line in store.read_commands(results) if line.strip()]
    if not lines:
        return []
    fence = max(["```", *(f"`{run}" for line in lines for run in re.findall("`+", line))], key=len)
    return ["## Commands", "These commands wrote the records:", "\n".join([f"{fence}sh", *lines, fence])]


def _provenance(records: Sequence[Record]) -> str:
    if not records:
        return "No job is ok yet."
    origins = "\n".join(f"- {name}: {escaped(text)}" for name, text in provenance.origins(records))
    return f"{grid(provenance.machines(records), markdown=True)}\n\n{origins}"


def _files(results: Path) -> list[str]:
    """Return a line for each file of the folder."""
    descriptions = {
        "records/": "one JSON line for each job, with its settings, numbers and environment; all else comes from it",
        "predictions/": "class probabilities and true labels of each test case, by the key of the record",
        "weights/": "the trained networks, by the key of the record",
        "tables/accuracy.csv": "a row for each dataset x model x protocol x split",
        "tables/accuracy_wide.csv": "the same means, with a column for each model (protocol)",
        "tables/verdicts.csv": "ours against the published figures for each dataset, with intervals and p",
        "tables/summary.csv": "the summary above",
        "tables/status.csv": "what failed or was skipped, and why",
        "report.html": "these results as one page with charts, by `tsfcn report`",
        "commands.txt": "the commands that wrote the records",
    }
    # The tables are written together with this file, so they may not exist yet.
    exists = {name: name.startswith("tables/") or (results / name).exists() for name in descriptions}
    return [f"- `{name}`: {text}." for name, text in descriptions.items() if exists[name]]
