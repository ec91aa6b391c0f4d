"""Where networks are trained: the name of a device checked against this machine, and what a record says of it.

    resolve      `cpu`, `cuda`, `cuda:N`, `mps` or `auto` -> torch's name of the device
    announcement one line that says which device was chosen, and why
    description  what a record says of a GPU besides its name
    prepare      torch's switches, so that float32 means float32 and the same seed gives the same bits
    stream       the CUDA stream of one of several jobs that share a GPU
    upload       a CPU tensor on the device, without waiting for the copy

torch is imported only where the device is not the CPU: importing it takes seconds.
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


CUBLAS_WORKSPACE = ":4096:8"  # fixed: with several streams cuBLAS otherwise gives other bits from run to run


def kind(name: str) -> str:
    """Return cpu, cuda or mps for torch's name of a device."""
    return name.partition(":")[0]


def resolve(requested: str) -> str:
    """Return torch's name of a device: 'cpu', 'cuda:0' or 'mps'.

    requested: a value of the setting `device`. 'auto' is the first GPU if there is one, else the CPU. Raises UserError
    for a device that is not known or not available.
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
    """Return why there is no CUDA device and what to do about it, '' if there is one."""
    import torch

    if not torch.backends.cuda.is_built():
        return f"this torch ({torch.__version__}) was built without CUDA: install a CUDA build of torch"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return ""
    reason = "no NVIDIA driver or GPU is visible to torch"
    for warning in caught:  # as for a driver that is too old
        if isinstance(warning.message, Warning) and "driver" in str(warning.message):
            reason = first_line(warning.message).split(" (Triggered")[0].rstrip(".")
    return f"{reason}: see what nvidia-smi and CUDA_VISIBLE_DEVICES say"


def mps_obstacle() -> str:
    """Return why there is no Apple GPU and what to do about it, '' if there is one."""
    import torch

    if not torch.backends.mps.is_built():
        return f"this torch ({torch.__version__}) was built without MPS: install torch for macOS on Apple silicon"
    return "" if torch.backends.mps.is_available() else "no Apple GPU is visible to torch: update macOS to 14 or newer"


def n_visible() -> int:
    """Return the number of CUDA devices."""
    import torch

    return torch.cuda.device_count()


def announcement(requested: str, name: str) -> str:
    """Return one line on the device of a run, with the reason where `auto` chose it; '' for device=cpu."""
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
    """Return the name of the GPU, as 'NVIDIA H100 80GB HBM3'; '' for the CPU."""
    if kind(name) == "cpu":
        return ""
    if kind(name) == "mps":
        return "Apple GPU"
    import torch

    return torch.cuda.get_device_name(name)


@functools.cache
def driver() -> str:
    """Return the version of the NVIDIA driver, '' where it is unknown."""
    with contextlib.suppress(OSError):
        match = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", Path("/proc/driver/nvidia/version").read_text())
        if match:
            return match[0]
    try:  # nvidia-ml-py, where it is installed
        library = importlib.import_module("pynvml")
        library.nvmlInit()
        try:
            version = library.nvmlSystemGetDriverVersion()
        finally:
            library.nvmlShutdown()
    except Exception:  # whatever it is, training does not need it
        return ""
    return version.decode() if isinstance(version, bytes) else str(version)


def description(name: str) -> dict[str, Any]:
    """Return what a record says of a GPU: gpu, driver, cuda, cudnn, deterministic; nothing of the CPU.

    deterministic: whether torch's operations are set to give the same bits each time.
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


def prepare(name: str) -> None:
    """Set torch up for a device: no TF32, so that float32 means float32, and convolutions with the same bits each time.

    Nothing is changed for the CPU. To be called before anything is computed on the device.
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
    """Let this thread launch its work on a CUDA stream of its own; without effect on other devices."""
    if kind(name) != "cuda":
        yield
        return
    import torch

    with torch.cuda.device(name), torch.cuda.stream(torch.cuda.Stream(name)):
        yield


def upload(value: Tensor, target: device) -> Tensor:
    """Return a CPU tensor on the device; a copy to a GPU is started and not waited for."""
    if target.type == "cuda":
        return value.pin_memory().to(target, non_blocking=True)
    return value.to(target)


DEVICES = ("cpu", "cuda", "cuda:N", "mps", "auto")  # N: the number of a GPU, from 0 on


def check_device(value: str) -> None:
    """Raise UserError unless `value` is of the form of a device; whether it is there is seen when a run starts."""
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
