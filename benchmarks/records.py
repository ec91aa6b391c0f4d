"""Results folders of many records: `python benchmarks/records.py make FOLDER N`, then `measure FOLDER`, on one core.

`make` writes N records, at most 384,000: 128 datasets, 30 resamples, 20 models (10 networks, 2 lengths of training) and
5 seeds, in files of 2,000 lines. Each is a record of the job that the command below plans, so that the command finds it
done; its results are those of a record in results/ with its learning curve of 200 epochs (6 KB a line), but for the
accuracy, which is drawn, and the time. One in a hundred has failed before. Without a dataset in TSFCN_ARCHIVE its sizes
are those of the catalogue.

`measure` prints for each command the processor time, the wall time and the peak memory. The first command on a folder
makes its index in TSFCN_CACHE.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from tsfcn.config.compose import compose_all
from tsfcn.data.catalogue import CATALOGUE
from tsfcn.jobs import store
from tsfcn.jobs.plan import Job
from tsfcn.jobs.record import Record, parse
from tsfcn.runs.planning import planned

MODELS = "fcn,resnet,mlp,encoder,inception,h_inception,lite,lstm_fcn,alstm_fcn,mlstm_fcn"
LINES = 2000  # of a file
ROOT = Path(__file__).resolve().parents[1]


def words(n_records: int) -> list[str]:
    """Return the settings of a run of so many jobs or a few more."""
    n_rows = 128 * 20
    n_seeds = min(5, -(-n_records // n_rows))
    n_resamples = -(-n_records // (n_rows * n_seeds))
    settings = ["dataset=all", f"model=[{MODELS}]", "protocol.epochs=1500,2000"]
    return [*settings, f"resamples={n_resamples}", f"seeds={n_seeds}"]


def jobs(settings: list[str]) -> Iterator[Job]:
    """Yield the jobs of a run, all with the sizes of their data."""
    for combination in compose_all(settings):
        for job in planned(*combination)[0]:
            yield job if job.passport else replace(job, passport=made_up(job.dataset))


def made_up(dataset: str) -> dict[str, object]:
    """Return the passport of a dataset that is not here."""
    entry = CATALOGUE[dataset]
    sizes = {"n_train": entry.n_train, "n_test": entry.n_test, "n_channels": 1, "n_classes": entry.n_classes}
    return {"name": dataset, "archive": "UCR2018", "split": "ucr2018", **sizes, "length": entry.length or 100}


def template() -> Record:
    """Return a record that a run has left."""
    (path, *_) = sorted((ROOT / "results" / "records").glob("*.jsonl"))
    return next(record for line in path.read_bytes().splitlines() if (record := parse(line)).curve)


def make(folder: Path, n_records: int) -> None:
    """Write the records."""
    old, random_numbers = template(), random.Random(0)
    settings = words(n_records)
    chosen = list(islice(jobs(settings), n_records))
    random_numbers.shuffle(chosen)  # as many workers finish them
    for start in range(0, len(chosen), LINES):
        written: list[Record] = []
        for number, job in enumerate(chosen[start : start + LINES], start):
            n_test = int(job.passport["n_test"])
            accuracy = random_numbers.randint(n_test // 2, n_test) / n_test
            moment = time.gmtime(1_800_000_000 + 10 * number)
            record = replace(
                *(old,),
                **job.to_json(),
                key=job.key,
                group=job.group,
                accuracy=accuracy,
                accuracy_least_train_loss=accuracy,
                accuracy_last=accuracy,
                balanced_accuracy=accuracy,
                cross_entropy=random_numbers.random(),
                n_test=n_test,
                n_train=job.passport["n_train"],
                n_classes=job.passport["n_classes"],
                n_timepoints=job.passport["length"],
                train_seconds=round(random_numbers.uniform(10, 1000), 3),
                train_processor_seconds=round(random_numbers.uniform(10, 1000), 3),
                finished=time.strftime("%Y-%m-%dT%H:%M:%S.", moment) + f"{number % 1000:03}Z",
            )
            failed = replace(record, status="failed", reason="loss is nan", accuracy=math.nan, finished="2027-01-01")
            written += [failed, record] if number % 100 == 0 else [record]
        store.Writer(folder).write(*written)
    (folder / "command.json").write_text(json.dumps(settings))


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the commands that are measured, by name."""
    settings = json.loads((folder / "command.json").read_text())
    python = [sys.executable, "-m"]
    return {
        "results status": [*python, "tsfcn", "results", "status", str(folder)],
        "run, all done": [*python, "tsfcn.run", *settings, f"results={folder}", "dry_run=true"],
        "table": [*python, "tsfcn.table", str(folder)],
        "compare": [*python, "tsfcn.compare", str(folder)],
    }


def measured(command: list[str]) -> tuple[float, float, float]:
    """Return the processor and wall seconds and the peak memory, in GB, of a command. Raises if it fails."""
    start = time.perf_counter()
    program = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
    program += "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
    program += "print(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9)"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, *command], check=True, stdout=subprocess.PIPE, env=environment
    )
    seconds, memory = map(float, done.stdout.split())
    return seconds, time.perf_counter() - start, memory


def measure(folder: Path, names: list[str]) -> None:
    """Print a line for each command, or for those named."""
    for name, command in commands(folder).items():
        if not names or name in names:
            seconds, wall, memory = measured(command)
            print(f"| {name} | {seconds:.1f} s | {wall:.1f} s | {memory:.2f} GB |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("make", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("rest", nargs="*")
    options = parser.parse_args()
    if options.verb == "make":
        make(options.folder, int(options.rest[0]))
    else:
        measure(options.folder, options.rest)
