"""Readers: every format gives the same cases and labels, and a file that cannot be read is named with its line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import formats
from tsfcn.common.errors import UserError
from tsfcn.data import archive, provenance
from tsfcn.data.formats import Float64, canonical_label, read

NAN = float("nan")


def refused(path: Path, text: str, message: str) -> None:
    """Assert that a file with this text is refused with one line that names the file and says `message`."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as got:
        read(path)
    assert str(got.value).startswith(f"file '{path}' ")
    assert message in str(got.value)
    assert "\n" not in str(got.value)


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("1.0000000e+00", "1"),
        ("-1", "-1"),
        ("+1", "1"),
        ("-0", "0"),
        ("007", "7"),
        ("1.50", "1.5"),
        ("1e2", "100"),
        ("12345678901234567891", "12345678901234567891"),  # as a float, another number
        ("1e999", "1e999"),
        ("1_0", "1_0"),  # Python would read 10
        ("nan", "nan"),
        ("٣", "٣"),
        ("0x1", "0x1"),
        ("class 1", "class 1"),
    ],
)
def test_labels_have_one_spelling(text: str, label: str) -> None:
    assert canonical_label(text) == label


# ---------------------------------------------------------------- .tsv


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no cases: write or download it again"),
        ("\n \n", "has no cases"),
        ("1\t2\t3\n2\t4\n", "line 2 has 2 columns: the lines before it have 3, end short cases with NaN"),
        ("1\t2\t3\n\n2\t4\t5\t6\n", "line 3 has 4 columns"),
        ("1\t2\tx\n", "line 1 column 3 is 'x': write a number, or NaN for a missing value"),
        ("1\t2\t?\n", "column 3 is '?'"),
        ("1\t2\t\n1\t2\t3\n", "line 1 column 3 is '': write a number"),
        ("1\t1_0\t3\n", "column 2 is '1_0'"),
        ("1\t2\tinf\n", "column 3 is 'inf'"),
        ("1\t2\0\t3\n", r"column 2 is '2\x00'"),
        ("1\t2\t3\x1f\n", r"column 3 is '3\x1f'"),
        ("1\t2\t1e999\n", "column 3 is '1e999': too large for float64"),
        ("1\t2\t3\n\t2\t3\n", "line 2 has no label"),
        ("1\t2\t3\nNaN\t2\t3\n", "line 2 has no label"),
        ("1\t2\t3\n?\t2\t3\n", "line 2 has no label"),
        ("1,2,3;4\n", "line 1 column 3 is '3;4': write a number"),
        ("walk\n", "line 1 has one column: write label and values with tabs, commas or blanks between them"),
        ("@problemName Toy\n", "has no cases"),
        ("1\t2\t3\n\0\0\0\0\0\0\0\0", "line 2 has one column: the lines before it have 3"),
    ],
)
def test_a_tsv_that_cannot_be_read_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    refused(tmp_path / "Toy_TEST.tsv", text, message)


def test_a_file_without_rights_is_told(tmp_path: Path) -> None:
    path = tmp_path / "Toy_TEST.tsv"
    path.write_text("1\t2\n", encoding="utf-8")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything: no file without rights to test on")
    with pytest.raises(UserError, match=r"is not readable \(Permission denied\)"):
        read(path)


def test_numbers_are_read_exactly(tmp_path: Path) -> None:
    values = np.random.RandomState(0).standard_normal((20, 30)) * 10.0 ** np.arange(-15, 15)
    path = tmp_path / "Toy_TRAIN.tsv"
    path.write_text("".join("1\t" + "\t".join(f"{v:.17g}" for v in row) + "\n" for row in values), encoding="utf-8")
    np.testing.assert_array_equal(np.concatenate(read(path).cases), values)


# ---------------------------------------------------------------- the .ts format


