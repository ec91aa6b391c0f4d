"""Import of the libraries that are not installed with tsfcn."""

from __future__ import annotations

import importlib
from types import ModuleType

from tsfcn.common.errors import UserError


def import_library(module: str, extra: str) -> ModuleType:
    """Return a module of a library, imported now. Raises UserError if it is not installed.

    module: its dotted name. extra: the optional dependency of tsfcn that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"{extra} is not installed ({error}): run pip install 'tsfcn[{extra}]'") from None
