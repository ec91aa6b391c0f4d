"""The C between the matrix products against torch's operations, shape by shape and type by type."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tsfcn import kernels, native

TYPES = {  # of y, of what is seen, of all else; and how near they must be
    "float64": (torch.float64, torch.float64, torch.float64, 1e-12),
    "float32": (torch.float32, torch.float32, torch.float32, 2e-5),
    "first block in bfloat16": (torch.float32, torch.bfloat16, torch.float32, 2e-2),
    "bfloat16": (torch.bfloat16, torch.bfloat16, torch.float32, 2e-2),
}
SHAPES = [(1, 1, 2, 16, 3), (3, 5, 150, 24, 5), (2, 2, 3, 8, 8), (1, 4, 300, 40, 1)]  # n, n_cases, t, c, kernel


@pytest.fixture
def compiled() -> kernels.Torch:
    if native.library() is None:
        pytest.skip("no C compiler here")
    return kernels.best()


def norm(n: int, c: int, dtype: torch.dtype) -> kernels.Norm:
    generator = torch.Generator().manual_seed(1)
    wide = torch.rand(n, 3 * c, generator=generator, dtype=torch.float64).to(dtype)
    zeros = torch.zeros(n, c, dtype=dtype)
    running = {"running_mean": zeros, "running_variance": zeros + 1, "mean": zeros, "inverse": zeros}
    return kernels.Norm(wide[:, c : 2 * c] + 0.5, wide[:, 2 * c :] - 0.5, **running, momentum=0.01, eps=1e-3)


def near(ours: Tensor, theirs: Tensor, share: float) -> None:
    """Hold the largest difference to a share of the largest value."""
    assert torch.isfinite(ours).all()
    least = theirs.double().abs().max().clamp(min=1e-12)
    assert (ours.double() - theirs.double()).abs().max() <= share * least


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("types", TYPES)
def test_batch_norm_relu_and_their_way_back(types: str, shape: tuple[int, ...], compiled: kernels.Torch) -> None:
    y_type, seen_type, own, share = TYPES[types]
    n, cases, length, c, kernel = shape
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(n, cases, length, c, generator=generator).to(y_type)
    scale = norm(n, c, own)
    back_seen = torch.randn(n, cases, length, kernel, c, generator=generator).to(seen_type)
    back_pooled = torch.randn(n, cases, c, generator=generator).to(own)
    left = (kernel - 1) // 2
    found: list[list[Tensor]] = []
    for by in (compiled, kernels.Torch()):
        held = scale._replace(
            scale=torch.cat([scale.scale] * 2, dim=1)[:, :c],  # rows further apart than they are long, as in a stack
            shift=torch.cat([scale.shift] * 2, dim=1)[:, :c],
            **{name: getattr(scale, name).clone() for name in ("running_mean", "running_variance", "mean", "inverse")},
        )
        seen, pooled = torch.zeros_like(back_seen), torch.zeros_like(back_pooled)
        by.rectified(y, held, seen, left, None)
        by.rectified(y, held, None, 0, pooled)
        outcome = [seen, pooled, *held[2:6]]
        for from_seen, from_pooled in ((back_seen, None), (None, back_pooled)):
            slope = torch.zeros_like(y)
            of = torch.zeros(2, n, 2 * c, dtype=own)
            by.sent_back(y, held, from_seen, left, from_pooled, slope, of[0, :, :c], of[1, :, :c])
            outcome += [slope, of]
        found.append(outcome)
    for ours, theirs in zip(*found, strict=True):
        near(ours, theirs, share)


@pytest.mark.parametrize("gradient_type", [torch.float64, torch.float32, torch.bfloat16])
def test_steps_of_adam(gradient_type: torch.dtype, compiled: kernels.Torch) -> None:
    own = torch.float64 if gradient_type == torch.float64 else torch.float32
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 50, generator=generator).to(own)
    gradients = [(torch.randn(3, 50, generator=generator) * 10.0**-k).to(gradient_type) for k in range(4)]
    found = []
    for by in (compiled, kernels.Torch()):
        whole, rounded = start.clone(), torch.zeros(3, 50, dtype=torch.bfloat16)
        first, second = torch.zeros_like(whole), torch.zeros_like(whole)
        for step, gradient in enumerate(gradients, start=1):
            parts = kernels.Trained(*(each[:, 7:40] for each in (whole, first, second, gradient, rounded)))
            by.adam(parts, kernels.Rule([1e-3, 1e-2, 0.0], (0.9, 0.999), step, 1e-7))
        assert torch.equal(whole[:, :7], start[:, :7]) and torch.equal(whole[2], start[2])
        assert torch.equal(rounded[:, 7:40], whole[:, 7:40].bfloat16())
        found.append([whole, first, second])
    for ours, theirs in zip(*found, strict=True):
        near(ours, theirs, 1e-12 if own == torch.float64 else 1e-6)


def test_what_is_not_finite_stays_so(compiled: kernels.Torch) -> None:
    """A training that diverged must be seen to have."""
    for dtype in (torch.float32, torch.bfloat16):
        y = torch.ones(1, 2, 8, 16).to(dtype)
        y[0, 1, 3, 5] = float("nan")
        seen = torch.zeros(1, 2, 8, 3, 16).to(dtype)
        compiled.rectified(y, norm(1, 16, torch.float32), seen, 1, None)
        assert seen[..., 5].isnan().any() and torch.isfinite(seen[..., :5]).all()
