"""The networks against numpy written out by hand, published parameter counts and torch.nn.LSTM.

All in float64, with every weight and batch-norm statistic drawn at random: no term can hide behind a zero or a one.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.by_hand import (
    CONFIGS,
    GATES,
    PADDING,
    assert_close,
    assert_uniform,
    assert_zero,
    attention_lstm,
    cases,
    conv_norm,
    convolve,
    dense,
    fcn_features,
    lstm,
    network,
    normalise,
    randomise,
    relu,
    resnet,
    state,
)
from tsfcn.config import models
from tsfcn.config.models import FCNConfig, LSTMFCNConfig, MLPConfig, ResNetConfig
from tsfcn.models import fcn, initialisers, layers, lstm_fcn, recurrent, registry

# ---------------------------------------------------------------- parameter counts


def keras_count(made: nn.Module) -> int:
    """Return the trainable parameters and batch norm's two running statistics."""
    running = [value for name, value in made.named_buffers() if name.endswith(("running_mean", "running_var"))]
    return registry.n_parameters(made) + sum(value.numel() for value in running)


@pytest.mark.parametrize(("n_classes", "count"), [(2, 264_962), (3, 265_091), (37, 269_477), (60, 272_444)])
def test_fcn_has_264704_parameters_and_129_a_class(n_classes: int, count: int) -> None:
    assert registry.n_parameters(network("fcn", n_classes=n_classes)) == count == 264_704 + 129 * n_classes


@pytest.mark.parametrize(("model", "count"), [("lstm_fcn", 277_604), ("alstm_fcn", 291_484)])
def test_the_counts_in_the_authors_weight_files_of_diatom_size_reduction(model: str, count: int) -> None:
    assert keras_count(network(model, n_timepoints=345, n_classes=4, cells=8)) == count


@pytest.mark.parametrize(("features", "cells"), [(345, 8), (1, 64), (24, 128)])
def test_the_lstm_has_one_bias_four_u_fewer_than_pytorchs(features: int, cells: int) -> None:
    count = registry.n_parameters(recurrent.LSTM(features, cells, "sigmoid"))
    assert count == 4 * (cells * features + cells * cells + cells)
    assert registry.n_parameters(nn.LSTM(features, cells)) == count + 4 * cells


# Wang et al. 2017, section II.C, one channel. Convolutions with bias:
#   block 1   8*64+64, 5*64*64+64, 3*64*64+64, shortcut 64+64              576   20544  12352   128
#   block 2   8*64*128+128, 5*128*128+128, 3*128*128+128, 64*128+128     65664   82048  49280  8320
#   block 3   8*128*128+128, 5*128*128+128, 3*128*128+128, none         131200   82048  49280
# Batch norms, two a channel: four of 64, four of 128, four of 128 -> 512 1024 1024. Head: 129 a class.
RESNET = (576 + 20_544 + 12_352 + 128) + (65_664 + 82_048 + 49_280 + 8_320) + (131_200 + 82_048 + 49_280) + 2_560


@pytest.mark.parametrize("n_classes", [2, 5, 60])
def test_resnet_has_504000_parameters_and_129_a_class(n_classes: int) -> None:
    made = network("resnet", n_classes=n_classes)
    assert registry.n_parameters(made) == RESNET + 129 * n_classes == 504_000 + 129 * n_classes
    assert keras_count(made) == 506_560 + 129 * n_classes  # the running statistics of the twelve batch norms


def test_resnet_with_input_norm_and_three_channels() -> None:
    # 2 more input channels: 2*8*64 in the first convolution, 2*64 in its shortcut; batch norm of 3 channels.
    made = network("resnet", ResNetConfig(input_norm=True), n_channels=3)
    assert registry.n_parameters(made) == 504_000 + 258 + 1_024 + 128 + 6


