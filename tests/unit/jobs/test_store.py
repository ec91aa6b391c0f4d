"""Records on disk: whatever a crash, a full disk or another version left, every whole record is read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from tests import records
from tests.records import record_of
from tsfcn.common import files
from tsfcn.common.errors import UserError
from tsfcn.jobs import artifacts, selection, store
from tsfcn.jobs.plan import Job
from tsfcn.jobs.record import Record

ROOT = Path(__file__).resolve().parents[3]


def long(key: str) -> str:
    """Return the 16 digits that a short key stands for."""
    return key.rjust(16, "0")


def record(key: str, **values: Any) -> Record:
    """Return a record; its short key also names its dataset, so that two keys are two rows."""
    short: dict[str, Any] = {"passport": {}, "model_settings": {}, "settings": {}, "versions": {}, "group": ""}
    names = {"key": long(key), "dataset": key, "finished": "2026-01-01T00:00:00.000Z"}
    return records.record(**{**short, **names, **values})


def line(key: str, **values: Any) -> bytes:
    """Return a record as it stands in a file."""
    return record(key, **values).line()


def lay(results: Path, data: bytes, name: str = "a.jsonl") -> Path:
    """Write a records file."""
    path = results / "records" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def keys(results: Path) -> list[str]:
    """Return the short keys of the current records."""
    return [found.key.lstrip("0") for found in store.read(results)]


# ---------------------------------------------------------------------------------------------------------------------
# Writing


def test_records_come_back(tmp_path: Path) -> None:
    assert store.read(tmp_path) == []
    assert list(tmp_path.iterdir()) == []  # reading makes nothing
    writer = store.Writer(tmp_path)
    assert list(tmp_path.iterdir()) == []  # nor does a writer without a record
    first = record("a", accuracy=0.1 + 0.2, reason="a\nb, \x85 and ü")
    second = record("b", curve={"epoch": [1], "loss": [1e-30], "lr": [0.001]})
    writer.write(first)
    assert store.read(tmp_path) == [first]  # at once, not when the writer ends
    writer.write(second)
    assert store.read(tmp_path) == [first, second]
    (path,) = (tmp_path / "records").iterdir()
    assert path.read_bytes().count(b"\n") == 2 and path.suffix == ".jsonl"


def test_writers_do_not_share_a_file(tmp_path: Path) -> None:
    writers = [store.Writer(tmp_path) for _ in range(3)]
    for number, writer in enumerate(writers):
        writer.write(record(f"a{number}"))
    assert len(list((tmp_path / "records").iterdir())) == 3
    assert sorted(keys(tmp_path)) == ["a0", "a1", "a2"]


def test_a_number_that_json_has_not_is_refused_and_leaves_no_line(tmp_path: Path) -> None:
    writer = store.Writer(tmp_path)
    writer.write(record("a"))
    for field in ("accuracy", "accuracy_last", "train_seconds"):
        with pytest.raises(ValueError, match="JSON"):
            writer.write(record("b", **{field: float("nan")}))
    writer.write(record("c"))
    assert keys(tmp_path) == ["a", "c"]


# Run in a process of its own, where files must not grow beyond a limit: a write fails half-way, as on a full disk.
FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from tsfcn.jobs import artifacts
from tsfcn.jobs import store
from tsfcn.jobs.record import Record

def record(key):
    names = {"dataset": "GunPoint", "model": "fcn", "protocol": "smoke", "group": "", "seed": 0}
    return Record(key=key.rjust(16, "0"), status="ok", accuracy=0.5, **names)

results, what = Path(sys.argv[1]), sys.argv[2]
writer = store.Writer(results)
writer.write(record("a"))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (writer.file.tell() + 100, resource.RLIM_INFINITY))
try:
    if what == "record":
        writer.write(record("b"))
    else:
        artifacts.write_weights(results, "b", bytes(10_000))
except OSError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if sys.argv[3:]:
        writer.write(record("c"))
    sys.exit(7)
"""


def on_full_disk(results: Path, *words: str) -> None:
    """Write a record, then fail to write what `words` name; with a third word, write another record after that."""
    pytest.importorskip("resource", reason="no limits on the size of files here")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, results, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 7, done.stderr  # the failure was told


