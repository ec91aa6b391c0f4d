"""The LSTM, and the LSTM with attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from tsfcn.common.device import upload


def hard_sigmoid(x: Tensor) -> Tensor:
    """Return Keras' piecewise linear sigmoid, 0.2 x + 0.5 clipped to [0, 1]; PyTorch's has slope 1/6."""
    return torch.clamp(0.2 * x + 0.5, 0.0, 1.0)


GATES: dict[str, Callable[[Tensor], Tensor]] = {"hard_sigmoid": hard_sigmoid, "sigmoid": torch.sigmoid}


class LSTM(nn.Module):
    """Keras' LSTM layer that returns its last hidden state. (n, n_steps, n_features) -> (n, cells).

    The gates are in Keras' order: input, forget, cell, output. There is one bias, so the layer has 4 (u d + u^2 + u)
    parameters for u cells and d features (PyTorch's own layer has 4 u more). Both states start at zero. With one step,
    as after the dimension shuffle of a univariate series, the recurrent kernel and the forget gate have no effect.
    """

    forget_bias = 1.0  # of the initial weights

    def __init__(self, n_features: int, cells: int, gates: str) -> None:
        super().__init__()
        self.gate = GATES[gates]
        self.kernel = nn.Parameter(torch.empty(n_features, 4 * cells))
        self.recurrent = nn.Parameter(torch.empty(cells, 4 * cells))
        self.bias = nn.Parameter(torch.empty(4 * cells))

    def initial_state(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the hidden and the cell state before the first step, zeros (n, cells)."""
        zeros = x.new_zeros(x.shape[0], self.recurrent.shape[0])
        return zeros, zeros

    def step(self, projected: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next hidden and cell state from the projected input (n, 4 * cells), bias included."""
        i, f, g, o = (projected + h @ self.recurrent).chunk(4, dim=1)
        c = self.gate(f) * c + self.gate(i) * torch.tanh(g)
        return self.gate(o) * torch.tanh(c), c

    def forward(self, x: Tensor, n_steps: Tensor | None = None, skipped: Tensor | None = None) -> Tensor:
        """Return the hidden state after the last step, (n, cells).

        Args:
            x: (n, n_steps, n_features).
            n_steps: int64 (n,), the steps of each case; None: all.
            skipped: bool (n, n_steps), the steps that leave the state as it is; None: no step.
        """
        h, c = self.initial_state(x)
        projected = x @ self.kernel + self.bias  # (n, n_steps, 4 * cells)
        states = []
        for t in range(x.shape[1]):
            h, c = unless_skipped(self.step(projected[:, t], h, c), (h, c), skipped, t)
            states.append(h)
        return h if n_steps is None else last_states(states, n_steps)


def unless_skipped(
    new: tuple[Tensor, Tensor], old: tuple[Tensor, Tensor], skipped: Tensor | None, t: int
) -> tuple[Tensor, Tensor]:
    """Return the new states, each (n, cells), or the old ones where step t is skipped, bool (n, n_steps)."""
    if skipped is None:
        return new
    skips = skipped[:, t, None]
    return torch.where(skips, old[0], new[0]), torch.where(skips, old[1], new[1])


def last_states(states: list[Tensor], n_steps: Tensor) -> Tensor:
    """Return the state of each case after its n_steps (n,) steps, (n, cells); later states have no effect."""
    device = states[0].device
    return torch.stack(states, dim=1)[torch.arange(len(n_steps), device=device), upload(n_steps - 1, device)]


class AttentionLSTM(LSTM):
    """LSTM whose every step also gets a weighted mean of all steps. (n, n_steps, n_features) -> (n, cells).

    Karim et al. 2018, section II.D, as in titu1994/LSTM-FCN layers_utils: with the previous hidden state h,
    e_t = v' tanh(U h + W x_t + b), weights a = softmax over t of e, z = sum of a_t x_t, and the gates are
    x K + h R + z A + bias. After the dimension shuffle a univariate series is ONE step: its weight is always 1, z is x,
    and W, U, b and v get no gradient, so this is the plain LSTM with input kernel K + A. Without the shuffle the
    attention has an effect, and takes memory that grows with the square of the length (`attention_bytes`).
    """

    def __init__(self, n_features: int, cells: int, gates: str) -> None:
        super().__init__(n_features, cells, gates)
        self.context = nn.Parameter(torch.empty(n_features, 4 * cells))  # A
        self.score_x = nn.Parameter(torch.empty(n_features, cells))  # W
        self.score_h = nn.Parameter(torch.empty(cells, cells))  # U
        self.score_bias = nn.Parameter(torch.empty(cells))  # b
        self.score = nn.Parameter(torch.empty(cells))  # v

    def weights(self, scored: Tensor, h: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the attention over steps, (n, n_steps), which adds up to 1 for each case.

        scored: W x + b, (n, n_steps, cells); h: (n, cells); mask: bool (n, n_steps), True for steps with weight 0.
        """
        energy = torch.tanh(scored + (h @ self.score_h).unsqueeze(1)) @ self.score
        if mask is not None:
            energy = energy.masked_fill(mask, -math.inf)
        return torch.softmax(energy, dim=1)

    def forward(self, x: Tensor, n_steps: Tensor | None = None, skipped: Tensor | None = None) -> Tensor:
        """Return the hidden state after the last step, (n, cells). Args: of LSTM; a skipped step is attended to."""
        states = [h for h, _, _ in self.scan(x, n_steps, skipped)]
        return states[-1] if n_steps is None else last_states(states, n_steps)

    def attention(
        self, x: Tensor, n_steps: Tensor | None = None, skipped: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the attention weights (n, n_steps, n_steps) and context vectors (n, n_steps, n_features) of each step.

        Args: of `forward`. Row i of the weights is `a` of step i, row i of the context vectors its `z`.
        """
        _, weights, context = zip(*self.scan(x, n_steps, skipped), strict=True)
        return torch.stack(weights, dim=1), torch.stack(context, dim=1)

    def scan(
        self, x: Tensor, n_steps: Tensor | None = None, skipped: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield hidden state (n, cells), attention (n, n_steps) and context vector (n, n_features) of each step."""
        h, c = self.initial_state(x)
        projected = x @ self.kernel + self.bias  # (n, n_steps, 4 * cells)
        scored = x @ self.score_x + self.score_bias  # (n, n_steps, cells)
        mask = None if n_steps is None else upload(torch.arange(x.shape[1]) >= n_steps[:, None], x.device)
        for t in range(x.shape[1]):
            a = self.weights(scored, h, mask)
            z = torch.einsum("nt,ntd->nd", a, x)
            h, c = unless_skipped(self.step(projected[:, t] + z @ self.context, h, c), (h, c), skipped, t)
            yield h, a, z


def attention_bytes(n_cases: int, n_steps: int, cells: int, itemsize: int = 4) -> int:
    """Return the bytes that AttentionLSTM keeps for the backward pass: at each step a tanh and a softmax over all.

    Args:
        n_cases: The cases of a batch.
        n_steps: The steps of a case.
        cells: The hidden size.
        itemsize: The bytes of a value.
    """
    return n_cases * n_steps * n_steps * (cells + 3) * itemsize