@pytest.mark.parametrize(
    ("n_timepoints", "n_channels", "n_classes", "count"),
    [(24, 1, 2, 514_502), (150, 1, 50, 601_550), (10, 3, 4, 518_504)],
)
def test_mlp_parameters(n_timepoints: int, n_channels: int, n_classes: int, count: int) -> None:
    made = network("mlp", n_channels=n_channels, n_timepoints=n_timepoints, n_classes=n_classes)
    # (L + 1) * 500 + 2 * 501 * 500 + 501 a class
    assert registry.n_parameters(made) == count == (n_timepoints * n_channels + 1) * 500 + 501_000 + 501 * n_classes


@pytest.mark.parametrize("model", models.MODELS)
def test_parameters_as_published(model: str) -> None:
    size = models.spec(model).published
    assert size is not None and size.source
    made = network(model, None, size.n_channels, size.n_timepoints, size.n_classes, size.cells)
    assert registry.n_parameters(made) == size.n_parameters


# ---------------------------------------------------------------- convolution and batch norm


@pytest.mark.parametrize("kernel", sorted(PADDING))
def test_same_padding_is_tensorflows(kernel: int) -> None:
    assert layers.same_padding(kernel) == PADDING[kernel]


def test_where_a_kernel_of_eight_sees_an_impulse() -> None:
    block = layers.ConvNorm(1, 1, 8, 0.99, 0.001).double().eval()
    with torch.no_grad():
        block.conv.weight.copy_(torch.arange(1.0, 9.0).reshape(1, 1, 8))
        assert block.conv.bias is not None
        block.conv.bias.zero_()
    scale = math.sqrt(1.001)  # of a batch norm that has seen nothing: mean 0, variance 1
    first, last = torch.zeros(1, 1, 10, dtype=torch.float64), torch.zeros(1, 1, 10, dtype=torch.float64)
    first[0, 0, 0] = last[0, 0, 9] = scale
    # Output t sees timepoints t - 3 ... t + 4: the impulse at 0 is seen from 0 to 3, that at 9 from 5 on.
    assert_close(block(first)[0, 0], np.array([4.0, 3, 2, 1, 0, 0, 0, 0, 0, 0]))
    assert_close(block(last)[0, 0], np.array([0.0, 0, 0, 0, 0, 8, 7, 6, 5, 4]))


@pytest.mark.parametrize("kernel", sorted(PADDING))
def test_convolution_of_every_kernel_size(kernel: int) -> None:
    block = randomise(layers.ConvNorm(3, 4, kernel, 0.99, 0.001)).eval()
    x, s = cases(2, 3, 5), {f"b.{name}": value for name, value in state(block).items()}  # shorter than the kernel, too
    assert_close(block(torch.from_numpy(x)), conv_norm(x, s, "b", training=False))


def test_batch_norm_in_training_and_its_running_statistics() -> None:
    block = layers.ConvNorm(2, 3, 3, bn_momentum=0.99, bn_eps=0.001)
    before = state(randomise(block).train())
    mean, variance = before["norm.running_mean"], before["norm.running_var"]
    for x in (cases(4, 2, 5), cases(3, 2, 5, seed=2)):  # 20 and 15 values a channel
        convolved = convolve(x, before["conv.weight"], before["conv.bias"])
        assert_close(block(torch.from_numpy(x)), normalise(convolved, before, "norm", training=True))
        n = x.shape[0] * x.shape[2]
        batch_mean = convolved.mean(axis=(0, 2))
        unbiased = ((convolved - batch_mean[:, None]) ** 2).sum(axis=(0, 2)) / (n - 1)
        mean, variance = 0.99 * mean + 0.01 * batch_mean, 0.99 * variance + 0.01 * unbiased
    after = state(block)
    np.testing.assert_allclose(after["norm.running_mean"], mean, rtol=0, atol=1e-10)
    np.testing.assert_allclose(after["norm.running_var"], variance, rtol=0, atol=1e-10)
    for name in ("conv.weight", "conv.bias", "norm.weight", "norm.bias"):
        np.testing.assert_array_equal(after[name], before[name])


