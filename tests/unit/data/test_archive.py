"""Tests of `archive`: on files that the tests write, on sktime's bundled ones, and on the official archive."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import formats
from tsfcn.common.errors import UserError
from tsfcn.data import archive, cache, catalogue, locate, provenance
from tsfcn.data.dataset import Dataset, duplicates
from tsfcn.data.formats import Float64
from tsfcn.data.preprocess import Labels, case_lengths

NAN = float("nan")
Row = Sequence[object]  # label, then values

# SHA-256 of content, equal for sktime's files and for the official .tsv (see the test that compares them).
BUNDLED = {
    "ACSF1": "73aa40c03cf2586c605320ac53f3a028f248305089d1b570517c046cbec394aa",
    "ArrowHead": "7b3c6902cc87e59b581f3c2166672b5a61b9b0778ac344ae4c426fedcda53b43",
    "GunPoint": "020f8ff7950a7b2f62d12a596f0af9d004528e26abbedcc2ebb228376cf3dbb2",
    "ItalyPowerDemand": "5b85b16ed19aaea5102a0c700ee8078ed398442fd568d6f53cb08762889dc953",
    "OSULeaf": "1a68e999027faa3c5759421ca227cfe21189e5dd99eeaa3553359d7183c8f5b4",
}


def write_tsv(root: Path, name: str, train: Sequence[Row], test: Sequence[Row], folder: bool = True) -> Path:
    """Write a dataset in the 2018 layout, last changed an hour ago; return the archive's root."""
    stem = root / name / name if folder else root / name
    stem.parent.mkdir(parents=True, exist_ok=True)
    for split, rows in (("TRAIN", train), ("TEST", test)):
        path = Path(f"{stem}_{split}.tsv")
        path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
        age(path)
    return root


def write_ts(root: Path, name: str, header: str, train: str, test: str) -> Path:
    """Write a dataset in the .ts format; return the archive's root."""
    (root / name).mkdir(parents=True, exist_ok=True)
    for split, body in (("TRAIN", train), ("TEST", test)):
        path = root / name / f"{name}_{split}.ts"
        path.write_text(f"{header}\n@data\n{body}\n", encoding="utf-8")
        age(path)
    return root


def age(path: Path, seconds: float = 3600) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def rows(n: int, n_timepoints: int, n_classes: int = 2, label_from: int = 1) -> list[list[float]]:
    """Return n rows, their classes in turn, values that differ everywhere."""
    return [[label_from + i % n_classes, *(i + t / 100 for t in range(n_timepoints))] for i in range(n)]


TOY_TRAIN: list[Row] = [[1, 0.5, -1.25, 3], [2, 4, 5, 6]]
TOY_TEST: list[Row] = [[2, 7, 8, 9], [1, 1e-3, 0, 2]]
TOY_HEADER = "@problemName Toy\n@timeStamps false\n@univariate true\n@classLabel true 1 2"


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_tsv(tmp_path / "archive", "Toy", TOY_TRAIN, TOY_TEST)


# ---------------------------------------------------------------- what comes back


def test_a_dataset_of_the_users_own(toy: Path) -> None:
    dataset = archive.load("Toy", toy)
    assert dataset.x_train.tolist() == [[[0.5, -1.25, 3]], [[4, 5, 6]]]
    assert dataset.x_test.tolist() == [[[7, 8, 9]], [[1e-3, 0, 2]]]
    assert dataset.x_train.dtype == dataset.x_test.dtype == np.float64
    assert (dataset.y_train.tolist(), dataset.y_test.tolist()) == (["1", "2"], ["2", "1"])
    assert not dataset.unequal
    content = dataset.passport.pop("content")
    assert isinstance(content, str)
    assert len(content) == 64
    assert dataset.passport == {
        "name": "Toy",
        "archive": "user",
        "revision": "user",
        "source": "tsv",
        "split": "user",
        "files_split": "user",
        "n_train": 2,
        "n_test": 2,
        "n_channels": 1,
        "n_classes": 2,
        "length": 3,
        "shortest": 3,
        "unequal": False,
        "n_missing": 0,
        "n_duplicates": 0,
        "class_counts": {"1": 1, "2": 1},
        "warnings": [],
    }


@pytest.mark.parametrize("name", sorted(BUNDLED))
def test_the_bundled_datasets_are_the_official_ones(name: str) -> None:
    dataset = archive.load(name)
    facts = catalogue.CATALOGUE[name]
    assert dataset.passport["content"] == BUNDLED[name]
    assert (dataset.passport["archive"], dataset.passport["source"]) == ("UCR2018", "sktime")
    assert dataset.x_train.shape == (facts.n_train, 1, facts.length)
    assert dataset.x_test.shape == (facts.n_test, 1, facts.length)


def test_bundled_is_what_the_catalogue_says() -> None:
    assert catalogue.select("bundled", exclude="uea") == sorted(BUNDLED)


@pytest.mark.parametrize("name", sorted(BUNDLED))
def test_bundled_and_official_files_hold_the_same(archive_root: Path, name: str) -> None:
    bundled, official = archive.load(name), archive.load(name, archive_root)
    assert official.passport == {**bundled.passport, "source": "tsv"}
    for part in ("x_train", "y_train", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(bundled, part), getattr(official, part))


