"""Seeing a run: what is done, what runs, when it will end. On a terminal a live display, elsewhere plain lines.

A run tells its state, plain JSON values, with each heartbeat (lease.py), so that `tsfcn watch` shows the same from
elsewhere.
"""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from tsfcn.jobs import cost, lease
from tsfcn.jobs.plan import Job
from tsfcn.jobs.queue import Event

LINE_SECONDS = 30.0  # between two lines about the running jobs where there is no terminal
DRAW_SECONDS = 0.3  # between two drawings where there is one
STATE_SECONDS = 1.0  # between two states that others can see
LEARN_SECONDS = 5.0  # between two corrections of the estimates

State = dict[str, Any]


def clock(duration: float) -> str:
    """Return a duration in seconds as one reads it: 45 s, 3 min 20 s, 2 h 05 min."""
    whole = max(0, round(duration))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Monitor:
    """Follows the events of a run and tells about it on `out` (standard error), and with the runner's heartbeat.

    The estimate of what is left starts from the cost model, which learns from each job that ends, and scales it by the
    time that the work of this run, finished or running, really took.
    """

    def __init__(
        self,
        jobs: list[Job],
        n_workers: int,
        out: TextIO = sys.stderr,
        *,
        model: cost.Model | None = None,
        runner: lease.Runner | None = None,
    ) -> None:
        self.screen = Screen(out)
        self.runner = runner
        self.model = cost.Model() if model is None else model
        self.jobs = {job.key: job for job in jobs}  # those not done
        self.works = {key: cost.work(job) for key, job in self.jobs.items()}
        self.cost = self.model.estimates(jobs, self.works)
        self.learned = self.began = time.monotonic()
        self.total = len(jobs)
        self.n_workers = max(1, min(n_workers, self.total))
        self.running: dict[str, Event] = {}
        self.first: dict[str, tuple[float, int]] = {}  # of each running job: when its first news came, of which epoch
        self.rate: dict[str, float] = {}  # epochs a second
        self.n_done = {"ok": 0, "failed": 0, "skipped": 0}
        self.n_elsewhere = 0
        self.told_at = -math.inf
        self.cost_done = 0.0  # of jobs that ended here, and the wall time that they took
        self.seconds_done = 0.0
        self.tell()

    def see(self, event: Event) -> None:
        """Take the next event of the run."""
        now, key = time.monotonic(), event.job.key
        if event.kind == "end":
            self.end(event)
        elif event.kind == "back":
            self.running.pop(key, None)
            self.first.pop(key, None)
            self.screen.say(f"back: {title(event.job.to_json())}: {event.reason}")
        else:
            if event.epochs and key not in self.first:
                self.first[key] = now, event.epoch
            elif event.epochs:
                since, epoch = self.first[key]
                self.rate[key] = (event.epoch - epoch) / max(now - since, 1e-9)
            self.running[key] = event
        self.tell()

    def end(self, event: Event) -> None:
        """Take note of a job's record."""
        key, record = event.job.key, event.record
        self.n_done[record["status"]] += 1
        self.running.pop(key, None)
        self.first.pop(key, None)
        self.jobs.pop(key, None)
        estimate = self.cost.pop(key, 0.0)
        if event.elsewhere:
            self.n_elsewhere += 1
        elif record["status"] == "ok":
            self.cost_done += estimate
            self.seconds_done += record["train_seconds"]
            self.model.learn(record)
        line = finished(record | event.job.to_json())  # a record of equal settings may go under another name
        self.screen.say(f"{line}, by another runner" if event.elsewhere else line)
        if time.monotonic() - self.learned > LEARN_SECONDS and self.jobs:
            before = sum(self.cost.values())
            self.cost = self.model.estimates(self.jobs.values(), self.works)
            self.cost_done *= sum(self.cost.values()) / before if before else 1.0  # as if it had been known at first
            self.learned = time.monotonic()

    def share(self, event: Event) -> float:
        """Return how much of a running job is trained, 0 to 1."""
        return event.epoch / event.epochs if event.epochs else 0.0

    def left(self) -> float:
        """Return the estimated seconds until the run ends."""
        now = time.monotonic()
        done, took = self.cost_done, self.seconds_done
        for key, event in self.running.items():
            if key in self.first and event.epochs:
                since, epoch = self.first[key]
                done += self.cost[key] * (event.epoch - epoch) / event.epochs
                took += now - since
        slowness = took / done if done > 0 and took > 5 else 1.0
        rests = [self.cost[key] * (1 - self.share(event)) for key, event in self.running.items()]
        waiting = sum(self.cost.values()) - sum(self.cost[key] for key in self.running)
        return slowness * max([(waiting + sum(rests)) / self.n_workers, *rests])

    def state(self) -> State:
        """Return where the run stands, as plain JSON values."""
        rows = []
        for key, event in sorted(self.running.items(), key=lambda item: item[1].worker):
            job = event.job
            named = {name: getattr(job, name) for name in ("dataset", "model", "protocol", "seed", "resample")}
            said = {"epoch": event.epoch, "epochs": event.epochs, "loss": event.loss if event.epochs else None}
            rows.append({"worker": event.worker, "key": key, **named, **said, "rate": self.rate.get(key)})
        n_done = sum(self.n_done.values())
        minutes = (time.monotonic() - self.began) / 60
        return {
            "total": self.total,
            "done": self.n_done,
            "elsewhere": self.n_elsewhere,
            "left_seconds": self.left() if n_done < self.total else 0.0,
            "per_minute": n_done / minutes if minutes > 0.05 else None,
            "running": rows,
        }

    def tell(self) -> None:
        """Show the state, and let others see it."""
        due = self.screen.is_due()
        if due or (self.runner is not None and time.monotonic() - self.told_at > STATE_SECONDS):
            state = self.state()
            self.told_at = time.monotonic()
            if self.runner is not None:
                self.runner.state = state
            if due:
                self.screen.draw(state)


