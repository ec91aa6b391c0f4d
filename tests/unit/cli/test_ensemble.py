"""`tsfcn ensemble`: its words, what it prints and writes, and its exit codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.records import record, save, written
from tsfcn.__main__ import main
from tsfcn.common.exit_codes import BAD_INPUT, OK, SKIPS
from tsfcn.jobs import artifacts

Y_TRUE = np.array([0, 1])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a results folder with two runs of LITE on Coffee, which are wrong on a different case each."""
    for seed, rows in enumerate(([[0.9, 0.1], [0.6, 0.4]], [[0.6, 0.4], [0.2, 0.8]])):
        run = record("Coffee", "lite", seed, 0.5 + seed / 2, protocol="lite2023", architecture="lite", n_test=2)
        artifacts.write_predictions(
            tmp_path, run.key, np.array(rows), Y_TRUE, np.argmax(rows, axis=1), np.array(["1", "2"])
        )
        save(tmp_path, run)
    return tmp_path


def test_a_table_on_stdout_and_what_was_done_on_stderr(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["ensemble", str(results), "members=LITE:2", "protocol=lite2023"]
    assert main(words) == OK
    out, err = capsys.readouterr()
    assert out.splitlines()[2].split()[:5] == ["Coffee", "lite:2", "lite2023", "1", "1.0000"]
    assert err == f"{results}: 1 ensemble written, 0 there before\n"
    assert (results / "commands.txt").read_text() == "tsfcn ensemble members=LITE:2 protocol=lite2023\n"
    assert "lite:2" in (results / "README.md").read_text()
    assert "Coffee,lite:2,lite2023," in (results / "tables" / "accuracy.csv").read_text()

    lines = written(results)
    assert main(words) == OK
    again, err = capsys.readouterr()
    assert (again, err) == (out, f"{results}: 0 ensembles written, 1 there before\n") and written(results) == lines
    assert main(["compare", f"{results}:lite:2", f"{results}:lite"]) == OK
    assert capsys.readouterr().out.startswith("No difference between lite:2 (lite2023) and lite (lite2023) is shown")


def test_what_was_left_out_is_named(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for dataset in ("Beef", "Wine"):
        save(results, record(dataset, "lite", protocol="lite2023"))
    assert main(["ensemble", str(results), "members=lite:2"]) == SKIPS
    reason = "runs of lite with seed 1 are missing: train with seeds=2"
    assert capsys.readouterr().err.splitlines() == [
        f"skipped: 2 (Beef, Wine): {reason}",
        f"{results}: 1 ensemble written, 0 there before",
    ]
    assert main(["ensemble", str(results), "members=lite:3"]) == SKIPS
    out, err = capsys.readouterr()
    assert out == "" and err.endswith(f"{results}: 0 ensembles written, 0 there before\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "members= is missing: name them, as members=inception:5"),
        (["member=lite:2"], "setting 'member' in 'member=lite:2' is not known: did you mean 'members=lite:2'?"),
        (
            ["seeds=5"],
            "setting 'seeds' in 'seeds=5' is not known: use members=, protocol=, weights= and a results folder",
        ),
        (["members=lite:2", "other"], "'other' is a second folder: name one results folder"),
        (["members=lite"], "members=lite is not MODEL:COUNT, or several with + between: write members=inception:5"),
        (["members=lihgt:2"], "did you mean 'lite'?"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], message: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ensemble", str(results), *words]) == BAD_INPUT
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and message in err and err.count("\n") == 1


def test_a_folder_of_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ensemble", str(tmp_path / "none"), "members=lite:2"]) == BAD_INPUT
    assert "is not a folder" in capsys.readouterr().err
    assert main(["ensemble", str(tmp_path), "members=lite:2"]) == BAD_INPUT
    assert "is without records" in capsys.readouterr().err
    (tmp_path / "README.md").write_text("mine")
    assert main(["ensemble", str(tmp_path), "members=lite:2"]) == BAD_INPUT
    assert "is not a page of tsfcn's" in capsys.readouterr().err
