"""Overrides: the words KEY=VALUE of a command line or a Python call, before Hydra reads them.

Hydra reads `results=1.10` as a number and `results=~/r` not at all. Here each value is read by the type of its setting
(schema.py): text stays as it was typed, several values of a setting become one combination of settings each, and what
Hydra would ignore or explain badly is refused with the remedy.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from tsfcn.common.arguments import expand_home
from tsfcn.common.errors import UserError
from tsfcn.config import schema

GROUPS = ("model", "protocol", "executor", "experiment")  # folders of conf/ whose files can be chosen
FIXED = ("protocol.name", "protocol.paper", "protocol.paper_models")  # marks and labels of tables depend on these
NAME_LISTS = ("dataset", "exclude")  # one text or a list of texts
NUMBER_LISTS = ("seeds", "resample")  # one number or a list of numbers
RUN_SETTINGS = frozenset(f.name for f in fields(schema.RunConfig)) | {"experiment"}  # those that are not inside others
SWEPT = (  # may have several values in one run
    *("protocol", "model", "segmentation", "experiment"),
    *("engine.precision", "archive.split"),
)
MAX_COMBINATIONS = 1000
MAX_COUNT = 1_000_000  # of the numbers of a range
CONFIG_DIR = "--config-dir"
OUTPUT_OF_HYDRA = ("hydra.run", "hydra.sweep", "hydra.output_subdir", "hydra.job.chdir", "hydra.runtime.output_dir")
OTHER_NAMES = {  # names in other tools of settings here
    "learning_rate": "lr",
    "n_epochs": "epochs",
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "batchsize": "batch_size",
    "random_state": "seeds",
    "n_jobs": "workers",
    "num_workers": "workers",
    "output": "results",
    "out": "results",
    "output_dir": "results",
    "gpu": "device",
}


@dataclass(frozen=True)
class Override:
    """One override, KEY=VALUE."""

    word: str  # as the user typed it
    key: str  # the dotted name of the setting, or a group
    value: str  # as the user typed it

    @property
    def is_swept(self) -> bool:
        """Whether the setting may have several values in one run."""
        return any(self.key == name or self.key.startswith(f"{name}.") for name in SWEPT)


# ---------------------------------------------------------------------------------------------------------------------
# Words


def canonical(words: Iterable[str]) -> list[str]:
    """Return the words of a command line in one spelling.

    A carriage return at the end of a word (from a script with the line ends of Windows) is removed, `--config-dir DIR`
    becomes one word, and `-m` is left out, since several values of a setting need no flag.
    """
    stripped = [word.rstrip("\r") for word in words]
    result: list[str] = []
    position = 0
    while position < len(stripped):
        word = stripped[position]
        if word in (CONFIG_DIR, "-cd"):
            position += 1
            if position == len(stripped):
                raise UserError(f"{word} is without a folder: write {CONFIG_DIR} FOLDER")
            result.append(f"{CONFIG_DIR}={stripped[position]}")
        elif word not in ("-m", "--multirun"):
            result.append(word)
        position += 1
    return result


def config_dir(words: Iterable[str]) -> Path | None:
    """Return the folder that --config-dir names, or None. Raises UserError for two, or for something else."""
    folders = [word.partition("=")[2] for word in words if word.startswith(f"{CONFIG_DIR}=")]
    if not folders:
        return None
    if len(folders) > 1:
        raise UserError(f"{CONFIG_DIR} is there {len(folders)} times: give one folder")
    folder = Path(expand_home(folders[0]))
    if not folder.is_dir():
        raise UserError(
            f"{CONFIG_DIR} '{folders[0]}' is not a folder: name one that holds protocol/, model/, experiment/"
        )
    return folder.resolve()


def parse(word: str) -> Override:
    """Return the override that a word means. Raises UserError for a word that is not KEY=VALUE."""
    prefix, equals, value = word.partition("=")
    key = prefix.lstrip("+")
    if word.startswith("~"):
        raise UserError(f"'{word}' deletes a setting: give it a value instead, {key.lstrip('~')}=...")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w./@:-]*", key):
        raise UserError(f"'{word}' is not an override: write KEY=VALUE")
    if key in NAME_LISTS and re.search("[~!]", value):
        raise UserError(f"'{word}' is not an override: write exclude=[...] to leave datasets out")
    return Override(word, key, value)


def split(text: str) -> list[str]:
    """Return the parts of a text between its commas, except commas inside quotes, brackets and parentheses.

    >>> split("[8,16], [4] ,'a,b'")
    ['[8,16]', '[4]', "'a,b'"]
    """
    parts, depth, quote = [""], 0, ""
    for position, char in enumerate(text):
        if quote:
            quote = "" if char == quote and text[position - 1] != "\\" else quote
        elif char in "'\"":
            quote = char
        elif char in "[({":
            depth += 1
        elif char in "])}":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += char
    return [part.strip() for part in parts]


def items(text: str) -> list[str] | None:
    """Return the items of a list as it is written, or None for a text that is not a list.

    >>> items("[a, [b,c]]")
    ['a', '[b,c]']
    """
    inner = text.strip()
    if not (inner.startswith("[") and inner.endswith("]")) or len(split(inner)) > 1:
        return None
    return split(inner[1:-1]) if inner[1:-1].strip() else []


def is_quoted(text: str) -> bool:
    """Return whether a text is one string in quotes."""
    return re.fullmatch(r"'(\\.|[^'\\])*'|\"(\\.|[^\"\\])*\"", text, re.DOTALL) is not None


def quoted(text: str) -> str:
    r"""Return a text as a string in quotes of Hydra's grammar, in which only a backslash before a quote is special.

    >>> print(quoted("it's C:\\data"))
    'it\'s C:\data'
    """
    escaped = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return f"'{escaped}'"


def as_text(value: str) -> str:
    """Return a value that is text in a form in which Hydra keeps it as it was typed."""
    return value if is_quoted(value) else quoted(value)


# ---------------------------------------------------------------------------------------------------------------------
# Settings


def leaves(node: Any = None, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, type) of every single setting of a run."""
    node = schema.run_schema() if node is None else node
    hints = get_type_hints(node)
    for name in (f.name for f in fields(node)):
        kind = hints[name]
        inner = next((each for each in (kind, *get_args(kind)) if is_dataclass(each)), None)
        if inner is None:
            yield f"{path}{name}", kind
        else:
            yield from leaves(inner, f"{path}{name}.")


