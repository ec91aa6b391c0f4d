"""Jobs as tasks of a Ray cluster: one that is there, or one of this machine that ends with the run.

A task asks Ray for a CPU for each thread, the memory that its job is estimated to need, and a share of a GPU if the run
has one. In it a worker process trains (tsfcn.jobs.worker), as with executor=local; it is kept for the next job. This
process hands out the jobs, has their leases, and keeps no more of them in Ray's queue than the cluster can train at a
time.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tsfcn.common import machine
from tsfcn.common.errors import UserError, first_line
from tsfcn.common.signals import stop_signals
from tsfcn.common.streams import notice
from tsfcn.jobs import cost
from tsfcn.jobs.executors.local import Worker, settled
from tsfcn.jobs.plan import Job, Terms
from tsfcn.jobs.queue import LOOK_SECONDS, STOP_SECONDS, STOPPING, Event, Queue

LOCAL = "local"  # the address of a cluster of this machine alone
CONNECT_SECONDS = 10.0
ASK_SECONDS = 1.0  # between two messages of a task to the board
OVERHEAD_BYTES = 2**28  # of a task beside its training: Ray's own worker process


@dataclass(frozen=True)
class Asked:
    """What the user asks for: where the cluster is, and what a job takes of it."""

    address: str = LOCAL  # of the cluster, or auto, or local
    gpus: float = 0.0  # of a GPU
    memory: float = 0.0  # bytes; 0: as the job is estimated to need
    workers: int = 0  # jobs at a time; 0: as many as the cluster has room for
    cpus: int = 1  # of a job: a core for each thread


def connect(asked: Asked) -> None:
    """Connect this process to the cluster, or start one of this machine; nothing if that was done.

    Raises:
        UserError: Ray is not installed, the cluster does not answer, or no node of it can ever take a job.
    """
    check_installed()
    import ray

    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        here = str(Path(__file__).parents[3])  # a checkout need not be installed on this machine
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), here]))
        check_address(asked.address)
        handlers = {each: signal.getsignal(each) for each in stop_signals()}
        local: dict[str, Any] = {"include_dashboard": False, "num_cpus": asked.workers * asked.cpus or machine.cores()}
        try:
            if asked.address == LOCAL:
                ray.init(address="local", logging_level=logging.ERROR, **local)
            else:
                ray.init(address=asked.address, logging_level=logging.ERROR)
        except (ray.exceptions.RayError, OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"executor.address={asked.address}: no Ray cluster answers there: {first_line(error)}"
            ) from None
        finally:
            for each, handler in handlers.items():  # Ray has set its own
                signal.signal(each, handler)
    if not places(asked):
        has = "; ".join(
            f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs, {node.get('memory', 0) / 2**30:.1f} GiB"
            for node in nodes()
        )
        ray.shutdown()
        asks = [f"{asked.cpus} CPU"] + [f"{asked.gpus:g} GPU"] * bool(asked.gpus)
        asks += [f"{asked.memory / 2**30:g} GiB"] * bool(asked.memory)
        raise UserError(
            f"executor=ray: no node of the cluster has {', '.join(asks)} for a job (there are: {has}): change "
            "executor.gpus or executor.memory, or add a node"
        )


def check_installed() -> None:
    """Raise UserError if Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise UserError("executor=ray needs Ray: pip install 'tsfcn[ray]'")


def check_address(address: str) -> None:
    """Raise UserError if nothing listens at HOST:PORT: Ray itself would try for ten minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:
        if address in (LOCAL, "auto"):
            return
        raise UserError(f"executor.address={address}: write {LOCAL}, auto, or the cluster's HOST:PORT")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(f"executor.address={address}: no Ray cluster answers there: {first_line(error)}") from None


def nodes() -> list[dict[str, float]]:
    """Return what each node of the cluster that lives has: CPU, GPU, memory in bytes."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def places(asked: Asked) -> int:
    """Return how many jobs the cluster has room for at a time; memory counts only where the user asks for it."""
    n_jobs = 0
    for node in nodes():
        shares = [node.get("CPU", 0.0) / asked.cpus]
        shares += [node.get("GPU", 0.0) / asked.gpus] if asked.gpus else []
        shares += [node.get("memory", 0.0) / asked.memory] if asked.memory else []
        n_jobs += math.floor(min(shares) + 1e-9)
    return min(n_jobs, asked.workers or n_jobs)


def memory(job: Job, asked: Asked, n_failures: int) -> int:
    """Return the bytes to ask Ray for: the estimate, twice as much after each failure, at most what a node has.

    A job that does not fit into the largest node is not waited for: there it is told that it does not fit.
    """
    largest = max((node.get("memory", 0.0) for node in nodes()), default=math.inf)
    needed = (asked.memory or 1.25 * cost.memory(job) + OVERHEAD_BYTES) * 2.0**n_failures
    return math.floor(min(needed, largest))


class Board:
    """Where tasks write how far they are, and read whether to stop: an actor beside the process that runs."""

    def __init__(self) -> None:
        self.news: dict[str, dict[str, Any]] = {}  # by key, what is not read yet
        self.stopping: set[str] = set()  # keys
        self.all_stop = False

    def tell(self, key: str, progress: dict[str, Any] | None) -> bool:
        """Take what a task says, and return whether it is to stop."""
        if progress:
            self.news[key] = progress
        return self.all_stop or key in self.stopping

    def read(self) -> dict[str, dict[str, Any]]:
        """Return what has come since the last call, by key."""
        news, self.news = self.news, {}
        return news

    def stop(self, keys: list[str] | None = None) -> None:
        """Let the tasks of these keys stop; None: all."""
        self.all_stop = self.all_stop or keys is None
        self.stopping.update(keys or [])


