"""Class activation maps add up to the logits; saliency and attention against what they are defined by."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.factories import small_config
from tsfcn.analysis.explanation import explain_network
from tsfcn.models import cam, initialisers, registry

POOLED: dict[str, tuple[str, dict[str, Any]]] = {
    "fcn": ("fcn", {}),
    "resnet": ("resnet", {}),
    "lstm_fcn": ("lstm_fcn", {}),
    "lstm_fcn, no shuffle": ("lstm_fcn", {"shuffle": False}),
    "alstm_fcn": ("alstm_fcn", {}),
    "alstm_fcn, no shuffle": ("alstm_fcn", {"shuffle": False}),
    "inception": ("inception", {"kernels": [5, 2], "bottleneck": 3, "depth": 4}),
    "h_inception": ("h_inception", {"depth": 2}),
    "lite": ("lite", {}),
    "mlstm_fcn": ("mlstm_fcn", {"reduction": 2}),
    "malstm_fcn, no shuffle": ("malstm_fcn", {"shuffle": False}),
}
N_CHANNELS, N_TIMEPOINTS = 2, 20


def network(model: str, dtype: torch.dtype = torch.float64, **changes: Any) -> nn.Module:
    """Return a small network of three classes, every parameter and running variance drawn at random."""
    result = registry.build(model, small_config(model, **changes), N_CHANNELS, N_TIMEPOINTS, 3, cells=4)
    generator = torch.Generator().manual_seed(0)
    initialisers.initialise(result, "he_uniform", generator)
    with torch.no_grad():
        for name, value in result.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0, generator=generator)
            elif value.is_floating_point():
                value.add_(torch.randn(value.shape, generator=generator), alpha=0.3)
    return result.to(dtype).eval()


def series(n_cases: int = 5, n_timepoints: int = N_TIMEPOINTS, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n_cases, N_CHANNELS, n_timepoints, dtype=dtype, generator=torch.Generator().manual_seed(1))


def added_up(network: Any, maps: cam.ActivationMaps) -> Tensor:
    """Return what the maps of a network add up to, (n_cases, n_classes)."""
    logits: Tensor = maps.maps.mean(dim=2) + network.head.bias
    return logits if maps.recurrent is None else logits + maps.recurrent


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("name", POOLED)
def test_maps_add_up_to_the_logits(name: str, dtype: torch.dtype, tolerance: float) -> None:
    model, changes = POOLED[name]
    trained, x = network(model, dtype, **changes), series(dtype=dtype)
    maps = cam.class_activation_maps(trained, x)
    assert maps is not None and maps.maps.shape == (5, 3, N_TIMEPOINTS)
    assert (maps.recurrent is None) == ("lstm" not in model)
    assert (added_up(trained, maps) - trained(x)).abs().max() < tolerance
    head: Any = trained.head
    assert maps.maps.abs().max() > 0.01 and head.bias.abs().max() > 0.01  # no term hides behind zeros


@pytest.mark.parametrize("name", POOLED)
def test_maps_of_shorter_cases_add_up_too(name: str) -> None:
    model, changes = POOLED[name]
    trained, x, lengths = network(model, **changes), series(n_timepoints=7), torch.full((5,), 7)
    maps = cam.class_activation_maps(trained, x, lengths)
    assert maps is not None and maps.maps.shape == (5, 3, 7)
    assert (added_up(trained, maps) - trained(x, lengths)).abs().max() < 1e-12


def test_map_is_the_weighted_sum_of_the_activations() -> None:
    """Zhou et al. 2016, equation 2, written as loops."""
    trained, x = network("fcn"), series(n_cases=1)
    activations = trained.feature_maps(x)[0][0].detach()  # type: ignore[operator]
    weights = trained.head.weight.detach()  # type: ignore[union-attr, operator]
    maps = cam.class_activation_maps(trained, x)
    assert maps is not None
    for label in range(3):
        for time in (0, 11, 19):
            expected = sum(float(weights[label, f]) * float(activations[f, time]) for f in range(4))
            assert float(maps.maps[0, label, time]) == pytest.approx(expected, abs=1e-12)


class Named(nn.Module):
    """A network whose layers have the names of methods of our networks."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_maps = nn.Conv1d(N_CHANNELS, 4, 3)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits. (n, c, t) -> (n, 3)."""
        steps = self.feature_maps(x).transpose(1, 2)
        out: Tensor = self.head(self.attention(steps, steps, steps)[0].mean(dim=1))
        return out


