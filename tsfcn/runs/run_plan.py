"""A run, its jobs, what is known of them, and what those to be run will take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tsfcn.common import device as devices
from tsfcn.common import machine
from tsfcn.config import schema
from tsfcn.config.compose import Composed
from tsfcn.jobs import cost, store
from tsfcn.jobs.plan import Job
from tsfcn.jobs.record import Record, renamed
from tsfcn.runs.placement import Placement
from tsfcn.runs.planning import Unusable


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    composed: tuple[Composed, ...]  # combinations of settings that differ in model, protocol, data and seeds alone
    command: str  # as one line of results/commands.txt

    @property
    def run(self) -> schema.RunConfig:
        """The settings that all combinations share: those of the machine and of the results folder."""
        return self.composed[0].run

    @cached_property
    def results(self) -> Path:
        """The results folder."""
        return Path(self.run.results)

    @property
    def budget_seconds(self) -> float:
        """The time that the run may take; infinite without a budget."""
        return math.inf if self.run.budget is None else cost.duration("budget", self.run.budget)


@dataclass(frozen=True)
class RunPlan:
    """The jobs of a run, what is known of them, and what those to be run will take."""

    request: Request
    placement: Placement
    reader: store.Reader  # has given all records that were there
    records: list[Record]  # those that count
    failures: dict[str, int]  # failed attempts by key
    jobs: list[Job]
    unusable: Unusable

    @cached_property
    def same(self) -> list[Record]:
        """Records of jobs that were trained under another name, under the names asked for now."""
        return twins(self.jobs, self.records)

    @cached_property
    def by_job(self) -> dict[tuple[str, str, str], Record]:
        """The records, by what identifies a job under its name."""
        return {record.identity: record for record in [*self.records, *self.same]}

    @cached_property
    def sources(self) -> set[str]:
        """The keys of the jobs whose weights a job to be run starts from."""
        return {job.source["key"] for job in self.jobs if job.source and self.state(job) == "pending"}

    def done(self, record: Record) -> bool:
        """Return whether a record ends its job."""
        run = self.request.run
        weights = run.save_weights or (record.source is None and record.key in self.sources)
        return store.done(record, self.request.results, weights, run.require_predictions)

    def state(self, job: Job) -> str:
        """Return done, pending, failed (too often to be tried again), or why its dataset is not usable."""
        if not job.passport:
            return self.unusable[job.dataset][0]
        record = self.by_job.get(job.identity)
        if record is None:
            return "pending"
        if self.done(record):
            return "done"
        tried = record.status == "failed" and self.failures.get(job.key, 0) >= self.request.run.max_attempts
        return "failed" if tried else "pending"

    @cached_property
    def states(self) -> dict[str, str]:
        """The state of each job, by key."""
        return {job.key: self.state(job) for job in self.jobs}

    @cached_property
    def model(self) -> cost.Model:
        """The cost model, from the records."""
        device = self.placement.device
        hardware = devices.gpu(device) or machine.processor()
        return cost.Model(self.records, hardware, self.request.run.engine.name, device)

    @cached_property
    def seconds(self) -> dict[str, float]:
        """What each job to be run will take, by key."""
        return self.model.estimates(job for job in self.jobs if self.states[job.key] == "pending")

    @cached_property
    def pending(self) -> list[Job]:
        """The jobs to be run: sources of others first, then those that take longest, so that workers end together.

        A job that has several names is there once.
        """
        jobs: dict[str, Job] = {}
        for job in self.jobs:
            if job.key in self.seconds:
                jobs.setdefault(job.key, job)
        return sorted(jobs.values(), key=lambda job: (job.key in self.sources, self.seconds[job.key]), reverse=True)

    @cached_property
    def n_workers(self) -> int:
        """How many jobs make progress at a time, for estimates."""
        n_workers = self.placement.n_at_a_time()
        return n_workers if self.placement.on_cpu else min(n_workers, cost.SIDE_BY_SIDE)

    @cached_property
    def fitting(self) -> set[str]:
        """The keys of the jobs that fit into the budget."""
        budget = self.request.budget_seconds
        return cost.fitting(self.seconds, self.n_workers, budget) if budget < math.inf else set(self.seconds)

    @property
    def order(self) -> list[Job]:
        """The jobs to be run; what does not fit comes last, the shortest first, since estimates may be too long."""
        first = [job for job in self.pending if job.key in self.fitting]
        return first + [job for job in reversed(self.pending) if job.key not in self.fitting]


def twins(jobs: list[Job], records: list[Record]) -> list[Record]:
    """Return the records of jobs that were trained under another name, under the names that are asked for now."""
    finished = {record.key: record for record in records if record.is_ok}
    named = {record.identity for record in records}
    return [renamed(finished[job.key], job) for job in jobs if job.key in finished and job.identity not in named]
