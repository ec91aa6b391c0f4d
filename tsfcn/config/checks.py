"""Checks of single values. Each raises UserError with one line that names the value and the remedy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tsfcn.common.errors import UserError

LARGEST_SEED = 2**32 - 1  # of numpy's random generator, which draws the resamples


def one_of(name: str, value: object, words: Iterable[str]) -> None:
    """Raise UserError unless `value` is one of `words`; `name` is the setting as the user writes it."""
    words = tuple(words)
    if value not in words:
        raise UserError(f"{name}={value} is not known: use one of {', '.join(words)}")


def within(name: str, value: float, low: float, high: float = math.inf, *, open_high: bool = False) -> None:
    """Raise UserError unless low <= value <= high (value < high with `open_high`)."""
    if not (low <= value < high if open_high else low <= value <= high) or math.isinf(value):
        limit = (
            f"at least {low:g}" if high == math.inf else f"from {low:g} {'to below' if open_high else 'to'} {high:g}"
        )
        raise UserError(f"{name}={value:g} is out of range: give a number {limit}")


def all_within(name: str, values: Sequence[float], low: float) -> None:
    """Raise UserError for a list without any number, and unless each is at least `low`."""
    if not values:
        raise UserError(f"{name}={list(values)} is empty: give at least one number")
    for value in values:
        within(name, value, low)


def integers(name: str, value: object, *, count: bool) -> list[int]:
    """Return a list of whole numbers >= 0.

    Raises UserError for anything else, for an empty list and for duplicates.

    Args:
        name: the setting, for the message.
        value: a list, or a single number.
        count: whether a single number n means 0, 1, ..., n - 1; otherwise it means [n].
    """
    if isinstance(value, bool) or not isinstance(value, (int, list, tuple)):
        raise UserError(f"{name}={value} is not a whole number or a list of them: write {name}=3 or '{name}=[0,1,2]'")
    if isinstance(value, int):
        if count:
            within(name, value, 1)
        elif not 0 <= value <= LARGEST_SEED:
            raise UserError(f"{name}={value} is out of range: give a number from 0 to {LARGEST_SEED}")
        if count and value > 1_000_000:
            raise UserError(f"{name}={value} is over a million: give fewer")
        return list(range(value)) if count else [value]
    if not value:
        raise UserError(f"{name}=[] is empty: give at least one")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int) or not 0 <= item <= LARGEST_SEED:
            raise UserError(f"{name}={list(value)} holds {item!r}: give whole numbers from 0 to {LARGEST_SEED}")
    if len(set(value)) != len(value):
        raise UserError(f"{name}={list(value)} names a number twice: give each once")
    return list(value)
