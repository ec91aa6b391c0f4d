"""Training of networks that label every timepoint, their labels for a stream, and the metrics of these.

Long, Shelhamer and Darrell 2015, sections 3.4 (patchwise training is loss sampling), 4.2 and 5 (metrics).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.common.errors import UserError
from tsfcn.config.model_config import ModelConfig
from tsfcn.config.protocol import Settings
from tsfcn.config.segmentation_models import STRIDE
from tsfcn.data.streams import NO_LABEL, Stream
from tsfcn.models.segmentation import ConvolutionisedClassifier, SegmentationFCN, shift_and_stitch, slide
from tsfcn.training.checkpoint import Checkpoint
from tsfcn.training.loop import Diverged, Fit, Progress, Weights, train_epochs
from tsfcn.training.reference import ReferenceTraining, flush_subnormals, snapshot

# ---------------------------------------------------------------------------------------------------------------------
# Training


def check(settings: Settings) -> None:
    """Raise UserError for settings of a protocol that are for cases and not for streams."""
    if settings.validation > 0 or settings.select not in ("least_train_loss", "last"):
        raise UserError("protocol.validation and its selection are for cases, not for streams: leave them out")
    if settings.class_weights != "none":
        raise UserError(f"protocol.class_weights={settings.class_weights} is for cases, not for streams: use none")


def joined(streams: Sequence[Stream], dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return streams as x (n, c, t) with zeros, and y (n, t) with NO_LABEL, after the end of shorter ones."""
    longest = max(x.shape[1] for x, _ in streams)
    x = torch.zeros(len(streams), streams[0][0].shape[0], longest, dtype=dtype)
    y = torch.full((len(streams), longest), NO_LABEL)
    for number, (values, labels) in enumerate(streams):
        x[number, :, : values.shape[1]] = torch.from_numpy(values).to(dtype)
        y[number, : len(labels)] = torch.from_numpy(labels)
    return x.to(device), y.to(device)


