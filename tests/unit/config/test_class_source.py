"""What a key takes of the code of a class: all that the numbers may depend on, and nothing besides."""

from __future__ import annotations

import importlib
import itertools
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.networks import Mixed, Pooled
from tsfcn.common.errors import UserError
from tsfcn.config.class_source import is_own, source_of
from tsfcn.config.model_code import code_of
from tsfcn.config.model_spec import register

MODULES = {
    "own_net.py": """
        import numpy
        from torch import nn
        from own_blocks import Block
        import own_package.heads as heads

        class Net(nn.Module):
            def __init__(self, n_channels, n_timepoints, n_classes, width=4):
                super().__init__()
                self.block, self.head = Block(), heads.Head()
        """,
    "own_blocks.py": """
        from torch import nn
        from own_base import Base

        class Block(Base):
            pass
        """,
    "own_base.py": "from torch import nn\nclass Base(nn.Module):\n    pass\n",
    "own_package/__init__.py": "",
    "own_package/heads.py": "class Head:\n    pass\n",
    "own_package/others.py": "import own_plots\n",
    "own_plots.py": "",
}

CELLS = {
    "constants": "RATE = 0.5\nUNUSED = 1\nSCALES = {'a': [1, 2]}\n",
    "helper": "import functools\n@functools.cache\ndef scaled(x):\n    return SCALES['a'][0] * x\n",
    "block": """
        class Block(nn.Module):
            act = nn.ReLU
            def forward(self, x):
                return scaled(self.act()(x))
        """,
    "base": """
        class Base(nn.Module):
            n_layers = 2
            @torch.no_grad()
            def drop(self, x, *, act=nn.ReLU):
                return nn.functional.dropout(x, RATE)
        """,
    "net": """
        class Net(Base):
            def __init__(self, n_channels, n_timepoints, n_classes, width=4):
                super().__init__()
                self.block = Block()
            def forward(self, x):
                return [self.drop(self.block(each)) for each in x]
        """,
}


@pytest.fixture
def import_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., type]]:
    """Yield a function that writes modules and imports the class Net of own_net as a new process would."""

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith("own_")]:
            del sys.modules[name]
        importlib.invalidate_caches()

    def imported(**changes: str) -> type:
        for name, text in MODULES.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text) + changes.get(path.stem, ""))
        forget()
        net: type = importlib.import_module("own_net").Net
        return net

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield imported
    forget()


def notebook(**changes: str) -> type:
    """Return the class Net of a notebook in which cells were changed."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec("import torch\nfrom torch import nn", scope)
    for number, (name, text) in enumerate(CELLS.items()):
        run_cell(changes.get(name, textwrap.dedent(text)), f"/cells/{next(COUNT)}_{number}.py", scope)
    net: type = scope["Net"]
    return net


COUNT = itertools.count()


def run_cell(text: str, file: str, scope: dict[str, Any]) -> None:
    """Run code as IPython runs a cell: its source is in linecache under a name that no other cell has."""
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    exec(compile(text, file, "exec"), scope)


def test_modules_are_those_of_the_class_and_of_what_it_imports(import_net: Callable[..., type]) -> None:
    source = source_of(import_net())
    assert source.modules == {"own_net", "own_blocks", "own_base", "own_package.heads"}
    assert source.texts == ("__class__ = own_net.Net",)
    assert source_of(Pooled).modules == {"tests.networks"}


def test_what_is_of_the_user() -> None:
    assert is_own("__main__") and is_own("tests.networks")
    assert not any(map(is_own, ("torch.nn", "numpy", "math", "sys", "tsfcn.models", "no_module_of_this_name")))


def test_a_change_of_any_module_is_another_hash(import_net: Callable[..., type], forgotten_models: None) -> None:
    def hashed(**changes: str) -> str:
        return code_of(register(import_net(**changes)).name)["source"]

    before = hashed()
    changed = [hashed(**{name: "# changed\n"}) for name in ("own_net", "own_blocks", "own_base", "heads", "others")]
    assert hashed() == before == hashed(own_plots="# changed\n")
    assert len({before, *changed}) == 6


def test_a_module_that_has_changed_since_it_was_imported_is_refused(
    import_net: Callable[..., type], tmp_path: Path
) -> None:
    net = import_net()
    path = tmp_path / "own_net.py"
    path.write_text(path.read_text().replace("Block()", "Block(2)"))
    with pytest.raises(UserError) as refused:
        source_of(net)
    assert str(refused.value) == (
        f"'{path}' with the code of network Net has changed since it was imported: "
        "start Python again, or reload the module"
    )
    source_of(importlib.reload(sys.modules["own_net"]).Net)


@pytest.mark.parametrize(
    ("cell", "old", "new"),
    [
        ("net", "block(each)", "block(each + 1)"),
        ("base", "n_layers = 2", "n_layers = 3"),
        ("base", "dropout(", "alpha_dropout("),
        ("base", "nn.ReLU", "nn.GELU"),
        ("block", "nn.ReLU", "nn.GELU"),
        ("helper", "* x", "+ x"),
        ("constants", "0.5", "0.6"),
        ("constants", "[1, 2]", "[1, 3]"),
    ],
)
def test_a_change_of_what_the_class_names_in_a_notebook_is_another_text(cell: str, old: str, new: str) -> None:
    changed = textwrap.dedent(CELLS[cell]).replace(old, new)
    assert changed != CELLS[cell]
    assert source_of(notebook(**{cell: changed})).texts != source_of(notebook()).texts


def test_other_cells_of_a_notebook_do_not_matter() -> None:
    source = source_of(notebook())
    assert source == source_of(notebook(constants=CELLS["constants"].replace("UNUSED = 1", "UNUSED = 2")))
    assert (
        source.modules == set()
        and "RATE = 0.5" in source.texts
        and "Block.act = torch.nn.modules.activation.ReLU" in source.texts
    )


def test_what_a_class_takes_from_a_function_around_it_counts() -> None:
    def made(rate: float) -> type:
        class Inner(Pooled):
            def forward(self, x: Any) -> Any:
                return super().forward(x) * rate

        return Inner

    assert source_of(made(0.5)) == source_of(made(0.5)) != source_of(made(0.6))


def test_a_class_that_was_typed_at_a_prompt_is_refused() -> None:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec("from torch import nn\nclass Net(nn.Module):\n    def forward(self, x):\n        return x", scope)
    with pytest.raises(UserError) as refused:
        source_of(scope["Net"])
    assert str(refused.value) == (
        "the source of network Net cannot be read, and its hash is in the records: "
        "write the class into a file, or into a notebook"
    )


def test_package_and_version_are_empty_where_the_package_is_not_installed(forgotten_models: None) -> None:
    code = code_of(register(Mixed).name)
    assert code | {"source": ""} == {"package": "", "version": "", "source": ""} and len(code["source"]) == 16
    assert code != code_of(register(Pooled).name)
