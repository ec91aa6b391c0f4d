"""Executors: what a job leaves does not depend on where it ran, and a worker's death costs its own job at most."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tsfcn import archive, execute, store
from tsfcn.config import FCNConfig, ProtocolConfig, TrainingConfig
from tsfcn.execute import Event
from tsfcn.plan import Job, jobs

ROOT = Path(__file__).resolve().parents[2]

# A bundled dataset and a network so small that starting a worker takes longer than the training.
PROTOCOL = ProtocolConfig(
    name="tiny",
    normalisation="series",
    common=TrainingConfig(
        epochs=2,
        batch_size=128,  # all cases: an epoch is one step
        batch_divisor=0,
        optimiser="adam",
        lr=0.001,
        betas=[0.9, 0.999],
        rho=0.95,
        eps=1e-7,
        plateau_factor=0.5,
        plateau_patience=50,
        plateau_min_lr=0.0001,
        plateau_min_delta=0.0001,
        initialiser="glorot_uniform",
        class_weights="none",
        cells=[8],
    ),
)

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers in /proc")


@pytest.fixture(autouse=True)
def bundled_data_alone(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.delenv("TSFCN_ARCHIVE", raising=False)
    monkeypatch.setenv("TSFCN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for workers, where the package is not installed


def plan(seeds: list[int], epochs: int = 2) -> list[Job]:
    """Return jobs of the tiny network on ItalyPowerDemand."""
    passports = {"ItalyPowerDemand": dict(archive.passport("ItalyPowerDemand"))}
    changed = replace(PROTOCOL, epochs=epochs)
    return jobs(passports, {"fcn": FCNConfig(filters=[3], kernels=[3])}, changed, PROTOCOL, seeds, [0])


def children(parent: int) -> list[int]:
    """Return the workers that a process has started and that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, ppid = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(ppid) == parent and state != "Z" and b"tsfcn.execute" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def kill_worker() -> None:
    """Kill the one worker of this process, which may be so young that its command line is not there yet."""
    for _ in range(500):
        if workers := children(os.getpid()):
            break
        time.sleep(0.01)
    (worker,) = workers
    os.kill(worker, signal.SIGKILL)


def ended(events: Iterator[Event]) -> dict[int, store.Record]:
    """Return the records of the jobs that end, by seed."""
    return {event.job.seed: event.record for event in events if event.kind == "end"}


# What differs from run to run, or when somebody edits the package meanwhile.
ONE_RUN = {"finished", "train_seconds", "test_seconds", "job_seconds", "peak_memory_bytes", "commit"}


def lasting(record: store.Record) -> dict[str, Any]:
    """Return a record without what differs from run to run. Equality of floats is equality of their bits."""
    return {name: value for name, value in record.items() if name not in ONE_RUN}


# A worker first says where it is after one epoch; a second or so of training is left then, and it is killed in that.
@linux
def test_a_killed_worker_is_replaced_and_its_job_is_what_it_would_have_been(tmp_path: Path) -> None:
    planned = plan([0, 1], epochs=400)
    kinds = []
    for event in execute.local(planned, tmp_path / "local", None, False, n_workers=1):
        if event.kind == "progress" and (0, "progress") not in kinds and event.job.seed == 0:
            kill_worker()
        if (event.job.seed, event.kind) not in kinds or event.kind == "start":
            kinds.append((event.job.seed, event.kind))
    assert kinds[:3] == [(0, "start"), (0, "progress"), (0, "start")]
    assert [kind for kind in kinds if kind[1] != "progress"] == [
        (0, "start"),
        (0, "start"),
        (0, "end"),
        (1, "start"),
        (1, "end"),
    ]
    assert children(os.getpid()) == []

    # The same jobs in this process: the same records to the last bit, and the same predictions.
    inline = list(execute.inline(planned, tmp_path / "inline", None, False))
    assert [(event.kind, event.job.seed) for event in inline] == [("start", 0), ("end", 0), ("start", 1), ("end", 1)]
    here, there = store.read(tmp_path / "inline"), store.read(tmp_path / "local")
    assert [record["status"] for record in here] == ["ok", "ok"]
    assert [lasting(record) for record in here] == [lasting(record) for record in there]
    assert [lasting(event.record) for event in inline if event.kind == "end"] == [
        {name: value for name, value in lasting(record).items() if name != "schema"} for record in here
    ]
    assert here[0]["train_cross_entropy"] != here[1]["train_cross_entropy"]  # seeds do something
    for job in planned:
        with (
            np.load(store.predictions_path(tmp_path / "inline", job.key)) as one,
            np.load(store.predictions_path(tmp_path / "local", job.key)) as other,
        ):
            assert set(one) == set(other)
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])


def test_inline_leaves_the_arithmetic_of_this_process_as_it_was(tmp_path: Path) -> None:
    torch.set_flush_denormal(False)  # other tests train in this process too
    try:
        list(execute.inline(plan([0]), tmp_path, None, False))
        assert np.float32(1e-40) * np.float32(1) > 0  # below the least normal number
    finally:
        torch.set_flush_denormal(False)


@linux
def test_a_job_whose_worker_dies_twice_fails_and_the_rest_is_done(tmp_path: Path) -> None:
    records = {}
    for event in execute.local(plan([0, 1]), tmp_path, None, False, n_workers=1):
        if event.kind == "start" and event.job.seed == 0:
            kill_worker()
        if event.kind == "end":
            records[event.job.seed] = event.record
    assert (records[0]["status"], records[1]["status"]) == ("failed", "ok")
    assert records[0]["reason"] == (
        "its worker died 2 times, lastly by SIGKILL: too little memory is the usual cause: use fewer executor.workers"
    )
    assert {r["seed"]: r["status"] for r in store.read(tmp_path)} == {0: "failed", 1: "ok"}
    assert [r["key"] for r in store.read(tmp_path) if r["seed"] == 0] == [plan([0])[0].key]


def test_nothing_to_do_starts_nothing(tmp_path: Path) -> None:
    assert list(execute.local([], tmp_path, None, False, n_workers=2)) == []
    assert list(tmp_path.iterdir()) == []


# A run without end, in a process of its own that is killed.
PARENT = """
import json, sys
from pathlib import Path
from tsfcn import execute
from tsfcn.plan import Job

job = Job(**json.loads(sys.stdin.readline()))
for event in execute.local([job], Path(sys.argv[1]), None, False, n_workers=1):
    print(event.kind, event.epoch, flush=True)
"""


@linux
def test_no_worker_outlives_its_run(tmp_path: Path) -> None:
    (job,) = plan([0], epochs=10**6)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        try:
            parent.stdin.write(json.dumps(job.to_json()) + "\n")
            parent.stdin.flush()
            assert parent.stdout.readline().startswith("start")
            assert parent.stdout.readline().startswith("progress")
            (worker,) = children(parent.pid)
        finally:
            parent.kill()
    for _ in range(100):
        if not Path(f"/proc/{worker}").exists():
            break
        time.sleep(0.1)
    else:
        os.kill(worker, signal.SIGKILL)
        pytest.fail("the worker went on for ten seconds")
    assert store.read(tmp_path) == []


@linux
def test_closing_the_run_ends_its_workers(tmp_path: Path) -> None:
    run = execute.local(plan([0, 1], epochs=10**6), tmp_path, None, False, n_workers=2)
    assert [next(run).kind, next(run).kind] == ["start", "start"]
    assert len(children(os.getpid())) == 2
    run.close()
    assert children(os.getpid()) == []
