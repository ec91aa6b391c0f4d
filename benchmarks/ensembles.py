"""The tables of docs/ensembles.md, from the records of results/ensembles and the published figures.

    python benchmarks/ensembles.py            # prints them as Markdown
    python benchmarks/ensembles.py --write    # puts them into docs/ensembles.md

The commands that trained the runs and made the ensembles stand in results/ensembles/README.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import generated
from tsfcn.analysis import stats
from tsfcn.data import published

TABLES = Path(__file__).resolve().parents[1] / "results" / "ensembles" / "tables"
PROTOCOL, HELD_OUT = "fawaz2019", "fawaz2019[validation=0.2]"
SINGLE = ("fcn", "resnet", "encoder")
ENSEMBLES = ("fcn:5", "resnet:5", "encoder:5", "fcn:5+encoder:5", "fcn:5+resnet:5+encoder:5")
PUBLISHED = {
    "NNE": "fawaz2019_ensembles",
    "InceptionTime": "inceptiontime2020_ucr128",
    "LITETime": "lite2023",
}


def table(titles: Iterable[str], rows: Iterable[Iterable[str]], n_names: int = 1) -> str:
    """Return a Markdown table. n_names: the columns from the left that are text."""
    titles = list(titles)
    rule = ["---"] * n_names + ["---:"] * (len(titles) - n_names)
    return "\n".join(f"| {' | '.join(row)} |" for row in [titles, rule, *rows])


def number(value: float) -> str:
    """Return a value as tables show it, '' for none."""
    return "" if np.isnan(value) else f"{value:.4f}"


def interval(differences: pd.Series) -> str:
    """Return the mean over datasets, its 95 % interval and their number, '' if there are none."""
    if not len(differences):
        return ""
    low, high = stats.mean_interval(differences.to_numpy())  # NaN for too few datasets
    within = "" if np.isnan(low) else f" ({low:+.4f} to {high:+.4f})"
    return f"{differences.mean():+.4f}{within} on {len(differences)}"


def read(name: str, protocol: str) -> pd.DataFrame:
    """Return a table of the results folder, the rows of one protocol, by dataset."""
    rows = pd.read_csv(TABLES / name)
    return rows[rows["protocol"] == protocol].set_index("dataset")


def accuracies() -> pd.DataFrame:
    """Return the accuracy of each model (mean over seeds) and published ensemble (columns) on each dataset (rows)."""
    ours = read("accuracy.csv", PROTOCOL)
    wide = ours.pivot_table(index="dataset", columns="model", values="mean").reindex(columns=[*SINGLE, *ENSEMBLES])
    for model, source in PUBLISHED.items():
        figures = {
            each.dataset: each.mean
            for each in published.read(source)
            if each.model == model and each.metric == "accuracy" and published.same_split(each)
        }
        wide[model] = pd.Series(figures).reindex(wide.index)
    return wide


def text() -> str:
    """Return the tables as Markdown."""
    wide, calibration = accuracies(), read("calibration.csv", PROTOCOL)
    names = [f"mean of 5 {model}" for model in SINGLE] + [f"`{model}`" for model in ENSEMBLES] + list(PUBLISHED)
    parts = [table(["dataset", *names], ([str(name), *map(number, row)] for name, row in wide.T.items()))]
    mean = "mean over datasets with Student's 95 % interval and their number"

    rows = []
    for model in ENSEMBLES:
        each = calibration[calibration["model"] == model]
        gains = (interval(each[metric] - each[f"runs_{metric}"]) for metric in ("accuracy", "nll", "ece"))
        rows.append([f"`{model}`", *gains])
    parts += [f"Ensemble less the mean of its runs, {mean}:", table(["ensemble", "accuracy", "nll", "ece"], rows)]

    rows = []
    for model in ENSEMBLES:
        differences = (wide[model].sub(wide[other]).dropna() for other in PUBLISHED)
        rows.append([f"`{model}`", *map(interval, differences)])
    parts += [
        f"Ensemble less the published ones, accuracy, {mean}:",
        table(["ensemble", *(f"less {other}" for other in PUBLISHED)], rows),
    ]

    kept = read("calibration.csv", HELD_OUT)
    metrics = ["accuracy", "nll", "ece", "n_held_out", "temperature", "tempered_nll", "tempered_ece"]
    rows = [
        [name, *map(number, row[:3]), f"{row[3]:.0f}", f"{row[4]:.2f}", *map(number, row[5:])]
        for name, row in zip(kept.index, kept[metrics].to_numpy(), strict=True)
    ]
    titles = ["dataset", "accuracy", "nll", "ece", "held-out", "temperature", "tempered nll", "tempered ece"]
    tempered = {metric: interval(kept[f"tempered_{metric}"] - kept[metric]) for metric in ("nll", "ece")}
    parts += [
        f"With held-out cases, `{kept['model'].iloc[0]}`:",
        table(titles, rows),
        f"Tempered less plain: nll {tempered['nll']}, ece {tempered['ece']}, {mean}.",
    ]
    return "\n\n".join(parts)


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/ensembles.md")
    if not parser.parse_args().write:
        print(text())
        return
    generated.write("ensembles.md", "ensembles.py", text())


if __name__ == "__main__":
    main()
