"""What is printed and written when a run has ended: the tables, what failed, what is left, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tsfcn.common import exit_codes
from tsfcn.common.exit_codes import FAILED, OK, SKIPS
from tsfcn.common.text import Problem, counted, problem_lines
from tsfcn.jobs.plan import Job
from tsfcn.jobs.progress import clock, title
from tsfcn.jobs.record import Record
from tsfcn.runs.execution import Outcome
from tsfcn.runs.run_plan import RunPlan


def tabulate(prepared: RunPlan, outcome: Outcome, show: Callable[[list[Record]], str] | None) -> int:
    """Write and print the tables of a run, say what is left of it, and return the exit code (see summarise)."""
    if not prepared.placement.waits and outcome.left:  # the last worker writes the tables
        print(f"{counted(len(outcome.left), 'job')} left to other runners: this worker ends", file=sys.stderr)
        return OK
    # A budget may be too short for any job to end.
    code = summarise(prepared, outcome.records, show) if outcome.records else OK
    if not outcome.left:
        return code
    means = prepared.placement.means(prepared.n_workers)
    print(
        f"budget={prepared.request.run.budget} is over: {counted(len(outcome.left), 'job')} left, "
        f"roughly {clock(outcome.seconds_left / prepared.n_workers)} {means}; the same command goes on with them",
        file=sys.stderr,
    )
    return code or SKIPS


def summarise(prepared: RunPlan, records: list[Record], show: Callable[[list[Record]], str] | None) -> int:
    """Write the tables of the results folder, print those of the plan's jobs, and return the exit code.

    Args:
        prepared: The plan.
        records: All records of the folder.
        show: As for `execute_run`.
    """
    from tsfcn.report import results_folder

    results, chosen = prepared.request.results, of_jobs(prepared.jobs, records)
    text = (show or accuracies)(chosen)
    try:
        note = results_folder.write_if_writable(results, records)
    finally:  # a full disk must not hide what was trained
        exit_codes.show(text)
    if note:
        exit_codes.complain(note)
    return tell_problems(chosen, results)


def of_jobs(jobs: list[Job], records: list[Record]) -> list[Record]:
    """Return the records of these jobs, under their names."""
    asked = {job.identity for job in jobs}
    return [record for record in records if record.identity in asked]


def accuracies(records: list[Record]) -> str:
    """Return the accuracy table of records as text; of dense labelling the table of its metrics."""
    from tsfcn.analysis import segmentation, tables
    from tsfcn.report import render
    from tsfcn.report import segmentation as segmentation_text

    if segmentation.of_segmentation(records):
        return segmentation_text.table(segmentation.table(records))
    processor_time = any(record.has_processor_seconds() for record in records)
    return render.table(tables.accuracy(records), processor_time=processor_time)


def tell_problems(records: list[Record], results: Path) -> int:
    """Print the jobs that failed or were skipped, if any, and return the exit code."""
    statuses = [record.status for record in records]
    if set(statuses) - {"ok"}:
        counts = f"{statuses.count('failed')} failed, {statuses.count('skipped')} skipped"
        problems = dict.fromkeys(
            Problem(r.status, r.dataset, r.reason, r.dataset if r.status == "skipped" else title(r))
            for r in records
            if not r.is_ok
        )
        heading = f"\n{counts} (all in {results / 'tables' / 'status.csv'}):"
        exit_codes.show("\n".join([heading, *problem_lines(problems)]))
    return FAILED if "failed" in statuses else SKIPS if "skipped" in statuses else OK
