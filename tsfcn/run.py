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
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tsfcn
from tsfcn.common import device as devices
from tsfcn.common import exit_codes, machine
from tsfcn.common.callable_module import make_callable
from tsfcn.common.errors import UserError, first_line
from tsfcn.common.exit_codes import FAILED, OK, SKIPS
from tsfcn.common.streams import safe_streams
from tsfcn.common.text import Problem, problem_lines, size
from tsfcn.config import checks, init_from, model_spec, models, schema
from tsfcn.config.compose import compose_all, hydra_words, register_schema
from tsfcn.config.libraries import LibraryConfig
from tsfcn.config.overrides import CONFIG_DIR, RUN_SETTINGS, canonical, command_line, from_settings
from tsfcn.config.paths import conf_folder
from tsfcn.config.protocol import ProtocolConfig
from tsfcn.data import download as fetch
from tsfcn.data import importer, locate, streams, user_data
from tsfcn.data.dataset import summary
from tsfcn.data.formats import Columns
from tsfcn.jobs import artifacts, cost, executors, initial_weights, lease, plan, selection, slurm, store, transfer
from tsfcn.jobs.executors import local, ray
from tsfcn.jobs.index import Index
from tsfcn.jobs.monitor import Monitor
from tsfcn.jobs.progress import clock, title
from tsfcn.jobs.queue import Event, Queue
from tsfcn.jobs.record import Record, in_rows_of_others, place, renamed
from tsfcn.training.select_engine import EngineChoice, automatic_precision

if TYPE_CHECKING:
    import pandas as pd

RESUME = "finished jobs are kept, the same command goes on from there"

# Of Hydra's flags, those that tell something.
FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p", "--info", "-i"),
    *("--shell-completion", "-sc"),
)

SLURM, WORKER, RAY = "slurm", "worker", "ray"  # executors that a run treats in a way of their own

# Jobs at a time on a device of this kind, by the reference loop alone or not. That loop waits for Python's lock.
PER_DEVICE = {("cuda", False): 8, ("cuda", True): 2, ("mps", False): 1, ("mps", True): 1}

# By dataset: 'skipped' (not available) or 'failed' (its files are wrong), and the reason.
Unusable = dict[str, tuple[str, str]]

# ---------------------------------------------------------------------------------------------------------------------
# From a RunConfig to records


def planned(run: schema.RunConfig, unchanged: ProtocolConfig, device: str = "cpu") -> tuple[list[plan.Job], Unusable]:
    """Return the jobs of a run, and the datasets that cannot be had or are wrong (their jobs have no passport).

    device: torch's name of where it will train, which engine.precision=auto depends on.
    """
    unusable: Unusable = {}
    seeds = checks.integers("seeds", run.seeds, count=True)
    resamples = checks.integers("resample", run.resample, count=False)
    auto, precision = run.engine.precision == "auto", run.engine.precision
    if auto:
        precision = automatic_precision(run.engine.name, device)

    def passports(datasets: Iterable[user_data.Source]) -> dict[str, dict[str, Any]]:
        """Return the passports of datasets, {} for one that cannot be used."""
        found: dict[str, dict[str, Any]] = {}
        for source in datasets:
            name = source.name
            try:
                if run.task == "segmentation" and source.files is not None:
                    found[name] = streams.passport(source, read_options(run))
                    continue
                found[name] = dict(user_data.passport(source, run.archive.root, run.archive.split, read_options(run)))
            except UserError as error:
                unusable[name] = ("skipped" if isinstance(error, locate.NotAvailable) else "failed", str(error))
                found[name] = {}
        return found

    def jobs(datasets: dict[str, dict[str, Any]], init_from: str | None, label: str = "") -> list[plan.Job]:
        """Return the jobs on datasets whose initial weights come from one source, None: are random."""
        contents = (datasets, run.model.configs(), replace(run.protocol, init_from=init_from), unchanged)
        segmentation = run.segmentation if run.task == "segmentation" else None
        return plan.jobs(
            *(*contents, seeds, resamples, precision),
            if_possible=auto,
            init_label=label,
            segmentation=segmentation,
        )

    targets, text = passports(sources(run)), run.protocol.init_from
    if text is None:
        return jobs(targets, None), unusable
    start = init_from.parse(text)
    if start.kind == "weights":
        key = initial_weights.file_key(start.file)
        started = jobs(targets, f"weights:{key}", f"weights:{key[: plan.SHOWN]}")
        return [replace(job, source={"key": key, "group": key}) for job in started], unusable
    pool = passports(user_data.select(list(start.names), [], run.archive.root, locate.ReadOptions()))
    known = targets | pool
    return transfer.jobs(
        *(start, text, targets, pool, lambda name, source, label: jobs({name: known[name]}, source, label)),
        run.archive.root,
    ), unusable


def dataset_names(run: schema.RunConfig) -> list[str]:
    """Return the names of the datasets of a run. Errors as for `sources`."""
    return [source.name for source in sources(run)]


def read_options(run: schema.RunConfig) -> locate.ReadOptions:
    """Return how the user's own datasets are read."""
    return locate.ReadOptions(Columns(label=run.label, **vars(run.columns)), run.test_size)


