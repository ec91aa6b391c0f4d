"""One HTML file for a page, which loads nothing and runs only its own script.

The text of a page is in templates/: page.html is the frame, pieces.html has tables and figures, and each section has a
file of its own. Templates escape everything that they receive, except charts, which are SVG written by this package.
The style sheet page.css and the script page.js are embedded in the page. Without the script everything is readable;
with it tables can be sorted, other data chosen, and data copied.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsfcn.common.text import spreadsheet_text
from tsfcn.report.svg import cleaned

if TYPE_CHECKING:
    import jinja2

FIRST_LINE = "<!doctype html><!-- tsfcn report: written from records by `tsfcn report`; do not edit -->"  # of page.html
TEMPLATES = Path(__file__).parent / "templates"

Content = dict[str, Any]  # what the template of a section shows, by the names that it uses


@dataclass(frozen=True)
class TableColumn:
    """A column of a table: for each row a text, the value that it sorts by, and a second line."""

    title: str
    texts: Sequence[str]
    is_numeric: bool = False
    values: Sequence[float] = ()  # to sort by, where the text does not begin with its number
    second_title: str = ""
    second_texts: Sequence[str] = ()
    is_filter: bool = False  # page.js adds a menu of its texts to a table with filters

    @property
    def has_content(self) -> bool:
        """Whether any cell has a text; a table omits the other columns."""
        return any(self.texts) or self.has_second_line

    @property
    def has_second_line(self) -> bool:
        """Whether any cell has a second line."""
        return any(self.second_texts)

    def second_line(self, row: int) -> str:
        """Return the second line of a cell, '' where it has none."""
        return self.second_texts[row] if len(self.second_texts) > 0 else ""

    def sort_key(self, row: int) -> str:
        """Return the value that a row sorts by, '' where it sorts by its text."""
        return f"{self.values[row]:.6g}" if len(self.values) > 0 and not math.isnan(self.values[row]) else ""


@dataclass(frozen=True)
class Chart:
    """A chart as SVG, its data as CSV, and the SVG that replaces it on a narrow screen."""

    svg: str
    data: str
    narrow_svg: str = ""


@dataclass(frozen=True)
class Section:
    """A section of a page: its anchor `ident`, its title, and the `content` that templates/IDENT.html shows."""

    ident: str
    title: str
    content: Content


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV, with empty cells for None and NaN."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *([_csv_cell(value) for value in row] for row in rows)])
    return out.getvalue()


def _csv_cell(value: object) -> object:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else spreadsheet_text(cleaned(value))


@cache
def environment() -> jinja2.Environment:
    """Return the environment of the templates: text is cleaned and escaped, and an undefined name is an error."""
    import jinja2

    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if hasattr(value, "__html__") else cleaned(value),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # The filter tojson writes ASCII in which no character can end a script element or begin a comment.
    env.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return env


def document(summary: str, sections: Sequence[Section], data: object) -> str:
    """Return a page as HTML.

    Args:
        summary: the first sentence of the page.
        sections: in their order.
        data: the data that page.js draws from, embedded as JSON.
    """
    style, script = ((TEMPLATES.parent / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        environment()
        .get_template("page.html")
        .render(
            summary=summary,
            sections=sections,
            data=data,
            style=style,
            style_hash=_sha256(style),
            script=script,
            script_hash=_sha256(script),
        )
    )


def picture(svg: str) -> str:
    """Return a chart as an SVG file of its own, with the style sheet of the page and its background."""
    style = (TEMPLATES.parent / "page.css").read_text(encoding="utf-8")
    start, rest = svg.split("\n", 1)
    head = start.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" ', 1)
    background = '<rect width="100%" height="100%" fill="var(--page)"/>'
    return f"{head}\n<style>{style}</style>\n{background}\n{rest}\n"


def _sha256(text: str) -> str:
    """Return a hash as a Content-Security-Policy has it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
