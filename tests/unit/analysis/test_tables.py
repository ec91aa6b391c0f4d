"""Tables against numbers worked by hand; metrics against scikit-learn. The records are written by the tests."""

from __future__ import annotations

import csv
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics

from tests.records import PASSPORT, SETTINGS, record, save, some_records
from tsfcn import table
from tsfcn.analysis import tables, verdict
from tsfcn.cli.gains import main as gains
from tsfcn.common.errors import UserError
from tsfcn.data import published
from tsfcn.jobs import artifacts
from tsfcn.jobs.record import Record
from tsfcn.report import results_folder


def only_row(frame: pd.DataFrame) -> dict[str, Any]:
    (row,) = frame.to_dict("records")
    return {str(name): value for name, value in row.items()}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- accuracy


def test_accuracy_averages_seeds_by_hand() -> None:
    row = only_row(
        tables.accuracy(
            [
                record(seed=2, accuracy=0.92, accuracy_last=0.80, train_seconds=3.0),
                record(seed=0, accuracy=0.90, accuracy_last=0.90, train_seconds=1.0),
                record(seed=1, accuracy=0.97, accuracy_last=0.85, train_seconds=2.5),
            ]
        )
    )
    assert row["n_seeds"] == 3
    assert row["mean"] == pytest.approx(0.93)
    assert row["std"] == pytest.approx(math.sqrt((0.0009 + 0.0016 + 0.0001) / 2))  # ddof 1
    assert (row["min"], row["max"]) == (0.90, 0.97)
    assert row["last"] == pytest.approx(0.85)
    assert math.isnan(row["selected"])
    assert row["train_seconds"] == pytest.approx(6.5)
    assert (row["split"], row["marks"]) == ("official", "")


def test_training_time_is_processor_time_on_a_cpu_where_recorded_and_else_wall_time() -> None:
    processor: dict[str, Any] = {"train_processor_seconds": 2.0, "test_processor_seconds": 0.25}
    records = [
        record(seed=0),  # an old one: 10 and 0.5 seconds
        record(seed=1, **processor),
        record(seed=2, **processor | {"train_processor_seconds": None}),
        record(seed=3, device="cuda:0", **processor),
    ]
    assert [only_row(tables.accuracy([each]))["train_seconds"] for each in records] == [10.0, 2.0, 10.0, 10.0]
    assert only_row(tables.accuracy(records))["train_seconds"] == pytest.approx(32.0)
    assert only_row(tables.summary(records))["total_seconds"] == pytest.approx(32.0 + 0.5 + 0.25 + 0.25 + 0.5)
    seconds = [each.seconds("train") for each in records]
    as_wall = [record(seed=each.seed, train_seconds=taken) for each, taken in zip(records, seconds, strict=True)]
    pd.testing.assert_frame_equal(tables.accuracy(records), tables.accuracy(as_wall))


def test_pages_of_old_records_do_not_speak_of_processor_time_and_those_of_new_ones_do(tmp_path: Path) -> None:
    old, new = save(tmp_path / "old", record()), save(tmp_path / "new", record(train_processor_seconds=2.0))
    for results in (old, new):
        results_folder.write(results)
    assert "processor time" not in (old / "README.md").read_text()
    page = (new / "README.md").read_text()
    assert (
        "Time is\ntraining and testing.\nIt is processor time on a CPU where it was recorded, else wall time." in page
    )
    assert "- training: processor time on a CPU where it was recorded, else wall time." in page


@pytest.mark.parametrize(
    "folder",
    [
        *("results", "results/knobs", "results/libraries", "benchmarks/engines"),
        *("results/transfer", "results/refinement", "results/ensembles", "results/segmentation"),
    ],
)
def test_committed_records_give_the_committed_tables(folder: str, tmp_path: Path) -> None:
    committed = Path(tables.__file__).parents[2] / folder
    shutil.copytree(committed / "records", tmp_path / "records")
    results_folder.write(tmp_path)
    if (committed / "tables" / "gains.csv").is_file():
        assert gains([str(tmp_path)]) == 0
    for path in sorted((committed / "tables").glob("*.csv")):
        if path.name == "calibration.csv":  # of predictions, which are not all committed
            continue
        assert (tmp_path / "tables" / path.name).read_bytes() == path.read_bytes(), path.name


def test_one_seed_has_no_deviation() -> None:
    assert math.isnan(only_row(tables.accuracy([record()]))["std"])


