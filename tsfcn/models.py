"""The networks of the papers: FCN, LSTM-FCN and ALSTM-FCN, MLP and ResNet, in the shape that their authors trained.

Every network maps float (n_cases, n_channels, n_timepoints) to logits (n_cases, n_classes). Layers follow Keras where
PyTorch differs: 'same' padding, initialisers, the LSTM's gates and its single bias. Initial weights and dropout masks
come from generators that the caller passes, never from torch's global state.

Given `lengths` as well, int64 (n_cases,), a network looks at the first `lengths[i]` timepoints of case i and at nothing
behind them (length=mask): before every convolution there are zeros outside a series, as around one that is not padded,
and batch statistics, running statistics and pooling count real timepoints alone. So the logits of a padded series are
those of the bare one. The series are laid end to end for that, so that absent timepoints cost nothing either. Lengths
are on the CPU whatever the device of the network, since shapes follow from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.common.device import upload
from tsfcn.config.models import FCNConfig, LSTMFCNConfig, MLPConfig, ModelConfig, ResNetConfig


def same_padding(kernel: int) -> tuple[int, int]:
    """Return (left, right) zeros that keep the length at stride 1, TensorFlow's way: the extra one goes right.

    A kernel of 8 gets 3 and 4. (The Theano backend of old Keras pads the other side.)
    """
    return (kernel - 1) // 2, kernel // 2


def end_to_end(x: Tensor, lengths: Tensor | None) -> tuple[Tensor, list[int] | None]:
    """Return the real timepoints of x alone: (1, c, sum of lengths) and the lengths, where those differ.

    Where they are all the same, or None, there is nothing to lay end to end: x up to that length (n, c, t), and None.
    """
    if lengths is None:
        return x, None
    sizes: list[int] = lengths.tolist()
    if min(sizes) == max(sizes):
        return x[:, :, : sizes[0]], None
    return torch.cat([case[:, :size] for case, size in zip(x, sizes, strict=True)], dim=1).unsqueeze(0), sizes


def pooled(x: Tensor, sizes: list[int] | None) -> Tensor:
    """Return the mean over the timepoints of each case, (n, c), from what `end_to_end` and the layers made of them."""
    if sizes is None:
        return x.mean(dim=-1)
    return torch.stack([case.mean(dim=-1) for case in x[0].split(sizes, dim=-1)])


class Norm(nn.BatchNorm1d):
    """Batch normalisation over cases and timepoints. (n, c, t) -> (n, c, t).

    The running variance takes n / (n - 1) times that of a batch of n values a channel, as in PyTorch and, but for eps,
    later Keras. A batch of one value, at which PyTorch stops, is at its mean and has variance 0, as in Keras.
    """

    def __init__(self, n_channels: int, bn_momentum: float, bn_eps: float) -> None:
        # Keras' momentum is the share that is kept, PyTorch's the share that is taken.
        super().__init__(n_channels, eps=bn_eps, momentum=1 - bn_momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised by the statistics of the batch in training, by the running ones in evaluation."""
        if not self.training or x.shape[0] * x.shape[2] != 1:
            return super().forward(x)
        mean, variance, count = self.running_mean, self.running_var, self.num_batches_tracked
        assert self.momentum is not None and mean is not None and variance is not None and count is not None
        mean.lerp_(x[0, :, 0].detach(), self.momentum)
        variance.mul_(1 - self.momentum)
        count.add_(1)
        return self.weight[:, None] * (0 * x) + self.bias[:, None]


