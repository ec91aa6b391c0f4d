"""Jobs one after another in this process, without waiting for those that other runners have.

Something else starts this process, any number of times and on any number of machines: a batch system, Kubernetes, a
shell. The leases divide the jobs. It ends when no job is left that nobody has, so that no machine waits for another.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from tsfcn.jobs.executors import inline
from tsfcn.jobs.plan import Terms
from tsfcn.jobs.queue import Event, Queue


def run(
    queue: Queue, terms: Terms, n_at_a_time: int = 1, on_progress: Callable[[Event], None] = lambda event: None
) -> Generator[Event]:
    """Run the jobs in the calling thread (see Executor)."""
    return inline.run(queue, terms, n_at_a_time, on_progress)