def test_files_of_2015_are_rows_of_their_own_with_the_figures_of_2015_beside() -> None:
    old = PASSPORT | {"split": "ucr2015"}
    lstm: dict[str, Any] = {"model": "lstm_fcn", "protocol": "karim2019", "n_classes": 2}
    records = [
        record("FordA", accuracy=0.9, **lstm),
        record("FordA", accuracy=0.8, group="2015", passport=old, **lstm),
        record("FordA", accuracy=0.7, group="2015 again", passport=old, resample=3, **lstm),
        record("Coffee", accuracy=1.0, **lstm),
    ]
    rows = tables.accuracy(reversed(records)).to_dict("records")
    assert [(r["dataset"], r["split"], r["mean"]) for r in rows] == [
        ("Coffee", "official", 1.0),
        ("FordA", "official", 0.9),
        ("FordA", "ucr2015", 0.8),
        ("FordA", "ucr2015 resample 3", 0.7),
    ]
    assert [r["published"] if r["published_source"] else None for r in rows] == [1.0, None, 0.93196, None]
    wide = tables.wide(tables.accuracy(records))
    assert wide["split"].tolist() == ["official", "official", "ucr2015", "ucr2015 resample 3"]
    summed = tables.summary(records).to_dict("records")
    assert [(r["split"], r["n_datasets"]) for r in summed] == [
        ("official", 2),
        ("ucr2015", 1),
        ("ucr2015 resample 3", 1),
    ]
    with pytest.raises(UserError, match=r"'FordA x lstm_fcn x karim2019' \(ucr2015\) is 2 different experiments"):
        tables.accuracy([*records, record("FordA", seed=1, group="other", passport=old, **lstm)])


@pytest.mark.parametrize("revision", ["early", "unknown"])
def test_files_that_are_not_official_are_marked(revision: str) -> None:
    row = only_row(tables.accuracy([record("Chinatown", passport=PASSPORT | {"revision": revision}, off_paper=True)]))
    assert row["marks"] == f"off-paper, {revision}-files"
    row = only_row(tables.accuracy([record(passport=PASSPORT | {"revision": "corrected"})]))
    assert (row["marks"], row["published_source"]) == ("", "fawaz2019_ucr128")


def test_held_out_selection_is_averaged_where_every_seed_has_it() -> None:
    both = [record(seed=0, accuracy_selected=0.5), record(seed=1, accuracy_selected=0.7)]
    assert only_row(tables.accuracy(both))["selected"] == pytest.approx(0.6)
    assert math.isnan(only_row(tables.accuracy([both[0], record(seed=1)]))["selected"])


def test_rows_are_sorted_whatever_the_order_of_records_and_splits_stay_apart() -> None:
    records = [
        record("GunPoint", resample=10),
        record("GunPoint", resample=2),
        record("ECG200", model="lstm_fcn"),
        record("GunPoint"),
        record("Earthquakes"),
        record("ECG200", model="fcn"),
    ]
    found = [(r["dataset"], r["model"], r["split"]) for r in tables.accuracy(records).to_dict("records")]
    assert found == [
        ("ECG200", "fcn", "official"),
        ("ECG200", "lstm_fcn", "official"),
        ("Earthquakes", "fcn", "official"),  # after 'ECG200', as in the catalogue
        ("GunPoint", "fcn", "official"),
        ("GunPoint", "fcn", "resample 2"),
        ("GunPoint", "fcn", "resample 10"),
    ]


def test_failed_and_skipped_are_not_averaged() -> None:
    records = [
        record(seed=0, accuracy=0.8),
        record(seed=1, status="failed", accuracy=0.1, reason="loss is nan"),
        record("Coffee", status="skipped", reason="not there"),
    ]
    row = only_row(tables.accuracy(records))
    assert (row["dataset"], row["n_seeds"], row["mean"]) == ("GunPoint", 1, 0.8)


def test_no_record_gives_an_empty_table_with_its_columns() -> None:
    assert list(tables.accuracy([]).columns) == list(tables.COLUMNS)
    assert tables.wide(tables.accuracy([])).empty
    assert tables.summary([]).empty
    assert tables.status([]).empty


def test_marks() -> None:
    marks = {
        (False, False): "",
        (True, False): "off-paper",
        (False, True): "TEST-SELECTED",
        (True, True): "off-paper, TEST-SELECTED",
    }
    for (off_paper, test_selected), text in marks.items():
        row = only_row(tables.accuracy([record(off_paper=off_paper, test_selected=test_selected)]))
        assert row["marks"] == text


def test_an_ok_record_without_an_accuracy_is_named() -> None:
    with pytest.raises(
        UserError, match=r"record 'k1' of 'GunPoint x fcn x fawaz2019' \(official\) is ok without accuracy: remove it"
    ):
        tables.accuracy([record(key="k1", accuracy=math.nan)])


def test_a_record_without_the_balanced_accuracy_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"record 'k1' of .* is ok without balanced_accuracy: remove it"):
        tables.metric([record(key="k1")], tmp_path, "balanced_accuracy")


