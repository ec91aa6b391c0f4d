"""Datasets by path, arrays and frames: what is selected, what is read, and what a worker in another process gets."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tsfcn
from tests.tables import TEST, TRAIN, header, noise, wide, write_pair
from tsfcn.common.errors import UserError
from tsfcn.data import user_data
from tsfcn.data.dataset import Dataset, summary
from tsfcn.data.formats import Columns
from tsfcn.data.locate import ReadOptions

DEFAULT = ReadOptions()


pytestmark = pytest.mark.usefixtures("own_cache")


def names(dataset: object, options: ReadOptions = DEFAULT, exclude: object = ()) -> list[str]:
    return [source.name for source in user_data.select(dataset, exclude, None, options)]


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


# ---------------------------------------------------------------- selecting


def test_paths_of_files_and_folders_are_selected(tmp_path: Path) -> None:
    write_pair(tmp_path / "pair", wide(TRAIN), wide(TEST))
    text(tmp_path / "split" / "train.csv", wide(TRAIN))
    text(tmp_path / "split" / "test.csv", wide(TEST))
    text(tmp_path / "one" / "walks.csv", wide(TRAIN))
    text(tmp_path / "one" / "README.txt", "walks of twelve people")
    write_pair(tmp_path / "many" / "Toy", wide(TRAIN), wide(TEST))
    (tmp_path / "arrays").mkdir()
    for name, array in (("x_train", TRAIN.values), ("y_train", TRAIN.labels), ("x_test", TEST.values)):
        np.save(tmp_path / "arrays" / f"{name}.npy", array)
    np.save(tmp_path / "arrays" / "y_test.npy", TEST.labels)
    for path, name in (
        ("pair", "Toy"),
        ("pair/Toy_TRAIN.csv", "Toy"),
        ("pair/Toy_TEST.csv", "Toy"),
        ("split", "split"),
        ("one", "walks"),
        ("one/walks.csv", "walks"),
        ("many", "Toy"),
        ("arrays", "arrays"),
        ("arrays/x_train.npy", "arrays"),
    ):
        assert names(str(tmp_path / path)) == [name]
        dataset = tsfcn.load(str(tmp_path / path))
        assert (dataset.name, dataset.passport["archive"], dataset.passport["n_classes"]) == (name, "user", 2)
    assert names([str(tmp_path / "pair"), "Coffee", str(tmp_path / "one")]) == ["Toy", "Coffee", "walks"]
    assert names([str(tmp_path / "pair"), "Coffee"], exclude="Toy") == ["Coffee"]
    assert names(["Coffee", "GunPoint*"], exclude="GunPointO*")[:2] == ["Coffee", "GunPoint"]


def test_a_path_in_the_home_folder_and_beside_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text(tmp_path / "walks.csv", wide(TRAIN))
    (tmp_path / "Folder").mkdir()
    text(tmp_path / "Folder" / "runs.csv", wide(TRAIN))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names("~/walks.csv") == ["walks"]
    monkeypatch.chdir(tmp_path)
    assert names(["walks.csv", "Folder"]) == ["walks", "runs"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("one/walk.csv", "does not exist: did you mean '"),
        ("nowhere/at/all.csv", "does not exist: give a file or a folder that exists"),
        ("empty", "holds no dataset: give NAME_TRAIN.csv and NAME_TEST.csv, or the path of one table"),
        ("two", "holds 2 tables, a.csv, b.csv ...: give NAME_TRAIN.csv"),
        ("half", "is half there: put its _TEST file of the same format beside it"),
        ("one/walks.xyz", "is of a format that is not read: write one of .tsv, .ts"),
        ("one/small.csv", "would have the name 'small', which is not usable: rename it"),
    ],
)
def test_a_path_without_dataset_is_refused(tmp_path: Path, path: str, message: str) -> None:
    for file in ("one/walks.csv", "one/walks.xyz", "one/small.csv", "two/a.csv", "two/b.csv", "half/Toy_TRAIN.csv"):
        text(tmp_path / file, wide(TRAIN))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as got:
        names(str(tmp_path / path))
    assert message in str(got.value)
    assert "\n" not in str(got.value)


def test_two_datasets_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = [str(text(tmp_path / folder / "walks.csv", wide(TRAIN))) for folder in "ab"]
    with pytest.raises(UserError, match="has the name of another one, 'walks': rename one of the two"):
        names(paths)
    assert names([paths[0], paths[0]]) == ["walks"]


def test_options_without_effect_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path, wide(TRAIN), wide(TEST))
    with pytest.raises(UserError, match=r"^test_size=0.3 is without effect: it is for one table without a test file"):
        names(str(tmp_path), ReadOptions(test_size=0.3))
    with pytest.raises(UserError, match=r"^label= is without effect: it is for tables of your own"):
        names("Coffee", ReadOptions(Columns(label="activity")))
    with pytest.raises(UserError, match=r"^columns= is without effect"):
        names("Coffee", ReadOptions(Columns(case="id")))
    for share in (0.0, 1.0, 30, float("nan")):
        with pytest.raises(UserError, match=f"^test_size={share:g} is not a fraction between 0 and 1"):
            ReadOptions(test_size=share)


def test_an_official_dataset_at_a_path_is_checked_as_such() -> None:
    spec = importlib.util.find_spec("sktime")
    assert spec is not None and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "GunPoint"
    assert names(str(folder)) == ["GunPoint"]
    assert tsfcn.load(str(folder)).passport["content"] == tsfcn.load("GunPoint").passport["content"]


UNREADABLE = """
import os, sys
from tsfcn.common.errors import UserError
from tsfcn.data import user_data
from tsfcn.data.locate import ReadOptions
from tsfcn import load
os.seteuid(65534)
for dataset in sys.argv[2:]:
    try:
        (source,) = user_data.select(dataset, [], sys.argv[1], ReadOptions())
        user_data.passport(source, sys.argv[1], "ucr2018", ReadOptions())
    except UserError as error:
        print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without permissions")
