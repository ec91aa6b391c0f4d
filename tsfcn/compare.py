"""`python -m tsfcn.compare A B [C ...]`, `tsfcn compare`: two or more columns of accuracies side by side."""

from __future__ import annotations

from collections.abc import Sequence

from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser, expand_home
from tsfcn.common.callable_module import make_callable
from tsfcn.report.comparison import write
from tsfcn.report.comparison_result import compare


def main(argv: Sequence[str] | None = None) -> int:
    """Print a comparison and write the files asked for. Returns the exit code (see exit_codes.run)."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Parse the command line and run the command. Returns the exit code."""
    parser = Parser(
        prog="tsfcn compare",
        description="Compare accuracies over the datasets that all columns have on the same split.",
        epilog="A column is a results folder (all its models), FOLDER:MODEL, a CSV of ours or of others, CSV:MODEL, a "
        "folder of tsml-eval results, or published:SOURCE/MODEL (tsfcn published list). "
        "@percent, @error or @ucr2015 after the name of a CSV say how to read it. FILE - prints instead.",
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
    result = compare(
        *options.columns,
        ties=options.ties,
        zeros=options.zeros,
        rope=options.rope,
        alpha=options.alpha,
        split=options.split,
        across_splits=options.across_splits,
        dataset=options.dataset.split(",") if options.dataset else None,
        exclude=options.exclude.split(",") if options.exclude else (),
    )
    files = {
        options.csv: result.to_csv,
        options.json: result.to_json,
        options.markdown: result.to_markdown,
        options.latex: result.to_latex,
    }
    for name, form in files.items():
        if name is not None:
            write(expand_home(name), form())
    if "-" not in files:
        print(result)
    return exit_codes.OK


make_callable(__name__, "tsfcn.report.comparison_result:compare")

if __name__ == "__main__":
    raise SystemExit(main())
