"""The machine that this process runs on: cores, processor, memory, and the commit of the source tree."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

import tsfcn


def cores() -> int:
    """Return the number of cores that this process may use, within the quota of its container."""
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # 'max 100000' where there is no quota
        quota, period = map(int, Path("/sys/fs/cgroup/cpu.max").read_text().split())
        n = min(n, max(1, quota // period))
    return n


def reset_peak_memory() -> None:
    """Let the system count this process's peak memory from now on (Linux; elsewhere it counts from the start)."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def resident_memory() -> int:
    """Return the resident memory of this process in bytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError, StopIteration), open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))
    return 0


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


@functools.cache
def commit() -> str:
    """Return the commit of this source tree, with '+changes' if the package was changed since; '' if installed."""
    package = Path(tsfcn.__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(package), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # an installed copy may lie inside somebody else's checkout
        changed = git("status", "--porcelain", "--", ".", "../conf")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


@functools.cache
def processor() -> str:
    """Return the processor's name and its core count, with which the hardware of a record begins."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration), open("/proc/cpuinfo") as file:
        name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    return f"{name}, {os.cpu_count()} cores"


def free_memory() -> float:
    """Return the bytes of memory that are free for new work; infinite where the system does not tell."""
    free = math.inf
    with contextlib.suppress(OSError, StopIteration), open("/proc/meminfo") as file:
        free = next(float(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    with contextlib.suppress(OSError, ValueError):  # a container's limit; 'max' where there is none
        group = Path("/sys/fs/cgroup")
        free = min(free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return free
