"""The library of kernels in the cache: used if it is intact and nobody else can write to it, else compiled again."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tsfcn.training.fused import build

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="no C compiler here")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a library that was compiled once, without optimisation, which takes most of the time."""
    compiler = build.compiler()
    assert compiler is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "FLAGS", ("-O0", *build.FLAGS[1:]))
        return build.compile_library(compiler, tmp_path_factory.mktemp("compiled"), build.library_key(compiler))


@pytest.fixture
def cached(compiled: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the library in a cache of its own, from which `build.library` takes it."""
    monkeypatch.setattr(build, "FLAGS", ("-O0", *build.FLAGS[1:]))
    path = own_cache / compiled.name
    path.parent.mkdir()
    path.write_bytes(compiled.read_bytes())
    build.library.cache_clear()
    yield path
    build.library.cache_clear()


def test_an_intact_library_is_used(cached: Path, capsys: pytest.CaptureFixture[str]) -> None:
    modified = cached.stat().st_mtime_ns
    library = build.library()
    assert library is not None and Path(library._name) == cached and cached.stat().st_mtime_ns == modified
    assert capsys.readouterr().err == ""


def test_one_flipped_bit_is_found_and_the_library_compiled_again(
    cached: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = cached.read_bytes()
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    cached.write_bytes(damaged)
    library = build.library()
    assert library is not None and ctypes.c_int64.in_dll(library, build.SYMBOL).value > 0
    assert cached.read_bytes() == content
    expected = f"'{cached}' is damaged, or others can write to it: the kernels are compiled again\n"
    assert capsys.readouterr().err == expected


def test_a_library_that_others_can_write_to_is_compiled_again(cached: Path) -> None:
    cached.chmod(0o777)
    assert build.library() is not None
    assert cached.stat().st_mode & 0o022 == 0


def test_a_planted_library_in_a_shared_folder_is_not_loaded(
    cached: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name can be computed by anybody, and so can the hash of its content."""
    source, planted = tmp_path / "planted.c", tmp_path / "planted.so"
    source.write_text(
        f"#include <stdlib.h>\nlong {build.SYMBOL} = 8;\n__attribute__((constructor)) void run(void) {{ exit(7); }}\n"
    )
    subprocess.run([build.compiler() or "", "-shared", "-fPIC", "-o", planted, source], check=True)
    key = cached.name.rpartition("-")[0]
    (cached.parent / build._library_name(key, planted)).write_bytes(planted.read_bytes())
    cached.unlink()
    cached.parent.chmod(0o777)
    library = build.library()  # would end this process
    assert library is not None and Path(library._name).parent != cached.parent
    assert f"cache folder '{cached.parent}' is not used" in capsys.readouterr().err


def test_a_library_without_our_functions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.c").write_text("int other;\n")
    other = tmp_path / "other.so"
    subprocess.run([build.compiler() or "", "-shared", "-fPIC", "-o", other, tmp_path / "other.c"], check=True)
    with pytest.raises(OSError, match=f"has no '{build.SYMBOL}'"):
        build.load(other)


def test_a_message_of_the_compiler_is_escaped(tmp_path: Path) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\nprintf '\\033]0;title\\007no licence\\n' >&2\nexit 1\n")
    compiler.chmod(0o755)
    code = "from tsfcn.training.fused import build; assert build.library() is None"
    environment = {"CC": str(compiler), "TSFCN_CACHE": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root, env=environment
    )
    assert done.stderr.endswith(f"{compiler}: \\x1b]0;title\\x07no licence\n")
