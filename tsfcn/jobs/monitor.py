"""Seeing a run: what is done, what runs, when it will end.

On a terminal and in a notebook a display that rich lays out: a bar for all jobs and a line for each running one.
Elsewhere plain lines. A run writes its state, plain JSON values, with each heartbeat (lease.py), so that `tsfcn watch`
shows the same from elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from tsfcn.common.escapes import printable
from tsfcn.common.streams import unescaped
from tsfcn.jobs import cost, lease
from tsfcn.jobs.plan import Job
from tsfcn.jobs.progress import RunningJob, RunState, clock, title
from tsfcn.jobs.queue import Event
from tsfcn.jobs.record import Record, renamed

if TYPE_CHECKING:
    from rich.table import Table

LINE_SECONDS = 30.0  # between two lines about the running jobs where there is no terminal
DRAW_SECONDS = 0.3  # between two drawings where there is one
TICK_SECONDS = 1.0  # between two drawings where no event comes, so that the elapsed time moves
STATE_SECONDS = 1.0  # between two states that others can see
LEARN_SECONDS = 5.0  # between two corrections of the estimates
BAR_WIDTH = 60  # at most
NOTEBOOK_WIDTH = 100


class Monitor:
    """Follows the events of a run and tells about it on `out` (standard error), and with the runner's heartbeat.

    The estimate of what is left starts from the cost model, which learns from each job that ends, and scales it by the
    time that the work of this run, finished or running, really took.
    """

    def __init__(
        self,
        jobs: list[Job],
        n_workers: int,
        out: TextIO | None = None,
        *,
        model: cost.Model | None = None,
        runner: lease.Runner | None = None,
    ) -> None:
        self.lock = threading.RLock()  # of everything below: events and ticks come from different threads
        self.screen = Screen(sys.stderr if out is None else out)
        self.runner = runner
        self.model = cost.Model() if model is None else model
        self.jobs = {job.key: job for job in jobs}  # those not done
        self.cost = self.model.estimates(jobs)
        self.learned = self.began = time.monotonic()
        self.total = len(jobs)
        self.n_workers = max(1, min(n_workers, self.total))
        self.running: dict[str, Event] = {}
        self.first: dict[str, tuple[float, int]] = {}  # of each running job: when its first news came, of which epoch
        self.rate: dict[str, float] = {}  # epochs a second
        self.n_done = {"ok": 0, "failed": 0, "skipped": 0}
        self.n_elsewhere = 0
        self.shared_at = -math.inf
        self.cost_done = 0.0  # of jobs that ended here, and the wall time that they took
        self.seconds_done = 0.0
        self.tell()

    def see(self, event: Event) -> None:
        """Take the next event of the run and show the state."""
        with self.lock:
            self.take(event)
            self.tell()

    @contextlib.contextmanager
    def ticking(self) -> Iterator[None]:
        """Show the state each second inside the context, where there is a live display."""
        stopped = threading.Event()

        def tick() -> None:
            while not stopped.wait(TICK_SECONDS):
                with self.lock:
                    if not stopped.is_set():
                        self.tell()

        thread = threading.Thread(target=tick, name="display", daemon=True)
        if self.screen.live:
            thread.start()
        try:
            yield
        finally:
            stopped.set()

    def take(self, event: Event) -> None:
        """Take note of an event."""
        now, key = time.monotonic(), event.job.key
        if event.kind == "end":
            self.end(event)
        elif event.kind == "back":
            self.running.pop(key, None)
            self.first.pop(key, None)
            self.screen.say(f"back: {title(event.job)}: {event.reason}")
        else:
            if event.epochs and key not in self.first:
                self.first[key] = now, event.epoch
            elif event.epochs:
                since, epoch = self.first[key]
                self.rate[key] = (event.epoch - epoch) / max(now - since, 1e-9)
            self.running[key] = event

    def end(self, event: Event) -> None:
        """Take note of a job's record."""
        key, record = event.job.key, event.record
        assert record is not None
        self.n_done[record.status] += 1
        self.running.pop(key, None)
        self.first.pop(key, None)
        self.jobs.pop(key, None)
        estimate = self.cost.pop(key, 0.0)
        if event.elsewhere:
            self.n_elsewhere += 1
        elif record.is_ok:
            self.cost_done += estimate
            self.seconds_done += record.train_seconds or 0.0
            self.model.learn(record)
        line = finished(renamed(record, event.job))  # a record of equal settings may go under another name
        self.screen.say(f"{line}, by another runner" if event.elsewhere else line)
        if time.monotonic() - self.learned > LEARN_SECONDS and self.jobs:
            before = sum(self.cost.values())
            self.cost = self.model.estimates(self.jobs.values())
            self.cost_done *= sum(self.cost.values()) / before if before else 1.0  # as if it had been known at first
            self.learned = time.monotonic()
        if not self.jobs:
            self.screen.shown_at = -math.inf  # the last state is shown, whenever the one before was

    def share(self, event: Event) -> float:
        """Return how much of a running job is trained, 0 to 1."""
        return event.epoch / event.epochs if event.epochs else 0.0

    def work_share(self) -> float:
        """Return how much of the estimated work of this run is done, 0 to 1."""
        done = self.cost_done + sum(self.cost[key] * self.share(event) for key, event in self.running.items())
        total = self.cost_done + sum(self.cost.values())
        return done / total if total > 0 and self.jobs else 1.0

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

    def state(self) -> RunState:
        """Return where the run stands."""
        running = sorted(self.running.items(), key=lambda item: item[1].worker)
        n_done = sum(self.n_done.values())
        elapsed = time.monotonic() - self.began
        return RunState(
            total=self.total,
            done=dict(self.n_done),
            elsewhere=self.n_elsewhere,
            share=self.work_share(),
            elapsed_seconds=elapsed,
            left_seconds=self.left() if n_done < self.total else 0.0,
            per_minute=60 * n_done / elapsed if elapsed > 3 else None,
            running=[self.running_job(event) for _, event in running],
        )

    def running_job(self, event: Event) -> RunningJob:
        """Return the state of a job in training."""
        job = event.job
        return RunningJob(
            event.worker,
            *(job.key, job.dataset, job.model, job.protocol, job.seed, job.resample),
            *(event.epoch, event.epochs),
            loss=event.loss if math.isfinite(event.loss) else None,
            rate=self.rate.get(job.key),
        )

    def tell(self) -> None:
        """Show the state, and let others see it."""
        due = self.screen.is_due()
        if due or (self.runner is not None and time.monotonic() - self.shared_at > STATE_SECONDS):
            state = self.state()
            self.shared_at = time.monotonic()
            if self.runner is not None:
                self.runner.state = state.to_json()
            if due:
                self.screen.draw(state)