class ConvNorm(nn.Module):
    """Convolution over time with 'same' padding and bias, then batch normalisation. (n, c_in, t) -> (n, c_out, t)."""

    def __init__(self, n_in: int, n_out: int, kernel: int, bn_momentum: float, bn_eps: float) -> None:
        super().__init__()
        self.padding = same_padding(kernel)
        self.conv = nn.Conv1d(n_in, n_out, kernel)
        self.norm = Norm(n_out, bn_momentum, bn_eps)

    def forward(self, x: Tensor, sizes: list[int] | None = None) -> Tensor:
        """Return the normalised convolution; batch statistics in training, running ones in evaluation.

        sizes: of the series that x (1, c_in, sum of sizes) holds end to end; None: each case of x is one series.
        """
        left, right = self.padding
        if sizes is not None and right > 0:
            x = self.convolve_apart(x, sizes)
        elif left == right:  # the convolution pads by itself, which saves a copy
            x = F.conv1d(x, self.conv.weight, self.conv.bias, padding=left)
        else:
            x = self.conv(F.pad(x, (left, right)))
        out: Tensor = self.norm(x)
        return out

    def convolve_apart(self, x: Tensor, sizes: list[int]) -> Tensor:
        """Convolve series that lie end to end: zeros between them keep them apart, and what falls there is dropped."""
        left, right = self.padding  # left <= right: so many zeros do for the end of one and the start of the next
        zeros = x.new_zeros(1, x.shape[1], right)
        spread = [zeros[:, :, :left]]
        for series in x.split(sizes, dim=2):
            spread += [series, zeros]
        y: Tensor = self.conv(torch.cat(spread, dim=2))  # (1, c_out, sum of sizes + right * (n - 1))
        with_gaps = [size for series in sizes for size in (series, right)][:-1]
        return torch.cat(y.split(with_gaps, dim=2)[::2], dim=2)


class Dropout(nn.Module):
    """Zero each value with probability `rate` in training and scale the others by 1 / (1 - rate).

    The masks come from `generator`, which must be set before training, so that they depend on the job's seed alone.
    It is one of the CPU's on every device, so that the masks are the same on all.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return x unchanged in evaluation or at rate 0. Raises RuntimeError in training without a generator."""
        if not self.training or self.rate == 0:
            return x
        if self.generator is None:
            raise RuntimeError("dropout has no generator: call models.seed_dropout(model, generator) before training")
        kept = torch.rand(x.shape, generator=self.generator, dtype=x.dtype) >= self.rate
        return x * upload(kept, x.device) / (1 - self.rate)