class Screen:
    """Shows states on `out`: a live display where that is a terminal, else a plain line now and then."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.live = out.isatty()
        self.said = time.monotonic()
        self.drawn = 0  # lines of the live display on the screen

    def is_due(self) -> bool:
        """Return whether it is time to draw again."""
        return time.monotonic() - self.said >= (DRAW_SECONDS if self.live else LINE_SECONDS)

    def say(self, line: str) -> None:
        """Print a line that stays; the display comes back with the next state."""
        if self.drawn:
            self.said = -math.inf
        self.clear()
        print(line, file=self.out, flush=True)

    def draw(self, *states: State) -> None:
        """Show the states of runs: the live display anew, or one plain line each."""
        self.said = time.monotonic()
        going = [state for state in states if state["total"] > sum(state["done"].values())]
        if not self.live:
            for state in going:
                print("; ".join([summary(state), *map(row, started(state))]), file=self.out, flush=True)
            return
        self.clear()
        width = shutil.get_terminal_size().columns - 1  # a row that wraps would not be cleared
        lines = [line for state in going for line in [*("  " + row(r) for r in started(state)), summary(state)]]
        for line in lines:
            print(line[:width], file=self.out)
        self.out.flush()
        self.drawn = len(lines)

    def clear(self) -> None:
        """Take the live display off the screen."""
        if self.drawn:
            print(f"\x1b[{self.drawn}A\x1b[J", end="", file=self.out, flush=True)
            self.drawn = 0


def started(state: State) -> Sequence[Mapping[str, Any]]:
    """Return the running jobs of which an epoch is done."""
    return [each for each in state["running"] if each["epochs"]]


def summary(state: State) -> str:
    """Return the line that sums a run up."""
    done = state["done"]
    words = [f"{sum(done.values())} of {state['total']} jobs done"]
    words += [f"{count} {status}" for status, count in done.items() if count and status != "ok"]
    if state["elsewhere"]:
        words.append(f"{state['elsewhere']} by other runners")
    words.append(f"{len(state['running'])} running")
    if state["per_minute"]:
        words.append(f"{state['per_minute']:.2g} jobs/min")
    if state["total"] > sum(done.values()):
        words.append(f"about {clock(state['left_seconds'])} left")
    return ", ".join(words)


def row(running: Mapping[str, Any]) -> str:
    """Return the line of a running job."""
    resampled = f" resample {running['resample']}" if running["resample"] else ""
    rate = f", {running['rate']:.3g} epochs/s" if running["rate"] else ""
    return (
        f"{running['dataset']} {running['model']} seed {running['seed']}{resampled}: "
        f"epoch {running['epoch']} of {running['epochs']}, loss {running['loss']:.4g}{rate}"
    )


def title(job: Mapping[str, Any]) -> str:
    """Return the words that name a job, from its fields or its record."""
    resampled = f" resample {job['resample']}" if job["resample"] else ""
    return f"{job['dataset']} {job['model']} {job['protocol']} seed {job['seed']}{resampled}"


def finished(record: Mapping[str, Any]) -> str:
    """Return the line that tells of a finished job by its record, with the published figure where there is one."""
    from tsfcn.data import published

    name = title(record)
    if record["status"] != "ok":
        return f"{record['status']}: {name}: {record['reason']}"
    line = f"{name}: accuracy {record['accuracy']:.4f} in {clock(record['train_seconds'])}"
    figure = None
    if not record["off_paper"] and not record["resample"]:
        figure = published.beside(record["protocol"], record["model"], record["dataset"])
    return line if figure is None else f"{line} (published {figure.mean:.4f})"
