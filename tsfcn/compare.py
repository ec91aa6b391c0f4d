"""`python -m tsfcn.compare A B [C ...]`, `tsfcn compare`: two or more columns of accuracies side by side."""

from __future__ import annotations

from collections.abc import Sequence

from tsfcn.analysis import score_columns
from tsfcn.analysis.compare import compare
from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser
from tsfcn.common.errors import UserError
from tsfcn.data.catalogue import CATALOGUE, select
from tsfcn.report.comparison import as_csv, as_json, as_latex, text, write


def main(argv: Sequence[str] | None = None) -> int:
    """Print a comparison and write the files asked for. Returns the exit code (see exit_codes.run)."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Do what the command line asks for."""
    parser = Parser(
        prog="tsfcn compare",
        description="Compare accuracies over the datasets that all columns have on the same split.",
        epilog="A column is a results folder (all its models), FOLDER:MODEL, a CSV of ours or of others, CSV:MODEL, a "
        "folder of tsml-eval results, or published:SOURCE/MODEL (tsfcn published list). FILE - prints instead.",
    )
    parser.add_argument("columns", nargs="+", metavar="COLUMN")
    parser.add_argument("--ties", choices=("average", "min"), default="average", help="rank of equal accuracies")
    parser.add_argument("--zeros", choices=("pratt", "wilcox"), default="pratt", help="equal pairs in signed ranks")
    parser.add_argument(
        "--rope", type=float, default=0.01, metavar="R", help="region of equivalence, ±R (default 0.01)"
    )
    parser.add_argument("--alpha", type=float, default=0.05, metavar="A", help="of differences (default 0.05)")
    parser.add_argument(
        "--split", choices=("ucr2018", "ucr2015"), default="ucr2018", help="of CSV files without a column 'split'"
    )
    parser.add_argument(
        "--across-splits", action="store_true", help="compare datasets whose train and test differ too, and say so"
    )
    parser.add_argument("--dataset", metavar="D", help="only these: names, sets or globs, commas between them")
    parser.add_argument("--exclude", metavar="D", help="without these")
    for kind in ("csv", "json", "markdown", "latex"):
        parser.add_argument(f"--{kind}", metavar="FILE", help=f"write {kind} to FILE")
    options = parser.parse_args(argv)
    if not 0 <= options.rope < 1:
        raise UserError(f"--rope {options.rope:g} is not from 0 to 1: write a fraction, as 0.01")
    if not 0 < options.alpha < 1:
        raise UserError(f"--alpha {options.alpha:g} is not between 0 and 1: write a fraction, as 0.05")
    found = score_columns.read(options.columns, split=options.split)
    only = None
    if options.dataset or options.exclude:
        own = sorted({place.dataset for column in found for place in column.cells} - CATALOGUE.keys())
        wanted = options.dataset.split(",") if options.dataset else ["all", *own]
        only = select(wanted, options.exclude.split(",") if options.exclude else (), own)
    made = compare(
        found,
        ties=options.ties,
        zeros=options.zeros,
        rope=options.rope,
        alpha=options.alpha,
        across_splits=options.across_splits,
        datasets=only,
    )
    files = {
        options.csv: as_csv,
        options.json: as_json,
        options.markdown: lambda made: text(made, markdown=True) + "\n",
        options.latex: as_latex,
    }
    for name, form in files.items():
        if name is not None:
            write(name, form(made))
    if "-" not in files:
        print(text(made))
    return exit_codes.OK


if __name__ == "__main__":
    raise SystemExit(main())
