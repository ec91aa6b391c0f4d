"""Executors: what a job leaves does not depend on where it ran, and a worker's death costs its own job at most."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.factories import protocol
from tests.processes import children, linux, until
from tests.records import lasting, record_of, require, written
from tsfcn.common import machine
from tsfcn.common.errors import UserError
from tsfcn.config.compose import compose
from tsfcn.config.models import FCNConfig, MLPConfig
from tsfcn.data import archive
from tsfcn.jobs import artifacts, cost, executors, lease, selection, store
from tsfcn.jobs import queue as job_queue
from tsfcn.jobs.executors import inline as inline_executor
from tsfcn.jobs.executors import local as local_executor
from tsfcn.jobs.executors import threads, worker
from tsfcn.jobs.plan import Job, Terms, jobs
from tsfcn.jobs.queue import Event, Queue
from tsfcn.run import main as run_main
from tsfcn.runs import placement
from tsfcn.runs.planning import planned as run_planned

ROOT = Path(__file__).resolve().parents[3]

# A bundled dataset and a network so small that starting a worker takes longer than the training.
# All cases are in a batch: an epoch is one step.
PROTOCOL = protocol(epochs=2, batch_size=128, batch_divisor=0, cells=[8])

TERMS = Terms(checkpoint_seconds=1e9)


def plan(seeds: list[int], epochs: int = 2) -> list[Job]:
    """Return jobs of the tiny network on ItalyPowerDemand."""
    passports = {"ItalyPowerDemand": dict(archive.passport("ItalyPowerDemand"))}
    changed = replace(PROTOCOL, epochs=epochs)
    return jobs(passports, {"fcn": FCNConfig(filters=[3], kernels=[3])}, changed, PROTOCOL, seeds, [0])


def workers(parent: int) -> list[int]:
    """Return the workers that a process has started and that have not ended."""
    return children(parent, b"tsfcn.jobs.worker")


def young(n_workers: int) -> list[int]:
    """Return the workers of this process, which may be so young that their command line is not there yet."""
    until(lambda: len(workers(os.getpid())) >= n_workers)
    pids = workers(os.getpid())
    assert len(pids) == n_workers
    return pids


def kill_worker() -> None:
    """Kill the one worker of this process."""
    os.kill(young(1)[0], signal.SIGKILL)


def wait_for_new_checkpoint(folder: Path) -> None:
    """Wait until a state has been written that was begun after the call: the second that appears from now on."""
    seen: set[int] = set()

    def new() -> bool:
        seen.update(path.stat().st_mtime_ns for path in folder.glob("*.pt"))
        return len(seen) >= 3  # the one that was there, and two

    until(new)


@contextlib.contextmanager
def queued(planned: list[Job], results: Path, **how: Any) -> Iterator[Queue]:
    """Yield the queue of a run of these jobs."""
    with lease.Runner(results) as runner:
        yield Queue(planned, results, runner, **how)


def local(planned: list[Job], results: Path, n_workers: int, terms: Terms = TERMS, **how: Any) -> Iterator[Event]:
    """Run the jobs in worker processes and yield what happens."""
    with queued(planned, results, **how) as queue:
        yield from local_executor.run(queue, terms, n_workers)


def inline(planned: list[Job], results: Path, **how: Any) -> list[Event]:
    """Run the jobs in this process and return what happened."""
    with queued(planned, results, **how) as queue:
        return list(inline_executor.run(queue, TERMS))


@pytest.mark.parametrize(
    ("words", "n_threads", "n_jobs"),
    [
        ([], 1, 8),
        (["engine.threads=3"], 3, 2),
        (["engine.threads=16"], 16, 1),
        (["engine.threads=3", "executor.workers=8"], 3, 8),
        (["engine.threads=auto"], 0, 8),  # the executor tells the workers
        (["engine.threads=auto", "executor=inline"], 8, 1),
        (["engine.threads=3", "executor=inline"], 3, 1),
        (["engine.threads=auto", "executor=worker"], 1, 1),  # something else divides the machine
    ],
)
def test_cores_are_divided_among_jobs_and_threads(
    words: list[str], n_threads: int, n_jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 8)
    run = compose(words).run
    here = placement.of_run(run, "cpu")
    assert (here.threads, here.n_at_a_time()) == (n_threads, n_jobs)
    assert placement.of_run(run, "cuda:0").threads == 1


def test_workers_get_the_cores_that_jobs_no_longer_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    tell = local_executor.Worker.tell

    def note(worker: local_executor.Worker, message: dict[str, Any]) -> None:
        told.extend([(worker.number, message["threads"])] if "threads" in message else [])
        tell(worker, message)

    monkeypatch.setattr(machine, "cores", lambda: 5)
    monkeypatch.setattr(local_executor.Worker, "tell", note)
    for _ in local([*plan([0], epochs=400), *plan([1, 2])], tmp_path, 2, replace(TERMS, threads=0)):
        pass
    assert told[:2] == [(0, 3), (1, 2)]
    assert told[2:] in ([(0, 5)], [(1, 5)])  # the one that still trains when no job is left for the other
    assert [record.status for record in written(tmp_path)] == ["ok"] * 3


# A worker first says where it is after one epoch; a second or so of training is left then, and it is killed in that.
@linux
def test_a_killed_worker_is_replaced_and_its_job_is_what_it_would_have_been(tmp_path: Path) -> None:
    planned = plan([0, 1], epochs=400)
    kinds = []
    for event in local(planned, tmp_path / "local", 1):
        if event.kind == "progress" and (0, "progress") not in kinds and event.job.seed == 0:
            kill_worker()
        if (event.job.seed, event.kind) not in kinds or event.kind == "start":
            kinds.append((event.job.seed, event.kind))
        if event.kind == "back":
            assert event.reason == "its worker was killed (SIGKILL)"
    assert kinds[:4] == [(0, "start"), (0, "progress"), (0, "back"), (0, "start")]
    assert [kind for kind in kinds if kind[1] != "progress"] == [
        (0, "start"),
        (0, "back"),
        (0, "start"),
        (0, "end"),
        (1, "start"),
        (1, "end"),
    ]
    assert workers(os.getpid()) == []
    assert [record.seed for record in written(tmp_path / "local")] == [0, 1]  # who kills a worker fails no job

    # The same jobs in this process: the same records to the last bit, and the same predictions.
    events = inline(planned, tmp_path / "inline")
    assert [(event.kind, event.job.seed) for event in events] == [("start", 0), ("end", 0), ("start", 1), ("end", 1)]
    here, there = (store.read(tmp_path / name) for name in ("inline", "local"))
    assert [record.status for record in here] == ["ok", "ok"]
    assert [lasting(record, "resumed_epochs") for record in here] == [
        lasting(record, "resumed_epochs") for record in there
    ]
    assert [require(event.record) for event in events if event.kind == "end"] == here
    assert here[0].train_cross_entropy != here[1].train_cross_entropy  # seeds do something
    for job in planned:
        with (
            np.load(artifacts.predictions_path(tmp_path / "inline", job.key)) as one,
            np.load(artifacts.predictions_path(tmp_path / "local", job.key)) as other,
        ):
            assert set(one) == set(other)
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])


@linux
def test_a_killed_worker_goes_on_from_the_checkpoint_with_the_same_bits(tmp_path: Path) -> None:
    planned = plan([0], epochs=400)
    attempts = kills = 0
    for event in local(planned, tmp_path / "local", 1, Terms(checkpoint_seconds=0)):
        attempts += event.kind == "start"
        if event.kind == "progress" and kills < min(attempts, 2):  # once each attempt but the last
            wait_for_new_checkpoint(tmp_path / "local" / "checkpoints")
            kill_worker()
            kills += 1
    (record,) = store.read(tmp_path / "local")
    first, second = require(record.resumed_epochs)
    assert 1 <= first < second < 400
    inline(planned, tmp_path / "inline")
    (other,) = store.read(tmp_path / "inline")
    assert other.resumed_epochs == [] and lasting(record, "resumed_epochs") == lasting(other, "resumed_epochs")
    path = artifacts.predictions_path(tmp_path / "local", record.key)
    assert path.read_bytes() == artifacts.predictions_path(tmp_path / "inline", record.key).read_bytes()
    assert list((tmp_path / "local" / "checkpoints").iterdir()) == []  # the state goes when the job is done


@linux
@pytest.mark.slow
def test_a_worker_does_not_grow_with_its_jobs(tmp_path: Path, archive_root: Path) -> None:
    names = ["Coffee", "Symbols", "FreezerSmallTrain", "CBF", "TwoLeadECG", "Coffee"]
    changed = replace(PROTOCOL, epochs=1)
    planned = [
        jobs({name: dict(archive.passport(name, archive_root))}, {"fcn": FCNConfig()}, changed, PROTOCOL, [seed], [0])[
            0
        ]
        for seed, name in enumerate(names)
    ]
    terms = Terms(root=str(archive_root), checkpoint_seconds=1e9)
    ends = [require(event.record) for event in local(planned, tmp_path, 1, terms) if event.kind == "end"]
    assert [record.dataset for record in ends] == names
    largest = max(cost.memory(job) for job in planned)
    assert (
        max(require(record.peak_memory_bytes) for record in ends) < 1.3 * largest
    )  # 1.8, where the allocator has its way


@linux
def test_sigterm_lets_a_worker_finish_its_epoch_and_keep_its_state(tmp_path: Path) -> None:
    asked = False
    for event in local(plan([0], epochs=400), tmp_path, 1):
        if event.kind == "progress" and not asked:
            asked = True
            os.kill(workers(os.getpid())[0], signal.SIGTERM)
        if event.kind == "back":
            assert event.reason == "its worker was killed (SIGTERM)" or event.reason == "it was stopped"
            assert len(list((tmp_path / "checkpoints").glob("*.pt"))) == 1
    (record,) = store.read(tmp_path)
    assert len(require(record.resumed_epochs)) == 1


def test_inline_leaves_the_arithmetic_of_this_process_as_it_was(tmp_path: Path) -> None:
    torch.set_flush_denormal(False)  # other tests train in this process too
    try:
        inline(plan([0]), tmp_path)
        assert np.float32(1e-40) * np.float32(1) > 0  # below the least normal number
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_inline_ends_after_the_epoch_when_it_is_asked_to_and_goes_on_later(how: signal.Signals, tmp_path: Path) -> None:
    planned = plan([0, 1], epochs=200)

    def tell(event: Event) -> None:
        if event.epoch > 0:
            signal.raise_signal(how)

    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    kinds = []
    with pytest.raises(KeyboardInterrupt), queued(planned, tmp_path) as queue:
        kinds += [event.kind for event in inline_executor.run(queue, TERMS, on_progress=tell)]
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    assert store.read(tmp_path) == [] and lease.highest(tmp_path) == {}
    assert [path.stem for path in (tmp_path / "checkpoints").iterdir()] == [planned[0].key]
    inline(planned, tmp_path)
    assert [(r.seed, r.resumed_epochs) for r in store.read(tmp_path)] == [(0, [1]), (1, [])]


# ---------------------------------------------------------------------------------------------------------------------
# Threads, which share a GPU; on the CPU they do the same


def follow(events: Generator[Event], see: Callable[[Event], None]) -> None:
    """Show every event to `see`, and close the executor at the end, as a run does."""
    with contextlib.closing(events) as open_events:
        for event in open_events:
            see(event)


def test_threads_leave_the_records_that_one_job_after_the_other_leaves(tmp_path: Path) -> None:
    planned = plan([0, 1, 2, 3, 4], epochs=30)
    n_cores = torch.get_num_threads()
    with queued(planned, tmp_path / "threads") as queue:
        events = list(threads.run(queue, TERMS, 3))
        assert queue.runner.held == {} and not queue.is_open()
    assert torch.get_num_threads() == n_cores
    assert [event.job.seed for event in events if event.kind == "start"] == [0, 1, 2, 3, 4]
    assert sorted(event.job.seed for event in events if event.kind == "end") == [0, 1, 2, 3, 4]
    assert {event.worker for event in events} == {0, 1, 2}
    inline(planned, tmp_path / "inline")
    here, there = (
        sorted(store.read(tmp_path / name), key=lambda record: record.seed) for name in ("inline", "threads")
    )
    assert [record.status for record in there] == ["ok"] * 5
    assert [lasting(record, "resumed_epochs") for record in here] == [
        lasting(record, "resumed_epochs") for record in there
    ]
    for job in planned:
        path = artifacts.predictions_path(tmp_path / "threads", job.key)
        assert path.read_bytes() == artifacts.predictions_path(tmp_path / "inline", job.key).read_bytes()


def test_threads_count_the_processor_time_of_their_own_job_alone(tmp_path: Path) -> None:
    with queued(plan([0, 1, 2], epochs=100), tmp_path) as queue:
        before = time.process_time()
        records = [require(event.record) for event in threads.run(queue, TERMS, 3) if event.kind == "end"]
        of_all = time.process_time() - before
    each = [require(r.train_processor_seconds) + require(r.test_processor_seconds) for r in records]
    assert len(each) == 3 and min(each) > 0 and sum(each) < of_all


def test_a_job_that_fails_in_a_thread_stops_no_other(tmp_path: Path) -> None:
    good, bad = plan([0, 1], epochs=5), plan([2], epochs=5)
    bad = [replace(job, passport={**job.passport, "content": "another"}) for job in bad]
    with queued([good[0], *bad, good[1]], tmp_path) as queue:
        ends = {e.job.seed: require(e.record) for e in threads.run(queue, TERMS, 2) if e.kind == "end"}
    assert {seed: record.status for seed, record in ends.items()} == {0: "ok", 1: "ok", 2: "failed"}
    assert "has changed since the run was planned" in ends[2].reason


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_threads_end_after_their_epochs_when_they_are_asked_to_and_go_on_later(
    how: signal.Signals, tmp_path: Path
) -> None:
    planned = plan([0, 1, 2], epochs=3000)
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    kinds: set[tuple[str, int]] = set()

    def see(event: Event) -> None:
        new = (event.kind, event.job.seed) not in kinds
        kinds.add((event.kind, event.job.seed))
        if new and event.kind == "progress" and {("progress", 0), ("progress", 1)} <= kinds:
            signal.raise_signal(how)

    with pytest.raises(KeyboardInterrupt), queued(planned, tmp_path) as queue:
        follow(threads.run(queue, TERMS, 2), see)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    assert {job for kind, job in kinds if kind == "back"} == {0, 1}
    assert store.read(tmp_path) == [] and lease.highest(tmp_path) == {}
    assert {path.stem for path in (tmp_path / "checkpoints").iterdir()} == {job.key for job in planned[:2]}
    with queued(planned[:1], tmp_path) as queue:
        list(threads.run(queue, TERMS, 2))
    (record,) = store.read(tmp_path)
    assert record.is_ok and len(require(record.resumed_epochs)) == 1


def test_the_second_signal_ends_threads_at_once(tmp_path: Path) -> None:
    def interrupt_twice(event: Event) -> None:
        if event.kind == "progress":
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), queued(plan([0], epochs=10**6), tmp_path) as queue:
        follow(threads.run(queue, TERMS, 2), interrupt_twice)
    assert store.read(tmp_path) == []


# A command that is interrupted twice in the middle of three trainings.
TWICE = """
import contextlib, json, signal, sys
from pathlib import Path
from tsfcn.jobs.executors import threads
from tsfcn.jobs import queue
from tsfcn.jobs import lease
from tsfcn.jobs.plan import Job, Terms
from tsfcn.common import exit_codes

