"""Tables as text, and the page of a results folder."""

from __future__ import annotations

import re
from pathlib import Path

from tests.records import record, save, some_records
from tsfcn.analysis import tables
from tsfcn.data import published
from tsfcn.report import render, results_folder


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


def test_readme_tells_the_whole_story(tmp_path: Path) -> None:
    results = save(tmp_path, *some_records(), record("Coffee", resample=1, accuracy=0.125))
    (results / "commands.txt").write_text("tsfcn run dataset=small\n\ntsfcn run model=alstm_fcn seeds=2\n")
    results_folder.write(results)
    text = (results / "README.md").read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# Results",
        "## Summary",
        "## Accuracy",
        "## Beside the papers",
        "## Marks",
        "## Failed and skipped",
        "## Commands",
        "## Provenance",
        "## Files",
    ]
    assert "7 jobs ok, 1 failed, 1 skipped; 3 datasets; 2.60 hours of training." in text
    assert "```sh\ntsfcn run dataset=small\ntsfcn run model=alstm_fcn seeds=2\n```" in text
    assert "1 row of resampled splits: see `tables/accuracy.csv`." in text
    assert "torch 2.13.0" in text
    assert "0123abc (7 jobs)" in text
    assert "| A processor | cpu" in text
    assert "2026-01-01 to 2026-01-02" in text
    assert "loss is nan" in text
    assert "set archive.root" in text
    assert "fawaz2019_ucr128`: Fawaz" in text
    assert "`commands.txt`" in text
    assert "`predictions/`" not in text  # there are none here
    assert str(tmp_path) not in text
    assert text.endswith(".\n")


def test_readme_compares_with_the_papers_by_hand(tmp_path: Path) -> None:
    results_folder.write(
        save(tmp_path, record("ItalyPowerDemand", accuracy=0.942877), record("GunPoint", accuracy=0.99))
    )
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    section = text.split("## Beside the papers\n\n")[1].split("\n\n")[0]
    cells = [cell.strip() for cell in section.splitlines()[2].strip("|").split("|")]
    # ours 0.942877 and 0.99, theirs 0.962877 and 1: differences -0.02 and -0.01
    assert cells == [
        "fcn",
        "fawaz2019",
        "fawaz2019_ucr128",
        "2",
        "0.9664",
        "0.9814",
        "-0.0150",
        "undecided, 2 more seeds",
        "-0.0200 (ItalyPowerDemand)",
    ]


def test_readme_counts_what_the_data_policies_touched(tmp_path: Path) -> None:
    plaid = [record("PLAID", model=m, n_filled=0, n_padded=9, n_cut=n) for m, n in (("fcn", 0), ("mlp", 4))]
    results_folder.write(save(tmp_path, *plaid, record("Coffee", n_filled=0, n_padded=0, n_cut=0)))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "- cases padded to a common length: PLAID 9\n" in text
    assert "- cases that lost their end: PLAID 4\n" in text
    assert "missing values filled" not in text and "masked" not in text


def test_readme_of_failures_alone(tmp_path: Path) -> None:
    results_folder.write(save(tmp_path, record("Beef", status="skipped", reason="not here")))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "0 jobs ok, 0 failed, 1 skipped" in text
    assert "not here" in text
    assert re.search(r"\bnan\b", text, re.IGNORECASE) is None
