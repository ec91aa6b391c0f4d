"""Which engine trains a job, and in which precision."""

from __future__ import annotations

from tsfcn.common.device import kind
from tsfcn.config.protocol import fast_takes, fast_trains
from tsfcn.jobs.plan import Job
from tsfcn.training.fused.build import has_bfloat16


def engine(job: Job, chosen: str, n_channels: int, n_timepoints: int, *, compiled: bool, device: str = "cpu") -> str:
    """Return which engine trains a job: reference, fast, fast_torch (`fast` without its C part) or fast_cuda.

    chosen: of schema.ENGINES; n_channels, n_timepoints: of the series as trained; compiled: whether there is, or will
    be, kernels.c compiled, which matters on the CPU alone; device: torch's name of it. Slower than the reference loop,
    fast_torch is for who asks for it by name or by bfloat16.
    """
    covered = fast_trains(job.architecture, job.model_config(), job.resolved()) and fast_takes(n_channels, n_timepoints)
    if not covered or chosen == "reference" or kind(device) == "mps":
        return "reference"
    if kind(device) == "cuda":
        return "fast_cuda"
    if compiled:
        return "fast"
    return "fast_torch" if chosen == "fast" or job.precision == "bfloat16" else "reference"


def automatic_precision(chosen: str, device: str = "cpu") -> str:
    """Return the precision that engine.precision=auto stands for. chosen: of schema.ENGINES; device: torch's name."""
    if chosen == "reference":
        return "float32"
    if kind(device) == "cpu":
        return "bfloat16" if has_bfloat16() else "float32"
    return "float32"