_workers: dict[tuple[str, str | None], Worker] = {}  # of this process of Ray, by results folder and visible GPUs


def train(results: str, job: Job, terms: Terms, number: int, runner: str, board: Any) -> dict[str, Any]:
    """Train a job in this process's worker, and return its last answer (see local.settled): what a task of Ray does."""
    import ray

    place = results, os.environ.get("CUDA_VISIBLE_DEVICES")
    worker = _workers.pop(place, None)
    if worker is None or worker.process.poll() is not None:
        worker = Worker(Path(results), 0)
    worker.give(job, terms, number, runner)
    progress: dict[str, Any] | None = None
    asked, stopping = time.monotonic(), False
    with selectors.DefaultSelector() as selector:
        selector.register(worker.process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]
        while True:
            answers = worker.answers() if selector.select(ASK_SECONDS) else []
            for answer in [worker.end()] if answers is None else answers:
                if "epoch" in answer:
                    progress = answer
                elif "ready" not in answer:
                    if "record" in answer:
                        _workers[place] = worker
                    else:
                        worker.end()
                    return answer
            if time.monotonic() >= asked + ASK_SECONDS and not stopping:
                asked, stopping = time.monotonic(), ray.get(board.tell.remote(job.key, progress))
                progress = None
                if stopping:
                    worker.stop()


def run(
    queue: Queue,
    terms: Terms,
    n_at_a_time: int,
    on_progress: Callable[[Event], None] = lambda event: None,
    asked: Asked = Asked(),
) -> Generator[Event]:
    """Run the jobs as tasks of a Ray cluster (see Executor); nodes that join later get jobs too.

    A task whose process or node is lost is handed out again by the queue. When the generator is closed, the trainings
    in hand finish their epoch, within STOP_SECONDS, and leave a checkpoint.
    """
    connect(asked)
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    board: Any = ray.remote(num_cpus=0)(Board).options(scheduling_strategy=here).remote()
    task: Any = ray.remote(train)
    terms = replace(terms, n_sharing=1, memory=asked.memory or math.inf)
    in_hand: dict[Any, tuple[int, Job]] = {}  # by Ray's reference: the place and the job
    looked, room = -math.inf, 0

    def submit(job: Job) -> Event:
        place = next(n for n in range(room) if n not in {number for number, _ in in_hand.values()})
        needs = {
            "num_cpus": asked.cpus,
            "num_gpus": asked.gpus,
            "memory": memory(job, asked, queue.failures.get(job.key, 0)),
            "max_retries": 0,  # the queue does that, and knows what a record ends
        }
        lease = queue.runner.held[job.key], queue.runner.about["id"]
        reference = task.options(**needs).remote(str(queue.results.resolve()), job, terms, *lease, board)
        in_hand[reference] = place, job
        return Event("start", place, job)

    def receive(reference: Any) -> Iterator[Event]:
        """Yield the events that the end of a task stands for."""
        place, job = in_hand.pop(reference)
        try:
            answer = ray.get(reference)
        except ray.exceptions.OutOfMemoryError:
            yield queue.died(job, -signal.SIGKILL, out_of_memory=True)
        except ray.exceptions.RayTaskError as error:
            if not isinstance(error.cause, ImportError):
                raise
            raise UserError(
                f"a node of the Ray cluster cannot import tsfcn: {first_line(error.cause)}: install it there"
            ) from None
        except ray.exceptions.RayError:  # its process or its node is gone
            yield queue.died(job, -signal.SIGKILL, out_of_memory=False)
        else:
            if "stillborn" in answer:
                raise UserError(f"executor=ray starts no worker, it ended with {answer['stillborn']}: see above why")
            yield settled(queue, place, job, answer)

    try:
        while True:
            if time.monotonic() > looked + LOOK_SECONDS:
                looked, room = time.monotonic(), places(asked)
                if not room:
                    notice("no node of the Ray cluster is left that could take a job: waiting for one")
                late = [job.key for _, job in in_hand.values() if job.key in queue.runner.gone]
                late = late if time.monotonic() <= queue.deadline else [job.key for _, job in in_hand.values()]
                if late:
                    board.stop.remote(late)
                for key, progress in ray.get(board.read.remote()).items():
                    for place, job in in_hand.values():
                        if job.key == key:
                            yield Event("progress", place, job, **progress)
            while len(in_hand) < room and (taken := queue.take()) is not None:
                yield submit(taken)
            yield from queue.ended_elsewhere()
            if not in_hand:
                if not queue.is_open():
                    return
                time.sleep(LOOK_SECONDS / 4)
                continue
            ended, _ = ray.wait(list(in_hand), timeout=LOOK_SECONDS / 2)
            for reference in ended:
                yield from receive(reference)
    finally:
        with contextlib.suppress(ray.exceptions.RayError):
            retire(list(in_hand), board)
        ray.shutdown()


def retire(references: list[Any], board: Any) -> None:
    """Let tasks that are in hand finish their epoch, within STOP_SECONDS, and end the others."""
    import ray

    if not references:
        return
    print(STOPPING, file=sys.stderr, flush=True)
    board.stop.remote()
    _, rest = ray.wait(references, num_returns=len(references), timeout=STOP_SECONDS)
    for reference in rest:
        ray.cancel(reference, force=True)
