"""The documentation names what is there, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_field_of_a_record_is_documented() -> None:
    text = (ROOT / "docs" / "results.md").read_text()
    rows = text.split("## predictions")[0].splitlines()
    documented = {name for row in rows if row.startswith("| `") for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    files = sorted((ROOT / "results" / "records").glob("*.jsonl"))
    records = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    assert records, "the project's own results hold records"
    fields = {field for record in records for field in record}
    assert fields <= documented  # of older records; tests/unit/test_job.py holds those of today


def test_every_module_is_on_the_map() -> None:
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"tsfcn/(\w+\.py)", text))
    there = {path.name for path in (ROOT / "tsfcn").glob("*.py") if not path.name.startswith("__")}
    assert named == there | (named & {"__main__.py"})
