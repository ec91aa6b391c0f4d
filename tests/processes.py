"""Processes that tests start, and waiting for what can be observed rather than for a time."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")


def until(condition: Callable[[], object], process: subprocess.Popen[str] | None = None, seconds: float = 150) -> None:
    """Return once the condition holds.

    The test fails where `process` ends before that, or after `seconds`, which are for a machine that is busy.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end, "the condition does not come to hold"
        time.sleep(0.005)


def children(parent: int, command: bytes = b"") -> list[int]:
    """Return the living child processes of a process whose command line contains `command`."""
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, ppid = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(ppid) == parent and state != "Z" and command in (path / "cmdline").read_bytes():
                pids.append(int(path.name))
        except OSError:  # it has ended meanwhile
            continue
    return pids
