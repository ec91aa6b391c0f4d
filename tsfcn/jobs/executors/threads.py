"""Jobs in threads that share a GPU."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue

from tsfcn.common import device
from tsfcn.common.errors import UserError
from tsfcn.jobs import lease, store
from tsfcn.jobs.executors.inline import signals_held
from tsfcn.jobs.plan import Job, Terms
from tsfcn.jobs.queue import LOOK_SECONDS, PROGRESS_SECONDS, STOP_SECONDS, Event, Queue
from tsfcn.jobs.record import Record


class Thread:
    """A thread and the job that it has in hand. It answers on `answers` and does not touch the queue of jobs."""

    def __init__(
        self,
        number: int,
        results: Path,
        writer: store.Writer,
        terms: Terms,
        answers: SimpleQueue[Answer],
        clock: Callable[[], float],
    ) -> None:
        self.number = number
        self.clock = clock  # the processor time of its jobs
        self.results, self.writer, self.terms, self.answers = results, writer, terms, answers
        self.job: Job | None = None
        self.inbox: SimpleQueue[Callable[[], Record] | None] = SimpleQueue()
        # A daemon: the second Ctrl-C does not wait for it.
        self.thread = threading.Thread(target=self.live, name=f"job {number}", daemon=True)
        self.thread.start()

    def live(self) -> None:
        """Run each job that comes, all on the same CUDA stream, until there are no more."""
        try:
            with device.stream(self.terms.device):
                while (run := self.inbox.get()) is not None:
                    self.answers.put((self, outcome(run)))
        except Exception as error:  # the device is gone
            self.answers.put((self, error))

    def give(self, job: Job, number: int, runner: str, stop: Callable[[], bool]) -> None:
        """Hand the thread its next job. number, runner: of the job's lease; stop: stop_requested after each epoch."""
        from tsfcn.jobs.run_job import run_job

        self.job = job
        reported = 0.0

        def progress(epoch: int, epochs: int, loss: float) -> None:
            nonlocal reported
            if time.monotonic() - reported >= PROGRESS_SECONDS:
                reported = time.monotonic()
                self.answers.put((self, Event("progress", self.number, job, epoch, epochs, loss)))

        def is_held() -> bool:
            return lease.holds(self.results, job.key, number, runner)

        def run() -> Record:
            return run_job(
                *(job, self.results, self.writer),
                **asdict(self.terms),
                progress=progress,
                stop=stop,
                is_held=is_held,
                clock=self.clock,
            )

        self.inbox.put(run)

    def end(self) -> None:
        """Let the thread end after the job that it has in hand."""
        self.inbox.put(None)


LOST = r"^\w+: CUDA error"  # of a reason: after this nothing works on the GPU in this process
Answer = tuple[Thread, Event | Record | Exception]


def outcome(run: Callable[[], Record]) -> Record | Exception:
    """Return the record of a job, or what it raised."""
    try:
        return run()
    except Exception as error:
        return error


def run(
    queue: Queue, terms: Terms, n_at_a_time: int, on_progress: Callable[[Event], None] = lambda event: None
) -> Generator[Event]:
    """Run the jobs in this process, `n_at_a_time` at a time, each in a thread with a CUDA stream of its own.

    For a GPU: processes would take turns on it. The first Ctrl-C or SIGTERM lets every job finish its epoch and keep
    its state, the second ends at once; so does closing the generator, within STOP_SECONDS. Raises OSError where the
    disk is full and UserError where the GPU fails for good.
    """
    from tsfcn.training.checkpoint import Stopped

    writer = store.Writer(queue.results)
    answers: SimpleQueue[Answer] = SimpleQueue()
    # Torch trains on a GPU in threads of its own too: they count where they are of one job alone.
    clock = time.process_time if n_at_a_time == 1 else time.thread_time
    pool: list[Thread] = []
    closing = threading.Event()

    def busy() -> list[Thread]:
        return [thread for thread in pool if thread.job is not None]

    def idle() -> Thread | None:
        return next((thread for thread in pool if thread.job is None), None)

    def settled(thread: Thread, answer: Record | Exception) -> Event:
        """Return what became of the job that a thread had in hand."""
        job, thread.job = thread.job, None
        assert job is not None
        if isinstance(answer, Stopped):
            return queue.returned(job, "it was stopped")
        if isinstance(answer, Exception):
            raise answer
        queue.end(job)
        return Event("end", thread.number, job, record=answer)

    from tsfcn.training.threads import one_thread

    with signals_held() as stop_requested, one_thread():  # each job has one by itself, too
        try:
            while True:
                while not stop_requested() and (idle() or len(pool) < n_at_a_time) and (job := queue.take()):
                    if (thread := idle()) is None:
                        pool.append(thread := Thread(len(pool), queue.results, writer, terms, answers, clock))

                    def stop(key: str = job.key) -> bool:
                        late = time.monotonic() > queue.deadline
                        return late or closing.is_set() or stop_requested() or key in queue.runner.gone

                    thread.give(job, queue.runner.held[job.key], queue.runner.about["id"], stop)
                    yield Event("start", thread.number, job)
                yield from queue.ended_elsewhere()
                if not busy() and (stop_requested() or not queue.is_open()):
                    break
                with contextlib.suppress(Empty):
                    thread, answer = answers.get(timeout=LOOK_SECONDS / 4)
                    if isinstance(answer, Event):
                        yield answer
                        continue
                    event = settled(thread, answer)
                    yield event
                    record = event.record
                    if record is not None and record.status == "failed" and re.search(LOST, record.reason):
                        raise UserError(
                            f"device={terms.device} fails, and with it whatever this process starts "
                            f"({record.reason}): start the same command again"
                        )
        finally:
            closing.set()
            for thread in pool:
                thread.end()
            if busy():
                atexit.register(exit_at_once, pool, 130 if stop_requested() else 1)
            deadline = time.monotonic() + (0 if stop_requested() else STOP_SECONDS)
            for thread in busy():
                thread.thread.join(max(0.0, deadline - time.monotonic()))
    if stop_requested():
        raise KeyboardInterrupt


def exit_at_once(pool: list[Thread], code: int) -> None:
    """End this process if a thread is still in the middle of an epoch: Python would abort in torch's code there."""
    if any(thread.thread.is_alive() for thread in pool):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
