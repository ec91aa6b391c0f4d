"""Measure a GPU in eight minutes: agreement, step times, throughput, an extrapolation, and a part of the archive.

    python benchmarks/gpu.py [PART ...] [OVERRIDE=VALUE ...] [--device cuda] [--shapes 12] [--minutes 8] [--out FOLDER]

limits   the limits of the GPU: a large product in bfloat16, a large copy
check    losses of one epoch of twelve shapes of the archive, in four precisions, against the reference loop in float64
time     a step of the same shapes: a textbook loop, the same in a CUDA graph by cuDNN, PyTorch products, Triton
profile  the time of each kernel of a step
streams  the time per step of several trainings side by side
train    one bundled dataset from start to end, as a user would train it
archive  `python -m tsfcn.run dataset=all` in the remaining minutes; its records are packed as records.tar.gz

Without PART all parts run. Arguments with a `=` are overrides for the two runs. The shapes are those of datasets, but
the series are random, so nothing is downloaded. Times are medians of CUDA events; energy is the GPU's own count
(nvidia-ml-py, if it is installed). `--device cpu --shapes 1 protocol=smoke` runs the same code without a GPU, to check
that it works. Results are printed, and written to FOLDER/gpu.json.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import json
import statistics
import subprocess
import sys
import tarfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import packing
from tsfcn.common import device as devices
from tsfcn.common.errors import UserError
from tsfcn.config.compose import compose
from tsfcn.config.models import FCNConfig
from tsfcn.config.protocol import Settings, settings
from tsfcn.data.catalogue import CATALOGUE, SETS
from tsfcn.jobs import store
from tsfcn.models import layers, registry
from tsfcn.training import reference
from tsfcn.training.fused import stacked as engine
from tsfcn.training.fused import torch_backend

PARTS = ("limits", "check", "time", "profile", "streams", "train", "archive")

SHAPES = (
    *("ItalyPowerDemand", "SmoothSubspace", "Crop", "CBF", "GunPoint", "ElectricDevices", "FiftyWords", "FordA"),
    *("OliveOil", "StarLightCurves", "ACSF1", "HandOutlines"),
)
PROFILED = ("ItalyPowerDemand", "GunPoint", "ElectricDevices", "FordA", "HandOutlines")
STREAMED = ("ItalyPowerDemand", "ElectricDevices", "FordA", "StarLightCurves")
LIMITS = {"float64": 1e-9, "float32": 1e-3, "bfloat16": 3e-2, "tf32": 1e-2}  # relative, of the loss of an epoch
FCN = FCNConfig()


def settings_of(epochs: int, batch: int, model: str = "fcn") -> Settings:
    """Return the settings of fawaz2019 with this number of epochs and this size of batches."""
    protocol = compose(["protocol=fawaz2019"])[0].protocol
    return replace(settings(protocol, model, FCN), epochs=epochs, batch_size=batch, batch_divisor=0)


def shape(name: str) -> tuple[int, int, int]:
    """Return (batch, timepoints, classes) of a dataset under fawaz2019."""
    facts = CATALOGUE[name]
    protocol = compose(["protocol=fawaz2019"])[0].protocol
    batch = settings(protocol, "fcn", FCN).batch(facts.n_train)
    return batch, int(facts.length or 100), facts.n_classes


def cases(n_cases: int, length: int, n_classes: int) -> tuple[Tensor, Tensor]:
    """Return random series, float64 (n_cases, 1, length), and their classes, which can be learned from them."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n_cases) % n_classes
    x = torch.randn(n_cases, 1, length, generator=generator, dtype=torch.float64)
    return x + torch.sin(torch.linspace(0, 6, length)[None, None] * (1 + y[:, None, None])), y


