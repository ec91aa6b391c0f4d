"""The declaration of a model, and the registry of all models. Needs no torch.

A model is registered once, by name, with the dataclass of its settings, its network and its properties. The models of
the papers are registered in models.py. Other models are registered by `register` in Python, or by an entry point of the
group ENTRY_POINTS that has the name of the model and refers to its ModelSpec. In both places a class of torch.nn.Module
may stand for the ModelSpec that `of_class` makes of it.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from importlib import metadata
from typing import Any

from tsfcn.common.errors import UserError, first_line
from tsfcn.config.model_class import ClassConfig, check_class, name_of, settings_of
from tsfcn.config.model_config import ModelConfig

ENTRY_POINTS = "tsfcn.models"


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
    is None, or int64 (n_cases,) on the CPU; without `masks` all lengths are n_timepoints, and `forward(x)` suffices.

    The classifiers of a library have no network and no training values (tsfcn.training.library_classifier).
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
    # The initial weights are those that the network draws when it is built, not those of protocol.initialiser, and any
    # layer may draw random numbers in training: from PyTorch's global generators, which the job seeds.
    own_initialisation: bool = False

    @property
    def is_class(self) -> bool:
        """Whether the settings were read from the signature of the network's class."""
        return issubclass(self.settings, ClassConfig)


def of_class(network: type, name: str = "") -> ModelSpec:
    """Return the spec of a class of torch.nn.Module (model_class.settings_of), with its own initial weights.

    name: of the model; '' for that of the class in lower case with underscores, as my_net for MyNet.
    """
    return ModelSpec(name or name_of(network), settings_of(check_class(network)), network, own_initialisation=True)


_specs: dict[str, ModelSpec] = {}
_from_entry_points: set[str] = set()
_failures: dict[str, str] = {}  # by the name of an entry point: the reason why it cannot be loaded


def register(model: ModelSpec | type) -> ModelSpec:
    """Register a model and return its spec. Registering the same spec again has no effect.

    A class of torch.nn.Module is registered with the spec that `of_class` makes of it, in the place of an earlier class
    of this name, as after an edit in a notebook. A class that an entry point declares keeps the spec of that.

    Raises UserError for an invalid name, a name that another model has, settings that are not plain values, and a class
    that cannot be a network.
    """
    if isinstance(model, ModelSpec):
        spec = model
    else:
        load_entry_points()
        declared_spec = next((_specs[name] for name in _from_entry_points if _specs[name].network is model), None)
        spec = declared_spec or of_class(model)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", spec.name):
        raise UserError(f"model name '{spec.name}' is not valid: use lower-case letters, digits and _")
    before = _specs.get(spec.name, spec)
    is_later_class = spec.is_class and before.is_class and spec.name not in _from_entry_points
    if before != spec and not is_later_class:
        whose = f" (class {spec.settings.network.__name__})" if issubclass(spec.settings, ClassConfig) else ""
        raise UserError(f"model '{spec.name}'{whose} is registered already: choose another name")
    check_settings(spec)
    _specs[spec.name] = spec
    return spec


def registered(models: object) -> tuple[object, list[str]]:
    """Register the specs and classes among the models of a run.

    models: a name, a spec, a class, several of these, or a mapping from these to settings. Returns them with names in
    the place of specs and classes, and the names of these. Raises UserError as `register` does, for two classes of one
    name, and for anything else.
    """
    networks: dict[str, object] = {}

    def name(model: object) -> str:
        if isinstance(model, str):
            return model
        spec = register(model if isinstance(model, ModelSpec) else check_class(model))
        if networks.setdefault(spec.name, spec.network) is not spec.network:
            raise UserError(f"model '{spec.name}' is the name of two classes of this run: rename one of them")
        return spec.name

    def named(models: object) -> object:
        if isinstance(models, Mapping):
            return {name(each): named(value) if each == "name" else value for each, value in models.items()}
        if isinstance(models, Iterable) and not isinstance(models, str) and not callable(models):
            return [name(each) for each in models]
        return name(models)

    return named(models), list(networks)


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
            loaded = entry.load()
            spec = of_class(loaded, name) if isinstance(loaded, type) else loaded
            if not isinstance(spec, ModelSpec) or spec.name != name:
                raise UserError(f"the entry point is not a ModelSpec named '{name}', nor a class of torch.nn.Module")
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
