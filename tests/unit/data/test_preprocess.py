"""Tests of `tsfcn.data.preprocess`: by hand on a few numbers, and on the odd datasets of the archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsfcn.common.errors import UserError
from tsfcn.data import archive, preprocess, splits
from tsfcn.data.dataset import Dataset

NAN = np.nan


def cases(*series: list[float]) -> preprocess.Floats:
    """Return float64 (n_cases, 1, n_timepoints)."""
    return np.array(series, dtype=np.float64)[:, None, :]


def prepared(x_train: preprocess.Floats, x_test: preprocess.Floats, **settings: Any) -> preprocess.Arrays:
    """Prepare with labels that do not matter, and the plainest settings but for those given."""
    plain = {"normalisation": "none", "missing": "zero", "length": "pad", "unequal": False, "fixed_length": True}
    return preprocess.prepare(x_train, ["1"] * len(x_train), x_test, ["1"] * len(x_test), **{**plain, **settings})


# ---------------------------------------------------------------- normalisation


def test_series_are_scaled_by_their_own_mean_and_population_deviation() -> None:
    # mean 5, squared distances 9 1 1 1 0 0 4 16: deviation sqrt(32 / 8) = 2
    z = preprocess.znorm_series(cases([2, 4, 4, 4, 5, 5, 7, 9]))
    assert z.dtype == np.float32
    assert z.tolist() == [[[-1.5, -0.5, -0.5, -0.5, 0.0, 0.0, 1.0, 2.0]]]


def test_each_channel_is_a_series_of_its_own() -> None:
    z = preprocess.znorm_series(np.array([[[0.0, 2.0], [100.0, 300.0]]]))
    assert z.tolist() == [[[-1.0, 1.0], [-1.0, 1.0]]]


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, 1e-300, 123456.789])
@pytest.mark.parametrize("n", [1, 3, 10, 1000])
def test_a_constant_series_becomes_zeros(value: float, n: int) -> None:
    # 0.1 is the trap: its mean over 3 or 10 timepoints is not 0.1 in floating point, so the deviation is not quite 0.
    assert not preprocess.znorm_series(np.full((2, 1, n), value)).any()
    assert not preprocess.znorm_train(np.full((2, 1, n), value), np.full((1, 1, n), value))[0].any()


@pytest.mark.parametrize("least", [1e-300, 1e-200, 1e-160, 1e-30, 1e30])
def test_a_series_of_any_unit_is_scaled_alike(least: float) -> None:
    x = np.random.RandomState(0).standard_normal((2, 1, 9))
    np.testing.assert_allclose(preprocess.znorm_series(x * least), preprocess.znorm_series(x), rtol=1e-6)
    for one, other in zip(preprocess.znorm_train(x * least, x * least), preprocess.znorm_train(x, x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_missing_values_are_left_out_of_the_statistics_and_stay() -> None:
    z = preprocess.znorm_series(cases([NAN, 1, NAN, 3, NAN], [NAN, 7, 7, NAN, NAN], [NAN] * 5))
    np.testing.assert_array_equal(z[:, 0], np.array([[NAN, -1, NAN, 1, NAN], [NAN, 0, 0, NAN, NAN], [NAN] * 5]))


def test_train_statistics_are_one_pair_for_the_whole_training_set() -> None:
    # 0 2 4 6 8 10 over both cases: mean 5, deviation sqrt(70 / 6)
    x_train, x_test = cases([0, 2, 4], [6, 8, 10]), cases([5, 5, NAN])
    train, test = preprocess.znorm_train(x_train, x_test)
    np.testing.assert_allclose(train, (x_train - 5) / np.sqrt(70 / 6), rtol=1e-6)
    np.testing.assert_array_equal(test, cases([0, 0, NAN]))


def test_train_statistics_are_per_channel() -> None:
    train, test = preprocess.znorm_train(np.array([[[0.0, 2.0], [10.0, 30.0]]]), np.array([[[1.0], [40.0]]]))
    assert train.tolist() == [[[-1.0, 1.0], [-1.0, 1.0]]]
    assert test.tolist() == [[[0.0], [2.0]]]


def test_a_channel_constant_in_training_is_only_centred_in_the_test_set() -> None:
    train, test = preprocess.znorm_train(cases([3, 3, 3]), cases([3, 4, 1]))
    assert train.tolist() == [[[0, 0, 0]]]
    assert test.tolist() == [[[0, 1, -2]]]


@pytest.mark.parametrize("normalisation", ["none", "series", "train"])
def test_the_test_set_never_changes_the_training_arrays(normalisation: str) -> None:
    x_train = cases([1, 2, 4], [3, 3, 3])
    one = prepared(x_train, cases([1, 2, 3]), normalisation=normalisation)
    other = prepared(x_train, cases([1000, -5, NAN], [7, 7, 7]), normalisation=normalisation)
    np.testing.assert_array_equal(one.x_train, other.x_train)


@pytest.mark.parametrize("normalisation", ["none", "series", "train"])
def test_a_test_case_does_not_change_with_its_neighbours(normalisation: str) -> None:
    x_train, case = cases([1, 2, 4], [3, 3, 3]), cases([5, 1, 2])
    alone = prepared(x_train, case, normalisation=normalisation)
    among = prepared(x_train, np.concatenate([cases([1000, -5, NAN]), case]), normalisation=normalisation)
    np.testing.assert_array_equal(alone.x_test[0], among.x_test[1])


def test_the_arguments_are_not_written_to() -> None:
    x_train, x_test = cases([1, NAN, 4], [3, 3, 3]), cases([5, 1, NAN])
    before = x_train.copy(), x_test.copy()
    for normalisation in preprocess.NORMALISATIONS:
        prepared(x_train, x_test, normalisation=normalisation, unequal=True)
    np.testing.assert_array_equal(x_train, before[0])
    np.testing.assert_array_equal(x_test, before[1])


@pytest.mark.parametrize("x", [np.zeros(3), np.zeros((2, 3))])
def test_normalising_refuses_arrays_without_three_axes(x: preprocess.Floats) -> None:
    with pytest.raises(ValueError, match=rf"x has {x.ndim} axes: give \(n_cases, n_channels, n_timepoints\)"):
        preprocess.znorm_series(x)
    with pytest.raises(ValueError, match=r"x_train has . axes"):
        preprocess.znorm_train(x, x)


def test_train_statistics_refuse_other_channels() -> None:
    with pytest.raises(ValueError, match="x_test has 2 channels: x_train has 1"):
        preprocess.znorm_train(np.zeros((1, 1, 3)), np.zeros((1, 2, 3)))


@pytest.mark.parametrize("normalisation", ["none", "series", "train"])
def test_values_that_no_float32_holds_are_refused(normalisation: str) -> None:
    with pytest.raises(UserError, match="too large"):
        prepared(cases([1e308, -1e308, 0.0]), cases([1.0, 2.0, 3.0]), normalisation=normalisation)


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("y_train", "y_test", "classes", "codes_train", "codes_test"),
    [
        (["1", "-1", "1"], ["-1"], ["-1", "1"], [1, 0, 1], [0]),
        (["8", "3"], ["4", "8"], ["3", "4", "8"], [2, 0], [1, 2]),
        (["10", "9", "2"], ["10"], ["2", "9", "10"], [2, 1, 0], [2]),  # as text, 10 would come before 2
        (["1.5", "1"], ["-2"], ["-2", "1", "1.5"], [2, 1], [0]),
        (["walk", "Run", "10"], ["walk"], ["10", "Run", "walk"], [2, 1, 0], [2]),
        (["nan", "2", "10"], ["2"], ["10", "2", "nan"], [2, 1, 0], [1]),  # nan has no place among numbers
    ],
)
def test_classes_are_numbered_in_numeric_order_or_in_text_order(
    y_train: list[str], y_test: list[str], classes: list[str], codes_train: list[int], codes_test: list[int]
) -> None:
    train, test, found = preprocess.encode_labels(np.array(y_train), np.array(y_test))
    assert found.tolist() == classes
    assert (train.tolist(), test.tolist()) == (codes_train, codes_test)
    assert train.dtype == test.dtype == np.int64


def test_labels_need_one_axis() -> None:
    with pytest.raises(ValueError, match="y_test has 2 axes"):
        preprocess.encode_labels(["1"], [["1"]])


# ---------------------------------------------------------------- missing values and lengths


def test_missing_values_become_zero_after_normalisation_and_are_counted() -> None:
    got = prepared(cases([10, NAN, 30]), cases([NAN, NAN, NAN], [1, 2, NAN]), normalisation="series")
    assert got.x_train.tolist() == [[[-1, 0, 1]]]
    assert got.x_test.tolist() == [[[0, 0, 0]], [[-1, 1, 0]]]
    assert (got.n_filled, got.n_padded, got.n_cut) == (5, 0, 0)


def test_absent_ends_become_zero_and_are_not_called_missing() -> None:
    got = prepared(cases([10, NAN, 30, NAN]), cases([1, NAN, NAN, NAN]), unequal=True)
    assert got.x_train.tolist() == [[[10, 0, 30]]]  # the column that no training case reaches is gone
    assert got.x_test.tolist() == [[[1, 0, 0]]]
    assert (got.n_filled, got.n_padded, got.n_cut) == (1, 1, 0)


def test_a_network_of_fixed_length_cuts_longer_test_cases() -> None:
    x_train, x_test = cases([1, 2, 3, NAN, NAN], [4, 5, NAN, NAN, NAN]), cases([1, 2, NAN, 4, 5], [6, 7, 8, NAN, NAN])
    got = prepared(x_train, x_test, unequal=True, fixed_length=True)
    assert got.x_train.tolist() == [[[1, 2, 3]], [[4, 5, 0]]]
    assert got.x_test.tolist() == [[[1, 2, 0]], [[6, 7, 8]]]
    assert (got.n_filled, got.n_padded, got.n_cut) == (1, 1, 1)


def test_a_network_of_any_length_gets_longer_test_cases_whole() -> None:
    x_train, x_test = cases([1, 2, 3, NAN, NAN], [4, 5, NAN, NAN, NAN]), cases([1, 2, NAN, 4, 5], [6, 7, 8, NAN, NAN])
    got = prepared(x_train, x_test, unequal=True, fixed_length=False)
    assert got.x_train.shape == (2, 1, 3)
    assert got.x_test.tolist() == [[[1, 2, 0, 4, 5]], [[6, 7, 8, 0, 0]]]
    assert got.test_lengths.tolist() == [5, 3]  # the zeros behind the second case are not its own
    assert (got.n_filled, got.n_padded, got.n_cut) == (1, 1, 0)


def test_shorter_test_cases_are_padded_to_the_training_length_by_either_network() -> None:
    for fixed_length in (True, False):
        got = prepared(cases([1, 2, 3]), cases([7, NAN, NAN]), unequal=True, fixed_length=fixed_length)
        assert got.x_test.tolist() == [[[7, 0, 0]]]


def test_a_cut_case_was_normalised_over_all_of_its_timepoints() -> None:
    got = prepared(cases([1, 2, NAN, NAN]), cases([0, 0, 2, 2]), unequal=True, normalisation="series")
    assert got.x_test.tolist() == [[[-1, -1]]]
    assert got.n_cut == 1


def test_a_case_ends_where_its_last_channel_ends() -> None:
    x = np.array([[[1.0, NAN, NAN, NAN], [1.0, 2.0, NAN, NAN]], [[NAN] * 4, [NAN] * 4]])
    assert preprocess.case_lengths(x, unequal=True).tolist() == [2, 0]
    assert preprocess.case_lengths(x, unequal=False).tolist() == [4, 4]


def test_ends_are_missing_values_where_the_dataset_is_of_equal_length() -> None:
    got = prepared(cases([1, 2, 3, NAN]), cases([1, NAN, NAN, NAN]), unequal=False)
    assert got.x_train.shape == got.x_test.shape == (1, 1, 4)
    assert (got.n_filled, got.n_padded) == (4, 0)


# ---------------------------------------------------------------- missing=interpolate


def test_missing_values_are_interpolated_between_the_nearest_of_the_same_case_and_channel() -> None:
    x = np.array([[[0, NAN, NAN, 6, 5], [NAN, 1, NAN, 3, NAN]], [[9, 9, 9, 9, 9], [NAN, NAN, 7, NAN, NAN]]])
    got = prepared(x, x[:1], missing="interpolate")
    assert got.x_train.tolist() == [[[0, 2, 4, 6, 5], [1, 1, 2, 3, 3]], [[9, 9, 9, 9, 9], [7, 7, 7, 7, 7]]]
    assert got.x_test.tolist() == got.x_train[:1].tolist()
    assert got.n_filled == (2 + 3 + 4) + (2 + 3)


def test_interpolation_comes_before_normalisation() -> None:
    # 0 2 4: mean 2, deviation sqrt(8 / 3); without the value between, 0 and 4 would have deviation 2
    got = prepared(cases([0, NAN, 4]), cases([0, NAN, 4]), missing="interpolate", normalisation="series")
    np.testing.assert_allclose(got.x_train[0, 0], np.array([-2, 0, 2]) / np.sqrt(8 / 3), rtol=1e-6)
    got = prepared(cases([0, NAN, 4]), cases([2, NAN, NAN]), missing="interpolate", normalisation="train")
    np.testing.assert_allclose(got.x_test[0, 0], [0, 0, 0], atol=1e-7)


def test_the_absent_tail_of_a_case_is_not_interpolated() -> None:
    x = cases([1, NAN, 3, NAN, NAN], [1, 1, 1, 1, 1])
    got = prepared(x, x, missing="interpolate", unequal=True)
    assert got.x_train.tolist() == [[[1, 2, 3, 0, 0]], [[1, 1, 1, 1, 1]]]
    assert (got.n_filled, got.n_padded) == (2, 2)
    got = prepared(x, x, missing="interpolate", unequal=False)
    assert got.x_train.tolist() == [[[1, 2, 3, 3, 3]], [[1, 1, 1, 1, 1]]]
    assert (got.n_filled, got.n_padded) == (6, 0)


def test_a_channel_that_ends_before_its_case_keeps_its_last_value() -> None:
    x = np.array([[[1.0, 2.0, NAN, NAN], [1.0, 1.0, 1.0, NAN]], [[0.0] * 4] * 2])
    got = prepared(x, x, missing="interpolate", unequal=True)
    assert got.x_train[0].tolist() == [[1, 2, 2, 0], [1, 1, 1, 0]]


@pytest.mark.parametrize("normalisation", ["none", "series", "train"])
@pytest.mark.parametrize("missing", ["zero", "interpolate"])
def test_a_case_or_a_channel_without_any_value_becomes_zeros(missing: str, normalisation: str) -> None:
    x = np.array([[[NAN] * 3, [NAN] * 3], [[1.0, 5.0, 3.0], [NAN] * 3]])
    got = prepared(x, x, missing=missing, normalisation=normalisation)
    assert not got.x_train[0].any() and not got.x_train[1, 1].any() and got.x_train[1, 0].any()
    assert got.n_filled == 2 * 9


@pytest.mark.parametrize("length", ["pad", "cut", "mask"])
def test_interpolation_leaves_cases_without_gaps_alone(length: str) -> None:
    x_train, x_test = cases([1, 2, 3, NAN], [4, 5, 6, 8]), cases([1, 2, NAN, NAN], [4, 5, 6, 8])
    zero, line = (prepared(x_train, x_test, missing=m, length=length, unequal=True) for m in ("zero", "interpolate"))
    np.testing.assert_array_equal(zero.x_train, line.x_train)
    np.testing.assert_array_equal(zero.x_test, line.x_test)
    assert zero.n_filled == line.n_filled == 0


# ---------------------------------------------------------------- length=cut


def test_every_case_is_cut_to_the_shortest_training_case() -> None:
    x_train, x_test = cases([1, 2, 3, NAN], [4, 5, 6, 7]), cases([1, 2, 3, 4], [5, NAN, NAN, NAN], [8, 8, 8, NAN])
    for fixed_length in (True, False):
        got = prepared(x_train, x_test, length="cut", unequal=True, fixed_length=fixed_length)
        assert got.x_train.tolist() == [[[1, 2, 3]], [[4, 5, 6]]]
        assert got.x_test.tolist() == [[[1, 2, 3]], [[5, 0, 0]], [[8, 8, 8]]]
        assert (got.train_lengths.tolist(), got.test_lengths.tolist()) == ([3, 3], [3, 3, 3])
        assert (got.n_filled, got.n_padded, got.n_cut, got.n_masked) == (0, 1, 2, 0)


@pytest.mark.parametrize("normalisation", ["none", "series", "train"])
@pytest.mark.parametrize("missing", ["zero", "interpolate"])
def test_cutting_is_as_if_the_files_ended_there(missing: str, normalisation: str) -> None:
    """What is cut off enters neither the statistics nor an interpolation: it comes first."""
    x_train, x_test = cases([1, 5, NAN, NAN, 99], [4, 3, 9, NAN, NAN]), cases([3, NAN, 5, 70, 70], [1, 2, 3, 4, 50])
    policies = {"normalisation": normalisation, "missing": missing, "unequal": True}
    got = prepared(x_train, x_test, length="cut", **policies)
    files = prepared(x_train[:, :, :3], x_test[:, :, :3], length="pad", **policies | {"unequal": False})
    np.testing.assert_array_equal(got.x_train, files.x_train)
    np.testing.assert_array_equal(got.x_test, files.x_test)
    assert (got.n_filled, got.n_cut) == (2, 3)


def test_the_test_set_never_decides_where_to_cut() -> None:
    got = prepared(cases([1, 2, 3], [4, 5, 6]), cases([7, NAN, NAN]), length="cut", unequal=True)
    assert got.x_train.tolist() == [[[1, 2, 3]], [[4, 5, 6]]]
    assert got.x_test.tolist() == [[[7, 0, 0]]]


def test_a_training_case_without_any_value_does_not_cut_all_others_away() -> None:
    got = prepared(cases([NAN, NAN, NAN], [4, 5, NAN]), cases([7, 7, 7]), length="cut", unequal=True)
    assert got.x_train.tolist() == [[[0, 0]], [[4, 5]]]
    assert (got.n_cut, got.n_padded) == (1, 1)


@pytest.mark.parametrize("shortest", [1, 2])
def test_a_cut_to_next_to_nothing_is_a_cut(shortest: int) -> None:
    x_train = cases([1, 2, NAN, NAN], [4, 5, 6, 7])
    x_train[0, 0, shortest:] = NAN
    got = prepared(x_train, x_train, length="cut", unequal=True, normalisation="series")
    assert got.x_train.shape == got.x_test.shape == (2, 1, shortest)
    assert got.x_train.tolist() == {1: [[[0]], [[0]]], 2: [[[-1, 1]], [[-1, 1]]]}[shortest]


# ---------------------------------------------------------------- length=mask


def test_a_masked_case_is_seen_at_its_own_length() -> None:
    x_train, x_test = cases([1, 2, 3, NAN], [4, NAN, NAN, NAN]), cases([1, 2, NAN, NAN], [5, 6, 7, 8])
    got = prepared(x_train, x_test, length="mask", unequal=True, fixed_length=False)
    assert got.x_train.tolist() == [[[1, 2, 3]], [[4, 0, 0]]]
    assert got.x_test.tolist() == [[[1, 2, 0, 0]], [[5, 6, 7, 8]]]
    assert (got.train_lengths.tolist(), got.test_lengths.tolist()) == ([3, 1], [2, 4])
    assert (got.n_filled, got.n_padded, got.n_cut, got.n_masked) == (0, 0, 0, 2)


def test_a_part_of_fixed_length_sees_zeros_after_the_end_and_a_cut_where_the_rest_has_a_mask() -> None:
    x_train, x_test = cases([1, 2, 3, NAN], [4, NAN, NAN, NAN]), cases([1, 2, NAN, NAN], [5, 6, 7, 8])
    got = prepared(x_train, x_test, length="mask", unequal=True, fixed_length=True)
    free = prepared(x_train, x_test, length="mask", unequal=True, fixed_length=False)
    np.testing.assert_array_equal(got.x_test, free.x_test)  # whole: the network cuts for that part alone
    np.testing.assert_array_equal(got.test_lengths, free.test_lengths)
    assert (got.n_padded, got.n_cut, got.n_masked) == (2, 1, 2)


def test_a_masked_case_without_any_value_is_one_zero() -> None:
    got = prepared(cases([NAN, NAN], [1, 2]), cases([NAN, NAN]), length="mask", unequal=True, fixed_length=False)
    assert (got.train_lengths.tolist(), got.test_lengths.tolist()) == ([1, 2], [1])
    assert not got.x_train[0].any() and not got.x_test.any()


def test_masking_scales_as_padding_does() -> None:
    x_train, x_test = cases([1, 2, 4, NAN], [4, 7, NAN, NAN]), cases([1, 2, NAN, NAN], [5, 6, 7, 9])
    for normalisation in preprocess.NORMALISATIONS:
        pad, mask = (
            prepared(x_train, x_test, length=word, unequal=True, normalisation=normalisation, fixed_length=False)
            for word in ("pad", "mask")
        )
        np.testing.assert_array_equal(pad.x_train, mask.x_train)
        np.testing.assert_array_equal(pad.x_test, mask.x_test)


@pytest.mark.parametrize("length", ["pad", "cut", "mask"])
def test_no_length_policy_touches_a_dataset_of_equal_length(length: str) -> None:
    x_train, x_test = cases([1, NAN, 3], [4, 5, NAN]), cases([NAN, 2, NAN])
    for missing in preprocess.MISSING:
        got = prepared(x_train, x_test, length=length, missing=missing)
        plain = prepared(x_train, x_test, missing=missing)
        np.testing.assert_array_equal(got.x_train, plain.x_train)
        np.testing.assert_array_equal(got.x_test, plain.x_test)
        assert (got.train_lengths.tolist(), got.test_lengths.tolist()) == ([3, 3], [3])
        assert (got.n_filled, got.n_padded, got.n_cut, got.n_masked) == (4, 0, 0, 0)


# ---------------------------------------------------------------- probes of the data


@pytest.mark.parametrize("normalisation", ["none", "series", "train"])
@pytest.mark.parametrize("missing", ["zero", "interpolate"])
def test_truncating_is_as_if_the_files_ended_there(missing: str, normalisation: str) -> None:
    """An early classifier cannot know the rest: it enters neither the statistics nor an interpolation."""
    x_train, x_test = cases([1, 5, NAN, 99, 99], [4, 3, 9, 80, 90]), cases([3, NAN, 5, 70, 70], [1, 2, NAN, 4, 50])
    for fixed_length in (True, False):
        policies = {"normalisation": normalisation, "missing": missing, "fixed_length": fixed_length}
        got = prepared(x_train, x_test, truncate=0.6, **policies)
        files = prepared(x_train[:, :, :3], x_test[:, :, :3], **policies)
        np.testing.assert_array_equal(got.x_train, files.x_train)
        np.testing.assert_array_equal(got.x_test, files.x_test)
        assert (got.n_filled, got.n_padded, got.n_cut) == (3, 0, 4)


@pytest.mark.parametrize("length", ["pad", "mask"])
def test_the_longest_training_case_decides_where_to_truncate(length: str) -> None:
    """Half of four timepoints: shorter cases stay whole, a longer test case is cut at the same place."""
    x_train = cases([1, 2, 3, 4, NAN, NAN], [5, NAN, NAN, NAN, NAN, NAN])
    x_test = cases([1, 2, 3, 4, 5, 6], [7, 8, NAN, NAN, NAN, NAN], [9, NAN, NAN, NAN, NAN, NAN])
    got = prepared(x_train, x_test, truncate=0.5, length=length, unequal=True, fixed_length=False)
    assert got.x_train.tolist() == [[[1, 2]], [[5, 0]]]
    assert got.x_test.tolist() == [[[1, 2]], [[7, 8]], [[9, 0]]]
    assert got.test_lengths.tolist() == {"pad": [2, 2, 2], "mask": [2, 2, 1]}[length]
    assert (got.n_cut, got.n_padded, got.n_masked) == {"pad": (2, 2, 0), "mask": (2, 0, 2)}[length]


def test_truncating_and_cutting_leave_what_both_leave() -> None:
    x = cases([1, 2, 3, 4, 5, 6], [5, 6, 7, NAN, NAN, NAN])
    for truncate, expected in ((0.3, [[[1, 2]], [[5, 6]]]), (0.9, [[[1, 2, 3]], [[5, 6, 7]]])):
        assert prepared(x, x, truncate=truncate, length="cut", unequal=True).x_test.tolist() == expected


def test_timepoints_are_permuted_alike_in_every_case_channel_and_split() -> None:
    order = [2, 0, 1, 3, 4]  # of RandomState(0)
    x_train = np.array([[[1.0, 5.0, 2.0, 8.0, 4.0], [10.0, 20.0, NAN, 40.0, 50.0]], [[3.0, 1.0, 4.0, 1.0, 5.0]] * 2])
    for normalisation in preprocess.NORMALISATIONS:
        plain, got = (
            prepared(x_train, x_train[:1], normalisation=normalisation, permute_time=seed) for seed in (None, 0)
        )
        np.testing.assert_array_equal(got.x_train, plain.x_train[:, :, order])
        np.testing.assert_array_equal(got.x_test, plain.x_test[:, :, order])
        assert got.x_train.flags.c_contiguous and got.n_filled == plain.n_filled == 2
    other = prepared(x_train, x_train, permute_time=1)
    assert other.x_train.tolist() != prepared(x_train, x_train, permute_time=0).x_train.tolist()


def test_what_is_left_of_a_truncated_case_is_permuted() -> None:
    x = cases([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    assert prepared(x, x, truncate=0.5, permute_time=0).x_test.tolist() == [[[3, 1, 2, 4, 5]]]


def test_zeros_after_the_end_are_permuted_where_the_network_takes_them_for_data() -> None:
    x_train, x_test = cases([1, 2, 3, 4, 5], [6, 7, NAN, NAN, NAN]), cases([8, 9, 10, NAN, NAN])
    got = prepared(x_train, x_test, permute_time=0, unequal=True)
    assert got.x_train.tolist() == [[[3, 1, 2, 4, 5]], [[0, 6, 7, 0, 0]]]
    assert got.x_test.tolist() == [[[10, 8, 9, 0, 0]]]


@pytest.mark.parametrize(("length", "n"), [("mask", 2), ("pad", 4)])
def test_cases_that_are_used_at_several_lengths_are_not_permuted(length: str, n: int) -> None:
    x_train, x_test = cases([1, 2, 3, NAN], [4, 5, 6, NAN]), cases([1, 2, NAN, NAN], [1, 2, 3, 4])
    policies = {"permute_time": 7, "unequal": True, "fixed_length": False}
    with pytest.raises(
        UserError, match=rf"^permute_time=7 is for cases of one length, and one is used at {n} .*: give"
    ):
        prepared(x_train, x_test, length=length, **policies)
    assert prepared(x_train, x_test, length="cut", **policies).x_test.shape == (2, 1, 3)


def test_noise_is_added_to_normalised_values_and_to_nothing_else() -> None:
    x_train, x_test = cases([1, 3, NAN, 5, NAN], [2, 2, 2, 2, 7]), cases([1, NAN, NAN, NAN, NAN])
    policies = {"normalisation": "series", "unequal": True}
    plain, got = (prepared(x_train, x_test, seed=4, **policies, noise=noise) for noise in (0.0, 0.5))
    for split, (before, after) in enumerate(((plain.x_train, got.x_train), (plain.x_test, got.x_test))):
        drawn = np.random.RandomState([4, split]).standard_normal(before.shape)
        there = np.isfinite((x_train, x_test)[split])
        np.testing.assert_allclose(after, before + np.where(there, 0.5 * drawn, 0.0), rtol=1e-6)
        assert not after[~there].any()
    assert got.n_filled == plain.n_filled
    twice = prepared(x_train, x_test, seed=4, **policies, noise=1.0)
    np.testing.assert_allclose(twice.x_train - plain.x_train, 2 * (got.x_train - plain.x_train), atol=1e-6)
    assert prepared(x_train, x_test, seed=5, **policies, noise=0.5).x_train.tolist() != got.x_train.tolist()


def test_noise_of_the_test_cases_alone_is_their_part_of_the_noise() -> None:
    x = cases([1, 3, 2, 5, 9], [2, 2, 2, 2, 7])
    plain, both, test = (prepared(x, x, **probe) for probe in ({}, {"noise": 0.5}, {"test_noise": 0.5}))
    np.testing.assert_array_equal(test.x_train, plain.x_train)
    np.testing.assert_array_equal(test.x_test, both.x_test)
    assert both.x_train.tolist() != both.x_test.tolist() != plain.x_test.tolist()


def test_noise_has_the_deviation_of_the_setting_and_is_the_same_for_every_network() -> None:
    x_train = np.random.RandomState(0).standard_normal((50, 2, 100)) * 7 + 3
    x_test = np.concatenate([x_train, np.full((50, 2, 20), NAN)], axis=2)
    x_test[0, :, 100:] = 1.0  # longer than any training case
    policies = {"normalisation": "series", "unequal": True, "noise": 0.3, "seed": 1}
    fixed, free = (prepared(x_train, x_test, fixed_length=fixed, **policies) for fixed in (True, False))
    np.testing.assert_array_equal(fixed.x_train, free.x_train)
    np.testing.assert_array_equal(fixed.x_test, free.x_test[:, :, :100])
    added = free.x_train - prepared(x_train, x_test, normalisation="series", unequal=True).x_train
    assert abs(added.mean()) < 0.02 and added.std() == pytest.approx(0.3, rel=0.03)
    early = prepared(x_train, x_test, truncate=0.5, normalisation="none", unequal=True, noise=0.3, seed=1)
    whole = prepared(x_train, x_test, normalisation="none", unequal=True, noise=0.3, seed=1)
    np.testing.assert_array_equal(early.x_train, whole.x_train[:, :, :50])


def test_noise_that_no_float32_holds_is_refused() -> None:
    with pytest.raises(UserError, match="too large for float32"):
        prepared(cases([1, 2, 3]), cases([1, 2, 3]), noise=1e39)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("setting", ["normalisation", "missing", "length"])
def test_a_policy_that_does_not_exist_is_refused(setting: str) -> None:
    with pytest.raises(UserError, match=f"^{setting} 'mean' is not a policy: choose '"):
        prepared(cases([1, 2]), cases([1, 2]), **{setting: "mean"})


def test_a_training_set_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="training set is without any value"):
        prepared(cases([NAN, NAN]), cases([1, 2]), unequal=True)


def test_labels_and_channels_that_do_not_fit_are_refused() -> None:
    plain: dict[str, Any] = {"normalisation": "none", "missing": "zero", "length": "pad", "unequal": False}
    with pytest.raises(ValueError, match="give one label for each case"):
        preprocess.prepare(cases([1, 2]), ["1", "2"], cases([1, 2]), ["1"], **plain, fixed_length=True)
    with pytest.raises(ValueError, match="as many channels in both"):
        preprocess.prepare(cases([1, 2]), ["1"], np.zeros((1, 2, 2)), ["1"], **plain, fixed_length=True)


# ---------------------------------------------------------------- the archive's odd datasets


def of(
    dataset: Dataset, normalisation: str, fixed_length: bool, missing: str = "zero", length: str = "pad"
) -> preprocess.Arrays:
    got = preprocess.prepare(
        dataset.x_train,
        dataset.y_train,
        dataset.x_test,
        dataset.y_test,
        normalisation=normalisation,
        missing=missing,
        length=length,
        unequal=dataset.unequal,
        fixed_length=fixed_length,
    )
    assert np.isfinite(got.x_train).all()
    assert np.isfinite(got.x_test).all()
    return got


@pytest.mark.parametrize(("name", "longest_in_training"), [("AllGestureWiimoteY", 369), ("AllGestureWiimoteZ", 326)])
def test_test_cases_longer_than_any_training_case(archive_root: Path, name: str, longest_in_training: int) -> None:
    dataset = archive.load(name, archive_root)
    fixed, free = of(dataset, "series", True), of(dataset, "series", False)
    n_longer = int((preprocess.case_lengths(dataset.x_test, True) > longest_in_training).sum())
    assert fixed.x_train.shape[2] == fixed.x_test.shape[2] == free.x_train.shape[2] == longest_in_training
    assert free.x_test.shape[2] == 385
    assert (fixed.n_cut, free.n_cut, n_longer > 0) == (n_longer, 0, True)
    assert fixed.n_filled == 0


@pytest.mark.parametrize("name", ["AllGestureWiimoteY", "UWaveGestureLibraryZ"])
def test_the_constant_series_of_the_archive_becomes_zeros(archive_root: Path, name: str) -> None:
    dataset = archive.load(name, archive_root)
    got = of(dataset, "series", False)
    n_constant = 0
    for raw, scaled in ((dataset.x_train, got.x_train), (dataset.x_test, got.x_test)):
        constant = np.nanmax(raw, axis=(1, 2)) == np.nanmin(raw, axis=(1, 2))
        np.testing.assert_array_equal(constant, ~scaled.any(axis=(1, 2)))
        n_constant += int(constant.sum())
    assert n_constant == 1


@pytest.mark.parametrize("missing", ["zero", "interpolate"])
@pytest.mark.parametrize("length", ["pad", "cut", "mask"])
@pytest.mark.parametrize("name", ["AllGestureWiimoteX", "GesturePebbleZ1", "PLAID", "DodgerLoopDay"])
def test_policies_on_the_archive(archive_root: Path, name: str, length: str, missing: str) -> None:
    dataset = archive.load(name, archive_root)
    own = [preprocess.case_lengths(x, dataset.unequal) for x in (dataset.x_train, dataset.x_test)]
    got = of(dataset, "series", False, missing=missing, length=length)
    longest, shortest = int(own[0].max()), int(own[0].min())
    assert got.x_train.shape[2] == (shortest if length == "cut" else longest)
    assert got.n_filled == (337 if name == "DodgerLoopDay" else 0)
    n_shorter = int(sum((lengths < longest).sum() for lengths in own))
    n_longer = int(sum((lengths > shortest).sum() for lengths in own))
    expected = {
        "pad": (n_shorter, 0, 0),
        "cut": (int((own[1] < shortest).sum()), n_longer, 0),
        "mask": (0, 0, n_shorter),
    }
    assert (got.n_padded, got.n_cut, got.n_masked) == expected[length]
    if length == "mask":
        np.testing.assert_array_equal(got.train_lengths, own[0])
        np.testing.assert_array_equal(got.test_lengths, own[1])


@pytest.mark.parametrize("name", ["DodgerLoopDay", "DodgerLoopWeekend"])
def test_missing_values_of_the_archive_are_filled(archive_root: Path, name: str) -> None:
    dataset = archive.load(name, archive_root)
    got = of(dataset, "series", True)
    assert (got.n_filled, got.n_padded, got.n_cut) == (337, 0, 0)
    assert not got.x_test[np.isnan(dataset.x_test)].any()


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("ECG200", ["-1", "1"]),
        ("Lightning2", ["-1", "1"]),
        ("Wafer", ["-1", "1"]),
        ("DistalPhalanxTW", ["3", "4", "5", "6", "7", "8"]),
        ("ProximalPhalanxTW", ["3", "4", "5", "6", "7", "8"]),
        ("Coffee", ["0", "1"]),
        ("ACSF1", [str(i) for i in range(10)]),
        ("CricketX", [str(i) for i in range(1, 13)]),
        ("Adiac", [str(i) for i in range(1, 38)]),
    ],
)
def test_the_classes_of_the_archive_in_order(archive_root: Path, name: str, classes: list[str]) -> None:
    dataset = archive.load(name, archive_root)
    train, test, found = preprocess.encode_labels(dataset.y_train, dataset.y_test)
    assert found.tolist() == classes
    assert set(train.tolist()) == set(test.tolist()) == set(range(len(classes)))


# ---------------------------------------------------------------- splits


def test_resample_0_is_the_official_split() -> None:
    x_train, x_test = cases([1, 2], [3, 4]), cases([5, 6])
    got = splits.resample(x_train, ["a", "b"], x_test, ["a"], 0)
    assert got[0] is x_train
    assert got[2] is x_test
    assert (got[1].tolist(), got[3].tolist()) == (["a", "b"], ["a"])


def test_a_resample_deals_out_every_case_once_with_the_training_class_counts() -> None:
    dataset = archive.load("ArrowHead")
    x_train, y_train, x_test, y_test = splits.resample(
        dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test, 5
    )
    assert x_train.shape == dataset.x_train.shape
    assert x_test.shape == dataset.x_test.shape
    assert sorted(y_train.tolist()) == sorted(dataset.y_train.tolist())
    assert sorted(y_test.tolist()) == sorted(dataset.y_test.tolist())
    pooled = sorted([*map(bytes, dataset.x_train), *map(bytes, dataset.x_test)])
    assert sorted([*map(bytes, x_train), *map(bytes, x_test)]) == pooled
    assert not np.array_equal(x_train, dataset.x_train)


def test_resamples_that_cannot_be_drawn_are_refused() -> None:
    x = cases([1, 2], [3, 4])
    with pytest.raises(UserError, match="resample -1 is negative: 0 is the official split"):
        splits.resample(x, ["a", "b"], x, ["a", "b"], -1)
    with pytest.raises(UserError, match="label 'c' is in one split only"):
        splits.resample(x, ["b", "b"], x, ["c", "b"], 1)
    with pytest.raises(ValueError, match="pad the shorter with NaN"):
        splits.resample(x, ["a", "b"], np.zeros((2, 1, 3)), ["a", "b"], 1)


@pytest.mark.parametrize(
    ("n_cases", "fraction", "n_held"),
    [(1, 0.2, 0), (2, 0.2, 1), (3, 0.2, 1), (10, 0.2, 2), (10, 0.25, 3), (2, 0.9, 1), (10, 0.99, 9), (100, 0.001, 1)],
)
def test_a_holdout_takes_its_share_of_a_class_and_leaves_some(n_cases: int, fraction: float, n_held: int) -> None:
    y = np.array([0] * n_cases + [1] * 7)
    fit, held = splits.stratified_holdout(y, fraction, seed=3)
    assert (y[held] == 0).sum() == n_held
    assert (y[fit] == 0).sum() == n_cases - n_held
    assert sorted([*fit, *held]) == list(range(len(y)))
    assert (fit.tolist(), held.tolist()) == (sorted(fit), sorted(held))


def test_a_holdout_is_its_seeds() -> None:
    y = np.arange(60) % 3
    draws = [splits.stratified_holdout(y, 0.2, seed)[1].tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 20, NAN])
def test_a_holdout_of_no_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(UserError, match=f"^validation {fraction} is not a fraction between 0 and 1: write 0.2"):
        splits.stratified_holdout([0, 1], fraction, seed=0)