def is_text(kind: Any) -> bool:
    """Return whether a setting of this type is one text."""
    return kind is str or (str in get_args(kind) and not is_list(kind) and get_origin(kind) is not dict)


def is_list(kind: Any) -> bool:
    """Return whether a setting of this type is a list."""
    return any(get_origin(each) is list for each in (kind, *get_args(kind)))


def setting_type(override: Override) -> Any:
    """Return the type of the setting of an override; object: of an entry of a mapping, which may be anything.

    Raises UserError unless it is one that a user may change.
    """
    key, word = override.key, override.word
    if key.startswith("hydra"):
        raise UserError(hydra_setting(override))
    if key in FIXED:
        raise UserError(f"setting '{key}' in '{word}' is fixed: it says what paper the file is of; copy the file")
    node: Any = schema.run_schema()
    path: list[str] = []
    parts = key.split(".")
    for part in parts:
        if get_origin(node) is dict:  # any entry, which may be a mapping itself
            return object
        names = [f.name for f in fields(node)] if is_dataclass(node) else []
        if part not in names:
            raise UserError(f"setting '{key}' in '{word}' is not known: {hint(parts, path, names, override.value)}")
        path.append(part)
        kind = get_type_hints(node)[part]
        node = next((each for each in get_args(kind) if is_dataclass(each)), kind)
    if is_dataclass(node) and override.value != "null":
        inner = ", ".join(f.name for f in fields(node))
        raise UserError(f"'{word}' gives one value to several settings: {key} has {inner}, write {key}.NAME=VALUE")
    return kind