def sources(run: schema.RunConfig) -> list[user_data.Source]:
    """Return the datasets that a run names. Raises UserError for a name, path or address that cannot be."""
    fetch.address("NAME", run.archive.mirror)
    return user_data.select(run.dataset, run.exclude, run.archive.root, read_options(run))


def check_results(jobs: list[plan.Job], records: list[Record], results: Path) -> None:
    """Raise UserError, before anything is trained, where the tables of the results folder could not be written."""
    from tsfcn.analysis import tables
    from tsfcn.report import results_folder

    if results.exists() and not results.is_dir():
        raise UserError(f"results={results} is a file: give a folder")
    results_folder.check_page(results)
    if any((job.task is None) != (record.task is None) for job in jobs[:1] for record in records):
        held = "labels of timepoints" if jobs[0].task is None else "classifications of cases"
        raise UserError(f"results={results} holds {held}, which no table mixes with these jobs: use another folder")
    tables.ok_rows(records)  # refuses what does not belong together
    for job in in_rows_of_others((job for job in jobs if job.passport), records):
        raise UserError(
            f"results={results} already holds {job.model} ({job.protocol}) on {job.dataset} of other data or of "
            "another version of the training code: use another results folder, or move the old records away"
        )


def known_passports(jobs: list[plan.Job], unusable: Unusable, records: list[Record]) -> list[plan.Job]:
    """Return the jobs; one whose data are not here but whose finished record is gets the passport of that record."""
    skipped = {name for name, (status, _) in unusable.items() if status == "skipped"}
    finished = {place(record): record for record in records if record.dataset in skipped and record.is_ok}

    def known(job: plan.Job) -> plan.Job:
        record = finished.get(place(job)) if job.dataset in skipped else None
        if record is None:
            return job
        same = replace(job, passport=record.passport)
        return same if same.key == record.key else job

    return [known(job) for job in jobs]


def twins(jobs: list[plan.Job], records: list[Record]) -> list[Record]:
    """Return the records of jobs that were trained under another name, under the names that are asked for now."""
    finished = {record.key: record for record in records if record.is_ok}
    named = {record.identity for record in records}
    return [
        renamed(finished[job.key], job)
        for job in jobs
        if job.key in finished and (job.key, job.model, job.protocol) not in named
    ]


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    run: schema.RunConfig
    unchanged: ProtocolConfig  # the protocol as its file has it
    command: str  # as one line of results/commands.txt
    more: tuple[tuple[schema.RunConfig, ProtocolConfig], ...] = ()  # further combinations of settings of the same run

    @cached_property
    def results(self) -> Path:
        """The results folder."""
        return Path(self.run.results)

    @property
    def budget_seconds(self) -> float:
        """The time that the run may take; infinite without a budget."""
        return math.inf if self.run.budget is None else cost.duration("budget", self.run.budget)


@dataclass(frozen=True)
class RunPlan:
    """The jobs of a run, what is known of them, and what those to be run will take."""

    request: Request
    device: str  # torch's name
    reader: store.Reader  # has given all records that were there
    records: list[Record]  # those that count
    failures: dict[str, int]  # failed attempts by key
    jobs: list[plan.Job]
    unusable: Unusable

    @cached_property
    def same(self) -> list[Record]:
        """Records of jobs that were trained under another name, under the names asked for now."""
        return twins(self.jobs, self.records)

    @cached_property
    def by_job(self) -> dict[tuple[Any, ...], Record]:
        """The records, by what identifies a job under its name."""
        return {record.identity: record for record in [*self.records, *self.same]}

    @cached_property
    def sources(self) -> set[str]:
        """The keys of the jobs whose weights a job to be run starts from."""
        return {job.source["key"] for job in self.jobs if job.source and self.state(job) == "pending"}

    def done(self, record: Record) -> bool:
        """Return whether a record ends its job."""
        run = self.request.run
        weights = run.save_weights or (record.source is None and record.key in self.sources)
        return store.done(record, self.request.results, weights, run.require_predictions)

    def state(self, job: plan.Job) -> str:
        """Return done, pending, failed (too often to be tried again), or why its dataset is not usable."""
        if not job.passport:
            return self.unusable[job.dataset][0]
        record = self.by_job.get((job.key, job.model, job.protocol))
        if record is None:
            return "pending"
        if self.done(record):
            return "done"
        tried = record.status == "failed" and self.failures.get(job.key, 0) >= self.request.run.max_attempts
        return "failed" if tried else "pending"

    @cached_property
    def states(self) -> dict[str, str]:
        """The state of each job, by key."""
        return {job.key: self.state(job) for job in self.jobs}

    @cached_property
    def model(self) -> cost.Model:
        """The cost model, from the records."""
        hardware = devices.gpu(self.device) or machine.processor()
        return cost.Model(self.records, hardware, self.request.run.engine.name, self.device)

    @cached_property
    def seconds(self) -> dict[str, float]:
        """What each job to be run will take, by key."""
        return self.model.estimates(job for job in self.jobs if self.states[job.key] == "pending")

    @cached_property
    def pending(self) -> list[plan.Job]:
        """The jobs to be run: sources of others first, then those that take longest, so that workers end together."""
        jobs = [job for job in self.jobs if job.key in self.seconds]
        return sorted(jobs, key=lambda job: (job.key in self.sources, self.seconds[job.key]), reverse=True)

    @cached_property
    def n_workers(self) -> int:
        """How many jobs make progress at a time, for estimates."""
        n_workers = n_at_a_time(self.request.run, self.device)
        return n_workers if self.device == "cpu" else min(n_workers, cost.SIDE_BY_SIDE)

    @cached_property
    def fitting(self) -> set[str]:
        """The keys of the jobs that fit into the budget."""
        budget = self.request.budget_seconds
        return cost.fitting(self.seconds, self.n_workers, budget) if budget < math.inf else set(self.seconds)

    @property
    def order(self) -> list[plan.Job]:
        """The jobs to be run; what does not fit comes last, the shortest first, since estimates may be too long."""
        first = [job for job in self.pending if job.key in self.fitting]
        return first + [job for job in reversed(self.pending) if job.key not in self.fitting]


