"""The table of facts against sizes known from elsewhere, and what every form of selection means."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tsfcn.common.errors import UserError
from tsfcn.data.catalogue import CATALOGUE, OFFICIAL_SPLITS, OLD_NAMES, SETS, UCR, UEA, select


def test_sets_have_their_known_sizes() -> None:
    sizes = {name: len(members) for name, members in SETS.items()}
    assert sizes == {
        "all": 128,
        "ucr85": 85,
        "ucr44": 44,
        "same_split": 71,
        "bundled": 7,
        "default": 3,
        "small": 30,
        "equal_length": 117,
        "missing": 4,
        "unequal": 11,
        "uea": 30,
        "uea_equal": 26,
        "uea_unequal": 4,
    }


def test_sets_hold_datasets_once_and_nest() -> None:
    for members in SETS.values():
        assert len(set(members)) == len(members)
        assert set(members) <= set(CATALOGUE)
    assert set(SETS["ucr44"]) <= set(SETS["same_split"]) <= set(SETS["ucr85"])
    assert set(SETS["default"]) <= set(SETS["bundled"])
    assert "PLAID" not in SETS["bundled"], "sktime bundles another revision of it"
    assert not set(SETS["all"]) & set(SETS["uea"])
    assert set(SETS["uea"]) == set(SETS["uea_equal"]) | set(SETS["uea_unequal"])
    multivariate = {name for name, facts in CATALOGUE.items() if facts.n_channels > 1}
    assert multivariate == set(SETS["uea"])
    assert [name for name, names in SETS.items() if multivariate & set(names)] == [
        *("bundled", "uea", "uea_equal", "uea_unequal")
    ]


def test_facts_of_a_dataset_that_was_swapped() -> None:
    ford = CATALOGUE["FordA"]
    assert (ford.n_train, ford.n_test, ford.n_classes, ford.length, ford.type) == (3601, 1320, 2, 500, "Sensor")
    assert ford.in_ucr85
    assert not ford.in_ucr44
    assert ford.split_swapped_in_2015
    assert not ford.bundled
    assert ford.n_timepoints == 1_800_500


def test_sizes_are_those_of_the_corrected_revision() -> None:
    assert CATALOGUE["Chinatown"].n_test == 343
    assert (CATALOGUE["MelbournePedestrian"].n_train, CATALOGUE["MelbournePedestrian"].n_test) == (1194, 2439)


def test_official_errors_are_multiples_of_one_test_case() -> None:
    # Every error is k / n_test printed with four decimals: a slipped row or a wrong size would not fit.
    printed_with_three = set()
    for facts in (CATALOGUE[name] for name in SETS["all"]):
        for error in (facts.ed_error, facts.dtw_error, facts.dtw_full_error):
            assert 0 <= error < 1
            off = abs(error * facts.n_test - round(error * facts.n_test))
            assert off <= 0.5e-3 * facts.n_test, facts.name
            if off > 0.5e-4 * facts.n_test + 1e-9:
                printed_with_three.add((facts.name, error))
        assert 0 <= facts.dtw_window <= 100
    # The summary itself rounds these two harder.
    assert printed_with_three == {("NonInvasiveFetalECGThorax2", 0.129), ("ShapesAll", 0.198)}


def test_order_is_alphabetical_within_an_archive() -> None:
    assert list(CATALOGUE) == [*sorted(SETS["all"]), *sorted(SETS["uea"])]
    for name, members in SETS.items():
        if name != "default":
            assert list(members) == sorted(members, key=list(CATALOGUE).index)


def test_each_archive_has_one_official_split() -> None:
    assert [CATALOGUE[name].split for name in ("Coffee", "BasicMotions")] == list(OFFICIAL_SPLITS)
    assert {facts.archive for facts in CATALOGUE.values()} == {UCR, UEA}
    for facts in (CATALOGUE[name] for name in SETS["uea"]):
        assert not (facts.missing or facts.in_ucr85 or facts.in_ucr44 or facts.split_swapped_in_2015)
        assert np.isnan([facts.ed_error, facts.dtw_error, facts.dtw_full_error]).all()


@pytest.mark.parametrize(
    ("name", "sizes"),
    [  # train, test, channels, classes, timepoints: where the table of the paper is wrong for the corrected files
        ("ERing", (30, 270, 4, 6, 65)),
        ("DuckDuckGeese", (50, 50, 1345, 5, 270)),
        ("InsectWingbeat", (25_000, 25_000, 200, 10, 22)),
        ("Epilepsy", (137, 138, 3, 4, 206)),
        ("PEMS-SF", (267, 173, 963, 7, 144)),
    ],
)
def test_sizes_of_uea_are_those_of_the_corrected_files(name: str, sizes: tuple[int, ...]) -> None:
    facts = CATALOGUE[name]
    assert (facts.n_train, facts.n_test, facts.n_channels, facts.n_classes, facts.length) == sizes


def test_small_is_cheaper_than_whatever_it_leaves_out() -> None:
    assert not set(SETS["small"]) & (set(SETS["missing"]) | set(SETS["unequal"]))
    left_out = set(SETS["equal_length"]) - set(SETS["missing"]) - set(SETS["small"])
    dearest = max(CATALOGUE[name].n_train * CATALOGUE[name].length for name in SETS["small"])
    assert dearest <= min(CATALOGUE[name].n_train * CATALOGUE[name].length for name in left_out)
    assert "SmoothSubspace" in SETS["small"]
    assert "DodgerLoopGame" not in SETS["small"]


def test_old_names_lead_to_datasets_and_hide_none() -> None:
    assert set(OLD_NAMES.values()) <= set(CATALOGUE)
    assert not set(OLD_NAMES) & set(CATALOGUE)
    assert OLD_NAMES["NonInvasiveFatalECG_Thorax1"] == "NonInvasiveFetalECGThorax1"


@pytest.mark.parametrize(
    ("dataset", "exclude", "expected"),
    [
        ("Coffee", (), ["Coffee"]),
        ("default", (), ["ItalyPowerDemand", "GunPoint", "ArrowHead"]),
        ("GunPoint*", (), ["GunPoint", "GunPointAgeSpan", "GunPointMaleVersusFemale", "GunPointOldVersusYoung"]),
        ("Pig[AC]*", "PigArt*", ["PigAirwayPressure", "PigCVP"]),
        (["Coffee", "Beef", "Coffee"], (), ["Coffee", "Beef"]),
        (("Wine", "bundled"), ["OSULeaf", "uea"], ["Wine", "ACSF1", "ArrowHead", "GunPoint", "ItalyPowerDemand"]),
        ("BasicMotions", (), ["BasicMotions"]),
        ("Cricket*", (), ["CricketX", "CricketY", "CricketZ", "Cricket"]),
        ("uea", "uea_equal", ["CharacterTrajectories", "InsectWingbeat", "JapaneseVowels", "SpokenArabicDigits"]),
        (["Coffee"], "missing", ["Coffee"]),
    ],
)
def test_select(dataset: object, exclude: object, expected: list[str]) -> None:
    assert select(dataset, exclude) == expected


def test_select_all_but_the_odd_files() -> None:
    assert len(select("all", ["missing", "unequal"])) == 128 - 4 - 11


@pytest.mark.parametrize(
    ("dataset", "exclude", "message"),
    [
        ("Cofee", (), "dataset 'Cofee' is not in the archive; did you mean 'Coffee'?"),
        ("coffee", (), "dataset 'coffee' is not in the archive; did you mean 'Coffee'?"),
        ("UCR85", (), "dataset 'UCR85' is not in the archive; did you mean 'ucr85'?"),
        ("UEA", (), "dataset 'UEA' is not in the archive; did you mean 'uea'?"),
        ("basicmotion", (), "dataset 'basicmotion' is not in the archive; did you mean 'BasicMotions'?"),
        ("PEMSSF", (), "dataset 'PEMSSF' is not in the archive; did you mean 'PEMS-SF'?"),
        ("smal", (), "dataset 'smal' is not in the archive; did you mean 'small'?"),
        ("50words", (), "dataset '50words' is the old name of 'FiftyWords': write that"),
        ("lighting2", (), "dataset 'lighting2' is the old name of 'Lightning2': write that"),
        (["Coffee", "Bef"], (), "dataset 'Bef' is not in the archive; did you mean 'Beef'?"),
        ("Coffee", ["Bef"], "exclude 'Bef' is not in the archive; did you mean 'Beef'?"),
        ("Coffee,Beef", (), "dataset 'Coffee,Beef' is one text with a comma: write a list, [Coffee,Beef]"),
        ("Zz*", (), "dataset 'Zz*' matches no dataset: a glob is compared with names as in 'GunPoint*'"),
        ("Coffee", "all", "exclude 'all' leaves nothing of dataset 'Coffee': exclude less"),
        (3, (), "dataset 3 is of type int: write a name, a set, a glob or a list of these"),
        (["Coffee", 3], (), "dataset 3 in a list is of type int: write a name, a set or a glob"),
        (None, (), "dataset None is nothing: write a name, a set, a glob or a list of these"),
        ({"Coffee": 1}, (), "dataset {'Coffee': 1} is of type dict: write a name, a set, a glob or a list of these"),
    ],
)
def test_mistakes_are_told_in_one_line(dataset: object, exclude: object, message: str) -> None:
    with pytest.raises(UserError) as caught:
        select(dataset, exclude)
    assert str(caught.value) == message


@pytest.mark.parametrize(("dataset", "start"), [([], "dataset [] selects nothing: "), ("", "dataset '' is not in ")])
def test_an_empty_selection_is_a_mistake(dataset: object, start: str) -> None:
    with pytest.raises(UserError) as caught:
        select(dataset)
    assert str(caught.value).startswith(start)
    assert "small" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_import_needs_no_heavy_library() -> None:
    code = (
        "import sys, tsfcn.data.catalogue; "
        "print([m for m in ('numpy', 'pandas', 'torch', 'sktime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _lengths_and_inner_gaps(file: Path) -> tuple[list[int], int]:
    """Length of each series without its NaN tail, and the number of NaN before that tail."""
    lengths, gaps = [], 0
    for line in file.read_text(encoding="utf-8").splitlines():
        values = line.split("\t")[1:]
        while values and values[-1].lower() == "nan":
            values.pop()
        lengths.append(len(values))
        gaps += sum(value.lower() == "nan" for value in values)
    return lengths, gaps


@pytest.mark.parametrize(
    "name",
    ["Coffee", "DodgerLoopDay", "ShakeGestureWiimoteZ", "PickupGestureWiimoteZ", "AllGestureWiimoteY", "Chinatown"],
)
def test_facts_are_those_of_the_files(archive_root: Path, name: str) -> None:
    facts = CATALOGUE[name]
    train, train_gaps = _lengths_and_inner_gaps(archive_root / name / f"{name}_TRAIN.tsv")
    test, test_gaps = _lengths_and_inner_gaps(archive_root / name / f"{name}_TEST.tsv")
    assert (len(train), len(test)) == (facts.n_train, facts.n_test)
    assert max(train + test) == facts.length
    assert (train_gaps + test_gaps > 0) == facts.missing
    if not facts.missing:  # a gap at the end of a series cannot be told from a shorter series
        assert (min(train + test) < facts.length) == facts.unequal


@pytest.mark.parametrize("name", ["Coffee", "ItalyPowerDemand", "GunPoint", "ArrowHead"])
def test_nearest_neighbour_errors_are_those_of_the_files(archive_root: Path, name: str) -> None:
    train = np.loadtxt(archive_root / name / f"{name}_TRAIN.tsv")
    test = np.loadtxt(archive_root / name / f"{name}_TEST.tsv")
    # (n_test, n_train) squared distances over the timepoints; column 0 is the label.
    distance = ((test[:, None, 1:] - train[None, :, 1:]) ** 2).sum(axis=2)
    wrong = train[distance.argmin(axis=1), 0] != test[:, 0]
    assert wrong.mean() == pytest.approx(CATALOGUE[name].ed_error, abs=0.5e-4)
