"""`python -m tsfcn.run KEY=VALUE ...`: train models on datasets under a protocol, record every number, print the table.

Hydra composes the settings from conf/ and the overrides; datasets x models x seeds are one plan of jobs, those already
done are not run again. Exit code 0: all ok; 1: a job failed; 2: bad input; 3: all ok but for skipped jobs; 130: Ctrl-C.
"""

from __future__ import annotations

import contextlib
import difflib
import math
import shlex
import sys
import types
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tsfcn
from tsfcn.common import device as devices
from tsfcn.common import harness, machine
from tsfcn.common.errors import UserError
from tsfcn.common.harness import FAILED, OK, SKIPS
from tsfcn.config import checks, schema
from tsfcn.config.compose import command_line, compose, conf_folder, override, register_schema
from tsfcn.config.protocol import ProtocolConfig
from tsfcn.data import archive, catalogue, importer
from tsfcn.data import download as fetch
from tsfcn.jobs import cost, lease, plan, select_engine, store
from tsfcn.jobs.executors import inline, local, threads
from tsfcn.jobs.monitor import Monitor, clock, title
from tsfcn.jobs.queue import Event, Queue

if TYPE_CHECKING:
    import pandas as pd

RESUME = "finished jobs are kept, the same command goes on from there"

# Of Hydra's flags, those that tell something.
FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p", "--info", "-i"),
    *("--shell-completion", "-sc"),
)

# Jobs at a time on a device of this kind, by the reference loop alone or not. That loop waits for Python's lock.
PER_DEVICE = {("cuda", False): 8, ("cuda", True): 2, ("mps", False): 1, ("mps", True): 1}

Unusable = dict[
    str, tuple[str, str]
]  # by dataset: 'skipped' (not to be had) or 'failed' (its files are wrong), and why

# ---------------------------------------------------------------------------------------------------------------------
# From a RunConfig to records


def planned(run: schema.RunConfig, unchanged: ProtocolConfig, device: str = "cpu") -> tuple[list[plan.Job], Unusable]:
    """Return the jobs of a run, and the datasets that cannot be had or are wrong (their jobs have no passport).

    device: torch's name of where it will train, which engine.precision=auto depends on.
    """
    unusable: Unusable = {}
    passports: dict[str, dict[str, Any]] = {}
    seeds = checks.integers("seeds", run.seeds, count=True)
    resamples = checks.integers("resample", run.resample, count=False)
    for name in dataset_names(run):
        try:
            passports[name] = dict(archive.passport(name, run.archive.root, run.archive.split))
        except UserError as error:
            unusable[name] = ("skipped" if isinstance(error, archive.NotAvailable) else "failed", str(error))
            passports[name] = {}
    auto, precision = run.engine.precision == "auto", run.engine.precision
    if auto:
        precision = select_engine.automatic_precision(run.engine.name, device)
    what = (passports, run.model.chosen(), run.protocol, unchanged, seeds, resamples)
    return plan.jobs(*what, precision, if_possible=auto), unusable


def dataset_names(run: schema.RunConfig) -> list[str]:
    """Return the datasets that a run names. Raises UserError for a name, folder or address that cannot be."""
    fetch.address("NAME", run.archive.mirror)
    return catalogue.select(run.dataset, run.exclude, own=archive.own(run.archive.root))


def check_results(jobs: list[plan.Job], records: list[store.Record], results: Path) -> None:
    """Raise UserError, before anything is trained, where the tables of the results folder could not be written."""
    from tsfcn.analysis import tables
    from tsfcn.report import results_folder

    if results.exists() and not results.is_dir():
        raise UserError(f"results={results} is a file: give a folder")
    results_folder.check_page(results)
    tables.accuracy(records)  # refuses what does not belong together
    groups = {store.place(r)[:-1]: r["group"] for r in records if r["status"] == "ok"}
    for job in jobs:
        if job.passport and groups.get(store.place(job.to_json())[:-1], job.group) != job.group:
            raise UserError(
                f"results={results} already holds {job.model} ({job.protocol}) on {job.dataset} of other data or of "
                "another version of the training code: use another results folder, or move the old records away"
            )


def known_passports(jobs: list[plan.Job], unusable: Unusable, records: list[store.Record]) -> list[plan.Job]:
    """Return the jobs; one whose data are not here but whose finished record is gets the passport of that record."""
    finished = {store.place(record): record for record in records if record["status"] == "ok"}

    def known(job: plan.Job) -> plan.Job:
        record = finished.get(store.place(job.to_json()))
        if record is None or unusable.get(job.dataset, ("", ""))[0] != "skipped":
            return job
        same = replace(job, passport=record["passport"])
        return same if same.key == record["key"] else job

    return [known(job) for job in jobs]


