"""Labels, missing values, unequal lengths, normalisation, resampling: from what a file holds to what a network takes.

Pure numpy. Arrays are (n_cases, n_channels, n_timepoints); statistics are computed in float64 and never look at the
test cases; what comes out is float32 and free of NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tsfcn.common.errors import UserError

Floats = npt.NDArray[np.floating]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Labels = npt.NDArray[np.str_]
FloatsT = TypeVar("FloatsT", bound=np.floating)  # float64 in, float64 out

NORMALISATIONS = ("none", "series", "train")
MISSING = ("zero", "interpolate")
LENGTH = ("pad", "cut", "mask")


@dataclass(frozen=True, eq=False)
class Arrays:
    """What a network is trained and tested on; no NaN anywhere.

    x_train: float32 (n_train, n_channels, L), L = longest training case in timepoints, or the shortest under 'cut'.
    x_test: float32 (n_test, n_channels, M), M >= L.
    y_train, y_test: int64 (n_cases,), positions in `classes`, a text array (n_classes,).
    train_lengths, test_lengths: int64 (n_cases,), the timepoints of each case that the network is to see; zeros follow.
    n_filled: missing values that were set to 0 or interpolated (train and test, within what was kept).
    n_padded: cases that end in zeros within what the network, or a part of it, sees (train and test).
    n_cut: cases that lost their end for the network, or for a part of it (train and test).
    n_masked: cases whose end is masked, zeros in memory that no layer counts (train and test).
    """

    x_train: Float32
    y_train: Int64
    x_test: Float32
    y_test: Int64
    classes: Labels
    train_lengths: Int64
    test_lengths: Int64
    n_filled: int
    n_padded: int
    n_cut: int
    n_masked: int


def znorm_series(x: Floats) -> Float32:
    """Scale every series to zero mean and unit variance over its own timepoints.

    x: float array (n_cases, n_channels, n_timepoints), any unit. Returns float32 of the same shape, unitless; each
    channel of a case is a series of its own. A constant series comes back as zeros. NaN is ignored and stays NaN.
    Raises ValueError if x is not 3-D. Population deviation, as Fawaz et al. 2019 do (their code maps deviation 0 to
    1); Wang et al. 2017 scale by train-set statistics instead (`znorm_train`), and the two give different accuracies.

    >>> znorm_series(np.array([[[1.0, 3.0, np.nan]], [[0.1, 0.1, 0.1]]])).tolist()
    [[[-1.0, 1.0, nan]], [[0.0, 0.0, 0.0]]]
    """
    x = _three_axes(x, "x")
    mean, deviation, constant = _statistics(x, axes=(2,))
    return _scaled(x, mean, deviation, constant)


def znorm_train(x_train: Floats, x_test: Floats) -> tuple[Float32, Float32]:
    """Scale both splits by one mean and one population deviation, taken over all of the training set.

    x_train, x_test: float arrays (n_cases, n_channels, n_timepoints). Returns the two as float32 of the same shapes.
    As the code of Wang et al. 2017 does: one pair of scalars a dataset. With several channels, which that paper did
    not have, each channel has its own pair. The test set is scaled by, and never enters, the statistics. NaN is
    ignored and stays NaN; a channel that is constant in training is only centred in the test set (deviation taken as
    1) and comes back as zeros in training. Raises ValueError if an array is not 3-D or the channels differ.

    >>> train, test = znorm_train(np.array([[[0.0, 2.0]], [[2.0, 0.0]]]), np.array([[[5.0, 1.0]]]))
    >>> train.tolist(), test.tolist()
    ([[[-1.0, 1.0]], [[1.0, -1.0]]], [[[4.0, 0.0]]])
    """
    x_train, x_test = _three_axes(x_train, "x_train"), _three_axes(x_test, "x_test")
    if x_train.shape[1] != x_test.shape[1]:
        raise ValueError(f"x_test is of {x_test.shape[1]} channels: x_train has {x_train.shape[1]}")
    mean, deviation, constant = _statistics(x_train, axes=(0, 2))
    train = _scaled(x_train, mean, deviation, constant)
    test = _scaled(x_test, mean, deviation, np.zeros_like(constant))
    return train, test


def encode_labels(y_train: npt.ArrayLike, y_test: npt.ArrayLike) -> tuple[Int64, Int64, Labels]:
    """Number the classes 0, 1, ...: in numeric order where every label is a number, else in text order.

    y_train, y_test: labels (n_cases,) of any kind ({-1, 1}, 3..8, text). Returns y_train and y_test as int64 positions
    in the third result, the classes as text (n_classes,): the union of both splits. Raises ValueError if an array is
    not 1-D.

    >>> encode_labels(["10", "9"], ["-1", "9"])[2].tolist()
    ['-1', '9', '10']
    """
    train, test = np.asarray(y_train).astype(np.str_), np.asarray(y_test).astype(np.str_)
    for name, y in (("y_train", train), ("y_test", test)):
        if y.ndim != 1:
            raise ValueError(f"{name} is of {y.ndim} axes: give one label a case, (n_cases,)")
    classes, codes = np.unique(np.concatenate([train, test]), return_inverse=True)
    order = np.array(_class_order([str(label) for label in classes]), dtype=np.int64)
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    codes = position[codes]
    return codes[: len(train)], codes[len(train) :], classes[order]


def prepare(
    x_train: Floats,
    y_train: npt.ArrayLike,
    x_test: Floats,
    y_test: npt.ArrayLike,
    *,
    normalisation: str,
    missing: str,
    length: str,
    unequal: bool,
    fixed_length: bool,
) -> Arrays:
    """Make what a network takes: cut, interpolate, normalise, set what is still missing and absent ends to 0.

    x_train, x_test: float (n_cases, n_channels, n_timepoints) with NaN where there is no value; y_train, y_test: labels
    (n_cases,). normalisation: 'none', 'series' (`znorm_series`) or 'train' (`znorm_train`), always over the values that
    are there.
    missing: 'zero' after normalisation, so that a missing value stands at the mean of a normalised series, as in the
    code of Karim et al. 2019; or 'interpolate' (`interpolated`) before it.
    unequal: NaN at the end of a case means that the case has ended; else it is missing like any other NaN.
    length: what becomes of cases that differ in length; the test set never decides, and what a network sees of a test
    case never depends on another one. L is the length of the longest training case.
      'pad'   zeros after the end, up to L. A test case longer than L is seen whole, or cut at L after normalisation
              where the network takes a fixed length.
      'cut'   every case is cut to the shortest training case (of those with any value) before anything else, so that
              this is as if the files ended there; zeros after the end of a shorter test case.
      'mask'  every case is seen at its own length, at least one timepoint; the zeros behind it are there for the memory
              alone. The part of a network of fixed length that has no mask sees zeros up to L, and is cut at L.
    fixed_length: the network, or under 'mask' a part of it, takes exactly L timepoints.
    Raises UserError for a policy not among these, a value too large for float32 and a training set of NaN only;
    ValueError for shapes that do not belong together.
    """
    for setting, word, known in (
        ("normalisation", normalisation, NORMALISATIONS),
        ("missing", missing, MISSING),
        ("length", length, LENGTH),
    ):
        if word not in known:
            raise UserError(f"{setting} '{word}' is not a policy: choose {' or '.join(repr(k) for k in known)}")
    codes_train, codes_test, classes = encode_labels(y_train, y_test)
    train_lengths, test_lengths = case_lengths(x_train, unequal), case_lengths(x_test, unequal)
    if (len(codes_train), len(codes_test), x_test.shape[1]) != (len(x_train), len(x_test), x_train.shape[1]):
        raise ValueError(
            f"x and y are of shapes {x_train.shape}, {codes_train.shape} in training and {x_test.shape}, "
            f"{codes_test.shape} in testing: give one label a case, and as many channels in both"
        )
    if not train_lengths.any():
        raise UserError("the training set is without any value: there is nothing to learn from")
    n_cut = 0
    if length == "cut":
        shortest = int(train_lengths[train_lengths > 0].min())
        n_cut = int((train_lengths > shortest).sum() + (test_lengths > shortest).sum())
        x_train, x_test = x_train[:, :, :shortest], x_test[:, :, :shortest]
        train_lengths, test_lengths = np.minimum(train_lengths, shortest), np.minimum(test_lengths, shortest)
    longest = int(train_lengths.max())
    # What is seen of a case: up to the training length, or to its own end if that is farther and the network goes on.
    seen_train, seen_test = np.full_like(train_lengths, longest), np.maximum(test_lengths, longest)
    if fixed_length:
        seen_test = np.minimum(seen_test, longest)
    n_cut += int((test_lengths > seen_test).sum())
    n_padded = int((train_lengths < seen_train).sum() + (test_lengths < seen_test).sum())
    n_masked = 0
    if length == "mask":
        n_masked = int((train_lengths < longest).sum() + (test_lengths < longest).sum())
        n_padded = n_padded if fixed_length else 0
        seen_train, seen_test = np.maximum(train_lengths, 1), np.maximum(test_lengths, 1)
    n_timepoints = int(seen_test.max(initial=longest))
    n_filled = n_missing(x_train[:, :, :longest], train_lengths) + n_missing(x_test[:, :, :n_timepoints], test_lengths)
    if missing == "interpolate":
        x_train, x_test = interpolated(x_train, train_lengths), interpolated(x_test, test_lengths)
    scaled_train, scaled_test = _normalise(x_train, x_test, normalisation)
    return Arrays(
        x_train=_filled(scaled_train, longest),
        y_train=codes_train,
        x_test=_filled(scaled_test, n_timepoints),
        y_test=codes_test,
        classes=classes,
        train_lengths=seen_train,
        test_lengths=seen_test,
        n_filled=n_filled,
        n_padded=n_padded,
        n_cut=n_cut,
        n_masked=n_masked,
    )


def interpolated(x: Floats, lengths: Int64) -> Floats:
    """Replace missing values by the straight line between the nearest values of the same case and channel.

    x: float (n_cases, n_channels, n_timepoints), NaN where there is no value; lengths: int64 (n_cases,), where each
    case ends: what is behind stays NaN, it is absent and not missing. Before the first and after the last value comes
    the nearest one; a channel of a case without any value stays NaN. Returns a new array of the same shape and dtype.
    The same rule as tslearn's TimeSeriesImputer('linear'). Not to be taken for the interpolation of sktime's
    TSInterpolator, aeon's Resizer and dl-4-tsc's transform_to_same_length (a cubic spline), which stretches series of
    unequal length to a common one and thereby changes their speed.

    >>> interpolated(np.array([[[np.nan, 1.0, np.nan, 3.0, np.nan, np.nan]]]), np.array([5])).tolist()
    [[[1.0, 1.0, 2.0, 3.0, 3.0, nan]]]
    """
    x = _three_axes(x, "x").copy()
    there = ~np.isnan(x)
    within = np.arange(x.shape[2]) < lengths[:, None]  # (n_cases, n_timepoints)
    for case, channel in zip(*np.nonzero((~there & within[:, None]).any(axis=2) & there.any(axis=2)), strict=True):
        known, gaps = there[case, channel], np.flatnonzero(~there[case, channel] & within[case])
        x[case, channel, gaps] = np.interp(gaps, np.flatnonzero(known), x[case, channel, known])
    return x


def n_missing(x: Floats, lengths: Int64) -> int:
    """Return how many values of x (n_cases, n_channels, n_timepoints) are NaN before the end of their case."""
    within = np.arange(x.shape[2]) < lengths[:, None, None]  # (n_cases, 1, n_timepoints)
    return int((np.isnan(x) & within).sum())


def case_lengths(x: Floats, unequal: bool) -> Int64:
    """Return how many timepoints each case has: up to its last value in any channel, or all where not `unequal`.

    x: float (n_cases, n_channels, n_timepoints). Returns int64 (n_cases,); 0 for a case without any value.

    >>> case_lengths(np.array([[[1.0, np.nan, 2.0, np.nan]]]), unequal=True).tolist()
    [3]
    """
    x = _three_axes(x, "x")
    n_cases, _, n_timepoints = x.shape
    if not unequal:
        return np.full(n_cases, n_timepoints, dtype=np.int64)
    there = ~np.isnan(x).all(axis=1)  # (n_cases, n_timepoints)
    ends: Int64 = np.where(there, np.arange(1, n_timepoints + 1, dtype=np.int64), 0).max(axis=1, initial=0)
    return ends


def _three_axes(x: Floats, name: str) -> Floats:
    if x.ndim != 3:
        raise ValueError(f"{name} is of {x.ndim} axes: give (n_cases, n_channels, n_timepoints)")
    return x


def _statistics(x: Floats, axes: tuple[int, ...]) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Return mean, population deviation (1 where that is 0) and where a series is constant; NaN is left out."""
    x = x.astype(np.float64, copy=False)
    there = ~np.isnan(x)
    n = np.maximum(there.sum(axis=axes, keepdims=True), 1)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.where(there, x, 0.0).sum(axis=axes, keepdims=True) / n
        squares = np.square(np.where(there, x - mean, 0.0))
        deviation = np.sqrt(squares.sum(axis=axes, keepdims=True) / n)
    if not np.isfinite(deviation).all():
        raise UserError("a value is infinite or too large to be squared in float64: mend its file, or scale it down")
    # The mean of n equal values need not be that value in floating point (0.1 three times), so the deviation of a
    # constant series can be 1e-17 instead of 0 and dividing by it would make +-1 of rounding noise.
    low = np.where(there, x, np.inf).min(axis=axes, keepdims=True, initial=np.inf)
    high = np.where(there, x, -np.inf).max(axis=axes, keepdims=True, initial=-np.inf)
    constant = high <= low
    lost = (deviation < 1e-150) & ~constant  # the squares are hardly a float64, if at all
    if lost.any():
        reach = np.where(lost, np.maximum(high - mean, mean - low), 1.0)
        squares = np.square(np.where(there, (x - mean) / reach, 0.0))
        deviation = np.where(lost, np.sqrt(squares.sum(axis=axes, keepdims=True) / n) * reach, deviation)
    return mean, np.where(constant | (deviation == 0), 1.0, deviation), constant


