"""From what was asked for to a plan: what can be known to be wrong is found here, before anything is trained."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tsfcn.common.errors import UserError
from tsfcn.common.text import counted, size
from tsfcn.config import model_spec, schema
from tsfcn.config.libraries import LibraryConfig
from tsfcn.data import download as fetch
from tsfcn.data import importer, locate
from tsfcn.jobs import cost, selection, store
from tsfcn.jobs.executors import local
from tsfcn.jobs.index import Index
from tsfcn.jobs.plan import Job
from tsfcn.jobs.record import Record, in_rows_of_others, place
from tsfcn.runs import placement as placements
from tsfcn.runs.planning import Unusable, planned
from tsfcn.runs.run_plan import Request, RunPlan


def prepare(request: Request) -> RunPlan:
    """Return the plan of a run, with the records that there are. Raises UserError for bad input."""
    placement = placements.choose(request.run)
    placement.check()
    _ = request.budget_seconds  # raises for what is no duration
    for run, _ in request.composed:
        check_weights(run)
    with Index(request.results) as index:
        reader = store.Reader(request.results, index.files)
        records, failures = index.current(), selection.attempts(index.unsettled())
    jobs, unusable = plan_jobs(request, placement.device, records)
    if placement.in_other_processes and placement.on_cpu and not request.run.dry_run:
        local.check_models(jobs)
    prepared = RunPlan(request, placement, reader, records, failures, jobs, unusable)
    undone = (job for job in jobs if job.library and prepared.states[job.key] != "done")
    check_libraries(undone, request.run.save_weights)  # imports the library, which takes seconds
    return prepared


def plan_jobs(request: Request, device: str, records: list[Record]) -> tuple[list[Job], Unusable]:
    """Return the jobs of a request, and the datasets that cannot be used."""
    combinations = [planned(run, unchanged, device) for run, unchanged in request.composed]
    jobs = list({job.identity: job for jobs, _ in combinations for job in jobs}.values())  # these may share jobs
    unusable = {name: why for _, of_one in combinations for name, why in of_one.items()}
    check_results(jobs, records, request.results)
    jobs = known_passports(jobs, unusable, records)
    without = {job.dataset for job in jobs if not job.passport}
    return jobs, {name: why for name, why in unusable.items() if name in without}


def known_passports(jobs: list[Job], unusable: Unusable, records: list[Record]) -> list[Job]:
    """Return the jobs; one whose data are not here but whose finished record is gets the passport of that record."""
    skipped = {name for name, (status, _) in unusable.items() if status == "skipped"}
    finished = {place(record): record for record in records if record.dataset in skipped and record.is_ok}

    def known(job: Job) -> Job:
        record = finished.get(place(job)) if job.dataset in skipped else None
        if record is None:
            return job
        same = replace(job, passport=record.passport)
        return same if same.key == record.key else job

    return [known(job) for job in jobs]


def check_results(jobs: list[Job], records: list[Record], results: Path) -> None:
    """Raise UserError, before anything is trained, where the tables of the results folder could not be written."""
    from tsfcn.analysis import tables
    from tsfcn.report import results_folder

    if results.exists() and not results.is_dir():
        raise UserError(f"results={results} is a file: give a folder")
    results_folder.check_page(results)
    if jobs and selection.are_mixed([*jobs[:1], *records]):
        held = "labels of timepoints" if jobs[0].task is None else "classifications of cases"
        raise UserError(f"results={results} holds {held}, which no table mixes with these jobs: use another folder")
    tables.ok_rows(records)  # refuses what does not belong together
    for job in in_rows_of_others((job for job in jobs if job.passport), records):
        raise UserError(
            f"results={results} already holds {job.model} ({job.protocol}) on {job.dataset} of other data or of "
            "another version of the training code: use another results folder, or move the old records away"
        )


def check_weights(run: schema.RunConfig) -> None:
    """Raise UserError where weights are to be kept that cannot be used on new series."""
    if run.save_weights and run.task == "segmentation" and (run.protocol.truncate < 1 or run.protocol.permute_time):
        raise UserError(
            "save_weights=true keeps networks for streams of any kind, and protocol.truncate and permute_time are for "
            "cases: leave out one of them"
        )
    for name, value in (("noise", run.protocol.noise), ("test_noise", run.protocol.test_noise)):
        if value and (run.save_weights or run.protocol.init_from is not None):
            raise UserError(
                f"protocol.{name}={value:g} is drawn for the cases of the dataset, and weights are kept "
                "(save_weights=true, protocol.init_from, tsfcn explain) for series without it: leave out one of the two"
            )


def check_libraries(jobs: Iterable[Job], save_weights: bool) -> None:
    """Raise UserError for a classifier of a library that cannot be had, or not with these settings."""
    for job in {job.model: job for job in jobs}.values():
        from tsfcn.training import library_classifier

        config = job.model_config()
        assert isinstance(config, LibraryConfig)
        library_classifier.find(job.library, config)
        if save_weights:
            raise UserError(
                f"save_weights=true is not for {job.library}, which keeps no weights: leave out one of them"
            )


def check_networks(jobs: Iterable[Job]) -> None:
    """Raise UserError for a network of the user that fails on the data of every job, before anything is trained."""
    variants: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        if model_spec.spec(job.architecture).own_initialisation:
            variants.setdefault((job.architecture, job.model), []).append(job)
    for (architecture, _), of_variant in variants.items():
        from tsfcn.models import registry

        config, failures = of_variant[0].model_config(), []
        for data in dict.fromkeys(map(cost.sizes, of_variant)):
            try:
                registry.try_out(architecture, config, data.n_channels, data.length, data.n_classes)
                break
            except UserError as error:  # those jobs fail, others may not
                failures.append(error)
        else:
            raise failures[0]


def download_missing(prepared: RunPlan) -> RunPlan:
    """Return the plan with the missing datasets downloaded, where that is wanted."""
    run = prepared.request.run
    missing = [name for name, (status, _) in prepared.unusable.items() if status == "skipped"]
    if run.dry_run or not agreed(run.archive, missing):
        return prepared
    failed = download(run.archive, missing)
    jobs, unusable = plan_jobs(prepared.request, prepared.placement.device, prepared.records)
    unusable |= {name: ("skipped", why) for name, why in failed.items() if name in unusable}
    return replace(prepared, jobs=jobs, unusable=unusable)


def agreed(settings: schema.ArchiveConfig, missing: list[str]) -> bool:
    """Say whether the missing datasets shall be downloaded: as archive.download says, or as the user answers."""
    if not missing or settings.download == "never":
        return False
    if settings.download == "auto":
        return True
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    site = fetch.public_address(settings.mirror or locate.SITE)
    named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    print(
        f"{len(missing)} {'dataset is' if len(missing) == 1 else 'datasets are'} not here: {named}\n"
        f"download about {size(fetch.estimate(missing))} from {site}? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def download(settings: schema.ArchiveConfig, missing: list[str]) -> dict[str, str]:
    """Download datasets to where the archive lies, with a line each. Returns why some failed, by name."""
    root = importer.destination(settings.root)
    print(f"downloading {counted(len(missing), 'dataset')} to '{root}'", file=sys.stderr, flush=True)
    failed = {}
    for result in fetch.fetch_several(missing, root, settings.mirror):
        if result.reason is None:
            print(result.line, file=sys.stderr, flush=True)
        else:  # told once, when all are done
            failed[result.name] = f"dataset '{result.name}' is not available: {result.reason}"
    return failed
