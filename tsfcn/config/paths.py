"""Where the YAML files of conf/ are."""

from __future__ import annotations

from pathlib import Path


def conf_folder() -> Path:
    """Return the folder of the YAML files: in the installed package, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"