def test_batch_norm_in_inference_uses_and_leaves_the_running_statistics() -> None:
    made = randomise(network("fcn", FCNConfig(filters=[3, 4, 2]))).eval()
    before = state(made)
    one, many = torch.from_numpy(cases(1, 1, 12)), torch.from_numpy(cases(5, 1, 12))
    alone = made(one)
    together = made(torch.cat([one, 100 * many]))[:1]
    assert_close(together, alone.detach().numpy())  # a case's logits do not depend on its batch
    for name, value in state(made).items():
        np.testing.assert_array_equal(value, before[name])


def test_batch_norm_starts_as_keras_does() -> None:
    for model in ("fcn", "resnet", "lstm_fcn"):
        norms = [m for m in network(model).modules() if isinstance(m, nn.BatchNorm1d)]
        assert len(norms) == {"fcn": 3, "resnet": 12, "lstm_fcn": 3}[model]
        for norm in norms:
            assert norm.momentum == pytest.approx(0.01) and norm.eps == 0.001
            assert norm.running_mean is not None and norm.running_var is not None
            assert set(norm.weight.tolist()) == set(norm.running_var.tolist()) == {1.0}
            assert set(norm.bias.tolist()) == set(norm.running_mean.tolist()) == {0.0}


# ---------------------------------------------------------------- whole networks


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_fcn(n_channels: int, training: bool) -> None:
    made = randomise(network("fcn", FCNConfig(filters=[5, 7, 4]), n_channels=n_channels, n_classes=3)).train(training)
    x, s = cases(6, n_channels, 11), state(made)
    assert_close(made(torch.from_numpy(x)), dense(fcn_features(x, s, training), s, "head"))


@pytest.mark.parametrize("training", [False, True])
def test_fcn_of_the_published_size(training: bool) -> None:
    made = network("fcn", n_classes=4).double().train(training)
    x, s = cases(3, 1, 20), state(made)
    assert_close(made(torch.from_numpy(x)), dense(fcn_features(x, s, training), s, "head"))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("n_channels", [1, 4])
@pytest.mark.parametrize("input_norm", [False, True])
def test_resnet(input_norm: bool, n_channels: int, training: bool) -> None:
    config = ResNetConfig(filters=[4, 6, 6], input_norm=input_norm)  # at 4 channels all but one shortcut are batch norm
    made = randomise(network("resnet", config, n_channels=n_channels, n_classes=3)).train(training)
    x, s = cases(5, n_channels, 13), state(made)
    assert_close(made(torch.from_numpy(x)), resnet(x, s, training, input_norm))


@pytest.mark.parametrize("n_channels", [1, 2])
def test_mlp(n_channels: int) -> None:
    config = MLPConfig(units=[7, 6, 5])
    made = randomise(network("mlp", config, n_channels=n_channels, n_timepoints=9, n_classes=3)).eval()
    x, s = cases(4, n_channels, 9), state(made)
    y = x.reshape(4, -1)  # channel after channel
    for layer in range(3):
        y = relu(dense(y, s, f"hidden.{layer}"))
    assert_close(made(torch.from_numpy(x)), dense(y, s, "head"))


@pytest.mark.parametrize("gates", sorted(GATES))
@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("model", ["lstm_fcn", "alstm_fcn"])
def test_lstm_fcn(model: str, shuffle: bool, n_channels: int, gates: str) -> None:
    config = LSTMFCNConfig(filters=[5, 6, 4], shuffle=shuffle, gates=gates)
    made = randomise(network(model, config, n_channels=n_channels, n_timepoints=7, n_classes=3, cells=4)).eval()
    x, s = cases(5, n_channels, 7), state(made)
    steps = x if shuffle else np.swapaxes(x, 1, 2)  # n_channels steps of 7 features, or 7 steps of n_channels
    assert s["lstm.kernel"].shape == (steps.shape[2], 16)
    branch = {"lstm_fcn": lstm, "alstm_fcn": attention_lstm}[model](steps, s, gates)
    both = np.concatenate([branch, fcn_features(x, s, training=False)], axis=1)
    assert_close(made(torch.from_numpy(x)), dense(both, s, "head"))


