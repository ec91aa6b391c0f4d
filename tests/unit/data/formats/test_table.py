"""Tables of one's own: what is a header, an id, a label, a timepoint; anything unclear is refused with one line."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pytest

from tests.tables import TEST, TRAIN, Cases, header, long, noise, wide, write_pair
from tsfcn.common.errors import UserError
from tsfcn.data import archive, formats
from tsfcn.data.dataset import Dataset
from tsfcn.data.formats import Columns
from tsfcn.data.locate import ReadOptions

pytestmark = pytest.mark.usefixtures("own_cache")


def is_toy(dataset: Dataset) -> bool:
    """Return whether a dataset is TRAIN and TEST."""
    return (
        np.array_equal(dataset.x_train[:, 0], TRAIN.values)
        and np.array_equal(dataset.x_test[:, 0], TEST.values)
        and dataset.y_train.tolist() == TRAIN.labels
        and dataset.y_test.tolist() == TEST.labels
    )


def refusal(folder: Path, columns: Columns | None = None) -> str:
    """Return the one line with which Toy is refused."""
    with pytest.raises(UserError) as got:
        archive.load("Toy", folder, options=ReadOptions(columns or Columns()))
    assert "\n" not in str(got.value)
    return str(got.value)


def decimal_comma(text: str, separator: str) -> str:
    return text.replace(",", separator).replace(".", ",")


@pytest.mark.parametrize(
    ("form", "suffix", "encoding"),
    [
        (lambda text: text, ".csv", "utf-8-sig"),
        (lambda text: text, ".csv", "utf-16"),
        (lambda text: text, ".csv", "utf-16-le"),
        (lambda text: text, ".csv", "utf-16-be"),
        (lambda text: text, ".csv", "utf-32"),
        (lambda text: text.replace("\n", "\r\n"), ".csv", "utf-8"),
        (lambda text: text.replace("\n", ",\n"), ".csv", "utf-8"),
        (lambda text: text.replace("\n", ",,,\n"), ".csv", "utf-8"),
        (lambda text: text.replace(",", "\t").replace("\n", "\t\n"), ".tsv", "utf-8"),
        (lambda text: text.replace(",", ";"), ".csv", "utf-8"),
        (lambda text: decimal_comma(text, ";"), ".csv", "utf-8"),
        (lambda text: decimal_comma(text, ";"), ".txt", "utf-8"),
        (lambda text: decimal_comma(text, ";"), ".tsv", "utf-16"),
        (lambda text: decimal_comma(text, "\t"), ".tsv", "utf-8"),
        (lambda text: text.replace(",", "|"), ".csv", "utf-8"),
        (lambda text: text.replace(",", "  "), ".txt", "utf-8"),
        (lambda text: text.replace(",", ", "), ".csv", "utf-8"),
    ],
)
@pytest.mark.parametrize("head", [None, header()])
def test_separators_decimal_signs_and_encodings_are_recognised(
    tmp_path: Path, form: object, suffix: str, encoding: str, head: str | None
) -> None:
    assert callable(form)
    write_pair(tmp_path, form(wide(TRAIN, head)), form(wide(TEST, head)), suffix, encoding)
    assert is_toy(archive.load("Toy", tmp_path))


def test_decimal_commas_between_blanks_and_in_quotation_marks(tmp_path: Path) -> None:
    numbers = noise(6, 0, labels=("1", "2"))
    blanks = wide(numbers).replace(",", " ").replace(".", ",")
    (tmp_path / "a.txt").write_text(blanks, encoding="utf-8")
    quoted = "\n".join(
        ",".join([label, *('"' + str(v).replace(".", ",") + '"' for v in row)])
        for label, row in zip(numbers.labels, numbers.values.tolist(), strict=True)
    )
    (tmp_path / "b.csv").write_text(quoted, encoding="utf-8")
    for name in ("a.txt", "b.csv"):
        split = formats.read(tmp_path / name)
        np.testing.assert_array_equal(np.concatenate(split.cases), numbers.values)
        assert split.labels == numbers.labels


@pytest.mark.parametrize("text", ["1;0,5;1.5\n2;0,5;1,5\n", "1;0,5;1,5\n2;0.5;1.5\n", "1;0.5;1.5\n2;0,5;1,5\n"])
def test_two_decimal_signs_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"line \d has decimal .* write one decimal sign$"):
        formats.read(tmp_path / "a.csv")


# ---------------------------------------------------------------- headers of numbers


@pytest.mark.parametrize("word", ["walk", "run"])
def test_a_first_case_that_rises_is_no_header_if_the_other_split_has_its_label(tmp_path: Path, word: str) -> None:
    write_pair(tmp_path, "walk 0 1 0 0\nrun 5 6 5 5\n", f"{word} -1 0 1 2\njog 2 NaN NaN NaN\n", ".txt", "utf-8")
    assert archive.load("Toy", tmp_path).x_test[0, 0].tolist() == [-1, 0, 1, 2]


@pytest.mark.parametrize("train", ["name 0 1 2 3\nwalk 5 4 5 4\nrun 1 2 1 1\n", "walk 5 4 5 4\nrun 1 2 1 1\n"])
def test_a_header_of_numbers_is_refused_in_one_split_and_in_both(tmp_path: Path, train: str) -> None:
    write_pair(tmp_path, train, "name 0 1 2 3\nwalk 5 4 5 4\nrun 1 2 1 1\n", ".txt", "utf-8")
    with pytest.raises(UserError, match=r"line 1 seems to be a header, .* call that of the labels 'label' instead"):
        archive.load("Toy", tmp_path)


# ---------------------------------------------------------------- ids


ID_NAMES = (
    *("id", "ID", "index", "row", "sample", "case", "subject", "patient", "subject_id", "caseId", "Unnamed: 0", "time"),
    *("Patient ID", "record_no", "file_name", "uuid"),
)


@pytest.mark.parametrize("name", ID_NAMES)
def test_a_column_of_ids_is_left_out_with_a_line(tmp_path: Path, name: str) -> None:
    head = header(before=f"{name},")
    ids = [f"s{i}" for i in range(12)]
    write_pair(tmp_path, wide(TRAIN, head, ids), wide(TEST, head, ids))
    dataset = archive.load("Toy", tmp_path)
    assert is_toy(dataset)
    assert dataset.passport["warnings"] == [f"column {name!r} left out as no timepoint"]


def test_a_column_of_ids_in_one_file_alone_is_left_out(tmp_path: Path) -> None:
    write_pair(tmp_path, wide(TRAIN, header(before="id,"), range(12)), wide(TEST, header()))
    assert is_toy(archive.load("Toy", tmp_path))


def with_first_value(cases: Cases, values: object) -> Cases:
    """Return cases with a column of numbers before the first."""
    return Cases(np.column_stack([np.array(values, dtype=np.float64), cases.values]), cases.labels)


def integer_first(cases: Cases, numbers: list[int], head: str | None) -> str:
    """Return a table whose first value of each case is an integer."""
    lines = wide(cases, head).splitlines()
    start = 0 if head is None else 1
    for i, number in enumerate(numbers):
        label, _, rest = lines[start + i].partition(",")
        lines[start + i] = f"{label},{number},{rest}"
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("start", [0, 1, 100])
@pytest.mark.parametrize("head", [None, "label,foo,bar,c,d,e,f,g,h"])
def test_a_column_that_counts_the_rows_is_refused(tmp_path: Path, start: int, head: str | None) -> None:
    train, test = noise(12, 0, 7), noise(10, 1, 7)
    write_pair(
        tmp_path,
        integer_first(train, list(range(start, start + 12)), head),
        integer_first(test, list(range(start, start + 10)), head),
    )
    column = "column 2" if head is None else "column 'foo'"
    assert f"has row numbers in {column}: leave that column out, or call it 'id'" in refusal(tmp_path)


def test_shuffled_numbers_of_cases_are_refused(tmp_path: Path) -> None:
    numbers = np.random.RandomState(3).permutation(22).tolist()
    write_pair(
        tmp_path,
        integer_first(noise(12, 0, 7), numbers[:12], None),
        integer_first(noise(10, 1, 7), numbers[12:], None),
    )
    assert "has a number of each case in the first value: leave it out" in refusal(tmp_path)


def test_row_numbers_in_the_place_of_labels_are_refused(tmp_path: Path) -> None:
    labelled = Cases(TRAIN.values, [str(i % 2) for i in range(12)])
    write_pair(tmp_path, wide(labelled, ids=range(12)), wide(labelled, ids=range(12)))
    assert "has row numbers in the place of labels: leave them out (index=False" in refusal(tmp_path)


def test_values_that_rise_from_case_to_case_are_no_row_numbers(tmp_path: Path) -> None:
    rising = Cases(np.arange(12.0)[:, None] + np.arange(8) / 10, TRAIN.labels)
    write_pair(tmp_path, wide(rising), wide(rising))
    np.testing.assert_array_equal(archive.load("Toy", tmp_path).x_train[:, 0], rising.values)


def test_an_arff_attribute_of_ids_is_left_out(tmp_path: Path) -> None:
    attributes = "".join(f"@attribute t{i} numeric\n" for i in range(8))
    head = f"@relation toy\n@attribute id numeric\n{attributes}@attribute class {{walk,run}}\n@data\n"
    for split, cases in (("TRAIN", TRAIN), ("TEST", TEST)):
        rows = (
            ",".join([str(i), *map(str, row), label])
            for i, (row, label) in enumerate(zip(cases.values.tolist(), cases.labels, strict=True))
        )
        (tmp_path / f"Toy_{split}.arff").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    dataset = archive.load("Toy", tmp_path)
    assert is_toy(dataset)
    assert dataset.passport["warnings"] == ["attributes 'id' left out as no timepoint"]


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize(
    "times",
    [
        [str(i) for i in range(8)],
        [f"{i / 10:.1f}" for i in range(8)],
        [f"V{i + 1}" for i in range(8)],
        [f"t[{i}]" for i in range(8)],
        [f"12:{i * 5:02}" for i in range(8)],
        [f"2024-01-0{i + 1}" for i in range(8)],
        [f"2024-01-01 0{i}:00:00" for i in range(8)],
        [f"-{8 - i}" for i in range(8)],
    ],
)
def test_names_that_are_times_are_understood(tmp_path: Path, times: list[str]) -> None:
    head = ",".join(["Class", *times])
    write_pair(tmp_path, wide(TRAIN, head), wide(TEST, head))
    dataset = archive.load("Toy", tmp_path)
    assert is_toy(dataset)
    assert dataset.passport["warnings"] == []


def test_columns_sorted_as_text_are_put_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    train, test = noise(12, 0, 12), noise(10, 1, 12)
    order = sorted(range(12), key=lambda i: f"t{i}")
    assert order[:3] == [0, 1, 10]
    head = ",".join(["label", *(f"t{i}" for i in order)])
    shuffled = [Cases(cases.values[:, order], cases.labels) for cases in (train, test)]
    write_pair(tmp_path, wide(shuffled[0], head), wide(shuffled[1], head))
    dataset = archive.load("Toy", tmp_path)
    np.testing.assert_array_equal(dataset.x_train[:, 0], train.values)
    assert dataset.passport["warnings"] == ["columns put in the order of the numbers in their names"]


def test_columns_of_several_patterns_are_channels(tmp_path: Path) -> None:
    head = ",".join(["label", *(f"{axis}_{i}" for i in range(4) for axis in "xy")])
    write_pair(tmp_path, wide(TRAIN, head), wide(TEST, head))
    dataset = archive.load("Toy", tmp_path)
    np.testing.assert_array_equal(dataset.x_train, np.stack([TRAIN.values[:, ::2], TRAIN.values[:, 1::2]], axis=1))
    assert dataset.passport["warnings"] == ["2 channels (x, y) by the names of the columns"]


@pytest.mark.parametrize("start", [0, 1])
def test_a_first_line_that_counts_is_a_header(tmp_path: Path, start: int) -> None:
    head = ",".join(str(i) for i in range(start, start + 9))
    numbers = [Cases(cases.values, [str(i % 2) for i in range(len(cases.labels))]) for cases in (TRAIN, TEST)]
    write_pair(tmp_path, wide(numbers[0], head), wide(numbers[1], head))
    dataset = archive.load("Toy", tmp_path)
    np.testing.assert_array_equal(dataset.x_train[:, 0], TRAIN.values)
    assert dataset.y_test.tolist() == numbers[1].labels
    (warning,) = dataset.passport["warnings"]
    assert warning.startswith(f"line 1 ({start}, {start + 1}, ..., {start + 8}) is a header")


@pytest.mark.parametrize("label", ["y", "class", "target"])
def test_a_class_with_the_name_of_a_label_column_is_a_case(tmp_path: Path, label: str) -> None:
    cases = Cases(TRAIN.values, [label if each == "walk" else "n" for each in TRAIN.labels])
    write_pair(tmp_path, wide(cases), wide(cases))
    assert len(archive.load("Toy", tmp_path).x_train) == 12


def test_columns_of_test_are_matched_by_name(tmp_path: Path) -> None:
    lines = [line.split(",") for line in wide(TEST, header()).splitlines()]
    reversed_columns = "\n".join(",".join(line[::-1]) for line in lines) + "\n"
    write_pair(tmp_path, wide(TRAIN, header()), reversed_columns)
    dataset = archive.load("Toy", tmp_path)
    assert is_toy(dataset)
    assert dataset.passport["warnings"] == ["columns of the test file matched by their names"]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (header(), header().replace("t7", "u"), "lacks column 't7', unlike"),
        (header(), None, "has no header, '"),
        (None, header(), "has no header, '"),
        (header(7, before="age,"), header(7, before="age,"), "has a column 'age' among timepoints (t0, t1, ...)"),
        (header().replace("t1", "t0"), header(), "line 1 has two columns 't0'"),
        (header().replace("label", "activity"), header(), "call that one 'label', or name it with label=NAME"),
        ("," + header(), "," + header(), "has a column without a name: leave out row numbers (index=False in pandas)"),
    ],
)
def test_headers_that_are_unclear_are_refused(tmp_path: Path, train: str, test: str, message: str) -> None:
    ids = range(12) if train == "," + header() else None
    cut = [Cases(c.values[:, :7], c.labels) for c in (TRAIN, TEST)] if "age" in str(train) else [TRAIN, TEST]
    ages = [30 + i % 5 for i in range(12)] if "age" in str(train) else ids
    write_pair(tmp_path, wide(cut[0], train, ages), wide(cut[1], test, ages))
    assert message in refusal(tmp_path)


def test_the_label_column_can_be_named(tmp_path: Path) -> None:
    head = header().replace("label", "activity")
    write_pair(tmp_path, wide(TRAIN, head), wide(TEST, head))
    assert is_toy(archive.load("Toy", tmp_path, options=ReadOptions(Columns(label="activity"))))
    wrong = Columns(label="actvity")
    assert refusal(tmp_path, wrong).endswith("has no column 'actvity' (label=actvity): did you mean 'activity'?")


# ---------------------------------------------------------------- a row for each value


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize(
    "head", ["case,label,time,value", "id,class,timestamp,val", "series_id,y,t,measurement", "sample,label,time,hr"]
)
def test_a_long_table_is_read(tmp_path: Path, head: str, seed: int | None) -> None:
    write_pair(tmp_path, long(TRAIN, head, seed=None), long(TEST, head, seed=None))
    dataset = archive.load("Toy", tmp_path)
    assert is_toy(dataset)
    assert dataset.passport["warnings"] == [
        "a long table: 96 rows, 12 cases x 8 timepoints",
        "a long table: 80 rows, 10 cases x 8 timepoints",
    ]
    write_pair(tmp_path / "shuffled", long(TRAIN, head, seed), long(TEST, head, seed))
    shuffled = archive.load("Toy", tmp_path / "shuffled")
    assert sorted(map(bytes, shuffled.x_train)) == sorted(map(bytes, dataset.x_train))


def test_a_long_table_with_dates_dimensions_and_gaps(tmp_path: Path) -> None:
    text = "case,label,time,dim,value\n" + "".join(
        f"{case},{label},2024-01-{day:02}T00:00:00,{dim},{case * 100 + day + dim / 10}\n"
        for case, label in ((7, "b"), (3, "a"))
        for dim, day in itertools.product((1, 0), (10, 9, 11))
        if (case, dim, day) != (3, 1, 9)
    )
    write_pair(tmp_path, text, text)
    dataset = archive.load("Toy", tmp_path)
    assert dataset.y_train.tolist() == ["b", "a"]
    expected = [[[709, 710, 711], [709.1, 710.1, 711.1]], [[309, 310, 311], [np.nan, 310.1, 311.1]]]
    np.testing.assert_array_equal(dataset.x_train, expected)


def test_a_long_table_with_a_column_for_each_channel(tmp_path: Path) -> None:
    text = "id,time,label,x,y_axis\n" + "".join(
        f"{c},{t},{'ab'[c]},{c + t},{c - t}\n" for c in (0, 1) for t in (0, 1, 2)
    )
    write_pair(tmp_path, text, text)
    dataset = archive.load("Toy", tmp_path)
    np.testing.assert_array_equal(dataset.x_train, [[[0, 1, 2], [0, -1, -2]], [[1, 2, 3], [1, 0, -1]]])


def test_the_columns_of_a_long_table_can_be_named(tmp_path: Path) -> None:
    head = "walker,gait,minute,hr"
    write_pair(tmp_path, long(TRAIN, head), long(TEST, head))
    columns = Columns(label="gait", case="walker", time="minute", value="hr")
    assert is_toy(archive.load("Toy", tmp_path, options=ReadOptions(columns)))
    near = refusal(tmp_path, Columns(label="gait", case="waker"))
    assert near.endswith("has no column 'waker' (columns.case=waker): did you mean 'walker'?")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            long(TRAIN, "walker,label,minute,hr"),
            "has times or cases in column 'minute', as a table with a row for each",
        ),
        (long(TRAIN, "walker,label,minute,hr", seed=1), "has times or cases in column 'walker', as a table with a row"),
        (long(TRAIN, "case,activity,time,value"), "has no label column: call it 'label', or name it with label=NAME"),
        ("case,label,time,value\n1,a,0,1\n1,b,1,2\n", "has case '1' with two labels, 'a' and 'b'"),
        ("case,label,time,value\n1,a,0,1\n1,a,0,2\n", "has case '1' twice at time '0'"),
        ("case,label,time,value\n1,a,soon,1\n1,a,later,2\n", "has the time 'soon': write numbers, or dates"),
        ("case,label,time,value\n1,a,2024-02-31,1\n1,a,2024-02-01,2\n", "has a date that does not exist"),
        ("label,time,value\na,0,1\na,1,2\n", "has times in 'time' and no column of cases: call that one 'case'"),
        ("label,hr\na,0\na,1\n", "has one timepoint for each case, 'hr'"),
        (long(TRAIN, "walker,label,time,value"), "has times in 'time' and no column of cases: call that one 'case'"),
        (long(TRAIN, "id,label,minute,hr"), "has times or cases in column 'id', as a table with a row for each value"),
        (long(TRAIN, "subject,label,minute,hr", seed=1), "has times or cases in column 'subject', as a table with a"),
    ],
)
def test_a_long_table_that_is_unclear_is_refused(tmp_path: Path, text: str, message: str) -> None:
    write_pair(tmp_path, text, text)
    assert message in refusal(tmp_path)


def test_channels_of_long_tables_must_agree(tmp_path: Path) -> None:
    train = "case,label,time,dim,value\n1,a,0,x,1\n1,a,0,y,2\n2,b,0,x,1\n2,b,0,y,2\n"
    write_pair(tmp_path, train, train.replace("y", "z"))
    assert "differ in channel 'y': write the same channels in both" in refusal(tmp_path)
    write_pair(tmp_path, train, wide(TEST, header()))
    assert "has a row for each value, the other file has not: write both alike" in refusal(tmp_path)


# ---------------------------------------------------------------- sizes


def test_a_table_of_100_000_columns_is_read_in_seconds(tmp_path: Path) -> None:
    n_timepoints = 100_000
    row = ",".join(["0.125", "", "-3", "1e-3"] * (n_timepoints // 4))
    head = ",".join(["label", *(f"t{i}" for i in range(n_timepoints))])
    (tmp_path / "a.csv").write_text(f"{head}\na,{row}\nb,{row}\n", encoding="utf-8")
    started = time.process_time()
    split = formats.read(tmp_path / "a.csv")
    assert time.process_time() - started < 10
    assert split.cases[1].shape == (1, n_timepoints)


@pytest.mark.parametrize(
    "body", ["@attribute a " + "{" * 200_000, "@attribute " + "{ " * 100_000 + "}", "@attribute" + " " * 300_000]
)
def test_an_attribute_of_many_braces_is_read_in_linear_time(tmp_path: Path, body: str) -> None:
    (tmp_path / "a.arff").write_text(f"@relation x\n{body}\n@data\n1,a\n", encoding="utf-8")
    started = time.process_time()
    with pytest.raises(UserError):
        formats.read(tmp_path / "a.arff")
    assert time.process_time() - started < 2
