"""A dataset with its split and passport, made from the content of its files, and the checks of a user's own data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tsfcn.common.errors import UserError
from tsfcn.data import catalogue
from tsfcn.data.formats import Float64, Split
from tsfcn.data.preprocess import Labels, case_lengths, n_missing
from tsfcn.data.provenance import content_hash, contents, sketch

FEW_CLASSES = 10  # more classes of fractions are measurements
CLASSES_SHOWN = 8  # in a summary


@dataclass(frozen=True, eq=False)
class Dataset:
    """One dataset with its train and test split.

    x_train, x_test: float64 (n_cases, n_channels, n_timepoints), both of the same n_timepoints, that of the longest
    case; NaN for a missing value and after the end of a shorter case. y_train, y_test: labels as text (n_cases,),
    numbers in one spelling ('1', never '1.0'). unequal: NaN at the end of a case means that it has ended.
    passport: what identifies the content; see `archive.passport`.
    """

    name: str
    x_train: Float64
    y_train: Labels
    x_test: Float64
    y_test: Labels
    unequal: bool
    passport: dict[str, Any]

    def __repr__(self) -> str:
        """Return one line: name, shapes and classes."""
        classes = f"{self.passport['n_classes']} classes"
        return f"<Dataset {self.name}: train {self.x_train.shape}, test {self.x_test.shape}, {classes}>"


def assemble(name: str, train: Split, test: Split, place: str, source: str) -> Dataset:
    """Return the dataset of two splits, in the orientation of 2018, with all of its passport that is not looked up.

    The passport of an official dataset may hold `content_reversed` and `sketch`, for `provenance` and `archive`.

    Args:
        name: Of the dataset; one of the catalogue has the official facts.
        train: The training cases.
        test: The test cases.
        place: What errors call the dataset.
        source: The format of the files.

    Raises:
        UserError: For splits that differ in channels, and for data of the user that is no classification.
    """
    facts = catalogue.CATALOGUE.get(name)
    n_channels = train.cases[0].shape[0]
    if test.cases[0].shape[0] != n_channels:
        raise UserError(
            f"{place} has {n_channels} channels in training and {test.cases[0].shape[0]} in "
            "testing: give the same channels in both files"
        )
    if facts is None:
        check_user_splits(place, train, test)
    sizes = len(train.cases), len(test.cases)
    swapped = facts is not None and facts.split_swapped_in_2015 and sizes == (facts.n_test, facts.n_train)
    if swapped:
        train, test = test, train
    dataset = _padded_dataset(name, train, test, None if facts is None else facts.unequal)
    repeated = duplicates(dataset)
    passport = _passport(dataset, source, facts, swapped) | {"n_duplicates": repeated["series"]}
    if facts is None:
        counts = Counter(train.labels)
        passport["class_counts"] = {label: counts[label] for label in dict.fromkeys([*train.labels, *test.labels])}
        passport["warnings"] = [*dict.fromkeys([*train.notices, *test.notices]), *warnings(dataset, repeated)]
    return replace(dataset, passport=passport)


def _padded_dataset(name: str, train: Split, test: Split, unequal: bool | None) -> Dataset:
    """Return a dataset without passport. unequal: as in the catalogue; None: as the cases show."""
    width = max(case.shape[1] for split in (train, test) for case in split.cases)
    x_train, x_test = _padded(train.cases, width), _padded(test.cases, width)
    y_train, y_test = np.array(train.labels, dtype=np.str_), np.array(test.labels, dtype=np.str_)
    if unequal is None:
        unequal = _ends_differ(x_train, x_test, train, test)
    if unequal:
        # AllGestureWiimote* have 500 columns, but no case is longer than 385 timepoints.
        width = max(1, int(max(case_lengths(x_train, True).max(), case_lengths(x_test, True).max())))
        x_train, x_test = x_train[:, :, :width].copy(), x_test[:, :, :width].copy()
    return Dataset(name, x_train, y_train, x_test, y_test, unequal, {})


def _padded(cases: list[Float64], width: int) -> Float64:
    """Return cases as (n_cases, n_channels, width), NaN after the end of each."""
    x = np.full((len(cases), cases[0].shape[0], width), np.nan)
    for i, case in enumerate(cases):
        x[i, :, : case.shape[1]] = case
    x += 0.0  # makes -0.0 0.0, so that equal content hashes mean equal arrays
    x[np.isnan(x)] = np.nan  # there are many NaN, and series are compared by their bytes
    return x


def _ends_differ(x_train: Float64, x_test: Float64, train: Split, test: Split) -> bool:
    """Return whether the NaN at the ends of a user's cases are absent timepoints rather than missing values.

    Args:
        x_train: The training cases with NaN after their ends.
        x_test: The test cases, likewise.
        train: The training cases as they were read.
        test: The test cases as they were read.
    """
    if len({case.shape[1] for split in (train, test) for case in split.cases}) > 1:
        return True
    splits = [(x, case_lengths(x, True)) for x in (x_train, x_test)]
    shorter = any(bool((lengths < x.shape[2]).any()) for x, lengths in splits)
    return shorter and sum(n_missing(x, lengths) for x, lengths in splits) == 0


def _passport(dataset: Dataset, source: str, facts: catalogue.Facts | None, swapped: bool) -> dict[str, Any]:
    """Return the passport of a dataset without its revision and its duplicates.

    Args:
        dataset: The arrays.
        source: The format of the files.
        facts: Of the catalogue; None for data of the user.
        swapped: Whether the files have the split of 2015.
    """
    x_train, y_train, x_test, y_test = dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test
    unequal = dataset.unequal
    train_lengths, test_lengths = case_lengths(x_train, unequal), case_lengths(x_test, unequal)
    passport: dict[str, Any] = {
        "name": dataset.name,
        "archive": "user" if facts is None else facts.archive,
        "revision": "user",
        "source": source,
        "split": "user" if facts is None else facts.split,
        "files_split": "user" if facts is None else "ucr2015" if swapped else facts.split,
        "n_train": len(x_train),
        "n_test": len(x_test),
        "n_channels": x_train.shape[1],
        "n_classes": len({*y_train.tolist(), *y_test.tolist()}),
        "length": int(max(train_lengths.max(), test_lengths.max())),
        "shortest": int(min(train_lengths.min(), test_lengths.min())),
        "unequal": unequal,
        "n_missing": n_missing(x_train, train_lengths) + n_missing(x_test, test_lengths),
        "content": content_hash(x_train, y_train, x_test, y_test, unequal),
    }
    if facts is not None and facts.split_swapped_in_2015:
        passport["content_reversed"] = content_hash(x_test, y_test, x_train, y_train, unequal)
    if facts is not None and passport["content"] not in {known.content for known in contents().get(dataset.name, [])}:
        passport["sketch"] = sketch(x_train, y_train, x_test, y_test, unequal)
    return passport


def duplicates(dataset: Dataset) -> dict[str, int]:
    """Return how many test series are training series too, value for value: the official data has some.

    series: distinct series in both splits; cases: test cases that hold one of them; relabelled: those of these cases
    whose class no training case of the same series has.
    """
    labels: dict[bytes, set[str]] = {}
    for case, label in zip(dataset.x_train, dataset.y_train, strict=True):
        labels.setdefault(case.tobytes(), set()).add(str(label))
    found = [
        (series, str(label) in labels[series])
        for case, label in zip(dataset.x_test, dataset.y_test, strict=True)
        if (series := case.tobytes()) in labels
    ]
    return {
        "series": len({series for series, _ in found}),
        "cases": len(found),
        "relabelled": sum(not same for _, same in found),
    }


# ---------------------------------------------------------------------------------------------------------------------
# The user's own data


def check_user_splits(place: str, train: Split, test: Split) -> None:
    """Raise UserError for data of the user that cannot be a classification dataset, or was read from wrong columns.

    place: what messages call the dataset.
    """
    check_split(place, Split([], [*train.labels, *test.labels], [], [*train.faults, *test.faults]))
    known = set(train.labels)
    unseen = [label for label in test.labels if label not in known]
    if 2 * len(unseen) > len(test.labels):
        raise UserError(
            f"{place} has {len(unseen)} of {len(test.labels)} test cases of classes that training lacks, as "
            f"{unseen[0][:40]!r}: correct the labels, which are the first column without a header"
        )


def check_split(place: str, split: Split) -> None:
    """Raise UserError for the faults that a reader noticed, and for labels that are no classes.

    place: what messages call the dataset.
    """
    for fault in split.faults:
        raise UserError(fault)
    check_classes(place, split.labels)


def check_classes(place: str, labels: list[str]) -> None:
    """Raise UserError for labels that look like the target of a regression: mostly distinct numbers."""
    classes = set(labels)
    try:
        numbers = [float(label) for label in classes]
    except ValueError:
        return
    fractions = any(not number.is_integer() for number in numbers)
    mostly_distinct = len(labels) > 5 and 2 * len(classes) > len(labels)
    measured = fractions and len(classes) > max(FEW_CLASSES, len(labels) // 5)
    if mostly_distinct or measured:
        raise UserError(
            f"{place} has {len(classes)} distinct numbers as labels of {len(labels)} cases, like a regression target "
            "or measurements: write classes, in the first column or under a header 'label' (or label=NAME)"
        )


def warnings(dataset: Dataset, repeated: Mapping[str, int]) -> list[str]:
    """Return sentences about what makes the accuracy on a user's dataset doubtful. repeated: its `duplicates`."""
    sentences = []
    known = set(dataset.y_train.tolist())
    unseen = [label for label in dataset.y_test.tolist() if label not in known]
    n_test = len(dataset.y_test)
    if unseen:
        classes = sorted(set(unseen))
        sentences.append(
            f"{len(unseen)} of {n_test} test cases are of classes that no training case has "
            f"({', '.join(shown(label) for label in classes[:5])}{', ...' if len(classes) > 5 else ''})"
        )
    relabelled = f", {repeated['relabelled']} of them of another class" if repeated["relabelled"] else ""
    if repeated["cases"] == n_test:
        sentences.append(f"the test file copies training cases: all {n_test} test cases are training cases{relabelled}")
    elif repeated["cases"]:
        sentences.append(f"{repeated['cases']} of {n_test} test cases are training cases too{relabelled}")
    return sentences


def shown(label: str) -> str:
    """Return a label as it is printed: at most 40 characters, without control characters."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in label[:40])


def summary(passport: dict[str, Any]) -> list[str]:
    """Return lines about a user's dataset that was read: its sizes and classes, and a line for each warning.

    passport: of a dataset of the user. The counts of classes are those of training cases, or timepoints of streams.
    """
    name, length = passport["name"], passport["length"]
    timepoints = f"{length}" if passport["shortest"] == length else f"{passport['shortest']} to {length}"
    counts = passport.get("class_counts", {})
    classes = [f"{shown(label)} {count}" for label, count in counts.items()]
    named = ", ".join(classes[:CLASSES_SHOWN]) + (", ..." if len(classes) > CLASSES_SHOWN else "")
    n_channels, kind = passport["n_channels"], passport.get("kind", "cases")
    first = (
        f"{name}: read {passport['n_train']} + {passport['n_test']} {kind} x {timepoints} timepoints, "
        f"{n_channels} channel{'s' if n_channels != 1 else ''}, {passport['n_classes']} classes ({named})"
    )
    return [first, *(f"{name}: warning: {shown_sentence(each)}" for each in passport.get("warnings", []))]


def shown_sentence(text: str) -> str:
    """Return a sentence without control characters."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
