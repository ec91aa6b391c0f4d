"""A step in C against the same by torch's operations, shape by shape and type by type."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tsfcn import kernels, models, native

TYPES = {  # of a block, of the next one, of all else; and how near they must be
    "float64": (torch.float64, torch.float64, torch.float64, 1e-12),
    "float32": (torch.float32, torch.float32, torch.float32, 1e-4),
    "first block in bfloat16": (torch.float32, torch.bfloat16, torch.float32, 2e-2),
    "bfloat16": (torch.bfloat16, torch.bfloat16, torch.float32, 2e-2),
}


@dataclass(frozen=True)
class Sizes:
    """Of trainings, cases, timepoints, channels in and out, and of the kernels of a block and of the next one."""

    n: int
    cases: int
    length: int
    c_in: int
    c_out: int
    kernel: int
    after: int


SIZES = [
    Sizes(1, 1, 2, 1, 1, 1, 3),
    Sizes(2, 3, 5, 3, 7, 8, 2),  # a kernel longer than a series, channels that are no pairs
    Sizes(1, 2, 37, 1, 24, 8, 5),  # what a kernel sees is laid out
    Sizes(3, 5, 150, 24, 40, 5, 3),
    Sizes(1, 16, 150, 64, 33, 3, 1),  # more rows than are added up at once
    Sizes(1, 7, 90, 35, 64, 4, 4),  # pairs across timepoints
]


@pytest.fixture
def compiled() -> kernels.Torch:
    if native.library() is None:
        pytest.skip("no C compiler here")
    return kernels.best()


def blocks(sizes: Sizes, types: str) -> list[kernels.Block]:
    """Return a block and the next one, filled at random where a step finds values."""
    generator = torch.Generator().manual_seed(0)
    first, second, own, _ = TYPES[types]
    n, cases, length = sizes.n, sizes.cases, sizes.length
    found = []
    for c_in, c_out, kernel, dtype in (
        (sizes.c_in, sizes.c_out, sizes.kernel, first),
        (sizes.c_out, sizes.c_in, sizes.after, second),
    ):
        rows, left = length + kernel - 1, models.same_padding(kernel)[0]

        def random(*shape: int, of: torch.dtype) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(of)

        # Weights of a training lie further apart than they are long, as in a stack.
        count = c_out * kernel * c_in
        wide = random(n, count + 2 * c_out + 5, of=own)
        weights, scale, shift = wide[:, :count], wide[:, count : count + c_out], wide[:, count + c_out : -5]
        gradients = torch.zeros_like(wide)
        padded = torch.zeros(n, cases, rows, c_in, dtype=dtype)
        padded[:, :, left : left + length] = random(n, cases, length, c_in, of=dtype)
        back = torch.full((n, cases, rows, c_in), torch.nan, dtype=dtype)  # what lies behind a case does not count
        back[:, :, :length] = random(n, cases, length, c_in, of=dtype)
        found.append(
            kernels.Block(
                length=length,
                kernel=kernel,
                left=left,
                padded=padded,
                weights=weights.view(n, c_out, kernel * c_in),
                of_weights=gradients[:, :count].view(n, c_out, kernel * c_in),
                y=torch.zeros(n, cases, rows, c_out, dtype=dtype),
                slope=torch.full((n, cases, rows, c_out), torch.nan, dtype=dtype),
                back=back,
                scale=scale,
                shift=shift,
                of_scale=gradients[:, count : count + c_out],
                of_shift=gradients[:, count + c_out : -5],
                running_mean=torch.zeros(n, c_out, dtype=own),
                running_variance=torch.ones(n, c_out, dtype=own),
                mean=torch.zeros(n, c_out, dtype=own),
                inverse=torch.zeros(n, c_out, dtype=own),
                momentum=0.01,
                eps=1e-3,
            )
        )
    return found


def near(ours: Tensor, theirs: Tensor, share: float) -> None:
    """Hold the largest difference to a share of the largest value."""
    assert torch.isfinite(ours).all()
    least = theirs.double().abs().max().clamp(min=1e-12)
    assert (ours.double() - theirs.double()).abs().max() <= share * least


def step(by: kernels.Torch, sizes: Sizes, types: str) -> dict[str, Tensor]:
    """Return all that a step leaves in a block."""
    block, after = blocks(sizes, types)
    own = block.mean.dtype
    pooled = torch.zeros(sizes.n, sizes.cases, sizes.c_out, dtype=own)
    after.padded.zero_()
    by.convolve(block)()
    by.rectify(block, after, None)()
    found = {"y": block.y[:, :, : block.length], "padded": after.padded}
    found |= {name: getattr(block, name).clone() for name in ("running_mean", "running_variance", "mean", "inverse")}
    by.rectify(block, None, pooled)()
    for name, to, of_pooled in (("next", after, None), ("pooled", None, pooled.clone())):
        by.send_back(block, to, of_pooled)()
        by.to_weights(block)()
        by.to_input(block)()
        parts = {"slope": block.slope, "back": block.back[:, :, : block.length], "of_weights": block.of_weights}
        parts |= {"of_scale": block.of_scale, "of_shift": block.of_shift}
        found |= {f"{part} from {name}": value.clone() for part, value in parts.items()}
    return {**found, "pooled": pooled}


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("types", TYPES)
def test_a_step_through_a_block(types: str, sizes: Sizes, compiled: kernels.Torch) -> None:
    ours, theirs = step(compiled, sizes, types), step(kernels.Torch(), sizes, types)
    for name, value in ours.items():
        near(value, theirs[name], TYPES[types][3])


@pytest.mark.parametrize(
    ("processor", "has"),
    [("x86-64", "sse2"), ("haswell", "avx2"), ("skylake-avx512", "avx512vl"), ("cooperlake", "avx512_bf16")],
)
def test_other_processors(processor: str, has: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this one can run of what is compiled for them: vectors of other lengths, with and without bfloat16."""
    by = native.compiler()
    if by is None or not re.search(rf"\b{has}\b", native.abilities()):
        pytest.skip(f"no C compiler, or no {has}, here")
    monkeypatch.setattr(native, "FLAGS", ("-O3", f"-march={processor}"))
    native.compile_kernels(by, tmp_path / "kernels.so")
    other = kernels.Native(ctypes.CDLL(str(tmp_path / "kernels.so")))
    for types, (*_, share) in TYPES.items():
        for sizes in SIZES:
            ours, theirs = step(other, sizes, types), step(kernels.Torch(), sizes, types)
            for name, value in ours.items():
                near(value, theirs[name], share)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("own", [torch.float64, torch.float32])
