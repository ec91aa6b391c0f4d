"""The search over LSTM sizes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from tsfcn.config.models import ModelConfig
from tsfcn.config.protocol import Settings
from tsfcn.models import registry
from tsfcn.training.checkpoint import SavedState, State
from tsfcn.training.loop import Curve, Fit, Progress
from tsfcn.training.reference import fit, to_device


def best_fit(fits: Sequence[Fit]) -> Fit:
    """Return the fit that a search keeps: the one with the least training cross-entropy, the first of equals."""
    return min(fits, key=lambda each: each.train_cross_entropy)


def fit_state(fit: Fit) -> State:
    """Return a fit as plain values and tensors. The network itself is left out, since its weights are among them."""
    return {
        "weights": fit.weights,
        "best_epoch": fit.best_epoch,
        "curve": asdict(fit.curve),
        "cells": fit.cells,
        "train_cross_entropy": fit.train_cross_entropy,
        "least": fit.least,
    }


def fit_from_state(state: State, network: torch.nn.Module, device: torch.device) -> Fit:
    """Return the fit that `fit_state` has stored. network: of the fit's size, with any weights."""
    weights = {selection: to_device(each, device) for selection, each in state["weights"].items()}
    return Fit(network, **{**state, "weights": weights, "curve": Curve(**state["curve"])})


@dataclass(frozen=True)
class SizeTraining:
    """The training of one LSTM size as a part of the search: it counts epochs and keeps the state of all sizes."""

    earlier: Sequence[Fit]  # the sizes already trained
    epochs_before: int
    epochs_in_all: int
    progress: Progress | None
    checkpoint: SavedState | None

    def report_progress(self, epoch: int, _: int, loss: float) -> None:
        """Report the progress of the whole search."""
        if self.progress is not None:
            self.progress(self.epochs_before + epoch, self.epochs_in_all, loss)

    def search_state(self, state: Callable[[], State]) -> State:
        """Return the state of the whole search. state: returns that of this size."""
        now = state()
        fits = [fit_state(each) for each in self.earlier]
        return {"epoch": self.epochs_before + now["epoch"], "fits": fits, "fit": now}

    def on_epoch_end(self, state: Callable[[], State]) -> None:
        """Give the checkpoint the state of the whole search."""
        if self.checkpoint is not None:
            self.checkpoint.on_epoch_end(functools.partial(self.search_state, state))


def search(
    model: str,
    config: ModelConfig,
    settings: Settings,
    x: Tensor,
    y: Tensor,
    n_classes: int,
    seed: int,
    *,
    lengths: Tensor | None = None,
    oracle: tuple[Tensor, Tensor, Tensor] | None = None,
    progress: Progress | None = None,
    checkpoint: SavedState | None = None,
    fit_size: Callable[..., Fit] = fit,
    **options: Any,
) -> tuple[Fit, list[Fit]]:
    """Train every LSTM size of the settings, and return the best fit and all fits.

    The best fit is the one whose weights of least training loss have the least cross-entropy over the training cases in
    inference mode (Karim et al. 2019, hyperparameter_search.py), the first of equals. Networks without an LSTM are
    trained once.

    Args:
        model: The name of a registered model.
        config: The model's settings.
        settings: The protocol, resolved for this model; `settings.cells` are the sizes.
        x: float (n_cases, n_channels, n_timepoints).
        y: int64 (n_cases,), on the same device.
        n_classes: The number of classes.
        seed: All random numbers follow from it.
        lengths: int64 (n_cases,) on the CPU, the timepoints of each case that count (length=mask); None: all.
        oracle: x, y and lengths of the TEST set, for select=test_oracle only.
        progress: Called after every epoch with the epochs done, the epochs in all and the loss.
        checkpoint: The state to resume from, and where new states are written.
        fit_size: Trains one size; it takes the arguments of `reference.fit`.
        options: Further arguments of `fit_size`.

    Raises:
        Diverged: The loss, or what the selected weights predict, is not finite.
        Stopped: The checkpoint asked the training to stop.
    """
    sizes = settings.cells or (0,)
    resume_from = checkpoint.resume_state if checkpoint is not None else None
    fits: list[Fit] = []
    for stored in resume_from["fits"] if resume_from is not None else []:
        network = registry.build(model, config, x.shape[1], x.shape[2], n_classes, stored["cells"])
        fits.append(fit_from_state(stored, network.to(dtype=x.dtype, device=x.device), x.device))
    n_stored = len(fits)
    for number, cells in enumerate(sizes[n_stored:], start=n_stored):
        part = SizeTraining(
            earlier=tuple(fits),
            epochs_before=number * settings.epochs,
            epochs_in_all=settings.epochs * len(sizes),
            progress=progress,
            checkpoint=checkpoint,
        )
        fits.append(
            fit_size(
                *(model, config, settings, x, y, n_classes, seed),
                lengths=lengths,
                cells=cells,
                oracle=oracle,
                progress=part.report_progress,
                resume_from=resume_from["fit"] if resume_from is not None and number == n_stored else None,
                on_epoch_end=part.on_epoch_end,
                **options,
            )
        )
    return best_fit(fits), fits
