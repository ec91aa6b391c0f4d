"""Leases: one of several gets a key, the dead hold nothing, and no clock is believed."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.processes import until
from tsfcn.jobs import lease
from tsfcn.jobs.lease import Runner, Watch, highest, lease_path

ROOT = Path(__file__).resolve().parents[3]
linux = pytest.mark.skipif(not lease.machine(), reason="no /proc: every runner counts as of another machine")


def stranger(runner: Runner) -> Runner:
    """Return the runner, made to look like one of another machine to everybody who reads what it wrote."""
    runner.about["machine"] = "another"
    return runner


def leftover(results: Path, key: str, number: int = 0, content: str = "") -> Path:
    """Leave a lease as a crash would, of a runner that is gone."""
    path = lease_path(results, key, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_a_key_is_one_runners_at_a_time(tmp_path: Path) -> None:
    with Runner(tmp_path) as one, Runner(tmp_path) as other:
        assert one.claim("a") and not other.claim("a") and not one.claim("a")
        assert other.claim("b") and not one.claim("b")
        assert highest(tmp_path) == {"a": 0, "b": 0}
        one.release("a")
        assert other.claim("a") and not one.claim("a")
        assert sorted(other.held) == ["a", "b"] and one.held == {}
    assert list(tmp_path.iterdir()) == []  # both have cleaned up


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer that interrupts")
def test_an_interrupted_claim_or_release_leaves_no_lease(tmp_path: Path) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    stops = 0
    try:
        for microseconds in range(100, 1_100, 10):
            with Runner(tmp_path) as runner:
                try:
                    signal.setitimer(signal.ITIMER_REAL, microseconds / 1e6)
                    while True:
                        runner.claim("a")
                        runner.release("a")
                except KeyboardInterrupt:
                    stops += 1
            assert list(tmp_path.iterdir()) == []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stops == 100


def test_a_lease_that_cannot_be_written_is_not_left_behind(tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with Runner(tmp_path, beat_seconds=1_000) as runner:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limit[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                runner.claim("a")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            signal.signal(signal.SIGXFSZ, ignored)
        assert runner.held == {} and highest(tmp_path) == {}


def test_what_a_lease_and_a_heartbeat_say(tmp_path: Path) -> None:
    with Runner(tmp_path) as runner:
        runner.claim("a", {"dataset": "Coffee"})
        said = json.loads(lease_path(tmp_path, "a", 0).read_text())
        assert said["id"] == runner.about["id"] and said["pid"] == os.getpid() and said["job"] == {"dataset": "Coffee"}
        runner.state = {"total": 3}
        runner.beat()
        (shown,) = lease.runners(tmp_path)
        assert shown["id"] == runner.about["id"] and shown["state"] == {"total": 3} and shown["beat"] >= 2


# Claims the same keys as others do, all at once; says which ones it got.
CLAIMER = """
import sys, time
from pathlib import Path
from tsfcn.jobs.lease import Runner

with Runner(Path(sys.argv[1]), expiry_seconds=float(sys.argv[3])) as runner:
    print("ready", flush=True)
    sys.stdin.readline()
    got = [key for key in (f"k{n}" for n in range(int(sys.argv[2]))) if runner.claim(key)]
    print(*got, flush=True)
    sys.stdin.readline()
"""


def claimers(results: Path, n_keys: int, n: int = 4) -> list[set[str]]:
    """Let processes claim the same keys in the same moment; return what each got."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, results, str(n_keys), "1000"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(n)
    ]
    got = []
    try:
        for each in started:
            assert each.stdout is not None and each.stdout.readline() == "ready\n"
        for line in (1, 2):
            for each in started:
                assert each.stdin is not None and each.stdout is not None
                each.stdin.write("go\n")
                each.stdin.flush()
            if line == 1:
                got = [set(each.stdout.readline().split()) for each in started if each.stdout is not None]
    finally:
        for each in started:
            each.communicate(timeout=30)
    return got


def test_of_many_that_claim_at_once_each_key_goes_to_one(tmp_path: Path) -> None:
    got = claimers(tmp_path, 1000)
    assert sum(map(len, got)) == 1000 == len(set().union(*got))
    assert sum(bool(each) for each in got) > 1  # they did race
    assert list(tmp_path.iterdir()) == []


@linux
def test_of_many_that_take_over_from_a_dead_runner_at_most_one_gets_each_key(tmp_path: Path) -> None:
    dead = json.dumps({"id": "dead", "machine": lease.machine(), "pid": 1, "born": "0"})
    for number in range(200):
        leftover(tmp_path, f"k{number}", number % 3, dead)
    got = claimers(tmp_path, 1000)
    assert sum(map(len, got)) == len(set().union(*got))
    assert len(set().union(*got)) > 150  # where two saw each other both let go: there is another time


