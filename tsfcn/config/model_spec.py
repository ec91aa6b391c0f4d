"""The declaration of a model, and the registry of all models. Needs no torch.

A model is registered once, by name, with the dataclass of its settings, its network and its properties. The models of
the papers are registered in models.py. Other models are registered by `register` in Python, or by an entry point of the
group ENTRY_POINTS that has the name of the model and refers to its ModelSpec.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from importlib import metadata
from typing import Any

from tsfcn.common.errors import UserError, first_line

ENTRY_POINTS = "tsfcn.models"


@dataclass(frozen=True)
class Layer:
    """A convolution or a dense layer, for the estimates of time and memory."""

    n_in: int  # channels, or inputs of a dense layer
    n_out: int
    kernel: int = 1  # timepoints
    n_timepoints: int = 1  # length of the output; 1 for a dense layer
    groups: int = 1  # of channels that are convolved by themselves; n_in of a depthwise convolution
    kept: int = 2  # values for each output that the backward pass needs: what was computed, and that rectified

    @property
    def n_weights(self) -> int:
        """The number of weights, without biases."""
        return self.n_in // self.groups * self.n_out * self.kernel

    @property
    def n_multiplications(self) -> int:
        """The multiplications of the forward pass of one case."""
        return self.n_timepoints * self.n_weights

    @property
    def n_activations(self) -> int:
        """The output values of one case."""
        return self.n_timepoints * self.n_out


@dataclass(frozen=True)
class LSTMShape:
    """The input of a network's LSTM for one case."""

    n_steps: int
    n_features: int
    attention: bool = False  # whether each step attends to all steps


@dataclass
class ModelConfig:
    """Base class of the settings of a model.

    A subclass is a dataclass whose defaults are the published values, checked in `__post_init__`. Its methods describe
    the network that the settings give; it defines at least `layers`.
    """

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the convolutions and dense layers of the network in order, without the head and an LSTM."""
        raise NotImplementedError

    def lstm(self, n_channels: int, n_timepoints: int) -> LSTMShape | None:
        """Return the input of the network's LSTM for one case; None without an LSTM."""
        return None

    def fixed_length(self) -> bool:
        """Return whether the network takes series of one length only."""
        return False

    def receptive_field(self) -> int:
        """Return the timepoints of the input that an activation of the last convolution depends on.

        This is for convolutions one after another, without dilation; others compute it anew.

        >>> from tsfcn.config.models import FCNConfig
        >>> FCNConfig().receptive_field()
        14
        """
        return 1 + sum(layer.kernel - 1 for layer in self.layers(n_channels=1, n_timepoints=1))

    def row_name(self, model: str) -> str:
        """Return the name of a model with its default settings, as it stands in tables."""
        return model

    def changed(self) -> dict[str, Any]:
        """Return the settings that are not at their defaults, which stand in brackets behind the name in tables."""
        default = asdict(type(self)())
        return {name: value for name, value in asdict(self).items() if value != default[name]}


@dataclass(frozen=True)
class PublishedSize:
    """A published number of trainable parameters of the default settings, and the sizes of the data it holds for."""

    n_parameters: int
    source: str
    n_channels: int = 1
    n_timepoints: int = 1
    n_classes: int = 2
    cells: int = 0


def never(config: Any) -> bool:
    """Return False for all settings."""
    return False


@dataclass(frozen=True)
class ModelSpec:
    """A registered model: a network, or the classifiers of a library. What is not declared is not supported.

    A network is built by `network(n_channels, n_timepoints, n_classes, config)`, with `cells=` added where `lstm` is
    true. `forward(x, lengths)` maps float (n_cases, n_channels, n_timepoints) to logits (n_cases, n_classes). `lengths`
    is None, or int64 (n_cases,) on the CPU; without `masks` all lengths are n_timepoints. The classifiers of a library
    have no network and no training values (tsfcn.training.library_classifier).
    """

    name: str  # as in model=NAME
    settings: type[ModelConfig]
    network: str | Callable[..., Any] = ""  # 'package.module:Class', imported on first use, or the class
    library: str = ""  # 'sktime' or 'aeon': its classifiers, instead of a network
    masks: bool = False  # uses `lengths` and ignores what follows the end of a case (protocol.length=mask)
    lstm: bool = False  # has an LSTM; its size is `cells` of the model or of the protocol
    unread: frozenset[str] = frozenset()  # settings of the protocol that have no effect on this network
    fused: Callable[[Any], bool] = never  # whether the fast engine can train it with these settings
    published: PublishedSize | None = None


