"""What a user gets: a package that imports at once, `tsfcn` as a command, and a wheel that works from anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import tsfcn
from tsfcn.__main__ import DOORS, VERBS, main

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "pandas", "numpy", "scipy", "sklearn", "sktime", "hydra", "omegaconf", "rich", "jinja2")


def python(*words: str, cwd: Path, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the interpreter in folder `cwd` with the package found in `path`, before any installed one."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and return it. No network: the build backend is one of the test requirements."""
    pytest.importorskip("hatchling", reason="hatchling is not installed, so no wheel can be built: pip install .[test]")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_the_package_and_nothing_beside_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"tsfcn-{tsfcn.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"tsfcn", info}
    inside = {str(path.relative_to(ROOT)) for path in (ROOT / "tsfcn").rglob("*") if path.is_file()}
    conf = {f"tsfcn/{path.relative_to(ROOT)}" for path in (ROOT / "conf").rglob("*") if path.is_file()}
    assert {name for name in names if name.startswith("tsfcn/")} == {n for n in inside if "__pycache__" not in n} | conf
    assert {"tsfcn/py.typed", "tsfcn/data/ucr2018.csv", "tsfcn/conf/config.yaml", f"{info}/licenses/LICENSE"} <= names
    assert {"tsfcn/report/templates/page.html", "tsfcn/report/page.css", "tsfcn/report/page.js"} <= names


def test_wheel_works_from_another_directory(wheel: Path, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The console script of pyproject.toml, as pip writes it.
    script = "import sys, tsfcn; from tsfcn.__main__ import main; print(tsfcn.__file__); sys.exit(main())"
    done = python("-c", script, "--help", cwd=elsewhere, path=site)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{site}{os.sep}") and all(f"  {verb}" in done.stdout for verb in VERBS)
    # The configuration inside the wheel is found: a dry run reads all of it.
    done = python("-m", "tsfcn", "run", "dataset=GunPoint", "dry_run=true", cwd=elsewhere, path=site)
    assert done.returncode == 0, done.stderr
    assert "GunPoint" in done.stdout
    # So are the templates of the page.
    done = python("-m", "tsfcn", "report", str(ROOT / "results"), "--out", "page.html", cwd=elsewhere, path=site)
    assert (done.returncode, done.stdout) == (0, "page.html\n"), done.stderr
    assert "</html>" in (elsewhere / "page.html").read_text("utf-8")


def test_console_script_names_main() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"tsfcn": f"{main.__module__}:{main.__name__}"}


def test_lowest_constraints_are_the_lower_bounds() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    requirements = [Requirement(text) for text in project["dependencies"]]
    bounds = {one.name: [Version(s.version) for s in one.specifier if s.operator == ">="] for one in requirements}
    lines = (ROOT / "constraints-lowest.txt").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert bounds == {name: [Version(pins[name])] for name in bounds}


def test_help_and_import_load_nothing_heavy(tmp_path: Path) -> None:
    for words in (("-c", "import tsfcn; dir(tsfcn)"), ("-m", "tsfcn", "--help")):
        done = python("-X", "importtime", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "tsfcn" in loaded
        assert not loaded & set(HEAVY)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tsfcn {tsfcn.__version__}\n"


@pytest.mark.parametrize(
    ("verb", "line"),
    [
        ("tabel", "verb 'tabel' is not known: did you mean 'table'?\n"),
        ("Run", "verb 'Run' is not known: did you mean 'run'?\n"),
        ("zzz", f"verb 'zzz' is not known: use {', '.join(VERBS)}\n"),
        ("errors", f"verb 'errors' is not known: use {', '.join(VERBS)}\n"),  # a module, but no verb
    ],
)
def test_unknown_verb(verb: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"error: {line}")


def test_no_verb_shows_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and all(f"  {verb}" in captured.err for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_a_command(verb: str, tmp_path: Path) -> None:
    for words in (("-m", "tsfcn", verb), *([("-m", f"tsfcn.{verb}")] if verb in (*DOORS, "data", "report") else [])):
        done = python(*words, "--help", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout != ""


# `run` is the name of a function and of the module behind `python -m tsfcn.run`. Each way of importing it, in a fresh
# package, must leave `tsfcn.run` callable and `tsfcn.run.main` reachable.
ORDERS = """
import importlib, sys
for order in (
    "import tsfcn",
    "import tsfcn.run",
    "from tsfcn import run",
    "from tsfcn.run import main",
    "import tsfcn.data.archive, tsfcn.run; from tsfcn import load, run",
    "import tsfcn; tsfcn.run; import tsfcn.run",
    "from tsfcn import *",
):
    for name in [name for name in sys.modules if name.partition(".")[0] == "tsfcn"]:
        del sys.modules[name]
    names = {}
    exec(order, names)
    package = sys.modules["tsfcn"]
    assert package.run.main is sys.modules["tsfcn.run"].main, order
    assert callable(names.get("run", package.run)), order
    assert package.load is sys.modules["tsfcn.data.user_data"].load, order
    try:
        names.get("run", package.run)(dataset="GunPiont")
    except ValueError as error:
        assert "GunPoint" in str(error), (order, error)
    else:
        raise AssertionError(order)
print("every order works")
"""


def test_run_is_a_function_and_a_module_in_every_import_order(tmp_path: Path) -> None:
    done = python("-c", ORDERS, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "every order works\n"), done.stderr


def test_load_reads_a_bundled_dataset() -> None:
    dataset = tsfcn.load("GunPoint")
    assert dataset.x_train.shape == (50, 1, 150)


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'tsfcn' has no attribute 'lod'"):
        tsfcn.lod  # type: ignore[attr-defined]  # noqa: B018
