"""What tsfcn asks Slurm for, and what it makes of its answers; the commands of Slurm are stand-ins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.records import record, record_of, save
from tsfcn.cli import results as results_cli
from tsfcn.common.errors import UserError
from tsfcn.config.compose import compose
from tsfcn.jobs import maintenance, slurm, store
from tsfcn.run import main as run_main
from tsfcn.runs.planning import planned

GIB = 2**30


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins of sbatch, squeue and scancel, whose calls are lines of calls.txt; squeue prints queue.txt."""
    folder = tmp_path / "bin"
    folder.mkdir()
    stand_ins = {
        "sbatch": 'n=$(($(cat n 2>/dev/null || echo 40) + 1)); echo $n > n; echo "$n;cluster"',
        "squeue": "cat queue.txt 2>/dev/null || true",
        "scancel": "true",
    }
    for name, body in stand_ins.items():
        path = folder / name
        path.write_text(f'#!/bin/bash\ncd {folder}\necho "{name} $*" >> calls.txt\n{body}\n')
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def calls(commands: Path) -> list[str]:
    path = commands / "calls.txt"
    return path.read_text().splitlines() if path.exists() else []


def test_number_of_tasks_follows_from_what_one_should_take() -> None:
    hours = [3600.0] * 10
    assert slurm.array(hours, GIB, minutes=60, tasks=0, given={}).n_tasks == 10
    assert slurm.array(hours, GIB, minutes=120, tasks=0, given={}).n_tasks == 5
    assert slurm.array(hours, GIB, minutes=1, tasks=0, given={}).n_tasks == 10, "no more tasks than jobs"
    assert slurm.array(hours, GIB, minutes=60, tasks=3, given={}).n_tasks == 3
    assert slurm.array([1.0], GIB, minutes=60, tasks=0, given={}).n_tasks == 1
    assert slurm.array([1e6] * 5000, GIB, minutes=1, tasks=0, given={}).n_tasks == 1000, "what Slurm takes by default"


def test_memory_is_the_estimate_with_room() -> None:
    asked = slurm.array([1.0], 1 * GIB, minutes=60, tasks=0, given={})
    assert asked.memory == 1792  # 1.25 GiB and half a GiB, in steps of 256 MiB


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"par tition": "gpu"}, "'par tition' is no option of sbatch"),
        ({"partition": "gpu\n#SBATCH --wrap=x"}, "'partition' is no option of sbatch"),
        ({"gres": ["gpu:1"]}, "'gres' is no option of sbatch"),
        ({"array": "0-5"}, "'array' is set by tsfcn: leave it out"),
    ],
)
def test_options_that_sbatch_cannot_get(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        slurm.options(given)


def test_script_asks_for_what_is_needed_and_runs_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = slurm.Array(4, 2048, slurm.options({"partition": "gpu", "exclusive": True, "time": "8:00:00"}))
    text = slurm.script(["tsfcn.run", "dataset=[A, B]", "executor=worker"], tmp_path / "slurm", "abc", asked)
    lines = text.splitlines()
    assert lines[0] == "#!/bin/bash"
    for option in (
        "array=0-3",
        "cpus-per-task=1",
        "mem=2048M",
        "partition=gpu",
        "exclusive",
        "time=8:00:00",
        "signal=B:USR1@120",
    ):
        assert f"#SBATCH --{option}" in lines
    assert f'#SBATCH --output="{tmp_path}/slurm/abc-%a.log"' in lines
    assert f"cd {tmp_path} || exit 1" in lines
    assert f"{sys.executable} -P -m tsfcn.run 'dataset=[A, B]' executor=worker &" in lines


def test_a_task_has_a_core_for_each_thread(tmp_path: Path) -> None:
    assert "#SBATCH --cpus-per-task=4\n" in slurm.script(["X"], tmp_path, "abc", slurm.Array(1, 512, {}, cpus=4))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("exit 0", 0),
        ("exit 1", 0),  # a job failed, which its record tells
        ("exit 3", 0),
        ("kill -9 $$", 137),  # as the kernel does for want of memory
        ("exit 130", 130),  # stopped, but not by the time limit
    ],
)
def test_a_task_fails_only_where_its_worker_dies(tmp_path: Path, body: str, expected: int) -> None:
    assert run_task(tmp_path, body).returncode == expected


def test_before_its_time_limit_a_task_lets_the_worker_end_and_is_queued_again(tmp_path: Path) -> None:
    body = "trap 'sleep 0.3; touch saved; exit 130' USR1; sleep 0.3; kill -USR1 $PPID; while :; do sleep 0.05; done"
    done = run_task(tmp_path, body)
    assert done.returncode == 0 and (tmp_path / "saved").exists()
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"


