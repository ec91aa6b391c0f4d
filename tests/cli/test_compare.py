"""`tsfcn compare`, `published`, `convert` and `report` as a user calls them: quick, without torch, from anywhere."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORDS = ("published:karim2019/LSTM-FCN", "published:wang2017_readme85/FCN")


def python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip


def processor_seconds() -> float:
    """Return the processor time of all ended commands, which a busy machine does not lengthen."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_compare_is_quick_and_without_torch(tmp_path: Path) -> None:
    start = processor_seconds()
    done = python("-m", "tsfcn.compare", *WORDS, cwd=tmp_path)
    assert processor_seconds() - start < 2
    assert done.returncode == 0, done.stderr
    assert "40" in done.stdout and "p = 0.609" in done.stdout
    said = python("-X", "importtime", "-m", "tsfcn.compare", *WORDS, cwd=tmp_path).stderr
    assert not {"torch", "sktime", "sklearn", "hydra", "scipy.stats"} & {
        line.rpartition("|")[2].strip() for line in said.splitlines()
    }


def test_verbs(tmp_path: Path) -> None:
    done = python("-m", "tsfcn", "published", "list", cwd=tmp_path)
    assert done.returncode == 0 and "fawaz2019_ucr128" in done.stdout
    done = python("-m", "tsfcn", "published", "show", "fawaz", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("error: published source 'fawaz' is short for 3")
    done = python("-m", "tsfcn", "convert", "published:rocket2020", "rocket.csv", "--to", "wide", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = python("-m", "tsfcn", "compare", "rocket.csv", "published:bakeoff2023/HC2", cwd=tmp_path)
    assert done.returncode == 0 and "112 datasets in common (ucr2018)." in done.stdout
    results = python("-m", "tsfcn", "compare", str(ROOT / "results"), "published:fawaz2019_ucr128/fcn", cwd=tmp_path)
    assert results.returncode == 0 and "fcn (fawaz2019)" in results.stdout


def test_output_may_be_cut_off(tmp_path: Path) -> None:
    command = f"{sys.executable} -m tsfcn.compare {' '.join(WORDS)} | head -n 1"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    expected = "No difference between karim2019/lstm_fcn and wang2017_readme85/fcn is shown on 85 datasets: "
    assert done.stdout.startswith(expected) and done.stderr == ""


def test_report_of_the_committed_results(tmp_path: Path) -> None:
    words = ("-m", "tsfcn", "report", str(ROOT / "results"), "published:bakeoff2023/HC2", "--out", "page.html")
    start = processor_seconds()
    done = python(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "page.html\n", "")
    assert processor_seconds() - start < 30
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "bakeoff2023/HC2" in text and text.endswith("</html>\n")
    said = python("-X", "importtime", *words, cwd=tmp_path).stderr
    assert not {"torch", "sktime", "matplotlib", "hydra"} & {
        line.rpartition("|")[2].strip() for line in said.splitlines()
    }
