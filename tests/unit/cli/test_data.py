"""The verbs of `tsfcn data` that look at what is here: list, verify, show."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests import formats
from tsfcn.cli import data
from tsfcn.data import archive


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an archive of GunPoint, official but in other files, of 5 digits as ItalyPowerDemand, and of one's own."""
    folder = tmp_path / "archive"
    for name, digits in (("GunPoint", 17), ("ItalyPowerDemand", 5)):
        real = archive.load(name)
        train, test = (
            ([np.array([[float(f"{v:.{digits}g}") for v in case[0]]]) for case in x], list(map(str, y)))
            for x, y in ((real.x_train, real.y_train), (real.x_test, real.y_test))
        )
        formats.write(folder, name, "arff", train, test)
    cases = [np.arange(6.0).reshape(2, 3), np.ones((2, 2))]
    formats.write(folder, "Mine", "ts", (cases, ["a", "b"]), (cases[:1], ["a"]))
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Return exit code, output and errors of the command."""
    code = data.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_list_tells_what_is_here_and_where(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    code, out, _ = said(capsys, "list", "--root", root)
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert code == 0
    assert len(out.split("\n\n")[0].splitlines()) == 1 + 128 + 30 + 1
    assert lines["GunPoint"].endswith("arff")
    assert lines["OSULeaf"].endswith("sktime")
    assert lines["Mine"].split() == ["Mine", "your", "own", "ts"]
    assert "reversed in 2015" in lines["FordA"] and "unequal length" in lines["PLAID"]
    assert lines["PEMS-SF"].split() == ["PEMS-SF", "Other", "267", "173", "963", "144", "7"]
    assert lines["JapaneseVowels"].split()[-3:] == ["unequal", "length", "sktime"]
    assert "8 of 159 are present" in out
    assert said(capsys, "list", "GunPoint", "--root", root)[1].endswith("1 of 1 are present\n")


def test_verify_names_every_dataset_with_its_revision(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    code, out, _ = said(capsys, "verify", "--root", root)
    assert code == 0
    told = {line.split("  ")[0]: re.split(r"\s{2,}", line)[1:3] for line in out.splitlines() if "  " in line}
    assert told["GunPoint"] == ["official 2018, corrected revision", "arff"]
    assert told["ItalyPowerDemand"] == ["official 2018 values, rounded", "arff"]
    assert told["Mine"] == ["your own data", "ts"]
    assert told["OSULeaf"] == told["GunPoint (sktime)"] == ["official 2018, corrected revision", "sktime"]
    assert told["ItalyPowerDemand (sktime)"][0] == "official 2018, corrected revision; differs from yours"
    assert told["PLAID (sktime)"] == ["early revision of 2018", "sktime"]
    assert "8 datasets read: 6 official 2018, corrected revision; 1 official 2018 values, rounded; 1 y" in out
    assert "151 not present: Adiac, " in out


def test_verify_fails_where_something_is_wrong(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    (root / "Mine" / "Mine_TEST.ts").write_text("@data\n1:2\n", encoding="utf-8")
    code, out, _ = said(capsys, "verify", "Mine", "GunPoint", "--root", root)
    assert code == 1
    assert f"error: Mine: dataset 'Mine' in '{root / 'Mine'}' has 2 channels in training and 1 in testing: give" in out
    assert "2 datasets read: 1 official 2018, corrected revision; 1 wrong" in out
    flipped = root / "GunPoint" / "GunPoint_TEST.arff"
    flipped.write_text(flipped.read_text().replace(",1\n", ",3\n").replace("{1,2}", "{3,2}"), encoding="utf-8")
    code, out, _ = said(capsys, "verify", "GunPoint", "--root", root)
    assert code == 1
    assert "is of 3 classes, not the official 2" in out
    assert said(capsys, "verify", "Coffee", "--root", root)[0] == 1  # nothing was verified


def test_show_draws_and_tells(capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path) -> None:
    picture = tmp_path / "pictures" / "gun.svg"
    code, out, _ = said(capsys, "show", "GunPoint", "--root", root, "--height", 3, "--svg", picture)
    assert code == 0
    assert "GunPoint, Motion: official 2018, corrected revision" in out
    assert "class 1: 24 training and 76 test cases" in out
    assert sum(any(0x2800 < ord(ch) < 0x2900 for ch in line) for line in out.splitlines()) == 6
    assert f"content       {archive.load('GunPoint').passport['content']}" in out
    assert "normalisation  series" in out
    assert picture.read_text().startswith("<svg")
    out = said(capsys, "show", "Mine", "--root", root, "--protocol", "wang2017")[1]
    assert "first channel of 2" in out
    assert "1 test cases (1 distinct series) are also training cases, 0 of them with another class" in out
    assert "length         pad       1 cases padded, 0 cut; 3 timepoints" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "Cofee"], "error: dataset 'Cofee' is not in the archive; did you mean 'Coffee'?"),
        (["verify", "Gun*", "Foo*"], "error: dataset 'Foo*' matches no dataset"),
        (["show", "Coffee"], "error: dataset 'Coffee' is not available, "),
        (["show", "small"], "error: dataset 'small' is a selection of 30 datasets: give the name of one"),
        (
            ["show", "GunPoint", "--protocol", "fawaz"],
            "error: protocol 'fawaz' is not known: did you mean 'fawaz2019'?",
        ),
        (["show", "ACSF1", "--split", "ucr2015"], "error: dataset 'ACSF1' is not in the 2015 archive"),
        (["list", "--root", "/none"], "error: archive.root '/none' is not a folder"),
        (["show", "GunPoint", "--svg", "/proc/none/x.svg"], "error: file '/proc/none/x.svg' is not writable ("),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    code, _, err = said(capsys, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(message)
