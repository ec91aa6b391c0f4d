"""Read numpy's .npy and .npz, without pickle."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsfcn.common.errors import UserError
from tsfcn.data.formats.split import LabelUse, Split
from tsfcn.data.formats.text import (
    Float64,
    open_regular,
    parse_label,
    unpacked_limit,
)

VALUES = ("x", "data", "values")
LABELS = ("y", "labels", "label", "target", "classes")
TRAIN = (("x_train", "y_train"), ("train_x", "train_y"), ("train_data", "train_labels"))
TEST = (("x_test", "y_test"), ("test_x", "test_y"), ("test_data", "test_labels"))


def read_array(path: Path) -> npt.NDArray[Any]:
    """Return the array of a .npy file. Raises UserError for anything else, and for Python objects."""
    with open_regular(path) as file:
        try:
            array = np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, EOFError, OSError, MemoryError) as error:
            raise _refusal(path, error) from error
    return np.asarray(array)


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a .npz file by their names in lower case. Raises UserError as `read_array` does."""
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as content:
                unpacked = sum(entry.file_size for entry in content.infolist())
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise _refusal(path, error) from error
        if unpacked > unpacked_limit(file):
            raise UserError(f"file '{path}' is a zip bomb: it unpacks to {unpacked // 10**6} MB")
        try:
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return {name.lower(): np.asarray(arrays[name]) for name in arrays.files}
        except (ValueError, EOFError, OSError, MemoryError, zipfile.BadZipFile, KeyError) as error:
            raise _refusal(path, error) from error


def _refusal(path: Path, error: BaseException) -> UserError:
    """Return the error for a file that numpy does not read."""
    if "pickle" in str(error) or "Object arrays" in str(error):
        return UserError(
            f"file '{path}' holds Python objects, which are not read: save plain arrays of numbers and text"
        )
    return UserError(f"file '{path}' is not a whole numpy file: save it again with numpy.save or numpy.savez")


def split_of_array(path: Path, labels: LabelUse = "needed") -> Split:
    """Read a .npy file of one split: (n_cases, 1 + n_timepoints), the label first, as in the UCR archive.

    labels: without them the array is (n_cases, n_timepoints); one of three axes, with channels, never has them.
    """
    array = read_array(path)
    if labels == "absent" or (labels == "optional" and array.ndim == 3):
        return unlabelled(array, f"file '{path}'")
    if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in "iuf":
        raise UserError(
            f"file '{path}' is an array of {array.dtype} {array.shape}: give numbers (n_cases, 1 + n_timepoints), the "
            "label first, or a .npz of X and y"
        )
    return to_split(array[:, 1:], array[:, 0], f"file '{path}'")


def splits_of_npz(path: Path) -> list[Split]:
    """Read a .npz file: one split of arrays X and y, or both of X_train, y_train, X_test and y_test."""
    content = read_npz(path)
    return _pair(content, path) or [_single(content, path, "needed")]


def split_of_npz(path: Path, labels: LabelUse = "needed") -> Split:
    """Read a .npz file of one split, of arrays X and y. labels: where they are not needed, y may be missing."""
    return _single(read_npz(path), path, labels)


def _single(content: Mapping[str, npt.NDArray[Any]], path: Path, labels: LabelUse) -> Split:
    x, y = (next((content[name] for name in names if name in content), None) for names in (VALUES, LABELS))
    if x is not None and (labels == "absent" or (labels == "optional" and y is None)):
        return unlabelled(x, f"file '{path}'")
    if x is None or y is None:
        raise UserError(f"file '{path}' holds {_listed(content)}: give arrays X and y")
    return to_split(x, y, f"file '{path}'")


def _pair(content: Mapping[str, npt.NDArray[Any]], path: Path) -> list[Split]:
    """Return both splits of X_train, y_train, X_test and y_test; [] where there are no such arrays.

    An array `unequal` that is true means that NaN at the end of a case is no timepoint; `warnings` are notices.
    """
    for (x_train, y_train), (x_test, y_test) in zip(TRAIN, TEST, strict=True):
        if all(name in content for name in (x_train, y_train, x_test, y_test)):
            train = to_split(content[x_train], content[y_train], f"file '{path}' {x_train}")
            test = to_split(content[x_test], content[y_test], f"file '{path}' {x_test}")
            if bool(np.any(content.get("unequal", np.array(False)))):
                train, test = _cut(train), _cut(test)
            train.notices.extend(str(each) for each in content.get("warnings", np.array([])).ravel())
            return [train, test]
    return []


