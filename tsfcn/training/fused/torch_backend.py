"""The steps of the fused engine in torch's operations, on any device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tsfcn.training.fused.backend import Block, Head, Operation, Rule, Schedule, windows


def take_batch(order: Tensor, cases: Tensor, index: Tensor, series: Tensor, steps: Tensor) -> None:
    """Copy a batch into place and count the step: see Backend."""
    index.copy_(order)
    torch.index_select(cases, 0, index.view(-1), out=series.view(index.numel(), -1))
    steps.add_(1)


class TorchBackend:
    """By torch's operations, on any device."""

    @staticmethod
    def normed(block: Block, i: int) -> Tensor:
        """Return what batch norm makes of y in training i, (n_cases, length, c_out), float."""
        gamma, beta, mean, invstd = (part[i] for part in block.norm)
        factor = gamma * invstd
        return block.y[i, :, : block.length] * factor + (beta - mean * factor)

    def padded(self, block: Block, before: Block | None, i: int) -> Tensor:
        """Return the padded input of a block in training i, (n_cases, rows, c_in)."""
        if before is None:
            assert block.padded is not None
            return block.padded[i]
        own = torch.relu(self.normed(before, i)).to(block.y.dtype)
        return F.pad(own, (0, 0, block.left, block.kernel - 1 - block.left))

    def forward(self, block: Block, before: Block | None) -> Operation:
        """See Backend."""

        def run() -> None:
            n, n_cases, length, _, c_out, kernel, _ = block.sizes
            for i in range(n):
                seen = windows(self.padded(block, before, i), length, kernel)
                y = seen @ block.weights[i].to(seen.dtype).T
                block.y[i, :, :length] = y.view(n_cases, length, c_out)
                y = y.to(block.mean.dtype)
                variance, mean = torch.var_mean(y, dim=0, correction=0)
                block.mean[i].copy_(mean)
                block.invstd[i].copy_((variance + block.eps).rsqrt())
                block.running_mean[i].lerp_(mean, block.momentum)
                block.running_var[i].lerp_(variance * (len(y) / (len(y) - 1)), block.momentum)

        return run

    def pool(self, block: Block, pooled: Tensor) -> Operation:
        """See Backend."""

        def run() -> None:
            for i in range(len(pooled)):
                pooled[i].copy_(torch.relu(self.normed(block, i)).mean(dim=1))

        return run

    def refresh(self) -> None:
        """See Backend: there is nothing to do."""

    def take_batch(self, order: Tensor, cases: Tensor, index: Tensor, series: Tensor, steps: Tensor) -> None:
        """See Backend."""
        take_batch(order, cases, index, series, steps)

    def score(self, head: Head) -> Operation:
        """See Backend."""

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
            torch.bmm(head.features.transpose(1, 2), slope, out=head.grad_weight)
            torch.sum(slope, dim=1, out=head.grad_bias)
            torch.bmm(slope, head.weights.transpose(1, 2), out=head.grad_features)

        return run

    def backward(
        self, block: Block, before: Block | None, after: Block | None, grad_pooled: Tensor | None
    ) -> Operation:
        """See Backend."""

        def run() -> None:
            n, n_cases, length, c_in, c_out, kernel, left = block.sizes
            for i in range(n):
                if after is not None:
                    assert after.grad_input is not None
                    grad = after.grad_input[i, :, :length].to(block.mean.dtype)
                else:
                    assert grad_pooled is not None
                    grad = (grad_pooled[i] / length).unsqueeze(1)
                grad = grad * (self.normed(block, i) > 0)
                centred = block.y[i, :, :length] - block.mean[i]
                product = (grad * centred).sum(dim=(0, 1))
                block.grad_gamma[i].copy_(product * block.invstd[i])
                block.grad_beta[i].copy_(grad.sum(dim=(0, 1)))
                along = product / (n_cases * length) * block.invstd[i] ** 2
                slope = block.gamma[i] * block.invstd[i] * (grad - grad.mean(dim=(0, 1)) - centred * along)
                slope = F.pad(slope.to(block.y.dtype), (0, 0, kernel - 1 - left, left))
                own = slope[:, kernel - 1 - left :][:, :length].reshape(-1, c_out)
                block.grad_weight[i].copy_(own.T @ windows(self.padded(block, before, i), length, kernel))
                if block.grad_input is not None:
                    weights = block.weights[i].to(slope.dtype).view(c_out, kernel, c_in)
                    turned = weights.flip(1).transpose(0, 1).reshape(-1, c_in)
                    block.grad_input[i, :, :length] = (windows(slope, length, kernel) @ turned).view(
                        n_cases, length, c_in
                    )

        return run

    def adam(self, weights: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, gradient: Tensor, rule: Rule) -> Operation:
        """See Backend."""
        betas = torch.tensor(rule.betas, dtype=torch.float64, device=weights.device)

        def run() -> None:
            corrections = 1 - betas**rule.steps
            exp_avg.lerp_(gradient, 1 - rule.betas[0])
            exp_avg_sq.mul_(rule.betas[1]).addcmul_(gradient, gradient, value=1 - rule.betas[1])
            spread = exp_avg_sq.sqrt().div_(corrections[1].sqrt().to(exp_avg_sq.dtype)).add_(rule.eps)
            rate = (rule.lr / corrections[0]).to(weights.dtype).unsqueeze(1)
            weights.sub_(rate * exp_avg / spread)

        return run

    def end_epoch(self, schedule: Schedule) -> Operation:
        """See Backend."""
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
