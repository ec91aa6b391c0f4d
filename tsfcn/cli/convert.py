"""`tsfcn convert IN OUT --to FORM`: results in the forms of other tools, and theirs as a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tsfcn.analysis.convert import FORMS, convert
from tsfcn.common.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Convert and say what was written. Returns 0, or 2 after one line for a user's mistake."""
    parser = argparse.ArgumentParser(
        prog="tsfcn convert",
        description="Write results in another form: wide or long from whatever `tsfcn compare` reads, the others from "
        "a results folder.",
    )
    parser.add_argument("source", metavar="IN", help="results folder, CSV, folder of tsml-eval, published:SOURCE")
    parser.add_argument("out", metavar="OUT", help="file, or a folder for aeon and tsml")
    parser.add_argument("--to", choices=FORMS, required=True, help="the form to write")
    options = parser.parse_args(argv)
    try:
        print(convert(options.source, Path(options.out), options.to))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
