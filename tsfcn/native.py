"""kernels.c, compiled for the processor at hand: a few seconds at first use, then kept in the cache.

    compiler       the C compiler, if there is one
    engine         which engine trains a job, given that
    has_bfloat16   whether the processor is faster in bfloat16
    library        their functions, if they can be had

No torch here: a plan asks which engine will train a job.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tsfcn.archive import cache_folder
from tsfcn.config import fast_trains
from tsfcn.plan import Job

SOURCE = Path(__file__).with_name("kernels.c")
INCLUDED = [SOURCE.with_name(name) for name in ("products.c", "winograd.c")]
FLAGS = ("-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno", "-fno-trapping-math")
COMPILE_SECONDS = 120


@functools.cache
def compiler() -> str | None:
    """Return the path of the C compiler: $CC, cc, gcc or clang, whichever there is."""
    return next(filter(None, map(shutil.which, (os.environ.get("CC") or "cc", "gcc", "clang"))), None)


def engine(job: Job, chosen: str, n_channels: int, n_timepoints: int, *, compiled: bool) -> str:
    """Return which engine trains a job: reference, fast, or fast_torch, which is `fast` without its C part.

    chosen: of config.ENGINES; n_channels, n_timepoints: of the series as trained; compiled: whether there is, or will
    be, kernels.c compiled. Slower than the reference loop, fast_torch is for who asks for it by name or by bfloat16.
    """
    covered = fast_trains(job.model_config(), job.resolved()) and n_channels == 1 and n_timepoints > 1
    if not covered or chosen == "reference":
        return "reference"
    if compiled:
        return "fast"
    return "fast_torch" if chosen == "fast" or job.precision == "bfloat16" else "reference"


@functools.cache
def has_bfloat16() -> bool:
    """Return whether bfloat16 is faster than float32 on this processor (docs/performance.md)."""
    return bool(re.search(r"\bamx_bf16\b", abilities()))


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return kernels.c compiled for this processor, or None where that cannot be had."""
    by = compiler()
    if by is None:
        return None
    content = b"".join(path.read_bytes() for path in (SOURCE, *INCLUDED))
    about = f"{abilities()} {by} {Path(by).stat().st_mtime_ns} {FLAGS}"
    name = f"kernels-{hashlib.sha256(content + about.encode()).hexdigest()[:16]}.so"
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / name).is_file():
            compile_kernels(by, folder / name)
        return ctypes.CDLL(str(folder / name))
    except OSError:  # no cache to write to, or not one to run code from
        pass
    except subprocess.SubprocessError:
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="tsfcn-") as elsewhere:
            compile_kernels(by, Path(elsewhere) / name)
            return ctypes.CDLL(str(Path(elsewhere) / name))
    except (OSError, subprocess.SubprocessError):
        return None


def compile_kernels(by: str, target: Path) -> None:
    """Compile kernels.c to a shared library, whole or not at all. Raises OSError or SubprocessError."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".kernels-", suffix=".tmp")
    os.close(handle)
    try:
        for flags in (FLAGS, FLAGS[:2] + FLAGS[3:], FLAGS[:1]):  # not every compiler knows all of them
            command = [by, *flags, "-shared", "-fPIC", "-o", temporary, str(SOURCE), "-lm"]
            done = subprocess.run(command, check=False, capture_output=True, timeout=COMPILE_SECONDS)
            if done.returncode == 0:
                break
        done.check_returncode()
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)


def abilities() -> str:
    """Return what the system says about the processor that decides which instructions it has."""
    said = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        first = file.read().split("\n\n", 1)[0]
        said += [
            line for line in first.splitlines() if line.startswith(("model name", "flags", "Features", "CPU part"))
        ]
    return " ".join(said)