def test_reading_does_not_import_sktime_or_torch() -> None:
    code = (
        "import sys, tsfcn.data.archive; tsfcn.data.archive.load('GunPoint'); "
        "print([m for m in ('sktime', 'torch', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository())
    assert done.stdout.strip() == "[]"


def repository() -> Path:
    return Path(archive.__file__).parents[2]


# ---------------------------------------------------------------- where it is looked for


def test_tsv_comes_before_ts_and_root_before_bundled(tmp_path: Path) -> None:
    root = write_ts(tmp_path / "archive", "Toy", TOY_HEADER, "1,2,3:1\n1,2,4:2", "1,2,5:1\n1,2,6:2")
    assert archive.load("Toy", root).passport["source"] == "ts"
    write_tsv(root, "Toy", TOY_TRAIN, TOY_TEST)
    assert archive.load("Toy", root).passport["source"] == "tsv"
    write_tsv(root, "GunPoint", rows(50, 150), rows(150, 150))
    assert archive.load("GunPoint", root).passport["source"] == "tsv"
    assert archive.load("GunPoint").passport["source"] == "sktime"


def test_files_may_lie_in_the_root_itself(tmp_path: Path) -> None:
    root = write_tsv(tmp_path / "flat", "Toy", TOY_TRAIN, TOY_TEST, folder=False)
    assert archive.load("Toy", root).x_train.shape == (2, 1, 3)


def test_the_root_may_come_from_the_environment(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSFCN_ARCHIVE", str(toy))
    assert archive.load("Toy").passport["n_train"] == 2
    assert archive.load("GunPoint").passport["source"] == "sktime"  # not under the root, but bundled
    monkeypatch.setenv("TSFCN_ARCHIVE", str(toy / "missing"))
    with pytest.raises(UserError, match=r"^TSFCN_ARCHIVE '.*missing' is not a folder: give the one that holds"):
        archive.load("Toy")
    assert archive.load("Toy", toy).passport["n_train"] == 2  # an explicit root is looked at first


@pytest.mark.parametrize("root", ["", "/nowhere/at/all", __file__])
def test_a_root_that_is_no_folder_is_refused(root: str) -> None:
    with pytest.raises(UserError, match=f"^archive.root '{root}' is not a folder"):
        archive.load("GunPoint", root)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../Toy", "a/Toy", "/Toy", "a\\Toy", "Toy/..", " Toy", "Toy\0", ".Toy"]
)
def test_a_name_is_never_a_path(toy: Path, name: str) -> None:
    with pytest.raises(UserError, match="is not a name: write one like 'Coffee'"):
        archive.load(name, toy / "Toy")


def test_a_name_that_no_file_system_takes_is_refused(toy: Path) -> None:
    with pytest.raises(UserError, match=r"is not readable under '.*': File name too long$"):
        archive.load("T" * 300, toy)


@pytest.mark.parametrize("root", [True, False])
def test_an_unknown_name_is_told_its_near_miss(toy: Path, root: bool) -> None:
    with pytest.raises(UserError, match=r"Cofee.*did you mean 'Coffee'"):
        archive.load("Cofee", toy if root else None)


def test_a_set_is_not_a_dataset() -> None:
    with pytest.raises(UserError, match=r"^dataset 'ucr85' is a selection of 85 datasets: give the name of one$"):
        archive.load("ucr85")


def test_a_dataset_that_is_not_here_is_told_where_to_get_it(toy: Path) -> None:
    with pytest.raises(locate.NotAvailable) as without_root:
        archive.load("Coffee")
    with pytest.raises(locate.NotAvailable) as with_root:
        archive.passport("Coffee", toy)
    assert "there is no archive.root" in str(without_root.value)
    assert f"it is not under '{toy}'" in str(with_root.value)
    for caught in (without_root, with_root):
        assert "https://www.timeseriesclassification.com/aeon-toolkit/Coffee.zip" in str(caught.value)
        assert "TSFCN_ARCHIVE" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_plaid_is_not_taken_from_sktime() -> None:
    with pytest.raises(locate.NotAvailable):  # sktime's PLAID is of the early revision
        archive.load("PLAID")


def test_half_a_dataset_is_refused_rather_than_looked_for_elsewhere(tmp_path: Path) -> None:
    root = write_tsv(tmp_path / "archive", "GunPoint", rows(50, 150), rows(150, 150))
    (root / "GunPoint" / "GunPoint_TEST.tsv").unlink()
    with pytest.raises(UserError, match=r"'GunPoint' is half there, .*_TRAIN.tsv': put 'GunPoint_TEST.tsv' beside it"):
        archive.load("GunPoint", root)


# ---------------------------------------------------------------- what is not official


@pytest.mark.parametrize(
    ("name", "train", "test", "message"),
    [
        ("Chinatown", rows(20, 24), rows(344, 24), "20 training and 344 test cases, not the official 20 and 343: take"),
        ("Coffee", rows(56, 286), rows(28, 286), "56 training and 28 test cases, .*, both splits in one file: take"),
        ("GunPoint", rows(150, 150), rows(50, 150), "not the official 50 and 150, train and test swapped: take"),
        ("GunPoint", rows(50, 150), rows(50, 150), "not the official 50 and 150, the training file twice: take"),
        ("GunPoint", rows(100, 150), rows(100, 150), "not the official 50 and 150, as many in all: split in another"),
        ("GunPoint", rows(67, 24), rows(1029, 24), "not the official 50 and 150, those of 'ItalyPowerDemand': take"),
        ("HandOutlines", rows(370, 3), rows(1000, 3), "is of 3 timepoints, not the official 2709"),
        (
            "GunPoint",
            rows(49, 150),
            rows(150, 150),
            "49 training and 150 test cases, not the official 50 and 150: take",
        ),
        ("GunPoint", rows(50, 150, 3), rows(150, 150), "is of 3 classes, not the official 2"),
        ("GunPoint", rows(50, 149), rows(150, 149), "is of 149 timepoints, not the official 150"),
        ("GunPoint", [*rows(49, 150), [1, *[NAN] * 150]], rows(150, 150), "is short of 150 values, the official files"),
        ("DodgerLoopWeekend", rows(20, 288), rows(138, 288), "is without missing values, adjusted"),
        ("PickupGestureWiimoteZ", rows(50, 361, 10), rows(50, 361, 10), "is of equal length, adjusted"),
    ],
)
def test_content_that_is_not_official_is_refused(
    tmp_path: Path, name: str, train: list[Row], test: list[Row], message: str
) -> None:
    root = write_tsv(tmp_path / "archive", name, train, test)
    for read in (archive.load, archive.passport, archive.load, archive.passport):  # from the files, then from the cache
        with pytest.raises(
            UserError, match=rf"^dataset '{name}' in '.*' is .*: take the official files.*another name$"
        ) as got:
            read(name, root)
        assert re.search(message, str(got.value))
    # The same files under a name of the user's own are the user's business.
    write_tsv(tmp_path / "mine", f"My{name}", train, test)
    assert archive.load(f"My{name}", tmp_path / "mine").passport["archive"] == "user"


def test_a_dataset_of_one_class_is_refused(tmp_path: Path) -> None:
    root = write_tsv(tmp_path, "Toy", [[1, 2, 3]], [[1, 4, 5]])
    with pytest.raises(UserError, match="is of one class: a classifier needs two or more"):
        archive.load("Toy", root)


def test_the_early_plaid_has_another_passport(archive_root: Path) -> None:
    spec = importlib.util.find_spec("sktime")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("sktime is not installed: no early PLAID to compare with")
    early = archive.load("PLAID", Path(spec.submodule_search_locations[0]) / "datasets" / "data")
    official = archive.load("PLAID", archive_root)
    assert early.passport["content"] != official.passport["content"]
    assert (early.passport["revision"], official.passport["revision"]) == ("early", "corrected")
    differing = dict.fromkeys(("content", "source", "revision"))
    assert early.passport | differing == official.passport | differing
    np.testing.assert_allclose(early.x_train, official.x_train, rtol=1e-4)  # it is rounded to 5 digits, no more


# ---------------------------------------------------------------- revisions


@pytest.mark.parametrize(
    ("name", "n_train", "n_test", "n_classes"), [("Chinatown", 20, 345, 2), ("MelbournePedestrian", 1200, 2450, 10)]
)
def test_the_early_revision_is_read_as_what_it_is(
    tmp_path: Path, name: str, n_train: int, n_test: int, n_classes: int
) -> None:
    root = write_tsv(tmp_path, name, rows(n_train, 24, n_classes), rows(n_test, 24, n_classes))
    for _ in range(2):  # from the files, then from the cache
        assert archive.passport(name, root)["revision"] == "early"


def rounded(dataset: Dataset, digits: int) -> tuple[list[Any], list[Any]]:
    """Return the rows of both splits with so many significant digits."""
    train, test = (
        [[label, *(f"{v:.{digits}g}" for v in case[0])] for label, case in zip(y, x, strict=True)]
        for x, y in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test))
    )
    return train, test