@dataclass(frozen=True)
class Outcome:
    """What running the jobs of a plan left."""

    records: list[Record]  # of the results folder
    left: list[plan.Job]  # that have no record
    seconds_left: float  # what these will take


def execute_run(
    run: schema.RunConfig,
    unchanged: ProtocolConfig,
    command: str,
    show: Callable[[list[Record]], str] | None = None,
    more: Iterable[tuple[schema.RunConfig, ProtocolConfig]] = (),
) -> tuple[int, list[plan.Job]]:
    """Plan, run what is not done, write the tables. Returns the exit code and the jobs of the plan.

    Args:
        run: The settings of the run.
        unchanged: The protocol as its file has it.
        command: The command as one line of results/commands.txt.
        show: Gives what is printed of the records of these jobs in the end; None: their accuracy table.
        more: Runs that differ in model, protocol, data and seeds alone, whose jobs are done beside these.
    """
    request = Request(run, unchanged, command, tuple(more))
    prepared = download_missing(prepare(request))
    check_networks(prepared.pending)
    announce(prepared)
    if run.dry_run:
        if run.executor.name == SLURM:
            print(slurm_script(prepared)[1], end="")
        return OK, prepared.jobs
    if run.executor.name == SLURM and prepared.pending:
        submit(prepared)
        return OK, prepared.jobs
    outcome = execute(prepared)
    return tabulate(prepared, outcome, show), prepared.jobs


def slurm_script(prepared: RunPlan) -> tuple[str, str, slurm.Array]:
    """Return the name of the plan, the batch script that works on it, and what it asks Slurm for."""
    settings, jobs = prepared.request.run.executor, prepared.pending
    needed = max(map(cost.memory, jobs), default=float(cost.LEAST_BYTES))
    asked = slurm.array(prepared.seconds.values(), needed, settings.minutes, settings.tasks, settings.sbatch)
    asked = replace(asked, cpus=threads_of_a_step(prepared.request.run, prepared.device))
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
    return [*words, *machine_words, f"executor={WORKER}"]


def submit(prepared: RunPlan) -> None:
    """Hand the jobs of a plan that are to be run to Slurm, and say what was asked for and how to go on."""
    results, jobs = prepared.request.results, prepared.pending
    name, text, asked = slurm_script(prepared)
    store.check_writable(results)
    record_unusable(prepared.jobs, prepared.unusable, prepared.by_job, results)
    store.write_plan(results, prepared.request.command, prepared.jobs)
    keep_files(prepared)
    number = slurm.submit(text, results / "slurm", name, asked)
    share = cost.makespan(prepared.seconds.values(), asked.n_tasks)
    print(
        f"Slurm job {number}: {len(jobs)} jobs in {asked.n_tasks} task{'' if asked.n_tasks == 1 else 's'}, roughly "
        f"{clock(share)} if all run at once\n"
        f"tsfcn watch {results} shows them, tsfcn results status {results} what is done, "
        f"tsfcn results cancel {results} stops them; the last task writes the tables"
    )


def prepare(request: Request) -> RunPlan:
    """Return the plan of a run, with the records that there are. Raises UserError for bad input."""
    device = chosen_device(request.run)
    if request.run.executor.name != SLURM:
        executors.find(request.run.executor.name)  # raises for a name that is not known
    if request.run.executor.name == RAY:
        ray.check_installed()
    _ = request.budget_seconds  # likewise
    for each in (request.run, *(run for run, _ in request.more)):
        check_weights(each)
    with Index(request.results) as index:
        reader = store.Reader(request.results, index.files)
        records, failures = index.current(), selection.attempts(index.unsettled())
    jobs, unusable = plan_jobs(request, device, records)
    if request.run.executor.name in ("local", SLURM, RAY) and device == "cpu" and not request.run.dry_run:
        local.check_models(jobs)
    prepared = RunPlan(request, device, reader, records, failures, jobs, unusable)
    undone = (job for job in jobs if job.library and prepared.states[job.key] != "done")
    check_libraries(undone, request.run.save_weights)  # imports the library, which takes seconds
    return prepared


