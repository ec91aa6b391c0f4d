"""Where a run trains: on which device, in which processes, and how many jobs at a time.

What a run does differently with one executor than with another stands here: a class for each that differs.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from tsfcn.common import device as devices
from tsfcn.common import machine
from tsfcn.common.text import counted
from tsfcn.config import model_spec, schema
from tsfcn.data import locate
from tsfcn.jobs import cost, executors
from tsfcn.jobs.executors import ray
from tsfcn.jobs.plan import Terms
from tsfcn.jobs.queue import Event, Queue

# Jobs at a time on a device of this kind, by the reference loop alone or not. That loop waits for Python's lock.
PER_DEVICE = {("cuda", False): 8, ("cuda", True): 2, ("mps", False): 1, ("mps", True): 1}


@dataclass(frozen=True)
class Placement:
    """Where the jobs of a run are trained, by an executor that needs nothing of its own."""

    run: schema.RunConfig
    device: str  # torch's name

    on_other_nodes: ClassVar[bool] = False  # which may have a GPU where this one has none
    in_other_processes: ClassVar[bool] = False  # on the CPU; they import the model
    is_submitted: ClassVar[bool] = False  # to a batch system: the command ends before the jobs do
    waits: ClassVar[bool] = True  # for jobs that other runners have

    @property
    def on_cpu(self) -> bool:
        """Whether the jobs are trained on the CPU."""
        return self.device == "cpu"

    def check(self) -> None:
        """Raise UserError for an executor that is not known, or whose library is not installed."""
        executors.find(self.run.executor.name)

    @property
    def threads(self) -> int:
        """The threads of a step, see plan.Terms.threads."""
        if not self.on_cpu:
            return 1
        threads = self.run.engine.threads
        return self.automatic_threads if threads == "auto" else int(threads)

    @property
    def automatic_threads(self) -> int:
        """What engine.threads=auto means on the CPU: one thread, where something else divides the machine."""
        return 1

    @property
    def jobs_per_gpu(self) -> int:
        """How many jobs are trained at a time on a GPU."""
        per_device, names = self.run.executor.per_device, self.run.model.configs()
        if any(model_spec.spec(name).own_initialisation for name in names) and not per_device:
            return 1  # they take turns at the generator of the GPU
        return per_device or PER_DEVICE[devices.kind(self.device), self.run.engine.name == "reference"]

    def n_at_a_time(self) -> int:
        """Return how many jobs are trained at a time."""
        if not self.on_cpu:
            return self.jobs_per_gpu
        return self.run.executor.workers or max(1, machine.cores() // (self.threads or 1))

    def means(self, n_workers: int) -> str:
        """Return what trains so many jobs at a time, for messages."""
        return f"with {counted(n_workers, 'worker')}" if self.on_cpu else f"on {self.device}"

    def terms(self, n_sharing: int, sources: Iterable[str]) -> Terms:
        """Return how the jobs are run. n_sharing, sources: as in plan.Terms."""
        run, folder = self.run, locate.root_folder(self.run.archive.root)
        return Terms(
            root=None if folder is None else str(folder.resolve()),
            engine=run.engine.name,
            save_weights=run.save_weights,
            n_sharing=n_sharing,
            memory=run.executor.memory * 2**30 or math.inf,
            checkpoint_seconds=run.checkpoint.every_seconds,
            device=self.device,
            sources=sorted(sources),
            threads=self.threads,
        )

    def events(self, queue: Queue, sources: Iterable[str], on_progress: Callable[[Event], None]) -> Generator[Event]:
        """Yield the events of running the jobs of the queue (see executors.Executor); on a GPU in threads."""
        name = self.run.executor.name if self.on_cpu else "threads"  # processes would take turns on a GPU
        n_workers = self.n_at_a_time()
        return executors.find(name)(queue, self.terms(n_workers, sources), n_workers, on_progress)


class Inline(Placement):
    """One job after another in this process."""

    @property
    def automatic_threads(self) -> int:
        """All cores: no other job needs them."""
        return machine.cores()

    def n_at_a_time(self) -> int:
        """Return 1."""
        return 1


class Worker(Placement):
    """One job after another in this process, on a GPU some at a time, beside any number of such runs."""

    waits = False

    def n_at_a_time(self) -> int:
        """Return how many jobs are trained at a time."""
        return 1 if self.on_cpu else self.jobs_per_gpu


class Local(Placement):
    """Processes of this machine."""

    in_other_processes = True

    @property
    def automatic_threads(self) -> int:
        """0: the jobs in hand share the cores."""
        return 0

    def terms(self, n_sharing: int, sources: Iterable[str]) -> Terms:
        """Return how the jobs are run, on the CPU with an equal share of the free memory if none is asked for."""
        terms = super().terms(n_sharing, sources)
        if self.on_cpu and terms.memory == math.inf:
            return replace(terms, memory=max(machine.free_memory() / n_sharing, cost.LEAST_BYTES))
        return terms


class Ray(Placement):
    """Tasks of a Ray cluster."""

    on_other_nodes = in_other_processes = True

    def check(self) -> None:
        """Raise UserError where Ray is not installed."""
        ray.check_installed()

    @property
    def asked(self) -> ray.Asked:
        """What the run asks of the cluster."""
        settings = self.run.executor
        gpus = settings.gpus or (0.0 if self.on_cpu else 1 / self.jobs_per_gpu)
        return ray.Asked(settings.address, gpus, settings.memory * 2**30, settings.workers, self.threads)

    def n_at_a_time(self) -> int:
        """Return how many jobs the cluster has room for; one that is there already is connected to.

        Raises UserError where it does not answer.
        """
        asked = self.asked
        if asked.address == ray.LOCAL:
            return asked.workers or max(1, machine.cores() // asked.cpus)
        ray.connect(asked)
        return ray.places(asked)

    def events(self, queue: Queue, sources: Iterable[str], on_progress: Callable[[Event], None]) -> Generator[Event]:
        """Yield the events of running the jobs of the queue."""
        n_workers = self.n_at_a_time()
        return ray.run(queue, self.terms(n_workers, sources), n_workers, on_progress, self.asked)


class Slurm(Placement):
    """Tasks of a Slurm cluster, each a run with executor=worker."""

    on_other_nodes = in_other_processes = is_submitted = True

    def check(self) -> None:
        """Do nothing: Slurm is needed only where jobs are to be run, and then says itself what is wrong."""


PLACEMENTS = {"inline": Inline, "worker": Worker, "local": Local, "ray": Ray, "slurm": Slurm}


def of_run(run: schema.RunConfig, device: str) -> Placement:
    """Return where a run trains its jobs. device: torch's name."""
    return PLACEMENTS.get(run.executor.name, Placement)(run, device)


def choose(run: schema.RunConfig) -> Placement:
    """Return where a run trains its jobs, and say on stderr which device that is unless it is the CPU by default.

    Raises UserError where the device is not available, or not for the precision of the run.
    """
    devices.check_device(run.device)
    on_other_nodes = of_run(run, run.device).on_other_nodes
    if on_other_nodes and devices.kind(run.device) == "cuda" and devices.cuda_obstacle():
        device, line = "cuda:0", f"device={run.device}: of the nodes that train, there is none on this one"
    else:
        device = devices.resolve(run.device)
        line = devices.announcement(run.device, device)
    devices.check_precision("engine.precision", run.engine.precision, device)
    if line:
        print(line, file=sys.stderr)
    return of_run(run, device)
