"""Rounds of refinement: their settings, what is kept, and that a stopped training ends with the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests import factories
from tests.factories import train, trainable_job
from tests.records import require
from tsfcn.common.errors import UserError
from tsfcn.jobs import artifacts, run_job, store
from tsfcn.training.checkpoint import Stopped
from tsfcn.training.reference import random_streams

ENGINES = ("reference", "fast")


def test_a_round_halves_the_rate_and_every_second_one_the_batch() -> None:
    settings = factories.settings(batch_size=16, lr=0.008, cells=(3, 5), refine_rounds=4, refine_epochs=7)
    rounds = [settings.refinement(number, n_fit=100, cells=5) for number in range(1, 5)]
    assert [each.lr for each in rounds] == [0.004, 0.002, 0.001, 0.0005]
    assert [each.batch(100) for each in rounds] == [16, 8, 8, 4]
    assert {(each.epochs, each.cells, each.refine_rounds) for each in rounds} == {(7, (5,), 0)}
    ruled = factories.settings(batch_size=16, batch_divisor=10)  # 30 cases: batches of 3
    assert [ruled.refinement(number, 30, 0).batch(30) for number in range(1, 7)] == [3, 1, 1, 1, 1, 1]


def test_rounds_draw_orders_of_their_own_and_hold_out_the_same_cases() -> None:
    first, second = random_streams(3), random_streams(3, 1)
    orders = [torch.randperm(20, generator=streams[1]).tolist() for streams in (first, second)]
    assert orders[0] != orders[1] and first[3] == second[3]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", ["fcn", "lstm_fcn"])
def test_rounds_come_after_the_training_that_is_as_without_them(model: str, engine: str, tmp_path: Path) -> None:
    """The curve begins with that of the plain job; weights change only where the training loss is less."""
    plain = train(trainable_job(model), tmp_path / "plain", engine=engine)
    record = train(trainable_job(model, refine_rounds=2, refine_epochs=3), tmp_path / "refined", engine=engine)
    assert (record.status, record.engine, record.off_paper) == ("ok", engine, True)
    curve, before = require(record.curve), require(plain.curve)
    assert record.chosen_cells == plain.chosen_cells and curve["loss"][:2] == before["loss"]
    assert curve["lr"] == [0.001] * 2 + [0.0005] * 3 + [0.00025] * 3 and curve["epoch"] == list(range(1, 9))
    assert record.best_epoch == 1 + curve["loss"].index(min(curve["loss"])) > 2
    assert require(record.least_train_loss) < require(plain.least_train_loss)
    assert require(record.train_cross_entropy) < require(plain.train_cross_entropy)


def test_the_last_weights_are_those_of_the_last_round(tmp_path: Path) -> None:
    plain = trainable_job("fcn", epochs=4, select="last")
    record = train(trainable_job("fcn", epochs=4, select="last", refine_rounds=1, refine_epochs=1), tmp_path)
    assert record.best_epoch == 5 and record.settings == {**plain.settings, "refine_rounds": 1, "refine_epochs": 1}


def test_the_held_out_part_selects_over_all_rounds(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"validation": 0.3, "select": "validation"}
    record = train(trainable_job("fcn", refine_rounds=2, refine_epochs=2, **changes), tmp_path)
    assert record.engine == "reference" and record.accuracy == record.accuracy_selected
    held_out = artifacts.read_held_out(tmp_path, record.key, record.n_test, record.n_classes)
    assert held_out is not None and len(held_out[1]) == record.n_held_out == 20


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n_calls", [0, 1, 2])
def test_a_refinement_that_is_stopped_in_any_stage_ends_with_the_same_bits(
    n_calls: int, engine: str, tmp_path: Path
) -> None:
    job = trainable_job("lstm_fcn", refine_rounds=2, refine_epochs=2, cells=[3, 5])
    whole = train(job, tmp_path / "whole", engine=engine, save_weights=True)
    calls = iter([False] * n_calls + [True])
    with pytest.raises(Stopped):
        train(job, tmp_path / "parts", engine=engine, stop=lambda: next(calls))
    assert artifacts.checkpoint_path(tmp_path / "parts", job.key).is_file()
    resumed = run_job.run_job(
        job, tmp_path / "parts", store.Writer(tmp_path / "parts"), engine=engine, save_weights=True
    )
    assert resumed.resumed_epochs and resumed.curve == whole.curve
    paths = [artifacts.weights_path(tmp_path / name, job.key) for name in ("whole", "parts")]
    first, second = map(load_file, paths)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"refine_rounds": 1, "select": "test_oracle"}, "refine_rounds is not for protocol.select=test_oracle"),
        ({"refine_rounds": -1}, "refine_rounds=-1 is out of range"),
        ({"refine_epochs": 0}, "refine_epochs=0 is out of range"),
    ],
)
def test_what_cannot_be_refined_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        factories.settings(**changes)
