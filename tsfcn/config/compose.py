"""From overrides to the settings of a run: the only module, besides the commands' flags, that uses Hydra.

Hydra composes the YAML files of conf/, those of a folder of the user, and the overrides against the types of schema.py.
Its own messages are for programmers, so overrides.py checks first what a user can mistype, and every error becomes one
line.
"""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple, get_origin

from tsfcn.common.arguments import expand_home
from tsfcn.common.errors import UserError, first_line
from tsfcn.common.streams import notice
from tsfcn.common.text import loose
from tsfcn.config import checks, models, overrides, protocol, schema, user_files
from tsfcn.config import model_spec as specs
from tsfcn.config.model_config import ModelConfig
from tsfcn.config.overrides import GROUPS, Override
from tsfcn.config.paths import conf_folder
from tsfcn.config.segmentation_models import LABELS_TIMEPOINTS, FCN32sConfig

# The published ensembles of five runs of one network, by their loose names: docs/protocols.md, sections
# inceptiontime2020, hinception2022 and lite2023.
ENSEMBLES = {"inceptiontime": "inception", "hinceptiontime": "h_inception", "litetime": "lite"}


# What a setting takes, by the names of OmegaConf for its type.
WANTED = {
    "Integer": "a whole number: write one, as 3",
    "Float": "a number: write one, as 0.5",
    "bool": "true or false: write one of them",
}


class Composed(NamedTuple):
    """The settings of one combination of values."""

    run: schema.RunConfig
    unchanged: protocol.ProtocolConfig  # the protocol as its file has it, without overrides


def compose(words: Sequence[str]) -> Composed:
    """Return the settings of a run. Raises UserError for bad input.

    words: overrides that give each setting one value; `compose_all` takes several.
    """
    combinations = compose_all(words)
    if len(combinations) > 1:
        swept = ", ".join(f"'{word}'" for word in words if "," in word and not word.startswith(("dataset", "exclude")))
        count = f"{len(combinations)} combinations of settings"
        raise UserError(f"{swept or 'this'} gives {count}, but this command takes one: give each setting one value")
    return combinations[0]


def compose_all(words: Sequence[str]) -> list[Composed]:
    """Return the settings of every combination of the values that overrides give. Raises UserError for bad input.

    `protocol.lr=0.1,0.01`, or a list, makes two combinations; `model=[fcn,resnet]` and `seeds=[0,1]` make one. The
    combinations differ in the settings of overrides.SWEPT (and what an experiment's file sets) only: those of the
    machine and of the results folder are the same.

    words: overrides, and --config-dir=FOLDER for a folder of protocols, settings of models and experiments.
    """
    register_schema()
    folder, plain = parsed(words)
    if folder is not None:
        user_files.check(folder)
    try:
        composer = Composer(folder)
        composed = [composer.compose(each) for each in overrides.combinations(choices(plain, folder))]
    except UserError:
        raise
    except Exception as error:
        if not is_of_hydra(error):
            raise
        raise UserError(explain(error, [each.word for each in plain])) from None
    for each in composed:
        for name, config in each.run.model.configs().items():
            check_task(each.run, name, config)
            protocol.resolve(each.run.protocol, name, config)  # raises UserError where the two do not fit
    check_reach(plain, [each.run for each in composed])
    check_same_machine([each.run for each in composed])
    return composed


def parsed(words: Sequence[str]) -> tuple[Path | None, list[Override]]:
    """Return the folder of --config-dir, if any, and the overrides. Raises UserError for bad input."""
    words = overrides.canonical(words)
    folder = overrides.config_dir(words)
    return folder, [overrides.parse(word) for word in words if not word.startswith(f"{overrides.CONFIG_DIR}=")]


HYDRA_LOCK = threading.Lock()  # Hydra has one state for all threads


class Composer:
    """Composes combinations of settings, reading each protocol file once."""

    def __init__(self, folder: Path | None) -> None:
        self.search = [] if folder is None else [f"hydra.searchpath=[{overrides.quoted(f'file://{folder}')}]"]
        self.unchanged: dict[str, protocol.ProtocolConfig] = {}

    def compose(self, words: Sequence[str]) -> Composed:
        """Return the settings that overrides in Hydra's form give."""
        run = finished(self.read(words))
        name = run.protocol.name
        if name not in self.unchanged:
            self.unchanged[name] = self.read([f"protocol={overrides.quoted(name)}"]).protocol
        return Composed(run, self.unchanged[name])

    def read(self, words: Sequence[str]) -> schema.RunConfig:
        """Return the settings as Hydra composes them."""
        from hydra import compose, initialize_config_dir
        from hydra.core.global_hydra import GlobalHydra
        from omegaconf import OmegaConf

        with HYDRA_LOCK:
            before = GlobalHydra.instance().hydra  # of a program that itself uses Hydra
            GlobalHydra.instance().clear()
            try:
                with initialize_config_dir(str(conf_folder()), version_base="1.3"):
                    tree = compose("config", [*self.search, *words])
            finally:
                GlobalHydra.instance().hydra = before  # another instance than above
        check_resolvers(OmegaConf.to_container(tree, resolve=False))
        run = OmegaConf.to_object(tree)
        assert isinstance(run, schema.RunConfig)
        if run.protocol.name not in user_files.options("protocol", None):
            run.protocol.paper_models = []  # a protocol of the user is not what a paper ran
        return run


