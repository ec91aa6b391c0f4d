"""The material of a report: which columns are ranked together, and how curves are thinned."""

from __future__ import annotations

from typing import Any

import pytest

from tests.records import record
from tsfcn.analysis import tables
from tsfcn.analysis.choice import datasets_needed
from tsfcn.analysis.columns import Cell, Column, Place
from tsfcn.common.errors import UserError
from tsfcn.report.collect import (
    CURVE_POINTS,
    choose,
    learning_curves,
    published_columns,
    with_unique_names,
)


def column(name: str, first: int, last: int, marks: str = "", origin: str = "file.csv") -> Column:
    """Return a column of the datasets numbered from first to last."""
    return Column(name, origin, {Place(f"D{i:03}", "ucr2018"): Cell(0.5) for i in range(first, last)}, marks)


def ranked(*groups: list[Column]) -> list[str]:
    return [c.name for c in choose(groups[0], groups[1] if len(groups) > 1 else []).ranked]


def test_columns_on_the_same_datasets_are_all_ranked() -> None:
    assert ranked([column("a", 0, 3), column("b", 0, 3)], [column("c", 0, 3)]) == ["a", "b", "c"]


def test_columns_with_few_datasets_are_left_out_and_named() -> None:
    chosen = choose([column("a", 0, 30), column("b", 0, 3)], [column("c", 0, 128)])
    assert [c.name for c in chosen.ranked] == ["a", "c"]
    assert chosen.left_out == (
        ("b", "only 3 datasets would remain in common, 6 are needed to show a difference"),
    )  # fmt: skip


def test_as_in_the_committed_results_all_of_ours_stay_before_papers() -> None:
    ours = [column("fcn", 0, 30), column("lstm", 0, 10), column("alstm", 0, 10)]
    chosen = choose(ours, [column("paper/fcn", 0, 128), column("paper/lstm", 3, 71)])
    assert [c.name for c in chosen.ranked] == ["fcn", "lstm", "alstm", "paper/fcn"]
    assert (
        chosen.left_out[0][0] == "paper/lstm"
        and "7 datasets would remain in common, 9 are needed" in chosen.left_out[0][1]
    )


def test_what_was_selected_on_the_test_set_is_never_ranked() -> None:
    chosen = choose([column("a", 0, 9), column("b", 0, 9, "TEST-SELECTED")], [column("c", 0, 9)])
    assert [c.name for c in chosen.ranked] == ["a", "c"]
    assert chosen.left_out == (("b", "TEST-SELECTED: its accuracy is an upper bound"),)


def test_nothing_in_common() -> None:
    assert ranked([column("a", 0, 5)], [column("b", 5, 10)]) == ["a"]
    assert ranked([]) == []
    assert ranked([column("none", 0, 0), column("a", 0, 5)]) == ["a"]


@pytest.mark.parametrize("n_columns", [2, 3, 4, 8, 13])
def test_datasets_needed_are_the_fewest_that_can_differ(n_columns: int) -> None:
    n_pairs, m = n_columns * (n_columns - 1) / 2, datasets_needed(n_columns)
    assert 2.0 ** (1 - m) * n_pairs < 0.05 <= 2.0 ** (2 - m) * n_pairs


def test_the_published_column_beside_each_of_ours() -> None:
    wang: dict[str, Any] = {"protocol": "wang2017", "model": "fcn"}
    rows = tables.accuracy([record("Coffee"), record("Coffee", **wang), record("Meat", **wang)]).to_dict("records")
    # Coffee is in both tables of Wang et al.; the one with more datasets is taken.
    assert [c.name for c in published_columns(rows)] == [
        "fawaz2019_ucr128/fcn",
        "wang2017_readme85/fcn",
        "fawaz2019+poolparty2025/fcn",
    ]
    assert published_columns(tables.accuracy([record("Coffee", off_paper=True)]).to_dict("records")) == []


def test_no_path_gets_into_a_name() -> None:
    ours = [column("fcn", 0, 3, origin="results")]
    (other,) = with_unique_names(ours, [column("fcn", 0, 3, origin="/home/somebody/theirs.csv")])
    assert other.name == "theirs.csv: fcn"
    (other,) = with_unique_names(ours, [column("/home/somebody/x:net", 0, 3, origin="/home/somebody/x")])
    assert other.name == "net"
    twice = column("fcn", 0, 3, origin="a/x.csv"), column("fcn", 0, 3, origin="b/x.csv")
    with pytest.raises(UserError, match=r"column 'x\.csv: fcn' is named twice"):
        with_unique_names(ours, twice)


def test_curves_keep_their_ends_and_the_epoch_that_was_kept() -> None:
    epochs = [*range(1, 2000, 10), 1995, 2000]
    curve = {"epoch": epochs, "loss": [1 / e for e in epochs], "lr": [0.001] * len(epochs)}
    (one,) = learning_curves([record(curve=curve, best_epoch=1995)])
    assert (one.epochs[0], one.epochs[-1], len(one.epochs)) == (1, 2000, 60)
    assert one.best == (1995, 0.000501) and one.losses[0] == 1.0
    many = learning_curves([record(seed=i, curve=curve, best_epoch=1995) for i in range(5000)])
    assert sum(len(t.epochs) for t in many) <= CURVE_POINTS
    assert many[0].epochs[0] == 1 and many[0].epochs[-1] == 2000


@pytest.mark.parametrize("curve", [None, {}, {"epoch": [], "loss": [], "lr": []}])
def test_records_without_a_curve(curve: object) -> None:
    assert learning_curves([record(curve=curve)]) == []


def test_a_curve_of_one_epoch() -> None:
    (one,) = learning_curves([record(curve={"epoch": [1], "loss": [0.5], "lr": [0.1]}, best_epoch=1)])
    assert one.epochs == (1,) and one.best == (1, 0.5)
