"""Encode labels, fill missing values, pad or cut unequal lengths and normalise: a dataset becomes a network's arrays.

The probes of the data (docs/protocols.md, section 8) change the series on the way: `truncate` comes first, `noise`
after the normalisation, `permute_time` last.

Pure numpy. Arrays are (n_cases, n_channels, n_timepoints). Statistics are computed in float64 and never use the test
cases. The result is float32 without NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    """The arrays that a network is trained and tested on, without NaN.

    x_train: float32 (n_train, n_channels, L), L = longest training case in timepoints, or the shortest under 'cut'.
    x_test: float32 (n_test, n_channels, M), M >= L.
    y_train, y_test: int64 (n_cases,), positions in `classes`, a text array (n_classes,).
    train_lengths, test_lengths: int64 (n_cases,), the timepoints of each case that the network sees; zeros follow.
    n_filled: missing values that were set to 0 or interpolated (train and test, within the timepoints that are used).
    n_padded: cases that end in zeros which the network, or a part of it, sees (train and test).
    n_cut: cases whose end the network, or a part of it, does not see (train and test).
    n_masked: cases that end in zeros which no layer counts (train and test).
    preparation: how the cases were prepared, for further cases.
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
    preparation: Preparation


def znorm_series(x: Floats) -> Float32:
    """Scale every series to zero mean and unit variance over its own timepoints.

    x: float array (n_cases, n_channels, n_timepoints), any unit. Returns float32 of the same shape, without unit. Each
    channel of a case is one series. A constant series becomes zeros. NaN is ignored and stays NaN.
    Raises ValueError if x is not 3-D. The deviation is the population's, as in Fawaz et al. 2019 (their code replaces
    a deviation of 0 by 1). Wang et al. 2017 use statistics of the training set instead (`znorm_train`), which gives
    other accuracies.

    >>> znorm_series(np.array([[[1.0, 3.0, np.nan]], [[0.1, 0.1, 0.1]]])).tolist()
    [[[-1.0, 1.0, nan]], [[0.0, 0.0, 0.0]]]
    """
    x = _three_axes(x, "x")
    mean, deviation, constant = _statistics(x, axes=(2,))
    return _scaled(x, mean, deviation, constant)


def znorm_train(x_train: Floats, x_test: Floats) -> tuple[Float32, Float32]:
    """Scale both splits by one mean and one population deviation, taken over all of the training set.

    x_train, x_test: float arrays (n_cases, n_channels, n_timepoints). Returns both as float32 of the same shapes.
    As in the code of Wang et al. 2017: one mean and one deviation for each dataset. With several channels, which that
    paper did not have, each channel has its own mean and deviation. The test set is scaled by these statistics and does
    not enter them. NaN is ignored and stays NaN. A channel that is constant in training becomes zeros there and is only
    centred in the test set (deviation 1). Raises ValueError if an array is not 3-D or the channels differ.

    >>> train, test = znorm_train(np.array([[[0.0, 2.0]], [[2.0, 0.0]]]), np.array([[[5.0, 1.0]]]))
    >>> train.tolist(), test.tolist()
    ([[[-1.0, 1.0]], [[1.0, -1.0]]], [[[4.0, 0.0]]])
    """
    x_train, x_test = _three_axes(x_train, "x_train"), _three_axes(x_test, "x_test")
    if x_train.shape[1] != x_test.shape[1]:
        raise ValueError(f"x_test has {x_test.shape[1]} channels: x_train has {x_train.shape[1]}")
    mean, deviation, constant = _statistics(x_train, axes=(0, 2))
    train = _scaled(x_train, mean, deviation, constant)
    test = _scaled(x_test, mean, deviation, np.zeros_like(constant))
    return train, test


