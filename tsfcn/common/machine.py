"""The machine that this process runs on: cores, processor, memory, and the commit of the source tree."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import tsfcn

ROOT = Path("/")  # of the file system that describes the machine

# ---------------------------------------------------------------------------------------------------------------------
# Control groups


def control_groups(controller: str, root: Path = ROOT) -> Iterator[Path]:
    """Yield the folders of the control groups that limit this process, from its own up to the outermost one.

    A limit may stand at any level. A container may see its own group as the outermost one, or the path of its group on
    the host, which is not there: such folders do not exist.

    Args:
        controller: 'memory' or 'cpu'. Version 1 has a hierarchy for each controller, version 2 has one for all.
        root: The root of the file system.
    """
    mount = root / "sys" / "fs" / "cgroup"
    with contextlib.suppress(OSError):
        for line in (root / "proc" / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                top = mount / "unified" if (mount / "unified").is_dir() else mount
            elif controller in controllers.split(","):
                top = mount / controllers if (mount / controllers).is_dir() else mount / controller
            else:
                continue
            parts = [part for part in path.split("/") if part not in ("", "..")]
            yield from (top.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1))


def _number(file: Path) -> int | None:
    """Return the number in a file; None where there is no file or no number ('max': no limit)."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _quota(group: Path) -> float:
    """Return the cores that a control group may use at a time; infinite without a quota."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = map(int, (group / "cpu.max").read_text().split())
        return quota / period
    quota_v1, period_v1 = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return quota_v1 / period_v1 if quota_v1 and period_v1 and quota_v1 > 0 else math.inf


def _free_in(group: Path) -> float:
    """Return the bytes that a control group may still use; infinite without a limit.

    Cached files that were not used lately count as free: the kernel drops them first.
    """
    for limit_name, usage_name, cached_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, usage = _number(group / limit_name), _number(group / usage_name)
        if limit is not None and usage is not None:
            return max(0, limit - max(0, usage - _cached(group, cached_name)))
    return math.inf


def _cached(group: Path, name: str) -> int:
    """Return a number of bytes from the statistics of a control group; 0 where they lack it."""
    try:
        found = re.search(rf"^{name} (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


# ---------------------------------------------------------------------------------------------------------------------
# Cores and memory


def cores(root: Path = ROOT) -> int:
    """Return the number of cores that this process may use, within the quotas of its control groups."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([n_cores, *map(_quota, control_groups("cpu", root))])))


def free_memory(root: Path = ROOT) -> float:
    """Return the bytes of memory that are free for new work; infinite where the system does not tell.

    That is what the machine has available, or less where a control group limits this process.
    """
    available = math.inf
    with contextlib.suppress(OSError, StopIteration), (root / "proc" / "meminfo").open() as file:
        available = next(float(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    return min([available, *map(_free_in, control_groups("memory", root))])


def reset_peak_memory() -> None:
    """Let the system count this process's peak memory from now on (Linux; elsewhere it counts from the start)."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def resident_memory() -> int:
    """Return the resident memory of this process in bytes; 0 where the system does not tell."""
    return _status_bytes("VmRSS") or 0


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes; 0 where the system does not tell."""
    peak = _status_bytes("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status_bytes(name: str) -> int | None:
    """Return a size in bytes from this process's status; None on systems without /proc."""
    with contextlib.suppress(OSError, StopIteration), open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))
    return None


# ---------------------------------------------------------------------------------------------------------------------
# What a record says about the machine


@functools.cache
def commit() -> str:
    """Return the commit of this source tree, with '+changes' if the package was changed since; '' if installed."""
    package = str(Path(tsfcn.__file__).parent)
    try:
        _git(package, "ls-files", "--error-unmatch", "__init__.py")  # a copy may be installed inside another checkout
        changed = _git(package, "status", "--porcelain", "--", ".", "../conf")
        return _git(package, "rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(folder: str, *words: str) -> str:
    """Return what git prints. Raises OSError without git, CalledProcessError where git fails."""
    return subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True).stdout.strip()


@functools.cache
def processor() -> str:
    """Return the processor's name and its core count, with which the hardware of a record begins."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration), open("/proc/cpuinfo") as file:
        name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    return f"{name}, {os.cpu_count()} cores"
