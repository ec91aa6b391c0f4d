"""Read the .ts format of sktime and aeon."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tsfcn.common.errors import UserError
from tsfcn.data.formats.split import LabelUse, Split
from tsfcn.data.formats.text import Float64, canonical_label, lines, parse_label, parse_numbers

GAP = re.compile(r"(?<![^,\s])\?(?![^,\s])")  # a '?' that is a whole value
FLAGS = ("@missing", "@univariate", "@equallength")
COUNTS = ("@dimensions", "@dimension", "@serieslength")


@dataclass
class _Header:
    """The '@' lines of a file: flags and counts by their tag in lower case, and the declared classes."""

    flags: dict[str, bool] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    classes: str = ""  # as written, since labels may hold blanks
    complete: bool = False  # '@data' was read
    labels: LabelUse = "needed"

    @property
    def n_channels(self) -> int:
        """The declared number of channels, 0 if there is none."""
        return self.counts.get("@dimensions", self.counts.get("@dimension", 0))


def read_ts(path: Path, labels: LabelUse = "needed") -> Split:
    """Read a .ts file: '@' header, then a case on each line, ':' between channels and before the label.

    Tags and flags in any case; '#' and '%' comments anywhere; '?' or NaN for a missing value; labels may hold blanks.
    Cases may differ in length, the channels of one case may not. Time stamps and regression targets are refused.
    A header that contradicts the data is a fault of the split. labels: '@classLabel' shows whether there are any.
    """
    split, header, n_channels = Split([], []), _Header(labels=labels), 0
    for number, line in lines(path):
        where, text = f"file '{path}' line {number}", line.strip()
        if text.startswith(("#", "%")):
            continue
        if text.startswith("@") and not header.complete:
            _read_tag(text, where, header)
            n_channels = header.n_channels
            continue
        if not header.complete:
            raise UserError(f"{where} is neither '@' header nor '#' comment: put '@data' before the first case")
        case, label = _parse_case(text, where, header)
        n_channels = n_channels or len(case)
        if len(case) != n_channels:
            raise UserError(f"{where} has {len(case)} channels: the file has {n_channels}")
        split.cases.append(case)
        split.labels.append(label)
    if split.cases:
        split.faults.extend(f"file '{path}' {fault}" for fault in _contradictions(header, split.cases))
    return split


def _read_tag(text: str, where: str, header: _Header) -> None:
    """Read one '@' line into the header. Raises UserError for what is not classification of plain values."""
    tag, *words = text.lower().split()
    if tag == "@data":
        header.complete = True
    elif tag == "@timestamps" and words[:1] == ["true"]:
        raise UserError(f"{where} is {text[:40]!r}: files with time stamps are not read, write plain values")
    elif tag == "@targetlabel" and words[:1] == ["true"]:
        raise UserError(f"{where} is {text[:40]!r}: this is regression, take a dataset with classes")
    elif tag == "@classlabel":
        if words[:1] == ["true"]:
            header.labels = "needed"
        elif header.labels != "needed":
            header.labels = "absent"
        else:
            raise UserError(f"{where} is {text[:40]!r}: this dataset has no classes, take one that has")
        header.classes = " ".join(text.split()[2:])
    elif tag in FLAGS and words and words[0] in ("true", "false"):
        header.flags[tag] = words[0] == "true"
    elif tag in COUNTS and words and words[0].isdecimal() and words[0].isascii():
        header.counts[tag] = int(words[0][:9])


def _parse_case(text: str, where: str, header: _Header) -> tuple[Float64, str]:
    """Return one case and its label. Raises UserError for a case with time stamps or an undeclared class."""
    *channels, label = (part.strip() for part in text.split(":"))
    if header.labels == "absent":
        channels, label = [*channels, label], ""
    else:
        label = parse_label(label if channels else "", where, "end it with ':' and the class")
    if channels[0].startswith("("):
        raise UserError(f"{where} has time stamps: files with time stamps are not read, write plain values")
    if label and header.classes and not _declares(header.classes, label):
        raise UserError(f"{where} is of class {label[:40]!r}: '@classLabel' does not name it, correct one of the two")
    return parse_channels(channels, where), label


def _declares(classes: str, label: str) -> bool:
    """Return whether the text of '@classLabel' names a label, which may consist of several words."""
    if label in map(canonical_label, classes.split()):
        return True
    return f" {' '.join(label.split())} " in f" {classes} "


def parse_channels(channels: list[str], where: str) -> Float64:
    """Return the channels of a case, each a text of values with commas between, as (n_channels, n_timepoints)."""
    values = [parse_numbers(_fields(channel), channel, where, itertools.count(1)) for channel in channels]
    if len({len(channel) for channel in values}) > 1:
        raise UserError(f"{where} has channels that differ in length: end the shorter with '?'")
    return np.stack(values)


def _fields(channel: str) -> list[str]:
    """Return the texts of the values of a channel, NaN for '?'; a comma after the last value is ignored."""
    fields = (GAP.sub("NaN", channel) if "?" in channel else channel).split(",")
    return fields[:-1] if len(fields) > 1 and not fields[-1].strip() else fields


def _contradictions(header: _Header, cases: list[Float64]) -> list[str]:
    """Return what the header says against the data, each as the end of a message."""
    lengths = {case.shape[1] for case in cases}
    length = header.counts.get("@serieslength", 0)
    has_missing = any(map(_has_gap, cases))
    remedy = "correct the header, or copy the file again"
    checks = (
        (header.flags.get("@equallength") is True and len(lengths) > 1, "@equalLength true", _span(lengths)),
        (length > 0 and len(lengths) == 1 and lengths != {length}, f"@seriesLength {length}", _span(lengths)),
        (header.flags.get("@missing") is False and has_missing, "@missing false", "has missing values"),
        (
            header.flags.get("@univariate") is True and len(cases[0]) > 1,
            "@univariate true",
            f"has {len(cases[0])} channels",
        ),
    )
    return [f"has '{tag}' but {data}: {remedy}" for contradicts, tag, data in checks if contradicts]


def _has_gap(case: Float64) -> bool:
    """Return whether a case (n_channels, n_timepoints) has NaN before its last value."""
    missing = np.isnan(case)
    n_timepoints = int(np.flatnonzero(~missing.all(axis=0)).max(initial=-1)) + 1
    return bool(missing[:, :n_timepoints].any())


def _span(lengths: set[int]) -> str:
    """Return the lengths of cases in words."""
    low, high = min(lengths), max(lengths)
    return f"has cases of {low} timepoints" if low == high else f"has cases of {low} to {high} timepoints"
