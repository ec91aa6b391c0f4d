"""A page is one HTML file, which the browser lets load nothing and run only its own script.

The text of a page stands in templates/: page.html is the whole, pieces.html holds tables and figures, and each section
has a file of its own. What a template receives is escaped as it is written, but for charts, which are SVG of ours. The
style sheet is page.css and the script page.js, both of which stand in the page itself; without the script everything
can be read, with it tables sort and other data can be chosen and copied.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsfcn.common.text import spreadsheet_text
from tsfcn.report.svg import cleaned

if TYPE_CHECKING:
    import jinja2

FIRST_LINE = "<!doctype html><!-- tsfcn report: written from records by `tsfcn report`; do not edit -->"  # of page.html
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Cells:
    """A column of a table: what is shown, the value that it sorts by, and a second line."""

    title: str
    texts: Sequence[str]
    number: bool = False
    values: Sequence[float] = ()  # where the text does not begin with its number
    second_title: str = ""
    second_texts: Sequence[str] = field(default=())
    choice: bool = False  # page.js lets one choose among its texts, in a filtered table

    @property
    def filled(self) -> bool:
        """Whether there is something in it; a table leaves out the others."""
        return any(self.texts) or self.has_second

    @property
    def has_second(self) -> bool:
        """Whether a row has a second line."""
        return any(self.second_texts)

    def second(self, row: int) -> str:
        """Return the second line of a row, '' where it has none."""
        return self.second_texts[row] if len(self.second_texts) > 0 else ""

    def sort_key(self, row: int) -> str:
        """Return the value that a row sorts by, '' where it sorts by its text."""
        return f"{self.values[row]:.6g}" if len(self.values) > 0 and not math.isnan(self.values[row]) else ""


@dataclass(frozen=True)
class Chart:
    """A chart as SVG text with its data as CSV, and the SVG that stands in its place on a narrow screen."""

    svg: str
    data: str
    narrow_svg: str = ""


@dataclass(frozen=True)
class Section:
    """A section of a page: its anchor, its title, and what templates/IDENT.html shows of it, as `content`."""

    ident: str
    title: str
    content: Mapping[str, Any]


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV; None and NaN become nothing."""

    def cell(value: object) -> object:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        return f"{value:.6g}" if isinstance(value, float) else spreadsheet_text(cleaned(value))

    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *([cell(value) for value in row] for row in rows)])
    return out.getvalue()


@cache
def environment() -> jinja2.Environment:
    """Return what renders the templates: text is cleaned and escaped, and an unknown name is an error."""
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
    # The filter tojson writes ASCII in which no sign can end a script element or begin a comment.
    env.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return env


def document(summary: str, sections: Sequence[Section], data: object) -> str:
    """Return a page.

    summary: the first sentence at its top.
    sections: in their order.
    data: what page.js draws from, written as JSON.
    """
    style, script = ((TEMPLATES.parent / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))

    def sha256(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return (
        environment()
        .get_template("page.html")
        .render(
            summary=summary,
            sections=sections,
            data=data,
            style=style,
            style_hash=sha256(style),
            script=script,
            script_hash=sha256(script),
        )
    )
