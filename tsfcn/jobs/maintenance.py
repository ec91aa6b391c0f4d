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
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tsfcn.common import files
from tsfcn.common.errors import UserError
from tsfcn.common.text import grid, printable
from tsfcn.jobs import artifacts, lease, store
from tsfcn.jobs.monitor import clock, row, summary, title

STATES = ("ok", "failed", "skipped", "running", "pending")
OLD_SECONDS = 60.0  # a temporary file of this age belongs to nobody any more

# The names that a run gives to its files, by folder; gc removes no others.
FOLDERS = {
    "predictions": re.compile(r"[0-9a-f]{16}\.npz"),
    "weights": re.compile(r"[0-9a-f]{16}\.safetensors"),
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


def states(results: Path, records: Iterable[store.Record]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return the state of each job, by key, and its fields: those with a record, running and of unfinished runs."""
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for key, job in store.planned(results).items():
        found[key] = "pending", job
    for record in store.counting(records):
        found[record["key"]] = record["status"], record
    for runner in living(results):
        for job in (runner.get("state") or {}).get("running", []):
            if found.get(job["key"], ("",))[0] != "ok":
                found[job["key"]] = "running", job
    return found


def status(results: Path, every_job: bool = False) -> str:
    """Return where a results folder stands, as text."""
    history = store.Reader(results).news()
    jobs, failures = states(results, history), store.attempts(history)
    counts = Counter(state for state, _ in jobs.values())
    lines = [f"{results}: {len(jobs)} jobs: " + (", ".join(f"{counts[s]} {s}" for s in STATES if counts[s]) or "none")]
    rows = Counter((str(job["model"]), str(job["protocol"]), state) for state, job in jobs.values())
    names = sorted({(model, protocol) for model, protocol, _ in rows})
    shown = [state for state in STATES if counts[state]]
    cells = [["model", "protocol", *shown]]
    cells += [[model, protocol, *(str(rows[model, protocol, state]) for state in shown)] for model, protocol in names]
    if names:
        sides = ["<", "<", *(">" for _ in shown)]
        columns = zip(*cells, strict=True)
        lines += ["", grid(((name, side, c) for side, (name, *c) in zip(sides, columns, strict=True)), rule=False)]
    for runner in living(results):
        state = runner.get("state") or {}
        lines += ["", f"runner {runner['id']} ({runner.get('host')}, process {runner.get('pid')})"]
        if state:
            lines += [f"  {summary(state)}", *(f"  {row(job)}" for job in state["running"] if job["epochs"])]
    bad = [(key, job) for key, (state, job) in sorted(jobs.items()) if state in ("failed", "skipped")]
    if bad:
        lines += [""] + [
            f"{job['status']} {key} {title(job)}"
            + (f" ({failures[key]} attempts)" if failures.get(key, 0) > 1 else "")
            + f": {printable(str(job['reason']))}"
            for key, job in bad
        ]
    kept = list((results / "checkpoints").glob("*.pt"))
    if kept:
        size = sum(path.stat().st_size for path in kept)
        lines += ["", f"{len(kept)} trainings in progress have a checkpoint ({size / 2**20:.1f} MiB)"]
    if every_job:
        lines += [""] + [f"{state:8} {key}  {title(job)}" for key, (state, job) in sorted(jobs.items())]
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------------------------------
# why


def content(job: Mapping[str, Any]) -> dict[str, str]:
    """Return every value that the key of a job, or of a record, follows from, under its dotted name as JSON text."""
    passport = job.get("passport") or {}
    said = {
        "meaning": job.get("meaning", "as of now"),
        "dataset": job["dataset"],
        "data": {name: passport.get(name) for name in ("archive", "split", "content")},
        "architecture": job["architecture"],
        "model": job["model_settings"],
        "protocol": job["settings"],
        "resample": job["resample"],
        "precision": job["precision"],
        "seed": job["seed"],
    }
    found: dict[str, str] = {}
    for name, value in said.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": json.dumps(each) for inner, each in value.items()}
        else:
            found[name] = json.dumps(value)
    return found


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the parts of two jobs' keys that differ, with the values of both."""
    here, there = content(one), content(other)
    if "meaning" not in one or "meaning" not in other:  # a planned job has the one of today
        from tsfcn.jobs.plan import MEANING

        here["meaning"], there["meaning"] = (str(job.get("meaning", MEANING)) for job in (one, other))
    names = [*here, *(name for name in there if name not in here)]
    return {
        name: (here.get(name, "absent"), there.get(name, "absent"))
        for name in names
        if here.get(name, "absent") != there.get(name, "absent")
    }


def why(results: Path, start: str) -> str:
    """Return the history of the job whose key begins with `start`, and what sets it apart from finished ones.

    Raises UserError if there is no such job, or several.
    """
    history = store.by_time(store.Reader(results).news())
    planned = store.planned(results)
    records = {record["key"]: record for record in store.counting(history)}
    jobs: dict[str, Mapping[str, Any]] = {**planned, **{r["key"]: r for r in history}, **records}
    keys = [key for key in jobs if key.startswith(start)]
    if len(keys) != 1:
        found = f"the beginning of {len(keys)} keys: give more of it" if keys else "not of a job that is known here"
        raise UserError(f"key '{start}' is {found}" + ("" if keys else f": see tsfcn results status {results} --jobs"))
    key, job = keys[0], jobs[keys[0]]
    state = str(job.get("status", "pending"))
    lines = [f"{key} {title(job)}: {state}"]
    if state == "ok":
        lines[0] += f", accuracy {job['accuracy']:.4f}, {clock(job['train_seconds'])} of training"
    for number, record in enumerate([r for r in history if r["key"] == key and r["status"] != "ok"], start=1):
        lines.append(f"  {number}. {record['status']} {record.get('finished', '')}: {printable(str(record['reason']))}")
    if artifacts.checkpoint_path(results, key).is_file():
        lines.append("  a checkpoint is kept: the next attempt goes on from it")
    finished = [record for record in records.values() if record["status"] == "ok" and record["key"] != key]
    if not finished:
        return "\n".join([*lines, "no other job is finished here"])

    def distance(other: Mapping[str, Any]) -> tuple[bool, bool, int, str]:
        apart = differences(job, other)
        return "dataset" in apart, "architecture" in apart, len(apart), str(other["key"])

    nearest = min(finished, key=distance)
    lines.append(f"nearest finished job: {nearest['key']} {title(nearest)}")
    lines += [f"  {name}: {ours}, there {theirs}" for name, (ours, theirs) in differences(job, nearest).items()]
    return "\n".join(lines)


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

    Kept are the records that count and every failure; dropped are torn lines, doubles and what was superseded.
    """
    check_idle(results)
    paths = sorted((results / "records").glob("*.jsonl"))
    n_lines = sum(sum(1 for line in path.read_bytes().split(b"\n") if line.strip()) for path in paths)
    history = store.Reader(results).news()
    kept = {id(record) for record in store.counting(history)}
    failures: dict[tuple[Any, ...], store.Record] = {}
    for record in store.by_time(history):
        if record["status"] == "failed":
            failures[*store.identity(record), store.finished(record)] = record  # the last, as counting() takes it
    kept |= {id(record) for record in failures.values()}
    records = [record for record in store.by_time(history) if id(record) in kept]
    if len(paths) <= 1 and len(records) == n_lines:
        return f"{results}: nothing to do, {len(records)} records in {len(paths)} files"
    with tempfile.NamedTemporaryFile(dir=results / "records", prefix="compact-", suffix=".jsonl", delete=False) as file:
        name = Path(file.name)  # empty until the records are moved into place
    data = b"".join(json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n" for record in records)
    files.replace(name, lambda file: file.write(data))
    for path in paths:
        path.unlink()
    return f"{results}: {n_lines} lines in {len(paths)} files became {len(records)} records in one"


def merge(source: Path, results: Path) -> str:
    """Copy the records of `source`, with their predictions and weights, into `results`; return what was done.

    Jobs that are done there stay as they are. Raises UserError if the two hold different experiments under one name.
    """
    if source.resolve() == results.resolve():
        raise UserError(f"merge {source} {results} names one folder twice: give two")
    history = store.by_time(store.Reader(source).news())
    there = store.Reader(results).news()
    groups = {store.place(record)[:-1]: record["group"] for record in store.counting(there) if record["status"] == "ok"}
    counting = store.counting(history)
    for record in counting:
        if record["status"] == "ok" and groups.get(store.place(record)[:-1], record["group"]) != record["group"]:
            raise UserError(
                f"{title(record)} is another experiment in {source} than in {results}: "
                "their data, settings or versions of the training code differ, keep them apart"
            )
    known = {(*store.identity(record), store.finished(record)) for record in there}
    done = {store.identity(record) for record in there if record["status"] == "ok"}
    chosen = {id(record) for record in counting}
    writer, counts = store.Writer(results), Counter({"ok": 0, "failed": 0, "skipped": 0})
    n_files = 0
    for record in history:
        wanted = id(record) in chosen or record["status"] == "failed"
        if not wanted or store.identity(record) in done or (*store.identity(record), store.finished(record)) in known:
            continue
        for path in (artifacts.predictions_path, artifacts.weights_path):
            old, new = path(source, record["key"]), path(results, record["key"])
            if record["status"] == "ok" and old.is_file() and not new.is_file():
                data = old.read_bytes()
                files.replace(new, lambda file, data=data: file.write(data))  # type: ignore[misc]
                n_files += 1
        writer.write(record)
        counts[record["status"]] += 1
    said = source / "commands.txt"
    if said.is_file():
        store.remember(results, *said.read_text().splitlines())
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no new"
    return f"{results}: {told} records and {n_files} files came from {source}; make the tables: tsfcn table {results}"


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
        lines.append(f"leases of {len(keys)} jobs, all of dead runners")
    if not dry_run:
        remove(results, [path for paths in doomed.values() for path in paths], keys)
    verb = "would remove" if dry_run else "removed"
    links = [name for name in FOLDERS if (results / name).is_symlink()]
    kept = f"; left alone, being symbolic links: {', '.join(links)}" if links else ""
    return f"{results}: {verb} " + ("; ".join(lines) or "nothing") + kept


def removable(results: Path, unfinished: bool) -> dict[str, list[Path]]:
    """Return the files that no record needs, by what they are; unfinished: also those of unfinished runs."""
    records = store.read(results)
    ok = {record["key"] for record in records if record["status"] == "ok"}
    any_record = {record["key"] for record in records}
    found = {name: named(results / name, pattern) for name, pattern in FOLDERS.items()}
    plans = found["plans"]
    done = [p for p in plans if all(key in any_record for group in groups_of(p) for key in group["keys"].values())]
    doomed = {
        "predictions without a record": [path for path in found["predictions"] if path.stem not in ok],
        "weights without a record": [path for path in found["weights"] if path.stem not in ok],
        "checkpoints of finished jobs": [path for path in found["checkpoints"] if path.stem in ok],
        "heartbeats of dead runners": found["runners"],
        "plans that are done": done,
        "temporary files": temporary_files(results),
    }
    if unfinished:
        doomed["checkpoints of unfinished jobs"] = [path for path in found["checkpoints"] if path.stem not in ok]
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


def groups_of(path: Path) -> list[dict[str, Any]]:
    """Return the groups of a plan; none for one that cannot be read, which is of no use."""
    try:
        return list(json.loads(path.read_bytes())["groups"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