@pytest.mark.parametrize("closed", ["root", "folder"])
def test_a_folder_without_permissions_is_named_as_such(tmp_path: Path, closed: str) -> None:
    root = tmp_path / "root"
    write_pair(root / "Toy", wide(TRAIN), wide(TEST))
    (root if closed == "root" else root / "Toy").chmod(0)
    command = [sys.executable, "-c", UNREADABLE, str(root), "Toy", str(root / "Toy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("is not readable" in line and "ermission" in line for line in lines)


# ---------------------------------------------------------------- one table


@pytest.mark.parametrize("test_size", [None, 0.25, 0.5])
def test_a_single_table_is_split_by_class(tmp_path: Path, test_size: float | None) -> None:
    cases = noise(40, 0, labels=("walk", "run", "walk", "walk"))
    path = text(tmp_path / "walks.csv", wide(cases, header()))
    dataset = tsfcn.load(str(path), test_size=test_size)
    share = 0.3 if test_size is None else test_size
    assert dataset.y_test.tolist().count("walk") == round(30 * share)
    assert dataset.y_test.tolist().count("run") == int(10 * share + 0.5)
    pooled = {*map(bytes, dataset.x_train), *map(bytes, dataset.x_test)}
    assert pooled == {row.tobytes() for row in cases.values}
    again = tsfcn.load(str(path), test_size=test_size)
    np.testing.assert_array_equal(again.x_test, dataset.x_test)
    said = "no test file: 12 of 40 cases are held out, as with test_size=0.3"
    assert dataset.passport["warnings"] == ([said] if test_size is None else [])


def test_another_test_size_is_another_content(tmp_path: Path) -> None:
    path = str(text(tmp_path / "walks.csv", wide(noise(40, 0))))
    contents = [tsfcn.load(path, test_size=share).passport["content"] for share in (0.3, 0.5, 0.3)]
    assert contents[0] == contents[2] != contents[1]


def test_a_table_of_one_case_a_class_cannot_be_split(tmp_path: Path) -> None:
    path = text(tmp_path / "walks.csv", wide(noise(2, 0)))
    with pytest.raises(
        UserError, match="has one case of each class: give two or more cases of a class, or a test file"
    ):
        tsfcn.load(str(path))


# ---------------------------------------------------------------- npz, npy, parquet


def test_numpy_files_are_read_without_pickle(tmp_path: Path) -> None:
    np.savez(tmp_path / "both.npz", X_train=TRAIN.values, y_train=TRAIN.labels, X_test=TEST.values, y_test=TEST.labels)
    dataset = tsfcn.load(str(tmp_path / "both.npz"))
    np.testing.assert_array_equal(dataset.x_test[:, 0], TEST.values)
    assert dataset.y_train.tolist() == TRAIN.labels
    np.savez(tmp_path / "one.npz", X=np.stack([TRAIN.values, -TRAIN.values], axis=1), y=np.arange(12) % 3)
    assert tsfcn.load(str(tmp_path / "one.npz")).x_train.shape == (9, 2, 8)
    np.save(tmp_path / "ucr.npy", np.column_stack([np.arange(12) % 2, TRAIN.values]))
    assert set(tsfcn.load(str(tmp_path / "ucr.npy")).y_train) == {"0", "1"}


class Bomb:
    """An object whose unpickling writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_pickle_in_a_numpy_file_is_not_run(tmp_path: Path) -> None:
    objects = np.array([Bomb(tmp_path / "executed")] * 4, dtype=object)
    np.save(tmp_path / "a.npy", objects)
    np.savez(tmp_path / "b.npz", X=objects, y=np.array([1, 2, 1, 2]))
    for name in ("a.npy", "b.npz"):
        with pytest.raises(UserError, match="holds Python objects, which are not read: save plain arrays"):
            tsfcn.load(str(tmp_path / name))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", b"\x93NUMPY\x01", "is not a whole numpy file"),
        ("a.npz", b"PK\x03\x04 cut", "is not a whole numpy file"),
        ("a.npy", b"", "is not a whole numpy file"),
    ],
)
def test_a_damaged_numpy_file_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        tsfcn.load(str(tmp_path / name))


def test_a_numpy_file_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", X=np.zeros((2000, 4000)), y=np.arange(2000) % 2)
    with pytest.raises(UserError, match="is a zip bomb: it unpacks to 64 MB"):
        tsfcn.load(str(tmp_path / "a.npz"))


def test_a_parquet_file_is_read_or_its_library_named(tmp_path: Path) -> None:
    frame = pd.DataFrame(TRAIN.values, columns=[f"t{i}" for i in range(8)]).assign(activity=TRAIN.labels, id=range(12))
    if importlib.util.find_spec("pyarrow") is None:
        (tmp_path / "a.parquet").write_bytes(b"PAR1")
        with pytest.raises(UserError, match=r"needs pyarrow: pip install 'tsfcn\[parquet\]', or save it as .csv"):
            tsfcn.load(str(tmp_path / "a.parquet"))
        return
    frame.to_parquet(tmp_path / "a.parquet")
    dataset = tsfcn.load(str(tmp_path / "a.parquet"), label="activity")
    assert {*map(bytes, dataset.x_train), *map(bytes, dataset.x_test)} == set(map(bytes, TRAIN.values))
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(UserError, match="is not a readable parquet file"):
        tsfcn.load(str(tmp_path / "b.parquet"))


# ---------------------------------------------------------------- arrays and frames


def frame_of(cases: object = TRAIN) -> pd.DataFrame:
    return pd.DataFrame(TRAIN.values, columns=[f"t{i}" for i in range(8)]).assign(activity=TRAIN.labels)


def test_arrays_and_frames_give_the_same_dataset() -> None:
    y = np.array(TRAIN.labels)
    contents = {
        tsfcn.load(TRAIN.values, y).passport["content"],
        tsfcn.load(TRAIN.values[:, None], list(y)).passport["content"],
        tsfcn.load(list(TRAIN.values), pd.Series(y, dtype="category")).passport["content"],
        tsfcn.load(frame_of(), label="activity").passport["content"],
        tsfcn.load(frame_of().drop(columns="activity"), frame_of()["activity"]).passport["content"],
    }
    assert len(contents) == 1
    four = tsfcn.load(TRAIN.values, TRAIN.labels, TEST.values, TEST.labels)
    np.testing.assert_array_equal(four.x_test[:, 0], TEST.values)
    two = tsfcn.load(frame_of(), frame_of().iloc[:, ::-1], label="activity")
    np.testing.assert_array_equal(two.x_train, two.x_test)


def test_cases_may_differ_in_length() -> None:
    cases = [np.append(row[: 4 + i % 3], [np.nan, 1.0]) for i, row in enumerate(TRAIN.values)]
    dataset = tsfcn.load(cases, TRAIN.labels)
    assert dataset.unequal
    assert (dataset.passport["length"], dataset.passport["shortest"], dataset.passport["n_missing"]) == (8, 6, 12)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((TRAIN.values, TRAIN.labels[:3]), "has 12 cases and 3 labels: give one label for each case"),
        ((TRAIN.values[0], TRAIN.labels), r"has values of shape \(8,\): give \(n_cases, n_timepoints\) or"),
        ((TRAIN.values.astype(str), TRAIN.labels), "case 0 is not numeric: give numbers, NaN for missing values"),
        (
            (np.where(TRAIN.values > 1, np.inf, TRAIN.values), TRAIN.labels),
            r"case \d has an infinite value: give finite numbers",
        ),
        ((TRAIN.values, [None] * 12), "case 0 has no label: give each case a class"),
        ((TRAIN.values, [float("nan")] * 12), "case 0 has no label: give each case a class"),
        ((TRAIN.values, [("a", "b")] * 12), "has labels of shape"),
        ((TRAIN.values, TRAIN.values[:, 0]), "has 12 distinct numbers as labels of 12 cases, like a regression"),
        ((TRAIN.values, ["a"] * 12), "is of one class: a classifier needs two or more"),
        (
            (TRAIN.values, TRAIN.labels, TEST.values),
            r"has 3 parts: give \(X, y\) or \(X_train, y_train, X_test, y_test",
        ),
        ((frame_of(),), "has no label column: call it 'label', or name it with label=NAME"),
        ((frame_of().assign(label="a", note="b"),), "has column 'activity' of type"),
        ((TRAIN.values, TRAIN.labels, np.zeros((2, 3, 8)), TRAIN.labels[:2]), "has 1 channels in training and 3 in"),
    ],
)
def test_arrays_that_are_no_dataset_are_refused(data: tuple[object, ...], message: str) -> None:
    with pytest.raises(UserError, match=message) as got:
        user_data.dataset_of_arrays("mine", data, DEFAULT)
    assert "\n" not in str(got.value)


@pytest.mark.parametrize("name", ["../mine", "a/b", "", "all", "a\nb"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="which is not usable: rename it"):
        user_data.dataset_of_arrays(name, (TRAIN.values, TRAIN.labels), DEFAULT)


# ---------------------------------------------------------------- kept for workers


def same(one: Dataset, other: Dataset) -> bool:
    return all(
        np.array_equal(getattr(one, part), getattr(other, part), equal_nan=part.startswith("x"))
        for part in ("x_train", "y_train", "x_test", "y_test")
    ) and (one.unequal == other.unequal)


def test_a_kept_dataset_is_the_one_that_the_plan_saw(own_cache: Path) -> None:
    gaps = [np.append(row[: 4 + i % 3], [np.nan, 1.0]) for i, row in enumerate(TRAIN.values)]
    for data in ((TRAIN.values, TRAIN.labels), (gaps, TRAIN.labels)):
        dataset = user_data.dataset_of_arrays("mine", data, DEFAULT)
        path = user_data.keep(dataset)
        assert path.is_relative_to(own_cache)
        (source,) = user_data.select(str(path), [], None, DEFAULT)
        passport = user_data.passport(source, None, "ucr2018", DEFAULT)
        assert passport["content"] == dataset.passport["content"]
        assert passport["warnings"] == dataset.passport["warnings"]
        assert same(user_data.load_planned("mine", passport, None), dataset)


def test_a_file_that_changes_after_the_plan_does_not_change_the_job(tmp_path: Path) -> None:
    path = text(tmp_path / "walks.csv", wide(TRAIN))
    (source,) = user_data.select(str(path), [], None, DEFAULT)
    passport = user_data.passport(source, None, "ucr2018", DEFAULT)
    planned = tsfcn.load(str(path))
    text(path, wide(TEST))
    assert same(user_data.load_planned("walks", passport, None), planned)
    assert user_data.passport(source, None, "ucr2018", DEFAULT)["content"] != passport["content"]


@pytest.mark.parametrize("damage", ["empty", "other", "flipped", "gone"])
def test_a_damaged_kept_dataset_is_never_used(tmp_path: Path, damage: str) -> None:
    dataset = user_data.dataset_of_arrays("mine", (TRAIN.values, TRAIN.labels), DEFAULT)
    path = user_data.keep(dataset)
    if damage == "gone":
        path.unlink()
    elif damage == "other":
        np.savez(path, X_train=np.zeros((1, 1, 8)), y_train=["a"], X_test=np.zeros((1, 1, 8)), y_test=["b"])
    else:
        content = path.read_bytes()
        at = content.index(dataset.x_train.tobytes())
        path.write_bytes(b"" if damage == "empty" else content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(UserError, match="'mine' is not in the archive"):
        user_data.load_planned("mine", dataset.passport, None)


def test_a_cache_that_cannot_be_written_is_named(own_cache: Path) -> None:
    own_cache.write_text("a file where the folder should be", encoding="utf-8")
    dataset = user_data.dataset_of_arrays("mine", (TRAIN.values, TRAIN.labels), DEFAULT)
    with pytest.raises(UserError, match=r"'mine' cannot be kept in .* set TSFCN_CACHE to a folder that can be written"):
        user_data.keep(dataset)


# ---------------------------------------------------------------- warnings


def test_what_makes_an_accuracy_doubtful_is_said() -> None:
    odd = ["swim" if i < 3 else label for i, label in enumerate(TEST.labels)]
    repeated = np.concatenate([TRAIN.values[:2], TEST.values[2:]])
    dataset = tsfcn.load(TRAIN.values, TRAIN.labels, repeated, odd, name="walks")
    assert summary(dataset.passport) == [
        "walks: read 12 + 10 cases x 8 timepoints, 1 channel, 3 classes (walk 6, run 6, swim 0)",
        "walks: warning: 3 of 10 test cases are of classes that no training case has (swim)",
        "walks: warning: 2 of 10 test cases are training cases too, 2 of them of another class",
    ]
    copied = tsfcn.load(TRAIN.values, TRAIN.labels, TRAIN.values[:5], TRAIN.labels[:5])
    assert copied.passport["warnings"] == ["the test file copies training cases: all 5 test cases are training cases"]


def test_labels_are_printed_without_control_characters() -> None:
    labels = ["\x1b[31mred" if i % 2 else "blue" for i in range(12)]
    line = summary(tsfcn.load(TRAIN.values, labels).passport)[0]
    assert line.isprintable()
    assert "\\x1b[31mred" in line