def test_the_defaults_are_the_papers() -> None:
    config = LSTMFCNConfig()
    assert (config.filters, config.kernels) == ([128, 256, 128], [8, 5, 3])
    assert (config.bn_momentum, config.bn_eps) == (0.99, 0.001)
    assert (config.dropout, config.shuffle, config.gates) == (0.8, True, "hard_sigmoid")


@pytest.mark.parametrize("model", sorted(CONFIGS))
def test_only_flattening_and_the_shuffle_fix_the_length(model: str) -> None:
    made = network(model, n_timepoints=12).eval()
    assert made(torch.zeros(2, 1, 12)).shape == (2, 2)
    if CONFIGS[model].fixed_length():
        with pytest.raises(RuntimeError, match="shape"):
            made(torch.zeros(2, 1, 16))  # the encoder drops the rest of a division by 4
    else:
        assert made(torch.zeros(2, 1, 16)).shape == (2, 2)


@pytest.mark.parametrize("model", ["lstm_fcn", "alstm_fcn"])
def test_unshuffled_the_length_is_free(model: str) -> None:
    config = LSTMFCNConfig(shuffle=False)
    assert not config.fixed_length()
    assert network(model, config, n_timepoints=12).eval()(torch.zeros(2, 1, 15)).shape == (2, 2)


# ---------------------------------------------------------------- the LSTM


def test_hard_sigmoid_is_keras() -> None:
    x = np.array([-9.0, -2.5, -1.0, 0.0, 0.5, 2.4, 2.5, 9.0])
    assert_close(recurrent.hard_sigmoid(torch.from_numpy(x)), np.array([0.0, 0, 0.3, 0.5, 0.6, 0.98, 1, 1]))


@pytest.mark.parametrize("gates", sorted(GATES))
def test_one_step_of_one_cell_worked_by_hand(gates: str) -> None:
    layer = recurrent.LSTM(2, 1, gates).double()
    with torch.no_grad():
        layer.kernel.copy_(torch.tensor([[1.0, 9.0, 0.5, -0.5], [0.25, 9.0, -1.0, 2.0]]))  # i f g o
        layer.bias.copy_(torch.tensor([0.1, 1.0, 0.2, 0.3], dtype=torch.float64))
        layer.recurrent.fill_(5.0)
    # x = (1, 2): i = 1 + 0.5 + 0.1, g = 0.5 - 2 + 0.2, o = -0.5 + 4 + 0.3; f and the recurrent kernel see zeros
    i, g, o = 1.6, -1.3, 3.8
    open_i, open_o = (0.82, 1.0) if gates == "hard_sigmoid" else (1 / (1 + math.exp(-i)), 1 / (1 + math.exp(-o)))
    expected = open_o * math.tanh(open_i * math.tanh(g))
    assert layer(torch.tensor([[[1.0, 2.0]]], dtype=torch.float64)).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n_features", [1, 3])
def test_with_sigmoid_gates_it_is_torchs_lstm(n_features: int) -> None:
    config = LSTMFCNConfig(filters=[3, 3, 3], shuffle=False, gates="sigmoid")
    made = randomise(network("lstm_fcn", config, n_channels=n_features, n_timepoints=20, cells=6)).eval()
    assert isinstance(made, lstm_fcn.LSTMFCN)
    torch_lstm = nn.LSTM(n_features, 6, batch_first=True).double()
    torch_lstm.load_state_dict(
        {
            "weight_ih_l0": made.lstm.kernel.T,
            "weight_hh_l0": made.lstm.recurrent.T,
            "bias_ih_l0": made.lstm.bias,
            "bias_hh_l0": torch.zeros(24),
        }
    )
    x = torch.from_numpy(cases(5, n_features, 20))
    last = torch_lstm(x.transpose(1, 2))[0][:, -1]
    logits = made.head(torch.cat([last, made.features(x)], dim=1))
    assert_close(made(x), logits.detach().numpy())


