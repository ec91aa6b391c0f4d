"""What the Triton kernels compile to, without a GPU: `python benchmarks/triton_code.py [--capability 90]`.

It compiles every kernel that a step of the papers' FCN and LSTM-FCN launches, at a few shapes, and prints one line for
each: grid, warps, bytes of shared memory, registers per thread, bytes of memory per thread (spilled registers), and the
numbers of instructions that multiply matrices by warp groups (wgmma, on Hopper) or copy asynchronously (cp.async).
The exit code is 1 if a kernel does not compile or spills. Nothing is launched; compiled kernels are kept only if
TRITON_CACHE_DIR is set.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

SHAPES = [  # model, cases of a batch, channels, timepoints, classes, stacked trainings
    ("fcn", 2, 1, 24, 2, 1),
    ("fcn", 16, 1, 150, 4, 1),
    ("fcn", 16, 1, 1024, 60, 1),
    ("fcn", 16, 1, 96, 7, 5),
    ("fcn", 16, 3, 150, 4, 1),
    ("lstm_fcn", 128, 1, 150, 4, 3),
]


def main() -> int:
    """Print one line per kernel and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", type=int, default=90, help="90: Hopper, 80 and 89: Ampere and Ada")
    options = parser.parse_args()
    os.environ["TRITON_INTERPRET"] = "0"
    scratch = tempfile.TemporaryDirectory()
    os.environ.setdefault("TRITON_CACHE_DIR", scratch.name)

    import torch
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    from tsfcn.config import models
    from tsfcn.config import protocol as config
    from tsfcn.config.compose import compose
    from tsfcn.training.fused import cuda_backend, stacked

    class TargetDriver:
        """A driver without a GPU: it only names the target."""

        def get_current_target(self) -> Any:
            return GPUTarget("cuda", options.capability, 32)

        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int) -> int:
            return 0

    driver.set_active(TargetDriver())
    reader = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    hashes: set[str] = set()
    spilling = 0
    run = JITFunction.run

    def compile_alone(self: Any, *args: Any, grid: Any, warmup: bool, **launch_options: Any) -> Any:
        nonlocal spilling
        kernel = run(self, *args, grid=grid, warmup=True, **launch_options)
        if kernel.hash in hashes:
            return kernel
        hashes.add(kernel.hash)
        ptx = kernel.asm["ptx"]
        binary = Path(scratch.name) / "kernel.cubin"
        binary.write_bytes(kernel.asm["cubin"])
        report = subprocess.run(
            [str(reader), "-res-usage", str(binary)], check=True, capture_output=True, text=True
        ).stdout
        usage = {name: int(value) for name, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", report)}
        memory = usage["STACK"] + usage["LOCAL"]
        spilling += memory > 0
        print(
            f"{self.fn.__name__:22} {grid!s:15} warps {kernel.metadata.num_warps} shared {kernel.metadata.shared:6} "
            f"registers {usage['REG']:3} memory {memory:3} wgmma {ptx.count('wgmma.mma_async'):2} "
            f"cp.async {ptx.count('cp.async.c'):3}",
            flush=True,
        )
        return kernel

    JITFunction.run = compile_alone
    stacked.best_backend = lambda weights, *_: cuda_backend.CudaBackend(weights, torch.bfloat16)
    for model, n_cases, n_channels, length, n_classes, n in SHAPES:
        print(f"--- {model}, {n_cases} x {n_channels} x {length}, {n_classes} classes, {n} stacked")
        shape = models.FCNConfig() if model == "fcn" else models.LSTMFCNConfig()
        protocol = compose([f"protocol={'fawaz2019' if model == 'fcn' else 'karim2019'}"])[0].protocol
        settings = replace(config.settings(protocol, model, shape), epochs=1, batch_size=n_cases, batch_divisor=0)
        x, y = torch.zeros(n_cases, n_channels, length), torch.arange(n_cases) % n_classes
        trainings = [(seed, 0 if model == "fcn" else 8) for seed in range(n)]
        stacked.Training(model, shape, settings, x, y, n_classes, trainings, "bfloat16").epochs.run()
    print(f"{len(hashes)} kernels by Triton {triton.__version__} for {options.capability}, {spilling} of them spill")
    scratch.cleanup()
    return 1 if spilling else 0


if __name__ == "__main__":
    sys.exit(main())
