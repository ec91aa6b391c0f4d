"""A run as an array of identical Slurm tasks, each a worker on the run's jobs (executor=worker).

    results/slurm/ID.sh       the batch script of a plan; ID follows from the keys of its jobs
    results/slurm/ID.jobs     the Slurm jobs that were submitted for it, a number a line
    results/slurm/ID-N.log    what task N printed

Slurm starts the tasks and starts them again; which jobs are left, and who has them, the records and leases tell. So a
task holds nothing: before its time limit Slurm sends SIGUSR1, the training in hand writes a checkpoint, and the task is
queued again. A second array waits for the first and has more memory: Slurm starts it only if a task of the first has
died, as for want of memory, and drops it otherwise.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsfcn.common import files
from tsfcn.common.errors import UserError
from tsfcn.jobs.executors.local import MALLOC, THREADS

NOTICE_SECONDS = 120  # before the time limit, in which the epoch in hand ends
MOST_TASKS = 1000  # of an array, the default of Slurm's MaxArraySize less one
OVERHEAD_BYTES = 2**29  # of planning and of what is counted beside a training, seen with Slurm's own accounting
ESCALATION = 4  # by which the memory is multiplied for what a dead task has left
OURS = ("array", "dependency", "export", "job-name", "output", "error", "open-mode", "parsable", "requeue", "signal")
BODY = """
# Before its time limit (USR1) the worker writes a checkpoint, and the task is queued again.
trap 'requeue=1; kill -USR1 $worker 2>/dev/null' USR1
trap 'kill -TERM $worker 2>/dev/null' TERM
@COMMAND &
worker=$!
while :; do
  wait $worker; code=$?
  kill -0 $worker 2>/dev/null || break  # else a signal ended the wait
done
if [ -n "$requeue" ] && [ $code -eq 130 ]; then
  echo 'tsfcn: the time limit is near: queued again'
  scontrol requeue "$SLURM_JOB_ID"
  exit
