"""From overrides to the settings of a run: the one place, beside the commands' flags, where Hydra works.

Hydra composes the YAML files of conf/ and the overrides against the types of schema.py. Its own messages are for
programmers, so what a user can mistype is checked first, and every mistake becomes one line.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from tsfcn.common.errors import UserError, first_line
from tsfcn.config import model_spec, models, protocol, schema

GROUPS = ("model", "protocol", "executor", "experiment")
TEXTS = ("results", "archive.root", "archive.mirror", "device")
RESOLVER = re.compile(r"\$\{[^{}]*:")  # a value that OmegaConf computes by calling a function
FIXED = ("protocol.name", "protocol.paper", "protocol.paper_models")  # what the marks and labels of tables rest on


def conf_folder() -> Path:
    """Return the folder of the YAML files: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"


def check_overrides(overrides: Sequence[str]) -> None:
    """Raise UserError for an override that Hydra cannot read or that names no setting, with the near miss."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    for written in overrides:
        try:
            (override,) = OverridesParser.create().parse_overrides([written])
        except OverrideParseException:
            hint = "write KEY=VALUE, and quotes within quotes around special characters: \"results='a (b)'\""
            if re.match("[+]*(dataset|exclude)=.*[~!]", written):
                hint = "write exclude=[...] to leave datasets out"
            raise UserError(f"'{written}' is not an override: {hint}") from None
        key = override.key_or_group
        if key.startswith("hydra"):
            continue
        if override.is_delete():
            raise UserError(f"'{written}' deletes a setting: give it a value instead, {key}=...")
        if key in GROUPS:
            several = override.is_sweep_override()
            check_choice(key, written.split("=", 1)[1].split(",") if several else override.value(), written)
        else:
            check_key(key, written)
        if override.is_sweep_override():
            value = written.split("=", 1)[1]
            if key in TEXTS:
                raise UserError(f"'{written}' is not one text: write quotes within quotes, \"{key}='{value}'\"")
            example = f"write '{key}=[{value}]'" if re.fullmatch(r"[\w,. -]+", value) else "write its values: '[0,1,2]'"
            raise UserError(f"'{written}' is a sweep, one run takes a list: {example}")


def check_choice(group: str, value: object, written: str) -> None:
    """Raise UserError unless `value` is an option of the group; for `model`, a list of them will do too."""
    if group == "experiment" and value is None:
        return
    if isinstance(value, list) and group != "model":
        raise UserError(f"'{written}' is more than one choice: a run has one {group}, start one run for each")
    for option in value if isinstance(value, list) else [value]:
        name = "null" if option is None else str(option)
        if name not in options(group):
            if group == "model" and name in model_spec.failures():
                raise UserError(model_spec.why_unknown(name))
            near = difflib.get_close_matches(name, options(group), n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(options(group))}"
            raise UserError(f"{group} '{name}' is not known: {hint}")


def check_key(key: str, written: str) -> None:
    """Raise UserError unless the dotted `key` is a setting that a user may change."""
    if key in FIXED:
        raise UserError(f"setting '{key}' in '{written}' is fixed: it says what paper the file is of; copy the file")
    node: Any = schema.run_schema()
    path: list[str] = []
    parts = key.split(".")
    for part in parts:
        names = [f.name for f in fields(node)] if is_dataclass(node) else []
        if part not in names:
            near = difflib.get_close_matches(part, names if path else [*names, "experiment"], n=1)
            where = ".".join(path)
            if near:
                hint = f"did you mean '{'.'.join([*path, *near, *parts[len(path) + 1 :]])}'?"
            else:
                hint = f"{where or 'a run'} has {', '.join(names)}" if names else f"{where} is a single value"
            raise UserError(f"setting '{key}' in '{written}' is not known: {hint}")
        path.append(part)
        kind = get_type_hints(node)[part]
        node = next((a for a in get_args(kind) if is_dataclass(a)), kind)


def compose(overrides: Sequence[str]) -> tuple[schema.RunConfig, protocol.ProtocolConfig]:
    """Return the run's settings, and its protocol as the file has it. Raises UserError for whatever is wrong."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    register_schema()
    check_overrides(overrides)

    def composed(words: Sequence[str]) -> schema.RunConfig:
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            tree = hydra_compose("config", list(words))
        check_resolvers(OmegaConf.to_container(tree, resolve=False))
        run = OmegaConf.to_object(tree)
        assert isinstance(run, schema.RunConfig)
        return run

    try:
        run = composed(overrides)
        if not run.model.chosen():
            raise UserError(f"model=[] is empty: choose from {', '.join(models.names())}")
        for name, value in (("results", run.results), ("archive.root", run.archive.root)):
            if value is not None and not value.strip():
                raise UserError(f"{name}= is empty: give a folder")
        check_reach(overrides, run)
        return run, composed([f"protocol={run.protocol.name}"]).protocol
    except UserError:
        raise
    except (HydraException, OmegaConfBaseException, AssertionError, ValueError) as error:
        raise UserError(explain(error, overrides)) from None