planned, results = [Job(**each) for each in json.loads(sys.stdin.readline())], Path(sys.argv[1])

def go():
    with lease.Runner(results) as runner:
        events = threads.run(queue.Queue(planned, results, runner), Terms(), 3)
        with contextlib.closing(events):
            for event in events:
                if event.kind == "progress":
                    signal.raise_signal(signal.SIGINT)
                    signal.raise_signal(signal.SIGINT)

sys.exit(exit_codes.run(go))
"""


def test_a_command_with_threads_that_is_interrupted_twice_ends_with_its_code(tmp_path: Path) -> None:
    """Python aborts when it ends while a thread is in torch's code."""
    text = json.dumps([job.to_json() for job in plan([0, 1, 2], epochs=10**6)]) + "\n"
    done = subprocess.run(
        [sys.executable, "-c", TWICE, tmp_path], input=text, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[0] == job_queue.STOPPING and "terminate" not in done.stderr


def test_closing_threads_keeps_their_states(tmp_path: Path) -> None:
    planned = plan([0, 1], epochs=10**6)
    with queued(planned, tmp_path) as queue:
        run = threads.run(queue, TERMS, 2)
        assert {next(run).kind, next(run).kind} == {"start"} and next(run).kind == "progress"
        run.close()
    assert store.read(tmp_path) == [] and lease.highest(tmp_path) == {}
    assert {path.stem for path in (tmp_path / "checkpoints").iterdir()} == {job.key for job in planned}


def until_budget_is_spent(queue: Queue, events: Iterator[Event], n_jobs: int) -> list[str]:
    """Return the kinds of the events but for progress, of a run whose budget ends once `n_jobs` have shown progress."""
    kinds, running = [], set()
    for event in events:
        if event.kind == "progress":
            running.add(event.job.key)
        else:
            kinds.append(event.kind)
        if len(running) == n_jobs:
            queue.deadline = time.monotonic()
    return kinds


def test_at_the_end_of_the_budget_threads_stop_and_keep_their_states(tmp_path: Path) -> None:
    planned = plan([0, 1], epochs=10**6)
    with queued(planned, tmp_path, budget_seconds=1000) as queue:
        kinds = until_budget_is_spent(queue, threads.run(queue, TERMS, 2), 2)
    assert kinds == ["start", "start", "back", "back"]
    assert store.read(tmp_path) == [] and len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_a_thread_that_lost_its_lease_leaves_the_job_to_its_new_holder(tmp_path: Path) -> None:
    (job,) = plan([0], epochs=10**6)
    with queued([job], tmp_path) as queue:
        run = threads.run(queue, TERMS, 1)
        for event in run:
            if event.kind == "progress":
                lease.lease_path(tmp_path, job.key, 1).write_text('{"id": "another"}')
                queue.runner.gone.add(job.key)
            if event.kind == "back":
                break
        run.close()
    assert store.read(tmp_path) == [] and lease.highest(tmp_path) == {job.key: 1}


def test_a_disk_that_takes_no_record_ends_threads_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("a file where the folder belongs")
    with queued(plan([0, 1]), tmp_path) as queue, pytest.raises(OSError, match="records"):
        list(threads.run(queue, TERMS, 2))
    assert lease.highest(tmp_path) == {}


@linux
def test_a_job_whose_worker_is_killed_again_and_again_fails_and_the_rest_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_queue, "KILLS", 2)
    records = {}
    for event in local(plan([0, 1]), tmp_path, 1):
        if event.kind == "start" and event.job.seed == 0:
            kill_worker()
        if event.kind == "end":
            records[event.job.seed] = require(event.record)
    assert (records[0].status, records[1].status) == ("failed", "ok")
    assert records[0].reason == (
        "its worker was killed 2 times, lastly by SIGKILL: use fewer executor.workers if it is memory"
    )
    assert {r.seed: r.status for r in store.read(tmp_path)} == {0: "failed", 1: "ok"}
    assert [r.key for r in store.read(tmp_path) if r.seed == 0] == [plan([0])[0].key]


