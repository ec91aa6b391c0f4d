"""The LSTM of n stacked trainings, forward and backward, in PyTorch operations on any device.

    LSTM        recurrent.LSTM, or with attention recurrent.AttentionLSTM
    Attention   what AttentionLSTM adds to the gates: at each step a weighted mean of all steps

Steps come before cases, so that a step of all cases lies together: x is (n, n_steps, n_cases, n_features). The weights
and their gradients have the names and shapes of the parameters there, after a dimension for the trainings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tsfcn.models import recurrent

Parts = Mapping[str, Tensor]


class Step(NamedTuple):
    """What the backward pass needs of a step, each (n, n_cases, cells)."""

    gates: Tensor  # input, forget, cell and output gate before their functions, (n, n_cases, 4 * cells)
    i: Tensor  # the gates after their functions
    f: Tensor
    g: Tensor
    o: Tensor
    c: Tensor  # the cell state after the step
    tanh_c: Tensor
    h: Tensor  # the hidden state after the step


class LSTM:
    """An LSTM that returns its last hidden state, and the gradients of its weights.

    Both states are zero before the first step, so this step needs neither the recurrent kernel nor the forget gate. If
    it is the only one, as with series of one channel, they have no effect.

    Args:
        part: The weights.
        gradient: The gradients, which `backward` fills.
        gates: A name of recurrent.GATES.
        attention: Whether the gates of each step also get a weighted mean of all steps.
    """

    def __init__(self, part: Parts, gradient: Parts, gates: str, attention: bool) -> None:
        self.part, self.gradient = part, gradient
        self.gate, self.is_hard = recurrent.GATES[gates], gates == "hard_sigmoid"
        self.attention = Attention(part, gradient) if attention else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the hidden state after the last step, (n, n_cases, cells)."""
        self.x, self.steps = x, list[Step]()
        projected = project(x, self.part["kernel"], self.part["bias"])
        if self.attention is not None:
            self.attention.start(x)
        h: Tensor | None = None
        c: Tensor | None = None
        for t in range(x.shape[1]):
            gates = projected[:, t]
            if h is not None:
                gates = torch.baddbmm(gates, h, self.part["recurrent"])
            if self.attention is not None:
                gates = gates + self.attention.forward(h)
            i, f, g, o = gates.chunk(4, dim=2)
            i, f, g, o = self.gate(i), self.gate(f), torch.tanh(g), self.gate(o)
            c = i * g if c is None else f * c + i * g
            tanh_c = torch.tanh(c)
            h = o * tanh_c
            self.steps.append(Step(gates, i, f, g, o, c, tanh_c, h))
        assert h is not None
        return h

    def backward(self, grad_h: Tensor) -> None:
        """Fill the gradients of the weights from that of the last hidden state, (n, n_cases, cells)."""
        grad_gates: list[Tensor] = []  # of each step, (n, n_cases, 4 * cells)
        grad_c: Tensor | None = None
        befores, derivatives = [None, *self.steps[:-1]], self.derivatives()
        for step, before, derivative in zip(self.steps[::-1], befores[::-1], derivatives[::-1], strict=True):
            d_i, d_f, _, d_o = derivative
            through_h = grad_h * step.o * (1 - step.tanh_c * step.tanh_c)
            grad_c = through_h if grad_c is None else grad_c + through_h
            grad_i, grad_g = grad_c * step.g * d_i, grad_c * step.i * (1 - step.g * step.g)
            grad_f = torch.zeros_like(grad_i) if before is None else grad_c * before.c * d_f
            grad_o = grad_h * step.tanh_c * d_o
            grad_gates.insert(0, torch.cat([grad_i, grad_f, grad_g, grad_o], dim=2))
            if before is not None:
                grad_c = grad_c * step.f
                grad_h = torch.bmm(grad_gates[0], self.part["recurrent"].transpose(1, 2))
            if self.attention is not None:
                through_attention = self.attention.backward(None if before is None else before.h, grad_gates[0])
                grad_h = grad_h if through_attention is None else grad_h + through_attention
        rows = joined(grad_gates)
        torch.bmm(self.x.flatten(1, 2).transpose(1, 2), rows, out=self.gradient["kernel"])
        torch.sum(rows, dim=1, out=self.gradient["bias"])
        if len(self.steps) > 1:
            sum_products([step.h for step in self.steps[:-1]], grad_gates[1:], self.gradient["recurrent"])
        if self.attention is not None:
            self.attention.fill_gradients(grad_gates)

    def derivatives(self) -> list[tuple[Tensor, ...]]:
        """Return the derivatives of the gates at each step, (n, n_cases, cells) each; that of g is not used."""
        if not self.is_hard:
            return [tuple(gate * (1 - gate) for gate in (step.i, step.f, step.g, step.o)) for step in self.steps]
        linear = 0.2 * torch.stack([step.gates for step in self.steps]) + 0.5
        return [each.chunk(4, dim=2) for each in 0.2 * ((linear >= 0) & (linear <= 1))]


