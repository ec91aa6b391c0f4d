"""HTML: escaped, sortable, and without anything that loads."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import unescape
from pathlib import Path

import jinja2
import pytest

from tsfcn.report import html
from tsfcn.report.html import FIRST_LINE, TEMPLATES, Chart, Section, TableColumn, csv_text, document, environment

HOSTILE = '</script><script>alert(1)</script><!--<b onload="x">\'&amp;'


def rendered(source: str, **values: object) -> str:
    """Return a rendered template that can use the macros of pieces.html."""
    return environment().from_string(f'{{% import "pieces.html" as pieces %}}{source}').render(**values)


def grid(ident: str, caption: str, columns: list[TableColumn]) -> str:
    return rendered("{{ pieces.grid(i, c, columns, filtered=true) }}", i=ident, c=caption, columns=columns)


def figure(chart: Chart, caption: str) -> str:
    return rendered("{% call pieces.figure(chart) %}{{ caption }}{% endcall %}", chart=chart, caption=caption)


def test_embedded_json_cannot_end_its_element() -> None:
    data = {"name": HOSTILE, "line": "\u2028", HOSTILE: ['Coffee & "Cake"', 0.1, None]}
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', document("", [], data))
    assert not re.search(r"[<>&'\u2028]", text)
    assert json.loads(text) == data
    with pytest.raises(ValueError, match="not JSON compliant"):
        document("", [], float("nan"))


def test_pieces_escape() -> None:
    chart = Chart("<svg/>", csv_text([HOSTILE], [[HOSTILE]]))
    pages = {
        "grid": grid("t", HOSTILE, [TableColumn(HOSTILE, [HOSTILE], second_title=HOSTILE, second_texts=[HOSTILE])]),
        "figure": figure(chart, HOSTILE),
        "items": rendered("{{ pieces.items(texts) }}", texts=[HOSTILE]),
        "document": document(HOSTILE, [Section("failures", HOSTILE, {"rows": []})], HOSTILE),
    }
    for name, text in pages.items():
        assert "<script>alert" not in text and "<b onload" not in text, name
        assert HOSTILE in unescape(text), name
    assert "<svg/>" in pages["figure"]


def test_text_that_a_page_cannot_hold_is_replaced() -> None:
    assert rendered("{{ text }}", text="a\x00\u202eb<") == "a\ufffd\ufffdb&lt;"


def test_only_charts_style_and_script_are_written_as_they_are() -> None:
    written = {path.name: re.findall(r"[\w.]+ \| safe", path.read_text("utf-8")) for path in TEMPLATES.glob("*.html")}
    assert {name: texts for name, texts in written.items() if texts} == {
        "page.html": ["style | safe", "script | safe"],
        "pieces.html": ["chart.svg | safe", "chart.narrow_svg | safe", "chart.svg | safe"],
    }
    assert not any("autoescape" in path.read_text("utf-8") for path in TEMPLATES.glob("*.html"))


def test_name_that_a_template_does_not_have_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="rows"):
        document("", [Section("failures", "Failures", {})], {})


def test_table_leaves_out_what_is_empty_and_sorts_by_the_number_behind_a_text() -> None:
    cells = [
        TableColumn("dataset", ["A", "B"]),
        TableColumn("nothing", ["", ""]),
        TableColumn("time", ["2.0 min", "90.0 s"], is_numeric=True, values=[120, 90]),
        TableColumn("accuracy", ["0.9", "0.8"], is_numeric=True, second_title="over seeds", second_texts=["± 0.1", ""]),
    ]
    table = grid("t", "Caption", cells)
    assert "nothing" not in table and table.count("<small>") == 1
    assert '<td class="n" data-v="120">2.0 min</td>' in table and 'data-second="over seeds"' in table
    assert table.count('<th scope="row">') == 2 and table.count('<th scope="col"') == 3


def test_caption_is_one_line_and_the_name_of_the_chart() -> None:
    text = figure(Chart("<svg/>", "a\n1\n"), "Two\nlines & more")
    assert 'aria-label="Two lines &amp; more"' in text and "<figcaption>Two lines &amp; more</figcaption>" in text
    assert "<pre>a\n1\n</pre>" in text and "broad" not in text
    text = figure(Chart("<svg/>", "", narrow_svg="<svg id='n'/>"), "Both")
    assert '<div class="broad"><svg/></div>\n<div class="narrow"><svg id=\'n\'/></div>' in text


def test_csv_text() -> None:
    written = csv_text(["a", "b"], [["x,y", 0.1 + 0.2], [None, float("nan")], ['"', 3]])
    assert written == 'a,b\n"x,y",0.3\n,\n"""",3\n'


def test_policy_allows_the_page_its_own_script_and_style_alone() -> None:
    page = document("summary", [], {})
    assert page.startswith(f"{FIRST_LINE}\n")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
        assert "\r" not in text and "</" not in text.replace("/<", "")


def test_text_contrasts_with_what_it_stands_on() -> None:
    style = (Path(html.__file__).parent / "page.css").read_text(encoding="utf-8")
    schemes = [dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in style.split("@media screen and")[:2]]
    assert len(schemes) == 2 and schemes[0] != schemes[1]

    def luminance(colour: str) -> float:
        shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(first: str, second: str) -> float:
        low, high = sorted((luminance(first), luminance(second)))
        return (high + 0.05) / (low + 0.05)

    def tinted(colour: str, ground: str) -> str:  # as strong as the tint of a cell of the matrix can be
        mixed = (round(0.3 * int(colour[i : i + 2], 16) + 0.7 * int(ground[i : i + 2], 16)) for i in (1, 3, 5))
        return "#" + "".join(f"{value:02x}" for value in mixed)

    for of in schemes:
        for ground in ("page", "band"):
            assert all(contrast(of[text], of[ground]) >= 4.5 for text in ("ink", "soft", "link"))
        assert all(contrast(of["ink"], tinted(of[side], of["page"])) >= 4.5 for side in ("up", "down"))
        assert all(contrast(of[f"c{i}"], of["page"]) >= 3 for i in range(6)), "marks of charts"
