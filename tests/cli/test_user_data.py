"""Runs of one's own data: what is printed before training, what stands in the record, and what a worker reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import tsfcn
from tests.tables import TEST, TRAIN, header, noise, wide, write_pair
from tsfcn.common.errors import UserError
from tsfcn.run import main

pytestmark = pytest.mark.usefixtures("own_cache")


def records(results: Path) -> list[dict[str, Any]]:
    """Return the records of a results folder."""
    lines = [line for path in sorted((results / "records").glob("*.jsonl")) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def test_a_run_says_what_it_read_and_keeps_it_in_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = header(before="subject_id,")
    folder = write_pair(tmp_path / "walks", wide(TRAIN, head, range(12)), wide(TEST, head, range(10)))
    words = [f"dataset={folder}", "protocol=smoke", "executor=inline", f"results={tmp_path / 'results'}"]
    assert main(words) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "Toy: read 12 + 10 cases x 8 timepoints, 1 channel, 2 classes (walk 6, run 6)",
        "Toy: warning: column 'subject_id' left out as no timepoint",
    ]
    (record,) = records(tmp_path / "results")
    assert record["status"] == "ok"
    assert record["passport"]["warnings"] == ["column 'subject_id' left out as no timepoint"]
    write_pair(tmp_path / "walks", wide(TRAIN, header()), wide(TEST, header()))
    assert main(words) == 0  # the same content without a warning is the same job
    assert "1 job: 1 done before" in capsys.readouterr().err
    assert len(records(tmp_path / "results")) == 1


def test_one_table_is_split_in_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "walks.csv"
    table.write_text(wide(noise(40, 0), header().replace("label", "activity")), encoding="utf-8")
    words = [f"dataset={table}", "protocol=smoke", "executor=inline", f"results={tmp_path / 'results'}"]
    assert main([*words, "label=activity", "test_size=0.25"]) == 0
    assert "walks: read 30 + 10 cases x 8 timepoints" in capsys.readouterr().err
    assert main([*words, "label=actvity"]) == 1
    assert "did you mean 'activity'?" in capsys.readouterr().err
    assert main([*words[1:], "dataset=Coffee", "test_size=0.25"]) == 2
    assert "test_size=0.25 is without effect" in capsys.readouterr().err


def test_arrays_of_python_reach_workers_in_other_processes(tmp_path: Path) -> None:
    results = tmp_path / "results"
    data = {
        "four": (TRAIN.values, TRAIN.labels, TEST.values, TEST.labels),
        "two": (TRAIN.values, TRAIN.labels),
        "frame": pd.DataFrame(TRAIN.values).add_prefix("t").assign(label=TRAIN.labels),
        "lengths": ([row[: 5 + i % 4] for i, row in enumerate(TRAIN.values)], TRAIN.labels),
        "loaded": tsfcn.load(TRAIN.values, TRAIN.labels),
    }
    settings: dict[str, object] = {"protocol": "smoke", "results": str(results), "executor": "local"}
    table = tsfcn.run(data, **settings)  # type: ignore[arg-type]
    assert sorted(table["dataset"]) == sorted(data)
    kept = {record["dataset"]: record for record in records(results)}
    assert {record["status"] for record in kept.values()} == {"ok"}
    assert kept["two"]["passport"]["content"] == kept["frame"]["passport"]["content"]
    assert kept["lengths"]["passport"]["unequal"]
    assert str(tmp_path) not in (results / "commands.txt").read_text(encoding="utf-8")
    tsfcn.run(data, **settings)  # type: ignore[arg-type]
    assert len(records(results)) == len(data)  # nothing was trained again
    with pytest.raises(UserError, match="has 12 cases and 3 labels"):
        tsfcn.run({"bad": (TRAIN.values, TRAIN.labels[:3])}, **settings)  # type: ignore[arg-type]
