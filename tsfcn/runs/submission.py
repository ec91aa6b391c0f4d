"""A plan as an array of Slurm tasks (tsfcn.jobs.slurm), each of which works on its jobs with executor=worker."""

from __future__ import annotations

import shlex
from dataclasses import replace

from tsfcn.common.text import counted
from tsfcn.config.overrides import from_settings
from tsfcn.data import locate
from tsfcn.jobs import cost, slurm, store
from tsfcn.jobs.progress import clock
from tsfcn.runs.execution import keep_files, record_unusable
from tsfcn.runs.run_plan import RunPlan


def script(prepared: RunPlan) -> tuple[str, str, slurm.Array]:
    """Return the name of the plan, the batch script that works on it, and what it asks Slurm for."""
    settings, jobs = prepared.request.run.executor, prepared.pending
    needed = max(map(cost.memory, jobs), default=float(cost.LEAST_BYTES))
    asked = slurm.array(prepared.seconds.values(), needed, settings.minutes, settings.tasks, settings.sbatch)
    asked = replace(asked, cpus=prepared.placement.threads)
    name = store.plan_name(prepared.jobs)
    return name, slurm.script(worker_words(prepared), prepared.request.results / "slurm", name, asked), asked


def worker_words(prepared: RunPlan) -> list[str]:
    """Return the command of a worker on the jobs of a plan: the run's, with what is particular to this machine."""
    run = prepared.request.run
    _, _, *words = shlex.split(prepared.request.command)
    folder = locate.root_folder(run.archive.root)
    here: dict[str, object] = {
        "results": str(prepared.request.results.resolve()),
        "engine.name": run.engine.name,
        "engine.threads": run.engine.threads,
        "device": run.device,
        "checkpoint.every_seconds": run.checkpoint.every_seconds,
        "max_attempts": run.max_attempts,
        "archive.root": None if folder is None else str(folder.resolve()),
    }
    machine_words = from_settings({name: value for name, value in here.items() if value is not None})
    return [*words, *machine_words, "executor=worker"]


def submit(prepared: RunPlan) -> None:
    """Hand the jobs of a plan that are to be run to Slurm, and say what was asked for and how to go on."""
    results, jobs = prepared.request.results, prepared.pending
    name, text, asked = script(prepared)
    store.check_writable(results)
    record_unusable(prepared)
    store.write_plan(results, prepared.request.command, prepared.jobs)
    keep_files(prepared)
    number = slurm.submit(text, results / "slurm", name, asked)
    share = cost.makespan(prepared.seconds.values(), asked.n_tasks)
    print(
        f"Slurm job {number}: {counted(len(jobs), 'job')} in {counted(asked.n_tasks, 'task')}, roughly "
        f"{clock(share)} if all run at once\n"
        f"tsfcn watch {results} shows them, tsfcn results status {results} what is done, "
        f"tsfcn results cancel {results} stops them; the last task writes the tables"
    )
