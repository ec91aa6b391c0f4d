"""Engines as a user chooses them: what stands in plan, key and record, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.test_job import planned, protocol, run, small
from tsfcn import plan, store
from tsfcn.checkpoint import Stopped
from tsfcn.compose import command_line, compose
from tsfcn.errors import UserError


@pytest.fixture(autouse=True)
def bundled_data_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSFCN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TSFCN_ARCHIVE", raising=False)


@pytest.mark.parametrize("model", ["fcn", "lstm_fcn", "alstm_fcn"])
def test_the_fast_engine_does_the_same_job(model: str, tmp_path: Path) -> None:
    made = planned(model, epochs=4)
    here, there = run(made, tmp_path / "here", engine="fast"), run(made, tmp_path / "there")
    assert (here["engine"], there["engine"]) == ("fast", "reference")
    assert here["key"] == there["key"] and here["chosen_cells"] == there["chosen_cells"]
    np.testing.assert_allclose(here["curve"]["loss"], there["curve"]["loss"], rtol=1e-4)
    assert here["train_cross_entropy"] == pytest.approx(there["train_cross_entropy"], rel=1e-3)
    assert here["accuracy"] == pytest.approx(there["accuracy"], abs=3 / 1029)
    assert set(here) == set(there)


@pytest.mark.parametrize(
    "changes",
    [{"model": "mlp"}, {"model": "resnet"}, {"validation": 0.2}, {"select": "test_oracle"}, {"length": "mask"}],
)
def test_what_it_does_not_train_the_reference_loop_does_with_the_same_bits(
    changes: dict[str, object], tmp_path: Path
) -> None:
    made = planned(**changes)  # type: ignore[arg-type]
    here, there = run(made, tmp_path / "here", engine="fast"), run(made, tmp_path / "there")
    assert here["engine"] == "reference" and here["curve"] == there["curve"]


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_a_precision_is_another_experiment(precision: str, tmp_path: Path) -> None:
    passports, how = {"ItalyPowerDemand": planned().passport}, protocol()
    (made,) = plan.jobs(passports, {"fcn": small("fcn")}, how, how, [0], [0], precision)
    assert made.protocol == f"smoke[precision={precision}]" and made.off_paper
    assert made.key != planned().key
    record = run(made, tmp_path, engine="fast")
    assert (record["status"], record["precision"], record["engine"]) == ("ok", precision, "fast")
    (kept,) = store.read(tmp_path)
    assert kept["precision"] == precision
    plain = run(planned(), tmp_path / "plain")
    np.testing.assert_allclose(record["curve"]["loss"], plain["curve"]["loss"], rtol=0.03)
    assert record["train_cross_entropy"] != plain["train_cross_entropy"]


def test_bfloat16_is_refused_where_only_the_reference_loop_trains() -> None:
    how = protocol()
    with pytest.raises(UserError, match=r"^engine\.precision=bfloat16 is not for resnet with these settings: leave"):
        plan.jobs({}, {"resnet": small("resnet")}, how, how, [0], [0], "bfloat16")
    with pytest.raises(UserError, match=r"=bfloat16 is not for the reference loop: add engine\.name=fast"):
        compose(["engine.precision=bfloat16"])
    with pytest.raises(UserError, match=r"engine\.name=quick is not known"):
        compose(["engine.name=quick"])
    assert command_line(["engine.name=fast", "engine.precision=float64"]).endswith("engine.precision=float64")


def test_a_state_of_one_engine_is_not_taken_up_by_the_other(tmp_path: Path) -> None:
    """The same key: the record would tell half of the truth."""
    made = planned(epochs=6)
    asked = iter([False, True])
    with pytest.raises(Stopped):
        run(made, tmp_path, engine="fast", checkpoint_seconds=0.0, stop=lambda: next(asked, True))
    assert store.checkpoint_path(tmp_path, made.key).is_file()
    assert run(made, tmp_path)["resumed_epochs"] == []
