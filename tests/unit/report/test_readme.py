"""The README.md of a results folder."""

from __future__ import annotations

import re
from pathlib import Path

from tests.records import record, save, some_records
from tsfcn.report import results_folder


def test_readme_has_all_sections(tmp_path: Path) -> None:
    results = save(tmp_path, *some_records(), record("Coffee", resample=1, accuracy=0.125))
    (results / "commands.txt").write_text("tsfcn run dataset=small\n\ntsfcn run model=alstm_fcn seeds=2\n")
    results_folder.write(results)
    text = (results / "README.md").read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# Results",
        "## Compared with the papers",
        "## Summary",
        "## Accuracy",
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
    assert "`predictions/`" not in text  # this folder has none
    assert str(tmp_path) not in text
    assert text.endswith(".\n")


def test_readme_compares_with_the_papers_by_hand(tmp_path: Path) -> None:
    results_folder.write(
        save(tmp_path, record("ItalyPowerDemand", accuracy=0.942877), record("GunPoint", accuracy=0.99))
    )
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    section = text.split("## Compared with the papers\n\n")[1].split("\n\n")[0]
    cells = [cell.strip() for cell in section.splitlines()[2].strip("|").split("|")]
    # ours 0.942877 and 0.99, published 0.962877 and 1: differences -0.02 and -0.01
    assert cells == [
        "fcn",
        "fawaz2019",
        "fawaz2019_ucr128",
        "2",
        "-0.0172",  # the median of -0.02, -0.01 and their mean weighted by 1 / standard error
        "undecided: fewer than 5 datasets",
        "0.9664",
        "0.9814",
        "-0.0150",
        "-0.0200 (ItalyPowerDemand)",
    ]


def test_readme_counts_what_the_data_policies_changed(tmp_path: Path) -> None:
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
