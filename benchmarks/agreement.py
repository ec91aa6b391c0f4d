"""How far the fast engine leaves the reference loop in 20 steps, and that itself.

`python benchmarks/agreement.py [DATASET[:CASES] ...]` prints Markdown. The papers' FCN learns the training cases of a
dataset, or the first CASES, as one batch, else as under fawaz2019: by the reference loop in float32, in float64, and
in float32 from initial weights changed by 1e-7 of their size; by the fast engine in float32 and bfloat16. Told are
medians over five seeds of the largest relative difference of a loss.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

import tsfcn
from tsfcn.config import protocol as config
from tsfcn.config.compose import compose
from tsfcn.config.models import FCNConfig
from tsfcn.models import initialisers
from tsfcn.training import reference as train
from tsfcn.training.fused import stacked

STEPS, SEEDS, NUDGE = 20, 5, 1e-7
DATASETS = ("GunPoint", "GunPoint:16", "CBF", "FaceFour", "Wine")
PAIRS = {
    "reference, float32 : float64": ("float32", "float64"),
    "reference, nudged by 1e-7 : not": ("nudged", "float32"),
    "fast float32 : reference float64": ("fast float32", "float64"),
    "fast float32 : reference float32": ("fast float32", "float32"),
    "fast bfloat16 : reference float32": ("fast bfloat16", "float32"),
}
FCN = FCNConfig()


def apart(one: list[float], other: list[float]) -> float:
    """Return the largest relative difference."""
    return max(abs(a - b) / abs(b) for a, b in zip(one, other, strict=True))


def losses(settings: config.Settings, x: Tensor, y: Tensor, n_classes: int, seed: int) -> dict[str, list[float]]:
    """Return the losses of each way to train; x: float64."""
    initialise = initialisers.initialise

    def nudged(network: nn.Module, initialiser: str, generator: torch.Generator) -> None:
        initialise(network, initialiser, generator)
        noise = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weights in network.parameters():
                weights.mul_(1 + NUDGE * torch.randn(weights.shape, generator=noise))

    def reference(dtype: torch.dtype) -> list[float]:
        return train.fit("fcn", FCN, settings, x.to(dtype), y, n_classes, seed, cells=0).curve.loss

    found = {"float32": reference(torch.float32), "float64": reference(torch.float64)}
    for precision in ("float32", "bfloat16"):
        (fit,) = stacked.fit("fcn", FCN, settings, x, y, n_classes, [(seed, 0)], precision=precision)
        found[f"fast {precision}"] = fit.curve.loss
    initialisers.initialise = nudged
    try:
        found["nudged"] = reference(torch.float32)
    finally:
        initialisers.initialise = initialise
    return found


def main(names: list[str]) -> None:
    """Print a row for each dataset."""
    torch.set_num_threads(1)
    protocol = compose(["protocol=fawaz2019"])[0].protocol
    settings = config.settings(protocol, "fcn", FCN)
    print(f"| batch | {' | '.join(PAIRS)} |")
    print(f"| --- |{' --- |' * len(PAIRS)}")
    for name in names:
        dataset, _, some = name.partition(":")
        data = tsfcn.load(dataset)
        classes, labels = np.unique(data.y_train, return_inverse=True)
        n_cases = int(some) if some else len(labels)
        x, y = torch.from_numpy(data.x_train[:n_cases]).double(), torch.from_numpy(labels[:n_cases])
        chosen = replace(settings, epochs=STEPS, batch_size=n_cases, batch_divisor=0)
        runs = [losses(chosen, x, y, len(classes), seed) for seed in range(SEEDS)]
        cells = [f"{statistics.median(apart(run[a], run[b]) for run in runs):.2g}" for a, b in PAIRS.values()]
        print(f"| {dataset}, {n_cases} cases | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(DATASETS))