def check_libraries(jobs: Iterable[plan.Job], save_weights: bool) -> None:
    """Raise UserError for a classifier of a library that cannot be had, or not with these settings."""
    for job in {job.model: job for job in jobs}.values():
        from tsfcn.training import library_classifier

        config = job.model_config()
        assert isinstance(config, LibraryConfig)
        library_classifier.find(job.library, config)
        if save_weights:
            raise UserError(
                f"save_weights=true is not for {job.library}, which keeps no weights: leave out one of them"
            )


def check_weights(run: schema.RunConfig) -> None:
    """Raise UserError where weights are to be kept that cannot be used on new series."""
    if run.save_weights and run.task == "segmentation" and (run.protocol.truncate < 1 or run.protocol.permute_time):
        raise UserError(
            "save_weights=true keeps networks for streams of any kind, and protocol.truncate and permute_time are for "
            "cases: leave out one of them"
        )
    for name, value in (("noise", run.protocol.noise), ("test_noise", run.protocol.test_noise)):
        if value and (run.save_weights or run.protocol.init_from is not None):
            raise UserError(
                f"protocol.{name}={value:g} is drawn for the cases of the dataset, and weights are kept "
                "(save_weights=true, protocol.init_from, tsfcn explain) for series without it: leave out one of the two"
            )


def check_networks(jobs: Iterable[plan.Job]) -> None:
    """Raise UserError for a network of the user that fails on the data of every job, before anything is trained."""
    variants: dict[tuple[str, str], list[plan.Job]] = {}
    for job in jobs:
        if model_spec.spec(job.architecture).own_initialisation:
            variants.setdefault((job.architecture, job.model), []).append(job)
    for (architecture, _), of_variant in variants.items():
        from tsfcn.models import registry

        config, failures = of_variant[0].model_config(), []
        for data in dict.fromkeys(map(cost.sizes, of_variant)):
            try:
                registry.try_out(architecture, config, data.n_channels, data.length, data.n_classes)
                break
            except UserError as error:  # those jobs fail, others may not
                failures.append(error)
        else:
            raise failures[0]


def plan_jobs(request: Request, device: str, records: list[Record]) -> tuple[list[plan.Job], Unusable]:
    """Return the jobs of a request, and the datasets that cannot be used."""
    jobs, unusable = planned(request.run, request.unchanged, device)
    for further in request.more:
        more_jobs, more_unusable = planned(*further, device)
        jobs, unusable = jobs + more_jobs, unusable | more_unusable
    jobs = list({(job.key, job.model, job.protocol): job for job in jobs}.values())  # combinations may share jobs
    check_results(jobs, records, request.results)
    jobs = known_passports(jobs, unusable, records)
    without = {job.dataset for job in jobs if not job.passport}
    return jobs, {name: why for name, why in unusable.items() if name in without}


def download_missing(prepared: RunPlan) -> RunPlan:
    """Return the plan with the missing datasets downloaded, where that is wanted."""
    run = prepared.request.run
    missing = [name for name, (status, _) in prepared.unusable.items() if status == "skipped"]
    if run.dry_run or not agreed(run.archive, missing):
        return prepared
    failed = download(run.archive, missing)
    jobs, unusable = plan_jobs(prepared.request, prepared.device, prepared.records)
    unusable |= {name: ("skipped", why) for name, why in failed.items() if name in unusable}
    return replace(prepared, jobs=jobs, unusable=unusable)


def announce(prepared: RunPlan) -> None:
    """Print what will be done: with dry_run a line for each job on stdout, else a summary on stderr."""
    run, budget = prepared.request.run, prepared.request.budget_seconds
    engines = engine_lines(prepared.model.choice(job) for job in prepared.pending)
    if run.dry_run:
        print("\n".join([*data_lines(prepared), dry(prepared, list(engines.values()))]))
        return
    lines = data_lines(prepared) + [line for choice, line in engines.items() if choice.missing]
    lines += problem_lines(unusable_datasets(prepared))
    states, fitting = list(prepared.states.values()), prepared.fitting
    n_failed = sum(prepared.states[job.key] == "failed" and bool(job.passport) for job in prepared.jobs)
    estimate = cost.makespan((prepared.seconds[key] for key in fitting), prepared.n_workers)
    means = f"with {min(prepared.n_workers, len(fitting))} workers"
    means = means if prepared.device == "cpu" else f"on {prepared.device}"
    lines.append(
        f"{len(prepared.jobs)} jobs: {states.count('done')} done before, {len(prepared.pending)} to run, "
        f"{len(prepared.unusable)} datasets not usable"
        + (f"; {n_failed} not tried again, they failed max_attempts={run.max_attempts} times" if n_failed else "")
        + (f"; roughly {clock(estimate)} {means}" if fitting else "")
        + (f"; budget={run.budget} is enough for {len(fitting)} of them" if budget < math.inf else "")
    )
    print("\n".join(lines), file=sys.stderr)


