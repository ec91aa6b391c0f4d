"""Checkpoints: an interrupted and resumed training ends with the same bits as an uninterrupted one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.factories import settings, small_config
from tsfcn.common import files
from tsfcn.config.models import MODELS
from tsfcn.models import registry
from tsfcn.training import loop, predict
from tsfcn.training import search as size_search
from tsfcn.training.checkpoint import LAYOUT, Checkpoint, Stopped, write_state

ABOUT: dict[str, str | int] = {"key": "0123456789abcdef", "meaning": 1, "torch": torch.__version__}
SETTINGS = settings(epochs=7, batch_size=5, plateau_patience=2, initialiser="he_uniform", class_weights="balanced")
X = torch.randn(24, 1, 20, generator=torch.Generator().manual_seed(0))
Y = torch.arange(24) % 3
ORACLE = (X.flip(0), Y.flip(0), torch.full((24,), 20))
CHANGES: dict[str, dict[str, Any]] = {"lstm_fcn": {"dropout": 0.5}, "alstm_fcn": {"shuffle": False}}
CONFIGS = {model: small_config(model, **CHANGES.get(model, {})) for model in MODELS}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "fcn": ("fcn", {}),
    "fcn-adadelta": ("fcn", {"optimiser": "adadelta", "lr": 1.0}),
    "fcn-validation": ("fcn", {"validation": 0.3, "select": "validation"}),
    "fcn-oracle": ("fcn", {"select": "test_oracle"}),
    "lstm_fcn-cells": ("lstm_fcn", {"cells": (3, 5, 4)}),
    "lstm_fcn-cells-validation-oracle": ("lstm_fcn", {"cells": (3, 5), "validation": 0.3, "select": "test_oracle"}),
    "alstm_fcn": ("alstm_fcn", {"cells": (3, 5)}),
    "mlp": ("mlp", {}),
    "resnet": ("resnet", {}),
}


def search(case: str, kept: Checkpoint | None) -> tuple[loop.Fit, list[loop.Fit]]:
    """Train the network of a case."""
    model, changes = CASES[case]
    settings = replace(SETTINGS, **changes)
    oracle = ORACLE if settings.select == "test_oracle" else None
    return size_search.search(model, CONFIGS[model], settings, X, Y, 3, 4, oracle=oracle, checkpoint=kept)


class Stopping:
    """Stops a training once, after the given number of epochs."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


def same(one: loop.Fit, other: loop.Fit) -> None:
    """Assert that two fits are equal to the last bit."""
    assert one.curve == other.curve and one.best_epoch == other.best_epoch and one.cells == other.cells
    assert one.train_cross_entropy == other.train_cross_entropy
    assert one.weights.keys() == other.weights.keys()
    for selection, weights in one.weights.items():
        assert weights.keys() == other.weights[selection].keys()
        for name, value in weights.items():
            assert torch.equal(value, other.weights[selection][name]), (selection, name)
    for selection in one.weights:
        assert torch.equal(predict.predict(one.load(selection), X), predict.predict(other.load(selection), X))


@pytest.mark.parametrize("case", CASES)
def test_resumed_anywhere_and_several_times_it_ends_with_the_same_bits(case: str, tmp_path: Path) -> None:
    chosen, fits = search(case, None)
    n_epochs = SETTINGS.epochs * len(fits)
    path = tmp_path / "checkpoints" / "0123456789abcdef.pt"
    stops = 0
    for after in (1, 2, 3):  # each attempt trains one epoch more than the attempt before
        for _ in range(n_epochs):
            kept = Checkpoint(path, ABOUT, 1e9, stop=Stopping(after))
            try:
                resumed, all_resumed = search(case, kept)
                break
            except Stopped:
                stops += 1
                assert path.is_file()
        else:
            pytest.fail("the training did not end")
        assert len(kept.resumed) >= n_epochs // (after + 1) - len(fits)
        assert kept.resumed == sorted(set(kept.resumed)) and kept.resumed[0] >= 1 and kept.resumed[-1] < n_epochs
        same(resumed, chosen)
        assert len(all_resumed) == len(fits)
        for one, other in zip(all_resumed, fits, strict=True):
            same(one, other)
            assert registry.n_parameters(one.network) == registry.n_parameters(other.network)
        path.unlink()
    assert stops > 5


