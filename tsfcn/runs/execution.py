"""Runs the jobs of a plan, and records those that cannot be run."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from tsfcn.config import init_from
from tsfcn.jobs import artifacts, initial_weights, lease, store
from tsfcn.jobs.monitor import Monitor
from tsfcn.jobs.plan import Job
from tsfcn.jobs.queue import Queue
from tsfcn.jobs.record import Record
from tsfcn.runs.run_plan import RunPlan, twins


@dataclass(frozen=True)
class Outcome:
    """What running the jobs of a plan left."""

    records: list[Record]  # of the results folder
    left: list[Job]  # that have no record
    seconds_left: float  # what these will take


def execute(prepared: RunPlan) -> Outcome:
    """Run the jobs of a plan that are to be run, and record those that cannot be."""
    request, results = prepared.request, prepared.request.results
    writer = store.Writer(results)
    if prepared.same:
        for record in twins(prepared.jobs, store.read(results)):
            writer.write(record)
        store.remember(results, request.command)
    record_unusable(prepared)
    if not prepared.pending:
        return Outcome(store.read(results), [], 0.0)
    store.check_writable(results)
    path = store.write_plan(results, request.command, prepared.jobs)
    with lease.Runner(results) as runner:
        monitor = Monitor(prepared.order, prepared.n_workers, model=prepared.model, runner=runner)
        queue = Queue(
            prepared.order,
            results,
            runner,
            reader=prepared.reader,
            max_attempts=request.run.max_attempts,
            failures=prepared.failures,
            done=prepared.done,
            seconds=prepared.model.seconds,
            budget_seconds=request.budget_seconds,
            waits=prepared.placement.waits,
        )
        keep_files(prepared)
        # Closing ends the workers, whatever happens.
        stream = prepared.placement.events(queue, prepared.sources, monitor.see)
        with contextlib.closing(stream), monitor.ticking():
            for event in stream:
                monitor.see(event)
                if event.record is not None and event.record.is_ok:
                    store.remember(results, request.command)
    records = store.read(results)
    late = twins(prepared.jobs, records)  # trained by another runner meanwhile, under another name
    if late:
        for record in twins(prepared.jobs, store.read(results)):
            writer.write(record)
    ended = {record.key for record in records}
    left = [job for job in prepared.pending if job.key not in ended]
    artifacts.remove_old_checkpoints(results, {record.key for record in records if record.is_ok})
    if not left:
        store.remove_plan(path)
    return Outcome([*records, *late], left, sum(map(prepared.model.seconds, left)))


def record_unusable(prepared: RunPlan) -> None:
    """Record the jobs of datasets that cannot be used as skipped or failed, once for each reason."""
    unrecorded = []
    for job in prepared.jobs:
        if not job.passport:
            record = prepared.by_job.get(job.identity)
            if record is None or record.reason != prepared.unusable[job.dataset][1]:
                unrecorded.append(job)
    if not unrecorded:
        return  # describing a job takes torch, whose version stands in the record
    from tsfcn.jobs.run_job import describe

    writer = store.Writer(prepared.request.results)
    for job in unrecorded:
        writer.write(describe(job, *prepared.unusable[job.dataset]))


def keep_files(prepared: RunPlan) -> None:
    """Copy the weights files that jobs start from into the results folder."""
    for run, _ in prepared.request.composed:
        start = None if run.protocol.init_from is None else init_from.parse(run.protocol.init_from)
        if start is not None and start.kind == "weights":
            initial_weights.keep_file(start.file, prepared.request.results)
