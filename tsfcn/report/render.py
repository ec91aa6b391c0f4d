"""Tables as text for a terminal, and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from tsfcn.analysis.marks import CHANGED, MEANINGS
from tsfcn.analysis.tables import with_resample_means
from tsfcn.analysis.verdict import DIFFERENT, OUTSIDE
from tsfcn.common.escapes import printable
from tsfcn.common.text import counted, duration, escaped, grid, with_placeholder

NOTHING = "No job is ok yet: nothing to show."
PROCESSOR_TIME = "processor time on a CPU where it was recorded, else wall time"


def fraction(value: Any) -> str:
    """Return a fraction with four decimals, '' for a missing one."""
    return "" if pd.isna(value) else f"{value:.4f}"


def signed(value: Any) -> str:
    """Return a difference of fractions with its sign and four decimals, '' for a missing one."""
    return "" if pd.isna(value) else f"{round(value, 4) + 0.0:+.4f}"  # + 0.0: no '-0.0000'


def _with_std(mean: Any, std: Any) -> str:
    return fraction(mean) if pd.isna(std) else f"{mean:.4f} ± {std:.4f}"


def _published(row: Mapping[Any, Any]) -> str:
    return _with_std(row["published"], row["published_std"]) + (" *" if row["published_note"] else "")


def whole(value: Any) -> str:
    """Return a whole number as text, '' for a missing one."""
    return "" if pd.isna(value) else str(int(value))


def split_texts(splits: Iterable[str]) -> list[str]:
    """Return the split of each row, all of them '' if every one is the official split."""
    splits = list(splits)
    return splits if any(split != "official" for split in splits) else [""] * len(splits)


def table(
    frame: pd.DataFrame,
    *,
    metric: str = "accuracy",
    markdown: bool = False,
    processor_time: bool = False,
) -> str:
    """Return an accuracy or metric table as aligned text, or as Markdown, with a legend of the signs that occur in it.

    Values are fractions with four decimals, followed by '±' and the standard deviation over seeds if there are several,
    the published figure and the difference. Empty columns are omitted.

    Args:
        frame: as `tsfcn.analysis.tables.accuracy` and `metric` return it.
        metric: the title of its column.
        markdown: whether to return Markdown.
        processor_time: whether the training time of any record is processor time (`Record.has_processor_seconds`).
    """
    if frame.empty:
        return NOTHING
    rows = with_resample_means(frame).to_dict("records")
    grid_text = grid(
        [
            ("dataset", "<", [row["dataset"] for row in rows]),
            ("model", "<", [row["model"] for row in rows]),
            ("protocol", "<", [row["protocol"] for row in rows]),
            ("split", "<", split_texts(row["split"] for row in rows)),
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


def gains(frame: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Return the gains of transfer and refinement, and their means over datasets, with a legend.

    Args:
        frame: as `tsfcn.analysis.gains.rows` returns it.
        summary: as `tsfcn.analysis.gains.summary` returns it.
    """

    def interval(table: pd.DataFrame) -> list[str]:
        ends = zip(table["low"], table["high"], strict=True)
        return ["" if pd.isna(low) else f"{signed(low)} to {signed(high)}" for low, high in ends]

    columns = [(name, "<", list(frame[name])) for name in ("dataset", "model", "protocol")]
    columns += [("split", "<", split_texts(frame["split"])), ("seeds", ">", list(map(whole, frame["n_seeds"])))]
    columns += [(name, ">", list(map(fraction, frame[name]))) for name in ("plain", "accuracy")]
    columns += [("gain", ">", list(map(signed, frame["gain"]))), ("95 % interval", ">", interval(frame))]
    means = [(name, "<", list(summary[name])) for name in ("model", "protocol")]
    counts = (
        ("rows", "n_rows"),
        ("datasets", "n_datasets"),
        ("better", "better"),
        ("equal", "equal"),
        ("worse", "worse"),
    )
    means += [(title, ">", list(map(whole, summary[name]))) for title, name in counts]
    means += [("mean gain", ">", list(map(signed, summary["gain"]))), ("95 % interval", ">", interval(summary))]
    lines = [
        "plain: the same seeds from random weights, without refinement. gain: mean difference of pairs of runs;",
        "95 % interval: Student's, above over seeds, below over datasets (five or more).",
    ]
    return "\n".join([grid(columns), "", grid(means), "", *lines])


