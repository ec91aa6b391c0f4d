"""Ensembles: the mean of the stored class probabilities of finished runs, recorded beside them. Nothing is trained.

The runs count the same, or by their cross-entropy on the training cases (`member_weights`).

    inception:5                    InceptionTime of Ismail Fawaz et al. 2020, section 3
    lite:5                         LITETime of Ismail-Fawaz et al. 2023
    fcn:10+resnet:10+encoder:10    NNE of Ismail Fawaz et al. 2019 (IJCNN)

An ensemble is named after its members, MODEL:COUNT with + between them. Number k of them averages the runs with the
seeds k * COUNT to (k + 1) * COUNT - 1 of each member, and is recorded as seed k: two of them share no run, and the key
of an ensemble, like that of a run, follows from what it is. docs/ensembles.md describes the record.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tsfcn.analysis import tables
from tsfcn.analysis.diagnosis import StoredPredictions
from tsfcn.common.errors import UserError
from tsfcn.common.text import Problem
from tsfcn.config import model_spec, user_files
from tsfcn.config.checks import one_of
from tsfcn.config.compose import compose, in_our_spelling
from tsfcn.jobs import artifacts, store
from tsfcn.jobs.plan import Job
from tsfcn.jobs.record import Record, in_rows_of_others

ARCHITECTURE = "ensemble"
EQUAL, BY_CROSS_ENTROPY = "equal", "train_cross_entropy"
WEIGHTS = (EQUAL, BY_CROSS_ENTROPY)
MEMBER = re.compile(r"(.+?):(\d{1,6})(?:\+(?=.)|$)")  # a model of another package has a + in its name

# Numbers of the record that are the sums over its runs.
SUMS = ("n_parameters", "train_seconds", "test_seconds", "train_processor_seconds", "test_processor_seconds")

Row = tuple[str, str]  # dataset and split
Runs = Mapping[str, Mapping[int, Record]]  # the runs of a row by model and seed


@dataclass(frozen=True)
class Ensemble:
    """The job of an ensemble, and the runs that it averages, by member and seed."""

    job: Job
    runs: tuple[Record, ...]

    @property
    def identity(self) -> tuple[str, str, str]:
        """What `Record.identity` is of its record."""
        return self.job.key, self.job.model, self.job.protocol


@dataclass(frozen=True)
class Outcome:
    """What became of the ensembles of one name in a results folder."""

    records: list[Record]  # of the folder, with the new ones
    ensembles: list[Record]  # those of this name and protocol, old and new
    n_new: int
    problems: list[Problem]  # why ensembles were left out


def make(results: Path, members: str, protocol: str | None = None, weights: str = EQUAL) -> Outcome:
    """Record the ensembles of the runs in a results folder, with their predictions; those that are there stay.

    Args:
        results: The results folder.
        members: MODEL:COUNT of each member, with + between them.
        protocol: The protocol of the runs; None: the only one that all members have.
        weights: How the runs count, one of WEIGHTS.

    Raises:
        UserError: The members or the protocol are not those of runs in the folder, its records do not belong together,
            it cannot be written to, or the weights are unknown.
    """
    one_of("weights", weights, WEIGHTS)
    records = tables.read(results)
    tables.accuracy(records)  # refuses what does not belong together
    runs = [record for record in records if record.is_ok and not record.is_ensemble]
    if any(run.task is not None for run in runs):
        raise UserError(f"results folder '{results}' holds labels of timepoints: ensembles are of classifiers of cases")
    counts = in_order(members_of(members, records, results), runs)
    protocol = common_protocol(counts, runs, results, protocol)
    name = name_of(counts, weights)
    ensembles, problems = planned(rows(runs, counts, protocol), counts, weights, name in paper_models(protocol))
    check_groups(ensembles, records, results)
    done = {record.identity for record in records if store.done(record, results, weights=False, predictions=True)}
    pending = [ensemble for ensemble in ensembles if ensemble.identity not in done]
    if pending:
        store.check_writable(results)
    new, writer = {}, store.Writer(results)
    for ensemble in pending:
        try:
            record = measure(ensemble, results)
        except UserError as error:  # of the predictions of a run
            problems.append(problem(tables.row_of(ensemble.runs[0]), ensemble.job.seed, str(error)))
        else:
            writer.write(record)
            new[record.identity] = record
    records = [*(record for record in records if record.identity not in new), *new.values()]
    same_ensembles = [r for r in records if r.is_ensemble and (r.model, r.protocol) == (name, protocol)]
    return Outcome(records, same_ensembles, len(new), problems)


# ---------------------------------------------------------------------------------------------------------------------
# Members


def parse(text: str) -> dict[str, int]:
    """Return the number of seeds of each member by its name as written. Raises UserError for any other text.

    >>> parse("fcn[filters=[3]]:10+se_resnet+3fa2c1:5")
    {'fcn[filters=[3]]': 10, 'se_resnet+3fa2c1': 5}
    """
    text = text.strip("'\"")
    counts: dict[str, int] = {}
    start = 0
    while start < len(text) or not counts:
        match = MEMBER.match(text, start)
        if match is None:
            raise UserError(f"members={text} is not MODEL:COUNT, or several with + between: write members=inception:5")
        add(counts, match[1], int(match[2]))
        start = match.end()
    if 0 in counts.values() or sum(counts.values()) < 2:
        raise UserError(f"members={text} is too few: an ensemble has two runs or more, and one or more of each member")
    return counts


def add(counts: dict[str, int], name: str, count: int) -> None:
    """Add a member to others. Raises UserError if it is among them."""
    if name in counts:
        raise UserError(f"member '{name}' is there twice: write {name}:{counts[name] + count}")
    counts[name] = count


def members_of(text: str, records: Iterable[Record], results: Path) -> dict[str, int]:
    """Return the number of seeds of each member by its name in tables. Raises UserError for one without an ok run."""
    is_ensemble = {record.model: record.is_ensemble for record in records if record.is_ok}
    known = sorted(name for name in is_ensemble if not is_ensemble[name])
    if not known:
        raise UserError(
            f"results folder '{results}' is without finished runs: train the members with `tsfcn run` first"
        )
    counts: dict[str, int] = {}
    for written, count in parse(text).items():
        name = in_our_spelling(written, known)
        if name not in known:
            near = difflib.get_close_matches(written, known, n=1) or difflib.get_close_matches(written.lower(), known)
            hint = f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(known)}"
            mistake = "is an ensemble itself" if name in is_ensemble else f"has no finished run in '{results}'"
            raise UserError(f"member '{written}' {mistake}: {hint}")
        add(counts, name, count)
    return counts


def in_order(counts: Mapping[str, int], runs: Iterable[Record]) -> dict[str, int]:
    """Return the members in the order of the registered models, so that a set of them has one name."""
    models, architecture = model_spec.names(), {record.model: record.architecture for record in runs}

    def position(name: str) -> tuple[int, str]:
        return models.index(architecture[name]) if architecture[name] in models else len(models), name

    return {name: counts[name] for name in sorted(counts, key=position)}


def name_of(counts: Mapping[str, int], weights: str = EQUAL) -> str:
    """Return the name of an ensemble in tables."""
    name = "+".join(f"{name}:{count}" for name, count in counts.items())
    return name if weights == EQUAL else f"{name}[weights={weights}]"


def common_protocol(counts: Mapping[str, int], runs: Iterable[Record], results: Path, wanted: str | None) -> str:
    """Return the protocol of the members, which is the only one that all have unless one is named.

    Args:
        counts: The members.
        runs: The ok runs of the folder.
        results: The folder, for messages.
        wanted: The protocol that the user names.

    Raises:
        UserError: The members do not all have it, they have none in common, or several and none is named.
    """
    pairs = {(record.model, record.protocol) for record in runs}
    protocols = {name: {protocol for model, protocol in pairs if model == name} for name in counts}
    common = sorted(set.intersection(*protocols.values()))
    choices = " or ".join(shlex.quote(f"protocol={each}") for each in common)
    if wanted is not None and wanted not in common:
        near = difflib.get_close_matches(wanted, common, n=1)
        hint = f"did you mean {shlex.quote(f'protocol={near[0]}')}?" if near else f"use {choices or 'another one'}"
        raise UserError(f"protocol={wanted} is without finished runs of {' and '.join(counts)} in '{results}': {hint}")
    if not common:
        each = "; ".join(f"{name}: {', '.join(sorted(names))}" for name, names in protocols.items())
        raise UserError(f"members are without a common protocol in '{results}' ({each}): run them under the same one")
    if wanted is None and len(common) > 1:
        raise UserError(f"members are there under {len(common)} protocols: add {choices}")
    return common[0] if wanted is None else wanted


# ---------------------------------------------------------------------------------------------------------------------
# Which runs


def rows(runs: Iterable[Record], counts: Mapping[str, int], protocol: str) -> Mapping[Row, Runs]:
    """Return the runs of the members under a protocol by row, model and seed, in the order of the tables."""
    by_row: dict[Row, dict[str, dict[int, Record]]] = {}
    for record in tables.in_order(runs):
        if record.model in counts and record.protocol == protocol:
            dataset, model, _, split = tables.row_of(record)
            by_row.setdefault((dataset, split), {}).setdefault(model, {})[record.seed] = record
    return by_row


def planned(
    found: Mapping[Row, Runs], counts: Mapping[str, int], weights: str, is_on_paper: bool
) -> tuple[list[Ensemble], list[Problem]]:
    """Return the ensembles that the runs allow, and why others cannot be made.

    In each row those are wanted for which every member has a run, and seeds up to the last that is needed: seeds 0 to 6
    are one ensemble of inception:5, and of seeds 0 to 9 without 3 the first ensemble cannot be made. If none is wanted,
    the first one is.

    Args:
        found: The runs of the members.
        counts: The members.
        weights: How the runs count.
        is_on_paper: Whether the paper of the protocol ran this ensemble.
    """
    ensembles, problems = [], []
    for row, runs in found.items():
        begun = set.intersection(*({seed // count for seed in runs.get(name, ())} for name, count in counts.items()))
        n_complete = min((max(runs.get(name, ()), default=-1) + 1) // count for name, count in counts.items())
        for number in sorted(number for number in begun if number < n_complete) or [0]:
            seeds = {name: range(number * count, (number + 1) * count) for name, count in counts.items()}
            reason = lacking(seeds, runs)
            chosen = [] if reason else [runs[name][seed] for name in seeds for seed in seeds[name]]
            reason = reason or difference_of_data(chosen) or (weights != EQUAL and without_weights(chosen)) or ""
            if reason:
                problems.append(problem(row, number, reason))
            else:
                ensembles.append(Ensemble(job_of(number, counts, chosen, weights, is_on_paper), tuple(chosen)))
    return ensembles, problems


def lacking(seeds: Mapping[str, range], runs: Runs) -> str:
    """Return which runs of which seeds are not there, '' if all are. seeds: those that an ensemble takes of a model."""
    for name, wanted in seeds.items():
        absent = [seed for seed in wanted if seed not in runs.get(name, ())]
        if absent:
            seeds_word = f"seeds={len(wanted)}" if wanted[0] == 0 else f"'seeds={absent}'".replace(" ", "")
            return f"runs of {name} with {seeds_in_words(absent)} are missing: train with {seeds_word}"
    return ""


def seeds_in_words(seeds: Sequence[int]) -> str:
    """Return ascending seeds as text.

    >>> seeds_in_words([4]), seeds_in_words([0, 2, 3]), seeds_in_words([5, 6, 7])
    ('seed 4', 'seeds 0, 2, 3', 'seeds 5 to 7')
    """
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return ("seeds " if len(seeds) > 1 else "seed ") + ", ".join(map(str, seeds))


def difference_of_data(runs: Sequence[Record]) -> str:
    """Return which runs were trained on other data than the first, '' if none was."""
    for run in runs:
        if run.job.content["data"] != runs[0].job.content["data"]:
            return f"runs of {runs[0].model} and {run.model} are of different files: train both on the same"
    return ""


def without_weights(runs: Sequence[Record]) -> str:
    """Return which runs have no cross-entropy on the training cases that is of their weights, '' if all have."""
    for run in runs:
        if run.train_cross_entropy is None:
            return f"runs of {run.model} have no cross-entropy on the training cases: use weights={EQUAL}"
        if run.settings.get("select") != "least_train_loss":
            return f"the training cross-entropy of {run.model} is not that of the selected weights: use weights={EQUAL}"
        if run.settings.get("validation") and run.n_held_out is None:
            return f"runs of {run.model} do not say how many cases they fitted: train them again"
    return ""


def problem(row: Sequence[str], number: int, reason: str) -> Problem:
    """Return why an ensemble was left out.

    Args:
        row: The dataset first, the split last.
        number: The seed of the ensemble.
        reason: The reason.
    """
    dataset, split = row[0], row[-1]
    title = dataset + (f" {split}" if split != "official" else "") + (f" seed {number}" if number else "")
    return Problem("skipped", dataset, reason, title)


def job_of(number: int, counts: Mapping[str, int], runs: Sequence[Record], weights: str, is_on_paper: bool) -> Job:
    """Return the job of an ensemble. Its key follows from those of the runs, which their groups and seeds determine.

    Its settings are those that all runs have in common.

    Args:
        number: The seed of the ensemble.
        counts: The members.
        runs: The runs that it averages.
        weights: How they count.
        is_on_paper: Whether the paper of the protocol ran this ensemble; off-paper runs make it off-paper too.
    """
    first, groups = runs[0], {record.model: record.group for record in runs}
    members = {name: {"count": counts[name], "group": groups[name]} for name in counts}
    return Job(
        dataset=first.dataset,
        passport=first.passport,
        architecture=ARCHITECTURE,
        model=name_of(counts, weights),
        model_settings={"members": members, **({} if weights == EQUAL else {"weights": weights})},
        protocol=first.protocol,
        settings={
            name: value
            for name, value in first.settings.items()
            if all(name in run.settings and run.settings[name] == value for run in runs)
        },
        off_paper=not is_on_paper or any(run.off_paper for run in runs),
        seed=number,
        resample=first.resample,
        precision=joined(runs, "precision"),
    )


def paper_models(protocol: str) -> list[str]:
    """Return the models and ensembles that the paper of a protocol ran; none for a protocol changed by the user."""
    if protocol not in user_files.options("protocol", None):
        return []
    _, unchanged = compose([f"protocol={protocol}"])
    return unchanged.paper_models


def check_groups(ensembles: Iterable[Ensemble], records: Iterable[Record], results: Path) -> None:
    """Raise UserError where the folder has ensembles of the same name whose members were other runs."""
    for job in in_rows_of_others((ensemble.job for ensemble in ensembles), records):
        raise UserError(
            f"results '{results}' already holds {job.model} ({job.protocol}) on {job.dataset} of runs with other "
            "data or settings: use another results folder, or move the old records away"
        )


# ---------------------------------------------------------------------------------------------------------------------
# The mean


def average(
    probabilities: Iterable[np.ndarray], weights: Sequence[float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean probabilities, float64 (n_cases, n_classes), and the most probable class, int (n_cases,).

    Of classes with the same mean the first one counts.

    Args:
        probabilities: Float (n_cases, n_classes) of each run, of one or more.
        weights: How much each run counts, with the sum 1; None: all count the same.
    """
    stacked = np.array([each.astype(np.float64) for each in probabilities])
    mean: np.ndarray = stacked.mean(axis=0) if weights is None else np.tensordot(np.array(weights), stacked, axes=1)
    return mean, mean.argmax(axis=1)


