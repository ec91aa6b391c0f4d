"""Runs on a real Slurm cluster of one node: every job is done exactly once, whatever strikes its tasks."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.cluster import slurm_node
from tests.cluster.runs import JOBS, N_SEEDS, accuracies, processes, tsfcn
from tests.processes import until
from tsfcn.jobs import slurm, store

pytestmark = [
    pytest.mark.skipif(bool(slurm_node.missing()), reason=slurm_node.missing()),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with slurm_node.node(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


def queue(environment: dict[str, str]) -> str:
    """Return what Slurm has, '' for nothing."""
    return subprocess.run(["squeue", "-h"], env=environment, capture_output=True, text=True, check=True).stdout


def n_training(environment: dict[str, str], results: Path) -> int:
    """Return how many trainings are past their first epoch."""
    return tsfcn(environment, "results", "status", str(results)).stdout.count(": epoch ")


def test_two_hundred_jobs_whose_workers_are_killed_are_all_done_once(cluster: dict[str, str], tmp_path: Path) -> None:
    results, undisturbed = tmp_path / "results", tmp_path / "undisturbed"
    words = ("run", *JOBS, f"seeds={N_SEEDS}")
    submitted = tsfcn(cluster, *words, "executor=slurm", "executor.tasks=4", f"results={results}")
    assert submitted.returncode == 0 and "200 jobs in 4 tasks" in submitted.stdout, submitted
    n_kills, rng = 0, random.Random(0)
    while queue(cluster):  # the second array takes over from tasks that died
        if n_kills < 6 and (there := processes(f"results={results}\0", "executor=worker")):
            os.kill(rng.choice(there), signal.SIGKILL)
            n_kills += 1
        time.sleep(3)
    assert n_kills == 6
    ok = Counter(record.key for record in store.Reader(results).new() if record.is_ok)
    assert len(ok) == 4 * N_SEEDS and set(ok.values()) == {1}
    assert tsfcn(cluster, *words, f"results={undisturbed}").returncode == 0
    assert tsfcn(cluster, "table", str(results)).returncode == 0
    pd.testing.assert_frame_equal(accuracies(results), accuracies(undisturbed))


def test_cancelled_tasks_leave_a_checkpoint_and_nothing_in_the_queue(cluster: dict[str, str], tmp_path: Path) -> None:
    words = ("run", "dataset=GunPoint", "seeds=2", f"results={tmp_path}", "executor=slurm", "executor.tasks=2")
    assert tsfcn(cluster, *words).returncode == 0
    until(lambda: n_training(cluster, tmp_path) == 2)
    again = tsfcn(cluster, *words)
    assert again.returncode == 2 and "with Slurm already" in again.stderr
    assert "tasks: 2 running" in tsfcn(cluster, "results", "status", str(tmp_path)).stdout
    assert "cancelled Slurm job" in tsfcn(cluster, "results", "cancel", str(tmp_path)).stdout
    until(lambda: not queue(cluster))
    assert len(list((tmp_path / "checkpoints").glob("*.pt"))) == 2
    assert store.Reader(tmp_path).new() == []


def test_a_task_that_needs_more_memory_gets_it(
    cluster: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("dataset=ItalyPowerDemand", "protocol.epochs=2", "seeds=3", f"results={tmp_path}", "executor=slurm")
    text = tsfcn(cluster, "run", *words, "dry_run=true").stdout
    script = text[text.index("#!/bin/bash") :].splitlines(keepends=True)
    small = "".join("#SBATCH --mem=300M\n" if "--mem=" in line else line for line in script)  # a worker takes 450
    for name, value in cluster.items():
        monkeypatch.setenv(name, value)
    slurm.submit(small, tmp_path / "slurm", "small", slurm.Array(1, 300, {}))
    until(lambda: not queue(cluster), seconds=300)
    assert any("exceeded memory limit" in path.read_text() for path in (tmp_path / "slurm").glob("*.log"))
    assert [record.is_ok for record in store.Reader(tmp_path).new()] == [True] * 3


def test_before_its_time_limit_a_task_is_queued_again_and_goes_on(cluster: dict[str, str], tmp_path: Path) -> None:
    words = ("run", "dataset=GunPoint", "protocol.epochs=600", "seeds=1", f"results={tmp_path}", "executor=slurm")
    assert tsfcn(cluster, *words, "executor.sbatch={time: 30}").returncode == 0
    until(lambda: n_training(cluster, tmp_path) == 1)
    number = min(slurm.submitted(tmp_path / "slurm"))
    subprocess.run(["scancel", "--signal=USR1", "--batch", f"{number}_0"], env=cluster, check=True)
    (log,) = (tmp_path / "slurm").glob("*-0.log")
    until(lambda: "queued again" in log.read_text())
    assert len(list((tmp_path / "checkpoints").glob("*.pt"))) == 1
    until(lambda: not queue(cluster), seconds=400)  # Slurm lets a task that is queued again wait for two minutes
    (record,) = store.Reader(tmp_path).new()
    assert record.is_ok