class FCN(nn.Module):
    """Fully convolutional network: three blocks of convolution, batch norm and ReLU, global average pooling, softmax.

    Wang, Yan and Oates 2017, section II.B: filters 128/256/128, kernels 8/5/3, no pooling, no dropout. With one
    channel and the published sizes it has 264,704 + 129 * n_classes trainable parameters. Takes any length.
    """

    def __init__(self, n_channels: int, n_classes: int, config: FCNConfig) -> None:
        super().__init__()
        sizes = [n_channels, *config.filters]
        self.blocks = nn.ModuleList(
            ConvNorm(n_in, n_out, kernel, config.bn_momentum, config.bn_eps)
            for n_in, n_out, kernel in zip(sizes, config.filters, config.kernels, strict=False)
        )
        self.head = nn.Linear(sizes[-1], n_classes)

    def features(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the globally averaged activations of the last block. (n, c, t) -> (n, filters[-1])."""
        x, sizes = end_to_end(x, lengths)
        for block in self.blocks:
            x = F.relu(block(x, sizes))
        return pooled(x, sizes)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes)."""
        logits: Tensor = self.head(self.features(x, lengths))
        return logits


def hard_sigmoid(x: Tensor) -> Tensor:
    """Return Keras' piecewise linear sigmoid, 0.2 x + 0.5 clipped to [0, 1]; PyTorch's has slope 1/6."""
    return torch.clamp(0.2 * x + 0.5, 0.0, 1.0)


GATES: dict[str, Callable[[Tensor], Tensor]] = {"hard_sigmoid": hard_sigmoid, "sigmoid": torch.sigmoid}


class LSTM(nn.Module):
    """Keras' LSTM layer that returns its last hidden state. (n, n_steps, n_features) -> (n, cells).

    Gates in Keras' order input, forget, cell, output; one bias: 4 (u d + u^2 + u) parameters for u cells and d
    features (PyTorch's own layer has 4 u more). States start at zero, so with one step, as after the dimension
    shuffle of a univariate series, the recurrent kernel and the forget gate have no effect.
    """

    def __init__(self, n_features: int, cells: int, gates: str) -> None:
        super().__init__()
        self.gate = GATES[gates]
        self.kernel = nn.Parameter(torch.empty(n_features, 4 * cells))
        self.recurrent = nn.Parameter(torch.empty(cells, 4 * cells))
        self.bias = nn.Parameter(torch.empty(4 * cells))

    def start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the hidden and the cell state before the first step, zeros (n, cells)."""
        zeros = x.new_zeros(x.shape[0], self.recurrent.shape[0])
        return zeros, zeros

    def step(self, projected: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next hidden and cell state from the projected input (n, 4 * cells), bias included."""
        i, f, g, o = (projected + h @ self.recurrent).chunk(4, dim=1)
        c = self.gate(f) * c + self.gate(i) * torch.tanh(g)
        return self.gate(o) * torch.tanh(c), c

    def forward(self, x: Tensor, n_steps: Tensor | None = None) -> Tensor:
        """Return the hidden state after the last step; n_steps: int64 (n,), the steps of each case, None: all."""
        h, c = self.start(x)
        projected = x @ self.kernel + self.bias  # (n, n_steps, 4 * cells)
        states = []
        for t in range(x.shape[1]):
            h, c = self.step(projected[:, t], h, c)
            states.append(h)
        return h if n_steps is None else last(states, n_steps)


def last(states: list[Tensor], n_steps: Tensor) -> Tensor:
    """Return of each case its state after n_steps (n,) steps, whatever came of the steps behind. -> (n, cells)."""
    device = states[0].device
    return torch.stack(states, dim=1)[torch.arange(len(n_steps), device=device), upload(n_steps - 1, device)]


class AttentionLSTM(LSTM):
    """LSTM whose every step also sees a weighted mean of all steps. (n, n_steps, n_features) -> (n, cells).

    Karim et al. 2018, section II.D, as in titu1994/LSTM-FCN layers_utils: with the previous hidden state h,
    e_t = v' tanh(U h + W x_t + b), weights a = softmax over t of e, z = sum of a_t x_t, and the gates are
    x K + h R + z A + bias. After the dimension shuffle a univariate series is ONE step: its weight is always 1, z is x,
    and W, U, b and v get no gradient, so this is the plain LSTM with input kernel K + A. Without the shuffle attention
    means something, and takes memory that grows with the square of the length (`attention_bytes`).
    """

    def __init__(self, n_features: int, cells: int, gates: str) -> None:
        super().__init__(n_features, cells, gates)
        self.context = nn.Parameter(torch.empty(n_features, 4 * cells))  # A
        self.score_x = nn.Parameter(torch.empty(n_features, cells))  # W
        self.score_h = nn.Parameter(torch.empty(cells, cells))  # U
        self.score_bias = nn.Parameter(torch.empty(cells))  # b
        self.score = nn.Parameter(torch.empty(cells))  # v

    def weights(self, scored: Tensor, h: Tensor, absent: Tensor | None = None) -> Tensor:
        """Return the attention over steps. scored: W x + b, (n, n_steps, cells); h: (n, cells) -> (n, n_steps).

        absent: bool (n, n_steps), the steps that weigh nothing.
        """
        energy = torch.tanh(scored + (h @ self.score_h).unsqueeze(1)) @ self.score
        if absent is not None:
            energy = energy.masked_fill(absent, -math.inf)
        return torch.softmax(energy, dim=1)

    def forward(self, x: Tensor, n_steps: Tensor | None = None) -> Tensor:
        """Return the hidden state after the last step; n_steps: int64 (n,), the steps of each case, None: all."""
        h, c = self.start(x)
        projected = x @ self.kernel + self.bias  # (n, n_steps, 4 * cells)
        scored = x @ self.score_x + self.score_bias  # (n, n_steps, cells)
        absent = None if n_steps is None else upload(torch.arange(x.shape[1]) >= n_steps[:, None], x.device)
        states = []
        for t in range(x.shape[1]):
            z = torch.einsum("nt,ntd->nd", self.weights(scored, h, absent), x)
            h, c = self.step(projected[:, t] + z @ self.context, h, c)
            states.append(h)
        return h if n_steps is None else last(states, n_steps)


def attention_bytes(n_cases: int, n_steps: int, cells: int, itemsize: int = 4) -> int:
    """Return what AttentionLSTM keeps for the backward pass: for each step a tanh and a softmax over all steps."""
    return n_cases * n_steps * n_steps * (cells + 3) * itemsize


class LSTMFCN(FCN):
    """FCN and an LSTM branch side by side, their features concatenated. Karim et al. 2018, section III and figure 2.

    With the dimension shuffle the LSTM sees the series transposed: n_channels steps of n_timepoints features, so the
    length is fixed. Without it, it sees n_timepoints steps of n_channels features (what most other libraries train).
    Given lengths, the FCN branch sees each series whole. With the shuffle the LSTM still has its n_timepoints features:
    zeros after the end of a shorter series, and a longer one is cut for it. Without, it stops at each series' own end.
    """

    def __init__(
        self, n_channels: int, n_timepoints: int, n_classes: int, config: LSTMFCNConfig, cells: int, attention: bool
    ) -> None:
        super().__init__(n_channels, n_classes, config)
        self.shuffle = config.shuffle
        layer = AttentionLSTM if attention else LSTM
        self.lstm = layer(n_timepoints if config.shuffle else n_channels, cells, config.gates)
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(cells + config.filters[-1], n_classes)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes)."""
        if lengths is None:
            last_state = self.lstm(x if self.shuffle else x.transpose(1, 2))
        elif self.shuffle:
            n_features = self.lstm.kernel.shape[0]
            last_state = self.lstm(F.pad(x, (0, n_features - x.shape[2])))  # a negative number of zeros cuts
        else:
            last_state = self.lstm(x[:, :, : int(lengths.max())].transpose(1, 2), lengths)
        both = torch.cat([self.dropout(last_state), self.features(x, lengths)], dim=1)
        logits: Tensor = self.head(both)
        return logits


class MLP(nn.Module):
    """Three hidden layers of 500 rectified units with dropout. Wang et al. 2017, section II.A. The length is fixed."""

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: MLPConfig) -> None:
        super().__init__()
        sizes = [n_channels * n_timepoints, *config.units]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, config.units, strict=False))
        self.dropouts = nn.ModuleList(Dropout(rate) for rate in config.dropout)
        self.head = nn.Linear(sizes[-1], n_classes)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes). Raises ValueError for lengths other than t: it has no mask."""
        if lengths is not None and bool((lengths != x.shape[2]).any()):
            raise ValueError(f"lengths are not all {x.shape[2]}: an MLP takes one length")
        x = x.flatten(1)
        for dropout, layer in zip(self.dropouts, self.hidden, strict=False):  # the last dropout is the head's
            x = F.relu(layer(dropout(x)))
        logits: Tensor = self.head(self.dropouts[-1](x))
        return logits