def run_task(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Run the script of a task with `body` in place of the worker, and a stand-in of scontrol."""
    (folder / "worker.sh").write_text(body)
    (folder / "scontrol").write_text(f'#!/bin/bash\necho "$*" > {folder}/requeued\n')
    (folder / "scontrol").chmod(0o755)
    text = slurm.script(["X"], folder, "abc", slurm.Array(1, 512, {}))
    command = next(line for line in text.splitlines() if line.endswith("X &"))
    (folder / "task.sh").write_text(text.replace(command, "bash worker.sh &").replace("cd ", f"cd {folder} #", 1))
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    return subprocess.run(
        ["bash", "task.sh"], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_memory_that_the_user_asks_for_replaces_the_estimate(commands: Path, tmp_path: Path) -> None:
    asked = slurm.Array(2, 2048, {"mem-per-cpu": "8G"})
    text = slurm.script(["X"], tmp_path, "abc", asked)
    assert "#SBATCH --mem-per-cpu=8G\n" in text and "--mem=" not in text
    slurm.submit(text, tmp_path / "slurm", "abc", asked)
    assert "--mem" not in calls(commands)[-1]


def test_submission_adds_an_array_for_tasks_that_die_and_takes_note_of_both(commands: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "slurm"
    asked = slurm.Array(4, 2048, {})
    assert slurm.submit("#!/bin/bash\n", folder, "abc", asked) == 41
    script = folder / "abc.sh"
    assert calls(commands) == [
        f"sbatch --parsable {script}",
        f"sbatch --parsable --dependency=afternotok:41 --kill-on-invalid-dep=yes --mem=8192M {script}",
    ]
    assert slurm.submitted(folder) == {41, 42}


def test_a_plan_that_slurm_has_is_not_submitted_again(commands: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "slurm"
    slurm.submit("#!/bin/bash\n", folder, "abc", slurm.Array(2, 512, {}))
    (commands / "queue.txt").write_text("41_0 RUNNING\n41_1 PENDING\n7 RUNNING\n42_[0-1] PENDING\n")
    with pytest.raises(UserError, match=r"are with Slurm already \(job 41, 42\)"):
        slurm.submit("#!/bin/bash\n", folder, "abc", slurm.Array(2, 512, {}))
    (commands / "queue.txt").write_text("41_0 COMPLETING\n")
    assert slurm.submit("#!/bin/bash\n", folder, "abc", slurm.Array(2, 512, {})) == 43


def test_a_run_that_is_half_done_is_the_one_that_slurm_has(
    commands: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["dataset=ItalyPowerDemand", "protocol=smoke", "seeds=2", f"results={tmp_path / 'r'}", "executor=slurm"]
    assert run_main(words) == 0
    first, _ = planned(*compose(words))[0]
    store.Writer(tmp_path / "r").write(record_of(first))
    (commands / "queue.txt").write_text("41_0 RUNNING\n")
    assert run_main(words) == 2
    assert "are with Slurm already (job 41)" in capsys.readouterr().err


def test_status_tells_what_slurm_has_and_cancel_stops_the_waiting_array_first(
    commands: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = save(tmp_path / "results", record())
    assert results_cli.main(["cancel", str(results)]) == 0
    assert "Slurm has no task" in capsys.readouterr().out and calls(commands) == [], "nothing was submitted"
    slurm.submit("#!/bin/bash\n", results / "slurm", "abc", slurm.Array(2, 512, {}))
    (commands / "queue.txt").write_text("41_0 RUNNING\n41_1 PENDING\n42_0 PENDING\n")
    assert "Slurm job 41: tasks: 1 running, 1 pending\nSlurm job 42: tasks: 1 pending" in maintenance.status(results)
    assert results_cli.main(["cancel", str(results)]) == 0
    assert calls(commands)[-1] == "scancel 42 41"


def test_a_machine_without_slurm_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs the command 'sbatch', which is not here"):
        slurm.submit("", tmp_path / "slurm", "abc", slurm.Array(1, 512, {}))


def test_what_slurm_refuses_is_one_line(commands: Path, tmp_path: Path) -> None:
    (commands / "sbatch").write_text("#!/bin/bash\necho 'sbatch: error: invalid partition specified: x' >&2\nexit 1\n")
    with pytest.raises(UserError, match="'sbatch' of Slurm refuses: invalid partition specified: x"):
        slurm.submit("", tmp_path / "slurm", "abc", slurm.Array(1, 512, {}))
