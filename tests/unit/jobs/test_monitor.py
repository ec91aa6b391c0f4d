"""What a run tells: plain lines where there is no terminal, elsewhere a display that cleans up behind itself."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.factories import POLICIES, TRAINING
from tests.records import record_of, require
from tests.terminal import screens
from tsfcn.jobs import lease
from tsfcn.jobs.cost import Model
from tsfcn.jobs.monitor import LINE_SECONDS, Monitor, Screen
from tsfcn.jobs.plan import Job
from tsfcn.jobs.progress import RunningJob, clock, read_state
from tsfcn.jobs.queue import Event
from tsfcn.jobs.record import Record

SETTINGS = POLICIES | TRAINING | {"normalisation": "series", "epochs": 2000, "cells": []}
FCN = {"filters": [128, 256, 128], "kernels": [8, 5, 3], "bn_momentum": 0.99, "bn_eps": 0.001}
ANY_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def job(seed: int = 0, **values: Any) -> Job:
    """Return the job of FCN on GunPoint under fawaz2019."""
    named: dict[str, Any] = {"dataset": "GunPoint", "model": "fcn", "protocol": "fawaz2019"}
    rest: dict[str, Any] = {"passport": {}, "architecture": "fcn", "off_paper": False, "resample": 0}
    return Job(**(named | rest | values), model_settings=FCN, settings=SETTINGS, seed=seed)


def ok(job: Job, **other: Any) -> Record:
    """Return the record of a job that went well."""
    return record_of(job, **{"accuracy": 0.98765, "train_seconds": 61.0, **other})


class Terminal(io.StringIO):
    """Text that says it is a terminal, and the screen that such a terminal would show."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """Return the lines on the screen."""
        return screens(self.getvalue())[-1].splitlines()


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let terminals be 100 columns wide."""
    for name, value in (("COLUMNS", "100"), ("LINES", "24"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)


BAR = re.compile(r"[━╸╺]+ +(\d+) %")


def seconds(job: Job) -> float:
    """Return the time of a job as it is estimated before there are records."""
    return Model().seconds(job)


def started_ago(monitor: Monitor, job: Job, age: float, epoch: int = 0) -> None:
    """Let the first news of a job be of `age` seconds ago, when it was in some epoch."""
    monitor.see(Event("start", 0, job))
    monitor.first[job.key] = time.monotonic() - age, epoch


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_clock(duration: float, text: str) -> None:
    assert clock(duration) == text


def test_plain_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    jobs = [job(0), job(1), job(2)]
    monitor = Monitor(jobs, 2, out)
    for one in jobs[:2]:
        monitor.see(Event("start", one.seed, one))
    for epoch in range(1, 500):
        monitor.see(Event("progress", 0, jobs[0], epoch, 2000, 0.1))
    assert out.getvalue() == ""  # nothing for each epoch
    monitor.screen.shown_at -= LINE_SECONDS
    monitor.see(Event("end", 0, jobs[0], record=ok(jobs[0])))
    monitor.see(Event("start", 0, jobs[2]))
    monitor.see(Event("back", 0, jobs[2], reason="its worker was killed (SIGKILL)"))
    monitor.screen.shown_at -= LINE_SECONDS
    failed = record_of(jobs[1], status="failed", reason="training loss is nan in epoch 3")
    monitor.see(Event("end", 1, jobs[1], record=failed))
    skipped = record_of(jobs[2], status="skipped", reason="too large")
    monitor.see(Event("end", 0, jobs[2], record=skipped))
    first, state, back, second, state2, third = out.getvalue().splitlines()
    assert first == "GunPoint fcn fawaz2019 seed 0: accuracy 0.9877 in 1 min 01 s (published 1.0000)"
    assert re.match(r"1 of 3 jobs done, 1 running, about \d+ .* left", state)
    assert back == "back: GunPoint fcn fawaz2019 seed 2: its worker was killed (SIGKILL)"
    assert second == "failed: GunPoint fcn fawaz2019 seed 1: training loss is nan in epoch 3"
    assert re.match(r"2 of 3 jobs done, 1 failed, 0 running, about \d+ .* left", state2)
    assert third == "skipped: GunPoint fcn fawaz2019 seed 2: too large"  # and no estimate after the last
    assert not ANY_CONTROL.search(out.getvalue())


def test_a_plain_line_about_running_jobs_now_and_then() -> None:
    out = io.StringIO()
    one, other = job(0), job(1)
    monitor = Monitor([one, other], 2, out)
    monitor.see(Event("start", 1, other))
    monitor.see(Event("start", 0, one))
    monitor.see(Event("progress", 1, other, 500, 2000, 0.5))
    monitor.see(Event("progress", 0, one, 900, 2000, 0.2))
    monitor.first[one.key] = time.monotonic() - 10, 500
    monitor.screen.shown_at -= LINE_SECONDS
    monitor.see(Event("progress", 0, one, 1000, 2000, 0.12345678))
    monitor.see(Event("progress", 0, one, 1001, 2000, 0.1))
    (line,) = out.getvalue().splitlines()
    summary, *rows = line.split("; ")
    assert re.fullmatch(r"0 of 2 jobs done, 2 running, about \d+ .* left", summary)
    assert rows == [  # by worker
        "GunPoint fcn seed 0: epoch 1000 of 2000, loss 0.1235, 50 epochs/s",
        "GunPoint fcn seed 1: epoch 500 of 2000, loss 0.5",
    ]


@pytest.mark.parametrize(
    "values",
    [{"off_paper": True}, {"resample": 3}, {"dataset": "Mine"}, {"model": "lstm_fcn"}, {"protocol": "smoke"}],
)
def test_no_published_figure_beside_what_no_paper_ran(values: dict[str, Any]) -> None:
    out = io.StringIO()
    one = job(**values)
    monitor = Monitor([one], 1, out)
    monitor.see(Event("end", 0, one, record=ok(one)))
    assert out.getvalue().endswith(": accuracy 0.9877 in 1 min 01 s\n")
    assert ("resample 3" in out.getvalue()) == ("resample" in values)


# ---------------------------------------------------------------------------------------------------------------------
# The estimate


def test_estimate_before_anything_ran_is_that_of_the_plan() -> None:
    jobs = [job(seed) for seed in range(4)]
    cost = seconds(jobs[0])
    assert Monitor(jobs, 1).left() == pytest.approx(4 * cost)
    assert Monitor(jobs, 2).left() == pytest.approx(2 * cost)
    assert Monitor(jobs, 16).left() == pytest.approx(cost)  # no more workers than jobs


@pytest.mark.parametrize("slowness", [0.1, 1.0, 7.0])
def test_estimate_learns_from_the_running_job(slowness: float) -> None:
    first, second = job(0), job(1)
    cost = seconds(first)
    monitor = Monitor([first, second], 1, io.StringIO())
    started_ago(monitor, first, slowness * cost / 2)
    monitor.see(Event("progress", 0, first, 1000, 2000, 0.1))
    assert monitor.left() == pytest.approx(slowness * 1.5 * cost, rel=0.01)


def test_estimate_learns_from_finished_jobs_and_sinks_to_nothing() -> None:
    jobs = [job(seed) for seed in range(3)]
    cost = seconds(jobs[0])
    monitor = Monitor(jobs, 1, io.StringIO())
    left = []
    for one in jobs:
        monitor.see(Event("start", 0, one))
        monitor.see(Event("end", 0, one, record=ok(one, train_seconds=3 * cost)))
        left.append(monitor.left())
    assert left == pytest.approx([6 * cost, 3 * cost, 0], rel=0.01)


def test_estimate_is_at_least_the_longest_running_job() -> None:
    long = job(0)
    short = [job(seed, dataset="ItalyPowerDemand") for seed in range(1, 3)]
    monitor = Monitor([long, *short], 3, io.StringIO())
    for one in (long, *short):
        monitor.see(Event("start", 0, one))
    assert seconds(short[0]) < seconds(long)
    assert monitor.left() == pytest.approx(seconds(long))


def test_estimate_of_a_job_that_goes_on_from_a_checkpoint_counts_what_it_trains_now() -> None:
    one = job(0)
    monitor = Monitor([one], 1, io.StringIO())
    started_ago(monitor, one, 0.25 * seconds(one), epoch=1500)
    monitor.see(Event("progress", 0, one, 1750, 2000, 0.1))  # an eighth in a quarter of the time: half as fast
    assert monitor.left() == pytest.approx(0.25 * seconds(one), rel=0.01)


def test_estimate_learns_what_the_machine_is_from_records() -> None:
    jobs = [job(seed) for seed in range(9)]
    monitor = Monitor(jobs, 1, io.StringIO(), model=Model(hardware="A"))
    before = monitor.left()
    for one in jobs[:5]:
        monitor.learned -= 100
        there = {"engine": "reference", "hardware": "A, 2 cores"}
        record = ok(one, train_seconds=4 * seconds(one), test_seconds=0.0, **there)
        monitor.see(Event("end", 0, one, record=record))
    assert before == pytest.approx(9 * seconds(jobs[0]))
    assert monitor.left() == pytest.approx(4 * 4 * seconds(jobs[0]), rel=0.1)


def test_estimate_does_not_jump_on_the_first_seconds() -> None:
    # Starting a worker takes seconds in which no epoch is done: they say nothing about the rest.
    one = job(0)
    monitor = Monitor([one], 1, io.StringIO())
    started_ago(monitor, one, 4.0)
    monitor.see(Event("progress", 0, one, 1, 2000, 0.1))
    assert monitor.left() == pytest.approx(seconds(one), rel=0.01)


# ---------------------------------------------------------------------------------------------------------------------
# The live display


@pytest.mark.usefixtures("wide")
def test_a_terminal_shows_the_state_once_and_keeps_what_is_finished() -> None:
    out = Terminal()
    one, other = job(0), job(1)
    monitor = Monitor([one, other], 2, out)
    bar, summary = out.screen()  # from the start
    assert BAR.fullmatch(bar) and re.fullmatch(r"0 of 2 jobs done, 0 running, 0 s elapsed, about .* left", summary)
    monitor.see(Event("start", 0, one))
    monitor.see(Event("start", 1, other))
    for epoch in (1, 2, 1000):
        monitor.screen.shown_at -= 1
        monitor.see(Event("progress", 0, one, epoch, 2000, 0.5))
    running, bar, summary = out.screen()
    assert re.fullmatch(r"  GunPoint fcn seed 0: epoch 1000 of 2000, loss 0\.5, [\de.+]+ epochs/s", running)
    percent = BAR.fullmatch(bar)
    assert percent and percent[1] == "25"  # of the work
    assert re.fullmatch(r"0 of 2 jobs done, 2 running, 0 s elapsed, about \d+ .* left", summary)
    monitor.screen.shown_at -= 1
    monitor.see(Event("progress", 1, other, 9, 2000, 0.25))
    assert len(out.screen()) == 4
    monitor.see(Event("end", 0, one, record=ok(one)))
    finished, running, bar, summary = out.screen()
    assert finished.startswith("GunPoint fcn fawaz2019 seed 0: accuracy 0.9877")
    assert running == "  GunPoint fcn seed 1: epoch 9 of 2000, loss 0.25"
    assert BAR.fullmatch(bar) and summary.startswith("1 of 2 jobs done, 1 running, ")
    monitor.see(Event("end", 1, other, record=ok(other)))
    assert [line.partition(":")[0] for line in out.screen()] == [
        "GunPoint fcn fawaz2019 seed 0",
        "GunPoint fcn fawaz2019 seed 1",
    ]


@pytest.mark.usefixtures("wide")
def test_the_elapsed_time_moves_where_no_event_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsfcn.jobs.monitor.TICK_SECONDS", 0.01)
    out = Terminal()
    monitor = Monitor([job(0)], 1, out)
    assert ", 0 s elapsed, " in out.screen()[-1]
    with monitor.ticking():
        monitor.began -= 100
        end = time.monotonic() + 10
        while "1 min 40 s elapsed" not in out.getvalue() and time.monotonic() < end:
            time.sleep(0.05)
    assert ", 1 min 4" in out.screen()[-1]
    drawn = out.getvalue()
    time.sleep(0.4)
    assert out.getvalue() == drawn  # outside the context nothing is drawn


def test_a_line_that_does_not_fit_loses_what_matters_least() -> None:
    running = RunningJob(0, "k", "GunPoint", "fcn", "fawaz2019", 0, 0, epoch=5, epochs=9, loss=0.25, rate=50.0)
    assert running.line() == running.line(80) == "GunPoint fcn seed 0: epoch 5 of 9, loss 0.25, 50 epochs/s"
    assert running.line(50) == "GunPoint fcn seed 0: epoch 5 of 9, loss 0.25"
    assert running.line(40) == "GunPoint fcn seed 0: epoch 5 of 9"
    assert running.line(10) == "GunPoint fcn seed 0: epoch 5 of 9"  # it folds


def test_a_display_is_never_higher_or_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("COLUMNS", "40"), ("LINES", "8"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    out = Terminal()
    jobs = [job(seed) for seed in range(20)]
    monitor = Monitor(jobs, 20, out)
    for one in jobs:
        monitor.see(Event("progress", one.seed, one, 3, 2000, 0.5))
    monitor.screen.shown_at -= 1
    monitor.see(Event("progress", 0, jobs[0], 4, 2000, 0.5))
    *rows, bar, first, second = out.screen()
    assert len(rows) == 4 and all("epoch 3 of 2000" in line for line in rows) and BAR.fullmatch(bar)
    assert f"{first} {second}".startswith("0 of 20 jobs done, 20 running, 0 s elapsed, ")
    assert max(map(len, out.screen())) < 40


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = Terminal()
    Monitor([job(0)], 1, out)
    assert out.getvalue() == ""


# ---------------------------------------------------------------------------------------------------------------------
# The state that others see


@pytest.mark.usefixtures("wide")
def test_the_state_goes_with_the_heartbeat_and_shows_the_same_elsewhere(tmp_path: Path) -> None:
    here, there = Terminal(), Terminal()
    one, other = job(0), job(1)
    with lease.Runner(tmp_path) as runner:
        monitor = Monitor([one, other], 2, here, runner=runner)
        monitor.see(Event("start", 0, one))
        monitor.see(Event("progress", 0, one, 3, 2000, 0.5))
        monitor.screen.shown_at -= 1
        monitor.see(Event("progress", 0, one, 4, 2000, 0.25))
        runner.beat()
        (said,) = lease.runners(tmp_path)
        Screen(there).draw(require(read_state(said["state"])))
        assert there.screen() == here.screen() and "loss 0.25" in there.screen()[0]


def test_a_job_of_another_runner_is_told_as_such() -> None:
    out = io.StringIO()
    one, other = job(0), job(1)
    monitor = Monitor([one, other], 1, out)
    monitor.screen.shown_at -= LINE_SECONDS
    monitor.see(Event("end", -1, one, record=ok(one), elsewhere=True))
    line, state = out.getvalue().splitlines()
    assert line.endswith("(published 1.0000), by another runner")
    assert state.startswith("1 of 2 jobs done, 1 by other runners, 0 running, about ")