def encode_labels(y_train: npt.ArrayLike, y_test: npt.ArrayLike) -> tuple[Int64, Int64, Labels]:
    """Number the classes 0, 1, ...: in numeric order if every label is a number, else in text order.

    y_train, y_test: labels (n_cases,) of any kind ({-1, 1}, 3..8, text). Returns y_train and y_test as int64 positions
    in the third result, the classes of both splits as text (n_classes,). Raises ValueError if an array is not 1-D.

    >>> encode_labels(["10", "9"], ["-1", "9"])[2].tolist()
    ['-1', '9', '10']
    """
    train, test = np.asarray(y_train).astype(np.str_), np.asarray(y_test).astype(np.str_)
    for name, y in (("y_train", train), ("y_test", test)):
        if y.ndim != 1:
            raise ValueError(f"{name} has {y.ndim} axes: give one label for each case, (n_cases,)")
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
    truncate: float = 1.0,
    permute_time: int | None = None,
    noise: float = 0.0,
    test_noise: float = 0.0,
    seed: int = 0,
) -> Arrays:
    """Return the arrays that a network takes: cut, interpolated, normalised, with zeros for all remaining NaN.

    Neither the test set nor one test case has an influence on how another case is prepared. L is the length of the
    longest training case.

    Args:
        x_train: Float (n_cases, n_channels, n_timepoints), NaN for a missing value and after the end of a case.
        y_train: Labels (n_cases,).
        x_test: As x_train.
        y_test: As y_train.
        normalisation: 'none', 'series' (`znorm_series`) or 'train' (`znorm_train`); missing values are ignored.
        missing: 'zero': 0 after normalisation, the mean of a normalised series, as in the code of Karim et al. 2019.
            'interpolate': `interpolated`, before normalisation.
        length: What is done with cases that differ in length.
            'pad': Zeros after the end, up to L. A test case longer than L is used whole, or cut at L after
            normalisation if the network takes a fixed length.
            'cut': Every case is first cut to the length of the shortest training case that has any value. Zeros follow
            the end of a shorter test case.
            'mask': Every case is used at its own length, at least one timepoint; the zeros behind it only fill the
            array. The part of a network that has a fixed length and no mask sees zeros up to L and is cut at L.
        unequal: NaN at the end of a case means that the case has ended. Otherwise it is a missing value.
        fixed_length: The network, or under 'mask' a part of it, takes exactly L timepoints.
        truncate: The fraction of the longest training case, from its start, that is used (`truncated_length`). Every
            case is cut there, before everything else, as if the files ended there.
        permute_time: The seed of the order in which the timepoints of every case are put, in all channels; None: as
            they are. The arrays are permuted last, so what the policies do is the same as without it.
        noise: The standard deviation of Gaussian noise that is added to every value of both splits after the
            normalisation, in the unit that it gives. Missing values and zeros after the end stay zeros.
        test_noise: The same for the test cases alone.
        seed: Of the noise, which is drawn for each place of the arrays whatever the network.

    Raises:
        UserError: For an unknown policy, a value too large for float32, a training set of NaN only, and for
            permute_time where a case is used at another length than L.
        ValueError: For shapes that do not fit together.
    """
    codes_train, codes_test, classes = encode_labels(y_train, y_test)
    lengths_train, lengths_test = case_lengths(x_train, unequal), case_lengths(x_test, unequal)
    preparation = fit_preparation(
        *(x_train, lengths_train),
        normalisation=normalisation,
        missing=missing,
        length=length,
        fixed_length=fixed_length,
        truncate=truncate,
        permute_time=permute_time,
    )
    if (len(codes_train), len(codes_test), x_test.shape[1]) != (len(x_train), len(x_test), x_train.shape[1]):
        raise ValueError(
            f"x and y are of shapes {x_train.shape}, {codes_train.shape} in training and {x_test.shape}, "
            f"{codes_test.shape} in testing: give one label for each case, and as many channels in both"
        )
    train_noise = drawn_noise(noise, x_train.shape, [seed, 0])
    train = preparation.transform(x_train, lengths_train, is_training=True, noise=train_noise)
    test = preparation.transform(x_test, lengths_test, noise=drawn_noise(noise or test_noise, x_test.shape, [seed, 1]))
    return Arrays(
        x_train=train.x,
        y_train=codes_train,
        x_test=test.x,
        y_test=codes_test,
        classes=classes,
        train_lengths=train.lengths,
        test_lengths=test.lengths,
        n_filled=train.n_filled + test.n_filled,
        n_padded=train.n_padded + test.n_padded,
        n_cut=train.n_cut + test.n_cut,
        n_masked=train.n_masked + test.n_masked,
        preparation=preparation,
    )