def finished(run: schema.RunConfig) -> schema.RunConfig:
    """Return the settings with paths expanded and resamples listed. Raises UserError for an empty path or model."""
    if not run.model.configs():
        raise UserError(f"model=[] is empty: choose from {', '.join(models.names())}")
    for name, value in (("results", run.results), ("archive.root", run.archive.root)):
        if value is not None and not value.strip():
            raise UserError(f"{name}= is empty: give a folder")
    run.results = expand_home(run.results)
    run.archive.root = None if run.archive.root is None else expand_home(run.archive.root)
    if run.resamples is not None:
        if run.resample != 0:
            raise UserError(f"resamples={run.resamples} and resample={run.resample} are both set: give one of them")
        run.resample = checks.integers("resamples", run.resamples, count=True)
    return run


# ---------------------------------------------------------------------------------------------------------------------
# Overrides


def choices(plain: Sequence[Override], folder: Path | None) -> list[tuple[str, list[str]]]:
    """Return KEY and the values of each override, in Hydra's form. Raises UserError for bad input.

    Args:
        plain: the overrides.
        folder: the folder of --config-dir.
    """
    last = {override.key: override for override in plain}  # the last one of a setting holds
    result = []
    for override in last.values():
        check_syntax(override)
        prefix = override.word[: override.word.index(override.key)]
        if override.key in GROUPS:
            result.append((override.key, group_values(override, folder)))
        else:
            kind = overrides.setting_type(override)
            prefix = "++" if kind is object or get_origin(kind) is dict else prefix  # entries are not there before
            result.append((prefix + override.key, overrides.values(override, kind)))
    return result


