"""Ablations: the variants of a run, one disputed setting changed at a time, and their effects on the accuracy.

The rules are those of docs/verdict.md, with Holm over the settings; docs/protocols.md says where the papers disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tsfcn.analysis import stats, verdict
from tsfcn.config import models, protocol, schema
from tsfcn.data import published
from tsfcn.data.catalogue import CATALOGUE
from tsfcn.jobs.record import Record
from tsfcn.models import ModelConfig

SETTINGS = (
    "normalisation",
    "batch",
    "initialiser",
    "schedule",
    "epsilon",
    "weights",
    "shuffle",
    "gates",
    "cells",
    "selection",
    "split",
    "precision",
)
MOVES, DOES_NOT_MATTER, NOT_SHOWN = "moves it", "does not matter", "not shown"  # what an effect can be
_NAN = float("nan")


@dataclass(frozen=True)
class Variant:
    """One setting with another value."""

    setting: str
    change: str  # the new value, in words
    overrides: tuple[str, ...] = ()  # that set it; () for the base, and if the records of the base have its accuracy
    metric: str = "accuracy"  # the field of the record with the accuracy of this variant
    cells: int = 0  # or the LSTM size of the record's search whose accuracy it is
    here: str = field(default="", compare=False)  # what it comes to on this dataset

    @property
    def text(self) -> str:
        """The new value, and what it comes to on this dataset."""
        return f"{self.change}: {self.here}" if self.here else self.change

    def accuracy_in(self, record: Record) -> float | None:
        """Return the accuracy of this variant as a record of its jobs has it; None if the record lacks it."""
        if self.cells:
            return next((each.get("accuracy") for each in record.cells or [] if each["cells"] == self.cells), None)
        accuracy: float | None = getattr(record, self.metric)
        return accuracy


@dataclass(frozen=True)
class Effect:
    """The effect of a variant: the accuracy with it minus the accuracy of the base."""

    variant: Variant
    accuracies: tuple[float, ...]  # one for each seed, fractions
    difference: float
    low: float  # its 90 % interval; NaN with a single seed
    high: float
    p_holm: float  # adjusted over the settings
    outcome: str  # MOVES, DOES_NOT_MATTER or NOT_SHOWN; '' for the base
    published: verdict.Verdict | None  # against the published figure of the base

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.accuracies))

    @property
    def std(self) -> float | None:
        """The standard deviation over seeds, ddof 1; None for a single seed."""
        return _std(self.accuracies)


@dataclass(frozen=True)
class DatasetEffects:
    """The effects on one dataset."""

    dataset: str
    base: Record  # one of the base
    effects: Sequence[Effect]  # that of the base first
    figure: published.Figure | None  # the published figure of the base, if there is one

    @property
    def settings(self) -> set[str]:
        """The settings of which there are effects."""
        return {effect.variant.setting for effect in self.effects[1:]}

    def beside(self, effect: Effect, other: Effect | published.Figure) -> verdict.PairedAccuracy:
        """Return the accuracy of an effect beside that of another one or a published figure."""
        n = other.n_runs if isinstance(other, published.Figure) else len(other.accuracies)
        return _paired(self.dataset, self.base.n_test or 0, effect.accuracies, other.mean, other.std, n)


@dataclass(frozen=True)
class OverallEffect:
    """The effect of a variant over the datasets on which it was tried."""

    variant: Variant
    datasets: tuple[str, ...]
    mean: float  # accuracy with it
    change: verdict.Judgement | None  # accuracy with it minus that of the base; None for the base
    moved: tuple[str, ...]  # the datasets on which it moves the accuracy
    published: verdict.Judgement | None  # accuracy with it minus the published one, where there is one


# ---------------------------------------------------------------------------------------------------------------------
# Variants


def variants(run: schema.RunConfig, dataset: str, n_train: int) -> list[Variant]:
    """Return the variants of a run of one model on one dataset: values of disputed settings that the run does not have.

    Args:
        run: the run.
        dataset: its dataset.
        n_train: the number of training cases of the dataset.
    """
    ((model, network),) = run.model.configs().items()
    settings = protocol.settings(run.protocol, model, network)
    return [
        *_normalisations(settings),
        *_batches(settings, n_train),
        *_initialisers(settings, model),
        *_optimisers(settings),
        *_lstm_settings(settings, model, network),
        *_selections(settings),
        *_splits(run, dataset),
        *(
            [Variant("precision", "float64", ("engine.precision=float64",))]
            if run.engine.precision == "float32"
            else []
        ),
    ]


def _normalisations(settings: protocol.Settings) -> Iterator[Variant]:
    for value, change in (
        ("none", "the file as it is"),
        ("series", "each series to mean 0, deviation 1 (Fawaz, Karim)"),
        ("train", "mean and deviation of the training set (Wang)"),
    ):
        if value != settings.normalisation:
            yield Variant("normalisation", change, (f"protocol.normalisation={value}",))


def _batches(settings: protocol.Settings, n_train: int) -> Iterator[Variant]:
    """Yield the batch rules, one for each batch size that they give on so many cases."""
    current = min(settings.batch(n_train), n_train)
    sizes = [current]
    for rule, size, divisor in (
        ("min(n / 10, 16) (Wang, Fawaz)", 16, 10),
        ("16 whatever the dataset", 16, 0),
        ("128 (Karim)", 128, 0),
    ):
        n_cases = min(replace(settings, batch_size=size, batch_divisor=divisor).batch(n_train), n_train)
        if n_cases not in sizes:
            sizes.append(n_cases)
            overrides = (f"protocol.batch_size={size}", f"protocol.batch_divisor={divisor}")
            yield Variant("batch", rule, overrides, here=f"{n_cases} instead of {current}")


def _initialisers(settings: protocol.Settings, model: str) -> Iterator[Variant]:
    for value, change in (
        ("glorot_uniform", "Glorot uniform (Wang, Fawaz)"),
        ("he_uniform", "He uniform (Karim)"),
    ):
        if value != settings.initialiser and "initialiser" not in protocol.unread(model, settings):
            yield Variant("initialiser", change, (f"protocol.initialiser={value}",))


def _optimisers(settings: protocol.Settings) -> Iterator[Variant]:
    """Yield the learning rate schedules and the epsilons of Adam."""
    if settings.optimiser != "adam":
        return
    current = (settings.plateau_patience, settings.plateau_factor if settings.plateau_patience else 0)
    for change, factor, patience, least in (
        ("the learning rate stays", settings.plateau_factor, 0, settings.plateau_min_lr),
        ("halved after 50 epochs without gain (Wang, Fawaz)", 0.5, 50, 0.0001),
        ("divided by the cube root of 2 after 100 (Karim)", 0.7937005259840998, 100, 0.0001),
    ):
        if (patience, factor if patience else 0) != current:
            overrides = (f"protocol.plateau_factor={factor!r}", f"protocol.plateau_patience={patience}")
            yield Variant("schedule", change, (*overrides, f"protocol.plateau_min_lr={least!r}"))
    for eps, change in ((1e-8, "1e-8 (Wang)"), (1e-7, "1e-7 (Fawaz, Karim)")):
        if eps != settings.eps:
            yield Variant("epsilon", change, (f"protocol.eps={eps!r}",))


def _lstm_settings(settings: protocol.Settings, model: str, network: ModelConfig) -> Iterator[Variant]:
    """Yield the settings that only networks with an LSTM have."""
    if not models.spec(model).lstm:
        return
    if settings.class_weights == "none":
        yield Variant("weights", "classes balanced (meant by Karim's code)", ("protocol.class_weights=balanced",))
    if getattr(network, "shuffle", False):
        change = "no dimension shuffle: a step a timepoint (most libraries)"
        yield Variant("shuffle", change, (f"model.{model}.shuffle=false",))
    if getattr(network, "gates", "") == "hard_sigmoid":
        yield Variant("gates", "sigmoid (later Keras)", (f"model.{model}.gates=sigmoid",))
    if len(settings.cells) > 1:
        for cells in settings.cells:
            yield Variant("cells", f"always {cells}", cells=cells)


def _selections(settings: protocol.Settings) -> Iterator[Variant]:
    if settings.select != "least_train_loss":
        return
    yield Variant("selection", "the last weights", metric="accuracy_last")
    held_out = ("protocol.validation=0.2", "protocol.select=validation")
    yield Variant("selection", "by held-out cases, a fifth", held_out)
    yield Variant("selection", "BY THE TEST SET: no estimate of accuracy", ("protocol.select=test_oracle",))


def _splits(run: schema.RunConfig, dataset: str) -> Iterator[Variant]:
    facts = CATALOGUE.get(dataset)
    if facts is not None and facts.split_swapped_in_2015:
        other = "ucr2015" if run.archive.split == "ucr2018" else "ucr2018"
        yield Variant("split", f"train and test of {other[3:]}, which are the reverse", (f"archive.split={other}",))


# ---------------------------------------------------------------------------------------------------------------------
# Effects


def effects(
    base: Sequence[Record],
    changed: Sequence[tuple[Variant, Sequence[float]]],
    figure: published.Figure | None,
) -> list[Effect]:
    """Return the base and then the effect of each variant, in order; variants without any accuracy are left out.

    Args:
        base: the ok records of the base.
        changed: each variant with its accuracies, one for each seed.
        figure: the published figure of the base, if there is one.
    """
    unchanged, n_test = [record.accuracy for record in base], base[0].n_test or 0
    present = [(variant, list(accuracies)) for variant, accuracies in changed if len(accuracies) > 0]
    first, *verdicts = _published_verdicts([unchanged, *(accuracies for _, accuracies in present)], n_test, figure)
    tests = [_interval(unchanged, accuracies, n_test) for _, accuracies in present]
    p_holm = _adjusted([p for _, _, p in tests])
    result = [Effect(Variant("", "as the protocol has it"), tuple(unchanged), 0.0, _NAN, _NAN, _NAN, "", first)]
    for (variant, accuracies), (low, high, _), p, beside in zip(present, tests, p_holm, verdicts, strict=True):
        difference = float(np.mean(accuracies) - np.mean(unchanged))
        effect = Effect(variant, tuple(accuracies), difference, low, high, p, "", beside)
        result.append(replace(effect, outcome=_outcome(effect, n_test)))
    return result


def over_datasets(found: Sequence[DatasetEffects]) -> list[OverallEffect]:
    """Return the base and then each variant over the datasets that have it, in the order in which they first occur.

    Args:
        found: the effects on each dataset, of the same model and protocol.
    """
    tried: dict[Variant, list[tuple[DatasetEffects, Effect]]] = {}
    for measured in found:
        for effect in measured.effects:
            tried.setdefault(effect.variant, []).append((measured, effect))
    rows = []
    for variant, pairs in tried.items():
        beside_base = [
            measured.beside(effect, measured.effects[0])
            for measured, effect in pairs
            if effect is not measured.effects[0]
        ]
        beside_published = [
            measured.beside(effect, measured.figure) for measured, effect in pairs if measured.figure is not None
        ]
        rows.append(
            OverallEffect(
                variant,
                tuple(measured.dataset for measured, _ in pairs),
                float(np.mean([effect.mean for _, effect in pairs])),
                verdict.judge(beside_base) if beside_base else None,
                tuple(measured.dataset for measured, effect in pairs if effect.outcome == MOVES),
                verdict.judge(beside_published) if beside_published else None,
            )
        )
    return rows


def _outcome(effect: Effect, n_test: int) -> str:
    margin = float(verdict.margins(np.asarray(n_test)))
    difference, p = np.asarray(effect.difference), np.asarray(effect.p_holm)
    if not math.isnan(effect.p_holm) and verdict.is_different(difference, p, margin):
        return MOVES
    low, high = np.asarray(effect.low), np.asarray(effect.high)
    if not math.isnan(effect.low) and verdict.is_equivalent(low, high, margin):
        return DOES_NOT_MATTER
    return NOT_SHOWN


def _adjusted(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted by Holm over those that are not NaN."""
    adjusted = np.asarray(p_values, dtype=float)
    known = ~np.isnan(adjusted)
    adjusted[known] = stats.holm(adjusted[known].tolist())
    return [float(p) for p in adjusted]


