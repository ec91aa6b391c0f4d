"""Looking after a results folder: what it tells is true, and what it removes is of no use."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.records import record, save
from tsfcn.cli.results import main
from tsfcn.common.errors import UserError
from tsfcn.jobs import artifacts, lease, selection, store
from tsfcn.jobs.maintenance import FOLDERS, compact, gc, merge, status, why


def told(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """Return what the command prints, which must be to its liking."""
    assert main([str(word) for word in words]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """Return the one line with which the command refuses."""
    assert main([str(word) for word in words]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert said.out == ""
    return line


def attempt(seed: int, status: str, day: int, **other: Any) -> Any:
    """Return a record of an attempt at a job of GunPoint, with what a key follows from."""
    reason = "" if status == "ok" else f"reason {day}"
    finished = f"2026-01-{day:02}T00:00:00Z"
    return record(seed=seed, finished=finished, status=status, reason=reason, architecture="fcn", **other)


def key_of(seed: int, group: str = "GunPoint/fcn/fawaz2019/0") -> str:
    """Return the key of an attempt."""
    return record(seed=seed, group=group).key


def kept(results: Path) -> list[tuple[str, str, str]]:
    """Return every record that is there: key, status, time."""
    history = selection.by_time(store.Reader(results).new())
    return [(each.key, each.status, each.finished) for each in history]


def touch(path: Path, age: float = 0.0) -> Path:
    """Make a file as if it were `age` seconds old."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, (time.time() - age,) * 2)
    return path


# ---------------------------------------------------------------------------------------------------------------------
# status and why


def plan_of(results: Path, *seeds: int) -> None:
    """Leave the plan of an unfinished run of GunPoint."""
    job = record(architecture="fcn")
    fields = ("dataset", "passport", "architecture", "model", "model_settings", "protocol", "settings", "off_paper")
    group: dict[str, Any] = {name: getattr(job, name) for name in (*fields, "resample", "precision")}
    group["keys"] = {str(seed): key_of(seed) for seed in seeds}
    path = results / "plans" / "a.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"command": "python -m tsfcn.run", "groups": [group]}))


def test_status_gives_each_reason_once_with_the_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for dataset in ("Beef", "Adiac", "Car"):
        save(tmp_path, record(dataset, status="skipped", reason=f"dataset '{dataset}' is not here: fetch {dataset}"))
    save(tmp_path, record("Beef", seed=1, status="skipped", reason="dataset 'Beef' is not here: fetch Beef"))
    wines = [record("Wine", seed=seed, status="failed", reason="training loss is nan") for seed in range(2)]
    save(tmp_path, *wines)
    assert told(capsys, "status", tmp_path).splitlines()[5:] == [
        "skipped: 4 jobs of 3 datasets (Adiac, Beef, Car): dataset 'NAME' is not here: fetch NAME",
        "failed: 2 jobs: training loss is nan",
        *sorted(f"  {wine.key} Wine fcn fawaz2019 seed {wine.seed}" for wine in wines),
    ]


def test_status_counts_every_job_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, attempt(0, "failed", 1), attempt(0, "ok", 2), attempt(1, "failed", 1), attempt(1, "failed", 2))
    beef = record("Beef", model="mlp", status="skipped", reason="dataset 'Beef' is not here")
    save(tmp_path, beef)
    plan_of(tmp_path, 0, 1, 2, 3)
    touch(tmp_path / "checkpoints" / "x.pt")
    said = told(capsys, "status", tmp_path)
    assert said.splitlines() == [
        f"{tmp_path}: 5 jobs: 1 ok, 1 failed, 1 skipped, 2 pending",
        "",
        "model  protocol   ok  failed  skipped  pending",
        "fcn    fawaz2019   1       1        0        2",
        "mlp    fawaz2019   0       0        1        0",
        "",
        f"skipped {beef.key} Beef mlp fawaz2019 seed 0: dataset 'Beef' is not here",
        f"failed {key_of(1)} GunPoint fcn fawaz2019 seed 1 (2 attempts): reason 2",
        "",
        "1 trainings in progress have a checkpoint (0.0 MiB)",
    ]
    listed = told(capsys, "status", tmp_path, "--jobs").splitlines()[-5:]
    expected = {key_of(seed): state for seed, state in enumerate(["ok", "failed", "pending", "pending"])}
    expected[beef.key] = "skipped"
    assert [tuple(line.split()[:2]) for line in listed] == [(state, key) for key, state in sorted(expected.items())]


