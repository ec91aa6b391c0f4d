"""Measure what runs cost besides training, and test that they finish even if processes are killed.

    python benchmarks/runs.py PART ... [--work FOLDER]      with TSFCN_ARCHIVE set to the UCR archive

The parts are

    chaos      200 jobs on 2 workers, once undisturbed, and once with a random worker killed every few seconds and the
               run itself killed twice
    two        two runs started at once on one results folder
    overhead   seconds of a job besides its training
    planning   seconds to plan 10,000 jobs
    startup    seconds until `tsfcn --help` and `tsfcn results status` have answered
    memory     peak memory of the jobs with the most test cases and the longest series
    predict    the time of `dataset=small` with FCN, estimated without records and from records of 1 % of its epochs,
               against the times in the records of --actual FOLDER (those that finished after --since)

Each part prints a line of Markdown for RUNS.md, and fails if a limit that RUNS.md states is not kept.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tsfcn.jobs import artifacts, store
from tsfcn.jobs.record import Record

DATASETS = (
    "ItalyPowerDemand,Chinatown,SmoothSubspace,SonyAIBORobotSurface1,SonyAIBORobotSurface2,TwoLeadECG,MoteStrain,CBF,"
    "GunPoint,ECGFiveDays,ECG200,Plane,BME,UMD,Coffee,ArrowHead,FaceFour,Wine,Fungi,OliveOil"
)
JOBS = (
    *(f"dataset=[{DATASETS}]", "model=[fcn,lstm_fcn]", "protocol=smoke", "protocol.epochs=6", "protocol.cells=[8,16]"),
    *("seeds=5", "executor.workers=2", "checkpoint.every_seconds=1"),
)
N_JOBS = 200
TIMES = ("train_seconds", "total_seconds")  # columns of tables that differ from run to run
ONE_RUN = {"train_processor_seconds", "test_processor_seconds"}
ONE_RUN |= {"finished", "train_seconds", "test_seconds", "job_seconds", "peak_memory_bytes", "commit", "resumed_epochs"}


def run(results: Path, *words: str) -> subprocess.Popen[str]:
    """Start a run."""
    command = [sys.executable, "-m", "tsfcn.run", *words, f"results={results}"]
    with (results.parent / f"{results.name}.log").open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, text=True)


def children(parent: int) -> list[int]:
    """Return the living child processes of a process."""
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, ppid = (path / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(ppid) == parent and state != "Z":
            pids.append(int(path.name))
    return pids


def lines(results: Path) -> list[Record]:
    """Return all records of a results folder."""
    return store.Reader(results).new()


def tables(results: Path) -> dict[str, str]:
    """Return the tables without the columns of times, by file name."""
    contents = {}
    for path in sorted((results / "tables").glob("*.csv")):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        contents[path.name] = json.dumps([{k: v for k, v in row.items() if k not in TIMES} for row in rows])
    return contents


def outcome(results: Path) -> dict[str, Any]:
    """Return the records and predictions by key, without the fields that differ from run to run."""
    outcomes: dict[str, Any] = {}
    for record in store.read(results):
        key = record.key
        fields = {name: value for name, value in record.to_json().items() if name not in ONE_RUN}
        outcomes[key] = fields, artifacts.predictions_path(results, key).read_bytes()
    return outcomes


def check_once(results: Path, n_jobs: int) -> list[Record]:
    """Return the records, after checking that each job is `ok` exactly once and that no temporary files remain."""
    records = lines(results)
    assert Counter(r.status for r in records) == {"ok": n_jobs}, Counter(r.status for r in records)
    assert len({r.key for r in records}) == n_jobs
    left = [name for name in ("leases", "runners", "plans", "checkpoints") if (results / name).exists()]
    assert not left, f"left behind: {left}"
    return records


def chaos(work: Path) -> str:
    """Compare an undisturbed run with one whose processes are killed repeatedly."""
    calm, wild = work / "calm", work / "wild"
    started = time.monotonic()
    assert run(calm, *JOBS).wait() == 0
    quiet_seconds = time.monotonic() - started
    check_once(calm, N_JOBS)

    dice = random.Random(0)
    kills, parents, code = 0, 0, -1
    started = time.monotonic()
    while code != 0:
        process = run(wild, *JOBS)
        strike = time.monotonic() + 4
        while process.poll() is None:
            time.sleep(0.05)
            if parents < 2 and len(lines(wild)) >= (parents + 1) * N_JOBS // 3:
                process.send_signal(signal.SIGKILL)
                parents += 1
            elif time.monotonic() > strike:
                workers = children(process.pid)
                if workers:
                    os.kill(dice.choice(workers), signal.SIGKILL)
                    kills += 1
                strike = time.monotonic() + dice.uniform(2, 5)
        code = process.wait()
        assert code in (0, -signal.SIGKILL), code
    seconds = time.monotonic() - started
    records = check_once(wild, N_JOBS)
    assert parents == 2
    assert tables(calm) == tables(wild), "the tables differ"
    assert outcome(calm) == outcome(wild), "records or predictions differ"
    resumed = sum(bool(record.resumed_epochs) for record in records)
    return (
        f"{N_JOBS} jobs, 2 workers, {kills} workers and {parents} times the run killed: every job `ok` exactly once, "
        f"{resumed} taken up from a checkpoint; tables, records and predictions equal, times apart "
        f"| {seconds:.0f} s, undisturbed {quiet_seconds:.0f} s"
    )


def two(work: Path) -> str:
    """Start two runs of the same jobs on one folder."""
    results = work / "two"
    words = [word.replace("executor.workers=2", "executor.workers=1") for word in JOBS]
    started = time.monotonic()
    runs = [run(results, *words) for _ in range(2)]
    assert [each.wait() for each in runs] == [0, 0]
    seconds = time.monotonic() - started
    records = check_once(results, N_JOBS)
    shares = Counter(path.name for path in (results / "records").iterdir() for _ in path.read_bytes().splitlines())
    assert len(shares) == 2
    return (
        f"two runs of one worker started at once on one folder, {len(records)} jobs: no key trained twice, "
        f"{' and '.join(str(n) for n in shares.values())} jobs | {seconds:.0f} s"
    )


def overhead(work: Path) -> str:
    """Run jobs that end at their first check, in one worker: lease, message, dataset from the cache, record, sync."""
    from dataclasses import replace

    from tsfcn.config.compose import compose
    from tsfcn.data import archive
    from tsfcn.jobs import lease, plan
    from tsfcn.jobs.executors import local
    from tsfcn.jobs.queue import Queue

    chosen, unchanged = compose(["dataset=GunPoint", "protocol=smoke", "seeds=500"])
    passport = {**archive.passport("GunPoint"), "content": "another"}
    planned = plan.jobs({"GunPoint": passport}, chosen.model.configs(), chosen.protocol, unchanged, range(500), [0])
    results = work / "overhead"
    started = 0.0
    with lease.Runner(results) as runner:
        queue = Queue(planned, results, runner)
        for event in local.run(queue, plan.Terms(), 1):
            if event.kind == "end" and not started:
                started = time.perf_counter()  # the worker is up
        seconds = (time.perf_counter() - started) / (len(planned) - 1)
    records = lines(results)
    assert len(records) == 500 and all("changed since" in record.reason for record in records)
    assert replace(planned[0]).key == planned[0].key
    assert seconds < 0.02, seconds
    return f"overhead of a job (499 jobs that do nothing, one worker) | {seconds * 1000:.1f} ms a job"


def planning(work: Path) -> str:
    """Plan 10,000 jobs: 100 datasets x 5 models x 20 seeds."""
    names = sorted(path.name for path in Path(os.environ["TSFCN_ARCHIVE"]).iterdir() if path.is_dir())[:100]
    words = [f"dataset=[{','.join(names)}]", "model=[fcn,lstm_fcn,alstm_fcn,mlp,resnet]", "seeds=20", "dry_run=true"]
    words += [f"results={work / 'planning'}"]
    times = []
    for _ in range(6):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "tsfcn.run", *words], capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - started)
        assert "10000 jobs on 100 datasets" in done.stdout.splitlines()[-1], done.stdout[-300:]
    seconds = statistics.median(times[1:])  # the first has read the archive
    assert seconds < 3, times
    return (
        "`tsfcn run dry_run=true` of 10,000 jobs (100 datasets, 5 models, 20 seeds), from start to the last line "
        f"| {seconds:.2f} s (first time {times[0]:.1f} s)"
    )


def startup(work: Path) -> str:
    """Measure the help and the status of the project's own results."""
    results = Path(__file__).parents[1] / "results"
    parts = []
    for words in (["--help"], ["results", "status", str(results)], ["watch", str(results)]):
        times = []
        for _ in range(7):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-m", "tsfcn", *words], check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - started)
        command = [sys.executable, "-X", "importtime", "-m", "tsfcn", *words]
        loaded = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        assert not any(line.rpartition("|")[2].strip() in ("torch", "pandas", "hydra") for line in loaded.splitlines())
        assert statistics.median(times) < 1
        parts.append(f"`tsfcn {words[0]}{' status' if words[0] == 'results' else ''}` {statistics.median(times):.2f} s")
    return f"until the answer, without torch or pandas (median of 7) | {', '.join(parts)}"


