"""The parameters of a classifier, and the settings of its network and its training. Needs no torch."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from tsfcn.common import machine
from tsfcn.common.errors import UserError
from tsfcn.common.json_types import is_float, is_int, is_str
from tsfcn.config import models
from tsfcn.config import protocol as protocols
from tsfcn.config.checks import one_of
from tsfcn.config.schema import ENGINES, MOST_THREADS, PRECISIONS

if TYPE_CHECKING:
    import numpy as np

POLICIES = ("normalisation", "missing", "length", "truncate", "permute_time", "validation", "select")
VALIDATION = 0.2  # the fraction of the training cases that early stopping holds out unless `validation` is set


class Callback(Protocol):
    """An object that is called after each epoch of a training. It does not change the training."""

    def __call__(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Receive the result of an epoch.

        Args:
            epoch: Counted from 1. LSTM sizes that are trained one after another count on; those that are trained at
                once have their epochs in common. The fast engine on a GPU trains several epochs between two calls.
            logs: 'loss', the training loss in nats.
        """


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkParameters:
    """The parameters of every classifier. Each is a plain value that is checked when the classifier is fitted.

    A parameter of the protocol that is None has the protocol's value (docs/protocols.md).

    Args:
        protocol: The name of the protocol: fawaz2019, wang2017, karim2019 or another of docs/protocols.md.
        normalisation: How series are scaled: none, series (each by itself) or train (by the training set).
        missing: What replaces missing values: zero or interpolate.
        length: What happens to series of unequal length: pad, cut or mask.
        truncate: The fraction of the longest training series, from its start, that is used of every series.
        permute_time: The seed of an order in which the timepoints of every series are put.
        validation: The fraction of the training cases that is held out.
        select: Which weights are kept: least_train_loss, last or validation.
        epochs: The number of epochs.
        batch_size: The maximum number of cases in a batch.
        batch_divisor: If positive, a batch has at most the number of cases divided by this; 0: no such limit.
        optimiser: adam or adadelta.
        lr: The learning rate at the start.
        betas: The two decay rates of Adam.
        rho: The decay rate of Adadelta.
        eps: The constant of the optimiser that avoids a division by zero.
        plateau_factor: The learning rate is multiplied by this after epochs without improvement.
        plateau_patience: The number of these epochs; 0: the learning rate is constant.
        plateau_min_lr: The smallest learning rate.
        plateau_min_delta: A smaller decrease of the training loss is no improvement.
        initialiser: The initial weights of convolutions: glorot_uniform or he_uniform.
        class_weight: Factors for the loss of the cases of each class: 'balanced', a mapping from class to factor, or
            None for the rule of the protocol.
        early_stopping: Whether to stop when the loss on held-out cases has not decreased for `patience` epochs, and to
            keep the weights of its minimum (or those that `select` names). 20 % of the cases are held out unless
            `validation` is set.
        patience: The number of epochs for early_stopping.
        random_state: The seed. The same integer gives the same classifier, and the one of a run with this seed; None
            or a RandomState draws a seed.
        device: cpu, cuda, cuda:N, mps or auto.
        engine: auto, reference or fast.
        precision: float32, float64, bfloat16, tf32 or auto.
        n_jobs: The threads of a step of the fast engine on the CPU; -1: one for each core, -2: one less, None: one. No
            bit of a result depends on the number. The reference loop has one thread.
        callbacks: Called after each epoch; see Callback and tsfcn.callbacks.
        verbose: Whether to show a progress bar on standard error.
    """

    architecture: ClassVar[str]
    fixed_length_reason: ClassVar[str] = ""  # why the network takes one length only, if it does

    protocol: str = "fawaz2019"
    normalisation: str | None = None
    missing: str | None = None
    length: str | None = None
    truncate: float | None = None
    permute_time: int | None = None
    validation: float | None = None
    select: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    batch_divisor: int | None = None
    optimiser: str | None = None
    lr: float | None = None
    betas: Sequence[float] | None = None
    rho: float | None = None
    eps: float | None = None
    plateau_factor: float | None = None
    plateau_patience: int | None = None
    plateau_min_lr: float | None = None
    plateau_min_delta: float | None = None
    initialiser: str | None = None
    class_weight: str | Mapping[Any, float] | None = None
    early_stopping: bool = False
    patience: int = 50
    random_state: int | np.random.RandomState | None = None
    device: str = "cpu"
    engine: str = "auto"
    precision: str = "float32"
    n_jobs: int | None = None
    callbacks: Sequence[Callback] = ()
    verbose: bool = False

    def check(self) -> None:
        """Raise UserError for a parameter of the wrong type, and for an engine or a precision that does not exist."""
        for each in fields(self):
            kind = str(each.type).removesuffix(" | None")
            value = plain(getattr(self, each.name))
            if kind in TYPES and not (value is None and kind != each.type) and not TYPES[kind][0](value):
                raise UserError(f"{each.name}={value!r:.60} is of another type: give {TYPES[kind][1]}")
        one_of("engine", self.engine, ENGINES)
        one_of("precision", self.precision, PRECISIONS)
        if self.early_stopping and self.patience < 1:
            raise UserError(f"patience={self.patience} is out of range: give at least 1")
        check_class_weight(self.class_weight)
        self.n_threads()

    def n_threads(self) -> int:
        """Return how many threads `n_jobs` stands for. Raises UserError for 0 and for more than the engine takes."""
        if self.n_jobs is None:
            return 1
        if self.n_jobs == 0 or self.n_jobs > MOST_THREADS:
            raise UserError(
                f"n_jobs={self.n_jobs} is out of range: give 1 to {MOST_THREADS}, -1 for all cores, or None"
            )
        return int(self.n_jobs) if self.n_jobs > 0 else max(1, machine.cores() + 1 + int(self.n_jobs))

    def model_config(self) -> models.ModelConfig:
        """Return the settings of the network. Raises UserError for a value out of range."""
        settings = models.spec(self.architecture).settings
        return settings(**{each.name: plain(getattr(self, each.name)) for each in fields(settings)})

    def changed_protocol(self) -> protocols.ProtocolConfig:
        """Return the protocol with the values of the parameters. Raises UserError for an unknown protocol."""
        protocol = deepcopy(protocol_config(self.protocol))
        for name, value in self.protocol_values().items():
            setattr(protocol, name, value)
        return protocol

    def protocol_settings(self) -> protocols.Settings:
        """Return the protocol, resolved for the network. Raises UserError for a value out of range."""
        settings = protocols.settings(self.changed_protocol(), self.architecture, self.model_config())
        if settings.select == "test_oracle":
            raise UserError("select=test_oracle is for runs with a test set: use least_train_loss, last or validation")
        if self.early_stopping and settings.validation == 0:
            raise UserError("early_stopping=True needs held-out cases: leave out validation=0")
        return settings

    def protocol_values(self) -> dict[str, Any]:
        """Return the values of the protocol that the parameters replace."""
        names = [*POLICIES, *(each.name for each in fields(protocols.TrainingConfig))]
        parameters = {name: getattr(self, name, None) for name in names if name != "cells"}  # cells: of the network
        values = {name: plain(value) for name, value in parameters.items() if value is not None}
        if self.early_stopping:
            values = {"validation": VALIDATION, "select": "validation"} | values
        if self.class_weight is not None:
            values["class_weights"] = "balanced" if self.class_weight == "balanced" else "none"
        return values


