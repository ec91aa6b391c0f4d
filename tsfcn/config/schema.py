"""The schema of conf/: types, units and checks across fields.

Hydra checks every YAML file and every override against these dataclasses. They have no behaviour besides their checks
and import only the standard library.
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
    """Where datasets are, and how missing ones are downloaded."""

    root: Optional[str] = None  # noqa: UP045 (None: the variable TSFCN_ARCHIVE, else the default folder)
    download: str = "ask"  # missing datasets: ask (on a terminal, else never), auto, never
    mirror: Optional[str] = None  # noqa: UP045 (None: the archive's public site)
    split: str = "ucr2018"  # ucr2015: the 2015 archive's train and test sets (swapped for 14 datasets)

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
FAST_PRECISIONS = ("bfloat16", "tf32")  # only the fast engine has them
MOST_THREADS = 512  # as in csrc/threads.h


@dataclass
class EngineConfig:
    """Which implementation trains a network. The precision is part of a job's key, name and threads are not."""

    name: str = "auto"  # reference: the loop that defines a protocol; fast: the same but faster; auto: fast if possible
    precision: str = "float32"  # one of PRECISIONS
    threads: Any = 1  # of a training by the fast engine on the CPU; auto: as many as there are idle cores

    def __post_init__(self) -> None:
        """Check the ranges."""
        one_of("engine.name", self.name, ENGINES)
        one_of("engine.precision", self.precision, PRECISIONS)
        if self.threads != "auto":
            if isinstance(self.threads, bool) or not isinstance(self.threads, int):
                raise UserError(f"engine.threads={self.threads} is not a number of threads: write 2, say, or auto")
            within("engine.threads", self.threads, 1, MOST_THREADS)
        if self.precision in FAST_PRECISIONS and self.name == "reference":
            raise UserError(
                f"engine.precision={self.precision} is not available in the reference loop: "
                "leave out engine.name=reference"
            )


@dataclass
class ExecutorConfig:
    """Where jobs run."""

    name: str = "local"  # a module of tsfcn.jobs.executors, or slurm
    workers: int = 0  # processes; 0: one a core
    memory: float = 0.0  # GiB per worker; 0: an equal share of the memory that is free when the run starts
    per_device: int = 0  # jobs that train at the same time on a GPU; 0: as many as suit the engine
    minutes: float = 60.0  # slurm: what a task should take
    tasks: int = 0  # slurm: number of tasks; 0: as many as minutes needs
    sbatch: dict[str, Any] = field(default_factory=dict)  # slurm: further options of sbatch
    address: str = "local"  # ray: of the cluster, auto, or local
    gpus: float = 0.0  # ray: share of a GPU that a job asks for; 0: none on the CPU, what per_device gives on a GPU

    def __post_init__(self) -> None:
        """Check the ranges."""
        within("executor.workers", self.workers, 0)
        within("executor.memory", self.memory, 0)
        within("executor.per_device", self.per_device, 0)
        within("executor.minutes", self.minutes, 1)
        within("executor.tasks", self.tasks, 0)
        within("executor.gpus", self.gpus, 0)


@dataclass
class CheckpointConfig:
    """How often the state of a training in progress is saved."""

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
    resamples: Any = None  # a count n: the official split and n - 1 stratified resamples
    resample: Any = 0  # 0: the official split; k > 0: the k-th stratified resample; or a list
    label: Optional[str] = None  # noqa: UP045 (the label column of the user's tables; None: label, class, target or y)
    test_size: Optional[float] = None  # noqa: UP045 (share of test cases where a dataset is one table; None: 0.3)
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    archive: ArchiveConfig = field(default_factory=ArchiveConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    device: str = "cpu"  # one of device.DEVICES
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    results: str = "results"
    save_weights: bool = False
    require_predictions: bool = False
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    max_attempts: int = 3  # a job that has failed this often is not tried again
    budget: Optional[str] = None  # noqa: UP045 (as 2h, 30m, 1h30m; None: until all is done)
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        within("max_attempts", self.max_attempts, 1)
        check_device(self.device)


def run_schema() -> type[RunConfig]:
    """Return RunConfig with the settings of all registered models."""
    model, protocol = models_schema(), protocol_schema()
    open_fields = [
        ("model", model, field(default_factory=model)),
        ("protocol", protocol, field(default_factory=protocol)),
    ]
    return make_dataclass("RunConfig", open_fields, bases=(RunConfig,))
