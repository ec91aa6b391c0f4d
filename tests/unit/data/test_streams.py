"""Labelled streams: drawn from cases of their own split, or read from files of the user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsfcn.common import npz
from tsfcn.common.errors import UserError
from tsfcn.config.segmentation import SegmentationConfig
from tsfcn.data import preprocess, streams, user_data
from tsfcn.data.locate import ReadOptions
from tsfcn.data.streams import NO_LABEL, StreamData, runs

# ---------------------------------------------------------------------------------------------------------------------
# From cases


def cases(n_train: int = 7, n_test: int = 5, n_timepoints: int = 70, unequal: bool = False) -> preprocess.Arrays:
    """Return cases of which each holds one number: 1 to n_train for training, -1 to -n_test for testing."""
    x_train = np.arange(1.0, n_train + 1)[:, None, None] * np.ones((1, 1, n_timepoints))
    x_test = -np.arange(1.0, n_test + 1)[:, None, None] * np.ones((1, 1, n_timepoints))
    if unequal:
        x_train[0, :, 40:] = np.nan
    y = [["a", "b"][number % 2] for number in range(max(n_train, n_test))]
    return preprocess.prepare(
        *(x_train, y[:n_train], x_test, y[:n_test]),
        normalisation="none",
        missing="zero",
        length="mask",
        unequal=unequal,
        fixed_length=False,
    )


def drawn(data: preprocess.Arrays, seed: int = 0, **settings: Any) -> StreamData:
    return streams.of_cases("Made", data, SegmentationConfig(**{"cases": 3, "passes": 2, **settings}), seed)


def held(streams: Sequence[streams.Stream]) -> list[float]:
    """Return the number that each labelled segment of streams without noise and gaps holds."""
    return [float(x[0, t]) for x, y in streams for t in range(0, len(y), 70)]


def test_each_split_has_streams_of_its_own_cases_only() -> None:
    data = drawn(cases(), gap=0.0)
    assert sorted(held(data.train)) == sorted([*range(1, 8)] * 2)  # two passes
    assert sorted(held(data.test)) == [-5, -4, -3, -2, -1]  # each test case once
    assert [x.shape[1] // 70 for x, _ in data.train] == [3, 3, 3, 3, 2]
    for x, y in [*data.train, *data.test]:
        assert y.tolist() == [(abs(int(value)) - 1) % 2 for value in x[0]]  # the label of its case


def test_gaps_have_the_background_or_no_label() -> None:
    with_background, without = drawn(cases()), drawn(cases(), background=False)
    assert (with_background.classes, without.classes) == (["a", "b", "background"], ["a", "b"])
    for (x, y), (same_x, other) in zip(with_background.train, without.train, strict=True):
        assert np.array_equal(x, same_x) and len(x[0]) == len(y)
        assert np.array_equal(y == 2, other == NO_LABEL) and (y == 2).any()
    lengths = [stop - start for _, y in with_background.test for label, start, stop in runs(y) if label == 2]
    assert 0 < max(lengths) <= 35


def test_a_gap_is_a_straight_line_between_its_cases() -> None:
    data = drawn(cases(), gap_noise=0.0)
    for x, y in data.train:
        for label, start, stop in runs(y):
            if label == 2:
                before, after = x[0, max(start - 1, 0)], x[0, min(stop, len(y) - 1)]
                steps = np.diff(x[0, max(start - 1, 0) : min(stop, len(y) - 1) + 1])
                assert np.allclose(steps, steps[:1], atol=1e-5)
                assert np.isclose(x[0, start:stop].min(), min(before, after), atol=abs(after - before) + 1e-5)


def test_streams_follow_from_the_seed() -> None:
    first, again, other = drawn(cases()), drawn(cases()), drawn(cases(), seed=1)
    for part in ("train", "test"):
        ours, same, theirs = (getattr(data, part) for data in (first, again, other))
        assert all(
            np.array_equal(a, b) for one, two in zip(ours, same, strict=True) for a, b in zip(one, two, strict=True)
        )
        assert any(x.shape != z.shape or not np.array_equal(x, z) for (x, _), (z, _) in zip(ours, theirs, strict=True))


def test_cases_of_unequal_length_have_their_own_length_in_a_stream() -> None:
    data = drawn(cases(unequal=True), gap=0.0)
    lengths = sorted(stop - start for x, y in data.train for _, start, stop in runs(x[0].astype(int)))
    assert lengths[:2] == [40, 40]


def test_the_classifier_gets_the_training_cases_and_gaps() -> None:
    data = drawn(cases())
    assert data.x_cases.shape == (7 + 4, 1, 70)  # as many gaps as a class has cases on average, rounded
    assert sorted(data.y_cases.tolist()) == [0] * 4 + [1] * 3 + [2] * 4
    without = drawn(cases(), background=False)
    assert without.x_cases.shape == (7, 1, 70) and set(without.y_cases.tolist()) == {0, 1}


def test_median_segment_is_over_the_classes_of_the_cases() -> None:
    assert drawn(cases(n_test=1)).median_segment == 70
    assert drawn(cases(n_test=1), background=False).median_segment == 70


def test_a_class_with_the_name_of_gaps_is_refused() -> None:
    data = cases()
    object.__setattr__(data, "classes", np.array(["a", "background"]))
    with pytest.raises(UserError, match=r"has a class 'background', as gaps do: add segmentation\.background=false"):
        drawn(data)
    assert drawn(data, background=False).classes == ["a", "background"]


def test_streams_shorter_than_the_stride_are_refused() -> None:
    with pytest.raises(UserError, match="stream of 20 timepoints, fewer than the stride of 32"):
        drawn(cases(n_timepoints=20), cases=1, gap=0.0)


# ---------------------------------------------------------------------------------------------------------------------
# From files


def rows(labels: Sequence[str], **columns: Sequence[str]) -> str:
    """Return a .csv of two channels, the first of which counts up."""
    head = ["a", "b", "label", *columns]
    body = [
        ",".join([str(t), "1.5", label, *(column[t] for column in columns.values())]) for t, label in enumerate(labels)
    ]
    return "\n".join([",".join(head), *body]) + "\n"


def write(folder: Path, text: str, name: str = "walks.csv") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def read(path: str, normalisation: str = "none", options: ReadOptions | None = None) -> StreamData:
    """Return the streams of a file as a job gets them."""
    options = options or ReadOptions()
    (source,) = user_data.select(path, [], None, options)
    return streams.load_planned(source.name, streams.passport(source, options), normalisation)


LABELS = ["walk"] * 40 + [""] * 10 + ["run"] * 50
SPLIT = ["train"] * 100 + ["test"] * 60


def test_one_stream_is_divided_in_time(tmp_path: Path, own_cache: Path) -> None:
    data = read(write(tmp_path, rows(LABELS * 2)), options=ReadOptions(test_size=0.25))
    assert (len(data.train), len(data.test), data.classes) == (1, 1, ["run", "walk"])
    (x, y), (x_test, y_test) = data.train[0], data.test[0]
    assert x.shape == (2, 150) and x_test.shape == (2, 50)
    assert x[0].tolist() == list(range(150)) and x_test[0].tolist() == list(range(150, 200))
    assert y.tolist() == [1] * 40 + [NO_LABEL] * 10 + [0] * 50 + [1] * 40 + [NO_LABEL] * 10
    assert y_test.tolist() == [0] * 50


def test_columns_say_what_a_stream_is_and_what_is_for_testing(tmp_path: Path, own_cache: Path) -> None:
    labels = [*LABELS, *["run"] * 60]
    data = read(write(tmp_path, rows(labels, split=SPLIT, stream=["s"] * 50 + ["t"] * 110)))
    assert [x.shape[1] for x, _ in data.train] == [50, 50] and [x.shape[1] for x, _ in data.test] == [60]


def test_a_pair_of_files_is_training_and_testing(tmp_path: Path, own_cache: Path) -> None:
    write(tmp_path, rows(LABELS), "walks_TRAIN.csv")
    data = read(write(tmp_path, rows(["walk"] * 33), "walks_TEST.csv"))
    assert [len(y) for _, y in data.train] == [100] and [len(y) for _, y in data.test] == [33]


@pytest.mark.parametrize("name", ["label", "y"])
def test_arrays_are_read_as_a_table_is(tmp_path: Path, own_cache: Path, name: str) -> None:
    text = read(write(tmp_path, rows(LABELS * 2)))
    x = np.stack([np.arange(200.0), np.full(200, 1.5)], axis=1)
    with (tmp_path / "arrays.npz").open("wb") as file:
        npz.write(file, {"x": x, name: np.array(LABELS * 2)})
    arrays = read(str(tmp_path / "arrays.npz"))
    for ours, theirs in zip([*text.train, *text.test], [*arrays.train, *arrays.test], strict=True):
        assert np.array_equal(ours[0], theirs[0]) and np.array_equal(ours[1], theirs[1])


def test_normalisation_uses_the_training_streams(tmp_path: Path, own_cache: Path) -> None:
    path = write(tmp_path, rows([*LABELS, *["run"] * 60], split=SPLIT))
    mean, deviation = np.arange(100).mean(), np.arange(100).std()
    x_test = read(path, "train").test[0][0]
    np.testing.assert_allclose(x_test[0], (np.arange(100, 160) - mean) / deviation, rtol=1e-6)
    of_itself = read(path, "series").test[0][0]
    np.testing.assert_allclose((of_itself[0].mean(), of_itself[0].std()), (0, 1), atol=1e-6)


def test_windows_of_segments_are_the_cases_of_the_classifier() -> None:
    x = np.arange(200.0, dtype=np.float32)[None]
    y = np.repeat([0, 1, NO_LABEL, 0], [40, 90, 20, 50])
    x_cases, y_cases = streams.windows([(x, y)])
    assert x_cases.shape == (3, 1, 50) and y_cases.tolist() == [0, 1, 0]
    assert x_cases[:, 0, 0].tolist() == [0, 60, 150]  # the middle of each segment, inside the stream


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            rows(["walk"] * 60 + ["run"] * 60, split=["train"] * 50 + ["test"] * 70),
            "'run' in its test streams, outside",
        ),
        (rows(["walk"] * 20 + ["run"] * 20), "stream of 12 timepoints, fewer than the stride of 32"),
        (rows(["walk"] * 200), "has 1 class in its training streams"),
        (rows(LABELS, split=["train"] * 100), "has no test stream: mark its rows"),
        (rows(LABELS, split=["valid"] * 100), "has 'valid' in its column split: write train or test"),
        (rows(LABELS).replace("label", "activity"), "has no column label, class, target or y: name the column"),
        (rows(LABELS).replace("\n3,", "\nthree,"), "line 5 column 1 is 'three'"),
        (rows(LABELS).replace("\n3,", "\nthree,"), "write a number; fill missing values, or end"),  # not: write NaN
        (rows(LABELS).replace("\n3,", "\n,"), "line 5 column 1 is '': write a number; fill missing values"),
        (rows(LABELS).replace("\n3,", "\nnan,"), "line 5 has a value that is missing: fill"),
        ("", "is without values: give a row for each timepoint"),
        ("x,label\n", "is without values: give a row for each timepoint"),
        ("label\nwalk\n", "is without values: give a row for each timepoint, with a column for each channel"),
        (rows(LABELS).replace("\n3,", "\n3,3,"), "line 5 has 4 fields, the header 3"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(
    tmp_path: Path, own_cache: Path, text: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(write(tmp_path, text))
    assert "\n" not in str(caught.value) and "walks" in str(caught.value)


def test_streams_that_left_the_cache_are_told(tmp_path: Path, own_cache: Path) -> None:
    options = ReadOptions()
    (source,) = user_data.select(write(tmp_path, rows(LABELS * 2)), [], None, options)
    known = streams.passport(source, options)
    user_data.kept_path("walks", known["content"]).unlink()
    with pytest.raises(UserError, match="not in the cache folder any more: start the run again"):
        streams.load_planned("walks", known, "none")