def test_status_shows_who_is_at_work(tmp_path: Path) -> None:
    save(tmp_path, attempt(0, "ok", 1))
    with lease.Runner(tmp_path) as runner:
        row = {"dataset": "GunPoint", "model": "fcn", "protocol": "fawaz2019", "seed": 1, "resample": 0, "worker": 0}
        row |= {"key": key_of(1), "epoch": 3, "epochs": 9, "loss": 0.5, "rate": 2.0}
        done = {"ok": 1, "failed": 0, "skipped": 0}
        counts = {"total": 2, "done": done, "elsewhere": 0, "left_seconds": 9.0, "per_minute": None}
        runner.state = {**counts, "running": [row], "told": [0, []]}
        runner.beat()
        said = status(tmp_path).splitlines()
    assert said[0].endswith("2 jobs: 1 ok, 1 running")
    assert said[-3].startswith(f"runner {runner.about['id']} (")
    assert said[-2] == "  1 of 2 jobs done, 1 running, about 9 s left"
    assert said[-1] == "  GunPoint fcn seed 1: epoch 3 of 9, loss 0.5, 2 epochs/s"


def test_status_of_an_empty_folder_and_of_a_broken_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "status", tmp_path) == f"{tmp_path}: 0 jobs: none\n"
    for number, content in enumerate(("", "{", "[]", '{"groups": 3}', '{"groups": [3]}', '{"groups": [{}]}')):
        path = touch(tmp_path / "plans" / f"{number}.json")
        path.write_text(content)
        assert main(["status", str(tmp_path)]) == 0
        assert capsys.readouterr().err == f"{path} is not a plan and is left out: it has no groups of jobs\n"
        path.unlink()


def test_why_tells_the_history_and_the_nearest_finished_job(tmp_path: Path) -> None:
    changed = {"settings": {"epochs": 100, "lr": 0.001, "select": "least_train_loss", "betas": [0.9, 0.5]}}
    save(
        tmp_path,
        attempt(0, "ok", 1),
        record("Coffee", architecture="fcn"),
        attempt(5, "failed", 2, group="abc", **changed),
        attempt(5, "failed", 3, group="abc", **changed),
    )
    key = key_of(5, "abc")
    touch(artifacts.checkpoint_path(tmp_path, key))
    assert why(tmp_path, key[:3]).splitlines() == [
        f"{key} GunPoint fcn fawaz2019 seed 5: failed",
        "  1. failed 2026-01-02T00:00:00Z: reason 2",
        "  2. failed 2026-01-03T00:00:00Z: reason 3",
        "  a checkpoint is kept: the next attempt goes on from it",
        f"nearest finished job: {key_of(0)} GunPoint fcn fawaz2019 seed 0",
        "  protocol.epochs: 100, there 2000",
        "  protocol.betas: [0.9, 0.5], there [0.9, 0.999]",
        "  seed: 5, there 0",
    ]


def test_why_of_a_job_that_is_only_planned(tmp_path: Path) -> None:
    save(tmp_path, attempt(0, "ok", 1, meaning=0))
    plan_of(tmp_path, 0, 7)
    assert why(tmp_path, key_of(7)).splitlines() == [
        f"{key_of(7)} GunPoint fcn fawaz2019 seed 7: pending",
        f"nearest finished job: {key_of(0)} GunPoint fcn fawaz2019 seed 0",
        "  meaning: 1, there 0",
        "  seed: 7, there 0",
    ]