# --- one name, one experiment


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": SETTINGS | {"epochs": 3}}, "settings.epochs: 2000 | 3"),
        ({"model_settings": {"filters": [128, 256, 128], "dropout": 0.5}}, "model_settings.dropout: absent | 0.5"),
        ({"passport": PASSPORT | {"content": "cd" * 32, "source": "ts"}}, "passport.content:"),
        ({"meaning": 2}, "(meaning: 1 | 2)"),
        ({"precision": "bfloat16"}, '(precision: "float32" | "bfloat16")'),
        ({}, "their settings read the same"),
    ],
)
def test_two_groups_under_one_name_are_refused(change: dict[str, Any], said: str) -> None:
    records = [record(seed=0, group="aaaa"), record(seed=1, group="bbbb", **change)]
    for make in (tables.accuracy, tables.summary):
        with pytest.raises(UserError) as caught:
            make(records)
        message = str(caught.value)
        assert message.startswith("'GunPoint x fcn x fawaz2019' (official) is 2 different experiments under one name")
        assert said in message
        assert "(aaaa, bbbb)" in message
        assert "passport.source" not in message  # where the file was read from moves no number
        assert "\n" not in message


def test_many_differences_are_counted_rather_than_listed() -> None:
    other = dict.fromkeys("abcdef", 0)
    with pytest.raises(UserError, match=r"settings\.d: absent \| 0; and 2 more\)"):
        tables.accuracy([record(group="aaaa", settings={}), record(seed=1, group="bbbb", settings=other)])


def test_a_failed_record_of_another_group_mixes_nothing() -> None:
    records = [record(group="aaaa"), record(seed=1, group="bbbb", status="failed", meaning=2)]
    assert only_row(tables.accuracy(records))["n_seeds"] == 1


def test_groups_that_differ_by_dataset_or_resample_are_no_mixture() -> None:
    assert len(tables.accuracy([record(), record("Coffee"), record(resample=1)])) == 3


def test_one_seed_twice_is_refused() -> None:
    with pytest.raises(UserError, match="is there 2 times with seed 4"):
        tables.accuracy([record(seed=4, key="k1"), record(seed=4, key="k2")])


# --- published figures


def test_the_published_figure_stands_beside_and_the_difference_is_ours_minus_theirs() -> None:
    figure = published.beside("fawaz2019", "fcn", "ItalyPowerDemand")
    assert figure is not None
    row = only_row(tables.accuracy([record("ItalyPowerDemand", accuracy=0.95)]))
    assert row["published"] == pytest.approx(0.962877)  # dl-4-tsc's result file, mean of five
    assert row["published_std"] == pytest.approx(0.001267)
    assert row["published_runs"] == 5
    assert row["published_source"] == "fawaz2019_ucr128"
    assert row["difference"] == pytest.approx(0.95 - 0.962877)


def test_a_multivariate_dataset_has_the_figure_of_its_archive_and_its_test_cases() -> None:
    of_uea = PASSPORT | {"archive": "UEA2018", "split": "uea2018"}
    records = [record("ERing", passport=of_uea, protocol="poolparty2025", seed=seed) for seed in range(3)]
    row = only_row(tables.accuracy(records))
    assert (row["published_source"], row["published_runs"]) == ("poolparty2025", 11)
    (pair,) = verdict.paired_accuracies([row])
    assert pair.n_test == 270


def test_a_changed_model_that_the_paper_trained_has_its_figure() -> None:
    inception = record("ECGFiveDays", model="inception[kernels=[41,20,10]]", protocol="poolparty2025")
    row = only_row(tables.accuracy([inception]))
    assert (row["published_source"], row["published_runs"], row["published"]) == ("poolparty2025", 11, 1.0)
    assert math.isnan(only_row(tables.accuracy([replace(inception, model="inception")]))["published"])


def test_a_single_published_run_has_no_deviation_and_a_broken_one_keeps_its_note() -> None:
    row = only_row(tables.accuracy([record("Trace", model="lstm_fcn", protocol="karim2019")]))
    assert row["published"] == 0.25
    assert math.isnan(row["published_std"])
    assert "chance" in row["published_note"]


@pytest.mark.parametrize(
    "change",
    [
        {"resample": 1},  # another split
        {"model": "fcn[bn_eps=0.1]"},  # changed settings
        {"protocol": "fawaz2019[epochs=3]"},
        {"off_paper": True},
        {"test_selected": True},
        {"passport": PASSPORT | {"archive": "user"}},  # other data under the same name
        {"dataset": "FordA", "passport": PASSPORT | {"split": "ucr2015"}},  # the paper had the split of UCR 2018
        {"passport": PASSPORT | {"revision": "early"}},
        {"passport": PASSPORT | {"revision": "unknown"}},
        {"passport": {}},
        {"model": "alstm_fcn"},  # the paper did not train it
        {"dataset": "PLAID"},  # unequal length: which file the paper read is not stated
        {"dataset": "PLAID", "protocol": "poolparty2025"},  # the adjusted files
        {"dataset": "BasicMotions", "passport": PASSPORT | {"archive": "UEA2018", "split": "uea2018"}},  # not run
        {"dataset": "Strawberry", "protocol": "wang2017"},  # the split is swapped in the archive of 2015
    ],
)
def test_no_published_figure_beside_another_experiment(change: dict[str, Any]) -> None:
    row = only_row(tables.accuracy([record(**change)]))
    assert math.isnan(row["published"])
    assert math.isnan(row["published_std"])
    assert math.isnan(row["difference"])
    assert pd.isna(row["published_runs"])
    assert (row["published_source"], row["published_note"]) == ("", "")


