"""kernels.c, compiled for the processor at hand: a few seconds at first use, then kept in the cache.

    compiler       the C compiler, if there is one
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
import sys
import tempfile
from pathlib import Path

from tsfcn.common.files import cache_folder

SOURCE = Path(__file__).parent / "csrc" / "kernels.c"
INCLUDED = sorted(SOURCE.parent.glob("*.h"))
EXTRA = tuple(os.environ.get("TSFCN_CFLAGS", "").split())  # of sanitizers, say: see `make sanitize`
FLAGS = ("-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno", "-fno-trapping-math", *EXTRA)
NOTHING = ("-fsyntax-only", "-xc", os.devnull)  # what a compiler can check without reading anything
COMPILE_SECONDS = 120


@functools.cache
def compiler() -> str | None:
    """Return the path of the C compiler: $CC, cc, gcc or clang, whichever there is."""
    return next(filter(None, map(shutil.which, (os.environ.get("CC") or "cc", "gcc", "clang"))), None)


@functools.cache
def has_bfloat16() -> bool:
    """Return whether bfloat16 is faster than float32 on this processor (docs/performance.md)."""
    return bool(re.search(r"\b(amx|avx512)_bf16\b", abilities()))


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return kernels.c compiled for this processor, or None where that cannot be had."""
    by = compiler()
    if by is None:
        return None
    content = b"".join(path.read_bytes() for path in (SOURCE, *INCLUDED))
    about = f"{abilities()} {by} {Path(by).stat().st_mtime_ns} {FLAGS}"
    stem = f"kernels-{hashlib.sha256(content + about.encode()).hexdigest()[:16]}"
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        return ctypes.CDLL(str(kept(folder, stem) or compiled(by, folder, stem)))
    except (OSError, subprocess.SubprocessError):  # no cache to write to, no room in it, or not one to run code from
        pass
    try:
        with tempfile.TemporaryDirectory(prefix="tsfcn-") as elsewhere:
            return ctypes.CDLL(str(compiled(by, Path(elsewhere), stem)))
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip().splitlines()
        print(
            f"the fast engine is not available, the reference loop trains: {by}: {said[0] if said else error}",
            file=sys.stderr,
        )
        return None


def kept(folder: Path, stem: str) -> Path | None:
    """Return the library that was compiled before, if it is whole: its size stands in its name."""
    for path in folder.glob(f"{stem}-*.so"):
        if path.name == f"{stem}-{path.stat().st_size}.so":
            return path
    return None


def compiled(by: str, folder: Path, stem: str) -> Path:
    """Compile kernels.c to a shared library, whole or not at all; return it. Raises OSError or SubprocessError."""

    def ask(*words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([by, *words], check=False, capture_output=True, timeout=COMPILE_SECONDS)

    # In a folder of its own: a temporary file would be for this user's eyes alone.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".kernels-") as inner:
        made = Path(inner) / "kernels.so"
        # Not every compiler knows all flags. Whatever else fails is no reason to compile with fewer.
        flags = [
            flag for flag in FLAGS if flag.split("=")[0] not in ask(flag, *NOTHING).stderr.decode(errors="replace")
        ]
        ask(*flags, "-shared", "-fPIC", "-o", str(made), str(SOURCE), "-lm").check_returncode()
        with made.open("rb") as file:
            os.fsync(file.fileno())
        target = folder / f"{stem}-{made.stat().st_size}.so"
        os.replace(made, target)
    return target


def abilities() -> str:
    """Return what the system says about the processor that decides which instructions it has."""
    said = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        first = file.read().split("\n\n", 1)[0]
        said += [
            line for line in first.splitlines() if line.startswith(("model name", "flags", "Features", "CPU part"))
        ]
    return " ".join(said)
