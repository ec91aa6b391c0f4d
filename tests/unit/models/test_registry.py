"""From a model's name and settings to its network, and which networks of the user are refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests import networks
from tests.factories import small_config
from tests.networks import Mixed, Pooled
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


# ---------------------------------------------------------------------------------------------------------------------
# Networks of the user


class Changed(Pooled):
    """The network with another forward."""

    change: Callable[[nn.Module, Tensor, Tensor], object]

    def forward(self, x: Tensor) -> Tensor:
        """Return what the subclass makes of x and the logits."""
        return type(self).change(self, x, super().forward(x))  # type: ignore[return-value]


def changed(change: Callable[[Any, Tensor, Tensor], object]) -> nn.Module:
    """Return a network for one channel, nine timepoints and two classes whose forward returns something else."""
    kind = type("Net", (Changed,), {"change": staticmethod(change)})
    network: nn.Module = kind(1, 9, 2)
    return network


def check(network: nn.Module) -> None:
    registry.check(network, torch.randn(3, 1, 9, generator=torch.Generator().manual_seed(0)), 2)


def test_networks_that_can_be_trained() -> None:
    for network in (Pooled(1, 9, 2), Mixed(1, 9, 2), changed(lambda net, x, out: out if len(x) > 1 else out * 1.001)):
        check(network)


SIZES = "cases of 1 channel and 9 timepoints, 2 classes"


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            lambda: changed(lambda net, x, out: out[:, 0]),
            f"network Net returns (3,) for {SIZES}: return logits of shape (3, 2)",
        ),
        (
            lambda: changed(lambda net, x, out: out.squeeze()),
            f"network Net returns (2,) for {SIZES}: return logits of shape (1",
        ),
        (
            lambda: changed(lambda net, x, out: (out, x)),
            f"network Net returns tuple for {SIZES}: return logits of shape ",
        ),
        (
            lambda: changed(lambda net, x, out: F.dropout(out)),
            "network Net gives a case other logits alone than beside other",
        ),
        (
            lambda: changed(lambda net, x, out: out - out.mean(0)),
            "network Net gives a case other logits alone than beside ",
        ),
        (lambda: changed(lambda net, x, out: out @ x), f"network Net fails on {SIZES} (RuntimeError in line "),
        (lambda: nn.Sequential(nn.ReLU()), "network Sequential has no parameters to train: assign its layers to self"),
        (
            lambda: nn.Sequential(nn.LazyLinear(2)),
            "network Sequential has a lazy layer, whose size is not known when it",
        ),
    ],
)
def test_networks_that_cannot(network: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(UserError) as refused:
        check(network())
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


def test_an_error_names_the_line_of_the_user(forgotten_models: None) -> None:
    name, settings_of_pooled = register(Pooled).name, cast("Any", models.spec("pooled").settings)
    with pytest.raises(UserError) as refused:
        registry.try_out(name, settings_of_pooled(kernels=[10]), 1, 9, 2)
    line = next(n for n, text in enumerate(inspect.getsource(networks).splitlines(), 1) if "self.conv(x)).mean" in text)
    assert str(refused.value).startswith(
        f"network Pooled fails on {SIZES} (RuntimeError in line {line} of networks.py: "
    )
    assert str(refused.value).endswith("Kernel size can't be greater than actual input size): correct its forward")
    with pytest.raises(UserError) as refused:
        registry.try_out(name, settings_of_pooled(kernels=[]), 1, 9, 2)
    assert str(refused.value).startswith(f"network Pooled cannot be built for {SIZES} (IndexError in line ")
    assert str(refused.value).endswith(" of networks.py: tuple index out of range): correct its __init__")


def test_initial_weights_of_a_class_depend_on_the_generator_alone(forgotten_models: None) -> None:
    name = register(Mixed).name

    def weights(seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return registry.build(name, models.spec(name).settings(), 1, 9, 2, 0, generator).state_dict()

    first, again, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(first[each], again[each]) for each in first)
    assert {each for each in first if torch.equal(first[each], other[each])} == {
        *(f"norm.{each}" for each in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
        *(f"attention.{each}" for each in ("in_proj_bias", "out_proj.bias")),
    }


def test_lengths_are_for_networks_that_take_them() -> None:
    x, lengths = torch.zeros(2, 1, 9), torch.tensor([9, 9])
    assert registry.logits(Pooled(1, 9, 2), x, lengths).shape == (2, 2)
    with pytest.raises(TypeError):
        Pooled(1, 9, 2)(x, lengths)
    fcn = registry.build("fcn", models.FCNConfig(filters=[3], kernels=[3]), 1, 9, 2, 0)
    assert not torch.equal(registry.logits(fcn, x + 1, torch.tensor([4, 9])), registry.logits(fcn, x + 1, lengths))


def test_a_mask_needs_lengths(forgotten_models: None) -> None:
    register(ModelSpec("masked", models.FCNConfig, lambda *sizes: Pooled(*sizes[:3]), masks=True))
    with pytest.raises(UserError, match=r"^network of model 'masked' declares masks, but its forward has no parameter"):
        registry.build("masked", models.FCNConfig(), 1, 10, 2, 0)
