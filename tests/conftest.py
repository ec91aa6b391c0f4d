"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

# More threads than cores, as where tests run side by side, are many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Triton's kernels run on the CPU where there is no GPU; read when a module with kernels is loaded.
if not os.path.exists("/dev/nvidia0"):
    os.environ.setdefault("TRITON_INTERPRET", "1")
# The default folder of downloads is the user's own; tests, and the commands that they start, have an empty one.
os.environ["XDG_DATA_HOME"] = os.path.join(tempfile.gettempdir(), "tsfcn-tests-without-data")


@pytest.fixture(scope="session")
def archive_root() -> Path:
    """Return the folder of the unpacked UCR archive, or skip: the archive is not part of the project."""
    root = os.environ.get("TSFCN_ARCHIVE")
    if not root:
        pytest.skip("TSFCN_ARCHIVE is not set: no UCR archive to test on")
    return Path(root)
