"""`tsfcn report [RESULTS]`: one HTML page of a results folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tsfcn.common import exit_codes, files
from tsfcn.common.arguments import Parser
from tsfcn.common.errors import UserError
from tsfcn.report.page import check, report


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report of a results folder and print its path. Returns the exit code (see exit_codes.run)."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Do what the command line asks for."""
    parser = Parser(
        prog="tsfcn report",
        description="Write one HTML page from the records of a results folder: tables, tests and charts.",
        epilog="A column is what `tsfcn compare` takes: a results folder, FOLDER:MODEL, a CSV, CSV:MODEL, a folder of "
        "tsml-eval results, or published:SOURCE/MODEL (tsfcn published list). Without one the published column beside "
        "each of ours is taken.",
    )
    parser.add_argument("results", nargs="?", default="results", metavar="RESULTS", help="folder (default: results)")
    parser.add_argument("columns", nargs="*", metavar="COLUMN", help="others to rank and to set side by side")
    parser.add_argument("--out", metavar="FILE", help="where to write (default: RESULTS/report.html)")
    options = parser.parse_args(argv)
    results = Path(options.results)
    out = results / "report.html" if options.out is None else Path(options.out)
    check(out)
    page = report(results, options.columns)
    try:
        files.replace(out, lambda file: file.write(page.encode()))
    except OSError as error:
        raise UserError(f"file '{out}' is not writable ({error.strerror}): name another one with --out") from error
    print(out)
    return exit_codes.OK
