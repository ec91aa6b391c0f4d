"""task=segmentation and tsfcn streams, as a user types them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import tsfcn
from tests.records import record, save, written
from tsfcn.__main__ import main
from tsfcn.cli.predict import channels_of
from tsfcn.common.errors import UserError
from tsfcn.data.streams import Table
from tsfcn.jobs import artifacts, store

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


@pytest.mark.parametrize(("protocol", "told"), [("fawaz2019", True), ("segmentation", False)])
def test_a_protocol_for_cases_is_told(
    protocol: str, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["run", "task=segmentation", f"protocol={protocol}", "model=fcn_8s", f"dataset={walks(tmp_path)}"]
    assert main([*words, "dry_run=true"]) == 0
    assert ("protocol=segmentation is for streams" in capsys.readouterr().out) == told


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
    texts = [element.text for element in drawn.iter(f"{SVG}text")]
    title = "walks, seed 0, test stream 0 (1 in all)"
    assert texts.index("true") < texts.index("walk") and {"run", "timepoint →", title} <= set(texts)
    assert main(["report", str(results)]) == 0
    page = (results / "report.html").read_text()
    assert 'id="c-stream-0"' in page and title in page and "timepoints of all" in page
    assert main(["report", str(results), "published:karim2019"]) == 2
    assert "column 'published:karim2019' is of classified cases" in capsys.readouterr().err
    assert main(["streams", str(results), "--stream", "1"]) == 2
    assert "--stream 1 is not there: walks has test streams 0 to 0" in capsys.readouterr().err
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
        (
            ["task=segmentation", "save_weights=true", "protocol.truncate=0.5"],
            "protocol.truncate and permute_time are for cases",
        ),
        (["task=segmentation", "model=fcn_8s", "model.fcn_8s.filters=[3]"], "filters=[3] has 1 values: give 5"),
    ],
)
def test_wrong_words_are_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["run", "dataset=GunPoint", f"results={tmp_path}", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


# ---------------------------------------------------------------------------------------------------------------------
# New streams

CLASSES = ["rest", "run", "walk"]
HEAD = "acc,gyr,label,stream,split"


def two_channels(folder: Path) -> Path:
    """Write four streams of three levels in two channels, the last for testing, and return the file."""
    random = np.random.default_rng(0)
    level = np.repeat([0, 1, 2, 1, 0, 2] * 4, 40)
    values = np.stack([3 * level + 5, 10 - 20 * (level == 1)], axis=1) + random.normal(0, 0.5, (960, 2))
    labels = np.array(["rest", "walk", "run"])[level]
    labels[::50] = ""
    rows = [
        f"{a:.4f},{b:.4f},{label},p{t // 240},{'test' if t >= 720 else 'train'}"
        for t, ((a, b), label) in enumerate(zip(values.tolist(), labels.tolist(), strict=True))
    ]
    (folder / "moves.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    return folder / "moves.csv"


def cut(file: Path, columns: Sequence[int], start: int = 720, stop: int = 960) -> Path:
    """Write some columns of some timepoints of a file beside it, and return that file."""
    head, *rows = (line.split(",") for line in file.read_text().splitlines())
    part = file.with_name("part.csv")
    part.write_text("".join(",".join(row[i] for i in columns) + "\n" for row in [head, *rows[start:stop]]))
    return part


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a results folder with the weights of an FCN-8s for two channels; beside it are its streams."""
    folder = tmp_path_factory.mktemp("kept")
    words = ["model=fcn_8s", "save_weights=true", f"model.fcn_8s.{SIZES}", "protocol.epochs=3", *SMALL[::2]]
    words += ["protocol.normalisation=train", f"results={folder / 'results'}", f"dataset={two_channels(folder)}"]
    assert main(["run", "task=segmentation", "protocol=segmentation", *words]) == 0
    return folder / "results"


