"""Files that are no text of ours are named by what they are; .ts headers are checked; packed files are bounded."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from tests.tables import TRAIN, Cases, wide
from tsfcn.common.errors import UserError
from tsfcn.data import formats


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as got:
        formats.read(path)
    assert "\n" not in str(got.value)
    return str(got.value)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".ts", ".txt", ".arff", ".npz", ".npy", ".parquet"])
def test_a_pipe_a_device_and_a_folder_are_refused(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"endless{suffix}").symlink_to("/dev/zero")
    (tmp_path / f"folder{suffix}").mkdir()
    for name in ("pipe", "endless", "folder"):
        path = tmp_path / f"{name}{suffix}"
        assert refusal(path) == f"file '{path}' is a pipe, a device or a folder: give a regular file"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04rest", "is a zip or an Excel workbook: unpack it, or save the sheet as .csv"),
        (b"\xd0\xcf\x11\xe0rest", "is an Excel workbook: save the sheet as .csv"),
        (b"<!DOCTYPE html><html></html>", "is a web page: download the data itself"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS: run `git lfs pull`"),
        (b"PAR1rest", "is a parquet file: call it .parquet"),
        (b"\x93NUMPYrest", "is a numpy array: call it .npy"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    for suffix in (".csv", ".ts", ".tsv"):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(content)
        assert refusal(path) == f"file '{path}' {message}"


def test_a_packed_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(wide(TRAIN), encoding="utf-8")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(wide(TRAIN).encode("utf-16")))
    plain, packed = (formats.read(tmp_path / name) for name in ("a.csv", "a.csv.gz"))
    np.testing.assert_array_equal(plain.cases, packed.cases)
    assert plain.labels == packed.labels == TRAIN.labels


def test_a_packed_file_that_is_damaged_or_a_bomb_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(os.urandom(1000).hex().encode())
    for name, content, message in (
        ("cut", whole[: len(whole) // 2], "is damaged"),
        ("flipped", whole[:-6] + b"\0" + whole[-5:], "is damaged"),
        ("bomb", gzip.compress(b"1,2,3,4\n" * 8_000_000), "is a zip bomb: it unpacks to more than 50 MB"),
    ):
        path = tmp_path / f"{name}.csv.gz"
        path.write_bytes(content)
        assert message in refusal(path)


@pytest.mark.parametrize(("label", "reason"), [("r\0", "a NUL byte"), ("caf\udce9", "that is not UTF-8")])
def test_a_label_that_is_no_text_is_refused(tmp_path: Path, label: str, reason: str) -> None:
    path = tmp_path / "a.csv"
    cases = Cases(TRAIN.values, [label if each == "run" else each for each in TRAIN.labels])
    path.write_bytes(wide(cases).encode("utf-8", "surrogateescape"))
    assert reason in refusal(path)
    path.with_suffix(".ts").write_bytes(f"@classLabel true a\n@data\n1,2:{label}\n".encode("utf-8", "surrogateescape"))
    assert reason in refusal(path.with_suffix(".ts"))


# ---------------------------------------------------------------- .ts


BODY = "@data\n1,2,3:walk fast\n4,5,6:run\n"
HEADER = "@problemName Toy\n@timeStamps false\n@missing false\n@univariate true\n@equalLength true\n@seriesLength 3\n"


@pytest.mark.parametrize("suffix", [".ts", ".txt", ".csv", ".tsv", ""])
@pytest.mark.parametrize("before", ["", "% made by hand\n%\n", "# a comment\n% another\n"])
def test_ts_content_is_read_under_any_suffix(tmp_path: Path, suffix: str, before: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text(f"{before}{HEADER}@classLabel true walk fast run\n{BODY}", encoding="utf-8")
    split = formats.read(path)
    np.testing.assert_array_equal(split.cases, [[[1, 2, 3]], [[4, 5, 6]]])
    assert split.labels == ["walk fast", "run"]
    assert split.faults == []


@pytest.mark.parametrize(
    ("tag", "body", "fault"),
    [
        ("@seriesLength 4", BODY, "has '@seriesLength 4' but has cases of 3 timepoints"),
        (
            "@equalLength true",
            "@data\n1,2,3:run\n4,5:run\n",
            "has '@equalLength true' but has cases of 2 to 3 timepoints",
        ),
        ("@missing false", "@data\n1,?,3:run\n4,5,6:run\n", "has '@missing false' but has missing values"),
        ("@univariate true", "@data\n1,2:3,4:run\n4,5:6,7:run\n", "has '@univariate true' but has 2 channels"),
    ],
)
def test_a_ts_header_that_contradicts_its_data_is_a_fault(tmp_path: Path, tag: str, body: str, fault: str) -> None:
    path = tmp_path / "a.ts"
    path.write_text(f"{tag}\n{body}", encoding="utf-8")
    assert formats.read(path).faults == [f"file '{path}' {fault}: correct the header, or copy the file again"]


def test_missing_values_at_the_end_of_a_case_contradict_no_header(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_text("@missing false\n@data\n1,2,3:run\n4,5,NaN:run\n", encoding="utf-8")
    assert formats.read(path).faults == []