def test_what_differs_from_the_content_on_record_is_told(tmp_path: Path) -> None:
    train, test = rounded(archive.load("GunPoint"), 17)
    few = rounded(archive.load("GunPoint"), 5)
    flipped: list[Row] = [[3 - int(str(row[0])), *row[1:]] for row in train]
    scaled: list[Row] = [[row[0], *(float(str(v)) * 1.01 for v in row[1:])] for row in train]
    for number, (content, revision) in enumerate(
        [
            ((train, test), "corrected"),
            (few, "rounded"),  # as the files of 2015 have it
            ((flipped, test), "unknown"),
            ((scaled, test), "unknown"),
            ((train[::-1], test), "unknown"),
        ]
    ):
        root = write_tsv(tmp_path / str(number), "GunPoint", *content)
        for _ in range(2):  # from the files, then from the cache
            assert archive.passport("GunPoint", root)["revision"] == revision
    assert {"sketch", "content_reversed"}.isdisjoint(archive.load("GunPoint", tmp_path / "1").passport)


def test_a_content_that_is_not_on_record_is_told(tmp_path: Path) -> None:
    assert "PowerCons" not in provenance.contents()
    root = write_tsv(tmp_path, "PowerCons", rows(180, 144), rows(180, 144))
    assert archive.passport("PowerCons", root)["revision"] == "unrecorded"


def test_the_content_of_another_dataset_is_refused(tmp_path: Path) -> None:
    write_tsv(tmp_path, "Coffee", *rounded(archive.load("GunPoint"), 17))
    with pytest.raises(UserError, match=r"'Coffee' in .* is of the content of 'GunPoint': take the official files"):
        archive.load("Coffee", tmp_path)


def test_the_record_of_contents_is_of_the_catalogue() -> None:
    for name, known in provenance.contents().items():
        assert name in catalogue.CATALOGUE
        assert [entry.revision for entry in known] == (["corrected", "early"] if name == "PLAID" else ["corrected"])
    assert {name: provenance.contents()[name][0].content for name in BUNDLED} == BUNDLED


# ---------------------------------------------------------------- the 2015 archive


