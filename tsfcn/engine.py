"""The fast way to train what the reference loop (`train.fit`) trains: the same numbers, sooner.

    covers   whether this engine can train a network under these settings
    fit      several trainings of one architecture on the same cases, as one program
    search   all LSTM sizes of a protocol -> the fit with the least training cross-entropy

What it does otherwise than the reference loop, and what stays the same up to rounding:

- Convolutions are matrix products: the timepoints that a kernel sees lie side by side (`unfolded`), channels last.
  Those of the input are laid out once for all epochs.
- Forward and backward passes are written out, so no graph is built; gradients go into one vector a training, and
  the optimiser sees that vector alone.
- Trainings that differ in seed and LSTM size are stacked: every product and every elementwise step is of all of them.
  Smaller LSTMs are filled up with cells whose weights are zero and stay so.
- With precision 'bfloat16' the operands of the convolutions' products and the activations are bfloat16; sums, batch
  statistics, weights, optimiser, LSTM, softmax and loss are float32.
- A bias before batch norm is taken off again by the batch's mean. Its gradient is zero but for rounding, which Adam
  would turn into steps; here it stays at its initial zero.

Initial weights, orders and masks come from the same generators, in the same order, as in the reference loop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn import models, train
from tsfcn.checkpoint import Checkpoint, State
from tsfcn.config import FCNConfig, LSTMFCNConfig, ModelConfig, Settings, fast_trains
from tsfcn.train import Curve, Diverged, Fit, Plateau, Weights

aten = torch.ops.aten
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


def covers(config: ModelConfig, settings: Settings, n_channels: int, n_timepoints: int) -> bool:
    """Return whether `fit` trains this: what config.fast_trains says, on one channel and more than one timepoint."""
    return fast_trains(config, settings) and n_channels == 1 and n_timepoints > 1


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
            found |= {f"conv{i}": (k * n_in, n_out), f"scale{i}": (n_out,), f"shift{i}": (n_out,)}
        if self.cells:
            found["lstm"] = (self.n_timepoints, 4 * self.cells)
            found |= {"context": (self.n_timepoints, 4 * self.cells)} if self.attention else {}
            found["lstm_bias"] = (4 * self.cells,)
        found |= {"head": (self.cells + self.filters[-1], self.n_classes), "head_bias": (self.n_classes,)}
        return found


class Stack:
    """Weights, gradients and batch statistics of several trainings, and their way into networks and back."""

    def __init__(self, shape: Shape, networks: Sequence[nn.Module], dtype: torch.dtype, device: torch.device) -> None:
        self.shape, self.n = shape, len(networks)
        sizes = {name: math.prod(part) for name, part in shape.parts().items()}
        self.weights = torch.zeros(self.n, sum(sizes.values()), dtype=dtype, device=device)
        self.rounded = self.weights.bfloat16()
        self.gradients = torch.zeros_like(self.weights)
        self.part, self.gradient = self._views(self.weights), self._views(self.gradients)
        self.rounded_part = self._views(self.rounded)
        blocks = range(len(shape.kernels))
        self.mean = [torch.zeros(self.n, shape.filters[i + 1], dtype=dtype, device=device) for i in blocks]
        self.variance = [torch.ones_like(mean) for mean in self.mean]
        self.others: list[Weights] = []  # what is not trained: attention scores, counts, biases before batch norm
        for i, network in enumerate(networks):
            self.others.append(train.snapshot(network))
            self.read(i, network.state_dict())

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        found, start = {}, 0
        for name, part in self.shape.parts().items():
            found[name] = flat[:, start : start + math.prod(part)].view(self.n, *part)
            start += math.prod(part)
        return found

    def _pairs(self, i: int, weights: Weights) -> list[tuple[Tensor, Tensor]]:
        """Return (ours, the network's) of everything that is trained or a statistic, of the same shape each."""
        shape, found = self.shape, []
        for b, (n_in, n_out, k) in enumerate(zip(shape.filters, shape.filters[1:], shape.kernels, strict=False)):
            name = f"blocks.{b}"
            found += [
                (self.part[f"conv{b}"][i].view(k, n_in, n_out), weights[f"{name}.conv.weight"].permute(2, 1, 0)),
                (self.part[f"scale{b}"][i], weights[f"{name}.norm.weight"]),
                (self.part[f"shift{b}"][i], weights[f"{name}.norm.bias"]),
                (self.mean[b][i], weights[f"{name}.norm.running_mean"]),
                (self.variance[b][i], weights[f"{name}.norm.running_var"]),
            ]
        cells = 0
        if shape.cells:
            cells = weights["lstm.recurrent"].shape[0]
            for ours, theirs in (("lstm", "kernel"), ("lstm_bias", "bias"), ("context", "context")):
                if ours in self.part:
                    whole, own = self.part[ours][i], weights[f"lstm.{theirs}"]
                    gates = whole.view(*whole.shape[:-1], 4, shape.cells)[..., :cells]
                    found.append((gates, own.view(*own.shape[:-1], 4, cells)))
            found.append((self.part["head"][i][:cells], weights["head.weight"][:, :cells].T))
        found.append((self.part["head"][i][shape.cells :], weights["head.weight"][:, cells:].T))
        return [*found, (self.part["head_bias"][i], weights["head.bias"])]

    def kernels(self, dtype: torch.dtype) -> list[Tensor]:
        """Return the blocks' kernels, (n, kernel * c_in, c_out): the first as it is, others in bfloat16 if asked."""
        parts = self.part
        if dtype == torch.bfloat16:
            self.rounded.copy_(self.weights)
            parts = self.rounded_part
        return [self.part["conv0"], *(parts[f"conv{b}"] for b in range(1, len(self.shape.kernels)))]

    def read(self, i: int, weights: Weights) -> None:
        """Take the weights of training i from those of a network."""
        for ours, theirs in self._pairs(i, weights):
            ours.copy_(theirs)

    def write(self, i: int, steps: int) -> Weights:
        """Return the weights of training i as those of a network that has taken so many steps."""
        weights = {name: value.clone() for name, value in self.others[i].items()}
        for ours, theirs in self._pairs(i, weights):
            theirs.copy_(ours)
        for name, value in weights.items():
            if name.endswith("num_batches_tracked"):
                value.fill_(steps)
        return weights

    def state(self) -> dict[str, object]:
        """Return what changes while training."""
        return {"weights": self.weights, "mean": self.mean, "variance": self.variance}

    def load(self, state: State) -> None:
        """Take up such a state."""
        self.weights.copy_(state["weights"])
        for ours, theirs in zip([*self.mean, *self.variance], [*state["mean"], *state["variance"]], strict=True):
            ours.copy_(theirs)


# ---------------------------------------------------------------------------------------------------------------------
# One step


def unfolded(padded: Tensor, kernel: int, out: Tensor) -> Tensor:
    """Lay the timepoints that a kernel sees side by side. (n, t + kernel - 1, c) -> (n, t, kernel * c), into out."""
    n, length, c = padded.shape
    return out.copy_(padded.as_strided((n, length - kernel + 1, kernel * c), (length * c, c, 1)))


class Step:
    """Forward and backward pass of a batch of one size, with the room that they need.

    dtype: of activations and of the operands of products; the stack's own is that of everything else.
    """

    def __init__(self, stack: Stack, config: FCNConfig, n_cases: int, dtype: torch.dtype) -> None:
        shape = stack.shape
        self.stack, self.config, self.n_cases, self.dtype = stack, config, n_cases, dtype
        self.momentum, self.eps = 1 - config.bn_momentum, config.bn_eps
        rows, length, device = stack.n * n_cases, shape.n_timepoints, stack.weights.device

        # Of every block but the first: its input between zeros, the same unfolded, and the gradients of its output,
        # between zeros again, and of its input.
        self.inputs, self.seen, self.slopes, self.back = [], [], [], []
        for n_in, n_out, k in list(zip(shape.filters, shape.filters[1:], shape.kernels, strict=False))[1:]:
            self.inputs.append(torch.zeros(rows, length + k - 1, n_in, dtype=dtype, device=device))
            self.seen.append(torch.zeros(rows, length, k * n_in, dtype=dtype, device=device))
            self.slopes.append(torch.zeros(rows, length + k - 1, n_out, dtype=dtype, device=device))
            self.back.append(torch.zeros(stack.n, n_cases * (length + k - 1) + k - 1, n_in, dtype=dtype, device=device))

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the matrix product of each training. (n, r, k) x (n, k, m) -> (n, r, m)."""
        return torch.mm(a[0], b[0]).unsqueeze(0) if self.stack.n == 1 else torch.bmm(a, b)

    def __call__(self, seen: Tensor, x: Tensor, y: Tensor, weight: Tensor | None, masks: Tensor | None) -> Tensor:
        """Fill the stack's gradients and return the loss of each case, (n, n_cases).

        seen: the input unfolded, (n, n_cases, t, kernel); x: the series (n, n_cases, t), for an LSTM; y: int64
        (n, n_cases); weight: of the cases' losses, likewise; masks: of the LSTM's outputs (n, n_cases, cells),
        scaled, or None.
        """
        stack, shape = self.stack, self.stack.shape
        n, cases, length = stack.n, self.n_cases, shape.n_timepoints
        kernels = stack.kernels(self.dtype)
        last = len(shape.kernels) - 1
        operand = seen.reshape(n, cases * length, -1)
        operands, convolved, statistics = [], [], []
        normal = operand  # of the block before, normalised
        for b in range(last + 1):
            if b > 0:
                left = models.same_padding(shape.kernels[b])[0]
                inside = self.inputs[b - 1][:, left : left + length]
                torch.clamp_min(normal.view(n * cases, length, -1), 0, out=inside)
                unfolded(self.inputs[b - 1], shape.kernels[b], self.seen[b - 1])
                operand = self.seen[b - 1].view(n, cases * length, -1)
            y_b = self.product(operand, kernels[b]).to(self.dtype)
            normal, found = self.normalised(b, y_b)
            operands.append(operand)
            convolved.append(y_b)
            statistics.append(found)
        out = torch.relu_(normal)
        features = out.view(n, cases, length, -1).mean(2, dtype=stack.weights.dtype)  # (n, n_cases, filters)
        branch = None
        if shape.cells:
            branch = self.lstm(x)
            hidden = branch[0] if masks is None else branch[0] * masks
            features = torch.cat([hidden, features], dim=2)
        logits = torch.baddbmm(stack.part["head_bias"].unsqueeze(1), features, stack.part["head"])
        logs = torch.log_softmax(logits, dim=2)
        losses = -logs.gather(2, y.unsqueeze(2)).squeeze(2)
        slope = logs.exp_()
        slope.scatter_add_(2, y.unsqueeze(2), torch.full_like(slope[:, :, :1], -1))
        if weight is not None:
            losses = losses * weight
            slope *= weight.unsqueeze(2)
        slope /= cases

        # The way back.
        gradient = stack.gradient
        torch.bmm(features.transpose(1, 2), slope, out=gradient["head"])
        torch.sum(slope, dim=1, out=gradient["head_bias"])
        slope = torch.bmm(slope, stack.part["head"].transpose(1, 2))
        if branch is not None:
            self.lstm_back(x, branch, slope[:, :, : shape.cells] * (1 if masks is None else masks))
            slope = slope[:, :, shape.cells :]
        slope = (slope / length).to(self.dtype).unsqueeze(2).expand(n, cases, length, -1).reshape(n, cases * length, -1)
        slope = aten.threshold_backward(slope, out, 0)
        for b in range(last, -1, -1):
            slope = self.normalised_back(b, slope, convolved[b], statistics[b])
            operand = operands[b].to(self.dtype)
            gradient[f"conv{b}"].copy_(self.product(operand.transpose(1, 2), slope))
            if b > 0:
                left = models.same_padding(shape.kernels[b])[0]
                inside = self.inputs[b - 1][:, left : left + length]
                inside = inside.unflatten(0, (n, cases))
                slope = aten.threshold_backward(self.sent_back(b, slope, kernels[b]), inside, 0)
                slope = slope.reshape(n, cases * length, -1)
        return losses

    def sent_back(self, b: int, slope: Tensor, kernel: Tensor) -> Tensor:
        """Return the gradient of a block's input, (n, n_cases, t, c_in), from that of its convolution.

        Every tap sends the gradients back to where it saw its input. The cases lie end to end with zeros between them,
        so that what leaves a case falls into the zeros around it.
        """
        shape, n = self.stack.shape, self.stack.n
        k, n_in, length = shape.kernels[b], shape.filters[b], shape.n_timepoints
        self.slopes[b - 1][:, :length].copy_(slope.view(n * self.n_cases, length, -1))
        flat, back = self.slopes[b - 1].view(n, self.n_cases * (length + k - 1), -1), self.back[b - 1].zero_()
        taps = kernel.view(n, k, n_in, -1).transpose(2, 3)
        rows = flat.shape[1]
        for tap in range(k):
            for i in range(n):
                back[i, tap : tap + rows].addmm_(flat[i], taps[i, tap])
        left = models.same_padding(k)[0]
        cases: Tensor = back[:, :rows].unflatten(1, (self.n_cases, -1))
        return cases[:, :, left : left + length]

    def normalised(self, b: int, y: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Return batch norm of each training over its rows, (n, r, c), and what the way back needs."""
        stack, parts, found = self.stack, [], []
        for i in range(stack.n):
            part = (
                y[i],
                stack.part[f"scale{b}"][i],
                stack.part[f"shift{b}"][i],
                stack.mean[b][i],
                stack.variance[b][i],
            )
            out, mean, inverse = torch.native_batch_norm(*part, True, self.momentum, self.eps)
            parts.append(out)
            found.append((mean, inverse))
        return parts[0].unsqueeze(0) if stack.n == 1 else torch.stack(parts), found

    def normalised_back(self, b: int, slope: Tensor, y: Tensor, found: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Return the gradient before batch norm from that behind it, (n, r, c), and keep those of its weights."""
        stack, parts = self.stack, []
        for i, (mean, inverse) in enumerate(found):
            part = (stack.part[f"scale{b}"][i], stack.mean[b][i], stack.variance[b][i], mean, inverse)
            before, scale, shift = aten.native_batch_norm_backward(slope[i], y[i], *part, True, self.eps, [True] * 3)
            stack.gradient[f"scale{b}"][i].copy_(scale)
            stack.gradient[f"shift{b}"][i].copy_(shift)
            parts.append(before)
        return parts[0].unsqueeze(0) if stack.n == 1 else torch.stack(parts)

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
    kept: dict[str, Weights]
    best_epoch: dict[str, int]
    least: dict[str, float]
    curve: Curve


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
        plateau = Plateau(
            settings.lr,
            settings.plateau_factor,
            settings.plateau_patience,
            settings.plateau_min_lr,
            settings.plateau_min_delta,
        )
        runs.append(Run(seed, cells, order, masks, plateau, {}, {}, {"least_train_loss": math.inf}, Curve([], [])))
    shape = Shape(
        filters=(x.shape[1], *config.filters),
        kernels=tuple(config.kernels),
        n_classes=n_classes,
        cells=max(run.cells for run in runs),
        n_timepoints=x.shape[2],
        attention=model == "alstm_fcn",
    )
    stack = Stack(shape, networks, own, x.device)
    rows = [row.requires_grad_(False) for row in stack.weights]
    for row, gradient in zip(rows, stack.gradients, strict=True):
        row.grad = gradient
    optimizer = torch.optim.Adam(
        [{"params": [row], "lr": settings.lr} for row in rows], betas=settings.betas, eps=settings.eps, fused=True
    )
    weights = train.class_weights(y, n_classes, settings.class_weights)
    case_weights = None if weights is None else weights.to(own)[y]
    padding = models.same_padding(config.kernels[0])
    series = F.pad(x[:, 0], padding)  # (n_cases, t + kernel - 1)
    seen = series.unfold(1, config.kernels[0], 1).contiguous()  # (n_cases, t, kernel)
    batch = settings.batch(len(x))
    dtype = DTYPES[precision]
    steps = {size: Step(stack, config, size, dtype) for size in {min(batch, len(x)), len(x) % batch} - {0}}
    dropout = config.dropout if isinstance(config, LSTMFCNConfig) else 0.0

    first, n_steps = 1, 0
    if begin is not None:
        stack.load(begin["stack"])
        optimizer.load_state_dict(begin["optimizer"])
        for run, then in zip(runs, begin["runs"], strict=True):
            run.order.set_state(then["order"])
            run.masks.set_state(then["masks"])
            run.plateau.lr, run.plateau.best, run.plateau.waited = then["plateau"]
            run.kept, run.best_epoch, run.least = dict(then["kept"]), dict(then["best_epoch"]), dict(then["least"])
            run.curve = Curve(**then["curve"])
        first, n_steps = begin["epoch"] + 1, begin["steps"]

    def state() -> State:
        return {
            "stack": stack.state(),
            "optimizer": optimizer.state_dict(),
            "steps": n_steps,
            "epoch": len(runs[0].curve.loss),
            "runs": [
                {
                    "order": run.order.get_state(),
                    "masks": run.masks.get_state(),
                    "plateau": (run.plateau.lr, run.plateau.best, run.plateau.waited),
                    "kept": run.kept,
                    "best_epoch": run.best_epoch,
                    "least": run.least,
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
            kept = torch.rand((n_cases, run.cells), generator=run.masks, dtype=own) >= dropout
            masks[i, :, : run.cells] = kept / (1 - dropout)
        return masks.to(x.device)

    for epoch in range(first, settings.epochs + 1):
        orders = torch.stack([torch.randperm(len(x), generator=run.order) for run in runs]).to(x.device)
        total = torch.zeros(len(runs), dtype=torch.float64, device=x.device)
        for index in orders.split(batch, dim=1):
            weight = None if case_weights is None else case_weights[index]
            branch = x[index, 0] if shape.cells else x
            losses = steps[index.shape[1]](seen[index], branch, y[index], weight, drawn(index.shape[1]))
            optimizer.step()
            total += losses.double().sum(dim=1)
            n_steps += 1
        for i, (run, loss) in enumerate(zip(runs, (total / len(x)).tolist(), strict=True)):
            if not math.isfinite(loss):
                raise Diverged(f"training loss is {loss} in epoch {epoch}: try a smaller protocol.lr")
            run.curve.loss.append(loss)
            run.curve.lr.append(run.plateau.lr)
            if loss < run.least["least_train_loss"]:
                run.least["least_train_loss"], run.best_epoch["least_train_loss"] = loss, epoch
                run.kept["least_train_loss"] = stack.write(i, n_steps)
            optimizer.param_groups[i]["lr"] = run.plateau.step(loss)
        if progress is not None:
            progress(epoch, settings.epochs, float(np.mean([run.curve.loss[-1] for run in runs])))
        if ended is not None and epoch < settings.epochs:
            ended(state)

    fits = []
    for i, (run, network) in enumerate(zip(runs, networks, strict=True)):
        run.kept["last"], run.best_epoch["last"] = stack.write(i, n_steps), settings.epochs
        done = Fit(network, run.kept, run.best_epoch, run.curve, run.cells, math.nan)
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
    """Train every LSTM size that is asked for as one stack; returns and chooses as `train.search` does.

    progress counts the epochs of the stack.
    """
    assert isinstance(config, FCNConfig)
    trainings = [(seed, cells) for cells in settings.cells or (0,)]
    fits = fit(
        *(model, config, settings, x, y, n_classes, trainings),
        precision=precision,
        progress=progress,
        begin=None if checkpoint is None else checkpoint.begin,
        ended=None if checkpoint is None else checkpoint.epoch_ended,
    )
    return min(fits, key=lambda done: done.train_cross_entropy), fits
