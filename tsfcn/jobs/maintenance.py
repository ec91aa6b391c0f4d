"""Looking after a results folder.

    tsfcn results status [RESULTS]      what is done, failed, running and left
    tsfcn results why KEY [RESULTS]     a job's history, and where it differs from the nearest finished one
    tsfcn results compact [RESULTS]     all records in one file, without what no longer counts
    tsfcn results merge FROM INTO       the records of one folder, with their files, into another
    tsfcn results gc [RESULTS]          remove what crashes left and no record needs, and --unfinished runs

None of them loads torch. `compact` and `gc` refuse to work under a running run.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tsfcn.common import files
from tsfcn.common.errors import UserError
from tsfcn.common.escapes import printable
from tsfcn.common.streams import notice
from tsfcn.common.text import Problem, alike, counted, grid
from tsfcn.jobs import artifacts, lease, selection, slurm, store
from tsfcn.jobs.index import Index
from tsfcn.jobs.plan import MEANING, Job
from tsfcn.jobs.progress import Named, RunState, clock, read_state, title
from tsfcn.jobs.record import STATUSES, Record, place

STATES = ("ok", "failed", "skipped", "running", "pending")
MERGE_RECORDS = 500  # written and synced at a time
OLD_SECONDS = 60.0  # a temporary file of this age belongs to nobody any more

# The names that a run gives to its files, by folder; gc removes no others.
FOLDERS = {
    "predictions": re.compile(r"[0-9a-f]{16}\.npz"),
    "weights": re.compile(r"[0-9a-f]{16}\.(safetensors|md)"),
    "checkpoints": re.compile(r"[0-9a-f]{16}\.pt"),
    "runners": re.compile(r"[^.].*\.json"),
    "plans": re.compile(r"[^.].*\.json"),
}
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")


def folder(name: str) -> Path:
    """Return the results folder. Raises UserError if there is none."""
    path = Path(name)
    if not path.is_dir():
        raise UserError(f"results '{name}' is no folder: give one that a run has written")
    return path


# ---------------------------------------------------------------------------------------------------------------------
# status


def living(results: Path) -> list[dict[str, Any]]:
    """Return the runners that are alive, as far as one look can tell."""
    return [each for each in lease.runners(results) if lease.here_and_dead(each) is not True]


def run_state(runner: Mapping[str, Any]) -> RunState | None:
    """Return where the run of a runner stands; None if its heartbeat does not say so in a form that we know."""
    try:
        return read_state(runner.get("state"))
    except ValueError as error:
        notice(f"the state of runner {runner['id']} is not readable and is left out: {error}")
        return None


def status(results: Path, every_job: bool = False) -> str:
    """Return where a results folder stands, as text."""
    runs = [(runner, run_state(runner)) for runner in living(results)]
    planned, running = store.planned(results), {job.key: job for _, run in runs if run for job in run.running}
    with Index(results) as index:
        new = index.without_record([*planned, *running])
        jobs: dict[str, tuple[str, Named]] = {key: ("pending", job) for key, job in planned.items() if key in new}
        jobs |= {record.key: (record.status, record) for record in index.problems()}
        jobs |= {key: ("running", job) for key, job in running.items() if key in new or key in jobs}
        rows = Counter((job.model, job.protocol, state) for state, job in jobs.values())
        rows.update({row: n for row, n in index.summary().items() if row[2] == "ok"})
        history = index.unsettled()
        if every_job:
            jobs = {record.key: (record.status, record) for record in index.current()} | jobs
    counts: Counter[str] = Counter()
    for (_, _, state), n in rows.items():
        counts[state] += n
    shown = [state for state in STATES if counts[state]]
    total = ", ".join(f"{counts[state]} {state}" for state in shown) or "none"
    lines = [f"{results}: {counted(counts.total(), 'job')}: {total}"]
    names = sorted({(model, protocol) for model, protocol, _ in rows})
    cells = [["model", "protocol", *shown]]
    cells += [[model, protocol, *(str(rows[model, protocol, state]) for state in shown)] for model, protocol in names]
    if names:
        sides = ["<", "<", *(">" for _ in shown)]
        columns = zip(*cells, strict=True)
        lines += ["", grid(((name, side, c) for side, (name, *c) in zip(sides, columns, strict=True)), rule=False)]
    for runner, run in runs:
        lines += ["", f"runner {runner['id']} ({runner.get('host')}, process {runner.get('pid')})"]
        if run:
            lines += [f"  {run.summary()}", *(f"  {job.line()}" for job in run.started)]
    if tasks := slurm.lines(results / "slurm"):
        lines += ["", *tasks]
    bad = [job for _, (_, job) in sorted(jobs.items()) if isinstance(job, Record) and not job.is_ok]
    if bad:
        lines += ["", *problem_lines(bad, selection.attempts(history))]
    if conflicts := selection.contradictions(history):
        lines += ["", *conflicts]
    checkpoints = list((results / "checkpoints").glob("*.pt"))
    if checkpoints:
        size = sum(path.stat().st_size for path in checkpoints)
        lines += ["", f"{len(checkpoints)} trainings in progress have a checkpoint ({size / 2**20:.1f} MiB)"]
    if every_job:
        lines += [""] + [f"{state:8} {key}  {title(job)}" for key, (state, job) in sorted(jobs.items())]
    return "\n".join(lines)


def problem_lines(bad: Iterable[Record], failures: Mapping[str, int]) -> list[str]:
    """Return one line for each reason of failed and skipped jobs: with the key of a single job, else with the names.

    Args:
        bad: the records of these jobs.
        failures: the number of failed attempts by key.
    """
    lines = []
    problems = (Problem(each.status, each.dataset, each.reason, key_and_title(each, failures)) for each in bad)
    for reason, members in alike(problems):
        first = members[0]
        datasets = dict.fromkeys(member.dataset for member in members)
        if len(members) == 1:
            lines.append(f"{first.status} {first.title}: {first.reason}")
        elif first.status == "skipped":
            of = f"{counted(len(datasets), 'dataset')} ({', '.join(sorted(datasets))})"
            lines.append(f"skipped: {counted(len(members), 'job')} of {of}: {reason}")
        else:
            lines.append(f"{first.status}: {counted(len(members), 'job')}: {reason}")
            lines += [f"  {member.title}" for member in members]
    return [printable(line) for line in lines]


def key_and_title(record: Record, failures: Mapping[str, int]) -> str:
    """Return the words that name a job in the status, with the number of its attempts if there were several."""
    n_attempts = failures.get(record.key, 0)
    return f"{record.key} {title(record)}" + (f" ({n_attempts} attempts)" if n_attempts > 1 else "")


# ---------------------------------------------------------------------------------------------------------------------
# why


def content(job: Job, meaning: int) -> dict[str, str]:
    """Return every value that the key of a job follows from, under its dotted name as JSON text."""
    values: dict[str, Any] = {**job.content, "meaning": meaning}
    values |= {"protocol": values.pop("settings"), "seed": job.seed}
    texts: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            texts |= {f"{name}.{inner}": json.dumps(each) for inner, each in value.items()}
        else:
            texts[name] = json.dumps(value)
    return texts


def differences(one: Job | Record, other: Job | Record) -> dict[str, tuple[str, str]]:
    """Return the parts of two jobs' keys that differ, with the values of both."""
    first, second = (
        content(each.job, each.meaning) if isinstance(each, Record) else content(each, MEANING) for each in (one, other)
    )
    return {
        name: (first.get(name, "absent"), second.get(name, "absent"))
        for name in {**first, **second}
        if first.get(name, "absent") != second.get(name, "absent")
    }


