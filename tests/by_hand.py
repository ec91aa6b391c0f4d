"""The layers of the networks in numpy, written out by hand, and networks whose weights are drawn at random.

All in float64. The networks with convolutions of several widths are in tests/parity/test_inception_models.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn

from tsfcn.config import models
from tsfcn.config.models import ModelConfig
from tsfcn.models import initialisers, registry

Float64 = npt.NDArray[np.float64]
State = dict[str, Float64]

# TensorFlow's 'same' at stride 1: kernel - 1 zeros in all, half of them left, rounded down.
PADDING = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 2), 5: (2, 2), 6: (2, 3), 7: (3, 3), 8: (3, 4)}

CONFIGS: dict[str, ModelConfig] = {model: models.spec(model).settings() for model in models.MODELS}


def network(
    model: str,
    config: ModelConfig | None = None,
    n_channels: int = 1,
    n_timepoints: int = 24,
    n_classes: int = 2,
    cells: int = 8,
    initialiser: str = "he_uniform",
) -> nn.Module:
    """Return a network with initial weights from generator 0; settings that are not passed are the published ones."""
    made = registry.build(model, config or CONFIGS[model], n_channels, n_timepoints, n_classes, cells)
    initialisers.initialise(made, initialiser, torch.Generator().manual_seed(0))
    return made


def randomise(made: nn.Module, seed: int = 0) -> nn.Module:
    """Draw every parameter and statistic anew, variances positive; returns the network in float64."""
    numbers = np.random.default_rng(seed)
    made.double()
    with torch.no_grad():
        for name, value in made.state_dict().items():
            if name.endswith("running_var"):
                value.copy_(torch.from_numpy(numbers.uniform(0.3, 2.0, value.shape)))
            elif value.is_floating_point():
                value.copy_(torch.from_numpy(numbers.normal(0.0, 0.5, value.shape)))
    return made


def state(made: nn.Module) -> State:
    """Return the parameters and statistics as numpy arrays of their own."""
    return {name: value.detach().numpy().copy() for name, value in made.state_dict().items()}


def cases(*shape: int, seed: int = 1) -> Float64:
    return np.random.default_rng(seed).normal(size=shape)


# ---------------------------------------------------------------- the layers by hand


def relu(x: Float64) -> Float64:
    return np.maximum(x, 0.0)


def sigmoid(x: Float64) -> Float64:
    return np.asarray(1 / (1 + np.exp(-x)))


def hard_sigmoid(x: Float64) -> Float64:
    """Keras: 0 below -2.5, 1 above 2.5, 0.2 x + 0.5 between."""
    return np.where(x < -2.5, 0.0, np.where(x > 2.5, 1.0, 0.2 * x + 0.5))


GATES: dict[str, Callable[[Float64], Float64]] = {"hard_sigmoid": hard_sigmoid, "sigmoid": sigmoid}


def convolve(x: Float64, weight: Float64, bias: Float64 | None = None) -> Float64:
    """Cross-correlate x (n, c, t) with weight (o, c, k), 'same' padding -> (n, o, t)."""
    kernel = weight.shape[2]
    windows = sliding_window_view(np.pad(x, ((0, 0), (0, 0), PADDING[kernel])), kernel, axis=2)  # (n, c, t, k)
    convolved = np.einsum("nctk,ock->not", windows, weight)
    return np.asarray(convolved if bias is None else convolved + bias[:, None])


def normalise(x: Float64, s: State, name: str, training: bool, eps: float = 0.001) -> Float64:
    """Normalise the channels of x (n, c, t), by the batch's own population variance in training."""
    mean = x.mean(axis=(0, 2)) if training else s[f"{name}.running_mean"]
    variance = ((x - mean[:, None]) ** 2).mean(axis=(0, 2)) if training else s[f"{name}.running_var"]
    scaled = (x - mean[:, None]) / np.sqrt(variance + eps)[:, None]
    return np.asarray(s[f"{name}.weight"][:, None] * scaled + s[f"{name}.bias"][:, None])


def conv_norm(x: Float64, s: State, name: str, training: bool) -> Float64:
    return normalise(convolve(x, s[f"{name}.conv.weight"], s[f"{name}.conv.bias"]), s, f"{name}.norm", training)


def dense(x: Float64, s: State, name: str) -> Float64:
    return np.asarray(x @ s[f"{name}.weight"].T + s[f"{name}.bias"])


def fcn_features(x: Float64, s: State, training: bool) -> Float64:
    for block in range(3):
        x = relu(conv_norm(x, s, f"blocks.{block}", training))
    return np.asarray(x.sum(axis=2) / x.shape[2])


