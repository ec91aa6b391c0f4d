"""How far the probabilities of ensembles can be trusted: cross-entropy, calibration error, and a temperature.

The temperature of an ensemble is fitted on training cases that its runs held out (protocol.validation), never on test
cases. Each run predicts its own held-out cases, which it was not trained on; one temperature is fitted to all of them
together, and each run's probabilities are changed by it before they are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsfcn.analysis import ensemble, tables
from tsfcn.common.errors import UserError
from tsfcn.common.text import Problem
from tsfcn.jobs import artifacts
from tsfcn.jobs.record import Record

LEAST, GREATEST = 0.05, 20.0  # temperature

Array = npt.NDArray[np.float64]
NAMES = ("dataset", "split", "model", "protocol", "seed")  # of an ensemble
COLUMNS = (
    *NAMES,
    *("runs_accuracy", "accuracy", "runs_nll", "nll", "runs_ece", "ece"),
    *("n_held_out", "temperature", "tempered_nll", "tempered_ece"),
)


def tempered(probabilities: npt.NDArray[np.floating], temperature: float) -> Array:
    """Return the probabilities at a temperature: softmax(log(p) / T), which is softmax(logits / T) of Guo et al. 2017.

    probabilities: (n_cases, n_classes); as in the metric nll, a stored zero counts as 2^-24.
    """
    logs = np.log(np.maximum(probabilities.astype(np.float64), tables.FLOAT16_FLOOR)) / temperature
    scaled = np.exp(logs - logs.max(axis=1, keepdims=True))
    result: Array = scaled / scaled.sum(axis=1, keepdims=True)
    return result


def fitted_temperature(probabilities: npt.NDArray[np.floating], y: npt.NDArray[np.integer]) -> float:
    """Return the temperature from LEAST to GREATEST with the least cross-entropy (Guo et al. 2017, section 4.2).

    Args:
        probabilities: (n_cases, n_classes) of cases that were held out.
        y: Int (n_cases,), their classes.
    """
    from scipy.optimize import minimize_scalar

    logs = np.log(np.maximum(probabilities.astype(np.float64), tables.FLOAT16_FLOOR))

    def loss(inverse: float) -> float:  # convex in 1 / T, so there is one minimum
        scaled = inverse * logs
        return float((np.logaddexp.reduce(scaled, axis=1) - scaled[np.arange(len(y)), y]).mean())

    least = minimize_scalar(loss, bounds=(1 / GREATEST, 1 / LEAST), method="bounded", options={"xatol": 1e-6})
    return float(1 / least.x)


def held_out(runs: Sequence[Record], results: Path) -> tuple[Array, npt.NDArray[np.int64]] | None:
    """Return probabilities and classes of what runs held out, one run after another; None unless all held some out.

    Raises UserError where a file is damaged.
    """
    parts = []
    for run in runs:
        try:
            each = artifacts.read_held_out(results, run.key, run.n_predicted, run.n_classes)
        except Exception as error:  # numpy and zipfile raise errors of many kinds
            raise UserError(
                f"predictions of key {run.key} are unreadable ({type(error).__name__}): delete them and repeat the run "
                "with require_predictions=true"
            ) from error
        if each is None:
            return None
        parts.append(each)
    return np.concatenate([p for p, _ in parts]).astype(np.float64), np.concatenate([y for _, y in parts]).astype(int)


def names_of(record: Record) -> tuple[str, str, str, str, int]:
    """Return what names the row of an ensemble, by NAMES."""
    dataset, model, protocol, split = tables.row_of(record)
    return dataset, split, model, protocol, record.seed


def row(record: Record, runs: Sequence[Record], results: Path) -> dict[str, object]:
    """Return the row of an ensemble, by COLUMNS; `runs_` is the mean over the runs that it averages.

    Args:
        record: The ensemble.
        runs: What it averages.
        results: The results folder, with the predictions.

    Raises:
        UserError: Predictions of a run are missing or damaged.
    """
    stored = ensemble.predictions_of(runs, results)
    y_true = stored[0].y_true
    mean, y_pred = ensemble.average((each.probabilities for each in stored), record.member_weights)

    def of_runs(metric: str) -> float:
        return float(np.mean([tables.score(metric, each.probabilities, y_true, each.y_pred) for each in stored]))

    values: dict[str, object] = dict(zip(NAMES, names_of(record), strict=True))
    for metric in ("accuracy", "nll", "ece"):
        values |= {metric: tables.score(metric, mean, y_true, y_pred), f"runs_{metric}": of_runs(metric)}
    cases = held_out(runs, results)
    if cases is not None:
        temperature = fitted_temperature(*cases)
        changed = [tempered(each.probabilities, temperature) for each in stored]
        values |= {"n_held_out": len(cases[1]), "temperature": temperature}
        mean, y_pred = ensemble.average(changed, record.member_weights)
        values |= {f"tempered_{metric}": tables.score(metric, mean, y_true, y_pred) for metric in ("nll", "ece")}
    return values


def rows(records: Sequence[Record], results: Path) -> tuple[pd.DataFrame, list[tuple[Record, Problem]]]:
    """Return a table with a row for each ensemble, and those that have none, since runs or predictions are not there.

    Args:
        records: All records of the folder.
        results: The results folder.
    """
    by_key = {record.key: record for record in records}
    table, without = [], []
    for each in tables.in_order(record for record in records if record.is_ensemble):
        try:
            table.append(row(each, [by_key[key] for key in each.members or ()], results))
        except KeyError as error:
            reason = f"run {error.args[0]}, which it averages, is not in '{results}': train its members again"
            without.append((each, ensemble.problem(tables.row_of(each), each.seed, reason)))
        except UserError as error:  # of the predictions of a run
            without.append((each, ensemble.problem(tables.row_of(each), each.seed, str(error))))
    return typed(pd.DataFrame(table, columns=list(COLUMNS))), without


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with its types, which a column without values lacks."""
    types = {"n_held_out": "Int64"} | dict.fromkeys(("temperature", "tempered_nll", "tempered_ece"), "float64")
    return table.astype(types)


def with_earlier(table: pd.DataFrame, without: Sequence[Record], path: Path) -> tuple[pd.DataFrame, int]:
    """Return the table with the rows that a file has of ensembles which it lacks, and the number of these rows.

    Args:
        table: What `rows` returned.
        without: The ensembles without a row.
        path: The file that was written before; it may be absent or of another version.
    """
    try:
        earlier = typed(pd.read_csv(path, keep_default_na=False, na_values=[""])[list(COLUMNS)])
    except (OSError, ValueError, KeyError, TypeError):
        return table, 0
    wanted = {names_of(record) for record in without}
    kept = earlier[[tuple(names) in wanted for names in earlier[list(NAMES)].itertuples(index=False)]]
    if kept.empty:
        return table, 0
    both = kept if table.empty else pd.concat([table, kept])
    order = ["dataset", "model", "protocol", "split", "seed"]  # of `tables.in_order`
    return both.sort_values(order, kind="stable", ignore_index=True), len(kept)
