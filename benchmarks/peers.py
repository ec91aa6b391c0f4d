"""Compare the engines of tsfcn with other libraries: `make bench`, or `python benchmarks/peers.py [--quick] [--write]`.

Contestants (contestant.py) train the same cases with the same batch for the same number of epochs. They are processes
that live for the whole run and take turns of a fraction of a second. Of two ways to use the cores, one job with a
thread per core or one single-threaded job per core, the better one counts. A rate is the steps per second of all jobs
together, where a stack of five seeds counts five; results are medians over the turns, with quartiles. GFLOP/s counts
the multiplications and additions of the convolutions, forward and backward. The ceiling is the best rate of any matrix
product or convolution by PyTorch on this machine. --write renews RESULTS.md and results.csv next to this file.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import tsfcn
from tsfcn.common.machine import commit, processor

HERE = Path(__file__).parent
WARM = 2  # as in contestant.py
FLOP = 6 * (8 * 128 + 5 * 128 * 256 + 3 * 256 * 128)  # per timepoint of the FCN, forward and backward
PEERS = ["aeon==1.5.0", "tensorflow-cpu==2.21.0"]  # in an environment of their own

FCN = (
    "textbook FCN",
    "aeon FCN",
    "sktime FCN",
    "reference FCN",
    "fast FCN",
    "fast FCN, 5 seeds",
    "fast FCN, bfloat16",
    "fast FCN, bfloat16, 5 seeds",
)
ONE_SEED = tuple(name for name in FCN if "seeds" not in name)
FEW = ("textbook FCN", "aeon FCN", "fast FCN", "fast FCN, bfloat16")
LSTM_FCN = ("textbook LSTM-FCN", "sktime LSTM-FCN", "reference LSTM-FCN", "fast LSTM-FCN", "fast LSTM-FCN, bfloat16")
OTHER_NETWORKS = ("sktime FCN", "sktime LSTM-FCN")  # reported without GFLOP/s


@dataclass(frozen=True)
class Case:
    """The cases to train on: those of a dataset, at another length and repeated, in batches of one size."""

    dataset: str
    batch: int
    length: int
    steps: int  # per epoch
    contestants: tuple[str, ...]

    @property
    def shape(self) -> str:
        """The batch and the length, in words."""
        return f"{self.batch} x {self.length}"


CASES = (
    Case("ItalyPowerDemand", 2, 24, 10, FCN),
    Case("ItalyPowerDemand", 6, 24, 11, FCN),
    Case("GunPoint", 5, 150, 10, FCN),
    Case("GunPoint", 16, 150, 10, FCN),
    Case("GunPoint", 16, 512, 6, ONE_SEED),
    Case("GunPoint", 128, 150, 2, ONE_SEED),
    Case("ItalyPowerDemand", 64, 24, 1, LSTM_FCN),
    Case("GunPoint", 50, 150, 1, LSTM_FCN),
    Case("GunPoint", 128, 150, 2, LSTM_FCN),
)
QUICK = (Case("ItalyPowerDemand", 6, 24, 11, FEW), Case("GunPoint", 16, 150, 10, FEW))


@dataclass
class Process:
    """The process of a contestant."""

    name: str
    threads: int
    python: str
    process: subprocess.Popen[str] | None = None  # started by the first message
    started: float = 0.0
    startup: float = math.nan

    def ask(self, message: dict[str, Any]) -> None:
        """Send a line."""
        if self.process is None:
            command = [self.python, str(HERE / "contestant.py"), self.name, str(self.threads)]
            pipe, errors = subprocess.PIPE, None if os.environ.get("PEERS_DEBUG") else subprocess.DEVNULL
            self.started = time.time()
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Return the next line."""
        assert self.process is not None and self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with {self.process.wait()} (PEERS_DEBUG=1 shows why)")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass
