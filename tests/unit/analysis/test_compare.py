"""Columns side by side: what is compared, what is left out and why, and what is written."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.records import PASSPORT, record, save
from tsfcn.analysis import score_columns, stats
from tsfcn.analysis.columns import Cell, Column, Place
from tsfcn.analysis.compare import Comparison, compare, farthest, noise
from tsfcn.common.errors import UserError
from tsfcn.compare import main
from tsfcn.report.comparison import as_csv, as_json, as_latex, text


def compared(*words: str, **options: Any) -> Comparison:
    return compare(score_columns.read(words), **options)


def column(name: str, **accuracies: float) -> Column:
    return Column(name, name, {Place(d, "ucr2018"): Cell(a) for d, a in accuracies.items()})


def test_lstm_fcn_of_2019_beside_wangs_fcn() -> None:
    comparison = compared("published:karim2019/LSTM-FCN", "published:wang2017_readme85/FCN")
    (pair,) = comparison.pairs
    assert (pair.wins, pair.ties, pair.losses) == (40, 4, 41)
    assert (round(pair.test.p, 3), pair.test.method, pair.test.zeros, pair.test.n_zeros) == (0.609, "exact", "pratt", 4)
    assert len(comparison.places) == 85 and not comparison.left_out, "both had the files of 2015"
    assert comparison.mpce == pytest.approx([0.0408, 0.0392], abs=0.5e-4)
    printed = text(comparison)
    assert "better on 40, equal on 4, wang2017_readme85/fcn better on 41." in printed
    assert "p = 0.609 (exact, zero_method=pratt, 4 zeros): no difference shown." in printed
    assert "To be read with care: karim2019/lstm_fcn on Trace (broken: chance level)." in printed
    (pair,) = compared("published:karim2019/LSTM-FCN", "published:wang2017_readme85/FCN", zeros="wilcox").pairs
    assert pair.test.zeros == "wilcox" and pair.test.p != 0.609


def test_karim2019_ranks_with_ties_as_the_paper_ranks_them() -> None:
    comparison = compared("published:karim2019", ties="min", across_splits=True)
    assert [c.name for c in comparison.columns[:2]] == ["karim2019/lstm_fcn", "karim2019/alstm_fcn"]
    assert comparison.mean_ranks[:2].round(4).tolist() == [4.3176, 5.3882]
    assert comparison.mpce[:2].round(4).tolist() == [0.0408, 0.0427]
    assert len(comparison.across) == 14 and len(comparison.places) == 85
    assert "ACROSS SPLITS: 14 datasets differ in their train and test cases" in text(comparison)
    # Left to the datasets with one split, 71 remain, and equal accuracies share their average rank.
    fair = compared("published:karim2019")
    assert len(fair.places) == 71 and fair.across == ()
    (datasets,) = fair.left_out.values()
    assert len(datasets) == 14


def test_swapped_splits_are_left_out_with_their_reason(tmp_path: Path) -> None:
    lstm: dict[str, Any] = {"model": "lstm_fcn", "protocol": "karim2019"}
    results = save(tmp_path, record("Coffee", **lstm), record("FordA", **lstm), record("Chinatown", **lstm))
    words = (str(results), "published:karim2019/lstm_fcn")
    comparison = compared(*words)
    assert [place.dataset for place in comparison.places] == ["Coffee"]
    reasons = {
        tuple(d for d in datasets if d in ("FordA", "Chinatown")): r for r, datasets in comparison.left_out.items()
    }
    assert reasons["FordA",] == "on another split (ucr2015: karim2019/lstm_fcn; ucr2018: lstm_fcn (karim2019))"
    assert reasons["Chinatown",] == "not in karim2019/lstm_fcn"
    assert "archive.split=ucr2015 trains on them" in text(comparison)
    # Trained on the files of 2015, the same dataset compares; and counts once, though ours has both.
    save(tmp_path, record("FordA", group="old", passport=PASSPORT | {"split": "ucr2015"}, **lstm))
    assert [tuple(place) for place in compared(*words).places] == [("Coffee", "ucr2018"), ("FordA", "ucr2015")]
    # An early revision is another place too.
    early = save(tmp_path / "early", record("Coffee", passport=PASSPORT | {"revision": "early"}, **lstm))
    with pytest.raises(UserError, match=r"common datasets of .* are none \(.*1 on another split \(early: "):
        compared(str(early), "published:karim2019/lstm_fcn")


def test_resampled_means_do_not_compare_with_the_official_split() -> None:
    with pytest.raises(UserError, match="112 on another split") as raised:
        compared("published:bakeoff2023/HC2", "published:bakeoff2023_resamples/HC2")
    assert "\n" not in str(raised.value)
    comparison = compared("published:bakeoff2023_resamples/HC2", "published:multirocket2022_resamples/MultiRocket")
    assert {place.split for place in comparison.places} == {"30 resamples"}
    assert {row["noise"] for row in farthest(comparison)} == {"not known: deviations are over splits"}


def test_identical_columns() -> None:
    comparison = compared("published:lite2023/resnet", "published:fawaz2019_ucr128/resnet")
    (pair,) = comparison.pairs
    assert (pair.test.p, pair.ties, pair.difference) == (1.0, 128, 0.0)
    assert "The two columns are identical." in text(comparison)
    assert farthest(comparison) == []


def test_many_columns() -> None:
    words = [f"published:fawaz2019_ucr128/{m}" for m in ("fcn", "resnet", "mlp")] + ["published:ucr2018_1nn/1NN-DTW"]
    comparison = compared(*words)
    k = len(words)
    assert len(comparison.pairs) == k * (k - 1) // 2 and comparison.friedman is not None
    assert [pair.p_holm for pair in comparison.pairs] == pytest.approx(stats.holm([p.test.p for p in comparison.pairs]))
    differ = {frozenset((p.first, p.second)) for p in comparison.pairs if p.p_holm < 0.05}
    assert all(
        frozenset((i, j)) not in differ for clique in comparison.cliques for i in clique for j in clique if i < j
    )
    # 1NN-DTW has 4 decimals, the others 6: within half a unit of the coarser ones two accuracies tie.
    half = np.array([0.5e-6, 0.5e-6, 0.5e-6, 0.5e-4])
    apart = np.abs(comparison.scores[:, :, None] - comparison.scores[:, None, :])
    tied = apart <= np.maximum(np.maximum(half[:, None], half), 1e-6) + 1e-12
    assert comparison.friedman == stats.friedman(comparison.scores, tied)
    printed = text(comparison)
    assert "Friedman: chi2 = " in printed and "Sets of which no two differ (signed ranks, Holm, 0.05)" in printed
    assert text(comparison, markdown=True).count("\n| ---") == 3


def test_a_pair_uses_all_datasets_that_it_shares() -> None:
    words = ["published:bakeoff2023/HC2", "published:ucr2018_1nn/1NN-DTW", "published:karim2019/lstm_fcn"]
    comparison, alone = compared(*words), compared(*words[:2])
    (pair,) = (p for p in comparison.pairs if (p.first, p.second) == (0, 1))
    assert pair == replace(alone.pairs[0], p_holm=pair.p_holm), "a third column does not change what two show"
    assert [p.test.n for p in comparison.pairs] == [112, 71, 71] and len(comparison.places) == 71
    assert [p.p_holm for p in comparison.pairs] == pytest.approx(stats.holm([p.test.p for p in comparison.pairs]))
    assert comparison.cliques == (), "on the 71 datasets of all three, every two differ"
    printed = text(comparison)
    assert (
        "71 datasets in common (ucr2018), which ranks and sets use; each pair uses all datasets that it shares"
        in printed
    )
    assert [p["n_datasets"] for p in json.loads(as_json(comparison))["pairs"]] == [112, 71, 71]


@pytest.mark.parametrize(
    ("first", "second", "counts"),
    [
        ("0.8432", "0.84322", (0, 1, 0)),  # half a unit of the coarser column
        ("0.8432", "0.84326", (0, 0, 1)),
        ("0.98999900", "0.98999960", (0, 1, 0)),  # below 1e-6
        ("0.98999900", "0.99000100", (0, 0, 1)),
    ],
)
def test_accuracies_tie_within_half_a_unit_of_the_coarser_column(
    first: str, second: str, counts: tuple[int, int, int], tmp_path: Path
) -> None:
    words = []
    for name, value in (("a", first), ("b", second)):
        (tmp_path / f"{name}.csv").write_text(f"dataset,{name}\nMine,{value}\n")
        words.append(str(tmp_path / f"{name}.csv"))
    (pair,) = compared(*words).pairs
    assert (pair.wins, pair.ties, pair.losses) == counts


def test_single_runs_tie_if_as_many_test_cases_are_right(tmp_path: Path) -> None:
    """Rounded and truncated decimals of the same number of right cases tie; one case apart never does."""
    (tmp_path / "a.csv").write_text("dataset,a,b\nBeef,0.833,0.8333333333\nCoffee,0.964,1.0\nCar,0.916,0.9166666667\n")
    (pair,) = compared(str(tmp_path / "a.csv")).pairs
    assert (pair.wins, pair.ties, pair.losses) == (0, 2, 1)


def test_a_copy_with_all_digits_equals_the_published_figures(tmp_path: Path) -> None:
    cells = score_columns.read(["published:fawaz2019_ucr128/FCN"])[0].cells
    rows = [f"{place.dataset},{abs(cell.accuracy - 4e-7):.12f}" for place, cell in cells.items()]
    (tmp_path / "fcn.csv").write_text("dataset,fcn\n" + "\n".join(rows))
    comparison = compared(str(tmp_path / "fcn.csv"), "published:fawaz2019_ucr128/FCN")
    assert (comparison.pairs[0].ties, comparison.pairs[0].test.p) == (128, 1.0)
    assert text(comparison).startswith("fcn and fawaz2019_ucr128/fcn are equal on all 128 datasets that both share.")


def test_the_first_line_answers_the_question() -> None:
    dtw, hc2 = "published:ucr2018_1nn/1NN-DTW", "published:bakeoff2023/HC2"
    two = "bakeoff2023/HC2 beats ucr2018_1nn/1NN-DTW on 112 datasets: bakeoff2023/HC2 better on 106, equal on 4, "
    assert text(compared(dtw, hc2)).startswith(two) and text(compared(hc2, dtw)).startswith(two)
    first, *_ = text(compared(dtw, hc2, "published:bakeoff2023/HC1", "published:karim2019/lstm_fcn")).split("\n")
    assert first.startswith("bakeoff2023/HC2 ranks first of 4 on 71 datasets that all share (mean rank ")
    assert "it beats ucr2018_1nn/1NN-DTW (+0.1248 on 112 datasets, p = " in first
    same = compare([column("a", Coffee=0.9, Beef=0.8), column("b", Coffee=0.8, Beef=0.9)])
    expected = (
        "No difference between a and b is shown on 2 datasets: a better on 1, equal on 0, b better on 1, "
        "+0.0000 on average, p = 1.000."
    )
    assert text(same).startswith(expected) and json.loads(as_json(same))["answer"] == expected


def test_remarks_on_files_are_printed_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("dataset,a,b,a_std\nCoffee,1,.9,.1\nBeef,.8,.7,.1\nMean,.9,.8,\n")
    printed = text(compared(str(tmp_path / "a.csv")))
    assert printed.count("a.csv: columns left out: 'a_std' (deviation).") == 1
    assert printed.count("a.csv: rows left out: 'Mean' (no dataset).") == 1


def test_few_datasets_cannot_show_anything() -> None:
    comparison = compare([column("a", Coffee=0.9, Beef=0.8, Mine=0.7), column("b", Coffee=0.8, Beef=0.7, Mine=0.5)])
    assert "3 datasets cannot show a difference: the smallest possible p is 0.250." in text(comparison)
    assert np.isnan(comparison.mpce).all() and "MPCE" not in text(comparison), "Mine has no known number of classes"
    assert [place.dataset for place in comparison.places] == ["Beef", "Coffee", "Mine"]
    only = compare([column("a", Coffee=0.9), column("b", Coffee=0.8)])
    assert "1 dataset in common (ucr2018)." in text(only) and "interval" not in text(only)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (Cell(0.90, 0.01, 5), Cell(0.91, 0.01, 5), "within"),
        (Cell(0.90, 0.01, 5), Cell(0.94, 0.01, 5), "beyond"),
        (Cell(0.90, 0.01, 5), Cell(0.92), "within"),  # one run, in the prediction interval of five
        (Cell(0.90, 0.01, 5), Cell(0.98), "beyond"),
        (Cell(1.0, 0.0, 5), Cell(0.9643, 0.0, 5), "beyond"),  # Coffee has 28 test cases: half a case is the floor
        (Cell(1.0, 0.0, 3), Cell(0.9643), "within"),
        (Cell(0.9), Cell(0.8), "not known: single runs"),
        (Cell(0.9, None, 5), Cell(0.8, 0.01, 5), "not known: no deviation given"),
    ],
)
def test_whether_seed_noise_explains_a_difference(first: Cell, second: Cell, said: str) -> None:
    assert noise(first, second, Place("Coffee", "ucr2018")) == noise(second, first, Place("Coffee", "ucr2018")) == said


def test_floor_of_the_noise_is_that_of_the_test_set_of_the_split() -> None:
    # FordB: 810 test cases in 2018, 3636 in 2015.
    cells = (Cell(0.9, 0.0, 3), Cell(0.8987, 0.0, 3))
    assert noise(*cells, Place("FordB", "ucr2018")) == "within"
    assert noise(*cells, Place("FordB", "ucr2015")) == "beyond"


# ---------------------------------------------------------------------------------------------------------------------
# Files and command


def test_csv_is_read_again(tmp_path: Path) -> None:
    words = ("published:karim2019/LSTM-FCN", "published:wang2017_readme85/FCN")
    comparison = compared(*words)
    (tmp_path / "out.csv").write_text(as_csv(comparison))
    again = compared(str(tmp_path / "out.csv"))
    assert again.places == comparison.places
    assert again.scores == pytest.approx(comparison.scores, abs=1e-6)
    resampled = compared("published:bakeoff2023_resamples/HC2", "published:bakeoff2023_resamples/HC1")
    (tmp_path / "out.csv").write_text(as_csv(resampled))
    assert compared(str(tmp_path / "out.csv")).places == resampled.places


def test_json_has_everything() -> None:
    comparison = compared(
        "published:karim2019/LSTM-FCN", "published:wang2017_table1/fcn", "published:wang2017_table1/resnet"
    )
    said = json.loads(as_json(comparison))
    assert said["n_datasets"] == len(said["datasets"]) == 44
    assert [c["name"] for c in said["columns"]] == [c.name for c in comparison.columns]
    assert [pair["wilcoxon_p"] for pair in said["pairs"]] == [pair.test.p for pair in comparison.pairs]
    assert {pair["zero_method"] for pair in said["pairs"]} == {"pratt"}
    assert len(said["differ_most"]) <= 44 and said["friedman"]["df"] == 2
    assert sum(len(datasets) for datasets in said["left_out"].values()) == 41


def test_latex_is_escaped_and_bold_where_best() -> None:
    comparison = compare([column("my_net & co", Coffee=1.0, Beef=0.5), column("b", Coffee=0.5, Beef=0.5)])
    written = as_latex(comparison)
    assert r"my\_net \& co" in written
    assert (
        r"Coffee & \textbf{1.0000} & 0.5000 \\" in written and r"Beef & \textbf{0.5000} & \textbf{0.5000} \\" in written
    )
    assert not re.search(r"(?<!\\)[_%&](?!.*\\\\$)", written.split(r"\end{longtable}")[1].replace("% ", ""))
    assert "±" not in written


def test_command_writes_files_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["published:karim2019/LSTM-FCN", "published:wang2017_readme85/FCN"]
    names = {kind: tmp_path / f"out.{kind}" for kind in ("csv", "json", "markdown", "latex")}
    assert main([*words, *(w for kind, path in names.items() for w in (f"--{kind}", str(path)))]) == 0
    assert "p = 0.609" in capsys.readouterr().out
    assert len(list(csv.reader(names["csv"].open()))) == 86
    assert json.loads(names["json"].read_text())["pairs"][0]["wins"] == 40
    assert names["markdown"].read_text().startswith("- No difference between karim2019/lstm_fcn and ")
    assert "longtable" in names["latex"].read_text()
    assert main([*words, "--json", "-", "--dataset", "ucr44,Meat", "--exclude", "Trace,B*"]) == 0
    only = json.loads(capsys.readouterr().out)
    assert {row["dataset"] for row in only["datasets"]} >= {"Coffee", "Meat"}
    assert not {"Trace", "Beef", "Worms"} & {row["dataset"] for row in only["datasets"]}


def test_an_unknown_deviation_is_null_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("dataset,model,accuracy,std,n_runs\nCoffee,A,.9,nan,5\nCoffee,B,.8,.1,5\n")
    assert main([str(path), "--json", "-"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["datasets"]
    assert row["std"] == [None, 0.1]


def test_datasets_of_ones_own_are_chosen_by_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mix.csv"
    path.write_text("dataset,a,b\nCoffee,1,0.9\nGunPoint,0.8,0.9\nMine,0.5,0.6\nYours,0.5,0.4\n")
    for words, left in (
        (["--exclude", "Beef"], {"Coffee", "GunPoint", "Mine", "Yours"}),
        (["--exclude", "Mine"], {"Coffee", "GunPoint", "Yours"}),
        (["--dataset", "Mine,Coffee"], {"Coffee", "Mine"}),
    ):
        assert main([str(path), "--json", "-", *words]) == 0
        assert {row["dataset"] for row in json.loads(capsys.readouterr().out)["datasets"]} == left


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["published:karim2019/lstm_fcn"], "comparison of 1 column is not possible: name two or more"),
        (["published:nobody/x", "published:karim2019/lstm_fcn"], "published source 'nobody' is not known"),
        (["published:karim2019/lstm_fcn", "nofile.csv"], "'nofile.csv' is no file or folder here"),
        (["published:karim2019", "--rope", "2"], "rope=2 is not from 0 to 1"),
        (["published:karim2019", "--alpha", "5"], "alpha=5 is not between 0 and 1"),
        (
            ["published:karim2019", "--exclude", "Cofee"],
            "exclude 'Cofee' is not in the archive; did you mean 'Coffee'?",
        ),
        (["published:karim2019", "--json", "/proc/none/x"], "file '/proc/none/x' is not writable"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("error: ") and message in captured.err


def test_no_common_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, dataset in (("a", "Coffee"), ("b", "Beef")):
        (tmp_path / f"{name}.csv").write_text(f"dataset,accuracy\n{dataset},0.5\n")
    assert main([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]) == 2
    assert capsys.readouterr().err == (
        "error: common datasets of 'a' and 'b' are none (1 not in a; 1 not in b): compare what ran on the same data\n"
    )