@dataclass(frozen=True, eq=False)
class Prepared:
    """Cases as a network takes them; no NaN anywhere.

    x: float32 (n_cases, n_channels, M). lengths: int64 (n_cases,), the timepoints of each case that the network sees;
    zeros follow. The counts are of cases, and in n_filled of values, as in `Arrays`.
    """

    x: Float32
    lengths: Int64
    n_filled: int
    n_padded: int
    n_cut: int
    n_masked: int


@dataclass(frozen=True, eq=False)
class Preparation:
    """How cases are prepared for a network, with what the training set decides. See `prepare` for the policies.

    n_timepoints: L, the length of the longest training case, of the shortest under length='cut'. mean, deviation: of
    the training set under normalisation='train', float64 (1, n_channels, 1), else None. is_truncated: every case is cut
    at n_timepoints, whatever the network. permute_time: as for `prepare`.
    """

    normalisation: str
    missing: str
    length: str
    fixed_length: bool
    n_channels: int
    n_timepoints: int
    mean: Floats | None = None
    deviation: Floats | None = None
    is_truncated: bool = False
    permute_time: int | None = None

    def truncated(self, lengths: Int64) -> Int64:
        """Return the timepoints of each case that are left by `truncate`, int64 (n_cases,). lengths: of the cases."""
        return np.minimum(lengths, self.n_timepoints) if self.is_truncated else lengths

    def transform(
        self, x: Floats, lengths: Int64, *, is_training: bool = False, noise: Floats | None = None
    ) -> Prepared:
        """Return the cases as the network takes them. No case has an influence on how another one is prepared.

        Args:
            x: Float (n_cases, n_channels, n_timepoints), NaN for a missing value and after the end of a case.
            lengths: int64 (n_cases,), the timepoints of each case; NaN before its end is a missing value.
            is_training: These are the training cases: a channel that is constant in all of them becomes exactly zero.
            noise: Float, of the shape of x: what is added to the values after the normalisation.

        Raises:
            UserError: A value is infinite or too large for float32, or the timepoints are to be permuted and a case is
                used at another length than those of training.
            ValueError: The number of channels differs from that of the training set.
        """
        if _three_axes(x, "x").shape[1] != self.n_channels:
            raise ValueError(f"x has {x.shape[1]} channels: give {self.n_channels}, as in training")
        longest, n_cut = self.n_timepoints, 0
        if self.length == "cut" or self.is_truncated:
            n_cut = int((lengths > longest).sum())
            x, lengths = x[:, :, :longest], np.minimum(lengths, longest)
        # A case is used up to the training length, or to its end if that is later and the network takes any length.
        seen = np.maximum(lengths, longest)
        if self.fixed_length:
            seen = np.minimum(seen, longest)
        n_cut += int((lengths > seen).sum())
        n_padded, n_masked = int((lengths < seen).sum()), 0
        if self.length == "mask":
            n_masked = int((lengths < longest).sum())
            n_padded = n_padded if self.fixed_length else 0
            seen = np.maximum(lengths, 1)
        n_timepoints = int(seen.max(initial=longest))
        n_filled = n_missing(x[:, :, :n_timepoints], lengths)
        if self.missing == "interpolate":
            x = interpolated(x, lengths)
        values = self._normalised(x, is_training)
        if noise is not None:
            with np.errstate(over="ignore"):  # `_filled` reports values that float32 cannot hold
                values = (values + noise[:, :, : values.shape[2]]).astype(np.float32)
        values = self._permuted(_filled(values, n_timepoints), seen)
        return Prepared(values, seen, n_filled, n_padded, n_cut, n_masked)

    def _permuted(self, x: Float32, lengths: Int64) -> Float32:
        """Return the arrays with their timepoints in the order of `permute_time`. lengths: the timepoints used."""
        if self.permute_time is None:
            return x
        others = lengths[lengths != self.n_timepoints]
        if len(others):
            raise UserError(
                f"permute_time={self.permute_time} is for cases of one length, and one is used at {others[0]} "
                f"timepoints, in training {self.n_timepoints}: give cases of that length, or use length=cut"
            )
        return np.take(x, permutation(self.permute_time, self.n_timepoints), axis=2)

    def _normalised(self, x: Floats, is_training: bool) -> Float32:
        if self.normalisation == "series":
            return znorm_series(x)
        if self.normalisation == "train":
            assert self.mean is not None and self.deviation is not None
            constant = _statistics(x, axes=(0, 2))[2] if is_training else np.zeros(self.mean.shape, dtype=np.bool_)
            return _scaled(x, self.mean, self.deviation, constant)
        with np.errstate(over="ignore"):  # `_filled` reports values that float32 cannot hold
            return x.astype(np.float32)