def data_lines(prepared: RunPlan) -> list[str]:
    """Return lines about the user's own datasets: what was read of each, and its warnings."""
    passports = {job.dataset: job.passport for job in prepared.jobs if job.passport.get("archive") == "user"}
    return [line for passport in passports.values() for line in summary(passport)]


def unusable_datasets(prepared: RunPlan) -> list[Problem]:
    """Return why datasets of a plan cannot be used."""
    return [Problem(status, name, reason, name) for name, (status, reason) in prepared.unusable.items()]


def execute(prepared: RunPlan) -> Outcome:
    """Run the jobs of a plan that are to be run, and record those that cannot be."""
    request, results = prepared.request, prepared.request.results
    writer = store.Writer(results)
    if prepared.same:
        for record in twins(prepared.jobs, store.read(results)):
            writer.write(record)
        store.remember(results, request.command)
    record_unusable(prepared.jobs, prepared.unusable, prepared.by_job, results)
    if not prepared.pending:
        return Outcome(store.read(results), [], 0.0)
    store.check_writable(results)
    path = store.write_plan(results, request.command, prepared.jobs)
    with lease.Runner(results) as runner:
        monitor = Monitor(prepared.order, prepared.n_workers, model=prepared.model, runner=runner)
        queue = Queue(
            prepared.order,
            results,
            runner,
            reader=prepared.reader,
            max_attempts=request.run.max_attempts,
            failures=prepared.failures,
            done=prepared.done,
            seconds=prepared.model.seconds,
            budget_seconds=request.budget_seconds,
            waits=request.run.executor.name != WORKER,
        )
        keep_files(prepared)
        # Closing ends the workers, whatever happens.
        stream = events(queue, prepared, monitor)
        with contextlib.closing(stream), monitor.ticking():
            for event in stream:
                monitor.see(event)
                if event.record is not None and event.record.is_ok:
                    store.remember(results, request.command)
    records = store.read(results)
    late = twins(prepared.jobs, records)  # trained by another runner meanwhile, under another name
    if late:
        for record in twins(prepared.jobs, store.read(results)):
            writer.write(record)
    ended = {record.key for record in records}
    left = [job for job in prepared.pending if job.key not in ended]
    artifacts.remove_old_checkpoints(results, {record.key for record in records if record.is_ok})
    if not left:
        store.remove_plan(path)
    return Outcome([*records, *late], left, sum(map(prepared.model.seconds, left)))


def tabulate(prepared: RunPlan, outcome: Outcome, show: Callable[[list[Record]], str] | None) -> int:
    """Write the tables of the results folder, print those of the plan's jobs, and return the exit code."""
    if prepared.request.run.executor.name == WORKER and outcome.left:  # the last worker writes the tables
        jobs = "1 job" if len(outcome.left) == 1 else f"{len(outcome.left)} jobs"
        print(f"{jobs} left to other runners: this worker ends", file=sys.stderr)
        return OK
    # A budget may be too short for any job to end.
    code = summarise(prepared.jobs, outcome.records, prepared.request.results, show) if outcome.records else OK
    if not outcome.left:
        return code
    means = f"with {prepared.n_workers} workers" if prepared.device == "cpu" else f"on {prepared.device}"
    print(
        f"budget={prepared.request.run.budget} is over: {len(outcome.left)} jobs are left, "
        f"roughly {clock(outcome.seconds_left / prepared.n_workers)} {means}; the same command goes on with them",
        file=sys.stderr,
    )
    return code or SKIPS


def chosen_device(run: schema.RunConfig) -> str:
    """Return torch's name of the device of a run, and say on stderr which one it is unless it is the CPU by default.

    Raises UserError where it is not available, or not for the precision of the run.
    """
    devices.check_device(run.device)
    if run.executor.name in (SLURM, RAY) and devices.kind(run.device) == "cuda" and devices.cuda_obstacle():
        device, line = "cuda:0", f"device={run.device}: of the nodes that train, there is none on this one"
    else:
        device = devices.resolve(run.device)
        line = devices.announcement(run.device, device)
    devices.check_precision("engine.precision", run.engine.precision, device)
    if line:
        print(line, file=sys.stderr)
    return device


