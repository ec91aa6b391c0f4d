"""`tsfcn convert IN OUT --to FORM`: results in the forms of other tools, and theirs as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tsfcn.analysis.convert import FORMS, convert
from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser


def main(argv: Sequence[str] | None = None) -> int:
    """Convert and print what was written. Returns the exit code (see exit_codes.run)."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Do what the command line asks for."""
    parser = Parser(
        prog="tsfcn convert",
        description="Write results in another form: wide or long from whatever `tsfcn compare` reads, the others from "
        "a results folder.",
    )
    parser.add_argument("source", metavar="IN", help="results folder, CSV, folder of tsml-eval, published:SOURCE")
    parser.add_argument("out", metavar="OUT", help="file, or a folder for aeon and tsml")
    parser.add_argument("--to", choices=FORMS, required=True, help="the form to write")
    options = parser.parse_args(argv)
    print(convert(options.source, Path(options.out), options.to))
    return exit_codes.OK