def _cut(split: Split) -> Split:
    """Return the cases without the NaN at their ends, each at least one timepoint long."""
    ends = [int(np.flatnonzero(~np.isnan(case).all(axis=0)).max(initial=0)) + 1 for case in split.cases]
    return Split([case[:, :end] for case, end in zip(split.cases, ends, strict=True)], split.labels)


def _listed(content: Mapping[str, object]) -> str:
    return "no arrays" if not content else "arrays " + ", ".join(repr(name[:40]) for name in list(content)[:6])


def to_split(x: object, y: object, source: str) -> Split:
    """Return the cases and labels of arrays.

    x: numbers (n_cases, n_timepoints) or (n_cases, n_channels, n_timepoints), NaN for no value, or a sequence of cases
    (n_timepoints,) or (n_channels, n_timepoints), which may differ in length. y: labels (n_cases,). source: what
    messages call them. Raises UserError for other shapes and types, infinite values and missing labels.
    """
    labels = _labels(y, source)
    cases = cases_of(x, source)
    if len(cases) != len(labels):
        raise UserError(f"{source} has {len(cases)} cases and {len(labels)} labels: give one label for each case")
    if len({case.shape[0] for case in cases}) > 1:
        raise UserError(f"{source} has cases of {cases[0].shape[0]} and other numbers of channels: give as many in all")
    return Split(cases, labels)


def unlabelled(x: object, source: str) -> Split:
    """Return the cases of an array without labels. Arguments and errors as for `to_split`."""
    cases = cases_of(x, source)
    return Split(cases, [""] * len(cases))


def cases_of(x: object, source: str) -> list[Float64]:
    """Return the cases of an array, or of a sequence of arrays, each (n_channels, n_timepoints)."""
    parts: Sequence[Any]
    if isinstance(x, (list, tuple)):
        parts = x
    else:
        array = np.asarray(x)
        if array.ndim not in (2, 3) and array.dtype != object:
            raise UserError(
                f"{source} has values of shape {array.shape}: give (n_cases, n_timepoints) or "
                "(n_cases, n_channels, n_timepoints)"
            )
        parts = list(array)
    return [_case(part, f"{source} case {number}") for number, part in enumerate(parts)]


def _case(part: object, where: str) -> Float64:
    """Return one case as float64 (n_channels, n_timepoints)."""
    try:
        array = np.asarray(part)
        if array.dtype.kind not in "iufbO":
            raise TypeError
        case = np.array(array, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{where} is not numeric: give numbers, NaN for missing values") from None
    if case.ndim not in (1, 2) or case.size == 0:
        raise UserError(f"{where} has shape {case.shape}: give (n_timepoints,) or (n_channels, n_timepoints)")
    if np.isinf(case).any():
        raise UserError(f"{where} has an infinite value: give finite numbers, NaN for missing values")
    return case.reshape(-1, case.shape[-1])


def _labels(y: object, source: str) -> list[str]:
    """Return labels as text, numbers in their one spelling."""
    array = np.asarray(y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise UserError(f"{source} has labels of shape {array.shape}: give one label for each case, (n_cases,)")
    if array.dtype.kind not in "iufbUO":
        raise UserError(f"{source} has labels of type {array.dtype}: give text or numbers")
    return [label_text(value, f"{source} case {number}") for number, value in enumerate(array.tolist())]


def label_text(value: object, where: str) -> str:
    """Return a label of Python or numpy as text. Raises UserError for a missing one and for another type."""
    if value is not None and not isinstance(value, (str, int, float, np.generic)):
        raise UserError(f"{where} has a label of type {type(value).__name__}: give text or numbers")
    text = "" if value is None else repr(value) if isinstance(value, float) else str(value)
    return parse_label(text.strip(), where, "give each case a class")