def test_the_state_is_written_when_it_is_due_and_not_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pt"
    search("fcn", Checkpoint(path, ABOUT, 1e9))
    assert not path.exists()
    written = []
    replace_file = files.replace

    def counted(*words: Any) -> None:
        written.append(words)
        replace_file(*words)

    monkeypatch.setattr(files, "replace", counted)
    search("lstm_fcn-cells", Checkpoint(path, ABOUT, 0.0))
    assert len(written) == 3 * (SETTINGS.epochs - 1)  # after every epoch but the last of each size
    again = Checkpoint(path, ABOUT, 0.0)
    assert again.resume_state is not None and again.resumed == [3 * SETTINGS.epochs - 1]
    assert again.seconds_before > 0
    assert again.processor_seconds_before is not None and again.processor_seconds_before > 0


@pytest.mark.parametrize("changed", [{"key": "f" * 16}, {"meaning": 2}, {"torch": "1.0"}])
def test_the_state_of_another_job_or_version_is_ignored_with_a_message(
    changed: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pt"
    with pytest.raises(Stopped):
        search("fcn", Checkpoint(path, ABOUT, 1e9, stop=Stopping(3)))
    assert Checkpoint(path, ABOUT, 1e9).resume_state is not None
    assert capsys.readouterr().err == ""
    other = Checkpoint(path, ABOUT | changed, 1e9)
    assert other.resume_state is None and other.resumed == []
    assert other.seconds_before == other.processor_seconds_before == 0
    assert capsys.readouterr().err == (
        f"checkpoint '{path}' is not used, it is of another {next(iter(changed))}: training starts from the beginning\n"
    )
    same(search("fcn", other)[0], search("fcn", None)[0])


def test_a_state_that_is_cut_at_any_byte_is_ignored_with_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pt"
    with pytest.raises(Stopped):
        search("fcn", Checkpoint(path, ABOUT, 1e9, stop=Stopping(3)))
    whole = path.read_bytes()
    for size in [0, 1, 3, 100, *range(1000, len(whole), 1777), len(whole) - 1]:
        path.write_bytes(whole[:size])
        assert Checkpoint(path, ABOUT, 1e9).resume_state is None
        assert capsys.readouterr().err == (
            f"checkpoint '{path}' is not used, it cannot be read: training starts from the beginning\n"
        )


def test_a_state_with_one_bit_changed_is_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.pt"
    with pytest.raises(Stopped):
        search("fcn", Checkpoint(path, ABOUT, 1e9, stop=Stopping(3)))
    whole = path.read_bytes()
    assert Checkpoint(path, ABOUT, 1e9).resume_state is not None
    for place in range(0, len(whole), 997):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        assert Checkpoint(path, ABOUT, 1e9).resume_state is None
        assert "training starts from the beginning" in capsys.readouterr().err


def test_a_state_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, touched = tmp_path / "a.pt", tmp_path / "touched"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (touched,)

    state = {"about": {"layout": str(LAYOUT), **ABOUT}, "seconds": 0.0, "resumed": [], "epoch": 1, "fit": Evil()}
    with path.open("wb") as file:
        write_state(state, file)
    assert Checkpoint(path, ABOUT, 1e9).resume_state is None
    assert not touched.exists()
    assert "training starts from the beginning" in capsys.readouterr().err


def test_a_full_disk_loses_the_state_and_not_the_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder belongs")
    done, _ = search("fcn", Checkpoint(tmp_path / "checkpoints" / "a.pt", ABOUT, 0.0))
    same(done, search("fcn", None)[0])
    assert "was not written: " in capsys.readouterr().err


def test_the_hardware_of_earlier_attempts_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    for name in ("one", "two"):
        with pytest.raises(Stopped):
            search("fcn", Checkpoint(path, ABOUT, 1e9, name, stop=Stopping(2)))
    assert Checkpoint(path, ABOUT, 1e9, "three").hardware == ["one", "two"]
