"""`tsfcn predict`: raw series give the accuracy of the record, from every form of file, and mistakes are one line."""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tsfcn
from tests import formats, tables
from tests.factories import ITALY
from tsfcn.__main__ import main
from tsfcn.data.dataset import Dataset
from tsfcn.estimators import FCNClassifier
from tsfcn.jobs import store
from tsfcn.run import main as run

Cells = list[dict[str, str]]


def rows(path: Path) -> Cells:
    """Return the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def written(root: Path, dataset: Dataset, lengths: Sequence[int] = ()) -> None:
    """Write a dataset as files named Made, its cases cut to lengths in turn where these are given."""
    splits = []
    for x, y in ((dataset.x_train, dataset.y_train), (dataset.x_test[:200], dataset.y_test[:200])):
        cases = [case[:, : lengths[i % len(lengths)]] if lengths else case for i, case in enumerate(x)]
        splits.append((cases, y.tolist()))
    formats.write(root, "Made", "tsv", splits[0], splits[1])


def unequal(root: Path) -> None:
    """Write ItalyPowerDemand with cases of 15 to 24 timepoints."""
    written(root, tsfcn.load(ITALY), lengths=(24, 20, 15))


def with_missing_values(root: Path) -> None:
    """Write ItalyPowerDemand with missing values, also at the ends of cases."""
    dataset = tsfcn.load(ITALY)
    for x in (dataset.x_train, dataset.x_test):
        x[1::3, 0, 5:8], x[2::3, 0, 20:] = np.nan, np.nan
    written(root, dataset)


def check_equals_record(
    words: Sequence[str], test_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run jobs, predict the raw test file with each kept network, and compare the accuracies with the records."""
    results = tmp_path / "results"
    shared = ["protocol.epochs=2", "save_weights=true", "executor=inline", f"results={results}"]
    assert run([*words, *shared]) == 0
    records = store.read(results)
    assert records
    for record in records:
        capsys.readouterr()
        assert main(["predict", f"{results}/{record.key}", str(test_file), "--out", str(tmp_path / "out.csv")]) == 0
        found = re.search(r"accuracy \S+ \((\d+) of (\d+) cases\)", capsys.readouterr().out)
        assert found is not None and int(found[1]) / int(found[2]) == record.accuracy
        stored = np.load(results / "predictions" / f"{record.key}.npz", allow_pickle=False)
        predicted = [row["predicted"] for row in rows(tmp_path / "out.csv")]
        assert predicted == stored["classes"][stored["y_pred"]].tolist()
        names = [f"probability_{label}" for label in stored["classes"]]
        cells = [[float(row[name]) for name in names] for row in rows(tmp_path / "out.csv")]
        np.testing.assert_allclose(cells, stored["probabilities"], atol=3e-4)  # stored in float16
        assert np.ptp(stored["probabilities"][:, 0].astype(float)) > 0.01  # they depend on the series


