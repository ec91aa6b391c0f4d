"""`python -m tsfcn.table [RESULTS]`, `tsfcn table`: the tables of a results folder, made from its records."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tsfcn import render
from tsfcn.analysis.tables import METRICS, accuracy, in_order, metric, read, status, summary, verdicts, wide
from tsfcn.common import files
from tsfcn.common.errors import UserError
from tsfcn.jobs import store


def _csv(table: pd.DataFrame) -> str:
    """Return a table as CSV with fixed formats: fractions '%.6f', seconds '%.1f', nothing for a missing value."""
    texts = {}
    for column in table.columns:
        digits = 1 if str(column).endswith("_seconds") else 6
        if pd.api.types.is_float_dtype(table[column].dtype):
            texts[column] = ["" if pd.isna(v) else f"{round(v, digits) + 0.0:.{digits}f}" for v in table[column]]
        else:
            texts[column] = ["" if pd.isna(v) else str(v) for v in table[column]]
    return str(pd.DataFrame(texts, columns=table.columns, dtype="str").to_csv(index=False, lineterminator="\n"))


def _replace(path: Path, data: bytes) -> None:
    files.replace(path, lambda file: file.write(data))


def write(results: Path) -> None:
    """Write the CSV files of results/tables and results/README.md from results/records.

    Each file is replaced at once; the same records and commands.txt give the same bytes. Raises UserError if there are
    no records, if they mix experiments under one name (before anything is written), or if a file cannot be written.
    """
    records = read(results)
    table = accuracy(records)
    tables = {"accuracy": table, "accuracy_wide": wide(table), "verdicts": verdicts(table)}
    tables |= {"summary": summary(records), "status": status(records)}
    check_page(results)
    done = in_order(record for record in records if record["status"] == "ok")
    texts = {results / "tables" / f"{name}.csv": _csv(frame) for name, frame in tables.items()}
    texts[results / "README.md"] = render.readme(results, done, tables)  # last: it never speaks of tables not yet there
    try:
        for path, text in texts.items():
            _replace(path, text.encode())
    except OSError as error:
        said = f"results folder '{results}' is not writable ({error.strerror}): check its permissions and the disk"
        raise UserError(said) from error


def check_page(results: Path) -> None:
    """Raise UserError where results/README.md is somebody's own page, which writing the tables would replace."""
    page = results / "README.md"
    if page.is_file() and not page.read_text(encoding="utf-8", errors="replace").startswith(render.TITLE):
        raise UserError(f"'{page}' is not a page of tsfcn's and would be replaced: use another results folder")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the tables of a results folder and print them. Returns 0, or 2 after one line for a user's mistake."""
    parser = argparse.ArgumentParser(
        prog="tsfcn table",
        description="Write RESULTS/tables and RESULTS/README.md from RESULTS/records, and print the tables.",
    )
    parser.add_argument("results", nargs="?", default="results", metavar="RESULTS", help="folder (default: results)")
    parser.add_argument(
        "--metric", choices=METRICS, default="accuracy", help="metric to print; all but accuracy need the predictions"
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    options = parser.parse_args(argv)
    results = Path(options.results)
    try:
        write(results)
        records = read(results)
        table = metric(records, results, options.metric)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    summed, failures = summary(records), status(records)
    timed = any(map(store.has_processor_seconds, records))
    parts = [render.table(table, metric=options.metric, markdown=options.markdown, processor_time=timed)]
    without = table[table["mean"].isna()]
    if not without.empty:
        parts.append(
            f"{len(without)} of {len(table)} rows are without it, their predictions are not in "
            f"{results / 'predictions'}: repeat the run that made them, with require_predictions=true"
        )
    if not summed.empty and options.metric == "accuracy":
        parts.append(render.summary(summed, markdown=options.markdown))
    if not failures.empty:
        parts.append(render.status(failures, markdown=options.markdown))
    try:
        print("\n\n".join(parts), flush=True)
    except BrokenPipeError:  # `tsfcn table | head` has seen enough; nothing may be left for the interpreter to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
