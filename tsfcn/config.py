"""What conf/ may hold: types, units and cross-field checks, and how a protocol becomes the settings of one model.

The dataclasses are the schema that Hydra checks every YAML file and every override against. They carry no behaviour
besides their checks, and need the standard library alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Optional

from tsfcn.common.device import check_device
from tsfcn.common.errors import UserError

MODELS = ("fcn", "lstm_fcn", "alstm_fcn", "mlp", "resnet")


def one_of(name: str, value: object, words: Iterable[str]) -> None:
    """Raise UserError unless `value` is one of `words`; `name` is the setting as the user writes it."""
    words = tuple(words)
    if value not in words:
        raise UserError(f"{name}={value} is not known: use one of {', '.join(words)}")


def within(name: str, value: float, low: float, high: float = math.inf, *, open_high: bool = False) -> None:
    """Raise UserError unless low <= value <= high (value < high with `open_high`)."""
    if not (low <= value < high if open_high else low <= value <= high) or math.isinf(value):
        limit = (
            f"at least {low:g}" if high == math.inf else f"from {low:g} {'to below' if open_high else 'to'} {high:g}"
        )
        raise UserError(f"{name}={value:g} is out of range: give a number {limit}")


# ---------------------------------------------------------------------------------------------------------------------
# Models. The defaults are the published architectures; conf/model/*.yaml repeats them with their sources (a test holds
# the two equal), so that `--cfg job` shows every number.


@dataclass
class FCNConfig:
    """The three-block temporal FCN of Wang et al. 2017, section II.B."""

    filters: list[int] = field(default_factory=lambda: [128, 256, 128])
    kernels: list[int] = field(default_factory=lambda: [8, 5, 3])  # timepoints
    bn_momentum: float = 0.99  # Keras' convention: the share of the running value that is kept at each step
    bn_eps: float = 0.001

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.filters or len(self.filters) != len(self.kernels):
            raise UserError(
                f"filters={self.filters} and kernels={self.kernels} are of different length (or empty): "
                "give one kernel size a block"
            )
        for name in ("filters", "kernels"):
            for value in getattr(self, name):
                within(name, value, 1)
        within("bn_momentum", self.bn_momentum, 0, 1, open_high=True)
        within("bn_eps", self.bn_eps, 0)


@dataclass
class LSTMFCNConfig(FCNConfig):
    """The FCN beside an LSTM branch, Karim et al. 2018, section III; also ALSTM-FCN, whose LSTM attends."""

    cells: Optional[int] = None  # noqa: UP045 (OmegaConf 2.3 knows Optional); None: the protocol's list of sizes is searched
    dropout: float = 0.8  # probability of dropping an output of the LSTM
    shuffle: bool = True  # dimension shuffle: a univariate series is one step of n_timepoints features
    gates: str = "hard_sigmoid"

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if self.cells is not None:
            within("cells", self.cells, 1)
        within("dropout", self.dropout, 0, 1, open_high=True)
        one_of("gates", self.gates, ("hard_sigmoid", "sigmoid"))


@dataclass
class MLPConfig:
    """The multilayer perceptron of Wang et al. 2017, section II.A."""

    units: list[int] = field(default_factory=lambda: [500, 500, 500])
    dropout: list[float] = field(default_factory=lambda: [0.1, 0.2, 0.2, 0.3])  # before each hidden layer and the head

    def __post_init__(self) -> None:
        """Check the ranges."""
        if len(self.dropout) != len(self.units) + 1:
            raise UserError(f"dropout={self.dropout} has {len(self.dropout)} values: give {len(self.units) + 1}")
        for value in self.units:
            within("units", value, 1)
        for rate in self.dropout:
            within("dropout", rate, 0, 1, open_high=True)


@dataclass
class ResNetConfig:
    """The residual network of Wang et al. 2017, section II.C."""

    filters: list[int] = field(default_factory=lambda: [64, 128, 128])  # of each residual block
    kernels: list[int] = field(default_factory=lambda: [8, 5, 3])  # of the three convolutions inside a block
    input_norm: bool = False  # Wang's code (not the paper) normalises the input of the first block
    bn_momentum: float = 0.99
    bn_eps: float = 0.001

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("filters", "kernels"):
            if not getattr(self, name):
                raise UserError(f"{name}=[] is empty: give at least one number")
            for value in getattr(self, name):
                within(name, value, 1)
        within("bn_momentum", self.bn_momentum, 0, 1, open_high=True)
        within("bn_eps", self.bn_eps, 0)


ModelConfig = FCNConfig | LSTMFCNConfig | MLPConfig | ResNetConfig


@dataclass
class ModelsConfig:
    """The models asked for: those that are not None."""

    fcn: Optional[FCNConfig] = None  # noqa: UP045
    lstm_fcn: Optional[LSTMFCNConfig] = None  # noqa: UP045
    alstm_fcn: Optional[LSTMFCNConfig] = None  # noqa: UP045
    mlp: Optional[MLPConfig] = None  # noqa: UP045
    resnet: Optional[ResNetConfig] = None  # noqa: UP045

    def chosen(self) -> dict[str, ModelConfig]:
        """Return the chosen models by name, in the order of MODELS."""
        return {name: getattr(self, name) for name in MODELS if getattr(self, name) is not None}


# ---------------------------------------------------------------------------------------------------------------------
# Protocols


@dataclass
class TrainingConfig:
    """How one model is trained. None means: not said here. Settings gives each field's meaning."""

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
    """What a paper does otherwise for one model than for the others."""

    fcn: TrainingConfig = field(default_factory=TrainingConfig)
    lstm_fcn: TrainingConfig = field(default_factory=TrainingConfig)
    alstm_fcn: TrainingConfig = field(default_factory=TrainingConfig)
    mlp: TrainingConfig = field(default_factory=TrainingConfig)
    resnet: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass
