"""What an epoch of the fast engine consists of: by torch for any device, in C for a processor, in Triton for a GPU.

    take_batch a batch's cases, gathered by their numbers
    forward    a convolution, of a series or of what batch norm and ReLU make of the convolution before
    pool       the mean over time of what batch norm and ReLU make of the last one
    score      features -> the loss, and its gradients as far as the features
    backward   the gradients of a block, from the way back through its batch norm and ReLU to its input
    adam       a step of the optimiser
    end_epoch  the loss of an epoch, the weights to keep by it, and the next learning rate

All but the first return an operation on memory that stays where it is, to be done step after step. None of `Torch` and
`cuda.Cuda` reads a tensor on the host, so that an epoch can be recorded once and replayed (a CUDA graph). `Native` has
them in C (kernels.c and what it includes, which native.py compiles), cuda.py as Triton kernels; `Torch` does the same
by torch's own operations, up to rounding.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Operation = Callable[[], None]
DTYPES = {  # of activations and of the operands of products, by precision
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "tf32": torch.float32,
}


class Block(NamedTuple):
    """A block of n trainings: convolution without bias, batch norm, ReLU; and what it leaves of a batch.

    Each case has length + kernel - 1 rows: in the input, which is padded, in y and in their gradients. What batch norm
    and ReLU make of y is not kept.
    """

    length: int  # timepoints
    kernel: int
    left: int  # rows of padding before a case's own
    padded: Tensor | None  # (n, n_cases, rows, c_in): the input, zero outside a case; None: made of the block before
    weights: Tensor  # (n, c_out, kernel * c_in)
    of_weights: Tensor  # gradient
    y: Tensor  # of the convolution, (n, n_cases, rows, c_out); the first `length` rows count
    back: Tensor | None  # gradient of the input, (n, n_cases, rows, c_in), likewise; None: of no use
    scale: Tensor  # of batch norm, (n, c_out), as all that follows
    shift: Tensor
    of_scale: Tensor
    of_shift: Tensor
    running_mean: Tensor
    running_variance: Tensor
    mean: Tensor  # of the batch
    inverse: Tensor  # 1 / sqrt(variance + eps)
    momentum: float  # the share of the batch that running statistics take
    eps: float

    @property
    def sizes(self) -> tuple[int, ...]:
        """n, n_cases, length, c_in, c_out, kernel, left."""
        n, n_cases, _, c_out = self.y.shape
        return n, n_cases, self.length, self.weights.shape[2] // self.kernel, c_out, self.kernel, self.left

    @property
    def norm(self) -> tuple[Tensor, ...]:
        """What makes batch norm of y."""
        return self.scale, self.shift, self.mean, self.inverse


class Head(NamedTuple):
    """The last layer of n trainings, and the memory that a batch needs there."""

    features: Tensor  # (n, n_cases, width)
    of_features: Tensor  # gradient
    weights: Tensor  # (n, width, n_classes)
    of_weights: Tensor
    bias: Tensor  # (n, n_classes)
    of_bias: Tensor
    total: Tensor  # float64, (n,): losses are added to it
    y: Tensor  # int64, of all cases
    case_weights: Tensor | None  # that their losses are multiplied by
    numbers: Tensor  # of the batch's cases, int64 (n, n_cases)


class Rule(NamedTuple):
    """Adam, with all that changes from step to step in tensors."""

    lr: Tensor  # float64 (n,): the learning rate of each training
    steps: Tensor  # int64 (1,): the number of this step, from 1 on
    betas: tuple[float, float]
    eps: float


class Schedule(NamedTuple):
    """What the end of an epoch reads and writes, for n trainings; see `train.Plateau` for the learning rate's rule."""

    n_cases: int
    factor: float
    patience: int
    min_lr: float
    min_delta: float
    epoch: Tensor  # int64 (1,): epochs that have ended
    total: Tensor  # float64 (n,): the sum of the cases' losses in this epoch
    lr: Tensor  # float64 (n,)
    plateau_best: Tensor  # float64 (n,): the loss that the next has to undercut, by min_delta
    waited: Tensor  # int64 (n,): epochs since then
    least: Tensor  # float64 (n,): the least loss
    best_epoch: Tensor  # int64 (n,): the epoch that had it, from 1 on
    better: Tensor  # int64 (n,): 1 where this epoch is that one
    losses: Tensor  # float64 (n_epochs, n): of each epoch
    rates: Tensor  # float64 (n_epochs, n): the learning rate of each epoch
    kept: Sequence[tuple[Tensor, Tensor]]  # (values, copy of them at best_epoch), both (n, ...)

    def changing(self) -> dict[str, Tensor]:
        """Return the tensors but for `kept`, by name."""
        return {name: each for name, each in self._asdict().items() if isinstance(each, Tensor)}