def fit_preparation(
    x: Floats,
    lengths: Int64,
    *,
    normalisation: str,
    missing: str,
    length: str,
    fixed_length: bool,
    truncate: float = 1.0,
    permute_time: int | None = None,
) -> Preparation:
    """Return how cases are prepared for a network that is trained on x.

    x: the training cases. lengths: int64 (n_cases,), the timepoints of each. Other arguments and errors: `prepare`.
    """
    check_policies(normalisation, missing, length)
    if not lengths.any():
        raise UserError("the training set is without any value: there is nothing to learn from")
    longest, mean, deviation = truncated_length(int(lengths.max()), truncate), None, None
    if length == "cut":
        longest = min(longest, int(lengths[lengths > 0].min()))
    if length == "cut" or truncate < 1:
        x, lengths = x[:, :, :longest], np.minimum(lengths, longest)
    if normalisation == "train":
        values = interpolated(x, lengths) if missing == "interpolate" else x
        mean, deviation, _ = _statistics(values, axes=(0, 2))
    return Preparation(
        normalisation=normalisation,
        missing=missing,
        length=length,
        fixed_length=fixed_length,
        n_channels=x.shape[1],
        n_timepoints=longest,
        mean=mean,
        deviation=deviation,
        is_truncated=truncate < 1,
        permute_time=permute_time,
    )


def truncated_length(n_timepoints: int, truncate: float) -> int:
    """Return how many timepoints the fraction `truncate` of n_timepoints is: rounded, halves up, and not none of some.

    >>> truncated_length(24, 1.0), truncated_length(65, 0.5), truncated_length(30, 0.1), truncated_length(8, 0.01)
    (24, 33, 3, 1)
    """
    return min(n_timepoints, max(1, math.floor(truncate * n_timepoints + 0.5)))


def permutation(seed: int, n_timepoints: int) -> Int64:
    """Return an order of the timepoints, int64 (n_timepoints,): place t of a permuted case holds what was at order[t].

    >>> permutation(0, 5).tolist()
    [2, 0, 1, 3, 4]
    """
    return np.random.RandomState(seed).permutation(n_timepoints)


def drawn_noise(deviation: float, shape: tuple[int, ...], seed: Sequence[int]) -> Floats | None:
    """Return Gaussian noise of mean 0, float64 of a shape, None if its deviation is 0.

    For one seed and shape, noise of twice the deviation is twice the noise.
    """
    return deviation * np.random.RandomState(list(seed)).standard_normal(shape) if deviation else None


def check_policies(normalisation: str, missing: str, length: str) -> None:
    """Raise UserError for a policy that `prepare` does not know."""
    for setting, word, known in (
        ("normalisation", normalisation, NORMALISATIONS),
        ("missing", missing, MISSING),
        ("length", length, LENGTH),
    ):
        if word not in known:
            raise UserError(f"{setting} '{word}' is not a policy: choose {' or '.join(repr(k) for k in known)}")