def check(names: list[str], device: str) -> list[dict[str, Any]]:
    """Return the relative differences of the loss of one epoch of three steps from the reference loop in float64."""
    rows = []
    for name in names:
        batch, length, n_classes = shape(name)
        x, y = cases(2 * batch + max(1, batch // 2), length, n_classes)
        arguments = ("fcn", FCN, settings_of(1, batch))
        (truth,) = reference.fit(*arguments, x, y, n_classes, 0).curve.loss
        row: dict[str, Any] = {"shape": name, "batch": batch, "length": length, "classes": n_classes}
        for precision, limit in LIMITS.items():
            if precision == "tf32" and device == "cpu":
                continue
            x_typed = x.double() if precision == "float64" else x.float()
            fits = engine.fit(
                *arguments, x_typed.to(device), y.to(device), n_classes, [(0, 0), (1, 0)], precision=precision
            )
            row[precision] = abs(fits[0].curve.loss[0] - truth) / truth
            row[f"{precision} agrees"] = row[precision] < limit
        rows.append(row)
        print(row, flush=True)
    return rows


# ---------------------------------------------------------------------------------------------------------------------
# Step times


def synchronise(device: str) -> None:
    """Wait for the device."""
    if device != "cpu":
        torch.cuda.synchronize()


def median_seconds(run: Callable[[], Any], device: str) -> float:
    """Return the median time of `run` in seconds, after three calls that do not count."""
    for _ in range(3):
        run()
    repeats = 15 if device != "cpu" else 3
    synchronise(device)
    times = []
    for _ in range(repeats):
        if device == "cpu":
            started = time.perf_counter()
            run()
            times.append(time.perf_counter() - started)
            continue
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


class Flat(nn.Module):
    """The FCN with two-dimensional convolutions of height one, channels last, for which cuDNN is fast."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        sizes = [1, *FCN.filters]
        self.pads = [layers.same_padding(kernel) for kernel in FCN.kernels]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, (1, k)) for a, b, k in zip(sizes, sizes[1:], FCN.kernels, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(c, eps=1e-3, momentum=0.01) for c in FCN.filters)
        self.head = nn.Linear(sizes[-1], n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits. (n, 1, 1, t) -> (n, n_classes)."""
        for conv, norm, pad in zip(self.convs, self.norms, self.pads, strict=True):
            x = F.relu(norm(conv(F.pad(x, pad))))
        logits: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


def textbook(batch: int, length: int, n_classes: int, device: str) -> float:
    """Return the seconds of a step of a plain PyTorch loop in float32."""
    x, y = (each.to(device) for each in cases(batch, length, n_classes))
    x = x.float()
    network = registry.build("fcn", FCN, 1, length, n_classes, 0).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()

    return median_seconds(step, device)


def cudnn(batch: int, length: int, n_classes: int, device: str) -> float:
    """Return the seconds of a step by cuDNN: bfloat16 by autocast, channels last, fused Adam, all in one CUDA graph."""
    x, y = (each.to(device) for each in cases(batch, length, n_classes))
    x = x.float().unsqueeze(2).to(memory_format=torch.channels_last)
    network = Flat(n_classes).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True, capturable=device != "cpu")
    kind = "cpu" if device == "cpu" else "cuda"

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(kind, torch.bfloat16):
            loss = F.cross_entropy(network(x).float(), y)
        loss.backward()
        optimizer.step()

    if device == "cpu":
        return median_seconds(step, device)
    torch.backends.cudnn.benchmark = True
    with engine.side_stream(torch.device(device)):
        for _ in range(3):
            step()
        torch.cuda.current_stream().synchronize()
        graph = torch.cuda.CUDAGraph()
        optimizer.zero_grad(set_to_none=True)
        graph.capture_begin()
        step()
        graph.capture_end()
        seconds = median_seconds(graph.replay, device)
    torch.backends.cudnn.benchmark = False
    return seconds


def training(
    batch: int, length: int, n_classes: int, device: str, n: int, precision: str = "bfloat16"
) -> engine.Training:
    """Return a stack of n trainings whose sequence has 16 steps."""
    x, y = cases(16 * batch, length, n_classes)
    arguments = (
        settings_of(2000, batch),
        x.float().to(device),
        y.to(device),
        n_classes,
        [(seed, 0) for seed in range(n)],
    )
    return engine.Training("fcn", FCN, *arguments, precision)


def stacked(batch: int, length: int, n_classes: int, device: str, *, n: int = 1, by_torch: bool = False) -> float:
    """Return the seconds of a step of n stacked trainings in bfloat16."""
    best = engine.best_backend
    if by_torch:
        engine.best_backend = lambda *_: torch_backend.TorchBackend()
    try:
        with engine.side_stream(torch.device(device)):
            trained = training(batch, length, n_classes, device, n)
            trained.epochs.fill(trained.streams, 0)
            steps = trained.epochs.n_epochs * trained.steps_per_epoch
            return median_seconds(trained.epochs.run, device) / steps
    finally:
        engine.best_backend = best


def times(names: list[str], device: str) -> list[dict[str, Any]]:
    """Return the microseconds of a step for each way to train."""
    rows = []
    for name in names:
        arguments = (*shape(name), device)
        ways: dict[str, Callable[[], float]] = {
            "textbook": functools.partial(textbook, *arguments),
            "cuDNN graph": functools.partial(cudnn, *arguments),
            "products graph": functools.partial(stacked, *arguments, by_torch=True),
            "Triton graph": functools.partial(stacked, *arguments),
            "five stacked": functools.partial(stacked, *arguments, n=5),
        }
        row: dict[str, Any] = {"shape": name, "batch": arguments[0], "length": arguments[1], "classes": arguments[2]}
        for way, run in ways.items():
            try:
                row[way] = round(run() * 1e6, 1)
            except RuntimeError as error:
                row[way] = None
                print(f"{name}, {way}: {error}", file=sys.stderr)
        flop = 6.0 * arguments[0] * arguments[1] * (8 * 128 + 5 * 128 * 256 + 3 * 256 * 128)
        row["TFLOP/s"] = round(flop / row["Triton graph"] / 1e6, 4) if row["Triton graph"] else None
        rows.append(row)
        print(row, flush=True)
    return rows


def profile(names: list[str], device: str) -> None:
    """Print the kernels of a step and their times in microseconds."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    for name in names:
        with engine.side_stream(torch.device(device)):
            trained = training(*shape(name), device, 1)
            trained.epochs.fill(trained.streams, 0)
            for _ in range(3):
                trained.epochs.run()
            synchronise(device)
            kinds = [ProfilerActivity.CPU] if device == "cpu" else [ProfilerActivity.CUDA]
            with profiler(activities=kinds) as profiled:
                for _ in range(5):
                    trained.epochs.run()
                synchronise(device)
        steps = 5 * trained.epochs.n_epochs * trained.steps_per_epoch
        print(f"--- {name} {shape(name)}: microseconds a step")
        rows = sorted(profiled.key_averages(), key=lambda row: -row.device_time_total)[:24]
        for row in rows:
            print(f"{row.device_time_total / steps:9.2f}  {row.count / steps:5.2f} x  {row.key[:70]}")


def streams(names: list[str], device: str) -> list[dict[str, Any]]:
    """Return the microseconds per step of several trainings side by side, each in a thread and stream of its own."""
    rows = []
    for name in names:
        row: dict[str, Any] = {"shape": name}
        for count in (1, 2, 4, 8, 16) if device != "cpu" else (1, 2):
            trained = [training(*shape(name), device, 1) for _ in range(count)]
            epochs = trained[0].epochs
            ready, done = (threading.Barrier(count + 1, timeout=120) for _ in range(2))
            runs: list[int] = []

            def work(one: engine.Training, runs: list[int] = runs, ready: Any = ready, done: Any = done) -> None:
                with engine.side_stream(torch.device(device)):
                    one.run(2)
                    started = time.perf_counter()
                    one.run(2)
                    each = (time.perf_counter() - started) / 2
                    runs.append(max(1, min(one.epochs.n_staged, 400, round((0.3 if device != "cpu" else 0.03) / each))))
                    ready.wait()
                    ready.wait()
                    one.run(runs[0])
                    done.wait()

            workers = [threading.Thread(target=work, args=(one,)) for one in trained]
            for worker in workers:
                worker.start()
            ready.wait()
            started = time.perf_counter()
            ready.wait()
            done.wait()
            steps = runs[0] * epochs.n_epochs * trained[0].steps_per_epoch
            row[str(count)] = round((time.perf_counter() - started) / (steps * count) * 1e6, 1)
            for worker in workers:
                worker.join()
        rows.append(row)
        print(row, flush=True)
    return rows


def limits(device: str) -> dict[str, float]:
    """Return the limits of the device: TFLOP/s of a large product in bfloat16, GB/s of a copy, read and written."""
    size = 8192 if device != "cpu" else 512
    a, b = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    seconds = median_seconds(lambda: torch.mm(a, b), device)
    source = torch.randn(2**28 if device != "cpu" else 2**20, device=device)
    target = torch.empty_like(source)
    results = {
        "TFLOP/s": round(2 * size**3 / seconds / 1e12, 1),
        "GB/s": round(2 * source.nbytes / median_seconds(lambda: target.copy_(source), device) / 1e9, 1),
    }
    print(results, flush=True)
    return results


def extrapolated(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the minutes of the archive according to packing.py, from measured steps of single trainings."""
    measured = [row for row in rows if row["Triton graph"]]
    floor, rate = min(row["Triton graph"] for row in measured) / 1e6, max(row["TFLOP/s"] for row in measured) * 1e12
    works = packing.archive("fcn", "fawaz2019", list(SETS["all"]))
    results = {"floor of a step, microseconds": floor * 1e6, "TFLOP/s at best": rate / 1e12}
    for count in (1, 8):
        seconds, _ = packing.makespan(works, floor, rate, count, 78 * 2**30, 0.5)
        results[f"archive, minutes, {count} at a time"] = round(seconds / 60, 1)
    print(results, flush=True)
    return results


def energy(device: str) -> float | None:
    """Return the joules that the GPU has used since its driver was loaded; None if they are not known."""
    with contextlib.suppress(Exception):
        library = importlib.import_module("pynvml")
        library.nvmlInit()
        handle = library.nvmlDeviceGetHandleByIndex(torch.device(device).index or 0)
        return float(library.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
    return None


def suite(device: str, results: Path, *words: str) -> dict[str, Any]:
    """Run the suite and return its exit code, seconds, joules, and the number of jobs with each status."""
    command = [sys.executable, "-m", "tsfcn.run", f"device={device}", f"results={results}", *words]
    if not any(word.startswith("engine.precision=") for word in words):
        command.append("engine.precision=bfloat16")
    started, joules = time.monotonic(), energy(device)
    code = subprocess.run(command, check=False).returncode
    summary: dict[str, Any] = {"command": " ".join(command[1:]), "code": code}
    summary["seconds"] = round(time.monotonic() - started, 1)
    if joules is not None:
        summary["joules"] = round((energy(device) or joules) - joules)
    statuses = Counter(record.status for record in store.read(results))
    summary |= {f"jobs {status}": count for status, count in statuses.items()}
    print(summary, flush=True)
    return summary


def slice_of_archive(device: str, out: Path, seconds: float, *words: str) -> dict[str, Any]:
    """Train the jobs that fit into the given seconds, and pack their records.

    Args:
        device: The device.
        out: The folder for results and records.tar.gz.
        seconds: The budget.
        words: Overrides of the run.
    """
    results = out / "results"
    summary = suite(device, results, "dataset=all", f"budget={max(1, round(seconds))}s", *words)
    (results / "records").mkdir(parents=True, exist_ok=True)  # there may be no time for any job
    with tarfile.open(out / "records.tar.gz", "w:gz") as pack:
        pack.add(results / "records", "records")
    return summary


def main() -> int:
    """Run the parts of the command line; return 1 if a part failed or losses did not agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="PART or OVERRIDE", help=", ".join(PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shapes", type=int, default=len(SHAPES))
    parser.add_argument("--minutes", type=float, default=8.0, help="until the part of the archive ends")
    parser.add_argument("--out", type=Path, default=Path("benchmarks_work"))
    options = parser.parse_args()
    words = [word for word in options.words if "=" in word]
    parts = [word for word in options.words if "=" not in word] or list(PARTS)
    unknown = set(parts) - set(PARTS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: the parts are {', '.join(PARTS)}")
    names, device, out = list(SHAPES[: options.shapes]), options.device, options.out
    try:
        results: dict[str, Any] = {"torch": torch.__version__, "device": devices.gpu(devices.resolve(device)) or "cpu"}
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    devices.prepare(devices.resolve(device))
    started, failed = time.monotonic(), False
    ways: dict[str, Callable[[], Any]] = {
        "limits": lambda: limits(device),
        "check": lambda: check(names, device),
        "time": lambda: times(names, device),
        "profile": lambda: profile([name for name in PROFILED if name in names], device),
        "streams": lambda: streams([name for name in STREAMED if name in names], device),
        "train": lambda: suite(device, out / "one", "dataset=ItalyPowerDemand", *words),
        "archive": lambda: slice_of_archive(device, out, 60 * options.minutes - (time.monotonic() - started), *words),
    }
    for part in parts:
        try:
            results[part] = ways[part]()
            if part == "time":
                results["extrapolated"] = extrapolated(results[part])
        except Exception:  # the other parts may still give results
            traceback.print_exc()
            failed = True
        print(f"{part}: {time.monotonic() - started:.0f} s", flush=True)
        (out / "gpu.json").write_text(json.dumps(results, indent=1))
    disagree = [
        f"{row['shape']} {p}" for row in results.get("check", []) for p in LIMITS if not row.get(f"{p} agrees", True)
    ]
    if disagree:
        print(f"do not agree: {', '.join(disagree)}", file=sys.stderr)
    return 1 if failed or disagree else 0


if __name__ == "__main__":
    sys.exit(main())