def test_after_the_shuffle_forget_gate_and_recurrent_kernel_get_no_gradient() -> None:
    made = randomise(network("lstm_fcn", LSTMFCNConfig(filters=[3, 3, 3]), n_timepoints=9, cells=4)).eval()
    made(torch.from_numpy(cases(5, 1, 9))).square().sum().backward()
    assert isinstance(made, lstm_fcn.LSTMFCN)
    kernel, bias = made.lstm.kernel.grad, made.lstm.bias.grad
    assert made.lstm.recurrent.grad is not None and not made.lstm.recurrent.grad.any()
    assert kernel is not None and not kernel[:, 4:8].any() and kernel[:, :4].any() and kernel[:, 8:].any()
    assert bias is not None and not bias[4:8].any() and bias[:4].any() and bias[8:].any()


# ---------------------------------------------------------------- attention

SCORES = ("score_x", "score_h", "score_bias", "score")  # W, U, b, v


def attending(n_channels: int, shuffle: bool = True) -> lstm_fcn.LSTMFCN:
    config = LSTMFCNConfig(filters=[3, 3, 3], shuffle=shuffle)
    made = randomise(network("alstm_fcn", config, n_channels=n_channels, n_timepoints=6, cells=4)).eval()
    assert isinstance(made, lstm_fcn.LSTMFCN) and isinstance(made.lstm, recurrent.AttentionLSTM)
    return made


def gradients(made: lstm_fcn.LSTMFCN, n_channels: int) -> dict[str, torch.Tensor]:
    made(torch.from_numpy(cases(5, n_channels, 6))).square().sum().backward()
    found = {name: value.grad for name, value in made.lstm.named_parameters()}
    return {name: value for name, value in found.items() if value is not None}


def test_the_attention_weights_worked_by_hand() -> None:
    layer = recurrent.AttentionLSTM(1, 2, "sigmoid").double()
    with torch.no_grad():
        layer.score_h.copy_(torch.tensor([[1.0, 0.0], [0.5, -1.0]]))
        layer.score.copy_(torch.tensor([2.0, -1.0]))
    scored = torch.tensor([[[0.3, -0.2], [1.0, 0.5], [-0.4, 0.0]]], dtype=torch.float64)  # W x + b, three steps
    h = torch.tensor([[0.2, 0.4]], dtype=torch.float64)  # U h = (0.2 + 0.2, -0.4)
    energies = [2 * math.tanh(a + 0.4) - math.tanh(b - 0.4) for a, b in ((0.3, -0.2), (1.0, 0.5), (-0.4, 0.0))]
    total = sum(map(math.exp, energies))
    assert_close(layer.weights(scored, h), np.array([[math.exp(e) / total for e in energies]]))


def test_shuffled_univariate_attention_has_weight_one_and_no_gradient() -> None:
    made = attending(n_channels=1)
    assert isinstance(made.lstm, recurrent.AttentionLSTM)
    x = torch.from_numpy(cases(5, 1, 6))
    scored = x @ made.lstm.score_x + made.lstm.score_bias
    assert made.lstm.weights(scored, torch.randn(5, 4, dtype=torch.float64)).tolist() == [[1.0]] * 5
    found = gradients(made, n_channels=1)
    for name in (*SCORES, "recurrent"):
        assert not found[name].any(), name
    for name in ("kernel", "context", "bias"):
        assert found[name].any(), name


