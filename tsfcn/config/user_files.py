"""A folder of the user's own protocols, settings of models and experiments (--config-dir), and the options of conf/.

The files are data: what could run code, read the environment, or pass for a protocol or model of the papers is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tsfcn.common.errors import UserError, first_line
from tsfcn.config import models
from tsfcn.config.paths import conf_folder

FOLDERS = ("protocol", "model", "experiment")
MAX_BYTES = 1_000_000  # of one file


def options(group: str, folder: Path | None) -> list[str]:
    """Return the names that a group of conf/ offers, with those of the user's folder.

    Args:
        group: the name of a folder of conf/.
        folder: the folder of --config-dir, or None.
    """
    folders = [conf_folder(), *([folder] if folder is not None else [])]
    names = {path.stem for each in folders for path in (each / group).glob("*.yaml")}
    return sorted(names | set(models.names()) if group == "model" else names)


def architecture(name: str, folder: Path | None) -> str:
    """Return the registered model whose settings an option of the group `model` holds."""
    path = None if folder is None else folder / "model" / f"{name}.yaml"
    if path is None or not path.is_file():
        return name
    return next((str(key) for key in read(path) if key in models.names()), name)


def check(folder: Path) -> None:
    """Raise UserError unless the files below a folder of --config-dir are data that add names of their own."""
    paths = sorted(folder.rglob("*.yaml"))
    if not any((folder / name).is_dir() for name in FOLDERS):
        raise UserError(f"--config-dir '{folder}' has no protocol/, model/ or experiment/: put the YAML files there")
    for path in paths:
        where = path.relative_to(folder)
        if where.parts[0] not in FOLDERS or len(where.parts) != 2:
            raise UserError(f"'{path}' is not in {', '.join(f'{name}/' for name in FOLDERS)}: move it there")
        if (conf_folder() / where).exists() or (where.parts[0] == "model" and path.stem in models.names()):
            raise UserError(f"'{path}' has the name of a file of tsfcn: choose another name")
        check_file(path, where.parts[0])


def check_file(path: Path, group: str) -> None:
    """Raise UserError unless one file is a mapping of plain values that belongs to its group."""
    content = read(path)
    for key in keys(content):
        if key.startswith("_") and key != "_self_":
            raise UserError(f"'{path}' has the key '{key}': files are data, remove it")
    defaults = content.get("defaults", [])
    named = [str(each) for entry in defaults for each in (entry if isinstance(entry, Mapping) else [entry])]
    if any("hydra" in each for each in [*map(str, content), *named]):
        raise UserError(f"'{path}' sets Hydra itself: remove the key with 'hydra'")
    if group == "protocol" and content.get("name") != path.stem:
        raise UserError(f"'{path}' has name: {content.get('name')}: write name: {path.stem}, as the file is called")
    if group == "model" and not set(content) - {"defaults"} <= set(models.names()):
        raise UserError(f"'{path}' is not about one model: nest the settings under one of {', '.join(models.names())}")
    if group == "experiment" and "@package _global_" not in path.read_text("utf-8"):
        raise UserError(f"'{path}' is without its first line: write `# @package _global_` there")


def read(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file, every value as text. Raises UserError for a file that is no mapping."""
    import yaml

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        content = yaml.load(data, Loader=yaml.BaseLoader) if len(data) <= MAX_BYTES else None  # all values as text
    except (OSError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"'{path}' cannot be read as YAML: {first_line(error)}") from None
    if not isinstance(content, dict):
        raise UserError(f"'{path}' is not a mapping of settings: write KEY: VALUE lines, as the files of conf/ have")
    return content


def keys(content: object) -> Iterator[str]:
    """Yield every key of nested mappings."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield str(key)
            yield from keys(value)
    elif isinstance(content, list):
        for value in content:
            yield from keys(value)
