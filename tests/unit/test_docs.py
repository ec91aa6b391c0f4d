"""The documentation names what is there, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tsfcn import load
from tsfcn.jobs import store
from tsfcn.jobs.record import job_from_json
from tsfcn.jobs.run_job import run_job

ROOT = Path(__file__).parents[2]


def test_every_field_of_a_record_is_documented(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "results.md").read_text()
    rows = text.split("## predictions")[0].splitlines()
    documented = {name for row in rows if row.startswith("| `") for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    files = sorted((ROOT / "results" / "records").glob("*.jsonl"))
    records = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    assert records, "the project's own results hold records"
    oldest = next(record for record in records if record["dataset"] == "ItalyPowerDemand")  # bundled
    job = job_from_json(oldest)
    short = replace(job, settings={**job.settings, "epochs": 1})
    newest = run_job(short, tmp_path, store.Writer(tmp_path))  # older records lack what came later
    assert newest.status == "ok"
    of_others = {"code", "members", "member_weights", "source", "n_held_out"}  # packages, ensembles, transfer, held-out
    of_others |= {"gpu", "driver", "cuda", "cudnn", "deterministic"}
    of_others |= {"task", "mean_iu", "frequency_weighted_iu", "median_segment"}  # dense labelling
    (path,) = (tmp_path / "records").iterdir()
    records.append(json.loads(path.read_bytes()))
    assert documented == {field for record in records for field in record} | of_others


def test_every_module_is_on_the_map() -> None:
    text = (ROOT / "README.md").read_text().split("## Where things are")[1].split("\n## ")[0]
    folders: list[str] = []
    named = set()
    for line in text.splitlines():
        if not (entry := re.match(r"    ( *)([\w./]+)  ", line)):
            continue
        del folders[len(entry[1]) // 2 :]
        if entry[2].endswith("/"):
            folders.append(entry[2])
        else:
            named.add("".join([*folders, entry[2]]))
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tsfcn").rglob("*.py") if "__" not in path.name}
    assert named == there


def test_the_readme_shows_what_the_default_run_prints(tmp_path: Path) -> None:
    """From the committed records of the default engine; the bundled datasets suffice."""
    shutil.copytree(ROOT / "benchmarks" / "engines", tmp_path / "fast")
    printed = subprocess.run(
        [sys.executable, "-m", "tsfcn.run", f"results={tmp_path / 'fast'}"], check=True, capture_output=True, text=True
    )
    assert "3 done before, 0 to run" in printed.stderr
    assert f"```\n{printed.stdout}```\n" in (ROOT / "README.md").read_text()


def python_blocks(path: Path, section: str = "") -> str:
    """Return the Python code of a page, or of a section of it, one block after the other."""
    text = path.read_text(encoding="utf-8")
    text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0] if section else text
    return "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))


def run_in(folder: Path, code: str) -> str:
    """Run Python code as a file in a folder and return what it prints."""
    (folder / "code.py").write_text(code)
    done = subprocess.run([sys.executable, "code.py"], check=False, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_classify_your_own_series_in_ten_lines(tmp_path: Path) -> None:
    """The code of the README and the command below it, word for word, on real series under other names."""
    data = load("ItalyPowerDemand")
    for name, x, y in (("train", data.x_train, data.y_train), ("new", data.x_test[:200], data.y_test[:200])):
        table = pd.DataFrame(x[:, 0])
        table.insert(0, "activity", np.where(y == "1", "walk", "run"))
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    code = python_blocks(ROOT / "README.md", "Classify your own series in ten lines")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    accuracy = float(run_in(tmp_path, code).splitlines()[-1])
    assert accuracy > 0.9
    command = [sys.executable, "-m", "tsfcn", "predict", "activity.safetensors", "new.csv", "label=activity"]
    predicted = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert f"accuracy {accuracy:.4f}" in predicted.stderr
    assert len(predicted.stdout.splitlines()) == 201


def test_a_network_of_your_own_in_ten_lines(tmp_path: Path) -> None:
    code = python_blocks(ROOT / "README.md", "A network of your own")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    printed = run_in(tmp_path, code)
    assert re.search(r"ItalyPowerDemand +my_net\+[0-9a-f]{6} +fawaz2019\[epochs=20\] +2 ", printed), printed
    assert {record.architecture for record in store.read(tmp_path / "results")} == {"fcn", "my_net"}


def test_the_code_of_the_page_on_classifiers(tmp_path: Path) -> None:
    assert run_in(tmp_path, python_blocks(ROOT / "docs" / "classifiers.md")).count("\n") == 2
