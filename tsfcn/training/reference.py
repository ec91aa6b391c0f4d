"""The reference loop: it defines what a protocol means. Every faster way to train must agree with it.

    fit      one network, one seed -> the weights that each rule of selection keeps, and the learning curve
    search   fit for each LSTM size of the protocol -> the fit with the least training cross-entropy
    predict  log-probabilities of the classes in inference mode

The test set is not seen here, except under `select=test_oracle`, whose results every table marks.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.common.device import upload
from tsfcn.common.errors import UserError
from tsfcn.config.models import ModelConfig
from tsfcn.config.protocol import Settings
from tsfcn.data.splits import stratified_holdout
from tsfcn.models import initialisers, registry
from tsfcn.training.checkpoint import State
from tsfcn.training.loop import Curve, Diverged, Ended, Fit, Progress, Weights, check_finite, train_epochs
from tsfcn.training.lr_scheduler import Plateau
from tsfcn.training.predict import accuracy, cross_entropy, predict


def snapshot(network: nn.Module) -> Weights:
    """Return a copy of the parameters and the batch-norm statistics."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def on_device(weights: Weights, device: torch.device) -> Weights:
    """Return the weights as tensors on the device."""
    return {name: value.to(device) for name, value in weights.items()}


def make_optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Return the optimiser of the settings over all parameters of the network."""
    if settings.optimiser == "adadelta":
        return torch.optim.Adadelta(network.parameters(), lr=settings.lr, rho=settings.rho, eps=settings.eps)
    return torch.optim.Adam(network.parameters(), lr=settings.lr, betas=settings.betas, eps=settings.eps, fused=True)


def class_weights(y: Tensor, n_classes: int, rule: str) -> Tensor | None:
    """Return the weight of each class, n / (n_classes * n_of_the_class), for 'balanced', None for 'none'."""
    if rule == "none":
        return None
    counts = torch.bincount(y, minlength=n_classes).clamp(min=1)
    return len(y) / (n_classes * counts.double())


@contextlib.contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Let the processor take subnormal numbers as zero: Adam's moments of a converged network are, and are slow."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


class ReferenceTraining:
    """One network in training by autograd, the definition of what a protocol means. Arguments as for `fit`."""

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
        lengths: Tensor | None = None,
        cells: int = 0,
        oracle: tuple[Tensor, Tensor, Tensor] | None = None,
        begin: State | None = None,
    ) -> None:
        seeds = np.random.SeedSequence(seed).generate_state(4)
        init, self.order, self.masks = (torch.Generator().manual_seed(int(s)) for s in seeds[:3])
        self.held: tuple[Tensor, Tensor, Tensor | None] | None = None
        if settings.validation > 0:
            fit_index, held_index = stratified_holdout(y.cpu().numpy(), settings.validation, int(seeds[3]))
            if len(held_index) == 0:
                raise UserError(
                    f"protocol.validation={settings.validation:g} holds out none of {len(y)} training cases "
                    "(every class has one case only): use protocol.validation=0"
                )
            kept_in, left_out = (torch.from_numpy(index) for index in (fit_index, held_index))
            held_lengths = None if lengths is None else lengths[left_out]
            self.held = x[left_out.to(x.device)], y[left_out.to(x.device)].cpu(), held_lengths
            x, y = x[kept_in.to(x.device)], y[kept_in.to(x.device)]
            lengths = None if lengths is None else lengths[kept_in]
        self.oracle = None if oracle is None else (oracle[0], oracle[1].cpu(), oracle[2])
        self.settings, self.cells = settings, cells
        self.x, self.y, self.lengths = x, y, lengths

        self.network = registry.build(model, config, x.shape[1], x.shape[2], n_classes, cells)
        initialisers.initialise(self.network, settings.initialiser, init)
        initialisers.seed_dropout(self.network, self.masks)
        self.network.to(dtype=x.dtype, device=x.device)
        weights = class_weights(y.cpu(), n_classes, settings.class_weights)
        self.case_weights = None if weights is None else weights.to(x.dtype)[y.cpu()].to(x.device)
        self.optimizer = make_optimizer(self.network, settings)
        self.plateau = Plateau.of(settings)
        self.kept: dict[str, Weights] = {}
        self.best_epoch: dict[str, int] = {}
        self.least = dict.fromkeys(("least_train_loss", "validation", "test_oracle"), math.inf)
        self.curve = Curve([], [])
        if begin is not None:
            self.load(begin)

    @property
    def n_epochs(self) -> int:
        """Epochs in all."""
        return self.settings.epochs

    @property
    def done(self) -> int:
        """Epochs that have ended."""
        return len(self.curve.loss)

    def state(self) -> State:
        """Return what the rest of the training follows from."""
        return {
            "epoch": self.done,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "order": self.order.get_state(),
            "masks": self.masks.get_state(),
            "plateau": (self.plateau.lr, self.plateau.best, self.plateau.waited),
            "kept": self.kept,
            "best_epoch": self.best_epoch,
            "least": self.least,
            "curve": asdict(self.curve),
        }

    def load(self, state: State) -> None:
        """Take up such a state."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.order.set_state(state["order"])
        self.masks.set_state(state["masks"])
        self.plateau.lr, self.plateau.best, self.plateau.waited = state["plateau"]
        self.kept = {selection: on_device(weights, self.x.device) for selection, weights in state["kept"].items()}
        self.best_epoch, self.least = dict(state["best_epoch"]), dict(state["least"])
        self.curve = Curve(**state["curve"])

    def keep(self, selection: str, score: float) -> None:
        """Keep the weights as they are now where the score of this selection is its least so far."""
        if score < self.least[selection]:
            self.least[selection], self.best_epoch[selection] = score, self.done
            self.kept[selection] = snapshot(self.network)

    def train_epoch(self) -> float:
        """Train one epoch and return its loss; a GPU is waited for once."""
        x, y, lengths, batch = self.x, self.y, self.lengths, self.settings.batch(len(self.x))
        loss_dtype = torch.float32 if x.device.type == "mps" else torch.float64  # MPS has no float64
        total = torch.zeros((), dtype=loss_dtype, device=x.device)
        self.network.train()
        permutation = torch.randperm(len(x), generator=self.order)
        uploaded = upload(permutation, x.device)  # the whole epoch's order in one copy
        for index, index_cpu in zip(uploaded.split(batch), permutation.split(batch), strict=True):
            logits = self.network(x[index], None if lengths is None else lengths[index_cpu])
            losses = F.cross_entropy(logits, y[index], reduction="none")
            if self.case_weights is not None:
                losses = losses * self.case_weights[index]
            self.optimizer.zero_grad(set_to_none=True)
            losses.mean().backward()
            self.optimizer.step()
            total += losses.detach().to(loss_dtype).sum()
        return total.item() / len(x)

    def advance(self) -> float:
        """Train one epoch, keep the weights that are to be kept, set the next learning rate. Returns its loss."""
        loss = self.train_epoch()
        check_finite(loss, self.done + 1)
        self.curve.loss.append(loss)
        self.curve.lr.append(self.plateau.lr)
        self.keep("least_train_loss", loss)
        if self.held is not None:
            x, y, lengths = self.held
            self.keep("validation", cross_entropy(predict(self.network, x, lengths), y))
        if self.oracle is not None:
            x, y, lengths = self.oracle
            self.keep("test_oracle", -accuracy(predict(self.network, x, lengths), y))
        self.optimizer.param_groups[0]["lr"] = self.plateau.step(loss)
        return loss

    def fit(self) -> Fit:
        """Return the fit, when all epochs have ended. Raises Diverged where predictions are not finite."""
        kept = {**self.kept, "last": snapshot(self.network)}
        best_epoch = {**self.best_epoch, "last": self.n_epochs}
        if self.held is not None and "validation" not in kept:
            raise Diverged(f"predictions are not finite after {self.n_epochs} epochs: try a smaller protocol.lr")
        fit = Fit(self.network, kept, best_epoch, self.curve, self.cells, math.nan)
        return finished(fit, self.x, self.y, self.lengths)


