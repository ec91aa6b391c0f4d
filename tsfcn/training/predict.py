"""Log-probabilities of the classes, and the metrics that are computed from them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.models import registry

PREDICT_TIMEPOINTS = 2**13  # of a batch in inference: 8 MiB for each activation of 256 filters in float32
PREDICT_TIMEPOINTS_GPU = 2**17  # the same on a GPU: 128 MiB


@torch.no_grad()
def predict(network: nn.Module, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Return the log-probabilities of the classes, float64 (n_cases, n_classes) on the CPU.

    The network is in inference mode: running statistics in batch norm, no dropout. It stays in evaluation mode. Cases
    of equal length are predicted together and without padding, so a prediction never depends on another case.

    Args:
        network: The network.
        x: (n_cases, n_channels, n_timepoints), on the device of the network.
        lengths: int64 (n_cases,) on the CPU, the number of timepoints of each case that the network gets; None: all.
    """
    network.eval()
    if lengths is not None and bool((lengths < x.shape[-1]).any()):
        numbers = torch.arange(len(x))
        groups = [numbers[lengths == length] for length in lengths.unique().tolist()]
        grouped = torch.cat([predict(network, x[g.to(x.device), :, : int(lengths[g[0]])], lengths[g]) for g in groups])
        return grouped[torch.cat(groups).argsort()]
    size = max(1, (PREDICT_TIMEPOINTS if x.device.type == "cpu" else PREDICT_TIMEPOINTS_GPU) // x.shape[-1])
    logits: Tensor | None = None  # one tensor for all cases: many small results would keep the heap from shrinking
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        part_logits = registry.logits(network, x[part], None if lengths is None else lengths[part])
        logits = part_logits.new_empty(len(x), part_logits.shape[1]) if logits is None else logits
        logits[part] = part_logits
    assert logits is not None
    return torch.log_softmax(logits.cpu().double(), dim=1)  # the only point that waits for a GPU


def cross_entropy(log_probabilities: Tensor, y: Tensor) -> float:
    """Return the mean negative log-likelihood of the true classes, in nats. y: int64 (n_cases,) on any device."""
    return F.nll_loss(log_probabilities, y.to(log_probabilities.device)).item()


def accuracy(log_probabilities: Tensor, y: Tensor) -> float:
    """Return the fraction of cases whose most probable class is the true one. y: int64 (n_cases,) on any device.

    Of several classes with the same probability the first one counts.
    """
    return (log_probabilities.argmax(dim=1) == y.to(log_probabilities.device)).double().mean().item()
