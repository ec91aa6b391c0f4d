"""Our own frozen numbers: whoever moves them must say so by raising MEANING. Renew: python tests/golden/renew.py."""

from __future__ import annotations

import dataclasses
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from tsfcn.config.models import MODELS
from tsfcn.jobs.plan import MEANING

RENEW: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("renew.py")))  # the script is in no package
FROZEN: dict[str, Any] = json.loads(RENEW["FILE"].read_text())


@pytest.mark.parametrize("precision", sorted(RENEW["TOLERANCE"]))
@pytest.mark.parametrize("name", sorted(RENEW["CASES"]))
def test_the_numbers_have_not_moved(name: str, precision: str) -> None:
    now = RENEW["measure"](RENEW["CASES"][name], precision)
    moved = RENEW["moved"](now, FROZEN["cases"][name][precision], precision)
    if moved:
        pytest.fail(RENEW["verdict"](moved, MEANING, FROZEN["meaning"]), pytrace=False)


def test_the_numbers_are_of_the_meaning_of_today() -> None:
    problem = RENEW["verdict"]([], MEANING, FROZEN["meaning"])
    if problem:
        pytest.fail(problem, pytrace=False)


def test_every_network_is_frozen() -> None:
    assert {case.model for case in RENEW["CASES"].values()} == set(MODELS)
    assert FROZEN["cases"].keys() == RENEW["CASES"].keys()


@pytest.mark.parametrize("changes", [{"lr": 1.01e-3}, {"batch_size": 41}, {"initialiser": "glorot_uniform"}])
def test_a_small_change_of_the_training_is_seen(changes: dict[str, Any]) -> None:
    case = RENEW["CASES"]["lstm_fcn"]
    other = dataclasses.replace(case, settings=dataclasses.replace(case.settings, **changes))
    assert RENEW["moved"](RENEW["measure"](other, "float64"), FROZEN["cases"]["lstm_fcn"]["float64"], "float64")


def test_a_number_moves_by_more_than_the_tolerance_or_by_not_being_one() -> None:
    then = {"initial": [0.5], "loss": [0.25, 2.0]}
    moved = RENEW["moved"]
    assert moved(then, then, "float64") == []
    assert moved({**then, "loss": [0.25 * (1 + 5e-9), 2.0]}, then, "float64") == []
    assert moved({**then, "loss": [0.25 * (1 + 2e-8), 2.0]}, then, "float64") == [
        "loss[0]: 0.250000005, frozen is 0.25"
    ]
    assert moved({**then, "loss": [0.25 * (1 + 9e-4), 2.0]}, then, "float32") == []
    assert len(moved({**then, "loss": [float("nan"), 2.0]}, then, "float32")) == 1
    assert moved({**then, "loss": [0.25]}, then, "float32") == ["loss: 1 numbers, frozen are 2"]
    # From initial weights that another processor rounded otherwise more is let through, but not other weights.
    assert moved({"initial": [0.50000003], "loss": [0.25001, 2.0]}, then, "float64") == []
    assert len(moved({"initial": [0.51], "loss": [0.25, 2.0]}, then, "float64")) == 1


def test_the_message_says_to_raise_meaning_where_it_was_not() -> None:
    verdict = RENEW["verdict"]
    assert verdict([], 3, 3) == ""
    told = verdict(["loss[0]: 1.0, frozen is 2.0"], 3, 3)
    assert "loss[0]: 1.0, frozen is 2.0" in told
    assert "raise MEANING" in told and "tests/golden/renew.py" in told
    raised = verdict(["loss[0]: 1.0, frozen is 2.0"], 4, 3)
    assert "MEANING in tsfcn/jobs/plan.py is 4, golden.json is of 3" in raised and "renew.py" in raised
