"""Simulate a GPU that trains the archive: `python benchmarks/packing.py [--memory GIB] [--overhead SECONDS]`.

Jobs are trained side by side in streams of one process, the longest first, as the runner does on a GPU
(tsfcn/jobs/executors/threads.py). A step of a job takes at least `floor` seconds, and the whole GPU does its operations
at `share` of the peak. Several jobs run at full speed until together they need more than the GPU offers; then they get
equal parts. A job starts when a stream and its memory are free, and takes `overhead` seconds of the host before its
first step. The script prints Markdown: makespans in minutes, and the fraction of the time in which the GPU is busy.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from tsfcn.config.compose import compose
from tsfcn.data.catalogue import SETS
from tsfcn.jobs import cost, plan

PEAK = 989e12  # bfloat16 operations a second of an H100 or H200, by its data sheet
FLOORS, SHARES, STREAMS = (30e-6, 60e-6, 100e-6), (0.25, 0.35), (1, 4, 8, 16)


@dataclass
class Work:
    """One program on the GPU: a job, or the stacked seeds of a job."""

    name: str
    steps: float
    flop: float  # of all steps
    bytes: float  # of the GPU's memory

    def alone(self, floor: float, rate: float) -> float:
        """Return the seconds that it takes alone. floor: the least seconds of a step; rate: operations per second."""
        return max(self.steps * floor, self.flop / rate)


def makespan(
    works: Sequence[Work], floor: float, rate: float, n_streams: int, memory: float, overhead: float = 0.0
) -> tuple[float, float]:
    """Return the seconds until all programs have ended, and the fraction of them in which the GPU computes.

    Args:
        works: The programs.
        floor: The least seconds of a step.
        rate: Operations per second of the whole GPU.
        n_streams: How many programs run at a time.
        memory: Bytes of the GPU's memory.
        overhead: Seconds of the host before the first step of a program.

    Raises:
        ValueError: A program needs more than `memory` bytes.
    """
    waiting = sorted(works, key=lambda work: work.alone(floor, rate), reverse=True)
    for work in waiting:
        if work.bytes > memory:
            raise ValueError(f"{work.name} needs {work.bytes / 2**30:.1f} GiB, there are {memory / 2**30:.1f}")
    left: list[tuple[Work, float]] = []  # running programs, and the remaining fraction of each
    now = free_host = 0.0
    starting: list[tuple[float, Work]] = []
    while waiting or starting or left:
        used = sum(work.bytes for work, _ in left) + sum(work.bytes for _, work in starting)
        while len(left) + len(starting) < n_streams:
            fitting = next((work for work in waiting if used + work.bytes <= memory), None)
            if fitting is None:
                break
            waiting.remove(fitting)
            used += fitting.bytes
            free_host = max(free_host, now) + overhead  # one program is captured at a time
            starting.append((free_host, fitting))
        demand = sum(work.flop / rate / work.alone(floor, rate) for work, _ in left)
        speed = min(1.0, 1.0 / demand) if demand > 0 else 1.0
        ends = [share * work.alone(floor, rate) / speed for work, share in left]
        until = min([*ends, *(max(0.0, start - now) for start, _ in starting)])
        now += until
        left = [(work, share - until * speed / work.alone(floor, rate)) for (work, share) in left]
        left = [(work, share) for work, share in left if share > 1e-12]
        left += [(work, 1.0) for start, work in starting if start <= now + 1e-12]
        starting = [(start, work) for start, work in starting if start > now + 1e-12]
    return now, sum(work.flop for work in works) / rate / now


def archive(model: str, protocol: str, names: Sequence[str], n_seeds: int = 1) -> list[Work]:
    """Return the programs of a pass over datasets; the seeds and the LSTM sizes of a job are stacked in one program.

    Args:
        model: The name of the model.
        protocol: The name of the protocol.
        names: The datasets.
        n_seeds: The seeds of each job.
    """
    chosen = compose([f"model={model}", f"protocol={protocol}"])[0]
    jobs = plan.jobs(
        {name: {} for name in names}, chosen.model.configs(), chosen.protocol, chosen.protocol, [0], [0], "bfloat16"
    )
    works = []
    for job in jobs:
        size, settings = cost.sizes(job), job.resolved()
        count = dict(zip(cost.TERMS, cost.work(job).tolist(), strict=True))
        n_stacked = max(1, len(settings.cells))
        rows = min(settings.batch(size.n_train), size.n_train) * size.length
        network = cost.layers(job, 1, 1)
        wide = sum(layer.n_in + 3 * layer.n_out for layer in network)
        data = 4.0 * (size.n_train + size.n_test) * size.length
        memory = n_seeds * n_stacked * (2.0 * rows * wide + 24.0 * 3e5) + 2 * data
        steps = count["layer_steps"] / len(network) / n_stacked
        works.append(Work(job.dataset, steps, n_seeds * count["flop"], memory))
    return works


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", type=float, default=78.0, help="GiB of the GPU")
    parser.add_argument("--overhead", type=float, default=0.5, help="seconds of the host before a job's first step")
    options = parser.parse_args()
    passes = {
        "FCN, 128 datasets, one seed": archive("fcn", "fawaz2019", SETS["all"]),
        "FCN, 128 datasets, five seeds stacked": archive("fcn", "fawaz2019", SETS["all"], 5),
        "LSTM-FCN, 85 datasets, three sizes stacked, one seed": archive("lstm_fcn", "karim2019", SETS["ucr85"]),
    }
    for title, works in passes.items():
        steps, flop = sum(work.steps for work in works), sum(work.flop for work in works)
        longest = max(works, key=lambda work: work.steps)
        print(
            f"\n{title}: {steps / 1e6:.2f} million steps, {flop / 1e15:.0f} PFLOP; most steps: {longest.name}, ", end=""
        )
        print(f"{longest.steps / 1e6:.2f} million\n")
        print(f"| floor | share of peak | {' | '.join(f'{n} streams' for n in STREAMS)} | busy with {STREAMS[-1]} |")
        print(f"| --- | --- |{' --- |' * (len(STREAMS) + 1)}")
        for floor in FLOORS:
            for share in SHARES:
                results = [
                    makespan(works, floor, share * PEAK, n, options.memory * 2**30, options.overhead) for n in STREAMS
                ]
                cells = " | ".join(f"{seconds / 60:.1f} min" for seconds, _ in results)
                print(f"| {floor * 1e6:.0f} µs | {share:.0%} | {cells} | {results[-1][1]:.0%} |")


if __name__ == "__main__":
    main()
