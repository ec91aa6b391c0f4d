"""Tables become text: what a terminal shows, and the Markdown of results/README.md."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tsfcn.analysis.marks import CHANGED, MEANINGS
from tsfcn.common.text import duration, escaped, grid
from tsfcn.data import published
from tsfcn.jobs import store
from tsfcn.jobs.record import Record

TITLE = "# Results\n\nWritten by `tsfcn table`"  # how the page of a results folder begins
PROCESSOR_TIME = "processor time on a CPU where it was recorded, else wall time"


def fraction(value: Any) -> str:
    """Return a fraction with four digits, nothing for a missing one."""
    return "" if pd.isna(value) else f"{value:.4f}"


def signed(value: Any) -> str:
    """Return a difference of fractions with its sign and four digits, nothing for a missing one."""
    return "" if pd.isna(value) else f"{round(value, 4) + 0.0:+.4f}"  # + 0.0: no '-0.0000'


def _with_std(mean: Any, std: Any) -> str:
    return fraction(mean) if pd.isna(std) else f"{mean:.4f} ± {std:.4f}"


def _published(row: Mapping[Any, Any]) -> str:
    return _with_std(row["published"], row["published_std"]) + (" *" if row["published_note"] else "")


def _whole(value: Any) -> str:
    return "" if pd.isna(value) else str(int(value))


def _splits(splits: Iterable[str]) -> list[str]:
    """Return the split of each row, or nothing to show if all are the official one."""
    splits = list(splits)
    return splits if any(split != "official" for split in splits) else [""] * len(splits)


def table(
    frame: pd.DataFrame, *, metric: str = "accuracy", markdown: bool = False, processor_time: bool = False
) -> str:
    """Return an accuracy or metric table as aligned text, or as Markdown, with a legend of what occurs in it.

    Fractions with four digits, '±' and the standard deviation over seeds where there are several, the published figure
    and the difference beside them. Columns with nothing in them are left out.

    Args:
        frame: as `tsfcn.analysis.tables.accuracy` and `metric` return it.
        metric: the title of its column.
        markdown: Markdown instead of text.
        processor_time: whether the training time of any record is processor time (`Record.has_processor_seconds`).
    """
    if frame.empty:
        return "No job is ok yet: nothing to show."
    rows = frame.to_dict("records")
    grid_text = grid(
        [
            ("dataset", "<", [row["dataset"] for row in rows]),
            ("model", "<", [row["model"] for row in rows]),
            ("protocol", "<", [row["protocol"] for row in rows]),
            ("split", "<", _splits(row["split"] for row in rows)),
            ("seeds", ">", [str(row["n_seeds"]) for row in rows]),
            (metric, "<", [_with_std(row["mean"], row["std"]) for row in rows]),
            ("held-out", "<", [fraction(row["selected"]) for row in rows]),
            ("published", "<", [_published(row) for row in rows]),
            ("difference", ">", [signed(row["difference"]) for row in rows]),
            ("training", ">", [duration(row["train_seconds"]) for row in rows]),
            ("marks", "<", [row["marks"] for row in rows]),
        ],
        markdown=markdown,
    )
    return "\n".join([grid_text, "", *_legend(rows, metric, markdown=markdown, processor_time=processor_time)]).rstrip()


def _legend(rows: Sequence[Mapping[Any, Any]], metric: str, *, markdown: bool, processor_time: bool) -> list[str]:
    """Return a line for each sign that occurs in the rows of a table."""
    lines = []
    if metric == "nll":
        lines.append("nll: mean negative log-likelihood in nats; lower is better.")
    if any(row["n_seeds"] > 1 for row in rows):
        lines.append("±: standard deviation over seeds (ddof 1).")
    if not all(pd.isna(row["selected"]) for row in rows):
        lines.append("held-out: accuracy of the weights that held-out training cases select.")
    sources = {row["published_source"]: row["published_runs"] for row in rows if row["published_source"]}
    if sources:
        runs = {source: "single run" if n == 1 else f"mean of {n} runs" for source, n in sources.items()}
        said = ", ".join(f"{source} ({runs[source]})" for source in sorted(sources))
        lines.append(f"published: the paper's accuracy on the same split, {said}.")
        lines.append("difference: ours minus theirs.")
    if processor_time:
        lines.append(f"training: {PROCESSOR_TIME}.")
    notes: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["published_note"] and row["dataset"] not in notes[row["published_note"]]:
            notes[row["published_note"]].append(row["dataset"])
    lines += [f"*: published figure of {', '.join(notes[note])} ({note})." for note in sorted(notes)]
    lines += [f"{mark}: {text}." for mark, text in MEANINGS.items() if any(mark in row["marks"] for row in rows)]
    if any("[" in row["model"] + row["protocol"] for row in rows):
        lines.append(f"[...]: {CHANGED}.")
    return [f"- {escaped(line)}" for line in lines] if markdown else lines


def summary(frame: pd.DataFrame, *, markdown: bool = False) -> str:
    """Return the table of `summary` as aligned text or Markdown."""
    if frame.empty:
        return "No job is ok yet: nothing to show."
    rows = frame.to_dict("records")
    alike = all(row["n_common"] == row["n_datasets"] for row in rows)  # then the common columns say nothing new
    return grid(
        [
            ("model", "<", [row["model"] for row in rows]),
            ("protocol", "<", [row["protocol"] for row in rows]),
            ("split", "<", _splits(row["split"] for row in rows)),
            ("datasets", ">", [str(row["n_datasets"]) for row in rows]),
            ("jobs", ">", [str(row["n_jobs"]) for row in rows]),
            ("mean accuracy", ">", [fraction(row["mean_accuracy"]) for row in rows]),
            ("MPCE", ">", [fraction(row["mpce"]) for row in rows]),
            ("common", ">", ["" if alike else str(row["n_common"]) for row in rows]),
            ("accuracy on common", ">", ["" if alike else fraction(row["mean_accuracy_common"]) for row in rows]),
            ("mean rank", ">", [fraction(row["mean_rank"]) for row in rows]),
            ("wins", ">", [_whole(row["wins"]) for row in rows]),
            ("time", ">", [duration(row["total_seconds"]) for row in rows]),
            ("marks", "<", [row["marks"] for row in rows]),
        ],
        markdown=markdown,
    )


def interval(low: Any, high: Any) -> str:
    """Return an interval of differences of fractions, nothing for a missing one."""
    return "" if pd.isna(low) else f"{signed(low)} to {signed(high)}"


def p_value(value: Any) -> str:
    """Return a p with three digits, nothing for a missing one."""
    if pd.isna(value):
        return ""
    return f"{value:.3f}" if value >= 0.001 or value == 0 else f"{value:.1e}"


def verdicts(frame: pd.DataFrame, *, markdown: bool = False) -> str:
    """Return `verdicts` as aligned text or Markdown: for each model and protocol its datasets, then their mean."""
    if frame.empty:
        return "No published figure stands beside any row: there is nothing to judge."
    parts = []
    for (model, protocol), part in frame.groupby(["model", "protocol"], sort=True):
        *rows, total = part.to_dict("records")
        grid_text = grid(
            [
                ("dataset", "<", [row["dataset"] for row in rows]),
                ("seeds", ">", [str(row["n_seeds"]) for row in rows]),
                ("accuracy", "<", [_with_std(row["mean"], row["std"]) for row in rows]),
                ("published", "<", [_with_std(row["published"], row["published_std"]) for row in rows]),
                ("difference", ">", [signed(row["difference"]) for row in rows]),
                ("90 % interval", ">", [interval(row["low"], row["high"]) for row in rows]),
                ("p, Holm", ">", [p_value(row["p_holm"]) for row in rows]),
                ("verdict", "<", [row["verdict"] for row in rows]),
            ],
            markdown=markdown,
        )
        lines = [_mean_verdict(total), _counted(rows)]
        parts += [
            f"{model} ({protocol}) beside {total['published_source']}",
            grid_text,
            "\n".join(f"- {escaped(line)}" for line in lines) if markdown else "\n".join(lines),
        ]
    return "\n\n".join(parts)


def _mean_verdict(total: Mapping[Any, Any]) -> str:
    """Return the line on the mean over datasets."""
    said = f"{total['dataset'][0].upper()}{total['dataset'][1:]}: {fraction(total['mean'])}, "
    said += f"published {fraction(total['published'])}, difference {signed(total['difference'])}"
    known = not pd.isna(total["low"])
    return said + (f" (90 % {interval(total['low'], total['high'])})" if known else "") + f": {total['verdict']}."


def _counted(rows: Sequence[Mapping[Any, Any]]) -> str:
    """Return how many datasets have each verdict."""
    counts = Counter(row["word"] for row in rows)
    said = ", ".join(f"{n} {word}" for word, n in counts.most_common())
    n_bh = sum(row["p_bh"] < 0.05 and abs(row["difference"]) > row["margin"] for row in rows)
    n_holm = counts["different"] + counts["outside"]
    return f"{_count(len(rows), 'dataset')}: {said}" + (
        f"; {n_bh} differ where false discoveries are controlled instead (Benjamini-Hochberg)."
        if n_bh > n_holm
        else "."
    )


def status(frame: pd.DataFrame, *, markdown: bool = False) -> str:
    """Return the table of `status` as aligned text or Markdown; a line that says so if nothing failed."""
    if frame.empty:
        return "Nothing failed and nothing was skipped."
    rows = frame.to_dict("records")
    return grid(
        [
            ("status", "<", [row["status"] for row in rows]),
            ("dataset", "<", [row["dataset"] for row in rows]),
            ("model", "<", [row["model"] for row in rows]),
            ("protocol", "<", [row["protocol"] for row in rows]),
            ("split", "<", _splits(row["split"] for row in rows)),
            ("seed", ">", [_whole(row["seed"]) for row in rows]),
            ("reason", "<", [row["reason"] for row in rows]),
        ],
        markdown=markdown,
    )


# ---------------------------------------------------------------------------------------------------------------------
# results/README.md


def readme(results: Path, done: Sequence[Record], tables: Mapping[str, pd.DataFrame]) -> str:
    """Return the page of a results folder from its `ok` records, in the order of the tables, and its tables by name."""
    rows, summed, failures = tables["accuracy"], tables["summary"], tables["status"]
    counts = Counter(failures["status"])
    given = rows[~rows["split"].str.contains("resample")]
    shown = rows if given.empty else given
    timed = any(record.has_processor_seconds() for record in done)

    jobs = f"{_count(len(done), 'job')} ok, {counts['failed']} failed, {counts['skipped']} skipped"
    parts = [
        f"{TITLE}; do not edit. Every number comes from the records in this folder.",
        f"{jobs}; {_count(rows['dataset'].nunique(), 'dataset')}; {_hours(done)} of training.",
        "## Summary",
        summary(summed, markdown=True),
        "" if summed.empty else _SUMMARY_WORDS + (f"\nIt is {PROCESSOR_TIME}." if timed else ""),
        "## Accuracy",
        table(shown, markdown=True, processor_time=timed),
    ]
    if len(shown) < len(rows):
        parts.append(f"{_count(len(rows) - len(shown), 'row')} of resampled splits: see `tables/accuracy.csv`.")
    parts += ["" if rows.empty else _ACCURACY_WORDS, *_papers(rows, tables["verdicts"])]
    marks = [f"- `{mark}`: {text}." for mark, text in MEANINGS.items()]
    marks.append(f"- `[...]`: {escaped(CHANGED)}.")
    marks.append(
        "- no published figure beside ours: the paper gives none, its split or its file may be another one, the row is "
        "marked, or a setting was changed."
    )
    parts += [
        "## Marks",
        "\n".join(marks),
        "## Failed and skipped",
        status(failures, markdown=True),
        *_commands(results),
        "## Provenance",
        _provenance(done),
        "## Files",
        "\n".join(_files(results)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_SUMMARY_WORDS = """\
