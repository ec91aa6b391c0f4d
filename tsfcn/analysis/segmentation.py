"""Tables of dense labelling: the four metrics of Long et al. 2015, and which row is better than which."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from tsfcn.analysis.stats import mean_interval, wins
from tsfcn.analysis.tables import in_order, row_of
from tsfcn.jobs.record import Record

METRICS = {  # columns, and the fields of a record
    "accuracy": "accuracy",
    "mean_accuracy": "balanced_accuracy",
    "mean_iu": "mean_iu",
    "frequency_weighted_iu": "frequency_weighted_iu",
}
ORDER = ("fcn_32s_fixed", "fcn_32s", "fcn_16s", "fcn_8s")  # of the paper's tables, the worst first
PAPER = {  # metrics in the order of METRICS: Long et al. 2015, table 2, images of PASCAL VOC 2011
    "fcn_32s_fixed": (0.830, 0.597, 0.454, 0.720),
    "fcn_32s": (0.891, 0.733, 0.594, 0.814),
    "fcn_16s": (0.900, 0.757, 0.624, 0.830),
    "fcn_8s": (0.903, 0.759, 0.627, 0.832),
}
COLUMNS = {
    "dataset": "str",
    "model": "str",
    "protocol": "str",
    "split": "str",
    "n_seeds": "int64",
    **dict.fromkeys(METRICS, "float64"),  # means over seeds, fractions
    **{f"{name}_std": "float64" for name in METRICS},  # over seeds, ddof 1; NaN for one seed
    "median_segment": "float64",  # timepoints, mean over seeds
    "train_seconds": "float64",  # of a seed, with the stages before; processor time on a CPU where recorded
    "test_seconds": "float64",
}
COMPARISON_COLUMNS = {
    "model": "str",
    "protocol": "str",
    "other_model": "str",
    "other_protocol": "str",
    "metric": "str",
    "n_datasets": "int64",
    "n_pairs": "int64",  # of runs on the same dataset with the same seed
    "difference": "float64",  # mean over datasets of the first minus the other
    "low": "float64",  # 95 % interval over datasets; NaN for few of them
    "high": "float64",
    "n_better": "int64",  # datasets on which the first is better
    "n_worse": "int64",
    "verdict": "str",  # better, worse or open: whether the interval is beyond zero
    "paper": "float64",  # the difference in the paper, on images; NaN for rows that it does not have
}

Row = tuple[str, str]  # model and protocol


def of_segmentation(records: Iterable[Record]) -> list[Record]:
    """Return the ok records of dense labelling, by dataset, then as `place` says, then as in other tables."""
    labelled = in_order(record for record in records if record.is_ok and record.mean_iu is not None)
    return sorted(labelled, key=lambda record: (record.dataset, place(record.model, record.protocol)))


def table(records: Iterable[Record]) -> pd.DataFrame:
    """Return a row for each dataset, model, protocol and split, with the columns of COLUMNS."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in of_segmentation(records):
        groups.setdefault(row_of(record), []).append(record)
    rows = []
    for (dataset, model, protocol, split), members in groups.items():
        values = {name: [getattr(record, field) for record in members] for name, field in METRICS.items()}
        rows.append(
            {"dataset": dataset, "model": model, "protocol": protocol, "split": split, "n_seeds": len(members)}
            | {name: float(np.mean(each)) for name, each in values.items()}
            | {f"{name}_std": float(np.std(v, ddof=1)) if len(v) > 1 else math.nan for name, v in values.items()}
            | {"median_segment": float(np.mean([record.median_segment or 0.0 for record in members]))}
            | {
                f"{part}_seconds": float(np.mean([record.seconds(part) or 0.0 for record in members]))
                for part in ("train", "test")
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the means over datasets of each model and protocol, over the official splits of a table.

    Columns: model, protocol, n_datasets, the metrics, train_seconds and test_seconds.
    """
    official = frame[frame["split"] == "official"]
    means = [*METRICS, "train_seconds", "test_seconds"]
    rows: list[dict[str, Any]] = [
        {"model": model, "protocol": protocol, "n_datasets": len(part)} | dict(part[means].mean())
        for (model, protocol), part in official.groupby(["model", "protocol"], sort=False)
    ]
    rows.sort(key=lambda row: place(row["model"], row["protocol"]))
    return pd.DataFrame(rows, columns=["model", "protocol", "n_datasets", *means])


def place(model: str, protocol: str) -> tuple[bool, int]:
    """Return what rows are sorted by: those of plain protocols first, and baselines before the networks in ORDER."""
    return _base(protocol) != protocol, ORDER.index(model) if model in ORDER else -1


def row_name(model: str, protocol: str) -> str:
    """Return a model with what was changed in its protocol.

    >>> row_name("fcn_32s", "segmentation[epochs=120]")
    'fcn_32s[epochs=120]'
    """
    return model + "".join(protocol.partition("[")[1:])


def ordered(frame: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Return for each metric on how many datasets the models of ORDER have its order, and how many have all of them.

    frame: a table; only official splits and protocols without changes count.
    """
    official = frame[(frame["split"] == "official") & (frame["protocol"] == frame["protocol"].map(_base))]
    groups = (part.set_index("model") for _, part in official.groupby(["dataset", "protocol"]))
    whole = [part.loc[list(ORDER)] for part in groups if set(ORDER) <= set(part.index)]
    return {name: (sum(bool((part[name].diff()[1:] > 0).all()) for part in whole), len(whole)) for name in METRICS}


def _base(protocol: str) -> str:
    """Return the name of a protocol without what was changed."""
    return protocol.partition("[")[0]


def pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Return which rows are compared: the first of a pair is expected to be better, or is the variant.

    Those of ORDER under one protocol, each with the one before; a variant with the same model under the plain
    protocol; and the last of ORDER with all other rows of its plain protocol and its variants.

    >>> pairs([("fcn_32s", "p"), ("fcn_8s", "p"), ("fcn_32s", "p[sampling=0.25]")])
    [(('fcn_8s', 'p'), ('fcn_32s', 'p')), (('fcn_32s', 'p[sampling=0.25]'), ('fcn_32s', 'p'))]
    """
    found: list[tuple[Row, Row]] = []
    for protocol in dict.fromkeys(protocol for _, protocol in rows):
        there = [model for model in ORDER if (model, protocol) in rows]
        found += [((better, protocol), (worse, protocol)) for worse, better in pairwise(there)]
    found += [((m, p), (m, _base(p))) for m, p in rows if p != _base(p) and (m, _base(p)) in rows]
    best = ORDER[-1]
    found += [((best, _base(p)), (m, p)) for m, p in rows if m not in ORDER and (best, _base(p)) in rows]
    longer = [(m, p) for m, p in rows if m in ORDER[:-1] and "epochs=" in p]
    found += [((best, _base(p)), (m, p)) for m, p in longer if (best, _base(p)) in rows]
    return list(dict.fromkeys(found))


def comparisons(records: Iterable[Record]) -> pd.DataFrame:
    """Return the paired differences of rows on the official splits, columns as in COMPARISON_COLUMNS.

    The difference on a dataset is the mean over the seeds that both rows have.
    """
    cells: dict[Row, dict[tuple[str, int], Record]] = {}
    for record in of_segmentation(records):
        dataset, model, protocol, split = row_of(record)
        if split == "official":
            cells.setdefault((model, protocol), {})[dataset, record.seed] = record
    rows = []
    for first, other in pairs(list(cells)):
        common = sorted(set(cells[first]) & set(cells[other]))
        datasets = list(dict.fromkeys(dataset for dataset, _ in common))
        for metric, field in METRICS.items() if common else ():
            ours, theirs = (
                np.array(
                    [np.mean([getattr(cells[row][each], field) for each in common if each[0] == d]) for d in datasets]
                )
                for row in (first, other)
            )
            low, high = mean_interval(ours - theirs)
            n_better, _, n_worse = wins(ours, theirs)
            rows.append(
                dict(zip(("model", "protocol", "other_model", "other_protocol"), (*first, *other), strict=True))
                | {"metric": metric, "n_datasets": len(datasets), "difference": float((ours - theirs).mean())}
                | {"n_pairs": len(common)}
                | {"low": low, "high": high, "n_better": n_better, "n_worse": n_worse}
                | {"verdict": "better" if low > 0 else "worse" if high < 0 else "open"}
                | {"paper": _paper_difference(first, other, metric)}
            )
    return pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS)).astype(COMPARISON_COLUMNS)


def _paper_difference(first: Row, other: Row, metric: str) -> float:
    """Return the paper's difference of two rows; NaN where a model or what was changed is not the paper's."""
    if any("[" in protocol or model not in PAPER for model, protocol in (first, other)):
        return math.nan
    column = list(METRICS).index(metric)
    return round(PAPER[first[0]][column] - PAPER[other[0]][column], 3)
