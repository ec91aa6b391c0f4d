"""Later epochs: the fast engine drifts from the reference loop no more than perturbed reference runs do.

Training is chaotic, so two ways of rounding diverge after some epochs. The drift is compared with that of reference
runs whose initial weights differ by 1e-7 of their size.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import pytest
import torch
from torch import nn

import tsfcn
from tests.factories import settings
from tsfcn.config.models import FCNConfig, LSTMFCNConfig
from tsfcn.models import initialisers
from tsfcn.training import reference as train
from tsfcn.training.fused import stacked as engine

SEEDS = range(4)
EPOCHS, LATER = 40, 20
MODELS = {"fcn": (FCNConfig(filters=[32, 32, 32]), 0), "lstm_fcn": (LSTMFCNConfig(filters=[16, 24, 16]), 8)}


def gunpoint() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the training cases of GunPoint, which are z-normalised in the files, and their classes."""
    data = tsfcn.load("GunPoint")
    classes = sorted(set(data.y_train))
    return torch.from_numpy(data.x_train).float(), torch.tensor([classes.index(label) for label in data.y_train])


def log_difference(one: list[float], other: list[float]) -> float:
    """Return the mean difference of the logarithms of the losses of later epochs."""
    return statistics.mean(abs(math.log(a / b)) for a, b in zip(one[LATER:], other[LATER:], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_drift_is_no_larger_than_that_of_a_tiny_change_of_the_initial_weights(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, cells = MODELS[model]
    chosen = settings(epochs=EPOCHS, batch_size=5, lr=0.001, plateau_patience=50)
    x, y = gunpoint()

    def reference(seed: int) -> list[float]:
        return train.fit(model, shape, chosen, x, y, 2, seed, cells=cells).curve.loss

    there = [reference(seed) for seed in SEEDS]
    alone = [engine.fit(model, shape, chosen, x, y, 2, [(seed, cells)])[0].curve.loss for seed in SEEDS]
    stacked = [fit.curve.loss for fit in engine.fit(model, shape, chosen, x, y, 2, [(s, cells) for s in SEEDS])]
    whole: Callable[..., None] = initialisers.initialise

    def perturbed(network: nn.Module, rule: str, generator: torch.Generator) -> None:
        whole(network, rule, generator)
        noise = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weight in network.parameters():
                weight.mul_(1 + 1e-7 * torch.randn(weight.shape, generator=noise))

    monkeypatch.setattr(initialisers, "initialise", perturbed)
    elsewhere = [reference(seed) for seed in SEEDS]
    usual = statistics.median(log_difference(*pair) for pair in zip(elsewhere, there, strict=True))
    assert usual > 1e-6  # the runs do diverge
    for name, losses in (("alone", alone), ("stacked", stacked)):
        assert statistics.median(log_difference(*pair) for pair in zip(losses, there, strict=True)) < 2 * usual, name
    assert statistics.median(log_difference(*pair) for pair in zip(stacked, alone, strict=True)) < 2 * usual
