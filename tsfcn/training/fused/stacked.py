"""The fast engine: it trains what the reference loop (`reference.fit`) trains, with the same numbers, in less time.

    fit      several trainings of one architecture on the same cases, as one program
    search   all LSTM sizes of a protocol -> the fit with the least training cross-entropy

It trains the networks and protocols of `protocol.fast_trains`, on series of any number of channels and more than one
timepoint. It differs from the reference loop as follows, and agrees with it up to rounding:

- Convolutions are matrix products: what a kernel sees at a timepoint is one row, with the channels last.
- Forward and backward passes are written out, so no graph is built; backend.py lists their operations. All memory that
  a step needs is allocated once.
- Trainings that differ in seed and LSTM size are stacked: one program does the steps of all of them. Smaller LSTMs are
  filled up with cells whose weights are zero and stay zero.
- With precision 'bfloat16' the operands of the products of the convolutions and the activations are bfloat16; sums,
  batch statistics, weights, optimiser, the first convolution, LSTM, softmax and loss are float32.
- A bias before batch norm has no effect, since the mean of the batch is subtracted. Its gradient is zero except for
  rounding errors, which Adam would turn into steps; here it stays at its initial zero.

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

from tsfcn.common import global_random
from tsfcn.common.errors import UserError
from tsfcn.config.models import FCNConfig, LSTMFCNConfig, ModelConfig
from tsfcn.config.protocol import Settings
from tsfcn.models import initialisers, layers, registry
from tsfcn.training import loop, reference
from tsfcn.training import search as size_search
from tsfcn.training.checkpoint import SavedState, State
from tsfcn.training.fused import build, c_backend, torch_backend
from tsfcn.training.fused.backend import DTYPES, AdamOptions, Backend, Block, Head, Schedule
from tsfcn.training.fused.lstm import LSTM
from tsfcn.training.loop import Curve, Fit, Start, Weights

STACK_ROWS = 500  # cases times timepoints of a batch, above which stacked LSTM sizes are no faster on a CPU


# ---------------------------------------------------------------------------------------------------------------------
# The stack: the weights of all trainings, one row each


@dataclass(frozen=True)
class Shape:
    """The sizes of a network."""

    filters: tuple[int, ...]  # channels of the input, then of each block
    kernels: tuple[int, ...]
    n_classes: int
    cells: int  # of the largest LSTM; 0: no LSTM
    n_timepoints: int
    attention: bool

    def parts(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each part of the vector of weights, by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (n_in, n_out, k) in enumerate(zip(self.filters, self.filters[1:], self.kernels, strict=False)):
            shapes |= {f"conv{i}": (n_out, k * n_in), f"scale{i}": (n_out,), f"shift{i}": (n_out,)}
        shapes |= {f"lstm.{name}": part for name, part in self.lstm_parts().items()}
        shapes |= {"head": (self.cells + self.filters[-1], self.n_classes), "head_bias": (self.n_classes,)}
        return shapes

    def lstm_parts(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter of the LSTM that has an effect, by its name; without an LSTM none."""
        features, cells = self.n_timepoints, self.cells
        if not cells:
            return {}
        shapes: dict[str, tuple[int, ...]] = {"kernel": (features, 4 * cells)}
        shapes |= {"context": (features, 4 * cells)} if self.attention else {}
        shapes["bias"] = (4 * cells,)
        if self.filters[0] > 1:  # a step for each channel; over a single one the others have no effect
            shapes["recurrent"] = (cells, 4 * cells)
            if self.attention:
                shapes |= {"score_x": (features, cells), "score_h": (cells, cells)}
                shapes |= {"score_bias": (cells,), "score": (cells,)}
        return shapes


