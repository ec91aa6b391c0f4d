"""Weights in a file: the network that comes back, and files that are refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.factories import small_config
from tsfcn.common.errors import UserError
from tsfcn.config import models
from tsfcn.config.models import MODELS
from tsfcn.models import initialisers, registry, weights

ABOUT = {"seed": "0", "resample": "0", "cells": "5", "n_channels": "2", "n_timepoints": "12", "classes": "a\nb\nc"}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("model", MODELS)
def test_a_network_comes_back_with_the_same_bits(model: str, precision: str, tmp_path: Path) -> None:
    config = small_config(model)
    network = registry.build(model, config, 2, 12, 3, cells=5)
    initialisers.initialise(network, "he_uniform", torch.Generator().manual_seed(0))
    network = network.to(getattr(torch, precision)).eval()
    text = {"model_settings": json.dumps(asdict(config)), "settings": "{}", "precision": precision}
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights.pack(network.state_dict(), ABOUT | text | {"architecture": model}))
    again, about = weights.load_network(path)
    x = torch.randn(4, 2, 12, dtype=getattr(torch, precision), generator=torch.Generator().manual_seed(1))
    assert torch.equal(again(x), network(x)) and not again.training
    assert (about["classes"], about["n_timepoints"]) == (["a", "b", "c"], 12)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "are not readable: No such file"),
        (b"pickled", "are not readable: "),
        (weights.pack({"w": torch.zeros(1)}, {}), "are not of this version: train again with save_weights=true"),
    ],
)
def test_a_file_that_is_none_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"^weights '{path}' {message}"):
        weights.load_network(path)


MODEL = {"filters": [3], "kernels": [3]}
WHOLE = {
    "architecture": "fcn",
    "classes": "a\nb",
    "seed": "0",
    "resample": "0",
    "cells": "0",
    "n_channels": "1",
    "n_timepoints": "8",
    "model_settings": json.dumps(MODEL),
    "settings": "{}",
    "precision": "float32",
}


def network() -> nn.Module:
    return registry.build("fcn", models.spec("fcn").settings(**MODEL), 1, 8, 2, 0)


def saved(path: Path, metadata: dict[str, str]) -> Path:
    path.write_bytes(weights.pack(network().state_dict(), metadata))
    return path


@pytest.mark.parametrize("missing", WHOLE)
def test_missing_metadata_is_one_line(missing: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors", {name: text for name, text in WHOLE.items() if name != missing})
    with pytest.raises(UserError) as caught:
        weights.load_network(path)
    assert str(caught.value) == (
        f"weights '{path}' are not of this version: train again with save_weights=true (KeyError: '{missing}')"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("seed", "many"),
        ("cells", "9" * 5000),
        ("classes", "a\nb\nc"),
        ("n_channels", "2"),
        ("n_channels", "-1"),
        ("n_channels", "1" + "0" * 30),
        ("model_settings", "[1]"),
        ("model_settings", '{"filters": "x"}'),
        ("model_settings", '{"unknown": 1}'),
        ("settings", "[" * 100_000),
        ("architecture", "nothing"),
    ],
)
def test_wrong_metadata_is_one_line(name: str, text: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors", {**WHOLE, name: text})
    with pytest.raises(UserError) as caught:
        weights.load_network(path)
    assert "\n" not in str(caught.value)
