"""Identify the content of a dataset: its hash, the contents on record, and which revision of the archive it is."""

from __future__ import annotations

import csv
import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tsfcn.common.errors import UserError
from tsfcn.data import catalogue
from tsfcn.data.formats import Float64
from tsfcn.data.preprocess import Labels, case_lengths

# Both archives of 2018 were corrected after their first release; (n_train, n_test) of the files that still circulate.
# PLAID's early revision has the official sizes and differs by its rounding to 5 digits: only the content shows it.
# Those of UEA stand in the table of its paper, and some published figures are whole cases of them.
EARLY_REVISION = {
    "Chinatown": (20, 345),
    "MelbournePedestrian": (1200, 2450),
    "DuckDuckGeese": (60, 40),
    "ERing": (30, 30),
}

REVISIONS = {
    "corrected": "official 2018, corrected revision",
    "early": "early revision of 2018",
    "rounded": "official 2018 values, rounded",
    "unknown": "unknown content, shape as in the catalogue",
    "unrecorded": "shape as in the catalogue, whose content is not on record",
    "user": "your own data",
}
"""What is known of a content, and the words for it."""

N_PROJECTIONS = 4
ROUNDING = 2e-4  # of the norm: values of 5 significant digits stay below a fifth of it


def content_hash(
    x_train: Float64,
    y_train: Labels,
    x_test: Float64,
    y_test: Labels,
    unequal: bool,
) -> str:
    """Return the SHA-256 of the content of both splits, in hex, whatever file it came from.

    Hashed are the shapes, the lengths of the cases, the labels and the values up to those lengths (little endian).
    Padding does not count, all NaN are one NaN, and -0.0 is 0.0.

    Args:
        x_train: Float64 (n_cases, n_channels, n_timepoints).
        y_train: Text (n_cases,).
        x_test: As x_train.
        y_test: As y_train.
        unequal: NaN at the end of a case means that the case has ended.
    """
    digest = hashlib.sha256()
    for split, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        lengths = case_lengths(x, unequal)
        head = {"split": split, "n_cases": len(x), "n_channels": x.shape[1], "labels": [str(label) for label in y]}
        digest.update(json.dumps(head, sort_keys=True).encode("ascii"))
        digest.update(lengths.astype("<i8").tobytes())
        values = (x + 0.0).astype("<f8", copy=False)
        values[np.isnan(values)] = np.nan
        for case, length in zip(values, lengths, strict=True):
            digest.update(case[:, :length].tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Content:
    """A content on record: its revision, hash, the hash of its labels, its Euclidean norm and its projections."""

    revision: str
    content: str
    labels: str
    norm: float
    projections: tuple[float, ...]


@functools.cache
def contents() -> dict[str, list[Content]]:
    """Return the contents on record (`contents.csv`), by dataset."""
    known: dict[str, list[Content]] = {}
    with (Path(__file__).parent / "contents.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            projections = tuple(float(row[f"projection{i}"]) for i in range(N_PROJECTIONS))
            entry = Content(row["revision"], row["content"], row["labels"], float(row["norm"]), projections)
            known.setdefault(row["name"], []).append(entry)
    return known


@functools.cache
def _names_by_content() -> dict[str, str]:
    return {entry.content: name for name, entries in contents().items() for entry in entries}


def sketch(
    x_train: Float64,
    y_train: Labels,
    x_test: Float64,
    y_test: Labels,
    unequal: bool,
) -> dict[str, Any]:
    """Return figures that show whether values are those on record except for rounding, which no hash can.

    labels: a hash of all labels. norm: the Euclidean norm of all values. projections: their inner products with
    N_PROJECTIONS random vectors. Rounding each value by a relative error e changes a projection by about e times the
    norm; other values change it by about the norm. Missing values count as 0.

    Args:
        x_train: As for `content_hash`.
        y_train: Likewise.
        x_test: Likewise.
        y_test: Likewise.
        unequal: Likewise.
    """
    random = np.random.RandomState(0)  # its stream is frozen
    labels = json.dumps([[str(label) for label in y] for y in (y_train, y_test)])
    square, projections = 0.0, np.zeros(N_PROJECTIONS)
    for x in (x_train, x_test):
        for case, length in zip(x, case_lengths(x, unequal), strict=True):
            values = np.nan_to_num(case[:, :length]).ravel()
            square += float(values @ values)
            projections += random.standard_normal((N_PROJECTIONS, len(values))) @ values
    return {
        "labels": hashlib.sha256(labels.encode()).hexdigest()[:16],
        "norm": float(f"{np.sqrt(square):.8g}"),
        "projections": [float(f"{value:.8g}") for value in projections],
    }


def checked_passport(passport: dict[str, Any], place: str) -> dict[str, Any]:
    """Return a passport with its revision, without the sketch.

    place: what errors call the dataset. Raises UserError for content under the name of an official dataset that cannot
    be it, and for a dataset of the user that has one class.
    """
    passport = dict(passport)
    figures = passport.pop("sketch", None)
    facts = catalogue.CATALOGUE.get(passport["name"])
    if facts is None:
        if passport["n_classes"] == 1:
            raise UserError(f"{place} is of one class: a classifier needs two or more")
        return passport
    fault = _fault(passport, facts)
    if fault:
        archive = facts.archive.replace("2018", " 2018")
        remedy = f"take the official files of the {archive} archive, or give yours another name"
        raise UserError(f"{place} {fault}: {remedy}")
    early = (passport["n_train"], passport["n_test"]) == EARLY_REVISION.get(facts.name)
    return passport | {"revision": "early" if early else _revision(facts.name, passport["content"], figures)}


def _fault(passport: dict[str, Any], facts: catalogue.Facts) -> str:
    """Return why a content cannot be the official one, '' if it can."""
    other = _names_by_content().get(passport["content"], facts.name)
    if other != facts.name:
        return f"is of the content of '{other}'"
    sizes, official = (passport["n_train"], passport["n_test"]), (facts.n_train, facts.n_test)
    early = sizes == EARLY_REVISION.get(facts.name)
    if sizes != official and not early:
        counts = f"{sizes[0]} training and {sizes[1]} test cases, not the official {official[0]} and {official[1]}"
        return f"is of {counts}{_resemblance(passport, facts)}"
    for key, unit, expected in (
        ("n_channels", "channels", facts.n_channels),
        ("n_classes", "classes", facts.n_classes),
        ("length", "timepoints", facts.length),
    ):
        if passport[key] != expected:
            return f"is of {passport[key]} {unit}, not the official {expected}"
    if facts.unequal and passport["shortest"] == passport["length"]:
        return "is of equal length, adjusted, while the official cases differ in length"
    if facts.missing and passport["n_missing"] == 0 and not early:
        return "is without missing values, adjusted, while the official files have some"
    if not facts.missing and passport["n_missing"] != 0:
        return f"is short of {passport['n_missing']} values, the official files miss none"
    return ""


def _resemblance(passport: dict[str, Any], facts: catalogue.Facts) -> str:
    """Return what sizes that are not the official ones look like, as the end of a sentence."""
    sizes = passport["n_train"], passport["n_test"]
    if sizes == (facts.n_test, facts.n_train):
        return ", train and test swapped"
    if sizes[0] == sizes[1] and sizes[0] in (facts.n_train, facts.n_test):
        return f", the {'training' if sizes[0] == facts.n_train else 'test'} file twice"
    if facts.n_train + facts.n_test in sizes:
        return ", both splits in one file"
    if sum(sizes) == facts.n_train + facts.n_test:
        return ", as many in all: split in another way"
    shape = (*sizes, passport["n_channels"], passport["n_classes"], passport["length"])
    same = [
        f.name
        for f in catalogue.CATALOGUE.values()
        if shape == (f.n_train, f.n_test, f.n_channels, f.n_classes, f.length)
    ]
    return f", those of '{same[0]}'" if same else ""


def _revision(name: str, content: str, figures: dict[str, Any] | None) -> str:
    """Return the revision (a key of REVISIONS) of a content whose sizes are the official ones."""
    known = contents().get(name, [])
    for entry in known:
        if entry.content == content:
            return entry.revision
    for entry in known:
        if entry.revision == "corrected" and figures is not None and figures["labels"] == entry.labels:
            pairs = zip(figures["projections"], entry.projections, strict=True)
            if max(abs(ours - theirs) for ours, theirs in pairs) <= ROUNDING * entry.norm:
                return "rounded"
    return "unknown" if known else "unrecorded"