class Stack:
    """Weights, gradients, moments and batch statistics of several trainings, copied from networks and back to them.

    Args:
        shape: The sizes, with those of the largest LSTM.
        networks: The networks with their initial weights, one per training.
        dtype: The dtype of all values.
        device: The device of all values.
    """

    def __init__(self, shape: Shape, networks: Sequence[nn.Module], dtype: torch.dtype, device: torch.device) -> None:
        self.shape, self.n = shape, len(networks)
        self.steps = torch.zeros(1, dtype=torch.int64, device=device)  # done so far
        sizes = {name: math.prod(part) for name, part in shape.parts().items()}
        self.weights = torch.zeros(self.n, sum(sizes.values()), dtype=dtype, device=device)
        self.gradients = torch.zeros_like(self.weights)
        self.exp_avg, self.exp_avg_sq = torch.zeros_like(self.weights), torch.zeros_like(self.weights)  # Adam's moments
        self.part, self.gradient = self._views(self.weights), self._views(self.gradients)
        blocks = range(len(shape.kernels))
        self.mean = [torch.zeros(self.n, shape.filters[i + 1], dtype=dtype, device=device) for i in blocks]
        self.variance = [torch.ones_like(mean) for mean in self.mean]
        self.untrained: list[Weights] = []  # attention scores, counts, biases before batch norm; and initial values
        for i, network in enumerate(networks):
            weights = reference.snapshot(network)
            self.untrained.append(weights)
            for here, in_network in self._pairs([value[i] for value in self.values()], weights):
                here.copy_(in_network)

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        views, start = {}, 0
        for name, part in self.shape.parts().items():
            views[name] = flat[:, start : start + math.prod(part)].view(len(flat), *part)
            start += math.prod(part)
        return views

    def values(self) -> list[Tensor]:
        """Return the values of the networks, each (n, ...): weights as vectors, running means, running variances."""
        return [self.weights, *self.mean, *self.variance]

    def _pairs(self, values: list[Tensor], weights: Weights) -> list[tuple[Tensor, Tensor]]:
        """Return pairs of equal shape, (here, in the network), of all trained parameters and all statistics."""
        shape, pairs = self.shape, []
        part = {name: view[0] for name, view in self._views(values[0].unsqueeze(0)).items()}
        blocks = len(shape.kernels)
        for b, (n_in, n_out, k) in enumerate(zip(shape.filters, shape.filters[1:], shape.kernels, strict=False)):
            name = f"blocks.{b}"
            pairs += [
                (part[f"conv{b}"].view(n_out, k, n_in), weights[f"{name}.conv.weight"].transpose(1, 2)),
                (part[f"scale{b}"], weights[f"{name}.norm.weight"]),
                (part[f"shift{b}"], weights[f"{name}.norm.bias"]),
                (values[1 + b], weights[f"{name}.norm.running_mean"]),
                (values[1 + blocks + b], weights[f"{name}.norm.running_var"]),
            ]
        cells = 0
        if shape.cells:
            cells = weights["lstm.recurrent"].shape[0]
            for name in shape.lstm_parts():
                padded, value = part[f"lstm.{name}"], weights[f"lstm.{name}"]
                n_gates = 1 if name.startswith("score") else 4
                here = padded.view(*padded.shape[:-1], n_gates, shape.cells)[..., :cells]
                in_network = value.view(*value.shape[:-1], n_gates, cells)
                pairs.append((here[: len(in_network)], in_network))  # the rows of `recurrent` are cells too
            pairs.append((part["head"][:cells], weights["head.weight"][:, :cells].T))
        pairs.append((part["head"][shape.cells :], weights["head.weight"][:, cells:].T))
        return [*pairs, (part["head_bias"], weights["head.bias"])]

    def state_dict(self, i: int, values: list[Tensor], steps: int) -> Weights:
        """Return the state dict of a network.

        Args:
            i: The training.
            values: What `values` returns, of this training.
            steps: The number of steps done, for the counts of batch norm.
        """
        weights = {name: value.clone() for name, value in self.untrained[i].items()}
        for here, in_network in self._pairs(values, weights):
            in_network.copy_(here)
        for name, value in weights.items():
            if name.endswith("num_batches_tracked"):
                value.fill_(steps)
        return weights

    def state(self) -> State:
        """Return the tensors that change in training."""
        return {
            "weights": self.weights,
            "moments": (self.exp_avg, self.exp_avg_sq),
            "steps": self.steps,
            "mean": self.mean,
            "variance": self.variance,
        }

    def load(self, state: State) -> None:
        """Restore a state that `state` has returned."""
        tensors = [self.weights, self.steps, self.exp_avg, self.exp_avg_sq, *self.mean, *self.variance]
        stored = [state["weights"], state["steps"], *state["moments"], *state["mean"], *state["variance"]]
        for tensor, value in zip(tensors, stored, strict=True):
            tensor.copy_(value)


# ---------------------------------------------------------------------------------------------------------------------
# One step


@dataclass(frozen=True)
class Cases:
    """The cases that a stack is trained on."""

    x: Tensor  # (n_cases, n_channels, t)
    series: Tensor  # x, padded for the first kernel, the channels of a timepoint side by side: (n_cases, rows * c)
    y: Tensor  # int64
    weights: Tensor | None  # of the losses of the cases


