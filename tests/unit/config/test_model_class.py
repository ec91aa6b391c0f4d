"""A class as a model: its name, the settings that its signature gives, and what cannot be one."""

from __future__ import annotations

import inspect
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from tests.networks import Mixed, Pooled
from tsfcn.common.errors import UserError
from tsfcn.config import model_class, model_spec, models
from tsfcn.config.compose import compose, compose_all
from tsfcn.config.model_class import name_of, settings_of
from tsfcn.config.model_config import Layer, LSTMShape
from tsfcn.config.model_spec import ModelSpec, register, registered
from tsfcn.config.overrides import from_settings


class Stepping(nn.Module):
    """A network with a loop over time."""

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(n_channels, n_classes)

    def forward(self, x: Tensor) -> Tensor | None:
        """Return the state after the last timepoint. (n, c, t) -> (n, n_classes)."""
        state: Tensor | None = None
        for step in x.unbind(dim=2):
            state = self.cell(step, state)
        return state


def network(name: str, signature: str) -> type[nn.Module]:
    """Return a class of torch.nn.Module with this signature of __init__."""
    scope: dict[str, Any] = {"relu": nn.ReLU, "nan": float("nan")}
    exec(f"def __init__(self, {signature}):\n    self.__dict__['got'] = dict(locals())", scope)
    return type(name, (nn.Module,), {"__init__": scope["__init__"], "__module__": __name__})


SIZES = "n_channels, n_timepoints, n_classes"


@pytest.mark.parametrize(
    ("class_name", "name"),
    [("MyNet", "my_net"), ("FCN", "fcn"), ("LSTMNet", "lstm_net"), ("ResNet1D", "res_net1d"), ("_Net", "net")],
)
def test_names(class_name: str, name: str) -> None:
    assert name_of(type(class_name, (), {})) == name


def test_the_settings_are_the_parameters_after_the_sizes() -> None:
    kind: Any = settings_of(
        network("Net", f"{SIZES}, a=1, b=0.5, c='x', d=True, e=(1, 2), f=[1, 0.5], *, g: float = 2, h=(), **others")
    )
    values = {"a": 1, "b": 0.5, "c": "x", "d": True, "e": [1, 2], "f": [1.0, 0.5], "g": 2.0, "h": []}
    assert asdict(kind()) == values
    types = {each.name: each.type for each in fields(kind)}
    assert types == {
        "a": int,
        "b": float,
        "c": str,
        "d": bool,
        "e": list[int],
        "f": list[float],
        "g": float,
        "h": list[Any],
    }
    got = kind(a=7).build(1, 20, 3).got
    assert got["n_channels"] == 1 and got["n_timepoints"] == 20 and got["n_classes"] == 3
    assert got["a"] == 7 and got["e"] == (1, 2) and got["f"] == [1.0, 0.5] and got["others"] == {}
    assert kind().e is not kind().e


def test_what_the_settings_say_of_the_network() -> None:
    kind: Any = settings_of(Pooled)
    config = kind(width=5)
    assert config.layers(2, 20) == [Layer(2, 5, 3, 18), Layer(5, 2)] and config.lstm(2, 20) is None
    assert config.fixed_length()
    assert settings_of(Stepping)().lstm(2, 20) == LSTMShape(20, 2)


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("width=3", "network Net has __init__(self, width=3): begin with self, n_channels, n_timepoints, n_classes, "),
        (
            "n_classes, n_channels, n_timepoints",
            "network Net has __init__(self, n_classes, n_channels, n_timepoints): ",
        ),
        ("*sizes", "network Net has __init__(self, *sizes): begin with self, n_channels, "),
        (f"{SIZES}, width", "parameter 'width' of network Net has no default: give it one"),
        (
            f"{SIZES}, act=relu",
            "parameter 'act' of network Net has the default <class 'torch.nn.modules.activation.ReLU'>, ",
        ),
        (
            f"{SIZES}, width=None",
            "parameter 'width' of network Net has the default None, which is no plain value: use a",
        ),
        (f"{SIZES}, width=nan", "parameter 'width' of network Net has the default nan, which is no plain value: "),
        (f"{SIZES}, width=[[1]]", "parameter 'width' of network Net has the default [[1]], which is no plain value: "),
        (
            f"{SIZES}, cells=3",
            "parameter 'cells' of network Net has a name that means something else here: call it n_cells",
        ),
        (
            f"{SIZES}, layers=3",
            "parameter 'layers' of network Net has a name that means something else here: call it n_l",
        ),
    ],
)
def test_a_signature_that_gives_no_settings(signature: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        settings_of(network("Net", signature))
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            Pooled(1, 9, 2),
            "model Pooled(...) is a network that is built already: give the class Pooled, each job builds ",
        ),
        (nn.Sequential(nn.Linear(2, 2)), "model Sequential(...) is a network that is built already: give the class "),
        (Path, "model Path is not a class of torch.nn.Module: derive it from torch.nn.Module"),
        (partial(Pooled, width=3), "model functools.partial("),
        (3, "model 3 is neither a name nor a class: give a class of torch.nn.Module"),
        ([None], "model None is neither a name nor a class: give a class of torch.nn.Module"),
        (nn.Linear, "network Linear has __init__(self, in_features: int, out_features: int, bias: bool = True, "),
        (network("FCN", SIZES), "model 'fcn' (class FCN) is registered already: choose another name"),
        (network("Réseau", SIZES), "model name 'réseau' is not valid: use lower-case letters, digits and _"),
        (
            [Pooled, network("Pooled", SIZES)],
            "model 'pooled' is the name of two classes of this run: rename one of them",
        ),
    ],
)
def test_what_is_no_model(value: object, message: str, forgotten_models: None) -> None:
    with pytest.raises(UserError) as refused:
        registered(value)
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


