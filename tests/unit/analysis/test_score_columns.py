"""Columns are read from whatever holds accuracies; what is none is refused in one line."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from tests.records import PASSPORT, record, save
from tsfcn.analysis import score_columns
from tsfcn.analysis.columns import Cell, Column, Place, dataset_name
from tsfcn.common.errors import UserError
from tsfcn.common.text import loose
from tsfcn.data import published
from tsfcn.data.catalogue import CATALOGUE, OLD_NAMES
from tsfcn.report import results_folder


def file(tmp_path: Path, text: str, name: str = "mine.csv") -> str:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path / name)


def only(word: str, **options: Any) -> Column:
    (column,) = score_columns.read([word], **options)
    return column


def accuracies(column: Column) -> dict[tuple[str, str], float]:
    return {(p.dataset, p.split): cell.accuracy for p, cell in column.cells.items()}


# ---------------------------------------------------------------------------------------------------------------------
# Names


@pytest.mark.parametrize(
    ("written", "name"),
    [
        *OLD_NAMES.items(),
        *((name, name) for name in ("Coffee", "NonInvasiveFetalECGThorax1")),
        ("coffee", "Coffee"),
        ("Gun_Point ", "GunPoint"),
        ("SonyAIBORobot Surface", "SonyAIBORobotSurface1"),
        ("SonyAIBORobot SurfaceII", "SonyAIBORobotSurface2"),
        ("CinC_ECG", "CinCECGTorso"),
        ("NonInv_Thor1", "NonInvasiveFetalECGThorax1"),
        ("uWavGest_X", "UWaveGestureLibraryX"),
        ("Synth_Cntr", "SyntheticControl"),
        ("StarlightCurves", "StarLightCurves"),
        ("italy_power_demand", "ItalyPowerDemand"),
        ("My data", "My data"),
    ],
)
def test_dataset_names_of_others(written: str, name: str) -> None:
    assert dataset_name(written) == name


def test_short_names_are_of_datasets_and_hide_none() -> None:
    short = published.short_names()
    assert set(short.values()) <= set(CATALOGUE)
    assert not {loose(name) for name in short} & {loose(name) for name in CATALOGUE}
    assert all(dataset_name(name) == name for name in CATALOGUE)


# ---------------------------------------------------------------------------------------------------------------------
# Published figures and results folders


def test_published_figures_stand_where_they_were_measured() -> None:
    column = only("published:karim2019/LSTM-FCN")
    assert (column.name, column.marks) == ("karim2019/lstm_fcn", "")
    assert column.cells[Place("Coffee", "ucr2018")] == Cell(1.0)
    assert Place("FordA", "ucr2015") in column.cells and Place("FordA", "ucr2018") not in column.cells
    assert column.cells[Place("Trace", "ucr2018")].note == "broken: chance level"
    assert only("published:karim2018/lstm_fcn").marks == "TEST-SELECTED"
    means = only("published:bakeoff2023_resamples/HC2")
    assert {place.split for place in means.cells} == {"30 resamples"}
    assert len(score_columns.read(["published:wang2017_table1"])) == 11


def test_a_results_folder_has_a_column_a_model(tmp_path: Path) -> None:
    old: dict[str, Any] = {"passport": PASSPORT | {"split": "ucr2015"}, "group": "old"}
    early: dict[str, Any] = {"passport": PASSPORT | {"revision": "early"}}
    results = save(
        tmp_path,
        record("Coffee", seed=0, accuracy=0.9),
        record("Coffee", seed=1, accuracy=1.0),
        record("FordA", accuracy=0.8),
        record("FordA", accuracy=0.7, **old),
        record("Chinatown", accuracy=0.6, **early),
        record("Coffee", model="lstm_fcn", protocol="karim2019", accuracy=0.5, off_paper=True, resample=0),
        record("Coffee", model="lstm_fcn", protocol="karim2019", accuracy=0.7, off_paper=True, resample=1),
        record("Beef", model="lstm_fcn", protocol="karim2019", accuracy=0.7, resample=1),
    )
    fcn, lstm = score_columns.read([str(results)])
    assert (fcn.name, fcn.marks, fcn.description) == ("fcn (fawaz2019)", "", "1 to 2 seeds")
    assert accuracies(fcn) == {
        ("Coffee", "ucr2018"): pytest.approx(0.95),
        ("FordA", "ucr2018"): 0.8,
        ("FordA", "ucr2015"): 0.7,
        ("Chinatown", "early"): 0.6,
    }
    assert fcn.cells[Place("Coffee", "ucr2018")].std == pytest.approx(stdev([0.9, 1.0]))
    assert (lstm.name, lstm.marks) == ("lstm_fcn (karim2019)", "off-paper")
    # Beef's resamples have a gap at the official split, so their mean is no bake-off mean.
    assert accuracies(lstm) == {("Coffee", "ucr2018"): 0.5, ("Coffee", "2 resamples"): pytest.approx(0.6)}
    assert only(f"{results}:lstm_fcn") == lstm
    assert [c.name for c in score_columns.read([f"{results}:fcn", f"{results}/:fcn"])] == [
        f"{results}:fcn (fawaz2019)",
        f"{results}/:fcn (fawaz2019)",
    ]
    assert [c.name for c in score_columns.read([f"{results}:*fcn*"])] == [fcn.name, lstm.name]


def test_our_own_tables_read_as_the_folder_does(tmp_path: Path) -> None:
    records = [
        record("Coffee", seed=0, accuracy=0.9),
        record("Coffee", seed=1, accuracy=1.0),
        record("Coffee", model="resnet", accuracy=0.5, off_paper=True, test_selected=True),
        record("FordA", accuracy=0.25, group="old", passport=PASSPORT | {"split": "ucr2015"}),
        record("Coffee", accuracy=0.75, resample=1),
    ]
    results = save(tmp_path, *records)
    results_folder.write(results)
    folder = score_columns.read([str(results)])
    for name in ("accuracy.csv", "accuracy_wide.csv"):
        read = score_columns.read([str(results / "tables" / name)])
        assert [(c.name, c.marks) for c in read] == [(c.name, c.marks) for c in folder]
        for theirs, ours in zip(read, folder, strict=True):
            assert accuracies(theirs) == pytest.approx(accuracies(ours))
    (fcn, _) = score_columns.read([str(results / "tables" / "accuracy.csv")])
    assert fcn.cells[Place("Coffee", "ucr2018")].std == pytest.approx(stdev([0.9, 1.0]), abs=1e-6)
    assert fcn.cells[Place("Coffee", "2 resamples")].accuracy == pytest.approx(fmean([0.95, 0.75]))


def test_columns_of_the_same_name_are_told_apart_by_where_they_are(tmp_path: Path) -> None:
    first = file(tmp_path, "dataset,FCN\nCoffee,0.9\n", "a.csv")
    second = file(tmp_path, "dataset,FCN\nCoffee,0.8\n", "b.csv")
    assert [c.name for c in score_columns.read([first, second])] == [f"{first}:FCN", f"{second}:FCN"]
    with pytest.raises(UserError, match=re.escape(f"column '{first}:FCN' is named twice: name each once")):
        score_columns.read([first, first])


# ---------------------------------------------------------------------------------------------------------------------
# Files of others


@pytest.mark.parametrize(
    "text",
    [
        "dataset,A,B\nCoffee,1.0,0.9\nFordA,0.5,\n",
        "Dataset;A;B\nCoffee;1.0;0.9\nFordA;0.5;\n",
        ",A,B\ncoffee,1.0,0.9\nForda,0.5,\n",  # no name for the first column, but names of datasets in it
        "Problem Name\tType\tTrain size\tA\tB\nCoffee\tSpectro\t28\t1.0\t0.9\nFordA\tSensor\t3601\t0.5\t\n",
        "\ufeffdataset_name,A,B\nCoffee,1.0,0.9\nFordA,0.5,\nAverage_Rank,1.5,1.6\nWins,2,1\n",
        "model,dataset,accuracy\nA,Coffee,1.0\nB,Coffee,0.9\nA,FordA,0.5\n",
        "Classifier,Dataset,Acc\nA,Coffee,1.0\nA,FordA,0.5\nB,Coffee,0.9\nB,FordA,\n",
        ",dataset,A,B\n0,Coffee,1.0,0.9\n1,FordA,0.5,\n",  # with pandas' index
        "A,UCR name,B\n1.0,Coffee,0.9\n0.5,FordA,\n",
        "dataset,A,B\nCoffee,1.0 ± 0.0,0.9 ± 0.01\nFordA,0.5 ± 0.1,\n",
        "dataset,A,B\nCoffee,1.0(0.0),0.9(0.01)\nFordA,0.5 (0.1),\n",  # fractions: nothing is above 1
        "dataset,model,value\nCoffee,A,1.0\nFordA,A,0.5\nCoffee,B,0.9\n",
        "dataset,model,metric,mean\nCoffee,A,accuracy,1.0\nCoffee,A,f1,0.3\nFordA,A,accuracy,0.5\nCoffee,B,accuracy,0.9\n",
        "dataset,method,seed,test_accuracy\nCoffee,A,0,1.0\nFordA,A,0,0.4\nFordA,A,1,0.6\nCoffee,B,0,0.9\n",
    ],
)
def test_wide_and_long_tables_of_others(tmp_path: Path, text: str) -> None:
    first, second = score_columns.read([file(tmp_path, text)])
    assert (first.name, second.name) == ("A", "B")
    assert accuracies(first) == {("Coffee", "ucr2018"): 1.0, ("FordA", "ucr2018"): 0.5}
    assert accuracies(second) == {("Coffee", "ucr2018"): 0.9}
    assert "files ucr2018 assumed" in first.description
    first, _ = score_columns.read([file(tmp_path, text)], split="ucr2015")
    assert set(accuracies(first)) == {("Coffee", "ucr2018"), ("FordA", "ucr2015")}


def test_a_long_table_of_one_model_is_named_by_its_file(tmp_path: Path) -> None:
    column = only(file(tmp_path, "dataset,accuracy,std,n_runs\nCoffee,0.9,0.01,5\nBeef,0.8,,1\n", "MyNet.csv"))
    assert column.name == "MyNet"
    assert column.cells[Place("Coffee", "ucr2018")] == Cell(0.9, 0.01, 5)
    assert column.cells[Place("Beef", "ucr2018")] == Cell(0.8)


def test_splits_as_others_name_them(tmp_path: Path) -> None:
    said = [
        "official",
        "UCR2018-default(128)",
        "UCR2015-default",
        "ucr2015",
        "30 resamples(109)",
        "mixed",
        "my own",
        "",
    ]
    rows = "".join(f"A{i},FordA,0.5,{split}\n" for i, split in enumerate(said))
    read = score_columns.read([file(tmp_path, "model,dataset,accuracy,split\n" + rows)])
    splits = [place.split for column in read for place in column.cells]
    assert splits == ["ucr2018", "ucr2018", "ucr2015", "ucr2015", "30 resamples", "mixed", "my own", "ucr2018"]


def test_runs_of_a_long_table_are_averaged(tmp_path: Path) -> None:
    column = only(file(tmp_path, "dataset,model,seed,accuracy\nCoffee,A,0,0.9\nCoffee,A,1,1.0\n50words,A,0,0.5\n"))
    assert column.cells[Place("Coffee", "ucr2018")] == Cell(0.95, stdev([0.9, 1.0]), 2)
    assert column.cells[Place("FiftyWords", "ucr2018")] == Cell(0.5)


def test_dl_4_tsc_tables(tmp_path: Path) -> None:
    runs = (
        "classifier_name,archive_name,dataset_name,iteration,precision,accuracy,recall,duration\n"
        "resnet,UCRArchive_2018,ACSF1,0.0,0.93,0.93,0.93,560.6\nresnet,UCRArchive_2018,ACSF1,1.0,0.92,0.92,0.92,560.6\n"
    )
    column = only(file(tmp_path, runs))
    assert column.name == "resnet" and accuracies(column) == pytest.approx({("ACSF1", "ucr2018"): 0.925})
    percent = ",MLP,FCN\n50words,68.4(7.1),62.7(6.1)\nGun_Point,92.7(1.1),100.0(0.0)\nAverage_Rank,4.6,2.7\nWins,4,18\n"
    mlp, fcn = score_columns.read([file(tmp_path, percent)])
    assert (mlp.name, fcn.name) == ("MLP", "FCN")
    assert accuracies(mlp) == pytest.approx({("FiftyWords", "ucr2018"): 0.684, ("GunPoint", "ucr2018"): 0.927})
    assert "percent" in fcn.description


def test_files_of_tsml_eval(tmp_path: Path) -> None:
    file(tmp_path, "Resamples:,0,1,2\nCoffee,1.0,0.9,0.8\nBeef,0.5,,\n", "HC2_accuracy.csv")
    file(tmp_path, "folds:,0,1\nCoffee,0.7,0.9\n", "BOSS_TESTFOLDS.csv")
    boss, hc2 = score_columns.read([str(tmp_path)])
    assert (boss.name, hc2.name) == ("BOSS", "HC2")
    assert accuracies(boss) == {("Coffee", "ucr2018"): 0.7, ("Coffee", "2 resamples"): pytest.approx(0.8)}
    assert accuracies(hc2) == {
        ("Coffee", "ucr2018"): 1.0,
        ("Beef", "ucr2018"): 0.5,
        ("Coffee", "3 resamples"): pytest.approx(0.9),
    }


def predictions(folder: Path, resample: int, said: str, pairs: str, split: str = "TEST") -> None:
    path = folder / "ROCKET" / "Predictions" / "Coffee" / f"testResample{resample}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{pair[0]},{pair[1]},,0.5,0.5" for pair in pairs.split()]
    head = [f"Coffee,ROCKET,{split},{resample},MILLISECONDS,", "No Parameter Info", f"{said},10,5,-1,-1,2,,-1,-1"]
    path.write_text("\n".join([*head, *lines]) + "\n")


def test_predictions_of_tsml_eval_are_counted(tmp_path: Path) -> None:
    predictions(tmp_path, 0, "0.75", "00 11 01 11")
    predictions(tmp_path, 1, "-1", "00 11 01 10")
    column = only(str(tmp_path))
    assert column.name == "ROCKET"
    assert accuracies(column) == {("Coffee", "ucr2018"): 0.75, ("Coffee", "2 resamples"): 0.625}
    assert accuracies(only(str(next(tmp_path.rglob("testResample0.csv"))))) == {("Coffee", "ucr2018"): 0.75}
    predictions(tmp_path, 1, "0.9", "00 11 01 10")
    with pytest.raises(UserError, match=r"accuracy in '.*' is 0.9, its cases give 2 of 4: write it again"):
        score_columns.read([str(tmp_path)])


# ---------------------------------------------------------------------------------------------------------------------
# Mistakes

SHORT = "write fractions, 0 to 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name,A,B\nx,0.5,0.6\ny,0.5,0.6\n",
            "is without a dataset column: name one 'dataset' (it has 'name', 'A', 'B')",
        ),
        ("dataset,A\nCoffee,96.4\n", f"accuracy of 'A' on Coffee in FILE is 96.4: {SHORT} (percent / 100)"),
        ("dataset,A\nCoffee,1.02\n", f"is 1.02: {SHORT}"),
        ("dataset,A\nCoffee,-0.1\n", f"is -0.1: {SHORT}"),
        ("dataset,A\nCoffee,964\n", f"is 964: {SHORT}"),
        ("dataset,A\nCoffee,inf\n", f"is inf: {SHORT}"),
        ("dataset,A\nCoffee,96.4%\n", "accuracy of 'A' on Coffee in FILE is '96.4%': divide by 100"),
        ("dataset,A\nCoffee,nan\n", "is nan: leave the cell empty or the row out where there is none"),
        ("dataset,A\nCoffee,0.5\nBeef,good\n", "accuracy of 'A' on Beef in FILE is 'good': write a fraction, 0 to 1"),
        ("model,dataset,accuracy\nA,Coffee,NaN\n", "accuracy of 'A' on Coffee in FILE is nan"),
        ("model,dataset,accuracy\nA,Coffee,88\n", "is 88: write fractions, 0 to 1 (percent / 100)"),
        (
            "dataset,A\nCoffee,0.5\nBeef,0.4\nCoffee,0.6\n",
            "dataset 'Coffee' is there twice for 'A' in FILE (lines 2 and 4): keep one, or number the runs",
        ),
        (
            "dataset,A\n50words,0.5\nFiftyWords,0.6\n",
            "dataset 'FiftyWords' is there twice for 'A' in FILE as '50words' and 'FiftyWords' (lines 2 and 3)",
        ),
        ("model,dataset,accuracy\nA,Coffee,0.5\nA,coffee,0.5\n", "dataset 'Coffee' is there twice for 'A' in FILE as"),
        (
            "dataset,model,seed,accuracy\nCoffee,A,0,0.5\nCoffee,A,1,0.5\nCoffee,A,0,0.5\n",
            "dataset 'Coffee' is there twice for 'A' in FILE (lines 2 and 4)",
        ),
        ("dataset,A\nCoffee,96.4 ± 0.3\n", "accuracy of 'A' on Coffee in FILE is 96.4: write fractions, 0 to 1"),
        ("dataset,A,A\nCoffee,0.5,0.6\n", "column 'A' is there twice in FILE: give each model a name of its own"),
        ("dataset,error\nCoffee,0.1\n", "column 'error' in FILE is an error rate: write accuracies (1 - error)"),
        ("dataset,type\nCoffee,Spectro\n", "FILE is without accuracies: it needs a column a model"),
        ("dataset,A\nCoffee,\n", "FILE is without accuracies"),
        ("dataset,A\n", "FILE is without rows or columns: name a CSV with a header"),
        ("", "FILE is without rows or columns"),
        ("just text\nand more\n", "FILE is without rows or columns"),
        ("dataset,model,accuracy,n_runs\nCoffee,A,0.5,many\n", "line 2 of FILE is unreadable"),
        ("validation_id,model_id,f1_fold_0_test\nCoffee,A,0.5\n", "FILE is without accuracies of folds"),
    ],
)
def test_what_is_no_table_of_accuracies(tmp_path: Path, text: str, message: str) -> None:
    word = file(tmp_path, text)
    with pytest.raises(UserError, match=re.escape(message.replace("FILE", f"'{word}'"))) as raised:
        score_columns.read([word])
    assert "\n" not in str(raised.value)


def test_what_is_not_there(tmp_path: Path) -> None:
    for word, message in [
        (
            "nofile.csv",
            "'nofile.csv' is no file or folder here: name a results folder, a CSV, or published:SOURCE/MODEL",
        ),
        ("karim2019/LSTM-FCN", "did you mean 'published:karim2019/LSTM-FCN'?"),
        ("published:nobody", "published source 'nobody' is not known"),
        ("published:fawaz2019/FCN", "are short for 2: write one of fawaz2019_ucr128/fcn, fawaz2019_ucr85/fcn"),
        (str(tmp_path), "is without results: it needs records/"),
    ]:
        with pytest.raises(UserError, match=re.escape(message)):
            score_columns.read([word])
    word = file(tmp_path, "dataset,A,B\nCoffee,0.5,0.6\n")
    with pytest.raises(UserError, match=re.escape(f"column 'C' is not in '{word}': write one of 'A', 'B'")):
        score_columns.read([f"{word}:C"])
    (tmp_path / "records").mkdir()
    with pytest.raises(UserError, match="is without ok records: run `tsfcn run results="):
        score_columns.read([str(tmp_path)])
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00a,b\n")
    with pytest.raises(UserError, match="is unreadable"):
        score_columns.read([str(tmp_path / "binary.csv")])