def test_why_of_the_only_job_and_of_an_unknown_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, attempt(0, "ok", 1, key="a1" * 8))
    assert why(tmp_path, "a1").endswith("\nno other job is finished here")
    save(tmp_path, attempt(1, "ok", 1, key="a2" * 8))
    assert refused(capsys, "why", "a", tmp_path) == "error: key 'a' is the beginning of 2 keys: give more of it"
    assert refused(capsys, "why", "x", tmp_path) == (
        f"error: key 'x' is not of a job that is known here: see tsfcn results status {tmp_path} --jobs"
    )


# ---------------------------------------------------------------------------------------------------------------------
# compact


def test_compact_keeps_what_counts_and_every_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, attempt(0, "failed", 1), attempt(0, "skipped", 2), attempt(0, "ok", 3), attempt(0, "ok", 4))
    save(tmp_path, attempt(1, "failed", 5), attempt(1, "failed", 5), attempt(1, "skipped", 6))
    other = tmp_path / "records" / "two.jsonl"
    other.write_bytes((tmp_path / "records" / "one.jsonl").read_bytes() + b'{"key": "torn')
    before = [each.whole() for each in store.read(tmp_path)]
    said = told(capsys, "compact", tmp_path)
    assert said == f"{tmp_path}: 15 lines in 2 files became 4 records in one\n"
    assert kept(tmp_path) == [
        (key_of(0), "failed", "2026-01-01T00:00:00Z"),
        (key_of(0), "ok", "2026-01-04T00:00:00Z"),
        (key_of(1), "failed", "2026-01-05T00:00:00Z"),
        (key_of(1), "skipped", "2026-01-06T00:00:00Z"),
    ]
    assert store.read(tmp_path) == before
    (path,) = (tmp_path / "records").iterdir()
    now = path.read_bytes()
    assert told(capsys, "compact", tmp_path) == f"{tmp_path}: nothing to do, 4 records in 1 files\n"
    assert path.read_bytes() == now