def labelled(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_raw_streams_get_the_labels_of_the_record(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (record,) = store.read(kept)
    part, out = cut(kept.with_name("moves.csv"), [1, 2, 0, 3]), tmp_path / "out.csv"  # the channels in another order
    capsys.readouterr()
    assert main(["predict", str(kept), record.key[:6], str(part), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"{out}: labels of 240 timepoints of 1 stream\naccuracy {record.accuracy:.4f} (" in printed
    assert f"mean IU {record.mean_iu:.4f}, frequency-weighted IU {record.frequency_weighted_iu:.4f}" in printed
    rows, (probabilities, _, y_pred) = (
        labelled(out),
        artifacts.read_predictions(kept, record.key, record.n_test, record.n_classes),
    )
    assert list(rows[0]) == ["stream", "timepoint", "label", "predicted", *(f"probability_{c}" for c in CLASSES)]
    assert [(row["stream"], row["timepoint"]) for row in rows] == [("p3", str(t)) for t in range(240)]
    known = [row for row in rows if row["label"]]
    assert [row["predicted"] for row in known] == [CLASSES[place] for place in y_pred]
    found = [[float(row[f"probability_{label}"]) for label in CLASSES] for row in known]
    np.testing.assert_allclose(found, probabilities, atol=1e-3)  # stored in float16

    assert main(["predict", f"{kept}/{record.key}", str(kept.with_name("moves.csv")), "--out", str(out)]) == 0
    of_train, of_test = capsys.readouterr().out.splitlines()[1:]
    assert of_train.startswith("train: accuracy") and of_test.startswith(f"test: accuracy {record.accuracy:.4f} (")
    assert [row["predicted"] for row in labelled(out)[720:]] == [row["predicted"] for row in rows]

    bare = cut(part, [2, 0], 0, 240)  # without labels and names of streams
    assert main(["predict", f"{kept}/{record.key}", str(bare), "--out", str(out)]) == 0
    assert "accuracy" not in capsys.readouterr().out
    assert [row["predicted"] for row in labelled(out)] == [row["predicted"] for row in rows]
    assert {row["stream"] for row in labelled(out)} == {"0"} and "label" not in labelled(out)[0]

    x = np.loadtxt(bare, delimiter=",", skiprows=1)
    np.savez(tmp_path / "bare.npz", x=x)
    labeller = tsfcn.load_labeller(artifacts.weights_path(kept, record.key))
    (label,) = labeller.predict([x.T])
    assert label.tolist() == [row["predicted"] for row in rows] and labeller.classes_.tolist() == CLASSES
    assert main(["predict", f"{kept}/{record.key}", str(tmp_path / "bare.npz"), "--out", str(out)]) == 0
    assert [row["predicted"] for row in labelled(out)] == label.tolist()
    card = artifacts.card_path(kept, record.key).read_text()
    assert "tsfcn.load_labeller(" in card and "of the test timepoints" in card


def test_a_single_channel_is_found_by_its_name_or_is_alone() -> None:
    """Columns that a file has besides it are left out; a file without others may call it as it likes."""
    saved = SimpleNamespace(passport={"channels": "acc"}, preparation=SimpleNamespace(n_channels=1))
    labeller: Any = SimpleNamespace(saved_=saved)

    def of(*channels: str, n: int = 0) -> Any:
        values = np.arange(float(n or len(channels)))[None]
        text = np.array([""])
        return channels_of(Path("f.csv"), Table(values, text, text, text, channels), labeller)[0].tolist()

    assert of("gyr", "acc", "mag") == [1.0] and of("x") == [0.0] and of(n=1) == [0.0]
    with pytest.raises(UserError, match="lacks column 'acc', a channel of the training streams"):
        of("x", "y")
    with pytest.raises(UserError, match="has streams of 2 channels: give 1, as in training"):
        of(n=2)


@pytest.mark.parametrize("kind", ["none", "classification", "empty"])
def test_streams_of_a_folder_without_any_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    message = {"none": "is not a folder", "empty": "is without records", "classification": "of task=segmentation, or"}
    if kind == "classification":
        save(tmp_path, record())
    assert main(["streams", str(tmp_path / "none" if kind == "none" else tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message[kind] in line


@pytest.mark.parametrize(
    ("columns", "stop", "text", "words", "message"),
    [
        ([0, 2], 960, None, [], "part.csv' lacks column 'gyr', a channel of the training streams"),
        ([0, 1, 2], 740, None, [], "part.csv' has a stream of 20 timepoints, fewer than the stride of 32"),
        ([0, 1, 2], 960, ("run", "fly"), [], "has the label 'fly', which is none of the classes (rest, run, walk)"),
        ([0, 1, 2], 960, ("label", "activity"), [], "column 3 is 'rest': write a number"),
        ([0, 1, 2], 960, ("label", "activity"), [], "if it is a label, name its column with label="),
        ([0, 1, 2], 960, None, ["label=move"], "has no column 'move'"),
        ([0, 1, 2], 960, None, ["columns.case=acc"], "columns.case, time, value and dimension are for series"),
        ([0, 1, 4], 960, ("test", "new"), [], "has 'new' in its column split: write train or test"),
        ([0, 1, 2], 960, ("run", "run"), ["--out", "part.csv"], "is the file that is read"),
    ],
)
def test_streams_that_do_not_fit_are_one_line(
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    columns: list[int],
    stop: int,
    text: tuple[str, str] | None,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(kept.parent)
    part = cut(kept.with_name("moves.csv"), columns, stop=stop)
    part.write_text(part.read_text().replace(*(text or ("", ""))))
    assert main(["predict", f"{kept}/{store.read(kept)[0].key}", "part.csv", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_arrays_and_files_of_another_kind_are_one_line(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = artifacts.weights_path(kept, store.read(kept)[0].key)
    np.savez(tmp_path / "a.npz", x=np.zeros((50, 3)))
    assert main(["predict", str(file), str(tmp_path / "a.npz")]) == 2
    assert "has streams of 3 channels: give 2, as in training" in capsys.readouterr().err
    (tmp_path / "a.ts").write_text("@data\n")
    assert main(["predict", str(file), str(tmp_path / "a.ts")]) == 2
    assert "is of a format that is not read for streams: write .csv or .npz" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"labels timepoints: use tsfcn\.load_labeller"):
        tsfcn.load_classifier(file)
    labeller = tsfcn.load_labeller(file)
    for streams, message in (
        ([np.zeros((3, 50))], r"has shape \(3, 50\): give \(2, n_timepoints\)"),
        ([np.zeros((2, 20))], "stream of 20 timepoints, fewer than the stride"),
        ([np.full((2, 50), np.nan)], "missing values"),
    ):
        with pytest.raises(UserError, match=message):
            labeller.predict(streams)


def test_the_weights_of_a_finished_job_are_written_without_training(
    tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*DENSE, f"dataset={walks(tmp_path)}", "model=fcn_32s", f"model.fcn_32s.{SIZES}"]
    words.append(f"results={tmp_path / 'results'}")
    assert main(words) == 0
    stages = {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "stages").iterdir()}
    assert main([*words, "save_weights=true"]) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "stages").iterdir()} == stages
    assert len(list((tmp_path / "results" / "weights").glob("*.safetensors"))) == 1
