"""`tsfcn results VERB [RESULTS]`: look after a results folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser
from tsfcn.jobs.maintenance import compact, folder, gc, merge, status, why


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the verbs and return the exit code (see exit_codes.run)."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Do what the command line asks for."""
    parser = Parser(prog="tsfcn results", description="Look after a results folder.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    about = {"nargs": "?", "default": "results", "metavar": "RESULTS", "help": "folder (default: results)"}
    verb = verbs.add_parser("status", help="what is done, failed, running and left")
    verb.add_argument("results", **about)  # type: ignore[arg-type]
    verb.add_argument("--jobs", action="store_true", help="also a line a job, with its key")
    verb = verbs.add_parser("why", help="a job's history, and where its key differs from the nearest finished job's")
    verb.add_argument("key", metavar="KEY", help="a job's key, or its first digits: see status --jobs")
    verb.add_argument("results", **about)  # type: ignore[arg-type]
    verb = verbs.add_parser("compact", help="all records in one file, without what no longer counts")
    verb.add_argument("results", **about)  # type: ignore[arg-type]
    verb = verbs.add_parser("merge", help="the records of one folder, with their files, into another")
    verb.add_argument("source", metavar="FROM", help="folder that stays as it is")
    verb.add_argument("results", metavar="INTO", help="folder that gets what it has not")
    verb = verbs.add_parser("gc", help="remove what crashes left and no record needs")
    verb.add_argument("results", **about)  # type: ignore[arg-type]
    verb.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    verb.add_argument("--unfinished", action="store_true", help="also what runs keep to go on: plans and checkpoints")
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
    elif options.verb == "merge":
        text = merge(Path(options.source), results)
    else:
        text = gc(results, options.dry_run, options.unfinished)
    print(text)
    return exit_codes.OK
