"""`python -m tsfcn.run KEY=VALUE ...`: train models on datasets under a protocol, record every number, print the table.

Hydra composes the settings from conf/ and the overrides; datasets x models x seeds are one plan of jobs, those already
done are not run again. Exit code 0: all ok; 1: a job failed; 2: bad input; 3: all ok but for skipped jobs; 130: Ctrl-C.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shlex
import signal
import sys
import types
from collections.abc import Generator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from tsfcn import archive, catalogue, config, execute, plan, store
from tsfcn.errors import UserError, first_line
from tsfcn.monitor import Monitor, clock

if TYPE_CHECKING:
    import pandas as pd

OK, FAILED, BAD_INPUT, SKIPS, INTERRUPTED = 0, 1, 2, 3, 130

GROUPS = ("model", "protocol", "executor", "experiment")


def conf_folder() -> Path:
    """Return the folder of the YAML files: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"


# ---------------------------------------------------------------------------------------------------------------------
# From overrides to a RunConfig


def check_overrides(overrides: Sequence[str]) -> None:
    """Raise UserError for an override that Hydra cannot read or that names no setting, with the near miss."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    for written in overrides:
        try:
            (override,) = OverridesParser.create().parse_overrides([written])
        except OverrideParseException as error:
            hint = (
                "write exclude=[...] to leave datasets out" if "~" in written or "!" in written else "write KEY=VALUE"
            )
            raise UserError(f"'{written}' is not an override ({first_line(error)}): {hint}") from None
        key = override.key_or_group
        if key.startswith("hydra"):
            continue
        if override.is_delete():
            raise UserError(f"'{written}' deletes a setting: give it a value instead, {key}=...")
        if override.is_sweep_override():
            value = written.split("=", 1)[1]
            if key in GROUPS and key != "model":
                raise UserError(f"'{written}' is a sweep: a run has one {key}, start one run for each")
            raise UserError(f"'{written}' is a sweep: one run takes a list, write '{key}=[{value}]'")
        check_key(key, written)


def check_key(key: str, written: str) -> None:
    """Raise UserError unless the dotted `key` is a setting or a group of conf/."""
    if key in GROUPS:
        value = written.split("=", 1)[1] if "=" in written else ""
        if key != "model" and not re.fullmatch(r"[\w./-]*", value):
            raise UserError(f"'{written}' is more than one choice: a run has one {key}")
        if key in GROUPS and re.fullmatch(r"[\d.]+", value):
            raise UserError(f"{key} '{value}' is not known: use one of {', '.join(options(key))}")
        return
    node: Any = config.RunConfig
    path: list[str] = []
    for part in key.split("."):
        names = [f.name for f in fields(node)] + ([] if path else ["experiment"]) if is_dataclass(node) else []
        if part not in names:
            near = difflib.get_close_matches(part, names, n=1)
            where = ".".join(path)
            hint = (
                f"did you mean '{'.'.join([*path, *near])}'?"
                if near
                else (f"{where or 'a run'} has {', '.join(names)}" if names else f"{where} is a single value")
            )
            raise UserError(f"setting '{key}' in '{written}' is not known: {hint}")
        path.append(part)
        kind = get_type_hints(node)[part] if part != "experiment" else None
        node = next((a for a in get_args(kind) if is_dataclass(a)), kind)


def compose(overrides: Sequence[str]) -> tuple[config.RunConfig, config.ProtocolConfig]:
    """Return the run's settings, and its protocol as the file has it. Raises UserError for whatever is wrong."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    register_schema()
    check_overrides(overrides)

    def composed(words: Sequence[str]) -> config.RunConfig:
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            tree = hydra_compose("config", list(words))
        run = OmegaConf.to_object(tree)
        assert isinstance(run, config.RunConfig)
        return run

    try:
        run = composed(overrides)
        if not run.model.chosen():
            raise UserError(f"model=[] is empty: choose from {', '.join(config.MODELS)}")
        name = run.protocol.name
        if not (conf_folder() / "protocol" / f"{name}.yaml").is_file():
            raise UserError(f"protocol.name={name} is not the name of its file: leave the name as it is")
        return run, composed([f"protocol={name}"]).protocol
    except UserError:
        raise
    except (HydraException, OmegaConfBaseException, AssertionError) as error:
        raise UserError(explain(error, overrides)) from None