def test_shuffled_univariate_attention_is_the_plain_lstm_of_the_summed_kernels() -> None:
    made = attending(n_channels=1)
    assert isinstance(made.lstm, recurrent.AttentionLSTM)
    x = cases(5, 1, 6)
    s = state(made)
    s["lstm.kernel"] = s["lstm.kernel"] + s["lstm.context"]
    assert_close(made.lstm(torch.from_numpy(x)), lstm(x, s, "hard_sigmoid"))


@pytest.mark.parametrize(("n_channels", "shuffle"), [(2, True), (1, False)])
def test_attention_over_more_than_one_step_learns(n_channels: int, shuffle: bool) -> None:
    found = gradients(attending(n_channels, shuffle), n_channels)
    for name in (*SCORES, "context", "recurrent"):
        assert found[name].any(), name


def test_attention_starts_uniform() -> None:
    """The paper's v is zero at first: every step weighs the same."""
    made = network("alstm_fcn", LSTMFCNConfig(shuffle=False), cells=4)
    assert isinstance(made, lstm_fcn.LSTMFCN) and isinstance(made.lstm, recurrent.AttentionLSTM)
    weights = made.lstm.weights(torch.randn(2, 5, 4), torch.randn(2, 4))
    np.testing.assert_allclose(weights.detach().numpy(), 0.2, rtol=1e-6)


@pytest.mark.parametrize(("n_cases", "cells"), [(3, 4), (2, 9)])
def test_the_memory_estimate_of_attention(n_cases: int, cells: int) -> None:
    """The memory of autograd that grows with the square of the length is never more than estimated."""

    def kept_bytes(n_steps: int) -> int:
        layer = recurrent.AttentionLSTM(1, cells, "hard_sigmoid")
        for parameter in layer.parameters():
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
        storages = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor  # keeps it alive, so no address comes twice
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            layer(torch.ones(n_cases, n_steps, 1))
        return sum(tensor.untyped_storage().nbytes() for tensor in storages.values())

    # A second difference at equal distances leaves the quadratic part alone.
    quadratic = kept_bytes(60) - 2 * kept_bytes(40) + kept_bytes(20)
    estimate = sum(sign * recurrent.attention_bytes(n_cases, n, cells) for sign, n in ((1, 60), (-2, 40), (1, 20)))
    assert quadratic <= estimate <= 1.5 * quadratic


# ---------------------------------------------------------------- dropout


def test_only_the_lstms_output_is_dropped() -> None:
    config = LSTMFCNConfig(filters=[5, 6, 4], dropout=0.5)
    made = randomise(network("lstm_fcn", config, n_timepoints=7, n_classes=3, cells=30)).train()
    initialisers.seed_dropout(made, torch.Generator().manual_seed(11))
    x, s = cases(5, 1, 7), state(made)
    kept = torch.rand((5, 30), generator=torch.Generator().manual_seed(11), dtype=torch.float64).numpy() >= 0.5
    assert 0 < kept.sum() < kept.size
    branch = lstm(x, s, "hard_sigmoid") * kept * 2.0
    both = np.concatenate([branch, fcn_features(x, s, training=True)], axis=1)
    assert_close(made(torch.from_numpy(x)), dense(both, s, "head"))


def test_the_mlp_drops_before_each_hidden_layer_and_the_head() -> None:
    config = MLPConfig(units=[8, 8, 8], dropout=[0.1, 0.6, 0.0, 0.5])
    made = randomise(network("mlp", config, n_timepoints=30, n_classes=3)).train()
    initialisers.seed_dropout(made, torch.Generator().manual_seed(5))
    x, s = cases(6, 1, 30), state(made)
    masks = torch.Generator().manual_seed(5)
    y = x.reshape(6, 30)
    for rate, layer in ((0.1, "hidden.0"), (0.6, "hidden.1"), (0.0, "hidden.2"), (0.5, "head")):
        if rate > 0:
            kept = torch.rand(y.shape, generator=masks, dtype=torch.float64).numpy() >= rate
            y = y * kept / (1 - rate)
        y = dense(y, s, layer)
        y = y if layer == "head" else relu(y)
    assert_close(made(torch.from_numpy(x)), y)


