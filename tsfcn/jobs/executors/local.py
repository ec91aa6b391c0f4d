"""Jobs in worker processes."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tsfcn.common import machine
from tsfcn.common.errors import UserError
from tsfcn.config import models
from tsfcn.config.model_spec import ENTRY_POINTS
from tsfcn.jobs.plan import Job, Terms
from tsfcn.jobs.queue import LOOK_SECONDS, STOP_SECONDS, STOPPING, Event, Queue
from tsfcn.jobs.record import from_json

STILLBORN = 3  # workers in a row that end before they are ready
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
# glibc raises the size from which a block has pages of its own, and is given back, to that of the blocks that it sees.
# So a worker grew with its jobs, to 1 GB after 30 small ones; with fixed sizes it stays at what its largest job takes.
# Keeping freed memory, up to a size, spares the training its page faults (15 % of its time).
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(16 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20)}


class Worker:
    """A worker process and the job that it has in hand."""

    def __init__(self, results: Path, number: int) -> None:
        environment = {**MALLOC, **os.environ, **dict.fromkeys(THREADS, "1")}
        here = str(Path(__file__).parents[3])  # a checkout need not be installed
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), here]))
        self.number = number
        self.job: Job | None = None
        self.ready = False
        self.stopping = False
        self.threads = 1  # of a step, as it was told
        self.oom_kills = 0  # of the system, when the job began
        self.torn = b""  # the beginning of a line whose end has not come yet
        self.process = subprocess.Popen(
            # -P: a file of the user's in this folder, named as a module is, must not be taken for it.
            [sys.executable, "-P", "-m", "tsfcn.jobs.worker", str(results)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the workers
        )

    def give(self, job: Job, terms: Terms, number: int, runner: str) -> None:
        """Hand the worker its next job. number, runner: of the job's lease."""
        self.job = job
        self.oom_kills = oom_kills()
        self.tell({"job": job.to_json(), "terms": asdict(terms), "lease": number, "runner": runner})

    def use_threads(self, count: int) -> None:
        """Let the worker use so many threads for a step from now on."""
        if count != self.threads:
            self.threads = count
            self.tell({"threads": count})

    def tell(self, message: dict[str, Any]) -> None:
        """Send the worker a message."""
        assert self.process.stdin is not None
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
        answers = [json.loads(line) for line in whole]
        self.ready = self.ready or any("ready" in answer for answer in answers)
        self.stopping = self.stopping or any("stopped" in answer for answer in answers)
        return answers

    def stop(self) -> None:
        """Ask the worker to finish the epoch, to keep its state and to end."""
        self.stopping = True
        self.process.terminate()

    def end(self) -> dict[str, Any]:
        """End the process, and return what that means as an answer.

        Returns:
            `stillborn`: its exit code, if it ended before it was ready; `stopped`, if it was asked to end; or `died`:
            its return code, and whether that was for want of memory.
        """
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        code = self.process.wait()
        if not self.ready and code >= 0:
            return {"stillborn": code}
        return {"stopped": ""} if self.stopping else {"died": code, "out_of_memory": oom_kills() > self.oom_kills}


def oom_kills() -> int:
    """Return how many processes the kernel has killed for want of memory, as far as this machine tells."""
    n_kills = 0
    for path in ("/proc/vmstat", "/sys/fs/cgroup/memory.events"):
        with contextlib.suppress(OSError), open(path) as file:
            n_kills += sum(int(line.split()[1]) for line in file if line.split()[0] == "oom_kill")
    return n_kills


def check_models(jobs: Iterable[Job]) -> None:
    """Raise UserError for a model that is registered in this process alone: workers would not find it."""
    for name in {job.architecture: None for job in jobs}:
        if not models.in_every_process(name):
            raise UserError(
                f"model '{name}' is registered in this process alone, where workers do not see it: use "
                f"executor=inline, or declare it as an entry point of the group {ENTRY_POINTS}"
            )


def settled(queue: Queue, number: int, job: Job, answer: Mapping[str, Any]) -> Event:
    """Return what became of a job by the last answer of its worker. Raises OSError where the disk is full.

    number: of the place where the job was trained.
    """
    if "full" in answer:
        raise OSError(*answer["full"])
    if "record" in answer:
        queue.end(job)
        return Event("end", number, job, record=from_json(answer["record"]))
    if "stopped" in answer:
        return queue.returned(job, "it was stopped")
    return queue.died(job, answer["died"], answer["out_of_memory"])