def windows(rows: Tensor, length: int, kernel: int) -> Tensor:
    """Return the `kernel` rows that are seen from each of `length` timepoints, (n_cases * length, kernel * c)."""
    n_cases, _, c = rows.shape
    return rows.as_strided((n_cases, length, kernel * c), (rows.stride(0), c, 1)).reshape(-1, kernel * c)


class Torch:
    """By torch's operations, on any device."""

    @staticmethod
    def normed(block: Block, i: int) -> Tensor:
        """Return what batch norm makes of y in training i, (n_cases, length, c_out), float."""
        scale, shift, mean, inverse = (part[i] for part in block.norm)
        factor = scale * inverse
        return block.y[i, :, : block.length] * factor + (shift - mean * factor)

    def padded(self, block: Block, before: Block | None, i: int) -> Tensor:
        """Return the padded input of a block in training i, (n_cases, rows, c_in)."""
        if before is None:
            assert block.padded is not None
            return block.padded[i]
        own = torch.relu(self.normed(before, i)).to(block.y.dtype)
        return F.pad(own, (0, 0, block.left, block.kernel - 1 - block.left))

    def forward(self, block: Block, before: Block | None) -> Operation:
        """Return what fills y, mean and inverse, and moves the running statistics."""

        def run() -> None:
            n, n_cases, length, _, c_out, kernel, _ = block.sizes
            for i in range(n):
                seen = windows(self.padded(block, before, i), length, kernel)
                y = seen @ block.weights[i].to(seen.dtype).T
                block.y[i, :, :length] = y.view(n_cases, length, c_out)
                y = y.to(block.mean.dtype)
                variance, mean = torch.var_mean(y, dim=0, correction=0)
                block.mean[i].copy_(mean)
                block.inverse[i].copy_((variance + block.eps).rsqrt())
                block.running_mean[i].lerp_(mean, block.momentum)
                block.running_variance[i].lerp_(variance * (len(y) / (len(y) - 1)), block.momentum)

        return run

    def pool(self, block: Block, pooled: Tensor) -> Operation:
        """Return what fills pooled, (n, n_cases, c_out)."""

        def run() -> None:
            for i in range(len(pooled)):
                pooled[i].copy_(torch.relu(self.normed(block, i)).mean(dim=1))

        return run

    def refresh(self) -> None:
        """Take note that weights were changed by other means than `adam`."""

    def take_batch(self, order: Tensor, cases: Tensor, index: Tensor, series: Tensor, steps: Tensor) -> None:
        """Copy a batch into place and count the step.

        order: numbers of the cases, int64 (n, n_cases), any strides; cases: all of them, padded, (n_all, values);
        index: filled with order; series: filled with the cases, (n, n_cases, rows, c_in); steps: int64 (1,), raised.
        """
        index.copy_(order)
        torch.index_select(cases, 0, index.view(-1), out=series.view(index.numel(), -1))
        steps.add_(1)

    def score(self, head: Head) -> Operation:
        """Return what adds the cross-entropies of cases to total, and fills the gradients of their mean."""

        def run() -> None:
            index = head.numbers
            y = head.y[index].unsqueeze(2)
            logits = torch.baddbmm(head.bias.unsqueeze(1), head.features, head.weights)
            slope = torch.softmax(logits, dim=2)
            losses = -torch.log_softmax(logits, dim=2).gather(2, y).squeeze(2)
            slope.scatter_add_(2, y, torch.full_like(slope[:, :, :1], -1))
            if head.case_weights is not None:
                weight = head.case_weights[index]
                losses, slope = losses * weight, slope * weight.unsqueeze(2)
            slope /= index.shape[1]
            head.total.add_(losses.double().sum(dim=1))
            torch.bmm(head.features.transpose(1, 2), slope, out=head.of_weights)
            torch.sum(slope, dim=1, out=head.of_bias)
            torch.bmm(slope, head.weights.transpose(1, 2), out=head.of_features)

        return run

    def backward(self, block: Block, before: Block | None, after: Block | None, of_pooled: Tensor | None) -> Operation:
        """Return what fills of_scale, of_shift, of_weights and back.

        It begins at the gradient of the input of block `after`, or where there is none at that of pooled.
        """

        def run() -> None:
            n, n_cases, length, c_in, c_out, kernel, left = block.sizes
            for i in range(n):
                if after is not None:
                    assert after.back is not None
                    back = after.back[i, :, :length].to(block.mean.dtype)
                else:
                    assert of_pooled is not None
                    back = (of_pooled[i] / length).unsqueeze(1)
                back = back * (self.normed(block, i) > 0)
                centred = block.y[i, :, :length] - block.mean[i]
                product = (back * centred).sum(dim=(0, 1))
                block.of_scale[i].copy_(product * block.inverse[i])
                block.of_shift[i].copy_(back.sum(dim=(0, 1)))
                along = product / (n_cases * length) * block.inverse[i] ** 2
                slope = block.scale[i] * block.inverse[i] * (back - back.mean(dim=(0, 1)) - centred * along)
                slope = F.pad(slope.to(block.y.dtype), (0, 0, kernel - 1 - left, left))
                own = slope[:, kernel - 1 - left :][:, :length].reshape(-1, c_out)
                block.of_weights[i].copy_(own.T @ windows(self.padded(block, before, i), length, kernel))
                if block.back is not None:
                    weights = block.weights[i].to(slope.dtype).view(c_out, kernel, c_in)
                    turned = weights.flip(1).transpose(0, 1).reshape(-1, c_in)
                    block.back[i, :, :length] = (windows(slope, length, kernel) @ turned).view(n_cases, length, c_in)

        return run

    def adam(self, weights: Tensor, first: Tensor, second: Tensor, gradient: Tensor, rule: Rule) -> Operation:
        """Return what takes a step; of n trainings each: weights, both moments and gradient, (n, count)."""
        betas = torch.tensor(rule.betas, dtype=torch.float64, device=weights.device)

        def run() -> None:
            corrections = 1 - betas**rule.steps
            first.lerp_(gradient, 1 - rule.betas[0])
            second.mul_(rule.betas[1]).addcmul_(gradient, gradient, value=1 - rule.betas[1])
            spread = second.sqrt().div_(corrections[1].sqrt().to(second.dtype)).add_(rule.eps)
            rate = (rule.lr / corrections[0]).to(weights.dtype).unsqueeze(1)
            weights.sub_(rate * first / spread)

        return run

    def end_epoch(self, schedule: Schedule) -> Operation:
        """Return what ends an epoch: notes its losses and rates, keeps the best values, sets the next rates."""
        s = schedule
        numbers = torch.arange(len(s.losses), device=s.lr.device)

        def run() -> None:
            loss = s.total / s.n_cases
            here = (numbers == s.epoch).unsqueeze(1)
            s.losses.copy_(torch.where(here, loss, s.losses))
            s.rates.copy_(torch.where(here, s.lr, s.rates))
            s.epoch.add_(1)
            better = loss < s.least
            s.better.copy_(better)
            s.least.copy_(torch.where(better, loss, s.least))
            s.best_epoch.copy_(torch.where(better, s.epoch, s.best_epoch))
            for values, kept in s.kept:
                kept.copy_(torch.where(better.view(-1, *[1] * (values.dim() - 1)), values, kept))
            fell = loss < s.plateau_best - s.min_delta
            s.plateau_best.copy_(torch.where(fell, loss, s.plateau_best))
            s.waited.copy_(torch.where(fell, 0, s.waited + 1))
            if s.patience > 0:
                due = s.waited >= s.patience
                lower = (s.lr * s.factor).clamp(min=s.min_lr)
                s.lr.copy_(torch.where(due & (s.lr > s.min_lr), lower, s.lr))
                s.waited.masked_fill_(due, 0)
            s.total.zero_()

        return run


