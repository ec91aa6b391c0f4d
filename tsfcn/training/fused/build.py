"""Compile kernels.c for this machine's processor: a few seconds at first use, then the cache has the library.

    compiler       the C compiler, if there is one
    has_bfloat16   whether the processor is faster in bfloat16
    library        the compiled functions, if they are available

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

from tsfcn.common.escapes import printable
from tsfcn.common.files import create_cache_folder, is_trusted, regular_files

SOURCE = Path(__file__).parent / "csrc" / "kernels.c"
INCLUDED = sorted(SOURCE.parent.glob("*.h"))
EXTRA_FLAGS = tuple(os.environ.get("TSFCN_CFLAGS", "").split())  # such as those of sanitizers: see `make sanitize`
OWN_FLAGS = ("-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno", "-fno-trapping-math", "-pthread")
FLAGS = OWN_FLAGS + EXTRA_FLAGS
CHECK_ONLY = ("-fsyntax-only", "-xc", os.devnull)  # arguments that let a compiler check its flags and nothing else
COMPILE_SECONDS = 900
SYMBOL = "adam_args_size"  # any library of ours has it


@functools.cache
def compiler() -> str | None:
    """Return the path of the C compiler, the first that exists of $CC (else cc), gcc and clang; None without any."""
    return next(filter(None, map(shutil.which, (os.environ.get("CC") or "cc", "gcc", "clang"))), None)


@functools.cache
def has_bfloat16() -> bool:
    """Return whether bfloat16 is faster than float32 on this processor (docs/performance.md)."""
    return bool(re.search(r"\b(amx|avx512)_bf16\b", processor_features()))


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return kernels.c compiled for this processor; None, with a line on stderr, where it cannot be compiled.

    A library in the cache is used if its content has the hash that its name states, and nobody else can write to it.
    """
    path = compiler()
    if path is None:
        return None
    key = library_key(path)
    try:
        folder = create_cache_folder()
        return load(cached_library(folder, key) or compile_library(path, folder, key))
    except (OSError, subprocess.SubprocessError):  # the cache may be full, not writable, or not executable
        pass
    try:
        with tempfile.TemporaryDirectory(prefix="tsfcn-") as folder_name:
            return load(compile_library(path, Path(folder_name), key))
    except (OSError, subprocess.SubprocessError) as error:
        reason = printable(_first_message(error))
        print(f"the fast engine is not available, the reference loop trains: {path}: {reason}", file=sys.stderr)
        return None


def library_key(compiler_path: str) -> str:
    """Return what the name of a library begins with: a hash of source, flags, compiler and processor."""
    content = b"".join(path.read_bytes() for path in (SOURCE, *INCLUDED))
    modified = Path(compiler_path).stat().st_mtime_ns
    description = f"{processor_features()} {compiler_path} {modified} {FLAGS}"
    return f"kernels-{_digest(content + description.encode())}"


def cached_library(folder: Path, key: str) -> Path | None:
    """Return the library of an earlier process if it is intact; None otherwise, and a damaged one is removed."""
    for path in regular_files(folder):
        if not re.fullmatch(rf"{key}-[0-9a-f]+\.so", path.name):
            continue
        if is_trusted(path) and path.name == _library_name(key, path):
            return path
        print(f"'{path}' is damaged, or others can write to it: the kernels are compiled again", file=sys.stderr)
        path.unlink()
    return None


def compile_library(compiler_path: str, folder: Path, key: str) -> Path:
    """Compile kernels.c to a shared library, and return its path. Nothing is left of a failure.

    Args:
        compiler_path: The C compiler.
        folder: Where the library goes.
        key: What its name begins with; a hash of its content follows.

    Raises:
        OSError: The compiler cannot be started, or the folder not be written to.
        SubprocessError: The compiler fails, or takes too long.
    """
    # A folder, since a temporary file could be read by this user alone.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".kernels-") as inner:
        output = Path(inner) / "kernels.so"
        # A compiler need not know all flags. No other failure is a reason to compile with fewer.
        flags = [flag for flag in FLAGS if _knows(compiler_path, flag)]
        arguments = (*flags, "-shared", "-fPIC", "-o", str(output), str(SOURCE), "-lm")
        _run_compiler(compiler_path, *arguments).check_returncode()
        output.chmod(output.stat().st_mode & ~0o022)  # with a umask of 0 others could write to it
        with output.open("rb") as file:
            os.fsync(file.fileno())
        target = folder / _library_name(key, output)
        os.replace(output, target)
    return target


def load(path: Path) -> ctypes.CDLL:
    """Return the functions of a library. Raises OSError for one that cannot be loaded or is none of ours."""
    functions = ctypes.CDLL(str(path))
    if not hasattr(functions, SYMBOL):
        raise OSError(f"{path} has no '{SYMBOL}'")
    return functions


def _run_compiler(compiler_path: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([compiler_path, *arguments], check=False, capture_output=True, timeout=COMPILE_SECONDS)


def _knows(compiler_path: str, flag: str) -> bool:
    """Return whether a compiler does not complain about a flag."""
    messages = _run_compiler(compiler_path, flag, *CHECK_ONLY).stderr.decode(errors="replace")
    return flag.split("=", maxsplit=1)[0] not in messages


def _first_message(error: Exception) -> str:
    """Return the first line that the compiler printed, else the error."""
    lines = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip().splitlines()
    return lines[0] if lines else str(error)


def _library_name(key: str, path: Path) -> str:
    """Return the name of a library with this content."""
    return f"{key}-{_digest(path.read_bytes())}.so"


def _digest(data: bytes) -> str:
    """Return 128 bits of a SHA-256, in hex."""
    return hashlib.sha256(data).hexdigest()[:32]


@functools.cache
def processor_features() -> str:
    """Return what the system says about the processor that decides which instructions it has."""
    features = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        first_core = file.read().split("\n\n", 1)[0]
        wanted = ("model name", "flags", "Features", "CPU part")
        features += [line for line in first_core.splitlines() if line.startswith(wanted)]
    return " ".join(features)
