"""From a model's name and settings to its network, and the checks of a network that is not of tsfcn."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tsfcn.common import global_random
from tsfcn.common.errors import UserError, first_line
from tsfcn.config import models
from tsfcn.config.model_class import ClassConfig
from tsfcn.config.models import ModelConfig


def network_class(model: str) -> Callable[..., Any]:
    """Return the class of a model's network, and import it now. Raises UserError where the import fails."""
    network = models.spec(model).network
    if not isinstance(network, str):
        return network
    module, _, name = network.partition(":")
    try:
        class_: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"network '{network}' of model '{model}' cannot be imported, {first_line(error)}: "
            "name it 'package.module:Class'"
        ) from None
    return class_


def build(
    model: str,
    config: ModelConfig,
    n_channels: int,
    n_timepoints: int,
    n_classes: int,
    cells: int,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Return the network; unless its spec says `own_initialisation`, its weights still have to be initialised.

    Args:
        model: The name of a registered model.
        config: The model's settings.
        n_channels: The channels of a case.
        n_timepoints: The timepoints of a case; without effect on networks that take any length.
        n_classes: The number of logits.
        cells: The hidden size of the LSTM; without effect on networks that have none.
        generator: The initial weights that the network draws itself follow from it; None: they do not matter.

    Raises:
        UserError: The model is not registered, its network cannot be imported, or a class of the user raises an error.
    """
    class_, spec = network_class(model), models.spec(model)
    sizes = (n_channels, n_timepoints, n_classes)
    with global_random.seeded(0 if generator is None else global_random.draw_seed(generator)):
        if isinstance(config, ClassConfig):
            with failures_of(class_.__name__, f"cannot be built for {_counted(*sizes)}", "correct its __init__"):
                network: nn.Module = config.build(*sizes)
        else:
            network = class_(*sizes, config, **({"cells": cells} if spec.lstm else {}))
    if spec.masks and not takes_lengths(type(network).forward):
        raise UserError(f"network of model '{model}' declares masks, but its forward has no parameter lengths: add it")
    return network


def head(model: str, config: ModelConfig, n_channels: int, n_timepoints: int, n_classes: int, cells: int) -> set[str]:
    """Return the names of the parameters of a network's head: those whose shape depends on the number of classes."""
    networks = (build(model, config, n_channels, n_timepoints, n, cells) for n in (n_classes, n_classes + 1))
    first, second = ({name: value.shape for name, value in each.state_dict().items()} for each in networks)
    return {name for name in first if first[name] != second.get(name)}


@functools.cache
def takes_lengths(forward: Callable[..., Any]) -> bool:
    """Return whether the forward method of a network has the parameter `lengths`."""
    return "lengths" in inspect.signature(forward).parameters


def logits(network: nn.Module, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Return the logits of a network, (n_cases, n_classes).

    Args:
        network: The network.
        x: (n_cases, n_channels, n_timepoints).
        lengths: int64 (n_cases,) on the CPU, for a network that takes them; None: all timepoints count.
    """
    out: Tensor = network(x, lengths) if takes_lengths(type(network).forward) else network(x)
    return out


# ---------------------------------------------------------------------------------------------------------------------
# Checks of the user's networks


def try_out(model: str, config: ModelConfig, n_channels: int, n_timepoints: int, n_classes: int) -> None:
    """Build a network and check it on two cases of random numbers. Arguments and errors: as for `build` and `check`."""
    network = build(model, config, n_channels, n_timepoints, n_classes, 0)
    check(network, torch.randn(2, n_channels, n_timepoints, generator=torch.Generator().manual_seed(0)), n_classes)


@torch.no_grad()
def check(network: nn.Module, x: Tensor, n_classes: int) -> None:
    """Raise UserError unless a network can be trained and gives each case logits of its own.

    In evaluation mode the logits of the first case must be the same, up to a hundredth, beside other cases and alone:
    dropout that is not switched off, and statistics over the cases of a batch, would make them depend on chance.

    Args:
        network: The network; it is in evaluation mode afterwards.
        x: (n_cases, n_channels, n_timepoints), some cases on the network's device.
        n_classes: The number of logits.
    """
    name, sizes = type(network).__name__, _counted(x.shape[1], x.shape[2], n_classes)
    parameters = list(network.parameters())
    if any(isinstance(each, nn.parameter.UninitializedParameter) for each in parameters):
        raise UserError(f"network {name} has a lazy layer, whose size is not known when it is built: give it its size")
    if not any(each.requires_grad for each in parameters):
        raise UserError(f"network {name} has no parameters to train: assign its layers to self in __init__")
    if not all(isinstance(each, Tensor) for each in network.state_dict().values()):
        raise UserError(f"network {name} has a state_dict with other values than tensors: leave out get_extra_state")
    network.eval()
    with global_random.seeded(0, x.device), failures_of(name, f"fails on {sizes}", "correct its forward"):
        together, alone = logits(network, x), logits(network, x[:1])
    for out, shape in ((together, (len(x), n_classes)), (alone, (1, n_classes))):
        found = tuple(getattr(out, "shape", ())) or type(out).__name__
        if found != shape:
            raise UserError(
                f"network {name} returns {found} for {sizes}: return logits of shape {shape}, (cases, classes)"
            )
    tolerance = 0.01 * float(alone.nan_to_num().abs().max())
    if not torch.allclose(together[:1], alone, rtol=0, atol=tolerance, equal_nan=True):
        raise UserError(
            f"network {name} gives a case other logits alone than beside other cases, in evaluation mode: "
            "draw no random numbers where self.training is False, and let no case depend on another"
        )


def _counted(n_channels: int, n_timepoints: int, n_classes: int) -> str:
    channels = "1 channel" if n_channels == 1 else f"{n_channels} channels"
    return f"cases of {channels} and {n_timepoints} timepoints, {n_classes} classes"


@contextmanager
def failures_of(name: str, what: str, remedy: str) -> Iterator[None]:
    """Raise what the code of a user's network raises within as UserError, with its place.

    Errors for want of memory and of the GPU stay what they are.

    Args:
        name: The name of its class.
        what: What it does.
        remedy: What the user can do.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        if re.search("(out of|not enough|allocate) memory|CUDA error", str(error)):
            raise
        frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(LIBRARIES)]
        place = f" in line {frames[-1].lineno} of {Path(frames[-1].filename).name}" if frames else ""
        reason = f"{type(error).__name__}{place}: {first_line(error)}"
        raise UserError(f"network {name} {what} ({reason}): {remedy}") from error


LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))  # whose code is not the user's


def n_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters (Keras' 'total' also counts the running statistics of batch norm)."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
