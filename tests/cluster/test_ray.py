"""Runs on a real Ray cluster of two nodes on this machine: every job is done exactly once, whatever strikes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.cluster.runs import JOBS, N_SEEDS, accuracies, processes, tsfcn
from tests.processes import until
from tsfcn.jobs import store

pytest.importorskip("ray", reason="Ray is not installed: make test-cluster does it")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster whose head takes no jobs, with two nodes of two CPUs and one imaginary GPU each."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=2, num_gpus=1)
        yield cluster
    finally:
        cluster.shutdown()
        monkeypatch.undo()


def start(cluster: Any, *words: str) -> subprocess.Popen[str]:
    """Start a run on the cluster."""
    command = [sys.executable, "-m", "tsfcn", *words, "executor=ray", f"executor.address={cluster.address}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kill_one_of(word: str, rng: random.Random) -> None:
    """Kill one of the processes in whose command line a word stands, as soon as there is one."""
    until(lambda: processes(word))
    os.kill(rng.choice(processes(word)), signal.SIGKILL)


def test_two_hundred_jobs_with_workers_and_a_node_killed_are_all_done_once(cluster: Any, tmp_path: Path) -> None:
    results, undisturbed = tmp_path / "results", tmp_path / "undisturbed"
    words = ("run", *JOBS, f"seeds={N_SEEDS}")
    run = start(cluster, *words, f"results={results}", "executor.gpus=0.5")
    reader, rng, done = store.Reader(results), random.Random(0), 0
    until(lambda: processes(f"tsfcn.jobs.worker\0{results}"), run)
    for n_kills, victim in enumerate([f"tsfcn.jobs.worker\0{results}", "ray::train"] * 3):
        while done < 10 * (n_kills + 1):
            done += len(reader.new())
            time.sleep(0.1)
        kill_one_of(victim, rng)
    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
    while done < 100:
        done += len(reader.new())
        time.sleep(0.1)
    cluster.add_node(num_cpus=2, num_gpus=1)
    output, _ = run.communicate(timeout=1200)
    assert run.returncode == 0, output
    ok = Counter(record.key for record in store.Reader(results).new() if record.is_ok)
    assert len(ok) == 4 * N_SEEDS and set(ok.values()) == {1}
    assert not processes(f"tsfcn.jobs.worker\0{results}")
    assert tsfcn(dict(os.environ), *words, f"results={undisturbed}").returncode == 0
    pd.testing.assert_frame_equal(accuracies(results), accuracies(undisturbed))


def test_a_run_that_is_stopped_leaves_checkpoints_and_goes_on(cluster: Any, tmp_path: Path) -> None:
    words = ("run", "dataset=GunPoint", "protocol.epochs=100", "seeds=2", f"results={tmp_path}")
    run = start(cluster, *words)
    until(lambda: ": epoch " in tsfcn(dict(os.environ), "results", "status", str(tmp_path)).stdout, run)
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 130, output
    assert list((tmp_path / "checkpoints").glob("*.pt"))
    assert not processes(f"tsfcn.jobs.worker\0{tmp_path}")
    again = start(cluster, *words)
    assert again.wait() == 0, again.communicate()
    assert [record.is_ok for record in store.Reader(tmp_path).new()] == [True] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["executor.gpus=2"], "no node of the cluster has 1 CPU, 2 GPU for a job"),
        (["executor.memory=9999"], "no node of the cluster has 1 CPU, 9999 GiB for a job"),
        (["device=cuda", "executor.per_device=1", "executor.gpus=1.5"], "no node of the cluster has 1 CPU, 1.5 GPU"),
    ],
)
def test_what_no_node_can_serve_is_refused_at_once(
    cluster: Any, tmp_path: Path, words: list[str], message: str
) -> None:
    run = start(cluster, "run", "dataset=GunPoint", f"results={tmp_path}", *words)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 2 and message in output