def fields(integers: str, reals: str, pointers: str) -> list[tuple[str, type[Any]]]:
    """Return the fields of a ctypes.Structure from their names: integers, then reals, then pointers."""
    kinds = ((integers, ctypes.c_int64), (reals, ctypes.c_double), (pointers, ctypes.c_void_p))
    return [(name, kind) for names, kind in kinds for name in names.split()]


class ConvBlockArgs(ctypes.Structure):
    """struct conv_block_args of args.h, where each field is explained; likewise those that follow."""

    _fields_ = fields(
        "n n_cases length c_in c_out kernel left before_rows after_rows weight_stride",
        "momentum eps",
        "padded before_y before_gamma before_beta before_mean before_invstd weight y gamma beta mean invstd "
        "running_mean running_var grad_gamma grad_beta grad_weight grad_input grad_output grad_pooled",
    )


class PoolArgs(ctypes.Structure):
    """struct pool_args."""

    _fields_ = fields("n n_cases length channels rows weight_stride", "", "y gamma beta mean invstd pooled")


class LossArgs(ctypes.Structure):
    """struct loss_args."""

    _fields_ = fields(
        "n n_cases width n_classes weight_stride",
        "",
        "features weight bias labels case_weights numbers grad_features grad_weight grad_bias total",
    )


