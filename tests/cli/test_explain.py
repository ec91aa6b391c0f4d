"""tsfcn explain: trains or reuses a network, writes its figures and its faithfulness."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.factories import coffee_job
from tests.records import written
from tsfcn.__main__ import main
from tsfcn.analysis.faithfulness import Faithfulness
from tsfcn.cli.explain import gallery_rows, write_scores

WORDS = ["dataset=ItalyPowerDemand", "protocol=smoke", "protocol.epochs=2", "executor=inline", "--cases", "5"]


def explain(results: Path, *words: str) -> int:
    return main(["explain", *WORDS, f"results={results}", *words])


def test_figures_and_scores_of_a_trained_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, out = tmp_path / "results", tmp_path / "figures"
    words = ("model=[fcn,mlp]", "model.fcn.filters=[6,5,4]", "--out", str(out))
    assert explain(results, *words) == 0
    printed = capsys.readouterr().out
    pictures = sorted(path.name.split("-")[-1] + path.name.split("-")[1] for path in out.glob("*.png"))
    assert pictures == ["classes.pngfcn", "classes.pngmlp", "gallery.pngfcn", "gallery.pngmlp"]
    rows = list(csv.DictReader((out / "faithfulness.csv").open()))
    assert [(row["model"].partition("[")[0], row["n_cases"]) for row in rows] == [("fcn", "5"), ("mlp", "5")]
    assert all(0 <= float(row[name]) <= 1 for row in rows for name in ("deletion", "random", "insertion"))
    assert rows[0]["deletion"] in printed and "of 2 jobs" in printed
    times = {path: path.stat().st_mtime_ns for path in (results / "weights").iterdir()}
    assert explain(results, *words) == 0  # the kept weights are used
    assert {path: path.stat().st_mtime_ns for path in (results / "weights").iterdir()} == times
    assert len(written(results)) == 2


def test_figures_lie_in_the_results_folder_by_default(tmp_path: Path) -> None:
    assert explain(tmp_path, "model=alstm_fcn", "model.alstm_fcn.shuffle=false", "model.alstm_fcn.cells=3") == 0
    kinds = {path.stem.rpartition("-")[2] for path in (tmp_path / "explain").glob("*.png")}
    assert kinds == {"classes", "attention", "gallery"}


def test_dry_run_trains_and_writes_nothing(tmp_path: Path) -> None:
    assert explain(tmp_path / "results", "dry_run=true") == 0
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=fcn"], "dataset= is missing"),
        (["dataset=Cofee"], "did you mean 'Coffee'"),
        (["dataset=Coffee", "--cases", "0"], "--cases 0 is out of range"),
        (["dataset=Coffee", "--out", "FILE"], "is a file: name a folder"),
        (["dataset=GunPoint", "protocol.noise=0.5"], "protocol.noise=0.5 is drawn for the cases of the dataset"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("")
    assert main(["explain", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and len(error.splitlines()) == 1


def test_gallery_rows_are_by_confidence_and_share_no_case() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.55, 0.99, 0.95, 0.65, 0.75, 0.85])
    labels = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 1])
    rows = dict(gallery_rows(np.stack([confidence, 1 - confidence], axis=1), labels))
    assert rows["right, most confident"].tolist() == [5, 6, 0, 1]
    assert rows["right, least confident"].tolist() == [4, 3, 2]
    assert rows["wrong, most confident"].tolist() == [9, 8]
    assert rows["wrong, least confident"].tolist() == [7]


def test_names_with_quotation_marks_come_back_from_the_csv(tmp_path: Path) -> None:
    named = replace(coffee_job(), dataset='a "b", c')
    write_scores([(named, Faithfulness(0.1, 0.2, 0.3, 4))], tmp_path)
    (row,) = csv.DictReader((tmp_path / "faithfulness.csv").open(newline=""))
    assert (row["dataset"], row["n_cases"], row["insertion"]) == ('a "b", c', "4", "0.300")
