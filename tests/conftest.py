"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def archive_root() -> Path:
    """Return the folder of the unpacked UCR archive, or skip: the archive is not part of the project."""
    root = os.environ.get("TSFCN_ARCHIVE")
    if not root:
        pytest.skip("TSFCN_ARCHIVE is not set: no UCR archive to test on")
    return Path(root)