def test_ts_with_channels_lengths_and_gaps(tmp_path: Path) -> None:
    header = "# a comment, ünïcode\n\n@PROBLEMNAME Toy\n@TimeStamps FALSE\n@dimensions 2\n@classlabel TRUE b a\n@DATA\n"
    path = tmp_path / "Toy_TRAIN.ts"
    path.write_text(header + "1,2,3 : 4,?,6:a\n# in between\n7:8:b\n 1,2 , 3,4:5,6,7,NaN:b\n", encoding="utf-8")
    split = read(path)
    expected = [[[1, 2, 3], [4, NAN, 6]], [[7], [8]], [[1, 2, 3, 4], [5, 6, 7, NAN]]]
    for case, values in zip(split.cases, expected, strict=True):
        np.testing.assert_array_equal(case, values)
    assert split.labels == ["a", "b", "b"]


@pytest.mark.parametrize(
    ("header", "body", "message"),
    [
        (
            "@timeStamps TRUE\n@classLabel true 1 2",
            "(0,1),(1,2):1",
            "line 1 is '@timeStamps TRUE': files with time stamps",
        ),
        ("@classLabel true 1 2", "(2020-01-01,1),(2020-01-02,2):1", "line 3 has time stamps"),
        ("@targetlabel true", "1,2:0.5", "line 1 is '@targetlabel true': this is regression"),
        ("@classLabel false", "1,2", "line 1 is '@classLabel false': this dataset has no classes"),
        ("@classLabel true 1 2", "1,2,3", "line 3 has no label: end it with ':' and the class"),
        ("@classLabel true 1 2", "1,2,3:", "line 3 has no label"),
        ("@classLabel true 1 2", "1,2,3:?", "line 3 has no label"),
        ("@classLabel true 1 2", "1,2:1\n\n1,2:3", "line 5 is of class '3': '@classLabel' does not name it"),
        ("@classLabel true 1 2", "1,x:1", "line 3 column 2 is 'x': write a number"),
        ("@classLabel true 1 2", "1,2:3,4:1\n1,2:2", "line 4 has 1 channels: the file has 2"),
        ("@dimensions 3\n@classLabel true 1 2", "1,2:3,4:1", "line 4 has 2 channels: the file has 3"),
        ("@classLabel true 1 2", "1,2:3:1", "line 3 has channels that differ in length"),
        ("@classLabel true 1 2", "", "has no cases: write or download it again"),
        ("1,2:1", "1,2:1", "line 1 is neither '@' header nor '#' comment: put '@data' before the first case"),
    ],
)
def test_a_ts_that_cannot_be_read_is_named_with_its_line(tmp_path: Path, header: str, body: str, message: str) -> None:
    refused(tmp_path / "Toy_TRAIN.ts", f"{header}\n@data\n{body}\n", message)


# ---------------------------------------------------------------- the other formats


def test_the_layout_of_2015_and_its_like(tmp_path: Path) -> None:
    for name, text in (
        ("Toy_TRAIN", "1,0.5,-1.25\n-1.0,3,NaN\n"),
        ("Blanks_TRAIN.txt", "  1.0000000e+00  5.0e-01  -1.25\n -1  3  NaN\n"),
        ("Tabs_TRAIN.txt", "1\t0.5\t-1.25\n-1\t3\tNaN\n"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        split = read(tmp_path / name)
        np.testing.assert_array_equal(split.cases, [[[0.5, -1.25]], [[3, NAN]]])
        assert split.labels == ["1", "-1"]


@pytest.mark.parametrize(
    "text",
    [
        "label,t0,t1\na,1,2\nb,,3\n",
        "t0,t1,Target\n1,2,a\n?,3,b\n",
        't0,"CLASS",t1\n1,"a",2\nNaN,"b",3\n',
        "a,1,2\nb,,3\n",
    ],
)
def test_a_csv_says_where_its_labels_are(tmp_path: Path, text: str) -> None:
    path = tmp_path / "Toy_TRAIN.csv"
    path.write_text(text, encoding="utf-8")
    split = read(path)
    np.testing.assert_array_equal(split.cases, [[[1, 2]], [[NAN, 3]]])
    assert split.labels == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no cases"),
        ("label,t0\n", "has no cases"),
        ("walk\n", "line 1 has one column: write label and values with tabs, commas or blanks between them"),
        ("label,class,t0\na,b,1\n", "line 1 has 2 columns of labels"),
        ("name,t0,t1\na,1,2\n", "line 1 is neither a case nor a header with a label column: call that one 'label'"),
        ("label,t0,t1\na,1,2\nb,1\n", "line 3 has 2 columns: the lines before it have 3"),
        ("t0,label\n1,\n", "line 2 has no label: write it in column 2"),
        ("label,t0\nnan,1\n", "line 2 has no label: write it in column 1"),
        ("labels,0,1,2\na,5,6,7\n", "line 1 seems to be a header, whose columns have numbers for names"),
        (",label,0,1\n0,a,5,6\n", "line 1 has a column without a name: leave out row numbers"),
        ("label,t0,t1\na,1,x\n", "line 2 column 3 is 'x': write a number"),
        ("t0,t1,label\n1,x,a\n", "line 2 column 2 is 'x': write a number"),
    ],
)
def test_a_csv_that_cannot_be_read_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    refused(tmp_path / "Toy_TRAIN.csv", text, message)


