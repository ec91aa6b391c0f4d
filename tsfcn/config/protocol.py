"""Protocols, and how a protocol becomes the settings of one model."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, MISSING, asdict, dataclass, field, fields, make_dataclass, replace
from typing import Any, Optional

from tsfcn.common.errors import UserError
from tsfcn.config import init_from, models
from tsfcn.config.checks import LARGEST_SEED, one_of, within
from tsfcn.config.models import ModelConfig


@dataclass
class TrainingConfig:
    """Training values of a protocol; None where a value is not set. `Settings` documents each field."""

    epochs: Optional[int] = None  # noqa: UP045
    batch_size: Optional[int] = None  # noqa: UP045
    batch_divisor: Optional[int] = None  # noqa: UP045
    optimiser: Optional[str] = None  # noqa: UP045
    lr: Optional[float] = None  # noqa: UP045
    betas: Optional[list[float]] = None  # noqa: UP045
    rho: Optional[float] = None  # noqa: UP045
    eps: Optional[float] = None  # noqa: UP045
    plateau_factor: Optional[float] = None  # noqa: UP045
    plateau_patience: Optional[int] = None  # noqa: UP045
    plateau_min_lr: Optional[float] = None  # noqa: UP045
    plateau_min_delta: Optional[float] = None  # noqa: UP045
    initialiser: Optional[str] = None  # noqa: UP045
    class_weights: Optional[str] = None  # noqa: UP045
    cells: Optional[list[int]] = None  # noqa: UP045


@dataclass
class BlocksConfig:
    """Training values that hold for one model only. `protocol_schema` adds a field for each registered model."""

    def block(self, model: str) -> TrainingConfig:
        """Return the values that are set for one model; the others are None."""
        block: TrainingConfig = getattr(self, model, TrainingConfig())
        return block


@dataclass
class ProtocolConfig(TrainingConfig):
    """Everything besides the architecture that moves the number.

    A training value is looked up first in this object (which only an override can set, for all models), then in the
    block of the model, then in `common`.
    """

    name: str = ""
    paper: str = ""
    paper_models: list[str] = field(default_factory=list)  # other models are marked off-paper
    normalisation: str = "none"
    missing: str = "zero"
    length: str = "pad"
    validation: float = 0.0  # fraction of the training cases that are held out to select weights
    select: str = "least_train_loss"
    # Probes of the data, which no paper has: they change the series in order to show what an accuracy rests on.
    truncate: float = 1.0
    permute_time: Optional[int] = None  # noqa: UP045
    noise: float = 0.0
    test_noise: float = 0.0
    # Other initial weights than random ones, and further rounds of training; `Settings` documents them.
    init_from: Optional[str] = None  # noqa: UP045
    refine_rounds: int = 0
    refine_epochs: int = 50
    common: TrainingConfig = field(default_factory=TrainingConfig)
    models: BlocksConfig = field(default_factory=BlocksConfig)


def protocol_schema() -> type[ProtocolConfig]:
    """Return ProtocolConfig with a block for each registered model."""
    blocks = [(name, TrainingConfig, field(default_factory=TrainingConfig)) for name in models.names()]
    kind = make_dataclass("BlocksConfig", blocks, bases=(BlocksConfig,))
    return make_dataclass("ProtocolConfig", [("models", kind, field(default_factory=kind))], bases=(ProtocolConfig,))


MOST_ROUNDS = 100  # after which the learning rate has been halved to 1e-30 of the first one
SELECTIONS = ("least_train_loss", "last", "validation", "test_oracle")


@dataclass(frozen=True)
class DataSettings:
    """How a protocol prepares the data, which is all of it that a classifier of a library depends on.

    A field with a default is left out of records and keys while it has it (`to_json`): it was added later, and at its
    default a job is what it was before.
    """

    normalisation: str  # none | series | train (data/preprocess.py)
    missing: str  # zero | interpolate (data/preprocess.py)
    length: str  # pad | cut | mask (data/preprocess.py)
    _: KW_ONLY  # the probes of the data (data/preprocess.py)
    truncate: float = 1.0  # fraction of the longest training case, from its start: nothing later is used of any case
    permute_time: int | None = None  # seed of the permutation of the timepoints of every case; None: as they are
    noise: float = 0.0  # standard deviation of the noise on the normalised values of training and test cases
    test_noise: float = 0.0  # the same on those of the test cases alone

    def __post_init__(self) -> None:
        """Check the ranges."""
        one_of("protocol.normalisation", self.normalisation, ("none", "series", "train"))
        one_of("protocol.missing", self.missing, ("zero", "interpolate"))
        one_of("protocol.length", self.length, ("pad", "cut", "mask"))
        self._check_probes()

    def _check_probes(self) -> None:
        """Check the ranges of the probes of the data, and that they are consistent."""
        if not 0 < self.truncate <= 1:
            raise UserError(
                f"protocol.truncate={self.truncate:g} is out of range: give a fraction above 0, at most 1 (all of it)"
            )
        if self.permute_time is not None:
            within("protocol.permute_time", self.permute_time, 0, LARGEST_SEED)
        within("protocol.noise", self.noise, 0)
        within("protocol.test_noise", self.test_noise, 0)
        if self.noise > 0 and self.test_noise > 0:
            raise UserError(
                f"protocol.noise={self.noise:g} and protocol.test_noise={self.test_noise:g} are both on the test "
                "cases: give one of them"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, without those that have their default (`Job.resolved` reads them)."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        kept = (each.name for each in fields(self) if each.default is MISSING or values[each.name] != each.default)
        return {name: list(values[name]) if isinstance(values[name], tuple) else values[name] for name in kept}


@dataclass(frozen=True)
class Settings(DataSettings):
    """A protocol resolved for one network: every value that training needs."""

    validation: float  # fraction of the training cases that are held out, 0 to below 1
    select: str  # which weights give the accuracy: one of SELECTIONS
    epochs: int
    batch_size: int  # maximum number of cases in a batch
    batch_divisor: int  # > 0: at most n_train // batch_divisor cases in a batch; 0: no such limit
    optimiser: str  # adam | adadelta
    lr: float
    betas: tuple[float, float]  # adam
    rho: float  # adadelta
    eps: float
    plateau_factor: float  # the learning rate is multiplied by this after plateau_patience epochs without improvement
    plateau_patience: int  # epochs, counted as Keras does; 0: the learning rate is constant
    plateau_min_lr: float
    plateau_min_delta: float  # absolute; a smaller decrease of the training loss does not count as an improvement
    initialiser: str  # of convolution kernels: glorot_uniform | he_uniform
    class_weights: str  # none | balanced (loss of a case times n_train / (n_classes * n_train of its class))
    # LSTM sizes; each is trained in full and the one with the least training cross-entropy is kept. () without an LSTM.
    cells: tuple[int, ...]
    init_from: str | None = None  # source of the initial weights of all layers but the head; None: they are random
    refine_rounds: int = 0  # further rounds of training, each from the selected weights (`refinement`)
    refine_epochs: int = 50  # of each round

    def __post_init__(self) -> None:
        """Check the ranges and that the fields are consistent."""
        super().__post_init__()
        one_of("protocol.select", self.select, SELECTIONS)
        one_of("protocol.optimiser", self.optimiser, ("adam", "adadelta"))
        one_of("protocol.initialiser", self.initialiser, ("glorot_uniform", "he_uniform"))
        one_of("protocol.class_weights", self.class_weights, ("none", "balanced"))
        within("protocol.validation", self.validation, 0, 1, open_high=True)
        for name, low in (
            ("epochs", 1),
            ("batch_size", 1),
            ("batch_divisor", 0),
            ("plateau_patience", 0),
            ("plateau_min_lr", 0),
            ("plateau_min_delta", 0),
            ("eps", 0),
        ):
            within(f"protocol.{name}", getattr(self, name), low)
        if not 0 < self.lr < math.inf:
            raise UserError(f"protocol.lr={self.lr:g} is out of range: give a positive number")
        if len(self.betas) != 2:
            raise UserError(f"protocol.betas={list(self.betas)} has {len(self.betas)} values: give two")
        for name, value in (("betas", self.betas[0]), ("betas", self.betas[1]), ("rho", self.rho)):
            within(f"protocol.{name}", value, 0, 1, open_high=True)
        if not 0 < self.plateau_factor < 1:
            raise UserError(f"protocol.plateau_factor={self.plateau_factor:g} is out of range: give a number in (0, 1)")
        for size in self.cells:
            within("protocol.cells", size, 1)
        if self.select == "validation" and self.validation == 0:
            raise UserError(
                "protocol.select=validation is without held-out cases: set protocol.validation, for example 0.2"
            )
        self._check_stages()

    def _check_stages(self) -> None:
        """Check what comes before the first epoch and after the last one."""
        if self.init_from is not None:
            init_from.parse(self.init_from)
        within("protocol.refine_rounds", self.refine_rounds, 0, MOST_ROUNDS)
        within("protocol.refine_epochs", self.refine_epochs, 1)
        if self.refine_rounds > 0 and self.select == "test_oracle":
            raise UserError(
                "protocol.refine_rounds is not for protocol.select=test_oracle: rounds start from weights that the "
                "training loss or held-out cases select"
            )

    def batch(self, n_fit: int) -> int:
        """Return the batch size for `n_fit` training cases, at least 1.

        batch_divisor=10 and batch_size=16 give the rule min(N / 10, 16), rounded down, of Wang et al. 2017 (code) and
        Fawaz et al. 2019. Below 20 cases a batch is one case; below 10 cases their rule gives 0 and this method 1.
        """
        limit = n_fit // self.batch_divisor if self.batch_divisor > 0 else self.batch_size
        return max(1, min(limit, self.batch_size))

    def refinement(self, number: int, n_fit: int, cells: int) -> Settings:
        """Return the settings of a round of refinement: the learning rate is halved in each, the batch in every second.

        Round k has the learning rate lr / 2^k and the batch size batch / 2^floor(k / 2), rounded down, at least 1.

        Args:
            number: Of the round, from 1.
            n_fit: The number of cases that are fitted.
            cells: The LSTM size that the first training has chosen; 0 without an LSTM.
        """
        return replace(
            self,
            epochs=self.refine_epochs,
            lr=self.lr / 2**number,
            batch_size=max(1, self.batch(n_fit) // 2 ** (number // 2)),
            batch_divisor=0,
            cells=(cells,) if cells else (),
            refine_rounds=0,
        )


def data_settings(protocol: ProtocolConfig) -> DataSettings:
    """Return how a protocol prepares the data. Raises UserError for a value out of range."""
    return DataSettings(**{each.name: getattr(protocol, each.name) for each in fields(DataSettings)})


def resolve(protocol: ProtocolConfig, model: str, config: ModelConfig) -> DataSettings:
    """Return what of a protocol one model depends on: Settings for a network, else DataSettings.

    Raises UserError for a value that is missing, out of range, or not possible for the model.

    Args:
        protocol: the protocol with the overrides of the user.
        model: the name of a registered model.
        config: its settings.
    """
    if not models.spec(model).library:
        return settings(protocol, model, config)
    check_length(protocol, model, config)
    if protocol.init_from is not None or protocol.refine_rounds:
        name = "refine_rounds" if protocol.init_from is None else "init_from"
        raise UserError(f"protocol.{name} is not for {model}, which keeps no weights: leave out one of them")
    return data_settings(protocol)


def check_length(protocol: ProtocolConfig, model: str, config: ModelConfig) -> None:
    """Raise UserError for length=mask where a model has no mask."""
    if protocol.length == "mask" and not models.spec(model).masks:
        reason = "takes one length" if config.fixed_length() else "has no mask"
        raise UserError(
            f"protocol.length=mask is not for {model}, which {reason}: use pad or cut, or leave {model} out"
        )


def settings(protocol: ProtocolConfig, model: str, config: ModelConfig) -> Settings:
    """Return the settings of one network under a protocol.

    The LSTM size of the model comes before the sizes of the protocol; a network without an LSTM has none.
    Raises UserError for a value that is missing, out of range, or not possible for the model.

    Args:
        protocol: the protocol with the overrides of the user.
        model: the name of a registered model.
        config: the settings of its network.
    """
    spec = models.spec(model)
    layers = (protocol, protocol.models.block(model), protocol.common)
    values: dict[str, Any] = {}
    for f in fields(TrainingConfig):
        candidates = [value for layer in layers if (value := getattr(layer, f.name)) is not None]
        if not candidates and asdict(protocol.common) == asdict(TrainingConfig()):
            raise UserError(f"protocol '{protocol.name}' has no training values, which {model} needs: choose another")
        if not candidates:
            raise UserError(f"protocol.{f.name} is not set in protocol '{protocol.name}': give it a value")
        values[f.name] = tuple(candidates[0]) if isinstance(candidates[0], list) else candidates[0]
    check_length(protocol, model, config)
    size = getattr(config, "cells", None)
    if not spec.lstm:
        values["cells"] = ()
    elif size is not None:
        values["cells"] = (size,)
    elif not values["cells"]:
        raise UserError("protocol.cells=[] is empty: give at least one LSTM size")
    return Settings(
        **asdict(data_settings(protocol)),
        validation=protocol.validation,
        select=protocol.select,
        init_from=protocol.init_from,
        refine_rounds=protocol.refine_rounds,
        refine_epochs=protocol.refine_epochs if protocol.refine_rounds else Settings.refine_epochs,  # else no effect
        **values,
    )


def unread(model: str, settings: DataSettings) -> set[str]:
    """Return the names of the settings that have no effect on this model."""
    if not isinstance(settings, Settings):
        return {f.name for f in fields(TrainingConfig)}
    spec = models.spec(model)
    of_another_optimiser = {"rho"} if settings.optimiser == "adam" else {"betas"}
    unused = {"initialiser"} if spec.own_initialisation else set()
    return of_another_optimiser | spec.unread | unused | (set() if spec.lstm else {"cells"})


def fast_trains(model: str, config: ModelConfig, settings: Settings) -> bool:
    """Return whether the fast engine can train this network with these settings.

    It trains networks whose specs declare it (FCN, and LSTM-FCN and ALSTM-FCN with the dimension shuffle), with Adam,
    without a mask, and without evaluation on held-out cases or the test set during training. The reference loop trains
    everything.
    """
    evaluates = settings.validation > 0 or settings.select == "test_oracle"
    plain = settings.optimiser == "adam" and settings.length != "mask" and not evaluates
    return plain and models.spec(model).fused(config)


def fast_takes(n_timepoints: int) -> bool:
    """Return whether the fast engine can train on series of this length, of any number of channels."""
    return n_timepoints > 1
