"""What other users and crashes may leave in a results folder: nothing of it ends, blocks or misleads a run."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.records import record, save
from tsfcn.common import files
from tsfcn.common.errors import UserError
from tsfcn.jobs import artifacts, lease, maintenance, store
from tsfcn.jobs.lease import Runner, highest, lease_path

KEY = "0123456789abcdef"
needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")


def put(path: Path, kind: str) -> None:
    """Put something under a path that is not a file of ours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link to nothing":
        path.symlink_to(path.parent / "nothing")
    else:
        path.write_text({"not JSON": "{", "deep JSON": "[" * 100_000, "other JSON": "[1]", "empty": ""}[kind])


@needs_fifo
@pytest.mark.parametrize("kind", ["folder", "fifo", "not JSON", "deep JSON", "other JSON", "empty"])
def test_a_lease_that_says_nothing_holds_until_it_expires(kind: str, tmp_path: Path) -> None:
    put(lease_path(tmp_path, KEY, 0), kind)
    with Runner(tmp_path, expiry_seconds=0.05) as runner:
        assert not runner.claim(KEY)  # it may be of a living runner
        threading.Event().wait(0.1)
        assert runner.claim(KEY) and highest(tmp_path) == {KEY: 1}
        assert lease.holds(tmp_path, KEY, 1, runner.about["id"])
        runner.release(KEY)
    assert highest(tmp_path) == ({KEY: 0} if kind == "folder" else {})  # a folder is not ours to remove


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can read every file")
def test_a_lease_without_rights_to_read_it_holds_until_it_expires(tmp_path: Path) -> None:
    put(lease_path(tmp_path, KEY, 0), "other JSON")
    lease_path(tmp_path, KEY, 0).chmod(0)
    with Runner(tmp_path, expiry_seconds=0.05) as runner:
        assert not runner.claim(KEY)
        threading.Event().wait(0.1)
        assert runner.claim(KEY)


@pytest.mark.parametrize("name", [f"{KEY}.99999999999", f"{KEY}.٣", f"{KEY}.-1", f"{KEY}.", f"{KEY}.1e3", "notes.txt"])
def test_files_of_other_names_are_no_leases(name: str, tmp_path: Path) -> None:
    (tmp_path / "leases").mkdir()
    (tmp_path / "leases" / name).write_text("")
    assert highest(tmp_path) == {}
    with Runner(tmp_path) as runner:
        assert runner.claim(KEY)
    assert (tmp_path / "leases" / name).is_file()


def test_what_a_lease_says_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    lease_path(tmp_path / "results", KEY, 0).parent.mkdir(parents=True)
    about = {"id": "../../outside", "machine": lease.machine(), "pid": "../../1", "born": "1"}
    lease_path(tmp_path / "results", KEY, 0).write_text(json.dumps(about))
    (tmp_path / "results" / "runners").mkdir()
    (tmp_path / "results" / "runners" / "a.json").write_text(json.dumps(about))
    with Runner(tmp_path / "results"):
        pass
    assert outside.is_file()
    assert lease.heartbeat_path(tmp_path / "results", about).parent == tmp_path / "results" / "runners"


@needs_fifo
@pytest.mark.parametrize("kind", ["folder", "fifo", "link to nothing", "deep JSON", "other JSON", "not JSON"])
def test_odd_heartbeats_and_plans_are_left_out(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, record())
    put(tmp_path / "runners" / "odd.json", kind)
    put(tmp_path / "plans" / "odd.json", kind)
    text = maintenance.status(tmp_path)
    assert "1 job: 1 ok" in text
    assert f"{tmp_path / 'plans' / 'odd.json'} is not a plan and is left out" in capfd.readouterr().err


