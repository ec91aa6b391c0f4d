"""Where jobs run, a file each, found by the name of the file: conf/executor/NAME.yaml holds its settings.

inline   one after another in this process
local    in worker processes
threads  in threads that share a GPU
worker   one after another in this process, without waiting for other runners
ray      as tasks of a Ray cluster

executor=slurm is none of these: it starts such workers elsewhere (tsfcn.jobs.slurm).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Generator
from typing import Protocol

from tsfcn.common.errors import UserError
from tsfcn.jobs.plan import Terms
from tsfcn.jobs.queue import Event, Queue


class Executor(Protocol):
    """Runs the jobs of a queue."""

    def __call__(
        self, queue: Queue, terms: Terms, n_at_a_time: int, on_progress: Callable[[Event], None]
    ) -> Generator[Event]:
        """Run the jobs, yielding their events as they come, until the queue has none to start any more.

        Whoever runs a job writes its record. When the generator is closed, the jobs in hand keep their state.

        Args:
            queue: The jobs; `take` gives the next, which is then ours by its lease.
            terms: How jobs are to be run.
            n_at_a_time: Jobs at a time.
            on_progress: Called with events of kind 'progress' by an executor that cannot yield while a job runs.

        Raises:
            OSError: The disk is full.
            UserError: No job can be started here.
        """


def find(name: str) -> Executor:
    """Return the executor of this name. Raises UserError for one that is not known."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if name not in names:
        raise UserError(f"executor={name} is not known: use one of {', '.join(sorted([*names, 'slurm']))}")
    run: Executor = importlib.import_module(f"{__name__}.{name}").run
    return run
