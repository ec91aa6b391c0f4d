"""Jobs: what is to be trained, and under which key. Pure: nothing is read, written or trained."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

from tsfcn.common.errors import UserError
from tsfcn.config import model_code, model_spec
from tsfcn.config import models as model_specs
from tsfcn.config import protocol as conf
from tsfcn.config.model_config import changes
from tsfcn.config.models import ModelConfig
from tsfcn.config.schema import FAST_PRECISIONS
from tsfcn.config.segmentation import SegmentationConfig
from tsfcn.config.segmentation_models import stages
from tsfcn.data.preprocess import truncated_length

# Raise by hand when the numbers that training gives change: no older record then counts as done, and no table mixes
# the two. The golden tests fail when the numbers moved and this did not.
MEANING = 1
SHOWN = 6  # digits of the hash of a model's source, in its name


def digest(value: object) -> str:
    """Return 16 hex digits that identify a value of plain JSON types, whatever the order of its keys."""
    return hashed(compact(value))


def compact(value: object) -> str:
    """Return a value of plain JSON types as text that does not depend on the order of its keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def hashed(text: str) -> str:
    """Return 16 hex digits that identify a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Job:
    """One training: dataset x model x protocol x seed x resample. All fields are plain JSON values."""

    dataset: str
    passport: dict[str, Any]  # of the content that the plan saw; {} for a dataset that cannot be had
    architecture: str  # the name of a registered model
    model: str  # the name in tables: the architecture, and what the user changed
    model_settings: dict[str, Any]
    protocol: str  # the name in tables, likewise
    settings: dict[str, Any]  # DataSettings.to_json, of a network Settings.to_json (config/protocol.py)
    off_paper: bool  # the paper of the protocol did not run this
    seed: int
    resample: int
    precision: str = "float32"
    code: dict[str, str] | None = None  # of a model of another package, see model_code.code_of
    # Under protocol.init_from: the key of the weights file that the training starts from, and its group: that of the
    # job that left it, the same for all seeds of this one; of a file of the user both are the digest of its content.
    source: dict[str, str] | None = None
    task: dict[str, Any] | None = None  # of dense labelling: SegmentationConfig and the stages before; None: classifies

    @property
    def content(self) -> dict[str, Any]:
        """Everything besides the seed that the numbers follow from."""
        return {
            "meaning": MEANING,
            "dataset": self.dataset,
            "data": {name: self.passport.get(name) for name in ("archive", "split", "content")},
            "architecture": self.architecture,
            "model": self.model_settings,
            "settings": self.settings,
            "resample": self.resample,
            "precision": self.precision,
            **({"code": self.code} if self.code else {}),
            **({"source": self.source["group"]} if self.source else {}),
            **({"task": self.task} if self.task else {}),
        }

    @cached_property
    def group(self) -> str:
        """The key without the seed: jobs of one group may be averaged."""
        return digest(self.content)

    @cached_property
    def key(self) -> str:
        """The job's identity: equal keys mean equal numbers."""
        return digest({**self.content, "seed": self.seed})

    def copies(self, resamples: Iterable[int], seeds: Sequence[int]) -> Iterator[Job]:
        """Yield the job on each resample with each seed, and their keys: what these follow from is written once."""
        before = {name: value for name, value in self.content.items() if name < "resample"}
        after = {name: value for name, value in self.content.items() if name > "resample"}  # "seed" comes next to it
        start, end = compact(before)[:-1], compact(after)[1:]
        for resample in resamples:
            first = f'{start},"resample":{resample}'
            group = hashed(f"{first},{end}")
            for seed in seeds:
                job = object.__new__(Job)  # `replace` takes three times as long
                key = hashed(f'{first},"seed":{seed},{end}')
                job.__dict__.update(self.__dict__, resample=resample, seed=seed, group=group, key=key)
                yield job

    @property
    def identity(self) -> tuple[str, str, str]:
        """The key, and the names that it goes under: equal settings may be asked for by two names."""
        return self.key, self.model, self.protocol

    @property
    def row(self) -> tuple[str, str, str, int]:
        """The table row that the job belongs to."""
        return self.dataset, self.model, self.protocol, self.resample

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, not copied; Job(**fields) gives the job back."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def library(self) -> str:
        """The library whose classifier this job fits; '' for a network."""
        known = model_spec.find(self.architecture)
        return "" if known is None else known.library

    def data_settings(self) -> conf.DataSettings:
        """Return how the data are prepared."""
        names = {each.name for each in fields(conf.DataSettings)}
        return conf.DataSettings(**{name: value for name, value in self.settings.items() if name in names})

    def resolved(self) -> conf.Settings:
        """Return the settings of a network as the dataclass."""
        return settings_of(self.settings)

    def model_config(self) -> ModelConfig:
        """Return the model's settings as the dataclass."""
        return model_specs.spec(self.architecture).settings(**self.model_settings)


def settings_of(values: Mapping[str, Any]) -> conf.Settings:
    """Return the settings of a network from their JSON values."""
    tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, (list, tuple))}
    return conf.Settings(**{**values, **tuples})


@dataclass(frozen=True)
class Terms:
    """How jobs are to be run: nothing of it moves their numbers."""

    root: str | None = None  # the archive's folder
    engine: str = "auto"  # one of schema.ENGINES
    save_weights: bool = False
    n_sharing: int = 1  # jobs at a time share the memory that is free
    memory: float = math.inf  # bytes that the process may take
    checkpoint_seconds: float = math.inf  # between two checkpoints
    device: str = "cpu"  # torch's name of it, as device.resolve gives
    sources: Sequence[str] = ()  # the keys of jobs whose weights are kept, since others start from them
    threads: int = 1  # of a step of the fast engine on the CPU; 0: the executor shares the cores


