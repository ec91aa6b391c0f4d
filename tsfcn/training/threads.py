"""How many threads a training uses: of torch one, and in the fast engine as many as the process has been told.

    one_thread    torch uses one thread
    use_threads   the fast engine in C uses so many for each step
    up_to         ... and as many as before afterwards
    step_threads  how many that is

Results of torch depend on the number of its threads, those of the fast engine do not.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

_lock = threading.Lock()
_step = [1]  # threads of a step in C


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: results depend on the number, and one for each training is the fastest use of cores.

    torch keeps the number for each thread of Python, and one more for those that have not used torch yet.
    `torch.set_num_threads` sets both; the second is put back at once, so that several threads may train side by side
    and new threads start with the number that the user chose.
    """
    with _lock:
        before = torch.get_num_threads()
        if before > 1:
            with ThreadPoolExecutor(1) as new_thread:
                of_new_threads = new_thread.submit(torch.get_num_threads).result()
                torch.set_num_threads(1)
                new_thread.submit(torch.set_num_threads, of_new_threads).result()
    try:
        yield
    finally:
        if before > 1:
            with _lock:
                torch.set_num_threads(before)


def use_threads(count: int) -> None:
    """Let the fast engine in C use up to `count` threads for each step of this process from now on.

    No bit of a result depends on the number, so it may be changed in the middle of a training, by any thread.
    """
    _step[0] = max(1, count)


@contextlib.contextmanager
def up_to(count: int) -> Iterator[None]:
    """Let the fast engine in C use up to `count` threads for each step of this process meanwhile."""
    before = step_threads()
    use_threads(count)
    try:
        yield
    finally:
        use_threads(before)


def step_threads() -> int:
    """Return how many threads a step of the fast engine in C may use."""
    return _step[0]
