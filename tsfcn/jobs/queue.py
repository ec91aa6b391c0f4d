"""The jobs of a run that wait, and what happens to them.

An executor (tsfcn.jobs.executors) takes a queue of jobs and yields events; a record is written by whoever ran the
job. That is all of the interface: an executor on other machines takes jobs from the same queue, whose leases keep
runners apart.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tsfcn.common.streams import notice
from tsfcn.jobs import lease, store
from tsfcn.jobs.plan import Job
from tsfcn.jobs.record import Record

KILLED = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")  # a worker that ends so was killed from outside
KILLS = 20  # how often the worker of a job may be killed from outside; its own deaths count as failed attempts
PROGRESS_SECONDS = 0.5
LOOK_SECONDS = 1.0  # between two looks at jobs that other runners have
STOP_SECONDS = 20.0  # for a worker to finish its epoch; managers of machines kill after 30 seconds or so


def cause_of_death(code: int) -> str:
    """Return the name of the signal, or the exit code, of a process by subprocess' return code.

    >>> cause_of_death(-2), cause_of_death(1)
    ('SIGINT', 'exit code 1')
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # the real-time signals have no names
        return f"signal {-code}"


@dataclass(frozen=True)
class Event:
    """Something that happened to a job.

    'start'; 'progress' (epoch of epochs, training loss); 'end' (its record, perhaps of another runner: elsewhere);
    'back' (it has no record and waits again: reason).
    """

    kind: str
    worker: int
    job: Job
    epoch: int = 0
    epochs: int = 0
    loss: float = float("nan")
    record: Record | None = None
    reason: str = ""
    elsewhere: bool = False