def test_a_compaction_that_is_cut_short_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, attempt(0, "ok", 1), attempt(1, "failed", 2))
    store.Writer(tmp_path).write(attempt(2, "ok", 3))
    before, history = [each.whole() for each in store.read(tmp_path)], kept(tmp_path)
    unlink = Path.unlink
    left = [1]

    def cut(path: Path, missing_ok: bool = False) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        unlink(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", cut)
        with pytest.raises(KeyboardInterrupt):
            compact(tmp_path)
    assert store.read(tmp_path) == before and len(kept(tmp_path)) > len(history)
    compact(tmp_path)
    assert store.read(tmp_path) == before and kept(tmp_path) == history


def test_a_reader_that_follows_sees_no_record_vanish(tmp_path: Path) -> None:
    save(tmp_path, attempt(0, "ok", 1))
    reader = store.Reader(tmp_path)
    assert len(reader.new()) == 1 and reader.new() == []
    store.Writer(tmp_path).write(attempt(1, "ok", 2))
    compact(tmp_path)
    assert key_of(1) in {each.key for each in reader.new()}


@pytest.mark.parametrize("verb", ["compact", "gc"])
def test_a_folder_in_use_is_left_alone(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, attempt(0, "ok", 1))
    with lease.Runner(tmp_path) as runner:
        line = refused(capsys, verb, tmp_path)
        if lease.machine():
            assert line == f"error: {tmp_path} is in use by process {os.getpid()}: wait for its end, or end it"
        runner.about["machine"] = "another"
        runner.beat()
        line = refused(capsys, verb, tmp_path)
        assert line.startswith(f"error: {tmp_path} has a runner on another machine, {runner.about['id']}: remove ")
    told(capsys, verb, tmp_path)


# ---------------------------------------------------------------------------------------------------------------------
# merge


def test_merge_brings_records_and_their_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    save(one, attempt(0, "ok", 1, group="a"), attempt(1, "failed", 2, group="a"), attempt(1, "ok", 3, group="a"))
    save(one, record("Beef", status="skipped", reason="not here"))
    save(two, attempt(0, "ok", 4, group="a"))
    first, second = (key_of(seed, "a") for seed in (0, 1))
    for key in (first, second):
        touch(artifacts.predictions_path(one, key))
    touch(artifacts.weights_path(one, second))
    (one / "commands.txt").write_text("python -m tsfcn.run seeds=2\n")
    (two / "commands.txt").write_text("python -m tsfcn.run\n")
    said = told(capsys, "merge", one, two)
    assert said == (
        f"{two}: 1 ok, 1 failed, 1 skipped records and 2 files came from {one}; make the tables: tsfcn table {two}\n"
    )
    assert [(key, state) for key, state, _ in kept(two)] == [
        (record("Beef").key, "skipped"),
        (second, "failed"),
        (second, "ok"),
        (first, "ok"),
    ]
    assert artifacts.predictions_path(two, second).read_bytes() == b"x"
    assert artifacts.weights_path(two, second).read_bytes() == b"x"
    assert not artifacts.predictions_path(two, first).exists()  # its record there is another's
    assert (two / "commands.txt").read_text() == "python -m tsfcn.run\npython -m tsfcn.run seeds=2\n"
    before = kept(two)
    assert "no new records and 0 files" in told(capsys, "merge", one, two)
    assert kept(two) == before
    assert len(kept(one)) == 4  # stays as it was


def test_merge_refuses_two_experiments_under_one_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    save(one, attempt(0, "ok", 1, group="a"))
    save(two, attempt(1, "ok", 2, group="b"))
    assert refused(capsys, "merge", one, two) == (
        f"error: GunPoint fcn fawaz2019 seed 0 is another experiment in {one} than in {two}: "
        "their data, settings or versions of the training code differ, keep them apart"
    )
    assert len(kept(two)) == 1
    assert refused(capsys, "merge", one, one) == f"error: merge {one} {one} names one folder twice: give two"
    none = tmp_path / "none"
    assert (
        refused(capsys, "merge", none, two) == f"error: results '{none}' is no folder: give one that a run has written"
    )
    assert not none.exists()


def test_merge_refuses_what_no_table_mixes(tmp_path: Path) -> None:
    save(tmp_path / "cases", record("GunPoint"))
    save(tmp_path / "streams", record("CBF", task={"name": "segmentation"}))
    with pytest.raises(UserError, match="the other classifications of cases, which no table mixes: keep them apart"):
        merge(tmp_path / "streams", tmp_path / "cases")
    assert [each.dataset for each in store.read(tmp_path / "cases")] == ["GunPoint"]


def test_merge_into_an_empty_folder_is_the_whole(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    save(one, *(attempt(seed, "ok", seed + 1) for seed in range(5)))
    two.mkdir()
    merge(one, two)
    assert store.read(two) == store.read(one)


# ---------------------------------------------------------------------------------------------------------------------
# gc


def test_gc_removes_what_no_record_needs_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, attempt(0, "ok", 1), attempt(1, "failed", 2))
    ok, failed, other = key_of(0), key_of(1), "b0" * 8
    stays = [
        touch(tmp_path / "predictions" / f"{ok}.npz"),
        touch(tmp_path / "checkpoints" / f"{other}.pt"),  # of a job that is not done
        touch(tmp_path / "tables" / "accuracy.csv"),
        touch(tmp_path / "predictions" / ".young.npz.0123abcd"),
        touch(tmp_path / "notes.txt", 1e6),
        touch(tmp_path / ".notes.txt.swp", 1e6),
        touch(tmp_path / "predictions" / "mine.npz", 1e6),
        touch(tmp_path / "weights" / f"{other}.pt", 1e6),
        touch(tmp_path / "notes" / ".a0.npz.0123abcd", 1e6),
        tmp_path / "records" / "one.jsonl",
    ]
    text = (tmp_path / "records" / "one.jsonl").read_text()
    plan_of(tmp_path, 2)
    goes = [
        touch(tmp_path / "predictions" / f"{failed}.npz"),
        touch(tmp_path / "weights" / f"{other}.safetensors"),
        touch(tmp_path / "checkpoints" / f"{ok}.pt"),
        touch(tmp_path / "predictions" / f".{ok}.npz.0123abcd", 1e4),
        touch(tmp_path / ".README.md.0123abcd", 1e4),
        touch(tmp_path / "plans" / "broken.json"),
    ]
    if lease.machine():
        dead = json.dumps({"id": "dead", "machine": lease.machine(), "pid": 1, "born": "0"})
        goes += [touch(tmp_path / "leases" / name) for name in (f"{failed}.0", f"{failed}.1")] + [
            touch(tmp_path / "runners" / "dead.json")
        ]
        for path in goes[-3:]:
            path.write_text(dead)
    said = told(capsys, "gc", "--dry-run", tmp_path)
    assert said.startswith(f"{tmp_path}: would remove 1 predictions without a record (0.0 MiB); 1 weights without ")
    assert all(path.exists() for path in [*stays, *goes])
    assert told(capsys, "gc", tmp_path) == said.replace("would remove", "removed")
    assert [path for path in goes if path.exists()] == []
    assert [path for path in stays if not path.exists()] == []
    assert (tmp_path / "plans" / "a.json").exists()  # its job is pending
    assert gc(tmp_path, dry_run=False) == f"{tmp_path}: removed nothing"
    said = told(capsys, "gc", "--unfinished", tmp_path)
    assert "1 checkpoints of unfinished jobs" in said and "1 plans of unfinished runs" in said
    assert not (tmp_path / "plans").exists() and not (tmp_path / "checkpoints").exists()
    assert (tmp_path / "records" / "one.jsonl").read_text() == text


@pytest.mark.parametrize("name", ["predictions", "weights", "checkpoints", "runners", "plans", "leases", "tables"])
def test_gc_removes_nothing_behind_a_link(name: str, tmp_path: Path) -> None:
    """A folder that is a link may lead to the files of others."""
    key = "b0" * 8
    names = [f"{key}.npz", f"{key}.safetensors", f"{key}.pt", f"{key}.json", f"{key}.0", f".{key}.npz.0123abcd"]
    if name == "runners":
        names.remove(f"{key}.json")  # a heartbeat, under which gc refuses to work
    others = [touch(tmp_path / "others" / file_name, 1e6) for file_name in names]
    results = save(tmp_path / "results", attempt(0, "ok", 1, group="a"))
    (results / name).symlink_to(tmp_path / "others")
    (results / f"{key}.link").symlink_to(tmp_path / "others")
    text = gc(results, dry_run=False, unfinished=True)
    assert [path for path in others if not path.exists()] == []
    assert text.endswith(f"removed nothing; left alone, being symbolic links: {name}") == (name in FOLDERS)


def test_a_model_card_goes_where_its_weights_go(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    key = record("GunPoint").key
    save(old, record("GunPoint"))
    other = touch(old / "weights" / "0123456789abcdef.md")
    notes = touch(old / "weights" / "notes.md")
    artifacts.write_card(old, key, "# fcn")
    artifacts.write_weights(old, key, b"weights")
    merge(old, new)
    assert artifacts.card_path(new, key).read_text() == "# fcn"
    assert gc(old, dry_run=False).startswith(f"{old}: removed 1 weights without a record")
    assert not other.exists() and notes.exists() and artifacts.card_path(old, key).exists()


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["status"], ["why", "a"], ["compact"], ["gc"]):
        line = refused(capsys, *words, tmp_path / "no")
        assert line == f"error: results '{tmp_path / 'no'}' is no folder: give one that a run has written"
