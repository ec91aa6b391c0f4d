"""The search over LSTM sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from torch import Tensor

from tsfcn.config.models import ModelConfig
from tsfcn.config.protocol import Settings
from tsfcn.models import registry
from tsfcn.training.checkpoint import Checkpoint, State
from tsfcn.training.loop import Curve, Fit, Progress
from tsfcn.training.reference import fit, on_device


def chosen(fits: Sequence[Fit]) -> Fit:
    """Return the fit that a search keeps: with the least training cross-entropy, the first of equals."""
    return min(fits, key=lambda done: done.train_cross_entropy)


def packed(fit: Fit) -> State:
    """Return what a fit is made from again, beside its network, whose weights are among them."""
    return {
        "weights": fit.weights,
        "best_epoch": fit.best_epoch,
        "curve": asdict(fit.curve),
        "cells": fit.cells,
        "train_cross_entropy": fit.train_cross_entropy,
    }


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
    checkpoint: Checkpoint | None = None,
    by: Callable[..., Fit] = fit,
) -> tuple[Fit, list[Fit]]:
    """Train every LSTM size that is asked for, and return the fit to keep and all of them.

    Kept is the one whose weights of least training loss have the least cross-entropy over the training cases in
    inference mode (Karim et al. 2019, hyperparameter_search.py); the first of equals. Networks without an LSTM are
    trained once. Arguments and errors as for `fit`; checkpoint: where the training goes on, and what keeps its state;
    by: what trains one size.
    """
    sizes = settings.cells or (0,)
    epochs = settings.epochs * len(sizes)
    begin = checkpoint.begin if checkpoint is not None else None
    fits: list[Fit] = []
    for done in begin["fits"] if begin is not None else []:
        network = registry.build(model, config, x.shape[1], x.shape[2], n_classes, done["cells"])
        weights = {selection: on_device(each, x.device) for selection, each in done["weights"].items()}
        again = {**done, "weights": weights, "curve": Curve(**done["curve"])}
        fits.append(Fit(network.to(dtype=x.dtype, device=x.device), **again))
    for number, cells in enumerate(sizes):
        if number < len(fits):
            continue

        def ended(state: Callable[[], State], done: int = number * settings.epochs) -> None:
            def whole() -> State:
                now = state()
                return {"epoch": done + now["epoch"], "fits": [packed(earlier) for earlier in fits], "fit": now}

            if checkpoint is not None:
                checkpoint.epoch_ended(whole)

        def onward(epoch: int, _: int, loss: float, done: int = number * settings.epochs) -> None:
            if progress is not None:
                progress(done + epoch, epochs, loss)

        fits.append(
            by(
                *(model, config, settings, x, y, n_classes, seed),
                lengths=lengths,
                cells=cells,
                oracle=oracle,
                progress=onward,
                begin=begin["fit"] if begin is not None and number == len(begin["fits"]) else None,
                ended=ended,
            )
        )
    return chosen(fits), fits
