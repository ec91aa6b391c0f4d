"""How many times as fast as the reference loop the fast engine trains series of several channels.

`python benchmarks/channels.py [MODEL ...]` prints Markdown. The cases are those of BasicMotions, (40, 6, 100): with the
first channel only, the first three, all six, or all of them four times. FCN is trained as in fawaz2019, and once more
with all cases in a batch; LSTM-FCN and ALSTM-FCN as in karim2019, with 8 cells. Both engines train in float32 on one
thread, and take turns of an epoch. A step is the median of the processor times of the turns. The quotients are those of
each pair of turns: their median and quartiles.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import replace

import torch
from torch import Tensor

import tsfcn
from tsfcn.config import models
from tsfcn.config import protocol as config
from tsfcn.config.compose import compose
from tsfcn.config.models import FCNConfig
from tsfcn.training.fused.stacked import Training
from tsfcn.training.reference import ReferenceTraining, flush_subnormals

WARM, TURNS = 2, 21
CHANNELS = (1, 3, 6, 24)
CASES = (  # model, protocol, batch
    ("fcn", "fawaz2019", 4),
    ("fcn", "fawaz2019", 40),
    ("lstm_fcn", "karim2019", 40),
    ("alstm_fcn", "karim2019", 40),
)


def basic_motions(n_channels: int) -> tuple[Tensor, Tensor]:
    """Return the training cases with this number of channels, (40, n_channels, 100), and their classes."""
    data = tsfcn.load("BasicMotions")
    classes = sorted(set(data.y_train))
    x = torch.from_numpy(data.x_train).float().repeat(1, 4, 1)[:, :n_channels].contiguous()
    return x, torch.tensor([classes.index(label) for label in data.y_train])


@flush_subnormals()
def steps(model: str, protocol: str, batch: int, n_channels: int) -> tuple[list[float], list[float]]:
    """Return the processor times of a step of the reference loop and of the fast engine, in seconds, turn by turn."""
    shape = models.spec(model).settings()
    assert isinstance(shape, FCNConfig)
    settings = config.settings(compose([f"protocol={protocol}"])[0].protocol, model, shape)
    settings = replace(settings, epochs=WARM + TURNS, batch_size=batch, batch_divisor=0)
    x, y = basic_motions(n_channels)
    cells = 0 if model == "fcn" else 8
    reference = ReferenceTraining(model, shape, settings, x, y, 4, 0, cells=cells)
    fast = Training(model, shape, settings, x, y, 4, [(0, cells)])
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(WARM + TURNS):
        for taken, advance in zip(seconds, (reference.advance, fast.advance), strict=True):
            since = time.process_time()
            advance()
            taken.append((time.process_time() - since) * batch / len(x))
    return seconds[0][WARM:], seconds[1][WARM:]


def main(chosen: list[str]) -> None:
    """Print a row for each network, batch and number of channels."""
    torch.set_num_threads(1)
    print("| network | batch x channels x length | reference, ms | fast, ms | times as fast | quartiles |")
    print("| --- | --- | --- | --- | --- | --- |")
    for model, protocol, batch in CASES:
        for n_channels in CHANNELS if not chosen or model in chosen else ():
            reference, fast = steps(model, protocol, batch, n_channels)
            ratios = [one / other for one, other in zip(reference, fast, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
            row = [model, f"{batch} x {n_channels} x 100"]
            row += [f"{1e3 * statistics.median(taken):.1f}" for taken in (reference, fast)]
            print(f"| {' | '.join([*row, f'{middle:.1f}', f'{low:.1f} to {high:.1f}'])} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