def check_syntax(override: Override) -> None:
    """Raise UserError for a value that Hydra cannot read although it is not text."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    kind = str if override.key in GROUPS or override.key.startswith("hydra") else overrides.setting_type(override)
    if overrides.is_text(kind) or (override.key in overrides.NAME_LISTS and not override.value.startswith("[")):
        return
    value = overrides.name_list(override) if override.key in overrides.NAME_LISTS else override.value
    try:
        OverridesParser.create().parse_overrides([f"{override.key}={value}"])
    except OverrideParseException:
        hint = "write KEY=VALUE, and quotes within quotes around special characters: \"results='a (b)'\""
        raise UserError(f"'{override.word}' is not an override: {hint}") from None


def group_values(override: Override, folder: Path | None) -> list[str]:
    """Return the choices of a group, one for each combination of settings.

    Args:
        override: its key is a group, its value one option, several or a list.
        folder: the folder of --config-dir, which may add options.
    """
    names = overrides.several_values(override, str) or ([] if override.value == "[]" else [override.value])
    names = [name[1:-1] if overrides.is_quoted(name) else name for name in names]
    if override.key == "model":
        written, names = names, [in_our_spelling(name, user_files.options("model", folder)) for name in names]
        for ensemble, name in zip(written, names, strict=True):
            if loose(ensemble) in ENSEMBLES and loose(name) != loose(ensemble):
                notice(
                    f"{ensemble} averages five networks of {name}, which are trained with model={name} seeds=5 and "
                    f"averaged by `tsfcn ensemble members={name}:5`"
                )
    for name in names:
        check_option(override, name, folder)
    if override.key != "model":
        return overrides.values(override, str)
    options: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        options.setdefault(user_files.architecture(name, folder), []).append(overrides.quoted(name))
    combined = overrides.combinations(list(options.items()))
    return ["[" + ",".join(word.partition("=")[2] for word in words) + "]" for words in combined]


def in_our_spelling(name: str, known: Iterable[str]) -> str:
    """Return the known name that has the same letters and digits in the same order, else the name itself.

    The name of an ensemble of one network stands for that network.

    >>> in_our_spelling("LSTM-FCN", ["fcn", "lstm_fcn"]), in_our_spelling("InceptionTime", ["fcn", "inception"])
    ('lstm_fcn', 'inception')
    """
    known = list(known)
    meant = {loose(name), loose(ENSEMBLES.get(loose(name), name))}
    alike = [each for each in known if loose(each) in meant]
    return alike[0] if name not in known and len(alike) == 1 else name


def check_option(override: Override, name: str, folder: Path | None) -> None:
    """Raise UserError unless `name` is an option of the group of an override.

    Args:
        override: the override, for the message.
        name: one of the options that it names.
        folder: the folder of --config-dir.
    """
    group = override.key
    known = user_files.options(group, folder)
    if name in known or (group == "experiment" and name == "null"):
        return
    if group == "model" and name in specs.failures():
        raise UserError(specs.why_unknown(name))
    near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(known)}"
    raise UserError(f"{group} '{name}' is not known: {hint}")


# ---------------------------------------------------------------------------------------------------------------------
# Checks


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
    elif isinstance(value, str) and re.search(r"\$\{[^{}]*:", value):
        raise UserError(f"setting '{key}' calls a function, '{value}': write the value itself")


def check_task(run: schema.RunConfig, model: str, config: ModelConfig) -> None:
    """Raise UserError for a model, or another way to train, that is not for the task of a run.

    Args:
        run: The settings of the run.
        model: The name of the model.
        config: Its settings.
    """
    is_dense = run.task == "segmentation"
    if is_dense and (run.protocol.init_from is not None or run.protocol.refine_rounds):
        raise UserError("protocol.init_from and refine_rounds are not for task=segmentation: leave them out")
    if is_dense and model not in LABELS_TIMEPOINTS:
        raise UserError(f"model={model} is not for task=segmentation: use one of {', '.join(LABELS_TIMEPOINTS)}")
    if not is_dense and isinstance(config, FCN32sConfig):
        raise UserError(f"model={model} labels timepoints of streams: add task=segmentation protocol=segmentation")


def check_reach(plain: Sequence[Override], runs: Sequence[schema.RunConfig]) -> None:
    """Raise UserError for an override of a training value that has no effect on any model of any combination."""
    for override in plain:
        match = re.fullmatch(r"protocol\.(?:(common)|models\.(\w+))?\.?(\w+)", override.key)
        if match and match[3] in {f.name for f in fields(protocol.TrainingConfig)}:
            problems = [problem for run in runs if (problem := obstacle(run, *match.groups()))]
            if len(problems) == len(runs):
                raise UserError(f"'{override.word}' has no effect{problems[0]}")


def obstacle(run: schema.RunConfig, common: str | None, model: str | None, name: str) -> str:
    """Return why a training value has no effect on a run, '' if it has one.

    Args:
        run: the settings of the run.
        common: 'common' for a value in protocol.common, else None.
        model: the model for a value in protocol.models, else None.
        name: the name of the value.
    """
    chosen = run.model.configs()
    if all(
        name in protocol.unread(each, protocol.resolve(run.protocol, each, config)) for each, config in chosen.items()
    ):
        return f": nothing in this run reads {name}"
    if model is not None and model not in chosen:
        return f": {model} is not among the models of this run"
    if common is None and model is None:
        return ""
    for each in [model] if model else chosen:
        above = [run.protocol] if model else [run.protocol, run.protocol.models.block(each)]
        if all(getattr(layer, name) is None for layer in above):
            return ""
    return f", another value comes before it: write protocol.{name}=..."


def check_same_machine(runs: Sequence[schema.RunConfig]) -> None:
    """Raise UserError where combinations differ in a setting that a run has once, as two experiments can."""
    once = ("results", "task", "device", "executor", "checkpoint", "max_attempts", "budget", "dry_run", "save_weights")
    for key in once:
        if any(getattr(run, key) != getattr(runs[0], key) for run in runs):
            raise UserError(f"the combinations of settings differ in {key}: give {key} one value for all of them")
    for run in runs:
        same = {(r.archive.root, r.archive.download, r.archive.mirror, r.engine.name) for r in (run, runs[0])}
        if len(same) > 1:
            raise UserError("the combinations of settings differ in archive or engine: give them one value for all")


def is_of_hydra(error: Exception) -> bool:
    """Return whether an error is one of Hydra or OmegaConf, or of a check of schema.py inside them."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    return isinstance(error, HydraException | OmegaConfBaseException | AssertionError | ValueError)


def explain(error: BaseException, words: Sequence[str]) -> str:
    """Return one line for an error of Hydra or OmegaConf.

    words: the overrides, to name the one that caused it.
    """
    for word in words:
        match = re.match(r"\+*model\.(\w+)\.", word)
        if match and "NoneType" in str(error):
            return f"'{word}' sets a model that is not chosen: add it, 'model=[...,{match[1]}]'"
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, UserError):
        return str(cause)
    key = getattr(cause, "full_key", None)
    line = first_line(cause)
    value = re.match(r"Value '(.*?)' (?:of type '\w+' could not be converted to|is not a valid) (\w+)", line)
    if key and value and value[2] in WANTED:
        return f"{key}={value[1]} is not {WANTED[value[2]]}"
    return f"setting '{key}' is wrong: {line}" if key else line


def register_schema() -> None:
    """Give Hydra the types that conf/config.yaml starts from, and an option for each model without a file."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="schema", node=schema.run_schema())
    for name in set(models.names()) - set(models.MODELS):
        store.store(group="model", name=name, node={name: models.spec(name).settings})


def hydra_words(words: Sequence[str]) -> list[str]:
    """Return overrides in the form that Hydra itself reads, with one value for each setting.

    words: overrides, and --config-dir=FOLDER. Raises UserError for bad input.
    """
    compose(words)
    folder, plain = parsed(words)
    (combination,) = overrides.combinations(choices(plain, folder))
    return [*Composer(folder).search, *combination]