class Step:
    """Forward and backward pass of a batch of one size, with the memory that they need.

    Args:
        stack: The trainings.
        config: The settings of the network.
        cases: All cases.
        n_cases: The cases of a batch.
        dtype: The dtype of activations and of the operands of products, except in the first block; everything else has
            the dtype of the stack.
        backend: Creates the operations.
        total: float64 (n,), to which the losses are added.
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
        shape, n, stack_dtype = stack.shape, stack.n, stack.weights.dtype
        self.stack, self.cases, self.backend = stack, cases, backend

        def zeros(*sizes: int, dtype: torch.dtype = stack_dtype) -> Tensor:
            return torch.zeros(sizes, dtype=dtype, device=stack.weights.device)

        padded = zeros(n, n_cases, shape.n_timepoints + shape.kernels[0] - 1, shape.filters[0])
        self.series = padded  # the cases of a batch
        self.index = torch.zeros(n, n_cases, dtype=torch.int64, device=stack.weights.device)
        blocks: list[Block] = []
        for b, kernel in enumerate(shape.kernels):
            n_in, n_out, y_dtype = shape.filters[b], shape.filters[b + 1], stack_dtype if b == 0 else dtype
            rows = shape.n_timepoints + kernel - 1
            blocks.append(
                Block(
                    length=shape.n_timepoints,
                    kernel=kernel,
                    left=layers.same_padding(kernel)[0],
                    padded=padded if b == 0 else None,
                    weights=stack.part[f"conv{b}"],
                    grad_weight=stack.gradient[f"conv{b}"],
                    y=zeros(n, n_cases, rows, n_out, dtype=y_dtype),
                    grad_input=zeros(n, n_cases, rows, n_in, dtype=y_dtype) if b > 0 else None,
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
        pooled, grad_pooled = zeros(n, n_cases, shape.filters[-1]), zeros(n, n_cases, shape.filters[-1])
        self.forward = [backend.forward(block, before) for block, before in zip(blocks, befores, strict=False)]
        self.forward.append(backend.pool(last, pooled))
        self.backward = [
            backend.backward(block, before, after, grad_pooled if block is last else None)
            for block, before, after in zip(blocks, befores, afters, strict=False)
        ][::-1]
        self.pooled, self.grad_pooled, self.features, self.grad_features = pooled, grad_pooled, pooled, grad_pooled
        part, gradient = stack.part, stack.gradient
        if isinstance(config, LSTMFCNConfig):
            names = shape.lstm_parts()
            weights, gradients = ({name: parts[f"lstm.{name}"] for name in names} for parts in (part, gradient))
            self.lstm = LSTM(weights, gradients, config.gates, shape.attention)
            self.features, self.grad_features = (zeros(n, n_cases, shape.cells + shape.filters[-1]) for _ in range(2))
        self.loss = backend.loss(
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

        order: the numbers of the cases, int64 (n, n_cases); masks: the dropout masks of the LSTM's outputs, scaled,
        (n, n_cases, cells), or None.
        """
        self.backend.take_batch(order, self.cases.series, self.index, self.series, self.stack.steps)
        for operation in self.forward:
            operation()
        cells = self.stack.shape.cells
        if not cells:
            self.loss()
        else:
            hidden = self.lstm.forward(self.cases.x[self.index].transpose(1, 2).contiguous())
            self.features[:, :, :cells] = hidden if masks is None else hidden * masks
            self.features[:, :, cells:] = self.pooled
            self.loss()
            grad_hidden = self.grad_features[:, :, :cells]
            self.lstm.backward(grad_hidden if masks is None else grad_hidden * masks)
            self.grad_pooled.copy_(self.grad_features[:, :, cells:])
        for operation in self.backward:
            operation()


# ---------------------------------------------------------------------------------------------------------------------
# Training


GRAPH_STEPS = 64  # a CUDA graph holds one epoch, or several with at most this number of steps
READ_SECONDS = 0.25  # between two reads of losses from a GPU
STAGED_BYTES = 2**25  # of the orders and masks that are uploaded between two reads


@dataclass
class RandomStreams:
    """The generators of one training of the stack: one for the orders of cases and one for dropout masks."""

    cells: int
    order: torch.Generator
    masks: torch.Generator


