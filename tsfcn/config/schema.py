"""What conf/ may hold: types, units and cross-field checks, and how a protocol becomes the settings of one model.

The dataclasses are the schema that Hydra checks every YAML file and every override against. They carry no behaviour
besides their checks, and need the standard library alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from typing import Any, Optional

from tsfcn.common.device import check_device
from tsfcn.common.errors import UserError
from tsfcn.config.checks import one_of, within
from tsfcn.config.models import ModelsConfig, models_schema
from tsfcn.config.protocol import ProtocolConfig, protocol_schema

# ---------------------------------------------------------------------------------------------------------------------
# The run


@dataclass
class ArchiveConfig:
    """Where datasets lie, and where those that are missing come from."""

    root: Optional[str] = None  # noqa: UP045 (None: the variable TSFCN_ARCHIVE, else the default folder)
    download: str = "ask"  # missing datasets: ask (on a terminal, else never), auto, never
    mirror: Optional[str] = None  # noqa: UP045 (None: the archive's public site)
    split: str = "ucr2018"  # ucr2015: train and test as the 2015 archive has them, which 14 datasets have reversed

    def __post_init__(self) -> None:
        """Check the ranges."""
        one_of("archive.download", self.download, ("ask", "auto", "never"))
        one_of("archive.split", self.split, ("ucr2018", "ucr2015"))


@dataclass
class ColumnsConfig:
    """The columns of a user's table with a row for each value; None: recognised by their usual names."""

    case: Optional[str] = None  # noqa: UP045
    time: Optional[str] = None  # noqa: UP045
    value: Optional[str] = None  # noqa: UP045
    dimension: Optional[str] = None  # noqa: UP045 (the channel)


ENGINES = ("auto", "reference", "fast")
PRECISIONS = ("auto", "float32", "float64", "bfloat16", "tf32")
FAST_PRECISIONS = ("bfloat16", "tf32")  # of the fast engine alone


@dataclass
class EngineConfig:
    """How a network is trained: nothing of the name, and all of the precision, is in a job's key."""

    name: str = "auto"  # reference: the loop that defines what a protocol means; fast: the same, sooner; auto: either
    precision: str = "float32"  # of the arithmetic

    def __post_init__(self) -> None:
        """Check the ranges."""
        one_of("engine.name", self.name, ENGINES)
        one_of("engine.precision", self.precision, PRECISIONS)
        if self.precision in FAST_PRECISIONS and self.name == "reference":
            raise UserError(
                f"engine.precision={self.precision} is not for the reference loop: leave out engine.name=reference"
            )


@dataclass
class ExecutorConfig:
    """Where jobs run."""

    name: str = "local"  # local: processes of one thread each; inline: this process
    workers: int = 0  # processes; 0: one a core
    memory: float = 0.0  # GiB that a worker may take; 0: an equal share of what is free when the run starts
    per_device: int = 0  # jobs at a time on a GPU, each in a thread of one process; 0: as many as suit the engine

    def __post_init__(self) -> None:
        """Check the ranges."""
        within("executor.workers", self.workers, 0)
        within("executor.memory", self.memory, 0)
        within("executor.per_device", self.per_device, 0)


@dataclass
class CheckpointConfig:
    """How the state of a training in progress is kept."""

    every_seconds: float = 120.0  # 0: after every epoch

    def __post_init__(self) -> None:
        """Check the range."""
        within("checkpoint.every_seconds", self.every_seconds, 0)


@dataclass
class RunConfig:
    """One run of the suite: datasets x models x seeds under one protocol."""

    dataset: Any = "default"
    exclude: Any = field(default_factory=list)
    model: ModelsConfig = field(default_factory=ModelsConfig)
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    seeds: Any = 1  # a count, or the list of seeds
    resample: Any = 0  # 0: the official split; k > 0: the k-th stratified resample; or a list
    label: Optional[str] = None  # noqa: UP045 (the label column of the user's tables; None: label, class, target or y)
    test_size: Optional[float] = None  # noqa: UP045 (share of test cases where a dataset is one table; None: 0.3)
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    archive: ArchiveConfig = field(default_factory=ArchiveConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    device: str = "cpu"  # where networks are trained: one of DEVICES
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    results: str = "results"
    save_weights: bool = False
    require_predictions: bool = False
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    max_attempts: int = 3  # at a job that fails
    budget: Optional[str] = None  # noqa: UP045 (as 2h, 30m, 1h30m; None: until all is done)
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        within("max_attempts", self.max_attempts, 1)
        check_device(self.device)


def run_schema() -> type[RunConfig]:
    """Return RunConfig with what there is to set of each registered model."""
    model, protocol = models_schema(), protocol_schema()
    open_fields = [
        ("model", model, field(default_factory=model)),
        ("protocol", protocol, field(default_factory=protocol)),
    ]
    return make_dataclass("RunConfig", open_fields, bases=(RunConfig,))