def resnet(x: Float64, s: State, training: bool, input_norm: bool) -> Float64:
    """Wang et al. 2017, figure 1(c): the last two of three blocks have different and equal width in turn."""
    for block in range(3):
        name = f"blocks.{block}"
        y = normalise(x, s, f"{name}.input_norm", training) if input_norm and block == 0 else x
        y = relu(conv_norm(y, s, f"{name}.convs.0", training))
        y = relu(conv_norm(y, s, f"{name}.convs.1", training))
        y = conv_norm(y, s, f"{name}.convs.2", training)
        widens = x.shape[1] != y.shape[1]
        around = conv_norm if widens else normalise
        x = relu(y + around(x, s, f"{name}.shortcut", training))
    return dense(x.mean(axis=2), s, "head")


def cell(
    projected: Float64, h: Float64, c: Float64, s: State, gate: Callable[[Float64], Float64]
) -> tuple[Float64, Float64]:
    """Return (h, c) after one step of Keras' LSTM; its kernels hold input, forget, cell and output side by side."""
    units = h.shape[1]
    gates = projected + h @ s["lstm.recurrent"] + s["lstm.bias"]
    i, f = gate(gates[:, :units]), gate(gates[:, units : 2 * units])
    g, o = np.tanh(gates[:, 2 * units : 3 * units]), gate(gates[:, 3 * units :])
    c = f * c + i * g
    return o * np.tanh(c), c


def lstm(steps: Float64, s: State, gates: str) -> Float64:
    """Return the last hidden state of steps (n, n_steps, n_features)."""
    h = c = np.zeros((len(steps), s["lstm.recurrent"].shape[0]))
    for t in range(steps.shape[1]):
        h, c = cell(steps[:, t] @ s["lstm.kernel"], h, c, s, GATES[gates])
    return h


def attention_lstm(steps: Float64, s: State, gates: str) -> Float64:
    """Karim et al. 2018: e_t = v' tanh(U h + W x_t + b), a = softmax(e), z = sum a_t x_t, case by case."""
    rows = []
    for case in steps:
        h = c = np.zeros((1, s["lstm.recurrent"].shape[0]))
        for x_t in case:
            energies = [
                float(
                    s["lstm.score"] @ np.tanh(h[0] @ s["lstm.score_h"] + x @ s["lstm.score_x"] + s["lstm.score_bias"])
                )
                for x in case
            ]
            exponentials = [math.exp(energy) for energy in energies]
            z = sum(e / sum(exponentials) * x for e, x in zip(exponentials, case, strict=True))
            h, c = cell((x_t @ s["lstm.kernel"] + z @ s["lstm.context"])[None, :], h, c, s, GATES[gates])
        rows.append(h[0])
    return np.stack(rows)


def assert_close(actual: torch.Tensor, expected: Float64) -> None:
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=0, atol=1e-10)


# ---------------------------------------------------------------- initial weights


def assert_uniform(weight: torch.Tensor, limit: float) -> None:
    """Check that a large weight fills U(-limit, limit): its bounds, its mean and its variance limit^2 / 3."""
    values = weight.detach().double()
    n = values.numel()
    assert values.abs().max().item() <= limit * (1 + 1e-6)
    assert values.abs().max().item() >= limit * (1 - 20 / n)  # the chance to miss this is e^-20
    assert abs(values.mean().item()) < 5 * limit / math.sqrt(3 * n)
    assert values.square().mean().item() == pytest.approx(limit**2 / 3, rel=5 * math.sqrt(0.8 / n))


def assert_zero(values: torch.Tensor) -> None:
    assert not values.any()


# ---------------------------------------------------------------- hand-crafted filters


def hand_crafted() -> list[Float64]:
    """Return the filters of Ismail-Fawaz et al. 2022: six for increases, six for decreases, five for peaks."""
    widths = [2, 4, 8, 16, 32, 64]
    increases = [np.array([-1.0 if index % 2 == 0 else 1.0 for index in range(width)]) for width in widths]
    decreases = [np.array([1.0 if index % 2 == 0 else -1.0 for index in range(width)]) for width in widths]
    peaks = []
    for width in widths[1:]:
        quarter = width // 4
        up = [((index + 1) / quarter) ** 2 for index in range(quarter)]
        bump = up + up[::-1]
        peaks.append(np.array([-value for value in bump] + [2 * value for value in bump] + [-value for value in bump]))
    return [*increases, *decreases, *peaks]