def why(results: Path, start: str) -> str:
    """Return the history of the job whose key begins with `start`, and what sets it apart from finished ones.

    Raises UserError if there is no such job, or several.
    """
    history = store.Reader(results).new()
    records = {record.key: record for record in selection.current(history)}
    jobs: dict[str, Job | Record] = {**store.planned(results), **{r.key: r for r in history}, **records}
    keys = [key for key in jobs if key.startswith(start)]
    if len(keys) != 1:
        problem = f"the beginning of {len(keys)} keys: give more of it" if keys else "not of a job that is known here"
        raise UserError(
            f"key '{start}' is {problem}" + ("" if keys else f": see tsfcn results status {results} --jobs")
        )
    key, job = keys[0], jobs[keys[0]]
    lines = [f"{key} {title(job)}: {job.status if isinstance(job, Record) else 'pending'}"]
    if isinstance(job, Record) and job.is_ok:
        lines[0] += f", accuracy {job.accuracy:.4f}, {clock(job.train_seconds or 0.0)} of training"
    for number, record in enumerate([r for r in history if r.key == key and not r.is_ok], start=1):
        lines.append(f"  {number}. {record.status} {record.finished}: {printable(record.reason)}")
    if artifacts.checkpoint_path(results, key).is_file():
        lines.append("  a checkpoint is kept: the next attempt goes on from it")
    others = [record for record in records.values() if record.is_ok and record.key != key]
    return "\n".join([*lines, *_nearest(job, others)])


def _nearest(job: Job | Record, others: list[Record]) -> list[str]:
    """Return the lines on the finished job that differs least from a job."""
    if not others:
        return ["no other job is finished here"]

    def distance(other: Record) -> tuple[bool, bool, int, str]:
        apart = differences(job, other)
        return "dataset" in apart, "architecture" in apart, len(apart), other.key

    nearest = min(others, key=distance)
    lines = [f"nearest finished job: {nearest.key} {title(nearest)}"]
    return lines + [f"  {name}: {here}, there {there}" for name, (here, there) in differences(job, nearest).items()]