_specs: dict[str, ModelSpec] = {}
_from_entry_points: set[str] = set()
_failures: dict[str, str] = {}  # by the name of an entry point: the reason why it cannot be loaded


def register(spec: ModelSpec) -> ModelSpec:
    """Register a model and return its spec. Registering the same spec again has no effect.

    Raises UserError for an invalid name, a name that another model has, and settings that are not plain values.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", spec.name):
        raise UserError(f"model name '{spec.name}' is not valid: use lower-case letters, digits and _")
    if _specs.get(spec.name, spec) != spec:
        raise UserError(f"model '{spec.name}' is registered already: choose another name")
    check_settings(spec)
    _specs[spec.name] = spec
    return spec


def check_settings(spec: ModelSpec) -> None:
    """Raise UserError unless the settings are a dataclass with `layers` whose defaults are plain values."""
    kind: Any = spec.settings
    where = f"settings of model '{spec.name}'"
    if not issubclass(kind, ModelConfig) or "__dataclass_fields__" not in vars(kind):
        raise UserError(f"{where} are not a ModelConfig: derive a dataclass from tsfcn.models.ModelConfig")
    open_fields = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    if open_fields:
        raise UserError(f"{where} have no default for {', '.join(open_fields)}: give each field one")
    if spec.lstm != ("cells" in {f.name for f in fields(kind)}):
        raise UserError(
            f"{where} do not match lstm={spec.lstm}: a network with an LSTM, and no other, has the setting cells"
        )
    if kind.layers is ModelConfig.layers:
        raise UserError(f"{where} have no layers(n_channels, n_timepoints): time and memory are estimated from them")
    try:
        json.dumps(asdict(kind()), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} are not plain values: use numbers, text, lists of these ({error})") from None


def unregister(name: str) -> None:
    """Remove a model from the registry (for tests)."""
    _specs.pop(name, None)
    _from_entry_points.discard(name)


@functools.cache
def entry_points() -> dict[str, metadata.EntryPoint]:
    """Return the entry points of models in installed packages, by name, without importing them."""
    return {entry.name: entry for entry in metadata.entry_points(group=ENTRY_POINTS)}


def load_entry_points() -> None:
    """Register the models of installed packages; `failures` gives the reasons why some cannot be loaded."""
    for name, entry in entry_points().items():
        if name in _from_entry_points or name in _failures:
            continue
        try:
            spec = entry.load()
            if not isinstance(spec, ModelSpec) or spec.name != name:
                raise UserError(f"the entry point is not a ModelSpec named '{name}'")
            register(spec)
        except Exception as error:
            _failures[name] = f"{entry.value}: {first_line(error)}"
        else:
            _from_entry_points.add(name)


def failures() -> dict[str, str]:
    """Return the reason for each model whose entry point cannot be loaded, by name."""
    load_entry_points()
    return _failures


def names() -> tuple[str, ...]:
    """Return the names of all models, those of the papers first."""
    load_entry_points()
    return tuple(_specs)


def find(name: str) -> ModelSpec | None:
    """Return the spec of a model, or None if there is none of this name."""
    if name not in _specs:
        load_entry_points()
    return _specs.get(name)


def spec(name: str) -> ModelSpec:
    """Return the spec of a model. Raises UserError if there is none of this name."""
    known = find(name)
    if known is None:
        raise UserError(why_unknown(name))
    return known


def why_unknown(name: str) -> str:
    """Return the error message for a model that is not registered."""
    if name in _failures:
        return f"model '{name}' cannot be loaded from its entry point, {_failures[name]}: repair or remove its package"
    return f"model '{name}' is not registered here: install the package that declares it, or register it first"


def declared(name: str) -> bool:
    """Return whether an entry point declares the model, so that every process can load it."""
    load_entry_points()
    return name in _from_entry_points
