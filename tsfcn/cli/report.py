"""`tsfcn report [RESULTS]`: write one HTML page of a results folder."""

from __future__ import annotations

from collections.abc import Sequence

from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser
from tsfcn.report.document import report


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report of a results folder and print its path. Returns the exit code (see exit_codes.run)."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Parse the command line and run the command. Returns the exit code."""
    parser = Parser(
        prog="tsfcn report",
        description="Write one HTML page from the records of a results folder: tables, tests and charts.",
        epilog="A column is what `tsfcn compare` takes: a results folder, FOLDER:MODEL, a CSV, CSV:MODEL, a folder of "
        "tsml-eval results, or published:SOURCE/MODEL (tsfcn published list). The default is the published column that "
        "each of ours is compared with.",
    )
    parser.add_argument("results", nargs="?", default="results", metavar="RESULTS", help="folder (default: results)")
    parser.add_argument("columns", nargs="*", metavar="COLUMN", help="further columns to rank and compare")
    parser.add_argument("--out", metavar="FILE", help="where to write (default: RESULTS/report.html)")
    options = parser.parse_args(argv)
    print(report(options.results, *options.columns, out=options.out).path)
    return exit_codes.OK