@linux
def test_a_worker_that_crashes_by_itself_is_a_failed_attempt_with_its_history(tmp_path: Path) -> None:
    events = []
    for event in local(plan([0], epochs=400), tmp_path, 1, max_attempts=2):
        events.append(event)
        if event.kind == "progress":
            os.kill(workers(os.getpid())[0], signal.SIGSEGV)
    assert [event.kind for event in events if event.kind != "progress"] == ["start", "back", "start", "end"]
    assert [(r.status, r.reason) for r in written(tmp_path)] == [
        ("failed", "its worker died by SIGSEGV: see above")
    ] * 2
    assert selection.attempts(written(tmp_path)) == {plan([0], epochs=400)[0].key: 2}


def test_a_death_for_want_of_memory_is_the_jobs_own(tmp_path: Path) -> None:
    (job,) = plan([0])
    with queued([job], tmp_path, max_attempts=1) as queue:
        assert queue.take() == job
        event = queue.died(job, -signal.SIGKILL, out_of_memory=True)
        record = require(event.record)
        assert (event.kind, record.status) == ("end", "failed")
        assert record.reason == "its worker died by SIGKILL: too little memory: use fewer executor.workers"
        assert queue.runner.held == {} and not queue.is_open()


def test_a_worker_that_dies_when_its_record_is_written_has_done_its_job(tmp_path: Path) -> None:
    (job,) = plan([0])
    with queued([job], tmp_path, max_attempts=1) as queue:
        assert queue.take() == job
        store.Writer(tmp_path).write(record_of(job, accuracy=0.5))
        event = queue.died(job, -signal.SIGKILL, out_of_memory=False)
        assert (event.kind, require(event.record).accuracy) == ("end", 0.5)
    assert len(written(tmp_path)) == 1


