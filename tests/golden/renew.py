"""Measure the golden numbers, and with `python -m tests.golden.renew` write golden.json beside this file.

Three epochs of every network on ItalyPowerDemand, in float64 and in float32, with settings that between them use every
normalisation, both optimisers and initialisers, both selections, every policy and a resample. When the numbers move,
MEANING in tsfcn/jobs/plan.py must have been raised: otherwise the script refuses, because old records would pass for
the same thing.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests import factories
from tsfcn.config.models import (
    EncoderConfig,
    FCNConfig,
    HInceptionConfig,
    InceptionConfig,
    LITEConfig,
    LSTMFCNConfig,
    MLPConfig,
    MLSTMFCNConfig,
    ModelConfig,
    ResNetConfig,
)
from tsfcn.config.protocol import Settings
from tsfcn.data import archive, preprocess, splits
from tsfcn.data.formats import Float64
from tsfcn.jobs.plan import MEANING
from tsfcn.models import initialisers, registry
from tsfcn.training import predict, search

FILE = Path(__file__).with_name("golden.json")
DATASET = "ItalyPowerDemand"
SEED = 7
N_TEST = 200  # of 1029 test cases

# Relative differences that two machines may have. Both train from float32 initial weights, whose last bits depend on
# the processor (fused multiply-add) and on the linear algebra library (orthogonal kernels). Where all of them came out
# the same, float64 differs by the order of sums alone; where not, a ReLU that tips over soon makes far more of it.
TOLERANCE = {"float64": 1e-8, "float32": 1e-3}
OTHER_START = {"float64": 1e-3, "float32": 1e-2}

Numbers = dict[str, list[float]]


@dataclasses.dataclass(frozen=True)
class Case:
    """One training whose numbers are frozen."""

    model: str
    config: ModelConfig
    settings: Settings
    resample: int = 0
    unequal: bool = False  # with ends and values taken away, see `shortened`


# Few steps: a batch of all cases unless said otherwise, so that rounding has no time to grow.
BASE = factories.settings(
    normalisation="series",
    epochs=3,
    batch_size=128,
    lr=1e-3,
    plateau_patience=1,
    plateau_min_lr=1e-4,
    plateau_min_delta=1.0,
    initialiser="glorot_uniform",
)


def changed(**values: Any) -> Settings:
    return dataclasses.replace(BASE, **values)


CASES = {
    "fcn": Case("fcn", FCNConfig(), changed(batch_size=40)),
    "fcn, held out, balanced, resampled": Case(
        "fcn", FCNConfig(), changed(validation=0.2, select="validation", class_weights="balanced"), resample=1
    ),
    "resnet": Case("resnet", ResNetConfig(), changed(normalisation="none")),
    "mlp": Case("mlp", MLPConfig(), changed(normalisation="train", optimiser="adadelta", lr=0.5)),
    "lstm_fcn": Case("lstm_fcn", LSTMFCNConfig(), changed(initialiser="he_uniform", cells=(8,), batch_size=40)),
    "alstm_fcn": Case("alstm_fcn", LSTMFCNConfig(), changed(initialiser="he_uniform", cells=(8, 16))),
    "alstm_fcn, no shuffle": Case(
        "alstm_fcn", LSTMFCNConfig(shuffle=False, gates="sigmoid"), changed(initialiser="he_uniform", cells=(4,))
    ),
    "fcn, masked": Case("fcn", FCNConfig(), changed(length="mask", batch_size=40), unequal=True),
    "resnet, masked, interpolated": Case(
        "resnet",
        ResNetConfig(),
        changed(length="mask", missing="interpolate", normalisation="train", validation=0.2),
        unequal=True,
    ),
    "lstm_fcn, masked": Case("lstm_fcn", LSTMFCNConfig(), changed(length="mask", cells=(8,)), unequal=True),
    "alstm_fcn, no shuffle, masked": Case(
        "alstm_fcn", LSTMFCNConfig(shuffle=False), changed(length="mask", cells=(4,)), unequal=True
    ),
    "mlp, cut, interpolated": Case("mlp", MLPConfig(), changed(length="cut", missing="interpolate"), unequal=True),
    "inception": Case("inception", InceptionConfig(), changed()),
    "inception, masked": Case("inception", InceptionConfig(depth=3), changed(length="mask"), unequal=True),
    "h_inception": Case("h_inception", HInceptionConfig(depth=4), changed(batch_size=40)),
    "lite": Case("lite", LITEConfig(), changed(batch_size=40)),
    "lite, masked": Case("lite", LITEConfig(), changed(length="mask"), unequal=True),
    "encoder": Case("encoder", EncoderConfig(filters=[16, 24, 32]), changed(lr=1e-4, plateau_patience=0)),
    "mlstm_fcn": Case("mlstm_fcn", MLSTMFCNConfig(), changed(initialiser="he_uniform", cells=(8,), batch_size=40)),
    "malstm_fcn": Case("malstm_fcn", MLSTMFCNConfig(), changed(initialiser="he_uniform", cells=(8,))),
    "malstm_fcn, no shuffle": Case("malstm_fcn", MLSTMFCNConfig(shuffle=False), changed(cells=(4,))),
}


def start(case: Case, n_timepoints: int, n_classes: int, cells: int) -> list[float]:
    """Return, of each initial kernel, its first value, its last value and the exact sum of all values' sizes."""
    network = registry.build(case.model, case.config, 1, n_timepoints, n_classes, cells)
    stream = int(np.random.SeedSequence(SEED).generate_state(4)[0])
    initialisers.initialise(network, case.settings.initialiser, torch.Generator().manual_seed(stream))
    kernels = [kernel.detach().flatten().tolist() for kernel in network.parameters() if kernel.ndim > 1]
    return [number for k in kernels for number in (k[0], k[-1], math.fsum(map(abs, k)))]


