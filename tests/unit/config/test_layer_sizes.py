"""The sizes of layers: exact for convolutions and dense layers, not too small for the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.networks import Mixed, Pooled
from tsfcn.config.layer_sizes import LayerSizes, measure
from tsfcn.config.model_config import Layer


class Calls(nn.Module):
    """A network that is a function of its layers."""

    def __init__(self, call: Callable[[nn.ModuleList, Tensor], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.call, self.layers = call, nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the function returns."""
        return self.call(self.layers, x)


class Scaled(nn.Module):
    """A layer with weights of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return x, scaled."""
        return x * self.scale


def test_convolutions_and_dense_layers_are_counted_exactly() -> None:
    assert measure(lambda: Pooled(2, 20, 3), 2, 20) == LayerSizes((Layer(2, 4, 3, 18), Layer(4, 3)), 0)
    shapes = measure(
        lambda: Calls(
            lambda layers, x: layers[2](layers[1](layers[0](x)).unsqueeze(1)),
            nn.Conv1d(2, 6, 5, stride=2, padding=2, groups=2),
            nn.ConvTranspose1d(6, 4, 3),
            nn.Conv2d(1, 3, (4, 2)),
        ),
        *(2, 20),
    )
    assert shapes.layers == (Layer(1, 6, 5, 10), Layer(6, 4, 3, 12), Layer(1, 3, 8, 11))


def test_a_layer_that_is_called_twice_has_its_weights_once() -> None:
    (layer,) = measure(lambda: Calls(lambda layers, x: layers[0](layers[0](x)), nn.Linear(9, 9)), 3, 9).layers
    assert layer == Layer(9, 9, 1, 6)  # three channels, twice


def test_recurrent_layers_and_attention() -> None:
    def call(layers: nn.ModuleList, x: Tensor) -> Tensor:
        states, _ = layers[0](x.transpose(1, 2))
        out: Tensor = layers[1](states, states, states)[0]
        return out

    lstm = nn.LSTM(3, 4, num_layers=2, batch_first=True, bidirectional=True)
    n_lstm = sum(p.numel() for p in lstm.parameters())
    measured = measure(lambda: Calls(call, lstm, nn.MultiheadAttention(8, 2, batch_first=True)), 3, 10)
    recurrent, projections, scores = measured.layers
    assert measured.n_cell_calls == 0
    assert recurrent.n_timepoints == 10 and recurrent.n_out == 8 and n_lstm <= recurrent.n_weights < n_lstm + 8
    assert projections.n_multiplications >= 10 * 4 * 8 * 8
    assert scores.n_activations == 2 * 10 * 10 and scores.n_multiplications == 2 * 8 * 10 * 10
    cells = measure(lambda: Calls(lambda layers, x: sum(map(layers[0], x.unbind(2))), nn.GRUCell(3, 4)), 3, 10)
    (cell,) = cells.layers
    assert cells.n_cell_calls == cell.n_timepoints == 10 and cell.n_weights >= 12 * (3 + 4 + 2)


def test_other_weights_count_once_for_each_timepoint() -> None:
    (layer,) = measure(
        lambda: Calls(lambda layers, x: layers[1](layers[0](x)), Scaled(3), nn.BatchNorm1d(3)), 3, 10
    ).layers
    assert layer == Layer(1, 3, 1, 10)


def test_transformers_do_not_skip_their_layers() -> None:
    encoder = nn.TransformerEncoderLayer(4, 2, 16, batch_first=True)
    layers = measure(lambda: Calls(lambda layers, x: layers[0](x.transpose(1, 2)), encoder), 4, 10).layers
    assert Layer(4, 16, 1, 10) in layers and Layer(16, 4, 1, 10) in layers and len(layers) == 4


def test_a_network_that_meta_tensors_do_not_suit_is_measured_on_the_cpu() -> None:
    def call(layers: nn.ModuleList, x: Tensor) -> Tensor:
        out: Tensor = layers[0](x) if x.sum().item() == 0 else x
        return out

    assert measure(lambda: Calls(call, nn.Linear(9, 2)), 1, 9).layers == (Layer(9, 2),)


@pytest.mark.parametrize("error", [RuntimeError("in forward"), NotImplementedError()])
def test_a_network_that_fails_has_no_layers(error: Exception) -> None:
    def call(layers: nn.ModuleList, x: Tensor) -> Tensor:
        raise error

    assert measure(lambda: Calls(call, nn.Linear(9, 2)), 1, 9) == LayerSizes((), 0)


def test_measuring_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert len(measure(lambda: Mixed(1, 24, 2), 1, 24).layers) == 6
    assert torch.equal(torch.get_rng_state(), before)