def member_weights(runs: Sequence[Record]) -> list[float]:
    """Return how much each run counts by its fit to the training cases, with the sum 1.

    The weight is proportional to exp(-n L), where n is the number of fitted cases and L the cross-entropy on them in
    nats (inference mode, the selected weights): the likelihood of the training labels. This is Bayesian model averaging
    with equal priors (Hoeting et al. 1999, equations 1 to 3), where the likelihood at the trained weights stands for
    the marginal likelihood, and nothing is subtracted for the number of parameters. Test cases have no part in it.
    """
    # `without_weights` has made sure that the numbers are there.
    logs = [-((run.n_train or 0) - (run.n_held_out or 0)) * (run.train_cross_entropy or 0.0) for run in runs]
    likelihoods = np.exp(np.array(logs) - max(logs))
    return [float(each) for each in likelihoods / likelihoods.sum()]


def measure(ensemble: Ensemble, results: Path) -> Record:
    """Average the stored predictions of the runs, store the mean, and return the record of the ensemble.

    Raises UserError if the predictions of a run are missing, damaged, or of other cases than those of the others.
    """
    from tsfcn.jobs.run_job import describe  # takes torch, whose version stands in the record

    runs, job = ensemble.runs, ensemble.job
    stored = predictions_of(runs, results)
    y_true, classes = stored[0].y_true, stored[0].classes
    weights = member_weights(runs) if job.model_settings.get("weights") == BY_CROSS_ENTROPY else None
    mean, y_pred = average((each.probabilities for each in stored), weights)
    artifacts.write_predictions(results, job.key, mean, y_true, y_pred, np.array(classes))
    return replace(
        describe(job, "ok", ""),
        members=[run.key for run in runs],
        member_weights=weights,
        test_selected=any(run.test_selected for run in runs),
        meaning=runs[0].meaning,
        accuracy=tables.score("accuracy", mean, y_true, y_pred),
        balanced_accuracy=tables.score("balanced_accuracy", mean, y_true, y_pred),
        device=joined(runs, "device"),
        hardware=joined(runs, "hardware"),
        **{name: shared(runs, name) for name in ("gpu", "driver", "cuda", "cudnn", "deterministic")},
        **{name: shared(runs, name) for name in ("n_train", "n_test", "n_classes", "n_timepoints")},
        **{name: shared(runs, name) for name in ("n_filled", "n_padded", "n_cut", "n_masked")},
        **{name: total(runs, name) for name in SUMS},
    )