# ---------------------------------------------------------------- initialisers


@pytest.mark.parametrize(
    ("initialiser", "limits"),
    [
        # fan in 1*8, 128*5, 256*3; fan out 128*8, 256*5, 128*3
        ("glorot_uniform", [math.sqrt(6 / 1032), math.sqrt(6 / 1920), math.sqrt(6 / 1152)]),
        ("he_uniform", [math.sqrt(6 / 8), math.sqrt(6 / 640), math.sqrt(6 / 768)]),
    ],
)
def test_the_convolutions_start_within_the_papers_bounds(initialiser: str, limits: list[float]) -> None:
    for model in ("fcn", "lstm_fcn", "alstm_fcn"):
        made = registry.build(model, CONFIGS[model], 1, 50, 10, cells=8)
        initialisers.initialise(made, initialiser, torch.Generator().manual_seed(1))
        assert isinstance(made, fcn.FCN)
        for block, limit in zip(made.blocks, limits, strict=True):
            assert isinstance(block, layers.ConvNorm) and block.conv.bias is not None
            assert_uniform(block.conv.weight, limit)
            assert_zero(block.conv.bias)
        n_in = 128 if model == "fcn" else 136
        assert_uniform(made.head.weight, math.sqrt(6 / (n_in + 10)))  # dense layers are Glorot in both protocols
        assert_zero(made.head.bias)


def test_resnet_and_mlp_start_glorot() -> None:
    made = registry.build("resnet", CONFIGS["resnet"], 1, 50, 3, cells=0)
    initialisers.initialise(made, "glorot_uniform", torch.Generator().manual_seed(2))
    parameters = dict(made.named_parameters())
    assert_uniform(parameters["blocks.1.convs.0.conv.weight"], math.sqrt(6 / (8 * (64 + 128))))
    assert_uniform(parameters["blocks.1.shortcut.conv.weight"], math.sqrt(6 / (64 + 128)))
    biases = [name for name in parameters if name.endswith("conv.bias")]
    assert len(biases) == 11
    for name in biases:
        assert_zero(parameters[name])

    made = registry.build("mlp", CONFIGS["mlp"], 1, 50, 3, cells=0)
    initialisers.initialise(made, "glorot_uniform", torch.Generator().manual_seed(2))
    parameters = dict(made.named_parameters())
    for name, fans in (("hidden.0", 550), ("hidden.1", 1000), ("hidden.2", 1000), ("head", 503)):
        assert_uniform(parameters[f"{name}.weight"], math.sqrt(6 / fans))
        assert_zero(parameters[f"{name}.bias"])


@pytest.mark.parametrize("cells", [8, 64])
@pytest.mark.parametrize("features", [5, 300])
def test_the_lstm_starts_as_keras_does(features: int, cells: int) -> None:
    layer = recurrent.AttentionLSTM(features, cells, "hard_sigmoid")
    initialisers.initialise(layer, "he_uniform", torch.Generator().manual_seed(4))
    assert_uniform(layer.kernel, math.sqrt(6 / (features + 4 * cells)))
    bias = layer.bias.detach()
    assert set(bias[cells : 2 * cells].tolist()) == {1.0}  # unit forget bias
    assert_zero(bias[:cells])
    assert_zero(bias[2 * cells :])
    assert_zero(layer.score_bias)
    assert_zero(layer.score)
    for weight in (layer.recurrent, layer.context, layer.score_x, layer.score_h):
        w = weight.detach().double().numpy()
        small = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        np.testing.assert_allclose(small, np.eye(len(small)), rtol=0, atol=1e-5)
        assert np.abs(w).max() < 1  # orthogonal, and not the identity
    assert not torch.equal(layer.context, layer.kernel)
