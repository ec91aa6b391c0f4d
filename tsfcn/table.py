"""`python -m tsfcn.table [RESULTS]`, `tsfcn table`: the tables of a results folder, made from its records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tsfcn.analysis.tables import METRICS, metric, read
from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser, path
from tsfcn.report import render, segmentation
from tsfcn.report.results_folder import tables_of, write_if_writable


def main(argv: Sequence[str] | None = None) -> int:
    """Write the tables of a results folder and print them. Returns the exit code (see exit_codes.run)."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Do what the command line asks for."""
    parser = Parser(
        prog="tsfcn table",
        description="Write RESULTS/tables and RESULTS/README.md from RESULTS/records, and print the tables.",
    )
    parser.add_argument(
        "results", nargs="?", default="results", type=path, metavar="RESULTS", help="folder (default: results)"
    )
    parser.add_argument(
        "--metric", choices=METRICS, default="accuracy", help="metric to print; all but accuracy need the predictions"
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    options = parser.parse_args(argv)
    results: Path = options.results
    records = read(results)
    tables = tables_of(records)
    table = tables["accuracy"] if options.metric == "accuracy" else metric(records, results, options.metric)
    timed = any(record.has_processor_seconds() for record in records)
    parts = [render.table(table, metric=options.metric, markdown=options.markdown, processor_time=timed)]
    without = table[table["mean"].isna()]
    if not without.empty:
        parts.append(
            f"{len(without)} of {len(table)} rows are without it, their predictions are not in "
            f"{results / 'predictions'}: repeat the run that made them, with require_predictions=true"
        )
    if "segmentation" in tables and options.metric == "accuracy":
        parts = [segmentation.table(tables["segmentation"], markdown=options.markdown)]
        parts.append(segmentation.comparisons(tables["segmentation_comparisons"], markdown=options.markdown))
    elif not tables["summary"].empty and options.metric == "accuracy":
        parts.append(render.summary(tables["summary"], markdown=options.markdown))
    if not tables["status"].empty:
        parts.append(render.status(tables["status"], markdown=options.markdown))
    try:
        note = write_if_writable(results, records, tables)
    finally:
        exit_codes.show("\n\n".join(filter(None, parts)))
    if note:
        exit_codes.complain(note)
    return exit_codes.OK


if __name__ == "__main__":
    raise SystemExit(main())