def options(group: str) -> list[str]:
    """Return the names that a group of conf/ offers."""
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def explain(error: BaseException, overrides: Sequence[str]) -> str:
    """Return one line for an error of Hydra or OmegaConf, as the user's mistake that it is."""
    for written in overrides:
        found = re.match(r"\+*model\.(\w+)\.", written)
        if found and "NoneType" in str(error):
            return f"'{written}' sets a model that is not chosen: add it, 'model=[...,{found[1]}]'"
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, UserError):
        return str(cause)
    missing = re.search(r"Could not find '(\w+)/([^']*)'", str(error))
    if missing:
        group, option = missing.groups()
        near = difflib.get_close_matches(option, options(group), n=1)
        return f"{group} '{option}' is not known: " + (
            f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(options(group))}"
        )
    key = getattr(cause, "full_key", None)
    line = first_line(cause)
    return f"setting '{key}' is wrong: {line}" if key else line


def register_schema() -> None:
    """Give Hydra the types that conf/config.yaml starts from."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=config.RunConfig)


# ---------------------------------------------------------------------------------------------------------------------
# From a RunConfig to records


def planned(run: config.RunConfig, unchanged: config.ProtocolConfig) -> tuple[list[plan.Job], dict[str, str]]:
    """Return the jobs of a run, and the reason for each dataset that cannot be had (its jobs have no passport)."""
    missing: dict[str, str] = {}
    passports: dict[str, dict[str, Any]] = {}
    seeds = config.integers("seeds", plainly(run.seeds), count=True)
    resamples = config.integers("resample", plainly(run.resample), count=False)
    for name in names(run):
        try:
            passports[name] = dict(archive.passport(name, run.archive.root))
        except archive.NotAvailable as error:
            missing[name] = str(error)
            passports[name] = {}
        except UserError as error:
            missing[name] = f"not usable: {error}"
            passports[name] = {}
    return plan.jobs(passports, run.model.chosen(), run.protocol, unchanged, seeds, resamples), missing


def names(run: config.RunConfig) -> list[str]:
    """Return the datasets that a run names. Raises UserError for a name or a folder that is not there."""
    root = run.archive.root or os.environ.get("TSFCN_ARCHIVE")
    if run.archive.root is not None and not Path(run.archive.root).is_dir():
        raise UserError(f"archive.root={run.archive.root} is not a folder: give the folder that holds the datasets")
    if root and not Path(root).is_dir():
        raise UserError(f"TSFCN_ARCHIVE={root} is not a folder: give the folder that holds the datasets")
    return catalogue.select(plainly(run.dataset), plainly(run.exclude))


def plainly(value: object) -> object:
    """Return a value that may be OmegaConf's list as Python's own."""
    from omegaconf import ListConfig

    return list(value) if isinstance(value, ListConfig) else value


def check_groups(jobs: list[plan.Job], records: list[store.Record], results: Path) -> None:
    """Raise UserError where the results folder holds the same row trained under other content: they would not mix."""
    groups = {
        (r["dataset"], r["model"], r["protocol"], r["resample"]): r["group"] for r in records if r["status"] == "ok"
    }
    for job in jobs:
        if job.passport and groups.get(job.row, job.group) != job.group:
            raise UserError(
                f"results={results} already holds {job.model} ({job.protocol}) on {job.dataset} of other data or"
                " another version of the training code: use another results folder, or move the old records away"
            )


def execute_run(run: config.RunConfig, unchanged: config.ProtocolConfig, command: str) -> tuple[int, list[plan.Job]]:
    """Plan, run what is not done, write the tables. Returns the exit code and the jobs of the plan."""
    results = Path(run.results)
    jobs, missing = planned(run, unchanged)
    records = store.read(results)
    check_groups(jobs, records, results)
    by_key = {record["key"]: record for record in records}

    def state(job: plan.Job) -> str:
        if not job.passport:
            return "skipped"
        record = by_key.get(job.key)
        if record is None:
            return "pending"
        if store.done(record, results, run.save_weights, run.require_predictions):
            return "done"
        return "failed" if record["status"] == "failed" and not run.retry_failed else "pending"

    states = {job.key: state(job) for job in jobs}
    pending = sorted((job for job in jobs if states[job.key] == "pending"), key=plan.seconds, reverse=True)
    n_workers = 1 if run.executor.name == "inline" else run.executor.workers or execute.cores()
    if run.dry_run:
        print(dry(jobs, states, missing, n_workers))
        return OK, jobs

    for line in missing_lines(missing):
        print(f"skipped: {line}", file=sys.stderr)
    n_done = sum(value == "done" for value in states.values())
    estimate = sum(map(plan.seconds, pending)) / max(1, min(n_workers, len(pending)))
    print(
        f"{len(jobs)} jobs: {n_done} done before, {len(pending)} to run, {len(missing)} datasets missing"
        + (f"; roughly {clock(estimate)} with {min(n_workers, len(pending))} workers" if pending else ""),
        file=sys.stderr,
    )
    remember(results, command)
    record_missing(jobs, missing, by_key, results)
    monitor = Monitor(pending, n_workers)
    with contextlib.closing(events(pending, results, run, n_workers)) as told:  # ends the workers, whatever happens
        for event in told:
            monitor.see(event)
    return summarise(jobs, results), jobs


def events(jobs: list[plan.Job], results: Path, run: config.RunConfig, n_workers: int) -> Generator[execute.Event]:
    """Yield the events of running the jobs with the chosen executor."""
    root = str(Path(run.archive.root).resolve()) if run.archive.root else None
    if run.executor.name == "inline":
        return execute.inline(jobs, results, root, run.save_weights)
    return execute.local(jobs, results, root, run.save_weights, n_workers)


def record_missing(
    jobs: list[plan.Job], missing: dict[str, str], known: dict[str, store.Record], results: Path
) -> None:
    """Record the jobs of datasets that cannot be had as skipped, once for each reason."""
    if not missing:
        return
    from tsfcn.job import describe

    writer = store.Writer(results)
    for job in jobs:
        if job.dataset in missing and known.get(job.key, {}).get("reason") != missing[job.dataset]:
            writer.write(describe(job, "skipped", missing[job.dataset]))


def summarise(jobs: list[plan.Job], results: Path) -> int:
    """Write the tables of the results folder, print that of these jobs, and return the exit code."""
    from tsfcn import table

    table.write(results)
    records = [record for record in store.read(results) if record["key"] in {job.key for job in jobs}]
    statuses = [record["status"] for record in records]
    print(table.render(table.accuracy(records)))
    if set(statuses) - {"ok"}:
        print(f"\nnot ok: {statuses.count('failed')} failed, {statuses.count('skipped')} skipped; the reasons:")
        print(table.render_status(table.status(records)))
    return FAILED if "failed" in statuses else SKIPS if "skipped" in statuses else OK


def dry(jobs: list[plan.Job], states: dict[str, str], missing: dict[str, str], n_workers: int) -> str:
    """Return the plan as text: a line a job with its state and its estimated time on one core."""
    rows = []
    for job in jobs:
        state = states[job.key]
        cost = clock(plan.seconds(job)) if state == "pending" else ""
        what = f"{job.dataset} {job.model} {job.protocol} seed {job.seed}"
        what += f" resample {job.resample}" if job.resample else ""
        rows.append(f"{state:8} {cost:>12}  {what}")
    pending = [plan.seconds(job) for job in jobs if states[job.key] == "pending"]
    rows += [f"missing: {line}" for line in missing_lines(missing)]
    rows.append(
        f"{len(jobs)} jobs on {len({job.dataset for job in jobs})} datasets, {len(missing)} of them missing: "
        f"{len(pending)} jobs to run, roughly {clock(sum(pending))} on one core, "
        f"{clock(sum(pending) / n_workers)} on {n_workers}; nothing was run (dry_run=true)"
    )
    return "\n".join(rows)


def missing_lines(missing: dict[str, str]) -> list[str]:
    """Return the datasets that cannot be had, those with the same reason on one line."""
    alike: dict[str, list[str]] = {}
    for name, reason in missing.items():
        alike.setdefault(reason.replace(name, "NAME"), []).append(name)
    return [
        f"{len(members)} datasets ({', '.join(members)}): {reason}" if len(members) > 1 else missing[members[0]]
        for reason, members in alike.items()
    ]


def remember(results: Path, command: str) -> None:
    """Add the command to results/commands.txt, unless it stands there."""
    path = results / "commands.txt"
    said = path.read_text().splitlines() if path.is_file() else []
    if command and command not in said:
        store.replace(path, lambda file: file.write("".join(f"{line}\n" for line in [*said, command]).encode()))


def command_line(overrides: Sequence[str]) -> str:
    """Return the command of a run as one would type it, without what is particular to a machine."""
    local = ("archive.", "results=", "executor", "dry_run", "hydra.")
    kept = [shlex.quote(word) for word in overrides if not word.startswith(local)]
    return " ".join(["python -m tsfcn.run", *kept])


def run(
    dataset: object = "default", model: object = "fcn", protocol: str = "fawaz2019", *overrides: str, **settings: object
) -> pd.DataFrame:
    """Run jobs and return their accuracy table, a row a dataset x model x protocol x split (see tsfcn.table.accuracy).

    dataset, model: a name or a list of names; settings: top-level settings such as seeds=5 or results="out"; overrides:
    anything else, as on the command line: tsfcn.run("Coffee", "fcn", "fawaz2019", "protocol.epochs=100").
    Jobs that are done are not run again. Failed and skipped jobs are told on standard error and have no row.
    Raises UserError (a ValueError) for bad input.
    """
    from tsfcn import table

    named = {"dataset": dataset, "model": model, "protocol": protocol, **settings}
    words = [f"{name}={plan.plain(value)}" for name, value in named.items()] + list(overrides)
    chosen, unchanged = compose(words)
    _, jobs = execute_run(chosen, unchanged, command_line(words))
    keys = {job.key for job in jobs}
    return table.accuracy([record for record in store.read(Path(chosen.results)) if record["key"] in keys])


# ---------------------------------------------------------------------------------------------------------------------
# The command


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code. argv: Hydra overrides and flags, without the program's name."""
    argv = sys.argv[1:] if argv is None else argv
    overrides = [word for word in argv if not word.startswith("-")]
    try:
        if {"-m", "--multirun"} & set(argv):
            raise UserError("-m is not for this command: give lists, such as 'dataset=[Coffee,Beef]' 'model=[fcn,mlp]'")
        if len(overrides) < len(argv):
            check_overrides([word for word in overrides if "=" in word])  # others are values of flags: --cfg job
            return with_flags(argv)
        chosen, unchanged = compose(overrides)
        signal.signal(signal.SIGTERM, stop)
        return execute_run(chosen, unchanged, command_line(overrides))[0]
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        print(
            f"error: {error.strerror or error}: {error.filename or 'results'}: nothing done so far is lost, "
            "mend it and start the same command again",
            file=sys.stderr,
        )
        return BAD_INPUT
    except KeyboardInterrupt:
        print("\nstopped: finished jobs are kept, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED


def stop(signum: int, frame: types.FrameType | None) -> None:
    """Treat SIGTERM like Ctrl-C."""
    raise KeyboardInterrupt


def with_flags(argv: list[str]) -> int:
    """Let Hydra answer --help, --cfg, --info and the like. Returns the exit code."""
    import hydra

    register_schema()
    sys.argv = ["tsfcn run", *argv]
    code = OK

    def task(tree: Any) -> None:
        nonlocal code
        from hydra.core.hydra_config import HydraConfig

        overrides = list(HydraConfig.get().overrides.task)
        chosen, unchanged = compose(overrides)
        code = execute_run(chosen, unchanged, command_line(overrides))[0]

    hydra.main(config_path=str(conf_folder()), config_name="config", version_base="1.3")(task)()
    return code


class _Callable(types.ModuleType):
    """The module tsfcn.run, which can also be called: `import tsfcn; tsfcn.run("Coffee")` in any order of imports."""

    def __call__(self, *args: Any, **kwargs: Any) -> pd.DataFrame:
        return run(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    sys.exit(main())
