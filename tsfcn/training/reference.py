"""The reference loop, which defines what a protocol means. Every faster engine must agree with it.

    fit      one network, one seed -> the weights of each selection, and the learning curve

The test set is not used here, except with `select=test_oracle`, whose results are marked in every table.
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

from tsfcn.common import global_random
from tsfcn.common.device import upload
from tsfcn.common.errors import UserError
from tsfcn.config.models import ModelConfig, spec
from tsfcn.config.protocol import Settings
from tsfcn.data.splits import stratified_holdout
from tsfcn.models import initialisers, registry
from tsfcn.training.checkpoint import State
from tsfcn.training.loop import (
    Curve,
    Diverged,
    Fit,
    OnEpochEnd,
    Progress,
    Start,
    Weights,
    check_finite,
    train_epochs,
)
from tsfcn.training.lr_scheduler import Plateau
from tsfcn.training.predict import accuracy, cross_entropy, predict

Cases = tuple[Tensor, Tensor, Tensor | None]  # x, y and lengths


def snapshot(network: nn.Module) -> Weights:
    """Return a copy of the parameters and the batch-norm statistics."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def to_device(weights: Weights, device: torch.device) -> Weights:
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
def flush_subnormals() -> Iterator[None]:
    """Make the processor treat subnormal numbers as zero: Adam's moments become subnormal, and are slow then."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def held_out_split(y: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the positions of the cases to train on and of those that are held out, int64 on the CPU.

    y: int64 (n_cases,); fraction: of each class that is held out, 0: none is; seed: of the draw.
    """
    if fraction == 0:
        return torch.arange(len(y)), torch.arange(0)
    fitted, held_out = stratified_holdout(y.cpu().numpy(), fraction, seed)
    return torch.from_numpy(fitted), torch.from_numpy(held_out)


def hold_out(
    cases: Cases, sample_weight: Tensor | None, fraction: float, seed: int
) -> tuple[Cases, Tensor | None, Cases]:
    """Return the cases to train on, their weights, and the held-out cases, whose y is on the CPU.

    cases: on any device; sample_weight: (n_cases,) or None; fraction: of each class that is held out; seed: of the
    draw.

    Raises:
        UserError: No case can be held out, since every class has one case only.
    """
    x, y, lengths = cases
    fitted, held_out = held_out_split(y, fraction, seed)
    if len(held_out) == 0:
        raise UserError(
            f"protocol.validation={fraction:g} holds out none of {len(y)} training cases "
            "(every class has one case only): use protocol.validation=0"
        )
    on_device, held_out_on_device = fitted.to(x.device), held_out.to(x.device)
    return (
        (x[on_device], y[on_device], None if lengths is None else lengths[fitted]),
        None if sample_weight is None else sample_weight[fitted],
        (x[held_out_on_device], y[held_out_on_device].cpu(), None if lengths is None else lengths[held_out]),
    )


def random_streams(seed: int, round_: int = 0) -> tuple[torch.Generator, torch.Generator, torch.Generator, int]:
    """Return the generators of initial weights, orders and dropout masks, and the seed of the held-out cases.

    Every engine draws from these, so that the same seed means the same training. Rounds of refinement (`Start.round`)
    have orders and masks of their own, and hold out the same cases as the first training.
    """
    seeds = np.random.SeedSequence([seed, round_] if round_ else seed).generate_state(4)
    init, order, masks = (torch.Generator().manual_seed(int(s)) for s in seeds[:3])
    return init, order, masks, int(np.random.SeedSequence(seed).generate_state(4)[3])


def load_start(network: nn.Module, weights: Weights) -> None:
    """Put weights into a network, by name; the others stay. Raises UserError for one that the network does not take."""
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    for name, value in weights.items():
        if name not in shapes or shapes[name] != value.shape:
            here = f"{tuple(shapes[name])} here" if name in shapes else "not there here"
            raise UserError(
                f"the weights to start from have {name} of shape {tuple(value.shape)}, which is {here}: use a source "
                "with as many channels, and as many timepoints unless the network takes any length"
            )
    network.load_state_dict(weights, strict=False)


