"""The operations of the fused engine in PyTorch, on any device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tsfcn.training.fused.backend import AdamOptions, Block, Head, Operation, Schedule, windows


def take_batch(order: Tensor, cases: Tensor, index: Tensor, series: Tensor, steps: Tensor) -> None:
    """Copy a batch to its place and count the step. The arguments are those of Backend.take_batch."""
    index.copy_(order)
    torch.index_select(cases, 0, index.view(-1), out=series.view(index.numel(), -1))
    steps.add_(1)


class TorchBackend:
    """The backend that consists of PyTorch operations."""

    @staticmethod
    def batch_norm(block: Block, i: int) -> Tensor:
        """Return the output of batch norm in training i, (n_cases, length, c_out), in the dtype of the statistics."""
        gamma, beta, mean, invstd = (part[i] for part in block.norm)
        factor = gamma * invstd
        return block.y[i, :, : block.length] * factor + (beta - mean * factor)

    def padded_input(self, block: Block, before: Block | None, i: int) -> Tensor:
        """Return the padded input of a block in training i, (n_cases, rows, c_in)."""
        if before is None:
            assert block.padded is not None
            return block.padded[i]
        x = torch.relu(self.batch_norm(before, i)).to(block.y.dtype)
        return F.pad(x, (0, 0, block.left, block.kernel - 1 - block.left))

    def forward(self, block: Block, before: Block | None) -> Operation:
        """See Backend.forward."""

        def run() -> None:
            n, n_cases, length, _, c_out, kernel, _ = block.sizes
            for i in range(n):
                x = windows(self.padded_input(block, before, i), length, kernel)
                y = x @ block.weights[i].to(x.dtype).T
                block.y[i, :, :length] = y.view(n_cases, length, c_out)
                y = y.to(block.mean.dtype)
                variance, mean = torch.var_mean(y, dim=0, correction=0)
                block.mean[i].copy_(mean)
                block.invstd[i].copy_((variance + block.eps).rsqrt())
                block.running_mean[i].lerp_(mean, block.momentum)
                block.running_var[i].lerp_(variance * (len(y) / (len(y) - 1)), block.momentum)

        return run

    def pool(self, block: Block, pooled: Tensor) -> Operation:
        """See Backend.pool."""

        def run() -> None:
            for i in range(len(pooled)):
                pooled[i].copy_(torch.relu(self.batch_norm(block, i)).mean(dim=1))

        return run

    def refresh(self) -> None:
        """See Backend.refresh. This backend keeps no copies."""

    def take_batch(self, order: Tensor, cases: Tensor, index: Tensor, series: Tensor, steps: Tensor) -> None:
        """See Backend.take_batch."""
        take_batch(order, cases, index, series, steps)

    def loss(self, head: Head) -> Operation:
        """See Backend.loss."""

        def run() -> None:
            index = head.numbers
            y = head.y[index].unsqueeze(2)
            logits = torch.baddbmm(head.bias.unsqueeze(1), head.features, head.weights)
            grad_logits = torch.softmax(logits, dim=2)
            losses = -torch.log_softmax(logits, dim=2).gather(2, y).squeeze(2)
            grad_logits.scatter_add_(2, y, torch.full_like(grad_logits[:, :, :1], -1))
            if head.case_weights is not None:
                weight = head.case_weights[index]
                losses, grad_logits = losses * weight, grad_logits * weight.unsqueeze(2)
            grad_logits /= index.shape[1]
            head.total.add_(losses.double().sum(dim=1))
            torch.bmm(head.features.transpose(1, 2), grad_logits, out=head.grad_weight)
            torch.sum(grad_logits, dim=1, out=head.grad_bias)
            torch.bmm(grad_logits, head.weights.transpose(1, 2), out=head.grad_features)

        return run

    def grad_y(self, block: Block, grad_output: Tensor, i: int) -> Tensor:
        """Return the gradient of y in training i and fill those of gamma and beta. -> (n_cases, length, c_out).

        grad_output: The gradient of the block's output, (n_cases, length, c_out) or (n_cases, 1, c_out).
        """
        n_rows = block.y.shape[1] * block.length
        grad = grad_output * (self.batch_norm(block, i) > 0)
        centred = block.y[i, :, : block.length] - block.mean[i]
        product = (grad * centred).sum(dim=(0, 1))
        block.grad_gamma[i].copy_(product * block.invstd[i])
        block.grad_beta[i].copy_(grad.sum(dim=(0, 1)))
        projection = product / n_rows * block.invstd[i] ** 2
        return block.gamma[i] * block.invstd[i] * (grad - grad.mean(dim=(0, 1)) - centred * projection)

    def backward(
        self,
        block: Block,
        before: Block | None,
        after: Block | None,
        grad_pooled: Tensor | None,
    ) -> Operation:
        """See Backend.backward."""

        def run() -> None:
            n, n_cases, length, c_in, c_out, kernel, left = block.sizes
            for i in range(n):
                if after is not None:
                    assert after.grad_input is not None
                    grad_output = after.grad_input[i, :, :length].to(block.mean.dtype)
                else:
                    assert grad_pooled is not None
                    grad_output = (grad_pooled[i] / length).unsqueeze(1)
                grad_y = self.grad_y(block, grad_output, i)
                grad_y = F.pad(grad_y.to(block.y.dtype), (0, 0, kernel - 1 - left, left))
                unpadded = grad_y[:, kernel - 1 - left :][:, :length].reshape(-1, c_out)
                block.grad_weight[i].copy_(unpadded.T @ windows(self.padded_input(block, before, i), length, kernel))
                if block.grad_input is not None:
                    weights = block.weights[i].to(grad_y.dtype).view(c_out, kernel, c_in)
                    flipped = weights.flip(1).transpose(0, 1).reshape(-1, c_in)
                    block.grad_input[i, :, :length] = (windows(grad_y, length, kernel) @ flipped).view(
                        n_cases, length, c_in
                    )

        return run

    def adam(
        self,
        weights: Tensor,
        exp_avg: Tensor,
        exp_avg_sq: Tensor,
        gradient: Tensor,
        options: AdamOptions,
    ) -> Operation:
        """See Backend.adam."""
        beta1, beta2 = options.betas
        betas = torch.tensor(options.betas, dtype=torch.float64, device=weights.device)

        def run() -> None:
            corrections = 1 - betas**options.steps
            exp_avg.lerp_(gradient, 1 - beta1)
            exp_avg_sq.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            denominator = exp_avg_sq.sqrt().div_(corrections[1].sqrt().to(exp_avg_sq.dtype)).add_(options.eps)
            step_size = (options.lr / corrections[0]).to(weights.dtype).unsqueeze(1)
            weights.sub_(step_size * exp_avg / denominator)

        return run

    def end_epoch(self, schedule: Schedule) -> Operation:
        """See Backend.end_epoch."""
        s = schedule
        numbers = torch.arange(len(s.losses), device=s.lr.device)

        def run() -> None:
            loss = s.total / s.n_cases
            this_epoch = (numbers == s.epoch).unsqueeze(1)
            s.losses.copy_(torch.where(this_epoch, loss, s.losses))
            s.rates.copy_(torch.where(this_epoch, s.lr, s.rates))
            s.epoch.add_(1)
            better = loss < s.least
            s.better.copy_(better)
            s.least.copy_(torch.where(better, loss, s.least))
            s.best_epoch.copy_(torch.where(better, s.epoch, s.best_epoch))
            for values, snapshot in s.snapshots:
                snapshot.copy_(torch.where(better.view(-1, *[1] * (values.dim() - 1)), values, snapshot))
            improved = loss < s.plateau_best - s.min_delta
            s.plateau_best.copy_(torch.where(improved, loss, s.plateau_best))
            s.waited.copy_(torch.where(improved, 0, s.waited + 1))
            if s.patience > 0:
                due = s.waited >= s.patience
                reduced = (s.lr * s.factor).clamp(min=s.min_lr)
                s.lr.copy_(torch.where(due & (s.lr > s.min_lr), reduced, s.lr))
                s.waited.masked_fill_(due, 0)
            s.total.zero_()

        return run
