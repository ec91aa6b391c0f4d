"""A step in C compared with the same step in PyTorch operations, for several shapes and types."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tsfcn.models.layers import same_padding
from tsfcn.training.fused import backend, build, c_backend, stacked, torch_backend
from tsfcn.training.fused.backend import Backend

TYPES = {  # dtype of the first block, of the other blocks, of everything else; and the tolerance
    "float64": (torch.float64, torch.float64, torch.float64, 1e-12),
    "float32": (torch.float32, torch.float32, torch.float32, 1e-4),
    "bfloat16": (torch.float32, torch.bfloat16, torch.float32, 2e-2),
}


@dataclass(frozen=True)
class Sizes:
    """The numbers of trainings, cases and timepoints, and of three blocks the channels and the kernels."""

    n: int
    cases: int
    length: int
    channels: tuple[int, int, int, int]
    kernels: tuple[int, int, int]


SIZES = [
    Sizes(1, 1, 2, (1, 1, 1, 1), (1, 3, 2)),
    Sizes(2, 3, 5, (3, 7, 5, 3), (8, 2, 3)),  # kernels longer than a series, odd numbers of channels
    Sizes(1, 2, 37, (1, 24, 40, 24), (8, 5, 3)),  # one channel in the first block
    Sizes(3, 5, 150, (2, 24, 33, 16), (5, 3, 5)),
    Sizes(1, 16, 150, (1, 64, 70, 40), (8, 5, 3)),  # several chunks of rows
    Sizes(1, 7, 90, (1, 35, 64, 32), (4, 4, 4)),  # pairs across timepoints
    Sizes(2, 3, 37, (1, 64, 96, 32), (8, 4, 6)),  # with F(m, r), as far as types and vectors allow
    Sizes(1, 7, 90, (1, 96, 64, 128), (8, 3, 5)),
    Sizes(1, 3, 91, (1, 64, 32, 64), (8, 8, 7)),  # long kernels, for which only bfloat16 uses F(m, r)
    Sizes(1, 16, 150, (1, 128, 256, 128), (8, 5, 3)),  # the papers' network
]
CHANNELS = [  # several channels in the first block
    *(Sizes(1, 5, 60, (c, 24, 33, 16), (8, 5, 3)) for c in (2, 3, 6, 7, 24, 32, 33)),
    Sizes(2, 1, 2, (6, 5, 3, 4), (8, 5, 3)),  # one case of two timepoints, kernels longer than it
    Sizes(2, 2, 3, (7, 33, 1, 2), (1, 2, 9)),
    Sizes(1, 1, 301, (3, 17, 2, 16), (5, 8, 4)),  # one long case
    Sizes(2, 40, 100, (6, 128, 32, 64), (8, 5, 3)),  # several chunks of rows
    Sizes(1, 16, 150, (3, 128, 256, 128), (8, 5, 3)),  # the papers' network
]


@pytest.fixture
def compiled() -> Backend:
    if build.library() is None:
        pytest.skip("no C compiler here")
    return stacked.best_backend(torch.zeros(1, 1))


def blocks(sizes: Sizes, types: str) -> list[backend.Block]:
    """Return three blocks with random weights, the first with a random input."""
    generator = torch.Generator().manual_seed(0)
    first, following, own, _ = TYPES[types]
    n, cases, length = sizes.n, sizes.cases, sizes.length
    found: list[backend.Block] = []
    layers = list(zip(sizes.channels, sizes.channels[1:], sizes.kernels, strict=False))
    # All weights of a training lie in a vector, as in a stack.
    total = sum(c_out * (kernel * c_in + 2) for c_in, c_out, kernel in layers)
    vector = torch.randn(n, total, generator=generator, dtype=torch.float64).to(own)
    of_vector = torch.zeros_like(vector)
    for c_in, c_out, kernel in layers:
        rows, left = length + kernel - 1, same_padding(kernel)[0]
        of = following if found else first
        count = c_out * kernel * c_in
        wide, vector = vector.split([count + 2 * c_out, vector.shape[1] - count - 2 * c_out], dim=1)
        gradients, of_vector = of_vector.split([count + 2 * c_out, of_vector.shape[1] - count - 2 * c_out], dim=1)
        padded = torch.zeros(n, cases, rows, c_in, dtype=of)
        padded[:, :, left : left + length] = torch.randn(n, cases, length, c_in, generator=generator).to(of)
        found.append(
            backend.Block(
                length=length,
                kernel=kernel,
                left=left,
                padded=None if found else padded,
                weights=wide[:, :count].view(n, c_out, kernel * c_in),
                grad_weight=gradients[:, :count].view(n, c_out, kernel * c_in),
                y=torch.zeros(n, cases, rows, c_out, dtype=of),
                grad_input=torch.zeros(n, cases, rows, c_in, dtype=of) if found else None,
                gamma=wide[:, count : count + c_out],
                beta=wide[:, count + c_out :],
                grad_gamma=gradients[:, count : count + c_out],
                grad_beta=gradients[:, count + c_out :],
                running_mean=torch.zeros(n, c_out, dtype=own),
                running_var=torch.ones(n, c_out, dtype=own),
                mean=torch.zeros(n, c_out, dtype=own),
                invstd=torch.zeros(n, c_out, dtype=own),
                momentum=0.01,
                eps=1e-3,
            )
        )
    return found


def near(actual: Tensor, expected: Tensor, fraction: float) -> None:
    """Assert that the largest difference is at most a fraction of the largest value."""
    assert torch.isfinite(actual).all()
    largest = expected.double().abs().max().clamp(min=1e-12)
    assert (actual.double() - expected.double()).abs().max() <= fraction * largest


def check_a_step(candidate: Backend, sizes: Sizes, types: str) -> None:
    """Compare a step through three blocks with the same step in PyTorch; the gradients of the pooled output are random.

    Each operation starts from the results of PyTorch, with values moved away from the threshold of ReLU: on which side
    of it such a value lies would depend on rounding, and change all later results.
    """
    generator = torch.Generator().manual_seed(1)
    ours, theirs = blocks(sizes, types), blocks(sizes, types)
    own, n_out = ours[-1].mean.dtype, sizes.channels[-1]
    pooled, known = (torch.zeros(sizes.n, sizes.cases, n_out, dtype=own) for _ in range(2))
    grad_pooled = torch.randn(sizes.n, sizes.cases, n_out, generator=generator, dtype=torch.float64).to(own)

    def hold(*pairs: tuple[Tensor, Tensor]) -> None:
        for found, known in pairs:
            near(found, known, TYPES[types][3])
            found.copy_(known)

    by_torch = torch_backend.TorchBackend()
    for b, (block, same) in enumerate(zip(ours, theirs, strict=True)):
        candidate.forward(block, ours[b - 1] if b else None)()
        by_torch.forward(same, theirs[b - 1] if b else None)()
        hold((block.y[:, :, : block.length], same.y[:, :, : block.length]))
        hold((block.mean, same.mean), (block.invstd, same.invstd))
        hold((block.running_mean, same.running_mean), (block.running_var, same.running_var))
        for i in range(sizes.n):
            at_threshold = by_torch.batch_norm(same, i).abs() < 1e-4
            same.y[i, :, : same.length] += at_threshold * 1e-3 / (same.gamma[i] * same.invstd[i])
        block.y.copy_(same.y)
    candidate.pool(ours[-1], pooled)()
    by_torch.pool(theirs[-1], known)()
    hold((pooled, known))
    for b, (block, same) in reversed(list(enumerate(zip(ours, theirs, strict=True)))):
        after, same_after = (None, None) if b == 2 else (ours[b + 1], theirs[b + 1])
        candidate.backward(block, ours[b - 1] if b else None, after, grad_pooled if b == 2 else None)()
        by_torch.backward(same, theirs[b - 1] if b else None, same_after, grad_pooled if b == 2 else None)()
        hold(
            (block.grad_weight, same.grad_weight),
            (block.grad_gamma, same.grad_gamma),
            (block.grad_beta, same.grad_beta),
        )
        if block.grad_input is not None and same.grad_input is not None:
            hold((block.grad_input[:, :, : block.length], same.grad_input[:, :, : block.length]))


@pytest.mark.parametrize("sizes", [*SIZES, *CHANNELS], ids=str)
@pytest.mark.parametrize("types", TYPES)
def test_a_step_through_three_blocks(types: str, sizes: Sizes, compiled: Backend) -> None:
    check_a_step(compiled, sizes, types)


@pytest.mark.parametrize(("types", "limit"), [("float32", 5), ("bfloat16", 2)])
def test_fewer_multiplications_have_slightly_larger_errors(types: str, limit: float, compiled: Backend) -> None:
    """The errors against float64 in the papers' second and third block, compared with those of plain products."""
    sizes = SIZES[-1]
    ways: list[tuple[Backend, list[backend.Block]]] = [
        (torch_backend.TorchBackend(), blocks(sizes, "float64")),
        (torch_backend.TorchBackend(), blocks(sizes, types)),
    ]
    ways.append((compiled, blocks(sizes, types)))
    grad_pooled = torch.randn(1, sizes.cases, sizes.channels[-1], generator=torch.Generator().manual_seed(1))

    def hold(truth: Tensor | None, usual: Tensor | None, found: Tensor | None) -> None:
        """Compare the errors, then continue with the results of PyTorch in all three."""
        assert truth is not None and usual is not None and found is not None
        error, usual_error = (float((of.double() - truth).square().mean().sqrt()) for of in (found, usual))
        assert 0 < error < limit * usual_error
        truth.copy_(usual)
        found.copy_(usual)

    for b in range(3):
        for each, of in ways:
            each.forward(of[b], of[b - 1] if b else None)()
        for part in ("y", "mean", "invstd"):
            truth, usual, found = (getattr(of[b], part) for _, of in ways)
            if part == "y" and b:
                hold(*(y[:, :, : sizes.length] for y in (truth, usual, found)))
            truth.copy_(usual)
            found.copy_(usual)
    for b in (2, 1):
        for each, of in ways:
            after, pooled = (None, grad_pooled.to(of[b].mean.dtype)) if b == 2 else (of[2], None)
            each.backward(of[b], of[b - 1], after, pooled)()
        hold(*(of[b].grad_weight for _, of in ways))
        hold(*(back[:, :, : sizes.length] for _, of in ways if (back := of[b].grad_input) is not None))


