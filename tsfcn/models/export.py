"""A classifier as a program of torch.export (.pt2) or ONNX (.onnx) that takes raw series, with its preparation.

The program maps float32 (n_cases, n_channels, n_timepoints) to the probabilities of the classes, float32 (n_cases,
n_classes). NaN is a missing value and becomes 0 after the normalisation. The number of cases is free. So is
n_timepoints for networks that take any length and have no LSTM; all others take the training length only. What differs
from `predict` of the classifier: the series of one call share a length and are not extended, cut to the training length
or truncated (give the part that is used), with missing=interpolate there is no interpolation (give complete series),
and a network in float64 is rounded to float32.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tsfcn.common import files
from tsfcn.common.errors import UserError
from tsfcn.data.preprocess import Preparation, permutation

SUFFIXES = (".pt2", ".onnx")
ABOUT = "tsfcn.json"  # the extra file of a .pt2


class Program(nn.Module):
    """Normalisation, network and softmax. (n, c, t) -> (n, n_classes), float32.

    Args:
        network: The network, whose logits are in an order of their own.
        preparation: How series are prepared for it.
        order: int (n_classes,), the position among the logits of each class.
    """

    order: Tensor
    timepoints: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, preparation: Preparation, order: npt.NDArray[Any]) -> None:
        super().__init__()
        self.network = network
        self.preparation = preparation
        self.register_buffer("order", torch.from_numpy(np.asarray(order, dtype=np.int64)))
        if preparation.permute_time is not None:
            timepoints = permutation(preparation.permute_time, preparation.n_timepoints)
            self.register_buffer("timepoints", torch.from_numpy(timepoints))
        if preparation.mean is not None and preparation.deviation is not None:
            self.register_buffer("mean", torch.from_numpy(preparation.mean))
            self.register_buffer("deviation", torch.from_numpy(preparation.deviation))

    def forward(self, x: Tensor) -> Tensor:
        """Return the probabilities of the classes."""
        values = x.double()  # statistics are computed in float64, as preprocess does
        missing = values.isnan()
        normalised = torch.where(missing, 0.0, self.normalised(values, missing)).float()
        if self.preparation.permute_time is not None:
            normalised = normalised.index_select(2, self.timepoints)
        logits = self.network(normalised)
        return torch.softmax(logits.double(), dim=1).index_select(1, self.order).float()

    def normalised(self, x: Tensor, missing: Tensor) -> Tensor:
        """Return the normalised series. x: float64 (n, c, t); missing: bool, where x is NaN."""
        if self.preparation.normalisation == "none":
            return x
        if self.preparation.normalisation == "train":
            return (x - self.mean) / self.deviation
        n_values = (~missing).sum(dim=2, keepdim=True).clamp(min=1)
        mean = torch.where(missing, 0.0, x).sum(dim=2, keepdim=True) / n_values
        centred = torch.where(missing, 0.0, x - mean)
        deviation = (centred.square().sum(dim=2, keepdim=True) / n_values).sqrt()
        low = torch.where(missing, torch.inf, x).amin(dim=2, keepdim=True)
        high = torch.where(missing, -torch.inf, x).amax(dim=2, keepdim=True)
        constant = (high <= low) | (deviation == 0)
        return torch.where(constant, 0.0, centred / torch.where(constant, 1.0, deviation))


def takes_any_length(program: Program) -> bool:
    """Return whether a program takes series of any length.

    No layer has the training length, none is recurrent, and series are neither cut nor permuted.
    """
    preparation = program.preparation
    recurrent = any(hasattr(module, "recurrent") for module in program.network.modules())
    cut = preparation.length == "cut" or preparation.is_truncated
    return not (preparation.fixed_length or recurrent or cut or preparation.permute_time is not None)


def export(path: str | Path, program: Program, classes: npt.NDArray[Any]) -> Path:
    """Write a program and return its path. classes: of the probabilities; their text is kept in the file.

    Raises UserError for another suffix than .pt2 and .onnx, and for .onnx without the packages that write it.
    """
    place = Path(path).expanduser()
    if place.suffix not in SUFFIXES:
        raise UserError(f"file '{path}' is not named .pt2 or .onnx: the suffix chooses the form")
    about = json.dumps(
        {
            "classes": [str(label) for label in classes.tolist()],
            "n_channels": program.preparation.n_channels,
            "n_timepoints": program.preparation.n_timepoints,
            "any_length": takes_any_length(program),
        }
    )
    program = deepcopy(program).cpu().eval().requires_grad_(False)  # the classifier's network stays where it is
    program.network.float()  # onnxruntime has no convolution in float64
    data = onnx_bytes(program, about) if place.suffix == ".onnx" else pt2_bytes(program, about)
    files.write_output(place, lambda file: file.write(data))
    return place


def example(program: Program) -> tuple[tuple[Tensor], tuple[dict[int, Any]]]:
    """Return an input to trace with, and which of its axes are free."""
    preparation = program.preparation
    free: dict[int, Any] = {0: torch.export.Dim("n_cases")}
    if takes_any_length(program):
        free[2] = torch.export.Dim("n_timepoints")
    x = torch.randn(3, preparation.n_channels, preparation.n_timepoints, generator=torch.Generator().manual_seed(0))
    return (x,), (free,)


def pt2_bytes(program: Program, about: str) -> bytes:
    """Return the content of a .pt2 file. about: JSON, an extra file in it."""
    arguments, free = example(program)
    exported = torch.export.export(program, arguments, dynamic_shapes=free)
    buffer = io.BytesIO()
    torch.export.save(exported, buffer, extra_files={ABOUT: about})
    return buffer.getvalue()


def onnx_bytes(program: Program, about: str) -> bytes:
    """Return the content of an .onnx file. about: JSON, metadata of it. Raises UserError without the packages."""
    lacking = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if lacking:
        raise UserError(f"export to .onnx needs {' and '.join(lacking)}: pip install 'tsfcn[onnx]'")
    arguments, free = example(program)
    with quiet():
        exported = torch.onnx.export(
            program,
            arguments,
            dynamo=True,
            dynamic_shapes=free,
            input_names=["series"],
            output_names=["probabilities"],
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    entry = model.metadata_props.add()
    entry.key, entry.value = "tsfcn", about
    content: bytes = model.SerializeToString()
    return content


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide the notes of the exporter on operators of packages that are not installed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
