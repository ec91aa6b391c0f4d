"""Read Weka's .arff format."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tsfcn.common.errors import UserError
from tsfcn.data.formats import header
from tsfcn.data.formats.split import Columns, LabelUse, Split
from tsfcn.data.formats.text import (
    Float64,
    canonical_label,
    lines,
    parse_label,
    parse_numbers,
    quoted_fields,
    steps_between,
)
from tsfcn.data.formats.ts import parse_channels
from tsfcn.data.formats.wide import WideTable


@dataclass
class _Header:
    """The attributes of a file by name, each with its classes, or None if it is not nominal."""

    attributes: dict[str, set[str] | None] = field(default_factory=dict)
    relational: str = ""  # the attribute that is being declared, until '@end'
    several: bool = False  # a relational attribute holds the channels
    labels: LabelUse = "needed"


def read_arff(path: Path, columns: Columns, labels: LabelUse = "needed") -> WideTable | Split:
    """Read an .arff file: '@attribute' header, then a case on each line.

    '%' comments anywhere; '?' or NaN for a missing value. The label is the last attribute, or the one that the user
    names, and nominal; attributes with the name of an id are left out. Several channels are one quoted relational
    value, with a backslash and an n between them; then the label is the second attribute. Sparse data are refused.
    labels: where they are not needed, a last attribute that is not nominal shows that there are none.
    """
    declared, rows = _Header(labels=labels), []
    in_data = False
    for number, line in lines(path):
        where, text = f"file '{path}' line {number}", line.strip()
        if text.startswith("%"):
            continue
        if in_data:
            rows.append((where, text))
        else:
            in_data = _read_tag(text, where, declared, columns)
    if declared.several:
        return _read_relational(declared, rows)
    return _read_plain(str(path), declared, rows, columns)


def _read_tag(text: str, where: str, declared: _Header, columns: Columns) -> bool:
    """Read one line of the header, and return whether it is the last. Raises UserError for a line of another kind."""
    tag, _, rest = text.replace("\t", " ").partition(" ")
    tag = tag.lower()
    if tag == "@attribute":
        name, kind = _attribute(rest.strip())
        if kind.lower().startswith("relational"):
            declared.relational, declared.several = name, True
        elif not declared.relational:
            declared.attributes[name] = _classes(kind, where)
    elif tag == "@end":
        declared.relational = ""
    elif tag == "@data":
        declared.labels = _label_use(declared, where, columns)
        return True
    elif not tag.startswith("@"):
        raise UserError(f"{where} is neither '@' header nor '%' comment: put '@data' before the first case")
    return False


def _label_use(declared: _Header, where: str, columns: Columns) -> LabelUse:
    """Return "needed" if a class is declared, else "absent". Raises UserError where that cannot be read."""
    if columns.label is not None or (declared.attributes and [*declared.attributes.values()][-1]):
        return "needed"
    if declared.labels == "needed":
        raise UserError(f"{where} is '@data' after no class: declare the last attribute as {{A,B}}")
    if not declared.attributes and not declared.several:
        raise UserError(f"{where} is '@data' after no '@attribute': declare one for each timepoint")
    return "absent"


def _attribute(text: str) -> tuple[str, str]:
    """Return name and type of an attribute: its name may be quoted."""
    if text[:1] in ("'", '"'):
        name, _, kind = text[1:].partition(text[0])
    else:
        name, _, kind = text.partition("{") if "{" in text.split(" ", maxsplit=1)[0] else text.partition(" ")
        kind = f"{{{kind}" if text[len(name) : len(name) + 1] == "{" else kind
    return name.strip(), kind.strip()


def _classes(kind: str, where: str) -> set[str] | None:
    """Return the classes of a nominal attribute, None for another type."""
    if not (kind.startswith("{") and kind.endswith("}")):
        return None
    return {canonical_label(_unquoted(word)) for word in _fields(kind[1:-1], where)}


def _fields(text: str, where: str) -> list[str]:
    """Return the fields of a line, which may be quoted. Raises UserError for quotes without end."""
    quote = next((sign for sign in text if sign in "'\""), "")
    if not quote:
        return text.split(",")
    return quoted_fields(text, where, quotechar=quote)


def _unquoted(word: str) -> str:
    word = word.strip()
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word


def _checked_label(word: str, classes: set[str], where: str) -> str:
    """Return a label. Raises UserError for a missing or undeclared one."""
    label = parse_label(_unquoted(word), where, "end it with ',' and the class")
    if label not in classes:
        raise UserError(
            f"{where} is of class {label[:40]!r}: its '@attribute' does not name it, correct one of the two"
        )
    return label


def _read_plain(source: str, declared: _Header, rows: list[tuple[str, str]], columns: Columns) -> WideTable:
    """Return a table of one channel, an attribute for each timepoint.

    Args:
        source: What messages call the file.
        declared: The header.
        rows: Place and text of each line of data.
        columns: The names that the user gives.
    """
    names = list(declared.attributes)
    header.check_names(names, Columns(label=columns.label), f"file '{source}'")
    is_labelled = declared.labels == "needed"
    label_at = len(names) - 1 if columns.label is None else names.index(columns.label.strip())
    classes = declared.attributes[names[label_at]] or set()
    label_at = label_at if is_labelled else -1
    if is_labelled and not classes:
        raise UserError(f"file '{source}' has attribute {names[label_at]!r} without classes: declare it as {{A,B}}")
    left_out = [i for i, name in enumerate(names) if i != label_at and header.is_id(name)]
    values_at = [i for i in range(len(names)) if i not in {label_at, *left_out}]
    values, labels = [], []
    for where, text in rows:
        if text.startswith("{"):
            raise UserError(f"{where} is sparse: write all values of the case")
        fields = _fields(text, where)
        if is_labelled and len(fields) < 2:
            raise UserError(f"{where} has no label: end it with ',' and the class")
        word = fields[label_at if len(fields) == len(names) else -1]
        labels.append(_checked_label(word, classes, where) if is_labelled else "")
        if len(fields) != len(names):
            raise UserError(f"{where} has {len(fields)} values: the header has {len(names)}, end short cases with '?'")
        words = ["NaN" if fields[i].strip() == "?" else fields[i] for i in values_at]
        values.append(parse_numbers(words, ",".join(words), where, [i + 1 for i in values_at]))
    notices = [f"attributes {', '.join(repr(names[i][:40]) for i in left_out[:5])} left out as no timepoint"]
    return WideTable(
        source=source,
        names=[names[i] for i in values_at],
        values=np.array(values) if values else np.empty((0, 1)),
        labels=labels,
        counts_rows=_counting(values, labels),
        notices=notices if left_out else [],
    )


def _counting(values: list[Float64], labels: list[str]) -> tuple[int, ...]:
    """Return the positions of the first and last value if they count the cases."""
    if len(labels) < 2:
        return ()
    table = np.array(values)
    ends = {0, table.shape[1] - 1}
    return tuple(i for i in sorted(ends) if table[0, i] in (0, 1) and bool((steps_between(table[:, i]) == 1).all()))


def _read_relational(declared: _Header, rows: list[tuple[str, str]]) -> Split:
    """Return the cases of a relational attribute, one channel for each of its lines."""
    split = Split([], [])
    is_labelled = declared.labels == "needed"
    classes = ([*declared.attributes.values()] or [None])[-1] or set()
    for where, text in rows:
        if text[0] not in "'\"":
            raise UserError(f"{where} is without the quotation marks of a relational value: write '1,2\\n3,4',class")
        relation, _, rest = text[1:].partition(text[0])
        before, comma, word = rest.partition(",")
        word = "" if before.strip() or not comma else word
        label = _checked_label(word, classes, where) if is_labelled else ""
        case = parse_channels(relation.split("\\n"), where)
        first = split.cases[0] if split.cases else case
        if len(case) != len(first):
            raise UserError(f"{where} has {len(case)} channels: the lines before it have {len(first)}")
        if case.shape != first.shape:
            raise UserError(
                f"{where} has {case.shape[1]} values: the lines before it have {first.shape[1]}, end short cases "
                "with '?'"
            )
        split.cases.append(case)
        split.labels.append(label)
    return split
