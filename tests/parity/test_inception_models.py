"""Inception, H-Inception, LITE, the encoder and MLSTM-FCN against numpy written out by hand and published counts.

With the weights of the authors' Keras models the logits of all of them agreed to 2e-15 in float64, in training and in
inference (TensorFlow 2.21, which is no dependency of the tests).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from tests.by_hand import (
    CONFIGS,
    Float64,
    State,
    assert_close,
    assert_uniform,
    assert_zero,
    attention_lstm,
    cases,
    cell,
    conv_norm,
    convolve,
    dense,
    hand_crafted,
    hard_sigmoid,
    lstm,
    network,
    normalise,
    randomise,
    relu,
    sigmoid,
    state,
)
from tsfcn.common.errors import UserError
from tsfcn.config.inception_models import HAND_CRAFTED, HAND_CRAFTED_KERNEL
from tsfcn.config.models import (
    EncoderConfig,
    HInceptionConfig,
    InceptionConfig,
    LITEConfig,
    MLSTMFCNConfig,
)
from tsfcn.models import hand_crafted as crafted
from tsfcn.models import initialisers, layers, registry

# ---------------------------------------------------------------- parameter counts


# Ismail Fawaz et al. 2020, one channel. Module 1: 70 * 32 + 32, norm 256; the five others: bottleneck 128 * 32, then
# 70 * 32 * 32, pooled 128 * 32, norm 256; shortcuts 128 and 128 * 128, norm 256 each.
INCEPTION = (2_272 + 256) + 5 * (4_096 + 71_680 + 4_096 + 256) + (128 + 256) + (16_384 + 256)


@pytest.mark.parametrize("n_classes", [2, 7])
def test_inception_has_420192_parameters_and_129_a_class(n_classes: int) -> None:
    count = registry.n_parameters(network("inception", n_classes=n_classes))
    assert count == INCEPTION + 129 * n_classes == 420_192 + 129 * n_classes


def test_h_inception_has_34_more_in_the_first_norm_and_1088_more_behind_the_filters() -> None:
    assert registry.n_parameters(network("h_inception")) == 420_192 + 34 + 2 * 17 * 32 + 129 * 2


def test_several_channels_have_a_bottleneck_in_the_first_module_too() -> None:
    more = 3 * 32 + 70 * 32 * 31 + 2 * 32 + 2 * 128  # bottleneck, convolutions, pooled, shortcut
    assert registry.n_parameters(network("inception", n_channels=3)) == 420_450 + more


# Ismail-Fawaz et al. 2023, one channel: 70 * 32; norm 2 * (96 + 17); separable 113 * 20 + 113 * 32 and
# 32 * 10 + 32 * 32, norm 64 each.
LITE = 2_240 + 226 + (2_260 + 3_616 + 64) + (320 + 1_024 + 64)


@pytest.mark.parametrize("n_classes", [2, 7])
def test_lite_has_9814_parameters_and_33_a_class(n_classes: int) -> None:
    made = network("lite", n_classes=n_classes)
    assert registry.n_parameters(made) == LITE + 33 * n_classes == 9_814 + 33 * n_classes


@pytest.mark.parametrize(("length", "n_left"), [(24, 6), (53, 13), (4, 1)])
def test_encoder_parameters(length: int, n_left: int) -> None:
    convolutions = (5 * 128 + 128) + (11 * 128 * 256 + 256) + (21 * 256 * 512 + 512)
    rest = 4 * 2 + (128 + 256 + 512) + (256 * 256 + 256)  # norms, slopes, dense layer
    count = registry.n_parameters(network("encoder", n_timepoints=length, n_classes=3))
    assert count == convolutions + rest + (n_left * 256 + 1) * 3


def test_mlstm_fcn_of_japanese_vowels() -> None:
    # LSTM; convolutions; batch norms; gates; head
    count = 4 * (26 * 8 + 8 * 8 + 8) + (8 * 12 * 128 + 128) + (5 * 128 * 256 + 256) + (3 * 256 * 128 + 128)
    count += 1_024 + 2 * 128 * 8 + 2 * 256 * 16 + (136 + 1) * 9
    made = network("mlstm_fcn", n_channels=12, n_timepoints=26, n_classes=9, cells=8)
    assert registry.n_parameters(made) == count


# ---------------------------------------------------------------- the layers by hand


def filtered(x: Float64) -> Float64:
    """Return the rectified hand-crafted filters of x (n, c, t), all channels of the first filter first."""
    rows = []
    for weight in hand_crafted():
        padded = np.pad(x, ((0, 0), (0, 0), ((len(weight) - 1) // 2, len(weight) // 2)))
        rows.append(sliding_window_view(padded, len(weight), axis=2) @ weight)
    return relu(np.concatenate(rows, axis=1))


def largest(x: Float64) -> Float64:
    """Return the largest of each timepoint and its two neighbours."""
    ends = ((0, 0), (0, 0), (1, 1))
    return np.asarray(sliding_window_view(np.pad(x, ends, constant_values=-np.inf), 3, axis=2).max(axis=3))


def inception(x: Float64, s: State, training: bool, config: InceptionConfig) -> Float64:
    before = x
    for index in range(config.depth):
        name = f"blocks.{index}"
        narrow = convolve(x, s[f"{name}.bottleneck.weight"]) if f"{name}.bottleneck.weight" in s else x
        parts = [convolve(narrow, s[f"{name}.convs.{kernel}.weight"]) for kernel in range(len(config.kernels))]
        parts.append(convolve(largest(x), s[f"{name}.pooled.weight"]))
        if isinstance(config, HInceptionConfig) and index == 0:
            parts.append(filtered(x.sum(axis=1, keepdims=True)))
        x = relu(normalise(np.concatenate(parts, axis=1), s, f"{name}.norm", training))
        if index in (2, 5) and config.residual:
            shortcut = convolve(before, s[f"shortcuts.{index // 3}.conv.weight"])
            x = before = relu(x + normalise(shortcut, s, f"shortcuts.{index // 3}.norm", training))
    return dense(x.mean(axis=2), s, "head")


def separable(x: Float64, s: State, name: str, dilation: int = 1) -> Float64:
    """Convolve each channel by its own kernel whose neighbours are `dilation` apart, then mix the channels."""
    kernels = s[f"{name}.depthwise.weight"][:, 0]
    wide = np.zeros((x.shape[1], (kernels.shape[1] - 1) * dilation + 1))
    wide[:, ::dilation] = kernels
    left = (wide.shape[1] - 1) // 2
    padded = np.pad(x, ((0, 0), (0, 0), (left, wide.shape[1] - 1 - left)))
    each = np.einsum("nctk,ck->nct", sliding_window_view(padded, wide.shape[1], axis=2), wide)
    return np.asarray(np.einsum("nct,oc->not", each, s[f"{name}.pointwise.weight"][:, :, 0]))


def lite(x: Float64, s: State, training: bool, config: LITEConfig) -> Float64:
    parts = [
        convolve(x, s[f"convs.{index}.weight"]) if x.shape[1] == 1 else separable(x, s, f"convs.{index}")
        for index in range(len(config.kernels))
    ]
    parts += [filtered(x)] if config.hand_crafted else []
    x = relu(normalise(np.concatenate(parts, axis=1), s, "norm", training))
    for index, dilation in enumerate(config.dilations):
        x = relu(normalise(separable(x, s, f"blocks.{index}.conv", dilation), s, f"blocks.{index}.norm", training))
    return dense(x.mean(axis=2), s, "head")


def instance_norm(x: Float64, s: State, name: str, over: str) -> Float64:
    if over == "case":
        centred = x - x.mean(axis=(1, 2), keepdims=True)
        scaled = centred / (np.sqrt((centred**2).mean(axis=(1, 2), keepdims=True)) + 0.001)
    else:
        centred = x - x.mean(axis=2, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=2, keepdims=True) + 0.001)
    return np.asarray(s[f"{name}.gamma"] * scaled + s[f"{name}.beta"])


def encoder(x: Float64, s: State, over: str) -> Float64:
    for index in range(3):
        name = f"blocks.{index}"
        x = convolve(x, s[f"{name}.conv.weight"], s[f"{name}.conv.bias"])
        x = instance_norm(x, s, f"{name}.norm", over)
        x = np.where(x > 0, x, s[f"{name}.activation.weight"][:, None] * x)
        if index < 2:  # the larger of each pair, a last single timepoint is dropped
            pairs = x[:, :, : x.shape[2] // 2 * 2].reshape(*x.shape[:2], -1, 2)
            x = pairs.max(axis=3)
    values, scores = x[:, : x.shape[1] // 2], np.exp(x[:, x.shape[1] // 2 :])
    attended = values * scores / scores.sum(axis=1, keepdims=True)
    units = sigmoid(np.swapaxes(attended, 1, 2) @ s["dense.weight"].T + s["dense.bias"])
    units = instance_norm(np.swapaxes(units, 1, 2), s, "norm", over)
    return dense(np.swapaxes(units, 1, 2).reshape(len(x), -1), s, "head")


def gated_features(x: Float64, s: State, training: bool) -> Float64:
    """Return the features of the FCN with squeeze-and-excitation after the first two blocks."""
    for block in range(3):
        x = relu(conv_norm(x, s, f"blocks.{block}", training))
        if block < 2:
            squeezed = relu(x.mean(axis=2) @ s[f"gates.{block}.squeeze.weight"].T)
            x = x * sigmoid(squeezed @ s[f"gates.{block}.excite.weight"].T)[:, :, None]
    return np.asarray(x.mean(axis=2))


# ---------------------------------------------------------------- whole networks

SMALL: dict[str, Any] = {"filters": 3, "kernels": [8, 4, 2], "bottleneck": 2}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize(
    "changes",
    [{}, {"depth": 4}, {"depth": 2}, {"residual": False}, {"bottleneck": 0}, {"kernels": [5]}],
    ids=lambda changes: "-".join(map(str, changes)),
)
@pytest.mark.parametrize("kind", [InceptionConfig, HInceptionConfig])
def test_inception(kind: type[InceptionConfig], changes: dict[str, Any], n_channels: int, training: bool) -> None:
    config = kind(**(SMALL | changes))
    model = "h_inception" if kind is HInceptionConfig else "inception"
    made = randomise(network(model, config, n_channels=n_channels, n_classes=3)).train(training)
    x, s = cases(5, n_channels, 19), state(made)
    assert_close(made(torch.from_numpy(x)), inception(x, s, training, config))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("changes", [{}, {"hand_crafted": False}, {"separable_kernels": [3], "dilations": [1]}])
def test_lite(changes: dict[str, Any], n_channels: int, training: bool) -> None:
    small: dict[str, Any] = {"filters": 3, "kernels": [8, 4, 2], "separable_kernels": [5, 4]}
    config = LITEConfig(**(small | changes))
    made = randomise(network("lite", config, n_channels=n_channels, n_classes=3)).train(training)
    x, s = cases(5, n_channels, 30), state(made)
    assert_close(made(torch.from_numpy(x)), lite(x, s, training, config))


@pytest.mark.parametrize("n_timepoints", [4, 15, 18])
@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("over", ["case", "channel"])
def test_encoder(over: str, n_channels: int, n_timepoints: int) -> None:
    config = EncoderConfig(filters=[4, 5, 6], kernels=[5, 7, 8], units=3, norm_over=over)
    made = randomise(network("encoder", config, n_channels=n_channels, n_timepoints=n_timepoints, n_classes=3)).eval()
    x, s = cases(5, n_channels, n_timepoints), state(made)
    assert_close(made(torch.from_numpy(x)), encoder(x, s, over))


def masked_lstm(steps: Float64, s: State) -> Float64:
    """Return the last hidden state of a Keras LSTM behind a Masking layer: steps of zeros are left out."""
    rows = []
    for case in steps:
        h = c = np.zeros((1, s["lstm.recurrent"].shape[0]))
        for step in case:
            if step.any():
                h, c = cell((step @ s["lstm.kernel"])[None, :], h, c, s, hard_sigmoid)
        rows.append(h[0])
    return np.stack(rows)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("n_channels", [1, 4])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("model", ["mlstm_fcn", "malstm_fcn"])
def test_mlstm_fcn(model: str, shuffle: bool, n_channels: int, training: bool) -> None:
    config = MLSTMFCNConfig(filters=[5, 6, 4], shuffle=shuffle, reduction=2, dropout=0.0)
    made = randomise(network(model, config, n_channels=n_channels, n_timepoints=7, n_classes=3, cells=4))
    made.train(training)
    x, s = cases(5, n_channels, 7), state(made)
    steps = x if shuffle else np.swapaxes(x, 1, 2)
    branch = lstm(steps, s, "hard_sigmoid") if model == "mlstm_fcn" else attention_lstm(steps, s, "hard_sigmoid")
    both = np.concatenate([branch, gated_features(x, s, training)], axis=1)
    assert_close(made(torch.from_numpy(x)), dense(both, s, "head"))


def test_a_channel_of_zeros_is_no_step_of_mlstm_fcn() -> None:
    made = randomise(network("mlstm_fcn", MLSTMFCNConfig(filters=[5, 6, 4]), n_channels=5, n_timepoints=7)).eval()
    x, s = cases(4, 5, 7), state(made)
    x[0, 0], x[1, 4], x[2, 1:3], x[3] = 0, 0, 0, 0  # the first, the last, two between, all
    both = np.concatenate([masked_lstm(x, s), gated_features(x, s, training=False)], axis=1)
    assert_close(made(torch.from_numpy(x)), dense(both, s, "head"))


# ---------------------------------------------------------------- hand-crafted filters


def test_the_hand_crafted_filters() -> None:
    made, expected = crafted.kernels().double().numpy(), hand_crafted()
    assert made.shape == (HAND_CRAFTED, 1, HAND_CRAFTED_KERNEL) == (17, 1, 96) and len(expected) == 17
    for row, weight in zip(made[:, 0], expected, strict=True):
        start = 47 - (len(weight) - 1) // 2  # 47 timepoints of the 96 come before the one that is computed
        np.testing.assert_array_equal(row[start : start + len(weight)], weight)
        assert not row[:start].any() and not row[start + len(weight) :].any()


def test_some_hand_crafted_filters_literally() -> None:
    filters = hand_crafted()
    assert filters[1].tolist() == [-1, 1, -1, 1] and filters[7].tolist() == [1, -1, 1, -1]
    assert filters[12].tolist() == [-1, -1, 2, 2, -1, -1]
    assert filters[13].tolist() == [-0.25, -1, -1, -0.25, 0.5, 2, 2, 0.5, -0.25, -1, -1, -0.25]


def test_hand_crafted_filters_are_neither_trained_nor_drawn() -> None:
    made = network("lite", CONFIGS["lite"])
    before = crafted.kernels()
    made.train()(torch.randn(4, 1, 30, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    buffers = {name: value for name, value in made.named_buffers() if name.endswith("kernels")}
    assert list(buffers) == ["hand_crafted.kernels"] and torch.equal(buffers["hand_crafted.kernels"], before)
    assert "hand_crafted.kernels" not in made.state_dict() | dict(made.named_parameters())


# ---------------------------------------------------------------- layers


@pytest.mark.parametrize(("kernel", "dilation", "zeros"), [(20, 2, (19, 19)), (10, 4, (18, 18)), (4, 3, (4, 5))])
def test_same_padding_of_a_dilated_kernel(kernel: int, dilation: int, zeros: tuple[int, int]) -> None:
    assert layers.same_padding(kernel, dilation) == zeros


def test_the_maximum_at_the_ends_is_of_two_timepoints() -> None:
    x = torch.tensor([[[-5.0, -3, -4, -9]]])
    assert layers.max_pool(x, 3).tolist() == [[[-3.0, -3, -3, -4]]]
    apart = layers.max_pool(torch.tensor([[[-5.0, -3, 7, -4, -9]]]), 3, [2, 3])
    assert apart.tolist() == [[[-3.0, -3, 7, 7, -4]]]


def test_instance_norm_of_a_constant_has_a_gradient() -> None:
    made = network("encoder", EncoderConfig(filters=[4, 4], kernels=[3, 3], units=3, dropout=0.0), n_timepoints=8)
    made(torch.zeros(2, 1, 8)).square().sum().backward()
    assert all(value.grad is not None and bool(torch.isfinite(value.grad).all()) for value in made.parameters())


def test_the_encoder_drops_after_each_convolution() -> None:
    config = EncoderConfig(filters=[4, 6], kernels=[3, 3], units=3, dropout=0.5)
    made = randomise(network("encoder", config, n_timepoints=12)).train()
    initialisers.seed_dropout(made, torch.Generator().manual_seed(3))
    seen = []
    for block in made.blocks:  # type: ignore[union-attr]
        block.dropout.register_forward_hook(lambda module, x, y: seen.append((y == 0).double().mean().item()))
    made(torch.from_numpy(cases(50, 1, 12)))
    assert len(seen) == 2 and all(0.4 < rate < 0.6 for rate in seen)


def test_series_too_short_for_the_encoder() -> None:
    with pytest.raises(UserError, match=r"^series of 3 timepoints are too short for encoder: give 4 or more$"):
        network("encoder", n_timepoints=3)


# ---------------------------------------------------------------- initial weights


def test_inception_and_lite_start_as_keras_does() -> None:
    made = dict(network("inception", initialiser="glorot_uniform").named_parameters())
    assert_uniform(made["blocks.0.convs.0.weight"], math.sqrt(6 / (40 * 33)))
    assert_uniform(made["blocks.1.bottleneck.weight"], math.sqrt(6 / 160))
    assert_uniform(made["blocks.1.convs.2.weight"], math.sqrt(6 / (10 * 64)))
    assert_uniform(made["shortcuts.1.conv.weight"], math.sqrt(6 / 256))
    assert not [name for name in made if name.endswith("bias") and "norm" not in name and name != "head.bias"]
    made = dict(network("lite", n_channels=40, initialiser="glorot_uniform").named_parameters())
    # a depthwise kernel of c channels has c * kernel inputs and `kernel` outputs
    assert_uniform(made["convs.0.depthwise.weight"], math.sqrt(6 / (40 * 41)))
    assert_uniform(made["convs.0.pointwise.weight"], math.sqrt(6 / (40 + 32)))
    assert_uniform(made["blocks.0.conv.depthwise.weight"], math.sqrt(6 / (20 * (96 + 17 * 40 + 1))))


def test_gates_slopes_and_biases_start_as_in_the_authors_code() -> None:
    made = network("malstm_fcn", n_channels=3)
    parameters = dict(made.named_parameters())
    for name, n_in in (("gates.1.squeeze", 256), ("gates.1.excite", 16)):
        weight, deviation = parameters[f"{name}.weight"].detach(), math.sqrt(2 / n_in)
        assert weight.abs().max() <= 2 * deviation * (1 + 1e-6)
        assert weight.std().item() == pytest.approx(0.8796 * deviation, rel=0.05)
    assert_zero(parameters["lstm.bias"])  # not even a forget bias
    assert set(dict(network("mlstm_fcn").named_parameters())["lstm.bias"][8:16].tolist()) == {1.0}
    parameters = dict(network("encoder").named_parameters())
    for name, value in parameters.items():
        if name.endswith(("bias", "beta", "activation.weight")):
            assert_zero(value)
        if name.endswith("gamma"):
            assert set(value.flatten().tolist()) == {1.0}
