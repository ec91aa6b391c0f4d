"""The page of an ablation."""

from __future__ import annotations

from dataclasses import replace

from tests.records import record
from tsfcn.analysis.ablation import DatasetEffects, Variant, effects, over_datasets
from tsfcn.data import published
from tsfcn.report.ablation import page, page_over_datasets


def test_page_lists_effects_by_size_and_groups_them_by_outcome() -> None:
    base = [record("ItalyPowerDemand", seed=s, accuracy=0.96, n_test=1029) for s in range(3)]
    changed = [
        (Variant("batch", "a", ("x=1",)), [0.90, 0.901, 0.902]),
        (Variant("batch", "b", ("x=2",)), [0.961, 0.96, 0.959]),
        (Variant("selection", "c", ("x=3",)), [0.9]),
    ]
    figure = published.beside("fawaz2019", "fcn", "ItalyPowerDemand")
    one = replace(base[0], batch=6, n_train=67)
    text = page("Title", DatasetEffects("ItalyPowerDemand", one, effects(base, changed, figure), figure), "the command")
    assert text.startswith("# Title\n\n- As the protocol has it: 0.9600 ± 0.0000 over 3 seeds, batches of 6 of 67 ")
    assert "- Published: 0.9629 ± 0.0013 (fawaz2019_ucr128, 5 runs): equivalent." in text
    assert "- Moves the number: batch (a, -0.0590)." in text
    assert "- Not shown either way: selection (c, -0.0600)." in text
    assert "- Does not matter: batch (b, +0.0000)." in text
    rows = [line.split("|")[2].strip() for line in text.splitlines() if line.startswith("| ")]
    assert rows[2:] == ["as the protocol has it", "c", "a", "b"]
    assert text.endswith("```sh\nthe command\n```\n")


def test_page_without_a_published_figure_says_so() -> None:
    base = [record("ItalyPowerDemand", accuracy=0.96, n_test=1029)]
    one = replace(base[0], batch=64, n_train=20)
    text = page("Title", DatasetEffects("ItalyPowerDemand", one, effects(base, [], None), None), "the command")
    assert (
        "over 1 seed, batches of 20 of 20 training" in text
        and "No published figure is available for comparison." in text
    )


def test_page_over_datasets_has_a_row_for_each_setting_and_names_the_datasets_that_move() -> None:
    found = []
    for name in ("ItalyPowerDemand", "Coffee"):
        base = [record(name, seed=s, accuracy=0.96, n_test=1029) for s in range(3)]
        small, large = Variant("cells", "always 8", cells=8), Variant("batch", "16", ("x=1",), here="16 instead of 67")
        rows = effects(base, [(small, [0.96, 0.961, 0.96]), (large, [0.90, 0.901, 0.902])], None)
        found.append(DatasetEffects(name, base[0], rows, None))
    text = page_over_datasets("Title", over_datasets(found), "the command")
    assert text.startswith(
        "# Title\n\n- As the protocol has it: mean accuracy 0.9600 over ItalyPowerDemand, Coffee.\n\n"
    )
    cells = [[each.strip() for each in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    assert [row[1] for row in cells[2:]] == ["as the protocol has it", "16", "always 8"]
    batch, always_8 = (dict(zip(cells[0], row, strict=True)) for row in cells[3:])
    assert (batch["typical change"], batch["verdict"]) == ("-0.0590", "undecided: fewer than 5 datasets")
    assert (batch["moves"], always_8["moves"]) == ("ItalyPowerDemand, Coffee", "")
    assert text.endswith("```sh\nthe command\n```\n")
