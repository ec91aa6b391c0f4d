"""Devices: which one a run uses, whether it is available, and how a record describes it.

    resolve      `cpu`, `cuda`, `cuda:N`, `mps` or `auto` -> torch's name of the device
    announcement one line that names the device of a run, and the reason for the choice
    description  the fields of a record that describe a GPU
    prepare      torch settings for full float32 precision and reproducible bits
    stream       a CUDA stream for one of several jobs that share a GPU
    upload       copy a CPU tensor to the device without waiting

torch is imported only if the device is not the CPU, since importing it takes seconds.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsfcn.common.errors import UserError, first_line

if TYPE_CHECKING:
    from torch import Tensor, device


CUBLAS_WORKSPACE = ":4096:8"  # without it, cuBLAS is not reproducible with several streams


@functools.cache
def kind(name: str) -> str:
    """Return cpu, cuda or mps for torch's name of a device."""
    return name.partition(":")[0]


def resolve(requested: str) -> str:
    """Return torch's name of a device: 'cpu', 'cuda:0' or 'mps'.

    `requested` is a value of the setting `device`; 'auto' is the first GPU if there is one, else the CPU. Raises
    UserError for a device that is not known or not available.
    """
    check_device(requested)
    if requested == "cpu":
        return "cpu"
    if requested == "auto":
        return "cuda:0" if not cuda_obstacle() else "cpu" if mps_obstacle() else "mps"
    obstacle = mps_obstacle() if requested == "mps" else cuda_obstacle()
    if obstacle:
        raise UserError(f"device={requested} is not available: {obstacle}, or use device=cpu")
    if requested == "mps":
        return "mps"
    number, n_gpus = int(requested.partition(":")[2] or 0), n_visible()
    if number >= n_gpus:
        there = "is 1 GPU" if n_gpus == 1 else f"are {n_gpus} GPUs"
        names = "cuda:0" if n_gpus == 1 else f"cuda:0 to cuda:{n_gpus - 1}" if n_gpus > 2 else "cuda:0 and cuda:1"
        raise UserError(f"device={requested} is not available: there {there}, {names}")
    return f"cuda:{number}"


def cuda_obstacle() -> str:
    """Return why there is no CUDA device and the remedy, or '' if there is one."""
    import torch

    if not torch.backends.cuda.is_built():
        return f"this torch ({torch.__version__}) was built without CUDA: install a CUDA build of torch"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return ""
    reason = "no NVIDIA driver or GPU is visible to torch"
    for warning in caught:  # for example for a driver that is too old
        if isinstance(warning.message, Warning) and "driver" in str(warning.message):
            reason = first_line(warning.message).split(" (Triggered")[0].rstrip(".")
    return f"{reason}: check nvidia-smi and CUDA_VISIBLE_DEVICES"


def mps_obstacle() -> str:
    """Return why there is no Apple GPU and the remedy, or '' if there is one."""
    import torch

    if not torch.backends.mps.is_built():
        return f"this torch ({torch.__version__}) was built without MPS: install torch for macOS on Apple silicon"
    return "" if torch.backends.mps.is_available() else "no Apple GPU is visible to torch: update macOS to 14 or newer"


def n_visible() -> int:
    """Return the number of CUDA devices."""
    import torch

    return torch.cuda.device_count()


def announcement(requested: str, name: str) -> str:
    """Return one line that names the device of a run, with the reason if it was `auto`; '' for device=cpu."""
    if requested == "cpu":
        return ""
    if requested != "auto":
        return f"device={requested}: {name}, {gpu(name)}"
    if name == "cpu":
        return f"device=auto: cpu, since {cuda_obstacle().split(': ')[0]}"
    n_gpus = n_visible() if kind(name) == "cuda" else 1
    return f"device=auto: {name}, {gpu(name)}, the {'only' if n_gpus == 1 else f'first of {n_gpus}'} GPU" + (
        "" if n_gpus == 1 else "s"
    )


