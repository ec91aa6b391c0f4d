"""The fast way to train what the reference loop (`train.fit`) trains: the same numbers, sooner.

    fit      several trainings of one architecture on the same cases, as one program
    search   all LSTM sizes of a protocol -> the fit with the least training cross-entropy

It trains what config.fast_trains says, on series of one channel and more than one timepoint. What it does otherwise
than the reference loop, and what stays the same up to rounding:

- Convolutions are matrix products: the timepoints that a kernel sees lie side by side, channels last.
- Forward and backward passes are written out, so no graph is built; of what they consist is in kernels.py. All that a
  step needs is allocated once.
- Trainings that differ in seed and LSTM size are stacked: one program takes all their steps. Smaller LSTMs are filled
  up with cells whose weights are zero and stay so.
- With precision 'bfloat16' the operands of the convolutions' products and the activations are bfloat16; sums, batch
  statistics, weights, optimiser, the first convolution, LSTM, softmax and loss are float32.
- A bias before batch norm is taken off again by the batch's mean. Its gradient is zero but for rounding, which Adam
  would turn into steps; here it stays at its initial zero.

Initial weights, orders and masks come from the same generators, in the same order, as in the reference loop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn import kernels, models, train
from tsfcn.checkpoint import Checkpoint, State
from tsfcn.config import FCNConfig, LSTMFCNConfig, ModelConfig, Settings
from tsfcn.train import Curve, Diverged, Fit, Plateau, Weights

STACK_ROWS = 500  # cases times timepoints of a batch: above, several LSTM sizes at once are no faster than one by one
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


# ---------------------------------------------------------------------------------------------------------------------
# The stack: weights of all trainings, each one's in a row


@dataclass(frozen=True)
class Shape:
    """The sizes of a network."""

    filters: tuple[int, ...]  # of the input, then of each block
    kernels: tuple[int, ...]
    n_classes: int
    cells: int  # of the largest LSTM; 0: none
    n_timepoints: int
    attention: bool

    def parts(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each part of the vector of weights, by its name."""
        found: dict[str, tuple[int, ...]] = {}
        for i, (n_in, n_out, k) in enumerate(zip(self.filters, self.filters[1:], self.kernels, strict=False)):
            found |= {f"conv{i}": (n_out, k * n_in), f"scale{i}": (n_out,), f"shift{i}": (n_out,)}
        if self.cells:
            found["lstm"] = (self.n_timepoints, 4 * self.cells)
            found |= {"context": (self.n_timepoints, 4 * self.cells)} if self.attention else {}
            found["lstm_bias"] = (4 * self.cells,)
        found |= {"head": (self.cells + self.filters[-1], self.n_classes), "head_bias": (self.n_classes,)}
        return found


