"""Pieces of HTML: escaped, sortable, and nothing that loads."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

from tsfcn.report import html
from tsfcn.report.html import FIRST_LINE, Cells, csv_text, document, embedded, figure, grid, items, paragraphs

HOSTILE = '</script><script>alert(1)</script><!--<b onload="x">\'&amp;'


def test_embedded_json_cannot_end_its_element() -> None:
    data = {"name": HOSTILE, "line": "\u2028"}
    text = embedded(data)
    assert not re.search(r"[<>&\u2028]", text)
    assert json.loads(text) == data


def test_pieces_escape() -> None:
    made = [
        grid("t", HOSTILE, [Cells(HOSTILE, [HOSTILE], second=HOSTILE, seconds=[HOSTILE])], filtered=True),
        figure("<svg/>", HOSTILE, csv_text([HOSTILE], [[HOSTILE]])),
        paragraphs(HOSTILE),
        items([HOSTILE]),
        document(HOSTILE, [("a", HOSTILE, "")], HOSTILE),
    ]
    for text in made:
        assert "<script>alert" not in text and "<b onload" not in text


def test_table_leaves_out_what_is_empty_and_sorts_by_the_number_behind_a_text() -> None:
    cells = [
        Cells("dataset", ["A", "B"]),
        Cells("nothing", ["", ""]),
        Cells("time", ["2.0 min", "90.0 s"], True, values=[120, 90]),
        Cells("accuracy", ["0.9", "0.8"], True, second="over seeds", seconds=["± 0.1", ""]),
    ]
    made = grid("t", "Caption", cells)
    assert "nothing" not in made and made.count("<small>") == 1
    assert '<td class=n data-v="120">2.0 min</td>' in made and 'data-second="over seeds"' in made
    assert made.count('<th scope="row">') == 2 and made.count('<th scope="col"') == 3


def test_csv_text() -> None:
    written = csv_text(["a", "b"], [["x,y", 0.1 + 0.2], [None, float("nan")], ['"', 3]])
    assert written == 'a,b\n"x,y",0.3\n,\n"""",3\n'


def test_policy_allows_the_page_its_own_script_and_style_alone() -> None:
    made = document("said", [], {})
    assert made.startswith(FIRST_LINE)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', made)
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", made, flags=re.DOTALL)
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

    def tinted(colour: str, ground: str) -> str:  # as strong as a cell of the matrix gets
        mixed = (round(0.3 * int(colour[i : i + 2], 16) + 0.7 * int(ground[i : i + 2], 16)) for i in (1, 3, 5))
        return "#" + "".join(f"{value:02x}" for value in mixed)

    for of in schemes:
        for ground in ("page", "band"):
            assert all(contrast(of[text], of[ground]) >= 4.5 for text in ("ink", "soft", "link"))
        assert all(contrast(of["ink"], tinted(of[side], of["page"])) >= 4.5 for side in ("up", "down"))
        assert all(contrast(of[f"c{i}"], of["page"]) >= 3 for i in range(6)), "marks of charts"
