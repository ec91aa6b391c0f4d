"""Weights files that are not ours, or damaged: one line, whatever is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tsfcn.common.errors import UserError
from tsfcn.config import models
from tsfcn.models import registry, weights

MODEL = {"filters": [3], "kernels": [3]}
METADATA = {
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


def test_weights_load_as_they_were_saved(tmp_path: Path) -> None:
    loaded, about = weights.load_network(saved(tmp_path / "w.safetensors", METADATA))
    assert about["classes"] == ["a", "b"] and about["n_timepoints"] == 8 and not loaded.training
    assert loaded(torch.zeros(1, 1, 8)).shape == (1, 2)


@pytest.mark.parametrize("missing", METADATA)
def test_missing_metadata_is_one_line(missing: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors", {name: text for name, text in METADATA.items() if name != missing})
    with pytest.raises(UserError) as caught:
        weights.load_network(path)
    assert str(caught.value) == (
        f"weights '{path}' are not of this version (KeyError: '{missing}'): train again with save_weights=true"
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
    path = saved(tmp_path / "w.safetensors", {**METADATA, name: text})
    with pytest.raises(UserError) as caught:
        weights.load_network(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"text", bytes(8), b"\xff" * 64])
def test_what_is_no_weights_file_is_one_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"^weights '.*' are not readable: ") as caught:
        weights.load_network(path)
    assert "\n" not in str(caught.value)