class AdamArgs(ctypes.Structure):
    """struct adam_args."""

    _fields_ = fields("n count", "beta1 beta2 root eps", "weights exp_avg exp_avg_sq gradient rates")


ARGUMENTS = {"conv_block": ConvBlockArgs, "pool": PoolArgs, "loss": LossArgs, "adam": AdamArgs}


class Native(Torch):
    """By the functions of kernels.c, in this process's memory, on one core.

    Raises RuntimeError where the library's structs are not of the size of ours.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        for name, kind in ARGUMENTS.items():
            size = ctypes.c_int64.in_dll(library, f"{name}_args_size").value
            if size != ctypes.sizeof(kind):
                raise RuntimeError(f"{name}_args has {size} bytes in args.h and {ctypes.sizeof(kind)} in kernels.py")

    def call(
        self, name: str, kinds: Sequence[Tensor], args: ctypes.Structure, **values: float | Tensor | None
    ) -> Operation:
        """Return the call of a function, and set fields of its arguments.

        Args:
            name: of the function, without types.
            kinds: tensors of the types that its name ends with.
            args: the arguments. They and the tensors in `values` live as long as the call that is returned.
            values: fields of `args` by name: numbers; tensors for pointers to their memory, None for NULL.

        The call raises MemoryError where the function has too little memory.
        """
        types = [str(each.dtype).removeprefix("torch.") for each in kinds]
        function = getattr(self.library, "_".join([name, *types]))
        for field, value in values.items():
            setattr(args, field, value.data_ptr() if isinstance(value, Tensor) else value)
        reference = ctypes.byref(args)

        def run(_held: Any = (args, values)) -> None:
            if function(reference):
                raise MemoryError

        return run

    @staticmethod
    def block_values(block: Block, before: Block | None) -> dict[str, float | Tensor | None]:
        """Return the fields of ConvBlockArgs that forward and backward pass have in common."""
        names = ("n", "n_cases", "length", "c_in", "c_out", "kernel", "left")
        gamma, beta, mean, invstd = block.norm
        values: dict[str, float | Tensor | None] = {
            **dict(zip(names, block.sizes, strict=True)),
            "weight_stride": block.scale.stride(0),
            "momentum": block.momentum,
            "eps": block.eps,
            "padded": block.padded,
            "weight": block.weights,
            "y": block.y,
            "gamma": gamma,
            "beta": beta,
            "mean": mean,
            "invstd": invstd,
        }
        if before is not None:
            gamma, beta, mean, invstd = before.norm
            values |= {"before_gamma": gamma, "before_beta": beta, "before_mean": mean, "before_invstd": invstd}
            values |= {"before_rows": before.y.shape[2], "before_y": before.y}
        return values

    def forward(self, block: Block, before: Block | None) -> Operation:
        """Call conv_block_forward: see Torch.forward."""
        return self.call(
            "conv_block_forward",
            [block.y, block.y if before is None else before.y, block.y],
            ConvBlockArgs(),
            **self.block_values(block, before),
            running_mean=block.running_mean,
            running_var=block.running_variance,
        )

    def pool(self, block: Block, pooled: Tensor) -> Operation:
        """Call pool: see Torch.pool."""
        n, n_cases, rows, channels = block.y.shape
        args = PoolArgs(n, n_cases, block.length, channels, rows, block.scale.stride(0))
        gamma, beta, mean, invstd = block.norm
        return self.call(
            *("pool", [block.y], args), y=block.y, gamma=gamma, beta=beta, mean=mean, invstd=invstd, pooled=pooled
        )

    def backward(self, block: Block, before: Block | None, after: Block | None, of_pooled: Tensor | None) -> Operation:
        """Call conv_block_backward: see Torch.backward."""
        back = None if after is None else after.back
        return self.call(
            "conv_block_backward",
            [block.y, block.y if before is None else before.y, block.y if back is None else back],
            ConvBlockArgs(),
            **self.block_values(block, before),
            after_rows=0 if back is None else back.shape[2],
            grad_gamma=block.of_scale,
            grad_beta=block.of_shift,
            grad_weight=block.of_weights,
            grad_input=block.back,
            grad_output=back,
            grad_pooled=of_pooled,
        )

    def score(self, head: Head) -> Operation:
        """Call loss: see Torch.score."""
        n, n_cases, width = head.features.shape
        return self.call(
            "loss",
            [head.features],
            LossArgs(n, n_cases, width, head.bias.shape[1], head.bias.stride(0)),
            features=head.features,
            weight=head.weights,
            bias=head.bias,
            labels=head.y,
            case_weights=head.case_weights,
            numbers=head.numbers,
            grad_features=head.of_features,
            grad_weight=head.of_weights,
            grad_bias=head.of_bias,
            total=head.total,
        )

    def adam(self, weights: Tensor, first: Tensor, second: Tensor, gradient: Tensor, rule: Rule) -> Operation:
        """Call adam: see Torch.adam."""
        rates = torch.zeros(len(weights), dtype=torch.float64)
        args = AdamArgs(*weights.shape, *rule.betas, eps=rule.eps)
        step = self.call(
            *("adam", [weights], args),
            weights=weights,
            exp_avg=first,
            exp_avg_sq=second,
            gradient=gradient,
            rates=rates,
        )
        lr, steps, corrected = rule.lr.numpy(), rule.steps.numpy(), rates.numpy()

        def run() -> None:
            correction, correction2 = (1 - beta ** int(steps[0]) for beta in rule.betas)
            corrected[:] = lr / correction
            args.root = math.sqrt(correction2)
            step()

        return run

    def end_epoch(self, schedule: Schedule) -> Operation:
        """Do as Torch does; on the host, weights are copied only where they are to be kept."""
        s = schedule
        epoch, total, lr, plateau_best, waited, least, best_epoch, better, losses, rates = (
            each.numpy() for each in schedule.changing().values()
        )

        def run() -> None:
            losses[epoch[0]], rates[epoch[0]] = total / s.n_cases, lr
            epoch[0] += 1
            for i, loss in enumerate(losses[epoch[0] - 1].tolist()):
                better[i] = loss < least[i]
                if better[i]:
                    least[i], best_epoch[i] = loss, epoch[0]
                    for values, kept in s.kept:
                        kept[i].copy_(values[i])
                waited[i] += 1
                if loss < plateau_best[i] - s.min_delta:
                    plateau_best[i], waited[i] = loss, 0
                elif 0 < s.patience <= waited[i]:
                    waited[i] = 0
                    if lr[i] > s.min_lr:
                        lr[i] = max(lr[i] * s.factor, s.min_lr)
            total[:] = 0

        return run
