"""`tsfcn gains [RESULTS]`: what transfer and refinement gain over the same training without them."""

from __future__ import annotations

from collections.abc import Sequence

from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser, path
from tsfcn.common.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Print the gains of a results folder and write tables/gains.csv. Returns the exit code."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Parse the command line and run the command. Returns the exit code."""
    parser = Parser(
        prog="tsfcn gains",
        description="Compare runs under protocol.init_from or protocol.refine_rounds with the runs of the same seeds "
        "that differ in nothing else. Nothing is trained.",
    )
    parser.add_argument("results", nargs="?", default="results", metavar="RESULTS", help="the results folder")
    results = path(parser.parse_args(argv).results)
    from tsfcn.analysis import gains, tables
    from tsfcn.report import render
    from tsfcn.report.results_folder import write_table

    frame = gains.rows(tables.read(results))
    if frame.empty:
        raise UserError(
            f"results folder '{results}' has no pair of runs to compare: train both with the same seeds, as by "
            "protocol.init_from=null,dataset:NAME or protocol.refine_rounds=0,5"
        )
    note = write_table(results, "gains", frame)
    exit_codes.show(render.gains(frame, gains.summary(frame)))
    if note:
        exit_codes.complain(note)
    return exit_codes.OK
