"""How much the losses of the fast engine and of the reference loop differ within 20 steps.

`python benchmarks/agreement.py [DATASET[:CASES] ...]` prints Markdown. The papers' FCN learns the training cases of a
dataset, or the first CASES of them, as one batch, with the other settings of fawaz2019. It is trained by the reference
loop in float32, in float64, and in float32 from initial weights that are changed by 1e-7 of their size, and by the fast
engine in float32 and bfloat16. The values are medians over five seeds of the largest relative difference of a loss.
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

STEPS, SEEDS, PERTURBATION = 20, 5, 1e-7
DATASETS = ("GunPoint", "GunPoint:16", "CBF", "FaceFour", "Wine")
PAIRS = {
    "reference, float32 : float64": ("float32", "float64"),
    "reference, initial weights changed by 1e-7 : unchanged": ("perturbed", "float32"),
    "fast float32 : reference float64": ("fast float32", "float64"),
    "fast float32 : reference float32": ("fast float32", "float32"),
    "fast bfloat16 : reference float32": ("fast bfloat16", "float32"),
}
FCN = FCNConfig()


def largest_difference(one: list[float], other: list[float]) -> float:
    """Return the largest relative difference of two lists of losses."""
    return max(abs(a - b) / abs(b) for a, b in zip(one, other, strict=True))


def losses(settings: config.Settings, x: Tensor, y: Tensor, n_classes: int, seed: int) -> dict[str, list[float]]:
    """Return the losses of each way to train, by its name in PAIRS.

    Args:
        settings: The protocol, resolved for the FCN.
        x: float64 (n_cases, 1, n_timepoints).
        y: int64 (n_cases,).
        n_classes: The number of classes.
        seed: The seed of all trainings.
    """
    initialise = initialisers.initialise

    def perturbed(network: nn.Module, initialiser: str, generator: torch.Generator) -> None:
        initialise(network, initialiser, generator)
        noise = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weights in network.parameters():
                weights.mul_(1 + PERTURBATION * torch.randn(weights.shape, generator=noise))

    def reference(dtype: torch.dtype) -> list[float]:
        return train.fit("fcn", FCN, settings, x.to(dtype), y, n_classes, seed, cells=0).curve.loss

    curves = {"float32": reference(torch.float32), "float64": reference(torch.float64)}
    for precision in ("float32", "bfloat16"):
        (fit,) = stacked.fit("fcn", FCN, settings, x, y, n_classes, [(seed, 0)], precision=precision)
        curves[f"fast {precision}"] = fit.curve.loss
    initialisers.initialise = perturbed
    try:
        curves["perturbed"] = reference(torch.float32)
    finally:
        initialisers.initialise = initialise
    return curves


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
        one_batch = replace(settings, epochs=STEPS, batch_size=n_cases, batch_divisor=0)
        runs = [losses(one_batch, x, y, len(classes), seed) for seed in range(SEEDS)]
        cells = [
            f"{statistics.median(largest_difference(run[a], run[b]) for run in runs):.2g}" for a, b in PAIRS.values()
        ]
        print(f"| {dataset}, {n_cases} cases | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(DATASETS))
