"""The number of torch's threads, of which a training uses one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch

_lock = threading.Lock()
_before: list[int] = []  # the number of threads when the first user came, for each user that is there now


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: results depend on the number, and one for each training is the fastest use of cores.

    Several threads of Python may use it at once: the last one that leaves restores what the first one found.
    """
    with _lock:
        _before.append(_before[0] if _before else torch.get_num_threads())
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            before = _before.pop()
            if not _before:
                torch.set_num_threads(before)