class Measured:
    """The results of a contestant on a case, by way to use the cores."""

    seconds: dict[str, list[float]] = field(default_factory=dict)  # per step and seed, for each turn
    accuracy: float = math.nan
    memory: float = math.nan

    @property
    def way(self) -> str:
        """The better way."""
        return min(self.seconds, key=lambda way: statistics.median(self.seconds[way]))

    @property
    def step(self) -> float:
        """The median time of a step, in seconds."""
        return statistics.median(self.seconds[self.way])

    @property
    def quartiles(self) -> tuple[float, float]:
        """The quartiles of the time of a step, in seconds."""
        low, _, high = statistics.quantiles(self.seconds[self.way], n=4, method="inclusive")
        return low, high


def ways(cores: int) -> dict[str, list[int]]:
    """Return the threads of each job, by way to use the cores."""
    return {f"1 job of {cores}": [cores], f"{cores} jobs of 1": [1] * cores} if cores > 1 else {"1 job of 1": [1]}


def series(case: Case, folder: Path) -> Path:
    """Write the data of a case to a file and return its path."""
    data = tsfcn.load(case.dataset)

    def at_length(x: np.ndarray) -> np.ndarray:
        grid = np.linspace(0, x.shape[2] - 1, case.length)
        return np.stack([np.interp(grid, np.arange(x.shape[2]), one) for one in x[:, 0]]).astype(np.float32)

    classes = sorted(set(data.y_train))
    n = case.batch * case.steps
    x, y = at_length(data.x_train), np.array([classes.index(label) for label in data.y_train])
    y_test = np.array([classes.index(label) for label in data.y_test])
    path = folder / f"{case.dataset}_{case.batch}_{case.length}.npz"
    noise = np.random.default_rng(0)
    many = np.arange(n) % len(x)
    repeated = x[many] + 0.05 * noise.standard_normal((n, case.length)).astype(np.float32)
    np.savez(path, x_train=repeated, y_train=y[many], x_test=at_length(data.x_test)[:200], y_test=y_test[:200])
    return path


def turns_of(
    jobs: dict[tuple[str, str], list[Process]], message: dict[str, Any], steps: dict[str, float], turns: int
) -> dict[str, Measured]:
    """Let contestants train, turn by turn, and return their results by name.

    Args:
        jobs: The processes of each contestant and way to use the cores.
        message: The request to all of them.
        steps: The steps per epoch of each contestant, of all seeds.
        turns: The number of turns.
    """
    results: dict[str, Measured] = {name: Measured() for name, _ in jobs}
    for (name, way), processes in jobs.items():
        for process in processes:
            process.ask(message)
            answer = process.answer()
            if math.isnan(process.startup):
                process.startup = answer["time"] - process.started
        results[name].seconds[way] = []
    for _ in range(turns):
        for (name, way), processes in jobs.items():
            for process in processes:
                process.ask({})
            rate = 0.0
            for process in processes:
                taken = process.answer()["seconds"]
                rate += steps[name] * len(taken) / sum(taken)
            results[name].seconds[way].append(1 / rate)
    for (name, way), processes in jobs.items():
        for process in processes:
            answer = process.answer()
            if way == results[name].way:
                results[name].accuracy, results[name].memory = answer["accuracy"], answer["memory"]
    return results


def environment(folder: Path) -> str | None:
    """Return the interpreter of an environment with aeon, which is created if it is missing; None if that fails."""
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists() or ready.read_text() != " ".join(PEERS):
        print(f"creating an environment with {' and '.join(PEERS)} (minutes, once)", file=sys.stderr)
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", *PEERS],
        ):
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                print(f"aeon is left out, its environment failed: {done.stderr.strip()[-300:]}", file=sys.stderr)
                return None
        ready.write_text(" ".join(PEERS))
    return str(python)


def ratio(results: dict[str, Measured], one: str, other: str) -> str:
    """Return how many times as fast as `one` the other is, as text."""
    return f"{results[one].step / results[other].step:.1f}" if one in results and other in results else "-"