def write_2015(root: Path, name: str, train: Sequence[Row], test: Sequence[Row]) -> Path:
    """Write a dataset in the 2015 layout; return the archive's root."""
    (root / name).mkdir(parents=True)
    for split, content in (("TRAIN", train), ("TEST", test)):
        path = root / name / f"{name}_{split}"
        path.write_text("".join(",".join(map(str, row)) + "\n" for row in content), encoding="utf-8")
        age(path)
    return root


@pytest.mark.parametrize("folder", ["", "UCR_TS_Archive_2015"])
@pytest.mark.parametrize("old", ["Gun_Point", "gun_point", "GUNPOINT", "GunPoint"])
def test_old_names_and_any_case_are_found(tmp_path: Path, old: str, folder: str) -> None:
    write_2015(tmp_path / folder, old, *rounded(archive.load("GunPoint"), 6))
    found = archive.passport("GunPoint", tmp_path)
    assert (found["name"], found["source"], found["revision"]) == ("GunPoint", "ucr2015", "rounded")
    assert locate.user_names(tmp_path) == []


def reversible(root: Path, *, reverse: bool) -> Path:
    """Write content of the sizes of Earthquakes as the archive of 2018 or of 2015 has it."""
    train, test = (
        rows(322, 512),
        [[label, *(float(str(v)) + 1000 for v in values)] for label, *values in rows(139, 512)],
    )
    if reverse:
        return write_2015(root, "Earthquakes", test, train)
    return write_tsv(root, "Earthquakes", train, test)


def test_what_is_asked_for_comes_whichever_way_the_files_lie(tmp_path: Path) -> None:
    roots = [reversible(tmp_path / str(reverse), reverse=reverse) for reverse in (False, True)]
    contents: dict[str, str] = {}
    for root, files_split in zip(roots, archive.SPLITS, strict=True):
        for split, n_train in (("ucr2018", 322), ("ucr2015", 139)):
            for _ in range(2):  # from the files, then from the cache
                dataset = archive.load("Earthquakes", root, split)
                found = archive.passport("Earthquakes", root, split)
                assert dataset.passport == found
                assert (found["split"], found["files_split"]) == (split, files_split)
                assert (len(dataset.x_train), found["n_train"]) == (n_train, n_train)
                assert (len(dataset.y_test), found["n_test"]) == (461 - n_train, 461 - n_train)
                assert dataset.x_train.max() < 1000 if split == "ucr2018" else dataset.x_train.min() >= 1000
                hashed = provenance.content_hash(
                    dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test, False
                )
                assert contents.setdefault(split, hashed) == hashed == found["content"]
    assert contents["ucr2018"] != contents["ucr2015"]


def test_what_was_never_reversed_is_the_same_in_both_splits() -> None:
    assert archive.passport("GunPoint", split="ucr2015") == archive.passport("GunPoint")


def test_what_the_2015_archive_lacks_is_not_available_in_its_split() -> None:
    with pytest.raises(locate.NotAvailable, match=r"'ACSF1' is not in the 2015 archive: leave archive.split=ucr2015"):
        archive.load("ACSF1", split="ucr2015")
    with pytest.raises(UserError, match=r"archive.split=2015 is not known: use one of ucr2018, ucr2015"):
        archive.load("GunPoint", split="2015")


# ---------------------------------------------------------------- finding


def test_a_mixed_folder(tmp_path: Path) -> None:
    real = rounded(archive.load("GunPoint"), 17)
    write_tsv(tmp_path / "UCRArchive_2018", "GunPoint", *real)
    write_ts(tmp_path, "Mine", TOY_HEADER, "1,2,3:1\n4,5,6:2", "1,2,4:1")
    write_tsv(tmp_path, "Flat", TOY_TRAIN, TOY_TEST, folder=False)
    (tmp_path / "notes.txt").write_text("not a dataset", encoding="utf-8")
    (tmp_path / "Half_TRAIN.csv").write_text("label,t0\n", encoding="utf-8")
    assert locate.find("GunPoint", tmp_path).source == "tsv"
    mine = locate.find("Mine", tmp_path)
    assert (mine.source, mine.paths[0]) == ("ts", tmp_path / "Mine" / "Mine_TRAIN.ts")
    assert locate.user_names(tmp_path) == ["Flat", "Half", "Mine"]  # whoever reads it is told that a half is missing
    assert locate.user_names() == []


@pytest.mark.parametrize("name", ["Half", "../Half", "a\nb", "\x1b[31mred", "a\u202eb", "a\x7f"])
def test_what_is_no_dataset_of_ones_own(tmp_path: Path, name: str) -> None:
    (tmp_path / "Half_TRAIN.csv").write_text("label,t0\n", encoding="utf-8")
    with pytest.raises(UserError, match="is half there" if name == "Half" else "is not a name") as got:
        archive.load(name, tmp_path)
    assert all(sign.isprintable() for sign in str(got.value))


def test_labels_of_two_worlds_are_refused(tmp_path: Path) -> None:
    train: list[Row] = [[1, 1, 2, 3], [2, 4, 5, 6]]
    for test, ok in (([[1, 0, 0, 0], [3, 0, 0, 1]], True), ([[1, 0, 0, 0], [3, 0, 0, 1], [4, 0, 0, 1]], False)):
        root = write_tsv(tmp_path / str(ok), "Toy", train, test)
        if ok:
            assert archive.load("Toy", root).passport["n_classes"] == 3
        else:
            for _ in range(2):  # the cache does not let it in either
                with pytest.raises(UserError, match=r"has 2 of 3 test cases of classes that training lacks, as '3'"):
                    archive.load("Toy", root)


