"""Functions of the package whose names are those of modules."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import pytest

import tsfcn
from tsfcn.common.errors import UserError


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("run", ["dataset", "model", "protocol", "overrides", "seeds", "resample", "resamples"]),
        ("reproduce", ["paper", "model", "dataset", "settings"]),
        ("compare", ["columns", "ties", "zeros", "rope", "alpha"]),
        ("report", ["results", "columns", "out"]),
    ],
)
def test_the_signature_is_that_of_the_function(name: str, parameters: list[str]) -> None:
    module = getattr(tsfcn, name)
    assert isinstance(module, ModuleType) and name in dir(tsfcn)
    function: Any = module
    assert list(inspect.signature(function).parameters)[: len(parameters)] == parameters


def test_errors_are_those_of_the_function() -> None:
    with pytest.raises(UserError, match="did you mean 'Coffee'"):
        tsfcn.run("Cofee")
    with pytest.raises(UserError, match=r"did you mean 'protocol\.epochs=3'"):
        tsfcn.run("GunPoint", epoch=3)
    with pytest.raises(UserError, match="rope=2 is not from 0 to 1"):
        tsfcn.compare("published:karim2019", rope=2)
    with pytest.raises(UserError, match="is not a folder"):
        tsfcn.report("nowhere")


def test_a_comparison_shows_itself() -> None:
    result = tsfcn.compare("published:fawaz2019_ucr128/FCN", "published:fawaz2019_ucr128/ResNet", dataset="ucr44")
    assert "fawaz2019_ucr128/resnet" in repr(result) and "44 datasets in common" in repr(result)
    assert result.to_markdown().startswith("- ") and result.to_csv().startswith("dataset,")
    assert result.to_json().startswith("{") and "\\begin" in result.to_latex()