def interpolated(x: Floats, lengths: Int64) -> Floats:
    """Replace missing values by the straight line between the nearest values of the same case and channel.

    x: float (n_cases, n_channels, n_timepoints), NaN for a missing value. lengths: int64 (n_cases,), the end of each
    case; NaN after it stays. Values before the first and after the last known one are set to the nearest. A channel
    without any value stays NaN. Returns a new array of the same shape and dtype.
    The same rule as tslearn's TimeSeriesImputer('linear'). It differs from sktime's TSInterpolator, aeon's Resizer and
    dl-4-tsc's transform_to_same_length (a cubic spline), which stretch series of unequal length to a common length.

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
    """Return the number of NaN in x (n_cases, n_channels, n_timepoints) before the end of each case."""
    within = np.arange(x.shape[2]) < lengths[:, None, None]  # (n_cases, 1, n_timepoints)
    return int((np.isnan(x) & within).sum())


def case_lengths(x: Floats, unequal: bool) -> Int64:
    """Return the number of timepoints of each case: up to its last value in any channel, or all if not `unequal`.

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
        raise ValueError(f"{name} has {x.ndim} axes: give (n_cases, n_channels, n_timepoints)")
    return x


def _statistics(x: Floats, axes: tuple[int, ...]) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Return mean, population deviation (1 instead of 0) and a mask of constant series; NaN is ignored."""
    x = x.astype(np.float64, copy=False)
    there = ~np.isnan(x)
    n = np.maximum(there.sum(axis=axes, keepdims=True), 1)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.where(there, x, 0.0).sum(axis=axes, keepdims=True) / n
        squares = np.square(np.where(there, x - mean, 0.0))
        deviation = np.sqrt(squares.sum(axis=axes, keepdims=True) / n)
    if not np.isfinite(deviation).all():
        raise UserError("a value is infinite or too large to be squared in float64: correct its file, or scale it down")
    # In floating point the mean of n equal values may differ from that value (0.1 three times). The deviation of a
    # constant series can therefore be 1e-17 instead of 0, and dividing by it would turn rounding noise into +-1.
    low = np.where(there, x, np.inf).min(axis=axes, keepdims=True, initial=np.inf)
    high = np.where(there, x, -np.inf).max(axis=axes, keepdims=True, initial=-np.inf)
    constant = high <= low
    lost = (deviation < 1e-150) & ~constant  # the squares underflow
    if lost.any():
        reach = np.where(lost, np.maximum(high - mean, mean - low), 1.0)
        squares = np.square(np.where(there, (x - mean) / reach, 0.0))
        deviation = np.where(lost, np.sqrt(squares.sum(axis=axes, keepdims=True) / n) * reach, deviation)
    return mean, np.where(constant | (deviation == 0), 1.0, deviation), constant


def _scaled(x: Floats, mean: Floats, deviation: Floats, constant: npt.NDArray[np.bool_]) -> Float32:
    with np.errstate(over="ignore", invalid="ignore"):  # `_filled` reports values that float32 cannot hold
        scaled = (x - mean) / deviation
        scaled[np.broadcast_to(constant, scaled.shape) & ~np.isnan(x)] = 0.0
        return scaled.astype(np.float32)


def _filled(x: Float32, n_timepoints: int) -> Float32:
    """Cut or lengthen x to n_timepoints, with zeros for all NaN."""
    n_cases, n_channels, width = x.shape
    kept = min(width, n_timepoints)
    result = np.zeros((n_cases, n_channels, n_timepoints), dtype=np.float32)
    result[:, :, :kept] = x[:, :, :kept]
    result[np.isnan(result)] = 0.0
    if not np.isfinite(result).all():
        raise UserError("a value is infinite or too large for float32: normalise the dataset, or correct its file")
    return result


def _class_order(classes: list[str]) -> list[int]:
    try:
        numbers = [float(label) for label in classes]
    except ValueError:
        return list(range(len(classes)))  # np.unique has sorted them as text
    if not all(np.isfinite(numbers)):
        return list(range(len(classes)))
    return sorted(range(len(classes)), key=lambda i: (numbers[i], classes[i]))
