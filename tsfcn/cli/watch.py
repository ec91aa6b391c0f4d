"""`tsfcn watch [RESULTS]`: see the runs that are at work in a results folder, from any shell.

Their state is what they write with each heartbeat (lease.py), and what is finished are the folder's records, so a run
on another machine that shares the folder is seen too. On a terminal a live display, elsewhere plain lines. Ends when no
run is left.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser
from tsfcn.common.errors import UserError
from tsfcn.jobs import lease, store
from tsfcn.jobs.maintenance import run_state
from tsfcn.jobs.monitor import Screen, finished

LOOK_SECONDS = 1.0


def alive(results: Path, watch: lease.Watch) -> list[dict[str, Any]]:
    """Return what the runners that are not known to be dead say."""
    return [each for each in lease.runners(results) if not watch.dead(each["id"], each)]


def main(argv: Sequence[str] | None = None) -> int:
    """Follow the runs of a results folder until none is left. Returns the exit code (see exit_codes.run)."""
    parser = Parser(prog="tsfcn watch", description="See the runs at work in a results folder.")
    parser.add_argument("results", nargs="?", default="results", metavar="RESULTS", help="folder (default: results)")
    parser.add_argument("--once", action="store_true", help="say where they stand, and end")

    def command() -> int:
        options = parser.parse_args(argv)
        return follow(Path(options.results), options.once)

    return exit_codes.run(command)


def follow(results: Path, once: bool) -> int:
    """Show the runs of a results folder until none is left, or once. Returns the exit code."""
    if not results.is_dir():
        raise UserError(f"results '{results}' is no folder: give one that a run has written")
    screen, watch = Screen(sys.stdout), lease.Watch(results)
    known: set[str] = set()  # runners
    shown: set[tuple[str, str]] = set()  # attempts, also those of before
    records = store.Reader(results)
    shown.update((record.key, record.finished) for record in records.new())
    runners = alive(results, watch)
    if not runners:
        print(f"no run is at work in {results}: tsfcn results status {results} says what is done")
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
            runners = alive(results, watch)  # before the records: the last ones of a run are there when it has gone
            for record in store.by_time(records.new()):
                attempt = record.key, record.finished
                if attempt not in shown:  # `compact` writes all into a new file
                    shown.add(attempt)
                    screen.say(finished(record))
    except KeyboardInterrupt:
        screen.clear()  # the display is not the last word
        raise
    screen.clear()
    print("no run is at work any more", flush=True)
    return exit_codes.OK