def predictions_of(runs: Sequence[Record], results: Path) -> list[StoredPredictions]:
    """Return the stored predictions of runs, which are of the same cases and classes. Raises UserError as `measure`."""
    absent = [run for run in runs if not artifacts.predictions_path(results, run.key).is_file()]
    if absent:
        seeds = {run.model: [r.seed for r in absent if r.model == run.model] for run in absent}
        texts = " and ".join(f"{name}, {seeds_in_words(seeds[name])}," for name in seeds)
        raise UserError(f"predictions of {texts} are missing: repeat the runs with require_predictions=true")
    stored = [each for run in runs if (each := tables.stored_predictions(run, results)) is not None]
    for run, each in zip(runs, stored, strict=True):
        if list(each.classes) != list(stored[0].classes) or not np.array_equal(each.y_true, stored[0].y_true):
            raise UserError(
                f"predictions of key {run.key} are of other cases or classes than those of key {runs[0].key}: delete "
                "both files and repeat the runs with require_predictions=true"
            )
    return stored


def joined(runs: Iterable[Record], field: str) -> str:
    """Return the different values of a field of text, with + between them."""
    return " + ".join(dict.fromkeys(str(getattr(run, field)) for run in runs))


def shared(runs: Sequence[Record], field: str) -> Any:
    """Return the value of a field if all runs have the same one, else None."""
    values = [getattr(run, field) for run in runs]
    return values[0] if all(value == values[0] for value in values) else None


def total(runs: Iterable[Record], field: str) -> Any:
    """Return the sum of a number over runs; None unless all have recorded it."""
    values = [getattr(run, field) for run in runs]
    return None if None in values else round(sum(values), 4)