def test_a_network_of_the_user_has_a_gradient_and_neither_map_nor_attention() -> None:
    made, x = Named().double(), series()
    assert cam.class_activation_maps(made, x) is None and cam.attention(made, x) is None
    lengths = torch.full((len(x),), N_TIMEPOINTS)
    assert cam.gradient_saliency(made, x, lengths).shape == (len(x), 3, N_CHANNELS, N_TIMEPOINTS)
    explanation = explain_network(made, x.numpy(), lengths.numpy(), ["a", "b", "c"])
    assert explanation.bias is None and explanation.logits.shape == (len(x), 3)


@pytest.mark.parametrize("model", ["mlp", "encoder"])
def test_a_network_without_pooling_has_a_gradient_and_neither_map_nor_attention(model: str) -> None:
    trained, x = network(model), series()
    assert cam.class_activation_maps(trained, x) is None
    assert cam.attention(trained, x) is None
    assert cam.gradient_saliency(trained, x).abs().min() > 0


@pytest.mark.parametrize("name", [*POOLED, "mlp", "encoder"])
def test_saliency_is_the_slope_of_each_logit(name: str) -> None:
    model, changes = POOLED.get(name, (name, {}))
    trained, x, step = network(model, **changes), series(n_cases=2), 1e-6
    saliency = cam.gradient_saliency(trained, x)
    assert saliency.shape == (2, 3, N_CHANNELS, N_TIMEPOINTS)
    for channel, time in ((0, 0), (1, 7), (0, 19)):
        up, down = x.clone(), x.clone()
        up[:, channel, time] += step
        down[:, channel, time] -= step
        slope = (trained(up) - trained(down)) / (2 * step)
        assert torch.allclose(saliency[:, :, channel, time], slope, atol=1e-7)


def test_saliency_leaves_no_gradients_behind() -> None:
    trained, x = network("fcn"), series()
    cam.gradient_saliency(trained, x)
    assert all(parameter.grad is None for parameter in trained.parameters()) and not x.requires_grad


@pytest.mark.parametrize("model", ["alstm_fcn", "malstm_fcn"])
def test_attention_over_time_weighs_the_series_into_the_context(model: str) -> None:
    trained, x = network(model, shuffle=False), series()
    found = cam.attention(trained, x)
    assert found is not None
    weights, context = found
    assert weights.shape == (5, N_TIMEPOINTS, N_TIMEPOINTS) and context.shape == (5, N_TIMEPOINTS, N_CHANNELS)
    assert torch.allclose(weights.sum(dim=2), torch.ones(5, N_TIMEPOINTS, dtype=torch.float64))
    assert torch.allclose(context, weights @ x.transpose(1, 2))
    assert weights.std(dim=2).min() > 1e-4  # not uniform


def test_attention_of_the_first_step_follows_the_formula() -> None:
    """The hidden state is zero before it: e_t = v' tanh(W x_t + b)."""
    trained, x = network("alstm_fcn", shuffle=False), series()
    lstm: Any = trained.lstm
    energy = torch.tanh(x.transpose(1, 2) @ lstm.score_x + lstm.score_bias) @ lstm.score
    found = cam.attention(trained, x)
    assert found is not None
    assert torch.allclose(found[0][:, 0], torch.softmax(energy, dim=1))


def test_attention_with_the_dimension_shuffle_is_not_over_time() -> None:
    assert cam.attention(network("alstm_fcn"), series()) is None
