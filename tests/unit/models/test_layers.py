"""The layers that are the suite's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tsfcn.models import layers


def test_dropout_drops_its_rate_and_scales_the_rest() -> None:
    layer = layers.Dropout(0.8)
    layer.generator = torch.Generator().manual_seed(3)
    x = torch.rand(100, 200, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = layer.train()(x)
    dropped = y == 0
    assert abs(dropped.double().mean().item() - 0.8) < 4 * math.sqrt(0.8 * 0.2 / 20_000)
    np.testing.assert_allclose(y[~dropped].numpy(), 5.0 * x[~dropped].numpy(), rtol=1e-12)  # 1 / (1 - 0.8)
    assert not torch.equal(dropped, layer(x) == 0)  # a new mask each time


def test_dropout_in_evaluation_and_at_rate_zero_does_nothing() -> None:
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(layers.Dropout(0.8).eval()(x), x)
    assert torch.equal(layers.Dropout(0.0).train()(x), x)


def test_dropout_without_a_generator_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="seed_dropout"):
        layers.Dropout(0.5).train()(torch.zeros(2))
