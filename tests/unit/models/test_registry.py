"""From a model's name and settings to its network."""

from __future__ import annotations

import pytest
from torch import nn

from tests.factories import small_config
from tsfcn.common.errors import UserError
from tsfcn.config import models
from tsfcn.config.model_spec import ModelSpec, register
from tsfcn.models import registry


@pytest.mark.parametrize("network", ["nowhere:Net", "tsfcn.models.fcn:Net", "tsfcn.models.fcn"])
def test_a_network_that_cannot_be_imported(network: str, forgotten_models: None) -> None:
    register(ModelSpec("mine", models.FCNConfig, network))
    with pytest.raises(UserError, match=f"^network '{network}' of model 'mine' cannot be imported, "):
        registry.build("mine", models.FCNConfig(), 1, 10, 2, 0)


def test_a_model_that_nobody_registered() -> None:
    with pytest.raises(UserError, match=r"^model 'nothing' is not registered here: install the package that declares"):
        registry.build("nothing", models.FCNConfig(), 1, 10, 2, 0)


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