def _deviation(accuracies: Sequence[float], n_test: int) -> np.ndarray:
    return verdict.floored(np.asarray(np.std(accuracies, ddof=1)), np.asarray(n_test))


def _interval(base: Sequence[float], changed: Sequence[float], n_test: int) -> tuple[float, float, float]:
    """Return (low, high, p) of changed minus base; NaN where either has a single seed."""
    if min(len(base), len(changed)) < 2:
        return _NAN, _NAN, _NAN
    d = np.asarray(np.mean(changed) - np.mean(base))
    bounds = verdict.interval(d, _deviation(changed, n_test), len(changed), _deviation(base, n_test), len(base))
    low, high, p = (float(value) for value in bounds)
    return low, high, p


def _std(accuracies: Sequence[float]) -> float | None:
    return float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None


def _paired(
    dataset: str, n_test: int, accuracies: Sequence[float], mean: float, std: float | None, n: int
) -> verdict.PairedAccuracy:
    """Return accuracies beside the mean and deviation of n others."""
    ours = float(np.mean(accuracies)), _std(accuracies), len(accuracies)
    return verdict.PairedAccuracy(dataset, n_test, *ours, mean, std, n)


def _published_verdicts(
    accuracies: Sequence[Sequence[float]],
    n_test: int,
    figure: published.Figure | None,
) -> Sequence[verdict.Verdict | None]:
    """Return the verdict of each set of runs against one published figure, adjusted by Holm over the sets."""
    if figure is None:
        return [None] * len(accuracies)
    beside = figure.mean, figure.std, figure.n_runs
    rows = [_paired(figure.dataset, n_test, each, *beside) for each in accuracies]
    return verdict.judge(rows).verdicts