def lines(
    ceilings: dict[str, dict[str, float]],
    all_results: list[tuple[Case, dict[str, Measured]]],
    startups: dict[str, float],
) -> str:
    """Return the results as Markdown."""
    out = io.StringIO()
    print("## Ceiling\n\n| GFLOP/s | float32 | bfloat16 |\n| --- | --- | --- |", file=out)
    for how in ("one core", "all cores"):
        print(f"| {how} | {ceilings['float32'][how]:.0f} | {ceilings['bfloat16'][how]:.0f} |", file=out)
    for model, base in (("FCN", FCN), ("LSTM-FCN", LSTM_FCN)):
        if not any(name in results for _, results in all_results for name in base):
            continue
        print(f"\n## {model}: a step (and seed), all cores at work\n", file=out)
        print("| batch x length | contestant | ms | quartiles | GFLOP/s | of the ceiling | way | accuracy |", file=out)
        print("| --- | --- | --- | --- | --- | --- | --- | --- |", file=out)
        for case, results in all_results:
            for name in [name for name in base if name in results]:
                each = results[name]
                rate = FLOP * case.batch * case.length / each.step / 1e9
                share = rate / ceilings["bfloat16" if "bfloat16" in name else "float32"]["all cores"]
                low, high = each.quartiles
                rates = ["-", "-"] if name in OTHER_NETWORKS else [f"{rate:.0f}", f"{share:.0%}"]
                cells = [
                    *(case.shape, name, f"{1e3 * each.step:.2f}", f"{1e3 * low:.2f} to {1e3 * high:.2f}"),
                    *(*rates, each.way, f"{each.accuracy:.3f}"),
                ]
                print(f"| {' | '.join(cells)} |", file=out)
    print("\n## How many times as fast\n", file=out)
    print(
        "| batch x length | bfloat16 : aeon | bfloat16 : textbook | 5 seeds : one, bfloat16 | float32 : aeon "
        "| float32 : textbook |\n| --- | --- | --- | --- | --- | --- |",
        file=out,
    )
    for case, results in all_results:
        model = case.contestants[0].split()[-1]
        half, book = f"fast {model}, bfloat16", f"textbook {model}"
        cells = [
            *(f"{model} {case.shape}", ratio(results, f"aeon {model}", half), ratio(results, book, half)),
            *(ratio(results, half, f"{half}, 5 seeds"), ratio(results, f"aeon {model}", f"fast {model}")),
            ratio(results, book, f"fast {model}"),
        ]
        print(f"| {' | '.join(cells)} |", file=out)
    print("\n## Start-up and memory\n\n| contestant | s until two epochs are done | peak MiB |", file=out)
    print("| --- | --- | --- |", file=out)
    for name, seconds in startups.items():
        memory = max(results[name].memory for _, results in all_results if name in results)
        print(f"| {name} | {seconds:.1f} | {memory:.0f} |", file=out)
    return out.getvalue()