@functools.cache
def gpu(name: str) -> str:
    """Return the name of the GPU, for example 'NVIDIA H100 80GB HBM3'; '' for the CPU, or where this one is not."""
    if kind(name) == "cpu" or (kind(name) == "cuda" and cuda_obstacle()):
        return ""
    if kind(name) == "mps":
        return "Apple GPU"
    import torch

    return torch.cuda.get_device_name(name)


@functools.cache
def driver() -> str:
    """Return the version of the NVIDIA driver, or '' if it is unknown."""
    with contextlib.suppress(OSError):
        match = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", Path("/proc/driver/nvidia/version").read_text())
        if match:
            return match[0]
    try:  # nvidia-ml-py, if it is installed
        library = importlib.import_module("pynvml")
        library.nvmlInit()
        try:
            version = library.nvmlSystemGetDriverVersion()
        finally:
            library.nvmlShutdown()
    except Exception:  # the version is not needed for training
        return ""
    return version.decode() if isinstance(version, bytes) else str(version)


def description(name: str) -> dict[str, Any]:
    """Return the fields of a record that describe a GPU: gpu, driver, cuda, cudnn, deterministic; {} for the CPU.

    `deterministic` tells whether torch is set to operations that give the same bits each time.
    """
    if kind(name) == "cpu":
        return {}
    import torch

    on_cuda = kind(name) == "cuda"
    fixed = os.environ.get("CUBLAS_WORKSPACE_CONFIG") in (CUBLAS_WORKSPACE, ":16:8")
    return {
        "gpu": gpu(name),
        "driver": driver() if on_cuda else "",
        "cuda": str(torch.version.cuda or "") if on_cuda else "",
        "cudnn": str(torch.backends.cudnn.version() or "") if on_cuda else "",
        "deterministic": on_cuda and fixed and torch.backends.cudnn.deterministic,
    }


def check_precision(setting: str, precision: str, name: str) -> None:
    """Raise UserError for a precision that a device does not have.

    Args:
        setting: What messages call the setting.
        precision: Its value.
        name: torch's name of the device.
    """
    if kind(name) == "mps" and precision in ("float64", "bfloat16"):
        raise UserError(
            f"{setting}={precision} is not for device={name}, which trains in float32: leave it out, or use device=cpu"
        )
    if precision == "tf32" and kind(name) != "cuda":
        raise UserError(f"{setting}=tf32 is for NVIDIA GPUs: leave it out, or use device=cuda")


def prepare(name: str) -> None:
    """Configure torch for a device: no TF32, and convolutions that give the same bits each time.

    Has no effect for the CPU. Must be called before the first computation on the device.
    """
    if kind(name) != "cuda":
        return
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False  # True by default
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


@contextlib.contextmanager
def stream(name: str) -> Iterator[None]:
    """Run the work of this thread on a new CUDA stream inside the context; no effect on other devices."""
    if kind(name) != "cuda":
        yield
        return
    import torch

    with torch.cuda.device(name), torch.cuda.stream(torch.cuda.Stream(name)):
        yield


def upload(value: Tensor, target: device) -> Tensor:
    """Return a CPU tensor on the device. A copy to a GPU is asynchronous."""
    if target.type == "cuda":
        return value.pin_memory().to(target, non_blocking=True)
    return value.to(target)


DEVICES = ("cpu", "cuda", "cuda:N", "mps", "auto")  # N: the index of a GPU


def check_device(value: str) -> None:
    """Raise UserError unless `value` has the form of a device; `resolve` checks that it is available."""
    if re.fullmatch(r"cpu|cuda(:\d{1,3})?|mps|auto", value):
        return
    word = re.sub(r"[:_ ]?\d*$", "", value.lower().strip())
    number = re.search(r"\d{1,3}$", value)
    known = {"gpu": "cuda", "nvidia": "cuda", "": "cuda" if number else ""}
    near = known.get(word) or "".join(difflib.get_close_matches(word, ("cpu", "cuda", "mps", "auto"), 1))
    if near == "cuda" and number:
        near += f":{number[0]}"
    hint = f"did you mean 'device={near}'? Use" if near else "use"
    raise UserError(f"device={value} is not known: {hint} one of {', '.join(DEVICES)}")