def twins(jobs: list[plan.Job], records: list[store.Record]) -> list[store.Record]:
    """Return the records of jobs that were trained under another name, under the names that are asked for now."""
    finished = {record["key"]: record for record in records if record["status"] == "ok"}
    named = {store.identity(record) for record in records}
    return [
        {**finished[job.key], "model": job.model, "protocol": job.protocol, "off_paper": job.off_paper}
        for job in jobs
        if job.key in finished and (job.key, job.model, job.protocol) not in named
    ]


def execute_run(
    run: schema.RunConfig,
    unchanged: ProtocolConfig,
    command: str,
    show: Callable[[list[store.Record]], str] | None = None,
    more: Iterable[tuple[schema.RunConfig, ProtocolConfig]] = (),
) -> tuple[int, list[plan.Job]]:
    """Plan, run what is not done, write the tables. Returns the exit code and the jobs of the plan.

    show: what is printed of the records of these jobs in the end; None: their accuracy table. more: runs that differ in
    model, protocol, data and seeds alone, whose jobs are done beside these.
    """
    device = chosen_device(run)
    results = Path(run.results)
    budget = math.inf if run.budget is None else cost.duration("budget", run.budget)
    reader = store.Reader(results)
    history = reader.news()
    records, failures = store.counting(history), store.attempts(history)

    def plan_now() -> tuple[list[plan.Job], Unusable]:
        jobs, unusable = planned(run, unchanged, device)
        for further in more:
            jobs_too, unusable_too = planned(*further, device)
            jobs, unusable = jobs + jobs_too, unusable | unusable_too
        check_results(jobs, records, results)
        jobs = known_passports(jobs, unusable, records)
        without = {job.dataset for job in jobs if not job.passport}
        return jobs, {name: why for name, why in unusable.items() if name in without}

    jobs, unusable = plan_now()
    missing = [name for name, (status, _) in unusable.items() if status == "skipped"]
    if not run.dry_run and agreed(run.archive, missing):
        failed = download(run.archive, missing)
        jobs, unusable = plan_now()
        unusable |= {name: ("skipped", why) for name, why in failed.items() if name in unusable}
    same = twins(jobs, records)
    by_job = {store.identity(record): record for record in [*records, *same]}

    def done(record: store.Record) -> bool:
        return store.done(record, results, run.save_weights, run.require_predictions)

    def state(job: plan.Job) -> str:
        if not job.passport:
            return unusable[job.dataset][0]
        record = by_job.get((job.key, job.model, job.protocol))
        if record is None:
            return "pending"
        if done(record):
            return "done"
        tried = record["status"] == "failed" and failures.get(job.key, 0) >= run.max_attempts
        return "failed" if tried else "pending"

    states = {job.key: state(job) for job in jobs}
    pending = [job for job in jobs if states[job.key] == "pending"]
    model = cost.Model(records, devices.gpu(device) or machine.processor(), run.engine.name, device)
    works = {job.key: cost.work(job) for job in pending}
    seconds = model.estimates(pending, works)
    pending.sort(key=lambda job: seconds[job.key], reverse=True)  # so that workers end together
    n_workers = n_at_a_time(run, device)
    if device != "cpu":
        n_workers = min(n_workers, cost.SIDE_BY_SIDE)
    fitting = cost.fitting(seconds, n_workers, budget) if budget < math.inf else set(seconds)
    if run.dry_run:
        print(dry(jobs, states, unusable, n_workers, seconds, run.budget, fitting, device))
        return OK, jobs

    for line in reasons((name, name, *why) for name, why in unusable.items()):
        print(line, file=sys.stderr)
    n_done = sum(value == "done" for value in states.values())
    n_failed = sum(states[job.key] == "failed" and bool(job.passport) for job in jobs)
    estimate = cost.makespan((seconds[key] for key in fitting), n_workers)
    means = f"with {min(n_workers, len(fitting))} workers" if device == "cpu" else f"on {device}"
    print(
        f"{len(jobs)} jobs: {n_done} done before, {len(pending)} to run, {len(unusable)} datasets not usable"
        + (f"; {n_failed} not tried again, they failed max_attempts={run.max_attempts} times" if n_failed else "")
        + (f"; roughly {clock(estimate)} {means}" if fitting else "")
        + (f"; budget={run.budget} is enough for {len(fitting)} of them" if budget < math.inf else ""),
        file=sys.stderr,
    )
    writer = store.Writer(results)
    for record in same:
        writer.write(record)
    record_unusable(jobs, unusable, by_job, results)
    if not pending:
        return summarise(jobs, results, show), jobs

    path = store.write_plan(results, command, jobs)
    with lease.Runner(results) as runner:
        # What does not fit comes after the rest, the shortest first: there may be more time than was thought.
        order = [job for job in pending if job.key in fitting]
        order += [job for job in reversed(pending) if job.key not in fitting]
        monitor = Monitor(order, n_workers, model=model, runner=runner)
        queue = Queue(
            order,
            results,
            runner,
            reader=reader,
            max_attempts=run.max_attempts,
            failures=failures,
            done=done,
            seconds=lambda job: monitor.cost.get(job.key, 0.0),
            budget_seconds=budget,
        )
        # Closing ends the workers, whatever happens.
        with contextlib.closing(events(queue, run, device, monitor)) as told:
            for event in told:
                monitor.see(event)
                if event.record.get("status") == "ok":
                    store.remember(results, command)
    records = store.read(results)
    for record in twins(jobs, records):  # trained by another runner meanwhile, under another name
        writer.write(record)
    left = [job for job in pending if job.key not in {record["key"] for record in records}]
    if not left:
        store.remove_plan(path)
    code = summarise(jobs, results, show) if records else OK  # a budget may be too short for any job to end
    if left:
        rest = sum(monitor.cost.get(job.key, 0.0) for job in left) / n_workers
        print(
            f"budget={run.budget} is over: {len(left)} jobs are left, roughly {clock(rest)} "
            f"{f'with {n_workers} workers' if device == 'cpu' else f'on {device}'}; "
            "the same command goes on with them",
            file=sys.stderr,
        )
        code = code or SKIPS
    return code, jobs


