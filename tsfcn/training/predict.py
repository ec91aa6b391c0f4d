"""Log probabilities of cases, and what is measured on them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PREDICT_TIMEPOINTS = 2**13  # a batch of inference: 8 MiB for each activation of 256 filters in float32
PREDICT_TIMEPOINTS_GPU = 2**17  # the same on a GPU: 128 MiB


@torch.no_grad()
def predict(network: nn.Module, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Return log-probabilities, float64 (n_cases, n_classes) on the CPU, of x (n_cases, n_channels, n_timepoints).

    x: on the device of the network. lengths: int64 (n_cases,) on the CPU, how many timepoints of each case the network
    sees; None: all. Cases of one length are seen together and bare, so a prediction never depends on another case.
    Inference mode: running batch-norm statistics, no dropout. Leaves the network in evaluation mode.
    """
    network.eval()
    if lengths is not None and bool((lengths < x.shape[-1]).any()):
        numbers = torch.arange(len(x))
        groups = [numbers[lengths == length] for length in lengths.unique().tolist()]
        grouped = torch.cat([predict(network, x[g.to(x.device), :, : int(lengths[g[0]])], lengths[g]) for g in groups])
        return grouped[torch.cat(groups).argsort()]
    size = max(1, (PREDICT_TIMEPOINTS if x.device.type == "cpu" else PREDICT_TIMEPOINTS_GPU) // x.shape[-1])
    logits: Tensor | None = None  # of all cases, in one place: results kept apart would keep the heap from shrinking
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        found = network(x[part], None if lengths is None else lengths[part])
        logits = found.new_empty(len(x), found.shape[1]) if logits is None else logits
        logits[part] = found
    assert logits is not None
    return torch.log_softmax(logits.cpu().double(), dim=1)  # a GPU is waited for here, once


def cross_entropy(log_probabilities: Tensor, y: Tensor) -> float:
    """Return the mean negative log-likelihood of the true classes, in nats. y: int64 (n_cases,) on any device."""
    return F.nll_loss(log_probabilities, y.to(log_probabilities.device)).item()


def accuracy(log_probabilities: Tensor, y: Tensor) -> float:
    """Return the share of cases whose most probable class (the first of equals) is the true one. y: on any device."""
    return (log_probabilities.argmax(dim=1) == y.to(log_probabilities.device)).double().mean().item()