# ---------------------------------------------------------------- duplicates


def test_duplicates_are_counted_and_stay(tmp_path: Path) -> None:
    train: list[Row] = [[1, 1, 2, 3], [2, 4, 5, 6], [2, 7, 8, 9]]
    test: list[Row] = [[1, 1, 2, 3], [2, 1, 2, 3], [2, 4, 5, 6], [1, 0, 0, 0]]
    dataset = archive.load("Toy", write_tsv(tmp_path, "Toy", train, test))
    assert duplicates(dataset) == {"series": 2, "cases": 3, "relabelled": 1}
    assert dataset.passport["n_duplicates"] == 2
    assert (len(dataset.x_train), len(dataset.x_test)) == (3, 4)


# ---------------------------------------------------------------- the content hash


def test_the_hash_is_of_the_content_and_not_of_the_file(tmp_path: Path) -> None:
    train: list[Row] = [["1.0", "0.5", "NaN", "-0.0", "3e0"], ["2", "4", "5", "6", "nan"]]
    a = write_tsv(tmp_path / "a", "Toy", train, TOY_TEST_4)
    b = write_ts(tmp_path / "b", "Toy", TOY_HEADER, "0.50,?,0,3:1\n4,5,6.0,NaN:02", "7,8,9,1:2\n0.001,0,2,?:1")
    c = write_tsv(tmp_path / "c", "Toy", train, TOY_TEST_4)
    text = (c / "Toy" / "Toy_TRAIN.tsv").read_text(encoding="utf-8")
    (c / "Toy" / "Toy_TRAIN.tsv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    one, other, third = (archive.load("Toy", root) for root in (a, b, c))
    assert one.passport["content"] == other.passport["content"] == third.passport["content"]
    np.testing.assert_array_equal(one.x_train, other.x_train)
    assert one.y_train.tolist() == other.y_train.tolist() == ["1", "2"]
    assert one.passport["n_missing"] == 3
    assert not np.signbit(one.x_train[0, 0, 2])


TOY_TEST_4: list[Row] = [[2, 7, 8, 9, 1], [1, 1e-3, 0, 2, NAN]]


def test_padding_is_not_content() -> None:
    y = np.array(["1"])
    narrow, wide = np.array([[[1.0, 2.0]]]), np.array([[[1.0, 2.0, NAN]]])
    assert provenance.content_hash(narrow, y, wide, y, True) == provenance.content_hash(wide, y, narrow, y, True)
    assert provenance.content_hash(narrow, y, narrow, y, False) != provenance.content_hash(wide, y, wide, y, False)


def test_the_bits_of_a_nan_are_not_content() -> None:
    x, y = np.array([[[1.0, NAN, 3.0]]]), np.array(["1"])
    odd = x.copy()
    odd.view(np.uint64)[0, 0, 1] ^= np.uint64(0x8000_0000_0000_0001)
    assert np.isnan(odd[0, 0, 1])
    assert odd.tobytes() != x.tobytes()
    assert provenance.content_hash(odd, y, x, y, False) == provenance.content_hash(x, y, x, y, False)


@pytest.mark.parametrize(
    "change",
    [
        lambda x, y: (np.nextafter(x, 9), y),
        lambda x, y: (x[::-1], y[::-1]),
        lambda x, y: (x[:1], y[:1]),
        lambda x, y: (x.reshape(1, 2, 2), y[:1]),
        lambda x, y: (x.reshape(1, 1, 4), y[:1]),
        lambda x, y: (x, np.array(["2", "1"])),
        lambda x, y: (x, np.array(["12", ""])),
    ],
)
def test_any_change_of_content_changes_the_hash(
    change: Callable[[Float64, Labels], tuple[Float64, Labels]],
) -> None:
    x, y = np.array([[[1.0, 2.0]], [[3.0, 4.0]]]), np.array(["1", "2"])
    other_x, other_y = change(x, y)
    official = provenance.content_hash(x, y, x, y, False)
    assert provenance.content_hash(other_x, other_y, x, y, False) != official
    assert provenance.content_hash(x, y, other_x, other_y, False) != official


# ---------------------------------------------------------------- lengths and labels


def test_nan_only_at_the_ends_of_a_users_cases_means_unequal_length(tmp_path: Path) -> None:
    train = [[1, 5, 6, NAN, NAN, NAN], [2, 7, 8, 9, NAN, NAN]]
    dataset = archive.load("Toy", write_tsv(tmp_path, "Toy", train, [[2, 1, 2, 3, 4, NAN], [1, 1, NAN, NAN, NAN, NAN]]))
    assert dataset.unequal
    assert dataset.x_train.shape == dataset.x_test.shape == (2, 1, 4)  # trimmed over both splits: the test has a 4th
    assert (dataset.passport["length"], dataset.passport["shortest"], dataset.passport["n_missing"]) == (4, 1, 0)


def test_nan_elsewhere_too_means_missing_values(tmp_path: Path) -> None:
    train = [[1, 5, NAN, 7, NAN], [2, 7, 8, 9, NAN]]
    dataset = archive.load("Toy", write_tsv(tmp_path, "Toy", train, [[1, 1, 2, 3, NAN], [2, 1, 2, 3, NAN]]))
    assert not dataset.unequal
    assert dataset.x_train.shape == (2, 1, 4)
    assert (dataset.passport["length"], dataset.passport["n_missing"]) == (4, 5)


def test_nan_at_the_end_is_missing_where_the_official_length_is_equal(tmp_path: Path) -> None:
    # MelbournePedestrian has 18 of its missing values at the ends of cases; the archive calls its length equal.
    train, test = rows(1194, 24, 10), rows(2439, 24, 10)
    for row in train:
        row[-1] = NAN
    for row in test:
        row[-2:] = [NAN, NAN]
    dataset = archive.load("MelbournePedestrian", write_tsv(tmp_path, "MelbournePedestrian", train, test))
    assert not dataset.unequal
    assert dataset.x_train.shape == (1194, 1, 24)
    assert (dataset.passport["shortest"], dataset.passport["n_missing"]) == (24, 1194 + 2 * 2439)


def test_train_and_test_may_differ_in_columns(tmp_path: Path) -> None:
    dataset = archive.load("Toy", write_tsv(tmp_path, "Toy", [[1, 5, 6], [2, 7, 8]], [[1, 1, 2, 3], [2, 4, 5, 6]]))
    assert dataset.unequal
    np.testing.assert_array_equal(dataset.x_train, [[[5, 6, NAN]], [[7, 8, NAN]]])


def test_labels_may_be_text(tmp_path: Path) -> None:
    dataset = archive.load("Toy", write_tsv(tmp_path, "Toy", [["walk", 1, 2], ["run_1", 3, 4]], [["walk", 5, 6]]))
    assert dataset.y_train.tolist() == ["walk", "run_1"]


def test_tsv_is_read_as_numpy_reads_it(archive_root: Path) -> None:
    for name in ("Coffee", "PickupGestureWiimoteZ"):
        dataset = archive.load(name, archive_root)
        table = np.loadtxt(archive_root / name / f"{name}_TRAIN.tsv", delimiter="\t")
        width = dataset.x_train.shape[2]
        np.testing.assert_array_equal(dataset.x_train[:, 0], table[:, 1 : 1 + width])
        assert np.isnan(table[:, 1 + width :]).all()
        assert dataset.y_train.astype(float).tolist() == table[:, 0].tolist()


# ---------------------------------------------------------------- UEA


@pytest.mark.parametrize(
    ("name", "shape", "n_classes", "shortest", "unequal"),
    [("BasicMotions", (40, 6, 100), 4, 100, False), ("JapaneseVowels", (270, 12, 29), 9, 7, True)],
)
def test_real_ts_files_of_several_channels(
    name: str, shape: tuple[int, int, int], n_classes: int, shortest: int, unequal: bool
) -> None:
    dataset = archive.load(name)
    assert dataset.x_train.shape == shape
    assert (dataset.passport["n_classes"], dataset.passport["shortest"]) == (n_classes, shortest)
    assert (dataset.unequal, dataset.passport["n_missing"]) == (unequal, 0)
    expected = {"archive": "UEA2018", "split": "uea2018", "files_split": "uea2018", "source": "sktime"}
    assert dataset.passport.items() >= (expected | {"revision": "corrected"}).items()
    assert "warnings" not in dataset.passport


def cases_of(name: str) -> list[tuple[list[np.ndarray], list[str]]]:
    """Return the training and the test cases of a bundled dataset at their own length, and their labels."""
    real = archive.load(name)
    return [
        ([case[:, :n] for case, n in zip(x, case_lengths(x, real.unequal), strict=True)], list(map(str, y)))
        for x, y in ((real.x_train, real.y_train), (real.x_test, real.y_test))
    ]


@pytest.mark.parametrize("folder", ["", "Multivariate_ts", "Multivariate_arff"])
@pytest.mark.parametrize("kind", formats.SEVERAL_CHANNELS)
@pytest.mark.parametrize("name", ["BasicMotions", "JapaneseVowels"])
def test_uea_from_every_format_and_folder(tmp_path: Path, name: str, kind: str, folder: str) -> None:
    formats.write(tmp_path / folder, name.lower(), kind, *cases_of(name))
    passport = archive.passport(name, tmp_path)
    assert passport == {**archive.passport(name), "source": kind}


def test_uea_of_other_sizes_is_refused(tmp_path: Path) -> None:
    (train, labels), test = cases_of("BasicMotions")
    formats.write(tmp_path / "a", "BasicMotions", "ts", ([case[:5] for case in train], labels), test)
    formats.write(tmp_path / "b", "BasicMotions", "ts", (train[1:], labels[1:]), test)
    five = [([case[:5] for case in cases], classes) for cases, classes in ((train, labels), test)]
    formats.write(tmp_path / "c", "BasicMotions", "ts", *five)
    half = test[0][:28], test[1][:28]
    formats.write(tmp_path / "d", "Coffee", "ts", half, half)
    remedy = "take the official files of the UEA 2018 archive, or give yours another name"
    for root, message in (
        ("a", "has 5 channels in training and 6 in testing: give the same channels in both files"),
        ("b", f"is of 39 training and 40 test cases, not the official 40 and 40: {remedy}"),
        ("c", f"is of 5 channels, not the official 6: {remedy}"),
    ):
        with pytest.raises(UserError, match=rf"^dataset 'BasicMotions' in '.*' {re.escape(message)}$"):
            archive.load("BasicMotions", tmp_path / root)
    with pytest.raises(UserError, match=r"'Coffee' in .* of 6 channels, not the official 1: take .* of the UCR 2018"):
        archive.load("Coffee", tmp_path / "d")


def test_the_early_revision_of_uea_is_told(tmp_path: Path) -> None:
    cases, labels = [np.full((4, 65), float(i)) for i in range(30)], [str(i % 6 + 1) for i in range(30)]
    formats.write(tmp_path, "ERing", "ts", (cases, labels), (cases, labels))
    assert archive.passport("ERing", tmp_path)["revision"] == "early"
    formats.write(tmp_path, "ERing", "arff", (cases, labels), (cases[:20], labels[:20]))
    (tmp_path / "ERing" / "ERing_TRAIN.ts").unlink()
    (tmp_path / "ERing" / "ERing_TEST.ts").unlink()
    with pytest.raises(UserError, match="of 30 training and 20 test cases, not the official 30 and 270"):
        archive.passport("ERing", tmp_path)


def test_uea_is_not_in_the_archive_of_2015_and_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(locate.NotAvailable, match=r"'BasicMotions' is not in the 2015 archive: leave archive\.split="):
        archive.load("BasicMotions", split="ucr2015")
    with pytest.raises(locate.NotAvailable, match=r"aeon-toolkit/Libras\.zip .* that holds Libras/Libras_TRAIN\.ts$"):
        archive.load("Libras", tmp_path)


def test_train_and_test_must_agree_in_channels(tmp_path: Path) -> None:
    write_ts(tmp_path, "Toy", "@classLabel true 1 2", "1,2:3,4:1", "1,2:1")
    with pytest.raises(UserError, match=r"'Toy' in .* has 2 channels in training and 1 in testing: give the same"):
        archive.load("Toy", tmp_path)


# ---------------------------------------------------------------- the cache


def the_one_file(cache: Path) -> Path:
    (path,) = cache.iterdir()  # also says that no temporary file was left
    return path


def test_the_second_read_is_from_the_cache(toy: Path, own_cache: Path) -> None:
    first = archive.load("Toy", toy)
    kept = the_one_file(own_cache)
    changed = first.x_train + 1
    content = provenance.content_hash(changed, first.y_train, first.x_test, first.y_test, first.unequal)
    with np.load(kept) as parts:
        passport = {**json.loads(str(parts["passport"])), "content": content}
        np.savez(kept, **{**parts, "x_train": changed, "passport": json.dumps(passport)})
    second = archive.load("Toy", toy)
    np.testing.assert_array_equal(second.x_train, changed)  # so the files were not read
    assert second.passport == archive.passport("Toy", toy) == {**first.passport, "content": content}
    assert (second.name, second.unequal) == (first.name, first.unequal)
    np.testing.assert_array_equal(second.y_test, first.y_test)


def test_a_cache_whose_arrays_do_not_match_its_passport_is_not_used(toy: Path, own_cache: Path) -> None:
    first = archive.load("Toy", toy)
    kept = the_one_file(own_cache)
    with np.load(kept) as parts:
        np.savez(kept, **{**parts, "y_train": parts["y_train"][::-1]})
    second = archive.load("Toy", toy)
    np.testing.assert_array_equal(second.y_train, first.y_train)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no permissions here")
@pytest.mark.parametrize("of", ["file", "folder"])
def test_a_cache_that_others_can_write_to_is_not_used(
    of: str, toy: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A planted file may hold other labels under a passport that fits them."""
    first = archive.load("Toy", toy)
    kept = the_one_file(own_cache)
    labels = first.y_train[::-1]
    content = provenance.content_hash(first.x_train, labels, first.x_test, first.y_test, first.unequal)
    with np.load(kept) as parts:
        passport = {**json.loads(str(parts["passport"])), "content": content}
        np.savez(kept, **{**parts, "y_train": labels, "passport": json.dumps(passport)})
    assert archive.passport("Toy", toy)["content"] == content  # as long as nobody else could write it
    (kept if of == "file" else own_cache).chmod(0o777)
    assert archive.passport("Toy", toy) == first.passport
    np.testing.assert_array_equal(archive.load("Toy", toy).y_train, first.y_train)
    expected = f"cache folder '{own_cache}' is not used, other users can write to it: remove their permission"
    assert capsys.readouterr().err.startswith(expected) == (of == "folder")


def test_a_passport_needs_no_second_read(toy: Path, own_cache: Path) -> None:
    first = archive.passport("Toy", toy)
    kept = the_one_file(own_cache)
    with np.load(kept) as parts:
        np.savez(
            kept,
            stamp=parts["stamp"],
            passport=np.array(json.dumps({**first, "n_train": 7, "unequal": False})),
        )
    assert archive.passport("Toy", toy)["n_train"] == 7


def test_changed_files_are_read_again(toy: Path, own_cache: Path) -> None:
    before = archive.load("Toy", toy)
    path = toy / "Toy" / "Toy_TRAIN.tsv"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("0.5", "0.7"), encoding="utf-8")  # as many bytes
    age(path, seconds=1800)
    after = archive.load("Toy", toy)
    assert (before.x_train[0, 0, 0], after.x_train[0, 0, 0]) == (0.5, 0.7)
    assert before.passport["content"] != after.passport["content"] == archive.passport("Toy", toy)["content"]
    the_one_file(own_cache)  # the newer has replaced the older


def test_files_changed_a_moment_ago_are_not_kept(toy: Path, own_cache: Path) -> None:
    # A second change within one tick of the clock, of as many bytes, would go unseen.
    age(toy / "Toy" / "Toy_TRAIN.tsv", seconds=0)
    archive.load("Toy", toy)
    assert not own_cache.exists()


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "flipped", "pickle", "other"])
def test_a_damaged_cache_is_made_again(toy: Path, own_cache: Path, damage: str) -> None:
    first = archive.load("Toy", toy)
    kept = the_one_file(own_cache)
    whole = kept.read_bytes()
    if damage == "empty":
        kept.write_bytes(b"")
    elif damage == "text":
        kept.write_bytes(b"not a cache")
    elif damage == "truncated":
        kept.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        at = whole.index(first.x_train.tobytes())
        kept.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    elif damage == "pickle":
        np.savez(kept, stamp=np.array([object()]), passport=np.array([object()]))
    else:
        np.savez(kept, something=np.zeros(3))
    for read in (archive.load("Toy", toy), archive.load("Toy", toy)):
        np.testing.assert_array_equal(read.x_train, first.x_train)
        assert read.passport == first.passport
    assert archive.passport("Toy", toy) == first.passport
    with np.load(the_one_file(own_cache)) as parts:
        np.testing.assert_array_equal(parts["x_train"], first.x_train)


def test_a_cache_that_cannot_be_written_is_done_without(toy: Path, own_cache: Path) -> None:
    own_cache.write_text("a file where the folder should be", encoding="utf-8")
    assert archive.load("Toy", toy).passport["n_train"] == 2
    assert archive.passport("Toy", toy)["n_train"] == 2


def test_the_cache_lies_in_the_home_folder_unless_told(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TSFCN_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    archive.load("Toy", toy)
    assert the_one_file(tmp_path / "home" / ".cache" / "tsfcn").name.startswith("Toy-")


def test_two_archives_do_not_share_a_cache(toy: Path, tmp_path: Path) -> None:
    other = write_tsv(tmp_path / "other", "Toy", TOY_TEST, TOY_TRAIN)
    for _ in range(2):
        assert archive.load("Toy", toy).y_train.tolist() == ["1", "2"]
        assert archive.load("Toy", other).y_train.tolist() == ["2", "1"]


READ_IN_TURN = """
import sys
from tsfcn.data import archive
for _ in range(int(sys.argv[2])):
    print(archive.load("Toy", sys.argv[1]).x_train.sum(), archive.passport("Toy", sys.argv[1])["n_train"], flush=True)
"""


def test_the_cache_is_safe_with_many_processes_and_a_crash(toy: Path, own_cache: Path) -> None:
    archive.load("Toy", toy)
    cached = the_one_file(own_cache)
    left = own_cache / ".Toy-left.tmp"
    left.write_bytes(b"half")
    age(left, cache.ABANDONED_SECONDS + 60)
    fresh = own_cache / ".Toy-fresh.tmp"
    fresh.write_bytes(b"being written")
    command = [sys.executable, "-c", READ_IN_TURN, str(toy)]
    victim = subprocess.Popen([*command, "100000"], stdout=subprocess.PIPE)
    others = [subprocess.Popen([*command, "150"], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert victim.stdout is not None
    victim.stdout.readline()
    for i in range(30):  # readers find it gone, whole or broken, and write it again
        cached.unlink(missing_ok=True) if i % 2 else cached.write_bytes(b"PK broken")
        time.sleep(0.02)
    victim.kill()
    victim.wait()
    victim.stdout.close()
    for other in others:
        said = other.communicate(timeout=60)[0].splitlines()
        assert (other.returncode, len(said), set(said)) == (0, 150, {"17.25 2"})
    cached.unlink(missing_ok=True)
    archive.load("Toy", toy)
    assert not left.exists()
    assert fresh.exists()


# ---------------------------------------------------------------- the whole archive


def n_common(train: Float64, test: Float64) -> int:
    """Count the distinct test series that are a training series too."""
    return len(set(map(bytes, train)) & set(map(bytes, test)))


@pytest.mark.parametrize(("name", "n"), [("InsectEPGSmallTrain", 15), ("ToeSegmentation1", 4), ("Worms", 10)])
def test_duplicates_between_train_and_test_stay(archive_root: Path, name: str, n: int) -> None:
    dataset = archive.load(name, archive_root)
    assert n_common(dataset.x_train, dataset.x_test) == n
    assert len(dataset.x_test) == catalogue.CATALOGUE[name].n_test


def test_regular_and_small_train_share_their_test_set(archive_root: Path) -> None:
    regular, small = (archive.load(f"InsectEPG{size}Train", archive_root) for size in ("Regular", "Small"))
    np.testing.assert_array_equal(regular.x_test, small.x_test)
    assert len(regular.x_train) != len(small.x_train)


def test_every_archive_of_wiimote_gestures_is_trimmed_to_its_longest_case(archive_root: Path) -> None:
    dataset = archive.load("AllGestureWiimoteX", archive_root)
    assert dataset.x_train.shape == (300, 1, 385)
    assert dataset.x_test.shape == (700, 1, 385)
    assert (dataset.passport["length"], dataset.passport["shortest"]) == (385, 2)


def test_every_dataset_of_little_text_is_the_official_one(archive_root: Path, own_cache: Path) -> None:
    # All that are there pass, too; reading 640 MB of text takes half a minute that other tests need more.
    own_cache.write_text("no cache: nothing is read twice", encoding="utf-8")
    here = [name for name in catalogue.CATALOGUE if 0 < n_bytes(archive_root / name) <= 2_000_000]
    assert here
    for name in here:
        dataset = archive.load(name, archive_root)
        facts = catalogue.CATALOGUE[name]
        found = dataset.passport
        assert (found["archive"], found["revision"], found["length"]) == ("UCR2018", "corrected", facts.length), name
        assert (dataset.unequal, found["n_missing"] != 0) == (facts.unequal, facts.missing), name
        assert set(dataset.y_train) == set(dataset.y_test), name  # no label occurs in one split only


def n_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*"))
