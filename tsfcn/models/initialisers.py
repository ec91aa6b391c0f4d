"""Initial weights, as the papers' libraries draw them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tsfcn.common.errors import UserError
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


NORMS = (nn.BatchNorm1d, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d)


def initialise(network: nn.Module, initialiser: str, generator: torch.Generator) -> None:
    """Draw the initial weights as Keras does, from `generator`, in the order of `network.modules()`.

    Convolution kernels by `initialiser` ('glorot_uniform': Wang, Fawaz; 'he_uniform': Karim); dense and LSTM input
    kernels Glorot; recurrent and attention kernels orthogonal; forget bias 1; all other biases and v zero. Norm layers
    keep their ones and zeros. A layer with parameters of its own kind draws them in a method
    `initialise(initialiser, generator)`. Raises UserError for one without it: its weights would not follow the seed.
    """
    for module in network.modules():
        draw = getattr(module, "initialise", None)
        if callable(draw):
            draw(initialiser, generator)
        elif isinstance(module, nn.Conv1d):
            receptive = module.kernel_size[0]
            fan_in, fan_out = module.in_channels * receptive, module.out_channels * receptive
            INITIALISERS[initialiser](module.weight, fan_in, fan_out, generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            glorot_uniform(module.weight, module.in_features, module.out_features, generator)
            if module.bias is not None:
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
        elif not isinstance(module, NORMS) and next(module.parameters(recurse=False), None) is not None:
            raise UserError(
                f"layer {type(module).__name__} has parameters that the initialisers do not know: "
                "give it a method initialise(initialiser, generator)"
            )


DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def seed_dropout(network: nn.Module, generator: torch.Generator) -> None:
    """Let every dropout of the network draw its masks from `generator`.

    Raises UserError for PyTorch's dropout layers, whose masks come from torch's global generator.
    """
    for module in network.modules():
        if isinstance(module, DROPOUTS):
            raise UserError(
                f"layer {type(module).__name__} draws from torch's global generator, so its masks do not follow the "
                "seed: use tsfcn.models.layers.Dropout"
            )
        if isinstance(module, Dropout):
            module.generator = generator