class Stack:
    """Weights, gradients, moments and batch statistics of several trainings, and their way into networks and back."""

    def __init__(self, shape: Shape, networks: Sequence[nn.Module], dtype: torch.dtype, device: torch.device) -> None:
        self.shape, self.n, self.steps = shape, len(networks), 0
        sizes = {name: math.prod(part) for name, part in shape.parts().items()}
        self.weights = torch.zeros(self.n, sum(sizes.values()), dtype=dtype, device=device)
        self.gradients = torch.zeros_like(self.weights)
        self.first, self.second = torch.zeros_like(self.weights), torch.zeros_like(self.weights)  # Adam's moments
        self.part, self.gradient = self._views(self.weights), self._views(self.gradients)
        blocks = range(len(shape.kernels))
        self.mean = [torch.zeros(self.n, shape.filters[i + 1], dtype=dtype, device=device) for i in blocks]
        self.variance = [torch.ones_like(mean) for mean in self.mean]
        self.others: list[Weights] = []  # what is not trained: attention scores, counts, biases before batch norm
        for i, network in enumerate(networks):
            weights = train.snapshot(network)
            self.others.append(weights)
            for ours, theirs in self._pairs(self.values(i), weights):
                ours.copy_(theirs)

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        found, start = {}, 0
        for name, part in self.shape.parts().items():
            found[name] = flat[:, start : start + math.prod(part)].view(len(flat), *part)
            start += math.prod(part)
        return found

    def values(self, i: int) -> list[Tensor]:
        """Return what training i is made of: its weights as one vector, running means, running variances."""
        return [self.weights[i], *(mean[i] for mean in self.mean), *(variance[i] for variance in self.variance)]

    def _pairs(self, values: list[Tensor], weights: Weights) -> list[tuple[Tensor, Tensor]]:
        """Return (ours, the network's) of everything that is trained or a statistic, of the same shape each."""
        shape, found = self.shape, []
        part = {name: view[0] for name, view in self._views(values[0].unsqueeze(0)).items()}
        blocks = len(shape.kernels)
        for b, (n_in, n_out, k) in enumerate(zip(shape.filters, shape.filters[1:], shape.kernels, strict=False)):
            name = f"blocks.{b}"
            found += [
                (part[f"conv{b}"].view(n_out, k, n_in), weights[f"{name}.conv.weight"].transpose(1, 2)),
                (part[f"scale{b}"], weights[f"{name}.norm.weight"]),
                (part[f"shift{b}"], weights[f"{name}.norm.bias"]),
                (values[1 + b], weights[f"{name}.norm.running_mean"]),
                (values[1 + blocks + b], weights[f"{name}.norm.running_var"]),
            ]
        cells = 0
        if shape.cells:
            cells = weights["lstm.recurrent"].shape[0]
            for ours, theirs in (("lstm", "kernel"), ("lstm_bias", "bias"), ("context", "context")):
                if ours in part:
                    whole, own = part[ours], weights[f"lstm.{theirs}"]
                    gates = whole.view(*whole.shape[:-1], 4, shape.cells)[..., :cells]
                    found.append((gates, own.view(*own.shape[:-1], 4, cells)))
            found.append((part["head"][:cells], weights["head.weight"][:, :cells].T))
        found.append((part["head"][shape.cells :], weights["head.weight"][:, cells:].T))
        return [*found, (part["head_bias"], weights["head.bias"])]

    def network(self, i: int, values: list[Tensor], steps: int) -> Weights:
        """Return such values of training i as the weights of a network that has taken so many steps."""
        weights = {name: value.clone() for name, value in self.others[i].items()}
        for ours, theirs in self._pairs(values, weights):
            theirs.copy_(ours)
        for name, value in weights.items():
            if name.endswith("num_batches_tracked"):
                value.fill_(steps)
        return weights

    def state(self) -> State:
        """Return what changes while training."""
        return {
            "weights": self.weights,
            "moments": (self.first, self.second),
            "steps": self.steps,
            "mean": self.mean,
            "variance": self.variance,
        }

    def load(self, state: State) -> None:
        """Take up such a state."""
        self.steps = state["steps"]
        ours = [self.weights, self.first, self.second, *self.mean, *self.variance]
        for here, there in zip(
            ours, [state["weights"], *state["moments"], *state["mean"], *state["variance"]], strict=True
        ):
            here.copy_(there)


# ---------------------------------------------------------------------------------------------------------------------
# One step


@dataclass(frozen=True)
class Cases:
    """What a stack is trained on."""

    x: Tensor  # (n_cases, t)
    series: Tensor  # x, padded for the first kernel
    y: Tensor  # int64
    weights: Tensor | None  # of the cases' losses


