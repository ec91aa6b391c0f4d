"""What may happen to a run: processes killed, disk full, two at once, files changed. It finishes, once it can."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.processes import children, linux, until
from tests.records import lasting, written
from tsfcn.data.archive import load
from tsfcn.jobs import artifacts, lease, store

ROOT = Path(__file__).resolve().parents[2]
TINY = ("protocol=smoke", "model.fcn.filters=[3]", "model.fcn.kernels=[3]", "dataset=ItalyPowerDemand")
ASIDE = ("leases", "runners", "plans", "checkpoints")  # what a run needs while it works, and leaves only when killed
WORKER = b"tsfcn.jobs.worker"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Yield what starts a command of the package in `tmp_path`; what still runs at the end is ended."""
    started = []

    def popen(verb: str, *words: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tsfcn", verb, *map(str, words)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell that starts the tests in the background lets them, and so the command, ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (before any thread)
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    """Wait for the end of a command and return what it said."""
    out, err = process.communicate(timeout=150)
    assert process.returncode == code, err
    assert "Traceback" not in err
    return out, err


def n_training(results: Path) -> int:
    """Return how many jobs have an epoch done, as the runners tell."""
    states = [each.get("state") or {"running": []} for each in lease.runners(results)]
    return sum(job["epoch"] > 0 for state in states for job in state["running"])


def outcome(results: Path) -> dict[str, Any]:
    """Return what a run leaves that must not depend on what happened to it."""
    return {
        record.key: (
            lasting(record, "resumed_epochs"),
            artifacts.predictions_path(results, record.key).read_bytes(),
        )
        for record in store.read(results)
    }


def once(results: Path, n_jobs: int) -> None:
    """Assert that every job is `ok` exactly once and that nothing is left of the run at work."""
    assert Counter(record.status for record in written(results)) == {"ok": n_jobs}
    assert len({record.key for record in written(results)}) == n_jobs
    assert [name for name in ASIDE if (results / name).exists()] == []


def leased(results: Path) -> bool:
    """Return whether a runner has a job in hand."""
    return any((results / "leases").glob("*.0"))


def checkpointed(results: Path) -> bool:
    """Return whether the state of a training in progress is there."""
    return any((results / "checkpoints").glob("*.pt"))


Strike = tuple[str, Callable[[Path], bool]]
STRIKES: list[Strike] = [  # what is killed, and when
    ("worker", leased),
    ("worker", checkpointed),
    ("run", lambda results: len(written(results)) >= 2),
    ("worker", lambda results: len(written(results)) >= 3),
    ("run", lambda results: len(written(results)) >= 4 and checkpointed(results)),
]


def workers_when(condition: Callable[[Path], bool], run: subprocess.Popen[str], results: Path) -> list[int]:
    """Return the workers of a run once the condition on its results folder holds."""
    until(lambda: condition(results) and children(run.pid, WORKER), run)
    return children(run.pid, WORKER)


@linux
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_workers_and_runs_killed_at_random_change_nothing(start: Any, tmp_path: Path) -> None:
    training = (*TINY, "seeds=8", "protocol.epochs=400", "executor.workers=2")
    ended(start("run", *training, "results=calm", "executor=inline"))
    once(tmp_path / "calm", 8)

    dice, wild = random.Random(1), tmp_path / "wild"
    words = (*training, "results=wild", "checkpoint.every_seconds=0.1")
    run = start("run", *words)
    for victim, condition in STRIKES:
        pid = dice.choice(workers_when(condition, run, wild))
        if victim == "worker":
            os.kill(pid, signal.SIGKILL)
        else:
            run.kill()
            assert run.wait() == -signal.SIGKILL
            run = start("run", *words)
    ended(run)
    once(wild, 8)
    assert outcome(tmp_path / "calm") == outcome(wild)
    table = Path("tables", "accuracy_wide.csv")
    assert (tmp_path / "calm" / table).read_bytes() == (wild / table).read_bytes()


@linux
@pytest.mark.slow
@pytest.mark.parametrize(
    ("signals", "executor", "n_at_a_time"),
    [
        ([signal.SIGINT], "local", 2),
        ([signal.SIGTERM, signal.SIGTERM, signal.SIGHUP], "local", 2),  # as some service managers and batch systems do
        ([signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM], "worker", 1),
    ],
    ids=["Ctrl-C", "local", "worker"],
)
def test_a_run_that_is_told_to_end_keeps_the_state_of_its_jobs(
    signals: list[signal.Signals], executor: str, n_at_a_time: int, start: Any, tmp_path: Path
) -> None:
    training = (*TINY, f"seeds={n_at_a_time}", "protocol.epochs=1000", "engine.name=reference")
    words = (*training, f"executor={executor}", *([f"executor.workers={n_at_a_time}"] if executor == "local" else []))
    run = start("run", *words)
    results = tmp_path / "results"
    until(lambda: n_training(results) == n_at_a_time, run)
    began = time.monotonic()
    for each in signals:
        run.send_signal(each)
        time.sleep(0.05)  # apart, or the second of two that are the same may be lost
    _, err = ended(run, 130)
    assert time.monotonic() - began < 30
    assert err.endswith("stopped: finished jobs are kept, the same command goes on from there\n")
    done = {record.key for record in written(results)}
    kept = {path.stem for path in (results / "checkpoints").glob("*.pt")}
    assert len(kept) == n_at_a_time - len(done) > 0
    assert not (results / "leases").exists() and (results / "plans").exists()
    ended(start("run", *words))
    once(results, n_at_a_time)
    assert {record.key for record in written(results) if record.resumed_epochs} == kept
    ended(start("run", *training, "results=other", "executor=inline"))
    assert outcome(results) == outcome(tmp_path / "other")


@linux
def test_two_runs_started_at_once_train_no_job_twice(start: Any, tmp_path: Path) -> None:
    words = (*TINY, "seeds=16", "protocol.epochs=30", "executor.workers=1")
    runs = [start("run", *words) for _ in range(2)]
    outs = [ended(run) for run in runs]
    once(tmp_path / "results", 16)
    assert outs[0][0] == outs[1][0]  # both end with the whole table
    files = [path.read_bytes().count(b"\n") for path in (tmp_path / "results" / "records").iterdir()]
    assert len(files) == 2 and sum(files) == 16


@linux
@pytest.mark.slow
def test_a_run_beside_another_one_that_is_killed_does_its_jobs_too(start: Any, tmp_path: Path) -> None:
    words = (*TINY, "seeds=4", "protocol.epochs=1000", "executor.workers=1", "engine.name=reference")
    first = start("run", *words)
    until(lambda: leased(tmp_path / "results"), first)
    second = start("run", *words)
    until(lambda: len(list((tmp_path / "results" / "leases").glob("*.0"))) == 2, second)
    first.kill()
    ended(second)
    assert Counter(record.status for record in written(tmp_path / "results")) == {"ok": 4}
    once(tmp_path / "results", 4)


def test_a_full_disk_ends_the_run_with_one_line_and_it_goes_on_later(start: Any, tmp_path: Path) -> None:
    results = tmp_path / "small"
    results.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", results], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount a small file system here")
    try:
        words = (*TINY, "seeds=30", "executor.workers=2", f"results={results}")
        out, err = ended(start("run", *words), 2)
        last = err.splitlines()[-1]
        assert last.startswith("error: ") and " is not usable: No space left on device; " in last, err
        assert last.endswith("; finished jobs are kept, the same command goes on from there")
        assert out == ""
        before = written(results)
        assert 0 < len(before) < 30 and {record.status for record in before} == {"ok"}
        subprocess.run(["mount", "-o", "remount,size=64m", results], check=True)
        ended(start("run", *words))
        once(results, 30)
        assert written(results)[: len(before)] == before
    finally:
        subprocess.run(["umount", "-l", results], check=True)


