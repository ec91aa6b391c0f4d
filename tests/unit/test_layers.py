"""Who may import whom: the layers of the package and the homes of heavy imports, read from the sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "tsfcn"

# A module imports only from earlier layers. Names stand here before their modules do: a new module must find its layer.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("config", "catalogue", "arrays", "readers", "picture", "stats", "figures"),
    ("device",),
    ("archive", "models", "plan", "published"),
    ("unpack", "store", "native", "triton_kernels"),
    ("fetch",),
    ("render", "cost", "lease", "checkpoint", "page", "verdict"),
    ("train", "table", "kernels"),
    ("columns", "cuda"),
    ("compare", "convert"),
    ("engine", "explain", "findings"),
    ("report",),
    ("job", "estimator"),
    ("execute",),
    ("monitor",),
    ("compose",),
    ("run", "data", "results", "watch"),
    ("reproduce", "knobs"),
    ("explain_gap",),
    ("__init__", "__main__"),
)
LAYER = {module: number for number, layer in enumerate(LAYERS) for module in layer}
COMMANDS = set().union(*LAYERS[-5:-1])

# Where a heavy package may be imported when a module is loaded; elsewhere it waits inside the functions that need it.
HOMES = {
    "torch": {"models", "checkpoint", "train", "kernels", "cuda", "engine", "explain", "job", "estimator", "execute"},
    "pandas": {"render", "table", "verdict", "report", "compare"},
    "scipy": {"stats"},
    "sklearn": {"estimator"},
    "sktime": {"estimator"},
    "hydra": COMMANDS,
    "omegaconf": COMMANDS,
    "triton": {"triton_kernels"},
    "matplotlib": set(),
    "aeon": set(),
}
STDLIB_ONLY = ("errors", "config", "catalogue", "figures", "page", "published", "__init__", "__main__")
ONLY_IN_COMMANDS = ("hydra", "omegaconf")  # inside functions too


@cache
def sources() -> dict[str, list[Path]]:
    """Return the files of every module of the package; a sub-package counts as one module, as in LAYERS."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        found.setdefault(path.relative_to(PACKAGE).parts[0].removesuffix(".py"), []).append(path)
    return found


def imports(code: str, names: frozenset[str]) -> Iterator[tuple[str, bool]]:
    """Yield (what is imported, whether loading the module imports it) for every import in `code`.

    What: `tsfcn.MODULE` for one of the package's modules `names`, however deep and however written, else the top-level
    package. Imports under `if TYPE_CHECKING:` and in functions do not happen on loading.
    """

    def walk(node: ast.AST, on_loading: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield resolve(alias.name.split(".")), on_loading
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, "imports are absolute"
            for alias in node.names:
                yield resolve([*node.module.split("."), alias.name]), on_loading
        for child in ast.iter_child_nodes(node):
            delayed = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or (
                isinstance(node, ast.If)
                and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
                and child in node.body
            )
            yield from walk(child, on_loading and not delayed)

    def resolve(parts: list[str]) -> str:
        return f"tsfcn.{parts[1]}" if parts[0] == "tsfcn" and len(parts) > 1 and parts[1] in names else parts[0]

    yield from walk(ast.parse(code), True)


@cache
def of(module: str) -> frozenset[tuple[str, bool]]:
    """Return the imports of one module of the package."""
    names = frozenset(sources())
    return frozenset(found for path in sources()[module] for found in imports(path.read_text("utf-8"), names))


def above(module: str, imported: str) -> bool:
    """Return whether `module` must not import the module `imported` (another one, of its own layer or a later one)."""
    return imported != module and LAYER[imported] >= LAYER[module]


def loaded(module: str) -> set[str]:
    """Return the top-level packages that importing `module` loads, directly or through other modules of the package."""
    seen, todo, packages = {module}, [module], set()
    while todo:
        for name, on_loading in of(todo.pop()):
            inner = name.removeprefix("tsfcn.")
            if not on_loading:
                continue
            if inner == name:
                packages.add(name)
            elif inner not in seen:
                seen.add(inner)
                todo.append(inner)
    return packages


def test_import_reader() -> None:
    code = (
        "import a.b, tsfcn.job as j\nfrom tsfcn import store, __version__\nfrom tsfcn.train import fit\n"
        "if TYPE_CHECKING:\n    import pandas\nelse:\n    import c\nif not TYPE_CHECKING:\n    import g\n"
        "class K:\n    import d\n    def f(self):\n        import torch\n"
        "try:\n    import e\nexcept ImportError:\n    pass\n"
    )
    assert set(imports(code, frozenset({"job", "store", "train"}))) == {
        ("a", True),
        ("tsfcn.job", True),
        ("tsfcn.store", True),
        ("tsfcn", True),
        ("tsfcn.train", True),
        ("pandas", False),
        ("c", True),
        ("g", True),
        ("d", True),
        ("torch", False),
        ("e", True),
    }


def test_layer_rule() -> None:
    assert above("train", "job") and above("train", "table") and above("catalogue", "config")
    assert not above("job", "train") and not above("train", "train") and not above("config", "errors")


@pytest.mark.parametrize("module", sources())
def test_imports_only_earlier_layers(module: str) -> None:
    assert module in LAYER, f"tsfcn/{module} has no layer: give it one in LAYERS"
    if module == "__init__":  # the door: it opens on modules of every layer, but only when somebody walks through
        assert not [name for name, on_loading in of(module) if on_loading and name.startswith("tsfcn.")]
        return
    inner = [name.removeprefix("tsfcn.") for name, _ in of(module) if name.startswith("tsfcn.")]
    assert not [name for name in inner if above(module, name)]


def test_benchmarks_and_tests_are_not_imported() -> None:
    assert not [name for module in sources() for name, _ in of(module) if name in ("benchmarks", "tests")]


@pytest.mark.parametrize("package", HOMES)
def test_heavy_imports_live_at_home(package: str) -> None:
    users = {
        module
        for module in sources()
        for name, on_loading in of(module)
        if name == package and (on_loading or package in ONLY_IN_COMMANDS)
    }
    assert users <= HOMES[package], f"{package} is imported by {sorted(users - HOMES[package])}"


@pytest.mark.parametrize("module", [name for name in STDLIB_ONLY if name in sources()])
def test_needs_the_standard_library_alone(module: str) -> None:
    assert loaded(module) - sys.stdlib_module_names - {"tsfcn"} == set()


@pytest.mark.parametrize(
    "module",
    [
        name
        for name in (
            "device",
            "plan",
            "store",
            "archive",
            "table",
            "run",
            "compare",
            "convert",
            "verdict",
            "results",
            "watch",
            "reproduce",
            "report",
        )
        if name in sources()
    ],
)
def test_starts_without_torch(module: str) -> None:
    assert "torch" not in loaded(module)
    assert "sktime" not in loaded(module)