@subnormals_flushed()
def fit(
    model: str,
    config: ModelConfig,
    settings: Settings,
    x: Tensor,
    y: Tensor,
    n_classes: int,
    seed: int,
    *,
    lengths: Tensor | None = None,
    cells: int = 0,
    oracle: tuple[Tensor, Tensor, Tensor] | None = None,
    progress: Progress | None = None,
    begin: State | None = None,
    ended: Ended | None = None,
) -> Fit:
    """Train one network from one seed and return the weights that each rule of selection keeps.

    An epoch is one pass in a fresh random order; the last, smaller batch is kept. The loss of an epoch is the mean
    over its cases of the cross-entropy in training mode, as it was when each batch was trained (Keras' running mean):
    it drives the learning rate, and the weights after the epoch with the strictly least one are kept.
    Initial weights, orders, dropout masks and the held-out cases depend on `seed` alone, each from a stream of its own;
    they are drawn on the CPU and are the same on every device.

    Args:
        model: The name of a registered model.
        config: The model's settings.
        settings: The protocol, resolved for this model.
        x: float (n_cases, n_channels, n_timepoints); its dtype and device are the training's.
        y: int64 (n_cases,), on the same device.
        n_classes: The number of classes.
        seed: All random numbers follow from it.
        lengths: int64 (n_cases,) on the CPU, the timepoints of each case that count (length=mask); None: all.
        cells: The LSTM's size, for networks that have one.
        oracle: x, y and lengths of the TEST set, for select=test_oracle only.
        progress: Called after every epoch with the epochs done, those in all and the loss.
        begin: A state that `ended` was given, after any epoch but the last: training goes on with the same bits.
        ended: Called after every epoch but the last with a function that returns the state.

    Raises:
        Diverged: The loss, or what the kept weights predict, is not finite.
    """
    training = ReferenceTraining(
        *(model, config, settings, x, y, n_classes, seed), lengths=lengths, cells=cells, oracle=oracle, begin=begin
    )
    train_epochs(training, progress, ended)
    return training.fit()


def finished(done: Fit, x: Tensor, y: Tensor, lengths: Tensor | None) -> Fit:
    """Return a fit with the cross-entropy of its weights of least training loss. Raises Diverged if not finite."""
    final = cross_entropy(predict(done.load("least_train_loss"), x, lengths), y)
    if not math.isfinite(final):
        epochs = len(done.curve.loss)
        raise Diverged(f"predictions are not finite after {epochs} epochs: try a smaller protocol.lr")
    return replace(done, train_cross_entropy=final)
