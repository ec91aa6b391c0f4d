"""Weights as a safetensors file, and the network from such a file. No code in the file is run.

The metadata of a file, text by name, has a digest of the weights and of all other metadata, so that a file that was
damaged or edited is refused. The digest is no signature: whoever edits a file can compute it anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tsfcn.common import files
from tsfcn.common.errors import UserError, first_line
from tsfcn.config import models
from tsfcn.config.model_class import ClassConfig
from tsfcn.config.model_code import code_of
from tsfcn.models import registry

PICKLES = (b"PK\x03\x04", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)))
"""First bytes of the files of torch.save, pickle and joblib."""


def pack(weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the content of a safetensors file of the weights. `load_network` lists the metadata that it needs."""
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in weights.items()}  # tied ones apart
    return save(tensors, metadata={**metadata, "digest": digest(tensors, metadata)})


def digest(weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256, in hexadecimal digits, of weights (on the CPU) and of metadata other than the digest."""
    about = {name: text for name, text in metadata.items() if name != "digest"}
    total = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, value in sorted(weights.items()):
        total.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        total.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def read(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata and the tensors of a weights file.

    Raises:
        UserError: The file cannot be read, is no safetensors file, or differs from its digest.
    """
    from safetensors import SafetensorError, safe_open

    try:
        place = Path(path).expanduser()
        with files.open_regular(place) as start:  # the library would wait for a pipe
            head = start.read(8)
        with safe_open(place, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UserError(f"weights '{path}' are not readable: {reason}") from error
    except SafetensorError as error:
        if head.startswith(PICKLES):
            raise UserError(
                f"weights '{path}' are not readable: a pickle can run code; write them with save() of the classifier"
            ) from None
        reason = f"no whole safetensors file; copy it again, or train again ({first_line(error)})"
        raise UserError(f"weights '{path}' are not readable: {reason}") from error
    stated = metadata.get("digest", "")
    without = not stated and "preparation" not in metadata  # of a version that wrote no digest
    if not without and stated != digest(weights, metadata):
        raise UserError(f"weights '{path}' differ from the digest in the file: copy the file again, or train again")
    return metadata, weights


def load_network(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network of a weights file (save_weights=true), in evaluation mode, and the metadata of the file.

    The network takes float32 (float64 if `precision` is float64) of (n_cases, n_channels, n_timepoints), prepared as
    `settings` describes (tsfcn.data.preprocess), and returns logits (n_cases, n_classes) in the order of `classes`. The
    other keys of the metadata are key, dataset, model, protocol, seed, resample, architecture, model_settings, cells,
    n_channels, n_timepoints and tsfcn. `tsfcn.load_classifier` takes raw series instead.

    Raises:
        UserError: The file cannot be read, differs from its digest, or is not a weights file of this version.
    """
    metadata, weights = read(path)
    with metadata_errors(path):
        return network_of(metadata, weights)


@contextlib.contextmanager
def metadata_errors(path: str | Path) -> Iterator[None]:
    """Raise what metadata that is not that of tsfcn causes within as UserError, in one line."""
    try:
        yield
    except UserError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError, ArithmeticError) as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(
            f"weights '{path}' are not of this version: train again with save_weights=true ({reason})"
        ) from error


def network_of(metadata: Mapping[str, str], weights: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Any]]:
    """Return what `load_network` does. Raises errors of many kinds for metadata that is not that of tsfcn."""
    about: dict[str, Any] = {**metadata, "classes": metadata["classes"].split("\n")}
    if "labels" in metadata:  # whose text may have line breaks
        about["classes"] = list(map(str, json.loads(metadata["labels"])["values"]))
    about |= {name: int(metadata[name]) for name in ("seed", "resample", "cells", "n_channels", "n_timepoints")}
    about |= {name: json.loads(metadata[name]) for name in ("model_settings", "settings")}
    config = models.spec(metadata["architecture"]).settings(**about["model_settings"])
    sizes = about["n_channels"], about["n_timepoints"], len(about["classes"]), about["cells"]
    check_shapes(metadata["architecture"], config, sizes, weights)
    network = registry.build(metadata["architecture"], config, *sizes)
    network = network.to(torch.float64 if about["precision"] == "float64" else torch.float32).eval()
    network.load_state_dict(weights)
    warn_of_other_code(metadata["architecture"], metadata.get("model", ""))
    return network, about


def warn_of_other_code(architecture: str, label: str) -> None:
    """Warn where the code of a model is not that of the training. label: its name in tables, with the hash of then."""
    trained = re.match(rf"{re.escape(architecture)}\+([0-9a-f]+)", label)
    if trained is None:
        return
    with contextlib.suppress(UserError):  # where the code cannot be read, there is nothing to compare
        if not code_of(architecture).get("source", "").startswith(trained[1]):
            warnings.warn(f"the code of {architecture} is not that of the weights, {trained[0]}", stacklevel=2)


def check_shapes(
    architecture: str,
    config: models.ModelConfig,
    sizes: tuple[int, int, int, int],
    weights: Mapping[str, Tensor],
) -> None:
    """Raise ValueError unless weights have the shapes of a network, before memory is allocated for the network.

    Args:
        architecture: The name of a registered model.
        config: The model's settings.
        sizes: Channels, timepoints, classes and cells.
        weights: The weights by name.
    """
    try:
        with torch.device("meta"):
            network = registry.build(architecture, config, *sizes)
    except UserError:
        if not isinstance(config, ClassConfig):
            raise
        return  # a class of the user that cannot be built without memory: load_state_dict compares the shapes
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    if shapes != {name: value.shape for name, value in weights.items()}:
        raise ValueError("the weights are not those of the network that the metadata describe")