def own_dataset(folder: Path, shift: float = 0.0) -> None:
    """Write a dataset of the user's own, ItalyPowerDemand with one value moved."""
    dataset = load("ItalyPowerDemand")
    folder.mkdir(parents=True, exist_ok=True)
    for split, x, y in (("TRAIN", dataset.x_train, dataset.y_train), ("TEST", dataset.x_test, dataset.y_test)):
        table = np.column_stack([y.astype(float), x[:, 0]])
        table[0, 1] += shift
        path = folder / f"ItalyPowerDemand_{split}.tsv"
        np.savetxt(path.with_suffix(".new"), table, delimiter="\t")
        path.with_suffix(".new").replace(path)


@linux
def test_a_dataset_that_changes_in_the_middle_of_a_run_is_not_trained_under_its_old_name(
    start: Any, tmp_path: Path
) -> None:
    own_dataset(tmp_path / "own" / "ItalyPowerDemand")
    slow = ("protocol.epochs=400", "executor.workers=1", "engine.name=reference", "checkpoint.every_seconds=0.1")
    words = (*TINY, f"archive.root={tmp_path / 'own'}", "seeds=4", *slow)
    run = start("run", *words)
    until(lambda: len(written(tmp_path / "results")) == 1, run)
    until(lambda: checkpointed(tmp_path / "results"), run)  # the second job has read its data
    own_dataset(tmp_path / "own" / "ItalyPowerDemand", shift=1.0)
    out, _ = ended(run, 1)
    records = written(tmp_path / "results")
    states = [record.status for record in records]
    assert states[0] == "ok" and states[-2:] == ["failed", "failed"] and len(states) == 4
    reason = "dataset 'ItalyPowerDemand' has changed since the run was planned: start the run again"
    assert {record.reason for record in records if record.status == "failed"} == {reason}
    assert reason in out
    # Started again it sees other data under the same name, and does not mix the two.
    _, err = ended(start("run", *words), 2)
    assert "already holds" in err and "of other data" in err
    own_dataset(tmp_path / "own" / "ItalyPowerDemand")
    ended(start("run", *words))
    assert Counter(record.status for record in store.read(tmp_path / "results")) == {"ok": 4}


