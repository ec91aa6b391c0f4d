"""task=segmentation and tsfcn streams, as a user types them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.records import written
from tsfcn.__main__ import main

SMALL = ["segmentation.passes=1", "protocol.epochs=1", "executor=inline"]
SIZES = "filters=[3,4,4,4,4]"
SVG = "{http://www.w3.org/2000/svg}"
DENSE = ["run", "task=segmentation", "protocol=segmentation", *SMALL]


def walks(folder: Path, n_timepoints: int = 400, last: str = "run") -> Path:
    """Write two streams of two levels, of which the second is for testing, and return the file."""
    level = np.arange(n_timepoints) // 40 % 2
    noise = np.random.default_rng(0).normal(0, 0.2, n_timepoints)
    label = np.where(level == 1, "run", "walk")
    label[-1] = last
    half = np.arange(n_timepoints) < n_timepoints // 2
    np.savez(folder / "walks.npz", x=2 * level - 1 + noise, label=label, stream=np.where(half, "a", "b"))
    return folder / "walks.npz"


def test_the_rows_of_the_paper_are_one_run_with_a_picture(
    tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models, results = ["pooled_fcn", "fcn_32s", "fcn_8s"], tmp_path / "results"
    words = [*DENSE, f"dataset={walks(tmp_path)}", f"model=[{','.join(models)}]", f"results={results}"]
    words += [f"model.{model}.{SIZES}" for model in models]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "walks: read 1 + 1 streams x 200 timepoints, 1 channel, 2 classes (run 80, walk 120)" in printed.err
    assert "mean IU" in printed.out and "median segment" in printed.out
    records = written(results)
    assert sorted(record.model.partition("[")[0] for record in records) == sorted(models)
    assert {(record.n_test, record.n_classes, record.median_segment) for record in records} == {(200, 2, 40)}
    assert main(words) == 0 and "3 done before, 0 to run" in capsys.readouterr().err
    assert "## Dense labelling" in (results / "README.md").read_text()
    assert main(["table", str(results)]) == 0 and "f.w. IU" in capsys.readouterr().out

    assert main(["streams", str(results), "--out", str(tmp_path / "pictures")]) == 0
    (picture,) = (tmp_path / "pictures").iterdir()
    assert picture.name == "walks-seed0.svg" and str(picture) in capsys.readouterr().out
    drawn = ElementTree.fromstring(picture.read_text())
    assert [e.text for e in drawn.iter(f"{SVG}text") if e.text in (*models, "true", "walk", "run")][0] == "true"
    assert main(["report", str(results)]) == 0
    page = (results / "report.html").read_text()
    assert 'id="c-stream-0"' in page and "walks, seed 0, test stream 1 of 1" in page and "timepoints of all" in page
    assert main(["report", str(results), "published:karim2019"]) == 2
    assert "column 'published:karim2019' is of classified cases" in capsys.readouterr().err
    assert main(["streams", str(results), "--stream", "2"]) == 2
    assert "--stream 2 is not there: walks has test streams 1 to 1" in capsys.readouterr().err
    (results / "predictions" / f"{records[0].key}.npz").write_bytes(b"no zip")
    assert main(["streams", str(results)]) == 2 and "are unreadable" in capsys.readouterr().err

    assert main(["run", "dataset=GunPoint", "protocol=smoke", "executor=inline", f"results={results}"]) == 2
    assert "holds labels of timepoints, which no table mixes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("n_timepoints", "last", "message"),
    [
        (60, "run", "dataset 'walks' has a stream of 30 timepoints, fewer than the stride of 32 of the networks: join"),
        (
            400,
            "fly",
            "'walks' has the label 'fly' in its test streams, outside the classes of the training streams (run",
        ),
    ],
)
def test_wrong_streams_fail_in_one_line(
    tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str], n_timepoints: int, last: str, message: str
) -> None:
    words = [*DENSE, f"dataset={walks(tmp_path, n_timepoints, last)}", "model=fcn_8s"]
    assert main([*words, f"results={tmp_path / 'results'}"]) == 1
    printed = capsys.readouterr().err
    lines = [line for line in printed.splitlines() if message in line]
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=fcn_8s"], "model=fcn_8s labels timepoints of streams: add task=segmentation protocol=segmentation"),
        (["task=segmentation", "model=lstm_fcn"], "model=lstm_fcn is not for task=segmentation: use one of pooled_fcn"),
        (["task=dense"], "task=dense is not known: use one of classification, segmentation"),
        (["task=segmentation", "segmentation.sampling=0"], "segmentation.sampling=0 is out of range"),
        (
            ["task=segmentation", "segmentation.labelling=slide"],
            "segmentation.labelling=slide is not known: use one of",
        ),
        (["task=segmentation", "segmentation.passes=0"], "segmentation.passes=0 is out of range"),
        (["task=segmentation", "save_weights=true"], "save_weights=true is not for task=segmentation"),
        (["task=segmentation", "model=fcn_8s", "model.fcn_8s.filters=[3]"], "filters=[3] has 1 values: give 5"),
    ],
)
def test_wrong_words_are_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["run", "dataset=GunPoint", f"results={tmp_path}", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_folder_without_dense_labelling_has_no_streams(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["streams", str(tmp_path)]) == 2
    assert "is without predictions of task=segmentation" in capsys.readouterr().err
