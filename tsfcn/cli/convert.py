"""`tsfcn convert IN OUT --to FORM`: convert results to and from the formats of other tools."""

from __future__ import annotations

from collections.abc import Sequence

from tsfcn.analysis.convert import FORMS, convert
from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser, expand_home, path


def main(argv: Sequence[str] | None = None) -> int:
    """Convert results and print which files were written. Returns the exit code (see exit_codes.run)."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Parse the command line and run the command. Returns the exit code."""
    parser = Parser(
        prog="tsfcn convert",
        description="Write results in another format: wide or long from all inputs of `tsfcn compare`, the others from "
        "a results folder.",
    )
    parser.add_argument(
        "source", type=expand_home, metavar="IN", help="results folder, CSV, folder of tsml-eval, published:SOURCE"
    )
    parser.add_argument("out", type=path, metavar="OUT", help="file, or a folder for aeon and tsml")
    parser.add_argument("--to", choices=FORMS, required=True, help="format of the output")
    options = parser.parse_args(argv)
    print(convert(options.source, options.out, options.to))
    return exit_codes.OK
