"""The README.md of a results folder, as Markdown."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tsfcn.analysis import segmentation
from tsfcn.analysis.marks import CHANGED, MEANINGS
from tsfcn.analysis.tables import DATASET
from tsfcn.common.escapes import printable
from tsfcn.common.text import counted, escaped, grid
from tsfcn.data import published
from tsfcn.jobs import store
from tsfcn.jobs.record import Record
from tsfcn.report import provenance, render
from tsfcn.report import segmentation as segmentation_text
from tsfcn.report.render import fraction, interval, signed

TITLE = "# Results\n\nWritten by `tsfcn table`"  # the beginning of every README.md that this module writes
_SUMMARY_NOTE = """\
Mean accuracy and MPCE (mean over datasets of error / number of classes) are over each row's own datasets: compare two
rows only if their datasets are the same. Ranks (1 is best, ties get their average) and wins (ties count for each) are
over the datasets that the ranked rows of a split have in common; rows that share few of them stand aside. Time is
training and testing."""
_ACCURACY_NOTE = """\
Accuracy is that of the weights that the protocol selects, by default those with the least training loss. Unless a row
is marked, the test set is used only once, after training. `tables/accuracy.csv` also contains the least and the
greatest accuracy over seeds, and the accuracy of the last weights."""
_PUBLISHED_NOTE = """\
All columns are over the datasets for which the source has a figure on the same split. The verdict is on the typical
difference, the shift at which signed ranks balance; the mean has no verdict, because a few datasets decide it. Datasets
that differ by themselves are named below. A figure with a note (\\*) counts as it was published. The rules and error
rates of the verdicts are in `docs/verdict.md` of tsfcn, intervals and p of each dataset in `tables/verdicts.csv`."""


def readme(results: Path, records: Sequence[Record], tables: Mapping[str, pd.DataFrame]) -> str:
    """Return the README.md of a results folder.

    Args:
        results: the folder.
        records: its ok records.
        tables: its tables by name: accuracy, verdicts, summary and status, and those of dense labelling if any.
    """
    parts = [
        f"{TITLE}; do not edit. Every number comes from the records in this folder.",
        provenance.outline(records, tables["status"]["status"], tables["accuracy"]["dataset"].nunique()),
        *(_segmentation(tables) if "segmentation" in tables else _classification(records, tables)),
        "## Marks",
        "\n".join(_marks()),
        "## Failed and skipped",
        render.status(tables["status"], markdown=True),
        *_commands(results),
        "## Provenance",
        _provenance(records),
        "## Files",
        "\n".join(_files(results, tables)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


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


def _classification(records: Sequence[Record], tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return the sections on the accuracy of classifiers."""
    sections = _published(tables["verdicts"]), _summary(records, tables["summary"])
    return [*sections[0], *sections[1], *_accuracy(records, tables["accuracy"])]


def _segmentation(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return the section on dense labelling."""
    rows = tables["segmentation"]
    return [
        "## Dense labelling",
        segmentation_text.summary(segmentation.summary(rows), markdown=True),
        segmentation_text.order_sentence(rows),
        segmentation_text.comparisons(tables["segmentation_comparisons"], markdown=True),
        segmentation_text.table(rows, markdown=True),
    ]


def _published(verdicts: pd.DataFrame) -> list[str]:
    """Return the section on published figures: table, datasets by verdict, sources; [] without figures."""
    if verdicts.empty:
        return []
    groups = [part.to_dict("records") for _, part in verdicts.groupby(["model", "protocol", "sources"], sort=False)]
    lines = [
        f"- {escaped(part[0]['model'])} ({escaped(part[0]['protocol'])}) beside {part[0]['sources']}: "
        f"{escaped(_by_verdict(part[:-2]))}."
        for part in groups
    ]
    sources = _sources(sorted(set(verdicts["published_source"][verdicts["of"] == DATASET])))
    return [
        "## Compared with the papers",
        _published_table(groups),
        _PUBLISHED_NOTE,
        "\n".join(lines),
        "\n".join(sources),
    ]


def _published_table(groups: Sequence[Sequence[Mapping[Any, Any]]]) -> str:
    """Return the table of typical and mean differences.

    groups: for each model, protocol and set of sources the verdicts on its datasets, then those over all of them.
    """
    datasets = [group[:-2] for group in groups]
    typical, means = [group[-2] for group in groups], [group[-1] for group in groups]
    largest = [max(rows, key=lambda row: abs(row["difference"])) for rows in datasets]
    return grid(
        [
            ("model", "<", [row["model"] for row in typical]),
            ("protocol", "<", [row["protocol"] for row in typical]),
            ("source", "<", [row["sources"] for row in typical]),
            ("datasets", ">", [str(len(rows)) for rows in datasets]),
            ("typical difference", ">", [signed(row["difference"]) for row in typical]),
            ("90 % interval", ">", [interval(row["low"], row["high"]) for row in typical]),
            ("verdict", "<", [row["verdict"] for row in typical]),
            ("our mean", ">", [fraction(row["mean"]) for row in means]),
            ("published mean", ">", [fraction(row["published"]) for row in means]),
            ("mean difference", ">", [signed(row["difference"]) for row in means]),
            ("90 % interval of the mean", ">", [interval(row["low"], row["high"]) for row in means]),
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


def _files(results: Path, tables: Iterable[str]) -> list[str]:
    """Return a line for each file of the folder. tables: the names of its tables."""
    descriptions = {
        "records/": "one JSON line for each job, with its settings, numbers and environment; all else comes from it",
        "predictions/": "class probabilities and true labels of each test case, by the key of the record",
        "weights/": "the trained networks, by the key of the record",
        "stages/": "the weights that a network of dense labelling starts from, and its own",
        "streams/": "test streams with their true and predicted labels, by `tsfcn streams`",
        "tables/accuracy.csv": "a row for each dataset x model x protocol x split",
        "tables/accuracy_wide.csv": "the same means, with a column for each model (protocol)",
        "tables/verdicts.csv": "ours against the published figures for each dataset, with intervals and p",
        "tables/summary.csv": "a row for each model x protocol over all its datasets",
        "tables/segmentation.csv": "the metrics of dense labelling, a row for each dataset x model x protocol x split",
        "tables/segmentation_comparisons.csv": "paired differences of these rows over datasets, with intervals",
        "tables/status.csv": "what failed or was skipped, and why",
        "report.html": "these results as one page with charts, by `tsfcn report`",
        "commands.txt": "the commands that wrote the records",
    }
    # The tables are written together with this file, so they may not exist yet.
    dense = [name for name in descriptions if "segmentation" in name and "segmentation" not in tables]
    exists = {name: name.startswith("tables/") or (results / name).exists() for name in descriptions}
    exists |= dict.fromkeys(dense, False)
    return [f"- `{name}`: {text}." for name, text in descriptions.items() if exists[name]]