def test_models_are_given_as_names_classes_specs_and_mappings(forgotten_models: None) -> None:
    spec = model_spec.of_class(Mixed, "mixture")
    assert registered("fcn") == ("fcn", [])
    assert registered(Pooled) == ("pooled", ["pooled"])
    assert registered(["fcn", Pooled, spec]) == (["fcn", "pooled", "mixture"], ["pooled", "mixture"])
    assert registered({Pooled: {"width": 2}, "fcn": {}}) == ({"pooled": {"width": 2}, "fcn": {}}, ["pooled"])
    assert registered({"name": [Pooled], "pooled": {"width": 2}})[0] == {"name": ["pooled"], "pooled": {"width": 2}}
    assert {"pooled", "mixture"} < set(model_spec.names()) and not models.in_every_process("pooled")


def test_a_later_class_takes_the_place_of_an_earlier_one_but_not_of_another_model(forgotten_models: None) -> None:
    register(network("Net", f"{SIZES}, width=3"))
    register(network("Net", f"{SIZES}, depth=3"))
    assert list(asdict(model_spec.spec("net").settings())) == ["depth"]
    register(ModelSpec("other", models.FCNConfig, "a:B"))
    with pytest.raises(UserError, match=r"^model 'other' \(class Other\) is registered already"):
        register(network("Other", SIZES))
    with pytest.raises(UserError, match=r"^model 'net' is registered already"):
        register(ModelSpec("net", models.FCNConfig, "a:B"))


def test_its_settings_are_overridden_and_checked_as_those_of_other_models(forgotten_models: None) -> None:
    register(network("Net", f"{SIZES}, width=3, kernels=(3, 5), gates='hard', names=('a',)"))
    given = from_settings({"model": {"net": {"width": 8, "kernels": [7], "gates": "1.10", "names": ["b", "c"]}}})
    run, _ = compose([*given, "protocol=smoke"])
    (config,) = run.model.configs().values()
    assert asdict(config) == {"width": 8, "kernels": [7], "gates": "1.10", "names": ["b", "c"]}
    widths = [c.run.model.configs()["net"] for c in compose_all(["model=net", "protocol=smoke", "model.net.width=1,2"])]
    assert [asdict(each)["width"] for each in widths] == [1, 2]
    for word, message in (
        ("model.net.widht=2", "did you mean 'model.net.width'"),
        (
            "model.net.width=wide",
            "model.net.width=wide is not a whole number: write one, as 3",
        ),
        ("protocol.initialiser=he_uniform", "has no effect: nothing in this run reads initialiser"),
        ("protocol.length=mask", "is not for net, which takes one length: use pad or cut"),
    ):
        with pytest.raises(UserError, match=message):
            compose(["model=net", "protocol=smoke", word])


def test_the_names_of_its_methods_are_the_ones_that_settings_must_not_have() -> None:
    methods = {name for name, _ in inspect.getmembers(model_class.ClassConfig) if not name.startswith("_")}
    assert methods == {
        "build",
        "layers",
        "lstm",
        "fixed_length",
        "layer_sizes",
        "receptive_field",
        "row_name",
        "changed",
    }