TWO_VALUES = "@attribute t0 numeric\n@attribute t1 numeric\n@attribute target {a,b}"
RELATIONAL = "@attribute s relational\n@attribute t0 numeric\n@end s\n@attribute target {a,b}"


def test_arff_with_quotes_comments_and_channels(tmp_path: Path) -> None:
    one = tmp_path / "One_TRAIN.arff"
    one.write_text(
        "% about\n@RELATION toy\n@ATTRIBUTE t0 REAL\n@attribute t1 numeric\n@attribute class {'a b', 2.0}\n\n@DATA\n"
        "1,?,'a b'\n% in between\n3 , 4, 2\n",
        encoding="utf-8",
    )
    split = read(one)
    np.testing.assert_array_equal(split.cases, [[[1, NAN]], [[3, 4]]])
    assert split.labels == ["a b", "2"]
    two = tmp_path / "Two_TRAIN.arff"
    two.write_text(
        "@relation toy\n@attribute series relational\n@attribute t0 numeric\n@attribute t1 numeric\n@end series\n"
        "@attribute class {a,b}\n@data\n'1,2\\n3,?',a\n\"5,6\\n7,8\",'b'\n",
        encoding="utf-8",
    )
    split = read(two)
    np.testing.assert_array_equal(split.cases, [[[1, 2], [3, NAN]], [[5, 6], [7, 8]]])
    assert split.labels == ["a", "b"]


@pytest.mark.parametrize(
    ("header", "body", "message"),
    [
        ("@attribute target {a,b}", "", "has no cases"),
        (
            "@attribute target numeric",
            "1,2,0.5",
            "line 3 is '@data' after no class: declare the last attribute as {A,B}",
        ),
        (TWO_VALUES, "1,2,c", "line 6 is of class 'c': its '@attribute' does not name it"),
        ("@attribute target {a,b}", "{0 1, 2 b}", "line 4 is sparse: write all values of the case"),
        (TWO_VALUES, "1,2,", "line 6 has no label"),
        (TWO_VALUES, "12", "line 6 has no label"),
        (RELATIONAL, "'1,2\\n3,4'a", "line 7 has no label"),
        (RELATIONAL, "'1,2\\n3',a", "line 7 has channels that differ in length"),
        (RELATIONAL, "'1\\n3',a\n'1',b", "line 8 has 1 channels: the lines before it have 2"),
        (RELATIONAL, "'1,2\\n3,4',a\n'1\\n3',b", "line 8 has 1 values: the lines before it have 2"),
        (RELATIONAL, "1,2,a", "line 7 is without the quotation marks of a relational value"),
        (TWO_VALUES, "1,2,a\n1,b", "line 7 has 2 values: the header has 3, end short cases with '?'"),
        (TWO_VALUES, "1,x,a", "line 6 column 2 is 'x': write a number"),
        ("1,2,a", "1,2,a", "line 2 is neither '@' header nor '%' comment: put '@data' before the first case"),
    ],
)
def test_an_arff_that_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, header: str, body: str, message: str
) -> None:
    refused(tmp_path / "Toy_TRAIN.arff", f"@relation Toy\n{header}\n@data\n{body}\n", message)


