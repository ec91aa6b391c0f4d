"""The index of records: always the answers of the lines, and each line is read once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.records import record
from tsfcn.common.errors import UserError
from tsfcn.common.streams import notice
from tsfcn.jobs import index, selection, store
from tsfcn.jobs.index import Index, saved_index
from tsfcn.jobs.record import NAMES, Record, parse

CURVE = {"epoch": [1, 2], "loss": [0.5, 0.25], "lr": [0.1, 0.1]}


@pytest.fixture(autouse=True)
def saved_always(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Save an index however few records are new."""
    monkeypatch.setattr(index, "MANY", 1)
    monkeypatch.setattr(index, "SHARE", 0)


@pytest.fixture
def lines_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of the lines that are read from now on, as file and offset."""
    read, found = index.read_line, []

    def counted(line: bytes, source: tuple[str, int]) -> Record | str:
        found.append(f"{Path(source[0]).name}:{source[1]}")
        return read(line, source)

    monkeypatch.setattr(index, "read_line", counted)
    return found


def some(seed: int, status: str = "ok", day: int = 1, **other: Any) -> Record:
    """Return a record with a curve."""
    return record(seed=seed, status=status, finished=f"2026-01-{day:02}T00:00:00Z", curve=CURVE, **other)


def lay(results: Path, name: str, *records: Record) -> Path:
    """Append records to a file."""
    path = results / "records" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.writelines(each.line() for each in records)
    return path


def from_lines(results: Path) -> list[Record]:
    """Return all records of a folder in the order of their finishing, without an index."""
    records = []
    for path in sorted((results / "records").glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            try:
                records.append(parse(line))
            except ValueError:
                continue
    return selection.by_time(records)


def check(results: Path) -> None:
    """Assert that the index gives the answers of the lines."""
    history = from_lines(results)
    current = selection.current(history)
    by_key = {each.key: each for each in current}
    with Index(results) as found:
        assert [each.whole() for each in found.records()] == history
        assert [each.whole() for each in found.current()] == current
        assert found.summary() == Counter((each.model, each.protocol, each.status) for each in by_key.values())
        assert {each.key for each in found.problems()} == {key for key, each in by_key.items() if not each.is_ok}
        assert selection.contradictions(found.unsettled()) == selection.contradictions(history)
        assert selection.attempts(found.unsettled()) == selection.attempts(history)
        asked = {each.key for each in history} | {"0" * 16}
        assert found.without_record(asked) == asked - by_key.keys()


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_to_the_files_the_answers_are_those_of_the_lines(seed: int, tmp_path: Path) -> None:
    results, numbers = tmp_path / "results", random.Random(seed)

    def any_record() -> Record:
        status = numbers.choice(["ok", "ok", "failed", "skipped"])
        other: dict[str, Any] = {"reason": numbers.choice(["", "why"]), "accuracy": numbers.choice([0.5, 1, 0.25])}
        other |= {"model": numbers.choice(["fcn", "mlp"]), "group": numbers.choice(["one", "another"])}
        return some(numbers.randrange(4), status, numbers.randrange(1, 9), **other)

    def change(path: Path) -> None:
        data = path.read_bytes()
        what = numbers.choice(["cut", "edit", "drop", "newline", "rewrite", "remove", "torn"])
        if what == "cut":
            os.truncate(path, numbers.randrange(len(data) + 1))
        elif what == "edit":  # in place, of the same size
            with path.open("r+b") as file:
                file.write(data.replace(b'"accuracy":0.5', b'"accuracy":0.6', 1))
        elif what == "drop":
            path.write_bytes(b"".join(data.splitlines(keepends=True)[1:]))
        elif what == "rewrite":
            path.write_bytes(b"".join(any_record().line() for _ in range(3)))
        elif what == "remove":
            path.unlink()
        else:
            path.write_bytes(data + (b"\n" if what == "newline" else any_record().line()[:-40]))

    for _ in range(20):
        for name in numbers.sample(["a.jsonl", "b.jsonl", "c.jsonl"], numbers.randrange(3)):
            lay(results, name, *(any_record() for _ in range(numbers.randrange(1, 4))))
        check(results)
        paths = sorted((results / "records").glob("*.jsonl"))
        if paths and numbers.random() < 0.4:
            change(numbers.choice(paths))
            check(results)


def test_a_new_record_is_seen_without_reading_the_old_ones(tmp_path: Path, lines_read: list[str]) -> None:
    path = lay(tmp_path, "a.jsonl", some(0), some(1))
    size = path.stat().st_size
    store.read(tmp_path)
    assert len(lines_read) == 2
    lay(tmp_path, "a.jsonl", some(2, "failed"))
    lay(tmp_path, "b.jsonl", some(3))
    assert len(store.read(tmp_path)) == 4
    assert lines_read[2:] == [f"a.jsonl:{size}", "b.jsonl:0"]
    assert len(store.read(tmp_path)) == 4 and len(lines_read) == 4


def test_few_new_records_leave_the_index_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MANY", 3)
    lay(tmp_path, "a.jsonl", some(0), some(1))
    check(tmp_path)
    assert not saved(tmp_path).exists()
    lay(tmp_path, "a.jsonl", some(2))
    check(tmp_path)
    before = saved(tmp_path).read_bytes()
    lay(tmp_path, "b.jsonl", some(3), some(0, "failed", 2), some(0, day=3))
    check(tmp_path)
    assert saved(tmp_path).read_bytes() != before


def saved(results: Path) -> Path:
    """Return where the index of a folder is saved."""
    path = saved_index(results / "records")
    assert path is not None
    return path


def flip(path: Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a database" * 1000),
        lambda path: os.truncate(path, path.stat().st_size // 2),
        *(lambda path, at=at: flip(path, at) for at in (0, 0.3, 0.6, 0.9, 1)),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: path.chmod(0o666),  # others could have written it
    ],
)
def test_a_lost_or_damaged_index_is_made_again(damage: Callable[[Path], object], tmp_path: Path) -> None:
    lay(tmp_path, "a.jsonl", some(0, accuracy=0.75), some(1, "failed"))
    check(tmp_path)
    before = saved(tmp_path)
    damage(before)
    check(tmp_path)
    if before.is_file():
        before.chmod(0o644)
        assert index.is_whole(before)


def test_another_version_has_an_index_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = saved(tmp_path)
    monkeypatch.setattr(index, "VERSION", 0)
    assert saved(tmp_path) != here


def test_without_a_cache_the_lines_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TSFCN_CACHE", str(tmp_path / "file" / "cache"))
    lay(tmp_path, "a.jsonl", some(0), some(1, "failed"))
    check(tmp_path)


def test_a_results_folder_that_cannot_be_written_to_is_indexed(tmp_path: Path, lines_read: list[str]) -> None:
    path = lay(tmp_path / "results", "a.jsonl", some(0))
    path.parent.chmod(0o555)
    try:
        check(tmp_path / "results")
        check(tmp_path / "results")
        assert len(lines_read) == 1 and len(list(path.parent.iterdir())) == 1
    finally:
        path.parent.chmod(0o755)


def test_an_edit_in_the_same_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    path = lay(tmp_path, "a.jsonl", some(0, accuracy=0.5), some(1))
    check(tmp_path)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.write(data.replace(b'"accuracy":0.5', b'"accuracy":0.6'))
    os.utime(path, ns=times)
    check(tmp_path)
    assert len(store.read(tmp_path)) == 1  # its digest does not match


def test_lines_that_are_no_records_are_named_each_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lay(tmp_path, "a.jsonl", some(0))
    path.write_bytes(path.read_bytes() + b"{}\n[]\n")
    for _ in range(2):
        notice.cache_clear()
        store.read(tmp_path)
        told = "line 2: it has no key; line 3: it is not a JSON object"
        assert capsys.readouterr().err == f"{path}: 2 lines are not records and are left out: {told}\n"
    path.write_bytes(path.read_bytes() + b"1\n2\n")
    store.read(tmp_path)
    assert capsys.readouterr().err == (
        f"{path}: 4 lines are not records and are left out: {told}; line 4: it is not a JSON object; and 1 more\n"
    )


def test_every_field_comes_back_as_it_was(tmp_path: Path) -> None:
    made = some(0, accuracy=1, cells=[{"cells": 8}], cudnn="9", other={"colour": [None]}, n_filled=3, members=["a"])
    failed = some(1, "failed", reason="a\nb \x00 ü", other={"x": 1})
    lay(tmp_path, "a.jsonl", made, failed)
    for _ in range(2):
        found, other = store.read(tmp_path)
        assert all(type(getattr(found, name)) is type(getattr(made, name)) for name in NAMES)
        assert found == made and other.reason == failed.reason and other.other == {"x": 1}
        assert replace(found, seed=1) == replace(made, seed=1) and found.line() == made.line()
        assert found.curve == CURVE
        with pytest.raises(AttributeError):
            _ = found.no_such_field  # type: ignore[attr-defined]


def test_a_line_that_is_not_there_any_more_is_told(tmp_path: Path) -> None:
    path = lay(tmp_path, "a.jsonl", some(0))
    (found,) = store.read(tmp_path)
    path.write_bytes(some(1).line())
    with pytest.raises(UserError, match="was changed while its records were in use: try again"):
        _ = found.curve


WORKER = """
import sys
from pathlib import Path
from tests.records import record
from tsfcn.jobs import index, store

index.MANY, index.SHARE = 1, 0
results, worker = Path(sys.argv[1]), int(sys.argv[2])
writer = store.Writer(results)
for number in range(20):
    writer.write(record(seed=number, group=f"of {worker}"))
    keys = {each.key for each in store.read(results) if each.group == f"of {worker}"}
    assert len(keys) == number + 1, (worker, number, len(keys))
"""


def test_many_writers_and_readers_at_once_see_what_was_written(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WORKER, str(tmp_path)]
    workers = [subprocess.Popen([*words, str(number)], stderr=subprocess.PIPE, text=True) for number in range(4)]
    for worker in workers:
        _, told = worker.communicate(timeout=150)
        assert worker.returncode == 0, told
    check(tmp_path)
    with Index(tmp_path) as found:
        assert found.n_records() == 80 and found.n_new == 0