class ProtocolConfig(TrainingConfig):
    """Everything besides the architecture that moves the number.

    A training value is looked up here first (where only a user's override puts one: it then holds for every model),
    then in the model's block, then in `common`.
    """

    name: str = ""
    paper: str = ""
    paper_models: list[str] = field(default_factory=list)  # any other pair is marked off-paper
    normalisation: str = "none"
    missing: str = "zero"
    length: str = "pad"
    validation: float = 0.0  # share of the training cases held out to select weights by
    select: str = "least_train_loss"
    common: TrainingConfig = field(default_factory=TrainingConfig)
    models: BlocksConfig = field(default_factory=BlocksConfig)


SELECTIONS = ("least_train_loss", "last", "validation", "test_oracle")


@dataclass(frozen=True)
class Settings:
    """A protocol resolved for one model: every number that training needs, and nothing left open."""

    normalisation: str  # none | series | train: see arrays.py
    missing: str  # zero | interpolate: likewise
    length: str  # pad | cut | mask: likewise
    validation: float  # 0 <= share < 1 of the training cases held out
    select: str  # whose weights make the accuracy: one of SELECTIONS
    epochs: int
    batch_size: int  # cases a batch, at most
    batch_divisor: int  # > 0: also at most n_train // batch_divisor cases; 0: no such limit
    optimiser: str  # adam | adadelta
    lr: float
    betas: tuple[float, float]  # adam
    rho: float  # adadelta
    eps: float
    plateau_factor: float  # the learning rate is multiplied by this after plateau_patience epochs without improvement
    plateau_patience: int  # epochs, in Keras' sense; 0: the learning rate stays
    plateau_min_lr: float
    plateau_min_delta: float  # absolute; a smaller gain in training loss is none
    initialiser: str  # of convolution kernels: glorot_uniform | he_uniform
    class_weights: str  # none | balanced: each case's loss times n_train / (n_classes * n_train of its class)
    cells: tuple[
        int, ...
    ]  # LSTM sizes, each trained in full, the least training cross-entropy kept; () without an LSTM

    def __post_init__(self) -> None:
        """Check the ranges and that the fields fit each other."""
        one_of("protocol.normalisation", self.normalisation, ("none", "series", "train"))
        one_of("protocol.missing", self.missing, ("zero", "interpolate"))
        one_of("protocol.length", self.length, ("pad", "cut", "mask"))
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
            raise UserError("protocol.select=validation is without held-out cases: set protocol.validation=0.2 or so")

    def batch(self, n_fit: int) -> int:
        """Return the cases a batch for `n_fit` training cases, at least 1.

        With batch_divisor 10 and batch_size 16 this is the rule min(N / 10, 16), rounded down, of Wang et al. 2017
        (code) and Fawaz et al. 2019; below 20 cases it gives batches of one case, below 10 the rule gives 0 and we 1.
        """
        limit = n_fit // self.batch_divisor if self.batch_divisor > 0 else self.batch_size
        return max(1, min(limit, self.batch_size))


