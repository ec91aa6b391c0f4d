"""What other initial weights (protocol.init_from) and rounds of refinement (protocol.refine_rounds) gain.

A run with either is compared with the run that differs in nothing else: the same dataset, split, model, protocol, seed
and resample, from random weights and without rounds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import fields

import numpy as np
import pandas as pd

from tsfcn.analysis import stats, tables
from tsfcn.config.protocol import Settings
from tsfcn.jobs.plan import digest
from tsfcn.jobs.record import Record

STAGES = ("init_from", "refine_rounds", "refine_epochs")  # settings that a plain run has at their defaults
DEFAULTS = {each.name: each.default for each in fields(Settings) if each.name in STAGES}
COLUMNS = ("dataset", "split", "model", "protocol", "n_seeds", "plain", "accuracy", "gain", "low", "high")
SUMMARY = ("model", "protocol", "n_rows", "n_datasets", "gain", "low", "high", "better", "equal", "worse")
LEVEL = 0.95


def plain_key(record: Record) -> str:
    """Return what a run has in common with the plain run that it is compared with: its key without the stages."""
    content = {name: value for name, value in record.job.content.items() if name != "source"}
    content["settings"] = {name: value for name, value in record.settings.items() if name not in STAGES}
    return digest([content, record.seed])


def is_staged(record: Record) -> bool:
    """Return whether a run started from other weights than random ones, or was refined."""
    return any(record.settings.get(name, DEFAULTS[name]) != DEFAULTS[name] for name in STAGES)


def rows(records: Iterable[Record]) -> pd.DataFrame:
    """Return the gains in accuracy, a row for each dataset, split, model and protocol that has plain runs too.

    The columns are COLUMNS: `n_seeds` pairs of runs, the mean accuracy of the plain ones and of the others, the mean
    difference, and Student's interval of it over seeds at LEVEL, NaN for one seed.

    records: of a results folder; those that are not ok, and ensembles, have no row.
    """
    runs = [record for record in tables.in_order(records) if record.is_ok and not record.is_ensemble]
    plain = {plain_key(record): record.accuracy for record in runs if not is_staged(record)}
    pairs: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for record in runs:
        if is_staged(record) and plain_key(record) in plain:
            pairs.setdefault(tables.row_of(record), []).append((plain[plain_key(record)], record.accuracy))
    table = []
    for (dataset, model, protocol, split), both in pairs.items():
        before, after = np.array(both).T
        low, high = interval(after - before)
        means = float(before.mean()), float(after.mean()), float((after - before).mean())
        table.append((dataset, split, model, protocol, len(both), *means, low, high))
    return pd.DataFrame(table, columns=list(COLUMNS))


def interval(differences: np.ndarray) -> tuple[float, float]:
    """Return Student's interval of the mean of differences of two or more seeds (n_seeds,); NaN for one."""
    n = len(differences)
    if n < 2:
        return math.nan, math.nan
    half = float(stats.student(LEVEL, n - 1)) * float(differences.std(ddof=1)) / math.sqrt(n)
    return float(differences.mean()) - half, float(differences.mean()) + half


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean gain over datasets of each model and protocol, the sources that were named together.

    The columns are SUMMARY. The gain of a dataset is the mean over its rows (its sources, its splits); `low` and `high`
    are Student's interval over datasets (stats.mean_interval); `better`, `equal` and `worse` count rows.

    frame: as `rows` returns it.
    """
    named = frame.assign(
        protocol=[re.sub(r"init_from=dataset:[^,\]]+", "init_from=dataset:*", p) for p in frame["protocol"]]
    )
    table = []
    for (model, protocol), group in named.groupby(["model", "protocol"], sort=False):
        by_dataset = group.groupby("dataset")["gain"].mean().to_numpy(dtype=np.float64)
        gains = stats.rounded(group["gain"].to_numpy(dtype=np.float64))
        counts = int((gains > 0).sum()), int((gains == 0).sum()), int((gains < 0).sum())
        ends = stats.mean_interval(by_dataset, level=LEVEL)
        table.append((model, protocol, len(group), len(by_dataset), float(by_dataset.mean()), *ends, *counts))
    return pd.DataFrame(table, columns=list(SUMMARY))