@linux
def test_a_job_that_is_estimated_to_need_more_memory_than_a_worker_has_is_not_started(tmp_path: Path) -> None:
    big = replace(PROTOCOL, batch_size=67)
    passports = {"ItalyPowerDemand": dict(archive.passport("ItalyPowerDemand"))}
    (job,) = jobs(passports, {"mlp": MLPConfig(units=[9000, 9000, 3], dropout=[0] * 4)}, big, PROTOCOL, [0], [0])
    (small,) = plan([0])
    terms = Terms(memory=0.9 * 2**30, checkpoint_seconds=1e9)
    ends = [event for event in local([job, small], tmp_path, 1, terms) if event.kind == "end"]
    records = {event.job.architecture: require(event.record) for event in ends}
    assert records["fcn"].status == "ok"
    assert records["mlp"].status == "skipped"
    assert re.fullmatch(
        r"mlp on 24 timepoints needs about \d\.\d GiB for a batch of 67, 0\.9 GiB are free for it: "
        r"use a smaller protocol\.batch_size, fewer executor\.workers, or more executor\.memory",
        records["mlp"].reason,
    )


ALLOCATE = """
import sys
from tsfcn.jobs import worker
worker.cap_memory(2**29)
import torch
try:
    torch.empty(2**28).fill_(1)  # 1 GiB
except RuntimeError as error:
    print("refused", error)
torch.empty(2**20).fill_(1)
print("going on")
"""


