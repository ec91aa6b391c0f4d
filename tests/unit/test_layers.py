"""Where heavy packages may be imported, read from the sources: what import-linter's contracts cannot say."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Where a heavy package may be imported when a module is loaded; elsewhere it waits inside the functions that need it.
HOMES = {
    "torch": {"models", "training", "jobs.run_job", "jobs.run_segmentation"},
    "triton": {"training.fused.triton_kernels"},
    "pandas": {"analysis", "report"},
    "scipy": {"analysis.stats"},
    "sklearn": {"estimators"},
    "sktime": {"sktime"},
    "hydra": {"config.compose", "run", "reproduce", "ablate", "cli"},
    "omegaconf": {"config.compose", "run", "reproduce", "ablate", "cli"},
    "jinja2": set(),
    "matplotlib": set(),
    "rich": set(),
    "aeon": set(),
    "tensorboard": set(),
    "mlflow": set(),
    "wandb": set(),
}
ONLY_THERE = ("hydra", "omegaconf")  # inside functions too
STDLIB_ONLY = (
    "common.errors",
    "common.device",
    "common.files",
    "common.text",
    "common.exit_codes",
    "common.arguments",
    "config.schema",
    "data.catalogue",
    "data.published",
    "report.svg",
    *(
        f"report.charts.{name}"
        for name in ("curves", "pairs", "ranks", "reliability", "scatter", "seeds", "selection", "streams", "time")
    ),
    "report.html",
)
WITHOUT_TORCH = (
    *("common", "config", "data", "analysis", "report", "cli"),
    *("jobs.plan", "jobs.store", "jobs.lease", "jobs.monitor", "jobs.maintenance", "training.fused.build"),
    *("run", "compare", "reproduce", "table", "ablate", "estimators", "callbacks", "__main__"),
)


@cache
def sources() -> dict[str, Path]:
    """Return the file of each module of the package, by its dotted name."""
    paths = sorted((ROOT / "tsfcn").rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return dict(zip(names, paths, strict=True))


def imports(code: str) -> Iterator[tuple[str, bool]]:
    """Yield (what is imported, whether loading the module imports it) for every import in `code`.

    What: a dotted name; of `from a import b` both a and a.b, which may be a module. Imports under `if TYPE_CHECKING:`
    and in functions do not happen on loading.
    """

    def walk(node: ast.AST, on_loading: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, on_loading) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, "imports are absolute"
            yield node.module, on_loading
            yield from ((f"{node.module}.{alias.name}", on_loading) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            delayed = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or (
                isinstance(node, ast.If)
                and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
                and child in node.body
            )
            yield from walk(child, on_loading and not delayed)

    yield from walk(ast.parse(code), True)


@cache
def of(module: str) -> frozenset[tuple[str, bool]]:
    """Return the imports of one module of the package."""
    return frozenset(imports(sources()[module].read_text("utf-8")))


def loaded(module: str) -> set[str]:
    """Return the top-level packages that importing `module` loads, directly or through other modules of the package."""
    seen, todo, packages = {module}, [module], set()
    while todo:
        for name, on_loading in of(todo.pop()):
            if not on_loading:
                continue
            packages.add(name.partition(".")[0])
            parts = name.split(".")
            for inner in (".".join(parts[:n]) for n in range(1, len(parts) + 1)):  # packages are loaded as well
                if inner in sources() and inner not in seen:
                    seen.add(inner)
                    todo.append(inner)
    return packages


def inside(module: str, homes: set[str] | tuple[str, ...]) -> bool:
    """Return whether a module is one of `homes` or lies in one of them."""
    return any(f"{module}.".startswith(f"tsfcn.{home}.") for home in homes)


def test_import_reader() -> None:
    code = (
        "import a.b, tsfcn.jobs.plan as j\nfrom tsfcn.jobs import store\n"
        "if TYPE_CHECKING:\n    import pandas\nelse:\n    import c\nif not TYPE_CHECKING:\n    import g\n"
        "class K:\n    import d\n    def f(self):\n        import torch\n"
        "try:\n    import e\nexcept ImportError:\n    pass\n"
    )
    assert set(imports(code)) == {
        ("a.b", True),
        ("tsfcn.jobs.plan", True),
        ("tsfcn.jobs", True),
        ("tsfcn.jobs.store", True),
        ("pandas", False),
        ("c", True),
        ("g", True),
        ("d", True),
        ("torch", False),
        ("e", True),
    }


def test_the_door_opens_only_when_somebody_walks_through() -> None:
    assert not [name for name, on_loading in of("tsfcn") if on_loading and name.startswith("tsfcn.")]


def test_benchmarks_and_tests_are_not_imported() -> None:
    assert not [name for module in sources() for name, _ in of(module) if name.split(".")[0] in ("benchmarks", "tests")]


@pytest.mark.parametrize("package", HOMES)
def test_heavy_imports_live_at_home(package: str) -> None:
    users = {
        module
        for module in sources()
        for name, on_loading in of(module)
        if name.partition(".")[0] == package and (on_loading or package in ONLY_THERE)
    }
    strangers = sorted(module for module in users if not inside(module, HOMES[package]))
    assert not strangers, f"{package} is imported by {strangers}"


@pytest.mark.parametrize("module", STDLIB_ONLY)
def test_needs_the_standard_library_alone(module: str) -> None:
    assert loaded(f"tsfcn.{module}") - sys.stdlib_module_names - {"tsfcn"} == set()


@pytest.mark.parametrize("module", [name for name in sources() if inside(name, WITHOUT_TORCH)])
def test_starts_without_torch(module: str) -> None:
    assert not loaded(module) & {"torch", "sktime"}
