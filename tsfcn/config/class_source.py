"""Where the code of a class is: the modules that it needs, and its source where it is of a script or a notebook.

Only code of the user is looked for: neither tsfcn nor the standard library nor installed packages. Of a module, the
modules that it imports are needed too. A script or a notebook (`__main__`) has much that has nothing to do with the
class, so there only what the class names is followed: bases, classes, functions and constants.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import importlib.util
import inspect
import os
import sys
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import machinery
from pathlib import Path
from typing import Any

from tsfcn.common.errors import UserError

OURS = __name__.partition(".")[0]
MAIN = "__main__"
INSTALLED = ("site-packages", "dist-packages")  # folders of installed packages
PLAIN = (bool, int, float, str, bytes, types.NoneType)


@dataclass(frozen=True)
class ClassSource:
    """What the code of a class consists of: modules, by their full names, and texts that have no module."""

    modules: frozenset[str]
    texts: tuple[str, ...]


def source_of(network: type) -> ClassSource:
    """Return where the code of a class is.

    Raises UserError where its source cannot be read, as that of a class that was typed at a prompt, and where a module
    has changed since it was imported, so that its file is not what is trained.
    """
    modules: set[str] = set()
    texts: list[str] = []
    values: dict[str, str] = {}
    seen: list[Any] = []
    todo: list[Any] = [network]
    while todo:
        value = todo.pop(0)
        if any(value is each for each in seen):
            continue
        seen.append(value)
        if isinstance(value, type):
            todo += [base for base in inspect.getmro(value)[1:] if is_own(base.__module__)]
        in_main = value.__module__ == MAIN
        modules.add(value.__module__)
        texts += [text_of(value, network)] if in_main else []
        for name, found in [*captured(value), *(named_by(value) if in_main else ())]:
            values[name] = described(found)
            if isinstance(found, types.ModuleType):
                modules |= {found.__name__} if is_own(found.__name__) else set()
            elif isinstance(found, (type, types.FunctionType)):
                todo += [found] if is_own(str(found.__module__)) else []
    modules = with_imports(modules)
    for name in sorted(modules):
        check_unchanged(name, network)
    texts += [f"{name} = {values[name]}" for name in sorted(values)]
    return ClassSource(frozenset(modules - {MAIN}), tuple(texts))


# ---------------------------------------------------------------------------------------------------------------------
# Modules


@functools.cache
def is_own(module: str) -> bool:
    """Return whether a module is of the user: neither of tsfcn nor installed."""
    name = module.partition(".")[0]
    if name == MAIN:
        return True
    if name == OURS or name in sys.stdlib_module_names:
        return False
    try:
        module_spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a module that was made by hand
        return False
    if module_spec is None or not (module_spec.submodule_search_locations or module_spec.has_location):
        return False
    places = [Path(place) for place in module_spec.submodule_search_locations or [str(module_spec.origin)]]
    return any(not set(INSTALLED) & set(place.parts) for place in places)


def with_imports(modules: set[str]) -> set[str]:
    """Return loaded modules of the user and those that they import, directly or not."""
    found: set[str] = set()
    todo = sorted(modules)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        values = [] if name == MAIN or name not in sys.modules else list(vars(sys.modules[name]).values())
        owners = [v.__name__ if isinstance(v, types.ModuleType) else getattr(v, "__module__", None) for v in values]
        todo += [each for each in owners if isinstance(each, str) and is_own(each)]
    return found


def check_unchanged(module: str, network: type) -> None:
    """Raise UserError where the functions of a loaded module are not those of its file."""
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    # A loader of another kind may have changed the code on purpose.
    if loaded is None or file is None or type(loaded.__loader__) is not machinery.SourceFileLoader:
        return
    try:
        there = {fingerprint(each) for each in codes(compile(Path(file).read_bytes(), file, "exec", dont_inherit=True))}
    except (OSError, SyntaxError, ValueError):
        there = set()
    values = [value for value in vars(loaded).values() if getattr(value, "__module__", None) == module]
    for function in (each for value in values for each in functions_of(value)):
        of_file = os.path.abspath(function.__code__.co_filename) == os.path.abspath(file)
        if of_file and fingerprint(function.__code__) not in there:
            raise UserError(
                f"'{file}' with the code of network {network.__name__} has changed since it was imported: "
                "start Python again, or reload the module"
            )


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a code object and those of the functions inside."""
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from codes(each)


