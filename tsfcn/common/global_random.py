"""The global random generators of Python, numpy and PyTorch, seeded for a while and then put back.

Networks that were not written for tsfcn draw their initial weights and dropout masks from these generators. All threads
of a process share them, so one thread at a time uses them.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, device

LOCK = threading.RLock()  # held by the thread that uses the generators


def draw_seed(generator: Generator) -> int:
    """Return a seed for `seeded` that is drawn from a generator of PyTorch on the CPU."""
    import torch

    return int(torch.randint(2**63 - 1, (), generator=generator))


@contextlib.contextmanager
def seeded(seed: int, target: device | None = None) -> Iterator[None]:
    """Seed the global generators inside the context, and let them go on afterwards as if nothing had been drawn.

    Another thread that enters waits until this one has left.

    Args:
        seed: 0 to 2**63 - 1.
        target: The device that is computed on; the generator of a GPU is seeded too. None: the CPU.
    """
    import numpy as np
    import torch

    gpus = [] if target is None or target.type not in ("cuda", "mps") else [target]
    with LOCK, torch.random.fork_rng(gpus, device_type=gpus[0].type if gpus else None):
        python_state, numpy_state = random.getstate(), np.random.get_state()
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            if gpu.type == "mps":
                torch.mps.manual_seed(seed)
            else:
                torch.cuda.default_generators[gpu.index].manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
