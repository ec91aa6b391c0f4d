"""The run of the tests on clusters, and what is compared of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd

N_SEEDS = 50
JOBS = ("dataset=ItalyPowerDemand,GunPoint,ArrowHead,OSULeaf", "protocol.epochs=2", "protocol.batch_size=64")


def tsfcn(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tsfcn", *words], env=environment, capture_output=True, text=True, check=False
    )


def accuracies(results: Path) -> pd.DataFrame:
    """Return the accuracy table of a results folder without what differs from run to run."""
    return pd.read_csv(results / "tables" / "accuracy.csv").drop(columns="train_seconds")


def processes(*words: str) -> list[int]:
    """Return the processes in whose command line, with a NUL after each word, all these stand."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes()
            if all(word.encode() in command for word in words):
                found.append(int(path.name))
        except OSError:
            continue
    return found