class Residual(nn.Module):
    """Three convolutions and a shortcut around them; a 1-wide convolution on the shortcut where the width changes."""

    def __init__(self, n_in: int, n_out: int, config: ResNetConfig, input_norm: bool) -> None:
        super().__init__()
        momentum, eps = config.bn_momentum, config.bn_eps
        sizes = [n_in] + [n_out] * len(config.kernels)
        self.input_norm = Norm(n_in, momentum, eps) if input_norm else nn.Identity()
        self.convs = nn.ModuleList(
            ConvNorm(a, b, kernel, momentum, eps)
            for a, b, kernel in zip(sizes, sizes[1:], config.kernels, strict=False)
        )
        self.shortcut: nn.Module
        if n_in == n_out:
            self.shortcut = Norm(n_out, momentum, eps)
        else:
            self.shortcut = ConvNorm(n_in, n_out, 1, momentum, eps)

    def forward(self, x: Tensor, sizes: list[int] | None = None) -> Tensor:
        """Return the block's activations. (n, n_in, t) -> (n, n_out, t); sizes: as for ConvNorm."""
        y = self.input_norm(x)
        for conv in self.convs[:-1]:
            y = F.relu(conv(y, sizes))
        return F.relu(self.shortcut(x) + self.convs[-1](y, sizes))  # a shortcut is one timepoint wide


class ResNet(nn.Module):
    """Three residual blocks, global average pooling, softmax. Wang et al. 2017, section II.C. Takes any length."""

    def __init__(self, n_channels: int, n_classes: int, config: ResNetConfig) -> None:
        super().__init__()
        sizes = [n_channels, *config.filters]
        self.blocks = nn.ModuleList(
            Residual(a, b, config, input_norm=config.input_norm and index == 0)
            for index, (a, b) in enumerate(zip(sizes, config.filters, strict=False))
        )
        self.head = nn.Linear(sizes[-1], n_classes)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes)."""
        x, sizes = end_to_end(x, lengths)
        for block in self.blocks:
            x = block(x, sizes)
        logits: Tensor = self.head(pooled(x, sizes))
        return logits


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


def n_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters (Keras' 'total' also counts batch norm's running statistics)."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