# --- wide


def test_verdicts_are_those_of_the_judge_for_each_model_and_protocol() -> None:
    italy = [record("ItalyPowerDemand", seed=seed, accuracy=0.96 + 0.002 * seed) for seed in range(3)]
    coffee = [record("Coffee", seed=seed, accuracy=0.5) for seed in range(3)]
    other = [record("ItalyPowerDemand", model="mlp", accuracy=0.95), record("PLAID", accuracy=0.5)]  # PLAID: no figure
    rows = tables.accuracy([*italy, *coffee, *other])
    made = tables.verdicts(rows)
    assert list(zip(made["model"], made["of"], made["dataset"], strict=True)) == [
        ("fcn", "dataset", "Coffee"),
        ("fcn", "dataset", "ItalyPowerDemand"),
        ("fcn", "typical difference", "2 datasets"),
        ("fcn", "mean difference", "2 datasets"),
        ("mlp", "dataset", "ItalyPowerDemand"),
        ("mlp", "typical difference", "1 dataset"),
        ("mlp", "mean difference", "1 dataset"),
    ]
    judged = verdict.judge(
        verdict.paired_accuracies([row for row in rows.to_dict("records") if row["model"] == "fcn"][:2])
    )
    assert list(made["verdict"][:3]) == [*(each.text for each in judged.verdicts), judged.typical.text]
    assert list(made["p_holm"][:2]) == [v.p_holm for v in judged.verdicts]
    assert list(made["word"][:4]) == ["different", "equivalent", "undecided", ""], "a mean has no word"
    assert made["margin"][2] == verdict.TYPICAL_MARGIN and made["difference"][2] == judged.typical.difference
    assert made["n_seeds"][3] == 6 and made["mean"][3] == pytest.approx((0.5 + 0.962) / 2)
    assert (made["low"][3], made["high"][3]) == (judged.mean.low, judged.mean.high)
    assert set(made["sources"]) == {"fawaz2019_ucr128"}
    assert tables.verdicts(tables.accuracy([record("PLAID", accuracy=0.5)])).empty


def test_verdicts_are_given_again_by_a_pool_of_published_runs() -> None:
    italy = [record("ItalyPowerDemand", seed=seed, accuracy=0.96 + 0.002 * seed) for seed in range(3)]
    resnet = [record("ItalyPowerDemand", model="resnet", accuracy=0.96)]
    made = tables.verdicts(tables.accuracy([*italy, *resnet]), published.pools())
    assert list(dict.fromkeys(zip(made["model"], made["sources"], strict=True))) == [
        ("fcn", "fawaz2019_ucr128"),
        ("fcn", "fawaz2019+poolparty2025"),
        ("resnet", "fawaz2019_ucr128"),  # ResNet's settings differ between the two
    ]
    assert list(made["published_runs"][made["of"] == "dataset"]) == [5, 16, 5]
    by_pool = made[made["sources"] == "fawaz2019+poolparty2025"].to_dict("records")[0]
    figure = published.beside("fawaz2019", "fcn", "ItalyPowerDemand", source="fawaz2019+poolparty2025")
    assert figure is not None and by_pool["difference"] == pytest.approx(0.962 - figure.mean)


def test_wide_has_datasets_and_splits_in_rows_and_models_in_columns() -> None:
    records = [
        record("Coffee", accuracy=0.9, seed=0),
        record("Coffee", accuracy=1.0, seed=1),
        record("Beef", model="lstm_fcn", accuracy=0.5, protocol="karim2019"),
        record("Beef", accuracy=0.75, resample=10),
        record("Beef", accuracy=0.625, resample=9),
    ]
    frame = tables.wide(tables.accuracy(records))
    assert list(frame.columns) == ["dataset", "split", "fcn (fawaz2019)", "lstm_fcn (karim2019)"]
    assert frame["dataset"].tolist() == ["Beef", "Beef", "Beef", "Coffee"]
    assert frame["split"].tolist() == ["official", "resample 9", "resample 10", "official"]
    assert frame["fcn (fawaz2019)"].fillna(-1).tolist() == pytest.approx([-1, 0.625, 0.75, 0.95])
    assert frame["lstm_fcn (karim2019)"].fillna(-1).tolist() == [0.5, -1, -1, -1]


def test_wide_carries_marks_in_its_titles() -> None:
    records = [
        record(model="alstm_fcn", off_paper=True),
        record(protocol="karim2019[select=test_oracle]", off_paper=True, test_selected=True),
    ]
    assert list(tables.wide(tables.accuracy(records)).columns)[2:] == [
        "alstm_fcn (fawaz2019) off-paper",
        "fcn (karim2019[select=test_oracle]) off-paper, TEST-SELECTED",
    ]


# --- summary


