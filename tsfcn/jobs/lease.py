"""Leases: of all the runners on one results folder, one at a time trains a key.

    results/runners/ID.json   a runner's heartbeat: written anew every BEAT_SECONDS while it lives, with what it does
    results/leases/KEY.N      the N-th lease of a key, counted from 0; its content names the runner

A lease is a file that is made exclusively, which file systems, shared ones too, allow to one of several at once.
Nothing that a crash leaves behind holds for ever, and no clock is compared with another:

- A runner of this machine is dead when its process is; that is known at once.
- A runner elsewhere is dead when its heartbeat has not changed while we looked on for EXPIRY_SECONDS of our own time.
- The lease N of a dead runner is taken over by making N + 1, so that of several that saw the death one succeeds. The
  highest number holds; a runner that was taken for dead and wakes up finds the higher one and lets go.
- A key is released by removing its files, the highest last. Two that made different files in the same moment (one from
  0, one past the lease of a dead runner) each look again after making theirs, and who sees another's lets go.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import queue
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from tsfcn.common import files
from tsfcn.common.json_types import short

LEASE_NAME = re.compile(r"(.+)\.([0-9]{1,6})")  # key, number
READ_BYTES = 2**20  # of a heartbeat or a lease, which take a few hundred
BEAT_SECONDS = 2.0
EXPIRY_SECONDS = 90.0  # more than the minute for which NFS may show an old state


def born(pid: int) -> str:
    """Return when a process of this machine was started, in the kernel's ticks; '' if there is no such process."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else rest[18]


@functools.cache
def machine() -> str:
    """Return what only processes that see each other's ids share: this start of this system, in this container."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def stamp(path: Path) -> tuple[bytes, int, int]:
    """Return what tells a file from another one that took its name. Opened, so that a shared file system looks anew.

    Raises OSError for what is not a regular file, which might block for ever.
    """
    with files.open_regular(path) as file:
        status = os.fstat(file.fileno())
        return file.read(READ_BYTES), status.st_ino, status.st_mtime_ns


def fields(data: bytes) -> dict[str, Any]:
    """Return the JSON object of a file; {} where there is none, as where a crash left less."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def here_and_dead(runner: Mapping[str, Any]) -> bool | None:
    """Return whether a runner, as it described itself, is dead; None where it is of another machine."""
    pid = runner.get("pid", 0)
    if not machine() or runner.get("machine") != machine() or not isinstance(pid, int):
        return None
    return not runner.get("born") or born(pid) != runner["born"]


class Watch:
    """Tells the dead from the living by looking on. One must be kept to see anything: a single look sees no change."""

    def __init__(self, results: Path, expiry_seconds: float = EXPIRY_SECONDS) -> None:
        self.results = results
        self.expiry_seconds = expiry_seconds
        self.seen: dict[str, tuple[object, float]] = {}  # what was seen last, and since when

    def dead(self, name: str, runner: Mapping[str, Any], mark: object = None) -> bool:
        """Return whether the runner is known to be dead. name: for what we look; mark: what else shows life."""
        known = here_and_dead(runner)
        if known is not None:
            return known
        try:
            now = mark, stamp(heartbeat_path(self.results, runner))
        except OSError:
            now = mark, (b"", 0, 0)  # not there, or not there yet for this machine
        then = self.seen.get(name)
        if then is None or then[0] != now:
            self.seen[name] = now, time.monotonic()
            return False
        return time.monotonic() - then[1] > self.expiry_seconds