@linux
def test_a_dead_runner_of_this_machine_holds_nothing(tmp_path: Path) -> None:
    code = CLAIMER.replace("print(*got", "print(*got, runner.about['id']")
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path, "1", "1000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        assert other.stdout.readline().startswith("k0 ")
        with Runner(tmp_path) as runner:
            assert not runner.claim("k0")
            other.send_signal(signal.SIGSTOP)  # it does not beat, but it lives
            assert not runner.claim("k0")
            other.kill()
            other.wait()
            assert runner.claim("k0")  # at once
            assert highest(tmp_path) == {"k0": 1}
            runner.release("k0")
            assert highest(tmp_path) == {}


@linux
def test_another_process_with_the_same_number_is_not_the_runner(tmp_path: Path) -> None:
    said = {"id": "x", "machine": lease.machine(), "pid": os.getpid(), "born": lease.born(os.getpid())}
    leftover(tmp_path, "a", 0, json.dumps(said))
    with Runner(tmp_path) as runner:
        assert not runner.claim("a")
        leftover(tmp_path, "a", 0, json.dumps({**said, "born": "1"}))
        assert runner.claim("a")


def test_a_silent_runner_elsewhere_is_dead_when_we_have_looked_on_for_long_enough(tmp_path: Path) -> None:
    with stranger(Runner(tmp_path, beat_seconds=1000)) as far, Runner(tmp_path, expiry_seconds=0.2) as runner:
        assert far.claim("a")
        assert not runner.claim("a")  # the first look
        for _ in range(4):
            time.sleep(0.1)
            far.beat()
            assert not runner.claim("a")
        for path in tmp_path.rglob("*"):  # a clock that is wrong by years says nothing
            os.utime(path, (0, 0))
        assert not runner.claim("a")
        time.sleep(0.25)
        assert runner.claim("a")
        # It wakes up, sees what happened, and leaves the lease to us.
        assert not lease.holds(tmp_path, "a", 0, far.about["id"])
        assert lease.holds(tmp_path, "a", 1, runner.about["id"])
        far.release("a")
        assert lease.holds(tmp_path, "a", 1, runner.about["id"])


def test_a_runner_notices_by_itself_that_it_was_taken_for_dead(tmp_path: Path) -> None:
    with stranger(Runner(tmp_path, beat_seconds=0.05)) as far:
        far.claim("a")
        far.claim("b")
        leftover(tmp_path, "a", 1, "{}")
        until(lambda: far.gone == {"a"})
        far.release("a")
        assert far.gone == set() and sorted(far.held) == ["b"]
    assert highest(tmp_path) == {"a": 1}


@pytest.mark.parametrize("content", ["", "{", "null", "[1]", '{"id": 3}', "\0\0\0"])
def test_a_lease_that_a_crash_left_without_its_name_expires_like_others(content: str, tmp_path: Path) -> None:
    leftover(tmp_path, "a", 4, content)
    with Runner(tmp_path, expiry_seconds=0.1) as runner:
        assert not runner.claim("a")
        time.sleep(0.15)
        assert runner.claim("a") and runner.held == {"a": 5}
    assert highest(tmp_path) == {}


def test_foreign_files_are_no_leases(tmp_path: Path) -> None:
    (tmp_path / "leases").mkdir()
    for name in ("notes.txt", ".a.0.tmp", "a", "a.b.c"):
        (tmp_path / "leases" / name).write_text("")
    assert highest(tmp_path) == {}


def test_two_that_made_different_leases_of_a_key_do_not_both_hold_it(tmp_path: Path) -> None:
    # One saw a dead runner's lease 0, the other none, as that was just removed: whoever looks second lets go.
    results = tmp_path
    with Runner(results) as slow, Runner(results) as quick:
        leftover(results, "a", 1, json.dumps({"id": slow.about["id"]}))  # slow has taken over what is gone by now
        assert not quick.claim("a")
        leftover(results, "a", 1).unlink()
        assert quick.claim("a")


def test_watching_many_names_keeps_them_apart(tmp_path: Path) -> None:
    watch = Watch(tmp_path, expiry_seconds=0.1)
    assert not watch.dead("a", {"id": "x"}, 1) and not watch.dead("b", {"id": "x"}, 1)
    time.sleep(0.15)
    assert watch.dead("a", {"id": "x"}, 1) and not watch.dead("b", {"id": "x"}, 2)


def test_beating_and_claiming_from_two_threads_is_safe(tmp_path: Path) -> None:
    with Runner(tmp_path, beat_seconds=0.001) as runner:
        errors: list[BaseException] = []

        def claim() -> None:
            try:
                for number in range(100):
                    assert runner.claim(f"k{number}")
                    runner.release(f"k{number}")
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=claim)
        thread.start()
        thread.join()
        assert errors == [] and runner.gone == set()


def test_a_heartbeat_that_cannot_be_written_at_first_is_told(tmp_path: Path) -> None:
    (tmp_path / "runners").write_text("a file where the folder belongs")
    with pytest.raises(OSError, match="runners"), Runner(tmp_path):
        pass