def label(name: str, changed: Mapping[str, Any]) -> str:
    """Return `name`, with what the user changed in brackets: fawaz2019[epochs=3]."""
    settings = ", ".join(f"{key}={plain(value)}" for key, value in sorted(changed.items()))
    return f"{name}[{settings}]" if settings else name


def plain(value: object) -> str:
    """Return a setting as one writes it in an override."""
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(plain(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)  # any other float in full: two settings never share a label


def listed(value: dict[str, Any]) -> dict[str, Any]:
    """Return the dict with tuples as lists, as JSON gives them back."""
    return {name: list(item) if isinstance(item, tuple) else item for name, item in value.items()}


def jobs(
    passports: Mapping[str, dict[str, Any]],
    models: Mapping[str, ModelConfig],
    protocol: conf.ProtocolConfig,
    unchanged: conf.ProtocolConfig,
    seeds: Iterable[int],
    resamples: Iterable[int],
    precision: str = "float32",
    *,
    if_possible: bool = False,
    init_label: str = "",
    segmentation: SegmentationConfig | None = None,
) -> list[Job]:
    """Return the jobs of a run: passports (by dataset) x models x resamples x seeds, in this order.

    unchanged: the protocol as its file has it, before the user's overrides, for the label of what was changed. The
    label has a precision other than float32 too, though that alone is not off-paper. init_label: what the label shows
    of protocol.init_from, which names one source here ('': that). segmentation: how timepoints are labelled; None:
    cases are classified. Raises UserError for a setting out of range, and for a precision that this network cannot be
    trained in, which with `if_possible` is float32 then.
    """
    seeds, resamples = list(seeds), list(resamples)
    passports = {dataset: dict(passport) for dataset, passport in passports.items()}
    variants = {}
    for architecture, model in models.items():
        settings = conf.resolve(protocol, architecture, model)
        possible = is_possible(precision, architecture, model, settings)
        if segmentation is not None and precision in FAST_PRECISIONS:
            possible = False
        if not possible and not if_possible:
            raise UserError(
                f"engine.precision={precision} is not for {architecture} with these settings: "
                "leave it out, or the model"
            )
        for fast in {_may_be_fast(passport, protocol) for passport in passports.values()}:
            resolved = precision if (possible and fast) or not if_possible else "float32"
            variants[architecture, fast] = variant(
                *(architecture, model, protocol, unchanged, settings, resolved), init_label, segmentation
            )
    return [
        job
        for dataset, passport in passports.items()
        for architecture in models
        for job in Job(
            dataset, passport, **variants[architecture, _may_be_fast(passport, protocol)], seed=0, resample=0
        ).copies(resamples, seeds)
    ]


def is_possible(precision: str, architecture: str, model: ModelConfig, settings: conf.DataSettings) -> bool:
    """Return whether a model can be trained in a precision; a classifier of a library has none of its own to choose."""
    if not isinstance(settings, conf.Settings):
        return precision == "float32"
    return precision not in FAST_PRECISIONS or conf.fast_trains(architecture, model, settings)


def _may_be_fast(passport: Mapping[str, Any], protocol: conf.ProtocolConfig) -> bool:
    """Return whether the fast engine is for a dataset (select_engine.engine), as far as its passport tells."""
    return conf.fast_takes(truncated_length(int(passport.get("length", 2)), protocol.truncate))


def variant(
    architecture: str,
    model: ModelConfig,
    protocol: conf.ProtocolConfig,
    unchanged: conf.ProtocolConfig,
    settings: conf.DataSettings,
    precision: str,
    init_label: str = "",
    segmentation: SegmentationConfig | None = None,
) -> dict[str, Any]:
    """Return the fields of a job that follow from what the user chose, with the labels that say what was changed."""
    before = conf.resolve(unchanged, architecture, model_specs.spec(architecture).settings())
    if isinstance(settings, conf.Settings):
        settings = replace(settings, **{name: getattr(before, name) for name in conf.unread(architecture, settings)})
    changed = changes(settings, before)
    if init_label:
        changed["init_from"] = init_label
    is_changed = bool(changed)
    if precision != "float32":
        changed["precision"] = precision
    if segmentation is not None:
        changed |= changes(segmentation, SegmentationConfig())
    model_changed = model.changed()
    model_changed.pop("cells", None)  # stands in the settings
    described = listed(asdict(model))
    described.pop("cells", None)
    code = model_code.code_of(architecture)
    name = model.row_name(architecture)
    if code:
        name += "+" + (code.get("source", "")[:SHOWN] or code["version"])
    model_label = label(name, model_changed)
    return {
        "architecture": architecture,
        "model": model_label,
        "code": code or None,
        "model_settings": described,
        "protocol": label(protocol.name, changed),
        "settings": settings.to_json(),
        "off_paper": is_changed or model_label not in protocol.paper_models,
        "precision": precision,
        "task": None if segmentation is None else task_of(segmentation, architecture, model, protocol),
    }


def task_of(
    segmentation: SegmentationConfig, architecture: str, model: ModelConfig, protocol: conf.ProtocolConfig
) -> dict[str, Any]:
    """Return the task of a job of dense labelling: its settings, and those of the stages before the network's own.

    Args:
        segmentation: How streams are drawn and labelled.
        architecture: The network.
        model: Its settings.
        protocol: The protocol with the overrides of the user.
    """
    earlier = [
        {"model": name, "config": asdict(config), "settings": conf.resolve(protocol, name, config).to_json()}
        for name, config in stages(architecture, model)
    ]
    return {"name": "segmentation", **segmentation.to_json(), "stages": earlier}