def test_losses_and_their_way_back(own: torch.dtype, weighted: bool, compiled: kernels.Torch) -> None:
    """And against autograd, which knows neither."""
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
    for by in (compiled, kernels.Torch()):
        gradients, of_features = torch.zeros_like(wide), torch.zeros_like(features)
        total = torch.ones(n, dtype=torch.float64)
        (weights, bias), (of_weights, of_bias) = parts(wide), parts(gradients)
        by.score(kernels.Head(features, of_features, weights, of_weights, bias, of_bias, total, y, case_weights))(index)
        found.append([total, of_features, gradients])
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
def test_steps_of_adam(own: torch.dtype, compiled: kernels.Torch) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 50, generator=generator).to(own)
    gradients = [(torch.randn(3, 50, generator=generator) * 10.0**-k).to(own) for k in range(4)]
    found = []
    for by in (compiled, kernels.Torch()):
        weights, first, second = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
        gradient = torch.zeros_like(start)
        step = by.adam(weights, first, second, gradient)
        for count, new in enumerate(gradients, start=1):
            gradient.copy_(new)
            step(kernels.Rule([1e-3, 1e-2, 0.0], (0.9, 0.999), count, 1e-7))
        assert torch.equal(weights[2], start[2])
        found.append([weights, first, second])
    for ours, theirs in zip(*found, strict=True):
        near(ours, theirs, 1e-12 if own == torch.float64 else 1e-6)


def test_what_is_not_finite_stays_so(compiled: kernels.Torch) -> None:
    """A training that diverged must be seen to have."""
    sizes = Sizes(1, 2, 8, 3, 16, 5, 3)
    for types in TYPES:
        block, after = blocks(sizes, types)
        compiled.convolve(block)()
        block.y[0, 1, 3, 5] = torch.nan
        compiled.rectify(block, after, None)()
        assert after.padded[..., 5].isnan().any() and torch.isfinite(after.padded[..., :5]).all()
        compiled.convolve(after)()
        assert after.y[:, :, : after.length].isnan().any()
