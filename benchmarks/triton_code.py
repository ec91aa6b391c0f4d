"""What the Triton kernels compile to, without a GPU: `python benchmarks/triton_code.py [--capability 90]`.

Compiles every kernel that a step of the papers' FCN and LSTM-FCN launches, at a few shapes, and prints a line for each:
grid, warps, bytes of shared memory, registers a thread, bytes of memory a thread (spilled registers), and how many
instructions multiply matrices by warp groups (wgmma, on Hopper) and copy without waiting (cp.async). Exit code 1 where
one does not compile or spills. Nothing is launched; without TRITON_CACHE_DIR nothing compiled is kept.
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

SHAPES = [  # model, cases of a batch, timepoints, classes, stacked trainings
    ("fcn", 2, 24, 2, 1),
    ("fcn", 16, 150, 4, 1),
    ("fcn", 16, 1024, 60, 1),
    ("fcn", 16, 96, 7, 5),
    ("lstm_fcn", 128, 150, 4, 3),
]


def main() -> int:
    """Print a line a kernel and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", type=int, default=90, help="90: Hopper, 80 and 89: Ampere and Ada")
    given = parser.parse_args()
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

    class Absent:
        """A driver of a GPU that is not there: it names the target."""

        def get_current_target(self) -> Any:
            return GPUTarget("cuda", given.capability, 32)

        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int) -> int:
            return 0

    driver.set_active(Absent())
    reader = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    seen: set[str] = set()
    spilling = 0
    compiled = JITFunction.run

    def compile_alone(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        nonlocal spilling
        kernel = compiled(self, *args, grid=grid, warmup=True, **options)
        if kernel.hash in seen:
            return kernel
        seen.add(kernel.hash)
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
    for model, n_cases, length, n_classes, n in SHAPES:
        print(f"--- {model}, {n_cases} x {length}, {n_classes} classes, {n} stacked")
        shape = models.FCNConfig() if model == "fcn" else models.LSTMFCNConfig()
        protocol = compose([f"protocol={'fawaz2019' if model == 'fcn' else 'karim2019'}"])[0].protocol
        settings = replace(config.settings(protocol, model, shape), epochs=1, batch_size=n_cases, batch_divisor=0)
        x, y = torch.zeros(n_cases, 1, length), torch.arange(n_cases) % n_classes
        trainings = [(seed, 0 if model == "fcn" else 8) for seed in range(n)]
        stacked.Training(model, shape, settings, x, y, n_classes, trainings, "bfloat16").epochs.run()
    print(f"{len(seen)} kernels by Triton {triton.__version__} for {given.capability}, {spilling} of them spill")
    scratch.cleanup()
    return 1 if spilling else 0


if __name__ == "__main__":
    sys.exit(main())
