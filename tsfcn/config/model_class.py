"""A class of torch.nn.Module as a model: its name, its settings from its signature, and how one is built from them.

    class MyNet(torch.nn.Module):
        def __init__(self, n_channels, n_timepoints, n_classes, width=64): ...

is the model my_net with the setting `width`. Loads torch when a network is built or its layers are measured.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import re
import types
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields, make_dataclass
from typing import Any, ClassVar

from tsfcn.common.errors import UserError
from tsfcn.config.layer_sizes import LayerSizes, measure
from tsfcn.config.model_config import Layer, LSTMShape, ModelConfig

SIZES = ("n_channels", "n_timepoints", "n_classes")  # the first parameters of a network


@dataclass
class ClassConfig(ModelConfig):
    """Base class of the settings that are the parameters of a network's class."""

    network: ClassVar[Callable[..., Any]]
    tuples: ClassVar[frozenset[str]]  # the parameters whose default is a tuple

    def build(self, n_channels: int, n_timepoints: int, n_classes: int) -> Any:
        """Return the network. Raises whatever its code raises."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        settings = {name: tuple(value) if name in self.tuples else value for name, value in values.items()}
        sizes = dict(zip(SIZES, (n_channels, n_timepoints, n_classes), strict=True))
        return type(self).network(**sizes, **settings)

    def layers(self, n_channels: int, n_timepoints: int) -> list[Layer]:
        """Return the layers with weights, as a forward pass shows them (layer_sizes.measure)."""
        return list(self.layer_sizes(n_channels, n_timepoints).layers)

    def lstm(self, n_channels: int, n_timepoints: int) -> LSTMShape | None:
        """Return the steps of recurrent cells, whose weights are among those of `layers`; None without any."""
        n_steps = self.layer_sizes(n_channels, n_timepoints).n_cell_calls
        return LSTMShape(n_steps, n_channels) if n_steps else None

    def fixed_length(self) -> bool:
        """Return True: the class is built for a number of timepoints, so its networks get series of that length."""
        return True

    def layer_sizes(self, n_channels: int, n_timepoints: int) -> LayerSizes:
        """Return the sizes of the layers for two classes, measured once."""
        kind: Any = type(self)  # hashable, which mypy takes from its instances
        return _sizes(kind, json.dumps(asdict(self)), n_channels, n_timepoints)


@functools.lru_cache(maxsize=4096)
def _sizes(kind: type[ClassConfig], settings: str, n_channels: int, n_timepoints: int) -> LayerSizes:
    config = kind(**json.loads(settings))
    return measure(lambda: config.build(n_channels, n_timepoints, 2), n_channels, n_timepoints)


def name_of(network: type) -> str:
    """Return the name of the model of a class: its own, in lower case with underscores.

    >>> class ResNet1D: pass
    >>> name_of(ResNet1D)
    'res_net1d'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", network.__name__).lower().strip("_")


def check_class(value: object) -> type:
    """Return the value if it is a class of torch.nn.Module. Raises UserError if it is anything else."""
    import torch

    if isinstance(value, torch.nn.Module):
        name = type(value).__name__
        raise UserError(
            f"model {name}(...) is a network that is built already: give the class {name}, each job builds its own"
        )
    if not isinstance(value, type):
        raise UserError(f"model {value!r:.60} is neither a name nor a class: give a class of torch.nn.Module")
    if not issubclass(value, torch.nn.Module):
        raise UserError(f"model {value.__name__} is not a class of torch.nn.Module: derive it from torch.nn.Module")
    return value


def settings_of(network: type) -> type[ClassConfig]:
    """Return the dataclass of the settings of a class of torch.nn.Module: its parameters after the three sizes.

    Raises UserError where the parameters do not begin with these, and for a parameter that cannot be a setting: one
    without a default, or whose default is neither a number, text, True, False nor a list or tuple of these.
    """
    parameters = list(inspect.signature(network).parameters.values())
    name = network.__name__
    if tuple(each.name for each in parameters[: len(SIZES)]) != SIZES:
        raise UserError(
            f"network {name} has __init__({', '.join(['self', *map(str, parameters)])}): "
            f"begin with self, {', '.join(SIZES)}, then parameters with defaults"
        )
    settings = [each for each in parameters[len(SIZES) :] if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    for each in settings:
        check_parameter(each, name)
    tuples = frozenset(each.name for each in settings if isinstance(each.default, tuple))
    described = {each.name: plain_default(each) for each in settings}
    kind = make_dataclass(
        f"{name}Config",
        [
            (key, kind, field(default_factory=functools.partial(deepcopy, default)))
            for key, (default, kind) in described.items()
        ],
        bases=(ClassConfig,),
        namespace={"network": network, "tuples": tuples, "__doc__": f"The settings of {name}."},
    )
    kind.__module__ = network.__module__
    return kind


def check_parameter(parameter: inspect.Parameter, network: str) -> None:
    """Raise UserError unless a parameter can be a setting. network: the name of its class."""
    where, default = f"parameter '{parameter.name}' of network {network}", parameter.default
    if default is parameter.empty:
        raise UserError(f"{where} has no default: give it one")
    if parameter.name == "cells" or hasattr(ClassConfig, parameter.name):
        raise UserError(f"{where} has a name that means something else here: call it n_{parameter.name}, for example")
    values = default if isinstance(default, (list, tuple)) else [default]
    if not all(type(each) in (bool, int, str) or (type(each) is float and math.isfinite(each)) for each in values):
        raise UserError(
            f"{where} has the default {default!r:.60}, which is no plain value: "
            "use a number, text, True, False, or a list of these"
        )


def plain_default(parameter: inspect.Parameter) -> tuple[Any, Any]:
    """Return the default of a setting, with a list for a tuple, and its type, which other values must have.

    The type is that of the default, but float for an integer whose parameter is annotated with float.
    """
    default = parameter.default
    if not isinstance(default, (list, tuple)):
        kind = common_type([default], parameter)
        return kind(default), kind
    kind = common_type(default, parameter)
    return list(default if kind is None else map(kind, default)), types.GenericAlias(list, kind or Any)


def common_type(values: Iterable[Any], parameter: inspect.Parameter) -> Any:
    """Return the type that all values have, or float for numbers, None for other mixtures and no values."""
    kinds = set(map(type, values))
    if kinds == {int, float} or (kinds == {int} and "float" in inspect.formatannotation(parameter.annotation)):
        return float
    return kinds.pop() if len(kinds) == 1 else None