def test_a_full_disk_leaves_the_earlier_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on_full_disk(tmp_path, "record")
    assert keys(tmp_path) == ["a"]
    (path,) = (tmp_path / "records").iterdir()
    assert path.read_bytes().endswith(b"}\n")  # no torn line stays
    assert capsys.readouterr().err == ""


def test_a_writer_goes_on_after_a_full_disk(tmp_path: Path) -> None:
    on_full_disk(tmp_path, "record", "more")
    assert keys(tmp_path) == ["a", "c"]


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    on_full_disk(tmp_path, "weights")
    assert list((tmp_path / "weights").iterdir()) == []
    assert keys(tmp_path) == ["a"]


# ---------------------------------------------------------------------------------------------------------------------
# Reading what is not whole


def test_torn_at_every_byte_of_the_last_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, last = line("a", accuracy=0.5) + line("b"), line("c", reason="ä {")
    for size in range(len(last)):
        lay(tmp_path, kept + last[:size])
        assert keys(tmp_path) == (["a", "b", "c"] if size == len(last) - 1 else ["a", "b"])  # all but the newline
    lay(tmp_path, kept + last)
    assert keys(tmp_path) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""  # a crash in the middle of a write is no news


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (line("e")[:-9] + b"\n", "it is not JSON"),
        (b"\0" * 40 + line("e"), "its digest does not match: it was changed after it was written"),
        (b"\xff\xfe\n", "it is not JSON"),
        (b"[1,2]\n", "it is not a JSON object"),
        (b"null\n", "it is not a JSON object"),
        (b"{}\n", "it has no key"),
        (b'{"key":"000000000000000e"}\n', "it has no group"),
        (b'{"status":"ok"}\n', "it has no key"),
        (b"<<<<<<< HEAD\n", "it is not JSON"),
    ],
)
def test_garbage_in_the_middle_is_left_out_and_named(
    garbage: bytes, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = lay(tmp_path, line("a") + garbage + line("b"))
    assert keys(tmp_path) == ["a", "b"]
    assert capsys.readouterr().err == f"{path}: 1 line is not a record and is left out: line 2: {reason}\n"


def test_of_many_bad_lines_the_first_ones_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lay(tmp_path, b"[]\n" + line("a") + b"{}\n" * 4)
    assert keys(tmp_path) == ["a"]
    assert capsys.readouterr().err == (
        f"{path}: 5 lines are not records and are left out: line 1: it is not a JSON object; line 3: it has no key; "
        "line 4: it has no key; and 2 more\n"
    )


def test_empty_files_and_lines_and_foreign_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay(tmp_path, b"")
    lay(tmp_path, b"\n\r\n" + line("a").replace(b"\n", b"\r\n") + b"\n", "b.jsonl")
    lay(tmp_path, b"not ours\n", "notes.txt")
    assert keys(tmp_path) == ["a"]
    assert capsys.readouterr().err == ""


def test_a_newer_schema_is_refused_and_an_older_one_read(tmp_path: Path) -> None:
    old = record_of(planned(0)[0])
    lay(tmp_path, json.dumps(old.to_json()).encode() + b"\n")  # before there was a schema
    assert store.read(tmp_path) == [old]
    path = lay(tmp_path, line("a") + json.dumps({"schema": 2, **record("b").to_json()}).encode() + b"\n")
    with pytest.raises(UserError) as told:
        store.read(tmp_path)
    assert str(told.value) == f"{path}: it is of schema 2: this tsfcn reads up to 1, install a newer one"


def test_a_reader_that_follows_a_file_as_it_grows_byte_by_byte_sees_each_record_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = line("a", reason="ä {") + b"\n" + line("b") + b"[1]\n" + line("c")
    path = lay(tmp_path, b"")
    reader, seen = store.Reader(tmp_path), []
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        seen += [found.key.lstrip("0") for found in reader.new()]
    assert seen == ["a", "b", "c"]
    reason = "line 4: it is not a JSON object"
    assert capsys.readouterr().err == f"{path}: 1 line is not a record and is left out: {reason}\n"
    lay(tmp_path, line("d"), "b.jsonl")
    assert [found.key for found in reader.new()] == [long("d")] and reader.new() == []


# ---------------------------------------------------------------------------------------------------------------------
# Which record counts


def test_attempts_are_the_failures_of_a_key_however_often_copied(tmp_path: Path) -> None:
    failed = [line("a", status="failed", finished=day) for day in ("1", "2")]
    lay(tmp_path, failed[0] + failed[1] + line("a", finished="3") + line("b", status="skipped"))
    lay(tmp_path, failed[0] + failed[1], "copy.jsonl")
    assert selection.attempts(store.Reader(tmp_path).new()) == {long("a"): 2}


def test_the_last_ok_record_of_a_key_counts(tmp_path: Path) -> None:
    lay(tmp_path, line("a", finished="2", other={"n": 2}) + line("a", finished="1", other={"n": 1}))
    lay(tmp_path, line("a", finished="3", other={"n": 3}), "0.jsonl")  # by time, not by the order of files or lines
    assert [(r.key, r.other["n"]) for r in store.read(tmp_path)] == [(long("a"), 3)]


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_ok_beats_what_came_before_and_after(status: str, tmp_path: Path) -> None:
    other = {"status": status, "reason": "why"}
    lay(tmp_path, line("a", finished="1", **other) + line("a", finished="2") + line("a", finished="3", **other))
    assert [(r.status, r.finished) for r in store.read(tmp_path)] == [("ok", "2")]


def test_without_ok_the_last_record_counts(tmp_path: Path) -> None:
    lay(tmp_path, line("a", finished="2", status="failed") + line("a", finished="1", status="failed"))
    lay(tmp_path, line("b", finished="1", status="failed") + line("b", finished="2", status="skipped"), "b.jsonl")
    assert {r.key: (r.status, r.finished) for r in store.read(tmp_path)} == {
        long("a"): ("failed", "2"),
        long("b"): ("skipped", "2"),
    }


ROW = {"dataset": "Coffee", "model": "fcn", "protocol": "paper", "resample": 0, "seed": 0}


def test_a_skip_is_dropped_once_the_same_row_and_seed_is_ok(tmp_path: Path) -> None:
    # A dataset that was not there has no content, so the later job has another key.
    skipped = line("a", **ROW, status="skipped", finished="1")
    lay(tmp_path, skipped)
    assert keys(tmp_path) == ["a"]
    lay(tmp_path, skipped + line("b", **ROW, status="failed", finished="2"))
    assert keys(tmp_path) == ["a", "b"]
    lay(tmp_path, skipped + line("b", **ROW, finished="2"))
    assert keys(tmp_path) == ["b"]
    for field, value in {"dataset": "Beef", "model": "mlp", "protocol": "p", "resample": 1, "seed": 1}.items():
        lay(tmp_path, skipped + line("b", **{**ROW, field: value}, finished="2"))
        assert keys(tmp_path) == ["a", "b"]


def test_a_failure_is_dropped_too_once_the_same_row_and_seed_is_ok(tmp_path: Path) -> None:
    # A file that could not be read has no content either, nor has an older version of the training code the same key.
    lay(tmp_path, line("a", **ROW, status="failed", finished="1") + line("b", **ROW, finished="2"))
    assert keys(tmp_path) == ["b"]


def test_records_come_in_the_order_of_their_finishing(tmp_path: Path) -> None:
    lay(tmp_path, line("a", finished="3") + line("b", finished="1"))
    lay(tmp_path, line("c", finished="2"), "0.jsonl")
    assert keys(tmp_path) == ["b", "c", "a"]


# ---------------------------------------------------------------------------------------------------------------------
# Other files


def planned(*seeds: int) -> list[Job]:
    """Return jobs of two datasets."""
    fields: dict[str, Any] = {
        "passport": {"content": "ab"},
        "architecture": "fcn",
        "model": "fcn",
        "model_settings": {},
    }
    fields |= {"protocol": "smoke", "settings": {"epochs": 3}, "off_paper": False, "resample": 0}
    return [Job(dataset=name, seed=seed, **fields) for name in ("Beef", "Coffee") for seed in seeds]


def test_a_plan_comes_back_and_goes(tmp_path: Path) -> None:
    jobs, more = planned(0, 1, 2), planned(7)
    assert store.planned(tmp_path) == {}
    path = store.write_plan(tmp_path, "a command", jobs)
    assert store.write_plan(tmp_path, "another command", list(reversed(jobs))) == path  # the same jobs
    other = store.write_plan(tmp_path, "a command", more)
    found = store.planned(tmp_path)
    assert found == {job.key: job for job in [*jobs, *more]}
    assert {job.key for job in found.values()} == set(found)
    store.remove_plan(path)
    assert set(store.planned(tmp_path)) == {job.key for job in more}
    store.remove_plan(other)
    assert list(tmp_path.iterdir()) == []
    store.remove_plan(other)  # another runner with the same jobs was quicker


def test_commands_are_remembered_once(tmp_path: Path) -> None:
    store.remember(tmp_path, "one", "two", "one", "")
    store.remember(tmp_path, "two", "three")
    assert (tmp_path / "commands.txt").read_text() == "one\ntwo\nthree\n"


def test_a_checkpoint_goes_with_what_a_kill_left_of_it(tmp_path: Path) -> None:
    path = artifacts.checkpoint_path(tmp_path, "a")
    files.replace(path, lambda file: file.write(b"state"))
    (path.parent / f".{path.name}.abc").write_bytes(b"half")
    files.replace(artifacts.checkpoint_path(tmp_path, "b"), lambda file: file.write(b"state"))
    artifacts.remove_checkpoint(tmp_path, "a")
    artifacts.remove_old_checkpoints(tmp_path, {"a", "c"})
    assert [left.name for left in path.parent.iterdir()] == ["b.pt"]
    artifacts.remove_old_checkpoints(tmp_path, {"b"})  # a kill between the record and the removal has left it
    assert list(tmp_path.iterdir()) == []


def test_replace_moves_the_whole_file_into_place(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    files.replace(path, lambda file: file.write(b"one"))
    files.replace(path, lambda file: file.write(b"two"))
    assert path.read_bytes() == b"two" and list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644  # mkstemp's own would keep others from reading results


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_replace_leaves_nothing_when_it_fails(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "file"

    def half(file: BinaryIO) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(error):
        files.replace(path, half)
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"whole")
    with pytest.raises(error):
        files.replace(path, half)
    assert path.read_bytes() == b"whole" and list(tmp_path.iterdir()) == [path]


def test_predictions_come_back_without_pickle(tmp_path: Path) -> None:
    probabilities = np.array([[0.25, 0.75], [1.0, 1e-9]])
    artifacts.write_predictions(
        tmp_path, "a", probabilities, np.array([0, 1]), np.array([1, 0]), np.array(["-1", "1"], dtype=str)
    )
    with np.load(artifacts.predictions_path(tmp_path, "a"), allow_pickle=False) as file:
        found = dict(file)
    assert sorted(found) == ["classes", "probabilities", "y_pred", "y_true"]
    assert found["probabilities"].dtype == np.float16
    np.testing.assert_array_equal(found["probabilities"], probabilities.astype(np.float16))
    assert found["y_true"].tolist() == [0, 1] and found["y_pred"].tolist() == [1, 0]
    assert found["classes"].tolist() == ["-1", "1"]


def test_done_asks_for_the_files_that_are_asked_for(tmp_path: Path) -> None:
    ok, failed = record("a"), record("a", status="failed")
    assert store.done(ok, tmp_path, weights=False, predictions=False)
    assert not store.done(failed, tmp_path, weights=False, predictions=False)
    assert not store.done(ok, tmp_path, weights=True, predictions=False)
    assert not store.done(ok, tmp_path, weights=False, predictions=True)
    artifacts.write_weights(tmp_path, ok.key, b"weights")
    assert store.done(ok, tmp_path, weights=True, predictions=False)
    assert not store.done(ok, tmp_path, weights=True, predictions=True)
    artifacts.write_predictions(tmp_path, ok.key, np.ones((1, 1)), np.zeros(1), np.zeros(1), np.array(["1"]))
    assert store.done(ok, tmp_path, weights=True, predictions=True)
    assert artifacts.weights_path(tmp_path, ok.key).read_bytes() == b"weights"
