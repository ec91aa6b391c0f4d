"""The stages of a run, from its settings to its tables."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tsfcn.common.exit_codes import OK
from tsfcn.config import schema
from tsfcn.config.compose import Composed
from tsfcn.jobs.plan import Job
from tsfcn.jobs.record import Record
from tsfcn.runs import submission
from tsfcn.runs.announcement import announce
from tsfcn.runs.execution import execute
from tsfcn.runs.preparation import check_networks, download_missing, prepare
from tsfcn.runs.run_plan import Request
from tsfcn.runs.summary import tabulate

RESUME = "finished jobs are kept, the same command goes on from there"


def execute_run(
    composed: Iterable[Composed], command: str, show: Callable[[list[Record]], str] | None = None
) -> tuple[int, list[Job]]:
    """Plan, run what is not done, write the tables. Returns the exit code and the jobs of the plan.

    Args:
        composed: The settings of the run, in combinations that differ in model, protocol, data and seeds alone.
        command: The command as one line of results/commands.txt.
        show: Gives what is printed of the records of these jobs in the end; None: their accuracy table.
    """
    prepared = download_missing(prepare(Request(tuple(composed), command)))
    check_networks(prepared.pending)
    announce(prepared)
    is_submitted, dry_run = prepared.placement.is_submitted, prepared.request.run.dry_run
    if dry_run:
        if is_submitted:
            print(submission.script(prepared)[1], end="")
        return OK, prepared.jobs
    if is_submitted and prepared.pending:
        submission.submit(prepared)
        return OK, prepared.jobs
    return tabulate(prepared, execute(prepared), show), prepared.jobs


def concluded(code: int, settings: schema.RunConfig, files: str = "tables/accuracy.csv, README.md") -> int:
    """Print on stderr where the results of a run are and what to type next, unless nothing was run.

    Args:
        code: the exit code of the run, which is returned.
        settings: those of the run.
        files: what to look at in its results folder.
    """
    results = Path(settings.results)
    if not settings.dry_run and (results / "tables" / "accuracy.csv").is_file():
        print(
            f"results: {results} ({files}); next: tsfcn report {shlex.quote(str(results))}",
            file=sys.stderr,
        )
    return code