@pytest.mark.parametrize("kind", [unequal, with_missing_values])
@pytest.mark.parametrize(
    "policies",
    [
        ["model=fcn,mlp"],
        ["model=fcn,lstm_fcn", "protocol.cells=[8]", "protocol.length=mask", "protocol.missing=interpolate"],
        ["model=fcn", "protocol.normalisation=train", "protocol.length=cut", "protocol.missing=interpolate"],
        ["model=fcn,mlp", "protocol.truncate=0.7"],
        ["model=fcn,mlp", "protocol.truncate=0.7", "protocol.length=cut", "protocol.permute_time=1"],
    ],
    ids=["zeros", "mask", "training statistics", "truncated", "permuted"],
)
def test_raw_series_give_the_accuracy_of_the_record(
    kind: object, policies: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(kind)
    kind(tmp_path)
    words = ["dataset=Made", f"archive.root={tmp_path}", *policies]
    check_equals_record(words, tmp_path / "Made" / "Made_TEST.tsv", tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PickupGestureWiimoteZ", "DodgerLoopWeekend"])  # unequal length; missing values
def test_raw_series_of_the_archive_give_the_accuracy_of_the_record(
    name: str, archive_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"dataset={name}", f"archive.root={archive_root}", "model=fcn"]
    check_equals_record(words, archive_root / name / f"{name}_TEST.tsv", tmp_path, capsys)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a classifier of series of 8 timepoints, of the classes walk and run."""
    cases = tables.TRAIN
    classifier = FCNClassifier(epochs=2, filters=(4, 4, 4), random_state=0).fit(cases.values[:, None], cases.labels)
    return classifier.save(tmp_path_factory.mktemp("model") / "walks.safetensors")


def probabilities(model: Path, file: Path, *words: str) -> Cells:
    """Run `tsfcn predict` and return the rows of its CSV."""
    out = file.with_name("out.csv")
    assert main(["predict", str(model), str(file), *words, "--out", str(out)]) == 0
    return rows(out)


def files_of_every_form(folder: Path) -> dict[str, tuple[Path, list[str], bool]]:
    """Write the test cases in every form, with and without labels: file, further words, whether it has labels."""
    cases = [row[None] for row in tables.TEST.values]
    written: dict[str, tuple[Path, list[str], bool]] = {}
    for form, (suffix, writer) in formats.WRITERS.items():
        path = folder / f"{form.replace(' ', '_')}{suffix or '_plain'}"
        path.write_text(writer(cases, tables.TEST.labels), encoding="utf-8")
        written[form] = path, [], True
    head = ",".join(f"t{i}" for i in range(8))
    values = "".join(",".join(map(str, row)) + "\n" for row in tables.TEST.values.tolist())
    texts = {
        "header without labels": ("a.csv", f"{head}\n{values}", []),
        "no header, no labels": ("b.csv", values, ["--no-labels"]),
        ".ts without labels": ("c.ts", f"@problemName a\n@classLabel false\n@data\n{values}", []),
        ".arff without labels": (
            "d.arff",
            "@relation a\n" + "".join(f"@attribute t{i} numeric\n" for i in range(8)) + f"@data\n{values}",
            [],
        ),
        "long without labels": ("e.csv", re.sub(r"(?m)^(\w+),\w+,", r"\1,", tables.long(tables.TEST)), []),
    }
    for form, (name, text, words) in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        written[form] = folder / name, words, False
    (folder / "f.csv").write_text(tables.wide(tables.TEST, tables.header().replace("label", "activity")))
    written["a label that is named"] = folder / "f.csv", ["label=activity"], True
    (folder / "g.csv").write_text(tables.long(tables.TEST))
    written["long"] = folder / "g.csv", [], True
    np.savez(folder / "h.npz", X=tables.TEST.values, y=np.array(tables.TEST.labels))
    written["npz"] = folder / "h.npz", [], True
    np.savez(folder / "i.npz", X=tables.TEST.values)
    written["npz without labels"] = folder / "i.npz", [], False
    np.save(folder / "j.npy", tables.TEST.values[:, None])
    written["npy of three axes"] = folder / "j.npy", [], False
    np.save(folder / "k.npy", tables.TEST.values)
    written["npy of two axes"] = folder / "k.npy", ["--no-labels"], False
    return written


def test_every_form_of_a_file_gives_the_same_predictions(model: Path, tmp_path: Path) -> None:
    classifier = tsfcn.load_classifier(model)
    expected = classifier.predict_proba(tables.TEST.values[:, None])
    for form, (path, words, is_labelled) in files_of_every_form(tmp_path).items():
        cells = probabilities(model, path, *words)
        read = np.array([[float(row["probability_run"]), float(row["probability_walk"])] for row in cells])
        np.testing.assert_allclose(read, expected, atol=1e-6, err_msg=form)
        assert [row["case"] for row in cells] == [str(i) for i in range(10)]
        assert [row["predicted"] for row in cells] == classifier.predict(tables.TEST.values[:, None]).tolist()
        assert [row.get("label") for row in cells] == (tables.TEST.labels if is_labelled else [None] * 10), form


def test_the_csv_goes_to_standard_output_and_the_accuracy_to_standard_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text(tables.wide(tables.TEST, tables.header()))
    assert main(["predict", str(model), str(tmp_path / "a.csv")]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("case,label,predicted,probability_run,probability_walk\n0,walk,")
    assert len(captured.out.splitlines()) == 11
    assert re.search(r"^accuracy 0\.\d{4} \(\d of 10 cases\)$", captured.err, re.MULTILINE)


def test_series_of_another_length_are_predicted_by_a_network_that_takes_any(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text("@problemName a\n@classLabel false\n@data\n1,2,3\n" + ",".join("123" * 9) + "\n")
    expected = tsfcn.load_classifier(model).predict_proba([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0] * 9])
    cells = probabilities(model, tmp_path / "a.ts")
    assert [float(row["probability_walk"]) for row in cells] == pytest.approx(expected[:, 1], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "words", "message"),
    [
        ("a.csv", None, [], "a.csv' does not exist"),
        ("a.doc", "1,2", [], "is of a format that is not read"),
        ("a.csv", tables.wide(tables.TEST).replace("walk", "1.5").replace("run", "2.5"), [], "give --no-labels"),
        ("a.ts", "@problemName a\n@classLabel false\n@data\n1,2:3,4\n", [], "2 channels: give 1"),
        ("a.csv", tables.wide(tables.TEST, tables.header()), ["label=t99"], "has no column 't99'"),
        ("a.csv", tables.wide(tables.TEST), ["--out", "a.csv"], "is the file that is read"),
        ("a.csv", tables.wide(tables.TEST), ["--out", "."], "'.' is a folder: name a file"),
        ("a.csv", tables.wide(tables.TEST), ["lable=a"], "'lable=a' is not an option: use label=NAME"),
    ],
)
def test_a_mistake_is_one_line(
    name: str,
    content: str | None,
    words: list[str],
    message: str,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_text(content)
    assert main(["predict", str(model), name, *words]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert content is None or (tmp_path / name).read_text() == content


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["results/abcd0123"], "has no weights in"),
        (["results", "../../etc"], "key '../../etc' is not one"),
        (["results"], "is a folder: give"),
        (["nothing.safetensors"], "are not readable: No such file"),
        (["a.csv"], "are not readable: no whole safetensors file"),
    ],
)
def test_a_model_that_is_none_is_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "a.csv").write_text(tables.wide(tables.TEST, tables.header()))
    assert main(["predict", *words, "a.csv"]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


def test_a_key_may_be_shortened_until_it_is_ambiguous(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results" / "weights"
    folder.mkdir(parents=True)
    (tmp_path / "a.csv").write_text(tables.wide(tables.TEST, tables.header()))
    for key in ("abcd000000000000", "abcd100000000000"):
        shutil.copy(model, folder / f"{key}.safetensors")
    words = [str(tmp_path / "a.csv"), "--out", str(tmp_path / "out.csv")]
    assert main(["predict", str(tmp_path / "results"), "abcd1", *words]) == 0
    assert main(["predict", str(tmp_path / "results" / "abcd"), *words]) == 2
    assert "the beginning of 2 keys" in capsys.readouterr().err


def test_columns_are_matched_by_the_names_of_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tsfcn.load(ITALY)
    names = [f"t{number}" for number in sorted(range(24), key=str)]  # t0, t1, t10, t11, ...
    train, test = (pd.DataFrame(x[:60, 0], columns=names) for x in (data.x_train, data.x_test))
    classifier = FCNClassifier(epochs=20, bn_momentum=0.9, random_state=0).fit(train, data.y_train[:60])
    path = classifier.save(tmp_path / "a.safetensors")
    test.to_csv(tmp_path / "same.csv", index=False)
    test[names[::-1]].to_csv(tmp_path / "reversed.csv", index=False)
    expected = classifier.predict_proba(test)[:, 0]
    for name in ("same.csv", "reversed.csv"):
        found = [float(row["probability_1"]) for row in probabilities(path, tmp_path / name)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    test.rename(columns={"t3": "t99"}).to_csv(tmp_path / "other.csv", index=False)
    capsys.readouterr()
    assert main(["predict", str(path), str(tmp_path / "other.csv")]) == 2
    assert "it lacks column 't3', of which the classifier has learned" in capsys.readouterr().err


def test_series_of_another_length_than_those_of_training_are_reported(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "a.npz", X=np.random.RandomState(0).standard_normal((3, 7)))
    capsys.readouterr()
    assert main(["predict", str(model), str(tmp_path / "a.npz")]) == 0
    error = capsys.readouterr().err
    assert f"the series have 7 timepoints, those of training had {tables.TRAIN.values.shape[1]}" in error
    assert "shorter than the receptive field" in error


def test_a_label_that_is_a_formula_is_not_run_by_a_spreadsheet(tmp_path: Path) -> None:
    labels = ["=1+1" if label == "walk" else label for label in tables.TRAIN.labels]
    classifier = FCNClassifier(epochs=1, filters=(2, 2, 2)).fit(tables.TRAIN.values[:, None], labels)
    path = classifier.save(tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", X=tables.TRAIN.values, y=np.array(labels))
    assert {row["label"] for row in probabilities(path, tmp_path / "a.npz")} == {"'=1+1", "run"}


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "predict.md").read_text()
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, names)
    assert sorted(os.listdir()) == ["italy.md", "italy.pt2", "italy.safetensors"]
    assert 0.8 < names["accuracy"] < 1
    assert f"| accuracy | {names['accuracy']:.4f} of" in Path("italy.md").read_text()
