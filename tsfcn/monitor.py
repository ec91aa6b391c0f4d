"""Seeing a run: what is done, what runs, when it will end. On a terminal a live display, elsewhere plain lines."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from tsfcn.execute import Event
from tsfcn.plan import Job, seconds

LINE_SECONDS = 30.0  # between two lines about the running jobs where there is no terminal


def clock(duration: float) -> str:
    """Return a duration in seconds as one reads it: 45 s, 3 min 20 s, 2 h 05 min."""
    whole = max(0, round(duration))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Monitor:
    """Follows the events of a run and tells about it on `out` (standard error).

    The estimate of what is left starts from the plan's cost of each job and scales it by the time that the work done
    so far, finished or running, really took.
    """

    def __init__(self, jobs: list[Job], n_workers: int, out: TextIO = sys.stderr) -> None:
        self.out = out
        self.live = out.isatty()
        self.n_workers = max(1, min(n_workers, len(jobs)))
        self.cost = {job.key: seconds(job) for job in jobs}
        self.started: dict[str, float] = {}
        self.running: dict[str, Event] = {}
        self.n_done = {"ok": 0, "failed": 0, "skipped": 0}
        self.cost_done = 0.0  # of finished jobs, and the seconds that they took
        self.seconds_done = 0.0
        self.said = time.monotonic()
        self.drawn = 0  # lines of the live display on the screen

    def see(self, event: Event) -> None:
        """Take the next event of the run."""
        now, key = time.monotonic(), event.job.key
        if event.kind == "end":
            self.n_done[event.record["status"]] += 1
            self.cost_done += self.cost[key]
            self.seconds_done += now - self.started.pop(key, now)
            self.running.pop(key, None)
            self.clear()
            print(finished(event), file=self.out, flush=True)
        else:
            if event.kind == "start":
                self.started[key] = now
            self.running[key] = event
        pause = 0.3 if self.live else LINE_SECONDS
        if event.kind == "end" or now - self.said >= pause:
            self.said = now
            self.draw()

    def share(self, event: Event) -> float:
        """Return how much of a running job is trained, 0 to 1."""
        return event.epoch / event.epochs if event.epochs else 0.0

    def left(self) -> float:
        """Return the estimated seconds until the run ends."""
        now = time.monotonic()
        done = self.cost_done + sum(self.cost[key] * self.share(event) for key, event in self.running.items())
        took = self.seconds_done + sum(now - self.started[key] for key in self.running)
        slowness = took / done if done > 0 and took > 5 else 1.0
        rests = [self.cost[key] * (1 - self.share(event)) for key, event in self.running.items()]
        rest = sum(self.cost.values()) - self.cost_done - sum(self.cost[key] for key in self.running) + sum(rests)
        return slowness * max([rest / self.n_workers, *rests])

    def draw(self) -> None:
        """Show the state: the live display anew, or one plain line."""
        total = len(self.cost)
        n_done = sum(self.n_done.values())
        words = [f"{n_done} of {total} jobs done"]
        words += [f"{count} {status}" for status, count in self.n_done.items() if count and status != "ok"]
        if n_done < total:
            words.append(f"about {clock(self.left())} left")
        summary = ", ".join(words)
        rows = [
            f"{event.job.dataset} {event.job.model} seed {event.job.seed}: epoch {event.epoch} of {event.epochs}, "
            f"loss {event.loss:.4g}"
            for _, event in sorted(self.running.items(), key=lambda item: item[1].worker)
            if event.epochs
        ]
        if not self.live:
            if n_done < total:
                print("; ".join([summary, *rows]), file=self.out, flush=True)
            return
        self.clear()
        if n_done < total:
            width = shutil.get_terminal_size().columns - 1  # a row that wraps would not be cleared
            for row in [*("  " + row for row in rows), summary]:
                print(row[:width], file=self.out)
            self.out.flush()
            self.drawn = len(rows) + 1

    def clear(self) -> None:
        """Take the live display off the screen."""
        if self.drawn:
            print(f"\x1b[{self.drawn}A\x1b[J", end="", file=self.out, flush=True)
            self.drawn = 0


def title(job: Mapping[str, Any]) -> str:
    """Return the words that name a job, from its fields or its record."""
    resampled = f" resample {job['resample']}" if job["resample"] else ""
    return f"{job['dataset']} {job['model']} {job['protocol']} seed {job['seed']}{resampled}"


def finished(event: Event) -> str:
    """Return the line that tells of a finished job, with the published figure where there is one."""
    from tsfcn import published

    job, record = event.job, event.record
    name = title(job.to_json())
    if record["status"] != "ok":
        return f"{record['status']}: {name}: {record['reason']}"
    line = f"{name}: accuracy {record['accuracy']:.4f} in {clock(record['train_seconds'])}"
    figure = None
    if not job.off_paper and not job.resample:
        figure = published.beside(job.protocol, job.model, job.dataset)
    return line if figure is None else f"{line} (published {figure.mean:.4f})"
