"""The LSTM of the fast engine compared with autograd through the networks' own: states and gradients."""

from __future__ import annotations

import pytest
import torch

from tests.parity.test_kernels import near
from tsfcn.models import recurrent
from tsfcn.training.fused.lstm import LSTM

LAYERS = {False: recurrent.LSTM, True: recurrent.AttentionLSTM}
PRECISIONS = {"sigmoid": (torch.float64, 1e-12), "hard_sigmoid": (torch.float32, 1e-4)}


@pytest.mark.parametrize(("n_cases", "cells"), [(1, 3), (5, 4)])
@pytest.mark.parametrize("n_steps", [1, 2, 3, 6, 7, 24])
@pytest.mark.parametrize("gates", PRECISIONS)
@pytest.mark.parametrize("attention", LAYERS)
def test_states_and_gradients_are_those_of_autograd(
    attention: bool, gates: str, n_steps: int, n_cases: int, cells: int
) -> None:
    """Two trainings; gates reach both ends of the hard sigmoid. The second batch replaces the results of the first."""
    (dtype, limit), generator = PRECISIONS[gates], torch.Generator().manual_seed(0)
    layers = [LAYERS[attention](9, cells, gates).to(dtype) for _ in range(2)]
    for parameter in (parameter for layer in layers for parameter in layer.parameters()):
        torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    names = [name for name, _ in layers[0].named_parameters()]
    part = {name: torch.stack([layer.get_parameter(name).detach() for layer in layers]) for name in names}
    gradient = {name: torch.full_like(value, torch.nan) for name, value in part.items()}
    lstm = LSTM(part, gradient, gates, attention)
    for _ in range(2):
        x = torch.randn(2, n_cases, n_steps, 9, generator=generator, dtype=dtype)
        grad_hidden = torch.randn(2, n_cases, cells, generator=generator, dtype=dtype)
        hidden = lstm.forward(x.transpose(1, 2).contiguous())
        lstm.backward(grad_hidden)
        for i, layer in enumerate(layers):
            layer.zero_grad()
            expected = layer(x[i])
            near(hidden[i], expected.detach(), limit)
            expected.backward(grad_hidden[i])
            for name in names:
                known = layer.get_parameter(name).grad
                if known is not None and (known.any() or n_steps > 1):
                    near(gradient[name][i], known, limit)


@pytest.mark.parametrize("attention", LAYERS)
def test_cells_without_weights_stay_without_effect(attention: bool) -> None:
    """Their states and the gradients of their weights are zero, so a stack can fill up smaller LSTMs with them."""
    generator, layer = torch.Generator().manual_seed(0), LAYERS[attention](5, 4, "sigmoid")
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, generator=generator)

    def of_last_cell(parts: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        found = [value.unflatten(-1, (-1, 4))[..., 3] for value in parts.values()]
        return found + [value[:, 3] for name, value in parts.items() if name in ("recurrent", "score_h")]

    part = {name: value.detach().clone().unsqueeze(0) for name, value in layer.named_parameters()}
    for value in of_last_cell(part):
        value.zero_()
    gradient = {name: torch.full_like(value, torch.nan) for name, value in part.items()}
    lstm = LSTM(part, gradient, "sigmoid", attention)
    hidden = lstm.forward(torch.randn(1, 3, 6, 5, generator=generator))
    lstm.backward(torch.randn(1, 6, 4, generator=generator) * torch.tensor([1, 1, 1, 0]))  # the last layer has none
    assert hidden[..., :3].all() and not hidden[..., 3].any()
    assert all(value.any() for value in gradient.values())
    assert not any(value.any() for value in of_last_cell(gradient))