@pytest.mark.parametrize(
    ("processor", "has"),
    [("x86-64", "sse2"), ("haswell", "avx2"), ("skylake-avx512", "avx512vl"), ("cooperlake", "avx512_bf16")],
)
def test_other_processors(processor: str, has: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code for other processors that runs on this one: vectors of other lengths, with and without bfloat16."""
    compiler = build.compiler()
    if compiler is None or not re.search(rf"\b{has}\b", build.processor_features()):
        pytest.skip(f"no C compiler, or no {has}, here")
    monkeypatch.setattr(build, "FLAGS", ("-O3", f"-march={processor}", *build.EXTRA_FLAGS))
    other = c_backend.CBackend(ctypes.CDLL(str(build.compile_library(compiler, tmp_path, "kernels"))))
    for types in TYPES:
        for sizes in (*SIZES, *CHANNELS):
            check_a_step(other, sizes, types)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("own", [torch.float64, torch.float32])
def test_losses_and_their_gradients(own: torch.dtype, weighted: bool, compiled: Backend) -> None:
    """Both backends are also compared with autograd."""
    generator = torch.Generator().manual_seed(0)
    n, n_cases, width, n_classes, n_all = 3, 5, 20, 4, 12
    features = 3 * torch.randn(n, n_cases, width, generator=generator, dtype=torch.float64).to(own)
    wide = torch.randn(n, width * n_classes + n_classes + 3, generator=generator, dtype=torch.float64).to(own)
    y = torch.randint(n_classes, (n_all,), generator=generator)
    case_weights = torch.rand(n_all, generator=generator, dtype=torch.float64).to(own) if weighted else None
    index = torch.randint(n_all, (n, n_cases), generator=generator)

    def parts(flat: Tensor) -> tuple[Tensor, Tensor]:
        return flat[:, : width * n_classes].view(n, width, n_classes), flat[:, width * n_classes : -3]

    found = []
    for each in (compiled, torch_backend.TorchBackend()):
        gradients, grad_features = torch.zeros_like(wide), torch.zeros_like(features)
        total = torch.ones(n, dtype=torch.float64)
        (weights, bias), (grad_weight, grad_bias) = parts(wide), parts(gradients)
        head = (features, grad_features, weights, grad_weight, bias, grad_bias, total, y, case_weights, index)
        each.loss(backend.Head(*head))()
        found.append([total, grad_features, gradients])
    own_features, own_wide = features.clone().requires_grad_(), wide.clone().requires_grad_()
    weights, bias = parts(own_wide)
    logits = own_features @ weights + bias.unsqueeze(1)
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y[index].flatten(), reduction="none").view(n, -1)
    losses = losses if case_weights is None else losses * case_weights[index]
    losses.mean(dim=1).sum().backward()
    assert own_features.grad is not None and own_wide.grad is not None
    known = [1 + losses.detach().sum(dim=1), own_features.grad, own_wide.grad]
    for ours, theirs, truth in zip(*found, known, strict=True):
        near(ours, truth, 1e-12 if own == torch.float64 else 1e-5)
        near(theirs, truth, 1e-12 if own == torch.float64 else 1e-5)


@pytest.mark.parametrize("own", [torch.float64, torch.float32])
def test_steps_of_adam(own: torch.dtype, compiled: Backend) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 50, generator=generator).to(own)
    gradients = [(torch.randn(3, 50, generator=generator) * 10.0**-k).to(own) for k in range(4)]
    found = []
    for each in (compiled, torch_backend.TorchBackend()):
        weights, first, second = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
        gradient = torch.zeros_like(start)
        lr, steps = torch.tensor([1e-3, 1e-2, 0.0], dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
        step = each.adam(weights, first, second, gradient, backend.AdamOptions(lr, steps, (0.9, 0.999), 1e-7))
        for new in gradients:
            gradient.copy_(new)
            steps.add_(1)
            step()
        assert torch.equal(weights[2], start[2])
        found.append([weights, first, second])
    for ours, theirs in zip(*found, strict=True):
        near(ours, theirs, 1e-12 if own == torch.float64 else 1e-6)


def test_values_that_are_not_finite_stay_so(compiled: Backend) -> None:
    """A diverged training must be recognisable, with plain products and with F(m, r)."""
    for types in TYPES:
        for sizes in (Sizes(1, 2, 8, (1, 3, 16, 4), (3, 5, 3)), Sizes(1, 9, 30, (1, 32, 64, 32), (3, 5, 3))):
            first, second, _ = blocks(sizes, types)
            compiled.forward(first, None)()
            first.y[0, 1, 3, 2] = torch.nan
            compiled.forward(second, first)()
            assert second.y[0, 1, 3].isnan().all()
            assert second.mean.isnan().all() and second.running_var.isnan().all()
            if sizes.length == 8:
                assert torch.isfinite(second.y[0, 0, :8]).all()
