"""The code of a model from elsewhere: its package, version and source, which are in the key of its jobs.

So a network that was changed has other keys, and a row of its own in the tables. The models of the papers need none of
it: `plan.MEANING` and the golden tests stand for their code. Needs no torch.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
from importlib import metadata
from pathlib import Path
from typing import Any

from tsfcn.common.errors import UserError
from tsfcn.config import class_source, model_spec

OURS = __name__.partition(".")[0]
DIGITS = 16  # of the hash of the source


def code_of(model: str) -> dict[str, str]:
    """Return the package, its version and the hash of the source of a registered model; {} for a model of the papers.

    The source is every .py file of the packages (or the modules outside of packages) that have the settings and the
    network; of a class, of the packages and modules that class_source finds, and the texts that it finds in a script or
    a notebook. Package and version are '' for code that is not installed. The classifiers of a library have package and
    version alone.

    Raises:
        UserError: The source is not a file, as in an interactive session, or has changed since it was imported; or the
            library is not installed.
    """
    spec = model_spec.spec(model)
    if spec.library:
        try:
            return {"package": spec.library, "version": metadata.version(spec.library)}
        except metadata.PackageNotFoundError:
            raise UserError(
                f"model={model} needs {spec.library}, which is not installed: pip install 'tsfcn[{spec.library}]'"
            ) from None
    network = spec.network.partition(":")[0] if isinstance(spec.network, str) else spec.network.__module__
    found = {name.partition(".")[0] for name in (spec.settings.__module__, network)} - {OURS}
    if not found:
        return {}
    source = hashlib.sha256()
    if spec.is_class and isinstance(spec.network, type):
        of_class = class_source.source_of(spec.network)
        found = {name.partition(".")[0] for name in of_class.modules} - {OURS}
        source.update("\0".join(of_class.texts).encode())
    for name in sorted(found):
        source.update(source_of(name, spec) if name == "__main__" else package_source(name, model))
    package, version = package_of(model, network.partition(".")[0])
    return {"package": package, "version": version, "source": source.hexdigest()[:DIGITS]}


def check_planned(model: str, code: dict[str, str] | None) -> None:
    """Raise UserError where the code of a model is not that with which a job was planned.

    Of a class that no entry point declares it is: its jobs are planned and trained in one process, with the class that
    is loaded there, whatever becomes of its file.
    """
    if model_spec.spec(model).is_class and not model_spec.declared(model):
        return
    if (code_of(model) or None) != code:
        raise UserError(f"the code of model '{model}' has changed since the run was planned: start the run again")


def package_of(model: str, module: str) -> tuple[str, str]:
    """Return name and version of the installed package that declares a model or has a top-level module; '' without."""
    entry = model_spec.entry_points().get(model)
    if entry is not None and entry.dist is not None:
        return entry.dist.name, entry.dist.version
    for name in metadata.packages_distributions().get(module, []) if module != "__main__" else []:
        installed = metadata.distribution(name)
        theirs = {Path(str(installed.locate_file(each))).resolve() for each in (module, f"{module}.py")}
        theirs = {path for path in theirs if path.exists()}  # none of a package that was installed with pip install -e
        if not theirs or theirs & places(module):
            return installed.name, installed.version
    return "", ""


def places(module: str) -> set[Path]:
    """Return the folders of a top-level package, or the file of a module."""
    found = importlib.util.find_spec(module)
    if found is None:
        return set()
    return {Path(place).resolve() for place in found.submodule_search_locations or [str(found.origin)]}


def package_source(module: str, model: str) -> bytes:
    """Return what identifies the .py files of a top-level module or package."""
    found = importlib.util.find_spec(module)
    if found is None or not (found.submodule_search_locations or found.has_location):
        raise UserError(f"the source of model '{model}' is no file ({module}): write its network into a module")
    digest = hashlib.sha256(module.encode())
    folders = [Path(folder) for folder in found.submodule_search_locations or ()]
    paths = [(path, folder) for folder in folders for path in folder.rglob("*.py")]
    if not folders:
        paths = [(Path(str(found.origin)), Path(str(found.origin)).parent)]
    for path, folder in sorted(paths):
        digest.update(f"\0{path.relative_to(folder).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.digest()


def source_of(module: str, spec: model_spec.ModelSpec) -> bytes:
    """Return the source of the classes of a registered spec that are of a script."""
    classes: list[Any] = [spec.settings, spec.network]
    try:
        texts = [inspect.getsource(each) for each in classes if getattr(each, "__module__", "") == module]
    except (OSError, TypeError):
        raise UserError(
            f"the source of model '{spec.name}' cannot be read: write its network into a module, and import it"
        ) from None
    return "\0".join(texts).encode()
