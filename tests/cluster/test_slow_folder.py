"""Four workers in two namespaces on one slow folder, as on two machines: every job is done exactly once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from tests.cluster.runs import JOBS, N_SEEDS, accuracies, processes, tsfcn
from tests.processes import until
from tsfcn.jobs import store

pytest.importorskip("mfusepy", reason="mfusepy is not installed: make test-cluster does it", exc_type=ImportError)
from tests.cluster import slow_folder

POSSIBLE = os.geteuid() == 0 and all(map(shutil.which, ("unshare", "faketime")))
pytestmark = [
    pytest.mark.skipif(not POSSIBLE, reason="needs root, and unshare and faketime: make test-cluster installs them"),
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]
AWAY_SECONDS = 60  # for which the folder does not answer
WORDS = ("run", *JOBS, f"seeds={N_SEEDS}")


def machine(mount: Path, *before: str) -> subprocess.Popen[bytes]:
    """Start two workers on a mounted folder in namespaces of their own; one that dies is started again."""
    alone = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    both = 'for n in 1 2; do until "$@"; do :; done & done; wait'
    worker = [sys.executable, "-m", "tsfcn", *WORDS, f"results={mount}/results", "executor=worker"]
    return subprocess.Popen([*alone, *before, "bash", "-c", both, "bash", *worker])


def workers(mount: Path) -> list[int]:
    """Return the processes of the workers on a mounted folder, without what started them."""
    there = processes(f"results={mount}/results\0executor=worker")
    return [each for each in there if os.path.samefile(f"/proc/{each}/exe", sys.executable)]


def test_workers_of_two_machines_on_a_slow_folder_do_every_job_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    folder, mounts, undisturbed = tmp_path / "folder", [tmp_path / "a", tmp_path / "b"], tmp_path / "undisturbed"
    folder.mkdir()
    reader, rng, n_done = store.Reader(folder / "results"), random.Random(0), 0

    def done(n_jobs: int) -> bool:
        nonlocal n_done
        n_done += len(reader.new())
        return n_done >= n_jobs

    with slow_folder.mounted(folder, mounts[0]), slow_folder.mounted(folder, mounts[1]):
        machines = [machine(mounts[0]), machine(mounts[1], "faketime", "-f", "+60s")]
        for n_jobs, mount in ((20, mounts[0]), (40, mounts[1])):
            until(lambda n_jobs=n_jobs: done(n_jobs), seconds=600)  # type: ignore[misc]
            os.kill(rng.choice(workers(mount)), signal.SIGKILL)
        until(lambda: done(60), seconds=600)
        away = slow_folder.away(folder)
        away.touch()
        threading.Timer(AWAY_SECONDS, away.unlink).start()
        assert [each.wait(1200) for each in machines] == [0, 0]
    ok = Counter(record.key for record in store.Reader(folder / "results").new() if record.is_ok)
    assert len(ok) == 4 * N_SEEDS and set(ok.values()) == {1}
    assert tsfcn(dict(os.environ), *WORDS, f"results={undisturbed}").returncode == 0
    pd.testing.assert_frame_equal(accuracies(folder / "results"), accuracies(undisturbed))