fi
[ $code -le 3 ] && exit 0  # the records tell which jobs failed
exit $code
"""
OPTION = re.compile(r"[a-z][a-z0-9-]*")
QUEUED = re.compile(r"(\d+)(?:_\S*)?\s+(\S+)")  # a line of squeue: job and state
TIMEOUT_SECONDS = 60  # for a command of Slurm


@dataclass(frozen=True)
class Array:
    """What is asked of Slurm."""

    n_tasks: int
    memory: int  # MiB a task, if the user's options do not say it
    options: Mapping[str, str]  # of sbatch, those of the user
    cpus: int = 1  # a task

    @property
    def is_estimated(self) -> bool:
        """Whether the memory is our estimate."""
        return not any(name.startswith("mem") for name in self.options)


def options(given: Mapping[Any, Any]) -> dict[str, str]:
    """Return the user's options of sbatch as text.

    Raises:
        UserError: An option is none, is set by tsfcn, or has a value of several lines.
    """
    texts = {}
    for name, value in given.items():
        text = "" if value is None or value is True else str(value)
        if not OPTION.fullmatch(str(name)) or "\n" in text or isinstance(value, (dict, list)):
            raise UserError(
                f"executor.sbatch: '{name}' is no option of sbatch: write {{partition: gpu, time: '8:00:00'}}"
            )
        if name in OURS:
            raise UserError(f"executor.sbatch: '{name}' is set by tsfcn: leave it out")
        texts[str(name)] = text
    return texts


def array(seconds: Iterable[float], bytes_needed: float, minutes: float, tasks: int, given: Mapping[Any, Any]) -> Array:
    """Return how many tasks are asked for, and with how much memory.

    Args:
        seconds: What each job takes by the cost model.
        bytes_needed: The memory that the largest job takes by the cost model.
        minutes: What a task should take.
        tasks: So many tasks in any case; 0: as many as minutes needs.
        given: The user's options of sbatch; `mem` or `mem-per-cpu` there replaces the estimate.
    """
    times = list(seconds)
    wanted = tasks or math.ceil(sum(times) / (60 * minutes))
    n_tasks = max(1, min(wanted, len(times), MOST_TASKS))
    return Array(n_tasks, 256 * math.ceil((1.25 * bytes_needed + OVERHEAD_BYTES) / 2**28), options(given))


def script(words: Sequence[str], folder: Path, name: str, asked: Array) -> str:
    """Return the batch script.

    Args:
        words: The command of a worker, from the name of the module on.
        folder: results/slurm.
        name: Of the plan.
        asked: What is asked of Slurm.
    """
    folder = folder.resolve()
    headers = {
        "job-name": "tsfcn",
        "array": f"0-{asked.n_tasks - 1}",
        "cpus-per-task": str(asked.cpus),
        **({"mem": f"{asked.memory}M"} if asked.is_estimated else {}),
        **asked.options,
        "signal": f"B:USR1@{NOTICE_SECONDS}",
        "requeue": "",
        "open-mode": "append",
        "output": f'"{folder}/{name}-%a.log"',
    }
    environment = {**MALLOC, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": _python_path()}
    lines = ["#!/bin/bash"]
    lines += [f"#SBATCH --{option}{f'={value}' if value else ''}" for option, value in headers.items()]
    lines += ["# Written by tsfcn: each task works on those jobs of the command below that nobody has."]
    lines += [f"export {variable}={shlex.quote(value)}" for variable, value in environment.items()]
    lines += [f"cd {shlex.quote(str(Path.cwd()))} || exit 1"]
    command = shlex.join([sys.executable, "-P", "-m", *words])
    return "\n".join(lines) + BODY.replace("@COMMAND", command, 1)


def _python_path() -> str:
    """Return PYTHONPATH with this checkout, which need not be installed."""
    return os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(Path(__file__).parents[2])]))


# ---------------------------------------------------------------------------------------------------------------------
# Slurm's commands


def call(program: str, *words: str) -> str:
    """Run a command of Slurm and return what it prints. Raises UserError if it is not there, fails or hangs."""
    path = shutil.which(program)
    if path is None:
        raise UserError(
            f"executor=slurm needs the command '{program}', which is not here: run it on a node of the cluster"
        )
    try:
        done = subprocess.run([path, *words], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"'{program}' of Slurm does not answer: try again when the cluster is well") from None
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"it ended with {done.returncode}"
        raise UserError(f"'{program}' of Slurm refuses: {reason.removeprefix(f'{program}: error: ')}")
    return done.stdout


def submit(text: str, folder: Path, name: str, asked: Array) -> int:
    """Write the script of a plan, submit it and what waits for its dead tasks, and return the number of the Slurm job.

    Raises:
        UserError: Tasks of this plan are queued already, or Slurm refuses.
    """
    if there := sorted(queued(folder, name)):
        raise UserError(
            f"these jobs are with Slurm already (job {', '.join(map(str, there))}): `tsfcn watch` shows them, "
            f"`tsfcn results cancel {folder.parent}` stops them"
        )
    path = folder / f"{name}.sh"
    files.replace(path, lambda file: file.write(text.encode()))
    number = _sbatch(path)
    rescue = [f"--dependency=afternotok:{number}", "--kill-on-invalid-dep=yes"]
    if asked.is_estimated:
        rescue.append(f"--mem={ESCALATION * asked.memory}M")
    try:
        _sbatch(path, *rescue)
    except UserError as error:  # no node has so much memory, say
        print(f"without a second array for tasks that die: {error}", file=sys.stderr)
    return number


def _sbatch(path: Path, *words: str) -> int:
    """Submit a script, take note of the number of the Slurm job, and return it."""
    number = int(call("sbatch", "--parsable", *words, str(path)).strip().partition(";")[0])
    with path.with_suffix(".jobs").open("a", encoding="utf-8") as file:
        file.write(f"{number}\n")
    return number


def submitted(folder: Path, name: str = "*") -> set[int]:
    """Return the Slurm jobs that were submitted for a plan, the default for all plans of the folder."""
    numbers: set[int] = set()
    for path in folder.glob(f"{name}.jobs"):
        with contextlib.suppress(OSError):
            words = path.read_text(encoding="utf-8", errors="replace").replace(";", " ").split()
            numbers.update(int(word) for word in words if word.isascii() and word.isdigit())
    return numbers


def queued(folder: Path, name: str = "*") -> dict[int, dict[str, int]]:
    """Return how many tasks of each state (PENDING, RUNNING, ...) the submitted jobs have that are not over.

    Empty where nothing was submitted. Raises UserError as `call` does.
    """
    numbers = submitted(folder, name)
    if not numbers:
        return {}
    states: dict[int, dict[str, int]] = {}
    for line in call("squeue", "--noheader", "--array", "--me", "--format=%i %T").splitlines():
        match = QUEUED.match(line.strip())
        if match and int(match[1]) in numbers and match[2] != "COMPLETING":
            tasks = states.setdefault(int(match[1]), {})
            tasks[match[2]] = tasks.get(match[2], 0) + 1
    return states


def lines(folder: Path) -> list[str]:
    """Return a line for each submitted job that is not over, or one that says why Slurm does not tell."""
    try:
        jobs = queued(folder)
    except UserError as error:
        return [str(error)]
    texts = {number: ", ".join(f"{n} {state.lower()}" for state, n in tasks.items()) for number, tasks in jobs.items()}
    return [f"Slurm job {number}: tasks: {text}" for number, text in sorted(texts.items())]


def cancel(folder: Path) -> list[int]:
    """Cancel all submitted jobs of a results folder that Slurm still knows, and return them.

    Slurm sends SIGTERM first, so that the trainings in hand write a checkpoint.
    """
    there = sorted(queued(folder), reverse=True)  # an array that waits for the death of another one before that
    if there:
        call("scancel", *map(str, there))
    return there
