"""`tsfcn watch [RESULTS]`: see the runs that are at work in a results folder, from any shell.

Their state is what they write with each heartbeat (lease.py), so a run on another machine that shares the folder is
seen too. On a terminal a live display, elsewhere plain lines. Ends when no run is left.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tsfcn import lease
from tsfcn.monitor import Screen

LOOK_SECONDS = 1.0


def alive(results: Path, watch: lease.Watch) -> list[dict[str, Any]]:
    """Return what the runners that are not known to be dead say."""
    return [each for each in lease.runners(results) if not watch.dead(each["id"], each)]


def main(argv: Sequence[str] | None = None) -> int:
    """Follow the runs of a results folder until none is left. Returns 0, or 2 after one line for a user's mistake."""
    parser = argparse.ArgumentParser(prog="tsfcn watch", description="See the runs at work in a results folder.")
    parser.add_argument("results", nargs="?", default="results", metavar="RESULTS", help="folder (default: results)")
    parser.add_argument("--once", action="store_true", help="say where they stand, and end")
    options = parser.parse_args(argv)
    results = Path(options.results)
    if not results.is_dir():
        print(f"error: results '{results}' is no folder: give one that a run has written", file=sys.stderr)
        return 2
    screen, watch = Screen(sys.stdout), lease.Watch(results)
    told: dict[str, int] = {}  # how many finished jobs of each runner were told
    try:
        runners = alive(results, watch)
        if not runners:
            print(f"no run is at work in {results}: tsfcn results status {results} says what is done")
            return 0
        for runner in runners:
            print(f"run {runner['id']}", flush=True)
            told[runner["id"]] = (runner.get("state") or {}).get("told", [0])[0]
        screen.draw(*(runner["state"] for runner in runners if runner.get("state")))
        while not options.once and (runners := alive(results, watch)):
            for runner in runners:
                n, lines = (runner.get("state") or {}).get("told", [0, []])
                if runner["id"] not in told:
                    screen.say(f"run {runner['id']}")
                new = n - told.get(runner["id"], 0)
                for line in lines[-new:] if new > 0 else []:
                    screen.say(line)
                told[runner["id"]] = n
            if screen.is_due():
                screen.draw(*(runner["state"] for runner in runners if runner.get("state")))
            time.sleep(LOOK_SECONDS)
        screen.clear()
        if not options.once:
            print("no run is at work any more", flush=True)
    except KeyboardInterrupt:
        screen.clear()
    except BrokenPipeError:  # `tsfcn watch | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
