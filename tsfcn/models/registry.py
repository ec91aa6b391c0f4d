"""From a model's settings to its network, and what the suite must know of it."""

from __future__ import annotations

import torch
from torch import nn

from tsfcn.config.models import FCNConfig, LSTMFCNConfig, MLPConfig, ModelConfig, ResNetConfig
from tsfcn.models.fcn import FCN
from tsfcn.models.lstm_fcn import LSTMFCN
from tsfcn.models.mlp import MLP
from tsfcn.models.resnet import ResNet


def fixed_length(config: ModelConfig) -> bool:
    """Return whether the network takes series of one length only (flattened, or shuffled into features)."""
    return isinstance(config, MLPConfig) or (isinstance(config, LSTMFCNConfig) and config.shuffle)


def build(model: str, config: ModelConfig, n_channels: int, n_timepoints: int, n_classes: int, cells: int) -> nn.Module:
    """Return the network with its weights still to be initialised.

    model: a name of models.MODELS; cells: the LSTM's size, without effect on networks that have none.
    """
    with torch.random.fork_rng(devices=[]):  # PyTorch's layers draw initial weights, which initialise() replaces
        if isinstance(config, LSTMFCNConfig):
            return LSTMFCN(n_channels, n_timepoints, n_classes, config, cells, attention=model == "alstm_fcn")
        if isinstance(config, FCNConfig):
            return FCN(n_channels, n_classes, config)
        if isinstance(config, ResNetConfig):
            return ResNet(n_channels, n_classes, config)
        return MLP(n_channels, n_timepoints, n_classes, config)


def n_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters (Keras' 'total' also counts batch norm's running statistics)."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