def calibration(frame: pd.DataFrame) -> str:
    """Return the calibration of ensembles beside that of their runs, with a legend, '' for an empty table.

    frame: as `tsfcn.analysis.calibration.rows` returns it.
    """
    if frame.empty:
        return ""
    columns = [("dataset", "<", list(frame["dataset"])), ("model", "<", list(frame["model"]))]
    columns += [("split", "<", split_texts(frame["split"])), ("seed", ">", list(map(whole, frame["seed"])))]
    for name in ("accuracy", "nll", "ece"):
        columns.append((f"{name} of runs", ">", list(map(fraction, frame[f"runs_{name}"]))))
        columns.append((name, ">", list(map(fraction, frame[name]))))
    without = int(frame["temperature"].isna().sum())
    if without < len(frame):
        temperatures = ["" if pd.isna(value) else f"{value:.2f}" for value in frame["temperature"]]
        columns += [("held-out", ">", list(map(whole, frame["n_held_out"]))), ("temperature", ">", temperatures)]
        columns += [(f"tempered {n}", ">", list(map(fraction, frame[f"tempered_{n}"]))) for n in ("nll", "ece")]
    lines = ["of runs: the mean over the runs that are averaged."]
    lines.append(
        "nll: mean negative log-likelihood in nats; ece: expected calibration error in 15 bins of equal width."
    )
    if without < len(frame):
        lines.append("temperature: fitted on the training cases that the runs held out, for the tempered columns.")
    if without:
        which = "no ensemble" if without == len(frame) else f"{without} of {len(frame)} ensembles"
        verb = "has" if without == len(frame) else "have no"
        lines.append(
            f"{which} {verb} a temperature, since runs held out no training cases: train with protocol.validation=0.2"
        )
    return "\n".join(["", grid(columns, markdown=False), "", *lines])


def _legend(
    rows: Sequence[Mapping[Any, Any]],
    metric: str,
    *,
    markdown: bool,
    processor_time: bool,
) -> list[str]:
    """Return a line for each sign that occurs in a table.

    Args:
        rows: of the table.
        metric: what it shows.
        markdown: whether to return list items of Markdown.
        processor_time: as for `table`.
    """
    lines = []
    if metric == "nll":
        lines.append("nll: mean negative log-likelihood in nats; lower is better.")
    if metric == "ece":
        lines.append("ece: expected calibration error, the mean gap between confidence and accuracy; lower is better.")
    if any(row["n_seeds"] > 1 for row in rows):
        lines.append("±: standard deviation over seeds (ddof 1).")
    if any(row["split"].endswith("resamples") for row in rows):
        lines.append("n resamples: mean and standard deviation over resamples 0 (the official split) to n - 1.")
    if not all(pd.isna(row["selected"]) for row in rows):
        lines.append("held-out: accuracy of the weights that held-out training cases select.")
    lines += _published_legend(rows)
    if processor_time:
        lines.append(f"training: {PROCESSOR_TIME}.")
    lines += _note_legend(rows)
    lines += [f"{mark}: {text}." for mark, text in MEANINGS.items() if any(mark in row["marks"] for row in rows)]
    if any("[" in row["model"] + row["protocol"] for row in rows):
        lines.append(f"[...]: {CHANGED}.")
    return [f"- {escaped(line)}" for line in lines] if markdown else lines


