"""A run on a system that lacks what Windows lacks: modules, functions and signals of POSIX.

No Windows machine is at hand. Here Python itself still runs on POSIX, so that paths, locks of open files and processes
of Windows are not tested (the README says so); what is tested is that no import, attribute or signal is missing
on the way of a run, in the command and in its workers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Loaded by Python at the start of each process, before anything of tsfcn.
SITECUSTOMIZE = """
import os, select, signal, sys

import subprocess  # itself takes what is removed below

# numpy and torch are built for this system, and may take what they need: os.uname, say.
for name in ("fcntl", "resource", "grp", "pwd", "termios", "tty", "pty", "syslog", "crypt", "posix_spawn"):
    sys.modules[name] = None
for name in ("sched_getaffinity", "geteuid", "getuid", "getegid", "getgid", "fork", "forkpty", "killpg",
             "getloadavg", "mkfifo", "O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_DIRECTORY", "chown", "fchown",
             "sysconf", "nice", "getpriority"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGPIPE", "SIGQUIT", "SIGTSTP",
             "SIGCONT", "SIGSTOP", "SIGWINCH", "SIGXCPU", "pthread_sigmask", "sigwait", "setitimer", "alarm"):
    if hasattr(signal, name):
        delattr(signal, name)
subprocess.Popen.kill = lambda process: process.send_signal(9)  # TerminateProcess there
if hasattr(select, "poll"):
    del select.poll, select.epoll
"""


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the interpreter in a folder, without what Windows lacks, and wait for its end."""
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(SITECUSTOMIZE)
    clean = {name: value for name, value in os.environ.items() if name not in ("TSFCN_ARCHIVE", "PATH")}
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=clean
        | {"PYTHONPATH": f"{folder / 'site'}{os.pathsep}{ROOT}", "TSFCN_CACHE": str(folder / "cache"), "CC": "none"}
        | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_simulation_works(tmp_path: Path) -> None:
    """The other tests here show nothing where another sitecustomize is loaded."""
    code = "import os, signal; print(hasattr(os, 'geteuid'), hasattr(signal, 'SIGKILL')); import fcntl"
    done = run(tmp_path, "-c", code)
    assert done.stdout == "False False\n" and "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_a_run_needs_nothing_that_windows_lacks(executor: str, tmp_path: Path) -> None:
    words = ("-m", "tsfcn.run", "dataset=ItalyPowerDemand", "protocol=smoke", "seeds=2", f"executor={executor}")
    small = ("model.fcn.filters=[3]", "model.fcn.kernels=[3]", "save_weights=true")
    done = run(tmp_path, *words, *small)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    files = (tmp_path / "results" / "records").glob("*.jsonl")
    lines = [line for path in files for line in path.read_text().splitlines()]
    assert [json.loads(line)["status"] for line in lines] == ["ok", "ok"]


@pytest.mark.parametrize(
    "words",
    [
        ("data", "list", "Coffee"),
        ("data", "verify", "ItalyPowerDemand"),
        ("results", "status"),
        ("results", "gc"),
        ("watch", "--once"),
        ("published", "list"),
        ("data", "import", "copy", "--root", "archive"),
    ],
)
def test_commands_need_nothing_that_windows_lacks(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "results" / "records").mkdir(parents=True)
    for split in ("TRAIN", "TEST"):
        (tmp_path / "copy").mkdir(exist_ok=True)
        (tmp_path / "copy" / f"Mine_{split}.tsv").write_text("a\t1\nb\t2\n")
    done = run(tmp_path, "-m", "tsfcn", *words)
    assert done.returncode == 0 and done.stderr == ""


def test_the_death_of_a_worker_has_a_cause(tmp_path: Path) -> None:
    code = "from tsfcn.jobs.queue import cause_of_death; print(*map(cause_of_death, (-2, -60, 3221225477)), sep=', ')"
    done = run(tmp_path, "-c", code)
    assert done.stdout == "SIGINT, signal 60, exit code 3221225477\n", done.stderr