class ReferenceTraining:
    """One network in training by autograd, which defines what a protocol means. The arguments are those of `fit`."""

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
        sample_weight: Tensor | None = None,
        patience: int = 0,
        start: Start | None = None,
        resume_from: State | None = None,
    ) -> None:
        init, self.order, self.masks, held_out_seed = random_streams(seed, 0 if start is None else start.round)
        self.held_out: Cases | None = None
        self.patience = patience
        if settings.validation > 0:
            (x, y, lengths), sample_weight, self.held_out = hold_out(
                (x, y, lengths), sample_weight, settings.validation, held_out_seed
            )
        self.oracle = None if oracle is None else (oracle[0], oracle[1].cpu(), oracle[2])
        self.settings, self.cells = settings, cells
        self.x, self.y, self.lengths = x, y, lengths

        self.uses_global_generators = spec(model).own_initialisation
        own = init if self.uses_global_generators else None
        self.network = registry.build(model, config, x.shape[1], x.shape[2], n_classes, cells, own)
        if not self.uses_global_generators:
            initialisers.initialise(self.network, settings.initialiser, init)
            initialisers.seed_dropout(self.network, self.masks)
        if start is not None:
            load_start(self.network, start.weights)
        self.network.to(dtype=x.dtype, device=x.device)
        if self.uses_global_generators:
            registry.check(self.network, x[:2], n_classes)
        weights = class_weights(y.cpu(), n_classes, settings.class_weights)
        self.case_weights = None if weights is None else weights.to(x.dtype)[y.cpu()].to(x.device)
        if sample_weight is not None:
            factors = sample_weight.to(dtype=x.dtype, device=x.device)
            self.case_weights = factors if self.case_weights is None else self.case_weights * factors
        self.optimizer = make_optimizer(self.network, settings)
        self.plateau = Plateau.from_settings(settings)
        self.best_weights: dict[str, Weights] = {}
        self.best_epoch: dict[str, int] = {}
        self.best_score = dict.fromkeys(("least_train_loss", "validation", "test_oracle"), math.inf)
        self.curve = Curve([], [])
        if resume_from is not None:
            self.load(resume_from)

    @property
    def n_epochs(self) -> int:
        """The number of epochs in all."""
        return self.settings.epochs

    @property
    def epochs_done(self) -> int:
        """The number of epochs that have ended."""
        return len(self.curve.loss)

    @property
    def is_finished(self) -> bool:
        """Whether all epochs have ended, or `patience` of them without a smaller loss on held-out cases."""
        waited = self.epochs_done - self.best_epoch.get("validation", 0)
        return self.epochs_done >= self.n_epochs or 0 < self.patience <= waited

    def state(self) -> State:
        """Return the state from which the training can be resumed with the same bits."""
        return {
            "epoch": self.epochs_done,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "order": self.order.get_state(),
            "masks": self.masks.get_state(),
            "plateau": (self.plateau.lr, self.plateau.best, self.plateau.num_bad_epochs),
            "kept": self.best_weights,
            "best_epoch": self.best_epoch,
            "least": self.best_score,
            "curve": asdict(self.curve),
        }

    def load(self, state: State) -> None:
        """Resume from a state that `state` has returned."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.order.set_state(state["order"])
        self.masks.set_state(state["masks"])
        self.plateau.lr, self.plateau.best, self.plateau.num_bad_epochs = state["plateau"]
        self.best_weights = {selection: to_device(each, self.x.device) for selection, each in state["kept"].items()}
        self.best_epoch, self.best_score = dict(state["best_epoch"]), dict(state["least"])
        self.curve = Curve(**state["curve"])

    def update_best(self, selection: str, score: float) -> None:
        """Keep the present weights for this selection if `score` is strictly less than all scores before."""
        if score < self.best_score[selection]:
            self.best_score[selection], self.best_epoch[selection] = score, self.epochs_done
            self.best_weights[selection] = snapshot(self.network)

    def train_epoch(self) -> float:
        """Train one epoch and return its loss. It waits for a GPU once, at the end."""
        x, y, lengths, batch = self.x, self.y, self.lengths, self.settings.batch(len(self.x))
        loss_dtype = torch.float32 if x.device.type == "mps" else torch.float64  # MPS has no float64
        total = torch.zeros((), dtype=loss_dtype, device=x.device)
        self.network.train()
        permutation = torch.randperm(len(x), generator=self.order)
        uploaded = upload(permutation, x.device)  # the order of the whole epoch in one copy
        with self.epoch_context():
            for index, index_cpu in zip(uploaded.split(batch), permutation.split(batch), strict=True):
                logits = registry.logits(self.network, x[index], None if lengths is None else lengths[index_cpu])
                losses = F.cross_entropy(logits, y[index], reduction="none")
                if self.case_weights is not None:
                    losses = losses * self.case_weights[index]
                self.optimizer.zero_grad(set_to_none=True)
                losses.mean().backward()
                self.optimizer.step()
                total += losses.detach().to(loss_dtype).sum()
            return total.item() / len(x)

    @contextlib.contextmanager
    def epoch_context(self) -> Iterator[None]:
        """Seed the global generators for an epoch of a network that uses them, and tell its errors in one line."""
        if not self.uses_global_generators:
            yield
            return
        batch = self.settings.batch(len(self.x))
        what = f"fails in training with {batch} cases in a batch and {len(self.x) % batch or batch} in the last"
        remedy = "correct its forward, or change protocol.batch_size or protocol.batch_divisor"
        seeded = global_random.seeded(global_random.draw_seed(self.masks), self.x.device)
        with seeded, registry.failures_of(type(self.network).__name__, what, remedy):
            yield

    def advance(self) -> float:
        """Train one epoch, update the best weights, set the next learning rate, and return the loss of the epoch."""
        loss = self.train_epoch()
        check_finite(loss, self.epochs_done + 1)
        self.curve.loss.append(loss)
        self.curve.lr.append(self.plateau.lr)
        self.update_best("least_train_loss", loss)
        if self.held_out is not None:
            x, y, lengths = self.held_out
            self.update_best("validation", cross_entropy(predict(self.network, x, lengths), y))
        if self.oracle is not None:
            x, y, lengths = self.oracle
            self.update_best("test_oracle", -accuracy(predict(self.network, x, lengths), y))
        self.optimizer.param_groups[0]["lr"] = self.plateau.step(loss)
        return loss

    def fit(self) -> Fit:
        """Return the fit after the last epoch. Raises Diverged if predictions are not finite."""
        weights = {**self.best_weights, "last": snapshot(self.network)}
        best_epoch = {**self.best_epoch, "last": self.epochs_done}
        if self.held_out is not None and "validation" not in weights:
            raise Diverged(f"predictions are not finite after {self.epochs_done} epochs: try a smaller protocol.lr")
        fit = Fit(self.network, weights, best_epoch, self.curve, self.cells, math.nan, dict(self.best_score))
        return with_train_cross_entropy(fit, self.x, self.y, self.lengths)


@flush_subnormals()
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
    sample_weight: Tensor | None = None,
    patience: int = 0,
    start: Start | None = None,
    progress: Progress | None = None,
    resume_from: State | None = None,
    on_epoch_end: OnEpochEnd | None = None,
) -> Fit:
    """Train one network from one seed and return the weights of each selection.

    An epoch is one pass in a new random order; the last, smaller batch is used too. The loss of an epoch is the mean
    over its cases of the cross-entropy in training mode, as it was when each batch was trained (the running mean of
    Keras). It drives the learning rate, and the weights after the epoch with the strictly least loss are kept.
    Initial weights, orders, dropout masks and the held-out cases depend on `seed` only, each from a random stream of
    its own. They are drawn on the CPU and are the same on every device. A network with `own_initialisation` draws its
    initial weights and masks from the global generators of Python, numpy and PyTorch, which the same streams seed when
    it is built and before each epoch; on a GPU its masks are others than on the CPU.

    Args:
        model: The name of a registered model.
        config: The model's settings.
        settings: The protocol, resolved for this model.
        x: float (n_cases, n_channels, n_timepoints); the training has its dtype and device.
        y: int64 (n_cases,), on the same device.
        n_classes: The number of classes.
        seed: All random numbers follow from it.
        lengths: int64 (n_cases,) on the CPU, the timepoints of each case that count (length=mask); None: all.
        cells: The hidden size of the LSTM, for networks that have one.
        oracle: x, y and lengths of the TEST set, for select=test_oracle only.
        sample_weight: float (n_cases,) on the CPU, a factor for the loss of each case; None: 1.
        patience: Stop after so many epochs without a smaller loss on the held-out cases; 0: train all epochs.
        start: The weights that the training starts from; None: random ones.
        progress: Called after every epoch with the epochs done, the epochs in all and the loss.
        resume_from: A state that `on_epoch_end` got after any epoch but the last; the training resumes with the same
            bits.
        on_epoch_end: Called after every epoch but the last with a function that returns the state.

    Raises:
        Diverged: The loss, or what the selected weights predict, is not finite.
        UserError: No case can be held out, a layer does not follow the seed, or `start` is of another network.
    """
    training = ReferenceTraining(
        *(model, config, settings, x, y, n_classes, seed),
        lengths=lengths,
        cells=cells,
        oracle=oracle,
        sample_weight=sample_weight,
        patience=patience,
        start=start,
        resume_from=resume_from,
    )
    train_epochs(training, progress, on_epoch_end)
    return training.fit()


def with_train_cross_entropy(fit: Fit, x: Tensor, y: Tensor, lengths: Tensor | None) -> Fit:
    """Return the fit with the training cross-entropy of its weights of least training loss.

    Args:
        fit: A fit whose `train_cross_entropy` is not yet known.
        x: float (n_cases, n_channels, n_timepoints), the fitted cases.
        y: int64 (n_cases,).
        lengths: int64 (n_cases,) on the CPU, or None.

    Raises:
        Diverged: The cross-entropy is not finite.
    """
    value = cross_entropy(predict(fit.load("least_train_loss"), x, lengths), y)
    if not math.isfinite(value):
        epochs = len(fit.curve.loss)
        raise Diverged(f"predictions are not finite after {epochs} epochs: try a smaller protocol.lr")
    return replace(fit, train_cross_entropy=value)