def settings(protocol: ProtocolConfig, model: str, config: ModelConfig) -> Settings:
    """Return the settings of one model under a protocol. Raises UserError for a value missing, out of range or unfit.

    The LSTM sizes are those of the model if it names one, else the protocol's, and none for a network without an LSTM.
    """
    layers = (protocol, getattr(protocol.models, model), protocol.common)
    found: dict[str, Any] = {}
    for f in fields(TrainingConfig):
        said = [value for layer in layers if (value := getattr(layer, f.name)) is not None]
        if not said:
            raise UserError(f"protocol.{f.name} is not set in protocol '{protocol.name}': give it a value")
        found[f.name] = tuple(said[0]) if isinstance(said[0], list) else said[0]
    if protocol.length == "mask" and isinstance(config, MLPConfig):
        raise UserError("protocol.length=mask is not for mlp, which takes one length: use pad or cut, or leave mlp out")
    if not isinstance(config, LSTMFCNConfig):
        found["cells"] = ()
    elif config.cells is not None:
        found["cells"] = (config.cells,)
    elif not found["cells"]:
        raise UserError("protocol.cells=[] is empty: give at least one LSTM size")
    return Settings(
        normalisation=protocol.normalisation,
        missing=protocol.missing,
        length=protocol.length,
        validation=protocol.validation,
        select=protocol.select,
        **found,
    )


# ---------------------------------------------------------------------------------------------------------------------
# The run


@dataclass
class ArchiveConfig:
    """Where datasets lie, and where those that are missing come from."""

    root: Optional[str] = None  # noqa: UP045 (None: the variable TSFCN_ARCHIVE, else the default folder)
    download: str = "ask"  # missing datasets: ask (on a terminal, else never), auto, never
    mirror: Optional[str] = None  # noqa: UP045 (None: the archive's public site)
    split: str = "ucr2018"  # ucr2015: train and test as the 2015 archive has them, which 14 datasets have reversed

    def __post_init__(self) -> None:
        """Check the ranges."""
        one_of("archive.download", self.download, ("ask", "auto", "never"))
        one_of("archive.split", self.split, ("ucr2018", "ucr2015"))


ENGINES = ("auto", "reference", "fast")
PRECISIONS = ("auto", "float32", "float64", "bfloat16", "tf32")
FAST_PRECISIONS = ("bfloat16", "tf32")  # of the fast engine alone


@dataclass
class EngineConfig:
    """How a network is trained: nothing of the name, and all of the precision, is in a job's key."""

    name: str = "auto"  # reference: the loop that defines what a protocol means; fast: the same, sooner; auto: either
    precision: str = "float32"  # of the arithmetic

    def __post_init__(self) -> None:
        """Check the ranges."""
        one_of("engine.name", self.name, ENGINES)
        one_of("engine.precision", self.precision, PRECISIONS)
        if self.precision in FAST_PRECISIONS and self.name == "reference":
            raise UserError(
                f"engine.precision={self.precision} is not for the reference loop: leave out engine.name=reference"
            )


def unread(model: ModelConfig, settings: Settings) -> set[str]:
    """Return the names of the settings that have no effect on this network, whatever their value."""
    other = {"rho"} if settings.optimiser == "adam" else {"betas"}
    if isinstance(model, MLPConfig):
        other.add("initialiser")  # of convolution kernels
    if not isinstance(model, LSTMFCNConfig):
        other.add("cells")
    return other


