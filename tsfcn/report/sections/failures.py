"""Failures: the jobs that failed or were skipped, and why."""

from __future__ import annotations

from collections import Counter

from tsfcn.report.collect import Material
from tsfcn.report.html import Content, TableColumn
from tsfcn.report.render import split_texts, whole


def content(material: Material) -> Content:
    """Return the content of the section: how many failed and were skipped, and the table of them."""
    rows = material.failures
    if not rows:
        return {"rows": []}
    counts = Counter(row["status"] for row in rows)
    columns = [
        TableColumn("dataset", [row["dataset"] for row in rows]),
        TableColumn("status", [row["status"] for row in rows]),
        TableColumn("model", [row["model"] for row in rows]),
        TableColumn("protocol", [row["protocol"] for row in rows]),
        TableColumn("split", split_texts(row["split"] for row in rows)),
        TableColumn("seed", [whole(row["seed"]) for row in rows], is_numeric=True),
        TableColumn("reason", [row["reason"] for row in rows]),
        TableColumn("key", [row["key"] for row in rows]),
    ]
    return {"rows": columns, "counts": ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))}
