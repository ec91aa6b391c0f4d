"""Simulate the archive on 1 to 1,000 workers: `python benchmarks/makespan.py [--results FOLDER]`.

128 datasets, FCN, LSTM-FCN and ALSTM-FCN (their papers' protocols, with the search for the size of the LSTM), five
seeds: 1,920 jobs. Each takes on one core what the cost model learns from the records of a results folder, and a worker
takes the longest job that is left, as all executors do. The script prints Markdown: the time until the last job has
ended, and the share of the workers' time in which they train; the same with one GPU that takes the longest jobs away,
by the cost model's estimate for GPUs, which no record confirms yet.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tsfcn.common import machine
from tsfcn.config.compose import compose
from tsfcn.data.catalogue import SETS
from tsfcn.jobs import cost, plan, store
from tsfcn.jobs.plan import Job
from tsfcn.jobs.progress import clock

PASSES = (("fcn", "fawaz2019"), ("lstm_fcn", "karim2019"), ("alstm_fcn", "karim2019"))
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
N_SEEDS = 5
ON_GPU = "cuda:0"


def archive(model: str, protocol: str) -> list[Job]:
    """Return the jobs of a model on every dataset of the archive."""
    chosen = compose([f"model={model}", f"protocol={protocol}"])[0]
    passports: dict[str, dict[str, object]] = {name: {} for name in SETS["all"]}
    settings = chosen.model.configs(), chosen.protocol, chosen.protocol
    return plan.jobs(passports, *settings, list(range(N_SEEDS)), [0], "float32")


def with_gpu(on_cpu: Sequence[float], on_gpu: Sequence[float], n_workers: int) -> tuple[float, int]:
    """Return the makespan with a GPU that takes the longest jobs, one after the other, and how many it takes best.

    Args:
        on_cpu: Seconds of each job on a core, the longest first.
        on_gpu: Seconds of the same jobs on the GPU.
        n_workers: Cores.
    """

    def both(n_taken: int) -> float:
        return max(sum(on_gpu[:n_taken]), cost.makespan(on_cpu[n_taken:], n_workers))

    low, high = 0, len(on_cpu)  # the GPU's part grows with what it takes, that of the workers falls
    while low < high:
        middle = (low + high) // 2
        if sum(on_gpu[:middle]) < cost.makespan(on_cpu[middle:], n_workers):
            low = middle + 1
        else:
            high = middle
    best = min((max(0, low - 1), low), key=both)
    return both(best), best


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="the folder whose records teach times")
    options = parser.parse_args()
    records = store.read(options.results)
    cpu, gpu = cost.Model(records, machine.processor(), "auto"), cost.Model(records, engine="auto", device=ON_GPU)
    jobs = [job for each in PASSES for job in archive(*each)]
    pairs = sorted(((cpu.seconds(job), gpu.seconds(job), job) for job in jobs), key=lambda pair: pair[0], reverse=True)
    on_cpu, on_gpu = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    print(f"{len(jobs)} jobs, {clock(sum(on_cpu))} of one core of {machine.processor()}; the longest:\n")
    for model, _ in PASSES:
        longest = [(job.dataset, seconds) for seconds, _, job in pairs if job.model == model and job.seed == 0][:3]
        print(f"- {model}: {', '.join(f'{name} {clock(seconds)}' for name, seconds in longest)}")
    print("\n| workers | FCN alone | all three | busy | all three, with one GPU for the longest | jobs on the GPU |")
    print("| --- | --- | --- | --- | --- | --- |")
    fcn = [seconds for seconds, _, job in pairs if job.model == "fcn"]
    for n_workers in WORKERS:
        seconds = cost.makespan(on_cpu, n_workers)
        helped, n_taken = with_gpu(on_cpu, on_gpu, n_workers)
        busy = sum(on_cpu) / (n_workers * seconds)
        print(
            f"| {n_workers:,} | {clock(cost.makespan(fcn, n_workers))} | {clock(seconds)} | {busy:.0%} "
            f"| {clock(helped)} | {n_taken} |"
        )


if __name__ == "__main__":
    main()