@contextlib.contextmanager
def as_parameters() -> Iterator[None]:
    """Name settings in the errors raised within as the parameters are named: epochs for protocol.epochs."""
    try:
        yield
    except UserError as error:
        raise UserError(re.sub(r"\b(?:protocol|engine|model\.\w+)\.(?=[a-z_])", "", str(error))) from None


def plain(value: Any) -> Any:
    """Return a number of numpy as one of Python, a sequence of any type as a list, and any other value as it is."""
    if isinstance(value, Iterable) and not isinstance(value, (str, Mapping)) and getattr(value, "ndim", 1) > 0:
        return list(map(plain, value))
    return value.item() if hasattr(value, "dtype") else value


def check_class_weight(class_weight: Any) -> None:
    """Raise UserError unless it is None, 'balanced', or a mapping to finite factors of at least 0."""
    if class_weight is None or (isinstance(class_weight, str) and class_weight == "balanced"):
        return
    if not isinstance(class_weight, Mapping):
        raise UserError(f"class_weight={class_weight!r:.60} is not known: use 'balanced', a mapping or None")
    for label, factor in class_weight.items():
        if not is_float(plain(factor)) or factor < 0:
            raise UserError(f"class_weight has {factor!r:.40} for class {label!r:.40}: give a number of at least 0")


