"""The fast way to train what the reference loop (`reference.fit`) trains: the same numbers, sooner.

    fit      several trainings of one architecture on the same cases, as one program
    search   all LSTM sizes of a protocol -> the fit with the least training cross-entropy

It trains what protocol.fast_trains says, on series of one channel and more than one timepoint. What it does otherwise
than the reference loop, and what stays the same up to rounding:

- Convolutions are matrix products: the timepoints that a kernel sees lie side by side, channels last.
- Forward and backward passes are written out, so no graph is built; of what they consist is in backend.py. All that a
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

import contextlib
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.common.errors import UserError
from tsfcn.config.models import FCNConfig, LSTMFCNConfig, ModelConfig
from tsfcn.config.protocol import Settings
from tsfcn.models import initialisers, layers, recurrent, registry
from tsfcn.training import loop, reference
from tsfcn.training import search as size_search
from tsfcn.training.checkpoint import Checkpoint, State
from tsfcn.training.fused import build, c_backend, torch_backend
from tsfcn.training.fused.backend import DTYPES, Backend, Block, Head, Rule, Schedule
from tsfcn.training.loop import Curve, Fit, Weights

STACK_ROWS = 500  # cases times timepoints of a batch: above, on a CPU, LSTM sizes are no faster at once than one by one


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
        self.shape, self.n = shape, len(networks)
        self.steps = torch.zeros(1, dtype=torch.int64, device=device)  # taken so far
        sizes = {name: math.prod(part) for name, part in shape.parts().items()}
        self.weights = torch.zeros(self.n, sum(sizes.values()), dtype=dtype, device=device)
        self.gradients = torch.zeros_like(self.weights)
        self.exp_avg, self.exp_avg_sq = torch.zeros_like(self.weights), torch.zeros_like(self.weights)  # Adam's moments
        self.part, self.gradient = self._views(self.weights), self._views(self.gradients)
        blocks = range(len(shape.kernels))
        self.mean = [torch.zeros(self.n, shape.filters[i + 1], dtype=dtype, device=device) for i in blocks]
        self.variance = [torch.ones_like(mean) for mean in self.mean]
        self.others: list[Weights] = []  # what is not trained: attention scores, counts, biases before batch norm
        for i, network in enumerate(networks):
            weights = reference.snapshot(network)
            self.others.append(weights)
            for ours, theirs in self._pairs([value[i] for value in self.values()], weights):
                ours.copy_(theirs)

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        found, start = {}, 0
        for name, part in self.shape.parts().items():
            found[name] = flat[:, start : start + math.prod(part)].view(len(flat), *part)
            start += math.prod(part)
        return found

    def values(self) -> list[Tensor]:
        """Return what trainings are made of, each (n, ...): weights as vectors, running means, running variances."""
        return [self.weights, *self.mean, *self.variance]

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
            "moments": (self.exp_avg, self.exp_avg_sq),
            "steps": self.steps,
            "mean": self.mean,
            "variance": self.variance,
        }

    def load(self, state: State) -> None:
        """Take up such a state."""
        ours = [self.weights, self.steps, self.exp_avg, self.exp_avg_sq, *self.mean, *self.variance]
        theirs = [state["weights"], state["steps"], *state["moments"], *state["mean"], *state["variance"]]
        for here, there in zip(ours, theirs, strict=True):
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
        backend: Backend,
        total: Tensor,
    ) -> None:
        shape, n, own = stack.shape, stack.n, stack.weights.dtype
        self.stack, self.config, self.cases, self.backend = stack, config, cases, backend

        def room(*sizes: int, dtype: torch.dtype = own) -> Tensor:
            return torch.zeros(sizes, dtype=dtype, device=stack.weights.device)

        padded = room(n, n_cases, shape.n_timepoints + shape.kernels[0] - 1, shape.filters[0])
        self.series = padded  # of a batch
        self.index = torch.zeros(n, n_cases, dtype=torch.int64, device=stack.weights.device)
        blocks: list[Block] = []
        for b, kernel in enumerate(shape.kernels):
            n_in, n_out, of = shape.filters[b], shape.filters[b + 1], own if b == 0 else dtype
            rows = shape.n_timepoints + kernel - 1
            blocks.append(
                Block(
                    length=shape.n_timepoints,
                    kernel=kernel,
                    left=layers.same_padding(kernel)[0],
                    padded=padded if b == 0 else None,
                    weights=stack.part[f"conv{b}"],
                    grad_weight=stack.gradient[f"conv{b}"],
                    y=room(n, n_cases, rows, n_out, dtype=of),
                    grad_input=room(n, n_cases, rows, n_in, dtype=of) if b > 0 else None,
                    gamma=stack.part[f"scale{b}"],
                    beta=stack.part[f"shift{b}"],
                    grad_gamma=stack.gradient[f"scale{b}"],
                    grad_beta=stack.gradient[f"shift{b}"],
                    running_mean=stack.mean[b],
                    running_var=stack.variance[b],
                    mean=torch.zeros_like(stack.mean[b]),
                    invstd=torch.zeros_like(stack.mean[b]),
                    momentum=1 - config.bn_momentum,
                    eps=config.bn_eps,
                )
            )
        befores, afters, last = [None, *blocks], [*blocks[1:], None], blocks[-1]
        pooled, grad_pooled = room(n, n_cases, shape.filters[-1]), room(n, n_cases, shape.filters[-1])
        self.forward = [backend.forward(block, before) for block, before in zip(blocks, befores, strict=False)]
        self.forward.append(backend.pool(last, pooled))
        self.backward = [
            backend.backward(block, before, after, grad_pooled if block is last else None)
            for block, before, after in zip(blocks, befores, afters, strict=False)
        ][::-1]
        self.pooled, self.grad_pooled, self.features, self.grad_features = pooled, grad_pooled, pooled, grad_pooled
        if shape.cells:
            self.features, self.grad_features = (room(n, n_cases, shape.cells + shape.filters[-1]) for _ in range(2))
        part, gradient = stack.part, stack.gradient
        self.score = backend.score(
            Head(
                features=self.features,
                grad_features=self.grad_features,
                weights=part["head"],
                grad_weight=gradient["head"],
                bias=part["head_bias"],
                grad_bias=gradient["head_bias"],
                total=total,
                y=cases.y,
                case_weights=cases.weights,
                numbers=self.index,
            )
        )

    def __call__(self, order: Tensor, masks: Tensor | None) -> None:
        """Fill the stack's gradients for a batch, and add its losses to the total.

        order: numbers of the cases, int64 (n, n_cases); masks: of the LSTM's outputs (n, n_cases, cells), scaled, or
        None.
        """
        self.backend.take_batch(order, self.cases.series, self.index, self.series, self.stack.steps)
        for operation in self.forward:
            operation()
        cells = self.stack.shape.cells
        if not cells:
            self.score()
        else:
            x = self.cases.x[self.index]
            branch = self.lstm(x)
            self.features[:, :, :cells] = branch[0] if masks is None else branch[0] * masks
            self.features[:, :, cells:] = self.pooled
            self.score()
            grad_hidden = self.grad_features[:, :, :cells]
            self.lstm_back(x, branch, grad_hidden if masks is None else grad_hidden * masks)
            self.grad_pooled.copy_(self.grad_features[:, :, cells:])
        for operation in self.backward:
            operation()

    def lstm(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the LSTM's output after its one step, (n, n_cases, cells), and what the way back needs."""
        stack = self.stack
        projected = torch.baddbmm(stack.part["lstm_bias"].unsqueeze(1), x, stack.part["lstm"])
        if stack.shape.attention:  # over one step its weight is 1
            projected = projected + torch.bmm(x, stack.part["context"])
        i, _, g, o = projected.chunk(4, dim=2)  # the cell state before is zero, so that nothing is forgotten
        gate = recurrent.GATES[self.config.gates] if isinstance(self.config, LSTMFCNConfig) else torch.sigmoid
        new = torch.tanh(g)
        cell = torch.tanh(gate(i) * new)
        return gate(o) * cell, i, o, new, cell

    def lstm_back(self, x: Tensor, branch: tuple[Tensor, ...], slope: Tensor) -> None:
        """Fill the gradients of the LSTM from that of its output (n, n_cases, cells)."""
        _, i, o, new, cell = branch
        hard = isinstance(self.config, LSTMFCNConfig) and self.config.gates == "hard_sigmoid"
        gate = recurrent.GATES["hard_sigmoid" if hard else "sigmoid"]

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


