"""The files that sum a results folder up: results/tables/*.csv and results/README.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tsfcn.analysis.tables import accuracy, in_order, read, status, summary, verdicts, wide
from tsfcn.common import files
from tsfcn.common.errors import UserError
from tsfcn.jobs.record import Record
from tsfcn.report import render


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


def write(results: Path, records: list[Record] | None = None) -> None:
    """Write the CSV files of results/tables and results/README.md from results/records.

    records: those of the folder, where they have been read already. Each file is replaced at once; the same records and
    commands.txt give the same bytes. Raises UserError if there are no records, if they mix experiments under one name
    (before anything is written), or if a file cannot be written.
    """
    records = read(results) if records is None else records
    table = accuracy(records)
    tables = {"accuracy": table, "accuracy_wide": wide(table), "verdicts": verdicts(table)}
    tables |= {"summary": summary(records), "status": status(records)}
    check_page(results)
    done = in_order(record for record in records if record.is_ok)
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