@linux
def test_the_cap_refuses_an_allocation_and_leaves_the_process_alive() -> None:
    done = subprocess.run([sys.executable, "-c", ALLOCATE], capture_output=True, text=True, timeout=60, check=True)
    refused, on = done.stdout.splitlines()
    assert refused.startswith("refused") and "memory" in refused and on == "going on"


def test_nothing_to_do_starts_nothing(tmp_path: Path) -> None:
    assert list(local([], tmp_path, 2)) == []
    assert list(tmp_path.iterdir()) == []


@linux
def test_workers_that_cannot_start_end_the_run_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "site"
    broken.mkdir()
    (broken / "torch.py").write_text("raise ImportError('no torch for you')")
    monkeypatch.setenv("PYTHONPATH", f"{broken}{os.pathsep}{ROOT}")
    with pytest.raises(UserError, match="executor=local starts no worker, 3 ended with 1: see above why"):
        list(local(plan([0]), tmp_path / "results", 1))
    assert store.read(tmp_path / "results") == [] and lease.highest(tmp_path / "results") == {}


# ---------------------------------------------------------------------------------------------------------------------
# The queue, and other runners beside ours


def test_a_job_that_another_runner_has_is_left_to_it_and_ends_with_its_record(tmp_path: Path) -> None:
    planned = plan([0, 1])
    with lease.Runner(tmp_path) as other, queued(planned, tmp_path) as queue:
        assert other.claim(planned[0].key)
        assert queue.take() == planned[1]
        assert queue.take() is None and queue.is_open()
        store.Writer(tmp_path).write(record_of(planned[0]))
        other.release(planned[0].key)
        queue.next_look = 0
        assert queue.take() is None and not queue.is_open()
        ((job, record, elsewhere),) = [(e.job, require(e.record), e.elsewhere) for e in queue.ended_elsewhere()]
        assert (job, record.status, elsewhere) == (planned[0], "ok", True)
        assert list(queue.runner.held) == [planned[1].key]


