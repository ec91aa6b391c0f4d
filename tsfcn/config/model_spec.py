"""What a model declares, and the register of all models; without torch.

A model is registered once, by name: the dataclass of its settings, its network, and the facts that the suite needs of
it. The models of the papers are registered in models.py. A model from outside is registered by `register` in Python or
by an entry point of the group ENTRY_POINTS, whose name is the model's and whose object is its ModelSpec.
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
    """A convolution or a dense layer, as the estimates of time and memory count it."""

    n_in: int  # channels; of a dense layer its inputs
    n_out: int
    kernel: int = 1  # timepoints
    n_timepoints: int = 1  # at which it is computed; 1 for a dense layer

    @property
    def n_weights(self) -> int:
        """The number of its weights, without biases."""
        return self.n_in * self.n_out * self.kernel

    @property
    def n_multiplications(self) -> int:
        """The multiplications of one case's forward pass."""
        return self.n_timepoints * self.n_weights

    @property
    def n_activations(self) -> int:
        """The values that it computes of one case."""
        return self.n_timepoints * self.n_out


@dataclass(frozen=True)
class LSTMShape:
    """What the LSTM of a network sees of one case."""

    n_steps: int
    n_features: int
    attention: bool = False  # whether each step attends to all steps


@dataclass
class ModelConfig:
    """Base of the settings of a model: fields with the published values as defaults, checked in `__post_init__`.

    The methods declare what depends on the settings. A subclass defines at least `layers`.
    """

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the convolutions and dense layers of the network in order, without its head and an LSTM."""
        raise NotImplementedError

    def lstm(self, n_channels: int, n_timepoints: int) -> LSTMShape | None:
        """Return what the network's LSTM sees of a case; None without an LSTM."""
        return None

    def fixed_length(self) -> bool:
        """Return whether the network, or a part of it, takes series of one length only."""
        return False


@dataclass(frozen=True)
class PublishedSize:
    """The number of trainable parameters that a publication gives for the default settings, and for which sizes."""

    n_parameters: int
    source: str
    n_channels: int = 1
    n_timepoints: int = 1
    n_classes: int = 2
    cells: int = 0


def never(config: Any) -> bool:
    """Return False, whatever the settings."""
    return False


@dataclass(frozen=True)
class ModelSpec:
    """A model as the suite knows it. Whatever is not declared is taken as the network not doing it.

    A network is built by `network(n_channels, n_timepoints, n_classes, config)`, with `cells=` behind where `lstm` is
    true. `forward(x, lengths)` maps float (n_cases, n_channels, n_timepoints) to logits (n_cases, n_classes). lengths
    is None, or int64 (n_cases,) on the CPU; without `masks` each of them is n_timepoints.
    """

    name: str  # as in model=NAME
    settings: type[ModelConfig]
    network: str | Callable[..., Any]  # 'package.module:Class', imported when one is first built; or the class itself
    masks: bool = False  # takes `lengths`, and sees nothing behind the end of a case (protocol.length=mask)
    lstm: bool = False  # has an LSTM whose size is the setting `cells`, of the model or of the protocol
    unread: frozenset[str] = frozenset()  # the protocol's settings that have no effect on this network
    fused: Callable[[Any], bool] = never  # whether the fast engine trains it with these settings
    published: PublishedSize | None = None


_specs: dict[str, ModelSpec] = {}
_from_entry_points: set[str] = set()
_failures: dict[str, str] = {}  # by the name of an entry point: why it could not be loaded


def register(spec: ModelSpec) -> ModelSpec:
    """Make a model known under its name, and return its spec. To register the same again changes nothing.

    Raises UserError for a name that is taken or is not one, and for settings that cannot stand in a job's key.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", spec.name):
        raise UserError(f"model name '{spec.name}' is not valid: use lower-case letters, digits and _")
    if _specs.get(spec.name, spec) != spec:
        raise UserError(f"model '{spec.name}' is registered already: choose another name")
    check_settings(spec)
    _specs[spec.name] = spec
    return spec


def check_settings(spec: ModelSpec) -> None:
    """Raise UserError unless the settings are a dataclass whose defaults are plain values, with `layers`."""
    kind: Any = spec.settings
    where = f"settings of model '{spec.name}'"
    if not issubclass(kind, ModelConfig) or "__dataclass_fields__" not in vars(kind):
        raise UserError(f"{where} are no ModelConfig: derive a dataclass from tsfcn.models.ModelConfig")
    open_fields = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    if open_fields:
        raise UserError(f"{where} have no default for {', '.join(open_fields)}: give each field one")
    if spec.lstm != ("cells" in {f.name for f in fields(kind)}):
        raise UserError(f"{where} and lstm={spec.lstm} do not fit: a network with an LSTM has the setting cells")
    if kind.layers is ModelConfig.layers:
        raise UserError(f"{where} have no layers(n_channels, n_timepoints): time and memory are estimated from them")
    try:
        json.dumps(asdict(kind()), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} are not plain values: use numbers, text, lists of these ({error})") from None


def unregister(name: str) -> None:
    """Forget a model, for tests."""
    _specs.pop(name, None)
    _from_entry_points.discard(name)


@functools.cache
def entry_points() -> dict[str, metadata.EntryPoint]:
    """Return the models that installed packages declare, by name; their modules are not imported."""
    return {entry.name: entry for entry in metadata.entry_points(group=ENTRY_POINTS)}


def load_entry_points() -> None:
    """Register the models of installed packages; of one that cannot be loaded keep the reason (see `failures`)."""
    for name, entry in entry_points().items():
        if name in _from_entry_points or name in _failures:
            continue
        try:
            spec = entry.load()
            if not isinstance(spec, ModelSpec) or spec.name != name:
                raise UserError(f"the entry point is no ModelSpec named '{name}'")
            register(spec)
        except Exception as error:
            _failures[name] = f"{entry.value}: {first_line(error)}"
        else:
            _from_entry_points.add(name)


def failures() -> dict[str, str]:
    """Return the models whose entry points cannot be loaded, and why."""
    load_entry_points()
    return _failures


def names() -> tuple[str, ...]:
    """Return the names of all models: those of the papers first, then those from outside."""
    load_entry_points()
    return tuple(_specs)


def find(name: str) -> ModelSpec | None:
    """Return the spec of a model, or None where none of that name is registered or loads."""
    if name not in _specs:
        load_entry_points()
    return _specs.get(name)


def spec(name: str) -> ModelSpec:
    """Return the spec of a model. Raises UserError where none of that name is registered or it cannot be loaded."""
    known = find(name)
    if known is None:
        raise UserError(why_unknown(name))
    return known


def why_unknown(name: str) -> str:
    """Return the one line on a model that is not there."""
    if name in _failures:
        return f"model '{name}' cannot be loaded from its entry point, {_failures[name]}: mend or remove its package"
    return f"model '{name}' is not registered here: install the package that declares it, or register it before"


def declared(name: str) -> bool:
    """Return whether an installed package declares the model by an entry point, so that every process knows it."""
    load_entry_points()
    return name in _from_entry_points