def _published_legend(rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Return the lines on published figures and the difference, [] if there are no figures."""
    n_runs = {row["published_source"]: row["published_runs"] for row in rows if row["published_source"]}
    if not n_runs:
        return []
    runs = {source: "single run" if n == 1 else f"mean of {n} runs" for source, n in n_runs.items()}
    sources = ", ".join(f"{source} ({runs[source]})" for source in sorted(runs))
    return [f"published: the paper's accuracy on the same split, {sources}.", "difference: ours minus published."]


def _note_legend(rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Return a line for each note on published figures, with its datasets."""
    notes = sorted(datasets_by_note(rows).items())
    return [f"*: published figure of {', '.join(names)} ({note})." for note, names in notes]


def datasets_by_note(rows: Iterable[Mapping[Any, Any]]) -> dict[str, list[str]]:
    """Return the datasets of each note on published figures in rows of an accuracy table."""
    datasets: dict[str, list[str]] = {}
    for row in rows:
        if row["published_note"] and row["dataset"] not in datasets.setdefault(row["published_note"], []):
            datasets[row["published_note"]].append(row["dataset"])
    return datasets


def summary(frame: pd.DataFrame, *, markdown: bool = False) -> str:
    """Return a table of `tsfcn.analysis.tables.summary` as aligned text or Markdown."""
    if frame.empty:
        return NOTHING
    rows = frame.to_dict("records")
    same = all(row["n_common"] == row["n_datasets"] for row in rows)  # then the columns on common datasets are omitted
    return grid(
        [
            ("model", "<", [row["model"] for row in rows]),
            ("protocol", "<", [row["protocol"] for row in rows]),
            ("split", "<", split_texts(row["split"] for row in rows)),
            ("datasets", ">", [str(row["n_datasets"]) for row in rows]),
            ("jobs", ">", [str(row["n_jobs"]) for row in rows]),
            ("mean accuracy", ">", [fraction(row["mean_accuracy"]) for row in rows]),
            ("MPCE", ">", [fraction(row["mpce"]) for row in rows]),
            ("common", ">", ["" if same else str(row["n_common"]) for row in rows]),
            ("accuracy on common", ">", ["" if same else fraction(row["mean_accuracy_common"]) for row in rows]),
            ("mean rank", ">", [fraction(row["mean_rank"]) for row in rows]),
            ("wins", ">", [whole(row["wins"]) for row in rows]),
            ("time", ">", [duration(row["total_seconds"]) for row in rows]),
            ("marks", "<", [row["marks"] for row in rows]),
        ],
        markdown=markdown,
    )


def interval(low: Any, high: Any) -> str:
    """Return an interval of differences of fractions, '' for a missing one."""
    return "" if pd.isna(low) else f"{signed(low)} to {signed(high)}"


def p_value(value: Any) -> str:
    """Return a p with three decimals, or two digits if it is smaller, '' for a missing one."""
    if pd.isna(value):
        return ""
    return f"{value:.3f}" if value >= 0.001 or value == 0 else f"{value:.1e}"


def verdicts(frame: pd.DataFrame, *, markdown: bool = False) -> str:
    """Return verdicts (`tsfcn.analysis.tables.verdicts`) as aligned text or Markdown.

    For each model, protocol and set of sources the table of the datasets is followed by the verdict on their typical
    difference, their mean difference, and how many datasets have each verdict.
    """
    if frame.empty:
        return "No row has a published figure: there is nothing to judge."
    parts, escape = [], escaped if markdown else printable
    for (model, protocol, sources), part in frame.groupby(["model", "protocol", "sources"], sort=False):
        *rows, typical, mean = part.to_dict("records")
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
        lines = [_typical_difference(typical, rows), _mean_difference(mean), _verdict_counts(rows)]
        parts += [
            f"{escape(str(model))} ({escape(str(protocol))}) beside {sources}",
            grid_text,
            "\n".join(f"- {escaped(line)}" for line in lines) if markdown else "\n".join(lines),
        ]
    return "\n\n".join(parts)


def _typical_difference(row: Mapping[Any, Any], datasets: Iterable[Mapping[Any, Any]]) -> str:
    """Return the line on the typical difference, which names the datasets that differ by themselves."""
    far = [each["dataset"] for each in datasets if each["word"] in (DIFFERENT, OUTSIDE)]
    exceptions = f"; these differ by themselves: {', '.join(far)}" if far else ""
    return f"Typical difference on {row['dataset']}: {_difference(row)}, {row['verdict']}{exceptions}."


def _mean_difference(row: Mapping[Any, Any]) -> str:
    """Return the line on the mean difference over datasets."""
    means = f"{fraction(row['mean'])}, published {fraction(row['published'])}"
    return f"Mean over {row['dataset']}: {means}, difference {_difference(row)}."


def _difference(row: Mapping[Any, Any]) -> str:
    within = "" if pd.isna(row["low"]) else f" (90 % {interval(row['low'], row['high'])})"
    return f"{signed(row['difference'])}{within}"


def _verdict_counts(rows: Sequence[Mapping[Any, Any]]) -> str:
    """Return how many datasets have each verdict."""
    counts = Counter(row["word"] for row in rows)
    words = ", ".join(f"{n} {word}" for word, n in counts.most_common())
    n_bh = sum(row["p_bh"] < 0.05 and abs(row["difference"]) > row["margin"] for row in rows)
    n_holm = counts["different"] + counts["outside"]
    controlled = f"; {n_bh} differ if false discoveries are controlled instead (Benjamini-Hochberg)"
    return f"{counted(len(rows), 'dataset')}: {words}{controlled if n_bh > n_holm else ''}."


def _alike(rows: Iterable[Mapping[Hashable, Any]]) -> list[dict[str, str]]:
    """Return one row of text for all failed or skipped jobs that share model, protocol, split and reason."""
    groups: dict[tuple[str, ...], list[Mapping[Hashable, Any]]] = {}
    for row in rows:
        reason = with_placeholder(str(row["reason"]), row["dataset"])
        key = (row["status"], row["model"], row["protocol"], row["split"], reason)
        groups.setdefault(key, []).append(row)
    result = []
    for (state, model, protocol, split, reason), members in groups.items():
        datasets = list(dict.fromkeys(str(row["dataset"]) for row in members))
        seeds = dict.fromkeys(whole(row["seed"]) for row in members)
        result.append(
            {
                "status": state,
                "dataset": ", ".join(datasets) if len(datasets) == 1 else f"{len(datasets)}: {', '.join(datasets)}",
                "model": model,
                "protocol": protocol,
                "split": split,
                "seed": ",".join(seeds),
                "reason": str(members[0]["reason"]) if len(datasets) == 1 else reason,
            }
        )
    return result


def status(frame: pd.DataFrame, *, markdown: bool = False) -> str:
    """Return the table of `status` as aligned text or Markdown, or one line if nothing failed.

    Jobs that share model, protocol, split and reason share a row, with NAME for the dataset in the reason.
    """
    if frame.empty:
        return "Nothing failed and nothing was skipped."
    rows = _alike(frame.to_dict("records"))
    return grid(
        [
            ("status", "<", [row["status"] for row in rows]),
            ("dataset", "<", [row["dataset"] for row in rows]),
            ("model", "<", [row["model"] for row in rows]),
            ("protocol", "<", [row["protocol"] for row in rows]),
            ("split", "<", split_texts(row["split"] for row in rows)),
            ("seed", ">", [row["seed"] for row in rows]),
            ("reason", "<", [row["reason"] for row in rows]),
        ],
        markdown=markdown,
    )