class Epochs:
    """Some epochs of a stack as one sequence of operations on memory that stays in place.

    `fill` draws what the sequence reads: orders, int64 (n_epochs, n, n_cases), the order of the cases in each epoch,
    and masks, (n_epochs, n, n_cases, cells), the scaled dropout masks of the LSTM outputs in this order, or None.
    On a GPU the sequence is captured as a CUDA graph at first use, and replayed afterwards.

    Args:
        stack: The trainings.
        config: The settings of the network.
        cases: All cases.
        batch: The size of a batch.
        dtype: As for `Step`.
        backend: Creates the operations.
        options: The options of Adam.
        schedule: What the end of an epoch reads and writes.
        n_epochs: The epochs of the sequence.
    """

    def __init__(
        self,
        stack: Stack,
        config: FCNConfig,
        cases: Cases,
        batch: int,
        dtype: torch.dtype,
        backend: Backend,
        options: AdamOptions,
        schedule: Schedule,
        n_epochs: int,
    ) -> None:
        n_cases, device, mask_dtype = len(cases.x), stack.weights.device, stack.weights.dtype
        self.stack, self.backend, self.schedule, self.batch, self.n_epochs = stack, backend, schedule, batch, n_epochs
        sizes = {min(batch, n_cases), n_cases % batch} - {0}
        self.steps = {size: Step(stack, config, cases, size, dtype, backend, schedule.total) for size in sizes}
        self.adam = backend.adam(stack.weights, stack.exp_avg, stack.exp_avg_sq, stack.gradients, options)
        self.end_epoch = backend.end_epoch(schedule)
        self.orders = torch.zeros(n_epochs, stack.n, n_cases, dtype=torch.int64, device=device)
        self.dropout = config.dropout if isinstance(config, LSTMFCNConfig) and stack.shape.cells else 0.0
        self.masks: Tensor | None = None
        if self.dropout > 0:
            self.masks = torch.zeros(n_epochs, stack.n, n_cases, stack.shape.cells, dtype=mask_dtype, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.staged: list[tuple[Tensor, Tensor | None]] = []  # pinned memory, from which a GPU copies without the CPU

    @property
    def n_staged(self) -> int:
        """How many times the sequence may be enqueued before the first of them must have ended."""
        size = self.orders.nbytes + (0 if self.masks is None else self.masks.nbytes)
        return max(1, STAGED_BYTES // size)

    def fill(self, streams: Sequence[RandomStreams], slot: int) -> None:
        """Draw the orders and masks of the next epochs. slot: below n_staged, the pinned memory that is used."""
        orders, masks = self.orders, self.masks
        if self.orders.is_cuda:
            while len(self.staged) <= slot:
                memory = [
                    torch.zeros(t.shape, dtype=t.dtype, pin_memory=True) for t in (orders, masks) if t is not None
                ]
                self.staged.append((memory[0], memory[1] if len(memory) > 1 else None))
            orders, masks = self.staged[slot]
        for epoch in range(self.n_epochs):
            for i, stream in enumerate(streams):
                torch.randperm(orders.shape[2], generator=stream.order, out=orders[epoch, i])
                if masks is not None:
                    for part in masks[epoch, i].split(self.batch):
                        uniform = torch.rand((len(part), stream.cells), generator=stream.masks, dtype=part.dtype)
                        part[:, : stream.cells] = (uniform >= self.dropout) / (1 - self.dropout)
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
        """Train the epochs whose orders and masks `fill` has drawn. On a GPU this only enqueues them."""
        if not self.orders.is_cuda:
            self._run()
            return
        if self.graph is None:
            self.graph = self.capture()
        self.graph.replay()

    def capture(self) -> torch.cuda.CUDAGraph:
        """Return the sequence as a CUDA graph, with all tensors as before."""
        # CAPTURE_LOCK: the first thread compiles kernels that the others use too.
        # global_random.LOCK: other threads cannot draw from the global generator of the GPU meanwhile.
        with CAPTURE_LOCK, global_random.LOCK:
            changed = [self.stack.steps, self.stack.exp_avg, self.stack.exp_avg_sq, *self.schedule.tensors().values()]
            changed += [each for pair in self.schedule.snapshots for each in pair]
            values_before = [each.clone() for each in changed]
            size = {order.shape[1]: order for order in self.orders[0].split(self.batch, dim=1)}
            for n_cases, order in size.items():  # compiles kernels and creates the handles and workspaces of libraries
                masks = None if self.masks is None else self.masks[0, :, :n_cases]
                self.steps[n_cases](order, masks)
                self.adam()
            self.end_epoch()
            for each, value in zip(changed, values_before, strict=True):
                each.copy_(value)
            self.backend.refresh()
            torch.cuda.current_stream().synchronize()
            graph = torch.cuda.CUDAGraph()
            graph.capture_begin(capture_error_mode="thread_local")  # other threads continue meanwhile
            try:
                self._run()
            finally:
                graph.capture_end()
        return graph


CAPTURE_LOCK = threading.Lock()


def epochs_at_once(n_epochs: int, steps: int) -> int:
    """Return the largest divisor d of n_epochs such that d epochs of `steps` steps have at most GRAPH_STEPS, or 1."""
    return max((e for e in range(1, GRAPH_STEPS // steps + 1) if n_epochs % e == 0), default=1)


class Training:
    """Several trainings of one architecture on the same cases, as one program. The arguments are those of `fit`."""

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
        start: Start | None = None,
        resume_from: State | None = None,
    ) -> None:
        stack_dtype = torch.float64 if precision == "float64" else torch.float32
        self.settings, self.x, self.y, self.device = settings, x.to(stack_dtype), y, x.device
        self.streams: list[RandomStreams] = []
        self.networks: list[nn.Module] = []
        for seed, cells in trainings:
            init, order, masks, _ = reference.random_streams(seed, 0 if start is None else start.round)
            network = registry.build(model, config, x.shape[1], x.shape[2], n_classes, cells)
            initialisers.initialise(network, settings.initialiser, init)
            if start is not None:
                reference.load_start(network, start.weights)
                fold_biases(network)
            self.networks.append(network.to(dtype=stack_dtype, device=self.device))
            self.streams.append(RandomStreams(cells, order, masks))
        shape = Shape(
            filters=(x.shape[1], *config.filters),
            kernels=tuple(config.kernels),
            n_classes=n_classes,
            cells=max(stream.cells for stream in self.streams),
            n_timepoints=x.shape[2],
            attention=model == "alstm_fcn",
        )
        self.stack = Stack(shape, self.networks, stack_dtype, self.device)
        self.schedule = initial_schedule(settings, self.stack, len(x))
        self.epochs_done = 0  # epochs that have ended
        self.runs_at_once = 1  # how often the sequence of epochs is run between two reads of losses
        if resume_from is not None:
            self.load(resume_from)
        batch = settings.batch(len(x))
        self.steps_per_epoch = math.ceil(len(x) / batch)
        weights = reference.class_weights(y, n_classes, settings.class_weights)
        cases = Cases(
            x=self.x,
            series=F.pad(self.x, layers.same_padding(config.kernels[0])).transpose(1, 2).flatten(1),
            y=y.long().contiguous(),
            weights=None if weights is None else weights.to(stack_dtype)[y],
        )
        backend, dtype = best_backend(self.stack.weights, precision, shape), DTYPES[precision]
        backend.refresh()
        options = AdamOptions(self.schedule.lr, self.stack.steps, settings.betas, settings.eps)
        at_once = 1
        if self.device.type == "cuda":
            at_once = epochs_at_once(settings.epochs - self.epochs_done, self.steps_per_epoch)
        self.epochs = Epochs(self.stack, config, cases, batch, dtype, backend, options, self.schedule, at_once)

    @property
    def is_finished(self) -> bool:
        """Whether all epochs have ended."""
        return self.epochs_done >= self.n_epochs

    def state(self) -> State:
        """Return the state from which the training can be resumed with the same bits."""
        return {
            "stack": self.stack.state(),
            "epoch": self.epochs_done,
            "schedule": self.schedule.tensors(),
            "kept": [snapshot for _, snapshot in self.schedule.snapshots],
            "draws": [(stream.order.get_state(), stream.masks.get_state()) for stream in self.streams],
        }

    def load(self, state: State) -> None:
        """Resume from a state that `state` has returned."""
        self.stack.load(state["stack"])
        for name, each in self.schedule.tensors().items():
            each.copy_(state["schedule"][name])
        for (_, snapshot), stored in zip(self.schedule.snapshots, state["kept"], strict=True):
            snapshot.copy_(stored)
        for stream, (order, masks) in zip(self.streams, state["draws"], strict=True):
            stream.order.set_state(order)
            stream.masks.set_state(masks)
        self.epochs_done = int(state["epoch"])

    @property
    def n_epochs(self) -> int:
        """The number of epochs in all."""
        return self.settings.epochs

    def advance(self) -> float:
        """Train some epochs and return the mean loss of the last one. Raises Diverged.

        On a CPU this is one epoch. On a GPU, which works asynchronously and is waited for at the end, these are the
        epochs that take about READ_SECONDS.
        """
        started, epochs = time.monotonic(), self.epochs
        n_runs = min(self.runs_at_once, (self.n_epochs - self.epochs_done) // epochs.n_epochs)
        loss = self.run(n_runs)
        if self.device.type == "cuda":
            factor = READ_SECONDS / max(time.monotonic() - started, 1e-6)
            self.runs_at_once = max(1, min(round(n_runs * factor), 2 * n_runs, epochs.n_staged))
        return loss

    def run(self, n_runs: int) -> float:
        """Run the sequence of epochs n_runs times (at most epochs.n_staged) and return the mean loss of the last epoch.

        Raises Diverged when a loss is not finite.
        """
        for slot in range(n_runs):
            self.epochs.fill(self.streams, slot)
            self.epochs.run()
        losses: list[list[float]] = self.schedule.losses[self.epochs_done :][: n_runs * self.epochs.n_epochs].tolist()
        for epoch in losses:
            self.epochs_done += 1
            for loss in epoch:
                loop.check_finite(loss, self.epochs_done)
        return float(np.mean(losses[-1]))

    def fits(self) -> list[Fit]:
        """Return the fits after the last epoch. Raises Diverged if predictions are not finite."""
        fits = []
        losses, rates = self.schedule.losses.T.tolist(), self.schedule.rates.T.tolist()
        for i, (stream, network) in enumerate(zip(self.streams, self.networks, strict=True)):
            best_epoch = {"least_train_loss": int(self.schedule.best_epoch[i]), "last": self.settings.epochs}
            parts = {
                "least_train_loss": [snapshot[i] for _, snapshot in self.schedule.snapshots],
                "last": [values[i] for values, _ in self.schedule.snapshots],
            }
            weights = {
                name: self.stack.state_dict(i, part, self.steps_per_epoch * best_epoch[name])
                for name, part in parts.items()
            }
            least = {"least_train_loss": float(self.schedule.least[i])}
            fit = Fit(network, weights, best_epoch, Curve(losses[i], rates[i]), stream.cells, math.nan, least)
            fits.append(reference.with_train_cross_entropy(fit, self.x, self.y, None))
        return fits


@torch.no_grad()
def fold_biases(network: nn.Module) -> None:
    """Move the biases before batch norm, which the reference loop trains, into the running means: the same function."""
    for block in network.blocks:  # type: ignore[union-attr]
        block.norm.running_mean -= block.conv.bias
        block.conv.bias.zero_()


def best_backend(weights: Tensor, precision: str = "float32", shape: Shape | None = None) -> Backend:
    """Return the fastest backend for a stack: CBackend or CudaBackend where they support it, else TorchBackend.

    Args:
        weights: The weights of the stack, (n, count).
        precision: A name of backend.DTYPES.
        shape: The sizes of the networks.

    Raises:
        UserError: No backend supports this precision.
    """
    if weights.device.type == "cpu":
        library = build.library()
        return torch_backend.TorchBackend() if library is None else c_backend.CBackend(library)
    if weights.device.type == "cuda" and shape is not None:
        from tsfcn.training.fused import cuda_backend

        if cuda_backend.supports(shape, precision):
            return cuda_backend.CudaBackend(weights, DTYPES[precision])
        if precision == "tf32":
            raise UserError(
                "engine.precision=tf32 needs filters of 16, 32, 64, 128, 256 or 512, and a first kernel of at most "
                f"{cuda_backend.MAX_TAPS} values, timepoints times channels: leave it out"
            )
    return torch_backend.TorchBackend()


def initial_schedule(settings: Settings, stack: Stack, n_cases: int) -> Schedule:
    """Return the schedule of a stack before its first epoch."""
    n, device = stack.n, stack.weights.device

    def full(value: float, *sizes: int) -> Tensor:
        return torch.full(sizes or (n,), value, dtype=torch.float64, device=device)

    def zero_counts(*sizes: int) -> Tensor:
        return torch.zeros(sizes or (n,), dtype=torch.int64, device=device)

    return Schedule(
        n_cases=n_cases,
        factor=settings.plateau_factor,
        patience=settings.plateau_patience,
        min_lr=settings.plateau_min_lr,
        min_delta=settings.plateau_min_delta,
        epoch=zero_counts(1),
        total=full(0),
        lr=full(settings.lr),
        plateau_best=full(math.inf),
        waited=zero_counts(),
        least=full(math.inf),
        best_epoch=zero_counts(),
        better=zero_counts(),
        losses=full(math.nan, settings.epochs, n),
        rates=full(math.nan, settings.epochs, n),
        snapshots=[(value, torch.zeros_like(value)) for value in stack.values()],
    )


@reference.flush_subnormals()
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
    start: Start | None = None,
    progress: loop.Progress | None = None,
    resume_from: State | None = None,
    on_epoch_end: loop.OnEpochEnd | None = None,
) -> list[Fit]:
    """Train a network for each (seed, cells) of `trainings`, all at once, and return their fits in this order.

    No cases are held out and no test set is used here: protocols that select by them need the reference loop. On a GPU,
    losses are read, and `progress` and `on_epoch_end` called, about every READ_SECONDS instead of after every epoch.

    Args:
        model: The name of a registered model.
        config: The model's settings.
        settings: The protocol, resolved for this model.
        x: float (n_cases, n_channels, n_timepoints), float64 if the precision is float64.
        y: int64 (n_cases,), on the same device.
        n_classes: The number of classes.
        trainings: The seed and the LSTM size of each training; the size is 0 for networks without an LSTM.
        precision: A name of backend.DTYPES.
        start: The weights that all trainings start from; None: random ones.
        progress: Called with the epochs done, the epochs in all and the mean loss of the trainings.
        resume_from: A state that `on_epoch_end` got; the training resumes with the same bits.
        on_epoch_end: Called with a function that returns the state, but not after the last epoch.

    Raises:
        Diverged: The loss of a training, or what its selected weights predict, is not finite.
        UserError: No backend supports this precision, or `start` is of another network.
    """
    with side_stream(x.device):
        training = Training(model, config, settings, x, y, n_classes, trainings, precision, start, resume_from)
        loop.train_epochs(training, progress, on_epoch_end)
        return training.fits()


@contextlib.contextmanager
def side_stream(device: torch.device) -> Iterator[None]:
    """Make a GPU work in a stream other than its default one, which cannot be captured."""
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
    start: Start | None = None,
    progress: loop.Progress | None = None,
    checkpoint: SavedState | None = None,
) -> tuple[Fit, list[Fit]]:
    """Train every LSTM size of the settings, and return the best fit and all fits, as `search.search` does.

    The sizes are trained as one stack on a GPU, or if steps are small; then `progress` counts the epochs of the stack.
    Otherwise they are trained one after another.

    Args:
        model: The name of a registered model.
        config: The model's settings, those of an FCN or LSTM-FCN.
        settings: The protocol, resolved for this model; `settings.cells` are the sizes.
        x: float (n_cases, n_channels, n_timepoints).
        y: int64 (n_cases,), on the same device.
        n_classes: The number of classes.
        seed: All random numbers follow from it.
        precision: A name of backend.DTYPES.
        start: The weights that all sizes start from; None: random ones.
        progress: Called with the epochs done, the epochs in all and the loss.
        checkpoint: The state to resume from, and where new states are written.

    Raises:
        Diverged: The loss, or what the selected weights predict, is not finite.
        Stopped: The checkpoint asked the training to stop.
        UserError: No backend supports this precision.
    """
    assert isinstance(config, FCNConfig)
    arguments = (model, config, settings, x, y, n_classes)

    def fit_size(*_: object, cells: int, lengths: None, oracle: None, **options: Any) -> Fit:
        return fit(*arguments, [(seed, cells)], precision=precision, start=start, **options)[0]

    large = x.device.type == "cpu" and min(settings.batch(len(x)), len(x)) * x.shape[2] > STACK_ROWS
    if len(settings.cells) < 2 or large:
        return size_search.search(*arguments, seed, progress=progress, checkpoint=checkpoint, fit_size=fit_size)
    fits = fit(
        *arguments,
        [(seed, cells) for cells in settings.cells],
        precision=precision,
        start=start,
        progress=progress,
        resume_from=None if checkpoint is None else checkpoint.resume_state,
        on_epoch_end=None if checkpoint is None else checkpoint.on_epoch_end,
    )
    return size_search.best_fit(fits), fits