def are(check: Callable[[object], bool]) -> Callable[[object], bool]:
    """Return the check of a list, each of whose values passes a check."""
    return lambda value: isinstance(value, list) and all(map(check, value))


TYPES: dict[str, tuple[Callable[[object], bool], str]] = {
    "str": (is_str, "text"),
    "int": (is_int, "an integer"),
    "float": (is_float, "a number"),
    "bool": (lambda value: type(value) is bool, "True or False"),
    "Sequence[int]": (are(is_int), "a sequence of integers"),
    "Sequence[float]": (are(is_float), "a sequence of numbers"),
    "Sequence[Callback]": (are(callable), "a sequence of functions (epoch, logs)"),
}
"""The check of the parameters of a type, by its annotation, and what messages call it."""


@functools.cache
def protocol_config(name: str) -> protocols.ProtocolConfig:
    """Return a protocol as its file has it. Raises UserError for an unknown name."""
    from tsfcn.config.compose import compose

    return compose([f"protocol={name}"])[1]


@dataclass(kw_only=True, eq=False, repr=False)
class FCNParameters(NetworkParameters):
    """The parameters of the FCN of Wang et al. 2017, besides those of NetworkParameters.

    Args:
        filters: The filters of each convolution.
        kernels: The timepoints of each kernel.
        bn_momentum: The weight of the running statistics of batch norm in each update.
        bn_eps: The constant of batch norm that avoids a division by zero.
    """

    architecture: ClassVar[str] = "fcn"

    filters: Sequence[int] = (128, 256, 128)
    kernels: Sequence[int] = (8, 5, 3)
    bn_momentum: float = 0.99
    bn_eps: float = 0.001


@dataclass(kw_only=True, eq=False, repr=False)
class LSTMFCNParameters(FCNParameters):
    """The parameters of LSTM-FCN of Karim et al. 2018, besides those of FCNParameters.

    Args:
        cells: The size of the LSTM. None: all sizes of the protocol are trained, and the one with the least training
            cross-entropy is kept.
        dropout: The probability that an output of the LSTM is dropped in training.
        shuffle: Whether the timepoints are the features of the LSTM, as in the paper. The network then takes one length
            only.
        gates: hard_sigmoid or sigmoid.
    """

    architecture: ClassVar[str] = "lstm_fcn"
    fixed_length_reason: ClassVar[str] = "with shuffle=True the timepoints are the features of the LSTM"

    protocol: str = "karim2019"
    cells: int | None = None
    dropout: float = 0.8
    shuffle: bool = True
    gates: str = "hard_sigmoid"


@dataclass(kw_only=True, eq=False, repr=False)
class ALSTMFCNParameters(LSTMFCNParameters):
    """The parameters of ALSTM-FCN of Karim et al. 2018, which are those of LSTM-FCN."""

    architecture: ClassVar[str] = "alstm_fcn"


@dataclass(kw_only=True, eq=False, repr=False)
class MLSTMFCNParameters(LSTMFCNParameters):
    """The parameters of MLSTM-FCN of Karim, Majumdar, Darabi, Harford 2019, besides those of LSTMFCNParameters.

    Args:
        reduction: How many times fewer units than channels the first layer of squeeze-and-excitation has.
    """

    architecture: ClassVar[str] = "mlstm_fcn"

    protocol: str = "karim2019mv"
    reduction: int = 16


@dataclass(kw_only=True, eq=False, repr=False)
class MALSTMFCNParameters(MLSTMFCNParameters):
    """The parameters of MALSTM-FCN of the same paper, which are those of MLSTM-FCN."""

    architecture: ClassVar[str] = "malstm_fcn"