def test_mpce_by_hand() -> None:
    records = [
        record("A", accuracy=0.9, n_classes=2, seed=0),
        record("A", accuracy=0.7, n_classes=2, seed=1),  # mean error 0.2, a class 0.1
        record("B", accuracy=0.6, n_classes=4),  # error 0.4, a class 0.1
        record("C", accuracy=0.4, n_classes=3),  # error 0.6, a class 0.2
    ]
    row = only_row(tables.summary(records))
    assert row["mpce"] == pytest.approx((0.1 + 0.1 + 0.2) / 3)
    assert row["mean_accuracy"] == pytest.approx((0.8 + 0.6 + 0.4) / 3)  # of datasets, not of jobs
    assert (row["n_datasets"], row["n_jobs"], row["n_common"]) == (3, 4, 3)
    assert row["total_seconds"] == pytest.approx(42.0)  # four times 10 + 0.5


def test_ranks_and_wins_with_ties_over_common_datasets_by_hand() -> None:
    accuracies = {
        "fcn": {"A": 0.9, "B": 0.5, "C": 0.7, "D": 1.0},
        "mlp": {"A": 0.9, "B": 0.6, "C": 0.7, "D": 0.0},
        "resnet": {"A": 0.8, "B": 0.6, "C": 0.7},  # not run on D: D ranks nobody
    }
    records = [record(d, model=m, accuracy=a) for m, by_dataset in accuracies.items() for d, a in by_dataset.items()]
    frame = tables.summary(records).set_index("model")
    # ranks on A: 1.5 1.5 3; on B: 3 1.5 1.5; on C: 2 2 2
    assert frame["mean_rank"].to_dict() == pytest.approx({"fcn": 6.5 / 3, "mlp": 5 / 3, "resnet": 6.5 / 3})
    assert frame["wins"].to_dict() == {"fcn": 2, "mlp": 3, "resnet": 2}
    assert frame["n_common"].to_dict() == {"fcn": 3, "mlp": 3, "resnet": 3}
    assert frame["n_datasets"].to_dict() == {"fcn": 4, "mlp": 4, "resnet": 3}
    assert frame["mean_accuracy_common"].to_dict() == pytest.approx({"fcn": 0.7, "mlp": 2.2 / 3, "resnet": 0.7})


def test_a_row_that_shares_few_datasets_stands_aside_of_the_ranks() -> None:
    many = [record(f"D{i}", model=model, accuracy=i / 10) for model in ("fcn", "mlp") for i in range(9)]
    frame = tables.summary([*many, *(record(f"D{i}", model="resnet") for i in range(4))]).set_index("model")
    assert frame["n_common"].to_dict() == {"fcn": 9, "mlp": 9, "resnet": 0}
    assert math.isnan(frame["mean_rank"]["resnet"]) and frame["mean_rank"]["fcn"] == 1.5


def test_equal_means_tie_however_they_were_summed() -> None:
    # 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last bit.
    records = [record(model="fcn", seed=s, accuracy=a) for s, a in enumerate((0.1, 0.2, 0.3))]
    records += [record(model="mlp", seed=s, accuracy=a) for s, a in enumerate((0.3, 0.2, 0.1))]
    frame = tables.summary(records)
    assert frame["mean_accuracy"].nunique() == 2
    assert frame["mean_rank"].tolist() == [1.5, 1.5]
    assert frame["wins"].tolist() == [1, 1]


def test_splits_are_ranked_apart_and_a_lone_row_is_not_ranked() -> None:
    records = [
        record(model="fcn", accuracy=0.9),
        record(model="mlp", accuracy=0.8, off_paper=True),
        record(model="mlp", accuracy=0.7, resample=2),
    ]
    frame = tables.summary(records)
    assert frame["split"].tolist() == ["official", "official", "resample 2"]
    assert frame["mean_rank"].fillna(-1).tolist() == [1.0, 2.0, -1]
    assert frame["wins"].fillna(-1).tolist() == [1, 0, -1]
    assert frame["marks"].tolist() == ["", "off-paper", ""]


def test_nothing_in_common_ranks_nothing() -> None:
    frame = tables.summary([record("A", model="fcn"), record("B", model="mlp")])
    assert frame["n_common"].tolist() == [0, 0]
    assert frame["mean_rank"].isna().all()
    assert frame["wins"].isna().all()
    assert frame["mean_accuracy"].tolist() == [0.9, 0.9]


# --- status


def test_status_lists_what_is_not_ok_with_its_reason_in_one_line() -> None:
    records = [
        record("B", status="skipped", reason="not here:\n get it"),
        record("A", status="failed", seed=3, resample=1, reason="loss is nan at epoch 7"),
        record("C"),
    ]
    frame = tables.status(records)
    assert frame[["status", "dataset", "split", "reason"]].to_numpy().tolist() == [
        ["failed", "A", "resample 1", "loss is nan at epoch 7"],
        ["skipped", "B", "official", "not here: get it"],
    ]
    assert frame["seed"].tolist() == [3, 0]


