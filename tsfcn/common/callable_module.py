"""Modules that can be called, so that `tsfcn.run("Coffee")` and `python -m tsfcn.run` both work."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any


def make_callable(module: str, target: str) -> None:
    """Let a module be called as a function.

    Importing a module puts it under its name into its package, in place of a function of the same name. A module that
    can be called works in every order of imports. `inspect.signature` shows the signature of the function.

    Args:
        module: the name of a module that is loaded.
        target: 'package.module:function', which is imported when it is first needed.
    """

    def function() -> Callable[..., Any]:
        where, _, name = target.partition(":")
        loaded: Callable[..., Any] = getattr(importlib.import_module(where), name)
        return loaded

    class CallableModule(types.ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return function()(*args, **kwargs)

        @property
        def __signature__(self) -> inspect.Signature:
            return inspect.signature(function())

    sys.modules[module].__class__ = CallableModule
