"""Reproducing a paper: the run that it determines, and the verdicts on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import tsfcn
from tests.records import record
from tsfcn.analysis import tables
from tsfcn.common.errors import UserError
from tsfcn.common.exit_codes import BAD_INPUT, OK
from tsfcn.jobs import store
from tsfcn.reproduce import main, overrides, verdict_text, verdicts


def test_the_paper_decides_protocol_and_split() -> None:
    source, words = overrides(["paper=fawaz2019_ucr128", "model=fcn", "dataset=small"])
    assert source == "fawaz2019_ucr128"
    assert words == ["protocol=fawaz2019", "seeds=3", "archive.split=ucr2018", "model=fcn", "dataset=small"]
    source, words = overrides(["paper=Karim2019", "model=[lstm_fcn,alstm_fcn]", "seeds=5", "budget=1h"])
    assert source == "karim2019"
    assert words == [
        "protocol=karim2019",
        "archive.split=ucr2015",
        "model=[lstm_fcn,alstm_fcn]",
        "seeds=5",
        "budget=1h",
    ]


def test_an_experiment_decides_the_seeds() -> None:
    _, words = overrides(["paper=karim2019", "experiment=karim2019"])
    assert words == ["protocol=karim2019", "archive.split=ucr2015", "experiment=karim2019"]


def test_a_model_in_another_spelling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["paper=karim2019", "model=LSTM-FCN", "dataset=GunPoint", f"results={tmp_path / 'out'}", "dry_run=true"]
    assert main(words) == OK
    assert "GunPoint lstm_fcn karim2019 seed 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=fcn"], "paper= must be given once"),
        (["paper=", "model=fcn"], "paper= must be given once"),
        (["paper=fawas2019_ucr128"], "did you mean"),
        (["paper=fawaz2019"], "is short for"),
        (["paper=karim2018"], "its weights were selected on the test set: use one of fawaz2019_ucr128, hinception2022"),
        (["paper=rocket2020"], "no protocol describes its runs"),
        (["paper=karim2019/lstm_fcn"], "write paper=karim2019 model=NAME"),
        (["paper=karim2019", "protocol=fawaz2019"], "leave it out, it is karim2019"),
        (["paper=karim2019", "model=resnet"], "is not in karim2019: use one of"),
        (["paper=karim2019", "experiment=wang2017_table1"], "model 'fcn' is not in karim2019: use one of"),
        (["paper=lite2023", "model=inception"], "model 'inception' is not in lite2023: use one of lite\n"),
        (["paper=karim2019"], "model 'fcn' is not in karim2019: use one of lstm_fcn, alstm_fcn"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "dry_run=true"]) == BAD_INPUT
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err


def test_figures_are_those_of_the_named_paper() -> None:
    ours = [record("Coffee", protocol="wang2017", seed=seed, accuracy=1.0) for seed in (0, 1, 2)]
    by_source = {s: tables.accuracy(ours, s)["published"][0] for s in ("wang2017_table1", "wang2017_readme85")}
    assert by_source == {"wang2017_table1": 1.0, "wang2017_readme85": 1.0}
    assert verdicts(ours, "wang2017_readme85")["published_source"][0] == "wang2017_readme85"
    assert verdicts(ours, "karim2019").empty


def test_datasets_without_a_verdict_are_named() -> None:
    ours = [record("ItalyPowerDemand", seed=seed, accuracy=0.96) for seed in (0, 1)]
    text = verdict_text([*ours, record("PLAID", accuracy=0.4)], "fawaz2019_ucr128")
    assert "equivalent" in text
    assert "No verdict on 1 (PLAID): fawaz2019_ucr128 has no figure of the same data, split and settings." in text
    nothing = verdict_text([record("PLAID", accuracy=0.4)], "fawaz2019_ucr128")
    assert nothing.startswith("No row has a published figure")


def test_it_runs_and_judges(tmp_path: Path) -> None:
    """Bundled data and real jobs of an epoch: a changed setting is another experiment, and gets no verdict."""
    words = ["paper=fawaz2019_ucr128", "dataset=ItalyPowerDemand", "seeds=2", "protocol.epochs=1", "executor=inline"]
    assert main([*words, f"results={tmp_path / 'out'}"]) == OK
    assert [r.protocol for r in store.read(tmp_path / "out")] == ["fawaz2019[epochs=1]"] * 2
    assert (
        (tmp_path / "out" / "commands.txt").read_text().startswith("python -m tsfcn.reproduce paper=fawaz2019_ucr128")
    )


def test_from_python_finished_jobs_are_judged_and_not_trained(tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(Path(__file__).parents[2] / "results" / "records", results / "records")
    table = tsfcn.reproduce("fawaz2019_ucr128", "fcn", ["ItalyPowerDemand", "GunPoint"], results=str(results))
    assert list(table["dataset"]) == ["GunPoint", "ItalyPowerDemand", "2 datasets", "2 datasets"]
    assert list(table["n_seeds"]) == [3, 3, 6, 6]
    assert list(table["word"]) == ["equivalent", "equivalent", "undecided", ""], "two datasets are too few"
    with pytest.raises(UserError, match="no protocol describes its runs"):
        tsfcn.reproduce("rocket2020")
