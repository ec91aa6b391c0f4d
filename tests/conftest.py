"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ARCHIVE = os.environ.get("TSFCN_ARCHIVE")  # read before `environment` hides it

# More threads than cores, as where tests run side by side, are many times slower.
os.environ["OMP_NUM_THREADS"] = "1"
# Triton's kernels run on the CPU where there is no GPU; read when a module with kernels is loaded.
if not os.path.exists("/dev/nvidia0"):
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the user's archive, downloads, caches and proxies from the tests and the commands that they start.

    All tests share one cache of parsed data and compiled kernels; `own_cache` is for those that look into it.
    """
    folder = tmp_path_factory.mktemp("environment")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TSFCN_ARCHIVE", *(f"{kind}_proxy" for kind in ("http", "https", "all"))):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        patch.setenv("TSFCN_CACHE", str(folder / "cache"))
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        patch.setenv("PYTHONPATH", str(ROOT))  # where the package is not installed
        yield


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a cache for this test alone, which is not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TSFCN_CACHE", str(folder))
    return folder


@pytest.fixture
def forgotten_models() -> Iterator[None]:
    """Unregister the models that a test registers."""
    from tsfcn.config import model_spec

    before = model_spec.names()
    yield
    for name in set(model_spec.names()) - set(before):
        model_spec.unregister(name)


@pytest.fixture(scope="session")
def archive_root() -> Path:
    """Return the folder of the unpacked UCR archive, or skip: the archive is not part of the project."""
    if not ARCHIVE:
        pytest.skip("TSFCN_ARCHIVE is not set: no UCR archive to test on")
    return Path(ARCHIVE)