# ---------------------------------------------------------------------------------------------------------------------
# compact, merge, gc


def check_idle(results: Path) -> None:
    """Raise UserError if a runner is at work in the folder, or may be."""
    for runner in living(results):
        path = results / "runners" / f"{runner['id']}.json"
        if lease.here_and_dead(runner) is None:
            raise UserError(f"{results} has a runner on another machine, {runner['id']}: remove {path} if it has ended")
        raise UserError(f"{results} is in use by process {runner['pid']}: wait for its end, or end it")


def compact(results: Path) -> str:
    """Write all records into one file, remove the others, and return what was done.

    Kept are the records that count and every failure; dropped are doubles, what was superseded, and the last line of a
    file where a crash tore it. A file with any other line that is not a record stays as it is.
    """
    check_idle(results)
    with Index(results) as index:
        refused = {name for name, file in index.files.items() if file.n_bad}
        paths = [results / "records" / name for name in index.files if name not in refused]
        history = [record for record in index.records() if Path(record.location[0]).name not in refused]
    n_lines = sum(sum(1 for line in path.read_bytes().split(b"\n") if line.strip()) for path in paths)
    kept = {id(record) for record in selection.current(history)}
    failures: dict[tuple[Any, ...], Record] = {}
    for record in history:
        if record.status == "failed":
            failures[*record.identity, record.finished] = record  # the last, as current() takes it
    kept |= {id(record) for record in failures.values()}
    records = [record for record in history if id(record) in kept]
    others = f"; {len(refused)} with lines that are not records stay as they are" if refused else ""
    if len(paths) <= 1 and len(records) == n_lines:
        return f"{results}: nothing to do, {len(records)} records in {len(paths)} files{others}"
    with tempfile.NamedTemporaryFile(dir=results / "records", prefix="compact-", suffix=".jsonl", delete=False) as file:
        name = Path(file.name)  # empty until the records are moved into place
    files.replace(name, lambda file: file.writelines(record.line() for record in records))
    for path in paths:
        path.unlink()
    return f"{results}: {n_lines} lines in {len(paths)} files became {len(records)} records in one{others}"


def merge(source: Path, results: Path) -> str:
    """Copy the records of `source`, with their predictions and weights, into `results`; return what was done.

    Jobs that are done there stay as they are. Raises UserError if the two hold different experiments under one name.
    """
    if source.resolve() == results.resolve():
        raise UserError(f"merge {source} {results} names one folder twice: give two")
    history = store.Reader(source).new()
    there = store.Reader(results).new()
    check_same_experiments(source, history, results, there)
    known = {(*record.identity, record.finished) for record in there}
    done = {record.identity for record in there if record.is_ok}
    current = {id(record) for record in selection.current(history)}
    new = [
        record
        for record in history
        if (id(record) in current or record.status == "failed")
        and record.identity not in done
        and (*record.identity, record.finished) not in known
    ]
    n_files = sum(copy_artifacts(source, results, record.key) for record in new if record.is_ok)
    writer = store.Writer(results)
    for start in range(0, len(new), MERGE_RECORDS):  # their files come first: a record is the promise of them
        writer.write(*new[start : start + MERGE_RECORDS])
    store.remember(results, *store.read_commands(source))
    counts = Counter(record.status for record in new)
    text = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status]) or "no new"
    return f"{results}: {text} records and {n_files} files came from {source}; make the tables: tsfcn table {results}"


def check_same_experiments(
    source: Path, records: Iterable[Record], results: Path, records_there: Iterable[Record]
) -> None:
    """Raise UserError if two folders hold different experiments under one name, or records that no table mixes."""
    records, records_there = list(records), list(records_there)
    if selection.are_mixed([*records, *records_there]):
        raise UserError(
            f"one of {source} and {results} holds labels of timepoints, the other classifications of cases, which no "
            "table mixes: keep them apart"
        )
    groups = {place(record)[:-1]: record.group for record in selection.current(records_there) if record.is_ok}
    for record in selection.current(records):
        if record.is_ok and groups.get(place(record)[:-1], record.group) != record.group:
            raise UserError(
                f"{title(record)} is another experiment in {source} than in {results}: "
                "their data, settings or versions of the training code differ, keep them apart"
            )


