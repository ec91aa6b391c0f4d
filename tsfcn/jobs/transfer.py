"""Transfer: jobs that start from the weights of other jobs, or of a file (protocol.init_from).

    dataset:CBF+Coffee     a row for each source: the weights that the same model, protocol, seed and resample left
    nearest:CBF+Coffee     the source whose class barycentres are nearest to those of the target, by DTW
    random:7:CBF+Coffee    a source drawn for each target by the seed 7
    weights:FILE           the weights of a file that tsfcn has written

After Ismail Fawaz et al. 2018: the head is replaced by a new one, all layers are trained. A source is a job of the plan
like any other, found by its key or trained first. What chooses a source gives the same job as naming it, so that it is
trained once. Only training cases choose.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from tsfcn.common import files, npz
from tsfcn.common.errors import UserError
from tsfcn.config.init_from import InitFrom
from tsfcn.data.barycentres import Series, class_barycentres, distance
from tsfcn.data.preprocess import Floats, Int64
from tsfcn.data.user_data import load_planned
from tsfcn.jobs import cost, initial_weights
from tsfcn.jobs.plan import Job, digest

# Returns the jobs on a dataset under a value of protocol.init_from, and with what labels show of it.
JobsOn = Callable[[str, str | None, str], list[Job]]
Passports = Mapping[str, dict[str, Any]]  # by dataset; {} for one that is not available


def jobs(
    start: InitFrom,
    text: str,
    targets: Passports,
    pool: Passports,
    jobs_on: JobsOn,
    root: str | None,
    without: Callable[[str, list[str]], None],
) -> list[Job]:
    """Return the jobs on the sources, and those on the targets that start from them; none from a dataset to itself.

    Args:
        start: What the setting means; it names datasets.
        text: The setting as typed, for labels and messages.
        targets: The datasets of the run.
        pool: The datasets that may be sources.
        jobs_on: Makes the jobs on one dataset.
        root: The archive's folder.
        without: Called with a target and those of its sources that are not available; jobs that need them have no
            passport.

    Raises:
        UserError: Every target is its own source, source and target are of different shape, or a library is missing.
    """
    on_source = {name: jobs_on(name, None, "") for name in pool}
    started: list[Job] = []
    for target, passport in targets.items():
        others = [name for name in pool if name != target]
        usable, missing = [name for name in others if pool[name]], [name for name in others if not pool[name]]
        waits = start.kind != "dataset" and bool(missing)  # for the whole pool to be there
        if not passport:
            started += jobs_on(target, text, text)  # to be told as skipped
            continue
        if missing:
            without(target, missing)
            named = [text] if waits else [f"dataset:{name}" for name in missing]
            started += [replace(job, passport={}) for each in named for job in jobs_on(target, each, each)]
        for name, resamples in [] if waits else choices(start, target, usable, on_source, jobs_on, root):
            label = f"dataset:{name}" if start.kind == "dataset" else text
            for source, job in zip(on_source[name], jobs_on(target, f"dataset:{name}", label), strict=True):
                if job.resample in resamples:
                    sizes = cost.sizes(source)
                    initial_weights.check_shapes(source.dataset, sizes.n_channels, sizes.length, job)
                    started.append(replace(job, source={"key": source.key, "group": source.group}))
    if not started and set(targets) == set(pool):
        raise UserError(f"protocol.init_from={text} makes {next(iter(pool))} its own source: name another dataset")
    return [job for each in on_source.values() for job in each] + started


def choices(
    start: InitFrom,
    target: str,
    usable: list[str],
    on_source: Mapping[str, list[Job]],
    jobs_on: JobsOn,
    root: str | None,
) -> list[tuple[str, set[int]]]:
    """Return the sources of a target, each with the resamples for which it is one.

    Args:
        start: As for `jobs`, as are `jobs_on` and `root`.
        target: The dataset.
        usable: The datasets that may be its source.
        on_source: The jobs on each of them.
    """
    by_resample = {job.resample: job for job in jobs_on(target, None, "")}
    if start.kind == "dataset" or not usable:
        return [(name, set(by_resample)) for name in usable]
    if start.kind == "random":
        draw = random.Random(f"{start.seed} {target}")  # text: the same in every process and version
        return [(draw.choice(sorted(usable)), set(by_resample))]
    chosen: dict[str, set[int]] = {}
    for resample, job in by_resample.items():
        rivals = [next(each for each in on_source[name] if each.resample == resample) for name in usable]
        here = barycentres(job, root)
        nearest = min(rivals, key=lambda rival: distance(here, barycentres(rival, root)))
        chosen.setdefault(nearest.dataset, set()).add(resample)
    return list(chosen.items())


def barycentres(job: Job, root: str | None) -> list[Series]:
    """Return the class barycentres of the training cases of a job, from the cache folder if they were computed before.

    root: the archive's folder.
    """
    asked = [job.content["data"], job.resample, asdict(job.data_settings())]
    return _barycentres(digest(asked), job.dataset, lambda: _training_cases(job, root))


_KNOWN: dict[str, list[Series]] = {}


def _barycentres(key: str, name: str, cases: Callable[[], tuple[Floats, Int64]]) -> list[Series]:
    path = files.cache_folder() / f"barycentres-{name}-{key}.npz"
    if key not in _KNOWN and files.is_trusted(path):
        with (
            contextlib.suppress(Exception),
            np.load(path, allow_pickle=False) as kept,
        ):  # a damaged file fails in many ways
            _KNOWN[key] = [kept[str(number)] for number in range(len(kept))]
    if key not in _KNOWN:
        print(f"{name}: class barycentres are computed, once", file=sys.stderr, flush=True)  # minutes, for some
        _KNOWN[key] = class_barycentres(*cases())
        with contextlib.suppress(OSError):
            files.create_cache_folder()
            arrays = {str(number): each for number, each in enumerate(_KNOWN[key])}
            files.replace(path, lambda file: npz.write(file, arrays))
    return _KNOWN[key]


def _training_cases(job: Job, root: str | None) -> tuple[Floats, Int64]:
    from tsfcn.jobs.run_job import prepare  # takes torch

    arrays = prepare(load_planned(job.dataset, job.passport, root), job)
    return arrays.x_train, arrays.y_train