def table(ceilings: dict[str, dict[str, float]], all_results: list[tuple[Case, dict[str, Measured]]]) -> str:
    """Return the results as CSV, one row per contestant, case and way."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n")
    write.writerow(
        ["contestant", "batch", "length", "way", "step_ms", "low_ms", "high_ms", "turns", "gflops", "accuracy", "mib"]
    )
    for precision, rates in ceilings.items():
        for how, rate in rates.items():
            write.writerow([f"ceiling {precision}", "", "", how, "", "", "", "", f"{rate:.1f}", "", ""])
    for case, results in all_results:
        for name, each in results.items():
            for way, seconds in each.seconds.items():
                low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
                gflops = "" if name in OTHER_NETWORKS else f"{FLOP * case.batch * case.length / middle / 1e9:.1f}"
                best = [f"{each.accuracy:.4f}", f"{each.memory:.0f}"] if way == each.way else ["", ""]
                times = [f"{1e3 * s:.4f}" for s in (middle, low, high)]
                write.writerow([name, case.batch, case.length, way, *times, len(seconds), gflops, *best])
    return out.getvalue()


def measure(cases: Sequence[Case], turns: int, seconds: float, python_of: dict[str, str]) -> tuple[str, str]:
    """Measure all contestants on all cases and return the results as Markdown and CSV.

    Args:
        cases: The cases.
        turns: The number of turns.
        seconds: The approximate time of a turn of the reference loop.
        python_of: The interpreter of each contestant; others are left out.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    names = [name for name in dict.fromkeys(n for case in cases for n in case.contestants) if name in python_of]
    every: list[Process] = []

    def start(name: str, each: dict[str, list[int]]) -> dict[tuple[str, str], list[Process]]:
        python = python_of.get(name, sys.executable)
        started = {(name, way): [Process(name, n, python) for n in threads] for way, threads in each.items()}
        every.extend(process for processes in started.values() for process in processes)
        return started

    with tempfile.TemporaryDirectory() as folder:
        try:
            some = series(CASES[1], Path(folder))
            ceilings: dict[str, dict[str, float]] = {}
            message = {"case": str(some), "batch": 1, "turn": 1, "epochs": WARM + turns}
            for precision in ("float32", "bfloat16"):
                name = f"ceiling {precision}"
                started = start(name, {"one core": [1], **ways(cores)})
                results = turns_of(started, message, {name: 1.0}, turns)[name].seconds
                rates = {way: 1 / statistics.median(taken) for way, taken in results.items()}
                one = rates.pop("one core")
                ceilings[precision] = {"one core": one, "all cores": max(rates.values())}
            jobs: dict[tuple[str, str], list[Process]] = {}
            for name in names:
                jobs |= start(name, ways(cores))
            all_results = []
            for case in cases:
                step = 2e-3 + FLOP * case.batch * case.length / 1e11
                turn = max(1, round(seconds / (step * case.steps)))
                message = {
                    "case": str(series(case, Path(folder))),
                    "batch": case.batch,
                    "turn": turn,
                    "epochs": WARM + turns * turn,
                }
                here = {key: processes for key, processes in jobs.items() if key[0] in case.contestants}
                steps = {name: case.steps * (5.0 if "5 seeds" in name else 1.0) for name in case.contestants}
                all_results.append((case, turns_of(here, message, steps, turns)))
                print(f"{case.shape} {case.contestants[0].split()[-1]} done", file=sys.stderr)
        finally:
            for process in every:
                if process.process is not None:
                    process.process.kill()
                    process.process.wait()
    startups: dict[str, float] = {}
    for (name, _), processes in jobs.items():
        startups.setdefault(name, processes[0].startup)
    return lines(ceilings, all_results, startups), table(ceilings, all_results)


def main() -> None:
    """Measure and print, and write the files if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two cases, few contestants and turns")
    parser.add_argument("--write", action="store_true", help="renew RESULTS.md and results.csv")
    parser.add_argument("--aeon", type=Path, default=Path("benchmarks_work/aeon"), help="folder of aeon's environment")
    options = parser.parse_args()
    # The first turn after turns of others may be slow, so there are at least three.
    cases, turns, seconds = (QUICK, 3, 0.2) if options.quick else (CASES, 5, 0.4)
    python_of = dict.fromkeys((*FCN, *LSTM_FCN), sys.executable)
    aeon = environment(options.aeon.resolve())
    if aeon is None:
        del python_of["aeon FCN"]
    else:
        python_of["aeon FCN"] = aeon
    since = time.monotonic()
    text, rows = measure(cases, turns, seconds, python_of)
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "sktime", "numpy"))
    head = (
        f"# tsfcn beside its peers\n\n`python benchmarks/peers.py{' --quick' if options.quick else ''}` "
        f"on {datetime.now(UTC):%Y-%m-%d}: {processor()}, {platform.system()}, Python {platform.python_version()}, "
        f"{versions}, {', '.join(PEERS)}; tsfcn at commit {commit()[:12]}; "
        f"{time.monotonic() - since:.0f} s. `benchmarks/peers.py` explains what is measured and how.\n\n"
    )
    print(head + text)
    if options.write:
        (HERE / "RESULTS.md").write_text(head + text)
        (HERE / "results.csv").write_text(rows)


if __name__ == "__main__":
    main()
