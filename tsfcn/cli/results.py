"""`tsfcn results VERB [RESULTS]`: inspect and maintain a results folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser, expand_home
from tsfcn.jobs import slurm
from tsfcn.jobs.maintenance import compact, folder, gc, merge, status, why


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the verbs and return the exit code (see exit_codes.run)."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Parse the command line and run the command. Returns the exit code."""
    parser = Parser(prog="tsfcn results", description="Inspect and maintain a results folder.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    about = {
        "nargs": "?",
        "default": "results",
        "type": expand_home,
        "metavar": "RESULTS",
        "help": "folder (default: results)",
    }
    verb = verbs.add_parser("status", help="show the jobs that are done, failed, running and left")
    verb.add_argument("results", **about)  # type: ignore[arg-type]
    verb.add_argument("--jobs", action="store_true", help="also list every job with its key")
    verb = verbs.add_parser(
        "why", help="show the history of a job, and how its key differs from that of the nearest finished job"
    )
    verb.add_argument("key", metavar="KEY", help="the key of a job or its first digits (see status --jobs)")
    verb.add_argument("results", **about)  # type: ignore[arg-type]
    verb = verbs.add_parser("compact", help="write all records into one file, without those that no longer count")
    verb.add_argument("results", **about)  # type: ignore[arg-type]
    verb = verbs.add_parser("merge", help="copy the records and files of one folder into another")
    verb.add_argument("source", type=expand_home, metavar="FROM", help="folder to copy from; it does not change")
    verb.add_argument("results", type=expand_home, metavar="INTO", help="folder to copy into")
    verb = verbs.add_parser("gc", help="remove files that no record needs")
    verb.add_argument("results", **about)  # type: ignore[arg-type]
    verb.add_argument("--dry-run", action="store_true", help="only show what would be removed")
    verb.add_argument(
        "--unfinished", action="store_true", help="also remove the plans and checkpoints of unfinished runs"
    )
    verb = verbs.add_parser("cancel", help="cancel the tasks of this folder that Slurm has (executor=slurm)")
    verb.add_argument("results", **about)  # type: ignore[arg-type]
    options = parser.parse_args(argv)
    if options.verb == "merge":
        folder(options.source)
        Path(options.results).mkdir(exist_ok=True)
    results = folder(options.results)
    if options.verb == "status":
        text = status(results, options.jobs)
    elif options.verb == "why":
        text = why(results, options.key)
    elif options.verb == "compact":
        text = compact(results)
    elif options.verb == "cancel":
        text = cancelled(results)
    elif options.verb == "merge":
        text = merge(Path(options.source), results)
    else:
        text = gc(results, options.dry_run, options.unfinished)
    print(text)
    return exit_codes.OK


def cancelled(results: Path) -> str:
    """Cancel the tasks that Slurm has of a results folder, and return what was done, as text."""
    numbers = slurm.cancel(results / "slurm")
    if not numbers:
        return f"Slurm has no task of {results}"
    return f"cancelled Slurm job {', '.join(map(str, numbers))}; what was in hand goes on with the same command"