def memory(work: Path) -> str:
    """Train one epoch where the evaluation is the largest, and compare the peak with the estimate."""
    from tsfcn.jobs import cost

    parts = []
    for dataset in ("StarLightCurves", "HandOutlines"):
        for model in ("fcn", "resnet"):  # one worker each, since a worker keeps some memory of earlier jobs
            results = work / f"memory-{dataset}-{model}"
            words = [f"dataset={dataset}", f"model={model}", "protocol=fawaz2019", "protocol.epochs=1"]
            assert run(results, *words, "executor.workers=1").wait() == 0
            (record,) = lines(results)
            job = record.job
            peak, estimate = (record.peak_memory_bytes or 0) / 2**20, cost.memory(job) / 2**20
            assert 0.5 < estimate / peak < 2, (dataset, model, peak, estimate)
            parts.append(f"{dataset} {model} {peak:.0f} MiB (estimated {estimate:.0f})")
    return f"peak memory of a job with its evaluation | {', '.join(parts)}"


def predict(work: Path, actual: Path, since: str) -> str:
    """Estimate full jobs from short ones on this machine, and without records, and compare with their real times."""
    from tsfcn.common import machine
    from tsfcn.jobs import cost

    short = work / "short"
    assert run(short, "dataset=small", "protocol.epochs=20", "executor.workers=1").wait() == 0
    model, prior = cost.Model(lines(short), machine.processor(), "auto"), cost.Model(engine="auto")
    engines = {record.engine for record in lines(short)}
    actual_total, learned, guessed, errors = 0.0, 0.0, 0.0, []
    names = {record.dataset for record in lines(short)}
    for record in store.read(actual):
        full = record.protocol == "fawaz2019" and record.model == "fcn" and record.dataset in names
        if not record.is_ok or not full or not record.hardware.startswith(machine.processor()):
            continue
        if record.finished < since or record.engine not in engines:
            continue
        job = record.job
        estimate = model.seconds(job)
        actual_seconds = record.seconds("train") or 0.0
        actual_total, learned, guessed = actual_total + actual_seconds, learned + estimate, guessed + prior.seconds(job)
        errors.append(abs(estimate / actual_seconds - 1))
        print(f"{record.dataset:24} {actual_seconds:8.0f} {estimate:8.0f}", file=sys.stderr)
    assert errors, f"no full jobs of this machine in {actual}"
    assert abs(learned / actual_total - 1) < 0.25, (learned, actual_total)
    return (
        f"FCN, fawaz2019, {len(errors)} of `dataset=small`: estimated from records of 20 of 2,000 epochs, against what "
        f"they took | {learned:.0f} s against {actual_total:.0f} s ({learned / actual_total - 1:+.1%}; "
        "median error of a job "
        f"{statistics.median(errors):.1%}; estimated without any record {guessed:.0f} s)"
    )


def main() -> None:
    """Measure the parts of the command line and print them."""
    every: dict[str, Callable[[Path], str]]
    every = {each.__name__: each for each in (chaos, two, overhead, planning, startup, memory)}
    every["predict"] = lambda work: predict(work, options.actual, options.since)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", choices=every, nargs="+", metavar="PART", help=", ".join(every))
    parser.add_argument("--work", type=Path, default=Path("benchmarks_work"), help="folder for the runs; emptied")
    parser.add_argument("--actual", type=Path, default=Path("results"), help="folder with full jobs, for predict")
    parser.add_argument(
        "--since", default="", metavar="TIME", help="of the full jobs, as 2026-11-25T11:20, for predict"
    )
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for part in options.parts:
        work = (options.work / part).resolve()
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        print(f"| `{part}` | {every[part](work)} |", flush=True)


if __name__ == "__main__":
    main()