class Step:
    """Forward and backward pass of a batch of one size, with the room that they need.

    dtype: of activations and of the operands of products, but in the first block; all else is of the stack's. total:
    (n,), float64, to which losses are added.
    """

    def __init__(
        self,
        stack: Stack,
        config: FCNConfig,
        cases: Cases,
        n_cases: int,
        dtype: torch.dtype,
        by: kernels.Torch,
        total: Tensor,
    ) -> None:
        shape, n, own = stack.shape, stack.n, stack.weights.dtype
        self.stack, self.config, self.cases = stack, config, cases

        def room(*sizes: int, dtype: torch.dtype = own) -> Tensor:
            return torch.zeros(sizes, dtype=dtype, device=stack.weights.device)

        padded = room(n, n_cases, shape.n_timepoints + shape.kernels[0] - 1, shape.filters[0])
        self.series = padded.view(n * n_cases, -1)  # of a batch
        blocks: list[kernels.Block] = []
        for b, kernel in enumerate(shape.kernels):
            n_in, n_out, of = shape.filters[b], shape.filters[b + 1], own if b == 0 else dtype
            rows = shape.n_timepoints + kernel - 1
            blocks.append(
                kernels.Block(
                    length=shape.n_timepoints,
                    kernel=kernel,
                    left=models.same_padding(kernel)[0],
                    padded=padded if b == 0 else None,
                    weights=stack.part[f"conv{b}"],
                    of_weights=stack.gradient[f"conv{b}"],
                    y=room(n, n_cases, rows, n_out, dtype=of),
                    back=room(n, n_cases, rows, n_in, dtype=of) if b > 0 else None,
                    scale=stack.part[f"scale{b}"],
                    shift=stack.part[f"shift{b}"],
                    of_scale=stack.gradient[f"scale{b}"],
                    of_shift=stack.gradient[f"shift{b}"],
                    running_mean=stack.mean[b],
                    running_variance=stack.variance[b],
                    mean=torch.zeros_like(stack.mean[b]),
                    inverse=torch.zeros_like(stack.mean[b]),
                    momentum=1 - config.bn_momentum,
                    eps=config.bn_eps,
                )
            )
        befores, afters, last = [None, *blocks], [*blocks[1:], None], blocks[-1]
        pooled, of_pooled = room(n, n_cases, shape.filters[-1]), room(n, n_cases, shape.filters[-1])
        self.forward = [by.forward(block, before) for block, before in zip(blocks, befores, strict=False)]
        self.forward.append(by.pool(last, pooled))
        self.backward = [
            by.backward(block, before, after, of_pooled if block is last else None)
            for block, before, after in zip(blocks, befores, afters, strict=False)
        ][::-1]
        self.pooled, self.of_pooled, self.features, self.of_features = pooled, of_pooled, pooled, of_pooled
        if shape.cells:
            self.features, self.of_features = (room(n, n_cases, shape.cells + shape.filters[-1]) for _ in range(2))
        part, gradient = stack.part, stack.gradient
        self.score = by.score(
            kernels.Head(
                features=self.features,
                of_features=self.of_features,
                weights=part["head"],
                of_weights=gradient["head"],
                bias=part["head_bias"],
                of_bias=gradient["head_bias"],
                total=total,
                y=cases.y,
                case_weights=cases.weights,
            )
        )

    def __call__(self, index: Tensor, masks: Tensor | None) -> None:
        """Fill the stack's gradients for a batch, and add its losses to the total.

        index: numbers of the cases, int64 (n, n_cases), contiguous; masks: of the LSTM's outputs (n, n_cases, cells),
        scaled, or None.
        """
        torch.index_select(self.cases.series, 0, index.view(-1), out=self.series)
        for operation in self.forward:
            operation()
        cells = self.stack.shape.cells
        if not cells:
            self.score(index)
        else:
            x = self.cases.x[index]
            branch = self.lstm(x)
            self.features[:, :, :cells] = branch[0] if masks is None else branch[0] * masks
            self.features[:, :, cells:] = self.pooled
            self.score(index)
            of_hidden = self.of_features[:, :, :cells]
            self.lstm_back(x, branch, of_hidden if masks is None else of_hidden * masks)
            self.of_pooled.copy_(self.of_features[:, :, cells:])
        for operation in self.backward:
            operation()

    def lstm(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the LSTM's output after its one step, (n, n_cases, cells), and what the way back needs."""
        stack = self.stack
        projected = torch.baddbmm(stack.part["lstm_bias"].unsqueeze(1), x, stack.part["lstm"])
        if stack.shape.attention:  # over one step its weight is 1
            projected = projected + torch.bmm(x, stack.part["context"])
        i, _, g, o = projected.chunk(4, dim=2)  # the cell state before is zero, so that nothing is forgotten
        gate = models.GATES[self.config.gates] if isinstance(self.config, LSTMFCNConfig) else torch.sigmoid
        new = torch.tanh(g)
        cell = torch.tanh(gate(i) * new)
        return gate(o) * cell, i, o, new, cell

    def lstm_back(self, x: Tensor, branch: tuple[Tensor, ...], slope: Tensor) -> None:
        """Fill the gradients of the LSTM from that of its output (n, n_cases, cells)."""
        _, i, o, new, cell = branch
        hard = isinstance(self.config, LSTMFCNConfig) and self.config.gates == "hard_sigmoid"
        gate = models.GATES["hard_sigmoid" if hard else "sigmoid"]

        def gate_slope(v: Tensor) -> Tensor:
            if hard:
                linear = 0.2 * v + 0.5
                return 0.2 * ((linear >= 0) & (linear <= 1))
            s = torch.sigmoid(v)
            return s * (1 - s)

        slope_cell = slope * gate(o) * (1 - cell * cell)
        slope_i = slope_cell * new * gate_slope(i)
        slope_g = slope_cell * gate(i) * (1 - new * new)
        slope_o = slope * cell * gate_slope(o)
        projected = torch.cat([slope_i, torch.zeros_like(slope_i), slope_g, slope_o], dim=2)
        gradient = self.stack.gradient
        torch.bmm(x.transpose(1, 2), projected, out=gradient["lstm"])
        torch.sum(projected, dim=1, out=gradient["lstm_bias"])
        if self.stack.shape.attention:
            gradient["context"].copy_(gradient["lstm"])


# ---------------------------------------------------------------------------------------------------------------------
# Training


@dataclass
class Run:
    """One training of the stack: what is its own."""

    seed: int
    cells: int
    order: torch.Generator
    masks: torch.Generator
    plateau: Plateau
    kept: list[Tensor]  # the values of the epoch with the least training loss, as Stack.values
    curve: Curve
    least: float = math.inf
    best_epoch: int = 0
    steps: int = 0  # taken until the end of that epoch


@train.subnormals_flushed()
def fit(
    model: str,
    config: FCNConfig,
    settings: Settings,
    x: Tensor,
    y: Tensor,
    n_classes: int,
    trainings: Sequence[tuple[int, int]],
    *,
    precision: str = "float32",
    progress: train.Progress | None = None,
    begin: State | None = None,
    ended: train.Ended | None = None,
) -> list[Fit]:
    """Train a network for each (seed, cells) of `trainings`, all at once, and return what `train.fit` returns of each.

    x, y, progress, begin and ended are as there; progress tells the mean loss. No cases are held out and no test set
    is looked at here: what selects by them takes the reference loop. precision: a name of DTYPES; float64 is for x of
    that type. Raises Diverged when the loss of any of them is not finite.
    """
    own = torch.float64 if precision == "float64" else torch.float32
    x = x.to(own)
    runs, networks = [], []
    for seed, cells in trainings:
        seeds = np.random.SeedSequence(seed).generate_state(4)
        init, order, masks = (torch.Generator().manual_seed(int(s)) for s in seeds[:3])
        network = models.build(model, config, x.shape[1], x.shape[2], n_classes, cells)
        models.initialise(network, settings.initialiser, init)
        networks.append(network.to(dtype=own, device=x.device))
        runs.append(Run(seed, cells, order, masks, Plateau.of(settings), [], Curve([], [])))
    shape = Shape(
        filters=(x.shape[1], *config.filters),
        kernels=tuple(config.kernels),
        n_classes=n_classes,
        cells=max(run.cells for run in runs),
        n_timepoints=x.shape[2],
        attention=model == "alstm_fcn",
    )
    dtype, by = DTYPES[precision], kernels.best(x.device)
    stack = Stack(shape, networks, own, x.device)
    for i, run in enumerate(runs):
        run.kept = [torch.zeros_like(value) for value in stack.values(i)]
    weights = train.class_weights(y, n_classes, settings.class_weights)
    cases = Cases(
        x=x[:, 0],
        series=F.pad(x[:, 0], models.same_padding(config.kernels[0])),
        y=y.long().contiguous(),
        weights=None if weights is None else weights.to(own)[y],
    )
    batch, total = settings.batch(len(x)), torch.zeros(len(runs), dtype=torch.float64, device=x.device)
    sizes = {min(batch, len(x)), len(x) % batch} - {0}
    steps = {size: Step(stack, config, cases, size, dtype, by, total) for size in sizes}
    adam = by.adam(stack.weights, stack.first, stack.second, stack.gradients)
    dropout = config.dropout if isinstance(config, LSTMFCNConfig) else 0.0

    first = 1
    if begin is not None:
        stack.load(begin["stack"])
        for run, then in zip(runs, begin["runs"], strict=True):
            run.order.set_state(then["order"])
            run.masks.set_state(then["masks"])
            run.plateau.lr, run.plateau.best, run.plateau.waited = then["plateau"]
            run.kept = then["kept"]
            run.least, run.best_epoch, run.steps = then["best"]
            run.curve = Curve(**then["curve"])
        first = begin["epoch"] + 1

    def state() -> State:
        return {
            "stack": stack.state(),
            "epoch": len(runs[0].curve.loss),
            "runs": [
                {
                    "order": run.order.get_state(),
                    "masks": run.masks.get_state(),
                    "plateau": (run.plateau.lr, run.plateau.best, run.plateau.waited),
                    "kept": run.kept,
                    "best": (run.least, run.best_epoch, run.steps),
                    "curve": asdict(run.curve),
                }
                for run in runs
            ],
        }

    def drawn(n_cases: int) -> Tensor | None:
        """Return the masks of the LSTMs' outputs, (n, n_cases, cells), scaled; None without dropout."""
        if dropout == 0 or not shape.cells:
            return None
        masks = torch.zeros(len(runs), n_cases, shape.cells, dtype=own)
        for i, run in enumerate(runs):
            left = torch.rand((n_cases, run.cells), generator=run.masks, dtype=own) >= dropout
            masks[i, :, : run.cells] = left / (1 - dropout)
        return masks.to(x.device)

    for epoch in range(first, settings.epochs + 1):
        orders = torch.stack([torch.randperm(len(x), generator=run.order) for run in runs]).to(x.device)
        total.zero_()
        rates = [run.plateau.lr for run in runs]
        for index in orders.split(batch, dim=1):
            steps[index.shape[1]](index.contiguous(), drawn(index.shape[1]))
            stack.steps += 1
            adam(kernels.Rule(rates, settings.betas, stack.steps, settings.eps))
        for i, (run, loss) in enumerate(zip(runs, (total / len(x)).tolist(), strict=True)):
            if not math.isfinite(loss):
                raise Diverged(f"training loss is {loss} in epoch {epoch}: try a smaller protocol.lr")
            run.curve.loss.append(loss)
            run.curve.lr.append(run.plateau.lr)
            if loss < run.least:
                run.least, run.best_epoch, run.steps = loss, epoch, stack.steps
                for best, value in zip(run.kept, stack.values(i), strict=True):
                    best.copy_(value)
            run.plateau.step(loss)
        if progress is not None:
            progress(epoch, settings.epochs, float(np.mean([run.curve.loss[-1] for run in runs])))
        if ended is not None and epoch < settings.epochs:
            ended(state)

    fits = []
    for i, (run, network) in enumerate(zip(runs, networks, strict=True)):
        kept = {
            "least_train_loss": stack.network(i, run.kept, run.steps),
            "last": stack.network(i, stack.values(i), stack.steps),
        }
        best_epoch = {"least_train_loss": run.best_epoch, "last": settings.epochs}
        done = Fit(network, kept, best_epoch, run.curve, run.cells, math.nan)
        fits.append(train.finished(done, x, y, None))
    return fits


def search(
    model: str,
    config: ModelConfig,
    settings: Settings,
    x: Tensor,
    y: Tensor,
    n_classes: int,
    seed: int,
    *,
    precision: str = "float32",
    progress: train.Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> tuple[Fit, list[Fit]]:
    """Train every LSTM size that is asked for; returns and chooses as `train.search` does.

    As one stack where steps are small, and progress counts the epochs of the stack; otherwise one after another.
    """
    assert isinstance(config, FCNConfig)
    what = (model, config, settings, x, y, n_classes)

    def alone(*_: object, cells: int, lengths: None, oracle: None, **how: Any) -> Fit:
        return fit(*what, [(seed, cells)], precision=precision, **how)[0]

    if len(settings.cells) < 2 or min(settings.batch(len(x)), len(x)) * x.shape[2] > STACK_ROWS:
        return train.search(*what, seed, progress=progress, checkpoint=checkpoint, by=alone)
    fits = fit(
        *what,
        [(seed, cells) for cells in settings.cells],
        precision=precision,
        progress=progress,
        begin=None if checkpoint is None else checkpoint.begin,
        ended=None if checkpoint is None else checkpoint.epoch_ended,
    )
    return train.chosen(fits), fits
