"""Tables as text and as Markdown."""

from __future__ import annotations

from tests.records import record, some_records
from tsfcn.analysis import tables
from tsfcn.data import published
from tsfcn.report import render


def test_render_aligns_columns() -> None:
    lines = render.table(tables.accuracy(some_records())).split("\n\n")[0].splitlines()
    header, rule, *rows = lines
    assert header.split() == [
        "dataset",
        "model",
        "protocol",
        "seeds",
        "accuracy",
        "published",
        "difference",
        "training",
        "marks",
    ]
    edges = [i for i in range(1, len(rule)) if rule[i - 1] == " " and rule[i] == "-"]
    for line in [header, *rows]:
        assert all(line[i - 1 : i] in (" ", "") for i in edges), line  # no cell crosses into the next column
    assert len(rows) == 5
    italy = next(row for row in rows if row.startswith("ItalyPowerDemand"))
    assert "0.9650 ± 0.0071" in italy
    assert "0.9629 ± 0.0013" in italy
    assert "+0.0021" in italy
    assert "20.0 s" in italy
    assert any("5.0 min" in row for row in rows)
    assert any("2.5 h" in row and row.endswith("off-paper") for row in rows)


def test_render_explains_what_occurs_and_nothing_else() -> None:
    legend = render.table(tables.accuracy(some_records())).split("\n\n")[1]
    assert "±: standard deviation over seeds (ddof 1)." in legend
    assert "fawaz2019_ucr128 (mean of 5 runs), karim2019 (single run)" in legend
    assert "*: published figure of Trace (broken" in legend
    assert "off-paper: " in legend
    assert "[...]: " in legend
    assert "TEST-SELECTED" not in legend
    assert "held-out" not in legend
    plain = render.table(tables.accuracy([record("A", accuracy=0.5)]))
    assert len(plain.splitlines()) == 3  # header, rule, row
    assert "difference" not in plain


def test_render_shows_splits_and_held_out_where_there_are_some() -> None:
    text = render.table(tables.accuracy([record(), record(resample=3, accuracy_selected=0.25)]))
    assert "official" in text
    assert "resample 3" in text
    assert "0.2500" in text


def test_markdown_tables_have_one_width_and_no_stray_bar() -> None:
    for text in (
        render.table(tables.accuracy(some_records()), markdown=True).split("\n\n")[0],
        render.summary(tables.summary(some_records()), markdown=True),
        render.status(tables.status(some_records()), markdown=True),
    ):
        lines = text.splitlines()
        assert len({len(line) for line in lines}) == 1
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert r"loss is nan \| epoch \<7> of \_\_init\_\_" in text


def test_a_tiny_negative_difference_has_no_sign_of_its_own() -> None:
    figure = published.beside("fawaz2019", "fcn", "ItalyPowerDemand")
    assert figure is not None
    text = render.table(tables.accuracy([record("ItalyPowerDemand", accuracy=figure.mean - 1e-9)]))
    assert "+0.0000" in text
    assert "-0.0000" not in text


def test_rendering_nothing_says_so() -> None:
    assert "nothing to show" in render.table(tables.accuracy([]))
    assert "nothing to show" in render.summary(tables.summary([]))
    assert "Nothing failed" in render.status(tables.status([]))
