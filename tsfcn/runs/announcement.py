"""What is printed before the training: what will be done, and roughly how long it takes."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable

from tsfcn.common.text import Problem, counted, problem_lines
from tsfcn.data.dataset import summary
from tsfcn.jobs import cost
from tsfcn.jobs.progress import clock, title
from tsfcn.runs.run_plan import RunPlan
from tsfcn.training.select_engine import EngineChoice


def announce(prepared: RunPlan) -> None:
    """Print what will be done: with dry_run a line for each job on stdout, else a summary on stderr."""
    run, budget = prepared.request.run, prepared.request.budget_seconds
    engines = engine_lines(prepared.model.choice(job) for job in prepared.pending)
    if run.dry_run:
        print("\n".join([*notices(prepared), dry(prepared, list(engines.values()))]))
        return
    lines = notices(prepared) + [line for choice, line in engines.items() if choice.missing]
    lines += problem_lines(unusable_datasets(prepared))
    states, fitting = list(prepared.states.values()), prepared.fitting
    usable = {job.key for job in prepared.jobs if job.passport}
    n_failed = sum(state == "failed" and key in usable for key, state in prepared.states.items())
    estimate = cost.makespan((prepared.seconds[key] for key in fitting), prepared.n_workers)
    means = prepared.placement.means(min(prepared.n_workers, len(fitting)))
    lines.append(
        f"{counted(len(states), 'job')}: {states.count('done')} done before, {len(prepared.pending)} to run, "
        f"{counted(len(prepared.unusable), 'dataset')} not usable"
        + (f"; {n_failed} not tried again, they failed max_attempts={run.max_attempts} times" if n_failed else "")
        + (f"; roughly {clock(estimate)} {means}" if fitting else "")
        + (f"; budget={run.budget} is enough for {len(fitting)} of them" if budget < math.inf else "")
    )
    print("\n".join(lines), file=sys.stderr)


def dry(prepared: RunPlan, engines: list[str]) -> str:
    """Return the plan as text: a line a job with its state and its estimated time on one core, or alone on the GPU.

    engines: a line for each engine that will train.
    """
    jobs, seconds, n_workers = prepared.jobs, prepared.seconds, prepared.n_workers
    rows, on_cpu = [], prepared.placement.on_cpu
    for job in jobs:
        price = clock(seconds[job.key]) if prepared.states[job.key] == "pending" else ""
        rows.append(f"{prepared.states[job.key]:8} {price:>12}  {title(job)}")
    rows += engines
    rows += problem_lines(unusable_datasets(prepared))
    budget = prepared.request.run.budget
    if budget is not None:
        long = cost.makespan((each for key, each in seconds.items() if key not in prepared.fitting), n_workers)
        rows.append(
            f"budget={budget} is enough for {len(prepared.fitting)} of {len(seconds)} jobs, {clock(long)} are left"
        )
    rows.append(
        f"{counted(len(prepared.states), 'job')} on {counted(len({job.dataset for job in jobs}), 'dataset')}, "
        f"{len(prepared.unusable)} of them not usable: {counted(len(seconds), 'job')} to run, "
        f"roughly {clock(sum(seconds.values()))} "
        f"{'on one core' if on_cpu else 'one by one'}, "
        f"{clock(cost.makespan(seconds.values(), n_workers))} on {n_workers if on_cpu else prepared.placement.device}; "
        "nothing was run (dry_run=true)"
    )
    return "\n".join(rows)


def notices(prepared: RunPlan) -> list[str]:
    """Return lines about the user's own datasets, what was read of each and its warnings, and an unfit protocol."""
    run = prepared.request.run
    passports = {job.dataset: job.passport for job in prepared.jobs if job.passport.get("archive") == "user"}
    lines = [line for passport in passports.values() for line in summary(passport)]
    if run.task == "segmentation" and run.protocol.paper != "none":
        lines.append(f"{run.protocol.name} is of a paper on classifiers of cases: protocol=segmentation is for streams")
    return lines


def unusable_datasets(prepared: RunPlan) -> list[Problem]:
    """Return why datasets of a plan cannot be used."""
    return [Problem(status, name, reason, name) for name, (status, reason) in prepared.unusable.items()]


def engine_lines(choices: Iterable[EngineChoice]) -> dict[EngineChoice, str]:
    """Return a line for each engine that jobs will be trained by, with the reason where it is not the fast one."""
    return {
        choice: f"engine {choice.name}, {choice.precision}: {counted(count, 'job')}"
        + (f"; {choice.reason}" if choice.reason else "")
        for choice, count in Counter(choices).items()
    }
