"""Results in the forms of others: what they hold, and that sktime reads what is written for it."""

from __future__ import annotations

import csv
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.version import Version
from sklearn.metrics import precision_score

from tests.records import PASSPORT, record, save
from tsfcn.analysis import score_columns
from tsfcn.analysis.columns import Place
from tsfcn.analysis.convert import FORMS
from tsfcn.cli.convert import main
from tsfcn.jobs import artifacts, store

ROOT = Path(__file__).parents[3]
compares_with_newer_sktime = pytest.mark.skipif(
    Version(version("sktime")) < Version("1.2"), reason="sktime 1.2 or newer has the classes to compare with"
)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with two seeds, a resample, predictions of two records, and what no form can say."""
    rng = np.random.default_rng(0)
    y_true, classes = rng.integers(0, 3, size=20), np.array(["a", "b", "c"])
    made = []
    for seed, resample in ((0, 0), (1, 0), (0, 1)):
        probabilities = rng.dirichlet(np.ones(3), size=20)
        y_pred = probabilities.argmax(axis=1)
        other: dict[str, Any] = {"n_classes": 3, "n_test": 20, "balanced_accuracy": 0.5}
        made.append(record("Coffee", seed=seed, resample=resample, accuracy=float(np.mean(y_pred == y_true)), **other))
        if resample == 0:
            artifacts.write_predictions(tmp_path / "r", made[-1].key, probabilities, y_true, y_pred, classes)
    made.append(record("FordA", group="old", passport=PASSPORT | {"split": "ucr2015"}))
    made.append(record("Chinatown", passport=PASSPORT | {"revision": "early"}))
    made.append(record("Beef", model="lstm_fcn", protocol="karim2019[epochs=3]", accuracy=0.7, off_paper=True))
    made.append(record("Beef", seed=1, status="failed", reason="loss is nan"))
    return save(tmp_path / "r", *made)


def convert(results: Path, out: Path, form: str) -> Path:
    assert main([str(results), str(out), "--to", form]) == 0
    return out


def accuracies(word: Path) -> dict[str, dict[Place, float]]:
    return {c.name: {p: cell.accuracy for p, cell in c.cells.items()} for c in score_columns.read([str(word)])}


@pytest.mark.parametrize("form", ["wide", "long"])
def test_our_forms_are_read_again(results: Path, tmp_path: Path, form: str) -> None:
    out = convert(results, tmp_path / "out.csv", form)
    again, folder = accuracies(out), accuracies(results)
    assert list(again) == list(folder)
    for name, cells in folder.items():
        assert again[name] == pytest.approx(cells, abs=1e-6)


def test_a_paper_becomes_a_table(tmp_path: Path) -> None:
    assert main(["published:karim2019", str(tmp_path / "out.csv"), "--to", "long"]) == 0
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert len(rows) == 85 * 14
    trace = next(r for r in rows if r["dataset"] == "Trace" and r["model"] == "karim2019/lstm_fcn")
    assert (trace["split"], trace["accuracy"], trace["note"]) == ("ucr2018", "0.250000", "broken: chance level")


def test_aeon_form_has_a_column_a_resample(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = convert(results, tmp_path / "out", "aeon")
    assert capsys.readouterr().out == f"2 files written to {out}; 2 records on other files left out\n"
    assert sorted(p.name for p in out.iterdir()) == [
        "fcn_fawaz2019_accuracy.csv",
        "lstm_fcn_karim2019-epochs-3_accuracy.csv",
    ]
    assert (out / "fcn_fawaz2019_accuracy.csv").read_text().startswith("Resamples:,0,1\nCoffee,")
    folder = accuracies(results)["fcn (fawaz2019)"]
    assert accuracies(out)["fcn_fawaz2019"] == pytest.approx({p: a for p, a in folder.items() if p.dataset == "Coffee"})


def test_tsml_form_has_a_line_a_case(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = convert(results, tmp_path / "out", "tsml")
    assert "2 files written" in (said := capsys.readouterr().out)
    assert "2 records without predictions left out" in said
    read = accuracies(out)
    assert {name: list(cells) for name, cells in read.items()} == {
        "fcn_fawaz2019": [Place("Coffee", "ucr2018")],
        "fcn_fawaz2019_seed1": [Place("Coffee", "ucr2018")],
    }
    lines = (out / "fcn_fawaz2019/Predictions/Coffee/testResample0.csv").read_text().splitlines()
    # As the loader of tsml-eval takes them apart: nine fields, whole labels, probabilities that sum to one.
    assert lines[0].split(",")[:5] == ["Coffee", "fcn_fawaz2019", "TEST", "0", "SECONDS"]
    third = lines[2].split(",")
    assert len(third) == 9 and int(third[5]) == 3 and float(third[7]) == float(third[8]) == -1
    cases = [line.split(",") for line in lines[3:]]
    assert len(cases) == 20 and {len(case) for case in cases} == {3 + 3}
    right = np.mean([int(case[0]) == int(case[1]) for case in cases])
    assert right == float(third[0]) == read["fcn_fawaz2019"][Place("Coffee", "ucr2018")]
    assert [sum(map(float, case[3:])) for case in cases] == pytest.approx([1.0] * 20, rel=1e-12)


def test_dl_4_tsc_form_has_a_row_a_run(results: Path, tmp_path: Path) -> None:
    out = convert(results, tmp_path / "out.csv", "dl4tsc")
    rows = list(csv.DictReader(out.open()))
    header = "classifier_name archive_name dataset_name iteration precision accuracy recall duration"
    assert list(rows[0]) == header.split()
    assert [(r["classifier_name"], r["dataset_name"], r["iteration"]) for r in rows] == [
        ("fcn_fawaz2019", "Coffee", "0.0"),
        ("fcn_fawaz2019", "Coffee", "1.0"),
        ("lstm_fcn_karim2019-epochs-3", "Beef", "0.0"),
    ]
    with np.load(artifacts.predictions_path(results, record("Coffee").key)) as stored:
        expected = precision_score(stored["y_true"], stored["y_pred"], average="macro", zero_division=0)
    assert float(rows[0]["precision"]) == pytest.approx(expected) and rows[2]["precision"] == ""
    assert accuracies(out)["fcn_fawaz2019"] == pytest.approx(
        {p: a for p, a in accuracies(results)["fcn (fawaz2019)"].items() if p == Place("Coffee", "ucr2018")}
    )


@compares_with_newer_sktime
def test_sktime_reads_its_form(results: Path, tmp_path: Path) -> None:
    from sktime.benchmarking.benchmarks import BenchmarkingResults

    out = convert(results, tmp_path / "out.csv", "sktime")
    frame = BenchmarkingResults(str(out)).to_df()
    fcn = frame[(frame["model_id"] == "fcn_fawaz2019") & (frame["validation_id"] == "Coffee")].iloc[0]
    ours = [r.accuracy for r in store.read(results) if r.dataset == "Coffee" and r.resample == 0]
    assert [fcn["accuracy_score_fold_0_test"], fcn["accuracy_score_fold_1_test"]] == pytest.approx(ours)
    assert fcn["accuracy_score_mean"] == pytest.approx(np.mean(ours))


@compares_with_newer_sktime
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # sktime takes the deviation of a single fold
def test_what_sktime_writes_is_read(tmp_path: Path) -> None:
    from sklearn.metrics import accuracy_score
    from sklearn.model_selection import KFold, PredefinedSplit
    from sktime.benchmarking.classification import ClassificationBenchmark
    from sktime.classification.dummy import DummyClassifier
    from sktime.datasets import load_italy_power_demand, load_unit_test

    benchmark = ClassificationBenchmark()
    benchmark.add_estimator(DummyClassifier(), "Dummy")
    benchmark.add_task(load_italy_power_demand, KFold(3), [accuracy_score])
    benchmark.add_task(load_unit_test, PredefinedSplit([-1] * 20 + [0] * 22), [accuracy_score], task_id="UnitTest")
    frame = benchmark.run(str(tmp_path / "stored.csv"))
    frame.to_csv(tmp_path / "returned.csv", index=False)
    for name in ("stored.csv", "returned.csv"):
        read = accuracies(tmp_path / name)["Dummy"]
        assert set(read) == {Place("ItalyPowerDemand", "3 folds"), Place("UnitTest", "ucr2018")}
        means = dict(zip(frame["validation_id"], frame["accuracy_score_mean"], strict=True))
        assert sorted(read.values()) == pytest.approx(sorted(means.values()))


def test_what_is_left_out_is_counted(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("dl4tsc", "sktime"):
        convert(results, tmp_path / form, form)
        said = capsys.readouterr().out
        assert said.startswith("3 records written to ") and "; 1 records of resamples left out" in said
    drawn = save(tmp_path / "drawn", record("Coffee", resample=2))
    for form, why in (("sktime", "write them --to aeon"), ("wide", "needs all from 0")):
        assert main([str(drawn), str(tmp_path / "no"), "--to", form]) == 2
        assert "is of resamples alone" in (said := capsys.readouterr().err) and why in said
    assert not (tmp_path / "no").exists()


def test_two_datasets_do_not_become_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    p, y = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([0, 1])
    for names, count in (("é ü", 2), ("a,b a;b", 0)):
        made = [record(name, accuracy=1.0, n_test=2) for name in names.split()]
        results = save(tmp_path / names, *made)
        for each in made:
            artifacts.write_predictions(results, each.key, p, y, y, np.array(["a", "b"]))
        out = tmp_path / f"out {names}"
        assert main([str(results), str(out), "--to", "tsml"]) == (0 if count else 2)
        assert len(list(out.rglob("*.csv"))) == count
    assert "'a;b' and another dataset would both be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["published:karim2019", "out", "--to", "tsml"], "'published:karim2019' is no results folder: --to tsml needs"),
        (["nofile.csv", "out", "--to", "wide"], "'nofile.csv' is no file or folder here"),
        (["RESULTS", "FOLDER", "--to", "dl4tsc"], "is a folder: --to dl4tsc writes one file, name it"),
        (["RESULTS", "FILE", "--to", "aeon"], "is a file: --to aeon writes a folder, name one"),
    ],
)
def test_mistakes_are_one_line(
    results: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    there = {"RESULTS": str(results), "FOLDER": str(tmp_path), "FILE": str(tmp_path / "file")}
    assert main([there.get(word, word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err
    assert (tmp_path / "file").read_text() == "x"


def test_names_of_records_lead_out_of_no_folder(tmp_path: Path) -> None:
    evil = record("../../Coffee", model="../../up", accuracy=0.5, n_test=2)
    p = np.array([[0.9, 0.1], [0.9, 0.1]])
    results = save(tmp_path / "in" / "r", evil)
    artifacts.write_predictions(results, evil.key, p, np.array([0, 1]), np.array([0, 0]), np.array(["a", "b"]))
    for form in ("tsml", "aeon"):
        convert(results, tmp_path / "in" / form, form)
    written = set(tmp_path.rglob("*.csv"))
    assert len(written) == 2 and all((tmp_path / "in") in p.parents for p in written)
    assert not any(os.pardir in p.parts for p in written)


def test_every_form_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "compare.md").read_text()
    assert all(f"`{form}`" in text for form in FORMS)
