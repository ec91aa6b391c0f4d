"""Tables of dense labelling as text and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from tsfcn.analysis.segmentation import METRICS, ORDER, ordered, row_name
from tsfcn.common.text import counted, duration, grid
from tsfcn.report.render import PROCESSOR_TIME, fraction, interval, signed, split_texts

TITLES = {
    "accuracy": "accuracy",
    "mean_accuracy": "mean acc.",
    "mean_iu": "mean IU",
    "frequency_weighted_iu": "f.w. IU",
}
LEGEND = f"""\
Metrics of Long et al. 2015, section 5, over the labelled timepoints of the test streams; mean over seeds. Training
(with the stages before) and testing: of one seed, {PROCESSOR_TIME}."""
SUMMARY_LEGEND = "Means over the datasets of each row, which differ between rows if their numbers do."
COMPARISON_LEGEND = """\
Paired over datasets, each the mean over the seeds that both rows have; the interval is Student's, of 95 %, over
datasets, from five of them on. `open`: zero is in it."""
PAPER_LEGEND = "Paper: the difference on images (Long et al. 2015, table 2)."


def table(frame: pd.DataFrame, *, markdown: bool = False) -> str:
    """Return the table of `analysis.segmentation.table`."""
    metrics = [
        (TITLES[name], ">", [_with_std(*pair) for pair in zip(frame[name], frame[f"{name}_std"], strict=True)])
        for name in METRICS
    ]
    columns = [
        ("dataset", "<", list(frame["dataset"])),
        ("model", "<", list(frame["model"])),
        ("protocol", "<", list(frame["protocol"])),
        ("split", "<", split_texts(frame["split"])),
        ("seeds", ">", [str(n) for n in frame["n_seeds"]]),
        *metrics,
        ("median segment", ">", [f"{value:.0f}" for value in frame["median_segment"]]),
        ("training", ">", [duration(value) for value in frame["train_seconds"]]),
        ("testing", ">", [f"{value:.2f} s" for value in frame["test_seconds"]]),
    ]
    return f"{grid(columns, markdown=markdown)}\n\n{LEGEND}"


def _with_std(mean: Any, std: Any) -> str:
    return fraction(mean) if pd.isna(std) else f"{mean:.4f} ± {std:.4f}"


def summary(frame: pd.DataFrame, *, markdown: bool = False) -> str:
    """Return the table of `analysis.segmentation.summary`."""
    columns = [
        ("model", "<", list(frame["model"])),
        ("protocol", "<", list(frame["protocol"])),
        ("datasets", ">", [str(n) for n in frame["n_datasets"]]),
        *((TITLES[name], ">", [fraction(value) for value in frame[name]]) for name in METRICS),
        ("training", ">", [duration(value) for value in frame["train_seconds"]]),
        ("testing", ">", [f"{value:.2f} s" for value in frame["test_seconds"]]),
    ]
    return f"{grid(columns, markdown=markdown)}\n\n{SUMMARY_LEGEND}"


def comparisons(frame: pd.DataFrame, *, markdown: bool = False) -> str:
    """Return the table of `analysis.segmentation.comparisons`; '' where nothing is compared."""
    if frame.empty:
        return ""
    rows = frame.to_dict("records")
    columns = [
        ("row", "<", [row_name(row["model"], row["protocol"]) for row in rows]),
        ("compared with", "<", [row_name(row["other_model"], row["other_protocol"]) for row in rows]),
        ("metric", "<", [TITLES[row["metric"]] for row in rows]),
        ("difference", ">", [signed(row["difference"]) for row in rows]),
        ("95 % interval", ">", [interval(row["low"], row["high"]) for row in rows]),
        ("pairs", ">", [str(row["n_pairs"]) for row in rows]),
        ("better, worse", ">", [f"{row['n_better']}, {row['n_worse']} of {row['n_datasets']}" for row in rows]),
        ("verdict", "<", [row["verdict"] for row in rows]),
        ("paper", ">", [paper(row) for row in rows]),
    ]
    legend = " ".join([COMPARISON_LEGEND, *([PAPER_LEGEND] if any(map(paper, rows)) else [])])
    return f"{grid(columns, markdown=markdown)}\n\n{legend}"


def paper(row: Mapping[Any, Any]) -> str:
    """Return the paper's difference of a comparison with its three decimals, '' where there is none."""
    return "" if pd.isna(row["paper"]) else f"{row['paper']:+.3f}"


def order_sentence(frame: pd.DataFrame) -> str:
    """Return on how many datasets the paper's order of the networks holds; '' where none has all of them.

    frame: as for `table`.
    """
    counts = ordered(frame)
    n_datasets = max(n for _, n in counts.values())
    if not n_datasets:
        return ""
    held = ", ".join(f"{TITLES[name]} on {n}" for name, (n, _) in counts.items())
    return f"The order of the paper, {' < '.join(ORDER)}, holds in {held} of {counted(n_datasets, 'dataset')}."
