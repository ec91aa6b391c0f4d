"""A page is one HTML file: its pieces, and the whole, which the browser lets load nothing and run only its own script.

Whatever is given as text is escaped here. The style sheet is page.css and the script page.js, both of which stand in
the page itself; without the script everything can be read, with it tables sort and other data can be chosen and copied.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tsfcn.report.svg import cleaned, escaped

FIRST_LINE = "<!doctype html><!-- tsfcn report: written from records by `tsfcn report`; do not edit -->"


@dataclass(frozen=True)
class Cells:
    """A column of a table: what is shown, the value that it sorts by, and a second line."""

    title: str
    texts: Sequence[str]
    number: bool = False
    values: Sequence[float] = ()  # where the text does not begin with its number
    second: str = ""  # title of the second lines
    seconds: Sequence[str] = field(default=())
    choice: bool = False  # page.js lets one choose among its texts, in a filtered table


def grid(ident: str, caption: str, cells: Iterable[Cells], *, filtered: bool = False) -> str:
    """Return a table; columns with nothing in them are left out. The first column names the row.

    page.js makes the headers sort, and for a filtered one a field that keeps the rows with all words typed.
    """
    shown = [column for column in cells if any(column.texts) or any(column.seconds)]
    head = "".join(
        f'<th scope="col"{" class=n" if c.number else ""}'
        + (f' data-second="{escaped(c.second)}"' if any(c.seconds) else "")
        + (" data-choice" if c.choice else "")
        + f">{escaped(c.title)}</th>"
        for c in shown
    )
    body = []
    for i in range(len(shown[0].texts) if shown else 0):
        line = []
        for j, c in enumerate(shown):
            value = f' data-v="{c.values[i]:.6g}"' if len(c.values) > 0 and not math.isnan(c.values[i]) else ""
            second = f"<small>{escaped(c.seconds[i])}</small>" if len(c.seconds) > 0 and c.seconds[i] else ""
            tag = f'<th scope="row"{value}>' if j == 0 else f"<td{' class=n' if c.number else ''}{value}>"
            line.append(f"{tag}{escaped(c.texts[i])}{second}</{'th' if j == 0 else 'td'}>")
        body.append(f"<tr>{''.join(line)}</tr>")
    kind = "sortable filtered" if filtered else "sortable"
    return (
        f'<div class="box" tabindex="0" role="region" aria-label="{escaped(caption)}">\n'
        f'<table id="{ident}" class="{kind}">\n<caption>{escaped(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(body) + "\n</tbody>\n</table>\n</div>"
    )


def figure(svg: str, caption: str, data: str, *, kind: str = "") -> str:
    """Return a chart with its caption and its data as CSV, which page.js lets one copy."""
    return (
        f'<figure{f" class={kind}" if kind else ""}>\n<div class="box" tabindex="0" role="group" '
        f'aria-label="{escaped(caption)}">\n{svg}\n</div>\n<figcaption>{escaped(caption)}</figcaption>\n'
        f'<div class="tools"><details class="data"><summary>Data as CSV</summary><pre>{escaped(data)}</pre></details>'
        "</div>\n</figure>"
    )


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV; None and NaN become nothing."""

    def cell(value: object) -> object:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        return f"{value:.6g}" if isinstance(value, float) else cleaned(value)

    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *([cell(value) for value in row] for row in rows)])
    return out.getvalue()


def embedded(data: object) -> str:
    """Return data as JSON that may stand in a script element: no sign of it can end the element or begin a comment."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # ASCII: U+2028 is escaped as well
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def paragraphs(*texts: str) -> str:
    """Return each text that is not empty as a paragraph."""
    return "\n".join(f"<p>{escaped(text)}</p>" for text in texts if text)


def items(texts: Iterable[str]) -> str:
    """Return texts as a list."""
    return "<ul>\n" + "\n".join(f"<li>{escaped(text)}</li>" for text in texts) + "\n</ul>"


def document(said: str, sections: Sequence[tuple[str, str, str]], data: object) -> str:
    """Return the page: said is the text at its top; sections are (id, title, HTML); data is what page.js draws from."""
    here = Path(__file__).parent
    style, script = ((here / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))

    def allowed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    policy = f"default-src 'none'; style-src {allowed(style)}; script-src {allowed(script)}"
    links = "\n".join(f'<li><a href="#{ident}">{escaped(title)}</a></li>' for ident, title, _ in sections)
    parts = "\n".join(
        f'<section id="{ident}">\n<h2>{escaped(title)}</h2>\n{text}\n</section>' for ident, title, text in sections
    )
    return f"""{FIRST_LINE}
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>tsfcn report</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>tsfcn report</h1>
<p>{escaped(said)} Every number comes from the records. Accuracies are fractions; the test set is looked at once,
after training, unless a row is marked.</p>
<nav aria-label="Contents"><ul>
{links}
</ul></nav>
</header>
<main>
{parts}
</main>
<p id="live" class="hidden" role="status" aria-live="polite"></p>
<script type="application/json" id="data">{embedded(data)}</script>
<script>{script}</script>
</body>
</html>
"""