def test_a_worker_ends_when_others_have_all_that_is_left(tmp_path: Path) -> None:
    planned = plan([0, 1, 2])
    with lease.Runner(tmp_path) as other, queued(planned, tmp_path, waits=False) as queue:
        assert other.claim(planned[1].key)
        seeds = [event.job.seed for event in worker.run(queue, TERMS) if event.kind == "end"]
        assert seeds == [0, 2] and list(queue.waiting) == [planned[1].key]
    assert sorted(record.seed for record in written(tmp_path)) == [0, 2]


def test_the_last_worker_of_a_run_writes_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dataset=ItalyPowerDemand", "protocol=smoke", "model.fcn.filters=[3]", "model.fcn.kernels=[3]", "seeds=2"]
    words += [f"results={tmp_path}", "executor=worker"]
    first = plan_of(words)[0]
    with lease.Runner(tmp_path) as other:
        assert other.claim(first.key)
        assert run_main(words) == 0
        assert "1 job left to other runners: this worker ends" in capsys.readouterr().err
        assert not (tmp_path / "tables").exists()
    assert run_main(words) == 0
    assert (tmp_path / "tables" / "accuracy.csv").is_file()


def plan_of(words: list[str]) -> list[Job]:
    """Return the jobs of a command."""
    settings, unchanged = compose(words)
    return run_planned(settings, unchanged)[0]


