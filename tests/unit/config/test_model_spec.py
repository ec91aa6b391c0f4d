"""The specs of models: what is refused, and what entry points that cannot be loaded do."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tsfcn.common.errors import UserError
from tsfcn.config import model_spec, models
from tsfcn.config.compose import compose
from tsfcn.config.model_config import Layer, ModelConfig
from tsfcn.config.model_spec import ModelSpec, register
from tsfcn.config.segmentation_models import SEGMENTATION_MODELS

SEGMENTATION = tuple(spec.name for spec in SEGMENTATION_MODELS)


@dataclass
class Settings(ModelConfig):
    """The least that a model declares."""

    width: int = 3

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        return [Layer(n_channels * n_timepoints, self.width)]


@dataclass
class Open(Settings):
    """A field without a default."""

    depth: int = field(kw_only=True)


@dataclass
class Unplain(Settings):
    """A default that does not fit into JSON."""

    path: Any = field(default_factory=lambda: Path("x"))


class Undecorated(Settings):
    """No dataclass of its own."""


@dataclass
class Uncounted(ModelConfig):
    """No layers."""


def test_layers_are_counted() -> None:
    layer = Layer(3, 4, kernel=5, n_timepoints=7)
    assert (layer.n_weights, layer.n_multiplications, layer.n_activations) == (60, 420, 28)
    assert Layer(3, 4).n_multiplications == 12


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ModelSpec("FCN", Settings, "a:B"), "model name 'FCN' is not valid: use lower-case letters, digits and _"),
        (ModelSpec("fcn", Settings, "a:B"), "model 'fcn' is registered already: choose another name"),
        (ModelSpec("mine", dict, "a:B"), "settings of model 'mine' are not a ModelConfig"),  # type: ignore[arg-type]
        (ModelSpec("mine", Undecorated, "a:B"), "settings of model 'mine' are not a ModelConfig"),
        (ModelSpec("mine", Open, "a:B"), "settings of model 'mine' have no default for depth: give each field one"),
        (ModelSpec("mine", Unplain, "a:B"), "settings of model 'mine' are not plain values: use numbers, text"),
        (ModelSpec("mine", Uncounted, "a:B"), r"settings of model 'mine' have no layers\(n_channels, n_timepoints\)"),
        (ModelSpec("mine", Settings, "a:B", lstm=True), "settings of model 'mine' do not match lstm=True"),
        (ModelSpec("mine", models.LSTMFCNConfig, "a:B"), "settings of model 'mine' do not match lstm=False"),
    ],
)
def test_a_model_that_cannot_be_registered(spec: ModelSpec, message: str, forgotten_models: None) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        register(spec)


def test_the_same_model_may_be_registered_twice(forgotten_models: None) -> None:
    mine = ModelSpec("mine", Settings, "a:B")
    assert register(mine) is mine and register(ModelSpec("mine", Settings, "a:B")) == mine
    assert model_spec.names() == (*models.MODELS, "sktime", "aeon", *SEGMENTATION, "mine")
    with pytest.raises(UserError, match=r"^model 'mine' is registered already"):
        register(ModelSpec("mine", Settings, "a:C"))


def test_our_settings_under_another_name_do_not_bring_the_fast_engine(forgotten_models: None) -> None:
    register(ModelSpec("mine", models.FCNConfig, "tsfcn.models.fcn:FCN"))
    from tsfcn.config.protocol import fast_trains, settings

    run, _ = compose(["model=[fcn,mine]", "protocol=smoke"])
    found = {name: fast_trains(name, c, settings(run.protocol, name, c)) for name, c in run.model.configs().items()}
    assert found == {"fcn": True, "mine": False}


def test_an_entry_point_that_cannot_be_loaded_is_told_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "theirs-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[tsfcn.models]\ngone = theirs_gone:MODEL\nother = json:dumps\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    model_spec.entry_points.cache_clear()
    monkeypatch.setattr(model_spec, "_failures", {})
    try:
        assert compose(["model=fcn"])[0].model.configs().keys() == {"fcn"}
        with pytest.raises(UserError) as gone:
            compose(["model=gone"])
        assert str(gone.value) == (
            "model 'gone' cannot be loaded from its entry point, theirs_gone:MODEL: "
            "No module named 'theirs_gone': repair or remove its package"
        )
        with pytest.raises(UserError, match="json:dumps: the entry point is not a ModelSpec named 'other'"):
            compose(["model=other"])
    finally:
        model_spec.entry_points.cache_clear()
