"""From a model's name and settings to its network."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tsfcn.common.errors import UserError, first_line
from tsfcn.config import models
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


def build(model: str, config: ModelConfig, n_channels: int, n_timepoints: int, n_classes: int, cells: int) -> nn.Module:
    """Return the network; its weights still have to be initialised.

    Args:
        model: The name of a registered model.
        config: The model's settings.
        n_channels: The channels of a case.
        n_timepoints: The timepoints of a case; without effect on networks that take any length.
        n_classes: The number of logits.
        cells: The hidden size of the LSTM; without effect on networks that have none.

    Raises:
        UserError: The model is not registered, or its network cannot be imported.
    """
    class_ = network_class(model)
    sizes = {"cells": cells} if models.spec(model).lstm else {}
    with torch.random.fork_rng(devices=[]):  # PyTorch's layers draw initial weights, which initialise() replaces
        network: nn.Module = class_(n_channels, n_timepoints, n_classes, config, **sizes)
    return network


def n_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters (Keras' 'total' also counts the running statistics of batch norm)."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
