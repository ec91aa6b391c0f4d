"""Where jobs run: in this process, or in local worker processes of one thread each.

Both executors yield the same events, and a record is written by whoever ran the job. A worker is this module run as a
program (`python -m tsfcn.execute RESULTS`): it reads a job a line from its standard input and answers in JSON lines.
It ends at once when its input ends, so no worker outlives its run.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsfcn import store
from tsfcn.plan import Job

ATTEMPTS = 2  # a job whose worker died is tried once more, then recorded as failed
PROGRESS_SECONDS = 0.5


@dataclass(frozen=True)
class Event:
    """Something that happened to a job: 'start', 'progress' (epoch of epochs, training loss) or 'end' (its record)."""

    kind: str
    worker: int
    job: Job
    epoch: int = 0
    epochs: int = 0
    loss: float = float("nan")
    record: store.Record = field(default_factory=dict)


def cores() -> int:
    """Return the number of cores that this process may use, within the quota of its container."""
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # 'max 100000' where there is no quota
        quota, period = map(int, Path("/sys/fs/cgroup/cpu.max").read_text().split())
        n = min(n, max(1, quota // period))
    return n


def inline(jobs: list[Job], results: Path, root: str | None, save_weights: bool) -> Generator[Event]:
    """Run the jobs one after the other in this process, yielding an event at each start and each end."""
    from tsfcn.job import run_job

    writer = store.Writer(results)
    for job in jobs:
        yield Event("start", 0, job)
        yield Event("end", 0, job, record=run_job(job, results, writer, root=root, save_weights=save_weights))


class Worker:
    """A worker process and the job that it has in hand."""

    def __init__(self, results: Path, number: int) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        here = str(Path(__file__).parents[1])  # a checkout need not be installed
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), here]))
        self.number = number
        self.job: Job | None = None
        self.torn = b""  # the beginning of a line whose end has not come yet
        self.process = subprocess.Popen(
            # -P: a file of the user's in this folder, named as a module is, must not be taken for it.
            [sys.executable, "-P", "-m", "tsfcn.execute", str(results)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the workers
        )

    def give(self, job: Job, root: str | None, save_weights: bool, n_sharing: int) -> None:
        """Hand the worker its next job."""
        self.job = job
        assert self.process.stdin is not None
        message = {"job": job.to_json(), "root": root, "save_weights": save_weights, "n_sharing": n_sharing}
        with contextlib.suppress(BrokenPipeError):  # where it died: answers() says so
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def answers(self) -> list[dict[str, Any]] | None:
        """Return the messages that have come, or None if the worker has ended."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 1 << 20)
        if not data:
            return None
        *whole, self.torn = (self.torn + data).split(b"\n")
        return [json.loads(line) for line in whole]

    def end(self) -> int:
        """End the process and return its exit code."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        return self.process.wait()


def local(jobs: list[Job], results: Path, root: str | None, save_weights: bool, n_workers: int) -> Generator[Event]:
    """Run the jobs in `n_workers` processes, yielding events as they come; in the given order, not awaiting each other.

    A worker that dies (killed, out of memory) is replaced and its job tried once more, then recorded as failed. When
    the generator is closed, by Ctrl-C too, the workers are ended; the jobs in hand leave no record.
    """
    waiting = deque(jobs)
    deaths: dict[str, int] = {}
    own = store.Writer(results)
    workers: list[Worker] = []
    selector = selectors.DefaultSelector()

    def hire(number: int) -> Worker:
        worker = Worker(results, number)
        assert worker.process.stdout is not None
        selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        workers.append(worker)
        return worker

    def dismiss(worker: Worker) -> int:
        selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        workers.remove(worker)
        return worker.end()

    def next_job(worker: Worker) -> Iterator[Event]:
        if waiting:
            job = waiting.popleft()
            worker.give(job, root, save_weights, n_workers)
            yield Event("start", worker.number, job)
        else:
            dismiss(worker)

    try:
        for number in range(min(n_workers, len(jobs))):
            yield from next_job(hire(number))
        while workers:
            for key, _ in selector.select():
                worker: Worker = key.data
                job = worker.job
                assert job is not None
                answers = worker.answers()
                if answers is None:
                    code = dismiss(worker)
                    deaths[job.key] = deaths.get(job.key, 0) + 1
                    if deaths[job.key] < ATTEMPTS:
                        waiting.appendleft(job)
                    else:
                        record = death_record(job, code)
                        own.write(record)
                        yield Event("end", worker.number, job, record=record)
                    if waiting:
                        yield from next_job(hire(worker.number))
                    continue
                for answer in answers:
                    if "record" in answer:
                        yield Event("end", worker.number, job, record=answer["record"])
                        yield from next_job(worker)
                    else:
                        yield Event("progress", worker.number, job, **answer)
    finally:
        for worker in list(workers):
            dismiss(worker)
        selector.close()


def death_record(job: Job, code: int) -> store.Record:
    """Return the record of a job whose workers died."""
    from tsfcn.job import describe

    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    advice = "too little memory is the usual cause: use fewer executor.workers" if how == "SIGKILL" else "see above"
    return describe(job, "failed", f"its worker died {ATTEMPTS} times, lastly by {how}: {advice}")


def work(results: Path) -> None:
    """Be a worker: run each job that comes on standard input, and answer on what was standard output."""
    from tsfcn.job import run_job

    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints goes to standard error

    def say(message: dict[str, Any]) -> None:
        try:
            answers.write(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            os._exit(1)  # the run is gone

    writer = store.Writer(results)
    said = 0.0

    def progress(epoch: int, epochs: int, loss: float) -> None:
        nonlocal said
        if time.monotonic() - said >= PROGRESS_SECONDS:
            said = time.monotonic()
            say({"epoch": epoch, "epochs": epochs, "loss": loss})

    messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            messages.put(line)
        os._exit(0)  # the run is gone, or needs this worker no more

    threading.Thread(target=listen, daemon=True).start()
    while True:
        message = json.loads(messages.get())
        job = Job(**message["job"])
        record = run_job(
            job,
            results,
            writer,
            root=message["root"],
            save_weights=message["save_weights"],
            n_sharing=message["n_sharing"],
            progress=progress,
        )
        say({"record": {name: value for name, value in record.items() if name != "curve"}})


if __name__ == "__main__":
    work(Path(sys.argv[1]))
