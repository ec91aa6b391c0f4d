"""Where a run stands, as a runner writes it with each heartbeat, and the lines that tell it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, TypeVar

from tsfcn.common.escapes import printable
from tsfcn.common.json_types import short, type_checks

T = TypeVar("T")


class Named(Protocol):
    """A job, its record, or the state of its training."""

    @property
    def dataset(self) -> str:
        """The dataset's name."""

    @property
    def model(self) -> str:
        """The model's name in tables."""

    @property
    def protocol(self) -> str:
        """The protocol's name in tables."""

    @property
    def seed(self) -> int:
        """The seed of the training."""

    @property
    def resample(self) -> int:
        """The number of the resample; 0: the split of the files."""


@dataclass(frozen=True)
class RunningJob:
    """A job in training. epochs: 0 until the first epoch has ended; rate: epochs a second."""

    worker: int
    key: str
    dataset: str
    model: str
    protocol: str
    seed: int
    resample: int
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    rate: float | None = None

    @property
    def parts(self) -> list[str]:
        """What there is to show, the most important first."""
        resampled = f" resample {self.resample}" if self.resample else ""
        parts = [f"{self.dataset} {self.model} seed {self.seed}{resampled}: epoch {self.epoch} of {self.epochs}"]
        parts += [] if self.loss is None else [f"loss {self.loss:.4g}"]
        parts += [f"{self.rate:.3g} epochs/s"] if self.rate else []
        return [printable(part) for part in parts]

    def line(self, width: int | None = None) -> str:
        """Return the job as text: as much as fits into a width, at least its name and epoch."""
        parts = self.parts
        while width is not None and len(parts) > 1 and len(", ".join(parts)) > width:
            parts.pop()
        return ", ".join(parts)


@dataclass(frozen=True)
class RunState:
    """Where a run stands.

    total: jobs of the run; done: of them ended, by status; elsewhere: ended by other runners; share: of the estimated
    work that is done, 0 to 1; per_minute: jobs that ended, None in the first seconds.
    """

    total: int
    done: dict[str, int]
    elsewhere: int = 0
    share: float = 0.0
    elapsed_seconds: float | None = None
    left_seconds: float = 0.0
    per_minute: float | None = None
    running: list[RunningJob] = field(default_factory=list)

    @property
    def n_done(self) -> int:
        """How many jobs have ended."""
        return sum(self.done.values())

    @property
    def started(self) -> list[RunningJob]:
        """The running jobs of which an epoch has ended."""
        return [job for job in self.running if job.epochs]

    def to_json(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return asdict(self)

    def summary(self, *, elapsed: bool = False) -> str:
        """Return the line that sums the run up. elapsed: with the time since its start."""
        words = [f"{self.n_done} of {self.total} jobs done"]
        words += [f"{count} {status}" for status, count in self.done.items() if count and status != "ok"]
        words += [f"{self.elsewhere} by other runners"] if self.elsewhere else []
        words.append(f"{len(self.running)} running")
        words += [f"{self.per_minute:.2g} jobs/min"] if self.per_minute else []
        words += [f"{clock(self.elapsed_seconds)} elapsed"] if elapsed and self.elapsed_seconds is not None else []
        words += [f"about {clock(self.left_seconds)} left"] if self.total > self.n_done else []
        return printable(", ".join(words))


def read_state(data: object) -> RunState | None:
    """Return the state that a runner wrote, None if it wrote none. Raises ValueError for anything else."""
    if not data:
        return None
    state = _read(RunState, data)
    return replace(state, running=[_read(RunningJob, job) for job in state.running])


def _read(dataclass: type[T], data: object) -> T:
    """Return a dataclass of JSON values. Raises ValueError if one is missing or of another type."""
    if not isinstance(data, dict):
        raise ValueError(f"it is {short(data)}, not an object")
    checks = type_checks(dataclass)
    values = {name: data[name] for name in checks if data.get(name) is not None}
    for name, value in values.items():
        if not checks[name](value):
            raise ValueError(f"{name} is {short(value)}")
    try:
        return dataclass(**values)
    except TypeError:
        raise ValueError("a field is missing") from None


def clock(seconds: float) -> str:
    """Return a duration as one reads it: 45 s, 3 min 20 s, 2 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def title(job: Named) -> str:
    """Return the words that name a job."""
    resampled = f" resample {job.resample}" if job.resample else ""
    return printable(f"{job.dataset} {job.model} {job.protocol} seed {job.seed}{resampled}")