def hint(parts: Sequence[str], path: Sequence[str], names: Sequence[str], value: str) -> str:
    """Return the hint for a setting that does not exist.

    Args:
        parts: the parts of its dotted name.
        path: the first of these, which exist.
        names: the settings that there are below `path`.
        value: the value of the override.
    """
    where, unknown = ".".join(path), parts[len(path)]
    elsewhere = place(parts[-1])
    near = difflib.get_close_matches(unknown, names if path else [*names, "experiment"], n=1)
    if near and elsewhere.rpartition(".")[2] != unknown:  # the very name one level deeper is the better guess
        return f"did you mean '{'.'.join([*path, *near, *parts[len(path) + 1 :]])}'?"
    if elsewhere:
        return f"did you mean '{elsewhere}={value}'?"
    return f"{where or 'a run'} has {', '.join(names)}" if names else f"{where} is a single value"


def place(name: str) -> str:
    """Return the dotted name of the setting that is most likely meant by the last part of a name, '' for none.

    >>> place("workers"), place("epoch"), place("learning_rate")
    ('executor.workers', 'protocol.epochs', 'protocol.lr')
    """
    known: dict[str, str] = {}
    for key, _ in sorted(leaves(), key=lambda leaf: leaf[0].count(".")):
        if key not in FIXED and key != "executor.name":
            known.setdefault(key.rpartition(".")[2], key)
    name = OTHER_NAMES.get(name.lower(), name.lower())
    near = [name] if name in known else difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return known[near[0]] if near else ""


def hydra_setting(override: Override) -> str:
    """Return the error message for a setting of Hydra itself, none of which has an effect here."""
    if override.key.startswith(OUTPUT_OF_HYDRA):
        return f"'{override.word}' has no effect: write results=FOLDER to name the folder of the output"
    return f"'{override.word}' is a setting of Hydra, which has no effect here: leave it out"


# ---------------------------------------------------------------------------------------------------------------------
# Several values


def values(override: Override, kind: Any) -> list[str]:
    """Return the values of an override, in the form that Hydra reads. Raises UserError where a run takes only one.

    Args:
        override: its value is one value, values with commas between them, a list of values, or range(...).
        kind: the type of its setting; `str` for a group.
    """
    if override.key in NAME_LISTS:
        return [name_list(override)]
    if override.key in NUMBER_LISTS:
        return [number_list(override)]
    written = several_values(override, kind)
    if len(written) > 1 and not override.is_swept:
        if is_text(kind):
            advice = f'"{override.key}={quoted(override.value)}"'
            raise UserError(f"'{override.word}' is not one text: write quotes within quotes, {advice}")
        raise UserError(f"'{override.word}' has several values, but a run has one {override.key}: give one")
    can_be_null = kind is not str or override.key in GROUPS

    def as_hydra_reads(value: str) -> str:
        return value if not is_text(kind) or (value == "null" and can_be_null) else as_text(value)

    return list(map(as_hydra_reads, written if override.is_swept and written else [override.value]))


def several_values(override: Override, kind: Any) -> list[str]:
    """Return the values of an override that lists values for its setting; an empty list for a plain value."""
    written = override.value.strip()
    parts = [written] if is_quoted(written) else split(written)
    if len(parts) > 1:
        return parts
    call = re.fullmatch(r"(choice|range|interval|glob|shuffle|sort)\((.*)\)", written)
    if call and not is_text(kind):
        return sweep(override, *call.groups())
    listed = items(written) or []
    is_one_list = (is_list(kind) or kind is object) and not all(items(each) is not None for each in listed)
    return [] if is_one_list else listed


def sweep(override: Override, function: str, arguments: str) -> list[str]:
    """Return the values of choice(...) or range(...). Raises UserError for the other functions of Hydra's grammar."""
    parts = split(arguments)
    if function == "choice":
        return parts
    if function == "range" and 1 <= len(parts) <= 3 and all(re.fullmatch(r"-?\d+", part) for part in parts):
        numbers = range(0) if parts[2:] == ["0"] else range(*map(int, parts))
        if 0 < len(numbers) <= MAX_COUNT:
            return list(map(str, numbers))
    raise UserError(f"'{override.word}' is not a list of values: write them, {override.key}=A,B,C")


