"""Which of many records count: one key may have been tried, copied and trained again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tsfcn.jobs.plan import Job
from tsfcn.jobs.record import Record, place


def current(records: Iterable[Record]) -> list[Record]:
    """Return, of all records, the current one for each key under each name, in the order of their finishing.

    That is the last `ok` one, else the last one. A failed or skipped one is dropped where the same row and seed has
    become `ok` later under another key, as when a dataset was corrected.
    """
    latest: dict[tuple[str, str, str], Record] = {}
    for record in by_time(records):
        before = latest.get(record.identity)
        if record.is_ok or before is None or not before.is_ok:
            latest.pop(record.identity, None)  # it goes to the end
            latest[record.identity] = record
    done = {place(record): record.finished for record in latest.values() if record.is_ok}
    return [r for r in latest.values() if r.is_ok or done.get(place(r), "") < r.finished]


def contradictions(records: Iterable[Record]) -> list[str]:
    """Return a line for each key that has `ok` records of different accuracy, of which the last one counts."""
    accuracies: dict[tuple[str, str, str], dict[float, None]] = {}
    for record in by_time(records):
        if record.is_ok:
            accuracies.setdefault(record.identity, {})[record.accuracy] = None
    return [
        f"job {key} ({model}, {protocol}) has records of different accuracy ({', '.join(f'{v:.6g}' for v in values)}): "
        "the last one counts"
        for (key, model, protocol), values in accuracies.items()
        if len(values) > 1
    ]


def by_time(records: Iterable[Record]) -> list[Record]:
    """Return the records in the order of their finishing."""
    return sorted(records, key=lambda record: record.finished)


def attempts(records: Iterable[Record]) -> dict[str, int]:
    """Return how often each key has failed, as counted by its records; a record that was copied counts once."""
    failed = {(record.key, record.finished) for record in records if record.status == "failed"}
    return dict(Counter(key for key, _ in failed))


def are_mixed(members: Iterable[Job | Record]) -> bool:
    """Return whether some label timepoints and some classify cases, which no table mixes."""
    return len({member.task is None for member in members}) > 1
