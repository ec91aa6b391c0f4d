"""Threads of the fast engine: no bit depends on their number, wherever work is shared and whatever is the matter."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import factories
from tests.parity.test_kernels import TYPES, Sizes, blocks
from tsfcn.config.models import FCNConfig, LSTMFCNConfig
from tsfcn.training import threads
from tsfcn.training.fused import build, c_backend, stacked
from tsfcn.training.fused.backend import AdamOptions
from tsfcn.training.loop import Fit
from tsfcn.training.reference import flush_subnormals

COUNTS = (2, 3, 4)
SIZES = [
    Sizes(1, 3, 40, (1, 24, 40, 24), (8, 5, 3)),  # one chunk of rows: one thread
    Sizes(2, 90, 7, (1, 33, 64, 32), (3, 4, 3)),  # many short series, odd numbers of channels
    Sizes(1, 9, 150, (3, 40, 33, 7), (8, 5, 2)),  # several chunks, several channels, plain products
    Sizes(1, 1, 1500, (1, 64, 128, 64), (8, 5, 3)),  # one long series, with F(m, r)
    Sizes(3, 7, 100, (2, 32, 64, 96), (5, 6, 3)),  # three trainings
    Sizes(1, 16, 150, (1, 128, 256, 128), (8, 5, 3)),  # the papers' network
]


@pytest.fixture(autouse=True)
def compiled() -> Iterator[None]:
    if build.library() is None:
        pytest.skip("no C compiler here")
    yield
    threads.use_threads(1)


def backend() -> c_backend.CBackend:
    found = stacked.best_backend(torch.zeros(1, 1))
    assert isinstance(found, c_backend.CBackend)
    return found


def step(sizes: Sizes, types: str) -> list[Tensor]:
    """Return all that a step through three blocks computes, with two steps of Adam on other weights."""
    c, generator = backend(), torch.Generator().manual_seed(1)
    all_blocks = blocks(sizes, types)
    befores, afters, last = [None, *all_blocks], [*all_blocks[1:], None], all_blocks[-1]
    own, shape = last.mean.dtype, (sizes.n, sizes.cases, sizes.channels[-1])
    pooled, grad_pooled = torch.zeros(shape, dtype=own), torch.randn(shape, generator=generator).to(own)
    weights, gradient = (torch.randn(2, 70001, generator=generator).to(own) for _ in range(2))
    moments = torch.zeros_like(weights), torch.zeros_like(weights)
    for block, before in zip(all_blocks, befores, strict=False):
        c.forward(block, before)()
    c.pool(last, pooled)()
    for block, before, after in list(zip(all_blocks, befores, afters, strict=False))[::-1]:
        c.backward(block, before, after, grad_pooled if block is last else None)()
    options = AdamOptions(
        torch.full((2,), 0.01, dtype=torch.float64), torch.ones(1, dtype=torch.int64), (0.9, 0.99), 1e-8
    )
    for _ in range(2):
        c.adam(weights, *moments, gradient, options)()
    found = [pooled, weights, *moments]
    for block in all_blocks:
        found += [block.y[:, :, : block.length], block.mean, block.invstd, block.running_mean, block.running_var]
        found += [block.grad_gamma, block.grad_beta, block.grad_weight]
        found += [] if block.grad_input is None else [block.grad_input[:, :, : block.length]]
    return [each.clone() for each in found]


def bits(values: Tensor) -> Tensor:
    return values.flatten().view(torch.uint8)


def same_bits(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(bits(a).equal(bits(b)) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_a_step_has_the_same_bits(sizes: Sizes, types: str) -> None:
    alone = step(sizes, types)
    for count in COUNTS:
        threads.use_threads(count)
        assert same_bits(step(sizes, types), alone), count


def trained(
    n_channels: int, trainings: list[tuple[int, int]], precision: str, at_epoch: Callable[[], None]
) -> list[Fit]:
    """Return the fits of two epochs on 45 cases of 100 timepoints, with a smaller last batch."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(45, n_channels, 100, generator=generator, dtype=torch.float64)
    y = torch.arange(45) % 3
    cells = trainings[0][1]
    config = (LSTMFCNConfig if cells else FCNConfig)(filters=[32, 64, 32], kernels=[8, 5, 3])
    settings = factories.settings(epochs=2, batch_size=20, batch_divisor=0)
    return stacked.fit(
        *(
            "lstm_fcn" if cells else "fcn",
            config,
            settings,
            x if precision == "float64" else x.float(),
            y,
            3,
            trainings,
        ),
        precision=precision,
        progress=lambda *_: at_epoch(),
    )


def weights_of(fits: list[Fit]) -> list[Tensor]:
    return [value for fit in fits for weights in fit.weights.values() for value in weights.values()]


@pytest.mark.parametrize("precision", TYPES)
@pytest.mark.parametrize("trainings", [[(0, 0)], [(0, 0), (1, 0), (2, 0)], [(0, 4), (1, 8)]], ids=str)
@pytest.mark.parametrize("n_channels", [1, 3])
def test_a_training_has_the_same_bits(n_channels: int, trainings: list[tuple[int, int]], precision: str) -> None:
    """Also where the number changes between two epochs."""
    alone = weights_of(trained(n_channels, trainings, precision, lambda: None))
    threads.use_threads(4)
    assert same_bits(weights_of(trained(n_channels, trainings, precision, lambda: threads.use_threads(2))), alone)


def test_one_of_two_trainings_has_the_team_and_the_other_trains_alone() -> None:
    sizes = SIZES[-1]
    alone, found = step(sizes, "float32"), list[list[Tensor]]()
    threads.use_threads(3)
    side_by_side = [
        threading.Thread(target=lambda: found.extend(step(sizes, "float32") for _ in range(3))) for _ in "ab"
    ]
    for each in side_by_side:
        each.start()
    for each in side_by_side:
        each.join()
    assert len(found) == 6
    assert all(same_bits(each, alone) for each in found)


@pytest.mark.parametrize("count", [1, 3])
def test_all_threads_flush_subnormal_numbers_as_the_caller_does(count: int) -> None:
    threads.use_threads(count)
    zeros = [torch.zeros(1, 100_000) for _ in range(2)]
    options = AdamOptions(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.int64), (0.9, 0.99), 1e-8)

    def second_moment() -> Tensor:
        moment = torch.zeros(1, 100_000)
        backend().adam(zeros[0], zeros[1], moment, torch.full((1, 100_000), 1e-19), options)()  # 1e-40
        return moment

    flushed = flush_subnormals()(second_moment)()
    assert second_moment().count_nonzero() == 100_000
    assert not flushed.count_nonzero()


FORK = """
import os, sys
from tests.parity.test_threads import SIZES, same_bits, step
from tsfcn.training import threads

alone = step(SIZES[0], "float32"), step(SIZES[-1], "float32")
threads.use_threads(3)
step(SIZES[-1], "float32")
child = os.fork()
found = step(SIZES[0], "float32"), step(SIZES[-1], "float32")
is_same = all(map(same_bits, found, alone))
if not child:
    os._exit(0 if is_same else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert is_same
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_child_of_a_fork_has_a_team_of_its_own() -> None:
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=300, env=environment)