def n_at_a_time(run: schema.RunConfig, device: str) -> int:
    """Return how many jobs are trained at a time."""
    if run.executor.name == "inline" or (run.executor.name == WORKER and device == "cpu"):
        return 1
    if run.executor.name == RAY:
        asked = asked_of_ray(run, device)
        if asked.address == ray.LOCAL:
            return asked.workers or max(1, machine.cores() // asked.cpus)
        ray.connect(asked)
        return ray.places(asked)
    if device == "cpu":
        return run.executor.workers or max(1, machine.cores() // (threads_of_a_step(run, device) or 1))
    return jobs_per_gpu(run, device)


def threads_of_a_step(run: schema.RunConfig, device: str) -> int:
    """Return plan.Terms.threads. Where something else divides the machine, engine.threads=auto is one thread."""
    if device != "cpu":
        return 1
    automatic = {"local": 0, "inline": machine.cores()}
    return automatic.get(run.executor.name, 1) if run.engine.threads == "auto" else int(run.engine.threads)


def jobs_per_gpu(run: schema.RunConfig, device: str) -> int:
    """Return how many jobs are trained at a time on a GPU."""
    if any(model_spec.spec(name).own_initialisation for name in run.model.configs()) and not run.executor.per_device:
        return 1  # they take turns at the generator of the GPU
    return run.executor.per_device or PER_DEVICE[devices.kind(device), run.engine.name == "reference"]


def asked_of_ray(run: schema.RunConfig, device: str) -> ray.Asked:
    """Return what a run asks of a Ray cluster."""
    settings = run.executor
    gpus = settings.gpus or (0.0 if device == "cpu" else 1 / jobs_per_gpu(run, device))
    cpus = threads_of_a_step(run, device)
    return ray.Asked(settings.address, gpus, settings.memory * 2**30, settings.workers, cpus)


def engine_lines(choices: Iterable[EngineChoice]) -> dict[EngineChoice, str]:
    """Return a line for each engine that jobs will be trained by, with the reason where it is not the fast one."""
    return {
        choice: f"engine {choice.name}, {choice.precision}: {count} {'job' if count == 1 else 'jobs'}"
        + (f"; {choice.reason}" if choice.reason else "")
        for choice, count in Counter(choices).items()
    }


def agreed(settings: schema.ArchiveConfig, missing: list[str]) -> bool:
    """Say whether the missing datasets shall be downloaded: as archive.download says, or as the user answers."""
    if not missing or settings.download == "never":
        return False
    if settings.download == "auto":
        return True
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    site = fetch.public_address(settings.mirror or locate.SITE)
    named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    print(
        f"{len(missing)} {'dataset is' if len(missing) == 1 else 'datasets are'} not here: {named}\n"
        f"download about {size(fetch.estimate(missing))} from {site}? [y/N] ",
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
    for result in fetch.fetch_several(missing, root, settings.mirror):
        if result.reason is None:
            print(result.line, file=sys.stderr, flush=True)
        else:  # told once, when all are done
            failed[result.name] = f"dataset '{result.name}' is not available: {result.reason}"
    return failed


def keep_files(prepared: RunPlan) -> None:
    """Copy the weights files that jobs start from into the results folder."""
    for run in (prepared.request.run, *(run for run, _ in prepared.request.more)):
        start = None if run.protocol.init_from is None else init_from.parse(run.protocol.init_from)
        if start is not None and start.kind == "weights":
            initial_weights.keep_file(start.file, prepared.request.results)


def events(queue: Queue, prepared: RunPlan, monitor: Monitor) -> Generator[Event]:
    """Yield the events of running the jobs of the queue with the chosen executor; on a GPU in threads."""
    run, device = prepared.request.run, prepared.device
    n_workers = n_at_a_time(run, device)
    folder = locate.root_folder(run.archive.root)
    terms = plan.Terms(
        root=None if folder is None else str(folder.resolve()),
        engine=run.engine.name,
        save_weights=run.save_weights,
        n_sharing=n_workers,
        memory=run.executor.memory * 2**30 or math.inf,
        checkpoint_seconds=run.checkpoint.every_seconds,
        device=device,
        sources=sorted(prepared.sources),
        threads=threads_of_a_step(run, device),
    )
    if run.executor.name == RAY:
        return ray.run(queue, terms, n_workers, monitor.see, asked_of_ray(run, device))
    name = run.executor.name if device == "cpu" else "threads"  # processes would take turns on a GPU
    if name == "local" and terms.memory == math.inf:
        terms = replace(terms, memory=max(machine.free_memory() / n_workers, cost.LEAST_BYTES))
    return executors.find(name)(queue, terms, n_workers, monitor.see)


def record_unusable(
    jobs: list[plan.Job], unusable: Unusable, known: dict[tuple[Any, ...], Record], results: Path
) -> None:
    """Record the jobs of datasets that cannot be used as skipped or failed, once for each reason."""
    unrecorded = []
    for job in jobs:
        if not job.passport:
            record = known.get((job.key, job.model, job.protocol))
            if record is None or record.reason != unusable[job.dataset][1]:
                unrecorded.append(job)
    if not unrecorded:
        return  # describing a job takes torch, whose version stands in the record
    from tsfcn.jobs.run_job import describe

    writer = store.Writer(results)
    for job in unrecorded:
        writer.write(describe(job, *unusable[job.dataset]))


def of_jobs(jobs: list[plan.Job], records: list[Record]) -> list[Record]:
    """Return the records of these jobs, under their names."""
    asked = {(job.key, job.model, job.protocol) for job in jobs}
    return [record for record in records if record.identity in asked]


def accuracies(records: list[Record]) -> str:
    """Return the accuracy table of records as text; of dense labelling the table of its metrics."""
    from tsfcn.analysis import segmentation, tables
    from tsfcn.report import render
    from tsfcn.report import segmentation as segmentation_text

    if segmentation.of_segmentation(records):
        return segmentation_text.table(segmentation.table(records))
    processor_time = any(record.has_processor_seconds() for record in records)
    return render.table(tables.accuracy(records), processor_time=processor_time)


def summarise(
    jobs: list[plan.Job],
    records: list[Record],
    results: Path,
    show: Callable[[list[Record]], str] | None,
) -> int:
    """Write the tables of the results folder, print what is to be shown of these jobs, and return the exit code.

    Args:
        jobs: The jobs of the plan.
        records: All records of the folder.
        results: The results folder.
        show: As for `execute_run`.
    """
    from tsfcn.report import results_folder

    chosen = of_jobs(jobs, records)
    text = (show or accuracies)(chosen)
    try:
        note = results_folder.write_if_writable(results, records)
    finally:  # a full disk must not hide what was trained
        exit_codes.show(text)
    if note:
        exit_codes.complain(note)
    return tell_problems(chosen, results)


def tell_problems(records: list[Record], results: Path) -> int:
    """Print the jobs that failed or were skipped, if any, and return the exit code."""
    statuses = [record.status for record in records]
    if set(statuses) - {"ok"}:
        counts = f"{statuses.count('failed')} failed, {statuses.count('skipped')} skipped"
        problems = dict.fromkeys(
            Problem(r.status, r.dataset, r.reason, r.dataset if r.status == "skipped" else title(r))
            for r in records
            if not r.is_ok
        )
        heading = f"\n{counts} (all in {results / 'tables' / 'status.csv'}):"
        exit_codes.show("\n".join([heading, *problem_lines(problems)]))
    return FAILED if "failed" in statuses else SKIPS if "skipped" in statuses else OK


def dry(prepared: RunPlan, engines: list[str]) -> str:
    """Return the plan as text: a line a job with its state and its estimated time on one core, or alone on the GPU.

    engines: a line for each engine that will train.
    """
    jobs, seconds, n_workers = prepared.jobs, prepared.seconds, prepared.n_workers
    rows, on_cpu = [], prepared.device == "cpu"
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
        f"{len(jobs)} jobs on {len({job.dataset for job in jobs})} datasets, "
        f"{len(prepared.unusable)} of them not usable: {len(seconds)} jobs to run, "
        f"roughly {clock(sum(seconds.values()))} "
        f"{'on one core' if on_cpu else 'one by one'}, "
        f"{clock(cost.makespan(seconds.values(), n_workers))} on {n_workers if on_cpu else prepared.device}; "
        "nothing was run (dry_run=true)"
    )
    return "\n".join(rows)


def run(
    dataset: object = None,
    model: object = None,
    protocol: object = None,
    *overrides: str,
    seeds: object = None,
    resample: object = None,
    resamples: int | None = None,
    exclude: object = None,
    label: str | None = None,
    test_size: float | None = None,
    columns: Mapping[str, object] | None = None,
    archive: Mapping[str, object] | None = None,
    engine: Mapping[str, object] | None = None,
    device: str | None = None,
    executor: object = None,
    results: str | Path | None = None,
    save_weights: bool | None = None,
    require_predictions: bool | None = None,
    checkpoint: Mapping[str, object] | None = None,
    max_attempts: int | None = None,
    budget: str | None = None,
    dry_run: bool | None = None,
    experiment: str | None = None,
    config_dir: str | Path | None = None,
    **settings: object,
) -> pd.DataFrame:
    """Run jobs and return their accuracy table, with a row for each dataset, model, protocol and split.

    The columns are those of `tsfcn.analysis.tables.accuracy`. Jobs that are done are not run again. Failed and skipped
    jobs are listed on standard error and have no row. What is None is as in conf/config.yaml.

    >>> import tsfcn
    >>> tsfcn.run("Cofee", "fcn", epochs=100)
    Traceback (most recent call last):
    tsfcn.common.errors.UserError: dataset 'Cofee' is not in the archive; did you mean 'Coffee'?

    Args:
        dataset: a name, a set such as "ucr85", a glob, a path, or a list of these; or a mapping from names to arrays,
            frames and Datasets: {"mine": (X_train, y_train, X_test, y_test)}. Default: three bundled datasets.
        model: a name, a class of torch.nn.Module (README.md, "A network of your own"), a list of these, or a mapping
            from these to settings. Default: "fcn".
        protocol: a name, or training values with or without a name, as {"name": "smoke", "epochs": 3}; a list of
            names or of values gives a row each. Default: "fawaz2019".
        overrides: further settings as on the command line: "protocol.epochs=100".
        seeds: how many seeds, or a list of them.
        resample: the stratified resample of the split (0 is the official split), or a list of them.
        resamples: how many splits, beginning with the official one.
        exclude: datasets to leave out, as `dataset`.
        label: the column of labels in tables of your own.
        test_size: the share of test cases where a dataset of your own is one table.
        columns: the columns case, time, value and dimension of a table with a row for each value.
        archive: where datasets are: root, download, mirror, split.
        engine: name, precision and threads.
        device: "cpu", "cuda", "cuda:N", "mps" or "auto".
        executor: "local", "inline" or "threads", or {"name": ..., "workers": ..., "memory": ...}. Default: "local", but
            "inline" for a class that workers cannot import.
        results: the folder for records, predictions and tables. Default: "results".
        save_weights: whether the weights are kept.
        require_predictions: whether a job without its predictions file is run again.
        checkpoint: {"every_seconds": ...}.
        max_attempts: a job that has failed this often is not tried again.
        budget: how long the run may take, as "2h".
        dry_run: whether the jobs are only printed.
        experiment: the name of a file in conf/experiment.
        config_dir: a folder with further protocols, settings of models and experiments.
        **settings: training values and other settings by their names: epochs=3 is protocol={"epochs": 3}.

    Raises:
        UserError: bad input (a ValueError).
    """
    from tsfcn.analysis import tables

    named = {name: value for name, value in locals().items() if name in RUN_SETTINGS and value is not None}
    given: list[str] = []
    if model is not None:
        named["model"], given = model_spec.registered(model)
    selection, names = user_data.named_sources(dataset, named)
    typed = named | ({} if names is None else {"dataset": names})
    named |= {} if selection is None else {"dataset": selection}
    folder = [] if config_dir is None else [f"{CONFIG_DIR}={config_dir}"]
    words, command = ([*folder, *from_settings({**each, **settings}), *overrides] for each in (named, typed))
    with safe_streams():
        words += inline_words(given, words)
        first, *others = compose_all(words)
        more = [(each.run, each.unchanged) for each in others]
        _, jobs = execute_run(first.run, first.unchanged, command_line(command), more=more)
    return tables.accuracy(of_jobs(jobs, store.read(Path(first.run.results))))


def inline_words(given: Iterable[str], words: Iterable[str]) -> list[str]:
    """Return the override that trains in this process what workers cannot import, and say so on stderr; [] if none is.

    Args:
        given: the names of the models that were given as classes or specs.
        words: the overrides of the run; one that chooses an executor holds.
    """
    here_alone = [name for name in given if not models.in_every_process(name)]
    if not here_alone or any(word.startswith(("executor=", "executor.")) for word in words):
        return []
    print(
        f"workers cannot import model {', '.join(here_alone)}, which is known in this process alone: "
        "all jobs are trained here, one after the other (executor=inline)",
        file=sys.stderr,
    )
    return ["executor=inline"]


# ---------------------------------------------------------------------------------------------------------------------
# The command


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code. argv: Hydra overrides and flags, without the program's name."""

    def command() -> int:
        words = canonical(sys.argv[1:] if argv is None else argv)
        flags = [word for word in words if word.startswith("-") and not word.startswith(CONFIG_DIR)]
        if flags:
            return informed(words, flags)
        first, *others = compose_all(words)
        more = [(each.run, each.unchanged) for each in others]
        code, _ = execute_run(first.run, first.unchanged, command_line(words), more=more)
        return concluded(code, first.run)

    return exit_codes.run(command, resume=RESUME)


def concluded(code: int, settings: schema.RunConfig, files: str = "tables/accuracy.csv, README.md") -> int:
    """Print on stderr where the results of a run are and what to type next, unless nothing was run.

    Args:
        code: the exit code of the run, which is returned.
        settings: those of the run.
        files: what to look at in its results folder.
    """
    results = Path(settings.results)
    if not settings.dry_run and (results / "tables" / "accuracy.csv").is_file():
        print(
            f"results: {results} ({files}); next: tsfcn report {shlex.quote(str(results))}",
            file=sys.stderr,
        )
    return code


def informed(argv: list[str], flags: list[str]) -> int:
    """Let Hydra answer --help, --cfg, --info and their like; nothing is run. Returns the exit code."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    for word in flags:
        if word.split("=")[0] not in FLAGS:
            raise UserError(unknown_flag(word))
    if "--version" in flags:
        print(f"tsfcn {tsfcn.__version__}")
        return OK
    overrides = [word for word in argv if "=" in word and (not word.startswith("-") or word.startswith(CONFIG_DIR))]
    if not {"--shell-completion", "-sc"} & set(flags):
        overridden = hydra_words(overrides)
        argv = [word for word in argv if word not in overrides]
        if "--hydra-help" not in flags:  # which describes Hydra, not the settings
            argv = [*overridden, *argv]  # not behind a flag that would take one of them as its value
    register_schema()
    sys.argv = ["tsfcn run", *argv]
    try:
        hydra.main(config_path=str(conf_folder()), config_name="config", version_base="1.3")(lambda tree: None)()
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(f"{' '.join(flags)}: {first_line(error)}") from error
    return OK


def unknown_flag(word: str) -> str:
    """Return the error message for a flag that does not exist."""
    setting = word.split("=", maxsplit=1)[0].strip("-").replace("-", "_")
    near = difflib.get_close_matches(setting, [f.name for f in fields(schema.RunConfig)], n=1)
    hint = f"did you mean '{near[0]}=...'?" if near else f"settings are KEY=VALUE, flags are {', '.join(FLAGS)}"
    return f"flag '{word}' is not known: {hint}"


make_callable(__name__, "tsfcn.run:run")

if __name__ == "__main__":
    sys.exit(main())