def copy_artifacts(source: Path, results: Path, key: str) -> int:
    """Copy the predictions and weights of a job that are not there, and return how many files that were.

    A link in `source` is not followed: it could name any file of this machine.
    """
    n_files = 0
    for path in (artifacts.predictions_path, artifacts.weights_path, artifacts.card_path):
        old, new = path(source, key), path(results, key)
        if files.is_behind_link(old, source):
            notice(f"{old} is a link, or in a linked folder, and is not copied")
        elif old.is_file() and not new.is_file():
            with old.open("rb") as file:
                files.replace(new, lambda copy, file=file: shutil.copyfileobj(file, copy))  # type: ignore[misc]
            n_files += 1
    return n_files


def gc(results: Path, dry_run: bool, unfinished: bool = False) -> str:
    """Remove what no record needs, and return what that was: leftovers of crashes, files of jobs without an ok record.

    Only regular files whose names have the form of a run's are removed. A folder that is a symbolic link is left alone.

    Args:
        results: The results folder.
        dry_run: Only report what would be removed.
        unfinished: Also remove plans and checkpoints of runs that have not finished their jobs.

    Raises:
        UserError: A run is at work in the folder.
    """
    check_idle(results)
    doomed = removable(results, unfinished)
    keys = [] if (results / "leases").is_symlink() else sorted(lease.highest(results))
    lines = [f"{len(paths)} {what} ({megabytes(paths)})" for what, paths in doomed.items() if paths]
    if keys:
        lines.append(f"leases of {counted(len(keys), 'job')}, all of dead runners")
    if not dry_run:
        remove(results, [path for paths in doomed.values() for path in paths], keys)
    verb = "would remove" if dry_run else "removed"
    links = [name for name in FOLDERS if (results / name).is_symlink()]
    kept = f"; left alone, being symbolic links: {', '.join(links)}" if links else ""
    return f"{results}: {verb} " + ("; ".join(lines) or "nothing") + kept


def removable(results: Path, unfinished: bool) -> dict[str, list[Path]]:
    """Return the files that no record needs, by what they are; unfinished: also those of unfinished runs."""
    with Index(results) as index:
        records, is_damaged = index.current(), any(file.n_bad for file in index.files.values())
    ok = {record.key for record in records if record.is_ok}
    started_from = {record.source["key"] for record in records if record.source}  # also files of the user
    any_record = {record.key for record in records}
    candidates = {name: named(results / name, pattern) for name, pattern in FOLDERS.items()}
    plans = candidates["plans"]
    done = [path for path in plans if any_record.issuperset(keys_of_plan(path))]
    # A line that is not a record may be the damaged one of any job.
    without = {
        f"{name} without a record": [
            path for path in candidates[name] if path.stem not in ok | started_from and not is_damaged
        ]
        for name in ("predictions", "weights")
    }
    doomed = {
        **without,
        "checkpoints of finished jobs": [path for path in candidates["checkpoints"] if path.stem in ok],
        "heartbeats of dead runners": candidates["runners"],
        "plans that are done": done,
        "temporary files": temporary_files(results),
    }
    if unfinished:
        doomed["checkpoints of unfinished jobs"] = [path for path in candidates["checkpoints"] if path.stem not in ok]
        doomed["plans of unfinished runs"] = [path for path in plans if path not in done]
    return doomed


def named(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Return the regular files of a folder whose names have a form; none where the folder is a symbolic link."""
    return [path for path in files.regular_files(folder) if pattern.fullmatch(path.name)]


def temporary_files(results: Path) -> list[Path]:
    """Return the temporary files of writers that were killed, which nothing has changed for OLD_SECONDS."""
    subfolders = [results / name for name in ("records", "tables", *FOLDERS)]
    candidates = [path for folder in [results, *subfolders] for path in named(folder, TEMPORARY)]
    with tempfile.NamedTemporaryFile(dir=results, prefix=".gc.") as probe:  # the clock is that of the file system
        now = Path(probe.name).stat().st_mtime
    return [path for path in candidates if now - path.stat().st_mtime > OLD_SECONDS]


def megabytes(paths: Iterable[Path]) -> str:
    """Return the size of files as text."""
    return f"{sum(path.stat().st_size for path in paths) / 2**20:.1f} MiB"


def remove(results: Path, paths: Iterable[Path], keys: Iterable[str]) -> None:
    """Remove files and the leases of keys, and the folders that are empty then."""
    with lease.Runner(results) as runner:
        for key in keys:  # whoever claims a key in this moment keeps it
            if runner.claim(key):
                runner.release(key)
    for path in paths:
        path.unlink(missing_ok=True)
    for name in ("leases", "runners", "plans", "checkpoints"):
        with contextlib.suppress(OSError):
            (results / name).rmdir()


def keys_of_plan(path: Path) -> set[str]:
    """Return the keys of the jobs of a plan; none for one that cannot be read, which is of no use."""
    try:
        return set(store.plan_jobs(path))
    except (OSError, ValueError):
        return set()