def test_a_record_without_the_files_that_are_asked_for_ends_no_job(tmp_path: Path) -> None:
    (job,) = plan([0])
    with queued([job], tmp_path, done=lambda record: store.done(record, tmp_path, True, False)) as queue:
        store.Writer(tmp_path).write(record_of(job))
        assert queue.take() == job


def test_a_budget_leaves_out_what_would_end_later(tmp_path: Path) -> None:
    planned = plan([0, 1, 2])
    times = {planned[0].key: 100.0, planned[1].key: 1.0, planned[2].key: 1.0}
    with queued(planned, tmp_path, seconds=lambda job: times[job.key], budget_seconds=50) as queue:
        assert queue.take() == planned[1]
        times[planned[2].key] = 60.0
        assert queue.take() is None and not queue.is_open()
        assert [job.seed for job in queue.waiting.values()] == [0, 2]


@linux
def test_at_the_end_of_the_budget_what_runs_is_stopped_and_kept(tmp_path: Path) -> None:
    planned = plan([0], epochs=10**6)
    with queued(planned, tmp_path, budget_seconds=1000) as queue:
        kinds = until_budget_is_spent(queue, local_executor.run(queue, TERMS, 1), 1)
    assert kinds == ["start", "back"]
    assert store.read(tmp_path) == []
    assert [path.stem for path in (tmp_path / "checkpoints").iterdir()] == [planned[0].key]


@linux
def test_two_runs_at_once_share_the_jobs_and_train_none_twice(tmp_path: Path) -> None:
    planned = plan(list(range(12)), epochs=30)
    one, several = "job = Job(**json.loads(line))", "jobs = [Job(**each) for each in json.loads(line)]"
    code = PARENT.replace(one, several).replace("[job]", "jobs")
    text = json.dumps([job.to_json() for job in planned]) + "\n"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for run in runs:
        assert run.stdin is not None
        run.stdin.write(text)
        run.stdin.flush()
    outs = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    records = written(tmp_path)
    assert sorted(record.seed for record in records) == list(range(12))
    assert {record.status for record in records} == {"ok"}
    started = [out.count("start") for out in outs]
    assert sum(started) == 12 and min(started) > 0
    assert [out.count("end") for out in outs] == [12, 12]  # each learns of all


# A run, in a process of its own that is killed.
PARENT = """
import json, sys
from pathlib import Path
from tsfcn.jobs.executors import local
from tsfcn.jobs.queue import Queue
from tsfcn.jobs import lease
from tsfcn.jobs.plan import Job, Terms
from tsfcn.jobs.record import Record

line = sys.stdin.readline()
job = Job(**json.loads(line))
results = Path(sys.argv[1])
with lease.Runner(results) as runner:
    queue = Queue([job], results, runner)
    for event in local.run(queue, Terms(), n_at_a_time=1):
        print(event.kind, event.epoch, flush=True)
"""


@linux
def test_no_worker_outlives_its_run_and_its_lease_holds_nothing(tmp_path: Path) -> None:
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
            (worker,) = workers(parent.pid)
            with queued([job], tmp_path) as queue:
                assert queue.take() is None and queue.is_open()
        finally:
            parent.kill()
    until(lambda: not Path(f"/proc/{worker}").exists())
    assert store.read(tmp_path) == []
    with queued([job], tmp_path) as queue:
        assert queue.take() == job  # at once


@linux
def test_closing_the_run_ends_its_workers(tmp_path: Path) -> None:
    with queued(plan([0, 1], epochs=10**6), tmp_path) as queue:
        run = local_executor.run(queue, TERMS, 2)
        assert [next(run).kind, next(run).kind] == ["start", "start"]
        young(2)
        run.close()
        assert workers(os.getpid()) == []


def test_executors_are_found_by_name_each_with_its_yaml() -> None:
    files = {path.stem for path in (ROOT / "conf" / "executor").glob("*.yaml")}
    assert files == {"inline", "local", "ray", "slurm", "threads", "worker"}
    assert all(executors.find(name).__module__.endswith(f".{name}") for name in files - {"slurm"})
    with pytest.raises(
        UserError, match=r"^executor=dask is not known: use one of inline, local, ray, slurm, threads, worker$"
    ):
        executors.find("dask")