def shortened(x: Float64) -> Float64:
    """Return x (n_cases, 1, n_timepoints) with NaN at the ends but for one value or more, and at some timepoints 1."""
    x = x.copy()
    for i, series in enumerate(x[:, 0]):
        length = len(series) - i % 23
        series[length:] = np.nan
        if i % 3 == 0 and length > 2:
            series[1] = np.nan
    return x


def measure(case: Case, precision: str) -> Numbers:
    """Train one case and return its numbers: initial weights, the loss of each epoch, the selected weights' scores."""
    dataset = archive.load(DATASET)
    split = splits.resample(dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test, case.resample)
    if case.unequal:
        split = shortened(split[0]), split[1], shortened(split[2]), split[3]
    data = preprocess.prepare(
        *split,
        normalisation=case.settings.normalisation,
        missing=case.settings.missing,
        length=case.settings.length,
        unequal=dataset.unequal or case.unequal,
        fixed_length=case.config.fixed_length(),
    )
    dtype = {"float64": torch.float64, "float32": torch.float32}[precision]
    x, x_test = torch.from_numpy(data.x_train).to(dtype), torch.from_numpy(data.x_test[:N_TEST]).to(dtype)
    y, y_test = torch.from_numpy(data.y_train), torch.from_numpy(data.y_test[:N_TEST])
    masked = case.settings.length == "mask"
    lengths = torch.from_numpy(data.train_lengths) if masked else None
    test_lengths = torch.from_numpy(data.test_lengths[:N_TEST]) if masked else None
    chosen, fits = search.search(case.model, case.config, case.settings, x, y, len(data.classes), SEED, lengths=lengths)
    tested = predict.predict(chosen.load(case.settings.select), x_test, test_lengths)
    return {
        "initial": [number for fit in fits for number in start(case, x.shape[2], len(data.classes), fit.cells)],
        "loss": [loss for fit in fits for loss in fit.curve.loss],
        "lr": [lr for fit in fits for lr in fit.curve.lr],
        "train_cross_entropy": [fit.train_cross_entropy for fit in fits],
        "test_cross_entropy": [predict.cross_entropy(tested, y_test)],
    }


def moved(now: Numbers, then: Numbers, precision: str) -> list[str]:
    """Return a line for each number that is farther from the frozen one than two machines may be."""
    tolerance = (TOLERANCE if now["initial"] == then["initial"] else OTHER_START)[precision]
    lines = []
    for name in sorted(now.keys() | then.keys()):
        new, old = now.get(name, []), then.get(name, [])
        if len(new) != len(old):
            lines.append(f"{name}: {len(new)} numbers, frozen are {len(old)}")
            continue
        for position, (a, b) in enumerate(zip(new, old, strict=True)):
            if not abs(a - b) <= tolerance * abs(b):  # so that NaN has moved, too
                lines.append(f"{name}[{position}]: {a!r}, frozen is {b!r}")
    return lines


def verdict(lines: list[str], meaning: int, frozen_meaning: int) -> str:
    """Return what is wrong and what to do about it, or '' if nothing is.

    lines: the numbers that moved; meaning: that of tsfcn/jobs/plan.py; frozen_meaning: that of golden.json.
    """
    shown = "\n".join(f"  {line}" for line in lines[:20])
    if lines and meaning == frozen_meaning:
        return (
            f"the numbers that training gives have moved, "
            f"and MEANING in tsfcn/jobs/plan.py is still {meaning}:\n{shown}\n"
            "If you did not mean to move them, mend the code. If you did, raise MEANING and run "
            "python -m tests.golden.renew: every older record then counts as not done."
        )
    if meaning != frozen_meaning:
        return (
            f"MEANING in tsfcn/jobs/plan.py is {meaning}, golden.json is of {frozen_meaning}: run "
            "python -m tests.golden.renew, or put MEANING back if no number was to move"
        )
    return ""


def main() -> int:
    """Write golden.json unless numbers moved under the same MEANING. Returns the exit code."""
    torch.set_num_threads(1)
    now = {name: {p: measure(case, p) for p in TOLERANCE} for name, case in CASES.items()}
    if FILE.exists():
        then = json.loads(FILE.read_text())
        lines = [
            f"{name}, {precision}, {line}"
            for name in CASES
            for precision in TOLERANCE
            if name in then["cases"]  # a case that is new has not moved
            for line in moved(now[name][precision], then["cases"][name][precision], precision)
        ]
        if lines and then["meaning"] == MEANING:
            print(verdict(lines, MEANING, then["meaning"]), file=sys.stderr)
            return 1
        if then["meaning"] == MEANING and then["cases"].keys() == now.keys():
            print("no number has moved: golden.json stays as it is")
            return 0
        if then["meaning"] == MEANING:  # what has not moved stays as it is written, to the last digit
            now = {name: then["cases"].get(name, numbers) for name, numbers in now.items()}
    FILE.write_text(json.dumps({"meaning": MEANING, "dataset": DATASET, "seed": SEED, "cases": now}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