@dataclass(kw_only=True, eq=False, repr=False)
class ResNetParameters(NetworkParameters):
    """The parameters of the ResNet of Wang et al. 2017, besides those of NetworkParameters.

    Args:
        filters: The filters of each residual block.
        kernels: The timepoints of the kernels within a block.
        input_norm: Whether batch norm precedes the first block.
        bn_momentum: As in FCNParameters.
        bn_eps: As in FCNParameters.
    """

    architecture: ClassVar[str] = "resnet"

    filters: Sequence[int] = (64, 128, 128)
    kernels: Sequence[int] = (8, 5, 3)
    input_norm: bool = False
    bn_momentum: float = 0.99
    bn_eps: float = 0.001


@dataclass(kw_only=True, eq=False, repr=False)
class MLPParameters(NetworkParameters):
    """The parameters of the MLP of Wang et al. 2017, besides those of NetworkParameters.

    Args:
        units: The units of each hidden layer.
        dropout: The probability that an input is dropped in training, for each hidden layer and the last layer.
    """

    architecture: ClassVar[str] = "mlp"
    fixed_length_reason: ClassVar[str] = "each timepoint is an input of its first layer"

    units: Sequence[int] = (500, 500, 500)
    dropout: Sequence[float] = (0.1, 0.2, 0.2, 0.3)


@dataclass(kw_only=True, eq=False, repr=False)
class InceptionParameters(NetworkParameters):
    """The parameters of the Inception network of Ismail Fawaz et al. 2020, besides those of NetworkParameters.

    Args:
        filters: The filters of each convolution of a module.
        kernels: The timepoints of the kernels side by side in a module.
        bottleneck: The channels that these get where a module has several; 0: all of them.
        depth: The number of modules.
        residual: Whether there is a shortcut around every three modules.
        bn_momentum: As in FCNParameters.
        bn_eps: As in FCNParameters.
    """

    architecture: ClassVar[str] = "inception"

    protocol: str = "inceptiontime2020"
    filters: int = 32
    kernels: Sequence[int] = (40, 20, 10)
    bottleneck: int = 32
    depth: int = 6
    residual: bool = True
    bn_momentum: float = 0.99
    bn_eps: float = 0.001


@dataclass(kw_only=True, eq=False, repr=False)
class HInceptionParameters(InceptionParameters):
    """The parameters of H-Inception of Ismail-Fawaz et al. 2022, which are those of InceptionParameters."""

    architecture: ClassVar[str] = "h_inception"

    protocol: str = "hinception2022"


@dataclass(kw_only=True, eq=False, repr=False)
class LITEParameters(NetworkParameters):
    """The parameters of LITE of Ismail-Fawaz et al. 2023, besides those of NetworkParameters.

    Args:
        filters: The filters of each convolution.
        kernels: The timepoints of the kernels side by side in the first layer.
        separable_kernels: The timepoints of the kernels of the separable convolutions behind it.
        dilations: Their dilations.
        hand_crafted: Whether the first layer has constant filters as well.
        bn_momentum: As in FCNParameters.
        bn_eps: As in FCNParameters.
    """

    architecture: ClassVar[str] = "lite"

    protocol: str = "lite2023"
    filters: int = 32
    kernels: Sequence[int] = (40, 20, 10)
    separable_kernels: Sequence[int] = (20, 10)
    dilations: Sequence[int] = (2, 4)
    hand_crafted: bool = True
    bn_momentum: float = 0.99
    bn_eps: float = 0.001


@dataclass(kw_only=True, eq=False, repr=False)
class EncoderParameters(NetworkParameters):
    """The parameters of the encoder of Serrà et al. 2018, besides those of NetworkParameters.

    Args:
        filters: The filters of each convolution.
        kernels: The timepoints of each kernel.
        units: The units of the dense layer.
        dropout: The probability that an activation of a convolution is dropped in training.
        norm_over: What instance normalisation takes together: case or channel.
        norm_eps: The constant of instance normalisation that avoids a division by zero.
    """

    architecture: ClassVar[str] = "encoder"
    fixed_length_reason: ClassVar[str] = "its last layer takes the activations of all timepoints"

    filters: Sequence[int] = (128, 256, 512)
    kernels: Sequence[int] = (5, 11, 21)
    units: int = 256
    dropout: float = 0.2
    norm_over: str = "case"
    norm_eps: float = 0.001