def fast_trains(model: ModelConfig, settings: Settings) -> bool:
    """Return whether the fast engine is for this network and these settings; the reference loop is for all.

    It is for FCN, and for LSTM-FCN and ALSTM-FCN with the dimension shuffle, by Adam, on whole series, where neither
    held-out cases nor the test set are looked at while training.
    """
    plain = isinstance(model, FCNConfig) and (not isinstance(model, LSTMFCNConfig) or model.shuffle)
    seen = settings.validation > 0 or settings.select == "test_oracle"
    return plain and settings.optimiser == "adam" and settings.length != "mask" and not seen


def fast_takes(n_channels: int, n_timepoints: int) -> bool:
    """Return whether the fast engine is for series of this size."""
    return n_channels == 1 and n_timepoints > 1


@dataclass
class ExecutorConfig:
    """Where jobs run."""

    name: str = "local"  # local: processes of one thread each; inline: this process
    workers: int = 0  # processes; 0: one a core
    memory: float = 0.0  # GiB that a worker may take; 0: an equal share of what is free when the run starts
    per_device: int = 0  # jobs at a time on a GPU, each in a thread of one process; 0: as many as suit the engine

    def __post_init__(self) -> None:
        """Check the ranges."""
        one_of("executor", self.name, ("local", "inline"))
        within("executor.workers", self.workers, 0)
        within("executor.memory", self.memory, 0)
        within("executor.per_device", self.per_device, 0)


@dataclass
class CheckpointConfig:
    """How the state of a training in progress is kept."""

    every_seconds: float = 120.0  # 0: after every epoch

    def __post_init__(self) -> None:
        """Check the range."""
        within("checkpoint.every_seconds", self.every_seconds, 0)


@dataclass
class RunConfig:
    """One run of the suite: datasets x models x seeds under one protocol."""

    dataset: Any = "default"
    exclude: Any = field(default_factory=list)
    model: ModelsConfig = field(default_factory=ModelsConfig)
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    seeds: Any = 1  # a count, or the list of seeds
    resample: Any = 0  # 0: the official split; k > 0: the k-th stratified resample; or a list
    archive: ArchiveConfig = field(default_factory=ArchiveConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    device: str = "cpu"  # where networks are trained: one of DEVICES
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    results: str = "results"
    save_weights: bool = False
    require_predictions: bool = False
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    max_attempts: int = 3  # at a job that fails
    budget: Optional[str] = None  # noqa: UP045 (as 2h, 30m, 1h30m; None: until all is done)
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        within("max_attempts", self.max_attempts, 1)
        check_device(self.device)


def integers(name: str, value: object, *, count: bool) -> list[int]:
    """Return the whole numbers >= 0 that `value` names: a list of them or, with `count`, how many from 0 on.

    Raises UserError for anything else, for an empty list and for doubles.
    """
    if isinstance(value, bool) or not isinstance(value, (int, list, tuple)):
        raise UserError(f"{name}={value} is not a whole number or a list of them: write {name}=3 or '{name}=[0,1,2]'")
    if isinstance(value, int):
        within(name, value, 1 if count else 0)
        if value > 1_000_000:
            raise UserError(f"{name}={value} is over a million: give fewer")
        return list(range(value)) if count else [value]
    if not value:
        raise UserError(f"{name}=[] is empty: give at least one")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int) or item < 0:
            raise UserError(f"{name}={list(value)} holds {item!r}: give whole numbers from 0 on")
    if len(set(value)) != len(value):
        raise UserError(f"{name}={list(value)} names a number twice: give each once")
    return list(value)


def changes(now: object, then: object) -> dict[str, Any]:
    """Return the fields of the dataclass `now` whose values differ from those of `then`, with the values of `now`."""
    old = asdict(then)  # type: ignore[call-overload]
    new: dict[str, Any] = asdict(now)  # type: ignore[call-overload]
    return {name: value for name, value in new.items() if value != old[name]}
