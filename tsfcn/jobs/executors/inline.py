"""Jobs one after another in this process."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict

from tsfcn.common import signals
from tsfcn.jobs import lease, store
from tsfcn.jobs.plan import Job, Terms
from tsfcn.jobs.queue import LOOK_SECONDS, PROGRESS_SECONDS, STOPPING, Event, Queue


def run(
    queue: Queue, terms: Terms, n_at_a_time: int = 1, on_progress: Callable[[Event], None] = lambda event: None
) -> Generator[Event]:
    """Run the jobs in the calling thread (see Executor), always one at a time: a debugger can follow.

    The first Ctrl-C, SIGTERM or the like lets the epoch end and the job's state be written, a Ctrl-C after it ends at
    once.
    """
    from tsfcn.jobs.run_job import run_job
    from tsfcn.training.checkpoint import Stopped

    writer = store.Writer(queue.results)
    with signals_held() as stop_requested:
        while not stop_requested():
            job = queue.take()
            yield from queue.ended_elsewhere()
            if job is None:
                if not queue.is_open():
                    return
                time.sleep(LOOK_SECONDS / 4)
                continue
            yield Event("start", 0, job)
            reported = 0.0

            def progress(epoch: int, epochs: int, loss: float, job: Job = job) -> None:
                nonlocal reported
                if time.monotonic() - reported >= PROGRESS_SECONDS:
                    reported = time.monotonic()
                    on_progress(Event("progress", 0, job, epoch, epochs, loss))

            def stop(key: str = job.key) -> bool:
                return stop_requested() or key in queue.runner.gone or time.monotonic() > queue.deadline

            number = queue.runner.held[job.key]

            def is_held(key: str = job.key, number: int = number) -> bool:
                return lease.holds(queue.results, key, number, queue.runner.about["id"])

            try:
                record = run_job(
                    job, queue.results, writer, **asdict(terms), progress=progress, stop=stop, is_held=is_held
                )
            except Stopped:
                yield queue.returned(job, "it was stopped")
                continue
            queue.end(job)
            yield Event("end", 0, job, record=record)
    raise KeyboardInterrupt


@contextlib.contextmanager
def signals_held() -> Iterator[Callable[[], bool]]:
    """Only note signals that ask to stop; the yielded function returns whether one came. A later Ctrl-C interrupts."""
    noted: list[int] = []

    def note(signum: int, frame: object) -> None:
        if not noted:
            print(STOPPING, file=sys.stderr, flush=True)
        elif signum == signal.SIGINT:
            raise KeyboardInterrupt
        noted.append(signum)
        signals.came.append(signum)

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {each: signal.signal(each, note) for each in signals.stop_signals()}
    try:
        yield lambda: bool(noted)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