# ---------------------------------------------------------------------------------------------------------------------
# Budget, and seeing it run


@linux
def test_a_budget_too_short_for_any_job_leaves_all_of_them(start: Any, tmp_path: Path) -> None:
    out, err = ended(start("run", *TINY, "protocol.epochs=1000000", "executor.workers=1", "budget=1s"), 3)
    assert "budget=1s is over: 1 job left" in err and "error" not in err and out == ""


@linux
def test_a_budget_runs_what_fits_and_says_what_is_left(start: Any, tmp_path: Path) -> None:
    words = (*TINY, "seeds=3", "executor.workers=1")
    ended(start("run", *words))
    long = (*TINY, "protocol.epochs=1000000", "executor.workers=1", "budget=25s")
    dry = ended(start("run", *long, "dry_run=true"))[0]
    assert "budget=25s is enough for 0 of 1 jobs" in dry
    out, err = ended(start("run", *long), 3)
    assert "; budget=25s is enough for 0 of them\n" in err
    assert re.search(r"\nbudget=25s is over: 1 job left, roughly .* with 1 worker; the same command goes on", err)
    some = (*TINY, "seeds=4", "executor.workers=1", "budget=10m")
    out, err = ended(start("run", *some))
    assert "3 done before, 1 to run" in err and "budget=10m is enough for 1 of them" in err
    assert " 4 " in out
    assert "budget" not in (tmp_path / "results" / "commands.txt").read_text()


@linux
@pytest.mark.slow
def test_watch_shows_a_run_from_another_shell(start: Any, tmp_path: Path) -> None:
    run = start("run", *TINY, "seeds=2", "protocol.epochs=2500", "executor.workers=1", "engine.name=reference")
    until(lambda: leased(tmp_path / "results"), run)
    watching = start("watch")
    until(lambda: n_training(tmp_path / "results") == 1, run)
    once_more = ended(start("watch", "--once"))[0]
    assert re.search(
        r"\n0 of 2 jobs done, 1 running, about .* left; ItalyPowerDemand fcn.* seed 0: epoch \d+ of 2500, loss \S+",
        once_more,
    ), once_more
    status = ended(start("results", "status"))[0]
    assert "2 jobs: 1 running, 1 pending" in status and "0 of 2 jobs done" in status
    ended(run)
    seen = ended(watching)[0]
    assert [line.split(":")[0].split()[-1] for line in seen.splitlines() if ": accuracy" in line] == ["0", "1"]
    assert seen.endswith("no run is at work any more\n")
    assert not re.search(r"[^\n -~×±–−]", seen)  # no control characters where there is no terminal
    assert "no run is at work in results" in ended(start("watch"))[0]


def test_an_old_results_folder_is_read_and_its_jobs_are_done(start: Any, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "results", tmp_path / "results")
    status = ended(start("results", "status"))[0]
    n_ok = len([record for record in store.read(tmp_path / "results") if record.is_ok])
    assert status.splitlines()[0] == f"results: {n_ok} jobs: {n_ok} ok"
    dry = ended(start("run", "dry_run=true"))[0]
    assert re.findall(r"^(\w+)", dry, re.MULTILINE)[:3] == ["done"] * 3
    assert (
        json.loads((tmp_path / "results" / "records").glob("*").__next__().read_text().splitlines()[0])["schema"] == 1
    )
