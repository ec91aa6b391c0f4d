"""The Triton kernels compared with PyTorch operations: in Triton's interpreter, or compiled if there is a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")

from tests.parity.test_engine import largest_difference, settings
from tests.parity.test_kernels import Sizes, blocks, near
from tsfcn.config.models import FCNConfig, LSTMFCNConfig
from tsfcn.training import reference as train
from tsfcn.training.fused import stacked as engine
from tsfcn.training.fused import torch_backend
from tsfcn.training.fused.backend import Block
from tsfcn.training.fused.cuda_backend import CudaBackend, supports

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TYPES = {"float32": (torch.float32, 2e-5)}
if DEVICE == "cuda":  # the interpreter cannot multiply bfloat16
    TYPES["bfloat16"] = (torch.bfloat16, 2e-2)
SIZES = [
    Sizes(1, 2, 24, (1, 16, 32, 16), (8, 5, 3)),
    Sizes(2, 3, 37, (1, 32, 16, 64), (8, 5, 3)),  # the rows are not a multiple of a tile
    Sizes(3, 1, 5, (2, 16, 16, 16), (3, 8, 2)),  # two channels, kernels longer than a series, even kernels
    Sizes(2, 3, 37, (3, 32, 16, 32), (8, 5, 3)),
    Sizes(1, 2, 24, (4, 16, 16, 16), (8, 3, 5)),  # as many values under the first kernel as are supported
]


def on_device(block: Block) -> Block:
    parts: dict[str, Any] = {
        name: part.to(DEVICE) if isinstance(part, torch.Tensor) else part for name, part in block._asdict().items()
    }
    return Block(**parts)


def stacked(sizes: Sizes, types: str) -> tuple[torch.Tensor, list[Block]]:
    """Return the weights of a stack, and its blocks, whose weights are views of them."""
    own_blocks = blocks(sizes, types)
    count = sum(block.weights[0].numel() + 2 * block.gamma.shape[1] for block in own_blocks)
    weights, gradients = torch.zeros(sizes.n, count), torch.zeros(sizes.n, count)
    start, views_of_blocks = 0, []
    weights, gradients = weights.to(DEVICE), gradients.to(DEVICE)
    for block in own_blocks:
        views: dict[str, Any] = {}
        for name, grad in (("weights", "grad_weight"), ("gamma", "grad_gamma"), ("beta", "grad_beta")):
            part = getattr(block, name)
            size = part[0].numel()
            views[name] = weights[:, start : start + size].view(part.shape)
            views[grad] = gradients[:, start : start + size].view(part.shape)
            views[name].copy_(part)
            start += size
        views_of_blocks.append(on_device(block)._replace(**views))
    return weights, views_of_blocks


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("types", TYPES)
def test_a_step_through_three_blocks(types: str, sizes: Sizes) -> None:
    """Each operation starts from the results of PyTorch, with values moved away from the threshold of ReLU."""
    dtype, limit = TYPES[types]
    (weights, actual), (_, expected) = stacked(sizes, types), stacked(sizes, types)
    backend, by_torch = CudaBackend(weights, dtype, exact=True), torch_backend.TorchBackend()
    backend.refresh()
    n, cases, c_out = sizes.n, sizes.cases, sizes.channels[-1]
    pooled, known, grad_pooled = (
        torch.randn(n, cases, c_out, generator=torch.Generator().manual_seed(s)).to(DEVICE) for s in range(3)
    )
    for b, (block, same) in enumerate(zip(actual, expected, strict=True)):
        by_torch.forward(same, expected[b - 1] if b else None)()
        backend.forward(block, actual[b - 1] if b else None)()
        if b:
            near(block.y[:, :, : block.length], same.y[:, :, : block.length], limit)
        for name in ("mean", "invstd", "running_mean", "running_var"):
            near(getattr(block, name), getattr(same, name), limit)
            getattr(block, name).copy_(getattr(same, name))
        if b:
            for i in range(n):
                at_threshold = by_torch.batch_norm(same, i).abs() < 1e-3
                same.y[i, :, : same.length] += at_threshold * 1e-2 / (same.gamma[i] * same.invstd[i])
        block.y.copy_(same.y)
    backend.pool(actual[-1], pooled)()
    by_torch.pool(expected[-1], known)()
    near(pooled, known, limit)
    for b, (block, same) in reversed(list(enumerate(zip(actual, expected, strict=True)))):
        for backend_, some in ((backend, actual), (by_torch, expected)):
            before, after = some[b - 1] if b else None, None if b == 2 else some[b + 1]
            backend_.backward(some[b], before, after, grad_pooled if b == 2 else None)()
        for name in ("grad_weight", "grad_gamma", "grad_beta"):
            near(getattr(block, name), getattr(same, name), limit)
        if block.grad_input is not None and same.grad_input is not None:
            near(block.grad_input[:, :, : block.length], same.grad_input[:, :, : block.length], limit)
            block.grad_input.copy_(same.grad_input)


def test_a_first_kernel_of_too_many_values_is_left_to_pytorch() -> None:
    def of(n_channels: int) -> bool:
        filters = (n_channels, 128, 256, 128)
        return supports(engine.Shape(filters, (8, 5, 3), 2, cells=0, n_timepoints=24, attention=False), "bfloat16")

    assert of(1) and of(4) and not of(5)


@pytest.mark.parametrize(
    ("model", "n_channels", "class_weights"),
    [
        ("fcn", 1, "none"),
        ("fcn", 1, "balanced"),
        ("lstm_fcn", 1, "none"),
        ("lstm_fcn", 1, "balanced"),
        ("lstm_fcn", 3, "none"),
    ],
)
def test_losses_are_the_reference_s(
    model: str, n_channels: int, class_weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stacked trainings over 3 epochs, with a smaller last batch and a step of the plateau rule."""
    sizes: dict[str, Any] = {"filters": [16, 32, 16], "kernels": [8, 5, 3]}
    shape, cells = (LSTMFCNConfig(**sizes), 5) if model == "lstm_fcn" else (FCNConfig(**sizes), 0)
    monkeypatch.setattr(
        engine, "best_backend", lambda weights, precision, shape: CudaBackend(weights, torch.float32, exact=True)
    )
    chosen = settings(model, class_weights=class_weights, cells=(), plateau_min_delta=0.5)
    y = torch.arange(11) % 3
    x = torch.randn(11, n_channels, 20, generator=torch.Generator().manual_seed(7)) + y[:, None, None]
    arguments = model, shape, chosen, x.to(DEVICE), y.to(DEVICE), 3
    fits = engine.fit(*arguments, [(3, cells), (4, cells)])
    for seed, fit in zip((3, 4), fits, strict=True):
        reference = train.fit(model, shape, chosen, x, y, 3, seed, cells=cells)
        assert largest_difference(fit.curve.loss, reference.curve.loss) < 1e-3
        assert fit.curve.lr == reference.curve.lr and len(set(fit.curve.lr)) > 1
        assert fit.best_epoch == reference.best_epoch
        assert fit.train_cross_entropy == pytest.approx(reference.train_cross_entropy, rel=1e-2)