def losses(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the cross-entropy of each timepoint, (n, t), 0 where it has no label."""
    return F.cross_entropy(network(x), y, ignore_index=NO_LABEL, reduction="none")


class SegmentationTraining(ReferenceTraining):
    """A network in training on whole streams, whose loss is the mean over all labelled timepoints of a batch.

    With a sampling below 1 the loss counts each cell of 32 timepoints with that probability, and a batch has as many
    more streams: the paper's way to compare training on patches with training on whole images (sections 3.4 and 4.3).

    Args:
        model: The name of a model of segmentation_models.
        config: Its settings.
        settings: The protocol, resolved for the model.
        x: (n_streams, n_channels, n_timepoints).
        y: int64 (n_streams, n_timepoints), NO_LABEL where a timepoint does not count.
        n_classes: The number of classes.
        seed: All random numbers follow from it.
        start: The weights of the stage before; layers that it does not have start as they are initialised.
        sampling: The fraction of cells that the loss counts.
        resume_from: A state of this training, or None.
    """

    def __init__(
        self,
        model: str,
        config: ModelConfig,
        settings: Settings,
        x: Tensor,
        y: Tensor,
        n_classes: int,
        seed: int,
        *,
        start: Weights,
        sampling: float,
        resume_from: dict[str, Any] | None = None,
    ) -> None:
        check(settings)
        self.sampling = sampling
        super().__init__(model, config, settings, x, y, n_classes, seed)
        own = self.network.state_dict()
        self.network.load_state_dict({**own, **{name: value for name, value in start.items() if name in own}})
        if resume_from is not None:
            self.load(resume_from)

    def train_epoch(self) -> float:
        """Train one epoch and return the mean loss of its labelled timepoints."""
        batch = self.settings.batch(len(self.x)) * max(1, round(1 / self.sampling))
        total, count = 0.0, 0
        self.network.train()
        for index in torch.randperm(len(self.x), generator=self.order).to(self.x.device).split(batch):
            x, y = self.x[index], self.sampled(self.y[index])
            n_labelled = int((y != NO_LABEL).sum())
            if n_labelled == 0:
                continue
            loss = losses(self.network, x, y).sum() / n_labelled
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            total, count = total + loss.item() * n_labelled, count + n_labelled
        if count == 0:
            raise UserError("no labelled timepoint was sampled in an epoch: use a greater segmentation.sampling")
        return total / count

    def sampled(self, y: Tensor) -> Tensor:
        """Return the labels (n, t) that a step counts; the others are NO_LABEL."""
        if self.sampling == 1:
            return y
        cells = torch.rand(len(y), -(-y.shape[1] // STRIDE), generator=self.masks) < self.sampling
        counted = cells.repeat_interleave(STRIDE, dim=1)[:, : y.shape[1]].to(y.device)
        return torch.where(counted, y, NO_LABEL)

    @torch.no_grad()
    def fit(self) -> Fit:
        """Return the fit after the last epoch. Raises Diverged if its loss is not finite."""
        weights = {**self.best_weights, "last": snapshot(self.network)}
        best_epoch = {**self.best_epoch, "last": self.epochs_done}
        fit = Fit(self.network, weights, best_epoch, self.curve, 0, math.nan, dict(self.best_score))
        network = fit.load(self.settings.select)
        total = sum(losses(network, x[None], y[None]).sum().item() for x, y in zip(self.x, self.y, strict=True))
        cross_entropy = total / int((self.y != NO_LABEL).sum())
        if not math.isfinite(cross_entropy):
            raise Diverged(f"predictions are not finite after {self.epochs_done} epochs: try a smaller protocol.lr")
        return replace(fit, network=network, train_cross_entropy=cross_entropy)


@flush_subnormals()
def fit(
    *arguments: Any,
    start: Weights,
    sampling: float,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> Fit:
    """Train one stage; arguments: as for SegmentationTraining. Raises Diverged and UserError as it does."""
    resume_from = None if checkpoint is None else checkpoint.resume_state
    training = SegmentationTraining(*arguments, start=start, sampling=sampling, resume_from=resume_from)
    train_epochs(training, progress, None if checkpoint is None else checkpoint.on_epoch_end)
    return training.fit()


# ---------------------------------------------------------------------------------------------------------------------
# Labels


def labelling_network(network: nn.Module, labelling: str) -> nn.Module:
    """Return the network that labels streams, in evaluation mode: a classifier becomes a convolution unless it slides.

    Raises UserError for a classifier that cannot become one.
    """
    if labelling == "sliding" or isinstance(network, SegmentationFCN):
        return network.eval()
    first = next(network.parameters())
    return ConvolutionisedClassifier(network).to(dtype=first.dtype, device=first.device).eval()


@torch.no_grad()
def log_probabilities(network: nn.Module, x: Tensor, labelling: str, window: int = 0, step: int = 1) -> Tensor:
    """Return the log-probabilities of the classes at every timepoint of a stream, float64 (t, n_classes) on the CPU.

    Args:
        network: A network of dense labelling, or with labelling=sliding a classifier; in evaluation mode.
        x: (c, t).
        labelling: One of segmentation.LABELLINGS.
        window: sliding: the timepoints of a window.
        step: sliding: the timepoints between two windows.
    """
    if labelling == "sliding":
        logits = slide(network, x, window, step)
    elif labelling == "shift_and_stitch":
        assert isinstance(network, (SegmentationFCN, ConvolutionisedClassifier))
        stride = network.stride if isinstance(network, SegmentationFCN) else STRIDE
        logits = shift_and_stitch(network.coarse, x[None], stride)[0]
    else:
        logits = network(x[None])[0]
    return torch.log_softmax(logits.T.cpu().double(), dim=1)


# ---------------------------------------------------------------------------------------------------------------------
# Metrics (section 5)


@dataclass(frozen=True)
class Metrics:
    """The four metrics of Long et al. 2015, as fractions; n_ij: timepoints of class i that are predicted as class j."""

    accuracy: float  # sum_i n_ii / sum_ij n_ij
    mean_accuracy: float  # mean over the classes that occur of n_ii / sum_j n_ij
    mean_iu: float  # mean of n_ii / (sum_j n_ij + sum_j n_ji - n_ii), over the classes that occur or are predicted
    frequency_weighted_iu: float  # the same, weighted by how often each class occurs


def metrics(y_true: npt.NDArray[np.int64], y_predicted: npt.NDArray[np.int64], n_classes: int) -> Metrics:
    """Return the metrics of labelled timepoints, both int (n_timepoints,); at least one.

    The IU of a class that neither occurs nor is predicted is left out of the mean, and so is the accuracy of a class
    that does not occur.

    >>> metrics(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 3)  # doctest: +NORMALIZE_WHITESPACE
    Metrics(accuracy=0.75, mean_accuracy=0.75, mean_iu=0.5833333333333333,
            frequency_weighted_iu=0.5833333333333333)
    """
    counts = np.bincount(y_true * n_classes + y_predicted, minlength=n_classes**2).reshape(n_classes, n_classes)
    right, occurs, predicted = np.diag(counts).astype(np.float64), counts.sum(axis=1), counts.sum(axis=0)
    union = occurs + predicted - right
    accuracies = right[occurs > 0] / occurs[occurs > 0]
    ius = right[union > 0] / union[union > 0]
    return Metrics(
        accuracy=float(right.sum() / counts.sum()),
        mean_accuracy=float(accuracies.mean()),
        mean_iu=float(ius.mean()),
        frequency_weighted_iu=float((occurs[union > 0] * ius).sum() / counts.sum()),
    )
