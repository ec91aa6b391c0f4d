"""Which columns are ranked together: one that shares too few datasets with the others would empty the ranking."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Place = TypeVar("Place", bound=Hashable)
ALPHA = 0.05


@dataclass(frozen=True)
class Choice(Generic[Key]):
    """The columns that are ranked, and the reason against each that is left out."""

    ranked: tuple[Key, ...]
    left_out: Mapping[Key, str]


def datasets_needed(n_columns: int, alpha: float = ALPHA) -> int:
    """Return the fewest datasets on which two of so many columns can be shown to differ (signed ranks, Holm).

    The least p of m datasets is 2^(1 - m), and the first step of Holm multiplies it by the number of pairs.

    >>> datasets_needed(2), datasets_needed(3), datasets_needed(6)
    (6, 7, 10)
    """
    m = 1
    while 2.0 ** (1 - m) * n_columns * (n_columns - 1) / 2 >= alpha:
        m += 1
    return m


def choose(
    columns: Iterable[tuple[Key, Set[Place]]],
    *,
    size: Callable[[Set[Place]], int] = len,
    asked_for: Container[Key] = (),
    share: float = 1.0,
) -> Choice[Key]:
    """Return which columns to rank, and why not the others.

    A column is ranked if it leaves enough of the datasets that all ranked ones have in common, or a share of them.

    Args:
        columns: name and datasets of each, or what else their cells are at; earlier ones come first.
        size: returns how many datasets these are.
        asked_for: those for which one common dataset is enough; for others it takes as many as can show a difference
            (`datasets_needed`).
        share: the share of them that is enough in any case, the default all.
    """
    ranked: list[Key] = []
    common: Set[Place] = frozenset()
    left_out = {}
    for name, datasets in columns:
        left = common & datasets if ranked else datasets
        needed = 1 if name in asked_for else datasets_needed(len(ranked) + 1)
        if not datasets:
            continue
        if ranked and size(left) < min(needed, share * size(common)):
            left_out[name] = _reason(size(left), needed)
            continue
        ranked.append(name)
        common = left
    return Choice(tuple(ranked), left_out)


def _reason(n_left: int, needed: int) -> str:
    if n_left == 0:
        return "no dataset would remain in common"
    datasets = f"{n_left} dataset{'' if n_left == 1 else 's'}"
    return f"only {datasets} would remain in common, {needed} are needed to show a difference"
