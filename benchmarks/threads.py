"""How much faster the fast engine takes a step with several threads, and what is expected of more cores.

`python benchmarks/threads.py [--threads 1 2] [--batch 16] [--length 2709] [--precision float32] [--turns 15]` prints
Markdown. The network is the papers' FCN on random series; 16 x 2,709 is a batch of HandOutlines. The numbers of threads
take turns, a step each. Wall times count only if nothing else runs: the processor time of a step, of all threads, tells
what sharing costs, also beside other work.

The second table is no measurement: from the time of each operation on one thread it says what more cores can give.
Chunks of rows are shared evenly, but not divided; loss, copies and Python are not shared. Caches, memory and waiting
cost nothing in it, so it is an upper bound.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch

from tsfcn.common import machine
from tsfcn.config import models
from tsfcn.config import protocol as config
from tsfcn.config.compose import compose
from tsfcn.config.models import FCNConfig
from tsfcn.training import threads
from tsfcn.training.fused.stacked import Epochs, Training
from tsfcn.training.reference import flush_subnormals

WARM = 3
CORES = (1, 2, 4, 8, 16, 32, 64)
CHUNK_ROWS = 256  # about, in float32; twice as many in bfloat16


def training(batch: int, length: int, precision: str) -> Training:
    """Return an FCN under fawaz2019 on two batches of random series."""
    shape = models.spec("fcn").settings()
    assert isinstance(shape, FCNConfig)
    settings = config.settings(compose(["protocol=fawaz2019"])[0].protocol, "fcn", shape)
    x = torch.randn(10 * batch, 1, length, generator=torch.Generator().manual_seed(0))
    return Training("fcn", shape, settings, x, torch.arange(len(x)) % 2, 2, [(0, 0)], precision)


def timed(call: Callable[[], None]) -> tuple[float, float]:
    """Return the wall time and the processor time of a call in seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - processor


@flush_subnormals()
def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=2709)
    parser.add_argument("--precision", default="float32", choices=["float32", "float64", "bfloat16"])
    parser.add_argument("--turns", type=int, default=15)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{asked.batch} x {asked.length}, {asked.precision}, {machine.processor()}, {asked.turns} turns\n")
    epochs = training(asked.batch, asked.length, asked.precision).epochs
    measure(epochs, asked.batch, asked.threads, asked.turns)
    chunk = CHUNK_ROWS * (2 if asked.precision == "bfloat16" else 1)
    extrapolate(epochs, asked.batch, math.ceil(asked.batch * asked.length / chunk), asked.turns)


def take_step(epochs: Epochs, batch: int) -> None:
    """Take a step on the first cases."""
    epochs.steps[batch](torch.arange(batch).unsqueeze(0), None)
    epochs.adam()


def measure(epochs: Epochs, batch: int, counts: list[int], n_turns: int) -> None:
    """Print the times of a step for each number of threads, and how many times as fast it is as with the first."""
    taken: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    for _ in range(WARM + n_turns):
        for count, times in taken.items():
            threads.use_threads(count)
            times.append(timed(lambda: take_step(epochs, batch)))
    first = taken[counts[0]][WARM:]
    print("| threads | step, ms | processor time, ms | times as fast | quartiles | times the processor time |")
    print("| --- | --- | --- | --- | --- | --- |")
    for count, times in taken.items():
        walls, processors = zip(*times[WARM:], strict=True)
        ratios = [base / wall for (base, _), wall in zip(first, walls, strict=True)]
        work = [own / base for (_, base), own in zip(first, processors, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        row = [f"{count}", f"{1e3 * statistics.median(walls):.1f}", f"{1e3 * statistics.median(processors):.1f}"]
        row += [f"{middle:.2f}", f"{low:.2f} to {high:.2f}", f"{statistics.median(work):.3f}"]
        print(f"| {' | '.join(row)} |")


def extrapolate(epochs: Epochs, batch: int, n_chunks: int, n_turns: int) -> None:
    """Print what part of a step is shared, and how many times as fast it is at most with more cores."""
    threads.use_threads(1)
    step = epochs.steps[batch]
    groups: tuple[list[Callable[[], None]], ...] = (
        [lambda: take_step(epochs, batch)],
        [*step.forward[:-1], *step.backward],  # shared chunk by chunk
        [step.forward[-1], epochs.adam],  # shared case by case, or weight by weight
    )
    turns = [[sum(timed(each)[1] for each in group) for group in groups] for _ in range(n_turns)]
    total, chunked, shared = (statistics.median(each) for each in zip(*turns, strict=True))
    alone = max(total - chunked - shared, 0.0)
    parts = (
        f"blocks {chunked / total:.1%} of a step, pool and Adam {shared / total:.1%}, not shared {alone / total:.1%}"
    )
    print(f"\n{parts}\n\n| cores | times as fast at most |\n| --- | --- |")
    for cores in CORES:
        rest = chunked * math.ceil(n_chunks / cores) / n_chunks + shared / min(cores, batch) + alone
        print(f"| {cores} | {(chunked + shared + alone) / rest:.1f} |")


if __name__ == "__main__":
    main()
