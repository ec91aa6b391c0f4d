"""The time to read datasets: `TSFCN_ARCHIVE=DIR python benchmarks/read.py`, on one core.

Every dataset of the archive is read from its text into an empty cache, then again from the cache, then its passport
only. The second read of StarLightCurves (the largest, 9,236 series of 1,024 timepoints) is the median of nine. Since
other work on the machine disturbs the times, processor seconds are printed next to the wall-clock seconds.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tsfcn.data import archive, catalogue


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Return the wall-clock and the processor seconds of a call."""
    wall, processor = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Measure the times and print them as Markdown."""
    root = Path(os.environ["TSFCN_ARCHIVE"])
    names = [name for name in catalogue.CATALOGUE if (root / name).is_dir()]
    size = sum(path.stat().st_size for name in names for path in (root / name).iterdir())
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TSFCN_CACHE"] = cache
        rows = [
            ("first read, text", timed(lambda: [archive.load(name) for name in names])),
            ("second read, cache", timed(lambda: [archive.load(name) for name in names])),
            ("passports alone", timed(lambda: [archive.passport(name) for name in names])),
        ]
        if "StarLightCurves" in names:
            runs = [timed(lambda: archive.load("StarLightCurves")) for _ in range(9)]
            wall, processor = (statistics.median(run[i] for run in runs) for i in range(2))
            rows.append(("StarLightCurves, second read", (wall, processor)))
    print(f"{len(names)} datasets, {size / 1e6:.0f} MB of text\n")
    print("| step | seconds | processor seconds |\n| --- | --- | --- |")
    for step, (wall, processor) in rows:
        print(f"| {step} | {wall:.2f} | {processor:.2f} |")


if __name__ == "__main__":
    main()