def _scaled(x: Floats, mean: Floats, deviation: Floats, constant: npt.NDArray[np.bool_]) -> Float32:
    with np.errstate(over="ignore", invalid="ignore"):  # `prepare` reports what float32 cannot hold
        scaled = (x - mean) / deviation
        scaled[np.broadcast_to(constant, scaled.shape) & ~np.isnan(x)] = 0.0
        return scaled.astype(np.float32)


def _normalise(x_train: Floats, x_test: Floats, normalisation: str) -> tuple[Float32, Float32]:
    if normalisation == "series":
        return znorm_series(x_train), znorm_series(x_test)
    if normalisation == "train":
        return znorm_train(x_train, x_test)
    with np.errstate(over="ignore"):  # as above
        return x_train.astype(np.float32), x_test.astype(np.float32)


def _filled(x: Float32, n_timepoints: int) -> Float32:
    """Cut or lengthen x to n_timepoints, with zeros for all NaN."""
    n_cases, n_channels, width = x.shape
    kept = min(width, n_timepoints)
    result = np.zeros((n_cases, n_channels, n_timepoints), dtype=np.float32)
    result[:, :, :kept] = x[:, :, :kept]
    result[np.isnan(result)] = 0.0
    if not np.isfinite(result).all():
        raise UserError("a value is infinite or too large for float32: normalise the dataset, or mend its file")
    return result


def _class_order(classes: list[str]) -> list[int]:
    try:
        numbers = [float(label) for label in classes]
    except ValueError:
        return list(range(len(classes)))  # np.unique has sorted them as text
    if not all(np.isfinite(numbers)):
        return list(range(len(classes)))
    return sorted(range(len(classes)), key=lambda i: (numbers[i], classes[i]))
