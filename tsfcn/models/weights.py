"""Weights as a safetensors file, and the network from such a file. No code in the file is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tsfcn.common.errors import UserError, first_line
from tsfcn.config import models
from tsfcn.models import registry


def pack(weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the content of a safetensors file of the weights. `load_network` lists the metadata that it needs."""
    from safetensors.torch import save

    return save({name: value.cpu().contiguous() for name, value in weights.items()}, metadata=dict(metadata))


def load_network(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network of a weights file (save_weights=true), in evaluation mode, and the metadata of the file.

    The network takes float32 (float64 if `precision` is float64) of (n_cases, n_channels, n_timepoints), prepared as
    `settings` describes (tsfcn.data.preprocess), and returns logits (n_cases, n_classes) in the order of `classes`. The
    other keys of the metadata are key, dataset, model, protocol, seed, resample, architecture, model_settings, cells,
    n_channels, n_timepoints and tsfcn.

    Raises:
        UserError: The file cannot be read, or is not a weights file of this version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(Path(path).expanduser(), framework="pt") as file:
            metadata = dict(file.metadata() or {})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise UserError(f"weights '{path}' are not readable: {first_line(error)}") from error
    try:
        return _network(metadata, weights)
    except UserError:
        raise
    except (KeyError, ValueError, TypeError, RuntimeError, RecursionError, MemoryError, OverflowError) as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(
            f"weights '{path}' are not of this version: train again with save_weights=true ({reason})"
        ) from error


def _network(metadata: Mapping[str, str], weights: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Any]]:
    """Return what `load_network` does. Raises errors of many kinds for metadata that is not that of tsfcn."""
    about: dict[str, Any] = {**metadata, "classes": metadata["classes"].split("\n")}
    about |= {name: int(metadata[name]) for name in ("seed", "resample", "cells", "n_channels", "n_timepoints")}
    about |= {name: json.loads(metadata[name]) for name in ("model_settings", "settings")}
    config = models.spec(metadata["architecture"]).settings(**about["model_settings"])
    sizes = about["n_channels"], about["n_timepoints"], len(about["classes"]), about["cells"]
    network = registry.build(metadata["architecture"], config, *sizes)
    network = network.to(torch.float64 if about["precision"] == "float64" else torch.float32).eval()
    network.load_state_dict(weights)
    return network, about