def run(
    queue: Queue, terms: Terms, n_at_a_time: int, on_progress: Callable[[Event], None] = lambda event: None
) -> Generator[Event]:
    """Run the jobs in `n_at_a_time` worker processes (see Executor), in the given order.

    With terms.threads = 0 the workers share the cores that would idle when few jobs are left. A worker that dies is
    replaced, and what becomes of its job is up to the queue. When the generator is closed, by Ctrl-C too, the workers
    finish their epoch, within STOP_SECONDS, and the jobs in hand leave a checkpoint and no record. Raises OSError where
    the disk is full and UserError where no worker can be started.
    """
    workers: dict[int, Worker] = {}
    stillborn, n_cores = 0, machine.cores()
    selector = selectors.DefaultSelector()

    def hire() -> Worker:
        number = next(n for n in range(n_at_a_time) if n not in workers)
        workers[number] = worker = Worker(queue.results, number)
        assert worker.process.stdout is not None
        selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        return worker

    def dismiss(worker: Worker) -> dict[str, Any]:
        selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        del workers[worker.number]
        return worker.end()

    def share_cores() -> None:
        """Tell each busy worker its share of the cores, one more to those hired first, which have the longest jobs."""
        busy = [worker for _, worker in sorted(workers.items()) if worker.job is not None]
        n_waiting = 0 if queue.left_to_others else len(queue.waiting)
        n_running = min(n_at_a_time, len(busy) + n_waiting)
        for i, worker in enumerate(busy):
            worker.use_threads(max(1, (n_cores + n_running - 1 - i) // n_running))

    def idle() -> Worker | None:
        return next((worker for worker in workers.values() if worker.job is None and not worker.stopping), None)

    def receive(worker: Worker) -> Iterator[Event]:
        """Yield the events that the messages of a worker stand for."""
        nonlocal stillborn
        job, answers = worker.job, worker.answers()
        if answers is None:
            death = dismiss(worker)
            answers = [] if job is None else [death]
        for answer in answers:
            if "ready" in answer:
                stillborn = 0
                continue
            assert job is not None
            if "epoch" in answer:
                yield Event("progress", worker.number, job, **answer)
            elif "stillborn" in answer:
                stillborn += 1
                if stillborn >= STILLBORN:
                    code = answer["stillborn"]
                    raise UserError(f"executor=local starts no worker, {STILLBORN} ended with {code}: see above why")
                queue.put_back(job)
            else:
                event = settled(queue, worker.number, job, answer)
                worker.job = None
                yield event

    try:
        while True:
            while (worker := idle()) or len(workers) < n_at_a_time:
                job = queue.take()
                if job is None:
                    break
                worker = worker or hire()
                worker.give(job, terms, queue.runner.held[job.key], queue.runner.about["id"])
                yield Event("start", worker.number, job)
            if not terms.threads:
                share_cores()
            yield from queue.ended_elsewhere()
            while not queue.waiting and (worker := idle()):
                dismiss(worker)
            if not any(worker.job for worker in workers.values()) and not queue.is_open():
                return
            for key, _ in selector.select(LOOK_SECONDS / 2):
                yield from receive(key.data)
            for worker in list(workers.values()):
                if worker.job is not None and not worker.stopping:
                    if worker.job.key in queue.runner.gone:  # we were taken for dead
                        lost = worker.job
                        dismiss(worker)
                        yield queue.returned(lost, "another runner has taken it over")
                    elif time.monotonic() > queue.deadline:
                        worker.stop()
            if time.monotonic() > queue.deadline + STOP_SECONDS:
                for worker in list(workers.values()):
                    worker.process.kill()
    finally:
        try:
            retire(workers)
        finally:
            for worker in list(workers.values()):
                dismiss(worker)
            selector.close()


def retire(workers: dict[int, Worker]) -> None:
    """Let workers that are in the middle of a job finish their epoch, within STOP_SECONDS."""
    busy = [worker for worker in workers.values() if worker.job is not None]
    for worker in busy:
        worker.stop()
    started, announced = time.monotonic(), False
    while any(worker.process.poll() is None for worker in busy):
        waited = time.monotonic() - started
        if waited > STOP_SECONDS:
            return
        if waited > 0.5 and not announced:
            announced = True
            print(STOPPING, file=sys.stderr, flush=True)
        time.sleep(0.02)
