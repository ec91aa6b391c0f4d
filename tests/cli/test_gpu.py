"""What prepares a run on a GPU, on a machine without one: measuring script, compiler's report, simulation."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch

from benchmarks import packing
from tsfcn.data.catalogue import SETS

ROOT = Path(__file__).parents[2]


def script(name: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of benchmarks/ and return what became of it."""
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=170,
        env={**os.environ, **environment},
    )


@pytest.mark.slow
def test_the_measuring_script_runs_without_a_gpu(tmp_path: Path) -> None:
    """Small, on the CPU: every part, a run of the archive's slice, and its records packed."""
    words = ("--device", "cpu", "--shapes", "1", "--minutes", "2", "--out", str(tmp_path))
    done = script("gpu.py", *words, "protocol=smoke", "dataset=ItalyPowerDemand", "protocol.epochs=2")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert set(found) > {"limits", "check", "time", "extrapolated", "streams", "train", "archive"}
    assert found["check"][0]["float64"] < 1e-9 and found["time"][0]["textbook"] > 0
    assert found["train"]["jobs ok"] == found["archive"]["jobs ok"] == 1
    with tarfile.open(tmp_path / "records.tar.gz") as pack:
        assert [name for name in pack.getnames() if name.endswith(".jsonl")]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_measuring_script_without_a_gpu_is_refused_in_one_line(tmp_path: Path) -> None:
    done = script("gpu.py", "--out", str(tmp_path / "out"))
    assert done.returncode == 2 and not (tmp_path / "out").exists()
    assert re.fullmatch(r"error: device=cuda is not available: .*\n", done.stderr)
    assert "the parts are limits, check" in script("gpu.py", "chekc").stderr


@pytest.mark.slow
def test_kernels_compile_for_a_gpu_that_is_not_there() -> None:
    """For Hopper: no register is spilled, and the products are by its matrix units, fed by copies that do not wait."""
    pytest.importorskip("triton", reason="Triton is not installed")
    done = script("triton_code.py", TRITON_INTERPRET="0")
    assert done.returncode == 0, done.stderr
    products = [line for line in done.stdout.splitlines() if line.startswith("conv_")]
    assert len(products) > 10
    for line in products:
        assert re.search(r"wgmma +[1-9]", line) and re.search(r"cp\.async +[1-9]", line), line


def work(steps: float, flop: float, gib: float = 1.0) -> packing.Work:
    return packing.Work(f"{steps:g}", steps, flop, gib * 2**30)


def test_one_stream_takes_the_sum_and_many_the_longest_or_the_whole_gpu() -> None:
    works = [work(1000, 1.0), work(3000, 1.0), work(100, 1.0)]  # bound by their steps, a second a thousand
    assert packing.makespan(works, 1e-3, 100.0, 1, 8 * 2**30)[0] == pytest.approx(4.1)
    assert packing.makespan(works, 1e-3, 100.0, 3, 8 * 2**30)[0] == pytest.approx(3.0)
    heavy = [work(10, 100.0), work(10, 300.0)]  # bound by their operations: side by side they share the GPU
    seconds, busy = packing.makespan(heavy, 1e-3, 100.0, 2, 8 * 2**30)
    assert seconds == pytest.approx(4.0) and busy == pytest.approx(1.0)
    assert packing.makespan(works, 1e-3, 100.0, 3, 8 * 2**30, overhead=1.0)[0] == pytest.approx(4.0)


def test_what_needs_more_memory_than_is_free_waits() -> None:
    works = [work(1000, 1.0, 5), work(1000, 1.0, 5), work(1000, 1.0, 2)]
    assert packing.makespan(works, 1e-3, 100.0, 3, 8 * 2**30)[0] == pytest.approx(2.0)
    with pytest.raises(ValueError, match=r"needs 5\.0 GiB, there are 4\.0"):
        packing.makespan(works, 1e-3, 100.0, 3, 4 * 2**30)


def test_the_archive_is_8_5_million_steps_and_80_pflop() -> None:
    """As counted for the published runs (2,000 epochs of FCN over 128 datasets)."""
    works = packing.archive("fcn", "fawaz2019", list(SETS["all"]))
    assert len(works) == 128
    assert sum(each.steps for each in works) == pytest.approx(8.50e6, rel=0.005)
    assert sum(each.flop for each in works) == pytest.approx(80e15, rel=0.02)
    one, five = (packing.makespan(works, 60e-6, 0.25 * packing.PEAK, n, 78 * 2**30)[0] for n in (1, 8))
    assert five < 6.5 * 60 < 10 * 60 < one < 11.5 * 60