class Screen:
    """Shows states on `out`: a live display on a terminal or in a notebook, else a plain line now and then."""

    def __init__(self, out: TextIO) -> None:
        self.out = unescaped(out)  # it moves the cursor
        self.notebook = in_notebook()
        self.live = self.notebook or is_terminal(out)
        self.shown_at = -math.inf if self.live else time.monotonic()  # a display is there from the start
        self.drawn = 0  # lines of the live display on the terminal
        self.handle: Any = None  # of the display in the notebook

    def is_due(self) -> bool:
        """Return whether it is time to draw again."""
        return time.monotonic() - self.shown_at >= (DRAW_SECONDS if self.live else LINE_SECONDS)

    def say(self, line: str) -> None:
        """Print a line that stays; the display comes back with the next state."""
        if self.drawn:
            self.shown_at = -math.inf
        self.clear()
        print(printable(line), file=self.out, flush=True)

    def draw(self, *states: RunState) -> None:
        """Show the states of runs: the live display anew, or one plain line each."""
        self.shown_at = time.monotonic()
        going = [state for state in states if state.total > state.n_done]
        if self.notebook:
            self.draw_in_notebook(states)
        elif self.live:
            self.draw_on_terminal(going)
        else:
            for state in going:
                self.say("; ".join([state.summary(), *(job.line() for job in state.started)]))

    def draw_on_terminal(self, states: Sequence[RunState]) -> None:
        """Replace the display. It hides no cursor, so it may stay as it is when a run breaks off."""
        from rich.console import Console

        console = Console(file=self.out, force_jupyter=False)
        width = max(10, console.width - 1)  # a full line would wrap on some terminals
        lines: list[str] = []
        if states:
            with console.capture() as capture:
                console.print(display(states, width), width=width)
            lines = [line.rstrip() for line in capture.get().splitlines()]
        room = max(1, console.height - 1)  # what has scrolled away could not be replaced
        self.clear()
        for line in lines[-room:]:
            print(line, file=self.out)
        self.out.flush()
        self.drawn = len(lines[-room:])

    def draw_in_notebook(self, states: Sequence[RunState]) -> None:
        """Replace the display in the cell's output."""
        view = display(states, NOTEBOOK_WIDTH)
        if self.handle is None:
            self.handle = importlib.import_module("IPython.display").display(view, display_id=True)
        else:
            self.handle.update(view)

    def clear(self) -> None:
        """Take the live display off the terminal."""
        if self.drawn:
            print(f"\x1b[{self.drawn}A\x1b[J", end="", file=self.out, flush=True)
            self.drawn = 0


def is_terminal(out: TextIO) -> bool:
    """Return whether a display can be drawn anew on `out`: a terminal that can move its cursor."""
    return out.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def in_notebook() -> bool:
    """Return whether this process serves a notebook, by rich's rules."""
    if "IPython" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter


def display(states: Sequence[RunState], width: int) -> Table:
    """Return the live display of runs: for each a line a running job, a bar and a summary. Long lines fold."""
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    lines = Table.grid()
    for state in states:
        for job in state.started:
            lines.add_row(Padding(Text(job.line(width - 2)), (0, 0, 0, 2)))
        bar = Table.grid(padding=(0, 1, 0, 0))
        percent = f"{math.floor(100 * state.share)} %"
        bar.add_row(ProgressBar(total=1.0, completed=state.share, width=min(BAR_WIDTH, width - 7)), Text(percent))
        lines.add_row(bar)
        lines.add_row(Text(state.summary(elapsed=True)))
    return lines


def finished(record: Record) -> str:
    """Return the line that tells of a finished job by its record, with the published figure where there is one."""
    from tsfcn.data import published

    name = title(record)
    if not record.is_ok:
        return f"{record.status}: {name}: {record.reason}"
    line = f"{name}: accuracy {record.accuracy:.4f} in {clock(record.train_seconds or 0.0)}"
    figure = None
    if not record.off_paper and not record.resample:
        figure = published.beside(record.protocol, record.model, record.dataset)
    return line if figure is None else f"{line} (published {figure.mean:.4f})"
