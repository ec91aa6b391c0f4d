"""The summary files of a results folder: results/tables/*.csv and results/README.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tsfcn.analysis.tables import accuracy, in_order, read, status, summary, verdicts, wide
from tsfcn.common import files
from tsfcn.common.errors import UserError
from tsfcn.jobs.record import Record
from tsfcn.report import readme


def _csv(table: pd.DataFrame) -> str:
    """Return a table as CSV in fixed formats: fractions '%.6f', seconds '%.1f', '' for a missing value."""
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

    Each file is replaced atomically. The same records and commands.txt give the same bytes.

    Args:
        results: the folder.
        records: those of the folder, if they have been read already.

    Raises:
        UserError: there are no records, they mix experiments under one name (nothing is written then), README.md is not
            a file of tsfcn's, or a file cannot be written.
    """
    records = read(results) if records is None else records
    table = accuracy(records)
    tables = {"accuracy": table, "accuracy_wide": wide(table), "verdicts": verdicts(table)}
    tables |= {"summary": summary(records), "status": status(records)}
    check_page(results)
    ok = in_order(record for record in records if record.is_ok)
    texts = {results / "tables" / f"{name}.csv": _csv(frame) for name, frame in tables.items()}
    texts[results / "README.md"] = readme.readme(results, ok, tables)  # last, because it refers to the tables
    try:
        for path, text in texts.items():
            _replace(path, text.encode())
    except OSError as error:
        raise UserError(
            f"results folder '{results}' is not writable ({error.strerror}): check its permissions and the disk"
        ) from error


def check_page(results: Path) -> None:
    """Raise UserError if results/README.md was not written by tsfcn, since writing the tables would replace it."""
    page = results / "README.md"
    if page.is_file() and not page.read_text(encoding="utf-8", errors="replace").startswith(readme.TITLE):
        raise UserError(f"'{page}' is not a page of tsfcn's and would be replaced: use another results folder")
