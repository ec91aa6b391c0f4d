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

POSSIBLE = os.geteuid() == 0 and shutil.which("unshare") is not None
pytestmark = [
    pytest.mark.skipif(not POSSIBLE, reason="needs root, and unshare of Linux"),
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]
AWAY_SECONDS = 60  # for which the folder does not answer
AHEAD = """\
import time
seconds, nanoseconds = time.time, time.time_ns
time.time, time.time_ns = lambda: seconds() + 60, lambda: nanoseconds() + 60 * 10**9
"""  # as sitecustomize: the clock of this machine is a minute ahead
WORDS = ("run", *JOBS, f"seeds={N_SEEDS}")


def machine(mount: Path, modules: str = "") -> subprocess.Popen[bytes]:
    """Start two workers on a mounted folder in namespaces of their own; one that dies is started again.

    modules: A folder that is first in their search path.
    """
    alone = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    both = 'for n in 1 2; do until "$@"; do :; done & done; wait'
    worker = [sys.executable, "-m", "tsfcn", *WORDS, f"results={mount}/results", "executor=worker"]
    path = os.pathsep.join(filter(None, [modules, str(Path(__file__).parents[2])]))
    return subprocess.Popen([*alone, "bash", "-c", both, "bash", *worker], env={**os.environ, "PYTHONPATH": path})


def workers(mount: Path) -> list[int]:
    """Return the processes of the workers on a mounted folder, without what started them."""
    there = processes(f"results={mount}/results\0executor=worker")
    return [each for each in there if os.path.samefile(f"/proc/{each}/exe", sys.executable)]


def test_workers_of_two_machines_on_a_slow_folder_do_every_job_once(tmp_path: Path) -> None:
    folder, mounts, undisturbed = tmp_path / "folder", [tmp_path / "a", tmp_path / "b"], tmp_path / "undisturbed"
    folder.mkdir()
    (tmp_path / "sitecustomize.py").write_text(AHEAD)
    reader, rng, n_done = store.Reader(folder / "results"), random.Random(0), 0

    def done(n_jobs: int) -> bool:
        nonlocal n_done
        n_done += len(reader.new())
        return n_done >= n_jobs

    with slow_folder.mounted(folder, mounts[0]), slow_folder.mounted(folder, mounts[1]):
        machines = [machine(mounts[0]), machine(mounts[1], str(tmp_path))]
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
