"""The HTML page of a results folder as an object: `tsfcn.report("results")`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tsfcn.analysis import tables
from tsfcn.common import files
from tsfcn.common.arguments import expand_home, path
from tsfcn.report import page


@dataclass(frozen=True, repr=False)
class ReportDocument:
    """An HTML page that was written."""

    path: Path
    html: str
    n_records: int  # records of the results folder that the page is made from

    def __repr__(self) -> str:
        """Return where the page is and how many records it shows."""
        return f"<tsfcn report of {self.n_records} records: {self.path}>"


def report(results: str | Path = "results", *columns: str, out: str | Path | None = None) -> ReportDocument:
    """Write the HTML page of a results folder and return it.

    results: the folder. columns: further columns to rank and compare, as for `tsfcn compare`; by default the published
    column that each of ours is compared with. out: the file to write, by default RESULTS/report.html.
    Raises UserError if there are no records, for a column that does not exist, and if the file cannot be written.
    """
    folder = path(str(results))
    target = folder / "report.html" if out is None else path(str(out))
    page.check(target)
    records = tables.read(folder)
    html = page.report(folder, list(map(expand_home, columns)), records)
    files.write_output(target, lambda file: file.write(html.encode()))
    return ReportDocument(target, html, len(records))