@pytest.mark.parametrize(
    "state", [1, [], {"total": "3"}, {"total": 3, "done": {}, "running": [{"key": 1}]}, {"total": 1}]
)
def test_a_heartbeat_of_another_form_tells_nothing(state: Any, tmp_path: Path) -> None:
    save(tmp_path, record())
    (tmp_path / "runners").mkdir()
    (tmp_path / "runners" / "other.json").write_text(json.dumps({"machine": "another", "state": state}))
    assert "runner other" in maintenance.status(tmp_path)


def test_records_go_on_in_another_file_where_theirs_was_removed(tmp_path: Path) -> None:
    writer = store.Writer(tmp_path)
    writer.write(record(seed=0))
    for path in (tmp_path / "records").iterdir():
        path.unlink()
    (tmp_path / "records").rmdir()
    writer.write(record(seed=1), record(seed=2))
    assert [each.seed for each in store.read(tmp_path)] == [1, 2]


def test_many_write_into_a_folder_that_is_removed_whenever_it_is_empty(tmp_path: Path) -> None:
    errors: list[OSError] = []

    def work(number: int) -> None:
        path = artifacts.checkpoint_path(tmp_path, f"{number:016x}")
        for _ in range(200):
            try:
                files.replace(path, lambda file: file.write(b"state"), sync=False)
                artifacts.remove_checkpoint(tmp_path, path.stem)
                artifacts.remove_old_checkpoints(tmp_path, set())
            except OSError as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize("name", ["", "records", "predictions", "checkpoints", "leases"])
def test_a_folder_that_cannot_be_written_to_is_named_before_anything_is_trained(name: str, tmp_path: Path) -> None:
    results = tmp_path / "results"
    if name:
        put(results / name, "empty")  # a file where a folder is needed: also root cannot write into it
    else:
        results.write_text("")
    with pytest.raises(UserError, match=rf"^folder '{results / name}' is not writable \(.*\): check its permissions"):
        store.check_writable(results)


def test_a_predictions_file_that_cannot_be_written_is_no_fault_of_the_job(tmp_path: Path) -> None:
    put(tmp_path / "predictions", "empty")
    with pytest.raises(artifacts.FolderUnusable):
        artifacts.write_weights(tmp_path / "predictions", KEY, b"")


def test_compacting_leaves_a_file_with_a_refused_line_as_it_is(tmp_path: Path) -> None:
    save(tmp_path, record(seed=0), record(seed=0))
    changed = tmp_path / "records" / "changed.jsonl"
    lines = record(seed=1).line() + record(seed=2).line().replace(b'"accuracy":0.9', b'"accuracy":0.8')
    changed.write_bytes(lines)
    text = maintenance.compact(tmp_path)
    assert text == (
        f"{tmp_path}: 2 lines in 1 files became 1 records in one; 1 with lines that are not records stay as they are"
    )
    assert changed.read_bytes() == lines
    assert [each.seed for each in store.read(tmp_path)] == [0, 1]


def test_gc_keeps_the_predictions_of_a_record_that_was_damaged(tmp_path: Path) -> None:
    save(tmp_path, record(seed=0))
    damaged = record(seed=1)
    (tmp_path / "records" / "two.jsonl").write_bytes(damaged.line().replace(b'"accuracy":0.9', b'"accuracy":0.8'))
    path = artifacts.predictions_path(tmp_path, damaged.key)
    put(path, "empty")
    assert "removed nothing" in maintenance.gc(tmp_path, dry_run=False)
    assert path.is_file()
    (tmp_path / "records" / "two.jsonl").unlink()
    assert "1 predictions without a record" in maintenance.gc(tmp_path, dry_run=False)
    assert not path.is_file()


@pytest.mark.parametrize("groups", [1, [1], [{"keys": 1}], [{"keys": {"0": KEY}}]])
def test_gc_removes_a_plan_that_cannot_be_read(groups: Any, tmp_path: Path) -> None:
    save(tmp_path, record())
    path = tmp_path / "plans" / "odd.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"groups": groups}))
    assert "1 plans that are done" in maintenance.gc(tmp_path, dry_run=False)
    assert not path.exists()