class Attention:
    """Attention to all steps, and the gradients of its weights. It looks at the hidden state h before each step.

    The energy of step t is e_t = v' tanh(W x_t + b + U h), the weights are softmax(e), and the gates get the weighted
    mean of all x_t times the kernel `context`. A single step has the weight 1, whatever its energy is.

    Args:
        part: The weights.
        gradient: Their gradients, which `fill_gradients` fills.
    """

    def __init__(self, part: Parts, gradient: Parts) -> None:
        self.part, self.gradient = part, gradient

    def start(self, x: Tensor) -> None:
        """Prepare for the first of the steps of x, (n, n_steps, n_cases, n_features)."""
        self.x, self.is_single = x, x.shape[1] == 1
        self.weights: list[Tensor] = []  # (n, n_steps, n_cases) for each step
        self.means: list[Tensor] = []  # (n, n_cases, n_features) for each step
        if not self.is_single:
            self.scored = project(x, self.part["score_x"], self.part["score_bias"])
            self.grad_scored = torch.zeros_like(self.scored)  # without the factor v
            self.gradient["score"].zero_()
            self.states: list[Tensor] = []  # h before each step but the first, from the last step on
            self.grad_states: list[Tensor] = []  # the gradients of U h

    def forward(self, h: Tensor | None) -> Tensor:
        """Return what the gates of the next step get, (n, n_cases, 4 * cells). h: (n, n_cases, cells), None: zero."""
        if self.is_single:
            self.means.append(self.x[:, 0])
        else:
            energies = torch.bmm(self.inner(h).flatten(1, 2), self.part["score"].unsqueeze(2))
            self.weights.append(torch.softmax(energies.view(self.x.shape[:3]), dim=1))
            self.means.append((self.weights[-1].unsqueeze(3) * self.x).sum(dim=1))
        return torch.bmm(self.means[-1], self.part["context"])

    def inner(self, h: Tensor | None) -> Tensor:
        """Return tanh(W x_t + b + U h) of all steps t, (n, n_steps, n_cases, cells).

        It is computed again in the backward pass: stored at every step, it would need memory for n_steps^2 states.
        """
        if h is None:
            return torch.tanh(self.scored)
        return (self.scored + torch.bmm(h, self.part["score_h"]).unsqueeze(1)).tanh_()

    def backward(self, h: Tensor | None, grad_gates: Tensor) -> Tensor | None:
        """Return the gradient of h, and add to those of the scores. Called for the steps from the last to the first.

        h: as in `forward`; None for h = zero. grad_gates: the gradient of the gates of the step.
        """
        if self.is_single:
            return None
        weights = self.weights.pop()
        grad_mean = torch.bmm(grad_gates, self.part["context"].transpose(1, 2))
        grad_weights = (grad_mean.unsqueeze(1) * self.x).sum(dim=3)
        grad_energies = weights * (grad_weights - (weights * grad_weights).sum(dim=1, keepdim=True))
        inner = self.inner(h)
        self.gradient["score"].unsqueeze(1).baddbmm_(grad_energies.flatten(1).unsqueeze(1), inner.flatten(1, 2))
        grad_energies = grad_energies.unsqueeze(3)
        through_tanh = torch.addcmul(grad_energies, grad_energies * inner, inner, value=-1)  # without the factor v
        self.grad_scored += through_tanh
        if h is None:
            return None
        self.states.append(h)
        self.grad_states.append(through_tanh.sum(dim=1) * self.part["score"].unsqueeze(1))
        return torch.bmm(self.grad_states[-1], self.part["score_h"].transpose(1, 2))

    def fill_gradients(self, grad_gates: list[Tensor]) -> None:
        """Fill the gradients of the weights. grad_gates: as in `backward`, of each step."""
        sum_products(self.means, grad_gates, self.gradient["context"])
        if not self.is_single:
            rows = (self.grad_scored * self.part["score"][:, None, None]).flatten(1, 2)
            torch.bmm(self.x.flatten(1, 2).transpose(1, 2), rows, out=self.gradient["score_x"])
            torch.sum(rows, dim=1, out=self.gradient["score_bias"])
            sum_products(self.states, self.grad_states, self.gradient["score_h"])


def joined(steps: Sequence[Tensor]) -> Tensor:
    """Return tensors of one step each, (n, n_cases, width), as one of all, (n, n_steps * n_cases, width)."""
    return torch.cat(list(steps), dim=1) if len(steps) > 1 else steps[0]


def project(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Return x (n, n_steps, n_cases, n_features) times a kernel, plus a bias, (n, n_steps, n_cases, width)."""
    rows = torch.baddbmm(bias.unsqueeze(1), x.flatten(1, 2), kernel)
    return rows.view(*x.shape[:3], -1)


def sum_products(left: list[Tensor], right: list[Tensor], out: Tensor) -> None:
    """Fill `out` (n, i, j) with the sum of the products of `left`, (n, n_cases, i) each, transposed, and `right`."""
    torch.bmm(joined(left).transpose(1, 2), joined(right), out=out)