GRAPH_STEPS = 64  # a CUDA graph holds as many epochs as have so many steps, one at least
READ_SECONDS = 0.25  # between two reads of losses from a GPU
STAGED_BYTES = 2**25  # of orders and masks that are uploaded between two reads


@dataclass
class Draws:
    """The random numbers of one training of the stack: orders of cases and dropout masks, each from its own stream."""

    cells: int
    order: torch.Generator
    masks: torch.Generator


class Epochs:
    """Some epochs of a stack as one sequence of operations on memory that stays where it is.

    orders: int64 (n_epochs, n, n_cases), the order of the cases of each epoch; masks: (n_epochs, n, n_cases, cells), of
    the LSTMs' outputs, scaled, in this order, or None. `fill` draws both, the sequence reads them.
    On a GPU the sequence is recorded as a CUDA graph at first use and replayed from then on.
    """

    def __init__(
        self,
        stack: Stack,
        config: FCNConfig,
        cases: Cases,
        batch: int,
        dtype: torch.dtype,
        backend: Backend,
        rule: Rule,
        schedule: Schedule,
        n_epochs: int,
    ) -> None:
        n_cases, device, own = len(cases.x), stack.weights.device, stack.weights.dtype
        self.stack, self.backend, self.schedule, self.batch, self.n_epochs = stack, backend, schedule, batch, n_epochs
        sizes = {min(batch, n_cases), n_cases % batch} - {0}
        self.steps = {size: Step(stack, config, cases, size, dtype, backend, schedule.total) for size in sizes}
        self.adam = backend.adam(stack.weights, stack.exp_avg, stack.exp_avg_sq, stack.gradients, rule)
        self.end_epoch = backend.end_epoch(schedule)
        self.orders = torch.zeros(n_epochs, stack.n, n_cases, dtype=torch.int64, device=device)
        self.dropout = config.dropout if isinstance(config, LSTMFCNConfig) and stack.shape.cells else 0.0
        self.masks: Tensor | None = None
        if self.dropout > 0:
            self.masks = torch.zeros(n_epochs, stack.n, n_cases, stack.shape.cells, dtype=own, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.staged: list[tuple[Tensor, Tensor | None]] = []  # page-locked memory, from which a GPU copies by itself

    @property
    def n_staged(self) -> int:
        """How many times the sequence may be enqueued before it must have run."""
        size = self.orders.nbytes + (0 if self.masks is None else self.masks.nbytes)
        return max(1, STAGED_BYTES // size)

    def fill(self, draws: Sequence[Draws], slot: int) -> None:
        """Draw the orders and masks of the next epochs. slot: below n_staged, where a GPU copies them from."""
        orders, masks = self.orders, self.masks
        if self.orders.is_cuda:
            while len(self.staged) <= slot:
                room = [torch.zeros(t.shape, dtype=t.dtype, pin_memory=True) for t in (orders, masks) if t is not None]
                self.staged.append((room[0], room[1] if len(room) > 1 else None))
            orders, masks = self.staged[slot]
        for epoch in range(self.n_epochs):
            for i, draw in enumerate(draws):
                torch.randperm(orders.shape[2], generator=draw.order, out=orders[epoch, i])
                if masks is not None:
                    for part in masks[epoch, i].split(self.batch):
                        kept = torch.rand((len(part), draw.cells), generator=draw.masks, dtype=part.dtype)
                        part[:, : draw.cells] = (kept >= self.dropout) / (1 - self.dropout)
        if self.orders.is_cuda:
            self.orders.copy_(orders, non_blocking=True)
            if self.masks is not None and masks is not None:
                self.masks.copy_(masks, non_blocking=True)

    def _run(self) -> None:
        for epoch in range(self.n_epochs):
            masks = None if self.masks is None else self.masks[epoch].split(self.batch, dim=1)
            for number, order in enumerate(self.orders[epoch].split(self.batch, dim=1)):
                self.steps[order.shape[1]](order, None if masks is None else masks[number])
                self.adam()
            self.end_epoch()

    def run(self) -> None:
        """Train the epochs that `fill` prepared; on a GPU this only enqueues them."""
        if not self.orders.is_cuda:
            self._run()
            return
        if self.graph is None:
            self.graph = self.recorded()
        self.graph.replay()

    def recorded(self) -> torch.cuda.CUDAGraph:
        """Return the sequence as a CUDA graph; nothing has been trained afterwards."""
        with RECORDING:  # one at a time: the first compiles what the others use too
            changed = [self.stack.steps, self.stack.exp_avg, self.stack.exp_avg_sq, *self.schedule.changing().values()]
            changed += [each for pair in self.schedule.kept for each in pair]
            before = [each.clone() for each in changed]
            size = {order.shape[1]: order for order in self.orders[0].split(self.batch, dim=1)}
            for n_cases, order in size.items():  # compiles kernels, makes the libraries' handles and workspaces
                masks = None if self.masks is None else self.masks[0, :, :n_cases]
                self.steps[n_cases](order, masks)
                self.adam()
            self.end_epoch()
            for each, value in zip(changed, before, strict=True):
                each.copy_(value)
            self.backend.refresh()
            torch.cuda.current_stream().synchronize()
            graph = torch.cuda.CUDAGraph()
            graph.capture_begin(capture_error_mode="thread_local")  # other threads go on meanwhile
            try:
                self._run()
            finally:
                graph.capture_end()
        return graph


RECORDING = threading.Lock()


def epochs_at_once(n_epochs: int, steps: int) -> int:
    """Return the largest divisor of n_epochs so that as many epochs of `steps` each have at most GRAPH_STEPS, or 1."""
    return max((e for e in range(1, GRAPH_STEPS // steps + 1) if n_epochs % e == 0), default=1)


class Training:
    """Several trainings of one architecture on the same cases, as one program. Arguments as for `fit`."""

    def __init__(
        self,
        model: str,
        config: FCNConfig,
        settings: Settings,
        x: Tensor,
        y: Tensor,
        n_classes: int,
        trainings: Sequence[tuple[int, int]],
        precision: str = "float32",
        begin: State | None = None,
    ) -> None:
        own = torch.float64 if precision == "float64" else torch.float32
        self.settings, self.x, self.y, self.device = settings, x.to(own), y, x.device
        self.draws: list[Draws] = []
        self.networks: list[nn.Module] = []
        for seed, cells in trainings:
            seeds = np.random.SeedSequence(seed).generate_state(4)
            init, order, masks = (torch.Generator().manual_seed(int(s)) for s in seeds[:3])
            network = registry.build(model, config, x.shape[1], x.shape[2], n_classes, cells)
            initialisers.initialise(network, settings.initialiser, init)
            self.networks.append(network.to(dtype=own, device=self.device))
            self.draws.append(Draws(cells, order, masks))
        shape = Shape(
            filters=(x.shape[1], *config.filters),
            kernels=tuple(config.kernels),
            n_classes=n_classes,
            cells=max(draw.cells for draw in self.draws),
            n_timepoints=x.shape[2],
            attention=model == "alstm_fcn",
        )
        self.stack = Stack(shape, self.networks, own, self.device)
        self.schedule = first_schedule(settings, self.stack, len(x))
        self.done = 0  # epochs that have ended
        self.runs_at_once = 1  # of the sequence of epochs, between two reads of losses
        if begin is not None:
            self.load(begin)
        batch = settings.batch(len(x))
        self.steps_per_epoch = math.ceil(len(x) / batch)
        weights = reference.class_weights(y, n_classes, settings.class_weights)
        cases = Cases(
            x=self.x[:, 0],
            series=F.pad(self.x[:, 0], layers.same_padding(config.kernels[0])),
            y=y.long().contiguous(),
            weights=None if weights is None else weights.to(own)[y],
        )
        backend, dtype = best_backend(self.stack.weights, precision, shape), DTYPES[precision]
        backend.refresh()
        rule = Rule(self.schedule.lr, self.stack.steps, settings.betas, settings.eps)
        at_once = 1
        if self.device.type == "cuda":
            at_once = epochs_at_once(settings.epochs - self.done, self.steps_per_epoch)
        self.epochs = Epochs(self.stack, config, cases, batch, dtype, backend, rule, self.schedule, at_once)

    def state(self) -> State:
        """Return what the rest of the training follows from."""
        return {
            "stack": self.stack.state(),
            "epoch": self.done,
            "schedule": self.schedule.changing(),
            "kept": [kept for _, kept in self.schedule.kept],
            "draws": [(draw.order.get_state(), draw.masks.get_state()) for draw in self.draws],
        }

    def load(self, state: State) -> None:
        """Take up such a state."""
        self.stack.load(state["stack"])
        for name, each in self.schedule.changing().items():
            each.copy_(state["schedule"][name])
        for (_, kept), before in zip(self.schedule.kept, state["kept"], strict=True):
            kept.copy_(before)
        for draw, (order, masks) in zip(self.draws, state["draws"], strict=True):
            draw.order.set_state(order)
            draw.masks.set_state(masks)
        self.done = int(state["epoch"])

    @property
    def n_epochs(self) -> int:
        """Epochs in all."""
        return self.settings.epochs

    def advance(self) -> float:
        """Train as many epochs as suit the device and return the mean loss of the last. Raises Diverged.

        On a CPU one; on a GPU, which works meanwhile and is waited for in the end, what takes READ_SECONDS or so.
        """
        started, epochs = time.monotonic(), self.epochs
        n_runs = min(self.runs_at_once, (self.n_epochs - self.done) // epochs.n_epochs)
        loss = self.run(n_runs)
        if self.device.type == "cuda":
            share = READ_SECONDS / max(time.monotonic() - started, 1e-6)
            self.runs_at_once = max(1, min(round(n_runs * share), 2 * n_runs, epochs.n_staged))
        return loss

    def run(self, n_runs: int) -> float:
        """Run the sequence of epochs n_runs times (at most epochs.n_staged) and return the mean loss of the last epoch.

        Raises Diverged when a loss is not finite.
        """
        for slot in range(n_runs):
            self.epochs.fill(self.draws, slot)
            self.epochs.run()
        losses: list[list[float]] = self.schedule.losses[self.done :][: n_runs * self.epochs.n_epochs].tolist()
        for epoch in losses:
            self.done += 1
            for loss in epoch:
                loop.check_finite(loss, self.done)
        return float(np.mean(losses[-1]))

    def fits(self) -> list[Fit]:
        """Return the fits, when all epochs have ended. Raises Diverged where predictions are not finite."""
        found = []
        losses, rates = self.schedule.losses.T.tolist(), self.schedule.rates.T.tolist()
        for i, (draw, network) in enumerate(zip(self.draws, self.networks, strict=True)):
            best_epoch = {"least_train_loss": int(self.schedule.best_epoch[i]), "last": self.settings.epochs}
            parts = {
                "least_train_loss": [kept[i] for _, kept in self.schedule.kept],
                "last": [values[i] for values, _ in self.schedule.kept],
            }
            weights = {
                name: self.stack.network(i, part, self.steps_per_epoch * best_epoch[name])
                for name, part in parts.items()
            }
            fit = Fit(network, weights, best_epoch, Curve(losses[i], rates[i]), draw.cells, math.nan)
            found.append(reference.finished(fit, self.x, self.y, None))
        return found


def best_backend(weights: Tensor, precision: str = "float32", shape: Shape | None = None) -> Backend:
    """Return the backend to take for a stack: CBackend, CudaBackend, or TorchBackend where neither is for it.

    weights: of the stack, (n, count); shape: of its networks. Raises UserError where none has this precision.
    """
    if weights.device.type == "cpu":
        library = build.library()
        return torch_backend.TorchBackend() if library is None else c_backend.CBackend(library)
    if weights.device.type == "cuda" and shape is not None:
        from tsfcn.training.fused import cuda_backend

        if cuda_backend.serves(shape, precision):
            return cuda_backend.CudaBackend(weights, DTYPES[precision])
        if precision == "tf32":
            raise UserError("engine.precision=tf32 is for filters of 16, 32, 64, 128, 256 or 512 alone: leave it out")
    return torch_backend.TorchBackend()


def first_schedule(settings: Settings, stack: Stack, n_cases: int) -> Schedule:
    """Return the schedule of a stack before its first epoch."""
    n, device = stack.n, stack.weights.device

    def filled(value: float, *sizes: int) -> Tensor:
        return torch.full(sizes or (n,), value, dtype=torch.float64, device=device)

    def counts(*sizes: int) -> Tensor:
        return torch.zeros(sizes or (n,), dtype=torch.int64, device=device)

    return Schedule(
        n_cases=n_cases,
        factor=settings.plateau_factor,
        patience=settings.plateau_patience,
        min_lr=settings.plateau_min_lr,
        min_delta=settings.plateau_min_delta,
        epoch=counts(1),
        total=filled(0),
        lr=filled(settings.lr),
        plateau_best=filled(math.inf),
        waited=counts(),
        least=filled(math.inf),
        best_epoch=counts(),
        better=counts(),
        losses=filled(math.nan, settings.epochs, n),
        rates=filled(math.nan, settings.epochs, n),
        kept=[(value, torch.zeros_like(value)) for value in stack.values()],
    )


@reference.subnormals_flushed()
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
    progress: loop.Progress | None = None,
    begin: State | None = None,
    ended: loop.Ended | None = None,
) -> list[Fit]:
    """Train a network for each (seed, cells) of `trainings`, all at once, and return what `fit` returns of each.

    x, y, progress, begin and ended are as there; progress tells the mean loss. No cases are held out and no test set
    is looked at here: what selects by them takes the reference loop. precision: a name of backend.DTYPES; float64 is
    for x of that type. On a GPU, losses are read, and progress and ended called, every READ_SECONDS or so instead of
    after every epoch. Raises Diverged when the loss of any of them is not finite.
    """
    with side_stream(x.device):
        training = Training(model, config, settings, x, y, n_classes, trainings, precision, begin)
        loop.train_epochs(training, progress, ended)
        return training.fits()


@contextlib.contextmanager
def side_stream(device: torch.device) -> Iterator[None]:
    """Let a GPU work in a stream other than its default one, which cannot be recorded."""
    if device.type != "cuda" or torch.cuda.current_stream(device) != torch.cuda.default_stream(device):
        yield
        return
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream(device).wait_stream(stream)


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
    progress: loop.Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> tuple[Fit, list[Fit]]:
    """Train every LSTM size that is asked for; returns and chooses as `search.search` does.

    As one stack on a GPU or where steps are small, and progress counts the epochs of the stack; otherwise one after
    another.
    """
    assert isinstance(config, FCNConfig)
    what = (model, config, settings, x, y, n_classes)

    def alone(*_: object, cells: int, lengths: None, oracle: None, **how: Any) -> Fit:
        return fit(*what, [(seed, cells)], precision=precision, **how)[0]

    large = x.device.type == "cpu" and min(settings.batch(len(x)), len(x)) * x.shape[2] > STACK_ROWS
    if len(settings.cells) < 2 or large:
        return size_search.search(*what, seed, progress=progress, checkpoint=checkpoint, by=alone)
    fits = fit(
        *what,
        [(seed, cells) for cells in settings.cells],
        precision=precision,
        progress=progress,
        begin=None if checkpoint is None else checkpoint.begin,
        ended=None if checkpoint is None else checkpoint.epoch_ended,
    )
    return size_search.chosen(fits), fits
