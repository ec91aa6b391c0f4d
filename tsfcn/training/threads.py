"""The number of torch's threads, of which a training uses one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

_lock = threading.Lock()


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
