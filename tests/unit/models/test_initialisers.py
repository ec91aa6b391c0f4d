"""Initial weights and dropout masks: they follow the job's seed and nothing else."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.factories import small_config
from tsfcn.common.errors import UserError
from tsfcn.config.models import MODELS
from tsfcn.models import initialisers, registry
from tsfcn.models.layers import Dropout


def network(model: str) -> nn.Module:
    """Return a small network for cases of one channel and 24 timepoints, with initial weights from generator 0."""
    small = registry.build(model, small_config(model), 1, 24, 2, cells=8)
    initialisers.initialise(small, "he_uniform", torch.Generator().manual_seed(0))
    return small


class Scale(nn.Module):
    """A layer with a parameter of its own kind, which it draws."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3))

    def initialise(self, initialiser: str, generator: torch.Generator) -> None:
        nn.init.uniform_(self.weight, generator=generator)


def test_weights_of_every_layer_follow_the_seed() -> None:
    def drawn(seed: int) -> Tensor:
        layer = Scale()
        initialisers.initialise(nn.Sequential(layer), "he_uniform", torch.Generator().manual_seed(seed))
        return layer.weight.detach()

    assert torch.equal(drawn(0), drawn(0)) and not torch.equal(drawn(0), drawn(1))
    with pytest.raises(UserError, match=r"^layer GRU has parameters that the initialisers do not know: "):
        initialisers.initialise(nn.Sequential(nn.GRU(2, 3)), "he_uniform", torch.Generator())


def test_dropout_must_follow_the_seed() -> None:
    with pytest.raises(UserError, match=r"^layer Dropout draws from torch's global generator"):
        initialisers.seed_dropout(nn.Sequential(nn.Dropout(0.5)), torch.Generator())
    initialisers.seed_dropout(nn.Sequential(Dropout(0.5)), torch.Generator())


@pytest.mark.parametrize("model", ["lstm_fcn", "alstm_fcn", "mlp"])
def test_masks_depend_on_the_generator_alone(model: str) -> None:
    dropping, x = network(model).train(), torch.randn(6, 1, 24)

    def logits(seed: int, noise: int) -> torch.Tensor:
        torch.manual_seed(noise)
        initialisers.seed_dropout(dropping, torch.Generator().manual_seed(seed))
        out: torch.Tensor = dropping(x)
        return out

    assert torch.equal(logits(0, noise=1), logits(0, noise=2))
    assert not torch.equal(logits(0, noise=1), logits(1, noise=1))


@pytest.mark.parametrize("model", MODELS)
def test_initial_weights_depend_on_the_generator_alone(model: str) -> None:
    def weights(seed: int, noise: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(noise)
        made = registry.build(model, small_config(model), 2, 30, 3, cells=8)
        initialisers.initialise(made, "glorot_uniform", torch.Generator().manual_seed(seed))
        return made.state_dict()

    first, again, other = weights(0, noise=1), weights(0, noise=2), weights(1, noise=1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.equal(first[name], other[name]) for name in first if name.endswith("bias"))
    drawn = [
        name for name in first if name.endswith((".weight", "kernel", "recurrent", "context")) and "norm" not in name
    ]
    drawn = [name for name in drawn if first[name].ndim > 1]
    assert len(drawn) >= 4
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


@pytest.mark.parametrize("model", MODELS)
def test_build_initialise_and_forward_leave_the_global_random_states_alone(model: str) -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()
    made = network(model).train()
    initialisers.seed_dropout(made, torch.Generator().manual_seed(0))
    made(torch.ones(4, 1, 24)).sum().backward()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (repr(np.random.get_state()), random.getstate()) == before[1:]
