"""From a model's name and settings to its network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.factories import small_config
from tsfcn.common.errors import UserError
from tsfcn.config import models
from tsfcn.config.model_spec import ModelSpec, register
from tsfcn.config.models import (
    FCNConfig,
    HInceptionConfig,
    InceptionConfig,
    LITEConfig,
    LSTMFCNConfig,
    MLPConfig,
    ModelConfig,
    ResNetConfig,
)
from tsfcn.models import registry


@pytest.mark.parametrize("network", ["nowhere:Net", "tsfcn.models.fcn:Net", "tsfcn.models.fcn"])
def test_a_network_that_cannot_be_imported(network: str, forgotten_models: None) -> None:
    register(ModelSpec("mine", FCNConfig, network))
    with pytest.raises(UserError, match=f"^network '{network}' of model 'mine' cannot be imported, "):
        registry.build("mine", FCNConfig(), 1, 10, 2, 0)


def test_a_model_that_nobody_registered() -> None:
    with pytest.raises(UserError, match=r"^model 'nothing' is not registered here: install the package that declares"):
        registry.build("nothing", FCNConfig(), 1, 10, 2, 0)


@pytest.mark.parametrize("model", models.MODELS)
def test_declared_layers_are_those_of_the_network(model: str) -> None:
    config = small_config(model)
    network = registry.build(model, config, 2, 10, 3, cells=4)
    kernels = [module.weight.numel() for module in network.modules() if isinstance(module, (nn.Conv1d, nn.Linear))]
    kernels.remove(network.get_parameter("head.weight").numel())
    constant = [kernel.numel() for name, kernel in network.named_buffers() if name.endswith("hand_crafted.kernels")]
    n_channels = 1 if model == "h_inception" else 2  # which convolves the sum of the channels with them
    kernels += [n_channels * n_weights for n_weights in constant]
    assert sorted(layer.n_weights for layer in config.layers(2, 10)) == sorted(kernels)
    lstm = config.lstm(2, 10)
    assert (lstm is not None) == models.spec(model).lstm
    if lstm is not None:
        assert network.get_parameter("lstm.kernel").shape == (lstm.n_features, 16)


def test_receptive_field_is_computed_from_the_kernels() -> None:
    assert FCNConfig().receptive_field() == 8 + 5 + 3 - 2 == 14
    assert ResNetConfig().receptive_field() == 1 + 3 * 13
    assert LSTMFCNConfig(filters=[4], kernels=[3]).receptive_field() == 3
    assert MLPConfig().receptive_field() == 1
    assert InceptionConfig().receptive_field() == 1 + 6 * 39
    assert HInceptionConfig().receptive_field() == 1 + 95 + 5 * 39
    assert LITEConfig().receptive_field() == 1 + 95 + 2 * 19 + 4 * 9


@pytest.mark.parametrize(
    "config",
    [
        FCNConfig(filters=[4, 4, 4], kernels=[5, 4, 2]),
        ResNetConfig(filters=[4, 4], kernels=[5, 4]),
        InceptionConfig(filters=4, kernels=[6, 4], depth=4),
        InceptionConfig(filters=4, kernels=[2], depth=3, residual=False),
        HInceptionConfig(filters=4, kernels=[6, 4], depth=3),
        LITEConfig(filters=4, kernels=[6, 4], separable_kernels=[5, 3]),
        LITEConfig(filters=4, kernels=[6, 4], separable_kernels=[5, 3], hand_crafted=False),
    ],
)
def test_receptive_field_is_the_reach_of_an_input(config: ModelConfig) -> None:
    """An activation of the last convolution has a gradient at exactly as many timepoints of the input."""
    (model,) = [name for name in models.MODELS if models.spec(name).settings is type(config)]
    network: Any = registry.build(model, config, 1, 1, 2, 0).double().train()
    x = torch.randn(40, 1, 301, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    for norm in network.modules():  # whose statistics would reach everywhere
        if isinstance(norm, torch.nn.BatchNorm1d):
            norm.eval()
    network.feature_maps(x)[0][:, :, 150].sum().backward()
    assert x.grad is not None
    assert int((x.grad != 0).any(dim=0).sum()) == config.receptive_field()
