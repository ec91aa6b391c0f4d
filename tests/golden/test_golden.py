"""Our own frozen numbers: whoever moves them must say so by raising MEANING. Renew: python -m tests.golden.renew."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from tests.golden import renew
from tsfcn.config.models import MODELS
from tsfcn.jobs.plan import MEANING

FROZEN: dict[str, Any] = json.loads(renew.FILE.read_text())


@pytest.mark.parametrize("precision", sorted(renew.TOLERANCE))
@pytest.mark.parametrize("name", sorted(renew.CASES))
def test_the_numbers_have_not_moved(name: str, precision: str) -> None:
    now = renew.measure(renew.CASES[name], precision)
    moved = renew.moved(now, FROZEN["cases"][name][precision], precision)
    if moved:
        pytest.fail(renew.verdict(moved, MEANING, FROZEN["meaning"]), pytrace=False)


def test_the_numbers_are_of_the_meaning_of_today() -> None:
    problem = renew.verdict([], MEANING, FROZEN["meaning"])
    if problem:
        pytest.fail(problem, pytrace=False)


def test_every_network_is_frozen() -> None:
    assert {case.model for case in renew.CASES.values()} == set(MODELS)
    assert FROZEN["cases"].keys() == renew.CASES.keys()


@pytest.mark.parametrize("changes", [{"lr": 1.01e-3}, {"batch_size": 41}, {"initialiser": "glorot_uniform"}])
def test_a_small_change_of_the_training_is_seen(changes: dict[str, Any]) -> None:
    case = renew.CASES["lstm_fcn"]
    other = dataclasses.replace(case, settings=dataclasses.replace(case.settings, **changes))
    assert renew.moved(renew.measure(other, "float64"), FROZEN["cases"]["lstm_fcn"]["float64"], "float64")


def test_a_number_moves_by_more_than_the_tolerance_or_by_not_being_one() -> None:
    then = {"initial": [0.5], "loss": [0.25, 2.0]}
    assert renew.moved(then, then, "float64") == []
    assert renew.moved({**then, "loss": [0.25 * (1 + 5e-9), 2.0]}, then, "float64") == []
    assert renew.moved({**then, "loss": [0.25 * (1 + 2e-8), 2.0]}, then, "float64") == [
        "loss[0]: 0.250000005, frozen is 0.25"
    ]
    assert renew.moved({**then, "loss": [0.25 * (1 + 9e-4), 2.0]}, then, "float32") == []
    assert len(renew.moved({**then, "loss": [float("nan"), 2.0]}, then, "float32")) == 1
    assert renew.moved({**then, "loss": [0.25]}, then, "float32") == ["loss: 1 numbers, frozen are 2"]
    # From initial weights that another processor rounded otherwise more is let through, but not other weights.
    assert renew.moved({"initial": [0.50000003], "loss": [0.25001, 2.0]}, then, "float64") == []
    assert len(renew.moved({"initial": [0.51], "loss": [0.25, 2.0]}, then, "float64")) == 1


def test_the_message_says_to_raise_meaning_where_it_was_not() -> None:
    assert renew.verdict([], 3, 3) == ""
    told = renew.verdict(["loss[0]: 1.0, frozen is 2.0"], 3, 3)
    assert "loss[0]: 1.0, frozen is 2.0" in told
    assert "raise MEANING" in told and "python -m tests.golden.renew" in told
    raised = renew.verdict(["loss[0]: 1.0, frozen is 2.0"], 4, 3)
    assert "MEANING in tsfcn/jobs/plan.py is 4, golden.json is of 3" in raised and "tests.golden.renew" in raised
