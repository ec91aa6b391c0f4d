"""length=mask: the logits, gradients and statistics of padded series are those of the bare ones.

The reference keeps the cases of a batch in a list, each at its own length, convolves one at a time and pools and
normalises over the list: written anew in torch functions, so that gradients compare too. What lies behind the end of a
series is noise a thousand times as large, so nothing here passes by looking at zeros.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.by_hand import hand_crafted
from tsfcn.config import models
from tsfcn.config.models import (
    FCNConfig,
    HInceptionConfig,
    InceptionConfig,
    LITEConfig,
    LSTMFCNConfig,
    MLPConfig,
    MLSTMFCNConfig,
    ModelConfig,
    ResNetConfig,
)
from tsfcn.models import layers, lstm_fcn, recurrent, registry

N_TIMEPOINTS = 13  # of the longest
LENGTHS = [5, 13, 1, 2, 8, 13, 3]  # kernels are 8, 5 and 3 wide: some series are shorter than each
SMALL_INCEPTION = {"filters": 3, "kernels": [8, 5, 2], "bottleneck": 2, "depth": 4}

CASES: dict[str, tuple[str, ModelConfig]] = {
    "fcn": ("fcn", FCNConfig(filters=[5, 7, 4])),
    "resnet": ("resnet", ResNetConfig(filters=[4, 6, 6])),
    "resnet, input norm": ("resnet", ResNetConfig(filters=[4, 6, 6], input_norm=True)),
    "lstm_fcn": ("lstm_fcn", LSTMFCNConfig(filters=[5, 7, 4], dropout=0.0)),
    "alstm_fcn": ("alstm_fcn", LSTMFCNConfig(filters=[5, 7, 4], dropout=0.0)),
    "lstm_fcn, no shuffle": ("lstm_fcn", LSTMFCNConfig(filters=[5, 7, 4], dropout=0.0, shuffle=False)),
    "alstm_fcn, no shuffle": ("alstm_fcn", LSTMFCNConfig(filters=[5, 7, 4], dropout=0.0, shuffle=False)),
    "inception": ("inception", InceptionConfig(**SMALL_INCEPTION)),
    "inception, no shortcut": ("inception", InceptionConfig(**(SMALL_INCEPTION | {"residual": False}))),
    "h_inception": ("h_inception", HInceptionConfig(**SMALL_INCEPTION)),
    "lite": ("lite", LITEConfig(filters=3, kernels=[8, 5], separable_kernels=[5, 4])),
    "mlstm_fcn": ("mlstm_fcn", MLSTMFCNConfig(filters=[5, 7, 4], dropout=0.0, reduction=2)),
    "malstm_fcn": ("malstm_fcn", MLSTMFCNConfig(filters=[5, 7, 4], dropout=0.0, reduction=2)),
    "mlstm_fcn, no shuffle": ("mlstm_fcn", MLSTMFCNConfig(filters=[5, 7, 4], dropout=0.0, reduction=2, shuffle=False)),
}


def test_every_model_that_claims_a_mask_is_here() -> None:
    assert {model for model, _ in CASES.values()} == {model for model in models.MODELS if models.spec(model).masks}


def network(name: str, n_channels: int = 1) -> nn.Module:
    """Return a network of three classes in float64, every parameter and statistic drawn anew."""
    model, config = CASES[name]
    made = registry.build(model, config, n_channels, N_TIMEPOINTS, 3, cells=3).double()
    numbers = np.random.default_rng(0)
    with torch.no_grad():
        for key, value in made.state_dict().items():
            if key.endswith("running_var"):
                value.copy_(torch.from_numpy(numbers.uniform(0.3, 2.0, value.shape)))
            elif value.is_floating_point():
                value.copy_(torch.from_numpy(numbers.normal(0.0, 0.5, value.shape)))
    return made


def series(lengths: list[int], n_channels: int = 1, n_timepoints: int = N_TIMEPOINTS) -> tuple[Tensor, Tensor]:
    """Return x (n_cases, n_channels, n_timepoints), with large noise after the end of each case, and the lengths."""
    numbers = np.random.default_rng(1)
    x = numbers.normal(size=(len(lengths), n_channels, n_timepoints))
    for case, length in enumerate(lengths):
        x[case, :, length:] *= 1000
    return torch.from_numpy(x), torch.tensor(lengths)


def zeroed(x: Tensor, lengths: Tensor) -> Tensor:
    return torch.where(torch.arange(x.shape[2]) < lengths[:, None, None], x, 0.0)


# ---------------------------------------------------------------- the reference: a list of cases (c, t)


class Ragged:
    """The networks over a list of cases, with the weights of a network of the package and own running statistics."""

    def __init__(self, made: nn.Module, training: bool) -> None:
        self.w = dict(made.named_parameters())
        self.running = {name: value.clone() for name, value in made.named_buffers()}
        self.training = training

    def norm(self, cases: list[Tensor], name: str) -> list[Tensor]:
        values = torch.cat(cases, dim=1)  # every real timepoint of the batch, and nothing else
        if self.training:
            n = values.shape[1]
            mean = values.sum(dim=1) / n
            variance = (values - mean[:, None]).square().sum(dim=1) / n
            for key, new in (("mean", mean), ("var", variance * n / max(n - 1, 1))):
                old = self.running[f"{name}.running_{key}"]
                self.running[f"{name}.running_{key}"] = 0.99 * old + 0.01 * new.detach()
            self.running[f"{name}.num_batches_tracked"] = self.running[f"{name}.num_batches_tracked"] + 1
        else:
            mean, variance = self.running[f"{name}.running_mean"], self.running[f"{name}.running_var"]
        scale = self.w[f"{name}.weight"] / torch.sqrt(variance + 0.001)
        return [(case - mean[:, None]) * scale[:, None] + self.w[f"{name}.bias"][:, None] for case in cases]

    def conv(self, cases: list[Tensor], name: str, dilation: int = 1, groups: int = 1) -> list[Tensor]:
        weight, bias = self.w[f"{name}.weight"], self.w.get(f"{name}.bias")
        zeros = (weight.shape[2] - 1) * dilation
        padded = [F.pad(case[None], (zeros // 2, zeros - zeros // 2)) for case in cases]
        return [F.conv1d(case, weight, bias, dilation=dilation, groups=groups)[0] for case in padded]

    def separable(self, cases: list[Tensor], name: str, dilation: int = 1) -> list[Tensor]:
        depthwise = self.conv(cases, f"{name}.depthwise", dilation, groups=cases[0].shape[0])
        return self.conv(depthwise, f"{name}.pointwise")

    def conv_norm(self, cases: list[Tensor], name: str) -> list[Tensor]:
        return self.norm(self.conv(cases, f"{name}.conv"), f"{name}.norm")

    def fcn(self, cases: list[Tensor]) -> Tensor:
        for block in range(3):
            cases = [torch.relu(case) for case in self.conv_norm(cases, f"blocks.{block}")]
            if f"gates.{block}.squeeze.weight" in self.w:
                cases = [self.gated(case, f"gates.{block}") for case in cases]
        return torch.stack([case.mean(dim=1) for case in cases])

    def gated(self, case: Tensor, name: str) -> Tensor:
        squeezed = torch.relu(self.w[f"{name}.squeeze.weight"] @ case.mean(dim=1))
        return case * torch.sigmoid(self.w[f"{name}.excite.weight"] @ squeezed)[:, None]

    def hand_crafted(self, cases: list[Tensor]) -> list[Tensor]:
        """Each filter over each channel, all channels of the first filter first."""
        responses = []
        for case in cases:
            rows = []
            for weight in map(torch.from_numpy, hand_crafted()):
                padded = F.pad(case[:, None], ((len(weight) - 1) // 2, len(weight) // 2))
                rows.append(F.conv1d(padded, weight[None, None])[:, 0])
            responses.append(torch.relu(torch.cat(rows)))
        return responses

    def inception(self, cases: list[Tensor], config: InceptionConfig) -> Tensor:
        before = cases
        for index in range(config.depth):
            name = f"blocks.{index}"
            narrow = self.conv(cases, f"{name}.bottleneck") if len(cases[0]) > 1 else cases
            largest = [F.pad(case, (1, 1), value=-torch.inf).unfold(1, 3, 1).amax(dim=2) for case in cases]
            parts = [self.conv(narrow, f"{name}.convs.{kernel}") for kernel in range(3)]
            parts.append(self.conv(largest, f"{name}.pooled"))
            if isinstance(config, HInceptionConfig) and index == 0:
                parts.append(self.hand_crafted([case.sum(dim=0, keepdim=True) for case in cases]))
            together = [torch.cat(branches) for branches in zip(*parts, strict=True)]
            cases = [torch.relu(case) for case in self.norm(together, f"{name}.norm")]
            if index % 3 == 2 and config.residual:
                shortcut = self.conv_norm(before, f"shortcuts.{index // 3}")
                before = cases = [torch.relu(a + b) for a, b in zip(shortcut, cases, strict=True)]
        return torch.stack([case.mean(dim=1) for case in cases])

    def lite(self, cases: list[Tensor], config: LITEConfig) -> Tensor:
        conv = self.conv if len(cases[0]) == 1 else self.separable
        parts = [conv(cases, f"convs.{kernel}") for kernel in range(len(config.kernels))]
        together = [torch.cat(branches) for branches in zip(*parts, self.hand_crafted(cases), strict=True)]
        cases = [torch.relu(case) for case in self.norm(together, "norm")]
        for block, dilation in enumerate((2, 4)):
            convolved = self.separable(cases, f"blocks.{block}.conv", dilation)
            cases = [torch.relu(case) for case in self.norm(convolved, f"blocks.{block}.norm")]
        return torch.stack([case.mean(dim=1) for case in cases])

    def resnet(self, cases: list[Tensor], input_norm: bool) -> Tensor:
        for block in range(3):
            name = f"blocks.{block}"
            inner = self.norm(cases, f"{name}.input_norm") if input_norm and block == 0 else cases
            for conv in range(2):
                inner = [torch.relu(case) for case in self.conv_norm(inner, f"{name}.convs.{conv}")]
            inner = self.conv_norm(inner, f"{name}.convs.2")
            around = self.norm if inner[0].shape[0] == cases[0].shape[0] else self.conv_norm
            shortcut = around(cases, f"{name}.shortcut")
            cases = [torch.relu(a + b) for a, b in zip(shortcut, inner, strict=True)]
        return torch.stack([case.mean(dim=1) for case in cases])

    def lstm(self, steps: Tensor) -> Tensor:
        """Return the last state of one case. steps: (n_steps, n_features)."""
        w = {name.removeprefix("lstm."): value for name, value in self.w.items() if name.startswith("lstm.")}
        h = c = torch.zeros(3, dtype=torch.float64)
        for step in steps:
            if "gates.0.squeeze.weight" in self.w and not step.any():  # the Masking layer of MLSTM-FCN
                continue
            z = step @ w["kernel"] + h @ w["recurrent"] + w["bias"]
            if "context" in w:
                energy = torch.tanh(steps @ w["score_x"] + h @ w["score_h"] + w["score_bias"]) @ w["score"]
                z = z + (torch.softmax(energy, dim=0) @ steps) @ w["context"]
            i, f, g, o = z.chunk(4)
            c = recurrent.hard_sigmoid(f) * c + recurrent.hard_sigmoid(i) * torch.tanh(g)
            h = recurrent.hard_sigmoid(o) * torch.tanh(c)
        return h

    def logits(self, name: str, cases: list[Tensor]) -> Tensor:
        config = CASES[name][1]
        if isinstance(config, ResNetConfig):
            features = self.resnet(cases, config.input_norm)
        elif isinstance(config, InceptionConfig):
            features = self.inception(cases, config)
        elif isinstance(config, LITEConfig):
            features = self.lite(cases, config)
        else:
            features = self.fcn(cases)
        if isinstance(config, LSTMFCNConfig):
            if config.shuffle:  # zeros after the end up to the length of training, or a cut there
                steps = [F.pad(case[:, :N_TIMEPOINTS], (0, max(0, N_TIMEPOINTS - case.shape[1]))) for case in cases]
            else:
                steps = [case.T for case in cases]
            features = torch.cat([torch.stack([self.lstm(s) for s in steps]), features], dim=1)
        return features @ self.w["head.weight"].T + self.w["head.bias"]


def bare(x: Tensor, lengths: Tensor) -> list[Tensor]:
    return [case[:, :length] for case, length in zip(x, lengths.tolist(), strict=True)]


def close(actual: Tensor, expected: Tensor, message: str = "") -> None:
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual.detach().numpy(), expected.detach().numpy(), rtol=0, atol=1e-10, err_msg=message)


# ---------------------------------------------------------------- padded and masked is bare


def for_the_network(name: str, x: Tensor, lengths: Tensor) -> Tensor:
    """Return x with zeros after the ends for the shuffled LSTM, which uses them, and with noise for other networks."""
    config = CASES[name][1]
    return zeroed(x, lengths) if isinstance(config, LSTMFCNConfig) and config.shuffle else x


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("name", sorted(CASES))
def test_in_inference_each_case_has_the_logits_that_it_has_alone_and_bare(name: str, n_channels: int) -> None:
    made = network(name, n_channels).eval()
    x, lengths = series(LENGTHS, n_channels)
    together = made(for_the_network(name, x, lengths), lengths)
    close(together, Ragged(made, training=False).logits(name, bare(x, lengths)))
    for case, length in enumerate(LENGTHS):
        close(together[case : case + 1], made(x[case : case + 1, :, :length], lengths[case : case + 1]))
        if not CASES[name][1].fixed_length():
            close(together[case : case + 1], made(x[case : case + 1, :, :length]))


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("name", sorted(CASES))
def test_in_training_logits_statistics_and_gradients_are_those_of_the_ragged_batch(name: str, n_channels: int) -> None:
    made = network(name, n_channels).train()
    reference = Ragged(made, training=True)
    x, lengths = series(LENGTHS, n_channels)
    y = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    expected = reference.logits(name, bare(x, lengths))
    gradients = torch.autograd.grad(F.cross_entropy(expected, y), list(reference.w.values()), materialize_grads=True)
    actual = made(for_the_network(name, x, lengths), lengths)
    F.cross_entropy(actual, y).backward()
    close(actual, expected)
    for (key, value), gradient in zip(made.named_parameters(), gradients, strict=True):
        assert value.grad is not None
        close(value.grad, gradient, key)
    for key, buffer in made.named_buffers():
        close(buffer, reference.running[key], key)
    assert max(gradient.abs().max().item() for gradient in gradients) > 1e-2  # there was something to compare


def test_a_layers_statistics_in_numpy() -> None:
    """Mean and deviation over 3 + 1 + 2 real timepoints; the running variance takes 6 / 5 times that of the batch."""
    block = layers.ConvNorm(1, 1, 3, bn_momentum=0.9, bn_eps=0.001).double().train()
    with torch.no_grad():
        block.conv.weight.copy_(torch.tensor([[[1.0, 10.0, 100.0]]]))
        assert block.conv.bias is not None
        block.conv.bias.fill_(0.5)
    x, sizes = layers.concatenate_cases(
        torch.tensor([[[1.0, 2, 3]], [[4, 99, 99]], [[5, 6, 99]]], dtype=torch.float64), torch.tensor([3, 1, 2])
    )
    assert x.tolist() == [[[1, 2, 3, 4, 5, 6]]] and sizes == [3, 1, 2]
    # 10 x_t + 100 x_(t+1) + x_(t-1), zeros around each series
    y = np.array([210.0, 321, 32, 40, 650, 65]) + 0.5
    close(block(x, sizes)[0, 0], torch.from_numpy((y - y.mean()) / np.sqrt(y.var() + 0.001)))
    running_mean, running_var = block.norm.running_mean, block.norm.running_var
    assert running_mean is not None and running_var is not None
    assert running_mean.item() == pytest.approx(0.1 * y.mean(), rel=1e-12)
    assert running_var.item() == pytest.approx(0.9 + 0.1 * y.var() * 6 / 5, rel=1e-12)


@pytest.mark.parametrize("name", ["lstm_fcn", "alstm_fcn"])
def test_a_case_longer_than_in_training_is_cut_for_the_shuffled_lstm_alone(name: str) -> None:
    made = network(name).eval()
    x, lengths = series([20, 4, 13], n_timepoints=20)
    x = zeroed(x, lengths)
    logits = made(x, lengths)
    close(logits, Ragged(made, training=False).logits(name, bare(x, lengths)))
    assert isinstance(made, lstm_fcn.LSTMFCN)
    close(made.lstm(x[:, :, :N_TIMEPOINTS]), made.lstm(F.pad(x, (0, N_TIMEPOINTS - 20))))
    changed = x.clone()
    changed[0, 0, N_TIMEPOINTS:] += 1
    assert not torch.equal(made(changed, lengths)[0], logits[0])  # the convolutions saw the rest


# ---------------------------------------------------------------- equal lengths


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", sorted(CASES))
def test_with_equal_lengths_there_is_nothing_to_mask_and_every_bit_is_that_of_pad(name: str, training: bool) -> None:
    x, lengths = series([N_TIMEPOINTS] * 4, n_channels=2)
    results = []
    for passed in (None, lengths):
        made = network(name, n_channels=2).train(training)
        logits = made(x, passed)
        logits.square().sum().backward()
        results.append([logits, *made.buffers(), *(p.grad for p in made.parameters())])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", [name for name in sorted(CASES) if "shuffle" in name or "lstm" not in name])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_a_batch_of_one_length_is_seen_bare_however_far_it_is_padded(name: str, length: int) -> None:
    x, lengths = series([length] * 4)
    results = []
    for made, padded in ((network(name).train(), x), (network(name).train(), x[:, :, :length])):
        results.append([made(padded, lengths), *made.buffers()])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_an_mlp_has_no_mask() -> None:
    made = registry.build("mlp", MLPConfig(units=[4], dropout=[0.0, 0.0]), 1, 6, 2, 0)
    x = torch.ones(2, 1, 6)
    assert torch.equal(made(x, torch.tensor([6, 6])), made(x))
    with pytest.raises(ValueError, match="lengths are not all 6"):
        made(x, torch.tensor([6, 5]))


# ---------------------------------------------------------------- batches of next to nothing


def test_batch_norm_of_a_single_value_has_variance_zero() -> None:
    norm = layers.Norm(2, bn_momentum=0.9, bn_eps=0.001).double().train()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([3.0, 4.0]))
        norm.bias.copy_(torch.tensor([0.5, -0.5]))
    x = torch.tensor([[[7.0], [9.0]]], dtype=torch.float64, requires_grad=True)
    y = norm(x)
    assert y.tolist() == [[[0.5], [-0.5]]]
    y.sum().backward()
    assert x.grad is not None and norm.weight.grad is not None and norm.bias.grad is not None
    assert x.grad.tolist() == [[[0.0], [0.0]]]
    assert (norm.weight.grad.tolist(), norm.bias.grad.tolist()) == ([0.0, 0.0], [1.0, 1.0])
    assert norm.running_mean is not None and norm.running_var is not None
    np.testing.assert_allclose(norm.running_mean.numpy(), [0.7, 0.9], rtol=1e-12)
    np.testing.assert_allclose(norm.running_var.numpy(), [0.9, 0.9], rtol=1e-12)
    assert norm.num_batches_tracked is not None and norm.num_batches_tracked.item() == 1
    with pytest.raises(ValueError, match="more than 1 value per channel"):  # what PyTorch's own does
        nn.BatchNorm1d(2).double().train()(x)


@pytest.mark.parametrize("lengths", [[1], [2], [1, 1], [2, 1], [1, 1, 1]])
@pytest.mark.parametrize("name", sorted(CASES))
def test_a_batch_of_any_size_trains(name: str, lengths: list[int]) -> None:
    made = network(name).train()
    reference = Ragged(made, training=True)
    x, ends = series(lengths)
    x = zeroed(x, ends)
    actual = made(x, ends)
    close(actual, reference.logits(name, bare(x, ends)))
    actual.square().sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in made.parameters())
    for key, buffer in made.named_buffers():
        close(buffer, reference.running[key], key)


# ---------------------------------------------------------------- attention


def test_attention_looks_at_real_steps_alone() -> None:
    layer = recurrent.AttentionLSTM(1, 2, "sigmoid").double()
    with torch.no_grad():
        layer.score_h.zero_()
        layer.score.copy_(torch.tensor([2.0, -1.0]))
    scored = torch.randn(2, 4, 2, dtype=torch.float64)
    absent = torch.tensor([[False, False, True, True], [False, False, False, False]])
    weights = layer.weights(scored, torch.zeros(2, 2, dtype=torch.float64), absent)
    assert weights[0, 2:].tolist() == [0.0, 0.0]
    close(weights[0, :2], torch.softmax(torch.tanh(scored[0, :2]) @ layer.score, dim=0))
    np.testing.assert_allclose(weights.sum(dim=1).detach().numpy(), 1.0, rtol=1e-12)