def test_an_arff_that_declares_nothing_is_refused_where_labels_are_optional(tmp_path: Path) -> None:
    path = tmp_path / "a.arff"
    path.write_text("@relation a\n@data\n1,2,3\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"^file '.*' line 2 is '@data' after no '@attribute': .*timepoint$"):
        read(path, labels="optional")


# ---------------------------------------------------------------- write, then read

Made = tuple[formats.Cases, list[str], formats.Cases, list[str]]
LABELS = st.lists(st.sampled_from(["walk", "run_1", "-1", "3", "2.5", "Ü"]), min_size=2, max_size=2, unique=True)
VALUES = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def made(draw: st.DrawFn, *, channels: int, unequal: bool) -> Made:
    """Draw a dataset: of unequal length, or of equal length with missing values that are not all at the ends.

    Few draws, so that a busy machine draws quickly, too: of labels, of values, and of a seed for all the rest. The two
    splits do not begin with the same label, as they would with the same header.
    """
    labels, values = draw(LABELS), draw(st.lists(VALUES, min_size=12, max_size=12))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    longest = random.integers(2, 7)
    splits: list[tuple[list[Float64], list[str]]] = []
    for first in range(2):
        n = random.integers(2, 5)
        cases = []
        for i in range(n):
            length = random.integers(1, longest + 1) if unequal and i else longest
            case = random.choice(values, (channels, length))
            if not unequal and random.random() < 0.5:
                case[:, random.integers(length - 1)] = np.nan  # the last one stays
            cases.append(case)
        splits.append((cases, [labels[(first + i) % 2] for i in range(n)]))
    return *splits[0], *splits[1]


def hashes(root: Path, made: Made, forms: list[str], name: str) -> dict[str, object]:
    """Write a dataset in each format and return the content that is read back."""
    train, y_train, test, y_test = made
    found = {}
    for form in forms:
        formats.write(root / form, name, form, (train, y_train), (test, y_test))
        found[form] = archive.passport(name, root / form)["content"]
    return found


@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_format_gives_the_same_passport(
    channels: int, unequal: bool, tmp_path_factory: pytest.TempPathFactory, own_cache: Path
) -> None:
    own_cache.write_text("a file: nothing is kept", encoding="utf-8")
    forms = list(formats.WRITERS) if channels == 1 else list(formats.SEVERAL_CHANNELS)

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both time the machine
    @given(made(channels=channels, unequal=unequal))
    def holds(dataset: Made) -> None:
        root = tmp_path_factory.mktemp("written")
        found = hashes(root, dataset, forms, "Toy")
        train, y_train, test, y_test = dataset
        width = max(case.shape[1] for case in (*train, *test))
        x_train, x_test = (
            np.stack([np.pad(c, ((0, 0), (0, width - c.shape[1])), constant_values=np.nan) for c in cases]) + 0.0
            for cases in (train, test)
        )
        expected = provenance.content_hash(x_train, np.array(y_train), x_test, np.array(y_test), unequal)
        assert found == dict.fromkeys(forms, expected)

    holds()


@pytest.mark.parametrize("name", ["GunPoint", "ItalyPowerDemand"])
@pytest.mark.parametrize("form", list(formats.WRITERS))
def test_a_real_dataset_in_every_format_is_the_official_one(tmp_path: Path, name: str, form: str) -> None:
    real = archive.load(name)
    splits = [(list(x), list(map(str, y))) for x, y in ((real.x_train, real.y_train), (real.x_test, real.y_test))]
    formats.write(tmp_path, name, form, splits[0], splits[1])
    found = archive.passport(name, tmp_path)
    assert (found["revision"], found["content"]) == ("corrected", real.passport["content"])
    assert found["source"] == form.removesuffix(" without a header")
