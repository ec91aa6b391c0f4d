"""The steps of the fused engine in torch's operations, on any device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tsfcn.training.fused.backend import Block, Head, Operation, Rule, Schedule, windows


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