class Runner:
    """One runner on a results folder, for as long as the `with` block lasts: its heartbeat and its leases.

    `state` is what it tells of itself with each beat, plain JSON values. Raises OSError if its first heartbeat cannot
    be written.

    One thread does all its writing: Ctrl-C raises KeyboardInterrupt in the main thread, where it could come between a
    lease and the note of it, and leave a lease that nobody knows of. What is asked of the thread goes through a
    SimpleQueue, since an interrupted `with lock` may leave the lock held.
    """

    def __init__(
        self, results: Path, expiry_seconds: float = EXPIRY_SECONDS, beat_seconds: float = BEAT_SECONDS
    ) -> None:
        self.results = results
        pid = os.getpid()
        host = platform.node() or "here"
        self.about: dict[str, Any] = {
            "id": f"{host}-{pid}-{secrets.token_hex(4)}".replace(os.sep, "-"),
            "host": host,
            "machine": machine(),
            "pid": pid,
            "born": born(pid),
        }
        self.state: dict[str, Any] = {}
        self.beat_seconds = beat_seconds
        self.n_beats = 0
        self.held: dict[str, int] = {}  # the number of the lease of each key
        self.gone: set[str] = set()  # of those the keys that another runner has taken over, as from the dead
        self.watch = Watch(results, expiry_seconds)
        self.path = results / "runners" / f"{self.about['id']}.json"
        self.asked: SimpleQueue[tuple[Callable[[], bool], SimpleQueue[bool | BaseException]] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self.live, daemon=True)

    def __enter__(self) -> Runner:
        self.beat()
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.asked.put(None)
        self.thread.join()

    def sweep(self) -> None:
        """Remove what runners that died on this machine have left."""
        for key, number in highest(self.results).items():
            with contextlib.suppress(OSError):
                if here_and_dead(fields(stamp(lease_path(self.results, key, number))[0])) and self.make(key, {}):
                    self.remove(key)
        for runner in runners(self.results):
            if here_and_dead(runner):
                for path in [*self.path.parent.glob(f".{runner['id']}.json.*"), self.path.with_stem(runner["id"])]:
                    with contextlib.suppress(OSError):
                        path.unlink(missing_ok=True)

    def beat(self) -> None:
        """Show that this runner lives, and what it does."""
        self.n_beats += 1
        heartbeat = json.dumps({**self.about, "beat": self.n_beats, "state": self.state}).encode()
        files.replace(self.path, lambda file: file.write(heartbeat), sync=False)

    def live(self) -> None:
        """Beat, and do what is asked between the beats, until the end; then remove what this runner has made."""
        next_beat = time.monotonic() + self.beat_seconds
        while True:
            if time.monotonic() >= next_beat:
                self.look_and_beat()
                next_beat = time.monotonic() + self.beat_seconds
            try:
                asked = self.asked.get(timeout=max(0.0, next_beat - time.monotonic()))
            except queue.Empty:
                continue
            if asked is None:
                break
            work, answer = asked
            try:
                answer.put(work())
            except BaseException as error:  # to be raised where it was asked
                answer.put(error)
        for key in list(self.held):
            self.remove(key)
        self.sweep()
        self.path.unlink(missing_ok=True)
        for name in ("leases", "runners"):
            with contextlib.suppress(OSError):  # others' are in it
                (self.results / name).rmdir()

    def look_and_beat(self) -> None:
        """See which leases others have taken over, and beat; a beat that cannot be written is told."""
        top = highest(self.results)
        self.gone |= {key for key, number in self.held.items() if top.get(key) != number}
        try:
            self.beat()
        except OSError as error:  # a full disk may have room again at the next beat
            print(f"{self.path}: {error.strerror}: no sign of life was written", file=sys.stderr)

    def ask(self, work: Callable[[], bool]) -> bool:
        """Have the thread do it, even if this wait is interrupted. Returns its result, raises its error."""
        answer: SimpleQueue[bool | BaseException] = SimpleQueue()
        self.asked.put((work, answer))
        result = answer.get()
        if isinstance(result, BaseException):
            raise result
        return result

    def claim(self, key: str, about: Mapping[str, Any] | None = None) -> bool:
        """Take the lease of a key. Returns whether this runner has it now; False: another runner has it, or came first.

        about: what the lease says of its job. Who has claimed a key looks next whether its record has come meanwhile.
        """
        return self.ask(lambda: self.make(key, about or {}))

    def release(self, key: str) -> bool:
        """Give up the lease of a key. Returns whether it was still this runner's."""
        return self.ask(lambda: self.remove(key))

    def make(self, key: str, about: Mapping[str, Any]) -> bool:
        """Make the lease of a key, unless another runner has it: `claim`, in the thread."""
        top = highest(self.results).get(key)
        number, judged = 0, None
        if top is not None:
            path = lease_path(self.results, key, top)
            try:
                judged = stamp_of(path)
            except OSError:
                return False  # just released: there will be another call
            holder = fields(judged[0])
            if holder.get("id") == self.about["id"] or not self.watch.dead(path.name, holder, judged):
                return False
            number = top + 1
        new = lease_path(self.results, key, number)
        try:
            new.parent.mkdir(parents=True, exist_ok=True)
            file = new.open("xb")
        except FileExistsError:
            return False
        except FileNotFoundError:  # the folder was removed in this moment, when the last lease of another went
            return False
        try:
            with file:
                file.write(json.dumps({**self.about, "job": dict(about)}).encode())
        except OSError:  # a full disk
            new.unlink(missing_ok=True)
            raise
        higher = highest(self.results).get(key) != number
        replaced = False
        if top is not None:
            with contextlib.suppress(OSError):
                replaced = stamp_of(lease_path(self.results, key, top)) != judged
        if higher or replaced:
            new.unlink(missing_ok=True)
            return False
        self.held[key] = number
        return True

    def remove(self, key: str) -> bool:
        """Remove the lease of a key, unless another runner has taken it over: `release`, in the thread."""
        number = self.held[key]
        is_ours = holds(self.results, key, number, self.about["id"])
        if is_ours:
            for lower in [n for n in numbers(self.results, key) if n < number] + [number]:  # the highest last
                with contextlib.suppress(OSError):  # not a file of ours
                    lease_path(self.results, key, lower).unlink(missing_ok=True)
        del self.held[key]
        self.gone.discard(key)
        return is_ours


