"""Networks that label every timepoint: identities of their layers, lengths of their output, how they start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.factories import small_config
from tsfcn.common.errors import UserError
from tsfcn.config.segmentation_models import SEGMENTATION_MODELS, STRIDE, FCN32sConfig, PooledFCNConfig, stages
from tsfcn.models import initialisers, registry
from tsfcn.models.segmentation import (
    ConvolutionisedClassifier,
    LearnedUpsampling,
    PooledFCN,
    SegmentationFCN,
    convolution_of,
    interpolate,
    interpolation_kernel,
    linear_of,
    shift_and_stitch,
    slide,
)

SIZES: dict[str, Any] = {"filters": [3, 4, 5, 6, 5], "kernels": [3, 3, 2, 3, 1]}
FCNS = ("fcn_32s_fixed", "fcn_32s", "fcn_16s", "fcn_8s")


def network(model: str, n_channels: int = 2, n_classes: int = 3) -> nn.Module:
    """Return a small network in float64 with the initial weights of seed 0, in evaluation mode."""
    is_pooling = model in ("pooled_fcn", *FCNS)
    config = small_config(model, **(SIZES if is_pooling else {}))
    built = registry.build(model, config, n_channels, 64, n_classes, 0)
    initialisers.initialise(built, "he_uniform", torch.Generator().manual_seed(0))
    return built.double().eval()


def series(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def drawn(module: nn.Module) -> nn.Module:
    """Return the module with all of its parameters drawn anew, also those that start at zero."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


# ---------------------------------------------------------------------------------------------------------------------
# Convolutionised classifiers


@pytest.mark.parametrize("model", ["fcn", "resnet", "inception", "h_inception", "lite", "pooled_fcn"])
@pytest.mark.parametrize("n_timepoints", [1, 37, 64])
def test_mean_of_the_convolutionised_logits_is_that_of_the_classifier(model: str, n_timepoints: int) -> None:
    classifier = drawn(network(model)).eval()
    x = series(4, 2, n_timepoints)
    with torch.no_grad():
        dense = ConvolutionisedClassifier(classifier)
        torch.testing.assert_close(dense.coarse(x).mean(dim=2), registry.logits(classifier, x), rtol=1e-12, atol=1e-12)
        assert dense(x).shape == (4, 3, n_timepoints)


def test_a_network_with_more_than_pooled_features_is_no_convolution() -> None:
    with pytest.raises(UserError, match="LSTMFCN has more than feature maps and a pooled head"):
        ConvolutionisedClassifier(registry.build("lstm_fcn", small_config("lstm_fcn"), 1, 30, 2, 4))


