"""`tsfcn watch [RESULTS]`: show the runs that use a results folder, from any shell.

Runs write their state with each heartbeat (lease.py) and their finished jobs as records, so that runs on other machines
that share the folder are shown too. On a terminal there is a live display, elsewhere plain lines. The command ends when
no run is left.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser, path
from tsfcn.common.errors import UserError
from tsfcn.jobs import lease, selection, store
from tsfcn.jobs.maintenance import run_state
from tsfcn.jobs.monitor import Screen, finished

LOOK_SECONDS = 1.0


def alive(results: Path, watch: lease.Watch) -> list[dict[str, Any]]:
    """Return the heartbeats of the runners that are not known to be dead."""
    return [each for each in lease.runners(results) if not watch.dead(each["id"], each)]


def main(argv: Sequence[str] | None = None) -> int:
    """Follow the runs of a results folder until none is left. Returns the exit code (see exit_codes.run)."""
    parser = Parser(prog="tsfcn watch", description="Show the runs that use a results folder.")
    parser.add_argument(
        "results", nargs="?", default="results", type=path, metavar="RESULTS", help="folder (default: results)"
    )
    parser.add_argument("--once", action="store_true", help="show the current state once")

    def command() -> int:
        options = parser.parse_args(argv)
        return follow(options.results, options.once)

    return exit_codes.run(command)


def follow(results: Path, once: bool) -> int:
    """Show the runs of a results folder until none is left, or once. Returns the exit code."""
    if not results.is_dir():
        raise UserError(f"results '{results}' is not a folder: name a results folder of a run")
    screen, watch = Screen(sys.stdout), lease.Watch(results)
    known: set[str] = set()  # ids of runners
    shown: set[tuple[str, str]] = set()  # attempts, including those of earlier runs
    records = store.Reader(results)
    shown.update((record.key, record.finished) for record in records.new())
    runners = alive(results, watch)
    if not runners:
        print(f"no run is at work in {results}: `tsfcn results status {results}` shows what is done")
        return exit_codes.OK
    try:
        while runners:
            new = {runner["id"] for runner in runners} - known
            for name in sorted(new):
                screen.say(f"run {name}")
            known |= new
            if new or screen.is_due():
                screen.draw(*(state for runner in runners if (state := run_state(runner))))
            if once:
                return exit_codes.OK
            time.sleep(LOOK_SECONDS)
            runners = alive(results, watch)  # read before the records, so that the last records of a run are not missed
            for record in selection.by_time(records.new()):
                attempt = record.key, record.finished
                if attempt not in shown:  # `compact` writes all records into a new file
                    shown.add(attempt)
                    screen.say(finished(record))
    except KeyboardInterrupt:
        screen.clear()  # so that the message of the interruption comes last
        raise
    screen.clear()
    print("no run is at work any more", flush=True)
    return exit_codes.OK
