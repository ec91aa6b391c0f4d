"""The summary files of a results folder: results/tables/*.csv and results/README.md."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from tsfcn.analysis import segmentation
from tsfcn.analysis.tables import accuracy, ok_rows, read, status, summary, verdicts, wide
from tsfcn.common import files
from tsfcn.common.errors import UserError
from tsfcn.common.text import spreadsheet_text
from tsfcn.data import published
from tsfcn.jobs.record import Record
from tsfcn.report import readme


class ReadOnly(UserError):
    """The permissions or the file system of a results folder do not allow to write to it."""


def _csv(table: pd.DataFrame) -> str:
    """Return a table as CSV in fixed formats: fractions '%.6f', seconds '%.1f', '' for a missing value."""
    texts = {}
    for column in table.columns:
        digits = 1 if str(column).endswith("_seconds") else 6
        if pd.api.types.is_float_dtype(table[column].dtype):
            texts[column] = ["" if pd.isna(v) else f"{round(v, digits) + 0.0:.{digits}f}" for v in table[column]]
        else:
            texts[column] = ["" if pd.isna(v) else spreadsheet_text(str(v)) for v in table[column]]
    frame = pd.DataFrame(texts, columns=table.columns, dtype="str")
    return str(frame.rename(columns=spreadsheet_text).to_csv(index=False, lineterminator="\n"))


def _replace(path: Path, data: bytes) -> None:
    files.replace(path, lambda file: file.write(data))


def tables_of(records: list[Record]) -> dict[str, pd.DataFrame]:
    """Return the tables of results/tables by name. Raises UserError where records mix experiments under one name."""
    rows = ok_rows(records)
    table = accuracy(rows)
    tables = {"accuracy": table, "accuracy_wide": wide(table), "verdicts": verdicts(table, published.pools())}
    tables |= {"summary": summary(rows), "status": status(records)}
    if segmentation.of_segmentation(records):
        dense = segmentation.table(records)
        tables |= {"segmentation": dense, "segmentation_comparisons": segmentation.comparisons(records)}
    return tables


def write(results: Path, records: list[Record] | None = None, tables: Mapping[str, pd.DataFrame] | None = None) -> None:
    """Write the CSV files of results/tables and results/README.md from results/records.

    Each file is replaced atomically. The same records and commands.txt give the same bytes.

    Args:
        results: the folder.
        records: those of the folder, if they have been read already.
        tables: those of these records, if they have been made already.

    Raises:
        UserError: there are no records, they mix experiments under one name (nothing is written then), README.md is not
            a file of tsfcn's, or a file cannot be written.
    """
    records = read(results) if records is None else records
    tables = tables_of(records) if tables is None else tables
    check_page(results)
    ok = [record for record in records if record.is_ok]
    texts = {results / "tables" / f"{name}.csv": _csv(frame) for name, frame in tables.items()}
    texts[results / "README.md"] = readme.readme(results, ok, tables)  # last, because it refers to the tables
    try:
        for path, text in texts.items():
            _replace(path, text.encode())
    except OSError as error:
        kind = ReadOnly if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else UserError
        problem = f"results folder '{results}' is not writable ({error.strerror}): check its permissions and the disk"
        raise kind(problem) from error


def write_table(results: Path, name: str, table: pd.DataFrame) -> str:
    """Write tables/NAME.csv of a results folder; return '', or one line that says why it was not written."""
    path = results / "tables" / f"{name}.csv"
    try:
        _replace(path, _csv(table).encode())
    except OSError as error:
        return f"not written: {path}, since it is not writable ({error.strerror})"
    return ""


def write_if_writable(
    results: Path, records: list[Record] | None = None, tables: Mapping[str, pd.DataFrame] | None = None
) -> str:
    """Write the files as `write` does; return '', or for a read-only folder one line that says what was not written.

    Raises UserError as `write` does, but not for a read-only folder: its tables can be printed all the same.
    """
    try:
        write(results, records, tables)
    except ReadOnly as error:
        return f"not written: {results / 'tables'} and README.md, since {error}"
    return ""


def check_page(results: Path) -> None:
    """Raise UserError if results/README.md was not written by tsfcn, since writing the tables would replace it."""
    page = results / "README.md"
    if page.is_file() and not page.read_text(encoding="utf-8", errors="replace").startswith(readme.TITLE):
        raise UserError(f"'{page}' is not a page of tsfcn's and would be replaced: use another results folder")