class Queue:
    """The jobs of a run that are still to be done, in the order in which they are to be started.

    A job that is taken from it is ours by its lease until `end`; one that another runner has, or has finished, is left
    to it. failures: how often each key has failed before; done: whether a record ends its job; seconds: what a job will
    take; budget_seconds: jobs that would end later are not started; waits: whether the run goes on while other runners
    have jobs of it, to take those over that they lose.
    """

    def __init__(
        self,
        jobs: list[Job],
        results: Path,
        runner: lease.Runner,
        *,
        reader: store.Reader | None = None,
        max_attempts: int = 3,
        failures: dict[str, int] | None = None,
        done: Callable[[Record], bool] = lambda record: True,
        seconds: Callable[[Job], float] = lambda job: 0.0,
        budget_seconds: float = math.inf,
        waits: bool = True,
    ) -> None:
        self.waiting = {job.key: job for job in jobs}
        self.results = results
        self.runner = runner
        if reader is None:
            reader = store.Reader(results)
            reader.new()  # what is there already has been considered
        self.reader = reader
        self.max_attempts = max_attempts
        self.failures = dict(failures or {})
        self.kills: dict[str, int] = {}
        self.done = done
        self.seconds = seconds
        self.deadline = time.monotonic() + budget_seconds
        self.waits = waits
        self.left_to_others = False  # the waiting jobs, when we last looked
        self.in_hand: dict[str, Record | None] = {}  # by key, its record once it is on disk
        self.elsewhere: list[Event] = []
        self.next_look = 0.0
        self.writer = store.Writer(results)

    def take(self) -> Job | None:
        """Return the next job, which is ours now; None if there is none to start at the moment."""
        if not self.waiting or time.monotonic() < self.next_look:
            return None
        others = (lease.highest(self.results).keys() & self.waiting.keys()) - self.runner.held.keys()
        for key in sorted(self.waiting, key=others.__contains__) if others else list(self.waiting):
            job = self.waiting.get(key)
            if job is None or self.late(job) or self.lacks_source(job):
                continue
            if key not in self.runner.held and not self.runner.claim(key, {"dataset": job.dataset, "model": job.model}):
                continue
            self.look()
            if key in self.waiting:
                del self.waiting[key]
                self.in_hand[key] = None
                return job
            self.runner.release(key)
        self.look()
        self.next_look = time.monotonic() + LOOK_SECONDS
        self.left_to_others = bool(self.waiting)
        if self.waits and self.waiting and not self.in_hand:
            self.name_holders()
        return None

    def name_holders(self) -> None:
        """Print, once for each set of them, which runners have the jobs that this run waits for."""
        held = lease.highest(self.results)
        holders = {lease.holder(self.results, key, held[key]) for key in list(self.waiting)[:100] if key in held}
        if holders:
            notice(f"waiting for jobs that other runners have: {', '.join(sorted(holders)[:5])}")

    def late(self, job: Job) -> bool:
        """Return whether the job would end after the budget."""
        return self.deadline < math.inf and time.monotonic() + self.seconds(job) > self.deadline

    def lacks_source(self, job: Job) -> bool:
        """Return whether the weights that the job starts from are those of a job that has not ended."""
        return job.source is not None and (job.source["key"] in self.waiting or job.source["key"] in self.in_hand)

    def is_open(self) -> bool:
        """Return whether there may be jobs to start, now or later."""
        if self.left_to_others and not self.waits:
            return False
        return any(not self.late(job) for job in self.waiting.values())

    def look(self) -> None:
        """See which records have come."""
        for record in self.reader.new():
            key = record.key
            if key in self.in_hand:
                self.in_hand[key] = record
            elif key in self.waiting and (not record.is_ok or self.done(record)):
                self.elsewhere.append(Event("end", -1, self.waiting.pop(key), record=record, elsewhere=True))

    def ended_elsewhere(self) -> Iterator[Event]:
        """Yield the ends of jobs that other runners have finished."""
        while self.elsewhere:
            yield self.elsewhere.pop(0)

    def end(self, job: Job) -> None:
        """Take note that the job has its record."""
        self.in_hand.pop(job.key, None)
        self.next_look = 0.0  # others may have waited for its weights
        self.runner.release(job.key)

    def returned(self, job: Job, reason: str) -> Event:
        """Return what becomes of a job whose training was stopped: it waits again, unless its record was written."""
        self.look()
        record = self.in_hand[job.key]
        if record is not None:
            self.end(job)
            return Event("end", -1, job, record=record)
        self.put_back(job)
        return Event("back", -1, job, reason=reason)

    def put_back(self, job: Job) -> None:
        """Let the job wait again, before all others; it is not ours any more."""
        self.in_hand.pop(job.key, None)
        if job.key in self.runner.held:
            self.runner.release(job.key)
        self.waiting = {job.key: job, **self.waiting}
        self.left_to_others = False
        self.next_look = 0.0

    def died(self, job: Job, code: int, out_of_memory: bool) -> Event:
        """Return what the death of a job's worker means for the job: its end, or another try.

        A worker that was killed from outside is no fault of the job, unless that happens without end. Any other death
        is a failed attempt, and recorded as such.
        """
        cause = cause_of_death(code)
        if cause in KILLED and not out_of_memory:
            self.kills[job.key] = self.kills.get(job.key, 0) + 1
            if self.kills[job.key] < KILLS:
                return self.returned(job, f"its worker was killed ({cause})")
            reason = (
                f"its worker was killed {KILLS} times, lastly by {cause}: use fewer executor.workers if it is memory"
            )
        else:
            advice = "too little memory: use fewer executor.workers" if out_of_memory else "see above"
            reason = f"its worker died by {cause}: {advice}"
        self.look()
        if self.in_hand[job.key] is not None:  # it died after its work was done
            return self.returned(job, reason)
        from tsfcn.jobs.run_job import describe

        record = describe(job, "failed", reason)
        self.writer.write(record)
        self.look()
        self.failures[job.key] = self.failures.get(job.key, 0) + 1
        if self.failures[job.key] < self.max_attempts and self.kills.get(job.key, 0) < KILLS:
            self.put_back(job)
            return Event("back", -1, job, reason=reason)
        self.end(job)
        return Event("end", -1, job, record=record)


STOPPING = "stopping: the jobs in hand finish their epoch and keep their state (Ctrl-C: at once)"