def test_status_forgets_what_succeeded_later_and_keeps_what_failed_later() -> None:
    first, second = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    ok = record(key="new", finished=second)
    assert tables.status([record(key="old", status="skipped", finished=first), ok]).empty
    assert len(tables.status([record(key="old", seed=1, status="failed", finished=first), ok])) == 1  # another seed
    again = [record(key="new", status="failed", finished=second), record(key="old", finished=first)]
    assert len(tables.status(again)) == 1


# --- metrics


def predictions(n_cases: int, n_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return random float16 probabilities that favour the truth a little, the truth and the most probable class."""
    random = np.random.default_rng(seed)
    y_true = np.r_[np.arange(n_classes), random.integers(0, n_classes, n_cases - n_classes)]  # every class occurs
    logits = random.normal(size=(n_cases, n_classes)) + 1.5 * np.eye(n_classes)[y_true]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities.astype(np.float16), y_true.astype(np.int16), probabilities.argmax(axis=1).astype(np.int16)


@pytest.mark.parametrize(("n_cases", "n_classes"), [(40, 2), (60, 5), (7, 3)])
def test_metrics_equal_scikit_learn(n_cases: int, n_classes: int) -> None:
    p, y, y_pred = predictions(n_cases, n_classes, seed=n_cases)
    q = p.astype(np.float64)
    q /= q.sum(axis=1, keepdims=True)  # scikit-learn wants rows that sum to one; float16 rows do not quite
    expected = {
        "accuracy": sklearn.metrics.accuracy_score(y, y_pred),
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(y, y_pred),
        "f1": sklearn.metrics.f1_score(y, y_pred, average="macro"),
        "nll": sklearn.metrics.log_loss(y, q),
    }
    for name, value in expected.items():
        assert tables.score(name, p, y, y_pred) == pytest.approx(value, abs=1e-12), name
    auroc = sklearn.metrics.roc_auc_score(y, q[:, 1] if n_classes == 2 else q, multi_class="ovr", average="macro")
    assert tables.score("auroc", q, y, y_pred) == pytest.approx(auroc, abs=1e-12)
    stored = [sklearn.metrics.roc_auc_score(y == c, p[:, c]) for c in range(1 if n_classes == 2 else 0, n_classes)]
    assert tables.score("auroc", p, y, y_pred) == pytest.approx(np.mean(stored), abs=1e-12)


def test_auroc_counts_ties_half_by_hand() -> None:
    p = np.array([[0.5, 0.5], [0.5, 0.5], [0.75, 0.25], [0.25, 0.75]], dtype=np.float16)
    y = np.array([0, 1, 0, 1])  # of four pairs three are won and one ties
    assert tables.score("auroc", p, y, p.argmax(axis=1)) == pytest.approx(3.5 / 4)


def test_f1_and_balanced_accuracy_by_hand_when_a_class_is_never_predicted() -> None:
    y, y_pred = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1])
    p = np.eye(3, dtype=np.float16)[y_pred]
    assert tables.score("balanced_accuracy", p, y, y_pred) == pytest.approx((0.5 + 1 + 0) / 3)
    assert tables.score("f1", p, y, y_pred) == pytest.approx((2 / 3 + 2 / 4 + 0) / 3)


def test_ece_by_hand() -> None:
    """Two of three are right at 0.625, none of one at 0.875: gaps of 1/24 and 7/8, weighted by three and one cases."""
    p = np.array([[0.625, 0.375], [0.375, 0.625], [0.625, 0.375], [0.125, 0.875]], dtype=np.float16)
    y = np.array([0, 1, 1, 0])
    assert tables.score("ece", p, y, p.argmax(axis=1)) == pytest.approx((3 * (2 / 3 - 0.625) + 0.875) / 4)


def test_nll_stays_finite_where_float16_stored_a_zero() -> None:
    p = np.array([[1.0, 0.0], [0.5, 0.5]], dtype=np.float16)
    y = np.array([1, 0])
    assert tables.score("nll", p, y, p.argmax(axis=1)) == pytest.approx((24 * math.log(2) + math.log(2)) / 2, abs=1e-6)


def test_auroc_of_one_class_is_not_a_number() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2]])
    assert math.isnan(tables.score("auroc", p, np.array([0, 0]), np.array([0, 0])))


def predicted(results: Path, seed: int, n_classes: int = 3, **other: Any) -> Record:
    """Return a record whose predictions lie in results."""
    p, y, y_pred = predictions(30, n_classes, seed)
    key = f"{seed:016x}"
    artifacts.write_predictions(results, key, p, y, y_pred, np.array([str(c) for c in range(n_classes)]))
    share = float(np.mean(y == y_pred))
    return record(seed=seed, key=key, accuracy=share, n_test=30, n_classes=n_classes, **other)


def test_metric_averages_seeds_from_stored_predictions(tmp_path: Path) -> None:
    records = [predicted(tmp_path, 0), predicted(tmp_path, 1), record("Coffee", status="failed")]
    scores = []
    for seed in (0, 1):
        _, y, y_pred = predictions(30, 3, seed)
        scores.append(sklearn.metrics.f1_score(y, y_pred, average="macro"))
    row = only_row(tables.metric(records, tmp_path, "f1"))
    assert row["mean"] == pytest.approx(np.mean(scores))
    assert row["std"] == pytest.approx(abs(scores[0] - scores[1]) / math.sqrt(2))
    assert math.isnan(row["published"])  # no paper's accuracy beside an F1
    assert only_row(tables.metric(records, tmp_path, "accuracy"))["published"] == 1.0  # GunPoint, FCN


def test_metric_that_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="metric 'auc' is not known: use one of accuracy, balanced_accuracy, f1, auroc, nll, ece"
    ):
        tables.metric([], tmp_path, "auc")
    with pytest.raises(UserError, match="metric 'auc' is not known"):
        tables.score("auc", *predictions(4, 2, 0))


def test_a_job_without_predictions_is_without_the_metrics_that_need_them(tmp_path: Path) -> None:
    lacking = [record(key="k7", balanced_accuracy=0.25)]
    assert math.isnan(only_row(tables.metric(lacking, tmp_path, "nll"))["mean"])
    assert only_row(tables.metric(lacking, tmp_path, "balanced_accuracy"))["mean"] == 0.25  # the record holds it


def test_what_the_test_set_selected_is_not_ranked() -> None:
    rows = [record(name, model, accuracy=a) for name in "AB" for model, a in (("fcn", 0.8), ("mlp", 0.7))]
    cheat = record("A", "fcn", accuracy=0.99, protocol="fawaz2019[select=test_oracle]", test_selected=True)
    first, aside, last = tables.summary([*rows, cheat]).to_dict("records")
    assert (first["model"], first["n_common"], first["mean_rank"], first["wins"]) == ("fcn", 2, 1.0, 2)
    assert aside["n_common"] == 0 and math.isnan(aside["mean_rank"]) and pd.isna(aside["wins"])
    assert (last["model"], last["n_common"], last["mean_rank"], last["wins"]) == ("mlp", 2, 2.0, 0)


def test_somebodys_own_page_is_not_replaced(tmp_path: Path) -> None:
    save(tmp_path, record())
    (tmp_path / "README.md").write_text("# Mine\n")
    with pytest.raises(UserError, match=r"README\.md' is not a page of tsfcn's"):
        results_folder.write(tmp_path)
    assert (tmp_path / "README.md").read_text() == "# Mine\n" and not (tmp_path / "tables").exists()


@pytest.mark.parametrize("damage", ["truncated", "text", "no labels"])
def test_damaged_predictions_are_named(tmp_path: Path, damage: str) -> None:
    made = predicted(tmp_path, 0)
    path = artifacts.predictions_path(tmp_path, made.key)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "text":
        path.write_text("probabilities")
    else:
        np.savez(path, probabilities=np.ones((30, 3)))
    with pytest.raises(UserError, match=r"key 0{16}, is unreadable .*: delete .*0{16}\.npz and repeat"):
        tables.metric([made], tmp_path, "f1")


@pytest.mark.parametrize("change", [{"n_test": 29}, {"n_classes": 4}, {"accuracy": 0.0}])
def test_predictions_that_are_not_the_records_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="is not what its record says"):
        tables.metric([replace(predicted(tmp_path, 0), **change)], tmp_path, "f1")


# --- files


def test_write_makes_the_tables_with_fixed_formats(tmp_path: Path) -> None:
    results = save(tmp_path / "results", *some_records())
    results_folder.write(results)
    accuracy = {(r["dataset"], r["model"], r["protocol"]): r for r in rows_of(results / "tables" / "accuracy.csv")}
    assert accuracy["ItalyPowerDemand", "fcn", "fawaz2019"] == {
        "dataset": "ItalyPowerDemand",
        "model": "fcn",
        "protocol": "fawaz2019",
        "split": "official",
        "n_seeds": "2",
        "mean": "0.965000",
        "std": "0.007071",
        "min": "0.960000",
        "max": "0.970000",
        "last": "0.965000",
        "selected": "",
        "train_seconds": "20.0",
        "marks": "",
        "published": "0.962877",
        "published_std": "0.001267",
        "published_runs": "5",
        "published_source": "fawaz2019_ucr128",
        "published_note": "",
        "difference": "0.002123",
    }
    assert accuracy["Coffee", "alstm_fcn", "fawaz2019"]["published_runs"] == ""
    wide = rows_of(results / "tables" / "accuracy_wide.csv")
    assert [r["dataset"] for r in wide] == ["Coffee", "ItalyPowerDemand", "Trace"]
    assert wide[0]["alstm_fcn (fawaz2019) off-paper"] == "0.500000"
    assert wide[1]["alstm_fcn (fawaz2019) off-paper"] == ""
    summary = rows_of(results / "tables" / "summary.csv")
    assert [r["model"] for r in summary] == ["alstm_fcn", "fcn", "fcn", "lstm_fcn"]
    assert summary[1]["mpce"] == "0.008750"  # errors 0 and 0.035, two classes each
    assert (summary[1]["n_common"], summary[1]["wins"], summary[1]["mean_rank"]) == ("1", "1", "1.000000")
    assert (summary[3]["n_common"], summary[3]["wins"], summary[3]["mean_rank"]) == ("0", "", "")  # shares no dataset
    status = rows_of(results / "tables" / "status.csv")
    assert [(r["status"], r["dataset"]) for r in status] == [("failed", "Coffee"), ("skipped", "Beef")]


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    one = save(tmp_path / "one", *some_records())
    two = save(tmp_path / "two", *reversed(some_records()))
    for results in (one, two):
        results_folder.write(results)
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*.*") if path.suffix != ".jsonl")
    assert names == [
        "README.md",
        "tables/accuracy.csv",
        "tables/accuracy_wide.csv",
        "tables/status.csv",
        "tables/summary.csv",
        "tables/verdicts.csv",
    ]  # and no temporary file
    before = {name: (one / name).read_bytes() for name in names}
    assert before == {name: (two / name).read_bytes() for name in names}
    results_folder.write(one)
    assert before == {name: (one / name).read_bytes() for name in names}


def test_write_refuses_a_mixture_before_it_touches_anything(tmp_path: Path) -> None:
    results = save(tmp_path, record(accuracy=0.5))
    results_folder.write(results)
    before = (results / "tables" / "accuracy.csv").read_bytes()
    save(results, record(seed=1, group="other", meaning=2))
    with pytest.raises(UserError, match="different experiments under one name"):
        results_folder.write(results)
    assert (results / "tables" / "accuracy.csv").read_bytes() == before


def test_write_replaces_a_file_instead_of_writing_into_it(tmp_path: Path) -> None:
    results = save(tmp_path / "results", record())
    results_folder.write(results)
    kept = tmp_path / "kept.md"
    kept.hardlink_to(results / "README.md")  # a reader that holds the old file open sees what this name sees
    before = kept.read_bytes()
    save(results, record("Coffee"))
    results_folder.write(results)
    assert kept.read_bytes() == before
    assert (results / "README.md").read_bytes() != before


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    results = save(tmp_path, record())
    (results / "tables").write_text("a file where the folder belongs")
    with pytest.raises(UserError, match=r"is not writable .*: check") as caught:
        results_folder.write(results)
    assert "\n" not in str(caught.value)


# --- the command


def test_main_writes_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = save(tmp_path, *some_records())
    assert table.main([str(results)]) == 0
    printed = capsys.readouterr().out
    assert "0.9650 ± 0.0071" in printed
    assert "MPCE" in printed
    assert "processor time" not in printed
    assert "set archive.root" in printed
    assert (results / "README.md").is_file()
    assert table.main([str(results), "--markdown"]) == 0
    assert "| ItalyPowerDemand | fcn " in capsys.readouterr().out
    save(results, record("ItalyPowerDemand", seed=2, train_processor_seconds=2.0))
    assert table.main([str(results)]) == 0
    assert "\ntraining: processor time on a CPU where it was recorded, else wall time." in capsys.readouterr().out


def test_main_prints_another_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = save(tmp_path, predicted(tmp_path, 0))
    assert table.main([str(results), "--metric", "nll"]) == 0
    printed = capsys.readouterr().out
    expected = tables.score("nll", *predictions(30, 3, 0))
    assert f"{expected:.4f}" in printed.split("\n\n")[0]
    assert "lower is better" in printed


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)  # as `| head` does when it has seen enough
    done = subprocess.run(
        [sys.executable, "-m", "tsfcn.table", save(tmp_path, *some_records())],
        cwd=Path(tables.__file__).parents[1],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path / "none", "is not a folder"),
        (lambda path: path, "is without records"),
        (lambda path: save(path, record(group="a"), record(seed=1, group="b")), "different experiments"),
    ],
)
def test_main_answers_a_mistake_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, said: str
) -> None:
    assert table.main([str(make(tmp_path))]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_resamples_from_the_official_split_on_have_a_row_for_their_mean() -> None:
    accuracies = {0: 0.9, 1: 0.8, 2: 0.4}
    records = [record(resample=number, accuracy=value) for number, value in accuracies.items()]
    records += [record("Beef", resample=number) for number in (0, 2)]  # with a gap
    table = tables.with_resample_means(tables.accuracy(records))
    assert table["split"].tolist() == ["official", "resample 2", "official", "resample 1", "resample 2", "3 resamples"]
    row = table.iloc[-1]
    assert (row["dataset"], row["n_seeds"], row["published_source"]) == ("GunPoint", 1, "")
    assert (row["mean"], row["std"]) == (pytest.approx(0.7), pytest.approx(np.std([0.9, 0.8, 0.4], ddof=1)))
    assert (row["min"], row["max"]) == (0.4, 0.9)
