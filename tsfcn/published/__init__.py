"""Figures that papers and their public result files report, one CSV a source, and the few lines that read them.

`sources.csv` is each source's passport: where its figures stand, on which split they were measured, over how many runs,
and by what the weights were selected. The figures CSVs hold the papers' own models only, in this package's spelling and
with the digits that the source gives. A figure that looks broken at its source stays, and its `note` says so.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tsfcn.catalogue import CATALOGUE
from tsfcn.errors import UserError

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Source:
    """Where a set of figures comes from and what must be known before comparing with it."""

    source: str
    paper: str
    where: str  # table of the paper, or file of a public repository and its commit
    split: str  # 'ucr2018', 'ucr2015', or 'ucr2018 but ...': for one figure read Figure.split instead
    n_datasets: int
    n_runs: int
    selected_by: str  # 'least training loss', 'TEST SET' or 'not known'
    note: str


@dataclass(frozen=True)
class Figure:
    """One published number: `metric` (a fraction, 0 to 1) of a model on a dataset, mean over `n_runs` trainings."""

    source: str
    dataset: str  # UCR 2018 spelling
    model: str
    metric: str  # 'accuracy' or 'balanced_accuracy'
    mean: float
    std: float | None  # over runs, ddof 1; None for a single run
    n_runs: int
    split: str  # the files that this figure was measured on: 'ucr2018' or 'ucr2015'
    selected_by: str
    note: str  # why this figure is to be read with care, or ''


# Sources of the accuracy that a protocol's paper reports, the first that has the dataset counts. Karim 2018 is nobody's
# target (selected on the test set), and Fawaz' 85-dataset run used another normalisation than the protocol states.
_BESIDE: dict[str, tuple[str, ...]] = {
    "fawaz2019": ("fawaz2019_ucr128",),
    "karim2019": ("karim2019",),
    "wang2017": ("wang2017_table1", "wang2017_readme85"),
}


def sources() -> dict[str, Source]:
    """Every source by its name, in the order of `sources.csv`."""
    with (_HERE / "sources.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["source"]: Source(
                source=row["source"],
                paper=row["paper"],
                where=row["where"],
                split=row["split"],
                n_datasets=int(row["n_datasets"]),
                n_runs=int(row["n_runs"]),
                selected_by=row["selected_by"],
                note=row["note"],
            )
            for row in csv.DictReader(file)
        }


def read(source: str) -> list[Figure]:
    """All figures of a source, by dataset, then model, then metric; raises UserError for a source that is not there."""
    return list(_figures(source))


def same_split(figure: Figure) -> bool:
    """Whether the figure was measured on the train and test cases that UCR 2018 gives its dataset.

    The 2015 files hold the same split for 71 of their 85 datasets and the reverse for 14 (inferred: the published
    accuracies are whole test cases of the reverse only; `split_swapped_in_2015` in the catalogue).
    """
    return figure.split == "ucr2018" or not CATALOGUE[figure.dataset].split_swapped_in_2015


def beside(protocol: str, model: str, dataset: str) -> Figure | None:
    """The accuracy that the protocol's paper reports for a model on a dataset, if ours may stand beside it; else None.

    None also where the figure is of another split, and for the datasets of unequal length or with missing values in
    Fawaz et al. 2019: which variant of those files they ran is not stated. Names must match exactly, so that a changed
    protocol or model (`fawaz2019[epochs=3]`) finds nothing.
    """
    facts = CATALOGUE.get(dataset)
    if facts is None or (protocol == "fawaz2019" and (facts.missing or facts.unequal)):
        return None
    for source in _BESIDE.get(protocol, ()):
        figure = _accuracies(source).get((model, dataset))
        if figure is not None:
            return figure if same_split(figure) else None
    return None


@cache
def _figures(source: str) -> tuple[Figure, ...]:
    known = sources()
    if source not in known:
        raise UserError(f"published source '{source}' is not there: write one of {', '.join(known)}")
    with (_HERE / f"{source}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Figure(
                source=source,
                dataset=row["dataset"],
                model=row["model"],
                metric=row["metric"],
                mean=float(row["mean"]),
                std=float(row["std"]) if row["std"] != "" else None,
                n_runs=int(row["n_runs"]),
                split=row["split"],
                selected_by=known[source].selected_by,
                note=row["note"],
            )
            for row in csv.DictReader(file)
        )


@cache
def _accuracies(source: str) -> dict[tuple[str, str], Figure]:
    return {(f.model, f.dataset): f for f in _figures(source) if f.metric == "accuracy"}
