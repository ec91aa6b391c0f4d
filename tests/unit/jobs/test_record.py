"""Lines of records: what was written comes back equal, and every damaged line is refused with a reason."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.records import record_of, save, some_records
from tsfcn.common.errors import UserError
from tsfcn.jobs import store
from tsfcn.jobs.maintenance import compact
from tsfcn.jobs.plan import MEANING, Job
from tsfcn.jobs.progress import RunningJob, RunState, read_state
from tsfcn.jobs.record import NAMES, REQUIRED, Record, parse

ROOT = Path(__file__).resolve().parents[3]
COMMITTED = sorted((ROOT / "results").glob("**/records/*.jsonl"))

JOB = Job(
    dataset="Coffee",
    passport={"archive": "UCR2018", "split": "ucr2018", "content": "ab"},
    architecture="fcn",
    model="fcn",
    model_settings={},
    protocol="smoke",
    settings={"epochs": 3},
    off_paper=False,
    seed=0,
    resample=0,
)
CURVE = {"epoch": [1, 2], "loss": [0.5, 0.25], "lr": [0.001, 0.001]}


def undigested(made: Record, **changes: Any) -> bytes:
    """Return a record as a version before the digest wrote it, with some JSON values changed."""
    return json.dumps({"schema": 1, **made.to_json(), **changes}).encode()


# ---------------------------------------------------------------------------------------------------------------------
# Whole lines


def test_every_committed_record_is_read_and_its_key_is_that_of_its_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(COMMITTED) >= 4
    for folder in sorted({path.parents[1] for path in COMMITTED}):
        n_lines = sum(len(path.read_bytes().splitlines()) for path in (folder / "records").glob("*.jsonl"))
        records = store.Reader(folder).new()
        assert len(records) == n_lines > 0
        for each in records:
            assert (each.job.key, each.job.group, each.meaning) == (each.key, each.group, MEANING)
            assert not each.is_ok or each.curve is not None or each.job.library or each.is_ensemble
    assert capsys.readouterr().err == ""


def test_every_committed_record_comes_back_equal() -> None:
    for path in COMMITTED:
        for line in path.read_bytes().splitlines():
            assert parse((made := parse(line)).line()) == made


@pytest.mark.parametrize(
    "made", [*some_records(), record_of(JOB, curve=CURVE, reason='a\nb, \x85, ü, "\\'), record_of(JOB)]
)
def test_a_record_comes_back_equal(made: Record) -> None:
    line = made.line()
    assert line.isascii() and line.count(b"\n") == 1 and line.endswith(b"}\n")
    assert parse(line) == parse(line.strip()) == parse(line.strip() + b"\r\n") == made
    assert parse(line, curve=False) == replace(made, curve=None)


def test_fields_that_are_not_known_survive_reading_and_writing() -> None:
    other = {"colour": "blue", "nested": {"a": [1, None]}, "nothing": None}
    for line in (undigested(record_of(JOB), **other), record_of(JOB, other=other).line()):
        made = parse(line)
        assert made.other == other
        assert parse(made.line()) == made
        assert json.loads(made.line())["nested"] == other["nested"]


def test_what_was_not_recorded_is_none_and_is_not_written() -> None:
    assert parse(undigested(record_of(JOB), meaning=0, passport=None)).passport == {}
    made = parse(undigested(record_of(JOB), curve=None, gpu=None))
    assert made.curve is None and made.gpu is None and made.peak_memory_bytes is None
    assert {"curve", "gpu", "peak_memory_bytes"}.isdisjoint(made.to_json())
    failed = record_of(JOB, status="failed", reason="why")
    assert "accuracy" not in failed.to_json() and math.isnan(parse(failed.line()).accuracy)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["accuracy", "cross_entropy", "settings", "other"])
def test_a_number_that_json_has_not_is_not_written(field: str, number: float) -> None:
    value = number if field in ("accuracy", "cross_entropy") else {"x": [number]}
    with pytest.raises(ValueError, match="JSON"):
        record_of(JOB, **{field: value}).line()


def test_half_of_a_surrogate_pair_is_replaced_where_it_is_written() -> None:
    made = record_of(JOB, status="failed", reason="no file caf\udce9 😀 \\ud800", dataset="\ud800")
    assert parse(made.line()) == replace(made, reason="no file caf\ufffd 😀 \\ud800", dataset="\ufffd")


# ---------------------------------------------------------------------------------------------------------------------
# Damaged lines


def test_every_flipped_bit_is_refused_or_changes_nothing() -> None:
    made = record_of(JOB, other={"colour": "blue"})
    line = made.line()
    n_refused = 0
    for bit in range(8 * len(line)):
        damaged = bytearray(line)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert parse(bytes(damaged)) == made, bytes(damaged)
        except ValueError:
            n_refused += 1
    assert n_refused > 8 * (len(line) - 17)  # a digest that has become another text does not count, the key does


def test_a_line_that_is_cut_short_is_refused() -> None:
    line = record_of(JOB).line()
    for end in range(len(line) - 1):
        with pytest.raises(ValueError, match=r"."):
            parse(line[:end])


def test_a_line_without_a_digest_whose_key_is_not_that_of_its_settings_is_refused() -> None:
    made = record_of(JOB)
    assert parse(undigested(made)) == made
    for name, value in {
        "key": "0" * 16,
        "seed": 1,
        "resample": 1,
        "dataset": "Beef",
        "architecture": "mlp",
        "precision": "bfloat16",
        "settings": {"epochs": 4},
        "model_settings": {"filters": [3]},
        "passport": {**JOB.passport, "content": "cd"},
    }.items():
        with pytest.raises(ValueError, match="its key is not that of its settings"):
            parse(undigested(made, **{name: value}))
    assert parse(undigested(made, meaning=0, seed=1)).seed == 1  # the key of an older meaning cannot be computed


REFUSED: dict[str, dict[str, Any]] = {
    "schema is \"1\", not a number": {"schema": "1"},
    "key is \"K\", not 16 hexadecimal digits": {"key": "K"},
    "status is \"done\", not one of ok, failed, skipped": {"status": "done"},
    "it is ok and has no accuracy": {"accuracy": None},
    "accuracy is \"0.9\"": {"accuracy": "0.9"},
    "accuracy is true": {"accuracy": True},
    "accuracy is 1.5, not a fraction": {"accuracy": 1.5},
    "balanced_accuracy is -0.1, not a fraction": {"balanced_accuracy": -0.1},
    "seed is \"0\"": {"seed": "0"},
    "seed is true": {"seed": True},
    "it has no model": {"model": None},
    "versions is {\"torch\": 2}": {"versions": {"torch": 2}},
    "passport is {\"revision\": []}": {"passport": {"revision": []}},
    "passport is {\"length\": \"long\"}": {"passport": {"length": "long"}},
    "its learning curve is not three lists of numbers of one length": {"curve": {**CURVE, "lr": [0.1]}},
    "curve is [1]": {"curve": [1]},
}  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
def test_values_that_cannot_be_those_of_a_record_are_refused_with_the_reason(reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as told:
        parse(undigested(record_of(JOB), **REFUSED[reason]))
    assert str(told.value) == reason


def test_characters_and_numbers_that_no_file_can_hold_are_refused() -> None:
    line = undigested(record_of(JOB), colour="blue")
    assert parse(line).other == {"colour": "blue"}
    characters, numbers = (b'"\\ud800"', b'"\xed\xa0\x80"', b'"\xff"'), (b"NaN", b"-Infinity", b"1e999", b"[-1E+999 ]")
    for damaged in (*characters, *numbers, b"9" * 400 + b".0"):
        with pytest.raises(ValueError, match=r"it is not JSON|half of a surrogate pair|is not a number of JSON"):
            parse(line.replace(b'"blue"', damaged))
    assert parse(line.replace(b'"blue"', b'"\\ud83d\\ude00"')).other == {"colour": "😀"}


def test_a_record_of_a_newer_schema_asks_for_a_newer_version() -> None:
    with pytest.raises(UserError, match="it is of schema 2: this tsfcn reads up to 1, install a newer one"):
        parse(undigested(record_of(JOB), schema=2))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ODD = [
    *(
        "null",
        "true",
        "NaN",
        "-Infinity",
        "1e999",
        "9" * 400 + ".5",
        "-0.0",
        "1" * 400,
        "-" + "9" * 5000,
        '""',
        '"\\ud800"',
        '"\\u0000"',
    ),
    *("[]", "{}", '{"a":{"a":{"a":null}}}', '{"\\ud800":1}', "[" * 100_000, "[" * 100_000 + "]" * 100_000),
    *('{"a":' * 100_000 + "1" + "}" * 100_000, "[" * 900 + "]" * 900, "'", "1 2"),
]


def parsed(line: bytes, curve: bool) -> Record | str:
    """Return the record of a line, or the reason for which it is refused."""
    try:
        return parse(line, curve=curve)
    except ValueError as error:  # UserError is one
        return str(error)


@settings(max_examples=400, deadline=None)
@given(
    field=st.sampled_from([*NAMES, "schema", "colour"]),
    value=st.sampled_from(ODD) | JSON.map(json.dumps) | st.just(None),
    old=st.booleans(),
    curve=st.booleans(),
)
def test_a_field_of_any_other_value_gives_a_record_or_a_reason(
    field: str, value: str | None, old: bool, curve: bool
) -> None:
    fields: dict[str, Any] = {"schema": 1, **record_of(JOB, curve=CURVE).to_json()} | ({"meaning": 0} if old else {})
    fields[field] = "@@@"
    if value is None:
        del fields[field]
    line = json.dumps(fields).replace('"@@@"', value or "").encode()
    made = parsed(line, curve)
    if isinstance(made, Record):
        assert parse(made.line()) == made  # what is read can be written, as compact does
        json.dumps(made.to_json(), ensure_ascii=False).encode()
        assert isinstance(made.job.group, str)
    else:
        assert made and len(made) < 200 and "\n" not in made


@pytest.mark.parametrize("field", REQUIRED)
def test_a_required_field_that_is_missing_is_named(field: str) -> None:
    fields = record_of(JOB).to_json()
    del fields[field]
    with pytest.raises(ValueError, match=f"^it has no {field}$"):
        parse(json.dumps(fields).encode())


# ---------------------------------------------------------------------------------------------------------------------
# Folders


def test_a_reader_names_the_file_and_the_line_of_what_it_leaves_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = record_of(JOB), record_of(replace(JOB, seed=1))
    path = tmp_path / "records" / "a.jsonl"
    path.parent.mkdir()
    changed = first.line().replace(b'"accuracy":0.9', b'"accuracy":0.8')
    path.write_bytes(first.line() + changed + b"\xff\n" + second.line())
    reader = store.Reader(tmp_path)
    assert reader.new() == [first, second] and reader.new() == []
    assert capsys.readouterr().err == (
        f"{path}: 2 lines are not records and are left out: "
        "line 2: its digest does not match: it was changed after it was written; line 3: it is not JSON\n"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_is_not_a_regular_file_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = record_of(JOB)
    folder = save(tmp_path, made) / "records"
    (folder / "a folder.jsonl").mkdir()
    (folder / "dangling.jsonl").symlink_to(tmp_path / "nothing")
    (folder / "itself.jsonl").symlink_to(folder / "itself.jsonl")
    os.mkfifo(folder / "pipe.jsonl")  # opening it would wait for a writer
    assert store.read(tmp_path) == [made]
    save(tmp_path, record_of(JOB, finished="2025"))
    assert compact(tmp_path) == f"{tmp_path}: 2 lines in 1 files became 1 records in one"
    assert store.read(tmp_path) == [made] and len(list(folder.iterdir())) == 5
    names = ("a folder", "dangling", "itself", "pipe")
    expected = [f"{folder / name}.jsonl is not a regular file and is left out" for name in names]
    assert sorted(capsys.readouterr().err.splitlines()) == expected


def test_ok_records_of_one_key_and_different_accuracy_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = record_of(JOB, accuracy=0.5, finished="2026-01-01")
    last = replace(first, accuracy=0.75, finished="2026-01-02")
    alike = record_of(replace(JOB, seed=1))
    save(tmp_path, last, first, alike, replace(alike, finished="2026-01-09"))
    assert [(each.key, each.accuracy) for each in store.read(tmp_path)] == [(last.key, 0.75), (alike.key, 0.9)]
    assert capsys.readouterr().err == (
        f"job {JOB.key} (fcn, smoke) has records of different accuracy (0.5, 0.75): the last one counts\n"
    )


# ---------------------------------------------------------------------------------------------------------------------
# The state of a run, and plans

RUNNING = RunningJob(0, JOB.key, "Coffee", "fcn", "smoke", 0, 0, epoch=3, epochs=9, loss=0.5)
STATE = RunState(total=2, done={"ok": 1, "failed": 0, "skipped": 0}, left_seconds=9.0, running=[RUNNING])


def test_a_state_comes_back_and_that_of_another_version_is_read() -> None:
    data = json.loads(json.dumps(STATE.to_json()))
    assert read_state(data) == STATE
    assert read_state({**data, "colour": "blue", "per_minute": None}) == STATE
    assert read_state(None) is None and read_state({}) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"total": "2"}, 'total is "2"'),
        ({"total": None}, "a field is missing"),
        ({"done": [1]}, "done is [1]"),
        ({"done": {"ok": "1"}}, 'done is {"ok": "1"}'),
        ({"left_seconds": 1e400}, "left_seconds is Infinity"),
        ({"share": True}, "share is true"),
        ({"running": {}}, "running is {}"),
        ({"running": ["job"]}, 'it is "job", not an object'),
        ({"running": [{}]}, "a field is missing"),
        ({"running": [{**RUNNING.__dict__, "seed": 0.5}]}, "seed is 0.5"),
        ({"running": [{**RUNNING.__dict__, "dataset": ["Coffee"]}]}, 'dataset is ["Coffee"]'),
    ],
)
def test_an_odd_state_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as told:
        read_state({**STATE.to_json(), **changes})
    assert str(told.value) == reason


@pytest.mark.parametrize("data", [3, "state", [1], True])
def test_a_state_that_is_no_object_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match="not an object"):
        read_state(data)


def test_plans_that_are_damaged_are_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = store.write_plan(tmp_path, "a command", [JOB])
    data = json.loads(whole.read_bytes())
    (group,) = data["groups"]
    damaged: dict[str, Any] = {
        "a list": [group],
        "empty": None,
        "no groups": {"command": "a command"},
        "seeds": {"groups": [{**group, "keys": {"zero": JOB.key}}]},
        "settings": {"groups": [{**group, "settings": [3]}]},
        "without a model": {"groups": [{name: value for name, value in group.items() if name != "model"}]},
    }
    for name, content in damaged.items():
        (whole.parent / f"{name}.json").write_text("" if content is None else json.dumps(content))
    (whole.parent / "deep.json").write_bytes(b"[" * 100_000)
    (whole.parent / "folder.json").mkdir()
    (whole.parent / "torn.json").write_bytes(whole.read_bytes()[:-9])
    assert store.planned(tmp_path) == {JOB.key: JOB}
    reasons = dict.fromkeys([*damaged, "deep", "torn"], "it has no groups of jobs")
    reasons |= {"settings": "settings of a job is [3]", "without a model": "model of a job is null"}
    reasons["folder"] = "it is not a regular file"
    assert sorted(capsys.readouterr().err.splitlines()) == sorted(
        f"{whole.parent / name}.json is not a plan and is left out: {reason}" for name, reason in reasons.items()
    )
