"""The choice of the engine that trains a job: made for the plan, and checked again before training."""

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

    name: str  # reference; fast: in C; fast_torch: the same in PyTorch operations; fast_cuda: the same on a GPU
    precision: str
    device: str  # as PyTorch names it
    reason: str = ""  # why it is not the fast engine; '' if it is
    missing: bool = False  # whether the fast engine would train the job if this machine had a C compiler


def select_engine(
    architecture: str,
    model: ModelConfig,
    settings: Settings,
    requested: str,
    *,
    precision: str = "float32",
    n_timepoints: int = 2,
    device: str = "cpu",
    compiled: bool | None = None,
) -> EngineChoice:
    """Return the engine that trains a network under a protocol, and the reason.

    Without a C compiler the reference loop is faster than fast_torch. So fast_torch is chosen only if the fast engine
    is requested by name, or if the precision needs it.

    Args:
        architecture: The registered name of the network.
        model: The settings of the network.
        settings: The protocol, resolved for the network.
        requested: The setting engine.name: auto, reference or fast.
        precision: The precision of the job.
        n_timepoints: Timepoints of the series as trained.
        device: The device, as PyTorch names it.
        compiled: Whether the C library is available, which matters on the CPU only; None: if there is a compiler.
    """

    def choice(name: str, reason: str = "", missing: bool = False) -> EngineChoice:
        return EngineChoice(name, precision, device, reason, missing)

    if requested == "reference":
        return choice("reference", "engine.name=reference")
    if not fast_trains(architecture, model, settings):
        return choice("reference", "the fast engine does not train this network with these settings")
    if not fast_takes(n_timepoints):
        return choice("reference", "the fast engine trains series of two or more timepoints only")
    if kind(device) == "mps":
        return choice("reference", "the fast engine runs on the CPU and on NVIDIA GPUs only")
    if kind(device) == "cuda":
        return choice("fast_cuda")
    if build.compiler() is not None if compiled is None else compiled:
        return choice("fast")
    if requested == "fast" or precision in ("bfloat16", "tf32"):
        return choice("fast_torch", f"{NO_COMPILER}: PyTorch operations train, several times slower", missing=True)
    return choice("reference", f"{NO_COMPILER}: the reference loop trains, about three times slower", missing=True)


def automatic_precision(requested: str, device: str = "cpu") -> str:
    """Return the precision of engine.precision=auto. requested: engine.name; device: as PyTorch names it."""
    if requested == "reference":
        return "float32"
    if kind(device) == "cpu":
        return "bfloat16" if build.has_bfloat16() else "float32"
    return "float32"
