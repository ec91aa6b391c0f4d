"""`python -m tsfcn.run` as a user meets it: what it leaves, what it says to mistakes, and what survives a kill.

Every call here trains three epochs or few (protocol=smoke) of a tiny network, and has a time limit.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.processes import children, linux, until
from tests.records import lasting, require
from tsfcn.data import catalogue
from tsfcn.data.archive import load
from tsfcn.jobs import artifacts, store
from tsfcn.run import main

ROOT = Path(__file__).resolve().parents[2]
TINY = ("protocol=smoke", "model.fcn.filters=[3]", "model.fcn.kernels=[3]", "executor.workers=1")
FCN = "fcn[filters=[3], kernels=[3]]"


class Machine:
    """Calls of the command in processes of their own."""

    def popen(self, words: tuple[str, ...], cwd: Path, **options: Any) -> subprocess.Popen[str]:
        """Start an interpreter in the folder `cwd`."""
        return subprocess.Popen([sys.executable, *words], cwd=cwd, text=True, **options)

    def run(self, *overrides: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Call the command in the folder `cwd` and wait for its end."""
        return self.python("-m", "tsfcn.run", *overrides, cwd=cwd, **environment)

    def python(self, *words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Call the interpreter in the folder `cwd` and wait for its end."""
        return subprocess.run(
            [sys.executable, *words],
            cwd=cwd,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine()


@dataclass(frozen=True)
class Run:
    """A run and the folder that it was called in."""

    folder: Path
    words: tuple[str, ...]
    done: subprocess.CompletedProcess[str]

    def copy(self, folder: Path) -> Path:
        """Return a copy of the folder, for a test that changes it."""
        return Path(shutil.copytree(self.folder, folder / "copy"))


@pytest.fixture(scope="module")
def first(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run one network on two datasets, in a folder that knows nothing of the package."""
    folder = tmp_path_factory.mktemp("first")
    words = (*TINY, "dataset=[ItalyPowerDemand,GunPoint]")
    return Run(folder, words, machine.run(*words, cwd=folder))


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path, table: str = "accuracy") -> list[dict[str, str]]:
    """Return a table of the results."""
    with (folder / "results" / "tables" / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------------------------------------------------------------
# Datasets of one's own, and the splits of 2015


def write_csv(root: Path, name: str, n_train: int, n_test: int, length: int) -> None:
    """Write a dataset of two classes as two CSV files with a header."""
    random = np.random.RandomState(0)
    (root / name).mkdir(parents=True)
    for split, n in (("TRAIN", n_train), ("TEST", n_test)):
        lines = [",".join(["label", *(f"t{i}" for i in range(length))])]
        lines += [",".join([str(i % 2 + 1), *(f"{v:.4f}" for v in random.randn(length))]) for i in range(n)]
        (root / name / f"{name}_{split}.csv").write_text("\n".join(lines) + "\n")


def test_a_dataset_of_ones_own_is_run_by_its_name(machine: Machine, tmp_path: Path) -> None:
    write_csv(tmp_path / "mine", "Walks", 8, 6, 12)
    done = machine.run(*TINY, "dataset=[Walks,ItalyPowerDemand]", "archive.root=mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["dataset"] for row in rows(tmp_path)] == ["ItalyPowerDemand", "Walks"]
    missed = machine.run(*TINY, "dataset=Walk", "archive.root=mine", cwd=tmp_path)
    assert missed.returncode == 2
    assert missed.stderr == "error: dataset 'Walk' is not in the archive; did you mean 'Walks'?\n"


def test_the_splits_of_2015_and_of_2018_are_two_experiments(machine: Machine, tmp_path: Path) -> None:
    write_csv(tmp_path / "ucr", "Earthquakes", 322, 139, 512)
    words = (*TINY, "dataset=[Earthquakes,GunPoint]", "archive.root=ucr", "protocol.epochs=1")
    assert machine.run(*words, cwd=tmp_path).returncode == 0
    done = machine.run(*words, "archive.split=ucr2015", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 jobs: 1 done before, 1 to run" in done.stderr  # GunPoint's split is the same in both
    records = [r for r in store.read(tmp_path / "results") if r.dataset == "Earthquakes"]
    assert [(r.passport["split"], r.n_train, r.n_test) for r in records] == [
        ("ucr2018", 322, 139),
        ("ucr2015", 139, 322),
    ]
    skipped = machine.run(*TINY, "dataset=[GunPoint,ACSF1]", "archive.split=ucr2015", "dry_run=true", cwd=tmp_path)
    assert "skipped: dataset 'ACSF1' is not in the 2015 archive" in skipped.stdout


# ---------------------------------------------------------------------------------------------------------------------
# A run, and the same run again


def test_a_run_leaves_records_predictions_and_tables(first: Run) -> None:
    assert first.done.returncode == 0, first.done.stderr
    results = first.folder / "results"
    found = [path.partition("/")[2] for path in contents(first.folder) if path.startswith("results/")]
    assert len(found) == len(contents(first.folder))  # nothing beside results/
    records = store.read(results)
    assert {(r.dataset, r.model, r.protocol, r.status) for r in records} == {
        ("ItalyPowerDemand", FCN, "smoke", "ok"),
        ("GunPoint", FCN, "smoke", "ok"),
    }
    (lines,) = [path for path in found if path.startswith("records/")]
    assert sorted(set(found) - {lines}) == sorted(
        ["README.md", "commands.txt"]
        + [f"predictions/{record.key}.npz" for record in records]
        + [f"tables/{name}.csv" for name in ("accuracy", "accuracy_wide", "status", "summary", "verdicts")]
    )
    command = (results / "commands.txt").read_text()
    assert command == (
        "python -m tsfcn.run protocol=smoke 'model.fcn.filters=[3]' 'model.fcn.kernels=[3]' "
        "'dataset=[ItalyPowerDemand,GunPoint]'\n"
    )


def test_a_record_describes_itself(first: Run) -> None:
    for record in store.read(first.folder / "results"):
        facts = catalogue.CATALOGUE[record.dataset]
        assert (record.n_train, record.n_test, record.n_classes) == (facts.n_train, facts.n_test, 2)
        # One convolution of 3 filters and 3 timepoints, its bias, batch norm, and the head.
        assert record.n_parameters == 3 * 3 + 3 + 2 * 3 + (3 * 2 + 2)
        assert record.passport["content"] and record.passport["source"] == "sktime"
        assert (record.seed, record.resample, record.off_paper) == (0, 0, True)
        assert (record.device, record.precision) == ("cpu", "float32")
        assert record.settings["epochs"] == 3 and require(record.curve)["epoch"] == [1, 2, 3]
        assert record.accuracy == record.accuracy_least_train_loss and 1 <= require(record.best_epoch) <= 3
        assert record.accuracy_selected is None and record.accuracy_test_oracle is None
        assert require(record.train_seconds) >= 0 and require(record.test_seconds) >= 0
        assert require(record.peak_memory_bytes) > 2**20
        assert set(record.versions) == {"tsfcn", "python", "torch", "numpy"}
        assert record.hardware and record.cells == []
        fields = json.loads(record.line()).keys()
        assert {"schema", "key", "group", "reason", "meaning", "commit", "finished", "digest"} <= fields
        assert {"balanced_accuracy", "cross_entropy", "train_cross_entropy", "accuracy_last"} <= fields
        with np.load(artifacts.predictions_path(first.folder / "results", record.key)) as file:
            right = (file["y_true"] == file["y_pred"]).mean()
            assert file["probabilities"].shape == (facts.n_test, 2)
        assert record.accuracy == pytest.approx(right)


def test_a_run_tells_plain_lines_and_the_table(first: Run) -> None:
    said = first.done.stderr.splitlines()
    assert said[0].startswith("2 jobs: 0 done before, 2 to run, ")
    assert [re.sub(r"0\.\d{4} in \d+ s$", "", line) for line in said if ": accuracy " in line] == [
        f"{name} {FCN} smoke seed 0: accuracy " for name in ("ItalyPowerDemand", "GunPoint")
    ]
    for record in store.read(first.folder / "results"):
        (line,) = [line for line in first.done.stdout.splitlines() if line.startswith(record.dataset)]
        assert f"{record.accuracy:.4f}" in line and FCN in line and "smoke" in line and "off-paper" in line
    assert not re.search(r"[^\n -~×±–−]", first.done.stdout + first.done.stderr)  # no control characters in a log


def test_the_same_call_again_trains_nothing_and_changes_nothing(machine: Machine, first: Run, tmp_path: Path) -> None:
    folder = first.copy(tmp_path)
    before = contents(folder)
    again = machine.run(*first.words, cwd=folder)
    assert again.returncode == 0
    line, last = again.stderr.splitlines()
    assert line.startswith("2 jobs: 2 done before, 0 to run, ")
    assert last == "results: results (tables/accuracy.csv, README.md); next: tsfcn report results"
    assert again.stdout == first.done.stdout
    assert contents(folder) == before


API = """
import sys
import tsfcn

frame = tsfcn.run(
    ["ItalyPowerDemand", "GunPoint"], "fcn", "smoke",
    "model.fcn.filters=[3]", "model.fcn.kernels=[3]", "executor=inline", seeds=[0], results=sys.argv[1],
)
print(frame[["dataset", "model", "protocol", "n_seeds", "mean"]].to_json(orient="records"))
"""


def test_python_api_gives_a_table_and_the_same_bits_elsewhere(machine: Machine, first: Run, tmp_path: Path) -> None:
    # Another folder, another process, another executor: the same seed gives the same bits.
    done = machine.python("-c", API, "elsewhere", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    here, there = (store.read(path) for path in (tmp_path / "elsewhere", first.folder / "results"))
    assert [lasting(record) for record in here] == [lasting(record) for record in there]
    for record in here:
        path = artifacts.predictions_path(tmp_path / "elsewhere", record.key)
        assert path.read_bytes() == (first.folder / "results" / "predictions" / path.name).read_bytes()
    table = json.loads(done.stdout.splitlines()[-1])  # after the table that every run prints
    assert [{**row, "mean": pytest.approx(row["mean"])} for row in table] == [
        {"dataset": record.dataset, "model": FCN, "protocol": "smoke", "n_seeds": 1, "mean": record.accuracy}
        for record in sorted(there, key=lambda record: str(record.dataset))
    ]


# ---------------------------------------------------------------------------------------------------------------------
# More into the same folder


def test_changed_settings_get_rows_of_their_own(machine: Machine, first: Run, tmp_path: Path) -> None:
    folder = first.copy(tmp_path)
    before = rows(folder)
    done = machine.run(*first.words, "dataset=ItalyPowerDemand", "protocol.epochs=2", "seeds=[5]", cwd=folder)
    assert done.returncode == 0, done.stderr
    new = [row for row in rows(folder) if row not in before]
    assert [row for row in rows(folder) if row in before] == before
    assert [(r["dataset"], r["model"], r["protocol"], r["n_seeds"]) for r in new] == [
        ("ItalyPowerDemand", FCN, "smoke[epochs=2]", "1")
    ]
    assert "GunPoint" not in done.stdout  # the table that is printed is that of the call


def test_series_of_unequal_length_train_under_every_policy_and_each_has_its_row(
    machine: Machine, archive_root: Path, tmp_path: Path
) -> None:
    words = (*TINY, "dataset=PickupGestureWiimoteZ", f"archive.root={archive_root}")
    for policy in ("pad", "cut", "mask"):
        done = machine.run(*words, f"protocol.length={policy}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert [row["protocol"] for row in rows(tmp_path)] == ["smoke", "smoke[length=cut]", "smoke[length=mask]"]
    records = {record.settings["length"]: record for record in store.read(tmp_path / "results")}
    counts = {policy: (r.n_padded, r.n_cut, r.n_masked) for policy, r in records.items()}
    assert counts == {"pad": (99, 0, 0), "cut": (0, 99, 0), "mask": (0, 0, 99)}
    page = (tmp_path / "results" / "README.md").read_text()
    assert "- cases whose end is masked: PickupGestureWiimoteZ 99\n" in page


def test_a_mask_for_a_network_that_has_none_is_refused_before_anything_is_trained(
    machine: Machine, tmp_path: Path
) -> None:
    done = machine.run("protocol=smoke", "model=[fcn,mlp]", "protocol.length=mask", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: protocol.length=mask is not for mlp, which takes one length: use pad or cut, or leave mlp out\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_cannot_be_had_is_skipped_with_the_way_to_get_it(
    machine: Machine, first: Run, tmp_path: Path
) -> None:
    folder = first.copy(tmp_path)
    for _ in range(2):
        done = machine.run(*first.words, "dataset=[ItalyPowerDemand,Coffee]", cwd=folder)
        assert done.returncode == 3
        skipped, state, _ = done.stderr.splitlines()
        assert skipped.startswith("skipped: dataset 'Coffee' is not available")
        assert "set archive.root or TSFCN_ARCHIVE" in skipped and "Coffee.zip" in skipped
        assert state.startswith("2 jobs: 1 done before, 0 to run, 1 dataset not usable")
        (row,) = rows(folder, "status")  # told once, however often
        assert (row["status"], row["dataset"], row["model"]) == ("skipped", "Coffee", FCN)
        assert row["reason"] in done.stderr and "Coffee" in done.stdout
    assert {row["dataset"] for row in rows(folder)} == {"ItalyPowerDemand", "GunPoint"}


def test_equal_settings_under_another_name_are_not_trained_again_and_have_a_row_each(
    machine: Machine, tmp_path: Path
) -> None:
    small = ("model.fcn.filters=[3]", "model.fcn.kernels=[3]", "dataset=ItalyPowerDemand", "protocol.epochs=1")
    same = ("protocol.normalisation=series", "protocol.eps=1e-7")
    assert machine.run("protocol=wang2017", *same, *small, cwd=tmp_path).returncode == 0
    again = machine.run("protocol=fawaz2019", *small, "seeds=2", cwd=tmp_path)
    assert again.returncode == 0 and "1 done before, 1 to run" in again.stderr
    told = {row["protocol"]: row["n_seeds"] for row in rows(tmp_path)}
    assert told == {"fawaz2019[epochs=1]": "2", "wang2017[epochs=1, eps=1e-07, normalisation=series]": "1"}


def test_what_is_trained_stays_done_where_its_data_are_no_longer_at_hand(machine: Machine, tmp_path: Path) -> None:
    # Chinatown is not bundled and has as many timepoints and classes: cases of another dataset stand in for its own.
    source = load("ItalyPowerDemand")
    folder = tmp_path / "own" / "Chinatown"
    folder.mkdir(parents=True)
    for split, n_cases in (("TRAIN", 20), ("TEST", 343)):
        cases = np.column_stack([source.y_test.astype(float), source.x_test[:, 0]])[:n_cases]
        np.savetxt(folder / f"Chinatown_{split}.tsv", cases, delimiter="\t")
    words = (*TINY, "dataset=Chinatown")
    assert machine.run(*words, f"archive.root={folder.parent}", cwd=tmp_path).returncode == 0
    again = machine.run(*words, cwd=tmp_path)
    assert again.returncode == 0 and "1 done before, 0 to run" in again.stderr
    assert rows(tmp_path, "status") == []


def own_files(root: Path, changed: str) -> Path:
    """Write ItalyPowerDemand as files of the user's own, with one 'value' changed or one 'case' left out."""
    dataset = load("ItalyPowerDemand")
    folder = root / "own" / "ItalyPowerDemand"
    folder.mkdir(parents=True)
    for split, x, y in (("TRAIN", dataset.x_train, dataset.y_train), ("TEST", dataset.x_test, dataset.y_test)):
        table = np.column_stack([y.astype(float), x[:, 0]])
        table[0, 1] += changed == "value"
        np.savetxt(folder / f"ItalyPowerDemand_{split}.tsv", table[changed == "case" :], delimiter="\t")
    return folder.parent


def test_results_of_other_content_are_refused(machine: Machine, first: Run, tmp_path: Path) -> None:
    folder = first.copy(tmp_path)
    before = contents(folder)
    done = machine.run(*first.words, f"archive.root={own_files(tmp_path, 'value')}", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: results=results already holds {FCN} (smoke) on ItalyPowerDemand of other data or of another "
        "version of the training code: use another results folder, or move the old records away\n"
    )
    assert contents(folder) == before


def test_a_dataset_that_is_not_the_official_one_fails(machine: Machine, first: Run, tmp_path: Path) -> None:
    folder = first.copy(tmp_path)
    done = machine.run(*first.words, f"archive.root={own_files(tmp_path, 'case')}", cwd=folder)
    assert done.returncode == 1
    reason, state, _ = done.stderr.splitlines()
    assert reason.startswith("failed: ") and "ItalyPowerDemand" in reason and "66" in reason and "67" in reason
    assert state.startswith("2 jobs: 1 done before, 0 to run, ")
    assert "GunPoint" in done.stdout  # bundled, so there all the same
    assert [(row["status"], row["dataset"]) for row in rows(folder, "status")] == [("failed", "ItalyPowerDemand")]


def test_a_job_that_diverges_fails_and_the_others_finish(machine: Machine, tmp_path: Path) -> None:
    other = ("model=[fcn,mlp]", "model.mlp.units=[3]", "model.mlp.dropout=[0,0]", "protocol.models.fcn.lr=1e30")
    words = (*TINY, "dataset=ItalyPowerDemand", *other)
    done = machine.run(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    reason = "training loss is nan in epoch 1: try a smaller protocol.lr"
    assert f"failed: ItalyPowerDemand {FCN} smoke[lr=1e+30] seed 0: {reason}\n" in done.stderr
    assert "1 failed, 0 skipped" in done.stdout and reason in done.stdout
    assert [(row["model"], row["protocol"]) for row in rows(tmp_path)] == [("mlp[dropout=[0,0], units=[3]]", "smoke")]
    assert [(row["status"], row["reason"]) for row in rows(tmp_path, "status")] == [("failed", reason)]
    # What failed is tried again, but not for ever, and the run still says so.
    dry = machine.run(*words, "dry_run=true", cwd=tmp_path)
    assert re.search(rf"^pending .* {re.escape(FCN)} ", dry.stdout, re.MULTILINE)
    again = machine.run(*words, "max_attempts=2", cwd=tmp_path)
    assert again.returncode == 1 and "1 done before, 1 to run" in again.stderr
    before = contents(tmp_path)
    again = machine.run(*words, "max_attempts=2", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (1, done.stdout)
    assert "1 done before, 0 to run" in again.stderr
    assert "; 1 not tried again, they failed max_attempts=2 times" in again.stderr
    assert contents(tmp_path) == before
    history = store.Reader(tmp_path / "results").new()
    assert sorted(record.status for record in history) == ["failed", "failed", "ok"]


# ---------------------------------------------------------------------------------------------------------------------
# Asking without running


def test_dry_run_names_jobs_costs_and_what_is_missing(machine: Machine, tmp_path: Path) -> None:
    done = machine.run(*TINY, "dataset=all", "dry_run=true", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    *jobs, engine, missing, summary = done.stdout.splitlines()
    assert engine == "engine fast, float32: 5 jobs"
    assert [line.split()[0] for line in jobs].count("pending") == 5
    assert [line.split()[0] for line in jobs].count("skipped") == 123
    (gunpoint,) = [line for line in jobs if " GunPoint " in line]
    assert re.fullmatch(rf"pending +\d+ s  GunPoint {re.escape(FCN)} smoke seed 0", gunpoint)
    assert missing.startswith("skipped: 123 (Adiac, ") and "Yoga): dataset 'NAME' is not available" in missing
    assert summary.startswith("128 jobs on 128 datasets, 123 of them not usable: 5 jobs to run, roughly ")
    assert summary.endswith("nothing was run (dry_run=true)")


def test_a_run_without_a_compiler_says_so_at_its_start(machine: Machine, tmp_path: Path) -> None:
    done = machine.run(*TINY, "dataset=ItalyPowerDemand", cwd=tmp_path, PATH=str(tmp_path), CC="none")
    line, rest = done.stderr.split("\n", 1)
    assert done.returncode == 0 and rest.startswith("1 job: ")
    assert line == (
        "engine reference, float32: 1 job; no C compiler found ($CC, cc, gcc or clang): the reference loop trains, "
        "about three times slower"
    )


def test_dry_run_knows_what_is_done(machine: Machine, first: Run) -> None:
    before = contents(first.folder)
    done = machine.run(*first.words, "seeds=2", "dry_run=true", cwd=first.folder)
    *lines, engine, _ = done.stdout.splitlines()
    assert engine == "engine fast, float32: 2 jobs"
    states = [(line.split()[0], line.split()[-1]) for line in lines]
    assert states == [("done", "0"), ("pending", "1")] * 2
    assert contents(first.folder) == before


def test_cfg_shows_the_settings_and_runs_nothing(machine: Machine, tmp_path: Path) -> None:
    done = machine.run("--cfg", "job", "protocol=smoke", "model=[fcn,lstm_fcn]", "seeds=3", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    assert "\nseeds: 3\n" in done.stdout and "    filters:\n    - 128\n    - 256\n    - 128\n" in done.stdout
    assert "  lstm_fcn:\n" in done.stdout and "  name: smoke\n" in done.stdout


def test_help_shows_how_to_call_it_and_the_choices(machine: Machine, tmp_path: Path) -> None:
    done = machine.run("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    assert "python -m tsfcn.run dataset=Coffee" in done.stdout
    shown = " ".join(done.stdout.split())
    protocols = (
        "archive, fawaz2019, hinception2022, inceptiontime2020, karim2019, karim2019mv, lite2023, poolparty2025, "
        "segmentation, smoke, wang2017"
    )
    assert f"protocol: {protocols}" in shown
    assert f"model: {ALL_MODELS}" in shown


@pytest.mark.parametrize("words", [("--hydra-help", "seeds=3"), ("seeds=3", "--info"), ("--info", "seeds=3")])
def test_flags_of_hydra_take_overrides_beside_them(words: tuple[str, ...], machine: Machine, tmp_path: Path) -> None:
    done = machine.run(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    assert ("Hydra" if "--hydra-help" in words else "seeds: 3") in done.stdout


# ---------------------------------------------------------------------------------------------------------------------
# Bad input: one line that says what to do, exit code 2, nothing written

ALL_MODELS = (
    "aeon, alstm_fcn, encoder, fcn, fcn_16s, fcn_32s, fcn_32s_fixed, fcn_8s, h_inception, inception, lite, lstm_fcn, "
    "malstm_fcn, mlp, mlstm_fcn, pooled_fcn, resnet, sktime"
)
BAD = {
    "dataset=GunPiont": "dataset 'GunPiont' is not in the archive; did you mean 'GunPoint'?",
    "protocol.epoch=3": "setting 'protocol.epoch' in 'protocol.epoch=3' is not known: did you mean 'protocol.epochs'?",
    "+foo=1": "setting 'foo' in '+foo=1' is not known: a run has dataset, exclude, ",
    "+model.fcn.foo=1": "setting 'model.fcn.foo' in '+model.fcn.foo=1' is not known: model.fcn has filters, kernels, ",
    "protocol.epochs=-1": "protocol.epochs=-1 is out of range: give a number at least 1",
    "protocol.epochs=many": "protocol.epochs=many is not a whole number: write one, as 3",
    "dataset=[]": "dataset [] selects nothing: name a dataset or a set (all, ucr85, ",
    "archive.root=not/there": "archive.root 'not/there' is not a folder: give the one that holds",
    "~seeds": "'~seeds' deletes a setting: give it a value instead, seeds=...",
    "model=[]": "model=[] is empty: choose from fcn, lstm_fcn, alstm_fcn, mlp, resnet, inception, lite, ",
    "model=3": f"model '3' is not known: use one of {ALL_MODELS}",
    "model.lstm_fcn.cells=8": (
        "'model.lstm_fcn.cells=8' sets a model that is not chosen: add it, 'model=[...,lstm_fcn]'"
    ),
    "device=gpu": "device=gpu is not known: did you mean 'device=cuda'? Use one of cpu, cuda, cuda:N, mps, auto",
    "protocol.length=interpolate": "protocol.length=interpolate is not known: use one of pad, cut, mask",
}


@pytest.mark.parametrize("word", BAD)
def test_bad_input(word: str, machine: Machine, tmp_path: Path) -> None:
    done = machine.run("protocol=smoke", word, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {BAD[word]}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["device=cuda", "device=cuda:3", "device=cuda dry_run=true"])
def test_a_gpu_that_is_not_there_is_told_in_one_line_before_anything_is_planned(
    word: str, machine: Machine, tmp_path: Path
) -> None:
    done = machine.run("protocol=smoke", *word.split(), cwd=tmp_path, CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {word.split(maxsplit=1)[0]} is not available: ") and line.endswith(
        ", or use device=cpu"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "darwin", reason="may have a GPU of another kind")
def test_auto_says_what_it_chose_and_leaves_the_record_of_the_cpu(machine: Machine, first: Run, tmp_path: Path) -> None:
    words = ("protocol=smoke", "dataset=ItalyPowerDemand", *TINY[1:], "device=auto")
    plan = machine.run(*words, "dry_run=true", cwd=tmp_path, CUDA_VISIBLE_DEVICES="")
    done = machine.run(*words, cwd=tmp_path, CUDA_VISIBLE_DEVICES="")
    assert (plan.returncode, done.returncode) == (0, 0), done.stderr
    for told in (plan, done):
        (line,) = [line for line in told.stderr.splitlines() if line.startswith("device=")]
        assert line.startswith("device=auto: cpu, since ")
    (record,) = store.read(tmp_path / "results")
    (same,) = [r for r in store.read(first.folder / "results") if r.dataset == "ItalyPowerDemand"]
    assert lasting(record) == lasting(same)
    assert "device" not in (tmp_path / "results" / "commands.txt").read_text()


def test_bad_folder_in_the_environment(machine: Machine, tmp_path: Path) -> None:
    done = machine.run("protocol=smoke", cwd=tmp_path, TSFCN_ARCHIVE="not/there")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "error: TSFCN_ARCHIVE 'not/there' is not a folder: give the one that holds Coffee/Coffee_TRAIN.tsv\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Call main() in this process, in an empty folder and with the bundled datasets alone."""
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, handler)


# The rest, without an interpreter for each: rarer mistakes.
RARE = {
    "dataset=50words": "dataset '50words' is the old name of 'FiftyWords'",
    "dataset=3": "dataset '3' is not in the archive",
    "dataset=": "dataset '' is not in the archive",
    "exclude=*": "exclude '*' leaves nothing of dataset 'default'",
    "dataset": "'dataset' is not an override",
    "dataset=~Coffee": "'dataset=~Coffee' is not an override",
    "dataset=[GunPoint": "'dataset=[GunPoint' is not an override",
    "dataset=${nope}": "setting 'dataset' is wrong",
    "protocl.epochs=3": "setting 'protocl.epochs' in 'protocl.epochs=3' is not known: did you mean 'protocol.epochs'?",
    "++foo=1": "setting 'foo' in '++foo=1' is not known",
    "+model.fnc.filters=[3]": "setting 'model.fnc.filters' in '+model.fnc.filters=[3]' is not known: did you mean",
    "seeds.count=3": "setting 'seeds.count' in 'seeds.count=3' is not known: seeds is a single value",
    "seeds=0": "seeds=0 is out of range",
    "seeds=[]": "seeds=[] is empty",
    "seeds=two": "seeds=two is not a whole number",
    "resample=-1": "resample=-1 is out of range",
    "dry_run=maybe": "dry_run=maybe is not true or false: write one of them",
    "protocol.lr=nan": "protocol.lr=nan is out of range",
    "protocol.lr=inf": "protocol.lr=inf is out of range",
    "protocol.select=validation": "protocol.select=validation is without held-out cases",
    "protocol.name=mine": "setting 'protocol.name' in 'protocol.name=mine' is fixed",
    "protocol=fawaz": "protocol 'fawaz' is not known: did you mean 'fawaz2019'?",
    "protocol=smoke,fawaz": "protocol 'fawaz' is not known: did you mean 'fawaz2019'?",
    "executor=local,inline": "'executor=local,inline' is not one text",
    "executor.workers=1,2": "'executor.workers=1,2' has several values, but a run has one executor.workers",
    "executor.workers=[1,2]": "'executor.workers=[1,2]' has several values, but a run has one executor.workers",
    "model=fnc": "model 'fnc' is not known: did you mean 'fcn'?",
    "model.fcn=null": "model=[] is empty",
    "model.fcn.kernels=[8]": "filters=[128, 256, 128] and kernels=[8] are of different length",
    "~model.fcn": "'~model.fcn' deletes a setting",
    "executor=dask": "executor 'dask' is not known: use one of inline, local",
    "executor.workers=-1": "executor.workers=-1 is out of range",
    "hydra.nope=1": "'hydra.nope=1' is a setting of Hydra, which has no effect here: leave it out",
    "hydra.run.dir=out": "'hydra.run.dir=out' has no effect: write results=FOLDER",
    "hydra/launcher=basic": "'hydra/launcher=basic' is a setting of Hydra",
    "epochs=5": "setting 'epochs' in 'epochs=5' is not known: did you mean 'protocol.epochs=5'?",
    "engine.lr=5": "setting 'engine.lr' in 'engine.lr=5' is not known: did you mean 'protocol.lr=5'?",
    "workers=4": "setting 'workers' in 'workers=4' is not known: did you mean 'executor.workers=4'?",
    "batch_size=16": "setting 'batch_size' in 'batch_size=16' is not known: did you mean 'protocol.batch_size=16'?",
    "engine=fast": "'engine=fast' gives one value to several settings: engine has name, precision, threads",
    "resample=1 resamples=2": "resamples=2 and resample=1 are both set: give one of them",
    "resamples=0": "resamples=0 is out of range: give a number at least 1",
    "protocol.lr=interval(0,1)": "'protocol.lr=interval(0,1)' is not a list of values: write them, protocol.lr=A,B,C",
    "protocol.lr=range(1000) protocol.eps=range(1000)": "protocol.lr, protocol.eps have 1000000 combinations of values",
    "results=~nobody-here/r": "'~nobody-here/r' has no home folder: write the path in full",
    "--config-dir": "--config-dir is without a folder",
    "--config-dir=nowhere": "--config-dir 'nowhere' is not a folder",
    "model=null": "model 'null' is not known",
    "model=[fcn,null]": "model 'null' is not known",
    "model=[fcn,resnt]": "model 'resnt' is not known: did you mean 'resnet'?",
    "executor=null": "executor 'null' is not known",
    "experiment=smallest10": "experiment 'smallest10' is not known: did you mean 'smallest10_lstm'?",
    "protocol.eps=inf": "protocol.eps=inf is out of range",
    "model.fcn.bn_eps=inf": "bn_eps=inf is out of range",
    "protocol.paper_models=[fcn]": "setting 'protocol.paper_models' in 'protocol.paper_models=[fcn]' is fixed",
    "--dry-run": "flag '--dry-run' is not known: did you mean 'dry_run=...'?",
    "results=": "results= is empty: give a folder",
    "archive.root=": "archive.root= is empty: give a folder",
    "protocol.common.epochs=9 protocol.epochs=3": "'protocol.common.epochs=9' has no effect",
    "protocol.models.resnet.epochs=3": "'protocol.models.resnet.epochs=3' has no effect: resnet is not among",
    "protocol.truncate=0": "protocol.truncate=0 is out of range: give a fraction above 0, at most 1 (all of it)",
    "protocol.truncate=0.5,50": "protocol.truncate=50 is out of range: give a fraction above 0, at most 1 (all of it)",
    "truncate=0.5": "setting 'truncate' in 'truncate=0.5' is not known: did you mean 'protocol.truncate=0.5'?",
    "protocol.permute_time=-1": "protocol.permute_time=-1 is out of range: give a number from 0 to",
    "protocol.permute_time=yes": "protocol.permute_time=yes is not a whole number",
    "protocol.noise=-1": "protocol.noise=-1 is out of range: give a number at least 0",
    "protocol.test_noise=inf": "protocol.test_noise=inf is out of range",
    "protocol.noise=1 protocol.test_noise=2": "protocol.noise=1 and protocol.test_noise=2 are both on the test cases",
    "protocol.noise=0.5 save_weights=true": "protocol.noise=0.5 is drawn for the cases of the dataset, and weights are",
    "protocol.test_noise=0,1 save_weights=true": "protocol.test_noise=1 is drawn for the cases of the dataset, and",
    "protocol.rho=0.5": "'protocol.rho=0.5' has no effect: nothing in this run reads rho",
    "protocol.common.cells=[8]": "'protocol.common.cells=[8]' has no effect: nothing in this run reads cells",
    "archive.root=~/not/there": f"archive.root '{Path.home()}/not/there' is not a folder",
    "results=a,b": "'results=a,b' is not one text",
    "seeds=range(0)": "'seeds=range(0)' is not a list of values",
    "seeds=100000000000": "seeds=100000000000 is over a million",
    "resample=4294967296": "resample=4294967296 is out of range: give a number from 0 to 4294967295",
    "resample=[4294967296]": "resample=[4294967296] holds 4294967296: give whole numbers from 0 to 4294967295",
    "seeds=[1,4294967296]": "seeds=[1, 4294967296] holds 4294967296: give whole numbers from 0 to 4294967295",
    "results=${oc.env:HOME}": "setting 'results' calls a function, '${oc.env:HOME}': write the value itself",
    "dataset=[Coffee,'${oc.decode:1}']": "setting 'dataset' calls a function, '${oc.decode:1}': write the value itself",
    "--resolve": "--resolve: The --resolve flag can only be used in conjunction with --cfg or --help",
    "budget=2": "budget=2 is not a time: write 2h, 30m, 1h30m or 90s",
    "budget=soon": "budget=soon is not a time: write 2h, 30m, 1h30m or 90s",
    "budget=0h": "budget=0h is zero: give more",
    "max_attempts=0": "max_attempts=0 is out of range: give a number at least 1",
    "checkpoint.every_seconds=-1": "checkpoint.every_seconds=-1 is out of range",
    "checkpoint.every=1": "setting 'checkpoint.every' in 'checkpoint.every=1' is not known: checkpoint has every_",
    "executor.memory=-1": "executor.memory=-1 is out of range",
    "executor.per_device=-1": "executor.per_device=-1 is out of range",
    "retry_failed=true": "setting 'retry_failed' in 'retry_failed=true' is not known",
}


@pytest.mark.parametrize(("word", "message"), RARE.items())
def test_rare_bad_input(word: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["protocol=smoke", "dry_run=true", *word.split()]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith(f"error: {message}") and said.out == ""
    assert list(here.iterdir()) == []


def test_probes_of_the_data_are_rows_of_one_table_and_off_paper(here: Path) -> None:
    words = (*TINY, "dataset=ItalyPowerDemand", "executor=inline")
    assert main([*words, "protocol.truncate=1.0,0.5"]) == 0
    assert main([*words, "protocol.permute_time=7", "protocol.test_noise=0.5", "resample=1"]) == 0
    found = {row["protocol"]: (row["split"], row["marks"]) for row in rows(here)}
    assert found == {
        "smoke": ("official", "off-paper"),
        "smoke[truncate=0.5]": ("official", "off-paper"),
        "smoke[permute_time=7, test_noise=0.5]": ("resample 1", "off-paper"),
    }


def test_a_permutation_of_series_of_several_lengths_fails_with_the_reason(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv(here / "mine", "Walks", 8, 6, 12)
    table = here / "mine" / "Walks" / "Walks_TRAIN.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:-1], ",".join(lines[-1].split(",")[:6]) + ",,,,,,,"]) + "\n")
    words = (*TINY, "dataset=Walks", "archive.root=mine", "executor=inline", "protocol.permute_time=7")
    assert main([*words, "protocol.length=mask"]) == 1
    assert "permute_time=7 is for cases of one length, and one is used at 5 timepoints" in capsys.readouterr().out
    assert main([*words, "protocol.length=cut,pad"]) == 0


def test_the_experiment_for_debugging_runs_in_seconds(machine: Machine, tmp_path: Path) -> None:
    done = machine.run("experiment=debug", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["debug_results"]
    records = store.read(tmp_path / "debug_results")
    assert {(r.status, r.dataset, r.model, r.settings["epochs"]) for r in records} == {
        ("ok", dataset, model, 3) for dataset in ("ItalyPowerDemand", "GunPoint") for model in ("fcn", "lstm_fcn")
    }
    assert sum(require(record.job_seconds) for record in records) < 30


def test_results_that_is_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "taken").write_text("mine")
    assert main([*TINY, "dataset=GunPoint", "results=taken"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: results=taken is a file: give a folder")
    assert contents(here) == {"taken": b"mine"}


# ---------------------------------------------------------------------------------------------------------------------
# Stopped in the middle


def stopped_after(n_records: int, how: signal.Signals, machine: Machine, words: tuple[str, ...], folder: Path) -> Any:
    """Start the command, send it a signal once there are `n_records` whole records, and return how it ended."""
    process = machine.popen(
        ("-m", "tsfcn.run", *words),
        folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell that starts the tests in the background lets them, and so the command, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    records = folder / "results" / "records"
    try:
        until(lambda: sum(path.read_bytes().count(b"\n") for path in records.glob("*")) >= n_records, process)
        workers = children(process.pid)
        process.send_signal(how)
        out, err = process.communicate(timeout=100)
    finally:
        process.kill()
        process.wait()
    assert len(workers) == 1, err  # it was in the middle of a job
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@linux
def test_the_same_call_goes_on_after_ctrl_c_and_after_a_kill(machine: Machine, tmp_path: Path) -> None:
    words = (*TINY, "dataset=ItalyPowerDemand", "seeds=3", "protocol.epochs=500")
    first = stopped_after(1, signal.SIGINT, machine, words, tmp_path)
    assert first.returncode == 130
    assert first.stdout == "" and "Traceback" not in first.stderr
    assert first.stderr.endswith("\nstopped: finished jobs are kept, the same command goes on from there\n")
    after_first = store.read(tmp_path / "results")
    assert [(record.seed, record.status) for record in after_first] == [(0, "ok")]

    second = stopped_after(2, signal.SIGKILL, machine, words, tmp_path)
    assert second.returncode == -signal.SIGKILL
    assert "3 jobs: 1 done before, 2 to run" in second.stderr
    after_second = store.read(tmp_path / "results")
    assert [(record.seed, record.status) for record in after_second] == [(0, "ok"), (1, "ok")]

    last = machine.run(*words, cwd=tmp_path)
    assert last.returncode == 0, last.stderr
    assert last.stderr.startswith("3 jobs: 2 done before, 1 to run")
    records = store.read(tmp_path / "results")
    assert records[:2] == after_second and after_second[:1] == after_first
    assert [(record.seed, record.status) for record in records] == [(0, "ok"), (1, "ok"), (2, "ok")]
    n_lines = sum(path.read_bytes().count(b"\n") for path in (tmp_path / "results" / "records").iterdir())
    assert n_lines == 3  # nothing was trained twice
    assert [row["n_seeds"] for row in rows(tmp_path)] == ["3"]
