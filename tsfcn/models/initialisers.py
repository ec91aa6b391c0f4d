"""Initial weights, as Keras draws them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tsfcn.common.errors import UserError
from tsfcn.models.layers import DepthwiseConv, Dropout
from tsfcn.models.recurrent import LSTM, AttentionLSTM


def glorot_uniform(weight: Tensor, fan_in: int, fan_out: int, generator: torch.Generator) -> None:
    """Fill `weight` with U(-a, a), a = sqrt(6 / (fan_in + fan_out)): the default initialiser of Keras.

    Args:
        weight: Filled in place.
        fan_in: The number of inputs of a unit.
        fan_out: The number of outputs of a unit.
        generator: The source of the random numbers.
    """
    limit = math.sqrt(6 / (fan_in + fan_out))
    nn.init.uniform_(weight, -limit, limit, generator=generator)


def he_normal(weight: Tensor, fan_in: int, generator: torch.Generator) -> None:
    """Fill `weight` with normal numbers of deviation s = sqrt(2 / fan_in), drawn again beyond 2 s: as in Keras 2.1.

    (Keras 2.2 divides s by 0.8796, so that s is the deviation after the truncation.)
    """
    deviation = math.sqrt(2 / fan_in)
    nn.init.trunc_normal_(weight, 0.0, deviation, -2 * deviation, 2 * deviation, generator=generator)


def he_uniform(weight: Tensor, fan_in: int, fan_out: int, generator: torch.Generator) -> None:
    """Fill `weight` with U(-a, a), a = sqrt(6 / fan_in). Parameters are those of `glorot_uniform`."""
    limit = math.sqrt(6 / fan_in)
    nn.init.uniform_(weight, -limit, limit, generator=generator)


INITIALISERS: dict[str, Callable[[Tensor, int, int, torch.Generator], None]] = {
    "glorot_uniform": glorot_uniform,
    "he_uniform": he_uniform,
}


NORMS = (nn.BatchNorm1d, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d)


def initialise_conv(layer: nn.Conv1d, initialiser: str, generator: torch.Generator) -> None:
    """Draw the kernels of a convolution by the named initialiser, and set its bias to zero.

    For Keras a depthwise convolution of c channels has c inputs, as any other, and one output.
    """
    receptive = layer.kernel_size[0]
    fan_in = layer.in_channels * receptive
    fan_out = receptive if isinstance(layer, DepthwiseConv) else layer.out_channels * receptive
    INITIALISERS[initialiser](layer.weight, fan_in, fan_out, generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def initialise_linear(layer: nn.Linear, generator: torch.Generator) -> None:
    """Draw the weights of a dense layer by `glorot_uniform`, and set its bias to zero."""
    glorot_uniform(layer.weight, layer.in_features, layer.out_features, generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def initialise_lstm(layer: LSTM, generator: torch.Generator) -> None:
    """Draw the kernels of an LSTM: input kernel Glorot, others orthogonal; biases and v zero, but the forget bias."""
    cells = layer.recurrent.shape[0]
    glorot_uniform(layer.kernel, layer.kernel.shape[0], layer.kernel.shape[1], generator)
    nn.init.orthogonal_(layer.recurrent, generator=generator)
    nn.init.zeros_(layer.bias)
    with torch.no_grad():
        layer.bias[cells : 2 * cells] = layer.forget_bias
    if isinstance(layer, AttentionLSTM):
        for kernel in (layer.context, layer.score_x, layer.score_h):
            nn.init.orthogonal_(kernel, generator=generator)
        nn.init.zeros_(layer.score_bias)
        nn.init.zeros_(layer.score)


def initialise(network: nn.Module, initialiser: str, generator: torch.Generator) -> None:
    """Draw the initial weights as Keras does, from `generator`, in the order of `network.modules()`.

    Convolution kernels are drawn by `initialiser` ('glorot_uniform': Wang, Fawaz; 'he_uniform': Karim), dense and LSTM
    input kernels by Glorot's rule, recurrent and attention kernels are orthogonal. The forget bias is 1, all other
    biases and the vector v of the attention are zero. Norm layers keep their ones and zeros. A layer with parameters of
    another kind draws them in a method `initialise(initialiser, generator)`.

    Raises:
        UserError: A layer has parameters of another kind and no such method, so its weights would not follow the seed.
    """
    for module in network.modules():
        initialise_itself = getattr(module, "initialise", None)
        if callable(initialise_itself):
            initialise_itself(initialiser, generator)
        elif isinstance(module, nn.Conv1d):
            initialise_conv(module, initialiser, generator)
        elif isinstance(module, nn.Linear):
            initialise_linear(module, generator)
        elif isinstance(module, LSTM):
            initialise_lstm(module, generator)
        elif not isinstance(module, NORMS) and next(module.parameters(recurse=False), None) is not None:
            raise UserError(
                f"layer {type(module).__name__} has parameters that the initialisers do not know: "
                "give it a method initialise(initialiser, generator)"
            )


DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def seed_dropout(network: nn.Module, generator: torch.Generator) -> None:
    """Make every dropout layer of the network draw its masks from `generator`.

    Raises:
        UserError: The network has one of PyTorch's dropout layers, whose masks come from the global generator.
    """
    for module in network.modules():
        if isinstance(module, DROPOUTS):
            raise UserError(
                f"layer {type(module).__name__} draws from torch's global generator, so its masks do not follow the "
                "seed: use tsfcn.models.layers.Dropout"
            )
        if isinstance(module, Dropout):
            module.generator = generator
