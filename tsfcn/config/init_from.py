"""The setting protocol.init_from: which weights a training starts from instead of random ones."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tsfcn.common.errors import UserError

FORMS = "write dataset:NAME, nearest:NAMES, random:SEED:NAMES or weights:FILE"


@dataclass(frozen=True)
class InitFrom:
    """Where initial weights come from.

    kind: dataset (each of these), nearest (of these, the one with the least DTW distance between class barycentres),
    random (of these, one that is drawn for each target) or weights (a file).
    """

    kind: str
    names: tuple[str, ...] = ()  # of datasets, as dataset= takes them
    seed: int = 0  # of the draw
    file: str = ""


def parse(text: str) -> InitFrom:
    """Return what the text of the setting means. Raises UserError for any other text.

    >>> parse("dataset:CBF")
    InitFrom(kind='dataset', names=('CBF',), seed=0, file='')
    >>> parse("random:7:CBF+ucr44").names
    ('CBF', 'ucr44')
    """
    kind, _, rest = text.partition(":")
    match kind:
        case "weights" if rest:
            return InitFrom(kind, file=rest)
        case "dataset" | "nearest" if rest:
            return InitFrom(kind, _names(text, rest))
        case "random":
            draw = re.fullmatch(r"(\d{1,9}):(.+)", rest)
            if draw:
                return InitFrom(kind, _names(text, draw[2]), int(draw[1]))
    raise UserError(f"protocol.init_from={text} is not a source of weights: {FORMS}, with + between several names")


def _names(text: str, rest: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in rest.split("+"))
    if not all(names):
        raise UserError(f"protocol.init_from={text} has an empty name: write dataset:CBF+Coffee")
    return names