def name_list(override: Override) -> str:
    """Return the value of a setting that is a text or a list of texts, as typed, for Hydra."""
    value = override.value
    listed = items(value)
    if listed is None and not is_quoted(value):
        parts = split(value)
        listed = parts if len(parts) > 1 else None
    if listed is None:
        return value if value.startswith("[") and "]" not in value else as_text(value)
    return "[" + ",".join(map(as_text, listed)) + "]"


def number_list(override: Override) -> str:
    """Return the value of a setting that is a number or a list of numbers, for Hydra."""
    listed = several_values(override, int)
    return "[" + ",".join(listed) + "]" if listed else override.value


def combinations(choices: Sequence[tuple[str, list[str]]]) -> list[list[str]]:
    """Return the overrides of every combination of values, the last setting varying fastest.

    Raises UserError for more than MAX_COMBINATIONS.

    Args:
        choices: KEY (with its prefix) and the values of each override.
    """
    count = math.prod(len(each) for _, each in choices)
    if count > MAX_COMBINATIONS:
        swept = [key for key, each in choices if len(each) > 1]
        raise UserError(f"{', '.join(swept)} have {count} combinations of values: give at most {MAX_COMBINATIONS}")
    written = [[f"{key}={value}" for value in each] for key, each in choices]
    return [list(words) for words in itertools.product(*written)]


# ---------------------------------------------------------------------------------------------------------------------
# From Python and for the log


def override(name: str, value: object) -> str:
    """Return the override that gives a setting a value of Python: a number, a text, None, or a list of these."""
    return f"{name}={written_value(value)}"


def written_value(value: object) -> str:
    """Return a value of Python as it is written in an override."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, str | Path):
        return str(value) if re.fullmatch(r"[\w*?./:@%+-]+", str(value), re.ASCII) else quoted(str(value))
    if isinstance(value, Iterable):
        return "[" + ",".join(map(written_value, value)) + "]"
    return repr(value) if isinstance(value, float) else str(value)


def from_settings(settings: Mapping[str, object]) -> list[str]:
    """Return the overrides that give settings the values of Python.

    A dict sets what is inside: {"protocol": {"name": "smoke", "epochs": 3}} is protocol=smoke protocol.epochs=3. A
    setting that is one level deeper is found by its name: {"epochs": 3} is protocol.epochs=3.
    """
    words: list[str] = []
    for name, value in settings.items():
        key = name if name in RUN_SETTINGS or "." in name else place(name) if is_exact(name) else name
        words += from_value(key, value)
    return words


def is_exact(name: str) -> bool:
    """Return whether a setting below the top level has exactly this name."""
    return place(name).rpartition(".")[2] == name


def from_value(key: str, value: object) -> list[str]:
    """Return the overrides that give one setting a value of Python; a dict sets the settings inside."""
    if not isinstance(value, Mapping):
        return [override(key, value)]
    rest = dict(value)
    words = [override(key, rest.pop("name"))] if key in GROUPS and "name" in rest else []
    words += [override(key, list(rest))] if key == "model" and rest else []
    return words + [word for name, inner in rest.items() for word in from_value(f"{key}.{name}", inner)]


def command_line(words: Sequence[str], verb: str = "run") -> str:
    """Return the command of a run as one would type it, without what is particular to a machine."""
    local = (
        "archive.root",
        "archive.download",
        "archive.mirror",
        "results=",
        "executor",
        "engine.name",
        "engine.threads",
        "device=",
        "checkpoint.",
        "max_attempts",
        "budget",
        "dry_run",
    )
    kept = [shlex.quote(word) for word in canonical(words) if not word.startswith(local)]
    return " ".join([f"python -m tsfcn.{verb}", *kept])