def lease_path(results: Path, key: str, number: int) -> Path:
    """Return where a lease lies."""
    return results / "leases" / f"{key}.{number}"


def highest(results: Path) -> dict[str, int]:
    """Return the highest number of the leases of each key that has one."""
    top: dict[str, int] = {}
    for key, number in leases(results):
        top[key] = max(top.get(key, -1), number)
    return top


def leases(results: Path) -> list[tuple[str, int]]:
    """Return key and number of each lease. What has another name than ours is not one."""
    try:
        names = os.listdir(results / "leases")
    except OSError:
        return []
    matches = [LEASE_NAME.fullmatch(name) for name in names]
    return [(match[1], int(match[2])) for match in matches if match]


def numbers(results: Path, key: str) -> list[int]:
    """Return the numbers of the leases of a key, ascending."""
    return sorted(number for each, number in leases(results) if each == key)


def stamp_of(path: Path) -> tuple[bytes, int, int]:
    """Return the stamp of a lease, without its content where it cannot be read. Raises OSError where there is none."""
    try:
        return stamp(path)
    except FileNotFoundError:
        raise
    except OSError:  # another user's, or not a file
        status = path.lstat()
        return b"", status.st_ino, status.st_mtime_ns


def heartbeat_path(results: Path, runner: Mapping[str, Any]) -> Path:
    """Return where the heartbeat of a runner lies, as it described itself; its name cannot lead out of the folder."""
    return results / "runners" / f"{str(runner.get('id', '')).replace(os.sep, '-')}.json"


def holder(results: Path, key: str, number: int) -> str:
    """Return the words for who holds a lease."""
    try:
        about = fields(stamp(lease_path(results, key, number))[0])
    except OSError as error:
        return f"unknown (lease {key}.{number} is not readable: {error.strerror})"
    return f"process {short(about.get('pid'))} on {short(about.get('host'))}"


def holds(results: Path, key: str, number: int, runner: str) -> bool:
    """Return whether the lease of that number is still the runner's and still the highest."""
    if highest(results).get(key) != number:
        return False
    try:
        return bool(fields(stamp(lease_path(results, key, number))[0]).get("id") == runner)
    except OSError:
        return False


def runners(results: Path) -> list[dict[str, Any]]:
    """Return the last heartbeat of each runner, of the dead ones too."""
    heartbeats = []
    for path in sorted((results / "runners").glob("*.json")):
        with contextlib.suppress(OSError):
            heartbeats.append({**fields(stamp(path)[0]), "id": path.stem})
    return heartbeats
