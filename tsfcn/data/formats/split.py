"""The content of one file: its cases and labels, and what its reader noticed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tsfcn.data.formats.text import Float64

LabelUse = Literal["needed", "optional", "absent"]
"""Whether a file has labels: it must; as its header or its arrays show (yes where they cannot); it has none."""


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns, as far as a user gives them; None: recognised by their usual names.

    label: the class of each case. case, time, value and dimension: of a long table, which has a row for each value.
    """

    label: str | None = None
    case: str | None = None
    time: str | None = None
    value: str | None = None
    dimension: str | None = None

    def __bool__(self) -> bool:
        """Return whether any name is given."""
        return self != Columns()


@dataclass(frozen=True)
class Split:
    """The cases of one file, each float64 (n_channels, n_timepoints) with NaN for no value, and their labels.

    All labels are '' where the file has none and needs none (LabelUse).
    notices: sentences about how the file was read, which the user should know. faults: reasons for which data of the
    user is refused, each a whole message; the archive's datasets are checked against the catalogue instead. names: of
    the columns that hold the timepoints of each case, in their order; () where the file has none.
    """

    cases: list[Float64]
    labels: list[str]
    notices: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    names: tuple[str, ...] = ()