def check_resolvers(value: object, key: str = "") -> None:
    """Raise UserError for a value that calls a resolver of OmegaConf, such as ${oc.env:SECRET}.

    Settings from files of others would read the environment or the rest of the machine, and send it to a mirror.

    Args:
        value: The settings, unresolved: a mapping, a list or a single value.
        key: The dotted name of the value.
    """
    if isinstance(value, Mapping):
        for name, inner in value.items():
            check_resolvers(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for inner in value:
            check_resolvers(inner, key)
    elif isinstance(value, str) and RESOLVER.search(value):
        raise UserError(f"setting '{key}' calls a function, '{value}': write the value itself")


def check_reach(overrides: Sequence[str], run: schema.RunConfig) -> None:
    """Raise UserError for an override of a training value that reaches no model of the run."""
    chosen = run.model.chosen()
    unread = [protocol.unread(name, protocol.settings(run.protocol, name, each)) for name, each in chosen.items()]
    for written in overrides:
        found = re.match(r"[+]*protocol\.(common\.|models\.(\w+)\.)?(\w+)=", written)
        if not found:
            continue
        layer, model, name = found.groups()
        if all(name in names for names in unread):
            raise UserError(f"'{written}' has no effect: nothing in this run reads {name}")
        if layer is None:
            continue
        if model is not None and model not in chosen:
            raise UserError(f"'{written}' has no effect: {model} is not among the models of this run")
        reached = False
        for each in [model] if model else chosen:
            above = [run.protocol] if model else [run.protocol, run.protocol.models.block(each)]
            reached = reached or all(getattr(layer, name) is None for layer in above)
        if not reached:
            raise UserError(f"'{written}' has no effect, another value comes before it: write protocol.{name}=...")


def options(group: str) -> list[str]:
    """Return the names that a group of conf/ offers."""
    files = {path.stem for path in (conf_folder() / group).glob("*.yaml")}
    return sorted(files | set(models.names()) if group == "model" else files)


def explain(error: BaseException, overrides: Sequence[str]) -> str:
    """Return one line for an error of Hydra or OmegaConf, as the user's mistake that it is."""
    for written in overrides:
        found = re.match(r"\+*model\.(\w+)\.", written)
        if found and "NoneType" in str(error):
            return f"'{written}' sets a model that is not chosen: add it, 'model=[...,{found[1]}]'"
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, UserError):
        return str(cause)
    key = getattr(cause, "full_key", None)
    line = first_line(cause)
    return f"setting '{key}' is wrong: {line}" if key else line


def register_schema() -> None:
    """Give Hydra the types that conf/config.yaml starts from, and a choice for each model that has no file there."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="schema", node=schema.run_schema())
    for name in set(models.names()) - set(models.MODELS):
        store.store(group="model", name=name, node={name: models.spec(name).settings})


def command_line(overrides: Sequence[str], verb: str = "run") -> str:
    """Return the command of a run as one would type it, without what is particular to a machine."""
    local = (
        "archive.",
        "results=",
        "executor",
        "engine.name",
        "device=",
        "checkpoint.",
        "max_attempts",
        "budget",
        "dry_run",
        "hydra.",
    )
    kept = [shlex.quote(word) for word in overrides if not word.startswith(local)]
    return " ".join([f"python -m tsfcn.{verb}", *kept])


def override(name: str, value: object) -> str:
    """Return the override that gives a setting a value of Python's: a number, a text, None, or a list of these."""

    def said(item: object) -> str:
        if item is None or isinstance(item, bool):
            return str(item).lower() if item is not None else "null"
        if isinstance(item, str | Path) and not re.fullmatch(r"[\w*?./:@%+-]+", str(item), re.ASCII):
            return "'" + str(item).replace("\\", "\\\\").replace("'", "\\'") + "'"
        if isinstance(item, Iterable) and not isinstance(item, str):
            return "[" + ",".join(map(said, item)) + "]"
        return repr(item) if isinstance(item, float) else str(item)

    return f"{name}={said(value)}"