@pytest.mark.parametrize("n_timepoints", [1, 2, 7])
@pytest.mark.parametrize("bias", [True, False])
def test_a_dense_layer_is_a_convolution_and_back(n_timepoints: int, bias: bool) -> None:
    linear = nn.Linear(3 * n_timepoints, 4, bias=bias).double()
    conv = convolution_of(linear, n_timepoints)
    x = series(5, 3, n_timepoints)
    torch.testing.assert_close(conv(x)[:, :, 0], linear(x.flatten(1)), rtol=1e-12, atol=1e-12)
    assert conv(series(5, 3, n_timepoints + 6)).shape == (5, 4, 7)  # on longer input, one output for each position
    back = linear_of(conv, n_timepoints)
    torch.testing.assert_close(back.weight, linear.weight, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "options", [{}, {"stride": 2}, {"padding": 2}, {"dilation": 3}, {"groups": 2}, {"stride": 3, "padding": 1}]
)
def test_any_convolution_is_a_dense_layer_on_one_length(options: dict[str, Any]) -> None:
    conv = drawn(nn.Conv1d(4, 6, 3, **options)).double()
    assert isinstance(conv, nn.Conv1d)
    x = series(5, 4, 11)
    torch.testing.assert_close(linear_of(conv, 11)(x.flatten(1)), conv(x).flatten(1), rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------------------------------------------------------------
# Upsampling


def test_interpolation_kernel_is_that_of_the_paper() -> None:
    """The formula of the bilinear filler of its code, in one dimension."""
    for factor in (2, 8, 16, 32):
        size = 2 * factor - factor % 2
        centre = (2 * factor - 1 - factor % 2) / (2.0 * factor)
        expected = [1 - abs(i / factor - centre) for i in range(size)]
        np.testing.assert_allclose(interpolation_kernel(factor), expected, atol=1e-7)


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_interpolation_is_that_of_numpy(factor: int) -> None:
    x = series(1, 1, 5)
    centres = np.arange(5) * factor + (factor - 1) / 2
    expected = np.interp(np.arange(5 * factor), centres, x[0, 0])
    np.testing.assert_allclose(interpolate(x, factor)[0, 0], expected, atol=1e-12)
    torch.testing.assert_close(
        interpolate(x, factor), F.interpolate(x, scale_factor=factor, mode="linear"), rtol=1e-12, atol=1e-12
    )


def test_learned_upsampling_starts_as_interpolation() -> None:
    x = series(2, 3, 4)
    torch.testing.assert_close(LearnedUpsampling(3).double()(x), interpolate(x, 2), rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------------------------------------------------------------
# FCN-32s, -16s, -8s


@pytest.mark.parametrize("model", FCNS)
def test_every_length_is_accepted_and_kept(model: str) -> None:
    fcn = drawn(network(model)).eval()
    with torch.no_grad():
        for n_timepoints in range(1, 131):
            logits = fcn(series(2, 2, n_timepoints))
            assert logits.shape == (2, 3, n_timepoints) and logits.isfinite().all()


@pytest.mark.parametrize("model", FCNS)
def test_scores_start_at_zero(model: str) -> None:
    fcn = network(model)
    assert isinstance(fcn, SegmentationFCN)
    assert not any(parameter.any() for parameter in fcn.scores.parameters())
    assert not fcn(series(2, 2, 100)).any()  # all classes are equally probable
    weights = [each for name, each in fcn.trunk.named_parameters() if name.endswith("conv.weight")]
    assert len(weights) == 5 and all(each.any() for each in weights)


@pytest.mark.parametrize(("model", "stride", "n_scores"), [("fcn_32s", 32, 1), ("fcn_16s", 16, 2), ("fcn_8s", 8, 3)])
def test_scores_are_the_sum_of_the_finest_and_the_upsampled_coarser_ones(
    model: str, stride: int, n_scores: int
) -> None:
    fcn = drawn(network(model)).eval()
    assert isinstance(fcn, SegmentationFCN)
    assert (fcn.stride, len(fcn.scores), len(fcn.upsamplings)) == (stride, n_scores, n_scores - 1)
    x = series(1, 2, 96)
    with torch.no_grad():
        levels = fcn.trunk(x)
        assert [level.shape[2] for level in levels] == [48, 24, 12, 6, 3]
        scores = list(fcn.scores)
        expected = scores[0](levels[4])
        for number in range(1, n_scores):
            weight = fcn.upsamplings[number - 1].weight
            assert isinstance(weight, Tensor)
            ends = F.pad(expected, (1, 1), mode="replicate")
            upsampled = F.conv_transpose1d(ends, weight, stride=2, padding=1)[:, :, 2:-2]
            expected = upsampled + scores[number](levels[4 - number])
        torch.testing.assert_close(fcn.coarse(x), expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(fcn(x), interpolate(expected, stride), rtol=1e-12, atol=1e-12)


def test_the_fixed_trunk_is_not_trained_and_keeps_its_statistics() -> None:
    fixed = network("fcn_32s_fixed").train()
    assert isinstance(fixed, SegmentationFCN)
    assert {name for name, each in fixed.named_parameters() if each.requires_grad} == {
        "scores.0.weight",
        "scores.0.bias",
    }
    before = {name: value.clone() for name, value in fixed.trunk.state_dict().items()}
    fixed(series(2, 2, 64))
    assert all(torch.equal(value, before[name]) for name, value in fixed.trunk.state_dict().items())
    assert fixed.scores.training


def test_stages_lead_from_the_classifier_to_the_finest_network() -> None:
    names = ["pooled_fcn", "fcn_32s_fixed", "fcn_32s", "fcn_16s", "fcn_8s"]
    configs = {spec.name: spec.settings(**SIZES) for spec in SEGMENTATION_MODELS}
    for number, name in enumerate(names):
        assert stages(name, configs[name]) == [(each, configs[each]) for each in names[:number]]


@pytest.mark.parametrize("config", [PooledFCNConfig(), PooledFCNConfig(**SIZES), FCN32sConfig()])
def test_receptive_field_is_the_width_that_moves_an_activation(config: PooledFCNConfig) -> None:
    trunk = PooledFCN(1, 1, 2, config).double().eval()
    x = torch.zeros(1, 1, 12 * STRIDE, dtype=torch.float64, requires_grad=True)
    for module in trunk.modules():
        if isinstance(module, nn.Conv1d):
            nn.init.ones_(module.weight)
    reach = 0
    for start in range(STRIDE):  # a maximum passes the gradient to one of its two timepoints
        shifted = x + 1 + torch.linspace(0, 1e-3, x.shape[2], dtype=torch.float64) * (1 if start % 2 else -1)
        (gradient,) = torch.autograd.grad(trunk.trunk(shifted)[-1][0, 0, 6], x)
        places = gradient[0, 0].nonzero()[:, 0]
        reach = max(reach, int(places.max() - places.min()) + 1)
    assert config.receptive_field() - STRIDE < reach <= config.receptive_field()


# ---------------------------------------------------------------------------------------------------------------------
# Other ways to label


@pytest.mark.parametrize("n_timepoints", [4, 30, 33])
def test_shift_and_stitch_is_the_network_without_its_stride(n_timepoints: int) -> None:
    """Section 3.2: for a convolution of stride 4 it gives the outputs of the same convolution of stride 1."""
    kernel = series(3, 2, 4)

    def coarse(x: Tensor) -> Tensor:
        return F.conv1d(F.pad(x, (0, -x.shape[2] % 4)), kernel, stride=4)

    x = series(1, 2, n_timepoints)
    expected = F.conv1d(F.pad(x, (2, 1)), kernel)  # output t is centred: it stands for x[t - 2] to x[t + 1]
    torch.testing.assert_close(shift_and_stitch(coarse, x, 4), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("window", "step"), [(16, 1), (16, 8), (7, 3), (5, 5)])
@pytest.mark.parametrize("n_timepoints", [1, 33, 70])
def test_sliding_gives_each_timepoint_the_logits_of_the_nearest_window(
    window: int, step: int, n_timepoints: int
) -> None:
    classifier = drawn(network("pooled_fcn")).eval()
    x = series(2, n_timepoints)
    logits = slide(classifier, x, window, step, batch=2)
    assert logits.shape == (3, n_timepoints)
    padded = F.pad(x, (window + step, window + step))
    for t in range(n_timepoints):
        start = t // step * step - (window - step) // 2 + window + step
        with torch.no_grad():
            expected = classifier(padded[None, :, start : start + window])[0]
        torch.testing.assert_close(logits[:, t], expected, rtol=1e-10, atol=1e-10)
