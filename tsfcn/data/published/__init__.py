"""Figures that papers and their public result files report.

    tsfcn published list
    tsfcn published show SOURCE[/MODEL]

`sources.csv` describes each source: where its figures were published, on which split they were measured, over how
many runs, and how the weights were selected. `SOURCE.csv` has the accuracies, with a row for each dataset and a column
for each model: the mean and, after a space, the standard deviation over runs where the source gives one, with the
digits of the source; `SOURCE.METRIC.csv` has the same for another metric. `notes.csv` has what differs for a model, a
dataset or a single figure: a figure that looks wrong in its source is kept, with a note. `SOURCE.runs.csv` has single
runs: the number of correct test cases, and the seconds of training. The models of tsfcn have the names that they have
in tsfcn.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tsfcn.common.errors import UserError
from tsfcn.data.catalogue import CATALOGUE, UCR, UEA

_HERE = Path(__file__).parent
_CATALOGUED = "ucr2018_1nn"  # its figures are the errors in the catalogue
METRICS = ("accuracy", "balanced_accuracy")


@dataclass(frozen=True)
class Source:
    """Where a set of figures comes from, and how it was measured."""

    source: str
    paper: str
    where: str  # table of the paper, or file of a public repository and its commit
    split: str  # 'ucr2018', 'ucr2015', 'uea2018', '30 resamples', or 'ucr2018 but ...': for one figure Figure.split
    n_datasets: int
    n_runs: int  # of most of its models: for one read Model.n_runs
    selected_by: str  # 'least training loss', 'nothing to select', 'TEST SET' or 'not known'
    note: str


@dataclass(frozen=True)
class Model:
    """One column of a source."""

    source: str
    model: str
    n_runs: int
    selected_by: str
    note: str  # on the whole column, or ''


@dataclass(frozen=True)
class Figure:
    """One published number: `metric` (a fraction, 0 to 1) of a model on a dataset, mean over `n_runs` trainings."""

    source: str
    dataset: str  # as in the catalogue
    model: str
    metric: str  # 'accuracy' or 'balanced_accuracy'
    mean: float
    std: float | None  # over runs, ddof 1; None for a single run, or where the source does not give it
    n_runs: int
    split: str  # measured on 'ucr2018', 'ucr2015', 'uea2018', '30 resamples', 'mixed', 'early' or 'adjusted' files
    selected_by: str
    note: str  # why this figure must be read with care, or ''


@dataclass(frozen=True)
class Runs:
    """The single runs behind one published mean, in the order of the source."""

    accuracies: tuple[float, ...]  # fractions
    train_seconds: tuple[float, ...]  # wall clock, two or more digits; empty where the source has none


# Sources of the accuracy that a protocol's paper reports; the first that has the dataset counts. Karim 2018 is not
# listed since its weights were selected on the test set, and the run of Fawaz et al. on 85 datasets since its
# normalisation differs from that of the protocol.
_BESIDE: dict[str, tuple[str, ...]] = {
    "fawaz2019": ("fawaz2019_ucr128",),
    "hinception2022": ("hinception2022",),
    "inceptiontime2020": ("inceptiontime2020_ucr128",),
    "karim2019": ("karim2019",),
    "lite2023": ("lite2023",),
    "poolparty2025": ("poolparty2025",),
    "wang2017": ("wang2017_table1", "wang2017_readme85"),
}
# Sources that pool the runs of several others: these have other figures of a protocol's runs, not the paper's own.
_POOLED: dict[str, tuple[str, ...]] = {"fawaz2019": ("fawaz2019+poolparty2025",)}
# Columns of models with another setting than our default.
_CHANGED: dict[str, dict[str, str]] = {"poolparty2025": {"inception": "kernels=[41,20,10]"}}
# Columns of models of tsfcn whose runs the protocol of the source does not describe.
_OF_OTHER_RUNS: dict[str, tuple[str, ...]] = {"lite2023": ("fcn", "resnet", "inception", "InceptionTime")}
# What papers call ensembles of our models: the mean of so many seeds of each (docs/ensembles.md).
_ENSEMBLES = {
    "fcn:10+resnet:10+encoder:10": "NNE",
    "resnet:10": "ResNets",
    "inception:5": "InceptionTime",
    "h_inception:5": "H-InceptionTime",
    "lite:5": "LITETime",
}


def sources() -> dict[str, Source]:
    """Return every source by its name, in the order of `sources.csv`."""
    return dict(_sources())


def models(source: str) -> dict[str, Model]:
    """Return the models of a source by name, in the order of its file. Raises UserError for an unknown source."""
    defaults = _source(source)
    notes = {note["model"]: note for note in _notes(source) if note["model"] and not note["dataset"]}
    columns = {}
    for name in _columns(source):
        note = notes.get(name, {"n_runs": "", "selected_by": "", "note": ""})
        n_runs, selected_by = int(note["n_runs"] or defaults.n_runs), note["selected_by"] or defaults.selected_by
        columns[name] = Model(source, name, n_runs, selected_by, note["note"])
    return columns


def read(source: str) -> list[Figure]:
    """Return all figures of a source by dataset, model and metric. Raises UserError for an unknown source."""
    return list(_figures(source))


def runs(source: str) -> dict[tuple[str, str], Runs]:
    """Return the single runs of a source by (dataset, model), empty where it has none.

    Raises UserError for an unknown source.
    """
    path = _HERE / f"{_source(source).source}.runs.csv"
    if not path.is_file():
        return {}
    splits = {(f.dataset, f.model): f.split for f in _figures(source) if f.metric == "accuracy"}
    single = {}
    for row in _rows(path):
        facts, names = CATALOGUE[row["dataset"]], (row["dataset"], row["model"])
        is_swapped = measured_on(row["dataset"], splits[names]) == "ucr2015"
        n_test = facts.n_train if is_swapped else facts.n_test
        single[names] = Runs(
            tuple(int(correct) / n_test for correct in row["correct"].split()),
            tuple(float(seconds) for seconds in row["train_seconds"].split()),
        )
    return single


def measured_on(dataset: str, split: str) -> str:
    """Return which split of a dataset is meant by the split of a source.

    For all but 14 datasets the 2015 files have the same training and test cases as UCR 2018, so 'ucr2015' and 'mixed'
    (one or the other) mean 'ucr2018'; any other word is returned as it is. The 14 are inferred: their published
    accuracies are multiples of one test case only if train and test are exchanged (`split_swapped_in_2015`). For a
    dataset of UEA all of these words mean 'uea2018', since it has one split.
    """
    facts = CATALOGUE.get(dataset)
    if facts is None or split not in ("ucr2018", "ucr2015", "mixed"):
        return split
    is_same = facts.archive == UEA or (facts.in_ucr85 and not facts.split_swapped_in_2015)
    return facts.split if is_same else split


def same_split(figure: Figure, split: str = "ucr2018") -> bool:
    """Return whether a figure was measured on the training and test cases of `split`, an official one or 'ucr2015'."""
    return measured_on(figure.dataset, figure.split) == measured_on(figure.dataset, split)


def protocol_of(words: str) -> tuple[str, str]:
    """Return the source that `words` name, and the protocol that reproduces it.

    Raises UserError, with the reason, where no protocol does.
    """
    source, model = _find(words)
    if model is not None:
        raise UserError(f"paper '{words}' is one model of a source: write paper={source} model=NAME")
    for protocol, names in _BESIDE.items():
        if source in (*names, *_POOLED.get(protocol, ())):
            return source, protocol
    reproducible = ", ".join(name for names in (*_BESIDE.values(), *_POOLED.values()) for name in names)
    is_test_selected = _source(source).selected_by == "TEST SET"
    reason = "its weights were selected on the test set" if is_test_selected else "no protocol describes its runs"
    raise UserError(f"paper '{source}' cannot be reproduced, {reason}: use one of {reproducible}")


def reproducible(source: str) -> tuple[str, ...]:
    """Return the models of a source whose runs its protocol describes. Raises UserError for an unknown source."""
    return tuple(model for model in _columns(_source(source).source) if model not in _OF_OTHER_RUNS.get(source, ()))


def beside(protocol: str, model: str, dataset: str, split: str = "ucr2018", source: str | None = None) -> Figure | None:
    """Return the accuracy that the protocol's paper reports for a model on a dataset; None where it does not compare.

    It does not compare where the figure is of another split or of the archive's adjusted files, and for the datasets of
    unequal length or with missing values: papers do not state which variant of those files they used, or used another
    one than ours.

    Args:
        protocol: The protocol. A changed one (`fawaz2019[epochs=3]`) has no published figures, but one in another
            numeric precision has.
        model: The model, likewise; or an ensemble, as inception:5, whose figure stands under the paper's name for it.
        dataset: The dataset.
        split: The split of the files that the other accuracy was measured on.
        source: Use this one of the paper's sources, or one of `pools`; None: the first of the paper's that has the
            dataset.
    """
    facts = CATALOGUE.get(dataset)
    if facts is None or facts.missing or facts.unequal:
        return None
    protocol = in_any_precision(protocol)
    for each in [*_BESIDE.get(protocol, ()), *(name for name in _POOLED.get(protocol, ()) if name == source)]:
        column = _column(each, model)
        if column is None or source not in (None, each):
            continue
        figure = _accuracies(each).get((column, dataset))
        if figure is not None:
            return figure if same_split(figure, split) else None
    return None


def pools() -> tuple[str, ...]:
    """Return the sources that pool the runs of several others: verdicts by them rest on more runs."""
    return tuple(name for names in _POOLED.values() for name in names)


def in_any_precision(protocol: str) -> str:
    """Return the name of a protocol without the numeric precision: GPU runs of the field name none.

    >>> in_any_precision("fawaz2019[precision=bfloat16]"), in_any_precision("fawaz2019[epochs=3,precision=tf32]")
    ('fawaz2019', 'fawaz2019[epochs=3,precision=tf32]')
    """
    return re.sub(r"\[precision=\w+\]$", "", protocol)


def has_runs(protocol: str, model: str) -> bool:
    """Return whether a source of a protocol has runs of a model; arguments as in `beside`."""
    return any(_column(source, model) in _columns(source) for source in _BESIDE.get(in_any_precision(protocol), ()))


def _column(source: str, model: str) -> str | None:
    """Return the column of a source that has the runs of a model, by its name in tables; None without such runs."""
    model = _ENSEMBLES.get(model, model)
    if model in _OF_OTHER_RUNS.get(source, ()):
        return None
    rows = _changed_rows(source)
    return None if model in rows.values() else rows.get(model, model)


def _changed_rows(source: str) -> dict[str, str]:
    """Return the columns of a source whose models have another setting than our default, by their names in tables."""
    return {f"{name}[{changed}]": name for name, changed in _CHANGED.get(source, {}).items()}


def changed_settings(source: str) -> dict[str, str]:
    """Return, for each model of a source that has another setting than our default, that setting as NAME=VALUE."""
    return dict(_CHANGED.get(source, {}))


def short_names() -> dict[str, str]:
    """Return the name in the catalogue of each abbreviation that papers use for datasets in their tables."""
    return {row["written"]: row["name"] for row in _rows(_HERE / "short_names.csv")}


def find(words: str) -> list[tuple[str, str]]:
    """Return the (source, model) pairs of `SOURCE` (all its models), `SOURCE/MODEL` or `MODEL` (if one source has it).

    Case and punctuation are ignored, and an unambiguous beginning of a source's name is enough: 'rocket',
    'Karim2019/LSTM-FCN'. Raises UserError for an unknown name and, with the candidates, for an ambiguous one.
    """
    source, model = _find(words)
    return [(source, m) for m in _columns(source)] if model is None else [(source, model)]


def _find(words: str) -> tuple[str, str | None]:
    """Return the source, and the model if one is named."""
    name, slash, model = words.partition("/")
    known = list(_sources())
    same = [source for source in known if _loose(source) == _loose(name)]
    meant = [source for source in known if source not in pools() or "+" in name]  # a beginning is not short for a pool
    matching = same or [source for source in meant if _loose(name) and _loose(source).startswith(_loose(name))]
    if not slash and not matching:  # a model then
        pairs = [(source, m) for source in known for m in _named(source, name)]
        if len(pairs) > 1:
            written = ", ".join(f"{source}/{m}" for source, m in pairs)
            raise UserError(f"published model '{name}' is in {len(pairs)} sources: write one of {written}")
        if pairs:
            return pairs[0]
    if not matching:
        raise UserError(_unknown(name))
    if not slash:
        if len(matching) > 1:
            raise UserError(
                f"published source '{name}' is short for {len(matching)}: write one of {', '.join(matching)}"
            )
        return matching[0], None
    pairs = [(source, m) for source in matching for m in _named(source, model)]
    if len(pairs) > 1:
        written = ", ".join(f"{source}/{m}" for source, m in pairs)
        raise UserError(f"published figures '{words}' are short for {len(pairs)}: write one of {written}")
    if not pairs:
        known_models = ", ".join(dict.fromkeys(m for source in matching for m in _columns(source)))
        raise UserError(f"published model '{model}' is not in {' or '.join(matching)}: write one of {known_models}")
    return pairs[0]


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def _loose(text: str) -> str:
    return "".join(sign for sign in text.lower() if sign.isalnum() or sign == "+")


def _named(source: str, model: str) -> list[str]:
    """Return the models of a source with a name: the equal one, else all that differ in case and punctuation only.

    An ensemble or a changed model may have the name that it has here: inception:5, inception[kernels=[41,20,10]].
    """
    columns, model = _columns(source), _changed_rows(source).get(model, _ENSEMBLES.get(model, model))
    return [model] if model in columns else [m for m in columns if _loose(m) == _loose(model)]


def _unknown(name: str) -> str:
    import difflib

    known = list(_sources())
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    if near:
        return f"published source '{name}' is not known; did you mean '{near[0]}'?"
    return f"published source '{name}' is not known: write one of {', '.join(known)}"


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


@cache
def _sources() -> dict[str, Source]:
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
        for row in _rows(_HERE / "sources.csv")
    }


def _source(name: str) -> Source:
    if name not in _sources():
        raise UserError(_unknown(name))
    return _sources()[name]


@cache
def _all_notes() -> dict[str, list[dict[str, str]]]:
    notes = defaultdict(list)
    for row in _rows(_HERE / "notes.csv"):
        notes[row["source"]].append(row)
    return notes


def _notes(source: str) -> list[dict[str, str]]:
    return _all_notes().get(source, [])


@cache
def _columns(source: str) -> tuple[str, ...]:
    """Return the names of a source's models, without reading its figures."""
    if source == _CATALOGUED:
        return ("1NN-ED", "1NN-DTW", "1NN-DTW-full")
    with (_HERE / f"{source}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(next(csv.reader(file))[1:])


def _cells(source: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield (dataset, model, metric, cell) of a source, by dataset, model and metric."""
    if source == _CATALOGUED:
        for name, facts in CATALOGUE.items():
            if facts.archive != UCR:
                continue
            errors = (facts.ed_error, facts.dtw_error, facts.dtw_full_error)
            for model, error in zip(_columns(source), errors, strict=True):
                yield name, model, "accuracy", f"{1 - error:.4f}"
        return
    files = {
        metric: _HERE / (f"{source}.csv" if metric == "accuracy" else f"{source}.{metric}.csv") for metric in METRICS
    }
    tables = {m: {row.pop("dataset"): row for row in _rows(path)} for m, path in files.items() if path.is_file()}
    for dataset, row in tables["accuracy"].items():
        for model in row:
            for metric, table in tables.items():
                if table[dataset][model]:
                    yield dataset, model, metric, table[dataset][model]


@cache
def _figures(source: str) -> tuple[Figure, ...]:
    passport, known = _source(source), models(source)
    split = passport.split.split(" but ")[0]
    column_split = {note["model"]: note["split"] for note in _notes(source) if not note["dataset"]}
    single = {(note["model"], note["dataset"]): note for note in _notes(source) if note["dataset"]}
    figures = []
    for dataset, model, metric, cell in _cells(source):
        mean, _, std = cell.partition(" ")
        notes = [single[key] for key in (("", dataset), (model, dataset)) if key in single]  # the general one first
        default = split if CATALOGUE[dataset].archive == UCR else measured_on(dataset, split)
        splits = [default, column_split.get(model, ""), *(note["split"] for note in notes)]
        figures.append(
            Figure(
                source=source,
                dataset=dataset,
                model=model,
                metric=metric,
                mean=float(mean),
                std=float(std) if std else None,
                n_runs=known[model].n_runs,
                split=[word for word in splits if word][-1],
                selected_by=known[model].selected_by,
                note="; ".join(note["note"] for note in notes if note["note"]),
            )
        )
    return tuple(figures)


@cache
def _accuracies(source: str) -> dict[tuple[str, str], Figure]:
    return {(f.model, f.dataset): f for f in _figures(source) if f.metric == "accuracy"}
