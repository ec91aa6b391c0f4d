"""Initial weights, as the papers' libraries draw them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tsfcn.models.layers import Dropout
from tsfcn.models.recurrent import LSTM, AttentionLSTM


def glorot_uniform(weight: Tensor, fan_in: int, fan_out: int, generator: torch.Generator) -> None:
    """Fill `weight` with U(-a, a), a = sqrt(6 / (fan_in + fan_out)): Keras' default initialiser."""
    limit = math.sqrt(6 / (fan_in + fan_out))
    nn.init.uniform_(weight, -limit, limit, generator=generator)


def he_uniform(weight: Tensor, fan_in: int, fan_out: int, generator: torch.Generator) -> None:
    """Fill `weight` with U(-a, a), a = sqrt(6 / fan_in)."""
    limit = math.sqrt(6 / fan_in)
    nn.init.uniform_(weight, -limit, limit, generator=generator)


INITIALISERS: dict[str, Callable[[Tensor, int, int, torch.Generator], None]] = {
    "glorot_uniform": glorot_uniform,
    "he_uniform": he_uniform,
}


def initialise(network: nn.Module, initialiser: str, generator: torch.Generator) -> None:
    """Draw the initial weights as Keras does, from `generator`, in the order of `network.modules()`.

    Convolution kernels by `initialiser` ('glorot_uniform': Wang, Fawaz; 'he_uniform': Karim); dense and LSTM input
    kernels Glorot; recurrent and attention kernels orthogonal; forget bias 1; all other biases and v zero.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv1d):
            receptive = module.kernel_size[0]
            fan_in, fan_out = module.in_channels * receptive, module.out_channels * receptive
            INITIALISERS[initialiser](module.weight, fan_in, fan_out, generator)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            glorot_uniform(module.weight, module.in_features, module.out_features, generator)
            nn.init.zeros_(module.bias)
        elif isinstance(module, LSTM):
            cells = module.recurrent.shape[0]
            glorot_uniform(module.kernel, module.kernel.shape[0], module.kernel.shape[1], generator)
            nn.init.orthogonal_(module.recurrent, generator=generator)
            nn.init.zeros_(module.bias)
            with torch.no_grad():
                module.bias[cells : 2 * cells] = 1.0
            if isinstance(module, AttentionLSTM):
                for kernel in (module.context, module.score_x, module.score_h):
                    nn.init.orthogonal_(kernel, generator=generator)
                nn.init.zeros_(module.score_bias)
                nn.init.zeros_(module.score)


def seed_dropout(network: nn.Module, generator: torch.Generator) -> None:
    """Let every dropout of the network draw its masks from `generator`."""
    for module in network.modules():
        if isinstance(module, Dropout):
            module.generator = generator