def chosen_device(run: schema.RunConfig) -> str:
    """Return torch's name of the device of a run, and say on stderr which one it is unless it is the CPU by default.

    Raises UserError where it is not available, or not for the precision of the run.
    """
    device = devices.resolve(run.device)
    if devices.kind(device) == "mps" and run.engine.precision in ("float64", "bfloat16"):
        raise UserError(
            f"engine.precision={run.engine.precision} is not for device={run.device}, which trains in float32: "
            "leave it out, or use device=cpu"
        )
    if run.engine.precision == "tf32" and devices.kind(device) != "cuda":
        raise UserError("engine.precision=tf32 is for NVIDIA GPUs: leave it out, or use device=cuda")
    line = devices.announcement(run.device, device)
    if line:
        print(line, file=sys.stderr)
    return device


def n_at_a_time(run: schema.RunConfig, device: str) -> int:
    """Return how many jobs are trained at a time."""
    if run.executor.name == "inline":
        return 1
    if device == "cpu":
        return run.executor.workers or machine.cores()
    return run.executor.per_device or PER_DEVICE[devices.kind(device), run.engine.name == "reference"]


def agreed(settings: schema.ArchiveConfig, missing: list[str]) -> bool:
    """Say whether the missing datasets shall be downloaded: as archive.download says, or as the user answers."""
    if not missing or settings.download == "never":
        return False
    if settings.download == "auto":
        return True
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    print(
        f"{len(missing)} {'dataset is' if len(missing) == 1 else 'datasets are'} not here: {named}\n"
        f"download about {importer.size(fetch.estimate(missing))} from {settings.mirror or archive.SITE}? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def download(settings: schema.ArchiveConfig, missing: list[str]) -> dict[str, str]:
    """Download datasets to where the archive lies, with a line each. Returns why some failed, by name."""
    root = importer.destination(settings.root)
    print(f"downloading {len(missing)} datasets to '{root}'", file=sys.stderr, flush=True)
    failed = {}
    for name, reason, line in fetch.several(missing, root, settings.mirror):
        if reason is None:
            print(line, file=sys.stderr, flush=True)
        else:  # told once, when all are done
            failed[name] = f"dataset '{name}' is not available: {reason}"
    return failed


def events(queue: Queue, run: schema.RunConfig, device: str, monitor: Monitor) -> Generator[Event]:
    """Yield the events of running the jobs of the queue with the chosen executor; on a GPU in threads."""
    n_workers = n_at_a_time(run, device)
    folder = archive.root_folder(run.archive.root)
    terms = plan.Terms(
        root=None if folder is None else str(folder.resolve()),
        engine=run.engine.name,
        save_weights=run.save_weights,
        n_sharing=n_workers,
        memory=run.executor.memory * 2**30 or math.inf,
        checkpoint_seconds=run.checkpoint.every_seconds,
        device=device,
    )
    if device != "cpu":
        return threads.threads(queue, terms, n_workers)
    if run.executor.name == "inline":
        return inline.inline(queue, terms, monitor.see)
    if terms.memory == math.inf:
        terms = replace(terms, memory=max(machine.free_memory() / n_workers, cost.LEAST_BYTES))
    return local.local(queue, terms, n_workers)


def record_unusable(
    jobs: list[plan.Job], unusable: Unusable, known: dict[tuple[Any, ...], store.Record], results: Path
) -> None:
    """Record the jobs of datasets that cannot be used as skipped or failed, once for each reason."""
    news = []
    for job in jobs:
        if not job.passport:
            record = known.get((job.key, job.model, job.protocol))
            if record is None or record["reason"] != unusable[job.dataset][1]:
                news.append(job)
    if not news:
        return  # describing a job takes torch, whose version stands in the record
    from tsfcn.jobs.run_job import describe

    writer = store.Writer(results)
    for job in news:
        writer.write(describe(job, *unusable[job.dataset]))


def of_jobs(jobs: list[plan.Job], results: Path) -> list[store.Record]:
    """Return the records of these jobs, under their names."""
    asked = {(job.key, job.model, job.protocol) for job in jobs}
    return [record for record in store.read(results) if store.identity(record) in asked]


def accuracies(records: list[store.Record]) -> str:
    """Return the accuracy table of records as text."""
    from tsfcn.analysis import tables
    from tsfcn.report import render

    return render.table(tables.accuracy(records), processor_time=any(map(store.has_processor_seconds, records)))


def summarise(jobs: list[plan.Job], results: Path, show: Callable[[list[store.Record]], str] | None) -> int:
    """Write the tables of the results folder, print what is to be shown of these jobs, and return the exit code."""
    from tsfcn.report import results_folder

    results_folder.write(results)
    records = of_jobs(jobs, results)
    statuses = [record["status"] for record in records]
    print((show or accuracies)(records))
    if set(statuses) - {"ok"}:
        counts = f"{statuses.count('failed')} failed, {statuses.count('skipped')} skipped"
        print(f"\n{counts} (all in {results / 'tables' / 'status.csv'}):")
        told = {
            (r["dataset"] if r["status"] == "skipped" else title(r), r["dataset"], r["status"], r["reason"]): None
            for r in records
            if r["status"] != "ok"
        }
        print("\n".join(reasons(told)))
    return FAILED if "failed" in statuses else SKIPS if "skipped" in statuses else OK


def dry(
    jobs: list[plan.Job],
    states: dict[str, str],
    unusable: Unusable,
    n_workers: int,
    seconds: dict[str, float],
    budget: str | None,
    fitting: set[str],
    device: str,
) -> str:
    """Return the plan as text: a line a job with its state and its estimated time on one core, or alone on the GPU."""
    rows, on_cpu = [], device == "cpu"
    for job in jobs:
        price = clock(seconds[job.key]) if states[job.key] == "pending" else ""
        rows.append(f"{states[job.key]:8} {price:>12}  {title(job.to_json())}")
    rows += reasons((name, name, *why) for name, why in unusable.items())
    if budget is not None:
        long = cost.makespan((each for key, each in seconds.items() if key not in fitting), n_workers)
        rows.append(f"budget={budget} is enough for {len(fitting)} of {len(seconds)} jobs, {clock(long)} are left")
    rows.append(
        f"{len(jobs)} jobs on {len({job.dataset for job in jobs})} datasets, {len(unusable)} of them not usable: "
        f"{len(seconds)} jobs to run, roughly {clock(sum(seconds.values()))} "
        f"{'on one core' if on_cpu else 'one by one'}, "
        f"{clock(cost.makespan(seconds.values(), n_workers))} on {n_workers if on_cpu else device}; "
        "nothing was run (dry_run=true)"
    )
    return "\n".join(rows)


def reasons(entries: Iterable[tuple[str, str, str, str]]) -> list[str]:
    """Return a line a reason, naming all that share it. entries: (who, dataset, status, reason) of datasets or jobs."""
    alike: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for who, dataset, status, reason in entries:
        alike.setdefault((status, reason.replace(dataset, "NAME")), []).append((who, reason))
    lines = []
    for (status, common), members in alike.items():
        who, reason = members[0]
        if len(members) > 1:
            lines.append(f"{status}: {len(members)} ({', '.join(who for who, _ in members)}): {common}")
        else:
            lines.append(f"{status}: {reason}" if who in reason else f"{status}: {who}: {reason}")
    return lines


def run(
    dataset: object = "default", model: object = "fcn", protocol: str = "fawaz2019", *overrides: str, **settings: object
) -> pd.DataFrame:
    """Run jobs and return their accuracy table, a row a dataset x model x protocol x split (see tables.accuracy).

    dataset, model: a name or a list of names; settings: top-level settings such as seeds=5, results="out" or
    archive={"root": "ucr"}; overrides: anything else, as on the command line:
    tsfcn.run("Coffee", "fcn", "fawaz2019", "protocol.epochs=100").
    Jobs that are done are not run again. Failed and skipped jobs are told on standard error and have no row.
    Raises UserError (a ValueError) for bad input.
    """
    from tsfcn.analysis import tables

    named: dict[str, object] = {"dataset": dataset, "model": model, "protocol": protocol}
    for name, value in settings.items():
        named |= {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, Mapping) else {name: value}
    words = [override(name, value) for name, value in named.items()] + list(overrides)
    chosen, unchanged = compose(words)
    _, jobs = execute_run(chosen, unchanged, command_line(words))
    return tables.accuracy(of_jobs(jobs, Path(chosen.results)))


# ---------------------------------------------------------------------------------------------------------------------
# The command


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code. argv: Hydra overrides and flags, without the program's name."""
    words = sys.argv[1:] if argv is None else argv

    def command() -> int:
        flags = [word for word in words if word.startswith("-")]
        if flags:
            return informed(words, flags)
        settings, unchanged = compose(words)
        return concluded(execute_run(settings, unchanged, command_line(words))[0], settings)

    return harness.run(command, resume=RESUME)


def concluded(code: int, settings: schema.RunConfig, files: str = "tables/accuracy.csv, README.md") -> int:
    """Print on stderr where the results of a run are and what to type next, unless nothing was run.

    Args:
        code: the exit code of the run, which is returned.
        settings: those of the run.
        files: what to look at in its results folder.
    """
    results = Path(settings.results)
    if not settings.dry_run and (results / "tables" / "accuracy.csv").is_file():
        sys.stdout.flush()  # the table comes first, also where both go to one file
        print(
            f"results: {results} ({files}); next: tsfcn report {shlex.quote(str(results))}",
            file=sys.stderr,
        )
    return code


def informed(argv: list[str], flags: list[str]) -> int:
    """Let Hydra answer --help, --cfg, --info and their like; nothing is run. Returns the exit code."""
    import hydra

    for word in flags:
        flag = word.split("=")[0]
        if flag in ("-m", "--multirun"):
            raise UserError(
                f"{flag} is not for this command: give lists, as in 'dataset=[Coffee,Beef]' 'model=[fcn,mlp]'"
            )
        if flag not in FLAGS:
            setting = flag.strip("-").replace("-", "_")
            near = difflib.get_close_matches(setting, [f.name for f in fields(schema.RunConfig)], n=1)
            hint = f"did you mean '{near[0]}=...'?" if near else f"settings are KEY=VALUE, flags are {', '.join(FLAGS)}"
            raise UserError(f"flag '{word}' is not known: {hint}")
    if "--version" in flags:
        print(f"tsfcn {tsfcn.__version__}")
        return OK
    overrides = [word for word in argv if "=" in word and not word.startswith("-")]
    if not {"--shell-completion", "-sc"} & set(flags):
        compose(overrides)
        argv = [*(word for word in argv if word not in overrides), *overrides]  # argparse wants them in one place
    register_schema()
    sys.argv = ["tsfcn run", *argv]
    hydra.main(config_path=str(conf_folder()), config_name="config", version_base="1.3")(lambda tree: None)()
    return OK


def make_callable(module: str, function: Callable[..., Any]) -> None:
    """Let a module be called as its function: `import tsfcn; tsfcn.run("Coffee")` works in any order of imports."""

    class Called(types.ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

    sys.modules[module].__class__ = Called


make_callable(__name__, run)

if __name__ == "__main__":
    sys.exit(main())
