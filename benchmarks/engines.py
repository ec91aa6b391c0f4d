"""How fast the engines are: `python benchmarks/engines.py`, on one core.

The FCN of the papers on made-up series of several shapes (batch x timepoints). For each the reference loop, the fast
engine in float32 and in bfloat16, and both with five seeds stacked take turns; a step is the median over the epochs
after the first two, a turn the median of --turns, and a stack's step counts a fifth for each of its seeds. GFLOP/s
counts the multiplications and additions of the convolutions, forward and backward.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from tsfcn import config, engine, train
from tsfcn.compose import compose
from tsfcn.cost import processor

SHAPES = ((2, 24), (6, 24), (5, 150), (16, 150), (16, 512), (128, 150))
SEEDS = 5
FLOP = 6 * (8 * 128 + 5 * 128 * 256 + 3 * 256 * 128)  # a timepoint
STEP_FLOP = 4e9  # of a turn's epoch, about: enough steps for a median

Progress = Callable[..., None]


def step_seconds(fit: Callable[[Progress], object], n_steps: int) -> float:
    """Return the median seconds of a step."""
    ends: list[float] = []
    fit(lambda *_: ends.append(time.perf_counter()))
    return statistics.median(b - a for a, b in itertools.pairwise(ends[1:])) / n_steps


def measure(batch: int, length: int, turns: int) -> dict[str, float]:
    """Return the seconds of a step (and seed) of each contestant."""
    n_steps = max(2, round(STEP_FLOP / (FLOP * batch * length)))
    y = torch.arange(batch * n_steps) % 3
    x = torch.randn(len(y), 1, length, generator=torch.Generator().manual_seed(0))
    model = config.FCNConfig()
    chosen = config.settings(compose(["protocol=fawaz2019"])[0].protocol, "fcn", model)
    chosen = replace(chosen, epochs=6, batch_size=batch, batch_divisor=0)
    what = ("fcn", model, chosen, x, y, 3)

    def fast(precision: str, n_seeds: int) -> Callable[[Progress], object]:
        trainings = [(seed, 0) for seed in range(n_seeds)]
        return lambda progress: engine.fit(*what, trainings, precision=precision, progress=progress)

    contestants: dict[str, Callable[[Progress], object]] = {
        "reference": lambda progress: train.fit(*what, 0, progress=progress),
        "fast": fast("float32", 1),
        f"fast, {SEEDS} seeds": fast("float32", SEEDS),
        "bfloat16": fast("bfloat16", 1),
        f"bfloat16, {SEEDS} seeds": fast("bfloat16", SEEDS),
    }
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(turns):
        for name, fit in contestants.items():
            taken[name].append(step_seconds(fit, n_steps) / (SEEDS if "seeds" in name else 1))
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    print(f"{processor()}, torch {torch.__version__}, one thread\n")
    for number, (batch, length) in enumerate(SHAPES):
        found = measure(batch, length, options.turns)
        if number == 0:
            print(f"| batch x timepoints | {' | '.join(found)} |\n|{' --- |' * (len(found) + 1)}")
        cells = [
            f"{1e3 * seconds:.2f} ms, {FLOP * batch * length / seconds / 1e9:.0f} GFLOP/s" for seconds in found.values()
        ]
        print(f"| {batch} x {length} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
