"""Where the records of a results folder come from: machines, versions, commits, data policies."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tsfcn.common.text import counted
from tsfcn.jobs.record import Record

NOT_RECORDED = "not recorded"


def machines(records: Sequence[Record]) -> list[tuple[str, str, list[str]]]:
    """Return a table of the hardware behind ok records: title, side ('<' or '>') and texts of each column."""
    by_machine: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in unique_jobs(records):
        by_machine[str(record.hardware or NOT_RECORDED), str(record.device or NOT_RECORDED)].append(record)
    order = sorted(by_machine)
    return [
        ("hardware", "<", [hardware for hardware, _ in order]),
        ("device", "<", [device for _, device in order]),
        ("jobs", ">", [str(len(by_machine[machine])) for machine in order]),
        ("training", ">", [training_hours(by_machine[machine]) for machine in order]),
    ]


def unique_jobs(records: Iterable[Record]) -> list[Record]:
    """Return records without those that are of a job under a second name, as protocol.init_from gives."""
    return list({record.key: record for record in records}.values())


def training_hours(records: Iterable[Record]) -> str:
    """Return the training time of records together, in hours, as text; that of an ensemble is that of its members."""
    trained = (record for record in unique_jobs(records) if not record.is_ensemble)
    return f"{math.fsum(record.seconds('train') or 0.0 for record in trained) / 3600:.2f} hours"


def outline(records: Sequence[Record], statuses: Iterable[str], n_datasets: int) -> str:
    """Return the sentence that a page of results begins with.

    Args:
        records: the ok records.
        statuses: those of the jobs that are not ok.
        n_datasets: of how many datasets.
    """
    counts, n_jobs = Counter(statuses), len(unique_jobs(records))
    jobs = f"{counted(n_jobs, 'job')} ok, {counts['failed']} failed, {counts['skipped']} skipped"
    return f"{jobs}; {counted(n_datasets, 'dataset')}; {training_hours(records)} of training."


def origins(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Return (name, values) of each property of ok records that says where they come from."""
    records = unique_jobs(records)
    finished = sorted(record.finished[:10] for record in records if record.finished)
    return [
        ("versions", _versions(records)),
        ("commits of tsfcn", _job_counts(record.commit for record in records)),
        ("numeric precision", _job_counts(record.precision for record in records)),
        ("meaning of the training code", _job_counts(record.meaning for record in records)),
        ("archive", _job_counts(record.passport.get("archive") for record in records)),
        ("finished", " to ".join(dict.fromkeys([finished[0], finished[-1]])) if finished else NOT_RECORDED),
        *_policies(records),
    ]


def _job_counts(values: Iterable[object]) -> str:
    """Return the values and how many jobs have each, the most frequent first."""
    counts: Counter[str] = Counter()
    for value, n in Counter(values).items():
        counts[NOT_RECORDED if value in (None, "") else str(value)] += n
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{text} ({counted(n, 'job')})" for text, n in order)


def _versions(records: Sequence[Record]) -> str:
    versions: dict[str, set[str]] = defaultdict(set)
    for each in {id(record.versions): record.versions for record in records}.values():  # many records share theirs
        for package, version in each.items():
            versions[package].add(str(version))
    texts = [f"{package} {' and '.join(sorted(versions[package]))}" for package in sorted(versions)]
    return ", ".join(texts) or NOT_RECORDED


def _policies(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Return (name, datasets) of each data policy that changed a dataset, with the largest count of any of its jobs."""
    lines = []
    for field, name in (
        ("n_filled", "missing values filled"),
        ("n_padded", "cases padded to a common length"),
        ("n_cut", "cases that lost their end"),
        ("n_masked", "cases whose end is masked"),
    ):
        counts: dict[str, int] = {}
        for record in records:
            if n := getattr(record, field):
                counts[record.dataset] = max(counts.get(record.dataset, 0), n)
        changed = ", ".join(f"{dataset} {n}" for dataset, n in sorted(counts.items()))
        if changed:
            lines.append((name, changed))
    return lines
