"""The one decision which engine trains a job: taken for the plan, checked again by whoever trains."""

from __future__ import annotations

from dataclasses import dataclass

from tsfcn.common.device import kind
from tsfcn.config.models import ModelConfig
from tsfcn.config.protocol import Settings, fast_takes, fast_trains
from tsfcn.training.fused import build

NO_COMPILER = "no C compiler found ($CC, cc, gcc or clang)"


@dataclass(frozen=True)
class EngineChoice:
    """Which engine trains a job, and why."""

    name: str  # reference; fast: in C; fast_torch: the same by torch's operations; fast_cuda: the same on a GPU
    precision: str
    device: str  # torch's name of it
    reason: str = ""  # why it is not the fast engine, '' if it is
    missing: bool = False  # whether the fast engine would train the job if this machine had a compiler


def select_engine(
    architecture: str,
    model: ModelConfig,
    settings: Settings,
    requested: str,
    *,
    precision: str = "float32",
    n_channels: int = 1,
    n_timepoints: int = 2,
    device: str = "cpu",
    compiled: bool | None = None,
) -> EngineChoice:
    """Return the engine that trains a network under a protocol.

    Without a C compiler the reference loop is faster than fast_torch, which is for who asks for it by name or needs it
    for the precision.

    Args:
        architecture: The registered name of the network.
        model: Its settings.
        settings: The protocol, resolved for it.
        requested: The setting engine.name: auto, reference or fast.
        precision: The precision of the job.
        n_channels: Channels of the series as trained.
        n_timepoints: Timepoints of the series as trained.
        device: torch's name of the device.
        compiled: Whether the C library is there, which matters on the CPU alone; None: whether there is a compiler.
    """

    def choice(name: str, reason: str = "", missing: bool = False) -> EngineChoice:
        return EngineChoice(name, precision, device, reason, missing)

    if requested == "reference":
        return choice("reference", "engine.name=reference")
    if not fast_trains(architecture, model, settings):
        return choice("reference", "the fast engine is not for this network with these settings")
    if not fast_takes(n_channels, n_timepoints):
        return choice("reference", "the fast engine is for series of one channel and two timepoints or more")
    if kind(device) == "mps":
        return choice("reference", "the fast engine is for the CPU and NVIDIA GPUs")
    if kind(device) == "cuda":
        return choice("fast_cuda")
    if build.compiler() is not None if compiled is None else compiled:
        return choice("fast")
    if requested == "fast" or precision in ("bfloat16", "tf32"):
        return choice("fast_torch", f"{NO_COMPILER}: torch's operations train, several times slower", missing=True)
    return choice("reference", f"{NO_COMPILER}: the reference loop trains, about three times slower", missing=True)


def automatic_precision(requested: str, device: str = "cpu") -> str:
    """Return the precision that engine.precision=auto stands for. requested: engine.name; device: torch's name."""
    if requested == "reference":
        return "float32"
    if kind(device) == "cpu":
        return "bfloat16" if build.has_bfloat16() else "float32"
    return "float32"