def fingerprint(code: types.CodeType) -> tuple[Any, ...]:
    """Return what tells a function from a changed one."""
    constants = [repr(each) for each in code.co_consts if not isinstance(each, (types.CodeType, frozenset))]
    return code.co_qualname, code.co_firstlineno, code.co_code, code.co_names, code.co_varnames, tuple(constants)


# ---------------------------------------------------------------------------------------------------------------------
# Classes and functions


def functions_of(value: Any) -> Iterator[types.FunctionType]:
    """Yield a function, without its decorators, or the functions of a class and of the classes inside."""
    value = undecorated(value)
    if isinstance(value, types.FunctionType):
        yield value
    elif isinstance(value, (staticmethod, classmethod)):
        yield from functions_of(value.__func__)
    elif isinstance(value, property):
        yield from (each for each in (value.fget, value.fset) if isinstance(each, types.FunctionType))
    elif isinstance(value, type):
        for each in vars(value).values():
            if is_inside(each, value):
                yield from functions_of(each)


def undecorated(value: Any) -> Any:
    """Return a function without decorators that say what they wrap, and anything else as it is."""
    return inspect.unwrap(value) if callable(value) and not isinstance(value, type) else value


def is_inside(attribute: Any, owner: type) -> bool:
    """Return whether an attribute of a class is not a class from elsewhere."""
    return not isinstance(attribute, type) or attribute.__qualname__.startswith(f"{owner.__qualname__}.")


def text_of(value: Any, network: type) -> str:
    """Return the source of a class or function of `__main__`. Raises UserError where it cannot be read.

    Of a class of a notebook, which has no file, this is the source of its functions.
    """
    functions = list(functions_of(value))
    try:
        file = os.path.abspath(inspect.getfile(value))
        if all(os.path.abspath(each.__code__.co_filename) == file for each in functions):
            return inspect.getsource(value)
    except (OSError, TypeError):
        pass
    try:
        texts = [textwrap.dedent(inspect.getsource(each)) for each in functions]
    except (OSError, TypeError):
        texts = []
    if not texts:
        raise UserError(
            f"the source of network {network.__name__} cannot be read, and its hash is in the records: "
            "write the class into a file, or into a notebook"
        )
    return "".join(texts)


def named_by(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a class or function names: globals, default values of parameters, and attributes of a class."""
    for function in functions_of(value):
        for code in codes(function.__code__):
            for each in dis.get_instructions(code):
                if each.opname in ("LOAD_GLOBAL", "LOAD_NAME") and each.argval in function.__globals__:
                    yield each.argval, undecorated(function.__globals__[each.argval])
        defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        yield from ((f"{function.__qualname__}({number})", each) for number, each in enumerate(defaults))
    if isinstance(value, type):
        for name, attribute in vars(value).items():
            has_source = is_inside(attribute, value) and any(functions_of(attribute))
            if not name.startswith("__") and not has_source:
                yield f"{value.__qualname__}.{name}", attribute


def captured(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a class or function takes from a function around it."""
    for function in functions_of(value):
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # an empty cell
                yield name, cell.cell_contents


def described(value: object) -> str:
    """Return a number, text, or list, tuple or dict of these as text; of anything else where it or its class is."""
    if is_constant(value):
        return repr(value)
    named = value if hasattr(value, "__qualname__") else type(value)
    return value.__name__ if isinstance(value, types.ModuleType) else f"{named.__module__}.{named.__qualname__}"


def is_constant(value: object) -> bool:
    """Return whether a value is a number, text, or a list, tuple or dict of these."""
    if isinstance(value, dict):
        return all(is_constant(each) for pair in value.items() for each in pair)
    if isinstance(value, (list, tuple)):
        return all(map(is_constant, value))
    return isinstance(value, PLAIN)
