"""Checks of the types of JSON values from a file, by the annotations of the dataclass that they are to fill."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import fields

Check = Callable[[object], bool]


def is_int(value: object) -> bool:
    """Return whether a value is an integer of at most 64 bits."""
    return type(value) is int and abs(value) < 2**63


def is_float(value: object) -> bool:
    """Return whether a value is a finite number."""
    return is_int(value) or (type(value) is float and math.isfinite(value))


def is_str(value: object) -> bool:
    """Return whether a value is text."""
    return type(value) is str


def is_dict(value: object) -> bool:
    """Return whether a value is an object."""
    return type(value) is dict


CHECKS: dict[str, Check] = {
    "str": is_str,
    "int": is_int,
    "float": is_float,
    "bool": lambda value: type(value) is bool,
    "int | str": lambda value: is_int(value) or is_str(value),
    "dict[str, Any]": is_dict,
    "dict[str, int]": lambda value: type(value) is dict and all(map(is_int, value.values())),
    "dict[str, str]": lambda value: type(value) is dict and all(map(is_str, value.values())),
    "list[Any]": lambda value: type(value) is list,
}


def type_checks(dataclass: type) -> dict[str, Check]:
    """Return the check of each field of a dataclass. A field that may be None is checked for its other type alone."""
    return {each.name: _check(str(each.type).removesuffix(" | None")) for each in fields(dataclass)}


def _check(annotation: str) -> Check:
    return CHECKS["list[Any]"] if annotation.startswith("list[") else CHECKS[annotation]


def short(value: object) -> str:
    """Return a value as JSON text of at most 40 characters, for messages.

    >>> short("a" * 100)
    '"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'
    """
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