Mean accuracy and MPCE (mean over datasets of error / number of classes) are over each row's own datasets: compare two
rows by them only where the datasets are the same. Ranks (1 is best, ties get their average) and wins (ties count for
each) are over the datasets that all rows of a split have in common. Time is training and testing."""
_ACCURACY_WORDS = """\
Accuracy is that of the weights that the protocol selects, by default those with the least training loss; unless a row
is marked, the test set is looked at once, after training. `tables/accuracy.csv` also has the least and the greatest
accuracy over seeds, and that of the last weights."""
_PAPERS_WORDS = """\
Over the datasets where a published figure stands beside ours: only those where the paper had the same split. A figure
with a note (\\*) counts as it was published. The verdicts' rules and error rates: `docs/verdict.md` of tsfcn; the
intervals and p of each dataset: `tables/verdicts.csv`."""


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _hours(records: Iterable[Record]) -> str:
    return f"{math.fsum(record.seconds('train') or 0.0 for record in records) / 3600:.2f} hours"


def _papers(rows: pd.DataFrame, judged: pd.DataFrame) -> list[str]:
    """Return the README's section on ours beside the papers' figures; nothing where no figure stands beside."""
    if judged.empty:
        return []
    grouped = judged.groupby(["model", "protocol"], sort=True)
    parts = {(str(model), str(protocol)): part.to_dict("records") for (model, protocol), part in grouped}
    totals = {names: rows.pop() for names, rows in parts.items()}
    largest = {names: max(rows, key=lambda row: abs(row["difference"])) for names, rows in parts.items()}
    grid_text = grid(
        [
            ("model", "<", [model for model, _ in parts]),
            ("protocol", "<", [protocol for _, protocol in parts]),
            ("source", "<", [totals[names]["published_source"] for names in parts]),
            ("datasets", ">", [str(len(parts[names])) for names in parts]),
            ("mean, ours", ">", [fraction(totals[names]["mean"]) for names in parts]),
            ("mean, theirs", ">", [fraction(totals[names]["published"]) for names in parts]),
            ("mean difference", ">", [signed(totals[names]["difference"]) for names in parts]),
            ("90 % interval", ">", [interval(totals[names]["low"], totals[names]["high"]) for names in parts]),
            ("verdict", "<", [totals[names]["verdict"] for names in parts]),
            (
                "largest difference",
                "<",
                [f"{signed(largest[n]['difference'])} ({largest[n]['dataset']})" for n in parts],
            ),
        ],
        markdown=True,
    )
    lines = []
    for names, judgements in parts.items():
        words: dict[str, list[str]] = defaultdict(list)
        for row in judgements:
            words[row["word"]].append(row["dataset"])
        said = "; ".join(f"{len(d)} {word} ({', '.join(d)})" for word, d in sorted(words.items()))
        lines.append(f"- {escaped(names[0])} ({escaped(names[1])}): {said}.")
    sources = _sources(sorted(set(rows["published_source"]) - {""}))
    return ["## Beside the papers", grid_text, _PAPERS_WORDS, "\n".join(lines), "\n".join(sources)]


def _sources(names: Iterable[str]) -> list[str]:
    known = published.sources()
    lines = []
    for name in names:
        source = known[name]
        note = f" {escaped(source.note)}" if source.note else ""
        lines.append(
            f"- `{name}`: {escaped(source.paper)}, {escaped(source.where)}; split {source.split}, "
            f"weights selected by {source.selected_by}.{note}"
        )
    return lines


def _commands(results: Path) -> list[str]:
    lines = [line.strip() for line in store.read_commands(results) if line.strip()]
    if not lines:
        return []
    return ["## Commands", "The records were made by:", "\n".join(["```sh", *lines, "```"])]


def _provenance(done: Sequence[Record]) -> str:
    """Say where, when and with what the ok records were made; the most telling value of each kind comes first."""
    if not done:
        return "No job is ok yet."
    grid_text = grid(machines(done), markdown=True)
    return grid_text + "\n\n" + "\n".join(f"- {what}: {escaped(text)}" for what, text in origins(done))


def machines(done: Sequence[Record]) -> list[tuple[str, str, list[str]]]:
    """Return the columns of a table of the hardware behind ok records: title, side and texts of each."""
    found: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in done:
        hardware, device = (str(getattr(record, field) or "not recorded") for field in ("hardware", "device"))
        found[hardware, device].append(record)
    return [
        ("hardware", "<", [hardware for hardware, _ in sorted(found)]),
        ("device", "<", [device for _, device in sorted(found)]),
        ("jobs", ">", [str(len(found[machine])) for machine in sorted(found)]),
        ("training", ">", [_hours(found[machine]) for machine in sorted(found)]),
    ]


def origins(done: Sequence[Record]) -> list[tuple[str, str]]:
    """Return (what, its values) of where ok records come from: versions, commits, archive, days, policies."""

    def tally(values: Iterable[object]) -> str:
        counts = Counter("not recorded" if value in (None, "") else str(value) for value in values)
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{text} ({_count(n, 'job')})" for text, n in ordered)

    versions: dict[str, set[str]] = defaultdict(set)
    for record in done:
        for package, version in record.versions.items():
            versions[package].add(str(version))
    finished = sorted(record.finished[:10] for record in done if record.finished)
    days = " to ".join(dict.fromkeys([finished[0], finished[-1]])) if finished else "not recorded"
    packages = ", ".join(f"{package} {' and '.join(sorted(found))}" for package, found in sorted(versions.items()))
    passports = [record.passport for record in done]
    return [
        ("versions", packages or "not recorded"),
        ("commits of tsfcn", tally(record.commit for record in done)),
        ("numeric precision", tally(record.precision for record in done)),
        ("meaning of the training code", tally(record.meaning for record in done)),
        ("archive", tally(passport.get("archive") for passport in passports)),
        ("finished", days),
        *_policies(done),
    ]


def _policies(done: Sequence[Record]) -> list[tuple[str, str]]:
    """Return a line for each data policy that changed a dataset: its name and the largest count of any of its jobs."""
    lines = []
    for field, what in (
        ("n_filled", "missing values filled"),
        ("n_padded", "cases padded to a common length"),
        ("n_cut", "cases that lost their end"),
        ("n_masked", "cases whose end is masked"),
    ):
        counts: dict[str, int] = {}
        for record in done:
            counts[record.dataset] = max(counts.get(record.dataset, 0), getattr(record, field) or 0)
        touched = ", ".join(f"{dataset} {n}" for dataset, n in sorted(counts.items()) if n > 0)
        if touched:
            lines.append((what, touched))
    return lines


def _files(results: Path) -> list[str]:
    lines = {
        "records/": "one JSON line a job, with its settings, numbers and environment; everything else comes from it",
        "predictions/": "class probabilities and true labels of each test case, by the record's key",
        "weights/": "the trained networks, by the record's key",
        "tables/accuracy.csv": "a row for each dataset x model x protocol x split",
        "tables/accuracy_wide.csv": "the same means, a column for each model (protocol)",
        "tables/verdicts.csv": "ours against the published figures, dataset by dataset, with intervals and p",
        "tables/summary.csv": "the summary above",
        "tables/status.csv": "what failed or was skipped, and why",
        "report.html": "these results as one page with charts, by `tsfcn report`",
        "commands.txt": "the commands that made the records",
    }
    made_here = "tables/"  # these are there by the time anybody reads this
    return [f"- `{n}`: {what}." for n, what in lines.items() if n.startswith(made_here) or (results / n).exists()]
