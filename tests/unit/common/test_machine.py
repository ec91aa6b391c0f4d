"""What is read of the machine: limits of control groups at any level, and systems that lack what Linux has."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tsfcn.common import machine

GIB = 2**30


def root_of(folder: Path, **files: str) -> Path:
    """Write files below a root, by path with '__' for '/' and '--' for '.', and return the root."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("--", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


MEMINFO = f"MemTotal: {64 * 2**20} kB\nMemAvailable: {32 * 2**20} kB\n"
V2 = "0::/user.slice/job_7/step\n"
V1 = "9:name=systemd:/x\n4:memory:/slurm/job_7\n3:cpu,cpuacct:/slurm/job_7\n"
UNLIMITED = str(0x7FFFFFFFFFFFF000)


@pytest.mark.parametrize(
    ("files", "gib"),
    [
        ({}, 32),
        ({"proc__self__cgroup": V2}, 32),
        ({"proc__self__cgroup": V2, "step__memory--max": "max"}, 32),
        ({"proc__self__cgroup": V2, "step__memory--max": f"{4 * GIB}", "step__memory--current": f"{GIB}"}, 3),
        ({"proc__self__cgroup": V2, "job__memory--max": f"{2 * GIB}", "job__memory--current": f"{GIB}"}, 1),
        ({"proc__self__cgroup": V2, "top__memory--max": f"{9 * GIB}", "top__memory--current": f"{GIB}"}, 8),
        (  # cached files count as free
            {
                "proc__self__cgroup": V2,
                "job__memory--max": f"{2 * GIB}",
                "job__memory--current": f"{2 * GIB}",
                "job__memory--stat": f"anon 5\ninactive_file {GIB}\n",
            },
            1,
        ),
        ({"proc__self__cgroup": V2, "job__memory--max": f"{GIB}", "job__memory--current": f"{2 * GIB}"}, 0),
    ],
)
def test_memory_of_nested_groups_of_version_2(files: dict[str, str], gib: float, tmp_path: Path) -> None:
    mount = "sys__fs__cgroup__"
    folders = {"step__": f"{mount}user--slice__job_7__step__", "job__": f"{mount}user--slice__job_7__", "top__": mount}
    placed = {}
    for name, text in files.items():
        start = next((start for start in folders if name.startswith(start)), "")
        placed[folders.get(start, "") + name.removeprefix(start)] = text
    assert machine.free_memory(root_of(tmp_path, proc__meminfo=MEMINFO, **placed)) == gib * GIB


@pytest.mark.parametrize("level", ["slurm__job_7__", "slurm__", ""])
def test_memory_of_nested_groups_of_version_1(level: str, tmp_path: Path) -> None:
    mount = "sys__fs__cgroup__memory__"
    files = {
        f"{mount}memory--limit_in_bytes": UNLIMITED,
        f"{mount}memory--usage_in_bytes": f"{20 * GIB}",
        f"{mount}{level}memory--limit_in_bytes": f"{4 * GIB}",
        f"{mount}{level}memory--usage_in_bytes": f"{3 * GIB}",
        f"{mount}{level}memory--stat": f"inactive_file 1\ntotal_inactive_file {GIB}\n",
    }
    assert machine.free_memory(root_of(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup=V1, **files)) == 2 * GIB


def test_memory_without_a_limit_in_version_1(tmp_path: Path) -> None:
    mount = "sys__fs__cgroup__memory__"
    files = {f"{mount}memory--limit_in_bytes": UNLIMITED, f"{mount}memory--usage_in_bytes": f"{GIB}"}
    assert machine.free_memory(root_of(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup=V1, **files)) == 32 * GIB


def test_memory_where_the_system_does_not_tell(tmp_path: Path) -> None:
    assert machine.free_memory(tmp_path) == math.inf


@pytest.mark.parametrize(
    "files",
    [
        {"proc__self__cgroup": V2, "sys__fs__cgroup__user--slice__cpu--max": "100000 100000\n"},
        {"proc__self__cgroup": V2, "sys__fs__cgroup__cpu--max": "50000 100000\n"},
        {
            "proc__self__cgroup": V1,
            "sys__fs__cgroup__cpu,cpuacct__slurm__cpu--cfs_quota_us": "150000\n",
            "sys__fs__cgroup__cpu,cpuacct__slurm__cpu--cfs_period_us": "100000\n",
        },
        {
            "proc__self__cgroup": V1,
            "sys__fs__cgroup__cpu__slurm__cpu--cfs_quota_us": "100000\n",
            "sys__fs__cgroup__cpu__slurm__cpu--cfs_period_us": "100000\n",
        },
    ],
)
def test_cores_of_nested_groups(files: dict[str, str], tmp_path: Path) -> None:
    assert machine.cores(root_of(tmp_path, **files)) == 1


def test_cores_without_a_quota(tmp_path: Path) -> None:
    free = machine.cores(tmp_path)
    assert free >= 1
    mount = "sys__fs__cgroup__cpu__"
    none = {f"{mount}cpu--cfs_quota_us": "-1\n", f"{mount}cpu--cfs_period_us": "100000\n"}
    assert machine.cores(root_of(tmp_path, proc__self__cgroup=V1, **none)) == free
